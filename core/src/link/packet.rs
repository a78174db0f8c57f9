//! The seven datagrams of the link layer, byte by byte. Pure; `docs/spec/link.md` shows each in hex.
//!
//! Everything is little-endian; byte 0 is the type, byte 1 the version.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::identity::SIGNATURE_LEN;
use crate::time::WallTime;
use crate::wire::Malformed;
use crate::wire::record::{RECORD_LEN, Reader};

pub(super) const VERSION: u8 = 2;
pub(super) const INIT: u8 = 1;
pub(super) const RESP: u8 = 2;
pub(super) const COOKIE_REPLY: u8 = 3;
pub(super) const DATA: u8 = 4;
pub(super) const RECORD_REQUEST: u8 = 5;
pub(super) const RECORD_REPLY: u8 = 6;
pub(super) const RECORD_OUTDATED: u8 = 7;

pub(super) const MAC_LEN: usize = 16;
/// Type, version, receiver's index, packet number.
pub(super) const DATA_HEADER: usize = 14;
/// What a Data packet costs beyond its frames.
pub(super) const DATA_OVERHEAD: usize = DATA_HEADER + super::noise::TAG_LEN;

/// Record 180, stamp 8, boot 8, incarnation 4, post-quantum generation 1.
pub(super) const INIT_PAYLOAD: usize = RECORD_LEN + 21;
/// The post-quantum generation that a handshake mixes in: none. The place for others is laid out.
pub(super) const NO_GENERATION: u8 = 0;
/// Ephemeral key 32, static key and tag 48, payload and tag.
const INIT_NOISE: usize = 32 + 48 + INIT_PAYLOAD + 16;
/// Bytes before the Noise message of an Init: type, version, sender's index.
pub(super) const INIT_HEADER: usize = 6;
pub(super) const INIT_LEN: usize = INIT_HEADER + INIT_NOISE + 2 * MAC_LEN;

/// Sender's index 4, observed address 19, record sequence 8, boot 8, incarnation 4.
pub(super) const RESP_PAYLOAD: usize = 4 + ADDR_LEN + 8 + 8 + 4;
const RESP_NOISE: usize = 32 + RESP_PAYLOAD + 16;
/// Bytes before the Noise message of a Resp: type, version, sender's index, receiver's index, generation.
pub(super) const RESP_HEADER: usize = 11;
pub(super) const RESP_LEN: usize = RESP_HEADER + RESP_NOISE + 2 * MAC_LEN;

/// Type, version, receiver's index, nonce 24, sealed cookie 16 and tag 16.
pub(super) const COOKIE_LEN: usize = 6 + 24 + 32;
/// Padded, so that the reply is the smaller of the two, and not longer than an Init, which it may answer
/// (docs/design/links.md §1).
pub(super) const RECORD_REQUEST_LEN: usize = 320;
/// Type, version, token 16, record, proof that it is current, cookie 16.
pub(super) const RECORD_REPLY_LEN: usize = 2 + 16 + RECORD_LEN + SIGNATURE_LEN + 16;
/// Type, version, receiver's index, record.
pub(super) const RECORD_OUTDATED_LEN: usize = 6 + RECORD_LEN;

/// A socket address: family 1 (4 or 6), address 16 (an IPv4 address and twelve zeros), port 2.
pub(super) const ADDR_LEN: usize = 19;

// The anti-amplification law: no reply is longer than its request.
const _: () = assert!(RESP_LEN <= INIT_LEN && COOKIE_LEN <= INIT_LEN && RECORD_REPLY_LEN <= RECORD_REQUEST_LEN);
const _: () = assert!(RECORD_REQUEST_LEN <= INIT_LEN && RECORD_OUTDATED_LEN <= INIT_LEN);

pub(super) fn put_addr(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
            out.extend_from_slice(&[0; 12]);
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&addr.port().to_le_bytes());
}

pub(super) fn take_addr(reader: &mut Reader<'_>) -> Result<SocketAddr, Malformed> {
    let [family] = reader.take()?;
    let bytes: [u8; 16] = reader.take()?;
    let port = u16::from_le_bytes(reader.take()?);
    let ip = match (family, bytes) {
        (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => IpAddr::from([a, b, c, d]),
        (6, bytes) => IpAddr::V6(Ipv6Addr::from(bytes)),
        _ => return Err(Malformed),
    };
    Ok(SocketAddr::new(ip, port))
}

/// What kind of datagram this is, if its type, version and length go together.
pub(super) fn kind(bytes: &[u8]) -> Result<u8, Malformed> {
    let [kind, VERSION, ..] = bytes else { return Err(Malformed) };
    let fits = match *kind {
        INIT => bytes.len() == INIT_LEN,
        RESP => bytes.len() == RESP_LEN,
        COOKIE_REPLY => bytes.len() == COOKIE_LEN,
        DATA => bytes.len() >= DATA_OVERHEAD && bytes.len() <= crate::wire::MAX_DATAGRAM,
        RECORD_REQUEST => bytes.len() == RECORD_REQUEST_LEN,
        RECORD_REPLY => bytes.len() == RECORD_REPLY_LEN,
        RECORD_OUTDATED => bytes.len() == RECORD_OUTDATED_LEN,
        _ => false,
    };
    if fits { Ok(*kind) } else { Err(Malformed) }
}

/// What any node on the path can read of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visible<'a> {
    Init { sender: u32, sealed: &'a [u8] },
    Resp { sender: u32, receiver: u32, generation: u8, sealed: &'a [u8] },
    CookieReply { receiver: u32, sealed: &'a [u8] },
    Data { receiver: u32, number: u64, sealed: &'a [u8] },
    RecordRequest,
    RecordReply { record: &'a [u8] },
    RecordOutdated { receiver: u32, record: &'a [u8] },
}

pub(crate) fn visible(bytes: &[u8]) -> Result<Visible<'_>, Malformed> {
    let kind = kind(bytes)?;
    let mut r = Reader(bytes);
    r.slice(2)?;
    let mut index = || r.take().map(u32::from_le_bytes);
    Ok(match kind {
        INIT => Visible::Init { sender: index()?, sealed: macs(r.0)?.body },
        RESP => {
            let (sender, receiver, [generation]) = (index()?, index()?, r.take()?);
            Visible::Resp { sender, receiver, generation, sealed: macs(r.0)?.body }
        }
        COOKIE_REPLY => Visible::CookieReply { receiver: index()?, sealed: r.0 },
        DATA => Visible::Data { receiver: index()?, number: u64::from_le_bytes(r.take()?), sealed: r.0 },
        RECORD_REQUEST => Visible::RecordRequest,
        RECORD_OUTDATED => Visible::RecordOutdated { receiver: index()?, record: r.slice(RECORD_LEN)? },
        _ => {
            r.slice(16)?;
            Visible::RecordReply { record: r.slice(RECORD_LEN)? }
        }
    })
}

/// The four bytes at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Malformed> {
    let (_, tail) = bytes.split_at_checked(at).ok_or(Malformed)?;
    Reader(tail).take().map(u32::from_le_bytes)
}

/// A handshake packet cut at its two MACs.
pub(super) struct Macs<'a> {
    /// What `mac1` covers.
    pub body: &'a [u8],
    pub mac1: [u8; MAC_LEN],
    /// What `mac2` covers.
    pub with_mac1: &'a [u8],
    pub mac2: [u8; MAC_LEN],
}

pub(super) fn macs(bytes: &[u8]) -> Result<Macs<'_>, Malformed> {
    let at = bytes.len().checked_sub(MAC_LEN).ok_or(Malformed)?;
    let (with_mac1, mac2) = bytes.split_at_checked(at).ok_or(Malformed)?;
    let at = at.checked_sub(MAC_LEN).ok_or(Malformed)?;
    let (body, mac1) = with_mac1.split_at_checked(at).ok_or(Malformed)?;
    Ok(Macs { body, mac1: Reader(mac1).take()?, with_mac1, mac2: Reader(mac2).take()? })
}

/// The encrypted part of an Init: the sender's record, the order of this attempt, the incarnation of the link, and the
/// newest post-quantum generation of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InitPayload {
    pub record: [u8; RECORD_LEN],
    pub stamp: Stamp,
    pub epoch: Epoch,
    pub generation: u8,
}

impl InitPayload {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(INIT_PAYLOAD);
        out.extend_from_slice(&self.record);
        out.extend_from_slice(&self.stamp.0.to_le_bytes());
        self.epoch.put(&mut out);
        out.push(self.generation);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != INIT_PAYLOAD {
            return Err(Malformed);
        }
        let mut r = Reader(bytes);
        let record = r.take()?;
        let stamp = Stamp(u64::from_le_bytes(r.take()?));
        let epoch = Epoch::take(&mut r)?;
        let [generation] = r.take()?;
        Ok(Self { record, stamp, epoch, generation })
    }
}

/// The order of a node's handshakes: milliseconds of its date, at least one more than the stamp before (WireGuard §5.1
/// has TAI64N for it).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(pub u64);

impl Stamp {
    pub(super) fn next(self, wall: WallTime) -> Self {
        Self(self.0.saturating_add(1).max(wall.0))
    }
}

/// The incarnation of a link that a handshake belongs to: a new one means that the other side holds nothing of
/// the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch {
    /// Drawn at each start of the node.
    pub boot: u64,
    pub incarnation: u32,
}

impl Epoch {
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.boot.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { boot: u64::from_le_bytes(r.take()?), incarnation: u32::from_le_bytes(r.take()?) })
    }
}

/// The encrypted part of a Resp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RespPayload {
    /// Repeats the sender's index of the header, which Noise does not cover.
    pub index: u32,
    pub observed: SocketAddr,
    pub record_seq: u64,
    pub epoch: Epoch,
}

impl RespPayload {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(RESP_PAYLOAD);
        out.extend_from_slice(&self.index.to_le_bytes());
        put_addr(&mut out, self.observed);
        out.extend_from_slice(&self.record_seq.to_le_bytes());
        self.epoch.put(&mut out);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != RESP_PAYLOAD {
            return Err(Malformed);
        }
        let mut r = Reader(bytes);
        Ok(Self {
            index: u32::from_le_bytes(r.take()?),
            observed: take_addr(&mut r)?,
            record_seq: u64::from_le_bytes(r.take()?),
            epoch: Epoch::take(&mut r)?,
        })
    }
}

/// The first bytes of a Data packet; they are its associated data.
pub(super) fn data_header(out: &mut Vec<u8>, receiver: u32, number: u64) {
    out.extend_from_slice(&[DATA, VERSION]);
    out.extend_from_slice(&receiver.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn payloads_read_back(
            bytes in prop::collection::vec(any::<u8>(), INIT_PAYLOAD),
            at in prop::collection::vec(any::<u8>(), RESP_PAYLOAD),
        ) {
            prop_assert_eq!(InitPayload::decode(&bytes).unwrap().encode(), bytes);
            if let Ok(p) = RespPayload::decode(&at) {
                prop_assert_eq!(p.encode(), at);
            }
        }

        #[test]
        fn bytes_have_the_kind_of_their_type_version_and_length(
            first in 0u8..9, version in 0u8..4, length in 0usize..1_300, fits: bool,
        ) {
            let (low, high) = match first {
                INIT => (INIT_LEN, INIT_LEN),
                RESP => (RESP_LEN, RESP_LEN),
                COOKIE_REPLY => (COOKIE_LEN, COOKIE_LEN),
                DATA => (DATA_OVERHEAD, crate::wire::MAX_DATAGRAM),
                RECORD_REQUEST => (RECORD_REQUEST_LEN, RECORD_REQUEST_LEN),
                RECORD_REPLY => (RECORD_REPLY_LEN, RECORD_REPLY_LEN),
                RECORD_OUTDATED => (RECORD_OUTDATED_LEN, RECORD_OUTDATED_LEN),
                _ => (1, 0),
            };
            let length = if fits { high.max(2) } else { length };
            let mut bytes = vec![0; length];
            bytes.iter_mut().zip([first, version]).for_each(|(byte, value)| *byte = value);
            let known = length >= 2 && version == VERSION && (low..=high).contains(&length);
            prop_assert_eq!(kind(&bytes), if known { Ok(first) } else { Err(Malformed) });
        }

        #[test]
        fn bytes_are_cut_at_their_macs_if_they_are_long_enough(bytes: Vec<u8>, at in 0usize..40) {
            match macs(&bytes) {
                Ok(cut) => {
                    prop_assert_eq!([cut.body, &cut.mac1].concat(), cut.with_mac1);
                    prop_assert_eq!([cut.with_mac1, &cut.mac2].concat(), bytes.clone());
                }
                Err(Malformed) => prop_assert!(bytes.len() < 2 * MAC_LEN),
            }
            let four = bytes.get(at..at + 4).map(|four| u32::from_le_bytes(four.try_into().unwrap()));
            prop_assert_eq!(u32_at(&bytes, at).ok(), four);
        }
    }

    #[test]
    fn addresses_read_back_in_one_form() {
        for text in ["1.2.3.4:5", "[2001:db8::1]:65535"] {
            let addr: SocketAddr = text.parse().unwrap();
            let mut out = Vec::new();
            put_addr(&mut out, addr);
            assert_eq!(out.len(), ADDR_LEN);
            assert_eq!(take_addr(&mut Reader(&out)), Ok(addr));
        }
        let mut odd = vec![4, 1, 2, 3, 4];
        odd.extend([9; 14]);
        assert!(take_addr(&mut Reader(&odd)).is_err(), "bytes after an IPv4 address must be zero");
    }

    #[test]
    fn stamps_follow_the_date_and_always_rise() {
        let first = Stamp(5).next(WallTime(9));
        let set_back = first.next(WallTime(2));
        assert_eq!([first, set_back], [Stamp(9), Stamp(10)]);
    }
}
