//! The heights of a conversation, its version vector (Parker et al. 1983): how far each life goes. Nodes compare them
//! first when they meet (docs/design/log.md §8).

use alloc::vec::Vec;

use crate::chat::known::Tip;
use crate::chat::wire::Height;
use crate::collections::OrderedMap;
use crate::id::{Life, NodeId};
use crate::wire::entry::LifeId;

/// Lives with a tip in memory: 1,024, two for each of the 512 authors of docs/design/log.md §7 (R9). With more, the
/// lives used longest ago are read from the store again.
pub(crate) const MAX_LIVES: usize = 1_024;
/// Branches of one life in memory: 8. More are found in the store.
pub(crate) const MAX_TIPS: usize = 8;

#[derive(Debug)]
struct LifeState {
    /// Sorted; more than one if forked.
    tips: Vec<Tip>,
    /// The depth of its first entry; 0 if it is not known.
    first: u64,
    used: u64,
}

#[derive(Debug)]
pub(crate) struct Lives {
    all: OrderedMap<LifeId, LifeState>,
    /// Every life that ends at the base or deeper is in `all`.
    complete: bool,
    clock: u64,
}

impl Default for Lives {
    fn default() -> Self {
        Self { all: OrderedMap::new(), complete: true, clock: 0 }
    }
}

impl Lives {
    /// Lives that are to be read from the store.
    pub(crate) fn unread() -> Self {
        Self { complete: false, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn tips(&self, life: LifeId) -> Option<&[Tip]> {
        self.all.get(&life).map(|state| state.tips.as_slice())
    }

    /// Whether a life of this author is in memory.
    pub(crate) fn has(&self, author: NodeId) -> bool {
        let first = LifeId { author, life: Life([0; 8]) };
        self.all.range(first..).next().is_some_and(|(log, _)| log.author == author)
    }

    /// The life of an author that goes deepest, and its tip; none if that one is forked.
    pub(crate) fn deepest_of(&self, author: NodeId) -> Option<(LifeId, Tip)> {
        let first = LifeId { author, life: Life([0; 8]) };
        let lives = self.all.range(first..).take_while(|(log, _)| log.author == author);
        let deepest = lives.max_by_key(|(_, state)| state.tips.iter().map(|tip| tip.id).max());
        let (log, state) = deepest.filter(|(_, state)| state.tips.len() == 1)?;
        state.tips.first().map(|tip| (*log, *tip))
    }

    /// Lives that end below the base are compared with no other node.
    pub(crate) fn forget_before(&mut self, base: u64) {
        self.all.retain(|_, state| state.tips.iter().any(|tip| tip.id.depth >= base));
    }

    pub(crate) fn set(&mut self, life: LifeId, tips: Vec<Tip>, first: u64) {
        self.clock = self.clock.saturating_add(1);
        let first = self.all.get(&life).map_or(first, |state| state.first);
        self.all.insert(life, LifeState { tips, first, used: self.clock });
        if self.all.len() > MAX_LIVES {
            self.complete = false;
            // An eighth at once: what that costs is shared by as many new lives.
            let mut by_use: Vec<(u64, LifeId)> = self.all.iter().map(|(l, s)| (s.used, *l)).collect();
            by_use.sort_unstable();
            for (_, life) in by_use.iter().take(MAX_LIVES / 8) {
                self.all.remove(life);
            }
        }
    }

    /// Every life was read from the store: its tip and the depth of its first entry.
    pub(crate) fn loaded(&mut self, mut lives: Vec<(LifeId, Tip, u64)>, base: u64) {
        lives.retain(|(_, tip, _)| tip.id.depth >= base);
        self.complete = lives.len() <= MAX_LIVES;
        for (life, tip, first) in lives.into_iter().take(MAX_LIVES) {
            match self.all.get_mut(&life) {
                Some(state) => state.first = first,
                None => self.set(life, alloc::vec![tip], first),
            }
        }
        self.complete &= self.all.len() <= MAX_LIVES;
    }

    /// Whether `heights` and `digest` say all.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// How far each life goes here, of those that end at this depth or deeper.
    pub(crate) fn heights(&self, from: u64) -> Vec<Height> {
        let tips = self.all.iter().flat_map(|(log, state)| state.tips.iter().map(|tip| (*log, *tip)));
        tips.filter(|(_, tip)| tip.id.depth >= from).map(|(log, tip)| Height::new(log, tip)).collect()
    }

    /// A hash that is equal exactly if all tips from this depth on are; none if not all are in memory.
    pub(crate) fn digest(&self, from: u64) -> Option<[u8; 16]> {
        if !self.complete {
            return None;
        }
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 heights");
        for (log, state) in &self.all {
            for tip in state.tips.iter().filter(|tip| tip.id.depth >= from) {
                hasher.update(&log.author.0).update(&log.life.0);
                hasher.update(&tip.seq.to_le_bytes()).update(&tip.id.hash);
            }
        }
        hasher.finalize().as_bytes().first_chunk::<16>().copied()
    }

    /// What a peer with these heights lacks of what is here from a depth on.
    pub(crate) fn beyond(&self, theirs: &[Height], line: u64) -> Beyond {
        let mut beyond = Beyond::default();
        let mut by_life: OrderedMap<LifeId, Vec<&Height>> = OrderedMap::new();
        for height in theirs {
            by_life.entry(height.log).or_default().push(height);
        }
        for (log, state) in &self.all {
            let known = by_life.get(log).map_or(&[][..], |h| h.as_slice());
            let highest = known.iter().map(|h| h.seq).max().unwrap_or(0);
            for tip in state.tips.iter().filter(|tip| tip.id.depth >= line) {
                if state.tips.len() > 1 && !known.iter().any(|h| h.is(tip)) {
                    // A branch may begin anywhere, also before what the peer has of another: heights do not show it.
                    beyond.forks = true;
                }
                if tip.seq > highest {
                    beyond.ahead = true;
                    // The first that it lacks is deeper than its own tip.
                    let from = known.iter().map(|h| h.depth).max().unwrap_or(state.first);
                    beyond.from_depth = beyond.from_depth.min(from.max(line));
                } else if tip.seq == highest && !known.iter().any(|h| h.is(tip)) {
                    beyond.forks = true;
                }
            }
        }
        beyond
    }

    /// Whether a peer with these heights has something, at the base or deeper, that is not here.
    pub(crate) fn lacks(&self, theirs: &[Height], base: u64) -> bool {
        theirs.iter().filter(|height| height.depth >= base).any(|height| {
            let tips = self.all.get(&height.log).map_or(&[][..], |state| state.tips.as_slice());
            tips.iter().all(|tip| tip.seq < height.seq)
        })
    }
}

/// What [`Lives::beyond`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// There is something that the peer lacks.
    pub(crate) ahead: bool,
    /// None of it is shallower than this.
    pub(crate) from_depth: u64,
    /// A life has a branch here that may be missing there.
    pub(crate) forks: bool,
}

impl Default for Beyond {
    fn default() -> Self {
        Self { ahead: false, from_depth: u64::MAX, forks: false }
    }
}
