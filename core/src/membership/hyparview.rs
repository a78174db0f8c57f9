//! Neighbours (HyParView: Leitão, Pereira, Rodrigues, "HyParView: a membership protocol for reliable
//! gossip-based broadcast", DSN 2007).
//!
//! The *active view* is the neighbours: few, symmetric, each with a link whose failure is noticed. The
//! *passive view* is a larger random sample of the network to replace them from, kept fresh by shuffles.
//! A newcomer is taken by its contact and walked through the network (`ForwardJoin`), so that it ends up with
//! random neighbours.
//!
//! Deviations: a `Disconnect` names the node that displaces the receiver, which becomes a neighbour of it if it has
//! capacity: an edge is split, and every second neighbour of a newcomer takes none from another node (in the paper
//! each displaced node lacks one and asks in a network where all have what they need; here each request costs a
//! handshake). So half as many walks do. The answer to a shuffle returns the way the walk came, since a direct
//! answer costs a handshake; the first hop of a walk adds the record of the node that began it, since it has proved
//! it; joins that displace neighbours have a budget, so that a crowd of made-up newcomers cannot isolate a node.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::config::{Config, MembershipConfig, NodeType};
use crate::fact::{DownReason, Fact, RoundTrip};
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::planted::{Bug, planted};
use crate::stats::DropReason;
use crate::time::{Duration, Instant, soonest};
use crate::wire::record::NodeRecord;

use super::anchors::Anchors;
use super::interface::Out;
use super::peers::Peers;
use super::score::Scores;
use super::search::{Need, Search};
use super::shuffle::Shuffles;
use super::wire::{MAX_OFFERED, Message, NodeInfo, Refusal, Urgency};

/// Neighbours displaced by newcomers at once, and the same again each second
/// (docs/design/overlay.md §2).
const MAX_DISPLACED: u32 = 10;
/// An unanswered request is forgotten after this: the link's own patience.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// So many times as long goes by before a member of the zone is asked for names again: once a minute, as often as a
/// known node is contacted (`partition.rs`).
const ASK_MEMBERS: u32 = 6;
/// Neighbours beyond the usual number that merges may add.
pub(super) const MERGE_CAPACITY: usize = 2;

/// The budget of joins that displace a neighbour.
#[derive(Default)]
struct Displacements {
    count: u32,
    since: Instant,
}

impl Displacements {
    /// Whether one more newcomer may displace a neighbour.
    fn allow(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            *self = Self { count: 0, since: now };
        }
        self.count = self.count.saturating_add(1);
        self.count <= MAX_DISPLACED
    }
}

pub(super) struct HyParView {
    config: MembershipConfig,
    /// Neighbours at most, but for merges.
    capacity: usize,
    /// INVARIANT: the node is in a network, or on its way in.
    enabled: bool,
    /// The active view.
    /// INVARIANT: of linked peers, at most as many as there is capacity with that for merges.
    active: OrderedSet<NodeId>,
    /// Peers asked to become neighbours that have not answered: how, and when.
    /// INVARIANT: of linked peers.
    requests: OrderedMap<NodeId, (Urgency, Instant)>,
    /// A walk ended here: these are taken as soon as a link to them is up.
    invited: OrderedSet<NodeId>,
    /// A neighbour took this node since it was last alone.
    joined: bool,
    displacements: Displacements,
    anchors: Anchors,
    search: Search,
    shuffles: Shuffles,
    scores: Scores,
}

impl HyParView {
    pub(super) fn new(config: &Config) -> Self {
        // By what this node does for others (docs/design/overlay.md §2 and §6): a bootstrap introduces and keeps no
        // mesh; those with capacity keep more.
        let target = config.membership.target;
        let capacity = match config.node_type {
            NodeType::Bootstrap => 0,
            NodeType::Regular => target,
            NodeType::Super | NodeType::Relay => target.saturating_add(2),
        };
        Self {
            config: config.membership.clone(),
            capacity: capacity.min(config.limits.neighbours),
            enabled: false,
            active: OrderedSet::new(),
            requests: OrderedMap::new(),
            invited: OrderedSet::new(),
            joined: false,
            displacements: Displacements::default(),
            anchors: Anchors::default(),
            search: Search::new(&config.membership),
            shuffles: Shuffles::new(&config.membership),
            scores: Scores::default(),
        }
    }

    /// The neighbours.
    pub(super) fn active(&self) -> &OrderedSet<NodeId> {
        &self.active
    }

    pub(super) fn contains(&self, peer: NodeId) -> bool {
        self.active.contains(&peer)
    }

    pub(super) fn wants_neighbours(&self) -> bool {
        self.enabled && self.active.len() < self.capacity
    }

    /// Whether this node only introduces others: it has no neighbours and belongs to no part of the mesh.
    pub(super) fn only_introduces(&self) -> bool {
        self.capacity == 0
    }

    /// Whether a node of another part can become a neighbour without displacing one.
    pub(super) fn has_merge_capacity(&self) -> bool {
        self.enabled && !self.only_introduces() && self.active.len() < self.capacity.saturating_add(MERGE_CAPACITY)
    }

    pub(super) fn enable(&mut self) {
        self.enabled = true;
    }

    pub(super) fn leave(&mut self, out: &mut Outbox<Out>) {
        self.enabled = false;
        for peer in core::mem::take(&mut self.active) {
            out.push(Out::Fact(Fact::NeighbourDown(peer)));
        }
        self.requests.clear();
        self.invited.clear();
        self.joined = false;
        self.displacements = Displacements::default();
        self.anchors.clear();
        self.search.stop();
        self.shuffles.stop();
        self.scores.stop();
    }

    pub(super) fn start_shuffling(&mut self, cx: &mut Cx<'_>) {
        self.shuffles.start(cx);
    }

    pub(super) fn start_rating(&mut self, cx: &mut Cx<'_>) {
        self.scores.start(cx);
    }

    /// A link is up: asks for what this node needs it for.
    pub(super) fn link_up(&mut self, peer: NodeId, peers: &mut Peers, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let invited = self.invited.remove(&peer);
        if self.contains(peer) || !(invited || self.wants_neighbours()) {
            return;
        }
        let joining = self.requests.values().any(|(u, _)| *u == Urgency::Join);
        let urgency = if !self.joined && !joining {
            Urgency::Join
        } else if self.active.is_empty() {
            Urgency::High
        } else {
            Urgency::Low
        };
        self.ask(peer, urgency, peers, cx.now, out);
    }

    /// Asks a bootstrap for names, also when this node has all its neighbours: the bootstrap may know nodes of
    /// another part of the network, and those are found by trying them (`partition.rs`).
    pub(super) fn ask_bootstrap(&mut self, peer: NodeId, peers: &mut Peers, now: Instant, out: &mut Outbox<Out>) {
        let introduces = peers.book.get(peer).is_some_and(|k| k.node_type() == NodeType::Bootstrap);
        if introduces && !self.only_introduces() && !self.wants_neighbours() {
            self.ask(peer, Urgency::Names, peers, now, out);
        }
    }

    /// A link is gone; whether its peer was a neighbour.
    pub(super) fn link_down(&mut self, peer: NodeId, out: &mut Outbox<Out>) -> bool {
        self.requests.remove(&peer);
        self.scores.forget(peer);
        let was_neighbour = self.active.remove(&peer);
        if was_neighbour {
            self.anchors.ended(peer);
            out.push(Out::Fact(Fact::NeighbourDown(peer)));
            self.search.hasten();
        }
        if self.active.is_empty() {
            self.joined = false;
        }
        was_neighbour
    }

    /// An attempt to reach `peer` failed.
    pub(super) fn unreachable(&mut self, peer: NodeId) {
        self.invited.remove(&peer);
    }

    pub(super) fn ask(
        &mut self,
        peer: NodeId,
        urgency: Urgency,
        peers: &mut Peers,
        now: Instant,
        out: &mut Outbox<Out>,
    ) {
        if urgency != Urgency::Names {
            if self.requests.contains_key(&peer) {
                return;
            }
            self.requests.insert(peer, (urgency, now));
            peers.links.want(peer, out);
        }
        let missing = self.capacity.saturating_sub(self.active.len());
        let max_neighbours = u8::try_from(missing).unwrap_or(u8::MAX);
        let request = Message::Request { urgency, max_neighbours, preferred: Vec::new(), location: None };
        out.push(Out::message(peer, &request));
    }

    /// Answers a request; whether `from` is taken as a neighbour. `merge` says whether it may be for a merge.
    pub(super) fn answer(
        &mut self,
        from: NodeId,
        urgency: Urgency,
        merge: bool,
        peers: &Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        let accepted = if !self.enabled {
            Err(Refusal::Leaving)
        } else if urgency == Urgency::Names {
            Err(Refusal::NotAsked)
        } else if urgency == Urgency::Merge {
            if self.contains(from) || merge { Ok(()) } else { Err(Refusal::Full) }
        } else if self.contains(from)
            || self.active.len() < self.capacity
            || urgency == Urgency::Low && self.is_better(from, cx)
        {
            Ok(())
        } else if self.only_introduces()
            || urgency == Urgency::Low
            || self.may_go(from, peers, cx.now).is_empty()
            || !self.displacements.allow(cx.now)
        {
            Err(Refusal::Full)
        } else {
            Ok(())
        };
        let introduce = matches!(urgency, Urgency::Join | Urgency::Merge);
        let available = if accepted.is_err() || introduce { self.offered(from, peers, cx) } else { Vec::new() };
        out.push(Out::message(from, &Message::Response { accepted, available }));
        accepted.is_ok()
    }

    fn is_better(&mut self, peer: NodeId, cx: &Cx<'_>) -> bool {
        let kept = self.anchors.kept(self.capacity, cx.now);
        !self.only_introduces() && self.scores.better(peer, &self.active, &kept, self.config.target / 2, cx.me, cx.now)
    }

    /// The neighbours of which `newcomer` may displace one, if it is better than none.
    fn may_go(&self, newcomer: NodeId, peers: &Peers, now: Instant) -> Vec<NodeId> {
        let kept = self.anchors.kept(self.capacity, now);
        let others = self.scores.may_go(&self.active).into_iter().filter(|peer| !kept.contains(peer)).collect();
        let spread = peers.spread(newcomer, &self.active, others);
        self.anchors.displaceable(spread, !peers.was_anchor(newcomer), now)
    }

    /// Fills the places of anchors, half of all (docs/design/overlay.md §3). Returns the new ones.
    pub(super) fn choose_anchors(&mut self, peers: &mut Peers, cx: &Cx<'_>, out: &mut Outbox<Out>) -> Vec<NodeId> {
        let new = self.anchors.choose(self.capacity / 2, |peer| peers.was_anchor(peer), cx.now);
        new.iter().for_each(|peer| peers.anchored(*peer, cx.wall, out));
        new
    }

    /// Whether `peer` is an anchor.
    pub(super) fn is_anchor(&self, peer: NodeId) -> bool {
        self.anchors.contains(peer)
    }

    /// A neighbour says whether this node is an anchor of it.
    pub(super) fn told(&mut self, by: NodeId, anchor: bool) {
        self.anchors.told(by, anchor);
    }

    /// How many walks give a newcomer the neighbours it wants: with capacity everywhere each walk gives one, and
    /// where edges are split two.
    pub(super) fn walks_for(&self, wanted: u8) -> usize {
        let more = usize::from(wanted).min(self.capacity).saturating_sub(1);
        if self.active.len() >= self.capacity { more / 2 } else { more }
    }

    /// Sends a newcomer on so many walks through the network.
    pub(super) fn walk_newcomer(
        &self,
        joiner: NodeId,
        walks: usize,
        peers: &Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        let Some(info) = peers.describe(joiner) else { return };
        let ttl = self.config.walk;
        let mut ways: Vec<NodeId> = self.active.iter().copied().filter(|n| *n != joiner).collect();
        for _ in 0..walks {
            if ways.is_empty() {
                break;
            }
            let to = ways.swap_remove(cx.rng.below(ways.len()));
            out.push(Out::message(to, &Message::ForwardJoin { joiner: info.clone(), ttl }));
        }
    }

    /// An answer to a request came with names of others; how this node had asked, if it had.
    pub(super) fn answered(
        &mut self,
        from: NodeId,
        available: Vec<NodeInfo>,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Option<Urgency> {
        let request = self.requests.remove(&from);
        for info in available.into_iter().take(MAX_OFFERED) {
            self.learn(from, info, peers, cx, out);
        }
        request.map(|(urgency, _)| urgency)
    }

    /// `from` accepted a merge, and another merge was faster.
    pub(super) fn decline(&self, from: NodeId, peers: &mut Peers, out: &mut Outbox<Out>) {
        if !self.contains(from) {
            out.push(Out::message(from, &Message::Disconnect { instead: None }));
            peers.links.unwant(from, out);
        }
    }

    pub(super) fn refused(
        &mut self,
        from: NodeId,
        refusal: Refusal,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if !self.contains(from) {
            peers.links.unwant(from, out);
        }
        self.search.refused(cx);
        peers.failed(from, refusal.description(), cx);
    }

    /// The walk of a newcomer came by.
    pub(super) fn forwarded(
        &mut self,
        from: NodeId,
        joiner: NodeInfo,
        ttl: u8,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if !self.contains(from) {
            return self.reject_stranger(from, peers, out);
        }
        let ttl = ttl.min(self.config.walk);
        let Some(id) = NodeRecord::decode_unverified(&joiner.record.0).ok().map(|r| r.id()) else {
            return peers.drops.count(DropReason::Message);
        };
        if id == cx.me || self.contains(id) {
            return;
        }
        let may = |n: &NodeId| *n != from && *n != id && !peers.links.speaks_first(*n);
        let others: Vec<NodeId> = self.active.iter().copied().filter(may).collect();
        let next = if ttl == 0 { None } else { cx.rng.pick(&others).copied() };
        let Some(next) = next else {
            let has_place = self.active.len() < self.capacity || !self.may_go(id, peers, cx.now).is_empty();
            if self.learn(from, joiner, peers, cx, out).is_some() && has_place && self.displacements.allow(cx.now) {
                self.invited.insert(id);
                self.reach(id, peers, cx, out);
            }
            return;
        };
        out.push(Out::message(next, &Message::ForwardJoin { joiner: joiner.clone(), ttl: ttl.saturating_sub(1) }));
        if ttl == self.config.walk_passive {
            self.learn(from, joiner, peers, cx, out);
        }
    }

    /// Asks `peer` over its link, or connects to it.
    fn reach(&mut self, peer: NodeId, peers: &mut Peers, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        match peers.links.contains(peer) {
            true => self.link_up(peer, peers, cx, out),
            false => peers.connect(peer, cx.now, out),
        }
    }

    /// Both are neighbours from here on; one is displaced if there is no capacity, but never for a merge, and if none may
    /// be, `peer` is declined. Whether it is a new neighbour.
    pub(super) fn add(
        &mut self,
        peer: NodeId,
        merging: bool,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        self.requests.remove(&peer);
        self.invited.remove(&peer);
        if !peers.links.contains(peer) || self.contains(peer) {
            return false;
        }
        let capacity = self.capacity.max(1).saturating_add(if merging { MERGE_CAPACITY } else { 0 });
        // One at most, also where merges added some: the neighbours of a node never change all at once.
        if self.active.len() >= capacity {
            let better = self.scores.swapped(peer, &self.active, cx.now);
            let Some(victim) = better.or_else(|| cx.rng.pick(&self.may_go(peer, peers, cx.now)).copied()) else {
                self.decline(peer, peers, out);
                return false;
            };
            self.anchors.displaces(victim, !peers.was_anchor(peer), cx.now);
            let instead = if merging { None } else { peers.describe(peer) };
            out.push(Out::message(victim, &Message::Disconnect { instead }));
            self.remove(victim, peers, cx, out);
        }
        self.active.insert(peer);
        self.anchors.began(peer, cx.now);
        self.joined = true;
        peers.book.remove_passive(peer);
        peers.links.want(peer, out);
        out.push(Out::Fact(Fact::NeighbourUp(peer)));
        true
    }

    /// `peer` is no neighbour any more, but well and linked: a candidate for later.
    fn remove(&mut self, peer: NodeId, peers: &mut Peers, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.active.remove(&peer) {
            self.anchors.ended(peer);
            out.push(Out::Fact(Fact::NeighbourDown(peer)));
            peers.links.unwant(peer, out);
            peers.book.add_passive(peer, self.config.passive, cx.rng);
        }
    }

    /// Failure detection declared `peer` down: it is named to no node any more. A neighbour whose link answers stays one:
    /// the link found out by itself that it lives (`link_suspected` has removed one that does not answer).
    pub(super) fn member_down(&mut self, peer: NodeId, peers: &mut Peers, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.contains(peer) {
            return;
        }
        self.requests.remove(&peer);
        self.invited.remove(&peer);
        self.remove(peer, peers, cx, out);
        peers.book.remove_passive(peer);
        peers.failed(peer, DownReason::Timeout.description(), cx);
        peers.book.forget_unverified(peer);
        if self.active.is_empty() {
            self.joined = false;
        }
        self.seek_neighbours(peers, cx, out);
    }

    /// A neighbour that does not answer is replaced before its link is given up: on TCP a broken neighbour
    /// shows at once, which HyParView's healing relies on. If it answers again, it receives the `Disconnect`.
    /// Whether it was a neighbour.
    pub(super) fn link_suspected(
        &mut self,
        peer: NodeId,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        self.requests.remove(&peer);
        if !self.contains(peer) {
            return false;
        }
        out.push(Out::message(peer, &Message::Disconnect { instead: None }));
        self.remove(peer, peers, cx, out);
        self.search.hasten();
        peers.failed(peer, DownReason::Timeout.description(), cx);
        if self.active.is_empty() {
            self.joined = false;
        }
        true
    }

    /// A probe of a link was not answered.
    pub(super) fn missed(&mut self, peer: NodeId) {
        self.scores.missed(peer);
    }

    /// Frames of a link are not in order: an acceptance and the `Disconnect` after it can change places, and
    /// then one side believes in a neighbour that the other has removed.
    pub(super) fn reject_stranger(&self, from: NodeId, peers: &Peers, out: &mut Outbox<Out>) {
        let ours = self.contains(from) || self.requests.contains_key(&from);
        if !ours && peers.links.contains(from) {
            out.push(Out::message(from, &Message::Disconnect { instead: None }));
        }
    }

    pub(super) fn disconnected(
        &mut self,
        from: NodeId,
        instead: Option<NodeInfo>,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if !self.contains(from) || planted(Bug::OneSidedNeighbour) {
            return;
        }
        self.remove(from, peers, cx, out);
        let again = cx.now + cx.rng.jitter(self.config.retry_first, 20);
        peers.book.attempt_failed(from, "it has other neighbours", |_| again);
        if let Some(other) = instead.and_then(|info| self.learn(from, info, peers, cx, out))
            && self.enabled
        {
            self.search.back_off(cx);
            self.reach(other, peers, cx, out);
        }
        self.seek_neighbours(peers, cx, out);
    }

    /// Takes a node that `from` reports into the passive view; its id, if it is known afterwards.
    fn learn(
        &mut self,
        from: NodeId,
        info: NodeInfo,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Option<NodeId> {
        let id = peers.learn(from, info, cx, out)?;
        if !self.contains(id) {
            peers.book.add_passive(id, self.config.passive, cx.rng);
        }
        Some(id)
    }

    fn learn_all(
        &mut self,
        from: NodeId,
        nodes: Vec<NodeInfo>,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        for info in nodes.into_iter().take(MAX_OFFERED) {
            self.learn(from, info, peers, cx, out);
        }
        self.seek_neighbours(peers, cx, out);
    }

    /// Other nodes to name to `to`, a random few. Of the passive view, as long as it has enough: neighbours
    /// of neighbours would make triangles.
    fn offered(&self, to: NodeId, peers: &Peers, cx: &mut Cx<'_>) -> Vec<NodeInfo> {
        let mut all: OrderedSet<NodeId> = peers.book.passive_view().collect();
        if all.len() < MAX_OFFERED || self.only_introduces() {
            all.extend(peers.links.peers());
        }
        if self.only_introduces() {
            all.extend(peers.book.iter().filter(|(_, k)| k.was_linked()).map(|(id, _)| id));
        }
        all.remove(&to);
        peers.sample(all.into_iter().collect(), MAX_OFFERED, cx)
    }

    /// A shuffle came by: passed on, or answered at its last step.
    pub(super) fn shuffled(
        &mut self,
        from: NodeId,
        (walk, ttl): (u64, u8),
        nodes: Vec<NodeInfo>,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if !self.contains(from) {
            return self.reject_stranger(from, peers, out);
        }
        if let Some(nodes) = self.shuffles.received(from, (walk, ttl), nodes, &self.active, peers, cx, out) {
            self.learn_all(from, nodes, peers, cx, out);
        }
    }

    pub(super) fn shuffle_answered(
        &mut self,
        from: NodeId,
        walk: u64,
        nodes: Vec<NodeInfo>,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if let Some(nodes) = self.shuffles.answered(walk, nodes, peers, out) {
            self.learn_all(from, nodes, peers, cx, out);
        }
    }

    /// Links were measured. A node that this one connected to for another reason may be a better neighbour: at once when
    /// its link is new, and later when all links are measured, since in a zone links last and round trips change.
    pub(super) fn measured(&mut self, links: &[RoundTrip], peers: &mut Peers, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let mut candidates = Vec::new();
        for link in links.iter().filter(|link| peers.links.contains(link.peer)) {
            self.scores.measured(link);
            let wakeful = !peers.links.speaks_first(link.peer);
            if link.outbound && wakeful && !self.requests.contains_key(&link.peer) {
                candidates.push(link.peer);
            }
        }
        if !self.enabled || self.only_introduces() || self.wants_neighbours() {
            return;
        }
        // From a random one on: a node that refuses once is not asked each time.
        if candidates.len() > 1 {
            let first = cx.rng.below(candidates.len());
            candidates.rotate_left(first);
        }
        if let Some(peer) = candidates.into_iter().find(|peer| self.is_better(*peer, cx)) {
            self.ask(peer, Urgency::Low, peers, cx.now, out);
        }
    }

    /// While neighbours are missing, tries candidates, and asks those that are linked.
    pub(super) fn seek_neighbours(&mut self, peers: &mut Peers, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.search.rest();
        while self.wants_neighbours() {
            let need = Need { capacity: self.capacity, neighbours: self.active.len(), joined: self.joined };
            let (requests, active) = (&self.requests, &self.active);
            let skip = |id| requests.contains_key(&id) || active.contains(&id);
            let Some(linked) = self.search.run(&need, skip, peers, cx, out) else { return };
            let urgency = if self.active.is_empty() { Urgency::High } else { Urgency::Low };
            self.ask(linked, urgency, peers, cx.now, out);
        }
    }

    pub(super) fn search_timeout(
        &mut self,
        zone: &OrderedSet<NodeId>,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if self.search.is_due(cx.now) {
            self.seek_neighbours(peers, cx, out);
        }
        if self.search.take_ask(cx.now) && self.wants_neighbours() {
            let linked: Vec<NodeId> = peers.links.wakeful().collect();
            if let Some(&peer) = cx.rng.pick(&linked) {
                self.ask(peer, Urgency::Names, peers, cx.now, out);
                // Members of the zone learn of newcomers from its roster.
                let members_only = linked.iter().all(|p| zone.contains(p));
                self.search.ask_later(if members_only { ASK_MEMBERS } else { 1 }, cx);
            }
        }
    }

    pub(super) fn rating_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.scores.handle_timeout(cx) {
            out.push(Out::Measure);
        }
    }

    pub(super) fn shuffle_timeout(
        &mut self,
        zone: &OrderedSet<NodeId>,
        peers: &Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if self.shuffles.next_deadline().is_some_and(|at| at <= cx.now) {
            self.requests.retain(|_, (_, at)| cx.now.since(*at) < ANSWER_TIME);
            self.shuffles.begin(&self.active, zone, peers, cx, out);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        soonest(soonest(self.search.next_deadline(), self.shuffles.next_deadline()), self.scores.next_deadline())
    }

    pub(super) fn footprint(&self) -> usize {
        self.active
            .len()
            .saturating_add(self.requests.len())
            .saturating_add(self.invited.len())
            .saturating_add(self.shuffles.len())
            .saturating_add(self.anchors.len())
            .saturating_add(self.scores.len())
    }

    #[cfg(test)]
    pub(super) fn age(&mut self, peer: NodeId, by: Duration) {
        self.anchors.age(peer, by);
    }

    #[cfg(test)]
    pub(super) fn scores(&self) -> &Scores {
        &self.scores
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, peers: &Peers, running: bool) -> Result<(), &'static str> {
        if self.enabled != running {
            return Err("neighbours are kept outside of a network, or not kept in one");
        }
        if self.requests.keys().any(|peer| !peers.links.contains(*peer)) {
            return Err("a node without a link is asked to be a neighbour");
        }
        if self.active.iter().any(|peer| !peers.links.contains(*peer)) {
            return Err("a neighbour is not linked");
        }
        if self.active.len() > self.capacity.saturating_add(MERGE_CAPACITY) {
            return Err("there are more neighbours than the node keeps");
        }
        self.anchors.check(&self.active)?;
        self.scores.check(|peer| peers.links.contains(peer))
    }
}
