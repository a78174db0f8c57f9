//! The messages of delivery machines: one byte of kind, 16 bytes of id, then the body; an acknowledgement may name
//! several (docs/spec/messages.md, "Delivery").

use alloc::vec::Vec;

use crate::collections::ShortId;
use crate::wire::Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Store this and acknowledge it.
    Carry { id: ShortId, body: &'a [u8] },
    /// These are stored: 1 to [`MAX_ACKS`].
    Ack { ids: &'a [ShortId] },
    /// It breaks a rule and will never be stored.
    Refuse { id: ShortId },
}

/// Ids of one acknowledgement: 1,025 bytes, which one packet carries whole.
pub(crate) const MAX_ACKS: usize = 64;

/// Bytes before the body of a `Carry`.
pub(super) const CARRY_HEADER: usize = 17;

impl<'a> Message<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, id, body): (u8, &ShortId, &[u8]) = match self {
            Self::Carry { id, body } => (1, id, body),
            Self::Ack { ids } => {
                let mut out = Vec::with_capacity(ids.as_flattened().len().saturating_add(1));
                out.push(2);
                out.extend_from_slice(ids.as_flattened());
                return out;
            }
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
        if kind == 2 {
            let (ids, rest) = rest.as_chunks::<16>();
            let whole = rest.is_empty() && (1..=MAX_ACKS).contains(&ids.len());
            return if whole { Ok(Self::Ack { ids }) } else { Err(Malformed) };
        }
        let (&id, body) = rest.split_first_chunk::<16>().ok_or(Malformed)?;
        match (kind, body) {
            (1, _) => Ok(Self::Carry { id, body }),
            (3, []) => Ok(Self::Refuse { id }),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn an_acknowledgement_names_one_to_64_messages() {
        for count in [1, 2, MAX_ACKS] {
            let ids = vec![[7; 16]; count];
            let bytes = Message::Ack { ids: &ids }.encode();
            assert_eq!(Message::decode(&bytes), Ok(Message::Ack { ids: &ids }));
            assert_eq!(Message::decode(bytes.get(..bytes.len() - 1).unwrap()), Err(Malformed), "a part of an id");
        }
        assert_eq!(Message::decode(&[2]), Err(Malformed), "none");
        assert_eq!(Message::decode(&Message::Ack { ids: &[[7; 16]; MAX_ACKS + 1] }.encode()), Err(Malformed));
    }
}
