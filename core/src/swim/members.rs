//! The members as this node knows them: their states, the suspicions of them, and the updates about them that it
//! passes on.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::short;
use crate::config::SwimConfig;
use crate::fact::{Fact, MemberState};
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::rng::Rng;
use crate::stats::SwimStats;
use crate::time::{Duration, Instant, micros};
use crate::wire::reach::may_probe;

use super::health::Health;
use super::interface::Out;
use super::open_links::Links;
use super::roster::{Member, Roster};
use super::suspicion::Suspicion;
use super::timer::{Timer, Timers};
use super::updates::{Updates, retransmits};
use super::wire::{Claim, Message, Update};

/// The link to a member with a smaller id is left to that member for so long: two attempts at once cost two
/// handshakes.
const THEIR_TURN: Duration = Duration::from_secs(10);
/// The longest pause between attempts to reach a member; the first is [`THEIR_TURN`].
const DIAL_MAX: Duration = Duration::from_secs(300);
/// Links begun in one period: a newcomer to a zone of 64 has them all after eight.
const DIALS: usize = 8;

pub(super) struct Members {
    config: SwimConfig,
    /// Members at most, this node included.
    capacity: usize,
    /// Of this node.
    incarnation: u32,
    pub links: Links,
    pub roster: Roster,
    pub timers: Timers,
    pub stats: SwimStats,
    updates: Updates,
    health: Health,
    /// The members changed since they were reported.
    changed: bool,
    reported: Option<Vec<NodeId>>,
}

impl Members {
    pub(super) fn new(config: &SwimConfig, capacity: usize) -> Self {
        Self {
            config: config.clone(),
            capacity,
            incarnation: 0,
            links: Links::default(),
            roster: Roster::default(),
            timers: Timers::new(),
            stats: SwimStats::default(),
            updates: Updates::default(),
            health: Health::new(config),
            changed: false,
            reported: None,
        }
    }

    /// Members, this node included.
    pub(super) fn count(&self) -> usize {
        self.roster.present().saturating_add(1)
    }

    /// Members with a link.
    pub(super) fn linked(&self) -> Vec<NodeId> {
        let all = self.roster.iter().filter(|(id, m)| m.is_present() && self.links.contains(*id));
        all.map(|(id, _)| id).collect()
    }

    pub(super) fn is_present(&self, peer: NodeId) -> bool {
        self.roster.get(peer).is_some_and(Member::is_present)
    }

    pub(super) fn send(&mut self, to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        self.stats.messages_out = self.stats.messages_out.saturating_add(1);
        out.push(Out::Send { to, body: message.encode() });
    }

    /// The updates that ride on a message to `to`. If this node holds it for anything but alive, or others do, that comes
    /// first, so that it can refute (Lifeguard's buddy system).
    pub(super) fn piggyback(&mut self, to: NodeId, me: NodeId) -> Vec<Update> {
        let own = match self.roster.get(to) {
            Some(m) if m.state == MemberState::Alive => {
                let claimed = m.claimed_down.filter(|claimed| *claimed >= m.incarnation);
                claimed.map(|incarnation| Update { member: to, incarnation, claim: Claim::Suspect { by: me } })
            }
            // Without the buddy system a suspect gets the suspicion by chance. One that is held for gone must get it
            // in any case: a node that restarted cannot know which incarnation others remember.
            Some(m) if m.state == MemberState::Suspect && !self.config.buddy => None,
            Some(m) => Some(m.update(to, me)),
            None => None,
        };
        let limit = retransmits(self.config.retransmit, self.count());
        let mut all: Vec<Update> = own.into_iter().collect();
        let but = (!all.is_empty()).then_some(to);
        all.extend(self.updates.take(self.config.piggyback, limit, but));
        all
    }

    /// The claim of this node that it is alive.
    pub(super) fn own_update(&self, me: NodeId) -> Update {
        // Others see its addresses themselves.
        Update { member: me, incarnation: self.incarnation, claim: Claim::Alive { addrs: Vec::new() } }
    }

    pub(super) fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Others remember an earlier claim of this node: the next one outweighs it.
    pub(super) fn raise_incarnation(&mut self) {
        self.incarnation = self.incarnation.saturating_add(1);
    }

    pub(super) fn announce_self(&mut self, me: NodeId) {
        self.updates.enqueue(self.own_update(me));
    }

    /// The whole roster, this node first.
    pub(super) fn all_updates(&self, me: NodeId) -> Vec<Update> {
        let mut all = alloc::vec![self.own_update(me)];
        all.extend(self.roster.iter().map(|(id, m)| m.update(id, me)));
        all
    }

    /// A hash of those that take part, this node among them, with what is claimed of them. Those that are gone are left
    /// out: nodes forget them at different times.
    pub(super) fn digest(&self, me: NodeId) -> [u8; 16] {
        let present = self.roster.iter().filter(|(_, m)| m.is_present());
        let present = present.map(|(id, m)| (id, m.incarnation, m.state == MemberState::Suspect));
        let own = (me, self.incarnation, false);
        let mut all: Vec<_> = present.chain([own]).collect();
        all.sort_unstable();
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 roster");
        for (id, incarnation, suspect) in all {
            hasher.update(&id.0).update(&incarnation.to_le_bytes()).update(&[u8::from(suspect)]);
        }
        short(hasher.finalize().as_bytes())
    }

    pub(super) fn health(&self) -> u8 {
        self.health.value()
    }

    pub(super) fn scaled(&self, d: Duration) -> Duration {
        self.health.scale(d)
    }

    /// A probe went well or not.
    pub(super) fn adjust_health(&mut self, worse: usize, better: usize) {
        self.health.adjust(worse, better);
        if worse > 0 && self.health.is_unwell() {
            self.freeze_suspicions();
        }
    }

    /// What was concluded before counts for nothing: every suspect is probed again before a suspicion expires.
    pub(super) fn freeze_suspicions(&mut self) {
        let mut again = Vec::new();
        for (id, member) in self.roster.iter_mut() {
            if let Some(suspicion) = member.suspicion.as_mut().filter(|s| !s.frozen) {
                suspicion.frozen = true;
                again.push(id);
            }
        }
        for id in again {
            self.timers.cancel(Timer::Suspicion(id));
            self.roster.probe_soon(id);
        }
    }

    pub(super) fn link_up(&mut self, peer: NodeId, addr: SocketAddr, out: &mut Outbox<Out>) {
        self.links.opened(peer, addr);
        if let Some(member) = self.roster.get_mut(peer) {
            member.verified = true;
            member.dials = 0;
            member.best_addr(addr);
            if member.is_present() && !member.wanted {
                member.wanted = true;
                out.push(Out::Want(peer));
            }
        }
    }

    pub(super) fn link_down(&mut self, peer: NodeId) {
        self.links.closed(peer);
        if self.is_present(peer) {
            self.roster.probe_soon(peer);
        }
    }

    pub(super) fn moved(&mut self, peer: NodeId, addr: SocketAddr) {
        if self.links.moved(peer, addr)
            && let Some(member) = self.roster.get_mut(peer)
        {
            member.best_addr(addr);
        }
    }

    /// A message of `peer` itself came; false if it is not in the roster.
    pub(super) fn received(&mut self, peer: NodeId, now: Instant) -> bool {
        let Some(member) = self.roster.get_mut(peer) else { return false };
        member.last_received = Some(now);
        member.verified = true;
        true
    }

    /// Wants links to those members that have none.
    pub(super) fn connect(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let mut left = DIALS;
        for (peer, member) in self.roster.iter_mut() {
            if left == 0 {
                break;
            }
            if !member.is_present() || self.links.contains(peer) || member.dial_at > cx.now {
                continue;
            }
            left = left.saturating_sub(1);
            let pause = THEIR_TURN.saturating_mul(1u32.checked_shl(member.dials).unwrap_or(u32::MAX)).min(DIAL_MAX);
            member.dial_at = cx.now + cx.rng.jitter(pause, 20);
            member.dials = member.dials.saturating_add(1);
            member.wanted = true;
            if !member.addrs.is_empty() {
                out.push(Out::AddAddresses { peer, addrs: member.addrs.to_vec() });
            }
            out.push(Out::Want(peer));
        }
    }

    fn set_state(&mut self, peer: NodeId, state: MemberState, now: Instant, out: &mut Outbox<Out>) {
        let Some(member) = self.roster.get_mut(peer).filter(|m| m.state != state) else { return };
        let (was_present, wanted) = (member.is_present(), member.wanted);
        member.state = state;
        member.since = now;
        if state != MemberState::Suspect {
            member.suspicion = None;
        }
        let present = member.is_present();
        if was_present && !present {
            member.wanted = false;
            self.changed = true;
            if wanted {
                out.push(Out::Unwant(peer));
            }
            self.roster.not_urgent(peer);
            if self.timers.get(Timer::Forget).is_none() {
                self.timers.arm(Timer::Forget, now + self.config.forget_after);
            }
        } else if present && !was_present {
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
    pub(super) fn suspect(&mut self, peer: NodeId, incarnation: u32, by: NodeId, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let (n, unwell) = (self.count(), self.health.is_unwell());
        let Some(member) = self.roster.get_mut(peer) else { return };
        if incarnation < member.incarnation || !member.is_present() {
            return;
        }
        let newer = incarnation > member.incarnation;
        member.incarnation = incarnation;
        let update = Update { member: peer, incarnation, claim: Claim::Suspect { by } };
        match member.suspicion.as_mut().filter(|_| !newer) {
            Some(suspicion) if by == cx.me && suspicion.frozen => {
                // Probed again, and again no answer: it begins anew.
                *suspicion = Suspicion::new(&self.config, n, by, cx.now, unwell);
                self.updates.enqueue(update);
            }
            Some(suspicion) => {
                if suspicion.confirm(by) {
                    self.updates.enqueue(update);
                }
            }
            None => {
                member.suspicion = Some(Suspicion::new(&self.config, n, by, cx.now, unwell));
                self.updates.enqueue(update);
                self.stats.suspected = self.stats.suspected.saturating_add(1);
                self.set_state(peer, MemberState::Suspect, cx.now, out);
            }
        }
        self.schedule_expiry(peer, cx.now);
    }

    /// Sets when the suspicion of `peer` expires.
    fn schedule_expiry(&mut self, peer: NodeId, now: Instant) {
        let n = self.count();
        match self.roster.get(peer).and_then(|m| m.suspicion.as_ref()) {
            Some(s) if !s.frozen => self.timers.arm(Timer::Suspicion(peer), s.ends(&self.config, n).max(now)),
            Some(_) => {
                self.timers.cancel(Timer::Suspicion(peer));
                self.roster.probe_soon(peer);
            }
            None => self.timers.cancel(Timer::Suspicion(peer)),
        }
    }

    /// A suspect had its time and did not refute the suspicion.
    pub(super) fn suspicion_expired(&mut self, peer: NodeId, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let n = self.count();
        let Some(member) = self.roster.get(peer).filter(|m| m.suspicion.is_some()) else { return };
        let incarnation = member.incarnation;
        if self.is_witness(member, cx.now) {
            // It lives: others may not reach it, or it did not receive the suspicion.
            if let Some(member) = self.roster.get_mut(peer) {
                member.suspicion = Some(Suspicion::new(&self.config, n, cx.me, cx.now, false));
            }
            self.roster.probe_soon(peer);
            return self.schedule_expiry(peer, cx.now);
        }
        self.stats.declared = self.stats.declared.saturating_add(1);
        self.declare_down(peer, incarnation, cx.me, cx.now, out);
    }

    /// Whether this node itself received a message of a member too recently to declare it down: in the least time
    /// that a suspect has, or since it is suspected.
    fn is_witness(&self, member: &Member, now: Instant) -> bool {
        let least = now.before(self.config.period.saturating_mul(self.config.alpha));
        let silent_since = member.suspicion.as_ref().map_or(least, |s| s.since.min(least));
        self.config.witness && member.last_received.is_some_and(|at| at >= silent_since)
    }

    fn declare_down(&mut self, peer: NodeId, incarnation: u32, by: NodeId, now: Instant, out: &mut Outbox<Out>) {
        if let Some(member) = self.roster.get_mut(peer) {
            member.incarnation = incarnation;
        }
        self.set_state(peer, MemberState::Down, now, out);
        self.updates.enqueue(Update { member: peer, incarnation, claim: Claim::Down { by } });
    }

    /// Others hold a member for down that this node does not. It is probed, which lets it refute that, and no suspect
    /// before: parts of a network that meet again hold each other's members for down, and all would be suspects of all.
    fn check_claim(&mut self, peer: NodeId, incarnation: u32) {
        if let Some(member) = self.roster.get_mut(peer) {
            member.claimed_down = member.claimed_down.max(Some(incarnation));
            self.roster.probe_soon(peer);
        }
    }

    /// Takes in an update that `from` sent. One of a `whole` roster that declares a member down may be old, so the member
    /// is probed first; memberlist's merge makes it a suspect. False if the zone is too large with the member that it
    /// reports.
    pub(super) fn apply(
        &mut self,
        from: NodeId,
        update: Update,
        whole: bool,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        let Update { member: peer, incarnation, claim } = update;
        if peer == cx.me {
            self.about_me(incarnation, &claim, cx.me);
            return true;
        }
        match claim {
            Claim::Alive { addrs } => return self.alive(from, (peer, incarnation), addrs, cx, out),
            Claim::Suspect { by } => self.suspect(peer, incarnation, by, cx, out),
            Claim::Down { by } => {
                let Some(member) = self.roster.get(peer).filter(|m| m.is_present()) else { return true };
                if incarnation < member.incarnation {
                    return true;
                }
                if whole || peer == from || self.is_witness(member, cx.now) {
                    self.check_claim(peer, incarnation);
                } else {
                    self.declare_down(peer, incarnation, by, cx.now, out);
                }
            }
            Claim::Left | Claim::Away => {
                let state = if claim == Claim::Left { MemberState::Left } else { MemberState::Away };
                let Some(member) = self.roster.get_mut(peer) else { return true };
                if incarnation < member.incarnation || !member.is_present() {
                    return true;
                }
                member.incarnation = incarnation;
                self.set_state(peer, state, cx.now, out);
                self.updates.enqueue(Update { member: peer, incarnation, claim });
            }
        }
        true
    }

    /// Others claim that this node is not well, or remember it from before a restart: it refutes with a higher
    /// incarnation than they know. Nothing is stored: a restarted node goes on from what others know of it.
    fn about_me(&mut self, incarnation: u32, claim: &Claim, me: NodeId) {
        if incarnation < self.incarnation || matches!(claim, Claim::Alive { .. }) && incarnation == self.incarnation {
            return;
        }
        self.incarnation = incarnation.saturating_add(1);
        if !matches!(claim, Claim::Alive { .. }) {
            self.stats.refuted = self.stats.refuted.saturating_add(1);
            self.adjust_health(1, 0);
        }
        self.announce_self(me);
    }

    /// `peer` takes part: a newcomer, or a member that had another state. False if the zone is too large with it.
    pub(super) fn alive(
        &mut self,
        from: NodeId,
        (peer, incarnation): (NodeId, u32),
        addrs: Vec<SocketAddr>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> bool {
        let source = self.links.addr(from).map(|addr| addr.ip());
        let addrs: Vec<SocketAddr> = addrs.into_iter().filter(|a| may_probe(*a, source)).collect();
        let path = self.links.addr(peer);
        // With this node, and `peer` if it is a newcomer.
        let too_large = self.count().saturating_add(1) > self.capacity;
        let newer = match self.roster.get_mut(peer) {
            Some(member) => {
                if path.is_none() {
                    addrs.iter().rev().for_each(|a| member.best_addr(*a));
                }
                let newer = incarnation > member.incarnation;
                if newer {
                    member.incarnation = incarnation;
                    self.set_state(peer, MemberState::Alive, cx.now, out);
                }
                newer
            }
            None if too_large => return false,
            None => {
                let mut member = Member::new(incarnation, cx.now);
                addrs.iter().rev().for_each(|a| member.best_addr(*a));
                if cx.me > peer {
                    member.dial_at = cx.now + THEIR_TURN;
                }
                if let Some(path) = path {
                    member.best_addr(path);
                    member.verified = true;
                    member.wanted = true;
                    out.push(Out::Want(peer));
                }
                self.insert(peer, member, cx.now, cx.rng);
                true
            }
        };
        if newer && let Some(member) = self.roster.get(peer) {
            self.updates.enqueue(member.update(peer, cx.me));
        }
        true
    }

    /// Adds a newcomer; those gone for longest make place for it. With the first one the periods begin.
    fn insert(&mut self, peer: NodeId, member: Member, now: Instant, rng: &mut Rng) {
        while self.roster.len() >= self.capacity.saturating_mul(2) {
            let Some(gone) = self.roster.oldest_gone() else { break };
            self.forget(gone);
        }
        self.roster.insert(peer, member, rng);
        self.changed = true;
        if self.timers.get(Timer::Period).is_none() {
            // A place of its own in the period.
            let first = rng.below(usize::try_from(micros(self.config.period)).unwrap_or(1));
            self.timers.arm(Timer::Period, now + Duration::from_micros((first as u64).max(1)));
        }
    }

    /// `peer` keeps no zone.
    pub(super) fn left(&mut self, peer: NodeId, me: NodeId, now: Instant, out: &mut Outbox<Out>) {
        self.set_state(peer, MemberState::Left, now, out);
        if let Some(update) = self.roster.get(peer).map(|m| m.update(peer, me)) {
            self.updates.enqueue(update);
        }
    }

    fn forget(&mut self, peer: NodeId) {
        self.roster.remove(peer);
        self.updates.forget(peer);
    }

    /// Forgets members that are gone for long.
    pub(super) fn forget_gone(&mut self, now: Instant) {
        let since = now.before(self.config.forget_after);
        let gone = self.roster.iter().filter(|(_, m)| !m.is_present() && m.since <= since);
        let gone: Vec<NodeId> = gone.map(|(id, _)| id).collect();
        for id in gone {
            self.forget(id);
        }
        let next = self.roster.iter().filter(|(_, m)| !m.is_present()).map(|(_, m)| m.since).min();
        if let Some(next) = next {
            self.timers.arm(Timer::Forget, next + self.config.forget_after);
        }
    }

    /// The zone is over: forgets the members and every deadline. Links that are wanted for a probe of the
    /// application stay wanted.
    pub(super) fn clear(&mut self, probed: impl Fn(NodeId) -> bool, out: &mut Outbox<Out>) {
        for (peer, member) in self.roster.iter() {
            if member.wanted && !probed(peer) {
                out.push(Out::Unwant(peer));
            }
        }
        self.roster.clear();
        self.updates.clear();
        self.timers = Timers::new();
        self.health.reset();
        self.changed = true;
    }

    /// A zone begins.
    pub(super) fn begin(&mut self) {
        self.changed = true;
    }

    /// Reports the members if they changed; none without a zone.
    pub(super) fn report(&mut self, zone: bool, out: &mut Outbox<Out>) {
        if !core::mem::take(&mut self.changed) {
            return;
        }
        let members: Vec<NodeId> = self.roster.iter().filter(|(_, m)| m.is_present()).map(|(id, _)| id).collect();
        let members = zone.then_some(members);
        if members != self.reported {
            self.reported.clone_from(&members);
            out.push(Out::Fact(Fact::Zone(members)));
        }
    }

    pub(super) fn footprint(&self) -> usize {
        let suspicions = self.roster.iter().filter_map(|(_, m)| m.suspicion.as_ref());
        let suspicions = suspicions.fold(0usize, |n, s| n.saturating_add(s.len()));
        [
            self.links.footprint(),
            self.roster.len(),
            self.roster.urgent(),
            self.updates.len(),
            self.timers.len(),
            self.reported.as_ref().map_or(0, Vec::len),
        ]
        .into_iter()
        .fold(suspicions, usize::saturating_add)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, zone: bool) -> Result<(), &'static str> {
        if !zone && (self.roster.len() > 0 || self.updates.len() > 0) {
            return Err("without a zone there are members, or updates about them");
        }
        self.roster.check()
    }
}
