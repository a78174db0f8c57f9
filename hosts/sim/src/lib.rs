//! A network of real [`Engine`]s in virtual time: seeded, replayable, and doing nothing that a dumb
//! socket and a disk would not.
//!
//! ```
//! use donp_sim::{Faults, Sim};
//!
//! let mut sim = Sim::new(7);
//! let alice = sim.add_node();
//! let bob = sim.add_node();
//! sim.faults = Faults { loss: 0.2, ..Faults::default() };
//! sim.start(alice, &[]);
//! sim.start(bob, &[alice]);
//! assert!(sim.run_until(60, |sim| sim.linked(bob) == 1), "{}", sim.replay());
//! sim.broadcast(alice, "hello").unwrap();
//! assert!(sim.run_until(60, |sim| sim.texts(bob) == ["hello"]), "{}", sim.replay());
//! ```

mod node;
mod rng;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use donp_core::{
    Batch, Bootstrap, CommandError, Config, Content, Conversation, Engine, Identity, Instant, Message, MessageId,
    NodeId, WallTime,
};

pub use node::Node;
pub use rng::SimRng;

/// Virtual microseconds in a second.
pub const SECOND: u64 = 1_000_000;
/// What the nodes' wall clocks show at virtual time zero: 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;
/// Calls at one instant to one node after which it counts as spinning.
const SPIN: u32 = 100_000;

/// What happens to datagrams on their way, each drawn independently.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that it arrives twice.
    pub duplicate: f64,
    /// Probability that it is delayed by up to ten times the usual.
    pub reorder: f64,
    /// Probability that one of its bits flips.
    pub corrupt: f64,
    /// Least and greatest usual delay in microseconds.
    pub delay: (u64, u64),
    /// Least and greatest time that a commit to disk takes, in microseconds.
    pub disk: (u64, u64),
}

impl Default for Faults {
    fn default() -> Self {
        Self { loss: 0.0, duplicate: 0.0, reorder: 0.0, corrupt: 0.0, delay: (1_000, 5_000), disk: (0, 2_000) }
    }
}

/// When a node's power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashAt {
    /// Which node.
    pub node: usize,
    /// At its batch with this number.
    pub batch: u64,
    /// Right after the batch is on the disk, before anybody is told; or right before.
    pub written: bool,
}

/// A datagram that somebody on the path saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who sent it.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

enum What {
    Arrive { to: usize, from: SocketAddr, bytes: Vec<u8> },
    Commit { node: usize, life: u32, batches: Vec<Batch> },
    Wake { node: usize, life: u32 },
}

struct Scheduled {
    at: u64,
    tie: u64,
    what: What,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.tie) == (other.at, other.tie)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}

/// The network. All that happens is a function of the seed and of the calls made.
pub struct Sim {
    seed: u64,
    now: u64,
    tie: u64,
    rng: SimRng,
    queue: BinaryHeap<Reverse<Scheduled>>,
    nodes: Vec<Node>,
    transcript: blake3::Hasher,
    spins: (u64, u32),
    /// How datagrams and disks behave from now on.
    pub faults: Faults,
    /// The configuration of nodes added from now on.
    pub config: Config,
    /// Nodes with different numbers cannot hear each other.
    island: Vec<u32>,
    /// Wake every node each so many microseconds instead of at its deadline, for law 5.
    pub tick: Option<u64>,
    /// Crash a node at one of its batches.
    pub crash_at: Option<CrashAt>,
    /// Everything that nodes send from now on, for an eavesdropper, if there is a list to put it in.
    pub tap: Option<Vec<Seen>>,
    datagrams: u64,
}

impl Sim {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            now: 0,
            tie: 0,
            rng: SimRng::new(seed),
            queue: BinaryHeap::new(),
            nodes: Vec::new(),
            transcript: blake3::Hasher::new(),
            spins: (0, 0),
            faults: Faults::default(),
            config: Config::default(),
            island: Vec::new(),
            tick: None,
            crash_at: None,
            tap: None,
            datagrams: 0,
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
        self.transcript.finalize().to_hex().to_string()
    }

    /// Virtual microseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The simulator's stream, for a test's own choices.
    pub fn rng(&mut self) -> &mut SimRng {
        &mut self.rng
    }

    /// Datagrams that nodes sent so far.
    pub fn datagrams(&self) -> u64 {
        self.datagrams
    }

    /// Adds a node with a store of its own; it does nothing until it is started. Returns its number.
    pub fn add_node(&mut self) -> usize {
        let n = self.nodes.len();
        let mut entropy = [0u8; 64];
        entropy[..8].copy_from_slice(&self.seed.to_le_bytes());
        entropy[8..16].copy_from_slice(&(n as u64).to_le_bytes());
        let identity = Identity::generate(entropy, &format!("node{n}"), WallTime(EPOCH_MS)).expect("a valid name");
        let [_, _, high, low] = (n as u32 + 1).to_be_bytes();
        let addr = SocketAddr::from(([10, 0, high, low], 4000));
        self.nodes.push(Node::new(identity, addr, self.config.clone()));
        self.island.push(0);
        n
    }

    /// Starts a node, or restarts it from what its disk holds.
    pub fn start(&mut self, n: usize, through: &[usize]) {
        let bootstraps: Vec<Bootstrap> =
            through.iter().map(|&b| Bootstrap { addr: self.nodes[b].addr, id: None }).collect();
        let seed = self.rng.seed();
        let (now, wall) = (self.instant(), self.wall());
        self.nodes[n].boot(seed, now, wall);
        let addr = self.nodes[n].addr;
        self.with(n, |engine, now| {
            engine.handle_local_addresses(now, &[addr]);
            engine.join(now, &bootstraps).expect("a started node joins");
        });
    }

    /// Stops a node at once: what was not committed is lost, nobody is told.
    pub fn crash(&mut self, n: usize) {
        self.nodes[n].crash();
        self.note(b"crash", &[n as u8]);
    }

    /// From now on the person at `n` reads, and never says that an event was handled.
    pub fn forget_to_acknowledge(&mut self, n: usize) {
        self.nodes[n].acknowledges = false;
    }

    /// Puts a node on an island: only nodes of the same island hear each other.
    pub fn move_to_island(&mut self, n: usize, island: u32) {
        self.island[n] = island;
    }

    /// Calls the engine of a running node, then does what it asks.
    pub fn with<R>(&mut self, n: usize, f: impl FnOnce(&mut Engine, Instant) -> R) -> R {
        let now = self.instant();
        let engine = self.nodes[n].engine.as_mut().expect("the node runs");
        let result = f(engine, now);
        self.drain(n);
        result
    }

    /// Broadcasts a text.
    ///
    /// # Errors
    /// As [`Engine::broadcast`].
    pub fn broadcast(&mut self, n: usize, text: &str) -> Result<MessageId, CommandError> {
        self.with(n, |engine, now| engine.broadcast(now, Content::text(text)))
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

    /// Open links of a node; zero if it does not run.
    pub fn linked(&self, n: usize) -> usize {
        self.nodes[n].engine.as_ref().map_or(0, |e| e.status().links)
    }

    /// Lets virtual time pass until `done`, at most `seconds`; whether it came true.
    pub fn run_until(&mut self, seconds: u64, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + seconds * SECOND;
        // Looking is dearer than stepping: look every 50 virtual milliseconds.
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

    fn run_to(&mut self, end: u64) {
        while let Some(Reverse(next)) = self.queue.peek() {
            if next.at > end {
                break;
            }
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.now = self.now.max(next.at);
            self.step(next.what);
        }
        self.now = end;
    }

    fn step(&mut self, what: What) {
        match what {
            What::Arrive { to, from, bytes } => {
                if self.nodes[to].engine.is_some() {
                    self.with(to, |engine, now| engine.handle_datagram(now, from, &bytes));
                }
            }
            What::Commit { node, life, batches } => {
                if self.nodes[node].life == life && self.nodes[node].engine.is_some() {
                    self.commit(node, batches);
                }
            }
            What::Wake { node, life } => {
                if self.nodes[node].life == life && self.nodes[node].engine.is_some() {
                    if self.nodes[node].wake == Some(self.now) {
                        self.nodes[node].wake = None;
                    }
                    self.with(node, |engine, now| engine.handle_timeout(now));
                }
            }
        }
    }

    fn commit(&mut self, n: usize, batches: Vec<Batch>) {
        let Some(last) = batches.last().map(|b| b.seq) else { return };
        for batch in batches {
            let seq = batch.seq;
            let here = self.crash_at.filter(|c| c.node == n && c.batch == seq);
            // A query may have made the disk hurry: each batch is written once.
            if !self.nodes[n].unwritten.iter().any(|b| b.seq == seq) {
                continue;
            }
            if here.is_some_and(|c| !c.written) {
                self.crash_at = None;
                return self.crash(n);
            }
            self.nodes[n].disk.apply(batch);
            self.nodes[n].unwritten.retain(|b| b.seq > seq);
            if here.is_some() {
                self.crash_at = None;
                return self.crash(n);
            }
        }
        self.with(n, |engine, now| engine.handle_committed(now, last));
    }

    /// Finishes what is on its way to a node's disk, so that a query sees it.
    fn settle_disk(&mut self, n: usize) {
        while self.nodes[n].runs() && !self.nodes[n].unwritten.is_empty() {
            let batches = self.nodes[n].unwritten.clone();
            self.commit(n, batches);
        }
    }

    /// Does what a host does after each call: takes everything, and sleeps until the deadline.
    fn drain(&mut self, n: usize) {
        let (now, life) = (self.now, self.nodes[n].life);
        loop {
            let node = &mut self.nodes[n];
            let Some(engine) = node.engine.as_mut() else { return };
            let mut batches = Vec::new();
            while let Some(batch) = engine.poll_batch() {
                batches.push(batch);
            }
            if !batches.is_empty() {
                for batch in &batches {
                    self.transcript.update(format!("{now} {n} {batch:?}").as_bytes());
                }
                node.unwritten.extend(batches.iter().cloned());
                let delay = self.rng.between(self.faults.disk.0, self.faults.disk.1);
                // A disk writes in order: a batch is not done before the one it follows.
                let done = (now + delay).max(self.nodes[n].disk_busy_until);
                self.nodes[n].disk_busy_until = done;
                self.schedule(done, What::Commit { node: n, life, batches });
                continue;
            }
            if let Some(request) = engine.poll_request() {
                let records = node.disk.query(&request);
                engine.handle_records(Instant::from_micros(now), request.id, records);
                continue;
            }
            if let Some(transmit) = engine.poll_transmit() {
                let from = node.addr;
                self.send_datagram(n, from, transmit.to, transmit.bytes);
                continue;
            }
            if let Some(event) = engine.poll_event() {
                self.transcript.update(format!("{now} {n} {event:?}").as_bytes());
                node.tell(event, Instant::from_micros(now));
                continue;
            }
            if let Some(answer) = engine.poll_answer() {
                node.answers.insert(answer.query, answer);
                continue;
            }
            break;
        }
        self.schedule_wake(n);
    }

    fn schedule_wake(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some(deadline) = node.engine.as_ref().and_then(Engine::next_deadline) else { return };
        let at = match self.tick {
            Some(tick) => self.now + tick,
            None => deadline.at.as_micros().max(self.now),
        };
        if at == self.now {
            self.spins = if self.spins.0 == self.now { (self.now, self.spins.1 + 1) } else { (self.now, 0) };
            assert!(self.spins.1 < SPIN, "node {n} spins because of {}; {}", deadline.why, self.replay());
        }
        let node = &mut self.nodes[n];
        if node.wake.is_none_or(|w| w > at || w < self.now) {
            node.wake = Some(at);
            let life = node.life;
            self.schedule(at, What::Wake { node: n, life });
        }
    }

    fn send_datagram(&mut self, n: usize, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.datagrams += 1;
        self.note(&bytes, &[n as u8]);
        if let Some(tap) = &mut self.tap {
            tap.push(Seen { from, to, bytes: bytes.clone() });
        }
        let Some(target) = self.nodes.iter().position(|node| node.addr == to) else { return };
        if self.island[n] != self.island[target] || self.rng.chance(self.faults.loss) {
            return;
        }
        let copies = if self.rng.chance(self.faults.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let mut bytes = bytes.clone();
            if self.rng.chance(self.faults.corrupt) && !bytes.is_empty() {
                let bit = self.rng.below(bytes.len() as u64 * 8);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            let mut delay = self.rng.between(self.faults.delay.0, self.faults.delay.1);
            if self.rng.chance(self.faults.reorder) {
                delay += self.rng.below(self.faults.delay.1 * 10);
            }
            self.schedule(self.now + delay, What::Arrive { to: target, from, bytes });
        }
    }

    fn schedule(&mut self, at: u64, what: What) {
        self.tie += 1;
        self.queue.push(Reverse(Scheduled { at, tie: self.tie, what }));
    }

    fn note(&mut self, a: &[u8], b: &[u8]) {
        self.transcript.update(&self.now.to_le_bytes()).update(&(a.len() as u64).to_le_bytes()).update(a).update(b);
    }

    fn instant(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    fn wall(&self) -> WallTime {
        WallTime(EPOCH_MS + self.now / 1_000)
    }
}
