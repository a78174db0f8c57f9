//! Whose device a node is, for private conversations (docs/design/devices.md §6).
//!
//! A private conversation is of two people. Each is named by the first device of its account, and all of its devices
//! take part. Without a list a node is a person with one device.

use alloc::vec::Vec;

use crate::chat::policy::{Policy, Sides};
use crate::chat::{Chat, Out};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{ConversationId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::shared::Arc;
use crate::time::{Duration, Instant};
use crate::wire::content::{Conversation, private_conversation};

/// Own devices learn after this that something came or was said here: 300 ms, so that what comes together is said once.
const TOLD_AFTER: Duration = Duration::from_millis(300);
/// Lists of people come right after the link, before a conversation with one of them is asked for: 1 s.
const ASKED_AFTER: Duration = Duration::from_secs(1);

/// INVARIANT: each person has its list of devices, as many as the device machine has at most: an entry goes with its list.
#[derive(Debug, Default)]
pub(super) struct People {
    persons: OrderedMap<NodeId, NodeId>,
    devices: OrderedMap<NodeId, Vec<NodeId>>,
    /// The conversation with each.
    conversations: OrderedMap<ConversationId, NodeId>,
    /// Where something is here that own devices may not have.
    untold: OrderedSet<ConversationId>,
    untold_at: Option<Instant>,
}

impl People {
    /// The node that stands for the person whose device this is.
    pub(super) fn person_of(&self, node: NodeId) -> NodeId {
        self.persons.get(&node).copied().unwrap_or(node)
    }

    fn devices_of(&self, person: NodeId) -> Vec<NodeId> {
        self.devices.get(&person).cloned().unwrap_or_else(|| alloc::vec![person])
    }

    /// Whether a list is here that names this node, or the person that it stands for.
    fn knows(&self, node: NodeId) -> bool {
        self.devices.contains_key(&self.person_of(node))
    }

    /// Whether the node speaks for its person: one that was taken out of the list does not.
    fn speaks(&self, node: NodeId) -> bool {
        self.devices.get(&self.person_of(node)).is_none_or(|devices| devices.contains(&node))
    }

    pub(super) fn len(&self) -> usize {
        self.persons.len().saturating_add(self.devices.len()).saturating_add(self.untold.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let is_listed = |person: &NodeId| self.devices.contains_key(person);
        match self.persons.values().chain(self.conversations.values()).all(is_listed) {
            true => Ok(()),
            false => Err("a person is known without its list"),
        }
    }

    /// People whose list is here.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn listed(&self) -> usize {
        self.devices.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.untold_at
    }
}

impl Chat {
    /// People whose list of devices is here.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn listed(&self) -> usize {
        self.people.listed()
    }

    pub(super) fn person_of(&self, node: NodeId) -> NodeId {
        self.people.person_of(node)
    }

    /// Whether a node is another device of this node's person, or this one.
    pub(super) fn is_own(&self, node: NodeId) -> bool {
        node == self.me || (self.people.speaks(node) && self.person_of(node) == self.person_of(self.me))
    }

    /// The rules of the private conversation with a person.
    pub(super) fn private_policy(&self, person: NodeId) -> Policy {
        let ours = self.people.devices_of(self.person_of(self.me));
        let sides = Sides { ours, theirs: self.people.devices_of(person) };
        Policy::with_sides(Conversation::Private(person), self.me, Arc::new(sides))
    }

    /// The person with whom a conversation is of which a node speaks. Own devices speak of those with all people.
    pub(super) fn person_behind(&self, conversation: ConversationId, with: NodeId) -> Option<NodeId> {
        let person = self.person_of(with);
        if conversation == self.id_of(Conversation::Private(person)) {
            return Some(person);
        }
        if !self.is_own(with) {
            return None;
        }
        let of_log = || match self.logs.get(&conversation)?.policy.kind() {
            Conversation::Private(person) => Some(person),
            Conversation::Network | Conversation::Group(_) => None,
        };
        self.people.conversations.get(&conversation).copied().or_else(of_log)
    }

    /// Whether what a node brings of an author is believed: the author itself, in its session, and own devices, which had
    /// it from the author or from another own device.
    pub(super) fn believes(&self, from: NodeId, author: NodeId) -> bool {
        author == from || (author != self.me && self.is_own(from))
    }

    /// Whether a private message of this node may be one that is known once its list is here.
    pub(super) fn is_unknown(&self, node: NodeId) -> bool {
        !self.people.knows(node)
    }

    pub(super) fn speaks(&self, node: NodeId) -> bool {
        self.people.speaks(node)
    }

    /// The devices of a person changed, or are known now; none: they are not known any more.
    pub(super) fn devices_known(&mut self, cx: &mut Cx<'_>, person: NodeId, devices: Vec<NodeId>) {
        let own_before = self.person_of(self.me);
        let is_new = !self.people.devices.contains_key(&person);
        self.people.persons.retain(|device, of| *of != person || devices.contains(device));
        self.people.persons.extend(devices.iter().filter(|d| **d != person).map(|d| (*d, person)));
        match devices.is_empty() {
            true => drop(self.people.devices.remove(&person)),
            false => drop(self.people.devices.insert(person, devices)),
        }
        let own = self.person_of(self.me);
        if own != own_before {
            self.people.conversations.clear();
        }
        let all: Vec<NodeId> = match own == own_before {
            true => alloc::vec![person],
            false => self.people.devices.keys().copied().collect(),
        };
        for person in all.into_iter().filter(|p| *p != own) {
            let id = private_conversation(own, person);
            if !self.people.devices.contains_key(&person) {
                self.people.conversations.remove(&id);
                continue;
            }
            self.people.conversations.insert(id, person);
            if is_new || own != own_before {
                let linked: Vec<NodeId> = self.own_linked();
                linked.into_iter().for_each(|peer| self.pull_at(id, peer, cx.now + ASKED_AFTER, [0; 16]));
            }
        }
        self.renew_policies();
    }

    fn renew_policies(&mut self) {
        for (id, person) in self.private_logs() {
            let policy = self.private_policy(person);
            if let Some(log) = self.logs.get_mut(&id) {
                log.policy = policy;
            }
        }
    }

    fn private_logs(&self) -> Vec<(ConversationId, NodeId)> {
        let person = |log: &super::Log| match log.policy.kind() {
            Conversation::Private(person) => Some(person),
            Conversation::Network | Conversation::Group(_) => None,
        };
        self.logs.iter().filter_map(|(id, log)| Some((*id, person(log)?))).collect()
    }

    fn own_linked(&self) -> Vec<NodeId> {
        self.linked.keys().copied().filter(|peer| *peer != self.me && self.is_own(*peer)).collect()
    }

    /// Says to a node what is here of the private conversations that it takes part in.
    pub(super) fn greet_in_private(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        if !self.is_own(peer) {
            return self.greet(cx, self.id_of(Conversation::Private(peer)), peer, out);
        }
        for (id, _) in self.private_logs() {
            self.greet(cx, id, peer, out);
        }
    }

    /// Something came or was said that own devices may not have.
    pub(super) fn tell_own(&mut self, now: Instant, conversation: ConversationId) {
        let has_others = self.people.devices.get(&self.person_of(self.me)).is_some_and(|devices| devices.len() > 1);
        let is_private = self.logs.get(&conversation).is_some_and(|log| log.policy.is_private());
        if has_others && is_private {
            self.people.untold.insert(conversation);
            self.people.untold_at.get_or_insert(now + TOLD_AFTER);
        }
    }

    pub(super) fn tell_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        if self.people.untold_at.take_if(|at| *at <= cx.now).is_none() {
            return;
        }
        let linked = self.own_linked();
        while let Some(conversation) = self.people.untold.pop_first() {
            linked.iter().for_each(|peer| self.greet(cx, conversation, *peer, out));
        }
    }
}
