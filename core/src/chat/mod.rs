//! Conversations: messages in causal order, equal on every node, with no server and no clock.
//!
//! A message names what its author had seen (a vector clock that counts messages only), is taken only
//! after all of it, and is shown by causal depth, then author, then id. Missing parents are fetched
//! from the node that sent the message; nodes that meet compare how much of each author they have and fetch
//! the difference, in both directions. Broadcasts carry their author's signature. Private text is
//! protected by the link between the two nodes.

mod catchup;
mod compare;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod conversation;
mod exchange;
pub(crate) mod item;
mod mend;
mod policy;
pub(crate) mod ranges;
pub(crate) mod wire;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::collections::{DeadlineQueue, ShortId, short};
use crate::config::Config;
use crate::error::CommandError;
use crate::fact::Fact;
use crate::id::{ConversationId, ID_LEN, MessageId, NodeId};
use crate::identity::Identity;
use crate::machine::{Command, Cx, Machine, Outbox, Setup};
use crate::planted::{Bug, planted};
use crate::stats::{DropReason, Drops, Stats};
use crate::store::{Record, Scan, Table};
use crate::time::{Duration, Instant, soonest};
use crate::wire::content::{Content, Conversation, Message, Position, network_conversation, private_conversation};
use crate::wire::{MAX_MESSAGE, Malformed, Priority, decode, encode};

use catchup::{Answers, Pace, Paused, Wants};
use compare::Comparisons;
use conversation::{Offer, Room, Source, StoredAuthor, Taken, Verdict};
use policy::{Carriage, Policy};
use wire::{Body, Signed, Sync, encode_record, head_key, id_key, log_key, message_id, order_key};

/// Authors in one `Heights`: 1,024 of up to 52 bytes fit into one message of 64 fragments. Where there
/// are more, histories are compared instead.
const MAX_HEIGHTS: usize = 1_024;
/// The first comparison of the whole history after a start comes when a 24th of the usual time has passed, an
/// hour: a node that never runs for a day compares too.
const FIRST_VERIFY: u32 = 24;
/// What catching up brought is announced to the neighbours after this: 2 s ± 50 %, so that messages that
/// come together are announced once.
const NEWS_AFTER: Duration = Duration::from_secs(2);
/// Envelopes that go into one bundle, in bytes: 48 KiB leaves room in one link message for the
/// largest one more.
const BUNDLE_BYTES: usize = 48 << 10;
/// Nodes to compare with when a link to them opens.
const MAX_COMPARE: usize = 64;
/// Messages on one page of history at most.
pub(crate) const MAX_PAGE: u32 = 500;
/// Bytes of one page: 1 MiB, sixteen of the largest messages.
const PAGE_BYTES: u32 = 1 << 20;

/// What each conversation is, under its id. Before [`HEADS`], so that it is restored before.
const CONVERSATIONS: Table = Table::hot(32);
/// What is known of each author, under conversation and author.
const HEADS: Table = Table::hot(33);
/// Messages under conversation, author and number.
const LOG: Table = Table::cold(32);
/// Messages under conversation and display order.
const ORDER: Table = Table::cold(33);

#[derive(Debug)]
pub(crate) enum In {
    /// A peer's private message, by the delivery machine.
    DirectReceived { from: NodeId, id: ShortId, body: Vec<u8> },
    /// A broadcast, by the gossip machine.
    GossipReceived { via: NodeId, id: ShortId, body: Vec<u8> },
    /// From a peer's chat machine.
    Message { from: NodeId, body: Vec<u8> },
    /// Compare everything with this node, the whole history included, both ways: now, or when a link
    /// opens.
    Compare { peer: NodeId, linked: bool },
    /// Compare what is shared with every neighbour at once, by heights.
    CompareAll,
}

#[derive(Debug)]
pub(crate) enum Out {
    /// Deliver this to one node.
    Submit {
        to: NodeId,
        id: MessageId,
        body: Vec<u8>,
    },
    /// Send this to all nodes of the network.
    Publish {
        body: Vec<u8>,
    },
    /// The verdict on `In::DirectReceived`.
    DirectValidated {
        from: NodeId,
        id: ShortId,
        accepted: bool,
    },
    /// The verdict on `In::GossipReceived`.
    GossipValidated {
        id: ShortId,
        genuine: bool,
    },
    Send {
        to: NodeId,
        priority: Priority,
        body: Vec<u8>,
    },
    /// Another author's message has its place in the order.
    Received(Message),
    /// Read cold records; answered under the same number.
    Read {
        read: u64,
        scan: Scan,
    },
    /// All that this peer claimed to have of the network's conversation is here.
    Compared(NodeId),
    /// The answer to a history query.
    Page {
        query: u64,
        messages: Vec<Message>,
        older: Option<Position>,
    },
}

/// A history query that waits for its records.
struct Query {
    query: u64,
    kind: Conversation,
    limit: u32,
}

pub(crate) struct Chat {
    identity: Identity,
    me: NodeId,
    network: ConversationId,
    rooms: BTreeMap<ConversationId, Room>,
    neighbours: BTreeSet<NodeId>,
    wants: Wants,
    answers: Answers,
    compare: Comparisons,
    /// To be compared with when a link opens.
    compare_with: BTreeSet<NodeId>,
    /// The rate at which peers may catch up here, and what waits for it.
    pace: Pace,
    paused: VecDeque<Paused>,
    queries: BTreeMap<u64, Query>,
    next_read: u64,
    /// When to plan fetches from a peer again.
    fills: DeadlineQueue<(ConversationId, NodeId)>,
    compare_at: Option<Instant>,
    /// When to announce that catching up brought something.
    news_at: Option<Instant>,
    /// When the whole history is next compared.
    verify_at: Option<Instant>,
    sweep_at: Option<Instant>,
    config: Config,
    drops: Drops,
    messages: u64,
    /// Scratch: empty between calls.
    taken: Vec<Taken>,
}

impl Chat {
    fn new(config: &Config, identity: &Identity) -> Self {
        let me = identity.node_id();
        let network = network_conversation(&config.network_key);
        let mut rooms = BTreeMap::new();
        rooms.insert(network, Room::new(network, Conversation::Network, me));
        Self {
            identity: identity.clone(),
            me,
            network,
            rooms,
            neighbours: BTreeSet::new(),
            wants: Wants::default(),
            answers: Answers::default(),
            compare: Comparisons::default(),
            compare_with: BTreeSet::new(),
            pace: Pace::new(config.chat.catch_up_rate),
            paused: VecDeque::new(),
            queries: BTreeMap::new(),
            next_read: 1,
            fills: DeadlineQueue::new(),
            compare_at: None,
            news_at: None,
            verify_at: None,
            sweep_at: None,
            config: config.clone(),
            drops: Drops::default(),
            messages: 0,
            taken: Vec::new(),
        }
    }

    /// Takes back one record of [`CONVERSATIONS`] or [`HEADS`].
    fn restore(&mut self, Record { table, key, value }: &Record) -> Result<(), Malformed> {
        let (conversation, author) = key.split_first_chunk::<ID_LEN>().ok_or(Malformed)?;
        let conversation = ConversationId(*conversation);
        if *table == CONVERSATIONS {
            let kind: Conversation = decode(value, 64)?;
            self.rooms.insert(conversation, Room::new(conversation, kind, self.me));
            return if author.is_empty() { Ok(()) } else { Err(Malformed) };
        }
        let author = NodeId(author.try_into().map_err(|_| Malformed)?);
        let stored: StoredAuthor = decode(value, 1 << 20)?;
        self.rooms.get_mut(&conversation).ok_or(Malformed)?.restore(author, stored);
        Ok(())
    }

    /// Messages held because one of their parents is missing.
    pub(crate) fn pending(&self) -> usize {
        self.rooms.values().fold(0, |n, r| n.saturating_add(r.pending()))
    }

    /// Whether there is this conversation.
    pub(crate) fn knows(&self, conversation: Conversation) -> bool {
        self.rooms.contains_key(&self.id_of(conversation))
    }

    fn id_of(&self, conversation: Conversation) -> ConversationId {
        conversation.id(self.me, &self.config.network_key)
    }

    fn message_id(&self, conversation: ConversationId, author: NodeId, body: &[u8]) -> MessageId {
        match self.rooms.get(&conversation) {
            Some(room) => room.message_id(author, body),
            None => message_id(&id_key(conversation, author), body),
        }
    }

    /// The rules of a conversation that a node speaks of; none if it takes no part in it.
    fn policy(&self, conversation: ConversationId, with: NodeId) -> Option<Policy> {
        let kind = match conversation {
            network if network == self.network => Conversation::Network,
            private if private == private_conversation(self.me, with) => Conversation::Private(with),
            _ => return None,
        };
        Some(Policy::new(kind, self.me)).filter(|policy| policy.may_sync(with))
    }

    /// The room of a conversation, made if there is none and there is space.
    fn room(&mut self, kind: Conversation, out: &mut Outbox<Out>) -> Option<&mut Room> {
        let id = self.id_of(kind);
        if !self.rooms.contains_key(&id) {
            if self.rooms.len() >= self.config.limits.conversations {
                return None;
            }
            out.put(CONVERSATIONS, id.0.to_vec(), encode(&kind));
            self.rooms.insert(id, Room::new(id, kind, self.me));
        }
        self.rooms.get_mut(&id)
    }

    /// Composes a message. It has its place at once and is sent when it is stored.
    fn say(
        &mut self,
        cx: &mut Cx<'_>,
        kind: Conversation,
        content: Content,
        out: &mut Outbox<Out>,
    ) -> Result<MessageId, CommandError> {
        content.validate()?;
        let author = self.me;
        let room = self.room(kind, out).ok_or(CommandError::Busy("list of conversations"))?;
        let body = room.compose(cx.wall, content);
        let conversation = room.id;
        let bytes = encode(&body);
        let id = room.message_id(author, &bytes);
        let envelope = room.policy.seal(&self.identity, id, bytes);
        self.offer(cx, conversation, Offer { id, author, body, envelope, source: Source::Own }, out);
        Ok(id)
    }

    /// Asks for a page of history; `Out::Page` answers.
    fn history(&mut self, query: u64, kind: Conversation, before: Option<Position>, limit: u32, out: &mut Outbox<Out>) {
        let limit = limit.clamp(1, MAX_PAGE);
        let conversation = self.id_of(kind);
        let first = Position { depth: 0, author: NodeId([0; 32]), id: MessageId([0; 32]) };
        let end = before.unwrap_or(Position { depth: u64::MAX, author: NodeId([255; 32]), id: MessageId([255; 32]) });
        let id = self.read_id();
        self.queries.insert(id, Query { query, kind, limit });
        let scan = Scan {
            table: ORDER,
            start: order_key(conversation, first),
            end: order_key(conversation, end),
            reverse: true,
            limit: limit.saturating_add(1),
            max_bytes: PAGE_BYTES,
        };
        out.push(Out::Read { read: id, scan });
    }

    fn read_id(&mut self) -> u64 {
        let id = self.next_read;
        self.next_read = id.wrapping_add(1);
        id
    }

    fn page(&self, Query { query, kind, limit }: Query, records: Vec<Record>, out: &mut Outbox<Out>) {
        let limit = limit as usize;
        let bytes = records.iter().fold(0usize, |n, r| n.saturating_add(r.key.len()).saturating_add(r.value.len()));
        // The read stops at its count or its bytes; only otherwise was that the beginning.
        let cut = records.len() > limit || bytes > PAGE_BYTES as usize;
        let read = records.into_iter().take(limit);
        let policy = Policy::new(kind, self.me);
        let mut messages: Vec<Message> = read.filter_map(|r| policy.message(&r.key, &r.value).ok()).collect();
        messages.reverse();
        let older = messages.first().map(Message::position).filter(|_| cut);
        out.push(Out::Page { query, messages, older });
    }

    /// Judges a message and acts on the verdict.
    fn offer(&mut self, cx: &mut Cx<'_>, conversation: ConversationId, offer: Offer, out: &mut Outbox<Out>) {
        let (source, author, seq) = (offer.source, offer.author, offer.body.seq);
        let Some(room) = self.rooms.get_mut(&conversation) else { return };
        match room.offer(offer, cx.now, &self.config.limits, &mut self.taken) {
            Verdict::Taken => {
                for t in self.taken.drain(..) {
                    let value = encode_record(&t.message.clock, &t.envelope);
                    let m = &t.message;
                    let mut position = m.position();
                    if planted(Bug::OrderByArrival) {
                        position.depth = self.messages;
                    }
                    out.put(LOG, log_key(conversation, m.author, m.seq), value.clone());
                    out.put(ORDER, order_key(conversation, position), value);
                    let forgets = planted(Bug::ToldAgainAfterRestart) && m.author != self.me;
                    if let Some(stored) = room.stored(m.author).filter(|_| !forgets) {
                        out.put(HEADS, head_key(conversation, m.author), encode(&stored));
                    }
                    self.messages = self.messages.saturating_add(1);
                    if let Some(peer) = t.source.peer() {
                        self.wants.fruitful(conversation, peer);
                    }
                    if let Source::Delivery { from, id } = t.source {
                        let taken = Out::DirectValidated { from, id, accepted: true };
                        if planted(Bug::AckBeforeCommit) { out.push(taken) } else { out.after_commit(taken) }
                    }
                    match (t.source, room.policy.carriage()) {
                        (Source::Own, Carriage::Gossip) => {
                            let publish = Out::Publish { body: t.envelope };
                            if planted(Bug::NumberUsedAgain) { out.push(publish) } else { out.after_commit(publish) }
                        }
                        (Source::Own, Carriage::Delivery(to)) => {
                            out.push(Out::Submit { to, id: t.message.id, body: t.envelope });
                        }
                        (Source::Delivery { .. } | Source::Peer { .. }, _) if t.message.author == self.me => {}
                        (Source::Delivery { .. } | Source::Peer { .. }, _) => out.push(Out::Received(t.message)),
                    }
                }
            }
            Verdict::Duplicate => {
                self.drops.count(DropReason::Duplicate);
                if let Source::Delivery { from, id } = source {
                    // After the commit: the first copy may still be on its way to the disk.
                    out.after_commit(Out::DirectValidated { from, id, accepted: true });
                }
            }
            Verdict::Early { missing } => {
                if let Some(peer) = source.peer() {
                    self.wants.claim(room, peer, author, seq);
                    for (author, count) in missing {
                        self.wants.claim(room, peer, author, count);
                    }
                    let key = (conversation, peer);
                    if self.fills.get(key).is_none() {
                        self.fills.arm(key, cx.now + self.config.chat.fill_after);
                    }
                }
                if self.sweep_at.is_none() {
                    self.sweep_at = Some(cx.now + self.config.chat.pending_for);
                }
            }
            Verdict::Refused(reason) => {
                self.drops.count(reason);
                if let Source::Delivery { from, id } = source {
                    out.push(Out::DirectValidated { from, id, accepted: false });
                }
            }
            // The sender keeps it and tries again.
            Verdict::NoRoom => self.drops.count(DropReason::Queue),
        }
    }

    fn carried(&mut self, cx: &mut Cx<'_>, from: NodeId, id: ShortId, bytes: Vec<u8>, out: &mut Outbox<Out>) {
        let kind = Conversation::Private(from);
        let conversation = self.id_of(kind);
        let full_id = self.message_id(conversation, from, &bytes);
        let Ok(body) = Body::decode(&bytes, from) else {
            self.drops.count(DropReason::Message);
            return out.push(Out::DirectValidated { from, id, accepted: false });
        };
        if short(&full_id.0) != id {
            self.drops.count(DropReason::Message);
            return out.push(Out::DirectValidated { from, id, accepted: false });
        }
        self.private(
            cx,
            kind,
            Offer { id: full_id, author: from, body, envelope: bytes, source: Source::Delivery { from, id } },
            out,
        );
    }

    /// A message of the other side of a private conversation.
    fn private(&mut self, cx: &mut Cx<'_>, kind: Conversation, offer: Offer, out: &mut Outbox<Out>) {
        let me = self.me;
        let Some(room) = self.room(kind, out) else {
            return self.drops.count(DropReason::Rate);
        };
        if let Some(&(_, seen)) = offer.body.changes.iter().find(|(id, _)| *id == me) {
            // The other side has seen messages of this node that this node does not know: its store
            // is an older copy. It must not use those numbers again.
            room.skip_to(seen, offer.body.depth.saturating_sub(1));
        }
        let conversation = room.id;
        self.offer(cx, conversation, offer, out);
    }

    /// Handles a broadcast from gossip or a peer; returns whether it is genuine. With `mend` it may be an old one
    /// that the store lost.
    fn broadcast(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        envelope: Vec<u8>,
        mend: bool,
        out: &mut Outbox<Out>,
    ) -> bool {
        let conversation = self.network;
        let Ok(signed) = Signed::decode(&envelope) else {
            self.drops.count(DropReason::Message);
            return false;
        };
        let author = signed.author();
        let Ok(body) = Body::decode(signed.body, author) else {
            self.drops.count(DropReason::Message);
            return false;
        };
        // Before the signature, which costs more than all the rest.
        let room = self.rooms.get(&conversation);
        let is_old = room.is_some_and(|r| body.seq <= r.height(author));
        if (is_old && !mend) || room.is_some_and(|r| r.is_pending(author, body.seq)) {
            self.drops.count(DropReason::Duplicate);
            return false;
        }
        let id = self.message_id(conversation, author, signed.body);
        if !signed.is_genuine(id) {
            self.drops.count(DropReason::Signature);
            return false;
        }
        let offer = Offer { id, author, body, envelope, source: Source::Peer { from } };
        if is_old {
            self.mend(offer, out);
        } else {
            self.offer(cx, conversation, offer, out);
        }
        true
    }
}

impl Chat {
    fn link_up(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        let private = private_conversation(self.me, peer);
        self.send_heights(cx, private, peer, false, out);
        if self.compare_with.remove(&peer) {
            self.compare_all(cx, peer, out);
        }
    }

    fn link_down(&mut self, peer: NodeId) {
        self.wants.forget_peer(peer);
        self.answers.forget_peer(peer);
        self.compare.forget_peer(peer);
        self.fills.cancel((self.network, peer));
        self.fills.cancel((private_conversation(self.me, peer), peer));
    }

    fn neighbour_up(&mut self, cx: &mut Cx<'_>, peer: NodeId, out: &mut Outbox<Out>) {
        self.neighbours.insert(peer);
        self.send_heights(cx, self.network, peer, false, out);
        if self.compare_at.is_none() {
            self.compare_at = Some(cx.now + cx.rng.jitter(self.config.chat.compare_every, 50));
        }
        if self.verify_at.is_none() {
            let first = self.config.chat.verify_every.checked_div(FIRST_VERIFY).unwrap_or_default();
            self.verify_at = Some(cx.now + cx.rng.jitter(first, 50));
        }
    }
}

fn send(to: NodeId, message: &Sync, out: &mut Outbox<Out>) {
    let priority = match message {
        Sync::Digest { .. } | Sync::Heights { .. } | Sync::Fetch { .. } => Priority::Normal,
        Sync::Bundle { .. } | Sync::Compare { .. } | Sync::Compared { .. } | Sync::Want { .. } => Priority::Low,
    };
    out.push(Out::Send { to, priority, body: encode(message) });
}

impl Machine for Chat {
    const NAME: &'static str = "chat";
    const TABLES: &'static [(&'static str, Table)] =
        &[("conversations", CONVERSATIONS), ("heads", HEADS), ("log", LOG), ("order", ORDER)];
    type In = In;
    type Out = Out;

    fn open(
        setup: Setup<'_>,
        records: Vec<Record>,
        _cx: &mut Cx<'_>,
        _out: &mut Outbox<Out>,
    ) -> Result<Self, Malformed> {
        let mut opened = Self::new(setup.config, setup.identity);
        for record in &records {
            opened.restore(record)?;
        }
        opened.rooms.values_mut().for_each(Room::restored);
        Ok(opened)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other facts concern other machines")]
    fn fact(&mut self, cx: &mut Cx<'_>, fact: &Fact, out: &mut Outbox<Out>) {
        match *fact {
            Fact::LinkUp { peer, .. } => self.link_up(cx, peer, out),
            Fact::LinkDown { peer, .. } => self.link_down(peer),
            Fact::NeighbourUp(peer) => self.neighbour_up(cx, peer, out),
            Fact::NeighbourDown(peer) => {
                self.neighbours.remove(&peer);
                self.wants.forget(self.network, peer);
                if self.neighbours.is_empty() {
                    self.compare_at = None;
                }
            }
            // This node slept: it compares with a neighbour at once.
            Fact::Resumed => self.compare_at = self.compare_at.map(|_| cx.now),
            _ => {}
        }
    }

    fn records(&mut self, cx: &mut Cx<'_>, read: u64, records: Vec<Record>, out: &mut Outbox<Out>) {
        self.records_read(cx, read, records, out);
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: In, out: &mut Outbox<Out>) {
        match input {
            In::DirectReceived { from, id, body } => self.carried(cx, from, id, body, out),
            In::GossipReceived { via, id, body } => {
                let genuine = self.broadcast(cx, via, body, false, out);
                out.push(Out::GossipValidated { id, genuine });
            }
            In::Message { from, body } => match decode(&body, MAX_MESSAGE) {
                Ok(message) => self.sync(cx, from, message, out),
                Err(Malformed) => self.drops.count(DropReason::Message),
            },
            In::Compare { peer, linked: true } => self.compare_all(cx, peer, out),
            In::Compare { peer, linked: false } => {
                if self.compare_with.len() < MAX_COMPARE {
                    self.compare_with.insert(peer);
                }
            }
            In::CompareAll => {
                for peer in self.neighbours.clone() {
                    self.send_heights(cx, private_conversation(self.me, peer), peer, true, out);
                    self.send_heights(cx, self.network, peer, true, out);
                }
            }
        }
    }

    fn handle_timeout(&mut self, cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        while let Some((conversation, peer)) = self.fills.pop_due(cx.now) {
            self.fill(cx, conversation, peer, out);
        }
        if self.news_at.take_if(|at| *at <= cx.now).is_some()
            && let Some(room) = self.rooms.get(&self.network)
        {
            // Catching up announces to the network what it brought: no tree carries it.
            let digest = Sync::Digest { conversation: self.network, hash: room.digest() };
            self.neighbours.iter().for_each(|&to| send(to, &digest, out));
        }
        if self.compare_at.is_some_and(|at| at <= cx.now) {
            let neighbours: Vec<NodeId> = self.neighbours.iter().copied().collect();
            if let (Some(&to), Some(room)) = (cx.rng.pick(&neighbours), self.rooms.get(&self.network)) {
                send(to, &Sync::Digest { conversation: self.network, hash: room.digest() }, out);
                if self.verify_at.is_none_or(|at| at <= cx.now) {
                    self.verify_at = Some(cx.now + cx.rng.jitter(self.config.chat.verify_every, 50));
                    self.compare_whole(cx, to, out);
                }
            }
            self.compare_at = Some(cx.now + cx.rng.jitter(self.config.chat.compare_every, 50));
        }
        self.compare_timeout(cx, out);
        if self.pace_at().is_some_and(|at| at <= cx.now) {
            self.unpause(cx, out);
        }
        if self.sweep_at.is_some_and(|at| at <= cx.now) {
            let since = cx.now.before(self.config.chat.pending_for);
            let mut left = 0usize;
            for room in self.rooms.values_mut() {
                room.expire(since);
                left = left.saturating_add(room.pending());
            }
            self.sweep_at = (left > 0).then(|| cx.now + self.config.chat.pending_for);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let timers = soonest(self.fills.next(), soonest(self.compare_at, self.sweep_at));
        soonest(soonest(timers, self.news_at), soonest(self.compare.deadline(), self.pace_at()))
    }

    fn footprint(&self) -> usize {
        let rooms = self.rooms.values().fold(0usize, |n, r| n.saturating_add(r.entries()).saturating_add(1));
        rooms
            .saturating_add(self.wants.len())
            .saturating_add(self.answers.len())
            .saturating_add(self.compare.len())
            .saturating_add(self.compare_with.len())
            .saturating_add(self.paused.len())
            .saturating_add(self.queries.len())
            .saturating_add(self.neighbours.len())
    }

    fn count(&self, stats: &mut Stats) {
        stats.drops.add(&self.drops);
        stats.messages = self.messages;
    }

    #[cfg(any(test, debug_assertions))]
    fn check(&self) -> Result<(), &'static str> {
        if !self.taken.is_empty() {
            return Err("accepted messages are left over");
        }
        self.rooms.values().try_for_each(Room::check)
    }
}

/// Composes a message: it has its place at once and is sent when it is stored. Returns its id.
#[derive(Debug)]
pub(crate) struct Say {
    pub(crate) conversation: Conversation,
    pub(crate) content: Content,
}

impl Command<Chat> for Say {
    type Answer = Result<MessageId, CommandError>;

    fn run(self, chat: &mut Chat, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        chat.say(cx, self.conversation, self.content, out)
    }
}

/// Asks for the page of a conversation that ends before `before`, or its newest; `Out::Page` answers.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) query: u64,
    pub(crate) conversation: Conversation,
    pub(crate) before: Option<Position>,
    pub(crate) limit: u32,
}

impl Command<Chat> for History {
    type Answer = ();

    fn run(self, chat: &mut Chat, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        chat.history(self.query, self.conversation, self.before, self.limit, out);
    }
}

#[cfg(test)]
mod tests;
