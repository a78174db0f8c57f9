//! Frames: what the plaintext of a Data packet is a list of. Pure; parsed as slices, no allocation.
//!
//! Numbers marked "varint" are LEB128 in the shortest form, so that every frame has exactly one encoding.

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::link::packet::{put_addr, take_addr};
use crate::wire::record::Reader;
use crate::wire::{MAX_MESSAGE, Malformed};

const PADDING: u8 = 0;
const PING: u8 = 1;
const ACK: u8 = 2;
const PATH_CHALLENGE: u8 = 3;
const PATH_RESPONSE: u8 = 4;
const MESSAGE: u8 = 5;
const FRAGMENT: u8 = 6;
const CLOSE: u8 = 7;
const OBSERVED: u8 = 8;
const PROBE: u8 = 0x20;

/// Ranges of packet numbers in one ACK (docs/design/links.md §3).
pub(super) const ACK_RANGES: usize = 32;
/// Bytes of the longest message in one frame: a datagram of 1,200 bytes with it has 66 left for an ACK. Longer ones
/// are cut.
pub(super) const PIECE: usize = 1_100;
/// The most that a FRAGMENT adds to its piece: code, number, channel, total, start, length.
pub(super) const FRAGMENT_OVERHEAD: usize = 1 + 5 + 1 + 3 + 3 + 2;
/// The most that a MESSAGE of at most [`PIECE`] bytes adds to its body.
pub(super) const MESSAGE_OVERHEAD: usize = 1 + 1 + 2;

/// Inclusive runs of packet numbers, highest first, with a gap of at least one number between two.
pub(super) type Ranges = heapless::Vec<(u64, u64), ACK_RANGES>;

/// What arrived under one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// The session's index at the receiver of this frame, which sent the acknowledged packets.
    pub session: u32,
    /// Microseconds between the arrival of the highest number and this frame.
    pub delay: u64,
    /// (lowest, highest) of each run.
    pub ranges: Ranges,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one lives on the stack while a packet is read; a box would allocate")]
pub(super) enum Frame<'a> {
    Padding,
    /// Asks for an acknowledgement, and says that a machine there wants this link.
    Ping,
    Ack(Ack),
    PathChallenge([u8; 8]),
    PathResponse([u8; 8]),
    Message {
        channel: u8,
        body: &'a [u8],
    },
    Fragment(Fragment<'a>),
    Close(u8),
    /// The address at which the sender sees the receiver.
    Observed(SocketAddr),
    /// Asks for an acknowledgement of a datagram of this length.
    Probe,
}

/// Some bytes of a message. Any cut will do, and the next one may be another: what a path carries changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    /// Numbers the fragmented messages of one link.
    pub number: u32,
    pub channel: u8,
    /// Bytes of the whole message.
    pub total: u32,
    /// Bytes of it before the piece.
    pub start: u32,
    pub piece: &'a [u8],
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Bytes of a varint.
fn varint_len(n: u64) -> usize {
    let bits = 64u32.saturating_sub(n.leading_zeros()).max(1);
    bits.div_ceil(7) as usize
}

fn take_varint(r: &mut Reader<'_>) -> Result<u64, Malformed> {
    let mut out = 0u64;
    for shift in (0..64).step_by(7) {
        let [byte] = r.take()?;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return Err(Malformed);
        }
        out |= bits << shift;
        if byte & 0x80 == 0 {
            // A zero last byte would be a second encoding of the same number.
            return if byte == 0 && shift > 0 { Err(Malformed) } else { Ok(out) };
        }
    }
    Err(Malformed)
}

impl Ack {
    /// Appends the frame with as many ranges as fit into `free` bytes, newest first. False if not
    /// even one fits; then nothing is appended.
    pub(super) fn encode(&self, out: &mut Vec<u8>, free: usize) -> bool {
        let Some(&(low, high)) = self.ranges.first() else { return false };
        let first = high.saturating_sub(low);
        let fixed = [high, self.delay, first].into_iter().fold(6usize, |sum, n| sum.saturating_add(varint_len(n)));
        if fixed > free {
            return false;
        }
        let mut used = fixed;
        let mut more = 0u8;
        let mut below = low;
        for &(low, high) in self.ranges.iter().skip(1) {
            let (gap, len) = step(below, low, high);
            used = used.saturating_add(varint_len(gap)).saturating_add(varint_len(len));
            if used > free {
                break;
            }
            more = more.saturating_add(1);
            below = low;
        }
        out.push(ACK);
        out.extend_from_slice(&self.session.to_le_bytes());
        put_varint(out, high);
        put_varint(out, self.delay);
        out.push(more);
        put_varint(out, first);
        below = low;
        for &(low, high) in self.ranges.iter().skip(1).take(usize::from(more)) {
            let (gap, len) = step(below, low, high);
            put_varint(out, gap);
            put_varint(out, len);
            below = low;
        }
        true
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let session = u32::from_le_bytes(r.take()?);
        let high = take_varint(r)?;
        let delay = take_varint(r)?;
        let [more] = r.take()?;
        let mut low = high.checked_sub(take_varint(r)?).ok_or(Malformed)?;
        let mut ranges = Ranges::new();
        ranges.push((low, high)).map_err(|_| Malformed)?;
        for _ in 0..more {
            // Two runs touch if no number is missing between them: that would be one run.
            let high = low.checked_sub(take_varint(r)?).and_then(|n| n.checked_sub(2)).ok_or(Malformed)?;
            low = high.checked_sub(take_varint(r)?).ok_or(Malformed)?;
            ranges.push((low, high)).map_err(|_| Malformed)?;
        }
        Ok(Self { session, delay, ranges })
    }
}

/// Numbers missing above a run, less one, and the run's length, less one.
fn step(below: u64, low: u64, high: u64) -> (u64, u64) {
    (below.saturating_sub(high).saturating_sub(2), high.saturating_sub(low))
}

impl<'a> Frame<'a> {
    #[cfg(any(test, fuzzing, feature = "fuzzing"))]
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Padding => out.push(PADDING),
            Self::Ping => out.push(PING),
            Self::Ack(ack) => {
                ack.encode(out, usize::MAX);
            }
            Self::PathChallenge(token) => put_challenge(out, token),
            Self::PathResponse(token) => put_response(out, token),
            Self::Message { channel, body } => put_message(out, *channel, body),
            Self::Fragment(f) => put_fragment(out, f),
            Self::Close(reason) => put_close(out, *reason),
            Self::Observed(addr) => put_observed(out, *addr),
            Self::Probe => out.push(PROBE),
        }
    }

    /// Takes one frame off the front.
    pub(super) fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let [code] = r.take()?;
        Ok(match code {
            PADDING => Self::Padding,
            PING => Self::Ping,
            ACK => Self::Ack(Ack::decode(r)?),
            PATH_CHALLENGE => Self::PathChallenge(r.take()?),
            PATH_RESPONSE => Self::PathResponse(r.take()?),
            MESSAGE => {
                let [channel] = r.take()?;
                let len = usize::try_from(take_varint(r)?).map_err(|_| Malformed)?;
                if len > PIECE {
                    return Err(Malformed);
                }
                Self::Message { channel, body: r.slice(len)? }
            }
            FRAGMENT => Self::Fragment(Fragment::decode(r)?),
            CLOSE => {
                let [reason] = r.take()?;
                Self::Close(reason)
            }
            OBSERVED => Self::Observed(take_addr(r)?),
            PROBE => Self::Probe,
            _ => return Err(Malformed),
        })
    }
}

impl<'a> Fragment<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let number = u32::try_from(take_varint(r)?).map_err(|_| Malformed)?;
        let [channel] = r.take()?;
        let total = u32::try_from(take_varint(r)?).map_err(|_| Malformed)?;
        let start = u32::try_from(take_varint(r)?).map_err(|_| Malformed)?;
        let len = u32::try_from(take_varint(r)?).map_err(|_| Malformed)?;
        let fits = total as usize <= MAX_MESSAGE && len > 0 && start.checked_add(len).is_some_and(|end| end <= total);
        if !fits {
            return Err(Malformed);
        }
        Ok(Self { number, channel, total, start, piece: r.slice(len as usize)? })
    }
}

pub(super) fn put_ping(out: &mut Vec<u8>) {
    out.push(PING);
}

/// A probe that fills its datagram to `end` bytes.
pub(super) fn put_probe(out: &mut Vec<u8>, end: usize) {
    out.push(PROBE);
    out.resize(end.max(out.len()), PADDING);
}

pub(super) fn put_challenge(out: &mut Vec<u8>, token: &[u8; 8]) {
    out.push(PATH_CHALLENGE);
    out.extend_from_slice(token);
}

pub(super) fn put_response(out: &mut Vec<u8>, token: &[u8; 8]) {
    out.push(PATH_RESPONSE);
    out.extend_from_slice(token);
}

pub(super) fn put_message(out: &mut Vec<u8>, channel: u8, body: &[u8]) {
    out.extend_from_slice(&[MESSAGE, channel]);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

pub(super) fn put_fragment(out: &mut Vec<u8>, f: &Fragment<'_>) {
    out.push(FRAGMENT);
    put_varint(out, u64::from(f.number));
    out.push(f.channel);
    put_varint(out, u64::from(f.total));
    put_varint(out, u64::from(f.start));
    put_varint(out, f.piece.len() as u64);
    out.extend_from_slice(f.piece);
}

pub(super) fn put_close(out: &mut Vec<u8>, reason: u8) {
    out.extend_from_slice(&[CLOSE, reason]);
}

pub(super) fn put_observed(out: &mut Vec<u8>, addr: SocketAddr) {
    out.push(OBSERVED);
    put_addr(out, addr);
}

/// Whether all of `plain` is well-formed frames.
pub(super) fn well_formed(plain: &[u8]) -> bool {
    let mut r = Reader(plain);
    while !r.0.is_empty() {
        if Frame::decode(&mut r).is_err() {
            return false;
        }
    }
    true
}

/// Reads frames and writes them again: what is read must come out byte for byte.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub(super) fn check_canonical(plain: &[u8]) {
    let mut r = Reader(plain);
    while !r.0.is_empty() {
        let before = r.0;
        let Ok(frame) = Frame::decode(&mut r) else { return };
        let used = before.len().saturating_sub(r.0.len());
        let mut again = Vec::new();
        frame.encode(&mut again);
        assert_eq!(Some(again.as_slice()), before.get(..used), "{frame:?} has two encodings");
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn round(frame: &Frame<'_>) {
        let mut out = Vec::new();
        frame.encode(&mut out);
        let mut r = Reader(&out);
        assert_eq!(Frame::decode(&mut r).as_ref(), Ok(frame));
        assert!(r.0.is_empty());
        for cut in 0..out.len() {
            assert!(Frame::decode(&mut Reader(&out[..cut])).is_err(), "{frame:?} cut at {cut}");
        }
    }

    #[test]
    fn every_frame_reads_back_and_no_cut_one_does() {
        let mut ranges = Ranges::new();
        ranges.push((90, 100)).unwrap();
        ranges.push((88, 88)).unwrap();
        ranges.push((0, 5)).unwrap();
        let body = vec![7; PIECE];
        for frame in [
            Frame::Padding,
            Frame::Ping,
            Frame::Ack(Ack { session: 9, delay: 300, ranges }),
            Frame::PathChallenge([1; 8]),
            Frame::PathResponse([2; 8]),
            Frame::Message { channel: 3, body: b"" },
            Frame::Message { channel: 200, body: &body },
            Frame::Fragment(Fragment {
                number: u32::MAX,
                channel: 1,
                total: MAX_MESSAGE as u32,
                start: (MAX_MESSAGE - PIECE) as u32,
                piece: &body,
            }),
            Frame::Close(2),
            Frame::Observed("[::1]:9".parse().unwrap()),
            Frame::Probe,
        ] {
            round(&frame);
        }
    }

    #[test]
    fn unknown_codes_are_not_frames() {
        for code in (9..=255u8).filter(|code| *code != PROBE) {
            assert!(!well_formed(&[code, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "{code}");
        }
    }

    // docs/design/reliability.md §2: every count, length and time from the wire at its ends.
    #[test]
    fn extreme_numbers_are_read_or_refused() {
        let ends = [0, 1, PIECE as u64, MAX_MESSAGE as u64, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        for a in ends {
            for b in ends {
                for more in [0, 1, 31, 32, 254, 255] {
                    let mut ack = vec![ACK, 0, 0, 0, 0];
                    put_varint(&mut ack, a);
                    put_varint(&mut ack, b);
                    ack.push(more);
                    for _ in 0..=2 * u32::from(more) {
                        put_varint(&mut ack, a.min(b));
                    }
                    check_canonical(&ack);
                }
                for len in [0, 1, 63, 64, 255, 1_101] {
                    for (total, start) in [(b, a), (MAX_MESSAGE as u64, a), (a, b.saturating_sub(len))] {
                        let mut f = vec![FRAGMENT];
                        put_varint(&mut f, a);
                        f.push(1);
                        put_varint(&mut f, total);
                        put_varint(&mut f, start);
                        put_varint(&mut f, len);
                        f.extend([0; 1_200]);
                        check_canonical(&f);
                        let fits = len > 0 && start.saturating_add(len) <= total && total <= MAX_MESSAGE as u64;
                        let read = Frame::decode(&mut Reader(&f)).is_ok();
                        assert_eq!(read, fits && a <= u64::from(u32::MAX), "{a} {total} {start} {len}");
                    }
                }
            }
        }
        assert!(take_varint(&mut Reader(&[0x80, 0])).is_err(), "not the shortest form");
        assert!(take_varint(&mut Reader(&[0xff; 11])).is_err());
    }

    #[test]
    fn an_ack_omits_old_ranges_that_do_not_fit() {
        let mut ranges = Ranges::new();
        for n in 0..ACK_RANGES as u64 {
            ranges.push((1_000 - 10 * n, 1_001 - 10 * n)).unwrap();
        }
        let ack = Ack { session: 1, delay: 0, ranges };
        let mut out = Vec::new();
        assert!(ack.encode(&mut out, 20) && out.len() <= 20);
        let Ok(Frame::Ack(cut)) = Frame::decode(&mut Reader(&out)) else { panic!("not an ack") };
        assert!(cut.ranges.len() < ACK_RANGES && cut.ranges.iter().eq(ack.ranges.iter().take(cut.ranges.len())));
        assert!(!ack.encode(&mut Vec::new(), 8));
    }

    proptest! {
        #[test]
        fn any_bytes_are_frames_in_one_way_or_none(plain in prop::collection::vec(0u8..12, 0..200)) {
            check_canonical(&plain);
        }

        #[test]
        fn varints_read_back_at_their_length(n: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, n);
            prop_assert_eq!(out.len(), varint_len(n));
            prop_assert_eq!(take_varint(&mut Reader(&out)), Ok(n));
        }
    }
}
