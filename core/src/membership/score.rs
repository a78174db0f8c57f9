//! Half of the active view is chosen by score, half stays random (docs/design/overlay.md §3).
//!
//! A mesh of nearest neighbours falls apart into cliques, and whoever can be near to everybody could surround a
//! node. So score only replaces: at most half of the neighbours, one a minute, for a clear gain, and never so that
//! fewer than two are left that this node called itself. The other end of the link judges by the same rule.
//!
//! Which half, a coin of the two ids says ([`by_score`]): both ends of a link agree on it without a word, and a
//! link of the random half is never given up for score by either. With a half for each end alone, swaps at one
//! end would use up the random links of the other, until two towns have no link between them.
//!
//! Candidates cost nothing: they are the nodes that are contacted each minute to notice partitions
//! (`partition.rs`), and whoever has one place free asks for it anyway.

use super::*;

/// At most one swap in this time (docs/design/overlay.md §3); reliability is counted in the same steps.
const MINUTE: Duration = Duration::from_secs(60);
/// The round trip that is worth half: across a continent.
const HALF_RTT_MS: u64 = 100;
/// Shares of the score in tenths: latency, reliability, trust (docs/design/overlay.md §3).
const SHARES: [u32; 3] = [5, 3, 2];
/// What everybody is trusted, in thousandths, until somebody measures trust: 0.5
/// (docs/design/overlay.md §3).
const TRUST: u32 = 500;
/// What a newcomer must be better by, in thousandths, so that two of a kind do not change places for ever: half
/// of what 20 ms and 40 ms differ by.
const MARGIN: u32 = 50;
/// Minutes that reliability remembers about: the counts are halved when they reach this.
const MEMORY: u32 = 64;
/// Neighbours that this node called and that nobody who calls it can push out (docs/design/overlay.md §3).
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
    links: BTreeMap<NodeId, Quality>,
    /// Neighbours that were taken for their score.
    chosen: BTreeSet<NodeId>,
    /// Who is to come, for whom, since when.
    swap: Option<(NodeId, NodeId, Instant)>,
    swapped: Option<Instant>,
    look_at: Option<Instant>,
}

impl Scores {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn len(&self) -> usize {
        self.links.len().saturating_add(self.chosen.len())
    }

    pub(super) fn stop(&mut self) {
        self.chosen.clear();
        self.swap = None;
        self.look_at = None;
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
}

impl Membership {
    pub(super) fn start_rating(&mut self, cx: &mut Cx<'_>) {
        if self.scores.look_at.is_none() {
            self.scores.look_at = Some(cx.now + cx.rng.jitter(MINUTE, 20));
        }
    }

    pub(super) fn rating_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.scores.look_at.is_none_or(|at| at > cx.now) {
            return;
        }
        self.scores.look_at = Some(cx.now + cx.rng.jitter(MINUTE, 20));
        self.scores.links.values_mut().for_each(|q| q.count(true));
        out.push(Out::Measure);
    }

    /// Links were measured. A node that this one called for some other reason may be a better neighbour.
    pub(super) fn rated(&mut self, links: &[RoundTrip], cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for &RoundTrip { peer, outbound, rtt } in links {
            if !self.linked.contains_key(&peer) {
                continue;
            }
            let fresh = !self.scores.links.contains_key(&peer);
            let quality = self.scores.links.entry(peer).or_default();
            (quality.outbound, quality.rtt) = (outbound, rtt);
            let full = self.running() && !self.only_introduces() && !self.wants_neighbours();
            if fresh && outbound && full && !self.views.asked.contains_key(&peer) && self.better(peer, cx.me, cx.now) {
                self.ask(peer, Urgency::Low, cx, out);
            }
        }
    }

    /// Whether `peer`, which is linked, should replace a neighbour; remembers which.
    pub(super) fn better(&mut self, peer: NodeId, me: NodeId, now: Instant) -> bool {
        let known = self.scores.links.contains_key(&peer) && !self.neighbours.contains(&peer);
        if !known || !by_score(me, peer) || self.only_introduces() || !self.scores.may_swap(now) {
            return false;
        }
        let (neighbours, scores) = (&self.neighbours, &mut self.scores);
        scores.chosen.retain(|n| neighbours.contains(n));
        let called = neighbours.iter().filter(|n| scores.outbound(**n)).count();
        let full = scores.chosen.len() >= self.config.membership.target / 2;
        let may_go = |n: &&NodeId| {
            by_score(me, **n)
                && (!full || scores.chosen.contains(n))
                && (called > MIN_OUTBOUND || scores.outbound(peer) || !scores.outbound(**n))
        };
        let worst = neighbours.iter().filter(may_go).map(|n| (scores.score(*n), *n)).min();
        match worst {
            Some((score, victim)) if score.saturating_add(MARGIN) < scores.score(peer) => {
                scores.swap = Some((peer, victim, now));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Who gives way to `peer`: the one it was found better than, or a random one. Those that this node called
    /// stay while there are no more than two.
    pub(super) fn leaving_for(&mut self, peer: NodeId, cx: &mut Cx<'_>) -> Option<NodeId> {
        let pending = |(to, victim, at): &(NodeId, NodeId, Instant)| {
            *to == peer && self.neighbours.contains(victim) && cx.now.since(*at) < PENDING
        };
        if let Some((_, victim, _)) = self.scores.swap.filter(pending) {
            self.scores.swap = None;
            self.scores.swapped = Some(cx.now);
            self.scores.chosen.insert(peer);
            return Some(victim);
        }
        let called: BTreeSet<NodeId> = self.neighbours.iter().copied().filter(|n| self.scores.outbound(*n)).collect();
        let kept = |n: &NodeId| called.len() <= MIN_OUTBOUND && called.contains(n);
        let others: Vec<NodeId> = self.neighbours.iter().copied().filter(|n| !kept(n)).collect();
        let all: Vec<NodeId> = if others.is_empty() { called.into_iter().collect() } else { others };
        cx.rng.pick(&all).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, id, replies, request};
    use super::*;
    use proptest::prelude::{any, prop, prop_assert, proptest};

    fn quality(rtt: u64, good: u32, bad: u32) -> Quality {
        Quality { outbound: false, rtt: Some(Duration::from_millis(rtt)), good, bad }
    }

    #[test]
    fn the_score_is_the_designs_sum() {
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
        assert!(q.score() + 100 < before, "old merits do not last for ever");
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

    /// A node with six neighbours far away, the first `called` of them called by it.
    fn full(called: u8) -> Bench {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..8 {
            link(&mut b, n, n < 2 + called, 200);
            b.hear(n, &request(Urgency::High));
        }
        assert_eq!(b.m.neighbours().len(), 6);
        b.now = b.now + Duration::from_secs(1_000);
        b
    }

    fn asks(out: &[Out]) -> bool {
        replies(out).iter().any(|m| matches!(m, Message::Request { urgency: Urgency::Low, .. }))
    }

    fn agree(b: &mut Bench, n: u8) {
        b.hear(n, &Message::Response { accepted: Ok(()), available: Vec::new() });
    }

    #[test]
    fn a_nearer_node_replaces_one_neighbour_a_minute_and_half_of_them_in_all() {
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
    fn no_clear_gain_is_no_reason_and_neither_is_somebody_who_calls() {
        let mut b = full(6);
        assert!(!asks(&link(&mut b, 20, true, 190)));
        assert!(!asks(&link(&mut b, 21, true, 500)));
        let caller = (22..60).find(|n| by_score(b.me, id(*n))).unwrap();
        assert!(!asks(&link(&mut b, caller, false, 1)), "it may ask by itself");
        let answer = replies(&b.hear(caller, &request(Urgency::Low)));
        assert!(
            matches!(answer[..], [Message::Response { accepted: Ok(()), .. }, Message::Disconnect { .. }]),
            "{answer:?}"
        );
        let answer = replies(&b.hear(20, &request(Urgency::Low)));
        assert!(matches!(answer[..], [Message::Response { accepted: Err(Refusal::Full), .. }]), "{answer:?}");
        assert_eq!(b.m.neighbours().len(), 6);
    }

    #[test]
    fn a_refusal_costs_nobody_a_place() {
        let mut b = full(6);
        let before = b.m.neighbours().clone();
        let near = (20..60).find(|n| by_score(b.me, id(*n))).unwrap();
        assert!(asks(&link(&mut b, near, true, 1)));
        b.hear(near, &Message::Response { accepted: Err(Refusal::Full), available: Vec::new() });
        assert_eq!(b.m.neighbours(), &before);
    }

    #[test]
    fn a_crowd_that_calls_leaves_two_that_were_called() {
        let mut b = full(3);
        for n in 30..200 {
            link(&mut b, n, false, 1);
            b.hear(n, &request(if n % 2 == 0 { Urgency::Join } else { Urgency::Low }));
            b.now = b.now + Duration::from_secs(20);
            let called = (2..5).filter(|n| b.m.neighbours().contains(&id(*n))).count();
            assert!(called >= 2, "only {called} of those that it called");
        }
        assert!(b.m.neighbours().iter().any(|n| *n > id(7) || *n < id(2)), "others came");
    }

    proptest! {
        #[test]
        fn score_never_takes_more_than_half_nor_the_last_two(
            called in 0..7u8,
            steps in prop::collection::vec((8..60u8, any::<bool>(), 0..400u64, 0..5u8, 0..90u64), 0..60),
        ) {
            let mut b = full(called);
            let mut last: Option<Instant> = None;
            for (n, outbound, rtt, what, wait) in steps {
                b.now = b.now + Duration::from_secs(wait);
                let outs = |b: &Bench| b.m.neighbours().iter().filter(|n| b.m.scores.outbound(**n)).count();
                let (before, swapped) = (outs(&b), b.m.scores.swapped);
                let all = b.m.neighbours().clone();
                match what {
                    0 => drop(b.fact(Fact::LinkDown { peer: id(n), reason: DownReason::Closed })),
                    1 => drop(b.hear(n, &request(Urgency::Low))),
                    2 => agree(&mut b, n),
                    3 => drop(b.fact(Fact::LinkSuspected(id(n)))),
                    _ if !b.m.linked.contains_key(&id(n)) => {
                        link(&mut b, n, outbound, rtt);
                    }
                    _ => {}
                }
                let scores = &b.m.scores;
                let chosen = scores.chosen.iter().filter(|n| b.m.neighbours().contains(*n)).count();
                prop_assert!(chosen <= 3, "{chosen} chosen");
                if scores.swapped != swapped {
                    prop_assert!(last.is_none_or(|at| b.now.since(at) >= MINUTE));
                    prop_assert!(outs(&b) >= before.min(2), "{} of {before} called", outs(&b));
                    let random = all.iter().filter(|n| !by_score(b.me, **n));
                    prop_assert!(random.into_iter().all(|n| b.m.neighbours().contains(n)), "the random half");
                    last = Some(b.now);
                }
                prop_assert!(scores.links.len() == b.m.linked.len());
            }
        }
    }
}
