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

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::collections::{OrderedMap, OrderedSet};
use crate::contacts::book::Book;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::identity::node_id;
use crate::machine::{Command, Cx, Machine, Outbox, Setup};
use crate::stats::Stats;
use crate::store::{Record, Table};
use crate::time::Instant;
use crate::wire::Malformed;
use crate::wire::content::Attachment;

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
    /// These are the devices of an account; `person` stands for it.
    Devices { person: NodeId, devices: Vec<NodeId> },
    /// A device came to this person's account, or is gone from it.
    DevicesChanged(NodeId),
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
    /// INVARIANT: at most seven for each account whose lists are kept.
    persons: OrderedMap<NodeId, NodeId>,
}

impl Contacts {
    /// The row of a node, or of another device of its person.
    fn row_of(&self, node: NodeId) -> NodeId {
        if self.book.get(node).is_some() {
            return node;
        }
        let person = self.person_of(node);
        let is_row = |other: &NodeId| self.book.get(*other).is_some();
        let mut others = self.persons.iter().filter(|(_, p)| **p == person).map(|(device, _)| *device);
        Some(person).filter(is_row).or_else(|| others.find(is_row)).unwrap_or(node)
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

    /// A verified person whose devices changed is held until the user looked at it, as one with another key.
    fn devices_changed(&mut self, person: NodeId, out: &mut Outbox<Out>) {
        let rows: Vec<NodeId> =
            self.book.iter().map(|(node, _)| node).filter(|node| self.person_of(*node) == person).collect();
        for node in rows {
            let Some(known) = self.book.get(node).filter(|p| p.verified.is_some() && !p.changed) else { continue };
            let (identity, known) = (known.verified, Person { changed: true, ..known.clone() });
            self.put(node, known, out);
            out.push(Out::Trust { node, identity, held: true, compared: false });
            self.hold_others(node, true, out);
        }
    }

    /// Holds what goes to the other devices of the person of a row, or ends that.
    fn hold_others(&self, row: NodeId, held: bool, out: &mut Outbox<Out>) {
        let person = self.person_of(row);
        let others = self.persons.iter().filter(|(_, p)| **p == person).map(|(device, _)| *device);
        for node in others.chain([person]).filter(|node| *node != row && self.book.get(*node).is_none()) {
            out.push(Out::Trust { node, identity: None, held, compared: false });
        }
    }

    fn devices(&mut self, person: NodeId, devices: &[NodeId], out: &mut Outbox<Out>) {
        self.persons.retain(|device, of| *of != person || devices.contains(device));
        self.persons.extend(devices.iter().filter(|d| **d != person).map(|d| (*d, person)));
        let row = self.row_of(person);
        if self.book.get(row).is_some_and(|p| p.changed) {
            self.hold_others(row, true, out);
        }
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
    fn meet(&self, node: NodeId, out: &mut Outbox<Out>) {
        if self.linked.contains(&node) && self.book.get(node).is_some_and(|p| p.keys.is_none()) {
            out.push(Out::Meet(node));
        }
    }

    fn learn(&mut self, keys: PublicKeys, out: &mut Outbox<Out>) {
        let node = node_id(&keys.device);
        if node == self.me {
            self.own = Some(keys);
            return;
        }
        // Of others nothing is kept: they are asked when they come into the book.
        let Some(person) = self.book.get(node) else { return };
        if person.keys == Some(keys) {
            return;
        }
        let mut person = person.clone();
        person.keys = Some(keys);
        let changed = person.verified.is_some_and(|verified| verified != keys.identity);
        let is_news = changed && !person.changed;
        // A key that was held stays so if the old one comes back: two stores have the device's key.
        person.changed |= changed;
        let identity = person.verified;
        self.put(node, person, out);
        if is_news {
            out.push(Out::Trust { node, identity, held: true, compared: false });
            out.push(Out::Changed(node));
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
        Ok(Self { me: cx.me, own: None, book, linked: OrderedSet::new(), persons: OrderedMap::new() })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, _cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match *fact {
            Fact::LinkUp { peer, .. } => {
                self.linked.insert(peer);
                self.meet(peer, out);
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
                // Another device of this person wrote to it.
                Wrote(self.row_of(from)).run(self, cx, out);
            }
            In::Received { from, .. } => self.received(cx, self.row_of(from), out),
            In::Devices { person, devices } => self.devices(person, &devices, out),
            In::DevicesChanged(person) => self.devices_changed(person, out),
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
        self.book.len().saturating_add(self.linked.len()).saturating_add(self.persons.len())
    }

    fn count(&self, _stats: &mut Stats) {}

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        self.book.check()
    }
}

#[cfg(test)]
mod tests;
