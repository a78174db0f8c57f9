//! One session of two devices: ratchet, epochs and kept keys together, each message on a copy until its tag verified.

use alloc::vec::Vec;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use crate::crypto::dh::KeyPair;
use crate::crypto::kdf::{Key, hkdf};
use crate::machine::{Cx, Outbox};
use crate::session::SESSIONS;
use crate::session::epochs::{Control, Epochs, Subject};
use crate::session::first::Agreement;
use crate::session::kept::{Kept, KeptKeys, PLACE_LEN, Place};
use crate::session::ratchet::{MessageKey, NoKey, Ratchet, beginning};
use crate::session::wire::{FIRST_LEN, HEADER_LEN, Header, NONCE_LEN, SUITE, Sealed, TAG_LEN, Tag};
use crate::store::Record;
use crate::time::WallTime;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// Kinds of rows of a session, behind the peer and the tag.
const STATE: u8 = 0;
const OPENING: u8 = 1;
const ANSWER: u8 = 2;
const KEPT: u8 = 3;
/// Bytes of the key of a row before its kind.
pub(super) const PREFIX_LEN: usize = 36;
/// Bodies up to this carry offers and answers: with them and the head of a first message they still fit one message of
/// a link.
const MAX_WITH_CONTROL: usize = 64 << 10;

/// Why a message was not opened. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    /// Its key was used, or is not kept any more.
    Old,
    /// Its tag does not verify.
    Failed,
    /// It verifies and breaks a rule, or is under an epoch that this side cannot hold.
    Broken,
}

/// A session with one device.
pub(super) struct Session {
    /// Its name in messages to this device.
    pub(super) mine: Tag,
    theirs: Tag,
    ad: Key,
    pub(super) initiator: bool,
    /// The other side has shown that it holds the session: of an initiator's, it answered; of a responder's, it has the
    /// answer.
    pub(super) confirmed: bool,
    /// Receives only: another took its place.
    pub(super) retired: bool,
    /// The session with the highest is the one last opened.
    pub(super) rank: u32,
    /// The bundle of the responder.
    pub(super) bundle: u32,
    /// When a message was last opened or, before that, when it was made.
    pub(super) used: WallTime,
    /// It changed since it was stored.
    pub(super) dirty: bool,
    /// The session identity key of the other side; none after a restart.
    pub(super) with: Option<Key>,
    ratchet: Ratchet,
    epochs: Epochs,
    kept: KeptKeys,
    /// The head of every message of the initiator until the first answer.
    opening: Option<Vec<u8>>,
    /// Rows to be written or deleted, by what follows the peer and the tag.
    changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Keys and nonces of what was sealed, for tests that look for repeats.
    #[cfg(test)]
    pub(super) used_keys: Vec<(Key, [u8; NONCE_LEN])>,
}

fn tag(root: &Key, device: &Key) -> Tag {
    let mut hasher = blake3::Hasher::new_derive_key("DONP v1 session tag");
    hasher.update(root).update(device);
    hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

impl Session {
    /// The session of the peer that used a bundle; `opening` goes before its messages.
    pub(super) fn initiate(
        agreement: &Agreement,
        devices: (&Key, &Key),
        (bundle, prekey): (u32, Key),
        opening: Vec<u8>,
        cx: &mut Cx<'_>,
    ) -> Option<Self> {
        let ratchet = Ratchet::initiate(&agreement.root, prekey, cx.rng)?;
        let mut session = Self::new(agreement, true, ratchet, devices, bundle, cx.wall);
        session.changes.push((alloc::vec![OPENING], Some(opening.clone())));
        session.opening = Some(opening);
        Some(session)
    }

    /// The session of the owner of a bundle.
    pub(super) fn respond(
        agreement: &Agreement,
        devices: (&Key, &Key),
        (bundle, prekey): (u32, KeyPair),
        wall: WallTime,
    ) -> Self {
        Self::new(agreement, false, Ratchet::respond(&agreement.root, prekey), devices, bundle, wall)
    }

    fn new(
        agreement: &Agreement,
        initiator: bool,
        ratchet: Ratchet,
        (own, other): (&Key, &Key),
        bundle: u32,
        wall: WallTime,
    ) -> Self {
        Self {
            mine: tag(&agreement.root, own),
            theirs: tag(&agreement.root, other),
            ad: agreement.ad,
            initiator,
            confirmed: false,
            retired: false,
            rank: 0,
            bundle,
            used: wall,
            dirty: true,
            ratchet,
            epochs: Epochs::new(initiator, &agreement.epoch, wall),
            kept: KeptKeys::default(),
            opening: None,
            changes: Vec::new(),
            with: None,
            #[cfg(test)]
            used_keys: Vec::new(),
        }
    }

    /// Seals a body under the next key. None if this side has no sending chain, or came to its end.
    pub(super) fn seal(&mut self, (subject, body): (Subject, &[u8]), cx: &mut Cx<'_>) -> Option<Vec<u8>> {
        let (key, dh, before, number) = self.ratchet.next_key()?;
        self.dirty = true;
        let epoch = self.epochs.sending();
        let header = Header { tag: self.theirs, dh, before, number, epoch };
        let mut control =
            if body.len() <= MAX_WITH_CONTROL { self.epochs.attach(cx.wall, cx.rng) } else { alloc::vec![0] };
        subject.mark(&mut control);
        let opening = self.opening.as_deref().unwrap_or_default();
        let nonce = cx.rng.bytes::<NONCE_LEN>();
        let mut out = Vec::with_capacity(
            opening.len().saturating_add(body.len()).saturating_add(control.len()).saturating_add(88),
        );
        for part in [opening, &header.encode(), &nonce, &control, body] {
            out.extend_from_slice(part);
        }
        let at = opening.len().saturating_add(HEADER_LEN).saturating_add(NONCE_LEN);
        let key = self.sealing_key(&key, epoch)?;
        let tag = XChaCha20Poly1305::new((&*key).into())
            .encrypt_inout_detached(&nonce.into(), &self.aad(&header), InOutBuf::from(out.get_mut(at..)?))
            .ok()?;
        out.extend_from_slice(&tag);
        #[cfg(test)]
        self.used_keys.push((*key, nonce));
        Some(out)
    }

    /// Opens a message of this session and gives its body. Nothing changes if it does not open.
    pub(super) fn open(&mut self, message: &Sealed<'_>, cx: &mut Cx<'_>) -> Result<(Subject, Vec<u8>), Unopened> {
        let Header { dh, number, epoch, .. } = message.header;
        if epoch > self.epochs.newest() {
            return Err(Unopened::Broken);
        }
        if self.epochs.secret(epoch).is_none() {
            return Err(Unopened::Old);
        }
        let place = Place { dh: beginning(&dh), number };
        let mut fresh = Vec::new();
        let (turned, used, key) = match self.kept.find(place) {
            Some(kept) => (None, Some(place), MessageKey(kept.key)),
            None => {
                let mut ratchet = self.ratchet.clone();
                let key = ratchet.key_of(&message.header, cx.wall, cx.rng, &mut fresh).map_err(|why| match why {
                    NoKey::Old => Unopened::Old,
                    NoKey::Invalid => Unopened::Failed,
                })?;
                (Some(ratchet), None, key)
            }
        };
        let plain = self.decrypt(message, &key, epoch).ok_or(Unopened::Failed)?;
        let (control, body) = Control::decode(&plain).map_err(|Malformed| Unopened::Broken)?;
        let mut epochs = self.epochs.clone();
        epochs.take(epoch, &control, cx.wall, cx.rng).map_err(|_| Unopened::Broken)?;
        let body = (control.subject, body.to_vec());
        self.commit(turned, epochs, used, fresh, cx.wall);
        Ok(body)
    }

    fn decrypt(&self, message: &Sealed<'_>, key: &MessageKey, epoch: u16) -> Option<Zeroizing<Vec<u8>>> {
        let key = self.sealing_key(key, epoch)?;
        let (_, rest) = message.bytes.split_first_chunk::<HEADER_LEN>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let buffer = InOutBuf::from(plain.as_mut_slice());
        XChaCha20Poly1305::new((&*key).into())
            .decrypt_inout_detached(&(*nonce).into(), &self.aad(&message.header), buffer, &(*tag).into())
            .ok()?;
        Some(plain)
    }

    /// All that an opened message changes.
    fn commit(
        &mut self,
        ratchet: Option<Ratchet>,
        epochs: Epochs,
        used: Option<Place>,
        fresh: Vec<Kept>,
        wall: WallTime,
    ) {
        let had = self.epochs.answer().map(<[u8]>::len);
        self.epochs = epochs;
        if let Some(ratchet) = ratchet {
            self.ratchet = ratchet;
        }
        if self.epochs.answer().map(<[u8]>::len) != had {
            self.changes.push((alloc::vec![ANSWER], self.epochs.answer().map(<[u8]>::to_vec)));
        }
        if self.opening.take().is_some() {
            self.changes.push((alloc::vec![OPENING], None));
        }
        self.confirmed |= self.initiator;
        self.used = wall;
        self.dirty = true;
        self.keep(used, fresh, wall);
    }

    fn keep(&mut self, used: Option<Place>, fresh: Vec<Kept>, wall: WallTime) {
        if used.is_some() || !fresh.is_empty() || self.kept.len() > 0 {
            let row = |place: Place| [&[KEPT], place.encode().as_slice()].concat();
            self.changes.extend(fresh.iter().map(|kept| (row(kept.place), Some(kept.row()))));
            let gone = self.kept.change(used, fresh, wall);
            self.changes.extend(gone.into_iter().map(|place| (row(place), None)));
        }
        self.epochs.wipe(self.kept.len() > 0);
    }

    /// Wipes kept keys that are over.
    pub(super) fn tend(&mut self, wall: WallTime) {
        self.keep(None, Vec::new(), wall);
        self.dirty |= !self.changes.is_empty();
    }

    fn sealing_key(&self, key: &MessageKey, epoch: u16) -> Option<Zeroizing<Key>> {
        let secret = self.epochs.secret(epoch)?;
        let parts: [&[u8]; 2] = [&key.0, &epoch.to_le_bytes()];
        Some(Zeroizing::new(hkdf(secret, &parts, &[b"DONP v1 message", &[SUITE]])))
    }

    fn aad(&self, header: &Header) -> [u8; 32 + HEADER_LEN] {
        let mut out = [0; 32 + HEADER_LEN];
        out.iter_mut().zip(self.ad.into_iter().chain(header.encode())).for_each(|(to, from)| *to = from);
        out
    }

    /// The X25519 prekey that it was begun with, of an initiator's session that is not answered.
    pub(super) fn prekey(&self) -> Key {
        self.ratchet.theirs()
    }

    /// Whether it should be replaced: its epochs have no more numbers.
    pub(super) fn is_spent(&self) -> bool {
        self.epochs.is_spent()
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Writes what changed. Layout of the state: version 1, bits 1 (initiator, confirmed, retired), their tag 4, bound
    /// data 32, rank 4, bundle 4, used 8, ratchet 212, epochs 200.
    pub(super) fn save<O>(&mut self, peer: &[u8; 32], out: &mut Outbox<O>) {
        self.dirty = false;
        let prefix = [peer.as_slice(), &self.mine].concat();
        let mut state = Vec::with_capacity(470);
        let bits = u8::from(self.initiator) | u8::from(self.confirmed) << 1 | u8::from(self.retired) << 2;
        state.extend_from_slice(&[VERSION, bits]);
        state.extend_from_slice(&self.theirs);
        state.extend_from_slice(&self.ad);
        state.extend_from_slice(&self.rank.to_le_bytes());
        state.extend_from_slice(&self.bundle.to_le_bytes());
        state.extend_from_slice(&self.used.0.to_le_bytes());
        self.ratchet.write(&mut state);
        self.epochs.write(&mut state);
        out.put(SESSIONS, [prefix.as_slice(), &[STATE]].concat(), state);
        for (row, value) in self.changes.drain(..) {
            let key = [prefix.as_slice(), &row].concat();
            match value {
                Some(value) => out.put(SESSIONS, key, value),
                None => out.delete(SESSIONS, key),
            }
        }
    }

    /// Deletes all its rows.
    pub(super) fn delete<O>(&self, peer: &[u8; 32], out: &mut Outbox<O>) {
        let kept = self.kept.places().map(|place| [&[KEPT], place.encode().as_slice()].concat());
        for row in [alloc::vec![STATE], alloc::vec![OPENING], alloc::vec![ANSWER]].into_iter().chain(kept) {
            out.delete(SESSIONS, [peer.as_slice(), &self.mine, &row].concat());
        }
    }

    /// Reads the rows of one session, in the order of their keys.
    pub(super) fn read(rows: &[Record]) -> Result<Self, Malformed> {
        let (mut state, mut opening, mut answer, mut kept) = (None, None, None, Vec::new());
        let mut mine = [0; 4];
        for Record { key, value, .. } in rows {
            let (prefix, rest) = key.split_first_chunk::<PREFIX_LEN>().ok_or(Malformed)?;
            mine = *prefix.last_chunk().ok_or(Malformed)?;
            match rest.split_first().ok_or(Malformed)? {
                (&STATE, []) => state = Some(value),
                (&OPENING, []) => opening = Some(value.clone()),
                (&ANSWER, []) => answer = Some(value.clone()),
                (&KEPT, place) if place.len() == PLACE_LEN => kept.push(Kept::read(place, value)?),
                _ => return Err(Malformed),
            }
        }
        let mut r = Reader(state.ok_or(Malformed)?);
        let [version, bits] = r.take()?;
        let initiator = bits & 1 != 0;
        let session = Self {
            mine,
            theirs: r.take()?,
            ad: r.take()?,
            initiator,
            confirmed: bits & 2 != 0,
            retired: bits & 4 != 0,
            rank: u32::from_le_bytes(r.take()?),
            bundle: u32::from_le_bytes(r.take()?),
            used: WallTime(u64::from_le_bytes(r.take()?)),
            dirty: false,
            ratchet: Ratchet::read(&mut r)?,
            epochs: Epochs::read(initiator, &mut r, answer)?,
            kept: KeptKeys::restore(kept),
            opening,
            changes: Vec::new(),
            with: None,
            #[cfg(test)]
            used_keys: Vec::new(),
        };
        let fits = version == VERSION && bits < 8 && r.0.is_empty();
        let opening = session.opening.as_ref().is_none_or(|head| head.len() == FIRST_LEN);
        if fits && opening { Ok(session) } else { Err(Malformed) }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.opening.is_some() && !self.initiator {
            return Err("the responder of a session opens it");
        }
        self.epochs.check()
    }
}

const VERSION: u8 = 1;
