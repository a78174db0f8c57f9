//! One simulated device: an engine, a disk, and a person who reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use donp_core::{
    Answer, Batch, Config, Conversation, Engine, Event, EventKind, FailReason, Identity, Instant, MemoryStore, Message,
    MessageId, NodeId, NodeState, Request, Table, WallTime,
};

/// A device. What it was told outlives its crashes: the person remembers.
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its address.
    pub addr: SocketAddr,
    identity: Identity,
    config: Config,
    pub(crate) engine: Option<Engine>,
    pub(crate) disk: MemoryStore,
    /// Polled and on the way to the disk.
    pub(crate) unwritten: Vec<Batch>,
    pub(crate) disk_busy_until: u64,
    pub(crate) life: u32,
    pub(crate) wake: Option<u64>,
    pub(crate) answers: BTreeMap<u64, Answer>,
    /// Messages told, in the order they were told, over all lives.
    pub told: Vec<Message>,
    /// Messages that the other side has stored.
    pub delivered: Vec<MessageId>,
    /// Messages reported as failed.
    pub failed: Vec<(MessageId, FailReason)>,
    /// State changes, over all lives.
    pub states: Vec<NodeState>,
    /// Whether the person says "got it" after each durable event.
    pub(crate) acknowledges: bool,
    last_seq: u64,
    network: Request,
    /// Durable events that came again with a number that was told before.
    pub replayed: u64,
}

impl Node {
    pub(crate) fn new(identity: Identity, addr: SocketAddr, config: Config) -> Self {
        let start = Conversation::Network.id(identity.node_id(), &config.network_key).0.to_vec();
        let end = [start.as_slice(), &[255; 80]].concat();
        let network =
            Request { id: 0, table: Table::Order, start, end, reverse: false, limit: u32::MAX, max_bytes: u32::MAX };
        Self {
            id: identity.node_id(),
            addr,
            identity,
            config,
            engine: None,
            disk: MemoryStore::default(),
            unwritten: Vec::new(),
            disk_busy_until: 0,
            life: 0,
            wake: None,
            answers: BTreeMap::new(),
            told: Vec::new(),
            delivered: Vec::new(),
            failed: Vec::new(),
            states: Vec::new(),
            acknowledges: true,
            last_seq: 0,
            network,
            replayed: 0,
        }
    }

    pub(crate) fn boot(&mut self, seed: [u8; 32], now: Instant, wall: WallTime) {
        self.life += 1;
        self.wake = None;
        let engine = Engine::restore(self.config.clone(), self.identity.clone(), self.disk.hot(), seed, now, wall);
        self.engine = Some(engine.expect("what a node stored it can read"));
    }

    pub(crate) fn crash(&mut self) {
        self.life += 1;
        self.engine = None;
        self.unwritten.clear();
        self.answers.clear();
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.engine.is_some()
    }

    /// Its engine.
    ///
    /// # Panics
    /// If it does not run.
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the node runs")
    }

    /// What its disk holds.
    pub fn disk(&self) -> &MemoryStore {
        &self.disk
    }

    /// Messages of the network's conversation on its disk.
    pub fn stored_messages(&self) -> usize {
        let conversation = self.disk.query(&self.network);
        conversation.len()
    }

    pub(crate) fn tell(&mut self, event: Event, now: Instant) {
        if let Some(seq) = event.seq {
            // An event that was told but not acknowledged before a crash comes again, with its number.
            if seq <= self.last_seq {
                self.replayed += 1;
            } else {
                self.last_seq = seq;
                match event.kind {
                    EventKind::Message(message) => self.told.push(message),
                    EventKind::Delivered { message, .. } => self.delivered.push(message),
                    EventKind::Failed { message, reason, .. } => self.failed.push((message, reason)),
                    _ => {}
                }
            }
            if self.acknowledges
                && let Some(engine) = self.engine.as_mut()
            {
                engine.ack(now, seq).expect("what was told can be acknowledged");
            }
        } else if let EventKind::StateChanged { to, .. } = event.kind {
            self.states.push(to);
        }
    }
}
