//! What a group is after some of its operations (docs/design/groups.md §3): plain data.

use alloc::string::String;
use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::group::op::{Acceptance, Action, Field, GroupKind, GroupPolicy, GroupRole, Operation};
use crate::id::{MessageId, NodeId, OpId};
use crate::time::WallTime;

/// Pinned messages that are shown: 64, the last ones. Those before come to light again when others are let go.
pub(crate) const MAX_PINS: usize = 64;

/// A member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) role: GroupRole,
    /// The operation that made it a member: the creation or an [`Action::Add`].
    pub(crate) stint: OpId,
    /// Its public key.
    pub(crate) key: [u8; 32],
    /// The depth of messages from which on it may read.
    pub(crate) from: u64,
}

impl Member {
    /// The creator, by the first operation.
    pub(crate) fn creator(create: &Operation) -> Self {
        Self { role: GroupRole::Owner, stint: create.id, key: create.key, from: 0 }
    }

    pub(crate) fn added(stint: OpId, acceptance: &Acceptance, role: GroupRole, from: u64) -> Self {
        Self { role, stint, key: acceptance.key, from }
    }
}

/// What a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) kind: GroupKind,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) policy: GroupPolicy,
    /// The only member with [`GroupRole::Owner`]; in a group without members, the last one.
    pub(crate) owner: NodeId,
    pub(crate) members: OrderedMap<NodeId, Member>,
    /// Nodes that may not be added. No member is among them.
    pub(crate) banned: OrderedSet<NodeId>,
    /// When a TEMPORARY group ends.
    pub(crate) expires: Option<WallTime>,
    /// Former members, each with the removal, ban or leaving that ended its membership.
    pub(crate) removed: OrderedMap<NodeId, OpId>,
    /// Pinned messages, the one that was pinned last at the end. INVARIANT: each once.
    pub(crate) pins: Vec<MessageId>,
}

impl State {
    /// The state after the first operation; none if it is another one.
    pub(crate) fn created(create: &Operation) -> Option<Self> {
        let Action::Create { kind, name, policy, expires, .. } = &create.action else { return None };
        Some(Self {
            kind: *kind,
            name: name.clone(),
            description: String::new(),
            policy: *policy,
            owner: create.author,
            members: [(create.author, Member::creator(create))].into_iter().collect(),
            banned: OrderedSet::new(),
            expires: *expires,
            removed: OrderedMap::new(),
            pins: Vec::new(),
        })
    }

    pub(crate) fn role(&self, node: NodeId) -> Option<GroupRole> {
        self.members.get(&node).map(|member| member.role)
    }

    /// Whether `node` is a member that may post.
    pub(crate) fn may_post(&self, node: NodeId) -> bool {
        self.role(node).is_some_and(|role| role >= self.policy.post.max(GroupRole::Member))
    }

    /// The state after `op`, of which this is the state of its past. None for a proof of a fork: what that voids is
    /// elsewhere in the past.
    ///
    /// Nothing is concurrent with an operation in its own past, so it stands, and nothing before it falls.
    pub(crate) fn with(&self, op: &Operation) -> Option<Self> {
        let mut next = self.clone();
        match &op.action {
            Action::Create { .. } | Action::ForkProof { .. } => return None,
            Action::Epoch(_) => {}
            Action::Add { acceptance, role, from, .. } => {
                let node = crate::identity::node_id(&acceptance.key);
                next.members.insert(node, Member::added(op.id, acceptance, *role, *from));
                next.removed.remove(&node);
            }
            Action::SetRole { member, role } => next.rank(*member, *role),
            Action::Remove { members, ban, .. } => {
                for member in members {
                    next.members.remove(member);
                    next.removed.insert(*member, op.id);
                    if *ban {
                        next.banned.insert(*member);
                    }
                }
            }
            Action::Unban { member } => {
                next.banned.remove(member);
            }
            Action::Leave => {
                next.members.remove(&op.author);
                next.removed.insert(op.author, op.id);
            }
            Action::Transfer { to } => {
                next.rank(op.author, GroupRole::Admin);
                next.rank(*to, GroupRole::Owner);
                next.owner = *to;
            }
            Action::Describe { field: Field::Name, value } => next.name.clone_from(value),
            Action::Describe { field: Field::Description, value } => next.description.clone_from(value),
            Action::SetPolicy { policy } => next.policy = *policy,
            Action::Pin { message, pinned } => next.pin(*message, *pinned),
        }
        Some(next)
    }

    /// The pinned messages that are shown, the one that was pinned last at the end.
    pub(crate) fn shown_pins(&self) -> &[MessageId] {
        self.pins.get(self.pins.len().saturating_sub(MAX_PINS)..).unwrap_or_default()
    }

    /// A message is pinned, or not any more: operations that stand, in their order.
    pub(crate) fn pin(&mut self, message: MessageId, pinned: bool) {
        self.pins.retain(|known| *known != message);
        if pinned {
            self.pins.push(message);
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let each: OrderedSet<&MessageId> = self.pins.iter().collect();
        match each.len() == self.pins.len() {
            true => Ok(()),
            false => Err("a message is pinned twice"),
        }
    }

    fn rank(&mut self, node: NodeId, role: GroupRole) {
        if let Some(member) = self.members.get_mut(&node) {
            member.role = role;
        }
    }

    /// The members in order.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }
}
