//! What a host does for its node from time to time, and when.

use std::time::Duration;

use donp_core::{Instant, Power};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// The buffers of a burst are kept for so long after the last one: longer than the pauses of a lively conversation.
const BURST_PAUSE: Duration = Duration::from_secs(5);
/// The records are checked from a minute after the start on, when an app is no longer about to be shown.
const CHECK_AFTER: Duration = MINUTE;
/// Between two slices of records: with 512 records of 10 µs each the check takes a fortieth of a processor, and a million
/// records seven minutes.
const CHECK_PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Chores {
    /// How much later than planned they may be done: a node of low power does them when it is awake.
    patience: Duration,
    next_minute: Instant,
    next_hour: Instant,
    /// When to give back the buffers of a burst.
    rest_at: Option<Instant>,
    check_at: Instant,
}

impl Chores {
    pub(super) fn new(power: Power, now: Instant) -> Self {
        let patience = match power {
            Power::Normal => Duration::ZERO,
            // It wakes twice a minute by itself; without links a minute is no loss.
            Power::Low => MINUTE,
        };
        let (next_minute, next_hour) = (now + MINUTE, now + HOUR);
        Self { patience, next_minute, next_hour, rest_at: None, check_at: now + CHECK_AFTER }
    }

    /// When the node has to be awake for one of them.
    pub(super) fn deadline(&self) -> Instant {
        self.next_minute.min(self.next_hour).min(self.check_at) + self.patience
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Many datagrams came at once.
    pub(super) fn burst(&mut self, now: Instant) {
        self.rest_at = Some(now + BURST_PAUSE);
    }

    pub(super) fn is_burst_over(&mut self, now: Instant) -> bool {
        self.rest_at.take_if(|at| *at <= now).is_some()
    }

    pub(super) fn is_minute_over(&mut self, now: Instant) -> bool {
        let is_over = self.next_minute <= now;
        if is_over {
            self.next_minute = now + MINUTE;
        }
        is_over
    }

    /// The minute ends after `left`.
    #[cfg(test)]
    pub(super) fn minute_ends(&mut self, left: Duration, now: Instant) {
        self.next_minute = now + left;
    }

    pub(super) fn is_hour_over(&mut self, now: Instant) -> bool {
        let is_over = self.next_hour <= now;
        if is_over {
            self.next_hour = now + HOUR;
        }
        is_over
    }

    /// Whether a slice of the records is to be checked; then the next comes a moment later.
    pub(super) fn is_check_due(&mut self, now: Instant) -> bool {
        let is_due = self.check_at <= now;
        if is_due {
            self.check_at = now + CHECK_PAUSE;
        }
        is_due
    }

    /// The next check begins after `pause`.
    pub(super) fn check_after(&mut self, pause: Duration, now: Instant) {
        self.check_at = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: `patience` is left out of `deadline`.
    #[test]
    fn chores_alone_wake_no_node_of_low_power_twice_a_minute() {
        let mut chores = Chores::new(Power::Low, Instant::ZERO);
        let mut now = Instant::ZERO;
        let mut wakes = 0;
        while now < Instant::ZERO + HOUR {
            now = chores.deadline();
            chores.is_minute_over(now);
            chores.is_hour_over(now);
            chores.is_check_due(now);
            chores.check_after(24 * HOUR, now);
            wakes += 1;
        }
        assert!(wakes <= 31, "{wakes}");
    }
}
