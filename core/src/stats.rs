//! Counters: drops by reason, and traffic. Hostile input ends here, never in an
//! error.

/// Why something received was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// Not a packet of this protocol: length, type or version.
    Malformed,
    /// `mac1` does not match: the sender does not know this node's key.
    Mac,
    /// A handshake beyond the rate that is served; a cookie was sent if there was budget for one.
    HandshakeRate,
    /// A handshake that does not decrypt or is signed by another key than it claims.
    Handshake,
    /// A handshake older than one already received from this node, or a record that is past its expiry.
    Stale,
    /// A packet for a session that does not exist.
    UnknownSession,
    /// A packet that does not decrypt.
    Decrypt,
    /// A packet number that is a repeat, or too old to be checked.
    Replay,
    /// An authentic packet whose frames are not well formed.
    Frame,
    /// Fragments that do not fit together or have no room.
    Reassembly,
    /// The sender is blocked by this node.
    Blocked,
    /// A queue had no room.
    Queue,
    /// A message between machines that does not decode or breaks a rule.
    Message,
    /// A signature or certificate that does not verify.
    Signature,
    /// A duplicate.
    Duplicate,
    /// A broadcast that has no hops left.
    Ttl,
    /// More than a peer or author may send.
    Rate,
    /// A beacon of another network than this node's, or from beyond the local network.
    OtherNetwork,
}

impl DropReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 18] = [
        Self::Malformed,
        Self::Mac,
        Self::HandshakeRate,
        Self::Handshake,
        Self::Stale,
        Self::UnknownSession,
        Self::Decrypt,
        Self::Replay,
        Self::Frame,
        Self::Reassembly,
        Self::Blocked,
        Self::Queue,
        Self::Message,
        Self::Signature,
        Self::Duplicate,
        Self::Ttl,
        Self::Rate,
        Self::OtherNetwork,
    ];

    /// The name in `status --json` and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Mac => "mac",
            Self::HandshakeRate => "handshake_rate",
            Self::Handshake => "handshake",
            Self::Stale => "stale",
            Self::UnknownSession => "unknown_session",
            Self::Decrypt => "decrypt",
            Self::Replay => "replay",
            Self::Frame => "frame",
            Self::Reassembly => "reassembly",
            Self::Blocked => "blocked",
            Self::Queue => "queue",
            Self::Message => "message",
            Self::Signature => "signature",
            Self::Duplicate => "duplicate",
            Self::Ttl => "ttl",
            Self::Rate => "rate",
            Self::OtherNetwork => "other_network",
        }
    }
}

/// Drops by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    pub(crate) fn count(&mut self, reason: DropReason) {
        if let Some(n) = self.0.get_mut(reason as usize) {
            *n = n.saturating_add(1);
        }
    }

    /// How many were dropped for `reason`.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// All drops together.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// See [`BroadcastStats::HOPS`].
const HOPS: usize = 32;

/// The cost of broadcasting, in the terms of the PlumTree paper (§4.1): with the sums over all nodes,
/// relative message redundancy is `payloads_in / first - 1` and the last delivery hop is the highest
/// index of `hops` that is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BroadcastStats {
    /// Broadcasts received for the first time, own ones not included.
    pub first: u64,
    /// Broadcasts received in all, repeats included.
    pub payloads_in: u64,
    /// Broadcasts sent or forwarded, counted for each neighbour.
    pub payloads_out: u64,
    /// Bytes of those.
    pub payload_bytes: u64,
    /// Messages about broadcasts that carry none: IHAVE, GRAFT, PRUNE.
    pub control_out: u64,
    /// Bytes of those.
    pub control_bytes: u64,
    /// First deliveries by the hops they took, from 1; index 0 is hop 1.
    pub hops: [u64; HOPS],
}

impl BroadcastStats {
    /// Hops that are counted one by one; longer paths are counted as the last.
    pub const HOPS: usize = HOPS;

    pub(crate) fn first(&mut self, hops: usize) {
        self.first = self.first.saturating_add(1);
        if let Some(n) = self.hops.get_mut(hops.clamp(1, HOPS).saturating_sub(1)) {
            *n = n.saturating_add(1);
        }
    }

    pub(crate) fn control(&mut self, bytes: usize) {
        self.control_out = self.control_out.saturating_add(1);
        self.control_bytes = self.control_bytes.saturating_add(bytes as u64);
    }

    pub(crate) fn payload(&mut self, bytes: usize) {
        self.payloads_out = self.payloads_out.saturating_add(1);
        self.payload_bytes = self.payload_bytes.saturating_add(bytes as u64);
    }
}

/// The cost of failure detection in the zone (SWIM §5, Lifeguard §V).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwimStats {
    /// Direct probes, those for other members included.
    pub pings: u64,
    /// Direct probes answered.
    pub acks: u64,
    /// Indirect probes requested of other members.
    pub requests: u64,
    /// NACKs sent: indirect probes for another member without an answer.
    pub nacks: u64,
    /// Pieces of rosters sent.
    pub syncs: u64,
    /// Messages of every kind sent.
    pub messages_out: u64,
    /// Members suspected, by this node or by updates of others.
    pub suspected: u64,
    /// Suspicions of this node that it refuted.
    pub refuted: u64,
    /// Members that this node itself declared down.
    pub declared: u64,
    /// Times that the zone dissolved.
    pub dissolved: u64,
    /// The local health multiplier: 0 is well. A level, not a count.
    pub health: u8,
}

/// What went through end-to-end sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionStats {
    /// Messages sealed, acknowledgements included and repeats not.
    pub sealed: u64,
    /// Messages opened.
    pub opened: u64,
    /// Sessions begun, by this node or by others.
    pub begun: u64,
}

/// A snapshot of a node's counters since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// UDP payloads received, and their bytes.
    pub datagrams_in: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// UDP payloads sent.
    pub datagrams_out: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Handshakes completed, rekeys included.
    pub handshakes: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Private messages sent again because no acknowledgement came.
    pub retries: u64,
    /// Messages taken into a conversation, own ones included.
    pub messages: u64,
    /// The cost of broadcasting.
    pub broadcast: BroadcastStats,
    /// The cost of failure detection.
    pub swim: SwimStats,
    /// End-to-end sessions.
    pub sessions: SessionStats,
    /// Drops, by reason.
    pub drops: Drops,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let mut drops = Drops::default();
        for (n, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, n);
            drops.count(reason);
            assert_eq!(drops.get(reason), 1);
        }
        assert_eq!(drops.total(), DropReason::ALL.len() as u64);
        let mut names: alloc::vec::Vec<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
