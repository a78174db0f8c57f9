//! The registers that this node holds.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::{OrderedMap, OrderedSet};
use crate::id::NodeId;
use crate::machine::Outbox;
use crate::register::REGISTERS;
use crate::register::wire::BUCKETS;
use crate::store::Record;
use crate::wire::registers::{RegisterKey, Stamped};
use crate::wire::{Malformed, decode, encode};

/// The longest stored value.
const MAX_ROW: usize = 512;
/// Registers brought by one device: four for each of 4,096 contacts, one for each of 4,096 blocked nodes and of 4,096
/// conversations, at most 300 bytes each.
pub(super) const MAX_OF_DEVICE: usize = 24_576;
/// Registers in all: a device that fills its share leaves as much to the others.
pub(super) const MAX: usize = 2 * MAX_OF_DEVICE;

/// A register, and the device that has its place: that which brought it in its session, whatever its stamp says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    owner: NodeId,
    stamped: Stamped,
}

/// Order in which registers of one owner give way: first those that hold nothing, and of these the oldest.
type Rank = (bool, u64, u64, u64, RegisterKey);

fn rank(stamped: &Stamped) -> Rank {
    let register = &stamped.register;
    (!register.is_default(), stamped.generation, stamped.lowered, stamped.counter, register.key())
}

/// The account's list that stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    pub(super) generation: u64,
    pub(super) devices: &'a [NodeId],
}

/// INVARIANT: `owned` has the rank of each register by its owner; `sums` has the sum of the digests of each part. At most
/// `most` registers, and `most_of_device` of one owner.
#[derive(Debug)]
pub(super) struct Map {
    all: OrderedMap<RegisterKey, Held>,
    owned: OrderedMap<NodeId, OrderedSet<Rank>>,
    sums: Vec<u64>,
    most: usize,
    most_of_device: usize,
}

/// Of a register and its stamp, 8 bytes: only own devices bring registers, and two that differ with one sum are
/// compared again with the next change of their part.
fn digest(stamped: &Stamped) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key("DONP v1 register", &encode(stamped));
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The part of the map that a register is in.
pub(super) fn bucket(key: &RegisterKey) -> usize {
    let (_, [first, ..]) = key;
    usize::from(*first).checked_rem(BUCKETS).unwrap_or(0)
}

fn row_key((kind, of): &RegisterKey) -> Vec<u8> {
    [&[*kind], of.as_slice()].concat()
}

impl Map {
    pub(super) fn new(most: usize, most_of_device: usize) -> Self {
        let (all, owned) = (OrderedMap::new(), OrderedMap::new());
        Self { all, owned, sums: alloc::vec![0; BUCKETS], most, most_of_device }
    }

    pub(super) fn restore(records: &[Record]) -> Result<Self, Malformed> {
        let mut map = Self::new(MAX, MAX_OF_DEVICE);
        for Record { key, value, .. } in records {
            let held: Held = decode(value, MAX_ROW)?;
            if row_key(&held.stamped.register.key()) != *key || !held.stamped.register.is_valid() {
                return Err(Malformed);
            }
            map.insert(held);
        }
        Ok(map)
    }

    pub(super) fn get(&self, key: &RegisterKey) -> Option<&Stamped> {
        self.all.get(key).map(|held| &held.stamped)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stamped> {
        self.all.values().map(|held| &held.stamped)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Digests of all parts.
    pub(super) fn sums(&self) -> &[u64] {
        &self.sums
    }

    pub(super) fn root(&self) -> [u8; 16] {
        let bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        crate::collections::short(&blake3::derive_key("DONP v1 registers", &bytes))
    }

    fn tally(&mut self, held: &Held, is_added: bool) {
        let (owner, stamped) = (held.owner, &held.stamped);
        let sum = digest(stamped);
        if let Some(of) = self.sums.get_mut(bucket(&stamped.register.key())) {
            *of = if is_added { of.wrapping_add(sum) } else { of.wrapping_sub(sum) };
        }
        let owned = self.owned.entry(owner).or_default();
        if is_added {
            owned.insert(rank(stamped));
        } else {
            owned.remove(&rank(stamped));
        }
        if owned.is_empty() {
            self.owned.remove(&owner);
        }
    }

    fn insert(&mut self, held: Held) {
        let key = held.stamped.register.key();
        self.remove(&key);
        self.tally(&held, true);
        self.all.insert(key, held);
    }

    fn remove(&mut self, key: &RegisterKey) {
        if let Some(old) = self.all.remove(key) {
            self.tally(&old, false);
        }
    }

    /// Whether a device has all the places that one may have.
    fn is_over(&self, owner: NodeId) -> bool {
        self.owned.get(&owner).is_some_and(|owned| owned.len() >= self.most_of_device)
    }

    /// The first of one owner that holds nothing: it says only that something was taken back. One that blocks, verifies,
    /// names or mutes does not give way to another of a device of the account.
    fn spare_of(&self, owner: NodeId) -> Option<Rank> {
        self.owned.get(&owner)?.first().filter(|(says, ..)| !says).copied()
    }

    /// The first that gives way if all places are taken: what a device that is none any more brought under an earlier list,
    /// and then what holds nothing. Owners are as few as devices that the account ever had.
    fn spare(&self, present: Present<'_>) -> Option<Rank> {
        let is_left = |owner: &NodeId| !present.devices.contains(owner);
        let earlier = |owned: &OrderedSet<Rank>, says: bool| {
            let from = (says, 0, 0, 0, (0, [0; 32]));
            owned
                .range(from..)
                .next()
                .filter(|(s, generation, ..)| *s == says && *generation < present.generation)
                .copied()
        };
        let left = self.owned.iter().filter(|(owner, _)| is_left(owner));
        let left = left.filter_map(|(_, owned)| earlier(owned, false).or_else(|| earlier(owned, true))).min();
        left.or_else(|| self.owned.keys().filter_map(|owner| self.spare_of(*owner)).min())
    }

    /// Puts a register in place of what is held, which always finds its place; a new one that an own device brings may have
    /// none. False then, which leaves all as it was.
    pub(super) fn put<O>(&mut self, stamped: Stamped, from: NodeId, present: Present<'_>, out: &mut Outbox<O>) -> bool {
        let key = stamped.register.key();
        let (owner, gone) = match self.all.get(&key) {
            // The place is that of the bringer of the newest value, if it has one left.
            Some(held) => (if self.is_over(from) { held.owner } else { from }, None),
            None if self.is_over(from) => match self.spare_of(from) {
                Some(spare) if rank(&stamped) > spare => (from, Some(spare.4)),
                Some(_) | None => return false,
            },
            None if self.all.len() < self.most => (from, None),
            // What was written under an earlier list takes no other's place: it would take those of what is new.
            None if stamped.generation < present.generation => return false,
            None => match self.spare(present) {
                // Of two that hold nothing the newer one stays, on all devices.
                Some(gone) if !gone.0 && gone.1 >= present.generation && rank(&stamped) < gone => return false,
                Some((.., gone)) => (from, Some(gone)),
                None => return false,
            },
        };
        if let Some(gone) = gone {
            self.drop_one(&gone, out);
        }
        let held = Held { owner, stamped };
        out.put(REGISTERS, row_key(&key), encode(&held));
        self.insert(held);
        true
    }

    pub(super) fn drop_one<O>(&mut self, key: &RegisterKey, out: &mut Outbox<O>) {
        if self.all.contains_key(key) {
            self.remove(key);
            out.delete(REGISTERS, row_key(key));
        }
    }

    /// The lists after that of this generation do not stand any more. What was written under them ranks below all that is
    /// written under those that stand in their place, and stays in order: a removed device made such lists, or the user
    /// set something under them.
    pub(super) fn lower<O>(&mut self, common: u64, out: &mut Outbox<O>) {
        let above: Vec<Held> = self.all.values().filter(|h| h.stamped.generation > common).cloned().collect();
        for Held { owner, stamped } in above {
            let stamped = Stamped { generation: common, lowered: stamped.generation, ..stamped };
            let held = Held { owner, stamped };
            out.put(REGISTERS, row_key(&held.stamped.register.key()), encode(&held));
            self.insert(held);
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut again = Self::new(self.most, self.most_of_device);
        self.all.values().for_each(|held| again.tally(held, true));
        let is_full = self.all.len() > self.most || self.owned.values().any(|all| all.len() > self.most_of_device);
        match again.owned == self.owned && again.sums == self.sums && !is_full {
            true => Ok(()),
            false => Err("registers are counted or summed wrongly, or too many"),
        }
    }
}
