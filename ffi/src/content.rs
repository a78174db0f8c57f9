//! What people say.

use donp_core as core;
use donp_runtime::api;

use crate::{Attachment, GroupId, MessageId, NodeId};

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
    /// A file, and words to go with it.
    File {
        /// The file.
        file: Attachment,
        /// 0 to 4,096 bytes of UTF-8.
        text: String,
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
            api::Content::File { file, text } => Self::File { file: file.into(), text },
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
            Content::File { file, text } => Self::File { file: Box::new(file.try_into()?), text },
            Content::Unknown => {
                return Err(crate::DonpError::invalid("unknown content cannot be sent", "send a text"));
            }
        })
    }
}

/// The parties of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Conversation {
    /// Everybody in the network.
    Network,
    /// This node and one other.
    Private {
        /// The other.
        peer: NodeId,
    },
    /// The members of a group.
    Group {
        /// Which.
        group: GroupId,
    },
}

impl From<Conversation> for core::Conversation {
    fn from(conversation: Conversation) -> Self {
        match conversation {
            Conversation::Network => Self::Network,
            Conversation::Private { peer } => Self::Private(peer),
            Conversation::Group { group } => Self::Group(group),
        }
    }
}

impl From<api::Conversation> for Conversation {
    fn from(conversation: api::Conversation) -> Self {
        match conversation {
            api::Conversation::Network => Self::Network,
            api::Conversation::Private { peer } => Self::Private { peer },
            api::Conversation::Group { group } => Self::Group { group },
        }
    }
}

/// A message as a conversation holds it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Message {
    /// Its place in the order of the conversation and the hash of its header.
    pub id: MessageId,
    /// Where it was said.
    pub conversation: Conversation,
    /// Its author.
    pub author: NodeId,
    /// Which of the author's logs it is in, in hexadecimal. A profile that was restored or copied has several.
    pub life: String,
    /// The author's number for it in this log, from 1. In a busy conversation merges without text have numbers too.
    pub seq: u64,
    /// One more than the deepest message its author had seen: rises along every causal step.
    pub depth: u64,
    /// What the author had seen, this message included. None in a conversation with more than 64 authors, and in an
    /// event that comes again after a restart: the history has it.
    pub clock: Option<Vec<ClockEntry>>,
    /// The author's wall clock in milliseconds since 1970: to show, never used for order.
    pub sent_at_ms: u64,
    /// Its content, as it was sent.
    pub content: Content,
    /// The text that its author's last edit gave it.
    pub edited: Option<String>,
    /// Whether its author has retracted it.
    pub retracted: bool,
}

impl From<api::Message> for Message {
    fn from(m: api::Message) -> Self {
        Self {
            id: m.id,
            conversation: m.conversation.into(),
            author: m.author,
            life: m.life,
            seq: m.seq,
            depth: m.depth,
            clock: m.clock.map(|entries| entries.into_iter().map(ClockEntry::from).collect()),
            sent_at_ms: m.sent_at_ms,
            content: m.content.into(),
            edited: m.edited,
            retracted: m.retracted,
        }
    }
}

/// One component of the clock of a message.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ClockEntry {
    /// The author.
    pub author: NodeId,
    /// Which of the author's logs, in hexadecimal.
    pub life: String,
    /// How many messages of it, from the first without gaps.
    pub count: u64,
}

impl From<api::ClockEntry> for ClockEntry {
    fn from(api::ClockEntry { author, life, count }: api::ClockEntry) -> Self {
        Self { author, life, count }
    }
}

/// A page of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct HistoryPage {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Pass this as `before` for the page before; none at the beginning.
    pub older: Option<MessageId>,
}

impl HistoryPage {
    /// Every message is of the conversation that was asked for, so none is of a kind that is not known.
    pub(crate) fn new(messages: Vec<core::Message>, older: Option<MessageId>) -> Self {
        Self { messages: messages.into_iter().filter_map(api::Message::of).map(Message::from).collect(), older }
    }
}
