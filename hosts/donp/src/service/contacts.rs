//! Contacts, requests, read marks, and the identity at the other end of a link: from JSON to JSON.

use std::time::{Duration, Instant};

use donp_core::{AuthenticationResult, CommandError, Conversation, Event, MessageId, NodeId, Volatile};
use donp_runtime::{NodeError, api};
use serde_json::{Value, json};

use super::{LOOK_AFTER, POLL_INTERVAL, Service, left, named, no_daemon, number_of, text_of};
use crate::failure::Failure;
use crate::json::{self, object};
use crate::resolve;

/// A challenge is answered within ten seconds, or not; with some for the way to the event.
const AUTHENTICATION: Duration = Duration::from_secs(15);
/// Keys of a linked node that are not known yet come within this: a round trip or two of a slow link.
const KEYS: Duration = Duration::from_secs(3);

impl Service {
    /// A method about contacts; none if there is no such method.
    pub(super) fn contact_call(
        &self,
        method: &str,
        params: &Value,
        gone: &dyn Fn() -> bool,
    ) -> Option<Result<Value, Failure>> {
        Some(match method {
            "contacts" => self.contacts(),
            "contact" => self.peer_of(params).and_then(|node| self.show_contact(node)),
            "add_contact" => self.on_contact(params, |node| self.node.add_contact(node, params["petname"].as_str())),
            "rename_contact" => {
                self.on_contact(params, |node| self.node.rename_contact(node, params["petname"].as_str()))
            }
            "accept_contact" => self.on_contact(params, |node| self.node.accept_contact(node)),
            "mute_contact" => {
                let muted = params["muted"].as_bool() != Some(false);
                self.on_contact(params, |node| self.node.mute_contact(node, muted))
            }
            "accept_change" => self.on_contact(params, |node| self.node.accept_change(node)),
            "verify_contact" => self.verify_contact(params),
            "remove_contact" => self.remove_contact(params),
            "safety_number" => self.safety_number(params),
            "conversations" => self.conversations(),
            "mark_read" => self.mark_read(params),
            "confirmations" => self.confirmations(params),
            "send_typing" => self.send_typing(params),
            "delete_conversation" => self.delete_conversation(params),
            "authenticate_node" => self.authenticate_node(params, gone),
            _ => return None,
        })
    }

    /// Contacts by id, with their own names. Strangers with a request are none, and are known by what they claim.
    pub(super) fn book(&self) -> Result<Vec<resolve::KnownContact>, Failure> {
        Ok(self.node.contacts()?.into_iter().map(|c| (c.node, c.petname)).collect())
    }

    pub(super) fn peer_of(&self, params: &Value) -> Result<NodeId, Failure> {
        resolve::node_with(text_of(params, "peer")?, &self.book()?, &self.node.peers()?)
    }

    /// The private conversation, or another one, that `conversation` names.
    fn conversation_of(&self, params: &Value) -> Result<Conversation, Failure> {
        let text = text_of(params, "conversation")?;
        resolve::conversation_with(text, &self.book()?, &self.node.peers()?, &self.known_groups()?)
    }

    /// Does something with a contact and shows it.
    fn on_contact(&self, params: &Value, act: impl FnOnce(NodeId) -> Result<(), NodeError>) -> Result<Value, Failure> {
        let node = self.peer_of(params)?;
        act(node)?;
        self.show_contact(node)
    }

    fn show_contact(&self, node: NodeId) -> Result<Value, Failure> {
        match self.node.contact(node)? {
            Some(contact) => json::write(api::Contact::from(contact)),
            None => Err(CommandError::Unknown("contact").into()),
        }
    }

    fn contacts(&self) -> Result<Value, Failure> {
        let all = self.node.contacts()?.into_iter().map(|c| json::write(api::Contact::from(c)));
        Ok(json!({ "contacts": all.collect::<Result<Vec<_>, _>>()? }))
    }

    /// Keys that are asked for come soon, if the node is linked.
    fn with_keys<T>(&self, node: NodeId, mut act: impl FnMut() -> Result<T, NodeError>) -> Result<T, Failure> {
        let until = Instant::now() + KEYS;
        loop {
            match act() {
                Err(NodeError::Command(CommandError::KeysUnknown(_)))
                    if self.running && Instant::now() < until && self.node.peer(node)?.is_some_and(|p| p.linked) =>
                {
                    std::thread::sleep(POLL_INTERVAL);
                }
                done => return Ok(done?),
            }
        }
    }

    fn verify_contact(&self, params: &Value) -> Result<Value, Failure> {
        let (node, shown) = (self.peer_of(params)?, text_of(params, "shown")?);
        self.with_keys(node, || self.node.verify_contact(node, shown))?;
        self.show_contact(node)
    }

    fn safety_number(&self, params: &Value) -> Result<Value, Failure> {
        let node = self.peer_of(params)?;
        let number = self.with_keys(node, || self.node.safety_number(node))?;
        let fields = json!({ "node": node.to_string(), "number": number.number, "code": number.code });
        Ok(object("safety_number", fields))
    }

    fn remove_contact(&self, params: &Value) -> Result<Value, Failure> {
        let node = self.peer_of(params)?;
        let name = self.names()?.get(node).map(Into::into);
        self.node.remove_contact(node)?;
        if params["messages"].as_bool() == Some(true) {
            match self.node.delete_conversation(Conversation::Private(node)) {
                // Nothing was said.
                Ok(()) | Err(NodeError::Command(CommandError::Unknown(_))) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(object("removed_contact", named(node, name)))
    }

    fn conversations(&self) -> Result<Value, Failure> {
        let all = self.node.conversations()?;
        let known = all.iter().filter_map(api::ConversationInfo::of).map(json::write);
        Ok(json!({ "conversations": known.collect::<Result<Vec<_>, _>>()? }))
    }

    fn mark_read(&self, params: &Value) -> Result<Value, Failure> {
        let conversation = self.conversation_of(params)?;
        let upto: Option<MessageId> =
            params["upto"].as_str().map(|text| self.message_id(conversation, text)).transpose()?;
        self.node.mark_read(conversation, upto)?;
        Ok(object("marked_read", json!({ "conversation": json::conversation(conversation) })))
    }

    /// The members that have a message of this node.
    fn confirmations(&self, params: &Value) -> Result<Value, Failure> {
        let conversation = self.conversation_of(params)?;
        let message = self.message_id(conversation, text_of(params, "message")?)?;
        json::write(api::Confirmations::from(self.node.confirmations(conversation, message)?))
    }

    fn send_typing(&self, params: &Value) -> Result<Value, Failure> {
        if !self.running {
            return Err(no_daemon("typing notices go to connected nodes only"));
        }
        let conversation = self.conversation_of(params)?;
        self.node.send_typing(conversation)?;
        Ok(object("typing", json!({ "conversation": json::conversation(conversation) })))
    }

    fn delete_conversation(&self, params: &Value) -> Result<Value, Failure> {
        let conversation = self.conversation_of(params)?;
        if !matches!(conversation, Conversation::Private(_)) {
            return Err(Failure::usage("only a private conversation can be deleted").hint("donp contact list"));
        }
        self.node.delete_conversation(conversation)?;
        Ok(object("deleted_conversation", json!({ "conversation": json::conversation(conversation) })))
    }

    fn authenticate_node(&self, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        if !self.running {
            return Err(no_daemon("a node is asked over a link"));
        }
        let node = self.peer_of(params)?;
        let longest = number_of(params, "timeout_ms", u64::MAX)?;
        let name: Option<String> = self.names()?.get(node).map(Into::into);
        // Before the question: the answer is an event that is not kept.
        let events = self.node.subscribe_after(u64::MAX);
        self.node.authenticate_node(node)?;
        let longest = AUTHENTICATION.min(Duration::from_millis(longest));
        let wait = (Instant::now() + longest, gone);
        let result = loop {
            let taken = events.take(1_000);
            let answer = taken.iter().find_map(|event| match event {
                Event::Volatile(Volatile::Authenticated { peer, result }) if *peer == node => Some(*result),
                _ => None,
            });
            if let Some(result) = answer {
                break Some(result);
            }
            let left = left(wait);
            if left.is_zero() {
                // A caller that waits for less has the event.
                break (longest == AUTHENTICATION).then_some(AuthenticationResult::Timeout);
            }
            events.wait(left.min(LOOK_AFTER));
        };
        let mut out = object("authentication", named(node, name));
        out["result"] = result.map(AuthenticationResult::name).into();
        Ok(out)
    }
}
