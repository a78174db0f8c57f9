//! What leaves next: finished datagrams first, then the links with something to send, in turn.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Bound;

use crate::collections::OrderedSet;
use crate::id::NodeId;

/// Handshake datagrams waiting to be taken; further replies are dropped and counted.
const MAX_DATAGRAMS: usize = 1_024;

pub(super) type Datagram = (SocketAddr, Vec<u8>);

#[derive(Debug)]
pub(super) struct Transmit {
    pub(super) datagrams: VecDeque<Datagram>,
    ready: OrderedSet<NodeId>,
    /// The peer served last.
    cursor: NodeId,
}

impl Transmit {
    pub(super) fn new() -> Self {
        Self { datagrams: VecDeque::new(), ready: OrderedSet::new(), cursor: NodeId([0; 32]) }
    }

    /// Queues a handshake datagram; false if there are too many.
    pub(super) fn push(&mut self, to: SocketAddr, packet: Vec<u8>) -> bool {
        let fits = self.datagrams.len() < MAX_DATAGRAMS;
        if fits {
            self.datagrams.push_back((to, packet));
        }
        fits
    }

    /// Queues the last datagrams of a link.
    pub(super) fn extend(&mut self, last: Vec<Datagram>) {
        self.datagrams.extend(last);
    }

    pub(super) fn pop(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    /// The ready peer after the one served last.
    pub(super) fn next_peer(&mut self) -> Option<NodeId> {
        let after = (Bound::Excluded(self.cursor), Bound::Unbounded);
        let peer = self.ready.range(after).next().or_else(|| self.ready.first()).copied()?;
        self.cursor = peer;
        Some(peer)
    }

    /// Whether the link to `peer` has something to send.
    pub(super) fn set_ready(&mut self, peer: NodeId, ready: bool) {
        if ready {
            self.ready.insert(peer);
        } else {
            self.ready.remove(&peer);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.ready.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.datagrams.len()
    }
}
