//! Broadcasts that were announced and have not come.

use crate::collections::{OrderedMap, ShortId};
use alloc::vec::Vec;

use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// Announced broadcasts that are waited for: 5,000 as gossipsub's limit of ids
/// (docs/design/broadcast.md §4), 100 bytes each.
pub(super) const MAX_MISSING: usize = 5_000;
/// Announcers remembered of one missing broadcast (docs/design/broadcast.md §2).
const MAX_ANNOUNCERS: usize = 8;

/// A peer that announced a broadcast, and the round in which the broadcast would come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcer {
    pub from: NodeId,
    pub round: u8,
}

/// A broadcast that was announced and has not come.
#[derive(Default)]
pub(super) struct Missing {
    /// In the order of announcement, in which they are asked.
    pub announcers: Vec<Announcer>,
    /// INVARIANT: at most the number of announcers. How many of them were asked.
    pub asked: usize,
    /// The time of the first announcement.
    since: Instant,
    /// When the next announcer is asked.
    pub due: Instant,
}

impl Missing {
    /// The time of the first announcement; none if it was never announced.
    pub(super) fn announced_at(&self) -> Option<Instant> {
        (!self.announcers.is_empty()).then_some(self.since)
    }

    /// When it is asked for at last, whatever the reason to wait.
    pub(super) fn latest(&self, patience: Duration) -> Instant {
        self.since + patience
    }

    pub(super) fn was_asked(&self, peer: NodeId) -> bool {
        self.announcers.iter().take(self.asked).any(|a| a.from == peer)
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct MissingTable(OrderedMap<ShortId, Missing>);

impl MissingTable {
    /// Remembers an announcement; false if the table is full.
    pub(super) fn announced(&mut self, id: ShortId, by: Announcer, now: Instant) -> bool {
        if self.0.len() >= MAX_MISSING && !self.0.contains_key(&id) {
            return false;
        }
        let missing = self.0.entry(id).or_insert_with(|| Missing { since: now, ..Missing::default() });
        if missing.announcers.len() < MAX_ANNOUNCERS && !missing.announcers.iter().any(|a| a.from == by.from) {
            missing.announcers.push(by);
        }
        true
    }

    /// The next announcer to ask; none if all were asked that are still `here`.
    pub(super) fn next_announcer(&mut self, id: &ShortId, here: impl Fn(&NodeId) -> bool) -> Option<NodeId> {
        let missing = self.0.get_mut(id)?;
        while let Some(Announcer { from, .. }) = missing.announcers.get(missing.asked) {
            missing.asked = missing.asked.saturating_add(1);
            if here(from) {
                return Some(*from);
            }
        }
        None
    }

    pub(super) fn get_mut(&mut self, id: &ShortId) -> Option<&mut Missing> {
        self.0.get_mut(id)
    }

    /// Forgets one; without announcers if it was not there.
    pub(super) fn remove(&mut self, id: &ShortId) -> Missing {
        self.0.remove(id).unwrap_or_default()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.0.len() > MAX_MISSING || self.0.values().any(|m| m.announcers.len() > MAX_ANNOUNCERS) {
            return Err("more missing broadcasts or announcers than the limit");
        }
        match self.0.values().all(|m| m.asked <= m.announcers.len()) {
            true => Ok(()),
            false => Err("more announcers were asked than there are"),
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn ids(&self) -> impl Iterator<Item = &ShortId> {
        self.0.keys()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
