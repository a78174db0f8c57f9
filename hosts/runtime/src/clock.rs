//! The two clocks and the randomness that the engine is fed with.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use donp_core::{Instant, WallTime};

/// A monotonic clock that also counts the time a device sleeps: a link that died in a suspended
/// laptop must look dead when it wakes.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    #[cfg(not(unix))]
    origin: std::time::Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock; all clocks of one machine agree on Unix.
    pub fn new() -> Self {
        Self {
            #[cfg(not(unix))]
            origin: std::time::Instant::now(),
        }
    }

    /// Microseconds since the machine started; on systems without such a clock, since this clock
    /// was made, and without sleep.
    pub fn now(&self) -> Instant {
        #[cfg(unix)]
        let us = crate::os::monotonic_micros();
        #[cfg(not(unix))]
        let us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Instant::from_micros(us)
    }

    /// The wall clock in milliseconds since 1970; zero ("unknown") if it is set before that.
    pub fn wall(&self) -> WallTime {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        WallTime(u64::try_from(ms).unwrap_or(0))
    }
}

/// `N` bytes of the operating system's best randomness.
///
/// # Errors
/// When the system has none to give, which is no state to make keys in.
pub fn entropy<const N: usize>() -> io::Result<[u8; N]> {
    let mut out = [0; N];
    getrandom::fill(&mut out).map_err(|e| io::Error::other(format!("the system gives no randomness: {e}")))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_and_all_clocks_agree() {
        let (a, b) = (Clock::new(), Clock::new());
        let mut last = a.now();
        for n in 0..1_000 {
            let next = if n % 2 == 0 { b.now() } else { a.now() };
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn wall_time_is_in_milliseconds() {
        // 2020-01-01 and 2100-01-01.
        assert!((1_577_836_800_000..4_102_444_800_000).contains(&Clock::new().wall().0));
    }

    #[test]
    fn entropy_does_not_repeat() {
        assert_ne!(entropy::<32>().unwrap(), entropy::<32>().unwrap());
    }
}
