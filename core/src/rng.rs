//! Randomness is data: one 32-byte seed, forked into an independent stream for each machine.
//!
//! Forking by label means that one extra draw in one machine does not shift another's sequence.
//! The state is never stored: a restored node is given a fresh seed, or it would repeat nonces.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng};
use core::time::Duration;

use crate::time::micros;

/// A deterministic stream of random bytes (ChaCha20 keyed by the seed).
pub(crate) struct Rng(ChaCha20Rng);

impl Rng {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// An independent stream for `label`, from the seed that this stream yields next.
    pub(crate) fn fork(seed: &[u8; 32], label: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 machine randomness");
        hasher.update(seed).update(label.as_bytes());
        Self::new(*hasher.finalize().as_bytes())
    }

    /// Mixes fresh entropy of the host into the stream; never replaces its state.
    pub(crate) fn mix(&mut self, entropy: &[u8; 32]) {
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 entropy mix");
        hasher.update(&self.bytes::<32>()).update(entropy);
        self.0 = ChaCha20Rng::from_seed(*hasher.finalize().as_bytes());
    }

    /// The stream for a crate that draws by itself.
    #[cfg(not(donp_toy_keys))]
    pub(crate) fn inner(&mut self) -> &mut impl chacha20::rand_core::CryptoRng {
        &mut self.0
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// Uniform in `0..n`; zero when `n` is zero. Multiply-shift: the bias is below 2^-32 for any
    /// `n` that fits a table of this crate.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let product = u128::from(self.u64()).wrapping_mul(n as u128);
        (product >> 64) as usize
    }

    /// `d` changed by up to `percent` in either direction, so that nodes do not act in step.
    pub(crate) fn jitter(&mut self, d: Duration, percent: u64) -> Duration {
        let us = micros(d);
        let span = (us / 100).saturating_mul(percent);
        let draw = self.below(usize::try_from(span.saturating_mul(2)).unwrap_or(usize::MAX));
        Duration::from_micros(us.saturating_sub(span).saturating_add(draw as u64))
    }

    /// One element of `items`, or none if it is empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let at = self.below(items.len());
        items.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_give_independent_streams() {
        let seed = [7; 32];
        let mut a = Rng::fork(&seed, "link");
        let mut b = Rng::fork(&seed, "gossip");
        let first = a.u64();
        assert_ne!(first, b.u64());
        let mut again = Rng::fork(&seed, "link");
        assert_eq!(first, again.u64());
    }

    #[test]
    fn below_covers_its_range_and_nothing_else() {
        let mut rng = Rng::new([1; 32]);
        let mut seen = [0u32; 7];
        for _ in 0..7_000 {
            seen[rng.below(7)] += 1;
        }
        assert!(seen.iter().all(|n| (800..1_200).contains(n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn jitter_stays_within_its_percentage() {
        let mut rng = Rng::new([2; 32]);
        for _ in 0..1_000 {
            let d = rng.jitter(Duration::from_secs(10), 20);
            assert!((8_000..12_000).contains(&d.as_millis()), "{d:?}");
        }
    }

    #[test]
    fn mixed_entropy_changes_the_stream() {
        let mut a = Rng::new([3; 32]);
        let mut b = Rng::new([3; 32]);
        b.mix(&[0; 32]);
        assert_ne!(a.u64(), b.u64());
    }
}
