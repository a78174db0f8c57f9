//! Events on their way to their listeners. Durable ones are rows in the store: a listener is a
//! cursor, and a short ring in memory saves reading back what is recent. Volatile ones go to a
//! bounded ring for each stream.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use donp_core::{Event, Volatile};

/// Recent durable events in memory. Older ones are read from the store.
const RECENT: usize = 4_096;
/// Bytes of text in the ring of recent events.
const RECENT_BYTES: usize = 4 << 20;
/// Volatile events kept for one stream: chatmail's channel has 1,000 (chatmail/core, src/events.rs).
const VOLATILE: usize = 1_024;
/// Durable events read back from the store at once for one stream.
pub(crate) const READ_BACK: usize = 256;
/// Bytes of one read of stored events: 4 MiB, sixty of the largest messages.
pub(crate) const READ_BYTES: u32 = 4 << 20;

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
    /// What this run reported first: there is nothing unacknowledged below it.
    first: u64,
    last: u64,
    acked: u64,
    readers: BTreeMap<u64, Reader>,
    next_reader: u64,
    next_wait: u64,
    /// Threads that wait: with none, publishing makes no system call.
    waiting: usize,
    closed: bool,
}

/// Where one stream stands.
#[derive(Default)]
struct Reader {
    /// Durable events up to this number were taken, or are in `read_back`.
    after: u64,
    /// Durable events that memory did not hold any more.
    read_back: VecDeque<Event>,
    reading: bool,
    volatile: VecDeque<Volatile>,
    missed: u64,
    wakers: BTreeMap<u64, Waker>,
    /// Ended: nothing newer than this is given.
    until: Option<u64>,
}

/// What a stream has for its reader.
enum Supply {
    Some,
    /// Nothing in memory; the store has more.
    Stored,
    None,
    /// Nothing, and nothing will come.
    Ended,
}

impl State {
    fn publish(&mut self, event: Event) {
        let seq = match event {
            Event::Durable { seq, .. } => seq,
            Event::Volatile(volatile) => return self.publish_volatile(&volatile),
        };
        // A restart repeats what was not acknowledged, in order; anything else is no news.
        if seq <= self.last {
            return;
        }
        if self.last == 0 {
            self.first = seq.saturating_sub(1);
            self.floor = self.first;
        }
        self.last = seq;
        self.recent_bytes += event.weight();
        self.recent.push_back((seq, event));
        while self.recent.len() > RECENT || (self.recent_bytes > RECENT_BYTES && self.recent.len() > 1) {
            if let Some((seq, event)) = self.recent.pop_front() {
                self.recent_bytes -= event.weight();
                self.floor = seq;
            }
        }
    }

    fn publish_volatile(&mut self, event: &Volatile) {
        for reader in self.readers.values_mut().filter(|r| r.until.is_none()) {
            reader.volatile.push_back(event.clone());
            if reader.volatile.len() > VOLATILE {
                reader.volatile.pop_front();
                reader.missed += 1;
            }
        }
    }

    fn after(&self, after: u64) -> impl Iterator<Item = &Event> {
        let from = self.recent.partition_point(|(seq, _)| *seq <= after);
        self.recent.range(from..).map(|(_, event)| event)
    }

    fn supply(&self, id: u64) -> Supply {
        let Some(reader) = self.readers.get(&id) else {
            return Supply::Ended;
        };
        let last = reader.until.unwrap_or(u64::MAX).min(self.last);
        let after = reader.after.max(self.first);
        let waiting = reader.missed > 0 || !reader.read_back.is_empty() || !reader.volatile.is_empty();
        if waiting || (after < last && after >= self.floor) {
            Supply::Some
        } else if self.closed || reader.until.is_some() {
            // What is stored and was not taken comes again when the node does.
            Supply::Ended
        } else if after < last {
            Supply::Stored
        } else {
            Supply::None
        }
    }

    fn take(&mut self, id: u64, max: usize) -> Vec<Event> {
        let mut out = Vec::new();
        let (first, floor) = (self.first, self.floor);
        let Some(reader) = self.readers.get_mut(&id) else {
            return out;
        };
        if reader.missed > 0 && max > 0 {
            let missed = std::mem::take(&mut reader.missed);
            out.push(Event::Volatile(Volatile::Lagged { missed }));
        }
        let room = max.saturating_sub(out.len()).min(reader.read_back.len());
        out.extend(reader.read_back.drain(..room));
        reader.after = reader.after.max(first);
        let (after, until) = (reader.after, reader.until.unwrap_or(u64::MAX));
        if reader.read_back.is_empty() && after >= floor {
            let room = max.saturating_sub(out.len());
            out.extend(self.after(after).take_while(|e| e.seq() <= Some(until)).take(room).cloned());
        }
        let newest = out.iter().filter_map(Event::seq).next_back();
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.after = reader.after.max(newest.unwrap_or(0));
            let room = max.saturating_sub(out.len()).min(reader.volatile.len());
            out.extend(reader.volatile.drain(..room).map(Event::Volatile));
        }
        out
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.readers.values_mut().flat_map(|r| std::mem::take(&mut r.wakers).into_values()).collect()
    }
}

/// Shared between the node's thread, which publishes, and any number of listeners.
#[derive(Default)]
pub(crate) struct EventBus {
    state: Mutex<State>,
    changed: Condvar,
}

impl EventBus {
    /// A listener that panicked while it held the lock left whole values behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the waiters. A waker may run any code: never with the lock held.
    fn changed(&self, mut state: MutexGuard<'_, State>) {
        let (wakers, waiting) = (state.wakers(), state.waiting);
        drop(state);
        if waiting > 0 {
            self.changed.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Publishes events in order, with one wake-up of the listeners for all.
    pub(crate) fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let mut state = self.lock();
        for event in events {
            state.publish(event);
        }
        self.changed(state);
    }

    /// What the store had for the stream `id`.
    pub(crate) fn read_back(&self, id: u64, events: Vec<Event>) {
        let mut state = self.lock();
        let floor = state.floor;
        if let Some(reader) = state.readers.get_mut(&id) {
            reader.reading = false;
            // An empty page: what was between was acknowledged meanwhile.
            let newest = events.last().and_then(Event::seq).unwrap_or(floor);
            reader.after = reader.after.max(newest);
            reader.read_back.extend(events);
        }
        self.changed(state);
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
        let mut state = self.lock();
        state.closed = true;
        self.changed(state);
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
        Some(EventPage { events: state.after(after).take(max).cloned().collect(), last: state.last })
    }

    /// Waits until there is a durable event after `after`; whether there is one.
    pub(crate) fn wait(&self, after: u64, timeout: Duration) -> bool {
        let mut state = self.lock();
        state.waiting += 1;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |s| s.last <= after && !s.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.last > after
    }

    pub(crate) fn stream(self: &Arc<Self>, after: u64, read: ReadBack) -> EventStream {
        let mut state = self.lock();
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, Reader { after, ..Reader::default() });
        EventStream { hub: Arc::clone(self), id, read }
    }
}

/// Asks the node's thread for a page of stored events: which stream, after which number. False if it
/// has no room for the question.
pub(crate) type ReadBack = Box<dyn Fn(u64, u64) -> bool + Send + Sync>;

/// One listener's view of a node's events, from a place in the durable ones and from the moment it was
/// made in the volatile ones.
///
/// Waiting and taking are two calls, so that a wait that is given up loses nothing. Durable events are
/// never lost: those that memory does not hold are read back from the store, without blocking. Volatile
/// ones are kept up to 1,024; then the oldest go and one [`Volatile::Lagged`] says how many.
pub struct EventStream {
    hub: Arc<EventBus>,
    id: u64,
    read: ReadBack,
}

impl EventStream {
    /// Up to `max` events, without waiting: durable ones first, each kind oldest first.
    pub fn take(&self, max: usize) -> Vec<Event> {
        let mut state = self.hub.lock();
        let out = state.take(self.id, max);
        self.supply(&mut state);
        out
    }

    /// Waits until [`take`](Self::take) has something, at most `timeout`; whether it has.
    pub fn wait(&self, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let mut state = self.hub.lock();
        loop {
            match self.supply(&mut state) {
                Supply::Some => return true,
                Supply::Ended => return false,
                Supply::None | Supply::Stored => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state.waiting += 1;
            state = self.hub.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }

    /// Waits until [`take`](Self::take) has something (true) or nothing will come any more (false). Takes
    /// nothing itself, and leaves nothing behind when it is dropped.
    pub fn ready(&self) -> Ready<'_> {
        Ready { stream: self, wait: None }
    }

    /// Ends every wait, at once and from now on. What had come can still be taken.
    pub fn shutdown(&self) {
        let mut state = self.hub.lock();
        let last = state.last;
        if let Some(reader) = state.readers.get_mut(&self.id) {
            reader.until.get_or_insert(last);
        }
        self.hub.changed(state);
    }

    /// Whether everything was taken and nothing will come any more.
    pub fn is_finished(&self) -> bool {
        matches!(self.hub.lock().supply(self.id), Supply::Ended)
    }

    fn supply(&self, state: &mut State) -> Supply {
        let supply = state.supply(self.id);
        if let (Supply::Stored, Some(reader)) = (&supply, state.readers.get_mut(&self.id))
            && !reader.reading
        {
            reader.reading = (self.read)(self.id, reader.after);
        }
        supply
    }
}

/// A wait of [`EventStream::ready`].
pub struct Ready<'a> {
    stream: &'a EventStream,
    /// The number of its waker.
    wait: Option<u64>,
}

impl Future for Ready<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.stream.hub.lock();
        match self.stream.supply(&mut state) {
            Supply::Some => return Poll::Ready(true),
            Supply::Ended => return Poll::Ready(false),
            Supply::None | Supply::Stored => {}
        }
        let wait = self.wait.unwrap_or(state.next_wait);
        state.next_wait = state.next_wait.max(wait + 1);
        if let Some(reader) = state.readers.get_mut(&self.stream.id) {
            reader.wakers.insert(wait, cx.waker().clone());
        }
        drop(state);
        self.wait = Some(wait);
        Poll::Pending
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        let waker = self.wait.and_then(|wait| {
            let mut state = self.stream.hub.lock();
            state.readers.get_mut(&self.stream.id)?.wakers.remove(&wait)
        });
        // Whose code it runs is not known: without the lock.
        drop(waker);
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.hub.lock().readers.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donp_core::{Durable, MessageId, NodeId};

    fn durable(seq: u64) -> Event {
        Event::Durable {
            seq,
            event: Durable::Delivered { id: MessageId { depth: 1, hash: [1; 32] }, to: NodeId([2; 32]) },
        }
    }

    fn seqs(page: &EventPage) -> Vec<u64> {
        page.events.iter().filter_map(Event::seq).collect()
    }

    #[test]
    fn a_listener_is_a_cursor() {
        let hub = EventBus::default();
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
        let hub = EventBus::default();
        for seq in 1..=RECENT as u64 + 10 {
            hub.publish([durable(seq)]);
        }
        assert_eq!(hub.recent(9, 10), None);
        assert_eq!(seqs(&hub.recent(10, 2).unwrap()), [11, 12]);
        assert_eq!(hub.lock().recent.len(), RECENT);
    }

    #[test]
    fn waiting_ends_with_the_event_or_the_node() {
        let hub = Arc::new(EventBus::default());
        let waiting = Arc::clone(&hub);
        let thread = std::thread::spawn(move || waiting.wait(0, Duration::from_secs(60)));
        hub.publish([durable(1)]);
        assert!(thread.join().unwrap());
        assert!(!hub.wait(1, Duration::ZERO));
        hub.close();
        assert!(!hub.wait(1, Duration::from_secs(60)), "returns at once");
    }

    fn stream(hub: &Arc<EventBus>, after: u64) -> EventStream {
        hub.stream(after, Box::new(|_, _| true))
    }

    #[test]
    fn a_slow_stream_is_told_how_much_it_missed() {
        let hub = Arc::new(EventBus::default());
        let (slow, fast) = (stream(&hub, 0), stream(&hub, 0));
        let writable = Event::Volatile(Volatile::Writable);
        for n in 0..VOLATILE + 3 {
            hub.publish([writable.clone()]);
            if n >= 3 {
                assert_eq!(fast.take(1), std::slice::from_ref(&writable));
            }
        }
        assert_eq!(slow.take(1), [Event::Volatile(Volatile::Lagged { missed: 3 })]);
        assert_eq!(slow.take(2 * VOLATILE).len(), VOLATILE);
        drop(slow);
        assert_eq!(hub.lock().readers.len(), 1);
    }

    #[test]
    fn a_stream_reads_back_what_memory_lost() {
        let hub = Arc::new(EventBus::default());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&asked);
        let read = hub.stream(
            0,
            Box::new(move |id, after| {
                note.lock().unwrap().push((id, after));
                true
            }),
        );
        for seq in 1..=RECENT as u64 + 100 {
            hub.publish([durable(seq)]);
        }
        assert!(!read.wait(Duration::ZERO), "the first 100 are only in the store");
        assert!(read.take(10).is_empty());
        assert_eq!(*asked.lock().unwrap(), [(0, 0)], "asked once");
        hub.read_back(0, (1..=60).map(durable).collect());
        assert!(read.wait(Duration::ZERO));
        let mut seen = Vec::new();
        seen.extend(read.take(50).iter().filter_map(Event::seq));
        seen.extend(read.take(50).iter().filter_map(Event::seq));
        assert_eq!(*asked.lock().unwrap(), [(0, 0), (0, 60)]);
        // 61 to 100 were acknowledged by another listener meanwhile.
        hub.read_back(0, Vec::new());
        seen.extend(read.take(usize::MAX).iter().filter_map(Event::seq));
        let expected: Vec<u64> = (1..=60).chain(101..=RECENT as u64 + 100).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_was_acknowledged_before_the_start_is_not_looked_for() {
        let hub = Arc::new(EventBus::default());
        let stream = hub.stream(0, Box::new(|_, _| panic!("there is nothing to read back")));
        hub.publish([durable(500), durable(501)]);
        assert_eq!(stream.take(10).len(), 2);
    }

    #[test]
    fn ending_a_stream_is_sticky_and_loses_nothing_that_had_come() {
        let hub = Arc::new(EventBus::default());
        let (ended, other) = (stream(&hub, 0), stream(&hub, 0));
        hub.publish([durable(1), durable(2)]);
        ended.shutdown();
        hub.publish([durable(3), Event::Volatile(Volatile::Writable)]);
        assert!(ended.wait(Duration::from_secs(60)), "at once");
        assert!(!ended.is_finished());
        assert_eq!(ended.take(10).iter().filter_map(Event::seq).collect::<Vec<_>>(), [1, 2]);
        assert!(ended.is_finished());
        assert!(!ended.wait(Duration::from_secs(60)), "at once");
        assert_eq!(other.take(10).len(), 4);
        hub.close();
        assert!(!other.wait(Duration::from_secs(60)), "at once");
    }

    #[test]
    fn wakers_are_called_without_the_lock() {
        struct Looks(Arc<EventBus>, Mutex<u32>);
        impl std::task::Wake for Looks {
            fn wake(self: Arc<Self>) {
                // Would deadlock if the publisher still held the lock.
                self.0.last();
                *self.1.lock().unwrap() += 1;
            }
        }
        let hub = Arc::new(EventBus::default());
        let stream = stream(&hub, 0);
        let looks = Arc::new(Looks(Arc::clone(&hub), Mutex::new(0)));
        let waker = Waker::from(Arc::clone(&looks));
        let mut cx = Context::from_waker(&waker);
        let mut poll = |ready: &mut Ready<'_>| Pin::new(ready).poll(&mut cx);
        let mut ready = stream.ready();
        assert_eq!(poll(&mut ready), Poll::Pending);
        assert_eq!(poll(&mut ready), Poll::Pending, "one waker for each wait");
        hub.publish([durable(1)]);
        assert_eq!(*looks.1.lock().unwrap(), 1);
        assert_eq!(poll(&mut ready), Poll::Ready(true));
        assert_eq!(stream.take(9).len(), 1);
        assert_eq!(poll(&mut ready), Poll::Pending);
        for _ in 0..100 {
            assert_eq!(poll(&mut stream.ready()), Poll::Pending);
        }
        assert_eq!(hub.lock().readers[&0].wakers.len(), 1, "a wait that was given up leaves nothing");
        stream.shutdown();
        assert_eq!(*looks.1.lock().unwrap(), 2);
        assert_eq!(poll(&mut ready), Poll::Ready(false));
    }
}
