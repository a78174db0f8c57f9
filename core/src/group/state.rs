//! What a group is after some of its operations (docs/design/groups.md §3): plain data.

use alloc::string::String;
use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::group::op::{Acceptance, Action, Field, GroupKind, GroupPolicy, GroupRole, Operation};
use crate::id::{AccountId, MessageId, NodeId, OpId};
use crate::identity::node_id;
use crate::shared::Arc;
use crate::time::WallTime;
use crate::wire::devices::Chain;

/// Pinned messages that are shown: 64, the last ones. Those before come to light again when others are let go.
pub(crate) const MAX_PINS: usize = 64;

/// A member of a group: a person, named by the node that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) role: GroupRole,
    /// The operation that made it a member: the creation or an [`Action::Add`].
    pub(crate) stint: OpId,
    /// The public key of the node that was added.
    pub(crate) key: [u8; 32],
    /// The account with which it came: its devices are those of a list of this account.
    pub(crate) account: AccountId,
    /// The depth of messages from which on it may read.
    pub(crate) from: u64,
}

impl Member {
    /// The creator, by the first operation.
    pub(crate) fn creator(create: &Operation) -> Self {
        let stated = if let Action::Create { account, .. } = &create.action { Some(*account) } else { None };
        let account = stated.unwrap_or(AccountId([0; 32]));
        Self { role: GroupRole::Owner, stint: create.id, key: create.key, account, from: 0 }
    }

    pub(crate) fn added(stint: OpId, acceptance: &Acceptance, role: GroupRole, from: u64) -> Self {
        Self { role, stint, key: acceptance.key, account: acceptance.account, from }
    }
}

/// A device that acts as a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) member: NodeId,
    /// Its public key.
    pub(crate) key: [u8; 32],
}

/// The list of a member's devices that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) member: NodeId,
    /// The operation that carries it.
    pub(crate) op: OpId,
    pub(crate) chain: Arc<Chain>,
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
    /// By stint, also of former members. A member without one has the device that was added.
    pub(crate) lists: OrderedMap<OpId, List>,
    /// INVARIANT: those of all members, each once.
    pub(crate) devices: OrderedMap<NodeId, Device>,
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
        let mut state = Self {
            kind: *kind,
            name: name.clone(),
            description: String::new(),
            policy: *policy,
            owner: create.author,
            members: [(create.author, Member::creator(create))].into_iter().collect(),
            lists: OrderedMap::new(),
            devices: OrderedMap::new(),
            banned: OrderedSet::new(),
            expires: *expires,
            removed: OrderedMap::new(),
            pins: Vec::new(),
        };
        state.seat_devices();
        Some(state)
    }

    /// The member whose device this is.
    pub(crate) fn member_of(&self, device: NodeId) -> Option<NodeId> {
        self.devices.get(&device).map(|device| device.member)
    }

    /// The rank that a device has: its member's.
    pub(crate) fn role(&self, device: NodeId) -> Option<GroupRole> {
        self.members.get(&self.member_of(device)?).map(|member| member.role)
    }

    /// The devices of a member, in order.
    pub(crate) fn devices_of(&self, member: NodeId) -> impl Iterator<Item = NodeId> {
        self.devices.iter().filter(move |(_, device)| device.member == member).map(|(node, _)| *node)
    }

    /// Whether a node may not be added: it is banned, or a device of a member that is.
    pub(crate) fn is_banned(&self, node: NodeId) -> bool {
        let is_listed = |list: &List| self.banned.contains(&list.member) && list.chain.has(node);
        self.banned.contains(&node) || self.lists.values().any(is_listed)
    }

    /// The operation by which a former member, or a former device of a member, is none any more.
    pub(crate) fn gone(&self, node: NodeId) -> Option<OpId> {
        let of = |list: &List| match self.removed.get(&list.member) {
            Some(op) if list.chain.has(node) => Some(*op),
            Some(_) | None => list.chain.took_out(node).then_some(list.op),
        };
        self.removed.get(&node).copied().or_else(|| self.lists.values().find_map(of))
    }

    /// The same with this list of a member.
    pub(crate) fn listed(mut self, list: List) -> Self {
        if let Some(member) = self.members.get(&list.member) {
            self.lists.insert(member.stint, list);
            self.seat_devices();
        }
        self
    }

    /// Finds out which devices there are, after members or lists changed. A node that is a member itself is no device of
    /// another member.
    pub(crate) fn seat_devices(&mut self) {
        let mut devices = OrderedMap::new();
        for (id, member) in &self.members {
            if self.lists.get(&member.stint).is_none_or(|list| list.chain.has(*id)) {
                devices.insert(*id, Device { member: *id, key: member.key });
            }
        }
        for (id, member) in &self.members {
            let list = self.lists.get(&member.stint);
            for entry in list.iter().flat_map(|list| &list.chain.head().entries) {
                devices.entry(node_id(&entry.device)).or_insert(Device { member: *id, key: entry.device });
            }
        }
        self.devices = devices;
    }

    /// Whether `node` is a device of a member that may post.
    pub(crate) fn may_post(&self, node: NodeId) -> bool {
        self.role(node).is_some_and(|role| role >= self.policy.post.max(GroupRole::Member))
    }

    /// The state after `op`, of which this is the state of its past. None for a proof of a fork: what that voids is
    /// elsewhere in the past.
    ///
    /// Nothing is concurrent with an operation in its own past, so it stands, and nothing before it falls.
    pub(crate) fn with(&self, op: &Operation, list: Option<&Arc<Chain>>) -> Option<Self> {
        let mut next = self.clone();
        let author = self.member_of(op.author).unwrap_or(op.author);
        match &op.action {
            Action::Create { .. } | Action::ForkProof { .. } => return None,
            Action::Epoch(_) => {}
            Action::Add { acceptance, role, from, .. } => {
                let node = node_id(&acceptance.key);
                next.members.insert(node, Member::added(op.id, acceptance, *role, *from));
                next.removed.remove(&node);
                next.seat_devices();
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
                next.seat_devices();
            }
            Action::Unban { member } => {
                next.banned.remove(member);
            }
            Action::Leave => {
                next.members.remove(&author);
                next.removed.insert(author, op.id);
                next.seat_devices();
            }
            Action::Transfer { to } => {
                next.rank(author, GroupRole::Admin);
                next.rank(*to, GroupRole::Owner);
                next.owner = *to;
            }
            Action::Describe { field: Field::Name, value } => next.name.clone_from(value),
            Action::Describe { field: Field::Description, value } => next.description.clone_from(value),
            Action::SetPolicy { policy } => next.policy = *policy,
            Action::Pin { message, pinned } => next.pin(*message, *pinned),
            Action::Devices { .. } => {
                next = next.listed(List { member: author, op: op.id, chain: Arc::clone(list?) });
            }
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
        let is_seated = self.devices.values().all(|device| self.members.contains_key(&device.member));
        match (each.len() == self.pins.len(), is_seated) {
            (true, true) => Ok(()),
            (false, _) => Err("a message is pinned twice"),
            (_, false) => Err("a device is of no member"),
        }
    }

    fn rank(&mut self, node: NodeId, role: GroupRole) {
        if let Some(member) = self.members.get_mut(&node) {
            member.role = role;
        }
    }

    /// The devices of all members, in order.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.devices.keys().copied().collect()
    }
}
