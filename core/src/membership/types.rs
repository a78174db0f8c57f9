//! What the types of nodes mean here (docs/design/overlay.md §6).
//!
//! A type is a claim in a node's own record. BOOTSTRAP promises less than others, so it is taken at its word.
//! SUPER and RELAY promise that others can reach the node, so they count only after this node did: see
//! [`Known::is_verified`].

use super::*;

/// A way that a node's own packets opened through its NAT box is closed when it was not used for this long:
/// 10 min, twice what RFC 4787 (REQ-5) recommends and five times the least it demands. Whoever is reached within
/// that time after it called may be reachable by nobody else.
const HOLE: Duration = Duration::from_secs(600);
/// How often a claim is put to the test: as often as somebody met before is contacted
/// (docs/design/overlay.md §8), so a book full of claims is through in a night, at a handshake a minute.
const PROBE: Duration = Duration::from_secs(60);
/// What was found out is found out again after this: an hour (docs/design/overlay.md §6).
const AGAIN: Duration = Duration::from_secs(3_600);

/// Claims and how they are tested.
#[derive(Default)]
pub(super) struct Probes {
    probe_at: Option<Instant>,
    /// Links whose opener was noted: as many as there are links.
    noted: BTreeSet<NodeId>,
}

impl Probes {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.probe_at
    }

    pub(super) fn len(&self) -> usize {
        self.noted.len()
    }

    pub(super) fn stop(&mut self) {
        self.probe_at = None;
    }
}

impl Membership {
    /// Links were looked at. One that this node opened shows that others can reach the node at its other end,
    /// unless that had called a moment ago.
    pub(super) fn measured(&mut self, links: &[RoundTrip], cx: &Cx<'_>) {
        for &RoundTrip { peer, outbound, .. } in links {
            if !self.linked.contains_key(&peer) || !self.probes.noted.insert(peer) {
                continue;
            }
            let Some(known) = self.book.get_mut(peer) else { continue };
            if !outbound {
                known.called = Some(cx.now);
            } else if known.called.is_none_or(|at| cx.now.since(at) >= HOLE) {
                known.reached = Some(cx.now);
                known.called = None;
            }
        }
    }

    /// A link is gone. Silence unproves what was proven; and what the other's box let through it may let through
    /// for a while.
    pub(super) fn link_ended(&mut self, peer: NodeId, reason: DownReason, now: Instant) {
        self.probes.noted.remove(&peer);
        if reason == DownReason::Timeout {
            self.not_reached(peer);
        }
        if let Some(known) = self.book.get_mut(peer)
            && known.called.is_some()
        {
            known.called = Some(now);
        }
    }

    pub(super) fn not_reached(&mut self, peer: NodeId) {
        if let Some(known) = self.book.get_mut(peer) {
            known.reached = None;
        }
    }

    pub(super) fn start_probing(&mut self, cx: &mut Cx<'_>) {
        if self.probes.probe_at.is_none() {
            self.probes.probe_at = Some(cx.now + cx.rng.jitter(PROBE, 20));
        }
    }

    /// Tries one of those that say that others can reach them and have not shown it lately.
    pub(super) fn probe_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.probes.probe_at.is_none_or(|at| at > cx.now) {
            return;
        }
        self.probes.probe_at = Some(cx.now + cx.rng.jitter(PROBE, 20));
        let doubtful = |k: &Known| {
            matches!(k.node_type(), NodeType::Super | NodeType::Relay)
                && !k.rests(cx.now)
                && k.called.is_none_or(|at| cx.now.since(at) >= HOLE)
                && k.reached.is_none_or(|at| cx.now.since(at) >= AGAIN)
        };
        let all = self.book.iter().filter(|(id, k)| *id != cx.me && !self.linked.contains_key(id) && doubtful(k));
        let all: Vec<NodeId> = all.map(|(id, _)| id).collect();
        if let Some(&peer) = cx.rng.pick(&all) {
            self.connect_at(peer, cx.now, out);
        }
    }
}

impl Membership {
    /// Whether this node only introduces others: it has no neighbours and belongs to no part of the mesh.
    pub(super) fn only_introduces(&self) -> bool {
        self.room_for() == 0
    }

    /// Asks a node that introduces for names, also when this one has all its neighbours: it may have met nodes of
    /// another part of the network, and those are found by trying them (`partition.rs`).
    pub(super) fn introduced(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let introduces = self.book.get(peer).is_some_and(|k| k.node_type() == NodeType::Bootstrap);
        if introduces && !self.only_introduces() && !self.wants_neighbours() {
            self.ask(peer, Urgency::Names, cx, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, addr, id, replies, request};
    use super::*;
    use crate::identity::tests::identity;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn of_type(node_type: NodeType) -> Bench {
        let config = Config { node_type, ..Config::default() };
        Bench { m: Membership::new(&config, &identity(1)), ..Bench::new() }
    }

    fn claims(n: u8, node_type: NodeType) -> NodeRecord {
        NodeRecord::sign(&identity(n), [n; 32], 1, WallTime(0), node_type)
    }

    fn up_as(b: &mut Bench, n: u8, node_type: NodeType) -> Vec<Out> {
        b.fact(Fact::LinkUp { peer: id(n), record: claims(n, node_type), addr: addr(n) })
    }

    #[test]
    fn each_type_keeps_its_number_of_neighbours() {
        for (node_type, most) in
            [(NodeType::Bootstrap, 0), (NodeType::Regular, 6), (NodeType::Super, 8), (NodeType::Relay, 8)]
        {
            let mut b = of_type(node_type);
            b.input(In::Join(Vec::new()));
            for n in 2..20 {
                b.up(n);
                b.hear(n, &request(Urgency::Join));
                assert!(b.m.neighbours().len() <= most, "{node_type}");
            }
            assert_eq!(b.m.neighbours().len(), most, "{node_type}");
        }
    }

    #[test]
    fn a_bootstrap_is_of_no_part_and_merges_with_nobody() {
        let mut b = of_type(NodeType::Bootstrap);
        b.input(In::Join(Vec::new()));
        b.up(2);
        let said = b.run(120);
        let sketched = |m: &Message| matches!(m, Message::Sketch { .. });
        assert!(!said.iter().any(|(_, o)| replies(core::slice::from_ref(o)).iter().any(sketched)), "{said:?}");
        let greeting = replies(&b.up(3));
        assert!(!greeting.iter().any(sketched), "{greeting:?}");
        let answer = replies(&b.hear(3, &Message::Sketch { neighbour: false, marks: alloc::vec![(7, 7, 0)] }));
        assert!(answer.is_empty(), "{answer:?}");
        let answer = replies(&b.hear(3, &request(Urgency::Merge)));
        assert!(matches!(answer[..], [Message::Response { accepted: Err(Refusal::Full), .. }]), "{answer:?}");
        assert!(b.m.neighbours().is_empty());
    }

    #[test]
    fn whoever_has_all_neighbours_asks_a_bootstrap_for_names_and_nobody_else() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..8 {
            b.up(n);
            b.hear(n, &request(Urgency::High));
        }
        let asks = |m: &Message| matches!(m, Message::Request { urgency: Urgency::Names, .. });
        assert!(!replies(&up_as(&mut b, 8, NodeType::Super)).iter().any(asks));
        assert!(replies(&up_as(&mut b, 9, NodeType::Bootstrap)).iter().any(asks));
    }

    fn verified(b: &Bench, n: u8) -> bool {
        b.m.get(id(n)).is_some_and(Known::is_verified)
    }

    fn linked_by(b: &mut Bench, n: u8, outbound: bool) {
        up_as(b, n, NodeType::Super);
        b.fact(Fact::RoundTrips(alloc::vec![RoundTrip { peer: id(n), outbound, rtt: None }]));
    }

    fn down(b: &mut Bench, n: u8, reason: DownReason) {
        b.fact(Fact::LinkDown { peer: id(n), reason });
    }

    #[test]
    fn a_claim_counts_after_the_node_was_reached_and_until_it_is_not() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        linked_by(&mut b, 2, true);
        assert!(verified(&b, 2));
        down(&mut b, 2, DownReason::Unwanted);
        assert!(verified(&b, 2), "nobody needed the link");
        b.input(In::Unreachable { addr: addr(2), expect: Some(id(2)), wrong_node: false });
        assert!(!verified(&b, 2));
        linked_by(&mut b, 2, true);
        down(&mut b, 2, DownReason::Timeout);
        assert!(!verified(&b, 2));
    }

    #[test]
    fn who_calls_proves_nothing_and_neither_does_an_answer_through_the_hole_it_made() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        linked_by(&mut b, 2, false);
        assert!(!verified(&b, 2));
        // A long link keeps the way open, so the time counts from its end.
        b.now = b.now + Duration::from_secs(5_000);
        down(&mut b, 2, DownReason::Unwanted);
        b.now = b.now + HOLE / 2;
        linked_by(&mut b, 2, true);
        assert!(!verified(&b, 2), "its box may have let this in");
        down(&mut b, 2, DownReason::Unwanted);
        b.now = b.now + HOLE;
        linked_by(&mut b, 2, true);
        assert!(verified(&b, 2));
    }

    #[test]
    fn claims_are_tested_one_a_minute_and_only_those_that_others_would_rely_on() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..8 {
            b.up(n);
            b.hear(n, &request(Urgency::High));
        }
        // Somebody tells of nodes with all sorts of claims.
        let told: Vec<(u8, NodeType)> = (20..28).zip(NodeType::ALL.into_iter().cycle()).collect();
        let available = told.iter().map(|(n, t)| NodeInfo {
            record: Blob(claims(*n, *t).encode()),
            name: None,
            addrs: alloc::vec![addr(*n)],
        });
        b.hear(2, &Message::Response { accepted: Err(Refusal::NotAsked), available: available.collect() });
        b.m.part = Part::default();
        let mut tried = Vec::new();
        for _ in 0..60 {
            for (_, out) in b.run(10) {
                if let Out::Connect { expect: Some(peer), .. } = out {
                    tried.push(peer);
                    let n = told.iter().find(|(n, _)| id(*n) == peer).unwrap().0;
                    let record = claims(n, told.iter().find(|t| t.0 == n).unwrap().1);
                    b.fact(Fact::LinkUp { peer, record, addr: addr(n) });
                    b.fact(Fact::RoundTrips(alloc::vec![RoundTrip { peer, outbound: true, rtt: None }]));
                    down(&mut b, n, DownReason::Unwanted);
                }
            }
            b.m.part = Part::default();
        }
        tried.sort_unstable();
        let mut wanted: Vec<NodeId> =
            told.iter().filter(|t| matches!(t.1, NodeType::Super | NodeType::Relay)).map(|t| id(t.0)).collect();
        wanted.sort_unstable();
        assert_eq!(tried, wanted, "each once");
        assert!(told.iter().all(|(n, t)| verified(&b, *n) == matches!(t, NodeType::Super | NodeType::Relay)));
    }

    proptest! {
        /// A reference model: verified is who was reached with no call of its own in the ten minutes before, and
        /// was not missed since.
        #[test]
        fn only_who_was_reached_counts(steps in prop::collection::vec((0..5u8, 2..5u8, any::<bool>(), 0..900u64), 0..80)) {
            let mut b = Bench::new();
            b.input(In::Join(Vec::new()));
            let mut called: BTreeMap<u8, Instant> = BTreeMap::new();
            let mut proven: BTreeSet<u8> = BTreeSet::new();
            let mut linked: BTreeMap<u8, bool> = BTreeMap::new();
            for (what, n, flag, wait) in steps {
                b.now = b.now + Duration::from_secs(wait);
                match what {
                    0 | 1 if !linked.contains_key(&n) => {
                        up_as(&mut b, n, NodeType::Relay);
                        b.fact(Fact::RoundTrips(alloc::vec![RoundTrip { peer: id(n), outbound: flag, rtt: None }]));
                        let hole = called.get(&n).is_some_and(|at| b.now.since(*at) < HOLE);
                        if flag && !hole {
                            proven.insert(n);
                            called.remove(&n);
                        } else if !flag {
                            called.insert(n, b.now);
                        }
                        linked.insert(n, flag);
                    }
                    // Again says nothing more, whatever it says.
                    2 => drop(b.fact(Fact::RoundTrips(alloc::vec![RoundTrip { peer: id(n), outbound: flag, rtt: None }]))),
                    3 if linked.remove(&n).is_some() => {
                        down(&mut b, n, if flag { DownReason::Timeout } else { DownReason::Closed });
                        if flag {
                            proven.remove(&n);
                        }
                        called.entry(n).and_modify(|at| *at = b.now);
                    }
                    4 => {
                        b.input(In::Unreachable { addr: addr(n), expect: Some(id(n)), wrong_node: flag });
                        proven.remove(&n);
                    }
                    _ => {}
                }
                for n in 2..5 {
                    prop_assert_eq!(verified(&b, n), proven.contains(&n));
                }
                prop_assert!(b.m.probes.len() <= linked.len());
            }
        }
    }
}
