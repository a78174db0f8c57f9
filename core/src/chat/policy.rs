//! What a conversation may do: the one place where kinds of conversations differ. A new kind is an arm here.

use alloc::vec::Vec;

use crate::collections::OrderedSet;
use crate::id::{ConversationId, GroupId, NodeId, OpId};
use crate::identity::Identity;
use crate::shared::Arc;
use crate::wire::Malformed;
use crate::wire::content::Conversation;
use crate::wire::entry::{Parts, Run};
use crate::wire::group::{Context, GroupView, Reader};

/// How entries of this node reach the others of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriage {
    /// By gossip, to all nodes of the network.
    Gossip,
    /// By delivery, to each device of the other side.
    Delivery,
    /// By the group machine, to its members.
    Members(GroupId),
}

/// Members of a group in which each message is acknowledged to its author: 32 (docs/design/groups.md §5,
/// "Confirmations"). In a larger one heights and what members say tell who has it.
const ACKNOWLEDGED: usize = 32;

/// The devices of both sides of a private conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sides {
    /// This one included.
    pub(super) ours: Vec<NodeId>,
    pub(super) theirs: Vec<NodeId>,
}

/// The rules of one conversation at one node.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    kind: Conversation,
    me: NodeId,
    /// What is known of a group; empty for others.
    view: Arc<GroupView>,
    /// The devices of a private conversation; empty for others.
    sides: Arc<Sides>,
}

impl Policy {
    pub(super) fn new(kind: Conversation, me: NodeId) -> Self {
        Self { kind, me, view: Arc::default(), sides: Arc::default() }
    }

    /// The same with what is known of a group now.
    pub(super) fn with_view(kind: Conversation, me: NodeId, view: Arc<GroupView>) -> Self {
        Self { kind, me, view, sides: Arc::default() }
    }

    /// The same with the devices of a private conversation.
    pub(super) fn with_sides(kind: Conversation, me: NodeId, sides: Arc<Sides>) -> Self {
        Self { kind, me, view: Arc::default(), sides }
    }

    pub(super) fn is_private(&self) -> bool {
        matches!(self.kind, Conversation::Private(_))
    }

    /// The devices to which an own message is delivered.
    pub(super) fn receivers(&self) -> &[NodeId] {
        &self.sides.theirs
    }

    pub(super) fn kind(&self) -> Conversation {
        self.kind
    }

    pub(super) fn carriage(&self) -> Carriage {
        match self.kind {
            Conversation::Network => Carriage::Gossip,
            Conversation::Private(_) => Carriage::Delivery,
            Conversation::Group(group) => Carriage::Members(group),
        }
    }

    /// Whether each run carries its author's signature, so that any node can hand it on. Otherwise the link proves
    /// the party that brings it.
    pub(super) fn is_signed(&self) -> bool {
        match self.kind {
            Conversation::Network | Conversation::Group(_) => true,
            Conversation::Private(_) => false,
        }
    }

    /// Whether neighbours hold it, and gossip mends it first.
    pub(super) fn is_of_all(&self) -> bool {
        match self.kind {
            Conversation::Network => true,
            Conversation::Private(_) | Conversation::Group(_) => false,
        }
    }

    /// Whether a node may learn what is said here, or whether anything is.
    pub(super) fn may_sync(&self, with: NodeId) -> bool {
        match self.kind {
            Conversation::Network => true,
            Conversation::Private(_) => {
                with != self.me && (self.sides.theirs.contains(&with) || self.sides.ours.contains(&with))
            }
            Conversation::Group(_) => self.view.devices.contains_key(&with),
        }
    }

    /// Who is behind a node: the member of a group whose device it is.
    pub(super) fn member_of(&self, node: NodeId) -> NodeId {
        self.view.devices.get(&node).map_or(node, |reader| reader.member)
    }

    /// The members of a group, each once.
    fn members(&self) -> OrderedSet<NodeId> {
        self.view.devices.values().map(|reader| reader.member).collect()
    }

    /// A device of a member of a group.
    pub(super) fn reader(&self, node: NodeId) -> Option<Reader> {
        self.view.devices.get(&node).copied()
    }

    /// Whether each message is acknowledged to its author. A private one is by delivery.
    pub(super) fn acknowledges(&self) -> bool {
        match self.kind {
            Conversation::Network | Conversation::Private(_) => false,
            Conversation::Group(_) => self.members().len() <= ACKNOWLEDGED,
        }
    }

    /// Whether two entries under one number prove that an author, or a copy of its profile, said both. What the other side
    /// brings of an own device, or of one that was removed, proves nothing: private entries carry no signature.
    pub(super) fn proves_fork(&self, author: NodeId) -> bool {
        match self.kind {
            Conversation::Network | Conversation::Group(_) => true,
            Conversation::Private(_) => author == self.me || self.sides.theirs.contains(&author),
        }
    }

    /// The other people that may read what is said at this depth.
    pub(super) fn readers(&self, depth: u64) -> Vec<NodeId> {
        match self.kind {
            Conversation::Network => Vec::new(),
            Conversation::Private(peer) => alloc::vec![peer],
            Conversation::Group(_) => {
                let own = self.member_of(self.me);
                let may = self.view.devices.values().filter(|reader| reader.member != own && reader.from <= depth);
                let members: OrderedSet<NodeId> = may.map(|reader| reader.member).collect();
                members.into_iter().collect()
            }
        }
    }

    /// The devices of a reader: what one of them has, the reader has.
    pub(super) fn devices_of(&self, reader: NodeId) -> Vec<NodeId> {
        match self.kind {
            Conversation::Private(_) => self.sides.theirs.clone(),
            Conversation::Network => alloc::vec![reader],
            Conversation::Group(_) => {
                let of = self.view.devices.iter().filter(|(_, device)| device.member == reader);
                of.map(|(node, _)| *node).collect()
            }
        }
    }

    /// Whether whole histories are compared. In a private one heights say all, and in a group members trust each
    /// other's heights so far.
    pub(super) fn compares_whole(&self) -> bool {
        self.is_of_all()
    }

    /// Whether this node may say something here. A newcomer (`is_new`) of a group speaks once it has caught up, so that
    /// what it says follows what was said before.
    pub(super) fn may_say(&self, is_new: bool) -> bool {
        let is_ready = !is_new || self.reader(self.me).is_none_or(|reader| reader.from <= 1);
        !matches!(self.kind, Conversation::Group(_)) || (self.view.context.is_some() && is_ready)
    }

    /// What own entries are bound to.
    pub(super) fn context(&self) -> Option<&Context> {
        self.view.context.as_ref()
    }

    /// Whether an author was a member once and is not by the same operation any more: what it said is shown only if
    /// a member's entry names it.
    pub(super) fn is_past(&self, author: NodeId, stint: OpId) -> bool {
        let is_past = self.view.devices.get(&author).is_none_or(|reader| reader.stint != stint);
        // A member that leaves takes back nothing that it said.
        is_past && !self.view.left.contains(&author)
    }

    /// An own run.
    pub(super) fn seal(&self, id: ConversationId, identity: &Identity, parts: Parts) -> Result<Run, Malformed> {
        match self.kind {
            Conversation::Network => Run::sign(identity, id, parts),
            Conversation::Private(_) => Run::plain(id, self.me, parts),
            Conversation::Group(_) => {
                Run::sign_in_group(identity, id, self.view.context.as_ref().ok_or(Malformed)?, parts)
            }
        }
    }

    /// Reads a run. A signature is not checked.
    pub(super) fn decode(&self, id: ConversationId, bytes: Vec<u8>) -> Result<Run, Malformed> {
        match self.kind {
            Conversation::Network => Run::decode_signed(id, bytes),
            Conversation::Private(_) => Run::decode_plain(id, bytes),
            Conversation::Group(_) => Run::decode_in_group(id, bytes),
        }
    }
}
