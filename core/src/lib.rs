//! The DONP protocol as one state machine per node.
#![no_std]

extern crate alloc;

mod collections;
pub mod config;
mod engine;
pub mod error;
pub mod id;
pub mod identity;
pub mod limits;
mod link;
mod machine;
mod membership;
mod rng;
pub mod stats;
pub mod store;
pub mod time;
pub mod wire;

pub use config::{Config, NodeType};
pub use engine::event::{DownReason, Event, EventKind, FailReason};
pub use engine::{Answer, Deadline, Engine, Peer, Status, Transmit};
pub use error::{CommandError, ConfigError, RestoreError};
pub use id::{AccountId, ConversationId, MessageId, NodeId};
pub use identity::{Identity, IdentityError};
pub use limits::Limits;
pub use membership::NodeState;
pub use stats::{DropReason, Drops, Stats};
pub use store::{Batch, MemoryStore, Op, Record, Request, Table};
pub use time::{Duration, Instant, WallTime};
pub use wire::content::{Causality, Content, Conversation, Message, Position, VectorClock};
pub use wire::ticket::{Bootstrap, Ticket};

#[cfg(any(fuzzing, feature = "fuzzing"))]
pub use link::fuzz;
