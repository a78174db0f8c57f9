//! Whether nodes are what they claim (docs/design/overlay.md §6).
//!
//! A type is a claim in a node's own record. BOOTSTRAP promises less than others, so it needs no proof. SUPER and
//! RELAY promise that others can reach the node, so they count only after this node did: see [`Known::is_verified`].

use alloc::vec::Vec;

use crate::collections::OrderedSet;
use crate::config::NodeType;
use crate::fact::{DownReason, RoundTrip};
use crate::id::NodeId;
use crate::machine::Cx;
use crate::time::{Duration, Instant};

use super::book::{Book, Known};
use super::peers::Peers;

/// A binding that a node's own packets made in its NAT box ends when it was not used for this long:
/// 10 min, twice what RFC 4787 (REQ-5) recommends and five times the least it demands. A node that is reached within
/// that time after it connected may not be reachable by any other.
const NAT_BINDING_LIFETIME: Duration = Duration::from_secs(600);
/// How often a claim is probed: as often as a known node is contacted (docs/design/overlay.md §8), so a book full
/// of claims is through in a night, at a handshake a minute.
const PROBE: Duration = Duration::from_secs(60);
/// A verified claim is probed again after this: an hour (docs/design/overlay.md §6).
const REPROBE_INTERVAL: Duration = Duration::from_secs(3_600);

#[derive(Default)]
pub(super) struct RoleProbes {
    probe_at: Option<Instant>,
    /// Links whose initiator was noted.
    /// INVARIANT: open links only.
    noted: OrderedSet<NodeId>,
}

impl RoleProbes {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.probe_at
    }

    pub(super) fn len(&self) -> usize {
        self.noted.len()
    }

    pub(super) fn start(&mut self, cx: &mut Cx<'_>) {
        if self.probe_at.is_none() {
            self.probe_at = Some(cx.now + cx.rng.jitter(PROBE, 20));
        }
    }

    pub(super) fn stop(&mut self) {
        self.probe_at = None;
    }

    /// Links were measured. An outbound one shows that others can reach its peer, unless that had connected itself
    /// a moment ago.
    pub(super) fn measured(&mut self, links: &[RoundTrip], peers: &mut Peers, now: Instant) {
        for &RoundTrip { peer, outbound, .. } in links {
            if !peers.links.contains(peer) || !self.noted.insert(peer) {
                continue;
            }
            let Some(known) = peers.book.get_mut(peer) else { continue };
            if !outbound {
                known.inbound_at = Some(now);
            } else if !has_binding(known, now) {
                known.verified_at = Some(now);
                known.inbound_at = None;
            }
        }
    }

    /// A link is gone. Silence disproves what was verified; and the NAT binding that the peer made may last a while.
    pub(super) fn link_down(&mut self, peer: NodeId, reason: DownReason, book: &mut Book, now: Instant) {
        self.noted.remove(&peer);
        let Some(known) = book.get_mut(peer) else { return };
        if reason == DownReason::Timeout {
            known.verified_at = None;
        }
        if known.inbound_at.is_some() {
            known.inbound_at = Some(now);
        }
    }

    /// If a probe is due: one of the nodes that claim to be reachable and have not shown it recently.
    pub(super) fn handle_timeout(&mut self, peers: &Peers, cx: &mut Cx<'_>) -> Option<NodeId> {
        self.probe_at.filter(|at| *at <= cx.now)?;
        self.probe_at = Some(cx.now + cx.rng.jitter(PROBE, 20));
        let unproven = |k: &Known| {
            matches!(k.node_type(), NodeType::Super | NodeType::Relay)
                && !k.is_backing_off(cx.now)
                && !has_binding(k, cx.now)
                && k.verified_at.is_none_or(|at| cx.now.since(at) >= REPROBE_INTERVAL)
        };
        let all = peers.book.iter().filter(|(id, k)| *id != cx.me && !peers.links.contains(*id) && unproven(k));
        let all: Vec<NodeId> = all.map(|(id, _)| id).collect();
        cx.rng.pick(&all).copied()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, linked: impl Fn(NodeId) -> bool) -> Result<(), &'static str> {
        match self.noted.iter().all(|peer| linked(*peer)) {
            true => Ok(()),
            false => Err("the initiator of a link is noted that is gone"),
        }
    }
}

/// Whether a link that the node made may have left a binding in its NAT box.
fn has_binding(known: &Known, now: Instant) -> bool {
    known.inbound_at.is_some_and(|at| now.since(at) < NAT_BINDING_LIFETIME)
}

#[cfg(test)]
mod tests {
    use super::super::partition::Partition;
    use super::super::tests::{Bench, addr, id, replies, request};
    use super::super::wire::{Message, NodeInfo, Refusal, Urgency};
    use super::super::{In, Membership, Out};
    use super::*;
    use crate::collections::OrderedMap;
    use crate::config::Config;
    use crate::fact::Fact;
    use crate::identity::tests::identity;
    use crate::time::WallTime;
    use crate::wire::Blob;
    use crate::wire::record::NodeRecord;
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
                b.receive(n, &request(Urgency::Join));
                assert!(b.m.neighbours().len() <= most, "{node_type}");
            }
            assert_eq!(b.m.neighbours().len(), most, "{node_type}");
        }
    }

    #[test]
    fn a_bootstrap_sends_no_sketch_and_merges_with_no_part() {
        let mut b = of_type(NodeType::Bootstrap);
        b.input(In::Join(Vec::new()));
        b.up(2);
        let said = b.run(120);
        let sketched = |m: &Message| matches!(m, Message::Sketch { .. });
        assert!(!said.iter().any(|(_, o)| replies(core::slice::from_ref(o)).iter().any(sketched)), "{said:?}");
        let greeting = replies(&b.up(3));
        assert!(!greeting.iter().any(sketched), "{greeting:?}");
        let answer =
            replies(&b.receive(3, &Message::Sketch { neighbour: false, anchor: false, marks: alloc::vec![(7, 7, 0)] }));
        assert!(answer.is_empty(), "{answer:?}");
        let answer = replies(&b.receive(3, &request(Urgency::Merge)));
        assert!(matches!(answer[..], [Message::Response { accepted: Err(Refusal::Full), .. }]), "{answer:?}");
        assert!(b.m.neighbours().is_empty());
    }

    #[test]
    fn a_full_node_asks_only_bootstraps_for_names() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..8 {
            b.up(n);
            b.receive(n, &request(Urgency::High));
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
    fn a_claim_counts_from_reaching_the_node_until_a_failure() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        linked_by(&mut b, 2, true);
        assert!(verified(&b, 2));
        down(&mut b, 2, DownReason::Unwanted);
        assert!(verified(&b, 2), "no machine needed the link");
        b.input(In::Unreachable { addr: addr(2), expect: Some(id(2)), wrong_node: false });
        assert!(!verified(&b, 2));
        linked_by(&mut b, 2, true);
        down(&mut b, 2, DownReason::Timeout);
        assert!(!verified(&b, 2));
    }

    #[test]
    fn an_inbound_link_or_its_nat_binding_verifies_no_claim() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        linked_by(&mut b, 2, false);
        assert!(!verified(&b, 2));
        // A long link keeps the way open, so the time counts from its end.
        b.now = b.now + Duration::from_secs(5_000);
        down(&mut b, 2, DownReason::Unwanted);
        b.now = b.now + NAT_BINDING_LIFETIME / 2;
        linked_by(&mut b, 2, true);
        assert!(!verified(&b, 2), "its NAT binding may have let this in");
        down(&mut b, 2, DownReason::Unwanted);
        b.now = b.now + NAT_BINDING_LIFETIME;
        linked_by(&mut b, 2, true);
        assert!(verified(&b, 2));
    }

    #[test]
    fn super_and_relay_claims_are_probed_one_a_minute() {
        let mut b = Bench::new();
        b.input(In::Join(Vec::new()));
        for n in 2..8 {
            b.up(n);
            b.receive(n, &request(Urgency::High));
        }
        // A neighbour reports nodes with all sorts of claims.
        let reported: Vec<(u8, NodeType)> = (20..28).zip(NodeType::ALL.into_iter().cycle()).collect();
        let available = reported.iter().map(|(n, t)| NodeInfo {
            record: Blob(claims(*n, *t).encode()),
            name: None,
            addrs: alloc::vec![addr(*n)],
        });
        b.receive(2, &Message::Response { accepted: Err(Refusal::NotAsked), available: available.collect() });
        b.m.partition = Partition::default();
        let mut tried = Vec::new();
        for _ in 0..60 {
            for (_, out) in b.run(10) {
                if let Out::Connect { expect: Some(peer), .. } = out {
                    tried.push(peer);
                    let n = reported.iter().find(|(n, _)| id(*n) == peer).unwrap().0;
                    let record = claims(n, reported.iter().find(|t| t.0 == n).unwrap().1);
                    b.fact(Fact::LinkUp { peer, record, addr: addr(n) });
                    b.fact(Fact::RoundTrips(alloc::vec![RoundTrip { peer, outbound: true, rtt: None }]));
                    down(&mut b, n, DownReason::Unwanted);
                }
            }
            b.m.partition = Partition::default();
        }
        tried.sort_unstable();
        let mut wanted: Vec<NodeId> =
            reported.iter().filter(|t| matches!(t.1, NodeType::Super | NodeType::Relay)).map(|t| id(t.0)).collect();
        wanted.sort_unstable();
        assert_eq!(tried, wanted, "each once");
        assert!(reported.iter().all(|(n, t)| verified(&b, *n) == matches!(t, NodeType::Super | NodeType::Relay)));
    }

    proptest! {
        /// A reference model: a node is verified if it was reached without a link of its own in the ten minutes
        /// before, and was not missed since.
        #[test]
        fn only_a_reached_node_is_verified(steps in prop::collection::vec((0..5u8, 2..5u8, any::<bool>(), 0..900u64), 0..80)) {
            let mut b = Bench::new();
            b.input(In::Join(Vec::new()));
            let mut inbound: OrderedMap<u8, Instant> = OrderedMap::new();
            let mut reached: OrderedSet<u8> = OrderedSet::new();
            let mut linked: OrderedMap<u8, bool> = OrderedMap::new();
            for (what, n, flag, wait) in steps {
                b.now = b.now + Duration::from_secs(wait);
                match what {
                    0 | 1 if !linked.contains_key(&n) => {
                        up_as(&mut b, n, NodeType::Relay);
                        b.fact(Fact::RoundTrips(alloc::vec![RoundTrip { peer: id(n), outbound: flag, rtt: None }]));
                        let binding = inbound.get(&n).is_some_and(|at| b.now.since(*at) < NAT_BINDING_LIFETIME);
                        if flag && !binding {
                            reached.insert(n);
                            inbound.remove(&n);
                        } else if !flag {
                            inbound.insert(n, b.now);
                        }
                        linked.insert(n, flag);
                    }
                    // A second measurement of a link changes nothing.
                    2 => drop(b.fact(Fact::RoundTrips(alloc::vec![RoundTrip { peer: id(n), outbound: flag, rtt: None }]))),
                    3 if linked.remove(&n).is_some() => {
                        down(&mut b, n, if flag { DownReason::Timeout } else { DownReason::Closed });
                        if flag {
                            reached.remove(&n);
                        }
                        inbound.extend(inbound.contains_key(&n).then_some((n, b.now)));
                    }
                    4 => {
                        b.input(In::Unreachable { addr: addr(n), expect: Some(id(n)), wrong_node: flag });
                        reached.remove(&n);
                    }
                    _ => {}
                }
                for n in 2..5 {
                    prop_assert_eq!(verified(&b, n), reached.contains(&n));
                }
                prop_assert!(b.m.roles.len() <= linked.len());
            }
        }
    }
}
