//! Typed content and the message that carries it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::id::{ConversationId, MessageId, NodeId};
use crate::time::WallTime;
use crate::wire::MAX_BODY;

/// The longest reaction in bytes: one emoji with its modifiers fits.
pub const MAX_REACTION: usize = 64;

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
    /// Replaces the text of an own message; an edit of another author's message is shown but changes nothing.
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
    /// Retracts an own message. Nothing is erased from other people's devices.
    Retract {
        /// The message retracted.
        retract: MessageId,
    },
}

impl Content {
    /// The longest text, in bytes of UTF-8: 64 KiB.
    pub const MAX_LEN: usize = MAX_BODY;

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// The text or mark that it shows; empty for a retraction.
    pub fn shown(&self) -> &str {
        match self {
            Self::Text { text } | Self::Reply { text, .. } | Self::Edit { text, .. } => text,
            Self::React { mark, .. } => mark,
            Self::Retract { .. } => "",
        }
    }

    /// The message it is about.
    pub fn about(&self) -> Option<MessageId> {
        match self {
            Self::Text { .. } => None,
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
        }
    }

    pub(crate) fn validate(&self) -> Result<(), CommandError> {
        let (text, max) = match self {
            Self::Text { text } | Self::Reply { text, .. } | Self::Edit { text, .. } => (text, MAX_BODY),
            Self::React { mark, .. } => (mark, MAX_REACTION),
            Self::Retract { .. } => return Ok(()),
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
}

impl Conversation {
    /// Its id, as node `me` of the network that `network_key` closes (zeros: the public one) has it.
    /// The first 32 bytes of the keys of its records.
    pub fn id(self, me: NodeId, network_key: &[u8; 32]) -> ConversationId {
        match self {
            Self::Network => network_conversation(network_key),
            Self::Private(peer) => private_conversation(me, peer),
        }
    }
}

/// How many messages of each author the author had seen (a version vector): the chat document's vector clock, counting
/// messages only. Sorted by author; an absent author counts zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorClock(Vec<(NodeId, u64)>);

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
    /// The count for `author`.
    pub fn get(&self, author: NodeId) -> u64 {
        self.0.binary_search_by_key(&author, |e| e.0).ok().and_then(|at| self.0.get(at)).map_or(0, |e| e.1)
    }

    /// Sets the count for `author`.
    pub fn set(&mut self, author: NodeId, count: u64) {
        match self.0.binary_search_by_key(&author, |e| e.0) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = count;
                }
            }
            Err(at) => self.0.insert(at, (author, count)),
        }
    }

    /// Raises every count to at least `other`'s.
    pub fn merge(&mut self, other: &Self) {
        for &(author, count) in &other.0 {
            if self.get(author) < count {
                self.set(author, count);
            }
        }
    }

    /// Authors and counts, by author.
    pub fn entries(&self) -> &[(NodeId, u64)] {
        &self.0
    }

    /// Whether every count is at most `other`'s.
    pub fn at_most(&self, other: &Self) -> bool {
        self.0.iter().all(|&(author, count)| count <= other.get(author))
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

impl FromIterator<(NodeId, u64)> for VectorClock {
    fn from_iter<I: IntoIterator<Item = (NodeId, u64)>>(entries: I) -> Self {
        let mut clock = Self::default();
        for (author, count) in entries {
            clock.set(author, count);
        }
        clock
    }
}

/// A message as a conversation holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The hash of conversation, author and content.
    pub id: MessageId,
    /// Its conversation.
    pub conversation: Conversation,
    /// Its author.
    pub author: NodeId,
    /// The author's number for it in this conversation, from 1 without gaps.
    pub seq: u64,
    /// The Lamport time: 1 + that of the deepest message its author had seen.
    pub depth: u64,
    /// What the author had seen, this message included.
    pub clock: VectorClock,
    /// The author's wall clock: shown, never used for order.
    pub sent_at: WallTime,
    /// Its content.
    pub content: Content,
}

impl Message {
    /// The causal relation of this message to `other` of the same conversation.
    pub fn causality(&self, other: &Self) -> Causality {
        self.clock.compare(&other.clock)
    }

    /// The place in the display order: a linear extension of causality, equal on every node.
    pub fn position(&self) -> Position {
        Position { depth: self.depth, author: self.author, id: self.id }
    }
}

/// The clocks that the chat document would have put on these messages (§10.3.4): its nodes also tick
/// their own counter for each message that they receive, so a counter is the number of messages sent
/// and received. A view for comparison with the document: the order of any two messages is the same
/// by either clock.
///
/// `history` must be a whole conversation in display order.
pub fn document_clocks(history: &[Message]) -> Vec<VectorClock> {
    let ticks = |m: &Message| m.clock.entries().iter().fold(0u64, |sum, e| sum.saturating_add(e.1));
    let mut by_dot = BTreeMap::new();
    let mut out = Vec::with_capacity(history.len());
    for m in history {
        by_dot.insert((m.author, m.seq), ticks(m));
        let entries = m.clock.entries().iter();
        out.push(entries.map(|&(author, n)| (author, by_dot.get(&(author, n)).copied().unwrap_or(n))).collect());
    }
    out
}

/// A place in a conversation's display order: causal depth, then author, then id; never a clock on
/// the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Causal depth.
    pub depth: u64,
    /// The author.
    pub author: NodeId,
    /// The message.
    pub id: MessageId,
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
