//! The identity of a node: an Ed25519 device key, an account key above it, and the signatures of both.
//!
//! A key pair is one type here and no function takes a public key beside a secret one
//! (RUSTSEC-2022-0093). Signatures are checked strictly (no small-order keys) and every signed
//! thing has its own domain tag, so that one kind can never pass for another.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::{AccountId, NodeId};
use crate::time::WallTime;

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;
/// The longest name of a device or a person, in bytes of UTF-8.
pub const MAX_NAME: usize = 64;

/// The id of the node that holds this Ed25519 public key.
pub fn node_id(public: &[u8; 32]) -> NodeId {
    NodeId(blake3::derive_key("DONP v1 node id", public))
}

/// The id of the account that holds this Ed25519 public key.
pub fn account_id(public: &[u8; 32]) -> AccountId {
    AccountId(blake3::derive_key("DONP v1 account id", public))
}

/// What a signature was made for; bound into every signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// A [`NodeRecord`](crate::wire::record::NodeRecord).
    NodeRecord,
    /// A [`DeviceCert`].
    DeviceCert,
    /// A broadcast message.
    Message,
    /// What a member of a zone says of itself.
    Presence,
    /// That a record is the newest of its owner, to one that asks.
    CurrentRecord,
    /// A bundle of prekeys for sessions.
    Prekeys,
    /// A device's session identity key.
    SessionKey,
    /// An operation of a group.
    GroupOperation,
    /// A run of a group's messages.
    #[allow(dead_code, reason = "messages of groups are being built")]
    GroupMessage,
    /// An invitation to a group.
    Invitation,
    /// The consent of who joins a group.
    Acceptance,
    /// The answer to a challenge over a link.
    Challenge,
}

impl Domain {
    const fn tag(self) -> &'static [u8; 16] {
        match self {
            Self::NodeRecord => b"DONP1 noderecord",
            Self::DeviceCert => b"DONP1 devicecert",
            Self::Message => b"DONP1 message   ",
            Self::Presence => b"DONP1 presence  ",
            Self::CurrentRecord => b"DONP1 current   ",
            Self::Prekeys => b"DONP1 prekeys   ",
            Self::SessionKey => b"DONP1 sessionkey",
            Self::GroupOperation => b"DONP1 groupop   ",
            Self::GroupMessage => b"DONP1 groupmsg  ",
            Self::Invitation => b"DONP1 invitation",
            Self::Acceptance => b"DONP1 acceptance",
            Self::Challenge => b"DONP1 challenge ",
        }
    }
}

fn tagged(domain: Domain, bytes: &[u8]) -> Vec<u8> {
    let mut out = domain.tag().to_vec();
    out.extend_from_slice(bytes);
    out
}

/// Whether `signature` over `bytes` in `domain` was made by the holder of `public`.
pub(crate) fn verify(domain: Domain, public: &[u8; 32], bytes: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
    PublicKey::read(public).is_some_and(|key| key.verifies(domain, bytes, signature))
}

/// A public key that was read once: reading it is a third of the cost of checking a signature.
#[derive(Clone, Debug)]
pub(crate) struct PublicKey(scheme::PublicKey);

impl PublicKey {
    /// None if the bytes are no key.
    pub(crate) fn read(bytes: &[u8; 32]) -> Option<Self> {
        scheme::read(bytes).map(Self)
    }

    /// Whether `signature` over `bytes` in `domain` was made by the holder of this key.
    pub(crate) fn verifies(&self, domain: Domain, bytes: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        scheme::verifies(&self.0, &tagged(domain, bytes), signature)
    }
}

/// Ed25519 (RFC 8032), strict.
#[cfg(not(donp_toy_keys))]
mod scheme {
    use ed25519_dalek::{Signature, Signer, SigningKey};

    pub(super) use ed25519_dalek::VerifyingKey as PublicKey;

    pub(super) fn sign(key: &SigningKey, message: &[u8]) -> [u8; super::SIGNATURE_LEN] {
        key.sign(message).to_bytes()
    }

    pub(super) fn read(bytes: &[u8; 32]) -> Option<PublicKey> {
        PublicKey::from_bytes(bytes).ok()
    }

    pub(super) fn verifies(key: &PublicKey, message: &[u8], signature: &[u8; super::SIGNATURE_LEN]) -> bool {
        key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// A toy signature that anybody can make: it fails for other bytes and other keys, and proves nothing. For
/// simulations in which no node lies (see `crypto/dh.rs`).
#[cfg(donp_toy_keys)]
mod scheme {
    use ed25519_dalek::SigningKey;

    pub(super) type PublicKey = [u8; 32];

    pub(super) fn sign(key: &SigningKey, message: &[u8]) -> [u8; super::SIGNATURE_LEN] {
        of(&key.verifying_key().to_bytes(), message)
    }

    pub(super) fn read(bytes: &[u8; 32]) -> Option<PublicKey> {
        Some(*bytes)
    }

    pub(super) fn verifies(key: &PublicKey, message: &[u8], signature: &[u8; super::SIGNATURE_LEN]) -> bool {
        of(key, message) == *signature
    }

    fn of(public: &[u8; 32], message: &[u8]) -> [u8; super::SIGNATURE_LEN] {
        let mut out = [0; super::SIGNATURE_LEN];
        blake3::Hasher::new_keyed(public).update(message).finalize_xof().fill(&mut out);
        out
    }
}

/// The secrets of one device: its own key and its person's account key.
///
/// One device to an account works; the account key is above the device key from the first wire
/// format on, so that more can come without new ids. Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Identity {
    device: SigningKey,
    account: SigningKey,
    name: String,
    created: WallTime,
}

/// An [`Identity`] as bytes that a host seals and stores. Wiped when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredIdentity {
    device: [u8; 32],
    account: [u8; 32],
    name: String,
    created: u64,
}

/// Why an identity could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// A name is longer than 64 bytes or holds control characters.
    Name,
    /// A name that means something else where people write whom they mean.
    Reserved,
    /// The stored bytes are not an identity.
    Damaged,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(f, "a name has 1 to {MAX_NAME} bytes and no control characters"),
            Self::Reserved => {
                f.write_str("a name cannot be `all`, which means everybody, or begin with `#`, as groups do")
            }
            Self::Damaged => f.write_str("the stored identity cannot be read"),
        }
    }
}

impl core::error::Error for IdentityError {}

/// Whether `name` may be shown to people as a name.
pub(crate) fn name_is_valid(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// Whether `name` means everybody or a group where people write whom they mean. Others may claim it all the same.
fn is_reserved(name: &str) -> bool {
    let name = name.trim();
    name.eq_ignore_ascii_case("all") || name.starts_with('#')
}

impl Identity {
    /// A new identity. `entropy` is 64 bytes of the host's best randomness, used here only.
    ///
    /// # Errors
    /// [`IdentityError::Name`] if `name` is empty, over 64 bytes or has control characters, [`IdentityError::Reserved`] if
    /// it is `all` in any case or begins with `#`.
    pub fn generate(mut entropy: [u8; 64], name: &str, created: WallTime) -> Result<Self, IdentityError> {
        if !name_is_valid(name) {
            return Err(IdentityError::Name);
        }
        if is_reserved(name) {
            return Err(IdentityError::Reserved);
        }
        let mut device = blake3::derive_key("DONP v1 device key", &entropy);
        let mut account = blake3::derive_key("DONP v1 account key", &entropy);
        let out = Self {
            device: SigningKey::from_bytes(&device),
            account: SigningKey::from_bytes(&account),
            name: name.into(),
            created,
        };
        entropy.zeroize();
        device.zeroize();
        account.zeroize();
        Ok(out)
    }

    /// Secret bytes to seal and store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = StoredIdentity {
            device: self.device.to_bytes(),
            account: self.account.to_bytes(),
            name: self.name.clone(),
            created: self.created.0,
        };
        postcard::to_allocvec(&stored).unwrap_or_default()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`IdentityError::Damaged`] if these are not such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdentityError> {
        let stored: StoredIdentity = postcard::from_bytes(bytes).map_err(|_| IdentityError::Damaged)?;
        if !name_is_valid(&stored.name) {
            return Err(IdentityError::Damaged);
        }
        Ok(Self {
            device: SigningKey::from_bytes(&stored.device),
            account: SigningKey::from_bytes(&stored.account),
            name: stored.name.clone(),
            created: WallTime(stored.created),
        })
    }

    /// The id of this node.
    pub fn node_id(&self) -> NodeId {
        node_id(&self.public_key())
    }

    /// The id of this node's account.
    pub fn account_id(&self) -> AccountId {
        account_id(&self.account.verifying_key().to_bytes())
    }

    /// The device's Ed25519 public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.device.verifying_key().to_bytes()
    }

    /// The name this device shows to others; a claim, not a proof.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn sign(&self, domain: Domain, bytes: &[u8]) -> [u8; SIGNATURE_LEN] {
        scheme::sign(&self.device, &tagged(domain, bytes))
    }

    /// The account's statement that this device speaks for it.
    pub(crate) fn device_cert(&self) -> DeviceCert {
        let mut cert = DeviceCert {
            account: self.account.verifying_key().to_bytes(),
            device: self.public_key(),
            name: self.name.clone(),
            created: self.created,
            signature: Vec::new(),
        };
        cert.signature = scheme::sign(&self.account, &tagged(Domain::DeviceCert, &cert.signed_bytes())).to_vec();
        cert
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("node", &self.node_id()).finish_non_exhaustive()
    }
}

/// An account key's signature over a device key (docs/design/links.md §6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceCert {
    pub account: [u8; 32],
    pub device: [u8; 32],
    pub name: String,
    pub created: WallTime,
    pub signature: Vec<u8>,
}

impl DeviceCert {
    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = self.account.to_vec();
        out.extend_from_slice(&self.device);
        out.extend_from_slice(&self.created.0.to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out
    }

    /// Whether the account `account` really vouches for the node `node` under this name.
    pub(crate) fn vouches(&self, account: AccountId, node: NodeId) -> bool {
        let Ok(signature) = <[u8; SIGNATURE_LEN]>::try_from(self.signature.as_slice()) else {
            return false;
        };
        name_is_valid(&self.name)
            && account_id(&self.account) == account
            && node_id(&self.device) == node
            && verify(Domain::DeviceCert, &self.account, &self.signed_bytes(), &signature)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The identity numbered `n` of a test.
    pub(crate) fn identity(n: u8) -> Identity {
        Identity::generate([n; 64], "test", WallTime(1)).unwrap()
    }

    #[test]
    fn an_identity_survives_storage() {
        let id = Identity::generate([1; 64], "Alice", WallTime(5)).unwrap();
        let back = Identity::from_bytes(&id.to_bytes()).unwrap();
        assert_eq!(back.node_id(), id.node_id());
        assert_eq!(back.account_id(), id.account_id());
        assert_eq!(back.name(), "Alice");
        assert_eq!(Identity::from_bytes(&id.to_bytes()[1..]).err(), Some(IdentityError::Damaged));
    }

    #[test]
    fn names_are_bounded_and_printable() {
        for bad in ["", "a\u{7}b", &"x".repeat(MAX_NAME + 1)] {
            assert_eq!(Identity::generate([1; 64], bad, WallTime(0)).err(), Some(IdentityError::Name));
        }
        for reserved in ["all", " ALL", "#team"] {
            assert_eq!(Identity::generate([1; 64], reserved, WallTime(0)).err(), Some(IdentityError::Reserved));
        }
    }

    #[test]
    fn a_signature_of_one_kind_is_no_signature_of_another() {
        let id = identity(1);
        let sig = id.sign(Domain::Message, b"x");
        assert!(verify(Domain::Message, &id.public_key(), b"x", &sig));
        assert!(!verify(Domain::NodeRecord, &id.public_key(), b"x", &sig));
        assert!(!verify(Domain::Message, &id.public_key(), b"y", &sig));
        assert!(!verify(Domain::Message, &identity(2).public_key(), b"x", &sig));
    }

    #[test]
    fn a_device_certificate_binds_account_device_and_name() {
        let (a, b) = (identity(1), identity(2));
        let cert = a.device_cert();
        assert!(cert.vouches(a.account_id(), a.node_id()));
        assert!(!cert.vouches(b.account_id(), a.node_id()));
        assert!(!cert.vouches(a.account_id(), b.node_id()));
        let renamed = DeviceCert { name: "Mallory".into(), ..cert.clone() };
        assert!(!renamed.vouches(a.account_id(), a.node_id()));
        let swapped = DeviceCert { device: b.public_key(), ..cert };
        assert!(!swapped.vouches(a.account_id(), b.node_id()));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let id = identity(7);
        let text = alloc::format!("{id:?}");
        assert_eq!(text, alloc::format!("Identity {{ node: {:?}, .. }}", id.node_id()));
    }
}
