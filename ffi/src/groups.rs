//! `GroupManagementProtocol` of the DONP document: groups, their members and what is said in them.

use std::time::Duration;

use donp_core as core;
use donp_core::{GroupTicket, Instant, WallTime};
use donp_runtime::api;

use crate::{Content, DonpError, Engine, GroupId, MessageId, Node, NodeId};

/// Which nodes can join a group, and which can know of it: the `GroupType` of the DONP document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum GroupKind {
    /// Everybody who has its id may join, so nothing in it is secret.
    Public,
    /// By invitation.
    Private,
    /// By invitation, and no trace of it outside its members.
    Secret,
    /// By invitation, until a moment that its creation names.
    Temporary,
    /// A kind of a newer version.
    Other,
}

impl From<core::GroupKind> for GroupKind {
    fn from(kind: core::GroupKind) -> Self {
        match kind {
            core::GroupKind::Public => Self::Public,
            core::GroupKind::Private => Self::Private,
            core::GroupKind::Secret => Self::Secret,
            core::GroupKind::Temporary => Self::Temporary,
            _ => Self::Other,
        }
    }
}

impl TryFrom<GroupKind> for core::GroupKind {
    type Error = DonpError;

    fn try_from(kind: GroupKind) -> Result<Self, DonpError> {
        Ok(match kind {
            GroupKind::Public => Self::Public,
            GroupKind::Private => Self::Private,
            GroupKind::Secret => Self::Secret,
            GroupKind::Temporary => Self::Temporary,
            GroupKind::Other => return Err(unknown("kind of group")),
        })
    }
}

/// The rank of a member. No member acts on an equal or a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum GroupRole {
    /// Reads.
    Guest,
    /// Reads and posts.
    Member,
    /// Removes members and guests.
    Moderator,
    /// Invites, removes and ranks all below.
    Admin,
    /// One node, whose operations no member undoes.
    Owner,
    /// A rank of a newer version.
    Other,
}

impl From<core::GroupRole> for GroupRole {
    fn from(role: core::GroupRole) -> Self {
        match role {
            core::GroupRole::Guest => Self::Guest,
            core::GroupRole::Member => Self::Member,
            core::GroupRole::Moderator => Self::Moderator,
            core::GroupRole::Admin => Self::Admin,
            core::GroupRole::Owner => Self::Owner,
            _ => Self::Other,
        }
    }
}

impl TryFrom<GroupRole> for core::GroupRole {
    type Error = DonpError;

    fn try_from(role: GroupRole) -> Result<Self, DonpError> {
        Ok(match role {
            GroupRole::Guest => Self::Guest,
            GroupRole::Member => Self::Member,
            GroupRole::Moderator => Self::Moderator,
            GroupRole::Admin => Self::Admin,
            GroupRole::Owner => Self::Owner,
            GroupRole::Other => return Err(unknown("role")),
        })
    }
}

/// How much of what was said before a newcomer may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum GroupHistory {
    /// Nothing.
    Nothing,
    /// The newest messages.
    Newest {
        /// So many of them.
        count: u32,
    },
    /// The messages of the last days.
    Days {
        /// So many days.
        days: u32,
    },
    /// All of it.
    Everything,
    /// Something of a newer version.
    Other,
}

impl From<core::GroupHistory> for GroupHistory {
    fn from(history: core::GroupHistory) -> Self {
        match history {
            core::GroupHistory::Nothing => Self::Nothing,
            core::GroupHistory::Newest(count) => Self::Newest { count },
            core::GroupHistory::Days(days) => Self::Days { days },
            core::GroupHistory::Everything => Self::Everything,
            _ => Self::Other,
        }
    }
}

impl TryFrom<GroupHistory> for core::GroupHistory {
    type Error = DonpError;

    fn try_from(history: GroupHistory) -> Result<Self, DonpError> {
        Ok(match history {
            GroupHistory::Nothing => Self::Nothing,
            GroupHistory::Newest { count } => Self::Newest(count),
            GroupHistory::Days { days } => Self::Days(days),
            GroupHistory::Everything => Self::Everything,
            GroupHistory::Other => return Err(unknown("history")),
        })
    }
}

/// The least rank for each action in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct GroupPolicy {
    /// Signs invitations.
    pub invite: GroupRole,
    /// Posts.
    pub post: GroupRole,
    /// Changes name and description.
    pub describe: GroupRole,
    /// Pins messages.
    pub pin: GroupRole,
    /// Whether a node with an invitation to the bearer waits for the approval of a member that may invite.
    pub approve: bool,
    /// What newcomers may read.
    pub history: GroupHistory,
}

impl From<core::GroupPolicy> for GroupPolicy {
    fn from(p: core::GroupPolicy) -> Self {
        Self {
            invite: p.invite.into(),
            post: p.post.into(),
            describe: p.describe.into(),
            pin: p.pin.into(),
            approve: p.approve,
            history: p.history.into(),
        }
    }
}

impl TryFrom<GroupPolicy> for core::GroupPolicy {
    type Error = DonpError;

    fn try_from(p: GroupPolicy) -> Result<Self, DonpError> {
        Ok(Self {
            invite: p.invite.try_into()?,
            post: p.post.try_into()?,
            describe: p.describe.try_into()?,
            pin: p.pin.try_into()?,
            approve: p.approve,
            history: p.history.try_into()?,
        })
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct GroupInfo {
    /// Which.
    pub id: GroupId,
    /// Which nodes can join it.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
    /// Its description, empty if there is none.
    pub description: String,
    /// Which role may do what.
    pub policy: GroupPolicy,
    /// A temporary group ends then, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// This node's rank; none if it is no member any more.
    pub role: Option<GroupRole>,
    /// The members, by id.
    pub members: Vec<GroupMember>,
    /// Pinned messages, the one that was pinned last at the end: the last 64. One may not be here, or not readable.
    pub pinned: Vec<MessageId>,
    /// Nodes that wait for the word of a member who may invite.
    pub requests: Vec<NodeId>,
    /// Whether this node holds the key of the present members.
    pub holds_key: bool,
    /// How many members hold it, this node included, as far as is known here; 0 in a PUBLIC group, which has none.
    pub key_holders: u32,
    /// Keys of which one opens what was said between two changes of the members: a thief of this device could read so
    /// far.
    pub epochs: u32,
    /// Equal at two members exactly if both know of the same changes, in hexadecimal.
    pub state: String,
}

impl From<core::GroupInfo> for GroupInfo {
    fn from(group: core::GroupInfo) -> Self {
        let g = api::GroupInfo::from(group);
        Self {
            id: g.id,
            kind: g.kind.into(),
            name: g.name,
            description: g.description,
            policy: core::GroupPolicy::from(g.policy).into(),
            expires_ms: g.expires_ms,
            role: g.role.map(Into::into),
            members: g.members.into_iter().map(Into::into).collect(),
            pinned: g.pinned,
            requests: g.requests,
            holds_key: g.holds_key,
            key_holders: g.key_holders,
            epochs: g.epochs,
            state: g.state,
        }
    }
}

/// A member of a group: a person with up to eight devices.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct GroupMember {
    /// The node that was added: it names the member, also when the device is gone.
    pub id: NodeId,
    /// Its rank, which each of its devices has.
    pub role: GroupRole,
    /// Its devices, by id.
    pub devices: Vec<NodeId>,
}

impl From<api::GroupMember> for GroupMember {
    fn from(m: api::GroupMember) -> Self {
        Self { id: m.id, role: m.role.into(), devices: m.devices }
    }
}

/// A group that this node asked to join and is no member of yet.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct JoiningGroup {
    /// Which.
    pub id: GroupId,
    /// Its name in the ticket; a claim.
    pub name: String,
}

impl From<(GroupId, String)> for JoiningGroup {
    fn from((id, name): (GroupId, String)) -> Self {
        Self { id, name }
    }
}

/// What changed in a group; the other fields of the event say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum GroupChange {
    /// This node is a member now.
    Joined,
    /// This node is no member any more: it left, or was removed.
    Ended,
    /// This node was not added; `reason` says why.
    Refused,
    /// `node`, which claims to be called `name`, would like to join and waits for a member that may invite.
    Asked,
    /// `node` is a member now, as `role`.
    Added,
    /// `node` is no member any more: it left, or was removed.
    Removed,
    /// The rank of `node` is `role` now.
    Ranked,
    /// The name is `text` now.
    Renamed,
    /// The description is `text` now.
    Described,
    /// The policy is another.
    PolicyChanged,
    /// `message` is pinned now.
    Pinned,
    /// `message` is not pinned any more.
    Unpinned,
    /// A change of a newer version.
    Other,
}

impl From<api::GroupChange> for GroupChange {
    fn from(change: api::GroupChange) -> Self {
        match change {
            api::GroupChange::Joined => Self::Joined,
            api::GroupChange::Ended => Self::Ended,
            api::GroupChange::Refused => Self::Refused,
            api::GroupChange::Asked => Self::Asked,
            api::GroupChange::Added => Self::Added,
            api::GroupChange::Removed => Self::Removed,
            api::GroupChange::Ranked => Self::Ranked,
            api::GroupChange::Renamed => Self::Renamed,
            api::GroupChange::Described => Self::Described,
            api::GroupChange::PolicyChanged => Self::PolicyChanged,
            api::GroupChange::Pinned => Self::Pinned,
            api::GroupChange::Unpinned => Self::Unpinned,
            api::GroupChange::Other => Self::Other,
        }
    }
}

/// Why a node is not added to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Refusal {
    /// The invitation is used up, expired, for another node, or its signer may not invite.
    Invitation,
    /// The node is banned from the group.
    Banned,
    /// The asked node is not a member, or may not add members.
    Asked,
    /// A member that may invite declined.
    Declined,
    /// A reason of a newer version.
    Other,
}

impl From<core::Refusal> for Refusal {
    fn from(reason: core::Refusal) -> Self {
        match reason {
            core::Refusal::Invitation => Self::Invitation,
            core::Refusal::Banned => Self::Banned,
            core::Refusal::Asked => Self::Asked,
            core::Refusal::Declined => Self::Declined,
            _ => Self::Other,
        }
    }
}

fn unknown(what: &str) -> DonpError {
    DonpError::invalid(format!("this {what} is of a newer version"), "use one that this version knows")
}

fn group_ticket(text: &str) -> Result<GroupTicket, DonpError> {
    text.parse().map_err(|e: core::ParseTicketError| {
        DonpError::invalid(format!("not an invitation to a group: {e}"), "copy it whole, as it was printed")
    })
}

#[uniffi::export]
impl Node {
    /// Makes a group of which this node is the owner (`createGroup`). A temporary group ends `expires_in` seconds from
    /// now; others have no end.
    #[uniffi::method(default(expires_in = None))]
    pub fn create_group(
        &self,
        kind: GroupKind,
        name: &str,
        policy: GroupPolicy,
        expires_in: Option<u64>,
    ) -> Result<GroupId, DonpError> {
        let (kind, policy) = (kind.try_into()?, policy.try_into()?);
        self.run(|n| n.create_group(kind, name, policy, expires_in.map(Duration::from_secs)))
    }

    /// An invitation to a group (`inviteToGroup`), good for `uses` newcomers and `expires_in` seconds: for one node, or
    /// for its bearer. This node adds the nodes that use it, so it must be online then.
    #[uniffi::method(default(node = None))]
    pub fn invite_to_group(
        &self,
        group: GroupId,
        role: GroupRole,
        uses: u32,
        expires_in: u64,
        node: Option<NodeId>,
    ) -> Result<String, DonpError> {
        let role = role.try_into()?;
        self.run(|n| Ok(n.invite_to_group(group, role, uses, Duration::from_secs(expires_in), node)?.to_string()))
    }

    /// Asks to be a member of the group that an invitation names (`joinGroup`), now and then until it is answered, also
    /// after a restart. The event `GroupChanged` says what became of it.
    pub fn join_group(&self, invitation: &str) -> Result<(), DonpError> {
        let ticket = group_ticket(invitation)?;
        self.run(|n| n.join_group(&ticket))
    }

    /// Leaves a group, or cancels a request to join (`leaveGroup`). What was said while this node was a member stays.
    pub fn leave_group(&self, group: GroupId) -> Result<(), DonpError> {
        self.run(|n| n.leave_group(group))
    }

    /// Removes a member of lower rank, for good with `ban` (`removeMember`). It reads nothing that is said from then on.
    #[uniffi::method(default(ban = false))]
    pub fn remove_member(&self, group: GroupId, node: NodeId, ban: bool) -> Result<(), DonpError> {
        self.run(|n| n.remove_member(group, node, ban))
    }

    /// Ends a ban: the node may be invited again.
    pub fn unban_member(&self, group: GroupId, node: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.unban_member(group, node))
    }

    /// Gives a member of lower rank another rank, below this node's (`setMemberRole`).
    pub fn set_member_role(&self, group: GroupId, node: NodeId, role: GroupRole) -> Result<(), DonpError> {
        let role = role.try_into()?;
        self.run(|n| n.set_member_role(group, node, role))
    }

    /// Makes another member the owner (`transferOwnership`); this node is an admin from then on.
    pub fn transfer_group(&self, group: GroupId, node: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.transfer_group(group, node))
    }

    /// Gives a group another name (`updateGroup`).
    pub fn rename_group(&self, group: GroupId, name: &str) -> Result<(), DonpError> {
        self.run(|n| n.rename_group(group, name))
    }

    /// Gives a group another description.
    pub fn describe_group(&self, group: GroupId, description: &str) -> Result<(), DonpError> {
        self.run(|n| n.describe_group(group, description))
    }

    /// Shows a message of a group above the others: with the role that the policy's `pin` names. The last 64 are shown.
    /// Denied otherwise, and where it is pinned already.
    pub fn pin_message(&self, group: GroupId, message: MessageId) -> Result<(), DonpError> {
        self.run(|n| n.pin_message(group, message))
    }

    /// Ends `pin_message`. Denied where it is not pinned.
    pub fn unpin_message(&self, group: GroupId, message: MessageId) -> Result<(), DonpError> {
        self.run(|n| n.unpin_message(group, message))
    }

    /// Gives a group another policy: for its owner.
    pub fn set_group_policy(&self, group: GroupId, policy: GroupPolicy) -> Result<(), DonpError> {
        let policy = policy.try_into()?;
        self.run(|n| n.set_group_policy(group, policy))
    }

    /// Adds a node that asked to join, or says no.
    pub fn answer_join(&self, group: GroupId, node: NodeId, approve: bool) -> Result<(), DonpError> {
        self.run(|n| n.answer_join(group, node, approve))
    }

    /// Says something to the members of a group (`sendGroupMessage`). Absent members catch up later, from any other.
    pub fn send_to_group(&self, group: GroupId, content: Content) -> Result<MessageId, DonpError> {
        let content = content.try_into()?;
        self.run(|n| n.send_to_group(group, content))
    }

    /// The groups that this node is or was a member of (`listGroups`).
    pub fn groups(&self) -> Result<Vec<GroupInfo>, DonpError> {
        self.run(|n| Ok(n.groups()?.into_iter().map(Into::into).collect()))
    }

    /// One of them, with its members (`getGroup`, `getMembers`); none if this node is and was in no such group.
    pub fn group(&self, group: GroupId) -> Result<Option<GroupInfo>, DonpError> {
        self.run(|n| Ok(n.group(group)?.map(Into::into)))
    }

    /// Groups that this node asked to join and is no member of yet.
    pub fn joining_groups(&self) -> Result<Vec<JoiningGroup>, DonpError> {
        self.run(|n| Ok(n.joining_groups()?.into_iter().map(Into::into).collect()))
    }
}

#[uniffi::export]
impl Engine {
    /// As `Node.create_group`; a temporary group ends at `expires_ms`, in milliseconds since 1970.
    #[uniffi::method(default(expires_ms = None))]
    pub fn create_group(
        &self,
        now_us: u64,
        kind: GroupKind,
        name: String,
        policy: GroupPolicy,
        expires_ms: Option<u64>,
    ) -> Result<GroupId, DonpError> {
        let (kind, policy) = (kind.try_into()?, policy.try_into()?);
        let (now, expires) = (Instant::from_micros(now_us), expires_ms.map(WallTime));
        self.run(|inner| Ok(inner.engine.create_group(now, kind, name, policy, expires)?))
    }

    /// As `Node.invite_to_group`; the invitation is good until `expires_ms`, in milliseconds since 1970.
    #[uniffi::method(default(node = None))]
    pub fn invite_to_group(
        &self,
        now_us: u64,
        group: GroupId,
        role: GroupRole,
        uses: u32,
        expires_ms: u64,
        node: Option<NodeId>,
    ) -> Result<String, DonpError> {
        let (now, role) = (Instant::from_micros(now_us), role.try_into()?);
        self.run(|inner| {
            let expires = WallTime(expires_ms);
            Ok(inner.engine.invite_to_group(now, group, role, uses, expires, node)?.to_string())
        })
    }

    /// As `Node.join_group`.
    pub fn join_group(&self, now_us: u64, invitation: &str) -> Result<(), DonpError> {
        let ticket = group_ticket(invitation)?;
        self.run(|inner| Ok(inner.engine.join_group(Instant::from_micros(now_us), &ticket)?))
    }

    /// As `Node.leave_group`.
    pub fn leave_group(&self, now_us: u64, group: GroupId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.leave_group(Instant::from_micros(now_us), group)?))
    }

    /// As `Node.remove_member`.
    #[uniffi::method(default(ban = false))]
    pub fn remove_member(&self, now_us: u64, group: GroupId, node: NodeId, ban: bool) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.remove_member(Instant::from_micros(now_us), group, node, ban)?))
    }

    /// As `Node.unban_member`.
    pub fn unban_member(&self, now_us: u64, group: GroupId, node: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.unban_member(Instant::from_micros(now_us), group, node)?))
    }

    /// As `Node.set_member_role`.
    pub fn set_member_role(&self, now_us: u64, group: GroupId, node: NodeId, role: GroupRole) -> Result<(), DonpError> {
        let role = role.try_into()?;
        self.run(|inner| Ok(inner.engine.set_member_role(Instant::from_micros(now_us), group, node, role)?))
    }

    /// As `Node.transfer_group`.
    pub fn transfer_group(&self, now_us: u64, group: GroupId, node: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.transfer_group(Instant::from_micros(now_us), group, node)?))
    }

    /// As `Node.rename_group`.
    pub fn rename_group(&self, now_us: u64, group: GroupId, name: String) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.rename_group(Instant::from_micros(now_us), group, name)?))
    }

    /// As `Node.describe_group`.
    pub fn describe_group(&self, now_us: u64, group: GroupId, description: String) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.describe_group(Instant::from_micros(now_us), group, description)?))
    }

    /// As `Node.pin_message`.
    pub fn pin_message(&self, now_us: u64, group: GroupId, message: MessageId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.pin_message(Instant::from_micros(now_us), group, message)?))
    }

    /// As `Node.unpin_message`.
    pub fn unpin_message(&self, now_us: u64, group: GroupId, message: MessageId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.unpin_message(Instant::from_micros(now_us), group, message)?))
    }

    /// As `Node.set_group_policy`.
    pub fn set_group_policy(&self, now_us: u64, group: GroupId, policy: GroupPolicy) -> Result<(), DonpError> {
        let policy = policy.try_into()?;
        self.run(|inner| Ok(inner.engine.set_group_policy(Instant::from_micros(now_us), group, policy)?))
    }

    /// As `Node.answer_join`.
    pub fn answer_join(&self, now_us: u64, group: GroupId, node: NodeId, approve: bool) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.answer_join(Instant::from_micros(now_us), group, node, approve)?))
    }

    /// Says something to the members of a group.
    pub fn send_to_group(&self, now_us: u64, group: GroupId, content: Content) -> Result<MessageId, DonpError> {
        let content = content.try_into()?;
        self.run(|inner| Ok(inner.engine.send_to_group(Instant::from_micros(now_us), group, content)?))
    }

    /// The groups that this node is or was a member of.
    pub fn groups(&self) -> Result<Vec<GroupInfo>, DonpError> {
        self.run(|inner| Ok(inner.engine.groups().into_iter().map(Into::into).collect()))
    }

    /// One of them, with its members; none if this node is and was in no such group.
    pub fn group(&self, group: GroupId) -> Result<Option<GroupInfo>, DonpError> {
        self.run(|inner| Ok(inner.engine.group(group).map(Into::into)))
    }

    /// Groups that this node asked to join and is no member of yet.
    pub fn joining_groups(&self) -> Result<Vec<JoiningGroup>, DonpError> {
        self.run(|inner| Ok(inner.engine.joining_groups().into_iter().map(Into::into).collect()))
    }
}
