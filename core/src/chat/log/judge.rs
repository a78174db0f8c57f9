//! The verdict on a run: what is there of what it names, and how it continues its life (docs/design/log.md §2, R1, R2).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Log;
use crate::chat::known::{Known, Tip};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::MessageId;
use crate::planted::{Bug, planted};
use crate::wire::entry::{Entry, LifeId, Parent, Reference, Run};

/// What a verdict takes from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The entry with this depth and beginning of a hash.
    Entry(Parent),
    /// The newest entry of a life.
    Life(LifeId),
    /// The entries of a life under one number.
    Number(LifeId, u64),
    /// The run that ends with this entry.
    Run(MessageId),
    /// Whether the application got this entry before the conversation was begun anew.
    Told(MessageId),
}

/// What was read from the store.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) entries: OrderedMap<Parent, Option<(MessageId, Known)>>,
    pub(crate) lives: OrderedMap<LifeId, Option<Tip>>,
    pub(crate) numbers: OrderedMap<(LifeId, u64), Vec<MessageId>>,
    /// The same run as it is held here, if bodies of it are wanted.
    pub(crate) held: Option<Option<Held>>,
    /// Whether the application got an entry before the conversation was begun anew.
    pub(crate) told: OrderedMap<MessageId, bool>,
}

/// A run that was taken without all of its bodies.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) run: Run,
    pub(crate) wants: Wants,
    pub(crate) void: Vec<u8>,
}

/// Whether bodies of a run are wanted that are not here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wants {
    /// All are here, or were deleted here, or lie below the base.
    #[default]
    Nothing,
    /// They never came: the application gets them late.
    News,
    /// The application had them before the store lost them.
    Repair,
}

impl Facts {
    /// Whether the store has an entry, if it was read.
    pub(super) fn stored(&self, id: MessageId) -> Option<bool> {
        self.entries.get(&Parent::of(id)).map(|read| read.as_ref().is_some_and(|(found, _)| *found == id))
    }
}

/// The verdict on a run. None of them depends on a limit, on memory or on time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It takes these reads to say.
    Read(Vec<Need>),
    /// All of it was taken before.
    Known,
    /// These are not there: it waits.
    Missing(Vec<Reference>),
    /// Of its past only these are not here, all below the base: others are to say whether they hold them.
    Unvouched(Vec<Reference>),
    /// An entry follows one that is not the one before it in its log: refused by every node.
    Bad,
    /// It can be taken.
    Fits(Kind),
}

/// How new entries continue their life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// After its tip.
    Next,
    /// Beside another entry with the same number: the author's two words under one number are their own proof.
    Fork,
    /// It was taken before and the store lost it.
    Lost,
    /// Below the depth at which this node joined: stored, never reported, never named.
    Old,
    /// Before the tip of its life, where an entry was taken without its past: it comes late.
    Gap,
    /// It was taken without all of its bodies, and brings some.
    Late,
}

impl Log {
    pub(super) fn tips<'a>(&'a self, life: LifeId, facts: &'a Facts) -> Option<&'a [Tip]> {
        match (self.lives.tips(life), facts.lives.get(&life)) {
            (Some(tips), _) => Some(tips),
            (None, Some(tip)) => Some(tip.as_slice()),
            // Lives that end below where this node began are not in memory.
            (None, None) => (self.lives.is_complete() && self.joined == 0).then_some(&[]),
        }
    }

    pub(super) fn lookup<'a>(&'a self, parent: Parent, facts: &'a Facts) -> Option<Option<(MessageId, &'a Known)>> {
        match self.find(parent) {
            Some(found) => Some(Some(found)),
            None => facts.entries.get(&parent).map(|read| read.as_ref().map(|(id, known)| (*id, known))),
        }
    }

    /// What is known of an entry that is here.
    pub(crate) fn known(&self, id: MessageId, facts: &Facts) -> Option<Known> {
        let (found, known) = self.lookup(Parent::of(id), facts).flatten()?;
        (found == id).then(|| known.clone())
    }

    /// Judges a run: a pure function of the run and of what the store holds. With `repairs` a comparison found it
    /// missing in the store: whether it is there is read, whatever memory has.
    pub(crate) fn judge(&self, run: &Run, facts: &Facts, repairs: bool) -> Verdict {
        let mut needs: OrderedSet<Need> = OrderedSet::new();
        let Some(tips) = self.tips(run.log, facts) else {
            return Verdict::Read(alloc::vec![Need::Life(run.log)]);
        };
        let highest = tips.iter().map(|t| t.seq).max().unwrap_or(0);
        let mut new: Option<&Entry> = None;
        let (mut missing, mut bad): (OrderedSet<Reference>, bool) = (OrderedSet::new(), false);
        for (at, entry) in run.entries.iter().enumerate() {
            if new.is_none() {
                let follows = entry.seq > highest || entry.prev.is_some_and(|p| tips.iter().any(|t| t.id == p));
                let known = match repairs {
                    true => facts.stored(entry.id),
                    false => self.lookup(Parent::of(entry.id), facts).map(|f| f.is_some_and(|(id, _)| id == entry.id)),
                };
                match known {
                    Some(true) => continue,
                    Some(false) => {}
                    None if follows || tips.is_empty() => {}
                    None => {
                        needs.insert(Need::Entry(Parent::of(entry.id)));
                        continue;
                    }
                }
                new = Some(entry);
            }
            let before = run.entries.get(..at).unwrap_or_default();
            if let Some(prev) = entry.prev.filter(|p| before.last().is_none_or(|b| b.id != *p)) {
                match self.lookup(Parent::of(prev), facts) {
                    None => {
                        needs.insert(Need::Entry(Parent::of(prev)));
                    }
                    Some(Some((id, known))) if id == prev => bad |= !follows_in_its_log(run.log, entry.seq, known),
                    // Of an entry whose header went beyond the limit the number is kept while it is the last.
                    Some(_) => match tips.iter().find(|t| t.id == prev) {
                        Some(tip) => bad |= tip.seq.checked_add(1) != Some(entry.seq),
                        None => {
                            missing.insert(Reference::Prev { log: run.log, seq: entry.seq, id: prev });
                        }
                    },
                }
            }
            needs.extend(self.unread_target(entry, before, facts));
            for parent in &entry.parents {
                if before.iter().any(|b| Parent::of(b.id) == *parent) {
                    continue;
                }
                match self.lookup(*parent, facts) {
                    None => {
                        needs.insert(Need::Entry(*parent));
                    }
                    Some(None) => {
                        missing.insert(Reference::Parent(*parent));
                    }
                    Some(Some(_)) => {}
                }
            }
        }
        if planted(Bug::ToldBeforeParents) {
            missing.clear();
        }
        if bad {
            return Verdict::Bad;
        }
        let Some(first) = new else {
            return if needs.is_empty() { self.judge_late(run, facts, repairs) } else { read(needs) };
        };
        let extends = first.seq > highest || first.prev.is_some_and(|p| tips.iter().any(|t| t.id == p));
        // Below the base a missing entry may be a pruned one, on any branch: it is not reported again.
        let is_news = first.id.depth >= self.base || first.seq > highest;
        let is_next = tips.is_empty() || (is_news && extends && (first.seq > 1 || highest == 0));
        let numbers = facts.numbers.get(&(run.log, first.seq));
        if !is_next && numbers.is_none() {
            needs.insert(Need::Number(run.log, first.seq));
        }
        if !needs.is_empty() {
            return read(needs);
        }
        // What others hold below the base needs not be here, nor what no linked node has (docs/design/log.md §6, R6).
        missing.retain(|r| !self.waived.contains_key(r));
        let (old, missing): (Vec<Reference>, Vec<Reference>) =
            missing.into_iter().partition(|r| r.parent().depth < self.base);
        if !missing.is_empty() {
            return Verdict::Missing(missing);
        }
        if !old.is_empty() {
            return Verdict::Unvouched(old);
        }
        let is_old = self.is_old(run);
        let may_fork = !planted(Bug::ForkTakenForLoss) && is_news;
        let beside = may_fork && numbers.is_some_and(|ids| !ids.is_empty() && !ids.contains(&first.id));
        if let Some(unsaid) = self.leftover.filter(|unsaid| unsaid.is_left) {
            let ids = run.entries.iter().map(|e| e.id).filter(|id| id.depth >= unsaid.told_from);
            let needs: OrderedSet<Need> = ids.filter(|id| !facts.told.contains_key(id)).map(Need::Told).collect();
            if !needs.is_empty() {
                return read(needs);
            }
        }
        let in_gap = self.gaps.get(&run.log).is_some_and(|gap| gap.contains(&first.seq));
        Verdict::Fits(match (is_old, is_next, beside) {
            (true, _, false) => Kind::Old,
            (false, true, _) => Kind::Next,
            (_, _, true) => Kind::Fork,
            (false, false, false) if in_gap => Kind::Gap,
            (false, false, false) => Kind::Lost,
        })
    }

    /// What an entry edits is in its past, or it edits nothing: the read that says so.
    fn unread_target(&self, entry: &Entry, before: &[Entry], facts: &Facts) -> Option<Need> {
        let target = entry.edits().filter(|t| !before.iter().any(|b| b.id == *t))?;
        self.lookup(Parent::of(target), facts).is_none().then_some(Need::Entry(Parent::of(target)))
    }

    /// A run whose entries are all here: it may bring bodies that are wanted.
    fn judge_late(&self, run: &Run, facts: &Facts, repairs: bool) -> Verdict {
        // Memory has not all that is wanted; in a private conversation only the author and own devices bring it.
        let may_want = |last: &MessageId| {
            repairs || last.depth < self.joined || self.policy.is_private() || self.wanted.contains(last)
        };
        let Some(last) = run.last().filter(may_want) else {
            return Verdict::Known;
        };
        let Some(held) = &facts.held else { return Verdict::Read(alloc::vec![Need::Run(last)]) };
        let Some(filled) = held.as_ref().and_then(|held| held.run.filled_from(run)) else {
            return Verdict::Known;
        };
        let mut needs = OrderedSet::new();
        for (at, entry) in filled.entries.iter().enumerate() {
            if self.lookup(Parent::of(entry.id), facts).is_none() {
                needs.insert(Need::Entry(Parent::of(entry.id)));
            }
            needs.extend(self.unread_target(entry, filled.entries.get(..at).unwrap_or_default(), facts));
        }
        if needs.is_empty() { Verdict::Fits(Kind::Late) } else { read(needs) }
    }

    /// Whether a run lies below the depth at which this node began.
    pub(crate) fn is_old(&self, run: &Run) -> bool {
        run.last().is_some_and(|last| last.depth < self.joined)
    }
}

fn read(needs: OrderedSet<Need>) -> Verdict {
    Verdict::Read(needs.into_iter().collect())
}

/// Whether an entry with number `seq` of a log may follow this one.
fn follows_in_its_log(log: LifeId, seq: u64, prev: &Known) -> bool {
    if prev.log.author != log.author {
        return false;
    }
    match seq {
        1 => prev.log.life != log.life,
        _ => prev.log.life == log.life && prev.seq.checked_add(1) == Some(seq),
    }
}
