//! The chains that this node holds.

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::device::rows::{LISTS, is_list, list_key};
use crate::id::{AccountId, NodeId};
use crate::identity::AccountKeys;
use crate::machine::Outbox;
use crate::store::Record;
use crate::wire::Malformed;
use crate::wire::devices::Chain;
use crate::wire::record::Reader;

/// Bytes of all chains: 4 MiB, those of 4,096 contacts with a device and a list each (docs/design/devices.md §4).
const MAX_BYTES: usize = 4 << 20;

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

    /// Puts a chain in place of the account's; false if there is no space.
    pub(super) fn put<O>(&mut self, chain: Chain, out: &mut Outbox<O>) -> bool {
        let (account, bytes) = (chain.keys().id(), chain.encode());
        let old = self.chains.get(&account).map_or(0, |(_, len)| *len);
        if self.bytes.saturating_sub(old).saturating_add(bytes.len()) > MAX_BYTES {
            return false;
        }
        let len = bytes.len();
        out.put(LISTS, list_key(account), bytes);
        self.insert(chain, len);
        true
    }

    fn insert(&mut self, chain: Chain, len: usize) {
        let account = chain.keys().id();
        self.forget(account);
        for device in chain.devices() {
            // A device that went from one account to another is of the one that it certified last.
            let created = |c: &Chain| {
                let at = c.devices().position(|d| d == device)?;
                c.certs().get(at).map(|cert| cert.created)
            };
            let other = self.of_node(device).and_then(created);
            if other.is_none_or(|other| created(&chain).is_some_and(|own| own >= other)) {
                self.of_node.insert(device, account);
            }
        }
        self.bytes = self.bytes.saturating_add(len);
        self.chains.insert(account, (chain, len));
    }

    fn forget(&mut self, account: AccountId) {
        if let Some((chain, len)) = self.chains.remove(&account) {
            self.bytes = self.bytes.saturating_sub(len);
            for device in chain.devices() {
                if self.of_node.get(&device) == Some(&account) {
                    self.of_node.remove(&device);
                }
            }
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

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let bytes = self.chains.values().fold(0usize, |n, (_, len)| n.saturating_add(*len));
        let is_there = |(node, account): (&NodeId, &AccountId)| self.get(*account).is_some_and(|c| c.has(*node));
        match bytes == self.bytes && bytes <= MAX_BYTES && self.of_node.iter().all(is_there) {
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
