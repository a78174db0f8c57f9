//! The devices of an account: its own and those of contacts (docs/design/devices.md).
//!
//! Each account has a chain of lists that its devices sign; what stands follows from the bytes alone. A node keeps its
//! own account's chain and those of its contacts, says to them which list it has, and asks where another one is newer.
//! A new device joins with a ticket that another one shows; the account's secret reaches it in a session with the key
//! that the ticket names.

mod commands;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) mod contract;
mod join;
mod lists;
mod rows;
pub(crate) mod ticket;
pub(crate) mod wire;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet, Rate, RateLimit};
use crate::crypto::kdf::Key;
use crate::device::join::{Invited, Joining};
use crate::device::lists::Lists;
use crate::device::rows::{ACCOUNT, LISTS};
use crate::device::wire::{MAX_BYTES, Message, Private};
use crate::fact::Fact;
use crate::id::{AccountId, NodeId};
use crate::identity::{Identity, Recovery, node_id};
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::shared::Arc;
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Instant, WallTime, soonest};
use crate::wire::devices::Chain;
use crate::wire::{Blob, Malformed, decode, encode};

pub(crate) use commands::{Invite, JoinAccount, RecoverAccount, RemoveDevice, RenameDevice};
pub(crate) use rows::resume;
pub use ticket::DeviceTicket;

/// Chains given to one node, and to all: each is 1 KiB mostly, 17 KiB at most.
const ANSWERS_OF_NODE: Rate = Rate { per_second: 1, burst: 8 };
const ANSWERS: Rate = Rate::per_second(50);
/// Strangers that wrote and whose lists are asked for, at once: 64, as requests under way of other kinds.
const MAX_MET: usize = 64;
/// Chains read of one node: each list in them costs two signatures, 80 µs.
const CHAINS_OF_NODE: Rate = Rate { per_second: 1, burst: 8 };
/// Chains read of all nodes: 50 a second, a fifth of a processor if each is as long as can be.
const READS: Rate = Rate::per_second(50);

/// One device of this node's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its node.
    pub node: NodeId,
    /// Its name, at most 64 bytes.
    pub name: alloc::string::String,
    /// When it was added, by the wall clock of the device that added it.
    pub added: WallTime,
    /// Whether it is this device.
    pub here: bool,
}

#[derive(Debug)]
pub(crate) enum In {
    /// The session identity key of a device.
    Keys { device: Key, identity: Key },
    /// A contact, from now on or not any more: the lists of its account are kept.
    Contact { node: NodeId, kept: bool },
    /// From a device machine, over the link.
    Message { from: NodeId, body: Vec<u8> },
    /// The same in a session with this identity key.
    Opened { from: NodeId, identity: Option<Key>, body: Vec<u8> },
    /// There is a session with this node, or a new one.
    Ready(NodeId),
    /// A node wrote, and it is not known whose device it is.
    Meet(NodeId),
    /// There is a private conversation, which is named by the account that this device is of.
    Private,
}

#[derive(Debug)]
pub(crate) enum Out {
    Fact(Fact),
    Send {
        to: NodeId,
        body: Vec<u8>,
    },
    /// Seal this for the device of a node, if it has this session identity key.
    Seal {
        to: NodeId,
        identity: Key,
        body: Vec<u8>,
    },
    /// The session with this node does not show its key: another one is to.
    Unproven(NodeId),
    Want(NodeId),
    Unwant(NodeId),
    /// These are the devices of an account, the most senior first; none: its list is not kept any more. `person` stands for
    /// it.
    Devices {
        person: NodeId,
        devices: Vec<NodeId>,
    },
    /// The newest list of this node's account, its generation, and that of the last list that stood before and stands.
    Own {
        generation: u64,
        common: u64,
        devices: Vec<NodeId>,
        chain: Arc<Chain>,
    },
    /// A device came to an account, or is gone from it. `Devices` follows in the same step.
    Changed {
        person: NodeId,
        device: NodeId,
        added: bool,
    },
}

struct Linked {
    /// What its record says.
    account: AccountId,
    answers: RateLimit,
    chains: RateLimit,
}

pub(crate) struct Devices {
    identity: Identity,
    /// The session identity key of this device, once its sessions are open.
    own: Option<Key>,
    lists: Lists,
    /// Contacts: the lists of their accounts are kept.
    ///
    /// INVARIANT: at most as many as there are contacts.
    contacts: OrderedSet<NodeId>,
    /// Linked nodes that wrote and whose lists are asked for.
    ///
    /// INVARIANT: at most [`MAX_MET`].
    met: OrderedSet<NodeId>,
    /// INVARIANT: at most as many as there are links.
    linked: OrderedMap<NodeId, Linked>,
    /// Links that this machine wants.
    wanted: OrderedSet<NodeId>,
    answers: RateLimit,
    reads: RateLimit,
    invited: Option<Invited>,
    joining: Option<Joining>,
    /// A recovery code whose account's lists are looked for.
    recovering: Option<(Recovery, Instant)>,
    /// Whether there are private conversations here. They are named by the account: another one would lose them.
    has_private: bool,
    drops: Drops,
}

impl Devices {
    /// This device with the account that it is of now.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The own devices, the most senior first.
    pub(crate) fn devices(&self) -> Vec<DeviceInfo> {
        let Some(chain) = self.lists.get(self.account()) else { return Vec::new() };
        let me = self.identity.node_id();
        let all = chain.head().entries.iter().zip(chain.certs());
        let info = |node: NodeId, name: &str, added| DeviceInfo { node, name: name.into(), added, here: node == me };
        all.map(|(entry, cert)| info(node_id(&entry.device), &cert.name, entry.added)).collect()
    }

    /// The devices of the account that a node is of or stands for, the most senior first; the node alone if no list is here.
    pub(crate) fn of(&self, node: NodeId) -> Vec<NodeId> {
        let chain = self.lists.of_node(node).or_else(|| self.lists.of_person(node));
        chain.map_or_else(|| alloc::vec![node], |chain| chain.devices().collect())
    }

    /// Whether this device was taken out of its account's list.
    pub(crate) fn is_removed(&self) -> bool {
        self.lists.get(self.account()).is_some_and(|chain| !chain.has(self.identity.node_id()))
    }

    /// Whether a node was taken out of its account's list, and is of no other account and stands for no person.
    pub(crate) fn took_out(&self, node: NodeId) -> bool {
        let stands = self.lists.of_node(node).or_else(|| self.lists.of_person(node));
        stands.is_none() && self.lists.iter().any(|chain| chain.took_out(node))
    }

    /// Whether this device waits to be taken into an account, or for the lists of one to recover.
    pub(crate) fn is_joining(&self) -> bool {
        self.joining.is_some() || self.recovering.is_some()
    }

    fn account(&self) -> AccountId {
        self.identity.account_id()
    }

    fn is_own(&self, node: NodeId) -> bool {
        self.lists.get(self.account()).is_some_and(|chain| chain.has(node))
    }

    /// Whether the lists of an account are kept here.
    fn keeps(&self, account: AccountId, from: NodeId, chain: Option<&Chain>) -> bool {
        // A person brings the account that it is of and no other.
        let brings = |chain: &Chain| chain.has(from) && !self.lists.is_in_enough(from);
        account == self.account()
            || self.lists.get(account).is_some()
            || self.is_own(from)
            || (self.contacts.contains(&from) || self.met.contains(&from)) && chain.is_none_or(brings)
    }

    fn say(&self, to: NodeId, message: &Message, out: &mut Outbox<Out>) {
        out.push(Out::Send { to, body: encode(message) });
    }

    /// Whether an account is a contact's: by one of its devices, or by the one that it is named by.
    fn is_of_contact(&self, chain: &Chain) -> bool {
        chain.devices().chain([chain.keys().person()]).any(|node| self.contacts.contains(&node))
    }

    /// Contacts whose lists are kept.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn kept(&self) -> usize {
        self.contacts.len()
    }

    /// Accounts whose lists are here.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn lists(&self) -> usize {
        self.lists.len()
    }

    /// Lists of people that are contacts no more are not kept.
    fn forget_lists(&mut self, out: &mut Outbox<Out>) {
        let own = self.account();
        let kept = |chain: &Chain| chain.keys().id() == own || self.is_of_contact(chain);
        let kept: OrderedSet<AccountId> = self.lists.iter().filter(|c| kept(c)).map(|c| c.keys().id()).collect();
        let gone = self.lists.iter().filter(|c| !kept.contains(&c.keys().id()));
        gone.for_each(|c| out.push(Out::Devices { person: c.keys().person(), devices: Vec::new() }));
        self.lists.retain(|c| kept.contains(&c.keys().id()), out);
    }

    /// Says which list of an account this node has.
    fn announce(&self, to: NodeId, account: AccountId, out: &mut Outbox<Out>) {
        if let Some(chain) = self.lists.get(account) {
            self.say(to, &Message::Have { account, head: chain.head().hash() }, out);
        }
    }

    /// Whether a linked node learns which list this one has: each device of a contact, an own device, and one that says to
    /// be.
    fn is_told(&self, node: NodeId) -> bool {
        let says_own = self.linked.get(&node).is_some_and(|l| l.account == self.account());
        let is_contacts = || self.lists.of_node(node).is_some_and(|chain| self.is_of_contact(chain));
        self.contacts.contains(&node) || self.is_own(node) || says_own || is_contacts()
    }

    /// Says that the list of an account changed: the own to all that have to know it, that of another to the own devices,
    /// which may have no link with its bringer.
    fn announce_to_all(&self, account: AccountId, out: &mut Outbox<Out>) {
        let is_own_list = account == self.account();
        let to = |node: &NodeId| if is_own_list { self.is_told(*node) } else { self.is_own(*node) };
        self.linked.keys().filter(|node| to(node)).for_each(|node| self.announce(*node, account, out));
    }

    /// Asks a node that wrote for the lists of its account.
    fn meet(&mut self, node: NodeId, out: &mut Outbox<Out>) {
        let Some(account) = self.linked.get(&node).map(|l| l.account) else { return };
        if self.met.len() < MAX_MET {
            self.met.insert(node);
        }
        self.say(node, &Message::Want { account }, out);
    }

    /// Links to the own devices are wanted always, and one to the device whose ticket this one read.
    fn rewant(&mut self, out: &mut Outbox<Out>) {
        let me = self.identity.node_id();
        let own = self.lists.get(self.account()).filter(|chain| chain.has(me));
        let mut wanted: OrderedSet<NodeId> = own.into_iter().flat_map(Chain::devices).filter(|d| *d != me).collect();
        wanted.extend(self.joining.as_ref().map(Joining::with));
        for peer in self.wanted.iter().filter(|p| !wanted.contains(*p)) {
            out.push(Out::Unwant(*peer));
        }
        for peer in wanted.iter().filter(|p| !self.wanted.contains(*p)) {
            out.push(Out::Want(*peer));
        }
        self.wanted = wanted;
    }

    /// A linked node says to be of an account whose lists are here and do not name it: there is a newer one.
    fn wonder(&self, peer: NodeId, account: AccountId, out: &mut Outbox<Out>) {
        if self.lists.get(account).is_some_and(|chain| !chain.has(peer)) {
            self.say(peer, &Message::Want { account }, out);
        }
    }

    /// Takes a chain if it stands instead of the one that is here.
    fn take(&mut self, chain: Chain, out: &mut Outbox<Out>) {
        let account = chain.keys().id();
        let person = chain.keys().person();
        let before: Vec<NodeId> = match self.lists.get(account) {
            Some(known) => known.devices().collect(),
            // A person known by one device has that one.
            None => alloc::vec![person],
        };
        let is_new = self.lists.get(account).is_none();
        let common = self.lists.get(account).map_or(0, |known| known.common(&chain));
        let after: Vec<NodeId> = chain.devices().collect();
        let Some(gone) = self.lists.put(chain, self.identity.account_id(), &self.contacts, out) else {
            return self.drops.count(DropReason::Queue);
        };
        gone.into_iter().for_each(|person| out.push(Out::Devices { person, devices: Vec::new() }));
        // What follows from a change is stored with the list: after a crash there are both or neither. It comes before the
        // list, since a device that is gone is of no person after that.
        for device in before.iter().filter(|d| !after.contains(d)) {
            out.push(Out::Changed { person, device: *device, added: false });
        }
        for device in after.iter().filter(|d| !before.contains(d)) {
            out.push(Out::Changed { person, device: *device, added: true });
        }
        if is_new || before != after {
            out.push(Out::Devices { person, devices: after });
        }
        if account == self.account() {
            self.say_own(Some(common), out);
            self.name_from_list(out);
            self.rewant(out);
        }
        self.announce_to_all(account, out);
    }

    /// Says which devices are own ones, and up to where the list is the one that was; none: it is.
    fn say_own(&self, common: Option<u64>, out: &mut Outbox<Out>) {
        if let Some(chain) = self.lists.get(self.account()) {
            let generation = chain.head().generation;
            let (common, devices) = (common.unwrap_or(generation), chain.devices().collect());
            out.push(Out::Own { generation, common, devices, chain: Arc::new(chain.clone()) });
        }
    }

    /// This device has the name that the newest list of its account gives it.
    fn name_from_list(&mut self, out: &mut Outbox<Out>) {
        let key = self.identity.public_key();
        let Some(chain) = self.lists.get(self.account()) else { return };
        let Some(cert) = chain.certs().iter().find(|c| c.device == key) else { return };
        if cert.name == self.identity.name() {
            return;
        }
        self.become_of(self.identity.account().clone(), cert.name.clone(), out);
    }

    /// This device is of another account from now on, or has another name.
    fn become_of(&mut self, account: crate::identity::Account, name: alloc::string::String, out: &mut Outbox<Out>) {
        rows::store(&account, &name, out);
        self.identity = self.identity.with_account(account, name);
        out.after_commit(Out::Fact(Fact::Identity(Box::new(self.identity.clone()))));
    }

    fn message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message, out: &mut Outbox<Out>) {
        match message {
            Message::Have { account, head } => {
                let is_theirs = self.linked.get(&from).is_some_and(|l| l.account == account) || self.is_own(from);
                let is_known = self.lists.get(account).is_some_and(|chain| chain.head().hash() == head);
                if is_theirs && !is_known && self.keeps(account, from, None) {
                    self.say(from, &Message::Want { account }, out);
                }
            }
            Message::Want { account } => {
                // Which nodes are contacts here concerns no third one.
                let is_theirs = self.linked.get(&from).is_some_and(|l| l.account == account) || self.is_own(from);
                match is_theirs || account == self.account() {
                    true => self.give(cx, from, |chain| chain.keys().id() == account, out),
                    false => self.drops.count(DropReason::Message),
                }
            }
            Message::Find { recovery } => self.give(cx, from, |chain| chain.keys().recovery == recovery, out),
            Message::Lists(Blob(bytes)) => self.chain(cx, from, &bytes, out),
        }
    }

    fn give(&mut self, cx: &Cx<'_>, to: NodeId, which: impl Fn(&Chain) -> bool, out: &mut Outbox<Out>) {
        let Some(linked) = self.linked.get_mut(&to) else { return self.drops.count(DropReason::Message) };
        if !linked.answers.take(cx.now) || !self.answers.take(cx.now) {
            return self.drops.count(DropReason::Rate);
        }
        let found = self.lists.iter().find(|chain| which(chain)).map(Chain::encode);
        if let Some(bytes) = found {
            self.say(to, &Message::Lists(Blob(bytes)), out);
        }
    }

    fn chain(&mut self, cx: &mut Cx<'_>, from: NodeId, bytes: &[u8], out: &mut Outbox<Out>) {
        // Its head says whose it is; what is known of it costs no signature again.
        let Some(account) = lists::account_of(bytes) else { return self.drops.count(DropReason::Message) };
        if self.recovering.is_none() && !self.keeps(account, from, None) {
            return self.drops.count(DropReason::Message);
        }
        let may = self.linked.get_mut(&from).is_some_and(|l| l.chains.take(cx.now)) && self.reads.take(cx.now);
        if !may {
            return self.drops.count(DropReason::Rate);
        }
        let known = self.lists.get(account);
        let Ok(chain) = Chain::decode(bytes, known) else { return self.drops.count(DropReason::Signature) };
        self.recover_with(cx, &chain, out);
        if !self.keeps(chain.keys().id(), from, Some(&chain)) {
            return self.drops.count(DropReason::Message);
        }
        self.offer(from, chain, out);
    }

    /// Takes a chain that may be older, the same or newer.
    fn offer(&mut self, from: NodeId, chain: Chain, out: &mut Outbox<Out>) {
        let account = chain.keys().id();
        match self.lists.get(account).map(|known| chain.rank(known)) {
            None | Some(core::cmp::Ordering::Greater) => self.take(chain, out),
            Some(core::cmp::Ordering::Equal) => {}
            // The other side has an older one.
            Some(core::cmp::Ordering::Less) => {
                self.drops.count(DropReason::Stale);
                if account == self.account() || self.is_own(from) {
                    self.announce(from, account, out);
                }
            }
        }
    }

    fn link_up(&mut self, peer: NodeId, account: AccountId, out: &mut Outbox<Out>) {
        let (answers, chains) = (RateLimit::new(ANSWERS_OF_NODE), RateLimit::new(CHAINS_OF_NODE));
        self.linked.insert(peer, Linked { account, answers, chains });
        if self.is_told(peer) {
            self.announce(peer, self.account(), out);
        }
        self.wonder(peer, account, out);
        if self.is_own(peer) {
            // A device that was added has no list of others yet.
            let others = self.lists.iter().map(|c| c.keys().id()).filter(|account| *account != self.account());
            others.for_each(|account| self.announce(peer, account, out));
        }
        if let Some((recovery, _)) = &self.recovering {
            self.say(peer, &Message::Find { recovery: recovery.public() }, out);
        }
    }
}

impl Machine for Devices {
    const NAME: &'static str = "device";
    const TABLES: &'static [(&'static str, Table)] = &[("account", ACCOUNT), ("lists", LISTS)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        let _ = cx;
        let identity = setup.identity.clone();
        let mut lists = Lists::restore(&records)?;
        if lists.get(identity.account_id()).is_none() && identity.public_key() == identity.account().keys.first {
            let _ = lists.put(Chain::begin(&identity), identity.account_id(), &OrderedSet::new(), out);
        }
        for chain in lists.iter() {
            out.push(Out::Devices { person: chain.keys().person(), devices: chain.devices().collect() });
        }
        let mut opened = Self {
            identity,
            own: None,
            lists,
            contacts: OrderedSet::new(),
            met: OrderedSet::new(),
            linked: OrderedMap::new(),
            wanted: OrderedSet::new(),
            answers: RateLimit::new(ANSWERS),
            reads: RateLimit::new(READS),
            invited: None,
            joining: None,
            recovering: None,
            has_private: false,
            drops: Drops::default(),
        };
        opened.say_own(None, out);
        opened.rewant(out);
        Ok(opened)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match fact {
            Fact::LinkUp { peer, record, .. } => {
                self.link_up(*peer, record.account, out);
                self.greet(cx, *peer, out);
            }
            Fact::RecordRenewed { peer, record } => {
                if let Some(linked) = self.linked.get_mut(peer) {
                    linked.account = record.account;
                }
                self.wonder(*peer, record.account, out);
            }
            Fact::LinkDown { peer, .. } => {
                self.linked.remove(peer);
                self.met.remove(peer);
            }
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Keys { device, identity } => {
                if device == self.identity.public_key() {
                    self.own = Some(identity);
                }
            }
            In::Contact { node, kept: true } => {
                self.contacts.insert(node);
                if let Some(account) = self.linked.get(&node).map(|l| l.account) {
                    self.announce(node, self.account(), out);
                    self.say(node, &Message::Want { account }, out);
                }
            }
            In::Contact { node, kept: false } => {
                self.contacts.remove(&node);
                self.forget_lists(out);
            }
            In::Message { from, body } => match decode::<Message>(&body, MAX_BYTES) {
                Ok(message) => self.message(cx, from, message, out),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::Opened { from, identity, body } => match decode::<Private>(&body, MAX_BYTES) {
                Ok(message) => self.private(cx, (from, identity), message, out),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::Ready(peer) => self.greet(cx, peer, out),
            In::Meet(node) => self.meet(node, out),
            In::Private => self.has_private = true,
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        self.join_timeout(cx, out);
    }

    fn next_deadline(&self) -> Option<Instant> {
        let recovering = self.recovering.as_ref().map(|(_, until)| *until);
        let joining = self.joining.as_ref().map(Joining::deadline);
        soonest(soonest(self.invited.as_ref().map(|i| i.until), joining), recovering)
    }

    fn footprint(&self) -> usize {
        let lists = self.lists.len().saturating_add(self.contacts.len());
        lists.saturating_add(self.linked.len()).saturating_add(self.met.len()).saturating_add(self.wanted.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
    }

    #[cfg(any(test, debug_assertions))]
    fn linked(&self) -> usize {
        self.linked.len()
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        if self.met.len() > MAX_MET {
            return Err("more nodes wrote than are remembered");
        }
        self.lists.check()
    }
}

#[cfg(test)]
mod tests;
