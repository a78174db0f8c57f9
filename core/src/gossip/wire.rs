//! The messages of gossip machines (docs/spec/messages.md, "Gossip"). The names are those of the paper and of
//! gossipsub.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::ShortId;
use crate::wire::{Blob, MAX_MESSAGE, Malformed, decode, encode};

/// Ids in one IHAVE: 64 of 16 bytes (docs/design/broadcast.md §2) fill one datagram.
pub(crate) const MAX_IHAVE: usize = 64;

/// Nodes named in one instruction (docs/design/broadcast.md §3).
pub(crate) const MAX_TARGETS: usize = 64;

/// The sender can give this broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IHave {
    pub id: ShortId,
    /// Hops that the broadcast will have taken when it comes this way.
    pub round: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// A whole broadcast. The round counts the hop it arrives by. It changes on the way, so only the link
    /// protects it; the body carries its author's signature.
    Gossip { round: u8, body: Blob },
    /// The ids of broadcasts that the sender can give.
    IHave(Vec<IHave>),
    /// Send me broadcasts whole from now on, and this one now.
    Graft { id: Option<ShortId> },
    /// Send me only the ids.
    Prune,
    /// gossipsub 1.2: I have this broadcast, do not send it.
    IDontWant { id: ShortId },
    /// The DONP document's ForwardingInstruction: pass it on to these members, and to no other member.
    Forward { round: u8, targets: Vec<ShortId>, body: Blob },
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let message = decode(bytes, MAX_MESSAGE)?;
        let fits = match &message {
            Self::Gossip { body, .. } => !body.0.is_empty(),
            Self::Forward { body, targets, .. } => !body.0.is_empty() && targets.len() <= MAX_TARGETS,
            Self::IHave(list) => !list.is_empty() && list.len() <= MAX_IHAVE,
            Self::Graft { .. } | Self::Prune | Self::IDontWant { .. } => true,
        };
        if fits { Ok(message) } else { Err(Malformed) }
    }
}
