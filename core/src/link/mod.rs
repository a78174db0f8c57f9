//! Links: encrypted, authenticated, loss-recovering channels to other nodes. The only machine that
//! knows addresses and keys.

mod cipher;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod cookie;
mod dh;
mod dial;
mod fragments;
mod frame;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub mod fuzz;
mod handshake;
mod keys;
mod live;
mod lookup;
mod noise;
pub(crate) mod packet;
mod queue;
mod recovery;
mod session;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Bound;

use crate::collections::DeadlineQueue;
use crate::config::{Config, LinkConfig};
use crate::fact::{DownReason, Fact};
use crate::id::NodeId;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::link::cookie::Guard;
use crate::link::dial::{Asked, Dial, DialKey};
use crate::link::handshake::Half;
use crate::link::keys::Keys;
use crate::link::live::{Live, Verdict};
use crate::link::packet::Stamp;
use crate::link::session::Session;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant};
use crate::wire::record::{NodeRecord, Reader};
use crate::wire::{Channel, MAX_MESSAGE, Malformed, Priority};

/// A machine that can want a link. The numbers are bits of [`Owners`]; they mean nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Owner {
    Membership = 1,
    Delivery = 2,
    /// Failure detection: such a link alone is probed rarely.
    Swim = 4,
}

/// The machines that want one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owners(u8);

impl Owners {
    /// Those whose interest alone is worth rare probes only.
    const RARE: u8 = Owner::Swim as u8;

    fn insert(&mut self, owner: Owner) {
        self.0 |= owner as u8;
    }

    fn remove(&mut self, owner: Owner) {
        self.0 &= !(owner as u8);
    }

    fn contains(self, owner: Owner) -> bool {
        self.0 & owner as u8 != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn are_rare(self) -> bool {
        !self.is_empty() && self.0 & !Self::RARE == 0
    }
}

#[derive(Debug)]
pub(crate) enum In {
    /// A UDP payload arrived.
    Datagram { from: SocketAddr, bytes: Vec<u8> },
    /// Open a link to the node that answers at `addr`; refuse others than `expect` if it is given.
    /// Answered by `Fact::LinkUp` or `Out::Unreachable`. A no-op if that node is linked already: then
    /// `Fact::LinkUp` is not repeated but `Out::Resolved` names it.
    Connect { addr: SocketAddr, expect: Option<NodeId> },
    /// Where a node may be found, from the address book or from another node; best first.
    AddAddresses { peer: NodeId, record: Option<NodeRecord>, addrs: Vec<SocketAddr> },
    /// A machine needs a link to this node: open it when addresses are known, keep it, reopen it.
    Want { peer: NodeId, owner: Owner },
    /// The need is gone.
    Unwant { peer: NodeId, owner: Owner },
    /// Send to the namesake machine of a linked node. Reliable while the link lasts, in no
    /// particular order, at least once. Counted as dropped if there is no link.
    Send { to: NodeId, channel: Channel, priority: Priority, body: Vec<u8> },
    /// Say goodbye and close.
    Close { peer: NodeId },
    /// Answered by `Fact::RoundTrips` of every link.
    Measure,
    /// Say goodbye to all (leaving) and stop answering handshakes until `Open`.
    Shut,
    /// Answer and make handshakes again.
    Open,
}

#[derive(Debug)]
pub(crate) enum Out {
    Fact(Fact),
    /// A link to this node is wanted, and nothing is known of it. `In::AddAddresses` answers, whenever.
    AddressNeeded(NodeId),
    Message {
        from: NodeId,
        channel: Channel,
        body: Vec<u8>,
    },
    /// The node behind a bare address is known (before `Fact::LinkUp`).
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
    /// A peer sees this node at this address.
    Observed {
        by: NodeId,
        addr: SocketAddr,
    },
}

/// What a host wants to know of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub addr: SocketAddr,
    /// Smoothed; none before the first measurement.
    pub rtt: Option<Duration>,
    pub initiated: bool,
    /// Waiting and in flight.
    pub queued_bytes: usize,
}

/// Keys and the boot number of this node, by name.
const KEYS: Table = Table::hot(8);
/// CLOSE: nobody there needs the link.
const CLOSE_UNWANTED: u8 = 0;
/// CLOSE: there are too many links there.
const CLOSE_FULL: u8 = 1;
/// CLOSE: the node leaves.
const CLOSE_LEAVING: u8 = 2;
/// Who was heard of within this is not asked whether it is there: a second, what a suspicion takes.
const LATELY: Duration = Duration::from_secs(1);
/// Datagrams that a farewell may take for what is still queued: 38 KiB.
const FAREWELL: usize = 32;
/// Handshake datagrams waiting to be taken; further replies are dropped and counted.
const MAX_RAW: usize = 1_024;
/// Stamps remembered of nodes without a link, 100 bytes each. What is forgotten costs a replayed
/// Init the work of an answer and nothing else.
const MAX_STAMPS: usize = 1_024;
/// Addresses kept for one node.
const MAX_ADDRS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Rotate,
    Live(NodeId),
    Dial(DialKey),
    Half(u32),
}

/// Whose packets carry an index.
#[derive(Clone, Copy, Debug)]
enum Route {
    Live(NodeId),
    Dial(NodeId),
    Half,
}

/// Where a node may be found.
#[derive(Debug, Default)]
struct Known {
    record: Option<NodeRecord>,
    addrs: Vec<SocketAddr>,
    used: u64,
}

/// The link machine. See `docs/spec/link.md` for what it says on the wire.
pub(crate) struct Link {
    config: LinkConfig,
    limits: Limits,
    psk: [u8; 32],
    me: NodeId,
    keys: Keys,
    guard: Guard,
    open: bool,
    known: BTreeMap<NodeId, Known>,
    uses: u64,
    /// INVARIANT: no entry is empty.
    wants: BTreeMap<NodeId, Owners>,
    dials: BTreeMap<DialKey, Box<Dial>>,
    tokens: BTreeMap<[u8; 16], Asked>,
    halves: BTreeMap<u32, Box<Half>>,
    links: BTreeMap<NodeId, Box<Live>>,
    routes: BTreeMap<u32, Route>,
    stamps: BTreeMap<NodeId, (Stamp, u64)>,
    incarnations: u32,
    raw: VecDeque<(SocketAddr, Vec<u8>)>,
    ready: BTreeSet<NodeId>,
    cursor: NodeId,
    timers: DeadlineQueue<Timer>,
    drops: Drops,
    handshakes: u64,
    lost: u64,
}

impl Link {
    /// Writes keys and boot number through `out`; nothing may be transmitted before that is on disk.
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
        let link = &config.link;
        let guard = Guard::new(cx.rng.bytes(), link.unverified_handshakes, link.verified_handshakes);
        let mut timers = DeadlineQueue::new();
        timers.arm(Timer::Rotate, cx.now + keys.due_in(cx.wall));
        Ok(Self {
            config: link.clone(),
            limits: config.limits.clone(),
            psk: config.network_key,
            me: identity.node_id(),
            keys,
            guard,
            open: true,
            known: BTreeMap::new(),
            uses: 0,
            wants: BTreeMap::new(),
            dials: BTreeMap::new(),
            tokens: BTreeMap::new(),
            halves: BTreeMap::new(),
            links: BTreeMap::new(),
            routes: BTreeMap::new(),
            stamps: BTreeMap::new(),
            // Random, so that a life of a link before a restart is not mistaken for one after it.
            incarnations: u32::from_le_bytes(cx.rng.bytes()),
            raw: VecDeque::new(),
            ready: BTreeSet::new(),
            cursor: NodeId([0; 32]),
            timers,
            drops: Drops::default(),
            handshakes: 0,
            lost: 0,
        })
    }

    /// The next datagram. Packets are sealed here and not earlier, so that everything queued since
    /// the last call shares them: undrained is late, never wrong.
    pub(crate) fn poll_transmit(&mut self, cx: &mut Cx<'_>) -> Option<(SocketAddr, Vec<u8>)> {
        loop {
            if let Some(packet) = self.raw.pop_front() {
                return Some(packet);
            }
            // Peers take turns: the one after the last served.
            let after = (Bound::Excluded(self.cursor), Bound::Unbounded);
            let peer = self.ready.range(after).next().or_else(|| self.ready.first()).copied()?;
            self.cursor = peer;
            let packet = match self.links.get_mut(&peer) {
                Some(live) if live.current.may_send(cx.now, self.config.reject_after) => live.build(cx.now),
                _ => None,
            };
            if packet.is_none() {
                self.ready.remove(&peer);
            }
            self.touch(cx, peer);
            if packet.is_some() {
                return packet;
            }
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has a datagram.
    pub(crate) fn has_transmit(&self) -> bool {
        !self.raw.is_empty() || !self.ready.is_empty()
    }

    /// The link to `peer`, if there is one.
    pub(crate) fn info(&self, peer: NodeId) -> Option<LinkInfo> {
        self.links.get(&peer).map(|live| LinkInfo {
            addr: live.path,
            rtt: live.recovery.rtt.smoothed(),
            initiated: live.initiated,
            queued_bytes: live.queued(),
        })
    }

    /// Every linked node, by id.
    pub(crate) fn linked(&self) -> impl Iterator<Item = NodeId> {
        self.links.keys().copied()
    }

    /// This node's current record.
    #[cfg(test)]
    pub(crate) fn record(&self) -> &NodeRecord {
        &self.keys.record
    }

    /// Packets declared lost.
    fn packets_lost(&self) -> u64 {
        self.links.values().fold(self.lost, |sum, live| sum.saturating_add(live.recovery.lost))
    }

    /// Bytes that may be queued for `peer` before something is dropped; zero without a link.
    pub(crate) fn free_queue(&self, peer: NodeId) -> usize {
        self.links.get(&peer).map_or(0, |live| self.limits.link_queue_bytes.saturating_sub(live.queued()))
    }

    fn wanted_by(&self, peer: NodeId, owner: Owner) -> bool {
        self.wants.get(&peer).is_some_and(|owners| owners.contains(owner))
    }

    fn wanted(&self, peer: NodeId) -> bool {
        self.wants.contains_key(&peer)
    }

    /// Whether failure detection alone wants it.
    fn rarely(&self, peer: NodeId) -> bool {
        self.wants.get(&peer).is_some_and(|owners| owners.are_rare())
    }

    /// Sets the timer of a link and whether it is in line for sending.
    fn touch(&mut self, cx: &mut Cx<'_>, peer: NodeId) {
        let (config, now) = (&self.config, cx.now);
        let Some(live) = self.links.get_mut(&peer) else {
            self.ready.remove(&peer);
            self.timers.cancel(Timer::Live(peer));
            return;
        };
        let work = live.has_work(now);
        let may = live.current.may_send(now, config.reject_after);
        let renew = work || live.recovery.in_flight() > 0;
        let renew = renew && live.rekey_due(now, config);
        match live.deadline(now, config) {
            Some(at) if self.timers.get(Timer::Live(peer)) != Some(at) => self.timers.arm(Timer::Live(peer), at),
            Some(_) => {}
            None => self.timers.cancel(Timer::Live(peer)),
        }
        if work && may {
            self.ready.insert(peer);
        } else {
            self.ready.remove(&peer);
        }
        if renew && !self.dials.contains_key(&DialKey::Peer(peer)) {
            self.renew(cx, peer);
        }
    }

    fn data(&mut self, cx: &mut Cx<'_>, from: SocketAddr, mut bytes: Vec<u8>, out: &mut Outbox<Out>) {
        let Ok((local, n)) = data_names(&bytes) else { return self.drops.count(DropReason::Malformed) };
        let len = bytes.len();
        let (peer, plain) = match self.routes.get(&local).copied() {
            Some(Route::Live(peer)) => {
                let Some(live) = self.links.get(&peer) else { return self.drops.count(DropReason::UnknownSession) };
                let Some(session) = live.session_ref(local) else {
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
            Some(Route::Half) => {
                let Some(half) = self.halves.get(&local) else { return self.drops.count(DropReason::UnknownSession) };
                let session = Session::new(&half.split, false, local, half.remote, half.created);
                if !session.is_new(n) {
                    return self.drops.count(DropReason::Replay);
                }
                let Some(plain) = session.open(n, &mut bytes) else { return self.drops.count(DropReason::Decrypt) };
                let peer = half.peer;
                // The first authentic packet proves that the initiator is there now: a replayed Init
                // never gets this far.
                if !self.confirm(cx, local, session, out) {
                    return;
                }
                (peer, plain)
            }
            Some(Route::Dial(_)) | None => return self.drops.count(DropReason::UnknownSession),
        };
        let held: usize = self.links.values().fold(0, |sum, live| sum.saturating_add(live.fragments.held()));
        let node = self.limits.reassembly_bytes.saturating_sub(held);
        let Some(live) = self.links.get_mut(&peer) else { return };
        let room = live.fragments.held().saturating_add(node).min(self.limits.reassembly_peer_bytes);
        let got = live.receive(cx, (local, n, from, len), plain, room, &mut self.drops, out);
        if got.moved {
            let addr = live.path;
            out.push(Out::Fact(Fact::AddressChanged { peer, addr }));
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
        for (peer, live) in &self.links {
            hasher.update(alloc::format!("{peer:?} {live:?}").as_bytes());
        }
        self.dial_digest(&mut hasher);
        let rest = alloc::format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {}",
            self.open,
            self.known,
            self.wants,
            self.tokens,
            self.routes,
            self.stamps,
            self.raw,
            self.ready,
            self.timers,
            self.incarnations,
            self.handshakes,
        );
        *hasher.update(rest.as_bytes()).finalize().as_bytes()
    }

    /// Ends a link without a word to the other side.
    fn down(&mut self, cx: &mut Cx<'_>, peer: NodeId, reason: DownReason, out: &mut Outbox<Out>) {
        if !self.forget(peer) {
            return;
        }
        out.push(Out::Fact(Fact::LinkDown { peer, reason }));
        self.reopen(cx, peer);
    }

    /// Removes a link and everything that belongs to this life of it.
    fn forget(&mut self, peer: NodeId) -> bool {
        let Some(live) = self.links.remove(&peer) else { return false };
        self.lost = self.lost.saturating_add(live.recovery.lost);
        self.routes.remove(&live.current.local);
        if let Some(previous) = &live.previous {
            self.routes.remove(&previous.local);
        }
        let addr = live.path;
        self.drop_halves(peer);
        self.drop_dial(DialKey::Peer(peer));
        self.ready.remove(&peer);
        self.timers.cancel(Timer::Live(peer));
        self.remember(peer, Some(live.record.clone()), &[addr]);
        true
    }

    /// Says goodbye, with what is still queued before it, and ends the link.
    fn close(&mut self, cx: &mut Cx<'_>, peer: NodeId, code: u8, reason: DownReason, out: &mut Outbox<Out>) {
        let Some(live) = self.links.get_mut(&peer) else { return };
        if live.current.may_send(cx.now, self.config.reject_after) {
            let last = live.farewell(cx.now, code, FAREWELL);
            self.raw.extend(last);
        }
        self.down(cx, peer, reason, out);
    }

    /// Makes room for one more link by closing the unwanted one that was silent longest, or else one that
    /// failure detection alone wants. False if every link is wanted otherwise.
    fn make_room(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> bool {
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
        let spare = self.links.values().filter(|l| !l.wanted || l.rare);
        spare.min_by_key(|l| (l.wanted, l.talked, l.peer)).map(|l| l.peer)
    }

    /// Whether a new link would find room.
    fn has_room(&self) -> bool {
        self.links.len() < self.limits.links || self.evictable().is_some()
    }

    fn remember(&mut self, peer: NodeId, record: Option<NodeRecord>, addrs: &[SocketAddr]) -> bool {
        if peer == self.me {
            return false;
        }
        if !self.known.contains_key(&peer) && self.known.len() >= self.limits.neighbours {
            // Least recently learnt, and not needed by anybody now: it can be asked for again.
            let unneeded = |p: &NodeId| !self.wanted(*p) && !self.dials.contains_key(&DialKey::Peer(*p));
            let oldest = self.known.iter().filter(|(p, _)| unneeded(p)).min_by_key(|(_, k)| k.used);
            match oldest.map(|(p, _)| *p) {
                Some(oldest) => {
                    self.known.remove(&oldest);
                }
                None if self.known.len() >= self.limits.address_book => return false,
                None => {}
            }
        }
        self.uses = self.uses.saturating_add(1);
        let known = self.known.entry(peer).or_default();
        known.used = self.uses;
        if let Some(record) = record.filter(|r| r.id() == peer)
            && known.record.as_ref().is_none_or(|old| record.seq > old.seq)
        {
            known.record = Some(record);
        }
        let fresh: Vec<_> = addrs.iter().copied().filter(|a| usable(*a)).collect();
        let new = fresh.iter().any(|a| !known.addrs.contains(a));
        let mut all: Vec<SocketAddr> = Vec::with_capacity(MAX_ADDRS);
        for addr in fresh.into_iter().chain(known.addrs.iter().copied()) {
            if all.len() < MAX_ADDRS && !all.contains(&addr) {
                all.push(addr);
            }
        }
        known.addrs = all;
        new
    }
}

/// Whether packets may be sent there at all.
fn usable(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, core::net::IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// Receiver's index and packet number of a Data packet.
fn data_names(bytes: &[u8]) -> Result<(u32, u64), Malformed> {
    let mut r = Reader(bytes);
    let _: [u8; 2] = r.take()?;
    Ok((u32::from_le_bytes(r.take()?), u64::from_le_bytes(r.take()?)))
}

impl Machine for Link {
    const NAME: &'static str = "link";
    const TABLES: &'static [(&'static str, Table)] = &[("keys", KEYS)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        Self::new(setup.config, setup.identity, &records, cx, out)
    }

    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        if let Fact::NetworkChanged = fact {
            self.network_changed(cx, out);
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
                Ok(_) | Err(Malformed) => self.drops.count(DropReason::Malformed),
            },
            In::Connect { addr, expect } => self.connect(cx, addr, expect, out),
            In::AddAddresses { peer, record, addrs } => {
                let news = self.remember(peer, record, &addrs);
                self.pursue(cx, peer, news, out);
            }
            In::Want { peer, owner } => {
                self.wants.entry(peer).or_default().insert(owner);
                let rare = self.rarely(peer);
                if let Some(live) = self.links.get_mut(&peer) {
                    live.wanted = true;
                    live.rare = rare;
                    self.touch(cx, peer);
                }
                if peer != self.me && !self.known.contains_key(&peer) && !self.links.contains_key(&peer) {
                    out.push(Out::AddressNeeded(peer));
                }
                self.pursue(cx, peer, true, out);
            }
            In::Unwant { peer, owner } => {
                if let Some(owners) = self.wants.get_mut(&peer) {
                    owners.remove(owner);
                    if owners.is_empty() {
                        self.wants.remove(&peer);
                    }
                }
                self.unwanted(cx, peer);
            }
            In::Send { to, channel, priority, body } => {
                let limit = self.limits.link_queue_bytes;
                match self.links.get_mut(&to) {
                    Some(live) if body.len() <= MAX_MESSAGE => {
                        for _ in 0..live.send(priority, channel, body, limit, cx.now) {
                            self.drops.count(DropReason::Queue);
                        }
                        self.touch(cx, to);
                    }
                    Some(_) | None => self.drops.count(DropReason::Queue),
                }
            }
            In::Close { peer } => {
                self.drop_dial(DialKey::Peer(peer));
                self.close(cx, peer, CLOSE_UNWANTED, DownReason::Unwanted, out);
            }
            In::Measure => {
                let links = self.links.values().map(|l| l.round_trip());
                out.push(Out::Fact(Fact::RoundTrips(links.collect())));
            }
            In::Shut => {
                self.open = false;
                let keys: Vec<DialKey> = self.dials.keys().copied().collect();
                for key in keys {
                    self.drop_dial(key);
                }
                let peers: Vec<NodeId> = self.links.keys().copied().collect();
                for peer in peers {
                    self.close(cx, peer, CLOSE_LEAVING, DownReason::Unwanted, out);
                }
                let halves: Vec<u32> = self.halves.keys().copied().collect();
                for local in halves {
                    self.drop_half(local);
                }
            }
            In::Open => {
                self.open = true;
                let wanted: Vec<NodeId> = self.wants.keys().copied().collect();
                for peer in wanted {
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
                Timer::Live(peer) => self.live_timeout(cx, peer, out),
                Timer::Dial(key) => self.dial_timeout(cx, key, out),
                Timer::Half(local) => self.drop_half(local),
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn footprint(&self) -> usize {
        [
            self.known.len(),
            self.wants.len(),
            self.dials.len(),
            self.tokens.len(),
            self.halves.len(),
            self.links.len(),
            self.routes.len(),
            self.stamps.len(),
            self.raw.len(),
            self.timers.len(),
            self.guard.len(),
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
        if self.wants.values().any(|owners| owners.is_empty()) {
            return Err("an interest in a link has no owner");
        }
        self.links.values().try_for_each(|live| live.check())
    }
}

impl Link {
    /// The host's network changed: probe every link at once, from wherever it is.
    fn network_changed(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let peers: Vec<NodeId> = self.links.keys().copied().collect();
        for peer in peers {
            if let Some(live) = self.links.get_mut(&peer) {
                live.network_changed();
            }
            self.touch(cx, peer);
        }
        self.hurry(cx, out);
    }

    fn live_timeout(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let Some(live) = self.links.get_mut(&peer) else { return };
        if let Some(gone) = live.retire(cx.now, &self.config) {
            self.routes.remove(&gone);
        }
        match live.handle_timeout(cx.now, &self.config, &mut self.drops) {
            Verdict::Dead => self.down(cx, peer, DownReason::Timeout, out),
            Verdict::Idle => self.close(cx, peer, CLOSE_UNWANTED, DownReason::Unwanted, out),
            Verdict::Suspect => {
                out.push(Out::Fact(Fact::LinkSuspected(peer)));
                self.touch(cx, peer);
                self.look_after_others(cx, peer);
            }
            Verdict::Keep => self.touch(cx, peer),
        }
    }

    /// Nodes that fail together, by a power cut or a partition, are found together: nobody waits for the
    /// keepalive of the second.
    fn look_after_others(&mut self, cx: &mut Cx<'_>, suspect: NodeId) {
        let others: Vec<NodeId> = self.links.keys().copied().filter(|p| *p != suspect).collect();
        for other in others {
            if self.links.get_mut(&other).is_some_and(|live| live.probe_unless_heard(cx.now, LATELY)) {
                self.touch(cx, other);
            }
        }
    }
}
