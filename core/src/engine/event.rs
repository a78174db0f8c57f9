//! What the application is told, in two classes.
//!
//! **Durable** events carry a number, are stored in the batch that caused them, and come again after
//! a restart until `ack` says they were handled. **Volatile** ones sit in a bounded ring; when it
//! overflows, one [`Volatile::Lagged`] says how many are gone.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::own;
use crate::fact::{DownReason, MemberState};
use crate::id::{MessageId, NodeId};
use crate::membership::NodeState;
use crate::store::Scan;
use crate::wire::content::Message;
use crate::wire::{Malformed, decode, encode};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Stored; comes again after a restart until it is acknowledged.
    Durable {
        /// The number to `ack`; rises by one with each durable event.
        seq: u64,
        /// What happened.
        event: Durable,
    },
    /// Gone with this run.
    Volatile(Volatile),
}

/// What the application must not miss. Each has a code that stays for good (docs/spec/store.md).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durable {
    /// Another author's message is in a conversation, stored and in causal order. Code 1.
    Received(Message),
    /// The other side has stored a private message. Code 2.
    Delivered {
        /// Which message.
        id: MessageId,
        /// The node that has it.
        to: NodeId,
    },
    /// A private message will not be delivered. Code 3.
    Failed {
        /// Which message.
        id: MessageId,
        /// The node that should have had it.
        to: NodeId,
        /// Why.
        reason: FailReason,
    },
}

/// What an application can do without: its state can be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Volatile {
    /// This node's state changed.
    StateChanged {
        /// Before.
        before: NodeState,
        /// After.
        after: NodeState,
    },
    /// A node is linked to this one.
    PeerUp {
        /// Which.
        peer: NodeId,
        /// The name it claims, once it is known.
        name: Option<String>,
    },
    /// A node is not linked any more.
    PeerDown {
        /// Which.
        peer: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// A queue that refused a command has room again.
    Writable,
    /// The state of a member of this node's zone changed, or was asked for by
    /// [`Engine::detect_node_failure`](crate::Engine::detect_node_failure).
    MemberChanged {
        /// Which.
        peer: NodeId,
        /// Its state.
        state: MemberState,
    },
    /// Events were lost: read the state again. For lost durable events the messages are in the
    /// history.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// Why a private message will not be delivered. The number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FailReason {
    /// It was not delivered in the time that the configuration gives.
    Expired,
    /// The other side does not take it: it breaks a rule there.
    Refused,
}

impl FailReason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Expired, Self::Refused];

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for FailReason {
    /// A sentence for people, whose subject is the message or the other node.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it could not be delivered in time",
            Self::Refused => "the other node rejected it",
        })
    }
}

/// The longest stored event: the largest message and its clock.
const MAX_ROW: usize = 1 << 20;

impl Durable {
    const RECEIVED: u8 = 1;
    const DELIVERED: u8 = 2;
    const FAILED: u8 = 3;

    /// One byte of code, then the fields in postcard.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (code, mut fields) = match self {
            Self::Received(message) => (Self::RECEIVED, encode(message)),
            Self::Delivered { id, to } => (Self::DELIVERED, encode(&(id, to))),
            Self::Failed { id, to, reason } => (Self::FAILED, encode(&(id, to, reason))),
        };
        fields.insert(0, code);
        fields
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (code, fields) = bytes.split_first().ok_or(Malformed)?;
        match *code {
            Self::RECEIVED => Ok(Self::Received(decode(fields, MAX_ROW)?)),
            Self::DELIVERED => decode(fields, MAX_ROW).map(|(id, to)| Self::Delivered { id, to }),
            Self::FAILED => decode(fields, MAX_ROW).map(|(id, to, reason)| Self::Failed { id, to, reason }),
            _ => Err(Malformed),
        }
    }
}

impl Event {
    /// The number of a durable event.
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Durable { seq, .. } => Some(*seq),
            Self::Volatile(_) => None,
        }
    }

    /// About what it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        let text = match self {
            Self::Durable { event: Durable::Received(m), .. } => {
                m.content.shown().len().saturating_add(m.clock.entries().len().saturating_mul(CLOCK_ENTRY))
            }
            Self::Durable { .. } | Self::Volatile(_) => 0,
        };
        text.saturating_add(core::mem::size_of::<Self>())
    }

    /// The durable events with numbers above `after` in a store, at most `limit` of them and about `max_bytes`.
    pub fn scan(after: u64, limit: u32, max_bytes: u32) -> Scan {
        Scan {
            table: own::EVENTS,
            start: after.saturating_add(1).to_be_bytes().to_vec(),
            // One byte longer than any key: the last number included.
            end: [0xff; 9].to_vec(),
            reverse: false,
            limit,
            max_bytes,
        }
    }

    /// Reads a record that [`Event::scan`] found.
    pub fn from_row(key: &[u8], value: &[u8]) -> Option<Self> {
        let seq = u64::from_be_bytes(key.try_into().ok()?);
        Some(Self::Durable { seq, event: Durable::decode(value).ok()? })
    }
}

/// An author and a number, and their place in a list.
const CLOCK_ENTRY: usize = 40;
