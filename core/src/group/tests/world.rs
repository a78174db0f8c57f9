//! Random groups: seven people, three of whom have a second device; three devices claim old times and three say two things
//! under one number.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::group::log::{OpLog, Verdict};
use crate::group::op::{
    Acceptance, Action, Field, GroupHistory, GroupKind, GroupPolicy, GroupRole, Invitation, Invitee, NewEpoch,
    Operation,
};
use crate::id::{MessageId, NodeId, OpId};
use crate::identity::Identity;
use crate::rng::Rng;
use crate::time::WallTime;
use crate::wire::Blob;
use crate::wire::devices::Chain;

pub(super) const USERS: usize = 7;
const ROLES: [GroupRole; 4] = [GroupRole::Guest, GroupRole::Member, GroupRole::Moderator, GroupRole::Admin];

/// Devices: the last three are second ones of people 1 and 2 and of the OWNER.
pub(super) const DEVICES: usize = USERS + 3;

/// People with keys, made once for many groups: their devices, and the chains of lists of those with a second one.
pub(super) struct People(pub(super) Vec<Identity>, pub(super) Vec<Chain>);

/// A second device of a person, and the lists of its account: both devices; the first alone; the second renamed; both
/// again; the second alone.
pub(super) fn second(of: &Identity, n: u8) -> (Identity, Vec<Chain>) {
    let identity = crate::identity::tests::identity(n);
    let device = identity.with_account(of.account().clone(), "second".into());
    let cert = || identity.ask_cert(of.account().keys, "second", WallTime(2));
    let both = Chain::begin(of).add(of, cert(), WallTime(3)).unwrap();
    let first = both.remove(of, device.node_id()).unwrap();
    let renamed = both.rename(&device, "other", WallTime(4)).unwrap();
    let again = first.add(of, cert(), WallTime(5)).unwrap();
    let last = again.remove(of, of.node_id()).unwrap();
    (device, vec![both, first, renamed, again, last])
}

impl People {
    pub(super) fn new() -> Self {
        let mut people: Vec<Identity> = (1..=USERS as u8).map(crate::identity::tests::identity).collect();
        let mut chains = Vec::new();
        for (n, person) in [(21, 1), (22, 2), (23, 0)] {
            let (device, lists) = second(&people[person], n);
            people.push(device);
            chains.extend(lists);
        }
        Self(people, chains)
    }

    /// The lists of the account of a device.
    pub(super) fn lists(&self, n: usize) -> Vec<&Chain> {
        let account = self.0[n].account_id();
        self.1.iter().filter(|chain| chain.keys().id() == account).collect()
    }

    pub(super) fn id(&self, n: usize) -> NodeId {
        self.0[n].node_id()
    }

    pub(super) fn number(&self, node: NodeId) -> usize {
        self.0.iter().position(|person| person.node_id() == node).unwrap()
    }
}

pub(super) fn create(people: &People, owner: usize, kind: GroupKind, policy: GroupPolicy, salt: u8) -> Operation {
    let expires = (kind == GroupKind::Temporary).then_some(WallTime(1_000));
    let account = people.0[owner].account_id();
    let (name, salt) = ("before".into(), [salt; 16]);
    let action = Action::Create { kind, name, policy, salt, account, expires, commitment: [1; 32] };
    Operation::sign(&people.0[owner], None, (1, vec![], 1), WallTime(1), action).unwrap()
}

/// An addition of `who`, with the word of `signer` if there is one.
pub(super) fn add(people: &People, log: &OpLog, who: usize, role: GroupRole, signer: Option<usize>, n: u64) -> Action {
    let group = log.group();
    let nonce = |kind: u8| {
        let mut nonce = [kind; 16];
        nonce[..8].copy_from_slice(&n.to_le_bytes());
        nonce
    };
    let token = |signer: usize| {
        let invitee = Invitee::Node(people.id(who));
        Invitation::sign(&people.0[signer], group, nonce(1), (role, 1, WallTime(1_000)), invitee)
    };
    Action::Add {
        acceptance: Acceptance::sign(&people.0[who], group, nonce(2), None),
        role,
        invitation: signer.map(token),
        base: log.iter().next().unwrap().id,
        commitment: [0; 32],
        from: n,
    }
}

/// An operation of `by` after `parents`, which need not fit.
pub(super) fn operation(people: &People, log: &OpLog, by: usize, parents: &[OpId], action: Action) -> Operation {
    let author = people.id(by);
    let named = parents.iter().filter_map(|id| log.get(id));
    let lamport = 1 + named.map(|op| op.lamport).max().unwrap();
    let knows = |op: &&Operation| parents.iter().any(|id| *id == op.id || log.is_in_past(&op.id, id));
    let own = log.iter().filter(|op| op.author == author).filter(knows).map(|op| op.seq).max();
    let place = (1 + own.unwrap_or(0), parents.to_vec(), lamport);
    Operation::sign(&people.0[by], Some(log.group()), place, WallTime(2), action).unwrap()
}

/// The places that know no other.
pub(super) fn heads(log: &OpLog, of: &OrderedSet<OpId>) -> Vec<OpId> {
    of.iter().filter(|id| !of.iter().any(|other| log.is_in_past(id, other))).copied().collect()
}

/// A random group, and how it came about.
pub(super) struct World<'a> {
    pub(super) people: &'a People,
    pub(super) log: OpLog,
    rng: Rng,
    knows: Vec<OrderedSet<OpId>>,
    backdates: OrderedSet<usize>,
    forks: OrderedSet<usize>,
    lists: bool,
    count: u64,
}

impl<'a> World<'a> {
    /// The group number `seed` with up to `steps` operations.
    pub(super) fn new(people: &'a People, seed: u64, steps: usize) -> Self {
        Self::made(people, seed, steps, true)
    }

    /// One in which no member lists a second device, as the model in Alloy has it.
    pub(super) fn without_lists(people: &'a People, seed: u64, steps: usize) -> Self {
        Self::made(people, seed, steps, false)
    }

    fn made(people: &'a People, seed: u64, steps: usize, lists: bool) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(key);
        let kind = if rng.below(5) == 0 { GroupKind::Public } else { GroupKind::Private };
        let first = create(people, 0, kind, policy(&mut rng), seed as u8);
        let mut order: Vec<usize> = (0..DEVICES).collect();
        shuffle(&mut rng, &mut order);
        let knows = vec![OrderedSet::from_iter([first.id]); DEVICES];
        let mut this = Self {
            people,
            log: OpLog::new(first).unwrap(),
            rng,
            knows,
            backdates: order[..3].iter().copied().collect(),
            forks: order[1..4].iter().copied().collect(),
            lists,
            count: 0,
        };
        this.settle();
        if lists {
            this.list_devices();
        }
        for _ in 0..steps {
            let by = this.rng.below(DEVICES);
            this.act(by);
            if this.rng.below(3) == 0 {
                let (a, b) = (this.rng.below(DEVICES), this.rng.below(DEVICES));
                let all: Vec<OpId> = this.knows[a].iter().copied().collect();
                this.knows[b].extend(all);
            }
        }
        this
    }

    /// The owner adds most of the others.
    fn settle(&mut self) {
        let some = 3 + self.rng.below(USERS - 3);
        for who in 1..=some {
            self.count += 1;
            let role = ROLES[[3, 3, 2, 2, 1, 1, 0][self.rng.below(7)]];
            let action = add(self.people, &self.log, who, role, None, self.count);
            let parents = self.log.heads();
            let op = operation(self.people, &self.log, 0, &parents, action);
            let id = op.id;
            if self.log.insert(op) {
                self.knows.iter_mut().for_each(|knows| {
                    knows.insert(id);
                });
            }
        }
    }

    /// Who has a second device lists it, mostly.
    fn list_devices(&mut self) {
        for by in 0..3 {
            if self.rng.below(4) == 0 {
                continue;
            }
            let chain = Blob(self.people.lists(by)[0].encode());
            let parents = self.log.heads();
            let op = operation(self.people, &self.log, by, &parents, Action::Devices { chain, epoch: None });
            let id = op.id;
            if self.log.insert(op) {
                self.knows.iter_mut().for_each(|knows| {
                    knows.insert(id);
                });
            }
        }
    }

    /// What an operation of `by` names.
    fn parents(&mut self, by: usize) -> Vec<OpId> {
        let all: Vec<OpId> = self.knows[by].iter().copied().collect();
        let own = all.iter().filter_map(|id| self.log.get(id)).filter(|op| op.author == self.people.id(by));
        let last = own.max_by_key(|op| (op.seq, op.id)).map(|op| op.id);
        let cheats = self.rng.below(2) == 0;
        let base: Vec<OpId> = if cheats && self.forks.contains(&by) {
            (0..1 + self.rng.below(2)).filter_map(|_| self.rng.pick(&all).copied()).collect()
        } else if cheats && self.backdates.contains(&by) {
            let old = (0..self.rng.below(3)).filter_map(|_| self.rng.pick(&all).copied()).collect::<Vec<_>>();
            last.into_iter().chain(old).collect()
        } else {
            all
        };
        let mut set: OrderedSet<OpId> = base.into_iter().collect();
        if set.is_empty() {
            set.extend(self.log.iter().next().map(|op| op.id));
        }
        let mut named = heads(&self.log, &set);
        named.truncate(16);
        named
    }

    fn act(&mut self, by: usize) {
        let parents = self.parents(by);
        for _ in 0..8 {
            self.count += 1;
            let Some(action) = self.action(by, &parents) else { continue };
            let op = operation(self.people, &self.log, by, &parents, action);
            if self.log.judge(&op) == Verdict::Fits {
                self.knows[by].insert(op.id);
                assert!(self.log.insert(op));
                return;
            }
        }
    }

    /// Something that `by` might do.
    fn action(&mut self, by: usize, parents: &[OpId]) -> Option<Action> {
        let state = self.log.state_at(parents)?;
        let me = self.people.id(by);
        let who = self.rng.below(USERS);
        let other = self.people.id(who);
        let role = ROLES[self.rng.below(4)];
        let Some(own) = state.role(me) else {
            return (state.kind == GroupKind::Public)
                .then(|| add(self.people, &self.log, by, ROLES[self.rng.below(2)], None, self.count));
        };
        if self.lists && self.rng.below(5) == 0 {
            let mut rng = Rng::new([self.rng.below(256) as u8; 32]);
            return self.list(by, &mut rng);
        }
        let action = match self.rng.below(24) {
            0..=3 => {
                let signer = (self.rng.below(2) == 0).then(|| self.rng.below(USERS));
                if state.members.contains_key(&other) {
                    return None;
                }
                add(self.people, &self.log, who, role, signer, self.count)
            }
            4..=8 => Action::SetRole { member: other, role },
            9..=14 => {
                let second = self.people.id(self.rng.below(USERS));
                let set: OrderedSet<NodeId> =
                    if self.rng.below(4) == 0 { [other, second].into() } else { [other].into() };
                let members: Vec<NodeId> = set.iter().copied().collect();
                let ban = own >= GroupRole::Admin && self.rng.below(3) == 0;
                let epoch = (state.kind != GroupKind::Public && self.rng.below(4) == 0).then(|| {
                    let stays = |node: &NodeId| !set.contains(&state.member_of(*node).unwrap());
                    let left = state.nodes().into_iter().filter(stays).collect::<Vec<_>>();
                    let order = (0..left.len() as u16).filter(|n| left[usize::from(*n)] != me).collect();
                    NewEpoch { commitment: [2; 32], order }
                });
                Action::Remove { members, ban, epoch }
            }
            15 => Action::Unban { member: *state.banned.first()? },
            16 => Action::Leave,
            17 => Action::Transfer { to: other },
            18 => Action::Describe { field: Field::Name, value: format!("name {}", self.count) },
            19 => {
                let message = MessageId::first_of(self.rng.below(3) as u64 + 1);
                Action::Pin { message, pinned: !state.pins.contains(&message) }
            }
            20 => Action::Describe { field: Field::Description, value: format!("about {}", self.count) },
            21 => Action::SetPolicy { policy: policy(&mut self.rng) },
            _ => self.fork_proof(me)?,
        };
        Some(action)
    }

    /// A list of the account of a device.
    pub(super) fn list(&self, by: usize, rng: &mut Rng) -> Option<Action> {
        let chain = rng.pick(&self.people.lists(by)).map(|chain| Blob(chain.encode()))?;
        Some(Action::Devices { chain, epoch: None })
    }

    /// The proof of a fork of another node.
    fn fork_proof(&mut self, me: NodeId) -> Option<Action> {
        let forks = forks(&self.log);
        let forks: Vec<_> = forks.into_iter().filter(|(one, _)| one.author != me).collect();
        let (one, other) = self.rng.pick(&forks)?;
        Some(Action::ForkProof { one: one.bytes.clone(), other: other.bytes.clone() })
    }

    /// The operations in another order in which they can come.
    pub(super) fn shuffled(&self, rng: &mut Rng) -> Vec<Operation> {
        let mut left: Vec<&Operation> = self.log.iter().collect();
        let mut taken = OrderedSet::new();
        let mut out = Vec::new();
        while !left.is_empty() {
            let ready: Vec<usize> =
                (0..left.len()).filter(|n| left[*n].parents.iter().all(|id| taken.contains(id))).collect();
            let op = left.swap_remove(*rng.pick(&ready).unwrap());
            taken.insert(op.id);
            out.push(op.clone());
        }
        out
    }
}

/// Pairs of operations of one author under one number.
pub(super) fn forks(log: &OpLog) -> Vec<(&Operation, &Operation)> {
    let mut by_number: OrderedMap<(NodeId, u64), Vec<&Operation>> = OrderedMap::new();
    log.iter().for_each(|op| by_number.entry((op.author, op.seq)).or_default().push(op));
    let mut found = Vec::new();
    for same in by_number.values() {
        for (n, one) in same.iter().enumerate() {
            for other in &same[n + 1..] {
                found.push(if one.id < other.id { (*one, *other) } else { (*other, *one) });
            }
        }
    }
    found
}

/// The log of these operations, each after its past.
pub(super) fn log_of(ops: impl IntoIterator<Item = Operation>) -> OpLog {
    let mut ops = ops.into_iter();
    let mut log = OpLog::new(ops.next().unwrap()).unwrap();
    for op in ops {
        assert_eq!(log.judge(&op), Verdict::Fits, "{op:?}");
        assert!(log.insert(op));
    }
    log
}

fn policy(rng: &mut Rng) -> GroupPolicy {
    let mut of = |roles: &[GroupRole]| roles[rng.below(roles.len())];
    GroupPolicy {
        invite: of(&[GroupRole::Admin, GroupRole::Moderator, GroupRole::Member]),
        describe: of(&[GroupRole::Admin, GroupRole::Member]),
        history: GroupHistory::Nothing,
        ..GroupPolicy::default()
    }
}

pub(super) fn shuffle<T>(rng: &mut Rng, items: &mut [T]) {
    for n in (1..items.len()).rev() {
        items.swap(n, rng.below(n + 1));
    }
}
