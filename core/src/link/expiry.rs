//! Whether records are current, on devices whose clocks may be wrong.
//!
//! A record is over a day after its expiry. Without a network's time many devices have a wrong date, and then each record of
//! others is over, or their own one is for everybody else. So the owner of a record can prove that it is current whatever
//! the clocks show: it signs a fresh token of the asker together with the record. A node that only holds a key of the
//! past cannot.

use crate::collections::OrderedMap;
use crate::id::NodeId;
use crate::identity::{Domain, Identity, SIGNATURE_LEN, verify};
use crate::time::{Duration, Instant, WallTime};
use crate::wire::record::{NodeRecord, RECORD_LEN};

/// Proofs that are remembered, about 90 bytes each: as many as there are links at most by default. The oldest gives way.
const MAX_PROVEN: usize = 256;
/// How long a proof counts, in time that passes evenly: as long as a record counts past its expiry.
const PROVEN_FOR: Duration = Duration::from_secs(86_400);

/// The token, 16 bytes, and the record.
fn proven_bytes(token: &[u8; 16], record: &[u8]) -> [u8; 16 + RECORD_LEN] {
    let mut out = [0; 16 + RECORD_LEN];
    out.iter_mut().zip(token.iter().chain(record)).for_each(|(to, from)| *to = *from);
    out
}

/// The proof that this record of the holder of `identity` is current.
pub(super) fn prove(identity: &Identity, token: &[u8; 16], record: &[u8]) -> [u8; SIGNATURE_LEN] {
    identity.sign(Domain::CurrentRecord, &proven_bytes(token, record))
}

/// Whether the owner of the record answered this token.
pub(super) fn is_proof(record: &NodeRecord, token: &[u8; 16], proof: &[u8; SIGNATURE_LEN]) -> bool {
    verify(Domain::CurrentRecord, &record.key, &proven_bytes(token, &record.encode()), proof)
}

#[derive(Debug)]
struct Proven {
    seq: u64,
    link_key: [u8; 32],
    at: Instant,
}

/// Records that are over by this node's clock, and of which their owners proved that they are current.
#[derive(Debug, Default)]
pub(super) struct Expiry(OrderedMap<NodeId, Proven>);

impl Expiry {
    /// Its owner proved it.
    pub(super) fn proven(&mut self, record: &NodeRecord, now: Instant, wall: WallTime) {
        if !record.is_expired(wall) {
            return;
        }
        let id = record.id();
        if self.0.len() >= MAX_PROVEN && !self.0.contains_key(&id) {
            let oldest = self.0.iter().min_by_key(|(_, p)| p.at).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(id, Proven { seq: record.seq, link_key: record.link_key, at: now });
    }

    /// Whether the record is refused as long as its owner does not prove it.
    pub(super) fn refuses(&self, record: &NodeRecord, now: Instant, wall: WallTime) -> bool {
        let is_proven =
            |p: &Proven| p.seq == record.seq && p.link_key == record.link_key && now.since(p.at) < PROVEN_FOR;
        record.is_expired(wall) && !self.0.get(&record.id()).is_some_and(is_proven)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::config::NodeType;
    use crate::identity::tests::identity;

    const DAY: u64 = 86_400_000;

    fn record(n: u8, seq: u64, expiry: u64) -> NodeRecord {
        NodeRecord::sign(&identity(n), [n; 32], seq, WallTime(expiry), NodeType::Regular)
    }

    /// Breaks if a proof counts for another record of its owner, for another token, or for ever.
    #[test]
    fn a_proof_counts_for_one_record_one_token_and_a_day() {
        let (old, new, wall) = (record(1, 1, DAY), record(1, 2, DAY), WallTime(100 * DAY));
        let proof = prove(&identity(1), &[7; 16], &old.encode());
        assert!(is_proof(&old, &[7; 16], &proof));
        assert!(!is_proof(&old, &[8; 16], &proof) && !is_proof(&new, &[7; 16], &proof));
        assert!(!is_proof(&record(2, 1, DAY), &[7; 16], &proof));
        let mut expiry = Expiry::default();
        let now = Instant::from_micros(5);
        assert!(expiry.refuses(&old, now, wall));
        expiry.proven(&old, now, wall);
        assert!(!expiry.refuses(&old, now, wall) && expiry.refuses(&new, now, wall));
        assert!(expiry.refuses(&old, now + PROVEN_FOR, wall));
        assert!(!expiry.refuses(&record(3, 1, 100 * DAY), now, wall), "within its time");
    }

    /// Breaks without the limit.
    #[test]
    fn proofs_are_bounded() {
        let mut expiry = Expiry::default();
        for n in 0..600u64 {
            let mut record = record(1, 1, 0);
            record.key = blake3::hash(&n.to_le_bytes()).into();
            expiry.proven(&record, Instant::from_micros(n), WallTime(100 * DAY));
        }
        assert_eq!(expiry.len(), MAX_PROVEN);
    }
}
