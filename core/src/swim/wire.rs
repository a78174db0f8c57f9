//! Messages of failure detectors (docs/spec/messages.md, "Swim").

use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::identity::{Domain, Identity, SIGNATURE_LEN, verify};
use crate::wire::{Blob, MAX_MESSAGE, Malformed, decode, encode};

/// Updates that ride on a ping, an answer or a request: the six of docs/design/failures.md §2, and one about the
/// receiver.
pub(super) const MAX_UPDATES: usize = 7;
/// Updates in one piece of a roster: 512 of at most 85 bytes are 43 KiB, well inside one message. As many statements
/// are asked for at once.
pub(super) const MAX_PIECE: usize = 512;
/// Statements in one message: 64 of at most 310 bytes are 20 KiB.
pub(super) const MAX_STATEMENTS: usize = 64;
/// Addresses reported of one member: of its link, and one before.
pub(super) const MAX_ADDRS: usize = 2;

/// What is claimed of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Claim {
    /// It states that it takes part; where the sender reaches it.
    Alive { addrs: Vec<SocketAddr> },
    /// The sender had no answer from it.
    Suspect,
    /// The sender waited for a refutation in vain.
    Down,
    /// It states that it left.
    Left,
    /// It states that it sleeps.
    Away,
}

/// One claim of a member, unsigned: a receiver that does not know of the member's statement asks the sender for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub member: NodeId,
    pub incarnation: u64,
    pub claim: Claim,
}

/// What a member says of itself. At one incarnation the later outweighs the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Presence {
    /// It takes part.
    Here,
    /// It sleeps.
    Away,
    /// It left.
    Left,
}

/// What a member said of itself, under its identity key. The newest counts: by incarnation, then by presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub incarnation: u64,
    pub presence: Presence,
    signature: [u8; SIGNATURE_LEN],
}

/// What is signed: the incarnation, 8 bytes, and the presence, 1 byte.
fn signed_bytes(incarnation: u64, presence: Presence) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = incarnation.to_le_bytes();
    [a, b, c, d, e, f, g, h, presence as u8]
}

impl Statement {
    /// That of the holder of `identity` about itself.
    pub(super) fn sign(identity: &Identity, incarnation: u64, presence: Presence) -> Self {
        let signature = identity.sign(Domain::Presence, &signed_bytes(incarnation, presence));
        Self { incarnation, presence, signature }
    }

    /// Whether the holder of this Ed25519 key made it (about 40 µs).
    pub(super) fn is_by(&self, key: &[u8; 32]) -> bool {
        verify(Domain::Presence, key, &signed_bytes(self.incarnation, self.presence), &self.signature)
    }

    /// What orders statements of one member.
    pub(super) fn order(&self) -> (u64, Presence) {
        (self.incarnation, self.presence)
    }
}

/// A statement on its way, with what a node needs that never met the member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The record of the member; empty if the sender is the member, since the link has its record.
    record: Blob,
    incarnation: u64,
    presence: Presence,
    /// Where the sender reaches the member.
    pub addrs: Vec<SocketAddr>,
    signature: Blob,
}

impl Told {
    pub(super) fn new(record: Option<Vec<u8>>, statement: &Statement, addrs: Vec<SocketAddr>) -> Self {
        Self {
            record: Blob(record.unwrap_or_default()),
            incarnation: statement.incarnation,
            presence: statement.presence,
            addrs,
            signature: Blob(statement.signature.to_vec()),
        }
    }

    /// What the holder of `identity` states, as one sends it that has this record of it or is it.
    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(crate) fn by(
        identity: &Identity,
        record: Option<&crate::wire::record::NodeRecord>,
        (incarnation, presence): (u64, Presence),
        addrs: Vec<SocketAddr>,
    ) -> Self {
        let record = record.map(crate::wire::record::NodeRecord::encode);
        Self::new(record, &Statement::sign(identity, incarnation, presence), addrs)
    }

    /// Changes one bit of the signature.
    #[cfg(test)]
    pub(super) fn forge(&mut self) -> bool {
        self.signature.0.first_mut().map(|byte| *byte ^= 1).is_some()
    }

    /// The bytes of the record; none if the sender is the member.
    pub(super) fn record(&self) -> Option<&[u8]> {
        let Blob(bytes) = &self.record;
        (!bytes.is_empty()).then_some(bytes)
    }

    pub(super) fn statement(&self) -> Result<Statement, Malformed> {
        let signature = self.signature.0.as_slice().try_into().map_err(|_| Malformed)?;
        Ok(Statement { incarnation: self.incarnation, presence: self.presence, signature })
    }
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
    /// The statements of these members are wanted: the receiver claimed something newer of them than the sender has.
    Ask(Vec<NodeId>),
    /// Statements that were asked for, or the sender's own.
    Statements(Vec<Told>),
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
            Self::Dissolve | Self::Digest(_) | Self::Ask(_) | Self::Statements(_) => (&[], 0),
        };
        let fits = match &message {
            Self::Ask(ids) => ids.len() <= MAX_PIECE,
            Self::Statements(told) => told.len() <= MAX_STATEMENTS && told.iter().all(|t| t.addrs.len() <= MAX_ADDRS),
            Self::Ping { .. }
            | Self::Ack { .. }
            | Self::PingReq { .. }
            | Self::Nack { .. }
            | Self::Sync { .. }
            | Self::Dissolve
            | Self::Digest(_) => true,
        };
        let many_addrs = |u: &Update| matches!(&u.claim, Claim::Alive { addrs } if addrs.len() > MAX_ADDRS);
        if !fits || updates.len() > most || updates.iter().any(many_addrs) { Err(Malformed) } else { Ok(message) }
    }
}
