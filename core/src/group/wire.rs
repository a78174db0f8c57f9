//! What members say to each other about a group (docs/spec/messages.md, "Groups"). All of it goes through the session of
//! the two.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::group::clock::Clock;
use crate::group::op::{Acceptance, Invitation};
use crate::id::{GroupId, OpId};
use crate::wire::Blob;

/// Bytes of operations in one message: 48 KiB leaves room for the largest one more.
pub(super) const BUNDLE_BYTES: usize = 48 << 10;

#[allow(clippy::large_enum_variant, reason = "one is there at a time")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// `GroupStateRequest` of the DONP document: how far each author's operations go at the sender, and the hash of
    /// all it has. With `answer` the receiver says the same of itself if it lacks something. `key` is the epoch in which
    /// the sender seals: it holds its secret.
    State { group: GroupId, hash: [u8; 32], clock: Clock, answer: bool, key: Option<OpId> },
    /// `GroupStateUpdate`: operations, past before future.
    Ops { group: GroupId, ops: Vec<Blob> },
    /// `GroupJoinRequest`: the sender would like to be a member.
    Join { group: GroupId, acceptance: Acceptance, invitation: Option<Invitation>, name: String },
    /// The answer to `Join` of a node that will not add the sender.
    Refuse { group: GroupId, reason: Refusal },
    /// The request waits for a member who may invite.
    Wait { group: GroupId },
    /// The secret of an epoch: kind, group, operation and 32 bytes (docs/design/groups-keys.md §4.6).
    Secret(Blob),
    /// `EpochRequest`: please send the secret of this epoch.
    Ask { group: GroupId, epoch: OpId },
}

/// Why a node is not added to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// The invitation is used up, expired, for another node, or not by a member who may invite.
    Invitation,
    /// The node is banned from the group.
    Banned,
    /// The asked node is not a member, or may not add members.
    Asked,
    /// A member that may invite declined.
    Declined,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Invitation, Self::Banned, Self::Asked, Self::Declined];

    /// A stable name, one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Banned => "banned",
            Self::Asked => "asked",
            Self::Declined => "declined",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Refusal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|reason| reason.name() == text);
        found.ok_or_else(|| alloc::format!("'{text}' is not one of invitation, banned, asked, declined"))
    }
}
