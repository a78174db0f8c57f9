//! Loss recovery after RFC 9002: what is in flight, round trip time, which packets are lost, when to
//! probe. One number space for a link; the sessions' packet numbers map into it in order.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::collections::Backoff;
use crate::link::queue::Item;
use crate::link::session::ACK_DELAY;
use crate::time::{Duration, Instant, share};

/// RFC 9002 §6.2.2.
const INITIAL_RTT: Duration = Duration::from_millis(333);
/// RFC 9002 §6.1.1.
const PACKET_THRESHOLD: u64 = 3;
/// Losses after which a path that was seen to reorder counts as one that does not (RFC 8985 §6.2, step 4).
const REORDERS_FOR: u8 = 16;
/// RFC 9002 §6.1.2.
const GRANULARITY: Duration = Duration::from_millis(1);
/// Probes come at least this often, unless the round trip itself is longer. RFC 9002 doubles to
/// 60 s; but a link is given up after `dead_after`, and at 30 % loss (51 % for a round trip) fifteen
/// probes in that time all fail once in 10,000 silences, four doublings once in 15.
const MAX_PROBE: Duration = Duration::from_secs(1);
/// Packets in flight: 128 of 1,200 bytes are 150 KiB, which a default socket buffer of Linux
/// (212,992 bytes of payload and overhead) nearly holds, and 7 MB/s at 20 ms.
const WINDOW_PACKETS: usize = 128;

/// The place of congestion control: a fixed window, which every sender of the overlay keeps small.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    in_flight: usize,
}

impl Window {
    pub(super) fn can_send(self) -> bool {
        self.in_flight < WINDOW_PACKETS
    }

    fn on_sent(&mut self) {
        self.in_flight = self.in_flight.saturating_add(1);
    }

    fn on_acked(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn on_lost(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }
}

/// A packet that asked for an acknowledgement.
#[derive(Debug)]
pub(super) struct Sent {
    pub at: Instant,
    pub items: Vec<Item>,
    /// The acknowledgements it carried: session index and highest number.
    pub acks: heapless::Vec<(u32, u64), 2>,
}

/// The moving mean and deviation of times that are measured again and again (RFC 6298 §2, after Jacobson,
/// "Congestion Avoidance and Control", SIGCOMM 1988).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Smoothed {
    mean: Option<Duration>,
    deviation: Duration,
}

impl Smoothed {
    pub(super) fn sample(&mut self, d: Duration) {
        let Some(mean) = self.mean else {
            self.mean = Some(d);
            self.deviation = share(d, 1, 2);
            return;
        };
        self.deviation = share(self.deviation.saturating_mul(3).saturating_add(mean.abs_diff(d)), 1, 4);
        self.mean = Some(share(mean.saturating_mul(7).saturating_add(d), 1, 8));
    }

    /// None before the first sample.
    pub(super) fn mean(&self) -> Option<Duration> {
        self.mean
    }

    fn deviation(&self) -> Duration {
        self.deviation
    }

    /// What hardly any sample exceeds: the mean and four deviations.
    fn most(&self) -> Option<Duration> {
        self.mean.map(|mean| mean.saturating_add(self.deviation.saturating_mul(4)))
    }
}

/// Smoothed round trip time (RFC 6298, RFC 9002 §5).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtt {
    usual: Smoothed,
    min: Duration,
    latest: Duration,
}

impl Rtt {
    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.usual.mean()
    }

    pub(super) fn sample(&mut self, rtt: Duration, delay: Duration) {
        self.latest = rtt;
        if self.usual.mean().is_none() {
            self.usual.sample(rtt);
            self.min = rtt;
            return;
        }
        self.min = self.min.min(rtt);
        // The other side reports the delay: it counts no further than the protocol allows.
        let delay = delay.min(ACK_DELAY);
        let adjusted = if rtt >= self.min.saturating_add(delay) { rtt.saturating_sub(delay) } else { rtt };
        self.usual.sample(adjusted);
    }

    fn pto(&self) -> Duration {
        let (srtt, var) = match self.usual.mean() {
            Some(srtt) => (srtt, self.usual.deviation()),
            None => (INITIAL_RTT, share(INITIAL_RTT, 1, 2)),
        };
        srtt.saturating_add(var.saturating_mul(4).max(GRANULARITY)).saturating_add(ACK_DELAY)
    }

    /// After this an acknowledgement is overdue; on a path that reorders, also what the slowest take.
    fn loss_delay(&self, reorders: bool) -> Duration {
        let base = self.usual.mean().unwrap_or(INITIAL_RTT).max(self.latest);
        let slow = self.usual.most().filter(|_| reorders).unwrap_or_default();
        share(base, 9, 8).max(GRANULARITY).max(slow)
    }
}

/// What an acknowledgement brought.
#[derive(Debug, Default)]
pub(super) struct Acked {
    pub bytes: usize,
    /// Of [`Sent::acks`] of the acknowledged packets.
    pub confirmed: heapless::Vec<(u32, u64), 4>,
}

#[derive(Debug, Default)]
pub(super) struct Recovery {
    sent: BTreeMap<u64, Sent>,
    /// The next link-wide number.
    pub next: u64,
    largest_acked: Option<u64>,
    /// The same before the acknowledgement that is being read.
    acked_before: Option<u64>,
    /// Packets came out of order: how many more losses until that is forgotten.
    reorders: u8,
    pub rtt: Rtt,
    pub window: Window,
    loss_at: Option<Instant>,
    /// Nothing came back since then, while something was in flight (RFC 6298 §5.1 to 5.3).
    unanswered: Instant,
    probes: u32,
    /// Packets declared lost.
    pub lost: u64,
}

impl Recovery {
    /// The packet `seq` left; `sent` is none if it asks for no acknowledgement.
    pub(super) fn on_sent(&mut self, seq: u64, sent: Option<Sent>) {
        self.next = seq.saturating_add(1);
        if let Some(sent) = sent {
            if self.sent.is_empty() {
                self.unanswered = sent.at;
            }
            self.window.on_sent();
            self.sent.insert(seq, sent);
        }
    }

    /// How many twentieths of all packets were lost, begun ones counted and the silence that lasts left out.
    pub(super) fn twentieths_lost(&self) -> u32 {
        let lost = self.lost.saturating_sub(u64::from(self.probes).saturating_mul(2));
        u32::try_from(lost.saturating_mul(20).div_ceil(self.next.max(1))).unwrap_or(u32::MAX)
    }

    /// Probes in a row that brought no answer.
    pub(super) fn probes(&self) -> u32 {
        self.probes
    }

    pub(super) fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// The packets `from..=to` arrived, of which `newest` says whether the highest is among them.
    pub(super) fn on_acked(
        &mut self,
        from: u64,
        to: u64,
        newest: bool,
        delay: Duration,
        now: Instant,
        acked: &mut Acked,
    ) {
        let mut first = true;
        if newest {
            self.acked_before = self.largest_acked;
        }
        while let Some(seq) = self.sent.range(from..=to).next_back().map(|(seq, _)| *seq) {
            let Some(sent) = self.sent.remove(&seq) else { break };
            self.window.on_acked();
            // Nothing is sent under its number again: it was overtaken, not lost (RFC 8985 §6.2, step 3).
            if self.acked_before.is_some_and(|before| seq < before) {
                self.reorders = REORDERS_FOR;
            }
            // RFC 9002 §5.1: only the highest number gives a sample, if it is newly acknowledged.
            if newest && first && seq == to {
                self.rtt.sample(now.since(sent.at), delay);
            }
            first = false;
            self.probes = 0;
            self.unanswered = now;
            for confirmed in sent.acks {
                // Four sessions are more than a link has; a fifth would only be acked once more.
                let _ = acked.confirmed.push(confirmed);
            }
            acked.bytes = sent.items.iter().fold(acked.bytes, |sum, item| sum.saturating_add(item.cost()));
        }
        self.largest_acked = Some(self.largest_acked.map_or(to, |l| l.max(to)));
    }

    /// Declares packets lost by number or by time (RFC 9002 §6.1) and returns what they carried. On a path that
    /// reorders the number says nothing (RFC 8985 §6.2, step 4): all that is delayed would be sent twice.
    pub(super) fn detect(&mut self, now: Instant) -> Vec<Item> {
        self.loss_at = None;
        let mut items = Vec::new();
        let Some(largest) = self.largest_acked else { return items };
        let reorders = self.reorders > 0;
        let delay = self.rtt.loss_delay(reorders);
        let mut lost = Vec::new();
        for (&seq, sent) in self.sent.range(..largest) {
            let due = sent.at + delay;
            if !reorders && largest.saturating_sub(seq) >= PACKET_THRESHOLD || due <= now {
                lost.push(seq);
            } else {
                self.loss_at = Some(self.loss_at.map_or(due, |at| at.min(due)));
            }
        }
        self.reorders = self.reorders.saturating_sub(u8::from(!lost.is_empty()));
        for seq in lost {
            self.unanswered = now;
            items.extend(self.give_up(seq));
        }
        items
    }

    fn give_up(&mut self, seq: u64) -> Vec<Item> {
        let Some(sent) = self.sent.remove(&seq) else { return Vec::new() };
        self.window.on_lost();
        self.lost = self.lost.saturating_add(1);
        sent.items
    }

    /// Not after the newest packet, as in RFC 9002 §6.2.1: a node that goes on sending to a peer that is gone
    /// would put its probes off until the window is full.
    fn probe_at(&self) -> Option<Instant> {
        if self.sent.is_empty() {
            return None;
        }
        let pto = self.rtt.pto();
        Some(self.unanswered + Backoff::new(pto, MAX_PROBE.max(pto)).nominal(self.probes))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        // While a loss is being timed no probe is needed (RFC 9002 §6.2.1).
        self.loss_at.or_else(|| self.probe_at())
    }

    /// A probe is due: the two oldest packets are sent again in new ones (RFC 9002 §6.2.4 allows
    /// two). None if it is not due.
    pub(super) fn probe(&mut self, now: Instant) -> Option<Vec<Item>> {
        if self.loss_at.is_some() || self.probe_at().is_none_or(|at| at > now) {
            return None;
        }
        self.probes = self.probes.saturating_add(1);
        let mut items = Vec::new();
        for _ in 0..2 {
            if let Some(seq) = self.sent.keys().next().copied() {
                items.extend(self.give_up(seq));
            }
        }
        // Measured from now on, also if the probe itself leaves late.
        self.unanswered = now;
        Some(items)
    }

    /// The path or the other side is new: waits begin anew.
    pub(super) fn restart_probes(&mut self) {
        self.probes = 0;
    }

    /// The path changed: its round trip is unknown (RFC 9000 §9.4).
    pub(super) fn reset_rtt(&mut self) {
        self.rtt = Rtt::default();
        self.reorders = 0;
        self.probes = 0;
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
mod tests {
    use super::*;
    use crate::link::queue::Item;
    use alloc::vec;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn send(r: &mut Recovery, seq: u64, ms: u64) {
        let items = vec![Item::Whole { channel: 1, body: vec![seq as u8; 10] }];
        r.on_sent(seq, Some(Sent { at: at(ms), items, acks: heapless::Vec::new() }));
    }

    fn ack(r: &mut Recovery, from: u64, to: u64, ms: u64) -> usize {
        let mut acked = Acked::default();
        r.on_acked(from, to, true, Duration::ZERO, at(ms), &mut acked);
        acked.bytes
    }

    #[test]
    fn smoothing_follows_rfc_6298() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.pto(), Duration::from_micros(333_000 + 4 * 166_500 + 25_000));
        rtt.sample(Duration::from_millis(100), Duration::ZERO);
        assert_eq!(
            (rtt.smoothed(), rtt.usual.deviation()),
            (Some(Duration::from_millis(100)), Duration::from_millis(50))
        );
        rtt.sample(Duration::from_millis(180), Duration::ZERO);
        assert_eq!(rtt.smoothed(), Some(Duration::from_millis(110)));
        assert_eq!(rtt.usual.deviation(), Duration::from_micros(57_500));
        rtt.sample(Duration::from_millis(200), Duration::MAX);
        assert!(rtt.smoothed().unwrap() > Duration::from_millis(118), "a claimed delay counts 25 ms at most");
    }

    #[test]
    fn on_a_path_that_reorders_time_alone_declares_a_loss() {
        let mut r = Recovery::default();
        for seq in 0..10 {
            send(&mut r, seq, 0);
        }
        ack(&mut r, 2, 2, 100);
        assert_eq!(r.detect(at(100)).len(), 0, "two behind");
        ack(&mut r, 1, 1, 101);
        ack(&mut r, 9, 9, 102);
        assert_eq!(r.detect(at(102)).len(), 0, "1 was overtaken by 2, so may be the others by 9");
        let slow = r.rtt.usual.most().unwrap();
        assert!(slow > r.rtt.loss_delay(false));
        assert_eq!(r.deadline(), Some(Instant::from_micros(0) + slow));
        assert_eq!(r.detect(Instant::from_micros(0) + slow).len(), 7);
        for n in 1..u64::from(REORDERS_FOR) {
            send(&mut r, 10 * n, 1_000 * n);
            send(&mut r, 10 * n + 1, 1_000 * n);
            ack(&mut r, 10 * n + 1, 10 * n + 1, 1_000 * n + 100);
            assert_eq!(r.detect(at(1_000 * n + 900)).len(), 1);
        }
        (500..504).for_each(|seq| send(&mut r, seq, 50_000));
        ack(&mut r, 503, 503, 50_100);
        assert_eq!(r.detect(at(50_100)).len(), 1, "sixteen times it was a loss: three later packets say so again");
    }

    #[test]
    fn packets_of_one_ack_are_not_out_of_order() {
        let mut r = Recovery::default();
        (0..6).for_each(|seq| send(&mut r, seq, 0));
        let mut acked = Acked::default();
        for (i, (from, to)) in [(5, 5), (0, 1)].into_iter().enumerate() {
            r.on_acked(from, to, i == 0, Duration::ZERO, at(100), &mut acked);
        }
        assert_eq!(r.detect(at(100)).len(), 1, "2 is three behind");
    }

    #[test]
    fn three_later_packets_or_time_declare_a_loss() {
        let mut r = Recovery::default();
        for seq in 0..5 {
            send(&mut r, seq, 0);
        }
        assert_eq!(ack(&mut r, 4, 4, 100), 10 + crate::link::queue::ITEM_COST);
        assert_eq!(r.detect(at(100)).len(), 2, "0 and 1 are three or more behind");
        assert_eq!(r.deadline(), Some(Instant::from_micros(112_500)));
        assert_eq!(r.detect(at(112)).len(), 0);
        assert_eq!(r.detect(at(113)).len(), 2);
        assert_eq!((r.in_flight(), r.lost, r.deadline()), (0, 4, None));
    }

    #[test]
    fn probes_double_up_to_a_second_and_carry_the_oldest() {
        let mut r = Recovery::default();
        send(&mut r, 0, 0);
        ack(&mut r, 0, 0, 40);
        let mut now = 1_000;
        send(&mut r, 1, now);
        let mut waits = Vec::new();
        for seq in 2..9 {
            let due = r.deadline().unwrap();
            assert!(r.probe(due.before(Duration::from_micros(1))).is_none());
            assert_eq!(r.probe(due).unwrap().len(), 1);
            waits.push(due.since(at(now)).as_millis());
            now = due.as_micros() / 1_000;
            send(&mut r, seq, now);
        }
        assert_eq!(waits, [145, 290, 580, 1_000, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn sending_does_not_put_probes_off() {
        let mut r = Recovery::default();
        send(&mut r, 0, 0);
        ack(&mut r, 0, 0, 40);
        let mut probed = Vec::new();
        for n in 1..50 {
            let now = 1_000 + n * 20;
            while let Some(due) = r.deadline().filter(|due| *due <= at(now)) {
                r.probe(due).unwrap();
                probed.push(due.as_micros() / 1_000);
            }
            send(&mut r, n, now);
        }
        assert_eq!(probed, [1_165, 1_455]);
        // What comes back puts the next one off.
        ack(&mut r, 49, 49, 2_010);
        assert!(r.deadline().is_some_and(|due| due > at(2_010)));
    }

    #[test]
    fn the_window_closes_and_opens() {
        let mut r = Recovery::default();
        for seq in 0..WINDOW_PACKETS as u64 {
            assert!(r.window.can_send());
            send(&mut r, seq, 0);
        }
        assert!(!r.window.can_send());
        ack(&mut r, 0, 1, 10);
        assert!(r.window.can_send());
    }
}
