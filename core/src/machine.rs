//! The shape every state machine has, so that one composition, one contract suite and one fuzz harness cover
//! all.
//!
//! A machine takes an owned input, changes its state, and pushes outputs; it sees no sibling, no clock
//! and no socket. Outputs marked with [`Outbox::after_commit`] leave only when the records emitted
//! in the same step are on disk.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::collections::release_burst;
use crate::config::Config;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::identity::Identity;
use crate::rng::Rng;
use crate::stats::Stats;
use crate::store::{Op, Record, Table};
use crate::time::{Instant, WallTime};
use crate::wire::Malformed;

/// What accompanies every call of a machine.
pub(crate) struct Cx<'a> {
    pub now: Instant,
    pub wall: WallTime,
    pub me: NodeId,
    /// This machine's own stream: an extra draw here shifts no other machine.
    pub rng: &'a mut Rng,
}

/// What a machine is made of.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub config: &'a Config,
    pub identity: &'a Identity,
}

pub(crate) trait Machine: Sized {
    /// Names the machine in deadlines, tables and statistics.
    const NAME: &'static str;
    /// Its tables, with a name each. No two machines have one byte (checked when the core is built).
    const TABLES: &'static [(&'static str, Table)] = &[];
    type In;
    type Out;

    /// The machine restored from its stored records. `records` are those of its hot tables, in the order of table
    /// and key; none on the first start. Nothing is transmitted before the records of this call are on disk.
    ///
    /// # Errors
    /// A record that cannot be read.
    fn open(
        setup: Setup<'_>,
        records: Vec<Record>,
        cx: &mut Cx<'_>,
        out: &mut Outbox<Self::Out>,
    ) -> Result<Self, Malformed>;

    fn handle(&mut self, cx: &mut Cx<'_>, input: Self::In, out: &mut Outbox<Self::Out>);

    /// Something happened. A machine reacts to the facts that concern it.
    fn fact(&mut self, _cx: &mut Cx<'_>, _fact: &Fact, _out: &mut Outbox<Self::Out>) {}

    /// The answer to a read that this machine requested under this number.
    fn records(&mut self, _cx: &mut Cx<'_>, _read: u64, _records: Vec<Record>, _out: &mut Outbox<Self::Out>) {}

    /// Does what is due. A call before the deadline changes nothing and emits nothing.
    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Self::Out>);

    fn next_deadline(&self) -> Option<Instant>;

    /// The same without what recurs and may wait until a node of low power wakes. Read on such a node alone.
    fn pressing_deadline(&self) -> Option<Instant> {
        self.next_deadline()
    }

    /// Entries held, for the memory law.
    fn footprint(&self) -> usize;

    /// Adds this machine's counters to the node's.
    fn count(&self, stats: &mut Stats);

    /// Executes every written `INVARIANT` of the machine: an error names the one that does not hold. Called
    /// after every step of the contract suite and every event of the simulator, in builds with debug assertions.
    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str>;

    /// How many links it knows, if it keeps a table of them: at most as many as there are. The contract suite counts the
    /// facts, and the engine the links.
    #[cfg(any(test, debug_assertions))]
    fn linked(&self) -> usize {
        0
    }
}

/// An input that is answered at once: a command of the application.
pub(crate) trait Command<M: Machine> {
    type Answer;

    fn run(self, machine: &mut M, cx: &mut Cx<'_>, out: &mut Outbox<M::Out>) -> Self::Answer;
}

/// One output of a machine.
#[derive(Debug)]
pub(crate) enum Emit<O> {
    /// At once.
    Now(O),
    /// When everything this step stores is on disk.
    Committed(O),
    /// A change to the store.
    Store(Op),
}

/// Where a machine pushes its outputs, in order.
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

    /// Removes every key from `start` up to but not including `end`.
    pub(crate) fn delete_range(&mut self, table: Table, start: Vec<u8>, end: Vec<u8>) {
        self.0.push_back(Emit::Store(Op::DeleteRange { table, start, end }));
    }

    /// Pushes all that another holds.
    pub(crate) fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn pop(&mut self) -> Option<Emit<O>> {
        self.0.pop_front()
    }

    /// All of them were taken, `count` since it was last empty.
    pub(crate) fn emptied(&mut self, count: usize) {
        release_burst(&mut self.0, count);
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything pushed, with the outputs that wait for a commit released at once.
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
