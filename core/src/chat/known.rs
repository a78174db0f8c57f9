//! Taken entries, as far as verdicts and heights depend on them.

use serde::{Deserialize, Serialize};

use crate::chat::clock::Counts;
use crate::id::MessageId;
use crate::wire::entry::LifeId;

/// A taken entry, as far as the verdict on another depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) log: LifeId,
    pub(crate) seq: u64,
    pub(crate) clock: Option<Counts>,
}

/// The last entry of a life, or of a branch of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Tip {
    pub(crate) seq: u64,
    pub(crate) id: MessageId,
}
