//! The shape every state machine has, so that one contract suite and one fuzz harness cover all.
//!
//! A machine takes an owned input, changes itself, and pushes outputs; it sees no sibling, no clock
//! and no socket. Outputs marked with [`Outbox::after_commit`] leave only when the records emitted
//! in the same step are on disk.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::rng::Rng;
use crate::store::{Op, Table};
use crate::time::{Instant, WallTime};

/// What a machine is told with every call.
pub(crate) struct Cx<'a> {
    pub now: Instant,
    pub wall: WallTime,
    pub me: NodeId,
    /// This machine's own stream: an extra draw here shifts no other machine.
    pub rng: &'a mut Rng,
}

pub(crate) trait Machine {
    /// Names the machine in deadlines and statistics.
    const NAME: &'static str;
    type In;
    type Out;

    fn handle(&mut self, cx: &mut Cx<'_>, input: Self::In, out: &mut Outbox<Self::Out>);
    /// Does what is due. A call before the deadline changes nothing and emits nothing.
    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Self::Out>);
    fn next_deadline(&self) -> Option<Instant>;
    /// Entries held, for the memory law.
    fn footprint(&self) -> usize;
}

/// One thing a machine wants done.
#[derive(Debug)]
pub(crate) enum Emit<O> {
    /// At once.
    Now(O),
    /// When everything this step stores is on disk.
    Committed(O),
    /// A change to the store.
    Store(Op),
}

/// Where a machine pushes what it wants done, in order.
pub(crate) struct Outbox<O>(VecDeque<Emit<O>>);

impl<O> Outbox<O> {
    pub(crate) fn new() -> Self {
        Self(VecDeque::new())
    }

    pub(crate) fn push(&mut self, out: O) {
        self.0.push_back(Emit::Now(out));
    }

    pub(crate) fn after_commit(&mut self, out: O) {
        self.0.push_back(Emit::Committed(out));
    }

    pub(crate) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.0.push_back(Emit::Store(Op::Put { table, key, value }));
    }

    pub(crate) fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.0.push_back(Emit::Store(Op::Delete { table, key }));
    }

    pub(crate) fn pop(&mut self) -> Option<Emit<O>> {
        self.0.pop_front()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything pushed, with what waits for a commit let go at once.
    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(crate) fn take(&mut self) -> Vec<O> {
        let mut all = Vec::new();
        for emit in self.0.drain(..) {
            match emit {
                Emit::Now(o) | Emit::Committed(o) => all.push(o),
                Emit::Store(_) => {}
            }
        }
        all
    }
}
