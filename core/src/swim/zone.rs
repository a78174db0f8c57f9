//! The zone itself: who is in it, links between members, whole rosters, forming and dissolving.

use alloc::vec::Vec;

use super::wire::MAX_PIECE;
use super::*;
use crate::wire::reach::may_probe;

/// The link to a member with a smaller id is left to that member for so long: two dials at once cost two
/// handshakes.
const THEIR_TURN: Duration = Duration::from_secs(10);
/// The longest pause between attempts to reach a member; the first is [`THEIR_TURN`].
const DIAL_MAX: Duration = Duration::from_secs(300);
/// Links begun in one period: a newcomer to a zone of 64 has them all after eight.
const DIALS: usize = 8;
/// Another node's roster is asked for again after this: 5 s.
const SYNC_PAUSE: Duration = Duration::from_secs(5);
/// Members that are told of a goodbye directly; they tell the others.
const FAREWELLS: usize = 16;
/// A dissolved zone stays so for this long: one round of estimates, six ticks of ten seconds.
const DISSOLVED: Duration = Duration::from_secs(60);
/// So many times the limit, by the estimate, and a zone that stands is a leftover. The estimate from eight
/// marks is off by this factor once in 1,600 networks.
const LEFTOVER: usize = 4;

impl Swim {
    pub(super) fn link_up(&mut self, peer: NodeId, addr: SocketAddr, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.linked.insert(peer, Linked { addr, seen: heapless::Deque::new() });
        if let Some(member) = self.roster.get_mut(peer) {
            member.proven = true;
            member.dials = 0;
            member.at(addr);
            if member.is_there() && !member.wanted {
                member.wanted = true;
                out.push(Out::Want(peer));
            }
        }
        self.ask_at_last(peer, cx, out);
    }

    pub(super) fn link_down(&mut self, peer: NodeId) {
        self.linked.remove(&peer);
        self.synced.remove(&peer);
        self.declined.remove(&peer);
        if self.roster.get(peer).is_some_and(Member::is_there) {
            self.ask_soon(peer);
        }
    }

    pub(super) fn neighbour_up(&mut self, peer: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.neighbours.insert(peer);
        if self.zone == Zone::Gone {
            // Others remember the goodbye.
            self.incarnation = self.incarnation.saturating_add(1);
            self.zone = Zone::Stands;
        }
        if self.stands() {
            self.sync(peer, true, cx, out);
            if self.timers.get(Timer::Sync).is_none() {
                self.timers.arm(Timer::Sync, cx.now + cx.rng.jitter(self.config.sync_every, 20));
            }
        }
    }

    /// Somebody takes part: a newcomer, or a member that was thought otherwise of.
    pub(super) fn alive(
        &mut self,
        from: NodeId,
        peer: NodeId,
        incarnation: u32,
        addrs: Vec<SocketAddr>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        let source = self.linked.get(&from).map(|l| l.addr.ip());
        let addrs: Vec<SocketAddr> = addrs.into_iter().filter(|a| may_probe(*a, source)).collect();
        let path = self.linked.get(&peer).map(|l| l.addr);
        let mut newer = true;
        match self.roster.get_mut(peer) {
            Some(member) => {
                newer = incarnation > member.incarnation;
                if path.is_none() {
                    addrs.iter().rev().for_each(|a| member.at(*a));
                }
                if newer {
                    member.incarnation = incarnation;
                    self.to(peer, MemberState::Alive, cx.now, out);
                }
            }
            None => {
                // With this one and this node itself.
                if self.roster.there().saturating_add(2) > self.capacity {
                    return self.dissolve(cx, out);
                }
                let mut member = Member::new(incarnation, cx.now);
                addrs.iter().rev().for_each(|a| member.at(*a));
                if cx.me > peer {
                    member.dial_at = cx.now + THEIR_TURN;
                }
                if let Some(path) = path {
                    member.at(path);
                    member.proven = true;
                    member.wanted = true;
                    out.push(Out::Want(peer));
                }
                while self.roster.len() >= self.capacity.saturating_mul(2) {
                    let Some(gone) = self.roster.oldest_gone() else { break };
                    self.roster.remove(gone);
                    self.rumours.forget(gone);
                }
                self.roster.insert(peer, member, cx.rng);
                self.changed = true;
                if self.timers.get(Timer::Period).is_none() {
                    // A place of its own in the period.
                    let first = cx.rng.below(usize::try_from(crate::time::micros(self.config.period)).unwrap_or(1));
                    self.timers.arm(Timer::Period, cx.now + Duration::from_micros((first as u64).max(1)));
                }
            }
        }
        if newer && let Some(member) = self.roster.get(peer) {
            let update = member.update(peer, cx.me);
            self.rumours.tell(update);
        }
    }

    /// Wants links to those members that have none.
    pub(super) fn tend_links(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let mut left = DIALS;
        for (peer, member) in self.roster.iter_mut() {
            if left == 0 {
                break;
            }
            if !member.is_there() || self.linked.contains_key(&peer) || member.dial_at > cx.now {
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

    /// Sends the whole roster, in pieces.
    fn sync(&mut self, to: NodeId, ask: bool, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let mut all = alloc::vec![self.myself(cx)];
        all.extend(self.roster.iter().map(|(id, m)| m.update(id, cx.me)));
        for (i, piece) in all.chunks(MAX_PIECE).enumerate() {
            self.send(to, &Message::Sync { ask: ask && i == 0, roster: piece.to_vec() }, out);
            self.stats.syncs = self.stats.syncs.saturating_add(1);
        }
    }

    pub(super) fn sync_with_somebody(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.stands() {
            return;
        }
        self.timers.arm(Timer::Sync, cx.now + cx.rng.jitter(self.config.sync_every, 20));
        let mut all: BTreeSet<NodeId> = self.roster.iter().filter(|(_, m)| m.is_there()).map(|(id, _)| id).collect();
        all.extend(&self.neighbours);
        let all: Vec<NodeId> = all.into_iter().filter(|id| self.linked.contains_key(id)).collect();
        if let Some(&to) = cx.rng.pick(&all) {
            self.sync(to, true, cx, out);
        }
    }

    pub(super) fn synced(
        &mut self,
        from: NodeId,
        ask: bool,
        roster: Vec<Update>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) {
        self.declined.remove(&from);
        self.learn(from, roster, true, cx, out);
        if !ask || !self.stands() {
            return;
        }
        if self.synced.get(&from).is_some_and(|at| cx.now.since(*at) < SYNC_PAUSE) {
            return self.drops.count(DropReason::Rate);
        }
        self.synced.insert(from, cx.now);
        self.sync(from, false, cx, out);
    }

    /// `from` keeps no zone. Where most do not, or a member gave up a zone that is nearly full, this node keeps
    /// none either: of a zone in which some know one too many and others do not, nothing must be left.
    pub(super) fn declined_by(&mut self, from: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let full = self.n().saturating_mul(4) >= self.capacity.saturating_mul(3);
        let gave_up = self.roster.get(from).is_some_and(Member::is_there);
        if gave_up {
            self.to(from, MemberState::Left, cx.now, out);
            if let Some(update) = self.roster.get(from).map(|m| m.update(from, cx.me)) {
                self.rumours.tell(update);
            }
        }
        self.declined.insert(from);
        if gave_up && full || self.declined.len() > self.roster.there() {
            self.dissolve(cx, out);
        }
    }

    /// The network is too large for a roster of all.
    fn dissolve(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        for to in self.linked_members() {
            self.send(to, &Message::Dissolve, out);
        }
        self.stats.dissolved = self.stats.dissolved.saturating_add(1);
        self.drop_roster(out);
        self.zone = Zone::Dissolved(cx.now);
    }

    fn linked_members(&self) -> Vec<NodeId> {
        let all = self.roster.iter().filter(|(id, m)| m.is_there() && self.linked.contains_key(id));
        all.map(|(id, _)| id).collect()
    }

    fn drop_roster(&mut self, out: &mut Outbox<Out>) {
        let asked: BTreeMap<u32, Probe> = core::mem::take(&mut self.probes);
        for (peer, member) in self.roster.iter() {
            if member.wanted && !self.asked.contains(&peer) {
                out.push(Out::Unwant(peer));
            }
        }
        let timers: Vec<u32> = asked.keys().copied().collect();
        self.roster.clear();
        self.rumours.clear();
        self.urgent.clear();
        self.relays.clear();
        self.synced.clear();
        self.declined.clear();
        let ends: Vec<(u32, Option<Instant>)> =
            timers.iter().map(|seq| (*seq, self.timers.get(Timer::End(*seq)))).collect();
        self.timers = DeadlineQueue::new();
        // Questions that the application waits for go on.
        for (seq, end) in ends {
            if let Some(end) = end.filter(|_| asked.get(&seq).is_some_and(|p| p.asked)) {
                self.timers.arm(Timer::End(seq), end);
            }
        }
        self.probes = asked.into_iter().filter(|(_, p)| p.asked).collect();
        self.health = 0;
        self.changed = true;
    }

    pub(super) fn estimated(&mut self, nodes: usize, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        match self.zone {
            Zone::Stands if nodes > self.capacity.saturating_mul(LEFTOVER) => self.dissolve(cx, out),
            Zone::Dissolved(at) if nodes < self.capacity / 2 && cx.now.since(at) >= DISSOLVED => {
                self.zone = Zone::Stands;
                self.changed = true;
                for peer in self.neighbours.clone() {
                    self.sync(peer, true, cx, out);
                }
                self.timers.arm(Timer::Sync, cx.now + cx.rng.jitter(self.config.sync_every, 20));
            }
            Zone::Stands | Zone::Dissolved(_) | Zone::Gone | Zone::Off => {}
        }
    }

    /// Says goodbye, for good or for a while.
    pub(super) fn go(&mut self, claim: Claim, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.stands() {
            return;
        }
        let mut all = self.linked_members();
        let word = Update { member: cx.me, incarnation: self.incarnation, claim: claim.clone() };
        for _ in 0..FAREWELLS.min(all.len()) {
            let to = all.swap_remove(cx.rng.below(all.len()));
            self.send(to, &Message::Sync { ask: false, roster: alloc::vec![word.clone()] }, out);
        }
        if claim == Claim::Left {
            self.drop_roster(out);
            self.zone = Zone::Gone;
        } else {
            // Whoever sleeps asks nobody; the roster is looked at again when it wakes.
            self.woke(cx);
        }
    }

    pub(super) fn resume(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if !self.stands() {
            return;
        }
        self.woke(cx);
        self.incarnation = self.incarnation.saturating_add(1);
        let word = self.myself(cx);
        self.rumours.tell(word);
        let mut all = self.linked_members();
        if !all.is_empty() {
            let to = all.swap_remove(cx.rng.below(all.len()));
            self.sync(to, true, cx, out);
        }
    }

    pub(super) fn forget_gone(&mut self, cx: &Cx<'_>) {
        let since = cx.now.before(self.config.forget_after);
        let gone = self.roster.iter().filter(|(_, m)| !m.is_there() && m.since <= since);
        let gone: Vec<NodeId> = gone.map(|(id, _)| id).collect();
        for id in gone {
            self.roster.remove(id);
            self.rumours.forget(id);
        }
        let next = self.roster.iter().filter(|(_, m)| !m.is_there()).map(|(_, m)| m.since).min();
        if let Some(next) = next {
            self.timers.arm(Timer::Forget, next + self.config.forget_after);
        }
    }
}
