//! Links: encrypted, authenticated, loss-recovering channels to other nodes. The only machine that
//! knows addresses and keys.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::engine::event::DownReason;
use crate::id::NodeId;
use crate::wire::record::NodeRecord;
use crate::wire::{Channel, Lane};

/// Who is interested in a link; one bit of interest each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Membership,
    Delivery,
}

#[derive(Debug)]
pub(crate) enum In {
    /// A UDP payload arrived.
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    /// Open a link to whoever answers at `addr`; refuse others than `expect` if it is given.
    /// Answered by `Out::Up` or `Out::Unreachable`. A no-op if that node is linked already: then
    /// `Out::Up` is not repeated but `Out::Resolved` says who it was.
    Connect { addr: SocketAddr, expect: Option<NodeId> },
    /// Where a node may be found, from the address book or from another node; best first.
    Learn { peer: NodeId, record: Option<NodeRecord>, addrs: Vec<SocketAddr> },
    /// A machine needs a link to this node: open it when addresses are known, keep it, reopen it.
    Want { peer: NodeId, owner: Owner },
    /// The need is gone.
    Unwant { peer: NodeId, owner: Owner },
    /// Send to the namesake machine of a linked node. Reliable while the link lasts, in no
    /// particular order, at least once. Counted as dropped if there is no link.
    Send { to: NodeId, channel: Channel, lane: Lane, body: Vec<u8> },
    /// Say goodbye and close.
    Close { peer: NodeId },
    /// The host's network changed: probe every link at once, from wherever it is.
    NetworkChanged,
    /// Say goodbye to all (leaving) and stop answering handshakes until `Open`.
    Shut,
    /// Answer and make handshakes again.
    Open,
}

#[derive(Debug)]
pub(crate) enum Out {
    /// A link is open and proven in both directions. A second `Up` without `Down` never happens.
    Up {
        peer: NodeId,
        record: NodeRecord,
        addr: SocketAddr,
        initiated: bool,
    },
    Down {
        peer: NodeId,
        reason: DownReason,
    },
    Message {
        from: NodeId,
        channel: Channel,
        body: Vec<u8>,
    },
    /// The node behind a bare address is known (before `Up`).
    Resolved {
        addr: SocketAddr,
        peer: NodeId,
    },
    /// A connection attempt by `Connect` or `Want` was given up.
    Unreachable {
        addr: SocketAddr,
        expect: Option<NodeId>,
        wrong_node: bool,
    },
    /// A peer's validated address changed.
    Moved {
        peer: NodeId,
        addr: SocketAddr,
    },
    /// A peer sees this node at this address.
    Observed {
        by: NodeId,
        addr: SocketAddr,
    },
}
