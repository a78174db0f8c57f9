//! The bugs that `donp-sim run --planted` chooses from: those of the core, and one in the simulator's own check.
//!
//! This module is there in builds with `--cfg donp_planted` alone (docs/simulator.md).

use std::sync::atomic::{AtomicBool, Ordering};

use donp_core::planted as core;

/// Whether [`agree`](crate::laws::agree) says yes to everything.
static CHECKER_ALWAYS_AGREES: AtomicBool = AtomicBool::new(false);

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A bug of the protocol.
    Core(core::Bug),
    /// The check that all histories are one says yes to everything: what are the other laws worth?
    CheckerAlwaysAgrees,
}

impl Bug {
    /// Every bug, with its name and what it does.
    pub fn all() -> impl Iterator<Item = (Self, &'static str, &'static str)> {
        let checker = (
            Self::CheckerAlwaysAgrees,
            "checker-always-agrees",
            "the check that all histories are one says yes to everything",
        );
        core::Bug::ALL.into_iter().map(|(bug, name, what)| (Self::Core(bug), name, what)).chain([checker])
    }

    /// Plants this bug in everything that this process simulates from now on.
    pub fn plant(self) {
        match self {
            Self::Core(bug) => core::plant(bug),
            Self::CheckerAlwaysAgrees => CHECKER_ALWAYS_AGREES.store(true, Ordering::Relaxed),
        }
    }
}

pub(crate) fn checker_always_agrees() -> bool {
    CHECKER_ALWAYS_AGREES.load(Ordering::Relaxed)
}
