//! Lists of the devices of an account, and what makes one valid (docs/design/devices.md §3, §4).
//!
//! A list stands in a chain: the account's first list, then the last one that the recovery code signed if there is one, then
//! all to the newest.
//! Whether a chain is valid, and which of two stands, follows from their bytes alone, so all nodes that have the same
//! chains hold the same list, whatever came first.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::id::NodeId;
use crate::identity::{Account, AccountKeys, DeviceCert, Domain, Identity, Recovery, SIGNATURE_LEN, node_id, verify};
use crate::time::WallTime;
use crate::wire::record::Reader;
use crate::wire::{Malformed, decode, encode};

/// Devices of one account: 8, more than a person carries (docs/design/devices.md §3).
pub(crate) const MAX_DEVICES: usize = 8;
/// Lists of one chain: 16 (docs/design/devices.md §4). Then only the recovery code goes on.
pub(crate) const MAX_LISTS: usize = 16;
/// The longest list, with eight entries, and the longest certificate.
const MAX_LIST: usize = 842;
const MAX_CERT: usize = 400;
/// The longest chain, with the certificates of its newest list and the lengths of both.
pub(crate) const MAX_CHAIN: usize = MAX_LISTS * (MAX_LIST + 2) + MAX_DEVICES * (MAX_CERT + 2) + 4;
/// In place of a signer's index: the recovery key signed.
const RECOVERY: u8 = 255;

/// One device in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) device: [u8; 32],
    pub(crate) added: WallTime,
    /// The hash of its certificate.
    pub(crate) cert: [u8; 32],
}

/// The devices of an account, the most senior first.
///
/// Layout, little-endian: account key 32, recovery key 32, key of the first device 32, generation 8, count 1 (1 to 8), so
/// many times device key 32, added 8 (milliseconds since 1970), hash of the certificate 32; hash of the list before 32,
/// signature by the account key 64, signer 1 (its place in the list before, 255: the recovery key), signature by it 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceList {
    pub(crate) keys: AccountKeys,
    pub(crate) generation: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) before: [u8; 32],
    account: [u8; SIGNATURE_LEN],
    pub(crate) signer: u8,
    signature: [u8; SIGNATURE_LEN],
}

/// The signer of a list.
pub(crate) enum By<'a> {
    Device(&'a Identity),
    Recovery(&'a Recovery),
}

pub(crate) fn cert_hash(cert: &DeviceCert) -> [u8; 32] {
    blake3::derive_key("DONP v1 device certificate", &encode(cert))
}

impl DeviceList {
    fn account_signed(&self) -> Vec<u8> {
        let mut out = self.keys.bytes().to_vec();
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.push(u8::try_from(self.entries.len()).unwrap_or(u8::MAX));
        for Entry { device, added, cert } in &self.entries {
            out.extend_from_slice(device);
            out.extend_from_slice(&added.0.to_le_bytes());
            out.extend_from_slice(cert);
        }
        out.extend_from_slice(&self.before);
        out
    }

    fn signed(&self) -> Vec<u8> {
        let mut out = self.account_signed();
        out.extend_from_slice(&self.account);
        out.push(self.signer);
        out
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.signed();
        out.extend_from_slice(&self.signature);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        let keys = AccountKeys { key: r.take()?, recovery: r.take()?, first: r.take()? };
        let generation = u64::from_le_bytes(r.take()?);
        let [count] = r.take()?;
        if !(1..=MAX_DEVICES).contains(&usize::from(count)) {
            return Err(Malformed);
        }
        let mut entries = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (device, added) = (r.take()?, WallTime(u64::from_le_bytes(r.take()?)));
            entries.push(Entry { device, added, cert: r.take()? });
        }
        let (before, account) = (r.take()?, r.take()?);
        let [signer] = r.take()?;
        let list = Self { keys, generation, entries, before, account, signer, signature: r.take()? };
        if r.0.is_empty() { Ok(list) } else { Err(Malformed) }
    }

    /// Names the list.
    pub(crate) fn hash(&self) -> [u8; 32] {
        blake3::derive_key("DONP v1 device list", &self.encode())
    }

    fn sign(
        account: &Account,
        (generation, before): (u64, [u8; 32]),
        entries: Vec<Entry>,
        (by, place): (&By<'_>, u8),
    ) -> Self {
        let (account_signature, signature) = ([0; SIGNATURE_LEN], [0; SIGNATURE_LEN]);
        let keys = account.keys;
        let mut list = Self { keys, generation, entries, before, account: account_signature, signer: place, signature };
        list.account = account.sign(Domain::DeviceList, &list.account_signed());
        let signed = list.signed();
        list.signature = match by {
            By::Device(identity) => identity.sign(Domain::DeviceListBy, &signed),
            By::Recovery(recovery) => recovery.sign(Domain::DeviceListBy, &signed),
        };
        list
    }

    /// Whether both signatures are right, the second by this key.
    fn is_signed_by(&self, key: &[u8; 32]) -> bool {
        verify(Domain::DeviceList, &self.keys.key, &self.account_signed(), &self.account)
            && verify(Domain::DeviceListBy, key, &self.signed(), &self.signature)
    }

    fn place_of(&self, device: &[u8; 32]) -> Option<usize> {
        self.entries.iter().position(|e| e.device == *device)
    }

    fn has_each_once(&self) -> bool {
        self.entries.iter().enumerate().all(|(at, e)| self.place_of(&e.device) == Some(at))
    }

    /// Whether this is the first list of its account. Each chain begins with it: nothing else shows that the device after
    /// which the person is named agreed to that.
    fn may_begin(&self) -> bool {
        let [only] = self.entries.as_slice() else { return false };
        let is_first = self.generation == 1 && self.before == [0; 32] && self.signer == 0;
        is_first && only.device == self.keys.first && self.is_signed_by(&only.device)
    }

    fn is_recovery(&self) -> bool {
        self.signer == RECOVERY
    }

    /// Whether this is the recovery key's list of the account of the first list `first`.
    fn may_restart(&self, first: &Self) -> bool {
        let is_later = self.keys == first.keys && self.generation > first.generation;
        self.is_recovery() && is_later && self.has_each_once() && self.is_signed_by(&self.keys.recovery)
    }

    /// Whether its signer is not in it any more, and was in the list before.
    fn departs_from(&self, before: &Self) -> bool {
        let signer = before.entries.get(usize::from(self.signer));
        signer.is_some_and(|signer| self.place_of(&signer.device).is_none())
    }

    /// Whether this may stand after `before` in a chain: its signer is in that list, and what it takes out of it or changes
    /// in it is junior to the signer, or the signer itself.
    fn may_follow(&self, before: &Self) -> bool {
        let Some(signer) = before.entries.get(usize::from(self.signer)) else { return false };
        let is_next = self.keys == before.keys
            && before.generation.checked_add(1) == Some(self.generation)
            && self.before == before.hash()
            && self.has_each_once();
        // A remaining device keeps its place among those that remain, and newcomers stand behind them.
        let mut stayed = before.entries.iter().filter(|old| self.place_of(&old.device).is_some());
        let kept = self.entries.iter().take(stayed.clone().count());
        let in_order = kept.clone().all(|e| stayed.next().is_some_and(|old| old.device == e.device));
        let may_touch = |at: usize| at >= usize::from(self.signer);
        let is_kept = |old: &Entry| self.place_of(&old.device).and_then(|at| self.entries.get(at)) == Some(old);
        let is_allowed = before.entries.iter().enumerate().all(|(at, old)| is_kept(old) || may_touch(at));
        is_next && in_order && is_allowed && self.is_signed_by(&signer.device)
    }
}

/// The lists of an account up to its newest, with the certificates of the devices in that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// INVARIANT: 1 to [`MAX_LISTS`], of rising generations. When a chain is read, the first may begin, the second may restart, and each
    /// other may follow the one before it.
    lists: Vec<DeviceList>,
    /// INVARIANT: those of the newest list, in its order.
    certs: Vec<DeviceCert>,
}

/// Why a list cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmade {
    /// This device is not in the newest list.
    NotListed,
    /// The device is in the list already, or is not in it.
    Device,
    /// It is senior to its remover.
    Senior,
    /// There are eight devices, or sixteen lists.
    Devices,
    Lists,
    /// Nothing would be left.
    Last,
}

impl Chain {
    /// The first list of an account, made by its first device.
    pub(crate) fn begin(identity: &Identity) -> Self {
        let cert = identity.device_cert();
        let entry = Entry { device: cert.device, added: cert.created, cert: cert_hash(&cert) };
        let by = By::Device(identity);
        let list = DeviceList::sign(identity.account(), (1, [0; 32]), alloc::vec![entry], (&by, 0));
        Self { lists: alloc::vec![list], certs: alloc::vec![cert] }
    }

    /// The newest list.
    pub(crate) fn head(&self) -> &DeviceList {
        // The invariant has it: `last` is never none.
        self.lists.last().unwrap_or(&NO_LIST)
    }

    pub(crate) fn keys(&self) -> &AccountKeys {
        &self.head().keys
    }

    /// The devices, the most senior first.
    pub(crate) fn devices(&self) -> impl Iterator<Item = NodeId> {
        self.head().entries.iter().map(|e| node_id(&e.device))
    }

    pub(crate) fn certs(&self) -> &[DeviceCert] {
        &self.certs
    }

    pub(crate) fn has(&self, node: NodeId) -> bool {
        self.devices().any(|device| device == node)
    }

    /// Whether an earlier list has a device that the newest has not.
    pub(crate) fn took_out(&self, node: NodeId) -> bool {
        let was_in = |list: &DeviceList| list.entries.iter().any(|e| node_id(&e.device) == node);
        !self.has(node) && self.lists.iter().any(was_in)
    }

    /// The generation of the last list that both chains have; 0 if there is none.
    pub(crate) fn common(&self, other: &Self) -> u64 {
        let both = self.lists.iter().zip(&other.lists).take_while(|(a, b)| a == b);
        both.last().map_or(0, |(list, _)| list.generation)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lists.len() >= MAX_LISTS
    }

    /// Count 1 and for each list length 2 and itself; then count 1 and for each certificate length 2 and itself.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |all: Vec<Vec<u8>>| {
            out.push(u8::try_from(all.len()).unwrap_or(u8::MAX));
            for bytes in all {
                out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
                out.extend_from_slice(&bytes);
            }
        };
        put(self.lists.iter().map(DeviceList::encode).collect());
        put(self.certs.iter().map(encode).collect());
        out
    }

    /// Reads a chain. What this node holds already of it, `known`, is not checked again: a check costs 80 µs a list.
    ///
    /// # Errors
    /// It breaks a rule.
    pub(crate) fn decode(bytes: &[u8], known: Option<&Self>) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        let mut part = |most: usize, longest: usize| -> Result<Vec<&[u8]>, Malformed> {
            let [count] = r.take()?;
            if !(1..=most).contains(&usize::from(count)) {
                return Err(Malformed);
            }
            let mut all = Vec::new();
            for _ in 0..count {
                let len = usize::from(u16::from_le_bytes(r.take()?));
                all.push(r.slice(len).ok().filter(|_| len <= longest).ok_or(Malformed)?);
            }
            Ok(all)
        };
        let (lists, certs) = (part(MAX_LISTS, MAX_LIST)?, part(MAX_DEVICES, MAX_CERT)?);
        if !r.0.is_empty() {
            return Err(Malformed);
        }
        let lists: Vec<DeviceList> = lists.into_iter().map(DeviceList::decode).collect::<Result<_, _>>()?;
        let certs: Vec<DeviceCert> = certs.into_iter().map(|c| decode(c, MAX_CERT)).collect::<Result<_, _>>()?;
        let chain = Self { lists, certs };
        if chain.is_valid(known) { Ok(chain) } else { Err(Malformed) }
    }

    /// Reads what this node stored itself.
    pub(crate) fn restore(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::decode(bytes, None)
    }

    /// The invariants, without signatures.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let rises = self.lists.iter().zip(self.lists.iter().skip(1)).all(|(a, b)| a.generation < b.generation);
        if !(1..=MAX_LISTS).contains(&self.lists.len()) || !rises {
            return Err("a chain has no lists, too many, or their generations do not rise");
        }
        let entries = &self.head().entries;
        let is_right =
            |(entry, cert): (&Entry, &DeviceCert)| cert.device == entry.device && cert_hash(cert) == entry.cert;
        match entries.len() == self.certs.len() && entries.iter().zip(&self.certs).all(is_right) {
            true => Ok(()),
            false => Err("the certificates of a chain are not those of its newest list"),
        }
    }

    fn is_valid(&self, known: Option<&Self>) -> bool {
        let shared = known.map_or(0, |k| self.lists.iter().zip(&k.lists).take_while(|(a, b)| a == b).count());
        let begins = shared > 0 || self.lists.first().is_some_and(DeviceList::may_begin);
        let pairs = self.lists.windows(2).enumerate().skip(shared.saturating_sub(1));
        let follows = pairs.into_iter().all(|(at, pair)| {
            let [before, next] = pair else { return false };
            next.may_follow(before) || at == 0 && next.may_restart(before)
        });
        let entries = &self.head().entries;
        let account = self.keys().id();
        let is_right = |(entry, cert): (&Entry, &DeviceCert)| {
            let is_known = || known.is_some_and(|k| k.certs.contains(cert));
            cert.device == entry.device
                && cert_hash(cert) == entry.cert
                && (is_known() || (cert.vouches(account, node_id(&cert.device)) && cert.is_wanted()))
        };
        begins && follows && entries.len() == self.certs.len() && entries.iter().zip(&self.certs).all(is_right)
    }

    /// Which of two chains of one account stands: greater is the one that does. The later recovery wins; then, where they
    /// part, the one in which the more senior device of their last common list signed; then the one in which that device
    /// left; then the lower hash. A chain wins over its own beginning.
    pub(crate) fn rank(&self, other: &Self) -> Ordering {
        let base = |c: &Self| c.recovered().map_or(0, |l| l.generation);
        let Some(parted) = self.lists.iter().zip(&other.lists).position(|(a, b)| a != b) else {
            return base(self).cmp(&base(other)).then(self.lists.len().cmp(&other.lists.len()));
        };
        let hash = |c: &Self| c.lists.get(parted).map(DeviceList::hash);
        let by_signer = || {
            let ((own, left), (others, other_left)) = (self.senior(parted), other.senior(parted));
            others.cmp(&own).then(left.cmp(&other_left))
        };
        base(self).cmp(&base(other)).then_with(by_signer).then_with(|| hash(other).cmp(&hash(self)))
    }

    /// The last list by the recovery key.
    fn recovered(&self) -> Option<&DeviceList> {
        self.lists.get(1).filter(|list| list.is_recovery())
    }

    /// The place of the most senior device that signed a list from here on, in the list before, and whether one of these
    /// lists takes that device out: an old copy of a sold phone does not come back by it. A device that was
    /// taken out and came back counts as a new one: otherwise one that was removed could undo its removal from an earlier
    /// place.
    fn senior(&self, from: usize) -> (usize, bool) {
        let Some(common) = from.checked_sub(1).and_then(|at| self.lists.get(at)) else { return (0, false) };
        if from == 1 && self.recovered().is_some() {
            return (0, false);
        }
        let mut places: Vec<usize> = (0..common.entries.len()).collect();
        let (mut before, mut most, mut left) = (common, usize::MAX, false);
        for list in self.lists.iter().skip(from) {
            if let Some(place) = places.get(usize::from(list.signer)).filter(|place| **place <= most) {
                left = list.departs_from(before) || left && *place == most;
                most = *place;
            }
            let place = |e: &Entry| before.place_of(&e.device).and_then(|at| places.get(at)).copied();
            places = list.entries.iter().map(|e| place(e).unwrap_or(usize::MAX)).collect();
            before = list;
        }
        (most, left)
    }

    fn next(&self, account: &Account, by: &Identity, entries: Vec<Entry>) -> Result<DeviceList, Unmade> {
        if self.is_full() {
            return Err(Unmade::Lists);
        }
        let head = self.head();
        let place = head.place_of(&by.public_key()).and_then(|at| u8::try_from(at).ok()).ok_or(Unmade::NotListed)?;
        let generation = head.generation.checked_add(1).ok_or(Unmade::Lists)?;
        Ok(DeviceList::sign(account, (generation, head.hash()), entries, (&By::Device(by), place)))
    }

    fn after(&self, list: DeviceList, certs: Vec<DeviceCert>) -> Self {
        let mut lists = self.lists.clone();
        lists.push(list);
        Self { lists, certs }
    }

    /// The chain with one more device. The certificate is signed here.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn add(&self, by: &Identity, cert: DeviceCert, wall: WallTime) -> Result<Self, Unmade> {
        let head = self.head();
        if head.place_of(&cert.device).is_some() || cert.account != *self.keys() || !cert.is_wanted() {
            return Err(Unmade::Device);
        }
        if head.entries.len() >= MAX_DEVICES {
            return Err(Unmade::Devices);
        }
        let cert = by.account().certify(cert);
        let mut entries = head.entries.clone();
        entries.push(Entry { device: cert.device, added: wall, cert: cert_hash(&cert) });
        let list = self.next(by.account(), by, entries)?;
        let mut certs = self.certs.clone();
        certs.push(cert);
        Ok(self.after(list, certs))
    }

    /// The lists of this chain before the first one that a junior of this device signed: what a stolen junior filled the
    /// chain with does not stand against a list of its senior in that place.
    fn before_juniors(&self, key: &[u8; 32]) -> Option<Vec<DeviceList>> {
        let by_junior = |pair: &[DeviceList]| match pair {
            [before, next] => {
                !next.is_recovery() && before.place_of(key).is_some_and(|own| usize::from(next.signer) > own)
            }
            _ => false,
        };
        let kept = self.lists.windows(2).position(by_junior)?.saturating_add(1);
        Some(self.lists.iter().take(kept).cloned().collect())
    }

    /// The chain without a device. If it is full, the lists of juniors give way.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn remove(&self, by: &Identity, node: NodeId) -> Result<Self, Unmade> {
        let key = by.public_key();
        let shorter = if self.is_full() { self.before_juniors(&key) } else { None };
        let base = Self { lists: shorter.unwrap_or_else(|| self.lists.clone()), certs: self.certs.clone() };
        let head = base.head();
        let own = head.place_of(&key).ok_or(Unmade::NotListed)?;
        let at = self.devices().position(|device| device == node).ok_or(Unmade::Device)?;
        if self.head().place_of(&key).is_some_and(|own| at < own) || head.entries.len() <= own {
            return Err(Unmade::Senior);
        }
        let stay = head.entries.iter().filter(|entry| node_id(&entry.device) != node);
        let present = stay.filter_map(|entry| {
            let cert = self.certs.iter().find(|cert| cert.device == entry.device)?;
            Some((Entry { cert: cert_hash(cert), ..*entry }, cert.clone()))
        });
        let (entries, certs): (Vec<Entry>, Vec<DeviceCert>) = present.unzip();
        if entries.is_empty() {
            return Err(Unmade::Last);
        }
        let next = base.after(base.next(by.account(), by, entries)?, certs);
        // A senior of this device may have signed among the lists that gave way.
        if next.is_valid(Some(self)) { Ok(next) } else { Err(Unmade::Lists) }
    }

    /// The chain with another name of the device that makes it.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn rename(&self, by: &Identity, name: &str, wall: WallTime) -> Result<Self, Unmade> {
        let at = self.head().place_of(&by.public_key()).ok_or(Unmade::NotListed)?;
        let cert = by.account().certify(by.ask_cert(*self.keys(), name, wall));
        let (mut entries, mut certs) = (self.head().entries.clone(), self.certs.clone());
        if let (Some(entry), Some(own)) = (entries.get_mut(at), certs.get_mut(at)) {
            entry.cert = cert_hash(&cert);
            *own = cert;
        }
        Ok(self.after(self.next(by.account(), by, entries)?, certs))
    }

    /// A chain that begins anew with these devices of the newest list and `cert`, by the recovery code.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn recover(
        &self,
        (account, recovery): (&Account, &Recovery),
        keep: impl Fn(NodeId) -> bool,
        cert: Option<DeviceCert>,
        wall: WallTime,
    ) -> Result<Self, Unmade> {
        let head = self.head();
        let kept = head.entries.iter().zip(&self.certs).filter(|(e, _)| keep(node_id(&e.device)));
        let (mut entries, mut certs): (Vec<Entry>, Vec<DeviceCert>) = kept.map(|(e, c)| (*e, c.clone())).unzip();
        if let Some(cert) = cert.filter(|c| entries.iter().all(|e| e.device != c.device)) {
            let cert = account.certify(cert);
            entries.push(Entry { device: cert.device, added: wall, cert: cert_hash(&cert) });
            certs.push(cert);
        }
        match entries.len() {
            0 => return Err(Unmade::Last),
            n if n > MAX_DEVICES => return Err(Unmade::Devices),
            _ => {}
        }
        let generation = head.generation.checked_add(1).ok_or(Unmade::Lists)?;
        let by = By::Recovery(recovery);
        let list = DeviceList::sign(account, (generation, head.hash()), entries, (&by, RECOVERY));
        let first = self.lists.first().ok_or(Unmade::Lists)?.clone();
        Ok(Self { lists: alloc::vec![first, list], certs })
    }
}

/// In place of the head of a chain without lists, which no chain is.
static NO_LIST: DeviceList = DeviceList {
    keys: AccountKeys { key: [0; 32], recovery: [0; 32], first: [0; 32] },
    generation: 0,
    entries: Vec::new(),
    before: [0; 32],
    account: [0; SIGNATURE_LEN],
    signer: 0,
    signature: [0; SIGNATURE_LEN],
};

#[cfg(test)]
mod tests;
