//! What the user set of contacts on other devices, and what it set here for those (docs/design/devices.md §7).

use alloc::vec::Vec;

use crate::collections::OrderedSet;
use crate::contacts::book::Person;
use crate::contacts::number::PublicKeys;
use crate::contacts::{Contacts, Out};
use crate::error::CommandError;
use crate::fact::Fact;
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::wire::registers::{Comparison, Register, devices_digest};

impl Contacts {
    /// The user set this of a row.
    pub(super) fn share(&self, row: NodeId, what: impl FnOnce(NodeId) -> Register, out: &mut Outbox<Out>) {
        out.push(Out::Share(what(self.person_of(row))));
    }

    /// What the user made of the keys of a row, for exactly these keys and devices.
    pub(super) fn share_trust(&self, row: NodeId, verified: bool, out: &mut Outbox<Out>) {
        let (device, devices) = (self.device_of(row), self.devices_of(row));
        let keys = self.book.get(row).and_then(|p| p.keys);
        let identity = keys.map_or([0; 32], |PublicKeys { identity, .. }| identity);
        let comparison = Comparison { verified, device, identity, devices };
        self.share(row, |node| Register::Trust(node, Some(comparison)), out);
    }

    /// Names the device whose keys are those of a row, and the devices that its person has.
    pub(super) fn devices_of(&self, row: NodeId) -> [u8; 32] {
        let person = self.person_of(row);
        devices_digest(self.device_of(row), self.listed.get(&person).map_or(&[person], Vec::as_slice))
    }

    /// The user made a contact anew: what was set of it before, here or on another device, is over.
    pub(super) fn share_new(&self, row: NodeId, out: &mut Outbox<Out>) {
        let Some(Person { petname, muted, .. }) = self.book.get(row).cloned() else { return };
        self.share(row, |node| Register::Contact(node, true), out);
        self.share(row, |node| Register::Petname(node, petname), out);
        self.share(row, |node| Register::Muted(node, muted), out);
        self.share(row, |node| Register::Trust(node, None), out);
    }

    /// The user took out a row: nothing that was set of it, its person or a device of that holds any more.
    pub(super) fn share_removal(&self, row: NodeId, out: &mut Outbox<Out>) {
        let person = self.person_of(row);
        let listed = self.listed.get(&person).into_iter().flatten().copied();
        let nodes: OrderedSet<NodeId> = listed.chain([row, person]).collect();
        for node in nodes {
            out.push(Out::Share(Register::Contact(node, false)));
            out.push(Out::Share(Register::Petname(node, None)));
            out.push(Out::Share(Register::Muted(node, false)));
            out.push(Out::Share(Register::Trust(node, None)));
        }
    }

    /// Whether a node is a device of this node's own account.
    pub(super) fn is_own(&self, node: NodeId) -> bool {
        self.person_of(node) == self.person_of(self.me)
    }

    /// What another device of the user was waited for is known, or not yet.
    pub(super) fn end_wait(&mut self, row: NodeId, out: &mut Outbox<Out>) {
        let Some(known) = self.book.get(row).filter(|p| p.awaits && p.seen == self.devices_of(row)) else { return };
        let ended = Person { awaits: false, changed: false, ..known.clone() };
        self.put(row, ended, out);
    }

    /// The user set this on another device. Nothing is shared because of that: the registers would differ by which of them
    /// came first.
    pub(super) fn shared(&mut self, cx: &Cx<'_>, register: Register, out: &mut Outbox<Out>) {
        // Of own devices nothing is set. What is of a device's person now holds nothing of the device any more.
        let is_past = |node| self.is_own(node) || register.is_default() && self.person_of(node) != node;
        if register.person().is_some_and(is_past) {
            return;
        }
        match register {
            Register::Contact(node, is_contact) => self.set_contact(cx, self.row_of(node), is_contact, out),
            Register::Petname(node, petname) => {
                let row = self.row_of(node);
                if let Ok(person) = self.contact(row) {
                    self.put(row, Person { petname, ..person }, out);
                }
            }
            Register::Muted(node, muted) => {
                let row = self.row_of(node);
                if let Ok(person) = self.contact(row)
                    && person.muted != muted
                {
                    self.put(row, Person { muted, ..person }, out);
                    self.mute(row, muted, out);
                }
            }
            Register::Trust(node, comparison) => self.set_trust(self.row_of(node), comparison, out),
            // Of other machines.
            Register::Blocked(..) | Register::Read(..) => {}
        }
    }

    fn set_contact(&mut self, cx: &Cx<'_>, row: NodeId, is_contact: bool, out: &mut Outbox<Out>) {
        if !is_contact {
            let _ = self.remove(row, out);
            return;
        }
        let is_known = self.book.get(row).is_some_and(|p| !p.request);
        // The places here may be taken by others.
        if !is_known && let Ok(person) = self.become_contact(cx, row) {
            self.put(row, person, out);
            self.meet(row, out);
        }
    }

    /// What was made of a contact's keys on another device holds here for the same device, key and list, and for no other:
    /// with another key, or other devices, the contact is held.
    fn set_trust(&mut self, row: NodeId, comparison: Option<Comparison>, out: &mut Outbox<Out>) {
        let Ok(person) = self.contact(row) else { return };
        let Some(comparison) = comparison else {
            // It was removed there.
            if person.verified.is_some() {
                self.put(row, person.unverified(), out);
                self.trust(row, (false, false), out);
            }
            return;
        };
        let Comparison { verified, device, identity, devices } = comparison;
        if device != self.device_of(row) && self.nodes_of(row).contains(&device) {
            // The key of another device of the person is known here: that one was not compared.
            return;
        }
        let is_key = person.keys.is_none_or(|keys| keys.identity == identity);
        let is_list = devices == self.devices_of(row);
        if !verified {
            // What was accepted there may be another change than the one that is held here.
            if person.verified.is_some() && is_key && is_list {
                self.put(row, person.unverified(), out);
                self.trust(row, (false, false), out);
            }
            return;
        }
        let is_news = !is_key && is_list && !person.changed;
        let changed = !(is_key && is_list);
        let awaits = is_key && !is_list;
        self.put(row, Person { verified: Some(identity), seen: devices, changed, awaits, ..person }, out);
        self.trust(row, (changed, !changed), out);
        if is_news {
            out.push(Out::Changed(row));
        }
    }

    /// Takes a row out of the book, with all that the book says of it.
    pub(super) fn remove(&mut self, row: NodeId, out: &mut Outbox<Out>) -> Result<(), CommandError> {
        let person = self.book.get(row).ok_or(CommandError::Unknown("contact"))?;
        let (muted, verified) = (person.muted, person.verified.is_some());
        let nodes = self.nodes_of(row);
        self.take_out(row, out);
        for node in nodes {
            if muted {
                out.push(Out::Fact(Fact::Unmuted(node)));
            }
            if verified {
                out.push(Out::Trust { node, identity: None, held: false, compared: false });
            }
        }
        Ok(())
    }
}
