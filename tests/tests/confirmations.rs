//! Confirmations of a group or of a private conversation, through whole nodes (docs/design/groups.md §5).

mod common;

use std::collections::BTreeSet;

use common::network;
use donp_core::{
    Confirmations, Content, Conversation, GroupChange, GroupId, GroupKind, GroupPolicy, GroupRole, MessageId, NodeId,
    WallTime,
};
use donp_sim::Sim;

/// A group of the first `count` nodes, made by node 0.
fn group_of(sim: &mut Sim, count: usize) -> GroupId {
    let policy = GroupPolicy::default();
    let group = sim.with(0, |e, now| e.create_group(now, GroupKind::Private, "team".into(), policy, None)).unwrap();
    let (uses, later) = (count as u32, WallTime(u64::MAX));
    let ticket = sim.with(0, |e, now| e.invite_to_group(now, group, GroupRole::Member, uses, later, None)).unwrap();
    for n in 1..count {
        sim.with(n, |e, now| e.join_group(now, &ticket)).unwrap();
    }
    let has_joined = |s: &Sim, n: usize| s.node(n).group_changes.contains(&(group, GroupChange::Joined));
    assert!(sim.run_until(600, |s| (1..count).all(|n| has_joined(s, n))), "{}", sim.replay());
    group
}

fn say(sim: &mut Sim, group: GroupId, n: usize, text: &str) -> MessageId {
    sim.with(n, |e, now| e.send_to_group(now, group, Content::text(text))).unwrap()
}

fn confirmed(sim: &mut Sim, n: usize, conversation: Conversation, message: MessageId) -> Confirmations {
    sim.with(n, |e, now| e.confirmations(now, conversation, message)).unwrap()
}

fn ids(sim: &Sim, nodes: &[usize]) -> Vec<NodeId> {
    let all: BTreeSet<NodeId> = nodes.iter().map(|n| sim.id(*n)).collect();
    all.into_iter().collect()
}

/// Mutations: no receipt is sent; heights confirm nothing (who was away is not counted).
#[test]
fn each_member_that_has_a_message_is_counted() {
    let mut sim = network(41, 5);
    let group = group_of(&mut sim, 4);
    let team = Conversation::Group(group);
    sim.crash(3);
    sim.run_for(60);
    let message = say(&mut sim, group, 0, "who is here?");
    let here = ids(&sim, &[1, 2]);
    assert!(sim.run_until(10, |s| confirmed(s, 0, team, message).stored == here), "{}", sim.replay());
    sim.run_for(90);
    let found = confirmed(&mut sim, 0, team, message);
    assert_eq!((found.members, &found.stored, found.read.len()), (3, &here, 0), "{}", sim.replay());
    sim.start(3, &[1]);
    let all = ids(&sim, &[1, 2, 3]);
    assert!(sim.run_until(120, |s| confirmed(s, 0, team, message).stored == all), "{}", sim.replay());
    // Also after a restart, when the page was read.
    sim.run_for(20);
    sim.crash(0);
    sim.start(0, &[1]);
    sim.history(0, team);
    assert_eq!(confirmed(&mut sim, 0, team, message).stored, all, "{}", sim.replay());
}

/// Mutation: what the other side acknowledged is not counted.
#[test]
fn a_private_message_is_confirmed_by_its_acknowledgement() {
    let mut sim = network(42, 2);
    let bob = sim.id(1);
    let here = Conversation::Private(bob);
    let message = sim.send(0, 1, "hello").unwrap();
    assert!(sim.run_until(30, |s| confirmed(s, 0, here, message).stored == [bob]), "{}", sim.replay());
    let found = confirmed(&mut sim, 0, here, message);
    assert_eq!((found.members, found.read.len()), (1, 0));
    let alice = sim.id(0);
    sim.with(1, |e, now| e.mark_read(now, Conversation::Private(alice), None)).unwrap();
    sim.run_for(60);
    assert!(confirmed(&mut sim, 0, here, message).read.is_empty(), "it is off; {}", sim.replay());
}

/// The law: no member is said to have stored what it does not have, in random histories with partitions, crashes and
/// losses; and a member that has everything is counted in the end. Mutations: `is_so` is not asked of heights; a
/// receipt does not wait for the disk; `named_by` counts what is named by what is named for everybody.
#[test]
fn nobody_is_counted_that_does_not_have_the_message() {
    let count = std::env::var("DONP_CONFIRMATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    for seed in Sim::seeds(50..50 + count) {
        let mut sim = network(seed, 4);
        let group = group_of(&mut sim, 4);
        let team = Conversation::Group(group);
        sim.faults = common::stormy();
        let mut said: Vec<(usize, MessageId)> = Vec::new();
        for step in 0..40 {
            let n = sim.rng().below(4) as usize;
            match sim.rng().below(10) {
                0 => {
                    let island = sim.rng().below(2) as u32;
                    sim.move_to_island(n, island);
                }
                1 if sim.node(n).runs() => sim.crash(n),
                2 | 3 if !sim.node(n).runs() => sim.start(n, &[(n + 1) % 4]),
                _ if sim.node(n).runs() => said.push((n, say(&mut sim, group, n, &format!("{step} by {n}")))),
                _ => {}
            }
            let pause = sim.rng().below(4);
            sim.run_for(pause);
            check(&mut sim, team, &said);
        }
        sim.faults = donp_sim::Faults::default();
        for n in 0..4 {
            sim.move_to_island(n, 0);
            if !sim.node(n).runs() {
                sim.start(n, &[(n + 1) % 4]);
            }
        }
        sim.run_for(400);
        check(&mut sim, team, &said);
        for &(n, message) in &said {
            sim.history(n, team);
            let others: Vec<usize> = (0..4).filter(|m| *m != n).collect();
            assert_eq!(confirmed(&mut sim, n, team, message).stored, ids(&sim, &others), "{n}; {}", sim.replay());
        }
    }
}

fn check(sim: &mut Sim, team: Conversation, said: &[(usize, MessageId)]) {
    let running: Vec<usize> = (0..4).filter(|n| sim.node(*n).runs()).collect();
    let claims: Vec<Confirmations> = said
        .iter()
        .filter(|(n, _)| running.contains(n))
        .filter_map(|(n, id)| sim.with(*n, |e, now| e.confirmations(now, team, *id)).ok())
        .collect();
    for m in running {
        let has: BTreeSet<MessageId> = sim.history(m, team).into_iter().map(|m| m.id).collect();
        let id = sim.id(m);
        for claim in claims.iter().filter(|c| c.stored.contains(&id)) {
            assert!(has.contains(&claim.message), "node {m} does not have {}; {}", claim.message, sim.replay());
        }
    }
}
