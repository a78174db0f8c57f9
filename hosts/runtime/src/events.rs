//! Events on their way to whoever listens. Durable ones are rows in the store: a listener is a
//! cursor, and a short ring in memory saves reading back what is recent. Volatile ones go to a
//! bounded ring for each subscriber.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use donp_core::{Event, EventKind};

/// Recent durable events in memory. Older ones are read from the store.
const RECENT: usize = 4_096;
/// Bytes of text in the ring of recent events.
const RECENT_BYTES: usize = 4 << 20;
/// Volatile events kept for one subscriber (users.md §2.1, chatmail's ring is 1,000).
const VOLATILE: usize = 1_024;

/// A page of durable events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// By number, ascending.
    pub events: Vec<Event>,
    /// The number of the newest durable event that exists; zero if there never was one.
    pub last: u64,
}

#[derive(Default)]
struct State {
    recent: VecDeque<(u64, Event)>,
    recent_bytes: usize,
    /// Every durable event above this number that exists is in `recent`.
    floor: u64,
    last: u64,
    acked: u64,
    subscribers: BTreeMap<u64, Ring>,
    next_subscriber: u64,
    closed: bool,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<EventKind>,
    missed: u64,
}

impl State {
    fn publish(&mut self, event: Event) {
        let Some(seq) = event.seq else {
            for ring in self.subscribers.values_mut() {
                ring.events.push_back(event.kind.clone());
                if ring.events.len() > VOLATILE {
                    ring.events.pop_front();
                    ring.missed += 1;
                }
            }
            return;
        };
        // A restart repeats what was not acknowledged, in order; anything else is no news.
        if seq <= self.last {
            return;
        }
        if self.last == 0 {
            self.floor = seq.saturating_sub(1);
        }
        self.last = seq;
        self.recent_bytes += weight(&event);
        self.recent.push_back((seq, event));
        while self.recent.len() > RECENT || (self.recent_bytes > RECENT_BYTES && self.recent.len() > 1) {
            if let Some((seq, event)) = self.recent.pop_front() {
                self.recent_bytes -= weight(&event);
                self.floor = seq;
            }
        }
    }
}

/// Shared between the node's thread, which publishes, and any number of listeners.
#[derive(Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    changed: Condvar,
}

impl Hub {
    /// A listener that panicked while it held the lock left whole values behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes events in order, with one wake-up of the listeners for all.
    pub(crate) fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let mut state = self.lock();
        for event in events {
            state.publish(event);
        }
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn acked(&self, seq: u64) {
        let mut state = self.lock();
        state.acked = state.acked.max(seq);
    }

    pub(crate) fn cursor(&self) -> u64 {
        self.lock().acked
    }

    pub(crate) fn last(&self) -> u64 {
        self.lock().last
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The events after `after`, or none if the ring does not go back that far.
    pub(crate) fn recent(&self, after: u64, max: usize) -> Option<EventPage> {
        let state = self.lock();
        if after < state.floor {
            return None;
        }
        let from = state.recent.partition_point(|(seq, _)| *seq <= after);
        let events = state.recent.range(from..).take(max).map(|(_, e)| e.clone()).collect();
        Some(EventPage { events, last: state.last })
    }

    /// Waits until there is a durable event after `after`; whether there is one.
    pub(crate) fn wait(&self, after: u64, timeout: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |s| s.last <= after && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.last > after
    }

    pub(crate) fn subscribe(self: &Arc<Self>) -> Subscription {
        let mut state = self.lock();
        let id = state.next_subscriber;
        state.next_subscriber += 1;
        state.subscribers.insert(id, Ring::default());
        Subscription { hub: Arc::clone(self), id }
    }
}

/// Roughly what an event takes in memory.
fn weight(event: &Event) -> usize {
    let text = match &event.kind {
        EventKind::Message(m) => m.content.shown().len() + m.clock.entries().len() * 40,
        _ => 0,
    };
    text + 256
}

/// A listener to volatile events; what happens while it does not read is kept up to 1,024 events,
/// then the oldest go and one [`EventKind::Lagged`] says how many.
pub struct Subscription {
    hub: Arc<Hub>,
    id: u64,
}

impl Subscription {
    /// The next volatile event; none when `timeout` passed or the node is closed.
    pub fn next(&self, timeout: Duration) -> Option<EventKind> {
        let until = Instant::now() + timeout;
        let mut state = self.hub.lock();
        loop {
            let ring = state.subscribers.get_mut(&self.id)?;
            if ring.missed > 0 {
                return Some(EventKind::Lagged { missed: std::mem::take(&mut ring.missed) });
            }
            if let Some(event) = ring.events.pop_front() {
                return Some(event);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                return None;
            }
            state = self.hub.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.lock().subscribers.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donp_core::{MessageId, NodeId};

    fn durable(seq: u64) -> Event {
        Event { seq: Some(seq), kind: EventKind::Delivered { message: MessageId([1; 32]), to: NodeId([2; 32]) } }
    }

    fn seqs(page: &EventPage) -> Vec<u64> {
        page.events.iter().filter_map(|e| e.seq).collect()
    }

    #[test]
    fn a_listener_is_a_cursor() {
        let hub = Hub::default();
        assert_eq!(hub.recent(0, 10), Some(EventPage::default()));
        for seq in 5..9 {
            hub.publish([durable(seq)]);
        }
        hub.publish([durable(6)]);
        assert_eq!(seqs(&hub.recent(4, 10).unwrap()), [5, 6, 7, 8]);
        assert_eq!(seqs(&hub.recent(5, 2).unwrap()), [6, 7]);
        assert_eq!(seqs(&hub.recent(8, 2).unwrap()), [0u64; 0]);
        assert_eq!(hub.recent(3, 10), None, "what was before the first is in the store, if anywhere");
        assert_eq!(hub.last(), 8);
    }

    #[test]
    fn the_ring_is_bounded_and_says_where_it_ends() {
        let hub = Hub::default();
        for seq in 1..=RECENT as u64 + 10 {
            hub.publish([durable(seq)]);
        }
        assert_eq!(hub.recent(9, 10), None);
        assert_eq!(seqs(&hub.recent(10, 2).unwrap()), [11, 12]);
        assert_eq!(hub.lock().recent.len(), RECENT);
    }

    #[test]
    fn waiting_ends_with_the_event_or_the_node() {
        let hub = Arc::new(Hub::default());
        let waiting = Arc::clone(&hub);
        let thread = std::thread::spawn(move || waiting.wait(0, Duration::from_secs(60)));
        hub.publish([durable(1)]);
        assert!(thread.join().unwrap());
        assert!(!hub.wait(1, Duration::ZERO));
        hub.close();
        assert!(!hub.wait(1, Duration::from_secs(60)), "returns at once");
    }

    #[test]
    fn a_slow_subscriber_is_told_how_much_it_missed() {
        let hub = Arc::new(Hub::default());
        let (slow, fast) = (hub.subscribe(), hub.subscribe());
        for n in 0..VOLATILE + 3 {
            hub.publish([Event { seq: None, kind: EventKind::Writable }]);
            if n >= 3 {
                assert_eq!(fast.next(Duration::ZERO), Some(EventKind::Writable));
            }
        }
        assert_eq!(slow.next(Duration::ZERO), Some(EventKind::Lagged { missed: 3 }));
        let mut left = 0;
        while slow.next(Duration::ZERO).is_some() {
            left += 1;
        }
        assert_eq!(left, VOLATILE);
        drop(slow);
        assert_eq!(hub.lock().subscribers.len(), 1);
    }
}
