//! The runs that wait for one peer: those under way and those that are due again.

use crate::collections::{OrderedMap, ShortId, short};
use alloc::vec::Vec;

use crate::delivery::wire::Message;
use crate::id::{ID_LEN, MessageId};
use crate::planted::{Bug, planted};
use crate::time::{Duration, Instant, soonest};
use crate::wire::MAX_MESSAGE;

/// Sends of one message while it has a place in the window: the document's `MAX_RETRIES` 5, after the first send.
pub(super) const ATTEMPTS: u32 = 6;

#[derive(Debug)]
pub(super) struct Entry {
    /// What the run says. INVARIANT: not empty; the last one names the run.
    ids: Vec<MessageId>,
    /// The encoded `Carry`, as it is stored and sent each time.
    body: Vec<u8>,
    submitted: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not on disk yet: must not be sent.
    Unstored,
    /// May be sent when the window allows it.
    Waiting { sent: u32 },
    /// Sent; again at `due`.
    UnderWay { sent: u32, due: Instant },
    /// Sent more than [`ATTEMPTS`] times: takes no place in the window. Again at a sign of life, else at `due`: a link that is up
    /// is no proof that the other side could open what came.
    Parked { sent: u32, due: Instant },
}

impl Entry {
    /// A run that is not stored yet. None if it says nothing.
    pub(super) fn new(ids: Vec<MessageId>, run: &[u8], submitted: Instant) -> Option<Self> {
        let body = Message::Carry { id: short(&ids.last()?.hash), body: run }.encode();
        Some(Self { ids, body, submitted, stage: Stage::Unstored })
    }

    /// Number of messages 2, depth 8 and hash 32 of each, all big-endian; then the `Carry`.
    pub(super) fn row(&self) -> Vec<u8> {
        let ids = self.ids.len().saturating_mul(ID_LEN.saturating_add(8));
        let mut out = Vec::with_capacity(self.body.len().saturating_add(ids).saturating_add(2));
        out.extend_from_slice(&u16::try_from(self.ids.len()).unwrap_or(u16::MAX).to_be_bytes());
        for id in &self.ids {
            out.extend_from_slice(&id.depth.to_be_bytes());
            out.extend_from_slice(&id.hash);
        }
        out.extend_from_slice(&self.body);
        out
    }

    /// A run of the store. None if the row is malformed.
    pub(super) fn read(row: &[u8], submitted: Instant) -> Option<Self> {
        let (count, mut rest) = row.split_first_chunk()?;
        let mut ids = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let (depth, after) = rest.split_first_chunk()?;
            let (hash, after) = after.split_first_chunk::<ID_LEN>()?;
            ids.push(MessageId { depth: u64::from_be_bytes(*depth), hash: *hash });
            rest = after;
        }
        let names = short(&ids.last()?.hash);
        let carries = matches!(Message::decode(rest), Ok(Message::Carry { id, .. }) if id == names);
        let fits = carries && rest.len() <= MAX_MESSAGE;
        fits.then(|| Self { ids, body: rest.to_vec(), submitted, stage: Stage::Waiting { sent: 0 } })
    }

    /// The id that its acknowledgement has.
    fn name(&self) -> ShortId {
        self.ids.last().map_or([0; 16], |id| short(&id.hash))
    }

    pub(super) fn ids(&self) -> &[MessageId] {
        &self.ids
    }

    pub(super) fn into_ids(self) -> Vec<MessageId> {
        self.ids
    }

    pub(super) fn body_len(&self) -> usize {
        self.body.len()
    }
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) up: bool,
    /// By order of submission.
    entries: OrderedMap<u64, Entry>,
    /// INVARIANT: the order of the entry that this id names.
    by_name: OrderedMap<ShortId, u64>,
    /// INVARIANT: the messages of all entries.
    messages: usize,
    /// INVARIANT: the number of entries that are `UnderWay`.
    under_way: usize,
    /// INVARIANT: the number of entries that are `Parked`.
    parked: usize,
    /// INVARIANT: no entry before this one is `Waiting`.
    first_waiting: u64,
    /// INVARIANT: no entry `UnderWay` or `Parked` is due before this.
    next_due: Option<Instant>,
}

impl Peer {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Messages of all runs.
    pub(super) fn len(&self) -> usize {
        self.messages
    }

    /// Whether one of the runs says this.
    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.entries.values().any(|entry| entry.ids.contains(&id))
    }

    /// All messages, by order of submission.
    pub(super) fn orders(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn bytes(&self) -> usize {
        self.entries.values().fold(0, |sum, entry| sum.saturating_add(entry.body_len()))
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let count = |is: fn(&Stage) -> bool| self.entries.values().filter(|entry| is(&entry.stage)).count();
        if count(|s| matches!(s, Stage::UnderWay { .. })) != self.under_way {
            return Err("the number under way is wrong");
        }
        let names = |(name, order): (&ShortId, &u64)| self.entries.get(order).is_some_and(|e| e.name() == *name);
        if !self.by_name.iter().all(names) {
            return Err("a name leads to the entry of another");
        }
        if self.messages != self.entries.values().fold(0usize, |n, e| n.saturating_add(e.ids.len())) {
            return Err("the number of messages is not that of the runs");
        }
        if count(|s| matches!(s, Stage::Parked { .. })) != self.parked {
            return Err("the number parked is wrong");
        }
        let waiting = |entry: &Entry| matches!(entry.stage, Stage::Waiting { .. });
        if self.entries.range(..self.first_waiting).any(|(_, entry)| waiting(entry)) {
            return Err("an entry waits before the first that waits");
        }
        let due = self.entries.values().filter_map(|entry| match entry.stage {
            Stage::UnderWay { due, .. } | Stage::Parked { due, .. } => Some(due),
            Stage::Unstored | Stage::Waiting { .. } => None,
        });
        match (due.min(), self.next_due) {
            (Some(_), None) => Err("an entry was sent and nothing is due"),
            (Some(first), Some(next)) if first < next => Err("an entry is due before the next"),
            _ => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, order: u64, entry: Entry) {
        self.by_name.insert(entry.name(), order);
        self.messages = self.messages.saturating_add(entry.ids.len());
        if let Some(old) = self.entries.insert(order, entry) {
            self.messages = self.messages.saturating_sub(old.ids.len());
        }
    }

    /// The run with this name.
    pub(super) fn find(&self, name: &ShortId) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    pub(super) fn remove(&mut self, order: u64) -> Option<Entry> {
        let entry = self.entries.remove(&order)?;
        self.by_name.remove(&entry.name());
        self.messages = self.messages.saturating_sub(entry.ids.len());
        match entry.stage {
            Stage::UnderWay { .. } => self.under_way = self.under_way.saturating_sub(1),
            Stage::Parked { .. } => self.parked = self.parked.saturating_sub(1),
            Stage::Unstored | Stage::Waiting { .. } => {}
        }
        if self.under_way == 0 && self.parked == 0 {
            self.next_due = None;
        }
        Some(entry)
    }

    pub(super) fn ready(&mut self, order: u64) {
        if let Some(entry) = self.entries.get_mut(&order)
            && entry.stage == Stage::Unstored
        {
            entry.stage = Stage::Waiting { sent: 0 };
            self.first_waiting = self.first_waiting.min(order);
        }
    }

    /// The link changed: whatever was under way counts as never sent.
    pub(super) fn requeue(&mut self) {
        for entry in self.entries.values_mut() {
            let stuck = planted(Bug::NotSentAgain) && matches!(entry.stage, Stage::UnderWay { .. });
            if entry.stage != Stage::Unstored && !stuck {
                entry.stage = Stage::Waiting { sent: 0 };
            }
        }
        self.under_way = 0;
        self.parked = 0;
        self.first_waiting = 0;
        self.next_due = None;
    }

    /// A sign of life: what was parked may go again.
    pub(super) fn unpark(&mut self) {
        if self.parked == 0 {
            return;
        }
        self.parked = 0;
        for (&order, entry) in &mut self.entries {
            if matches!(entry.stage, Stage::Parked { .. }) {
                entry.stage = Stage::Waiting { sent: 0 };
                self.first_waiting = self.first_waiting.min(order);
            }
        }
    }

    /// Gives everything to send at `now` to `send`: what is due again, then what waits, up to
    /// `window` under way. Each comes with its order and whether it was sent before.
    pub(super) fn dispatch(
        &mut self,
        now: Instant,
        window: usize,
        mut pause: impl FnMut(u32) -> Duration,
        mut send: impl FnMut(u64, Vec<u8>, bool),
    ) {
        if !self.up {
            return;
        }
        if self.next_due.is_some_and(|due| due <= now) {
            self.next_due = None;
            for (&order, entry) in &mut self.entries {
                let (sent, mut due, parked) = match entry.stage {
                    Stage::UnderWay { sent, due } => (sent, due, false),
                    Stage::Parked { sent, due } => (sent, due, true),
                    Stage::Unstored | Stage::Waiting { .. } => continue,
                };
                if due <= now {
                    due = now + pause(sent);
                    let sent = sent.saturating_add(1);
                    if parked || sent > ATTEMPTS {
                        self.parked = self.parked.saturating_add(usize::from(!parked));
                        self.under_way = self.under_way.saturating_sub(usize::from(!parked));
                        entry.stage = Stage::Parked { sent, due };
                    } else {
                        entry.stage = Stage::UnderWay { sent, due };
                    }
                    send(order, entry.body.clone(), true);
                }
                self.next_due = soonest(self.next_due, Some(due));
            }
        }
        for (&order, entry) in self.entries.tail_mut(self.first_waiting) {
            if self.under_way >= window {
                break;
            }
            if let Stage::Waiting { sent } = entry.stage {
                let due = now + pause(sent);
                entry.stage = Stage::UnderWay { sent: sent.saturating_add(1), due };
                self.next_due = soonest(self.next_due, Some(due));
                self.under_way = self.under_way.saturating_add(1);
                send(order, entry.body.clone(), sent > 0);
            }
            self.first_waiting = order.saturating_add(1);
        }
    }

    /// When something is due again, if the peer is there to send it to.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.next_due.filter(|_| self.up)
    }

    /// When the oldest message was submitted.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.entries.values().next().map(|e| e.submitted)
    }

    /// What has waited for `age` or longer.
    pub(super) fn older_than(&self, age: Duration, now: Instant) -> Vec<u64> {
        self.entries.iter().take_while(|(_, e)| e.submitted + age <= now).map(|(&order, _)| order).collect()
    }
}
