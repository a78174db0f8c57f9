//! What a panic does to an object.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::DonpError;

/// Lets nothing more be done with an object whose code panicked: its state may be half changed.
#[derive(Default)]
pub(crate) struct Guard(AtomicBool);

impl Guard {
    /// Runs `f`, unless the object is dead; a panic in it makes it so.
    pub(crate) fn run<T>(&self, f: impl FnOnce() -> Result<T, DonpError>) -> Result<T, DonpError> {
        if self.is_dead() {
            return Err(DonpError::dead());
        }
        catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| {
            self.0.store(true, Ordering::SeqCst);
            Err(DonpError::dead())
        })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
