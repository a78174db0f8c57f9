//! The largest datagram of a path, found by the datagrams themselves (DPLPMTUD, RFC 8899): no word of a router is
//! needed, and none is believed, since any host can forge one.
//!
//! A search begins when a link has use for longer datagrams, so that a link for short messages never pays for one.

use crate::time::{Duration, Instant};
use crate::wire::{BASE_DATAGRAM, LEAST_DATAGRAM};

/// Tries of a length (MAX_PROBES, RFC 8899 §5.1.2).
const TRIES: u8 = 3;
/// Rounds in which only long datagrams were lost, after which the path does not carry them (RFC 8899 §4.3; quinn
/// `BLACK_HOLE_THRESHOLD`).
const SUSPICIONS: u8 = 3;
/// A search ends when it is as near as this (quinn `MtuDiscoveryConfig::minimum_change`).
const NEAR: usize = 20;
/// Full datagrams that came through before a longer one is tried: 36 KiB, so a link with short messages only never
/// does.
const USED: u32 = 32;
/// A path may grow: it is searched again after this (PMTU_RAISE_TIMER, RFC 8899 §5.1.1).
const RAISE: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    /// So many full datagrams came through.
    Unused(u32),
    /// This length is tried.
    Probing { length: usize, tries: u8, in_flight: bool },
    /// The longest is known.
    Done(Instant),
}

#[derive(Clone, Debug)]
pub(super) struct PathMtu {
    /// Bytes of the longest datagram that is sent.
    length: usize,
    /// The longest to try.
    most: usize,
    /// No longer one is tried: this did not come through.
    limit: usize,
    search: Search,
    suspicions: u8,
    /// Datagrams that left before this belong to the last suspicion.
    suspected: Instant,
}

impl PathMtu {
    pub(super) fn new(most: usize) -> Self {
        Self {
            length: BASE_DATAGRAM.min(most),
            most,
            limit: most.saturating_add(1),
            search: Search::Unused(0),
            suspicions: 0,
            suspected: Instant::ZERO,
        }
    }

    /// The longest datagram that may be sent.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The path is another one.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.most);
    }

    /// The length to try now.
    pub(super) fn probe(&self) -> Option<usize> {
        match self.search {
            Search::Probing { length, in_flight: false, .. } => Some(length),
            Search::Probing { .. } | Search::Unused(_) | Search::Done(_) => None,
        }
    }

    /// A probe left.
    pub(super) fn on_probe(&mut self) {
        if let Search::Probing { in_flight, .. } = &mut self.search {
            *in_flight = true;
        }
    }

    /// The longest after which lost ones are suspicious: what carries when the present length does not.
    fn lower(&self) -> usize {
        if self.length > BASE_DATAGRAM { BASE_DATAGRAM } else { LEAST_DATAGRAM.min(self.length) }
    }

    /// A datagram of `length` bytes came through that was no probe.
    pub(super) fn on_acked(&mut self, length: usize, now: Instant) {
        if length > self.lower() {
            self.suspicions = 0;
        }
        if length < self.length.saturating_sub(NEAR) {
            return;
        }
        match self.search {
            Search::Unused(n) if n >= USED => self.search(now),
            Search::Unused(n) => self.search = Search::Unused(n.saturating_add(1)),
            Search::Done(at) if at <= now => {
                self.limit = self.most.saturating_add(1);
                self.search = Search::Unused(0);
            }
            Search::Done(_) | Search::Probing { .. } => {}
        }
    }

    /// A probe of `length` bytes came through.
    pub(super) fn on_measured(&mut self, length: usize, now: Instant) {
        if length > self.length && length < self.limit {
            self.length = length;
            self.suspicions = 0;
        }
        self.search(now);
    }

    /// A probe was lost.
    pub(super) fn on_unmeasured(&mut self, now: Instant) {
        let Search::Probing { length, tries, in_flight: true } = self.search else { return };
        let tries = tries.saturating_add(1);
        if tries < TRIES {
            self.search = Search::Probing { length, tries, in_flight: false };
        } else {
            self.limit = self.limit.min(length);
            self.search(now);
        }
    }

    /// Chooses the next length: the greatest first, since most paths carry it, then between what came through and
    /// what did not.
    fn search(&mut self, now: Instant) {
        let room = self.limit.saturating_sub(1).saturating_sub(self.length);
        let length = if self.limit > self.most { self.most } else { self.length.midpoint(self.limit) };
        self.search = if room == 0 || (self.limit <= self.most && room < NEAR) {
            Search::Done(now + RAISE)
        } else {
            Search::Probing { length, tries: 0, in_flight: false }
        };
    }

    /// Datagrams were lost, the longest of them with `length` bytes, which left at `sent`. True if the path does not
    /// carry such: then [`Self::length`] is less.
    pub(super) fn on_lost(&mut self, length: usize, sent: Instant, now: Instant) -> bool {
        if length <= self.lower() || sent < self.suspected {
            return false;
        }
        self.suspected = now;
        self.suspicions = self.suspicions.saturating_add(1);
        if self.suspicions < SUSPICIONS {
            return false;
        }
        self.shrink(length, now)
    }

    /// A datagram of `length` bytes does not pass: the system says so, or it was lost again and again. True if
    /// [`Self::length`] is less than before.
    pub(super) fn shrink(&mut self, length: usize, now: Instant) -> bool {
        if length <= LEAST_DATAGRAM {
            return false;
        }
        self.limit = self.limit.min(length);
        let shrinks = self.length >= length;
        if shrinks {
            self.length = if length > BASE_DATAGRAM { BASE_DATAGRAM } else { LEAST_DATAGRAM };
            self.suspicions = 0;
        }
        self.search(now);
        shrinks
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: usize = 1_452;

    /// Sends what is to be sent over a path that carries `path` bytes, a second a round; how many probes that took.
    fn run(mtu: &mut PathMtu, path: usize, now: &mut Instant, rounds: usize) -> usize {
        let mut probes = 0;
        for _ in 0..rounds {
            let sent = *now;
            *now = *now + Duration::from_secs(1);
            if let Some(length) = mtu.probe() {
                probes += 1;
                mtu.on_probe();
                if length <= path { mtu.on_measured(length, *now) } else { mtu.on_unmeasured(*now) }
            }
            let length = mtu.length();
            if length <= path {
                mtu.on_acked(length, *now);
            } else {
                mtu.on_lost(length, sent, *now);
            }
        }
        probes
    }

    proptest! {
        #[test]
        fn the_search_finds_what_a_path_carries(path in LEAST_DATAGRAM..1_600) {
            let (mut mtu, mut now) = (PathMtu::new(MOST), Instant::from_micros(1));
            let probes = run(&mut mtu, path, &mut now, 100);
            let carries = path.min(MOST);
            prop_assert!(mtu.length() <= carries && mtu.length() + NEAR >= carries, "{} of {path}", mtu.length());
            prop_assert!(probes <= 30, "{probes}");
            prop_assert_eq!(run(&mut mtu, path, &mut now, 100), 0, "then it rests");
        }

        #[test]
        fn a_path_that_changes_is_followed(paths in prop::collection::vec(LEAST_DATAGRAM..1_600, 1..5)) {
            let (mut mtu, mut now) = (PathMtu::new(MOST), Instant::from_micros(1));
            for path in paths {
                run(&mut mtu, path, &mut now, 900);
                let carries = path.min(MOST);
                prop_assert!(mtu.length() <= carries && mtu.length() + NEAR >= carries, "{} of {path}", mtu.length());
            }
        }
    }

    #[test]
    fn a_wide_path_takes_one_probe_and_a_link_in_use() {
        let (mut mtu, mut now) = (PathMtu::new(MOST), Instant::from_micros(1));
        for _ in 0..1_000 {
            mtu.on_acked(200, now);
        }
        assert_eq!(mtu.probe(), None, "short messages need none");
        assert_eq!(run(&mut mtu, 9_000, &mut now, 100), 1);
        assert_eq!(mtu.length(), MOST);
    }

    #[test]
    fn losses_of_any_length_do_not_shorten_datagrams() {
        let mut mtu = PathMtu::new(MOST);
        for n in 1..100 {
            let sent = Instant::from_micros(n * 1_000_000);
            assert!(!mtu.on_lost(1_200, sent, sent + Duration::from_millis(900)));
            if n % 2 == 0 {
                mtu.on_acked(1_200, sent + Duration::from_millis(950));
            }
        }
        assert_eq!(mtu.length(), 1_200);
        let at = Instant::from_micros(200_000_000);
        for _ in 0..100 {
            assert!(!mtu.on_lost(1_200, at, at + Duration::from_millis(1)), "one round counts once");
            assert!(!mtu.on_lost(500, at + Duration::from_secs(1), at + Duration::from_secs(2)));
        }
    }

    #[test]
    fn a_refused_length_is_not_sent_again() {
        let (mut mtu, mut now) = (PathMtu::new(MOST), Instant::from_micros(1));
        run(&mut mtu, 9_000, &mut now, 100);
        assert!(mtu.shrink(1_452, now));
        assert_eq!(mtu.length(), 1_200);
        assert!(mtu.probe().unwrap() < 1_452);
        assert!(mtu.shrink(1_200, now));
        assert_eq!(mtu.length(), LEAST_DATAGRAM);
        assert!(!mtu.shrink(100, now), "no path is that narrow");
        assert_eq!(mtu.length(), LEAST_DATAGRAM);
    }
}
