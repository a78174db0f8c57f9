//! What the user does with contacts.

use alloc::string::String;

use crate::contacts::book::{Person, Verification};
use crate::contacts::number::SafetyNumber;
use crate::contacts::{Contacts, Out};
use crate::error::CommandError;
use crate::id::NodeId;
use crate::identity::check_name;
use crate::machine::{Command, Cx, Outbox};
use crate::wire::registers::Register;

type Done = Result<(), CommandError>;

impl Contacts {
    /// A contact of this node; a request is none.
    pub(super) fn contact(&self, node: NodeId) -> Result<Person, CommandError> {
        self.book.get(node).filter(|p| !p.request).cloned().ok_or(CommandError::Unknown("contact"))
    }

    /// The contact that this node becomes, or is.
    pub(super) fn become_contact(&self, cx: &Cx<'_>, node: NodeId) -> Result<Person, CommandError> {
        let known = self.book.get(node);
        if known.is_none_or(|p| p.request) && !self.book.has_room() {
            return Err(CommandError::Busy("list of contacts"));
        }
        let mut person = known.cloned().unwrap_or_else(|| Person::new(false, cx.wall));
        person.request = false;
        Ok(person)
    }

    pub(super) fn check_name(&self, node: NodeId, name: &str) -> Done {
        check_name(name)?;
        match self.named(name).filter(|other| *other != node) {
            Some(other) => Err(CommandError::NameTaken(other)),
            None => Ok(()),
        }
    }
}

/// Makes a node a contact, with a name if one is given. Accepts its request.
#[derive(Debug)]
pub(crate) struct Add {
    pub(crate) node: NodeId,
    pub(crate) petname: Option<String>,
}

impl Command<Contacts> for Add {
    type Answer = Done;

    fn run(self, contacts: &mut Contacts, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        if let Some(name) = &self.petname {
            contacts.check_name(self.node, name)?;
        }
        let is_new = contacts.contact(self.node).is_err();
        let mut person = contacts.become_contact(cx, self.node)?;
        person.petname = self.petname.or(person.petname);
        let petname = person.petname.clone();
        contacts.put(self.node, person, out);
        if is_new {
            contacts.share_new(self.node, out);
        } else {
            contacts.share(self.node, |node| Register::Contact(node, true), out);
            contacts.share(self.node, |node| Register::Petname(node, petname), out);
        }
        contacts.meet(self.node, out);
        Ok(())
    }
}

/// Accepts the request of a stranger.
#[derive(Debug)]
pub(crate) struct Accept(pub(crate) NodeId);

impl Command<Contacts> for Accept {
    type Answer = Done;

    fn run(self, contacts: &mut Contacts, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        if contacts.book.get(self.0).is_none_or(|p| !p.request) {
            return Err(CommandError::Unknown("request"));
        }
        let person = contacts.become_contact(cx, self.0)?;
        contacts.put(self.0, person, out);
        contacts.share_new(self.0, out);
        Ok(())
    }
}

/// The user wrote to a node, which makes it a contact if there is a place.
#[derive(Debug)]
pub(crate) struct Wrote(pub(crate) NodeId);

impl Command<Contacts> for Wrote {
    type Answer = ();

    fn run(self, contacts: &mut Contacts, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let node = contacts.row_of(self.0);
        if contacts.book.get(node).is_some_and(|p| !p.request) || contacts.is_own(node) {
            return;
        }
        if let Ok(person) = contacts.become_contact(cx, node) {
            contacts.put(node, person, out);
            contacts.share_new(node, out);
            contacts.meet(node, out);
        }
    }
}

/// Gives a contact another name of this node's own, or none.
#[derive(Debug)]
pub(crate) struct Rename {
    pub(crate) node: NodeId,
    pub(crate) petname: Option<String>,
}

impl Command<Contacts> for Rename {
    type Answer = Done;

    fn run(self, contacts: &mut Contacts, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        let person = contacts.contact(self.node)?;
        if let Some(name) = &self.petname {
            contacts.check_name(self.node, name)?;
        }
        contacts.put(self.node, Person { petname: self.petname.clone(), ..person }, out);
        contacts.share(self.node, |node| Register::Petname(node, self.petname), out);
        Ok(())
    }
}

/// Mutes a contact, or ends that.
#[derive(Debug)]
pub(crate) struct Mute {
    pub(crate) node: NodeId,
    pub(crate) muted: bool,
}

impl Command<Contacts> for Mute {
    type Answer = Done;

    fn run(self, contacts: &mut Contacts, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        let Self { node, muted } = self;
        let person = contacts.contact(node)?;
        if person.muted != muted {
            contacts.put(node, Person { muted, ..person }, out);
            contacts.mute(node, muted, out);
        }
        contacts.share(node, |node| Register::Muted(node, muted), out);
        Ok(())
    }
}

/// Takes a contact or a request out of the book, with all that the book says of it.
#[derive(Debug)]
pub(crate) struct Remove(pub(crate) NodeId);

impl Command<Contacts> for Remove {
    type Answer = Done;

    fn run(self, contacts: &mut Contacts, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        contacts.remove(self.0, out)?;
        // Another device that adds it again begins anew too.
        contacts.share_removal(self.0, out);
        Ok(())
    }
}

/// The safety number with a node of the book. Asks for its keys if they are not known.
#[derive(Debug)]
pub(crate) struct Learn(pub(crate) NodeId);

impl Command<Contacts> for Learn {
    type Answer = Result<SafetyNumber, CommandError>;

    fn run(self, contacts: &mut Contacts, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let person = contacts.book.get(self.0).ok_or(CommandError::Unknown("contact"))?;
        match (&contacts.own, &person.keys) {
            (Some(own), Some(other)) => Ok(SafetyNumber::of(own, other)),
            _ => {
                contacts.meet(self.0, out);
                Err(CommandError::KeysUnknown(self.0))
            }
        }
    }
}

/// Compares what the other side shows with the safety number; if it is right the contact is verified.
#[derive(Debug)]
pub(crate) struct Verify {
    pub(crate) node: NodeId,
    /// The 60 digits, or the code that was scanned.
    pub(crate) shown: String,
}

impl Command<Contacts> for Verify {
    type Answer = Done;

    fn run(self, contacts: &mut Contacts, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        let node = self.node;
        let person = contacts.contact(node)?;
        let (Some(own), Some(other)) = (contacts.own, person.keys) else {
            contacts.meet(node, out);
            return Err(CommandError::KeysUnknown(node));
        };
        match SafetyNumber::fits(&own, &other, &self.shown) {
            Ok(true) => {}
            Ok(false) => return Err(CommandError::NumberDiffers(node)),
            Err(_) => {
                return Err(CommandError::Unreadable("safety number: it has 60 digits, or is a whole scanned code"));
            }
        }
        let seen = contacts.devices_of(node);
        let compared = Person { verified: Some(other.identity), seen, changed: false, awaits: false, ..person };
        contacts.put(node, compared, out);
        contacts.trust(node, (false, true), out);
        contacts.share_trust(node, true, out);
        Ok(())
    }
}

/// The user looked at a change and goes on without comparing: the contact is not verified any more.
#[derive(Debug)]
pub(crate) struct AcceptChange(pub(crate) NodeId);

impl Command<Contacts> for AcceptChange {
    type Answer = Done;

    fn run(self, contacts: &mut Contacts, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Done {
        let node = self.0;
        let person = contacts.contact(node)?;
        if person.verification() != Verification::Changed {
            return Err(CommandError::Unknown("change of a key"));
        }
        contacts.share_trust(node, false, out);
        contacts.put(node, person.unverified(), out);
        contacts.trust(node, (false, false), out);
        Ok(())
    }
}
