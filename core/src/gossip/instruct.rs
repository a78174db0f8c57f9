//! Broadcasts where all members are known: the DONP document's spanning tree with forwarding instructions.
//!
//! The sender divides all members among at most eight of them, its children, and names to each the members that
//! it has to serve; each divides its part the same way. With up to nine members each gets a broadcast directly
//! (the full mesh of docs/design/broadcast.md §3), with 64 after two hops. A child that fails takes its part
//! with it, so each node that has the broadcast announces it to the two that follow in the order of ids, and a
//! node that misses it fetches it as in the self-organising tree: unless two that follow each other fail at
//! once, the ring reaches all (two at random leave out one in seven of a lost part;
//! docs/design/broadcast.md §3).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use crate::collections::{ShortId, short};
use crate::gossip::wire::MAX_TARGETS;
use crate::id::NodeId;
use crate::rng::Rng;

/// Children of a node in an instructed tree (docs/design/broadcast.md §3).
const DEGREE: usize = 8;
/// Successors on the ring to which a node announces what it has (docs/design/broadcast.md §3).
const SUCCESSORS: usize = 2;

/// A child and the members that it has to serve.
pub(super) type Child = (NodeId, Vec<ShortId>);

/// The members of the zone, as long as they are few, and the links to them.
#[derive(Default)]
pub(super) struct InstructedTree {
    /// All others, under the names that instructions use; none if they are not known or too many.
    members: Option<BTreeMap<ShortId, NodeId>>,
    linked: BTreeSet<NodeId>,
}

impl InstructedTree {
    /// Whether broadcasts go by instruction.
    pub(super) fn is_active(&self) -> bool {
        self.members.as_ref().is_some_and(|m| !m.is_empty())
    }

    pub(super) fn set_members(&mut self, members: Option<&[NodeId]>) {
        let few = members.filter(|m| m.len() <= MAX_TARGETS);
        self.members = few.map(|m| m.iter().map(|peer| (short(&peer.0), *peer)).collect());
    }

    pub(super) fn link_up(&mut self, peer: NodeId) {
        self.linked.insert(peer);
    }

    pub(super) fn link_down(&mut self, peer: NodeId) {
        self.linked.remove(&peer);
    }

    pub(super) fn contains(&self, peer: NodeId) -> bool {
        self.members.as_ref().is_some_and(|m| m.contains_key(&short(&peer.0)))
    }

    /// Members with a link.
    pub(super) fn linked_members(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.linked.iter().copied().filter(|p| self.contains(*p))
    }

    /// All members.
    pub(super) fn members(&self) -> Vec<NodeId> {
        self.members.iter().flat_map(BTreeMap::values).copied().collect()
    }

    /// The members that an instruction names; names of other nodes are ignored.
    pub(super) fn named(&self, targets: &[ShortId]) -> impl Iterator<Item = NodeId> {
        targets.iter().filter_map(|t| self.members.as_ref()?.get(t).copied())
    }

    /// The next linked members in the order of ids, which is a ring.
    pub(super) fn successors(&self, me: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let after = self.linked.range((Bound::Excluded(me), Bound::Unbounded));
        after.chain(self.linked.range(..me)).copied().filter(|p| self.contains(*p)).take(SUCCESSORS)
    }

    pub(super) fn len(&self) -> usize {
        self.linked.len().saturating_add(self.members.as_ref().map_or(0, BTreeMap::len))
    }

    /// Divides `targets` among at most [`DEGREE`] of them that have a link. Empty if none has.
    pub(super) fn divide(&self, targets: Vec<NodeId>, rng: &mut Rng) -> Vec<Child> {
        let (mut near, far): (Vec<_>, Vec<_>) = targets.into_iter().partition(|t| self.linked.contains(t));
        let mut children: Vec<Child> = Vec::new();
        while children.len() < DEGREE && !near.is_empty() {
            children.push((near.swap_remove(rng.below(near.len())), Vec::new()));
        }
        let rest: Vec<NodeId> = far.into_iter().chain(near).collect();
        let count = children.len();
        for (at, target) in rest.into_iter().enumerate() {
            if let Some((_, part)) = at.checked_rem(count).and_then(|child| children.get_mut(child)) {
                part.push(short(&target.0));
            }
        }
        children
    }
}
