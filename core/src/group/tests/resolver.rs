//! The laws of docs/design/groups.md §3, over random groups.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::naive::{Naive, Outcome, number};
use super::world::{People, World, forks, heads, log_of, operation};
use crate::collections::{OrderedMap, OrderedSet};
use crate::group::log::{OpLog, Verdict};
use crate::group::op::{Action, GroupRole, Operation};
use crate::group::state::State;
use crate::id::{NodeId, OpId};
use crate::rng::Rng;

/// Groups for each law in the test command. `DONP_GROUP_LOGS` when the test is built makes more.
const LOGS: u64 = 150;

fn logs() -> u64 {
    option_env!("DONP_GROUP_LOGS").and_then(|n| n.parse().ok()).unwrap_or(LOGS)
}

fn for_each(first: u64, mut law: impl FnMut(&World<'_>, &mut Rng, u64)) {
    let people = People::new();
    for seed in first..first + logs() {
        let world = World::new(&people, seed, [8, 16, 24, 32, 40][seed as usize % 5]);
        let mut key = [9; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        law(&world, &mut Rng::new(key), seed);
    }
}

/// What a state says besides what is void; an error if the rules say something else.
fn same(state: &State, outcome: &Outcome) -> Result<(), Box<Outcome>> {
    let members: OrderedMap<NodeId, (u8, OpId)> =
        state.members.iter().map(|(node, m)| (*node, (number(m.role), m.stint))).collect();
    let found = Outcome {
        void: outcome.void.iter().copied().collect(),
        members,
        devices: state.devices.iter().map(|(node, device)| (*node, device.member)).collect(),
        lists: state.lists.iter().map(|(stint, list)| (*stint, list.op)).collect(),
        removed: state.removed.clone(),
        banned: state.banned.iter().copied().collect(),
        owner: state.owner,
        name: state.name.clone(),
        description: state.description.clone(),
        pins: state.pins.clone(),
        policy: state.policy,
    };
    if found == *outcome { Ok(()) } else { Err(Box::new(found)) }
}

fn places(naive: &Naive, ids: &OrderedSet<OpId>) -> OrderedSet<usize> {
    (0..naive.ops.len()).filter(|at| ids.contains(&naive.ops[*at].id)).collect()
}

fn void(log: &OpLog) -> OrderedSet<OpId> {
    log.void().into_iter().collect()
}

/// (1) The order in which operations come changes nothing.
///
/// Fails if ties are broken by place in the log instead of by (lamport, id).
#[test]
fn any_order_of_arrival_gives_the_same_group() {
    for_each(0, |world, rng, seed| {
        let (state, hash, void) = (world.log.state(), world.log.state_hash(), world.log.void());
        for _ in 0..2 {
            let other = log_of(world.shuffled(rng));
            assert_eq!(other.state(), state, "group {seed}");
            assert_eq!((other.state_hash(), other.void()), (hash, void.clone()), "group {seed}");
            assert_eq!((other.heads(), other.clock()), (world.log.heads(), world.log.clock()), "group {seed}");
        }
    });
}

/// (2) Nothing stands that is concurrent with a removal or demotion of its authority by a higher rank that stands.
/// (6) So for an addition by invitation: its authority is the signer of the invitation.
///
/// Fails if rule (c) is left out, or if the author of an addition counts instead of the signer of the invitation.
#[test]
fn a_removal_takes_with_it_what_did_not_know_of_it() {
    let (mut voided, mut tokens) = (0, 0);
    for_each(1_000_000, |world, _, seed| {
        let (naive, void) = (Naive::new(world.log.iter()), void(&world.log));
        for (at, op) in naive.ops.iter().enumerate() {
            let is_token = matches!(op.action, Action::Add { invitation: Some(_), .. });
            let higher = |p: &usize| {
                let says = naive.says(*p, naive.word[at].node);
                naive.word[*p].rank > naive.word[at].rank
                    && naive.ops[*p].action != Action::Leave
                    && says.is_some_and(|says| says < naive.word[at].rank)
                    && naive.concurrent(*p, at)
                    && !void.contains(&naive.ops[*p].id)
            };
            if naive.is_safe(at) || !(0..naive.ops.len()).any(|p| higher(&p)) {
                continue;
            }
            assert!(void.contains(&op.id), "group {seed}: {op:?}");
            voided += 1;
            tokens += u64::from(is_token);
        }
    });
    assert!(voided > logs() / 10 && tokens > logs() / 150, "{voided} voided, {tokens} with an invitation");
}

/// (3) What stands rests on what stands: some grant of the rank that it was made with.
///
/// Fails if the second half of rule (c) is left out.
#[test]
fn nothing_rests_on_what_is_void() {
    let mut rested = 0;
    for_each(2_000_000, |world, _, seed| {
        let (naive, void) = (Naive::new(world.log.iter()), void(&world.log));
        for (at, op) in naive.ops.iter().enumerate() {
            let word = naive.word[at];
            let grants = |g: &&usize| naive.says(**g, word.node).is_some_and(|says| says >= word.rank);
            let is_exempt = naive.is_safe(at) || op.added() == Some(op.author);
            if is_exempt || void.contains(&op.id) {
                continue;
            }
            let rests = naive.past[at].iter().filter(grants).any(|g| !void.contains(&naive.ops[*g].id));
            assert!(rests, "group {seed}: {op:?}");
            rested += u64::from(naive.past[at].iter().filter(grants).any(|g| void.contains(&naive.ops[*g].id)));
        }
        for op in naive.ops.iter().filter(|op| void.contains(&op.id)) {
            rested += u64::from(naive.ops.iter().any(|later| later.parents.contains(&op.id)));
        }
    });
    assert!(rested > logs() / 20, "only {rested} operations had anything void to rest on");
}

/// (4) There is exactly one OWNER, as long as the group has members: what OWNERs did is one line, and the last one
/// given the group has it.
///
/// Fails if an OWNER's operations that do not know each other all stand, or if an OWNER leaves others behind.
#[test]
fn there_is_exactly_one_owner() {
    let mut given = 0;
    for_each(3_000_000, |world, _, seed| {
        for op in world.log.iter() {
            let state = world.log.state_at(&[op.id]).unwrap();
            given += u64::from(matches!(op.action, Action::Transfer { .. }));
            one_owner(&state, seed);
        }
        let state = world.log.state().unwrap();
        one_owner(&state, seed);
        let (naive, void) = (Naive::new(world.log.iter()), void(&world.log));
        let line = (0..naive.ops.len()).filter(|at| naive.is_of_owner(*at) && !void.contains(&naive.ops[*at].id));
        let line: Vec<usize> = line.collect();
        for (n, at) in line.iter().enumerate() {
            assert!(line[..n].iter().all(|before| naive.past[*at].contains(before)), "group {seed}");
        }
        let gives = |at: &&usize| matches!(naive.ops[**at].action, Action::Transfer { .. } | Action::Create { .. });
        let last = &naive.ops[*line.iter().rfind(gives).unwrap()];
        let to = if let Action::Transfer { to } = &last.action { *to } else { last.author };
        assert_eq!(state.owner, to, "group {seed}");
    });
    assert!(given > logs() / 20, "only {given} transfers");
}

fn one_owner(state: &State, seed: u64) {
    let owners: Vec<NodeId> =
        state.members.iter().filter(|(_, m)| m.role == GroupRole::Owner).map(|(node, _)| *node).collect();
    if state.members.is_empty() {
        return;
    }
    assert_eq!(owners, [state.owner], "group {seed}");
    assert!(state.members.keys().all(|node| !state.banned.contains(node)), "group {seed}");
    assert!(state.members.keys().all(|node| !state.removed.contains_key(node)), "group {seed}");
}

/// (5) Whatever is done or left out by ranks up to one, and built on by no higher one, changes what becomes of no
/// operation of a rank above it.
///
/// Fails if equal ranks void each other's operations, or if a lower rank can save an operation from the proof of a fork.
#[test]
fn lower_ranks_change_nothing_for_higher_ones() {
    let mut changed = 0;
    for_each(4_000_000, |world, rng, seed| {
        let naive = Naive::new(world.log.iter());
        let before = void(&world.log);
        for _ in 0..4 {
            let rank = 1 + rng.below(5) as u8;
            let mut gone: OrderedSet<usize> = OrderedSet::new();
            for at in (1..naive.ops.len()).rev() {
                let later: Vec<usize> = (0..naive.ops.len()).filter(|l| naive.past[*l].contains(&at)).collect();
                let goes = naive.word[at].rank <= rank && later.iter().all(|l| gone.contains(l)) && rng.below(4) > 0;
                if goes {
                    gone.insert(at);
                }
            }
            let left = naive.ops.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, op)| op.clone());
            let log = log_of(left);
            let after = void(&log);
            for (at, op) in naive.ops.iter().enumerate().filter(|(at, _)| !gone.contains(at)) {
                let is_same = before.contains(&op.id) == after.contains(&op.id);
                assert!(is_same || naive.word[at].rank <= rank, "group {seed}, ranks up to {rank}: {op:?}");
                changed += u64::from(!is_same);
            }
        }
    });
    assert!(changed > logs() / 20, "only {changed} operations had another fate");
}

/// (7) The proof of a fork touches its subject, and what has to do with what its subject did.
///
/// Fails if a proof voids operations of others, or before the fork, or lowers who is not its subject.
#[test]
fn the_proof_of_a_fork_touches_its_subject_alone() {
    let (mut proofs, mut voids) = (0, 0);
    for_each(5_000_000, |world, rng, seed| {
        let found = forks(&world.log);
        let Some((one, other)) = rng.pick(&found) else { return };
        let (subject, from) = (one.author, one.seq);
        let proof = Action::ForkProof { one: one.bytes.clone(), other: other.bytes.clone() };
        let by = rng.below(super::world::DEVICES);
        let ids: Vec<OpId> = world.log.iter().map(|op| op.id).collect();
        let some: OrderedSet<OpId> = (0..1 + rng.below(3)).filter_map(|_| rng.pick(&ids).copied()).collect();
        let parents = heads(&world.log, &some);
        let person = world.log.state_at(&parents).unwrap().member_of(subject).unwrap_or(subject);
        let op = operation(world.people, &world.log, by, &parents, proof);
        if world.log.judge(&op) != Verdict::Fits {
            return;
        }
        let (naive, before) = (Naive::new(world.log.iter()), void(&world.log));
        let ops: Vec<Operation> = world.log.iter().cloned().collect();
        let mut log = log_of(ops);
        assert!(log.insert(op));
        let after = void(&log);
        proofs += 1;
        let mut affected: Vec<usize> = Vec::new();
        for (at, op) in naive.ops.iter().enumerate() {
            let newly = after.contains(&op.id) && !before.contains(&op.id);
            if newly && op.author == subject && op.seq >= from && naive.word[at].own < 5 {
                affected.push(at);
            }
        }
        voids += affected.len();
        // What has to do with it, step by step.
        let left: Vec<usize> = (0..naive.ops.len())
            .filter(|at| before.contains(&naive.ops[*at].id) != after.contains(&naive.ops[*at].id))
            .filter(|at| !affected.contains(at))
            .collect();
        far_from(&naive, &mut affected, left, seed);
        let (was, is) = (world.log.state().unwrap(), log.state().unwrap());
        if affected.is_empty() {
            for n in 0..super::world::USERS {
                let node = world.people.id(n);
                assert!(node == person || was.members.get(&node) == is.members.get(&node), "group {seed}");
            }
            assert_eq!((&was.name, was.policy, was.owner), (&is.name, is.policy, is.owner), "group {seed}");
        }
    });
    assert!(proofs > logs() / 10 && voids > 0, "{proofs} proofs, {voids} void operations");
}

/// (9) Of the lists of a membership the newest stands, whatever else happened, and each device acts as one member.
///
/// Mutation: `Resolver::list` keeps the first, or `seat_devices` gives a member's own node to another one.
#[test]
fn the_newest_list_says_whose_devices_there_are() {
    let (mut lists, mut shared) = (0, 0);
    for_each(7_000_000, |world, _, seed| {
        let (naive, state) = (Naive::new(world.log.iter()), world.log.state().unwrap());
        for (node, member) in &state.members {
            let of = |at: &usize| naive.word[*at].under.is_some_and(|(stint, _)| stint == member.stint);
            let all: Vec<_> = (0..naive.ops.len()).filter(of).filter_map(|at| naive.chains[at].as_ref()).collect();
            let known = state.lists.get(&member.stint).map(|list| &*list.chain);
            assert_eq!(known.is_some(), !all.is_empty(), "group {seed}");
            assert!(all.iter().all(|other| known.unwrap().rank(other).is_ge()), "group {seed}");
            let own: Vec<NodeId> = state.devices_of(*node).collect();
            let may = |device: &NodeId| known.map_or(device == node, |list| list.has(*device));
            assert!(own.iter().all(may), "group {seed}");
            let others = |device: &NodeId| state.members.contains_key(device) && device != node;
            let missing = known.into_iter().flat_map(|list| list.devices()).filter(|d| !own.contains(d));
            assert!(missing.into_iter().all(|d| others(&d) || state.member_of(d) < Some(*node)), "group {seed}");
            lists += u64::from(all.len() > 1);
            shared += u64::from(own.len() > 1);
        }
    });
    assert!(lists > logs() / 20 && shared > logs() / 10, "{lists} members with two lists, {shared} with two devices");
}

/// (10) Nothing stands of a device that a newer list of its member is without, if neither knew of the other.
///
/// Mutation: rule (i) is left out, or is for the member that was added alone.
#[test]
fn a_list_takes_with_it_what_did_not_know_of_it() {
    let (mut fell, mut tokens) = (0, 0);
    for_each(8_000_000, |world, _, seed| {
        let (naive, void) = (Naive::new(world.log.iter()), void(&world.log));
        let all: OrderedSet<usize> = (0..naive.ops.len()).collect();
        for (_, op) in naive.ops.iter().enumerate().filter(|(at, _)| naive.outlisted(*at, &all)) {
            assert!(void.contains(&op.id), "group {seed}: {op:?}");
            fell += 1;
            tokens += u64::from(matches!(op.action, Action::Add { invitation: Some(_), .. }));
        }
    });
    assert!(fell > logs() / 20, "only {fell} fell by a list, {tokens} of them by the word of an invitation");
}

/// (11) A list touches its member, and what has to do with what its devices did.
///
/// Mutation: `falls_by_list` does not look at the membership, or a list is void by a rank.
#[test]
fn a_list_of_devices_touches_its_member_alone() {
    let (mut lists, mut voids) = (0, 0);
    for_each(9_500_000, |world, rng, seed| {
        let ids: Vec<OpId> = world.log.iter().map(|op| op.id).collect();
        let some: OrderedSet<OpId> = (0..1 + rng.below(3)).filter_map(|_| rng.pick(&ids).copied()).collect();
        let parents = heads(&world.log, &some);
        let by = rng.below(super::world::DEVICES);
        let Some(action) = world.list(by, rng) else { return };
        let op = operation(world.people, &world.log, by, &parents, action);
        if world.log.judge(&op) != Verdict::Fits {
            return;
        }
        let person = world.log.state_at(&parents).unwrap().member_of(op.author).unwrap();
        let (naive, before) = (Naive::new(world.log.iter()), void(&world.log));
        let mut log = log_of(world.log.iter().cloned());
        assert!(log.insert(op));
        let after = void(&log);
        lists += 1;
        let is_new = |at: &usize| before.contains(&naive.ops[*at].id) != after.contains(&naive.ops[*at].id);
        let (mut affected, left): (Vec<usize>, Vec<usize>) =
            (0..naive.ops.len()).filter(is_new).partition(|at| naive.word[*at].node == person);
        voids += affected.len();
        far_from(&naive, &mut affected, left, seed);
        let (was, is) = (world.log.state().unwrap(), log.state().unwrap());
        if affected.is_empty() {
            assert_eq!((&was.members, &was.name, was.policy), (&is.members, &is.name, is.policy), "group {seed}");
            let of_others = |state: &State| state.devices.iter().filter(|(_, d)| d.member != person).count();
            assert_eq!(of_others(&was), of_others(&is), "group {seed}");
        }
    });
    assert!(lists > logs() / 10 && voids > 0, "{lists} lists, {voids} void operations");
}

/// Fails if something changed that has nothing to do with what was affected, step by step.
fn far_from(naive: &Naive, affected: &mut Vec<usize>, mut left: Vec<usize>, seed: u64) {
    let touches = |v: usize, at: usize| {
        let word = naive.word[at];
        naive.says(v, word.node).is_some()
            || matches!(naive.ops[v].action, Action::SetPolicy { .. })
            || (naive.is_of_owner(v) && naive.is_of_owner(at))
    };
    loop {
        let (near, far): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|at| affected.iter().any(|v| touches(*v, **at)));
        affected.extend(&near);
        left = far;
        if near.is_empty() {
            break;
        }
    }
    assert!(left.is_empty(), "group {seed}: {:?}", naive.ops[left[0]]);
}

/// (8) The log, step by step and out of its memory, says what the rules say.
///
/// Fails if the state after an operation is not taken from its own past, or if any rule is read differently.
#[test]
fn the_log_says_what_the_rules_say() {
    for_each(6_000_000, |world, rng, seed| {
        let log = log_of(world.shuffled(rng));
        let naive = Naive::new(log.iter());
        let outcome = naive.everything();
        assert_eq!(void(&log), outcome.void, "group {seed}");
        same(&log.state().unwrap(), &outcome).unwrap_or_else(|e| panic!("group {seed}: {e:#?}\n{outcome:#?}"));
        for at in 1..naive.ops.len() {
            let mut ids: OrderedSet<OpId> = naive.past[at].iter().map(|p| naive.ops[*p].id).collect();
            let before = naive.before[at].as_ref().unwrap();
            let state = log.state_at(&heads(&log, &ids)).unwrap();
            same(&state, before).unwrap_or_else(|e| panic!("group {seed}, before {at}: {e:#?}\n{before:#?}"));
            ids.insert(naive.ops[at].id);
            let after = naive.outcome(&places(&naive, &ids));
            let state = log.state_at(&[naive.ops[at].id]).unwrap();
            same(&state, &after)
                .unwrap_or_else(|e| panic!("group {seed}, after {at} {:?}: {e:#?}\n{after:#?}", naive.ops[at].action));
        }
    });
}
