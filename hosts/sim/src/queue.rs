//! Events by virtual time. Small keys are sorted; their values stay in place in a slab.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Pending events, soonest first. Of two at one time the one of lower rank comes first, then the one that was
/// added first.
pub(crate) struct EventQueue<T> {
    keys: BinaryHeap<Reverse<(u64, u32, u64, u32)>>,
    slab: Vec<Option<T>>,
    free: Vec<u32>,
    tie: u64,
}

impl<T> EventQueue<T> {
    pub(crate) fn new() -> Self {
        Self { keys: BinaryHeap::new(), slab: Vec::new(), free: Vec::new(), tie: 0 }
    }

    /// Adds `what` at the virtual microsecond `at`, with rank 0.
    pub(crate) fn push(&mut self, at: u64, what: T) {
        self.push_ranked(at, 0, what);
    }

    /// Adds `what` at the virtual microsecond `at`, after everything of that time with a lower rank.
    pub(crate) fn push_ranked(&mut self, at: u64, rank: u32, what: T) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slab.push(None);
                (self.slab.len() - 1) as u32
            }
        };
        self.slab[slot as usize] = Some(what);
        self.tie += 1;
        self.keys.push(Reverse((at, rank, self.tie, slot)));
    }

    /// Takes the first if it is due by `end`, with its time.
    pub(crate) fn pop_by(&mut self, end: u64) -> Option<(u64, T)> {
        let Reverse((at, _, _, slot)) = *self.keys.peek()?;
        if at > end {
            return None;
        }
        self.keys.pop();
        self.free.push(slot);
        self.slab[slot as usize].take().map(|what| (at, what))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_rank_then_order_of_adding() {
        let mut queue = EventQueue::new();
        for (at, rank, what) in [(5, 0, 'd'), (3, 2, 'c'), (3, 0, 'a'), (9, 0, 'e'), (3, 0, 'b')] {
            queue.push_ranked(at, rank, what);
        }
        assert_eq!(queue.pop_by(2), None);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop_by(8)).collect();
        assert_eq!(order, [(3, 'a'), (3, 'b'), (3, 'c'), (5, 'd')]);
        assert_eq!(queue.len(), 1);
        queue.push(9, 'f');
        assert_eq!(queue.slab.len(), 5, "slots are used again");
        assert_eq!([queue.pop_by(9), queue.pop_by(9)], [Some((9, 'e')), Some((9, 'f'))]);
    }
}
