//! Messages of membership machines: the DONP document's discovery messages.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::NodeType;
use crate::identity::DeviceCert;
use crate::wire::Blob;

/// Addresses that one node may claim.
pub(super) const MAX_ADDRS: usize = 4;
/// Nodes named in one response.
pub(super) const MAX_OFFERED: usize = 8;
/// Bytes of one message: eight nodes of 300 bytes, with reserve.
pub(super) const MAX_BYTES: usize = 8_192;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// `NodeAnnouncement`: what the sender says of itself, in addition to the signed record that the link exchanged
    /// (which holds the document's `nodeId`, `nodeType`, `capabilities` and `publicKey`).
    Announcement {
        /// The account's certificate of this device, with its name.
        cert: DeviceCert,
        /// Where it believes it can be reached.
        addrs: Vec<SocketAddr>,
    },
    /// `NeighborRequest`; HyParView's JOIN and NEIGHBOR.
    Request {
        urgency: Urgency,
        /// How many neighbours the requester looks for; 0: only names of others.
        max_neighbours: u8,
        /// Types it would rather have; empty: any.
        preferred: Vec<NodeType>,
        /// `GeographicLocation`, in hundredths of a degree north and east; optional and coarse.
        location: Option<(i16, i16)>,
    },
    /// `NeighborResponse`.
    Response {
        /// `accepted` and `reason` in one: both are neighbours from here on, or why not.
        accepted: Result<(), Refusal>,
        /// Other nodes to try.
        available: Vec<NodeInfo>,
    },
    /// HyParView's FORWARDJOIN: a newcomer's walk through the network.
    ForwardJoin { joiner: NodeInfo, ttl: u8 },
    /// HyParView's DISCONNECT: no neighbours any more; the link lasts as long as a machine needs it.
    /// A displaced node gets the one that displaced it: that one took one link and may need one more.
    Disconnect { instead: Option<NodeInfo> },
    /// HyParView's SHUFFLE. The number finds the way back.
    Shuffle { walk: u64, ttl: u8, nodes: Vec<NodeInfo> },
    /// HyParView's SHUFFLEREPLY, along the way back.
    ShuffleReply { walk: u64, nodes: Vec<NodeInfo> },
    /// The component sketch: salted ids of nodes that live in this part of the network, with the count of their ticks
    /// and the seconds since it was new; and whether the sender counts the receiver as a neighbour, and
    /// as an anchor.
    Sketch { neighbour: bool, anchor: bool, marks: Vec<(u64, u32, u16)> },
}

/// How much a requester needs a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Urgency {
    /// It is new: take it and walk it through the network.
    Join,
    /// It has no neighbour at all: take it.
    High,
    /// It has capacity for one more: take it if there is capacity.
    Low,
    /// Only names of others are asked for.
    Names,
    /// It lives in another part of the network: take it beyond the usual number.
    Merge,
}

/// Why a node is not taken as a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// It has as many as it keeps.
    Full,
    /// It is about to leave.
    Leaving,
    /// Only other names were asked for.
    NotAsked,
}

impl Refusal {
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Full => "it has all the neighbours it keeps",
            Self::Leaving => "it is leaving",
            Self::NotAsked => "it was not asked to be a neighbour",
        }
    }
}

/// A node as another describes it: the signed record is proof, the addresses and name are unverified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeInfo {
    pub record: Blob,
    pub name: Option<String>,
    pub addrs: Vec<SocketAddr>,
}
