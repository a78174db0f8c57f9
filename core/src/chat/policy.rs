//! What a conversation may do: the one place where kinds of conversations differ. A new kind is an arm here.

use alloc::vec::Vec;

use crate::chat::entry::{Parts, Run};
use crate::id::{ConversationId, NodeId};
use crate::identity::Identity;
use crate::wire::Malformed;
use crate::wire::content::Conversation;

/// How entries of this node reach the others of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriage {
    /// By gossip, to all nodes of the network.
    Gossip,
    /// By delivery, to one node.
    Delivery(NodeId),
}

/// The rules of one conversation at one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
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

    /// Whether each run carries its author's signature, so that any node can hand it on. Otherwise the link proves
    /// the party that brings it.
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

    /// Whether whole histories are compared. In a private one heights say all.
    pub(super) fn compares_whole(self) -> bool {
        self.is_signed()
    }

    /// An own run.
    pub(super) fn seal(self, id: ConversationId, identity: &Identity, parts: Parts) -> Result<Run, Malformed> {
        match self.kind {
            Conversation::Network => Run::sign(identity, id, parts),
            Conversation::Private(peer) => Run::plain(id, (self.me, peer), parts),
        }
    }

    /// Reads a run. A signature is not checked.
    pub(super) fn decode(self, id: ConversationId, bytes: Vec<u8>) -> Result<Run, Malformed> {
        match self.kind {
            Conversation::Network => Run::decode_signed(id, bytes),
            Conversation::Private(peer) => Run::decode_plain(id, (self.me, peer), bytes),
        }
    }
}
