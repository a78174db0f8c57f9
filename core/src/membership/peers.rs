//! What this node knows of others: the address book, its bootstraps and its links, and what nodes report of
//! themselves and of each other. A record is signed; addresses and names are unverified. All of it is checked
//! before it is used.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::OrderedSet;
use crate::config::{Config, Power};
use crate::id::NodeId;
use crate::identity::{DeviceCert, name_is_valid};
use crate::machine::{Cx, Outbox};
use crate::stats::{DropReason, Drops};
use crate::store::Table;
use crate::time::{Instant, WallTime};
use crate::wire::Blob;
use crate::wire::reach::may_probe;
use crate::wire::record::NodeRecord;

use super::book::{Book, Known};
use super::bootstraps::Bootstraps;
use super::calls::Calls;
use super::interface::Out;
use super::open_links::Links;
use super::redial::Redial;
use super::wire::{MAX_ADDRS, NodeInfo};

/// The address book: what is known of a node, under its id.
pub(super) const PEERS: Table = Table::expendable(16);
/// Every so many contacts go to a bootstrap.
const TO_BOOTSTRAP: usize = 5;

pub(super) struct Peers {
    pub book: Book,
    pub bootstraps: Bootstraps,
    pub calls: Calls,
    pub links: Links,
    pub drops: Drops,
    /// Nodes that the link needs addresses of and that are unknown so far.
    pending_lookups: OrderedSet<NodeId>,
    max_lookups: usize,
    redial: Redial,
    power: Power,
}

impl Peers {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            book: Book::new(config.limits.address_book),
            bootstraps: Bootstraps::default(),
            calls: Calls::default(),
            links: Links::default(),
            drops: Drops::default(),
            pending_lookups: OrderedSet::new(),
            max_lookups: config.limits.address_book,
            power: config.power,
            redial: Redial { first: config.membership.retry_first, max: config.membership.retry_max },
        }
    }

    /// Changes what is known of `peer`, and stores it if the node was ever linked: what is unverified is not worth
    /// a row.
    fn remember(&mut self, peer: NodeId, out: &mut Outbox<Out>, change: impl FnOnce(&mut Known)) {
        let (links, bootstraps) = (&self.links, &self.bootstraps);
        let keep = |id| links.contains(id) || bootstraps.lead_to(id);
        let (known, gone) = self.book.entry(peer, keep);
        change(known);
        if known.was_linked() {
            out.put(PEERS, peer.0.to_vec(), known.encode());
        }
        if let Some(gone) = gone {
            out.delete(PEERS, gone.0.to_vec());
        }
    }

    pub(super) fn link_up(
        &mut self,
        peer: NodeId,
        record: NodeRecord,
        addr: SocketAddr,
        wall: WallTime,
        out: &mut Outbox<Out>,
    ) {
        self.links.opened(peer, addr, record.speaks_first_to(self.power));
        self.remember(peer, out, |known| {
            known.record = Some(record);
            known.record_verified = true;
            known.best_addr(addr);
            known.last_linked = WallTime(wall.0.max(1));
        });
        self.book.attempt_succeeded(peer);
        self.calls.answered();
        self.bootstraps.linked(peer, addr);
    }

    /// A linked peer has a newer record.
    pub(super) fn renewed(&mut self, peer: NodeId, record: NodeRecord, out: &mut Outbox<Out>) {
        if self.links.contains(peer) {
            self.remember(peer, out, |known| {
                known.record = Some(record);
                known.record_verified = true;
            });
        }
    }

    /// A neighbour became an anchor: so it is known after a restart.
    pub(super) fn anchored(&mut self, peer: NodeId, wall: WallTime, out: &mut Outbox<Out>) {
        self.remember(peer, out, |known| known.anchored = WallTime(wall.0.max(1)));
    }

    pub(super) fn was_anchor(&self, peer: NodeId) -> bool {
        self.book.get(peer).is_some_and(Known::was_anchor)
    }

    /// Which of `due` was an anchor last.
    pub(super) fn latest_anchor(&self, due: &[NodeId]) -> Option<usize> {
        let anchored = |id: &NodeId| self.book.get(*id).map(|known| known.anchored).filter(|at| *at != WallTime(0));
        let all = due.iter().enumerate().filter_map(|(at, id)| anchored(id).map(|when| (when, at)));
        all.max().map(|(_, at)| at)
    }

    /// Which of `due` are in networks that no link leads to.
    pub(super) fn elsewhere(&self, due: &[NodeId]) -> Vec<usize> {
        let linked: OrderedSet<u128> = self.links.peers().filter_map(|peer| self.links.prefix(peer)).collect();
        let is_elsewhere =
            |id: &NodeId| self.book.get(*id).and_then(Known::prefix).is_none_or(|prefix| !linked.contains(&prefix));
        due.iter().enumerate().filter(|(_, id)| is_elsewhere(id)).map(|(at, _)| at).collect()
    }

    /// Of neighbours that may go, those whose place `newcomer` may take: where there is one in the network that it is in,
    /// which has a prefix of addresses, those there, and else those in the network that most of `all` are in.
    pub(super) fn spread(&self, newcomer: NodeId, all: &OrderedSet<NodeId>, may_go: Vec<NodeId>) -> Vec<NodeId> {
        let of = |peer: &NodeId| self.links.prefix(*peer);
        let own = of(&newcomer).filter(|own| all.iter().any(|peer| of(peer) == Some(*own)));
        if own.is_some() {
            return may_go.into_iter().filter(|peer| of(peer) == own).collect();
        }
        let crowd = |peer: &NodeId| of(peer).map_or(1, |own| all.iter().filter(|p| of(p) == Some(own)).count());
        let most = may_go.iter().map(crowd).max().unwrap_or(1);
        may_go.into_iter().filter(|peer| crowd(peer) == most).collect()
    }

    /// The validated address of a linked peer changed.
    pub(super) fn moved(&mut self, peer: NodeId, addr: SocketAddr, out: &mut Outbox<Out>) {
        if self.links.moved(peer, addr) {
            self.remember(peer, out, |known| known.best_addr(addr));
        }
    }

    /// An attempt to reach `peer` failed, or it has no use for this node: it is tried again after a backoff.
    pub(super) fn failed(&mut self, peer: NodeId, why: &'static str, cx: &mut Cx<'_>) {
        let (redial, now, rng) = (self.redial, cx.now, &mut *cx.rng);
        self.book.attempt_failed(peer, why, |fails| redial.next_of_many(fails, now, rng));
    }

    /// No link to `peer` came about, or to another node at its address.
    pub(super) fn unreachable(&mut self, peer: NodeId, wrong_node: bool, cx: &mut Cx<'_>) {
        if let Some(known) = self.book.get_mut(peer) {
            known.verified_at = None;
            // The next attempt begins at another address, if there is one.
            let by = usize::from(known.addrs.len() > 1);
            known.addrs.rotate_left(by);
        }
        let why = if wrong_node { "another node answers at its address" } else { "it does not answer" };
        self.failed(peer, why, cx);
        self.book.forget_unverified(peer);
    }

    /// An attempt at a bootstrap failed.
    pub(super) fn bootstrap_failed(&mut self, addr: SocketAddr, expect: Option<NodeId>, cx: &mut Cx<'_>) {
        let redial = self.redial;
        self.bootstraps.failed(addr, expect, |fails| redial.next(fails, cx.now, cx.rng));
    }

    /// Every bootstrap and every node can be tried at once.
    pub(super) fn retry_now(&mut self, now: Instant) {
        self.calls.answered();
        self.book.retry_now();
        self.bootstraps.retry_now(now);
    }

    /// Begins an attempt to reach `peer` at its best address.
    pub(super) fn connect(&mut self, peer: NodeId, now: Instant, out: &mut Outbox<Out>) {
        if let Some(addr) = self.book.get(peer).and_then(|k| k.addrs.first()).copied() {
            self.provide_addresses(peer, out);
            self.book.attempt_began(peer, now);
            self.calls.began(now);
            out.push(Out::Connect { addr, expect: Some(peer) });
        }
    }

    /// The same at an address that was kept of a node that left the book; false if none is left.
    pub(super) fn connect_evicted(&mut self, now: Instant, out: &mut Outbox<Out>) -> bool {
        let Some((peer, addr)) = self.book.pop_evicted() else { return false };
        self.remember(peer, out, |known| known.other_addr(addr));
        self.connect(peer, now, out);
        true
    }

    /// Forgets nodes that were silent for half a year.
    pub(super) fn forget_silent(&mut self, wall: WallTime, out: &mut Outbox<Out>) {
        let (links, bootstraps) = (&self.links, &self.bootstraps);
        let keep = |id| links.contains(id) || bootstraps.lead_to(id);
        for gone in self.book.forget_silent(self.redial.patience(), wall, keep) {
            out.delete(PEERS, gone.0.to_vec());
        }
    }

    /// Whether it is left to this node to call: it is one of low power, and this one is not.
    pub(super) fn speaks_first(&self, id: NodeId) -> bool {
        let record = self.book.get(id).and_then(|known| known.record.as_ref());
        record.is_some_and(|record| record.speaks_first_to(self.power))
    }

    /// When another call may begin; none: whenever.
    pub(super) fn next_call(&self) -> Option<Instant> {
        self.calls.next(self.redial.max)
    }

    /// Nodes without a link whose last attempt is the oldest, and when that was.
    pub(super) fn longest_untried(&self, me: NodeId) -> (Vec<NodeId>, Instant) {
        self.book.longest_untried(|id| id == me || self.links.contains(id) || self.speaks_first(id))
    }

    /// Contacts a known node or a bootstrap; false if all of them are linked or being tried.
    pub(super) fn contact(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> bool {
        if self.next_call().is_some_and(|at| at > cx.now) {
            return false;
        }
        let (me, links) = (cx.me, &self.links);
        let bootstraps = self.bootstraps.idle(|id| id == me || links.contains(id));
        let (known, _) = self.longest_untried(me);
        let bootstrap = match known.is_empty() || cx.rng.below(TO_BOOTSTRAP) == 0 {
            true => cx.rng.pick(&bootstraps),
            false => None,
        };
        if let Some(bootstrap) = bootstrap {
            self.bootstraps.try_now(bootstrap, out);
            self.calls.began(cx.now);
            return true;
        }
        let peer = cx.rng.pick(&known).copied();
        if let Some(peer) = peer {
            self.connect(peer, cx.now, out);
        }
        peer.is_some()
    }

    /// A linked node introduces itself.
    pub(super) fn announced(&mut self, from: NodeId, cert: &DeviceCert, addrs: &[SocketAddr], out: &mut Outbox<Out>) {
        let Some(source) = self.links.addr(from) else { return };
        let account = self.book.get(from).and_then(|k| k.record.as_ref()).map(|r| r.account);
        let Some(account) = account.filter(|&account| cert.vouches(account, from)) else {
            // Close the link: the certificate does not match.
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
            out.push(Out::AddAddresses { peer: from, record: None, addrs: known.addrs.to_vec(), told: false });
        }
        out.push(Out::Up { peer: from, name: Some(cert.name.clone()) });
    }

    /// Takes in what `from`, which is linked, reports of another node. Returns its id if it is known afterwards.
    pub(super) fn learn(&mut self, from: NodeId, info: NodeInfo, cx: &Cx<'_>, out: &mut Outbox<Out>) -> Option<NodeId> {
        let source = self.links.addr(from)?;
        let Ok(claimed) = NodeRecord::decode_unverified(&info.record.0) else {
            self.drops.count(DropReason::Signature);
            return None;
        };
        let id = claimed.id();
        if id == cx.me {
            return None;
        }
        if claimed.is_expired(cx.wall) {
            self.drops.count(DropReason::Stale);
            return None;
        }
        let known = self.book.get(id);
        let fresh = known.and_then(|k| k.record.as_ref()).is_none_or(|known| known.seq < claimed.seq);
        // An unverified record is checked when it is used, or when it is to replace a verified one.
        if fresh && known.is_some_and(|k| k.record_verified) && NodeRecord::decode(&info.record.0).is_err() {
            self.drops.count(DropReason::Signature);
            return None;
        }
        let name = info.name.filter(|n| name_is_valid(n));
        self.remember(id, out, |known| {
            if fresh {
                known.record = Some(claimed);
            }
            // The name that a node announced itself stands; a reported one only fills a blank.
            if known.name.is_none() {
                known.name = name;
            }
            for addr in info.addrs.into_iter().take(MAX_ADDRS) {
                if may_probe(addr, Some(source.ip())) {
                    known.other_addr(addr);
                }
            }
        });
        if self.pending_lookups.remove(&id) {
            self.provide_addresses(id, out);
        }
        Some(id)
    }

    /// The link needs addresses of `peer`: at once if any is known, else when one is reported.
    pub(super) fn look_up(&mut self, peer: NodeId, out: &mut Outbox<Out>) {
        if !self.provide_addresses(peer, out) && self.pending_lookups.len() < self.max_lookups {
            self.pending_lookups.insert(peer);
        }
    }

    /// Gives the link the addresses of `peer`; false if none is known.
    fn provide_addresses(&mut self, peer: NodeId, out: &mut Outbox<Out>) -> bool {
        if !self.book.verify_record(peer) {
            self.drops.count(DropReason::Signature);
        }
        let known = self.book.get(peer).filter(|k| !k.addrs.is_empty());
        if let Some(known) = known {
            let (record, told) = (known.record.clone(), !known.was_linked());
            out.push(Out::AddAddresses { peer, record, addrs: known.addrs.to_vec(), told });
        }
        known.is_some()
    }

    /// What this node reports of `peer`.
    pub(super) fn describe(&self, peer: NodeId) -> Option<NodeInfo> {
        let known = self.book.get(peer)?;
        let record = known.record.as_ref()?;
        Some(NodeInfo { record: Blob(record.encode()), name: known.name.clone(), addrs: known.lasting_addrs() })
    }

    /// A random few of `all`, described.
    pub(super) fn sample(&self, mut all: Vec<NodeId>, count: usize, cx: &mut Cx<'_>) -> Vec<NodeInfo> {
        let mut picked = Vec::new();
        while picked.len() < count && !all.is_empty() {
            let id = all.swap_remove(cx.rng.below(all.len()));
            // Others refuse an expired record.
            let record = self.book.get(id).and_then(|k| k.record.as_ref());
            if record.is_some_and(|record| !record.is_expired(cx.wall)) {
                picked.extend(self.describe(id));
            }
        }
        picked
    }

    pub(super) fn footprint(&self) -> usize {
        self.book
            .len()
            .saturating_add(self.book.evicted())
            .saturating_add(self.bootstraps.len())
            .saturating_add(self.links.footprint())
            .saturating_add(self.pending_lookups.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        self.links.check()?;
        self.book.check()
    }
}
