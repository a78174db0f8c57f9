//! KEM epochs: a new secret of ML-KEM-768 every 64 messages or 24 hours, mixed into the key of each message, so that a
//! session heals after a theft from an attacker with a quantum computer too (Apple's PQ3 rekeys so; eprint 2025/078,
//! Dodis, Jost, Katsumata, Prest, Schmidt).
//!
//! The offer of an epoch is a fresh encapsulation key, the answer a ciphertext to it. Odd epochs are offered by the
//! responder of the session, even ones by its initiator. An epoch is used only when the other side surely holds it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::kdf::{Key, hkdf, sha256};
use crate::crypto::kem::{CT_LEN, EK_LEN, SEED_LEN, decapsulate, encapsulate, encapsulation_key};
use crate::rng::Rng;
use crate::time::WallTime;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// Epochs held at once: the newest, and two whose messages may be on their way.
const HELD: usize = 3;
/// Messages of an epoch, both directions together, before the next is offered: 2,278 bytes of an epoch are then 36 of
/// each message. PQ3 renews after about 50.
const MESSAGES: u32 = 64;
/// Time of an epoch in which both sides said something: a day.
const LIFE: u64 = 86_400_000;
/// Own messages after which an offer or an answer is attached once more: the one that carried it was an acknowledgement,
/// which is not repeated, or failed.
const AGAIN: u8 = 32;

const OFFER: u8 = 1;
const ANSWER: u8 = 2;
const HISTORY: u8 = 4;
const GROUP: u8 = 8;
const DEVICE: u8 = 16;
const REGISTER: u8 = 32;

/// Whom a body is for at the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A message or what answers it.
    Message,
    /// What two devices say to catch up.
    History,
    /// What two members say about a group: operations, secrets of epochs.
    Group,
    /// What a device says to another to become one of its account.
    Device,
    /// What own devices say of what their person set.
    Register,
}

impl Subject {
    /// Says so in a control.
    pub(super) fn mark(self, control: &mut [u8]) {
        if let Some(bits) = control.first_mut() {
            *bits |= match self {
                Self::Message => 0,
                Self::History => HISTORY,
                Self::Group => GROUP,
                Self::Device => DEVICE,
                Self::Register => REGISTER,
            };
        }
    }
}

/// The other side breaks a rule of epochs: only a new session helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What stands before the body of a message: control 1, offer (epoch 2, key 1,184), answer (epoch 2, ciphertext 1,088).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control<'a> {
    pub(super) subject: Subject,
    offer: Option<(u16, &'a [u8])>,
    answer: Option<(u16, &'a [u8])>,
}

impl<'a> Control<'a> {
    /// The control of a message, and its body.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let mut r = Reader(bytes);
        let [bits] = r.take()?;
        if bits & !(OFFER | ANSWER | HISTORY | GROUP | DEVICE | REGISTER) != 0 {
            return Err(Malformed);
        }
        let mut part = |bit, len| {
            let wanted = bits & bit != 0;
            wanted.then(|| Ok((u16::from_le_bytes(r.take()?), r.slice(len)?))).transpose()
        };
        let subject = match bits & (HISTORY | GROUP | DEVICE | REGISTER) {
            0 => Subject::Message,
            HISTORY => Subject::History,
            GROUP => Subject::Group,
            DEVICE => Subject::Device,
            REGISTER => Subject::Register,
            _ => return Err(Malformed),
        };
        let control = Self { subject, offer: part(OFFER, EK_LEN)?, answer: part(ANSWER, CT_LEN)? };
        Ok((control, r.0))
    }
}

/// The epochs of one side of a session.
#[derive(Clone)]
pub(super) struct Epochs {
    initiator: bool,
    newest: u16,
    /// Of the newest epoch and those before it.
    secrets: [Key; HELD],
    /// INVARIANT: 1 to [`HELD`] of them are held.
    held: u16,
    /// What this side sends under.
    sending: u16,
    /// The newest that the other side sent under; none before its first message.
    received: Option<u16>,
    /// Messages of both directions since the newest epoch is in use, own ones, and since when.
    messages: u32,
    own: bool,
    began: WallTime,
    /// The seed of the key that is offered for the epoch after the newest.
    offer: Option<Box<Zeroizing<[u8; SEED_LEN]>>>,
    /// The beginning of the hash of the key that was answered for the newest epoch.
    answered: [u8; 16],
    /// The answer that brings the newest epoch, until the other side uses it.
    answer: Option<Vec<u8>>,
    /// Own messages since an offer or an answer was attached.
    since: u8,
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.secrets.zeroize();
    }
}

fn half(hash: &Key) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

/// The secret of epoch `k` from that of the one before.
fn next(before: &Key, secret: &Key, k: u16, key: &[u8], ciphertext: &[u8]) -> Key {
    let bound = sha256(&[key, ciphertext]);
    hkdf(before, &[secret], &[b"DONP v1 pq epoch", &k.to_le_bytes(), &bound])
}

impl Epochs {
    pub(super) fn new(initiator: bool, secret: &Key, wall: WallTime) -> Self {
        Self {
            initiator,
            newest: 0,
            secrets: [*secret, [0; 32], [0; 32]],
            held: 1,
            sending: 0,
            received: None,
            messages: 0,
            own: false,
            began: wall,
            offer: None,
            answered: [0; 16],
            answer: None,
            since: AGAIN,
        }
    }

    /// What this side sends under.
    pub(super) fn sending(&self) -> u16 {
        self.sending
    }

    pub(super) fn newest(&self) -> u16 {
        self.newest
    }

    /// Whether there is no epoch after the newest.
    pub(super) fn is_spent(&self) -> bool {
        self.newest == u16::MAX && self.messages >= MESSAGES
    }

    /// The secret of an epoch; none if it is not held any more, or not yet.
    pub(super) fn secret(&self, epoch: u16) -> Option<&Key> {
        let age = self.newest.checked_sub(epoch).filter(|age| *age < self.held)?;
        self.secrets.get(usize::from(age))
    }

    /// Whether this side makes the epoch after the newest.
    fn is_mine(&self) -> bool {
        // The epoch after the newest is odd if the newest is even.
        self.newest.is_multiple_of(2) != self.initiator
    }

    fn is_due(&self, wall: WallTime) -> bool {
        self.is_mine()
            && self.newest < u16::MAX
            && self.received == Some(self.newest)
            && self.sending == self.newest
            && (self.newest == 0
                || self.messages >= MESSAGES
                || (self.own && wall.0.saturating_sub(self.began.0) >= LIFE))
    }

    /// What goes before the body of the next own message. An offer or answer goes with one message, which the outbox
    /// repeats.
    pub(super) fn attach(&mut self, wall: WallTime, rng: &mut Rng) -> Vec<u8> {
        self.messages = self.messages.saturating_add(1);
        self.own = true;
        self.since = self.since.saturating_add(1);
        if self.offer.is_none() && self.answer.is_none() && self.is_due(wall) {
            self.offer = Some(Box::new(Zeroizing::new(rng.bytes())));
            self.since = AGAIN;
        }
        let due = self.since >= AGAIN;
        match (&self.offer, &self.answer) {
            (Some(seed), _) if due => {
                self.since = 0;
                let k = self.newest.saturating_add(1);
                [&[OFFER], k.to_le_bytes().as_slice(), &encapsulation_key(seed)].concat()
            }
            (None, Some(ciphertext)) if due => {
                self.since = 0;
                [&[ANSWER], self.newest.to_le_bytes().as_slice(), ciphertext].concat()
            }
            _ => alloc::vec![0],
        }
    }

    /// Takes what an opened message under this epoch carried. Call on a copy.
    pub(super) fn take(
        &mut self,
        epoch: u16,
        control: &Control<'_>,
        wall: WallTime,
        rng: &mut Rng,
    ) -> Result<(), Broken> {
        self.messages = self.messages.saturating_add(1);
        self.received = self.received.max(Some(epoch));
        if epoch == self.newest {
            // The other side holds it: it needs no answer any more, and this side may use it.
            self.answer = None;
            if self.sending != self.newest {
                self.begin(wall);
            }
        }
        if let Some((k, ciphertext)) = control.answer {
            self.answered(k, ciphertext, wall)?;
        }
        match control.offer {
            Some((k, key)) => self.offered(k, key, rng),
            None => Ok(()),
        }
    }

    fn begin(&mut self, wall: WallTime) {
        self.sending = self.newest;
        self.messages = 0;
        self.own = false;
        self.began = wall;
    }

    fn push(&mut self, secret: Key) {
        self.secrets.rotate_right(1);
        if let Some(first) = self.secrets.first_mut() {
            *first = secret;
        }
        self.newest = self.newest.saturating_add(1);
        self.held = self.held.saturating_add(1).min(HELD as u16);
    }

    fn answered(&mut self, k: u16, ciphertext: &[u8], wall: WallTime) -> Result<(), Broken> {
        if k <= self.newest {
            return Ok(()); // A repeat.
        }
        let seed = self.offer.take().filter(|_| k == self.newest.saturating_add(1)).ok_or(Broken)?;
        let (secret, key) = decapsulate(&seed, ciphertext).ok_or(Broken)?;
        let before = self.secret(self.newest).ok_or(Broken)?;
        self.push(next(before, &secret, k, &key, ciphertext));
        self.begin(wall);
        Ok(())
    }

    fn offered(&mut self, k: u16, key: &[u8], rng: &mut Rng) -> Result<(), Broken> {
        let hash = half(&sha256(&[key]));
        // Odd epochs are the responder's.
        if (k % 2 == 1) != self.initiator || k == 0 {
            return Err(Broken);
        }
        match self.newest.checked_sub(k) {
            Some(0) if hash != self.answered => Err(Broken),
            Some(_) => Ok(()),
            None if k == self.newest.saturating_add(1) => {
                let (ciphertext, secret) = encapsulate(key, rng).ok_or(Broken)?;
                let secret = Zeroizing::new(secret);
                let before = self.secret(self.newest).ok_or(Broken)?;
                self.push(next(before, &secret, k, key, &ciphertext));
                self.answered = hash;
                self.answer = Some(ciphertext);
                self.since = AGAIN;
                Ok(())
            }
            None => Err(Broken),
        }
    }

    /// Wipes the epochs that no message on its way needs: with no kept key, all before those in use.
    pub(super) fn wipe(&mut self, any_kept: bool) {
        let used = self.sending.min(self.received.unwrap_or(0));
        let needed = self.newest.saturating_sub(used).saturating_add(1);
        if !any_kept && needed < self.held {
            self.held = needed;
            for secret in self.secrets.iter_mut().skip(usize::from(needed)) {
                secret.zeroize();
            }
        }
    }

    pub(super) fn answer(&self) -> Option<&[u8]> {
        self.answer.as_deref()
    }

    /// Newest 2, held 2, secrets 96, sending 2, received 3 (0 or 1, epoch), messages 4, own 1, began 8, since 1, hash of
    /// the answered key 16, seed 64 (zeros for none). The answer stands apart.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.newest.to_le_bytes());
        out.extend_from_slice(&self.held.to_le_bytes());
        out.extend_from_slice(self.secrets.as_flattened());
        out.extend_from_slice(&self.sending.to_le_bytes());
        out.push(u8::from(self.received.is_some()));
        out.extend_from_slice(&self.received.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.messages.to_le_bytes());
        out.push(u8::from(self.own));
        out.extend_from_slice(&self.began.0.to_le_bytes());
        out.push(self.since);
        out.extend_from_slice(&self.answered);
        out.extend_from_slice(self.offer.as_ref().map_or(&[0; SEED_LEN], |seed| &***seed));
    }

    pub(super) fn read(initiator: bool, r: &mut Reader<'_>, answer: Option<Vec<u8>>) -> Result<Self, Malformed> {
        let number = |bytes| u16::from_le_bytes(bytes);
        let (newest, held) = (number(r.take()?), number(r.take()?));
        let (secrets, _) = r.slice(32 * HELD)?.as_chunks();
        let secrets = secrets.try_into().map_err(|_| Malformed)?;
        let sending = number(r.take()?);
        let [some] = r.take()?;
        let received = number(r.take()?);
        let messages = u32::from_le_bytes(r.take()?);
        let [own] = r.take()?;
        let began = WallTime(u64::from_le_bytes(r.take()?));
        let [since] = r.take()?;
        let answered = r.take()?;
        let seed: [u8; SEED_LEN] = r.take()?;
        let received = (some == 1).then_some(received);
        let valid = (1..=HELD as u16).contains(&held)
            && held <= newest.saturating_add(1)
            && sending <= newest
            && received.is_none_or(|r| r <= newest)
            && some <= 1
            && own <= 1
            && answer.as_ref().is_none_or(|ciphertext| ciphertext.len() == CT_LEN);
        if !valid {
            return Err(Malformed);
        }
        let offer = (seed != [0; SEED_LEN]).then(|| Box::new(Zeroizing::new(seed)));
        let own = own == 1;
        Ok(Self {
            initiator,
            newest,
            secrets,
            held,
            sending,
            received,
            messages,
            own,
            began,
            offer,
            answered,
            answer,
            since,
        })
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.held {
            1..=3 if self.secret(self.sending).is_some() => Ok(()),
            1..=3 => Err("a session sends under an epoch that it does not hold"),
            _ => Err("a session holds no epoch, or too many"),
        }
    }
}
