//! The entries of the book, and their limits.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::collections::{OrderedMap, OrderedSet};
use crate::contacts::CONTACTS;
use crate::contacts::number::PublicKeys;
use crate::id::NodeId;
use crate::identity::name_is_valid;
use crate::machine::Outbox;
use crate::store::Record;
use crate::time::WallTime;
use crate::wire::{Malformed, decode, encode};

/// The longest stored value: a name, three keys and what little else there is.
const MAX_ROW: usize = 256;

/// What this node made of a contact's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verification {
    /// Its safety number was not compared.
    Unverified,
    /// Its safety number was compared and is right.
    Verified,
    /// It was verified, and has another session identity key since: nothing is sent to it until that is looked at.
    Changed,
}

impl Verification {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Unverified, Self::Verified, Self::Changed];

    /// A stable name, one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Changed => "changed",
        }
    }
}

/// What is kept of a node: a contact's row, or that of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    /// It is a stranger that wrote, and no contact.
    pub(crate) request: bool,
    /// This node's own name for it.
    pub(crate) petname: Option<String>,
    pub(crate) muted: bool,
    /// When it came into the book.
    pub(crate) added: WallTime,
    /// Its newest keys.
    pub(crate) keys: Option<PublicKeys>,
    /// The session identity key that was compared.
    pub(crate) verified: Option<[u8; 32]>,
    /// The device and the devices beside it when that was compared ([`devices_digest`]); zeros if nothing was.
    ///
    /// [`devices_digest`]: crate::wire::registers::devices_digest
    pub(crate) seen: [u8; 32],
    /// Another key than that came since, or other devices.
    pub(crate) changed: bool,
    /// It was compared on another device of the user, where other devices of it are known than here. Theirs end this.
    pub(crate) awaits: bool,
}

impl Person {
    pub(super) fn new(request: bool, added: WallTime) -> Self {
        let (petname, muted, keys, verified) = (None, false, None, None);
        Self { request, petname, muted, added, keys, verified, seen: [0; 32], changed: false, awaits: false }
    }

    /// The same without what was made of its keys.
    pub(super) fn unverified(self) -> Self {
        Self { verified: None, seen: [0; 32], changed: false, awaits: false, ..self }
    }

    pub(crate) fn verification(&self) -> Verification {
        match (self.verified, self.changed) {
            (None, _) => Verification::Unverified,
            (Some(_), false) => Verification::Verified,
            (Some(_), true) => Verification::Changed,
        }
    }

    fn read(value: &[u8]) -> Result<Self, Malformed> {
        let person: Self = decode(value, MAX_ROW)?;
        let is_named = person.petname.as_deref().is_none_or(name_is_valid);
        // A request has nothing that only the user gives.
        let is_plain = person.petname.is_none() && !person.muted && person.verified.is_none();
        let is_right = is_named && (is_plain || !person.request) && (person.verified.is_some() || !person.changed);
        let is_right = is_right && (person.changed || !person.awaits);
        if is_right { Ok(person) } else { Err(Malformed) }
    }
}

fn add_name(names: &mut OrderedMap<String, OrderedSet<NodeId>>, node: NodeId, person: &Person) {
    if let Some(name) = person.petname.clone() {
        names.entry(name).or_default().insert(node);
    }
}

/// Contacts and requests by node.
///
/// INVARIANT: `names` has the name of each row. At most so many contacts and so many requests. A request never takes the place of a contact.
#[derive(Debug)]
pub(super) struct Book {
    people: OrderedMap<NodeId, Person>,
    /// Rows by name. Two may have one: own devices gave it to two contacts at one time.
    names: OrderedMap<String, OrderedSet<NodeId>>,
    requests: usize,
    most_contacts: usize,
    most_requests: usize,
}

impl Book {
    pub(super) fn restore(records: &[Record], most_contacts: usize, most_requests: usize) -> Result<Self, Malformed> {
        let mut people = OrderedMap::new();
        for Record { key, value, .. } in records {
            people.insert(NodeId(key.as_slice().try_into().map_err(|_| Malformed)?), Person::read(value)?);
        }
        let requests = people.values().filter(|p: &&Person| p.request).count();
        let mut names = OrderedMap::new();
        people.iter().for_each(|(node, person)| add_name(&mut names, *node, person));
        Ok(Self { people, names, requests, most_contacts, most_requests })
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Person> {
        self.people.get(&node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Person)> {
        self.people.iter().map(|(node, person)| (*node, person))
    }

    pub(super) fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether one more contact finds a place.
    pub(super) fn has_room(&self) -> bool {
        self.people.len().saturating_sub(self.requests) < self.most_contacts
    }

    /// Rows with this name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = NodeId> {
        self.names.get(name).into_iter().flat_map(OrderedSet::iter).copied()
    }

    fn unname(&mut self, node: NodeId) {
        let Some(name) = self.people.get(&node).and_then(|p| p.petname.clone()) else { return };
        if let Some(rows) = self.names.get_mut(&name) {
            rows.remove(&node);
            if rows.is_empty() {
                self.names.remove(&name);
            }
        }
    }

    pub(super) fn put<O>(&mut self, node: NodeId, person: Person, out: &mut Outbox<O>) {
        out.put(CONTACTS, node.0.to_vec(), encode(&person));
        let is_request = person.request;
        self.unname(node);
        add_name(&mut self.names, node, &person);
        let was_request = self.people.insert(node, person).is_some_and(|p| p.request);
        self.requests = self.requests.saturating_add(usize::from(is_request)).saturating_sub(usize::from(was_request));
    }

    pub(super) fn remove<O>(&mut self, node: NodeId, out: &mut Outbox<O>) {
        self.unname(node);
        if let Some(person) = self.people.remove(&node) {
            self.requests = self.requests.saturating_sub(usize::from(person.request));
            out.delete(CONTACTS, node.0.to_vec());
        }
    }

    /// A stranger wrote. Of too many requests the oldest goes; its messages stay.
    /// Returns which.
    pub(super) fn request<O>(&mut self, from: NodeId, wall: WallTime, out: &mut Outbox<O>) -> Option<NodeId> {
        let requests = self.people.iter().filter(|(_, p)| p.request && self.requests >= self.most_requests);
        let oldest = requests.min_by_key(|(node, p)| (p.added, **node)).map(|(node, _)| *node);
        oldest.into_iter().for_each(|node| self.remove(node, out));
        self.put(from, Person::new(true, wall), out);
        oldest
    }

    /// All rows, for limits that were lowered since they were stored.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let requests: alloc::vec::Vec<&Person> = self.people.values().filter(|p| p.request).collect();
        if requests.len() != self.requests {
            return Err("requests are counted wrongly");
        }
        let plain = |p: &&Person| p.petname.is_none() && !p.muted && p.verified.is_none();
        let mut names = OrderedMap::new();
        self.people.iter().for_each(|(node, person)| add_name(&mut names, *node, person));
        if names != self.names {
            return Err("names lead to other rows");
        }
        if requests.iter().all(plain) { Ok(()) } else { Err("a request has what only the user gives") }
    }
}
