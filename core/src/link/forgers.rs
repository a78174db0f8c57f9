//! Nodes that pass on what they could have found to be forged.
//!
//! Every node checks the signature of a broadcast or of a stored run before it passes it on, so an honest one brings no
//! forgery. A check costs 154 µs (docs/benchmarks.md): a node that brings many makes others work, and loses its link
//! for a while.

use crate::collections::{OrderedMap, Rate, RateLimit};
use crate::fact::DownReason;
use crate::id::NodeId;
use crate::link::attempt::Target;
use crate::link::{CLOSE_UNWANTED, Link, Out};
use crate::machine::{Cx, Outbox};
use crate::time::{Duration, Instant};

/// Forgeries that a link may bring: 8 at once and one a second, so at most 68 in a minute. None come from an honest node;
/// the margin is for one whose disk or memory fails.
const TOLERATED: Rate = Rate { per_second: 1, burst: 8 };
/// No link with a node that brought more: 10 min, after which a network goes on without those that it lost
/// (docs/design/overlay.md §8).
pub(super) const AVOIDED: Duration = Duration::from_secs(600);
/// Avoided nodes that are remembered, 40 bytes each: as many as stamps. The one whose time ends first gives way.
const MAX_AVOIDED: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Forgers {
    /// INVARIANT: only linked nodes are here.
    counts: OrderedMap<NodeId, RateLimit>,
    avoided: OrderedMap<NodeId, Instant>,
}

impl Forgers {
    /// Notes a forgery that a linked node brought; whether it is one too many.
    pub(super) fn note(&mut self, now: Instant, peer: NodeId) -> bool {
        if self.counts.entry(peer).or_insert_with(|| RateLimit::new(TOLERATED)).take(now) {
            return false;
        }
        self.avoided.retain(|_, until| now < *until);
        if self.avoided.len() >= MAX_AVOIDED
            && let Some(first) = self.avoided.iter().min_by_key(|(_, until)| **until).map(|(p, _)| *p)
        {
            self.avoided.remove(&first);
        }
        self.avoided.insert(peer, now + AVOIDED);
        true
    }

    pub(super) fn unlinked(&mut self, peer: NodeId) {
        self.counts.remove(&peer);
    }

    /// There is no link with it before then.
    pub(super) fn until(&self, peer: NodeId) -> Instant {
        self.avoided.get(&peer).copied().unwrap_or(Instant::ZERO)
    }

    pub(super) fn avoids(&self, now: Instant, peer: NodeId) -> bool {
        now < self.until(peer)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, linked: impl Fn(&NodeId) -> bool) -> Result<(), &'static str> {
        match self.counts.keys().all(linked) && self.avoided.len() <= MAX_AVOIDED {
            true => Ok(()),
            false => Err("forgeries are counted of a node without a link"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len().saturating_add(self.avoided.len())
    }
}

impl Link {
    /// Whether this node wants no link with `peer`: its user said so, or it brought forgeries.
    pub(super) fn shuns(&self, now: Instant, peer: NodeId) -> bool {
        self.blocks.contains(peer) || self.forgers.avoids(now, peer)
    }

    pub(super) fn forged(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        if self.links.contains_key(&peer) && self.forgers.note(cx.now, peer) {
            self.drop_attempt(Target::Peer(peer));
            self.close(cx, peer, CLOSE_UNWANTED, DownReason::Misbehaved, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u16) -> NodeId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        NodeId(id)
    }

    /// Breaks if the table grows, or if the newest entry gives way.
    #[test]
    fn a_thousand_forgers_are_remembered_and_the_oldest_gives_way() {
        let mut forgers = Forgers::default();
        let second = Duration::from_secs(1);
        let at = |n: u16| Instant::ZERO + second * u32::from(n) / 8;
        for n in 0..1_100 {
            assert_eq!((0..9).map(|_| forgers.note(at(n), node(n))).filter(|many| *many).count(), 1);
            forgers.unlinked(node(n));
        }
        assert_eq!(forgers.len(), MAX_AVOIDED);
        assert!(!forgers.avoids(at(1_100), node(75)) && forgers.avoids(at(1_100), node(76)));
        assert!(!forgers.avoids(at(1_099) + AVOIDED, node(1_099)));
    }
}
