//! The life of a node: its state, what it lost, and how it recovers.

use crate::collections::OrderedSet;
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::time::{Duration, Instant, soonest};

use super::interface::Out;
use super::losses::Losses;
use super::open_links::Links;
use super::state::{NodeState, Trigger};

/// Histories count as compared after this at the latest: one reconciliation of the chat machine.
const COMPARED: Duration = Duration::from_secs(30);

pub(super) struct Lifecycle {
    state: NodeState,
    losses: Losses,
    /// Since when histories are compared after a failure.
    recovering: Option<Instant>,
    /// Losses remembered: neighbours and members of the zone.
    max_losses: usize,
}

impl Lifecycle {
    pub(super) fn new(max_losses: usize) -> Self {
        Self { state: NodeState::Initializing, losses: Losses::default(), recovering: None, max_losses }
    }

    pub(super) fn state(&self) -> NodeState {
        self.state
    }

    /// Whether the node is in a network, or on its way in.
    pub(super) fn running(&self) -> bool {
        !matches!(self.state, NodeState::Initializing | NodeState::Leaving)
    }

    pub(super) fn losses(&self) -> &Losses {
        &self.losses
    }

    /// The zone has so many other members.
    pub(super) fn zone_size(&mut self, others: usize) {
        self.losses.zone_size(others);
    }

    /// `peer` left or sleeps: that is no failure.
    pub(super) fn excused(&mut self, peer: NodeId) {
        self.losses.forget(peer);
    }

    pub(super) fn trigger(&mut self, trigger: Trigger, out: &mut Outbox<Out>) {
        let from = self.state;
        self.state = from.after(trigger);
        if self.state != from {
            out.push(Out::State { from, to: self.state });
        }
    }

    pub(super) fn leave(&mut self, out: &mut Outbox<Out>) {
        self.trigger(Trigger::Leave, out);
        self.losses = Losses::default();
        self.recovering = None;
    }

    /// A link or a neighbour: the network answers, unless too many others are missing.
    pub(super) fn reached(&mut self, trigger: Trigger, now: Instant, out: &mut Outbox<Out>) {
        if !self.losses.too_many() {
            self.trigger(trigger, out);
            self.begin_recovery(now);
        }
    }

    /// A neighbour or a member of the zone does not answer. Returns whether with it too many are lost.
    pub(super) fn lost(&mut self, peer: NodeId, neighbours: usize, now: Instant, out: &mut Outbox<Out>) -> bool {
        if !self.running() {
            return false;
        }
        let before = self.losses.too_many();
        let recovering = self.state == NodeState::Recovering;
        if !self.losses.add(peer, neighbours, self.max_losses, recovering, now) {
            return false;
        }
        self.recovering = None;
        self.trigger(Trigger::Lost, out);
        !before
    }

    /// A lost peer answers again.
    pub(super) fn regained(
        &mut self,
        peer: NodeId,
        links: &Links,
        neighbours: &OrderedSet<NodeId>,
        now: Instant,
        out: &mut Outbox<Out>,
    ) {
        if self.losses.regain(peer) {
            self.restored(Some(peer), links, neighbours, now, out);
        }
    }

    fn restored(
        &mut self,
        through: Option<NodeId>,
        links: &Links,
        neighbours: &OrderedSet<NodeId>,
        now: Instant,
        out: &mut Outbox<Out>,
    ) {
        self.losses.restored(now);
        if links.is_empty() {
            return;
        }
        self.trigger(Trigger::Restored, out);
        self.begin_recovery(now);
        let through = through.filter(|p| links.contains(*p)).or_else(|| neighbours.first().copied());
        if let Some(peer) = through {
            out.push(Out::Compare(peer));
        }
    }

    /// In `RECOVERING`: it ends with a comparison of histories.
    fn begin_recovery(&mut self, now: Instant) {
        if self.state == NodeState::Recovering && self.recovering.is_none() {
            self.recovering = Some(now);
        }
    }

    /// The history here has all that a neighbour's has, or there was enough time for it.
    pub(super) fn compared(&mut self, neighbours: &OrderedSet<NodeId>, out: &mut Outbox<Out>) {
        if self.state == NodeState::Recovering && !neighbours.is_empty() {
            self.recovering = None;
            self.trigger(Trigger::Compared, out);
        }
    }

    pub(super) fn handle_timeout(
        &mut self,
        links: &Links,
        neighbours: &OrderedSet<NodeId>,
        now: Instant,
        out: &mut Outbox<Out>,
    ) {
        if self.losses.give_up(now) {
            self.restored(None, links, neighbours, now, out);
        }
        if self.recovering.is_some_and(|at| at + COMPARED <= now) {
            self.recovering = None;
            self.compared(neighbours, out);
        }
        // Without a neighbour there is no history to compare with: again when there may be one.
        self.begin_recovery(now);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        soonest(self.losses.given_up_at(), self.recovering.map(|at| at + COMPARED))
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match !self.running() && self.losses.len() > 0 {
            true => Err("a node that is in no network has lost peers"),
            false => Ok(()),
        }
    }
}
