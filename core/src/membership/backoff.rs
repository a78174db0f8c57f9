//! Exponential backoff.

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// A pause that doubles with each failure, ± 20 %.
#[derive(Clone, Copy)]
pub(super) struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The next attempt after `fails` failures and one more.
    pub(super) fn next(&self, fails: u32, now: Instant, rng: &mut Rng) -> Instant {
        let pause = self.first.saturating_mul(1u32.checked_shl(fails).unwrap_or(u32::MAX)).min(self.max);
        now + rng.jitter(pause, 20)
    }
}
