//! What a device signs for its sessions: the bundle of its prekeys, and the proof of its session identity key.
//!
//! Each is one signature over one fixed layout with a domain of its own, so that no key passes for another (Bhargavan,
//! Jacomme, Kiefer, Schmidt, *Formal verification of the PQXDH Post-Quantum key agreement protocol*, USENIX Security
//! 2024, found that confusion in the first revision of PQXDH).

use alloc::vec::Vec;

use crate::crypto::kdf::Key;
use crate::crypto::kem::EK_LEN;
use crate::id::NodeId;
use crate::identity::{Domain, Identity, SIGNATURE_LEN, node_id, verify};
use crate::session::wire::{BINDING_LEN, BUNDLE_LEN, SUITES};
use crate::wire::record::Reader;

const VERSION: u8 = 1;
/// A bundle is valid for 30 days: as long as libsignal's unanswered sessions (signalapp/libsignal,
/// `rust/protocol/src/consts.rs`).
pub(super) const LIFETIME: u64 = 30 * 86_400_000;

/// The prekeys of a device. Layout: version 1, suites 1, device key 32, session identity key 32, id 4, X25519 prekey 32,
/// encapsulation key 1,184, created 8, expires 8, signature 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) suites: u8,
    /// The device's Ed25519 key.
    pub(super) device: Key,
    pub(super) identity: Key,
    pub(super) id: u32,
    pub(super) prekey: Key,
    pub(super) encapsulation: Vec<u8>,
}

impl Bundle {
    /// The bytes that travel, signed. Times are milliseconds since 1970.
    pub(super) fn sign(&self, by: &Identity, created: u64) -> Vec<u8> {
        let parts: [&[u8]; 8] = [
            &[VERSION, self.suites],
            &self.device,
            &self.identity,
            &self.id.to_le_bytes(),
            &self.prekey,
            &self.encapsulation,
            &created.to_le_bytes(),
            &created.saturating_add(LIFETIME).to_le_bytes(),
        ];
        let mut out = parts.concat();
        let signature = by.sign(Domain::Prekeys, &out);
        out.extend_from_slice(&signature);
        out
    }

    /// The bundle of this node, if the bytes are one. It came from the node itself over its link, which proves that it
    /// is current: no clock is asked.
    pub(super) fn read(bytes: &[u8; BUNDLE_LEN], of: NodeId) -> Option<Self> {
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>()?;
        let mut r = Reader(signed);
        let [version, suites] = r.take().ok()?;
        let bundle = Self {
            suites,
            device: r.take().ok()?,
            identity: r.take().ok()?,
            id: u32::from_le_bytes(r.take().ok()?),
            prekey: r.take().ok()?,
            encapsulation: r.slice(EK_LEN).ok()?.to_vec(),
        };
        let created = u64::from_le_bytes(r.take().ok()?);
        let expires = u64::from_le_bytes(r.take().ok()?);
        let valid = version == VERSION
            && suites & SUITES == SUITES
            && node_id(&bundle.device) == of
            && expires.checked_sub(created).is_some_and(|life| life <= LIFETIME)
            && verify(Domain::Prekeys, &bundle.device, signed, signature);
        valid.then_some(bundle)
    }
}

/// The proof of a session identity key for a peer without a bundle. Layout: device key 32, session identity key 32,
/// created 8, signature 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) device: Key,
    pub(super) identity: Key,
}

impl Binding {
    pub(super) fn sign(by: &Identity, identity: &Key, created: u64) -> [u8; BINDING_LEN] {
        let signed = [by.public_key().as_slice(), identity, &created.to_le_bytes()].concat();
        let signature = by.sign(Domain::SessionKey, &signed);
        let mut out = [0; BINDING_LEN];
        out.iter_mut().zip(signed.iter().chain(&signature)).for_each(|(to, from)| *to = *from);
        out
    }

    /// The binding of this node, if the bytes are one.
    pub(super) fn read(bytes: &[u8; BINDING_LEN], of: NodeId) -> Option<Self> {
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE_LEN>()?;
        let mut r = Reader(signed);
        let binding = Self { device: r.take().ok()?, identity: r.take().ok()? };
        let valid = node_id(&binding.device) == of && verify(Domain::SessionKey, &binding.device, signed, signature);
        valid.then_some(binding)
    }
}
