//! A node of low power among others: how often it wakes, what it is sent, and how its death is noticed
//! (docs/design/power.md).

mod common;

use std::collections::BTreeMap;

use common::grow;
use donp_core::{Conversation, Instant, MemberState, Power};
use donp_sim::Sim;

const SECOND: u64 = 1_000_000;
const STEP: u64 = 50_000;

/// Eight nodes and one of low power, number 8. With `zone` they keep a roster of each other; without, HyParView alone.
fn phone(seed: u64, zone: bool) -> Sim {
    let mut sim = Sim::new(seed);
    sim.config.swim.zone = zone;
    sim.config.membership.target = 8;
    grow(&mut sim, 8);
    sim.config.power = Power::Low;
    let phone = sim.add_node();
    sim.start(phone, &[0]);
    let linked = sim.run_until(300, |s| s.linked(phone) == 8 && s.neighbours(phone).len() == 8);
    assert!(linked, "{} links, {:?}; {}", sim.linked(phone), sim.neighbours(phone), sim.replay());
    // Young nodes learn of each other.
    sim.run_for(600);
    sim
}

/// When node `n` is awake in the next seconds, by steps: a datagram came, or its deadline.
fn awake(sim: &mut Sim, n: usize, seconds: u64) -> Vec<u64> {
    let end = sim.now() + seconds * SECOND;
    let mut all = Vec::new();
    while sim.now() < end {
        let next = sim.now() + STEP;
        let due = sim.node(n).engine().next_deadline().is_some_and(|d| d.at <= Instant::from_micros(next));
        let before = sim.node(n).engine().stats().datagrams_in;
        sim.run_to(next);
        if due || sim.node(n).engine().stats().datagrams_in > before {
            all.push(next);
        }
    }
    all
}

/// Each wake-up is the first of what follows within a second: the radio is still up then.
fn wakes(awake: &[u64]) -> Vec<u64> {
    let mut all = Vec::new();
    let mut last = 0;
    for &at in awake {
        if all.is_empty() || at - last > SECOND {
            all.push(at);
        }
        last = at;
    }
    all
}

/// Mutations: a machine's `pressing_deadline` is its next deadline (`swim`, `chat`, `membership`, `discovery`), or
/// `keepalive_at` of a link is not a wake-up of the node.
#[test]
fn one_of_low_power_wakes_four_times_a_minute_at_most() {
    for zone in [true, false] {
        let mut sim = phone(1, zone);
        let wakes = wakes(&awake(&mut sim, 8, 3_600));
        let most = wakes.iter().map(|from| wakes.iter().filter(|at| (*from..from + 60 * SECOND).contains(at)).count());
        assert!(
            most.max() <= Some(4),
            "zone {zone}: {} in an hour, {:?}; {}",
            wakes.len(),
            most_gaps(&wakes),
            sim.replay()
        );
        assert!(wakes.len() >= 140, "it speaks every 25 s: {}", wakes.len());
        assert_eq!(sim.neighbours(8).len(), 8, "{}", sim.replay());
    }
}

fn most_gaps(wakes: &[u64]) -> BTreeMap<u64, usize> {
    let mut gaps = BTreeMap::new();
    for pair in wakes.windows(2) {
        *gaps.entry((pair[1] - pair[0]) / SECOND).or_default() += 1;
    }
    gaps
}

/// Whatever reaches it comes within a second of what it sent itself.
///
/// Mutations: members probe one of low power, its neighbours send it sketches, compare histories with it or keep its link
/// alive.
#[test]
fn an_idle_node_of_low_power_is_sent_answers_only() {
    for zone in [true, false] {
        let mut sim = phone(2, zone);
        let (end, mut spoke, mut unasked) = (sim.now() + 3_600 * SECOND, 0, 0);
        let mut sent = sim.node(8).engine().stats().datagrams_out;
        let mut came = sim.node(8).engine().stats().datagrams_in;
        while sim.now() < end {
            let next = sim.now() + STEP;
            let due = sim.node(8).engine().next_deadline().is_some_and(|d| d.at <= Instant::from_micros(next));
            sim.run_to(next);
            let stats = sim.node(8).engine().stats();
            // Its own acknowledgement of what came is no word of its own.
            if due && stats.datagrams_out > sent {
                spoke = sim.now();
            }
            if stats.datagrams_in > came && sim.now() - spoke > SECOND {
                unasked += 1;
            }
            (sent, came) = (stats.datagrams_out, stats.datagrams_in);
        }
        assert_eq!(unasked, 0, "zone {zone}; {}", sim.replay());
    }
}

/// Four of its periods without a word, then what SWIM takes with a suspect that no link reaches
/// (docs/design/power.md §3).
///
/// Mutation: `silent_for` is none.
#[test]
fn the_death_of_one_of_low_power_is_noticed_by_its_silence() {
    let mut sim = phone(3, true);
    let state = |s: &Sim, n: usize| {
        let phone = s.id(8);
        s.node(n).engine().members().into_iter().find(|m| m.id == phone).map(|m| m.state)
    };
    assert!((0..8).all(|n| state(&sim, n) == Some(MemberState::Alive)));
    sim.crash(8);
    let unlinked = sim.run_until(101, |s| (0..8).all(|n| s.linked(n) == 7));
    assert!(unlinked, "100 s of silence; {}", sim.replay());
    let noticed = sim.run_until(60, |s| (0..8).all(|n| state(s, n) == Some(MemberState::Down)));
    let all: Vec<_> = (0..8).map(|n| state(&sim, n)).collect();
    assert!(noticed, "{all:?}; {}", sim.replay());
}

/// And none that is there is taken for dead.
#[test]
fn one_of_low_power_that_is_there_is_not_suspected() {
    let mut sim = phone(4, true);
    let suspected = |s: &Sim| (0..8).map(|n| s.node(n).engine().stats().swim.suspected).sum::<u64>();
    let before = suspected(&sim);
    sim.faults.loss = 0.05;
    sim.run_for(3_600);
    assert_eq!((suspected(&sim), sim.watch.false_downs), (before, 0), "{}", sim.replay());
    assert_eq!(sim.linked(8), 8, "{}", sim.replay());
}

/// Mutation: `Wakes` applies to what presses too, or a broadcast to one of low power waits for its next word.
#[test]
fn a_message_reaches_one_of_low_power_at_once() {
    for zone in [true, false] {
        let mut sim = phone(5, zone);
        for round in 0..6 {
            sim.run_for(7);
            let before = sim.node(8).told.len();
            let text = format!("{round}");
            if round % 2 == 0 {
                sim.broadcast(round, &text).unwrap();
            } else {
                sim.send(round, 8, &text).unwrap();
            }
            let there = sim.run_until(2, |s| s.node(8).told.len() > before);
            assert!(there, "zone {zone}, {round}; {}", sim.replay());
        }
        // What it says itself is everywhere as soon.
        sim.broadcast(8, "from the phone").unwrap();
        let there = sim.run_until(2, |s| (0..8).all(|n| s.node(n).told.iter().any(|m| m.author == s.id(8))));
        assert!(there, "zone {zone}; {}", sim.replay());
        assert_eq!(sim.history(8, Conversation::Network).len(), 4, "{}", sim.replay());
    }
}

/// Where all are of low power, all speak first: none waits for another.
///
/// Mutation: `speaks_first_to` does not ask for the own power.
#[test]
fn a_network_of_phones_alone_catches_up() {
    let mut sim = Sim::new(6);
    sim.config.power = Power::Low;
    grow(&mut sim, 5);
    let whole = sim.run_until(600, |s| (0..5).all(|n| s.node(n).engine().members().len() == 4));
    assert!(whole, "{}", sim.replay());
    for n in 0..20 {
        sim.broadcast(n % 5, "kept").unwrap();
    }
    assert!(sim.run_until(5, |s| (0..5).all(|n| s.history(n, Conversation::Network).len() == 20)), "{}", sim.replay());
    assert!(sim.lose_history(2, 0.5) > 0);
    let back = sim.run_until(3 * 3_600, |s| s.history(2, Conversation::Network).len() == 20);
    assert!(back, "{}; {}", sim.history(2, Conversation::Network).len(), sim.replay());
    assert_eq!(sim.watch.false_downs, 0);
}
