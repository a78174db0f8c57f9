//! One epoch of one group at one of its holders (docs/design/groups-keys.md §4).

use alloc::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

use crate::collections::{OrderedMap, OrderedSet};
use crate::crypto::kdf::Key;
use crate::group::keys::chain::{NoKey, Receiving, Sending};
use crate::group::keys::schedule::{
    Place, Secret, Tags, commitment, first_of_chain, header_key, next_key, successor, tags,
};
use crate::group::keys::wire::{Header, NONCE_LEN, Parts, seal};
use crate::id::{GroupId, NodeId, OpId};
use crate::identity::SIGNATURE_LEN;
use crate::rng::Rng;
use crate::time::WallTime;
use crate::wire::Malformed;

/// Holders whose first keys share a row: a row is 1 KiB, and is written anew for each of them that speaks.
pub(super) const BLOCK: usize = 32;
/// A first key that is gone: its holder has spoken, or is this node.
pub(super) const GONE: Key = [0; 32];

/// What a message said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Whose chain it came under. Every holder can derive that chain: only the signature in the body proves who spoke.
    pub(crate) sender: NodeId,
    pub(crate) number: u32,
    /// Signature 64, record.
    pub(crate) body: Vec<u8>,
}

/// Why a message was not opened. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// It is no sealed message.
    Malformed,
    /// It is of another epoch.
    OtherEpoch,
    /// The epoch has no such holder.
    NoSuchSender,
    /// It came under the chain of this node, so it is one of its own.
    Own,
    /// It skips more than may be.
    TooFar,
    /// It was opened before, or is older than what is kept.
    Used,
    /// Its tag does not verify.
    Failed,
    /// What is in it was refused.
    Refused,
}

/// What changed since the rows were last taken.
#[derive(Default)]
pub(super) struct Dirty {
    pub(super) meta: bool,
    pub(super) holders: bool,
    pub(super) own: bool,
    pub(super) blocks: OrderedSet<u16>,
    pub(super) chains: OrderedSet<u16>,
}

/// The keys of an epoch. The secret they came from is kept only to be handed on.
pub(crate) struct Epoch {
    pub(super) group: GroupId,
    pub(super) op: OpId,
    /// Sorted. A sender is named by its place here.
    pub(super) holders: Vec<NodeId>,
    pub(super) me: u16,
    pub(super) tags: Tags,
    /// Names the epoch, and seals what a SECRET group shows of itself.
    pub(super) header: Key,
    /// Of what the epochs after an `Add` are derived.
    pub(super) next: Option<Key>,
    /// The secret, while others may ask for it. A thief of it opens the epoch from its first message.
    pub(super) hand_on: Option<Secret>,
    pub(super) made: WallTime,
    /// Since when another epoch is sent in.
    pub(super) superseded: Option<WallTime>,
    /// The first keys of holders that have not spoken.
    pub(super) silent: Vec<Key>,
    pub(super) sending: Sending,
    /// The chains of those that have.
    pub(super) receiving: OrderedMap<u16, Receiving>,
    pub(super) dirty: Dirty,
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.header.zeroize();
        self.next.zeroize();
        self.silent.zeroize();
    }
}

impl Epoch {
    /// The epoch that an operation made. None if the holders are not sorted, are more than 65,536, or this node is none
    /// of them.
    pub(crate) fn new(
        group: GroupId,
        op: OpId,
        holders: Vec<NodeId>,
        me: NodeId,
        secret: &Secret,
        wall: WallTime,
    ) -> Option<Self> {
        let last = holders.len().checked_sub(1)?;
        if u16::try_from(last).is_err() || !holders.is_sorted_by(|a, b| a < b) {
            return None;
        }
        let place = holders.binary_search(&me).ok()?;
        let at = Place { group, op };
        let mut silent: Vec<Key> = holders.iter().map(|holder| first_of_chain(secret, at, holder)).collect();
        let own = Zeroizing::new(core::mem::replace(silent.get_mut(place)?, GONE));
        let header = header_key(secret, at);
        let mut dirty = Dirty { meta: true, holders: true, own: true, ..Dirty::default() };
        for block in (0..=last).step_by(BLOCK) {
            dirty.blocks.insert(block_of(u16::try_from(block).ok()?));
        }
        Some(Self {
            group,
            op,
            me: u16::try_from(place).ok()?,
            tags: tags(&header),
            header,
            next: Some(next_key(secret, at)),
            hand_on: Some(secret.clone()),
            made: wall,
            superseded: None,
            silent,
            sending: Sending::new(*own),
            receiving: OrderedMap::new(),
            dirty,
            holders,
        })
    }

    /// The secret and the epoch after an operation that adds a member: everybody who holds this epoch derives both, and
    /// the newcomer gets the secret, from which there is no way back. None once `next` is forgotten, or if the holders
    /// are not fit for an epoch.
    pub(crate) fn successor(
        &self,
        seed: [u8; 32],
        add: OpId,
        holders: Vec<NodeId>,
        me: NodeId,
        wall: WallTime,
    ) -> Option<(Secret, Self)> {
        let secret = self.next_secret(seed)?;
        let epoch = Self::new(self.group, add, holders, me, &secret, wall)?;
        Some((secret, epoch))
    }

    /// The secret of the epoch with a newcomer, by what it accepted. None once `next` is forgotten.
    pub(crate) fn next_secret(&self, seed: [u8; 32]) -> Option<Secret> {
        self.next.as_ref().map(|next| successor(next, seed))
    }

    pub(crate) fn op(&self) -> OpId {
        self.op
    }

    pub(crate) fn tags(&self) -> Tags {
        self.tags
    }

    pub(crate) fn holders(&self) -> &[NodeId] {
        &self.holders
    }

    #[cfg(test)]
    pub(crate) fn made(&self) -> WallTime {
        self.made
    }

    /// How many messages of this node were sealed, with those that a restart left out.
    #[cfg(test)]
    pub(crate) fn sent(&self) -> u32 {
        self.sending.number()
    }

    /// The secret, to be handed on.
    pub(crate) fn hand_on(&self) -> Option<&Secret> {
        self.hand_on.as_ref()
    }

    /// No node gets the secret from this node any more, and a thief opens only what is not opened yet.
    #[cfg(test)]
    pub(crate) fn forget_secret(&mut self) {
        self.dirty.meta |= self.hand_on.take().is_some();
    }

    /// No successor is derived any more. While the secret is kept a thief can still derive one.
    pub(crate) fn forget_next(&mut self) {
        self.dirty.meta |= self.next.is_some();
        self.next.zeroize();
    }

    pub(super) fn place(&self) -> Place {
        Place { group: self.group, op: self.op }
    }

    /// Seals a run: signature 64, record. None if it is shorter than a signature, or the chain came to its end.
    ///
    /// The rows that changed are to be written before the message leaves ([`Sending`]).
    pub(crate) fn seal(&mut self, rng: &mut Rng, run: &[u8]) -> Option<Vec<u8>> {
        self.seal_with(rng.bytes(), run)
    }

    pub(super) fn seal_with(&mut self, nonce: [u8; NONCE_LEN], run: &[u8]) -> Option<Vec<u8>> {
        if run.len() < SIGNATURE_LEN {
            return None;
        }
        let (key, number, reserves) = self.sending.step()?;
        self.dirty.own |= reserves;
        let header = Header { tags: self.tags, sender: self.me, number };
        seal(&key.0, self.place(), &header, nonce, run)
    }

    /// Opens a message of this epoch. Nothing changes if it does not open.
    #[cfg(test)]
    pub(crate) fn open(&mut self, bytes: &[u8], wall: WallTime) -> Result<Opened, Unopened> {
        self.open_if(bytes, wall, |_, _| true)
    }

    /// Opens a message of this epoch if what is in it is taken. Every holder can seal in the chain of another, so a
    /// chain goes on for nothing but what its owner signed. Nothing changes if it is not opened.
    pub(crate) fn open_if(
        &mut self,
        bytes: &[u8],
        wall: WallTime,
        takes: impl FnOnce(NodeId, &[u8]) -> bool,
    ) -> Result<Opened, Unopened> {
        let parts = Parts::read(bytes).map_err(|Malformed| Unopened::Malformed)?;
        let Header { tags, sender, number } = parts.header;
        if tags != self.tags {
            return Err(Unopened::OtherEpoch);
        }
        let node = *self.holders.get(usize::from(sender)).ok_or(Unopened::NoSuchSender)?;
        if sender == self.me {
            return Err(Unopened::Own);
        }
        let mut first = None;
        let chain = match self.receiving.get(&sender) {
            Some(chain) => chain,
            None => {
                let key = self.silent.get(usize::from(sender)).ok_or(Unopened::NoSuchSender)?;
                first.insert(Receiving::new(*key))
            }
        };
        let (key, advance) = chain.key_of(number, wall).map_err(|why| match why {
            NoKey::Used => Unopened::Used,
            NoKey::TooFar => Unopened::TooFar,
        })?;
        let body = parts.open(&key.0, self.place()).ok_or(Unopened::Failed)?;
        if !takes(node, &body) {
            return Err(Unopened::Refused);
        }
        if let Some(chain) = first {
            self.receiving.insert(sender, chain);
            if let Some(key) = self.silent.get_mut(usize::from(sender)) {
                key.zeroize();
            }
            self.dirty.blocks.insert(block_of(sender));
        }
        if let Some(chain) = self.receiving.get_mut(&sender) {
            chain.commit(advance, wall);
        }
        self.dirty.chains.insert(sender);
        Ok(Opened { sender: node, number, body })
    }

    /// Wipes kept keys that are over.
    pub(crate) fn expire(&mut self, wall: WallTime) {
        for (sender, chain) in self.receiving.iter_mut() {
            if chain.expire(wall) {
                self.dirty.chains.insert(*sender);
            }
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let gone = |n: u16| self.silent.get(usize::from(n)).is_some_and(|key| *key == GONE);
        if self.silent.len() != self.holders.len() || !gone(self.me) || !self.receiving.keys().all(|n| gone(*n)) {
            return Err("a first key is kept of a holder that has spoken");
        }
        self.sending.check()?;
        self.receiving.values().try_for_each(Receiving::check)
    }

    /// Whether this is the secret of an epoch whose operation committed to it.
    #[cfg(test)]
    pub(crate) fn is_committed(secret: &Secret, group: GroupId, committed: &[u8; 32]) -> bool {
        commitment(secret, group) == *committed
    }
}

/// The block of a holder.
pub(super) fn block_of(holder: u16) -> u16 {
    u16::try_from(usize::from(holder).checked_div(BLOCK).unwrap_or_default()).unwrap_or_default()
}
