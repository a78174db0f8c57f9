//! The rows of an epoch (docs/design/groups-keys.md §4.5). Only what changed is written.

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::crypto::kdf::Key;
use crate::group::keys::chain::{Receiving, Sending};
use crate::group::keys::epoch::{BLOCK, Dirty, Epoch, GONE};
use crate::group::keys::schedule::{Secret, tags};
use crate::id::{GroupId, NodeId, OpId};
use crate::time::WallTime;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// Version 1, operation 32, header 32, next 32 and secret 32 (zeros for none), made 8, superseded 8 (all ones for not),
/// own place 2, number of holders less one 2.
const META: u8 = 0;
/// Of 32 holders, their ids.
const HOLDERS: u8 = 1;
/// The first keys of 32 holders, with zeros for those that have spoken and for this node. No row if all are zero.
const SILENT: u8 = 2;
/// The own chain at the first number that was never used.
const OWN: u8 = 3;
/// The chain of a sender.
const CHAIN: u8 = 4;
const VERSION: u8 = 1;
const NEVER: u64 = u64::MAX;

/// What follows the group and the epoch in the key of a row, and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Rows to be written and rows to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) put: Vec<Row>,
    pub(crate) delete: Vec<Vec<u8>>,
}

/// Kind 1, then a number 2 in the order of bytes.
fn key(kind: u8, number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    alloc::vec![kind, high, low]
}

fn optional(key: Key) -> Option<Key> {
    (key != [0; 32]).then_some(key)
}

impl Epoch {
    /// What changed since this was last called. All of it belongs into the batch of the step.
    pub(crate) fn changes(&mut self) -> Changes {
        let dirty = core::mem::take(&mut self.dirty);
        let mut changes = Changes::default();
        if dirty.meta {
            changes.put.push((alloc::vec![META], self.meta()));
        }
        if dirty.holders {
            changes.put.extend(self.holder_rows());
        }
        for block in dirty.blocks.iter().copied() {
            match self.silent_row(block) {
                Some(row) => changes.put.push((key(SILENT, block), row)),
                None => changes.delete.push(key(SILENT, block)),
            }
        }
        if dirty.own {
            changes.put.push((alloc::vec![OWN], self.sending.row()));
        }
        for sender in dirty.chains.iter() {
            if let Some(chain) = self.receiving.get(sender) {
                changes.put.push((key(CHAIN, *sender), chain.row()));
            }
        }
        changes
    }

    /// All rows, in the order of their keys.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = alloc::vec![(alloc::vec![META], self.meta())];
        rows.extend(self.holder_rows());
        rows.extend(self.blocks().filter_map(|block| Some((key(SILENT, block), self.silent_row(block)?))));
        rows.push((alloc::vec![OWN], self.sending.row()));
        rows.extend(self.receiving.iter().map(|(sender, chain)| (key(CHAIN, *sender), chain.row())));
        rows
    }

    /// Deletes all rows.
    pub(crate) fn delete(&self) -> Changes {
        let silent = self.blocks().filter(|block| self.silent_row(*block).is_some()).map(|block| key(SILENT, block));
        let chains = self.receiving.keys().map(|sender| key(CHAIN, *sender));
        let one = [alloc::vec![META], alloc::vec![OWN]].into_iter();
        let delete = one.chain(self.blocks().map(|block| key(HOLDERS, block))).chain(silent).chain(chains).collect();
        Changes { put: Vec::new(), delete }
    }

    fn blocks(&self) -> impl Iterator<Item = u16> {
        (0u16..).take(self.holders.len().div_ceil(BLOCK))
    }

    fn meta(&self) -> Vec<u8> {
        let none = [0; 32];
        let secret = self.hand_on.as_ref().map_or(&none, Secret::as_bytes);
        let last = u16::try_from(self.holders.len().saturating_sub(1)).unwrap_or(u16::MAX);
        let mut out = Vec::with_capacity(149);
        out.push(VERSION);
        for part in [&self.op.0, &self.header, self.next.as_ref().unwrap_or(&none), secret] {
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&self.made.0.to_le_bytes());
        out.extend_from_slice(&self.superseded.map_or(NEVER, |at| at.0).to_le_bytes());
        out.extend_from_slice(&self.me.to_le_bytes());
        out.extend_from_slice(&last.to_le_bytes());
        out
    }

    fn holder_rows(&self) -> impl Iterator<Item = Row> {
        let row = |(block, ids): (u16, &[NodeId])| (key(HOLDERS, block), ids.iter().flat_map(|id| id.0).collect());
        (0u16..).zip(self.holders.chunks(BLOCK)).map(row)
    }

    fn silent_row(&self, block: u16) -> Option<Vec<u8>> {
        let keys = self.silent.chunks(BLOCK).nth(usize::from(block))?;
        keys.iter().any(|key| *key != GONE).then(|| keys.as_flattened().to_vec())
    }

    /// The epoch of these rows, in the order of their keys.
    pub(crate) fn restore(group: GroupId, rows: &[Row]) -> Result<Self, Malformed> {
        let (mut meta, mut sending) = (None, None);
        let (mut holders, mut silent, mut receiving) = (Vec::new(), Vec::new(), OrderedMap::new());
        for (row, value) in rows {
            match row.as_slice() {
                [META] => meta = Some(Meta::read(value)?),
                [OWN] => sending = Some(Sending::read(value)?),
                [HOLDERS, high, low] => holders.push((u16::from_be_bytes([*high, *low]), keys_of(value)?)),
                [SILENT, high, low] => silent.push((u16::from_be_bytes([*high, *low]), keys_of(value)?)),
                [CHAIN, high, low] => {
                    receiving.insert(u16::from_be_bytes([*high, *low]), Receiving::read(value)?);
                }
                _ => return Err(Malformed),
            }
        }
        let Meta { op, header, next, hand_on, made, superseded, me, count } = meta.ok_or(Malformed)?;
        let mut all = alloc::vec![GONE; count];
        let mut ids = all.clone();
        fill(&mut ids, holders)?;
        fill(&mut all, silent)?;
        let holders: Vec<NodeId> = ids.into_iter().map(NodeId).collect();
        let spoken = |sender: &u16| all.get(usize::from(*sender)).is_some_and(|key| *key == GONE);
        let fits = usize::from(me) < count
            && holders.is_sorted_by(|a, b| a < b)
            && receiving.keys().all(spoken)
            && spoken(&me)
            && receiving.get(&me).is_none();
        // A row of first keys that is lost must not pass for chains of zeros.
        let whole = (0u16..).zip(&all).all(|(n, key)| *key != GONE || n == me || receiving.get(&n).is_some());
        if !fits || !whole {
            return Err(Malformed);
        }
        Ok(Self {
            group,
            op,
            holders,
            me,
            tags: tags(&header),
            header,
            next,
            hand_on,
            made,
            superseded,
            silent: all,
            sending: sending.ok_or(Malformed)?,
            receiving,
            dirty: Dirty::default(),
        })
    }
}

fn keys_of(value: &[u8]) -> Result<&[Key], Malformed> {
    let (keys, rest) = value.as_chunks();
    if rest.is_empty() { Ok(keys) } else { Err(Malformed) }
}

/// Puts blocks into their places.
fn fill(all: &mut [Key], blocks: Vec<(u16, &[Key])>) -> Result<(), Malformed> {
    for (block, keys) in blocks {
        let place = all.chunks_mut(BLOCK).nth(usize::from(block)).ok_or(Malformed)?;
        if place.len() != keys.len() {
            return Err(Malformed);
        }
        place.copy_from_slice(keys);
    }
    Ok(())
}

struct Meta {
    op: OpId,
    header: Key,
    next: Option<Key>,
    hand_on: Option<Secret>,
    made: WallTime,
    superseded: Option<WallTime>,
    me: u16,
    count: usize,
}

impl Meta {
    fn read(row: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(row);
        if r.take()? != [VERSION] {
            return Err(Malformed);
        }
        let meta = Self {
            op: OpId(r.take()?),
            header: r.take()?,
            next: optional(r.take()?),
            hand_on: optional(r.take()?).map(Secret::new),
            made: WallTime(u64::from_le_bytes(r.take()?)),
            superseded: Some(u64::from_le_bytes(r.take()?)).filter(|at| *at != NEVER).map(WallTime),
            me: u16::from_le_bytes(r.take()?),
            count: usize::from(u16::from_le_bytes(r.take()?)).saturating_add(1),
        };
        if r.0.is_empty() { Ok(meta) } else { Err(Malformed) }
    }
}
