//! Links: encrypted, authenticated, loss-recovering channels to other nodes. The only machine that
//! knows addresses and keys.

mod addresses;
mod attempt;
mod blocks;
mod cipher;
mod congestion;
mod connection;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod cookie;
mod expiry;
mod forgers;
mod fragments;
mod frame;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub mod fuzz;
mod generations;
mod half_open;
mod handshake;
mod health;
mod info;
mod interest;
mod keys;
mod liveness;
mod lookup;
mod mtu;
mod noise;
pub(crate) mod packet;
mod queue;
mod recovery;
mod session;
mod stamps;
mod strangers;
#[cfg(test)]
mod tests;
mod transmit;
mod upgrade;

pub(crate) use blocks::Block;
pub(crate) use interest::Owner;

use crate::collections::{DeadlineQueue, OrderedMap, RateLimit};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::{Config, LinkConfig};
use crate::fact::{DownReason, Fact};
use crate::id::NodeId;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::link::addresses::Addresses;
use crate::link::attempt::{Asked, Attempt, Target};
use crate::link::blocks::{BLOCKED, Blocks};
use crate::link::connection::{Connection, Diagnosis};
use crate::link::cookie::RateLimiter;
use crate::link::expiry::Expiry;
use crate::link::forgers::Forgers;
use crate::link::half_open::HalfOpenTable;
use crate::link::interest::{Interest, Interests};
use crate::link::keys::Keys;
use crate::link::session::Session;
use crate::link::stamps::Stamps;
use crate::link::strangers::Strangers;
use crate::link::transmit::{Datagram, Transmit};
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant};
use crate::wakes::Wakes;
use crate::wire::record::{NodeRecord, Reader};
use crate::wire::registers::Register;
use crate::wire::{Channel, MAX_MESSAGE, Malformed, Priority};

#[derive(Debug)]
pub(crate) enum In {
    /// A UDP payload arrived.
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    /// The system did not send a datagram of so many bytes to `to`: it is longer than an interface allows.
    TooLong { to: SocketAddr, length: usize },
    /// Open a link to the node that answers at `addr`; refuse others than `expect` if it is given.
    /// Answered by `Fact::LinkUp` or `Out::Unreachable`. A no-op if that node is linked already: then
    /// `Fact::LinkUp` is not repeated but `Out::Resolved` names it.
    Connect { addr: SocketAddr, expect: Option<NodeId> },
    /// Where a node may be found, from the address book or from another node; best first.
    /// `told`: others say so, and this node was never linked with it; else it was, at the first address.
    AddAddresses { peer: NodeId, record: Option<NodeRecord>, addrs: Vec<SocketAddr>, told: bool },
    /// A machine needs a link to this node: open it when addresses are known, keep it, reopen it.
    Want { peer: NodeId, owner: Owner },
    /// The need is gone.
    Unwant { peer: NodeId, owner: Owner },
    /// Send to the namesake machine of a linked node. Reliable while the link lasts, in no
    /// particular order, at least once. Counted as dropped if there is no link.
    Send { to: NodeId, channel: Channel, priority: Priority, body: Vec<u8> },
    /// Send CLOSE and end the link.
    Close { peer: NodeId },
    /// A linked node brought something whose signature does not hold, and could have known.
    Forged { peer: NodeId },
    /// These are the devices of an account; `person` stands for it.
    Devices { person: NodeId, devices: Vec<NodeId> },
    /// The user blocked this node on another device, or ended that.
    Block { peer: NodeId, blocked: bool },
    /// Answered by `Fact::RoundTrips` of every link.
    Measure,
    /// Close all links (leaving) and stop answering handshakes until `Open`.
    Shut,
    /// Answer and make handshakes again.
    Open,
}

#[derive(Debug)]
pub(crate) enum Out {
    Fact(Fact),
    /// The user set this, for all of its devices.
    Share(Register),
    /// A link to this node is wanted, and nothing is known of it. `In::AddAddresses` answers, whenever.
    AddressNeeded(NodeId),
    Message {
        from: NodeId,
        channel: Channel,
        body: Vec<u8>,
    },
    /// The keys that a link with this node uses from now on have this handshake's hash. After `Fact::LinkUp`, or while the
    /// link is open.
    Keyed {
        peer: NodeId,
        hash: [u8; 32],
    },
    /// The node at a bare address is known (before `Fact::LinkUp`).
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
    /// A peer observes this node at this address.
    Observed {
        by: NodeId,
        addr: SocketAddr,
    },
}

/// Keys and the newest stamp of this node, by name.
const KEYS: Table = Table::hot(8);
/// CLOSE: no machine there needs the link.
const CLOSE_UNWANTED: u8 = 0;
/// CLOSE: there are too many links there.
const CLOSE_FULL: u8 = 1;
/// CLOSE: the node leaves.
const CLOSE_LEAVING: u8 = 2;
/// CLOSE: the link must have a post-quantum secret and has none.
const CLOSE_CLASSICAL: u8 = 3;
/// A peer from which a packet came within this is not probed because another fails: a second, what a suspicion
/// takes.
const RECENTLY_RECEIVED: Duration = Duration::from_secs(1);
/// Datagrams that a close may take for what is still queued: 38 KiB.
const MAX_CLOSE_DATAGRAMS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Rotate,
    Connection(NodeId),
    Attempt(Target),
    HalfOpen(u32),
}

/// The owner of a receiver's index in packets.
#[derive(Clone, Copy, Debug)]
enum Route {
    Connection(NodeId),
    Attempt(NodeId),
    HalfOpen,
}

/// The link machine. See `docs/spec/link.md` for what it says on the wire.
pub(crate) struct Link {
    config: LinkConfig,
    wakes: Option<Wakes>,
    limits: Limits,
    psk: [u8; 32],
    me: NodeId,
    keys: Keys,
    limiter: RateLimiter,
    open: bool,
    addresses: Addresses,
    /// Where this node is on its own networks, as the host says.
    local: Vec<SocketAddr>,
    interests: Interests,
    attempts: OrderedMap<Target, Box<Attempt>>,
    tokens: OrderedMap<[u8; 16], Asked>,
    half_open: HalfOpenTable,
    links: OrderedMap<NodeId, Box<Connection>>,
    routes: OrderedMap<u32, Route>,
    stamps: Stamps,
    strangers: Strangers,
    expiry: Expiry,
    blocks: Blocks,
    forgers: Forgers,
    /// Proofs that the own record is current.
    proofs: RateLimit,
    encapsulations: RateLimit,
    incarnations: u32,
    transmit: Transmit,
    timers: DeadlineQueue<Timer>,
    drops: Drops,
    handshakes: u64,
    lost: u64,
}

impl Link {
    /// Writes keys and stamp through `out`; nothing may be transmitted before that is on disk.
    ///
    /// # Errors
    /// A stored row is damaged.
    fn new(
        config: &Config,
        identity: &Identity,
        stored: &[Record],
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        let keys = Keys::load(config, identity, stored, cx, out)?;
        let blocks = Blocks::restore(stored)?;
        blocks.iter().for_each(|peer| out.push(Out::Fact(Fact::Blocked(peer))));
        let link = &config.link;
        let limiter = RateLimiter::new(cx.rng.bytes(), link.unverified_handshakes, link.verified_handshakes);
        let mut timers = DeadlineQueue::new();
        timers.arm(Timer::Rotate, cx.now + keys.due_in(cx.wall));
        Ok(Self {
            config: link.clone(),
            wakes: Wakes::of(config, identity.node_id()),
            limits: config.limits.clone(),
            psk: config.network_key,
            me: identity.node_id(),
            keys,
            limiter,
            open: true,
            addresses: Addresses::default(),
            local: Vec::new(),
            interests: Interests::default(),
            attempts: OrderedMap::new(),
            tokens: OrderedMap::new(),
            half_open: HalfOpenTable::default(),
            links: OrderedMap::new(),
            routes: OrderedMap::new(),
            stamps: Stamps::default(),
            strangers: Strangers::default(),
            expiry: Expiry::default(),
            blocks,
            forgers: Forgers::default(),
            proofs: RateLimit::new(lookup::PROOFS),
            encapsulations: RateLimit::new(upgrade::ENCAPSULATIONS),
            // Random, so that an incarnation before a restart is not mistaken for one after it.
            incarnations: u32::from_le_bytes(cx.rng.bytes()),
            transmit: Transmit::new(),
            timers,
            drops: Drops::default(),
            handshakes: 0,
            lost: 0,
        })
    }

    /// The next datagram. Packets are sealed here and not earlier, so that everything queued since
    /// the last call shares them: undrained is late, never wrong.
    pub(crate) fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<Datagram> {
        loop {
            if let Some(packet) = self.transmit.pop() {
                return Some(packet);
            }
            let peer = self.transmit.next_peer()?;
            let packet = match self.links.get_mut(&peer) {
                Some(connection) if connection.current.may_send(cx.now, self.config.reject_after) => {
                    connection.build(cx.now)
                }
                _ => None,
            };
            if packet.is_none() {
                self.transmit.set_ready(peer, false);
            }
            self.touch(cx, peer);
            if packet.is_some() {
                return packet;
            }
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has a datagram.
    pub(crate) fn has_transmit(&self) -> bool {
        !self.transmit.is_empty()
    }

    /// This node's current record.
    #[cfg(test)]
    pub(crate) fn record(&self) -> &NodeRecord {
        &self.keys.record
    }

    /// Sets the timer of a link and whether it is in line for sending.
    fn touch(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let (config, now) = (&self.config, cx.now);
        let Some(connection) = self.links.get_mut(&peer) else {
            self.transmit.set_ready(peer, false);
            self.timers.cancel(Timer::Connection(peer));
            return;
        };
        let work = connection.has_work(now);
        let may = connection.current.may_send(now, config.reject_after);
        let renew = work || connection.recovery.in_flight() > 0;
        let renew = renew && connection.rekey_due(now, config);
        match connection.deadline(now, config) {
            Some(at) if self.timers.get(Timer::Connection(peer)) != Some(at) => {
                self.timers.arm(Timer::Connection(peer), at)
            }
            Some(_) => {}
            None => self.timers.cancel(Timer::Connection(peer)),
        }
        self.transmit.set_ready(peer, work && may);
        if renew && !self.attempts.contains_key(&Target::Peer(peer)) {
            self.renew(cx, peer);
        }
    }

    fn data(&mut self, cx: &mut Cx<'_>, from: SocketAddr, mut bytes: Vec<u8>, out: &mut Outbox<Out>) {
        let Ok((local, n)) = data_names(&bytes) else { return self.drops.count(DropReason::Malformed) };
        let len = bytes.len();
        let (peer, plain) = match self.routes.get(&local).copied() {
            Some(Route::Connection(peer)) => {
                let Some(connection) = self.links.get(&peer) else {
                    return self.drops.count(DropReason::UnknownSession);
                };
                let Some(session) = connection.session_ref(local) else {
                    return self.drops.count(DropReason::UnknownSession);
                };
                if cx.now.since(session.created) >= self.config.reject_after {
                    return self.drops.count(DropReason::UnknownSession);
                }
                if !session.is_new(n) {
                    return self.drops.count(DropReason::Replay);
                }
                let Some(plain) = session.open(n, &mut bytes) else { return self.drops.count(DropReason::Decrypt) };
                (peer, plain)
            }
            Some(Route::HalfOpen) => {
                let Some(half) = self.half_open.get(local) else {
                    return self.drops.count(DropReason::UnknownSession);
                };
                let mut session = Session::new(&half.split, false, local, half.remote, half.created);
                session.generation = half.generation;
                if !session.is_new(n) {
                    return self.drops.count(DropReason::Replay);
                }
                let Some(plain) = session.open(n, &mut bytes) else { return self.drops.count(DropReason::Decrypt) };
                let peer = half.peer;
                // The first authentic packet proves that the initiator is there now: a replayed Init
                // never gets this far.
                if !self.confirm(cx, local, session, n == 0, out) {
                    return;
                }
                (peer, plain)
            }
            Some(Route::Attempt(_)) | None => return self.drops.count(DropReason::UnknownSession),
        };
        let held: usize =
            self.links.values().fold(0, |sum, connection| sum.saturating_add(connection.fragments.held()));
        let node = self.limits.reassembly_bytes.saturating_sub(held);
        let Some(connection) = self.links.get_mut(&peer) else { return };
        let free = connection.fragments.held().saturating_add(node).min(self.limits.reassembly_peer_bytes);
        let proves = connection.upgrade.proves();
        let (mut held, is_hidden) = (Outbox::new(), connection.hidden.is_some());
        let events = if is_hidden { &mut held } else { &mut *out };
        let got = connection.receive(cx, (local, n, from, len), plain, free, &mut self.drops, events);
        if let Some(addr) = got.observed {
            connection.liveness.translated = !addr.ip().is_loopback() && !self.local.contains(&addr);
        }
        if got.moved {
            let addr = connection.path;
            self.strangers.answered(addr);
            if !is_hidden {
                out.push(Out::Fact(Fact::AddressChanged { peer, addr }));
            }
        }
        if is_hidden && !self.pass_on(cx, peer, held, out) {
            return;
        }
        for body in got.own {
            self.exchange(cx, peer, &body);
        }
        if proves {
            self.offer_if_due(cx, peer);
        }
        match got.closed {
            Some(CLOSE_FULL) => self.down(cx, peer, DownReason::Full, out),
            Some(_) => self.down(cx, peer, DownReason::Closed, out),
            None => self.touch(cx, peer),
        }
    }

    /// Everything that decides what this machine does next, hashed; without the counters and tables
    /// that exist to count bad input.
    #[cfg(test)]
    fn state_digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (peer, connection) in &self.links {
            hasher.update(alloc::format!("{peer:?} {connection:?}").as_bytes());
        }
        self.attempt_digest(&mut hasher);
        let rest = alloc::format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {}",
            self.open,
            self.addresses,
            self.interests,
            self.tokens,
            self.routes,
            self.stamps,
            self.transmit,
            self.timers,
            self.incarnations,
            self.handshakes,
        );
        *hasher.update(rest.as_bytes()).finalize().as_bytes()
    }

    /// Ends a link without a CLOSE.
    fn down(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: DownReason, out: &mut Outbox<Out>) {
        if self.forget(peer, reason, out) {
            self.reopen(cx, peer);
        }
    }

    /// Removes a link and everything that belongs to its incarnation.
    fn forget(&mut self, peer: NodeId, reason: DownReason, out: &mut Outbox<Out>) -> bool {
        let Some(mut connection) = self.links.remove(&peer) else { return false };
        self.lost = self.lost.saturating_add(connection.recovery.lost);
        self.routes.remove(&connection.current.local);
        if let Some(previous) = &connection.previous {
            self.routes.remove(&previous.local);
        }
        let addr = connection.path;
        self.forgers.unlinked(peer);
        self.drop_all_half_open(peer);
        self.drop_attempt(Target::Peer(peer));
        self.transmit.set_ready(peer, false);
        self.timers.cancel(Timer::Connection(peer));
        self.remember(peer, Some(connection.record.clone()), &[addr]);
        match connection.hidden.take() {
            Some(hidden) => hidden.unreachable(peer, addr, out),
            None => out.push(Out::Fact(Fact::LinkDown { peer, reason })),
        }
        true
    }

    /// Sends what is still queued and CLOSE, and ends the link.
    fn close(&mut self, cx: &mut Cx<'_>, peer: NodeId, code: u8, reason: DownReason, out: &mut Outbox<Out>) {
        let Some(connection) = self.links.get_mut(&peer) else { return };
        if connection.current.may_send(cx.now, self.config.reject_after) {
            let last = connection.close(cx.now, code, MAX_CLOSE_DATAGRAMS);
            self.transmit.extend(last);
        }
        self.down(cx, peer, reason, out);
    }

    /// Makes place for one more link by closing the unwanted one that was idle longest, or else one that
    /// failure detection alone wants. False if every link is wanted otherwise.
    fn make_place(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> bool {
        if self.links.len() < self.limits.links {
            return true;
        }
        match self.evictable() {
            Some(victim) => {
                self.close(cx, victim, CLOSE_FULL, DownReason::Full, out);
                true
            }
            None => false,
        }
    }

    fn evictable(&self) -> Option<NodeId> {
        let spare = self.links.values().filter(|l| l.liveness.interest < Interest::Full);
        spare.min_by_key(|l| (l.liveness.interest, l.used_at, l.peer)).map(|l| l.peer)
    }

    /// Whether a new link would find a place.
    fn has_capacity(&self) -> bool {
        self.links.len() < self.limits.links || self.evictable().is_some()
    }

    /// Remembers where a node may be found; whether an address is new.
    fn remember(&mut self, peer: NodeId, record: Option<NodeRecord>, addrs: &[SocketAddr]) -> bool {
        let (interests, attempts) = (&self.interests, &self.attempts);
        let needed = |p| interests.wanted(p) || attempts.contains_key(&Target::Peer(p));
        peer != self.me && self.addresses.add(peer, record, addrs, &self.limits, needed)
    }
}

/// Receiver's index and packet number of a Data packet.
fn data_names(bytes: &[u8]) -> Result<(u32, u64), Malformed> {
    let mut r = Reader(bytes);
    let _: [u8; 2] = r.take()?;
    Ok((u32::from_le_bytes(r.take()?), u64::from_le_bytes(r.take()?)))
}

impl Machine for Link {
    const NAME: &'static str = "link";
    const TABLES: &'static [(&'static str, Table)] = &[("keys", KEYS), ("blocked", BLOCKED)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        Self::new(setup.config, setup.identity, &records, cx, out)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern others")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match fact {
            Fact::NetworkChanged => self.network_changed(cx, out),
            Fact::LocalAddresses(addrs) => self.local.clone_from(addrs),
            // Others learn of another account with the next handshake.
            Fact::Identity(identity) if self.keys.set_identity(identity, cx, out) => {
                let peers: Vec<NodeId> = self.links.keys().copied().collect();
                peers.into_iter().for_each(|peer| self.close(cx, peer, CLOSE_UNWANTED, DownReason::Unwanted, out));
            }
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Datagram { from, bytes } => match packet::kind(&bytes) {
                Ok(packet::DATA) => self.data(cx, from, bytes, out),
                Ok(packet::INIT) => self.init(cx, from, &bytes),
                Ok(packet::RESP) => self.resp(cx, &bytes, out),
                Ok(packet::COOKIE_REPLY) => self.cookie_reply(cx, &bytes),
                Ok(packet::RECORD_REQUEST) => self.record_request(cx, from, &bytes),
                Ok(packet::RECORD_REPLY) => self.record_reply(cx, from, &bytes, out),
                Ok(packet::RECORD_OUTDATED) => self.record_outdated(cx, &bytes, out),
                Ok(_) | Err(Malformed) => self.drops.count(DropReason::Malformed),
            },
            In::TooLong { to, length } => self.too_long(cx, to, length),
            In::Connect { addr, expect } => self.connect(cx, addr, expect, out),
            In::AddAddresses { peer, record, addrs, told } => {
                if let Some(&first) = addrs.first().filter(|_| !told) {
                    self.strangers.answered(first);
                }
                let record = record.filter(|record| !self.expiry.refuses(record, cx.now, cx.wall));
                let news = self.remember(peer, record, &addrs);
                self.pursue(cx, peer, news, out);
            }
            In::Want { peer, owner } => {
                self.interests.want(peer, owner);
                let interest = self.interests.of(peer);
                if let Some(connection) = self.links.get_mut(&peer) {
                    connection.liveness.interest = interest;
                    self.touch(cx, peer);
                }
                if peer != self.me && self.addresses.get(peer).is_none() && !self.links.contains_key(&peer) {
                    out.push(Out::AddressNeeded(peer));
                }
                self.pursue(cx, peer, true, out);
            }
            In::Unwant { peer, owner } => {
                self.interests.unwant(peer, owner);
                self.unwanted(cx, peer);
            }
            In::Send { to, channel, priority, body } => {
                let limit = self.limits.link_queue_bytes;
                match self.links.get_mut(&to) {
                    Some(connection) if body.len() <= MAX_MESSAGE && connection.hidden.is_none() => {
                        for _ in 0..connection.send(priority, channel, body, limit, cx.now) {
                            self.drops.count(DropReason::Queue);
                        }
                        self.touch(cx, to);
                    }
                    Some(_) | None => self.drops.count(DropReason::Queue),
                }
            }
            In::Close { peer } => {
                self.drop_attempt(Target::Peer(peer));
                self.close(cx, peer, CLOSE_UNWANTED, DownReason::Unwanted, out);
            }
            In::Forged { peer } => self.forged(cx, peer, out),
            In::Devices { person, devices } => self.devices(cx, person, &devices, out),
            In::Block { peer, blocked } => self.block_elsewhere(cx, peer, blocked, out),
            In::Measure => {
                let links = self.links.values().filter(|l| l.hidden.is_none()).map(|l| l.round_trip());
                out.push(Out::Fact(Fact::RoundTrips(links.collect())));
            }
            In::Shut => {
                self.open = false;
                let keys: Vec<Target> = self.attempts.keys().copied().collect();
                for key in keys {
                    self.drop_attempt(key);
                }
                let peers: Vec<NodeId> = self.links.keys().copied().collect();
                for peer in peers {
                    self.close(cx, peer, CLOSE_LEAVING, DownReason::Unwanted, out);
                }
                for local in self.half_open.indices() {
                    self.drop_half_open(local);
                }
            }
            In::Open => {
                self.open = true;
                for peer in self.interests.peers() {
                    self.pursue(cx, peer, true, out);
                }
            }
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Rotate => {
                    self.keys.tend(cx, out);
                    self.timers.arm(Timer::Rotate, cx.now + self.keys.due_in(cx.wall));
                }
                Timer::Connection(peer) => self.connection_timeout(cx, peer, out),
                Timer::Attempt(key) => self.attempt_timeout(cx, key, out),
                Timer::HalfOpen(local) => self.drop_half_open(local),
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn footprint(&self) -> usize {
        [
            self.addresses.len(),
            self.interests.len(),
            self.attempts.len(),
            self.tokens.len(),
            self.half_open.len(),
            self.links.len(),
            self.routes.len(),
            self.stamps.len(),
            self.strangers.len(),
            self.expiry.len(),
            self.blocks.len(),
            self.forgers.len(),
            self.transmit.len(),
            self.timers.len(),
            self.limiter.len(),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.handshakes = self.handshakes;
        stats.packets_lost = self.packets_lost();
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.interests.check()?;
        self.blocks.check(self.limits.blocked)?;
        self.forgers.check(|peer| self.links.contains_key(peer))?;
        self.links.values().try_for_each(|connection| connection.check())
    }
}

impl Link {
    /// The host's network changed: probe every link at once, from wherever it is.
    fn network_changed(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let peers: Vec<NodeId> = self.links.keys().copied().collect();
        for peer in peers {
            if let Some(connection) = self.links.get_mut(&peer) {
                connection.network_changed();
            }
            self.touch(cx, peer);
        }
        self.retry_now(cx, out);
    }

    fn too_long(&mut self, cx: &mut Cx<'_>, to: SocketAddr, length: usize) {
        let there = self.links.values().filter(|connection| connection.path == to);
        let peers: Vec<NodeId> = there.map(|connection| connection.peer).collect();
        for peer in peers {
            if let Some(connection) = self.links.get_mut(&peer) {
                connection.too_long(length, cx.now);
            }
            self.touch(cx, peer);
        }
    }

    fn connection_timeout(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(connection) = self.links.get_mut(&peer) else { return };
        if let Some(gone) = connection.retire(cx.now, &self.config) {
            self.routes.remove(&gone);
        }
        if self.close_if_classical(cx, peer, out) {
            return;
        }
        self.offer_if_due(cx, peer);
        let Some(connection) = self.links.get_mut(&peer) else { return };
        match connection.handle_timeout(cx.now, &self.config, &mut self.drops) {
            Diagnosis::Dead => self.down(cx, peer, DownReason::Timeout, out),
            Diagnosis::Idle => self.close(cx, peer, CLOSE_UNWANTED, DownReason::Unwanted, out),
            Diagnosis::Suspect => {
                if self.shown(peer).is_some() {
                    out.push(Out::Fact(Fact::LinkSuspected(peer)));
                }
                self.touch(cx, peer);
                self.probe_others(cx, peer);
            }
            Diagnosis::Keep => self.touch(cx, peer),
        }
    }

    /// Nodes that fail together, by a power cut or a partition, are found together, without the keepalive time of
    /// the second.
    fn probe_others(&mut self, cx: &mut Cx<'_>, suspect: NodeId) {
        let others: Vec<NodeId> = self.links.keys().copied().filter(|p| *p != suspect).collect();
        for other in others {
            if self
                .links
                .get_mut(&other)
                .is_some_and(|connection| connection.probe_unless_received(cx.now, RECENTLY_RECEIVED))
            {
                self.touch(cx, other);
            }
        }
    }
}
