//! When a node that did not answer is called again.

use crate::collections::Backoff;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Pauses between the calls to one node.
#[derive(Clone, Copy)]
pub(super) struct Redial {
    pub first: Duration,
    pub max: Duration,
}

/// Failures in a row at the longest pause before a peer counts as gone for long, and the pause doubles on.
const PATIENT: u32 = 10;
/// The longest pause for a peer that is gone for long: a day, as whole histories are compared.
const LONGEST: Duration = Duration::from_secs(86_400);

impl Redial {
    /// Failures in a row from which on a peer is gone for long.
    pub(super) fn patience(&self) -> u32 {
        // So many failures lead up to the longest pause: 6 to a minute.
        let steps = self.max.as_micros().checked_div(self.first.as_micros().max(1)).unwrap_or(1).max(1).ilog2();
        steps.saturating_add(PATIENT)
    }

    /// As [`next`](Self::next), for one of many: a node that has not answered for long is asked ever less, so that an
    /// address book full of nodes that are gone costs next to nothing.
    pub(super) fn next_of_many(&self, fails: u32, now: Instant, rng: &mut Rng) -> Instant {
        let beyond = fails.saturating_sub(self.patience());
        let max = Backoff::new(self.max, LONGEST.max(self.max)).nominal(beyond);
        Self { first: self.first, max }.next(fails, now, rng)
    }

    /// The next attempt after `fails` failures and one more.
    pub(super) fn next(&self, fails: u32, now: Instant, rng: &mut Rng) -> Instant {
        now + Backoff::new(self.first, self.max).pause(fails, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: `next_of_many` is `next`: 1,440 attempts a day for each.
    #[test]
    fn a_node_that_is_gone_costs_ever_less() {
        let redial = Redial { first: Duration::from_secs(1), max: Duration::from_secs(60) };
        let (mut rng, mut now, mut fails) = (Rng::new([1; 32]), Instant::ZERO, 0);
        let mut attempts_in = |time: Duration| {
            let (end, before) = (now + time, fails);
            while now < end {
                now = redial.next_of_many(fails, now, &mut rng);
                fails += 1;
            }
            fails - before
        };
        let quarter = attempts_in(Duration::from_secs(900));
        assert!((15..=22).contains(&quarter), "as before for a quarter of an hour: {quarter}");
        assert!(attempts_in(Duration::from_secs(86_400)) <= 12);
        assert!(attempts_in(Duration::from_secs(7 * 86_400)) <= 9, "once a day");
    }
}
