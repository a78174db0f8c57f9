//! [`Node`]: the blocking, thread-safe face of an engine that runs on a thread of its own.

mod worker;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use donp_core::{
    Answer, Bootstrap, CommandError, Config, Content, Conversation, Engine, Identity, MessageId, NodeId, Peer,
    Position, Status, Ticket,
};
use mio::{Poll, Waker};

use crate::clock::{Clock, entropy};
use crate::error::NodeError;
use crate::events::{EventPage, Hub, Subscription};
use crate::fault::{Fault, FaultStats, Shaper};
use crate::names::{BootstrapName, BootstrapNameError, Resolver};
use crate::socket::{SocketStats, Sockets};
use crate::store::{Opened, Profile, Protection, Store};
use worker::{Stop, WAKER, Worker};

/// Commands that wait for the node's thread; a caller beyond that waits for room.
const QUEUE: usize = 1_024;
/// A command is answered within this, or the machine is in trouble.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Places to enter the network that are remembered across restarts.
const REMEMBERED: usize = 16;

/// Where a node keeps its records.
pub enum StoreKind {
    /// In an opened profile on disk.
    Profile(Box<Profile>),
    /// In memory; they are gone when the node is.
    Volatile(Box<Identity>),
}

impl From<Identity> for StoreKind {
    fn from(identity: Identity) -> Self {
        Self::Volatile(Box::new(identity))
    }
}

impl From<Profile> for StoreKind {
    fn from(profile: Profile) -> Self {
        Self::Profile(Box::new(profile))
    }
}

/// How to open a [`Node`].
pub struct NodeConfig {
    /// The engine's settings. Its network key is replaced by [`network_key`](Self::network_key), or by the one that
    /// the profile remembers.
    pub config: Config,
    /// The key of a closed network; none for the network this profile lives in, which is the public
    /// one for a new profile. A profile lives in one network: another key later is an error.
    pub network_key: Option<[u8; 32]>,
    /// Where to listen, at most 16; empty for any port of both families.
    pub listen: Vec<SocketAddr>,
    /// Who the node is and what it knows.
    pub store: StoreKind,
    /// Places to enter the network, as `host:port` or `host:port/NodeId`. Names are looked up again
    /// every five minutes, and every 15 s while they cannot be.
    pub bootstraps: Vec<String>,
    /// What to do to outgoing datagrams, to try bad networks.
    pub fault: Option<Fault>,
    /// Seed of the faults, and for a volatile store of the whole engine, for repeatable tests. A
    /// stored node always draws fresh randomness: repeating it would repeat nonces.
    pub seed: Option<u64>,
    /// No sockets and no joining: to read the history and to queue messages while nothing runs.
    pub offline: bool,
}

impl NodeConfig {
    /// Defaults for everything but the store.
    pub fn new(store: impl Into<StoreKind>) -> Self {
        Self {
            config: Config::default(),
            network_key: None,
            listen: Vec::new(),
            store: store.into(),
            bootstraps: Vec::new(),
            fault: None,
            seed: None,
            offline: false,
        }
    }
}

/// A node at a glance.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// What the engine knows.
    pub node: Status,
    /// What its host adds.
    pub host: HostStatus,
}

/// What the host of an engine knows.
#[derive(Clone, Debug)]
pub struct HostStatus {
    /// What the sockets are bound to.
    pub listen: Vec<SocketAddr>,
    /// `sqlite` or `memory`.
    pub store: &'static str,
    /// How the key that seals the store is protected.
    pub protection: Protection,
    /// Transactions since the start.
    pub commits: u64,
    /// Stored records that could not be read since the start.
    pub damaged_records: u64,
    /// Why the last transaction failed, while it does.
    pub store_error: Option<String>,
    /// What happened on the sockets.
    pub sockets: SocketStats,
    /// The faults that are put on and what they did.
    pub fault: Option<(Fault, FaultStats)>,
    /// Bootstrap names that could not be looked up, each with the reason.
    pub unresolved: Vec<(String, String)>,
}

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// A running node. Dropping it shuts it down; see [`shutdown`](Self::shutdown).
pub struct Node {
    id: NodeId,
    name: String,
    local: Vec<SocketAddr>,
    network_key: [u8; 32],
    jobs: SyncSender<Job>,
    waker: Arc<Waker>,
    signalled: Arc<AtomicBool>,
    crashed: Arc<AtomicBool>,
    hub: Arc<Hub>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Node {
    /// Opens the store, binds the sockets, starts the thread and joins the network.
    ///
    /// # Errors
    /// When the configuration cannot work, an address is in use, a bootstrap is not written as one,
    /// the store cannot be read, or the profile lives in another network.
    pub fn open(cfg: NodeConfig) -> Result<Self, NodeError> {
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
        let network_key = config.network_key;
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
        let waker = Waker::new(poll.registry(), WAKER).map_err(NodeError::io("event loop"))?;
        let sockets = if cfg.offline { Sockets::none() } else { Sockets::bind(&cfg.listen, poll.registry())? };
        let local: Vec<_> = sockets.local().collect();

        let (id, name) = (identity.node_id(), identity.name().to_string());
        let records = store.hot()?;
        let knows_peers = records.iter().any(|r| r.table == donp_core::Table::Peers);
        let now = clock.now();
        let engine = if records.is_empty() {
            Engine::new(config, identity, seed, now, clock.wall())?
        } else {
            Engine::restore(config, identity, records, seed, now, clock.wall())?
        };
        if fresh_network && !cfg.offline {
            store.put_secret("host/network", &network_key)?;
        }

        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let waker = Arc::new(waker);
        let signalled = Arc::new(AtomicBool::new(false));
        let crashed = Arc::new(AtomicBool::new(false));
        let hub = Arc::new(Hub::default());
        let resolver = if cfg.offline {
            None
        } else {
            let tell = Submitter { jobs: jobs.clone(), waker: Arc::clone(&waker), signalled: Arc::clone(&signalled) };
            // The thread is only started; it looks nothing up until a name is added.
            let start = Resolver::start(move |found| tell.submit(Box::new(move |w| w.resolved(found))));
            Some(start.map_err(NodeError::io("name thread"))?)
        };
        let mut worker =
            Worker::new(engine, store, sockets, poll, queue, Arc::clone(&signalled), Arc::clone(&hub), shaper, clock);
        if let Some(resolver) = resolver {
            worker.go_online(resolver, bootstraps, knows_peers);
        }
        let thread = {
            let (hub, crashed) = (Arc::clone(&hub), Arc::clone(&crashed));
            std::thread::Builder::new().name("donp-node".into()).spawn(move || {
                let run = std::panic::AssertUnwindSafe(move || worker.run());
                if std::panic::catch_unwind(run).is_err() {
                    crashed.store(true, Ordering::SeqCst);
                }
                hub.close();
            })
        };
        let thread = Mutex::new(Some(thread.map_err(NodeError::io("node thread"))?));
        Ok(Self { id, name, local, network_key, jobs, waker, signalled, crashed, hub, thread })
    }

    /// Says goodbye to every peer, stores and sends what is left, and ends the thread. Again is
    /// nothing.
    ///
    /// # Errors
    /// [`NodeError::Crashed`] if the thread had ended by a bug.
    pub fn shutdown(&self) -> Result<(), NodeError> {
        self.stop(Stop::Goodbye)
    }

    /// Ends the thread without a word to anybody and without storing what is under way, as a crash
    /// would.
    ///
    /// # Errors
    /// [`NodeError::Crashed`] if the thread had ended by a bug.
    pub fn kill(&self) -> Result<(), NodeError> {
        self.stop(Stop::Silent)
    }

    fn stop(&self, how: Stop) -> Result<(), NodeError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = self.submit(Box::new(move |w| w.stop(how)));
            let _ = thread.join();
        }
        if self.crashed.load(Ordering::SeqCst) { Err(NodeError::Crashed) } else { Ok(()) }
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
    /// be stored yet.
    pub fn send_private(&self, to: NodeId, content: Content) -> Result<MessageId, NodeError> {
        self.call_stored(move |w| Ok(w.engine.send_private(w.now, to, content)?))
    }

    /// Sends several messages to one node with one transaction; each is taken or refused by itself.
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
        self.call_stored(move |w| Ok(w.engine.broadcast(w.now, content)?))
    }

    /// A page of a conversation, at most `limit` messages before `before` (the newest if none).
    ///
    /// # Errors
    /// [`NodeError::Timeout`] if the store does not answer within `timeout`.
    pub fn history(
        &self,
        conversation: Conversation,
        before: Option<Position>,
        limit: u32,
        timeout: Duration,
    ) -> Result<Answer, NodeError> {
        let (tell, answer) = sync_channel(1);
        self.submit(Box::new(move |w| match w.engine.history(w.now, conversation, before, limit) {
            Ok(query) => w.answer_to(query, tell),
            Err(e) => drop(tell.send(Err(e.into()))),
        }))?;
        self.wait(&answer, timeout)?
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

    /// Linked nodes first, then those known.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn peers(&self) -> Result<Vec<Peer>, NodeError> {
        self.call(|w| w.engine.peers())
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

    /// The number up to which events were acknowledged in this run: where a reader without a place
    /// of its own begins.
    pub fn cursor(&self) -> u64 {
        self.hub.cursor()
    }

    /// The number of the newest durable event; zero before the first.
    pub fn last_event(&self) -> u64 {
        self.hub.last()
    }

    /// Durable events after `after`, at most `max`: from memory if they are recent, from the store
    /// otherwise. Those acknowledged long ago are not there any more.
    ///
    /// # Errors
    /// When the store cannot be read or the node is not running any more.
    pub fn events(&self, after: u64, max: usize) -> Result<EventPage, NodeError> {
        match self.hub.recent(after, max) {
            Some(page) if !page.events.is_empty() => Ok(page),
            // Further back than memory goes, or so early after a start that nothing was told yet.
            _ => self.call(move |w| w.stored_events(after, max))?,
        }
    }

    /// Waits until there is a durable event after `after`, at most `timeout`; whether there is one.
    pub fn wait_event(&self, after: u64, timeout: Duration) -> bool {
        self.hub.wait(after, timeout)
    }

    /// Listens to volatile events from here on.
    pub fn subscribe(&self) -> Subscription {
        self.hub.subscribe()
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

    /// Before the system freezes the process: stores everything and moves the log into the file.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn suspend(&self) -> Result<(), NodeError> {
        self.call_stored(|w| {
            w.engine.suspend(w.now);
            Ok(())
        })?;
        self.call(|w| w.store.checkpoint())?.map_err(NodeError::Store)
    }

    /// After the system let the process go on.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn resume(&self) -> Result<(), NodeError> {
        self.call(|w| {
            w.engine.resume(w.now);
            w.engine.handle_wall_clock(w.now, w.clock.wall());
            w.refresh_addresses();
        })
    }

    /// The system changed networks: every link is probed at once.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn network_changed(&self) -> Result<(), NodeError> {
        self.call(|w| {
            w.refresh_addresses();
            w.engine.handle_network_change(w.now);
        })
    }

    fn submit(&self, job: Job) -> Result<(), NodeError> {
        self.jobs.send(job).map_err(|_| self.gone())?;
        if !self.signalled.swap(true, Ordering::SeqCst) {
            self.waker.wake().map_err(NodeError::io("event loop"))?;
        }
        Ok(())
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
        self.submit(Box::new(move |w| drop(tell.send(f(w)))))?;
        self.wait(&answer, ANSWER_WITHIN)
    }

    /// Runs `f` on the node's thread and answers when what it changed is on disk.
    fn call_stored<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Worker) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let (tell, answer) = sync_channel(1);
        self.submit(Box::new(move |w| match w.writable().and_then(|()| f(w)) {
            Ok(value) => w.after_commit(Box::new(move |stored| drop(tell.send(stored.map(|()| value))))),
            Err(e) => drop(tell.send(Err(e))),
        }))?;
        self.wait(&answer, ANSWER_WITHIN)?
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.shutdown();
    }
}

/// What the thread of the resolver needs of a node that may not be built yet.
struct Submitter {
    jobs: SyncSender<Job>,
    waker: Arc<Waker>,
    signalled: Arc<AtomicBool>,
}

impl Submitter {
    fn submit(&self, job: Job) {
        if self.jobs.send(job).is_ok() && !self.signalled.swap(true, Ordering::SeqCst) {
            let _ = self.waker.wake();
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

impl Profile {
    /// The key of the network this profile lives in; none if it never ran.
    ///
    /// # Errors
    /// As [`secret`](Self::secret).
    pub fn network_key(&self) -> Result<Option<[u8; 32]>, crate::StoreError> {
        match self.secret("network")? {
            Some(bytes) => bytes.as_slice().try_into().map(Some).map_err(|_| crate::StoreError::Damaged {
                path: PathBuf::from(self.dir()),
                what: "the stored network key has a wrong length".into(),
            }),
            None => Ok(None),
        }
    }
}
