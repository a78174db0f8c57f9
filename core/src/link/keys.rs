//! This node's link keys: the current one, the one before, the record that names them, the newest
//! handshake stamp. The only part of the link layer that is stored; sessions and randomness never are.

use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::identity::{Identity, SIGNATURE_LEN};
use crate::link::KEYS;
use crate::link::cookie::mac1_key;
use crate::link::expiry::prove;
use crate::link::noise::KeyPair;
use crate::link::packet::Stamp;
use crate::machine::{Cx, Outbox};
use crate::store::Record;
use crate::time::WallTime;
use crate::wire::Malformed;
use crate::wire::record::{Claims, NodeRecord, Reader};

/// Rows of [`KEYS`].
const STAMP: &[u8] = b"stamp";
const STATIC: &[u8] = b"static";
const STORED_VERSION: u8 = 1;

/// A static key and the key of the `mac1` of packets to it.
#[derive(Clone)]
pub(super) struct StaticKey {
    pub pair: KeyPair,
    pub mac1: [u8; 32],
    /// When it was made, or when it was replaced for a previous one.
    since: WallTime,
}

impl StaticKey {
    fn new(secret: [u8; 32], since: WallTime) -> Self {
        let pair = KeyPair::new(secret);
        let mac1 = mac1_key(&pair.public);
        Self { pair, mac1, since }
    }
}

pub(super) struct Keys {
    identity: Identity,
    claims: Claims,
    rotation: Duration,
    overlap: Duration,
    pub current: StaticKey,
    pub previous: Option<StaticKey>,
    pub record: NodeRecord,
    /// Which run of the node this is, to its peers.
    pub boot: u64,
    stamp: Stamp,
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

struct Stored {
    current: StaticKey,
    previous: Option<StaticKey>,
    seq: u64,
}

/// Version 1, key 32, made at 8, record sequence 8, then 0 or 1; after a 1: key 32, replaced at 8.
fn read(bytes: &[u8]) -> Result<Stored, Malformed> {
    let mut r = Reader(bytes);
    let [version] = r.take()?;
    if version != STORED_VERSION {
        return Err(Malformed);
    }
    let secret = r.take()?;
    let made = WallTime(u64::from_le_bytes(r.take()?));
    let seq = u64::from_le_bytes(r.take()?);
    let previous = match r.take()? {
        [0] => None,
        [1] => {
            let secret = r.take()?;
            Some(StaticKey::new(secret, WallTime(u64::from_le_bytes(r.take()?))))
        }
        _ => return Err(Malformed),
    };
    if r.0.is_empty() { Ok(Stored { current: StaticKey::new(secret, made), previous, seq }) } else { Err(Malformed) }
}

impl Keys {
    /// Loads or makes the keys and begins a new boot. Everything is written through `out`; the
    /// caller transmits nothing before that is on disk.
    ///
    /// The first stamp is `max(stored + 1, wall milliseconds)`: stamps rise without a clock, and after an
    /// old copy of the store was put back they rise past what was used since, if the clock is right.
    /// The record's sequence follows the same rule in seconds, so that a node brought back from an old
    /// copy is not refused for an outdated record. The boot number is drawn, so that two running copies
    /// of a profile have two; the stamp in it keeps it new where the same randomness comes twice.
    pub(super) fn load<O>(
        config: &Config,
        identity: &Identity,
        stored: &[Record],
        cx: &mut Cx<'_>,
        out: &mut Outbox<O>,
    ) -> Result<Self, Malformed> {
        let row = |key: &[u8]| stored.iter().find(|r| r.key == key).map(|r| r.value.as_slice());
        let seconds = cx.wall.0 / 1_000;
        let last = match row(STAMP) {
            Some(bytes) => Stamp(u64::from_le_bytes(bytes.try_into().map_err(|_| Malformed)?)),
            None => Stamp::default(),
        };
        let stamp = last.next(cx.wall);
        let boot = u64::from_le_bytes(cx.rng.bytes()) ^ stamp.0;
        let kept = match row(STATIC) {
            Some(bytes) => read(bytes)?,
            None => Stored { current: StaticKey::new(cx.rng.bytes(), cx.wall), previous: None, seq: 0 },
        };
        let seq = kept.seq.saturating_add(1).max(seconds);
        let (rotation, overlap) = (config.link.static_key_rotation, config.link.static_key_overlap);
        let record = sign(identity, &kept.current, seq, Claims::from(config), rotation);
        let mut keys = Self {
            identity: identity.clone(),
            claims: Claims::from(config),
            rotation,
            overlap,
            current: kept.current,
            previous: kept.previous,
            record,
            boot,
            stamp,
        };
        out.put(KEYS, STAMP.to_vec(), stamp.0.to_le_bytes().to_vec());
        if !keys.tend(cx, out) {
            keys.store(out);
        }
        Ok(keys)
    }

    fn store<O>(&self, out: &mut Outbox<O>) {
        let mut row = Vec::with_capacity(90);
        row.push(STORED_VERSION);
        row.extend_from_slice(self.current.pair.secret());
        row.extend_from_slice(&self.current.since.0.to_le_bytes());
        row.extend_from_slice(&self.record.seq.to_le_bytes());
        match &self.previous {
            None => row.push(0),
            Some(key) => {
                row.push(1);
                row.extend_from_slice(key.pair.secret());
                row.extend_from_slice(&key.since.0.to_le_bytes());
            }
        }
        out.put(KEYS, STATIC.to_vec(), row);
    }

    /// Time until `since` is `span` old. A clock that was set back counts as no time passed, so a
    /// jump far ahead and back delays the next change by at most one `span`.
    fn left(since: WallTime, span: Duration, wall: WallTime) -> Duration {
        let age = wall.0.saturating_sub(since.0);
        Duration::from_millis(millis(span).saturating_sub(age))
    }

    /// Replaces the key if it is old enough and forgets the one before after its overlap. True if
    /// anything changed (and was written).
    pub(super) fn tend<O>(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<O>) -> bool {
        let mut changed = false;
        if self.previous.as_ref().is_some_and(|k| Self::left(k.since, self.overlap, cx.wall).is_zero()) {
            self.previous = None;
            changed = true;
        }
        if Self::left(self.current.since, self.rotation, cx.wall).is_zero() {
            let fresh = StaticKey::new(cx.rng.bytes(), cx.wall);
            let mut old = core::mem::replace(&mut self.current, fresh);
            old.since = cx.wall;
            self.previous = Some(old);
            self.outdo(self.record.seq, cx.wall, out);
            return true;
        }
        if changed {
            self.store(out);
        }
        changed
    }

    /// Signs the record again, as newer than one with the sequence `seq`.
    pub(super) fn outdo<O>(&mut self, seq: u64, wall: WallTime, out: &mut Outbox<O>) {
        let seq = seq.saturating_add(1).max(wall.0 / 1_000);
        self.record = sign(&self.identity, &self.current, seq, self.claims, self.rotation);
        self.store(out);
    }

    /// This node's device is of another account from now on: a new record says so. Whether it does.
    pub(super) fn set_identity<O>(&mut self, identity: &Identity, cx: &Cx<'_>, out: &mut Outbox<O>) -> bool {
        self.identity = identity.clone();
        if self.record.account == identity.account_id() {
            return false;
        }
        self.outdo(self.record.seq, cx.wall, out);
        true
    }

    /// The proof that the record is current, for the asker with this token.
    pub(super) fn prove_current(&self, token: &[u8; 16]) -> [u8; SIGNATURE_LEN] {
        prove(&self.identity, token, &self.record.encode())
    }

    /// How long until [`tend`](Self::tend) has something to do.
    pub(super) fn due_in(&self, wall: WallTime) -> Duration {
        let rotate = Self::left(self.current.since, self.rotation, wall);
        let forget = self.previous.as_ref().map(|k| Self::left(k.since, self.overlap, wall));
        forget.map_or(rotate, |f| f.min(rotate)).max(Duration::from_millis(1))
    }

    /// The stamp of the next handshake. It is not stored: after a crash without a clock the next run begins below it, and
    /// peers serve that slowly ([`Stamps`](super::stamps::Stamps)).
    pub(super) fn next_stamp(&mut self, wall: WallTime) -> Stamp {
        self.stamp = self.stamp.next(wall);
        self.stamp
    }
}

fn sign(identity: &Identity, key: &StaticKey, seq: u64, claims: Claims, rotation: Duration) -> NodeRecord {
    let not_after = WallTime(key.since.0.saturating_add(millis(rotation)));
    NodeRecord::sign(identity, key.pair.public, seq, not_after, claims)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::collections::OrderedMap;
    use crate::identity::tests::identity;
    use crate::machine::Emit;
    use crate::rng::Rng;
    use crate::store::Op;
    use crate::time::Instant;

    const DAY: u64 = 86_400_000;

    struct Disk(OrderedMap<Vec<u8>, Vec<u8>>);

    impl Disk {
        fn apply(&mut self, out: &mut Outbox<()>) {
            while let Some(emit) = out.pop() {
                if let Emit::Store(Op::Put { table, key, value }) = emit {
                    assert_eq!(table, KEYS);
                    self.0.insert(key, value);
                }
            }
        }

        fn start(&mut self, wall: u64) -> Result<Keys, Malformed> {
            let rows: Vec<_> =
                self.0.clone().into_iter().map(|(key, value)| Record { table: KEYS, key, value }).collect();
            let mut out = Outbox::new();
            let mut rng = Rng::new([wall as u8; 32]);
            let id = identity(1);
            let mut cx = Cx { now: Instant::ZERO, wall: WallTime(wall), me: id.node_id(), rng: &mut rng };
            let keys = Keys::load(&Config::default(), &id, &rows, &mut cx, &mut out)?;
            self.apply(&mut out);
            Ok(keys)
        }
    }

    #[test]
    fn stamps_rise_with_and_without_a_clock_and_after_an_old_copy() {
        let mut disk = Disk(OrderedMap::new());
        let first = disk.start(0).unwrap();
        let second = disk.start(0).unwrap();
        assert_eq!((first.stamp, second.stamp), (Stamp(1), Stamp(2)));
        assert_ne!(first.boot, second.boot, "the same randomness gives no boot number twice");
        assert_eq!(first.current.pair.public, second.current.pair.public);
        assert!(second.record.seq > first.record.seq);
        let copy = disk.0.clone();
        let later = disk.start(50 * DAY).unwrap().stamp;
        let mut old = Disk(copy);
        assert!(old.start(50 * DAY + 1_000).unwrap().stamp > later, "stamps of the lost time are not used again");
    }

    #[test]
    fn the_key_rotates_and_the_old_one_is_kept_for_its_overlap() {
        let mut disk = Disk(OrderedMap::new());
        let mut keys = disk.start(DAY).unwrap();
        let (first, seq) = (keys.current.pair.public, keys.record.seq);
        let mut rng = Rng::new([5; 32]);
        let mut out: Outbox<()> = Outbox::new();
        let mut step = |keys: &mut Keys, wall| {
            let mut cx = Cx { now: Instant::ZERO, wall: WallTime(wall), me: identity(1).node_id(), rng: &mut rng };
            keys.tend(&mut cx, &mut out)
        };
        assert!(!step(&mut keys, 31 * DAY - 1));
        assert!(step(&mut keys, 31 * DAY));
        assert!(keys.record.seq > seq && keys.record.link_key != first);
        assert_eq!(keys.previous.as_ref().unwrap().pair.public, first);
        assert!(!step(&mut keys, 32 * DAY - 1));
        assert!(step(&mut keys, 32 * DAY));
        assert!(keys.previous.is_none());
        disk.apply(&mut out);
        assert_eq!(disk.start(32 * DAY).unwrap().current.pair.public, keys.current.pair.public);
    }

    // c-toxcore 2026: counts from the own save file. Storage is an input like the wire.
    #[test]
    fn damaged_rows_are_refused() {
        let mut disk = Disk(OrderedMap::new());
        disk.start(0).unwrap();
        for key in [STAMP, STATIC] {
            let good = disk.0[key].clone();
            for cut in 0..good.len() {
                disk.0.insert(key.to_vec(), good[..cut].to_vec());
                assert!(disk.start(0).is_err());
            }
            disk.0.insert(key.to_vec(), good);
        }
    }
}
