//! Time is data: the host passes it in with every call and the core never reads a clock.
//!
//! [`Instant`] comes from a monotonic clock that also counts the time a device sleeps (Linux
//! `CLOCK_BOOTTIME`, Android `elapsedRealtimeNanos`, Swift `ContinuousClock`). [`WallTime`] is shown
//! to people and bounds how long keys are used; it never decides an order.

use core::ops::Add;
pub use core::time::Duration;

/// Microseconds since an arbitrary point that the host chose. All arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The earliest instant.
    pub const ZERO: Self = Self(0);

    /// An instant `us` microseconds after the host's epoch.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the host's epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved back by `by`, not below zero.
    pub const fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }
}

/// The microseconds of a duration, saturating at `u64::MAX`.
pub(crate) const fn micros(d: Duration) -> u64 {
    let us = d.as_micros();
    if us > u64::MAX as u128 { u64::MAX } else { us as u64 }
}

/// `d * times / of`, in microseconds; `of` is not zero.
pub(crate) fn share(d: Duration, times: u64, of: u64) -> Duration {
    Duration::from_micros(micros(d).saturating_mul(times).checked_div(of).unwrap_or(u64::MAX))
}

/// The longest of the last 64 times that were measured, which is about their 99th percentile.
#[derive(Debug, Default)]
pub(crate) struct Longest(heapless::HistoryBuf<Duration, 64>);

impl Longest {
    pub(crate) fn sample(&mut self, d: Duration) {
        self.0.write(d);
    }

    /// Twice that: a timeout that is hardly ever too short (docs/design/failures.md §2). Zero before the first sample.
    pub(crate) fn twice(&self) -> Duration {
        self.0.as_slice().iter().max().copied().unwrap_or_default().saturating_mul(2)
    }
}

/// The earlier of two optional instants.
pub(crate) fn soonest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}

/// Milliseconds since 1970-01-01 UTC as the host believes them; zero means unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct WallTime(pub u64);

/// The wall clock carried forward by the monotonic one between two readings by the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    read_at: Instant,
    read: WallTime,
}

impl WallClock {
    pub(crate) fn new(now: Instant, wall: WallTime) -> Self {
        Self { read_at: now, read: wall }
    }

    pub(crate) fn at(&self, now: Instant) -> WallTime {
        let passed = now.as_micros().saturating_sub(self.read_at.as_micros()) / 1_000;
        WallTime(self.read.0.saturating_add(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let last = Instant::from_micros(u64::MAX);
        assert_eq!(last + Duration::MAX, last);
        assert_eq!(Instant::ZERO.before(Duration::MAX), Instant::ZERO);
        assert_eq!(Instant::ZERO.since(last), Duration::ZERO);
    }

    #[test]
    fn wall_time_follows_the_monotonic_clock() {
        let clock = WallClock::new(Instant::from_micros(5_000_000), WallTime(1_000));
        assert_eq!(clock.at(Instant::from_micros(7_500_000)), WallTime(3_500));
        assert_eq!(clock.at(Instant::ZERO), WallTime(1_000));
    }
}
