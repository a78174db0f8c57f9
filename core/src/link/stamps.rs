//! The newest handshake stamp of each node. An Init with an older one is a replay, or comes from another copy of the
//! node's profile, or from one whose clock went wrong: nothing but an answer tells these apart.

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::link::packet::Stamp;
use crate::time::{Duration, Instant};

/// Stamps remembered of nodes without a link, 100 bytes each. What is forgotten costs a replayed
/// Init the work of an answer and nothing else.
const MAX_STAMPS: usize = 1_024;
/// Between two answers to Inits of one node whose stamps do not rise: an attempt repeats its Init each second.
const OLDER_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Newest {
    stamp: Stamp,
    used: u64,
    /// When an Init that is not newer was answered last.
    older: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Stamps {
    newest: OrderedMap<NodeId, Newest>,
    uses: u64,
}

impl Stamps {
    /// Whether an Init of `peer` with this stamp is answered now: a newer one always, another at most once a second. So a
    /// replay costs one answer a second, and its sender cannot use it; and what this node remembers keeps no honest node
    /// out for ever.
    pub(super) fn admits(&mut self, peer: NodeId, stamp: Stamp, now: Instant) -> bool {
        let Some(newest) = self.newest.get_mut(&peer) else { return true };
        if stamp > newest.stamp {
            return true;
        }
        if newest.older.is_some_and(|at| now.since(at) < OLDER_EVERY) {
            return false;
        }
        newest.older = Some(now);
        true
    }

    /// Remembers a stamp; of nodes that are not `linked` the one used least recently makes place.
    pub(super) fn set(&mut self, peer: NodeId, stamp: Stamp, linked: impl Fn(&NodeId) -> bool) {
        if !self.newest.contains_key(&peer) && self.newest.len() >= MAX_STAMPS {
            let idle = self.newest.iter().filter(|(p, _)| !linked(p));
            if let Some(oldest) = idle.min_by_key(|(_, newest)| newest.used).map(|(p, _)| *p) {
                self.newest.remove(&oldest);
            }
        }
        self.uses = self.uses.saturating_add(1);
        let used = self.uses;
        match self.newest.get_mut(&peer) {
            Some(newest) => {
                newest.stamp = newest.stamp.max(stamp);
                newest.used = used;
            }
            None => {
                self.newest.insert(peer, Newest { stamp, used, older: None });
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.newest.len()
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;

    /// Breaks if a stamp that does not rise is always answered, or never.
    #[test]
    fn an_older_stamp_is_admitted_once_a_second_and_a_newer_one_always() {
        let (peer, other, mut stamps) = (NodeId([1; 32]), NodeId([2; 32]), Stamps::default());
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        assert!(stamps.admits(peer, Stamp(1), at(0)) && stamps.admits(peer, Stamp(1), at(0)), "nothing is known");
        stamps.set(peer, Stamp(10), |_| false);
        let older = [(0, true), (1, false), (999, false), (1_000, true), (1_001, false)];
        for (ms, admitted) in older {
            assert_eq!(stamps.admits(peer, Stamp(ms % 11), at(ms)), admitted, "{ms}");
            assert!(stamps.admits(peer, Stamp(11), at(ms)) && stamps.admits(other, Stamp(0), at(ms)));
        }
        stamps.set(peer, Stamp(3), |_| false);
        assert!(!stamps.admits(peer, Stamp(9), at(1_500)), "the newest stays");
    }
}
