//! The causal past of an operation, as a set of places in the log (docs/design/groups.md §3).

use alloc::vec::Vec;

const BITS: usize = 64;

/// A set of places: all below `full`, and those of which the bit is set.
///
/// In a history without forks and partitions every operation has all before it in its past, so there are no bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    full: usize,
    /// From the word on in which `full` lies.
    words: Vec<u64>,
}

const fn word(at: usize) -> usize {
    at / BITS
}

const fn mask(at: usize) -> u64 {
    1u64.rotate_left((at % BITS) as u32)
}

impl Past {
    pub(crate) fn contains(&self, at: usize) -> bool {
        at < self.full
            || word(at)
                .checked_sub(word(self.full))
                .and_then(|n| self.words.get(n))
                .is_some_and(|bits| bits & mask(at) != 0)
    }

    pub(crate) fn insert(&mut self, at: usize) {
        if at < self.full {
            return;
        }
        let n = word(at).saturating_sub(word(self.full));
        if self.words.len() <= n {
            self.words.resize(n.saturating_add(1), 0);
        }
        if let Some(bits) = self.words.get_mut(n) {
            *bits |= mask(at);
        }
        self.tidy();
    }

    /// Puts all of `other` into it.
    pub(crate) fn join(&mut self, other: &Self) {
        if self.full < other.full {
            let gone = word(other.full).saturating_sub(word(self.full)).min(self.words.len());
            self.words.drain(..gone);
            self.full = other.full;
        }
        let skipped = word(self.full).saturating_sub(word(other.full));
        let theirs = other.words.get(skipped..).unwrap_or_default();
        if self.words.len() < theirs.len() {
            self.words.resize(theirs.len(), 0);
        }
        self.words.iter_mut().zip(theirs).for_each(|(ours, bits)| *ours |= bits);
        self.tidy();
    }

    /// Moves `full` as far as it goes.
    fn tidy(&mut self) {
        let from = self.full;
        while self.words.get(word(self.full).saturating_sub(word(from))).is_some_and(|b| b & mask(self.full) != 0) {
            self.full = self.full.saturating_add(1);
        }
        let gone = word(self.full).saturating_sub(word(from)).min(self.words.len());
        self.words.drain(..gone);
        if let Some(first) = self.words.first_mut() {
            // Bits below `full` say nothing: equal sets look alike.
            *first &= !mask(self.full).saturating_sub(1);
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::OrderedSet;
    use crate::rng::Rng;

    /// Fails if a word is dropped too early or a bit is read from another word.
    #[test]
    fn it_is_a_set() {
        for seed in 0..200u8 {
            let mut rng = Rng::new([seed; 32]);
            let mut sets = [(Past::default(), OrderedSet::new()), (Past::default(), OrderedSet::new())];
            for _ in 0..rng.below(400) {
                let n = rng.below(2);
                let span = if rng.below(3) == 0 { 300 } else { 70 };
                let at = rng.below(span);
                sets[n].0.insert(at);
                sets[n].1.insert(at);
            }
            let [(mut a, mut in_a), (b, in_b)] = sets;
            for at in 0..400 {
                assert_eq!(a.contains(at), in_a.contains(&at), "{seed}: {at}");
            }
            a.join(&b);
            in_b.iter().for_each(|at| {
                in_a.insert(*at);
            });
            let mut again = Past::default();
            for at in 0..400 {
                assert_eq!(a.contains(at), in_a.contains(&at), "{seed}: {at} joined");
                if in_a.contains(&at) {
                    again.insert(at);
                }
            }
            assert_eq!(a, again, "{seed}");
        }
    }
}
