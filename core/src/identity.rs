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

use crate::error::CommandError;
use crate::id::{AccountId, NodeId, checked, with_checksum};
use crate::time::WallTime;

/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;
/// The longest name of a device or a person, in bytes of UTF-8.
pub const MAX_NAME: usize = 64;

/// The id of the node that holds this Ed25519 public key.
pub fn node_id(public: &[u8; 32]) -> NodeId {
    NodeId(blake3::derive_key("DONP v1 node id", public))
}

/// The public keys of an account, which stay for its whole life: its id is their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountKeys {
    /// The Ed25519 key that every device of the account holds.
    pub(crate) key: [u8; 32],
    /// The Ed25519 key of the recovery code, which no device keeps.
    pub(crate) recovery: [u8; 32],
    /// The key of the device that the account began with. Its node id stands for the person, also when the device is gone.
    pub(crate) first: [u8; 32],
}

impl AccountKeys {
    pub(crate) fn bytes(&self) -> [u8; 96] {
        let mut out = [0; 96];
        let all = self.key.iter().chain(&self.recovery).chain(&self.first);
        out.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        out
    }

    pub(crate) fn id(&self) -> AccountId {
        AccountId(blake3::derive_key("DONP v1 account", &self.bytes()))
    }

    /// The node that stands for the person: the account's first device.
    pub(crate) fn person(&self) -> NodeId {
        node_id(&self.first)
    }
}

/// Bytes of a recovery code: 160 bits, beyond any search.
const RECOVERY_LEN: usize = 20;
/// The letter of a printed recovery code.
const RECOVERY_LETTER: char = 'r';

/// What a recovery code says: the account's key and the key that outranks all of its devices follow from it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Recovery([u8; RECOVERY_LEN]);

impl Recovery {
    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(&blake3::derive_key("DONP v1 recovery key", &self.0))
    }

    fn account(&self) -> SigningKey {
        SigningKey::from_bytes(&blake3::derive_key("DONP v1 account key", &self.0))
    }

    /// The key by which others find the account.
    pub(crate) fn public(&self) -> [u8; 32] {
        self.key().verifying_key().to_bytes()
    }

    /// The account, if it is that of this code.
    pub(crate) fn open(&self, keys: AccountKeys) -> Option<Account> {
        let key = self.account();
        let is_right = keys.key == key.verifying_key().to_bytes() && keys.recovery == self.public();
        is_right.then_some(Account { key, keys })
    }

    pub(crate) fn sign(&self, domain: Domain, bytes: &[u8]) -> [u8; SIGNATURE_LEN] {
        scheme::sign(&self.key(), &tagged(domain, bytes))
    }

    /// As a person writes it down: `r` and base32 with a checksum, 38 characters.
    pub(crate) fn text(&self) -> String {
        with_checksum(RECOVERY_LETTER, &self.0)
    }

    /// Reads a code; blanks and hyphens between its characters are ignored.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        checked(RECOVERY_LETTER, &text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recovery(..)")
    }
}

/// The secret that all devices of an account share, with its public keys. It alone removes no device.
#[derive(Clone)]
pub(crate) struct Account {
    key: SigningKey,
    pub(crate) keys: AccountKeys,
}

impl Account {
    /// The account of a secret, if it is that of these keys.
    pub(crate) fn new(secret: &[u8; 32], keys: AccountKeys) -> Option<Self> {
        let key = SigningKey::from_bytes(secret);
        (key.verifying_key().to_bytes() == keys.key).then_some(Self { key, keys })
    }

    pub(crate) fn secret(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    pub(crate) fn sign(&self, domain: Domain, bytes: &[u8]) -> [u8; SIGNATURE_LEN] {
        scheme::sign(&self.key, &tagged(domain, bytes))
    }

    /// The account's part of a certificate that a device asks for.
    pub(crate) fn certify(&self, cert: DeviceCert) -> DeviceCert {
        let signature = self.sign(Domain::DeviceCert, &cert.signed_bytes()).to_vec();
        DeviceCert { signature, ..cert }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({:?})", self.keys.id())
    }
}

/// What a signature was made for; bound into every signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// A [`NodeRecord`](crate::wire::record::NodeRecord).
    NodeRecord,
    /// A [`DeviceCert`], by the account.
    DeviceCert,
    /// The same by the device: it wants to be of this account.
    DeviceConsent,
    /// The devices of an account, by its key.
    DeviceList,
    /// The same by the device, or the recovery key, that made the list.
    DeviceListBy,
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
    /// The consent of a node that joins a group.
    Acceptance,
    /// The answer to a challenge over a link.
    Challenge,
}

impl Domain {
    const fn tag(self) -> &'static [u8; 16] {
        match self {
            Self::NodeRecord => b"DONP1 noderecord",
            Self::DeviceCert => b"DONP1 devicecert",
            Self::DeviceConsent => b"DONP1 consent   ",
            Self::DeviceList => b"DONP1 devicelist",
            Self::DeviceListBy => b"DONP1 devlist by",
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

/// A toy signature that any program can make: it fails for other bytes and other keys, and proves nothing. For
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

/// The secrets of one device: its own key and its person's account key (docs/design/devices.md).
///
/// Wiped when dropped, never printed.
#[derive(Clone)]
pub struct Identity {
    device: SigningKey,
    account: Account,
    /// Until it was shown and forgotten.
    recovery: Option<Recovery>,
    name: String,
    created: WallTime,
}

/// An [`Identity`] as bytes that a host seals and stores. Wiped when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredIdentity {
    device: [u8; 32],
    account: [u8; 32],
    recovery: [u8; 32],
    first: [u8; 32],
    code: Option<[u8; RECOVERY_LEN]>,
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
                f.write_str("a name cannot be `all`, which means all nodes, or begin with `#`, as groups do")
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

/// Whether a user may give this name to a node, a device, a contact or a group.
pub(crate) fn check_name(name: &str) -> Result<(), CommandError> {
    if name.trim().is_empty() {
        return Err(CommandError::Empty("name"));
    }
    if !name_is_valid(name) {
        return Err(CommandError::Unreadable("name: it has 1 to 64 bytes and no control characters"));
    }
    if is_reserved(name) {
        return Err(CommandError::Unreadable("name: `all` and what begins with # have another meaning"));
    }
    Ok(())
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
        let mut secret = blake3::derive_key("DONP v1 device key", &entropy);
        let mut code = blake3::derive_key("DONP v1 recovery code", &entropy);
        let device = SigningKey::from_bytes(&secret);
        let recovery = Recovery(code.first_chunk().copied().unwrap_or([0; RECOVERY_LEN]));
        entropy.zeroize();
        secret.zeroize();
        code.zeroize();
        let key = recovery.account();
        let keys = AccountKeys {
            key: key.verifying_key().to_bytes(),
            recovery: recovery.public(),
            first: device.verifying_key().to_bytes(),
        };
        Ok(Self { device, account: Account { key, keys }, recovery: Some(recovery), name: name.into(), created })
    }

    /// Secret bytes to seal and store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = StoredIdentity {
            device: self.device.to_bytes(),
            account: self.account.secret(),
            recovery: self.account.keys.recovery,
            first: self.account.keys.first,
            code: self.recovery.as_ref().map(|code| code.0),
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
        let key = SigningKey::from_bytes(&stored.account);
        let keys = AccountKeys { key: key.verifying_key().to_bytes(), recovery: stored.recovery, first: stored.first };
        Ok(Self {
            device: SigningKey::from_bytes(&stored.device),
            account: Account { key, keys },
            recovery: stored.code.map(Recovery),
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
        self.account.keys.id()
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// The recovery code of the account that this identity began with: 38 characters for a person to write down. Its
    /// holder can remove every device of the account and add others. None once it was forgotten.
    pub fn recovery_code(&self) -> Option<String> {
        self.recovery.as_ref().map(Recovery::text)
    }

    /// Forgets the recovery code, so that no thief of the profile finds it. Call it when the person wrote the code down.
    pub fn forget_recovery_code(&mut self) {
        self.recovery = None;
    }

    /// The same device in another account, or under another name.
    pub(crate) fn with_account(&self, account: Account, name: String) -> Self {
        let recovery = self.recovery.clone().filter(|r| r.open(account.keys).is_some());
        Self { account, recovery, name, ..self.clone() }
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

    /// The account's statement that this device speaks for it, and the device's that it wants to.
    pub(crate) fn device_cert(&self) -> DeviceCert {
        self.account.certify(self.ask_cert(self.account.keys, &self.name, self.created))
    }

    /// A certificate that an account has still to sign.
    pub(crate) fn ask_cert(&self, account: AccountKeys, name: &str, created: WallTime) -> DeviceCert {
        let device = self.public_key();
        let mut cert =
            DeviceCert { account, device, name: name.into(), created, signature: Vec::new(), consent: Vec::new() };
        cert.consent = self.sign(Domain::DeviceConsent, &cert.signed_bytes()).to_vec();
        cert
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.device == other.device && self.account.key == other.account.key && self.name == other.name
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("node", &self.node_id()).finish_non_exhaustive()
    }
}

/// That a device is of an account, signed by both (docs/design/devices.md §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceCert {
    pub account: AccountKeys,
    pub device: [u8; 32],
    pub name: String,
    pub created: WallTime,
    pub signature: Vec<u8>,
    pub consent: Vec<u8>,
}

impl DeviceCert {
    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = self.account.bytes().to_vec();
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
            && self.account.id() == account
            && node_id(&self.device) == node
            && verify(Domain::DeviceCert, &self.account.key, &self.signed_bytes(), &signature)
    }

    /// Whether the device wants to be of this account. Without it an account could list devices of others.
    pub(crate) fn is_wanted(&self) -> bool {
        let Ok(consent) = <[u8; SIGNATURE_LEN]>::try_from(self.consent.as_slice()) else { return false };
        name_is_valid(&self.name) && verify(Domain::DeviceConsent, &self.device, &self.signed_bytes(), &consent)
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

    /// Mutation: another account's keys are taken for those of the code.
    #[test]
    fn a_recovery_code_opens_its_account_only() {
        let (a, b) = (identity(1), identity(2));
        let text = a.recovery_code().unwrap();
        assert_eq!(text.len(), 38);
        let spaced: String = text.chars().flat_map(|c| [c.to_ascii_uppercase(), ' ']).collect();
        let read = Recovery::read(&spaced).unwrap();
        let opened = read.open(a.account().keys).unwrap();
        assert_eq!(opened.secret(), a.account().secret());
        assert!(read.open(b.account().keys).is_none());
        assert!(Recovery::read(&text.replace(text.chars().last().unwrap(), "z")).is_none());
        let mut shown = a.clone();
        shown.forget_recovery_code();
        assert_eq!(Identity::from_bytes(&shown.to_bytes()).unwrap().recovery_code(), None);
        assert_eq!(Identity::from_bytes(&a.to_bytes()).unwrap().recovery_code(), Some(text));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let id = identity(7);
        let text = alloc::format!("{id:?}");
        assert_eq!(text, alloc::format!("Identity {{ node: {:?}, .. }}", id.node_id()));
    }
}
