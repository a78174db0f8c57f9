//! Joining, neighbours and leaving.
//!
//! A node tries the places it was told of and the nodes it remembers, for ever, with growing pauses.
//! A link that opens is asked to become a neighbour (`NeighborRequest`); whoever is asked agrees or
//! says why not, and names others either way. Neighbours carry broadcasts and history for each other;
//! links without a neighbour at the other end serve private messages only.

mod book;
mod state;
pub(crate) mod wire;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::config::Config;
use crate::fact::DownReason;
use crate::id::{ID_LEN, NodeId};
use crate::identity::Identity;
use crate::machine::{Cx, Machine, Outbox};
use crate::stats::{DropReason, Drops};
use crate::store::Table;
use crate::time::{Instant, soonest};
use crate::wire::record::NodeRecord;
use crate::wire::ticket::Bootstrap;
use crate::wire::{Blob, Lane, Malformed, decode, encode};

pub(crate) use book::Known;
use book::{Book, pause};
pub use state::NodeState;
use state::Trigger;
use wire::{MAX_ADDRS, MAX_BYTES, MAX_OFFERED, Message, NodeInfo, Refusal, may_probe};

/// Bootstraps a user can configure.
const MAX_BOOTSTRAPS: usize = 64;

#[derive(Debug)]
pub(crate) enum In {
    /// Enter the network through any of these or anybody known; with nobody at all, begin one.
    Join(Vec<Bootstrap>),
    Leave,
    LinkUp {
        peer: NodeId,
        record: NodeRecord,
        addr: SocketAddr,
    },
    LinkDown {
        peer: NodeId,
        reason: DownReason,
    },
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
    Moved {
        peer: NodeId,
        addr: SocketAddr,
    },
    Observed {
        by: NodeId,
        addr: SocketAddr,
    },
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// Where this node can be reached, by the host's knowledge.
    LocalAddresses(Vec<SocketAddr>),
    NetworkChanged,
}

#[derive(Debug)]
pub(crate) enum Out {
    Connect {
        addr: SocketAddr,
        expect: Option<NodeId>,
    },
    Learn {
        peer: NodeId,
        record: Option<NodeRecord>,
        addrs: Vec<SocketAddr>,
    },
    Want(NodeId),
    Unwant(NodeId),
    /// End the link to this peer.
    Close(NodeId),
    Send {
        to: NodeId,
        lane: Lane,
        body: Vec<u8>,
    },
    NeighbourUp(NodeId),
    NeighbourDown(NodeId),
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
    book: Book,
    linked: BTreeMap<NodeId, SocketAddr>,
    neighbours: BTreeSet<NodeId>,
    /// Asked to become a neighbour and not answered yet.
    asked: BTreeSet<NodeId>,
    /// INVARIANT: exactly the peers with a `Want` and no `Unwant` after it.
    wanted: BTreeSet<NodeId>,
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
    pub(crate) fn new(config: &Config, identity: &Identity) -> Self {
        Self {
            config: config.clone(),
            announcement: DeviceCertAndAddrs { cert: identity.device_cert(), addrs: Vec::new() },
            state: NodeState::Initializing,
            targets: BTreeMap::new(),
            book: Book::new(config.limits.address_book),
            linked: BTreeMap::new(),
            neighbours: BTreeSet::new(),
            asked: BTreeSet::new(),
            wanted: BTreeSet::new(),
            observed: BTreeMap::new(),
            ask_at: None,
            try_at: None,
            drops: Drops::default(),
        }
    }

    /// Takes back one address book record. Call before any input.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let id: [u8; ID_LEN] = key.try_into().map_err(|_| Malformed)?;
        self.book.restore(NodeId(id), value)
    }

    /// Tells the link where everybody in the book is. Call once after the last `restore`.
    pub(crate) fn resume(&self, out: &mut Outbox<Out>) {
        for (peer, known) in self.book.iter() {
            out.push(Out::Learn { peer, record: known.record.clone(), addrs: known.addrs.to_vec() });
        }
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
            if !all.contains(&addr) {
                all.push(addr);
            }
        }
        all
    }

    pub(crate) fn drops(&self) -> &Drops {
        &self.drops
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
        out.put(Table::Peers, peer.0.to_vec(), known.encode());
        if let Some(gone) = gone {
            out.delete(Table::Peers, gone.0.to_vec());
        }
    }

    fn send(to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        out.push(Out::Send { to, lane: Lane::High, body: encode(message) });
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
            out.push(Out::NeighbourDown(peer));
        }
        self.asked.clear();
        self.targets.clear();
        self.ask_at = None;
        self.try_at = None;
        out.push(Out::Shut);
    }

    fn link_up(&mut self, peer: NodeId, record: NodeRecord, addr: SocketAddr, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.linked.insert(peer, addr);
        let wall = cx.wall;
        self.remember(peer, out, |known| {
            known.record = Some(record);
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
        self.trigger(Trigger::LinkUp, out);
        let DeviceCertAndAddrs { cert, addrs } = &self.announcement;
        let addrs = addrs.iter().copied().take(MAX_ADDRS).collect();
        Self::send(peer, &Message::Announcement { cert: cert.clone(), addrs }, out);
        if self.neighbours.len() < self.config.membership.target && self.asked.insert(peer) {
            self.want(peer, out);
            self.ask(peer, out);
        }
        self.look_around(cx, out);
    }

    /// Asks `peer` to become a neighbour, or, if it is one, only for others.
    fn ask(&self, peer: NodeId, out: &mut Outbox<Out>) {
        let missing = self.config.membership.target.saturating_sub(self.neighbours.len());
        let max_neighbours = if self.neighbours.contains(&peer) { 0 } else { missing };
        let max_neighbours = u8::try_from(max_neighbours).unwrap_or(u8::MAX);
        Self::send(peer, &Message::Request { max_neighbours, preferred: Vec::new(), location: None }, out);
    }

    fn link_down(&mut self, peer: NodeId, reason: DownReason, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.linked.remove(&peer).is_none() {
            return;
        }
        self.asked.remove(&peer);
        self.observed.remove(&peer);
        self.unwant(peer, out);
        if self.neighbours.remove(&peer) {
            out.push(Out::NeighbourDown(peer));
        }
        out.push(Out::Down { peer, reason });
        self.fail(peer, reason.words(), cx);
        if self.linked.is_empty() && self.running() {
            self.trigger(Trigger::Alone, out);
        }
        self.look_around(cx, out);
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
        let m = &self.config.membership;
        for (bootstrap, target) in &mut self.targets {
            if bootstrap.addr == addr && bootstrap.id == expect && target.trying {
                target.trying = false;
                target.next_try = cx.now + cx.rng.jitter(pause(m.retry_first, m.retry_max, target.fails), 20);
                target.fails = target.fails.saturating_add(1);
            }
        }
        if let Some(peer) = expect {
            let why = if wrong { "another node answers at its address" } else { "it does not answer" };
            if let Some(known) = self.book.get_mut(peer) {
                // The next attempt begins at another address, if there is one.
                let by = usize::from(known.addrs.len() > 1);
                known.addrs.rotate_left(by);
            }
            self.fail(peer, why, cx);
        }
        self.look_around(cx, out);
    }

    /// Tries whoever's time has come while neighbours are missing.
    fn look_around(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.try_at = None;
        if !self.running() || self.neighbours.len() >= self.config.membership.target {
            return;
        }
        let parallel = self.config.membership.parallel;
        let under_way = self.targets.values().filter(|t| t.trying).count();
        let mut free = parallel.saturating_sub(self.book.trying()).saturating_sub(under_way);
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
        let linked = &self.linked;
        let (due, later) = self.book.candidates(cx.now, |id| linked.contains_key(&id) || id == cx.me);
        for peer in due.into_iter().take(free) {
            if let Some(&addr) = self.book.get(peer).and_then(|k| k.addrs.first()) {
                self.book.tried(peer);
                out.push(Out::Connect { addr, expect: Some(peer) });
            }
        }
        self.try_at = soonest(next, later);
        if self.ask_at.is_none() && !self.linked.is_empty() {
            self.ask_at = Some(cx.now + cx.rng.jitter(self.config.membership.ask_every, 20));
        }
    }

    fn message(&mut self, from: NodeId, message: Message, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        match message {
            Message::Announcement { cert, addrs } => self.announced(from, &cert, &addrs, out),
            Message::Request { max_neighbours, .. } => self.requested(from, max_neighbours, cx, out),
            Message::Response { accepted, available } => self.responded(from, accepted, available, cx, out),
        }
    }

    fn announced(
        &mut self,
        from: NodeId,
        cert: &crate::identity::DeviceCert,
        addrs: &[SocketAddr],
        out: &mut Outbox<Out>,
    ) {
        let Some(source) = self.linked.get(&from).copied() else { return };
        let account = self.book.get(from).and_then(|k| k.record.as_ref()).map(|r| r.account);
        let Some(account) = account.filter(|&account| cert.vouches(account, from)) else {
            // Who shows a false paper is not talked to.
            self.drops.count(DropReason::Signature);
            return out.push(Out::Close(from));
        };
        self.remember(from, out, |known| {
            known.account = Some(account);
            known.name = Some(cert.name.clone());
            for &addr in addrs.iter().take(MAX_ADDRS) {
                if may_probe(addr, Some(source.ip())) {
                    known.other_addr(addr);
                }
            }
        });
        if let Some(known) = self.book.get(from) {
            out.push(Out::Learn { peer: from, record: None, addrs: known.addrs.to_vec() });
        }
        out.push(Out::Up { peer: from, name: Some(cert.name.clone()) });
    }

    fn requested(&mut self, from: NodeId, max_neighbours: u8, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let accepted = if !self.running() {
            Err(Refusal::Leaving)
        } else if self.neighbours.contains(&from) {
            Ok(())
        } else if max_neighbours == 0 {
            Err(Refusal::NotAsked)
        } else if self.neighbours.len() >= self.config.limits.neighbours {
            Err(Refusal::Full)
        } else {
            Ok(())
        };
        let available = self.offered(from, cx);
        Self::send(from, &Message::Response { accepted, available }, out);
        if accepted.is_ok() {
            self.neighbour(from, cx, out);
        }
    }

    /// Other linked nodes to name to `to`, a random few.
    fn offered(&self, to: NodeId, cx: &mut Cx<'_>) -> Vec<NodeInfo> {
        let mut others: Vec<NodeId> = self.linked.keys().copied().filter(|id| *id != to).collect();
        let mut picked = Vec::new();
        while picked.len() < MAX_OFFERED && !others.is_empty() {
            let id = others.swap_remove(cx.rng.below(others.len()));
            if let Some(known) = self.book.get(id)
                && let Some(record) = &known.record
            {
                let addrs = known.addrs.to_vec();
                picked.push(NodeInfo { record: Blob(record.encode()), name: known.name.clone(), addrs });
            }
        }
        picked
    }

    fn responded(
        &mut self,
        from: NodeId,
        accepted: Result<(), Refusal>,
        available: Vec<NodeInfo>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        let asked = self.asked.remove(&from);
        for info in available.into_iter().take(MAX_OFFERED) {
            self.heard_of(from, info, cx, out);
        }
        match accepted {
            Ok(()) if asked => self.neighbour(from, cx, out),
            // Nobody becomes a neighbour unasked.
            Ok(()) | Err(Refusal::NotAsked) => {}
            Err(refusal @ (Refusal::Full | Refusal::Leaving)) => {
                if !self.neighbours.contains(&from) {
                    self.unwant(from, out);
                }
                self.fail(from, refusal.words(), cx);
            }
        }
        self.look_around(cx, out);
    }

    fn heard_of(&mut self, from: NodeId, info: NodeInfo, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(source) = self.linked.get(&from).copied() else { return };
        let Ok(record) = NodeRecord::decode(&info.record.0) else {
            return self.drops.count(DropReason::Signature);
        };
        let id = record.id();
        if id == cx.me {
            return;
        }
        if self.book.get(id).and_then(|k| k.record.as_ref()).is_some_and(|known| known.seq > record.seq) {
            return;
        }
        let name = info.name.filter(|n| crate::identity::name_is_valid(n));
        self.remember(id, out, |known| {
            known.record = Some(record);
            // A name that its owner told stands; hearsay only fills a blank.
            if known.name.is_none() {
                known.name = name;
            }
            for addr in info.addrs.into_iter().take(MAX_ADDRS) {
                if may_probe(addr, Some(source.ip())) {
                    known.other_addr(addr);
                }
            }
        });
        if let Some(known) = self.book.get(id) {
            out.push(Out::Learn { peer: id, record: known.record.clone(), addrs: known.addrs.to_vec() });
        }
    }

    fn neighbour(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.asked.remove(&peer);
        if !self.linked.contains_key(&peer) || !self.neighbours.insert(peer) {
            return;
        }
        self.want(peer, out);
        out.push(Out::NeighbourUp(peer));
        self.trigger(Trigger::Neighbour, out);
        self.look_around(cx, out);
    }
}

impl Machine for Membership {
    const NAME: &'static str = "membership";
    type In = In;
    type Out = Out;

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Join(bootstraps) => self.join(bootstraps, cx, out),
            In::Leave => self.leave(out),
            In::LinkUp { peer, record, addr } => self.link_up(peer, record, addr, cx, out),
            In::LinkDown { peer, reason } => self.link_down(peer, reason, cx, out),
            In::Resolved { addr, peer } => {
                for (bootstrap, target) in &mut self.targets {
                    if bootstrap.addr == addr {
                        target.resolved = Some(peer);
                        target.trying &= !self.linked.contains_key(&peer);
                    }
                }
            }
            In::Unreachable { addr, expect, wrong_node } => self.unreachable(addr, expect, wrong_node, cx, out),
            In::Moved { peer, addr } => {
                if let Some(at) = self.linked.get_mut(&peer) {
                    *at = addr;
                    self.remember(peer, out, |known| known.best_addr(addr));
                }
            }
            In::Observed { by, addr } => {
                if self.linked.contains_key(&by) {
                    self.observed.insert(by, addr);
                }
            }
            In::Message { from, body } => match decode(&body, MAX_BYTES) {
                Ok(message) => self.message(from, message, cx, out),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::LocalAddresses(addrs) => self.announcement.addrs = addrs,
            In::NetworkChanged => {
                self.book.hurry();
                for target in self.targets.values_mut() {
                    target.fails = 0;
                    target.next_try = cx.now;
                }
                self.look_around(cx, out);
            }
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.try_at.is_some_and(|at| at <= cx.now) {
            self.look_around(cx, out);
        }
        if self.ask_at.is_some_and(|at| at <= cx.now) {
            self.ask_at = None;
            if self.running() && self.neighbours.len() < self.config.membership.target {
                let linked: Vec<NodeId> = self.linked.keys().copied().collect();
                if let Some(&peer) = cx.rng.pick(&linked) {
                    if !self.neighbours.contains(&peer) {
                        self.asked.insert(peer);
                        self.want(peer, out);
                    }
                    self.ask(peer, out);
                    self.ask_at = Some(cx.now + cx.rng.jitter(self.config.membership.ask_every, 20));
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        soonest(self.try_at, self.ask_at)
    }

    fn footprint(&self) -> usize {
        self.book
            .len()
            .saturating_add(self.targets.len())
            .saturating_add(self.linked.len())
            .saturating_add(self.neighbours.len())
            .saturating_add(self.asked.len())
            .saturating_add(self.wanted.len())
    }
}

#[cfg(test)]
mod tests;
