//! Inputs and outputs of the chat machine.

use alloc::vec::Vec;

use crate::collections::{OrderedSet, ShortId};
use crate::id::{ConversationId, GroupId, Life, MessageId, NodeId, OpId};
use crate::shared::Arc;
use crate::store::Scan;
use crate::wire::Priority;
use crate::wire::content::{Conversation, Message};
use crate::wire::group::{Context, GroupHistory, GroupView};
use crate::wire::registers::Register;

use crate::chat::receipts::Confirmations;

#[derive(Debug)]
pub(crate) enum In {
    /// A peer's private message, by the delivery machine.
    DirectReceived { from: NodeId, id: ShortId, body: Vec<u8> },
    /// A broadcast, by the gossip machine.
    GossipReceived { via: NodeId, id: ShortId, body: Vec<u8> },
    /// From a peer's chat machine, about the network's conversation.
    Message { from: NodeId, body: Vec<u8> },
    /// The same about the private one with this peer, opened in the session with it.
    Opened { from: NodeId, body: Vec<u8> },
    /// There is a session with this node, or a new one: what was said to it before may not have reached it.
    Ready(NodeId),
    /// These are the devices of an account; `person` stands for it.
    Devices { person: NodeId, devices: Vec<NodeId> },
    /// What is known of a group now; none when this node is no member any more.
    Group { group: GroupId, view: Option<Arc<GroupView>> },
    /// Name what was said in a group, without saying anything.
    Stand(GroupId),
    /// The answer to `Out::Vet`.
    Vetted { group: GroupId, author: NodeId, context: Context, may: bool, members: Arc<OrderedSet<OpId>> },
    /// From which depth on does a newcomer of a group read, who is added now?
    Where { group: GroupId, member: NodeId, history: GroupHistory },
    /// A run that came sealed for a group, opened and vetted by the group machine.
    Carried { group: GroupId, via: NodeId, body: Vec<u8> },
    /// The other side has stored a private message of this node.
    Delivered { to: NodeId, id: MessageId },
    /// Up to where the user read a conversation on any of its devices; none: no mark counts any more.
    ReadElsewhere { conversation: ConversationId, upto: Option<MessageId> },
    /// Compare everything with this node, the whole history included, both ways: now, or when a link
    /// opens.
    Compare { peer: NodeId, linked: bool },
    /// Compare what is shared with every neighbour at once, by heights.
    CompareAll,
}

#[derive(Debug)]
pub(crate) enum Out {
    /// Deliver this run to one node. The ids are those of what it says, the last one last.
    Submit {
        to: NodeId,
        ids: Vec<MessageId>,
        body: Vec<u8>,
    },
    /// Send this to all nodes of the network.
    Publish {
        body: Vec<u8>,
    },
    /// Send this to the members of a group.
    Carry {
        group: GroupId,
        body: Vec<u8>,
    },
    /// What this member had of a group's messages is here, as far as this node may read it.
    CaughtUp(GroupId),
    /// The answer to `In::Where`.
    Where {
        group: GroupId,
        member: NodeId,
        from: u64,
    },
    /// Was this author a member who may post?
    Vet {
        group: GroupId,
        author: NodeId,
        context: Context,
    },
    /// This node wrote, and it is not known whose device it is.
    Unknown(NodeId),
    /// The verdict on `In::DirectReceived`.
    DirectValidated {
        from: NodeId,
        id: ShortId,
        accepted: bool,
    },
    /// This peer brought what it must have seen to be forged.
    Forged(NodeId),
    /// The verdict on `In::GossipReceived`.
    GossipValidated {
        id: ShortId,
        genuine: bool,
    },
    Send {
        to: NodeId,
        priority: Priority,
        body: Vec<u8>,
    },
    /// As `Send`, readable to the device of this node alone.
    Seal {
        to: NodeId,
        priority: Priority,
        body: Vec<u8>,
    },
    /// Another author's message has its place in the order.
    Received(Message),
    /// An author said two things under one number of one log.
    Forked {
        conversation: Conversation,
        author: NodeId,
        life: Life,
        seq: u64,
    },
    /// Another copy of this profile speaks here: this node starts a new message log.
    LifeBegun {
        conversation: Conversation,
    },
    /// Read cold records; answered under the same number.
    Read {
        read: u64,
        scan: Scan,
    },
    /// Others have more of what this node said.
    Confirmed {
        conversation: Conversation,
        confirmations: Confirmations,
    },
    /// A node types, or has stopped.
    Typing {
        conversation: Conversation,
        node: NodeId,
        active: bool,
    },
    /// All that this peer claimed to have of the network's conversation is here.
    Compared(NodeId),
    /// The answer to a history query.
    Page {
        query: u64,
        messages: Vec<Message>,
        older: Option<MessageId>,
    },
    /// The user set this, for all of its devices.
    Share(Register),
    /// There is a private conversation, since now or since before the start.
    Private,
}
