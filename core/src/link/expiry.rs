//! Whether records are in force, on a device whose clock may be wrong.
//!
//! A record is over a day after its expiry. A clock that is ahead makes every record look so, and people do set clocks wrong:
//! a clock is doubted while more of the nodes that were met speak against it than bear it out.

use alloc::collections::BTreeSet;

use crate::id::NodeId;
use crate::time::{Instant, WallTime};
use crate::wire::record::{CLOCK_SKEW, NodeRecord};

/// Nodes on each side, 32 bytes each: a full zone.
const MAX_WITNESSES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// Milliseconds from the time that passes evenly to the clock's, when it was last looked at.
    offset: u64,
    in_force: BTreeSet<NodeId>,
    expired: BTreeSet<NodeId>,
}

impl Expiry {
    /// A clock that was set is another clock.
    fn look(&mut self, now: Instant, wall: WallTime) {
        let offset = wall.0.wrapping_sub(now.as_micros() / 1_000);
        let moved = offset.wrapping_sub(self.offset);
        if moved.min(moved.wrapping_neg()) > CLOCK_SKEW {
            *self = Self { offset, ..Self::default() };
        }
    }

    /// Whether a record is refused. Its signature holds and, where it came in a handshake, its key spoke.
    pub(super) fn refuses(&mut self, record: &NodeRecord, now: Instant, wall: WallTime) -> bool {
        self.look(now, wall);
        let over = record.is_expired(wall);
        let (side, other) =
            if over { (&mut self.expired, &mut self.in_force) } else { (&mut self.in_force, &mut self.expired) };
        let id = record.id();
        other.remove(&id);
        if side.len() < MAX_WITNESSES {
            side.insert(id);
        }
        over && self.is_borne_out()
    }

    /// The same of a record that others told.
    pub(super) fn refuses_told(&mut self, record: &NodeRecord, now: Instant, wall: WallTime) -> bool {
        self.look(now, wall);
        record.is_expired(wall) && self.is_borne_out()
    }

    fn is_borne_out(&self) -> bool {
        self.in_force.len() >= self.expired.len()
    }

    pub(super) fn len(&self) -> usize {
        self.in_force.len().saturating_add(self.expired.len())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::config::NodeType;
    use crate::identity::tests::identity;

    /// Breaks if a clock that all others contradict is believed, or one that a few contradict is not.
    #[test]
    fn a_clock_is_doubted_while_most_records_contradict_it() {
        let day = CLOCK_SKEW;
        let record =
            |n: u8, expiry: u64| NodeRecord::sign(&identity(n), [n; 32], 1, WallTime(expiry), NodeType::Regular);
        let mut expiry = Expiry::default();
        let (now, wall) = (Instant::from_micros(0), WallTime(100 * day));
        assert!((1..4).all(|n| !expiry.refuses(&record(n, 110 * day), now, wall)));
        assert!((4..7).all(|n| expiry.refuses(&record(n, 90 * day), now, wall)), "three of six");
        // Ten years ahead: nobody's record is in force.
        let wall = WallTime(3_750 * day);
        assert!((1..7).all(|n| !expiry.refuses(&record(n, 110 * day), now, wall)));
        // And back.
        let wall = WallTime(100 * day);
        assert!(!expiry.refuses(&record(1, 110 * day), now, wall) && expiry.refuses(&record(4, 90 * day), now, wall));
    }
}
