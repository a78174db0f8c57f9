//! One key pair in use: packet numbers, the replay window, and what of the other side's packets has
//! been seen and must be acknowledged.

use alloc::vec::Vec;

use zeroize::Zeroize;

use crate::link::frame::{ACK_RANGES, Ack, Ranges};
use crate::link::noise::{self, Split};
use crate::link::packet::{DATA_HEADER, NO_GENERATION, data_header};
use crate::time::{Duration, Instant, micros};

/// Packets under one key: 2^60, far below the 2^64 of the nonce (WireGuard §6.1).
/// INVARIANT: no number at or above it is sent or accepted, so no nonce repeats (RUSTSEC-2026-0071).
pub(super) const MAX_PACKETS: u64 = 1 << 60;
/// A new key is asked for this long before.
pub(super) const REKEY_PACKETS: u64 = MAX_PACKETS - (1 << 20);
/// Longest wait for a second packet before an acknowledgement (max_ack_delay, RFC 9000 §18.2).
pub(super) const ACK_DELAY: Duration = Duration::from_millis(25);
/// Packets that ask for an acknowledgement before it is sent at once (RFC 9000 §13.2.2).
const ACK_EVERY: u32 = 2;

/// The ring's `% 32` below go by it.
const WORDS: usize = 32;
/// Numbers the window reaches back: 2,048 (docs/design/links.md §3).
const WINDOW: u64 = (WORDS as u64) * 64;

/// Which of the last 2,048 packet numbers were seen. Checked before and marked after decryption.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    /// The highest number seen, plus one; zero before the first.
    next: u64,
    seen: [u64; WORDS],
}

impl Replay {
    pub(super) fn new() -> Self {
        Self { next: 0, seen: [0; WORDS] }
    }

    fn place(n: u64) -> (usize, u64) {
        (((n / 64) % 32) as usize, 1 << (n % 64))
    }

    pub(super) fn is_new(&self, n: u64) -> bool {
        if n >= self.next {
            return n < MAX_PACKETS;
        }
        // One word of the ring is the one being filled, so the reach is a word less.
        if self.next.saturating_sub(n) > WINDOW.saturating_sub(64) {
            return false;
        }
        let (word, bit) = Self::place(n);
        self.seen.get(word).is_some_and(|w| w & bit == 0)
    }

    /// Marks `n`; true if it is the highest so far.
    pub(super) fn mark(&mut self, n: u64) -> bool {
        let highest = n >= self.next;
        if highest {
            // Words between the old and the new head belong to numbers that were never seen.
            let from = self.next.div_ceil(64);
            let to = n / 64;
            for word in from..=to.min(from.saturating_add(WORDS as u64)) {
                if let Some(w) = self.seen.get_mut((word % 32) as usize) {
                    *w = 0;
                }
            }
            self.next = n.saturating_add(1);
        }
        let (word, bit) = Self::place(n);
        if let Some(w) = self.seen.get_mut(word) {
            *w |= bit;
        }
        highest
    }
}

/// A key pair after its handshake.
// Debug only in tests: it shows keys.
#[cfg_attr(test, derive(Clone, Debug))]
pub(super) struct Session {
    /// Names the session in packets to this node.
    pub local: u32,
    /// Names it in packets to the other node.
    pub remote: u32,
    send_key: [u8; 32],
    recv_key: [u8; 32],
    /// The post-quantum secret that its handshake mixed in.
    pub generation: u8,
    /// The hash of its handshake: equal at both ends, and of no other session.
    pub hash: [u8; 32],
    pub send_next: u64,
    /// Link-wide number of this session's packet 0, once it sends.
    pub base: u64,
    replay: Replay,
    pub created: Instant,
    /// Whether this side made the first move; it is the one that renews (WireGuard §6.2).
    pub initiator: bool,
    received: Ranges,
    highest_at: Instant,
    unacked: u32,
    /// When the acknowledgement is due; none while nothing waits for one.
    pub ack_at: Option<Instant>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.send_key.zeroize();
        self.recv_key.zeroize();
    }
}

impl Session {
    pub(super) fn new(split: &Split, initiator: bool, local: u32, remote: u32, now: Instant) -> Self {
        let (send_key, recv_key) = if initiator {
            (split.initiator_to_responder, split.responder_to_initiator)
        } else {
            (split.responder_to_initiator, split.initiator_to_responder)
        };
        Self {
            local,
            remote,
            send_key,
            recv_key,
            generation: NO_GENERATION,
            hash: split.hash,
            send_next: 0,
            base: 0,
            replay: Replay::new(),
            created: now,
            initiator,
            received: Ranges::new(),
            highest_at: now,
            unacked: 0,
            ack_at: None,
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.send_next <= MAX_PACKETS && self.replay.next <= MAX_PACKETS {
            true => Ok(()),
            false => Err("a packet number is at or above the limit of a key"),
        }
    }

    /// Whether the keys may still seal.
    pub(super) fn may_send(&self, now: Instant, reject_after: Duration) -> bool {
        self.send_next < MAX_PACKETS && now.since(self.created) < reject_after
    }

    /// Writes the header for the next packet; the caller appends frames and then calls
    /// [`seal`](Self::seal).
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        data_header(out, self.remote, self.send_next);
    }

    /// Seals the packet begun in `out` and uses up its number, which it returns. None if the hard
    /// limit of packets is reached.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        let n = self.send_next;
        if n >= MAX_PACKETS {
            return None;
        }
        let header: [u8; DATA_HEADER] = out.first_chunk().copied()?;
        noise::seal(&self.send_key, n, &header, out, DATA_HEADER).ok()?;
        self.send_next = n.saturating_add(1);
        Some(n)
    }

    pub(super) fn is_new(&self, n: u64) -> bool {
        self.replay.is_new(n)
    }

    /// Decrypts a Data packet in place. Nothing changes if it is refused.
    pub(super) fn open<'a>(&self, n: u64, packet: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let (header, sealed) = packet.split_at_mut_checked(DATA_HEADER)?;
        noise::open(&self.recv_key, n, header, sealed).ok()
    }

    /// Takes note of an authentic packet; true if its number is the highest so far.
    pub(super) fn mark(&mut self, n: u64) -> bool {
        self.replay.mark(n)
    }

    /// Remembers that packet `n` arrived and whether it asks for an acknowledgement.
    pub(super) fn note(&mut self, n: u64, asks: bool, now: Instant) {
        let in_order = self.received.first().is_none_or(|&(_, high)| n == high.saturating_add(1));
        if self.received.first().is_none_or(|&(_, high)| n > high) {
            self.highest_at = now;
        }
        insert(&mut self.received, n);
        if !asks {
            return;
        }
        self.unacked = self.unacked.saturating_add(1);
        // A gap is reported at once: the sender can only see a loss through later acknowledgements
        // (RFC 9000 §13.2.1).
        let due = if self.unacked >= ACK_EVERY || !in_order { now } else { now + ACK_DELAY };
        self.ack_at = Some(self.ack_at.map_or(due, |at| at.min(due)));
    }

    /// The acknowledgement to send, if something new arrived since the last.
    pub(super) fn ack(&self, now: Instant) -> Option<Ack> {
        self.ack_at?;
        let delay = micros(now.since(self.highest_at));
        Some(Ack { session: self.remote, delay, ranges: self.received.clone() })
    }

    /// The acknowledgement went out; returns the highest number in it.
    pub(super) fn acked(&mut self) -> u64 {
        self.unacked = 0;
        self.ack_at = None;
        self.received.first().map_or(0, |&(_, high)| high)
    }

    /// The other side has our acknowledgement up to `highest`: older runs need no repeating
    /// (RFC 9000 §13.2.4).
    pub(super) fn forget_through(&mut self, highest: u64) {
        let top = self.received.first().copied();
        self.received.retain(|&(low, high)| high > highest || Some((low, high)) == top);
    }
}

/// Adds `n` to runs sorted from the highest; the lowest run is forgotten when there are too many.
fn insert(ranges: &mut Ranges, n: u64) {
    let at = ranges.iter().position(|&(low, _)| low <= n.saturating_add(1)).unwrap_or(ranges.len());
    let below = ranges.get(at).copied();
    match below {
        Some((low, high)) if n >= low && n <= high => return,
        Some((_, high)) if n == high.saturating_add(1) => {
            if let Some(run) = ranges.get_mut(at) {
                run.1 = n;
            }
        }
        Some((low, _)) if n.saturating_add(1) == low => {
            if let Some(run) = ranges.get_mut(at) {
                run.0 = n;
            }
        }
        _ => {
            if ranges.len() == ACK_RANGES {
                if at == ACK_RANGES {
                    return;
                }
                ranges.pop();
            }
            // There is a place for it now, so the insertion cannot fail.
            let _ = ranges.insert(at, (n, n));
            return;
        }
    }
    // The run may have grown into a neighbour.
    for i in [at, at.saturating_sub(1)] {
        let (Some(&upper), Some(&lower)) = (ranges.get(i), ranges.get(i.saturating_add(1))) else { continue };
        if lower.1.saturating_add(1) >= upper.0 {
            if let Some(run) = ranges.get_mut(i) {
                run.0 = lower.0;
            }
            ranges.remove(i.saturating_add(1));
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::collections::OrderedSet;
    use proptest::prelude::*;

    // The cases of boringtun's test_replay_counter, against the rule they stand for.
    #[test]
    fn the_replay_window_accepts_each_number_once() {
        let mut r = Replay::new();
        let mut take = |n: u64| {
            let new = r.is_new(n);
            if new {
                r.mark(n);
            }
            new
        };
        assert!(take(0) && !take(0) && take(2) && take(1) && !take(1));
        assert!(take(5_000));
        assert!(!take(5_001 - WINDOW), "too old to tell");
        assert!(take(5_000 - 1_900) && !take(5_000 - 1_900));
        assert!(take(1 << 40) && !take(5_001));
        assert!(!take(MAX_PACKETS) && !take(u64::MAX) && take(MAX_PACKETS - 1) && !take(MAX_PACKETS - 1));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_set(steps in prop::collection::vec((0u64..300, any::<bool>()), 1..400)) {
            let (mut r, mut set, mut head) = (Replay::new(), OrderedSet::new(), 1_000u64);
            for (by, forward) in steps {
                let n = if forward { head + by } else { head.saturating_sub(by * 8) };
                let reachable = n + WINDOW - 64 >= set.last().map_or(0, |h| h + 1);
                prop_assert_eq!(r.is_new(n), reachable && !set.contains(&n), "number {}", n);
                if r.is_new(n) {
                    prop_assert_eq!(r.mark(n), set.last().is_none_or(|h| n > *h));
                    set.insert(n);
                    head = head.max(n);
                }
            }
        }

        #[test]
        fn runs_are_the_highest_runs_of_the_set(numbers in prop::collection::vec(0u64..150, 1..120)) {
            let (mut ranges, mut set, mut cut) = (Ranges::new(), OrderedSet::new(), false);
            for n in numbers {
                insert(&mut ranges, n);
                set.insert(n);
                prop_assert!(ranges.windows(2).all(|w| w[0].0 > w[1].1 + 1), "{ranges:?}");
                for &(low, high) in &ranges {
                    prop_assert!((low..=high).all(|n| set.contains(&n)), "{ranges:?}");
                }
                // Once runs were forgotten, a late number below them is held without its neighbours.
                cut |= ranges.len() == ACK_RANGES;
                if !cut {
                    let held: u64 = ranges.iter().map(|(low, high)| high - low + 1).sum();
                    prop_assert_eq!(held as usize, set.len());
                }
            }
        }
    }

    #[test]
    fn acknowledgements_wait_for_a_second_packet_but_not_with_a_gap() {
        let split = Split { initiator_to_responder: [1; 32], responder_to_initiator: [2; 32], hash: [0; 32] };
        let mut s = Session::new(&split, true, 1, 2, Instant::ZERO);
        let now = Instant::from_micros(1_000);
        s.note(0, true, now);
        assert_eq!(s.ack_at, Some(now + ACK_DELAY));
        s.note(1, true, now);
        assert_eq!(s.ack_at, Some(now));
        assert_eq!(s.ack(now).unwrap().ranges.as_slice(), &[(0, 1)]);
        assert_eq!(s.acked(), 1);
        assert_eq!(s.ack(now), None);
        s.note(9, true, now);
        assert_eq!(s.ack_at, Some(now));
        s.forget_through(1);
        assert_eq!(s.ack(now).unwrap().ranges.as_slice(), &[(9, 9)]);
    }
}
