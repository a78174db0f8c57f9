//! A blocked node, through whole nodes: `Engine::block`.

mod common;

use common::grow;
use donp_core::{CommandError, FailReason, MemberState};
use donp_sim::Sim;

/// A zone of `count` that know each other.
fn zone(seed: u64, count: usize) -> Sim {
    let mut sim = Sim::new(seed);
    grow(&mut sim, count);
    let all = sim.run_until(120, |s| (0..count).all(|n| s.linked(n) == count - 1));
    assert!(all, "{}", sim.replay());
    sim
}

fn are_linked(sim: &Sim, a: usize, b: usize) -> bool {
    sim.node(a).engine().peer(sim.id(b)).is_some_and(|p| p.linked)
}

/// Breaks if an Init of a blocked node is answered, if another machine's wish for a link is followed, or if the row is not
/// stored.
#[test]
fn a_blocked_node_gets_no_link_or_answer_after_a_restart_too() {
    let mut sim = zone(1, 3);
    let (bob, me) = (sim.id(1), sim.id(0));
    assert_eq!(sim.with(0, |e, now| e.block(now, me)), Err(CommandError::ToSelf));
    sim.with(0, |e, now| e.block(now, bob)).unwrap();
    sim.with(0, |e, now| e.block(now, bob)).unwrap();
    assert_eq!(sim.node(0).engine().blocked(), [bob]);
    let id = sim.send(1, 0, "let me in").unwrap();
    assert_eq!(sim.send(0, 1, "no"), Err(CommandError::Blocked(bob)));
    for restarted in [false, true] {
        if restarted {
            sim.crash(0);
            sim.start(0, &[1, 2]);
            assert_eq!(sim.node(0).engine().blocked(), [bob]);
        }
        for _ in 0..60 {
            sim.run_for(10);
            assert!(!are_linked(&sim, 0, 1) && !are_linked(&sim, 1, 0), "{}", sim.replay());
        }
        assert!(sim.node(1).engine().is_queued(id), "it gets no refusal");
    }
    assert!(sim.node(0).engine().stats().drops.get(donp_core::DropReason::Blocked) > 0);
    sim.with(0, |e, now| e.unblock(now, bob)).unwrap();
    assert!(sim.node(0).engine().blocked().is_empty());
    assert!(sim.run_until(600, |s| s.node(1).delivered.contains(&id)), "{}", sim.replay());
}

/// Breaks if messages to a blocked node wait for it.
#[test]
fn messages_that_wait_for_a_node_fail_when_it_is_blocked() {
    let mut sim = zone(2, 2);
    sim.crash(1);
    let id = sim.send(0, 1, "are you there?").unwrap();
    sim.run_for(5);
    let bob = sim.id(1);
    sim.with(0, |e, now| e.block(now, bob)).unwrap();
    sim.run_for(1);
    assert_eq!(sim.node(0).failed, [(id, FailReason::Blocked)]);
    assert_eq!(sim.node(0).engine().status().outbox, 0);
}

/// Breaks if entries of a blocked author are refused, which holds up all that name them, if they are in an event or a
/// page, or if a page that is full of them ends the history.
#[test]
fn what_a_blocked_author_says_to_all_is_passed_on_and_not_shown() {
    let mut sim = zone(3, 4);
    sim.broadcast(2, "first").unwrap();
    sim.run_for(2);
    let bob = sim.id(1);
    sim.with(0, |e, now| e.block(now, bob)).unwrap();
    for n in 0..150 {
        sim.broadcast(1, &format!("spam {n}")).unwrap();
        sim.run_for(1);
    }
    sim.broadcast(2, "after it").unwrap();
    sim.run_for(1);
    sim.broadcast(0, "and this").unwrap();
    sim.run_for(5);
    assert_eq!(sim.texts(0), ["first", "after it", "and this"], "{}", sim.replay());
    assert!(sim.node(0).told.iter().all(|m| m.author != bob));
    for other in 1..4 {
        assert_eq!(sim.texts(other).len(), 153, "{other}; {}", sim.replay());
    }
    // One that joins through it gets all.
    let late = sim.add_node();
    sim.start(late, &[0]);
    assert!(sim.run_until(120, |s| s.texts(late).len() == 153), "{}", sim.replay());
    sim.with(0, |e, now| e.unblock(now, bob)).unwrap();
    assert_eq!(sim.texts(0).len(), 153);
    assert!(sim.node(0).told.iter().all(|m| m.author != bob), "no events of what was said meanwhile");
}

/// Two members of a zone without a link between them. Breaks if a missing link alone makes a member suspect.
#[test]
fn a_zone_with_a_blocked_member_stays_whole() {
    let mut sim = zone(4, 6);
    let bob = sim.id(1);
    sim.with(0, |e, now| e.block(now, bob)).unwrap();
    sim.run_for(600);
    assert_eq!(sim.watch.false_downs, 0, "{}", sim.replay());
    for n in 0..6 {
        let members = sim.node(n).engine().members();
        let alive = members.iter().filter(|m| m.state == MemberState::Alive).count();
        assert_eq!(alive, 5, "{n}: {members:?}; {}", sim.replay());
    }
    let id = sim.broadcast(1, "to all").unwrap();
    sim.run_for(5);
    assert!((2..6).all(|n| sim.node(n).told.iter().any(|m| m.id == id)), "{}", sim.replay());
}
