//! One node: every machine, and the queues between them and the host.

pub mod event;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::{Config, NodeType};
use crate::engine::event::Event;
use crate::error::{CommandError, ConfigError, RestoreError};
use crate::id::{AccountId, MessageId, NodeId};
use crate::identity::Identity;
use crate::membership::NodeState;
use crate::stats::Stats;
use crate::store::{Batch, Record, Request};
use crate::time::{Duration, Instant, WallTime};
use crate::wire::content::{Content, Conversation, Message, Position};
use crate::wire::ticket::{Bootstrap, Ticket};

/// A UDP payload to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// At most 1,200 bytes.
    pub bytes: Vec<u8>,
}

/// When the engine wants to be called, and which machine wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Call `handle_timeout` then.
    pub at: Instant,
    /// The machine, or `queued` while output waits to be taken.
    pub why: &'static str,
}

/// The answer to a query such as [`Engine::history`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number the query returned.
    pub query: u64,
    /// Messages in display order, oldest first.
    pub messages: Vec<Message>,
    /// Pass this as `before` for the page before; none at the beginning of the history.
    pub older: Option<Position>,
}

/// What a node knows of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub id: NodeId,
    /// The name it claims, if it told one.
    pub name: Option<String>,
    /// The account behind it, if a certificate proved it.
    pub account: Option<AccountId>,
    /// What it says it does.
    pub node_type: NodeType,
    /// Its address: of the link, or the best known.
    pub addr: Option<SocketAddr>,
    /// Whether a link is open.
    pub linked: bool,
    /// Whether it is a neighbour in the mesh.
    pub neighbour: bool,
    /// Smoothed round trip time of the link.
    pub rtt: Option<Duration>,
    /// Private messages waiting for its acknowledgement.
    pub queued: usize,
    /// What the last failed attempt to reach it ended with.
    pub last_error: Option<&'static str>,
}

/// A node at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// What it does.
    pub node_type: NodeType,
    /// Where it is in its life.
    pub state: NodeState,
    /// Neighbours in the mesh.
    pub neighbours: usize,
    /// Open links, neighbours included.
    pub links: usize,
    /// Nodes in the address book.
    pub known: usize,
    /// Private messages waiting for an acknowledgement.
    pub outbox: usize,
    /// Messages held because one they depend on is missing.
    pub pending: usize,
    /// Addresses that other nodes saw this one at.
    pub observed: Vec<SocketAddr>,
    /// Counters.
    pub stats: Stats,
}

/// The state machine of one node. See the crate's documentation for the run loop.
pub struct Engine {
    _private: (),
}

#[allow(unused_variables, clippy::todo, missing_docs, reason = "replaced by the composition")]
impl Engine {
    pub fn new(
        config: Config,
        identity: Identity,
        seed: [u8; 32],
        now: Instant,
        wall: WallTime,
    ) -> Result<Self, ConfigError> {
        todo!()
    }
    pub fn restore(
        config: Config,
        identity: Identity,
        records: Vec<Record>,
        seed: [u8; 32],
        now: Instant,
        wall: WallTime,
    ) -> Result<Self, RestoreError> {
        todo!()
    }
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {}
    pub fn handle_timeout(&mut self, now: Instant) {}
    /// The batch `seq` and all before it are on disk.
    pub fn handle_committed(&mut self, now: Instant, seq: u64) {}
    pub fn handle_records(&mut self, now: Instant, request: u64, records: Vec<Record>) {}
    pub fn handle_network_change(&mut self, now: Instant) {}
    /// The host read its wall clock again (every minute, and after a resume).
    pub fn handle_wall_clock(&mut self, now: Instant, wall: WallTime) {}
    /// Addresses this node can be reached at, for invitations and announcements; best first.
    pub fn handle_local_addresses(&mut self, now: Instant, addrs: &[SocketAddr]) {}
    pub fn add_entropy(&mut self, entropy: [u8; 32]) {}
    pub fn suspend(&mut self, now: Instant) {}
    pub fn resume(&mut self, now: Instant) {}

    /// `joinNetwork`. With no bootstraps and an empty address book: be the first node.
    pub fn join(&mut self, now: Instant, bootstraps: &[Bootstrap]) -> Result<(), CommandError> {
        todo!()
    }
    /// `leaveNetwork`: says goodbye to every peer.
    pub fn leave(&mut self, now: Instant) {}
    pub fn invite(&self) -> Ticket {
        todo!()
    }
    pub fn send_private(&mut self, now: Instant, to: NodeId, content: Content) -> Result<MessageId, CommandError> {
        todo!()
    }
    pub fn broadcast(&mut self, now: Instant, content: Content) -> Result<MessageId, CommandError> {
        todo!()
    }
    /// A page of a conversation, newest first page when `before` is none. Returns the query's
    /// number; the answer comes from `poll_answer`.
    pub fn history(
        &mut self,
        now: Instant,
        conversation: Conversation,
        before: Option<Position>,
        limit: u32,
    ) -> Result<u64, CommandError> {
        todo!()
    }
    /// Every durable event up to and including `seq` was handled.
    pub fn ack(&mut self, now: Instant, seq: u64) -> Result<(), CommandError> {
        todo!()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    pub fn poll_batch(&mut self) -> Option<Batch> {
        None
    }
    pub fn poll_request(&mut self) -> Option<Request> {
        None
    }
    pub fn poll_answer(&mut self) -> Option<Answer> {
        None
    }
    pub fn next_deadline(&self) -> Option<Deadline> {
        None
    }
    pub fn id(&self) -> NodeId {
        todo!()
    }
    pub fn status(&self) -> Status {
        todo!()
    }
    pub fn stats(&self) -> Stats {
        todo!()
    }
    /// Linked nodes first, then the address book; by id.
    pub fn peers(&self) -> Vec<Peer> {
        todo!()
    }
    /// Whether a private message has been acknowledged: false while it is in the outbox.
    pub fn is_queued(&self, message: MessageId) -> bool {
        todo!()
    }
}
