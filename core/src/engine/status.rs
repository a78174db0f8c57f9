//! Snapshots of a node and its peers.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::NodeType;
use crate::engine::Engine;
use crate::id::{AccountId, MessageId, NodeId};
use crate::membership::{Known, NodeState};
use crate::stats::Stats;
use crate::time::{Duration, WallTime};

/// What a node knows of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The peer.
    pub id: NodeId,
    /// The name it claims, if known.
    pub name: Option<String>,
    /// The account behind it, if a certificate proved it.
    pub account: Option<AccountId>,
    /// The type it claims.
    pub node_type: NodeType,
    /// Whether this node reached it at its address, after ten minutes without contact to it, and has not
    /// failed to since. Only then its claimed services count: see [`role`](Self::role).
    pub verified: bool,
    /// Whether it claims that a program speaks there, not a person.
    pub bot: bool,
    /// Its address: of the link, or the best known.
    pub addr: Option<SocketAddr>,
    /// Whether a link is open.
    pub linked: bool,
    /// Whether it is a neighbour in the mesh.
    pub neighbour: bool,
    /// Whether this node opened the link; false if the other did, or both at once, or there is none.
    pub outbound: bool,
    /// How many post-quantum secrets the keys of the link mix in, one after another, 1 to 255; 0 before the first and
    /// without a link.
    pub link_generation: u8,
    /// When a link to it was last opened; none if never. What is silent for half a year is forgotten.
    pub last_linked: Option<WallTime>,
    /// Smoothed round trip time of the link.
    pub rtt: Option<Duration>,
    /// Private messages waiting for its acknowledgement.
    pub queued: usize,
    /// How the last failed connection attempt ended.
    pub last_error: Option<&'static str>,
}

impl Peer {
    /// Its effective type: SUPER and RELAY if it is [`verified`](Self::verified), else REGULAR. BOOTSTRAP
    /// promises less than REGULAR, so it needs no proof.
    pub fn role(&self) -> NodeType {
        match self.node_type {
            NodeType::Super | NodeType::Relay if !self.verified => NodeType::Regular,
            NodeType::Bootstrap | NodeType::Regular | NodeType::Super | NodeType::Relay => self.node_type,
        }
    }
}

/// A snapshot of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Its type.
    pub node_type: NodeType,
    /// Its state.
    pub state: NodeState,
    /// Neighbours in the mesh.
    pub neighbours: usize,
    /// Open links, neighbours included.
    pub links: usize,
    /// Nodes in the address book.
    pub known: usize,
    /// Private messages waiting for an acknowledgement.
    pub outbox: usize,
    /// Messages held because one of their parents is missing.
    pub pending: usize,
    /// Entries that the machines hold in all: bounded, whatever strangers send.
    pub entries: usize,
    /// Addresses that other nodes saw this one at.
    pub observed: Vec<SocketAddr>,
    /// Counters.
    pub stats: Stats,
}

impl Engine {
    /// This node.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// A snapshot of this node.
    pub fn status(&self) -> Status {
        let m = &self.machines;
        Status {
            id: self.me,
            account: m.device.identity().account_id(),
            name: m.device.identity().name().into(),
            node_type: self.config.node_type,
            state: m.membership.state(),
            neighbours: m.membership.neighbours().len(),
            links: m.link.linked().count(),
            known: m.membership.known().count(),
            outbox: m.delivery.total().saturating_add(m.chat.unsent_private().len()),
            pending: m.chat.pending(),
            entries: self.footprint(),
            observed: m.membership.observed(),
            stats: self.stats(),
        }
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        let mut stats = self.counters.clone();
        self.machines.count(&mut stats);
        stats
    }

    /// Every node in the address book (`discoverNodes` of the DONP document), by id.
    pub fn peers(&self) -> Vec<Peer> {
        self.machines.membership.known().map(|(id, known)| self.describe(id, known)).collect()
    }

    /// One node; none if it is not in the address book.
    pub fn peer(&self, id: NodeId) -> Option<Peer> {
        self.machines.membership.get(id).map(|known| self.describe(id, known))
    }

    fn describe(&self, id: NodeId, known: &Known) -> Peer {
        let m = &self.machines;
        let link = m.link.info(id);
        Peer {
            id,
            name: known.name.clone(),
            account: known.account,
            node_type: known.node_type(),
            verified: known.is_verified(),
            bot: known.is_bot(),
            addr: link.as_ref().map(|l| l.addr).or_else(|| known.addrs.first().copied()),
            linked: link.is_some(),
            outbound: link.as_ref().is_some_and(|l| l.initiated),
            link_generation: link.as_ref().map_or(0, |l| l.generation),
            last_linked: Some(known.last_linked).filter(|at| *at != WallTime(0)),
            neighbour: m.membership.neighbours().contains(&id),
            rtt: link.and_then(|l| l.rtt),
            queued: m.delivery.queued(id).saturating_add(m.chat.unsent(crate::Conversation::Private(id)).0.len()),
            last_error: known.last_error,
        }
    }

    /// Whether a private message of this node still waits for its acknowledgement.
    pub fn is_queued(&self, message: MessageId) -> bool {
        self.machines.delivery.is_queued(message) || self.machines.chat.unsent_private().contains(&message)
    }

    /// Entries that the machines hold in all: bounded, whatever strangers send.
    pub fn footprint(&self) -> usize {
        self.machines.footprint()
    }
}
