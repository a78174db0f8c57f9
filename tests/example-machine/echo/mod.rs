//! An example of a machine: it greets each peer when a link opens, counts the greetings that come back, keeps the
//! count, and forgets peers that did not answer in time. `cargo xtask test machine` adds it to a copy of the core.

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;

use alloc::vec::Vec;

use crate::collections::DeadlineQueue;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::machine::{Command, Cx, Machine, Outbox, Setup};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant};
use crate::wire::Malformed;

/// The number of greetings, under the key `count`.
const COUNT: Table = Table::hot(60);
/// A peer answers within this or is forgotten: 10 s, an example.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) enum In {
    Message { from: NodeId, body: Vec<u8> },
}

#[derive(Debug)]
pub(crate) enum Out {
    Send { to: NodeId, body: Vec<u8> },
}

pub(crate) struct Echo {
    /// Peers that were greeted and have not answered; as many as there are links.
    greeted: DeadlineQueue<NodeId>,
    count: u64,
    drops: Drops,
}

/// How many greetings were answered.
#[derive(Debug)]
pub(crate) struct Count;

impl Command<Echo> for Count {
    type Answer = u64;

    fn run(self, echo: &mut Echo, _cx: &mut Cx<'_>, _out: &mut Outbox<Out>) -> u64 {
        echo.count
    }
}

impl Machine for Echo {
    const NAME: &'static str = "echo";
    const TABLES: &'static [(&'static str, Table)] = &[("count", COUNT)];
    type In = In;
    type Out = Out;

    fn open(
        _setup: Setup<'_>,
        records: Vec<Record>,
        _cx: &mut Cx<'_>,
        _out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        let count = match records.first() {
            Some(record) => u64::from_le_bytes(record.value.as_slice().try_into().map_err(|_| Malformed)?),
            None => 0,
        };
        Ok(Self { greeted: DeadlineQueue::new(), count, drops: Drops::default() })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern others")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match *fact {
            Fact::LinkUp { peer, .. } => {
                self.greeted.arm(peer, cx.now + PATIENCE);
                out.push(Out::Send { to: peer, body: alloc::vec![1] });
            }
            Fact::LinkDown { peer, .. } => self.greeted.cancel(peer),
            _ => {}
        }
    }

    fn handle(&mut self, _cx: &mut Cx<'_>, In::Message { from, body }: In, out: &mut Outbox<Out>) {
        match body.as_slice() {
            [1] => out.push(Out::Send { to: from, body: alloc::vec![2] }),
            [2] if self.greeted.get(from).is_some() => {
                self.greeted.cancel(from);
                self.count = self.count.saturating_add(1);
                out.put(COUNT, b"count".to_vec(), self.count.to_le_bytes().to_vec());
            }
            _ => self.drops.count(DropReason::Message),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, _out: &mut Outbox<Out>) {
        while self.greeted.pop_due(cx.now).is_some() {}
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.greeted.next()
    }

    fn footprint(&self) -> usize {
        self.greeted.len()
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}
