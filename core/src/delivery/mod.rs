//! Private messages until the other side has stored them (docs/design/delivery.md §1).
//!
//! A message is written to the outbox before anything is sent and leaves it only when the receiver
//! acknowledges that its own store has it. In between it is sent again after pauses that double from one
//! second, up to 8.5 minutes, and at once when the peer returns. The DONP document's `ReliableMessageDelivery`
//! with its faults corrected: its back-off is computed and not used, and its acknowledgements prove
//! nothing; here they come inside the session of the device that gives them.

#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod opened;
mod peer;
pub(crate) mod wire;

use crate::collections::{Backoff, DeadlineQueue, DedupWindow, OrderedMap, ShortId};
use alloc::vec::Vec;

use crate::config::Config;
use crate::delivery::opened::{Opened, Seen};
use crate::delivery::peer::{Entry, Peer};
use crate::delivery::wire::{CARRY_HEADER, MAX_ACKS, Message};
use crate::fact::Fact;
use crate::id::{ID_LEN, MessageId, NodeId};
use crate::machine::{Command, Cx, Machine, Outbox, Setup};
use crate::planted::{Bug, planted};
use crate::rng::Rng;
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Table};
use crate::time::{Duration, Instant, soonest};
use crate::wire::{Malformed, Priority};

/// How long an id is remembered so that a repeated message is acknowledged without work: 15 min
/// (docs/design/delivery.md §3). Later repeats are recognised by the conversation's own numbers.
const REMEMBER: Duration = Duration::from_secs(900);

/// The longest pause before a message is sent again while the link is up: the receiver still knows the repeat as one
/// ([`REMEMBER`]), whatever the jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(512);

/// Runs that wait for an acknowledgement: the ids of their messages and `Carry`, under peer and order of submission.
const OUTBOX: Table = Table::hot(24);

#[derive(Debug)]
pub(crate) enum In {
    /// Keep and deliver a run, which says these messages. The last one names it.
    Submit { to: NodeId, ids: Vec<MessageId>, body: Vec<u8> },
    /// The outbox record of this message is on disk.
    Stored { to: NodeId, order: u64 },
    /// Opened in the session with `from`; the digest names what was opened.
    Message { from: NodeId, digest: ShortId, body: Vec<u8> },
    /// A message that did not open.
    Unopened { from: NodeId, digest: ShortId },
    /// There is a session with this node, or a new one: what waits for it goes out.
    Ready(NodeId),
    /// The answer to `Received`: on disk, or rejected for good.
    Validated { from: NodeId, id: ShortId, accepted: bool },
    /// This node is no device of its person any more: nothing waits for it.
    GiveUp(NodeId),
    /// The acknowledgements of this step are all here.
    AcksDue,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// Seal and send this: with `order` a message of the outbox, without one an answer.
    Send {
        to: NodeId,
        order: Option<u64>,
        priority: Priority,
        body: Vec<u8>,
    },
    /// This message of the outbox is not sent any more.
    Forget {
        to: NodeId,
        order: u64,
    },
    /// A message of this node did not open, and is none that is known.
    Lost(NodeId),
    /// Comes back as `In::Stored`.
    Stored {
        to: NodeId,
        order: u64,
    },
    /// A peer's message, to be stored or refused.
    Received {
        from: NodeId,
        id: ShortId,
        body: Vec<u8>,
    },
    Delivered {
        to: NodeId,
        id: MessageId,
    },
    Expired {
        to: NodeId,
        id: MessageId,
    },
    Refused {
        to: NodeId,
        id: MessageId,
    },
    Blocked {
        to: NodeId,
        id: MessageId,
    },
    Want(NodeId),
    Unwant(NodeId),
    /// Comes back as `In::AcksDue`, after the inputs that wait already: one transaction stores many messages, and
    /// one message acknowledges them.
    AcksDue,
    /// The outbox has free capacity after it refused a message.
    Writable,
}

pub(crate) struct Delivery {
    peers: OrderedMap<NodeId, Peer>,
    /// One deadline a peer: the soonest of its messages.
    timers: DeadlineQueue<NodeId>,
    seen: DedupWindow,
    opened: Opened,
    /// Acknowledgements of this step: empty when it ends.
    acks: Vec<(NodeId, ShortId)>,
    next_order: u64,
    /// INVARIANT: the number of messages of all peers.
    messages: usize,
    /// INVARIANT: the bytes of their bodies.
    bytes: usize,
    /// A message did not fit, and `Out::Writable` is owed.
    was_full: bool,
    config: Config,
    drops: Drops,
    retries: u64,
}

fn key(to: NodeId, order: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(40);
    key.extend_from_slice(&to.0);
    key.extend_from_slice(&order.to_be_bytes());
    key
}

impl Delivery {
    fn new(config: &Config, rng: &mut Rng) -> Self {
        Self {
            peers: OrderedMap::new(),
            timers: DeadlineQueue::new(),
            seen: DedupWindow::new(config.limits.dedup_ids, REMEMBER, rng),
            opened: Opened::new(&config.limits, REMEMBER),
            acks: Vec::new(),
            next_order: 1,
            messages: 0,
            bytes: 0,
            was_full: false,
            config: config.clone(),
            drops: Drops::default(),
            retries: 0,
        }
    }

    /// Restores one outbox record after a restart. Call before any input.
    fn restore(&mut self, key: &[u8], value: &[u8], now: Instant) -> Result<(), Malformed> {
        if planted(Bug::OutboxForgotten) {
            return Ok(());
        }
        let (to, order) = key.split_first_chunk::<ID_LEN>().ok_or(Malformed)?;
        let order = u64::from_be_bytes(order.try_into().map_err(|_| Malformed)?);
        let entry = Entry::read(value, now).ok_or(Malformed)?;
        self.next_order = self.next_order.max(order.saturating_add(1));
        self.messages = self.messages.saturating_add(entry.ids().len());
        self.bytes = self.bytes.saturating_add(entry.body_len());
        self.peers.entry(NodeId(*to)).or_default().insert(order, entry);
        Ok(())
    }

    /// Messages waiting for an acknowledgement of `peer`.
    pub(crate) fn queued(&self, peer: NodeId) -> usize {
        self.peers.get(&peer).map_or(0, Peer::len)
    }

    pub(crate) fn total(&self) -> usize {
        self.messages
    }

    pub(crate) fn is_queued(&self, id: MessageId) -> bool {
        self.peers.values().any(|p| p.contains(id))
    }

    /// Sends what may be sent to `to` and sets its timer.
    fn send_due(&mut self, to: NodeId, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(peer) = self.peers.get_mut(&to) else {
            self.timers.cancel(to);
            return;
        };
        let rng = &mut *cx.rng;
        let backoff = Backoff::new(self.config.delivery.retry_first, LONGEST_PAUSE);
        let mut again = 0u64;
        let pause = |n| backoff.pause(n, rng);
        peer.dispatch(cx.now, self.config.delivery.window, pause, |order, body, sent_before| {
            again = again.saturating_add(u64::from(sent_before));
            out.push(Out::Send { to, order: Some(order), priority: Priority::Normal, body });
        });
        self.retries = self.retries.saturating_add(again);
        match soonest(peer.next_due(), peer.oldest().map(|t| t + self.config.delivery.expire)) {
            Some(at) => self.timers.arm(to, at),
            None => self.timers.cancel(to),
        }
    }

    /// Takes a run out of the outbox, and gives the ids of its messages. `send_due` follows.
    fn remove(&mut self, to: NodeId, order: u64, out: &mut Outbox<Out>) -> Option<Vec<MessageId>> {
        let peer = self.peers.get_mut(&to)?;
        let entry = peer.remove(order)?;
        self.messages = self.messages.saturating_sub(entry.ids().len());
        self.bytes = self.bytes.saturating_sub(entry.body_len());
        out.delete(OUTBOX, key(to, order));
        out.push(Out::Forget { to, order });
        if peer.is_empty() {
            out.push(Out::Unwant(to));
            if !peer.up {
                self.peers.remove(&to);
            }
        }
        if self.was_full {
            self.was_full = false;
            out.push(Out::Writable);
        }
        Some(entry.into_ids())
    }

    fn message(&mut self, from: NodeId, digest: ShortId, mut bytes: Vec<u8>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        match Message::decode(&bytes) {
            Ok(Message::Carry { id, body }) => {
                self.opened.insert(cx.now, from, digest, id, body);
                if self.seen.contains(&id) {
                    self.drops.count(DropReason::Duplicate);
                    self.opened.settle(from, id, true);
                    self.acknowledge(from, id, out);
                } else {
                    // In place: a body of 64 KiB is not copied to lose its header.
                    bytes.drain(..CARRY_HEADER);
                    out.push(Out::Received { from, id, body: bytes });
                }
            }
            Ok(Message::Ack { ids }) => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    // An acknowledgement is a sign of life: parked messages may go again.
                    peer.unpark();
                }
                for id in ids {
                    self.settle(from, id, out, |to, id| Out::Delivered { to, id });
                }
                self.send_due(from, cx, out);
            }
            Ok(Message::Refuse { id }) => {
                self.settle(from, &id, out, |to, id| Out::Refused { to, id });
                self.send_due(from, cx, out);
            }
            Err(Malformed) => self.drops.count(DropReason::Message),
        }
    }

    /// A repeat of what was opened gets the answer of the first time.
    fn unopened(&mut self, from: NodeId, digest: ShortId, out: &mut Outbox<Out>) {
        match self.opened.find(from, &digest) {
            Some(Seen::Answered { id, accepted: true }) => self.acknowledge(from, id, out),
            Some(Seen::Answered { id, accepted: false }) => self.answer(from, Message::Refuse { id }, out),
            Some(Seen::Waits { id, body }) => out.push(Out::Received { from, id, body }),
            None => out.push(Out::Lost(from)),
        }
    }

    /// Takes an answered message out of the outbox. Answers about other messages, or about a
    /// message to another peer, have no effect.
    fn settle(&mut self, from: NodeId, id: &ShortId, out: &mut Outbox<Out>, notice: impl Fn(NodeId, MessageId) -> Out) {
        match self.peers.get(&from).and_then(|p| p.find(id)) {
            Some(order) => {
                for id in self.remove(from, order, out).unwrap_or_default() {
                    out.push(notice(from, id));
                }
            }
            None => self.drops.count(DropReason::Duplicate),
        }
    }

    /// No message goes to this node any more.
    fn give_up(&mut self, to: NodeId, out: &mut Outbox<Out>) {
        let orders = self.peers.get(&to).map_or_else(Vec::new, Peer::orders);
        for order in orders {
            for id in self.remove(to, order, out).unwrap_or_default() {
                out.push(Out::Blocked { to, id });
            }
        }
        self.timers.cancel(to);
    }

    /// Keeps an acknowledgement until those that come with it are here.
    fn acknowledge(&mut self, to: NodeId, id: ShortId, out: &mut Outbox<Out>) {
        if self.acks.is_empty() {
            out.push(Out::AcksDue);
        }
        self.acks.push((to, id));
    }

    fn send_acks(&mut self, out: &mut Outbox<Out>) {
        let mut acks = core::mem::take(&mut self.acks);
        // The order of those to one peer stays.
        acks.sort_by_key(|(to, _)| *to);
        for of_peer in acks.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((to, _)) = of_peer.first() else { continue };
            for part in of_peer.chunks(MAX_ACKS) {
                let ids: Vec<ShortId> = part.iter().map(|(_, id)| *id).collect();
                self.answer(*to, Message::Ack { ids: &ids }, out);
            }
        }
        if acks.capacity() <= MAX_ACKS {
            acks.clear();
            self.acks = acks;
        }
    }

    fn answer(&self, to: NodeId, message: Message<'_>, out: &mut Outbox<Out>) {
        out.push(Out::Send { to, order: None, priority: Priority::High, body: message.encode() });
    }
}

impl Machine for Delivery {
    const NAME: &'static str = "delivery";
    const TABLES: &'static [(&'static str, Table)] = &[("outbox", OUTBOX)];
    type In = In;
    type Out = Out;

    fn open(setup: Setup<'_>, records: Vec<Record>, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Result<Self, Malformed> {
        let mut opened = Self::new(setup.config, cx.rng);
        for Record { key, value, .. } in &records {
            opened.restore(key, value, cx.now)?;
        }
        // Links to the nodes that messages wait for.
        opened.peers.keys().for_each(|to| out.push(Out::Want(*to)));
        Ok(opened)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern others")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match *fact {
            Fact::LinkUp { peer: to, .. } => {
                let peer = self.peers.entry(to).or_default();
                peer.up = true;
                peer.requeue();
                self.send_due(to, cx, out);
            }
            Fact::LinkDown { peer: to, .. } => {
                if let Some(peer) = self.peers.get_mut(&to) {
                    peer.up = false;
                    peer.requeue();
                    if peer.is_empty() {
                        self.peers.remove(&to);
                    }
                }
                self.send_due(to, cx, out);
            }
            Fact::Blocked(to) => self.give_up(to, out),
            _ => {}
        }
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::Submit { to, ids, body } => {
                let Some(entry) = Entry::new(ids, &body, cx.now) else { return };
                let order = self.next_order;
                self.next_order = order.saturating_add(1);
                self.messages = self.messages.saturating_add(entry.ids().len());
                self.bytes = self.bytes.saturating_add(entry.body_len());
                out.put(OUTBOX, key(to, order), entry.row());
                let peer = self.peers.entry(to).or_default();
                if peer.is_empty() {
                    out.push(Out::Want(to));
                }
                peer.insert(order, entry);
                out.after_commit(Out::Stored { to, order });
            }
            In::Stored { to, order } => {
                if let Some(peer) = self.peers.get_mut(&to) {
                    peer.ready(order);
                }
                self.send_due(to, cx, out);
            }
            In::Message { from, digest, body } => self.message(from, digest, body, cx, out),
            In::Unopened { from, digest } => self.unopened(from, digest, out),
            In::Ready(to) => {
                if let Some(peer) = self.peers.get_mut(&to) {
                    peer.requeue();
                }
                self.send_due(to, cx, out);
            }
            In::Validated { from, id, accepted } => {
                self.opened.settle(from, id, accepted);
                if accepted {
                    self.seen.insert(cx.now, &id);
                    self.acknowledge(from, id, out);
                } else {
                    self.drops.count(DropReason::Message);
                    self.answer(from, Message::Refuse { id }, out);
                }
            }
            In::GiveUp(to) => {
                for order in self.peers.get(&to).map_or_else(Vec::new, Peer::orders) {
                    self.remove(to, order, out);
                }
                self.timers.cancel(to);
            }
            In::AcksDue => self.send_acks(out),
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        while let Some(to) = self.timers.pop_due(cx.now) {
            let expire = self.config.delivery.expire;
            let expired = self.peers.get(&to).map_or_else(Vec::new, |p| p.older_than(expire, cx.now));
            for order in expired {
                for id in self.remove(to, order, out).unwrap_or_default() {
                    out.push(Out::Expired { to, id });
                }
            }
            self.send_due(to, cx, out);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn footprint(&self) -> usize {
        self.messages
            .saturating_add(self.peers.len())
            .saturating_add(self.seen.len())
            .saturating_add(self.acks.len())
            .saturating_add(self.opened.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.retries = self.retries;
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        if self.messages != self.peers.values().fold(0usize, |n, p| n.saturating_add(p.len())) {
            return Err("the number of messages is not that of the outbox");
        }
        if self.bytes != self.peers.values().fold(0usize, |n, p| n.saturating_add(p.bytes())) {
            return Err("the bytes counted are not those of the outbox");
        }
        self.opened.check()?;
        self.peers.values().try_for_each(Peer::check)
    }
}

/// Whether so many messages of so many bytes in all fit the outbox. A refusal is remembered, so that `Out::Writable`
/// follows.
#[derive(Debug)]
pub(crate) struct Reserve {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Command<Delivery> for Reserve {
    type Answer = bool;

    fn run(self, delivery: &mut Delivery, _cx: &mut Cx<'_>, _out: &mut Outbox<Out>) -> bool {
        let limits = &delivery.config.limits;
        let fits = delivery.messages.saturating_add(self.messages) <= limits.outbox_messages
            && delivery.bytes.saturating_add(self.bytes) <= limits.outbox_bytes;
        delivery.was_full |= !fits;
        fits
    }
}

#[cfg(test)]
mod tests;
