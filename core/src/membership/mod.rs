//! Joining, neighbours and leaving.
//!
//! A node tries the places it was told of and the nodes it remembers, for ever, with growing pauses.
//! A link that opens is asked to become a neighbour (`NeighborRequest`); which and how many is
//! HyParView's business (`hyparview.rs`). Neighbours carry broadcasts and history for each other;
//! links without a neighbour at the other end serve private messages only.

mod book;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod found;
mod hearsay;
mod hyparview;
mod losses;
mod partition;
mod score;
mod state;
mod types;
pub(crate) mod wire;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::{Config, NodeType};
use crate::fact::{DownReason, Fact, MemberState, RoundTrip};
use crate::id::{ID_LEN, NodeId};
use crate::identity::Identity;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant, WallTime, soonest};
use crate::wire::reach::may_probe;
use crate::wire::record::NodeRecord;
use crate::wire::ticket::Bootstrap;
use crate::wire::{Blob, Malformed, Priority, decode, encode};

pub(crate) use book::Known;
use book::{Book, lasts, pause};
use hyparview::Views;
use losses::Losses;
use partition::{MERGE_ROOM, Part};
use score::Scores;
pub use state::NodeState;
use state::Trigger;
use types::Probes;
use wire::{MAX_ADDRS, MAX_BYTES, MAX_OFFERED, Message, NodeInfo, Refusal, Urgency};

/// The address book: what is known of a node, under its id.
const PEERS: Table = Table::hot(16);
/// Bootstraps a user can configure.
const MAX_BOOTSTRAPS: usize = 64;

#[derive(Debug)]
pub(crate) enum In {
    /// Enter the network through any of these or anybody known; with nobody at all, begin one.
    Join(Vec<Bootstrap>),
    /// A linked node behaves as a neighbour and is none here.
    Stranger(NodeId),
    /// Where is it? Answered by `Out::AddAddresses`, at once or when somebody tells of it.
    AddressNeeded(NodeId),
    /// The node behind a bare bootstrap address.
    Resolved {
        addr: SocketAddr,
        peer: NodeId,
    },
    Unreachable {
        addr: SocketAddr,
        expect: Option<NodeId>,
        wrong_node: bool,
    },
    Observed {
        by: NodeId,
        addr: SocketAddr,
    },
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// Somebody near may be there.
    Found {
        addr: SocketAddr,
        id: Option<NodeId>,
    },
    /// Try every place and every node again at once.
    Retry,
    /// The history here has all that this peer's has.
    Compared(NodeId),
    /// Contact these at once, or somebody met before: the network may have another part.
    Contact(Vec<NodeId>),
}

#[derive(Debug)]
pub(crate) enum Out {
    Fact(Fact),
    Connect {
        addr: SocketAddr,
        expect: Option<NodeId>,
    },
    AddAddresses {
        peer: NodeId,
        record: Option<NodeRecord>,
        addrs: Vec<SocketAddr>,
    },
    Want(NodeId),
    Unwant(NodeId),
    /// Asks for `Fact::RoundTrips` of every link.
    Measure,
    /// End the link to this peer.
    Close(NodeId),
    Send {
        to: NodeId,
        priority: Priority,
        body: Vec<u8>,
    },
    /// A node is linked and its name, if it ever told one, is known.
    Up {
        peer: NodeId,
        name: Option<String>,
    },
    Down {
        peer: NodeId,
        reason: DownReason,
    },
    State {
        from: NodeState,
        to: NodeState,
    },
    /// How many nodes the network has, about.
    Estimate(usize),
    /// Compare histories with this peer at once.
    Compare(NodeId),
    /// Make and answer handshakes, or say goodbye to all and stop.
    Open,
    Shut,
}

/// A place to enter the network.
struct Target {
    /// Who answered there, once known.
    resolved: Option<NodeId>,
    fails: u32,
    next_try: Instant,
    trying: bool,
}

pub(crate) struct Membership {
    config: Config,
    announcement: DeviceCertAndAddrs,
    state: NodeState,
    targets: BTreeMap<Bootstrap, Target>,
    /// Places that somebody near is said to be at, tried since then.
    hints: BTreeMap<SocketAddr, Instant>,
    book: Book,
    linked: BTreeMap<NodeId, SocketAddr>,
    /// The active view.
    neighbours: BTreeSet<NodeId>,
    views: Views,
    part: Part,
    probes: Probes,
    scores: Scores,
    losses: Losses,
    /// INVARIANT: exactly the peers with a `Want` and no `Unwant` after it.
    wanted: BTreeSet<NodeId>,
    /// Asked for by the link and unknown so far.
    sought: BTreeSet<NodeId>,
    /// Where each linked peer sees this node: one voice a peer.
    observed: BTreeMap<NodeId, SocketAddr>,
    ask_at: Option<Instant>,
    try_at: Option<Instant>,
    drops: Drops,
}

struct DeviceCertAndAddrs {
    cert: crate::identity::DeviceCert,
    addrs: Vec<SocketAddr>,
}

impl Membership {
    fn new(config: &Config, identity: &Identity) -> Self {
        Self {
            config: config.clone(),
            announcement: DeviceCertAndAddrs { cert: identity.device_cert(), addrs: Vec::new() },
            state: NodeState::Initializing,
            targets: BTreeMap::new(),
            hints: BTreeMap::new(),
            book: Book::new(config.limits.address_book),
            linked: BTreeMap::new(),
            neighbours: BTreeSet::new(),
            views: Views::default(),
            part: Part::default(),
            probes: Probes::default(),
            scores: Scores::default(),
            losses: Losses::default(),
            wanted: BTreeSet::new(),
            sought: BTreeSet::new(),
            observed: BTreeMap::new(),
            ask_at: None,
            try_at: None,
            drops: Drops::default(),
        }
    }

    /// Takes back one address book record. Call before any input.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let id: [u8; ID_LEN] = key.try_into().map_err(|_| Malformed)?;
        self.book.restore(NodeId(id), value)
    }

    pub(crate) fn state(&self) -> NodeState {
        self.state
    }

    pub(crate) fn neighbours(&self) -> &BTreeSet<NodeId> {
        &self.neighbours
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = (NodeId, &Known)> {
        self.book.iter()
    }

    pub(crate) fn get(&self, peer: NodeId) -> Option<&Known> {
        self.book.get(peer)
    }

    /// Where linked peers see this node, what most agree on first.
    pub(crate) fn observed(&self) -> Vec<SocketAddr> {
        let mut votes: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for addr in self.observed.values() {
            let count = votes.entry(*addr).or_default();
            *count = count.saturating_add(1);
        }
        let mut all: Vec<_> = votes.into_iter().map(|(addr, count)| (usize::MAX.wrapping_sub(count), addr)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, addr)| addr).collect()
    }

    /// Where this node can be reached, best first: what the host knows, then what others saw.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let mut all = self.announcement.addrs.clone();
        for addr in self.observed() {
            if !all.contains(&addr) && lasts(&addr) {
                all.push(addr);
            }
        }
        all
    }

    fn trigger(&mut self, trigger: Trigger, out: &mut Outbox<Out>) {
        let from = self.state;
        self.state = from.after(trigger);
        if self.state != from {
            out.push(Out::State { from, to: self.state });
        }
    }

    fn running(&self) -> bool {
        !matches!(self.state, NodeState::Initializing | NodeState::Leaving)
    }

    fn want(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        if self.wanted.insert(peer) {
            out.push(Out::Want(peer));
        }
    }

    fn unwant(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        if self.wanted.remove(&peer) {
            out.push(Out::Unwant(peer));
        }
    }

    fn remember(&mut self, peer: NodeId, out: &mut Outbox<Out>, change: impl FnOnce(&mut book::Known)) {
        let (linked, targets) = (&self.linked, &self.targets);
        let keep = |id| linked.contains_key(&id) || targets.values().any(|t| t.resolved == Some(id));
        let (known, gone) = self.book.entry(peer, keep);
        change(known);
        // Hearsay is not worth a place on the disk.
        if known.met != WallTime(0) {
            out.put(PEERS, peer.0.to_vec(), known.encode());
        }
        if let Some(gone) = gone {
            out.delete(PEERS, gone.0.to_vec());
        }
    }

    fn send(to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        out.push(Out::Send { to, priority: Priority::High, body: encode(message) });
    }

    fn join(&mut self, bootstraps: Vec<Bootstrap>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for bootstrap in bootstraps {
            if self.targets.len() < MAX_BOOTSTRAPS && may_probe(bootstrap.addr, None) && bootstrap.id != Some(cx.me) {
                let target = Target { resolved: None, fails: 0, next_try: cx.now, trying: false };
                self.targets.entry(bootstrap).or_insert(target);
            }
        }
        if !self.running() {
            out.push(Out::Open);
            let alone = self.targets.is_empty() && self.book.len() == 0;
            self.trigger(if alone { Trigger::Begin } else { Trigger::Join }, out);
        }
        self.look_around(cx, out);
    }

    fn leave(&mut self, out: &mut Outbox<Out>) {
        self.trigger(Trigger::Leave, out);
        for peer in core::mem::take(&mut self.wanted) {
            out.push(Out::Unwant(peer));
        }
        for peer in core::mem::take(&mut self.neighbours) {
            out.push(Out::Fact(Fact::NeighbourDown(peer)));
        }
        self.views.clear();
        self.part.stop();
        self.probes.stop();
        self.scores.stop();
        self.losses.stop();
        self.targets.clear();
        self.hints.clear();
        self.ask_at = None;
        self.try_at = None;
        out.push(Out::Shut);
    }

    fn link_up(&mut self, peer: NodeId, record: NodeRecord, addr: SocketAddr, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.linked.insert(peer, addr);
        self.hints.remove(&addr);
        let wall = WallTime(cx.wall.0.max(1));
        self.remember(peer, out, |known| {
            known.record = Some(record);
            known.proven = true;
            known.best_addr(addr);
            known.met = wall;
        });
        self.book.reached(peer);
        for (bootstrap, target) in &mut self.targets {
            if bootstrap.addr == addr || target.resolved == Some(peer) {
                target.resolved = Some(peer);
                target.trying = false;
                target.fails = 0;
            }
        }
        if !self.running() {
            return;
        }
        self.regain(peer, cx, out);
        self.linked_again(cx, out);
        let DeviceCertAndAddrs { cert, addrs } = &self.announcement;
        let addrs = addrs.iter().copied().take(MAX_ADDRS).collect();
        Self::send(peer, &Message::Announcement { cert: cert.clone(), addrs }, out);
        self.greet(peer, cx, out);
        self.introduced(peer, cx, out);
        self.start_shuffling(cx);
        self.start_probing(cx);
        self.start_rating(cx);
        self.watch(cx);
        if !self.neighbours.contains(&peer) {
            // Also where it was asked to be one: a part that has all it wants refuses, and must learn of the other.
            self.compare_parts(peer, cx, out);
        }
        self.look_around(cx, out);
    }

    fn link_down(&mut self, peer: NodeId, reason: DownReason, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.linked.remove(&peer).is_none() {
            return;
        }
        self.views.asked.remove(&peer);
        self.observed.remove(&peer);
        self.unwant(peer, out);
        if self.neighbours.remove(&peer) {
            out.push(Out::Fact(Fact::NeighbourDown(peer)));
            self.views.seek();
            if reason == DownReason::Timeout {
                self.lose(peer, cx, out);
            }
        }
        if self.neighbours.is_empty() {
            self.views.joined = false;
        }
        self.link_ended(peer, reason, cx.now);
        self.scores.forget(peer);
        out.push(Out::Down { peer, reason });
        self.fail(peer, reason.words(), cx);
        if self.linked.is_empty() && self.running() {
            self.trigger(Trigger::Alone, out);
        }
        self.look_around(cx, out);
    }

    /// There is a link again: a beginning, unless too many others are missing.
    fn linked_again(&mut self, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        if !self.losses.hold() {
            self.trigger(Trigger::LinkUp, out);
            self.recover(cx);
        }
    }

    fn fail(&mut self, peer: NodeId, why: &'static str, cx: &mut Cx<'_>) {
        let m = &self.config.membership;
        let (now, rng) = (cx.now, &mut *cx.rng);
        self.book.failed(peer, why, |n| now + rng.jitter(pause(m.retry_first, m.retry_max, n), 20));
    }

    fn unreachable(
        &mut self,
        addr: SocketAddr,
        expect: Option<NodeId>,
        wrong: bool,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        self.hints.remove(&addr);
        let m = &self.config.membership;
        for (bootstrap, target) in &mut self.targets {
            if bootstrap.addr == addr && bootstrap.id == expect && target.trying {
                target.trying = false;
                target.next_try = cx.now + cx.rng.jitter(pause(m.retry_first, m.retry_max, target.fails), 20);
                target.fails = target.fails.saturating_add(1);
            }
        }
        if let Some(peer) = expect {
            self.not_reached(peer);
            let why = if wrong { "another node answers at its address" } else { "it does not answer" };
            if let Some(known) = self.book.get_mut(peer) {
                // The next attempt begins at another address, if there is one.
                let by = usize::from(known.addrs.len() > 1);
                known.addrs.rotate_left(by);
            }
            self.views.invited.remove(&peer);
            self.fail(peer, why, cx);
            self.book.forget_hearsay(peer);
        }
        self.look_around(cx, out);
    }

    /// Tries whoever's time has come while neighbours are missing: bootstraps, then a random one of the
    /// passive view, and nodes met long ago when nobody else is left; after them, if half the neighbours are
    /// missing, those that the passive view had no room for.
    fn look_around(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.try_at = None;
        if !self.wants_neighbours() {
            return;
        }
        let settled = self.neighbours.len().saturating_mul(2) >= self.room_for();
        if settled && self.views.seek_at > cx.now {
            self.try_at = Some(self.views.seek_at);
            return;
        }
        let parallel = match self.config.membership.parallel {
            _ if settled && self.views.saturated() => 1,
            // Many failed at once: of those it knows as many did.
            usual if !settled && self.views.joined => usual.max(self.room_for().saturating_sub(self.neighbours.len())),
            usual => usual,
        };
        let under_way = self.targets.values().filter(|t| t.trying).count();
        let patience = self.config.membership.promote_after;
        let mut free = parallel.saturating_sub(self.book.trying(cx.now, patience)).saturating_sub(under_way);
        let mut next: Option<Instant> = None;
        for (bootstrap, target) in &mut self.targets {
            let there = target.resolved.is_some_and(|id| id == cx.me || self.linked.contains_key(&id));
            if there || target.trying {
                continue;
            }
            if target.next_try > cx.now {
                next = soonest(next, Some(target.next_try));
            } else if free > 0 {
                free = free.saturating_sub(1);
                target.trying = true;
                out.push(Out::Connect { addr: bootstrap.addr, expect: bootstrap.id });
            }
        }
        let (asked, neighbours) = (&self.views.asked, &self.neighbours);
        let skip = |id| id == cx.me || asked.contains_key(&id) || neighbours.contains(&id);
        let (mut due, later) = self.book.candidates(cx.now, skip);
        while free > 0 && !due.is_empty() {
            free = free.saturating_sub(1);
            let peer = due.swap_remove(cx.rng.below(due.len()));
            if self.linked.contains_key(&peer) {
                self.book.tried(peer, cx.now);
                let urgency = if self.neighbours.is_empty() { Urgency::High } else { Urgency::Low };
                self.ask(peer, urgency, cx, out);
                return self.look_around(cx, out);
            }
            self.connect_at(peer, cx.now, out);
        }
        // After a great failure all those may be dead, and nobody alive may know this node.
        while free > 0
            && !settled
            && let Some((peer, addr)) = self.book.recall()
        {
            free = free.saturating_sub(1);
            self.remember(peer, out, |known| known.other_addr(addr));
            self.connect_at(peer, cx.now, out);
        }
        // Somebody tried will have answered by then, or another is tried.
        let waiting = self.book.next_patience(cx.now, patience);
        self.try_at = soonest(soonest(next, later), waiting);
        if self.ask_at.is_none() && !self.linked.is_empty() {
            self.ask_at = Some(cx.now + cx.rng.jitter(self.config.membership.ask_every, 20));
        }
    }

    /// Tries every place and every node again at once.
    fn retry(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.book.hurry();
        for target in self.targets.values_mut() {
            target.fails = 0;
            target.next_try = cx.now;
        }
        self.look_around(cx, out);
    }

    fn connect_at(&mut self, peer: NodeId, now: Instant, out: &mut Outbox<Out>) {
        if let Some(addr) = self.book.get(peer).and_then(|k| k.addrs.first()).copied() {
            self.teach(peer, out);
            self.book.tried(peer, now);
            out.push(Out::Connect { addr, expect: Some(peer) });
        }
    }

    fn message(&mut self, from: NodeId, message: Message, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        match message {
            Message::Announcement { cert, addrs } => self.announced(from, &cert, &addrs, out),
            Message::Request { urgency, max_neighbours, .. } => {
                self.requested(from, urgency, max_neighbours, cx, out);
            }
            Message::Response { accepted, available } => self.responded(from, accepted, available, cx, out),
            Message::Forward { joiner, ttl } => self.forwarded(from, joiner, ttl, cx, out),
            Message::Disconnect { instead } => self.disconnected(from, instead, cx, out),
            Message::Shuffle { walk, ttl, nodes } => self.shuffled(from, walk, ttl, nodes, cx, out),
            Message::ShuffleReply { walk, nodes } => self.shuffle_answered(from, walk, nodes, cx, out),
            Message::Sketch { neighbour, marks } => self.sketched(from, neighbour, &marks, cx, out),
        }
    }
}

impl Machine for Membership {
    const NAME: &'static str = "membership";
    const TABLES: &'static [(&'static str, Table)] = &[("peers", PEERS)];
    type In = In;
    type Out = Out;

    fn open(
        setup: Setup<'_>,
        records: Vec<Record>,
        _cx: &mut Cx<'_>,
        _out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        let mut opened = Self::new(setup.config, setup.identity);
        for Record { key, value, .. } in &records {
            opened.restore(key, value)?;
        }
        Ok(opened)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern others")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match fact {
            Fact::Left => self.leave(out),
            Fact::LinkUp { peer, record, addr } => self.link_up(*peer, record.clone(), *addr, cx, out),
            Fact::LinkDown { peer, reason } => self.link_down(*peer, *reason, cx, out),
            Fact::LinkSuspected(peer) => {
                self.scores.missed(*peer);
                self.suspected(*peer, cx, out);
            }
            Fact::LinkRecovered(peer) => {
                self.book.reached(*peer);
                if self.running() {
                    self.regain(*peer, cx, out);
                    self.linked_again(cx, out);
                }
                self.look_around(cx, out);
            }
            Fact::AddressChanged { peer, addr } => {
                if let Some(at) = self.linked.get_mut(peer) {
                    *at = *addr;
                    self.remember(*peer, out, |known| known.best_addr(*addr));
                }
            }
            Fact::RoundTrips(links) => {
                self.measured(links, cx);
                self.rated(links, cx, out);
            }
            Fact::MemberChanged { peer, state } => self.member(*peer, *state, cx, out),
            Fact::Zone(members) => self.zone_counts(members.as_ref().map_or(0, Vec::len)),
            Fact::LocalAddresses(addrs) => self.announcement.addrs.clone_from(addrs),
            Fact::NetworkChanged => self.retry(cx, out),
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Join(bootstraps) => self.join(bootstraps, cx, out),
            In::Stranger(peer) => self.strange(peer, out),
            In::AddressNeeded(peer) => {
                if !self.teach(peer, out) && self.sought.len() < self.config.limits.address_book {
                    self.sought.insert(peer);
                }
            }
            In::Compared(peer) => {
                if self.neighbours.contains(&peer) {
                    self.compared(out);
                }
            }
            In::Contact(peers) => self.contact_now(peers, cx, out),
            In::Resolved { addr, peer } => {
                for (bootstrap, target) in &mut self.targets {
                    if bootstrap.addr == addr {
                        target.resolved = Some(peer);
                        target.trying &= !self.linked.contains_key(&peer);
                    }
                }
            }
            In::Unreachable { addr, expect, wrong_node } => self.unreachable(addr, expect, wrong_node, cx, out),
            In::Observed { by, addr } => {
                if self.linked.contains_key(&by) {
                    self.observed.insert(by, addr);
                }
            }
            In::Message { from, body } => match decode(&body, MAX_BYTES) {
                Ok(message) => self.message(from, message, cx, out),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::Found { addr, id } => self.found(addr, id, cx, out),
            In::Retry => self.retry(cx, out),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.try_at.is_some_and(|at| at <= cx.now) {
            self.look_around(cx, out);
        }
        if self.ask_at.is_some_and(|at| at <= cx.now) {
            self.ask_at = None;
            if self.wants_neighbours() {
                let linked: Vec<NodeId> = self.linked.keys().copied().collect();
                if let Some(&peer) = cx.rng.pick(&linked) {
                    self.ask(peer, Urgency::Names, cx, out);
                    self.ask_at = Some(cx.now + cx.rng.jitter(self.config.membership.ask_every, 20));
                }
            }
        }
        self.watch_timeout(cx, out);
        self.probe_timeout(cx, out);
        self.rating_timeout(cx, out);
        self.losses_timeout(cx, out);
        if self.views.shuffle_at.is_some_and(|at| at <= cx.now) {
            self.shuffle(cx, out);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let membership = soonest(soonest(self.try_at, self.ask_at), self.views.shuffle_at);
        let others = soonest(self.part.next_deadline(), self.probes.next_deadline());
        soonest(soonest(membership, others), soonest(self.scores.next_deadline(), self.losses.next_deadline()))
    }

    fn footprint(&self) -> usize {
        self.book
            .len()
            .saturating_add(self.book.heard())
            .saturating_add(self.targets.len())
            .saturating_add(self.hints.len())
            .saturating_add(self.linked.len())
            .saturating_add(self.neighbours.len())
            .saturating_add(self.views.len())
            .saturating_add(self.part.len())
            .saturating_add(self.probes.len())
            .saturating_add(self.scores.len())
            .saturating_add(self.losses.len())
            .saturating_add(self.wanted.len())
            .saturating_add(self.sought.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        if self.neighbours.iter().any(|peer| !self.linked.contains_key(peer)) {
            return Err("a neighbour is not linked");
        }
        self.book.check()
    }
}

#[cfg(test)]
mod tests;
