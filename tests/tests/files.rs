//! Files through whole nodes: members fetch what a message names, from each other, through loss and restarts
//! (docs/design/files.md).

mod common;

use common::network;
use donp_core::{
    Attachment, CommandError, Content, Conversation, GroupChange, GroupId, GroupKind, GroupPolicy, GroupRole, WallTime,
};
use donp_sim::{Faults, Sim};

const LATER: WallTime = WallTime(u64::MAX);

/// A group of all nodes, made by the first.
fn group_of_all(sim: &mut Sim, count: usize) -> GroupId {
    let policy = GroupPolicy::default();
    let group = sim.with(0, |e, now| e.create_group(now, GroupKind::Private, "team".into(), policy, None)).unwrap();
    let uses = count as u32;
    let ticket = sim.with(0, |e, now| e.invite_to_group(now, group, GroupRole::Member, uses, LATER, None)).unwrap();
    for n in 1..count {
        sim.with(n, |e, now| e.join_group(now, &ticket)).unwrap();
    }
    let has_joined = |s: &Sim, n: usize| s.node(n).group_changes.contains(&(group, GroupChange::Joined));
    assert!(sim.run_until(600, |s| (1..count).all(|n| has_joined(s, n))), "{}", sim.replay());
    group
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 5) as u8 ^ (i >> 13) as u8).collect()
}

fn is_whole(sim: &Sim, n: usize, file: &Attachment) -> bool {
    sim.node(n).engine().files().iter().any(|info| info.id == file.id && info.is_whole)
}

/// Node 0 shares bytes in a group, and all others that see the message fetch them.
fn share(sim: &mut Sim, group: GroupId, count: usize, bytes: &[u8]) -> Attachment {
    let file = sim.add_file(0, bytes, "plan.pdf");
    let content = Content::File { file: Box::new(file.clone()), text: "the plan".into() };
    sim.with(0, |e, now| e.send_to_group(now, group, content.clone())).unwrap();
    let knows = |s: &Sim, n: usize| s.node(n).told.iter().any(|m| m.content == content);
    assert!(sim.run_until(300, |s| (1..count).all(|n| knows(s, n))), "{}", sim.replay());
    file
}

fn fetch(sim: &mut Sim, group: GroupId, n: usize, file: &Attachment) {
    let (author, file) = (sim.id(0), file.clone());
    sim.with(n, |e, now| e.fetch_file(now, Conversation::Group(group), file, Some(author))).unwrap();
}

// Mutations: `fetch` asks its author only (the file does not come after it died); `restore` forgets fetches.
#[test]
fn a_file_reaches_a_group_through_loss_a_death_and_a_restart() {
    let count = 12;
    let mut sim = network(31, count);
    let group = group_of_all(&mut sim, count);
    let bytes = bytes(1_500_000);
    let file = share(&mut sim, group, count, &bytes);
    sim.faults = Faults { loss: 0.3, ..Faults::default() };
    for n in 1..count {
        fetch(&mut sim, group, n, &file);
    }
    // One member has all of it, and the one that shared it dies; another is restarted in the middle.
    assert!(sim.run_until(600, |s| (1..count).any(|n| is_whole(s, n, &file))), "{}", sim.replay());
    let slow = (1..count).find(|n| !is_whole(&sim, *n, &file)).expect("not all at once");
    sim.crash(slow);
    sim.crash(0);
    sim.run_for(5);
    sim.start(slow, &[1]);
    let all = sim.run_until(1_800, |s| (1..count).all(|n| is_whole(s, n, &file)));
    assert!(all, "{}", sim.replay());
    for n in 1..count {
        assert!(sim.read_file(n, &file).is_some_and(|read| read == bytes), "node {n}; {}", sim.replay());
    }
}

// Mutations: `may_have` gives true; the view of a group does not reach the machine.
#[test]
fn a_removed_member_fetches_nothing_any_more() {
    let mut sim = network(32, 4);
    let group = group_of_all(&mut sim, 4);
    let bytes = bytes(400_000);
    let file = share(&mut sim, group, 4, &bytes);
    let removed = sim.id(3);
    sim.with(0, |e, now| e.remove_member(now, group, removed, false)).unwrap();
    sim.run_for(10);
    // It knows the id and the key: it was a member when the file was named.
    fetch(&mut sim, group, 3, &file);
    let (peer, named) = (sim.id(0), file.clone());
    sim.with(3, |e, now| e.fetch_file(now, Conversation::Private(peer), named, Some(peer))).unwrap();
    fetch(&mut sim, group, 1, &file);
    assert!(sim.run_until(120, |s| is_whole(s, 1, &file)), "{}", sim.replay());
    sim.run_for(120);
    let got = sim.node(3).engine().files().iter().find(|info| info.id == file.id).map(|info| info.bytes);
    assert_eq!(got, Some(0), "{}", sim.replay());
}

// Mutations: `say` does not share; a file in a private conversation is given to everybody.
#[test]
fn a_file_in_a_private_conversation_is_for_the_other_side() {
    let mut sim = network(33, 3);
    let bytes = bytes(300_000);
    let file = sim.add_file(0, &bytes, "plan.pdf");
    let (to, author) = (sim.id(1), sim.id(0));
    let content = Content::File { file: Box::new(file.clone()), text: String::new() };
    sim.with(0, |e, now| e.send_private(now, to, content.clone())).unwrap();
    assert!(sim.run_until(30, |s| s.node(1).told.iter().any(|m| m.content == content)), "{}", sim.replay());
    for n in [1, 2] {
        let named = file.clone();
        sim.with(n, |e, now| e.fetch_file(now, Conversation::Private(author), named, None)).unwrap();
    }
    assert!(sim.run_until(60, |s| is_whole(s, 1, &file)), "{}", sim.replay());
    sim.run_for(60);
    assert!(sim.read_file(1, &file).is_some_and(|read| read == bytes));
    assert!(!is_whole(&sim, 2, &file), "{}", sim.replay());
    // What is not here cannot be passed on.
    let said = sim.with(2, |e, now| e.broadcast(now, content));
    assert_eq!(said, Err(CommandError::Unknown("file here")));
}
