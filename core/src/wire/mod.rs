//! Bytes on the wire and on disk: types, their encodings and their limits. Pure, and fuzzed.
//!
//! Messages between machines are postcard; a limit on the bytes is checked before decoding, and
//! trailing bytes are an error. What is signed or hashed is signed or hashed as the bytes that
//! travelled, never as a re-encoding.

pub mod content;
pub(crate) mod devices;
pub(crate) mod entry;
pub(crate) mod group;
pub(crate) mod reach;
pub mod record;
pub(crate) mod registers;
pub mod ticket;

use alloc::vec::Vec;

use core::fmt;

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest UDP payload that is sent or read: what an Ethernet frame of 1,500 bytes has beside the headers of IPv6
/// and UDP, 48 bytes.
pub const MAX_DATAGRAM: usize = 1_452;
/// What is sent before more is known of a path: 1,200 bytes cross nearly every one (RFC 9000 §14).
pub(crate) const BASE_DATAGRAM: usize = 1_200;
/// What every path carries: an IPv4 datagram of 576 bytes (RFC 791 §3.1) less 28 bytes of headers.
pub(crate) const LEAST_DATAGRAM: usize = 548;
/// The largest body of a chat message in bytes: what 64 fragments carry, less the envelope.
pub const MAX_BODY: usize = 65_536;
/// The largest message one machine sends to its namesake on another node: a body and its envelope.
pub(crate) const MAX_MESSAGE: usize = MAX_BODY + 4_096;

/// The bytes were not a well-formed value of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Encodes a value; the types of this crate always encode.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_after(Vec::with_capacity(encoded_len(value)), value)
}

/// The encoding of a value after these bytes.
pub(crate) fn encode_after<T: Serialize>(bytes: Vec<u8>, value: &T) -> Vec<u8> {
    postcard::to_extend(value, bytes).unwrap_or_default()
}

/// The length of [`encode`]'s result: less work than to let a vector grow, and nothing is left over.
pub(crate) fn encoded_len<T: Serialize>(value: &T) -> usize {
    postcard::to_extend(value, Length(0)).map_or(0, |Length(n)| n)
}

struct Length(usize);

impl Extend<u8> for Length {
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        self.0 = self.0.saturating_add(bytes.into_iter().count());
    }
}

/// Bytes in place of a [`Blob`] that is only written.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Decodes all of `bytes`, which must not be longer than `limit`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, Malformed> {
    if bytes.len() > limit {
        return Err(Malformed);
    }
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

/// Bytes that encode as one run; a plain `Vec<u8>` would go through serde byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// Which machine of the other node a message is for. The link keeps a channel for itself ([`crate::link`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Channel {
    Membership = 1,
    Session = 2,
    Gossip = 3,
    Chat = 4,
    Swim = 5,
    Group = 6,
    File = 8,
    Authentication = 7,
    Device = 9,
}

impl Channel {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Membership),
            2 => Some(Self::Session),
            3 => Some(Self::Gossip),
            4 => Some(Self::Chat),
            5 => Some(Self::Swim),
            6 => Some(Self::Group),
            8 => Some(Self::File),
            7 => Some(Self::Authentication),
            9 => Some(Self::Device),
            _ => None,
        }
    }
}

/// How urgent a message is: the HIGH, NORMAL and LOW of the DONP document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Priority {
    /// Acknowledgements, membership, keys.
    High,
    /// Chat.
    Normal,
    /// Catching up.
    Low,
}
