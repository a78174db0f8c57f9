//! What a log takes and refuses, what the next operation names, and what another node lacks (docs/design/groups.md §2
//! and §3).

use alloc::vec;
use alloc::vec::Vec;

use super::world::{People, World, add, create, heads, log_of, operation, shuffle};
use crate::collections::OrderedSet;
use crate::group::log::{OpLog, Standing, Verdict};
use crate::group::op::{
    Acceptance, Action, Field, GroupKind, GroupPolicy, GroupRole, Invitation, Invitee, NewEpoch, Operation,
};
use crate::id::{MessageId, OpId};
use crate::rng::Rng;
use crate::time::WallTime;

/// Owner 0, admin 1, moderator 2, member 3, guest 4; 5 and 6 are strangers.
struct Group {
    people: People,
    log: OpLog,
    count: u64,
}

impl Group {
    fn new(kind: GroupKind, policy: GroupPolicy) -> Self {
        let people = People::new();
        let log = OpLog::new(create(&people, 0, kind, policy, 1)).unwrap();
        let mut this = Self { people, log, count: 0 };
        let roles = [GroupRole::Admin, GroupRole::Moderator, GroupRole::Member, GroupRole::Guest];
        for (who, role) in (1..).zip(roles) {
            let action = this.add(who, role, None);
            this.fits(0, action);
        }
        this
    }

    fn add(&mut self, who: usize, role: GroupRole, signer: Option<usize>) -> Action {
        self.count += 1;
        add(&self.people, &self.log, who, role, signer, self.count)
    }

    fn op(&self, by: usize, action: Action) -> Operation {
        operation(&self.people, &self.log, by, &self.log.heads(), action)
    }

    fn fits(&mut self, by: usize, action: Action) -> OpId {
        let op = self.op(by, action);
        let id = op.id;
        assert_eq!(self.log.judge(&op), Verdict::Fits, "{op:?}");
        assert!(self.log.insert(op.clone()));
        assert_eq!(self.log.judge(&op), Verdict::Known);
        assert!(!self.log.insert(op));
        id
    }

    #[track_caller]
    fn says(&self, by: usize, action: Action, verdict: Verdict) {
        let op = self.op(by, action);
        assert_eq!(self.log.judge(&op), verdict, "{op:?}");
    }

    fn remove(&self, who: usize, ban: bool) -> Action {
        Action::Remove { members: vec![self.people.id(who)], ban, epoch: None }
    }

    fn rank(&self, who: usize, role: GroupRole) -> Action {
        Action::SetRole { member: self.people.id(who), role }
    }
}

fn private() -> Group {
    Group::new(GroupKind::Private, GroupPolicy::default())
}

fn name(text: &str) -> Action {
    Action::Describe { field: Field::Name, value: text.into() }
}

const FITS: Verdict = Verdict::Fits;
const BAD: Verdict = Verdict::Bad;

/// Mutation: any line of the table of authority.
#[test]
fn each_rank_does_what_the_table_says_and_no_more() {
    let mut g = private();
    for by in 0..7 {
        let may = |least: usize| if by <= least { FITS } else { BAD };
        // The lowest rank that may, as the number of the person.
        g.says(by, g.remove(4, false), may(2));
        g.says(by, g.remove(4, true), may(1));
        g.says(by, g.remove(6, true), may(1));
        g.says(by, g.remove(6, false), BAD);
        g.says(by, g.rank(4, GroupRole::Member), may(1));
        g.says(by, name("x"), may(1));
        g.says(by, Action::SetPolicy { policy: GroupPolicy::default() }, may(0));
        let to = usize::from(by == 0);
        g.says(by, Action::Transfer { to: g.people.id(to) }, may(0));
        let action = g.add(5, GroupRole::Guest, None);
        g.says(by, action, may(1));
        g.says(by, Action::Leave, if by == 0 || by > 4 { BAD } else { FITS });
        let order = (0..5).filter(|n| g.log.state().unwrap().nodes()[*n] != g.people.id(by)).map(|n| n as u16);
        let epoch = NewEpoch { commitment: [0; 32], order: order.collect() };
        g.says(by, Action::Epoch(epoch), may(3));
    }
    // No member touches an equal or a higher rank, nor grants its own.
    for (by, target) in [(1, 0), (1, 1), (2, 2), (2, 1), (0, 0)] {
        g.says(by, g.remove(target, false), BAD);
    }
    for (by, role) in [(1, GroupRole::Admin), (1, GroupRole::Moderator), (0, GroupRole::Admin)] {
        g.says(by, g.rank(4, role), if role == GroupRole::Admin && by == 1 { BAD } else { FITS });
        let action = g.add(5, role, None);
        g.says(by, action, if role == GroupRole::Admin && by == 1 { BAD } else { FITS });
    }
    g.says(1, g.rank(1, GroupRole::Guest), BAD);
    g.says(0, Action::Transfer { to: g.people.id(6) }, BAD);
    g.says(1, Action::Unban { member: g.people.id(4) }, BAD);
    g.fits(1, g.remove(4, true));
    g.says(1, g.remove(4, true), BAD);
    g.says(2, Action::Unban { member: g.people.id(4) }, BAD);
    let action = g.add(4, GroupRole::Guest, None);
    g.says(0, action, BAD);
    g.fits(1, Action::Unban { member: g.people.id(4) });
    let action = g.add(4, GroupRole::Guest, None);
    g.fits(1, action.clone());
    g.says(1, action.clone(), BAD);
    // No node comes back by an old consent.
    g.fits(4, Action::Leave);
    g.says(1, action, BAD);
}

/// Mutations: any rank may; a message may be pinned twice, or be let go that is not pinned; all are shown.
#[test]
fn pins_need_the_rank_of_the_policy_and_the_last_64_are_shown() {
    let mut g = private();
    let pin = |depth: u64, pinned: bool| Action::Pin { message: MessageId::first_of(depth), pinned };
    for by in 0..7 {
        g.says(by, pin(1, true), if by <= 2 { FITS } else { BAD });
        g.says(by, pin(1, false), BAD);
    }
    for depth in 1..=64 {
        g.fits(2, pin(depth, true));
    }
    g.says(0, pin(64, true), BAD);
    let shown = |g: &Group| -> Vec<u64> { g.log.state().unwrap().shown_pins().iter().map(|m| m.depth).collect() };
    g.fits(0, pin(65, true));
    assert_eq!(shown(&g), (2..=65).collect::<Vec<_>>());
    g.fits(0, pin(3, false));
    assert_eq!(shown(&g), [1, 2].into_iter().chain(4..=65).collect::<Vec<_>>(), "the first one again");
    g.fits(0, pin(1, false));
    g.fits(1, pin(1, true));
    let expected: Vec<u64> = [2].into_iter().chain(4..=65).chain([1]).collect();
    assert_eq!(shown(&g), expected, "in the order in which they were pinned last");
}

/// Mutation: an epoch may leave out a member, name one twice, or name its author.
#[test]
fn an_epoch_is_for_all_others() {
    let g = private();
    let me = g.log.state().unwrap().nodes().iter().position(|node| *node == g.people.id(1)).unwrap() as u16;
    let others: Vec<u16> = (0..5).filter(|n| *n != me).collect();
    let epoch = |order: &[u16]| Action::Epoch(NewEpoch { commitment: [0; 32], order: order.to_vec() });
    let reversed: Vec<u16> = others.iter().rev().copied().collect();
    g.says(1, epoch(&reversed), FITS);
    g.says(1, epoch(&others[1..]), BAD);
    g.says(1, epoch(&[&others[..], &others[..1]].concat()), BAD);
    g.says(1, epoch(&[0, 1, 2, 3, 4]), BAD);
    g.says(1, epoch(&[&others[1..], &[5]].concat()), BAD);
    // With a removal: for the remaining members.
    let left = g.log.state().unwrap().nodes().into_iter().filter(|node| *node != g.people.id(4));
    let order: Vec<u16> = left.enumerate().filter(|(_, node)| *node != g.people.id(1)).map(|(n, _)| n as u16).collect();
    let removes = |order: Vec<u16>| Action::Remove {
        members: vec![g.people.id(4)],
        ban: false,
        epoch: Some(NewEpoch { commitment: [0; 32], order }),
    };
    g.says(1, removes(order), FITS);
    g.says(1, removes(others), BAD);
}

/// Mutation: an invitation works beyond its uses or its time, for another node, with another role, or without a
/// signature.
#[test]
fn an_invitation_is_good_for_what_it_says() {
    let mut g = private();
    let group = g.log.group();
    let secret = crate::identity::tests::identity(77);
    let token = |signer: usize, role, uses, expires, invitee| {
        Invitation::sign(&g.people.0[signer], group, [9; 16], (role, uses, WallTime(expires)), invitee)
    };
    let bearer = Invitee::Bearer(secret.public_key());
    let base = g.log.heads()[0];
    let brings = |who: usize, nonce: u8, invitation: Invitation, shows: bool| Action::Add {
        acceptance: Acceptance::sign(&g.people.0[who], group, [nonce; 16], shows.then_some(&secret)),
        role: GroupRole::Member,
        invitation: Some(invitation),
        base,
        commitment: [0; 32],
        from: 0,
    };
    let good = token(1, GroupRole::Member, 1, 10, bearer);
    g.says(3, brings(5, 1, good.clone(), true), FITS);
    g.says(3, brings(5, 1, good.clone(), false), BAD);
    g.says(4, brings(5, 1, good.clone(), true), BAD);
    g.says(5, brings(5, 1, good.clone(), true), BAD);
    g.says(3, brings(5, 1, token(1, GroupRole::Member, 1, 1, bearer), true), BAD);
    g.says(3, brings(5, 1, token(1, GroupRole::Guest, 1, 10, bearer), true), BAD);
    g.says(3, brings(5, 1, token(2, GroupRole::Member, 1, 10, bearer), true), BAD);
    g.says(3, brings(5, 1, token(6, GroupRole::Member, 1, 10, bearer), true), BAD);
    g.says(3, brings(5, 1, token(1, GroupRole::Member, 0, 10, bearer), true), BAD);
    g.says(3, brings(5, 1, token(1, GroupRole::Member, 1, 10, Invitee::Node(g.people.id(6))), true), BAD);
    g.says(3, brings(5, 1, token(1, GroupRole::Member, 1, 10, Invitee::Node(g.people.id(5))), false), FITS);
    g.says(3, brings(5, 1, Invitation { uses: 2, ..good.clone() }, true), BAD);
    let (first, second) = (brings(5, 1, good.clone(), true), brings(6, 2, good, true));
    let before = g.log.heads();
    g.fits(3, first);
    g.says(3, second.clone(), BAD);
    // A newcomer whose adder does not know of the first use cannot be refused.
    let apart = operation(&g.people, &g.log, 2, &before, second);
    assert_eq!(g.log.judge(&apart), FITS);
    // A request with an invitation to the bearer waits for a member that may invite.
    let policy = GroupPolicy { approve: true, ..GroupPolicy::default() };
    let g = Group::new(GroupKind::Private, policy);
    let invitee = Invitee::Bearer(secret.public_key());
    let word = (GroupRole::Member, 1, WallTime(10));
    let invitation = Invitation::sign(&g.people.0[1], g.log.group(), [9; 16], word, invitee);
    let action = |who: usize| Action::Add {
        acceptance: Acceptance::sign(&g.people.0[who], g.log.group(), [1; 16], Some(&secret)),
        role: GroupRole::Member,
        invitation: Some(invitation.clone()),
        base: g.log.heads()[0],
        commitment: [0; 32],
        from: 0,
    };
    g.says(3, action(5), BAD);
    g.says(1, action(5), FITS);
}

/// Mutation: a PUBLIC group has epochs or grants more than MEMBER; a TEMPORARY one goes on after its end; an owner
/// leaves others behind; an empty group goes on.
#[test]
fn kinds_of_groups_differ() {
    let mut g = Group::new(GroupKind::Public, GroupPolicy::default());
    let order = (0..5).filter(|n| g.log.state().unwrap().nodes()[*n] != g.people.id(0)).map(|n| n as u16).collect();
    g.says(0, Action::Epoch(NewEpoch { commitment: [0; 32], order }), BAD);
    for (role, verdict) in [(GroupRole::Member, FITS), (GroupRole::Guest, FITS), (GroupRole::Moderator, BAD)] {
        let action = g.add(5, role, None);
        g.says(5, action, verdict);
    }
    let action = g.add(6, GroupRole::Member, None);
    g.says(5, action, BAD);
    (1..5).for_each(|who| {
        g.says(0, Action::Leave, BAD);
        g.fits(who, Action::Leave);
    });
    g.fits(0, Action::Leave);
    assert!(g.log.state().unwrap().members.is_empty());
    let action = g.add(5, GroupRole::Member, None);
    g.says(5, action, BAD);

    let g = Group::new(GroupKind::Temporary, GroupPolicy::default());
    let late = |wall| {
        let place = (g.log.next_seq(g.people.id(0)), g.log.heads(), g.log.lamport() + 1);
        Operation::sign(&g.people.0[0], Some(g.log.group()), place, WallTime(wall), name("x")).unwrap()
    };
    assert_eq!((g.log.judge(&late(1_000)), g.log.judge(&late(1_001))), (FITS, BAD));
}

/// Mutation: an owner that left comes not back when a node joined meanwhile, or goes when that one leaves again.
#[test]
fn an_owner_leaves_no_one_behind_who_came_meanwhile() {
    let people = People::new();
    let first = create(&people, 0, GroupKind::Public, GroupPolicy::default(), 1);
    let start = [first.id];
    let mut log = OpLog::new(first).unwrap();
    let insert = |log: &mut OpLog, by: usize, parents: &[OpId], action: Action| {
        let op = operation(&people, log, by, parents, action);
        assert!(log.insert(op.clone()), "{op:?}");
        op.id
    };
    let leave = insert(&mut log, 0, &start, Action::Leave);
    assert!(log.state().unwrap().members.is_empty());
    let joins = add(&people, &log, 1, GroupRole::Member, None, 1);
    insert(&mut log, 1, &start, joins);
    let is_owner = |log: &OpLog| {
        let state = log.state().unwrap();
        assert_eq!(state.owner, people.id(0));
        state.role(people.id(0)) == Some(GroupRole::Owner) && !state.removed.contains_key(&people.id(0))
    };
    assert!(is_owner(&log) && log.state().unwrap().members.len() == 2);
    let met = log.heads();
    insert(&mut log, 0, &met, name("alone"));
    insert(&mut log, 1, &met, Action::Leave);
    assert!(is_owner(&log) && log.state().unwrap().members.len() == 1);
    assert!(log.state_at(&[leave]).unwrap().members.is_empty());
    let again = log.heads();
    insert(&mut log, 0, &again, Action::Leave);
    assert!(log.state().unwrap().members.is_empty());
}

/// Mutation: the depth, the number or the parents of an operation are not checked.
#[test]
fn an_operation_has_one_place() {
    let mut g = private();
    let (group, me) = (g.log.group(), g.people.id(0));
    let sign = |g: &Group, seq, parents: Vec<OpId>, lamport| {
        Operation::sign(&g.people.0[0], Some(group), (seq, parents, lamport), WallTime(2), name("y")).unwrap()
    };
    let (seq, heads, deep) = (g.log.next_seq(me), g.log.heads(), g.log.lamport() + 1);
    assert_eq!(g.log.judge(&sign(&g, seq, heads.clone(), deep)), FITS);
    assert_eq!(g.log.judge(&sign(&g, seq + 1, heads.clone(), deep)), BAD);
    assert_eq!(g.log.judge(&sign(&g, seq - 1, heads.clone(), deep)), BAD);
    assert_eq!(g.log.judge(&sign(&g, seq, heads.clone(), deep + 1)), BAD);
    let strange = OpId([7; 32]);
    let mut both = vec![heads[0], strange];
    both.sort_unstable();
    assert_eq!(g.log.judge(&sign(&g, seq, both, deep)), Verdict::Missing(vec![strange]));
    let mut known = vec![heads[0], group_op(&g)];
    known.sort_unstable();
    assert_eq!(g.log.judge(&sign(&g, seq, known, deep)), BAD);
    let other = create(&g.people, 0, GroupKind::Private, GroupPolicy::default(), 2);
    assert_eq!(g.log.judge(&other), BAD);
    assert!(OpLog::new(sign(&g, seq, heads.clone(), deep)).is_none());
    // More heads than one can name: the greatest, and one's own.
    let own = operation(&g.people, &g.log, 1, &heads, name("own"));
    let deep_one = operation(&g.people, &g.log, 0, &heads, name("deep"));
    let deeper = [deep_one.id];
    assert!(g.log.insert(own.clone()) && g.log.insert(deep_one));
    for n in 0..20 {
        let op = operation(&g.people, &g.log, 0, &deeper, name(&alloc::format!("{n}")));
        assert!(g.log.insert(op));
    }
    let named = g.log.heads();
    assert_eq!(named.len(), 16);
    assert!(named.is_sorted());
    let all: Vec<OpId> = g.log.iter().map(|op| op.id).collect();
    let greatest: OrderedSet<OpId> = all[all.len() - 16..].iter().copied().collect();
    assert_eq!(named.into_iter().collect::<OrderedSet<_>>(), greatest);
    let (seq, parents, lamport) = g.log.next_place(g.people.id(1));
    assert!(parents.contains(&own.id) && !g.log.heads().contains(&own.id));
    let next =
        Operation::sign(&g.people.0[1], Some(group), (seq, parents, lamport), WallTime(2), name("next")).unwrap();
    assert_eq!(g.log.judge(&next), FITS);
}

fn group_op(g: &Group) -> OpId {
    OpId(g.log.group().0)
}

/// Mutation: a proof of two operations of different numbers, of one twice, or of what was proved already is taken.
#[test]
fn a_fork_is_proved_once() {
    let mut g = private();
    let before = g.log.heads();
    let one = operation(&g.people, &g.log, 1, &before, name("one"));
    let other = operation(&g.people, &g.log, 1, &before, name("other"));
    let after = |g: &Group| operation(&g.people, &g.log, 1, &[one.id], name("after"));
    assert!(g.log.insert(one.clone()) && g.log.insert(other.clone()));
    let later = after(&g);
    let proof = |a: &Operation, b: &Operation| Action::ForkProof { one: a.bytes.clone(), other: b.bytes.clone() };
    let (low, high) = if one.id < other.id { (&one, &other) } else { (&other, &one) };
    for (a, b) in [(high, low), (low, low), (low, &later), (&later, high)] {
        g.says(4, proof(a, b), BAD);
    }
    g.says(5, proof(low, high), BAD);
    g.says(1, proof(low, high), BAD);
    g.fits(4, proof(low, high));
    g.says(3, proof(low, high), BAD);
    let node = g.people.id(1);
    let guest = g.log.standing_at(&g.log.heads(), node).unwrap();
    assert_eq!((guest.role, guest.may_post), (GroupRole::Guest, false));
    g.fits(0, g.rank(1, GroupRole::Moderator));
    g.says(3, proof(low, high), BAD);
    assert_eq!(g.log.standing_at(&g.log.heads(), node).unwrap().role, GroupRole::Moderator);
    // A node that brings the proof again, not knowing of it, harms no forgiven node.
    let again = operation(&g.people, &g.log, 3, &before, proof(low, high));
    assert!(g.log.insert(again));
    assert_eq!(g.log.standing_at(&g.log.heads(), node).unwrap().role, GroupRole::Moderator);
}

/// Mutation: membership is that of the newest state, or the operation itself is left out.
#[test]
fn the_log_knows_who_was_a_member_when() {
    let mut g = private();
    let before = g.log.heads();
    let stint = before[0];
    let out = g.fits(0, g.remove(4, false));
    let guest = g.people.id(4);
    let key = g.people.0[4].public_key();
    assert_eq!(
        g.log.standing_at(&before, guest),
        Some(Standing { stint, key, role: GroupRole::Guest, may_post: false })
    );
    assert_eq!(g.log.standing_at(&[out], guest), None);
    assert_eq!(g.log.standing_at(&[OpId([1; 32])], guest), None);
    assert_eq!((g.log.devices_at(stint).len(), g.log.devices_at(out).len()), (5, 4));
    assert!(g.log.is_in_past(&stint, &out) && !g.log.is_in_past(&out, &stint) && !g.log.is_in_past(&out, &out));
    assert_eq!(g.log.state().unwrap().removed.get(&guest), Some(&out));
    let action = g.add(4, GroupRole::Member, None);
    let stint = g.fits(1, action);
    // A look at an older place beside a newer one is a look at the newer one.
    let both = [stint, out];
    assert_eq!(g.log.standing_at(&both, guest), Some(Standing { stint, key, role: GroupRole::Member, may_post: true }));
}

/// Mutation: a clock does not show which branch of a fork is there, or what is sent comes before its past.
#[test]
fn two_logs_become_one_by_their_clocks() {
    let people = People::new();
    for seed in 0..40 {
        let world = World::new(&people, 7_000_000 + seed, 30);
        let ops: Vec<Operation> = world.log.iter().cloned().collect();
        let mut rng = Rng::new([seed as u8; 32]);
        let part = |rng: &mut Rng| {
            let mut ids: Vec<OpId> = ops.iter().map(|op| op.id).collect();
            shuffle(rng, &mut ids);
            ids.truncate(ops.len() / 2);
            let wanted: OrderedSet<OpId> = ids.into_iter().chain([ops[0].id]).collect();
            let has = |op: &&Operation| {
                wanted.contains(&op.id)
                    && ops.iter().all(|p| !world.log.is_in_past(&p.id, &op.id) || wanted.contains(&p.id))
                    || heads(&world.log, &wanted).iter().take(2).any(|head| world.log.is_in_past(&op.id, head))
            };
            log_of(ops.iter().filter(has).cloned())
        };
        let mut logs = [part(&mut rng), part(&mut rng)];
        let mut rounds = 0;
        while logs[0].state_hash() != logs[1].state_hash() {
            for (from, to) in [(0, 1), (1, 0)] {
                let sent: Vec<Operation> = logs[from].beyond(&logs[to].clock()).into_iter().cloned().collect();
                for op in sent {
                    match logs[to].judge(&op) {
                        Verdict::Fits => assert!(logs[to].insert(op)),
                        Verdict::Known => {}
                        verdict @ (Verdict::Missing(_) | Verdict::Bad) => panic!("group {seed}: {verdict:?} {op:?}"),
                    }
                }
            }
            rounds += 1;
            assert!(rounds < 4, "group {seed}");
        }
        assert_eq!(logs[0].state(), logs[1].state(), "group {seed}");
        assert!(logs[0].beyond(&logs[1].clock()).is_empty(), "group {seed}");
    }
}

/// Mutation: the state of an operation's past is resolved from the beginning each time: minutes instead of seconds.
#[test]
fn a_long_history_is_quick() {
    let people = People::new();
    let owner = &people.0[0];
    let mut log = OpLog::new(create(&people, 0, GroupKind::Private, GroupPolicy::default(), 1)).unwrap();
    let group = log.group();
    let base = log.heads()[0];
    let person = |n: u64| {
        let mut entropy = [3; 64];
        entropy[..8].copy_from_slice(&n.to_le_bytes());
        crate::identity::Identity::generate(entropy, "test", WallTime(1)).unwrap()
    };
    for n in 0..2_000u64 {
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&n.to_le_bytes());
        let acceptance = Acceptance::sign(&person(n), group, nonce, None);
        let action =
            Action::Add { acceptance, role: GroupRole::Member, invitation: None, base, commitment: [0; 32], from: 0 };
        let place = (n + 2, log.heads(), log.lamport() + 1);
        let op = Operation::sign(owner, Some(group), place, WallTime(2), action).unwrap();
        assert!(log.insert(op));
    }
    assert_eq!(log.state().unwrap().members.len(), 2_001);
}
