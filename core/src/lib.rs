//! DONP: a chat network without servers, as one state machine per node.
//!
//! An [`Engine`] is fed bytes and time and returns datagrams to send, records to persist and events to report. It
//! reads no clock, opens no socket and touches no disk, so a phone app, a script, a daemon and a
//! simulator with ten thousand nodes drive the same code.
//!
//! # The contract
//!
//! - **Time is data.** Every call takes `now` from a monotonic clock that counts sleep. Call
//!   [`Engine::handle_timeout`] at [`Engine::next_deadline`]; earlier calls change nothing, later ones
//!   only delay.
//! - **Take everything.** After each call, take what [`Engine::poll`] gives until it is
//!   empty. What is left waiting is late, never lost.
//! - **Write first.** Each [`Batch`] is written whole and in order; [`Engine::handle_committed`] then
//!   lets go of what depends on it: datagrams, acknowledgements, events. A crash between the two loses
//!   nothing that was acknowledged or reported. After a restart, [`Engine::restore`] takes the records of
//!   the hot tables.
//! - **Randomness is data.** 32 fresh bytes at every start. The same seed and the same calls give the
//!   same output, byte for byte.
//! - **Hostile bytes are not errors.** [`Engine::handle_datagram`] returns nothing; what is malformed,
//!   forged or repeated is counted in [`Stats`]. A command that cannot work returns a [`CommandError`]
//!   and changes nothing.
//!
//! # A small host
//!
//! ```
//! use donp_core::{
//!     Bootstrap, Config, Content, Durable, Engine, Event, Identity, Instant, MemoryStore, Output, Transmit, WallTime,
//! };
//!
//! struct Host {
//!     engine: Engine,
//!     store: MemoryStore,
//!     received: Vec<String>,
//! }
//!
//! impl Host {
//!     fn new(n: u8) -> Self {
//!         // A real host takes both from the system's randomness, and keeps the identity.
//!         let identity = Identity::generate([n; 64], "example", WallTime(0)).unwrap();
//!         let engine = Engine::new(Config::default(), identity, [n; 32], Instant::ZERO, WallTime(0));
//!         Host { engine: engine.unwrap(), store: MemoryStore::default(), received: Vec::new() }
//!     }
//!
//!     /// After every call: do what the engine wants done, until it wants nothing.
//!     fn drain(&mut self, now: Instant) -> Vec<Transmit> {
//!         let mut transmits = Vec::new();
//!         while let Some(output) = self.engine.poll() {
//!             match output {
//!                 Output::Batch(batch) => {
//!                     let seq = batch.seq;
//!                     self.store.apply(batch);
//!                     self.engine.handle_committed(now, seq);
//!                 }
//!                 Output::Read(request) => {
//!                     let records = self.store.scan(&request.scan);
//!                     self.engine.handle_records(now, request.id, records);
//!                 }
//!                 Output::Event(Event::Durable { seq, event }) => {
//!                     if let Durable::Received(message) = event {
//!                         self.received.push(message.content.shown().to_owned());
//!                     }
//!                     self.engine.ack(now, seq).unwrap();
//!                 }
//!                 Output::Transmit(transmit) => transmits.push(transmit),
//!                 Output::Event(Event::Volatile(_)) | Output::Answer(_) | Output::FilePart(_) | Output::Beacon(_) => {}
//!             }
//!         }
//!         transmits
//!     }
//! }
//!
//! let addrs = ["10.0.0.1:4000".parse().unwrap(), "10.0.0.2:4000".parse().unwrap()];
//! let mut hosts = [Host::new(1), Host::new(2)];
//! let mut now = Instant::ZERO;
//! hosts[0].engine.join(now, &[]).unwrap();
//! hosts[1].engine.join(now, &[Bootstrap { addr: addrs[0], id: None }]).unwrap();
//! hosts[0].engine.broadcast(now, Content::text("hello")).unwrap();
//!
//! while hosts[1].received.is_empty() {
//!     for from in 0..2 {
//!         for datagram in hosts[from].drain(now) {
//!             let to = addrs.iter().position(|a| *a == datagram.to).unwrap();
//!             hosts[to].engine.handle_datagram(now, addrs[from], &datagram.bytes);
//!         }
//!     }
//!     // A socket would sleep until the next datagram or deadline.
//!     let deadlines = hosts.iter().filter_map(|h| h.engine.next_deadline());
//!     now = deadlines.map(|d| d.at).min().unwrap().max(now);
//!     hosts.iter_mut().for_each(|h| h.engine.handle_timeout(now));
//! }
//! assert_eq!(hosts[1].received, ["hello"]);
//! ```
//!
//! # The rooms
//!
//! Each machine has a folder with its inputs, outputs, messages and laws: `link` (encryption, loss recovery; the only
//! one that knows addresses and keys), `membership` (joining, neighbours), `discovery` (nodes nearby), `session`
//! (end-to-end encryption between two devices), `delivery` (private messages until they are stored at the other end),
//! `gossip` (broadcasts), `swim` (failure detection in a zone), `chat` (conversations in causal order), `group` (the
//! members and keys of groups), `file` (files, pulled part by part from any member that has them), `contacts` (people
//! and their keys), `authentication` (the identity at the other end of a link), `device` (the devices of an account),
//! `register` (settings that own devices share). No machine knows another: `engine/route.rs` maps each output to its
//! receivers.
#![no_std]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm,
        reason = "tests count small numbers and look for one variant among many"
    )
)]

extern crate alloc;

mod authentication;
mod chat;
mod collections;
mod config;
mod contacts;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
mod contract;
mod crypto;
mod delivery;
mod device;
mod discovery;
mod engine;
mod error;
mod fact;
mod file;
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
#[doc(hidden)]
#[allow(clippy::missing_panics_doc, reason = "a broken law panics, that is the point")]
pub mod fuzzing;
mod gossip;
mod group;
mod id;
mod identity;
pub mod inspect;
mod limits;
mod link;
mod machine;
mod membership;
#[cfg(donp_planted)]
pub mod planted;
#[cfg(not(donp_planted))]
mod planted;
mod register;
mod rng;
mod session;
mod setting;
mod settings;
mod shared;
mod stats;
mod store;
mod swim;
mod time;
mod wakes;
mod wire;

pub use authentication::AuthenticationResult;
pub use chat::Confirmations;
pub use config::{
    ChatConfig, Config, DeliveryConfig, DiscoveryConfig, FileConfig, GossipConfig, LinkConfig, MembershipConfig,
    NodeType, Power, SwimConfig,
};
pub use contacts::{SafetyNumber, Verification};
pub use device::{DeviceInfo, DeviceTicket};
pub use engine::{
    Answer, Contact, ConversationInfo, Deadline, Durable, Engine, Event, FailReason, FailureType, FilePart, LocalPeer,
    Output, Peer, Status, Transmit, Volatile, ZoneMember,
};
pub use error::{CommandError, ConfigError, FileError, RestoreError};
pub use fact::{DownReason, MemberState};
pub use file::{FileDraft, FileInfo, SealedFile};
pub use group::op::{GroupHistory, GroupKind, GroupPolicy, GroupRole};
pub use group::ticket::GroupTicket;
pub use group::wire::Refusal;
pub use group::{GroupChange, GroupInfo, GroupMember};
pub use id::{AccountId, ConversationId, FileId, GroupId, Life, MessageId, NodeId, OpId};
pub use identity::{Identity, IdentityError};
pub use limits::Limits;
pub use membership::NodeState;
pub use setting::SettingValue;
pub use settings::Setting;
pub use stats::{BroadcastStats, DropReason, Drops, SessionStats, Stats, SwimStats};
pub use store::{Batch, MemoryStore, Op, Record, Request, Scan, Table};
pub use time::{Duration, Instant, WallTime};
pub use wire::content::{
    Attachment, Causality, ClockEntry, Content, Conversation, Message, VectorClock, document_clocks,
};
pub use wire::ticket::{Bootstrap, ParseTicketError, Ticket};
