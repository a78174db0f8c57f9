//! Every machine, as the list says. What the engine does for each of them follows from it: its field, its place in
//! the order, its deadline, statistics, footprint, entropy, tables, reads and restore.

use alloc::vec::Vec;

use crate::engine::Deadline;
use crate::engine::list::list;
use crate::engine::own;
use crate::engine::queue::Queues;
use crate::engine::slot::{At, Slot};
use crate::engine::work::{Reader, Work};
use crate::error::RestoreError;
use crate::machine::{Machine, Setup};
use crate::planted::reported;
use crate::stats::Stats;
use crate::store::{Record, Table};
use crate::time::Instant;
use crate::wakes::Wakes;

macro_rules! machines {
    ($($field:ident: $Machine:ident,)+) => {
        /// Every machine of a node.
        pub(super) struct Machines {
            $(pub(super) $field: Slot<crate::$field::$Machine>,)+
        }

        /// How many machines there are.
        pub(super) const COUNT: usize = [$(<crate::$field::$Machine as Machine>::NAME),+].len();

        /// Every table with its owner.
        const OWNERS: [(&str, &[(&str, Table)]); COUNT.saturating_add(1)] =
            [("engine", own::TABLES), $((<crate::$field::$Machine as Machine>::NAME, <crate::$field::$Machine as Machine>::TABLES)),+];

        /// The contract of every machine, as a fuzz target.
        #[cfg(any(test, fuzzing, feature = "fuzzing"))]
        pub(crate) const CONTRACTS: [(&str, crate::fuzzing::Target); COUNT] =
            [$((<crate::$field::$Machine as Machine>::NAME, crate::fuzzing::machine::<crate::$field::$Machine>)),+];

        /// What the contract suite draws for every machine.
        #[cfg(any(test, fuzzing, feature = "fuzzing"))]
        pub(crate) const DRAWS: [(&str, fn() -> crate::contract::Drawn); COUNT] =
            [$((<crate::$field::$Machine as Machine>::NAME, crate::contract::drawn::<crate::$field::$Machine>)),+];

        impl Machines {
            /// Restores every machine from its records.
            ///
            /// # Errors
            /// A record that its machine cannot read, or of a table that no machine has.
            pub(super) fn open(
                setup: Setup<'_>,
                records: Vec<Record>,
                seed: &[u8; 32],
                at: At,
                q: &mut Queues,
            ) -> Result<Self, RestoreError> {
                let mut records = records;
                records.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
                let mut of = |tables: &[(&str, Table)]| -> Vec<Record> {
                    records.extract_if(.., |r| tables.iter().any(|(_, t)| *t == r.table)).collect()
                };
                let opened = Self { $($field: Slot::open(setup, of(<crate::$field::$Machine as Machine>::TABLES), seed, at, q)?,)+ };
                match records.first() {
                    Some(record) => Err(RestoreError::UnknownTable(record.table)),
                    None => Ok(opened),
                }
            }

            /// Does one piece of work.
            pub(super) fn step(&mut self, at: At, work: Work, q: &mut Queues) {
                match work {
                    Work::Fact(fact) => { $(self.$field.run(at, q, |m, cx, out| m.fact(cx, &fact, out));)+ }
                    $(Work::$Machine(input) => self.$field.run(at, q, |m, cx, out| m.handle(cx, input, out)),)+
                }
            }

            /// The answer to a read of one of the machines.
            pub(super) fn records(&mut self, at: At, reader: Reader, read: u64, records: Vec<Record>, q: &mut Queues) {
                match reader {
                    Reader::Events => q.events.refilled(&records),
                    $(Reader::$Machine => self.$field.run(at, q, |m, cx, out| m.records(cx, read, records, out)),)+
                }
            }

            /// Every machine does what is due.
            pub(super) fn handle_timeout(&mut self, at: At, wakes: Option<Wakes>, q: &mut Queues) {
                $(if self.$field.deadline(wakes).is_some_and(|due| due <= at.now) {
                    self.$field.run(at, q, |m, cx, out| m.handle_timeout(cx, out));
                })+
            }

            /// The soonest deadline with its machine: of equal ones the first in the list.
            pub(super) fn next_deadline(&self, wakes: Option<Wakes>) -> Option<Deadline> {
                let all: [(Option<Instant>, &'static str); COUNT] =
                    [$((reported(self.$field.deadline(wakes), <crate::$field::$Machine as Machine>::NAME), <crate::$field::$Machine as Machine>::NAME)),+];
                let due = all.into_iter().filter_map(|(at, why)| Some(Deadline { at: at?, why }));
                due.min_by_key(|deadline| deadline.at)
            }

            pub(super) fn count(&self, stats: &mut Stats) {
                $(self.$field.count(stats);)+
            }

            pub(super) fn footprint(&self) -> usize {
                [$(self.$field.footprint()),+].into_iter().fold(0, usize::saturating_add)
            }

            /// Mixes randomness of the host into every stream.
            pub(super) fn mix(&mut self, entropy: &[u8; 32]) {
                $(self.$field.rng.mix(entropy);)+
            }

            /// The first invariant that does not hold.
            #[cfg(any(test, debug_assertions))]
            pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
                $(self.$field.check().map_err(|broken| (<crate::$field::$Machine as Machine>::NAME, broken))?;)+
                Ok(())
            }

            /// What holds between machines when nothing is left to do.
            #[cfg(any(test, debug_assertions))]
            pub(super) fn check_all(&self) -> Result<(), (&'static str, &'static str)> {
                let links = self.link.linked().count();
                $(if Machine::linked(&*self.$field) > links {
                    return Err((<crate::$field::$Machine as Machine>::NAME, "it knows links that are gone"));
                })+
                let (kept, lists) = (self.contacts.iter().count(), self.device.lists());
                if self.device.kept() > kept {
                    return Err(("device", "there are more contacts than the contacts machine has"));
                }
                if self.contacts.listed() > lists || self.chat.listed() > lists {
                    return Err(("device", "the devices of more accounts are known than there are lists"));
                }
                // A contact has its row, who stands for it, and the devices of its list.
                let most = kept.saturating_mul(crate::wire::devices::MAX_DEVICES.saturating_add(2));
                match self.session.trusted() <= most {
                    true => Ok(()),
                    false => Err(("session", "more keys are verified or held than contacts have devices")),
                }
            }
        }
    };
}

list!(machines);

impl Table {
    /// The name of the table's machine and its own; none for a table of another version.
    pub fn name(self) -> Option<(&'static str, &'static str)> {
        let named = |(owner, tables): (&'static str, &'static [(&'static str, Table)])| {
            tables.iter().find(|(_, t)| *t == self).map(|(name, _)| (owner, *name))
        };
        OWNERS.into_iter().find_map(named)
    }

    /// The table of a machine by its name, as `Table::of("chat", "order")`.
    pub fn of(machine: &str, name: &str) -> Option<Self> {
        let (_, tables) = OWNERS.into_iter().find(|(owner, _)| *owner == machine)?;
        tables.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some((machine, name)) => write!(f, "{machine}.{name}"),
            None => write!(f, "number {}", self.to_byte()),
        }
    }
}

/// No two tables have one byte: checked when this is compiled.
#[expect(clippy::indexing_slicing, reason = "a panic here is an error of the build")]
const _: () = {
    let mut seen = [false; 256];
    let mut owner = 0;
    while owner < OWNERS.len() {
        let tables = OWNERS[owner].1;
        let mut n = 0;
        while n < tables.len() {
            let byte = tables[n].1.to_byte() as usize;
            assert!(!seen[byte], "two tables have one byte");
            seen[byte] = true;
            n += 1;
        }
        owner += 1;
    }
};
