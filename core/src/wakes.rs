//! When a node of low power wakes: work that can wait is done in common, at instants that are a fixed time apart.
//!
//! A radio stays in its state of high power for seconds after a packet (Balasubramanian, Balasubramanian,
//! Venkataramani, *Energy Consumption in Mobile Phones*, IMC 2009): ten packets at once cost about as much as one, and ten
//! that are spread over a minute cost ten times that.

use crate::config::{Config, Power};
use crate::id::NodeId;
use crate::time::{Duration, Instant, micros};

/// The instants at which a node of low power does what can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wakes {
    every: u64,
    /// Differs from node to node, so that those that share a clock do not all speak at once.
    offset: u64,
}

impl Wakes {
    /// None for a node that does everything at its time.
    pub(crate) fn of(config: &Config, me: NodeId) -> Option<Self> {
        match config.power {
            Power::Normal => None,
            Power::Low => {
                let every = micros(config.link.low_power_keepalive).max(1);
                let drawn = me.0.first_chunk::<8>().copied().map_or(0, u64::from_le_bytes);
                Some(Self { every, offset: drawn.checked_rem(every).unwrap_or(0) })
            }
        }
    }

    /// The first wake-up that is not before `at`.
    pub(crate) fn not_before(self, at: Instant) -> Instant {
        let Some(past) = at.as_micros().checked_sub(self.offset) else { return Instant::from_micros(self.offset) };
        let late = past.checked_rem(self.every).unwrap_or(0);
        match late {
            0 => at,
            _ => at + Duration::from_micros(self.every.saturating_sub(late)),
        }
    }

    /// The first wake-up after `at`.
    pub(crate) fn after(self, at: Instant) -> Instant {
        self.not_before(at + Duration::from_micros(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// Mutations: `not_before` gives the wake-up before; the offset is left out of one of both.
        #[test]
        fn work_that_can_wait_does_so_for_less_than_one_period(id: [u8; 32], at in 0..u64::MAX / 2) {
            let config = Config { power: Power::Low, ..Config::default() };
            let wakes = Wakes::of(&config, NodeId(id)).unwrap();
            let (at, every) = (Instant::from_micros(at), config.link.low_power_keepalive);
            let due = wakes.not_before(at);
            prop_assert!(due >= at && due.since(at) < every);
            prop_assert_eq!(wakes.not_before(due), due);
            prop_assert_eq!(wakes.after(due), due + every);
            prop_assert_eq!(Wakes::of(&Config::default(), NodeId(id)), None);
        }
    }
}
