//! The messages with which chat machines catch up.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::chat::known::Tip;
use crate::chat::ranges::Part;
use crate::id::{ConversationId, MessageId};
use crate::wire::Blob;
use crate::wire::entry::{LifeId, Parent, Reference};

/// Entries that one `Want` or `Need` names: 256.
pub(super) const MAX_WANTED: usize = 256;

/// What a node has of a conversation, as it says with each [`Sync::Digest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// It began here: what lies below this depth it knows nothing of.
    pub joined: u64,
    /// Below this depth it has no complete past.
    pub base: u64,
    /// Below this depth it has no bodies.
    pub floor: u64,
    /// The depth at which it would begin if it were new: the newest page lies above.
    pub page: u64,
    /// The depth of its deepest entry.
    pub newest: u64,
}

/// Messages between chat machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sync {
    /// A hash of the sender's heights from depth `from` on; none if there are too many. A receiver with equal heights
    /// sends nothing.
    Digest { conversation: ConversationId, holding: Holding, from: u64, hash: Option<[u8; 16]> },
    /// How far each life goes at the sender, from depth `from` on: please send what is beyond, and with `answer` say
    /// how far the lives go there if something here is missing there.
    Pull { conversation: ConversationId, from: u64, heights: Vec<Height>, answer: bool },
    /// Please send the runs with these entries: other entries name them.
    Want { conversation: ConversationId, parents: Vec<Parent> },
    /// Runs, past before future.
    Runs { conversation: ConversationId, runs: Vec<Blob>, end: End },
    /// What the sender has from depth `from` up to but not including depth `to`; answered by `Compared`. Sums are
    /// keyed with `salt`.
    Compare { conversation: ConversationId, salt: [u8; 16], from: u64, to: u64, parts: Vec<Part> },
    /// The answer: what is still open, nothing if all is settled. `to` may be less than requested.
    Compared { conversation: ConversationId, from: u64, to: u64, parts: Vec<Part> },
    /// Please send the runs with these entries, which a comparison found missing.
    Fetch { conversation: ConversationId, items: Vec<MessageId> },
    /// Do you hold these? They lie below the sender's base. Answered by `Held`.
    Holds { conversation: ConversationId, question: u32, references: Vec<Reference> },
    /// A byte for each reference of a `Holds`: 1 if it is held.
    Held { conversation: ConversationId, question: u32, held: Blob },
    /// Please send the runs just before this place: a person scrolls to a page below the base.
    Older { conversation: ConversationId, before: MessageId },
    /// How far the receiver's log goes at the sender, and up to where the sender's user has read, if it shares that.
    Receipt { conversation: ConversationId, height: Option<Height>, read: Option<MessageId> },
    /// The sender's user types.
    Typing { conversation: ConversationId },
}

impl Sync {
    /// The conversation that it is about.
    pub(super) fn conversation(&self) -> ConversationId {
        match self {
            Self::Digest { conversation, .. }
            | Self::Pull { conversation, .. }
            | Self::Want { conversation, .. }
            | Self::Holds { conversation, .. }
            | Self::Held { conversation, .. }
            | Self::Older { conversation, .. }
            | Self::Receipt { conversation, .. }
            | Self::Typing { conversation }
            | Self::Runs { conversation, .. }
            | Self::Compare { conversation, .. }
            | Self::Compared { conversation, .. }
            | Self::Fetch { conversation, .. } => *conversation,
        }
    }
}

/// What the last bundle of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// More follows.
    Open,
    /// The answer to a `Pull`; `more` if it was cut at its limit.
    Pulled { more: bool },
    /// The answer to a `Want`.
    Wanted,
    /// The answer to a `Fetch`.
    Fetched,
    /// The answer to an `Older`.
    Older,
}

/// How far one life goes: an entry of the version vector. A forked life has one for each branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Height {
    pub log: LifeId,
    pub seq: u64,
    /// Of the last entry.
    pub depth: u64,
    /// The beginning of its hash.
    pub tip: [u8; 8],
}

impl Height {
    pub(super) fn new(log: LifeId, tip: Tip) -> Self {
        let (start, _) = tip.id.hash.split_first_chunk::<8>().map_or(([0; 8], ()), |(t, _)| (*t, ()));
        Self { log, seq: tip.seq, depth: tip.id.depth, tip: start }
    }

    pub(super) fn is(&self, tip: &Tip) -> bool {
        *self == Self::new(self.log, *tip)
    }
}
