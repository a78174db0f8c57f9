//! The simulator's own randomness: SplitMix64 (Steele, Lea and Flood 2014). It needs no secrecy, only
//! to be the same everywhere.

/// A seeded stream of numbers.
#[derive(Clone, Debug)]
pub struct SimRng(u64);

impl SimRng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream for one purpose. A draw for one purpose shifts nothing in another's stream.
    pub fn fork(seed: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("DONP simulator randomness");
        hasher.update(&seed.to_le_bytes()).update(purpose.as_bytes());
        let bytes = hasher.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&bytes.as_bytes()[..8]);
        Self(u64::from_le_bytes(first))
    }

    /// A stream for one event, from one draw: how much the event draws shifts no later one.
    pub fn split(&mut self) -> Self {
        Self(self.u64())
    }

    /// The next number.
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..n`; zero if `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && (self.u64() >> 11) as f64 / ((1u64 << 53) as f64) < p
    }

    /// One of `items`, none if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// `count` different ones of `items`, all if there are fewer (the head of a Fisher-Yates shuffle).
    pub fn sample<T: Clone>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut all = items.to_vec();
        let count = count.min(all.len());
        for i in 0..count {
            let j = i + self.below((all.len() - i) as u64) as usize;
            all.swap(i, j);
        }
        all.truncate(count);
        all
    }

    /// 32 bytes, for an engine's seed.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.u64().to_le_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_have_streams_of_their_own() {
        let mut a = SimRng::fork(1, "links");
        assert_ne!(a.u64(), SimRng::fork(1, "disks").u64());
        assert_ne!(SimRng::fork(1, "links").u64(), SimRng::fork(2, "links").u64());
        let (mut short, mut long) = (SimRng::fork(1, "links"), SimRng::fork(1, "links"));
        short.split().u64();
        let mut event = long.split();
        event.u64();
        event.u64();
        assert_eq!(short.u64(), long.u64(), "what an event draws shifts no other");
    }

    #[test]
    fn a_sample_has_no_repeats_and_can_hold_any_item() {
        let items: Vec<u32> = (0..10).collect();
        let mut rng = SimRng::new(1);
        let mut seen = [0; 10];
        for _ in 0..1_000 {
            let mut sample = rng.sample(&items, 4);
            sample.sort_unstable();
            sample.dedup();
            assert_eq!(sample.len(), 4);
            sample.iter().for_each(|i| seen[*i as usize] += 1);
        }
        assert!(seen.iter().all(|n| (320..480).contains(n)), "{seen:?}");
        assert_eq!(rng.sample(&items, 20).len(), 10);
    }
}
