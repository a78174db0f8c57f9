//! This device's keys for sessions: the session identity key, the prekeys of the last 30 days, what proves them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::dh::KeyPair;
use crate::crypto::kem::{SEED_LEN, encapsulation_key};
use crate::identity::Identity;
use crate::machine::{Cx, Outbox};
use crate::session::bundle::{Binding, Bundle, LIFETIME};
use crate::session::wire::{BINDING_LEN, SUITES};
use crate::session::{KEYS, PREKEYS};
use crate::store::Record;
use crate::time::{Duration, WallTime};
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// The row of [`KEYS`].
const IDENTITY: &[u8] = b"identity";
/// Prekeys are replaced every 7 days, as Signal's are at least every month (X3DH, revision 1, §3.2): a theft of today's
/// opens first messages of a week.
const RENEW: u64 = 7 * 86_400_000;
/// Those that are used up by one sender are replaced after a day already.
const RENEW_SOONER: u64 = 86_400_000;
/// Bundles whose secrets are kept: one a day for 30 days at the most.
const MOST_BUNDLES: usize = 31;

/// The secrets of one bundle.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Prekeys {
    #[zeroize(skip)]
    pub(super) id: u32,
    prekey: [u8; 32],
    pub(super) seed: [u8; SEED_LEN],
    #[zeroize(skip)]
    created: WallTime,
}

impl Prekeys {
    /// The X25519 prekey.
    pub(super) fn prekey(&self) -> KeyPair {
        KeyPair::new(self.prekey)
    }

    /// Made at 8, X25519 secret 32, seed 64, under the id.
    fn read(Record { key, value, .. }: &Record) -> Result<Self, Malformed> {
        let id = u32::from_be_bytes(key.as_slice().try_into().map_err(|_| Malformed)?);
        let mut r = Reader(value);
        let created = WallTime(u64::from_le_bytes(r.take()?));
        let prekeys = Self { id, prekey: r.take()?, seed: r.take()?, created };
        if r.0.is_empty() { Ok(prekeys) } else { Err(Malformed) }
    }

    fn row(&self) -> Vec<u8> {
        [self.created.0.to_le_bytes().as_slice(), &self.prekey, &self.seed].concat()
    }

    /// How old they are; a clock that was set back counts as no time passed.
    fn age(&self, wall: WallTime) -> u64 {
        wall.0.saturating_sub(self.created.0)
    }
}

pub(super) struct Keys {
    device: Identity,
    pub(super) identity: KeyPair,
    pub(super) binding: [u8; BINDING_LEN],
    /// Oldest first. INVARIANT: not empty, and ids rise.
    prekeys: VecDeque<Prekeys>,
    /// The newest bundle, made when it is first asked for: it costs as much as two Diffie-Hellman results.
    bundle: Option<Vec<u8>>,
}

impl Keys {
    /// Loads or makes the keys.
    pub(super) fn load<O>(
        device: &Identity,
        records: &[Record],
        cx: &mut Cx<'_>,
        out: &mut Outbox<O>,
    ) -> Result<Self, Malformed> {
        let stored = records.iter().find(|r| r.table == KEYS);
        let secret: [u8; 32] = match stored {
            Some(record) if record.key == IDENTITY => record.value.as_slice().try_into().map_err(|_| Malformed)?,
            Some(_) => return Err(Malformed),
            None => cx.rng.bytes(),
        };
        if stored.is_none() {
            out.put(KEYS, IDENTITY.to_vec(), secret.to_vec());
        }
        let identity = KeyPair::new(secret);
        let binding = Binding::sign(device, &identity.public, cx.wall.0);
        let prekeys = records.iter().filter(|r| r.table == PREKEYS).map(Prekeys::read).collect::<Result<_, _>>()?;
        let mut keys = Self { device: device.clone(), identity, binding, prekeys, bundle: None };
        keys.tend(cx, false, out);
        Ok(keys)
    }

    /// Renews the prekeys if they are old enough, or a day old and used up, and wipes what is over. Gives the ids of
    /// the wiped.
    pub(super) fn tend<O>(&mut self, cx: &mut Cx<'_>, used_up: bool, out: &mut Outbox<O>) -> Vec<u32> {
        let after = if used_up { RENEW_SOONER } else { RENEW };
        let last = self.prekeys.back();
        if last.is_none_or(|p| p.age(cx.wall) >= after) {
            // A device that lost its store goes on beyond what others saw of it: ids are at least the weeks since 1970.
            let weeks = u32::try_from(cx.wall.0 / RENEW).unwrap_or(0);
            let id = last.map_or(1, |p| p.id.saturating_add(1)).max(weeks);
            let fresh = Prekeys { id, prekey: cx.rng.bytes(), seed: cx.rng.bytes(), created: cx.wall };
            out.put(PREKEYS, id.to_be_bytes().to_vec(), fresh.row());
            self.prekeys.push_back(fresh);
            self.bundle = None;
        }
        let mut wiped = Vec::new();
        while self.prekeys.len() > 1
            && (self.prekeys.len() > MOST_BUNDLES || self.prekeys.front().is_some_and(|p| p.age(cx.wall) >= LIFETIME))
        {
            if let Some(old) = self.prekeys.pop_front() {
                out.delete(PREKEYS, old.id.to_be_bytes().to_vec());
                wiped.push(old.id);
            }
        }
        wiped
    }

    /// How long until [`tend`](Self::tend) has something to do.
    pub(super) fn due_in(&self, wall: WallTime) -> Duration {
        let left = |prekeys: Option<&Prekeys>, life: u64| prekeys.map_or(0, |p| life.saturating_sub(p.age(wall)));
        let renew = left(self.prekeys.back(), RENEW);
        let wipe = if self.prekeys.len() > 1 { left(self.prekeys.front(), LIFETIME) } else { renew };
        Duration::from_millis(renew.min(wipe).max(1))
    }

    /// The newest bundle, as it travels.
    pub(super) fn bundle(&mut self) -> &[u8] {
        let (device, identity) = (&self.device, &self.identity);
        let newest = self.prekeys.back();
        self.bundle.get_or_insert_with(|| {
            let Some(newest) = newest else { return Vec::new() };
            let bundle = Bundle {
                suites: SUITES,
                device: device.public_key(),
                identity: identity.public,
                id: newest.id,
                prekey: newest.prekey().public,
                encapsulation: encapsulation_key(&newest.seed),
            };
            bundle.sign(device, newest.created.0)
        })
    }

    /// This device's Ed25519 key.
    pub(super) fn device(&self) -> [u8; 32] {
        self.device.public_key()
    }

    /// The secrets of a bundle; none if it was never made, or is wiped.
    pub(super) fn prekeys(&self, id: u32) -> Option<&Prekeys> {
        self.prekeys.iter().find(|p| p.id == id)
    }

    pub(super) fn len(&self) -> usize {
        self.prekeys.len()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let rising = self.prekeys.iter().zip(self.prekeys.iter().skip(1)).all(|(a, b)| a.id < b.id);
        if self.prekeys.is_empty() || !rising { Err("there is no bundle, or their ids do not rise") } else { Ok(()) }
    }
}
