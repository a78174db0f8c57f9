//! Messages of peers that were opened here. Their keys are gone, so a repeat cannot be opened: what it was, and what was
//! answered, is remembered by its digest.

use crate::collections::{OrderedMap, ShortId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// Messages remembered: a quarter of the ids. With 100 bytes each that is 1.6 MiB.
const PART: usize = 4;

/// What is known of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Answered {
        id: ShortId,
        accepted: bool,
    },
    /// It has no verdict yet, or lost its place among those that wait for one.
    Waits {
        id: ShortId,
        body: Vec<u8>,
    },
}

struct Message {
    at: Instant,
    from: NodeId,
    id: ShortId,
    digest: ShortId,
    state: State,
}

enum State {
    Waits(Vec<u8>),
    Answered { accepted: bool },
}

/// See the module.
pub(super) struct Opened {
    /// Oldest first.
    messages: VecDeque<Message>,
    /// The number of the first of them.
    first: u64,
    /// INVARIANT: the number of each message by its digest.
    by_digest: OrderedMap<ShortId, u64>,
    /// The numbers of those without a verdict.
    waiting: Vec<u64>,
    /// INVARIANT: the bytes of the bodies that wait.
    bytes: usize,
    capacity: usize,
    window: Duration,
    max_waiting: usize,
    max_bytes: usize,
}

impl Opened {
    pub(super) fn new(limits: &Limits, window: Duration) -> Self {
        Self {
            messages: VecDeque::new(),
            first: 0,
            by_digest: OrderedMap::new(),
            waiting: Vec::new(),
            bytes: 0,
            capacity: limits.dedup_ids / PART,
            window,
            max_waiting: limits.pending_messages,
            max_bytes: limits.pending_bytes,
        }
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Message> {
        self.messages.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Remembers an opened message until its verdict; not if too much waits already.
    pub(super) fn insert(&mut self, now: Instant, from: NodeId, digest: ShortId, id: ShortId, body: &[u8]) {
        let over = |m: &Message| now.since(m.at) >= self.window;
        while self.messages.len() >= self.capacity || self.messages.front().is_some_and(over) {
            let Some(old) = self.messages.pop_front() else { break };
            if let State::Waits(body) = &old.state {
                self.bytes = self.bytes.saturating_sub(body.len());
                self.waiting.retain(|number| *number != self.first);
            }
            self.by_digest.remove(&old.digest);
            self.first = self.first.saturating_add(1);
        }
        let full = self.waiting.len() >= self.max_waiting || self.bytes.saturating_add(body.len()) > self.max_bytes;
        if full || self.by_digest.contains_key(&digest) {
            return;
        }
        let number = self.first.saturating_add(self.messages.len() as u64);
        self.bytes = self.bytes.saturating_add(body.len());
        self.by_digest.insert(digest, number);
        self.waiting.push(number);
        self.messages.push_back(Message { at: now, from, id, digest, state: State::Waits(body.to_vec()) });
    }

    /// The verdict on a message. Mostly it is that on the newest message.
    pub(super) fn settle(&mut self, from: NodeId, id: ShortId, accepted: bool) {
        let mut at = self.waiting.len();
        while let Some(next) = at.checked_sub(1) {
            at = next;
            let Some(number) = self.waiting.get(at).copied() else { return };
            let Some(message) = self.get_mut(number).filter(|m| m.from == from && m.id == id) else { continue };
            let before = core::mem::replace(&mut message.state, State::Answered { accepted });
            if let State::Waits(body) = before {
                self.bytes = self.bytes.saturating_sub(body.len());
            }
            self.waiting.swap_remove(at);
        }
    }

    /// What is known of a message of this node.
    pub(super) fn find(&mut self, from: NodeId, digest: &ShortId) -> Option<Seen> {
        let number = *self.by_digest.get(digest)?;
        let message = self.get_mut(number).filter(|m| m.from == from)?;
        let id = message.id;
        Some(match &message.state {
            State::Waits(body) => Seen::Waits { id, body: body.clone() },
            State::Answered { accepted } => Seen::Answered { id, accepted: *accepted },
        })
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let waits = |m: &Message| if let State::Waits(body) = &m.state { Some(body.len()) } else { None };
        let bytes = self.messages.iter().filter_map(waits).fold(0usize, usize::saturating_add);
        let waiting = self.messages.iter().filter_map(waits).count();
        if bytes != self.bytes || waiting != self.waiting.len() || self.messages.len() != self.by_digest.len() {
            return Err("the bytes, numbers or digests of opened messages are wrong");
        }
        Ok(())
    }
}
