//! The state machine alone: bytes, time and records in, bytes, records and events out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use donp_core as core;
use donp_core::{Instant, MemoryStore, Table, WallTime};
use donp_runtime::BootstrapName;
use donp_runtime::clock::entropy;

use crate::content::HistoryPage;
use crate::event::NodeState;
use crate::guard::Guard;
use crate::id::{exactly, read_identity, ticket};
use crate::node::{MAX_PAGE, count, drops};
use crate::{AccountId, Content, Conversation, DonpError, Event, MessageId, NodeId, NodeType, Peer, Power};

/// The most datagrams, events and answers that one turn gives.
const TURN: usize = 1_024;

/// How to make an engine.
#[derive(Clone, Debug, uniffi::Record)]
pub struct EngineConfig {
    /// Bytes of `generate_identity`.
    pub identity: Vec<u8>,
    /// The 32-byte key of a closed network.
    #[uniffi(default = None)]
    pub network_key: Option<Vec<u8>>,
    /// What the node says it does.
    #[uniffi(default = None)]
    pub node_type: Option<NodeType>,
    /// Whether a program speaks here, not a person.
    #[uniffi(default = false)]
    pub bot: bool,
    /// What the node may spend while nothing happens; none is `Normal`.
    #[uniffi(default = None)]
    pub power: Option<Power>,
    /// Whether to say that this node is near, and to listen to others that do: for a caller that sends what
    /// `Output.beacon` gives to everybody near, and passes to `handle_beacon` what it hears there.
    #[uniffi(default = false)]
    pub beacons: bool,
    /// Whether the engine keeps its records in its own memory, gone with it: then `turn` gives no batch
    /// and no requests. Otherwise the caller is the store.
    #[uniffi(default = false)]
    pub in_memory: bool,
    /// 32 bytes that all randomness comes from, for repeatable simulations. None, as it should be
    /// elsewhere: the system's. Used twice with one identity on a real network it repeats nonces.
    #[uniffi(default = None)]
    pub seed: Option<Vec<u8>>,
}

/// A datagram that came in.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Received {
    /// Where from, `ip:port`. A transport without such addresses makes some up.
    pub source: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Transmit {
    /// Where to, `ip:port`.
    pub destination: String,
    /// At most 1,452 bytes.
    pub payload: Vec<u8>,
}

/// One change to the store.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Op {
    /// Writes `value` under `key`, replacing what was there.
    Put {
        /// Which table. Those below 128 are hot: `restore` takes their records.
        table: u8,
        /// Sorts bytewise.
        key: Vec<u8>,
        /// Secret in parts: seal it at rest.
        value: Vec<u8>,
    },
    /// Removes `key` if it is there.
    Delete {
        /// Which table.
        table: u8,
        /// The exact key.
        key: Vec<u8>,
    },
    /// Removes every key from `start` up to but not including `end`.
    DeleteRange {
        /// Which table.
        table: u8,
        /// The first key to go.
        start: Vec<u8>,
        /// The first key to stay.
        end: Vec<u8>,
    },
}

/// Changes to write in one transaction, whole or not at all. Then pass `seq` to the next `turn` as
/// `committed`: what depends on them is held back until then.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Batch {
    /// The number to pass back.
    pub seq: u64,
    /// In the order they apply.
    pub ops: Vec<Op>,
}

/// One stored record.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Record {
    /// Which table.
    pub table: u8,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A read of records, to be answered with `handle_records`.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Request {
    /// Goes back with the answer.
    pub id: u64,
    /// Which table.
    pub table: u8,
    /// The first key, included.
    pub start: Vec<u8>,
    /// The end of the range, not included.
    pub end: Vec<u8>,
    /// From the end backwards.
    pub reverse: bool,
    /// At most this many records.
    pub limit: u32,
    /// Stop after the record that brings keys and values past this many bytes.
    pub max_bytes: u32,
}

/// The answer to `history`.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Answer {
    /// The number that `history` returned.
    pub query: u64,
    /// The messages.
    pub page: HistoryPage,
}

/// The answer to `read_file`.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct FilePart {
    /// The number that `read_file` returned.
    pub query: u64,
    /// The bytes; none if the part is not here.
    pub content: Option<Vec<u8>>,
}

/// What one turn gave.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Output {
    /// Changes to write.
    pub batch: Option<Batch>,
    /// Datagrams to send, in order.
    pub transmits: Vec<Transmit>,
    /// What to send to everybody on the local network, at most 400 bytes; only with `EngineConfig.beacons`.
    pub beacon: Option<Vec<u8>>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Records to read.
    pub requests: Vec<Request>,
    /// Answers to `history`.
    pub answers: Vec<Answer>,
    /// Answers to `read_file`.
    pub parts: Vec<FilePart>,
    /// When to call `turn` again if nothing comes before. None: only when something comes.
    pub next_deadline_us: Option<u64>,
    /// There is more than one turn gives: call again at once.
    pub more: bool,
}

/// An engine at a glance.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct EngineStatus {
    /// This node.
    pub id: NodeId,
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub state: NodeState,
    /// Neighbours in the mesh.
    pub neighbours: u32,
    /// Open links, neighbours included.
    pub links: u32,
    /// Nodes in the address book.
    pub known: u32,
    /// Private messages waiting for an acknowledgement.
    pub outbox: u32,
    /// Messages held because one they depend on is missing.
    pub pending: u32,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Messages stored.
    pub messages: u64,
    /// Datagrams and messages thrown away, by reason; only reasons that occurred.
    pub drops: HashMap<String, u64>,
}

pub(crate) struct Inner {
    pub(crate) engine: core::Engine,
    /// The records, if the caller does not keep them.
    records: Option<MemoryStore>,
}

/// The state machine of one node, for a transport of one's own: Bluetooth, a relay, a test.
///
/// It has no socket, no clock and no thread: feed it with `turn`. Time is microseconds of a clock that
/// never goes back and counts sleep; going back counts as standing still. Commands may be called
/// between turns; what they cause comes with the next `turn`, which is due at once.
#[derive(uniffi::Object)]
pub struct Engine {
    id: NodeId,
    inner: Mutex<Inner>,
    guard: Guard,
}

impl Engine {
    fn make(config: EngineConfig, records: Vec<Record>, now_us: u64, wall_ms: u64) -> Result<Self, DonpError> {
        let identity = read_identity(&config.identity)?;
        let network_key = config.network_key.as_deref().map(|k| exactly("the network key", k)).transpose()?;
        let seed = match &config.seed {
            Some(seed) => exactly("the seed", seed)?,
            None => entropy().map_err(|e| DonpError::Storage {
                reason: e.to_string(),
                hint: "the system gives no randomness: no key can be made safely".into(),
                retryable: true,
            })?,
        };
        let mut core = core::Config {
            node_type: config.node_type.unwrap_or_default().into(),
            bot: config.bot,
            power: config.power.unwrap_or_default().into(),
            network_key: network_key.unwrap_or([0; 32]),
            ..core::Config::default()
        };
        core.discovery.beacons = config.beacons;
        let id = identity.node_id();
        let records = records.into_iter().map(read_record).collect::<Result<Vec<_>, _>>()?;
        let kept = config.in_memory.then(|| {
            let mut store = MemoryStore::default();
            let put = |r: &core::Record| core::Op::Put { table: r.table, key: r.key.clone(), value: r.value.clone() };
            store.apply(core::Batch { seq: 0, ops: records.iter().map(put).collect() });
            store
        });
        let hot = records.into_iter().filter(|r| r.table.is_hot()).collect();
        let engine = core::Engine::restore(core, identity, hot, seed, Instant::from_micros(now_us), WallTime(wall_ms))?;
        Ok(Self { id, inner: Mutex::new(Inner { engine, records: kept }), guard: Guard::default() })
    }

    pub(crate) fn run<T>(&self, f: impl FnOnce(&mut Inner) -> Result<T, DonpError>) -> Result<T, DonpError> {
        self.guard.run(|| f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Inner {
    /// Takes what the engine wants done until a turn is full; with records in memory, stores and reads at once.
    fn output(&mut self, now: Instant) -> Output {
        let mut out = Output {
            batch: None,
            transmits: Vec::new(),
            beacon: None,
            events: Vec::new(),
            requests: Vec::new(),
            answers: Vec::new(),
            parts: Vec::new(),
            next_deadline_us: None,
            more: false,
        };
        while !out.is_full()
            && let Some(output) = self.engine.poll()
        {
            match (output, &mut self.records) {
                (core::Output::Batch(batch), Some(records)) => {
                    let seq = batch.seq;
                    records.apply(batch);
                    self.engine.handle_committed(now, seq);
                }
                (core::Output::Read(request), Some(records)) => {
                    let found = records.scan(&request.scan);
                    self.engine.handle_records(now, request.id, found);
                }
                (output, _) => out.add(output),
            }
        }
        let deadline = self.engine.next_deadline().map(|d| d.at);
        // A batch that the caller has to write first is no reason to call again.
        out.more = out.is_full() || deadline.is_some_and(|at| at <= now);
        out.next_deadline_us = deadline.map(|at| at.as_micros());
        out
    }
}

impl Output {
    fn is_full(&self) -> bool {
        [self.transmits.len(), self.events.len(), self.requests.len(), self.answers.len(), self.parts.len()]
            .contains(&TURN)
    }

    fn add(&mut self, output: core::Output) {
        match output {
            core::Output::Batch(next) => {
                let all = self.batch.get_or_insert_with(|| Batch { seq: 0, ops: Vec::new() });
                all.seq = next.seq;
                all.ops.extend(next.ops.into_iter().map(op));
            }
            core::Output::Read(read) => self.requests.push(request(read)),
            core::Output::Event(event) => self.events.push(Event::of(event)),
            core::Output::Answer(answer) => {
                let page = HistoryPage::new(answer.messages, answer.older);
                self.answers.push(Answer { query: answer.query, page });
            }
            core::Output::FilePart(part) => self.parts.push(FilePart { query: part.query, content: part.bytes }),
            core::Output::Transmit(t) => {
                self.transmits.push(Transmit { destination: t.to.to_string(), payload: t.bytes });
            }
            core::Output::Beacon(bytes) => self.beacon = Some(bytes),
        }
    }
}

#[uniffi::export]
impl Engine {
    /// A node that never ran before. `wall_ms` is the wall clock in milliseconds since 1970, 0 if
    /// unknown: shown to people, never used for order.
    #[uniffi::constructor]
    pub fn new(config: EngineConfig, now_us: u64, wall_ms: u64) -> Result<Self, DonpError> {
        Self::restore(config, Vec::new(), now_us, wall_ms)
    }

    /// A node as its last written batch left it: `records` are those of all tables.
    #[uniffi::constructor]
    pub fn restore(config: EngineConfig, records: Vec<Record>, now_us: u64, wall_ms: u64) -> Result<Self, DonpError> {
        Guard::default().run(|| Self::make(config, records, now_us, wall_ms))
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Whether a bug ended this engine. As cheap as a call can be.
    pub fn is_dead(&self) -> bool {
        self.guard.is_dead()
    }

    /// One turn: takes in datagrams and the number of the newest batch that was written, does what is
    /// due, and gives all there is to do. Datagrams that are not understood or not allowed are counted.
    #[uniffi::method(default(received = [], committed = None))]
    pub fn turn(&self, now_us: u64, received: Vec<Received>, committed: Option<u64>) -> Result<Output, DonpError> {
        // Before anything is taken in: a bad address is the caller's mistake.
        let sources = received.iter().map(|r| address(&r.source)).collect::<Result<Vec<_>, _>>()?;
        self.run(|inner| {
            let now = Instant::from_micros(now_us);
            if let Some(seq) = committed {
                inner.engine.handle_committed(now, seq);
            }
            for (source, datagram) in sources.into_iter().zip(&received) {
                inner.engine.handle_datagram(now, source, &datagram.payload);
            }
            inner.engine.handle_timeout(now);
            Ok(inner.output(now))
        })
    }

    /// Takes in one datagram without copying it; `turn` gives what follows from it.
    pub fn handle_datagram(&self, now_us: u64, source: &str, payload: &[u8]) -> Result<(), DonpError> {
        let source = address(source)?;
        self.run(|inner| {
            inner.engine.handle_datagram(Instant::from_micros(now_us), source, payload);
            Ok(())
        })
    }

    /// The answer to a request of `turn`.
    pub fn handle_records(&self, now_us: u64, request: u64, records: Vec<Record>) -> Result<(), DonpError> {
        let records = records.into_iter().map(read_record).collect::<Result<_, _>>()?;
        self.run(|inner| {
            inner.engine.handle_records(Instant::from_micros(now_us), request, records);
            Ok(())
        })
    }

    /// Enters the network through any of `places`, `ip:port` or `ip:port/NodeId`, or any known node.
    #[uniffi::method(default(places = []))]
    pub fn join(&self, now_us: u64, places: Vec<String>) -> Result<(), DonpError> {
        let places = places.iter().map(|p| place(p)).collect::<Result<Vec<_>, _>>()?;
        self.run(|inner| Ok(inner.engine.join(Instant::from_micros(now_us), &places)?))
    }

    /// Enters the network that an invitation names.
    pub fn join_ticket(&self, now_us: u64, invitation: &str) -> Result<(), DonpError> {
        let ticket = ticket(invitation)?;
        self.run(|inner| Ok(inner.engine.join_ticket(Instant::from_micros(now_us), &ticket)?))
    }

    /// Says goodbye to everybody.
    pub fn leave(&self, now_us: u64) -> Result<(), DonpError> {
        self.run(|inner| {
            inner.engine.leave(Instant::from_micros(now_us));
            Ok(())
        })
    }

    /// An invitation to this node's network.
    pub fn invite(&self) -> Result<String, DonpError> {
        self.run(|inner| Ok(inner.engine.invite().text()))
    }

    /// Says something to one node.
    pub fn send_private(&self, now_us: u64, to: NodeId, content: Content) -> Result<MessageId, DonpError> {
        let content = content.try_into()?;
        self.run(|inner| Ok(inner.engine.send_private(Instant::from_micros(now_us), to, content)?))
    }

    /// Says something to everybody in the network.
    pub fn broadcast(&self, now_us: u64, content: Content) -> Result<MessageId, DonpError> {
        let content = content.try_into()?;
        self.run(|inner| Ok(inner.engine.broadcast(Instant::from_micros(now_us), content)?))
    }

    /// Asks for the page of a conversation that ends before `before`, or its newest: at most `limit`
    /// messages (1,000 at most). A later `turn` gives the answer under the number that this returns.
    #[uniffi::method(default(before = None, limit = 100))]
    pub fn history(
        &self,
        now_us: u64,
        conversation: Conversation,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<u64, DonpError> {
        self.run(|inner| {
            let (now, limit) = (Instant::from_micros(now_us), limit.min(MAX_PAGE));
            Ok(inner.engine.history(now, conversation.into(), before, limit)?)
        })
    }

    /// Every durable event up to and including `seq` was handled: it does not come again.
    pub fn ack(&self, now_us: u64, seq: u64) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.ack(Instant::from_micros(now_us), seq)?))
    }

    /// Addresses that this node can be reached at, `ip:port`, best first: for invitations.
    pub fn set_local_addresses(&self, now_us: u64, addresses: Vec<String>) -> Result<(), DonpError> {
        let addresses = addresses.iter().map(|a| address(a)).collect::<Result<Vec<_>, _>>()?;
        self.run(|inner| {
            inner.engine.handle_local_addresses(Instant::from_micros(now_us), &addresses);
            Ok(())
        })
    }

    /// The wall clock was read again: once a minute, and after `resume`.
    pub fn set_wall_clock(&self, now_us: u64, wall_ms: u64) -> Result<(), DonpError> {
        self.run(|inner| {
            inner.engine.handle_wall_clock(Instant::from_micros(now_us), WallTime(wall_ms));
            Ok(())
        })
    }

    /// Mixes 32 bytes of the system's randomness in: once an hour.
    pub fn add_entropy(&self, entropy: &[u8]) -> Result<(), DonpError> {
        let entropy = exactly("the entropy", entropy)?;
        self.run(|inner| {
            inner.engine.add_entropy(entropy);
            Ok(())
        })
    }

    /// The device has another network: every link is probed at once.
    pub fn network_changed(&self, now_us: u64) -> Result<(), DonpError> {
        self.run(|inner| {
            inner.engine.handle_network_change(Instant::from_micros(now_us));
            Ok(())
        })
    }

    /// The device is about to sleep: commands are refused until `resume`.
    pub fn suspend(&self, now_us: u64) -> Result<(), DonpError> {
        self.run(|inner| {
            inner.engine.suspend(Instant::from_micros(now_us));
            Ok(())
        })
    }

    /// The device woke up.
    pub fn resume(&self, now_us: u64) -> Result<(), DonpError> {
        self.run(|inner| {
            inner.engine.resume(Instant::from_micros(now_us));
            Ok(())
        })
    }

    /// The engine at a glance.
    pub fn status(&self) -> Result<EngineStatus, DonpError> {
        self.run(|inner| {
            let status = inner.engine.status();
            Ok(EngineStatus {
                id: status.id,
                account: status.account,
                name: status.name,
                state: status.state.into(),
                neighbours: count(status.neighbours),
                links: count(status.links),
                known: count(status.known),
                outbox: count(status.outbox),
                pending: count(status.pending),
                datagrams_in: status.stats.datagrams_in,
                datagrams_out: status.stats.datagrams_out,
                messages: status.stats.messages,
                drops: drops(&status.stats),
            })
        })
    }

    /// Nodes that were met or named by others, at most `max`, by id.
    #[uniffi::method(default(max = 1000))]
    pub fn peers(&self, max: u32) -> Result<Vec<Peer>, DonpError> {
        self.run(|inner| Ok(inner.engine.peers().into_iter().take(max as usize).map(Into::into).collect()))
    }

    /// What is known of one node; none if it was never met or named by others.
    pub fn peer(&self, id: NodeId) -> Result<Option<Peer>, DonpError> {
        self.run(|inner| Ok(inner.engine.peer(id).map(Into::into)))
    }

    /// Whether a private message waits for its acknowledgement.
    pub fn is_queued(&self, id: MessageId) -> Result<bool, DonpError> {
        self.run(|inner| Ok(inner.engine.is_queued(id)))
    }

    /// Panics inside the engine, as a bug would: to try what an application does then. Always an error of
    /// the kind Internal.
    #[allow(clippy::panic, reason = "it is what the call is for")]
    pub fn simulate_crash(&self) -> Result<(), DonpError> {
        self.run(|_| panic!("simulate_crash was called"))
    }
}

pub(crate) fn address(text: &str) -> Result<SocketAddr, DonpError> {
    text.parse().map_err(|_| DonpError::invalid(format!("'{text}' is not an address"), "write it ip:port"))
}

fn place(text: &str) -> Result<core::Bootstrap, DonpError> {
    text.parse::<BootstrapName>().ok().and_then(|name| name.literal()).ok_or_else(|| {
        DonpError::invalid(
            format!("'{text}' is not a place to join through"),
            "write it ip:port or ip:port/NodeId; an engine does not look up names",
        )
    })
}

fn read_record(record: Record) -> Result<core::Record, DonpError> {
    let table = Table::from_byte(record.table);
    if table.name().is_none() {
        return Err(DonpError::invalid(
            format!("there is no table {}", record.table),
            "give back what batches put, unchanged",
        ));
    }
    Ok(core::Record { table, key: record.key, value: record.value })
}

fn op(op: core::Op) -> Op {
    match op {
        core::Op::Put { table, key, value } => Op::Put { table: table.to_byte(), key, value },
        core::Op::Delete { table, key } => Op::Delete { table: table.to_byte(), key },
        core::Op::DeleteRange { table, start, end } => Op::DeleteRange { table: table.to_byte(), start, end },
    }
}

fn request(request: core::Request) -> Request {
    Request {
        id: request.id,
        table: request.scan.table.to_byte(),
        start: request.scan.start,
        end: request.scan.end,
        reverse: request.scan.reverse,
        limit: request.scan.limit,
        max_bytes: request.scan.max_bytes,
    }
}
