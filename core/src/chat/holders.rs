//! What linked peers say that they hold of a conversation, and how much it counts.

use alloc::vec::Vec;

use crate::chat::wire::Holding;
use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// Peers that are asked for a base, or whether they hold what lies below it: 5 (docs/design/log.md §6, R6, R7).
pub(crate) const ASKED: usize = 5;
/// A newcomer waits for what so many peers say at most this long after the first: 1 s.
const STATED_WITHIN: Duration = Duration::from_secs(1);
/// A peer that did not bring bodies that it should have is not waited for again for this long: 10 min
/// (docs/design/log.md §2, R2: a peer that failed is asked last).
const DISTRUSTED: Duration = Duration::from_secs(600);
/// A conversation is begun anew at most every hour (docs/design/log.md §6, R8).
const ANEW_EVERY: Duration = Duration::from_secs(3_600);
/// A peer that lacks something asks each of its neighbours within this: a minute.
const HELD_UP: Duration = Duration::from_secs(60);
/// Peers whose statements are kept: 128, as many as there are links.
const MAX_STATED: usize = 128;

#[derive(Debug)]
struct Stated {
    peer: NodeId,
    holding: Holding,
    /// The depth from which this node last said its heights to it.
    said_from: u64,
    /// When it last asked for what this node took something without.
    unserved_at: Option<Instant>,
    /// It brought nothing more from below where this node began.
    exhausted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// In the order in which they first said something: the longest known first.
    stated: Vec<Stated>,
    first_at: Option<Instant>,
    /// Since when most have not come to this node's base.
    wrong_since: Option<Instant>,
    /// When the conversation was last begun anew.
    anew_at: Option<Instant>,
    distrusted: OrderedMap<NodeId, Instant>,
    /// When bodies that are wanted may be asked for again.
    pub(super) ask_wanted_at: Instant,
}

impl Holders {
    pub(super) fn len(&self) -> usize {
        self.stated.len().saturating_add(self.distrusted.len())
    }

    pub(super) fn state(&mut self, peer: NodeId, holding: Holding, now: Instant) {
        self.first_at.get_or_insert(now);
        if let Some(known) = self.stated.iter_mut().find(|s| s.peer == peer) {
            known.holding = holding;
        } else if self.stated.len() < MAX_STATED {
            self.stated.push(Stated { peer, holding, said_from: 0, unserved_at: None, exhausted: false });
        }
    }

    pub(super) fn forget(&mut self, peer: NodeId) {
        self.stated.retain(|s| s.peer != peer);
        if self.stated.is_empty() {
            self.first_at = None;
        }
    }

    pub(super) fn get(&self, peer: NodeId) -> Option<Holding> {
        self.stated.iter().find(|s| s.peer == peer).map(|s| s.holding)
    }

    /// How long a peer has been known, among others: 0 is the longest.
    pub(super) fn place(&self, peer: NodeId) -> usize {
        self.stated.iter().position(|s| s.peer == peer).unwrap_or(usize::MAX)
    }

    /// This node says its heights to a peer from this depth on. Returns from which it said them before.
    pub(super) fn said(&mut self, peer: NodeId, from: u64) -> u64 {
        let known = self.stated.iter_mut().find(|s| s.peer == peer);
        known.map_or(0, |s| core::mem::replace(&mut s.said_from, from))
    }

    /// Whether enough have said what they hold to choose a base.
    pub(super) fn are_enough(&self, peers: &[NodeId], now: Instant) -> bool {
        let waited = self.first_at.is_some_and(|at| now.since(at) >= STATED_WITHIN);
        let stated = self.stated.iter().filter(|s| peers.contains(&s.peer)).count();
        stated > 0 && (waited || stated >= ASKED.min(peers.len()))
    }

    pub(super) fn enough_at(&self) -> Option<Instant> {
        self.first_at.map(|at| at + STATED_WITHIN)
    }

    /// The middle of what the longest known of these peers say, the lower of two: what one of a minority says has no
    /// effect.
    pub(super) fn middle(&self, peers: &[NodeId], of: impl Fn(&Holding) -> u64) -> u64 {
        let known = self.stated.iter().filter(|s| peers.contains(&s.peer)).take(ASKED);
        let mut all: Vec<u64> = known.map(|s| of(&s.holding)).collect();
        all.sort_unstable();
        all.get(all.len().saturating_sub(1) / 2).copied().unwrap_or(0)
    }

    /// Whether a peer says that its headers reach this depth, or says nothing.
    pub(super) fn may_hold(&self, peer: NodeId, depth: u64) -> bool {
        self.get(peer).is_none_or(|holding| holding.base <= depth)
    }

    /// A conversation is begun anew: what was wrong is over.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        (self.wrong_since, self.anew_at) = (None, Some(now));
        self.stated.iter_mut().for_each(|s| s.unserved_at = None);
    }

    /// Whether a peer may have older pages than from this depth on.
    pub(super) fn has_older(&self, peer: NodeId, depth: u64) -> bool {
        let has = |s: &Stated| s.peer == peer && s.holding.joined < depth && !s.exhausted;
        self.stated.iter().any(has)
    }

    pub(super) fn exhausted(&mut self, peer: NodeId) {
        self.stated.iter_mut().filter(|s| s.peer == peer).for_each(|s| s.exhausted = true);
    }

    /// A peer asks for what this node took something without.
    pub(super) fn unserved(&mut self, peer: NodeId, now: Instant) {
        if let Some(stated) = self.stated.iter_mut().find(|s| s.peer == peer) {
            stated.unserved_at = Some(now);
        }
    }

    /// Whether most peers cannot take what is here, by what they asked for in the last minute.
    pub(super) fn are_held_up(&self, peers: &[NodeId], now: Instant) -> bool {
        let lately = |at: Instant| now.since(at) < HELD_UP;
        let of_peers = self.stated.iter().filter(|s| peers.contains(&s.peer));
        of_peers.filter(|s| s.unserved_at.is_some_and(lately)).count().saturating_mul(2) > peers.len()
    }

    /// Whether something has been so for so long, each time that it was looked at.
    pub(super) fn is_wrong_since(&mut self, is_so: bool, now: Instant, long: Duration) -> bool {
        if !is_so {
            self.wrong_since = None;
        }
        if self.anew_at.is_some_and(|at| now.since(at) < ANEW_EVERY) {
            return false;
        }
        is_so && now.since(*self.wrong_since.get_or_insert(now)) >= long
    }

    /// A peer did not bring bodies that it should have.
    pub(super) fn distrust(&mut self, peer: NodeId, now: Instant) {
        self.distrusted.retain(|_, until| now < *until);
        if self.distrusted.len() < MAX_STATED {
            self.distrusted.insert(peer, now + DISTRUSTED);
        }
    }

    /// Whether a peer may still bring the bodies of a run that ends at this depth.
    pub(super) fn may_bring(&self, peer: NodeId, depth: u64, now: Instant) -> bool {
        let is_distrusted = self.distrusted.get(&peer).is_some_and(|until| now < *until);
        !is_distrusted && self.says_to_have(peer, depth)
    }

    /// Whether a peer says that it has bodies at this depth, or says nothing.
    pub(super) fn says_to_have(&self, peer: NodeId, depth: u64) -> bool {
        self.get(peer).is_none_or(|holding| holding.floor <= depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: the mean, or the higher of two.
    #[test]
    fn one_of_two_or_a_minority_moves_no_base() {
        let mut holders = Holders::default();
        let says = |holders: &mut Holders, n: u8, page: u64| {
            holders.state(NodeId([n; 32]), Holding { page, ..Holding::default() }, Instant::ZERO);
        };
        let peers: Vec<NodeId> = (1..40).map(|n| NodeId([n; 32])).collect();
        assert_eq!(holders.middle(&peers, |h| h.page), 0);
        says(&mut holders, 99, u64::MAX);
        says(&mut holders, 98, u64::MAX);
        assert_eq!(holders.middle(&peers, |h| h.page), 0, "strangers do not count");
        says(&mut holders, 1, u64::MAX);
        says(&mut holders, 2, 90);
        assert_eq!(holders.middle(&peers, |h| h.page), 90);
        says(&mut holders, 3, 100);
        assert_eq!(holders.middle(&peers, |h| h.page), 100);
        says(&mut holders, 4, u64::MAX);
        says(&mut holders, 5, 95);
        for n in 6..40 {
            says(&mut holders, n, u64::MAX);
        }
        assert_eq!(holders.middle(&peers, |h| h.page), 100, "later ones do not count");
    }
}
