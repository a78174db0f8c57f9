//! What nodes say to each other of files (docs/spec/messages.md, "Files").

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::file::parts::Held;
use crate::file::sealed::most_bytes;
use crate::id::{FileId, ID_LEN};
use crate::wire::{MAX_MESSAGE, Malformed, decode, encode};

/// Parts that one question may ask for: as many as may be under way.
pub(super) const MAX_ASKED: usize = 16;

/// First byte of a part; the others are numbers of [`Message`].
const PART: u8 = 4;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Which parts of a file are there?
    Ask { file: FileId },
    /// These.
    Has { file: FileId, parts: Held },
    /// Send these: 1 to [`MAX_ASKED`].
    Get { file: FileId, parts: Vec<u32> },
    /// This one is not there, or may not be had.
    Lacks { file: FileId, part: u32 },
    /// A part behind its proof. Not in postcard, so that its bytes are not copied.
    #[serde(skip)]
    Part { file: FileId, part: u32, bytes: Vec<u8> },
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Part { file, part, bytes } => [&[PART], file.0.as_slice(), &part.to_le_bytes(), bytes].concat(),
            Self::Ask { .. } | Self::Has { .. } | Self::Get { .. } | Self::Lacks { .. } => encode(self),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if let Some((&PART, rest)) = bytes.split_first() {
            let (file, rest) = rest.split_first_chunk::<ID_LEN>().ok_or(Malformed)?;
            let (part, bytes) = rest.split_first_chunk().ok_or(Malformed)?;
            if bytes.len() > most_bytes() {
                return Err(Malformed);
            }
            return Ok(Self::Part { file: FileId(*file), part: u32::from_le_bytes(*part), bytes: bytes.to_vec() });
        }
        match decode(bytes, MAX_MESSAGE)? {
            Self::Get { parts, .. } if !(1..=MAX_ASKED).contains(&parts.len()) => Err(Malformed),
            message @ (Self::Ask { .. }
            | Self::Has { .. }
            | Self::Get { .. }
            | Self::Lacks { .. }
            | Self::Part { .. }) => Ok(message),
        }
    }
}

/// The examples of docs/spec/messages.md.
#[cfg(test)]
pub(crate) fn examples() -> [(&'static str, Vec<u8>); 6] {
    let file = FileId([0xdd; 32]);
    let bits = crate::wire::Blob(alloc::vec![5, 1]);
    [
        ("file question", Message::Ask { file }),
        ("file held whole", Message::Has { file, parts: Held::All }),
        ("file held in part", Message::Has { file, parts: Held::Some(bits) }),
        ("file parts wanted", Message::Get { file, parts: alloc::vec![0, 300] }),
        ("file part lacking", Message::Lacks { file, part: 300 }),
        ("file part", Message::Part { file, part: 300, bytes: alloc::vec![0xee; 4] }),
    ]
    .map(|(name, message)| (name, message.encode()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Blob;

    #[test]
    fn messages_come_back_as_they_were() {
        let file = FileId([9; 32]);
        for message in [
            Message::Ask { file },
            Message::Has { file, parts: Held::Nothing },
            Message::Has { file, parts: Held::All },
            Message::Has { file, parts: Held::Some(Blob(alloc::vec![5, 1])) },
            Message::Get { file, parts: alloc::vec![0, 70_000] },
            Message::Lacks { file, part: 3 },
            Message::Part { file, part: 3, bytes: alloc::vec![1; 100] },
            Message::Part { file, part: 3, bytes: alloc::vec![1; most_bytes()] },
        ] {
            let bytes = message.encode();
            assert!(bytes.len() <= MAX_MESSAGE, "one message of a link carries it");
            assert_eq!(Message::decode(&bytes), Ok(message));
        }
        assert!(Message::decode(&Message::Get { file, parts: Vec::new() }.encode()).is_err());
        assert!(Message::decode(&Message::Get { file, parts: alloc::vec![1; MAX_ASKED + 1] }.encode()).is_err());
        let long = Message::Part { file, part: 3, bytes: alloc::vec![1; most_bytes() + 1] };
        assert!(Message::decode(&long.encode()).is_err());
        assert!(Message::decode(&[PART, 1, 2]).is_err());
    }
}
