//! The laws of a node (ARCHITECTURE.md, "Laws"), checked from outside.

mod common;

use std::collections::BTreeSet;

use common::{check_told, converge, deadlines, grow, network, stormy};
use donp_core::{Conversation, Table};
use donp_sim::{CrashAt, Faults, Sim};

/// A little of everything; the same calls for the same seed.
fn life(sim: &mut Sim) {
    grow(sim, 3);
    for i in 0..10 {
        let n = sim.rng().below(3) as usize;
        sim.broadcast(n, &format!("b{i}")).unwrap();
        let _ = sim.send(n, (n + 1) % 3, &format!("p{i}"));
        sim.run_for(1);
    }
    sim.run_for(60);
}

/// Law 2.
#[test]
fn the_same_seed_gives_the_same_transcript() {
    let run = |seed| {
        let mut sim = Sim::new(seed);
        sim.faults = stormy();
        life(&mut sim);
        sim.transcript()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

/// Law 5: a host that sleeps exactly to the deadline and one that also calls each millisecond see the same,
/// at the same microsecond: each message, each event, each datagram. The mutation that must break it, in each
/// machine: `Bug::LateDeadline` (`late.rs`).
#[test]
fn sleeping_to_the_deadline_equals_ticking_each_millisecond() {
    let seeds = Sim::seeds(100..102);
    for (story, &seed) in deadlines::STORIES.iter().flat_map(|story| seeds.iter().map(move |seed| (story, seed))) {
        let replay = format!("DONP_SEED={seed}");
        let (sleeping, ticking) = (deadlines::run(story, seed, None), deadlines::run(story, seed, Some(1_000)));
        (story.check)(&sleeping, &replay);
        assert_eq!(sleeping.arrivals, ticking.arrivals, "messages arrive at other times; {replay}");
        assert_eq!(sleeping.events, ticking.events, "events come at other times; {replay}");
        assert_eq!(sleeping.transcript, ticking.transcript, "datagrams or batches differ; {replay}");
    }
}

/// Law 5 is as strong as its stories. Mutations: a machine is left out of its story; the contacts machine has a deadline.
#[test]
fn every_machine_with_a_deadline_is_in_a_story() {
    let (with, without): (Vec<_>, Vec<_>) = donp_core::fuzzing::deadlines().into_iter().partition(|(_, has)| *has);
    let names = |machines: Vec<(&'static str, bool)>| machines.into_iter().map(|(name, _)| name);
    let told: BTreeSet<&str> = deadlines::STORIES.iter().flat_map(|s| s.machines).map(|(name, _)| *name).collect();
    assert_eq!(names(with).collect::<BTreeSet<_>>(), told);
    // What the suite does not draw a deadline of has none.
    assert_eq!(names(without).collect::<Vec<_>>(), ["contacts"]);
}

/// Law 6: crash at any batch, before or after it is written, and restart. Nothing acknowledged is
/// lost, nothing shows twice.
#[test]
fn a_crash_at_any_batch_loses_nothing_acknowledged() {
    for written in [true, false] {
        for seed in Sim::seeds(200..201) {
            let mut batch = 1;
            // Until a run ends without reaching the batch: then every batch was tried.
            while crash_at(seed, batch, written) {
                batch += 1;
            }
            assert!(batch > 40, "the story is too short to mean anything: {batch} batches");
        }
    }
}

/// Plays the same story, with node 1 crashing at its batch `batch`; returns whether it got that far.
fn crash_at(seed: u64, batch: u64, written: bool) -> bool {
    let mut sim = Sim::new(seed);
    // A disk slower than the network: a datagram that leaves too early arrives before the crash.
    sim.faults = Faults { loss: 0.05, ..Faults::default() };
    sim.disk = (10_000, 30_000);
    sim.crash_at = Some(CrashAt { node: 1, batch, written });
    let (a, b) = (sim.add_node(), sim.add_node());
    sim.start(a, &[]);
    sim.start(b, &[a]);
    let (mut said, mut said_privately) = (Vec::new(), Vec::new());
    for i in 0..12 {
        sim.run_for(1);
        if !sim.node(b).runs() {
            sim.run_for(1);
            sim.start(b, &[a]);
        }
        if let Ok(id) = sim.broadcast(a, &format!("a{i}")) {
            said.push(id);
        }
        said_privately.extend(sim.send(a, b, &format!("pa{i}")).ok());
        // A message counts as sent unless the crash took it before it was on disk.
        let id = sim.broadcast(b, &format!("b{i}"));
        let private = sim.send(b, a, &format!("pb{i}"));
        sim.run_until(1, |s| !s.node(b).runs());
        if sim.node(b).runs() {
            said.extend(id.ok());
            said_privately.extend(private.ok());
        }
    }
    let crashed = sim.crash_at.is_none();
    if !sim.node(b).runs() {
        sim.start(b, &[a]);
    }
    let settled = sim.run_until(200, |s| {
        [a, b].into_iter().all(|n| s.node(n).engine().status().outbox == 0 && s.node(n).engine().status().pending == 0)
            && s.history(a, Conversation::Network) == s.history(b, Conversation::Network)
    });
    let replay = format!("batch {batch}; {}", sim.replay());
    assert!(settled, "not settled: {replay}");
    let history = common::checked_history(&mut sim, a, Conversation::Network);
    assert_eq!(common::checked_history(&mut sim, b, Conversation::Network), history, "{replay}");
    for id in &said {
        assert!(history.iter().any(|m| m.id == *id), "an acknowledged message is lost: {replay}");
    }
    for n in [a, b] {
        check_told(&sim, n);
        for id in sim.node(n).delivered.clone() {
            let peer = if n == a { b } else { a };
            let kind = Conversation::Private(sim.id(n));
            let there = sim.history(peer, kind);
            assert!(there.iter().any(|m| m.id == id), "reported as delivered and not there: {replay}");
        }
    }
    let (mine, theirs) = (Conversation::Private(sim.id(b)), Conversation::Private(sim.id(a)));
    let (at_a, at_b) = (sim.history(a, mine), sim.history(b, theirs));
    for id in &said_privately {
        let both = [&at_a, &at_b].iter().all(|h| h.iter().any(|m| m.id == *id));
        assert!(both, "a private message is lost: {replay}");
    }
    crashed
}

/// Durable events come again until they are acknowledged, and then no more.
#[test]
fn durable_events_survive_a_crash_until_acknowledged() {
    let mut sim = network(300, 2);
    for i in 0..5 {
        sim.broadcast(0, &format!("{i}")).unwrap();
    }
    converge(&mut sim, &[0, 1], 5, 60);
    // Forgetful: the second person reads, but never acknowledges.
    let mut forgetful = network(301, 2);
    forgetful.forget_to_acknowledge(1);
    for i in 0..5 {
        forgetful.broadcast(0, &format!("{i}")).unwrap();
    }
    converge(&mut forgetful, &[0, 1], 5, 60);
    for (sim, again) in [(&mut sim, 0), (&mut forgetful, 5)] {
        sim.run_for(5);
        sim.crash(1);
        sim.start(1, &[0]);
        sim.run_for(5);
        assert_eq!(sim.node(1).replayed, again);
        assert_eq!(sim.node(1).told.len(), 5);
        assert_eq!(sim.node(1).disk().count(Table::of("engine", "events").unwrap()), again as usize);
    }
}

/// Law 3: the state of a node does not grow with the datagrams of strangers.
#[test]
fn strangers_cost_no_memory() {
    let mut sim = network(400, 2);
    let before = sim.node(0).engine().footprint();
    let mut junk = donp_sim::SimRng::new(1);
    for i in 0..100_000u64 {
        let len = junk.below(1_300) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| junk.u64() as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = junk.below(8) as u8;
        }
        if let Some(second) = bytes.get_mut(1) {
            *second = 1;
        }
        let from = std::net::SocketAddr::from((
            junk.u64().to_le_bytes()[..4].try_into().map(|b: [u8; 4]| b).unwrap(),
            1_024 + (i % 60_000) as u16,
        ));
        sim.with(0, |e, now| e.handle_datagram(now, from, &bytes));
    }
    assert!(sim.node(0).engine().footprint() <= before + 4_096, "{}", sim.node(0).engine().footprint());
    sim.broadcast(1, "still here").unwrap();
    converge(&mut sim, &[0, 1], 1, 60);
}
