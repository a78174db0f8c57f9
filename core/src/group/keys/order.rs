//! How the secret of an epoch reaches its holders (docs/design/groups-keys.md §4.6): a tree of degree 8 that the
//! operation fixes, so that all agree on the edges of the tree and none sends to more than eight.

use alloc::vec::Vec;
use core::ops::Range;

use crate::id::NodeId;

/// Whom each feeds.
const DEGREE: usize = 8;

/// The recipients of an epoch's secret in the order in which it is handed down.
///
/// The author feeds positions 0 to 7, position p feeds 8(p+1) to 8(p+1)+7. In groups of up to nine the author so feeds
/// all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order(Vec<NodeId>);

impl Order {
    /// The order of an operation: indices into the sorted members after it, its author among them. None unless it names
    /// every member but the author once, and no other node.
    pub(crate) fn new(order: &[u16], members: &[NodeId], author: NodeId) -> Option<Self> {
        let sorted = members.is_sorted_by(|a, b| a < b);
        if !sorted || members.binary_search(&author).is_err() || order.len().checked_add(1)? != members.len() {
            return None;
        }
        let mut seen = alloc::vec![false; members.len()];
        let mut nodes = Vec::with_capacity(order.len());
        for index in order.iter().map(|index| usize::from(*index)) {
            let (node, seen) = (members.get(index)?, seen.get_mut(index)?);
            if *node == author || core::mem::replace(seen, true) {
                return None;
            }
            nodes.push(*node);
        }
        Some(Self(nodes))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn node(&self, position: usize) -> Option<NodeId> {
        self.0.get(position).copied()
    }

    /// The position of a recipient. None for the author, too.
    pub(crate) fn position(&self, node: NodeId) -> Option<usize> {
        self.0.iter().position(|other| *other == node)
    }

    /// The positions that one feeds; none is the author's.
    pub(crate) fn children(&self, position: Option<usize>) -> Range<usize> {
        let row = position.map_or(0, |p| p.saturating_add(1));
        let first = row.saturating_mul(DEGREE).min(self.0.len());
        first..first.saturating_add(DEGREE).min(self.0.len())
    }

    /// The position that feeds this one. None is the author, or that there is no such position.
    #[cfg(test)]
    pub(crate) fn feeder(&self, position: usize) -> Option<usize> {
        let row = position.checked_div(DEGREE)?;
        (position < self.0.len()).then(|| row.checked_sub(1)).flatten()
    }
}

/// A random order of the sorted members without `me`: those believed away come last, since they feed no node, and else
/// it is by chance that the author cannot choose. None if there are too many, or `me` is not one.
pub(crate) fn make_order(
    commitment: &[u8; 32],
    members: &[NodeId],
    me: NodeId,
    believed_away: impl Fn(NodeId) -> bool,
) -> Option<Vec<u16>> {
    members.binary_search(&me).ok()?;
    let mut places = Vec::with_capacity(members.len());
    for (index, node) in members.iter().enumerate() {
        if *node != me {
            places.push((believed_away(*node), place(commitment, node), u16::try_from(index).ok()?));
        }
    }
    places.sort_unstable();
    Some(places.into_iter().map(|(_, _, index)| index).collect())
}

fn place(commitment: &[u8; 32], node: &NodeId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("DONP v1 group order");
    hasher.update(commitment).update(&node.0);
    *hasher.finalize().as_bytes()
}
