//! Probes: a member is asked directly, then through others (SWIM §3.1), with word from those that asked in vain
//! (Lifeguard §III.A, "LHA-Probe").

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::config::SwimConfig;
use crate::fact::{Fact, MemberState};
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::time::{Duration, Instant, Longest, share};

use super::interface::Out;
use super::members::Members;
use super::roster::Member;
use super::timer::Timer;
use super::wire::Message;

/// Probes under way: one a period, and those that links or the application asked for.
const MAX_PROBES: usize = 64;
/// Probes for other members under way, 100 bytes each. Beyond it they get a NACK at once.
const MAX_RELAYS: usize = 64;
/// A node that is no member is waited for as long as a handshake may take: 10 s.
const STRANGER_WAIT: Duration = Duration::from_secs(10);

/// A probe under way.
struct Probe {
    target: NodeId,
    sent: Instant,
    /// The helpers: members asked for an indirect probe that have not sent a NACK.
    helpers: Vec<NodeId>,
    nacks: usize,
    /// The application waits for the result.
    requested: bool,
    /// The target was not asked yet, for want of a link.
    pending_link: bool,
}

/// A probe for another member.
struct Relay {
    requester: NodeId,
    seq: u32,
    target: NodeId,
    /// It got a NACK.
    nacked: bool,
}

/// Recent round trips.
#[derive(Default)]
struct RoundTrips(Longest);

impl RoundTrips {
    /// The wait for a direct answer: `max(least, 2 × p99 of round trips)` (docs/design/failures.md §2), and at most a
    /// third of a period, so that the indirect probes have their time too.
    fn timeout(&self, config: &SwimConfig) -> Duration {
        let most = share(config.period, 1, 3);
        self.0.twice().max(config.direct_timeout).min(most.max(config.direct_timeout))
    }
}

pub(super) struct Prober {
    config: SwimConfig,
    probes: OrderedMap<u32, Probe>,
    relays: OrderedMap<u32, Relay>,
    seq: u32,
    round_trips: RoundTrips,
    /// This period's probe is one in order, whichever members are urgent.
    in_order: bool,
    /// Links wanted for probes of nodes that are no members.
    /// INVARIANT: each has a probe under way.
    wanted: OrderedSet<NodeId>,
}

impl Prober {
    pub(super) fn new(config: &SwimConfig) -> Self {
        Self {
            config: config.clone(),
            probes: OrderedMap::new(),
            relays: OrderedMap::new(),
            seq: 0,
            round_trips: RoundTrips::default(),
            in_order: false,
            wanted: OrderedSet::new(),
        }
    }

    fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    fn direct_timeout(&self, members: &Members) -> Duration {
        members.scaled(self.round_trips.timeout(&self.config))
    }

    /// A period begins: one member is probed.
    pub(super) fn period(&mut self, members: &mut Members, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if members.roster.present() == 0 {
            return;
        }
        let period = members.begin_period(cx.now);
        members.connect(cx, out);
        // A node that is unwell gets well by answers, and those that it doubts may have none: every second turn is in order.
        self.in_order = members.is_unwell() && !self.in_order;
        // The link judges one of low power by its silence.
        let speaks_first = |id: NodeId, m: &Member| m.is_low_power() && members.links.contains(id);
        let may_probe = |id: NodeId, m: &Member| {
            m.is_present()
                && m.verified
                && !self.is_probed(id)
                && (m.state == MemberState::Suspect || !speaks_first(id, m))
        };
        // A message of its own is as good as an answer. Of two nodes alone one probes.
        let lately = cx.now.before(share(period, 1, 2));
        let is_due = |id: NodeId, m: &Member| {
            may_probe(id, m) && (m.state == MemberState::Suspect || m.last_received.is_none_or(|at| at <= lately))
        };
        let mut target = None;
        while let Some(peer) = if self.in_order { None } else { members.roster.pop_urgent() } {
            if members.roster.get(peer).is_some_and(|m| may_probe(peer, m)) {
                target = Some(peer);
                break;
            }
        }
        let target = target.or_else(|| members.roster.next(cx.rng, is_due));
        if let Some(target) = target {
            self.probe(target, false, members, cx, out);
        }
    }

    fn is_probed(&self, peer: NodeId) -> bool {
        self.probes.values().any(|p| p.target == peer)
    }

    /// Whether a link to `peer`, which is no member, is wanted.
    pub(super) fn wants(&self, peer: NodeId) -> bool {
        self.wanted.contains(&peer)
    }

    fn probe(
        &mut self,
        target: NodeId,
        requested: bool,
        members: &mut Members,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if self.probes.len() >= MAX_PROBES {
            return;
        }
        let seq = self.next_seq();
        let (linked, present) = (members.links.contains(target), members.is_present(target));
        let probe = Probe { target, sent: cx.now, helpers: Vec::new(), nacks: 0, requested, pending_link: !linked };
        self.probes.insert(seq, probe);
        let direct = self.direct_timeout(members);
        // The way through a helper is two ways: two waits more.
        let end = if !linked && !present { STRANGER_WAIT } else { direct.saturating_mul(3) };
        members.timers.arm(Timer::End(seq), cx.now + end);
        if linked {
            Self::ping(target, seq, members, out);
            members.timers.arm(Timer::Direct(seq), cx.now + direct);
        } else if present {
            self.probe_indirectly(seq, members, cx, out);
        }
    }

    fn ping(to: NodeId, seq: u32, members: &mut Members, out: &mut Outbox<Out>) {
        let updates = members.piggyback(to);
        members.send(to, &Message::Ping { seq, updates }, out);
        members.stats.pings = members.stats.pings.saturating_add(1);
    }

    /// The application requests a probe: the node is asked at once, whatever its turn is.
    pub(super) fn requested(&mut self, peer: NodeId, members: &mut Members, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if let Some(probe) = self.probes.values_mut().find(|p| p.target == peer) {
            probe.requested = true;
            return;
        }
        let known = members.links.contains(peer) || members.is_present(peer);
        if !known && self.wanted.len() < MAX_PROBES && self.wanted.insert(peer) {
            out.push(Out::Want(peer));
        }
        self.probe(peer, true, members, cx, out);
        self.unwant_unused(members, out);
    }

    /// Links that only a probe wanted are not needed when it is over.
    fn unwant_unused(&mut self, members: &Members, out: &mut Outbox<Out>) {
        let over: Vec<NodeId> = self.wanted.iter().copied().filter(|p| !self.is_probed(*p)).collect();
        for peer in over {
            self.wanted.remove(&peer);
            // The link to a member is wanted for itself.
            if members.roster.get(peer).is_none_or(|m| !m.wanted) {
                out.push(Out::Unwant(peer));
            }
        }
    }

    /// A link is up that a probe may wait for.
    pub(super) fn link_up(&mut self, peer: NodeId, members: &mut Members, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let waiting = self.probes.iter_mut().find(|(_, p)| p.pending_link && p.target == peer);
        let Some((&seq, probe)) = waiting else { return };
        probe.pending_link = false;
        probe.sent = cx.now;
        Self::ping(peer, seq, members, out);
    }

    /// No direct answer in time: helpers are asked (SWIM's ping-req).
    pub(super) fn probe_indirectly(&mut self, seq: u32, members: &mut Members, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(probe) = self.probes.get_mut(&seq) else { return };
        let target = probe.target;
        let can_help = |id: NodeId, m: &Member| {
            id != target && m.state == MemberState::Alive && !m.is_low_power() && members.links.contains(id)
        };
        let mut all: Vec<NodeId> = members.roster.iter().filter(|(id, m)| can_help(*id, m)).map(|(id, _)| id).collect();
        let mut helpers = Vec::new();
        while helpers.len() < self.config.indirect && !all.is_empty() {
            helpers.push(all.swap_remove(cx.rng.below(all.len())));
        }
        for &to in &helpers {
            let updates = members.piggyback(to);
            members.send(to, &Message::PingReq { seq, target, updates }, out);
            members.stats.requests = members.stats.requests.saturating_add(1);
        }
        probe.helpers = helpers;
    }

    /// Another member asks for a probe of `target`.
    pub(super) fn relay(
        &mut self,
        requester: NodeId,
        (theirs, target): (u32, NodeId),
        members: &mut Members,
        cx: &Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if target == cx.me {
            let updates = members.piggyback(requester);
            return members.send(requester, &Message::Ack { seq: theirs, updates }, out);
        }
        if target == requester || self.relays.len() >= MAX_RELAYS || !members.links.contains(target) {
            return self.nack(requester, theirs, members, out);
        }
        let seq = self.next_seq();
        self.relays.insert(seq, Relay { requester, seq: theirs, target, nacked: false });
        // In time for the requester to receive the result: four fifths of the usual wait (memberlist).
        let wait = share(self.config.direct_timeout, 4, 5);
        members.timers.arm(Timer::Relay(seq), cx.now + wait);
        Self::ping(target, seq, members, out);
    }

    fn nack(&self, to: NodeId, seq: u32, members: &mut Members, out: &mut Outbox<Out>) {
        if self.config.nack {
            let updates = members.piggyback(to);
            members.send(to, &Message::Nack { seq, updates }, out);
            members.stats.nacks = members.stats.nacks.saturating_add(1);
        }
    }

    pub(super) fn relay_due(&mut self, seq: u32, members: &mut Members, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let Some(relay) = self.relays.get_mut(&seq).filter(|r| !r.nacked) else {
            self.relays.remove(&seq);
            return;
        };
        relay.nacked = true;
        let (requester, theirs) = (relay.requester, relay.seq);
        // A late answer is passed on all the same.
        members.timers.arm(Timer::Relay(seq), cx.now + self.config.period);
        self.nack(requester, theirs, members, out);
    }

    /// An answer came; false if it is of a node that was not asked.
    pub(super) fn acked(
        &mut self,
        from: NodeId,
        seq: u32,
        members: &mut Members,
        cx: &Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        if self.relays.get(&seq).is_some_and(|r| r.target == from) {
            members.timers.cancel(Timer::Relay(seq));
            if let Some(relay) = self.relays.remove(&seq) {
                let updates = members.piggyback(relay.requester);
                members.send(relay.requester, &Message::Ack { seq: relay.seq, updates }, out);
            }
            return true;
        }
        let Some(probe) = self.probes.get(&seq) else { return true };
        if probe.target != from && !probe.helpers.contains(&from) {
            return false;
        }
        if probe.target == from {
            self.round_trips.0.sample(cx.now.since(probe.sent));
        }
        let (target, requested) = (probe.target, probe.requested);
        self.end(seq, members, out);
        members.adjust_health(0, 1, cx.me);
        if requested {
            out.push(Out::Fact(Fact::MemberChanged { peer: target, state: MemberState::Alive, own: true }));
        }
        true
    }

    /// An answer to a probe, where this node keeps no zone.
    pub(super) fn acked_without_zone(&mut self, from: NodeId, seq: u32, members: &mut Members, out: &mut Outbox<Out>) {
        if self.probes.get(&seq).is_some_and(|p| p.target == from && p.requested) {
            self.end(seq, members, out);
            out.push(Out::Fact(Fact::MemberChanged { peer: from, state: MemberState::Alive, own: true }));
        }
    }

    fn end(&mut self, seq: u32, members: &mut Members, out: &mut Outbox<Out>) {
        self.probes.remove(&seq);
        members.timers.cancel(Timer::Direct(seq));
        members.timers.cancel(Timer::End(seq));
        self.unwant_unused(members, out);
    }

    /// A helper got no answer either.
    pub(super) fn nacked(&mut self, from: NodeId, seq: u32, members: &mut Members, now: Instant) {
        let direct = self.direct_timeout(members);
        let Some(probe) = self.probes.get_mut(&seq) else { return };
        let Some(at) = probe.helpers.iter().position(|t| *t == from) else { return };
        // One NACK a helper counts.
        probe.helpers.swap_remove(at);
        probe.nacks = probe.nacks.saturating_add(1);
        if probe.helpers.is_empty() {
            // All probed in vain, so that only a late answer can come: half a wait for it, not a whole one.
            let soon = probe.sent + share(direct, 5, 2);
            let end = Timer::End(seq);
            if members.timers.get(end).is_some_and(|at| at > soon) {
                members.timers.arm(end, soon.max(now));
            }
        }
    }

    /// No answer, neither directly nor through a helper.
    pub(super) fn unanswered(&mut self, seq: u32, members: &mut Members, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let Some(probe) = self.probes.remove(&seq) else { return };
        members.timers.cancel(Timer::Direct(seq));
        self.unwant_unused(members, out);
        let Some(state) = members.roster.get(probe.target).map(|m| m.state) else {
            if probe.requested {
                out.push(Out::Fact(Fact::MemberChanged { peer: probe.target, state: MemberState::Suspect, own: true }));
            }
            return;
        };
        // The silence of a known suspect is no sign of this node's own health.
        if state == MemberState::Alive {
            let missing = probe.helpers.len();
            let asked = missing.saturating_add(probe.nacks);
            members.adjust_health(if self.config.nack && asked > 0 { missing } else { 1 }, 0, cx.me);
        } else if probe.requested {
            out.push(Out::Fact(Fact::MemberChanged { peer: probe.target, state, own: true }));
        }
        members.suspect(probe.target, probe.nacks, cx, out);
    }

    /// Every wait is stale: probes begin anew, those that the application waits for with a new deadline.
    pub(super) fn on_resume(&mut self, members: &mut Members, now: Instant) {
        for (seq, probe) in core::mem::take(&mut self.probes) {
            members.timers.cancel(Timer::Direct(seq));
            members.timers.cancel(Timer::End(seq));
            if probe.requested {
                self.probes.insert(seq, probe);
                members.timers.arm(Timer::End(seq), now + members.scaled(self.config.period));
            } else {
                members.roster.probe_soon(probe.target);
            }
        }
        if members.timers.get(Timer::Period).is_some() {
            members.timers.arm(Timer::Period, now + self.config.period);
        }
    }

    /// The zone is over: only the probes that the application waits for go on. Returns the deadlines to keep.
    pub(super) fn zone_ended(&mut self, members: &Members) -> Vec<(Timer, Instant)> {
        self.relays.clear();
        self.probes.retain(|_, probe| probe.requested);
        let ends = self.probes.keys().map(|seq| Timer::End(*seq));
        ends.filter_map(|end| Some((end, members.timers.get(end)?))).collect()
    }

    /// The links that only probes want.
    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(super) fn wanted(&self) -> impl Iterator<Item = NodeId> {
        self.wanted.iter().copied()
    }

    pub(super) fn footprint(&self) -> usize {
        self.probes.len().saturating_add(self.relays.len()).saturating_add(self.wanted.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.wanted.iter().all(|peer| self.is_probed(*peer)) {
            true => Ok(()),
            false => Err("a link is wanted for a probe that is over"),
        }
    }
}
