//! The rate at which peers catch up here.

use crate::time::{Duration, Instant};

/// What may be sent ahead of the rate: one second's worth and one read.
const AHEAD: Duration = Duration::from_secs(1);

/// A token bucket of bytes: peers that catch up here take a part of the link, not all of it. Unlike a
/// [`RateLimit`](crate::collections::RateLimit) it is paid afterwards: how many bytes a read has is known when it was made.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second.
    rate: u64,
    /// When what was sent would have ended at the rate.
    paid_at: Instant,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: u64::from(rate), paid_at: Instant::ZERO }
    }

    pub(super) fn is_spent(&mut self, now: Instant) -> bool {
        self.paid_at = self.paid_at.max(now);
        self.paid_at > now + AHEAD
    }

    /// When the bucket has bytes to spend again.
    pub(super) fn next(&self) -> Instant {
        self.paid_at.before(AHEAD)
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        let micros = (bytes as u64).saturating_mul(1_000_000).checked_div(self.rate).unwrap_or(0);
        self.paid_at = self.paid_at + Duration::from_micros(micros);
    }
}
