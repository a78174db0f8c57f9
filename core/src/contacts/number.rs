//! Safety numbers: what two people compare to know that they have each other's keys.
//!
//! libsignal's numeric fingerprint (signalapp/libsignal, `rust/protocol/src/fingerprint.rs`) with BLAKE3: 30 digits of
//! each side, in one order on both devices. To find other keys with the same half one tries about 2^99 of them, each at
//! the cost of 5,200 hashes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::id::{checked, with_checksum};
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// As libsignal's: a half costs about a millisecond.
const ITERATIONS: u32 = 5_200;
const DOMAIN: &[u8] = b"DONP safety v1";
/// Groups of five digits of one side: 30 digits, 99 bits.
const GROUPS: usize = 6;
const GROUP_BYTES: usize = 5;
/// Digits of both sides.
const DIGITS: usize = 60;
/// The letter and the version of a scanned code.
const LETTER: char = 's';
const VERSION: u8 = 1;

/// The keys by which a device is known: its Ed25519 key, whose hash is its id, and its session identity key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublicKeys {
    pub(crate) device: [u8; 32],
    pub(crate) identity: [u8; 32],
}

impl PublicKeys {
    fn bytes(&self) -> [u8; 64] {
        let mut out = [0; 64];
        out.iter_mut().zip(self.device.iter().chain(&self.identity)).for_each(|(to, from)| *to = *from);
        out
    }
}

/// The safety number of this node and a contact, in both forms. It changes when either has other keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetyNumber {
    /// 60 digits in twelve groups of five with blanks between: equal at both. For people to read to each other.
    pub number: String,
    /// The keys themselves, those of this node first: 213 characters for a QR code, which the other device scans.
    pub code: String,
}

impl SafetyNumber {
    pub(super) fn of(own: &PublicKeys, other: &PublicKeys) -> Self {
        let mut halves = [half(own), half(other)];
        halves.sort_unstable();
        let digits = halves.concat();
        let groups: Vec<&str> =
            digits.as_bytes().chunks(GROUP_BYTES).filter_map(|g| core::str::from_utf8(g).ok()).collect();
        Self { number: groups.join(" "), code: code(own, other) }
    }

    /// The code alone.
    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(crate) fn code_of(own: &PublicKeys, other: &PublicKeys) -> String {
        code(own, other)
    }

    /// Whether what the other side shows, or says, is right. Digits may stand in any groups.
    ///
    /// # Errors
    /// The text is neither 60 digits nor a code.
    pub(super) fn fits(own: &PublicKeys, other: &PublicKeys, shown: &str) -> Result<bool, Malformed> {
        let shown = shown.trim();
        if shown.starts_with(|c: char| c.eq_ignore_ascii_case(&LETTER)) {
            // As the other device makes it: its own keys first.
            let (theirs, mine) = read_code(shown)?;
            let is_theirs = theirs.bytes().ct_eq(&other.bytes());
            return Ok((is_theirs & mine.bytes().ct_eq(&own.bytes())).into());
        }
        let is_blank = |c: char| c.is_whitespace() || c == '-';
        let digits: String = shown.chars().filter(|c| !is_blank(*c)).collect();
        if digits.len() != DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Malformed);
        }
        let right: String = Self::of(own, other).number.split(' ').collect();
        Ok(right.as_bytes().ct_eq(digits.as_bytes()).into())
    }
}

/// The 30 digits of one side.
fn half(keys: &PublicKeys) -> String {
    let keys = keys.bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN).update(&keys);
    for _ in 1..ITERATIONS {
        let hash = hasher.finalize();
        hasher = blake3::Hasher::new();
        hasher.update(hash.as_bytes()).update(&keys);
    }
    let mut bytes = [0; GROUPS * GROUP_BYTES];
    hasher.finalize_xof().fill(&mut bytes);
    let mut out = String::new();
    for group in bytes.chunks(GROUP_BYTES) {
        let value = group.iter().fold(0u64, |n, b| (n << 8) | u64::from(*b));
        let _ = write!(out, "{:05}", value % 100_000);
    }
    out
}

fn code(own: &PublicKeys, other: &PublicKeys) -> String {
    with_checksum(LETTER, &[[VERSION].as_slice(), &own.bytes(), &other.bytes()].concat())
}

/// The keys of the maker of a code, and those it has of the other side.
pub(crate) fn read_code(text: &str) -> Result<(PublicKeys, PublicKeys), Malformed> {
    let bytes = checked(LETTER, text).map_err(|_| Malformed)?;
    let mut r = Reader(&bytes);
    let [version] = r.take()?;
    let own = PublicKeys { device: r.take()?, identity: r.take()? };
    let other = PublicKeys { device: r.take()?, identity: r.take()? };
    if version == VERSION && r.0.is_empty() { Ok((own, other)) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn keys(n: u8) -> PublicKeys {
        PublicKeys { device: [n; 32], identity: [n ^ 0xff; 32] }
    }

    fn bytes(v: &Value) -> [u8; 32] {
        let text = v.as_str().unwrap();
        let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
        core::array::from_fn(byte)
    }

    /// The frozen numbers; `tests/vectors/safety.py` makes them independently.
    #[test]
    fn the_numbers_are_the_frozen_ones() {
        let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/safety.json")).unwrap();
        let cases = all.as_array().unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let side = |name: &str| PublicKeys {
                device: bytes(&case[name]["device"]),
                identity: bytes(&case[name]["identity"]),
            };
            let number = SafetyNumber::of(&side("own"), &side("other"));
            assert_eq!(
                (number.number.as_str(), number.code.as_str()),
                (case["number"].as_str().unwrap(), case["code"].as_str().unwrap())
            );
        }
    }

    /// Mutation: the halves are not sorted.
    #[test]
    fn both_sides_have_one_number_and_each_reads_the_others_code() {
        let (a, b) = (keys(1), keys(2));
        let (at_a, at_b) = (SafetyNumber::of(&a, &b), SafetyNumber::of(&b, &a));
        assert_eq!(at_a.number, at_b.number);
        assert_ne!(at_a.code, at_b.code);
        for shown in [&at_a.number, &at_a.code, &at_a.code.to_uppercase(), &at_a.number.replace(' ', "-")] {
            assert_eq!(SafetyNumber::fits(&b, &a, shown), Ok(true), "{shown}");
        }
        assert_eq!(SafetyNumber::fits(&a, &b, &at_a.code), Ok(false), "a code of this very device proves nothing");
    }

    /// Mutation: only one of the two halves, or only the keys of one side, are compared.
    #[test]
    fn other_keys_of_either_side_have_another_number_and_code() {
        let (a, b) = (keys(1), keys(2));
        let right = SafetyNumber::of(&a, &b);
        for other in [PublicKeys { identity: [9; 32], ..b }, PublicKeys { device: [9; 32], ..b }] {
            assert_eq!(SafetyNumber::fits(&a, &other, &right.number), Ok(false));
            assert_eq!(SafetyNumber::fits(&a, &b, &code(&other, &a)), Ok(false), "it shows other keys of its own");
            assert_eq!(SafetyNumber::fits(&b, &a, &code(&a, &other)), Ok(false), "it has other keys of this node");
        }
    }

    #[test]
    fn what_is_neither_number_nor_code_is_not_compared() {
        let (a, b) = (keys(1), keys(2));
        let right = SafetyNumber::of(&a, &b);
        let long = right.number.clone() + " 1";
        let cut = &right.code[..100];
        for text in ["", "12345", &long, cut, "s", &right.number.replace('1', "x"), &right.code.replacen('s', "n", 1)] {
            assert_eq!(SafetyNumber::fits(&a, &b, text), Err(Malformed), "{text}");
        }
    }
}
