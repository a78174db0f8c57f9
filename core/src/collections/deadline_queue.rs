//! One deadline per key: arm, cancel and find the next in O(log n), with no stale timers.

use crate::collections::{OrderedMap, OrderedSet};
use crate::time::Instant;

#[derive(Debug)]
pub(crate) struct DeadlineQueue<K> {
    by_time: OrderedSet<(Instant, K)>,
    by_key: OrderedMap<K, Instant>,
}

impl<K: Ord + Copy> DeadlineQueue<K> {
    pub(crate) const fn new() -> Self {
        Self { by_time: OrderedSet::new(), by_key: OrderedMap::new() }
    }

    /// Sets the one deadline of `key`, replacing an earlier setting.
    pub(crate) fn arm(&mut self, key: K, at: Instant) {
        self.cancel(key);
        self.by_key.insert(key, at);
        self.by_time.insert((at, key));
    }

    pub(crate) fn cancel(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<Instant> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// The next deadline of a key that `counts`: O(n).
    pub(crate) fn next_of(&self, counts: impl Fn(&K) -> bool) -> Option<Instant> {
        self.by_time.iter().find(|(_, key)| counts(key)).map(|&(at, _)| at)
    }

    /// Takes one key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: u64) -> Instant {
        Instant::from_micros(us)
    }

    #[test]
    fn a_key_has_one_deadline_and_leaves_in_order() {
        let mut q = DeadlineQueue::new();
        q.arm('a', at(5));
        q.arm('b', at(3));
        q.arm('a', at(1));
        assert_eq!((q.len(), q.next()), (2, Some(at(1))));
        assert_eq!(q.pop_due(at(0)), None);
        assert_eq!(q.pop_due(at(9)), Some('a'));
        assert_eq!(q.get('a'), None);
        q.cancel('b');
        assert_eq!((q.pop_due(at(9)), q.next()), (None, None));
    }
}
