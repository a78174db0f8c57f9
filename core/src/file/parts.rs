//! The parts of a file that are here.

use alloc::vec::Vec;

use crate::wire::{Blob, Malformed};

use serde::{Deserialize, Serialize};

/// Parts in one stored row: 1,024, so that a part that came costs a row of 128 bytes.
const ROW_PARTS: u32 = 1_024;
const ROW_BYTES: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// A bit for each part, from the lowest bit of the first byte. INVARIANT: bits beyond `total` are zero.
    bits: Vec<u8>,
    /// INVARIANT: the number of bits that are one.
    count: u32,
    total: u32,
}

/// The same as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Held {
    /// None of them, or the one that asks may not have them.
    Nothing,
    /// All of them.
    All,
    /// Those whose bits are one.
    Some(Blob),
}

fn place(part: u32) -> (usize, u8) {
    ((part >> 3) as usize, 1u8 << (part & 7))
}

impl Parts {
    pub(super) fn none(total: u32) -> Self {
        Self { bits: alloc::vec![0; (total as usize).div_ceil(8)], count: 0, total }
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn is_whole(&self) -> bool {
        self.count == self.total
    }

    pub(super) fn has(&self, part: u32) -> bool {
        let (byte, bit) = place(part);
        part < self.total && self.bits.get(byte).is_some_and(|b| b & bit != 0)
    }

    /// Whether that changed anything.
    pub(super) fn set(&mut self, part: u32, here: bool) -> bool {
        if part >= self.total || self.has(part) == here {
            return false;
        }
        let (byte, bit) = place(part);
        if let Some(b) = self.bits.get_mut(byte) {
            *b ^= bit;
        }
        self.count = if here { self.count.saturating_add(1) } else { self.count.saturating_sub(1) };
        true
    }

    /// The missing parts from one on, around the end.
    pub(super) fn missing(&self, from: u32) -> impl Iterator<Item = u32> {
        let absent = |part: &u32| !self.has(*part);
        (from..self.total).filter(absent).chain((0..from.min(self.total)).filter(absent))
    }

    pub(super) fn held(&self) -> Held {
        match self.count {
            0 => Held::Nothing,
            n if n == self.total => Held::All,
            _ => Held::Some(Blob(self.bits.clone())),
        }
    }

    /// What another node says that it holds of a file of so many parts.
    pub(super) fn of(held: Held, total: u32) -> Result<Self, Malformed> {
        let mut parts = Self::none(total);
        match held {
            Held::Nothing => {}
            Held::All => (0..total).for_each(|part| {
                parts.set(part, true);
            }),
            Held::Some(Blob(bits)) => {
                if bits.len() != parts.bits.len() {
                    return Err(Malformed);
                }
                parts.put(0, &bits)?;
            }
        }
        Ok(parts)
    }

    /// Sets the bits from a byte on.
    fn put(&mut self, first: usize, bits: &[u8]) -> Result<(), Malformed> {
        for (byte, bits) in (first..).zip(bits) {
            for bit in 0..8u32 {
                let part = u32::try_from(byte).ok().and_then(|b| b.checked_mul(8)).and_then(|b| b.checked_add(bit));
                let part = part.ok_or(Malformed)?;
                if bits & (1u8 << bit) != 0 {
                    if part >= self.total {
                        return Err(Malformed);
                    }
                    self.set(part, true);
                }
            }
        }
        Ok(())
    }

    /// The number of the row that holds a part, and its value.
    pub(super) fn row(&self, part: u32) -> (u32, Vec<u8>) {
        let row = part.checked_div(ROW_PARTS).unwrap_or(0);
        let bits = self.bits.iter().skip((row as usize).saturating_mul(ROW_BYTES)).take(ROW_BYTES);
        (row, bits.copied().collect())
    }

    /// A stored row.
    pub(super) fn restore(&mut self, row: u32, bits: &[u8]) -> Result<(), Malformed> {
        if bits.len() > ROW_BYTES {
            return Err(Malformed);
        }
        self.put((row as usize).checked_mul(ROW_BYTES).ok_or(Malformed)?, bits)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let ones = self.bits.iter().fold(0u32, |sum, b| sum.saturating_add(b.count_ones()));
        let inside = (0..self.total).filter(|part| self.has(*part)).count();
        match ones == self.count && inside == ones as usize {
            true => Ok(()),
            false => Err("the number of parts is wrong"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        // Mutations: `row` takes the wrong bytes; `put` skips the last bit; `of` takes bits beyond the last part.
        #[test]
        fn parts_come_back_from_rows_and_messages(
            total in 1u32..3_000, set in prop::collection::vec(any::<u32>(), 0..60), from in any::<u32>()
        ) {
            let mut parts = Parts::none(total);
            let mut model = alloc::collections::BTreeSet::new();
            for part in set.iter().map(|n| n % (total + 1)) {
                let fresh = part < total && model.insert(part);
                assert_eq!(parts.set(part, true), fresh);
            }
            parts.check().unwrap();
            assert_eq!(parts.count() as usize, model.len());
            assert_eq!(Parts::of(parts.held(), total), Ok(parts.clone()));
            let mut back = Parts::none(total);
            for part in (0..total).step_by(ROW_PARTS as usize) {
                let (row, bits) = parts.row(part);
                back.restore(row, &bits).unwrap();
            }
            assert_eq!(back, parts);
            let from = from % total;
            let missing: Vec<u32> = parts.missing(from).collect();
            assert_eq!(missing.len() + model.len(), total as usize);
            assert!(missing.iter().all(|part| !model.contains(part)));
            for part in &model {
                assert!(parts.set(*part, false));
            }
            assert_eq!(parts, Parts::none(total));
        }

        #[test]
        fn bits_that_are_no_part_are_refused(total in 1u32..100) {
            let bytes = (total as usize).div_ceil(8);
            let beyond = alloc::vec![0xff; bytes];
            assert_eq!(Parts::of(Held::Some(Blob(beyond)), total).is_ok(), total.is_multiple_of(8));
            assert!(Parts::of(Held::Some(Blob(alloc::vec![0; bytes + 1])), total).is_err());
        }
    }
}
