//! The run loop: virtual time, and the work of a host for its engine.

mod drive;
mod transcript;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use donp_core::{
    Attachment, Batch, Bootstrap, CommandError, Config, Content, Conversation, Engine, Event, FileDraft, Identity,
    Instant, Message, MessageId, NodeId, Op, WallTime,
};

use crate::graph::Graph;
use crate::measure::{BitSet, Totals, Watch};
use crate::net::Network;
use crate::net::link::Faults;
use crate::net::nat::NatConfig;
use crate::node::chat_table;
use crate::node::{Disk, Node, Parts};
use crate::queue::EventQueue;
use crate::rng::SimRng;
use transcript::Transcript;

/// Virtual microseconds in a second.
pub const SECOND: u64 = 1_000_000;
/// Calls at one instant to one node after which it counts as spinning.
const SPIN: u32 = 100_000;
/// When identities were made: 2026-01-01.
const BIRTH: WallTime = WallTime(1_767_225_600_000);

/// When a node's power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashAt {
    /// The node.
    pub node: usize,
    /// At its first batch with this number or a greater one: several steps share a batch, which has the last number.
    pub batch: u64,
    /// Right after the batch is on disk, before anything is reported; or right before.
    pub written: bool,
}

/// A datagram that an attacker on the path saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its sender, as its first NAT box shows.
    pub from: SocketAddr,
    /// Its receiver.
    pub to: SocketAddr,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// An event that a node reported to its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The virtual microsecond.
    pub at: u64,
    /// The node.
    pub node: usize,
    /// The event.
    pub event: Event,
}

enum What {
    Arrive {
        to: usize,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A beacon, on the socket for those.
    Beacon {
        to: usize,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// At the outer side of a NAT box.
    Knock {
        number: usize,
        port: u16,
        sender: usize,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    Commit {
        node: usize,
        life: u32,
        upto: u64,
    },
    Wake {
        node: usize,
        life: u32,
    },
}

/// The network. A run is a function of the seed and of the calls made.
pub struct Sim {
    seed: u64,
    now: u64,
    rng: SimRng,
    disk_rng: SimRng,
    queue: EventQueue<What>,
    nodes: Vec<Node>,
    ids: BTreeMap<NodeId, usize>,
    transcript: Transcript,
    spins: (u64, u32),
    /// Islands, classes of paths, NAT boxes.
    pub net: Network,
    /// How usual paths behave from now on.
    pub faults: Faults,
    /// Least and greatest time that a commit to disk takes from now on, in microseconds.
    pub disk: (u64, u64),
    /// The configuration of nodes added from now on. Those whose `discovery.beacons` is on receive the beacons of
    /// the others on their local network: behind the same NAT box, or with LAN addresses and none.
    pub config: Config,
    /// What the disks of nodes added from now on keep.
    pub disks: Disk,
    /// Whether the applications keep the reported messages ([`Node::told`]); read when a node is added.
    pub remember: bool,
    /// Nodes added from now on have public addresses (81.0.0.0/8) and not those of a LAN (10.0.0.0/8).
    pub public: bool,
    /// Those addresses are each of another /24.
    pub spread: bool,
    /// Nodes that say what they like; no law is about them.
    pub hostile: BTreeSet<usize>,
    /// Also wake every node so many microseconds after the last time, whether its deadline has come or not:
    /// for law 5.
    pub tick: Option<u64>,
    /// Crash a node at one of its batches.
    pub crash_at: Option<CrashAt>,
    /// Every datagram that nodes send from now on, for an eavesdropper, if there is a list to put it in.
    pub tap: Option<Vec<Seen>>,
    /// Every event that a node reports from now on, if there is a list to put it in.
    pub log: Option<Vec<Logged>>,
    /// The measurements.
    pub watch: Watch,
    datagrams: u64,
    events: u64,
    wakes: u64,
    /// Laws that were broken during the run, as sentences; the first twenty.
    pub violations: Vec<String>,
}

impl Sim {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: 0,
            rng: SimRng::fork(seed, "story"),
            disk_rng: SimRng::fork(seed, "disks"),
            queue: EventQueue::new(),
            nodes: Vec::new(),
            ids: BTreeMap::new(),
            transcript: Transcript::default(),
            spins: (0, 0),
            net: Network::default(),
            faults: Faults::default(),
            disk: (0, 2_000),
            config: Config::default(),
            disks: Disk::Full,
            remember: true,
            public: false,
            spread: false,
            hostile: BTreeSet::new(),
            tick: None,
            crash_at: None,
            tap: None,
            log: None,
            watch: Watch::default(),
            datagrams: 0,
            events: 0,
            wakes: 0,
            violations: Vec::new(),
        }
    }

    /// How to see this run again; for the message of a failed assertion.
    pub fn replay(&self) -> String {
        format!("seed {} at {:.3} virtual s: replay with DONP_SEED={}", self.seed, self.now as f64 / 1e6, self.seed)
    }

    /// The seeds a test should use: the one in `DONP_SEED`, or all of `seeds`.
    pub fn seeds(seeds: std::ops::Range<u64>) -> Vec<u64> {
        match std::env::var("DONP_SEED").ok().and_then(|s| s.parse().ok()) {
            Some(seed) => vec![seed],
            None => seeds.collect(),
        }
    }

    /// A hash of every datagram, batch and event so far, with their times.
    pub fn transcript(&self) -> String {
        self.transcript.hash()
    }

    /// Virtual microseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The stream for a story's own choices. The network and the disks draw from others.
    pub fn rng(&mut self) -> &mut SimRng {
        &mut self.rng
    }

    /// Datagrams that nodes sent so far.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Events that happened so far: arrivals, commits, wakes.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Wake-ups of nodes so far: datagrams that arrived, and deadlines that came.
    pub fn wakes(&self) -> u64 {
        self.wakes
    }

    /// Events that wait for their time.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Adds a node with a store of its own; it does nothing until it is started. Returns its number.
    pub fn add_node(&mut self) -> usize {
        self.add_node_behind(None)
    }

    /// Adds a NAT box. Returns its number, for [`add_node_behind`](Self::add_node_behind).
    pub fn add_box(&mut self, config: NatConfig) -> usize {
        let mut rng = SimRng::fork(self.seed, &format!("box {}", self.net.boxes()));
        self.net.add_box(config, &mut rng)
    }

    /// Adds a node behind a NAT box, or with an address of its own.
    pub fn add_node_behind(&mut self, nat: Option<usize>) -> usize {
        let n = self.nodes.len();
        let mut entropy = [0u8; 64];
        entropy[..8].copy_from_slice(&self.seed.to_le_bytes());
        entropy[8..16].copy_from_slice(&(n as u64).to_le_bytes());
        let identity = Identity::generate(entropy, &format!("node{n}"), BIRTH).expect("a valid name");
        let [_, high, middle, low] = (n as u32 + 1).to_be_bytes();
        let octets = match (self.public && nat.is_none(), self.spread) {
            (true, true) => [81, low, middle, high],
            (true, false) => [81, high, middle, low],
            (false, _) => [10, high, middle, low],
        };
        let addr = SocketAddr::from((octets, 4000));
        let rng = SimRng::fork(self.seed, &format!("paths from {n}"));
        let node = Node::new(Parts {
            identity,
            addr,
            config: self.config.clone(),
            disk: self.disks,
            remembers: self.remember,
            rng,
        });
        self.ids.insert(node.id, n);
        self.nodes.push(node);
        self.net.add(addr, nat);
        n
    }

    /// Starts a node, or restarts it from what its disk holds.
    pub fn start(&mut self, n: usize, through: &[usize]) {
        let bootstraps: Vec<Bootstrap> =
            through.iter().map(|&b| Bootstrap { addr: self.nodes[b].addr, id: None }).collect();
        let node = &mut self.nodes[n];
        let seed = SimRng::fork(self.seed, &format!("life {} of {n}", node.life)).seed();
        let (now, wall) = (node.clock.instant(self.now), node.clock.wall(self.now));
        node.boot(seed, now, wall);
        self.watch.crashed.remove(&n);
        let addr = self.nodes[n].addr;
        self.with(n, |engine, now| {
            engine.handle_local_addresses(now, &[addr]);
            engine.join(now, &bootstraps).expect("a started node joins");
        });
    }

    /// Stops a node at once: uncommitted changes are lost, nothing is reported.
    pub fn crash(&mut self, n: usize) {
        self.nodes[n].end_life();
        self.watch.crash(n, self.now);
        self.note(b"crash", n);
    }

    /// Stops a node in the middle of a write: of the batches on the way to its disk a prefix, drawn at
    /// random, is there after all. A batch that was cut is undone by the store's journal.
    pub fn crash_torn(&mut self, n: usize) {
        let count = self.disk_rng.split().below(self.nodes[n].unwritten.len() as u64 + 1);
        for _ in 0..count {
            let node = &mut self.nodes[n];
            if let Some(batch) = node.unwritten.pop_front() {
                node.write(batch);
            }
        }
        self.crash(n);
    }

    /// Copies the disk of a node.
    pub fn back_up(&mut self, n: usize) {
        self.nodes[n].back_up();
        self.note(b"back up", n);
    }

    /// The power of a node fails, and the last copy of its disk takes the place of the disk. Whether there is a copy;
    /// without one nothing happens.
    pub fn restore(&mut self, n: usize) -> bool {
        let restored = self.nodes[n].restore();
        if restored {
            self.crash(n);
            self.note(b"restore", n);
        }
        restored
    }

    /// Whether an older copy of a device's disk is in use, so that its author says two things under one number.
    pub fn is_restored(&self, id: NodeId) -> bool {
        self.number(id).is_some_and(|n| self.nodes[n].restored > 0)
    }

    /// Whether an id is that of a hostile node, or of one that such a node made up.
    pub fn is_hostile(&self, id: NodeId) -> bool {
        self.number(id).is_none_or(|n| self.hostile.contains(&n))
    }

    /// A running node's disk loses messages of the network's conversation, each with this chance. Returns
    /// how many.
    pub fn lose_history(&mut self, n: usize, share: f64) -> usize {
        let history = self.history(n, Conversation::Network);
        let mut rng = self.disk_rng.split();
        let lost: Vec<Message> = history.into_iter().filter(|_| rng.chance(share)).collect();
        let node = &mut self.nodes[n];
        let Some(prefix) = node.prefix(Conversation::Network) else { return 0 };
        let rows = lost.iter().flat_map(|m| {
            let entry = [&prefix[..], &m.id.depth.to_be_bytes(), &m.id.hash].concat();
            let number = [&prefix[..], &m.author.0, &m.life.0, &m.seq.to_be_bytes(), &m.id.hash[..8]].concat();
            [(chat_table("entries"), entry), (chat_table("numbers"), number)]
        });
        let ops = rows.map(|(table, key)| Op::Delete { table, key }).collect();
        node.store.apply(Batch { seq: 0, ops });
        lost.len()
    }

    /// The host of a phone suspends it: no calls, and what arrives is gone.
    pub fn sleep(&mut self, n: usize) {
        if self.nodes[n].runs() && !self.nodes[n].asleep {
            self.with(n, |engine, now| engine.suspend(now));
            self.settle_disk(n);
            self.nodes[n].asleep = true;
            self.note(b"sleep", n);
        }
    }

    /// The phone resumes.
    pub fn wake(&mut self, n: usize) {
        if std::mem::take(&mut self.nodes[n].asleep) {
            self.note(b"wake", n);
            self.with(n, |engine, now| engine.resume(now));
        }
    }

    /// The node's process gets no processor time for `us` microseconds; datagrams wait in its socket.
    pub fn stall(&mut self, n: usize, us: u64) {
        let node = &mut self.nodes[n];
        node.stalled_until = node.stalled_until.max(self.now + us);
        self.note(b"stall", n);
    }

    /// A node's monotonic clock is fast by `ppm` parts per million from now on, slow if negative.
    pub fn skew_clock(&mut self, n: usize, ppm: i64) {
        self.nodes[n].clock.skew(self.now, ppm);
        self.clock_changed(n);
    }

    /// A node's monotonic clock jumps by `us` microseconds, back if negative.
    pub fn jump_clock(&mut self, n: usize, us: i64) {
        self.nodes[n].clock.jump(self.now, us);
        self.clock_changed(n);
    }

    /// A user sets a node's wall clock `ms` milliseconds forward, back if negative.
    pub fn set_wall_clock(&mut self, n: usize, ms: i64) {
        self.nodes[n].clock.set_wall(ms);
        let wall = self.nodes[n].clock.wall(self.now);
        if self.is_awake(n) {
            self.with(n, |engine, now| engine.handle_wall_clock(now, wall));
        }
    }

    fn clock_changed(&mut self, n: usize) {
        // The times at which it should be woken mean other virtual times now.
        self.nodes[n].wakes.clear();
        if self.is_awake(n) {
            self.schedule_wake(n);
        }
    }

    /// From now on the person at `n` reads, and never acknowledges an event.
    pub fn forget_to_acknowledge(&mut self, n: usize) {
        self.nodes[n].acknowledges = false;
    }

    /// Puts a node on an island: datagrams stay on their island.
    pub fn move_to_island(&mut self, n: usize, island: u32) {
        self.net.move_to_island(n, island);
    }

    /// Calls the engine of a running node, then performs its outputs.
    pub fn with<R>(&mut self, n: usize, f: impl FnOnce(&mut Engine, Instant) -> R) -> R {
        let node = &mut self.nodes[n];
        let now = node.clock.instant(self.now);
        let engine = node.engine.as_mut().expect("the node runs");
        let result = f(engine, now);
        self.drain(n);
        result
    }

    /// Broadcasts a text.
    ///
    /// # Errors
    /// As [`Engine::broadcast`].
    pub fn broadcast(&mut self, n: usize, text: &str) -> Result<MessageId, CommandError> {
        let said = self.with(n, |engine, now| engine.broadcast(now, Content::text(text)));
        if let Ok(id) = said {
            let running = self.awake();
            self.watch.said(id, n, self.now, running);
        }
        said
    }

    /// Sends a private text.
    ///
    /// # Errors
    /// As [`Engine::send_private`].
    pub fn send(&mut self, n: usize, to: usize, text: &str) -> Result<MessageId, CommandError> {
        let to = self.nodes[to].id;
        self.with(n, |engine, now| engine.send_private(now, to, Content::text(text)))
    }

    /// Everything in a conversation of a running node, in display order, read page by page.
    pub fn history(&mut self, n: usize, conversation: Conversation) -> Vec<Message> {
        let mut all: Vec<Message> = Vec::new();
        let mut before = None;
        loop {
            self.settle_disk(n);
            let page = 100;
            let query = self
                .with(n, |engine, now| engine.history(now, conversation, before, page))
                .expect("there is room for a query");
            let answer = self.nodes[n].answers.remove(&query).expect("a query is answered from the disk at once");
            let mut messages = answer.messages;
            messages.extend(all);
            all = messages;
            before = answer.older;
            if before.is_none() {
                return all;
            }
        }
    }

    /// Adds a file to a running node.
    pub fn add_file(&mut self, n: usize, bytes: &[u8], name: &str) -> Attachment {
        let added = self.with(n, |engine, now| {
            let mut draft = engine.begin_file(now, bytes.len() as u64)?;
            for part in bytes.chunks(FileDraft::PART) {
                draft.push(part).map_err(CommandError::File)?;
            }
            let sealed = draft.finish().map_err(CommandError::File)?;
            for (at, part) in (0..).zip(bytes.chunks(FileDraft::PART)) {
                engine.add_file_part(now, &sealed, at, part)?;
            }
            engine.finish_file(now, sealed.id(), name.into(), String::new())
        });
        added.expect("there is room for a file")
    }

    /// The bytes of a file of a running node; none if it is not here whole.
    pub fn read_file(&mut self, n: usize, file: &Attachment) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        for part in 0..file.size.div_ceil(FileDraft::PART as u64) {
            self.settle_disk(n);
            let query = self.with(n, |engine, now| engine.read_file(now, file.id, part as u32)).ok()?;
            all.extend(self.nodes[n].parts.remove(&query)??);
        }
        Some(all)
    }

    /// The texts of the network's conversation on a running node, in display order.
    pub fn texts(&mut self, n: usize) -> Vec<String> {
        let history = self.history(n, Conversation::Network);
        history.into_iter().map(|m| m.content.shown().to_owned()).collect()
    }

    /// A node of this network.
    pub fn node(&self, n: usize) -> &Node {
        &self.nodes[n]
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The id of a node.
    pub fn id(&self, n: usize) -> NodeId {
        self.nodes[n].id
    }

    /// The node that has an id.
    pub fn number(&self, id: NodeId) -> Option<usize> {
        self.ids.get(&id).copied()
    }

    /// Whether a node runs and does not sleep.
    pub fn is_awake(&self, n: usize) -> bool {
        self.nodes[n].runs() && !self.nodes[n].asleep
    }

    /// The nodes that run and do not sleep.
    pub fn awake(&self) -> BitSet {
        let mut set = BitSet::default();
        (0..self.nodes.len()).filter(|n| self.is_awake(*n)).for_each(|n| {
            set.insert(n);
        });
        set
    }

    /// Open links of a node; zero if it does not run.
    pub fn linked(&self, n: usize) -> usize {
        self.nodes[n].engine.as_ref().map_or(0, |e| e.status().links)
    }

    /// The neighbours of a node, by number; none if it does not run.
    pub fn neighbours(&self, n: usize) -> Vec<u32> {
        let peers = self.nodes[n].engine.iter().flat_map(Engine::peers).filter(|p| p.neighbour);
        peers.filter_map(|p| self.number(p.id)).map(|n| n as u32).collect()
    }

    /// The overlay graph.
    pub fn overlay(&self) -> Graph {
        let views: Vec<Vec<u32>> = (0..self.nodes.len()).map(|n| self.neighbours(n)).collect();
        Graph::new(self.nodes.iter().map(Node::runs).collect(), &views)
    }

    /// The traffic of all nodes so far.
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        self.nodes.iter().for_each(|n| sum.add(&n.totals()));
        sum
    }

    /// Drops every disk, or every engine: to measure their memory.
    pub fn take_apart(&mut self, engines: bool) {
        for node in &mut self.nodes {
            if engines {
                node.end_life();
            } else {
                node.store = donp_core::MemoryStore::default();
            }
        }
    }

    /// Lets virtual time pass until `done`, at most `seconds`; whether it came true.
    pub fn run_until(&mut self, seconds: u64, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + seconds * SECOND;
        // Checking is more expensive than stepping: check every 50 virtual milliseconds.
        let mut look = self.now;
        loop {
            if done(self) {
                return true;
            }
            look += SECOND / 20;
            if look > end {
                return false;
            }
            self.run_to(look);
        }
    }

    /// Lets `seconds` of virtual time pass.
    pub fn run_for(&mut self, seconds: u64) {
        self.run_to(self.now + seconds * SECOND);
    }
}
