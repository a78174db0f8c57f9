//! The entries that no taken entry names: what the next entry of this node names as its past (docs/design/log.md §2,
//! R4).

use alloc::vec::Vec;

use crate::chat::known::Known;
use crate::collections::OrderedMap;
use crate::id::{MessageId, NodeId};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::entry::{LifeId, MAX_PARENTS, Parent};

/// Heads in memory: 1,024 (docs/design/log.md §2, R4).
const MAX_HEADS: usize = 1_024;
/// Of them, heads of authors that are first-time: 256, so that 768 are left for the others.
const MAX_FIRST_TIME: usize = 256;
/// Merges of one run: 8, so that 64 heads are merged and clocks are exact for 64 authors.
const MAX_MERGES: usize = 8;
/// Heads that are stored: 8, as many as one entry names. The others are named by other nodes.
const MAX_STORED: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) known: Known,
    /// The author's first entry arrived here less than seven days ago.
    pub(crate) first_time: bool,
    /// The log has two entries under one number.
    pub(crate) forked: bool,
    /// It was taken without its past, or names such an entry: others may have to wait for it until then.
    pub(crate) not_before: Option<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct Heads {
    all: OrderedMap<MessageId, Head>,
    /// INVARIANT: exactly the heads, by author.
    by_author: OrderedMap<NodeId, MessageId>,
}

impl Heads {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// An entry names these: they are no heads any more.
    pub(crate) fn named(&mut self, prev: Option<MessageId>, parents: &[Parent]) {
        if let Some(prev) = prev {
            self.remove(prev);
        }
        for parent in parents {
            let (first, last) = parent.bounds();
            if let Some(id) = self.all.range(first..=last).next().map(|(id, _)| *id) {
                self.remove(id);
            }
        }
    }

    /// An entry is not to be named.
    pub(crate) fn forget(&mut self, id: MessageId) {
        self.remove(id);
    }

    fn remove(&mut self, id: MessageId) {
        if let Some(head) = self.all.remove(&id) {
            self.by_author.remove(&head.known.log.author);
        }
    }

    /// A new entry that nothing names. Of one author only the deepest stays.
    pub(crate) fn add(&mut self, id: MessageId, head: Head) {
        match self.by_author.get(&head.known.log.author) {
            Some(&deeper) if deeper > id => return,
            Some(&shallower) => self.remove(shallower),
            None => {}
        }
        if head.first_time && self.all.values().filter(|h| h.first_time).count() >= MAX_FIRST_TIME {
            self.evict(|h| h.first_time);
        }
        if self.all.len() >= MAX_HEADS {
            self.evict(|_| true);
        }
        self.by_author.insert(head.known.log.author, id);
        self.all.insert(id, head);
    }

    /// The shallowest of some gives way: it has waited longest for a node to name it.
    fn evict(&mut self, of: impl Fn(&Head) -> bool) {
        let found = self.all.iter().find(|(_, head)| of(head)).map(|(id, _)| *id);
        if let Some(id) = found {
            self.remove(id);
        }
    }

    /// What lies before this place is not named any more.
    pub(crate) fn forget_before(&mut self, first: MessageId) {
        while let Some(id) = self.all.keys().next().copied().filter(|id| *id < first) {
            self.remove(id);
        }
    }

    pub(crate) fn fork(&mut self, log: LifeId) {
        self.all.values_mut().filter(|h| h.known.log == log).for_each(|h| h.forked = true);
    }

    /// The heads that this node may name. Of a forked log only its deepest entry, and only while it is deeper than
    /// every other head.
    fn nameable(&self, now: Instant) -> impl Iterator<Item = (MessageId, &Head)> {
        let deepest = self.all.last_key_value().map(|(id, _)| *id);
        let all = self.all.iter().map(|(id, head)| (*id, head));
        let all = all.filter(move |(_, head)| head.not_before.is_none_or(|at| at <= now));
        all.filter(move |(id, head)| !head.forked || Some(*id) == deepest)
    }

    pub(crate) fn find(&self, parent: Parent) -> Option<(MessageId, &Known)> {
        let (first, last) = parent.bounds();
        self.all.range(first..=last).next().map(|(id, head)| (*id, &head.known))
    }

    pub(crate) fn deepest(&self) -> Option<MessageId> {
        self.all.keys().next_back().copied()
    }

    /// How many heads wait to be named.
    pub(crate) fn open(&self, now: Instant) -> usize {
        self.nameable(now).count()
    }

    /// What the next run names, an entry each, the last of which says something: the deepest head, and others by lot,
    /// half of the draws from authors that are not first-time; shallow ones first.
    pub(crate) fn draw(&self, now: Instant, rng: &mut Rng) -> Vec<Vec<Parent>> {
        let mut open: Vec<(MessageId, bool)> = self.nameable(now).map(|(id, head)| (id, head.first_time)).collect();
        let most = MAX_PARENTS.saturating_mul(MAX_MERGES.saturating_add(1));
        let mut drawn: Vec<MessageId> = open.pop().map(|(id, _)| id).into_iter().collect();
        while drawn.len() < most && !open.is_empty() {
            let known = drawn.len().is_multiple_of(2);
            let eligible: Vec<usize> =
                (0..open.len()).filter(|&i| !known || open.get(i).is_some_and(|h| !h.1)).collect();
            let at = rng.pick(&eligible).copied().unwrap_or_else(|| rng.below(open.len()));
            drawn.push(open.swap_remove(at).0);
        }
        drawn.sort_unstable();
        let mut groups: Vec<Vec<Parent>> = Vec::new();
        // From the deepest: the last entry has eight of them, the first the rest.
        for group in drawn.rchunks(MAX_PARENTS) {
            let mut parents: Vec<Parent> = group.iter().copied().map(Parent::of).collect();
            parents.dedup();
            groups.push(parents);
        }
        groups.reverse();
        if groups.is_empty() {
            groups.push(Vec::new());
        }
        groups
    }

    /// The deepest heads, for the disk.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (&MessageId, &Head)> {
        self.all.iter().rev().take(MAX_STORED)
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let same = self.all.iter().all(|(id, head)| self.by_author.get(&head.known.log.author) == Some(id));
        if !same || self.all.len() != self.by_author.len() {
            return Err("the heads by author are not the heads");
        }
        if self.all.len() > MAX_HEADS {
            return Err("more heads than have room");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Life;

    fn heads(all: impl IntoIterator<Item = (u64, bool)>) -> Heads {
        let mut heads = Heads::default();
        for (depth, forked) in all {
            let log = LifeId { author: NodeId([depth as u8; 32]), life: Life([1; 8]) };
            let known = Known { log, seq: 1, clock: None };
            heads.add(MessageId { depth, hash: [9; 32] }, Head { known, first_time: false, forked, not_before: None });
        }
        heads
    }

    fn depths(heads: &Heads) -> Vec<Vec<u64>> {
        let named = heads.draw(Instant::ZERO, &mut Rng::new([1; 32]));
        named.iter().map(|parents| parents.iter().map(|p| p.depth).collect()).collect()
    }

    /// Mutation: a forked log is named like another.
    #[test]
    fn a_forked_log_is_named_only_while_it_is_the_deepest() {
        assert_eq!(depths(&heads([(3, false), (5, true), (7, false)])), [[3, 7]]);
        assert_eq!(depths(&heads([(3, false), (7, true), (5, true)])), [[3, 7]]);
    }

    /// Mutation: no more heads are drawn than one entry names.
    #[test]
    fn surplus_heads_are_merged_by_entries_before_it() {
        let named = depths(&heads((1..=20).map(|depth| (depth, false))));
        assert_eq!(named.iter().map(Vec::len).collect::<Vec<_>>(), [4, 8, 8]);
        assert_eq!(named.concat(), (1..=20).collect::<Vec<u64>>(), "shallow ones first, each once");
        let most = depths(&heads((1..=200).map(|depth| (depth, false))));
        assert_eq!((most.len(), most.concat().len()), (9, 72), "eight merges and the entry itself");
    }
}
