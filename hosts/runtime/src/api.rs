//! What a program outside is shown of a node: events, messages, peers and the node itself, as plain values with one
//! name for each field. The control socket, `--json` and the packages for other languages are made from these
//! types; docs/control.md describes their JSON.
//!
//! Times are in milliseconds, ids print as text. In JSON each object has a `type`; [`Versioned`] puts the version in
//! front of it.

mod contacts;
mod devices;
mod file;
mod group;
mod message;
mod peer;

use std::collections::BTreeMap;

use donp_core as core;
use donp_core::{
    AccountId, AuthenticationResult, DownReason, DropReason, Durable, FailReason, FileId, GroupId, GroupRole,
    MemberState, MessageId, NodeId, NodeState, NodeType, Refusal, Volatile,
};
use serde::{Deserialize, Serialize};

pub use contacts::{ConfirmationCounts, Confirmations, Contact, ConversationInfo};
pub use devices::DeviceInfo;
pub use file::{Attachment, FileInfo};
pub use group::{GroupChange, GroupInfo, GroupMember, GroupPolicy, JoiningGroup};
pub use message::{ClockEntry, Content, Context, Conversation, Message, MessageState};
pub use peer::Peer;

use crate::node::{Node, NodeStatus};
use crate::{Fault, FaultStats, NodeError};

/// The version in every JSON object. Fields and types are added within it, never changed.
pub const VERSION: u8 = 1;

/// A value with the version in front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Versioned<T> {
    /// [`VERSION`].
    pub v: u8,
    /// The value: its fields follow in the same object.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Versioned<T> {
    /// `body` in this version.
    pub const fn new(body: T) -> Self {
        Self { v: VERSION, body }
    }
}

/// A value as its text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Some value as its text, or null.
mod text_or_null {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &Option<T>, s: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(T::to_string).serialize(s)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        text.map(|t| t.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// Values as their texts.
mod texts {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(values: &[T], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(values.iter().map(T::to_string))
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(d: D) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        texts.iter().map(|t| t.parse().map_err(serde::de::Error::custom)).collect()
    }
}

/// Enumerations of the core as the names that it gives them.
macro_rules! by_name {
    ($($module:ident: $type:ty;)+) => {$(
        mod $module {
            use serde::{Deserialize as _, Deserializer, Serializer};

            pub(super) fn serialize<S: Serializer>(value: &$type, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(value.name())
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<$type, D::Error> {
                let name = String::deserialize(d)?;
                let found = <$type>::ALL.into_iter().find(|v| v.name() == name);
                found.ok_or_else(|| serde::de::Error::custom(format!("'{name}' is not known")))
            }
        }
    )+};
}

by_name! {
    node_state: donp_core::NodeState;
    member_state: donp_core::MemberState;
    down_reason: donp_core::DownReason;
    fail_reason: donp_core::FailReason;
    verification: donp_core::Verification;
    authentication_result: donp_core::AuthenticationResult;
}

/// Something that happened. An event with a `seq` is stored, and comes again after a restart until it is
/// acknowledged. `name` is the name that the node claims, where it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Another author's message is in a conversation, stored and in causal order.
    Received {
        /// The number to acknowledge.
        seq: u64,
        /// The message.
        message: Box<Message>,
    },
    /// The receiver has stored a private message.
    Delivered {
        /// The number to acknowledge.
        seq: u64,
        /// Which message.
        #[serde(with = "text")]
        id: MessageId,
        /// The node that has it.
        #[serde(with = "text")]
        to: NodeId,
        /// Its name.
        name: Option<String>,
    },
    /// A private message will not be delivered.
    Failed {
        /// The number to acknowledge.
        seq: u64,
        /// Which message.
        #[serde(with = "text")]
        id: MessageId,
        /// The node that should have had it.
        #[serde(with = "text")]
        to: NodeId,
        /// Its name.
        name: Option<String>,
        /// Why.
        #[serde(with = "fail_reason")]
        reason: FailReason,
    },
    /// An author said two different things under one number: its profile was copied, or it cheats. Both stay in the
    /// history, in the order that all nodes have.
    Forked {
        /// The number to acknowledge.
        seq: u64,
        /// The conversation.
        #[serde(with = "text")]
        conversation: Conversation,
        /// The author.
        #[serde(with = "text")]
        author: NodeId,
        /// Its name.
        name: Option<String>,
        /// Which of the author's logs, in hexadecimal.
        life: String,
        /// The number of both messages in that log.
        number: u64,
    },
    /// Another copy of this profile speaks in a conversation: this one was restored from a backup, or runs twice. It
    /// starts a new message log, and nothing that either said is lost.
    LifeBegun {
        /// The number to acknowledge.
        seq: u64,
        /// The conversation.
        #[serde(with = "text")]
        conversation: Conversation,
    },
    /// Something changed in a group, or in an application to join one. Fields that do not belong to the change are none.
    GroupChanged {
        /// The number to acknowledge.
        seq: u64,
        /// Which group.
        #[serde(with = "text")]
        group: GroupId,
        /// Its name.
        group_name: Option<String>,
        /// What changed.
        change: GroupChange,
        /// The node that asked, was added, removed or ranked.
        #[serde(with = "text_or_null")]
        node: Option<NodeId>,
        /// Its name.
        name: Option<String>,
        /// Its rank.
        #[serde(with = "text_or_null")]
        role: Option<GroupRole>,
        /// The new name or description.
        text: Option<String>,
        /// The message that was pinned, or is not any more.
        #[serde(with = "text_or_null")]
        message: Option<MessageId>,
        /// Why this node was not added.
        #[serde(with = "text_or_null")]
        reason: Option<Refusal>,
    },
    /// A file is here whole: it was asked for, or is small.
    FileReceived {
        /// The number to acknowledge.
        seq: u64,
        /// Which.
        #[serde(with = "text")]
        file: FileId,
    },
    /// More of a file is here.
    FileProgress {
        /// Which.
        #[serde(with = "text")]
        file: FileId,
        /// Bytes that are here.
        bytes: u64,
        /// Of so many.
        size: u64,
        /// Nodes that it is being fetched from.
        holders: u64,
    },
    /// Members have stored or read more of what this node said.
    Confirmed {
        /// Where.
        #[serde(with = "text")]
        conversation: Conversation,
        /// The members that have the newest message of this node that rose, and all before it.
        confirmations: Confirmations,
    },
    /// A node types, or has stopped.
    Typing {
        /// Where.
        #[serde(with = "text")]
        conversation: Conversation,
        /// Who.
        #[serde(with = "text")]
        node: NodeId,
        /// Its name.
        name: Option<String>,
        /// Whether it types.
        active: bool,
    },
    /// A stranger wrote a private message for the first time.
    ContactRequest {
        /// The number to acknowledge.
        seq: u64,
        /// Which node.
        #[serde(with = "text")]
        node: NodeId,
        /// Its name.
        name: Option<String>,
    },
    /// A verified contact has another key: nothing is sent to it until that is looked at.
    ContactChanged {
        /// The number to acknowledge.
        seq: u64,
        /// Which node.
        #[serde(with = "text")]
        node: NodeId,
        /// Its name.
        name: Option<String>,
    },
    /// A device came to the account of a contact or of this node, or is gone from it.
    DevicesChanged {
        /// The number to acknowledge.
        seq: u64,
        /// The first device of the account, which stands for the person.
        #[serde(with = "text")]
        node: NodeId,
        /// Its name.
        name: Option<String>,
        /// Which device.
        #[serde(with = "text")]
        device: NodeId,
        /// Whether it came, or is gone.
        added: bool,
    },
    /// This node's state changed.
    StateChanged {
        /// Before.
        #[serde(with = "node_state")]
        before: NodeState,
        /// After.
        #[serde(with = "node_state")]
        after: NodeState,
    },
    /// A node is linked to this one.
    PeerUp {
        /// Which.
        #[serde(with = "text")]
        peer: NodeId,
        /// Its name.
        name: Option<String>,
    },
    /// A node is not linked any more.
    PeerDown {
        /// Which.
        #[serde(with = "text")]
        peer: NodeId,
        /// Its name.
        name: Option<String>,
        /// Why.
        #[serde(with = "down_reason")]
        reason: DownReason,
    },
    /// The state of a member of this node's zone changed, or was asked for.
    MemberChanged {
        /// Which.
        #[serde(with = "text")]
        peer: NodeId,
        /// Its name.
        name: Option<String>,
        /// Its state.
        #[serde(with = "member_state")]
        state: MemberState,
    },
    /// The result of a challenge of a node's device.
    Authenticated {
        /// Which node.
        #[serde(with = "text")]
        peer: NodeId,
        /// Its name.
        name: Option<String>,
        /// Whether its device is at the other end of the link.
        #[serde(with = "authentication_result")]
        result: AuthenticationResult,
    },
    /// The user set something on another of its devices: contacts, blocks and what is unread are to be read again.
    AccountDataChanged,
    /// A queue that refused a command has room again.
    Writable,
    /// Events were lost: read the state again. Messages are in the history.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// An event of a newer version.
    Unknown {
        /// The number to acknowledge, if it is stored.
        seq: Option<u64>,
    },
}

impl From<core::Event> for Event {
    fn from(event: core::Event) -> Self {
        match event {
            core::Event::Durable { seq, event } => match event {
                Durable::Received(message) => match Message::of(message) {
                    Some(message) => Self::Received { seq, message: Box::new(message) },
                    None => Self::Unknown { seq: Some(seq) },
                },
                Durable::Delivered { id, to } => Self::Delivered { seq, id, to, name: None },
                Durable::Failed { id, to, reason } => Self::Failed { seq, id, to, name: None, reason },
                Durable::Forked { conversation, author, life, seq: number } => match Conversation::of(conversation) {
                    Some(conversation) => {
                        Self::Forked { seq, conversation, author, name: None, life: life.to_string(), number }
                    }
                    None => Self::Unknown { seq: Some(seq) },
                },
                Durable::LifeBegun { conversation } => match Conversation::of(conversation) {
                    Some(conversation) => Self::LifeBegun { seq, conversation },
                    None => Self::Unknown { seq: Some(seq) },
                },
                Durable::GroupChanged { group, change } => Self::group_changed(seq, group, change),
                Durable::FileReceived { file } => Self::FileReceived { seq, file },
                Durable::ContactRequest { node } => Self::ContactRequest { seq, node, name: None },
                Durable::ContactChanged { node } => Self::ContactChanged { seq, node, name: None },
                Durable::DevicesChanged { node, device, added } => {
                    Self::DevicesChanged { seq, node, name: None, device, added }
                }
                _ => Self::Unknown { seq: Some(seq) },
            },
            core::Event::Volatile(event) => match event {
                Volatile::StateChanged { before, after } => Self::StateChanged { before, after },
                Volatile::PeerUp { peer, name } => Self::PeerUp { peer, name },
                Volatile::PeerDown { peer, reason } => Self::PeerDown { peer, name: None, reason },
                Volatile::MemberChanged { peer, state } => Self::MemberChanged { peer, name: None, state },
                Volatile::FileProgress { file, bytes, size, holders } => {
                    Self::FileProgress { file, bytes, size, holders }
                }
                Volatile::Confirmed { conversation, confirmations } => match Conversation::of(conversation) {
                    Some(conversation) => Self::Confirmed { conversation, confirmations: confirmations.into() },
                    None => Self::Unknown { seq: None },
                },
                Volatile::Typing { conversation, node, active } => match Conversation::of(conversation) {
                    Some(conversation) => Self::Typing { conversation, node, name: None, active },
                    None => Self::Unknown { seq: None },
                },
                Volatile::Authenticated { peer, result } => Self::Authenticated { peer, name: None, result },
                Volatile::AccountDataChanged => Self::AccountDataChanged,
                Volatile::Writable => Self::Writable,
                Volatile::Lagged { missed } => Self::Lagged { missed },
                _ => Self::Unknown { seq: None },
            },
        }
    }
}

impl Event {
    fn group_changed(seq: u64, group: GroupId, changed: core::GroupChange) -> Self {
        let change = GroupChange::of(&changed);
        let (mut node, mut name, mut role, mut text, mut reason) = (None, None, None, None, None);
        let mut about = None;
        match changed {
            core::GroupChange::Refused { reason: why } => reason = Some(why),
            core::GroupChange::Asked { node: who, name: claimed } => (node, name) = (Some(who), Some(claimed)),
            core::GroupChange::Added { member, role: rank } | core::GroupChange::Ranked { member, role: rank } => {
                (node, role) = (Some(member), Some(rank));
            }
            core::GroupChange::Removed { member } => node = Some(member),
            core::GroupChange::Renamed { name: new } => text = Some(new),
            core::GroupChange::Described { description } => text = Some(description),
            core::GroupChange::Pinned { message } | core::GroupChange::Unpinned { message } => about = Some(message),
            _ => {}
        }
        Self::GroupChanged { seq, group, group_name: None, change, node, name, role, text, message: about, reason }
    }

    /// The number to acknowledge; none for an event that is not stored.
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Received { seq, .. }
            | Self::Delivered { seq, .. }
            | Self::Failed { seq, .. }
            | Self::Forked { seq, .. }
            | Self::LifeBegun { seq, .. }
            | Self::GroupChanged { seq, .. }
            | Self::FileReceived { seq, .. }
            | Self::ContactRequest { seq, .. }
            | Self::ContactChanged { seq, .. }
            | Self::DevicesChanged { seq, .. } => Some(*seq),
            Self::Unknown { seq } => *seq,
            Self::StateChanged { .. }
            | Self::PeerUp { .. }
            | Self::PeerDown { .. }
            | Self::MemberChanged { .. }
            | Self::FileProgress { .. }
            | Self::Confirmed { .. }
            | Self::Typing { .. }
            | Self::Authenticated { .. }
            | Self::AccountDataChanged
            | Self::Writable
            | Self::Lagged { .. } => None,
        }
    }

    /// The same with the names of nodes that `find` knows.
    #[must_use]
    pub fn named(mut self, find: impl Fn(NodeId) -> Option<String>) -> Self {
        match &mut self {
            Self::Delivered { to: node, name, .. }
            | Self::Failed { to: node, name, .. }
            | Self::Forked { author: node, name, .. }
            | Self::PeerUp { peer: node, name }
            | Self::PeerDown { peer: node, name, .. }
            | Self::MemberChanged { peer: node, name, .. }
            | Self::Authenticated { peer: node, name, .. }
            | Self::Typing { node, name, .. }
            | Self::ContactRequest { node, name, .. }
            | Self::ContactChanged { node, name, .. }
            | Self::DevicesChanged { node, name, .. } => {
                if name.is_none() {
                    *name = find(*node);
                }
            }
            Self::GroupChanged { node: Some(node), name, .. } => {
                if name.is_none() {
                    *name = find(*node);
                }
            }
            Self::Received { .. }
            | Self::LifeBegun { .. }
            | Self::GroupChanged { .. }
            | Self::FileReceived { .. }
            | Self::FileProgress { .. }
            | Self::Confirmed { .. }
            | Self::StateChanged { .. }
            | Self::AccountDataChanged
            | Self::Writable
            | Self::Lagged { .. }
            | Self::Unknown { .. } => {}
        }
        self
    }
}

/// A node at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "status")]
pub struct Status {
    /// This node.
    #[serde(with = "text")]
    pub id: NodeId,
    /// The short form of its id.
    pub short: String,
    /// Its account.
    #[serde(with = "text")]
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// What it claims to do.
    #[serde(with = "text")]
    pub node_type: NodeType,
    /// Whether it takes part in the network, or only its profile was read.
    pub running: bool,
    /// Its state.
    #[serde(with = "node_state")]
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
    /// Entries held in memory.
    pub entries: u64,
    /// The addresses that the sockets are bound to, `ip:port`.
    pub listen: Vec<String>,
    /// Where beacons are sent and received, groups and interfaces in words for people.
    pub lan: Vec<String>,
    /// Why nodes on the local network may not be found; none if they are, or discovery is off.
    pub lan_error: Option<String>,
    /// Addresses that other nodes saw this one at, `ip:port`.
    pub observed: Vec<String>,
    /// How a private text is protected: `end-to-end`, sealed so that only the device of the other side opens it.
    pub private_protection: String,
    /// `sqlite` or `memory`.
    pub store: String,
    /// How the key that seals the store is protected: `passphrase`, `key-file`, `key-store` or `memory`.
    pub protection: String,
    /// Why the last transaction failed, while it does.
    pub store_error: Option<String>,
    /// Records that could not be read since the start.
    pub damaged_records: u64,
    /// Records that this profile lost in all, also those that `donp check --repair` took as known: history may have holes.
    pub lost_records: u64,
    /// Records that the check in the background opened in its present round, or in the last one.
    pub checked_records: u64,
    /// When its last round ended, in milliseconds since 1970.
    pub checked_at_ms: Option<u64>,
    /// Transactions written since the start.
    pub commits: u64,
    /// The number up to which events were acknowledged in this run.
    pub acked: u64,
    /// The number of the newest durable event of this run; 0 before the first.
    pub last_event: u64,
    /// Places to enter the network that could not be looked up.
    pub unresolved: Vec<Unresolved>,
    /// The faults that are injected on purpose, if any.
    pub fault: Option<InjectedFault>,
    /// Traffic since the start.
    pub counters: Counters,
    /// Datagrams and messages thrown away, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// A place to enter the network that could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unresolved {
    /// The place.
    pub bootstrap: String,
    /// Why.
    pub reason: String,
}

/// Faults of outgoing datagrams, made on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectedFault {
    /// Which, as `drop=20%`.
    pub faults: String,
    /// Datagrams that were to be sent.
    pub offered: u64,
    /// Of these, not sent.
    pub dropped: u64,
    /// Sent twice.
    pub doubled: u64,
    /// Sent later than others.
    pub reordered: u64,
    /// Sent with a changed byte.
    pub corrupted: u64,
}

impl InjectedFault {
    fn of((fault, did): &(Fault, FaultStats)) -> Self {
        Self {
            faults: fault.to_string(),
            offered: did.offered,
            dropped: did.dropped,
            doubled: did.doubled,
            reordered: did.reordered,
            corrupted: did.corrupted,
        }
    }
}

/// Traffic since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Handshakes completed.
    pub handshakes: u64,
    /// Packets lost.
    pub packets_lost: u64,
    /// Private messages sent again.
    pub retries: u64,
    /// Messages sealed for one device, from end to end: private ones and acknowledgements.
    pub sealed: u64,
    /// Messages opened that another device sealed for this one.
    pub opened: u64,
    /// Messages stored.
    pub messages: u64,
    /// Datagrams and messages thrown away, for all reasons.
    pub drops: u64,
    /// Datagrams that the system had no room for.
    pub send_overflow: u64,
    /// Datagrams that the system refused.
    pub send_refused: u64,
    /// ICMP errors received.
    pub icmp_noise: u64,
}

impl Status {
    /// The state of `node` at this moment. `running`: whether it takes part, or only its profile was opened.
    ///
    /// # Errors
    /// When the node's thread has ended.
    pub fn of(node: &Node, running: bool) -> Result<Self, NodeError> {
        Ok(Self::from_parts(node.status()?, running, node.cursor(), node.last_event()))
    }

    fn from_parts(NodeStatus { node, host }: NodeStatus, running: bool, acked: u64, last_event: u64) -> Self {
        let drops = &node.stats.drops;
        let unresolved = host.unresolved.into_iter().map(|(bootstrap, reason)| Unresolved { bootstrap, reason });
        Self {
            id: node.id,
            short: node.id.short(),
            account: node.account,
            node_type: node.node_type,
            running,
            state: node.state,
            neighbours: count(node.neighbours),
            links: count(node.links),
            known: count(node.known),
            outbox: count(node.outbox),
            pending: count(node.pending),
            entries: node.entries as u64,
            listen: host.listen.iter().map(ToString::to_string).collect(),
            lan: host.lan,
            lan_error: host.lan_error,
            observed: node.observed.iter().map(ToString::to_string).collect(),
            // Every private text is sealed in a session of the two devices, inside the encryption of each link.
            private_protection: "end-to-end".into(),
            store: host.store.into(),
            protection: host.protection.name().into(),
            store_error: host.store_error,
            damaged_records: host.damaged_records,
            lost_records: host.lost_records,
            checked_records: host.checked_records,
            checked_at_ms: host.checked_at_ms,
            commits: host.commits,
            acked,
            last_event,
            unresolved: unresolved.collect(),
            fault: host.fault.as_ref().map(InjectedFault::of),
            counters: Counters {
                datagrams_in: node.stats.datagrams_in,
                bytes_in: node.stats.bytes_in,
                datagrams_out: node.stats.datagrams_out,
                bytes_out: node.stats.bytes_out,
                handshakes: node.stats.handshakes,
                packets_lost: node.stats.packets_lost,
                retries: node.stats.retries,
                sealed: node.stats.sessions.sealed,
                opened: node.stats.sessions.opened,
                messages: node.stats.messages,
                drops: drops.total(),
                send_overflow: host.sockets.send_overflow,
                send_refused: host.sockets.send_refused,
                icmp_noise: host.sockets.noise,
            },
            drops: DropReason::ALL.iter().map(|r| (r.name().into(), drops.get(*r))).collect(),
            name: node.name,
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn there_and_back<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) -> Value {
        let json = serde_json::to_value(Versioned::new(&value)).unwrap();
        let back: Versioned<T> = serde_json::from_value(json.clone()).unwrap();
        assert_eq!((back.v, &back.body), (VERSION, &value), "{json}");
        json
    }

    fn message(content: Content, context: Option<Context>) -> Message {
        Message {
            id: MessageId { depth: u64::MAX, hash: [1; 32] },
            conversation: Conversation::Private { peer: NodeId([2; 32]) },
            author: NodeId([2; 32]),
            life: "0102030405060708".into(),
            seq: 3,
            depth: u64::MAX,
            clock: Some(vec![ClockEntry { author: NodeId([2; 32]), life: "0102030405060708".into(), count: 3 }]),
            sent_at_ms: 1_767_225_600_000,
            edited: Some("better".into()),
            retracted: false,
            content,
            context,
        }
    }

    #[test]
    fn every_event_reads_back_from_its_json() {
        let (id, node) = (MessageId { depth: 1, hash: [1; 32] }, NodeId([2; 32]));
        let name = Some("bob".to_owned());
        let received =
            Event::Received { seq: 1, message: Box::new(message(Content::Text { text: "hi".into() }, None)) };
        assert_eq!(there_and_back(received)["message"]["text"], "hi");
        there_and_back(Event::Delivered { seq: u64::MAX, id, to: node, name: name.clone() });
        for reason in FailReason::ALL {
            there_and_back(Event::Failed { seq: 1, id, to: node, name: None, reason });
        }
        let (conversation, life) = (Conversation::Network, "0102030405060708".to_owned());
        there_and_back(Event::Forked {
            seq: 1,
            conversation,
            author: node,
            name: name.clone(),
            life: life.clone(),
            number: 2,
        });
        let begun = there_and_back(Event::LifeBegun { seq: 1, conversation });
        assert_eq!(begun, json!({ "v": 1, "type": "life_begun", "seq": 1, "conversation": "all" }));
        let file = FileId([4; 32]);
        assert_eq!(there_and_back(Event::FileReceived { seq: 2, file })["file"], file.to_string());
        there_and_back(Event::FileProgress { file, bytes: 1, size: 2, holders: 3 });
        there_and_back(Event::Typing { conversation, node, name: name.clone(), active: true });
        let confirmations = Confirmations { message: id, members: 2, stored: vec![node], read: vec![] };
        let confirmed = there_and_back(Event::Confirmed { conversation, confirmations });
        assert_eq!(confirmed["confirmations"]["stored"], json!([node.to_string()]));
        let group = GroupId([3; 32]);
        let changes = [
            core::GroupChange::Joined,
            core::GroupChange::Ended,
            core::GroupChange::Refused { reason: Refusal::Banned },
            core::GroupChange::Asked { node, name: "bob".into() },
            core::GroupChange::Added { member: node, role: GroupRole::Guest },
            core::GroupChange::Removed { member: node },
            core::GroupChange::Ranked { member: node, role: GroupRole::Admin },
            core::GroupChange::Renamed { name: "crew".into() },
            core::GroupChange::Described { description: "us".into() },
            core::GroupChange::PolicyChanged,
            core::GroupChange::Pinned { message: core::MessageId::first_of(3) },
            core::GroupChange::Unpinned { message: core::MessageId::first_of(3) },
        ];
        for change in changes {
            let name = GroupChange::of(&change).name();
            let event = Event::from(core::Event::Durable { seq: 4, event: Durable::GroupChanged { group, change } });
            assert_eq!(there_and_back(event)["change"], name);
        }
        for before in NodeState::ALL {
            there_and_back(Event::StateChanged { before, after: NodeState::Active });
        }
        there_and_back(Event::PeerUp { peer: node, name: name.clone() });
        for reason in DownReason::ALL {
            there_and_back(Event::PeerDown { peer: node, name: name.clone(), reason });
        }
        for state in MemberState::ALL {
            there_and_back(Event::MemberChanged { peer: node, name: None, state });
        }
        let devices = Durable::DevicesChanged { node, device: NodeId([5; 32]), added: true };
        for event in [Durable::ContactRequest { node }, Durable::ContactChanged { node }, devices] {
            let event = Event::from(core::Event::Durable { seq: 4, event }).named(|_| Some("bob".into()));
            assert_eq!(there_and_back(event)["name"], "bob");
        }
        for result in AuthenticationResult::ALL {
            there_and_back(Event::Authenticated { peer: node, name: None, result });
        }
        let changed = there_and_back(Event::AccountDataChanged);
        assert_eq!(changed, json!({ "v": 1, "type": "account_data_changed" }));
        assert_eq!(there_and_back(Event::Writable), json!({ "v": 1, "type": "writable" }));
        assert_eq!(there_and_back(Event::Lagged { missed: 2 }), json!({ "v": 1, "type": "lagged", "missed": 2 }));
        there_and_back(Event::Unknown { seq: Some(1) });
    }

    #[test]
    fn a_contact_reads_back_from_its_json() {
        let node = NodeId([2; 32]);
        for verification in core::Verification::ALL {
            let json = there_and_back(Contact::from(core::Contact {
                node,
                petname: Some("bob".into()),
                name: None,
                request: false,
                verification,
                muted: true,
                blocked: false,
                added: core::WallTime(1_767_225_600_000),
                unread: 3,
            }));
            assert_eq!((&json["type"], &json["verification"]), (&json!("contact"), &json!(verification.name())));
        }
        let conversation = core::Conversation::Private(node);
        let info = core::ConversationInfo { conversation, unread: 1, read: None, request: true };
        let json = there_and_back(ConversationInfo::of(&info).unwrap());
        assert_eq!((&json["conversation"], &json["read"]), (&json!(node.to_string()), &Value::Null));
    }

    #[test]
    fn a_group_reads_back_from_its_json() {
        let node = NodeId([2; 32]);
        let group = core::GroupInfo {
            id: GroupId([3; 32]),
            kind: core::GroupKind::Temporary,
            name: "team".into(),
            description: String::new(),
            policy: core::GroupPolicy { history: core::GroupHistory::Days(7), ..core::GroupPolicy::default() },
            expires: Some(core::WallTime(1_767_225_600_000)),
            role: Some(GroupRole::Owner),
            members: vec![core::GroupMember::new(node, GroupRole::Owner)],
            pinned: vec![core::MessageId::first_of(3)],
            requests: vec![node],
            holds_key: true,
            key_holders: 1,
            epochs: 1,
            state: [0xab; 32],
        };
        let json = there_and_back(GroupInfo::from(group).named(|_| Some("bob".into())));
        assert_eq!(json["policy"]["history"], "7d");
        assert_eq!(
            json["members"],
            json!([{ "id": node.to_string(), "name": "bob", "role": "owner", "devices": [node.to_string()] }])
        );
        assert_eq!((&json["role"], &json["requests"]), (&json!("owner"), &json!([node.to_string()])));
        let conversation = Conversation::Group { group: GroupId([3; 32]) };
        assert_eq!(conversation.to_string().parse(), Ok(conversation));
    }

    #[test]
    fn every_content_reads_back_as_its_own_kind() {
        let id = MessageId { depth: 7, hash: [7; 32] };
        let context = Context {
            name: Some("bob".into()),
            group_name: None,
            sent_at: None,
            concurrent_with: vec![id.to_string()],
            request: true,
            state: MessageState::Received,
            confirmations: Some(ConfirmationCounts { members: 3, stored: 2, read: 1 }),
        };
        for content in [
            core::Content::text("x"),
            core::Content::Reply { reply_to: id, text: "x".into() },
            core::Content::Edit { edit_of: id, text: "x".into() },
            core::Content::React { react_to: id, mark: "x".into() },
            core::Content::Retract { retract: id },
            core::Content::File {
                file: Box::new(core::Attachment {
                    id: FileId([4; 32]),
                    key: [0xab; 32],
                    size: 5,
                    name: "a".into(),
                    media_type: String::new(),
                }),
                text: String::new(),
            },
        ] {
            let kind = content.kind();
            let json = there_and_back(message(content.into(), Some(context.clone())));
            assert_eq!(json["type"], "message");
            match kind {
                "text" => assert!(json["reply_to"].is_null(), "{json}"),
                "file" => assert_eq!(json[kind]["id"], FileId([4; 32]).to_string(), "{json}"),
                _ => assert_eq!(json[kind], id.to_string(), "{json}"),
            }
            assert_eq!(json["name"], "bob");
        }
        there_and_back(message(Content::Unknown {}, None));
    }

    #[test]
    fn a_conversation_is_all_or_the_id_of_a_node() {
        let mut all = message(Content::Text { text: "x".into() }, None);
        all.conversation = Conversation::Network;
        assert_eq!(there_and_back(all)["conversation"], "all");
        assert!("bob".parse::<Conversation>().is_err());
    }

    #[test]
    fn an_event_of_the_core_keeps_its_fields() {
        let (author, life) = (NodeId([2; 32]), core::Life([1, 2, 3, 4, 5, 6, 7, 8]));
        let of = |event| Event::from(core::Event::Durable { seq: 9, event });
        let forked = Durable::Forked { conversation: core::Conversation::Private(author), author, life, seq: 4 };
        assert_eq!(
            of(forked),
            Event::Forked {
                seq: 9,
                conversation: Conversation::Private { peer: author },
                author,
                name: None,
                life: "0102030405060708".into(),
                number: 4,
            }
        );
        let begun = Durable::LifeBegun { conversation: core::Conversation::Network };
        assert_eq!(of(begun), Event::LifeBegun { seq: 9, conversation: Conversation::Network });
    }

    #[test]
    fn a_message_shows_its_last_edit_and_nothing_once_retracted() {
        let mut m = message(Content::Text { text: "good".into() }, None);
        assert_eq!(m.shown(), "better");
        m.edited = None;
        assert_eq!(m.shown(), "good");
        m.retracted = true;
        assert_eq!(m.shown(), "");
    }

    #[test]
    fn names_are_filled_in_where_an_event_has_none() {
        let peer = NodeId([2; 32]);
        let down = Event::PeerDown { peer, name: None, reason: DownReason::Closed };
        let named = down.named(|id| (id == peer).then(|| "bob".into()));
        assert_eq!(named, Event::PeerDown { peer, name: Some("bob".into()), reason: DownReason::Closed });
        let up = Event::PeerUp { peer, name: Some("carol".into()) };
        assert_eq!(up.clone().named(|_| Some("bob".into())), up);
    }
}
