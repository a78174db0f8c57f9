//! Ids: 32-byte hashes that print as 57 characters with a checksum. A message id is a depth and a hash, and its
//! printed form is longer by the bytes of the depth.
//!
//! The printed form is one letter for the kind, then 32 bytes and a 3-byte checksum in Crockford
//! base32 (lower case, no `i l o u`). A mistyped id is refused and a message id cannot pass for a
//! node id. Reading ignores case and takes `o` for `0`, `i` and `l` for `1`.

use core::fmt;
use core::str::FromStr;

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Bytes in every id.
pub const ID_LEN: usize = 32;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseIdError {
    /// The text does not start with the letter of the expected kind.
    Kind {
        /// The letter that was expected.
        expected: char,
    },
    /// The text has a wrong number of characters.
    Length {
        /// Characters found.
        found: usize,
        /// Characters expected.
        expected: usize,
    },
    /// A character is not of the alphabet.
    Character(char),
    /// The checksum does not match: the text was mistyped or cut.
    Checksum,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { expected } => write!(f, "it must start with '{expected}'"),
            Self::Length { found, expected } => write!(f, "it has {found} characters, not {expected}"),
            Self::Character(c) => write!(f, "'{c}' cannot be part of it"),
            Self::Checksum => f.write_str("its checksum is wrong: a character was mistyped or lost"),
        }
    }
}

impl core::error::Error for ParseIdError {}

macro_rules! id {
    ($name:ident, $letter:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; ID_LEN]);

        impl $name {
            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; ID_LEN] {
                &self.0
            }

            /// The first eight characters of the printed form in two groups, for people to
            /// recognise; not unique.
            pub fn short(&self) -> String {
                let text = base32::encode(&self.0);
                let mut out = String::new();
                out.extend(text.chars().take(4));
                out.push('-');
                out.extend(text.chars().skip(4).take(4));
                out
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&with_checksum($letter, &self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", $letter, self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bytes = checked($letter, text)?;
                let found = bytes.len();
                bytes.try_into().map(Self).map_err(|_| ParseIdError::Length { found, expected: ID_LEN })
            }
        }
    };
}

id!(NodeId, 'n', "A node: one device. The BLAKE3 hash of its Ed25519 public key.");
id!(AccountId, 'a', "A person: the BLAKE3 hash of an account's Ed25519 public key.");
id!(ConversationId, 'c', "A conversation: messages with one causal order.");
id!(GroupId, 'g', "A group: the id of the operation that created it.");
id!(FileId, 'f', "A file: the BLAKE3 hash of its sealed bytes.");
id!(OpId, 'o', "An operation of a group: the BLAKE3 hash of what its author signed.");

/// A message by its place and its content: the order of these ids is the display order of a conversation, a linear
/// extension of causality that is equal on every node (docs/design/log.md §2, R3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// The Lamport time: 1 + that of the deepest message that its author refers to.
    pub depth: u64,
    /// The keyed BLAKE3 hash of its header; the key binds conversation, author and life.
    pub hash: [u8; ID_LEN],
}

impl MessageId {
    /// The id before every id of a depth.
    pub const fn first_of(depth: u64) -> Self {
        Self { depth, hash: [0; ID_LEN] }
    }

    /// The least id after this one.
    #[must_use]
    pub fn next(self) -> Self {
        let mut hash = self.hash;
        for byte in hash.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return Self { hash, ..self };
            }
        }
        Self::first_of(self.depth.saturating_add(1))
    }

    /// The first eight characters of the printed form in two groups, for people to recognise; not unique.
    pub fn short(&self) -> String {
        NodeId(self.hash).short()
    }
}

impl fmt::Display for MessageId {
    /// The letter, then hash, depth (big-endian, without leading zeros) and checksum in base32.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.hash.to_vec();
        bytes.extend(self.depth.to_be_bytes().iter().skip_while(|b| **b == 0));
        f.write_str(&with_checksum('m', &bytes))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m:{}@{}", self.short(), self.depth)
    }
}

impl FromStr for MessageId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = checked('m', text)?;
        let wrong = ParseIdError::Length { found: bytes.len(), expected: ID_LEN.saturating_add(1) };
        let Some((hash, rest)) = bytes.split_first_chunk::<ID_LEN>() else { return Err(wrong) };
        if rest.is_empty() || rest.len() > 8 || rest.first() == Some(&0) {
            return Err(wrong);
        }
        let depth = rest.iter().fold(0u64, |depth, byte| (depth << 8) | u64::from(*byte));
        Ok(Self { depth, hash: *hash })
    }
}

/// One uninterrupted log of one device in one conversation: 8 random bytes. A device whose store is an older copy, or
/// that runs twice, begins another (docs/design/log.md §5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Life(pub [u8; 8]);

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

const CHECKSUM_LEN: usize = 3;

fn checksum(letter: char, bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut hasher = blake3::Hasher::new_derive_key("DONP v1 printed id checksum");
    hasher.update(&[letter as u8]).update(bytes);
    let mut out = [0; CHECKSUM_LEN];
    hasher.finalize_xof().fill(&mut out);
    out
}

/// `letter`, then `bytes` and a checksum over both in base32.
pub(crate) fn with_checksum(letter: char, bytes: &[u8]) -> String {
    let mut all = bytes.to_vec();
    all.extend(checksum(letter, bytes));
    let mut out = String::new();
    out.push(letter);
    out.push_str(&base32::encode(&all));
    out
}

/// The bytes of a text made by [`with_checksum`].
pub(crate) fn checked(letter: char, text: &str) -> Result<Vec<u8>, ParseIdError> {
    let text = text.trim();
    let mut chars = text.chars();
    if !chars.next().is_some_and(|c| c.eq_ignore_ascii_case(&letter)) {
        return Err(ParseIdError::Kind { expected: letter });
    }
    let rest = chars.as_str();
    let all = base32::decode(rest)?;
    let at = all.len().saturating_sub(CHECKSUM_LEN);
    match all.split_at_checked(at) {
        Some((bytes, sum)) if !bytes.is_empty() && sum == checksum(letter, bytes) => Ok(bytes.to_vec()),
        _ => Err(ParseIdError::Checksum),
    }
}

/// Crockford's base32, lower case, without padding.
mod base32 {
    use super::{ParseIdError, String, Vec};

    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

    pub(super) fn encode(bytes: &[u8]) -> String {
        let mut out = String::new();
        let (mut acc, mut bits) = (0u32, 0u32);
        for &b in bytes {
            acc = (acc << 8) | u32::from(b);
            bits = bits.saturating_add(8);
            while bits >= 5 {
                bits = bits.saturating_sub(5);
                push(&mut out, acc >> bits);
            }
        }
        if bits > 0 {
            push(&mut out, acc << 5u32.saturating_sub(bits));
        }
        out
    }

    fn push(out: &mut String, value: u32) {
        let symbol = ALPHABET.get((value & 31) as usize).copied().unwrap_or(b'0');
        out.push(symbol as char);
    }

    pub(super) fn decode(text: &str) -> Result<Vec<u8>, ParseIdError> {
        let mut out = Vec::new();
        let (mut acc, mut bits) = (0u32, 0u32);
        for c in text.chars() {
            let folded = match c.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                other => other,
            };
            let value = ALPHABET.iter().position(|&s| s as char == folded).ok_or(ParseIdError::Character(c))?;
            acc = ((acc << 5) | value as u32) & 0xfff;
            bits = bits.saturating_add(5);
            if bits >= 8 {
                bits = bits.saturating_sub(8);
                out.push((acc >> bits) as u8);
            }
        }
        // Left-over bits are zero in what `encode` makes: one text for each value.
        if bits >= 5 || acc & (1u32 << bits).wrapping_sub(1) != 0 {
            return Err(ParseIdError::Checksum);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn printed_ids_read_back(bytes: [u8; 32]) {
            let id = NodeId(bytes);
            let text = id.to_string();
            prop_assert_eq!(text.len(), 57);
            prop_assert_eq!(text.parse::<NodeId>(), Ok(id));
            prop_assert_eq!(text.to_uppercase().parse::<NodeId>(), Ok(id));
        }

        #[test]
        fn one_wrong_character_is_refused(bytes: [u8; 32], at in 1usize..57, by in 1u8..32) {
            let alphabet = b"0123456789abcdefghjkmnpqrstvwxyz";
            let mut text = NodeId(bytes).to_string().into_bytes();
            let old = alphabet.iter().position(|&c| c == text[at]).unwrap();
            text[at] = alphabet[(old + by as usize) % 32];
            prop_assert!(core::str::from_utf8(&text).unwrap().parse::<NodeId>().is_err());
        }

        /// A text that reads as an id has one form, but for case, blanks around it and look-alikes.
        #[test]
        fn a_printed_id_with_any_change_reads_as_itself_or_not(
            hash: [u8; 32], depth in 1u64.., at in 0usize..59, to: char, any: String,
        ) {
            let printed = MessageId { depth, hash }.to_string();
            prop_assert_eq!(printed.parse::<MessageId>(), Ok(MessageId { depth, hash }));
            let changed = alloc::format!("{}{to}{}", &printed[..at], &printed[at + 1..]);
            for text in [changed, any] {
                if let Ok(id) = text.parse::<MessageId>() {
                    let plain = text.trim().to_lowercase().replace('o', "0").replace(['i', 'l'], "1");
                    prop_assert_eq!(id.to_string(), plain);
                }
            }
        }
    }

    #[test]
    fn kinds_do_not_mix() {
        let id = NodeId([9; 32]);
        assert_eq!(id.to_string().parse::<MessageId>(), Err(ParseIdError::Kind { expected: 'm' }));
        assert!("".parse::<NodeId>().is_err());
        assert!("n".parse::<NodeId>().is_err());
    }
}
