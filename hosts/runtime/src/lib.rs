//! A DONP node on a real machine: [`Node`] is a sans-IO [`Engine`](donp_core::Engine) with UDP
//! sockets, a clock that counts sleep, a store and one thread.
//!
//! ```no_run
//! use donp_runtime::{Node, NodeConfig, Profile, Secrets};
//! use donp_core::Content;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let profile = Profile::open("state/alice".as_ref(), &Secrets::default())?;
//! let node = Node::open(NodeConfig::new(profile))?;
//! let id = node.broadcast(Content::text("hello"))?;
//! println!("{id} is on disk and on its way");
//! node.shutdown()?;
//! # Ok(())
//! # }
//! ```
//!
//! What the thread does on each wake-up, in this order: queued commands, a bounded number of
//! datagrams from each socket, the engine's deadline; then it *settles*: everything the engine wants
//! kept goes to the store in one transaction, the engine is notified, and only then are answers given,
//! events published and datagrams sent. One transaction for many steps is what makes
//! `synchronous=FULL` affordable, and handling many commands before datagrams are taken is what puts
//! many small messages in one datagram.

#[cfg(donp_toy_keys)]
compile_error!(
    "donp-runtime refuses --cfg donp_toy_keys: keys of such a build protect nothing; it is for donp-sim alone"
);
#[cfg(donp_planted)]
compile_error!("donp-runtime refuses --cfg donp_planted: such a build contains known bugs; it is for donp-sim alone");

pub mod api;
pub mod clock;
mod error;
mod events;
mod fault;
mod folded;
mod lan;
mod names;
mod node;
pub mod os;
mod socket;
mod stderr;
mod store;

pub use error::{ErrorKind, NodeError};
pub use events::{EventPage, EventStream, Ready};
pub use fault::{Fault, FaultStats, ParseFaultError};
pub use folded::Folded;
pub use lan::{LAN_GROUP_COMPAT, LAN_GROUP_V4, LAN_GROUP_V6, LAN_PORT, Lan};
pub use log::LevelFilter;
pub use names::{BootstrapName, BootstrapNameError};
pub use node::{Fetched, Found, HostStatus, Node, NodeConfig, NodeStatus, StoreKind};
pub use socket::SocketStats;
pub use stderr::log_to_stderr;
pub use store::{
    Access, BACKUP_ENDING, Checked, Cost, HasKey, KeyStore, LockedBy, Profile, Protection, Salvaged, Secrets,
    StoreError, backup, check, export_profile, import_profile, protect_profile, repair, restore, salvage,
};
