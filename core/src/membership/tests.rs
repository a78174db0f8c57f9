use super::hyparview::MERGE_CAPACITY;
use super::*;
use crate::config::NodeType;
use crate::identity::tests::identity;
use crate::rng::Rng;
use crate::time::WallTime;
use crate::wire::record::{BOT, Claims};
use crate::wire::{Blob, encode};
use alloc::vec;
use proptest::prelude::{any, prop, prop_assert, proptest};

pub(super) struct Bench {
    pub m: Membership,
    pub rng: Rng,
    pub now: Instant,
    pub me: NodeId,
}

pub(super) fn record(n: u8) -> NodeRecord {
    NodeRecord::sign(&identity(n), [n; 32], 1, WallTime(0), NodeType::Regular)
}

pub(super) fn id(n: u8) -> NodeId {
    identity(n).node_id()
}

pub(super) fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4000))
}

impl Bench {
    pub fn new() -> Self {
        let who = identity(1);
        let m = Membership::new(&Config::default(), &who);
        Self { m, rng: Rng::new([0; 32]), now: Instant::ZERO, me: who.node_id() }
    }

    pub fn step(&mut self, f: impl FnOnce(&mut Membership, &mut Cx<'_>, &mut Outbox<Out>)) -> Vec<Out> {
        let mut out = Outbox::new();
        let mut cx = Cx { now: self.now, wall: WallTime(5), me: self.me, rng: &mut self.rng };
        f(&mut self.m, &mut cx, &mut out);
        out.take()
    }

    pub fn input(&mut self, input: In) -> Vec<Out> {
        self.step(|m, cx, out| m.handle(cx, input, out))
    }

    pub fn fact(&mut self, fact: Fact) -> Vec<Out> {
        self.step(|m, cx, out| m.fact(cx, &fact, out))
    }

    pub fn up(&mut self, n: u8) -> Vec<Out> {
        self.fact(Fact::LinkUp { peer: id(n), record: record(n), addr: addr(n) })
    }

    pub fn receive(&mut self, n: u8, message: &Message) -> Vec<Out> {
        self.input(In::Message { from: id(n), body: encode(message) })
    }

    pub fn run(&mut self, seconds: u64) -> Vec<(Instant, Out)> {
        let end = self.now + Duration::from_secs(seconds);
        let mut all = Vec::new();
        while let Some(at) = self.m.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let out = self.step(|m, cx, out| m.handle_timeout(cx, out));
            assert!(self.m.next_deadline().is_none_or(|d| d > self.now), "law 1");
            all.extend(out.into_iter().map(|o| (self.now, o)));
        }
        self.now = end;
        all
    }
}

/// A zone of so many others.
fn zone_of(others: usize) -> Fact {
    Fact::Zone(Some((0..others).map(|n| NodeId([n as u8; 32])).collect()))
}

fn join(addrs: &[u8]) -> In {
    In::Join(addrs.iter().map(|n| Bootstrap { addr: addr(*n), id: None }).collect())
}

pub(super) fn request(urgency: Urgency) -> Message {
    Message::Request { urgency, max_neighbours: 1, preferred: Vec::new(), location: None }
}

fn info(n: u8) -> NodeInfo {
    NodeInfo { record: Blob(record(n).encode()), name: None, addrs: vec![addr(n)] }
}

pub(super) fn replies(out: &[Out]) -> Vec<Message> {
    out.iter()
        .filter_map(|o| if let Out::Send { body, .. } = o { decode(body, MAX_BYTES).ok() } else { None })
        .collect()
}

#[test]
fn the_first_node_of_a_network_is_active_at_once() {
    let mut b = Bench::new();
    b.input(In::Join(Vec::new()));
    assert_eq!(b.m.state(), NodeState::Active);
}

#[test]
fn a_dead_bootstrap_is_tried_for_ever_with_growing_pauses() {
    let mut b = Bench::new();
    assert!(matches!(b.input(join(&[2]))[..], [Out::Open, Out::State { .. }, Out::Connect { .. }]));
    let mut times = Vec::new();
    for _ in 0..12 {
        b.input(In::Unreachable { addr: addr(2), expect: None, wrong_node: false });
        let start = b.now;
        let tries = b.run(100);
        assert!(matches!(tries[..], [(_, Out::Connect { .. })]), "{tries:?}");
        times.push(tries[0].0.since(start).as_millis());
    }
    assert!((800..=1_200).contains(&times[0]), "{times:?}");
    assert!((1_600..=2_400).contains(&times[1]), "{times:?}");
    assert!(times[8..].iter().all(|t| (48_000..=72_000).contains(t)), "{times:?}");
}

#[test]
fn a_link_becomes_a_neighbour_when_it_agrees() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    let sent = replies(&b.up(2));
    assert!(matches!(sent[..], [Message::Announcement { .. }, Message::Request { .. }]), "{sent:?}");
    assert_eq!(b.m.state(), NodeState::Connecting);
    let out = b.receive(2, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert!(out.iter().any(|o| matches!(o, Out::Fact(Fact::NeighbourUp(p)) if *p == id(2))));
    assert_eq!(b.m.state(), NodeState::Active);
    let out = b.fact(Fact::LinkDown { peer: id(2), reason: DownReason::Timeout });
    assert!(out.iter().any(|o| matches!(o, Out::Unwant(_))), "law 4");
    assert_eq!(b.m.state(), NodeState::Degraded);
    b.up(2);
    assert_eq!(b.m.state(), NodeState::Recovering);
    b.receive(2, &request(Urgency::Low));
    assert_eq!(b.m.state(), NodeState::Recovering, "until histories are compared");
    b.input(In::Compared(id(3)));
    assert_eq!(b.m.state(), NodeState::Recovering, "with a neighbour, not with any peer");
    b.input(In::Compared(id(2)));
    assert_eq!(b.m.state(), NodeState::Active);
}

/// Neighbours 2 to 7; `lost` of them and of a zone of `zone` stop to answer within ten seconds.
fn after_losing(lost: u8, zone: usize) -> Bench {
    let mut b = full();
    b.fact(zone_of(zone));
    for n in 2..2 + lost {
        b.fact(Fact::MemberChanged { peer: id(n), state: MemberState::Suspect, own: true });
        b.run(1);
    }
    b
}

#[test]
fn losing_two_fifths_of_all_peers_at_once_degrades_a_node() {
    assert_eq!(after_losing(3, 10).m.state(), NodeState::Active);
    assert_eq!(after_losing(4, 10).m.state(), NodeState::Degraded);
    let mut slowly = full();
    slowly.fact(zone_of(10));
    for n in 2..8 {
        slowly.fact(Fact::MemberChanged { peer: id(n), state: MemberState::Suspect, own: true });
        slowly.run(11);
    }
    assert_eq!(slowly.m.state(), NodeState::Active, "a network always loses some");
}

/// The few nodes that a great failure leaves may not know of each other: most of their known nodes are gone.
#[test]
fn a_degraded_node_tries_all_known_nodes_then_one_a_minute() {
    let contacts = |lost: u8| {
        let mut b = after_losing(lost, 10);
        for n in 20..60 {
            b.up(n);
            b.fact(Fact::LinkDown { peer: id(n), reason: DownReason::Closed });
        }
        let mut contacted = |seconds| -> OrderedSet<NodeId> {
            let mut tried = OrderedSet::new();
            for _ in 0..seconds {
                let said = b.run(1);
                let whom =
                    said.iter().filter_map(|(_, o)| if let Out::Connect { expect, .. } = o { *expect } else { None });
                for peer in whom {
                    tried.insert(peer);
                    // No node answers.
                    b.input(In::Unreachable { addr: addr(9), expect: Some(peer), wrong_node: false });
                }
            }
            tried
        };
        (contacted(130).len(), contacted(300).len())
    };
    let (first, then) = contacts(3);
    assert!((1..=4).contains(&first) && (4..=7).contains(&then), "once a minute: {first}, {then}");
    let (first, then) = contacts(4);
    assert!(first == 40 && (4..=7).contains(&then), "all of them, then one a minute: {first}, {then}");
}

/// Where most nodes are dead, the passive view alone may name none that lives.
#[test]
fn a_node_without_neighbours_tries_evicted_nodes_too() {
    let reported = 50..200u8;
    let tried = |lost: u8| {
        let mut b = full();
        for n in reported.clone() {
            b.receive(2, &Message::Response { accepted: Err(Refusal::NotAsked), available: vec![info(n)] });
        }
        assert_eq!(b.m.peers.book.passive_view().count(), Config::default().membership.passive);
        let mut tried = Vec::new();
        for n in 2..8 {
            let mut said = match n < 2 + lost {
                true => b.fact(Fact::LinkDown { peer: id(n), reason: DownReason::Timeout }),
                false => Vec::new(),
            };
            said.extend(b.run(10).into_iter().map(|(_, o)| o));
            while let Some(o) = said.pop() {
                if let Out::Connect { expect: Some(peer), .. } = o {
                    tried.push(peer);
                    // No node answers.
                    said.extend(b.input(In::Unreachable { addr: addr(9), expect: Some(peer), wrong_node: false }));
                }
            }
        }
        reported.clone().filter(|n| tried.contains(&id(*n))).count()
    };
    assert!(tried(3) <= 36, "half of them are enough to find others by");
    assert_eq!(tried(6), 150);
}

#[test]
fn evicted_nodes_are_bounded_and_not_in_the_book() {
    let mut b = full();
    // A node that is reported again is in the book again.
    for n in (8..=255u8).chain(8..=255) {
        b.receive(2, &Message::Response { accepted: Err(Refusal::NotAsked), available: vec![info(n)] });
    }
    assert_eq!((b.m.peers.book.passive_view().count(), b.m.peers.book.evicted()), (36, 128));
    let mut kept = OrderedSet::new();
    while let Some((peer, _)) = b.m.peers.book.pop_evicted() {
        assert!(b.m.get(peer).is_none() && kept.insert(peer), "once, and not in the book");
    }
}

#[test]
fn a_degraded_node_recovers_when_half_are_back_or_given_up() {
    let mut b = after_losing(4, 10);
    b.up(9);
    b.receive(9, &request(Urgency::High));
    assert_eq!(b.m.state(), NodeState::Degraded, "neighbours of the same part prove nothing");
    b.fact(Fact::MemberChanged { peer: id(2), state: MemberState::Alive, own: true });
    assert_eq!(b.m.state(), NodeState::Degraded);
    let out = b.fact(Fact::MemberChanged { peer: id(3), state: MemberState::Alive, own: true });
    assert_eq!(b.m.state(), NodeState::Recovering);
    assert!(out.iter().any(|o| matches!(o, Out::Compare(p) if *p == id(3))), "{out:?}");
    b.input(In::Compared(id(9)));
    assert_eq!(b.m.state(), NodeState::Active);

    let mut given_up = after_losing(4, 10);
    given_up.run(590);
    assert_eq!(given_up.m.state(), NodeState::Degraded);
    given_up.run(12);
    assert_eq!(given_up.m.state(), NodeState::Recovering);
    given_up.run(31);
    assert_eq!(given_up.m.state(), NodeState::Active, "no node answers, so what is here is all");
}

#[test]
fn a_member_that_is_down_is_no_neighbour_nor_candidate() {
    let mut b = full();
    let mut out = b.fact(Fact::LinkSuspected(id(2)));
    out.extend(b.fact(Fact::MemberChanged { peer: id(2), state: MemberState::Down, own: true }));
    assert!(out.iter().any(|o| matches!(o, Out::Fact(Fact::NeighbourDown(p)) if *p == id(2))));
    assert!(out.iter().any(|o| matches!(o, Out::Unwant(p) if *p == id(2))), "law 4");
    assert!(!b.m.neighbours().contains(&id(2)));
    assert!(!b.m.peers.book.passive_view().any(|p| p == id(2)));
}

/// Deaths that others report emptied active views. Breaks if a death removes a neighbour by itself (`member_down`).
#[test]
fn a_neighbour_whose_link_answers_stays_whatever_is_said() {
    for own in [false, true] {
        let mut b = full();
        let before = b.m.neighbours().clone();
        for peer in &before {
            for state in [MemberState::Suspect, MemberState::Down] {
                let out = b.fact(Fact::MemberChanged { peer: *peer, state, own });
                assert!(!out.iter().any(|o| matches!(o, Out::Fact(_) | Out::Unwant(_) | Out::Close(_))), "{out:?}");
            }
        }
        assert_eq!(*b.m.neighbours(), before);
    }
}

/// Breaks if what others report counts as a loss (`member_changed`).
#[test]
fn losses_that_others_report_degrade_no_node() {
    let mut b = full();
    b.fact(zone_of(10));
    for n in 0..10 {
        for state in [MemberState::Suspect, MemberState::Down] {
            b.fact(Fact::MemberChanged { peer: NodeId([n; 32]), state, own: false });
        }
    }
    assert_eq!(b.m.state(), NodeState::Active);
    for n in 0..10 {
        b.fact(Fact::MemberChanged { peer: NodeId([n; 32]), state: MemberState::Suspect, own: true });
    }
    assert_eq!(b.m.state(), NodeState::Degraded, "its own losses do");
}

#[test]
fn an_unasked_acceptance_makes_no_neighbour() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    b.up(2);
    b.receive(2, &Message::Response { accepted: Err(Refusal::Full), available: Vec::new() });
    b.receive(2, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert!(b.m.neighbours().is_empty());
}

/// A node with neighbours 2 and up to as many as it takes.
fn full() -> Bench {
    let mut b = Bench::new();
    b.input(In::Join(Vec::new()));
    for n in 2..2 + Config::default().membership.target as u8 {
        b.up(n);
        b.receive(n, &request(Urgency::Low));
    }
    assert_eq!(b.m.neighbours().len(), Config::default().membership.target);
    b
}

#[test]
fn a_full_node_refuses_and_names_others() {
    let mut b = full();
    b.up(100);
    let answer = replies(&b.receive(100, &request(Urgency::Low)));
    let [Message::Response { accepted: Err(Refusal::Full), available }] = &answer[..] else { panic!("{answer:?}") };
    assert_eq!(available.len(), b.m.neighbours().len());
    assert!(available.iter().all(|i| NodeRecord::decode(&i.record.0).is_ok()));
}

#[test]
fn a_node_without_neighbours_is_taken_and_displaces_one() {
    let mut b = full();
    let before = b.m.neighbours().clone();
    b.up(100);
    let out = b.receive(100, &request(Urgency::High));
    assert!(out.iter().any(|o| matches!(o, Out::Fact(Fact::NeighbourUp(p)) if *p == id(100))));
    let gone: Vec<_> = before.difference(b.m.neighbours()).copied().collect();
    let [gone] = gone[..] else { panic!("{gone:?}") };
    assert!(out.iter().any(|o| matches!(o, Out::Fact(Fact::NeighbourDown(p)) if *p == gone)));
    assert!(out.iter().any(|o| matches!(o, Out::Unwant(p) if *p == gone)));
    assert!(b.m.peers.book.passive_view().any(|p| p == gone), "a candidate for later");
    assert_eq!(b.m.neighbours().len(), before.len());
}

#[test]
fn a_crowd_of_newcomers_displaces_ten_neighbours_a_second() {
    let mut b = full();
    let mut pushed_out = Vec::new();
    for n in 0..40 {
        b.up(100 + n);
        let out = b.receive(100 + n, &request(Urgency::Join));
        pushed_out.push(out.iter().filter(|o| matches!(o, Out::Fact(Fact::NeighbourDown(_)))).count());
    }
    assert_eq!((&pushed_out[..10], pushed_out[10..].iter().sum::<usize>()), (&[1; 10][..], 0));
    // The eleventh is refused.
    b.up(150);
    let answer = replies(&b.receive(150, &request(Urgency::Join)));
    assert!(matches!(answer[..], [Message::Response { accepted: Err(Refusal::Full), .. }]));
    b.run(2);
    let answer = replies(&b.receive(150, &request(Urgency::Join)));
    assert!(matches!(answer[0], Message::Disconnect { .. } | Message::Response { accepted: Ok(()), .. }), "{answer:?}");
}

#[test]
fn a_newcomer_is_walked_through_the_network() {
    let walks_for = |b: &mut Bench, max_neighbours| {
        b.up(100);
        let join = Message::Request { urgency: Urgency::Join, max_neighbours, preferred: Vec::new(), location: None };
        let sent = replies(&b.receive(100, &join));
        let split = sent.iter().any(|m| matches!(m, Message::Disconnect { instead: Some(i) } if *i == info(100)));
        (sent.iter().filter(|m| matches!(m, Message::ForwardJoin { ttl: 6, .. })).count(), split)
    };
    assert_eq!(walks_for(&mut full(), 6), (2, true), "three edges are split: the own one and one a walk");
    assert_eq!(walks_for(&mut full(), 1), (0, true));
    let mut young = Bench::new();
    young.input(In::Join(Vec::new()));
    for n in 2..6 {
        young.up(n);
        young.receive(n, &request(Urgency::Low));
    }
    assert_eq!(walks_for(&mut young, 6), (4, false), "with capacity everywhere each walk gives one");

    let mut b = full();
    let step = |b: &mut Bench, n, ttl| b.receive(2, &Message::ForwardJoin { joiner: info(n), ttl });
    let passed = replies(&step(&mut b, 60, 5));
    assert!(matches!(passed[..], [Message::ForwardJoin { ttl: 4, .. }]), "{passed:?}");
    assert!(b.m.get(id(60)).is_none(), "only a step");
    step(&mut b, 61, 3);
    assert!(b.m.peers.book.passive_view().any(|p| p == id(61)), "at the third before the end it is remembered");
    let out = step(&mut b, 62, 0);
    assert!(out.iter().any(|o| matches!(o, Out::Connect { expect, .. } if *expect == Some(id(62)))), "{out:?}");
    let sent = replies(&b.up(62));
    assert!(sent.iter().any(|m| matches!(m, Message::Request { urgency: Urgency::Low, .. })), "{sent:?}");
    b.receive(62, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert!(b.m.neighbours().contains(&id(62)));
    b.up(90);
    let answer = replies(&b.receive(90, &Message::ForwardJoin { joiner: info(63), ttl: 0 }));
    assert_eq!(answer, [Message::Disconnect { instead: None }], "only neighbours walk");
    assert!(b.m.get(id(63)).is_none());
}

#[test]
fn a_displaced_node_asks_only_the_one_that_displaced_it() {
    let mut b = full();
    let instead = Some(info(100));
    let out = b.receive(2, &Message::Disconnect { instead });
    let tried: Vec<_> =
        out.iter().filter_map(|o| if let Out::Connect { expect, .. } = o { *expect } else { None }).collect();
    assert_eq!(tried, [id(100)], "{out:?}");
    let sent = replies(&b.up(100));
    assert!(sent.iter().any(|m| matches!(m, Message::Request { urgency: Urgency::Low, .. })), "{sent:?}");
    b.receive(100, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert!(b.m.neighbours().contains(&id(100)) && !b.m.neighbours().contains(&id(2)));
}

#[test]
fn a_nearly_full_node_in_a_full_network_asks_ever_less() {
    let mut b = full();
    (100..130).for_each(|n| drop(b.up(n)));
    b.receive(2, &Message::Disconnect { instead: None });
    let mut asked = Vec::new();
    for second in 0..600 {
        for (_, out) in b.run(1) {
            match out {
                Out::Connect { expect: Some(peer), .. } => {
                    b.input(In::Unreachable { addr: addr(9), expect: Some(peer), wrong_node: false })
                }
                Out::Send { to, body, .. } => match decode(&body, MAX_BYTES) {
                    Ok(Message::Request { urgency: Urgency::Low, .. }) => {
                        asked.push(second);
                        let no = Message::Response { accepted: Err(Refusal::Full), available: Vec::new() };
                        b.input(In::Message { from: to, body: encode(&no) })
                    }
                    Ok(_) | Err(_) => continue,
                },
                _ => continue,
            };
        }
    }
    let late = asked.iter().filter(|at| **at >= 300).count();
    assert!((5..=20).contains(&late), "one in 30 s or so, for ever: {asked:?}");
}

#[test]
fn a_record_is_verified_before_use_and_before_replacing_one() {
    let mut b = full();
    let mut forged = info(100);
    forged.record.0[40] ^= 1;
    let out = b.receive(2, &Message::Response { accepted: Ok(()), available: vec![forged.clone()] });
    assert!(!out.iter().any(|o| matches!(o, Out::AddAddresses { .. })), "the link asked for no address");
    assert_eq!(b.m.peers.drops.get(DropReason::Signature), 0);
    let out = b.input(In::AddressNeeded(id(100)));
    assert!(matches!(&out[..], [Out::AddAddresses { record: None, addrs, .. }] if *addrs == [addr(100)]), "{out:?}");
    assert_eq!(b.m.peers.drops.get(DropReason::Signature), 1);

    b.up(100);
    forged.record = Blob(NodeRecord::sign(&identity(100), [1; 32], 9, WallTime(0), NodeType::Regular).encode());
    forged.record.0[40] ^= 1;
    b.receive(2, &Message::Response { accepted: Ok(()), available: vec![forged] });
    assert_eq!(b.m.get(id(100)).and_then(|k| k.record.clone()), Some(record(100)), "the verified one stands");
    assert_eq!(b.m.peers.drops.get(DropReason::Signature), 2);
}

#[test]
fn a_pending_lookup_is_answered_when_the_node_is_named() {
    let mut b = full();
    assert!(b.input(In::AddressNeeded(id(100))).is_empty());
    let answered = |out: &[Out]| out.iter().any(|o| matches!(o, Out::AddAddresses { peer, .. } if *peer == id(100)));
    assert!(answered(&b.receive(2, &Message::Response { accepted: Ok(()), available: vec![info(100)] })));
    assert!(!answered(&b.receive(3, &Message::Response { accepted: Ok(()), available: vec![info(100)] })), "once");
    assert!(answered(&b.input(In::AddressNeeded(id(100)))));
}

#[test]
fn shuffles_walk_some_steps_and_their_answers_return() {
    // At the node that begins.
    let mut b = full();
    b.m.peers.book.entry(id(70), |_| false).0.record = Some(record(70));
    let mut rng = Rng::new([3; 32]);
    b.m.peers.book.add_passive(id(70), 36, &mut rng);
    let sent: Vec<_> = b.run(13).into_iter().map(|(_, o)| o).collect();
    let mut sent = replies(&sent);
    sent.retain(|m| !matches!(m, Message::Sketch { .. }));
    let [Message::Shuffle { walk, ttl: 6, nodes }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(nodes.len(), 4, "three neighbours and one of the passive view");
    b.receive(2, &Message::ShuffleReply { walk: *walk, nodes: vec![info(71)] });
    assert!(b.m.peers.book.passive_view().any(|p| p == id(71)));
    b.receive(2, &Message::ShuffleReply { walk: *walk, nodes: vec![info(72)] });
    assert!(b.m.get(id(72)).is_none(), "an answer comes once");

    // At a node on the way.
    let mut b = full();
    let passed = replies(&b.receive(2, &Message::Shuffle { walk: 9, ttl: 6, nodes: vec![info(71)] }));
    let [Message::Shuffle { walk: 9, ttl: 5, nodes }] = &passed[..] else { panic!("{passed:?}") };
    assert_eq!(nodes.len(), 2, "with the one it came from");
    assert!(
        replies(&b.receive(3, &Message::Shuffle { walk: 9, ttl: 4, nodes: vec![] })).is_empty(),
        "a walk in a circle"
    );
    let back = b.receive(4, &Message::ShuffleReply { walk: 9, nodes: vec![info(73)] });
    assert!(matches!(&back[..], [Out::Send { to, .. }] if *to == id(2)), "{back:?}");

    // At the node at the end.
    let answer = replies(&b.receive(2, &Message::Shuffle { walk: 10, ttl: 1, nodes: vec![info(74)] }));
    assert!(matches!(answer[..], [Message::ShuffleReply { walk: 10, .. }]));
    assert!(b.m.peers.book.passive_view().any(|p| p == id(74)));
}

#[test]
fn a_lost_neighbour_is_replaced_and_dead_nodes_are_forgotten() {
    let mut b = full();
    for n in 50..60 {
        b.receive(2, &Message::ShuffleReply { walk: 0, nodes: vec![] });
        b.receive(2, &Message::ForwardJoin { joiner: info(n), ttl: 3 });
    }
    let out = b.fact(Fact::LinkDown { peer: id(3), reason: DownReason::Timeout });
    let tried = |out: &[Out]| -> Vec<NodeId> {
        out.iter().filter_map(|o| if let Out::Connect { expect, .. } = o { *expect } else { None }).collect()
    };
    let first = tried(&out);
    assert_eq!(first.len(), 3, "so many at once: {out:?}");
    // None of them answers: others are tried before the link gives up.
    let later: Vec<_> = b.run(2).into_iter().map(|(_, o)| o).collect();
    assert!(tried(&later).len() >= 3, "{later:?}");
    assert!(tried(&later).iter().all(|p| !first.contains(p)));
    b.input(In::Unreachable { addr: addr(50), expect: Some(first[0]), wrong_node: false });
    assert!(b.m.get(first[0]).is_none(), "an unverified node that does not answer");
    // One answers and has capacity.
    let n = (50..60).find(|n| id(*n) == first[1]).unwrap();
    let sent = replies(&b.up(n));
    assert!(sent.iter().any(|m| matches!(m, Message::Request { urgency: Urgency::Low, .. })), "{sent:?}");
    b.receive(n, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert!(b.m.neighbours().contains(&id(n)));
}

#[test]
fn a_stranger_gets_a_disconnect() {
    let mut b = full();
    b.up(100);
    assert_eq!(replies(&b.input(In::Stranger(id(100)))), [Message::Disconnect { instead: None }]);
    assert_eq!(replies(&b.input(In::Stranger(id(2)))), [], "it is one");
    let mut b = Bench::new();
    b.input(join(&[2]));
    b.up(2);
    assert_eq!(replies(&b.input(In::Stranger(id(2)))), [], "its answer is on the way");
}

/// In a zone broadcasts do not go by neighbours, so they show no stranger.
#[test]
fn a_neighbours_sketch_from_a_stranger_gets_a_disconnect() {
    let mut b = full();
    b.up(100);
    let sketch = |b: &mut Bench, neighbour| {
        replies(&b.receive(100, &Message::Sketch { neighbour, anchor: false, marks: Vec::new() }))
    };
    assert_eq!(sketch(&mut b, true), [Message::Disconnect { instead: None }]);
    assert_eq!(sketch(&mut b, false), []);
    let mut b = full();
    let said: Vec<_> = b.run(30).into_iter().filter_map(|(_, o)| replies(&[o]).pop()).collect();
    let sketches: Vec<_> = said.iter().filter(|m| matches!(m, Message::Sketch { .. })).collect();
    assert!(!sketches.is_empty() && sketches.iter().all(|m| matches!(m, Message::Sketch { neighbour: true, .. })));
}

#[test]
fn a_silent_neighbour_is_replaced_and_comes_back_on_answer() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    b.up(2);
    b.receive(2, &request(Urgency::High));
    let out = b.fact(Fact::LinkSuspected(id(2)));
    assert!(out.iter().any(|o| matches!(o, Out::Fact(Fact::NeighbourDown(p)) if *p == id(2))));
    assert!(
        replies(&out).contains(&Message::Disconnect { instead: None }),
        "it learns of it when it can receive again"
    );
    assert_eq!(b.m.state(), NodeState::Degraded);
    let out = b.fact(Fact::LinkRecovered(id(2)));
    assert!(replies(&out).iter().any(|m| matches!(m, Message::Request { .. })), "{out:?}");
    assert_eq!(b.m.state(), NodeState::Recovering);
    b.receive(2, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert_eq!(b.m.state(), NodeState::Recovering);
    b.input(In::Compared(id(2)));
    assert_eq!(b.m.state(), NodeState::Active);
}

#[test]
fn a_disconnected_node_asks_others_first_and_the_same_later() {
    let mut b = full();
    let out = b.receive(3, &Message::Disconnect { instead: None });
    assert!(out.iter().any(|o| matches!(o, Out::Fact(Fact::NeighbourDown(p)) if *p == id(3))));
    assert!(!replies(&out).iter().any(|m| matches!(m, Message::Request { .. })), "not the same one at once");
    let sent: Vec<_> = b.run(2).into_iter().map(|(_, o)| o).collect();
    assert!(
        sent.iter().any(|o| matches!(o, Out::Send { to, body, .. } if *to == id(3)
            && matches!(decode(body, MAX_BYTES), Ok(Message::Request { urgency: Urgency::Low, .. })))),
        "{sent:?}"
    );
}

#[test]
fn a_bootstrap_introduces_and_keeps_no_mesh() {
    let who = identity(1);
    let config = Config { node_type: NodeType::Bootstrap, ..Config::default() };
    let mut b = Bench { m: Membership::new(&config, &who), ..Bench::new() };
    b.input(In::Join(Vec::new()));
    for n in 2..6 {
        let greeting = replies(&b.up(n));
        assert!(!greeting.iter().any(|m| matches!(m, Message::Request { .. })), "{greeting:?}");
        let answer = replies(&b.receive(n, &request(Urgency::Join)));
        let [Message::Response { accepted: Err(Refusal::Full), available }] = &answer[..] else { panic!("{answer:?}") };
        assert_eq!(available.len(), usize::from(n) - 2, "those that came before");
    }
    assert!(b.m.neighbours().is_empty());
}

#[test]
fn names_and_accounts_need_a_certificate() {
    let mut b = Bench::new();
    b.input(In::Join(Vec::new()));
    b.up(2);
    let stolen = Message::Announcement { cert: identity(3).device_cert(), addrs: Vec::new() };
    let out = b.receive(2, &stolen);
    assert!(matches!(out[..], [Out::Close(p)] if p == id(2)));
    assert_eq!(b.m.get(id(2)).unwrap().name, None);
    assert_eq!(b.m.peers.drops.get(DropReason::Signature), 1);
    b.receive(2, &Message::Announcement { cert: identity(2).device_cert(), addrs: vec![addr(77)] });
    let known = b.m.get(id(2)).unwrap();
    assert_eq!(known.account, Some(identity(2).account_id()));
    assert!(known.addrs.contains(&addr(77)));
}

#[test]
fn a_hostile_bootstrap_cannot_flood_the_book_or_forge_a_node() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    b.up(2);
    let forged = NodeInfo { record: Blob(vec![1; 180]), name: None, addrs: vec![addr(9)] };
    b.receive(2, &Message::Response { accepted: Ok(()), available: vec![forged] });
    let loopback = "127.0.0.1:4000".parse().unwrap();
    let aimed = NodeInfo { record: Blob(record(9).encode()), name: None, addrs: vec![loopback] };
    let out = b.receive(2, &Message::Response { accepted: Ok(()), available: vec![aimed] });
    assert!(!out.iter().any(|o| matches!(o, Out::Connect { addr, .. } if *addr == loopback)));
    for n in 0..=255u8 {
        let infos = (0..8u8)
            .map(|k| {
                let who = Identity::generate([n ^ (k * 31); 64], "x", WallTime(u64::from(n))).unwrap();
                let record = NodeRecord::sign(&who, [n; 32], 1, WallTime(0), NodeType::Regular);
                NodeInfo { record: Blob(record.encode()), name: None, addrs: vec![addr(n)] }
            })
            .collect();
        b.receive(2, &Message::Response { accepted: Ok(()), available: infos });
    }
    assert!(b.m.footprint() < Config::default().limits.address_book + 100);
    assert!(b.m.get(id(2)).is_some(), "a linked node stays in the book");
}

#[test]
fn leaving_unwants_every_link_and_shuts() {
    let mut b = Bench::new();
    b.input(join(&[2, 3]));
    b.up(2);
    b.up(3);
    b.receive(2, &request(Urgency::Low));
    let out = b.fact(Fact::Left);
    let unwanted = out.iter().filter(|o| matches!(o, Out::Unwant(_))).count();
    assert_eq!(unwanted, 2, "{out:?}");
    assert!(matches!(out.last(), Some(Out::Shut)));
    assert_eq!((b.m.state(), b.m.next_deadline()), (NodeState::Leaving, None));
}

#[test]
fn the_address_book_survives_a_restart() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    let mut rows = Vec::new();
    let mut out = Outbox::new();
    let mut cx = Cx { now: b.now, wall: WallTime(5), me: b.me, rng: &mut b.rng };
    let up = Fact::LinkUp { peer: id(2), record: record(2), addr: addr(2) };
    b.m.fact(&mut cx, &up, &mut out);
    while let Some(emit) = out.pop() {
        if let crate::machine::Emit::Store(crate::store::Op::Put { key, value, .. }) = emit {
            rows.push((key, value));
        }
    }
    let mut again = Bench::new();
    for (key, value) in &rows {
        again.m.restore(key, value).unwrap();
        assert!(again.m.restore(&key[1..], value).is_err());
        assert!(again.m.restore(key, &value[1..]).is_err());
    }
    let out = again.input(In::Join(Vec::new()));
    let found = Some(id(2));
    assert!(out.iter().any(|o| matches!(o, Out::Connect { addr: a, expect } if *a == addr(2) && *expect == found)));
    assert_eq!(again.m.state(), NodeState::Discovering, "not the first node of a network");
}

#[test]
fn two_parts_of_a_network_merge_and_displace_no_neighbour() {
    let mut b = full();
    let marks = |b: &mut Bench, from: u8, marks: &[(u64, u32, u16)]| {
        b.receive(from, &Message::Sketch { neighbour: false, anchor: false, marks: marks.to_vec() })
    };
    let asks = |out: &[Out]| replies(out).iter().any(|m| matches!(m, Message::Request { urgency: Urgency::Merge, .. }));
    b.run(70);
    marks(&mut b, 2, &[(5, 1, 0), (6, 1, 0)]);
    let greeting = replies(&b.up(100));
    let Some(Message::Sketch { neighbour: false, marks: own, .. }) = greeting.last() else { panic!("{greeting:?}") };
    assert_eq!(own.len(), 3, "this node, and what a neighbour reported");
    assert!(!asks(&marks(&mut b, 100, &[(6, 9, 0), (7, 1, 0)])), "it lives in the same part");
    assert!(!asks(&marks(&mut b, 100, &[])), "it knows nothing");
    assert!(asks(&marks(&mut b, 100, &[(7, 1, 0), (8, 1, 0)])));
    let before = b.m.neighbours().clone();
    b.receive(100, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert!(b.m.neighbours().contains(&id(100)) && before.is_subset(b.m.neighbours()));
    b.up(101);
    assert!(!asks(&marks(&mut b, 101, &[(9, 1, 0)])), "one merge in half a minute");
    b.run(31);
    b.up(101);
    let answer = replies(&b.receive(101, &request(Urgency::Merge)));
    assert!(answer.iter().any(|m| matches!(m, Message::Response { accepted: Ok(()), .. })), "{answer:?}");
    b.run(31);
    b.up(102);
    let answer = replies(&b.receive(102, &request(Urgency::Merge)));
    assert!(matches!(answer[..], [Message::Response { accepted: Err(Refusal::Full), .. }]), "two beyond the usual");
    assert_eq!(b.m.neighbours().len(), before.len() + 2);
}

/// The small part of a network that split lacks neighbours, and the large one has all it wants and refuses.
#[test]
fn a_request_to_a_new_link_comes_with_a_sketch() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    b.up(2);
    b.receive(2, &Message::Response { accepted: Ok(()), available: Vec::new() });
    b.run(20);
    let said = replies(&b.up(100));
    assert!(said.iter().any(|m| matches!(m, Message::Request { urgency: Urgency::Low, .. })), "{said:?}");
    assert!(said.iter().any(|m| matches!(m, Message::Sketch { neighbour: false, .. })), "{said:?}");
}

/// A link that came up while this part still remembered the other one would hide for ever that there are two.
#[test]
fn a_node_linked_to_all_known_nodes_sends_a_sketch_to_one() {
    let mut b = full();
    b.up(100);
    b.run(50);
    let to_it = |o: &Out| matches!(o, Out::Send { to, .. } if *to == id(100));
    let said: Vec<_> = b.run(100).into_iter().filter(|(_, o)| to_it(o)).flat_map(|(_, o)| replies(&[o])).collect();
    assert!(said.iter().any(|m| matches!(m, Message::Sketch { neighbour: false, .. })), "{said:?}");
}

#[test]
fn a_mark_that_is_silent_for_two_minutes_leaves_the_sketch() {
    let mut b = full();
    b.run(60);
    let sketch = |b: &mut Bench, beat, age| {
        b.receive(2, &Message::Sketch { neighbour: true, anchor: false, marks: vec![(5, beat, age)] })
    };
    sketch(&mut b, 1, 0);
    assert_eq!(b.m.partition.len(), 2);
    b.run(100);
    sketch(&mut b, 1, 100);
    b.run(30);
    assert_eq!(b.m.partition.len(), 1, "the same beat again is no sign of life");
    sketch(&mut b, 1, 130);
    b.run(1);
    assert_eq!(b.m.partition.len(), 1, "what others forget later does not come back");
    sketch(&mut b, 2, 60);
    b.run(50);
    sketch(&mut b, 3, 0);
    b.run(100);
    assert_eq!(b.m.partition.len(), 2);
}

proptest! {
    #[test]
    fn any_inputs_keep_the_bounds(steps in prop::collection::vec((0u8..9, any::<u8>(), any::<u8>()), 0..150)) {
        let mut b = Bench::new();
        let mut wanted = OrderedSet::new();
        for (what, n, k) in steps {
            let n = 2 + n % 30;
            let out = match what {
                0 => b.input(join(&[n, k])),
                1 => b.up(n),
                2 => b.fact(Fact::LinkDown { peer: id(n), reason: DownReason::Closed }),
                3 => b.receive(n, &request([Urgency::Join, Urgency::High, Urgency::Low, Urgency::Names, Urgency::Merge][usize::from(k % 5)])),
                4 => b.receive(n, &Message::Response { accepted: if k & 1 == 0 { Ok(()) } else { Err(Refusal::Full) }, available: Vec::new() }),
                5 => b.input(In::Unreachable { addr: addr(n), expect: (k & 1 == 0).then_some(id(n)), wrong_node: k & 2 == 0 }),
                6 => b.run(u64::from(k)).into_iter().map(|(_, o)| o).collect(),
                7 if k & 1 == 0 => b.receive(n, &Message::ForwardJoin { joiner: info(k), ttl: k % 8 }),
                7 if k & 2 == 0 => b.receive(n, &Message::Shuffle { walk: u64::from(k), ttl: k % 8, nodes: vec![info(k)] }),
                7 if k & 4 == 0 => b.receive(n, &Message::ShuffleReply { walk: u64::from(k), nodes: vec![info(k)] }),
                7 if k & 8 == 0 => b.receive(n, &Message::Disconnect { instead: None }),
                7 if k & 16 == 0 => b.receive(n, &Message::Sketch { neighbour: k & 8 == 0, anchor: false, marks: vec![(u64::from(k), u32::from(n), u16::from(k))] }),
                7 => b.input(In::Message { from: id(n), body: vec![what, n, k] }),
                _ if k < 20 => b.fact(Fact::Left),
                _ => b.fact(Fact::NetworkChanged),
            };
            for o in out {
                match o {
                    Out::Want(p) => prop_assert!(wanted.insert(p), "wanted twice"),
                    Out::Unwant(p) => prop_assert!(wanted.remove(&p), "unwanted without a want"),
                    _ => {}
                }
            }
            prop_assert!(b.m.neighbours().iter().all(|p| b.m.peers.links.contains(*p)));
            prop_assert!(b.m.neighbours().len() <= 6 + MERGE_CAPACITY);
            prop_assert!(b.m.peers.book.passive_view().count() <= 36);
            prop_assert!(b.m.footprint() < 700);
        }
    }
}

fn zone(all: impl IntoIterator<Item = u8>) -> Fact {
    Fact::Zone(Some(all.into_iter().map(id).collect()))
}

#[test]
fn members_of_a_zone_get_neither_shuffles_nor_sketches() {
    let mut b = full();
    b.fact(zone(2..8));
    let said = |b: &mut Bench, seconds| -> Vec<Message> {
        b.run(seconds).into_iter().flat_map(|(_, o)| replies(&[o])).collect()
    };
    said(&mut b, 15);
    let quiet = said(&mut b, 120);
    let reminder = |m: &Message| matches!(m, Message::Sketch { neighbour: true, marks, .. } if marks.is_empty());
    assert!(quiet.iter().all(reminder), "the roster names all: {quiet:?}");
    assert!((6..=18).contains(&quiet.len()), "a node that does not hold this one for a neighbour says so: {quiet:?}");
    b.fact(zone(2..7));
    let sketch = |m: &Message| matches!(m, Message::Sketch { neighbour: true, .. });
    let now = said(&mut b, 30);
    assert!(
        now.iter().any(sketch) && now.iter().any(|m| matches!(m, Message::Shuffle { .. })),
        "7 keeps none: {now:?}"
    );
}

#[test]
fn a_node_outside_of_the_zone_shows_in_the_sketches_of_all() {
    let mut b = full();
    b.fact(zone(2..8));
    b.run(30);
    let to_3 = |b: &mut Bench| {
        let all = b.run(15);
        all.iter().any(|(_, o)| matches!(o, Out::Send { to, .. } if *to == id(3)))
    };
    assert!(!to_3(&mut b));
    b.receive(2, &Message::Sketch { neighbour: true, anchor: false, marks: vec![(5, 1, 0)] });
    assert!(to_3(&mut b), "it is passed on");
    b.run(130);
    assert!(!to_3(&mut b), "its time is over");
}

#[test]
fn members_of_the_zone_are_alive_in_the_sketch_without_beats() {
    let mut b = full();
    b.fact(zone(2..6));
    b.run(300);
    assert_eq!(b.m.partition.len(), 5, "four members and this node");
    let beat = |b: &mut Bench| {
        let sketch = b.run(15).into_iter().flat_map(|(_, o)| replies(&[o])).find_map(|m| match m {
            Message::Sketch { marks, .. } => Some(marks),
            _ => None,
        });
        sketch.unwrap().into_iter().map(|(_, beat, age)| (beat, age)).collect::<Vec<_>>()
    };
    let (first, second) = (beat(&mut b), beat(&mut b));
    assert!(
        first.iter().zip(&second).all(|(a, b)| a.0 < b.0 && b.1 == 0),
        "others see them alive: {first:?} {second:?}"
    );
}

#[test]
fn a_neighbour_in_the_zone_needs_no_keepalives_of_its_own() {
    let mut b = full();
    let all = b.fact(zone(2..7));
    let unwanted = |out: &[Out]| out.iter().filter(|o| matches!(o, Out::Unwant(_))).count();
    assert_eq!(unwanted(&all), 5, "failure detection keeps those links");
    assert!(b.m.peers.links.wanted().contains(&id(7)));
    let again = b.fact(Fact::Zone(None));
    assert_eq!(again.iter().filter(|o| matches!(o, Out::Want(_))).count(), 5);
}

/// Mutation: `&` in `is_bot` is `|`.
#[test]
fn a_program_is_a_node_whose_record_says_so() {
    let mut b = Bench::new();
    for (n, capabilities, is_bot) in [(2, BOT, true), (3, 0, false), (4, 2 | BOT, true), (5, 2, false)] {
        let claims = Claims { node_type: NodeType::Regular, capabilities };
        let record = NodeRecord::sign(&identity(n), [n; 32], 1, WallTime(0), claims);
        b.fact(Fact::LinkUp { peer: id(n), record, addr: addr(n) });
        assert_eq!(b.m.get(id(n)).map(Known::is_bot), Some(is_bot), "{capabilities}");
    }
}
