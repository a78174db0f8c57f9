//! Running the machines until there is nothing left to do.

use crate::engine::queue::Queues;
use crate::engine::{Effect, Engine, Work, route};
use crate::id::NodeId;
use crate::machine::{Cx, Emit, Machine, Outbox};
use crate::rng::Rng;
use crate::time::{Instant, WallTime};

/// One machine with its own randomness and a place for its outputs.
pub(super) struct Slot<M: Machine> {
    pub(super) machine: M,
    pub(super) rng: Rng,
    pub(super) out: Outbox<M::Out>,
}

impl<M: Machine> Slot<M> {
    pub(super) fn new(machine: M, rng: Rng) -> Self {
        Self { machine, rng, out: Outbox::new() }
    }

    /// Calls `f` with the machine, then passes on what it put out.
    pub(super) fn run<R>(
        &mut self,
        at: (Instant, WallTime, NodeId),
        q: &mut Queues,
        wrap: impl Fn(M::Out) -> Effect,
        f: impl FnOnce(&mut M, &mut Cx<'_>, &mut Outbox<M::Out>) -> R,
    ) -> R {
        let (now, wall, me) = at;
        let mut cx = Cx { now, wall, me, rng: &mut self.rng };
        let result = f(&mut self.machine, &mut cx, &mut self.out);
        while let Some(emit) = self.out.pop() {
            match emit {
                Emit::Now(out) => route::effect(wrap(out), q),
                Emit::Committed(out) => q.staged.push(wrap(out)),
                Emit::Store(op) => q.ops.push(op),
            }
        }
        result
    }

    fn handle(
        &mut self,
        at: (Instant, WallTime, NodeId),
        q: &mut Queues,
        wrap: impl Fn(M::Out) -> Effect,
        input: M::In,
    ) {
        self.run(at, q, wrap, |m, cx, out| m.handle(cx, input, out));
    }

    fn timeout(&mut self, at: (Instant, WallTime, NodeId), q: &mut Queues, wrap: impl Fn(M::Out) -> Effect) {
        if self.machine.next_deadline().is_some_and(|d| d <= at.0) {
            self.run(at, q, wrap, |m, cx, out| m.handle_timeout(cx, out));
        }
    }
}

impl Engine {
    /// Time does not go back; a host whose clock does is late, not wrong.
    pub(super) fn advance(&mut self, now: Instant) -> (Instant, WallTime, NodeId) {
        self.now = self.now.max(now);
        (self.now, self.wall.at(self.now), self.me)
    }

    pub(super) fn due(&mut self, now: Instant) {
        let at = self.advance(now);
        self.link.timeout(at, &mut self.q, Effect::Link);
        self.membership.timeout(at, &mut self.q, Effect::Membership);
        self.discovery.timeout(at, &mut self.q, Effect::Discovery);
        self.delivery.timeout(at, &mut self.q, Effect::Delivery);
        self.gossip.timeout(at, &mut self.q, Effect::Gossip);
        self.swim.timeout(at, &mut self.q, Effect::Swim);
        self.chat.timeout(at, &mut self.q, Effect::Chat);
        self.pump(now);
    }

    /// Processes work first come, first served, up to the step budget; what is left keeps
    /// `next_deadline` in the present.
    pub(super) fn pump(&mut self, now: Instant) {
        let at = self.advance(now);
        let mut budget = self.config.limits.steps_per_call;
        loop {
            while budget > 0
                && let Some(work) = self.q.work.pop_front()
            {
                budget = budget.saturating_sub(1);
                match work {
                    Work::Link(input) => self.link.handle(at, &mut self.q, Effect::Link, input),
                    Work::Membership(input) => self.membership.handle(at, &mut self.q, Effect::Membership, input),
                    Work::Discovery(input) => self.discovery.handle(at, &mut self.q, Effect::Discovery, input),
                    Work::Delivery(input) => self.delivery.handle(at, &mut self.q, Effect::Delivery, input),
                    Work::Gossip(input) => self.gossip.handle(at, &mut self.q, Effect::Gossip, input),
                    Work::Swim(input) => self.swim.handle(at, &mut self.q, Effect::Swim, input),
                    Work::Chat(input) => self.chat.handle(at, &mut self.q, Effect::Chat, input),
                }
            }
            // Effects that wait for nothing may bring more work.
            for effect in self.q.seal() {
                route::effect(effect, &mut self.q);
            }
            if self.q.work.is_empty() || budget == 0 {
                break;
            }
        }
        if let Some(request) = self.q.events.refill(route::EVENT_READ) {
            self.q.requests.push_back(request);
        }
    }
}
