//! The machines that want links.

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::id::NodeId;

/// A machine that can want a link. The numbers are bits of [`Owners`]; they mean nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Owner {
    Membership = 1,
    Delivery = 2,
    /// Failure detection: such a link alone is probed rarely.
    Swim = 4,
    Group = 8,
    File = 16,
    Device = 32,
}

/// The machines that want one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owners(u8);

impl Owners {
    /// Those whose interest alone is worth rare probes only.
    const RARE: u8 = Owner::Swim as u8;

    fn insert(&mut self, owner: Owner) {
        self.0 |= owner as u8;
    }

    fn remove(&mut self, owner: Owner) {
        self.0 &= !(owner as u8);
    }

    fn contains(self, owner: Owner) -> bool {
        self.0 & owner as u8 != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// How much a link is wanted. The lowest is closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Interest {
    /// Closed when it is idle.
    None,
    /// Failure detection alone wants it: probed rarely, and given up later.
    Rare,
    Full,
}

/// The wanted links.
#[derive(Debug, Default)]
pub(super) struct Interests {
    /// INVARIANT: no entry is empty.
    owners: OrderedMap<NodeId, Owners>,
}

impl Interests {
    pub(super) fn want(&mut self, peer: NodeId, owner: Owner) {
        self.owners.entry(peer).or_default().insert(owner);
    }

    pub(super) fn unwant(&mut self, peer: NodeId, owner: Owner) {
        if let Some(owners) = self.owners.get_mut(&peer) {
            owners.remove(owner);
            if owners.is_empty() {
                self.owners.remove(&peer);
            }
        }
    }

    pub(super) fn of(&self, peer: NodeId) -> Interest {
        match self.owners.get(&peer) {
            None => Interest::None,
            Some(owners) if owners.0 & !Owners::RARE == 0 => Interest::Rare,
            Some(_) => Interest::Full,
        }
    }

    pub(super) fn wanted(&self, peer: NodeId) -> bool {
        self.owners.contains_key(&peer)
    }

    pub(super) fn wanted_by(&self, peer: NodeId, owner: Owner) -> bool {
        self.owners.get(&peer).is_some_and(|owners| owners.contains(owner))
    }

    pub(super) fn peers(&self) -> Vec<NodeId> {
        self.owners.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.owners.values().any(|owners| owners.is_empty()) {
            true => Err("an interest in a link has no owner"),
            false => Ok(()),
        }
    }
}
