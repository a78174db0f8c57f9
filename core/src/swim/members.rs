//! The members as this node knows them: their states, the suspicions of them, and the updates about them that it
//! passes on.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::collections::Backoff;
use crate::config::SwimConfig;
use crate::fact::{Fact, MemberState};
use crate::id::NodeId;
use crate::identity::Identity;
use crate::machine::{Cx, Outbox};
use crate::stats::{DropReason, SwimStats};
use crate::time::{Duration, Instant, WallTime};
use crate::wire::reach::may_probe;
use crate::wire::record::NodeRecord;

use super::health::Health;
use super::interface::Out;
use super::open_links::Links;
use super::pace::Pace;
use super::roster::{Member, Roster};
use super::statements::{Own, believe, subject};
use super::suspicion::Suspicion;
use super::tellers::Tellers;
use super::timer::{Timer, Timers};
use super::updates::{Updates, retransmits};
use super::wire::{Claim, MAX_STATEMENTS, Message, Presence, Statement, Told, Update};

/// The link to a member with a smaller id is left to that member for so long: two attempts at once cost two
/// handshakes.
const THEIR_TURN: Duration = Duration::from_secs(10);
/// Pauses between attempts to reach a member.
const DIAL: Backoff = Backoff::new(THEIR_TURN, Duration::from_secs(300));
/// Links begun in one period: a newcomer to a zone of 64 has them all after eight.
const DIALS: usize = 8;
/// So many tellers at least make a suspect, whatever the configuration says: one could be a liar.
const LEAST_TELLERS: usize = 2;

pub(super) struct Members {
    config: SwimConfig,
    /// Members at most, this node included.
    capacity: usize,
    own: Own,
    /// When this node last refuted a claim.
    refuted_at: Option<Instant>,
    pub tellers: Tellers,
    pub links: Links,
    pub roster: Roster,
    pub timers: Timers,
    pub stats: SwimStats,
    updates: Updates,
    health: Health,
    pace: Pace,
    /// The members changed since they were reported.
    changed: bool,
    reported: Option<Vec<NodeId>>,
}

impl Members {
    pub(super) fn new(config: &SwimConfig, capacity: usize, identity: &Identity, wall: WallTime) -> Self {
        Self {
            config: config.clone(),
            capacity,
            own: Own::new(identity, wall),
            refuted_at: None,
            tellers: Tellers::new(capacity.saturating_mul(2)),
            links: Links::default(),
            roster: Roster::default(),
            timers: Timers::new(),
            stats: SwimStats::default(),
            updates: Updates::default(),
            health: Health::new(config),
            pace: Pace::new(config),
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

    /// The updates that ride on a message to `to`. What is held of itself comes first (Lifeguard's buddy system).
    pub(super) fn piggyback(&mut self, to: NodeId) -> Vec<Update> {
        let own = self.roster.get(to).and_then(|m| m.for_itself(to, self.config.buddy));
        let limit = retransmits(self.config.retransmit, self.count());
        let mut all: Vec<Update> = own.into_iter().collect();
        let but = (!all.is_empty()).then_some(to);
        all.extend(self.updates.take(self.config.piggyback, limit, but));
        all
    }

    /// The claim of this node that it is alive.
    pub(super) fn own_update(&self, me: NodeId) -> Update {
        // Others see its addresses themselves.
        Update { member: me, incarnation: self.own.incarnation(), claim: Claim::Alive { addrs: Vec::new() } }
    }

    /// The signed statement of this node.
    pub(super) fn own_statement(&mut self) -> Message {
        Message::Statements(alloc::vec![self.own.told()])
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.own.incarnation()
    }

    /// This node is away, or gone.
    pub(super) fn depart(&mut self, presence: Presence) {
        self.own.depart(presence);
    }

    /// Others remember an earlier claim of this node: the next one outweighs it.
    pub(super) fn raise_incarnation(&mut self) {
        self.own.rise(0);
    }

    pub(super) fn announce_self(&mut self, me: NodeId) {
        self.updates.enqueue(self.own_update(me));
    }

    /// The whole roster as far as it is sent to others, this node first.
    pub(super) fn all_updates(&self, me: NodeId) -> Vec<Update> {
        let mut all = alloc::vec![self.own_update(me)];
        all.extend(self.roster.iter().filter_map(|(id, m)| m.retold(id, me)));
        all
    }

    /// A hash of what this node holds of those that take part, itself among them.
    pub(super) fn digest(&self, me: NodeId) -> [u8; 16] {
        self.roster.digest(me, self.own.incarnation())
    }

    pub(super) fn health(&self) -> u8 {
        self.health.value()
    }

    pub(super) fn scaled(&self, d: Duration) -> Duration {
        self.health.scale(d)
    }

    /// A probe went well or not.
    pub(super) fn adjust_health(&mut self, worse: usize, better: usize, me: NodeId) {
        self.health.adjust(worse, better);
        if worse > 0 && self.health.is_unwell() {
            self.freeze_suspicions(me);
        }
    }

    pub(super) fn is_unwell(&self) -> bool {
        self.health.is_unwell()
    }

    /// So many tellers make a suspect.
    fn tellers_wanted(&self) -> usize {
        self.config.confirmations.max(LEAST_TELLERS)
    }

    /// This node was absent. What was concluded before counts for nothing, by itself or by others: every suspect is probed
    /// again before a suspicion expires.
    pub(super) fn forget_conclusions(&mut self, me: NodeId) {
        self.roster.forget_tellers(me);
        self.freeze_suspicions(me);
    }

    /// What this node concluded counts for nothing; what as many others say as would be enough without it stands.
    fn freeze_suspicions(&mut self, me: NodeId) {
        for id in self.roster.freeze(me, self.tellers_wanted()) {
            self.timers.cancel(Timer::Suspicion(id));
            self.roster.probe_soon(id);
        }
    }

    pub(super) fn link_up(
        &mut self,
        peer: NodeId,
        record: NodeRecord,
        addr: SocketAddr,
        me: NodeId,
        out: &mut Outbox<Out>,
    ) {
        let Some(member) = self.roster.get_mut(peer) else { return self.links.opened(peer, record, addr) };
        member.record = Some(Box::new(record.clone()));
        self.links.opened(peer, record, addr);
        let met = core::mem::replace(&mut member.verified, true);
        member.dials = 0;
        member.best_addr(addr);
        if member.is_present() && !member.wanted {
            member.wanted = true;
            out.push(Out::Want(peer));
        }
        if met {
            return;
        }
        self.changed = true;
        if let Some(teller) = member.told_by.take() {
            self.tellers.refund(teller);
        }
        if let Some(update) = member.retold(peer, me) {
            self.updates.enqueue(update);
        }
    }

    /// A linked node has a newer record: others get that one.
    pub(super) fn renewed(&mut self, peer: NodeId, record: &NodeRecord) {
        self.links.renewed(peer, record);
        if let Some(member) = self.roster.get_mut(peer) {
            member.record = Some(Box::new(record.clone()));
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

    /// A message of `peer` itself came; false if it is not in the roster. What others said of its silence is refuted by
    /// that.
    pub(super) fn received(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> bool {
        let Some(member) = self.roster.get_mut(peer) else { return false };
        member.last_received = Some(cx.now);
        let mut wrong: Vec<NodeId> = core::mem::take(&mut member.tellers).into_iter().collect();
        let heard_only = member.suspicion.as_ref().filter(|s| !s.is_of(cx.me));
        let revived = heard_only.map(|s| s.by().collect::<Vec<_>>());
        wrong.extend(revived.iter().flatten());
        for teller in wrong {
            self.tellers.contradict(teller, cx.now, cx.rng);
        }
        if revived.is_some() {
            self.set_state(peer, MemberState::Alive, cx, out);
        }
        true
    }

    /// Wants links to those members that have none.
    pub(super) fn connect(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.forget_unmet(cx.now, out);
        let mut left = DIALS;
        for (peer, member) in self.roster.iter_mut() {
            if left == 0 {
                break;
            }
            if !member.is_present() || self.links.contains(peer) || member.dial_at > cx.now {
                continue;
            }
            if member.told_by.is_some_and(|teller| !self.tellers.pay(teller)) {
                continue;
            }
            left = left.saturating_sub(1);
            member.dial_at = cx.now + DIAL.pause(member.dials, cx.rng);
            member.dials = member.dials.saturating_add(1);
            member.wanted = true;
            if !member.addrs.is_empty() {
                let record = member.record.as_deref().cloned();
                out.push(Out::AddAddresses { peer, record, addrs: member.addrs.to_vec(), told: !member.verified });
            }
            out.push(Out::Want(peer));
        }
    }

    /// Members that were named by others and never answered are none: they are forgotten as departed ones.
    fn forget_unmet(&mut self, now: Instant, out: &mut Outbox<Out>) {
        for (peer, wanted) in self.roster.unmet_since(now.before(self.config.forget_after)) {
            if wanted {
                out.push(Out::Unwant(peer));
            }
            self.forget(peer);
            self.changed = true;
        }
    }

    fn set_state(&mut self, peer: NodeId, state: MemberState, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let now = cx.now;
        let Some(member) = self.roster.get_mut(peer).filter(|m| m.state != state) else { return };
        let (was_present, wanted) = (member.is_present(), member.wanted);
        let own = member.suspicion.as_ref().is_none_or(|s| s.is_of(cx.me));
        member.state = state;
        member.since = now;
        if state != MemberState::Suspect {
            member.suspicion = None;
            member.tellers.clear();
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
        self.roster.stir();
        out.push(Out::Fact(Fact::MemberChanged { peer, state, own }));
    }

    /// This node itself had no answer from `peer`, nor had so many helpers. Those that said so before were right, and are
    /// part of the suspicion.
    pub(super) fn suspect(&mut self, peer: NodeId, nacks: usize, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        let (n, unwell, wanted) = (self.count(), self.health.is_unwell(), self.tellers_wanted());
        let Some(member) = self.roster.get_mut(peer).filter(|m| m.is_present()) else { return };
        let mut tellers = core::mem::take(&mut member.tellers);
        tellers.iter().for_each(|teller| self.tellers.confirm(*teller));
        match member.suspicion.as_mut() {
            // Probed again, and again no answer: it begins anew.
            Some(suspicion) if suspicion.frozen => {
                tellers.extend(suspicion.by().filter(|by| *by != cx.me));
                *suspicion = Suspicion::new(&self.config, n, cx.me, cx.now, unwell);
            }
            Some(suspicion) => {
                if !suspicion.add_own(cx.me) {
                    return self.schedule_expiry(peer, cx.now);
                }
            }
            None => member.suspicion = Some(Suspicion::new(&self.config, n, cx.me, cx.now, unwell)),
        }
        if let Some(suspicion) = member.suspicion.as_mut() {
            suspicion.confirm_all(tellers);
            suspicion.backed |= nacks >= LEAST_TELLERS;
            suspicion.frozen &= !suspicion.stands(cx.me, wanted);
        }
        if member.verified {
            self.updates.enqueue(Update { member: peer, incarnation: member.incarnation, claim: Claim::Suspect });
        }
        self.become_suspect(peer, cx, out);
    }

    fn become_suspect(&mut self, peer: NodeId, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        if self.roster.get(peer).is_some_and(|m| m.state != MemberState::Suspect) {
            self.stats.suspected = self.stats.suspected.saturating_add(1);
            self.set_state(peer, MemberState::Suspect, cx, out);
        }
        self.schedule_expiry(peer, cx.now);
    }

    /// `from` says that `peer` does not answer it. That is a reason to probe it; a suspicion it is when as many say so as
    /// would confirm one, each once, by the identity that its link proved. Of a `whole` roster it may be old.
    fn claimed(
        &mut self,
        from: NodeId,
        peer: NodeId,
        (down, whole): (bool, bool),
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        if peer == from || !self.tellers.is_heard(from, cx.now) {
            return;
        }
        let (n, wanted) = (self.count(), self.tellers_wanted());
        let Some(member) = self.roster.get_mut(peer).filter(|m| m.is_present()) else { return };
        if !member.verified {
            // This node has nothing to go by but the claims of others: its teller, or as many as make a suspect.
            member.tellers.insert(from);
            if down && member.told_by == Some(from) || member.tellers.len() >= wanted {
                self.set_state(peer, MemberState::Down, cx, out);
            }
            return;
        }
        if down {
            member.claimed_down = Some(member.incarnation);
        }
        if !whole {
            if let Some(suspicion) = member.suspicion.as_mut() {
                suspicion.confirm(from);
                suspicion.frozen &= !suspicion.stands(cx.me, wanted);
                return self.schedule_expiry(peer, cx.now);
            }
            if member.tellers.len() < wanted {
                member.tellers.insert(from);
            }
        }
        self.roster.probe_soon(peer);
        let Some(member) = self.roster.get_mut(peer).filter(|m| m.tellers.len() >= wanted) else { return };
        let tellers = core::mem::take(&mut member.tellers);
        if let Some(&first) = tellers.first() {
            let suspicion = member.suspicion.insert(Suspicion::new(&self.config, n, first, cx.now, false));
            suspicion.confirm_all(tellers);
            self.become_suspect(peer, cx, out);
        }
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
        let own = member.suspicion.as_ref().is_some_and(|s| s.is_of(cx.me));
        if self.is_witness(member, cx.now) {
            // It lives: others may not reach it, or it did not receive the suspicion.
            if !own {
                self.set_state(peer, MemberState::Alive, cx, out);
                return self.roster.probe_soon(peer);
            }
            if let Some(member) = self.roster.get_mut(peer) {
                member.suspicion = Some(Suspicion::new(&self.config, n, cx.me, cx.now, false));
            }
            self.roster.probe_soon(peer);
            return self.schedule_expiry(peer, cx.now);
        }
        self.stats.declared = self.stats.declared.saturating_add(1);
        // Only what this node found out itself is passed on.
        if own && member.verified {
            self.updates.enqueue(Update { member: peer, incarnation: member.incarnation, claim: Claim::Down });
        }
        self.set_state(peer, MemberState::Down, cx, out);
    }

    /// Whether this node itself received a message of a member too recently to declare it down: in the least time
    /// that a suspect has, or since it is suspected.
    fn is_witness(&self, member: &Member, now: Instant) -> bool {
        let least = now.before(self.config.period.saturating_mul(self.config.alpha));
        let silent_since = member.suspicion.as_ref().map_or(least, |s| s.since.min(least));
        self.config.witness && member.last_received.is_some_and(|at| at >= silent_since)
    }

    /// Takes in an update that `from` sent. What a member states of itself is asked for, if it is newer than what this node
    /// has; that it does not answer is checked.
    pub(super) fn apply(
        &mut self,
        from: NodeId,
        update: Update,
        whole: bool,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Option<NodeId> {
        let Update { member: peer, incarnation, claim } = update;
        let order = match claim {
            Claim::Alive { .. } | Claim::Suspect | Claim::Down => (incarnation, Presence::Here),
            Claim::Away => (incarnation, Presence::Away),
            Claim::Left => (incarnation, Presence::Left),
        };
        if peer == cx.me {
            if order > self.own.order() {
                return Some(peer);
            }
            if order.0 == self.own.incarnation() && matches!(claim, Claim::Suspect | Claim::Down) {
                self.refute(from, claim == Claim::Suspect, cx);
            }
            return None;
        }
        let known = self.roster.get(peer);
        if known.and_then(|m| m.stated.as_ref()).is_none_or(|stated| order > stated.order()) {
            // One that is gone and unknown needs no statement.
            let gone = matches!(claim, Claim::Down | Claim::Away | Claim::Left) && known.is_none();
            return (!gone).then_some(peer);
        }
        match claim {
            Claim::Alive { addrs } => self.reported_at(from, peer, addrs),
            Claim::Suspect | Claim::Down if known.is_some_and(|m| m.incarnation == incarnation) => {
                self.claimed(from, peer, (claim == Claim::Down, whole), cx, out);
            }
            Claim::Suspect | Claim::Down | Claim::Away | Claim::Left => {}
        }
        None
    }

    /// `from` reaches a member at these addresses. They come after one that this node knows by itself.
    fn reported_at(&mut self, from: NodeId, peer: NodeId, addrs: Vec<SocketAddr>) {
        if self.links.contains(peer) {
            return;
        }
        let source = self.links.addr(from).map(|addr| addr.ip());
        let usable = addrs.into_iter().filter(|a| may_probe(*a, source)).collect();
        if let Some(member) = self.roster.get_mut(peer) {
            member.reported_at(usable);
        }
    }

    /// Others hold this node for suspect or down: it refutes with a higher incarnation than they know, at most once in a
    /// period, or one of them could keep all members busy.
    fn refute(&mut self, from: NodeId, suspected: bool, cx: &mut Cx<'_>) {
        if self.own.order().1 != Presence::Here
            || self.refuted_at.is_some_and(|at| cx.now.since(at) < self.config.period)
        {
            return;
        }
        self.refuted_at = Some(cx.now);
        self.roster.stir();
        self.own.rise(0);
        self.stats.refuted = self.stats.refuted.saturating_add(1);
        // That one had no answer says something of this node; that the same one says so again and again does not.
        if suspected && self.tellers.is_heard(from, cx.now) {
            self.adjust_health(1, 0, cx.me);
            self.tellers.contradict(from, cx.now, cx.rng);
        }
        self.announce_self(cx.me);
    }

    /// Those of these members that `from` is to be asked about now.
    pub(super) fn ask(&mut self, from: NodeId, about: Vec<NodeId>, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        if about.is_empty() {
            return;
        }
        let about = self.tellers.ask(from, about, cx.now);
        if !about.is_empty() {
            self.send(from, &Message::Ask(about), out);
        }
    }

    /// Answers a question for statements; false if it comes too often.
    pub(super) fn answer(&mut self, from: NodeId, about: &[NodeId], cx: &Cx<'_>, out: &mut Outbox<Out>) -> bool {
        let granted = self.tellers.grant(from, about.len(), cx.now);
        let mut told = Vec::new();
        for id in about.iter().take(granted) {
            // Its own old one, too: a node that restarted has to exceed it.
            told.extend(if *id == cx.me { Some(self.own.told()) } else { self.roster.get(*id).and_then(Member::told) });
        }
        for piece in told.chunks(MAX_STATEMENTS) {
            self.send(from, &Message::Statements(piece.to_vec()), out);
        }
        granted == about.len()
    }

    /// Takes in a statement that `from` sent. `Ok(false)` if the zone is too large with the member.
    pub(super) fn stated(
        &mut self,
        from: NodeId,
        told: Told,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Result<bool, DropReason> {
        let sender = self.links.record(from).filter(|record| record.id() == from);
        let (peer, record, statement) = subject(&told, sender.map(|record| (from, record)))?;
        if peer != from && !self.tellers.was_asked(from, peer) {
            return Err(DropReason::Duplicate);
        }
        let known = match peer == cx.me {
            true => Some(self.own.order()),
            false => self.roster.get(peer).and_then(|m| m.stated.as_ref()).map(Statement::order),
        };
        if known.is_some_and(|known| statement.order() <= known) {
            return Ok(true);
        }
        believe(&record, &statement, cx.wall)?;
        self.tellers.answered(peer);
        if peer == cx.me {
            // It is of an earlier life.
            self.own.rise(statement.incarnation);
            self.announce_self(cx.me);
            return Ok(true);
        }
        let path = self.links.addr(peer);
        if self.roster.get(peer).is_none() {
            if statement.presence != Presence::Here {
                return Ok(true);
            }
            if self.is_full() {
                return Ok(false);
            }
            let source = self.links.addr(from).map(|addr| addr.ip());
            let mut member = Member::new(cx.now);
            member.reported_at(told.addrs.into_iter().filter(|a| may_probe(*a, source)).collect());
            member.told_by = path.is_none().then_some(from);
            self.insert(peer, member, cx, out);
        }
        let Some(member) = self.roster.get_mut(peer) else { return Ok(true) };
        let newer = statement.incarnation > member.incarnation;
        let (presence, present) = (statement.presence, member.is_present());
        member.incarnation = member.incarnation.max(statement.incarnation);
        member.stated = Some(statement);
        if member.record.as_ref().is_none_or(|old| old.seq < record.seq) {
            member.record = Some(Box::new(record));
        }
        match presence {
            Presence::Here if newer => {
                member.tellers.clear();
                self.set_state(peer, MemberState::Alive, cx, out);
            }
            Presence::Here => {}
            Presence::Away if present => self.set_state(peer, MemberState::Away, cx, out),
            Presence::Left if present => self.set_state(peer, MemberState::Left, cx, out),
            // It is down, and what it says is as old as that.
            Presence::Away | Presence::Left => return Ok(true),
        }
        if let Some(update) = self.roster.get(peer).and_then(|m| m.retold(peer, cx.me)) {
            self.updates.enqueue(update);
        }
        Ok(true)
    }

    /// Whether the zone is too large with one more.
    fn is_full(&self) -> bool {
        self.count().saturating_add(1) > self.capacity
    }

    /// `peer`, which is linked and unknown, sent a message of members: it takes part, whatever its incarnation is. False
    /// if the zone is too large with it.
    pub(super) fn greet(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> bool {
        if self.is_full() {
            return false;
        }
        self.insert(peer, Member::new(cx.now), cx, out);
        self.ask(peer, alloc::vec![peer], cx, out);
        true
    }

    /// Adds a newcomer; those gone for longest make place for it. With the first one the periods begin.
    fn insert(&mut self, peer: NodeId, mut member: Member, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if cx.me > peer {
            member.dial_at = cx.now + THEIR_TURN;
        }
        if let Some(path) = self.links.addr(peer) {
            member.record = self.links.record(peer).map(|record| Box::new(record.clone()));
            member.best_addr(path);
            member.last_received = Some(cx.now);
            member.verified = true;
            member.wanted = true;
            out.push(Out::Want(peer));
        }
        while self.roster.len() >= self.capacity.saturating_mul(2) {
            let Some(gone) = self.roster.oldest_gone() else { break };
            self.forget(gone);
        }
        self.roster.insert(peer, member, cx.rng);
        self.changed = true;
        self.pace.start(cx.now, &mut self.timers, cx.rng);
    }

    /// A period begins; how long it lasts for a node that is well.
    pub(super) fn begin_period(&mut self, now: Instant) -> Duration {
        self.pace.begin(now, &mut self.timers, &self.health)
    }

    /// Has the next period begin early if something happened to a member.
    pub(super) fn keep_pace(&mut self, now: Instant) {
        if self.roster.take_stirred() {
            self.pace.stir(now, &mut self.timers, &self.health);
        }
    }

    /// `peer` keeps no zone. Others hear that from it.
    pub(super) fn left(&mut self, peer: NodeId, cx: &Cx<'_>, out: &mut Outbox<Out>) {
        self.set_state(peer, MemberState::Left, cx, out);
        self.updates.forget(peer);
    }

    fn forget(&mut self, peer: NodeId) {
        self.roster.remove(peer);
        self.updates.forget(peer);
    }

    /// Forgets members that are gone for long.
    pub(super) fn forget_gone(&mut self, now: Instant) {
        for id in self.roster.gone_since(now.before(self.config.forget_after)) {
            self.forget(id);
        }
        if let Some(next) = self.roster.oldest_gone().and_then(|id| self.roster.get(id)).map(|m| m.since) {
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
        self.tellers.clear();
        self.timers = Timers::new();
        self.health.reset();
        self.changed = true;
    }

    /// A zone begins.
    pub(super) fn begin(&mut self) {
        self.changed = true;
    }

    /// Reports the members that this node met, if they changed; none without a zone. Of others it knows by hearsay alone.
    pub(super) fn report(&mut self, zone: bool, out: &mut Outbox<Out>) {
        if !core::mem::take(&mut self.changed) {
            return;
        }
        let met = self.roster.iter().filter(|(_, m)| m.is_present() && m.verified);
        let members: Vec<NodeId> = met.map(|(id, _)| id).collect();
        let members = zone.then_some(members);
        if members != self.reported {
            self.reported.clone_from(&members);
            out.push(Out::Fact(Fact::Zone(members)));
        }
    }

    pub(super) fn footprint(&self) -> usize {
        let reported = self.reported.as_ref().map_or(0, Vec::len);
        let parts = [self.links.footprint(), self.tellers.len(), self.updates.len(), self.timers.len(), reported];
        parts.into_iter().fold(self.roster.footprint(), usize::saturating_add)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self, zone: bool) -> Result<(), &'static str> {
        if !zone && (self.roster.len() > 0 || self.updates.len() > 0) {
            return Err("without a zone there are members, or updates about them");
        }
        self.tellers.check()?;
        self.roster.check()
    }
}
