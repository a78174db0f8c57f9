//! Broadcasts: each message to each node once, over a tree that the messages themselves build
//! (PlumTree: Leitão, Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007).
//!
//! Neighbours are *eager* or *lazy*. A broadcast goes whole to the eager ones at once, and its id goes to
//! the lazy ones a moment later (IHAVE). The sender of a second copy becomes lazy (PRUNE): what stays
//! eager is a spanning tree. If a broadcast whose id came does not come itself in time, its announcer becomes
//! eager and the broadcast is fetched from it (GRAFT): the tree repairs itself. An announcer much nearer to the
//! source than the tree's parent takes the parent's place (§3.8).
//!
//! Where the whole membership is known and small (a *zone*), no tree has to be found: the sender divides
//! the members among a few of them and names them in the message (`instruct.rs`).
//!
//! Deviations, each for a reason: links deliver every frame while they last, so only a broken link or a
//! failed neighbour loses something; ids travel in batches; an id is not announced to the neighbour that announced
//! it; a broadcast is passed on only when its author's signature was found genuine; new links leave a
//! grown tree as it is, and bring the ids of recent broadcasts. What this machine loses, anti-entropy
//! (the chat machine) finds.

mod cache;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod fetch;
mod forward;
mod instruct;
mod missing;
mod parts;
mod peer;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use crate::collections::{DeadlineQueue, DedupWindow, OrderedMap, ShortId, short};
use alloc::vec::Vec;

use crate::config::{Config, GossipConfig, Power};
use crate::fact::{Fact, MemberState, RoundTrip};
use crate::gossip::cache::{Broadcast, Cache};
use crate::gossip::instruct::InstructedTree;
use crate::gossip::missing::{Announcer, Missing, MissingTable};
use crate::gossip::parts::Parts;
use crate::gossip::peer::Peer;
use crate::gossip::wire::{IHave, MAX_IHAVE, Message, Name, Scope};
use crate::id::NodeId;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::planted::{Bug, planted};
use crate::rng::Rng;
use crate::stats::{BroadcastStats, DropReason, Drops, Stats};
use crate::store::Record;
use crate::time::{Duration, Instant, Longest};
use crate::wire::{Blob, Malformed, Priority};

/// Broadcasts that are being validated: the answer comes within the same step, so a few are
/// enough; beyond it the oldest is forgotten and not passed on.
const MAX_UNVALIDATED: usize = 64;
/// Larger broadcasts are declined from others as soon as they are here: 1,000 bytes (rust-libp2p's
/// threshold for IDONTWANT).
const LARGE: usize = 1_000;
/// A new neighbour gets the ids of broadcasts so old: where up to 90 of 100 nodes fail, a node that lost all
/// neighbours has others after half a second to six (`after.healed_periods` of the `hyparview` scenario), and
/// there is some margin.
const NEW_NEIGHBOUR_REPLAY: Duration = Duration::from_secs(10);
/// Ids in that replay: four datagrams.
const MAX_REPLAY: usize = 256;
/// What was here for so long when a link came up does not come to the new neighbour by another way: 2 s, the 64 hops of
/// `ttl` at 30 ms each.
const SETTLED_AGE: Duration = Duration::from_secs(2);
/// A tree without copies for this long is settled.
const SETTLED: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) enum In {
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// Send this to all nodes.
    Publish {
        body: Vec<u8>,
    },
    /// Whether what `Deliver` handed up is genuine: only then is it passed on.
    Validated {
        id: ShortId,
        genuine: bool,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Send {
        to: NodeId,
        priority: Priority,
        body: Vec<u8>,
    },
    Deliver {
        id: ShortId,
        via: NodeId,
        body: Vec<u8>,
    },
    /// This node sends as a neighbour and is none.
    Stranger(NodeId),
}

/// A broadcast whose validation is awaited.
struct Unvalidated {
    broadcast: Broadcast,
    /// The members that this node serves by instruction.
    targets: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A missing broadcast is fetched.
    Missing(ShortId),
    /// Children of an instruction should have answered.
    Answers(ShortId),
    /// Ids are announced.
    Announce,
    /// Ids go to the successor on the ring.
    Ring,
    /// The oldest broadcast in the cache is forgotten.
    Expire,
}

pub(crate) struct Gossip {
    peers: OrderedMap<NodeId, Peer>,
    instructed: InstructedTree,
    seen: DedupWindow,
    /// INVARIANT: no broadcast is here and in `missing`.
    cache: Cache,
    unvalidated: OrderedMap<ShortId, Unvalidated>,
    missing: MissingTable,
    parts: Parts,
    /// Ids for the successor on the ring.
    ring: Vec<IHave>,
    /// When a broadcast last came.
    received_at: Option<Instant>,
    timers: DeadlineQueue<Timer>,
    /// A broadcast has passed, so that the eager links are a tree.
    grown: bool,
    /// When the last copy came: copies come while the tree is being built or repaired.
    copied_at: Option<Instant>,
    /// How much later than its first announcement a broadcast comes by the tree.
    lateness: Longest,
    is_low_power: bool,
    config: GossipConfig,
    stats: BroadcastStats,
    drops: Drops,
}

impl Gossip {
    fn new(config: &Config, rng: &mut Rng) -> Self {
        Self {
            peers: OrderedMap::new(),
            instructed: InstructedTree::default(),
            seen: DedupWindow::new(config.limits.dedup_ids, config.gossip.remember, rng),
            cache: Cache::new(config.limits.broadcast_bytes, config.gossip.keep),
            unvalidated: OrderedMap::new(),
            missing: MissingTable::default(),
            parts: Parts::default(),
            ring: Vec::new(),
            received_at: None,
            timers: DeadlineQueue::new(),
            grown: false,
            copied_at: None,
            lateness: Longest::default(),
            is_low_power: config.power == Power::Low,
            config: config.gossip.clone(),
            stats: BroadcastStats::default(),
            drops: Drops::default(),
        }
    }

    fn send_control(&mut self, to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        let body = message.encode();
        self.stats.control(body.len());
        out.push(Out::Send { to, priority: Priority::High, body });
    }

    fn send_broadcast(&mut self, to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        let body = message.encode();
        self.stats.payload(body.len());
        out.push(Out::Send { to, priority: Priority::Normal, body });
    }

    /// A broadcast that is new and genuine: kept, sent whole to eager neighbours, announced to lazy ones, and
    /// neither to those that announced it.
    fn spread(&mut self, cx: &Cx<'_>, broadcast: Broadcast, known_to: &[Announcer], out: &mut Outbox<Out>) {
        let (id, via, round) = (broadcast.id, broadcast.via, broadcast.next_round());
        let last = round > self.config.ttl;
        let (mut eager, mut lazy) = (Vec::new(), false);
        for (&to, peer) in self.peers.iter_mut().filter(|(p, e)| e.neighbour && Some(**p) != via && !last) {
            if known_to.iter().any(|a| a.from == to) {
                continue;
            }
            if peer.gets_whole(self.is_low_power, via.is_none()) && peer.wants(&id) {
                eager.push(to);
            } else {
                peer.announce.push(IHave { id, round });
                lazy = true;
            }
        }
        for to in eager {
            self.send_broadcast(to, &Message::Gossip { round, body: Blob(broadcast.body.clone()) }, out);
        }
        if lazy {
            self.announce_later(cx.now);
        }
        self.grown = true;
        self.keep(cx.now, broadcast);
    }

    fn keep(&mut self, now: Instant, broadcast: Broadcast) {
        self.cache.insert(now, broadcast);
        self.expire_later();
    }

    /// A new neighbour. It is eager (§3.5) while no tree has grown here, and lazy where one has: the next
    /// broadcast would come over the new link first or second, and the tree follow that one sender. Trees that
    /// do grow deeper with every link that changes.
    ///
    /// It is offered recent broadcasts at once: a node whose neighbours all failed, or a part that was cut off, has
    /// messages that no other node has, and lacks those of the others; and what was published a moment before the
    /// link came up went to no node here.
    fn on_neighbour_up(&mut self, now: Instant, peer: NodeId, out: &mut Outbox<Out>) {
        let grown = self.grown && self.peers.values().any(|p| p.neighbour && p.eager);
        let p = self.peers.entry(peer).or_insert_with(Peer::new);
        if p.neighbour {
            return;
        }
        p.neighbour = true;
        p.eager = !grown;
        let recent = self.cache.since(now, NEW_NEIGHBOUR_REPLAY).filter(|(_, b)| b.via != Some(peer));
        let (old, young): (Vec<_>, Vec<_>) = recent.take(MAX_REPLAY).partition(|(age, _)| *age >= SETTLED_AGE);
        let offers: Vec<Message> = [(false, young), (true, old)]
            .into_iter()
            .flat_map(|(certain, all)| {
                let list: Vec<IHave> =
                    all.into_iter().map(|(_, b)| IHave { id: b.id, round: b.next_round() }).collect();
                let parts: Vec<Vec<IHave>> = list.chunks(MAX_IHAVE).map(<[IHave]>::to_vec).collect();
                parts.into_iter().map(move |list| Message::Offer { certain, list })
            })
            .collect();
        p.low_power = self.instructed.is_low_power(peer);
        let leaf = p.low_power && !self.is_low_power;
        if !grown && !leaf && !self.instructed.is_active() {
            // The other side may have a tree already, and this one needs a branch of it.
            self.graft(peer, None, out);
        }
        for offer in offers {
            self.send_control(peer, &offer, out);
        }
    }

    /// Linked members of the zone may announce and fetch like neighbours; other peers are neighbours only.
    fn on_members(&mut self, members: Option<&[NodeId]>, now: Instant) {
        self.instructed.set_members(members, now);
        let instructed = &self.instructed;
        self.peers.retain(|peer, p| p.neighbour || instructed.contains(*peer));
        for peer in instructed.linked_members() {
            self.peers.entry(peer).or_insert_with(Peer::new);
        }
    }

    /// Keeps a peer that is no neighbour if it is a linked member.
    fn admit_member(&mut self, peer: NodeId) {
        if self.instructed.linked_members().any(|p| p == peer) {
            self.peers.entry(peer).or_insert_with(Peer::new);
        }
    }

    fn announce_later(&mut self, now: Instant) {
        if self.timers.get(Timer::Announce).is_none() {
            self.timers.arm(Timer::Announce, now + self.config.batch);
        }
    }

    fn expire_later(&mut self) {
        match self.cache.next_deadline() {
            Some(at) => self.timers.arm(Timer::Expire, at),
            None => self.timers.cancel(Timer::Expire),
        }
    }

    /// A whole broadcast, with an instruction or without: its scope, and the names of the members to serve.
    fn on_gossip(
        &mut self,
        cx: &mut Cx<'_>,
        (from, round): (NodeId, u8),
        instruction: Option<(Scope, Vec<Name>)>,
        body: Vec<u8>,
        out: &mut Outbox<Out>,
    ) {
        self.stats.payloads_in = self.stats.payloads_in.saturating_add(1);
        self.received_at = Some(cx.now);
        if round == 0 || round > self.config.ttl {
            return self.drops.count(DropReason::Ttl);
        }
        let id = id_of(&body);
        if self.seen.contains(&id) || self.unvalidated.contains_key(&id) {
            self.drops.count(DropReason::Duplicate);
            if let Some((_, names)) = &instruction {
                self.instructed_again(cx, (from, id), names, out);
            }
            return self.on_copy(cx.now, from, &id, instruction.is_none(), out);
        }
        if self.unvalidated.len() >= MAX_UNVALIDATED {
            self.unvalidated.pop_first();
            self.drops.count(DropReason::Queue);
        }
        self.stats.first(usize::from(round));
        let (scope, names) = instruction.map_or((None, Vec::new()), |(scope, names)| (Some(scope), names));
        let targets = self.accept(cx, (from, id), &names, out);
        let broadcast = Broadcast { id, round, via: Some(from), scope, body: body.clone() };
        self.unvalidated.insert(id, Unvalidated { broadcast, targets });
        out.push(Out::Deliver { id, via: from, body });
    }

    /// A copy: its sender is not needed as a parent, if it is one.
    fn on_copy(&mut self, now: Instant, from: NodeId, id: &ShortId, branch: bool, out: &mut Outbox<Out>) {
        if let Some(recent) = self.cache.get_mut(id) {
            // A link delivers at least once: a second copy from the parent is no reason for a PRUNE.
            if recent.broadcast.via == Some(from) {
                return;
            }
            recent.held_by(from);
            // It was fetched too early: the tree brings it now.
            if let Some(since) = recent.fetched.take() {
                self.lateness.sample(now.since(since));
            }
        }
        if branch {
            self.copied_at = Some(now);
            self.prune(now, from, out);
        }
    }

    fn prune(&mut self, now: Instant, peer: NodeId, out: &mut Outbox<Out>) {
        if self.peers.get_mut(&peer).is_some_and(|p| p.prune(now)) {
            self.send_control(peer, &Message::Prune, out);
        }
    }

    fn graft(&mut self, peer: NodeId, id: Option<ShortId>, out: &mut Outbox<Out>) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.eager = true;
            self.send_control(peer, &Message::Graft { id }, out);
        }
    }

    fn on_validated(&mut self, cx: &mut Cx<'_>, id: ShortId, genuine: bool, out: &mut Outbox<Out>) {
        let Some(Unvalidated { broadcast, targets }) = self.unvalidated.remove(&id) else { return };
        // A forgery is remembered too: the same bytes are not validated twice.
        self.seen.insert(cx.now, &id);
        self.timers.cancel(Timer::Missing(id));
        let missing = self.missing.remove(&id);
        if !genuine {
            return;
        }
        let Some(from) = broadcast.via else { return };
        let announced = missing.announced_at();
        let fetched = announced.filter(|_| missing.was_asked(from));
        if fetched.is_none() {
            self.lateness.sample(announced.map_or(Duration::ZERO, |since| cx.now.since(since)));
        }
        let Missing { announcers, asked, .. } = missing;
        // What was fetched to repair an instructed tree is announced to the ring and goes no further. Where there is
        // no zone, an instruction is a broadcast like any other.
        let active = self.instructed.is_active();
        let by_instruction = active && (broadcast.scope.is_some() || asked > 0);
        if let Some(parent) = self.peers.get_mut(&from) {
            parent.eager |= !by_instruction && parent.neighbour;
            parent.kept_promise();
        }
        if by_instruction {
            return self.instruct(cx, broadcast, targets, &announcers, out);
        }
        if broadcast.body.len() > LARGE && self.copied_at.is_some_and(|at| cx.now.since(at) < SETTLED) {
            let others: Vec<_> =
                self.peers.iter().filter(|(p, e)| **p != from && e.neighbour && e.eager).map(|(p, _)| *p).collect();
            for other in others {
                self.send_control(other, &Message::IDontWant { id }, out);
            }
        }
        self.spread(cx, broadcast, &announcers, out);
        // If several were asked the others may send it too, so a later copy is not the tree's (Karn's rule).
        if asked == 1
            && let Some(recent) = self.cache.get_mut(&id)
        {
            recent.fetched = fetched;
        }
        for announcer in announcers {
            self.optimise(cx.now, id, announcer, out);
        }
    }

    fn message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, out: &mut Outbox<Out>) {
        match message {
            Message::Gossip { round, body } => {
                let linked_member = self.instructed.is_linked(from) && self.instructed.contains(from);
                if !linked_member && !self.peers.get(&from).is_some_and(|p| p.neighbour) {
                    // Its broadcast may be new all the same.
                    out.push(Out::Stranger(from));
                }
                self.on_gossip(cx, (from, round), None, body.0, out);
            }
            Message::Forward { round, scope, silent, targets, body } => {
                let peers = &self.peers;
                let heard = |p: NodeId| peers.get(&p).and_then(|p| p.heard);
                self.instructed.claimed_silent(&silent, heard, cx.now);
                self.on_gossip(cx, (from, round), Some((scope, targets)), body.0, out);
            }
            Message::Answer { id, refused } => self.on_answer(cx, (from, id), &refused, out),
            Message::IHave(list) => self.on_ihave(cx, from, list, false, out),
            Message::Offer { certain, list } => {
                let cannot = certain || self.cannot_come_otherwise(from, cx.now);
                self.on_ihave(cx, from, list, cannot, out);
            }
            Message::Graft { id } => self.on_graft(cx, from, id, out),
            Message::Prune if planted(Bug::PruneWithoutLazyPush) => {
                self.peers.remove(&from);
            }
            Message::Prune => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    (peer.eager, peer.needs_this_node) = (false, false);
                }
            }
            Message::IDontWant { id } => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.dont_want(id);
                }
            }
        }
    }
}

fn id_of(body: &[u8]) -> ShortId {
    short(blake3::hash(body).as_bytes())
}

impl Machine for Gossip {
    const NAME: &'static str = "gossip";
    type In = In;
    type Out = Out;

    fn open(
        setup: Setup<'_>,
        _records: Vec<Record>,
        cx: &mut Cx<'_>,
        _out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        Ok(Self::new(setup.config, cx.rng))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern others")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match fact {
            Fact::LinkUp { peer, record, .. } => {
                self.instructed.link_up(*peer, record.is_low_power(), cx.now);
                self.admit_member(*peer);
            }
            Fact::LinkDown { peer, .. } => {
                self.instructed.link_down(*peer);
                self.peers.remove(peer);
            }
            Fact::NeighbourUp(peer) => self.on_neighbour_up(cx.now, *peer, out),
            Fact::NeighbourDown(peer) => {
                self.peers.remove(peer);
                self.admit_member(*peer);
            }
            Fact::RoundTrips(links) => {
                for RoundTrip { peer, rtt, .. } in links {
                    if let (Some(peer), Some(rtt)) = (self.peers.get_mut(peer), rtt) {
                        peer.rtt = Some(*rtt);
                    }
                }
            }
            Fact::Zone(members) => self.on_members(members.as_deref(), cx.now),
            Fact::LinkSuspected(peer)
            | Fact::MemberChanged { peer, state: MemberState::Suspect | MemberState::Down, .. } => {
                self.instructed.observed_silent(*peer);
            }
            Fact::LinkRecovered(peer) | Fact::MemberChanged { peer, state: MemberState::Alive, .. } => {
                self.instructed.answered(*peer);
            }
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Publish { body } => {
                let id = id_of(&body);
                self.seen.insert(cx.now, &id);
                let broadcast = Broadcast { id, round: 0, via: None, scope: None, body };
                if self.instructed.is_active() {
                    self.publish_by_instruction(cx, broadcast, out);
                } else {
                    self.spread(cx, broadcast, &[], out);
                }
            }
            In::Message { from, body } => match Message::decode(&body) {
                Ok(message) => {
                    if let Some(peer) = self.peers.get_mut(&from) {
                        peer.heard = Some(cx.now);
                    }
                    self.instructed.answered(from);
                    self.message(cx, from, message, out);
                }
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::Validated { id, genuine } => self.on_validated(cx, id, genuine, out),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Missing(id) => self.fetch_due(cx, id, out),
                Timer::Answers(id) => self.answers_due(cx, id, out),
                Timer::Ring => self.announce_to_ring(cx, out),
                Timer::Announce => self.announce(out),
                Timer::Expire => {
                    self.cache.expire(cx.now);
                    self.expire_later();
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn pressing_deadline(&self) -> Option<Instant> {
        self.timers.next_of(|timer| match timer {
            Timer::Expire => false,
            Timer::Missing(_) | Timer::Answers(_) | Timer::Announce | Timer::Ring => true,
        })
    }

    fn footprint(&self) -> usize {
        self.peers
            .len()
            .saturating_add(self.unvalidated.len())
            .saturating_add(self.seen.len())
            .saturating_add(self.cache.len())
            .saturating_add(self.missing.len())
            .saturating_add(self.instructed.len())
            .saturating_add(self.parts.len())
            .saturating_add(self.ring.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.broadcast = self.stats.clone();
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        if self.missing.ids().any(|id| self.cache.get(id).is_some()) {
            return Err("a broadcast is missing and in the cache");
        }
        if self.unvalidated.len() > MAX_UNVALIDATED {
            return Err("more broadcasts are being validated than the limit");
        }
        self.missing.check()?;
        self.instructed.check()?;
        self.cache.check()
    }
}
