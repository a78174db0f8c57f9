//! News on their way through the zone (SWIM §4.1): each rides on pings and answers so many times, what was
//! told least first.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::NodeId;

use super::wire::Update;

struct Rumour {
    update: Update,
    sent: u32,
    /// Newer first among those sent equally often.
    number: u64,
}

/// One for each member at most: what is newer replaces what was said before.
#[derive(Default)]
pub(super) struct Rumours {
    by_member: BTreeMap<NodeId, Rumour>,
    numbers: u64,
}

/// Times that each member passes a rumour on: `factor * ceil(log10(n + 1))` (memberlist's rule).
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

impl Rumours {
    pub(super) fn tell(&mut self, update: Update) {
        self.numbers = self.numbers.saturating_add(1);
        let member = update.member;
        self.by_member.insert(member, Rumour { update, sent: 0, number: self.numbers });
    }

    /// Up to `count` to send to one member, and forgets what was sent `limit` times with this. `but` is told
    /// otherwise.
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
            let Some(rumour) = self.by_member.get_mut(&id) else { continue };
            rumour.sent = rumour.sent.saturating_add(1);
            out.push(rumour.update.clone());
            if rumour.sent >= limit {
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

    fn news(n: u8) -> Update {
        Update { member: NodeId([n; 32]), incarnation: u32::from(n), claim: Claim::Left }
    }

    #[test]
    fn the_limit_is_memberlists() {
        let all: Vec<u32> = [1, 9, 10, 99, 100, 999, 1_000].map(|n| retransmits(4, n)).to_vec();
        assert_eq!(all, [4, 4, 8, 8, 12, 12, 16]);
    }

    #[test]
    fn what_was_told_least_goes_first() {
        let mut rumours = Rumours::default();
        (1..=3).for_each(|n| rumours.tell(news(n)));
        let ids = |updates: Vec<Update>| updates.iter().map(|u| u.member.0[0]).collect::<Vec<_>>();
        assert_eq!(ids(rumours.take(2, 9, None)), [3, 2], "the newest first");
        assert_eq!(ids(rumours.take(2, 9, None)), [1, 3]);
        rumours.tell(news(4));
        assert_eq!(ids(rumours.take(1, 9, None)), [4]);
        assert_eq!(ids(rumours.take(9, 9, Some(NodeId([1; 32])))), [4, 2, 3]);
    }

    proptest! {
        #[test]
        fn nothing_is_sent_more_often_than_its_limit(
            steps in prop::collection::vec((0u8..6, 0usize..8), 1..300), limit in 1u32..20,
        ) {
            let mut rumours = Rumours::default();
            let mut sent: BTreeMap<u8, u32> = BTreeMap::new();
            for (n, count) in steps {
                if count == 7 {
                    rumours.tell(news(n));
                    sent.insert(n, 0);
                }
                let taken = rumours.take(count.min(6), limit, None);
                prop_assert!(taken.len() <= count.min(6) && rumours.len() <= 6);
                for update in taken {
                    let times = sent.get_mut(&update.member.0[0]).unwrap();
                    *times += 1;
                    prop_assert!(*times <= limit);
                }
            }
        }
    }
}
