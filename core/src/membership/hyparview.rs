//! Neighbours (HyParView: Leitão, Pereira, Rodrigues, "HyParView: a membership protocol for reliable
//! gossip-based broadcast", DSN 2007).
//!
//! The *active view* is the neighbours: few, symmetric, each with a link that tells when it fails. The
//! *passive view* is a larger random sample of the network to replace them from, kept fresh by shuffles.
//! A newcomer is taken by its contact and walked through the network (`Forward`), so that it ends up with
//! random neighbours.
//!
//! Deviations: who is pushed out of a view is told for whom, and becomes a neighbour of that one if it has
//! room: an edge is split, and a newcomer's every second neighbour costs nobody one (in the paper each of
//! them leaves somebody short, who asks around in a network where all have what they need; here each
//! asking costs a handshake). So half as many walks do. A shuffle's answer returns the way the walk came, since here a direct answer costs a
//! handshake; the first hop of a walk adds the record of whom it came from, since it proved it; joins that
//! push others out have a budget, so that a crowd of made-up newcomers cannot isolate a node.

use super::*;
use crate::planted::{Bug, planted};

/// Walks under way through this node, 60 bytes each.
const MAX_WALKS: usize = 256;
/// How long an answer to a shuffle may take: sixteen slow links.
const WALK_TIME: Duration = Duration::from_secs(10);
/// Neighbours pushed out by newcomers at once, and the same again each second
/// (docs/design/overlay.md §2).
const INTRUSIONS: u32 = 10;
/// An unanswered request is forgotten after this: the link's own patience.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// State of the two views that is not the views themselves.
#[derive(Default)]
pub(super) struct Views {
    /// Asked to become a neighbour and not answered yet: how, and when.
    pub asked: BTreeMap<NodeId, (Urgency, Instant)>,
    /// A walk ended here: these are taken as soon as a link to them is up.
    pub invited: BTreeSet<NodeId>,
    /// A neighbour took this node since it was last alone.
    pub joined: bool,
    /// Others had no room so many times in a row: the network has what it needs, and one neighbour less
    /// than wanted is no reason to ask everybody.
    refusals: u32,
    /// When to look for more neighbours again, with half of them there.
    pub seek_at: Instant,
    /// Where answers to shuffles go: none for an own one.
    walks: BTreeMap<u64, (Option<NodeId>, Instant)>,
    pub shuffle_at: Option<Instant>,
    began: Option<Instant>,
    intrusions: u32,
    intrusions_since: Instant,
}

impl Views {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.asked.len().saturating_add(self.invited.len()).saturating_add(self.walks.len())
    }

    /// Nobody has room, or somebody was named who has: looking around waits.
    fn rest(&mut self, first: Duration, most: Duration, cx: &mut Cx<'_>) {
        self.seek_at = cx.now + cx.rng.jitter(pause(first, most, self.refusals), 20);
    }

    /// The network seems to have all it needs.
    pub(super) fn saturated(&self) -> bool {
        self.refusals > 0
    }

    /// A neighbour is lost: others may be looking too.
    pub(super) fn seek(&mut self) {
        self.refusals = 0;
        self.seek_at = Instant::ZERO;
    }

    /// Whether one more newcomer may push a neighbour out.
    fn may_intrude(&mut self, now: Instant) -> bool {
        if now.since(self.intrusions_since) >= Duration::from_secs(1) {
            self.intrusions = 0;
            self.intrusions_since = now;
        }
        self.intrusions = self.intrusions.saturating_add(1);
        self.intrusions <= INTRUSIONS
    }

    /// Remembers where the answer to a walk goes; false if the walk was here before.
    fn walk(&mut self, id: u64, back: Option<NodeId>, now: Instant) -> bool {
        self.walks.retain(|_, (_, at)| now.since(*at) < WALK_TIME);
        if self.walks.contains_key(&id) || self.walks.len() >= MAX_WALKS {
            return false;
        }
        self.walks.insert(id, (back, now));
        true
    }
}

impl Membership {
    /// The active view's size, by what this node does for others (docs/design/overlay.md §2 and §6): a bootstrap
    /// introduces and keeps no mesh; those with capacity keep more.
    pub(super) fn room_for(&self) -> usize {
        let m = &self.config.membership;
        let most = match self.config.node_type {
            NodeType::Bootstrap => 0,
            NodeType::Regular => m.target,
            NodeType::Super | NodeType::Relay => m.target.saturating_add(2),
        };
        most.min(self.config.limits.neighbours)
    }

    pub(super) fn wants_neighbours(&self) -> bool {
        self.running() && self.neighbours.len() < self.room_for()
    }

    /// A link is up: asks for what this node needs it for.
    pub(super) fn greet(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let invited = self.views.invited.remove(&peer);
        if self.neighbours.contains(&peer) || !(invited || self.wants_neighbours()) {
            return;
        }
        let joining = self.views.asked.values().any(|(u, _)| *u == Urgency::Join);
        let urgency = if !self.views.joined && !joining {
            Urgency::Join
        } else if self.neighbours.is_empty() {
            Urgency::High
        } else {
            Urgency::Low
        };
        self.ask(peer, urgency, cx, out);
    }

    pub(super) fn ask(&mut self, peer: NodeId, urgency: Urgency, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if urgency != Urgency::Names {
            if self.views.asked.contains_key(&peer) {
                return;
            }
            self.views.asked.insert(peer, (urgency, cx.now));
            self.want(peer, out);
        }
        let missing = self.room_for().saturating_sub(self.neighbours.len());
        let max_neighbours = u8::try_from(missing).unwrap_or(u8::MAX);
        let request = Message::Request { urgency, max_neighbours, preferred: Vec::new(), location: None };
        Self::send(peer, &request, out);
    }

    pub(super) fn requested(
        &mut self,
        from: NodeId,
        urgency: Urgency,
        wanted: u8,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        let full = self.neighbours.len() >= self.room_for();
        let accepted = if !self.running() {
            Err(Refusal::Leaving)
        } else if urgency == Urgency::Names {
            Err(Refusal::NotAsked)
        } else if urgency == Urgency::Merge {
            if self.neighbours.contains(&from) || self.merge(cx.now) { Ok(()) } else { Err(Refusal::Full) }
        } else if self.neighbours.contains(&from)
            || !full
            || urgency == Urgency::Low && self.better(from, cx.me, cx.now)
        {
            Ok(())
        } else if self.room_for() == 0 || urgency == Urgency::Low || !self.views.may_intrude(cx.now) {
            Err(Refusal::Full)
        } else {
            Ok(())
        };
        let introduce = matches!(urgency, Urgency::Join | Urgency::Merge);
        let available = if accepted.is_err() || introduce { self.offered(from, cx) } else { Vec::new() };
        Self::send(from, &Message::Response { accepted, available }, out);
        if accepted.is_err() {
            return;
        }
        self.neighbour(from, urgency == Urgency::Merge, cx, out);
        if urgency == Urgency::Join {
            self.walk_newcomer(from, full, wanted, cx, out);
        }
    }

    /// Walks a newcomer through the network, as often as it takes to give it the neighbours it wants: with
    /// room everywhere each walk gives one, and where edges are split two.
    fn walk_newcomer(&mut self, joiner: NodeId, split: bool, wanted: u8, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(info) = self.info(joiner) else { return };
        let ttl = self.config.membership.walk;
        let wanted = usize::from(wanted).min(self.room_for());
        let walks = if split { wanted.saturating_sub(1) / 2 } else { wanted.saturating_sub(1) };
        let mut ways: Vec<NodeId> = self.neighbours.iter().copied().filter(|n| *n != joiner).collect();
        for _ in 0..walks {
            if ways.is_empty() {
                break;
            }
            let to = ways.swap_remove(cx.rng.below(ways.len()));
            Self::send(to, &Message::Forward { joiner: info.clone(), ttl }, out);
        }
    }

    pub(super) fn responded(
        &mut self,
        from: NodeId,
        accepted: Result<(), Refusal>,
        available: Vec<NodeInfo>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        let asked = self.views.asked.remove(&from);
        let merging = asked.is_some_and(|(urgency, _)| urgency == Urgency::Merge);
        for info in available.into_iter().take(MAX_OFFERED) {
            self.heard_of(from, info, cx, out);
        }
        match accepted {
            Ok(()) if asked.is_some() && (!merging || self.merge(cx.now)) => self.neighbour(from, merging, cx, out),
            // Another merge was faster.
            Ok(()) if asked.is_some() && !self.neighbours.contains(&from) => {
                Self::send(from, &Message::Disconnect { instead: None }, out);
                self.unwant(from, out);
            }
            // Nobody becomes a neighbour unasked.
            Ok(()) | Err(Refusal::NotAsked) => {}
            Err(refusal @ (Refusal::Full | Refusal::Leaving)) => {
                if !self.neighbours.contains(&from) {
                    self.unwant(from, out);
                }
                let m = &self.config.membership;
                self.views.rest(m.promote_after, m.shuffle, cx);
                self.views.refusals = self.views.refusals.saturating_add(1);
                self.fail(from, refusal.words(), cx);
            }
        }
        self.look_around(cx, out);
    }

    /// A newcomer's walk came by.
    pub(super) fn forwarded(
        &mut self,
        from: NodeId,
        joiner: NodeInfo,
        ttl: u8,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if !self.neighbours.contains(&from) {
            return self.strange(from, out);
        }
        let ttl = ttl.min(self.config.membership.walk);
        let Some(id) = NodeRecord::decode_unverified(&joiner.record.0).ok().map(|r| r.id()) else {
            return self.drops.count(DropReason::Message);
        };
        if id == cx.me || self.neighbours.contains(&id) {
            return;
        }
        let others: Vec<NodeId> = self.neighbours.iter().copied().filter(|n| *n != from && *n != id).collect();
        let next = if ttl == 0 { None } else { cx.rng.pick(&others).copied() };
        let Some(next) = next else {
            if self.heard_of(from, joiner, cx, out).is_some() && self.views.may_intrude(cx.now) {
                self.views.invited.insert(id);
                match self.linked.contains_key(&id) {
                    true => self.greet(id, cx, out),
                    false => self.connect_at(id, cx.now, out),
                }
            }
            return;
        };
        Self::send(next, &Message::Forward { joiner: joiner.clone(), ttl: ttl.saturating_sub(1) }, out);
        if ttl == self.config.membership.walk_passive {
            self.heard_of(from, joiner, cx, out);
        }
    }

    /// Both are neighbours from here on; somebody gives way if there is no room, but never for a merge.
    pub(super) fn neighbour(&mut self, peer: NodeId, merging: bool, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.views.asked.remove(&peer);
        self.views.invited.remove(&peer);
        if !self.linked.contains_key(&peer) || self.neighbours.contains(&peer) {
            return;
        }
        let room = self.room_for().max(1);
        let room = if merging { room.saturating_add(MERGE_ROOM) } else { room };
        // One at most, also where merges added some: nobody's neighbours change all at once.
        if self.neighbours.len() >= room
            && let Some(victim) = self.leaving_for(peer, cx)
        {
            let instead = if merging { None } else { self.info(peer) };
            Self::send(victim, &Message::Disconnect { instead }, out);
            self.estranged(victim, cx, out);
        }
        self.neighbours.insert(peer);
        self.views.joined = true;
        self.book.unpassive(peer);
        self.want(peer, out);
        out.push(Out::Fact(Fact::NeighbourUp(peer)));
        if !self.losses.hold() {
            self.trigger(Trigger::Neighbour, out);
            self.recover(cx);
        }
        self.look_around(cx, out);
    }

    /// Failure detection waited for this node's word in vain: nobody is sent to it any more.
    pub(super) fn failed(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.views.asked.remove(&peer);
        self.views.invited.remove(&peer);
        self.estranged(peer, cx, out);
        self.book.unpassive(peer);
        self.fail(peer, DownReason::Timeout.words(), cx);
        self.book.forget_hearsay(peer);
        if self.neighbours.is_empty() {
            self.views.joined = false;
        }
        self.look_around(cx, out);
    }

    /// No neighbour any more, but well and linked: a candidate for later.
    fn estranged(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.neighbours.remove(&peer) {
            out.push(Out::Fact(Fact::NeighbourDown(peer)));
            self.unwant(peer, out);
            self.book.passive(peer, self.config.membership.passive, cx.rng);
        }
    }

    /// A neighbour that does not answer is replaced before its link is given up: on TCP a broken neighbour
    /// shows at once, which is what HyParView's healing lives on. If it hears again, it learns of it.
    pub(super) fn suspected(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.views.asked.remove(&peer);
        if self.linked.contains_key(&peer) {
            self.lose(peer, cx, out);
        }
        if !self.neighbours.contains(&peer) {
            return;
        }
        Self::send(peer, &Message::Disconnect { instead: None }, out);
        self.estranged(peer, cx, out);
        self.views.seek();
        self.fail(peer, DownReason::Timeout.words(), cx);
        if self.neighbours.is_empty() {
            self.views.joined = false;
            self.trigger(Trigger::Alone, out);
        }
        self.look_around(cx, out);
    }

    /// Frames of a link are not in order: an acceptance and the goodbye after it can change places, and
    /// then one side believes in what the other has ended.
    pub(super) fn strange(&mut self, from: NodeId, out: &mut Outbox<Out>) {
        let ours = self.neighbours.contains(&from) || self.views.asked.contains_key(&from);
        if !ours && self.linked.contains_key(&from) {
            Self::send(from, &Message::Disconnect { instead: None }, out);
        }
    }

    pub(super) fn disconnected(
        &mut self,
        from: NodeId,
        instead: Option<NodeInfo>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if !self.neighbours.contains(&from) || planted(Bug::OneSidedNeighbour) {
            return;
        }
        self.estranged(from, cx, out);
        let m = &self.config.membership;
        let again = cx.now + cx.rng.jitter(m.retry_first, 20);
        let (first, most) = (m.promote_after, m.shuffle);
        self.book.failed(from, "it has other neighbours", |_| again);
        if let Some(other) = instead.and_then(|info| self.heard_of(from, info, cx, out))
            && self.running()
        {
            self.views.rest(first, most, cx);
            match self.linked.contains_key(&other) {
                true => self.greet(other, cx, out),
                false => self.connect_at(other, cx.now, out),
            }
        }
        self.look_around(cx, out);
    }

    /// What this node would tell others about `peer`.
    pub(super) fn info(&self, peer: NodeId) -> Option<NodeInfo> {
        let known = self.book.get(peer)?;
        let record = known.record.as_ref()?;
        Some(NodeInfo { record: Blob(record.encode()), name: known.name.clone(), addrs: known.lasting_addrs() })
    }

    /// A random few of `all`, described.
    fn sample(&self, mut all: Vec<NodeId>, count: usize, cx: &mut Cx<'_>) -> Vec<NodeInfo> {
        let mut picked = Vec::new();
        while picked.len() < count && !all.is_empty() {
            let id = all.swap_remove(cx.rng.below(all.len()));
            picked.extend(self.info(id));
        }
        picked
    }

    /// Other nodes to name to `to`, a random few. Of the passive view, as long as it has enough: neighbours
    /// of neighbours would make triangles.
    fn offered(&self, to: NodeId, cx: &mut Cx<'_>) -> Vec<NodeInfo> {
        let mut all: BTreeSet<NodeId> = self.book.passives().collect();
        if all.len() < MAX_OFFERED || self.only_introduces() {
            all.extend(self.linked.keys().copied());
        }
        if self.only_introduces() {
            all.extend(self.book.iter().filter(|(_, k)| k.met != WallTime(0)).map(|(id, _)| id));
        }
        all.remove(&to);
        self.sample(all.into_iter().collect(), MAX_OFFERED, cx)
    }

    pub(super) fn start_shuffling(&mut self, cx: &mut Cx<'_>) {
        self.views.began = self.views.began.or(Some(cx.now));
        if self.views.shuffle_at.is_none() {
            self.views.shuffle_at = Some(self.next_shuffle(cx));
        }
    }

    fn next_shuffle(&self, cx: &mut Cx<'_>) -> Instant {
        let m = &self.config.membership;
        let young = self.views.began.is_none_or(|at| cx.now.since(at) < m.young_for);
        cx.now + cx.rng.jitter(if young { m.shuffle_young } else { m.shuffle }, 20)
    }

    /// Exchanges a part of the views with a node some random steps away.
    pub(super) fn shuffle(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.views.shuffle_at = Some(self.next_shuffle(cx));
        self.views.asked.retain(|_, (_, at)| cx.now.since(*at) < ANSWER_TIME);
        let all: Vec<NodeId> = self.neighbours.iter().copied().collect();
        let Some(&to) = cx.rng.pick(&all) else { return };
        let m = &self.config.membership;
        let (ka, kp, ttl) = (m.shuffle_active, m.shuffle_passive, m.walk);
        let mut nodes = self.sample(all.into_iter().filter(|n| *n != to).collect(), ka, cx);
        nodes.extend(self.sample(self.book.passives().collect(), kp, cx));
        let walk = cx.rng.u64();
        if self.views.walk(walk, None, cx.now) {
            Self::send(to, &Message::Shuffle { walk, ttl, nodes }, out);
        }
    }

    pub(super) fn shuffled(
        &mut self,
        from: NodeId,
        walk: u64,
        ttl: u8,
        mut nodes: Vec<NodeInfo>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if !self.neighbours.contains(&from) {
            return self.strange(from, out);
        }
        let most = self.config.membership.walk;
        if ttl >= most {
            // The first step: who began it is proven to be there.
            nodes.truncate(MAX_OFFERED.saturating_sub(1));
            nodes.extend(self.info(from));
        }
        let ttl = ttl.min(most).saturating_sub(1);
        let others: Vec<NodeId> = self.neighbours.iter().copied().filter(|n| *n != from).collect();
        let next = if ttl == 0 { None } else { cx.rng.pick(&others).copied() };
        match next {
            Some(next) => {
                if self.views.walk(walk, Some(from), cx.now) {
                    Self::send(next, &Message::Shuffle { walk, ttl, nodes }, out);
                }
            }
            None => {
                let reply = self.sample(self.book.passives().collect(), nodes.len(), cx);
                Self::send(from, &Message::ShuffleReply { walk, nodes: reply }, out);
                self.heard_of_all(from, nodes, cx, out);
            }
        }
    }

    pub(super) fn shuffle_answered(
        &mut self,
        from: NodeId,
        walk: u64,
        nodes: Vec<NodeInfo>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        match self.views.walks.remove(&walk) {
            Some((Some(back), _)) if self.linked.contains_key(&back) => {
                Self::send(back, &Message::ShuffleReply { walk, nodes }, out);
            }
            Some((None, _)) => self.heard_of_all(from, nodes, cx, out),
            Some((Some(_), _)) | None => {}
        }
    }

    fn heard_of_all(&mut self, from: NodeId, nodes: Vec<NodeInfo>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for info in nodes.into_iter().take(MAX_OFFERED) {
            self.heard_of(from, info, cx, out);
        }
        self.look_around(cx, out);
    }
}
