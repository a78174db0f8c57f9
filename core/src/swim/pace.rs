//! How often a period begins: rarely while nothing happens.

use crate::config::SwimConfig;
use crate::time::{Duration, Instant};

pub(super) struct Pace {
    busy: Duration,
    quiet: Duration,
    /// The zone is quiet when nothing happened to a member for so long.
    after: Duration,
    /// When something last happened to a member.
    stirred_at: Instant,
    began_at: Instant,
}

impl Pace {
    pub(super) fn new(config: &SwimConfig) -> Self {
        Self {
            busy: config.period,
            quiet: config.quiet_period.max(config.period),
            after: config.quiet_after,
            stirred_at: Instant::ZERO,
            began_at: Instant::ZERO,
        }
    }

    /// A period begins; how long it lasts.
    pub(super) fn begin(&mut self, now: Instant) -> Duration {
        self.began_at = now;
        if now.since(self.stirred_at) < self.after { self.busy } else { self.quiet }
    }

    /// Something happened to a member: when the period under way began, and how long it lasts at most.
    pub(super) fn stir(&mut self, now: Instant) -> (Instant, Duration) {
        self.stirred_at = now;
        (self.began_at, self.busy)
    }
}
