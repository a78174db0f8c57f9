//! Inputs and outputs of the membership machine.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fact::{DownReason, Fact};
use crate::id::NodeId;
use crate::wire::record::NodeRecord;
use crate::wire::ticket::Bootstrap;
use crate::wire::{Priority, encode};

use super::state::NodeState;
use super::wire::Message;

#[derive(Debug)]
pub(crate) enum In {
    /// Enter the network through any of these or any known node; without either, begin one.
    Join(Vec<Bootstrap>),
    /// A linked node behaves as a neighbour and is none here.
    Stranger(NodeId),
    /// Addresses of this node are needed. Answered by `Out::AddAddresses`, at once or when a peer reports them.
    AddressNeeded(NodeId),
    /// The node behind a bare bootstrap address.
    Resolved {
        addr: SocketAddr,
        peer: NodeId,
    },
    Unreachable {
        addr: SocketAddr,
        expect: Option<NodeId>,
        wrong_node: bool,
    },
    Observed {
        by: NodeId,
        addr: SocketAddr,
    },
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// A node of the local network may be there.
    Found {
        addr: SocketAddr,
        id: Option<NodeId>,
    },
    /// Try every bootstrap and every known node again at once.
    Retry,
    /// The history here has all that this peer's has.
    Compared(NodeId),
    /// Contact these at once, or a node met before: the network may have another part.
    Contact(Vec<NodeId>),
}

#[derive(Debug)]
pub(crate) enum Out {
    Fact(Fact),
    Connect {
        addr: SocketAddr,
        expect: Option<NodeId>,
    },
    /// `told`: this node never had a link with it; else it had one at the first address.
    AddAddresses {
        peer: NodeId,
        record: Option<NodeRecord>,
        addrs: Vec<SocketAddr>,
        told: bool,
    },
    Want(NodeId),
    Unwant(NodeId),
    /// Asks for `Fact::RoundTrips` of every link.
    Measure,
    /// End the link to this peer.
    Close(NodeId),
    Send {
        to: NodeId,
        priority: Priority,
        body: Vec<u8>,
    },
    /// A node is linked, with its name if it ever announced one.
    Up {
        peer: NodeId,
        name: Option<String>,
    },
    Down {
        peer: NodeId,
        reason: DownReason,
    },
    State {
        from: NodeState,
        to: NodeState,
    },
    /// How many nodes the network has, about.
    Estimate(usize),
    /// Compare histories with this peer at once.
    Compare(NodeId),
    /// Make and answer handshakes.
    Open,
    /// Close every link and answer no handshake.
    Shut,
}

impl Out {
    pub(super) fn message(to: NodeId, message: &Message) -> Self {
        Self::Send { to, priority: Priority::High, body: encode(message) }
    }
}
