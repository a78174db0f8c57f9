//! The deadlines of the failure detector: one queue, so that those of one instant have one order.

use crate::collections::DeadlineQueue;
use crate::id::NodeId;

pub(super) type Timers = DeadlineQueue<Timer>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next period begins.
    Period,
    /// Rosters are exchanged with a random member.
    Sync,
    /// The direct answer is overdue.
    Direct(u32),
    /// Every answer is overdue.
    End(u32),
    /// A probe for another member has no answer.
    Relay(u32),
    /// A suspicion expires.
    Suspicion(NodeId),
    /// Members that are gone for long are forgotten.
    Forget,
}
