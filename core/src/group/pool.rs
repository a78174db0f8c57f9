//! What members sealed and this node cannot open yet: the secret of the epoch or an operation is on its way.

use alloc::vec::Vec;

use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// A minute (docs/design/groups.md §5): after it the log of the group brings what was said.
const KEPT: Duration = Duration::from_secs(60);
/// Messages of one group, and of one member that brings them.
const MAX_MESSAGES: usize = 256;
const MAX_OF_BRINGER: usize = 64;
/// Bytes of one group's: 1 MiB.
const MAX_BYTES: usize = 1 << 20;

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
        self.waiting.first().map(|w| w.since + KEPT)
    }

    /// Keeps a message if there is room for one more of its bringer.
    pub(super) fn keep(&mut self, via: NodeId, body: Vec<u8>, now: Instant) -> bool {
        let of_bringer = self.waiting.iter().filter(|w| w.via == via).count();
        let fits = self.bytes.saturating_add(body.len()) <= MAX_BYTES && self.waiting.len() < MAX_MESSAGES;
        if !fits || of_bringer >= MAX_OF_BRINGER {
            return false;
        }
        self.bytes = self.bytes.saturating_add(body.len());
        self.waiting.push(Waiting { via, since: now, body });
        true
    }

    /// All of it, to be tried again.
    pub(super) fn take(&mut self) -> Vec<(NodeId, Vec<u8>)> {
        self.bytes = 0;
        core::mem::take(&mut self.waiting).into_iter().map(|w| (w.via, w.body)).collect()
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
