//! Messages, their contents and conversations.

use donp_core as core;
use donp_core::{GroupId, MessageId, NodeId, VectorClock};
use serde::{Deserialize, Serialize};

use super::contacts::ConfirmationCounts;
use super::file::Attachment;
use super::text;

/// The parties of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversation {
    /// All of the network; `all` in JSON.
    Network,
    /// This node and one other; the other's id in JSON.
    Private {
        /// The other.
        peer: NodeId,
    },
    /// The members of a group; its id in JSON.
    Group {
        /// Which.
        group: GroupId,
    },
}

impl Conversation {
    /// None for a kind of a newer version.
    pub const fn of(conversation: core::Conversation) -> Option<Self> {
        match conversation {
            core::Conversation::Network => Some(Self::Network),
            core::Conversation::Private(peer) => Some(Self::Private { peer }),
            core::Conversation::Group(group) => Some(Self::Group { group }),
            _ => None,
        }
    }
}

impl std::fmt::Display for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network => f.write_str("all"),
            Self::Private { peer } => peer.fmt(f),
            Self::Group { group } => group.fmt(f),
        }
    }
}

impl std::str::FromStr for Conversation {
    type Err = <NodeId as std::str::FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::Network),
            // The first letter of an id says of what it is.
            _ if text.trim_start().starts_with(['g', 'G']) => text.parse().map(|group| Self::Group { group }),
            _ => text.parse().map(|peer| Self::Private { peer }),
        }
    }
}

/// The content of a message; its fields stand in the message's object, and no two kinds have the same ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Text in answer to a message.
    Reply {
        /// The message answered.
        #[serde(with = "text")]
        reply_to: MessageId,
        /// 1 to 65,536 bytes of UTF-8.
        text: String,
    },
    /// Replaces the text of an own message.
    Edit {
        /// The message changed.
        #[serde(with = "text")]
        edit_of: MessageId,
        /// 1 to 65,536 bytes of UTF-8.
        text: String,
    },
    /// A short mark on a message.
    React {
        /// The message marked.
        #[serde(with = "text")]
        react_to: MessageId,
        /// 1 to 64 bytes of UTF-8; `text` in JSON, so that every text is found under one name.
        #[serde(rename = "text")]
        mark: String,
    },
    /// Takes an own message back. Nothing is erased from other people's devices.
    Retract {
        /// The message taken back.
        #[serde(with = "text")]
        retract: MessageId,
    },
    /// A file, and words to go with it.
    File {
        /// The file.
        file: Attachment,
        /// 0 to 4,096 bytes of UTF-8.
        text: String,
    },
    /// Plain text.
    Text {
        /// 1 to 65,536 bytes of UTF-8.
        text: String,
    },
    /// Content of a newer version.
    Unknown {},
}

impl From<core::Content> for Content {
    fn from(content: core::Content) -> Self {
        match content {
            core::Content::Text { text } => Self::Text { text },
            core::Content::Reply { reply_to, text } => Self::Reply { reply_to, text },
            core::Content::Edit { edit_of, text } => Self::Edit { edit_of, text },
            core::Content::React { react_to, mark } => Self::React { react_to, mark },
            core::Content::Retract { retract } => Self::Retract { retract },
            core::Content::File { file, text } => Self::File { file: (*file).into(), text },
            _ => Self::Unknown {},
        }
    }
}

impl Content {
    /// Its text or mark; empty if it has none.
    pub fn shown(&self) -> &str {
        match self {
            Self::Text { text } | Self::Reply { text, .. } | Self::Edit { text, .. } | Self::File { text, .. } => text,
            Self::React { mark, .. } => mark,
            Self::Retract { .. } | Self::Unknown {} => "",
        }
    }

    /// The message that it is about, with the field that says so.
    pub const fn about(&self) -> Option<(&'static str, MessageId)> {
        match self {
            Self::Reply { reply_to, .. } => Some(("reply_to", *reply_to)),
            Self::Edit { edit_of, .. } => Some(("edit_of", *edit_of)),
            Self::React { react_to, .. } => Some(("react_to", *react_to)),
            Self::Retract { retract } => Some(("retract", *retract)),
            Self::Text { .. } | Self::File { .. } | Self::Unknown {} => None,
        }
    }
}

/// A message as a conversation holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "message")]
pub struct Message {
    /// Its place in the order of the conversation and the hash of its header.
    #[serde(with = "text")]
    pub id: MessageId,
    /// Its conversation.
    #[serde(with = "text")]
    pub conversation: Conversation,
    /// Its author.
    #[serde(with = "text")]
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
    /// The text that its author's last edit gave it.
    pub edited: Option<String>,
    /// Whether its author has retracted it.
    pub retracted: bool,
    /// Its content.
    #[serde(flatten)]
    pub content: Content,
    /// For programs that show it; only in JSON.
    #[serde(flatten)]
    pub context: Option<Context>,
}

impl Message {
    /// None for a kind of conversation of a newer version.
    pub fn of(message: core::Message) -> Option<Self> {
        Some(Self {
            id: message.id,
            conversation: Conversation::of(message.conversation)?,
            author: message.author,
            life: message.life.to_string(),
            seq: message.seq,
            depth: message.id.depth,
            clock: message.clock.as_ref().map(ClockEntry::of),
            sent_at_ms: message.sent_at.0,
            edited: message.edited,
            retracted: message.retracted,
            content: message.content.into(),
            context: None,
        })
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

/// One component of the clock of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockEntry {
    /// The author.
    #[serde(with = "text")]
    pub author: NodeId,
    /// Which of the author's logs, in hexadecimal.
    pub life: String,
    /// How many messages of it, from the first without gaps.
    pub count: u64,
}

impl ClockEntry {
    fn of(clock: &VectorClock) -> Vec<Self> {
        let entry = |e: &core::ClockEntry| Self { author: e.author, life: e.life.to_string(), count: e.count };
        clock.entries().iter().map(entry).collect()
    }
}

/// What JSON says of a message beside the message itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The name that the author claims.
    pub name: Option<String>,
    /// The name of its group; null in other conversations.
    pub group_name: Option<String>,
    /// `sent_at_ms` in RFC 3339; null if the author's clock was not known.
    pub sent_at: Option<String>,
    /// Ids of the messages near it that its author had not seen, and whose authors had not seen it.
    pub concurrent_with: Vec<String>,
    /// Whether it is of a stranger whose request waits for an answer.
    pub request: bool,
    /// How far it is.
    pub state: MessageState,
    /// How many have an own message of a group or a private conversation; null for others, and where it is not known.
    pub confirmations: Option<ConfirmationCounts>,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Of another author.
    Received,
    /// An own private one that waits for its acknowledgement.
    Queued,
    /// An own one to all or to a group.
    Sent,
    /// An own private one that the other side has stored.
    Delivered,
}
