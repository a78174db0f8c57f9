//! Comparing whole histories: stores with holes, many authors, windows, what it costs.

use super::*;
use crate::chat::item::Item;
use crate::chat::ranges::{Bound, Mode, Part};
use crate::identity::Identity;
use crate::limits::Limits;
use proptest::prelude::{ProptestConfig, prop_assert_eq};

/// What passed between two, by kind of message.
#[derive(Debug, Default)]
struct Traffic {
    messages: usize,
    bytes: usize,
    compares: usize,
    bundled: usize,
}

fn sync_of(body: &[u8]) -> Sync {
    decode(body, MAX_MESSAGE).unwrap()
}

/// Passes messages and time between two until neither compares any more. `lost` says of each message
/// whether the link loses it.
fn compare(a: &mut Bench, b: &mut Bench, first: Vec<Out>, lost: &mut dyn FnMut() -> bool) -> Traffic {
    let mut traffic = Traffic::default();
    let mut queue = VecDeque::new();
    let post = |queue: &mut VecDeque<(NodeId, Vec<u8>)>, outs: Vec<Out>| {
        for o in outs {
            match o {
                Out::Send { to, body, priority } => {
                    let is_bulk =
                        !matches!(sync_of(&body), Sync::Heights { .. } | Sync::Digest { .. } | Sync::Fetch { .. });
                    assert_eq!(priority == Priority::Low, is_bulk, "bulk travels last");
                    queue.push_back((to, body));
                }
                Out::Received(_) | Out::GossipValidated { .. } | Out::Compared(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    post(&mut queue, first);
    loop {
        while let Some((to, body)) = queue.pop_front() {
            traffic.messages += 1;
            traffic.bytes += body.len();
            match sync_of(&body) {
                Sync::Compare { .. } => traffic.compares += 1,
                Sync::Bundle { envelopes, .. } => traffic.bundled += envelopes.len(),
                _ => {}
            }
            assert!(traffic.messages < 100_000, "the comparison does not end");
            if lost() {
                continue;
            }
            let (from, hearer) = if to == a.me { (b.me, &mut *a) } else { (a.me, &mut *b) };
            let outs = hearer.input(In::Message { from, body });
            post(&mut queue, outs);
        }
        let busy = |c: &Chat| c.compare.deadline().is_some() || !c.paused.is_empty();
        if !busy(&a.chat) && !busy(&b.chat) {
            return traffic;
        }
        let next = soonest(a.chat.next_deadline(), b.chat.next_deadline()).unwrap();
        for bench in [&mut *a, &mut *b] {
            bench.now = bench.now.max(next);
            let (_, outs) = bench.step(|c, cx, out| c.handle_timeout(cx, out));
            assert!(bench.chat.next_deadline().is_none_or(|d| d > bench.now), "law 1");
            let outs = bench.read(outs);
            post(&mut queue, outs);
        }
    }
}

fn compare_now(a: &mut Bench, b: &mut Bench, lost: &mut dyn FnMut() -> bool) -> Traffic {
    let first = a.input(In::Compare { peer: b.me, linked: true });
    compare(a, b, first, lost)
}

/// Removes a message's rows, as a damaged disk does.
fn lose(bench: &mut Bench, message: &Message) {
    let room = bench.chat.network;
    let ops = vec![
        Op::Delete { table: LOG, key: log_key(room, message.author, message.seq) },
        Op::Delete { table: ORDER, key: order_key(room, message.position()) },
    ];
    bench.store.apply(Batch { seq: 1, ops });
}

/// A history of several authors that receive each other's messages in part; at the end `listeners` receive all.
fn history(story: &[(u8, bool)], listeners: &mut [&mut Bench]) -> Vec<Message> {
    let mut authors: Vec<Bench> = (10..14).map(Bench::new).collect();
    let mut all = Vec::new();
    for (by, received) in story {
        let by = usize::from(*by) % authors.len();
        let body = authors[by].say(&alloc::format!("{}", all.len()));
        let from = authors[by].me;
        if *received {
            for a in &mut authors {
                a.flood(from, &body);
            }
        }
        all.push((from, body));
    }
    let mut messages = Vec::new();
    for (i, listener) in listeners.iter_mut().enumerate() {
        // Until nothing waits for its parents: no author received everything.
        for (from, body) in &all {
            for o in listener.input(In::GossipReceived { via: *from, id: [0; 16], body: body.clone() }) {
                if let Out::Received(m) = o
                    && i == 0
                {
                    messages.push(m);
                }
            }
        }
        assert_eq!(listener.chat.pending(), 0);
    }
    messages
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two stores lost any rows, and any author wrote more meanwhile: what either has, both have in
    /// the end, down to the bytes, however many messages the link loses on the way. A repaired message
    /// is not reported again.
    #[test]
    fn stores_with_any_holes_end_equal(
        story in prop::collection::vec((any::<u8>(), any::<bool>()), 1..80),
        holes in prop::collection::vec((0usize..80, any::<bool>()), 0..60),
        more in (0usize..5, 0usize..5),
        losses in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
        let messages = history(&story, &mut [&mut alice, &mut bob]);
        let mut holes: BTreeMap<usize, bool> = holes.into_iter().collect();
        holes.retain(|at, _| *at < messages.len());
        (0..more.0).for_each(|_| drop(alice.say("more")));
        (0..more.1).for_each(|_| drop(bob.say("more")));
        let whole = messages.len() + more.0 + more.1;
        for (at, at_alice) in &holes {
            lose(if *at_alice { &mut alice } else { &mut bob }, &messages[*at]);
        }
        let mut losses = losses.into_iter();
        let mut lost = || losses.next().is_some_and(|n| n < 80);
        for _ in 0..12 {
            compare_now(&mut alice, &mut bob, &mut lost);
            // The next comparison, from either side, requests again what the link drops.
            compare_now(&mut bob, &mut alice, &mut lost);
        }
        prop_assert_eq!(alice.store.count(ORDER), whole);
        prop_assert_eq!(&alice.store, &bob.store);
        prop_assert_eq!(alice.chat.compare.len() + bob.chat.compare.len(), 0, "no state is left");
    }
}

#[test]
fn a_repaired_message_is_identical_and_not_reported_again() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let story: Vec<(u8, bool)> = (0..60).map(|n| (n, n % 3 > 0)).collect();
    let messages = history(&story, &mut [&mut alice, &mut bob]);
    let whole = bob.store.clone();
    messages.iter().skip(5).step_by(2).for_each(|m| lose(&mut bob, m));
    let first = bob.input(In::Compare { peer: alice.me, linked: true });
    let mut reported = 0;
    let mut queue: VecDeque<(NodeId, Vec<u8>)> = VecDeque::new();
    let mut outs = first;
    loop {
        for o in outs.drain(..) {
            match o {
                Out::Send { to, body, .. } => queue.push_back((to, body)),
                Out::Received(_) => reported += 1,
                _ => {}
            }
        }
        let Some((to, body)) = queue.pop_front() else { break };
        let (from, hearer) = if to == alice.me { (bob.me, &mut alice) } else { (alice.me, &mut bob) };
        outs = hearer.input(In::Message { from, body });
    }
    assert_eq!(bob.store, whole, "completed clocks included");
    assert_eq!(reported, 0);
}

#[test]
fn bundles_may_change_places() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let messages = history(&[(0, true); 12], &mut [&mut alice, &mut bob]);
    let whole = bob.store.clone();
    messages.iter().skip(2).for_each(|m| lose(&mut bob, m));
    let conversation = bob.chat.network;
    let outs = bob.input(In::Compare { peer: alice.me, linked: true });
    assert!(outs.iter().any(|o| matches!(o, Out::Send { body, .. } if matches!(sync_of(body), Sync::Compare { .. }))));
    for m in messages.iter().skip(2).rev() {
        let key = log_key(conversation, m.author, m.seq);
        let request = Scan {
            table: LOG,
            start: key.clone(),
            end: [key.as_slice(), &[0]].concat(),
            reverse: false,
            limit: 1,
            max_bytes: u32::MAX,
        };
        let envelope = record_envelope(&alice.store.scan(&request)[0].value).unwrap().1.to_vec();
        let bundle = Sync::Bundle { conversation, envelopes: vec![Blob(envelope)], done: false };
        bob.input(In::Message { from: alice.me, body: encode(&bundle) });
    }
    assert!(bob.store == whole);
    assert_eq!(bob.chat.compare.mends.len(), 0);
}

#[test]
fn without_a_comparison_an_old_message_is_dropped() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let messages = history(&[(0, true), (1, true)], &mut [&mut alice, &mut bob]);
    let mut envelope = Vec::new();
    for r in alice.store.scan(&Scan {
        table: LOG,
        start: Vec::new(),
        end: vec![255; 80],
        reverse: false,
        limit: 9,
        max_bytes: u32::MAX,
    }) {
        envelope = record_envelope(&r.value).unwrap().1.to_vec();
    }
    messages.iter().for_each(|m| lose(&mut bob, m));
    let conversation = bob.chat.network;
    let bundle = Sync::Bundle { conversation, envelopes: vec![Blob(envelope)], done: true };
    bob.input(In::Message { from: alice.me, body: encode(&bundle) });
    assert_eq!(bob.store.count(LOG), 0);
    assert_eq!(bob.chat.drops.get(DropReason::Duplicate), 1, "dropped before its signature is checked");
}

#[test]
fn equal_histories_cost_one_fingerprint() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    history(&[(0, true); 300], &mut [&mut alice, &mut bob]);
    let first = {
        let (_, outs) = alice.step(|c, cx, out| c.compare_whole(cx, bob.me, out));
        alice.read(outs)
    };
    let traffic = compare(&mut alice, &mut bob, first, &mut || false);
    assert_eq!((traffic.messages, traffic.bundled), (2, 0));
    assert!(traffic.bytes < 150, "{traffic:?}");
}

#[test]
fn a_long_history_is_reconciled_in_windows_of_any_bounds() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    alice.chat.config.limits.compare_items = 600;
    bob.chat.config.limits.compare_items = 256;
    let story: Vec<(u8, bool)> = (0..1_500u32).map(|n| (n as u8, n % 5 == 0)).collect();
    let messages = history(&story, &mut [&mut alice, &mut bob]);
    let whole = bob.store.clone();
    // No message is lost by both: no node could return that one.
    messages.iter().take(700).step_by(50).for_each(|m| lose(&mut bob, m));
    messages.iter().skip(7).step_by(333).for_each(|m| lose(&mut alice, m));
    // Every message of an author in a row: each repair needs the message before it.
    messages.iter().skip(700).take(60).for_each(|m| lose(&mut alice, m));
    let traffic = compare_now(&mut alice, &mut bob, &mut || false);
    assert!(traffic.compares >= 1_500 / 512, "{traffic:?}");
    assert_eq!(alice.store.count(ORDER), 1_500);
    assert!(alice.store == whole && bob.store == whole);
    assert!(traffic.bundled <= 14 + 5 + 60, "{traffic:?}: no present message is sent");
}

#[test]
fn more_authors_than_heights_carry_are_compared_all_the_same() {
    let limits = Limits { authors: 5_000, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let mut benches = [Bench::new(1), Bench::new(2)];
    for bench in &mut benches {
        bench.chat.config = config.clone();
    }
    let [mut alice, mut bob] = benches;
    let hello = |n: usize| {
        let mut seed = [3; 64];
        seed[..8].copy_from_slice(&n.to_le_bytes());
        let identity = Identity::generate(seed, "x", WallTime(0)).unwrap();
        let me = identity.node_id();
        let mut bench = Bench { chat: Chat::new(&config, &identity), me, ..Bench::new(3) };
        bench.say("hello")
    };
    for n in 0..MAX_HEIGHTS + 200 {
        // Each has most of them and lacks some.
        let body = hello(n);
        let via = identity(3).node_id();
        if n % 10 != 1 {
            alice.flood(via, &body);
        }
        if n % 10 != 2 {
            bob.flood(via, &body);
        }
    }
    // Neighbours send this, and a digest leads to it.
    let mut first = alice.fact(Fact::NeighbourUp(bob.me));
    first.extend(bob.fact(Fact::NeighbourUp(alice.me)));
    assert!(first.iter().all(|o| matches!(o, Out::Send { body, .. } if body.len() < MAX_MESSAGE)));
    compare(&mut alice, &mut bob, first, &mut || false);
    assert_eq!(alice.store.count(LOG), MAX_HEIGHTS + 200);
    assert_eq!(alice.store, bob.store);
}

#[test]
fn concurrent_stores_exchange_both_ways_from_either_side() {
    for begin_with_bob in [false, true] {
        let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
        for _ in 0..3 {
            alice.say("a");
            bob.say("b");
        }
        let (asks, other) = if begin_with_bob { (&mut bob, &mut alice) } else { (&mut alice, &mut bob) };
        asks.chat.neighbours.insert(other.me);
        asks.chat.compare_at = Some(Instant::ZERO);
        asks.chat.verify_at = Some(Instant::from_micros(u64::MAX));
        let (_, outs) = asks.step(|c, cx, out| c.handle_timeout(cx, out));
        talk(asks, other, outs);
        assert_eq!((alice.store.count(LOG), bob.store.count(LOG)), (6, 6));
    }
}

#[test]
fn messages_from_catching_up_are_announced() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let third = identity(3).node_id();
    alice.say("said while they were apart");
    bob.fact(Fact::NeighbourUp(third));
    let first = alice.fact(Fact::NeighbourUp(bob.me));
    talk(&mut alice, &mut bob, first);
    assert_eq!(bob.store.count(LOG), 1);
    let at = bob.chat.news_at.unwrap();
    assert!(at <= bob.now + NEWS_AFTER + NEWS_AFTER / 2);
    bob.now = at;
    let (_, outs) = bob.step(|c, cx, out| c.handle_timeout(cx, out));
    let digest = |o: &Out| matches!(o, Out::Send { to, body, .. } if *to == third && matches!(sync_of(body), Sync::Digest { .. }));
    assert!(outs.iter().any(digest), "{outs:?}");
    assert_eq!(bob.chat.news_at, None, "once");
}

#[test]
fn whole_histories_are_compared_after_one_hour_then_daily() {
    let mut alice = Bench::new(1);
    alice.fact(Fact::NeighbourUp(identity(2).node_id()));
    let mut at = Vec::new();
    while alice.now < Instant::ZERO + Duration::from_secs(3 * 86_400) {
        alice.now = alice.chat.next_deadline().unwrap();
        let (_, outs) = alice.step(|c, cx, out| c.handle_timeout(cx, out));
        for o in alice.read(outs) {
            if matches!(&o, Out::Send { body, .. } if matches!(sync_of(body), Sync::Compare { .. })) {
                at.push(alice.now.since(Instant::ZERO).as_secs_f64() / 3_600.0);
            }
        }
    }
    assert!((0.5..1.6).contains(&at[0]), "{at:?}");
    assert!(at.windows(2).all(|w| (12.0..36.1).contains(&(w[1] - w[0]))), "{at:?}");
    assert!((2..7).contains(&at.len()), "{at:?}");
}

#[test]
fn comparisons_wait_for_one_another() {
    let (mut alice, mut bob, mut carol) = (Bench::new(1), Bench::new(2), Bench::new(3));
    let messages = history(&[(0, true); 20], &mut [&mut alice, &mut bob, &mut carol]);
    messages.iter().take(10).for_each(|m| lose(&mut bob, m));
    messages.iter().skip(10).for_each(|m| lose(&mut carol, m));
    let first = alice.input(In::Compare { peer: bob.me, linked: true });
    let outs = alice.input(In::Compare { peer: carol.me, linked: true });
    assert!(!outs.iter().any(|o| matches!(o, Out::Send { body, .. } if matches!(sync_of(body), Sync::Compare { .. }))));
    // Compare with Bob to the end; then it is Carol's turn, and she is not there.
    compare(&mut alice, &mut bob, first, &mut || false);
    assert_eq!(bob.store, alice.store);
    assert_eq!(alice.chat.compare.len(), 0);
    let mut held = Vec::new();
    for _ in 0..20 {
        alice.input(In::Compare { peer: bob.me, linked: true });
        alice.input(In::Compare { peer: carol.me, linked: true });
        held.push(alice.chat.compare.len());
    }
    // Bob is compared with; Carol waits, once.
    assert_eq!(held, [held[0]; 20]);
    alice.fact(down(bob.me));
    let (_, outs) = alice.step(|c, cx, out| c.handle_timeout(cx, out));
    let first = alice.read(outs);
    compare(&mut alice, &mut carol, first, &mut || false);
    assert_eq!(carol.store, alice.store);
}

#[test]
fn a_resumed_node_compares_at_once() {
    let mut alice = Bench::new(1);
    alice.fact(Fact::Resumed);
    assert_eq!(alice.chat.next_deadline(), None, "there is no peer");
    alice.fact(Fact::NeighbourUp(identity(2).node_id()));
    assert!(alice.chat.next_deadline() > Some(alice.now));
    alice.fact(Fact::Resumed);
    assert_eq!(alice.chat.next_deadline(), Some(alice.now));
}

#[test]
fn answers_keep_to_their_rate() {
    let (mut alice, mut bob) = (Bench::new(1), Bench::new(2));
    let rate = 100_000u32;
    alice.chat.pace = Pace::new(rate);
    let text = "x".repeat(2_000);
    (0..400).for_each(|_| drop(alice.say(&text)));
    let begin = alice.now;
    let first = bob.fact(Fact::NeighbourUp(alice.me));
    let mut traffic = compare(&mut alice, &mut bob, first, &mut || false).bytes;
    while bob.store.count(LOG) < 400 {
        let next = bob.chat.next_deadline().unwrap();
        (alice.now, bob.now) = (next, next);
        let (_, outs) = bob.step(|c, cx, out| c.handle_timeout(cx, out));
        traffic += compare(&mut alice, &mut bob, outs, &mut || false).bytes;
    }
    let took = alice.now.since(begin).as_secs_f64();
    // A second's worth at the beginning and one read beyond it.
    let least = (traffic as f64 - f64::from(rate) - 70_000.0) / f64::from(rate);
    assert!(took >= least && least > 5.0, "{traffic} bytes in {took} s");
}

#[test]
fn hostile_comparisons_are_bounded_and_counted() {
    let mut bob = Bench::new(2);
    (0..3_000).for_each(|i| drop(bob.say(&alloc::format!("{i}"))));
    let conversation = bob.chat.network;
    let whole = |mode| vec![Part { end: Bound::at_depth(u64::MAX), mode }];
    let item = |n: u64| Item { depth: n, id: MessageId([n as u8; 32]) };
    let unsorted = Mode::Ids(vec![item(9), item(3)]);
    let compare = |to, mode| Sync::Compare { conversation, from: if to == 7 { 7 } else { 0 }, to, parts: whole(mode) };
    let compared = |mode| Sync::Compared { conversation, from: 0, to: u64::MAX, parts: whole(mode) };
    let want = |n| Sync::Want { conversation, items: (0..n).map(item).collect() };
    // Each message comes from 40 peers; beside it the drops counted for it and the peers that get an answer.
    for (name, message, rate, malformed) in [
        ("a comparison: two are answered at a time", compare(u64::MAX, Mode::Ids(Vec::new())), 38, 0),
        ("an empty window", compare(7, Mode::Skip), 0, 40),
        ("unsorted ids: read in the two that are answered", compare(u64::MAX, unsorted), 38, 2),
        ("an answer without a request", compared(Mode::Fingerprint([1; 16])), 0, 40),
        ("the most positions of a request", want(256), 0, 0),
        ("one position more", want(257), 40, 0),
    ] {
        let body = encode(&message);
        let before = bob.chat.drops;
        for peer in 20..60 {
            let from = identity(peer).node_id();
            let outs = bob.input(In::Message { from, body: body.clone() });
            assert!(outs.len() < 200, "{name}: {} messages", outs.len());
            assert!(bob.chat.footprint() < 3_000 * 2 + 8 * 4_096 + 1_000, "{name}: {}", bob.chat.footprint());
        }
        let counted = |reason| bob.chat.drops.get(reason) - before.get(reason);
        assert_eq!((counted(DropReason::Rate), counted(DropReason::Message)), (rate, malformed), "{name}");
        assert_eq!(bob.chat.drops.total() - before.total(), rate + malformed, "{name}: nothing else is counted");
    }
    // A comparison's trees go when it goes quiet.
    while let Some(at) = bob.chat.next_deadline() {
        bob.now = at;
        let (_, outs) = bob.step(|c, cx, out| c.handle_timeout(cx, out));
        bob.read(outs);
    }
    assert_eq!(bob.chat.compare.len(), 0);
}
