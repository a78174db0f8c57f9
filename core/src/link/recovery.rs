//! Loss recovery after RFC 9002: what is in flight, round trip time, which packets are lost, when to
//! probe. One number space for a link; the sessions' packet numbers map into it in order.

use crate::collections::{Backoff, OrderedMap, OrderedSet};
use alloc::vec::Vec;

use crate::link::congestion::Congestion;
use crate::link::queue::Item;
use crate::link::session::ACK_DELAY;
use crate::time::{Duration, Instant, share};
use crate::wire::BASE_DATAGRAM;

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
/// Packets that a probe timeout sends whatever the window says (RFC 9002 §6.2.4, §7.5).
const PROBE_PACKETS: u8 = 2;
/// kPersistentCongestionThreshold (RFC 9002 §7.6.1).
const PERSISTENT: u32 = 3;
/// Packets without a question of which the time of sending is kept: a peer acknowledges the last of them when its
/// newest packet asked for nothing.
const QUIET: usize = 8;
/// Lost packets of one congestion event that are remembered, to see that it was none: with more it was one.
const MAX_DOUBTED: usize = 128;

/// A packet that asked for an acknowledgement.
#[derive(Debug)]
pub(super) struct Sent {
    pub at: Instant,
    /// Bytes of the datagram.
    pub size: usize,
    /// A probe of the path's largest datagram: its loss is no sign of congestion (RFC 8899 §3, item 7).
    pub measures: bool,
    /// Taken out when a probe timeout sends them again.
    pub items: Vec<Item>,
    /// The acknowledgements it carried: session index and highest number.
    pub acks: heapless::Vec<(u32, u64), 2>,
}

impl Sent {
    pub(super) fn new(at: Instant) -> Self {
        Self { at, size: 0, measures: false, items: Vec::new(), acks: heapless::Vec::new() }
    }
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
    /// Of [`Item::cost`].
    pub cost: usize,
    /// The longest datagram.
    pub longest: usize,
    /// A probe of the path's largest datagram came through.
    pub measured: Option<usize>,
    /// Long messages of which something came through; none stands for short ones that had been lost several times.
    pub telling: Vec<Option<u32>>,
    /// Of [`Sent::acks`] of the acknowledged packets.
    pub confirmed: heapless::Vec<(u32, u64), 4>,
}

/// What was lost.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub items: Vec<Item>,
    /// The longest datagram, and when it left.
    pub longest: Option<(usize, Instant)>,
    /// A probe of the path's largest datagram did not come through.
    pub measured: bool,
}

#[derive(Debug)]
pub(super) struct Recovery {
    sent: OrderedMap<u64, Sent>,
    /// The next link-wide number.
    pub next: u64,
    largest_acked: Option<u64>,
    /// The same before the acknowledgement that is being read.
    acked_before: Option<u64>,
    /// The least number that the newest acknowledgement was the first to name.
    least_new: Option<u64>,
    /// Packets that asked for nothing.
    quiet: heapless::HistoryBuf<(u64, Instant), QUIET>,
    /// Packets came out of order: how many more losses until that is forgotten.
    reorders: u8,
    pub rtt: Rtt,
    pub congestion: Congestion,
    /// Packets of the last congestion event that may come yet; none if there were too many.
    doubted: Option<OrderedSet<u64>>,
    loss_at: Option<Instant>,
    /// Nothing came back since then, while something was in flight (RFC 6298 §5.1 to 5.3).
    unanswered: Instant,
    probes: u32,
    /// Packets that may leave whatever the window says.
    credit: u8,
    /// Packets declared lost.
    pub lost: u64,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            sent: OrderedMap::new(),
            next: 0,
            largest_acked: None,
            acked_before: None,
            least_new: None,
            quiet: heapless::HistoryBuf::new(),
            reorders: 0,
            rtt: Rtt::default(),
            congestion: Congestion::new(BASE_DATAGRAM),
            doubted: None,
            loss_at: None,
            unanswered: Instant::ZERO,
            probes: 0,
            credit: 0,
            lost: 0,
        }
    }
}

impl Recovery {
    /// The packet `seq` left at `now`; `sent` is none if it asks for no acknowledgement.
    pub(super) fn on_sent(&mut self, seq: u64, now: Instant, sent: Option<Sent>) {
        self.next = seq.saturating_add(1);
        let Some(sent) = sent else { return self.quiet.write((seq, now)) };
        if self.sent.is_empty() {
            self.unanswered = sent.at;
        }
        self.credit = self.credit.saturating_sub(1);
        self.congestion.on_sent(sent.at, sent.size, self.rtt.smoothed());
        self.sent.insert(seq, sent);
    }

    /// Whether a packet that asks for an acknowledgement may leave.
    pub(super) fn can_send(&self, now: Instant) -> bool {
        self.credit > 0 || (self.congestion.has_room() && self.paced_at(now) <= now)
    }

    /// Half of the window is in flight: what may be in vain leaves the other half to what is not.
    pub(super) fn is_crowded(&self) -> bool {
        self.credit == 0 && self.congestion.is_half_full()
    }

    fn paced_at(&self, now: Instant) -> Instant {
        self.congestion.paced_at(now, self.rtt.smoothed())
    }

    /// When the next packet may leave, if time alone prevents it.
    pub(super) fn send_at(&self, now: Instant) -> Option<Instant> {
        Some(self.paced_at(now)).filter(|at| *at > now && self.credit == 0 && self.congestion.has_room())
    }

    /// How many twentieths of all packets were lost, begun ones counted.
    pub(super) fn twentieths_lost(&self) -> u32 {
        u32::try_from(self.lost.saturating_mul(20).div_ceil(self.next.max(1))).unwrap_or(u32::MAX)
    }

    /// Probes in a row that brought no answer.
    pub(super) fn probes(&self) -> u32 {
        self.probes
    }

    pub(super) fn in_flight(&self) -> usize {
        self.sent.len()
    }

    /// The runs of packets arrived, the highest run first; each is moved up by `base`.
    pub(super) fn on_ack(&mut self, base: u64, ranges: &[(u64, u64)], delay: Duration, now: Instant) -> Acked {
        let mut acked = Acked::default();
        let moved = |&(low, high): &(u64, u64)| (base.saturating_add(low), base.saturating_add(high));
        let Some((_, newest)) = ranges.first().map(moved) else { return acked };
        self.acked_before = self.largest_acked;
        self.largest_acked = Some(self.largest_acked.map_or(newest, |largest| largest.max(newest)));
        let fresh = ranges.iter().map(moved).any(|(from, to)| self.sent.range(from..=to).next().is_some());
        if fresh {
            self.measure(newest, delay, now);
            self.least_new = None;
            self.probes = 0;
            self.credit = 0;
            self.unanswered = now;
        }
        let rtt = self.rtt.smoothed().unwrap_or(INITIAL_RTT);
        let mut gone = 0usize;
        for (from, to) in ranges.iter().map(moved) {
            while let Some(seq) = self.sent.range(from..=to).next_back().map(|(seq, _)| *seq) {
                let Some(sent) = self.sent.remove(&seq) else { break };
                self.congestion.on_acked(now, sent.at, sent.size, rtt);
                gone = gone.saturating_add(sent.size);
                self.least_new = Some(seq);
                self.note_order(seq);
                for confirmed in sent.acks {
                    // Four sessions are more than a link has; a fifth would only be acked once more.
                    let _ = acked.confirmed.push(confirmed);
                }
                for item in &sent.items {
                    acked.cost = acked.cost.saturating_add(item.cost());
                    if item.is_telling() && !acked.telling.contains(&item.number()) {
                        acked.telling.push(item.number());
                    }
                }
                if sent.measures {
                    acked.measured = Some(sent.size);
                } else {
                    acked.longest = acked.longest.max(sent.size);
                }
            }
            self.clear_doubts(from, to);
        }
        self.congestion.on_gone(gone);
        acked
    }

    /// RFC 9002 §5.1: the highest number gives a sample if it is newly acknowledged, and with it a packet that asked.
    fn measure(&mut self, newest: u64, delay: Duration, now: Instant) {
        let quiet = || {
            let is_new = self.acked_before.is_none_or(|before| newest > before);
            self.quiet.iter().find(|(seq, _)| *seq == newest && is_new).map(|(_, at)| *at)
        };
        let Some(at) = self.sent.get(&newest).map(|sent| sent.at).or_else(quiet) else { return };
        self.rtt.sample(now.since(at), delay);
        self.congestion.on_round_trip(self.rtt.latest, newest, self.next);
    }

    /// Nothing is sent under its number again: it was overtaken, not lost (RFC 8985 §6.2, step 3).
    fn note_order(&mut self, seq: u64) {
        if self.acked_before.is_some_and(|before| seq < before) {
            self.reorders = REORDERS_FOR;
        }
    }

    /// What was declared lost and came nevertheless was no loss.
    fn clear_doubts(&mut self, from: u64, to: u64) {
        let Some(doubted) = self.doubted.as_mut().filter(|doubted| !doubted.is_empty()) else { return };
        let before = doubted.len();
        doubted.retain(|seq| !(from..=to).contains(seq));
        if doubted.len() < before {
            self.reorders = REORDERS_FOR;
            if doubted.is_empty() {
                self.congestion.undo();
            }
        }
    }

    /// Declares packets lost by number or by time (RFC 9002 §6.1) and returns what they carried. On a path that
    /// reorders the number says nothing (RFC 8985 §6.2, step 4): all that is delayed would be sent twice.
    pub(super) fn detect(&mut self, now: Instant) -> Lost {
        self.loss_at = None;
        let Some(largest) = self.largest_acked else { return Lost::default() };
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
        if !lost.is_empty() {
            self.unanswered = now;
        }
        self.give_up(&lost, now)
    }

    /// The packets `numbers`, in order, are lost.
    fn give_up(&mut self, numbers: &[u64], now: Instant) -> Lost {
        let mut lost = Lost::default();
        let (mut first, mut last) = (None, None);
        for seq in numbers {
            let Some(sent) = self.sent.remove(seq) else { continue };
            self.congestion.on_gone(sent.size);
            if sent.measures {
                lost.measured = true;
                continue;
            }
            self.lost = self.lost.saturating_add(1);
            if lost.longest.is_none_or(|(longest, _)| sent.size >= longest) {
                lost.longest = Some((sent.size, sent.at));
            }
            lost.items.extend(sent.items);
            first.get_or_insert((*seq, sent.at));
            last = Some((*seq, sent.at));
            if let Some(doubted) = self.doubted.as_mut().filter(|d| d.len() < MAX_DOUBTED) {
                doubted.insert(*seq);
            } else {
                self.doubted = None;
            }
        }
        let (Some((low, earliest)), Some((high, newest))) = (first, last) else { return lost };
        if self.congestion.on_lost(now, newest) {
            let all = numbers.iter().copied();
            self.doubted = (numbers.len() <= MAX_DOUBTED).then(|| all.collect());
        }
        // RFC 9002 §7.6: nothing between the two came, for three probe timeouts.
        let none_between = self.acked_before.is_none_or(|n| n < low) && self.least_new.is_none_or(|n| n > high);
        let long = self.rtt.pto().saturating_mul(PERSISTENT);
        if none_between && self.rtt.smoothed().is_some() && newest.since(earliest) > long {
            self.doubted = None;
            self.congestion.on_persistent();
        }
        lost
    }

    /// The path does not carry datagrams longer than `most`: those in flight are sent again, shorter. That is no
    /// congestion (RFC 8899 §3).
    pub(super) fn outgrow(&mut self, most: usize) -> Vec<Item> {
        let mut items = Vec::new();
        let congestion = &mut self.congestion;
        self.sent.retain(|_, sent| {
            if sent.size > most {
                congestion.on_gone(sent.size);
                items.append(&mut sent.items);
            }
            sent.size <= most
        });
        items
    }

    /// Not after the newest packet, as in RFC 9002 §6.2.1: a node that goes on sending to a peer that is gone
    /// would put its probes off until the window is full.
    fn probe_at(&self) -> Option<Instant> {
        if self.sent.is_empty() {
            return None;
        }
        // A few late answers make the deviation large: the round trip itself bounds the pause.
        let most = MAX_PROBE.max(self.rtt.smoothed().unwrap_or_default().saturating_add(ACK_DELAY));
        Some(self.unanswered + Backoff::new(self.rtt.pto(), most).nominal(self.probes))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        // While a loss is being timed no probe is needed (RFC 9002 §6.2.1).
        self.loss_at.or_else(|| self.probe_at())
    }

    /// A probe is due: what the two oldest packets carried is sent again in new ones (RFC 9002 §6.2.4 allows
    /// two). They are not lost: an acknowledgement that comes late measures the round trip. None if it is not due.
    pub(super) fn probe(&mut self, now: Instant) -> Option<Lost> {
        if self.loss_at.is_some() || self.probe_at().is_none_or(|at| at > now) {
            return None;
        }
        self.probes = self.probes.saturating_add(1);
        self.credit = PROBE_PACKETS;
        let mut lost = Lost::default();
        for sent in self.sent.values_mut().filter(|sent| !sent.items.is_empty()).take(usize::from(PROBE_PACKETS)) {
            lost.items.append(&mut sent.items);
            if lost.longest.is_none_or(|(longest, _)| sent.size >= longest) {
                lost.longest = Some((sent.size, sent.at));
            }
        }
        // Measured from now on, also if the probe itself leaves late.
        self.unanswered = now;
        Some(lost)
    }

    /// The path or the other side is new: waits begin anew.
    pub(super) fn restart_probes(&mut self) {
        self.probes = 0;
    }

    /// The path changed: its round trip and its width are unknown (RFC 9000 §9.4).
    pub(super) fn reset_path(&mut self) {
        self.rtt = Rtt::default();
        self.congestion.reset(BASE_DATAGRAM);
        self.doubted = None;
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
        let items = vec![Item::Whole { channel: 1, body: vec![seq as u8; 10], tries: 0 }];
        r.on_sent(seq, at(ms), Some(Sent { size: 1_000, items, ..Sent::new(at(ms)) }));
    }

    fn ack(r: &mut Recovery, from: u64, to: u64, ms: u64) -> usize {
        r.on_ack(0, &[(from, to)], Duration::ZERO, at(ms)).cost
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
        assert_eq!(r.detect(at(100)).items.len(), 0, "two behind");
        ack(&mut r, 1, 1, 101);
        ack(&mut r, 9, 9, 102);
        assert_eq!(r.detect(at(102)).items.len(), 0, "1 was overtaken by 2, so may be the others by 9");
        let slow = r.rtt.usual.most().unwrap();
        assert!(slow > r.rtt.loss_delay(false));
        assert_eq!(r.deadline(), Some(Instant::from_micros(0) + slow));
        assert_eq!(r.detect(Instant::from_micros(0) + slow).items.len(), 7);
        for n in 1..u64::from(REORDERS_FOR) {
            send(&mut r, 10 * n, 1_000 * n);
            send(&mut r, 10 * n + 1, 1_000 * n);
            ack(&mut r, 10 * n + 1, 10 * n + 1, 1_000 * n + 100);
            assert_eq!(r.detect(at(1_000 * n + 900)).items.len(), 1);
        }
        (500..504).for_each(|seq| send(&mut r, seq, 50_000));
        ack(&mut r, 503, 503, 50_100);
        assert_eq!(
            r.detect(at(50_100)).items.len(),
            1,
            "sixteen times it was a loss: three later packets say so again"
        );
    }

    #[test]
    fn packets_of_one_ack_are_not_out_of_order() {
        let mut r = Recovery::default();
        (0..6).for_each(|seq| send(&mut r, seq, 0));
        r.on_ack(0, &[(5, 5), (0, 1)], Duration::ZERO, at(100));
        assert_eq!(r.detect(at(100)).items.len(), 1, "2 is three behind");
    }

    #[test]
    fn three_later_packets_or_time_declare_a_loss() {
        let mut r = Recovery::default();
        for seq in 0..5 {
            send(&mut r, seq, 0);
        }
        assert_eq!(ack(&mut r, 4, 4, 100), 10 + crate::link::queue::ITEM_COST);
        assert_eq!(r.detect(at(100)).items.len(), 2, "0 and 1 are three or more behind");
        assert_eq!(r.deadline(), Some(Instant::from_micros(112_500)));
        assert_eq!(r.detect(at(112)).items.len(), 0);
        assert_eq!(r.detect(at(113)).items.len(), 2);
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
            assert_eq!(r.probe(due).unwrap().items.len(), 1);
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
        for seq in 0..10 {
            assert!(r.can_send(at(0)));
            send(&mut r, seq, 0);
        }
        send(&mut r, 10, 0);
        assert!(!r.can_send(at(0)), "12,000 bytes");
        ack(&mut r, 0, 1, 10);
        assert!(r.can_send(at(10)));
    }

    /// RFC 9002 §5.1: what is asked for must be newly acknowledged, not the highest number itself.
    #[test]
    fn an_ack_that_names_a_packet_without_a_question_gives_a_sample() {
        let mut r = Recovery::default();
        send(&mut r, 0, 0);
        ack(&mut r, 0, 0, 3_000);
        assert_eq!(r.rtt.smoothed(), Some(Duration::from_secs(3)));
        for n in 0..40 {
            let (seq, now) = (1 + 2 * n, 4_000 + 1_000 * n);
            send(&mut r, seq, now);
            // An acknowledgement of our own follows before theirs comes.
            r.on_sent(seq + 1, at(now + 1), None);
            ack(&mut r, 0, seq + 1, now + 51);
        }
        assert!(r.rtt.smoothed().is_some_and(|rtt| rtt < Duration::from_millis(70)), "{:?}", r.rtt);
    }

    #[test]
    fn a_packet_sent_again_by_a_probe_still_measures_the_round_trip() {
        let mut r = Recovery::default();
        send(&mut r, 0, 0);
        ack(&mut r, 0, 0, 40);
        // Now the path takes two seconds, longer than any pause between probes.
        send(&mut r, 1, 1_000);
        let (mut seq, mut now) = (1, 1_000);
        while let Some(due) = r.deadline().filter(|due| *due < at(3_000)) {
            assert!(r.probe(due).unwrap().items.len() == 1, "what the probe before carried");
            (seq, now) = (seq + 1, due.as_micros() / 1_000);
            send(&mut r, seq, now);
        }
        assert!(seq > 2 && now > 2_000);
        assert_eq!(ack(&mut r, 1, 1, 3_000), 0);
        assert!(r.rtt.smoothed().is_some_and(|rtt| rtt > Duration::from_millis(250)), "{:?}", r.rtt);
        assert_eq!(r.probes(), 0);
    }

    #[test]
    fn late_answers_do_not_space_probes_out() {
        let mut r = Recovery::default();
        for n in 0..20 {
            send(&mut r, n, n * 10_000);
            ack(&mut r, n, n, n * 10_000 + if n == 19 { 5_000 } else { 100 });
        }
        let pto = r.rtt.pto();
        assert!(pto > Duration::from_secs(5), "{pto:?}");
        send(&mut r, 20, 300_000);
        assert!(r.deadline().is_some_and(|due| due <= at(301_000)), "{:?}", r.deadline());
    }

    #[test]
    fn losses_that_came_after_all_are_undone() {
        let mut r = Recovery::default();
        (0..10).for_each(|seq| send(&mut r, seq, 0));
        ack(&mut r, 9, 9, 100);
        assert_eq!(r.detect(at(100)).items.len(), 7);
        assert!(r.congestion.window() < 12_000);
        ack(&mut r, 0, 6, 105);
        assert!(r.congestion.window() >= 12_000);
        assert_eq!(r.detect(at(105)).items.len(), 0, "and now it is a path that reorders");
    }

    #[test]
    fn a_long_silence_begins_anew_and_a_short_one_does_not() {
        for (long, window) in [(false, 9_100), (true, 4_800)] {
            let mut r = Recovery::default();
            send(&mut r, 0, 0);
            ack(&mut r, 0, 0, 100);
            r.congestion.set_datagram(1_200);
            (1..6).for_each(|seq| send(&mut r, seq, 1_000));
            send(&mut r, 6, if long { 3_000 } else { 1_200 });
            send(&mut r, 7, 3_100);
            ack(&mut r, 7, 7, 3_200);
            r.detect(at(3_300));
            assert_eq!(r.congestion.window(), window, "{long}");
        }
    }

    #[test]
    fn a_lost_measurement_of_the_path_is_no_congestion() {
        let mut r = Recovery::default();
        r.on_sent(0, at(0), Some(Sent { size: 1_400, measures: true, ..Sent::new(at(0)) }));
        (1..5).for_each(|seq| send(&mut r, seq, 0));
        ack(&mut r, 1, 4, 100);
        assert!(r.detect(at(101)).measured);
        assert!(r.congestion.window() >= 12_000);
    }
}
