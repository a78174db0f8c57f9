//! Groups, their members and what changes in them.

use donp_core as core;
use donp_core::{GroupHistory, GroupId, GroupKind, GroupRole, MessageId, NodeId};
use serde::{Deserialize, Serialize};

use super::{count, text, text_or_null, texts};

/// What changed in a group; the other fields of the event say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    #[serde(other)]
    Other,
}

impl GroupChange {
    /// Which one it is.
    pub const fn of(change: &core::GroupChange) -> Self {
        match change {
            core::GroupChange::Joined => Self::Joined,
            core::GroupChange::Ended => Self::Ended,
            core::GroupChange::Refused { .. } => Self::Refused,
            core::GroupChange::Asked { .. } => Self::Asked,
            core::GroupChange::Added { .. } => Self::Added,
            core::GroupChange::Removed { .. } => Self::Removed,
            core::GroupChange::Ranked { .. } => Self::Ranked,
            core::GroupChange::Renamed { .. } => Self::Renamed,
            core::GroupChange::Described { .. } => Self::Described,
            core::GroupChange::PolicyChanged => Self::PolicyChanged,
            core::GroupChange::Pinned { .. } => Self::Pinned,
            core::GroupChange::Unpinned { .. } => Self::Unpinned,
            _ => Self::Other,
        }
    }

    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Ended => "ended",
            Self::Refused => "refused",
            Self::Asked => "asked",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Ranked => "ranked",
            Self::Renamed => "renamed",
            Self::Described => "described",
            Self::PolicyChanged => "policy_changed",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Other => "other",
        }
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "group")]
pub struct GroupInfo {
    /// Which.
    #[serde(with = "text")]
    pub id: GroupId,
    /// The short form of its id.
    pub short: String,
    /// Which nodes can join it.
    #[serde(with = "text")]
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
    #[serde(with = "text_or_null")]
    pub role: Option<GroupRole>,
    /// The members, by id.
    pub members: Vec<GroupMember>,
    /// Pinned messages, the one that was pinned last at the end: the last 64.
    #[serde(with = "texts")]
    pub pinned: Vec<MessageId>,
    /// Nodes that wait for the word of a member who may invite.
    #[serde(with = "texts")]
    pub requests: Vec<NodeId>,
    /// Whether this node holds the key of the present members.
    pub holds_key: bool,
    /// How many members hold it, this node included, as far as is known here; 0 in a PUBLIC group.
    pub key_holders: u32,
    /// Keys of which one opens what was said between two changes of the members: a thief of this device could read so
    /// far.
    pub epochs: u32,
    /// Equal at two members exactly if both know of the same changes, in hexadecimal.
    pub state: String,
}

/// A member of a group: a person with up to eight devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// The node that was added: it names the member, also when the device is gone.
    #[serde(with = "text")]
    pub id: NodeId,
    /// The name that it claims, where it is known.
    pub name: Option<String>,
    /// Its rank, which each of its devices has.
    #[serde(with = "text")]
    pub role: GroupRole,
    /// Its devices, by id.
    #[serde(with = "texts")]
    pub devices: Vec<NodeId>,
}

/// The least rank for each action in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// Signs invitations.
    #[serde(with = "text")]
    pub invite: GroupRole,
    /// Posts.
    #[serde(with = "text")]
    pub post: GroupRole,
    /// Changes name and description.
    #[serde(with = "text")]
    pub describe: GroupRole,
    /// Pins messages.
    #[serde(with = "text")]
    pub pin: GroupRole,
    /// Whether a node with an invitation to the bearer waits for the approval of a member that may invite.
    pub approve: bool,
    /// What newcomers may read.
    #[serde(with = "text")]
    pub history: GroupHistory,
}

/// A group that this node asked to join and is no member of yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "joining_group")]
pub struct JoiningGroup {
    /// Which.
    #[serde(with = "text")]
    pub id: GroupId,
    /// Its name in the ticket; a claim.
    pub name: String,
}

impl From<core::GroupMember> for GroupMember {
    fn from(m: core::GroupMember) -> Self {
        Self { id: m.id, name: None, role: m.role, devices: m.devices }
    }
}

impl From<core::GroupInfo> for GroupInfo {
    fn from(g: core::GroupInfo) -> Self {
        Self {
            id: g.id,
            short: g.id.short(),
            kind: g.kind,
            name: g.name,
            description: g.description,
            policy: g.policy.into(),
            expires_ms: g.expires.map(|at| at.0),
            role: g.role,
            members: g.members.into_iter().map(GroupMember::from).collect(),
            pinned: g.pinned,
            requests: g.requests,
            holds_key: g.holds_key,
            key_holders: super::count(g.key_holders),
            epochs: count(g.epochs),
            state: g.state.iter().map(|b| format!("{b:02x}")).collect(),
        }
    }
}

impl GroupInfo {
    /// The same with the names of members that `find` knows.
    #[must_use]
    pub fn named(mut self, find: impl Fn(NodeId) -> Option<String>) -> Self {
        self.members.iter_mut().for_each(|m| m.name = find(m.id));
        self
    }
}

impl From<core::GroupPolicy> for GroupPolicy {
    fn from(core::GroupPolicy { invite, post, describe, pin, approve, history }: core::GroupPolicy) -> Self {
        Self { invite, post, describe, pin, approve, history }
    }
}

impl From<GroupPolicy> for core::GroupPolicy {
    fn from(GroupPolicy { invite, post, describe, pin, approve, history }: GroupPolicy) -> Self {
        Self { invite, post, describe, pin, approve, history }
    }
}

impl From<(GroupId, String)> for JoiningGroup {
    fn from((id, name): (GroupId, String)) -> Self {
        Self { id, name }
    }
}
