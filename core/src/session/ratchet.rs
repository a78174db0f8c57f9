//! The Double Ratchet (Perrin, Marlinspike, *The Double Ratchet Algorithm*, revision 4, §3): one key for each message,
//! a new Diffie-Hellman secret for each change of direction. Works alone: the KEM epochs touch nothing here.

use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::dh::{KeyPair, dh};
use crate::crypto::kdf::{Key, hkdf_pair, hmac};
use crate::rng::Rng;
use crate::session::kept::{Kept, Place};
use crate::session::wire::Header;
use crate::time::WallTime;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// Messages that one message may skip: as vodozemac's `MAX_MESSAGE_GAP` (matrix-org/vodozemac,
/// `src/olm/session/receiver_chain.rs`).
const MAX_JUMP: u32 = 2_000;
/// Chains of the other side that are known again after they ended: as many as libsignal keeps.
const PAST: usize = 5;

/// One side of a ratchet.
#[derive(Clone)]
pub(super) struct Ratchet {
    root: Key,
    own: KeyPair,
    theirs: Key,
    sending: Option<Key>,
    receiving: Option<Key>,
    sent: u32,
    received: u32,
    /// Messages of the sending chain before this one.
    before: u32,
    /// The beginnings of the other side's last keys, newest first.
    past: [[u8; 8]; PAST],
}

impl Drop for Ratchet {
    fn drop(&mut self) {
        self.root.zeroize();
        self.sending.zeroize();
        self.receiving.zeroize();
    }
}

/// The key of one message.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct MessageKey(pub(super) Key);

/// Why a message has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// It was opened before, or is older than what is kept.
    Old,
    /// It skips more than may be, or comes under a weak key.
    Invalid,
}

/// The beginning of a ratchet key: enough to tell a session's keys apart.
pub(super) fn beginning(key: &Key) -> [u8; 8] {
    key.first_chunk().copied().unwrap_or_default()
}

/// The key of the next message, and the chain after it.
fn advance(chain: &Key) -> (MessageKey, Key) {
    (MessageKey(hmac(chain, &[&[1]])), hmac(chain, &[&[2]]))
}

impl Ratchet {
    /// The initiator's side: `theirs` is the X25519 prekey of the other.
    pub(super) fn initiate(root: &Key, theirs: Key, rng: &mut Rng) -> Option<Self> {
        let mut ratchet = Self::respond(root, KeyPair::new(rng.bytes()));
        ratchet.theirs = theirs;
        let shared = Zeroizing::new(dh(&ratchet.own, &theirs)?);
        let (root, chain) = hkdf_pair(&ratchet.root, &[&*shared], &[b"DONP v1 ratchet"]);
        ratchet.root = root;
        ratchet.sending = Some(chain);
        Some(ratchet)
    }

    /// The responder's side: its first ratchet key is the prekey that the initiator used.
    pub(super) fn respond(root: &Key, own: KeyPair) -> Self {
        Self {
            root: *root,
            own,
            theirs: [0; 32],
            sending: None,
            receiving: None,
            sent: 0,
            received: 0,
            before: 0,
            past: [[0; 8]; PAST],
        }
    }

    /// The other side's ratchet key.
    pub(super) fn theirs(&self) -> Key {
        self.theirs
    }

    /// The key of the next message to send, with its ratchet key, its number and the messages before it. None before the
    /// first message of the other side, and after 2^32 of one chain.
    pub(super) fn next_key(&mut self) -> Option<(MessageKey, Key, u32, u32)> {
        let number = self.sent;
        let (key, chain) = advance(&self.sending?);
        self.sent = number.checked_add(1)?;
        self.sending = Some(chain);
        Some((key, self.own.public, self.before, number))
    }

    /// The key of a message with this header, on a copy of the ratchet: what it skips goes to `kept`.
    pub(super) fn key_of(
        &mut self,
        header: &Header,
        wall: WallTime,
        rng: &mut Rng,
        kept: &mut Vec<Kept>,
    ) -> Result<MessageKey, NoKey> {
        if header.dh != self.theirs || self.receiving.is_none() {
            if self.past.contains(&beginning(&header.dh)) {
                return Err(NoKey::Old);
            }
            self.skip(header.before, wall, kept)?;
            self.turn(header.dh, rng).ok_or(NoKey::Invalid)?;
        }
        if header.number < self.received {
            return Err(NoKey::Old);
        }
        self.skip(header.number, wall, kept)?;
        let chain = self.receiving.as_ref().ok_or(NoKey::Invalid)?;
        let (key, chain) = advance(chain);
        self.receiving = Some(chain);
        self.received = self.received.checked_add(1).ok_or(NoKey::Invalid)?;
        Ok(key)
    }

    /// Keeps the keys of the messages up to this number of the receiving chain.
    fn skip(&mut self, to: u32, wall: WallTime, kept: &mut Vec<Kept>) -> Result<(), NoKey> {
        let Some(mut chain) = self.receiving else { return Ok(()) };
        if to.saturating_sub(self.received) > MAX_JUMP {
            return Err(NoKey::Invalid);
        }
        while self.received < to {
            let (key, next) = advance(&chain);
            let place = Place { dh: beginning(&self.theirs), number: self.received };
            kept.push(Kept { place, at: wall, key: key.0 });
            chain = next;
            self.received = self.received.saturating_add(1);
        }
        self.receiving = Some(chain);
        chain.zeroize();
        Ok(())
    }

    /// The other side has a new key: a new receiving chain, and a new sending chain under a new own key (§3.5).
    fn turn(&mut self, theirs: Key, rng: &mut Rng) -> Option<()> {
        if self.receiving.is_some() {
            self.past.rotate_right(1);
            if let Some(first) = self.past.first_mut() {
                *first = beginning(&self.theirs);
            }
        }
        let shared = Zeroizing::new(dh(&self.own, &theirs)?);
        let (root, receiving) = hkdf_pair(&self.root, &[&*shared], &[b"DONP v1 ratchet"]);
        let own = KeyPair::new(rng.bytes());
        let shared = Zeroizing::new(dh(&own, &theirs)?);
        let (root, sending) = hkdf_pair(&root, &[&*shared], &[b"DONP v1 ratchet"]);
        self.root = root;
        self.own = own;
        self.theirs = theirs;
        self.receiving = Some(receiving);
        self.sending = Some(sending);
        self.before = self.sent;
        self.sent = 0;
        self.received = 0;
        Some(())
    }

    /// Root 32, own secret 32, their key 32, sending chain 32, receiving chain 32 (zeros for none), sent 4, received 4,
    /// messages before 4, past keys 40.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let none = [0; 32];
        for key in [&self.root, self.own.secret(), &self.theirs] {
            out.extend_from_slice(key);
        }
        for chain in [&self.sending, &self.receiving] {
            out.extend_from_slice(chain.as_ref().unwrap_or(&none));
        }
        for number in [self.sent, self.received, self.before] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.past.as_flattened());
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let some = |key: Key| (key != [0; 32]).then_some(key);
        Ok(Self {
            root: r.take()?,
            own: KeyPair::new(r.take()?),
            theirs: r.take()?,
            sending: some(r.take()?),
            receiving: some(r.take()?),
            sent: u32::from_le_bytes(r.take()?),
            received: u32::from_le_bytes(r.take()?),
            before: u32::from_le_bytes(r.take()?),
            past: {
                let (parts, _) = r.slice(40)?.as_chunks();
                parts.try_into().map_err(|_| Malformed)?
            },
        })
    }
}
