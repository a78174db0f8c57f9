//! One node: every machine, and the queues between them and the host.

pub(crate) mod event;
pub(crate) mod faults;
mod pump;
mod queue;
mod route;
#[cfg(test)]
mod spec;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::chat::Chat;
use crate::config::{Config, NodeType};
use crate::delivery::Delivery;
use crate::discovery::Discovery;
use crate::engine::event::Event;
use crate::engine::event::EventKind;
use crate::engine::pump::Slot;
use crate::engine::queue::Queues;
use crate::error::{CommandError, ConfigError, RestoreError};
use crate::gossip::Gossip;
use crate::id::{AccountId, MessageId, NodeId};
use crate::identity::Identity;
use crate::link::Link;
use crate::machine::{Cx, Machine};
use crate::membership::{Known, Membership, NodeState};
use crate::rng::Rng;
use crate::stats::{Drops, Stats};
use crate::store::{Batch, Op, Record, Request, Table};
use crate::swim::Swim;
use crate::time::{Duration, Instant, WallClock, WallTime, soonest};
use crate::wire::content::{Content, Conversation, Message, Position};
use crate::wire::ticket::{Bootstrap, MAX_TICKET_ADDRESSES, Ticket};
use crate::{chat, delivery, discovery, gossip, link, membership, swim};

/// A UDP payload to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// At most 1,200 bytes.
    pub bytes: Vec<u8>,
}

/// A node that the host found nearby: a hint where to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    /// Who it says it is; another node that answers there is then refused.
    pub id: Option<NodeId>,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// When the engine wants to be called, and which machine wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Call `handle_timeout` then.
    pub at: Instant,
    /// The machine, or `queued` while work or output waits.
    pub why: &'static str,
}

/// The answer to a query such as [`Engine::history`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number the query returned.
    pub query: u64,
    /// Messages in display order, oldest first.
    pub messages: Vec<Message>,
    /// Pass this as `before` for the page before; none at the beginning of the history.
    pub older: Option<Position>,
}

/// What a node knows of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub id: NodeId,
    /// The name it claims, if it told one.
    pub name: Option<String>,
    /// The account behind it, if a certificate proved it.
    pub account: Option<AccountId>,
    /// What it says it does.
    pub node_type: NodeType,
    /// Whether this node found it at its address by itself, when it had not called for ten minutes, and has not
    /// failed to since. What it claims to do for others counts only then: see [`role`](Self::role).
    pub verified: bool,
    /// Whether it says that a program speaks there, not a person.
    pub bot: bool,
    /// Its address: of the link, or the best known.
    pub addr: Option<SocketAddr>,
    /// Whether a link is open.
    pub linked: bool,
    /// Whether it is a neighbour in the mesh.
    pub neighbour: bool,
    /// Whether this node opened the link; false if the other did, or both at once, or there is none.
    pub outbound: bool,
    /// Smoothed round trip time of the link.
    pub rtt: Option<Duration>,
    /// Private messages waiting for its acknowledgement.
    pub queued: usize,
    /// What the last failed attempt to reach it ended with.
    pub last_error: Option<&'static str>,
}

impl Peer {
    /// What it counts as here: SUPER and RELAY if it is [`verified`](Self::verified), else REGULAR. BOOTSTRAP
    /// promises less than REGULAR, so it needs no proof.
    pub fn role(&self) -> NodeType {
        match self.node_type {
            NodeType::Super | NodeType::Relay if !self.verified => NodeType::Regular,
            NodeType::Bootstrap | NodeType::Regular | NodeType::Super | NodeType::Relay => self.node_type,
        }
    }
}

/// A node at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// What it does.
    pub node_type: NodeType,
    /// Where it is in its life.
    pub state: NodeState,
    /// Neighbours in the mesh.
    pub neighbours: usize,
    /// Open links, neighbours included.
    pub links: usize,
    /// Nodes in the address book.
    pub known: usize,
    /// Private messages waiting for an acknowledgement.
    pub outbox: usize,
    /// Messages held because one they depend on is missing.
    pub pending: usize,
    /// Entries that the machines hold in all: flat, whatever strangers send.
    pub entries: usize,
    /// Addresses that other nodes saw this one at.
    pub observed: Vec<SocketAddr>,
    /// Counters.
    pub stats: Stats,
}

/// An input for one machine.
enum Work {
    Link(link::In),
    Membership(membership::In),
    Discovery(discovery::In),
    Delivery(delivery::In),
    Gossip(gossip::In),
    Swim(swim::In),
    Chat(chat::In),
}

/// An output of one machine, or a stored event, on its way to those it concerns.
enum Effect {
    Link(link::Out),
    Membership(membership::Out),
    Discovery(discovery::Out),
    Delivery(delivery::Out),
    Gossip(gossip::Out),
    Swim(swim::Out),
    Chat(chat::Out),
    Event(u64, EventKind),
}

/// Where this node's id is kept in [`Table::Meta`], to tell its store from another's.
const NODE_KEY: &[u8] = b"node/id";

/// The state machine of one node. See the crate's documentation for the run loop.
///
/// Every call that takes `now` does all that follows from it before it returns; afterwards take what
/// the `poll` functions give until each is empty. Time that goes back counts as standing still.
pub struct Engine {
    config: Config,
    identity: Identity,
    me: NodeId,
    now: Instant,
    wall: WallClock,
    suspended: bool,
    next_query: u64,
    /// A broadcast was refused because every neighbour's queue was full.
    broadcast_blocked: bool,
    counters: Counters,
    link: Slot<Link>,
    membership: Slot<Membership>,
    discovery: Slot<Discovery>,
    delivery: Slot<Delivery>,
    gossip: Slot<Gossip>,
    swim: Slot<Swim>,
    chat: Slot<Chat>,
    q: Queues,
}

#[derive(Default)]
struct Counters {
    datagrams_in: u64,
    bytes_in: u64,
    datagrams_out: u64,
    bytes_out: u64,
}

impl Engine {
    /// A node that never ran before.
    ///
    /// `seed` is 32 bytes of the host's best randomness, fresh at every start. The first batch holds
    /// the node's link key: nothing is sent before it is committed.
    ///
    /// # Errors
    /// The first rule that the configuration breaks.
    pub fn new(
        config: Config,
        identity: Identity,
        seed: [u8; 32],
        now: Instant,
        wall: WallTime,
    ) -> Result<Self, ConfigError> {
        Self::restore(config, identity, Vec::new(), seed, now, wall).map_err(|e| match e {
            RestoreError::Config(e) => e,
            RestoreError::Record { .. } | RestoreError::OtherIdentity => {
                ConfigError { key: "records", rule: "must be readable".into() }
            }
        })
    }

    /// A node as its last committed batch left it. `records` are those of the [`Table::HOT`] tables.
    ///
    /// # Errors
    /// A broken configuration rule, an unreadable record, or records of another identity.
    pub fn restore(
        config: Config,
        identity: Identity,
        records: Vec<Record>,
        seed: [u8; 32],
        now: Instant,
        wall: WallTime,
    ) -> Result<Self, RestoreError> {
        config.validate()?;
        let me = identity.node_id();
        let mut q = Queues::new(&config.limits);
        let wall_clock = WallClock::new(now, wall);

        let link_rows: Vec<(Vec<u8>, Vec<u8>)> = records
            .iter()
            .filter(|r| r.table == Table::Meta && r.key.starts_with(link::STORED_PREFIX))
            .map(|r| (r.key.clone(), r.value.clone()))
            .collect();
        let mut link_rng = Rng::fork(&seed, Link::NAME);
        let mut link_out = crate::machine::Outbox::new();
        let mut cx = Cx { now, wall, me, rng: &mut link_rng };
        let link = Link::new(&config, &identity, &link_rows, &mut cx, &mut link_out)
            .map_err(|_| RestoreError::Record { table: Table::Meta })?;

        let mut delivery_rng = Rng::fork(&seed, Delivery::NAME);
        let mut gossip_rng = Rng::fork(&seed, Gossip::NAME);
        let mut delivery = Delivery::new(&config, &mut delivery_rng);
        let gossip = Gossip::new(&config, &mut gossip_rng);
        let mut membership = Membership::new(&config, &identity);
        let mut chat = Chat::new(&config, &identity);

        // Shorter keys first: what a conversation is comes before what is in it.
        let mut records = records;
        records.sort_by(|a, b| (a.table, a.key.len(), &a.key).cmp(&(b.table, b.key.len(), &b.key)));
        for record in &records {
            let table = record.table;
            let (key, value) = (&record.key, &record.value);
            let read = match table {
                Table::Meta if key == NODE_KEY => {
                    if value != me.as_bytes() {
                        return Err(RestoreError::OtherIdentity);
                    }
                    Some(())
                }
                Table::Meta if key == queue::ACKED_KEY => q.events.restore_acked(value),
                Table::Meta => Some(()),
                Table::Peers => membership.restore(key, value).ok(),
                Table::Outbox => delivery.restore(key, value, now).ok(),
                Table::Heads => chat.restore(key, value).ok(),
                Table::Events => q.events.restore(record),
                Table::Log | Table::Order => Some(()),
            };
            read.ok_or(RestoreError::Record { table })?;
        }
        chat.restored();

        let mut engine = Self {
            me,
            now,
            wall: wall_clock,
            suspended: false,
            next_query: 1,
            broadcast_blocked: false,
            counters: Counters::default(),
            link: Slot { machine: link, rng: link_rng, out: link_out },
            membership: Slot::new(membership, Rng::fork(&seed, Membership::NAME)),
            discovery: Slot::new(Discovery::new(&config), Rng::fork(&seed, Discovery::NAME)),
            delivery: Slot::new(delivery, delivery_rng),
            gossip: Slot::new(gossip, gossip_rng),
            swim: Slot::new(Swim::new(&config), Rng::fork(&seed, Swim::NAME)),
            chat: Slot::new(chat, Rng::fork(&seed, Chat::NAME)),
            q,
            config,
            identity,
        };
        engine.q.ops.push(Op::Put { table: Table::Meta, key: NODE_KEY.to_vec(), value: me.0.to_vec() });
        let at = engine.advance(now);
        engine.link.run(at, &mut engine.q, Effect::Link, |_, _, _| ());
        engine.delivery.run(at, &mut engine.q, Effect::Delivery, |m, _, out| m.resume(out));
        engine.pump(now);
        Ok(engine)
    }

    /// A UDP payload arrived. What is not understood or not allowed is counted, never an error.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.counters.datagrams_in = self.counters.datagrams_in.saturating_add(1);
        self.counters.bytes_in = self.counters.bytes_in.saturating_add(bytes.len() as u64);
        self.q.work.push_back(Work::Link(link::In::Datagram { from, bytes: bytes.to_vec() }));
        self.pump(now);
    }

    /// The time of [`next_deadline`](Self::next_deadline) has come. Earlier calls change nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.due(now);
    }

    /// The batch `seq` and all before it are on disk: what depends on them may leave.
    pub fn handle_committed(&mut self, now: Instant, seq: u64) {
        for effect in self.q.commit(seq) {
            route::effect(effect, &mut self.q);
        }
        self.pump(now);
    }

    /// The answer to a [`Request`]; an unknown or repeated one has no effect.
    pub fn handle_records(&mut self, now: Instant, request: u64, records: Vec<Record>) {
        if request == route::EVENT_READ {
            self.q.events.refilled(&records);
        } else {
            self.q.work.push_back(Work::Chat(chat::In::Records { read: request / 2, records }));
        }
        self.pump(now);
    }

    /// The device has another network: links move at once, nobody is waited for.
    pub fn handle_network_change(&mut self, now: Instant) {
        self.q.work.push_back(Work::Link(link::In::NetworkChanged));
        self.q.work.push_back(Work::Membership(membership::In::NetworkChanged));
        self.q.work.push_back(Work::Discovery(discovery::In::NetworkChanged));
        self.pump(now);
    }

    /// The host read its wall clock again (every minute, and after a resume).
    pub fn handle_wall_clock(&mut self, now: Instant, wall: WallTime) {
        let (now, _, _) = self.advance(now);
        self.wall = WallClock::new(now, wall);
        self.pump(now);
    }

    /// Addresses that this node can be reached at, for invitations and announcements; best first.
    pub fn handle_local_addresses(&mut self, now: Instant, addrs: &[SocketAddr]) {
        self.q.work.push_back(Work::Membership(membership::In::LocalAddresses(addrs.to_vec())));
        self.q.work.push_back(Work::Discovery(discovery::In::LocalAddresses(addrs.to_vec())));
        self.pump(now);
    }

    /// A datagram arrived on the sockets for beacons. What it says is a hint where a node may be; the handshake
    /// proves who is there. What is not understood or of another network is counted, never an error. Nothing
    /// happens while [`DiscoveryConfig::beacons`](crate::config::DiscoveryConfig::beacons) is off.
    pub fn handle_beacon(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        // No beacon is longer: one byte more shows that it is none.
        let read = bytes.get(..discovery::beacon::MAX_BEACON.saturating_add(1)).unwrap_or(bytes);
        self.q.work.push_back(Work::Discovery(discovery::In::Beacon { from, bytes: read.to_vec() }));
        self.pump(now);
    }

    /// The host found a node nearby by its own means, such as Bonjour: a hint, as a beacon is.
    pub fn handle_local_peer(&mut self, now: Instant, peer: LocalPeer) {
        self.q.work.push_back(Work::Discovery(discovery::In::LocalPeer { id: peer.id, addr: peer.addr }));
        self.pump(now);
    }

    /// Mixes 32 bytes of the host's randomness into every machine's stream. Once an hour.
    pub fn add_entropy(&mut self, entropy: [u8; 32]) {
        self.link.rng.mix(&entropy);
        self.membership.rng.mix(&entropy);
        self.discovery.rng.mix(&entropy);
        self.delivery.rng.mix(&entropy);
        self.gossip.rng.mix(&entropy);
        self.swim.rng.mix(&entropy);
        self.chat.rng.mix(&entropy);
    }

    /// The device is about to sleep: commands are refused until [`resume`](Self::resume). The host
    /// commits what is polled and stops calling.
    pub fn suspend(&mut self, now: Instant) {
        self.suspended = true;
        self.q.work.push_back(Work::Swim(swim::In::Suspend));
        self.pump(now);
    }

    /// The device woke up: as a network change, since much may have happened.
    pub fn resume(&mut self, now: Instant) {
        self.suspended = false;
        self.q.work.push_back(Work::Swim(swim::In::Resume));
        self.q.work.push_back(Work::Chat(chat::In::Resumed));
        self.handle_network_change(now);
    }

    /// Enters the network through any of `bootstraps` or anybody known (`joinNetwork` of the DONP
    /// document). With nobody at all this is the first node of a network and waits for others. Tries
    /// never end; more bootstraps may be added by calling again.
    ///
    /// # Errors
    /// [`CommandError::NotRunning`] while suspended.
    pub fn join(&mut self, now: Instant, bootstraps: &[Bootstrap]) -> Result<(), CommandError> {
        self.running()?;
        self.q.work.push_back(Work::Membership(membership::In::Join(bootstraps.to_vec())));
        self.q.work.push_back(Work::Discovery(discovery::In::Enter));
        self.pump(now);
        Ok(())
    }

    /// Enters the network that a ticket names.
    ///
    /// # Errors
    /// [`CommandError::OtherNetwork`] if its key is not this node's; as [`join`](Self::join).
    pub fn join_ticket(&mut self, now: Instant, ticket: &Ticket) -> Result<(), CommandError> {
        if ticket.network_key.unwrap_or([0; 32]) != self.config.network_key {
            return Err(CommandError::OtherNetwork);
        }
        self.join(now, &ticket.bootstraps())
    }

    /// Says goodbye to every peer and stops answering (`leaveNetwork`). What is queued stays queued
    /// for the next [`join`](Self::join).
    pub fn leave(&mut self, now: Instant) {
        self.q.work.push_back(Work::Swim(swim::In::Leave));
        self.q.work.push_back(Work::Membership(membership::In::Leave));
        self.q.work.push_back(Work::Discovery(discovery::In::Leave));
        self.pump(now);
    }

    /// An invitation to this network through this node. It holds the key of a closed network.
    pub fn invite(&self) -> Ticket {
        let open = self.config.network_key == [0; 32];
        let mut addrs = self.membership.machine.addresses();
        addrs.truncate(MAX_TICKET_ADDRESSES);
        Ticket {
            node: self.me,
            name: self.identity.name().into(),
            addrs,
            network_key: (!open).then_some(self.config.network_key),
        }
    }

    /// Says something to one node (`sendMessage`). Returns at once; the message is in the outbox of
    /// the next batch, is sent when that is committed, again when it is lost, and waits if the other
    /// node is away. [`EventKind::Delivered`] follows when the other node has stored it.
    ///
    /// # Errors
    /// [`CommandError::ToSelf`], [`CommandError::UnknownPeer`], [`CommandError::Empty`],
    /// [`CommandError::TooLong`], [`CommandError::Busy`] when the outbox is full.
    pub fn send_private(&mut self, now: Instant, to: NodeId, content: Content) -> Result<MessageId, CommandError> {
        self.running()?;
        if to == self.me {
            return Err(CommandError::ToSelf);
        }
        content.validate()?;
        let conversation = Conversation::Private(to);
        if self.membership.machine.get(to).is_none() && !self.chat.machine.has_room(conversation) {
            return Err(CommandError::UnknownPeer(to));
        }
        if !self.delivery.machine.has_room(content.shown().len()) {
            return Err(CommandError::Busy("outbox"));
        }
        self.say(now, conversation, content)
    }

    /// Says something to everybody in the network (`broadcastMessage`). Whoever is away catches up
    /// later.
    ///
    /// # Errors
    /// [`CommandError::Empty`], [`CommandError::TooLong`], [`CommandError::Busy`] when every
    /// neighbour's queue is full.
    pub fn broadcast(&mut self, now: Instant, content: Content) -> Result<MessageId, CommandError> {
        self.running()?;
        content.validate()?;
        if self.neighbours_are_full() {
            self.broadcast_blocked = true;
            return Err(CommandError::Busy("send queue"));
        }
        self.say(now, Conversation::Network, content)
    }

    /// One slow neighbour is no reason to wait: comparing heights serves it later.
    fn neighbours_are_full(&self) -> bool {
        let neighbours = self.membership.machine.neighbours();
        let needed = self.config.limits.link_queue_bytes / 4;
        !neighbours.is_empty() && neighbours.iter().all(|n| self.link.machine.free_queue(*n) < needed)
    }

    fn say(&mut self, now: Instant, conversation: Conversation, content: Content) -> Result<MessageId, CommandError> {
        let at = self.advance(now);
        let said =
            self.chat.run(at, &mut self.q, Effect::Chat, |chat, cx, out| chat.say(cx, conversation, content, out));
        self.pump(now);
        said
    }

    /// Asks for the page of a conversation that ends before `before`, or its newest page. Returns the
    /// query's number; [`poll_answer`](Self::poll_answer) gives the messages, oldest first.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if too many reads are under way.
    pub fn history(
        &mut self,
        now: Instant,
        conversation: Conversation,
        before: Option<Position>,
        limit: u32,
    ) -> Result<u64, CommandError> {
        if self.q.requests.len() >= self.config.limits.requests {
            return Err(CommandError::Busy("list of reads"));
        }
        let query = self.next_query;
        self.next_query = query.wrapping_add(1);
        let at = self.advance(now);
        self.chat.run(at, &mut self.q, Effect::Chat, |chat, _, out| {
            chat.history(query, conversation, before, limit, out);
        });
        self.pump(now);
        Ok(query)
    }

    /// Every durable event up to and including `seq` was handled and need not come again.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if no event with this number was told yet.
    pub fn ack(&mut self, now: Instant, seq: u64) -> Result<(), CommandError> {
        let ops = self.q.events.ack(seq).ok_or(CommandError::Unknown("event"))?;
        self.q.ops.extend(ops);
        self.pump(now);
        Ok(())
    }

    fn running(&self) -> Result<(), CommandError> {
        if self.suspended { Err(CommandError::NotRunning) } else { Ok(()) }
    }

    /// The next UDP payload to send. Packets are sealed here, so that everything said since the last
    /// call shares as few of them as possible.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if !self.started() {
            return None;
        }
        let mut cx = Cx { now: self.now, wall: self.wall.at(self.now), me: self.me, rng: &mut self.link.rng };
        let (to, bytes) = self.link.machine.poll_transmit(&mut cx)?;
        self.counters.datagrams_out = self.counters.datagrams_out.saturating_add(1);
        self.counters.bytes_out = self.counters.bytes_out.saturating_add(bytes.len() as u64);
        if self.broadcast_blocked && !self.neighbours_are_full() {
            self.broadcast_blocked = false;
            self.q.events.volatile(EventKind::Writable);
        }
        Some(Transmit { to, bytes })
    }

    /// The beacon to send to everybody on the local network, at most 400 bytes: on each interface to the group
    /// and port that all hosts of the network have agreed on. Given only if
    /// [`DiscoveryConfig::beacons`](crate::config::DiscoveryConfig::beacons) is on.
    pub fn poll_beacon(&mut self) -> Option<Vec<u8>> {
        if self.started() { self.q.beacon.take() } else { None }
    }

    /// The boot number of the first batch must be on disk before a handshake uses it.
    fn started(&self) -> bool {
        self.q.committed > 0
    }

    /// The next thing to tell the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.q.events.poll();
        if event.is_none()
            && let Some(request) = self.q.events.refill(route::EVENT_READ)
        {
            self.q.requests.push_back(request);
        }
        event
    }

    /// The next changes to store, in order.
    pub fn poll_batch(&mut self) -> Option<Batch> {
        self.q.batches.pop_front()
    }

    /// The next read of cold records.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.q.requests.pop_front()
    }

    /// The next answer to a query.
    pub fn poll_answer(&mut self) -> Option<Answer> {
        self.q.answers.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): the last `now` while anything is queued.
    pub fn next_deadline(&self) -> Option<Deadline> {
        let leaving = self.started() && (self.q.beacon.is_some() || self.link.machine.has_transmit());
        if !self.q.work.is_empty() || self.q.has_output() || leaving {
            return Some(Deadline { at: self.now, why: "queued" });
        }
        let all = [
            (self.link.machine.next_deadline(), Link::NAME),
            (self.membership.machine.next_deadline(), Membership::NAME),
            (self.discovery.machine.next_deadline(), Discovery::NAME),
            (self.delivery.machine.next_deadline(), Delivery::NAME),
            (self.gossip.machine.next_deadline(), Gossip::NAME),
            (self.swim.machine.next_deadline(), Swim::NAME),
            (self.chat.machine.next_deadline(), Chat::NAME),
        ]
        .map(|(at, name)| (crate::planted::reported(at, name), name));
        let at = all.iter().fold(None, |least, (at, _)| soonest(least, *at))?;
        let why = all.iter().find(|(due, _)| *due == Some(at)).map_or("", |(_, name)| name);
        Some(Deadline { at, why })
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// This node at a glance.
    pub fn status(&self) -> Status {
        Status {
            id: self.me,
            account: self.identity.account_id(),
            name: self.identity.name().into(),
            node_type: self.config.node_type,
            state: self.membership.machine.state(),
            neighbours: self.membership.machine.neighbours().len(),
            links: self.link.machine.linked().count(),
            known: self.membership.machine.known().count(),
            outbox: self.delivery.machine.total(),
            pending: self.chat.machine.pending(),
            entries: self.footprint(),
            observed: self.membership.machine.observed(),
            stats: self.stats(),
        }
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        let mut drops = Drops::default();
        drops.add(self.link.machine.drops());
        drops.add(self.membership.machine.drops());
        drops.add(self.discovery.machine.drops());
        drops.add(self.delivery.machine.drops());
        drops.add(self.gossip.machine.drops());
        drops.add(self.swim.machine.drops());
        drops.add(self.chat.machine.drops());
        Stats {
            datagrams_in: self.counters.datagrams_in,
            bytes_in: self.counters.bytes_in,
            datagrams_out: self.counters.datagrams_out,
            bytes_out: self.counters.bytes_out,
            handshakes: self.link.machine.handshakes(),
            packets_lost: self.link.machine.packets_lost(),
            retries: self.delivery.machine.retries(),
            messages: self.chat.machine.messages(),
            broadcast: self.gossip.machine.stats().clone(),
            swim: self.swim.machine.stats(),
            drops,
        }
    }

    /// Every node that was met or heard of (`discoverNodes`), by id.
    pub fn peers(&self) -> Vec<Peer> {
        self.membership.machine.known().map(|(id, known)| self.describe(id, known)).collect()
    }

    /// What is known of one node; none if it was never met or heard of.
    pub fn peer(&self, id: NodeId) -> Option<Peer> {
        self.membership.machine.get(id).map(|known| self.describe(id, known))
    }

    fn describe(&self, id: NodeId, known: &Known) -> Peer {
        let link = self.link.machine.info(id);
        Peer {
            id,
            name: known.name.clone(),
            account: known.account,
            node_type: known.node_type(),
            verified: known.is_verified(),
            bot: known.is_bot(),
            addr: link.as_ref().map(|l| l.addr).or_else(|| known.addrs.first().copied()),
            linked: link.is_some(),
            outbound: link.as_ref().is_some_and(|l| l.initiated),
            neighbour: self.membership.machine.neighbours().contains(&id),
            rtt: link.and_then(|l| l.rtt),
            queued: self.delivery.machine.queued(id),
            last_error: known.last_error,
        }
    }

    /// Whether a private message of this node still waits for its acknowledgement.
    pub fn is_queued(&self, message: MessageId) -> bool {
        self.delivery.machine.is_queued(message)
    }

    /// Entries that the machines hold in all: flat, whatever strangers send.
    pub fn footprint(&self) -> usize {
        self.link
            .machine
            .footprint()
            .saturating_add(self.membership.machine.footprint())
            .saturating_add(self.discovery.machine.footprint())
            .saturating_add(self.delivery.machine.footprint())
            .saturating_add(self.gossip.machine.footprint())
            .saturating_add(self.swim.machine.footprint())
            .saturating_add(self.chat.machine.footprint())
    }
}
