//! Contacts, requests, read marks, and the identity at the other end of a link (`AuthenticationChallenge` of the DONP
//! document).

use alloc::string::String;
use alloc::vec::Vec;

use crate::authentication::Authenticate;
use crate::chat::{DeleteConversation, MarkRead};
use crate::contacts::{
    Accept, AcceptChange, Add, Contacts, Learn, Mute, Person, Remove, Rename, SafetyNumber, Verification, Verify,
};
use crate::engine::Engine;
use crate::error::CommandError;
use crate::id::{MessageId, NodeId};
use crate::machine::Command;
use crate::membership;
use crate::time::{Instant, WallTime};
use crate::wire::content::Conversation;

/// A node in the book of this node: a contact, or a stranger with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The party: one device.
    pub node: NodeId,
    /// This node's own name for it, at most 64 bytes.
    pub petname: Option<String>,
    /// The name that it claims.
    pub name: Option<String>,
    /// Whether it is a stranger that wrote, and waits for an answer.
    pub request: bool,
    /// Whether its keys were compared.
    pub verification: Verification,
    /// Whether its messages make no events.
    pub muted: bool,
    /// Whether it is blocked.
    pub blocked: bool,
    /// When it came into the book, by the wall clock.
    pub added: WallTime,
    /// Its messages in the private conversation that were not read.
    pub unread: u32,
}

/// A conversation at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversationInfo {
    /// Which.
    pub conversation: Conversation,
    /// Texts, answers and files of others that were reported, or would have been if their author were not muted, and are
    /// not read.
    pub unread: u32,
    /// The message up to which it was read; none if it never was.
    pub read: Option<MessageId>,
    /// Whether it is with a stranger that waits for an answer.
    pub request: bool,
}

impl Engine {
    /// All of the book, by id: contacts, and requests of strangers.
    pub fn contacts(&self) -> Vec<Contact> {
        self.machines.contacts.iter().map(|(node, person)| self.describe_contact(node, person)).collect()
    }

    /// One of the book; none if the node is neither a contact nor has a request.
    pub fn contact(&self, node: NodeId) -> Option<Contact> {
        self.machines.contacts.get(node).map(|person| self.describe_contact(node, person))
    }

    fn describe_contact(&self, node: NodeId, person: &Person) -> Contact {
        let m = &self.machines;
        Contact {
            node,
            petname: m.contacts.petname(node).map(Into::into),
            name: m.membership.get(node).and_then(|known| known.name.clone()),
            request: person.request,
            verification: person.verification(),
            muted: person.muted,
            blocked: m.link.is_blocked(node),
            added: person.added,
            unread: m.chat.unread_of(Conversation::Private(node)),
        }
    }

    /// Makes a node a contact, with this node's own name for it if one is given: 1 to 64 bytes, and of no other contact.
    /// One that is a contact stays so; a request is accepted. A node that is written to becomes a contact too.
    ///
    /// # Errors
    /// [`CommandError::ToSelf`]; [`CommandError::Empty`], [`CommandError::Unreadable`] or [`CommandError::NameTaken`] for the name; [`CommandError::Busy`] when there are as many contacts as
    /// [`Limits::contacts`](crate::Limits::contacts).
    pub fn add_contact(&mut self, now: Instant, node: NodeId, petname: Option<String>) -> Result<(), CommandError> {
        if node == self.me {
            return Err(CommandError::ToSelf);
        }
        self.with_contacts(now, Add { node, petname })
    }

    /// Gives a contact another name of this node's own, or none.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] for no contact, and for the name as [`add_contact`](Self::add_contact).
    pub fn rename_contact(&mut self, now: Instant, node: NodeId, petname: Option<String>) -> Result<(), CommandError> {
        self.with_contacts(now, Rename { node, petname })
    }

    /// Takes a contact, or the request of a stranger, out of the book, and what the book says of it: name, verification,
    /// muting. Messages stay, as does a block; its next message is a request.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if it is not in the book.
    pub fn remove_contact(&mut self, now: Instant, node: NodeId) -> Result<(), CommandError> {
        self.with_contacts(now, Remove(node))
    }

    /// Accepts the request of a stranger: it is a contact from now on.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if it has no request; [`CommandError::Busy`] as [`add_contact`](Self::add_contact).
    pub fn accept_contact(&mut self, now: Instant, node: NodeId) -> Result<(), CommandError> {
        self.with_contacts(now, Accept(node))
    }

    /// Mutes a contact, or ends that: what it says, wherever, makes no events and is in the history and among what is
    /// unread. With [`ChatConfig::report_muted`](crate::ChatConfig::report_muted) it makes events.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] for no contact.
    pub fn mute_contact(&mut self, now: Instant, node: NodeId, muted: bool) -> Result<(), CommandError> {
        self.with_contacts(now, Mute { node, muted })
    }

    /// The safety number with a node of the book: equal at both, unless an attacker stands between them. It takes about two
    /// milliseconds.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if it is not in the book; [`CommandError::KeysUnknown`] before a session or a link showed
    /// its keys, which are asked for.
    pub fn safety_number(&mut self, now: Instant, node: NodeId) -> Result<SafetyNumber, CommandError> {
        self.with_contacts(now, Learn(node))
    }

    /// Compares what the other side says or shows with the safety number, in constant time: the 60 digits, grouped in any
    /// way, or the code that was scanned. If it is right the contact is verified, also after a change.
    ///
    /// # Errors
    /// [`CommandError::NumberDiffers`]; [`CommandError::Unreadable`] for what is neither; [`CommandError::Unknown`] for no
    /// contact; [`CommandError::KeysUnknown`] as [`safety_number`](Self::safety_number).
    pub fn verify_contact(&mut self, now: Instant, node: NodeId, shown: &str) -> Result<(), CommandError> {
        self.with_contacts(now, Verify { node, shown: shown.into() })
    }

    /// Goes on with a verified contact whose key changed without comparing again: it is not verified any more, and messages
    /// go to it.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if it is no contact, or its key did not change.
    pub fn accept_change(&mut self, now: Instant, node: NodeId) -> Result<(), CommandError> {
        self.with_contacts(now, AcceptChange(node))
    }

    /// Conversations with what is unread in each, the network's and those of groups included.
    pub fn conversations(&self) -> Vec<ConversationInfo> {
        let is_request = |c: Conversation| match c {
            Conversation::Private(node) => self.machines.contacts.get(node).is_some_and(|p| p.request),
            Conversation::Network | Conversation::Group(_) => false,
        };
        let all = self.machines.chat.unread();
        all.map(|(conversation, unread, read)| ConversationInfo {
            conversation,
            unread,
            read,
            request: is_request(conversation),
        })
        .collect()
    }

    /// A conversation was read up to and including this message, or all of it. Said to the other members only with
    /// [`ChatConfig::send_read_marks`](crate::ChatConfig::send_read_marks). A mark never goes back. After one in the middle the store is asked what is left, at most 1,000.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if there is no such conversation.
    pub fn mark_read(
        &mut self,
        now: Instant,
        conversation: Conversation,
        upto: Option<MessageId>,
    ) -> Result<(), CommandError> {
        let at = self.advance(now);
        let done = self.machines.chat.command(at, &mut self.q, MarkRead { conversation, upto });
        self.pump(now);
        done
    }

    /// Deletes all that is here of a private conversation: it is in no page from now on, and texts leave the store soon
    /// after. The other side keeps its own. What comes later is shown. Messages that wait for the other side still go.
    ///
    /// # Errors
    /// [`CommandError::NotAllowed`] for another kind of conversation, [`CommandError::Unknown`] if there is none.
    pub fn delete_conversation(&mut self, now: Instant, conversation: Conversation) -> Result<(), CommandError> {
        let at = self.advance(now);
        let all_held = match conversation {
            Conversation::Private(peer) => {
                self.machines.device.of(peer).into_iter().all(|d| self.machines.delivery.queued(d) == 0)
            }
            Conversation::Network | Conversation::Group(_) => false,
        };
        let done = self.machines.chat.command(at, &mut self.q, DeleteConversation { conversation, all_held });
        self.pump(now);
        done
    }

    /// Challenges the device of a node over its link (`authenticateNode`): it signs fresh random bytes together with what
    /// only the two ends of this very link share. [`Volatile::Authenticated`](crate::Volatile::Authenticated) follows in
    /// at most ten seconds. A node without a link is contacted first.
    ///
    /// # Errors
    /// [`CommandError::NotRunning`], [`CommandError::ToSelf`], [`CommandError::UnknownPeer`], [`CommandError::Blocked`],
    /// [`CommandError::Busy`] when 64 challenges are under way.
    pub fn authenticate_node(&mut self, now: Instant, peer: NodeId) -> Result<(), CommandError> {
        self.running()?;
        self.known(peer)?;
        if self.machines.link.is_blocked(peer) {
            return Err(CommandError::Blocked(peer));
        }
        let at = self.advance(now);
        self.machines.authentication.command(at, &mut self.q, Authenticate(peer))?;
        if self.machines.link.info(peer).is_none() {
            self.q.input(membership::In::Contact(alloc::vec![peer]));
        }
        self.pump(now);
        Ok(())
    }

    fn with_contacts<C: Command<Contacts>>(&mut self, now: Instant, command: C) -> C::Answer {
        let at = self.advance(now);
        let answer = self.machines.contacts.command(at, &mut self.q, command);
        self.pump(now);
        answer
    }
}
