//! Contacts: the people of this node under its own names, with their safety numbers, and requests of strangers
//! (docs/design/contacts.md).
//!
//! A session proves that both sides hold their keys; comparing a safety number proves whose keys those are. Nothing of
//! this book leaves the node.

mod book;
mod commands;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) mod contract;
mod number;
mod shared;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::contacts::book::Book;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::identity::node_id;
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::stats::Stats;
use crate::store::{Record, Table};
use crate::time::Instant;
use crate::wire::Malformed;
use crate::wire::content::Attachment;
use crate::wire::registers::Register;

pub(crate) use book::Person;
pub use book::Verification;
pub(crate) use commands::{Accept, AcceptChange, Add, Learn, Mute, Remove, Rename, Verify, Wrote};
use number::PublicKeys;
pub use number::SafetyNumber;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(crate) use number::read_code;

/// One row a node: a contact, or a stranger with a request.
const CONTACTS: Table = Table::hot(56);

#[derive(Debug)]
pub(crate) enum In {
    /// The keys that a device proved to hold when a session with it began; those of this node at its start.
    Keys { device: [u8; 32], identity: [u8; 32] },
    /// A private message was reported, in the conversation with this person, by this device.
    Received { from: NodeId, author: NodeId },
    /// It names a file.
    Named { from: NodeId, file: Box<Attachment> },
    /// These are the devices of an account, the most senior first; none: its list is not kept any more. `person` stands for
    /// it.
    Devices { person: NodeId, devices: Vec<NodeId> },
    /// The user set this of a contact on another device.
    Shared(Register),
    /// A device came to this person's account, or is gone from it; `Devices` follows.
    DevicesChanged { person: NodeId, device: NodeId },
}

#[derive(Debug)]
pub(crate) enum Out {
    Fact(Fact),
    /// Only this session identity key of the node is verified; none: nothing is to be compared. `held`: nothing is sealed
    /// for it until the user looked at its change of key. `compared`: the user did so now.
    Trust {
        node: NodeId,
        identity: Option<[u8; 32]>,
        held: bool,
        compared: bool,
    },
    /// The user set this, for all of its devices.
    Share(Register),
    /// This follows from what is here, if nothing else was set before. `In::Shared` answers if so.
    Suggest(Register),
    /// A device is this person's: what was set of the device is so of the person.
    Moved {
        device: NodeId,
        person: NodeId,
    },
    /// Ask this linked node for its keys; `In::Keys` answers.
    Meet(NodeId),
    /// A contact, from now on or not any more.
    Kept {
        node: NodeId,
        kept: bool,
    },
    /// A stranger wrote for the first time.
    Requested(NodeId),
    /// A verified contact has another session identity key.
    Changed(NodeId),
    /// A contact named a file. What a stranger names is fetched when a person asks for it.
    Named {
        from: NodeId,
        file: Box<Attachment>,
    },
}

pub(crate) struct Contacts {
    me: NodeId,
    /// The keys of this node, once its sessions are open.
    own: Option<PublicKeys>,
    book: Book,
    /// INVARIANT: at most as many as there are links.
    linked: OrderedSet<NodeId>,
    /// Whose device a node is, other than of the person that it stands for itself.
    ///
    /// INVARIANT: at most eight for each account whose lists are kept.
    persons: OrderedMap<NodeId, NodeId>,
    /// The devices of a person, the most senior first.
    ///
    /// INVARIANT: one entry for each account whose lists are kept.
    listed: OrderedMap<NodeId, Vec<NodeId>>,
}

impl Contacts {
    /// The row of a node, or of another device of its person.
    fn row_of(&self, node: NodeId) -> NodeId {
        let person = self.person_of(node);
        let others = self.listed.get(&person).into_iter().flatten().copied();
        let is_row = |other: &NodeId| self.book.get(*other).is_some();
        [node, person].into_iter().chain(others).find(is_row).unwrap_or(node)
    }

    /// The device whose keys are those of a row: the row's own while its person has it, and else the most senior one.
    fn device_of(&self, row: NodeId) -> NodeId {
        let listed = self.listed.get(&self.person_of(row)).filter(|devices| !devices.contains(&row));
        listed.and_then(|devices| devices.first()).copied().unwrap_or(row)
    }

    /// All nodes of the person of a row, without those that have another row.
    fn nodes_of(&self, row: NodeId) -> OrderedSet<NodeId> {
        let person = self.person_of(row);
        let listed = self.listed.get(&person).into_iter().flatten().copied();
        listed.chain([person, row]).filter(|node| *node == row || self.book.get(*node).is_none()).collect()
    }

    fn person_of(&self, node: NodeId) -> NodeId {
        self.persons.get(&node).copied().unwrap_or(node)
    }

    fn put(&mut self, node: NodeId, person: Person, out: &mut Outbox<Out>) {
        if self.book.get(node).is_none() {
            out.push(Out::Kept { node, kept: true });
        }
        self.book.put(node, person, out);
    }

    fn take_out(&mut self, node: NodeId, out: &mut Outbox<Out>) {
        self.book.remove(node, out);
        out.push(Out::Kept { node, kept: false });
    }

    /// Says what is verified of the person of a row, and holds what goes to its devices or ends that.
    fn trust(&self, row: NodeId, (held, compared): (bool, bool), out: &mut Outbox<Out>) {
        let (device, verified) = (self.device_of(row), self.book.get(row).and_then(|p| p.verified));
        for node in self.nodes_of(row) {
            let identity = verified.filter(|_| node == device);
            out.push(Out::Trust { node, identity, held, compared: compared && node == device });
        }
    }

    /// Lists of devices that are known.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn listed(&self) -> usize {
        self.listed.len()
    }

    fn mute(&self, row: NodeId, muted: bool, out: &mut Outbox<Out>) {
        for node in self.nodes_of(row) {
            out.push(Out::Fact(if muted { Fact::Muted(node) } else { Fact::Unmuted(node) }));
        }
    }

    /// A verified person whose devices changed is held until the user looked at it, as one with another key. So is one that
    /// was known as the person of the device that came.
    fn devices_changed(&mut self, person: NodeId, device: NodeId, out: &mut Outbox<Out>) {
        let is_of = |row: &NodeId| *row == device || self.person_of(*row) == person;
        let rows: Vec<NodeId> = self.book.iter().map(|(node, _)| node).filter(is_of).collect();
        for row in rows {
            let Some(known) = self.book.get(row).filter(|p| p.verified.is_some() && !p.changed) else { continue };
            self.put(row, Person { changed: true, ..known.clone() }, out);
            self.trust(row, (true, false), out);
        }
    }

    fn devices(&mut self, person: NodeId, devices: Vec<NodeId>, out: &mut Outbox<Out>) {
        let before = self.listed.remove(&person).unwrap_or_default();
        let gone: Vec<NodeId> = before.into_iter().filter(|d| *d != person && !devices.contains(d)).collect();
        // What was set of a device is of its person from now on.
        let all = if devices.is_empty() { &[][..] } else { gone.as_slice() };
        for device in devices.iter().chain(all).copied().filter(|device| *device != person) {
            out.push(Out::Moved { device, person });
        }
        self.persons.retain(|device, of| *of != person || devices.contains(device));
        self.persons.extend(devices.iter().filter(|d| **d != person).map(|d| (*d, person)));
        if !devices.is_empty() {
            self.listed.insert(person, devices);
            gone.iter().for_each(|device| self.move_row(*device, person, out));
        }
        for node in gone.into_iter().filter(|node| self.book.get(*node).is_none()) {
            out.push(Out::Trust { node, identity: None, held: false, compared: false });
            out.push(Out::Fact(Fact::Unmuted(node)));
        }
        let rows: Vec<NodeId> =
            self.book.iter().map(|(node, _)| node).filter(|node| self.person_of(*node) == person).collect();
        rows.iter().for_each(|row| self.renew(*row, out));
    }

    /// The row of a device that its person has no more is that of the person.
    fn move_row(&mut self, device: NodeId, person: NodeId, out: &mut Outbox<Out>) {
        let Some(moved) = self.book.get(device).cloned() else { return };
        let row = match self.book.get(person) {
            Some(known) if moved.request || !known.request => {
                Person { muted: known.muted || moved.muted, ..known.clone() }
            }
            Some(_) | None => Person { keys: None, ..moved },
        };
        // First the one that comes, so that the person is a contact all the time.
        self.put(person, row, out);
        self.take_out(device, out);
    }

    /// The devices of the person of a row are others: what is known of it holds for them.
    fn renew(&mut self, row: NodeId, out: &mut Outbox<Out>) {
        let Some(known) = self.book.get(row).cloned() else { return };
        if known.keys.is_some_and(|keys| node_id(&keys.device) != self.device_of(row)) {
            self.put(row, Person { keys: None, ..known.clone() }, out);
        }
        self.meet(row, out);
        self.end_wait(row, out);
        if let Some(known) = self.book.get(row).filter(|p| p.verified.is_some()) {
            self.trust(row, (known.changed, false), out);
        }
        if known.muted {
            self.mute(row, true, out);
        }
    }

    /// Which contact shows a name: of two that have it the lower person, and then the lower node. It follows from the
    /// registers and the lists, so that all own devices show the same.
    pub(crate) fn named(&self, name: &str) -> Option<NodeId> {
        self.book.named(name).min_by_key(|row| (self.person_of(*row), *row))
    }

    /// The own name that a contact shows.
    pub(crate) fn petname(&self, node: NodeId) -> Option<&str> {
        let row = self.row_of(node);
        let name = self.book.get(row)?.petname.as_deref()?;
        (self.named(name) == Some(row)).then_some(name)
    }

    /// One of the book, also with a request.
    pub(crate) fn get(&self, node: NodeId) -> Option<&Person> {
        self.book.get(self.row_of(node))
    }

    /// All of the book, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Person)> {
        self.book.iter()
    }

    /// Whether nothing is sent to this node until its change of key was looked at.
    pub(crate) fn is_held(&self, node: NodeId) -> bool {
        self.get(node).is_some_and(|p| p.verification() == Verification::Changed)
    }

    /// Asks for keys that are not known yet.
    fn meet(&self, row: NodeId, out: &mut Outbox<Out>) {
        let device = self.device_of(row);
        if self.linked.contains(&device) && self.book.get(row).is_some_and(|p| p.keys.is_none()) {
            out.push(Out::Meet(device));
        }
    }

    fn learn(&mut self, keys: PublicKeys, out: &mut Outbox<Out>) {
        let node = node_id(&keys.device);
        if node == self.me {
            self.own = Some(keys);
            return;
        }
        // Of others nothing is kept: they are asked when they come into the book.
        let row = self.row_of(node);
        let Some(person) = self.book.get(row).filter(|_| self.device_of(row) == node) else { return };
        if person.keys == Some(keys) {
            return;
        }
        let mut person = person.clone();
        person.keys = Some(keys);
        let changed = person.verified.is_some_and(|verified| verified != keys.identity);
        let is_news = changed && !person.changed;
        // A key that was held stays so if the old one comes back: two stores have the device's key.
        person.changed |= changed;
        person.awaits &= !changed;
        self.put(row, person, out);
        if is_news {
            self.trust(row, (true, false), out);
            out.push(Out::Changed(row));
        }
    }

    fn received(&mut self, cx: &Cx<'_>, from: NodeId, out: &mut Outbox<Out>) {
        if self.book.get(from).is_some() || from == self.me {
            return;
        }
        if let Some(node) = self.book.request(from, cx.wall, out) {
            out.push(Out::Kept { node, kept: false });
        }
        out.push(Out::Kept { node: from, kept: true });
        out.push(Out::Requested(from));
        self.meet(from, out);
    }
}

impl Machine for Contacts {
    const NAME: &'static str = "contacts";
    const TABLES: &'static [(&'static str, Table)] = &[("contacts", CONTACTS)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        let limits = &setup.config.limits;
        let book = Book::restore(&records, limits.contacts, limits.contact_requests)?;
        for (node, person) in book.iter() {
            out.push(Out::Kept { node, kept: true });
            if person.verified.is_some() {
                out.push(Out::Trust { node, identity: person.verified, held: person.changed, compared: false });
            }
            if person.muted {
                out.push(Out::Fact(Fact::Muted(node)));
            }
        }
        let (linked, persons, listed) = (OrderedSet::new(), OrderedMap::new(), OrderedMap::new());
        Ok(Self { me: cx.me, own: None, book, linked, persons, listed })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, _cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match *fact {
            Fact::LinkUp { peer, .. } => {
                self.linked.insert(peer);
                self.meet(self.row_of(peer), out);
            }
            Fact::LinkDown { peer, .. } => drop(self.linked.remove(&peer)),
            // A block answers a request.
            Fact::Blocked(peer) if self.book.get(peer).is_some_and(|p| p.request) => self.take_out(peer, out),
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Keys { device, identity } => self.learn(PublicKeys { device, identity }, out),
            In::Received { from, author } if self.person_of(author) == self.person_of(self.me) => {
                // Another device of this person wrote to it, now or long ago: it may have been removed since.
                let node = self.row_of(from);
                if self.book.get(node).is_none_or(|p| p.request) {
                    out.push(Out::Suggest(Register::Contact(self.person_of(node), true)));
                }
            }
            In::Received { from, .. } => self.received(cx, self.row_of(from), out),
            In::Devices { person, devices } => self.devices(person, devices, out),
            In::Shared(register) => self.shared(cx, register, out),
            In::DevicesChanged { person, device } => self.devices_changed(person, device, out),
            In::Named { from, file } => {
                if self.book.get(from).is_some_and(|person| !person.request) {
                    out.push(Out::Named { from, file });
                }
            }
        }
    }

    fn handle_timeout(&mut self, _cx: &mut Cx<'_>, _out: &mut Outbox<Out>) {}

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn footprint(&self) -> usize {
        let persons = self.persons.len().saturating_add(self.listed.len());
        self.book.len().saturating_add(self.linked.len()).saturating_add(persons)
    }

    fn count(&self, _stats: &mut Stats) {}

    #[cfg(any(test, debug_assertions))]
    fn linked(&self) -> usize {
        self.linked.len()
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.book.check()?;
        let most = crate::wire::devices::MAX_DEVICES;
        let of = |person: &NodeId| self.persons.values().filter(|of| *of == person).count();
        if self.persons.values().any(|person| !self.listed.contains_key(person)) {
            return Err("a device is of a person without a list");
        }
        match self.listed.keys().all(|person| of(person) <= most) {
            true => Ok(()),
            false => Err("a person has more devices than a list"),
        }
    }
}

#[cfg(test)]
mod tests;
