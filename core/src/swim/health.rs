//! Local health (Lifeguard §III.A): how well a node does itself. One that does badly waits longer, and its own
//! conclusions count for nothing.

use crate::config::SwimConfig;
use crate::time::Duration;

pub(super) struct Health {
    /// Lifeguard's local health multiplier: 0 is well.
    value: u8,
    max: u8,
    /// From this on the node is unwell; none if that has no consequence.
    unwell_at: Option<u8>,
}

impl Health {
    pub(super) fn new(config: &SwimConfig) -> Self {
        let unwell_at = (config.freeze && config.health_max > 0).then_some(config.freeze_health);
        Self { value: 0, max: config.health_max, unwell_at }
    }

    pub(super) fn value(&self) -> u8 {
        self.value
    }

    /// A probe went well or not.
    pub(super) fn adjust(&mut self, worse: usize, better: usize) {
        let most = usize::from(self.max);
        let moved = usize::from(self.value).saturating_add(worse).saturating_sub(better).min(most);
        self.value = u8::try_from(moved).unwrap_or(u8::MAX);
    }

    pub(super) fn reset(&mut self) {
        self.value = 0;
    }

    /// So unwell that its own conclusions count for nothing.
    pub(super) fn is_unwell(&self) -> bool {
        self.unwell_at.is_some_and(|at| self.value >= at)
    }

    /// A wait, longer the worse the node does.
    pub(super) fn scale(&self, d: Duration) -> Duration {
        d.saturating_mul(u32::from(self.value).saturating_add(1))
    }
}
