//! What a node has of a group's operations, in a few bytes for each author (docs/design/groups.md §3).

use serde::{Deserialize, Serialize};

use crate::collections::OrderedMap;
use crate::id::{NodeId, OpId};

/// What a node has of each author.
pub(crate) type Clock = OrderedMap<NodeId, Mark>;

/// What a node has of one author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The largest number. There is one of each below it.
    pub(crate) seq: u64,
    /// Operations: more than `seq` if the author forked.
    pub(crate) count: u64,
    /// The beginning of a hash over their ids, so that two branches of a fork do not look alike.
    pub(crate) tip: [u8; 8],
}

impl Mark {
    /// The mark of these operations, which are all that a node has of an author, by (number, id).
    pub(crate) fn of<'a>(own: impl Iterator<Item = &'a (u64, OpId)>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 group clock");
        let (mut seq, mut count) = (0, 0u64);
        for (number, id) in own {
            hasher.update(id.as_bytes());
            (seq, count) = (*number, count.saturating_add(1));
        }
        let mut tip = [0; 8];
        hasher.finalize_xof().fill(&mut tip);
        Self { seq, count, tip }
    }

    /// Whether two operations have one number.
    pub(crate) const fn is_forked(&self) -> bool {
        self.count > self.seq
    }
}
