//! The rules one by one, and whole networks of machines with links that delay and fail.

use alloc::vec;

use super::*;
use crate::collections::OrderedSet;
use crate::fact::samples::up;
use crate::gossip::instruct::name_of;
use crate::gossip::missing::MAX_MISSING;
use crate::time::WallTime;

fn peer(n: u16) -> NodeId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    NodeId(id)
}

fn number(peer: NodeId) -> usize {
    usize::from(u16::from_be_bytes([peer.0[0], peer.0[1]]))
}

struct Bench {
    me: NodeId,
    gossip: Gossip,
    rng: Rng,
    now: Instant,
}

impl Bench {
    fn new(peers: u16) -> Self {
        Self::at(0, peers)
    }

    fn at(me: u16, peers: u16) -> Self {
        let mut rng = Rng::new([0; 32]);
        let mut b =
            Self { me: peer(me), gossip: Gossip::new(&Config::default(), &mut rng), rng, now: Instant::from_micros(1) };
        for n in 1..=peers {
            b.fact(Fact::NeighbourUp(peer(n)));
        }
        b
    }

    fn step(&mut self, f: impl FnOnce(&mut Gossip, &mut Cx<'_>, &mut Outbox<Out>)) -> Vec<Out> {
        let mut out = Outbox::new();
        let mut cx = Cx { now: self.now, wall: WallTime(0), me: self.me, rng: &mut self.rng };
        f(&mut self.gossip, &mut cx, &mut out);
        out.take()
    }

    fn fact(&mut self, fact: Fact) -> Vec<Out> {
        self.step(|m, cx, out| m.fact(cx, &fact, out))
    }

    fn input(&mut self, input: In) -> Vec<Out> {
        self.step(|g, cx, out| g.handle(cx, input, out))
    }

    fn message(&mut self, from: u16, message: &Message) -> Vec<Out> {
        self.input(In::Message { from: peer(from), body: message.encode() })
    }

    fn gossip(&mut self, from: u16, round: u8, body: &[u8]) -> Vec<Out> {
        self.message(from, &gossip(round, body))
    }

    /// A genuine broadcast comes: what is sent because of it.
    fn take(&mut self, from: u16, round: u8, body: &[u8]) -> Vec<(NodeId, Message)> {
        assert_eq!(self.gossip(from, round, body).len(), 1);
        sent(self.input(In::Validated { id: id_of(body), genuine: true }))
    }

    fn wait(&mut self, ms: u64) -> Vec<(NodeId, Message)> {
        self.now = self.now + Duration::from_millis(ms);
        sent(self.step(|g, cx, out| g.handle_timeout(cx, out)))
    }

    fn eager(&self) -> Vec<NodeId> {
        self.gossip.peers.iter().filter(|(_, p)| p.eager).map(|(p, _)| *p).collect()
    }
}

fn gossip(round: u8, body: &[u8]) -> Message {
    Message::Gossip { round, body: Blob(body.to_vec()) }
}

fn forward(round: u8, scope: &Scope, targets: &[u16], body: &[u8]) -> Message {
    let targets = targets.iter().map(|n| name_of(peer(*n))).collect();
    Message::Forward { round, scope: scope.clone(), silent: vec![], targets, body: Blob(body.to_vec()) }
}

fn offer(certain: bool, all: &[(&[u8], u8)]) -> Message {
    let list = all.iter().map(|(body, round)| IHave { id: id_of(body), round: *round }).collect();
    Message::Offer { certain, list }
}

fn ihave(body: &[u8], round: u8) -> Message {
    Message::IHave(vec![IHave { id: id_of(body), round }])
}

fn sent(out: Vec<Out>) -> Vec<(NodeId, Message)> {
    let send = |o| match o {
        Out::Send { to, body, .. } => Some((to, Message::decode(&body).unwrap())),
        Out::Deliver { .. } | Out::Stranger(_) => None,
    };
    out.into_iter().filter_map(send).collect()
}

#[test]
fn eager_neighbours_get_a_broadcast_whole_and_lazy_ones_its_id() {
    let mut b = Bench::new(4);
    b.message(4, &Message::Prune);
    assert_eq!(b.gossip(1, 5, b"x"), [Out::Deliver { id: id_of(b"x"), via: peer(1), body: b"x".to_vec() }]);
    let out = sent(b.input(In::Validated { id: id_of(b"x"), genuine: true }));
    assert_eq!(out, [2, 3].map(|n| (peer(n), gossip(6, b"x"))));
    assert_eq!(b.wait(50), [(peer(4), ihave(b"x", 6))]);
    assert_eq!(b.wait(50), [], "once");
}

#[test]
fn a_copy_makes_its_sender_lazy_unless_it_is_the_parent() {
    let mut b = Bench::new(3);
    b.take(1, 1, b"x");
    assert_eq!(b.gossip(1, 1, b"x"), [], "a link may deliver twice");
    assert_eq!(b.eager(), [1, 2, 3].map(peer));
    assert_eq!(sent(b.gossip(2, 1, b"x")), [(peer(2), Message::Prune)]);
    assert_eq!(b.eager(), [1, 3].map(peer));
    assert_eq!(b.gossip(2, 1, b"x"), [], "a PRUNE went a moment ago");
    assert_eq!(b.take(1, 1, b"y"), [(peer(3), gossip(2, b"y"))]);
    assert_eq!(b.gossip.drops.get(DropReason::Duplicate), 3);
}

#[test]
fn prune_is_repeated_while_copies_keep_coming() {
    let mut b = Bench::new(3);
    b.take(1, 1, b"x");
    b.gossip(2, 1, b"x");
    b.wait(1_000);
    assert_eq!(sent(b.gossip(2, 1, b"x")), [(peer(2), Message::Prune)]);
}

#[test]
fn a_missing_broadcast_is_fetched_from_each_announcer_in_turn() {
    let mut b = Bench::new(3);
    for n in 1..=3 {
        b.message(n, &Message::Prune);
        assert_eq!(b.message(n, &ihave(b"x", 2)), []);
    }
    assert_eq!(b.wait(299), []);
    let graft = Message::Graft { id: Some(id_of(b"x")) };
    assert_eq!(b.wait(1), [(peer(1), graft.clone())]);
    b.fact(Fact::NeighbourDown(peer(2)));
    assert_eq!(b.wait(200), [(peer(3), graft)], "a peer that is gone is not asked");
    assert_eq!(b.take(3, 2, b"x"), [], "1 is eager since it was asked, and has it");
    assert_eq!(b.wait(10_000), [], "and no peer is asked any more");
    assert!(b.gossip.missing.len() == 0);
}

#[test]
fn graft_waits_two_round_trips_of_slow_neighbours() {
    let mut b = Bench::new(3);
    let graft = Message::Graft { id: Some(id_of(b"x")) };
    (1..=3).for_each(|n| drop(b.message(n, &Message::Prune)));
    let link = |n, ms| RoundTrip { peer: peer(n), outbound: true, rtt: Some(Duration::from_millis(ms)) };
    b.fact(Fact::RoundTrips(vec![link(1, 500), link(2, 20)]));
    b.message(1, &ihave(b"x", 2));
    b.message(2, &ihave(b"x", 2));
    assert_eq!(b.wait(1_049), [], "two round trips of the slower, and a batch");
    assert_eq!(b.wait(1), [(peer(1), graft.clone())]);
    assert_eq!(b.wait(599), [], "its round trip and a fifth");
    assert_eq!(b.wait(1), [(peer(2), graft)]);
}

/// The last measure of each link is from when this process stalled. Mutation: the wait is not bounded.
#[test]
fn graft_waits_two_seconds_at_most() {
    let mut b = Bench::new(2);
    let graft = Message::Graft { id: Some(id_of(b"x")) };
    (1..=2).for_each(|n| drop(b.message(n, &Message::Prune)));
    let link = |n| RoundTrip { peer: peer(n), outbound: true, rtt: Some(Duration::from_secs(10)) };
    b.fact(Fact::RoundTrips(vec![link(1), link(2)]));
    b.message(1, &ihave(b"x", 2));
    b.message(2, &ihave(b"x", 2));
    assert_eq!(b.wait(1_999), []);
    assert_eq!(b.wait(1), [(peer(1), graft.clone())]);
    assert_eq!(b.wait(1_999), []);
    assert_eq!(b.wait(1), [(peer(2), graft)]);
}

#[test]
fn graft_waits_for_a_tree_slower_than_announcements() {
    let mut b = Bench::new(3);
    let graft = |body| [(peer(2), Message::Graft { id: Some(id_of(body)) })];
    (2..=3).for_each(|n| drop(b.message(n, &Message::Prune)));
    b.message(2, &ihave(b"x", 2));
    assert_eq!(b.wait(300), graft(b"x"));
    b.take(2, 2, b"x");
    b.wait(100);
    b.gossip(1, 9, b"x");
    assert_eq!(b.gossip.lateness.twice(), Duration::from_millis(800), "it was fetched, and the tree brought it");
    b.gossip(3, 9, b"x");
    assert_eq!(b.gossip.lateness.twice(), Duration::from_millis(800), "once");
    b.message(2, &Message::Prune);
    b.message(2, &ihave(b"y", 2));
    assert_eq!(b.wait(799), []);
    assert_eq!(b.wait(1), graft(b"y"));
    b.take(1, 9, b"y");
    assert_eq!(b.gossip.lateness.twice(), Duration::from_millis(1_600), "the tree brought it before the announcer");
    b.message(2, &Message::Prune);
    for n in 0..64u8 {
        b.message(2, &ihave(&[n], 2));
        b.take(1, 9, &[n]);
    }
    b.wait(50);
    b.message(2, &Message::Prune);
    b.message(2, &ihave(b"z", 2));
    assert_eq!(b.wait(300), graft(b"z"), "a tree that was late and is not any more is not waited for");
}

#[test]
fn late_broadcasts_delay_a_graft_two_seconds_at_most() {
    let mut b = Bench::new(2);
    for n in 0..20u8 {
        b.message(2, &Message::Prune);
        b.message(2, &ihave(&[n], 2));
        b.wait(60_000);
        b.take(1, 2, &[n]);
    }
    b.message(2, &ihave(b"x", 2));
    assert_eq!(b.wait(1_999), []);
    assert_eq!(b.wait(1).len(), 1);
}

#[test]
fn sixteen_broken_promises_cause_a_minute_of_backoff() {
    let mut b = Bench::new(2);
    for n in 0..16u8 {
        b.message(1, &ihave(&[n, 1], 2));
    }
    b.wait(300);
    b.wait(200);
    assert!(b.gossip.missing.len() == 0);
    b.message(1, &ihave(b"more", 2));
    assert!(b.gossip.missing.len() == 0);
    b.message(2, &ihave(b"more", 2));
    assert_eq!(b.gossip.missing.len(), 1, "others are not ignored");
    b.wait(60_000);
    b.wait(200);
    b.message(1, &ihave(b"again", 2));
    assert_eq!(b.gossip.missing.len(), 1);
}

#[test]
fn graft_makes_eager_and_is_served_at_most_three_times() {
    let mut b = Bench::new(2);
    b.message(2, &Message::Prune);
    b.take(1, 3, b"x");
    let graft = Message::Graft { id: Some(id_of(b"x")) };
    for _ in 0..3 {
        assert_eq!(sent(b.message(2, &graft)), [(peer(2), gossip(4, b"x"))]);
    }
    assert_eq!(b.message(2, &graft), []);
    assert_eq!(b.eager(), [1, 2].map(peer));
    b.wait(60_000);
    assert_eq!(b.gossip.cache.len(), 0, "kept for a minute");
}

#[test]
fn grafts_beyond_the_rate_are_dropped() {
    let mut b = Bench::new(1);
    for _ in 0..300 {
        b.message(1, &Message::Graft { id: None });
    }
    assert_eq!(b.gossip.drops.get(DropReason::Rate), 50);
}

#[test]
fn an_announcer_that_is_often_much_nearer_becomes_the_parent() {
    // Messages over `hops` by 1, one every `seconds`, which 2 has over 3: how many until 2 is the parent.
    let changed = |late: bool, seconds: u64, hops: [u8; 2]| {
        let mut b = Bench::new(3);
        b.message(2, &Message::Prune);
        (1..=40u8).find(|n| {
            let body = [*n];
            let mut out = Vec::new();
            b.now = b.now + Duration::from_secs(seconds);
            if !late {
                b.message(2, &ihave(&body, 3));
            }
            out.extend(b.take(1, hops[usize::from(n % 2)], &body));
            if late {
                out.extend(sent(b.message(2, &ihave(&body, 3))));
            }
            out.retain(|(_, m)| !matches!(m, Message::Gossip { .. } | Message::IHave(_)));
            let swap = [(peer(2), Message::Graft { id: None }), (peer(1), Message::Prune)];
            assert!(out.is_empty() || out == swap && b.eager() == [2, 3].map(peer), "{out:?}");
            !out.is_empty()
        })
    };
    for late in [false, true] {
        assert_eq!(changed(late, 1, [13, 13]), Some(2), "late: {late}");
        assert_eq!(changed(late, 1, [6, 6]), Some(10), "late: {late}");
        assert_eq!(changed(late, 1, [4, 4]), None, "one hop is not worth a change");
        assert_eq!(changed(late, 1, [7, 1]), None, "what is long from one side is short from the other");
        assert_eq!(changed(late, 0, [13, 13]), None, "a burst is one message");
    }
}

#[test]
fn an_announcement_is_not_sent_back_to_its_sender() {
    let mut b = Bench::new(3);
    b.message(2, &Message::Prune);
    b.message(3, &Message::Prune);
    b.take(1, 3, b"x");
    b.message(2, &ihave(b"x", 4));
    assert_eq!(b.wait(50), [(peer(3), ihave(b"x", 4))]);
}

#[test]
fn a_fetched_broadcast_is_not_sent_to_its_announcers() {
    let mut b = Bench::new(4);
    for n in 2..=3 {
        b.message(n, &ihave(b"x", 2));
    }
    assert_eq!(b.wait(300), [(peer(2), Message::Graft { id: Some(id_of(b"x")) })]);
    let whole: Vec<_> = [1, 4].map(|n| (peer(n), gossip(3, b"x"))).to_vec();
    assert_eq!(b.take(2, 2, b"x"), whole);
    assert_eq!(b.wait(50), []);
}

#[test]
fn a_new_neighbour_gets_the_ids_of_recent_broadcasts() {
    let mut b = Bench::new(1);
    b.take(1, 1, b"old");
    b.wait(9_000);
    b.take(1, 1, b"x");
    b.input(In::Publish { body: b"own".to_vec() });
    b.wait(2_000);
    let new = sent(b.fact(Fact::NeighbourUp(peer(2))));
    let both = offer(true, &[(b"own", 1), (b"x", 2)]);
    assert_eq!(new, [(peer(2), both)], "at once, the newest first");
    assert_eq!(b.fact(Fact::NeighbourUp(peer(2))), []);
    assert_eq!(b.wait(50), [], "once");
    for n in 0..300u16 {
        b.input(In::Publish { body: n.to_be_bytes().to_vec() });
    }
    let new = sent(b.fact(Fact::NeighbourUp(peer(3))));
    let to_3 = |(to, m): &(NodeId, Message)| match m {
        Message::Offer { certain: false, list } if *to == peer(3) => list.len(),
        _ => 0,
    };
    assert_eq!(new.iter().map(to_3).sum::<usize>(), MAX_REPLAY);
}

#[test]
fn large_broadcasts_are_declined_while_the_tree_is_unsettled() {
    let large = vec![7; LARGE + 1];
    let dont_want = Message::IDontWant { id: id_of(&large) };
    let mut b = Bench::new(3);
    assert!(!b.take(1, 1, &large).contains(&(peer(2), dont_want.clone())), "a settled tree has no copies to decline");
    let mut b = Bench::new(3);
    b.take(1, 1, b"x");
    b.gossip(2, 1, b"x");
    assert!(b.take(1, 1, &large).contains(&(peer(3), dont_want.clone())));
    let mut b = Bench::new(3);
    b.message(3, &dont_want);
    assert_eq!(b.take(1, 1, &large), [(peer(2), gossip(2, &large))]);
}

#[test]
fn a_forgery_is_not_passed_on_nor_validated_again() {
    let mut b = Bench::new(3);
    b.gossip(1, 5, b"x");
    assert_eq!(b.input(In::Validated { id: id_of(b"x"), genuine: false }), []);
    assert_eq!(sent(b.gossip(2, 5, b"x")), [(peer(2), Message::Prune)]);
    assert_eq!(b.input(In::Validated { id: id_of(b"x"), genuine: true }), [], "a rejected message does not come back");
}

#[test]
fn a_round_of_zero_or_beyond_the_ttl_is_dropped() {
    let mut b = Bench::new(2);
    assert_eq!(b.gossip(1, 0, b"a"), []);
    assert_eq!(b.gossip(1, 65, b"a"), []);
    assert_eq!(b.take(1, 64, b"b"), [], "delivered, not passed on");
    assert_eq!(b.wait(50), []);
    assert_eq!(b.take(1, 63, b"c"), [(peer(2), gossip(64, b"c"))]);
}

#[test]
fn unvalidated_and_missing_broadcasts_are_bounded() {
    let mut b = Bench::new(2);
    for n in 0..1_000u32 {
        b.gossip(1, 5, &n.to_le_bytes());
    }
    assert!(b.gossip.unvalidated.len() <= MAX_UNVALIDATED);
    for n in 0..200u32 {
        let list = (0..64u32).map(|i| IHave { id: id_of(&[n, i].map(u32::to_le_bytes).concat()), round: 1 });
        b.message(1, &Message::IHave(list.collect()));
    }
    assert_eq!(b.gossip.missing.len(), MAX_MISSING);
    let drops = |r| b.gossip.drops.get(r);
    assert_eq!(drops(DropReason::Rate), 200 * 64 - 5_000, "ids a neighbour may announce at once");
}

#[test]
fn a_broadcast_of_a_stranger_is_delivered_and_reported() {
    let mut b = Bench::new(1);
    let out = b.gossip(9, 1, b"x");
    assert_eq!(out[0], Out::Stranger(peer(9)));
    assert!(matches!(out[1], Out::Deliver { .. }));
}

#[test]
fn an_own_broadcast_that_comes_back_is_a_copy() {
    let mut b = Bench::new(2);
    assert_eq!(b.input(In::Publish { body: b"mine".to_vec() }).len(), 2);
    assert_eq!(sent(b.gossip(1, 5, b"mine")), [(peer(1), Message::Prune)]);
}

/// A network of machines: frames arrive after a while, in any order, unless the receiver is dead.
struct Net {
    nodes: Vec<Bench>,
    alive: Vec<bool>,
    flying: OrderedMap<(u64, u64), (usize, usize, Vec<u8>)>,
    got: Vec<OrderedSet<ShortId>>,
    now: u64,
    tie: u64,
    rng: Rng,
    links: OrderedSet<(usize, usize)>,
}

impl Net {
    /// All nodes know all, have links to this many quarters of them, and some neighbours.
    fn zone(n: usize, quarters: usize, seed: u8) -> Self {
        let mut net = Self::new(n, 5.min(n - 1), seed);
        let links = net.links.clone();
        for a in 0..n {
            for b in a + 1..n {
                if links.contains(&(a, b)) || net.rng.below(4) < quarters {
                    net.fact(a, up(peer(b as u16)));
                    net.fact(b, up(peer(a as u16)));
                }
            }
            let others = (0..n as u16).filter(|o| usize::from(*o) != a).map(peer).collect();
            net.fact(a, Fact::Zone(Some(others)));
        }
        net
    }

    /// A random graph in which every node has about `degree` neighbours.
    fn new(n: usize, degree: usize, seed: u8) -> Self {
        let mut net = Self {
            nodes: (0..n as u16).map(|me| Bench::at(me, 0)).collect(),
            alive: vec![true; n],
            flying: OrderedMap::new(),
            got: vec![OrderedSet::new(); n],
            now: 1,
            tie: 0,
            rng: Rng::new([seed; 32]),
            links: OrderedSet::new(),
        };
        for a in 1..n {
            let b = net.rng.below(a);
            net.link(a, b);
        }
        while net.links.len() < n * degree / 2 {
            let (a, b) = (net.rng.below(n), net.rng.below(n));
            net.link(a, b);
        }
        net
    }

    fn link(&mut self, a: usize, b: usize) {
        if a != b && self.links.insert((a.min(b), a.max(b))) {
            self.fact(a, Fact::NeighbourUp(peer(b as u16)));
            self.fact(b, Fact::NeighbourUp(peer(a as u16)));
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a.min(b), a.max(b))) {
            self.fact(a, Fact::NeighbourDown(peer(b as u16)));
            self.fact(b, Fact::NeighbourDown(peer(a as u16)));
        }
    }

    fn fact(&mut self, n: usize, fact: Fact) {
        self.nodes[n].now = Instant::from_micros(self.now);
        let out = self.nodes[n].fact(fact);
        self.carry(n, out);
    }

    fn input(&mut self, n: usize, input: In) {
        self.nodes[n].now = Instant::from_micros(self.now);
        let out = self.nodes[n].input(input);
        self.carry(n, out);
    }

    fn carry(&mut self, n: usize, out: Vec<Out>) {
        for out in out {
            match out {
                Out::Send { to, body, .. } => {
                    self.tie += 1;
                    let at = self.now + 5_000 + self.rng.below(20_000) as u64;
                    self.flying.insert((at, self.tie), (n, number(to), body));
                }
                Out::Stranger(_) => {}
                Out::Deliver { id, .. } => {
                    assert!(self.got[n].insert(id), "delivered twice");
                    self.input(n, In::Validated { id, genuine: true });
                }
            }
        }
    }

    /// Runs until no message is under way and no timer matters.
    fn settle(&mut self) {
        loop {
            let next = self.flying.keys().next().map(|k| k.0);
            let timer = (0..self.nodes.len()).filter(|n| self.alive[*n]).filter_map(|n| {
                let soon = self.nodes[n].gossip.timers.next()?;
                // Not the expiry of the cache.
                let gossip = &self.nodes[n].gossip;
                let busy = gossip.missing.len() > 0
                    || gossip.parts.len() > 0
                    || [Timer::Announce, Timer::Ring].iter().any(|t| gossip.timers.get(*t).is_some());
                busy.then_some((soon.as_micros(), n))
            });
            match (next, timer.min()) {
                (None, None) => return,
                (Some(at), t) if t.is_none_or(|(t, _)| at <= t) => {
                    self.now = self.now.max(at);
                    let Some((_, (from, to, body))) = self.flying.pop_first() else { return };
                    if self.alive[from] && self.alive[to] {
                        self.input(to, In::Message { from: peer(from as u16), body });
                    }
                }
                (_, Some((at, n))) => {
                    self.now = self.now.max(at);
                    self.nodes[n].now = Instant::from_micros(self.now);
                    let out = self.nodes[n].step(|g, cx, out| g.handle_timeout(cx, out));
                    self.carry(n, out);
                }
                (_, None) => return,
            }
        }
    }

    /// Publishes at `n`: the relative message redundancy and the last delivery hop (the paper's §4.1).
    fn broadcast(&mut self, n: usize, body: &[u8]) -> (f64, usize) {
        let reached = self.reach(n, body);
        let alive = self.alive.iter().filter(|a| **a).count();
        assert_eq!(reached.0, alive, "all have it");
        (reached.1, reached.2)
    }

    /// The same, and first how many have it.
    fn reach(&mut self, n: usize, body: &[u8]) -> (usize, f64, usize) {
        let before = self.stats();
        self.input(n, In::Publish { body: body.to_vec() });
        self.got[n].insert(id_of(body));
        self.settle();
        let after = self.stats();
        let reached = self.got.iter().zip(&self.alive).filter(|(got, alive)| **alive && got.contains(&id_of(body)));
        let alive = self.alive.iter().filter(|a| **a).count();
        let reached = reached.count();
        let hops = (0..after.hops.len()).rev().find(|h| after.hops[*h] > before.hops[*h]).map_or(0, |h| h + 1);
        let payloads = after.payloads_in - before.payloads_in;
        (reached, payloads as f64 / (alive - 1) as f64 - 1.0, hops)
    }

    fn stats(&self) -> BroadcastStats {
        let mut sum = BroadcastStats::default();
        for node in &self.nodes {
            let s = &node.gossip.stats;
            sum.payloads_in += s.payloads_in;
            sum.control_out += s.control_out;
            for (all, one) in sum.hops.iter_mut().zip(s.hops) {
                *all += one;
            }
        }
        sum
    }

    fn die(&mut self, n: usize) {
        self.alive[n] = false;
        let gone: Vec<_> = self.links.iter().copied().filter(|(a, b)| *a == n || *b == n).collect();
        for (a, b) in gone {
            self.links.remove(&(a, b));
            let other = if a == n { b } else { a };
            self.fact(other, Fact::NeighbourDown(peer(n as u16)));
        }
    }
}

#[test]
fn flooding_becomes_a_tree() {
    for seed in 0..4 {
        let mut net = Net::new(200, 5, seed);
        let (first, _) = net.broadcast(0, b"first");
        assert!(first > 1.0, "the first one floods: {first}");
        for n in 0..3u8 {
            net.broadcast(0, &[n]);
        }
        for n in 3..8u8 {
            let (rmr, hops) = net.broadcast(0, &[n]);
            assert!(rmr <= 0.01, "seed {seed}, message {n}: {rmr}");
            assert!(hops <= 14, "seed {seed}, message {n}: {hops} hops");
        }
    }
}

#[test]
fn many_senders_share_one_tree() {
    let mut net = Net::new(200, 5, 9);
    for n in 0..20u8 {
        net.broadcast(usize::from(n) * 7, &[n, 1]);
    }
    for n in 20..30u8 {
        let (rmr, hops) = net.broadcast(usize::from(n) * 5, &[n, 1]);
        assert!(rmr <= 0.1, "message {n}: {rmr}");
        assert!(hops <= 20, "message {n}: {hops} hops");
    }
}

/// The overlay changes all the time. Were new links branches, each would be a way that is short for the next
/// sender, and the tree would follow it.
#[test]
fn new_links_leave_a_grown_tree_as_it_is() {
    let mut net = Net::new(200, 5, 3);
    for n in 0..4u8 {
        net.broadcast(0, &[n, 2]);
    }
    for n in 4..104u8 {
        let (a, b) = (net.rng.below(200), net.rng.below(200));
        net.link(a, b);
        let (rmr, _) = net.broadcast(usize::from(n), &[n, 2]);
        assert!(rmr == 0.0, "message {n}: {rmr}");
    }
}

#[test]
fn a_newcomer_gets_a_branch_of_the_grown_tree() {
    let mut grown = Bench::new(3);
    grown.take(1, 1, b"first");
    grown.message(3, &Message::Prune);
    let offered = sent(grown.fact(Fact::NeighbourUp(peer(4))));
    assert_eq!(offered, [(peer(4), offer(false, &[(b"first", 2)]))], "it has a tree");
    assert_eq!(grown.take(1, 1, b"before").iter().map(|(to, _)| *to).collect::<Vec<_>>(), [peer(2)]);
    // A node without a branch asks for one.
    let asked = sent(Bench::at(4, 0).fact(Fact::NeighbourUp(peer(0))));
    assert_eq!(asked, [(peer(0), Message::Graft { id: None })]);
    grown.message(4, &asked[0].1);
    assert_eq!(grown.take(1, 1, b"after").iter().map(|(to, _)| *to).collect::<Vec<_>>(), [peer(2), peer(4)]);
}

#[test]
fn a_broken_tree_repairs_itself_and_reaches_all_alive() {
    let mut asked = 0;
    for seed in 0..4 {
        let mut net = Net::new(120, 6, seed);
        for n in 0..4u8 {
            net.broadcast(0, &[n]);
        }
        for round in 0..6u8 {
            for _ in 0..4 {
                let n = 1 + net.rng.below(119);
                if net.alive[n] {
                    net.die(n);
                }
            }
            // What the failures cut off cannot be reached; the membership machine would give it new links.
            if connected(&net) {
                net.broadcast(0, &[100 + round]);
                asked += 1;
            }
        }
        if connected(&net) {
            asked += 1;
            let (rmr, _) = net.broadcast(0, b"last");
            assert!(rmr <= 0.1, "seed {seed}: {rmr}");
        }
    }
    assert!(asked >= 20, "only {asked} of 28 broadcasts had a way to all");
}

/// A part whose neighbours have all failed publishes to itself, and gets nothing of the rest.
#[test]
fn two_parts_that_meet_have_the_broadcasts_of_both() {
    let mut met = 0;
    for seed in 0..16 {
        let mut net = Net::new(60, 6, seed);
        for n in 0..4u8 {
            net.broadcast(0, &[n]);
        }
        let part = 1 + usize::from(seed % 3);
        for (a, b) in net.links.clone() {
            if a < part && b >= part {
                net.cut(a, b);
            }
        }
        let said = [(0, b"from the part"), (40, b"from the rest")];
        for (n, body) in said {
            assert!(net.reach(n, body).0 < 60);
        }
        net.link(0, 30);
        net.settle();
        if connected(&net) {
            met += 1;
            for (_, body) in said {
                let have = net.got.iter().filter(|got| got.contains(&id_of(body))).count();
                assert_eq!(have, 60, "seed {seed}: {}", body.escape_ascii());
            }
        }
    }
    assert!(met >= 8, "{met}");
}

fn connected(net: &Net) -> bool {
    let mut reached = OrderedSet::from([0]);
    let mut todo = vec![0];
    while let Some(n) = todo.pop() {
        for &(a, b) in net.links.iter().filter(|(a, b)| *a == n || *b == n) {
            let other = if a == n { b } else { a };
            if reached.insert(other) {
                todo.push(other);
            }
        }
    }
    reached.len() == net.alive.iter().filter(|a| **a).count()
}

#[test]
fn in_a_zone_each_member_gets_a_broadcast_once() {
    for n in [2, 3, 6, 7, 9, 10, 23, 40, 64, 65] {
        for seed in 0..6 {
            let mut net = Net::zone(n, 4, seed);
            net.settle();
            let before = net.stats().control_out;
            for k in 0..3u8 {
                let (rmr, _) = net.broadcast(usize::from(seed) % n, &[k, seed]);
                assert!(rmr == 0.0, "{n} nodes, seed {seed}: {rmr}");
            }
            let control = net.stats().control_out - before;
            assert!(control <= 2 * 3 * n as u64, "{n} nodes: {control} announcements");
        }
    }
}

/// Anti-entropy brings it to the few that neither tree nor ring reaches.
#[test]
fn with_three_quarters_of_the_links_98_percent_are_reached() {
    let (mut due, mut reached) = (0, 0);
    for seed in 0..40 {
        let mut net = Net::zone(40, 3, seed);
        let (got, rmr, _) = net.reach(0, &[seed]);
        assert!(rmr <= 0.1, "seed {seed}: {rmr}");
        (due, reached) = (due + 40, reached + got);
    }
    assert!(reached * 100 >= due * 98, "{reached} of {due}");
}

#[test]
fn a_zone_of_nine_takes_one_hop_and_a_full_one_two() {
    for (n, most) in [(2, 1), (6, 1), (9, 1), (10, 2), (65, 2)] {
        let (rmr, hops) = Net::zone(n, 4, 1).broadcast(0, b"x");
        assert_eq!((rmr, hops), (0.0, most), "{n} nodes");
    }
}

/// No failure was detected yet.
#[test]
fn the_ring_serves_the_part_of_a_failed_child() {
    for seed in 0..30 {
        let mut net = Net::zone(48, 4, seed);
        let dead = [7, 20, 33];
        dead.iter().for_each(|d| net.alive[*d] = false);
        for k in 0..3u8 {
            net.broadcast(1, &[k, seed]);
        }
    }
}

#[test]
fn an_instruction_reaches_members_only() {
    let mut b = Bench::new(0);
    (1..=4).for_each(|n| drop(b.fact(up(peer(n)))));
    b.fact(Fact::Zone(Some((1..=3).map(peer).collect())));
    let refused = sent(b.message(1, &forward(1, &Scope::All, &[2, 4, 0, 1, 9], b"x")));
    let answer = Message::Answer { id: id_of(b"x"), refused: [4, 9].map(|n| name_of(peer(n))).to_vec() };
    assert_eq!(refused, [(peer(1), answer)], "4 is no member, 9 is unknown");
    let out = sent(b.input(In::Validated { id: id_of(b"x"), genuine: true }));
    assert_eq!(out, [(peer(2), forward(2, &Scope::All, &[], b"x"))]);
    assert_eq!(b.wait(1_000), [], "1, which follows, has it");
}

#[test]
fn neighbours_outside_the_zone_get_broadcasts_whole() {
    let mut b = Bench::new(0);
    (1..=2).for_each(|n| drop(b.fact(up(peer(n)))));
    b.fact(Fact::NeighbourUp(peer(2)));
    b.fact(Fact::Zone(Some(vec![peer(1)])));
    let out = sent(b.input(In::Publish { body: b"x".to_vec() }));
    let scope = Scope::Only([0, 1].map(|n| name_of(peer(n))).to_vec());
    assert_eq!(out, [(peer(1), forward(1, &scope, &[], b"x")), (peer(2), gossip(1, b"x"))]);
    b.fact(Fact::Zone(Some((1..=65).map(peer).collect())));
    assert_eq!(sent(b.input(In::Publish { body: b"y".to_vec() })), [(peer(2), gossip(1, b"y"))]);
    b.fact(Fact::Zone(None));
    assert_eq!(sent(b.input(In::Publish { body: b"z".to_vec() })), [(peer(2), gossip(1, b"z"))]);
    assert_eq!(b.gossip.peers.len(), 1, "the member that was no neighbour is forgotten");
}

/// A node `0` with links to `linked`, all of them members since long ago.
fn member(linked: core::ops::RangeInclusive<u16>) -> Bench {
    let mut b = Bench::new(0);
    linked.clone().for_each(|n| drop(b.fact(up(peer(n)))));
    b.fact(Fact::Zone(Some(linked.map(peer).collect())));
    b.wait(30_000);
    b
}

fn names(all: &[u16]) -> Vec<[u8; 4]> {
    all.iter().map(|n| name_of(peer(*n))).collect()
}

/// The children of an own broadcast with what they have to serve.
fn parts(out: &[(NodeId, Message)]) -> Vec<(usize, usize)> {
    let part = |(to, message): &(NodeId, Message)| match message {
        Message::Forward { targets, .. } => Some((number(*to), targets.len())),
        _ => None,
    };
    out.iter().filter_map(part).collect()
}

#[test]
fn what_a_child_refuses_its_instructor_serves_itself() {
    let mut b = member(1..=12);
    let out = sent(b.input(In::Publish { body: b"x".to_vec() }));
    let (child, theirs) = out
        .iter()
        .find_map(|(to, m)| match m {
            Message::Forward { targets, .. } if !targets.is_empty() => Some((*to, targets.clone())),
            _ => None,
        })
        .unwrap();
    let stranger = (1..=12u16).find(|n| !theirs.contains(&name_of(peer(*n)))).unwrap();
    let refused = [theirs.clone(), names(&[stranger, 99])].concat();
    let answer = Message::Answer { id: id_of(b"x"), refused };
    let served = sent(b.message(number(child) as u16, &answer));
    let expected: Vec<_> = (1..=12u16).filter(|n| theirs.contains(&name_of(peer(*n)))).collect();
    let expected: Vec<_> = expected.iter().map(|n| (peer(*n), forward(1, &Scope::All, &[], b"x"))).collect();
    assert_eq!(served, expected, "those of its part, and no other");
    assert_eq!(b.message(number(child) as u16, &answer), [], "once");
}

#[test]
fn the_part_of_a_silent_child_is_taken_over_after_50_ms() {
    let mut b = member(1..=12);
    let out = parts(&sent(b.input(In::Publish { body: b"x".to_vec() })));
    let with: Vec<usize> = out.iter().filter(|(_, n)| *n > 0).map(|(child, _)| *child).collect();
    assert_eq!((out.len(), with.len()), (8, 4));
    for child in &with[1..] {
        b.message(*child as u16, &Message::Answer { id: id_of(b"x"), refused: vec![] });
    }
    assert_eq!(b.wait(49), []);
    let taken = parts(&b.wait(1));
    assert_eq!(taken.len(), 1, "its one target: {taken:?}");
    assert!(!with.contains(&taken[0].0));
    assert!(b.gossip.instructed.is_silent(peer(with[0] as u16)));
    b.wait(1_000);
    for n in 0..20u8 {
        let again = parts(&sent(b.input(In::Publish { body: vec![n] })));
        assert!(!again.iter().any(|(child, part)| *child == with[0] && *part > 0), "it is a leaf");
        b.wait(1_000);
    }
    b.message(with[0] as u16, &Message::Graft { id: None });
    assert!(!b.gossip.instructed.is_silent(peer(with[0] as u16)), "until a message of it comes");
}

#[test]
fn a_child_that_speaks_but_does_not_answer_is_waited_for() {
    let mut b = member(1..=12);
    let out = parts(&sent(b.input(In::Publish { body: b"x".to_vec() })));
    b.wait(10);
    for (child, _) in out {
        b.message(child as u16, &Message::Graft { id: None });
    }
    for ms in [40, 100, 200, 400, 800] {
        assert_eq!(parts(&b.wait(ms)), [], "it is busy, not silent");
    }
    assert!(b.gossip.parts.len() == 0);
}

#[test]
fn a_busy_instructor_does_not_take_its_children_for_silent() {
    let mut b = member(1..=12);
    let out = parts(&sent(b.input(In::Publish { body: b"x".to_vec() })));
    assert_eq!(parts(&b.wait(500)), [], "their answers may lie unread in its socket");
    for (child, _) in out {
        b.message(child as u16, &Message::Answer { id: id_of(b"x"), refused: vec![] });
    }
    assert_eq!(parts(&b.wait(1_000)), []);
}

#[test]
fn a_suspect_is_given_no_others_to_serve() {
    let suspect = |state| Fact::MemberChanged { peer: peer(1), state, own: true };
    for (begins, ends) in [
        (suspect(MemberState::Suspect), suspect(MemberState::Alive)),
        (Fact::LinkSuspected(peer(1)), Fact::LinkRecovered(peer(1))),
    ] {
        let mut b = member(1..=12);
        b.fact(begins);
        let serves = |b: &mut Bench, n: u8| {
            b.wait(1_000);
            let out = sent(b.input(In::Publish { body: vec![n] }));
            if n == 0 {
                let Message::Forward { silent, .. } = &out[0].1 else { panic!("{:?}", out[0]) };
                assert_eq!(*silent, names(&[1]), "others learn of it");
            }
            parts(&out).iter().any(|(child, part)| *child == 1 && *part > 0)
        };
        assert!((0..30).all(|n| !serves(&mut b, n)));
        b.fact(ends);
        assert!((30..90).any(|n| serves(&mut b, n)));
    }
}

#[test]
fn a_claim_of_silence_counts_for_ten_seconds_unless_disproved() {
    let claim = |b: &mut Bench, from: u16, body: &[u8]| {
        let (scope, silent) = (Scope::All, names(&[1, 2, 99]));
        b.message(from, &Message::Forward { round: 1, scope, silent, targets: vec![], body: Blob(body.to_vec()) })
    };
    let mut b = member(1..=12);
    b.message(2, &Message::Graft { id: None });
    claim(&mut b, 3, b"a");
    assert!(b.gossip.instructed.is_silent(peer(1)));
    assert!(!b.gossip.instructed.is_silent(peer(2)), "a message of it came a moment ago");
    let silent = |b: &mut Bench, body: &[u8]| {
        let out = sent(b.input(In::Publish { body: body.to_vec() }));
        assert!(
            out.iter().all(|(_, m)| !matches!(m, Message::Forward { silent, .. } if !silent.is_empty())),
            "hearsay"
        );
        b.gossip.instructed.is_silent(peer(1))
    };
    b.wait(9_999);
    assert!(silent(&mut b, b"b"));
    b.wait(1_001);
    assert!(!silent(&mut b, b"c"));
}

#[test]
fn a_neighbour_outside_the_scope_is_offered_the_broadcast() {
    let mut b = member(1..=4);
    (2..=4).for_each(|n| drop(b.fact(Fact::NeighbourUp(peer(n)))));
    let scope = Scope::Only(names(&[1, 0, 2]));
    b.message(1, &forward(1, &scope, &[], b"x"));
    let out = sent(b.input(In::Validated { id: id_of(b"x"), genuine: true }));
    assert_eq!(out, [3, 4].map(|n| (peer(n), offer(true, &[(b"x", 2)]))));
    // What it fetches says whom the broadcast is for, so that it can do the same.
    let graft = Message::Graft { id: Some(id_of(b"x")) };
    assert_eq!(sent(b.message(3, &graft)), [(peer(3), forward(2, &scope, &[], b"x"))]);
}

#[test]
fn a_new_member_is_offered_what_an_author_sends_to_all() {
    let mut b = member(1..=3);
    b.fact(up(peer(4)));
    (3..=4).for_each(|n| drop(b.fact(Fact::NeighbourUp(peer(n)))));
    b.fact(Fact::Zone(Some((1..=4).map(peer).collect())));
    let take = |b: &mut Bench, body: &[u8]| {
        b.message(1, &forward(1, &Scope::All, &[], body));
        sent(b.input(In::Validated { id: id_of(body), genuine: true }))
    };
    assert_eq!(take(&mut b, b"x"), [(peer(4), offer(false, &[(b"x", 2)]))], "the author may not know it");
    b.wait(30_000);
    assert_eq!(take(&mut b, b"y"), []);
}

#[test]
fn only_a_settled_author_sends_to_all_without_naming_them() {
    let scope = |b: &mut Bench, body: &[u8]| {
        let out = sent(b.input(In::Publish { body: body.to_vec() }));
        let Message::Forward { scope, .. } = &out[0].1 else { panic!("{:?}", out[0]) };
        scope.clone()
    };
    let mut b = member(1..=3);
    assert_eq!(scope(&mut b, b"a"), Scope::All);
    b.fact(Fact::Zone(Some((1..=4).map(peer).collect())));
    assert_eq!(scope(&mut b, b"b"), Scope::Only(names(&[0, 1, 2, 3])), "4 is new, and there is no link to it");
    b.wait(30_000);
    let out = sent(b.input(In::Publish { body: b"c".to_vec() }));
    let to_4 = out.iter().filter(|(_, m)| matches!(m, Message::Forward { targets, .. } if *targets == names(&[4])));
    assert_eq!(to_4.count(), 1, "a member that is known for long has a link to another: {out:?}");
}

#[test]
fn a_member_without_a_link_is_tried_through_three_others() {
    let mut b = member(1..=3);
    b.fact(Fact::Zone(Some((1..=4).map(peer).collect())));
    b.wait(30_000);
    let mut out = sent(b.input(In::Publish { body: b"x".to_vec() }));
    let mut tried = OrderedSet::new();
    let helper = |out: &[(NodeId, Message)]| {
        out.iter().find(|(_, m)| matches!(m, Message::Forward { targets, .. } if *targets == names(&[4]))).map(|o| o.0)
    };
    while let Some(child) = helper(&out) {
        assert!(tried.insert(child), "another one each time");
        out = sent(b.message(number(child) as u16, &Message::Answer { id: id_of(b"x"), refused: names(&[4]) }));
    }
    assert_eq!(tried.len(), 3);
    let out = sent(b.input(In::Publish { body: b"y".to_vec() }));
    assert_eq!(helper(&out), None, "given up for a while");
    assert!(matches!(&out[0].1, Message::Forward { scope: Scope::Only(all), .. } if *all == names(&[0, 1, 2, 3])));
}

#[test]
fn an_instruction_for_a_known_broadcast_is_carried_out() {
    let mut b = member(1..=4);
    b.message(1, &forward(1, &Scope::All, &[], b"x"));
    b.input(In::Validated { id: id_of(b"x"), genuine: true });
    let out = sent(b.message(2, &forward(1, &Scope::All, &[3, 9], b"x")));
    let answer = Message::Answer { id: id_of(b"x"), refused: names(&[9]) };
    assert_eq!(out, [(peer(2), answer), (peer(3), forward(2, &Scope::All, &[], b"x"))]);
    for _ in 0..9 {
        b.message(2, &forward(1, &Scope::All, &[3], b"x"));
    }
    assert_eq!(b.gossip.stats.payloads_out, 3, "a few times at most");
    b.wait(60_000);
    let late = sent(b.message(2, &forward(1, &Scope::All, &[3], b"x")));
    assert_eq!(late, [(peer(2), Message::Answer { id: id_of(b"x"), refused: names(&[3]) })], "forgotten");
}

#[test]
fn a_certain_offer_is_fetched_at_once_from_one_peer() {
    let mut b = member(1..=4);
    (1..=2).for_each(|n| drop(b.fact(Fact::NeighbourUp(peer(n)))));
    let graft = Message::Graft { id: Some(id_of(b"x")) };
    assert_eq!(sent(b.message(3, &offer(true, &[(b"x", 2)]))), [(peer(3), graft.clone())], "linked, and no neighbour");
    assert_eq!(b.message(1, &offer(true, &[(b"x", 2)])), [], "3 was asked");
    assert_eq!(b.wait(200), [(peer(1), graft)]);
    assert_eq!(b.message(9, &offer(true, &[(b"y", 2)])), [], "no link, no answer");
    assert_eq!(b.message(1, &offer(false, &[(b"z", 2)])), [], "it may come by itself");
    assert_eq!(b.wait(300).len(), 1);
}

/// The announcement after 50 ms and the fetch after 300 were the wait of what was published before a link came up.
#[test]
fn what_was_published_before_the_link_comes_at_once() {
    let mut author = Bench::at(1, 0);
    author.input(In::Publish { body: b"x".to_vec() });
    author.fact(up(peer(2)));
    let offered = sent(author.fact(Fact::NeighbourUp(peer(2))));
    let first = offer(false, &[(b"x", 1)]);
    assert_eq!(offered, [(peer(2), Message::Graft { id: None }), (peer(2), first.clone())]);
    // The offer may come before the other side is a neighbour here.
    let mut reader = Bench::at(2, 0);
    reader.fact(up(peer(1)));
    let graft = Message::Graft { id: Some(id_of(b"x")) };
    assert_eq!(sent(reader.message(1, &first)), [(peer(1), graft.clone())]);
    assert_eq!(sent(author.message(2, &graft)), [(peer(2), gossip(1, b"x"))]);
}

#[test]
fn a_node_new_in_its_zone_fetches_what_it_is_offered_at_once() {
    let graft = |n: u16| (peer(n), Message::Graft { id: Some(id_of(b"x")) });
    let mut b = Bench::new(0);
    (1..=3).for_each(|n| drop(b.fact(up(peer(n)))));
    (1..=3).for_each(|n| drop(b.fact(Fact::NeighbourUp(peer(n)))));
    b.fact(Fact::Zone(Some((1..=3).map(peer).collect())));
    assert_eq!(sent(b.message(1, &offer(false, &[(b"x", 2)]))), [graft(1)]);
    let mut b = member(1..=3);
    (1..=3).for_each(|n| drop(b.fact(Fact::NeighbourUp(peer(n)))));
    assert_eq!(sent(b.message(1, &offer(false, &[(b"x", 2)]))), [], "authors know it");
    assert_eq!(b.wait(300), [graft(1)]);
}

#[test]
fn own_children_are_kept_a_second_so_that_runs_share_packets() {
    let mut b = member(1..=40);
    let children = |b: &mut Bench, n: u16| {
        let out = parts(&sent(b.input(In::Publish { body: n.to_be_bytes().to_vec() })));
        out.into_iter().map(|(child, _)| child).collect::<OrderedSet<_>>()
    };
    let first = children(&mut b, 0);
    for n in 1..10 {
        b.now = b.now + Duration::from_millis(100);
        assert_eq!(children(&mut b, n), first);
    }
    b.now = b.now + Duration::from_millis(100);
    assert_ne!(children(&mut b, 10), first, "others have their turn");
    b.now = b.now + Duration::from_secs(1);
    let before = children(&mut b, 11);
    let gone = peer(*before.first().unwrap() as u16);
    b.fact(crate::fact::samples::down(gone));
    assert!(!children(&mut b, 12).contains(&number(gone)), "a link that is gone ends it");
}

#[test]
fn the_ring_gets_the_ids_of_a_second_in_one_message() {
    let mut b = member(1..=4);
    for n in 0..20u8 {
        b.message(2, &forward(1, &Scope::All, &[], &[n]));
        b.input(In::Validated { id: id_of(&[n]), genuine: true });
        b.now = b.now + Duration::from_millis(49);
    }
    let ring = b.wait(20);
    assert!(matches!(&ring[..], [(to, Message::IHave(list))] if *to == peer(1) && list.len() == 20), "{ring:?}");
}

#[test]
fn a_missing_broadcast_is_not_fetched_while_others_come_in() {
    let mut b = Bench::new(3);
    let fetches = |out: &[(NodeId, Message)]| out.iter().any(|(_, m)| matches!(m, Message::Graft { id: Some(_) }));
    b.message(2, &Message::Prune);
    b.message(2, &ihave(b"x", 2));
    for n in 0..80u8 {
        b.now = b.now + Duration::from_millis(4);
        b.take(1, 1, &[n]);
        assert!(!fetches(&b.wait(0)), "it may lie unread before this node");
    }
    assert!(!fetches(&b.wait(4)));
    assert!(fetches(&b.wait(1)));
    b.take(2, 2, b"x");
    b.message(2, &Message::Prune);
    b.message(2, &ihave(b"y", 2));
    let fetched = (0..400u16).find(|n| {
        b.now = b.now + Duration::from_millis(4);
        b.take(1, 1, &n.to_be_bytes());
        fetches(&b.wait(0))
    });
    assert_eq!(fetched, Some(249), "after a second in any case");
}

#[test]
fn a_late_deadline_is_no_reason_to_fetch_yet() {
    let mut b = Bench::new(3);
    b.message(2, &Message::Prune);
    b.message(2, &ihave(b"x", 2));
    assert_eq!(b.wait(400), [], "this node was busy");
    assert_eq!(b.wait(99), []);
    assert_eq!(b.wait(1), [(peer(2), Message::Graft { id: Some(id_of(b"x")) })]);
}
