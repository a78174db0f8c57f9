//! The chains that this node holds.

use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::device::rows::{LISTS, is_list, list_key};
use crate::id::{AccountId, NodeId};
use crate::identity::AccountKeys;
use crate::machine::Outbox;
use crate::store::Record;
use crate::wire::Malformed;
use crate::wire::devices::Chain;
use crate::wire::record::Reader;

/// Bytes of the chains of others: 4 MiB, those of 4,096 contacts with a device and a list each (docs/design/devices.md §4).
const MAX_BYTES: usize = 4 << 20;
/// Accounts that a stranger brings in which its node is: its own, and one that it joined.
const MAX_OF_NODE: usize = 2;

/// By account.
///
/// INVARIANT: `bytes` is the sum of their lengths; `of_node` has each device of each newest list.
#[derive(Debug, Default)]
pub(super) struct Lists {
    chains: OrderedMap<AccountId, (Chain, usize)>,
    of_node: OrderedMap<NodeId, AccountId>,
    bytes: usize,
}

impl Lists {
    pub(super) fn restore(records: &[Record]) -> Result<Self, Malformed> {
        let mut all = Self::default();
        for Record { key, value, .. } in records.iter().filter(|r| is_list(r)) {
            let chain = Chain::restore(value)?;
            if list_key(chain.keys().id()) != *key {
                return Err(Malformed);
            }
            all.insert(chain, value.len());
        }
        Ok(all)
    }

    pub(super) fn get(&self, account: AccountId) -> Option<&Chain> {
        self.chains.get(&account).map(|(chain, _)| chain)
    }

    /// The chain of the account that has this device.
    pub(super) fn of_node(&self, node: NodeId) -> Option<&Chain> {
        self.of_node.get(&node).and_then(|account| self.get(*account))
    }

    /// The chain of the person that this node stands for.
    pub(super) fn of_person(&self, node: NodeId) -> Option<&Chain> {
        self.iter().find(|chain| chain.keys().person() == node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Chain> {
        self.chains.values().map(|(chain, _)| chain)
    }

    pub(super) fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether a node brought as many accounts as it may be in.
    pub(super) fn is_in_enough(&self, node: NodeId) -> bool {
        self.iter().filter(|chain| chain.has(node)).count() >= MAX_OF_NODE
    }

    /// Puts a chain in place of the account's; the chains of strangers give way, and the answer has the persons of
    /// these. None if there is no space, or if its first device began another account that is kept: a thief of its key
    /// can begin as many as it likes.
    pub(super) fn put<O>(
        &mut self,
        chain: Chain,
        own: AccountId,
        contacts: &OrderedSet<NodeId>,
        out: &mut Outbox<O>,
    ) -> Option<Vec<NodeId>> {
        let (account, bytes) = (chain.keys().id(), chain.encode());
        if self.of_person(chain.keys().person()).is_some_and(|other| other.keys().id() != account) {
            return None;
        }
        let mut gone = Vec::new();
        let len = bytes.len();
        let size = |all: &Self, of: AccountId| all.chains.get(&of).map_or(0, |(_, len)| *len);
        let apart = size(self, account).saturating_add(if own == account { 0 } else { size(self, own) });
        while account != own && self.bytes.saturating_sub(apart).saturating_add(len) > MAX_BYTES {
            let is_spare = |c: &&Chain| {
                let id = c.keys().id();
                let is_of_contact = c.devices().chain([c.keys().person()]).any(|device| contacts.contains(&device));
                id != own && id != account && !is_of_contact
            };
            let (spare, person) = self.iter().find(is_spare).map(|c| (c.keys().id(), c.keys().person()))?;
            gone.push(person);
            self.forget(spare);
            out.delete(LISTS, list_key(spare));
        }
        out.put(LISTS, list_key(account), bytes);
        self.insert(chain, len);
        Some(gone)
    }

    fn insert(&mut self, chain: Chain, len: usize) {
        let account = chain.keys().id();
        self.forget(account);
        let devices: Vec<NodeId> = chain.devices().collect();
        self.bytes = self.bytes.saturating_add(len);
        self.chains.insert(account, (chain, len));
        devices.into_iter().for_each(|device| self.settle(device));
    }

    /// Of the accounts that a device is in, it is of the one that it joined: it has left the one that it began. No clock
    /// decides that, but between two that it joined.
    fn settle(&mut self, device: NodeId) {
        let rank = |chain: &Chain| {
            let at = chain.devices().position(|d| d == device)?;
            let created = chain.certs().get(at).map(|cert| cert.created);
            Some((chain.keys().person() != device, created, chain.keys().id()))
        };
        match self.iter().filter_map(rank).max() {
            Some((_, _, account)) => self.of_node.insert(device, account),
            None => self.of_node.remove(&device),
        };
    }

    fn forget(&mut self, account: AccountId) {
        if let Some((chain, len)) = self.chains.remove(&account) {
            self.bytes = self.bytes.saturating_sub(len);
            chain.devices().for_each(|device| self.settle(device));
        }
    }

    /// Keeps those for which this holds.
    pub(super) fn retain<O>(&mut self, keep: impl Fn(&Chain) -> bool, out: &mut Outbox<O>) {
        let gone: Vec<AccountId> = self.iter().filter(|c| !keep(c)).map(|c| c.keys().id()).collect();
        for account in gone {
            self.forget(account);
            out.delete(LISTS, list_key(account));
        }
    }

    /// Accounts with one device each, as if their chains were so long.
    #[cfg(test)]
    pub(super) fn fill(&mut self, of: &[crate::identity::Identity], len: usize) {
        of.iter().for_each(|identity| self.insert(Chain::begin(identity), len));
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let bytes = self.chains.values().fold(0usize, |n, (_, len)| n.saturating_add(*len));
        let is_there = |(node, account): (&NodeId, &AccountId)| self.get(*account).is_some_and(|c| c.has(*node));
        let most = MAX_BYTES.saturating_add(crate::wire::devices::MAX_CHAIN);
        self.iter().try_for_each(Chain::check)?;
        match bytes == self.bytes && bytes <= most && self.of_node.iter().all(is_there) {
            true => Ok(()),
            false => Err("the bytes or the devices of chains are counted wrongly"),
        }
    }
}

/// The account that a chain says it is of, by its first list.
pub(super) fn account_of(chain: &[u8]) -> Option<AccountId> {
    let mut r = Reader(chain);
    let [_, _, _] = r.take().ok()?;
    let keys = AccountKeys { key: r.take().ok()?, recovery: r.take().ok()?, first: r.take().ok()? };
    Some(keys.id())
}
