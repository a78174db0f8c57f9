//! temp
use crate::collections::{OrderedMap, OrderedSet};
use crate::group::op::{Action, Field, GroupRole, Operation};
use crate::group::state::{Member, State};
use crate::id::{GroupId, NodeId, OpId};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub stint: OpId,
    pub role: GroupRole,
    pub may_post: bool,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Known,
    Missing(Vec<OpId>),
    Bad,
    Fits,
}
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clock(pub Vec<(NodeId, u64)>);
pub(crate) struct OpLog {
    group: GroupId,
    ops: OrderedMap<OpId, Operation>,
    order: OrderedSet<(u64, OpId)>,
    state: State,
}
impl OpLog {
    pub(crate) fn new(op: Operation) -> Option<Self> {
        if !matches!(op.action, Action::Create { .. }) {
            return None;
        }
        let mut s = Self { group: op.group, ops: OrderedMap::new(), order: OrderedSet::new(), state: State::default() };
        s.insert(op);
        Some(s)
    }
    pub(crate) fn collect(group: GroupId, ops: Vec<Operation>) -> Option<Self> {
        let mut ops = ops;
        ops.sort_by_key(|o| (o.lamport, o.id));
        let mut it = ops.into_iter();
        let first = it.next().filter(|o| o.id.0 == group.0)?;
        let mut s = Self::new(first)?;
        for op in it {
            if s.judge(&op) == Verdict::Fits {
                s.insert(op);
            }
        }
        Some(s)
    }
    pub(crate) fn group(&self) -> GroupId {
        self.group
    }
    pub(crate) fn judge(&self, op: &Operation) -> Verdict {
        if self.ops.contains_key(&op.id) {
            return Verdict::Known;
        }
        let m: Vec<OpId> = op.parents.iter().filter(|p| !self.ops.contains_key(*p)).copied().collect();
        if !m.is_empty() {
            return Verdict::Missing(m);
        }
        if op.group != self.group {
            return Verdict::Bad;
        }
        let past = self.past(&op.parents);
        let st = self.run(&past);
        let rank = st.members.get(&op.author).map(|m| m.role);
        let ok = match &op.action {
            Action::Remove { members, .. } => {
                members.iter().all(|m| st.members.get(m).map(|m| Some(m.role) < rank).unwrap_or(false))
            }
            Action::Leave => rank.is_some() && rank != Some(GroupRole::Owner),
            Action::SetRole { member, role } => {
                st.members.get(member).is_some_and(|m| Some(m.role) < rank) && Some(*role) < rank
            }
            Action::Add { acceptance, .. } => !st.members.contains_key(&crate::identity::node_id(&acceptance.key)),
            _ => true,
        };
        if ok && (rank.is_some() || op.added() == Some(op.author)) { Verdict::Fits } else { Verdict::Bad }
    }
    pub(crate) fn insert(&mut self, op: Operation) -> bool {
        self.order.insert((op.lamport, op.id));
        self.ops.insert(op.id, op);
        let all: OrderedSet<OpId> = self.ops.keys().copied().collect();
        self.state = self.run(&all);
        true
    }
    fn past(&self, heads: &[OpId]) -> OrderedSet<OpId> {
        let mut seen = OrderedSet::new();
        let mut todo = heads.to_vec();
        while let Some(x) = todo.pop() {
            if seen.insert(x) {
                if let Some(op) = self.ops.get(&x) {
                    todo.extend(op.parents.iter().copied());
                }
            }
        }
        seen
    }
    fn run(&self, set: &OrderedSet<OpId>) -> State {
        let mut s = State::default();
        for (_, id) in self.order.iter() {
            if !set.contains(id) {
                continue;
            }
            let Some(op) = self.ops.get(id) else { continue };
            match &op.action {
                Action::Create { kind, name, policy, expires, .. } => {
                    s.kind = *kind;
                    s.name = name.clone();
                    s.policy = *policy;
                    s.expires = *expires;
                    s.members.insert(op.author, Member { role: GroupRole::Owner, stint: op.id, key: op.key, from: 0 });
                }
                Action::Add { acceptance, role, from, .. } => {
                    s.members.insert(
                        crate::identity::node_id(&acceptance.key),
                        Member { role: *role, stint: op.id, key: acceptance.key, from: *from },
                    );
                }
                Action::SetRole { member, role } => {
                    if let Some(m) = s.members.get_mut(member) {
                        m.role = *role;
                    }
                }
                Action::Remove { members, ban, .. } => {
                    for m in members {
                        s.members.remove(m);
                        s.removed.insert(*m, op.id);
                        if *ban {
                            s.banned.insert(*m);
                        }
                    }
                }
                Action::Unban { member } => {
                    s.banned.remove(member);
                }
                Action::Leave => {
                    s.members.remove(&op.author);
                    s.removed.insert(op.author, op.id);
                }
                Action::Transfer { to } => {
                    if let Some(m) = s.members.get_mut(&op.author) {
                        m.role = GroupRole::Admin;
                    }
                    if let Some(m) = s.members.get_mut(to) {
                        m.role = GroupRole::Owner;
                    }
                }
                Action::Describe { field: Field::Name, value } => s.name = value.clone(),
                Action::Describe { field: Field::Description, value } => s.description = value.clone(),
                Action::SetPolicy { policy } => s.policy = *policy,
                Action::Epoch(_) | Action::ForkProof { .. } => {}
            }
        }
        s
    }
    pub(crate) fn get(&self, id: &OpId) -> Option<&Operation> {
        self.ops.get(id)
    }
    pub(crate) fn heads(&self) -> Vec<OpId> {
        let mut named = OrderedSet::new();
        for op in self.ops.values() {
            named.extend(op.parents.iter().copied());
        }
        self.ops.keys().copied().filter(|k| !named.contains(k)).collect()
    }
    pub(crate) fn next_seq(&self, a: NodeId) -> u64 {
        self.ops.values().filter(|o| o.author == a).count() as u64 + 1
    }
    pub(crate) fn clock(&self) -> Clock {
        let mut m = OrderedMap::new();
        for o in self.ops.values() {
            let e: &mut u64 = m.entry(o.author).or_insert(0);
            *e = (*e).max(o.seq);
        }
        Clock(m.into_iter().collect())
    }
    pub(crate) fn beyond(&self, c: &Clock) -> Vec<&Operation> {
        self.iter().filter(|o| !c.0.iter().any(|(a, n)| *a == o.author && *n >= o.seq)).collect()
    }
    pub(crate) fn lacks(&self, c: &Clock) -> bool {
        let own = self.clock();
        c.0.iter().any(|(a, n)| !own.0.iter().any(|(b, m)| a == b && m >= n))
    }
    pub(crate) fn state_hash(&self) -> [u8; 32] {
        let mut h = blake3::Hasher::new();
        for k in self.ops.keys() {
            h.update(&k.0);
        }
        *h.finalize().as_bytes()
    }
    pub(crate) fn is_in_past(&self, a: OpId, b: OpId) -> bool {
        self.past(&[b]).contains(&a)
    }
    pub(crate) fn standing_at(&self, heads: &[OpId], a: NodeId) -> Option<Standing> {
        if !heads.iter().all(|h| self.ops.contains_key(h)) {
            return None;
        }
        let s = self.run(&self.past(heads));
        let m = s.members.get(&a)?;
        Some(Standing { stint: m.stint, role: m.role, may_post: m.role >= s.policy.post })
    }
    pub(crate) fn members_at(&self, op: OpId) -> Vec<NodeId> {
        self.run(&self.past(&[op])).members.keys().copied().collect()
    }
    pub(crate) fn state(&self) -> &State {
        &self.state
    }
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.order.iter().filter_map(|(_, id)| self.ops.get(id))
    }
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Operation> {
        self.order.iter().rev().filter_map(|(_, id)| self.ops.get(id))
    }
    pub(crate) fn is_void(&self, _: OpId) -> bool {
        false
    }
    pub(crate) fn uses(&self, nonce: &[u8; 16]) -> u32 {
        self.ops
            .values()
            .filter(|o| matches!(&o.action, Action::Add { invitation: Some(i), .. } if i.nonce == *nonce))
            .count() as u32
    }
}
