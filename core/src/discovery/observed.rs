//! The nodes and addresses whose beacons came.

use crate::collections::{OrderedMap, Rate, RateLimit};
use core::net::{IpAddr, SocketAddr};

use crate::discovery::beacon::Tag;
use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// Beacons a second from one address: as many nodes on one machine may answer a newcomer in that time
/// before one of theirs is missed, and it comes again.
const SOURCE_RATE: Rate = Rate::per_second(16);

struct Node {
    addr: SocketAddr,
    /// The last of its other addresses: on another interface, or of the other family.
    other: Option<SocketAddr>,
    at: Instant,
    /// Its identity, while there is a link to one of the two.
    linked: Option<NodeId>,
}

/// What a beacon says about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    New,
    Known,
    /// A known node by another way: on another interface, or over the other family.
    NewWay,
    /// The same, and there is a link to it: one way is enough.
    OtherWay,
}

pub(super) struct Observed {
    /// INVARIANT: at most so many nodes and so many sources.
    most: usize,
    nodes: OrderedMap<Tag, Node>,
    sources: OrderedMap<IpAddr, RateLimit>,
}

impl Observed {
    pub(super) fn new(most: usize) -> Self {
        Self { most, nodes: OrderedMap::new(), sources: OrderedMap::new() }
    }

    /// Whether one more beacon is accepted from this address.
    pub(super) fn within_rate(&mut self, from: IpAddr, now: Instant) -> bool {
        if self.sources.len() >= self.most && !self.sources.contains_key(&from) {
            self.sources.retain(|_, limit| !limit.is_full(now));
            if self.sources.len() >= self.most {
                return false;
            }
        }
        self.sources.entry(from).or_insert_with(|| RateLimit::new(SOURCE_RATE)).take(now)
    }

    /// A beacon of `tag` that leads to `addr`. After `expiry` without a beacon a node may have another address.
    pub(super) fn beacon(&mut self, tag: Tag, addr: SocketAddr, expiry: Duration, now: Instant) -> Sender {
        let node = Node { addr, other: None, at: now, linked: None };
        match self.nodes.get_mut(&tag) {
            Some(known) if known.addr != addr && now.since(known.at) < expiry => {
                known.other = Some(addr);
                if known.linked.is_some() { Sender::OtherWay } else { Sender::NewWay }
            }
            Some(known) if known.addr == addr => {
                known.at = now;
                Sender::Known
            }
            Some(known) => {
                *known = node;
                Sender::Known
            }
            None => {
                if self.nodes.len() >= self.most
                    && let Some((_, oldest)) = self.nodes.iter().map(|(tag, n)| (n.at, *tag)).min()
                {
                    self.nodes.remove(&oldest);
                }
                self.nodes.insert(tag, node);
                Sender::New
            }
        }
    }

    /// A link to `peer` is open at `addr`.
    pub(super) fn linked(&mut self, peer: NodeId, addr: SocketAddr) {
        for node in self.nodes.values_mut().filter(|n| n.addr == addr || n.other == Some(addr)) {
            node.linked = Some(peer);
        }
    }

    /// The link to `peer` is gone: all of its ways are worth a try.
    pub(super) fn unlinked(&mut self, peer: NodeId) {
        for node in self.nodes.values_mut().filter(|n| n.linked == Some(peer)) {
            node.linked = None;
        }
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// This is another local network.
    pub(super) fn forget_nodes(&mut self) {
        self.nodes.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len().saturating_add(self.sources.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.nodes.len() <= self.most && self.sources.len() <= self.most {
            true => Ok(()),
            false => Err("more nodes or sources than the limit"),
        }
    }
}
