//! First messages that were accepted, for as long as the secrets of their bundle are kept: without one-time prekeys
//! nothing else tells a replay from a new session (X3DH, revision 1, §4.2).

use alloc::vec::Vec;

use crate::crypto::kdf::{Key, sha256};
use crate::id::{ID_LEN, NodeId};
use crate::machine::Outbox;
use crate::session::FIRSTS;
use crate::session::wire::First;
use crate::store::Record;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// First messages to one bundle, and of one sender: 4,096 rows of 84 bytes are 336 KiB a week. A sender makes a new
/// session only after the one before was answered, so 64 in a week mean that its sessions break for another reason.
const MOST: usize = 4_096;
const MOST_OF_ONE: usize = 64;

/// What is known of a first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    New,
    /// Accepted before.
    Repeated,
    /// Its key was used with another ciphertext, or by another sender.
    Replayed,
    /// Its sender, or all senders, used up what there is for this bundle.
    Full,
}

/// The sender, and the beginning of a hash of the ciphertext.
type Row = (NodeId, [u8; 16]);

/// Sorted by bundle and key.
#[derive(Default)]
pub(super) struct Firsts(Vec<((u32, Key), Row)>);

fn name(first: &First<'_>) -> (u32, Key) {
    (first.bundle, sha256(&[&first.ephemeral]))
}

fn row(from: NodeId, first: &First<'_>) -> Row {
    (from, sha256(&[first.ciphertext]).first_chunk().copied().unwrap_or_default())
}

fn key((bundle, hash): &(u32, Key)) -> Vec<u8> {
    [bundle.to_be_bytes().as_slice(), hash].concat()
}

impl Firsts {
    /// Key: bundle 4, hash of the ephemeral key 32. Value: sender 32, beginning of the hash of the ciphertext 16.
    pub(super) fn restore(&mut self, Record { key, value, .. }: &Record) -> Result<(), Malformed> {
        let (mut k, mut v) = (Reader(key), Reader(value));
        let name = (u32::from_be_bytes(k.take()?), k.take()?);
        let row = (NodeId(v.take::<ID_LEN>()?), v.take()?);
        if !k.0.is_empty() || !v.0.is_empty() {
            return Err(Malformed);
        }
        self.add(name, row);
        Ok(())
    }

    fn add(&mut self, name: (u32, Key), row: Row) {
        match self.0.binary_search_by(|(other, _)| other.cmp(&name)) {
            Ok(_) => {}
            Err(at) => self.0.insert(at, (name, row)),
        }
    }

    fn get(&self, name: &(u32, Key)) -> Option<&Row> {
        let at = self.0.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        self.0.get(at).map(|(_, row)| row)
    }

    fn count(&self, bundle: u32, from: NodeId) -> (usize, usize) {
        let of_one = |(all, own): (usize, usize), (sender, _): &Row| {
            (all.saturating_add(1), own.saturating_add(usize::from(*sender == from)))
        };
        self.0.iter().filter(|((b, _), _)| *b == bundle).map(|(_, row)| row).fold((0, 0), of_one)
    }

    pub(super) fn look(&self, from: NodeId, first: &First<'_>) -> Known {
        match self.get(&name(first)) {
            Some(known) if *known == row(from, first) => Known::Repeated,
            Some(_) => Known::Replayed,
            None => match self.count(first.bundle, from) {
                (all, own) if all >= MOST || own >= MOST_OF_ONE => Known::Full,
                _ => Known::New,
            },
        }
    }

    /// Remembers an accepted one, and stores it. True if its bundle is three quarters used up.
    pub(super) fn insert<O>(&mut self, from: NodeId, first: &First<'_>, out: &mut Outbox<O>) -> bool {
        let (name, row) = (name(first), row(from, first));
        out.put(FIRSTS, key(&name), [row.0.0.as_slice(), &row.1].concat());
        self.add(name, row);
        let (all, own) = self.count(first.bundle, from);
        all >= MOST / 4 * 3 || own >= MOST_OF_ONE / 4 * 3
    }

    /// The secrets of a bundle are wiped: nothing opens its first messages any more.
    pub(super) fn forget<O>(&mut self, bundle: u32, out: &mut Outbox<O>) {
        self.0.retain(|(name, _)| {
            let stays = name.0 != bundle;
            if !stays {
                out.delete(FIRSTS, key(name));
            }
            stays
        });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
