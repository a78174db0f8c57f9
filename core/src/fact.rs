//! What happened to the links, the neighbours, the zone and the host of a node: one closed vocabulary, one
//! name for each fact. Every fact reaches every machine, in the order of the list in `engine/list.rs`,
//! before anything that follows from it is done.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::identity::Identity;
use crate::time::Duration;
use crate::wire::record::NodeRecord;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A link is open and proven in both directions. Never repeated without a `LinkDown` between.
    LinkUp { peer: NodeId, record: NodeRecord, addr: SocketAddr },
    /// A linked node has a newer record: its link key rotated.
    RecordRenewed { peer: NodeId, record: NodeRecord },
    /// A link is gone.
    LinkDown { peer: NodeId, reason: DownReason },
    /// Probes of a link go unanswered; `LinkRecovered` or `LinkDown` follows.
    LinkSuspected(NodeId),
    /// A suspected peer answered.
    LinkRecovered(NodeId),
    /// The validated address of a linked peer changed.
    AddressChanged { peer: NodeId, addr: SocketAddr },
    /// State of links: of one right after its `LinkUp`, of all when the membership machine asks for it.
    RoundTrips(Vec<RoundTrip>),
    /// The user wants nothing of this node: there is no link with it from now on. At a start it is said of each such node.
    Blocked(NodeId),
    /// The user ended that.
    Unblocked(NodeId),
    /// The user wants no events of what this node says. At a start it is said of each such node.
    Muted(NodeId),
    /// The user ended that.
    Unmuted(NodeId),
    /// A linked node is a neighbour in the mesh.
    NeighbourUp(NodeId),
    /// A linked node is no neighbour any more.
    NeighbourDown(NodeId),
    /// The members of the zone that take part, without this node, whenever they change; none without a zone.
    Zone(Option<Vec<NodeId>>),
    /// The state of one member of the zone changed, or a probe of it was asked for and is over. `own`: this node found it
    /// out by itself, or the member said so; otherwise others did.
    MemberChanged { peer: NodeId, state: MemberState, own: bool },
    /// The application entered the network.
    Joined,
    /// The application leaves: machines say goodbye while links are open. `Left` follows.
    Leaving,
    /// This node left: links close and no handshake is answered until it joins again.
    Left,
    /// The device goes to sleep.
    Suspended,
    /// The device woke up; `NetworkChanged` follows.
    Resumed,
    /// The host's network is another one.
    NetworkChanged,
    /// Where the host says that this node can be reached, best first.
    LocalAddresses(Vec<SocketAddr>),
    /// This device is of another account from now on, or has another name.
    Identity(Box<Identity>),
}

/// One link at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundTrip {
    pub peer: NodeId,
    /// Whether this node opened the link.
    pub outbound: bool,
    /// Smoothed; none before the first measurement.
    pub rtt: Option<Duration>,
}

/// Why a link went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DownReason {
    /// No packet arrived for too long.
    Timeout,
    /// The other side closed the link.
    Closed,
    /// The other side restarted.
    Restarted,
    /// No machine of this node needs the link any more.
    Unwanted,
    /// There are too many links.
    Full,
    /// It sent forged messages.
    Misbehaved,
}

impl DownReason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Timeout, Self::Closed, Self::Restarted, Self::Unwanted, Self::Full, Self::Misbehaved];

    /// A stable name, one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Restarted => "restarted",
            Self::Unwanted => "unwanted",
            Self::Full => "full",
            Self::Misbehaved => "misbehaved",
        }
    }

    /// A sentence for people; its subject is the other node.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::Timeout => "it did not answer in time",
            Self::Closed => "it closed the link",
            Self::Restarted => "it restarted",
            Self::Unwanted => "this node does not need the link",
            Self::Full => "there are too many links",
            Self::Misbehaved => "it sent forged messages",
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

/// The state of a zone member as this node sees it (SWIM; docs/spec/messages.md, "Swim").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MemberState {
    /// It takes part.
    Alive,
    /// A member had no answer from it. It has some time to refute that.
    Suspect,
    /// It did not refute the suspicion.
    Down,
    /// It left, or keeps no zone.
    Left,
    /// It sleeps, and announced it: it is not probed and not missed.
    Away,
}

impl MemberState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Alive, Self::Suspect, Self::Down, Self::Left, Self::Away];

    /// A stable name, one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
            Self::Away => "away",
        }
    }
}

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) mod samples {
    //! Facts for tests of machines that use only the peer.

    use core::net::SocketAddr;

    use super::{DownReason, Fact};
    use crate::config::NodeType;
    use crate::contract::who;
    use crate::id::NodeId;
    use crate::time::WallTime;
    use crate::wire::record::NodeRecord;

    /// The record of the identity numbered `n` of all harnesses.
    pub(crate) fn record(n: u8) -> NodeRecord {
        NodeRecord::sign(&who(n), [n; 32], u64::from(n), WallTime(u64::MAX), NodeType::Regular)
    }

    pub(crate) fn up(peer: NodeId) -> Fact {
        up_at(peer, SocketAddr::from(([10, 0, 0, 1], 4_000)))
    }

    pub(crate) fn up_at(peer: NodeId, addr: SocketAddr) -> Fact {
        Fact::LinkUp { peer, record: record(1), addr }
    }

    pub(crate) fn down(peer: NodeId) -> Fact {
        Fact::LinkDown { peer, reason: DownReason::Timeout }
    }
}
