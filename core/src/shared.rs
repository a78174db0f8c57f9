//! What several owners share: `Arc`, and on a target without atomic compare-and-swap `Rc`. That one cannot have a second
//! thread to share with.

#[cfg(not(target_has_atomic = "ptr"))]
pub(crate) use alloc::rc::{Rc as Arc, Weak};
#[cfg(target_has_atomic = "ptr")]
pub(crate) use alloc::sync::{Arc, Weak};
