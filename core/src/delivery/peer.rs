//! The messages that wait for one peer: those under way and those that are due again.

use crate::collections::{OrderedMap, ShortId, short};
use alloc::vec::Vec;

use crate::id::MessageId;
use crate::planted::{Bug, planted};
use crate::time::{Duration, Instant, soonest};

/// Sends of one message while it has a place in the window: the document's `MAX_RETRIES` 5, after the first send.
pub(super) const ATTEMPTS: u32 = 6;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: MessageId,
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
    pub(super) fn new(id: MessageId, body: Vec<u8>, submitted: Instant, stored: bool) -> Self {
        let stage = if stored { Stage::Waiting { sent: 0 } } else { Stage::Unstored };
        Self { id, body, submitted, stage }
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
    /// INVARIANT: the order of an entry with this id.
    by_id: OrderedMap<ShortId, u64>,
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

    pub(super) fn len(&self) -> usize {
        self.entries.len()
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
        let names = |(id, order): (&ShortId, &u64)| self.entries.get(order).is_some_and(|e| short(&e.id.hash) == *id);
        if !self.by_id.iter().all(names) {
            return Err("an id leads to the entry of another");
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
        self.by_id.insert(short(&entry.id.hash), order);
        self.entries.insert(order, entry);
    }

    pub(super) fn find(&self, id: &ShortId) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    pub(super) fn remove(&mut self, order: u64) -> Option<Entry> {
        let entry = self.entries.remove(&order)?;
        self.by_id.remove(&short(&entry.id.hash));
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
