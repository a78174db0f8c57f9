//! Typed content and the message that carries it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::collections::OrderedMap;
use crate::error::{CommandError, FileError};
use crate::id::{ConversationId, FileId, GroupId, Life, MessageId, NodeId};
use crate::shared::Arc;
use crate::time::WallTime;
use crate::wire::MAX_BODY;

/// The longest reaction in bytes: one emoji with its modifiers fits.
pub const MAX_REACTION: usize = 64;

/// The largest file that a message may name: 32 GiB, so that one message says which of its parts a node has.
pub const MAX_FILE: u64 = 32 << 30;
/// The longest text that goes with a file: with its name and its envelope it stays below the longest text.
const MAX_CAPTION: usize = 4_096;
/// The longest name of a file, in bytes, as most file systems have it.
const MAX_FILE_NAME: usize = 255;
/// The longest media type, in bytes (RFC 6838 §4.2: 127 for each of its two names).
const MAX_MEDIA_TYPE: usize = 255;

/// Id, key, size and lengths of a file in a message.
const FILE_BYTES: usize = 80;

/// A file that a message names: a reader of the message can fetch and open it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The BLAKE3 hash of its sealed bytes.
    pub id: FileId,
    /// The key that it is sealed under, for this file alone.
    pub key: [u8; 32],
    /// Its bytes, at most 32 GiB.
    pub size: u64,
    /// What its sender calls it: 1 to 255 bytes, a name without a folder.
    pub name: String,
    /// What its sender says that it is, as in `image/png`: up to 255 bytes, empty if it does not say.
    pub media_type: String,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not its key.
        write!(f, "Attachment {{ id: {:?}, size: {}, name: {:?} }}", self.id, self.size, self.name)
    }
}

impl Attachment {
    /// A file without a name yet.
    pub(crate) fn of(id: FileId, key: [u8; 32], size: u64) -> Self {
        Self { id, key, size, name: String::new(), media_type: String::new() }
    }

    pub(crate) fn validate(&self) -> Result<(), CommandError> {
        let Self { size, name, media_type, .. } = self;
        let is_bad = |c: char| c.is_control() || c == '/' || c == '\\';
        if name.is_empty() || name.len() > MAX_FILE_NAME || name.contains(is_bad) || name == "." || name == ".." {
            return Err(CommandError::File(FileError::Name));
        }
        if media_type.len() > MAX_MEDIA_TYPE || media_type.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(CommandError::File(FileError::MediaType));
        }
        if *size <= MAX_FILE { Ok(()) } else { Err(CommandError::File(FileError::TooLarge)) }
    }
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Content {
    /// Plain text.
    Text {
        /// 1 to 65,536 bytes of UTF-8.
        text: String,
    },
    /// Text in answer to a message.
    Reply {
        /// The message answered.
        reply_to: MessageId,
        /// 1 to 65,536 bytes of UTF-8.
        text: String,
    },
    /// Replaces the text of an own message of this conversation. Every receiver checks that; an edit of anything
    /// else has no effect and is not shown.
    Edit {
        /// The message changed.
        edit_of: MessageId,
        /// 1 to 65,536 bytes of UTF-8.
        text: String,
    },
    /// A short mark on a message.
    React {
        /// The message marked.
        react_to: MessageId,
        /// 1 to 64 bytes of UTF-8.
        mark: String,
    },
    /// Retracts an own message of this conversation, with the same check. Nothing is erased from other people's
    /// devices.
    Retract {
        /// The message retracted.
        retract: MessageId,
    },
    /// A file, and words to go with it.
    File {
        /// The file. In a box, so that other contents stay small.
        file: Box<Attachment>,
        /// 0 to 4,096 bytes of UTF-8.
        text: String,
    },
}

impl Content {
    /// The longest text, in bytes of UTF-8: 64 KiB.
    pub const MAX_LEN: usize = MAX_BODY;

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// The text or mark that it shows; empty for a retraction. What goes with a file is its text.
    pub fn shown(&self) -> &str {
        match self {
            Self::Text { text } | Self::Reply { text, .. } | Self::Edit { text, .. } | Self::File { text, .. } => text,
            Self::React { mark, .. } => mark,
            Self::Retract { .. } => "",
        }
    }

    /// About its bytes.
    pub(crate) fn len(&self) -> usize {
        let file = match self {
            Self::File { file, .. } => file.name.len().saturating_add(file.media_type.len()).saturating_add(FILE_BYTES),
            Self::Text { .. } | Self::Reply { .. } | Self::Edit { .. } | Self::React { .. } | Self::Retract { .. } => 0,
        };
        self.shown().len().saturating_add(file)
    }

    /// The message it is about.
    pub fn about(&self) -> Option<MessageId> {
        match self {
            Self::Text { .. } | Self::File { .. } => None,
            Self::Reply { reply_to: id, .. }
            | Self::Edit { edit_of: id, .. }
            | Self::React { react_to: id, .. }
            | Self::Retract { retract: id } => Some(*id),
        }
    }

    /// The name of its kind in JSON and in the command line.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Reply { .. } => "reply_to",
            Self::Edit { .. } => "edit_of",
            Self::React { .. } => "react_to",
            Self::Retract { .. } => "retract",
            Self::File { .. } => "file",
        }
    }

    pub(crate) fn validate(&self) -> Result<(), CommandError> {
        let (text, max) = match self {
            Self::Text { text } | Self::Reply { text, .. } | Self::Edit { text, .. } => (text, MAX_BODY),
            Self::React { mark, .. } => (mark, MAX_REACTION),
            Self::Retract { .. } => return Ok(()),
            Self::File { file, text } => {
                file.validate()?;
                if text.is_empty() {
                    return Ok(());
                }
                (text, MAX_CAPTION)
            }
        };
        if text.is_empty() {
            return Err(CommandError::Empty("text"));
        }
        if text.len() > max {
            return Err(CommandError::TooLong { len: text.len(), max });
        }
        Ok(())
    }
}

/// The participants of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Conversation {
    /// All nodes of the network.
    Network,
    /// This node and one other.
    Private(NodeId),
    /// The members of a group.
    Group(GroupId),
}

impl Conversation {
    /// Its id, as node `me` of the network that `network_key` closes (zeros: the public one) has it.
    /// The first 32 bytes of the keys of its records.
    pub fn id(self, me: NodeId, network_key: &[u8; 32]) -> ConversationId {
        match self {
            Self::Network => network_conversation(network_key),
            Self::Private(peer) => private_conversation(me, peer),
            Self::Group(group) => group_conversation(group),
        }
    }
}

/// How many messages of each life of each author the author had seen: the chat document's vector clock, counting
/// messages only. Sorted by author and life; an absent life counts zero. Copies share their entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorClock(Arc<Vec<ClockEntry>>);

/// One component of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockEntry {
    /// The author.
    pub author: NodeId,
    /// Which of the author's logs.
    pub life: Life,
    /// How many messages of it, from the first without gaps.
    pub count: u64,
}

/// The causal relation of two messages (chat document §10.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causality {
    /// The same message.
    Equal,
    /// The first was known to the second's author.
    Before,
    /// The second was known to the first's author.
    After,
    /// Neither author had seen the other message.
    Concurrent,
}

impl VectorClock {
    /// The count for one life of `author`.
    pub fn get(&self, author: NodeId, life: Life) -> u64 {
        let found = self.0.binary_search_by_key(&(author, life), |e| (e.author, e.life)).ok();
        found.and_then(|at| self.0.get(at)).map_or(0, |e| e.count)
    }

    /// The components, by author and life.
    pub fn entries(&self) -> &[ClockEntry] {
        &self.0
    }

    /// Whether every count is at most `other`'s.
    pub fn at_most(&self, other: &Self) -> bool {
        self.0.iter().all(|e| e.count <= other.get(e.author, e.life))
    }

    /// The document's comparison: before if all counts are less or equal.
    pub fn compare(&self, other: &Self) -> Causality {
        match (self.at_most(other), other.at_most(self)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::Before,
            (false, true) => Causality::After,
            (false, false) => Causality::Concurrent,
        }
    }
}

impl FromIterator<ClockEntry> for VectorClock {
    /// Of several entries of one life the greatest count stays.
    fn from_iter<I: IntoIterator<Item = ClockEntry>>(entries: I) -> Self {
        let mut all: Vec<ClockEntry> = entries.into_iter().filter(|e| e.count > 0).collect();
        all.sort_unstable_by(|a, b| (a.author, a.life, b.count).cmp(&(b.author, b.life, a.count)));
        all.dedup_by_key(|e| (e.author, e.life));
        Self(Arc::new(all))
    }
}

/// A message as a conversation holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place in the conversation and the hash of its header.
    pub id: MessageId,
    /// Its conversation.
    pub conversation: Conversation,
    /// Its author.
    pub author: NodeId,
    /// Which of the author's logs it is in.
    pub life: Life,
    /// The author's number for it in this log, from 1 without gaps. Merges without text count too.
    pub seq: u64,
    /// What the author had seen, this message included. None in a conversation with more than 64 authors, and for a
    /// durable event that is reported again after a restart: the history has it.
    pub clock: Option<VectorClock>,
    /// The author's wall clock: shown, never used for order.
    pub sent_at: WallTime,
    /// Its content, as it was sent.
    pub content: Content,
    /// The text that its author's last edit gave it.
    pub edited: Option<String>,
    /// Whether its author has retracted it.
    pub retracted: bool,
}

impl Message {
    /// The causal relation of this message to `other` of the same conversation; none where one has no clock.
    pub fn causality(&self, other: &Self) -> Option<Causality> {
        Some(self.clock.as_ref()?.compare(other.clock.as_ref()?))
    }

    /// The text to show: as edited, empty if retracted.
    pub fn shown(&self) -> &str {
        match &self.edited {
            _ if self.retracted => "",
            Some(text) => text,
            None => self.content.shown(),
        }
    }
}

/// The clocks that the chat document would have put on these messages (§10.3.4): its nodes also tick
/// their own counter for each message that they receive, so a counter is the number of messages sent
/// and received. A view for comparison with the document: the order of any two messages is the same
/// by either clock.
///
/// `history` must be a whole conversation in display order, each message with its clock.
pub fn document_clocks(history: &[Message]) -> Vec<VectorClock> {
    let entries = |m: &Message| m.clock.clone().unwrap_or_default();
    let ticks = |clock: &VectorClock| clock.entries().iter().fold(0u64, |sum, e| sum.saturating_add(e.count));
    let mut by_dot = OrderedMap::new();
    let mut out = Vec::with_capacity(history.len());
    for m in history {
        let clock = entries(m);
        by_dot.insert((m.author, m.life, m.seq), ticks(&clock));
        let counted = |e: &ClockEntry| by_dot.get(&(e.author, e.life, e.count)).copied().unwrap_or(e.count);
        out.push(clock.entries().iter().map(|e| ClockEntry { count: counted(e), ..*e }).collect());
    }
    out
}

/// The conversation of a group.
pub(crate) const fn group_conversation(group: GroupId) -> ConversationId {
    ConversationId(group.0)
}

/// The private conversation of two nodes; the same whichever asks.
pub(crate) fn private_conversation(a: NodeId, b: NodeId) -> ConversationId {
    let mut hasher = blake3::Hasher::new_derive_key("DONP v1 private conversation");
    hasher.update(&a.min(b).0).update(&a.max(b).0);
    ConversationId(*hasher.finalize().as_bytes())
}

/// The conversation of all nodes of the network that `network_key` closes (zeros: the public one).
pub(crate) fn network_conversation(network_key: &[u8; 32]) -> ConversationId {
    ConversationId(blake3::derive_key("DONP v1 network conversation", network_key))
}
