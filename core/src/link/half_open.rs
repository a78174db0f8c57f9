//! Handshakes that were answered and whose first data packet has not come (RFC 4987 §2).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::link::noise::Split;
use crate::link::packet::{Epoch, Stamp};
use crate::time::Instant;
use crate::wire::record::NodeRecord;

/// Answered Inits of one node at one address: as many as one attempt has under way. A node that sends Inits in its name
/// from elsewhere takes no place of its own ones.
const MAX_OF_PEER: usize = crate::link::attempt::OUTSTANDING;

/// An answered Init of which nothing is proven yet: about 500 bytes.
pub(super) struct HalfOpen {
    pub peer: NodeId,
    pub record: NodeRecord,
    pub split: Split,
    pub generation: u8,
    pub remote: u32,
    /// Where the answer went: a peer that proves to hold the keys received it there.
    pub path: SocketAddr,
    /// The stamp and the ephemeral key of the Init.
    pub stamp: Stamp,
    pub ephemeral: [u8; 32],
    pub epoch: Epoch,
    pub local_incarnation: u32,
    pub created: Instant,
}

/// All of them, by this node's index.
#[derive(Default)]
pub(super) struct HalfOpenTable(OrderedMap<u32, Box<HalfOpen>>);

impl HalfOpenTable {
    pub(super) fn get(&self, local: u32) -> Option<&HalfOpen> {
        self.0.get(&local).map(|half| &**half)
    }

    /// The one that makes place for one more of `peer` at `path`, if one must: the oldest of that peer there, or the
    /// oldest of all where there are `most`.
    pub(super) fn surplus(&self, peer: NodeId, path: SocketAddr, most: usize) -> Option<u32> {
        let of_peer = self.0.iter().filter(|(_, h)| h.peer == peer && h.path == path);
        if of_peer.clone().count() >= MAX_OF_PEER {
            return oldest(of_peer);
        }
        if self.0.len() >= most { oldest(self.0.iter()) } else { None }
    }

    pub(super) fn insert(&mut self, local: u32, half: HalfOpen) {
        self.0.insert(local, Box::new(half));
    }

    pub(super) fn remove(&mut self, local: u32) -> Option<HalfOpen> {
        self.0.remove(&local).map(|half| *half)
    }

    /// Those of `peer`, by index.
    pub(super) fn of_peer(&self, peer: NodeId) -> impl Iterator<Item = (u32, &HalfOpen)> {
        self.iter().filter(move |(_, half)| half.peer == peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &HalfOpen)> {
        self.0.iter().map(|(local, half)| (*local, &**half))
    }

    pub(super) fn indices(&self) -> Vec<u32> {
        self.0.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn oldest<'a>(of: impl Iterator<Item = (&'a u32, &'a Box<HalfOpen>)>) -> Option<u32> {
    of.min_by_key(|(local, h)| (h.created, **local)).map(|(local, _)| *local)
}
