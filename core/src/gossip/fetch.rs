//! Announcements and what follows from them: fetching what does not come, serving others that fetch, and the tree's
//! optimisation (PlumTree §3.7, §3.8).

use alloc::vec::Vec;

use crate::collections::ShortId;
use crate::gossip::forward::BEHIND;
use crate::gossip::missing::Announcer;
use crate::gossip::peer::Peer;
use crate::gossip::wire::{IHave, MAX_IHAVE, Message};
use crate::gossip::{Gossip, Out, Timer};
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::planted::{Bug, planted};
use crate::stats::DropReason;
use crate::time::{Duration, Instant, share};

/// While broadcasts come in, one that is missing may be among those that the host has not read yet: it is asked for
/// when none came for 5 ms, the time of fifty at the rate of a burst (docs/benchmarks.md).
const QUIET: Duration = Duration::from_millis(5);
/// It is not waited for longer than this.
const MAX_HELD: Duration = Duration::from_secs(1);
/// The tree or an answer is waited for no longer than this: the 64 hops of `ttl` at 30 ms each, so that no peer that
/// announces what it sends late keeps others from repairing their tree, nor a round trip of which the last measure was a
/// stalled process.
const MAX_LATENESS: Duration = Duration::from_secs(2);

impl Gossip {
    /// A peer announced broadcasts. What `cannot` come otherwise is asked for at once.
    pub(super) fn on_ihave(
        &mut self,
        cx: &Cx<'_>,
        from: NodeId,
        list: Vec<IHave>,
        cannot: bool,
        out: &mut Outbox<Out>,
    ) {
        self.admit_linked(from);
        for IHave { id, round } in list {
            let Some(peer) = self.peers.get_mut(&from) else { return };
            if !peer.may_announce(cx.now) || round == 0 || round > self.config.ttl {
                self.drops.count(DropReason::Rate);
                continue;
            }
            let announcer = Announcer { from, round };
            if self.cache.get(&id).is_some() {
                self.optimise(cx.now, id, announcer, out);
                continue;
            }
            if self.seen.contains(&id) || self.unvalidated.contains_key(&id) {
                continue;
            }
            if !self.missing.announced(id, announcer, cx.now) {
                self.drops.count(DropReason::Queue);
                continue;
            }
            let waits = self.timers.get(Timer::Missing(id)).is_some();
            let asked = self.missing.get_mut(&id).is_some_and(|m| m.asked > 0);
            if cannot && !asked {
                self.fetch(cx, id, out);
            } else if !waits && !planted(Bug::GraftTimerNotArmed) {
                self.fetch_at(id, cx.now + self.patience());
            }
        }
    }

    /// A peer announced what is here already. If its way from the source is much shorter than the parent's,
    /// broadcast after broadcast, it becomes the parent (§3.8).
    pub(super) fn optimise(
        &mut self,
        now: Instant,
        id: ShortId,
        Announcer { from, round }: Announcer,
        out: &mut Outbox<Out>,
    ) {
        let Some(recent) = self.cache.get_mut(&id) else { return };
        recent.held_by(from);
        let broadcast = &mut recent.broadcast;
        let Some(parent) = broadcast.via.filter(|via| *via != from) else { return };
        let Some(peer) = self.peers.get_mut(&from).filter(|p| p.neighbour && !p.eager && !p.low_power) else { return };
        if !peer.is_shorter_way(now, broadcast.round, round, self.config.optimise) {
            return;
        }
        broadcast.via = Some(from);
        broadcast.round = round;
        self.peers.values_mut().for_each(Peer::reset_comparison);
        self.graft(from, None, out);
        self.prune(now, parent, out);
    }

    /// Whether what `from` offers comes from no other peer: there is no other neighbour, or this node is so new in its
    /// zone that no instruction may have been for it.
    pub(super) fn cannot_come_otherwise(&self, from: NodeId, now: Instant) -> bool {
        let new = self.instructed.is_active() && self.instructed.is_new_here(now);
        new || self.peers.iter().all(|(p, e)| *p == from || !e.neighbour)
    }

    pub(super) fn on_graft(&mut self, cx: &Cx<'_>, from: NodeId, id: Option<ShortId>, out: &mut Outbox<Out>) {
        self.admit_linked(from);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if !peer.may_fetch(cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        peer.eager = true;
        peer.needs_this_node = true;
        let Some(recent) = id.and_then(|id| self.cache.get_mut(&id)) else { return };
        if recent.serve(from) {
            let whole = recent.broadcast.whole();
            self.send_broadcast(from, &whole, out);
        }
    }

    /// How long an announced broadcast may take to come by itself: two round trips of nine neighbours in ten,
    /// and a batch (docs/design/broadcast.md §2), and at least what is configured. Where the tree's own way takes
    /// longer than the way of ids, twice its longest of the last 64: what is fetched too early makes a branch
    /// that is short for one sender and adds hops for the others.
    pub(super) fn patience(&self) -> Duration {
        let mut rtts: Vec<Duration> = self.peers.values().filter(|p| p.neighbour).filter_map(|p| p.rtt).collect();
        rtts.sort_unstable();
        let at = rtts.len().saturating_mul(9).div_ceil(10).saturating_sub(1);
        let slow = rtts.get(at).copied().unwrap_or_default();
        let by_itself = slow.saturating_mul(2).saturating_add(self.config.batch).max(self.lateness.twice());
        self.config.graft_after.max(by_itself.min(MAX_LATENESS))
    }

    pub(super) fn fetch_at(&mut self, id: ShortId, at: Instant) {
        if let Some(missing) = self.missing.get_mut(&id) {
            missing.due = at;
            self.timers.arm(Timer::Missing(id), at);
        }
    }

    /// A missing broadcast is due: it is fetched, unless it may lie unread before this node. That is so while
    /// broadcasts come in, and where the deadline is noticed late.
    pub(super) fn fetch_due(&mut self, cx: &Cx<'_>, id: ShortId, out: &mut Outbox<Out>) {
        let Some(missing) = self.missing.get_mut(&id) else { return };
        let late = cx.now.since(missing.due);
        let quiet = self.received_at.map_or(cx.now, |at| at + QUIET);
        let at = if late > BEHIND { cx.now + late } else { quiet }.min(missing.latest(MAX_HELD));
        if at > cx.now {
            return self.fetch_at(id, at);
        }
        self.fetch(cx, id, out);
    }

    /// Fetches a missing broadcast from its next announcer, or gives it up.
    pub(super) fn fetch(&mut self, cx: &Cx<'_>, id: ShortId, out: &mut Outbox<Out>) {
        let peers = &self.peers;
        if let Some(from) = self.missing.next_announcer(&id, |p| peers.contains_key(p)) {
            let answer = peers.get(&from).and_then(|p| p.rtt).unwrap_or_default();
            let wait = self.config.graft_next.max(share(answer, 6, 5).min(MAX_LATENESS));
            self.fetch_at(id, cx.now + wait);
            return self.graft(from, Some(id), out);
        }
        // Anti-entropy finds it if it exists.
        for Announcer { from, .. } in self.missing.remove(&id).announcers {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.broke_promise(cx.now);
            }
        }
    }

    pub(super) fn announce(&mut self, out: &mut Outbox<Out>) {
        let mut batches = Vec::new();
        for (&to, peer) in &mut self.peers {
            let mut list = core::mem::take(&mut peer.announce);
            // A peer that announced it meanwhile has it.
            list.retain(|h| self.cache.get(&h.id).is_some_and(|r| !r.is_held_by(to)));
            batches.extend(list.chunks(MAX_IHAVE).map(|part| (to, Message::IHave(part.to_vec()))));
        }
        for (to, message) in batches {
            self.send_control(to, &message, out);
        }
    }
}
