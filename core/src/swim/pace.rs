//! How often a period begins: rarely while nothing happens.

use crate::config::SwimConfig;
use crate::rng::Rng;
use crate::time::{Duration, Instant, micros};

use super::health::Health;
use super::timer::{Timer, Timers};

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

    /// With the first member the periods begin, at a place of this node's own.
    pub(super) fn start(&self, now: Instant, timers: &mut Timers, rng: &mut Rng) {
        if timers.get(Timer::Period).is_none() {
            let first = rng.below(usize::try_from(micros(self.busy)).unwrap_or(1));
            timers.arm(Timer::Period, now + Duration::from_micros((first as u64).max(1)));
        }
    }

    /// A period begins; how long it lasts for a node that is well.
    pub(super) fn begin(&mut self, now: Instant, timers: &mut Timers, health: &Health) -> Duration {
        self.began_at = now;
        let period = if now.since(self.stirred_at) < self.after { self.busy } else { self.quiet };
        timers.arm(Timer::Period, now + health.scale(period));
        period
    }

    /// Something happened to a member: the next period begins as early as in a zone that is not quiet.
    pub(super) fn stir(&mut self, now: Instant, timers: &mut Timers, health: &Health) {
        self.stirred_at = now;
        let soon = (self.began_at + health.scale(self.busy)).max(now);
        if timers.get(Timer::Period).is_some_and(|next| next > soon) {
            timers.arm(Timer::Period, soon);
        }
    }
}
