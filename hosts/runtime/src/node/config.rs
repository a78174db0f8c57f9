//! How a node is opened, and what it says of itself.

use std::net::SocketAddr;

use donp_core::{Config, Identity, Status};

use crate::fault::{Fault, FaultStats};
use crate::lan::Lan;
use crate::socket::SocketStats;
use crate::store::{Profile, Protection};

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

/// How to open a [`Node`](super::Node).
pub struct NodeConfig {
    /// The engine's settings. Its network key is replaced by [`network_key`](Self::network_key), or by the one that
    /// the profile remembers, and whether it sends beacons by [`lan`](Self::lan).
    pub config: Config,
    /// The key of a closed network; none for the network this profile lives in, which is the public
    /// one for a new profile. A profile lives in one network: another key later is an error.
    pub network_key: Option<[u8; 32]>,
    /// Where to listen, at most 16; empty for any port of both families.
    pub listen: Vec<SocketAddr>,
    /// Addresses at which others reach this node, if it cannot know them: container, forwarded port. They come first
    /// in tickets and announcements.
    pub announce: Vec<SocketAddr>,
    /// The node's identity and what it knows.
    pub store: StoreKind,
    /// Places to enter the network, as `host:port` or `host:port/NodeId`. Names are looked up again
    /// every five minutes, and every 15 s while they cannot be.
    pub bootstraps: Vec<String>,
    /// Whether to look for nodes on the local network by multicast. Off.
    pub lan: Lan,
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
            announce: Vec::new(),
            store: store.into(),
            bootstraps: Vec::new(),
            lan: Lan::Off,
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
    /// Records that this profile lost in all, also those that a repair took as known.
    pub lost_records: u64,
    /// Records that the check in the background opened in its present round, or in the last one.
    pub checked_records: u64,
    /// When its last round ended, in milliseconds since 1970.
    pub checked_at_ms: Option<u64>,
    /// Why the last transaction failed, while it does.
    pub store_error: Option<String>,
    /// What happened on the sockets.
    pub sockets: SocketStats,
    /// The faults that are put on and what they did.
    pub fault: Option<(Fault, FaultStats)>,
    /// Where beacons are sent and received: groups and interfaces, for people.
    pub lan: Vec<String>,
    /// Why nodes on the local network may not be found, if so.
    pub lan_error: Option<String>,
    /// Bootstrap names that could not be looked up, each with the reason.
    pub unresolved: Vec<(String, String)>,
}
