//! The events of an application.

use donp_core as core;
use donp_runtime::api;

use crate::{
    AuthenticationResult, Confirmations, Conversation, FileId, GroupChange, GroupId, GroupRole, MemberState, Message,
    MessageId, NodeId, Refusal,
};

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum NodeState {
    /// Made, not yet joining.
    Initializing,
    /// Looking for a node that answers.
    Discovering,
    /// A link is open; asking to be taken as a neighbour.
    Connecting,
    /// In the network.
    Active,
    /// Lost its neighbours, or a good part of all peers at once, and is looking for them.
    Degraded,
    /// Linked again after that; catching up.
    Recovering,
    /// Said goodbye.
    Leaving,
}

impl From<core::NodeState> for NodeState {
    fn from(state: core::NodeState) -> Self {
        match state {
            core::NodeState::Initializing => Self::Initializing,
            core::NodeState::Discovering => Self::Discovering,
            core::NodeState::Connecting => Self::Connecting,
            core::NodeState::Active => Self::Active,
            core::NodeState::Degraded => Self::Degraded,
            core::NodeState::Recovering => Self::Recovering,
            core::NodeState::Leaving => Self::Leaving,
        }
    }
}

/// Why a link went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum DownReason {
    /// Nothing was received for too long.
    Timeout,
    /// The other side said goodbye.
    Closed,
    /// The other side started anew.
    Restarted,
    /// This node no longer needs it.
    Unwanted,
    /// There are too many links.
    Full,
    /// It sent forged messages.
    Misbehaved,
    /// A reason of a newer version.
    Other,
}

impl From<core::DownReason> for DownReason {
    fn from(reason: core::DownReason) -> Self {
        match reason {
            core::DownReason::Timeout => Self::Timeout,
            core::DownReason::Closed => Self::Closed,
            core::DownReason::Restarted => Self::Restarted,
            core::DownReason::Unwanted => Self::Unwanted,
            core::DownReason::Full => Self::Full,
            core::DownReason::Misbehaved => Self::Misbehaved,
            _ => Self::Other,
        }
    }
}

/// Why a private message will not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum FailReason {
    /// It was not delivered in the time that it is kept for, 30 days of running.
    Expired,
    /// The other side rejects it.
    Refused,
    /// The other side is blocked here.
    Blocked,
    /// A reason of a newer version.
    Other,
}

impl From<core::FailReason> for FailReason {
    fn from(reason: core::FailReason) -> Self {
        match reason {
            core::FailReason::Expired => Self::Expired,
            core::FailReason::Refused => Self::Refused,
            core::FailReason::Blocked => Self::Blocked,
            _ => Self::Other,
        }
    }
}

/// Something that happened. Those with a `seq` are durable: they come again after a restart until `ack`
/// was called with their number or a higher one.
#[allow(clippy::large_enum_variant, reason = "an event is moved once, to the other language")]
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Event {
    /// A message of another author is in a conversation, stored and in causal order.
    Received {
        /// The number to acknowledge.
        seq: u64,
        /// What was said.
        message: Message,
    },
    /// The other side has stored a private message.
    Delivered {
        /// The number to acknowledge.
        seq: u64,
        /// Which message.
        id: MessageId,
        /// The node that has it.
        to: NodeId,
    },
    /// A private message will not be delivered.
    Failed {
        /// The number to acknowledge.
        seq: u64,
        /// Which message.
        id: MessageId,
        /// The node that should have had it.
        to: NodeId,
        /// Why.
        reason: FailReason,
    },
    /// An author said two different things under one number: its profile was copied, or it cheats. Both stay in the
    /// history, in the order that all nodes have.
    Forked {
        /// The number to acknowledge.
        seq: u64,
        /// The conversation.
        conversation: Conversation,
        /// The author.
        author: NodeId,
        /// Which of the author's logs, in hexadecimal.
        life: String,
        /// The number of both messages in that log.
        number: u64,
    },
    /// Another copy of this profile speaks in a conversation: this one was restored from a backup, or runs twice. It
    /// starts a new message log, and nothing that either said is lost.
    LifeBegun {
        /// The number to acknowledge.
        seq: u64,
        /// The conversation.
        conversation: Conversation,
    },
    /// Something changed in a group, or in an application to join one. Fields that do not belong to the change are none.
    GroupChanged {
        /// The number to acknowledge.
        seq: u64,
        /// Which group.
        group: GroupId,
        /// What changed.
        change: GroupChange,
        /// The node that asked, was added, removed or ranked.
        node: Option<NodeId>,
        /// The name that a node which asked claims.
        name: Option<String>,
        /// The rank of the node.
        role: Option<GroupRole>,
        /// The new name or description.
        text: Option<String>,
        /// The message that was pinned, or is not any more.
        message: Option<MessageId>,
        /// Why this node was not added.
        reason: Option<Refusal>,
    },
    /// A file is here whole: it was asked for, or is small.
    FileReceived {
        /// The number to acknowledge.
        seq: u64,
        /// Which.
        file: FileId,
    },
    /// More of a file is here.
    FileProgress {
        /// Which.
        file: FileId,
        /// Bytes that are here.
        bytes: u64,
        /// Of so many.
        size: u64,
        /// Nodes that it is being fetched from.
        holders: u64,
    },
    /// Members have stored or read more of what this node said, up to this message of it or an entry without text. Of older
    /// ones ask `confirmations`. A private message that is stored has `Delivered` instead.
    Confirmed {
        /// Where.
        conversation: Conversation,
        /// The node that has it.
        confirmations: Confirmations,
    },
    /// A node types in a group or a private conversation, or has stopped: it sent a message, six seconds are over,
    /// or it is not linked.
    Typing {
        /// Where.
        conversation: Conversation,
        /// Who.
        node: NodeId,
        /// Whether it types.
        active: bool,
    },
    /// A stranger wrote a private message for the first time: it is in the book as a request until it is answered.
    ContactRequest {
        /// The number to acknowledge.
        seq: u64,
        /// Which node.
        node: NodeId,
    },
    /// A verified contact has another key: nothing is sent to it until `verify_contact` or `accept_change`.
    ContactChanged {
        /// The number to acknowledge.
        seq: u64,
        /// Which node.
        node: NodeId,
    },
    /// A device came to the account of a contact or of this node, or is gone from it. A verified contact counts as changed
    /// until it was looked at.
    DevicesChanged {
        /// The number to acknowledge.
        seq: u64,
        /// The first device of the account, which stands for the person.
        node: NodeId,
        /// Which device.
        device: NodeId,
        /// Whether it came, or is gone.
        added: bool,
    },
    /// This node's state changed.
    StateChanged {
        /// Before.
        before: NodeState,
        /// After.
        after: NodeState,
    },
    /// A node is linked to this one.
    PeerUp {
        /// Who.
        peer: NodeId,
        /// The name it claims, once it is known.
        name: Option<String>,
    },
    /// A node is not linked any more.
    PeerDown {
        /// Who.
        peer: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// What this node holds of a member of its zone changed, or `detect_node_failure` asked for it. A node that is
    /// new in the zone is found in `members`.
    MemberChanged {
        /// Who.
        peer: NodeId,
        /// What it is held for.
        state: MemberState,
    },
    /// The result of `authenticate_node`.
    Authenticated {
        /// Which node.
        peer: NodeId,
        /// Whether its device is at the other end of the link.
        result: AuthenticationResult,
    },
    /// The user set something on another of its devices: contacts, blocks and what is unread are to be read again.
    AccountDataChanged,
    /// A queue that refused a call has room again.
    Writable,
    /// The reader was too slow and events were lost: read the state again. Messages are in the history.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// Something of a newer version, which this one cannot show.
    Unknown {
        /// The number to acknowledge, if it is durable.
        seq: Option<u64>,
    },
}

impl From<api::Event> for Event {
    fn from(event: api::Event) -> Self {
        match event {
            api::Event::Received { seq, message } => Self::Received { seq, message: (*message).into() },
            api::Event::Delivered { seq, id, to, .. } => Self::Delivered { seq, id, to },
            api::Event::Failed { seq, id, to, reason, .. } => Self::Failed { seq, id, to, reason: reason.into() },
            api::Event::Forked { seq, conversation, author, life, number, .. } => {
                Self::Forked { seq, conversation: conversation.into(), author, life, number }
            }
            api::Event::LifeBegun { seq, conversation } => Self::LifeBegun { seq, conversation: conversation.into() },
            api::Event::GroupChanged { seq, group, change, node, name, role, text, message, reason, .. } => {
                Self::GroupChanged {
                    seq,
                    group,
                    change: change.into(),
                    node,
                    name,
                    role: role.map(Into::into),
                    text,
                    message,
                    reason: reason.map(Into::into),
                }
            }
            api::Event::FileReceived { seq, file } => Self::FileReceived { seq, file },
            api::Event::FileProgress { file, bytes, size, holders } => {
                Self::FileProgress { file, bytes, size, holders }
            }
            api::Event::Confirmed { conversation, confirmations } => {
                Self::Confirmed { conversation: conversation.into(), confirmations: confirmations.into() }
            }
            api::Event::Typing { conversation, node, active, .. } => {
                Self::Typing { conversation: conversation.into(), node, active }
            }
            api::Event::ContactRequest { seq, node, .. } => Self::ContactRequest { seq, node },
            api::Event::ContactChanged { seq, node, .. } => Self::ContactChanged { seq, node },
            api::Event::DevicesChanged { seq, node, device, added, .. } => {
                Self::DevicesChanged { seq, node, device, added }
            }
            api::Event::Authenticated { peer, result, .. } => Self::Authenticated { peer, result: result.into() },
            api::Event::StateChanged { before, after } => {
                Self::StateChanged { before: before.into(), after: after.into() }
            }
            api::Event::PeerUp { peer, name } => Self::PeerUp { peer, name },
            api::Event::PeerDown { peer, reason, .. } => Self::PeerDown { peer, reason: reason.into() },
            api::Event::MemberChanged { peer, state, .. } => Self::MemberChanged { peer, state: state.into() },
            api::Event::AccountDataChanged => Self::AccountDataChanged,
            api::Event::Writable => Self::Writable,
            api::Event::Lagged { missed } => Self::Lagged { missed },
            api::Event::Unknown { seq } => Self::Unknown { seq },
        }
    }
}

impl Event {
    pub(crate) fn of(event: core::Event) -> Self {
        api::Event::from(event).into()
    }
}
