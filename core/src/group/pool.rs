//! What members sealed and this node cannot open yet: the secret of the epoch or an operation is on its way.

use alloc::vec::Vec;

use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// A minute (docs/design/groups.md §5): after it the log of the group brings what was said.
const KEPT: Duration = Duration::from_secs(60);
/// Messages in all, and of one node that brings them.
const MAX_MESSAGES: usize = 256;
const MAX_OF_BRINGER: usize = 64;
/// Their bytes: 4 MiB, of which one node has a quarter at most.
const MAX_BYTES: usize = 4 << 20;
const MAX_BYTES_OF_BRINGER: usize = MAX_BYTES / 4;

#[derive(Debug)]
struct Waiting {
    via: NodeId,
    since: Instant,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    waiting: Vec<Waiting>,
    /// INVARIANT: the bytes of `waiting`.
    bytes: usize,
}

impl Pool {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|w| w.since + KEPT).min()
    }

    /// Keeps a message if there is room for one more of its bringer.
    pub(super) fn keep(&mut self, via: NodeId, body: Vec<u8>, since: Instant) -> bool {
        let of_bringer = self.waiting.iter().filter(|w| w.via == via);
        let (count, bytes) = of_bringer.fold((0usize, body.len()), |(count, bytes), w| {
            (count.saturating_add(1), bytes.saturating_add(w.body.len()))
        });
        let fits = self.bytes.saturating_add(body.len()) <= MAX_BYTES && self.waiting.len() < MAX_MESSAGES;
        if !fits || count >= MAX_OF_BRINGER || bytes > MAX_BYTES_OF_BRINGER {
            return false;
        }
        self.bytes = self.bytes.saturating_add(body.len());
        self.waiting.push(Waiting { via, since, body });
        true
    }

    /// All of it, to be tried again.
    pub(super) fn take(&mut self) -> Vec<(NodeId, Vec<u8>, Instant)> {
        self.bytes = 0;
        core::mem::take(&mut self.waiting).into_iter().map(|w| (w.via, w.body, w.since)).collect()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.waiting.retain(|w| w.since + KEPT > now);
        self.bytes = self.waiting.iter().fold(0, |n, w| n.saturating_add(w.body.len()));
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let bytes = self.waiting.iter().fold(0usize, |n, w| n.saturating_add(w.body.len()));
        if bytes == self.bytes { Ok(()) } else { Err("the bytes of sealed messages that wait are counted wrong") }
    }
}
