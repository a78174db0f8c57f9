//! The devices that this one has sessions with, or is about to.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::session::peer::Peer;

/// Peers in the order of their ids: a sorted list, since few come and go and all are looked up.
#[derive(Default)]
pub(super) struct Peers(Vec<(NodeId, Box<Peer>)>);

impl Peers {
    fn place(&self, id: NodeId) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(&id))
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Peer> {
        let at = self.place(id).ok()?;
        self.0.get_mut(at).map(|(_, peer)| &mut **peer)
    }

    pub(super) fn has(&self, id: NodeId) -> bool {
        self.place(id).is_ok()
    }

    /// The peer, made if it is not there.
    pub(super) fn make(&mut self, id: NodeId) -> Option<&mut Peer> {
        let at = match self.place(id) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (id, Box::new(Peer::new())));
                at
            }
        };
        self.0.get_mut(at).map(|(_, peer)| &mut **peer)
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Option<Box<Peer>> {
        let at = self.place(id).ok()?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.0.iter().map(|(id, peer)| (*id, &**peer))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Peer)> {
        self.0.iter_mut().map(|(id, peer)| (*id, &mut **peer))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
