//! A message of a group, as it travels (docs/design/groups-keys.md §4.2).

use alloc::vec::Vec;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};

use crate::crypto::kdf::Key;
use crate::group::keys::schedule::{Place, Tags};
use crate::identity::SIGNATURE_LEN;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// First byte of a message.
pub(super) const MESSAGE: u8 = 1;
/// First byte of the message that brings a secret, inside a private message.
pub(super) const SECRET: u8 = 2;
/// In clear: PUBLIC groups.
pub(super) const CLEAR: u8 = 0;
/// XChaCha20-Poly1305 with random nonces (draft-irtf-cfrg-xchacha-03).
pub(super) const SUITE: u8 = 1;
pub(super) const HEADER_LEN: usize = 24;
pub(super) const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
/// What a message costs above the run: 64 bytes.
pub(super) const OVERHEAD: usize = HEADER_LEN + NONCE_LEN + TAG_LEN;
const AAD_LEN: usize = 64 + HEADER_LEN;

/// What a message says before it is opened.
///
/// Layout: kind 1, suite 1, group tag 8, epoch tag 8, sender index 2, number 4; little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) tags: Tags,
    /// The sender's place among the sorted holders.
    pub(crate) sender: u16,
    /// The number of the message in the sender's chain.
    pub(crate) number: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let parts = [MESSAGE, SUITE].into_iter().chain(self.tags.0);
        let parts = parts.chain(self.sender.to_le_bytes()).chain(self.number.to_le_bytes());
        out.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        out
    }
}

/// A sealed message in its parts.
pub(super) struct Parts<'a> {
    pub(super) header: Header,
    nonce: [u8; NONCE_LEN],
    sealed: &'a [u8],
    tag: [u8; TAG_LEN],
}

impl<'a> Parts<'a> {
    /// Reads the form alone. A signature fits into every message.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        if r.take()? != [MESSAGE, SUITE] {
            return Err(Malformed);
        }
        let tags = Tags(r.take()?);
        let sender = u16::from_le_bytes(r.take()?);
        let number = u32::from_le_bytes(r.take()?);
        let nonce = r.take()?;
        let (sealed, tag) = r.0.split_last_chunk::<TAG_LEN>().ok_or(Malformed)?;
        if sealed.len() < SIGNATURE_LEN {
            return Err(Malformed);
        }
        Ok(Self { header: Header { tags, sender, number }, nonce, sealed, tag: *tag })
    }

    /// The signature and the record, if the tag verifies under this key.
    pub(super) fn open(&self, key: &Key, at: Place) -> Option<Vec<u8>> {
        let mut plain = self.sealed.to_vec();
        let buffer = InOutBuf::from(plain.as_mut_slice());
        XChaCha20Poly1305::new(key.into())
            .decrypt_inout_detached(&self.nonce.into(), &aad(at, &self.header), buffer, &self.tag.into())
            .ok()?;
        Some(plain)
    }
}

/// The header of a sealed message whose form is right: what to look its epoch up by.
pub(crate) fn header_of(bytes: &[u8]) -> Option<Header> {
    Some(Parts::read(bytes).ok()?.header)
}

/// Header, nonce 24, sealed run, tag 16.
pub(super) fn seal(key: &Key, at: Place, header: &Header, nonce: [u8; NONCE_LEN], run: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(run.len().saturating_add(OVERHEAD));
    for part in [header.encode().as_slice(), &nonce, run] {
        out.extend_from_slice(part);
    }
    let buffer = InOutBuf::from(out.get_mut(HEADER_LEN.saturating_add(NONCE_LEN)..)?);
    let tag =
        XChaCha20Poly1305::new(key.into()).encrypt_inout_detached(&nonce.into(), &aad(at, header), buffer).ok()?;
    out.extend_from_slice(&tag);
    Some(out)
}

/// Group 32, epoch's operation 32, header 24.
fn aad(at: Place, header: &Header) -> [u8; AAD_LEN] {
    let mut out = [0; AAD_LEN];
    let parts = at.group.0.into_iter().chain(at.op.0).chain(header.encode());
    out.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    out
}
