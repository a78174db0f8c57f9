//! What waits between the machines, the store and the host.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::collections::{OrderedMap, release_burst};
use crate::engine::event::{Durable, Event, Volatile};
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
use crate::engine::gag::Gag;
use crate::engine::own;
use crate::engine::work::{Effect, Reader, Work};
use crate::engine::{Answer, FilePart, Output};
use crate::error::RestoreError;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::limits::Limits;
use crate::planted::{Bug, planted};
use crate::store::{Batch, Op, Record, Request, Scan};

/// The node's id in [`own::META`]: it identifies the store.
const NODE_KEY: &[u8] = b"node";
/// The last acknowledged event in [`own::META`].
const ACKED_KEY: &[u8] = b"acked";
/// The most changes that space is made for in advance: those of about fifty messages, at 56 bytes each.
const OPS: usize = 256;
/// The most effects that space is kept for while none waits.
const IDLE_EFFECTS: usize = 64;
/// Events read back from disk at once.
const REFILL: u32 = 512;

/// Work for the machines, effects that wait for the disk, and output for the host.
pub(super) struct Queues {
    work: VecDeque<Work>,
    /// What belongs to the step that is being worked off: its changes join the same batch.
    step: VecDeque<Work>,
    /// What the current step wants stored.
    pub(super) ops: Vec<Op>,
    /// What the current step wants done once that is stored.
    pub(super) staged: Vec<Effect>,
    /// Effects with the batch they wait for.
    held: VecDeque<(u64, Effect)>,
    /// The changes of closed steps, up to that of the batch before the next: they share a transaction.
    closed: Vec<Op>,
    next_batch: u64,
    committed: u64,
    requests: VecDeque<Request>,
    /// Reads under way: the owner of each, and the owner's number for it.
    reads: OrderedMap<u64, (Reader, u64)>,
    next_read: u64,
    pub(super) answers: VecDeque<Answer>,
    pub(super) parts: VecDeque<FilePart>,
    /// The latest beacon.
    pub(super) beacon: Option<Vec<u8>>,
    pub(super) events: Events,
    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(super) gag: Gag,
}

impl Queues {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            work: VecDeque::new(),
            step: VecDeque::new(),
            ops: Vec::new(),
            staged: Vec::new(),
            held: VecDeque::new(),
            closed: Vec::new(),
            next_batch: 1,
            committed: 0,
            requests: VecDeque::new(),
            reads: OrderedMap::new(),
            next_read: 1,
            answers: VecDeque::new(),
            parts: VecDeque::new(),
            beacon: None,
            events: Events::new(limits),
            #[cfg(any(test, fuzzing, feature = "fuzzing"))]
            gag: Gag::default(),
        }
    }

    /// Restores the engine's own records, writes the node's id into the store, and returns the machines' records.
    pub(super) fn restore(&mut self, records: Vec<Record>, me: NodeId) -> Result<Vec<Record>, RestoreError> {
        let (mut own, rest): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|r| r.table == own::META || r.table == own::EVENTS);
        own.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        for record in own {
            let read = match (record.table, record.key.as_slice()) {
                (own::META, NODE_KEY) if record.value != me.as_bytes() => return Err(RestoreError::OtherIdentity),
                (own::META, ACKED_KEY) => self.events.restore_acked(&record.value),
                (own::META, _) => Some(()),
                _ => self.events.restore(&record),
            };
            read.ok_or(RestoreError::Record { table: record.table })?;
        }
        self.ops.push(Op::Put { table: own::META, key: NODE_KEY.to_vec(), value: me.0.to_vec() });
        Ok(rest)
    }

    /// An input for one machine.
    pub(super) fn input(&mut self, input: impl Into<Work>) {
        let work = input.into();
        #[cfg(any(test, fuzzing, feature = "fuzzing"))]
        if self.gag.holds(&work) {
            return;
        }
        self.work.push_back(work);
    }

    /// An input that is worked off before this step closes, whatever the budget: what it stores is on disk with what
    /// caused it, or neither is.
    pub(super) fn within_step(&mut self, input: impl Into<Work>) {
        self.step.push_back(input.into());
    }

    /// The next piece of work; of other steps only if there is a `budget` for it.
    pub(super) fn next_work(&mut self, budget: usize) -> Option<Work> {
        let within = self.step.pop_front();
        if within.is_none() && budget > 0 { self.work.pop_front() } else { within }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_idle(&self) -> bool {
        self.work.is_empty()
    }

    /// So much was worked off since there was nothing to do: a burst's memory is not kept.
    pub(super) fn worked_off(&mut self, count: usize) {
        release_burst(&mut self.work, count);
    }

    /// Something happened, for all machines.
    pub(super) fn fact(&mut self, fact: Fact) {
        if let Fact::MemberChanged { peer, state, .. } = fact {
            self.events.volatile(Volatile::MemberChanged { peer, state });
        }
        self.work.push_back(Work::Fact(Box::new(fact)));
    }

    /// A read of cold records for one reader, which knows it as `read`.
    pub(super) fn read(&mut self, reader: Reader, read: u64, scan: Scan) {
        let id = self.next_read;
        self.next_read = id.wrapping_add(1);
        self.reads.insert(id, (reader, read));
        self.requests.push_back(Request { id, scan });
    }

    /// Reads under way.
    pub(super) fn reading(&self) -> usize {
        self.reads.len()
    }

    /// The owner of this read; none for an unknown number.
    pub(super) fn answered(&mut self, request: u64) -> Option<(Reader, u64)> {
        self.reads.remove(&request)
    }

    /// Continues the window of events from disk, if it has room.
    pub(super) fn refill(&mut self) {
        if let Some(scan) = self.events.refill() {
            self.read(Reader::Events, 0, scan);
        }
    }

    /// Whether the first batch is on disk.
    pub(super) fn started(&self) -> bool {
        self.committed > 0
    }

    /// The host's next output, datagrams excepted.
    pub(super) fn poll(&mut self) -> Option<Output> {
        if let Some(batch) = self.batch() {
            return Some(Output::Batch(batch));
        }
        if let Some(request) = self.requests.pop_front() {
            return Some(Output::Read(request));
        }
        if let Some(event) = self.events.poll() {
            // The last one that memory held makes room for those on disk.
            self.refill();
            return Some(Output::Event(event));
        }
        self.answers.pop_front().map(Output::Answer).or_else(|| self.parts.pop_front().map(Output::FilePart))
    }

    /// The changes of all closed steps as one batch, with the number of the last.
    fn batch(&mut self) -> Option<Batch> {
        if self.closed.is_empty() {
            return None;
        }
        // The next batch is probably about as large, up to a burst's.
        let room = Vec::with_capacity(self.closed.len().min(OPS));
        let ops = core::mem::replace(&mut self.closed, room);
        Some(Batch { seq: self.next_batch.saturating_sub(1), ops })
    }

    /// Closes the step: its changes become one batch, its effects wait for it. Returns effects that
    /// need not wait, because nothing is on its way to the disk.
    pub(super) fn seal(&mut self) -> Vec<Effect> {
        if !self.ops.is_empty() {
            self.next_batch = self.next_batch.saturating_add(1);
            self.closed.append(&mut self.ops);
        }
        let last = self.next_batch.saturating_sub(1);
        if last == self.committed {
            return core::mem::take(&mut self.staged);
        }
        self.held.extend(self.staged.drain(..).map(|effect| (last, effect)));
        Vec::new()
    }

    /// The batch `seq` and all before it are on disk: the effects that waited for them.
    pub(super) fn commit(&mut self, seq: u64) -> Vec<Effect> {
        // A number that no batch had yet would let later effects go too early.
        self.committed = self.committed.max(seq.min(self.next_batch.saturating_sub(1)));
        let free = self.held.iter().take_while(|(at, _)| *at <= self.committed).count();
        let free = self.held.drain(..free).map(|(_, effect)| effect).collect();
        if self.held.is_empty() && self.held.capacity() > IDLE_EFFECTS {
            // A burst's memory is not kept.
            self.held = VecDeque::new();
        }
        free
    }

    pub(super) fn durable(&mut self, event: Durable) {
        let (seq, trim) = self.events.number();
        self.ops.push(Op::Put { table: own::EVENTS, key: seq.to_be_bytes().to_vec(), value: event.encode() });
        self.staged.push(Effect::Event(seq, event));
        self.ops.extend(trim);
    }

    /// Whether the host has something to take.
    pub(super) fn has_output(&self) -> bool {
        let answers = !self.answers.is_empty() || !self.parts.is_empty();
        !self.closed.is_empty() || !self.requests.is_empty() || answers || self.events.ready()
    }
}

/// Durable events in memory and on disk, and the ring of volatile ones.
pub(super) struct Events {
    next: u64,
    acked: u64,
    /// The newest stored event, which may be reported.
    stored: u64,
    window: VecDeque<(u64, Event)>,
    bytes: usize,
    /// The first event that is stored, not in the window and not reported.
    unread: Option<u64>,
    reading: bool,
    volatile: VecDeque<Volatile>,
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

    /// The newest stored event.
    pub(super) const fn newest(&self) -> u64 {
        self.stored
    }

    pub(super) fn restore_acked(&mut self, value: &[u8]) -> Option<()> {
        self.acked = u64::from_le_bytes(value.try_into().ok()?);
        self.next = self.next.max(self.acked.saturating_add(1));
        self.stored = self.stored.max(self.acked);
        Some(())
    }

    pub(super) fn restore(&mut self, record: &Record) -> Option<()> {
        let Event::Durable { seq, event } = Event::from_row(&record.key, &record.value)? else { return None };
        self.next = self.next.max(seq.saturating_add(1));
        self.stored_now(seq, event);
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
        let reported = self.window.front().map_or(self.unread.unwrap_or(seq), |(first, _)| *first);
        self.missed = self.missed.saturating_add(floor.saturating_add(1).saturating_sub(reported.max(start)));
        (seq, Some(self.forget(floor)))
    }

    fn forget(&mut self, upto: u64) -> Op {
        let start = self.acked.saturating_add(1).to_be_bytes().to_vec();
        self.acked = upto;
        while self.window.front().is_some_and(|(seq, _)| *seq <= upto) {
            self.pop();
        }
        self.unread = self.unread.map(|at| at.max(upto.saturating_add(1)));
        Op::DeleteRange { table: own::EVENTS, start, end: upto.saturating_add(1).to_be_bytes().to_vec() }
    }

    fn pop(&mut self) -> Option<Event> {
        let (_, event) = self.window.pop_front()?;
        self.bytes = self.bytes.saturating_sub(event.weight());
        Some(event)
    }

    /// A durable event is on disk: it may be reported.
    pub(super) fn stored_now(&mut self, seq: u64, event: Durable) {
        self.stored = self.stored.max(seq);
        if seq <= self.acked {
            return;
        }
        if self.unread.is_some() || !self.admit(seq, event) {
            self.unread = Some(self.unread.unwrap_or(seq));
        }
    }

    fn admit(&mut self, seq: u64, event: Durable) -> bool {
        let event = Event::Durable { seq, event };
        let bytes = self.bytes.saturating_add(event.weight());
        if bytes > self.max_bytes {
            return false;
        }
        self.bytes = bytes;
        self.window.push_back((seq, event));
        true
    }

    pub(super) fn volatile(&mut self, event: Volatile) {
        if self.volatile.len() >= self.max_volatile {
            self.volatile.pop_front();
            self.missed = self.missed.saturating_add(1);
        }
        self.volatile.push_back(event);
    }

    fn ready(&self) -> bool {
        !self.window.is_empty() || !self.volatile.is_empty() || self.missed > 0
    }

    fn poll(&mut self) -> Option<Event> {
        if let Some(event) = self.pop() {
            return Some(event);
        }
        if self.missed > 0 {
            let missed = core::mem::take(&mut self.missed);
            return Some(Event::Volatile(Volatile::Lagged { missed }));
        }
        self.volatile.pop_front().map(Event::Volatile)
    }

    /// What continues the window from disk, if it is time for it.
    fn refill(&mut self) -> Option<Scan> {
        let from = self.unread?;
        if self.reading || !self.window.is_empty() {
            return None;
        }
        self.reading = true;
        // Half, so that the largest event in the last row still fits the window.
        let bytes = u32::try_from(self.max_bytes / 2).unwrap_or(u32::MAX);
        Some(Event::scan(from.saturating_sub(1), REFILL, bytes))
    }

    pub(super) fn refilled(&mut self, records: &[Record]) {
        self.reading = false;
        let mut next = None;
        for event in records.iter().filter_map(|r| Event::from_row(&r.key, &r.value)) {
            let Event::Durable { seq, event } = event else { continue };
            if seq <= self.acked {
                continue;
            }
            if !self.admit(seq, event) {
                next = Some(seq);
                break;
            }
            next = Some(seq.saturating_add(1));
        }
        self.unread = next.filter(|at| *at <= self.stored);
    }

    /// What to store so that no event up to `seq` comes again; none if no such event was reported.
    pub(super) fn ack(&mut self, seq: u64) -> Option<Vec<Op>> {
        if seq > self.stored {
            return None;
        }
        if seq <= self.acked {
            return Some(Vec::new());
        }
        let gone = self.forget(seq.saturating_add(u64::from(planted(Bug::AcknowledgedTooMuch))));
        let acked = Op::Put { table: own::META, key: ACKED_KEY.to_vec(), value: seq.to_le_bytes().to_vec() };
        Some(alloc::vec![gone, acked])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MessageId, NodeId};
    use crate::store::MemoryStore;

    fn delivered(n: u8) -> Durable {
        Durable::Delivered { id: MessageId { depth: 1, hash: [n; 32] }, to: NodeId([n; 32]) }
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
            while let Some(batch) = self.queues.batch() {
                let seq = batch.seq;
                self.store.apply(batch);
                free.extend(self.queues.commit(seq));
            }
            free.into_iter().for_each(|effect| effect.release(&mut self.queues));
        }

        fn drain(&mut self) -> Vec<Event> {
            let mut all = Vec::new();
            loop {
                self.queues.refill();
                match self.queues.poll() {
                    Some(Output::Event(event)) => all.push(event),
                    Some(Output::Read(request)) => {
                        let records = self.store.scan(&request.scan);
                        assert_eq!(self.queues.answered(request.id), Some((Reader::Events, 0)));
                        self.queues.events.refilled(&records);
                    }
                    Some(other) => panic!("{other:?}"),
                    None => return all,
                }
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
    fn events_that_exceed_memory_come_from_disk_in_order() {
        let limits = Limits { event_bytes: 2_000, ..Limits::default() };
        let mut b = Bench::new(&limits);
        for n in 1..=100 {
            b.durable(n);
        }
        assert!(b.queues.events.window.len() < 20);
        let seqs: Vec<u64> = b.drain().iter().filter_map(Event::seq).collect();
        assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
        b.durable(101);
        assert_eq!(b.drain(), [Event::Durable { seq: 101, event: delivered(101) }]);
    }

    #[test]
    fn an_acknowledged_event_does_not_come_again() {
        let mut b = Bench::new(&Limits::default());
        for n in 1..=10 {
            b.durable(n);
        }
        assert!(b.ack(4));
        assert!(b.ack(3), "again is no error");
        assert!(!b.ack(11), "never reported");
        assert_eq!(b.store.count(own::EVENTS), 6);
        let mut again = Events::new(&Limits::default());
        for record in b.store.hot() {
            match record.table {
                own::META => again.restore_acked(&record.value).unwrap(),
                _ => again.restore(&record).unwrap(),
            }
        }
        assert_eq!(again.poll().unwrap().seq(), Some(5));
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
    fn unacknowledged_events_beyond_the_bound_are_counted_as_lost() {
        let limits = Limits { event_rows: 16, ..Limits::default() };
        let mut b = Bench::new(&limits);
        for n in 1..=100 {
            b.durable(n);
        }
        assert!(b.store.count(own::EVENTS) <= 16);
        let events = b.drain();
        let reported = events.iter().filter(|e| e.seq().is_some()).count() as u64;
        let lost = |e: &Event| if let Event::Volatile(Volatile::Lagged { missed }) = e { *missed } else { 0 };
        let lost: u64 = events.iter().map(lost).sum();
        assert_eq!(reported + lost, 100);
    }

    #[test]
    fn the_volatile_ring_says_how_many_it_dropped() {
        let limits = Limits { volatile_events: 3, ..Limits::default() };
        let mut b = Bench::new(&limits);
        for _ in 0..5 {
            b.queues.events.volatile(Volatile::Writable);
        }
        let events = b.drain();
        assert_eq!(events.len(), 4);
        assert_eq!(events[0], Event::Volatile(Volatile::Lagged { missed: 2 }));
    }

    #[test]
    fn an_effect_waits_for_every_batch_before_it() {
        let mut q = Queues::new(&Limits::default());
        let op = || Op::Delete { table: own::META, key: Vec::new() };
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
