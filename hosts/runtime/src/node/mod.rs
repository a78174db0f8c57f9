//! [`Node`]: the blocking, thread-safe face of an engine that runs on a thread of its own.

mod alarm;
mod care;
mod chores;
mod config;
mod contacts;
mod devices;
mod faults;
mod files;
mod groups;
mod milestones;
mod network;
mod say;
mod submitter;
mod worker;

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use donp_core::{
    Answer, Bootstrap, CommandError, Content, Conversation, Engine, Message, MessageId, NodeId, Peer, Ticket,
};
use mio::Poll;

use crate::clock::{Clock, entropy};
use crate::error::NodeError;
use crate::events::{EventBus, EventPage, EventStream, READ_BACK};
use crate::fault::{Fault, Shaper};
use crate::folded::Folded;
use crate::lan::{Lan, MulticastSockets};
use crate::names::{BootstrapName, BootstrapNameError, Resolver};
use crate::socket::Sockets;
use crate::store::{Opened, Profile, Sealer, Store, StoreError};
use alarm::Alarm;
pub use config::{HostStatus, NodeConfig, NodeStatus, StoreKind};
use network::Network;
use submitter::Submitter;
use worker::{Stop, Worker};

/// Commands that wait for the node's thread; a caller beyond that waits for room. Each caller waits for its answer,
/// so these are as many threads; the queue's places are made with the node, 24 bytes each.
const QUEUE: usize = 128;
/// A command is answered within this, or the machine is in trouble.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Places to enter the network that are remembered across restarts.
const REMEMBERED: usize = 16;
/// Messages that one call of [`Node::search`] looks at: about 10 ms of reading.
const SEARCHED: usize = 2_000;
const SEARCH_PAGE: u32 = 200;
/// A node that had nothing to do for this long has caught up.
const QUIET: Duration = Duration::from_secs(2);

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// A running node. Dropping it shuts it down; see [`shutdown`](Self::shutdown), and
/// [`begin_shutdown`](Self::begin_shutdown) for callers that cannot wait.
pub struct Node {
    id: NodeId,
    name: String,
    local: Vec<SocketAddr>,
    network_key: [u8; 32],
    /// The folder of its profile, and what opens the records in it; none of a node in memory.
    profile: Option<(PathBuf, Sealer)>,
    jobs: SyncSender<Job>,
    alarm: Arc<Alarm>,
    clock: Clock,
    crashed: Arc<AtomicBool>,
    hub: Arc<EventBus>,
    life: Mutex<Life>,
    thread: OnceLock<ThreadId>,
}

/// Where a node's thread is.
enum Life {
    /// To be started, with the places to enter the network if there are sockets to do it with.
    Ready(Box<Worker>, Option<Entrance>),
    Running(JoinHandle<()>),
    /// Told to end, without a waiter.
    Ending(JoinHandle<()>),
    Ended,
}

struct Entrance {
    places: Vec<BootstrapName>,
    knows_peers: bool,
}

/// What [`Node::search`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Where to go on; none if the whole conversation before was looked at.
    pub older: Option<MessageId>,
}

/// What [`Node::background_fetch`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Durable events that came in the time.
    pub events: u64,
    /// Whether it ended because there was nothing more to do, not because the time was over.
    pub caught_up: bool,
}

impl Node {
    /// [`new`](Self::new) and [`start`](Self::start).
    ///
    /// # Errors
    /// As those two.
    pub fn open(cfg: NodeConfig) -> Result<Self, NodeError> {
        let node = Self::new(cfg)?;
        node.start()?;
        Ok(node)
    }

    /// Opens the store and binds the sockets. Nothing runs before [`start`](Self::start): a stream made
    /// before it misses nothing.
    ///
    /// # Errors
    /// When the configuration cannot work, an address is in use, a bootstrap is not written as one,
    /// the store cannot be read, or the profile lives in another network.
    pub fn new(cfg: NodeConfig) -> Result<Self, NodeError> {
        let clock = Clock::new();
        let mut bootstraps = parse_all(&cfg.bootstraps)?;
        let mut config = cfg.config;
        let (Opened { identity, mut store }, fresh_network) = match cfg.store {
            StoreKind::Profile(profile) => {
                bootstraps.extend(remembered(&profile)?);
                let stored = profile.network_key()?;
                config.network_key = match (stored, cfg.network_key) {
                    (Some(lives_in), Some(wanted)) if lives_in != wanted => {
                        return Err(CommandError::OtherNetwork.into());
                    }
                    (stored, wanted) => wanted.or(stored).unwrap_or([0; 32]),
                };
                (profile.into_opened(), stored.is_none())
            }
            StoreKind::Volatile(identity) => {
                config.network_key = cfg.network_key.unwrap_or([0; 32]);
                (Opened { identity: *identity, store: Store::volatile() }, true)
            }
        };
        let (network_key, power) = (config.network_key, config.power);
        let lan = if cfg.offline { Lan::Off } else { cfg.lan };
        config.discovery.beacons = lan != Lan::Off;
        let seed = match (&store, cfg.seed) {
            (Store::Volatile { .. }, Some(seed)) => blake3_seed(seed),
            _ => entropy().map_err(NodeError::io("randomness"))?,
        };
        let shaper = match cfg.fault.filter(|f| *f != Fault::default()) {
            Some(fault) => {
                let random = entropy().map(u64::from_le_bytes).map_err(NodeError::io("randomness"))?;
                Some(Shaper::new(fault, cfg.seed.unwrap_or(random)))
            }
            None => None,
        };

        let poll = Poll::new().map_err(NodeError::io("event loop"))?;
        let alarm = Alarm::new(poll.registry()).map_err(NodeError::io("event loop"))?;
        let sockets = if cfg.offline { Sockets::none() } else { Sockets::bind(&cfg.listen, poll.registry())? };
        let local: Vec<_> = sockets.local().collect();

        let (id, name, profile) = (identity.node_id(), identity.name().to_string(), store.profile());
        let records = store.hot()?;
        let now = clock.now();
        let mut engine = if records.is_empty() {
            Engine::new(config, identity, seed, now, clock.wall())?
        } else {
            Engine::restore(config, identity, records, seed, now, clock.wall())?
        };
        if store.begins_new_life() {
            engine.begin_life(now);
        }
        let knows_peers = engine.status().known > 0;
        if let Some(path) = store.read_only().filter(|_| !cfg.offline) {
            return Err(StoreError::ReadOnly(path.into()).into());
        }
        if !cfg.offline {
            store.announce_node()?;
        }
        if fresh_network && !cfg.offline {
            store.put_secret("host/network", &network_key)?;
        }

        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let alarm = Arc::new(alarm);
        let crashed = Arc::new(AtomicBool::new(false));
        let hub = Arc::new(EventBus::default());
        let network = Network::new(MulticastSockets::new(lan, power), cfg.announce);
        let worker = Worker::new(
            engine,
            store,
            sockets,
            network,
            poll,
            queue,
            Arc::clone(&alarm),
            Arc::clone(&hub),
            shaper,
            clock,
            power,
        );
        let entrance = (!cfg.offline).then_some(Entrance { places: bootstraps, knows_peers });
        let life = Mutex::new(Life::Ready(Box::new(worker), entrance));
        let thread = OnceLock::new();
        Ok(Self { id, name, local, network_key, profile, jobs, alarm, clock, crashed, hub, life, thread })
    }

    /// Starts the thread and joins the network. Again is nothing.
    ///
    /// # Errors
    /// [`NodeError::Closed`] after a shutdown; when the system gives no thread.
    pub fn start(&self) -> Result<(), NodeError> {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut worker, entrance) = match std::mem::replace(&mut *life, Life::Ended) {
            Life::Ready(worker, entrance) => (worker, entrance),
            Life::Running(thread) => {
                *life = Life::Running(thread);
                return Ok(());
            }
            over @ (Life::Ending(_) | Life::Ended) => {
                *life = over;
                return Err(self.gone());
            }
        };
        if let Some(Entrance { places, knows_peers }) = entrance {
            let tell = Arc::new(self.submitter());
            worker.go_online(
                Box::new(move || {
                    let tell = Arc::clone(&tell);
                    Resolver::start(move |found| tell.submit(Box::new(move |w| w.resolved(found))))
                }),
                places,
                knows_peers,
            );
        }
        let (hub, crashed) = (Arc::clone(&self.hub), Arc::clone(&self.crashed));
        let thread = std::thread::Builder::new().name("donp-node".into()).spawn(move || {
            let run = std::panic::AssertUnwindSafe(move || worker.run());
            if std::panic::catch_unwind(run).is_err() {
                crashed.store(true, Ordering::SeqCst);
            }
            hub.close();
        });
        let thread = thread.inspect_err(|_| self.hub.close()).map_err(NodeError::io("node thread"))?;
        let _ = self.thread.set(thread.thread().id());
        *life = Life::Running(thread);
        Ok(())
    }

    /// Says goodbye to every peer, stores and sends what is left, and ends the thread. Again is
    /// nothing.
    ///
    /// # Errors
    /// [`NodeError::Crashed`] if the thread had ended by a bug.
    pub fn shutdown(&self) -> Result<(), NodeError> {
        self.stop(Stop::Goodbye)
    }

    /// Ends the thread without a goodbye to any peer and without storing what is under way, as a crash
    /// would.
    ///
    /// # Errors
    /// [`NodeError::Crashed`] if the thread had ended by a bug.
    pub fn kill(&self) -> Result<(), NodeError> {
        self.stop(Stop::Silent)
    }

    /// As [`shutdown`](Self::shutdown), without waiting: for a finalizer, which must not block. A shutdown
    /// after it waits; dropping the node does not.
    pub fn begin_shutdown(&self) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *life, Life::Ended) {
            Life::Running(thread) => {
                *life = Life::Ending(thread);
                drop(life);
                let _ = self.submit(Box::new(|w| w.stop(Stop::Goodbye)));
            }
            Life::Ready(..) => {
                drop(life);
                self.hub.close();
            }
            over @ (Life::Ending(_) | Life::Ended) => *life = over,
        }
    }

    fn stop(&self, how: Stop) -> Result<(), NodeError> {
        let life = std::mem::replace(&mut *self.life.lock().unwrap_or_else(PoisonError::into_inner), Life::Ended);
        match life {
            Life::Running(thread) | Life::Ending(thread) => {
                let _ = self.submit(Box::new(move |w| w.stop(how)));
                // On its own thread, from a waker's code, waiting for it would be for ever.
                if !self.is_own_thread() {
                    let _ = thread.join();
                }
            }
            Life::Ready(..) => self.hub.close(),
            // Another thread ends it: wait as long.
            Life::Ended if !self.is_own_thread() => self.wait_closed(),
            Life::Ended => {}
        }
        if self.crashed.load(Ordering::SeqCst) { Err(NodeError::Crashed) } else { Ok(()) }
    }

    /// Panics on the node's thread, as a bug in it would: to try what an application does then.
    ///
    /// # Errors
    /// [`NodeError::Crashed`], always.
    pub fn simulate_crash(&self) -> Result<(), NodeError> {
        self.call(|_| panic!("simulate_crash was called"))
    }

    /// Whether the thread has ended, by [`shutdown`](Self::shutdown), [`kill`](Self::kill) or a bug.
    pub fn is_closed(&self) -> bool {
        self.hub.is_closed()
    }

    /// Blocks until [`is_closed`](Self::is_closed).
    pub fn wait_closed(&self) {
        while !self.hub.is_closed() {
            self.hub.wait(u64::MAX, ANSWER_WITHIN);
        }
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The name this node shows to others.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the sockets are bound to.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.local
    }

    /// Enters the network through any of `places`, each `host:port` or `host:port/NodeId`, and
    /// remembers them for the next start. Names are looked up before this returns.
    ///
    /// # Errors
    /// [`NodeError::Bootstrap`] names the place that is not written as one or cannot be looked up;
    /// then nothing was joined.
    pub fn join(&self, places: &[String]) -> Result<(), NodeError> {
        let names = parse_all(places)?;
        let mut found: Vec<Bootstrap> = Vec::new();
        for name in &names {
            match name.literal() {
                Some(place) => found.push(place),
                None => {
                    found.extend(name.look_up().map_err(|reason| {
                        NodeError::Bootstrap(BootstrapNameError { text: name.to_string(), reason })
                    })?)
                }
            }
        }
        self.call_stored(move |w| w.join(names, &found))
    }

    /// Enters the network through the issuer of `ticket`.
    ///
    /// # Errors
    /// [`CommandError::OtherNetwork`] if the ticket is for another network than this profile lives
    /// in. A profile that never ran takes the ticket's network as its own.
    pub fn join_ticket(&self, ticket: &Ticket) -> Result<(), NodeError> {
        let key = ticket.network_key.unwrap_or([0; 32]);
        let names: Vec<BootstrapName> = ticket.bootstraps().into_iter().map(BootstrapName::from).collect();
        let found = ticket.bootstraps();
        if key != self.network_key {
            return self.call_stored(move |w| w.adopt_network(key, names));
        }
        self.call_stored(move |w| w.join(names, &found))
    }

    /// Sends to one node. When this returns, the message is in the outbox on disk.
    ///
    /// # Errors
    /// [`NodeError::Command`] says what the engine refused; [`NodeError::Store`] that it could not
    /// be stored yet; [`NodeError::NoTarget`] and [`NodeError::NotOwn`] that the content is about a message that
    /// it cannot be about.
    pub fn send_private(&self, to: NodeId, content: Content) -> Result<MessageId, NodeError> {
        self.say(Conversation::Private(to), content, move |w, content| w.engine.send_private(w.now, to, content))
    }

    /// Sends several messages to one node with one transaction; each is taken or refused by itself. Those about other
    /// messages name recent ones or such as [`history`](Self::history) gave.
    ///
    /// # Errors
    /// When they could not be stored.
    pub fn send_private_all(
        &self,
        to: NodeId,
        contents: Vec<Content>,
    ) -> Result<Vec<Result<MessageId, CommandError>>, NodeError> {
        self.call_stored(move |w| Ok(contents.into_iter().map(|c| w.engine.send_private(w.now, to, c)).collect()))
    }

    /// Sends to everybody in the network. When this returns, the message is on disk.
    ///
    /// # Errors
    /// As [`send_private`](Self::send_private).
    pub fn broadcast(&self, content: Content) -> Result<MessageId, NodeError> {
        self.say(Conversation::Network, content, |w, content| w.engine.broadcast(w.now, content))
    }

    /// A page of a conversation, at most `limit` messages before `before` (the newest if none).
    ///
    /// # Errors
    /// [`NodeError::Timeout`] if the store does not answer within `timeout`.
    pub fn history(
        &self,
        conversation: Conversation,
        before: Option<MessageId>,
        limit: u32,
        timeout: Duration,
    ) -> Result<Answer, NodeError> {
        let (tell, answer) = sync_channel(1);
        self.may_ask()?;
        self.submit(Box::new(move |w| match w.history(conversation, before, limit) {
            Ok(query) => w.answer_to(query, tell),
            Err(e) => drop(tell.send(Err(e))),
        }))?;
        self.wait(&answer, timeout)?
    }

    /// The newest messages of a conversation that contain `text` as they are shown, in any case and with accents composed or
    /// not ([`Folded`]), before `before` (all if none): at most `limit`, oldest first. Stored texts are sealed, so each is opened and looked at:
    /// one call looks at 2,000 at most. Pass `older` as `before` to go on; it is none at the beginning of
    /// the history.
    ///
    /// # Errors
    /// [`CommandError::Empty`] without a text; as [`history`](Self::history).
    pub fn search(
        &self,
        conversation: Conversation,
        text: &str,
        before: Option<MessageId>,
        limit: u32,
        timeout: Duration,
    ) -> Result<Found, NodeError> {
        if text.is_empty() {
            return Err(CommandError::Empty("text to look for").into());
        }
        let (wanted, limit) = (Folded::new(text), limit as usize);
        let mut found = Found { messages: Vec::new(), older: before };
        let mut looked_at = 0;
        while looked_at < SEARCHED && found.messages.len() < limit {
            let page = self.history(conversation, found.older, SEARCH_PAGE, timeout)?;
            found.older = page.older;
            looked_at += page.messages.len();
            for message in page.messages.into_iter().rev() {
                if found.messages.len() == limit {
                    break;
                }
                if Folded::new(message.shown()).contains(&wanted) {
                    let id = message.id;
                    found.messages.push(message);
                    if found.messages.len() == limit {
                        found.older = Some(id);
                    }
                }
            }
            if found.older.is_none() {
                break;
            }
        }
        found.messages.reverse();
        Ok(found)
    }

    /// An invitation to this node's network.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn invite(&self) -> Result<Ticket, NodeError> {
        self.call(|w| w.engine.invite())
    }

    /// The node at a glance.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn status(&self) -> Result<NodeStatus, NodeError> {
        self.call(|w| NodeStatus { node: w.engine.status(), host: w.host_status() })
    }

    /// Every node that was met or named by others, by id.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn peers(&self) -> Result<Vec<Peer>, NodeError> {
        self.call(|w| w.engine.peers())
    }

    /// What is known of one node; none if it was never met or named by others.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn peer(&self, id: NodeId) -> Result<Option<Peer>, NodeError> {
        self.call(move |w| w.engine.peer(id))
    }

    /// Whether a private message waits for its acknowledgement.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn is_queued(&self, message: MessageId) -> Result<bool, NodeError> {
        self.call(move |w| w.engine.is_queued(message))
    }

    /// Every durable event up to and including `seq` was handled: it is not kept for replay.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] for a number that was not given out yet.
    pub fn ack(&self, seq: u64) -> Result<(), NodeError> {
        self.call_stored(move |w| {
            w.engine.ack(w.now, seq)?;
            w.hub.acked(seq);
            Ok(())
        })
    }

    /// As [`ack`](Self::ack), without waiting for the disk: it gets there with what the node writes next, within a
    /// tenth of a second. After a crash in between, the events come again.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub fn ack_soon(&self, seq: u64) -> Result<(), NodeError> {
        if seq > self.hub.last() {
            return self.ack(seq);
        }
        match self.may_ask() {
            Ok(()) | Err(NodeError::OwnThread) => {}
            Err(e) => return Err(e),
        }
        self.hub.acked(seq);
        self.alarm.ack(seq, self.clock.now()).map_err(NodeError::io("event loop"))
    }

    /// The number up to which events were acknowledged in this run: where a reader without a place
    /// of its own begins.
    pub fn cursor(&self) -> u64 {
        self.hub.cursor()
    }

    /// The number of the newest durable event that this run reported; zero before the first.
    pub fn last_event(&self) -> u64 {
        self.hub.last()
    }

    /// The number of the newest durable event that there ever was, acknowledged or not; zero before the first. A reader
    /// with a place beyond it follows a profile that was put back.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn newest_event(&self) -> Result<u64, NodeError> {
        self.call(|w| w.engine.newest_event())
    }

    /// Durable events after `after`, at most `max`: from memory if they are recent, from the store
    /// otherwise. Those acknowledged long ago are not there any more.
    ///
    /// # Errors
    /// When the store cannot be read or the node is not running any more.
    pub fn events(&self, after: u64, max: usize) -> Result<EventPage, NodeError> {
        match self.hub.recent(after, max) {
            Some(page) if !page.events.is_empty() => Ok(page),
            // Further back than memory goes, or so early after a start that nothing was reported yet.
            _ => self.call(move |w| w.stored_events(after, max))?,
        }
    }

    /// Waits until there is a durable event after `after`, at most `timeout`; whether there is one.
    pub fn wait_event(&self, after: u64, timeout: Duration) -> bool {
        self.hub.wait(after, timeout)
    }

    /// Listens: to durable events from the oldest one that was not acknowledged, to volatile ones from
    /// here on.
    pub fn subscribe(&self) -> EventStream {
        self.subscribe_after(self.hub.cursor())
    }

    /// Listens to durable events after the number `after`, and to volatile ones from here on.
    pub fn subscribe_after(&self, after: u64) -> EventStream {
        let tell = self.submitter();
        let read = move |stream, after| {
            tell.try_submit(Box::new(move |w| {
                let page = w.stored_events(after, READ_BACK).unwrap_or_default();
                w.hub.read_back(stream, page.events);
            }))
        };
        self.hub.stream(after, Box::new(read))
    }

    /// Leaves the network with a goodbye to every peer; [`join`](Self::join) enters it again.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn leave(&self) -> Result<(), NodeError> {
        self.call_stored(|w| {
            w.leave();
            Ok(())
        })
    }

    /// Before the system freezes the process: stores everything, moves the log into the file and closes
    /// it, since iOS ends an app that is frozen with a locked database (0xdead10cc). Until
    /// [`resume`](Self::resume) nothing is received and commands are refused. Again is nothing.
    ///
    /// # Errors
    /// When the store cannot be written; then the node goes on running.
    pub fn suspend(&self) -> Result<(), NodeError> {
        self.call(Worker::suspend)?
    }

    /// After the system let the process go on: opens the store again and looks for the network. Again is
    /// nothing.
    ///
    /// # Errors
    /// When the store cannot be opened; then the node stays suspended.
    pub fn resume(&self) -> Result<(), NodeError> {
        self.call(Worker::resume)?
    }

    /// For the short time that a system gives a sleeping app: resumes, exchanges what there is with
    /// others for at most `time`, and suspends again if the node was suspended before. Ends early once
    /// it has neighbours, nothing waits, and nothing came for two seconds.
    ///
    /// # Errors
    /// As [`resume`](Self::resume) and [`suspend`](Self::suspend).
    pub fn background_fetch(&self, time: Duration) -> Result<Fetched, NodeError> {
        let until = Instant::now() + time;
        // Before the node hears anything again: what comes with the first datagram counts too.
        let (was_suspended, first) = self.call(|w| (w.is_suspended(), w.hub.last()))?;
        self.resume()?;
        let (mut last, mut quiet_since) = (first, Instant::now());
        let mut caught_up = false;
        while !caught_up && Instant::now() < until {
            let step = QUIET.min(until.saturating_duration_since(Instant::now()));
            if self.hub.wait(last, step) {
                (last, quiet_since) = (self.hub.last(), Instant::now());
            }
            let node = self.call(|w| w.engine.status())?;
            let idle = node.neighbours > 0 && node.outbox == 0 && node.pending == 0;
            caught_up = idle && quiet_since.elapsed() >= QUIET;
        }
        if was_suspended {
            self.suspend()?;
        }
        Ok(Fetched { events: last.saturating_sub(first), caught_up })
    }

    fn is_own_thread(&self) -> bool {
        self.thread.get() == Some(&std::thread::current().id())
    }

    fn submitter(&self) -> Submitter {
        Submitter { jobs: self.jobs.clone(), alarm: Arc::clone(&self.alarm) }
    }

    /// The node's thread, if it may be asked: it runs, and it is not the one that asks.
    fn may_ask(&self) -> Result<(), NodeError> {
        match &*self.life.lock().unwrap_or_else(PoisonError::into_inner) {
            Life::Ready(..) => Err(NodeError::NotStarted),
            Life::Running(_) if self.is_own_thread() => Err(NodeError::OwnThread),
            Life::Running(_) => Ok(()),
            Life::Ending(_) | Life::Ended => Err(self.gone()),
        }
    }

    fn submit(&self, job: Job) -> Result<(), NodeError> {
        self.jobs.send(job).map_err(|_| self.gone())?;
        self.alarm.ring().map_err(NodeError::io("event loop"))
    }

    fn gone(&self) -> NodeError {
        if self.crashed.load(Ordering::SeqCst) { NodeError::Crashed } else { NodeError::Closed }
    }

    fn wait<T>(&self, answer: &Receiver<T>, timeout: Duration) -> Result<T, NodeError> {
        answer.recv_timeout(timeout).map_err(|e| match e {
            RecvTimeoutError::Timeout => NodeError::Timeout(timeout),
            // The thread drops what it did not answer when it ends; a panic is noted just after.
            RecvTimeoutError::Disconnected => {
                self.wait_closed();
                self.gone()
            }
        })
    }

    /// Runs `f` on the node's thread and waits for what it returns.
    fn call<T: Send + 'static>(&self, f: impl FnOnce(&mut Worker) -> T + Send + 'static) -> Result<T, NodeError> {
        let (tell, answer) = sync_channel(1);
        self.may_ask()?;
        self.submit(Box::new(move |w| drop(tell.send(f(w)))))?;
        self.wait(&answer, ANSWER_WITHIN)
    }

    /// Runs `f` on the node's thread and answers when what it changed is on disk.
    fn call_stored<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Worker) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let (tell, answer) = sync_channel(1);
        self.may_ask()?;
        self.submit(Box::new(move |w| match w.writable().and_then(|()| f(w)) {
            Ok(value) => w.after_commit(Box::new(move |stored| drop(tell.send(stored.map(|()| value))))),
            Err(e) => drop(tell.send(Err(e))),
        }))?;
        self.wait(&answer, ANSWER_WITHIN)?
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let life = self.life.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !matches!(life, Life::Ending(_)) {
            let _ = self.shutdown();
        }
    }
}

fn parse_all(places: &[String]) -> Result<Vec<BootstrapName>, NodeError> {
    places.iter().map(|p| p.parse().map_err(NodeError::Bootstrap)).collect()
}

fn remembered(profile: &Profile) -> Result<Vec<BootstrapName>, NodeError> {
    let stored = profile.secret("bootstraps")?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&stored).lines().filter_map(|l| l.parse().ok()).collect())
}

fn blake3_seed(seed: u64) -> [u8; 32] {
    blake3::derive_key("DONP v1 test seed", &seed.to_le_bytes())
}
