//! Half of the active view is chosen by score, half stays random (docs/design/overlay.md §3).
//!
//! A mesh of nearest neighbours falls apart into cliques, and an attacker near to all could surround a node. So
//! score only replaces: at most half of the neighbours, one a minute, for a clear gain, and never so that fewer than
//! two outbound ones are left. The other end of the link decides by the same rule.
//!
//! A coin of the two ids chooses the half ([`by_score`]): both ends of a link agree on it without a message, and a
//! link of the random half is never given up for score by either. With a half for each end alone, swaps at one
//! end would use up the random links of the other, until two towns have no link between them.
//!
//! Candidates cost nothing: they are the nodes that are linked anyway, members of the zone and those that are contacted
//! each minute to notice partitions (`partition.rs`), and a node with capacity for one more asks for it anyway.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::fact::RoundTrip;
use crate::id::NodeId;
use crate::machine::Cx;
use crate::time::{Duration, Instant};

/// At most one swap in this time (docs/design/overlay.md §3); reliability is counted in the same steps.
const MINUTE: Duration = Duration::from_secs(60);
/// The round trip that is worth half: across a continent.
const HALF_RTT_MS: u64 = 100;
/// Shares of the score in tenths: latency, reliability, trust (docs/design/overlay.md §3).
const SHARES: [u32; 3] = [5, 3, 2];
/// The trust in every node, in thousandths, until trust is measured: 0.5
/// (docs/design/overlay.md §3).
const TRUST: u32 = 500;
/// By how much a newcomer must be better, in thousandths, so that two of a kind do not change places for ever: half
/// of what 20 ms and 40 ms differ by.
const MARGIN: u32 = 50;
/// Minutes that reliability remembers about: the counts are halved when they reach this.
const MEMORY: u32 = 64;
/// Neighbours with an outbound link that no inbound one can displace (docs/design/overlay.md §3).
const MIN_OUTBOUND: usize = 2;
/// A request that is not answered by then is not a swap any more: the link's own patience.
const PENDING: Duration = Duration::from_secs(15);

/// Whether a link between these two is of the half that score may replace.
fn by_score(a: NodeId, b: NodeId) -> bool {
    let mut coin = blake3::Hasher::new_derive_key("DONP v1 neighbour coin");
    coin.update(&a.min(b).0).update(&a.max(b).0);
    coin.finalize().as_bytes().first().is_some_and(|byte| byte & 1 == 1)
}

/// What is known of a link.
#[derive(Clone, Copy, Default)]
struct Quality {
    outbound: bool,
    rtt: Option<Duration>,
    good: u32,
    bad: u32,
}

impl Quality {
    fn count(&mut self, good: bool) {
        let n = if good { &mut self.good } else { &mut self.bad };
        *n = n.saturating_add(1);
        if self.good.max(self.bad) >= MEMORY {
            self.good /= 2;
            self.bad /= 2;
        }
    }

    /// In thousandths.
    fn score(&self) -> u32 {
        let part = |n: u64, of: u64| u32::try_from(n.saturating_mul(1_000).checked_div(of).unwrap_or(0)).unwrap_or(0);
        let rtt = self.rtt.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        let latency = rtt.map_or(0, |ms| part(HALF_RTT_MS, HALF_RTT_MS.saturating_add(ms)));
        let (good, bad) = (u64::from(self.good), u64::from(self.bad));
        let reliability = part(good.saturating_add(1), good.saturating_add(bad).saturating_add(2));
        let all = [latency, reliability, TRUST].into_iter().zip(SHARES);
        all.fold(0u32, |sum, (part, share)| sum.saturating_add(part.saturating_mul(share))) / 10
    }
}

#[derive(Default)]
pub(super) struct Scores {
    links: OrderedMap<NodeId, Quality>,
    /// Neighbours that were taken for their score, and some that were.
    chosen: OrderedSet<NodeId>,
    /// A node that was asked to come, the neighbour that it replaces, and when it was asked.
    swap: Option<(NodeId, NodeId, Instant)>,
    swapped: Option<Instant>,
    measure_at: Option<Instant>,
}

impl Scores {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.measure_at
    }

    pub(super) fn len(&self) -> usize {
        self.links.len().saturating_add(self.chosen.len())
    }

    pub(super) fn stop(&mut self) {
        self.chosen.clear();
        self.swap = None;
        self.measure_at = None;
    }

    pub(super) fn start(&mut self, cx: &mut Cx<'_>) {
        if self.measure_at.is_none() {
            self.measure_at = Some(cx.now + cx.rng.jitter(MINUTE, 20));
        }
    }

    /// Whether links are to be measured now.
    pub(super) fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.measure_at.is_none_or(|at| at > cx.now) {
            return false;
        }
        self.measure_at = Some(cx.now + cx.rng.jitter(MINUTE, 20));
        self.links.values_mut().for_each(|q| q.count(true));
        true
    }

    pub(super) fn measured(&mut self, link: &RoundTrip) {
        let quality = self.links.entry(link.peer).or_default();
        (quality.outbound, quality.rtt) = (link.outbound, link.rtt);
    }

    /// A linked node did not answer.
    pub(super) fn missed(&mut self, peer: NodeId) {
        if let Some(quality) = self.links.get_mut(&peer) {
            quality.count(false);
        }
    }

    pub(super) fn forget(&mut self, peer: NodeId) {
        self.links.remove(&peer);
    }

    fn score(&self, peer: NodeId) -> u32 {
        self.links.get(&peer).copied().unwrap_or_default().score()
    }

    fn outbound(&self, peer: NodeId) -> bool {
        self.links.get(&peer).is_some_and(|q| q.outbound)
    }

    fn may_swap(&self, now: Instant) -> bool {
        self.swapped.is_none_or(|at| now.since(at) >= MINUTE)
            && self.swap.is_none_or(|(_, _, at)| now.since(at) >= PENDING)
    }

    /// Whether `peer`, which is linked and no neighbour, should replace one that is not `kept`, of which at most half are
    /// chosen by score; remembers which.
    pub(super) fn better(
        &mut self,
        peer: NodeId,
        neighbours: &OrderedSet<NodeId>,
        kept: &OrderedSet<NodeId>,
        half: usize,
        me: NodeId,
        now: Instant,
    ) -> bool {
        let known = self.links.contains_key(&peer) && !neighbours.contains(&peer);
        if !known || !by_score(me, peer) || !self.may_swap(now) {
            return false;
        }
        self.chosen.retain(|n| neighbours.contains(n));
        let outbound = neighbours.iter().filter(|n| self.outbound(**n)).count();
        let full = self.chosen.len() >= half;
        let may_go = |n: &&NodeId| {
            by_score(me, **n)
                && !kept.contains(n)
                && (!full || self.chosen.contains(n))
                && (outbound > MIN_OUTBOUND || self.outbound(peer) || !self.outbound(**n))
        };
        let worst = neighbours.iter().filter(may_go).map(|n| (self.score(*n), *n)).min();
        match worst {
            Some((score, victim)) if score.saturating_add(MARGIN) < self.score(peer) => {
                self.swap = Some((peer, victim, now));
                true
            }
            Some(_) | None => false,
        }
    }

    /// The neighbour that `peer` was found better than; the swap is made.
    pub(super) fn swapped(&mut self, peer: NodeId, neighbours: &OrderedSet<NodeId>, now: Instant) -> Option<NodeId> {
        let pending = |(to, victim, at): &(NodeId, NodeId, Instant)| {
            *to == peer && neighbours.contains(victim) && now.since(*at) < PENDING
        };
        let (_, victim, _) = self.swap.filter(pending)?;
        self.swap = None;
        self.swapped = Some(now);
        self.chosen.insert(peer);
        Some(victim)
    }

    /// The neighbours that a newcomer may displace. The outbound ones stay while there are no more than two.
    pub(super) fn may_go(&self, neighbours: &OrderedSet<NodeId>) -> Vec<NodeId> {
        let outbound: OrderedSet<NodeId> = neighbours.iter().copied().filter(|n| self.outbound(*n)).collect();
        let kept = |n: &NodeId| outbound.len() <= MIN_OUTBOUND && outbound.contains(n);
        let others: Vec<NodeId> = neighbours.iter().copied().filter(|n| !kept(n)).collect();
        if others.is_empty() { outbound.into_iter().collect() } else { others }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, linked: impl Fn(NodeId) -> bool) -> Result<(), &'static str> {
        match self.links.keys().all(|peer| linked(*peer)) {
            true => Ok(()),
            false => Err("a node without a link has a score"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, id, replies, request};
    use super::super::wire::{Message, Refusal, Urgency};
    use super::super::{In, Out};
    use super::*;
    use crate::fact::{DownReason, Fact};
    use proptest::prelude::{any, prop, prop_assert, proptest};

    fn quality(rtt: u64, good: u32, bad: u32) -> Quality {
        Quality { outbound: false, rtt: Some(Duration::from_millis(rtt)), good, bad }
    }

    #[test]
    fn the_score_is_the_sum_of_the_design() {
        // 0.5 * 0.5 + 0.3 * 0.5 + 0.2 * 0.5
        assert_eq!(quality(100, 0, 0).score(), 500);
        // 0.5 * 1 + 0.3 * 0.75 + 0.2 * 0.5
        assert_eq!(quality(0, 2, 0).score(), 825);
        assert_eq!(Quality::default().score(), 250, "no round trip is known");
        assert!(quality(20, 5, 5).score() > quality(40, 5, 5).score() + MARGIN);
        assert!(quality(20, 9, 1).score() > quality(20, 1, 9).score());
        let mut q = quality(10, 0, 0);
        (0..1_000).for_each(|_| q.count(true));
        let before = q.score();
        (0..40).for_each(|_| q.count(false));
        assert!(q.score() + 100 < before, "what was good long ago does not count for ever");
    }

    /// A link with this round trip comes up.
    fn link(b: &mut Bench, n: u8, outbound: bool, rtt: u64) -> Vec<Out> {
        let mut out = b.up(n);
        out.extend(b.fact(Fact::RoundTrips(alloc::vec![RoundTrip {
            peer: id(n),
            outbound,
            rtt: Some(Duration::from_millis(rtt))
        }])));
        out
    }

    /// A node with six neighbours far away, the first `outbound` of them by a link of its own.
    fn full(outbound: u8) -> Bench {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..8 {
            link(&mut b, n, n < 2 + outbound, 200);
            b.receive(n, &request(Urgency::High));
        }
        assert_eq!(b.m.neighbours().len(), 6);
        b.now = b.now + Duration::from_secs(1_000);
        b
    }

    fn asks(out: &[Out]) -> bool {
        replies(out).iter().any(|m| matches!(m, Message::Request { urgency: Urgency::Low, .. }))
    }

    fn agree(b: &mut Bench, n: u8) {
        b.receive(n, &Message::Response { accepted: Ok(()), available: Vec::new() });
    }

    #[test]
    fn nearer_nodes_replace_one_a_minute_and_at_most_half() {
        let mut b = full(6);
        let before = b.m.neighbours().clone();
        let replaceable = before.iter().filter(|n| by_score(b.me, **n)).count();
        assert!((1..6).contains(&replaceable), "the coin fell on both sides");
        let mut taken = 0;
        for n in 20..60 {
            let asked = asks(&link(&mut b, n, true, 10));
            if asked {
                assert!(by_score(b.me, id(n)));
                agree(&mut b, n);
                taken += 1;
                assert!(b.m.neighbours().contains(&id(n)) && b.m.neighbours().len() == 6);
                assert!(!asks(&link(&mut b, n + 100, true, 1)), "not within the minute");
            }
            b.now = b.now + MINUTE;
        }
        assert_eq!(taken, replaceable.min(3));
        let stayed = before.iter().filter(|n| b.m.neighbours().contains(*n)).count();
        assert_eq!(stayed, 6 - taken);
        assert!(before.iter().all(|n| by_score(b.me, *n) || b.m.neighbours().contains(n)), "the random half stays");
    }

    #[test]
    fn a_small_gain_or_an_inbound_link_causes_no_request() {
        let mut b = full(6);
        assert!(!asks(&link(&mut b, 20, true, 190)));
        assert!(!asks(&link(&mut b, 21, true, 500)));
        let caller = (22..60).find(|n| by_score(b.me, id(*n))).unwrap();
        assert!(!asks(&link(&mut b, caller, false, 1)), "it may ask by itself");
        let answer = replies(&b.receive(caller, &request(Urgency::Low)));
        assert!(
            matches!(answer[..], [Message::Response { accepted: Ok(()), .. }, Message::Disconnect { .. }]),
            "{answer:?}"
        );
        let answer = replies(&b.receive(20, &request(Urgency::Low)));
        assert!(matches!(answer[..], [Message::Response { accepted: Err(Refusal::Full), .. }]), "{answer:?}");
        assert_eq!(b.m.neighbours().len(), 6);
    }

    #[test]
    fn a_refusal_changes_no_neighbour() {
        let mut b = full(6);
        let before = b.m.neighbours().clone();
        let near = (20..60).find(|n| by_score(b.me, id(*n))).unwrap();
        assert!(asks(&link(&mut b, near, true, 1)));
        b.receive(near, &Message::Response { accepted: Err(Refusal::Full), available: Vec::new() });
        assert_eq!(b.m.neighbours(), &before);
    }

    #[test]
    fn a_crowd_of_inbound_links_leaves_two_outbound_neighbours() {
        let mut b = full(3);
        for n in 30..200 {
            link(&mut b, n, false, 1);
            b.receive(n, &request(if n % 2 == 0 { Urgency::Join } else { Urgency::Low }));
            b.now = b.now + Duration::from_secs(20);
            let outbound = (2..5).filter(|n| b.m.neighbours().contains(&id(*n))).count();
            assert!(outbound >= 2, "only {outbound} outbound neighbours");
        }
        assert!(b.m.neighbours().iter().any(|n| *n > id(7) || *n < id(2)), "others came");
    }

    proptest! {
        #[test]
        fn score_takes_at_most_half_and_leaves_two_outbound(
            outbound in 0..7u8,
            steps in prop::collection::vec((8..60u8, any::<bool>(), 0..400u64, 0..5u8, 0..90u64), 0..60),
        ) {
            let mut b = full(outbound);
            let mut last: Option<Instant> = None;
            for (n, dialed, rtt, what, wait) in steps {
                b.now = b.now + Duration::from_secs(wait);
                let outs = |b: &Bench| b.m.neighbours().iter().filter(|n| b.m.hyparview.scores().outbound(**n)).count();
                let (before, swapped) = (outs(&b), b.m.hyparview.scores().swapped);
                let all = b.m.neighbours().clone();
                match what {
                    0 => drop(b.fact(Fact::LinkDown { peer: id(n), reason: DownReason::Closed })),
                    1 => drop(b.receive(n, &request(Urgency::Low))),
                    2 => agree(&mut b, n),
                    3 => drop(b.fact(Fact::LinkSuspected(id(n)))),
                    _ if !b.m.peers.links.contains(id(n)) => {
                        link(&mut b, n, dialed, rtt);
                    }
                    _ => {}
                }
                let scores = &b.m.hyparview.scores();
                let chosen = scores.chosen.iter().filter(|n| b.m.neighbours().contains(*n)).count();
                prop_assert!(chosen <= 3, "{chosen} chosen");
                if scores.swapped != swapped {
                    prop_assert!(last.is_none_or(|at| b.now.since(at) >= MINUTE));
                    prop_assert!(outs(&b) >= before.min(2), "{} of {before} outbound", outs(&b));
                    let random = all.iter().filter(|n| !by_score(b.me, **n));
                    prop_assert!(random.into_iter().all(|n| b.m.neighbours().contains(n)), "the random half");
                    last = Some(b.now);
                }
                prop_assert!(scores.links.len() == b.m.peers.links.len());
            }
        }
    }
}
