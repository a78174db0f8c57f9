//! Messages of failure detectors (docs/spec/messages.md, "Swim").

use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::wire::{MAX_MESSAGE, Malformed, decode, encode};

/// Updates that ride on a ping, an answer or a request: the six of docs/design/failures.md §2, and one about the
/// receiver.
pub(super) const MAX_UPDATES: usize = 7;
/// Updates in one piece of a roster: 512 of at most 85 bytes are 43 KiB, well inside one message.
pub(super) const MAX_PIECE: usize = 512;
/// Addresses reported of one member: of its link, and one before.
pub(super) const MAX_ADDRS: usize = 2;

/// What is claimed of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Claim {
    /// It takes part; its addresses.
    Alive { addrs: Vec<SocketAddr> },
    /// `by` had no answer from it.
    Suspect { by: NodeId },
    /// `by` waited for a refutation in vain.
    Down { by: NodeId },
    /// It left.
    Left,
    /// It sleeps, and announced it.
    Away,
}

/// One claim of a member. A higher incarnation outweighs every lower one; only its owner raises it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub member: NodeId,
    pub incarnation: u32,
    pub claim: Claim,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// A direct probe. Answered by `Ack` with the same number, also by a node that keeps no zone.
    Ping { seq: u32, updates: Vec<Update> },
    /// The probed node answers.
    Ack { seq: u32, updates: Vec<Update> },
    /// An indirect probe: the receiver probes `target` for the sender.
    PingReq { seq: u32, target: NodeId, updates: Vec<Update> },
    /// Lifeguard's NACK: the helper is well and probed, but the target does not answer it either.
    Nack { seq: u32, updates: Vec<Update> },
    /// A piece of the sender's roster; `ask` wants the receiver's in return.
    Sync { ask: bool, roster: Vec<Update> },
    /// The sender keeps no zone: it is no member and no failure detector.
    Dissolve,
    /// A hash of the sender's roster: a receiver with another one sends its own and wants the sender's.
    Digest([u8; 16]),
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let message = decode(bytes, MAX_MESSAGE)?;
        let (updates, most): (&[Update], usize) = match &message {
            Self::Ping { updates, .. }
            | Self::Ack { updates, .. }
            | Self::PingReq { updates, .. }
            | Self::Nack { updates, .. } => (updates, MAX_UPDATES),
            Self::Sync { roster, .. } => (roster, MAX_PIECE),
            Self::Dissolve | Self::Digest(_) => (&[], 0),
        };
        let many_addrs = |u: &Update| matches!(&u.claim, Claim::Alive { addrs } if addrs.len() > MAX_ADDRS);
        if updates.len() > most || updates.iter().any(many_addrs) { Err(Malformed) } else { Ok(message) }
    }
}
