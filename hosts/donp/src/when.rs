//! Times as people read them: of their own clock, or of UTC where they ask for it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Where a time is shown: date, hours, minutes and seconds, 19 characters.
pub const WIDTH: usize = 19;

/// The clock by which times are shown.
#[derive(Clone, Debug)]
pub struct Clock(TimeZone);

impl Clock {
    /// UTC, or the time zone of `TZ` and of the system.
    pub fn new(utc: bool) -> Self {
        // Without any zone of its own a system shows UTC.
        Self(if utc { TimeZone::UTC } else { TimeZone::try_system().unwrap_or(TimeZone::UTC) })
    }

    /// Milliseconds since 1970 as `2026-01-31 18:04:05`; blanks if the clock was not known.
    pub fn show(&self, ms: u64) -> String {
        let at = i64::try_from(ms).ok().filter(|ms| *ms > 0).and_then(|ms| Timestamp::from_millisecond(ms).ok());
        match at {
            Some(at) => at.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            None => " ".repeat(WIDTH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_its_date_and_one_width() {
        let utc = Clock::new(true);
        assert_eq!(utc.show(1_767_225_600_123), "2026-01-01 00:00:00");
        for unknown in [0, u64::MAX] {
            assert_eq!(utc.show(unknown), " ".repeat(WIDTH));
        }
        let there = Clock(TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap());
        assert_eq!(there.show(1_767_225_600_123), "2025-12-31 19:00:00");
        assert_eq!(there.show(1_783_000_000_000), "2026-07-02 09:46:40", "in summer");
    }
}
