//! Pauses between attempts that fail.

use crate::rng::Rng;
use crate::time::Duration;

/// Pauses vary by so many percent either way, so that nodes that failed together do not try again together.
const JITTER: u64 = 20;

/// Exponential back-off (RFC 8961 §4): a pause that doubles with each failure, up to a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most }
    }

    /// The pause after `first` was doubled `doublings` times, with jitter.
    pub(crate) fn pause(self, doublings: u32, rng: &mut Rng) -> Duration {
        rng.jitter(self.nominal(doublings), JITTER)
    }

    /// The same without jitter.
    pub(crate) fn nominal(self, doublings: u32) -> Duration {
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let pauses = [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|n| backoff.nominal(n).as_secs());
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60, 60]);
        let endless = Backoff::new(Duration::from_secs(u64::MAX / 2), Duration::MAX);
        assert_eq!(endless.nominal(u32::MAX), Duration::MAX);
    }

    #[test]
    fn a_pause_is_within_a_fifth_of_its_nominal_time() {
        let (backoff, mut rng) = (Backoff::new(Duration::from_secs(10), Duration::MAX), Rng::new([1; 32]));
        let pauses: alloc::vec::Vec<_> = (0..200).map(|_| backoff.pause(0, &mut rng).as_millis()).collect();
        assert!(pauses.iter().all(|ms| (8_000..=12_000).contains(ms)));
        assert!(pauses.iter().any(|ms| *ms < 9_000) && pauses.iter().any(|ms| *ms > 11_000));
    }
}
