//! DONP for Python, Kotlin and Swift.
//!
//! Two objects under the names they have in Rust: a [`Node`] is everything (socket, clock, store,
//! thread), an [`Engine`] is the state machine alone, for a transport of one's own. Events are pulled
//! from an [`EventStream`], whose waiting and taking are two calls, so that a wait that is given up
//! loses nothing. The packages in `bindings/` wrap the generated code and are what people use.
//!
//! Rules of this layer: no call out while a lock is held; every list has a limit; a panic makes the
//! object dead and says so; the only foreign code that is called is a [`KeyStore`].

#[cfg(donp_toy_keys)]
compile_error!("donp-ffi refuses --cfg donp_toy_keys: keys of such a build protect nothing; it is for donp-sim alone");
#[cfg(donp_planted)]
compile_error!("donp-ffi refuses --cfg donp_planted: such a build contains known bugs; it is for donp-sim alone");

mod care;
mod contacts;
mod content;
mod devices;
mod engine;
mod error;
mod event;
mod faults;
mod files;
mod groups;
mod guard;
mod id;
mod keystore;
mod lan;
mod node;
mod stream;

pub use care::{Checked, restore_profile};
pub use contacts::{AuthenticationResult, Confirmations, Contact, ConversationInfo, SafetyNumber, Verification};
pub use content::{ClockEntry, Content, Conversation, HistoryPage, Message};
pub use devices::DeviceInfo;
pub use engine::{
    Answer, Batch, Engine, EngineConfig, EngineStatus, FilePart, Op, Output, Received, Record, Request, Transmit,
};
pub use error::DonpError;
pub use event::{DownReason, Event, FailReason, NodeState};
pub use faults::{FailureType, MemberState, ZoneMember};
pub use files::{Attachment, FileInfo};
pub use groups::{
    GroupChange, GroupHistory, GroupInfo, GroupKind, GroupMember, GroupPolicy, GroupRole, JoiningGroup, Refusal,
};
pub use id::{
    AccountId, FileId, GroupId, MessageId, NodeId, TicketInfo, generate_identity, identity_node_id, message_id_depth,
    parse_account_id, parse_file_id, parse_group_id, parse_message_id, parse_node_id, parse_ticket, version,
};
pub use keystore::{KeyStore, KeyStoreError};
pub use lan::Lan;
pub use node::{FetchResult, Node, NodeConfig, NodeStatus, NodeType, Peer, Power};
pub use stream::EventStream;

uniffi::setup_scaffolding!();
