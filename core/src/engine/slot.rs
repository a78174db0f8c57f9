//! One machine in the engine.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::{Deref, DerefMut};

use crate::engine::queue::Queues;
use crate::engine::route::Route;
use crate::engine::work::Effect;
use crate::error::RestoreError;
use crate::id::NodeId;
use crate::link::Link;
use crate::machine::{Command, Cx, Emit, Machine, Outbox, Setup};
use crate::rng::Rng;
use crate::store::{Record, Table};
use crate::time::{Instant, WallTime, soonest};
use crate::wakes::Wakes;

/// The moment of a step.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) now: Instant,
    pub(super) wall: WallTime,
    pub(super) me: NodeId,
}

/// One machine with its own randomness and a place for its outputs.
pub(super) struct Slot<M: Machine> {
    machine: M,
    pub(super) rng: Rng,
    out: Outbox<M::Out>,
}

impl<M: Machine> Deref for Slot<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.machine
    }
}

impl<M: Machine> DerefMut for Slot<M> {
    fn deref_mut(&mut self) -> &mut M {
        &mut self.machine
    }
}

impl<M: Machine> Slot<M>
where
    M::Out: Route + Into<Effect>,
{
    pub(super) fn open(
        setup: Setup<'_>,
        records: Vec<Record>,
        seed: &[u8; 32],
        at: At,
        q: &mut Queues,
    ) -> Result<Self, RestoreError> {
        let (mut rng, mut out) = (Rng::fork(seed, M::NAME), Outbox::new());
        let table = records.first().map_or(Table::from_byte(0), |r| r.table);
        let mut cx = Cx { now: at.now, wall: at.wall, me: at.me, rng: &mut rng };
        let machine = M::open(setup, records, &mut cx, &mut out).map_err(|_| RestoreError::Record { table })?;
        let mut slot = Self { machine, rng, out };
        slot.pass_on(q);
        Ok(slot)
    }

    /// Calls `f` with the machine, then passes on what it put out.
    pub(super) fn run<R>(
        &mut self,
        at: At,
        q: &mut Queues,
        f: impl FnOnce(&mut M, &mut Cx<'_>, &mut Outbox<M::Out>) -> R,
    ) -> R {
        let mut cx = Cx { now: at.now, wall: at.wall, me: at.me, rng: &mut self.rng };
        let result = f(&mut self.machine, &mut cx, &mut self.out);
        self.pass_on(q);
        result
    }

    /// When the machine is called next: what presses at its time, the rest when the node wakes.
    pub(super) fn deadline(&self, wakes: Option<Wakes>) -> Option<Instant> {
        let next = self.machine.next_deadline();
        match wakes {
            None => next,
            Some(wakes) => soonest(self.machine.pressing_deadline(), next.map(|at| wakes.not_before(at))),
        }
    }

    /// Runs a command and gives its answer.
    pub(super) fn command<C: Command<M>>(&mut self, at: At, q: &mut Queues, command: C) -> C::Answer {
        self.run(at, q, |m, cx, out| command.run(m, cx, out))
    }

    fn pass_on(&mut self, q: &mut Queues) {
        let mut count: usize = 0;
        while let Some(emit) = self.out.pop() {
            count = count.saturating_add(1);
            match emit {
                Emit::Now(out) => out.route(q),
                Emit::Committed(out) => q.staged.push(out.into()),
                Emit::Store(op) => q.ops.push(op),
            }
        }
        self.out.emptied(count);
    }
}

impl Slot<Link> {
    /// The next datagram, sealed now.
    pub(super) fn transmit(&mut self, at: At) -> Option<(SocketAddr, Vec<u8>)> {
        let mut cx = Cx { now: at.now, wall: at.wall, me: at.me, rng: &mut self.rng };
        self.machine.poll_transmit(&mut cx)
    }
}
