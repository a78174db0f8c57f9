//! What a node persists: typed puts and deletes out, records back in. The core never touches a disk.
//!
//! A [`Batch`] is everything that one step persists. The host writes it in one transaction and calls
//! `handle_committed`; only then are the datagrams, acknowledgements and durable events that depend
//! on it released. A [`Request`] reads records that the engine does not hold in memory.

mod pages;

use crate::collections::OrderedMap;
use alloc::vec::Vec;
use core::fmt;

use pages::{Row, Rows};

/// A family of records of one machine. The byte is part of the stored format.
///
/// Each machine declares its own tables and gets their records back when the node restarts; no code outside of
/// the machine knows their content. Bytes below 128 are *hot* tables, handed to `Engine::restore`;
/// the others are *cold*, read when needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(u8);

/// The first byte of the cold tables.
const COLD: u8 = 128;
/// The first byte of the hot tables that a node can do without.
const EXPENDABLE: u8 = 64;

impl Table {
    /// The hot table number `n`, below 64.
    pub(crate) const fn hot(n: u8) -> Self {
        assert!(n < EXPENDABLE, "hot tables have numbers below 64");
        Self(n)
    }

    /// The hot table number `n`, below 64, whose records a node can do without: they are found again, or only report
    /// what is stored elsewhere too.
    pub(crate) const fn expendable(n: u8) -> Self {
        assert!(n < EXPENDABLE, "hot tables have numbers below 64");
        Self(n | EXPENDABLE)
    }

    /// The cold table number `n`, below 128.
    pub(crate) const fn cold(n: u8) -> Self {
        assert!(n < COLD, "cold tables have numbers below 128");
        Self(n | COLD)
    }

    /// The table with this stored byte; any byte is one, if only of another version.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The stored byte.
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Whether it is a hot table whose records a node can do without: a host that cannot read one leaves it out and says
    /// so, where for those of another hot table it has to keep a second copy or give up.
    pub const fn is_expendable(self) -> bool {
        self.is_hot() && self.0 >= EXPENDABLE
    }

    /// Whether its records are handed to `Engine::restore`.
    pub const fn is_hot(self) -> bool {
        self.0 < COLD
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One change to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes `value` under `key`, replacing what was there.
    Put {
        /// The table.
        table: Table,
        /// Sorts bytewise.
        key: Vec<u8>,
        /// Secret in parts: seal it at rest.
        value: Vec<u8>,
    },
    /// Removes `key` if it is there.
    Delete {
        /// The table.
        table: Table,
        /// The exact key.
        key: Vec<u8>,
    },
    /// Removes every key from `start` up to but not including `end`.
    DeleteRange {
        /// The table.
        table: Table,
        /// The first key to go.
        start: Vec<u8>,
        /// The first key to stay.
        end: Vec<u8>,
    },
}

/// The changes of one step. Written whole or not at all, in order of `seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Rises by one with each batch of this engine.
    pub seq: u64,
    /// In the order they apply.
    pub ops: Vec<Op>,
}

/// One stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A range of records of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The table.
    pub table: Table,
    /// The first key, included.
    pub start: Vec<u8>,
    /// The end of the range, not included.
    pub end: Vec<u8>,
    /// Whether to read from the end backwards.
    pub reverse: bool,
    /// At most this many records.
    pub limit: u32,
    /// Stop after the record that brings keys and values past this many bytes.
    pub max_bytes: u32,
}

/// A read of records that the engine does not hold, to be answered by `handle_records`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Returned with the answer.
    pub id: u64,
    /// What to read.
    pub scan: Scan,
}

/// A store in memory: for tests, the simulator and hosts without a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    tables: OrderedMap<Table, Rows>,
}

impl MemoryStore {
    /// Applies one batch.
    pub fn apply(&mut self, batch: Batch) {
        for op in batch.ops {
            match op {
                Op::Put { table, key, value } => self.tables.entry(table).or_default().put(&key, &value),
                Op::Delete { table, key } => self.tables.entry(table).or_default().delete(&key),
                Op::DeleteRange { table, start, end } => {
                    self.tables.entry(table).or_default().delete_range(&start, &end);
                }
            }
        }
    }

    /// The records of a range.
    pub fn scan(&self, request: &Scan) -> Vec<Record> {
        let Some(rows) = self.tables.get(&request.table) else {
            return Vec::new();
        };
        let rows = rows.range(&request.start, &request.end);
        let mut bytes = 0usize;
        let mut take = |row: Row<'_>| {
            if bytes > request.max_bytes as usize {
                return None;
            }
            let record = Record { table: request.table, key: row.key(), value: row.value().to_vec() };
            bytes = bytes.saturating_add(record.key.len()).saturating_add(record.value.len());
            Some(record)
        };
        let limit = request.limit as usize;
        if request.reverse {
            rows.rev().take(limit).map_while(&mut take).collect()
        } else {
            rows.take(limit).map_while(&mut take).collect()
        }
    }

    /// The records a restart begins with: those of the hot tables, in table and key order.
    pub fn hot(&self) -> Vec<Record> {
        let hot = self.tables.iter().filter(|(table, _)| table.is_hot());
        hot.flat_map(|(&table, rows)| {
            rows.iter().map(move |row| Record { table, key: row.key(), value: row.value().to_vec() })
        })
        .collect()
    }

    /// How many records a table has.
    pub fn count(&self, table: Table) -> usize {
        self.tables.get(&table).map_or(0, Rows::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const LOG: Table = Table::cold(1);

    #[test]
    fn a_byte_says_what_its_table_is() {
        let (vital, expendable, cold) = (Table::hot(63), Table::expendable(63), Table::cold(127));
        assert_eq!([vital, expendable, cold].map(Table::to_byte), [63, 127, 255]);
        assert_eq!([vital, expendable, cold].map(Table::is_hot), [true, true, false]);
        assert_eq!([vital, expendable, cold].map(Table::is_expendable), [false, true, false]);
    }

    fn store(keys: core::ops::Range<u8>) -> MemoryStore {
        let ops = keys.map(|k| Op::Put { table: LOG, key: vec![k], value: vec![k; 10] }).collect();
        let mut store = MemoryStore::default();
        store.apply(Batch { seq: 1, ops });
        store
    }

    fn keys(records: &[Record]) -> Vec<u8> {
        records.iter().map(|r| r.key[0]).collect()
    }

    #[test]
    fn a_query_is_a_bounded_range_in_either_direction() {
        let store = store(0..10);
        let mut q = Scan { table: LOG, start: vec![2], end: vec![8], reverse: false, limit: 3, max_bytes: 1_000 };
        assert_eq!(keys(&store.scan(&q)), [2, 3, 4]);
        q.reverse = true;
        assert_eq!(keys(&store.scan(&q)), [7, 6, 5]);
        q.max_bytes = 11;
        assert_eq!(keys(&store.scan(&q)), [7, 6], "stops after the record that passes the limit");
        q.start = vec![9];
        assert_eq!(store.scan(&q), []);
    }

    #[test]
    fn a_range_delete_takes_its_start_and_leaves_its_end() {
        let mut store = store(0..10);
        let op = Op::DeleteRange { table: LOG, start: vec![3], end: vec![7] };
        store.apply(Batch { seq: 2, ops: vec![op] });
        let left: Vec<u8> = store.tables[&LOG].iter().map(|row| row.key()[0]).collect();
        assert_eq!(left, [0, 1, 2, 7, 8, 9]);
        assert!(store.hot().is_empty(), "the log is cold");
    }
}
