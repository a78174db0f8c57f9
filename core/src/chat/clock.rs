//! Clocks derived from what entries name (docs/design/log.md §3): `VC(e) = max(VC(prev), VC(parents)…)` and the
//! entry's own number. Inside a conversation the components have small numbers, so a clock is a short list of counts.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::id::NodeId;
use crate::shared::Arc;
use crate::wire::content::{ClockEntry, VectorClock};
use crate::wire::entry::LifeId;

/// Authors up to which clocks are computed: 64 (docs/design/log.md §3).
pub(crate) const MAX_AUTHORS: usize = 64;
/// Lives of one author with components of their own: 8 (docs/design/log.md §3). With one more, clocks end.
const MAX_LIVES: usize = 8;

/// Counts by component; a component beyond its end counts zero.
pub(crate) type Counts = Arc<Vec<u64>>;

/// The lives that clocks of a conversation count, in the order in which this node met them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Components {
    lives: Vec<LifeId>,
    by_life: OrderedMap<LifeId, usize>,
    authors: OrderedSet<NodeId>,
    /// There were more: no clocks from then on.
    overflown: bool,
}

impl Components {
    pub(crate) fn restore(&mut self, lives: Vec<LifeId>, overflown: bool) {
        lives.into_iter().for_each(|life| {
            self.add(life);
        });
        self.overflown |= overflown;
    }

    pub(crate) fn is_overflown(&self) -> bool {
        self.overflown
    }

    pub(crate) fn lives(&self) -> &[LifeId] {
        &self.lives
    }

    /// The number of a life's component; its second part says that it is new. None if there are too many.
    pub(crate) fn add(&mut self, life: LifeId) -> Option<(usize, bool)> {
        if self.overflown {
            return None;
        }
        if let Some(&at) = self.by_life.get(&life) {
            return Some((at, false));
        }
        let of_author = self.lives.iter().filter(|l| l.author == life.author).count();
        let is_full = self.authors.len() >= MAX_AUTHORS && !self.authors.contains(&life.author);
        if is_full || of_author >= MAX_LIVES {
            self.overflown = true;
            return None;
        }
        let at = self.lives.len();
        self.lives.push(life);
        self.by_life.insert(life, at);
        self.authors.insert(life.author);
        Some((at, true))
    }

    /// The number of a life's component.
    pub(crate) fn place(&self, life: LifeId) -> Option<usize> {
        self.by_life.get(&life).copied()
    }

    /// The clock of an entry from those of what it names.
    pub(crate) fn merge<'a>(past: impl Iterator<Item = &'a Counts>, (component, seq): (usize, u64)) -> Counts {
        let mut counts: Vec<u64> = Vec::new();
        for clock in past {
            if clock.len() > counts.len() {
                counts.resize(clock.len(), 0);
            }
            for (mine, theirs) in counts.iter_mut().zip(clock.iter()) {
                *mine = (*mine).max(*theirs);
            }
        }
        if component >= counts.len() {
            counts.resize(component.saturating_add(1), 0);
        }
        if let Some(own) = counts.get_mut(component) {
            *own = (*own).max(seq);
        }
        Arc::new(counts)
    }

    /// The clock for the application.
    pub(crate) fn named(&self, counts: &[u64]) -> VectorClock {
        let named = self.lives.iter().zip(counts);
        named.map(|(life, &count)| ClockEntry { author: life.author, life: life.life, count }).collect()
    }
}
