//! How long a suspect has to refute a suspicion (Lifeguard §III.B, "LHA-Suspicion"): long while one member alone
//! suspects it, shorter with each other that does so independently.

use crate::collections::OrderedSet;
use crate::config::SwimConfig;
use crate::id::NodeId;
use crate::time::{Duration, Instant, micros};

/// 1.0 in the fixed point of [`log2`].
const ONE: u64 = 1 << 10;
/// log10(2) in that fixed point: 0.30103.
const LOG10_2: u64 = 308;

/// The binary logarithm in units of 1/1024, bit by bit: there are no floats here, so that every platform
/// comes to the same instant.
fn log2(n: u64) -> u64 {
    let n = n.max(1);
    let whole = n.ilog2();
    // The mantissa, 1 to 2, with 32 bits after the point.
    let mut x = n.checked_shl(63u32.saturating_sub(whole)).unwrap_or(n) >> 31;
    let mut out = u64::from(whole);
    for _ in 0..10 {
        x = (u128::from(x).wrapping_mul(u128::from(x)) >> 32) as u64;
        let two = x >> 33 != 0;
        x >>= u32::from(two);
        out = (out << 1) | u64::from(two);
    }
    out
}

/// How long a suspicion lasts in a zone of `n` with `confirmed` of the `wanted` independent confirmations:
/// `max(Min, Max - (Max - Min) * ln(C + 1) / ln(K + 1))`, Min = alpha * max(1, log10 n) periods, Max = beta * Min.
fn timeout(config: &SwimConfig, n: usize, confirmed: usize, wanted: usize) -> Duration {
    let log10 = (log2(n as u64).saturating_mul(LOG10_2) / ONE).max(ONE);
    let least = micros(config.period).saturating_mul(u64::from(config.alpha)).saturating_mul(log10) / ONE;
    let most = least.saturating_mul(u64::from(config.beta.max(1)));
    let all = log2((wanted as u64).saturating_add(1));
    let Some(share) = log2((confirmed as u64).saturating_add(1)).saturating_mul(ONE).checked_div(all) else {
        // No other member could confirm it.
        return Duration::from_micros(least);
    };
    let less = most.saturating_sub(least).saturating_mul(share.min(ONE)) / ONE;
    Duration::from_micros(most.saturating_sub(less).max(least))
}

/// Why a member is suspected, and since when.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    pub since: Instant,
    /// The members that suspect it: the first, and up to K that confirmed it.
    by: OrderedSet<NodeId>,
    wanted: usize,
    /// It does not expire until the member was probed again.
    pub frozen: bool,
    /// Helpers probed it in vain when this node did: that it is unwell itself is not the cause.
    pub backed: bool,
}

impl Suspicion {
    /// `n` members, this node and the suspect included.
    pub(super) fn new(config: &SwimConfig, n: usize, by: NodeId, now: Instant, frozen: bool) -> Self {
        // As in memberlist: beyond the suspect and the first to suspect it.
        let wanted = config.confirmations.min(n.saturating_sub(2));
        Self { since: now, by: OrderedSet::from([by]), wanted, frozen, backed: false }
    }

    /// Another member suspects it; whether that confirms the suspicion.
    pub(super) fn confirm(&mut self, by: NodeId) -> bool {
        self.by.len() <= self.wanted && self.by.insert(by)
    }

    /// This node suspects it too, by its own probe, however many did before; false if it did already.
    pub(super) fn add_own(&mut self, me: NodeId) -> bool {
        self.by.insert(me)
    }

    pub(super) fn ends(&self, config: &SwimConfig, n: usize) -> Instant {
        self.since + timeout(config, n, self.by.len().saturating_sub(1).min(self.wanted), self.wanted)
    }

    /// These suspect it too.
    pub(super) fn confirm_all(&mut self, all: OrderedSet<NodeId>) {
        all.into_iter().for_each(|by| {
            self.confirm(by);
        });
    }

    /// How many suspect it but this node.
    fn others(&self, me: NodeId) -> usize {
        self.by.iter().filter(|by| **by != me).count()
    }

    /// Whether it stands although this node may be unwell: so many others say the same, or its helpers did.
    pub(super) fn stands(&self, me: NodeId, others: usize) -> bool {
        self.backed || self.others(me) >= others
    }

    /// What others said is too old to count.
    pub(super) fn forget_others(&mut self, me: NodeId) {
        self.by.retain(|by| *by == me);
        self.backed = false;
    }

    /// Whether `member` suspects it.
    pub(super) fn is_of(&self, member: NodeId) -> bool {
        self.by.contains(&member)
    }

    /// Those that suspect it.
    pub(super) fn by(&self) -> impl Iterator<Item = NodeId> {
        self.by.iter().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use alloc::vec::Vec;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn logarithms_are_right_to_three_digits() {
        for (n, log) in [(1, 0), (2, 1_024), (3, 1_623), (10, 3_401), (1_000, 10_205), (1 << 40, 40 << 10)] {
            assert!(log2(n).abs_diff(log) <= 1, "{n}: {}", log2(n));
        }
    }

    /// The figures of docs/design/failures.md §3: 17 s with three confirmers and 104 s alone at 150 members.
    #[test]
    fn a_suspicion_lasts_as_long_as_the_formula_gives() {
        let swim = Config::default().swim;
        let seconds = |n, c, k| timeout(&swim, n, c, k).as_secs();
        assert_eq!((seconds(150, 3, 3), seconds(150, 0, 3)), (17, 104));
        assert_eq!((seconds(1_000, 3, 3), seconds(1_000, 0, 3)), (23, 143));
        assert_eq!((seconds(5, 3, 3), seconds(5, 0, 3)), (8, 48));
        assert_eq!(seconds(5, 1, 3), 28, "half of the way is ln 2 / ln 4");
        assert_eq!(seconds(2, 0, 0), 8, "a suspicion that no member can confirm lasts no longer");
    }

    proptest! {
        #[test]
        fn each_confirmation_shortens_it_between_its_bounds(n in 1usize..5_000, k in 1usize..10) {
            let swim = Config::default().swim;
            let all: Vec<Duration> = (0..=k).map(|c| timeout(&swim, n, c, k)).collect();
            prop_assert!(all.windows(2).all(|w| w[0] > w[1]), "{all:?}");
            let least = all[k];
            prop_assert!(all[0] == least * swim.beta && least >= swim.period * swim.alpha);
        }
    }
}
