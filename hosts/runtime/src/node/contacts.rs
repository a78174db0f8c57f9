//! Contacts, requests, read marks, and the identity at the other end of a link.

use donp_core::{
    CommandError, Confirmations, Contact, Conversation, ConversationInfo, MessageId, NodeId, SafetyNumber,
};

use super::Node;
use crate::error::NodeError;
use crate::folded::Folded;
use crate::node::worker::Worker;

impl Node {
    /// All of the book, by id: contacts, and requests of strangers.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn contacts(&self) -> Result<Vec<Contact>, NodeError> {
        self.call(|w| w.engine.contacts())
    }

    /// One of the book; none if the node is neither a contact nor has a request.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn contact(&self, node: NodeId) -> Result<Option<Contact>, NodeError> {
        self.call(move |w| w.engine.contact(node))
    }

    /// Makes a node a contact, with this node's own name for it if one is given; accepts its request.
    ///
    /// # Errors
    /// As [`Engine::add_contact`](donp_core::Engine::add_contact).
    pub fn add_contact(&self, node: NodeId, petname: Option<&str>) -> Result<(), NodeError> {
        let petname = petname.map(str::to_owned);
        self.change(move |w| {
            name_is_free(w, node, petname.as_deref())?;
            w.engine.add_contact(w.now, node, petname)
        })
    }

    /// Gives a contact another name of this node's own, or none.
    ///
    /// # Errors
    /// As [`Engine::rename_contact`](donp_core::Engine::rename_contact).
    pub fn rename_contact(&self, node: NodeId, petname: Option<&str>) -> Result<(), NodeError> {
        let petname = petname.map(str::to_owned);
        self.change(move |w| {
            name_is_free(w, node, petname.as_deref())?;
            w.engine.rename_contact(w.now, node, petname)
        })
    }

    /// Takes a contact, or a request, out of the book. Its messages stay.
    ///
    /// # Errors
    /// As [`Engine::remove_contact`](donp_core::Engine::remove_contact).
    pub fn remove_contact(&self, node: NodeId) -> Result<(), NodeError> {
        self.change(move |w| w.engine.remove_contact(w.now, node))
    }

    /// Accepts the request of a stranger.
    ///
    /// # Errors
    /// As [`Engine::accept_contact`](donp_core::Engine::accept_contact).
    pub fn accept_contact(&self, node: NodeId) -> Result<(), NodeError> {
        self.change(move |w| w.engine.accept_contact(w.now, node))
    }

    /// Mutes a contact, or ends that.
    ///
    /// # Errors
    /// As [`Engine::mute_contact`](donp_core::Engine::mute_contact).
    pub fn mute_contact(&self, node: NodeId, muted: bool) -> Result<(), NodeError> {
        self.change(move |w| w.engine.mute_contact(w.now, node, muted))
    }

    /// The safety number with a node of the book.
    ///
    /// # Errors
    /// As [`Engine::safety_number`](donp_core::Engine::safety_number).
    pub fn safety_number(&self, node: NodeId) -> Result<SafetyNumber, NodeError> {
        Ok(self.call(move |w| w.engine.safety_number(w.now, node))??)
    }

    /// Compares what the other side says or shows with the safety number: the 60 digits, or the code that was scanned.
    ///
    /// # Errors
    /// As [`Engine::verify_contact`](donp_core::Engine::verify_contact).
    pub fn verify_contact(&self, node: NodeId, shown: &str) -> Result<(), NodeError> {
        let shown = shown.to_owned();
        self.change(move |w| w.engine.verify_contact(w.now, node, &shown))
    }

    /// Goes on with a verified contact whose key changed without comparing again.
    ///
    /// # Errors
    /// As [`Engine::accept_change`](donp_core::Engine::accept_change).
    pub fn accept_change(&self, node: NodeId) -> Result<(), NodeError> {
        self.change(move |w| w.engine.accept_change(w.now, node))
    }

    /// Conversations with what is unread in each.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn conversations(&self) -> Result<Vec<ConversationInfo>, NodeError> {
        self.call(|w| w.engine.conversations())
    }

    /// A conversation was read up to and including this message, or all of it.
    ///
    /// # Errors
    /// As [`Engine::mark_read`](donp_core::Engine::mark_read).
    pub fn mark_read(&self, conversation: Conversation, upto: Option<MessageId>) -> Result<(), NodeError> {
        self.change(move |w| w.engine.mark_read(w.now, conversation, upto))
    }

    /// Which members have a message of this node in a group or a private conversation.
    ///
    /// # Errors
    /// As [`Engine::confirmations`](donp_core::Engine::confirmations).
    pub fn confirmations(&self, conversation: Conversation, message: MessageId) -> Result<Confirmations, NodeError> {
        Ok(self.call(move |w| w.engine.confirmations(w.now, conversation, message))??)
    }

    /// The user types in a group or a private conversation.
    ///
    /// # Errors
    /// As [`Engine::send_typing`](donp_core::Engine::send_typing).
    pub fn send_typing(&self, conversation: Conversation) -> Result<(), NodeError> {
        Ok(self.call(move |w| w.engine.send_typing(w.now, conversation))??)
    }

    /// Deletes all that is here of a private conversation. The other side keeps its own.
    ///
    /// # Errors
    /// As [`Engine::delete_conversation`](donp_core::Engine::delete_conversation).
    pub fn delete_conversation(&self, conversation: Conversation) -> Result<(), NodeError> {
        self.change(move |w| w.engine.delete_conversation(w.now, conversation))
    }

    /// Challenges the device of a node over its link (`authenticateNode`); an event says the result in at most ten seconds.
    ///
    /// # Errors
    /// As [`Engine::authenticate_node`](donp_core::Engine::authenticate_node).
    pub fn authenticate_node(&self, peer: NodeId) -> Result<(), NodeError> {
        Ok(self.call(move |w| w.engine.authenticate_node(w.now, peer))??)
    }

    fn change(
        &self,
        f: impl FnOnce(&mut Worker) -> Result<(), CommandError> + Send + 'static,
    ) -> Result<(), NodeError> {
        self.call_stored(move |w| Ok(f(w)?))
    }
}

/// People write names in any case and form, so that two that fold alike are one. The core knows no forms of letters.
fn name_is_free(w: &Worker, node: NodeId, petname: Option<&str>) -> Result<(), CommandError> {
    let Some(name) = petname.map(Folded::new) else { return Ok(()) };
    let book = w.engine.contacts();
    // Devices of one person show one name.
    let own = book.iter().find(|c| c.node == node).and_then(|c| c.petname.as_ref());
    let is_other = |c: &&Contact| c.node != node && (own.is_none() || c.petname.as_ref() != own);
    let has_it = |c: &&Contact| c.petname.as_deref().is_some_and(|theirs| Folded::new(theirs) == name);
    match book.iter().filter(is_other).find(has_it) {
        Some(other) => Err(CommandError::NameTaken(other.node)),
        None => Ok(()),
    }
}
