//! What other machines and the host ask of links.

use core::net::SocketAddr;

use crate::id::NodeId;
use crate::link::Link;
use crate::link::connection::Connection;
use crate::time::Duration;

/// What a host wants to know of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub addr: SocketAddr,
    /// Smoothed; none before the first measurement.
    pub rtt: Option<Duration>,
    pub initiated: bool,
    /// Of the post-quantum secret that its keys mix in; 0: none.
    pub generation: u8,
    /// Waiting and in flight.
    pub queued_bytes: usize,
}

impl Link {
    /// The link to `peer`, if there is one.
    pub(crate) fn info(&self, peer: NodeId) -> Option<LinkInfo> {
        self.shown(peer).map(|connection| LinkInfo {
            addr: connection.path,
            rtt: connection.recovery.rtt.smoothed(),
            initiated: connection.initiated,
            generation: connection.current.generation,
            queued_bytes: connection.queued(),
        })
    }

    /// Every linked node, by id.
    pub(crate) fn linked(&self) -> impl Iterator<Item = NodeId> {
        self.links.values().filter(|connection| connection.hidden.is_none()).map(|connection| connection.peer)
    }

    /// The link to `peer`, if the other machines know of it.
    pub(super) fn shown(&self, peer: NodeId) -> Option<&Connection> {
        self.links.get(&peer).map(|connection| &**connection).filter(|connection| connection.hidden.is_none())
    }

    /// Packets declared lost.
    pub(super) fn packets_lost(&self) -> u64 {
        self.links.values().fold(self.lost, |sum, connection| sum.saturating_add(connection.recovery.lost))
    }

    /// Bytes that may be queued for `peer` before something is dropped; zero without a link.
    pub(crate) fn free_queue(&self, peer: NodeId) -> usize {
        self.shown(peer).map_or(0, |connection| self.limits.link_queue_bytes.saturating_sub(connection.queued()))
    }
}
