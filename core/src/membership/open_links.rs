//! The node's links as far as membership needs them: which are open, which it wants, and where the peers see
//! this node.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::{OrderedMap, OrderedSet};
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::wire::reach::prefix;

use super::interface::Out;

#[derive(Default)]
pub(super) struct Links {
    open: OrderedMap<NodeId, SocketAddr>,
    /// Peers of low power, if this node is none: nothing is sent to them unasked but messages.
    /// INVARIANT: of linked peers only.
    speaking_first: OrderedSet<NodeId>,
    /// Peers with a `Want` and no `Unwant` after it.
    /// INVARIANT: of linked peers only.
    wanted: OrderedSet<NodeId>,
    /// Where each linked peer sees this node: one vote a peer.
    /// INVARIANT: of linked peers only.
    observed: OrderedMap<NodeId, SocketAddr>,
}

impl Links {
    pub(super) fn opened(&mut self, peer: NodeId, addr: SocketAddr, speaks_first: bool) {
        self.open.insert(peer, addr);
        match speaks_first {
            true => self.speaking_first.insert(peer),
            false => self.speaking_first.remove(&peer),
        };
    }

    /// The link to `peer` is gone; false if there was none.
    pub(super) fn closed(&mut self, peer: NodeId) -> bool {
        self.observed.remove(&peer);
        self.speaking_first.remove(&peer);
        self.open.remove(&peer).is_some()
    }

    /// The validated address of `peer` changed; false if it is not linked.
    pub(super) fn moved(&mut self, peer: NodeId, addr: SocketAddr) -> bool {
        self.open.get_mut(&peer).map(|at| *at = addr).is_some()
    }

    pub(super) fn contains(&self, peer: NodeId) -> bool {
        self.open.contains_key(&peer)
    }

    pub(super) fn addr(&self, peer: NodeId) -> Option<SocketAddr> {
        self.open.get(&peer).copied()
    }

    /// The prefix of the address of a linked peer.
    pub(super) fn prefix(&self, peer: NodeId) -> Option<u128> {
        self.addr(peer).and_then(|addr| prefix(addr.ip()))
    }

    /// Whether a link goes to `addr`.
    pub(super) fn reaches(&self, addr: SocketAddr) -> bool {
        self.open.values().any(|at| *at == addr)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> {
        self.open.keys().copied()
    }

    /// Linked peers that may be sent something unasked.
    pub(super) fn wakeful(&self) -> impl Iterator<Item = NodeId> {
        self.peers().filter(|peer| !self.speaks_first(*peer))
    }

    pub(super) fn speaks_first(&self, peer: NodeId) -> bool {
        self.speaking_first.contains(&peer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn want(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        if self.wanted.insert(peer) {
            out.push(Out::Want(peer));
        }
    }

    pub(super) fn unwant(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        if self.wanted.remove(&peer) {
            out.push(Out::Unwant(peer));
        }
    }

    pub(super) fn unwant_all(&mut self, out: &mut Outbox<Out>) {
        for peer in core::mem::take(&mut self.wanted) {
            out.push(Out::Unwant(peer));
        }
    }

    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(super) fn wanted(&self) -> &OrderedSet<NodeId> {
        &self.wanted
    }

    /// `by` reports that it sees this node at `addr`.
    pub(super) fn observe(&mut self, by: NodeId, addr: SocketAddr) {
        if self.contains(by) {
            self.observed.insert(by, addr);
        }
    }

    /// Where linked peers see this node, the address of most votes first.
    pub(super) fn observed(&self) -> Vec<SocketAddr> {
        let mut votes: OrderedMap<SocketAddr, usize> = OrderedMap::new();
        for addr in self.observed.values() {
            let count = votes.entry(*addr).or_default();
            *count = count.saturating_add(1);
        }
        let mut all: Vec<_> = votes.into_iter().map(|(addr, count)| (usize::MAX.wrapping_sub(count), addr)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, addr)| addr).collect()
    }

    pub(super) fn footprint(&self) -> usize {
        self.open.len().saturating_add(self.wanted.len()).saturating_add(self.speaking_first.len())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !self.observed.keys().all(|peer| self.open.contains_key(peer)) {
            return Err("a peer without a link votes for an address");
        }
        if !self.speaking_first.iter().all(|peer| self.open.contains_key(peer)) {
            return Err("a peer without a link speaks first");
        }
        match self.wanted.iter().all(|peer| self.open.contains_key(peer)) {
            true => Ok(()),
            false => Err("a link that is gone is wanted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 4_000))
    }

    #[test]
    fn observed_addresses_need_a_link_and_most_votes_win() {
        let mut links = Links::default();
        let id = |n| NodeId([n; 32]);
        links.observe(id(1), addr(9));
        assert!(links.observed().is_empty(), "not linked");
        (1..=3).for_each(|n| links.opened(id(n), addr(n), false));
        links.observe(id(1), addr(7));
        links.observe(id(2), addr(8));
        links.observe(id(3), addr(8));
        links.observe(id(1), addr(9));
        assert_eq!(links.observed(), [addr(8), addr(9)], "one vote a peer");
        links.closed(id(2));
        links.closed(id(3));
        assert_eq!((links.observed(), links.check()), (alloc::vec![addr(9)], Ok(())));
    }
}
