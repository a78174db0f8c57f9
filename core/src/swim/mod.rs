//! Failure detection inside a zone: nodes that keep a whole roster of each other (SWIM: Das, Gupta, Motivala,
//! DSN 2002; Lifeguard: Dadgar, Phillips, Currey, DSN 2018).
//!
//! Once in a period each member asks one other, round robin in random order. Without an answer it asks
//! three more to ask for it; without any it *suspects* the member, and says so. News of members ride on
//! these messages. A suspect that hears of it says with a higher *incarnation* that it lives; one that stays
//! silent is declared down. Lifeguard's additions keep a slow node from speaking ill of others: it counts how
//! well it does itself (`health`) and waits longer when it does badly; a suspicion lasts long while nobody
//! confirms it; a suspect is told first.
//!
//! The zone forms by itself while the network is small and dissolves beyond [`Limits::zone_members`]: a roster
//! of everybody does not scale, and beyond it links and HyParView notice failures.
//!
//! Deviations, each for a reason: messages travel over links, which repeat what is lost, so a lost datagram is
//! no missed answer; the answers to requests are waited for two direct waits and not until the
//! period ends; a member that speaks to this node is not declared down by it, whatever others say (`witness`);
//! after a sleep, a clock jump or while its own health is bad, a node takes nothing for true that it concluded
//! before (`freeze`).
//!
//! [`Limits::zone_members`]: crate::limits::Limits::zone_members

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod probe;
mod roster;
mod rumours;
mod suspicion;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
mod zone;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::DeadlineQueue;
use crate::config::{Config, SwimConfig};
use crate::fact::{Fact, MemberState};
use crate::id::NodeId;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats, SwimStats};
use crate::store::Record;
use crate::time::{Duration, Instant};
use crate::wire::Malformed;

use probe::{Probe, Relay, Waits};
use roster::{Member, Roster};
use rumours::{Rumours, retransmits};
use suspicion::Suspicion;
use wire::{Claim, Message, Update};

/// Questions of one node that are remembered so as not to be answered twice: it asks one a period, and at most
/// three for others in the same time.
const SEEN: usize = 8;
/// Members that are to be asked before their turn; what is beyond it waits for its turn.
const MAX_URGENT: usize = 64;

#[derive(Debug)]
pub(crate) enum In {
    Message {
        from: NodeId,
        body: Vec<u8>,
    },
    /// How many nodes the network has, about.
    Estimate(usize),
    /// Ask this node at once and say what came of it, member or not.
    Probe(NodeId),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Out {
    Fact(Fact),
    Send {
        to: NodeId,
        body: Vec<u8>,
    },
    /// Where a member may be found.
    AddAddresses {
        peer: NodeId,
        addrs: Vec<SocketAddr>,
    },
    /// Repeated for a member without a link: each one is a new attempt.
    Want(NodeId),
    Unwant(NodeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The next period begins.
    Period,
    /// Rosters are exchanged with somebody.
    Sync,
    /// The direct answer is overdue.
    Direct(u32),
    /// Every answer is overdue.
    End(u32),
    /// What was asked for another has no answer.
    Relay(u32),
    /// A suspect had its time.
    Suspicion(NodeId),
    /// Those gone for long are forgotten.
    Forget,
}

/// Why there is or is no zone here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zone {
    Stands,
    /// There are too many for one since then.
    Dissolved(Instant),
    /// This node left, or sleeps.
    Gone,
    /// The configuration wants none.
    Off,
}

/// A linked node.
struct Linked {
    addr: SocketAddr,
    /// The numbers of its last questions. A link delivers at least once, and what waited for a node that had no
    /// time comes many times.
    seen: heapless::Deque<u32, SEEN>,
}

impl Linked {
    /// Whether the question was not asked before.
    fn is_new(&mut self, seq: u32) -> bool {
        if self.seen.iter().any(|s| *s == seq) {
            return false;
        }
        if self.seen.is_full() {
            self.seen.pop_front();
        }
        // There is room: one was removed if it was full.
        let _ = self.seen.push_back(seq);
        true
    }
}

pub(crate) struct Swim {
    config: SwimConfig,
    /// Members at most, this node included.
    capacity: usize,
    zone: Zone,
    incarnation: u32,
    linked: BTreeMap<NodeId, Linked>,
    neighbours: BTreeSet<NodeId>,
    /// Linked nodes that keep no zone.
    declined: BTreeSet<NodeId>,
    roster: Roster,
    rumours: Rumours,
    urgent: VecDeque<NodeId>,
    probes: BTreeMap<u32, Probe>,
    relays: BTreeMap<u32, Relay>,
    seq: u32,
    waits: Waits,
    /// Lifeguard's local health multiplier: 0 is well.
    health: u8,
    synced: BTreeMap<NodeId, Instant>,
    /// Links wanted for probes of nodes that are no members.
    asked: BTreeSet<NodeId>,
    timers: DeadlineQueue<Timer>,
    /// The members changed since they were told.
    changed: bool,
    told: Option<Vec<NodeId>>,
    stats: SwimStats,
    drops: Drops,
}

impl Swim {
    fn new(config: &Config) -> Self {
        let limits = &config.limits;
        // Neighbours and newcomers need links too.
        let capacity = limits.zone_members.min(limits.links.saturating_sub(limits.neighbours));
        Self {
            config: config.swim.clone(),
            capacity,
            zone: if config.swim.zone { Zone::Stands } else { Zone::Off },
            incarnation: 0,
            linked: BTreeMap::new(),
            neighbours: BTreeSet::new(),
            declined: BTreeSet::new(),
            roster: Roster::default(),
            rumours: Rumours::default(),
            urgent: VecDeque::new(),
            probes: BTreeMap::new(),
            relays: BTreeMap::new(),
            seq: 0,
            waits: Waits::default(),
            health: 0,
            synced: BTreeMap::new(),
            asked: BTreeSet::new(),
            timers: DeadlineQueue::new(),
            changed: false,
            told: None,
            stats: SwimStats::default(),
            drops: Drops::default(),
        }
    }

    /// Everybody in the roster, those that are gone for a while included, with the incarnation.
    pub(crate) fn members(&self) -> impl Iterator<Item = (NodeId, MemberState, u32)> {
        self.roster.iter().map(|(id, m)| (id, m.state, m.incarnation))
    }

    /// Members, this node included.
    fn n(&self) -> usize {
        self.roster.there().saturating_add(1)
    }

    fn stands(&self) -> bool {
        self.zone == Zone::Stands
    }

    fn retransmits(&self) -> u32 {
        retransmits(self.config.retransmit, self.n())
    }

    fn send(&mut self, to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        self.stats.messages_out = self.stats.messages_out.saturating_add(1);
        out.push(Out::Send { to, body: message.encode() });
    }

    /// The news that ride on a message to `to`. Whoever is held for anything but alive hears that first, so
    /// that it can answer (Lifeguard's buddy system).
    fn news(&mut self, to: NodeId, cx: &Cx<'_>) -> Vec<Update> {
        let own = match self.roster.get(to) {
            Some(m) if m.state == MemberState::Alive => None,
            // Without the buddy system a suspect hears of it by chance. Who is thought gone must hear it in any
            // case: a node that restarted cannot know which incarnation others remember.
            Some(m) if m.state == MemberState::Suspect && !self.config.buddy => None,
            Some(m) => Some(m.update(to, cx.me)),
            None => None,
        };
        let limit = self.retransmits();
        let mut all: Vec<Update> = own.into_iter().collect();
        let but = (!all.is_empty()).then_some(to);
        all.extend(self.rumours.take(self.config.piggyback, limit, but));
        all
    }

    fn ask_soon(&mut self, peer: NodeId) {
        if !self.urgent.contains(&peer) && self.urgent.len() < MAX_URGENT {
            self.urgent.push_back(peer);
        }
    }

    /// A probe went well or not: Lifeguard's local health multiplier moves.
    fn fare(&mut self, worse: usize, better: usize) {
        let most = usize::from(self.config.health_max);
        let moved = usize::from(self.health).saturating_add(worse).saturating_sub(better).min(most);
        self.health = u8::try_from(moved).unwrap_or(u8::MAX);
        if worse > 0 && self.is_unwell() {
            self.freeze_all();
        }
    }

    /// So unwell that its own conclusions count for nothing.
    fn is_unwell(&self) -> bool {
        self.config.freeze && self.config.health_max > 0 && self.health >= self.config.freeze_health
    }

    fn scaled(&self, d: Duration) -> Duration {
        d.saturating_mul(u32::from(self.health).saturating_add(1))
    }

    /// What was concluded before counts for nothing: every suspect is asked again before anything follows.
    fn freeze_all(&mut self) {
        let mut again = Vec::new();
        for (id, member) in self.roster.iter_mut() {
            if let Some(suspicion) = member.suspicion.as_mut().filter(|s| !s.frozen) {
                suspicion.frozen = true;
                again.push(id);
            }
        }
        for id in again {
            self.timers.cancel(Timer::Suspicion(id));
            self.ask_soon(id);
        }
    }

    /// Nothing was heard or done for so long that every wait is stale: a sleep, a clock that jumped, a process
    /// that had no time. Answers may be on their way in.
    fn woke(&mut self, cx: &mut Cx<'_>) {
        if !self.config.freeze {
            return;
        }
        self.freeze_all();
        for (seq, probe) in core::mem::take(&mut self.probes) {
            self.timers.cancel(Timer::Direct(seq));
            self.timers.cancel(Timer::End(seq));
            if probe.asked {
                self.probes.insert(seq, probe);
                self.timers.arm(Timer::End(seq), cx.now + self.scaled(self.config.period));
            } else {
                self.ask_soon(probe.target);
            }
        }
        if self.timers.get(Timer::Period).is_some() {
            self.timers.arm(Timer::Period, cx.now + self.config.period);
        }
    }

    /// Whether this node was absent: it is far too late for what was due next.
    fn overslept(&self, now: Instant) -> bool {
        let most = self.config.period.saturating_mul(2);
        self.timers.next().is_some_and(|due| now.since(due) > most)
    }

    fn to(&mut self, peer: NodeId, state: MemberState, now: Instant, out: &mut Outbox<Out>) {
        let Some(member) = self.roster.get_mut(peer).filter(|m| m.state != state) else { return };
        let (was_there, wanted) = (member.is_there(), member.wanted);
        member.state = state;
        member.since = now;
        if state != MemberState::Suspect {
            member.suspicion = None;
        }
        let there = member.is_there();
        if was_there && !there {
            member.wanted = false;
            self.changed = true;
            if wanted {
                out.push(Out::Unwant(peer));
            }
            self.urgent.retain(|u| *u != peer);
            if self.timers.get(Timer::Forget).is_none() {
                self.timers.arm(Timer::Forget, now + self.config.forget_after);
            }
        } else if there && !was_there {
            member.dial_at = now;
            member.dials = 0;
            self.changed = true;
        }
        if state != MemberState::Suspect {
            self.timers.cancel(Timer::Suspicion(peer));
        }
        out.push(Out::Fact(Fact::MemberChanged { peer, state }));
    }

    /// `by` had no answer from `peer`.
    fn suspect(&mut self, peer: NodeId, incarnation: u32, by: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let (n, unwell) = (self.n(), self.is_unwell());
        let Some(member) = self.roster.get_mut(peer) else { return };
        if incarnation < member.incarnation || !member.is_there() {
            return;
        }
        let newer = incarnation > member.incarnation;
        member.incarnation = incarnation;
        let update = Update { member: peer, incarnation, claim: Claim::Suspect { by } };
        match member.suspicion.as_mut().filter(|_| !newer) {
            Some(suspicion) if by == cx.me && suspicion.frozen => {
                // Asked again, and again no answer: it begins anew.
                *suspicion = Suspicion::new(&self.config, n, by, cx.now, unwell);
                self.rumours.tell(update);
            }
            Some(suspicion) => {
                if suspicion.confirm(by) {
                    self.rumours.tell(update);
                }
            }
            None => {
                member.suspicion = Some(Suspicion::new(&self.config, n, by, cx.now, unwell));
                self.rumours.tell(update);
                self.stats.suspected = self.stats.suspected.saturating_add(1);
                self.to(peer, MemberState::Suspect, cx.now, out);
            }
        }
        self.time_suspect(peer, cx.now);
    }

    /// Sets the time that a suspect has.
    fn time_suspect(&mut self, peer: NodeId, now: Instant) {
        let n = self.n();
        match self.roster.get(peer).and_then(|m| m.suspicion.as_ref()) {
            Some(s) if !s.frozen => self.timers.arm(Timer::Suspicion(peer), s.ends(&self.config, n).max(now)),
            Some(_) => {
                self.timers.cancel(Timer::Suspicion(peer));
                self.ask_soon(peer);
            }
            None => self.timers.cancel(Timer::Suspicion(peer)),
        }
    }

    /// A suspect had its time and did not speak up.
    fn judge(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let n = self.n();
        let Some(member) = self.roster.get(peer).filter(|m| m.suspicion.is_some()) else { return };
        let (silence, incarnation) = (self.silence(member, cx.now), member.incarnation);
        if self.config.witness && member.heard.is_some_and(|at| at >= silence) {
            // It lives: others may not reach it, or it has not heard what is said of it.
            if let Some(member) = self.roster.get_mut(peer) {
                member.suspicion = Some(Suspicion::new(&self.config, n, cx.me, cx.now, false));
            }
            self.ask_soon(peer);
            return self.time_suspect(peer, cx.now);
        }
        self.stats.declared = self.stats.declared.saturating_add(1);
        self.bury(peer, incarnation, cx.me, cx.now, out);
    }

    /// Since when a member must have been silent to be declared down here: as long as a suspect has at least,
    /// and all the time that it is suspected.
    fn silence(&self, member: &Member, now: Instant) -> Instant {
        let least = now.before(self.config.period.saturating_mul(self.config.alpha));
        member.suspicion.as_ref().map_or(least, |s| s.since.min(least))
    }

    fn bury(&mut self, peer: NodeId, incarnation: u32, by: NodeId, now: Instant, out: &mut Outbox<Out>) {
        if let Some(member) = self.roster.get_mut(peer) {
            member.incarnation = incarnation;
        }
        self.to(peer, MemberState::Down, now, out);
        self.rumours.tell(Update { member: peer, incarnation, claim: Claim::Down { by } });
    }

    /// Takes in what is said of members. In `whole` rosters a death may be old, so it only makes a suspect
    /// (memberlist's merge).
    fn learn(&mut self, from: NodeId, updates: Vec<Update>, whole: bool, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for Update { member: peer, incarnation, claim } in updates {
            if !self.stands() {
                return;
            }
            if peer == cx.me {
                self.about_me(incarnation, &claim, cx);
                continue;
            }
            match claim {
                Claim::Alive { addrs } => self.alive(from, peer, incarnation, addrs, cx, out),
                Claim::Suspect { by } => self.suspect(peer, incarnation, by, cx, out),
                Claim::Down { by } => {
                    let Some(member) = self.roster.get(peer).filter(|m| m.is_there()) else { continue };
                    if incarnation < member.incarnation {
                        continue;
                    }
                    let spoke =
                        self.config.witness && member.heard.is_some_and(|at| at >= self.silence(member, cx.now));
                    if whole || spoke || peer == from {
                        self.suspect(peer, incarnation, by, cx, out);
                        self.ask_soon(peer);
                    } else {
                        self.bury(peer, incarnation, by, cx.now, out);
                    }
                }
                Claim::Left | Claim::Away => {
                    let state = if claim == Claim::Left { MemberState::Left } else { MemberState::Away };
                    let Some(member) = self.roster.get_mut(peer) else { continue };
                    if incarnation < member.incarnation || !member.is_there() {
                        continue;
                    }
                    member.incarnation = incarnation;
                    self.to(peer, state, cx.now, out);
                    self.rumours.tell(Update { member: peer, incarnation, claim });
                }
            }
        }
    }

    /// Others say this node is not well, or remember an earlier life of it: it speaks up with a higher
    /// incarnation than they know. Nothing is stored: what others know of it is where a restarted node goes on.
    fn about_me(&mut self, incarnation: u32, claim: &Claim, cx: &Cx<'_>) {
        if incarnation < self.incarnation || matches!(claim, Claim::Alive { .. }) && incarnation == self.incarnation {
            return;
        }
        self.incarnation = incarnation.saturating_add(1);
        if !matches!(claim, Claim::Alive { .. }) {
            self.stats.refuted = self.stats.refuted.saturating_add(1);
            self.fare(1, 0);
        }
        self.rumours.tell(self.myself(cx));
    }

    fn myself(&self, cx: &Cx<'_>) -> Update {
        // Where it is others see for themselves.
        Update { member: cx.me, incarnation: self.incarnation, claim: Claim::Alive { addrs: Vec::new() } }
    }

    /// Tells the members if they changed.
    fn settle(&mut self, out: &mut Outbox<Out>) {
        if !core::mem::take(&mut self.changed) {
            return;
        }
        let members: Vec<NodeId> = self.roster.iter().filter(|(_, m)| m.is_there()).map(|(id, _)| id).collect();
        let members = self.stands().then_some(members);
        if members != self.told {
            self.told.clone_from(&members);
            out.push(Out::Fact(Fact::Zone(members)));
        }
    }

    fn message(&mut self, from: NodeId, message: Message, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if let Message::Ping { seq, .. } | Message::Request { seq, .. } = &message
            && self.linked.get_mut(&from).is_none_or(|link| !link.is_new(*seq))
        {
            return self.drops.count(DropReason::Duplicate);
        }
        if !self.stands() {
            return self.message_without_zone(from, &message, out);
        }
        if let Some(member) = self.roster.get_mut(from) {
            member.heard = Some(cx.now);
            member.proven = true;
        } else if !matches!(message, Message::Dissolve | Message::Ack { .. } | Message::Nack { .. }) {
            // Who speaks is there, whatever its incarnation is.
            self.alive(from, from, 0, Vec::new(), cx, out);
        }
        match message {
            Message::Ping { seq, updates } => {
                self.learn(from, updates, false, cx, out);
                let updates = self.news(from, cx);
                self.send(from, &Message::Ack { seq, updates }, out);
                self.stats.acks = self.stats.acks.saturating_add(1);
            }
            Message::Ack { seq, updates } => {
                self.learn(from, updates, false, cx, out);
                self.answered(from, seq, cx, out);
            }
            Message::Nack { seq, updates } => {
                self.learn(from, updates, false, cx, out);
                self.not_reached(from, seq, cx.now);
            }
            Message::Request { seq, target, updates } => {
                self.learn(from, updates, false, cx, out);
                self.ask_for(from, seq, target, cx, out);
            }
            Message::Sync { ask, roster } => self.synced(from, ask, roster, cx, out),
            Message::Dissolve => self.declined_by(from, cx, out),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern others")]
    fn happened(&mut self, fact: &Fact, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        match *fact {
            Fact::LinkUp { peer, addr, .. } => self.link_up(peer, addr, cx, out),
            Fact::LinkDown { peer, .. } => self.link_down(peer),
            Fact::LinkSuspected(peer)
                if self.config.link_evidence && self.roster.get(peer).is_some_and(Member::is_there) =>
            {
                self.ask_soon(peer);
            }
            Fact::AddressChanged { peer, addr } => {
                if let Some(link) = self.linked.get_mut(&peer) {
                    link.addr = addr;
                    if let Some(member) = self.roster.get_mut(peer) {
                        member.at(addr);
                    }
                }
            }
            // Through neighbours a node comes to know the others.
            Fact::NeighbourUp(peer) => self.neighbour_up(peer, cx, out),
            Fact::NeighbourDown(peer) => {
                self.neighbours.remove(&peer);
            }
            Fact::Leaving => self.go(Claim::Left, cx, out),
            // Away, not down.
            Fact::Suspended => self.go(Claim::Away, cx, out),
            // What it knew is old.
            Fact::Resumed => self.resume(cx, out),
            _ => {}
        }
    }

    fn message_without_zone(&mut self, from: NodeId, message: &Message, out: &mut Outbox<Out>) {
        match message {
            Message::Ping { seq, .. } => {
                self.send(from, &Message::Ack { seq: *seq, updates: Vec::new() }, out);
                self.send(from, &Message::Dissolve, out);
            }
            Message::Sync { ask: true, .. } | Message::Request { .. } => self.send(from, &Message::Dissolve, out),
            Message::Ack { seq, .. } => self.answered_without_zone(from, *seq, out),
            Message::Nack { .. } | Message::Sync { .. } | Message::Dissolve => {}
        }
    }
}

impl Machine for Swim {
    const NAME: &'static str = "swim";
    type In = In;
    type Out = Out;

    fn open(
        setup: Setup<'_>,
        _records: Vec<Record>,
        _cx: &mut Cx<'_>,
        _out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        Ok(Self::new(setup.config))
    }

    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        if self.overslept(cx.now) {
            self.woke(cx);
        }
        self.happened(fact, cx, out);
        self.settle(out);
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        if self.overslept(cx.now) {
            self.woke(cx);
        }
        match input {
            In::Message { from, body } => match Message::decode(&body) {
                Ok(message) if self.linked.contains_key(&from) => self.message(from, message, cx, out),
                Ok(_) => self.drops.count(DropReason::UnknownSession),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::Estimate(nodes) => self.estimated(nodes, cx, out),
            In::Probe(peer) => self.probe_asked(peer, cx, out),
        }
        self.settle(out);
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.overslept(cx.now) {
            self.woke(cx);
        }
        while let Some(timer) = self.timers.pop_due(cx.now) {
            match timer {
                Timer::Period => self.period(cx, out),
                Timer::Sync => self.sync_with_somebody(cx, out),
                Timer::Direct(seq) => self.ask_others(seq, cx, out),
                Timer::End(seq) => self.unanswered(seq, cx, out),
                Timer::Relay(seq) => self.relay_due(seq, cx, out),
                Timer::Suspicion(peer) => self.judge(peer, cx, out),
                Timer::Forget => self.forget_gone(cx),
            }
        }
        self.settle(out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn footprint(&self) -> usize {
        let suspicions = self.roster.iter().filter_map(|(_, m)| m.suspicion.as_ref());
        let suspicions = suspicions.fold(0usize, |n, s| n.saturating_add(s.len()));
        [
            self.linked.len(),
            self.neighbours.len(),
            self.declined.len(),
            self.roster.len(),
            self.rumours.len(),
            self.urgent.len(),
            self.probes.len(),
            self.relays.len(),
            self.synced.len(),
            self.asked.len(),
            self.timers.len(),
            self.told.as_ref().map_or(0, Vec::len),
        ]
        .into_iter()
        .fold(suspicions, usize::saturating_add)
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.swim = SwimStats { health: self.health, ..self.stats.clone() };
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        for (_, member) in self.roster.iter() {
            if member.wanted && !member.is_there() {
                return Err("a link to a member that is gone is wanted");
            }
            if member.suspicion.is_some() != (member.state == MemberState::Suspect) {
                return Err("a suspect has no suspicion, or a member that is none has one");
            }
        }
        Ok(())
    }
}
