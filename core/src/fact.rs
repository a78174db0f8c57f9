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

/// What this node holds of a member of its zone (SWIM; docs/spec/messages.md, "Swim").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MemberState {
    /// It takes part.
    Alive,
    /// Somebody had no answer from it. It has some time to speak up.
    Suspect,
    /// It did not speak up.
    Down,
    /// It said goodbye, or keeps no zone.
    Left,
    /// It sleeps, and said so: it is not asked and not missed.
    Away,
}

impl MemberState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Alive, Self::Suspect, Self::Down, Self::Left, Self::Away];

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
            Self::Away => "away",
        }
    }
}
