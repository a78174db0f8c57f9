//! Sealing values at rest: XChaCha20-Poly1305 under a random data key, which is itself wrapped by a
//! key from a passphrase (Argon2id) or from a key file (as in matrix-sdk-store-encryption).

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::Protection;
use crate::clock::entropy;

/// Bytes of the nonce that a sealed value begins with.
pub(super) const NONCE: usize = 24;
const TAG: usize = 16;
const SALT: usize = 16;
const CHECKSUM: usize = 16;
/// Nonces drawn from the system at once, to save a system call for each value.
const NONCE_POOL: usize = 128;

/// What Argon2id costs: chosen when a profile is made, stored with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for Cost {
    /// 64 MiB and three passes: RFC 9106's second recommendation with one lane.
    fn default() -> Self {
        Self { memory_kib: 64 * 1_024, passes: 3 }
    }
}

/// The most that a stored cost may ask for: a damaged or hostile file must not take 4 TiB.
pub(super) const MAX_COST: Cost = Cost { memory_kib: 1 << 20, passes: 64 };

/// A value does not open: it was changed, moved to another key, or sealed under another data key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsealable;

/// Seals and opens values with the profile's data key.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    nonces: Vec<[u8; NONCE]>,
    sum_key: Zeroizing<[u8; 32]>,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let sum_key = Zeroizing::new(blake3::derive_key("DONP v1 profile sums", key));
        Self { cipher: XChaCha20Poly1305::new(key.into()), nonces: Vec::new(), sum_key }
    }

    /// Another one that opens the same.
    pub(crate) fn again(&self) -> Self {
        Self { cipher: self.cipher.clone(), nonces: Vec::new(), sum_key: self.sum_key.clone() }
    }

    /// The key of the sums over stored rows.
    pub(super) fn sum_key(&self) -> &[u8; 32] {
        &self.sum_key
    }

    fn nonce(&mut self) -> std::io::Result<[u8; NONCE]> {
        if self.nonces.is_empty() {
            let pool = entropy::<{ NONCE * NONCE_POOL }>()?;
            self.nonces.extend(pool.as_chunks::<NONCE>().0);
        }
        self.nonces.pop().ok_or_else(|| std::io::Error::other("no nonce"))
    }

    /// Nonce and sealed value. `place` is bound in: a value moved to another place does not open.
    pub(crate) fn seal(&mut self, place: &[u8], value: &[u8]) -> std::io::Result<Vec<u8>> {
        let nonce = self.nonce()?;
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: value, aad: place })
            .map_err(|_| std::io::Error::other("a value is too large to seal"))?;
        let mut out = Vec::with_capacity(NONCE + sealed.len());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    // The cipher is large, and called from many places of a library that is to be small.
    #[inline(never)]
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(Unsealable)?;
        self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: rest, aad: place }).map_err(|_| Unsealable)
    }
}

/// What the data key is wrapped with.
pub(crate) enum Wrapper<'a> {
    Passphrase(&'a [u8], Cost),
    KeyFile(&'a [u8; 32]),
    /// A key that the platform's key store keeps.
    KeyStore(&'a [u8; 32]),
}

/// Why a wrapped data key could not be opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UnwrapError {
    /// The stored bytes themselves are not whole.
    Damaged,
    /// They are whole and the key does not fit.
    WrongKey,
}

/// A wrapped data key, as stored: kind 1, memory 4, passes 4 (little-endian), salt 16, sealed key 72,
/// checksum 16. The checksum tells damage from a wrong passphrase.
pub(crate) fn wrap(data_key: &[u8; 32], with: &Wrapper<'_>) -> std::io::Result<Vec<u8>> {
    let salt = entropy::<SALT>()?;
    let (kind, cost) = match with {
        Wrapper::Passphrase(_, cost) => (1u8, *cost),
        Wrapper::KeyFile(_) => (2, Cost { memory_kib: 0, passes: 0 }),
        Wrapper::KeyStore(_) => (3, Cost { memory_kib: 0, passes: 0 }),
    };
    let mut out = vec![kind];
    out.extend_from_slice(&cost.memory_kib.to_le_bytes());
    out.extend_from_slice(&cost.passes.to_le_bytes());
    out.extend_from_slice(&salt);
    let head = out.clone();
    out.extend(Sealer::new(&*wrapping_key(with, &salt)?).seal(&head, data_key)?);
    out.extend_from_slice(&checksum(&out));
    Ok(out)
}

const HEAD: usize = 1 + 4 + 4 + SALT;

/// How the wrapped key is protected and at what cost.
pub(crate) fn protection(wrapped: &[u8]) -> Result<(Protection, Cost), UnwrapError> {
    let (rest, sum) = wrapped.split_last_chunk::<CHECKSUM>().ok_or(UnwrapError::Damaged)?;
    if checksum(rest) != *sum || rest.len() != HEAD + NONCE + 32 + TAG {
        return Err(UnwrapError::Damaged);
    }
    let number = |at: usize| {
        rest.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes).ok_or(UnwrapError::Damaged)
    };
    let cost = Cost { memory_kib: number(1)?, passes: number(5)? };
    if cost.memory_kib > MAX_COST.memory_kib || cost.passes > MAX_COST.passes {
        return Err(UnwrapError::Damaged);
    }
    match rest.first() {
        Some(1) => Ok((Protection::Passphrase, cost)),
        Some(2) => Ok((Protection::KeyFile, cost)),
        Some(3) => Ok((Protection::KeyStore, cost)),
        _ => Err(UnwrapError::Damaged),
    }
}

pub(crate) fn unwrap(wrapped: &[u8], with: &Wrapper<'_>) -> Result<Zeroizing<[u8; 32]>, UnwrapError> {
    protection(wrapped)?;
    let (head, rest) = wrapped.split_at_checked(HEAD).ok_or(UnwrapError::Damaged)?;
    let (sealed, _) = rest.split_last_chunk::<CHECKSUM>().ok_or(UnwrapError::Damaged)?;
    let salt = head.last_chunk::<SALT>().ok_or(UnwrapError::Damaged)?;
    let key = wrapping_key(with, salt).map_err(|_| UnwrapError::Damaged)?;
    let opened = Zeroizing::new(Sealer::new(&key).open(head, sealed).map_err(|_| UnwrapError::WrongKey)?);
    opened.as_slice().try_into().map(Zeroizing::new).map_err(|_| UnwrapError::Damaged)
}

pub(super) fn wrapping_key(with: &Wrapper<'_>, salt: &[u8; SALT]) -> std::io::Result<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    match with {
        Wrapper::Passphrase(passphrase, cost) => {
            let bad = |e: argon2::Error| std::io::Error::other(format!("Argon2id: {e}"));
            let params = argon2::Params::new(cost.memory_kib, cost.passes, 1, Some(32)).map_err(bad)?;
            argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
                .hash_password_into(passphrase, salt, &mut *key)
                .map_err(bad)?;
        }
        // 32 random bytes: nothing to stretch, only to separate by salt.
        Wrapper::KeyFile(bytes) | Wrapper::KeyStore(bytes) => {
            let mut hasher = blake3::Hasher::new_derive_key("DONP v1 profile key file");
            hasher.update(*bytes).update(salt);
            *key = *hasher.finalize().as_bytes();
        }
    }
    Ok(key)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut out = [0; CHECKSUM];
    blake3::Hasher::new_derive_key("DONP v1 wrapped key checksum").update(bytes).finalize_xof().fill(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that Argon2 takes.
    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };

    #[test]
    fn a_sealed_value_opens_in_its_place_only() {
        let mut sealer = Sealer::new(&[1; 32]);
        let sealed = sealer.seal(b"here", b"value").unwrap();
        assert_eq!(sealer.open(b"here", &sealed).unwrap(), b"value");
        assert_eq!(sealer.open(b"there", &sealed), Err(Unsealable));
        assert_eq!(Sealer::new(&[2; 32]).open(b"here", &sealed), Err(Unsealable));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open(b"here", &changed), Err(Unsealable));
            assert_eq!(sealer.open(b"here", &sealed[..at]), Err(Unsealable));
        }
    }

    #[test]
    fn nonces_do_not_repeat_across_refills() {
        let mut sealer = Sealer::new(&[1; 32]);
        let nonces: std::collections::BTreeSet<_> = (0..NONCE_POOL * 3).map(|_| sealer.nonce().unwrap()).collect();
        assert_eq!(nonces.len(), NONCE_POOL * 3);
    }

    #[test]
    fn a_wrong_passphrase_is_not_taken_for_damage_nor_the_reverse() {
        let wrapped = wrap(&[7; 32], &Wrapper::Passphrase(b"right", CHEAP)).unwrap();
        assert_eq!(protection(&wrapped), Ok((Protection::Passphrase, CHEAP)));
        assert_eq!(*unwrap(&wrapped, &Wrapper::Passphrase(b"right", CHEAP)).unwrap(), [7; 32]);
        assert_eq!(unwrap(&wrapped, &Wrapper::Passphrase(b"wrong", CHEAP)), Err(UnwrapError::WrongKey));
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert_eq!(unwrap(&changed, &Wrapper::Passphrase(b"right", CHEAP)), Err(UnwrapError::Damaged), "{at}");
            assert_eq!(
                unwrap(&wrapped[..at], &Wrapper::Passphrase(b"right", CHEAP)),
                Err(UnwrapError::Damaged),
                "{at}"
            );
        }
    }

    #[test]
    fn a_key_file_wraps_too() {
        let wrapped = wrap(&[7; 32], &Wrapper::KeyFile(&[3; 32])).unwrap();
        assert_eq!(protection(&wrapped).unwrap().0, Protection::KeyFile);
        assert_eq!(*unwrap(&wrapped, &Wrapper::KeyFile(&[3; 32])).unwrap(), [7; 32]);
        assert_eq!(unwrap(&wrapped, &Wrapper::KeyFile(&[4; 32])), Err(UnwrapError::WrongKey));
    }
}
