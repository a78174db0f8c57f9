//! Bugs that real systems had, planted one at a time to test the tests.
//!
//! They exist in builds with `--cfg donp_planted` only, which donp-runtime and donp-ffi refuse; without it
//! `planted` is a constant and every branch that checks it is gone. `cargo xtask planted` runs the
//! simulator with each (docs/simulator.md has the list).

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[cfg_attr(not(donp_planted), expect(dead_code, reason = "only a build with planted bugs makes them"))]
#[allow(missing_docs, reason = "each is described by `what`")]
pub enum Bug {
    AckBeforeCommit = 1,
    NumberUsedAgain,
    ToldBeforeParents,
    ToldAgainAfterRestart,
    OrderByArrival,
    LostWakeUp,
    OneWayCatchUp,
    FetchOffByOne,
    PruneWithoutLazyPush,
    GraftTimerNotArmed,
    OneSidedNeighbour,
    NotSentAgain,
    OutboxForgotten,
    AcknowledgedTooMuch,
    LateDeadline,
    ForkTakenForLoss,
    LifeGoesOn,
    ForgottenStaysForgotten,
    VerdictOnAnOldDisk,
    SignatureUnchecked,
}

/// Whether this bug is planted.
#[cfg(not(donp_planted))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// A machine's deadline as the engine reports it: three seconds late if [`Bug::LateDeadline`] is planted in that
/// machine.
#[cfg(not(donp_planted))]
pub(crate) const fn reported(at: Option<crate::time::Instant>, _machine: &str) -> Option<crate::time::Instant> {
    at
}

#[cfg(donp_planted)]
pub(crate) use with::reported;
#[cfg(donp_planted)]
pub use with::{plant, plant_late, planted};

#[cfg(donp_planted)]
mod with {
    use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    use super::Bug;
    use crate::time::{Duration, Instant};

    /// How late a deadline is reported: more than a user would wait, less than the time after which a link is given up.
    pub(crate) const LATE: Duration = Duration::from_secs(3);

    static CHOSEN: AtomicU8 = AtomicU8::new(0);
    /// The machine with [`Bug::LateDeadline`], as [`tag`] writes it; every machine if zero.
    static LATE_MACHINE: AtomicU64 = AtomicU64::new(0);

    /// The first eight letters of a machine's name, which are unique.
    fn tag(machine: &str) -> u64 {
        machine.bytes().take(8).fold(0, |tag, letter| (tag << 8) | u64::from(letter))
    }

    /// Plants [`Bug::LateDeadline`] in the machine of this name ([`Machine::NAME`](crate::machine::Machine::NAME)).
    pub fn plant_late(machine: &str) {
        LATE_MACHINE.store(tag(machine), Ordering::Relaxed);
        plant(Bug::LateDeadline);
    }

    pub(crate) fn reported(at: Option<Instant>, machine: &str) -> Option<Instant> {
        let late = planted(Bug::LateDeadline) && [0, tag(machine)].contains(&LATE_MACHINE.load(Ordering::Relaxed));
        if late { at.map(|at| at + LATE) } else { at }
    }

    /// Plants one bug in all engines of this process from now on.
    pub fn plant(bug: Bug) {
        CHOSEN.store(bug as u8, Ordering::Relaxed);
    }

    /// Whether this bug is planted.
    pub fn planted(bug: Bug) -> bool {
        CHOSEN.load(Ordering::Relaxed) == bug as u8
    }

    impl Bug {
        /// Every bug, with its name and what it does.
        pub const ALL: [(Self, &'static str, &'static str); 20] = [
            (Self::AckBeforeCommit, "ack-before-commit", "a private message is acknowledged before it is on the disk"),
            (
                Self::NumberUsedAgain,
                "number-used-again",
                "a broadcast leaves before it is on the disk, so its number is used again after a power failure",
            ),
            (Self::ToldBeforeParents, "told-before-parents", "a message is taken before what its author had seen"),
            (
                Self::ToldAgainAfterRestart,
                "told-again-after-restart",
                "what was taken of an author is not stored with the message",
            ),
            (Self::OrderByArrival, "order-by-arrival", "messages are shown in the order in which they came"),
            (
                Self::LostWakeUp,
                "lost-wake-up",
                "a message that waits for its parent is not looked at when the parent comes",
            ),
            (Self::OneWayCatchUp, "one-way-catch-up", "nodes of which each has something the other lacks do nothing"),
            (
                Self::FetchOffByOne,
                "fetch-off-by-one",
                "the last entry of an answer to a node that catches up is left out",
            ),
            (
                Self::PruneWithoutLazyPush,
                "prune-without-lazy-push",
                "a neighbour that wants no broadcasts whole is sent no ids either",
            ),
            (
                Self::GraftTimerNotArmed,
                "graft-timer-not-armed",
                "an announced broadcast that does not come is not asked for",
            ),
            (Self::OneSidedNeighbour, "one-sided-neighbour", "the goodbye of a neighbour is ignored"),
            (
                Self::NotSentAgain,
                "not-sent-again",
                "a private message that was under way when the link broke is not sent again",
            ),
            (Self::OutboxForgotten, "outbox-forgotten", "private messages that wait are not read back after a restart"),
            (Self::AcknowledgedTooMuch, "acknowledged-too-much", "acknowledging an event forgets the next one too"),
            (
                Self::LateDeadline,
                "late-deadline",
                "the engine reports a machine's deadline three seconds late (each machine in turn)",
            ),
            (
                Self::ForkTakenForLoss,
                "fork-taken-for-loss",
                "what an author says beside its own words is taken for what the disk lost, and never reported",
            ),
            (Self::LifeGoesOn, "life-goes-on", "a restored profile that meets its later words goes on in the same log"),
            (
                Self::ForgottenStaysForgotten,
                "forgotten-stays-forgotten",
                "a conversation that only the other side knows is not fetched",
            ),
            (
                Self::VerdictOnAnOldDisk,
                "verdict-on-an-old-disk",
                "a verdict reads the disk before what was taken is written there",
            ),
            (Self::SignatureUnchecked, "signature-unchecked", "the signature of a broadcast is not checked"),
        ];
    }
}
