//! A node with everything it needs: socket, clock, store and thread.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use donp_core as core;
use donp_runtime::api;
use donp_runtime::{Cost, Profile, Secrets, StoreKind};
use zeroize::Zeroizing;

use crate::content::HistoryPage;
use crate::event::NodeState;
use crate::guard::Guard;
use crate::id::{exactly, new_identity, read_identity, ticket};
use crate::keystore::Platform;
use crate::{AccountId, Content, Conversation, DonpError, EventStream, KeyStore, Lan, MessageId, NodeId};

/// The store answers within this, or the disk is in trouble.
const STORE_WAIT: Duration = Duration::from_secs(60);
/// The longest background fetch: what a phone system ever gives is below a minute.
const MAX_FETCH: u64 = 600;
/// The most messages of one page.
pub(crate) const MAX_PAGE: u32 = 1_000;

/// What a node does for others. A claim; nothing is trusted because of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, uniffi::Enum)]
pub enum NodeType {
    /// Introduces newcomers.
    Bootstrap,
    /// Takes part.
    #[default]
    Regular,
    /// Has capacity to spare.
    Super,
    /// Forwards for others.
    Relay,
}

impl From<core::NodeType> for NodeType {
    fn from(node_type: core::NodeType) -> Self {
        match node_type {
            core::NodeType::Bootstrap => Self::Bootstrap,
            core::NodeType::Regular => Self::Regular,
            core::NodeType::Super => Self::Super,
            core::NodeType::Relay => Self::Relay,
        }
    }
}

impl From<NodeType> for core::NodeType {
    fn from(node_type: NodeType) -> Self {
        match node_type {
            NodeType::Bootstrap => Self::Bootstrap,
            NodeType::Regular => Self::Regular,
            NodeType::Super => Self::Super,
            NodeType::Relay => Self::Relay,
        }
    }
}

/// How much a node may spend while nothing happens. Others learn it from its signed record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, uniffi::Enum)]
pub enum Power {
    /// It does everything at its time.
    #[default]
    Normal,
    /// A phone's: it wakes two or three times a minute and then does what could wait. Messages reach it at once.
    Low,
}

impl From<Power> for core::Power {
    fn from(power: Power) -> Self {
        match power {
            Power::Normal => Self::Normal,
            Power::Low => Self::Low,
        }
    }
}

/// How to open a node.
#[derive(Clone, Debug, Default, uniffi::Record)]
pub struct NodeConfig {
    /// The folder of the profile: identity, messages, keys, sealed. None: everything in memory, gone
    /// with the node.
    #[uniffi(default = None)]
    pub state_dir: Option<String>,
    /// The name that others are shown, 1 to 64 bytes. With it a missing profile is made; of an existing
    /// one it changes nothing.
    #[uniffi(default = None)]
    pub name: Option<String>,
    /// Bytes of `generate_identity`, for a new profile or a node in memory; none makes a new one.
    #[uniffi(default = None)]
    pub identity: Option<Vec<u8>>,
    /// Protects a new profile, and opens one that was made with it. Without it and without a key store a
    /// key file lies beside the profile.
    #[uniffi(default = None)]
    pub passphrase: Option<String>,
    /// Where to listen, `ip:port`, at most 16; empty for any port of both families.
    #[uniffi(default = [])]
    pub listen: Vec<String>,
    /// Places to enter the network: `host:port` or `host:port/NodeId`.
    #[uniffi(default = [])]
    pub bootstraps: Vec<String>,
    /// The 32-byte key of a closed network; none for the network the profile lives in.
    #[uniffi(default = None)]
    pub network_key: Option<Vec<u8>>,
    /// What the node says it does.
    #[uniffi(default = None)]
    pub node_type: Option<NodeType>,
    /// Whether a program speaks here, not a person. Bots do not answer bots.
    #[uniffi(default = false)]
    pub bot: bool,
    /// What the node may spend while nothing happens; none is `Normal`.
    #[uniffi(default = None)]
    pub power: Option<Power>,
    /// Whether to look for nodes on the local network by multicast, and to be found; none is `Off`.
    #[uniffi(default = None)]
    pub lan: Option<Lan>,
    /// What to do to outgoing datagrams, to try bad networks: `drop=20%,dup=5%,reorder=10%`.
    #[uniffi(default = None)]
    pub fault: Option<String>,
    /// No sockets and no joining: to read the history and to queue messages.
    #[uniffi(default = false)]
    pub offline: bool,
}

/// A node at a glance.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct NodeStatus {
    /// This node.
    pub id: NodeId,
    /// Its account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// What it says it does.
    pub node_type: NodeType,
    /// Where it is in its life.
    pub state: NodeState,
    /// Neighbours in the mesh.
    pub neighbours: u32,
    /// Open links, neighbours included.
    pub links: u32,
    /// Nodes in the address book.
    pub known: u32,
    /// Private messages waiting for an acknowledgement.
    pub outbox: u32,
    /// Messages held because one they depend on is missing.
    pub pending: u32,
    /// What the sockets are bound to, `ip:port`.
    pub listen: Vec<String>,
    /// Addresses that other nodes saw this one at, `ip:port`.
    pub observed: Vec<String>,
    /// Where beacons are sent and received, groups and interfaces in words for people; empty if `lan` is off or
    /// there is no multicast.
    pub lan: Vec<String>,
    /// Why nodes on the local network may not be found; none if they are, or discovery is off.
    pub lan_error: Option<String>,
    /// Names of places to enter the network that could not be looked up, each with the reason.
    pub unresolved: HashMap<String, String>,
    /// `sqlite` or `memory`.
    pub store: String,
    /// How the key that seals the store is protected: `passphrase`, `key-file`, `key-store` or `memory`.
    pub protection: String,
    /// Why the last transaction failed, while it does.
    pub store_error: Option<String>,
    /// Records that were lost to damage and that no repair took as known.
    pub damaged_records: u64,
    /// Records that were lost to damage in all. While it is above 0, messages whose depths do not follow each other may
    /// have a gap between them.
    pub lost_records: u64,
    /// Records that the check in the background has read since its last round began.
    pub checked_records: u64,
    /// When that check last read all of them, in milliseconds since 1970.
    pub checked_at_ms: Option<u64>,
    /// The number up to which events were acknowledged in this run.
    pub acked: u64,
    /// The number of the newest durable event that this run reported; 0 before the first.
    pub last_event: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Messages stored.
    pub messages: u64,
    /// Datagrams and messages thrown away, by reason; only reasons that occurred.
    pub drops: HashMap<String, u64>,
}

/// What is known of another node.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Peer {
    /// Who.
    pub id: NodeId,
    /// The name it claims.
    pub name: Option<String>,
    /// The account behind it, if a certificate proved it.
    pub account: Option<AccountId>,
    /// What it says it does.
    pub node_type: NodeType,
    /// Whether this node reached it at its address by itself, and has not failed to since.
    pub verified: bool,
    /// What it counts as here: `node_type`, but Super and Relay only if it is `verified`.
    pub role: NodeType,
    /// Whether it says that a program speaks there.
    pub bot: bool,
    /// Its address, `ip:port`: of the link, or the best known.
    pub address: Option<String>,
    /// Whether a link is open.
    pub linked: bool,
    /// Whether it is a neighbour in the mesh.
    pub neighbour: bool,
    /// Smoothed round trip time of the link in milliseconds.
    pub rtt_ms: Option<f64>,
    /// When a link to it was last opened, in milliseconds since 1970; none if never. What is silent for half a year is
    /// forgotten.
    pub last_linked_at_ms: Option<u64>,
    /// How many post-quantum secrets the keys of the link mix in, one after another; 0 before the first.
    pub link_generation: u8,
    /// Private messages waiting for its acknowledgement.
    pub queued: u32,
    /// What the last failed attempt to reach it ended with.
    pub last_error: Option<String>,
}

impl From<api::Peer> for Peer {
    fn from(p: api::Peer) -> Self {
        Self {
            id: p.id,
            name: p.name,
            account: p.account,
            node_type: p.node_type.into(),
            verified: p.verified,
            role: p.role.into(),
            bot: p.bot,
            address: p.address,
            linked: p.linked,
            neighbour: p.neighbour,
            rtt_ms: p.rtt_ms,
            last_linked_at_ms: p.last_linked_at_ms,
            link_generation: p.link_generation,
            queued: p.queued,
            last_error: p.last_error,
        }
    }
}

impl From<core::Peer> for Peer {
    fn from(p: core::Peer) -> Self {
        api::Peer::from(p).into()
    }
}

impl From<api::Status> for NodeStatus {
    fn from(s: api::Status) -> Self {
        Self {
            id: s.id,
            account: s.account,
            name: s.name,
            node_type: s.node_type.into(),
            state: s.state.into(),
            neighbours: s.neighbours,
            links: s.links,
            known: s.known,
            outbox: s.outbox,
            pending: s.pending,
            listen: s.listen,
            observed: s.observed,
            lan: s.lan,
            lan_error: s.lan_error,
            unresolved: s.unresolved.into_iter().map(|u| (u.bootstrap, u.reason)).collect(),
            store: s.store,
            protection: s.protection,
            store_error: s.store_error,
            damaged_records: s.damaged_records,
            lost_records: s.lost_records,
            checked_records: s.checked_records,
            checked_at_ms: s.checked_at_ms,
            acked: s.acked,
            last_event: s.last_event,
            datagrams_in: s.counters.datagrams_in,
            datagrams_out: s.counters.datagrams_out,
            messages: s.counters.messages,
            drops: s.drops.into_iter().filter(|(_, n)| *n > 0).collect(),
        }
    }
}

/// What `background_fetch` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct FetchResult {
    /// Durable events that came in the time.
    pub events: u64,
    /// Whether it ended because there was nothing more to do, not because the time was over.
    pub caught_up: bool,
}

pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A node: give it a folder, and it keeps itself in the network.
///
/// Calls that store something return when it is on disk, some milliseconds. They may come from any
/// thread. A node that is dropped says goodbye and ends by itself, without waiting; `shutdown` waits.
#[derive(uniffi::Object)]
pub struct Node {
    node: donp_runtime::Node,
    guard: Guard,
}

impl Drop for Node {
    /// A finalizer's thread must not block.
    fn drop(&mut self) {
        self.node.begin_shutdown();
    }
}

impl Node {
    pub(crate) fn run<T>(
        &self,
        f: impl FnOnce(&donp_runtime::Node) -> Result<T, donp_runtime::NodeError>,
    ) -> Result<T, DonpError> {
        self.guard.run(|| Ok(f(&self.node)?))
    }
}

#[uniffi::export]
impl Node {
    /// Opens the profile, or makes it, and binds the sockets. Nothing runs before `start`. A profile is
    /// protected by the passphrase, or else by the key store, or else by a key file in its folder.
    #[uniffi::constructor(default(key_store = None))]
    pub fn new(config: NodeConfig, key_store: Option<Arc<dyn KeyStore>>) -> Result<Arc<Self>, DonpError> {
        Guard::default().run(|| {
            // Errors and warnings, unless the program has a logger of its own for Rust.
            donp_runtime::log_to_stderr(donp_runtime::LevelFilter::Warn);
            let node = donp_runtime::Node::new(read(config, key_store)?)?;
            Ok(Arc::new(Self { node, guard: Guard::default() }))
        })
    }

    /// A stream of events. One made before `start` misses nothing.
    pub fn subscribe(&self) -> Arc<EventStream> {
        EventStream::new(self.node.subscribe())
    }

    /// Starts the node's thread and joins the network. Again is nothing.
    pub fn start(&self) -> Result<(), DonpError> {
        self.run(donp_runtime::Node::start)
    }

    /// Says goodbye, stores and sends what is left, and waits until the thread has ended. Streams end.
    /// Again is nothing. The error is that the node had died of a bug.
    pub fn shutdown(&self) -> Result<(), DonpError> {
        self.run(donp_runtime::Node::shutdown)
    }

    /// As `shutdown`, without waiting: for a finalizer, which must not block. `shutdown` after it waits.
    pub fn begin_shutdown(&self) {
        self.node.begin_shutdown();
    }

    /// Ends the thread at once, as a crash of the process would: no peer gets a goodbye, and what was not stored
    /// yet is gone. To try what happens then.
    pub fn kill(&self) -> Result<(), DonpError> {
        self.run(donp_runtime::Node::kill)
    }

    /// Panics inside the node, as a bug would: to try what an application does then. Always an error of
    /// the kind Internal.
    pub fn simulate_crash(&self) -> Result<(), DonpError> {
        self.run(donp_runtime::Node::simulate_crash)
    }

    /// Whether the thread has ended.
    pub fn is_closed(&self) -> bool {
        self.node.is_closed()
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.node.id()
    }

    /// The name it shows to others.
    pub fn name(&self) -> String {
        self.node.name().into()
    }

    /// What the sockets are bound to, `ip:port`.
    pub fn local_addresses(&self) -> Vec<String> {
        self.node.local_addresses().iter().map(ToString::to_string).collect()
    }

    /// Enters the network through any of `places`, `host:port` or `host:port/NodeId`, and remembers
    /// them. With none, through any node that is known.
    #[uniffi::method(default(places = []))]
    pub fn join(&self, places: Vec<String>) -> Result<(), DonpError> {
        self.run(|n| n.join(&places))
    }

    /// Enters the network that an invitation names.
    pub fn join_ticket(&self, invitation: &str) -> Result<(), DonpError> {
        let ticket = ticket(invitation)?;
        self.run(|n| n.join_ticket(&ticket))
    }

    /// Says goodbye to everybody. What is queued waits for the next `join`.
    pub fn leave(&self) -> Result<(), DonpError> {
        self.run(donp_runtime::Node::leave)
    }

    /// An invitation to this node's network. For a closed one it holds the key and is as secret.
    pub fn invite(&self) -> Result<String, DonpError> {
        self.run(|n| n.invite().map(|t| t.text()))
    }

    /// Says something to one node. Returns when it is stored; a node that is away gets it later, and
    /// `Delivered` tells when it has it.
    pub fn send_private(&self, to: NodeId, content: Content) -> Result<MessageId, DonpError> {
        let content = content.try_into()?;
        self.run(|n| n.send_private(to, content))
    }

    /// Says something to all nodes of the network. Absent nodes catch up later.
    pub fn broadcast(&self, content: Content) -> Result<MessageId, DonpError> {
        let content = content.try_into()?;
        self.run(|n| n.broadcast(content))
    }

    /// The page of a conversation that ends before `before`, or its newest: at most `limit` messages
    /// (1,000 at most), oldest first.
    #[uniffi::method(default(before = None, limit = 100))]
    pub fn history(
        &self,
        conversation: Conversation,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<HistoryPage, DonpError> {
        self.run(|n| {
            let page = n.history(conversation.into(), before, limit.min(MAX_PAGE), STORE_WAIT)?;
            Ok(HistoryPage::new(page.messages, page.older))
        })
    }

    /// The newest messages that contain `text` in any case, before `before`: at most `limit`. One call
    /// looks at 2,000 messages; pass `older` as `before` to go on, until it is none.
    #[uniffi::method(default(before = None, limit = 100))]
    pub fn search(
        &self,
        conversation: Conversation,
        text: &str,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<HistoryPage, DonpError> {
        self.run(|n| {
            let found = n.search(conversation.into(), text, before, limit.min(MAX_PAGE), STORE_WAIT)?;
            Ok(HistoryPage::new(found.messages, found.older))
        })
    }

    /// Nodes that were met or named by others, at most `max`, by id.
    #[uniffi::method(default(max = 1000))]
    pub fn peers(&self, max: u32) -> Result<Vec<Peer>, DonpError> {
        self.run(|n| Ok(n.peers()?.into_iter().take(max as usize).map(Into::into).collect()))
    }

    /// What is known of one node; none if it was never met or named by others.
    pub fn peer(&self, id: NodeId) -> Result<Option<Peer>, DonpError> {
        self.run(|n| Ok(n.peer(id)?.map(Into::into)))
    }

    /// The node at a glance.
    pub fn status(&self) -> Result<NodeStatus, DonpError> {
        self.run(|n| Ok(api::Status::of(n, true)?.into()))
    }

    /// Whether a private message waits for its acknowledgement.
    pub fn is_queued(&self, id: MessageId) -> Result<bool, DonpError> {
        self.run(|n| n.is_queued(id))
    }

    /// Every durable event up to and including `seq` was handled: it does not come again.
    pub fn ack(&self, seq: u64) -> Result<(), DonpError> {
        self.run(|n| n.ack(seq))
    }

    /// Before the system freezes the app: stores everything and closes the file. Until `resume` nothing
    /// is received and calls that need the store are refused. Again is nothing.
    pub fn suspend(&self) -> Result<(), DonpError> {
        self.run(donp_runtime::Node::suspend)
    }

    /// After the system let the app go on. Again is nothing.
    pub fn resume(&self) -> Result<(), DonpError> {
        self.run(donp_runtime::Node::resume)
    }

    /// For the short time that a system gives a sleeping app: resumes, exchanges what there is for at
    /// most `seconds` (600 at most), and suspends again if the node was suspended.
    pub fn background_fetch(&self, seconds: u64) -> Result<FetchResult, DonpError> {
        self.run(|n| {
            let fetched = n.background_fetch(Duration::from_secs(seconds.min(MAX_FETCH)))?;
            Ok(FetchResult { events: fetched.events, caught_up: fetched.caught_up })
        })
    }

    /// The system changed networks: every link is probed at once.
    pub fn network_changed(&self) -> Result<(), DonpError> {
        self.run(donp_runtime::Node::network_changed)
    }
}

pub(crate) fn drops(stats: &core::Stats) -> HashMap<String, u64> {
    let all = core::DropReason::ALL.iter().map(|r| (r.name().to_string(), stats.drops.get(*r)));
    all.filter(|(_, n)| *n > 0).collect()
}

fn read(config: NodeConfig, key_store: Option<Arc<dyn KeyStore>>) -> Result<donp_runtime::NodeConfig, DonpError> {
    let listen = config.listen.iter().map(|a| {
        a.parse()
            .map_err(|_| DonpError::invalid(format!("cannot listen on '{a}'"), "write it ip:port, as 0.0.0.0:4000"))
    });
    let listen = listen.collect::<Result<_, _>>()?;
    let network_key = config.network_key.as_deref().map(|k| exactly("the network key", k)).transpose()?;
    let fault = config.fault.as_deref().map(|f| {
        f.parse().map_err(|e| DonpError::invalid(format!("fault: {e}"), "write it drop=20%,dup=5%,reorder=10%"))
    });
    let fault = fault.transpose()?;
    let identity = config.identity.map(Zeroizing::new);
    let store: StoreKind = match &config.state_dir {
        Some(dir) => {
            let secrets = Secrets {
                passphrase: config.passphrase.map(Zeroizing::new),
                key_file: None,
                key_store: key_store.map(|k| Arc::new(Platform(k)) as Arc<dyn donp_runtime::KeyStore>),
            };
            profile(Path::new(dir), config.name.as_deref(), identity.as_deref(), &secrets)?.into()
        }
        None => match identity {
            Some(bytes) => read_identity(&bytes)?.into(),
            None => new_identity(config.name.as_deref().unwrap_or("anonymous"))?.into(),
        },
    };
    let core = core::Config {
        node_type: config.node_type.unwrap_or_default().into(),
        bot: config.bot,
        power: config.power.unwrap_or_default().into(),
        ..core::Config::default()
    };
    Ok(donp_runtime::NodeConfig {
        config: core,
        network_key,
        listen,
        bootstraps: config.bootstraps,
        lan: config.lan.unwrap_or_default().into(),
        fault,
        offline: config.offline,
        ..donp_runtime::NodeConfig::new(store)
    })
}

fn profile(
    dir: &Path,
    name: Option<&str>,
    identity: Option<&Vec<u8>>,
    secrets: &Secrets,
) -> Result<Profile, DonpError> {
    if Profile::exists(dir) {
        let profile = Profile::open(dir, secrets)?;
        if let Some(bytes) = identity
            && read_identity(bytes)?.node_id() != profile.identity().node_id()
        {
            return Err(DonpError::Denied {
                reason: format!("the profile in {} belongs to another identity", dir.display()),
                hint: "use another folder, or leave the identity out".into(),
                retryable: false,
            });
        }
        return Ok(profile);
    }
    let identity = match (identity, name) {
        (Some(bytes), _) => read_identity(bytes)?,
        (None, Some(name)) => new_identity(name)?,
        (None, None) => return Err(donp_runtime::StoreError::Missing(dir.into()).into()),
    };
    Ok(Profile::create(dir, &identity, secrets, Cost::default())?)
}
