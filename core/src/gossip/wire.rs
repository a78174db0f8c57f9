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

/// Nodes that an instruction's scope names: its author too.
const MAX_SCOPE: usize = MAX_TARGETS + 1;

/// Silent members that one instruction names: a quarter of the most that a zone of instructions has.
pub(crate) const MAX_SILENT: usize = 16;

/// How instructions name a member: the first bytes of its id. Of 64 random ids two are alike once in two million
/// zones; then a name stands for both, and one of them gets a copy.
pub(crate) type Name = [u8; 4];

/// The members that an instruction is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    /// All that joined 30 s ago or earlier.
    All,
    /// These, the author among them.
    Only(Vec<Name>),
}

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
    /// The DONP document's ForwardingInstruction: pass it on to the `targets`. Other members are served by others if the
    /// scope has them; otherwise their neighbours offer it to them. Members named `silent` are no good to pass it on.
    Forward { round: u8, scope: Scope, silent: Vec<Name>, targets: Vec<Name>, body: Blob },
    /// The answer to an instruction with targets: the sender serves them, but for those that it `refused`.
    Answer { id: ShortId, refused: Vec<Name> },
    /// As IHAVE, of what no instruction brings to the receiver as far as the sender knows; `certain` if the sender
    /// knows the scope.
    Offer { certain: bool, list: Vec<IHave> },
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let message = decode(bytes, MAX_MESSAGE)?;
        let fits = match &message {
            Self::Gossip { body, .. } => !body.0.is_empty(),
            Self::Forward { body, scope, silent, targets, .. } => {
                let few = !matches!(scope, Scope::Only(names) if names.len() > MAX_SCOPE);
                !body.0.is_empty() && few && silent.len() <= MAX_SILENT && targets.len() <= MAX_TARGETS
            }
            Self::Answer { refused, .. } => refused.len() <= MAX_TARGETS,
            Self::IHave(list) | Self::Offer { list, .. } => !list.is_empty() && list.len() <= MAX_IHAVE,
            Self::Graft { .. } | Self::Prune | Self::IDontWant { .. } => true,
        };
        if fits { Ok(message) } else { Err(Malformed) }
    }
}
