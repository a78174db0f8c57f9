//! What waits between the machines, the store and the host.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::engine::event::{Event, EventKind};
use crate::engine::{Answer, Effect, Work};
use crate::limits::Limits;
use crate::planted::{Bug, planted};
use crate::store::{Batch, Op, Record, Request, Table};
use crate::wire::{decode, encode};

/// Where the last acknowledged event is kept in [`Table::Meta`].
pub(super) const ACKED_KEY: &[u8] = b"events/acked";
/// Changes that one message makes: its two records, its author's state, the outbox, an event.
const OPS: usize = 5;
/// Events read back from disk at once.
const REFILL: u32 = 512;

/// Work for the machines, effects that wait for the disk, and output for the host.
pub(super) struct Queues {
    pub(super) work: VecDeque<Work>,
    /// What the current step wants stored.
    pub(super) ops: Vec<Op>,
    /// What the current step wants done once that is stored.
    pub(super) staged: Vec<Effect>,
    /// Effects by the batch they wait for.
    held: VecDeque<(u64, Vec<Effect>)>,
    pub(super) batches: VecDeque<Batch>,
    next_batch: u64,
    pub(super) committed: u64,
    pub(super) requests: VecDeque<Request>,
    pub(super) answers: VecDeque<Answer>,
    /// The latest beacon.
    pub(super) beacon: Option<Vec<u8>>,
    pub(super) events: Events,
}

impl Queues {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            work: VecDeque::new(),
            ops: Vec::new(),
            staged: Vec::new(),
            held: VecDeque::new(),
            batches: VecDeque::new(),
            next_batch: 1,
            committed: 0,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            beacon: None,
            events: Events::new(limits),
        }
    }

    /// Closes the step: its changes become one batch, its effects wait for it. Returns effects that
    /// need not wait, because nothing is on its way to the disk.
    pub(super) fn seal(&mut self) -> Vec<Effect> {
        let staged = core::mem::take(&mut self.staged);
        if !self.ops.is_empty() {
            let seq = self.next_batch;
            self.next_batch = seq.saturating_add(1);
            // The next batch is probably about as large.
            let ops = core::mem::replace(&mut self.ops, Vec::with_capacity(OPS));
            self.batches.push_back(Batch { seq, ops });
        }
        let last = self.next_batch.saturating_sub(1);
        if last == self.committed {
            return staged;
        }
        if !staged.is_empty() {
            self.held.push_back((last, staged));
        }
        Vec::new()
    }

    /// The batch `seq` and all before it are on disk: the effects that waited for them.
    pub(super) fn commit(&mut self, seq: u64) -> Vec<Effect> {
        // A number that no batch had yet would let later effects go too early.
        self.committed = self.committed.max(seq.min(self.next_batch.saturating_sub(1)));
        let mut free: Vec<Effect> = Vec::new();
        while self.held.front().is_some_and(|(at, _)| *at <= self.committed) {
            match self.held.pop_front() {
                Some((_, effects)) if free.is_empty() => free = effects,
                Some((_, effects)) => free.extend(effects),
                None => {}
            }
        }
        free
    }

    pub(super) fn durable(&mut self, kind: EventKind) {
        let (seq, trim) = self.events.number();
        self.ops.push(Op::Put { table: Table::Events, key: seq.to_be_bytes().to_vec(), value: encode(&kind) });
        self.staged.push(Effect::Event(seq, kind));
        self.ops.extend(trim);
    }

    /// Whether the host has something to take.
    pub(super) fn has_output(&self) -> bool {
        !self.batches.is_empty() || !self.requests.is_empty() || !self.answers.is_empty() || self.events.ready()
    }
}

/// Durable events in memory and on disk, and the ring of volatile ones.
pub(super) struct Events {
    next: u64,
    acked: u64,
    /// The newest that is stored, so that it may be told.
    stored: u64,
    window: VecDeque<(u64, EventKind, usize)>,
    bytes: usize,
    /// The first one that is stored and neither in the window nor told.
    unread: Option<u64>,
    reading: bool,
    volatile: VecDeque<EventKind>,
    missed: u64,
    max_bytes: usize,
    max_rows: u64,
    max_volatile: usize,
}

impl Events {
    fn new(limits: &Limits) -> Self {
        Self {
            next: 1,
            acked: 0,
            stored: 0,
            window: VecDeque::new(),
            bytes: 0,
            unread: None,
            reading: false,
            volatile: VecDeque::new(),
            missed: 0,
            max_bytes: limits.event_bytes,
            max_rows: limits.event_rows,
            max_volatile: limits.volatile_events,
        }
    }

    pub(super) fn restore_acked(&mut self, value: &[u8]) -> Option<()> {
        self.acked = u64::from_le_bytes(value.try_into().ok()?);
        self.next = self.next.max(self.acked.saturating_add(1));
        self.stored = self.stored.max(self.acked);
        Some(())
    }

    pub(super) fn restore(&mut self, record: &Record) -> Option<()> {
        let event = Event::from_row(&record.key, &record.value)?;
        let seq = event.seq?;
        self.next = self.next.max(seq.saturating_add(1));
        self.stored_now(seq, event.kind);
        Some(())
    }

    /// The number of a new durable event, and what to remove if too many wait.
    fn number(&mut self) -> (u64, Option<Op>) {
        let seq = self.next;
        self.next = seq.saturating_add(1);
        if seq.saturating_sub(self.acked) <= self.max_rows {
            return (seq, None);
        }
        // A quarter at once, so that the rows are removed in runs.
        let floor = self.acked.saturating_add(self.max_rows / 4);
        let start = self.acked.saturating_add(1);
        let told = self.window.front().map_or(self.unread.unwrap_or(seq), |(first, _, _)| *first);
        self.missed = self.missed.saturating_add(floor.saturating_add(1).saturating_sub(told.max(start)));
        (seq, Some(self.forget(floor)))
    }

    fn forget(&mut self, upto: u64) -> Op {
        let start = self.acked.saturating_add(1).to_be_bytes().to_vec();
        self.acked = upto;
        while self.window.front().is_some_and(|(seq, _, _)| *seq <= upto) {
            self.pop();
        }
        self.unread = self.unread.map(|at| at.max(upto.saturating_add(1)));
        Op::DeleteRange { table: Table::Events, start, end: upto.saturating_add(1).to_be_bytes().to_vec() }
    }

    fn pop(&mut self) -> Option<(u64, EventKind)> {
        let (seq, kind, size) = self.window.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size);
        Some((seq, kind))
    }

    /// A durable event is on disk: it may be told.
    pub(super) fn stored_now(&mut self, seq: u64, kind: EventKind) {
        self.stored = self.stored.max(seq);
        if seq <= self.acked {
            return;
        }
        if self.unread.is_some() || !self.admit(seq, kind) {
            self.unread = Some(self.unread.unwrap_or(seq));
        }
    }

    fn admit(&mut self, seq: u64, kind: EventKind) -> bool {
        let size = size(&kind);
        if self.bytes.saturating_add(size) > self.max_bytes {
            return false;
        }
        self.bytes = self.bytes.saturating_add(size);
        self.window.push_back((seq, kind, size));
        true
    }

    pub(super) fn volatile(&mut self, kind: EventKind) {
        if self.volatile.len() >= self.max_volatile {
            self.volatile.pop_front();
            self.missed = self.missed.saturating_add(1);
        }
        self.volatile.push_back(kind);
    }

    fn ready(&self) -> bool {
        !self.window.is_empty() || !self.volatile.is_empty() || self.missed > 0
    }

    pub(super) fn poll(&mut self) -> Option<Event> {
        if let Some((seq, kind)) = self.pop() {
            return Some(Event { seq: Some(seq), kind });
        }
        if self.missed > 0 {
            let missed = core::mem::take(&mut self.missed);
            return Some(Event { seq: None, kind: EventKind::Lagged { missed } });
        }
        self.volatile.pop_front().map(|kind| Event { seq: None, kind })
    }

    /// The read that continues the window from disk, if it is time for one.
    pub(super) fn refill(&mut self, id: u64) -> Option<Request> {
        let from = self.unread?;
        if self.reading || !self.window.is_empty() {
            return None;
        }
        self.reading = true;
        Some(Request {
            id,
            table: Table::Events,
            start: from.to_be_bytes().to_vec(),
            end: u64::MAX.to_be_bytes().to_vec(),
            reverse: false,
            limit: REFILL,
            // Half, so that the largest event in the last row still fits the window.
            max_bytes: u32::try_from(self.max_bytes / 2).unwrap_or(u32::MAX),
        })
    }

    pub(super) fn refilled(&mut self, records: &[Record]) {
        self.reading = false;
        let mut next = None;
        for event in records.iter().filter_map(|r| Event::from_row(&r.key, &r.value)) {
            let Some(seq) = event.seq.filter(|seq| *seq > self.acked) else { continue };
            if !self.admit(seq, event.kind) {
                next = Some(seq);
                break;
            }
            next = Some(seq.saturating_add(1));
        }
        self.unread = next.filter(|at| *at <= self.stored);
    }

    /// What to store so that everything up to `seq` does not come again; none if it never was told.
    pub(super) fn ack(&mut self, seq: u64) -> Option<Vec<Op>> {
        if seq > self.stored {
            return None;
        }
        if seq <= self.acked {
            return Some(Vec::new());
        }
        let gone = self.forget(seq.saturating_add(u64::from(planted(Bug::AcknowledgedTooMuch))));
        let acked = Op::Put { table: Table::Meta, key: ACKED_KEY.to_vec(), value: seq.to_le_bytes().to_vec() };
        Some(alloc::vec![gone, acked])
    }
}

/// What an event costs in memory, about.
fn size(kind: &EventKind) -> usize {
    let text = match kind {
        EventKind::Message(m) => m.content.shown().len().saturating_add(m.clock.entries().len().saturating_mul(40)),
        EventKind::Delivered { .. }
        | EventKind::Failed { .. }
        | EventKind::StateChanged { .. }
        | EventKind::PeerUp { .. }
        | EventKind::PeerDown { .. }
        | EventKind::Member { .. }
        | EventKind::Writable
        | EventKind::Lagged { .. } => 0,
    };
    text.saturating_add(core::mem::size_of::<(u64, EventKind, usize)>())
}

impl Event {
    /// Reads a row of [`Table::Events`]: for a host that follows the events from the store.
    pub fn from_row(key: &[u8], value: &[u8]) -> Option<Self> {
        let seq = u64::from_be_bytes(key.try_into().ok()?);
        let kind = decode(value, 1 << 20).ok()?;
        Some(Self { seq: Some(seq), kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MessageId, NodeId};
    use crate::store::MemoryStore;

    fn delivered(n: u8) -> EventKind {
        EventKind::Delivered { message: MessageId([n; 32]), to: NodeId([n; 32]) }
    }

    /// Queues with a store that commits at once.
    struct Bench {
        queues: Queues,
        store: MemoryStore,
    }

    impl Bench {
        fn new(limits: &Limits) -> Self {
            Self { queues: Queues::new(limits), store: MemoryStore::default() }
        }

        fn durable(&mut self, n: u8) {
            self.queues.durable(delivered(n));
            self.settle();
        }

        fn settle(&mut self) {
            let mut free = self.queues.seal();
            while let Some(batch) = self.queues.batches.pop_front() {
                let seq = batch.seq;
                self.store.apply(batch);
                free.extend(self.queues.commit(seq));
            }
            for effect in free {
                if let Effect::Event(seq, kind) = effect {
                    self.queues.events.stored_now(seq, kind);
                }
            }
        }

        fn drain(&mut self) -> Vec<(Option<u64>, EventKind)> {
            let mut all = Vec::new();
            loop {
                while let Some(event) = self.queues.events.poll() {
                    all.push((event.seq, event.kind));
                }
                let Some(request) = self.queues.events.refill(1) else { return all };
                let records = self.store.query(&request);
                self.queues.events.refilled(&records);
            }
        }

        fn ack(&mut self, seq: u64) -> bool {
            let Some(ops) = self.queues.events.ack(seq) else { return false };
            self.queues.ops.extend(ops);
            self.settle();
            true
        }
    }

    #[test]
    fn what_does_not_fit_in_memory_comes_from_disk_in_order() {
        let limits = Limits { event_bytes: 2_000, ..Limits::default() };
        let mut b = Bench::new(&limits);
        for n in 1..=100 {
            b.durable(n);
        }
        assert!(b.queues.events.window.len() < 20);
        let seqs: Vec<u64> = b.drain().into_iter().filter_map(|e| e.0).collect();
        assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
        b.durable(101);
        assert_eq!(b.drain(), [(Some(101), delivered(101))]);
    }

    #[test]
    fn what_was_acknowledged_does_not_come_again() {
        let mut b = Bench::new(&Limits::default());
        for n in 1..=10 {
            b.durable(n);
        }
        assert!(b.ack(4));
        assert!(b.ack(3), "again is no error");
        assert!(!b.ack(11), "never told");
        assert_eq!(b.store.count(Table::Events), 6);
        let mut again = Events::new(&Limits::default());
        for record in b.store.hot() {
            match record.table {
                Table::Meta => again.restore_acked(&record.value).unwrap(),
                _ => again.restore(&record).unwrap(),
            }
        }
        assert_eq!(again.poll().unwrap().seq, Some(5));
        assert_eq!(again.number().0, 11);
    }

    #[test]
    fn numbers_go_on_after_a_restart_with_everything_acknowledged() {
        let mut b = Bench::new(&Limits::default());
        b.durable(1);
        b.durable(2);
        assert!(b.ack(2));
        let mut again = Events::new(&Limits::default());
        for record in b.store.hot() {
            again.restore_acked(&record.value).unwrap();
        }
        assert_eq!(again.number().0, 3);
    }

    #[test]
    fn an_application_that_never_acknowledges_is_told_what_it_lost() {
        let limits = Limits { event_rows: 16, ..Limits::default() };
        let mut b = Bench::new(&limits);
        for n in 1..=100 {
            b.durable(n);
        }
        assert!(b.store.count(Table::Events) <= 16);
        let events = b.drain();
        let told = events.iter().filter(|e| e.0.is_some()).count() as u64;
        let lost: u64 = events.iter().map(|e| if let EventKind::Lagged { missed } = e.1 { missed } else { 0 }).sum();
        assert_eq!(told + lost, 100);
    }

    #[test]
    fn the_volatile_ring_says_how_many_it_dropped() {
        let limits = Limits { volatile_events: 3, ..Limits::default() };
        let mut b = Bench::new(&limits);
        for _ in 0..5 {
            b.queues.events.volatile(EventKind::Writable);
        }
        let events = b.drain();
        assert_eq!(events.len(), 4);
        assert_eq!(events[0].1, EventKind::Lagged { missed: 2 });
    }

    #[test]
    fn an_effect_waits_for_every_batch_before_it() {
        let mut q = Queues::new(&Limits::default());
        let op = || Op::Delete { table: Table::Meta, key: Vec::new() };
        q.ops.push(op());
        q.staged.push(Effect::Event(1, delivered(1)));
        assert!(q.seal().is_empty());
        q.staged.push(Effect::Event(2, delivered(2)));
        assert!(q.seal().is_empty(), "nothing to store, but batch 1 is still on its way");
        assert_eq!(q.commit(9).len(), 2, "a number beyond the last batch means the last");
        assert_eq!(q.committed, 1);
        q.staged.push(Effect::Event(3, delivered(3)));
        assert_eq!(q.seal().len(), 1);
    }
}
