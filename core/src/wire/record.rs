//! The signed description of a node: its identity, its link key, its services.

use alloc::vec::Vec;

use crate::config::{Config, NodeType, Power};
use crate::id::{AccountId, NodeId};
use crate::identity::{Domain, Identity, SIGNATURE_LEN, node_id, verify};
use crate::time::{Duration, WallTime};
use crate::wire::Malformed;

/// Bytes of an encoded [`NodeRecord`].
pub const RECORD_LEN: usize = SIGNED_LEN + SIGNATURE_LEN;
const SIGNED_LEN: usize = 32 + 32 + 32 + 8 + 8 + 4;
/// A record is used for so long after its expiry, in milliseconds: a day, the overlap in which its owner still answers to
/// the key before (docs/design/links.md §1), and more than clocks of well-kept machines differ by.
pub(crate) const CLOCK_SKEW: u64 = 86_400_000;
/// Capability bit: a program speaks here, not a person. Bots do not answer bots, or two of them would
/// talk for ever.
pub const BOT: u32 = 1;
/// The seconds after which a node of low power speaks begin at this capability bit; zero of a node that does everything at
/// its time (docs/design/power.md §1).
const SPEAKS_EVERY_SHIFT: u32 = 16;
/// A node of low power that was silent for so many of its periods is down: 4, of which three may be lost. With 25 s that is
/// 100 s, what its NAT boxes have to keep a binding for at least (RFC 4787 §4.3: two minutes).
const SILENT_PERIODS: u32 = 4;

/// The type that a node claims. Nothing is trusted because of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub node_type: NodeType,
    /// 24 bits.
    pub capabilities: u32,
}

impl From<&Config> for Claims {
    fn from(config: &Config) -> Self {
        let seconds = match config.power {
            Power::Normal => 0,
            Power::Low => u8::try_from(config.link.low_power_keepalive.as_secs()).unwrap_or(u8::MAX),
        };
        let bot = if config.bot { BOT } else { 0 };
        Self { node_type: config.node_type, capabilities: bot | u32::from(seconds) << SPEAKS_EVERY_SHIFT }
    }
}

impl From<NodeType> for Claims {
    fn from(node_type: NodeType) -> Self {
        Self { node_type, capabilities: 0 }
    }
}

/// A node's own statement about itself, signed by its device key (docs/design/links.md §1).
///
/// Layout, little-endian: Ed25519 key 32, X25519 link key 32, account id 32, sequence 8, expiry 8
/// (milliseconds since 1970), node type 1, capability bits 2, seconds between two signs of life of a node of low power 1
/// (zero of others), signature 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// The device's Ed25519 key; its hash is the [`NodeId`].
    pub key: [u8; 32],
    /// The X25519 key that opens links to this node; it rotates, the id does not.
    pub link_key: [u8; 32],
    /// The account the device speaks for; proved by a device certificate over the link.
    pub account: AccountId,
    /// Higher wins; rises with every change.
    pub seq: u64,
    /// When the link key should have been replaced. A day later the record is refused.
    pub not_after: WallTime,
    /// What kind of node this claims to be.
    pub node_type: NodeType,
    /// Capability bits such as [`BOT`]; unknown ones are kept and ignored. The uppermost 8 of the 24 are the seconds of
    /// [`silent_for`](Self::silent_for)'s period.
    pub capabilities: u32,
    signature: [u8; SIGNATURE_LEN],
}

impl NodeRecord {
    pub(crate) fn sign(
        identity: &Identity,
        link_key: [u8; 32],
        seq: u64,
        not_after: WallTime,
        claims: impl Into<Claims>,
    ) -> Self {
        let Claims { node_type, capabilities } = claims.into();
        let mut record = Self {
            key: identity.public_key(),
            link_key,
            account: identity.account_id(),
            seq,
            not_after,
            node_type,
            capabilities,
            signature: [0; SIGNATURE_LEN],
        };
        record.signature = identity.sign(Domain::NodeRecord, &record.signed_bytes());
        record
    }

    /// Of a node of low power: after so long without a packet of it its link is down. None of others.
    pub(crate) fn silent_for(&self) -> Option<Duration> {
        let seconds = u64::from(self.capabilities >> SPEAKS_EVERY_SHIFT & 0xff);
        (seconds > 0).then(|| Duration::from_secs(seconds).saturating_mul(SILENT_PERIODS))
    }

    /// Whether it is a node of low power, which speaks first: nothing but messages is sent to it unasked.
    pub(crate) fn is_low_power(&self) -> bool {
        self.silent_for().is_some()
    }

    /// Whether a node of this `power` leaves it to this one to begin. Two of low power both do.
    pub(crate) fn speaks_first_to(&self, power: Power) -> bool {
        self.is_low_power() && power == Power::Normal
    }

    /// The id of the node that signed this.
    pub fn id(&self) -> NodeId {
        node_id(&self.key)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(RECORD_LEN);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.link_key);
        out.extend_from_slice(&self.account.0);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.not_after.0.to_le_bytes());
        let kind = (self.capabilities << 8) | u32::from(self.node_type.to_byte());
        out.extend_from_slice(&kind.to_le_bytes());
        out
    }

    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signed_bytes();
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads a record and checks its signature.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::decode_unverified(bytes).and_then(|record| if record.is_genuine() { Ok(record) } else { Err(Malformed) })
    }

    /// Whether the signature is by the key that the record names (about 40 µs).
    pub(crate) fn is_genuine(&self) -> bool {
        verify(Domain::NodeRecord, &self.key, &self.signed_bytes(), &self.signature)
    }

    /// Whether its time is over by more than a clock may be wrong.
    pub(crate) fn is_expired(&self, wall: WallTime) -> bool {
        self.not_after.0.saturating_add(CLOCK_SKEW) < wall.0
    }

    /// Reads a record without checking its signature: for records that this node stored itself.
    pub(crate) fn decode_unverified(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != RECORD_LEN {
            return Err(Malformed);
        }
        let mut reader = Reader(bytes);
        let key = reader.take()?;
        let link_key = reader.take()?;
        let account = AccountId(reader.take()?);
        let seq = u64::from_le_bytes(reader.take()?);
        let not_after = WallTime(u64::from_le_bytes(reader.take()?));
        let kind = u32::from_le_bytes(reader.take()?);
        let node_type = NodeType::from_byte((kind & 0xff) as u8).ok_or(Malformed)?;
        let signature = reader.take()?;
        Ok(Self { key, link_key, account, seq, not_after, node_type, capabilities: kind >> 8, signature })
    }
}

/// Takes fixed-size fields off the front of a slice.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::identity;
    use proptest::prelude::*;

    fn record() -> NodeRecord {
        NodeRecord::sign(&identity(1), [5; 32], 3, WallTime(77), NodeType::Super)
    }

    #[test]
    fn a_record_reads_back_and_names_its_signer() {
        let r = record();
        assert_eq!(r.encode().len(), RECORD_LEN);
        let back = NodeRecord::decode(&r.encode()).unwrap();
        assert_eq!(back, r);
        assert_eq!(back.id(), identity(1).node_id());
    }

    /// Mutation: `silent_for` reads another bit.
    #[test]
    fn a_record_states_how_often_a_node_of_low_power_speaks() {
        let mut config = Config { bot: true, ..Config::default() };
        let of = |config: &Config| NodeRecord::sign(&identity(1), [5; 32], 3, WallTime(77), config);
        assert_eq!(of(&config).silent_for(), None);
        config.power = Power::Low;
        let back = NodeRecord::decode(&of(&config).encode()).unwrap();
        assert_eq!((back.silent_for(), back.capabilities & BOT), (Some(Duration::from_secs(100)), BOT));
        config.link.low_power_keepalive = Duration::from_secs(255);
        assert_eq!(of(&config).silent_for(), Some(Duration::from_secs(1_020)));
    }

    proptest! {
        // libp2p-core RUSTSEC-2019-0004 and -2022-0009: any signature valid, key not compared.
        #[test]
        fn one_changed_byte_is_refused(at in 0usize..RECORD_LEN, by in 1u8..=255) {
            let mut bytes = record().encode();
            bytes[at] ^= by;
            prop_assert!(NodeRecord::decode(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(r) = NodeRecord::decode_unverified(&bytes) {
                prop_assert_eq!(r.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_right_signature_by_the_wrong_key_is_refused() {
        let mut r = record();
        r.key = identity(2).public_key();
        assert!(NodeRecord::decode(&r.encode()).is_err());
    }
}
