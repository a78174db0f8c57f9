//! Broadcasts: each message to everybody once, over a tree that the messages themselves build
//! (PlumTree: Leitão, Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007).
//!
//! Neighbours are *eager* or *lazy*. A message goes whole to the eager ones at once, and its id goes to
//! the lazy ones a moment later. A copy that came before makes its sender lazy (`Prune`): what stays
//! eager is a spanning tree. An id whose message does not come in time makes its announcer eager and
//! fetches the message from it (`Graft`): the tree mends itself. An announcer much nearer to the source
//! than the tree's parent takes the parent's place (§3.8).
//!
//! Where the whole membership is known and small (a *zone*), no tree has to be found: the sender divides
//! the members among a few of them and says so with the message (`instruct.rs`).
//!
//! Deviations, each for a reason: links deliver every frame while they last, so only a broken link or a
//! dead neighbour loses something; ids travel in batches; an id that a neighbour announced itself is not
//! announced back; a message goes on only when its author's signature was found genuine; new links leave a
//! grown tree as it is, and bring the ids of what was said lately. What this machine loses, comparing heights
//! (the chat machine) finds again.

mod cache;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod instruct;
mod peer;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::collections::{DeadlineQueue, DedupWindow, ShortId, short};
use crate::config::{Config, GossipConfig};
use crate::fact::{Fact, RoundTrip};
use crate::gossip::cache::Cache;
use crate::gossip::instruct::Zone;
use crate::gossip::peer::Peer;
use crate::gossip::wire::{Have, MAX_HAVE, Message};
use crate::id::NodeId;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::planted::{Bug, planted};
use crate::rng::Rng;
use crate::stats::{BroadcastStats, DropReason, Drops, Stats};
use crate::store::Record;
use crate::time::{Duration, Instant, Longest, share};
use crate::wire::{Blob, Malformed, Priority};

/// Broadcasts whose content is being checked: the answer comes within the same step, so a few are
/// plenty; beyond it the oldest is forgotten and not passed on.
const MAX_UNDECIDED: usize = 64;
/// Announced broadcasts that are waited for: 5,000 as gossipsub's limit of ids
/// (docs/design/broadcast.md §4), 100 bytes each.
const MAX_MISSING: usize = 5_000;
/// Announcers remembered of one missing broadcast (docs/design/broadcast.md §2).
const MAX_ANNOUNCERS: usize = 8;
/// Larger broadcasts are declined from others as soon as they are here: 1,000 bytes (rust-libp2p's
/// threshold for IDONTWANT).
const LARGE: usize = 1_000;
/// The tree is waited for no longer than this: the 64 hops of `ttl` at 30 ms each, so that nobody who
/// announces what it brings late keeps others from mending their tree.
const MAX_LATENESS: Duration = Duration::from_secs(2);
/// A new neighbour hears of broadcasts so old: where up to 90 of 100 nodes fail, who lost all neighbours has others
/// after half a second to six (`after.healed_periods` of the `hyparview` scenario), and there is some margin.
const RETOLD: Duration = Duration::from_secs(10);
/// Of so many: four datagrams of ids.
const MAX_RETOLD: usize = 256;
/// A tree without copies for this long is one.
const SETTLED: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) enum In {
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// Send this to everybody.
    Publish {
        body: Vec<u8>,
    },
    /// Whether what was handed up by `Deliver` is genuine: only then is it passed on.
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
    /// This node speaks as a neighbour and is none.
    Stranger(NodeId),
}

struct Undecided {
    from: NodeId,
    hops: u8,
    body: Vec<u8>,
    /// Who gets it from here, by the sender's instruction; otherwise the tree says.
    targets: Option<Vec<ShortId>>,
}

/// A broadcast that somebody announced and nobody brought.
#[derive(Default)]
struct Missing {
    /// Who has it, and how many hops they are from its source; asked in this order.
    announcers: Vec<Announcer>,
    /// How many of them were asked.
    asked: usize,
    /// When it was first announced.
    since: Instant,
}

impl Missing {
    fn was_asked(&self, peer: NodeId) -> bool {
        self.announcers.iter().take(self.asked).any(|a| a.from == peer)
    }
}

/// An announcement and who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announcer {
    from: NodeId,
    hops: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A missing broadcast is asked for.
    Missing(ShortId),
    /// Ids are announced.
    Announce,
    /// The oldest broadcast in the cache is forgotten.
    Expire,
}

pub(crate) struct Gossip {
    peers: BTreeMap<NodeId, Peer>,
    zone: Zone,
    seen: DedupWindow,
    cache: Cache,
    undecided: BTreeMap<ShortId, Undecided>,
    missing: BTreeMap<ShortId, Missing>,
    timers: DeadlineQueue<Timer>,
    /// A broadcast has passed, so that the eager links are a tree.
    grown: bool,
    /// Copies came until lately: the tree is being built or mended.
    unsettled: Option<Instant>,
    /// How much later than its first announcement a broadcast comes by the tree.
    lateness: Longest,
    config: GossipConfig,
    stats: BroadcastStats,
    drops: Drops,
}

impl Gossip {
    fn new(config: &Config, rng: &mut Rng) -> Self {
        Self {
            peers: BTreeMap::new(),
            zone: Zone::default(),
            seen: DedupWindow::new(config.limits.dedup_ids, config.gossip.remember, rng),
            cache: Cache::new(config.limits.broadcast_bytes, config.gossip.keep),
            undecided: BTreeMap::new(),
            missing: BTreeMap::new(),
            timers: DeadlineQueue::new(),
            grown: false,
            unsettled: None,
            lateness: Longest::default(),
            config: config.gossip.clone(),
            stats: BroadcastStats::default(),
            drops: Drops::default(),
        }
    }

    fn control(&mut self, to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        let body = message.encode();
        self.stats.control(body.len());
        out.push(Out::Send { to, priority: Priority::High, body });
    }

    fn whole(&mut self, to: NodeId, hops: u8, body: &[u8], out: &mut Outbox<Out>) {
        let body = Message::Payload { hops, body: Blob(body.to_vec()) }.encode();
        self.stats.payload(body.len());
        out.push(Out::Send { to, priority: Priority::Normal, body });
    }

    /// A broadcast that is new and genuine: kept, sent whole to the eager, announced to the lazy, and neither to
    /// those who announced it.
    #[expect(clippy::too_many_arguments, reason = "what a message came with, and where answers go")]
    fn spread(
        &mut self,
        cx: &Cx<'_>,
        id: ShortId,
        hops: u8,
        via: Option<NodeId>,
        known_to: &[Announcer],
        body: Vec<u8>,
        out: &mut Outbox<Out>,
    ) {
        let next = hops.saturating_add(1);
        let last = next > self.config.ttl;
        let (mut eager, mut lazy) = (Vec::new(), false);
        for (&to, peer) in self.peers.iter_mut().filter(|(p, e)| e.neighbour && Some(**p) != via && !last) {
            if known_to.iter().any(|a| a.from == to) {
                continue;
            }
            if peer.eager && !peer.refuses(&id) {
                eager.push(to);
            } else {
                peer.announce.push(Have { id, hops: next });
                lazy = true;
            }
        }
        for to in eager {
            self.whole(to, next, &body, out);
        }
        if lazy {
            self.announce_later(cx.now);
        }
        self.grown = true;
        self.cache.insert(cx.now, id, hops, via, body);
        self.expire_later();
    }

    /// A new neighbour. It is eager (§3.5) while no tree has grown here, and gets ids where one has: the next
    /// broadcast would come over the new link first or second, and the tree follow that one sender. Trees that
    /// do grow deeper with every link that changes.
    ///
    /// Of what was said lately it gets the ids: whose neighbours have all died, or a part that was cut off, has
    /// messages that nobody else has, and lacks those of the others.
    fn neighbour(&mut self, now: Instant, peer: NodeId, out: &mut Outbox<Out>) {
        let grown = self.grown && self.peers.values().any(|p| p.neighbour && p.eager);
        let p = self.peers.entry(peer).or_insert_with(|| Peer::new(now));
        if p.neighbour {
            return;
        }
        p.neighbour = true;
        p.eager = !grown;
        p.announce.extend(
            self.cache.since(now, RETOLD).take(MAX_RETOLD).map(|(id, r)| Have { id, hops: r.hops.saturating_add(1) }),
        );
        let tells = !p.announce.is_empty();
        if !grown && !self.zone.stands() {
            // The other side may have a tree already, and this one needs a branch of it.
            self.graft(peer, None, out);
        }
        if tells {
            self.announce_later(now);
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

    fn payload(
        &mut self,
        cx: &Cx<'_>,
        from: NodeId,
        hops: u8,
        targets: Option<Vec<ShortId>>,
        body: Vec<u8>,
        out: &mut Outbox<Out>,
    ) {
        self.stats.payloads_in = self.stats.payloads_in.saturating_add(1);
        if hops == 0 || hops > self.config.ttl {
            return self.drops.count(DropReason::Ttl);
        }
        let id = id_of(&body);
        if self.seen.contains(&id) || self.undecided.contains_key(&id) {
            self.drops.count(DropReason::Duplicate);
            return self.repeated(cx.now, from, &id, targets.is_none(), out);
        }
        if self.undecided.len() >= MAX_UNDECIDED {
            self.undecided.pop_first();
            self.drops.count(DropReason::Queue);
        }
        self.stats.first(usize::from(hops));
        self.undecided.insert(id, Undecided { from, hops, body: body.clone(), targets });
        out.push(Out::Deliver { id, via: from, body });
    }

    /// A copy: its sender is not needed as a parent, if it is one.
    fn repeated(&mut self, now: Instant, from: NodeId, id: &ShortId, branch: bool, out: &mut Outbox<Out>) {
        if let Some(recent) = self.cache.get_mut(id) {
            // A link delivers at least once: the parent's second copy is no branch too many.
            if recent.via == Some(from) {
                return;
            }
            recent.held_by(from);
            // It was fetched too early: the tree brings it now.
            if let Some(since) = recent.fetched.take() {
                self.lateness.sample(now.since(since));
            }
        }
        if branch {
            self.unsettled = Some(now);
            self.prune(now, from, out);
        }
    }

    fn prune(&mut self, now: Instant, peer: NodeId, out: &mut Outbox<Out>) {
        if self.peers.get_mut(&peer).is_some_and(|p| p.prune(now)) {
            self.control(peer, &Message::Prune, out);
        }
    }

    fn graft(&mut self, peer: NodeId, id: Option<ShortId>, out: &mut Outbox<Out>) {
        if let Some(p) = self.peers.get_mut(&peer) {
            p.eager = true;
            self.control(peer, &Message::Graft { id }, out);
        }
    }

    fn verdict(&mut self, cx: &mut Cx<'_>, id: ShortId, genuine: bool, out: &mut Outbox<Out>) {
        let Some(Undecided { from, hops, body, targets }) = self.undecided.remove(&id) else { return };
        // A forgery is remembered too: the same bytes are not checked twice.
        self.seen.insert(cx.now, &id);
        self.timers.cancel(Timer::Missing(id));
        let missing = self.missing.remove(&id).unwrap_or_default();
        if !genuine {
            return;
        }
        let announced = (!missing.announcers.is_empty()).then_some(missing.since);
        let fetched = announced.filter(|_| missing.was_asked(from));
        if fetched.is_none() {
            self.lateness.sample(announced.map_or(Duration::ZERO, |since| cx.now.since(since)));
        }
        let Missing { announcers, asked, .. } = missing;
        // What was fetched to mend an instructed tree is announced, as all there is.
        let mends = asked > 0 && self.zone.stands();
        let targets = targets.or_else(|| mends.then(Vec::new));
        if let Some(parent) = self.peers.get_mut(&from) {
            parent.eager |= targets.is_none();
            parent.kept_word();
        }
        if let Some(targets) = targets {
            return self.instructed(cx, id, hops, from, &targets, body, out);
        }
        if body.len() > LARGE && self.unsettled.is_some_and(|at| cx.now.since(at) < SETTLED) {
            let others: Vec<_> =
                self.peers.iter().filter(|(p, e)| **p != from && e.neighbour && e.eager).map(|(p, _)| *p).collect();
            for other in others {
                self.control(other, &Message::Refuse { id }, out);
            }
        }
        self.spread(cx, id, hops, Some(from), &announcers, body, out);
        // Of several who were asked the others may bring it too, so what comes then is not the tree's (Karn's rule).
        if asked == 1
            && let Some(recent) = self.cache.get_mut(&id)
        {
            recent.fetched = fetched;
        }
        for Announcer { from, hops } in announcers {
            self.announced_late(cx.now, from, id, hops, out);
        }
    }

    fn have(&mut self, cx: &Cx<'_>, from: NodeId, list: Vec<Have>, out: &mut Outbox<Out>) {
        for Have { id, hops } in list {
            let Some(peer) = self.peers.get_mut(&from) else { return };
            if !peer.may_announce(cx.now) || hops == 0 || hops > self.config.ttl {
                self.drops.count(DropReason::Rate);
                continue;
            }
            if self.cache.get(&id).is_some() {
                self.announced_late(cx.now, from, id, hops, out);
                continue;
            }
            if self.seen.contains(&id) {
                continue;
            }
            if self.missing.len() >= MAX_MISSING && !self.missing.contains_key(&id) {
                self.drops.count(DropReason::Queue);
                continue;
            }
            let missing = self.missing.entry(id).or_insert_with(|| Missing { since: cx.now, ..Missing::default() });
            if missing.announcers.len() < MAX_ANNOUNCERS && !missing.announcers.iter().any(|a| a.from == from) {
                missing.announcers.push(Announcer { from, hops });
            }
            if self.timers.get(Timer::Missing(id)).is_none() && !planted(Bug::GraftTimerNotArmed) {
                self.timers.arm(Timer::Missing(id), cx.now + self.patience());
            }
        }
    }

    /// A neighbour has what is here already. If its way from the source is much shorter than the one of
    /// the parent, message after message, it becomes the parent (§3.8).
    fn announced_late(&mut self, now: Instant, from: NodeId, id: ShortId, hops: u8, out: &mut Outbox<Out>) {
        let Some(recent) = self.cache.get_mut(&id) else { return };
        recent.held_by(from);
        let Some(parent) = recent.via.filter(|via| *via != from) else { return };
        let Some(peer) = self.peers.get_mut(&from).filter(|p| p.neighbour && !p.eager) else { return };
        if !peer.shortens(now, recent.hops, hops, self.config.optimise) {
            return;
        }
        recent.via = Some(from);
        recent.hops = hops;
        self.peers.values_mut().for_each(Peer::compare_anew);
        self.graft(from, None, out);
        self.prune(now, parent, out);
    }

    fn fetched(&mut self, cx: &Cx<'_>, from: NodeId, id: Option<ShortId>, out: &mut Outbox<Out>) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if !peer.may_fetch(cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        peer.eager = true;
        let Some(recent) = id.and_then(|id| self.cache.get_mut(&id)) else { return };
        if recent.serve(from) {
            let (hops, body) = (recent.hops.saturating_add(1), recent.body.clone());
            self.whole(from, hops, &body, out);
        }
    }

    /// How long an announced broadcast may take to come by itself: two round trips of nine neighbours in ten,
    /// and a batch (docs/design/broadcast.md §2), and at least what is configured. Where the tree's own way takes
    /// longer than the way of ids, twice the longest it took lately: what is fetched too early makes a branch that
    /// is short for one sender and adds hops for the others.
    fn patience(&self) -> Duration {
        let mut rtts: Vec<Duration> = self.peers.values().filter(|p| p.neighbour).filter_map(|p| p.rtt).collect();
        rtts.sort_unstable();
        let at = rtts.len().saturating_mul(9).div_ceil(10).saturating_sub(1);
        let slow = rtts.get(at).copied().unwrap_or_default();
        let late = self.lateness.twice().min(MAX_LATENESS);
        self.config.graft_after.max(slow.saturating_mul(2).saturating_add(self.config.batch)).max(late)
    }

    /// Asks the next announcer of a missing broadcast, or gives it up.
    fn ask(&mut self, cx: &Cx<'_>, id: ShortId, out: &mut Outbox<Out>) {
        let Some(missing) = self.missing.get_mut(&id) else { return };
        while let Some(&Announcer { from, .. }) = missing.announcers.get(missing.asked) {
            missing.asked = missing.asked.saturating_add(1);
            if let Some(peer) = self.peers.get(&from) {
                let answer = peer.rtt.unwrap_or_default();
                let wait = self.config.graft_next.max(share(answer, 6, 5));
                self.timers.arm(Timer::Missing(id), cx.now + wait);
                return self.graft(from, Some(id), out);
            }
        }
        // Comparing heights finds it if it exists.
        for Announcer { from, .. } in self.missing.remove(&id).unwrap_or_default().announcers {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.broke_word(cx.now);
            }
        }
    }

    fn announce(&mut self, out: &mut Outbox<Out>) {
        let mut batches = Vec::new();
        for (&to, peer) in &mut self.peers {
            let mut list = core::mem::take(&mut peer.announce);
            // Who announced it meanwhile knows.
            list.retain(|h| self.cache.get(&h.id).is_some_and(|r| !r.is_held_by(to)));
            batches.extend(list.chunks(MAX_HAVE).map(|part| (to, Message::Have(part.to_vec()))));
        }
        for (to, message) in batches {
            self.control(to, &message, out);
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
            Fact::LinkUp { peer, .. } => {
                self.zone.linked.insert(*peer);
                self.meet(*peer, cx.now);
            }
            Fact::LinkDown { peer, .. } => {
                self.zone.linked.remove(peer);
                self.peers.remove(peer);
            }
            Fact::NeighbourUp(peer) => self.neighbour(cx.now, *peer, out),
            Fact::NeighbourDown(peer) => {
                self.peers.remove(peer);
                self.meet(*peer, cx.now);
            }
            Fact::RoundTrips(links) => {
                for RoundTrip { peer, rtt, .. } in links {
                    if let (Some(peer), Some(rtt)) = (self.peers.get_mut(peer), rtt) {
                        peer.rtt = Some(*rtt);
                    }
                }
            }
            Fact::Zone(members) => self.settle(members.clone(), cx.now),
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Publish { body } => {
                let id = id_of(&body);
                self.seen.insert(cx.now, &id);
                if self.zone.stands() {
                    self.instruct(cx, id, body, out);
                } else {
                    self.spread(cx, id, 0, None, &[], body, out);
                }
            }
            In::Message { from, body } => match Message::decode(&body) {
                Ok(Message::Payload { hops, body }) if !self.peers.contains_key(&from) => {
                    out.push(Out::Stranger(from));
                    // What it says may be new all the same.
                    self.payload(cx, from, hops, None, body.0, out);
                }
                Ok(Message::Payload { hops, body }) => self.payload(cx, from, hops, None, body.0, out),
                Ok(Message::Forward { hops, targets, body }) => {
                    self.payload(cx, from, hops, Some(targets), body.0, out);
                }
                Ok(Message::Have(list)) => self.have(cx, from, list, out),
                Ok(Message::Graft { id }) => self.fetched(cx, from, id, out),
                Ok(Message::Prune) if planted(Bug::PruneWithoutLazyPush) => {
                    self.peers.remove(&from);
                }
                Ok(Message::Prune) => {
                    if let Some(peer) = self.peers.get_mut(&from) {
                        peer.eager = false;
                    }
                }
                Ok(Message::Refuse { id }) => {
                    if let Some(peer) = self.peers.get_mut(&from) {
                        peer.refuse(id);
                    }
                }
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::Validated { id, genuine } => self.verdict(cx, id, genuine, out),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Missing(id) => self.ask(cx, id, out),
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

    fn footprint(&self) -> usize {
        self.peers
            .len()
            .saturating_add(self.undecided.len())
            .saturating_add(self.seen.len())
            .saturating_add(self.cache.len())
            .saturating_add(self.missing.len())
            .saturating_add(self.zone.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.broadcast = self.stats.clone();
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        if self.missing.keys().any(|id| self.cache.get(id).is_some()) {
            return Err("a broadcast is missing and in the cache");
        }
        self.cache.check()
    }
}
