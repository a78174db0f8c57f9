//! The cipher of links: ChaCha20-Poly1305 (RFC 8439), or in simulations a toy.
//!
//! With toy keys (`crypto/dh.rs`) a sixth of a simulated network's time would still be spent on hiding what is not
//! looked at. The toy has the same sizes, detects every changed bit, and hides nothing from an attacker.

use alloc::vec::Vec;

#[cfg(not(donp_toy_keys))]
use real as scheme;
#[cfg(donp_toy_keys)]
use toy as scheme;

/// A handshake message that does not verify, a weak key, or a step out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Bytes of an authentication tag.
pub(super) const TAG_LEN: usize = 16;

/// Twelve nonce bytes for a packet number (Noise §12.2).
#[cfg(any(test, not(donp_toy_keys)))]
pub(super) fn nonce(n: u64) -> [u8; 12] {
    let mut out = [0; 12];
    if let Some(tail) = out.last_chunk_mut::<8>() {
        *tail = n.to_le_bytes();
    }
    out
}

/// Encrypts `buf[from..]` in place and appends the tag.
pub(super) fn seal(key: &[u8; 32], n: u64, aad: &[u8], buf: &mut Vec<u8>, from: usize) -> Result<(), Refused> {
    let plain = buf.get_mut(from..).ok_or(Refused)?;
    let tag = scheme::encrypt(key, n, aad, plain).ok_or(Refused)?;
    buf.extend_from_slice(&tag);
    Ok(())
}

/// Decrypts `sealed` in place after its tag verified; returns the plaintext. On failure the bytes
/// are as they were.
pub(super) fn open<'a>(key: &[u8; 32], n: u64, aad: &[u8], sealed: &'a mut [u8]) -> Result<&'a mut [u8], Refused> {
    let (body, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(Refused)?;
    if !scheme::decrypt(key, n, aad, body, tag) {
        return Err(Refused);
    }
    Ok(body)
}

#[cfg(not(donp_toy_keys))]
mod real {
    use chacha20poly1305::aead::inout::InOutBuf;
    use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

    use super::{TAG_LEN, nonce};

    pub(super) fn encrypt(key: &[u8; 32], n: u64, aad: &[u8], plain: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let cipher = ChaCha20Poly1305::new(key.into());
        cipher.encrypt_inout_detached(&nonce(n).into(), aad, InOutBuf::from(plain)).ok().map(Into::into)
    }

    pub(super) fn decrypt(key: &[u8; 32], n: u64, aad: &[u8], body: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
        let cipher = ChaCha20Poly1305::new(key.into());
        cipher.decrypt_inout_detached(&nonce(n).into(), aad, InOutBuf::from(body), &(*tag).into()).is_ok()
    }
}

#[cfg(any(test, donp_toy_keys))]
mod toy {
    use super::TAG_LEN;

    /// Odd, with bits everywhere: 2^64 divided by the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(super) fn encrypt(key: &[u8; 32], n: u64, aad: &[u8], plain: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let tag = digest(key, n, aad, plain);
        hide(key, n, plain);
        Some(tag)
    }

    pub(super) fn decrypt(key: &[u8; 32], n: u64, aad: &[u8], body: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
        hide(key, n, body);
        let genuine = digest(key, n, aad, body) == *tag;
        if !genuine {
            hide(key, n, body);
        }
        genuine
    }

    fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
        bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            u64::from_le_bytes(word)
        })
    }

    fn mix(state: u64, word: u64) -> u64 {
        let next = (state ^ word).wrapping_mul(SPREAD);
        next ^ (next >> 29)
    }

    fn digest(key: &[u8; 32], n: u64, aad: &[u8], plain: &[u8]) -> [u8; TAG_LEN] {
        let mut state = mix(SPREAD, n);
        for part in [key.as_slice(), aad, plain] {
            state = words(part).fold(mix(state, part.len() as u64), mix);
        }
        let mut out = [0; TAG_LEN];
        let halves = [mix(state, 1).to_le_bytes(), mix(state, 2).to_le_bytes()];
        out.iter_mut().zip(halves.as_flattened()).for_each(|(to, from)| *to = *from);
        out
    }

    fn hide(key: &[u8; 32], n: u64, bytes: &mut [u8]) {
        let stream = words(key).fold(mix(0, n), mix).to_le_bytes();
        for chunk in bytes.chunks_mut(8) {
            chunk.iter_mut().zip(stream).for_each(|(byte, with)| *byte ^= with);
        }
    }
}

#[cfg(all(test, not(donp_toy_keys)))]
mod tests {
    use super::{TAG_LEN, real, toy};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    type Encrypt = fn(&[u8; 32], u64, &[u8], &mut [u8]) -> Option<[u8; TAG_LEN]>;
    type Decrypt = fn(&[u8; 32], u64, &[u8], &mut [u8], &[u8; TAG_LEN]) -> bool;

    proptest! {
        // What links live on, of the toy as of the real one.
        #[test]
        fn the_key_opens_a_packet_and_a_changed_bit_is_detected(
            key: [u8; 32], n: u64, aad: Vec<u8>, plain: Vec<u8>, at: usize, bit in 0u8..8,
        ) {
            let both: [(Encrypt, Decrypt); 2] = [(real::encrypt, real::decrypt), (toy::encrypt, toy::decrypt)];
            for (encrypt, decrypt) in both {
                let mut body = plain.clone();
                let tag = encrypt(&key, n, &aad, &mut body).unwrap();
                let sealed = body.clone();
                let mut other = key;
                other[at % 32] ^= 1 << bit;
                prop_assert!(!decrypt(&other, n, &aad, &mut body, &tag));
                prop_assert!(!decrypt(&key, n ^ (1 << bit), &aad, &mut body, &tag));
                let mut forged = tag;
                forged[at % TAG_LEN] ^= 1 << bit;
                prop_assert!(!decrypt(&key, n, &aad, &mut body, &forged));
                prop_assert_eq!(&body, &sealed, "as it was");
                if !body.is_empty() {
                    let at = at % body.len();
                    body[at] ^= 1 << bit;
                    prop_assert!(!decrypt(&key, n, &aad, &mut body, &tag));
                    body[at] ^= 1 << bit;
                }
                prop_assert!(decrypt(&key, n, &aad, &mut body, &tag));
                prop_assert_eq!(&body, &plain);
            }
        }
    }
}
