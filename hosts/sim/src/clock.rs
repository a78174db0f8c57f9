//! The clocks of a device: elapsed time and date.

use donp_core::{Instant, WallTime};

/// What the nodes' wall clocks show at virtual time zero: 2026-01-01.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// A monotonic clock that runs a little fast or slow and may jump, and a wall clock that people set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Parts per million by which the monotonic clock is fast; negative if slow. Above -1,000,000.
    ppm: i64,
    /// At this virtual microsecond …
    since: u64,
    /// … the monotonic clock showed this.
    shown: u64,
    wall_offset_ms: i64,
}

impl Clock {
    /// What the monotonic clock shows at the virtual microsecond `now`.
    pub fn instant(&self, now: u64) -> Instant {
        Instant::from_micros(self.local(now))
    }

    /// What the wall clock shows.
    pub fn wall(&self, now: u64) -> WallTime {
        let ms = EPOCH_MS.saturating_add((self.local(now) / 1_000) as i64).saturating_add(self.wall_offset_ms);
        WallTime(ms.max(0) as u64)
    }

    /// The first virtual microsecond at which the monotonic clock shows at least `instant`.
    pub fn virtual_time(&self, instant: Instant) -> u64 {
        let ahead = instant.as_micros().saturating_sub(self.shown);
        if self.ppm == 0 {
            return self.since.saturating_add(ahead);
        }
        let rate = u128::from((1_000_000 + self.ppm) as u64);
        let real = (u128::from(ahead) * 1_000_000).div_ceil(rate);
        self.since.saturating_add(u64::try_from(real).unwrap_or(u64::MAX))
    }

    /// From `now` on the monotonic clock is fast by `ppm` parts per million (slow if negative).
    pub fn skew(&mut self, now: u64, ppm: i64) {
        self.shown = self.local(now);
        self.since = now;
        self.ppm = ppm.max(-999_999);
    }

    /// The monotonic clock jumps by `us` microseconds, back if negative.
    pub fn jump(&mut self, now: u64, us: i64) {
        self.shown = self.local(now).saturating_add_signed(us);
        self.since = now;
    }

    /// A user sets the wall clock `ms` milliseconds forward, back if negative.
    pub fn set_wall(&mut self, ms: i64) {
        self.wall_offset_ms = self.wall_offset_ms.saturating_add(ms);
    }

    fn local(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.since);
        if self.ppm == 0 {
            return self.shown.saturating_add(passed);
        }
        let passed = u128::from(passed) * u128::from((1_000_000 + self.ppm) as u64) / 1_000_000;
        self.shown.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_on_a_wrong_clock_is_met_when_that_clock_shows_it() {
        for ppm in [0, 1, -1, 100_000, -100_000, 333_333] {
            let mut clock = Clock::default();
            clock.skew(1_000_000, ppm);
            for target in [1_000_001, 1_500_000, 9_999_999] {
                let target = Instant::from_micros(target);
                let at = clock.virtual_time(target);
                assert!(clock.instant(at) >= target, "{ppm}");
                assert!(clock.instant(at - 1) < target, "{ppm}");
            }
        }
    }

    #[test]
    fn clocks_jump_and_run_on() {
        let mut clock = Clock::default();
        clock.jump(5_000_000, -2_000_000);
        assert_eq!(clock.instant(5_000_000).as_micros(), 3_000_000);
        assert_eq!(clock.virtual_time(Instant::from_micros(3_500_000)), 5_500_000);
        let before = clock.wall(6_000_000).0;
        clock.set_wall(-3_600_000);
        assert_eq!(clock.wall(6_000_000).0, before - 3_600_000);
        assert_eq!(clock.instant(6_000_000).as_micros(), 4_000_000, "the monotonic clock does not move with it");
    }
}
