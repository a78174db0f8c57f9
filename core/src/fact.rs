//! Facts that more than one machine speaks of; nobody's own.

use serde::{Deserialize, Serialize};

/// Why a link went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DownReason {
    /// Nothing was heard for too long.
    Timeout,
    /// The other side said goodbye.
    Closed,
    /// The other side started anew.
    Restarted,
    /// Nobody here needs it any more.
    Unwanted,
    /// There are too many links.
    Full,
}

impl DownReason {
    /// In words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Timeout => "nothing was heard from it",
            Self::Closed => "it said goodbye",
            Self::Restarted => "it restarted",
            Self::Unwanted => "nobody here needs it",
            Self::Full => "there are too many links",
        }
    }
}
