//! Measurements while nodes run: counters, deliveries, verdicts about peers. Definitions follow the
//! papers; `docs/simulator.md` lists them.

use std::collections::{BTreeMap, BTreeSet};

use donp_core::BroadcastStats;
use donp_core::{MemberState, MessageId, Stats};

/// Counters of a node over all its lives, or sums and differences of such.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// UDP payloads sent.
    pub datagrams_out: u64,
    /// Bytes of those.
    pub bytes_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Handshakes completed.
    pub handshakes: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Broadcasts received by gossip for the first time.
    pub first: u64,
    /// Broadcasts received by gossip, repeats included.
    pub payloads_in: u64,
    /// Broadcasts sent or forwarded, by receiver.
    pub payloads_out: u64,
    /// Bytes of those.
    pub payload_bytes: u64,
    /// Gossip messages that carry no broadcast.
    pub control_out: u64,
    /// Bytes of those.
    pub control_bytes: u64,
    /// Messages of failure detection in zones.
    pub swim_out: u64,
    /// First deliveries by hops, from 1.
    pub hops: [u64; BroadcastStats::HOPS],
}

impl Totals {
    /// An engine's counters.
    pub fn of(stats: &Stats) -> Self {
        let b = &stats.broadcast;
        Self {
            datagrams_out: stats.datagrams_out,
            bytes_out: stats.bytes_out,
            bytes_in: stats.bytes_in,
            handshakes: stats.handshakes,
            packets_lost: stats.packets_lost,
            first: b.first,
            payloads_in: b.payloads_in,
            payloads_out: b.payloads_out,
            payload_bytes: b.payload_bytes,
            control_out: b.control_out,
            control_bytes: b.control_bytes,
            swim_out: stats.swim.messages_out,
            hops: b.hops,
        }
    }

    /// Adds another node's, or another life's.
    pub fn add(&mut self, other: &Self) {
        self.each(other, |mine, theirs| *mine += theirs);
    }

    /// The growth since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut out = self.clone();
        out.each(before, |mine, theirs| *mine = mine.saturating_sub(theirs));
        out
    }

    fn each(&mut self, other: &Self, change: impl Fn(&mut u64, u64)) {
        change(&mut self.datagrams_out, other.datagrams_out);
        change(&mut self.bytes_out, other.bytes_out);
        change(&mut self.bytes_in, other.bytes_in);
        change(&mut self.handshakes, other.handshakes);
        change(&mut self.packets_lost, other.packets_lost);
        change(&mut self.first, other.first);
        change(&mut self.payloads_in, other.payloads_in);
        change(&mut self.payloads_out, other.payloads_out);
        change(&mut self.payload_bytes, other.payload_bytes);
        change(&mut self.control_out, other.control_out);
        change(&mut self.control_bytes, other.control_bytes);
        change(&mut self.swim_out, other.swim_out);
        for (mine, theirs) in self.hops.iter_mut().zip(other.hops) {
            change(mine, theirs);
        }
    }

    /// Relative message redundancy (PlumTree §4.1): payloads received for each that was needed, less
    /// one. None if nothing was delivered.
    pub fn rmr(&self) -> Option<f64> {
        (self.first > 0).then(|| self.payloads_in as f64 / self.first as f64 - 1.0)
    }

    /// Last delivery hop (PlumTree §4.1): the longest path of a first delivery.
    pub fn ldh(&self) -> Option<usize> {
        self.hops.iter().rposition(|n| *n > 0).map(|i| i + 1)
    }

    /// The mean path of a first delivery.
    pub fn mean_hops(&self) -> Option<f64> {
        let sum: u64 = self.hops.iter().zip(1..).map(|(n, hop)| n * hop).sum();
        (self.first > 0).then(|| sum as f64 / self.first as f64)
    }
}

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitSet(Vec<u64>);

impl BitSet {
    /// Adds `n`; whether it is new.
    pub fn insert(&mut self, n: usize) -> bool {
        let (word, bit) = (n / 64, 1u64 << (n % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Whether `n` is in it.
    pub fn contains(&self, n: usize) -> bool {
        self.0.get(n / 64).is_some_and(|word| word >> (n % 64) & 1 == 1)
    }

    /// How many are in both.
    pub fn common(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).map(|(a, b)| (a & b).count_ones() as usize).sum()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are in this set and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let word = |i: usize| other.0.get(i).copied().unwrap_or(0);
        Self(self.0.iter().enumerate().map(|(i, mine)| mine & !word(i)).collect())
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }
}

/// Durations in bins of a twelfth of a decade, from 1 ms to over an hour: flat memory, 10 % precision
/// at best.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    bins: Vec<u64>,
    count: u64,
    max: u64,
}

/// Bins of one decade.
const BINS_A_DECADE: f64 = 12.0;

impl Histogram {
    /// Adds a duration in microseconds.
    pub fn add(&mut self, us: u64) {
        let bin = ((us as f64 / 1_000.0).max(1.0).log10() * BINS_A_DECADE) as usize;
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += 1;
        self.count += 1;
        self.max = self.max.max(us);
    }

    /// How many were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The greatest, in seconds.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max as f64 / 1e6)
    }

    /// The upper edge of the bin that holds the quantile `q`, in seconds.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let wanted = (q * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.bins().find_map(|(_, upper, n)| {
            seen += n;
            (seen >= wanted).then(|| (upper / 1_000.0).min(self.max as f64 / 1e6))
        })
    }

    /// Each bin: its edges in milliseconds, and how many are in it.
    pub fn bins(&self) -> impl Iterator<Item = (f64, f64, u64)> + '_ {
        let edge = |i: usize| 10f64.powf(i as f64 / BINS_A_DECADE);
        self.bins.iter().enumerate().map(move |(i, n)| (edge(i), edge(i + 1), *n))
    }
}

/// One broadcast on its way.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// Its id.
    pub id: MessageId,
    /// Its author.
    pub author: usize,
    /// When, in virtual microseconds.
    pub at: u64,
    /// Nodes that were awake and running then.
    pub running: BitSet,
    /// Nodes that reported it to their person.
    pub told: BitSet,
    /// The time of the latest report.
    pub last: u64,
}

impl Broadcast {
    /// Whether it reached one of the nodes in `alive` late, or has not reached it.
    pub fn is_slow(&self, alive: &BitSet) -> bool {
        let (told, due) = self.reached(alive);
        told < due || self.last - self.at > LATE
    }

    /// Of the nodes in `alive` that were running when it was sent, its author left out: how many
    /// reported it, and how many there are.
    pub fn reached(&self, alive: &BitSet) -> (usize, usize) {
        let mut due = self.running.and(alive);
        let mut author = BitSet::default();
        author.insert(self.author);
        due = due.without(&author);
        (due.common(&self.told), due.len())
    }
}

/// A power failure of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed {
    /// When, in virtual microseconds.
    pub at: u64,
    /// When another node first declared it down.
    pub first: Option<u64>,
    /// When another member of its zone first suspected it.
    pub suspected: Option<u64>,
}

/// A delivery that took longer is late: 100 ms, many round trips of the usual path (2 to 10 ms), and less than any
/// repair by an announcement, which waits 300 ms for the tree (`gossip.graft_after`).
pub const LATE: u64 = 100_000;

/// Measurements of an observer that sees every node at once. It changes nothing for them.
#[derive(Debug, Default)]
pub struct Watch {
    numbers: BTreeMap<MessageId, usize>,
    /// Every broadcast since the beginning.
    pub broadcasts: Vec<Broadcast>,
    /// Time from broadcast to each delivery.
    pub latency: Histogram,
    /// The same of the broadcasts since the window began, as far as they are delivered.
    pub window: Histogram,
    /// How many of those took longer than [`LATE`].
    pub late: u64,
    /// The first broadcast of the window.
    first: usize,
    /// The latest power failures by node, and whether each was detected.
    pub crashed: BTreeMap<usize, Crashed>,
    /// Nodes that are slow on purpose: verdicts about them are not counted as false.
    pub anomalous: BTreeSet<usize>,
    /// Verdicts "nothing was received from it" about nodes that run and are not anomalous.
    pub false_positives: u64,
    /// Those of nodes that are not anomalous themselves (FP- of the Lifeguard paper, §5).
    pub false_positives_at_healthy: u64,
    /// Members that were declared down in a zone, though they run and are not anomalous: once for each node that
    /// holds it (FP of Lifeguard §5).
    pub false_downs: u64,
    /// Those at nodes that are not anomalous themselves (FP-).
    pub false_downs_at_healthy: u64,
    /// Time from each power failure to the first suspicion of it in its zone, in microseconds (SWIM §5).
    pub detected: Vec<u64>,
}

impl Watch {
    pub(crate) fn said(&mut self, id: MessageId, author: usize, at: u64, running: BitSet) {
        self.numbers.insert(id, self.broadcasts.len());
        self.broadcasts.push(Broadcast { id, author, at, running, told: BitSet::default(), last: at });
    }

    pub(crate) fn told(&mut self, node: usize, id: MessageId, now: u64) {
        let Some(&number) = self.numbers.get(&id) else { return };
        let Some(broadcast) = self.broadcasts.get_mut(number) else { return };
        if broadcast.told.insert(node) {
            broadcast.last = now;
            let took = now.saturating_sub(broadcast.at);
            self.latency.add(took);
            if number >= self.first {
                self.window.add(took);
                self.late += u64::from(took > LATE);
            }
        }
    }

    /// A window of time begins.
    pub(crate) fn open(&mut self) {
        self.window = Histogram::default();
        self.late = 0;
        self.first = self.broadcasts.len();
    }

    pub(crate) fn crash(&mut self, node: usize, at: u64) {
        self.crashed.insert(node, Crashed { at, first: None, suspected: None });
    }

    pub(crate) fn member(&mut self, observer: usize, peer: usize, state: MemberState, peer_runs: bool, now: u64) {
        if peer_runs {
            if state == MemberState::Down && !self.anomalous.contains(&peer) {
                self.false_downs += 1;
                self.false_downs_at_healthy += u64::from(!self.anomalous.contains(&observer));
            }
        } else if matches!(state, MemberState::Suspect | MemberState::Down)
            && let Some(crashed) = self.crashed.get_mut(&peer)
            && crashed.suspected.is_none()
        {
            crashed.suspected = Some(now);
            self.detected.push(now.saturating_sub(crashed.at));
        }
    }

    pub(crate) fn down(&mut self, observer: usize, peer: usize, peer_runs: bool, now: u64) {
        if peer_runs {
            if !self.anomalous.contains(&peer) {
                self.false_positives += 1;
                self.false_positives_at_healthy += u64::from(!self.anomalous.contains(&observer));
            }
        } else if let Some(crashed) = self.crashed.get_mut(&peer) {
            crashed.first.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten nodes; a broadcast reached eight of nine, three of them twice, one over four hops.
    #[test]
    fn the_papers_figures_come_from_the_counters() {
        let mut t = Totals { first: 8, payloads_in: 11, ..Totals::default() };
        t.hops[0] = 5;
        t.hops[1] = 2;
        t.hops[3] = 1;
        assert_eq!(t.rmr(), Some(11.0 / 8.0 - 1.0));
        assert_eq!(t.ldh(), Some(4));
        assert_eq!(t.mean_hops(), Some((5.0 + 4.0 + 4.0) / 8.0));
        assert_eq!(Totals::default().rmr(), None);
        let mut twice = t.clone();
        twice.add(&t);
        assert_eq!(twice.since(&t), t);
    }

    #[test]
    fn a_broadcast_is_due_at_nodes_that_ran_then_and_run_now() {
        let set = |of: &[usize]| {
            let mut set = BitSet::default();
            of.iter().for_each(|n| assert!(set.insert(*n)));
            set
        };
        let mut watch = Watch::default();
        let id = MessageId { depth: 1, hash: [1; 32] };
        watch.said(id, 0, 1_000, set(&[0, 1, 2, 70]));
        watch.told(1, id, 3_000);
        watch.told(1, id, 9_000);
        watch.told(70, id, 5_000);
        watch.told(3, MessageId { depth: 1, hash: [2; 32] }, 5_000);
        let b = &watch.broadcasts[0];
        assert_eq!(b.reached(&set(&[0, 1, 2, 70, 5])), (2, 3));
        assert_eq!(b.reached(&set(&[0, 1, 70])), (2, 2), "2 is dead: not its fault");
        assert_eq!((b.last, watch.latency.count()), (5_000, 2));
    }

    #[test]
    fn a_window_counts_late_deliveries_of_its_own_broadcasts() {
        let set = |of: std::ops::Range<usize>| {
            let mut set = BitSet::default();
            of.for_each(|n| assert!(set.insert(n)));
            set
        };
        let mut watch = Watch::default();
        let [before, mine] = [1, 2].map(|n| MessageId { depth: 1, hash: [n; 32] });
        watch.said(before, 0, 0, set(0..4));
        watch.open();
        watch.said(mine, 0, 1_000, set(0..4));
        watch.told(1, before, 900_000);
        watch.told(1, mine, 2_000);
        watch.told(2, mine, 1_000 + LATE);
        assert_eq!((watch.window.count(), watch.late), (2, 0));
        assert!(!watch.broadcasts[1].is_slow(&set(0..3)), "3 is not there to get it");
        assert!(watch.broadcasts[1].is_slow(&set(0..4)), "3 has not got it");
        watch.told(3, mine, 1_001 + LATE);
        assert_eq!((watch.window.count(), watch.late), (3, 1));
        assert!(watch.broadcasts[1].is_slow(&set(0..4)));
    }

    #[test]
    fn verdicts_are_true_or_false() {
        let mut watch = Watch::default();
        watch.crash(3, 100);
        watch.down(1, 3, false, 400);
        watch.down(2, 3, false, 900);
        assert_eq!(watch.crashed[&3], Crashed { at: 100, first: Some(400), suspected: None });
        watch.anomalous.insert(5);
        watch.down(1, 5, true, 1_000);
        assert_eq!(watch.false_positives, 0, "it is slow indeed");
        watch.down(5, 1, true, 1_000);
        watch.down(2, 1, true, 1_000);
        assert_eq!((watch.false_positives, watch.false_positives_at_healthy), (2, 1));
        watch.member(1, 3, MemberState::Suspect, false, 600);
        watch.member(2, 3, MemberState::Down, false, 900);
        watch.member(2, 4, MemberState::Suspect, true, 900);
        assert_eq!((watch.detected.as_slice(), watch.false_downs), ([500].as_slice(), 0));
        watch.member(2, 4, MemberState::Down, true, 900);
        watch.member(5, 4, MemberState::Down, true, 900);
        watch.member(2, 5, MemberState::Down, true, 900);
        assert_eq!((watch.false_downs, watch.false_downs_at_healthy), (2, 1));
    }

    #[test]
    fn quantiles_are_within_a_bin() {
        let mut h = Histogram::default();
        (1..=1_000).for_each(|ms| h.add(ms * 1_000));
        let p50 = h.quantile(0.5).unwrap();
        assert!((0.5..0.61).contains(&p50), "{p50}");
        assert_eq!(h.quantile(1.0), Some(1.0));
        assert_eq!(h.max(), Some(1.0));
        assert_eq!(h.bins().map(|(_, _, n)| n).sum::<u64>(), 1_000);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
