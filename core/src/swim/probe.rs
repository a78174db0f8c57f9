//! Asking whether a member is there: directly, then through others (SWIM §3.1), with word from those who
//! asked in vain (Lifeguard §III.A, "LHA-Probe").

use alloc::vec::Vec;

use super::*;
use crate::time::{Longest, share};

/// Probes under way: one a period, and those that links or people asked for.
const MAX_PROBES: usize = 64;
/// Requests of others under way, 100 bytes each. Beyond it they are told at once that it did not work.
const MAX_RELAYS: usize = 64;
/// A node that is no member is waited for as long as a handshake may take: 10 s.
const STRANGER_WAIT: Duration = Duration::from_secs(10);

/// A question under way.
pub(super) struct Probe {
    pub target: NodeId,
    sent: Instant,
    /// Whom to believe an answer: those asked to ask.
    through: Vec<NodeId>,
    /// How many of those said that they asked in vain.
    nacks: usize,
    /// Somebody wants to know what comes of it.
    pub asked: bool,
    /// The target has not been asked yet, for want of a link.
    waits: bool,
}

/// A question asked for another.
pub(super) struct Relay {
    requester: NodeId,
    seq: u32,
    target: NodeId,
    /// It was told that there is no answer yet.
    told: bool,
}

/// How long answers took lately.
#[derive(Default)]
pub(super) struct Waits(Longest);

impl Waits {
    /// `max(least, 2 × p99 of round trips)` (docs/design/failures.md §2), and at most a third of a period, so
    /// that the requests have their time too.
    fn direct(&self, config: &SwimConfig) -> Duration {
        let most = share(config.period, 1, 3);
        self.0.twice().max(config.direct_timeout).min(most.max(config.direct_timeout))
    }
}

impl Swim {
    fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    /// A period begins: one member is asked.
    pub(super) fn period(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.stands() || self.roster.there() == 0 {
            return;
        }
        self.timers.arm(Timer::Period, cx.now + self.scaled(self.config.period));
        self.tend_links(cx, out);
        let mut target = None;
        while let Some(peer) = self.urgent.pop_front() {
            if self.may_ask(peer) {
                target = Some(peer);
                break;
            }
        }
        let under_way: BTreeSet<NodeId> = self.probes.values().map(|p| p.target).collect();
        let target =
            target.or_else(|| self.roster.next(cx.rng, |id, m| m.is_there() && m.proven && !under_way.contains(&id)));
        if let Some(target) = target {
            self.probe(target, false, cx, out);
        }
    }

    fn may_ask(&self, peer: NodeId) -> bool {
        self.roster.get(peer).is_some_and(|m| m.is_there() && m.proven) && !self.is_asked(peer)
    }

    fn is_asked(&self, peer: NodeId) -> bool {
        self.probes.values().any(|p| p.target == peer)
    }

    fn probe(&mut self, target: NodeId, asked: bool, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.probes.len() >= MAX_PROBES {
            return;
        }
        let seq = self.next_seq();
        let linked = self.linked.contains_key(&target);
        let member = self.roster.get(target).is_some_and(Member::is_there);
        let probe = Probe { target, sent: cx.now, through: Vec::new(), nacks: 0, asked, waits: !linked && !member };
        let waits = probe.waits;
        self.probes.insert(seq, probe);
        let direct = self.scaled(self.waits.direct(&self.config));
        // The way through another is two ways: two waits more.
        let end = direct.saturating_mul(3);
        self.timers.arm(Timer::End(seq), cx.now + if waits { STRANGER_WAIT } else { end });
        if linked {
            self.ping(target, seq, cx, out);
            self.timers.arm(Timer::Direct(seq), cx.now + direct);
        } else if member {
            self.ask_others(seq, cx, out);
        }
    }

    fn ping(&mut self, to: NodeId, seq: u32, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let updates = if self.stands() { self.news(to, cx) } else { Vec::new() };
        self.send(to, &Message::Ping { seq, updates }, out);
        self.stats.pings = self.stats.pings.saturating_add(1);
    }

    /// The application wants to know of a node: it is asked at once, whatever its turn is.
    pub(super) fn probe_asked(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if let Some(probe) = self.probes.values_mut().find(|p| p.target == peer) {
            probe.asked = true;
            return;
        }
        let member = self.roster.get(peer).is_some_and(Member::is_there);
        if !self.linked.contains_key(&peer) && !member && self.asked.len() < MAX_PROBES && self.asked.insert(peer) {
            out.push(Out::Want(peer));
        }
        self.probe(peer, true, cx, out);
        self.unasked(out);
    }

    /// Links that only a probe wanted are not needed when it is over.
    fn unasked(&mut self, out: &mut Outbox<Out>) {
        let over: Vec<NodeId> = self.asked.iter().copied().filter(|p| !self.is_asked(*p)).collect();
        for peer in over {
            self.asked.remove(&peer);
            // A member's link is wanted for itself.
            if self.roster.get(peer).is_none_or(|m| !m.wanted) {
                out.push(Out::Unwant(peer));
            }
        }
    }

    /// A link for a probe that waited for one.
    pub(super) fn ask_at_last(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let waiting = self.probes.iter_mut().find(|(_, p)| p.waits && p.target == peer);
        let Some((&seq, probe)) = waiting else { return };
        probe.waits = false;
        probe.sent = cx.now;
        self.ping(peer, seq, cx, out);
    }

    /// No direct answer in time: others are asked to ask (SWIM's ping-req).
    pub(super) fn ask_others(&mut self, seq: u32, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(target) = self.probes.get(&seq).map(|p| p.target) else { return };
        let well =
            |id: NodeId, m: &Member| id != target && m.state == MemberState::Alive && self.linked.contains_key(&id);
        let mut all: Vec<NodeId> = self.roster.iter().filter(|(id, m)| well(*id, m)).map(|(id, _)| id).collect();
        let mut through = Vec::new();
        while through.len() < self.config.indirect && !all.is_empty() {
            through.push(all.swap_remove(cx.rng.below(all.len())));
        }
        for &to in &through {
            let updates = self.news(to, cx);
            self.send(to, &Message::Request { seq, target, updates }, out);
            self.stats.requests = self.stats.requests.saturating_add(1);
        }
        if let Some(probe) = self.probes.get_mut(&seq) {
            probe.through = through;
        }
    }

    /// Somebody else's question: `target` is asked for it.
    pub(super) fn ask_for(
        &mut self,
        requester: NodeId,
        theirs: u32,
        target: NodeId,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if target == cx.me {
            let updates = self.news(requester, cx);
            return self.send(requester, &Message::Ack { seq: theirs, updates }, out);
        }
        if target == requester || self.relays.len() >= MAX_RELAYS || !self.linked.contains_key(&target) {
            return self.nack(requester, theirs, cx, out);
        }
        let seq = self.next_seq();
        self.relays.insert(seq, Relay { requester, seq: theirs, target, told: false });
        // In time for the requester to hear of it: four fifths of the usual wait (memberlist).
        let wait = share(self.config.direct_timeout, 4, 5);
        self.timers.arm(Timer::Relay(seq), cx.now + wait);
        self.ping(target, seq, cx, out);
    }

    fn nack(&mut self, to: NodeId, seq: u32, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        if self.config.nack {
            let updates = self.news(to, cx);
            self.send(to, &Message::Nack { seq, updates }, out);
            self.stats.nacks = self.stats.nacks.saturating_add(1);
        }
    }

    pub(super) fn relay_due(&mut self, seq: u32, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(relay) = self.relays.get_mut(&seq).filter(|r| !r.told) else {
            self.relays.remove(&seq);
            return;
        };
        relay.told = true;
        let (requester, theirs) = (relay.requester, relay.seq);
        // A late answer is passed on all the same.
        self.timers.arm(Timer::Relay(seq), cx.now + self.config.period);
        self.nack(requester, theirs, cx, out);
    }

    pub(super) fn answered(&mut self, from: NodeId, seq: u32, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.relays.get(&seq).is_some_and(|r| r.target == from) {
            self.timers.cancel(Timer::Relay(seq));
            if let Some(relay) = self.relays.remove(&seq) {
                let updates = self.news(relay.requester, cx);
                self.send(relay.requester, &Message::Ack { seq: relay.seq, updates }, out);
            }
            return;
        }
        let Some(probe) = self.probes.get(&seq) else { return };
        if probe.target != from && !probe.through.contains(&from) {
            return self.drops.count(DropReason::Message);
        }
        if probe.target == from {
            self.waits.0.sample(cx.now.since(probe.sent));
        }
        let (target, asked) = (probe.target, probe.asked);
        self.over(seq, out);
        self.fare(0, 1);
        if asked {
            out.push(Out::Fact(Fact::MemberChanged { peer: target, state: MemberState::Alive }));
        }
    }

    /// An answer to a probe of a node that keeps no zone itself.
    pub(super) fn answered_without_zone(&mut self, from: NodeId, seq: u32, out: &mut Outbox<Out>) {
        if self.probes.get(&seq).is_some_and(|p| p.target == from && p.asked) {
            self.over(seq, out);
            out.push(Out::Fact(Fact::MemberChanged { peer: from, state: MemberState::Alive }));
        }
    }

    fn over(&mut self, seq: u32, out: &mut Outbox<Out>) {
        self.probes.remove(&seq);
        self.timers.cancel(Timer::Direct(seq));
        self.timers.cancel(Timer::End(seq));
        self.unasked(out);
    }

    pub(super) fn not_reached(&mut self, from: NodeId, seq: u32, now: Instant) {
        let direct = self.scaled(self.waits.direct(&self.config));
        let Some(probe) = self.probes.get_mut(&seq) else { return };
        let Some(at) = probe.through.iter().position(|t| *t == from) else { return };
        // Each speaks once.
        probe.through.swap_remove(at);
        probe.nacks = probe.nacks.saturating_add(1);
        if probe.through.is_empty() {
            // All asked in vain, so that only word that is late can come: half a wait for it, not a whole one.
            let soon = probe.sent + share(direct, 5, 2);
            let end = Timer::End(seq);
            if self.timers.get(end).is_some_and(|at| at > soon) {
                self.timers.arm(end, soon.max(now));
            }
        }
    }

    /// No answer by any way.
    pub(super) fn unanswered(&mut self, seq: u32, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(probe) = self.probes.remove(&seq) else { return };
        self.timers.cancel(Timer::Direct(seq));
        self.unasked(out);
        let (state, incarnation) = match self.roster.get(probe.target) {
            Some(m) => (m.state, m.incarnation),
            None => {
                if probe.asked {
                    out.push(Out::Fact(Fact::MemberChanged { peer: probe.target, state: MemberState::Suspect }));
                }
                return;
            }
        };
        // A known suspect that is silent says nothing of this node's own health.
        if state == MemberState::Alive {
            let missing = probe.through.len();
            let asked = missing.saturating_add(probe.nacks);
            self.fare(if self.config.nack && asked > 0 { missing } else { 1 }, 0);
        } else if probe.asked {
            out.push(Out::Fact(Fact::MemberChanged { peer: probe.target, state }));
        }
        let me = cx.me;
        self.suspect(probe.target, incarnation, me, cx, out);
    }
}
