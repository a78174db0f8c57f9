//! Updates on their way through the zone (SWIM §4.1): each rides on pings and answers so many times, those that
//! were sent least often first.

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::id::NodeId;

use super::wire::Update;

struct Queued {
    update: Update,
    sent: u32,
    /// Newer first among those sent equally often.
    number: u64,
}

/// One for each member at most: a newer one replaces the one before (memberlist's `TransmitLimitedQueue`).
#[derive(Default)]
pub(super) struct Updates {
    by_member: OrderedMap<NodeId, Queued>,
    numbers: u64,
}

/// Times that each member passes an update on: `factor * ceil(log10(n + 1))` (memberlist's rule).
pub(super) fn retransmits(factor: u32, n: usize) -> u32 {
    // The least power of ten that is not below n + 1.
    let mut digits = 0u32;
    let mut power = 1usize;
    while power < n.saturating_add(1) {
        power = power.saturating_mul(10);
        digits = digits.saturating_add(1);
    }
    factor.saturating_mul(digits.max(1))
}

impl Updates {
    pub(super) fn enqueue(&mut self, update: Update) {
        self.numbers = self.numbers.saturating_add(1);
        let member = update.member;
        self.by_member.insert(member, Queued { update, sent: 0, number: self.numbers });
    }

    /// Up to `count` to send to one member, not the one about `but`. Removes those that were sent `limit` times with
    /// this.
    pub(super) fn take(&mut self, count: usize, limit: u32, but: Option<NodeId>) -> Vec<Update> {
        let mut all: Vec<(u32, u64, NodeId)> = self
            .by_member
            .iter()
            .filter(|(id, _)| Some(**id) != but)
            .map(|(id, r)| (r.sent, u64::MAX.wrapping_sub(r.number), *id))
            .collect();
        all.sort_unstable();
        let mut out = Vec::new();
        for (_, _, id) in all.into_iter().take(count) {
            let Some(queued) = self.by_member.get_mut(&id) else { continue };
            queued.sent = queued.sent.saturating_add(1);
            out.push(queued.update.clone());
            if queued.sent >= limit {
                self.by_member.remove(&id);
            }
        }
        out
    }

    pub(super) fn forget(&mut self, member: NodeId) {
        self.by_member.remove(&member);
    }

    pub(super) fn clear(&mut self) {
        self.by_member.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.by_member.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Claim;
    use super::*;
    use proptest::prelude::{prop, prop_assert, proptest};

    fn update(n: u8) -> Update {
        Update { member: NodeId([n; 32]), incarnation: u64::from(n), claim: Claim::Left }
    }

    #[test]
    fn the_limit_is_that_of_memberlist() {
        let all: Vec<u32> = [1, 9, 10, 99, 100, 999, 1_000].map(|n| retransmits(4, n)).to_vec();
        assert_eq!(all, [4, 4, 8, 8, 12, 12, 16]);
    }

    #[test]
    fn the_least_sent_update_goes_first() {
        let mut updates = Updates::default();
        (1..=3).for_each(|n| updates.enqueue(update(n)));
        let ids = |updates: Vec<Update>| updates.iter().map(|u| u.member.0[0]).collect::<Vec<_>>();
        assert_eq!(ids(updates.take(2, 9, None)), [3, 2], "the newest first");
        assert_eq!(ids(updates.take(2, 9, None)), [1, 3]);
        updates.enqueue(update(4));
        assert_eq!(ids(updates.take(1, 9, None)), [4]);
        assert_eq!(ids(updates.take(9, 9, Some(NodeId([1; 32])))), [4, 2, 3]);
    }

    proptest! {
        #[test]
        fn no_update_is_sent_more_often_than_its_limit(
            steps in prop::collection::vec((0u8..6, 0usize..8), 1..300), limit in 1u32..20,
        ) {
            let mut updates = Updates::default();
            let mut sent: OrderedMap<u8, u32> = OrderedMap::new();
            for (n, count) in steps {
                if count == 7 {
                    updates.enqueue(update(n));
                    sent.insert(n, 0);
                }
                let taken = updates.take(count.min(6), limit, None);
                prop_assert!(taken.len() <= count.min(6) && updates.len() <= 6);
                for update in taken {
                    let times = sent.get_mut(&update.member.0[0]).unwrap();
                    *times += 1;
                    prop_assert!(*times <= limit);
                }
            }
        }
    }
}
