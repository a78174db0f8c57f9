//! How much of a path one link may use: CUBIC (RFC 9438) with a slow start that ends before the buffer of the path
//! overflows (HyStart++, RFC 9406), and pacing (RFC 9002 §7.7). Whole numbers only: bytes, microseconds, and
//! milliseconds where CUBIC cubes them.

use crate::time::{Duration, Instant, micros, share};

/// RFC 9002 §7.2: ten datagrams, no more than 14,720 bytes.
const INITIAL_DATAGRAMS: u64 = 10;
const INITIAL_BYTES: u64 = 14_720;
/// The least window: four datagrams, as BBR's (`BBRMinPipeCwnd`, draft-ietf-ccwg-bbr §2.4), so that one loss is seen
/// by the datagrams after it. RFC 9002 §7.2 asks for two at least.
const LEAST_DATAGRAMS: u64 = 4;
/// CUBIC's β and C (RFC 9438 §4.6 and §5.1): 0.7 and 0.4.
const BETA: (u64, u64) = (7, 10);
/// CUBIC's α while it is as slow as Reno: 3 (1 - β) / (1 + β) = 9 / 17 (RFC 9438 §4.3).
const ALPHA: (u64, u64) = (9, 17);
/// Thousandths of a byte, so that growth by parts of a byte adds up.
const FINE: u64 = 1_000;

/// HyStart++ (RFC 9406 §4.3).
const MIN_RTT_THRESHOLD: Duration = Duration::from_millis(4);
const MAX_RTT_THRESHOLD: Duration = Duration::from_millis(16);
const RTT_SAMPLES: u32 = 8;
const CSS_GROWTH_DIVISOR: u64 = 4;
const CSS_ROUNDS: u8 = 5;

/// Pace of a congestion window in one round trip: 2 in slow start, 1.25 else (Linux `tcp_pacing_ss_ratio`; RFC 9002
/// §7.7).
const PACE_SLOW_START: (u64, u64) = (2, 1);
const PACE: (u64, u64) = (5, 4);
/// What may leave at once: 2 ms of the pace, 10 to 256 datagrams (quinn `connection/pacing.rs`). The timers of a host
/// are no finer.
const BURST: Duration = Duration::from_millis(2);
const BURST_LEAST: u64 = 10;
const BURST_MOST: u64 = 256;
/// Bytes that a window never exceeds: 16 MiB, far beyond what may be queued to one peer
/// (`Limits::link_queue_bytes`).
const MOST: u64 = 16 << 20;

/// The search for the end of slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SlowStart,
    /// Conservative slow start: the round trip grew over this; so many rounds are left of it.
    Conservative {
        baseline: Duration,
        rounds: u8,
    },
    Avoidance,
}

/// One round trip of slow start: it ends when what was sent last at its begin is acknowledged.
#[derive(Clone, Copy, Debug)]
struct Round {
    end: u64,
    min: Option<Duration>,
    samples: u32,
    last_min: Option<Duration>,
}

/// What CUBIC remembers of its last reduction.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    begin: Instant,
    /// Window at which the last loss occurred.
    max: u64,
    /// Milliseconds after which the window reaches `max` again.
    k: u64,
    /// Window of a Reno flow at its place, in thousandths of a byte.
    reno: u64,
    /// Window before the reduction.
    prior: u64,
}

/// State that an unnecessary reduction is undone with (RFC 9438 §4.9).
#[derive(Clone, Copy, Debug)]
struct Before {
    window: u64,
    threshold: u64,
    last_max: u64,
    epoch: Option<Epoch>,
    phase: Phase,
}

/// Congestion window and pace of one link.
#[derive(Debug)]
pub(super) struct Congestion {
    /// Bytes.
    window: u64,
    /// A part of a byte, in thousandths.
    fraction: u64,
    /// Bytes of datagrams that are neither acknowledged nor lost.
    in_flight: u64,
    /// Longest datagram: the unit of all growth.
    datagram: u64,
    phase: Phase,
    threshold: u64,
    round: Round,
    last_max: u64,
    epoch: Option<Epoch>,
    /// Since then a loss is of the same event (RFC 9002 §7.3.2).
    recovery: Option<Instant>,
    before: Option<Before>,
    /// When the window was full last: a window that is not used does not grow (RFC 9002 §7.8).
    full: Option<Instant>,
    /// Since then it is not.
    unused: Option<Instant>,
    /// Bytes that may leave at once, as of `refilled`.
    tokens: u64,
    refilled: Instant,
}

impl Congestion {
    pub(super) fn new(datagram: usize) -> Self {
        let datagram = datagram as u64;
        Self {
            window: initial(datagram),
            fraction: 0,
            in_flight: 0,
            datagram,
            phase: Phase::SlowStart,
            threshold: u64::MAX,
            round: Round { end: 0, min: None, samples: 0, last_min: None },
            last_max: 0,
            epoch: None,
            recovery: None,
            before: None,
            full: None,
            unused: None,
            tokens: initial(datagram),
            refilled: Instant::ZERO,
        }
    }

    /// The path is another one: nothing is known of it (RFC 9000 §9.4). What is in flight stays so.
    pub(super) fn reset(&mut self, datagram: usize) {
        *self = Self { in_flight: self.in_flight, ..Self::new(datagram) };
    }

    pub(super) fn set_datagram(&mut self, datagram: usize) {
        self.datagram = datagram as u64;
        self.window = self.window.max(self.least());
    }

    fn least(&self) -> u64 {
        self.datagram.saturating_mul(LEAST_DATAGRAMS)
    }

    #[cfg(test)]
    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// Whether the window has room for a datagram.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.saturating_add(self.datagram) <= self.window
    }

    /// Whether another datagram takes more than half of the window.
    pub(super) fn is_half_full(&self) -> bool {
        self.in_flight.saturating_add(self.datagram).saturating_mul(2) > self.window
    }

    /// Bytes a second.
    fn pace(&self, rtt: Duration) -> u64 {
        let (times, of) = if self.phase == Phase::SlowStart { PACE_SLOW_START } else { PACE };
        let window = self.window.saturating_mul(times).checked_div(of).unwrap_or(u64::MAX);
        window.saturating_mul(1_000_000).checked_div(micros(rtt)).unwrap_or(u64::MAX).max(1)
    }

    fn burst(&self, pace: u64) -> u64 {
        let bytes = pace.saturating_mul(micros(BURST)) / 1_000_000;
        let (least, most) = (self.datagram.saturating_mul(BURST_LEAST), self.datagram.saturating_mul(BURST_MOST));
        bytes.clamp(least, most)
    }

    fn tokens(&self, now: Instant, pace: u64) -> u64 {
        let earned = pace.saturating_mul(micros(now.since(self.refilled))) / 1_000_000;
        self.tokens.saturating_add(earned).min(self.burst(pace))
    }

    /// When the pace allows a datagram: `now` or later. Without a round trip time there is no pace.
    pub(super) fn paced_at(&self, now: Instant, rtt: Option<Duration>) -> Instant {
        let Some(rtt) = rtt.filter(|rtt| !rtt.is_zero()) else { return now };
        let pace = self.pace(rtt);
        let missing = self.datagram.saturating_sub(self.tokens(now, pace));
        now + Duration::from_micros(missing.saturating_mul(1_000_000).div_ceil(pace))
    }

    /// A datagram of `bytes` that asks for an acknowledgement left.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: usize, rtt: Option<Duration>) {
        self.in_flight = self.in_flight.saturating_add(bytes as u64);
        if !self.has_room() {
            self.full = Some(now);
        }
        if let Some(rtt) = rtt {
            self.tokens = self.tokens(now, self.pace(rtt)).saturating_sub(bytes as u64);
            self.refilled = now;
        }
    }

    /// A datagram is no longer in flight, whatever became of it.
    pub(super) fn on_gone(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes as u64);
    }

    /// Whether a datagram that left at `sent` belongs to the last congestion event.
    fn in_recovery(&self, sent: Instant) -> bool {
        self.recovery.is_some_and(|since| sent <= since)
    }

    /// A datagram of `bytes` that left at `sent` was acknowledged at `now`. Call [`Self::on_gone`] after the last of one acknowledgement.
    pub(super) fn on_acked(&mut self, now: Instant, sent: Instant, bytes: usize, rtt: Duration) {
        if self.in_recovery(sent) {
            return;
        }
        let flight = self.in_flight;
        let used = match self.phase {
            // RFC 9002 §7.8 lets a window grow that is used; in slow start half of it is enough (Linux
            // `tcp_is_cwnd_limited`).
            Phase::SlowStart | Phase::Conservative { .. } => flight.saturating_mul(2) >= self.window,
            Phase::Avoidance => self.full.is_some_and(|at| now.since(at) <= rtt),
        };
        if !used {
            self.unused.get_or_insert(now);
            return;
        }
        if let (Some(since), Some(epoch)) = (self.unused.take(), &mut self.epoch) {
            // The time in which the window was not used is none in which it would have grown (RFC 9438 §5.8).
            epoch.begin = epoch.begin + now.since(since);
        }
        let bytes = bytes as u64;
        match self.phase {
            Phase::SlowStart => self.grow(bytes.saturating_mul(FINE)),
            Phase::Conservative { .. } => self.grow(bytes.saturating_mul(FINE) / CSS_GROWTH_DIVISOR),
            Phase::Avoidance => self.avoid(now, bytes, rtt),
        }
        if self.phase != Phase::Avoidance && self.window >= self.threshold {
            self.phase = Phase::Avoidance;
        }
    }

    fn grow(&mut self, fine: u64) {
        let all = self.fraction.saturating_add(fine);
        self.fraction = all % FINE;
        self.window = self.window.saturating_add(all / FINE).min(MOST);
    }

    /// RFC 9438 §4.2 to §4.5.
    fn avoid(&mut self, now: Instant, bytes: u64, rtt: Duration) {
        let window = self.window;
        let epoch = self.epoch.get_or_insert(Epoch {
            // After a slow start without a loss (RFC 9438 §4.10).
            begin: now,
            max: window,
            k: 0,
            reno: window.saturating_mul(FINE),
            prior: window,
        });
        let passed = now.since(epoch.begin);
        // Reno's window grows by α datagrams a round trip, by one once it is beyond the last maximum.
        let (times, of) = if epoch.reno / FINE >= epoch.prior { (1, 1) } else { ALPHA };
        let reno = bytes.saturating_mul(self.datagram).saturating_mul(FINE).saturating_mul(times);
        epoch.reno = epoch.reno.saturating_add(reno.checked_div(window.saturating_mul(of)).unwrap_or(0));
        let epoch = *epoch;
        if cubic(&epoch, self.datagram, passed) < epoch.reno / FINE {
            let more = (epoch.reno / FINE).saturating_sub(window);
            return self.grow(more.saturating_mul(FINE));
        }
        let target = cubic(&epoch, self.datagram, passed.saturating_add(rtt));
        let more = target.clamp(window, window.saturating_mul(3) / 2).saturating_sub(window);
        let fine = more.saturating_mul(FINE).saturating_mul(bytes).checked_div(window).unwrap_or(0);
        self.grow(fine);
    }

    /// A round trip was measured, up to the packet `acked`; `next` is the number of the next one (RFC 9406 §4.2).
    pub(super) fn on_round_trip(&mut self, rtt: Duration, acked: u64, next: u64) {
        if self.phase == Phase::Avoidance {
            return;
        }
        if acked >= self.round.end {
            let last_min = self.round.min.or(self.round.last_min);
            self.round = Round { end: next, min: None, samples: 0, last_min };
            if let Phase::Conservative { rounds, .. } = &mut self.phase {
                *rounds = rounds.saturating_sub(1);
                if *rounds == 0 {
                    self.phase = Phase::Avoidance;
                    self.threshold = self.window;
                    return;
                }
            }
        }
        let min = self.round.min.map_or(rtt, |min| min.min(rtt));
        self.round.min = Some(min);
        self.round.samples = self.round.samples.saturating_add(1);
        if self.round.samples < RTT_SAMPLES {
            return;
        }
        match (self.phase, self.round.last_min) {
            (Phase::SlowStart, Some(last)) => {
                let threshold = share(last, 1, 8).clamp(MIN_RTT_THRESHOLD, MAX_RTT_THRESHOLD);
                if min >= last.saturating_add(threshold) {
                    self.phase = Phase::Conservative { baseline: min, rounds: CSS_ROUNDS };
                }
            }
            // The round trip fell again: the growth was no queue.
            (Phase::Conservative { baseline, .. }, _) if min < baseline => self.phase = Phase::SlowStart,
            (Phase::Conservative { .. } | Phase::SlowStart | Phase::Avoidance, _) => {}
        }
    }

    /// Datagrams were lost, of which the newest left at `sent`: true if that begins a congestion event.
    pub(super) fn on_lost(&mut self, now: Instant, sent: Instant) -> bool {
        if self.in_recovery(sent) {
            return false;
        }
        self.before = Some(Before {
            window: self.window,
            threshold: self.threshold,
            last_max: self.last_max,
            epoch: self.epoch,
            phase: self.phase,
        });
        self.recovery = Some(now);
        // Fast convergence (RFC 9438 §4.7): a flow that lost sooner than last time leaves room for a new one.
        let max = if self.window < self.last_max { of(self.window, (17, 20)) } else { self.window };
        self.last_max = max;
        let prior = self.window;
        self.window = of(self.window, BETA).max(self.least());
        self.threshold = self.window;
        self.phase = Phase::Avoidance;
        // K = ((W_max - cwnd) / C)^(1/3) seconds, in datagrams; C = 2 / 5.
        let datagrams_5_2 = u128::from(max.saturating_sub(self.window)).saturating_mul(5_000_000_000);
        let k = cube_root(datagrams_5_2.checked_div(u128::from(self.datagram).saturating_mul(2)).unwrap_or(0));
        self.epoch = Some(Epoch { begin: now, max, k, reno: self.window.saturating_mul(FINE), prior });
        self.unused = None;
        true
    }

    /// All that the last event counted as lost came nevertheless (RFC 9438 §4.9).
    pub(super) fn undo(&mut self) {
        let Some(before) = self.before.take() else { return };
        if self.window < before.window {
            self.window = before.window;
            self.threshold = before.threshold;
            self.last_max = before.last_max;
            self.epoch = before.epoch;
            self.phase = before.phase;
        }
    }

    /// Nothing came through for long (RFC 9002 §7.6.2).
    pub(super) fn on_persistent(&mut self) {
        self.window = self.least();
        self.fraction = 0;
        self.recovery = None;
        self.before = None;
        self.epoch = None;
        self.phase = Phase::SlowStart;
        self.round = Round { end: 0, min: None, samples: 0, last_min: None };
    }
}

fn initial(datagram: u64) -> u64 {
    datagram.saturating_mul(INITIAL_DATAGRAMS).min(INITIAL_BYTES)
}

fn of(n: u64, (times, of): (u64, u64)) -> u64 {
    n.saturating_mul(times).checked_div(of).unwrap_or(u64::MAX)
}

/// W_cubic (RFC 9438 §4.2): `C (t - K)^3 + W_max`, in bytes.
fn cubic(epoch: &Epoch, datagram: u64, passed: Duration) -> u64 {
    let t = i128::from(micros(passed) / 1_000).saturating_sub(i128::from(epoch.k));
    let cube = t.saturating_mul(t).saturating_mul(t);
    // Milliseconds cubed are 10^-9 seconds cubed; C is 2 / 5.
    let more = cube.saturating_mul(i128::from(datagram)).saturating_mul(2) / 5_000_000_000;
    u64::try_from(i128::from(epoch.max).saturating_add(more).max(0)).unwrap_or(MOST)
}

/// The whole part of the cube root.
fn cube_root(n: u128) -> u64 {
    let mut root = 0u128;
    // 2^42 cubed is the greatest cube below 2^126.
    for bit in (0..42).rev() {
        let next = root | (1 << bit);
        if next.saturating_mul(next).saturating_mul(next) <= n {
            root = next;
        }
    }
    root as u64
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RTT: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// A window's worth leaves at `ms` and is acknowledged a round trip later.
    fn round(c: &mut Congestion, ms: u64) {
        let mut sent = 0;
        while c.has_room() {
            c.on_sent(at(ms), 1_000, Some(RTT));
            sent += 1;
        }
        for _ in 0..sent {
            c.on_acked(at(ms + 100), at(ms), 1_000, RTT);
        }
        c.on_gone(1_000 * sent);
    }

    proptest! {
        #[test]
        fn the_cube_root_is_whole(n in 0u128..1 << 120) {
            let root = u128::from(cube_root(n));
            prop_assert!(root.pow(3) <= n && (root + 1).pow(3) > n);
        }
    }

    #[test]
    fn slow_start_doubles_and_a_loss_takes_three_tenths() {
        let mut c = Congestion::new(1_000);
        assert_eq!(c.window(), 10_000);
        round(&mut c, 0);
        assert_eq!(c.window(), 20_000);
        round(&mut c, 100);
        assert_eq!(c.window(), 40_000);
        assert!(c.on_lost(at(210), at(200)));
        assert_eq!(c.window(), 28_000);
        assert!(!c.on_lost(at(230), at(205)), "one event");
        assert_eq!(c.window(), 28_000);
        assert!(c.on_lost(at(330), at(215)));
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut c = Congestion::new(1_000);
        for n in 0..100 {
            c.on_sent(at(n * 100), 1_000, Some(RTT));
            c.on_acked(at(n * 100 + 100), at(n * 100), 1_000, RTT);
            c.on_gone(1_000);
        }
        assert_eq!(c.window(), 10_000);
    }

    /// RFC 9438 §4.2 with W_max = 1,000 datagrams: K = (300 / 0.4)^(1/3) = 9.086 s.
    #[test]
    fn the_window_follows_the_cubic_function() {
        let mut c = Congestion::new(1_000);
        c.window = 1_000_000;
        assert!(c.on_lost(at(0), at(0)));
        assert_eq!((c.window(), c.epoch.unwrap().k), (700_000, 9_085));
        let mut now = 1;
        while now < 9_000 {
            round(&mut c, now);
            now += 100;
        }
        assert!((990_000..=1_000_000).contains(&c.window()), "flat before K: {}", c.window());
        while now < 18_100 {
            round(&mut c, now);
            now += 100;
        }
        // As much above as below, as long after K as before.
        assert!((1_270_000..1_310_000).contains(&c.window()), "{}", c.window());
    }

    #[test]
    fn a_small_window_grows_as_renos() {
        let mut c = Congestion::new(1_000);
        c.window = 20_000;
        c.on_lost(at(0), at(0));
        assert_eq!(c.window(), 14_000);
        for n in 0..10 {
            round(&mut c, 1 + n * 10);
        }
        // 9/17 of a datagram a round trip; the acknowledgements here come after 10 ms.
        assert!((18_000..20_000).contains(&c.window()), "{}", c.window());
    }

    #[test]
    fn a_second_loss_at_a_smaller_window_leaves_room() {
        let mut c = Congestion::new(1_000);
        c.window = 100_000;
        c.on_lost(at(0), at(0));
        c.on_lost(at(200), at(100));
        assert_eq!((c.window(), c.last_max), (49_000, 59_500));
    }

    #[test]
    fn an_unnecessary_reduction_is_undone() {
        let mut c = Congestion::new(1_000);
        round(&mut c, 0);
        c.on_lost(at(110), at(105));
        assert_eq!(c.window(), 14_000);
        c.undo();
        assert_eq!(c.window(), 20_000);
        c.undo();
        round(&mut c, 200);
        assert_eq!(c.window(), 40_000, "in slow start again");
    }

    #[test]
    fn a_longer_round_trip_ends_slow_start_without_a_loss() {
        let mut c = Congestion::new(1_000);
        let (mut number, mut rtt) = (0, 100);
        for turn in 0..12u64 {
            for _ in 0..10 {
                c.on_round_trip(Duration::from_millis(rtt), number, number + 10);
                number += 1;
            }
            rtt += 13;
            if turn == 1 {
                assert!(matches!(c.phase, Phase::Conservative { .. }), "{:?}", c.phase);
            }
        }
        assert_eq!(c.phase, Phase::Avoidance);
        // And a path that stays as fast does not.
        let mut c = Congestion::new(1_000);
        (0..200).for_each(|n| c.on_round_trip(RTT, n, n + 10));
        assert_eq!(c.phase, Phase::SlowStart);
    }

    /// RFC 9406 §4.2: an eighth of 100 ms more is enough. Mutation: `>=` in `on_round_trip` is `>`.
    #[test]
    fn slow_start_ends_at_the_threshold_of_round_trips() {
        let ends = |later: Duration| {
            let mut c = Congestion::new(1_000);
            (0..10).for_each(|n| c.on_round_trip(RTT, n, 10));
            (10..20).for_each(|n| c.on_round_trip(later, n, 20));
            matches!(c.phase, Phase::Conservative { .. })
        };
        assert!(!ends(Duration::from_micros(112_499)));
        assert!(ends(Duration::from_micros(112_500)));
    }

    #[test]
    fn a_window_leaves_over_the_round_trip_and_not_at_once() {
        let mut c = Congestion::new(1_000);
        c.window = 100_000;
        c.phase = Phase::Avoidance;
        let mut now = at(1_000);
        let mut sent = 0;
        while c.has_room() {
            if c.paced_at(now, Some(RTT)) == now {
                c.on_sent(now, 1_000, Some(RTT));
                sent += 1;
                continue;
            }
            assert!(sent >= 10, "a burst of ten");
            let next = c.paced_at(now, Some(RTT));
            // 100,000 bytes in 80 ms.
            assert_eq!(next.since(now), Duration::from_micros(800));
            now = next;
        }
        assert_eq!(sent, 100);
        assert_eq!(now.since(at(1_000)), Duration::from_micros(90 * 800));
    }

    #[test]
    fn after_persistent_congestion_four_datagrams_are_in_flight() {
        let mut c = Congestion::new(1_000);
        c.window = 50_000;
        c.on_persistent();
        assert_eq!(c.window(), 4_000);
        round(&mut c, 0);
        assert_eq!(c.window(), 8_000);
    }
}
