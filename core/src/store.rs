//! What a node keeps: typed puts and deletes out, records back in. The core never touches a disk.
//!
//! A [`Batch`] is everything one step wants kept. The host writes it in one transaction and calls
//! `handle_committed`; only then are the datagrams, acknowledgements and durable events that depend
//! on it let go. A [`Request`] asks for records that the engine does not hold in memory.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

/// A family of records. The byte is part of the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Single values: link keys, boot counter, cursors.
    Meta = 1,
    /// The address book.
    Peers = 2,
    /// Private messages that were not acknowledged yet.
    Outbox = 3,
    /// What is known of each author in each conversation.
    Heads = 4,
    /// Durable events not yet acknowledged by the application.
    Events = 5,
    /// Messages by conversation, author and number.
    Log = 6,
    /// Messages by conversation and display order.
    Order = 7,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 7] =
        [Self::Meta, Self::Peers, Self::Outbox, Self::Heads, Self::Events, Self::Log, Self::Order];
    /// The tables whose records are handed to `Engine::restore`; the rest are asked for when needed.
    pub const HOT: [Self; 5] = [Self::Meta, Self::Peers, Self::Outbox, Self::Heads, Self::Events];

    /// The stored byte.
    pub const fn to_byte(self) -> u8 {
        self as u8
    }
}

/// One change to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes `value` under `key`, replacing what was there.
    Put {
        /// Where.
        table: Table,
        /// Sorts bytewise.
        key: Vec<u8>,
        /// Secret in parts: seal it at rest.
        value: Vec<u8>,
    },
    /// Removes `key` if it is there.
    Delete {
        /// Where.
        table: Table,
        /// The exact key.
        key: Vec<u8>,
    },
    /// Removes every key from `start` up to but not including `end`.
    DeleteRange {
        /// Where.
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
    /// Where it was.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A read of records that the engine does not hold, to be answered by `handle_records`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Goes back with the answer.
    pub id: u64,
    /// Where to look.
    pub table: Table,
    /// The first key, included.
    pub start: Vec<u8>,
    /// The end of the range, not included.
    pub end: Vec<u8>,
    /// From the end backwards.
    pub reverse: bool,
    /// At most this many records.
    pub limit: u32,
    /// Stop after the record that brings keys and values past this many bytes.
    pub max_bytes: u32,
}

/// A store in memory: for tests, the simulator and hosts without a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    /// Applies one batch.
    pub fn apply(&mut self, batch: Batch) {
        for op in batch.ops {
            match op {
                Op::Put { table, key, mut value } => {
                    // Values are made with room to spare and stay here for good.
                    value.shrink_to_fit();
                    self.tables.entry(table).or_default().insert(key, value);
                }
                Op::Delete { table, key } => {
                    self.tables.entry(table).or_default().remove(&key);
                }
                Op::DeleteRange { table, start, end } => {
                    let rows = self.tables.entry(table).or_default();
                    // Splitting moves whole subtrees instead of visiting each row.
                    let mut tail = rows.split_off(&start);
                    rows.append(&mut tail.split_off(&end));
                }
            }
        }
    }

    /// The answer to a request.
    pub fn query(&self, request: &Request) -> Vec<Record> {
        let Some(rows) = self.tables.get(&request.table) else {
            return Vec::new();
        };
        if request.start >= request.end {
            return Vec::new();
        }
        let range =
            rows.range::<[u8], _>((Bound::Included(request.start.as_slice()), Bound::Excluded(request.end.as_slice())));
        let mut bytes = 0usize;
        let mut take = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            if bytes > request.max_bytes as usize {
                return None;
            }
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            Some(Record { table: request.table, key: key.clone(), value: value.clone() })
        };
        let limit = request.limit as usize;
        if request.reverse {
            range.rev().take(limit).map_while(&mut take).collect()
        } else {
            range.take(limit).map_while(&mut take).collect()
        }
    }

    /// The records a restart begins with: every [`Table::HOT`] one, in table and key order.
    pub fn hot(&self) -> Vec<Record> {
        let mut out = Vec::new();
        for table in Table::HOT {
            for (key, value) in self.tables.get(&table).into_iter().flatten() {
                out.push(Record { table, key: key.clone(), value: value.clone() });
            }
        }
        out
    }

    /// How many records a table has.
    pub fn count(&self, table: Table) -> usize {
        self.tables.get(&table).map_or(0, BTreeMap::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn store(keys: core::ops::Range<u8>) -> MemoryStore {
        let ops = keys.map(|k| Op::Put { table: Table::Log, key: vec![k], value: vec![k; 10] }).collect();
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
        let mut q = Request {
            id: 1,
            table: Table::Log,
            start: vec![2],
            end: vec![8],
            reverse: false,
            limit: 3,
            max_bytes: 1_000,
        };
        assert_eq!(keys(&store.query(&q)), [2, 3, 4]);
        q.reverse = true;
        assert_eq!(keys(&store.query(&q)), [7, 6, 5]);
        q.max_bytes = 11;
        assert_eq!(keys(&store.query(&q)), [7, 6], "stops after the record that passes the limit");
        q.start = vec![9];
        assert_eq!(store.query(&q), []);
    }

    #[test]
    fn a_range_delete_takes_its_start_and_leaves_its_end() {
        let mut store = store(0..10);
        let op = Op::DeleteRange { table: Table::Log, start: vec![3], end: vec![7] };
        store.apply(Batch { seq: 2, ops: vec![op] });
        let left: Vec<u8> = store.tables[&Table::Log].keys().map(|k| k[0]).collect();
        assert_eq!(left, [0, 1, 2, 7, 8, 9]);
        assert!(store.hot().is_empty(), "the log is cold");
    }
}
