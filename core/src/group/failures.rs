//! Nodes that bring forged messages. One that claims to skip 2,000 messages costs 4,000 HMACs before its tag is known to
//! be wrong (docs/design/groups-keys.md §4.2), and a member can make as many of them as it likes.

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// Four forged messages within a second cost a few ms; an honest node brings none.
const MOST: usize = 4;
const WITHIN: Duration = Duration::from_secs(1);
/// What such a node brings is then left alone for a second: what it brings of others comes by the log of the group.
const PAUSE: Duration = Duration::from_secs(1);
/// Nodes that are remembered: as many as bring something within a second.
const MAX_NODES: usize = 1_024;

#[derive(Debug)]
struct Failing {
    at: Vec<Instant>,
    pauses: bool,
    /// Then nothing is held against it any more.
    until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Failures(OrderedMap<NodeId, Failing>);

impl Failures {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|failing| failing.until).min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, failing| failing.until > now);
    }

    /// Whether what a node brings is left alone now.
    pub(super) fn pauses(&self, via: NodeId, now: Instant) -> bool {
        self.0.get(&via).is_some_and(|failing| failing.pauses && now < failing.until)
    }

    /// A node brought a forged message.
    pub(super) fn count(&mut self, via: NodeId, now: Instant) {
        self.expire(now);
        if self.0.len() >= MAX_NODES && !self.0.contains_key(&via) {
            self.0.pop_first();
        }
        let new = || Failing { at: Vec::new(), pauses: false, until: now };
        let failing = self.0.entry(via).or_insert_with(new);
        failing.at.retain(|at| *at + WITHIN > now);
        failing.at.push(now);
        failing.pauses = failing.at.len() >= MOST;
        failing.until = now + PAUSE.max(WITHIN);
    }
}
