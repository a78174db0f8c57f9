//! The newest handshake stamp of each node. An Init with an older one is a replay, or comes from another copy of the
//! node's profile, or from one whose clock went wrong: nothing but an answer tells these apart.

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::link::packet::Stamp;

/// Stamps remembered of nodes without a link, 100 bytes each. What is forgotten costs a replayed
/// Init the work of an answer and nothing else.
const MAX_STAMPS: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Stamps {
    newest: OrderedMap<NodeId, (Stamp, u64)>,
    uses: u64,
}

impl Stamps {
    /// Whether the stamps of a node rise with this one. Where they do not, its Init is answered once a second to each
    /// address: so a replay costs an answer that its sender cannot use, and what this node remembers keeps no honest node out
    /// for ever.
    pub(super) fn rise(&self, peer: NodeId, stamp: Stamp) -> bool {
        self.newest.get(&peer).is_none_or(|(newest, _)| stamp > *newest)
    }

    /// Remembers a stamp; of nodes that are not `linked` the one used least recently makes place.
    pub(super) fn set(&mut self, peer: NodeId, stamp: Stamp, linked: impl Fn(&NodeId) -> bool) {
        if !self.newest.contains_key(&peer) && self.newest.len() >= MAX_STAMPS {
            let idle = self.newest.iter().filter(|(p, _)| !linked(p));
            if let Some(oldest) = idle.min_by_key(|(_, (_, used))| *used).map(|(p, _)| *p) {
                self.newest.remove(&oldest);
            }
        }
        self.uses = self.uses.saturating_add(1);
        let newest = self.newest.get(&peer).map_or(stamp, |(newest, _)| stamp.max(*newest));
        self.newest.insert(peer, (newest, self.uses));
    }

    pub(super) fn len(&self) -> usize {
        self.newest.len()
    }
}
