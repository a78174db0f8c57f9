//! One budget of calls to other nodes. It falls while none of them answers: a node without a network, or with an address
//! book of nodes that are gone, costs next to nothing, however long the book is.

use crate::collections::Backoff;
use crate::time::{Duration, Instant};

/// Calls without an answer that cost nothing: three times the 42 nodes of both views, which are all tried after a great
/// failure (docs/design/overlay.md §2).
const FREE: u32 = 128;
/// After them the pause between two calls begins with this, which is the wait for a candidate's answer
/// (docs/design/overlay.md §2), and doubles with each [`STEP`] calls.
const FIRST: Duration = Duration::from_millis(500);
/// Calls with one pause: at the longest pause the node has called a quarter of an hour.
const STEP: u32 = 16;

#[derive(Default)]
pub(super) struct Calls {
    /// Calls that were given up since a node last answered.
    unanswered: u32,
    last: Option<Instant>,
}

impl Calls {
    /// A node answered, or the network may be another one: there is a reason to hope.
    pub(super) fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// A call was given up.
    pub(super) fn failed(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// A call begins.
    pub(super) fn began(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Whether calls follow each other after pauses, one at a time.
    pub(super) fn is_limited(&self) -> bool {
        self.unanswered >= FREE
    }

    /// When the next call may begin: pauses of at most `most`. None: whenever.
    pub(super) fn next(&self, most: Duration) -> Option<Instant> {
        let beyond = self.unanswered.checked_sub(FREE)?;
        let steps = beyond.checked_div(STEP).unwrap_or(0);
        self.last.map(|last| last + Backoff::new(FIRST, most).nominal(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutations: the pause does not double, or an answer changes nothing.
    #[test]
    fn calls_become_rare_while_none_is_answered() {
        let (mut calls, mut now, most) = (Calls::default(), Instant::ZERO, Duration::from_secs(60));
        let mut in_time = |calls: &mut Calls, time: Duration| {
            let (end, mut count) = (now + time, 0);
            loop {
                let at = calls.next(most).map_or(now + Duration::from_millis(10), |at| at.max(now));
                if at >= end {
                    now = end;
                    return count;
                }
                now = at;
                calls.began(now);
                calls.failed();
                count += 1;
            }
        };
        let hour = in_time(&mut calls, Duration::from_secs(3_600));
        assert!((250..=320).contains(&hour), "{hour}");
        assert!(calls.is_limited());
        assert_eq!(in_time(&mut calls, Duration::from_secs(3_600)), 60, "one a minute");
        calls.answered();
        assert!(!calls.is_limited() && calls.next(most).is_none());
    }
}
