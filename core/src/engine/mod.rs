//! One node: every machine, and the queues between them and the host.

mod commands;
#[cfg(test)]
mod dead_peers;
pub(crate) mod event;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod gag;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod lies;
mod list;
mod machines;
mod own;
mod pump;
mod queue;
mod route;
mod slot;
#[cfg(test)]
mod spec;
mod status;
#[cfg(test)]
mod store_spec;
mod work;

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::Config;
use crate::device;
use crate::discovery;
use crate::error::{CommandError, ConfigError, RestoreError};
use crate::fact::Fact;
use crate::id::{MessageId, NodeId};
use crate::identity::Identity;
use crate::link;
use crate::machine::Setup;
use crate::stats::Stats;
use crate::store::{Batch, Record, Request};
use crate::time::{Instant, WallClock, WallTime};
use crate::wakes::Wakes;
use crate::wire::content::Message;

pub use commands::contacts::{Contact, ConversationInfo};
pub use commands::fault_tolerance::{FailureType, ZoneMember};
pub use event::{Durable, Event, FailReason, Volatile};
pub use status::{Peer, Status};

use machines::Machines;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) use machines::{CONTRACTS, DRAWS};
use queue::Queues;
use slot::At;

/// A UDP payload to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// At most 1,452 bytes (`LinkConfig::max_datagram`).
    pub bytes: Vec<u8>,
}

/// A node that the host found nearby: a hint where to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    /// The id it claims; a node with another id that answers there is refused.
    pub id: Option<NodeId>,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// When the engine wants to be called, and which machine wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Call `handle_timeout` then.
    pub at: Instant,
    /// The machine, or `queued` while work or output waits.
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
    pub older: Option<MessageId>,
}

/// The answer to [`Engine::read_file`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// The number the query returned.
    pub query: u64,
    /// The bytes of the part; none if it is not here.
    pub bytes: Option<Vec<u8>>,
}

/// What a host does for its engine, by [`Engine::poll`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this, whole or not at all, then call [`Engine::handle_committed`] with its number.
    Batch(Batch),
    /// Read this and call [`Engine::handle_records`] with what was found.
    Read(Request),
    /// Report this to the application.
    Event(Event),
    /// The answer to a query of the application.
    Answer(Answer),
    /// A part of a file, for the application.
    FilePart(FilePart),
    /// Send this.
    Transmit(Transmit),
    /// Send this to all hosts of the local network, at most 400 bytes: on each interface to the group and port
    /// that the nodes of the network have agreed on. Given only if
    /// [`DiscoveryConfig::beacons`](crate::config::DiscoveryConfig::beacons) is on.
    Beacon(Vec<u8>),
}

/// The state machine of one node. See the crate's documentation for the run loop.
///
/// Every call that takes `now` does all that follows from it before it returns; afterwards take what
/// [`poll`](Self::poll) gives until it is empty. Time that goes back counts as standing still.
pub struct Engine {
    config: Config,
    me: NodeId,
    now: Instant,
    wall: WallClock,
    suspended: bool,
    /// When a node of low power does what can wait.
    wakes: Option<Wakes>,
    next_query: u64,
    /// A broadcast was refused because every neighbour's queue was full.
    broadcast_blocked: bool,
    /// Datagrams and their bytes; the machines count the rest.
    counters: Stats,
    machines: Machines,
    q: Queues,
}

impl Engine {
    /// A node that starts for the first time.
    ///
    /// `seed` is 32 bytes of the host's best randomness, fresh at every start. The first batch holds
    /// the node's link key: nothing is sent before it is committed.
    ///
    /// # Errors
    /// The first rule that the configuration breaks.
    pub fn new(
        config: Config,
        identity: Identity,
        seed: [u8; 32],
        now: Instant,
        wall: WallTime,
    ) -> Result<Self, ConfigError> {
        Self::restore(config, identity, Vec::new(), seed, now, wall).map_err(|e| match e {
            RestoreError::Config(e) => e,
            RestoreError::Record { .. } | RestoreError::UnknownTable(_) | RestoreError::OtherIdentity => {
                ConfigError { key: "records", rule: "must be readable".into() }
            }
        })
    }

    /// A node restored from its last committed batch. `records` are those of the hot tables
    /// ([`Table::is_hot`](crate::Table::is_hot)).
    ///
    /// # Errors
    /// A broken configuration rule, an unreadable record, or records of another identity.
    pub fn restore(
        config: Config,
        identity: Identity,
        records: Vec<Record>,
        seed: [u8; 32],
        now: Instant,
        wall: WallTime,
    ) -> Result<Self, RestoreError> {
        config.validate()?;
        let me = identity.node_id();
        let mut q = Queues::new(&config.limits);
        let records = q.restore(records, me)?;
        let identity = device::resume(identity, &records).map_err(|(table, _)| RestoreError::Record { table })?;
        let setup = Setup { config: &config, identity: &identity };
        let machines = Machines::open(setup, records, &seed, At { now, wall, me }, &mut q)?;
        let mut engine = Self {
            me,
            now,
            wall: WallClock::new(now, wall),
            suspended: false,
            wakes: Wakes::of(&config, me),
            next_query: 1,
            broadcast_blocked: false,
            counters: Stats::default(),
            machines,
            q,
            config,
        };
        engine.pump(now);
        Ok(engine)
    }

    /// A UDP payload arrived. Malformed or forbidden input is counted, never an error.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.counters.datagrams_in = self.counters.datagrams_in.saturating_add(1);
        self.counters.bytes_in = self.counters.bytes_in.saturating_add(bytes.len() as u64);
        self.q.input(link::In::Datagram { from, bytes: bytes.to_vec() });
        self.pump(now);
    }

    /// The system refused to send a datagram of `length` bytes to `to`, since it is longer than the interface allows
    /// (`EMSGSIZE`, `WSAEMSGSIZE`). It is lost; links to this address send shorter ones from now on. A host that never
    /// calls this pays with the time that repeated losses take to show the same.
    pub fn handle_too_long(&mut self, now: Instant, to: SocketAddr, length: usize) {
        self.q.input(link::In::TooLong { to, length });
        self.pump(now);
    }

    /// The time of [`next_deadline`](Self::next_deadline) has come. Earlier calls change nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let at = self.advance(now);
        self.machines.handle_timeout(at, self.wakes, &mut self.q);
        self.pump(now);
    }

    /// The batch `seq` and all before it are on disk: outputs that depend on them may leave.
    pub fn handle_committed(&mut self, now: Instant, seq: u64) {
        for effect in self.q.commit(seq) {
            effect.release(&mut self.q);
        }
        self.pump(now);
    }

    /// The answer to a [`Request`]; an unknown or repeated one has no effect.
    pub fn handle_records(&mut self, now: Instant, request: u64, records: Vec<Record>) {
        let at = self.advance(now);
        if let Some((reader, read)) = self.q.answered(request) {
            self.machines.records(at, reader, read, records, &mut self.q);
        }
        self.pump(now);
    }

    /// The device has another network: links move at once and are not waited for.
    pub fn handle_network_change(&mut self, now: Instant) {
        self.q.fact(Fact::NetworkChanged);
        self.pump(now);
    }

    /// The host read its wall clock again (every minute, and after a resume).
    pub fn handle_wall_clock(&mut self, now: Instant, wall: WallTime) {
        let now = self.advance(now).now;
        self.wall = WallClock::new(now, wall);
        self.pump(now);
    }

    /// Addresses that this node can be reached at, for invitations and announcements; best first. Link-local ones only say
    /// that beacons may name the port of their family: they are not announced, since they mean nothing elsewhere.
    pub fn handle_local_addresses(&mut self, now: Instant, addrs: &[SocketAddr]) {
        self.q.fact(Fact::LocalAddresses(addrs.to_vec()));
        self.pump(now);
    }

    /// A datagram arrived on the sockets for beacons. It hints where a node may be; the handshake
    /// proves which node is there. Malformed beacons and those of another network are counted, never an error.
    /// Nothing happens while [`DiscoveryConfig::beacons`](crate::config::DiscoveryConfig::beacons) is off.
    pub fn handle_beacon(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        // No beacon is longer: one byte more shows that this is none.
        let read = bytes.get(..discovery::beacon::MAX_BEACON.saturating_add(1)).unwrap_or(bytes);
        self.q.input(discovery::In::Beacon { from, bytes: read.to_vec() });
        self.pump(now);
    }

    /// The host found a node nearby by its own means, such as Bonjour: a hint, like a beacon.
    pub fn handle_local_peer(&mut self, now: Instant, peer: LocalPeer) {
        self.q.input(discovery::In::LocalPeer { id: peer.id, addr: peer.addr });
        self.pump(now);
    }

    /// Mixes 32 bytes of the host's randomness into every machine's stream. Once an hour.
    pub fn add_entropy(&mut self, entropy: [u8; 32]) {
        self.machines.mix(&entropy);
    }

    /// The device is about to sleep: commands are refused until [`resume`](Self::resume). The host
    /// commits what is polled and stops calling.
    pub fn suspend(&mut self, now: Instant) {
        self.suspended = true;
        self.q.fact(Fact::Suspended);
        self.pump(now);
    }

    /// The device woke up: as a network change, since much may have happened.
    pub fn resume(&mut self, now: Instant) {
        self.suspended = false;
        self.q.fact(Fact::Resumed);
        self.q.fact(Fact::NetworkChanged);
        self.pump(now);
    }

    fn running(&self) -> Result<(), CommandError> {
        if self.suspended { Err(CommandError::NotRunning) } else { Ok(()) }
    }

    /// The next thing to do, in the order that serves: write, read, report, send. None when all is done, until
    /// the next call.
    pub fn poll(&mut self) -> Option<Output> {
        if self.machines.chat.is_unfinished() {
            // What was said since the last output shares a signature, and what is stored a row of its state.
            self.handle_timeout(self.now);
        }
        if let Some(output) = self.q.poll() {
            return Some(output);
        }
        // The boot number of the first batch must be on disk before a handshake uses it.
        if !self.q.started() {
            return None;
        }
        self.transmit().map(Output::Transmit).or_else(|| self.q.beacon.take().map(Output::Beacon))
    }

    /// Packets are sealed here, so that all messages since the last call share as few packets as possible.
    fn transmit(&mut self) -> Option<Transmit> {
        let link = &mut self.machines.link;
        let (to, bytes) = link.transmit(At { now: self.now, wall: self.wall.at(self.now), me: self.me })?;
        self.counters.datagrams_out = self.counters.datagrams_out.saturating_add(1);
        self.counters.bytes_out = self.counters.bytes_out.saturating_add(bytes.len() as u64);
        self.unblock_broadcasts();
        Some(Transmit { to, bytes })
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): the last `now` while anything is queued.
    pub fn next_deadline(&self) -> Option<Deadline> {
        let leaving = self.q.started() && (self.q.beacon.is_some() || self.machines.link.has_transmit());
        if !self.q.is_idle() || self.q.has_output() || leaving {
            return Some(Deadline { at: self.now, why: "queued" });
        }
        self.machines.next_deadline(self.wakes)
    }

    /// Executes every invariant of every machine: an error names the machine and what does not hold. For tests;
    /// only in builds with debug assertions.
    #[doc(hidden)]
    #[cfg(any(test, debug_assertions))]
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        self.machines.check()?;
        if self.q.is_idle() { self.machines.check_all() } else { Ok(()) }
    }
}
