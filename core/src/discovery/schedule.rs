//! When a node sends beacons: by its schedule, and as answers to nodes that are new.

use crate::machine::Cx;
use crate::time::{Duration, Instant, micros, soonest};

/// Pauses before the first beacons: at 0, 2 and 6 s (docs/design/overlay.md §5).
const FIRST_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(4)];
/// Least time between an answer and the beacon before it: 5 answers a second (docs/design/overlay.md §5).
const ANSWER_INTERVAL: Duration = Duration::from_millis(200);
/// An answer waits a random time of up to this for each node observed, so that a whole local network sends
/// twenty answers a second to a newcomer, however many nodes it has.
const ANSWER_SPREAD: Duration = Duration::from_millis(50);
/// Longest wait for an answer: the newcomer's own next beacons have come by then.
const MAX_ANSWER_SPREAD: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Schedule {
    /// Beacons of the schedule, counted up to the end of [`FIRST_PAUSES`].
    step: usize,
    beacon_at: Option<Instant>,
    answer_at: Option<Instant>,
    sent_at: Instant,
}

impl Schedule {
    /// Starts again from the first beacon.
    pub(super) fn start(&mut self, now: Instant) {
        self.stop();
        self.beacon_at = Some(now);
    }

    pub(super) fn stop(&mut self) {
        self.step = 0;
        self.beacon_at = None;
        self.answer_at = None;
    }

    /// Answers a newcomer among `nodes` in all, unless the schedule does so as soon.
    pub(super) fn answer(&mut self, nodes: usize, cx: &mut Cx<'_>) {
        if self.answer_at.is_some() {
            return;
        }
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        let spread = ANSWER_SPREAD.saturating_mul(nodes).min(MAX_ANSWER_SPREAD);
        let wait = cx.rng.below(usize::try_from(micros(spread)).unwrap_or(usize::MAX));
        let at = (cx.now + Duration::from_micros(wait as u64)).max(self.sent_at + ANSWER_INTERVAL);
        self.answer_at = self.beacon_at.is_none_or(|scheduled| at < scheduled).then_some(at);
    }

    /// Whether a beacon is due: then it counts as sent, and the next of the schedule comes after about `every`.
    pub(super) fn take_due(&mut self, every: Duration, cx: &mut Cx<'_>) -> bool {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now);
        let scheduled = due(self.beacon_at);
        if !scheduled && !due(self.answer_at) {
            return false;
        }
        if scheduled {
            self.step = self.step.saturating_add(1);
            let pause = FIRST_PAUSES.get(self.step).copied().unwrap_or_else(|| cx.rng.jitter(every, 20));
            self.beacon_at = Some(cx.now + pause);
        }
        self.sent_at = cx.now;
        self.answer_at = None;
        true
    }

    /// The first beacons, and answers to nodes that are new; not those that recur.
    pub(super) fn pressing_deadline(&self) -> Option<Instant> {
        let first = self.beacon_at.filter(|_| self.step < FIRST_PAUSES.len());
        soonest(first, self.answer_at)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        soonest(self.beacon_at, self.answer_at)
    }
}
