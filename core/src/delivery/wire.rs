//! The messages of delivery machines: one byte of kind, 16 bytes of id, then the body
//! (docs/spec/messages.md, "Delivery").

use alloc::vec::Vec;

use crate::collections::ShortId;
use crate::wire::Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Store this and acknowledge it.
    Carry { id: ShortId, body: &'a [u8] },
    /// It is stored.
    Ack { id: ShortId },
    /// It breaks a rule and will never be stored.
    Refuse { id: ShortId },
}

/// Bytes before the body of a `Carry`.
pub(super) const CARRY_HEADER: usize = 17;

impl<'a> Message<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, id, body): (u8, &ShortId, &[u8]) = match self {
            Self::Carry { id, body } => (1, id, body),
            Self::Ack { id } => (2, id, &[]),
            Self::Refuse { id } => (3, id, &[]),
        };
        let mut out = Vec::with_capacity(body.len().saturating_add(CARRY_HEADER));
        out.push(kind);
        out.extend_from_slice(id);
        out.extend_from_slice(body);
        out
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (&kind, rest) = bytes.split_first().ok_or(Malformed)?;
        let (&id, body) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
        match (kind, body) {
            (1, _) => Ok(Self::Carry { id, body }),
            (2, []) => Ok(Self::Ack { id }),
            (3, []) => Ok(Self::Refuse { id }),
            _ => Err(Malformed),
        }
    }
}
