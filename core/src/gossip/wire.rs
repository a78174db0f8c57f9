//! What gossip machines say to each other (docs/spec/messages.md, "Gossip").

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::ShortId;
use crate::wire::{Blob, MAX_MESSAGE, Malformed, decode, encode};

/// Ids in one announcement: 64 of 16 bytes (docs/design/broadcast.md §2) fill one datagram.
pub(crate) const MAX_HAVE: usize = 64;

/// Nodes named in one instruction (docs/design/broadcast.md §3).
pub(crate) const MAX_TARGETS: usize = 64;

/// That a broadcast is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Have {
    pub id: ShortId,
    /// Hops that the broadcast will have taken when it comes this way; the paper's round.
    pub hops: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The paper's GOSSIP. The hops count the one it arrives by. They change on the way, so only the link
    /// protects them; the body carries its author's signature.
    Payload { hops: u8, body: Blob },
    /// IHAVE.
    Have(Vec<Have>),
    /// GRAFT: send me broadcasts whole from now on, and this one now.
    Graft { id: Option<ShortId> },
    /// PRUNE: send me only the ids.
    Prune,
    /// IDONTWANT of gossipsub 1.2: this one is here already.
    Refuse { id: ShortId },
    /// The DONP document's ForwardingInstruction: pass it on to these, and to nobody else.
    Forward { hops: u8, targets: Vec<ShortId>, body: Blob },
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let message = decode(bytes, MAX_MESSAGE)?;
        let fits = match &message {
            Self::Payload { body, .. } => !body.0.is_empty(),
            Self::Forward { body, targets, .. } => !body.0.is_empty() && targets.len() <= MAX_TARGETS,
            Self::Have(list) => !list.is_empty() && list.len() <= MAX_HAVE,
            Self::Graft { .. } | Self::Prune | Self::Refuse { .. } => true,
        };
        if fits { Ok(message) } else { Err(Malformed) }
    }
}
