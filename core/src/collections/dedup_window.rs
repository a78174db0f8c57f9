//! Remembers ids for a while: a rotating pair of Bloom filters in front of an exact set.
//!
//! The filters answer most "never seen" at once; a "maybe" is always confirmed in the exact set, so
//! there are no false positives (the DONP document's `MessageCache`, with a bound: its own filter is
//! never cleared). Two generations rotate when the younger is full or old enough, so an id is
//! remembered for at least one full window and at most two.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

use core::hash::{BuildHasher, Hasher};

use hashbrown::HashSet;

use crate::rng::Rng;
use crate::time::Instant;

/// Bits per id and hash functions: 16 and 7 give 0.07 % false positives when full (docs/design/delivery.md §3).
const BITS_PER_ID: usize = 16;
const HASHES: u32 = 7;

pub(crate) type ShortId = [u8; 16];

/// The first half of a 32-byte id: 128 bits of a hash are enough to distinguish messages.
pub(crate) fn short(id: &[u8; 32]) -> ShortId {
    let (half, _) = id.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    *half
}

/// A hash function keyed from the node's seed: ids come from other nodes, which could choose them to
/// collide under a known function. Folded multiplication, as foldhash, over the 16 bytes of an id.
#[derive(Clone, Copy)]
struct Keyed(u64, u64);

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { state: self.0, key: self.1 }
    }
}

struct KeyedHasher {
    state: u64,
    key: u64,
}

impl Hasher for KeyedHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0u64, |acc, &b| (acc << 8) | u64::from(b));
            let wide = u128::from(self.state ^ word).wrapping_mul(u128::from(self.key));
            self.state = (wide as u64) ^ ((wide >> 64) as u64);
        }
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

struct Generation {
    filter: Option<Box<[u64]>>,
    exact: HashSet<ShortId, Keyed>,
}

impl Generation {
    fn empty(keyed: Keyed) -> Self {
        Self { filter: None, exact: HashSet::with_hasher(keyed) }
    }

    fn may_hold(&self, words: usize, id: &ShortId) -> bool {
        let Some(filter) = &self.filter else { return false };
        bits(words, id).all(|(word, bit)| filter.get(word).is_some_and(|w| w & bit != 0))
    }

    fn insert(&mut self, words: usize, id: &ShortId) {
        // Filters are made when first needed: an idle node pays nothing for them.
        let filter = self.filter.get_or_insert_with(|| vec![0; words].into_boxed_slice());
        for (word, bit) in bits(words, id) {
            if let Some(w) = filter.get_mut(word) {
                *w |= bit;
            }
        }
        self.exact.insert(*id);
    }
}

/// The filter bits of an id. Ids are hashes, so their own bits serve as hash values
/// (double hashing, Kirsch and Mitzenmacher 2006).
fn bits(words: usize, id: &ShortId) -> impl Iterator<Item = (usize, u64)> {
    let (a, b) = id.split_at(8);
    let a = u64::from_le_bytes(a.try_into().unwrap_or_default());
    let b = u64::from_le_bytes(b.try_into().unwrap_or_default()) | 1;
    (0..HASHES).map(move |i| {
        let h = a.wrapping_add(u64::from(i).wrapping_mul(b));
        let word = (h >> 6).checked_rem(words as u64).unwrap_or(0);
        (word as usize, 1u64 << (h & 63))
    })
}

/// See the module. Worst case for `capacity` ids: two generations of 16 bytes and 2 bytes of filter
/// each, plus the hash set's slack: about 80 bytes an id.
pub(crate) struct DedupWindow {
    young: Generation,
    old: Generation,
    started: Instant,
    capacity: usize,
    window: Duration,
    words: usize,
    keyed: Keyed,
}

impl DedupWindow {
    pub(crate) fn new(capacity: usize, window: Duration, rng: &mut Rng) -> Self {
        // An odd key keeps every bit of the product in play.
        let keyed = Keyed(rng.u64(), rng.u64() | 1);
        let words = capacity.saturating_mul(BITS_PER_ID).div_ceil(64).max(1);
        Self {
            young: Generation::empty(keyed),
            old: Generation::empty(keyed),
            started: Instant::ZERO,
            capacity,
            window,
            words,
            keyed,
        }
    }

    pub(crate) fn contains(&self, id: &ShortId) -> bool {
        [&self.young, &self.old].into_iter().any(|g| g.may_hold(self.words, id) && g.exact.contains(id))
    }

    /// Remembers `id`; false if it was remembered already.
    pub(crate) fn insert(&mut self, now: Instant, id: &ShortId) -> bool {
        if self.contains(id) {
            return false;
        }
        if self.young.exact.len() >= self.capacity || now.since(self.started) >= self.window {
            self.old = core::mem::replace(&mut self.young, Generation::empty(self.keyed));
            self.started = now;
        }
        self.young.insert(self.words, id);
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.young.exact.len().saturating_add(self.old.exact.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use alloc::vec::Vec;
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    fn id(n: u64) -> ShortId {
        short(blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    #[test]
    fn a_full_window_holds_a_bounded_number_of_recent_ids() {
        let mut w = DedupWindow::new(100, Duration::from_secs(60), &mut Rng::new([0; 32]));
        for n in 0..1_000 {
            assert!(w.insert(Instant::ZERO, &id(n)));
            assert!(w.len() <= 200);
        }
        assert!((900..1_000).all(|n| w.contains(&id(n))));
        assert!(!w.contains(&id(0)));
    }

    #[test]
    fn ids_are_forgotten_with_time() {
        let mut w = DedupWindow::new(100, Duration::from_secs(60), &mut Rng::new([0; 32]));
        w.insert(Instant::ZERO, &id(1));
        w.insert(Instant::from_micros(61_000_000), &id(2));
        assert!(w.contains(&id(1)));
        w.insert(Instant::from_micros(122_000_000), &id(3));
        assert!(!w.contains(&id(1)));
    }

    #[test]
    fn the_filter_answers_maybe_for_few_unknown_ids() {
        let mut w = DedupWindow::new(4_096, Duration::from_secs(60), &mut Rng::new([0; 32]));
        for n in 0..4_096 {
            w.insert(Instant::ZERO, &id(n));
        }
        let maybe = (10_000..60_000).filter(|&n| w.young.may_hold(w.words, &id(n))).count();
        assert!(maybe < 100, "{maybe} of 50,000 unknown ids passed the filter: more than 0.2 %");
    }

    proptest! {
        #[test]
        fn one_window_answers_as_a_set_does(ids in prop::collection::vec(0u64..50, 0..200)) {
            let mut w = DedupWindow::new(64, Duration::from_secs(60), &mut Rng::new([0; 32]));
            let mut seen = Vec::new();
            for n in ids {
                prop_assert_eq!(w.insert(Instant::ZERO, &id(n)), !seen.contains(&n));
                seen.push(n);
            }
        }
    }
}
