//! A person with two devices is one member (docs/design/groups.md §2, "Devices"): what the machine does by itself, and what it refuses.
//! Node 0 is the OWNER; nodes 1 and 3 are a phone and a laptop of one account; node 2 is another member.

use alloc::vec;
use alloc::vec::Vec;

use super::bench::{Bench, FOREVER, WALL};
use super::world::{People, World};
use crate::group::keys::header_of;
use crate::group::log::Verdict;
use crate::group::op::{Action, GroupKind, GroupPolicy, GroupRole};
use crate::group::wire::Message;
use crate::group::{Create, Deed, GroupChange, In, Invite, Join, Leave, Prepare};
use crate::id::{GroupId, NodeId, OpId};
use crate::identity::node_id;
use crate::machine::Machine;
use crate::rng::Rng;
use crate::shared::Arc;
use crate::stats::DropReason;
use crate::time::WallTime;
use crate::wire::devices::Chain;
use crate::wire::{Blob, encode};

const PHONE: usize = 1;
const LAPTOP: usize = 3;

impl Bench {
    /// Node 3 is a device of node 1's account from now on. The list of both.
    fn join_account(&mut self) -> Chain {
        let phone = self.nodes[PHONE].who.clone();
        let begun = Chain::begin(&phone);
        let cert = self.nodes[LAPTOP].who.ask_cert(phone.account().keys, "laptop", WallTime(1));
        let both = begun.add(&phone, cert, WallTime(2)).unwrap();
        self.nodes[LAPTOP].who = self.nodes[LAPTOP].who.with_account(phone.account().clone(), "laptop".into());
        self.restart(LAPTOP);
        both
    }

    /// The devices of the account learn of its list.
    fn tell(&mut self, nodes: &[usize], chain: &Chain) {
        for n in nodes {
            let chain = Arc::new(chain.clone());
            self.step(*n, |machine, cx, out| machine.handle(cx, In::Own(chain), out));
        }
        self.run();
        self.wait(20);
    }

    /// A group of nodes 0, 1 and 2, in which node 1 has two devices.
    fn with_laptop() -> (Self, GroupId, Chain) {
        let (mut this, group) = Self::with_group(4, 3);
        let both = this.join_account();
        this.tell(&[PHONE, LAPTOP], &both);
        (this, group, both)
    }

    fn devices(&self, group: GroupId, at: usize, who: usize) -> Vec<NodeId> {
        let info = self.nodes[at].machine.info(group).unwrap();
        info.members.into_iter().find(|m| m.id == self.id(who)).map(|m| m.devices).unwrap_or_default()
    }

    fn members(&self, group: GroupId, at: usize) -> usize {
        self.nodes[at].machine.info(group).unwrap().members.len()
    }

    /// The phone removes the laptop from the account. The list without it.
    fn remove_laptop(&mut self, both: &Chain) -> Chain {
        both.remove(&self.nodes[PHONE].who, self.id(LAPTOP)).unwrap()
    }

    fn lists(&self, group: GroupId) -> usize {
        let is_list = |action: &Action| matches!(action, Action::Devices { .. });
        self.nodes[0].machine.groups[&group].ops.iter().filter(|op| is_list(&op.action)).count()
    }
}

fn list(chain: &Chain) -> Action {
    Action::Devices { chain: Blob(chain.encode()), epoch: None }
}

/// Mutations: `follow` drops what an own device says; `plan_list` has no order, so each device writes a list;
/// `key_holders` counts devices.
#[test]
fn a_second_device_comes_without_a_question_and_counts_once() {
    let (mut bench, group, _) = Bench::with_laptop();
    let mut both = vec![bench.id(PHONE), bench.id(LAPTOP)];
    both.sort_unstable();
    for n in 0..4 {
        assert_eq!((bench.members(group, n), bench.devices(group, n, PHONE)), (3, both.clone()), "node {n}");
    }
    assert_eq!(bench.lists(group), 1);
    assert_eq!(bench.nodes[LAPTOP].changes, [GroupChange::Joined]);
    let joins = |n: usize| bench.nodes[n].changes.iter().filter(|c| matches!(c, GroupChange::Added { .. })).count();
    assert_eq!((joins(0), bench.nodes[0].machine.info(group).unwrap().requests.len()), (2, 0));
    for n in 0..4 {
        bench.say(group, n, &[n as u8]);
    }
    for n in 0..4 {
        let heard: Vec<u8> = (0..4u8).filter(|from| bench.has_heard(n, &[*from])).collect();
        assert_eq!(heard.len(), 3, "node {n} heard {heard:?}");
    }
    bench.wait(120);
    assert_eq!(bench.nodes[0].machine.info(group).unwrap().key_holders, 3);
}

/// A guest may not post, and its second device reads all the same. Mutation: a list needs a rank, or makes no epoch.
#[test]
fn a_guest_has_two_devices_and_both_hold_the_key() {
    let mut bench = Bench::new(4);
    let group = bench.create(0);
    bench.add(group, 0, PHONE, GroupRole::Guest);
    bench.add(group, 0, 2, GroupRole::Member);
    let both = bench.join_account();
    bench.tell(&[PHONE, LAPTOP], &both);
    assert!(bench.usable(group, LAPTOP).is_some() && bench.usable(group, LAPTOP) == bench.usable(group, 0));
    bench.say(group, 0, b"hello");
    assert!(bench.has_heard(PHONE, b"hello") && bench.has_heard(LAPTOP, b"hello"));
}

/// Mutation: `plan_list` lets each device write at once.
#[test]
fn a_third_device_is_listed_by_the_senior_one_alone() {
    let (mut bench, group) = Bench::with_group(5, 3);
    let both = bench.join_account();
    bench.tell(&[PHONE, LAPTOP], &both);
    let cert = bench.nodes[4].who.ask_cert(bench.nodes[PHONE].who.account().keys, "tablet", WallTime(9));
    let three = both.add(&bench.nodes[LAPTOP].who, cert, WallTime(10)).unwrap();
    for n in [PHONE, LAPTOP] {
        let chain = Arc::new(three.clone());
        bench.step(n, |machine, cx, out| machine.handle(cx, In::Own(chain), out));
    }
    bench.wait(20);
    assert_eq!((bench.lists(group), bench.devices(group, 2, PHONE).len()), (2, 3));
    // Without the senior one the next writes it.
    let two = three.remove(&bench.nodes[PHONE].who, bench.id(4)).unwrap();
    bench.islands(&[0, 1, 0, 0, 0]);
    bench.tell(&[LAPTOP], &two);
    assert_eq!((bench.lists(group), bench.devices(group, 2, PHONE).len()), (3, 2));
}

/// Addendum, "list with a stranger": a device of another person is never listed. Mutations: `Case::list` does not
/// look at the account, does not ask for the author in the list, or takes a list without its consents.
#[test]
fn a_list_that_is_not_the_authors_own_is_refused() {
    let (mut bench, group) = Bench::with_group(5, 3);
    let both = bench.join_account();
    let stranger = bench.nodes[4].who.clone();
    let mut with_stranger = both.encode();
    // The stranger's key in place of the laptop's: its certificate is not signed by it.
    let laptop = bench.nodes[LAPTOP].who.public_key();
    let places: Vec<usize> = (0..with_stranger.len() - 32).filter(|at| with_stranger[*at..at + 32] == laptop).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| with_stranger[*at..at + 32].copy_from_slice(&stranger.public_key()));
    let of_stranger = Chain::begin(&stranger);
    let phone = bench.nodes[PHONE].who.clone();
    let laptop_alone = both.remove(&phone, phone.node_id()).unwrap();
    // The phone is in a second account; it came with its own.
    let cert = phone.ask_cert(stranger.account().keys, "phone", WallTime(1));
    let second = of_stranger.add(&stranger, cert, WallTime(2)).unwrap();
    let cases = [
        (PHONE, list(&second), "another account of its author"),
        (PHONE, Action::Devices { chain: Blob(with_stranger), epoch: None }, "a stranger's key"),
        (PHONE, list(&of_stranger), "the account of a stranger"),
        (2, list(&both), "the account of another member"),
        (PHONE, list(&laptop_alone), "without its author"),
        (LAPTOP, list(&both), "by who is no member's device yet"),
    ];
    for (by, action, what) in cases {
        let op = bench.forge(group, by, 0, action);
        assert_eq!(bench.nodes[0].machine.groups[&group].ops.judge(&op), Verdict::Bad, "{what}");
    }
    let good = bench.forge(group, PHONE, 0, list(&both));
    assert_eq!(bench.nodes[0].machine.groups[&group].ops.judge(&good), Verdict::Fits);
}

/// Mutations: `may_post` looks at the member and not at the device; `hand_to` gives to a device that is gone; a list
/// without a device makes no new epoch (`candidate`).
#[test]
fn a_removed_device_posts_nothing_and_gets_no_epoch() {
    let (mut bench, group, both) = Bench::with_laptop();
    bench.say(group, LAPTOP, b"before");
    let context = bench.nodes[LAPTOP].context.clone().unwrap();
    let without = bench.remove_laptop(&both);
    bench.tell(&[PHONE], &without);
    assert_eq!(bench.nodes[PHONE].stood, 1, "what the laptop said is named before");
    assert!(bench.nodes[LAPTOP].changes.contains(&GroupChange::Ended));
    for n in 0..3 {
        assert_eq!(bench.devices(group, n, PHONE), [bench.id(PHONE)], "node {n}");
    }
    let (sealed, secrets) = (bench.sealed.len(), bench.secrets_to(LAPTOP));
    bench.say(group, 0, b"after");
    assert!(bench.has_heard(PHONE, b"after") && !bench.has_heard(LAPTOP, b"after"));
    let since = bench.sealed[sealed..].to_vec();
    since.into_iter().for_each(|(from, body)| bench.feed_sealed(LAPTOP, from, &body));
    assert!(!bench.has_heard(LAPTOP, b"after"));
    let epochs: Vec<OpId> = bench.nodes[0].machine.groups[&group].ops.iter().map(|op| op.id).collect();
    for epoch in epochs {
        bench.feed(0, LAPTOP, &Message::Ask { group, epoch });
    }
    assert_eq!(bench.secrets_to(LAPTOP), secrets);
    // What it says under what it knows now has no member as its author.
    let newest = bench.nodes[0].machine.groups[&group].ops.heads();
    let forged = crate::wire::group::Context { heads: newest, ..context };
    let author = bench.id(LAPTOP);
    bench.step(0, |machine, cx, out| machine.handle(cx, In::Vet { group, author, context: forged }, out));
    assert_eq!(bench.nodes[0].vetted.last(), Some(&false));
}

/// Mutations: `Case::list` takes a list that is not newer; rule (i) is left out; `Resolver::list` takes the last one.
#[test]
fn a_removed_device_does_not_come_back_by_the_old_list() {
    let (mut bench, group, both) = Bench::with_laptop();
    bench.act(group, 0, Deed::SetRole { member: bench.id(PHONE), role: GroupRole::Admin });
    bench.wait(5);
    // What the laptop says while it is apart does not know of its removal.
    bench.islands(&[0, 0, 0, 1]);
    let old = bench.forge(group, LAPTOP, LAPTOP, list(&both.rename(&bench.nodes[LAPTOP].who, "mine", WALL).unwrap()));
    let renames = Action::Describe { field: crate::group::op::Field::Name, value: "mine".into() };
    let named = bench.forge(group, LAPTOP, LAPTOP, renames);
    let without = bench.remove_laptop(&both);
    bench.tell(&[PHONE], &without);
    let again = bench.forge(group, LAPTOP, 0, list(&both));
    assert_eq!(bench.nodes[0].machine.groups[&group].ops.judge(&again), Verdict::Bad);
    // Nor does another device bring it back.
    let back = bench.forge(group, PHONE, 0, list(&both));
    assert_eq!(bench.nodes[0].machine.groups[&group].ops.judge(&back), Verdict::Bad);
    assert_eq!(bench.nodes[LAPTOP].machine.groups[&group].ops.judge(&named), Verdict::Fits, "it may, for all it knows");
    bench.islands(&[0; 4]);
    let ops = vec![Blob(old.bytes), Blob(named.bytes)];
    bench.feed(2, LAPTOP, &Message::Ops { group, ops });
    bench.wait(120);
    for n in 0..3 {
        assert_eq!(bench.devices(group, n, PHONE), [bench.id(PHONE)], "node {n}");
        assert_eq!(bench.nodes[n].machine.info(group).unwrap().name, "team", "node {n}");
    }
    assert!(bench.usable(group, 0).is_some() && bench.usable(group, 0) == bench.usable(group, 2));
}

/// Mutation: `State::with` leaves the devices of a removed member, or `is_banned` looks at the member's node alone.
#[test]
fn the_second_device_of_a_removed_member_is_out_too() {
    let (mut bench, group, _) = Bench::with_laptop();
    // The laptop is named, and its person goes.
    let member = bench.id(LAPTOP);
    bench.act(group, 0, Deed::Remove { member, ban: true });
    bench.wait(5);
    for n in [0, 2] {
        assert_eq!(bench.members(group, n), 2);
    }
    for n in [PHONE, LAPTOP] {
        assert_eq!(bench.nodes[n].changes.last(), Some(&GroupChange::Ended), "node {n}");
    }
    let secrets = bench.secrets_to(LAPTOP);
    bench.say(group, 0, b"after");
    assert!(bench.has_heard(2, b"after") && !bench.has_heard(LAPTOP, b"after") && !bench.has_heard(PHONE, b"after"));
    let ticket = bench.invitation(group, 0, LAPTOP, GroupRole::Member);
    bench.command(LAPTOP, Join { ticket }).unwrap();
    bench.wait(30);
    assert_eq!((bench.members(group, 0), bench.secrets_to(LAPTOP)), (2, secrets));
    let acceptance = crate::group::op::Acceptance::sign(&bench.nodes[LAPTOP].who, group, [7; 16], None);
    let base = bench.usable(group, 0).unwrap();
    let add = Action::Add { acceptance, role: GroupRole::Member, invitation: None, base, commitment: [0; 32], from: 0 };
    let op = bench.forge(group, 0, 0, add);
    assert_eq!(bench.nodes[0].machine.groups[&group].ops.judge(&op), Verdict::Bad);
}

/// Mutation: `Resolver::list` goes by the order of operations and not by which list stands.
#[test]
fn of_two_lists_in_two_partitions_the_senior_ones_stands() {
    let (mut bench, group, both) = Bench::with_laptop();
    bench.act(group, 0, Deed::SetRole { member: bench.id(2), role: GroupRole::Admin });
    bench.wait(5);
    bench.islands(&[0, 0, 1, 1]);
    // So the laptop's list is the later operation.
    for name in ["one", "two", "three", "four"] {
        bench.act(group, 2, Deed::Rename { name: name.into() });
    }
    bench.wait(5);
    let without = bench.remove_laptop(&both);
    let cert = bench.nodes[2].who.ask_cert(bench.nodes[PHONE].who.account().keys, "tablet", WallTime(9));
    // Node 2's device would be of this account too: it is a member of its own, and stays that.
    let more = both.add(&bench.nodes[LAPTOP].who, cert, WallTime(10)).unwrap();
    bench.tell(&[PHONE], &without);
    bench.tell(&[LAPTOP], &more);
    assert_eq!((bench.devices(group, 0, PHONE).len(), bench.devices(group, 2, PHONE).len()), (1, 2));
    bench.islands(&[0; 4]);
    bench.wait(120);
    for n in 0..3 {
        assert_eq!(bench.devices(group, n, PHONE), [bench.id(PHONE)], "node {n}");
        assert_eq!(bench.devices(group, n, 2), [bench.id(2)], "node {n}");
    }
}

/// Mutation: the proof names the device and not its member, or what another device of the member did falls too.
#[test]
fn a_devices_fork_lowers_its_member_and_nobody_else() {
    let (mut bench, group, _) = Bench::with_laptop();
    bench.act(group, 0, Deed::SetRole { member: bench.id(PHONE), role: GroupRole::Admin });
    bench.act(group, 0, Deed::SetRole { member: bench.id(2), role: GroupRole::Admin });
    bench.act(group, PHONE, Deed::Describe { description: "by the phone".into() });
    let name = |name: &str| Action::Describe { field: crate::group::op::Field::Name, value: name.into() };
    let (one, other) = (bench.forge(group, LAPTOP, 0, name("one")), bench.forge(group, LAPTOP, 0, name("two")));
    bench.feed(2, LAPTOP, &Message::Ops { group, ops: vec![Blob(one.bytes.clone()), Blob(other.bytes.clone())] });
    let (one, other) = if one.id < other.id { (one, other) } else { (other, one) };
    let proof = bench.forge(group, 2, 2, Action::ForkProof { one: one.bytes, other: other.bytes });
    bench.feed(2, 2, &Message::Ops { group, ops: vec![Blob(proof.bytes)] });
    bench.wait(120);
    for n in 0..4 {
        let info = bench.nodes[n].machine.info(group).unwrap();
        let role = |who: usize| info.members.iter().find(|m| m.id == bench.id(who)).map(|m| m.role);
        assert_eq!(role(PHONE), Some(GroupRole::Guest), "node {n}");
        assert_eq!((role(0), role(2)), (Some(GroupRole::Owner), Some(GroupRole::Admin)), "node {n}");
        assert_eq!((info.name.as_str(), info.description.as_str()), ("team", "by the phone"), "node {n}");
    }
}

/// Both devices were invited before they were of one account. Mutations: `gives_way` is never true; both leave.
#[test]
fn two_memberships_of_one_person_become_one() {
    let (mut bench, group) = Bench::with_group(4, 4);
    assert_eq!(bench.members(group, 0), 4);
    let both = bench.join_account();
    bench.tell(&[PHONE, LAPTOP], &both);
    bench.wait(60);
    let mut devices = vec![bench.id(PHONE), bench.id(LAPTOP)];
    devices.sort_unstable();
    for n in 0..4 {
        assert_eq!((bench.members(group, n), bench.devices(group, n, PHONE)), (3, devices.clone()), "node {n}");
    }
    bench.say(group, LAPTOP, b"still here");
    bench.say(group, 0, b"so am I");
    assert!(bench.has_heard(2, b"still here") && bench.has_heard(LAPTOP, b"so am I"));
}

/// Both were invited apart, and of one account already: their lists name each other. Mutation: both leave, or neither.
#[test]
fn of_two_memberships_of_one_account_the_earlier_stays() {
    let mut bench = Bench::new(4);
    let group = bench.create(0);
    let both = bench.join_account();
    bench.add(group, 0, LAPTOP, GroupRole::Member);
    bench.add(group, 0, PHONE, GroupRole::Member);
    bench.islands(&[0, 0, 0, 1]);
    bench.tell(&[PHONE, LAPTOP], &both);
    bench.islands(&[0; 4]);
    bench.wait(120);
    for n in [0, PHONE, LAPTOP] {
        assert_eq!((bench.members(group, n), bench.devices(group, n, LAPTOP).len()), (2, 2), "node {n}");
    }
}

/// Mutation: `Leave` names the device that says it.
#[test]
fn a_person_leaves_with_all_devices() {
    let (mut bench, group, _) = Bench::with_laptop();
    bench.command(LAPTOP, Leave { group }).unwrap();
    bench.wait(5);
    assert_eq!((bench.members(group, 0), bench.members(group, 2)), (2, 2));
    for n in [PHONE, LAPTOP] {
        assert!(bench.nodes[n].changes.contains(&GroupChange::Ended), "node {n}");
    }
}

/// An invitation is used once however many devices come. Mutation: an addition of a member's device is taken.
#[test]
fn a_device_of_a_member_is_not_added_once_more() {
    let (mut bench, group, _) = Bench::with_laptop();
    let acceptance = crate::group::op::Acceptance::sign(&bench.nodes[LAPTOP].who, group, [7; 16], None);
    let base = bench.usable(group, 0).unwrap();
    let add = Action::Add { acceptance, role: GroupRole::Member, invitation: None, base, commitment: [0; 32], from: 0 };
    let op = bench.forge(group, 0, 0, add);
    assert_eq!(bench.nodes[0].machine.groups[&group].ops.judge(&op), Verdict::Bad);
    let ticket =
        bench.invite(group, 0, Invite { group, role: GroupRole::Member, uses: 2, expires: FOREVER, node: None });
    assert!(bench.command(LAPTOP, Join { ticket }).is_err());
}

/// Everybody joins a PUBLIC group by themselves, and a second device with them. Mutation: `may_make` is asked without an epoch.
#[test]
fn a_second_device_comes_into_a_public_group() {
    let mut bench = Bench::new(4);
    let (kind, name, policy) = (GroupKind::Public, "square".into(), GroupPolicy::default());
    let group = bench.command(PHONE, Create { kind, name, policy, expires: None }).unwrap();
    let both = bench.join_account();
    bench.tell(&[PHONE, LAPTOP], &both);
    assert_eq!((bench.members(group, PHONE), bench.members(group, LAPTOP)), (1, 1));
    bench.say(group, LAPTOP, b"hello");
    assert!(bench.has_heard(PHONE, b"hello"));
}

/// Mutation: the asking device gets no refusal, or a stranger gets one.
#[test]
fn who_left_tells_its_other_device_so() {
    let (mut bench, group) = Bench::with_group(4, 3);
    let both = bench.join_account();
    bench.islands(&[0, 0, 0, 1]);
    bench.tell(&[PHONE, LAPTOP], &both);
    bench.command(PHONE, Leave { group }).unwrap();
    bench.islands(&[0; 4]);
    // What the phone said before it left comes only now.
    let state =
        Message::State { group, hash: [0; 32], clock: crate::group::clock::Clock::new(), answer: true, key: None };
    bench.feed(LAPTOP, PHONE, &state);
    bench.wait(5);
    assert!(bench.nodes[LAPTOP].machine.joining().is_empty());
    assert!(!bench.nodes[LAPTOP].machine.groups.contains_key(&group));
    let before = bench.drops(LAPTOP, DropReason::Message);
    bench.feed(LAPTOP, 2, &state);
    assert_eq!(bench.drops(LAPTOP, DropReason::Message), before + 1);
}

/// Mutation: one more is taken.
#[test]
fn a_membership_has_64_lists_at_most() {
    let people = People::new();
    let mut world = World::new(&people, 1, 0);
    let (phone, laptop) = (people.0[1].clone(), people.0[super::world::USERS].clone());
    let recovery = crate::identity::Recovery::read(&phone.recovery_code().unwrap()).unwrap();
    let mut chain = Chain::begin(&phone);
    let before =
        world.log.iter().filter(|op| matches!(op.action, Action::Devices { .. }) && op.author == phone.node_id());
    let mut taken = before.count();
    for n in 0..200u64 {
        let cert = laptop.ask_cert(phone.account().keys, "laptop", WallTime(n));
        let keep = |node: NodeId| node == phone.node_id();
        let cert = (n % 2 == 0).then_some(cert);
        chain = chain.recover((phone.account(), &recovery), keep, cert, WallTime(n)).unwrap();
        let op = super::world::operation(&people, &world.log, 1, &world.log.heads(), list(&chain));
        let fits = world.log.judge(&op) == Verdict::Fits;
        assert_eq!(fits, taken < 64, "{n}");
        if !world.log.insert(op) {
            return;
        }
        taken += 1;
    }
    panic!("{taken} lists");
}

/// Mutation: the key of a device is that of its member.
#[test]
fn each_device_signs_with_its_own_key() {
    let (mut bench, group, _) = Bench::with_laptop();
    bench.say(group, LAPTOP, b"mine");
    let run = bench.nodes[0].opened.last().unwrap();
    let key = crate::wire::group::GroupRun::read(run).unwrap().key;
    assert_eq!(node_id(key), bench.id(LAPTOP));
    let (_, sealed) = bench.sealed.last().unwrap();
    assert!(header_of(sealed).is_some() && encode(&group).len() >= 32);
}

/// Node 0, and two people with two devices: nodes 1 and 3, 2 and 4.
struct Schedule {
    bench: Bench,
    group: GroupId,
    rng: Rng,
    /// The newest list of each account, as its phone has it.
    chains: [Chain; 2],
    /// What was said, and who could read it as far as its author knew.
    said: Vec<(Vec<u8>, Vec<NodeId>)>,
}

impl Schedule {
    fn new(seed: u8) -> Self {
        let mut bench = Bench::new(5);
        let group = bench.create(0);
        let chains = [0, 1].map(|account| {
            let (phone, laptop) = (account + 1, account + 3);
            bench.add(group, 0, phone, GroupRole::Member);
            let first = bench.nodes[phone].who.clone();
            bench.nodes[laptop].who = bench.nodes[laptop].who.with_account(first.account().clone(), "laptop".into());
            bench.restart(laptop);
            Chain::begin(&first)
        });
        Self { bench, group, rng: Rng::new([seed; 32]), chains, said: Vec::new() }
    }

    /// The devices that are with the phone learn of the newest list, and the laptop if it is removed too.
    fn tell(&mut self, account: usize) {
        let (phone, laptop, chain) = (account + 1, account + 3, self.chains[account].clone());
        self.bench.tell(&[phone], &chain);
        if self.bench.island[phone] == self.bench.island[laptop] {
            self.bench.tell(&[laptop], &chain);
        }
    }

    fn step(&mut self, n: usize) {
        let (group, account) = (self.group, self.rng.below(2));
        let who = self.rng.below(5);
        match self.rng.below(9) {
            0 | 1 => {
                let mut islands = self.bench.island.clone();
                islands[who] = self.rng.below(2) as u8;
                self.bench.islands(&islands);
            }
            2 | 3 => {
                let (first, laptop) =
                    (self.bench.nodes[account + 1].who.clone(), self.bench.nodes[account + 3].who.clone());
                let chain = &self.chains[account];
                let next = if chain.has(laptop.node_id()) {
                    chain.remove(&first, laptop.node_id())
                } else {
                    chain.add(&first, laptop.ask_cert(first.account().keys, "laptop", WallTime(n as u64)), WallTime(9))
                };
                if let Ok(next) = next {
                    self.chains[account] = next;
                    self.tell(account);
                }
            }
            4 => {
                let member = self.bench.id(account + 1);
                let deed = Deed::Remove { member, ban: false };
                let _ = self.bench.command(0, crate::group::Act { group, deed });
            }
            5 if !self.bench.is_member(group, 0, account + 1) => {
                let ticket = self.bench.invitation(group, 0, account + 1, GroupRole::Member);
                let _ = self.bench.command(account + 1, Join { ticket });
            }
            6 => {
                self.bench.restart(who);
                (0..2).for_each(|account| self.tell(account));
            }
            _ if self.bench.command(who, Prepare { group }).is_ok() => {
                let to = self.bench.nodes[who].machine.groups[&group].state().nodes();
                let text = vec![n as u8, who as u8];
                self.bench.say(group, who, &text);
                self.said.push((text, to));
            }
            _ => {}
        }
        let pause = self.rng.below(4) as u64;
        self.bench.wait(pause);
    }

    fn settle(&mut self) {
        self.bench.islands(&[0; 5]);
        (0..2).for_each(|account| self.tell(account));
        self.bench.wait(400);
    }
}

/// Mutations: `falls_by_list` is left out; `candidate` compares members instead of devices; `Case::list` takes any list; `follow` is
/// left out.
#[test]
fn two_people_with_two_devices_agree_after_any_schedule() {
    let (mut shared, mut said) = (0, 0);
    for seed in 0..24 {
        let mut schedule = Schedule::new(seed);
        (0..30).for_each(|n| schedule.step(n));
        schedule.settle();
        let Schedule { bench, group, chains, said: texts, .. } = schedule;
        for (text, to) in &texts {
            let heard = (0..5).filter(|n| bench.has_heard(*n, text));
            assert!(heard.into_iter().all(|n| to.contains(&bench.id(n))), "{seed}: {text:?} reached another one");
        }
        let here = bench.nodes[0].machine.info(group).unwrap();
        let persons = (0..2).filter(|account| here.members.iter().any(|m| m.id == bench.id(account + 1)));
        assert_eq!(here.members.len(), 1 + persons.count(), "{seed}");
        for (account, chain) in chains.iter().enumerate() {
            let Some(member) = here.members.iter().find(|m| m.id == bench.id(account + 1)) else { continue };
            let mut listed: Vec<NodeId> = chain.devices().collect();
            listed.sort_unstable();
            assert_eq!(member.devices, listed, "{seed}");
            shared += usize::from(listed.len() == 2);
            for n in (0..5).filter(|n| listed.contains(&bench.id(*n))) {
                let info = bench.nodes[n].machine.info(group).unwrap();
                assert_eq!(
                    (&info.members, info.state, info.holds_key),
                    (&here.members, here.state, true),
                    "{seed}: {n}"
                );
            }
        }
        said += texts.len();
    }
    assert!(shared > 5 && said > 50, "{shared} people with two devices, {said} messages");
}
