//! The registers that this node holds.

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::register::REGISTERS;
use crate::register::wire::BUCKETS;
use crate::store::Record;
use crate::wire::registers::{RegisterKey, Stamped};
use crate::wire::{Malformed, decode, encode};

/// The longest stored value.
const MAX_ROW: usize = 512;
/// Registers written by one device: four for each of 4,096 contacts, one for each of 4,096 blocked nodes and of 4,096
/// conversations, at most 300 bytes each.
pub(super) const MAX_OF_WRITER: usize = 24_576;
/// Registers in all: a device that fills its share leaves as much to the others.
pub(super) const MAX: usize = 2 * MAX_OF_WRITER;

/// INVARIANT: `written` counts the registers of each writer; `sums` has the sum of the digests of each part. At most
/// `most` registers, and `most_of_writer` of one writer.
#[derive(Debug)]
pub(super) struct Map {
    all: OrderedMap<RegisterKey, Stamped>,
    written: OrderedMap<NodeId, usize>,
    sums: Vec<u64>,
    most: usize,
    most_of_writer: usize,
}

/// Of a register and its stamp, 8 bytes: only own devices bring registers, and two that differ with one sum are
/// compared again with the next change of their part.
fn digest(stamped: &Stamped) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key("DONP v1 register", &encode(stamped));
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The part of the map that a register is in.
pub(super) fn bucket(key: &RegisterKey) -> usize {
    let (_, [first, ..]) = key;
    usize::from(*first).checked_rem(BUCKETS).unwrap_or(0)
}

fn row_key((kind, of): &RegisterKey) -> Vec<u8> {
    [&[*kind], of.as_slice()].concat()
}

impl Map {
    pub(super) fn new(most: usize, most_of_writer: usize) -> Self {
        let (all, written) = (OrderedMap::new(), OrderedMap::new());
        Self { all, written, sums: alloc::vec![0; BUCKETS], most, most_of_writer }
    }

    pub(super) fn restore(records: &[Record]) -> Result<Self, Malformed> {
        let mut map = Self::new(MAX, MAX_OF_WRITER);
        for Record { key, value, .. } in records {
            let stamped: Stamped = decode(value, MAX_ROW)?;
            if row_key(&stamped.register.key()) != *key || !stamped.register.is_valid() {
                return Err(Malformed);
            }
            map.insert(stamped);
        }
        Ok(map)
    }

    pub(super) fn get(&self, key: &RegisterKey) -> Option<&Stamped> {
        self.all.get(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stamped> {
        self.all.values()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Digests of all parts.
    pub(super) fn sums(&self) -> &[u64] {
        &self.sums
    }

    pub(super) fn root(&self) -> [u8; 16] {
        let bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        crate::collections::short(&blake3::derive_key("DONP v1 registers", &bytes))
    }

    fn tally(&mut self, stamped: &Stamped, is_added: bool) {
        let sum = digest(stamped);
        if let Some(of) = self.sums.get_mut(bucket(&stamped.register.key())) {
            *of = if is_added { of.wrapping_add(sum) } else { of.wrapping_sub(sum) };
        }
        let written = self.written.get(&stamped.writer).copied().unwrap_or(0);
        match if is_added { written.saturating_add(1) } else { written.saturating_sub(1) } {
            0 => drop(self.written.remove(&stamped.writer)),
            n => drop(self.written.insert(stamped.writer, n)),
        }
    }

    fn insert(&mut self, stamped: Stamped) {
        let key = stamped.register.key();
        self.remove(&key);
        self.tally(&stamped, true);
        self.all.insert(key, stamped);
    }

    fn remove(&mut self, key: &RegisterKey) {
        if let Some(old) = self.all.remove(key) {
            self.tally(&old, false);
        }
    }

    /// The register that gives way first: one that holds nothing, which says only that something was taken back. By
    /// content alone, so that all own devices let go of the same. One that blocks, verifies, names or mutes never does.
    fn spare(&self, of: Option<NodeId>) -> Option<RegisterKey> {
        let mut spare = self.all.iter().filter(|(_, s)| s.register.is_default() && of.is_none_or(|w| w == s.writer));
        let first = spare.next()?;
        let rank = |(key, s): (&RegisterKey, &Stamped)| (s.generation, s.counter, *key);
        Some(spare.fold(rank(first), |least, next| least.min(rank(next))).2)
    }

    /// Puts a register in place of what is held. False if there is no room, which leaves all as it was, or if it gave way
    /// itself.
    pub(super) fn put<O>(&mut self, stamped: Stamped, out: &mut Outbox<O>) -> bool {
        let (key, writer) = (stamped.register.key(), stamped.writer);
        let before = self.all.get(&key).cloned();
        self.insert(stamped);
        let is_over = |map: &Self| map.written.get(&writer).is_some_and(|n| *n > map.most_of_writer);
        let of = if is_over(self) { Some(Some(writer)) } else { (self.all.len() > self.most).then_some(None) };
        let gone = match of.map(|of| self.spare(of)) {
            None => None,
            Some(Some(gone)) => Some(gone),
            Some(None) => Some(key),
        };
        match gone {
            Some(gone) if gone == key => {
                self.remove(&key);
                if let Some(before) = before {
                    self.insert(before);
                }
                return false;
            }
            Some(gone) => {
                self.remove(&gone);
                out.delete(REGISTERS, row_key(&gone));
            }
            None => {}
        }
        if let Some(stamped) = self.all.get(&key) {
            out.put(REGISTERS, row_key(&key), encode(stamped));
        }
        true
    }

    /// The list that stands has a lower generation than what is held says: it stands instead of another one.
    pub(super) fn lower<O>(&mut self, generation: u64, out: &mut Outbox<O>) {
        let above: Vec<Stamped> = self.all.values().filter(|s| s.generation > generation).cloned().collect();
        for stamped in above {
            let stamped = Stamped { generation, ..stamped };
            out.put(REGISTERS, row_key(&stamped.register.key()), encode(&stamped));
            self.insert(stamped);
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut again = Self::new(self.most, self.most_of_writer);
        self.all.values().for_each(|s| again.tally(s, true));
        let is_full = self.all.len() > self.most || self.written.values().any(|n| *n > self.most_of_writer);
        match again.written == self.written && again.sums == self.sums && !is_full {
            true => Ok(()),
            false => Err("registers are counted or summed wrongly, or too many"),
        }
    }
}
