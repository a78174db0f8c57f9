//! Inputs and outputs of the failure detector.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::fact::Fact;
use crate::id::NodeId;
use crate::wire::record::NodeRecord;

#[derive(Debug)]
pub(crate) enum In {
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// How many nodes the network has, about.
    Estimate(usize),
    /// Probe this node at once and report the result, member or not.
    Probe(NodeId),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Fact(Fact),
    Send {
        to: NodeId,
        body: Vec<u8>,
    },
    /// Addresses of a member; `told`: this node never met it.
    AddAddresses {
        peer: NodeId,
        record: Option<NodeRecord>,
        addrs: Vec<SocketAddr>,
        told: bool,
    },
    /// Repeated for a member without a link: each one is a new attempt.
    Want(NodeId),
    Unwant(NodeId),
}
