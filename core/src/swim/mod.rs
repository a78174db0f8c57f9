//! Failure detection inside a zone: nodes that keep a whole roster of each other (SWIM: Das, Gupta, Motivala,
//! DSN 2002; Lifeguard: Dadgar, Phillips, Currey, DSN 2018).
//!
//! Once in a period each member probes one other, round robin in random order. Without an answer it asks
//! three helpers to probe it too; without any answer it *suspects* the member, and reports that. Updates about members
//! ride on these messages. A suspect refutes with a higher *incarnation*; one that stays silent is declared down.
//! Lifeguard's additions keep a slow node from raising false suspicions: it counts how well it does itself (*local
//! health*) and waits longer when it does badly; a suspicion lasts long while no other member confirms it; the suspect
//! is the first to get it.
//!
//! The zone forms by itself while the network is small and dissolves beyond [`Limits::zone_members`]: a roster
//! of all nodes does not scale, and beyond it links and HyParView notice failures.
//!
//! Deviations, each for a reason: messages travel over links, which repeat what is lost, so a lost datagram is
//! no missed answer; the answers to indirect probes are waited for two direct waits and not until the
//! period ends; a member whose messages arrive here is not declared down here, whatever others claim (`witness`);
//! after a sleep, a clock jump or while its own health is bad, a node drops its earlier conclusions (`freeze`).
//!
//! Each file owns one part of the state; `Swim` composes them.
//!
//! [`Limits::zone_members`]: crate::limits::Limits::zone_members

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod health;
mod interface;
mod members;
mod open_links;
mod pace;
mod probe;
mod roster;
mod statements;
mod suspicion;
mod tellers;
#[cfg(test)]
mod tests;
mod timer;
mod updates;
pub(crate) mod wire;
mod zone;

use alloc::vec::Vec;

use crate::config::{Config, Power, SwimConfig};
use crate::fact::{Fact, MemberState};
use crate::id::NodeId;
use crate::identity::Identity;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats, SwimStats};
use crate::store::Record;
use crate::time::{Instant, WallTime};
use crate::wire::Malformed;

pub(crate) use interface::{In, Out};
use members::Members;
use probe::Prober;
use timer::Timer;
use wire::{Message, Presence, Told, Update};
use zone::Zone;

pub(crate) struct Swim {
    config: SwimConfig,
    zone: Zone,
    members: Members,
    prober: Prober,
    drops: Drops,
}

impl Swim {
    fn new(config: &Config, identity: &Identity, wall: WallTime) -> Self {
        let limits = &config.limits;
        // A node of low power does what recurs when it wakes.
        let mut swim = config.swim.clone();
        if config.power == Power::Low {
            swim.period = swim.period.max(config.link.low_power_keepalive);
            swim.quiet_period = swim.quiet_period.max(swim.period);
            swim.sync_every = swim.sync_every.max(config.link.low_power_keepalive);
        }
        // Neighbours and newcomers need links too.
        let capacity = limits.zone_members.min(limits.links.saturating_sub(limits.neighbours));
        Self {
            zone: Zone::new(&swim, capacity, config.power),
            members: Members::new(&swim, capacity, identity, wall),
            prober: Prober::new(&swim),
            config: swim,
            drops: Drops::default(),
        }
    }

    /// The whole roster, those that are gone for a while included, with the incarnation.
    pub(crate) fn members(&self) -> impl Iterator<Item = (NodeId, MemberState, u64)> {
        self.members.roster.iter().map(|(id, m)| (id, m.state, m.incarnation))
    }

    /// Nothing was received or done for so long that every wait is stale: a sleep, a clock that jumped, a process
    /// that got no time. Answers may be on their way in.
    fn on_resume(&mut self, cx: &Cx<'_>) {
        if self.config.freeze {
            self.members.forget_conclusions(cx.me);
            self.prober.on_resume(&mut self.members, cx.now);
        }
    }

    /// An input was dealt with.
    fn done(&mut self, now: Instant, out: &mut Outbox<Out>) {
        self.members.keep_pace(now);
        self.members.report(self.zone.stands(), out);
    }

    /// Looks whether this node was absent: it is far too late for what was due next.
    fn check_absence(&mut self, cx: &Cx<'_>) {
        let most = self.config.period.saturating_mul(2);
        if self.members.timers.next().is_some_and(|due| cx.now.since(due) > most) {
            self.on_resume(cx);
        }
    }

    /// Takes in updates that `from` sent, of a `whole` roster or of members that changed.
    fn learn(&mut self, from: NodeId, updates: Vec<Update>, whole: bool, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let mut about = Vec::new();
        for update in updates {
            about.extend(self.members.apply(from, update, whole, cx, out));
        }
        self.members.ask(from, about, cx, out);
    }

    /// Takes in statements that `from` sent.
    fn stated(&mut self, from: NodeId, all: Vec<Told>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for told in all {
            if !self.zone.stands() {
                return;
            }
            match self.members.stated(from, told, cx, out) {
                Ok(true) => {}
                Ok(false) => self.dissolve(cx.now, out),
                Err(reason) => self.drops.count(reason),
            }
        }
    }

    fn dissolve(&mut self, now: Instant, out: &mut Outbox<Out>) {
        self.zone.dissolve(&mut self.members, now, out);
        self.forget_members(out);
    }

    fn forget_members(&mut self, out: &mut Outbox<Out>) {
        let kept = self.prober.zone_ended(&self.members);
        self.members.clear(|peer| self.prober.wants(peer), out);
        for (timer, at) in kept {
            self.members.timers.arm(timer, at);
        }
    }

    /// This node leaves the zone, for good or for a while.
    fn leave(&mut self, presence: Presence, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.zone.stands() {
            return;
        }
        let for_good = presence == Presence::Left;
        self.zone.announce_leave(presence, &mut self.members, cx, out);
        if for_good {
            self.forget_members(out);
            self.zone.gone();
        } else {
            // A node that sleeps probes no member; its conclusions are checked again when it wakes.
            self.on_resume(cx);
        }
    }

    fn resume(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.zone.stands() {
            self.on_resume(cx);
            self.zone.announce_resume(&mut self.members, cx, out);
        }
    }

    fn message(&mut self, from: NodeId, message: Message, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if let Message::Ping { seq, .. } | Message::PingReq { seq, .. } = &message
            && !self.members.links.is_new(from, *seq)
        {
            return self.drops.count(DropReason::Duplicate);
        }
        if !self.zone.stands() {
            return self.message_without_zone(from, &message, out);
        }
        let known = self.members.received(from, cx, out);
        let is_member = matches!(
            message,
            Message::Ping { .. } | Message::PingReq { .. } | Message::Sync { .. } | Message::Digest(_)
        );
        if !known && is_member && !self.members.greet(from, cx, out) {
            return self.dissolve(cx.now, out);
        }
        match message {
            Message::Ping { seq, updates } => {
                self.learn(from, updates, false, cx, out);
                let updates = self.members.piggyback(from);
                self.members.send(from, &Message::Ack { seq, updates }, out);
                self.members.stats.acks = self.members.stats.acks.saturating_add(1);
            }
            Message::Ack { seq, updates } => {
                self.learn(from, updates, false, cx, out);
                if !self.prober.acked(from, seq, &mut self.members, cx, out) {
                    self.drops.count(DropReason::Message);
                }
            }
            Message::Nack { seq, updates } => {
                self.learn(from, updates, false, cx, out);
                self.prober.nacked(from, seq, &mut self.members, cx.now);
            }
            Message::PingReq { seq, target, updates } => {
                self.learn(from, updates, false, cx, out);
                self.prober.relay(from, (seq, target), &mut self.members, cx, out);
            }
            Message::Sync { ask, roster } => self.synced(from, ask, roster, cx, out),
            Message::Digest(digest) => {
                self.zone.accepted_by(from);
                if !self.zone.compared(from, digest, &mut self.members, cx, out) {
                    self.drops.count(DropReason::Rate);
                }
            }
            Message::Ask(about) => {
                if !self.members.answer(from, &about, cx, out) {
                    self.drops.count(DropReason::Rate);
                }
            }
            Message::Statements(all) => self.stated(from, all, cx, out),
            Message::Dissolve => {
                if self.zone.declined_by(from, &mut self.members, cx, out) {
                    self.dissolve(cx.now, out);
                }
            }
        }
    }

    fn synced(&mut self, from: NodeId, ask: bool, roster: Vec<Update>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.zone.accepted_by(from);
        let before = self.members.incarnation();
        self.learn(from, roster, true, cx, out);
        if self.zone.stands() && self.members.incarnation() != before {
            // It holds this node for gone, and no probe brings it the refutation.
            let own = self.members.own_statement();
            self.members.send(from, &own, out);
        }
        if ask && self.zone.stands() && !self.zone.answer_sync(from, &mut self.members, cx, out) {
            self.drops.count(DropReason::Rate);
        }
    }

    fn message_without_zone(&mut self, from: NodeId, message: &Message, out: &mut Outbox<Out>) {
        match message {
            Message::Ping { seq, .. } => {
                self.members.send(from, &Message::Ack { seq: *seq, updates: Vec::new() }, out);
                self.members.send(from, &Message::Dissolve, out);
            }
            Message::Sync { ask: true, .. } | Message::PingReq { .. } | Message::Digest(_) => {
                self.members.send(from, &Message::Dissolve, out);
            }
            Message::Ack { seq, .. } => self.prober.acked_without_zone(from, *seq, &mut self.members, out),
            Message::Nack { .. }
            | Message::Sync { .. }
            | Message::Dissolve
            | Message::Ask(_)
            | Message::Statements(_) => {}
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern others")]
    fn happened(&mut self, fact: &Fact, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let members = &mut self.members;
        match *fact {
            Fact::LinkUp { peer, ref record, addr } => {
                members.link_up(peer, record.clone(), addr, cx.me, out);
                self.zone.link_up(peer, members, cx, out);
                self.prober.link_up(peer, members, cx, out);
            }
            Fact::RecordRenewed { peer, ref record } => members.renewed(peer, record),
            Fact::LinkDown { peer, .. } => {
                self.zone.link_down(peer);
                members.link_down(peer);
            }
            Fact::LinkSuspected(peer) if self.config.link_evidence && members.is_present(peer) => {
                members.roster.probe_soon(peer);
            }
            Fact::AddressChanged { peer, addr } => members.moved(peer, addr),
            Fact::NeighbourUp(peer) => self.zone.neighbour_up(peer, members, cx, out),
            Fact::NeighbourDown(peer) => members.links.neighbour_down(peer),
            Fact::Leaving => self.leave(Presence::Left, cx, out),
            // Away, not down.
            Fact::Suspended => self.leave(Presence::Away, cx, out),
            Fact::Resumed => self.resume(cx, out),
            _ => {}
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
        cx: &mut Cx<'_>,
        _out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        Ok(Self::new(setup.config, setup.identity, cx.wall))
    }

    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        self.check_absence(cx);
        self.happened(fact, cx, out);
        self.done(cx.now, out);
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        self.check_absence(cx);
        match input {
            In::Message { from, body } => match Message::decode(&body) {
                Ok(message) if self.members.links.contains(from) => {
                    self.members.tellers.received(from, body.len(), cx.now);
                    self.message(from, message, cx, out);
                }
                Ok(_) => self.drops.count(DropReason::UnknownSession),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::Estimate(nodes) => {
                if self.zone.estimated(nodes, &mut self.members, cx, out) {
                    self.dissolve(cx.now, out);
                }
            }
            In::Probe(peer) => self.prober.requested(peer, &mut self.members, cx, out),
        }
        self.done(cx.now, out);
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.check_absence(cx);
        let members = &mut self.members;
        // A period that is due by that begins now.
        members.keep_pace(cx.now);
        while let Some(timer) = members.timers.pop_due(cx.now) {
            match timer {
                Timer::Period => self.prober.period(members, cx, out),
                Timer::Sync => self.zone.sync_with_random(members, cx, out),
                Timer::Direct(seq) => self.prober.probe_indirectly(seq, members, cx, out),
                Timer::End(seq) => self.prober.unanswered(seq, members, cx, out),
                Timer::Relay(seq) => self.prober.relay_due(seq, members, cx, out),
                Timer::Suspicion(peer) => members.suspicion_expired(peer, cx, out),
                Timer::Forget => members.forget_gone(cx.now),
            }
            members.keep_pace(cx.now);
        }
        self.done(cx.now, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.members.timers.next()
    }

    fn pressing_deadline(&self) -> Option<Instant> {
        self.members.timers.next_of(|timer| match timer {
            Timer::Period | Timer::Sync | Timer::Forget => false,
            Timer::Direct(_) | Timer::End(_) | Timer::Relay(_) | Timer::Suspicion(_) => true,
        })
    }

    fn footprint(&self) -> usize {
        self.members.footprint().saturating_add(self.prober.footprint()).saturating_add(self.zone.footprint())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.swim = SwimStats { health: self.members.health(), ..self.members.stats.clone() };
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.members.check(self.zone.stands())?;
        self.prober.check()
    }
}
