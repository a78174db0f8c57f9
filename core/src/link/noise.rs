//! The Noise Protocol Framework (revision 34) over X25519, ChaCha20-Poly1305 and SHA-256.
//!
//! An interpreter of message patterns, so that the official vectors of every pattern judge the code
//! that runs `IKpsk2`. It differs from the paper in one way: a Diffie-Hellman result of zero is
//! refused (Noise §12.1 leaves that open; RUSTSEC-2026-0072 shows why it must not be accepted).
//! Ephemeral secrets are handed in, so randomness stays with the caller.

use alloc::vec::Vec;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub(super) use crate::crypto::dh::{KeyPair, dh};
pub(super) use crate::link::cipher::{Refused, TAG_LEN, open, seal};

/// One step of a message (Noise §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    E,
    S,
    EE,
    ES,
    SE,
    SS,
    Psk,
}

/// A handshake pattern: what is known before, and what each message does.
#[derive(Debug)]
pub(super) struct Pattern {
    pub name: &'static [u8],
    /// Whether the initiator's static key is known to the responder beforehand.
    pub knows_initiator: bool,
    /// Whether the responder's static key is known to the initiator beforehand.
    pub knows_responder: bool,
    pub messages: &'static [&'static [Token]],
    pub psk: bool,
}

/// The pattern of every link (docs/design/links.md §1).
pub(super) static IK_PSK2: Pattern = Pattern {
    // With toy keys another name: such a build can never speak with a real one.
    name: if cfg!(donp_toy_keys) { b"Noise_IKpsk2_toy" } else { b"Noise_IKpsk2_25519_ChaChaPoly_SHA256" },
    knows_initiator: false,
    knows_responder: true,
    messages: &[&[Token::E, Token::ES, Token::S, Token::SS], &[Token::E, Token::EE, Token::SE, Token::Psk]],
    psk: true,
};

fn hmac(key: &[u8; 32], parts: [&[u8]; 2]) -> [u8; 32] {
    // A key of any length is accepted by HMAC, so the error cannot occur.
    let Ok(mut mac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The symmetric state of Noise §5.2 with its cipher state.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Symmetric {
    ck: [u8; 32],
    h: [u8; 32],
    k: Option<[u8; 32]>,
    n: u64,
}

impl Symmetric {
    fn new(name: &[u8]) -> Self {
        let mut h = [0; 32];
        match h.get_mut(..name.len()) {
            Some(head) => head.copy_from_slice(name),
            None => h = Sha256::digest(name).into(),
        }
        Self { ck: h, h, k: None, n: 0 }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        let mut hash = Sha256::new();
        hash.update(self.h);
        hash.update(data);
        self.h = hash.finalize().into();
    }

    /// HKDF of Noise §4.3 with three outputs; callers use the first two or all.
    fn hkdf(&self, input: &[u8]) -> [[u8; 32]; 3] {
        let temp = hmac(&self.ck, [input, &[]]);
        let one = hmac(&temp, [&[1], &[]]);
        let two = hmac(&temp, [&one, &[2]]);
        let three = hmac(&temp, [&two, &[3]]);
        [one, two, three]
    }

    fn mix_key(&mut self, input: &[u8]) {
        let [ck, k, _] = self.hkdf(input);
        self.ck = ck;
        self.k = Some(k);
        self.n = 0;
    }

    fn mix_key_and_hash(&mut self, input: &[u8]) {
        let [ck, h, k] = self.hkdf(input);
        self.ck = ck;
        self.mix_hash(&h);
        self.k = Some(k);
        self.n = 0;
    }

    fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        let at = out.len();
        out.extend_from_slice(plain);
        if let Some(k) = &self.k {
            seal(k, self.n, &self.h, out, at)?;
            self.n = self.n.saturating_add(1);
        }
        let sealed = out.get(at..).ok_or(Refused)?;
        let mut hash = Sha256::new();
        hash.update(self.h);
        hash.update(sealed);
        self.h = hash.finalize().into();
        Ok(())
    }

    fn decrypt(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut buf = sealed.to_vec();
        let len = match &self.k {
            Some(k) => open(k, self.n, &self.h, &mut buf)?.len(),
            None => buf.len(),
        };
        if self.k.is_some() {
            self.n = self.n.saturating_add(1);
        }
        buf.truncate(len);
        self.mix_hash(sealed);
        Ok(buf)
    }
}

/// What a finished handshake yields.
#[cfg_attr(test, derive(Debug))]
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Split {
    pub initiator_to_responder: [u8; 32],
    pub responder_to_initiator: [u8; 32],
    /// Names the session; equal on both sides.
    pub hash: [u8; 32],
}

/// One side of a handshake. Reading a message that is refused leaves it unusable: keep a clone.
#[derive(Clone)]
pub(super) struct Handshake {
    pattern: &'static Pattern,
    initiator: bool,
    step: usize,
    sym: Symmetric,
    s: Option<KeyPair>,
    e: Option<KeyPair>,
    rs: Option<[u8; 32]>,
    re: Option<[u8; 32]>,
    psk: [u8; 32],
    #[cfg(test)]
    posing: Option<([u8; 32], KeyPair)>,
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.psk.zeroize();
    }
}

impl Handshake {
    pub(super) fn new(
        pattern: &'static Pattern,
        initiator: bool,
        prologue: &[u8],
        s: Option<KeyPair>,
        rs: Option<[u8; 32]>,
        psk: [u8; 32],
    ) -> Result<Self, Refused> {
        let mut sym = Symmetric::new(pattern.name);
        sym.mix_hash(prologue);
        let mine = s.as_ref().map(|k| k.public);
        let (of_initiator, of_responder) = if initiator { (mine, rs) } else { (rs, mine) };
        if pattern.knows_initiator {
            sym.mix_hash(&of_initiator.ok_or(Refused)?);
        }
        if pattern.knows_responder {
            sym.mix_hash(&of_responder.ok_or(Refused)?);
        }
        Ok(Self {
            pattern,
            initiator,
            step: 0,
            sym,
            s,
            e: None,
            rs,
            re: None,
            psk,
            #[cfg(test)]
            posing: None,
        })
    }

    /// Binds what both sides know into the transcript: the tag of the next message fails where they differ.
    pub(super) fn bind(&mut self, data: &[u8]) {
        self.sym.mix_hash(data);
    }

    /// Another pre-shared key, before the message that mixes it in.
    pub(super) fn set_psk(&mut self, psk: [u8; 32]) {
        self.psk.zeroize();
        self.psk = psk;
    }

    /// As a thief of the responder's static key poses as the owner of `public`, whose secret it does not know.
    #[cfg(test)]
    pub(super) fn impersonate(&mut self, public: [u8; 32], stolen: KeyPair) {
        self.posing = Some((public, stolen));
    }

    /// The other side's static key, once it is known.
    pub(super) fn remote_static(&self) -> Option<[u8; 32]> {
        self.rs
    }

    fn tokens(&mut self, writing: bool) -> Result<&'static [Token], Refused> {
        let mine = self.step.is_multiple_of(2) == self.initiator;
        if mine != writing {
            return Err(Refused);
        }
        let tokens = self.pattern.messages.get(self.step).ok_or(Refused)?;
        self.step = self.step.saturating_add(1);
        Ok(tokens)
    }

    fn mix(&mut self, token: Token) -> Result<(), Refused> {
        // The first letter names the initiator's key, the second the responder's (Noise §5.3).
        let (own_static, their_static) = match (token, self.initiator) {
            (Token::EE, _) => (false, false),
            (Token::SS, _) => (true, true),
            (Token::ES, true) | (Token::SE, false) => (false, true),
            (Token::ES, false) | (Token::SE, true) => (true, false),
            (Token::Psk, _) => {
                let psk = self.psk;
                self.sym.mix_key_and_hash(&psk);
                return Ok(());
            }
            (Token::E | Token::S, _) => return Err(Refused),
        };
        #[cfg(test)]
        if let (Token::SS, Some((public, stolen))) = (token, &self.posing) {
            let shared = dh(stolen, public).ok_or(Refused)?;
            self.sym.mix_key(&shared);
            return Ok(());
        }
        let own = if own_static { &self.s } else { &self.e };
        let theirs = if their_static { self.rs } else { self.re };
        let shared = dh(own.as_ref().ok_or(Refused)?, &theirs.ok_or(Refused)?).ok_or(Refused)?;
        self.sym.mix_key(&shared);
        Ok(())
    }

    /// Appends the next message to `out`. `ephemeral` becomes this side's ephemeral secret if the
    /// message has one.
    pub(super) fn write(&mut self, ephemeral: [u8; 32], payload: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        for &token in self.tokens(true)? {
            match token {
                Token::E => {
                    let pair = KeyPair::new(ephemeral);
                    out.extend_from_slice(&pair.public);
                    self.sym.mix_hash(&pair.public);
                    if self.pattern.psk {
                        self.sym.mix_key(&pair.public);
                    }
                    self.e = Some(pair);
                }
                Token::S => {
                    let public = self.s.as_ref().ok_or(Refused)?.public;
                    #[cfg(test)]
                    let public = self.posing.as_ref().map_or(public, |(public, _)| *public);
                    self.sym.encrypt(&public, out)?;
                }
                Token::EE | Token::ES | Token::SE | Token::SS | Token::Psk => self.mix(token)?,
            }
        }
        self.sym.encrypt(payload, out)
    }

    /// Reads the next message and returns its payload.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut rest = message;
        for &token in self.tokens(false)? {
            match token {
                Token::E => {
                    let (e, tail) = rest.split_first_chunk::<32>().ok_or(Refused)?;
                    rest = tail;
                    self.re = Some(*e);
                    self.sym.mix_hash(e);
                    if self.pattern.psk {
                        self.sym.mix_key(e);
                    }
                }
                Token::S => {
                    let len = if self.sym.k.is_some() { 48 } else { 32 };
                    let (s, tail) = rest.split_at_checked(len).ok_or(Refused)?;
                    rest = tail;
                    let plain = self.sym.decrypt(s)?;
                    self.rs = Some(plain.as_slice().try_into().map_err(|_| Refused)?);
                }
                Token::EE | Token::ES | Token::SE | Token::SS | Token::Psk => self.mix(token)?,
            }
        }
        self.sym.decrypt(rest)
    }

    /// The transport keys, when every message was written or read (Noise §5.2 `Split`).
    pub(super) fn split(&self) -> Result<Split, Refused> {
        if self.step < self.pattern.messages.len() {
            return Err(Refused);
        }
        let [one, two, _] = self.sym.hkdf(&[]);
        Ok(Split { initiator_to_responder: one, responder_to_initiator: two, hash: self.sym.h })
    }
}
