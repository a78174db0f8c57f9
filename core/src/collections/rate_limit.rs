//! Limits how often something is done, for one source or for all.

use crate::time::{Instant, micros};

/// Events a second in the long run, and events at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

impl Rate {
    /// As many at once as in a second.
    pub(crate) const fn per_second(n: u32) -> Self {
        Self { per_second: n, burst: n }
    }

    const fn capacity(self) -> u64 {
        (self.burst as u64).saturating_mul(TOKEN)
    }
}

/// One event, in micro-tokens. Time is in microseconds, so a bucket of any whole rate fills without rounding.
const TOKEN: u64 = 1_000_000;

/// A token bucket. In any time of `t` seconds it lets at most `burst + t * per_second` events pass, also
/// across what would be the border of two fixed windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    rate: Rate,
    /// INVARIANT: no more than `rate.burst` tokens.
    micro_tokens: u64,
    filled_at: Instant,
}

impl RateLimit {
    /// A full bucket.
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { rate, micro_tokens: rate.capacity(), filled_at: Instant::ZERO }
    }

    fn fill(&mut self, now: Instant) {
        let gained = micros(now.since(self.filled_at)).saturating_mul(u64::from(self.rate.per_second));
        self.micro_tokens = self.micro_tokens.saturating_add(gained).min(self.rate.capacity());
        self.filled_at = self.filled_at.max(now);
        debug_assert!(self.micro_tokens <= self.rate.capacity(), "a bucket holds more than its burst");
    }

    /// Whether one more event may pass; counts it if so.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        match self.micro_tokens.checked_sub(TOKEN) {
            Some(left) => {
                self.micro_tokens = left;
                true
            }
            None => false,
        }
    }

    /// Whether it limits no more than a new one would, so that it need not be kept.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.micro_tokens == self.rate.capacity()
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::{prop, prop_assert, proptest};

    fn check(limit: &RateLimit) {
        assert!(limit.micro_tokens <= u64::from(limit.rate.burst) * TOKEN, "more tokens than the burst");
    }

    fn at(us: u64) -> Instant {
        Instant::from_micros(us)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut limit = RateLimit::new(Rate { per_second: 5, burst: 10 });
        let mut passed = |us| (0..50).filter(|_| limit.take(at(us))).count();
        assert_eq!(passed(5_000_000), 10);
        assert_eq!(passed(5_199_999), 0);
        assert_eq!(passed(5_200_000), 1);
        assert_eq!(passed(6_200_000), 5);
        assert_eq!(passed(60_000_000), 10, "no more than the burst is saved up");
    }

    #[test]
    fn a_refused_event_costs_nothing() {
        let mut limit = RateLimit::new(Rate::per_second(1));
        assert!(limit.take(at(0)));
        assert!((1..10).all(|n| !limit.take(at(n * 100_000))));
        assert!(limit.take(at(1_000_000)));
    }

    #[test]
    fn a_bucket_is_full_when_all_has_come_back() {
        let mut limit = RateLimit::new(Rate { per_second: 3, burst: 2 });
        assert!(limit.is_full(at(0)));
        assert!(limit.take(at(0)) && limit.take(at(0)));
        assert!(!limit.is_full(at(666_666)));
        assert!(limit.is_full(at(666_667)));
    }

    #[test]
    fn a_rate_of_zero_lets_nothing_pass() {
        let mut limit = RateLimit::new(Rate::per_second(0));
        assert!(!limit.take(at(0)) && !limit.take(at(u64::MAX)));
    }

    proptest! {
        #[test]
        fn no_interval_has_more_than_burst_and_rate(
            per_second in 1u32..2_000, burst in 1u32..50, gaps in prop::collection::vec(0u64..400_000, 1..300),
        ) {
            let mut limit = RateLimit::new(Rate { per_second, burst });
            let (mut now, mut passed) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                if limit.take(at(now)) {
                    passed.push(now);
                }
                check(&limit);
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let most = u64::from(burst) * TOKEN + (to - from) * u64::from(per_second);
                    prop_assert!((j - i + 1) as u64 * TOKEN <= most);
                }
            }
        }
    }
}
