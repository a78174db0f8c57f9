//! The search for neighbours: which candidates are tried, and how fast. It slows down where the network has all it
//! needs.

use crate::collections::Backoff;
use crate::config::MembershipConfig;
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::time::{Instant, soonest};

use super::interface::Out;
use super::peers::Peers;

/// What the search is for.
pub(super) struct Need {
    pub capacity: usize,
    pub neighbours: usize,
    /// A neighbour took this node since it was last alone.
    pub joined: bool,
}

pub(super) struct Search {
    config: MembershipConfig,
    /// Refusals in a row: the network has what it needs, and one neighbour less than wanted is no reason to ask
    /// every node.
    refusals: u32,
    /// When to look for more neighbours again, with half of them there.
    not_before: Instant,
    /// When to look for candidates again.
    try_at: Option<Instant>,
    /// When to ask a linked node for names.
    ask_at: Option<Instant>,
}

impl Search {
    pub(super) fn new(config: &MembershipConfig) -> Self {
        Self { config: config.clone(), refusals: 0, not_before: Instant::ZERO, try_at: None, ask_at: None }
    }

    pub(super) fn stop(&mut self) {
        self.hasten();
        self.try_at = None;
        self.ask_at = None;
    }

    /// No candidate is tried until the next [`Self::run`].
    pub(super) fn rest(&mut self) {
        self.try_at = None;
    }

    /// No node has capacity, or one was named that has: the search waits.
    pub(super) fn back_off(&mut self, cx: &mut Cx<'_>) {
        let backoff = Backoff::new(self.config.promote_after, self.config.shuffle);
        self.not_before = cx.now + backoff.pause(self.refusals, cx.rng);
    }

    /// A node has no capacity.
    pub(super) fn refused(&mut self, cx: &mut Cx<'_>) {
        self.back_off(cx);
        self.refusals = self.refusals.saturating_add(1);
    }

    /// A neighbour is lost: others may be searching too.
    pub(super) fn hasten(&mut self) {
        self.refusals = 0;
        self.not_before = Instant::ZERO;
    }

    /// Connects to candidates that are due and not to `skip`: bootstraps, then a random one of the passive view, or
    /// of all known nodes if it has none; after them, if half the neighbours are missing, those that were evicted
    /// from the passive view. Returns a candidate that is linked and has to be asked; then it is to run again.
    pub(super) fn run(
        &mut self,
        need: &Need,
        skip: impl Fn(NodeId) -> bool,
        peers: &mut Peers,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Out>,
    ) -> Option<NodeId> {
        let settled = need.neighbours.saturating_mul(2) >= need.capacity;
        if settled && self.not_before > cx.now {
            self.try_at = Some(self.not_before);
            return None;
        }
        let parallel = match self.config.parallel {
            // The network seems to have all it needs.
            _ if settled && self.refusals > 0 => 1,
            // Many failed at once: as many of the known nodes did.
            usual if !settled && need.joined => usual.max(need.capacity.saturating_sub(need.neighbours)),
            usual => usual,
        };
        let patience = self.config.promote_after;
        let under_way = peers.book.attempts(cx.now, patience).saturating_add(peers.bootstraps.trying());
        let call_at = peers.next_call().filter(|at| *at > cx.now);
        let free = match (call_at, peers.calls.is_limited()) {
            (Some(_), _) => 0,
            (None, true) => 1,
            (None, false) => parallel.saturating_sub(under_way),
        };
        let me = cx.me;
        // One of low power calls when it misses neighbours. A node that has none calls it all the same.
        let asks_itself = |id| need.neighbours > 0 && peers.speaks_first(id);
        let (mut due, later) = peers.book.candidates(cx.now, |id| id == me || skip(id) || asks_itself(id));
        // Those that this node relied on come first, and leave one call to the others.
        let mut free = free;
        while free > 1
            && let Some(at) = peers.latest_anchor(&due)
        {
            let peer = due.swap_remove(at);
            if peers.links.contains(peer) {
                peers.book.attempt_began(peer, cx.now);
                return Some(peer);
            }
            free = free.saturating_sub(1);
            peers.connect(peer, cx.now, out);
        }
        // Where there is one call at a time, bootstraps leave every second one to the known nodes.
        let waits = peers.calls.is_limited() && !due.is_empty() && cx.rng.below(2) == 0;
        let for_bootstraps = if waits { 0 } else { free };
        let links = &peers.links;
        let (left, next) = peers.bootstraps.try_due(for_bootstraps, cx.now, |id| id == me || links.contains(id), out);
        if left < for_bootstraps {
            peers.calls.began(cx.now);
        }
        free = free.saturating_sub(for_bootstraps.saturating_sub(left));
        while free > 0 && !due.is_empty() {
            free = free.saturating_sub(1);
            let elsewhere = peers.elsewhere(&due);
            let some = if elsewhere.is_empty() { (0..due.len()).collect() } else { elsewhere };
            let Some(&at) = cx.rng.pick(&some) else { break };
            let peer = due.swap_remove(at);
            if peers.links.contains(peer) {
                peers.book.attempt_began(peer, cx.now);
                return Some(peer);
            }
            peers.connect(peer, cx.now, out);
        }
        // After a great failure all those may be dead, and no node that lives may know this one.
        while free > 0 && !settled && peers.connect_evicted(cx.now, out) {
            free = free.saturating_sub(1);
        }
        // A node that is being tried will have answered by then, or another is tried.
        let waiting = peers.book.next_overdue(cx.now, patience);
        self.try_at = soonest(soonest(soonest(next, later), waiting), call_at);
        if self.ask_at.is_none() && !peers.links.is_empty() {
            self.ask_later(1, cx);
        }
        None
    }

    /// Whether candidates are due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.try_at.is_some_and(|at| at <= now)
    }

    /// Whether a linked node is to be asked for names now.
    pub(super) fn take_ask(&mut self, now: Instant) -> bool {
        self.ask_at.take_if(|at| *at <= now).is_some()
    }

    /// Sets when the next linked node is asked for names: after so many times the usual pause.
    pub(super) fn ask_later(&mut self, times: u32, cx: &mut Cx<'_>) {
        self.ask_at = Some(cx.now + cx.rng.jitter(self.config.ask_every.saturating_mul(times), 20));
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        soonest(self.try_at, self.ask_at)
    }
}
