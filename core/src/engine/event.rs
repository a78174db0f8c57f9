//! The events of the application, in two classes.
//!
//! **Durable** events carry a number, are stored in the batch that caused them, and come again after
//! a restart until `ack` says they were handled. **Volatile** ones sit in a bounded ring; when it
//! overflows, one [`Volatile::Lagged`] says how many are gone.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::authentication::AuthenticationResult;
use crate::chat::Confirmations;
use crate::engine::own;
use crate::fact::{DownReason, MemberState};
use crate::group::GroupChange;
use crate::id::{FileId, GroupId, Life, MessageId, NodeId};
use crate::membership::NodeState;
use crate::store::Scan;
use crate::time::WallTime;
use crate::wire::content::{Content, Conversation, Message};
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
    /// An author said two different things under one number: its profile was copied, or it cheats. Both stay in the
    /// history, in the order that all nodes have. Code 4.
    Forked {
        /// Where.
        conversation: Conversation,
        /// Who.
        author: NodeId,
        /// In which of its logs.
        life: Life,
        /// The number.
        seq: u64,
    },
    /// Something changed in a group, or in an application to join one. Code 6.
    GroupChanged {
        /// Which group.
        group: GroupId,
        /// What changed.
        change: GroupChange,
    },
    /// A file is here whole: it was asked for, or is small. Code 9.
    FileReceived {
        /// Which.
        file: FileId,
    },
    /// A stranger wrote a private message for the first time: it is in the book as a request until it is answered. Its
    /// messages are reported as those of others. Code 7.
    ContactRequest {
        /// Which.
        node: NodeId,
    },
    /// A verified contact has another session identity key: nothing is sent to it until
    /// [`Engine::verify_contact`](crate::Engine::verify_contact) or
    /// [`Engine::accept_change`](crate::Engine::accept_change). Code 8.
    ContactChanged {
        /// Which.
        node: NodeId,
    },
    /// Another copy of this profile speaks in a conversation: this one was restored from a backup, or runs twice. It
    /// starts a new message log, and nothing that either said is lost. Code 5.
    LifeBegun {
        /// Where.
        conversation: Conversation,
    },
    /// A device came to the account of a contact or of this node, or is gone from it. A verified contact counts as changed
    /// until it was looked at. Code 10.
    DevicesChanged {
        /// The first device of the account, which stands for the person.
        node: NodeId,
        /// Which device.
        device: NodeId,
        /// Whether it came, or is gone.
        added: bool,
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
    /// Members of a conversation have stored or read more of what this node said: how far, by its newest message there
    /// or an entry without text. Of older ones ask [`Engine::confirmations`](crate::Engine::confirmations). A private
    /// message that is stored has [`Durable::Delivered`] instead.
    Confirmed {
        /// Where.
        conversation: Conversation,
        /// The node that has it.
        confirmations: Confirmations,
    },
    /// A node types in a group or a private conversation, or has stopped: it sent a message, six seconds are
    /// over, or it is not linked.
    Typing {
        /// Where.
        conversation: Conversation,
        /// Who.
        node: NodeId,
        /// Whether it types.
        active: bool,
    },
    /// The result of [`Engine::authenticate_node`](crate::Engine::authenticate_node).
    Authenticated {
        /// Which node was challenged.
        peer: NodeId,
        /// Whether it is there.
        result: AuthenticationResult,
    },
    /// The user set something on another of its devices that holds here too, of contacts, blocks or what it read: read these
    /// again (docs/design/devices.md §7).
    AccountDataChanged,
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
    /// The other side rejects it: it breaks a rule there.
    Refused,
    /// The other node is blocked here.
    Blocked,
}

impl FailReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Expired, Self::Refused, Self::Blocked];

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Blocked => "blocked",
        }
    }
}

impl fmt::Display for FailReason {
    /// A sentence for people, whose subject is the message or the other node.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it could not be delivered in time",
            Self::Refused => "the other node rejected it",
            Self::Blocked => "the other node is blocked here",
        })
    }
}

/// A received message as it is stored with its event. Its clock stands in the history.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: MessageId,
    conversation: Conversation,
    author: NodeId,
    life: Life,
    seq: u64,
    sent_at: WallTime,
    content: Content,
}

impl From<&Message> for Stored {
    fn from(m: &Message) -> Self {
        let Message { id, conversation, author, life, seq, sent_at, .. } = *m;
        Self { id, conversation, author, life, seq, sent_at, content: m.content.clone() }
    }
}

impl From<Stored> for Message {
    fn from(Stored { id, conversation, author, life, seq, sent_at, content }: Stored) -> Self {
        Self { id, conversation, author, life, seq, clock: None, sent_at, content, edited: None, retracted: false }
    }
}

/// The longest stored event: the largest message.
const MAX_ROW: usize = 1 << 20;

impl Durable {
    const RECEIVED: u8 = 1;
    const DELIVERED: u8 = 2;
    const FAILED: u8 = 3;
    const FORKED: u8 = 4;
    const LIFE_BEGUN: u8 = 5;
    const GROUP_CHANGED: u8 = 6;
    const FILE_RECEIVED: u8 = 9;
    const CONTACT_REQUEST: u8 = 7;
    const CONTACT_CHANGED: u8 = 8;
    const DEVICES_CHANGED: u8 = 10;

    /// One byte of code, then the fields in postcard.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (code, mut fields) = match self {
            Self::Received(message) => (Self::RECEIVED, encode(&Stored::from(message))),
            Self::Delivered { id, to } => (Self::DELIVERED, encode(&(id, to))),
            Self::Failed { id, to, reason } => (Self::FAILED, encode(&(id, to, reason))),
            Self::Forked { conversation, author, life, seq } => {
                (Self::FORKED, encode(&(conversation, author, life, seq)))
            }
            Self::LifeBegun { conversation } => (Self::LIFE_BEGUN, encode(conversation)),
            Self::GroupChanged { group, change } => (Self::GROUP_CHANGED, encode(&(group, change))),
            Self::FileReceived { file } => (Self::FILE_RECEIVED, encode(file)),
            Self::ContactRequest { node } => (Self::CONTACT_REQUEST, encode(node)),
            Self::ContactChanged { node } => (Self::CONTACT_CHANGED, encode(node)),
            Self::DevicesChanged { node, device, added } => (Self::DEVICES_CHANGED, encode(&(node, device, added))),
        };
        fields.insert(0, code);
        fields
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (code, fields) = bytes.split_first().ok_or(Malformed)?;
        match *code {
            Self::RECEIVED => decode::<Stored>(fields, MAX_ROW).map(|stored| Self::Received(stored.into())),
            Self::DELIVERED => decode(fields, MAX_ROW).map(|(id, to)| Self::Delivered { id, to }),
            Self::FAILED => decode(fields, MAX_ROW).map(|(id, to, reason)| Self::Failed { id, to, reason }),
            Self::FORKED => decode(fields, MAX_ROW).map(|(conversation, author, life, seq)| Self::Forked {
                conversation,
                author,
                life,
                seq,
            }),
            Self::LIFE_BEGUN => decode(fields, MAX_ROW).map(|conversation| Self::LifeBegun { conversation }),
            Self::GROUP_CHANGED => decode(fields, MAX_ROW).map(|(group, change)| Self::GroupChanged { group, change }),
            Self::FILE_RECEIVED => decode(fields, MAX_ROW).map(|file| Self::FileReceived { file }),
            Self::CONTACT_REQUEST => decode(fields, MAX_ROW).map(|node| Self::ContactRequest { node }),
            Self::CONTACT_CHANGED => decode(fields, MAX_ROW).map(|node| Self::ContactChanged { node }),
            Self::DEVICES_CHANGED => {
                decode(fields, MAX_ROW).map(|(node, device, added)| Self::DevicesChanged { node, device, added })
            }
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
                let entries = m.clock.as_ref().map_or(0, |clock| clock.entries().len());
                m.content.len().saturating_add(entries.saturating_mul(CLOCK_ENTRY))
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

/// An author, a life and a number.
const CLOCK_ENTRY: usize = 48;
