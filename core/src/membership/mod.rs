//! Joining, neighbours and leaving.
//!
//! A node tries its bootstraps and the nodes it remembers, for ever, with growing pauses.
//! A link that opens is asked to become a neighbour (`NeighborRequest`); HyParView decides which and how many
//! (`hyparview.rs`). Neighbours carry broadcasts and history for each other; links to other nodes serve private
//! messages only.
//!
//! Each file owns one part of the state; `Membership` composes them.

mod anchors;
mod book;
mod bootstraps;
mod calls;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod hints;
mod hyparview;
mod interface;
mod lifecycle;
mod losses;
mod open_links;
mod partition;
mod peers;
mod redial;
mod roles;
mod score;
mod search;
mod shuffle;
mod state;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::OrderedSet;
use crate::config::Config;
use crate::fact::{DownReason, Fact, MemberState};
use crate::id::{ID_LEN, NodeId};
use crate::identity::{DeviceCert, Identity};
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant, soonest};
use crate::wire::reach::{is_of_link, may_probe};
use crate::wire::record::NodeRecord;
use crate::wire::ticket::Bootstrap;
use crate::wire::{Malformed, decode};

pub(crate) use book::Known;
use book::lasts;
use hints::Hints;
use hyparview::HyParView;
pub(crate) use interface::{In, Out};
use lifecycle::Lifecycle;
use partition::{Mark, Partition};
use peers::{PEERS, Peers};
use roles::RoleProbes;
pub use state::NodeState;
use state::Trigger;
use wire::{MAX_ADDRS, MAX_BYTES, Message, NodeInfo, Refusal, Urgency};

/// Nodes contacted at once when the application reports that the network split.
const MAX_CONTACTS: usize = 16;

pub(crate) struct Membership {
    announcement: Announcement,
    life: Lifecycle,
    peers: Peers,
    hyparview: HyParView,
    partition: Partition,
    roles: RoleProbes,
    hints: Hints,
    /// The other members of the zone; empty without one.
    zone: OrderedSet<NodeId>,
    /// A hint whose end is not reported is the link's to give up, which takes no longer than this.
    hint_patience: Duration,
}

/// What this node says of itself to each peer.
struct Announcement {
    cert: DeviceCert,
    addrs: Vec<SocketAddr>,
}

impl Membership {
    fn new(config: &Config, identity: &Identity) -> Self {
        Self {
            announcement: Announcement { cert: identity.device_cert(), addrs: Vec::new() },
            life: Lifecycle::new(config.limits.neighbours.saturating_add(config.limits.zone_members)),
            peers: Peers::new(config),
            hyparview: HyParView::new(config),
            partition: Partition::default(),
            roles: RoleProbes::default(),
            hints: Hints::default(),
            zone: OrderedSet::new(),
            hint_patience: config.link.handshake_timeout.saturating_mul(2),
        }
    }

    /// Takes back one address book record. Call before any input.
    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let id: [u8; ID_LEN] = key.try_into().map_err(|_| Malformed)?;
        self.peers.book.restore(NodeId(id), value)
    }

    pub(crate) fn state(&self) -> NodeState {
        self.life.state()
    }

    pub(crate) fn neighbours(&self) -> &OrderedSet<NodeId> {
        self.hyparview.active()
    }

    pub(crate) fn known(&self) -> impl Iterator<Item = (NodeId, &Known)> {
        self.peers.book.iter()
    }

    pub(crate) fn get(&self, peer: NodeId) -> Option<&Known> {
        self.peers.book.get(peer)
    }

    /// Where linked peers see this node, the address of most votes first.
    pub(crate) fn observed(&self) -> Vec<SocketAddr> {
        self.peers.links.observed()
    }

    /// Where this node can be reached, best first: what the host knows and peers observed, the best of the host's, what
    /// peers alone observed (the outside of a NAT), then the rest.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let (known, observed) = (&self.announcement.addrs, self.observed());
        let (mut all, rest): (Vec<_>, Vec<_>) = known.iter().copied().partition(|addr| observed.contains(addr));
        let mut rest = rest.into_iter();
        all.extend(rest.next());
        all.extend(observed.into_iter().filter(|addr| !known.contains(addr) && lasts(addr)));
        all.extend(rest);
        all
    }

    fn join(&mut self, bootstraps: Vec<Bootstrap>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for bootstrap in bootstraps {
            self.peers.bootstraps.add(bootstrap, cx.me, cx.now);
        }
        if !self.life.running() {
            out.push(Out::Open);
            let alone = self.peers.bootstraps.len() == 0 && self.peers.book.len() == 0;
            self.life.trigger(if alone { Trigger::Begin } else { Trigger::Join }, out);
            self.hyparview.enable();
        }
        self.seek_neighbours(cx, out);
    }

    fn leave(&mut self, out: &mut Outbox<Out>) {
        self.life.leave(out);
        self.peers.links.unwant_all(out);
        self.hyparview.leave(out);
        self.partition.stop();
        self.roles.stop();
        self.peers.bootstraps.clear();
        self.hints.clear();
        out.push(Out::Shut);
    }

    fn seek_neighbours(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.hyparview.seek_neighbours(&mut self.peers, cx, out);
    }

    fn link_up(&mut self, peer: NodeId, record: NodeRecord, addr: SocketAddr, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.hints.end(addr);
        self.peers.link_up(peer, record, addr, cx.wall, out);
        if !self.life.running() {
            return;
        }
        self.regain(peer, cx.now, out);
        self.life.reached(Trigger::LinkUp, cx.now, out);
        self.announce(peer, out);
        self.hyparview.link_up(peer, &mut self.peers, cx, out);
        self.hyparview.ask_bootstrap(peer, &mut self.peers, cx.now, out);
        self.hyparview.start_shuffling(cx);
        self.roles.start(cx);
        self.hyparview.start_rating(cx);
        if self.partition.start(self.hyparview.only_introduces(), cx) {
            self.schedule_contact(cx);
        }
        if !self.hyparview.contains(peer) {
            // Also where it was asked to be one: a part that has all it wants refuses, and must learn of the other.
            self.send_sketch(peer, cx.now, out);
        }
        self.seek_neighbours(cx, out);
    }

    fn announce(&self, peer: NodeId, out: &mut Outbox<Out>) {
        let Announcement { cert, addrs } = &self.announcement;
        let addrs = addrs.iter().copied().take(MAX_ADDRS).collect();
        out.push(Out::message(peer, &Message::Announcement { cert: cert.clone(), addrs }));
    }

    fn link_down(&mut self, peer: NodeId, reason: DownReason, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.peers.links.closed(peer) {
            return;
        }
        self.peers.links.unwant(peer, out);
        if self.hyparview.link_down(peer, out) && reason == DownReason::Timeout {
            self.lose(peer, cx, out);
        }
        self.roles.link_down(peer, reason, &mut self.peers.book, cx.now);
        out.push(Out::Down { peer, reason });
        self.peers.failed(peer, reason.description(), cx);
        if self.peers.links.is_empty() && self.life.running() {
            self.life.trigger(Trigger::Alone, out);
        }
        self.seek_neighbours(cx, out);
    }

    fn link_suspected(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.hyparview.missed(peer);
        if self.peers.links.contains(peer) {
            self.lose(peer, cx, out);
        }
        if !self.hyparview.link_suspected(peer, &mut self.peers, cx, out) {
            return;
        }
        if self.hyparview.active().is_empty() {
            self.life.trigger(Trigger::Alone, out);
        }
        self.seek_neighbours(cx, out);
    }

    fn link_recovered(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.peers.book.attempt_succeeded(peer);
        if self.life.running() {
            self.regain(peer, cx.now, out);
            self.life.reached(Trigger::LinkUp, cx.now, out);
        }
        self.seek_neighbours(cx, out);
    }

    /// A neighbour or a member of the zone does not answer.
    fn lose(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let degraded = self.life.lost(peer, self.hyparview.active().len(), cx.now, out);
        if degraded && self.partition.watches() {
            self.schedule_contact(cx);
        }
    }

    /// A lost peer answers again.
    fn regain(&mut self, peer: NodeId, now: Instant, out: &mut Outbox<Out>) {
        self.life.regained(peer, &self.peers.links, self.hyparview.active(), now, out);
    }

    /// Failure detection reports the state of a member of the zone.
    fn member_changed(
        &mut self,
        peer: NodeId,
        (state, own): (MemberState, bool),
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        match state {
            MemberState::Alive => self.regain(peer, cx.now, out),
            // What others report says nothing of whether this node is cut off.
            MemberState::Suspect | MemberState::Down if own => {
                self.lose(peer, cx, out);
                if state == MemberState::Down {
                    self.hyparview.member_down(peer, &mut self.peers, cx, out);
                }
            }
            MemberState::Suspect => {}
            MemberState::Down => {
                self.hyparview.member_down(peer, &mut self.peers, cx, out);
            }
            MemberState::Left | MemberState::Away => self.life.excused(peer),
        }
    }

    fn unreachable(
        &mut self,
        addr: SocketAddr,
        expect: Option<NodeId>,
        wrong: bool,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        self.hints.end(addr);
        match wrong {
            true => self.peers.calls.answered(),
            false => self.peers.calls.failed(),
        }
        self.peers.bootstrap_failed(addr, expect, cx);
        if let Some(peer) = expect {
            self.hyparview.unreachable(peer);
            self.peers.unreachable(peer, wrong, cx);
        }
        self.seek_neighbours(cx, out);
    }

    /// A node of the local network may be at `addr`. Known nodes are left alone unless neighbours are missing; an
    /// unknown one is always tried, since it may belong to another part of the network (see `partition.rs`).
    fn found(&mut self, addr: SocketAddr, id: Option<NodeId>, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let links = &self.peers.links;
        let linked = links.reaches(addr) || id.is_some_and(|id| links.contains(id));
        if !self.life.running() || linked || id == Some(cx.me) || !may_probe(addr, Some(addr.ip())) {
            return;
        }
        let needed = |k: &Known| self.hyparview.wants_neighbours() && !k.is_backing_off(cx.now);
        let quiet = self.peers.book.linked_before_at(addr).is_some_and(|known| !needed(known));
        self.hints.expire(cx.now, self.hint_patience);
        if !quiet && self.hints.begin(addr, cx.now) {
            out.push(Out::Connect { addr, expect: id });
        }
    }

    /// Tries every bootstrap and every known node again at once.
    fn retry(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.peers.retry_now(cx.now);
        self.seek_neighbours(cx, out);
    }

    /// Both are neighbours from here on.
    fn add_neighbour(&mut self, peer: NodeId, merging: bool, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.hyparview.add(peer, merging, &mut self.peers, cx, out) {
            if self.zone.contains(&peer) {
                self.peers.links.unwant(peer, out);
            }
            self.life.reached(Trigger::Neighbour, cx.now, out);
            self.seek_neighbours(cx, out);
        }
    }

    fn requested(&mut self, from: NodeId, urgency: Urgency, wanted: u8, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let merging = urgency == Urgency::Merge;
        let walks = self.hyparview.walks_for(wanted);
        let merge = merging && !self.hyparview.contains(from) && self.merge(cx.now);
        if !self.hyparview.answer(from, urgency, merge, &self.peers, cx, out) {
            return;
        }
        self.add_neighbour(from, merging, cx, out);
        if urgency == Urgency::Join {
            self.hyparview.walk_newcomer(from, walks, &self.peers, cx, out);
        }
    }

    fn responded(
        &mut self,
        from: NodeId,
        accepted: Result<(), Refusal>,
        available: Vec<NodeInfo>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        let asked = self.hyparview.answered(from, available, &mut self.peers, cx, out);
        match (accepted, asked) {
            (Ok(()), Some(urgency)) => {
                let merging = urgency == Urgency::Merge;
                if !merging || self.merge(cx.now) {
                    self.add_neighbour(from, merging, cx, out);
                } else {
                    self.hyparview.decline(from, &mut self.peers, out);
                }
            }
            // No node becomes a neighbour unasked.
            (Ok(()), None) | (Err(Refusal::NotAsked), _) => {}
            (Err(refusal @ (Refusal::Full | Refusal::Leaving)), _) => {
                self.hyparview.refused(from, refusal, &mut self.peers, cx, out);
            }
        }
        self.seek_neighbours(cx, out);
    }

    fn may_merge(&self, now: Instant) -> bool {
        self.hyparview.has_merge_capacity() && self.partition.may_merge(now)
    }

    /// Whether a node of another part is taken as a neighbour; it displaces none.
    fn merge(&mut self, now: Instant) -> bool {
        let may = self.may_merge(now);
        if may {
            self.partition.merges(now);
        }
        may
    }

    /// Sets when a known node is contacted next: soon, until each was tried after too many were lost.
    fn schedule_contact(&mut self, cx: &mut Cx<'_>) {
        let (untried, last) = self.peers.longest_untried(cx.me);
        let soon = !untried.is_empty() && self.life.losses().since().is_some_and(|since| last < since);
        self.partition.schedule_contact(soon, cx);
    }

    /// Contacts a known node or a bootstrap. With links to all of them, compares with a linked node that is no
    /// neighbour: when the link came up, this part may still have remembered the other.
    fn contact(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.life.running() || self.peers.links.is_empty() || self.peers.contact(cx, out) {
            return;
        }
        let others: Vec<NodeId> = self.peers.links.wakeful().filter(|p| !self.hyparview.contains(*p)).collect();
        if let Some(&peer) = cx.rng.pick(&others) {
            self.send_sketch(peer, cx.now, out);
        }
    }

    /// The application or the failure of many says that the network may have split.
    fn contact_now(&mut self, peers: Vec<NodeId>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.life.running() {
            return;
        }
        self.peers.book.retry_now();
        self.peers.calls.answered();
        let known = |p: &NodeId| *p != cx.me && !self.peers.links.contains(*p) && self.peers.book.get(*p).is_some();
        let peers: Vec<NodeId> = peers.into_iter().filter(known).take(MAX_CONTACTS).collect();
        if peers.is_empty() {
            self.contact(cx, out);
        }
        for peer in peers {
            self.peers.connect(peer, cx.now, out);
        }
        self.seek_neighbours(cx, out);
    }

    /// Sends the sketch of the part this node lives in to a linked node that is no neighbour.
    fn send_sketch(&mut self, peer: NodeId, now: Instant, out: &mut Outbox<Out>) {
        if let Some(marks) = self.partition.sketch(now) {
            out.push(Out::message(peer, &Message::Sketch { neighbour: false, anchor: false, marks }));
        }
    }

    fn sketched(
        &mut self,
        from: NodeId,
        (neighbour, anchor): (bool, bool),
        marks: &[Mark],
        now: Instant,
        out: &mut Outbox<Out>,
    ) {
        if self.hyparview.contains(from) {
            self.hyparview.told(from, anchor);
            self.partition.learn(marks, now);
            if self.peers.links.speaks_first(from) && !marks.is_empty() {
                let marks = self.partition.sketch(now).unwrap_or_default();
                let anchor = self.hyparview.is_anchor(from);
                out.push(Out::message(from, &Message::Sketch { neighbour: true, anchor, marks }));
            }
            return;
        }
        if neighbour {
            self.hyparview.reject_stranger(from, &self.peers, out);
        }
        let foreign = self.partition.is_foreign(marks, now);
        if foreign && self.peers.links.contains(from) && self.may_merge(now) {
            self.hyparview.ask(from, Urgency::Merge, &mut self.peers, now, out);
        }
    }

    /// Failure detection keeps the links to members of the zone, and probes them: a neighbour among them needs no
    /// keepalives besides.
    fn zone_changed(&mut self, members: &[NodeId], out: &mut Outbox<Out>) {
        self.life.zone_size(members.len());
        self.zone = members.iter().copied().collect();
        for peer in self.hyparview.active() {
            match self.zone.contains(peer) {
                true => self.peers.links.unwant(*peer, out),
                false => self.peers.links.want(*peer, out),
            }
        }
    }

    fn partition_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if let Some((nodes, marks)) = self.partition.tick(&self.zone, cx) {
            out.push(Out::Estimate(nodes));
            let new = self.hyparview.choose_anchors(&mut self.peers, cx, out);
            let said = |to: NodeId, marks: &[Mark]| {
                let anchor = self.hyparview.is_anchor(to);
                Out::message(to, &Message::Sketch { neighbour: true, anchor, marks: marks.to_vec() })
            };
            // Members of the zone know from its roster who is alive, unless there are others.
            let (mixed, reminds) = (self.partition.has_others(), self.partition.reminds());
            for &to in self.hyparview.active() {
                if self.peers.links.speaks_first(to) {
                    // It speaks first, and is answered.
                } else if mixed || !self.zone.contains(&to) {
                    out.push(said(to, &marks));
                } else if reminds || new.contains(&to) {
                    out.push(said(to, &[]));
                }
            }
        }
        if self.partition.contact_due(cx.now) {
            if !self.peers.links.is_empty() {
                self.peers.forget_silent(cx.wall, out);
            }
            self.schedule_contact(cx);
            self.contact(cx, out);
        }
    }

    fn message(&mut self, from: NodeId, message: Message, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let peers = &mut self.peers;
        match message {
            Message::Announcement { cert, addrs } => peers.announced(from, &cert, &addrs, out),
            Message::Request { urgency, max_neighbours, .. } => self.requested(from, urgency, max_neighbours, cx, out),
            Message::Response { accepted, available } => self.responded(from, accepted, available, cx, out),
            Message::ForwardJoin { joiner, ttl } => self.hyparview.forwarded(from, joiner, ttl, peers, cx, out),
            Message::Disconnect { instead } => self.hyparview.disconnected(from, instead, peers, cx, out),
            Message::Shuffle { walk, ttl, nodes } => {
                self.hyparview.shuffled(from, (walk, ttl), nodes, peers, cx, out);
            }
            Message::ShuffleReply { walk, nodes } => {
                self.hyparview.shuffle_answered(from, walk, nodes, peers, cx, out);
            }
            Message::Sketch { neighbour, anchor, marks } => {
                self.sketched(from, (neighbour, anchor), &marks, cx.now, out);
            }
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
            Fact::RecordRenewed { peer, record } => self.peers.renewed(*peer, record.clone(), out),
            Fact::LinkDown { peer, reason } => self.link_down(*peer, *reason, cx, out),
            Fact::LinkSuspected(peer) => self.link_suspected(*peer, cx, out),
            Fact::LinkRecovered(peer) => self.link_recovered(*peer, cx, out),
            Fact::AddressChanged { peer, addr } => self.peers.moved(*peer, *addr, out),
            Fact::RoundTrips(links) => {
                self.roles.measured(links, &mut self.peers, cx.now);
                self.hyparview.measured(links, &mut self.peers, cx, out);
            }
            Fact::MemberChanged { peer, state, own } => self.member_changed(*peer, (*state, *own), cx, out),
            Fact::Zone(members) => self.zone_changed(members.as_deref().unwrap_or_default(), out),
            Fact::LocalAddresses(addrs) => {
                self.announcement.addrs = addrs.iter().copied().filter(|addr| !is_of_link(addr.ip())).collect();
            }
            Fact::NetworkChanged => self.retry(cx, out),
            Fact::Identity(identity) => {
                self.announcement.cert = identity.device_cert();
                let linked: Vec<NodeId> = self.peers.links.peers().collect();
                linked.into_iter().for_each(|peer| self.announce(peer, out));
            }
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Join(bootstraps) => self.join(bootstraps, cx, out),
            In::Stranger(peer) => self.hyparview.reject_stranger(peer, &self.peers, out),
            In::AddressNeeded(peer) => self.peers.look_up(peer, out),
            In::Compared(peer) => {
                if self.hyparview.contains(peer) {
                    self.life.compared(self.hyparview.active(), out);
                }
            }
            In::Contact(peers) => self.contact_now(peers, cx, out),
            In::Resolved { addr, peer } => {
                self.peers.bootstraps.resolved(addr, peer, self.peers.links.contains(peer));
            }
            In::Unreachable { addr, expect, wrong_node } => self.unreachable(addr, expect, wrong_node, cx, out),
            In::Observed { by, addr } => self.peers.links.observe(by, addr),
            In::Message { from, body } => match decode(&body, MAX_BYTES) {
                Ok(message) => self.message(from, message, cx, out),
                Err(Malformed) => self.peers.drops.count(DropReason::Message),
            },
            In::Found { addr, id } => self.found(addr, id, cx, out),
            In::Retry => self.retry(cx, out),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.hyparview.search_timeout(&self.zone, &mut self.peers, cx, out);
        self.partition_timeout(cx, out);
        if let Some(peer) = self.roles.handle_timeout(&self.peers, cx) {
            self.peers.connect(peer, cx.now, out);
        }
        self.hyparview.rating_timeout(cx, out);
        self.life.handle_timeout(&self.peers.links, self.hyparview.active(), cx.now, out);
        self.hyparview.shuffle_timeout(&self.zone, &self.peers, cx, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let views = soonest(self.hyparview.next_deadline(), self.partition.next_deadline());
        soonest(soonest(views, self.roles.next_deadline()), self.life.next_deadline())
    }

    fn pressing_deadline(&self) -> Option<Instant> {
        // A node without neighbours looks for some; one that has them is in no hurry.
        if self.hyparview.active().is_empty() { self.next_deadline() } else { None }
    }

    fn footprint(&self) -> usize {
        self.peers
            .footprint()
            .saturating_add(self.hyparview.footprint())
            .saturating_add(self.partition.len())
            .saturating_add(self.roles.len())
            .saturating_add(self.hints.len())
            .saturating_add(self.zone.len())
            .saturating_add(self.life.losses().len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.peers.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.peers.check()?;
        self.hyparview.check(&self.peers, self.life.running())?;
        self.partition.check()?;
        self.roles.check(|peer| self.peers.links.contains(peer))?;
        self.hints.check()?;
        self.life.check()
    }
}
