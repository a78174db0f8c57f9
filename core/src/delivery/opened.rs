//! Messages of peers that were opened here. Their keys are gone, so a repeat cannot be opened: what it was, and what was
//! answered, is remembered by its digest.

use crate::collections::{OrderedMap, ShortId};
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// Answers remembered in each of two generations, a quarter of the ids: 1 MiB in all.
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

type Answer = (NodeId, ShortId, bool);

/// See the module.
pub(super) struct Opened {
    young: OrderedMap<ShortId, Answer>,
    old: OrderedMap<ShortId, Answer>,
    started: Instant,
    capacity: usize,
    window: Duration,
    /// Without a verdict, by sender and id, and where each is found by digest.
    waiting: OrderedMap<(NodeId, ShortId), (ShortId, Vec<u8>)>,
    by_digest: OrderedMap<ShortId, (NodeId, ShortId)>,
    /// INVARIANT: the bytes of the bodies that wait.
    bytes: usize,
    max_bytes: usize,
}

impl Opened {
    pub(super) fn new(limits: &Limits, window: Duration) -> Self {
        Self {
            young: OrderedMap::new(),
            old: OrderedMap::new(),
            started: Instant::ZERO,
            capacity: limits.dedup_ids / PART,
            window,
            waiting: OrderedMap::new(),
            by_digest: OrderedMap::new(),
            bytes: 0,
            max_bytes: limits.pending_bytes,
        }
    }

    /// Remembers an opened message until its verdict; not if too much waits already.
    pub(super) fn insert(&mut self, from: NodeId, digest: ShortId, id: ShortId, body: &[u8]) {
        self.take(from, id);
        if self.bytes.saturating_add(body.len()) > self.max_bytes || self.waiting.len() >= self.capacity {
            return;
        }
        self.bytes = self.bytes.saturating_add(body.len());
        self.waiting.insert((from, id), (digest, body.to_vec()));
        self.by_digest.insert(digest, (from, id));
    }

    fn take(&mut self, from: NodeId, id: ShortId) -> Option<ShortId> {
        let (digest, body) = self.waiting.remove(&(from, id))?;
        self.by_digest.remove(&digest);
        self.bytes = self.bytes.saturating_sub(body.len());
        Some(digest)
    }

    /// The verdict on a message.
    pub(super) fn settle(&mut self, now: Instant, from: NodeId, id: ShortId, accepted: bool) {
        let Some(digest) = self.take(from, id) else { return };
        if self.young.len() >= self.capacity || now.since(self.started) >= self.window {
            self.old = core::mem::take(&mut self.young);
            self.started = now;
        }
        self.young.insert(digest, (from, id, accepted));
    }

    /// What is known of a message of this node.
    pub(super) fn find(&self, from: NodeId, digest: &ShortId) -> Option<Seen> {
        if let Some(place) = self.by_digest.get(digest).filter(|(sender, _)| *sender == from) {
            return self.waiting.get(place).map(|(_, body)| Seen::Waits { id: place.1, body: body.clone() });
        }
        let answer = self.young.get(digest).or_else(|| self.old.get(digest)).filter(|(sender, ..)| *sender == from);
        answer.map(|(_, id, accepted)| Seen::Answered { id: *id, accepted: *accepted })
    }

    pub(super) fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len()).saturating_add(self.waiting.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let bytes = self.waiting.values().fold(0usize, |n, (_, body)| n.saturating_add(body.len()));
        if bytes != self.bytes || self.waiting.len() != self.by_digest.len() {
            return Err("the bytes or digests of opened messages that wait are wrong");
        }
        Ok(())
    }
}
