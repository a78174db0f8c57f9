//! What the application is told, in two classes.
//!
//! **Durable** events carry a number, are stored in the batch that caused them, and come again after
//! a restart until `ack` says they were handled. **Volatile** ones sit in a bounded ring; when it
//! overflows, one [`EventKind::Lagged`] says how many are gone.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::fact::{DownReason, MemberState};
use crate::id::{MessageId, NodeId};
use crate::membership::NodeState;
use crate::wire::content::Message;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The number to `ack` for a durable event; none for a volatile one.
    pub seq: Option<u64>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventKind {
    /// Durable: somebody else's message is in a conversation, stored and in causal order.
    Message(Message),
    /// Durable: the other side has stored a private message.
    Delivered {
        /// Which message.
        message: MessageId,
        /// Who has it.
        to: NodeId,
    },
    /// Durable: a private message will not be delivered.
    Failed {
        /// Which message.
        message: MessageId,
        /// Who should have had it.
        to: NodeId,
        /// Why.
        reason: FailReason,
    },
    /// Volatile: this node's state changed.
    StateChanged {
        /// Before.
        from: NodeState,
        /// After.
        to: NodeState,
    },
    /// Volatile: a node is linked to this one.
    PeerUp {
        /// Who.
        peer: NodeId,
        /// The name it claims, once it told it.
        name: Option<String>,
    },
    /// Volatile: a node is not linked any more.
    PeerDown {
        /// Who.
        peer: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// Volatile: a queue that refused a command has room again.
    Writable,
    /// Events were lost: read the state again. For lost durable events the messages are in the
    /// history.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// Volatile: what this node holds of a member of its zone changed, or was asked for by
    /// [`Engine::detect_node_failure`](crate::Engine::detect_node_failure).
    Member {
        /// Who.
        peer: NodeId,
        /// What it is held for.
        state: MemberState,
    },
}

/// Why a private message will not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailReason {
    /// It was not delivered in the time that the configuration gives.
    Expired,
    /// The other side does not take it: it breaks a rule there.
    Refused,
}
