//! The messages of session machines (docs/spec/messages.md, "Session"). Layouts are fixed and little-endian.

use alloc::vec::Vec;

use crate::crypto::kdf::Key;
use crate::crypto::kem::CT_LEN;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// X25519, ML-KEM-768, HKDF-SHA-256 and XChaCha20-Poly1305: the only suite. None without the KEM exists, so there is
/// nothing to fall back to.
pub(super) const SUITE: u8 = 1;
/// The suites of a bundle, as bits.
pub(super) const SUITES: u8 = 1;
/// Bytes of a bundle of prekeys.
pub(crate) const BUNDLE_LEN: usize = 1_366;
/// Bytes of the proof of a session identity key.
pub(super) const BINDING_LEN: usize = 136;
/// Bytes of the header of a ratchet message, all authenticated.
pub(super) const HEADER_LEN: usize = 48;
pub(super) const NONCE_LEN: usize = 24;
pub(super) const TAG_LEN: usize = 16;
/// Bytes before the ratchet message in a first message.
pub(super) const FIRST_LEN: usize = 6 + BINDING_LEN + 32 + CT_LEN;

const FIRST: u8 = 1;
const SEALED: u8 = 2;
const ASK: u8 = 3;
const BUNDLE: u8 = 4;

/// Names a session to one of its sides.
pub(super) type Tag = [u8; 4];

/// The header of a ratchet message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The session, as its receiver names it.
    pub(super) tag: Tag,
    /// The sender's ratchet key.
    pub(super) dh: Key,
    /// Messages in the chain before this key's.
    pub(super) before: u32,
    /// The number in the chain.
    pub(super) number: u32,
    /// The KEM epoch.
    pub(super) epoch: u16,
}

impl Header {
    /// That of the page of messages.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { tag: [0x77; 4], dh: [0x22; 32], before: 3, number: 300, epoch: 2 }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let parts: [&[u8]; 6] = [
            &[SEALED, SUITE],
            &self.tag,
            &self.dh,
            &self.before.to_le_bytes(),
            &self.number.to_le_bytes(),
            &self.epoch.to_le_bytes(),
        ];
        let mut out = [0; HEADER_LEN];
        out.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        out
    }
}

/// A ratchet message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed<'a> {
    pub(super) header: Header,
    /// All of it, from its kind to its tag.
    pub(super) bytes: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        if r.take()? != [SEALED, SUITE] {
            return Err(Malformed);
        }
        let header = Header {
            tag: r.take()?,
            dh: r.take()?,
            before: u32::from_le_bytes(r.take()?),
            number: u32::from_le_bytes(r.take()?),
            epoch: u16::from_le_bytes(r.take()?),
        };
        if r.0.len() <= NONCE_LEN.saturating_add(TAG_LEN) {
            return Err(Malformed);
        }
        Ok(Self { header, bytes })
    }
}

/// What opens a session, before the ratchet message in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First<'a> {
    /// The receiver's bundle.
    pub(super) bundle: u32,
    /// The proof of the sender's session identity key.
    pub(super) binding: &'a [u8; BINDING_LEN],
    /// A fresh X25519 key.
    pub(super) ephemeral: Key,
    /// To the encapsulation key of the bundle.
    pub(super) ciphertext: &'a [u8],
}

impl First<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let head: [&[u8]; 5] =
            [&[FIRST, SUITE], &self.bundle.to_le_bytes(), self.binding, &self.ephemeral, self.ciphertext];
        head.concat()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    First(First<'a>, Sealed<'a>),
    Sealed(Sealed<'a>),
    /// Please send your bundle.
    Ask,
    Bundle(&'a [u8; BUNDLE_LEN]),
}

impl<'a> Message<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (&kind, rest) = bytes.split_first().ok_or(Malformed)?;
        match kind {
            FIRST => {
                let (&[suite], rest) = rest.split_first_chunk().ok_or(Malformed)?;
                let (bundle, rest) = rest.split_first_chunk().ok_or(Malformed)?;
                let (binding, rest) = rest.split_first_chunk().ok_or(Malformed)?;
                let (ephemeral, rest) = rest.split_first_chunk().ok_or(Malformed)?;
                let (ciphertext, rest) = rest.split_at_checked(CT_LEN).ok_or(Malformed)?;
                if suite != SUITE {
                    return Err(Malformed);
                }
                let bundle = u32::from_le_bytes(*bundle);
                Ok(Self::First(First { bundle, binding, ephemeral: *ephemeral, ciphertext }, Sealed::decode(rest)?))
            }
            SEALED => Sealed::decode(bytes).map(Self::Sealed),
            ASK if rest.is_empty() => Ok(Self::Ask),
            BUNDLE => rest.try_into().map(Self::Bundle).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::First(first, sealed) => {
                let mut out = first.encode();
                out.extend_from_slice(sealed.bytes);
                out
            }
            Self::Sealed(sealed) => sealed.bytes.to_vec(),
            Self::Ask => alloc::vec![ASK],
            Self::Bundle(bundle) => [&[BUNDLE], bundle.as_slice()].concat(),
        }
    }
}
