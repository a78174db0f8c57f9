//! What the devices of one person share of what it set on one of them (docs/design/devices.md §7): registers, each of
//! which holds the value that was written last (Shapiro, Preguiça, Baquero, Zawirski, "A comprehensive study of
//! Convergent and Commutative Replicated Data Types", INRIA RR-7506, 2011, §3.2, LWW-Register).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{ConversationId, MessageId, NodeId};
use crate::identity::name_is_valid;
use crate::wire::encode;

/// Which register, and what it holds. A person is named by the first device of its account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Register {
    /// Whether a person is a contact.
    Contact(NodeId, bool),
    /// The own name of a contact.
    Petname(NodeId, Option<String>),
    /// Whether what a contact says makes no events.
    Muted(NodeId, bool),
    /// What the user made of a contact's keys; nothing if it did not look at them, or the contact is removed.
    Trust(NodeId, Option<Comparison>),
    /// Whether a node is blocked.
    Blocked(NodeId, bool),
    /// Up to where a conversation was read: of marks under one list the furthest.
    Read(ConversationId, MessageId),
}

/// What a user made of a contact's keys, and of which: it says nothing of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Whether the safety number was compared; else a change was accepted without that.
    pub(crate) verified: bool,
    /// The device whose key it is.
    pub(crate) device: NodeId,
    /// Its session identity key; zeros for a change of devices that was accepted before the key was known.
    pub(crate) identity: [u8; 32],
    /// It and the devices that the person had ([`devices_digest`]).
    pub(crate) devices: [u8; 32],
}

/// Names a device and the devices of its person, whatever their order.
pub(crate) fn devices_digest(device: NodeId, devices: &[NodeId]) -> [u8; 32] {
    let mut all = devices.to_vec();
    all.sort_unstable();
    all.dedup();
    let bytes: Vec<u8> = [device].iter().chain(&all).flat_map(|node| node.0).collect();
    blake3::derive_key("DONP v1 devices of a person", &bytes)
}

/// Names a register: its kind, and whose it is.
pub(crate) type RegisterKey = (u8, [u8; 32]);

impl Register {
    /// Names the register, whatever it holds.
    pub(crate) fn key(&self) -> RegisterKey {
        match self {
            Self::Contact(node, _) => (0, node.0),
            Self::Petname(node, _) => (1, node.0),
            Self::Muted(node, _) => (2, node.0),
            Self::Trust(node, _) => (3, node.0),
            Self::Blocked(node, _) => (4, node.0),
            Self::Read(conversation, _) => (5, conversation.0),
        }
    }

    /// Whether it holds what is so if it was never written.
    pub(crate) fn is_default(&self) -> bool {
        match self {
            Self::Contact(_, set) | Self::Muted(_, set) | Self::Blocked(_, set) => !set,
            Self::Petname(_, name) => name.is_none(),
            Self::Trust(_, comparison) => comparison.is_none(),
            Self::Read(..) => false,
        }
    }

    /// Whether it holds what a register may hold.
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Petname(_, Some(name)) => name_is_valid(name),
            Self::Petname(_, None)
            | Self::Contact(..)
            | Self::Muted(..)
            | Self::Trust(..)
            | Self::Blocked(..)
            | Self::Read(..) => true,
        }
    }

    /// The person that it is about; none if it is about a node alone, or a conversation.
    pub(crate) fn person(&self) -> Option<NodeId> {
        match self {
            Self::Contact(node, _) | Self::Petname(node, _) | Self::Muted(node, _) | Self::Trust(node, _) => {
                Some(*node)
            }
            Self::Blocked(..) | Self::Read(..) => None,
        }
    }

    /// The same of another node, if it is about a person.
    pub(crate) fn of(&self, node: NodeId) -> Self {
        match self {
            Self::Contact(_, set) => Self::Contact(node, *set),
            Self::Petname(_, name) => Self::Petname(node, name.clone()),
            Self::Muted(_, set) => Self::Muted(node, *set),
            Self::Trust(_, comparison) => Self::Trust(node, *comparison),
            Self::Blocked(..) | Self::Read(..) => self.clone(),
        }
    }

    /// What it holds if it was never written; a mark stays.
    pub(crate) fn default_of(&self) -> Self {
        match self {
            Self::Contact(node, _) => Self::Contact(*node, false),
            Self::Petname(node, _) => Self::Petname(*node, None),
            Self::Muted(node, _) => Self::Muted(*node, false),
            Self::Trust(node, _) => Self::Trust(*node, None),
            Self::Blocked(node, _) => Self::Blocked(*node, false),
            Self::Read(..) => self.clone(),
        }
    }

    /// What merges by its maximum and not by the last writer.
    pub(crate) fn maximum(&self) -> Option<MessageId> {
        match self {
            Self::Read(_, upto) => Some(*upto),
            Self::Contact(..) | Self::Petname(..) | Self::Muted(..) | Self::Trust(..) | Self::Blocked(..) => None,
        }
    }
}

/// A register with its stamp. No clock is in it: a date that is wrong would hold for good, or lose for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamped {
    /// The generation of the account's list of devices under which it was written: what is written after a device was
    /// removed stands, whatever that device wrote.
    pub(crate) generation: u64,
    /// The generation that it had before, if the list under which it was written does not stand any more; else 0.
    /// `generation` is then that of the last list of that chain that stands.
    pub(crate) lowered: u64,
    /// One more than that of the value before it, from 1 under each generation (Lamport, CACM 1978).
    pub(crate) counter: u64,
    /// The device that wrote it.
    pub(crate) writer: NodeId,
    pub(crate) register: Register,
}

impl Stamped {
    /// Whether this stands where both are known: by generation, by the one that it was lowered
    /// from, then by the maximum if the register merges so, counter,
    /// writer and content. A total order, so what stands is the same in whatever order they come.
    pub(crate) fn stands_before(&self, other: &Self) -> bool {
        match self.rank().cmp(&other.rank()) {
            core::cmp::Ordering::Greater => true,
            core::cmp::Ordering::Equal => encode(&self.register) > encode(&other.register),
            core::cmp::Ordering::Less => false,
        }
    }

    fn rank(&self) -> (u64, u64, Option<MessageId>, u64, NodeId) {
        (self.generation, self.lowered, self.register.maximum(), self.counter, self.writer)
    }
}
