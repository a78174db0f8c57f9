//! What register machines of own devices say to each other in their session (docs/spec/messages.md, "Register").

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::wire::registers::Stamped;

/// Registers of one message: 64, of at most 300 bytes each. Most changes are one.
pub(crate) const PAGE: usize = 64;
/// The longest message: a page.
pub(crate) const MAX_BYTES: usize = 20 << 10;
/// Parts of the map that are compared: of a person's few hundred registers a few are in each.
pub(crate) const BUCKETS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The digest of all registers of the sender.
    Have { root: [u8; 16] },
    /// Digests of the parts of the sender's map: [`BUCKETS`] of them. With `ask` it wants those of the receiver too. The
    /// answer has what the receiver has in each part that differs.
    Buckets { ask: bool, sums: Vec<u64> },
    /// Registers: at most [`PAGE`].
    Page(Vec<Stamped>),
}
