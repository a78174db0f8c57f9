//! Failure detection in a zone and the operations of `FaultToleranceProtocol`, through whole nodes.

mod common;

use std::time::Duration;

use common::grow;
use donp_core::{CommandError, FailureType, MemberState, NodeId, NodeState};
use donp_sim::{Faults, Sim};

/// `count` nodes that know each other, with their events kept.
fn zone(seed: u64, count: usize) -> Sim {
    let mut sim = Sim::new(seed);
    grow(&mut sim, count);
    let formed = sim.run_until(120, |s| (0..count).all(|n| alive(s, n) == count - 1));
    assert!(formed, "{}", sim.replay());
    sim
}

fn alive(sim: &Sim, n: usize) -> usize {
    let members = sim.node(n).engine().members();
    members.iter().filter(|m| m.state == MemberState::Alive).count()
}

fn state_of(sim: &Sim, n: usize, of: usize) -> Option<MemberState> {
    sim.node(n).engine().members().iter().find(|m| m.id == sim.id(of)).map(|m| m.state)
}

/// States that node `n` reported of another since it had reported `before` events.
fn reported(sim: &Sim, n: usize, of: NodeId, before: usize) -> Vec<MemberState> {
    sim.node(n).members[before..].iter().filter(|(id, _)| *id == of).map(|(_, state)| *state).collect()
}

#[test]
fn a_small_network_is_a_zone_and_notices_a_failed_member() {
    let mut sim = zone(1, 8);
    assert!(sim.node(0).engine().members().iter().all(|m| m.linked));
    assert!((0..8).all(|n| sim.node(n).engine().stats().swim.refuted == 0), "none was suspected");
    let incarnation = |s: &Sim| s.node(0).engine().members().iter().find(|m| m.id == s.id(5)).map(|m| m.incarnation);
    let first = incarnation(&sim);
    sim.crash(5);
    let noticed = sim.run_until(60, |s| (0..8).all(|n| n == 5 || state_of(s, n, 5) == Some(MemberState::Down)));
    assert!(noticed, "{}", sim.replay());
    sim.start(5, &[0]);
    let back = sim.run_until(60, |s| (0..8).all(|n| alive(s, n) == 7));
    assert!(back, "it refutes the state that others remember; {}", sim.replay());
    assert!(first.is_some() && incarnation(&sim) > first);
}

#[test]
fn no_member_is_declared_down_at_ten_percent_loss() {
    let mut sim = zone(2, 8);
    sim.faults = Faults { loss: 0.1, ..Faults::default() };
    sim.run_for(300);
    assert_eq!(sim.watch.false_downs, 0, "{}", sim.replay());
    assert!((0..8).all(|n| sim.node(n).engine().members().len() == 7));
}

#[test]
fn detect_node_failure_answers_with_an_event() {
    let mut sim = zone(3, 4);
    let (there, gone, me) = (sim.id(1), sim.id(2), sim.id(0));
    let before = sim.node(0).members.len();
    sim.with(0, |e, now| e.detect_node_failure(now, there)).unwrap();
    sim.run_for(1);
    assert_eq!(reported(&sim, 0, there, before), [MemberState::Alive]);
    sim.crash(2);
    sim.with(0, |e, now| e.detect_node_failure(now, gone)).unwrap();
    sim.run_for(3);
    assert_eq!(reported(&sim, 0, gone, before), [MemberState::Suspect]);
    let refused = sim.with(0, |e, now| e.detect_node_failure(now, me));
    assert_eq!(refused, Err(CommandError::ToSelf));
    let stranger = NodeId([9; 32]);
    let refused = sim.with(0, |e, now| e.detect_node_failure(now, stranger));
    assert_eq!(refused, Err(CommandError::UnknownPeer(stranger)));
    sim.with(0, |e, now| e.suspend(now));
    let refused = sim.with(0, |e, now| e.recover_from_failure(now, FailureType::State));
    assert_eq!(refused, Err(CommandError::NotRunning));
}

#[test]
fn a_third_cut_off_is_degraded_and_recovers_after_the_cut() {
    (4..8).for_each(a_third_is_cut_off);
}

fn a_third_is_cut_off(seed: u64) {
    let mut sim = zone(seed, 15);
    for n in 10..15 {
        sim.move_to_island(n, 1);
    }
    let state = |s: &Sim, n: usize| s.node(n).engine().status().state;
    let cut = sim.run_until(60, |s| (10..15).all(|n| state(s, n) == NodeState::Degraded));
    let all: Vec<NodeState> = (0..15).map(|n| state(&sim, n)).collect();
    assert!(cut, "{all:?}; {}", sim.replay());
    sim.run_for(60);
    assert!((10..15).all(|n| state(&sim, n) == NodeState::Degraded), "while it is cut off");
    let before: Vec<usize> = (0..15).map(|n| sim.node(n).states.len()).collect();
    sim.net.heal();
    let whole = sim.run_until(300, |s| (0..15).all(|n| state(s, n) == NodeState::Active && alive(s, n) == 14));
    let all: Vec<(NodeState, usize)> = (0..15).map(|n| (state(&sim, n), alive(&sim, n))).collect();
    assert!(whole, "{all:?}; {}", sim.replay());
    for (n, before) in before.into_iter().enumerate().skip(10) {
        let after = &sim.node(n).states[before..];
        assert_eq!(after, [NodeState::Recovering, NodeState::Active], "{n}");
    }
}

/// Two parts that gave each other up: with the operation they merge within seconds, not within the minute
/// that a contact takes by itself.
#[test]
fn handle_network_partition_brings_the_parts_together_at_once() {
    let healed = |seed: u64, hurry: bool| {
        let mut sim = zone(seed, 6);
        (3..6).for_each(|n| sim.move_to_island(n, 1));
        // For the first ten minutes a node that lost so many looks for them all the time.
        sim.run_for(700);
        assert!(state_of(&sim, 0, 3) != Some(MemberState::Alive) && alive(&sim, 0) == 2);
        sim.net.heal();
        let away: Vec<NodeId> = (3..6).map(|n| sim.id(n)).collect();
        if hurry {
            sim.with(0, |e, now| e.report_partition(now, &away)).unwrap();
        }
        let begin = sim.now();
        assert!(sim.run_until(300, |s| (0..6).all(|n| alive(s, n) == 5)), "{}", sim.replay());
        Duration::from_micros(sim.now() - begin)
    };
    // A contact that happens to be due is as fast.
    let sum = |hurry| (5..13).map(|seed| healed(seed, hurry)).sum::<Duration>();
    let (hurried, waited) = (sum(true), sum(false));
    assert!(hurried < waited, "{hurried:?} and {waited:?}");
}

/// Three nodes in a row, where a broadcast goes one hop: the last node gets it from the middle one, if either asks.
fn a_row(seed: u64) -> Sim {
    let mut sim = Sim::new(seed);
    sim.config.swim.zone = false;
    sim.config.gossip.ttl = 1;
    // No periodic comparison runs.
    sim.config.chat.compare_every = Duration::from_secs(86_400);
    for n in 0..3 {
        sim.add_node();
        sim.move_to_island(n, n as u32);
    }
    for (a, b) in [(0, 1), (1, 2)] {
        sim.net.connect(a, b, true);
        sim.net.connect(b, a, true);
    }
    sim.start(1, &[]);
    sim.start(0, &[1]);
    sim.start(2, &[1]);
    let linked = sim.run_until(60, |s| s.neighbours(1).len() == 2 && s.neighbours(0) == [1] && s.neighbours(2) == [1]);
    assert!(linked, "{}", sim.replay());
    // The comparisons of new neighbours are over.
    sim.run_for(10);
    sim
}

#[test]
fn synchronize_state_and_state_recovery_fetch_missing_messages() {
    for recovery in [false, true] {
        let mut sim = a_row(6);
        sim.broadcast(0, "one hop").unwrap();
        sim.run_for(120);
        let there = [0, 1, 2].map(|n| sim.texts(n).len());
        assert_eq!(there, [1, 1, 0], "it does not come by itself; {}", sim.replay());
        let middle = sim.id(1);
        let done = sim.with(2, |e, now| match recovery {
            true => e.recover_from_failure(now, FailureType::State),
            false => e.synchronize_state(now, middle),
        });
        done.unwrap();
        assert!(sim.run_until(5, |s| s.texts(2) == ["one hop"]), "recovery {recovery}; {}", sim.replay());
    }
}

#[test]
fn recovery_from_other_failures_is_accepted_and_harms_nothing() {
    let mut sim = zone(7, 5);
    for failure in [FailureType::Node, FailureType::Network, FailureType::Partition] {
        sim.with(1, |e, now| e.recover_from_failure(now, failure)).unwrap();
        sim.run_for(20);
        assert!((0..5).all(|n| alive(&sim, n) == 4), "{failure:?}; {}", sim.replay());
    }
    assert_eq!(sim.watch.false_downs, 0);
}
