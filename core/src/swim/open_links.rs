//! The node's links as far as failure detection needs them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::{OrderedMap, OrderedSet};
use crate::id::NodeId;
use crate::wire::record::NodeRecord;

/// Probes of one node that are remembered so as not to be answered twice: it sends one a period, and at most
/// three for others in the same time.
const SEEN: usize = 8;

struct Linked {
    addr: SocketAddr,
    /// The handshake proved that its owner holds the link.
    record: Box<NodeRecord>,
    /// The numbers of its last probes. A link delivers at least once, and a message that waited for a busy node
    /// comes many times.
    seen: heapless::Deque<u32, SEEN>,
}

#[derive(Default)]
pub(super) struct Links {
    open: OrderedMap<NodeId, Linked>,
    neighbours: OrderedSet<NodeId>,
}

impl Links {
    pub(super) fn opened(&mut self, peer: NodeId, record: NodeRecord, addr: SocketAddr) {
        self.open.insert(peer, Linked { addr, record: Box::new(record), seen: heapless::Deque::new() });
    }

    pub(super) fn renewed(&mut self, peer: NodeId, record: &NodeRecord) {
        if let Some(link) = self.open.get_mut(&peer) {
            *link.record = record.clone();
        }
    }

    pub(super) fn record(&self, peer: NodeId) -> Option<&NodeRecord> {
        self.open.get(&peer).map(|link| &*link.record)
    }

    pub(super) fn closed(&mut self, peer: NodeId) {
        self.open.remove(&peer);
    }

    /// The validated address of `peer` changed; false if it is not linked.
    pub(super) fn moved(&mut self, peer: NodeId, addr: SocketAddr) -> bool {
        self.open.get_mut(&peer).map(|link| link.addr = addr).is_some()
    }

    pub(super) fn contains(&self, peer: NodeId) -> bool {
        self.open.contains_key(&peer)
    }

    pub(super) fn addr(&self, peer: NodeId) -> Option<SocketAddr> {
        self.open.get(&peer).map(|link| link.addr)
    }

    /// Whether this probe of a linked peer did not come before.
    pub(super) fn is_new(&mut self, peer: NodeId, seq: u32) -> bool {
        let Some(Linked { seen, .. }) = self.open.get_mut(&peer) else { return false };
        if seen.iter().any(|s| *s == seq) {
            return false;
        }
        if seen.is_full() {
            seen.pop_front();
        }
        // It is not full: one was removed if it was.
        let _ = seen.push_back(seq);
        true
    }

    pub(super) fn neighbour_up(&mut self, peer: NodeId) {
        self.neighbours.insert(peer);
    }

    pub(super) fn neighbour_down(&mut self, peer: NodeId) {
        self.neighbours.remove(&peer);
    }

    pub(super) fn neighbours(&self) -> Vec<NodeId> {
        self.neighbours.iter().copied().collect()
    }

    pub(super) fn footprint(&self) -> usize {
        self.open.len().saturating_add(self.neighbours.len())
    }
}
