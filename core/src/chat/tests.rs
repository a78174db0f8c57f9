use super::wire::{Height, Range, record_envelope};
use super::*;
use crate::fact::samples::{down, up};
use crate::identity::tests::identity;
use crate::machine::Emit;
use crate::rng::Rng;
use crate::store::{Batch, MemoryStore, Op};
use crate::time::WallTime;
use crate::wire::Blob;
use alloc::vec;
use proptest::prelude::{any, prop, prop_assert, proptest};

mod compare;

struct Bench {
    chat: Chat,
    rng: Rng,
    now: Instant,
    store: MemoryStore,
    me: NodeId,
}

impl Bench {
    fn new(n: u8) -> Self {
        let own = identity(n);
        Self {
            chat: Chat::new(&Config::default(), &own),
            rng: Rng::new([n; 32]),
            now: Instant::ZERO,
            store: MemoryStore::default(),
            me: own.node_id(),
        }
    }

    fn step<R>(&mut self, f: impl FnOnce(&mut Chat, &mut Cx<'_>, &mut Outbox<Out>) -> R) -> (R, Vec<Out>) {
        let mut outbox = Outbox::new();
        let mut cx = Cx { now: self.now, wall: WallTime(9), me: self.me, rng: &mut self.rng };
        let result = f(&mut self.chat, &mut cx, &mut outbox);
        let mut all = Vec::new();
        let mut ops: Vec<Op> = Vec::new();
        while let Some(emit) = outbox.pop() {
            match emit {
                Emit::Now(o) | Emit::Committed(o) => all.push(o),
                Emit::Store(op) => ops.push(op),
            }
        }
        self.store.apply(Batch { seq: 1, ops });
        (result, all)
    }

    /// One input and everything that follows from the store's answers.
    fn input(&mut self, input: In) -> Vec<Out> {
        let (_, outs) = self.step(|c, cx, out| c.handle(cx, input, out));
        self.read(outs)
    }

    fn fact(&mut self, fact: Fact) -> Vec<Out> {
        let (_, outs) = self.step(|c, cx, out| c.fact(cx, &fact, out));
        self.read(outs)
    }

    fn read(&mut self, outs: Vec<Out>) -> Vec<Out> {
        let mut all = Vec::new();
        for o in outs {
            match o {
                Out::Read { read, scan } => {
                    let records = self.store.scan(&scan);
                    let (_, outs) = self.step(|c, cx, out| c.records(cx, read, records, out));
                    all.extend(self.read(outs));
                }
                other => all.push(other),
            }
        }
        all
    }

    fn say(&mut self, text: &str) -> Vec<u8> {
        let (id, outs) = self.step(|c, cx, out| c.say(cx, Conversation::Network, Content::text(text), out));
        id.unwrap();
        outs.into_iter().find_map(|o| if let Out::Publish { body } = o { Some(body) } else { None }).unwrap()
    }

    fn flood(&mut self, via: NodeId, body: &[u8]) -> (bool, usize) {
        let outs = self.input(In::GossipReceived { via, id: [0; 16], body: body.to_vec() });
        let genuine = outs.iter().any(|o| matches!(o, Out::GossipValidated { genuine: true, .. }));
        (genuine, outs.iter().filter(|o| matches!(o, Out::Received(_))).count())
    }
}

/// Passes chat messages between two nodes until neither sends more, nor waits for messages in flight.
fn talk(a: &mut Bench, b: &mut Bench, first: Vec<Out>) -> usize {
    let mut queue: Vec<(NodeId, Vec<u8>)> = Vec::new();
    let mut said = 0;
    let push = |queue: &mut Vec<(NodeId, Vec<u8>)>, outs: Vec<Out>| {
        for o in outs {
            if let Out::Send { to, body, .. } = o {
                queue.push((to, body));
            }
        }
    };
    push(&mut queue, first);
    loop {
        while !queue.is_empty() {
            let (to, body) = queue.remove(0);
            said += 1;
            assert!(said < 10_000, "the exchange does not end");
            let (from, hearer) = if to == a.me { (b.me, &mut *a) } else { (a.me, &mut *b) };
            let outs = hearer.input(In::Message { from, body });
            push(&mut queue, outs);
        }
        let mut waited = false;
        for bench in [&mut *a, &mut *b] {
            let until = bench.now + bench.chat.config.chat.fill_after;
            if let Some(at) = bench.chat.fills.next().filter(|at| *at <= until) {
                waited = true;
                bench.now = at;
                let (_, outs) = bench.step(|c, cx, out| c.handle_timeout(cx, out));
                push(&mut queue, outs);
            }
        }
        if !waited {
            return said;
        }
    }
}

#[test]
fn a_forged_changed_or_moved_broadcast_is_refused() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let good = alice.say("hello");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(bob.flood(alice.me, &bad), (false, 0), "byte {at}");
    }
    assert_eq!(bob.flood(alice.me, &good), (true, 1));
    assert_eq!(bob.flood(alice.me, &good), (false, 0), "once");
    // The same signed bytes in another network are another message, without a valid signature.
    let config = Config { network_key: [1; 32], ..Config::default() };
    let mut other = Bench::new(3);
    other.chat = Chat::new(&config, &identity(3));
    assert_eq!(other.flood(alice.me, &good), (false, 0));
}

#[test]
fn two_nodes_with_new_messages_catch_up_both_ways() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    for i in 0..700 {
        alice.say(&alloc::format!("a{i}"));
        bob.say(&alloc::format!("b{i}"));
    }
    let mut first = alice.fact(Fact::NeighbourUp(bob.me));
    first.extend(bob.fact(Fact::NeighbourUp(alice.me)));
    talk(&mut alice, &mut bob, first);
    assert_eq!(alice.chat.rooms[&alice.chat.network].digest(), bob.chat.rooms[&bob.chat.network].digest());
    assert_eq!(alice.store.count(LOG), 1_400);
    assert_eq!(alice.store, {
        // The two stores hold the same, down to the bytes.
        bob.store.clone()
    });
}

#[test]
fn a_claimed_message_is_requested_only_if_it_does_not_arrive() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let bodies = ["by the tree", "by no path"].map(|text| alice.say(text));
    let heights = alice.chat.rooms[&alice.chat.network].heights();
    let claim = Sync::Heights { conversation: bob.chat.network, heights, answer: false };
    assert_eq!(bob.input(In::Message { from: alice.me, body: encode(&claim) }).len(), 0);
    bob.flood(alice.me, &bodies[0]);
    bob.now = bob.now + bob.chat.config.chat.fill_after;
    let (_, outs) = bob.step(|c, cx, out| c.handle_timeout(cx, out));
    let [Out::Send { body, .. }] = &outs[..] else { panic!("{outs:?}") };
    let ranges = vec![Range { author: alice.me, from: 2, to: 2 }];
    assert_eq!(decode::<Sync>(body, MAX_MESSAGE).unwrap(), Sync::Fetch { conversation: bob.chat.network, ranges });
}

#[test]
fn equal_heights_are_settled_by_one_digest() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let body = alice.say("x");
    bob.flood(alice.me, &body);
    alice.chat.neighbours.insert(bob.me);
    alice.chat.compare_at = Some(Instant::ZERO);
    let (_, outs) = alice.step(|c, cx, out| c.handle_timeout(cx, out));
    assert_eq!(talk(&mut alice, &mut bob, outs), 1);
    // A difference is found by the same digest.
    bob.say("y");
    alice.chat.compare_at = Some(Instant::ZERO);
    let (_, outs) = alice.step(|c, cx, out| c.handle_timeout(cx, out));
    talk(&mut alice, &mut bob, outs);
    assert_eq!(alice.store.count(LOG), 2);
}

#[test]
fn a_missing_parent_is_asked_for_and_filled() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let bodies: Vec<Vec<u8>> = (0..5).map(|i| alice.say(&alloc::format!("{i}"))).collect();
    assert_eq!(bob.flood(alice.me, &bodies[4]), (true, 0), "genuine, but early");
    assert_eq!(bob.chat.pending(), 1);
    bob.now = bob.chat.next_deadline().unwrap();
    let (_, outs) = bob.step(|c, cx, out| c.handle_timeout(cx, out));
    assert!(bob.chat.next_deadline().is_none_or(|d| d > bob.now), "law 1");
    talk(&mut alice, &mut bob, outs);
    assert_eq!((bob.chat.pending(), bob.store.count(LOG)), (0, 5));
}

#[test]
fn a_peer_that_cannot_keep_its_claims_loses_them() {
    let mut bob = Bench::new(2);
    let liar = identity(9).node_id();
    let heights = vec![Height { author: identity(8).node_id(), count: u64::MAX, depth: u64::MAX }];
    let claim = Sync::Heights { conversation: bob.chat.network, heights, answer: false };
    bob.input(In::Message { from: liar, body: encode(&claim) });
    let mut fetches = 0;
    while let Some(at) = bob.chat.next_deadline().filter(|at| at.as_micros() < 3_600_000_000) {
        bob.now = at;
        let (_, outs) = bob.step(|c, cx, out| c.handle_timeout(cx, out));
        fetches += outs.len();
    }
    assert!((1..=6).contains(&fetches), "{fetches}");
    assert_eq!(bob.chat.wants.len(), 0);
}

#[test]
fn a_conversation_of_others_is_never_announced() {
    let (mut alice, bob, eve) = (Bench::new(1), Bench::new(2), Bench::new(3));
    let to = Conversation::Private(bob.me);
    let (said, _) = alice.step(|c, cx, out| c.say(cx, to, Content::text("secret"), out));
    said.unwrap();
    let conversation = private_conversation(alice.me, bob.me);
    for probe in [
        Sync::Digest { conversation, hash: [0; 16] },
        Sync::Heights { conversation, heights: Vec::new(), answer: true },
        Sync::Fetch { conversation, ranges: vec![Range { author: alice.me, from: 1, to: 9 }] },
    ] {
        let outs = alice.input(In::Message { from: eve.me, body: encode(&probe) });
        assert!(outs.is_empty(), "{outs:?}");
    }
}

#[test]
fn a_private_message_is_bound_to_its_sender_and_receiver() {
    let (mut alice, mut bob, mut eve) = (Bench::new(1), Bench::new(2), Bench::new(3));
    let (_, outs) = alice.step(|c, cx, out| c.say(cx, Conversation::Private(bob.me), Content::text("hi"), out));
    let Some(Out::Submit { id, body, .. }) = outs.into_iter().find(|o| matches!(o, Out::Submit { .. })) else {
        panic!("nothing submitted")
    };
    let taken = |outs: &[Out]| outs.iter().any(|o| matches!(o, Out::DirectValidated { accepted: true, .. }));
    // Eve passes Alice's words on as her own: the id does not fit.
    let outs = bob.input(In::DirectReceived { from: eve.me, id: short(&id.0), body: body.clone() });
    assert!(!taken(&outs));
    // Alice's words to Bob come to Eve as if they were for her: the id does not fit either.
    let outs = eve.input(In::DirectReceived { from: alice.me, id: short(&id.0), body: body.clone() });
    assert!(!taken(&outs));
    let outs = bob.input(In::DirectReceived { from: alice.me, id: short(&id.0), body });
    assert!(taken(&outs));
}

#[test]
fn a_node_restored_from_an_old_copy_does_not_repeat_its_numbers() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let to_bob = Conversation::Private(bob.me);
    let pass = |alice: &mut Bench, bob: &mut Bench, text: &str| {
        let (_, outs) = alice.step(|c, cx, out| c.say(cx, to_bob, Content::text(text), out));
        for o in outs {
            if let Out::Submit { id, body, .. } = o {
                let outs = bob.input(In::DirectReceived { from: alice.me, id: short(&id.0), body });
                return outs.iter().any(|o| matches!(o, Out::Received(_)));
            }
        }
        false
    };
    assert!(pass(&mut alice, &mut bob, "one"));
    // An empty store replaces Alice's.
    let mut old = Bench::new(1);
    let mut first = old.fact(up(bob.me));
    first.extend(bob.fact(up(old.me)));
    talk(&mut old, &mut bob, first);
    assert!(pass(&mut old, &mut bob, "two"), "taken as a new message, not as a repeat");
}

#[test]
fn history_comes_in_pages_in_order() {
    let mut alice = Bench::new(1);
    for i in 0..25 {
        alice.say(&alloc::format!("{i}"));
    }
    let mut seen = Vec::new();
    let mut before = None;
    let mut pages = 0;
    loop {
        let (_, outs) = alice.step(|c, _, out| c.history(1, Conversation::Network, before, 10, out));
        let outs = alice.read(outs);
        let [Out::Page { messages, older, .. }] = outs.as_slice() else { panic!("{outs:?}") };
        let mut page: Vec<u64> = messages.iter().map(|m| m.seq).collect();
        page.extend(seen);
        seen = page;
        pages += 1;
        before = *older;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
    assert_eq!(pages, 3);
}

#[test]
fn state_survives_a_restart() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    for i in 0..5 {
        let body = alice.say(&alloc::format!("{i}"));
        bob.flood(alice.me, &body);
    }
    let _ = bob.step(|c, cx, out| c.say(cx, Conversation::Private(alice.me), Content::text("p"), out));
    let mut again = Bench::new(2);
    for r in bob.store.hot() {
        again.chat.restore(&r).unwrap();
        let cut = Record { key: r.key[1..].to_vec(), ..r };
        assert!(again.chat.restore(&cut).is_err());
    }
    again.chat.rooms.values_mut().for_each(Room::restored);
    assert_eq!(again.chat.rooms.len(), 2);
    assert_eq!(again.chat.rooms[&again.chat.network].digest(), bob.chat.rooms[&bob.chat.network].digest());
}

proptest! {
    /// Hostile neighbours cannot break the machine, the law of deadlines or the bounds.
    #[test]
    fn any_messages_leave_the_machine_sound(
        inputs in prop::collection::vec((0u8..6, any::<u8>(), prop::collection::vec(any::<u8>(), 0..80)), 0..40),
    ) {
        let mut b = Bench::new(1);
        let mut good = Bench::new(2);
        for (what, n, bytes) in inputs {
            let peer = identity(3 + n % 4).node_id();
            let mut valid = good.say("x");
            let outs = match what {
                0 => b.input(In::Message { from: peer, body: bytes }),
                1 => b.input(In::GossipReceived { via: peer, id: [n; 16], body: bytes }),
                2 => b.input(In::DirectReceived { from: peer, id: [n; 16], body: bytes }),
                3 => {
                    let at = usize::from(n) % valid.len();
                    valid[at] ^= n;
                    b.input(In::GossipReceived { via: peer, id: [n; 16], body: valid })
                }
                4 => b.fact(if n & 1 == 0 { Fact::NeighbourUp(peer) } else { up(peer) }),
                _ => {
                    b.now = b.now + Duration::from_secs(u64::from(n));
                    let (_, outs) = b.step(|c, cx, out| c.handle_timeout(cx, out));
                    prop_assert!(b.chat.next_deadline().is_none_or(|d| d > b.now));
                    outs
                }
            };
            prop_assert!(outs.len() < 64);
        }
        prop_assert!(b.chat.footprint() < 6_000);
    }
}
