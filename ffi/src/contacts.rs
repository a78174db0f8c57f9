//! Contacts, requests, read marks, and the identity at the other end of a link (`AuthenticationChallenge` of the DONP
//! document).

use donp_core as core;
use donp_core::Instant;
use donp_runtime::api;

use crate::{Conversation, DonpError, Engine, MessageId, Node, NodeId};

/// What this node made of a contact's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Verification {
    /// Its safety number was not compared.
    Unverified,
    /// Its safety number was compared and is right.
    Verified,
    /// It was verified, and has another key since: nothing is sent to it until that is looked at.
    Changed,
    /// Something of a newer version.
    Other,
}

impl From<core::Verification> for Verification {
    fn from(verification: core::Verification) -> Self {
        match verification {
            core::Verification::Unverified => Self::Unverified,
            core::Verification::Verified => Self::Verified,
            core::Verification::Changed => Self::Changed,
            _ => Self::Other,
        }
    }
}

/// The result of a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum AuthenticationResult {
    /// The device of the node is at the other end of the link.
    Authenticated,
    /// The other end answered, and does not have the device's key or is not on this link.
    Failed,
    /// There was no answer in ten seconds, or no link.
    Timeout,
    /// A result of a newer version.
    Other,
}

impl From<core::AuthenticationResult> for AuthenticationResult {
    fn from(result: core::AuthenticationResult) -> Self {
        match result {
            core::AuthenticationResult::Authenticated => Self::Authenticated,
            core::AuthenticationResult::Failed => Self::Failed,
            core::AuthenticationResult::Timeout => Self::Timeout,
            _ => Self::Other,
        }
    }
}

/// A node in the book of another: a contact, or a stranger with a request.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Contact {
    /// The party: one device.
    pub node: NodeId,
    /// The own name for it, at most 64 bytes.
    pub petname: Option<String>,
    /// The name that it claims.
    pub name: Option<String>,
    /// Whether it is a stranger that wrote, and waits for an answer.
    pub request: bool,
    /// Whether its keys were compared.
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
    fn from(contact: core::Contact) -> Self {
        let c = api::Contact::from(contact);
        Self {
            node: c.node,
            petname: c.petname,
            name: c.name,
            request: c.request,
            verification: c.verification.into(),
            muted: c.muted,
            blocked: c.blocked,
            added_ms: c.added_ms,
            unread: c.unread,
        }
    }
}

/// The members that have a message of this node.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Confirmations {
    /// Which.
    pub message: MessageId,
    /// Members that may read it, without this node and blocked nodes; 1 in a private conversation.
    pub members: u32,
    /// Those of them that have stored it.
    pub stored: Vec<NodeId>,
    /// Those that say that they have read it, with the setting `chat.send_read_marks` on.
    pub read: Vec<NodeId>,
}

impl From<api::Confirmations> for Confirmations {
    fn from(confirmations: api::Confirmations) -> Self {
        let api::Confirmations { message, members, stored, read } = confirmations;
        Self { message, members, stored, read }
    }
}

/// A conversation at a glance.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ConversationInfo {
    /// Which.
    pub conversation: Conversation,
    /// Texts and answers of others that were not read.
    pub unread: u32,
    /// The message up to which it was read.
    pub read: Option<MessageId>,
    /// Whether it is with a stranger that waits for an answer.
    pub request: bool,
}

fn conversations(all: Vec<core::ConversationInfo>) -> Vec<ConversationInfo> {
    let known = all.iter().filter_map(api::ConversationInfo::of);
    known
        .map(|c| ConversationInfo {
            conversation: c.conversation.into(),
            unread: c.unread,
            read: c.read,
            request: c.request,
        })
        .collect()
}

/// What two people compare to know that they have each other's keys.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SafetyNumber {
    /// 60 digits in twelve groups of five with blanks between: equal at both.
    pub number: String,
    /// The keys themselves, 213 characters for a QR code, which the other device scans.
    pub code: String,
}

impl From<core::SafetyNumber> for SafetyNumber {
    fn from(n: core::SafetyNumber) -> Self {
        Self { number: n.number, code: n.code }
    }
}

#[uniffi::export]
impl Node {
    /// All of the book, by id: contacts, and requests of strangers.
    pub fn contacts(&self) -> Result<Vec<Contact>, DonpError> {
        self.run(|n| Ok(n.contacts()?.into_iter().map(Into::into).collect()))
    }

    /// One of the book; none if the node is neither a contact nor has a request.
    pub fn contact(&self, node: NodeId) -> Result<Option<Contact>, DonpError> {
        self.run(|n| Ok(n.contact(node)?.map(Into::into)))
    }

    /// Makes a node a contact, with an own name for it if one is given: 1 to 64 bytes, and of no other contact. Accepts its
    /// request. A node that is written to becomes a contact too.
    #[uniffi::method(default(petname = None))]
    pub fn add_contact(&self, node: NodeId, petname: Option<String>) -> Result<(), DonpError> {
        self.run(|n| n.add_contact(node, petname.as_deref()))
    }

    /// Gives a contact another own name, or none.
    pub fn rename_contact(&self, node: NodeId, petname: Option<String>) -> Result<(), DonpError> {
        self.run(|n| n.rename_contact(node, petname.as_deref()))
    }

    /// Takes a contact, or a request, out of the book: name, verification, muting. Its messages stay, as does a block.
    pub fn remove_contact(&self, node: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.remove_contact(node))
    }

    /// Accepts the request of a stranger.
    pub fn accept_contact(&self, node: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.accept_contact(node))
    }

    /// Mutes a contact, or ends that: what it says makes no events, and is in the history and among what is unread.
    pub fn mute_contact(&self, node: NodeId, muted: bool) -> Result<(), DonpError> {
        self.run(|n| n.mute_contact(node, muted))
    }

    /// The safety number with a node of the book. NotFound before its keys are known; they are asked for.
    pub fn safety_number(&self, node: NodeId) -> Result<SafetyNumber, DonpError> {
        self.run(|n| Ok(n.safety_number(node)?.into()))
    }

    /// Compares what the other side says or shows with the safety number: 60 digits in any groups, or a scanned code. If it
    /// is right the contact is verified, also after a change; otherwise Denied.
    pub fn verify_contact(&self, node: NodeId, shown: &str) -> Result<(), DonpError> {
        self.run(|n| n.verify_contact(node, shown))
    }

    /// Goes on with a verified contact whose key changed without comparing again: it is not verified any more.
    pub fn accept_change(&self, node: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.accept_change(node))
    }

    /// Conversations with what is unread in each, the network's and those of groups included.
    pub fn conversations(&self) -> Result<Vec<ConversationInfo>, DonpError> {
        self.run(|n| Ok(conversations(n.conversations()?)))
    }

    /// A conversation was read up to and including this message, or all of it. Others get a mark only with the setting
    /// `chat.send_read_marks`. A mark never goes back.
    #[uniffi::method(default(upto = None))]
    pub fn mark_read(&self, conversation: Conversation, upto: Option<MessageId>) -> Result<(), DonpError> {
        self.run(|n| n.mark_read(conversation.into(), upto))
    }

    /// Which members have a message of this node in a group or a private conversation, as far as is known here.
    /// NotFound for what is no own message among the newest 1,024 or on the pages of history read since the start.
    pub fn confirmations(&self, conversation: Conversation, message: MessageId) -> Result<Confirmations, DonpError> {
        self.run(|n| Ok(api::Confirmations::from(n.confirmations(conversation.into(), message)?).into()))
    }

    /// The user types in a group of up to 32 members, or in a private conversation that this node spoke in. To be called with
    /// each change of the text: others get `Typing` at most every 3 s, and it ends by itself.
    pub fn send_typing(&self, conversation: Conversation) -> Result<(), DonpError> {
        self.run(|n| n.send_typing(conversation.into()))
    }

    /// Deletes all that is here of a private conversation. The other side keeps its own. What comes later is shown.
    pub fn delete_conversation(&self, conversation: Conversation) -> Result<(), DonpError> {
        self.run(|n| n.delete_conversation(conversation.into()))
    }

    /// Challenges the device of a node over its link (`authenticateNode`). The event `Authenticated` says the result in at
    /// most ten seconds. A node without a link is contacted first.
    pub fn authenticate_node(&self, peer: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.authenticate_node(peer))
    }
}

#[uniffi::export]
impl Engine {
    /// All of the book, by id: contacts, and requests of strangers.
    pub fn contacts(&self) -> Result<Vec<Contact>, DonpError> {
        self.run(|inner| Ok(inner.engine.contacts().into_iter().map(Into::into).collect()))
    }

    /// One of the book; none if the node is neither a contact nor has a request.
    pub fn contact(&self, node: NodeId) -> Result<Option<Contact>, DonpError> {
        self.run(|inner| Ok(inner.engine.contact(node).map(Into::into)))
    }

    /// As `Node.add_contact`.
    #[uniffi::method(default(petname = None))]
    pub fn add_contact(&self, now_us: u64, node: NodeId, petname: Option<String>) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.add_contact(Instant::from_micros(now_us), node, petname)?))
    }

    /// As `Node.rename_contact`.
    pub fn rename_contact(&self, now_us: u64, node: NodeId, petname: Option<String>) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.rename_contact(Instant::from_micros(now_us), node, petname)?))
    }

    /// As `Node.remove_contact`.
    pub fn remove_contact(&self, now_us: u64, node: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.remove_contact(Instant::from_micros(now_us), node)?))
    }

    /// As `Node.accept_contact`.
    pub fn accept_contact(&self, now_us: u64, node: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.accept_contact(Instant::from_micros(now_us), node)?))
    }

    /// As `Node.mute_contact`.
    pub fn mute_contact(&self, now_us: u64, node: NodeId, muted: bool) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.mute_contact(Instant::from_micros(now_us), node, muted)?))
    }

    /// As `Node.safety_number`.
    pub fn safety_number(&self, now_us: u64, node: NodeId) -> Result<SafetyNumber, DonpError> {
        self.run(|inner| Ok(inner.engine.safety_number(Instant::from_micros(now_us), node)?.into()))
    }

    /// As `Node.verify_contact`.
    pub fn verify_contact(&self, now_us: u64, node: NodeId, shown: &str) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.verify_contact(Instant::from_micros(now_us), node, shown)?))
    }

    /// As `Node.accept_change`.
    pub fn accept_change(&self, now_us: u64, node: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.accept_change(Instant::from_micros(now_us), node)?))
    }

    /// Conversations with what is unread in each.
    pub fn conversations(&self) -> Result<Vec<ConversationInfo>, DonpError> {
        self.run(|inner| Ok(conversations(inner.engine.conversations())))
    }

    /// As `Node.mark_read`.
    #[uniffi::method(default(upto = None))]
    pub fn mark_read(&self, now_us: u64, conversation: Conversation, upto: Option<MessageId>) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.mark_read(Instant::from_micros(now_us), conversation.into(), upto)?))
    }

    /// As `Node.confirmations`.
    pub fn confirmations(
        &self,
        now_us: u64,
        conversation: Conversation,
        message: MessageId,
    ) -> Result<Confirmations, DonpError> {
        self.run(|inner| {
            let found = inner.engine.confirmations(Instant::from_micros(now_us), conversation.into(), message)?;
            Ok(api::Confirmations::from(found).into())
        })
    }

    /// As `Node.send_typing`.
    pub fn send_typing(&self, now_us: u64, conversation: Conversation) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.send_typing(Instant::from_micros(now_us), conversation.into())?))
    }

    /// As `Node.delete_conversation`.
    pub fn delete_conversation(&self, now_us: u64, conversation: Conversation) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.delete_conversation(Instant::from_micros(now_us), conversation.into())?))
    }

    /// As `Node.authenticate_node`.
    pub fn authenticate_node(&self, now_us: u64, peer: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.authenticate_node(Instant::from_micros(now_us), peer)?))
    }
}
