//! Contacts, and conversations at a glance.

use donp_core as core;
use donp_core::{MessageId, NodeId, Verification};
use serde::{Deserialize, Serialize};

use super::{Conversation, text, text_or_null, texts, verification};

/// A node in the book of this node: a contact, or a stranger with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "contact")]
pub struct Contact {
    /// The party: one device.
    #[serde(with = "text")]
    pub node: NodeId,
    /// The short form of its id.
    pub short: String,
    /// This node's own name for it.
    pub petname: Option<String>,
    /// The name that it claims.
    pub name: Option<String>,
    /// Whether it is a stranger that wrote, and waits for an answer.
    pub request: bool,
    /// Whether its keys were compared.
    #[serde(with = "verification")]
    pub verification: Verification,
    /// Whether its messages make no events.
    pub muted: bool,
    /// Whether it is blocked.
    pub blocked: bool,
    /// When it came into the book, in milliseconds since 1970.
    pub added_ms: u64,
    /// Its private messages that were not read.
    pub unread: u32,
}

impl From<core::Contact> for Contact {
    fn from(c: core::Contact) -> Self {
        Self {
            node: c.node,
            short: c.node.short(),
            petname: c.petname,
            name: c.name,
            request: c.request,
            verification: c.verification,
            muted: c.muted,
            blocked: c.blocked,
            added_ms: c.added.0,
            unread: c.unread,
        }
    }
}

/// A conversation at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "conversation")]
pub struct ConversationInfo {
    /// Which.
    #[serde(with = "text")]
    pub conversation: Conversation,
    /// Texts and answers of others that were not read.
    pub unread: u32,
    /// The message up to which it was read.
    #[serde(with = "text_or_null")]
    pub read: Option<MessageId>,
    /// Whether it is with a stranger that waits for an answer.
    pub request: bool,
}

impl ConversationInfo {
    /// None for a kind of conversation of a newer version.
    pub fn of(info: &core::ConversationInfo) -> Option<Self> {
        let conversation = Conversation::of(info.conversation)?;
        Some(Self { conversation, unread: info.unread, read: info.read, request: info.request })
    }
}

/// The members that have a message of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "confirmations")]
pub struct Confirmations {
    /// Which.
    #[serde(with = "text")]
    pub message: MessageId,
    /// Members that may read it, without this node and blocked nodes.
    pub members: u32,
    /// Those of them that have stored it.
    #[serde(with = "texts")]
    pub stored: Vec<NodeId>,
    /// Those that say that they have read it.
    #[serde(with = "texts")]
    pub read: Vec<NodeId>,
}

impl From<core::Confirmations> for Confirmations {
    fn from(confirmations: core::Confirmations) -> Self {
        let core::Confirmations { message, members, stored, read } = confirmations;
        Self { message, members, stored, read }
    }
}

/// How many have a message of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmationCounts {
    /// Members that may read it, without this node and blocked nodes.
    pub members: u32,
    /// So many of them have stored it.
    pub stored: usize,
    /// So many say that they have read it.
    pub read: usize,
}

impl From<&core::Confirmations> for ConfirmationCounts {
    fn from(all: &core::Confirmations) -> Self {
        Self { members: all.members, stored: all.stored.len(), read: all.read.len() }
    }
}
