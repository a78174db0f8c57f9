//! Hostile members, past members and strangers against the machine itself.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::bench::*;
use crate::collections::{OrderedMap, OrderedSet};
use crate::contract::who;
use crate::group::keys::{Epoch, header_of};
use crate::group::op::{Acceptance, Action, Field, GroupRole, Invitation, Invitee, Operation};
use crate::group::wire::{Message, Refusal};
use crate::group::{Deed, GroupInfo, In, Join, Leave, Prepare};
use crate::id::{GroupId, OpId};
use crate::identity::Identity;
use crate::machine::Machine;
use crate::rng::Rng;
use crate::stats::DropReason;
use crate::time::{Duration, WallTime};
use crate::wire::group::Context;
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};

fn secret_of(body: &[u8]) -> Option<Vec<u8>> {
    match decode::<Message>(body, MAX_MESSAGE) {
        Ok(Message::Secret(Blob(secret))) => Some(secret),
        _ => None,
    }
}

fn rename(name: &str) -> Action {
    Action::Describe { field: Field::Name, value: name.into() }
}

/// A forged sealed message with these tags.
fn garbage(tags: [u8; 16], sender: u16, number: u32, len: usize) -> Vec<u8> {
    let front = [&[1, 1][..], &tags, &sender.to_le_bytes(), &number.to_le_bytes()].concat();
    [front, vec![7; 24], vec![9; len], vec![0; 16]].concat()
}

/// Fails if a secret is taken without a look at what the operation committed to (`Group::secret`).
#[test]
fn a_secret_unlike_its_commitment_is_refused_the_right_one_got() {
    let (mut bench, group) = Bench::with_group(5, 4);
    // Node 0 tells node 1 and the newcomer another secret, whenever it is asked.
    bench.in_the_way = Some(Box::new(|from, to, body| {
        if let (0, 1 | 4, Some(mut secret)) = (from, to, secret_of(body)) {
            *secret.last_mut().unwrap() ^= 1;
            *body = encode(&Message::Secret(Blob(secret)));
        }
        true
    }));
    bench.remove(group, 0, 3);
    assert_eq!((bench.usable(group, 1), bench.usable(group, 2)), (None, bench.usable(group, 0)));
    bench.wait(120);
    assert_eq!(bench.usable(group, 1), bench.usable(group, 0));
    bench.say(group, 2, b"right");
    assert!(bench.has_heard(1, b"right"));
    let ticket = bench.invitation(group, 0, 4, GroupRole::Member);
    bench.command(4, Join { ticket }).unwrap();
    assert!(bench.is_member(group, 4, 4) && bench.usable(group, 4).is_none());
    bench.wait(240);
    assert!(bench.usable(group, 4).is_some());
    bench.say(group, 1, b"welcome");
    assert!(bench.has_heard(4, b"welcome"));
}

/// Fails if who hands a secret on does not look whether the other is a member now (`hand_to`, `give`).
#[test]
fn who_is_removed_gets_no_secret_of_any_epoch() {
    let (mut bench, group) = Bench::with_group(4, 4);
    // Node 1 makes an epoch for all while node 3 is away, and learns of the removal before node 3 comes back.
    bench.islands(&[0, 1, 1, 2]);
    bench.step(1, |machine, cx, out| {
        let group = machine.groups.get_mut(&group).unwrap();
        group.usable = None;
        let id = group.id;
        machine.prepare(cx, id, out).unwrap();
    });
    bench.run();
    bench.islands(&[0, 0, 0, 2]);
    bench.wait(5);
    bench.remove(group, 0, 3);
    bench.wait(5);
    bench.islands(&[0; 4]);
    let before = bench.secrets_to(3);
    let epochs: Vec<OpId> = bench.nodes[1].machine.groups[&group].ops.iter().map(|op| op.id).collect();
    let is_for_it = |op: &&OpId| {
        let group = &bench.nodes[1].machine.groups[&group];
        group.epoch(**op).is_some_and(|epoch| epoch.holders().contains(&bench.id(3)))
    };
    assert!(epochs.iter().filter(is_for_it).count() >= 2, "epochs of which it was a holder");
    for epoch in epochs {
        (0..3).for_each(|n| {
            bench.feed(n, 3, &Message::Ask { group, epoch });
        });
    }
    bench.wait(120);
    assert_eq!(bench.secrets_to(3), before);
}

/// Fails if an epoch stays in use that a former member holds (`candidate`), or if tags outlive their
/// epoch.
#[test]
fn a_removed_member_opens_nothing_that_is_said_after() {
    let (mut bench, group) = Bench::with_group(5, 5);
    (0..5).for_each(|n| bench.say(group, n, &[n as u8]));
    let (heard, sealed) = (bench.heard(3).len(), bench.sealed.len());
    let tags = |bench: &Bench, from: usize| -> Vec<[u8; 16]> {
        bench.sealed[from..].iter().map(|(_, body)| header_of(body).unwrap().tags.0).collect()
    };
    let before: OrderedSet<[u8; 16]> = tags(&bench, 0).into_iter().collect();
    bench.remove(group, 0, 3);
    // Another one goes by its own word, which makes no epoch.
    (0..12).for_each(|n| bench.say(group, n % 3, &[100 + n as u8]));
    bench.command(4, Leave { group }).unwrap();
    (0..12).for_each(|n| bench.say(group, n % 3, &[200 + n as u8]));
    let since = bench.sealed[sealed..].to_vec();
    for (from, body) in since {
        bench.feed_sealed(3, from, &body);
        bench.feed_sealed(4, from, &body);
    }
    assert_eq!(bench.heard(3).len(), heard);
    assert!(bench.heard(4).iter().all(|text| text[0] < 200));
    assert!(bench.has_heard(1, &[100 + 11]) && bench.has_heard(1, &[200 + 11]));
    for tags in tags(&bench, sealed) {
        let is_known = |known: &[u8; 16]| known[..8] == tags[..8] || known[8..] == tags[8..];
        assert!(!before.iter().any(is_known), "the tags tell of which group it is");
    }
}

/// Fails if no member is asked for a secret that does not come (`ask_secrets`), or if the same one is asked each time.
#[test]
fn a_secret_that_feeders_withhold_is_got_from_others() {
    let (mut bench, group) = Bench::with_group(6, 6);
    // Node 0 gives it to node 1 alone, and node 1 to node 2 alone.
    bench.in_the_way =
        Some(Box::new(|from, to, body| secret_of(body).is_none() || !matches!((from, to), (0, 2..) | (1, 0 | 3..))));
    bench.remove(group, 0, 5);
    assert_eq!((2..5).filter(|n| bench.usable(group, *n).is_some()).count(), 0);
    bench.wait(240);
    for n in 1..5 {
        assert_eq!(bench.usable(group, n), bench.usable(group, 0), "node {n}");
    }
}

/// Fails if a member that asks gets nothing from one that is not its feeder (`give`).
#[test]
fn an_author_crashing_after_one_send_of_five_loses_no_member() {
    let (mut bench, group) = Bench::with_group(7, 7);
    bench.in_the_way = Some(Box::new(|from, to, body| secret_of(body).is_none() || from != 0 || to == 1));
    bench.remove(group, 0, 6);
    bench.islands(&[9, 0, 0, 0, 0, 0, 0]);
    bench.wait(240);
    let epoch = bench.usable(group, 1);
    assert!(epoch.is_some());
    for n in 2..6 {
        assert_eq!(bench.usable(group, n), epoch, "node {n}");
    }
    assert_eq!(bench.usable(group, 6), None);
}

/// Fails if a secret is given to a node that was no holder of its epoch (`hand_to`).
#[test]
fn a_newcomer_opens_nothing_from_before_it_came() {
    let (mut bench, group) = Bench::with_group(4, 3);
    (0..6).for_each(|n| bench.say(group, n % 3, &[n as u8]));
    let old = bench.sealed.clone();
    let epochs: Vec<OpId> = bench.nodes[0].machine.groups[&group].ops.iter().map(|op| op.id).collect();
    bench.add(group, 0, 3, GroupRole::Member);
    let given = bench.secrets_to(3);
    for epoch in epochs {
        (0..3).for_each(|n| {
            bench.feed(n, 3, &Message::Ask { group, epoch });
        });
    }
    assert_eq!(bench.secrets_to(3), given);
    bench.wait(60);
    old.iter().for_each(|(from, body)| bench.feed_sealed(3, *from, body));
    assert!(bench.heard(3).is_empty());
    let tags: OrderedSet<[u8; 16]> = old.iter().map(|(_, body)| header_of(body).unwrap().tags.0).collect();
    let held: Vec<[u8; 16]> = bench.nodes[3].machine.groups[&group].epochs.iter().map(|e| e.tags().0).collect();
    assert!(!held.is_empty() && held.iter().all(|own| !tags.contains(own)));
    bench.say(group, 1, b"new");
    assert!(bench.has_heard(3, b"new"));
}

/// Fails if a stranger learns that an invitation is missing (`asked_to_join`), or which state a group has (`state`).
#[test]
fn a_stranger_cannot_tell_whether_there_is_a_group() {
    let (mut bench, group) = Bench::with_group(4, 3);
    bench.say(group, 1, b"secret");
    bench.wait(61);
    let (rows, footprint) = (bench.nodes[0].rows.clone(), bench.nodes[0].machine.footprint());
    let (clock, ops) = {
        let ops = &bench.nodes[0].machine.groups[&group].ops;
        (ops.clock(), ops.iter().map(|op| Blob(op.bytes.clone())).collect::<Vec<_>>())
    };
    let epoch = bench.usable(group, 0).unwrap();
    let sealed = bench.sealed[0].1.clone();
    for id in [group, GroupId([77; 32])] {
        let stranger = bench.nodes[3].who.clone();
        let acceptance = Acceptance::sign(&stranger, id, [1; 16], None);
        let terms = (GroupRole::Member, 9, FOREVER);
        let own = Invitation::sign(&stranger, id, [2; 16], terms, Invitee::Node(stranger.node_id()));
        // In the name of a member: the signature is not that of the key.
        let forged = Invitation { key: bench.nodes[0].who.public_key(), ..own.clone() };
        let join = |invitation| Message::Join { group: id, acceptance, invitation, name: "eve".into() };
        let (seq, lamport) = (5, 9);
        let bad = Operation::sign(&stranger, Some(id), (seq, vec![epoch], lamport), WALL, rename("bad")).unwrap();
        let secret = [&[2][..], &id.0, &epoch.0, &[4; 32]].concat();
        let messages = [
            Message::State { group: id, hash: [0; 32], clock: OrderedMap::new(), answer: true, key: None },
            Message::State { group: id, hash: [0; 32], clock: clock.clone(), answer: true, key: None },
            Message::Ops { group: id, ops: ops.clone() },
            Message::Ops { group: id, ops: vec![Blob(bad.bytes), Blob(vec![1; 90])] },
            join(None),
            join(Some(own)),
            join(Some(forged)),
            Message::Ask { group: id, epoch },
            Message::Secret(Blob(secret)),
            Message::Wait { group: id },
            Message::Refuse { group: id, reason: Refusal::Banned },
        ];
        for message in messages {
            let answers = bench.feed(0, 3, &message);
            assert!(answers.is_empty(), "{message:?}: {answers:?}");
        }
        bench.feed_sealed(0, 3, &garbage([5; 16], 1, 1, 100));
    }
    bench.feed_sealed(0, 3, &sealed);
    assert_eq!(bench.nodes[0].rows, rows);
    // One sealed message waits for a minute.
    bench.wait(61);
    assert_eq!(bench.nodes[0].machine.footprint(), footprint);
    let ticket = bench.invitation(group, 0, 3, GroupRole::Member);
    bench.command(3, Join { ticket }).unwrap();
    assert!(bench.is_member(group, 3, 3));
}

/// Operations of a node that name what no node has.
fn orphans(bench: &Bench, group: GroupId, by: usize, count: u32) -> Vec<Blob> {
    let orphan = |n: u32| {
        let mut parent = [0; 32];
        parent[..4].copy_from_slice(&n.to_le_bytes());
        let place = (9, vec![OpId(parent)], 2);
        let op = Operation::sign(&bench.nodes[by].who, Some(group), place, WALL, rename("x")).unwrap();
        Blob(op.bytes)
    };
    (0..count).map(orphan).collect()
}

/// Fails if what waits has no limit (`MAX_WAITING`), or if strangers may take all of it (`MAX_OF_STRANGERS`).
#[test]
fn a_flood_of_operations_that_name_nothing_holds_up_no_removal() {
    let (mut bench, group) = Bench::with_group(5, 4);
    let waiting = |bench: &Bench| bench.nodes[0].machine.groups[&group].waiting.len();
    let flood = orphans(&bench, group, 4, 5_000);
    for ops in flood.chunks(100) {
        bench.feed(0, 4, &Message::Ops { group, ops: ops.to_vec() });
    }
    assert_eq!(waiting(&bench), 250, "a quarter for strangers");
    let flood = orphans(&bench, group, 1, 10_000);
    let mut asked = 0;
    for ops in flood.chunks(100) {
        asked += bench.feed(0, 1, &Message::Ops { group, ops: ops.to_vec() }).len();
    }
    assert_eq!(waiting(&bench), 1_000);
    assert!(asked <= flood.len() / 100, "one question for each message at most");
    // The removal comes before what it follows, from a member whose other operation is missing here.
    let admin = bench.id(2);
    bench.act(group, 0, Deed::SetRole { member: admin, role: GroupRole::Admin });
    bench.islands(&[0, 0, 1, 1, 0]);
    bench.act(group, 2, Deed::Rename { name: "other".into() });
    bench.remove(group, 2, 3);
    bench.islands(&[0; 5]);
    let removal = bench.nodes[2].machine.groups[&group].ops.iter().next_back().unwrap().bytes.clone();
    bench.feed(0, 2, &Message::Ops { group, ops: vec![Blob(removal)] });
    bench.wait(120);
    assert!(!bench.is_member(group, 0, 3));
    assert_eq!(bench.usable(group, 0), bench.usable(group, 2));
}

/// Fails if an operation that waits is not taken when what it names came (`offer`).
#[test]
fn operations_that_came_in_the_wrong_order_are_taken() {
    let (mut bench, group) = Bench::with_group(3, 2);
    bench.islands(&[0, 1, 0]);
    for n in 0..400 {
        bench.act(group, 0, Deed::Rename { name: n.to_string() });
    }
    let ops: Vec<Blob> =
        bench.nodes[0].machine.groups[&group].ops.iter().rev().map(|op| Blob(op.bytes.clone())).collect();
    bench.in_the_way = Some(Box::new(|_, _, _| false));
    for ops in ops.chunks(50) {
        bench.feed(1, 0, &Message::Ops { group, ops: ops.to_vec() });
    }
    let name = |n: usize| bench.nodes[n].machine.info(group).unwrap().name;
    assert_eq!(name(1), "399");
    assert!(bench.nodes[1].machine.groups[&group].waiting.is_empty());
}

/// One lost row locks no store, whichever it is. Mutations: `restore` refuses a group without its first operation; `recover`
/// asks none but the first it finds, which is away; epochs are not taken over.
#[test]
fn a_lost_row_costs_no_more_than_asking_for_it() {
    let (mut bench, group) = Bench::with_group(4, 3);
    bench.say(group, 1, b"before");
    let rows = bench.nodes[2].rows.clone();
    let epochs = |bench: &Bench| bench.nodes[2].machine.groups[&group].epochs.iter().count();
    let before = epochs(&bench);
    for (lost, n) in rows.keys().zip(0u8..) {
        bench.nodes[2].rows = rows.clone();
        bench.nodes[2].rows.remove(lost);
        // The member that is asked first may be away.
        bench.island = vec![0, u8::from(n % 2 == 0), 0, 0];
        bench.restart(2);
        bench.wait(30);
        bench.islands(&[0; 4]);
        bench.wait(2_000);
        let hash = |n: usize| bench.nodes[n].machine.groups.get(&group).map(|g| g.ops.state_hash());
        assert_eq!(hash(2), hash(0), "without {lost:?}");
        bench.say(group, 1, &[n]);
        assert!(bench.has_heard(2, &[n]), "without {lost:?}");
        assert!(epochs(&bench) == before || lost.0 == crate::group::EPOCHS, "without {lost:?}");
        assert!(
            bench.nodes[2].rows.keys().any(|row| row == lost) || lost.0 != crate::group::OPERATIONS,
            "it is back on disk"
        );
    }
}

/// Fails if operations of one member hold up what others say, or its own removal.
#[test]
fn a_flood_of_valid_operations_holds_up_nobody() {
    let (mut bench, group) = Bench::with_group(4, 4);
    let member = bench.id(3);
    bench.act(group, 0, Deed::SetRole { member, role: GroupRole::Admin });
    for n in 0..200 {
        bench.act(group, 3, Deed::Rename { name: n.to_string() });
        if n % 40 == 0 {
            bench.say(group, 1, &[n as u8]);
            assert!(bench.has_heard(2, &[n as u8]));
        }
    }
    bench.remove(group, 0, 3);
    assert!(!bench.is_member(group, 1, 3) && !bench.is_member(group, 2, 3));
    bench.say(group, 1, b"after");
    assert!(bench.has_heard(2, b"after") && !bench.has_heard(3, b"after"));
}

/// Fails if an invitation is not looked at before it is used (`may_use`), or if a ban does not count.
#[test]
fn an_invitation_adds_whom_it_names_and_nobody_else() {
    let (mut bench, group) = Bench::with_group(7, 3);
    let other = bench.create(0);
    let admin = bench.id(2);
    bench.act(group, 0, Deed::SetRole { member: admin, role: GroupRole::Admin });
    let (node, bearer) = (bench.id(5), who(99));
    let terms = (GroupRole::Member, 1, FOREVER);
    let by = |n: usize, terms, invitee| Invitation::sign(&bench.nodes[n].who, group, [n as u8; 16], terms, invitee);
    let for_node = by(0, terms, Invitee::Node(node));
    let for_bearer = by(2, terms, Invitee::Bearer(bearer.public_key()));
    let expired = by(0, (GroupRole::Member, 1, WallTime(5)), Invitee::Node(bench.id(4)));
    let too_high = by(2, (GroupRole::Admin, 1, FOREVER), Invitee::Node(bench.id(4)));
    let by_member = by(1, terms, Invitee::Node(bench.id(4)));
    let answer = |bench: &mut Bench, from: usize, acceptance, invitation| {
        let join = Message::Join { group, acceptance, invitation, name: "eve".into() };
        let answers = bench.feed(0, from, &join);
        answers.into_iter().find_map(|m| if let Message::Refuse { reason, .. } = m { Some(reason) } else { None })
    };
    let accepts = |n: usize, nonce: u8, by: Option<&Identity>| Acceptance::sign(&who(n as u8), group, [nonce; 16], by);
    // The consent of another node, and one to another group.
    assert_eq!(answer(&mut bench, 4, accepts(5, 1, None), Some(for_node.clone())), None);
    let to_other = Acceptance::sign(&who(5), other, [1; 16], None);
    assert_eq!(answer(&mut bench, 5, to_other, Some(for_node.clone())), None);
    let refused = Some(Refusal::Invitation);
    assert_eq!(answer(&mut bench, 4, accepts(4, 2, None), Some(for_node.clone())), refused, "for another node");
    assert_eq!(answer(&mut bench, 4, accepts(4, 2, None), Some(expired)), refused, "expired");
    assert_eq!(answer(&mut bench, 4, accepts(4, 2, None), Some(too_high)), refused, "as high as its signer");
    assert_eq!(answer(&mut bench, 4, accepts(4, 2, None), Some(by_member)), refused, "by a member that may not invite");
    assert_eq!(answer(&mut bench, 4, accepts(4, 2, None), Some(for_bearer.clone())), refused, "without the secret");
    let wrong = accepts(4, 2, Some(&who(98)));
    assert_eq!(answer(&mut bench, 4, wrong, Some(for_bearer.clone())), refused, "with another secret");
    assert!((0..3).all(|n| !bench.is_member(group, n, 4) && !bench.is_member(group, n, 5)));
    // Used up.
    assert_eq!(answer(&mut bench, 4, accepts(4, 3, Some(&bearer)), Some(for_bearer.clone())), None);
    assert!(bench.is_member(group, 1, 4));
    assert_eq!(answer(&mut bench, 6, accepts(6, 7, Some(&bearer)), Some(for_bearer.clone())), refused, "used up");
    // The signer is an administrator no more.
    let lost = Invitation::sign(&bench.nodes[2].who, group, [44; 16], terms, Invitee::Node(bench.id(6)));
    bench.act(group, 0, Deed::SetRole { member: admin, role: GroupRole::Member });
    assert_eq!(answer(&mut bench, 6, accepts(6, 4, None), Some(lost)), refused, "by a former inviter");
    // An old consent does not bring back; a ban counts more than an invitation.
    let member = bench.id(4);
    bench.remove(group, 0, 4);
    let again = Invitation::sign(&bench.nodes[0].who, group, [45; 16], terms, Invitee::Node(member));
    let fresh = accepts(4, 8, Some(&bearer));
    assert_eq!(answer(&mut bench, 4, fresh, Some(for_bearer)), refused, "what it came by is used up");
    let old = accepts(4, 3, Some(&bearer));
    assert_eq!(answer(&mut bench, 4, old, Some(again.clone())), Some(Refusal::Asked), "an old consent");
    bench.act(group, 0, Deed::Remove { member, ban: true });
    assert_eq!(answer(&mut bench, 4, accepts(4, 6, None), Some(again)), Some(Refusal::Banned));
    assert!((0..3).all(|n| !bench.is_member(group, n, 4) && !bench.is_member(group, n, 6)));
}

/// Fails if an addition is taken without the consent of the added node (`Case::addition`), or by a member whose rank
/// does not reach.
#[test]
fn nobody_is_in_a_group_before_they_accept() {
    let (mut bench, group) = Bench::with_group(5, 3);
    let admin = bench.id(2);
    bench.act(group, 0, Deed::SetRole { member: admin, role: GroupRole::Admin });
    let base = bench.usable(group, 0).unwrap();
    let add = |acceptance| Action::Add {
        acceptance,
        role: GroupRole::Guest,
        invitation: None,
        base,
        commitment: [3; 32],
        from: 0,
    };
    let other = GroupId([8; 32]);
    // Signed by the administrator in the name of node 4, by node 4 for another group, and by a member without the rank.
    let by_other = Acceptance::sign(&who(2), group, [1; 16], None);
    let in_its_name = Acceptance { key: who(4).public_key(), ..by_other };
    let for_other = Acceptance::sign(&who(4), other, [1; 16], None);
    let genuine = Acceptance::sign(&who(4), group, [1; 16], None);
    let before: Vec<Rows> = (0..3).map(|n| bench.nodes[n].rows.clone()).collect();
    for (by, acceptance) in [(2, in_its_name), (2, for_other), (1, genuine)] {
        let op = bench.forge(group, by, 0, add(acceptance));
        for (n, rows) in before.iter().enumerate() {
            bench.feed(n, by, &Message::Ops { group, ops: vec![Blob(op.bytes.clone())] });
            assert!(!bench.is_member(group, n, 4), "node {n}, by {by}");
            assert_eq!(bench.nodes[n].rows, *rows);
        }
    }
    let op = bench.forge(group, 2, 0, add(genuine));
    bench.feed(1, 2, &Message::Ops { group, ops: vec![Blob(op.bytes)] });
    assert!(bench.is_member(group, 1, 4));
}

/// Fails if what is collected before a node is a member need not be of the group (`operations`, `OpLog::insert`), or if
/// others than the asked member may bring it.
#[test]
fn a_newcomer_takes_no_forged_copy_of_its_group() {
    let (mut bench, group) = Bench::with_group(4, 2);
    let ticket = bench.invitation(group, 0, 2, GroupRole::Member);
    // Node 0 is away. Another one makes a group in which node 2 is a member, and says it is this one.
    bench.islands(&[9, 0, 0, 0]);
    bench.command(2, Join { ticket }).unwrap();
    let fake = bench.create(3);
    bench.add(fake, 3, 2, GroupRole::Member);
    let forged: Vec<Blob> = bench.nodes[3].machine.groups[&fake].ops.iter().map(|op| Blob(op.bytes.clone())).collect();
    let orphans = orphans(&bench, group, 3, 50);
    for from in [0, 3] {
        bench.feed(2, from, &Message::Ops { group, ops: forged.clone() });
        assert!(bench.nodes[2].machine.info(group).is_none());
    }
    bench.feed(2, 3, &Message::Ops { group, ops: orphans });
    assert_eq!(bench.nodes[2].machine.joining[&group].operations.len(), 0);
    bench.islands(&[0; 4]);
    bench.wait(30);
    assert!(bench.is_member(group, 2, 2));
    // A known group takes no operation of a forged branch either.
    let before = bench.nodes[1].rows.clone();
    bench.feed(1, 3, &Message::Ops { group, ops: forged });
    assert_eq!(bench.nodes[1].rows, before);
}

/// Fails if a run is passed on whose author was no member in what it names (`sealed`, `may_post`).
#[test]
fn a_liar_gets_no_run_to_anybody() {
    let (mut bench, group) = Bench::with_group(4, 4);
    bench.act(group, 0, Deed::SetRole { member: bench.id(3), role: GroupRole::Guest });
    let truth = bench.nodes[1].context.clone().unwrap();
    let create = OpId(group.0);
    let before_it = Context { heads: vec![create], ..truth.clone() };
    let unknown = Context { heads: vec![OpId([3; 32])], ..truth.clone() };
    for context in [before_it.clone(), unknown.clone()] {
        let body = bench.run_of(group, 1, context, b"lie");
        bench.step(1, |machine, cx, out| machine.handle(cx, In::Carry { group, body }, out));
        bench.run();
    }
    // A guest whose own machine does not hold it back.
    let epoch = bench.usable(group, 3).unwrap();
    let stint = bench.nodes[3].machine.groups[&group].state().members[&bench.id(3)].stint;
    let heads = truth.heads.clone();
    let body = bench.run_of(group, 3, Context { epoch, stint, heads }, b"lie");
    bench.step(3, |machine, cx, out| machine.handle(cx, In::Carry { group, body }, out));
    bench.run();
    assert!((0..4).all(|n| bench.heard(n).is_empty()));
    // The same, when the log of the group brings it.
    let of_other = Context { stint: bench.nodes[2].context.clone().unwrap().stint, ..truth.clone() };
    for (context, answers) in
        [(truth, vec![true]), (before_it, vec![false]), (of_other, vec![false]), (unknown, vec![])]
    {
        bench.nodes[0].vetted.clear();
        let author = bench.id(1);
        bench.step(0, |machine, cx, out| machine.handle(cx, In::Vet { group, author, context }, out));
        bench.run();
        assert_eq!(bench.nodes[0].vetted, answers);
    }
}

/// Fails if what is sealed in the chain of another counts as said by its owner, or moves the chain on: nothing does but
/// what its owner signed (`open_if`).
#[test]
fn a_seal_in_the_chain_of_another_takes_nothing_from_it() {
    let (mut bench, group) = Bench::with_group(3, 3);
    let context = bench.nodes[1].context.clone().unwrap();
    let (op, victim) = (context.epoch, bench.id(1));
    let mut stolen = {
        let held = bench.nodes[2].machine.groups[&group].epoch(op).unwrap();
        Epoch::new(group, op, held.holders().to_vec(), victim, held.hand_on().unwrap(), WALL).unwrap()
    };
    // The first numbers of the chain, and one far ahead that leaves no key of those between.
    for n in 0..1_500 {
        let body = [&[2; 64][..], &encode(&Vec::<OpId>::new()), b"lie"].concat();
        let sealed = stolen.seal(&mut Rng::new([1; 32]), &body).unwrap();
        if n < 3 || n == 1_499 {
            bench.feed_sealed(0, 2, &sealed);
        }
    }
    assert_eq!(bench.drops(0, DropReason::Signature), 4);
    for n in 0..20 {
        bench.say(group, 1, &[n]);
        assert!(bench.has_heard(0, &[n]), "{n}");
    }
    assert!(!bench.has_heard(0, b"lie"));
}

/// Fails if one node may fill the place of what cannot be opened yet (`MAX_OF_BRINGER`, `MAX_BYTES_OF_BRINGER`), or if
/// it stays.
#[test]
fn one_node_does_not_fill_the_place_of_what_waits_for_its_key() {
    let (mut bench, _) = Bench::with_group(6, 2);
    let held = |bench: &Bench| bench.nodes[0].machine.pool.len();
    (0..300u32).for_each(|n| bench.feed_sealed(0, 1, &garbage([1; 16], 0, n, 100)));
    assert_eq!(held(&bench), 64);
    bench.feed_sealed(0, 2, &garbage([2; 16], 0, 0, 100));
    assert_eq!(held(&bench), 65);
    (0..300u32).for_each(|n| bench.feed_sealed(0, 3, &garbage([3; 16], 0, n, 60_000)));
    assert_eq!(held(&bench), 65 + (1 << 20) / (60_000 + 64), "a quarter of the bytes");
    for from in [2, 3, 4, 5] {
        (0..300u32).for_each(|n| bench.feed_sealed(0, from, &garbage([4; 16], 0, n, 100)));
    }
    assert_eq!(held(&bench), 256);
    bench.wait(61);
    assert_eq!(held(&bench), 0);
}

/// Fails if forged messages of one node have no limit (`Failures`), or if those of another are left alone with them.
#[test]
fn forged_messages_of_one_node_are_limited() {
    let (mut bench, group) = Bench::with_group(4, 4);
    let tags = bench.nodes[0].machine.groups[&group].epoch(bench.usable(group, 0).unwrap()).unwrap().tags().0;
    let me = bench.nodes[0].machine.groups[&group].state().nodes().iter().position(|n| *n == bench.id(0)).unwrap();
    let sender = if me == 0 { 1 } else { 0 };
    (0..100u32).for_each(|n| bench.feed_sealed(0, 3, &garbage(tags, sender, 1_900 + n % 100, 100)));
    assert_eq!((bench.drops(0, DropReason::Decrypt), bench.drops(0, DropReason::Rate)), (4, 96));
    bench.say(group, 1, b"one");
    bench.say(group, 3, b"two");
    assert!(bench.has_heard(0, b"one") && !bench.has_heard(0, b"two"));
    bench.wait(1);
    bench.say(group, 3, b"three");
    assert!(bench.has_heard(0, b"three"), "after a second it counts again");
    // In the long run: four a second.
    for _ in 0..40 {
        bench.wait(0);
        bench.now = bench.now + Duration::from_millis(250);
        (0..10u32).for_each(|n| bench.feed_sealed(0, 3, &garbage(tags, sender, 1_900 + n, 100)));
    }
    assert!(bench.drops(0, DropReason::Decrypt) <= 4 + 4 * 11);
    bench.wait(5);
    assert_eq!(bench.nodes[0].machine.failures.len(), 0);
}

/// Fails if a message number is used twice after a restart, if an epoch is lost with it, or if a request is forgotten.
#[test]
fn a_restart_loses_and_repeats_nothing() {
    let (mut bench, group) = Bench::with_group(5, 4);
    let mut used = OrderedSet::new();
    for round in 0..4u8 {
        // The holders of the key are learned again.
        let info = |b: &Bench| b.nodes[1].machine.info(group).map(|info| GroupInfo { key_holders: 0, ..info });
        let before = (bench.usable(group, 1), info(&bench), bench.nodes[1].context.clone());
        let from = bench.sealed.len();
        (0..70).for_each(|n| bench.say(group, 1, &[round, n]));
        // Each went to three.
        let numbers = bench.sealed[from..].iter().step_by(3).map(|(_, body)| header_of(body).unwrap().number);
        for number in numbers {
            assert!(used.insert(number), "the key {number} is used twice");
        }
        assert!(bench.has_heard(2, &[round, 69]));
        bench.restart(1);
        assert_eq!((bench.usable(group, 1), info(&bench), bench.nodes[1].context.clone()), before);
    }
    // A request to join, and a secret that is missing.
    let ticket = bench.invitation(group, 0, 4, GroupRole::Member);
    bench.islands(&[0, 0, 0, 0, 1]);
    bench.command(4, Join { ticket }).unwrap();
    bench.restart(4);
    bench.islands(&[0; 5]);
    bench.in_the_way = Some(Box::new(|from, to, body| secret_of(body).is_none() || (from, to) != (0, 1)));
    bench.remove(group, 0, 3);
    assert_eq!(bench.usable(group, 1), None);
    bench.restart(1);
    bench.wait(120);
    assert!(bench.is_member(group, 4, 4) && bench.is_member(group, 1, 4));
    for n in [1, 2, 4] {
        assert_eq!(bench.usable(group, n), bench.usable(group, 0), "node {n}");
        assert!(bench.usable(group, n).is_some());
    }
}

/// Fails if a past member keeps its last epoch for good (`Epochs::end`), or if rows of epochs stay when it comes back
/// (`join_if_added`).
#[test]
fn the_disk_of_a_past_member_opens_little_and_not_for_long() {
    let (mut bench, group) = Bench::with_group(3, 3);
    let held = |bench: &Bench| bench.nodes[2].machine.groups[&group].epochs.count();
    let stored = |bench: &Bench| -> usize {
        let keys = bench.nodes[2].rows.keys().filter(|(table, _)| *table == crate::group::EPOCHS);
        keys.map(|(_, key)| key[32..64].to_vec()).collect::<OrderedSet<_>>().len()
    };
    for n in 0..9u64 {
        bench.remove(group, 0, 2);
        bench.wall = WallTime(bench.wall.0 + n);
        bench.add(group, 0, 2, GroupRole::Member);
        assert_eq!(stored(&bench), held(&bench), "{n}");
    }
    assert!(held(&bench) <= 6);
    bench.restart(2);
    assert_eq!(stored(&bench), held(&bench));
    bench.remove(group, 0, 2);
    bench.wall = WallTime(bench.wall.0 + 8 * 86_400_000);
    bench.wait(120);
    assert_eq!((held(&bench), stored(&bench)), (0, 0));
}

/// Fails if members do not agree on one epoch after they were apart (`candidate`).
#[test]
fn two_who_remove_each_others_newcomers_agree_in_the_end() {
    let (mut bench, group) = Bench::with_group(7, 3);
    for n in [1, 2] {
        let member = bench.id(n);
        bench.act(group, 0, Deed::SetRole { member, role: GroupRole::Admin });
    }
    bench.add(group, 1, 3, GroupRole::Member);
    bench.add(group, 2, 4, GroupRole::Member);
    bench.add(group, 0, 5, GroupRole::Member);
    bench.wait(5);
    bench.islands(&[0, 1, 2, 1, 2, 0, 3]);
    bench.remove(group, 1, 4);
    bench.remove(group, 2, 3);
    bench.act(group, 0, Deed::Rename { name: "apart".into() });
    (0..3).for_each(|n| bench.say(group, n, &[n as u8]));
    bench.islands(&[0; 7]);
    bench.wait(180);
    let sealed = bench.sealed.len();
    bench.command(0, Prepare { group }).unwrap();
    bench.wait(30);
    let info = |n: usize| bench.nodes[n].machine.info(group).unwrap();
    for n in [1, 2, 5] {
        assert_eq!(info(n).state, info(0).state, "node {n}");
        assert_eq!(info(n).members, info(0).members, "node {n}");
        assert_eq!(bench.usable(group, n), bench.usable(group, 0), "node {n}");
    }
    assert!(bench.usable(group, 0).is_some());
    assert!(!bench.is_member(group, 0, 3) && !bench.is_member(group, 0, 4));
    assert_eq!((bench.usable(group, 3), bench.usable(group, 4)), (None, None));
    bench.say(group, 5, b"together");
    let since = bench.sealed[sealed..].to_vec();
    for (from, body) in since {
        [3, 4].into_iter().for_each(|n| bench.feed_sealed(n, from, &body));
    }
    assert!((0..3).all(|n| bench.has_heard(n, b"together")));
    assert!(!bench.has_heard(3, b"together") && !bench.has_heard(4, b"together"));
}
