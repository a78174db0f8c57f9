//! What a conversation may do: the one place where kinds of conversations differ. A new kind is an arm here.

use alloc::vec::Vec;

use crate::chat::wire::{Body, Signed, record_envelope};
use crate::config::ChatConfig;
use crate::id::{ID_LEN, MessageId, NodeId};
use crate::identity::Identity;
use crate::time::Duration;
use crate::wire::content::{Conversation, Message};
use crate::wire::record::Reader;
use crate::wire::{MAX_MESSAGE, Malformed, decode};

/// A private gap is asked for after this: the sender's outbox fills it first if it still has it.
const PRIVATE_FILL: Duration = Duration::from_secs(5);

/// How messages of this node reach the others of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriage {
    /// By gossip, to all nodes of the network.
    Gossip,
    /// By delivery, to one node.
    Delivery(NodeId),
}

/// The rules of one conversation at one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    kind: Conversation,
    me: NodeId,
}

impl Policy {
    pub(super) fn new(kind: Conversation, me: NodeId) -> Self {
        Self { kind, me }
    }

    pub(super) fn kind(self) -> Conversation {
        self.kind
    }

    pub(super) fn carriage(self) -> Carriage {
        match self.kind {
            Conversation::Network => Carriage::Gossip,
            Conversation::Private(peer) => Carriage::Delivery(peer),
        }
    }

    /// Whether each message carries its author's signature, so that any node can hand it on. Otherwise the link
    /// proves the author, and each node hands on its own messages only.
    pub(super) fn is_signed(self) -> bool {
        match self.kind {
            Conversation::Network => true,
            Conversation::Private(_) => false,
        }
    }

    /// Whether a node may learn what is said here, or whether anything is.
    pub(super) fn may_sync(self, with: NodeId) -> bool {
        match self.kind {
            Conversation::Network => true,
            Conversation::Private(peer) => with == peer,
        }
    }

    /// Whether whole histories are compared. In a private one heights say all: each side keeps only its own
    /// messages for the other.
    pub(super) fn compares_whole(self) -> bool {
        self.is_signed()
    }

    /// Whether this node serves messages of `author` to others.
    pub(super) fn may_serve(self, author: NodeId) -> bool {
        self.is_signed() || author == self.me
    }

    /// Whether `bringer` is asked for messages of `author`.
    pub(super) fn may_bring(self, bringer: NodeId, author: NodeId) -> bool {
        self.is_signed() || author == bringer
    }

    /// Whether the other side's count of this node's own messages proves that an older
    /// copy of its store used the numbers.
    pub(super) fn believes_own_height(self) -> bool {
        !self.is_signed()
    }

    /// Whether a message of `author` may name messages of `other` as seen.
    pub(super) fn may_name(self, author: NodeId, other: NodeId) -> bool {
        match self.kind {
            Conversation::Network => true,
            Conversation::Private(peer) => other == if author == self.me { peer } else { self.me },
        }
    }

    /// How long a gap may wait for messages in flight.
    pub(super) fn fill_after(self, config: &ChatConfig) -> Duration {
        match self.kind {
            Conversation::Network => config.fill_after,
            Conversation::Private(_) => PRIVATE_FILL,
        }
    }

    /// The envelope of an own message.
    pub(super) fn seal(self, identity: &Identity, id: MessageId, body: Vec<u8>) -> Vec<u8> {
        if self.is_signed() { Signed::seal(identity, id, &body) } else { body }
    }

    /// A message from its record in display order.
    pub(super) fn message(self, key: &[u8], value: &[u8]) -> Result<Message, Malformed> {
        let mut reader = Reader(key);
        let _conversation: [u8; ID_LEN] = reader.take()?;
        let depth = u64::from_be_bytes(reader.take()?);
        let author = NodeId(reader.take()?);
        let id = MessageId(reader.take()?);
        let (clock, envelope) = record_envelope(value)?;
        let body = if self.is_signed() { Signed::decode(envelope)?.body } else { envelope };
        let Body { seq, sent_at, content, .. } = decode(body, MAX_MESSAGE)?;
        Ok(Message { id, conversation: self.kind, author, seq, depth, clock, sent_at, content })
    }
}
