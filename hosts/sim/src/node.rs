//! One simulated device: an engine, a disk, clocks, and a person that reads.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use donp_core::{
    Answer, Batch, Config, Conversation, Durable, Engine, Event, FailReason, GroupChange, GroupId, Identity, Instant,
    MemberState, MemoryStore, Message, MessageId, NodeId, NodeState, Op, Record, Scan, Table, Volatile, WallTime,
};

use crate::clock::Clock;
use crate::measure::Totals;
use crate::rng::SimRng;
use crate::witness::Witness;

/// What a node's disk keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    /// Everything.
    #[default]
    Full,
    /// The hot tables ([`Table::is_hot`]), which a restart needs. Reads of messages find nothing, so such a node
    /// has no history and cannot help others to catch up: for large networks where neither is measured.
    Hot,
}

/// A device. Its reported messages outlive its crashes: the person remembers.
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its address; behind a NAT box the inner one.
    pub addr: SocketAddr,
    identity: Identity,
    config: Config,
    pub(crate) engine: Option<Engine>,
    pub(crate) store: MemoryStore,
    kind: Disk,
    /// Polled and on the way to the disk.
    pub(crate) unwritten: VecDeque<Batch>,
    pub(crate) disk_busy_until: u64,
    pub(crate) life: u32,
    /// Times of its pending wakes, the soonest last.
    pub(crate) wakes: Vec<u64>,
    /// It does nothing until then; datagrams wait in its socket.
    pub(crate) stalled_until: u64,
    pub(crate) asleep: bool,
    pub(crate) clock: Clock,
    /// Draws the fate of its datagrams.
    pub(crate) rng: SimRng,
    pub(crate) answers: BTreeMap<u64, Answer>,
    /// Parts of files, by query.
    pub(crate) parts: BTreeMap<u64, Option<Vec<u8>>>,
    /// Messages reported, in order, over all lives; empty if the person forgets
    /// ([`Sim::remember`](crate::Sim::remember)).
    pub told: Vec<Message>,
    /// What changed in groups, in order, over all lives.
    pub group_changes: Vec<(GroupId, GroupChange)>,
    /// Messages that the other side has stored.
    pub delivered: Vec<MessageId>,
    /// Messages reported as failed.
    pub failed: Vec<(MessageId, FailReason)>,
    /// State changes, over all lives.
    pub states: Vec<NodeState>,
    /// States that it reported of zone members, in order.
    pub members: Vec<(NodeId, MemberState)>,
    /// Whether the person acknowledges each durable event.
    pub(crate) acknowledges: bool,
    remembers: bool,
    last_seq: u64,
    /// Durable events that came again with a number that was reported before.
    pub replayed: u64,
    /// Whether every message was reported once and in order.
    pub witness: Witness,
    past: Totals,
    backup: Option<Box<Backup>>,
    /// How often an older copy of its disk took the place of the disk.
    pub restored: u32,
}

/// A copy of a device, and what its person knew then.
struct Backup {
    store: MemoryStore,
    told: usize,
    delivered: usize,
    failed: usize,
    last_seq: u64,
    witness: Witness,
}

/// A table of the chat machine: the simulator damages and reads histories.
pub(crate) fn chat_table(name: &str) -> Table {
    Table::of("chat", name).expect("a table of the chat machine")
}

/// Everything in a range of the history.
fn history(start: Vec<u8>, end: Vec<u8>, reverse: bool) -> Scan {
    Scan { table: chat_table("entries"), start, end, reverse, limit: u32::MAX, max_bytes: u32::MAX }
}

/// The parameters of a new node.
pub(crate) struct Parts {
    pub(crate) identity: Identity,
    pub(crate) addr: SocketAddr,
    pub(crate) config: Config,
    pub(crate) disk: Disk,
    pub(crate) remembers: bool,
    pub(crate) rng: SimRng,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            id: parts.identity.node_id(),
            addr: parts.addr,
            identity: parts.identity,
            config: parts.config,
            engine: None,
            store: MemoryStore::default(),
            kind: parts.disk,
            unwritten: VecDeque::new(),
            disk_busy_until: 0,
            life: 0,
            wakes: Vec::new(),
            stalled_until: 0,
            asleep: false,
            clock: Clock::default(),
            rng: parts.rng,
            answers: BTreeMap::new(),
            parts: BTreeMap::new(),
            told: Vec::new(),
            group_changes: Vec::new(),
            delivered: Vec::new(),
            failed: Vec::new(),
            states: Vec::new(),
            members: Vec::new(),
            acknowledges: true,
            remembers: parts.remembers,
            last_seq: 0,
            replayed: 0,
            witness: Witness::default(),
            past: Totals::default(),
            backup: None,
            restored: 0,
        }
    }

    /// Copies the disk, as a backup program does.
    pub(crate) fn back_up(&mut self) {
        self.backup = Some(Box::new(Backup {
            store: self.store.clone(),
            told: self.told.len(),
            delivered: self.delivered.len(),
            failed: self.failed.len(),
            last_seq: self.last_seq,
            witness: self.witness.clone(),
        }));
    }

    /// The last copy takes the place of the disk of a device that does not run. Its person knows no more than then.
    /// False if there is none.
    pub(crate) fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.take() else { return false };
        self.store = backup.store;
        self.told.truncate(backup.told);
        self.delivered.truncate(backup.delivered);
        self.failed.truncate(backup.failed);
        self.last_seq = backup.last_seq;
        self.witness = backup.witness;
        self.restored += 1;
        true
    }

    pub(crate) fn boot(&mut self, seed: [u8; 32], now: Instant, wall: WallTime) {
        self.end_life();
        let records = self.store.hot();
        let engine = Engine::restore(self.config.clone(), self.identity.clone(), records, seed, now, wall);
        self.engine = Some(engine.expect("a node can read its own records"));
    }

    /// The power fails: unwritten changes are lost.
    pub(crate) fn end_life(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.past.add(&Totals::of(&engine.stats()));
        }
        self.life += 1;
        self.unwritten.clear();
        self.answers.clear();
        self.parts.clear();
        self.wakes.clear();
        self.asleep = false;
        self.stalled_until = 0;
    }

    /// Whether it runs; a sleeping phone's process does.
    pub fn runs(&self) -> bool {
        self.engine.is_some()
    }

    /// Whether it is a suspended phone.
    pub fn sleeps(&self) -> bool {
        self.asleep
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
        &self.store
    }

    /// Its traffic over all its lives.
    pub fn totals(&self) -> Totals {
        let mut totals = self.past.clone();
        if let Some(engine) = &self.engine {
            totals.add(&Totals::of(&engine.stats()));
        }
        totals
    }

    /// The number that stands for a conversation in the keys of its records, as they begin with it: the first field
    /// of its row, a varint of postcard (docs/spec/store.md, "Records"). None if the node takes no part in it.
    pub(crate) fn prefix(&self, conversation: Conversation) -> Option<[u8; 4]> {
        let start = conversation.id(self.id, &self.config.network_key).0.to_vec();
        let end = [start.as_slice(), &[0]].concat();
        let table = chat_table("conversations");
        let rows = self.store.scan(&Scan { table, start, end, reverse: false, limit: 1, max_bytes: u32::MAX });
        let mut number = 0u32;
        for (n, byte) in rows.first()?.value.iter().enumerate() {
            number |= u32::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                return Some(number.to_be_bytes());
            }
        }
        None
    }

    fn entries(&self, conversation: Conversation, reverse: bool) -> Vec<Record> {
        let Some(prefix) = self.prefix(conversation) else { return Vec::new() };
        self.store.scan(&history(prefix.to_vec(), [&prefix[..], &[255; 41]].concat(), reverse))
    }

    /// Entries of the network's conversation on its disk.
    pub fn stored_messages(&self) -> usize {
        self.entries(Conversation::Network, false).len()
    }

    /// Whether its disk has a message of its conversation with `peer`.
    pub(crate) fn has_private(&self, peer: NodeId, message: MessageId) -> bool {
        // The id ends the key.
        self.entries(Conversation::Private(peer), true).iter().any(|r| r.key.ends_with(&message.hash))
    }

    /// The hashes of the messages of the network's conversation on its disk.
    pub(crate) fn broadcasts(&self) -> impl Iterator<Item = [u8; 32]> {
        let entries = self.entries(Conversation::Network, false);
        entries.into_iter().filter_map(|r| r.key.last_chunk::<32>().copied())
    }

    pub(crate) fn keeps_history(&self) -> bool {
        self.kind == Disk::Full
    }

    pub(crate) fn write(&mut self, mut batch: Batch) {
        if self.kind == Disk::Hot {
            batch.ops.retain(|op| match op {
                Op::Put { table, .. } | Op::Delete { table, .. } | Op::DeleteRange { table, .. } => table.is_hot(),
            });
        }
        self.store.apply(batch);
    }

    pub(crate) fn read(&self, scan: &Scan) -> Vec<Record> {
        self.store.scan(scan)
    }

    /// Reports an event to the person. Whether it was new.
    pub(crate) fn tell(&mut self, event: Event, now: Instant) -> bool {
        let (seq, event) = match event {
            Event::Durable { seq, event } => (seq, event),
            Event::Volatile(Volatile::StateChanged { after, .. }) if self.remembers => {
                self.states.push(after);
                return true;
            }
            Event::Volatile(Volatile::MemberChanged { peer, state }) if self.remembers => {
                self.members.push((peer, state));
                return true;
            }
            Event::Volatile(_) => return true,
        };
        // An event that was reported but not acknowledged before a crash comes again, with its number.
        let news = seq > self.last_seq;
        if news {
            self.last_seq = seq;
            if let Durable::Received(message) = &event {
                self.witness.told(message);
            }
            match event {
                Durable::Received(message) if self.remembers => self.told.push(message),
                Durable::GroupChanged { group, change } => self.group_changes.push((group, change)),
                Durable::Delivered { id, .. } => self.delivered.push(id),
                Durable::Failed { id, reason, .. } => self.failed.push((id, reason)),
                _ => {}
            }
        } else {
            self.replayed += 1;
        }
        if self.acknowledges
            && let Some(engine) = self.engine.as_mut()
        {
            engine.ack(now, seq).expect("a reported event can be acknowledged");
        }
        news
    }
}
