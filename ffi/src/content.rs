//! What people say.

use donp_core as core;
use donp_runtime::api;

use crate::{MessageId, NodeId};

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
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
    /// Replaces the text of an own message.
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
    /// Takes an own message back. Nothing is erased from other people's devices.
    Retract {
        /// The message taken back.
        retract: MessageId,
    },
    /// Something of a newer version, which this one cannot show.
    Unknown,
}

impl From<api::Content> for Content {
    fn from(content: api::Content) -> Self {
        match content {
            api::Content::Text { text } => Self::Text { text },
            api::Content::Reply { reply_to, text } => Self::Reply { reply_to, text },
            api::Content::Edit { edit_of, text } => Self::Edit { edit_of, text },
            api::Content::React { react_to, mark } => Self::React { react_to, mark },
            api::Content::Retract { retract } => Self::Retract { retract },
            api::Content::Unknown {} => Self::Unknown,
        }
    }
}

impl TryFrom<Content> for core::Content {
    type Error = crate::DonpError;

    fn try_from(content: Content) -> Result<Self, Self::Error> {
        Ok(match content {
            Content::Text { text } => Self::Text { text },
            Content::Reply { reply_to, text } => Self::Reply { reply_to, text },
            Content::Edit { edit_of, text } => Self::Edit { edit_of, text },
            Content::React { react_to, mark } => Self::React { react_to, mark },
            Content::Retract { retract } => Self::Retract { retract },
            Content::Unknown => {
                return Err(crate::DonpError::invalid("unknown content cannot be sent", "send a text"));
            }
        })
    }
}

/// Who a conversation is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Conversation {
    /// Everybody in the network.
    Network,
    /// This node and one other.
    Private {
        /// The other.
        peer: NodeId,
    },
}

impl From<Conversation> for core::Conversation {
    fn from(conversation: Conversation) -> Self {
        match conversation {
            Conversation::Network => Self::Network,
            Conversation::Private { peer } => Self::Private(peer),
        }
    }
}

impl From<api::Conversation> for Conversation {
    fn from(conversation: api::Conversation) -> Self {
        match conversation {
            api::Conversation::Network => Self::Network,
            api::Conversation::Private { peer } => Self::Private { peer },
        }
    }
}

/// A message as a conversation holds it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Message {
    /// The hash of conversation, author and content.
    pub id: MessageId,
    /// Where it was said.
    pub conversation: Conversation,
    /// Who said it.
    pub author: NodeId,
    /// The author's number for it in this conversation, from 1 without gaps.
    pub seq: u64,
    /// One more than the deepest message its author had seen: rises along every causal step.
    pub depth: u64,
    /// The author's wall clock in milliseconds since 1970: to show, never used for order.
    pub sent_at_ms: u64,
    /// What it says.
    pub content: Content,
}

impl From<api::Message> for Message {
    fn from(m: api::Message) -> Self {
        Self {
            id: m.id,
            conversation: m.conversation.into(),
            author: m.author,
            seq: m.seq,
            depth: m.depth,
            sent_at_ms: m.sent_at_ms,
            content: m.content.into(),
        }
    }
}

/// A place in a conversation's order, which is the same for everybody: by causal depth, then author,
/// then id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Position {
    /// Causal depth.
    pub depth: u64,
    /// Whose message.
    pub author: NodeId,
    /// Which message.
    pub id: MessageId,
}

impl From<core::Position> for Position {
    fn from(p: core::Position) -> Self {
        Self { depth: p.depth, author: p.author, id: p.id }
    }
}

impl From<Position> for core::Position {
    fn from(p: Position) -> Self {
        Self { depth: p.depth, author: p.author, id: p.id }
    }
}

/// A page of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct HistoryPage {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Pass this as `before` for the page before; none at the beginning.
    pub older: Option<Position>,
}

impl HistoryPage {
    /// Every message is of the conversation that was asked for, so none is of a kind that is not known.
    pub(crate) fn new(messages: Vec<core::Message>, older: Option<core::Position>) -> Self {
        Self {
            messages: messages.into_iter().filter_map(api::Message::of).map(Message::from).collect(),
            older: older.map(Into::into),
        }
    }
}
