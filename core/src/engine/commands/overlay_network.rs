//! The DONP document's `OverlayNetworkProtocol`: join, leave, invite, send. `discoverNodes` is
//! [`Engine::peers`].

use alloc::vec::Vec;

use crate::chat::Say;
use crate::contacts::Wrote;
use crate::delivery::Reserve;
use crate::engine::Engine;
use crate::engine::event::Volatile;
use crate::error::CommandError;
use crate::fact::Fact;
use crate::id::{MessageId, NodeId};
use crate::membership;
use crate::time::Instant;
use crate::wire::content::{Content, Conversation};
use crate::wire::ticket::{Bootstrap, MAX_TICKET_ADDRESSES, Ticket};

impl Engine {
    /// Joins the network through any of `bootstraps` or any known node (`joinNetwork` of the DONP
    /// document). With neither this is the first node of a network and waits for others. Tries
    /// never end; more bootstraps may be added by calling again.
    ///
    /// # Errors
    /// [`CommandError::NotRunning`] while suspended.
    pub fn join(&mut self, now: Instant, bootstraps: &[Bootstrap]) -> Result<(), CommandError> {
        self.running()?;
        self.q.input(membership::In::Join(bootstraps.to_vec()));
        self.q.fact(Fact::Joined);
        self.pump(now);
        Ok(())
    }

    /// Joins the network that a ticket names.
    ///
    /// # Errors
    /// [`CommandError::OtherNetwork`] if its key is not this node's; as [`join`](Self::join).
    pub fn join_ticket(&mut self, now: Instant, ticket: &Ticket) -> Result<(), CommandError> {
        if ticket.network_key.unwrap_or([0; 32]) != self.config.network_key {
            return Err(CommandError::OtherNetwork);
        }
        self.join(now, &ticket.bootstraps())
    }

    /// Closes every link and stops answering (`leaveNetwork`). What is queued stays queued
    /// for the next [`join`](Self::join).
    pub fn leave(&mut self, now: Instant) {
        self.q.fact(Fact::Leaving);
        self.pump(now);
        self.q.fact(Fact::Left);
        self.pump(now);
    }

    /// An invitation to this network through this node. It holds the key of a closed network.
    pub fn invite(&self) -> Ticket {
        let open = self.config.network_key == [0; 32];
        let mut addrs = self.machines.membership.addresses();
        addrs.truncate(MAX_TICKET_ADDRESSES);
        Ticket {
            node: self.me,
            name: self.machines.device.identity().name().into(),
            addrs,
            network_key: (!open).then_some(self.config.network_key),
        }
    }

    /// Sends a message to one node (`sendMessage`), sealed so that only its device opens it (docs/design/sessions.md).
    /// Returns at once; the message is in the outbox of
    /// the next batch, is sent when that is committed, again when it is lost, and waits if the other
    /// node is away; a stranger becomes a contact by it. [`Durable::Delivered`](crate::Durable::Delivered) follows when the other node has stored it.
    ///
    /// # Errors
    /// [`CommandError::ToSelf`], [`CommandError::UnknownPeer`], [`CommandError::Blocked`],
    /// [`CommandError::KeyChanged`] for a verified contact with another key, [`CommandError::NotAllowed`] if this device or
    /// the other was removed from its account, [`CommandError::Empty`], [`CommandError::TooLong`], [`CommandError::Busy`]
    /// when the outbox is full.
    pub fn send_private(&mut self, now: Instant, to: NodeId, content: Content) -> Result<MessageId, CommandError> {
        self.running()?;
        let devices = self.machines.device.of(to);
        if to == self.me || devices.contains(&self.me) {
            return Err(CommandError::ToSelf);
        }
        if self.machines.device.is_removed() {
            return Err(CommandError::NotAllowed("this device was removed from its account: join it again"));
        }
        if self.machines.device.took_out(to) {
            return Err(CommandError::NotAllowed(
                "that device was removed from its account: write to another device of it",
            ));
        }
        let conversation = Conversation::Private(to);
        if self.machines.membership.get(to).is_none() && !self.machines.chat.knows(conversation) {
            return Err(CommandError::UnknownPeer(to));
        }
        if self.machines.link.is_blocked(to) {
            return Err(CommandError::Blocked(to));
        }
        if self.machines.contacts.is_held(to) {
            return Err(CommandError::KeyChanged(to));
        }
        content.validate()?;
        let at = self.advance(now);
        let (unsent, bytes) = self.machines.chat.unsent(conversation);
        let messages = unsent.len().saturating_add(1).saturating_mul(devices.len());
        let bytes = bytes.saturating_add(content.len()).saturating_mul(devices.len());
        if !self.machines.delivery.command(at, &mut self.q, Reserve { messages, bytes }) {
            return Err(CommandError::Busy("outbox"));
        }
        let said = self.say(now, conversation, alloc::vec![content]).and_then(first)?;
        let at = self.advance(now);
        self.machines.contacts.command(at, &mut self.q, Wrote(to));
        self.pump(now);
        Ok(said)
    }

    /// Sends a message to all nodes of the network (`broadcastMessage`). Nodes that are away catch up later.
    ///
    /// # Errors
    /// [`CommandError::Empty`], [`CommandError::TooLong`], [`CommandError::Busy`] when every
    /// neighbour's queue is full.
    pub fn broadcast(&mut self, now: Instant, content: Content) -> Result<MessageId, CommandError> {
        self.broadcast_all(now, alloc::vec![content]).and_then(first)
    }

    /// Sends messages to all nodes of the network at once: they share a signature, and datagrams. All of them or, with
    /// an error, none. Returns their ids, in order.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn broadcast_all(&mut self, now: Instant, contents: Vec<Content>) -> Result<Vec<MessageId>, CommandError> {
        self.running()?;
        contents.iter().try_for_each(Content::validate)?;
        if self.neighbours_are_full() {
            self.broadcast_blocked = true;
            return Err(CommandError::Busy("send queue"));
        }
        self.say(now, Conversation::Network, contents)
    }

    pub(super) fn say(
        &mut self,
        now: Instant,
        conversation: Conversation,
        contents: Vec<Content>,
    ) -> Result<Vec<MessageId>, CommandError> {
        self.has_files(&contents)?;
        let named =
            contents.iter().filter_map(|c| if let Content::File { file, .. } = c { Some(file.id) } else { None });
        let named = named.collect();
        let at = self.advance(now);
        let said = self.machines.chat.command(at, &mut self.q, Say { conversation, contents });
        if said.is_ok() {
            self.share_files(now, conversation, named);
        }
        self.pump(now);
        said
    }

    /// One slow neighbour does not block a broadcast; anti-entropy brings it up to date.
    fn neighbours_are_full(&self) -> bool {
        let neighbours = self.machines.membership.neighbours();
        let needed = self.config.limits.link_queue_bytes / 4;
        !neighbours.is_empty() && neighbours.iter().all(|n| self.machines.link.free_queue(*n) < needed)
    }

    /// Reports once that broadcasts are accepted again after one was refused.
    pub(in crate::engine) fn unblock_broadcasts(&mut self) {
        if self.broadcast_blocked && !self.neighbours_are_full() {
            self.broadcast_blocked = false;
            self.q.events.volatile(Volatile::Writable);
        }
    }
}

fn first(ids: Vec<MessageId>) -> Result<MessageId, CommandError> {
    ids.first().copied().ok_or(CommandError::Busy("log"))
}
