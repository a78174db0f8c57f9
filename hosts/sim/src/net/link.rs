//! One direction of a path between two nodes: what a dumb network does to a datagram.

use crate::rng::SimRng;

/// How a path treats datagrams, each drawn independently but for bursts and the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Loss that comes in bursts, besides `loss`.
    pub burst: Option<Burst>,
    /// Probability that it arrives twice.
    pub duplicate: f64,
    /// Probability that it is delayed by up to ten times the usual.
    pub reorder: f64,
    /// Probability that one of its bits flips.
    pub corrupt: f64,
    /// Probability that its end is cut off.
    pub truncate: f64,
    /// Least and greatest usual delay in microseconds; the difference is the jitter.
    pub delay: (u64, u64),
    /// Throughput and queue. Unlimited if none.
    pub rate: Option<Rate>,
    /// Datagrams with more bytes vanish. Unlimited if none.
    pub mtu: Option<usize>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            loss: 0.0,
            burst: None,
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
            truncate: 0.0,
            delay: (1_000, 5_000),
            rate: None,
            mtu: None,
        }
    }
}

/// Gilbert's and Elliott's two-state channel; the state is drawn anew before each datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Probability that a good channel turns bad.
    pub enter: f64,
    /// Probability that a bad channel turns good.
    pub leave: f64,
    /// Probability that a bad channel loses a datagram.
    pub loss: f64,
}

impl Burst {
    /// The share of datagrams lost in the long run.
    pub fn mean_loss(&self) -> f64 {
        if self.enter <= 0.0 { 0.0 } else { self.loss * self.enter / (self.enter + self.leave) }
    }
}

/// A token bucket and the queue behind it, which drops at its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Bytes a second in the long run; at least 1.
    pub bytes_per_s: u64,
    /// Bytes that may leave at once after a quiet time.
    pub burst: u64,
    /// Bytes that may wait.
    pub queue: u64,
}

/// What a path remembers from one datagram to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkState {
    bad: bool,
    /// When the bucket has earned all that was spent, in virtual microseconds.
    paid: u64,
}

/// A copy of a datagram that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Microseconds from now.
    pub delay: u64,
    /// A bit that flipped.
    pub flip: Option<u64>,
    /// Bytes that are left.
    pub len: usize,
}

impl LinkState {
    /// The fate of a datagram of `len` bytes sent at `now`: nothing, one or two arrivals.
    pub(crate) fn pass(&mut self, now: u64, faults: &Faults, len: usize, rng: &mut SimRng) -> [Option<Arrival>; 2] {
        if faults.mtu.is_some_and(|mtu| len > mtu) {
            return [None; 2];
        }
        let Some(waits) = faults.rate.map_or(Some(0), |rate| self.queue(now, rate, len)) else {
            return [None; 2];
        };
        if let Some(burst) = faults.burst {
            let turns = if self.bad { burst.leave } else { burst.enter };
            self.bad ^= rng.chance(turns);
            if self.bad && rng.chance(burst.loss) {
                return [None; 2];
            }
        }
        if rng.chance(faults.loss) {
            return [None; 2];
        }
        let twice = rng.chance(faults.duplicate);
        [true, twice].map(|comes| {
            comes.then(|| {
                let flip = (rng.chance(faults.corrupt) && len > 0).then(|| rng.below(len as u64 * 8));
                let len = if rng.chance(faults.truncate) { rng.below(len as u64) as usize } else { len };
                let mut delay = waits + rng.between(faults.delay.0, faults.delay.1);
                if rng.chance(faults.reorder) {
                    delay += rng.below(faults.delay.1 * 10);
                }
                Arrival { delay, flip, len }
            })
        })
    }

    /// How long a datagram waits for its turn; none if the queue has no room.
    fn queue(&mut self, now: u64, rate: Rate, len: usize) -> Option<u64> {
        let time = |bytes: u64| u64::try_from(u128::from(bytes) * 1_000_000 / u128::from(rate.bytes_per_s.max(1)));
        // A bucket that was left alone is full, not fuller.
        let full = now.saturating_sub(time(rate.burst).ok()?);
        let paid = self.paid.max(full).saturating_add(time(len as u64).ok()?);
        let waits = paid.saturating_sub(now);
        if waits > time(rate.queue.saturating_add(len as u64)).ok()? {
            return None;
        }
        self.paid = paid;
        Some(waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Faults {
        Faults { delay: (10, 10), ..Faults::default() }
    }

    /// How many of 100,000 datagrams of 100 bytes, one a millisecond, arrive how.
    fn many(faults: &Faults) -> Vec<[Option<Arrival>; 2]> {
        let (mut state, mut rng) = (LinkState::default(), SimRng::new(7));
        (0..100_000u64).map(|i| state.pass(i * 1_000, faults, 100, &mut rng)).collect()
    }

    fn share(of: &[[Option<Arrival>; 2]], what: impl Fn(&[Option<Arrival>; 2]) -> bool) -> f64 {
        of.iter().filter(|a| what(a)).count() as f64 / of.len() as f64
    }

    #[test]
    fn a_good_link_only_delays() {
        assert!(many(&quick()).iter().all(|a| *a == [Some(Arrival { delay: 10, flip: None, len: 100 }), None]));
    }

    #[test]
    fn each_fault_occurs_at_its_configured_rate() {
        let all = many(&Faults { loss: 0.1, ..quick() });
        assert!((share(&all, |a| a[0].is_none()) - 0.1).abs() < 0.005);
        let all = many(&Faults { duplicate: 0.2, ..quick() });
        assert!((share(&all, |a| a[1].is_some()) - 0.2).abs() < 0.005);
        let all = many(&Faults { corrupt: 0.05, ..quick() });
        assert!((share(&all, |a| a[0].is_some_and(|a| a.flip.is_some())) - 0.05).abs() < 0.005);
        assert!(all.iter().flatten().flatten().all(|a| a.flip.is_none_or(|bit| bit < 800)));
        let all = many(&Faults { truncate: 0.05, ..quick() });
        assert!((share(&all, |a| a[0].is_some_and(|a| a.len < 100)) - 0.05).abs() < 0.005);
        let all = many(&Faults { reorder: 0.3, ..quick() });
        let late = share(&all, |a| a[0].is_some_and(|a| a.delay > 10));
        assert!((late - 0.3 * 0.99).abs() < 0.01, "{late}");
    }

    #[test]
    fn delays_fill_their_range() {
        let all = many(&Faults { delay: (1_000, 2_000), ..quick() });
        let mut delays: Vec<u64> = all.iter().map(|a| a[0].unwrap().delay).collect();
        delays.sort_unstable();
        assert_eq!((delays[0], delays[delays.len() - 1]), (1_000, 2_000));
        let mean = delays.iter().sum::<u64>() / delays.len() as u64;
        assert!((1_490..1_510).contains(&mean), "{mean}");
    }

    #[test]
    fn bursts_have_their_mean_and_their_length() {
        let burst = Burst { enter: 0.02, leave: 0.2, loss: 1.0 };
        let all = many(&Faults { burst: Some(burst), ..quick() });
        let lost = share(&all, |a| a[0].is_none());
        assert!((lost - burst.mean_loss()).abs() < 0.01, "{lost} and not {}", burst.mean_loss());
        let begins = all.windows(2).filter(|w| w[0][0].is_some() && w[1][0].is_none()).count();
        let mean_length = lost * all.len() as f64 / begins as f64;
        assert!((mean_length - 1.0 / burst.leave).abs() < 0.3, "bursts of {mean_length}");
    }

    #[test]
    fn a_rate_holds_in_the_long_run_and_lets_a_burst_through() {
        let rate = Rate { bytes_per_s: 10_000, burst: 1_000, queue: 2_000 };
        let faults = Faults { rate: Some(rate), ..quick() };
        let (mut state, mut rng) = (LinkState::default(), SimRng::new(1));
        let delays: Vec<_> =
            (0..40).map(|_| state.pass(5_000_000, &faults, 100, &mut rng)[0].map(|a| a.delay)).collect();
        assert!(delays[..10].iter().all(|d| *d == Some(10)), "the bucket was full: {delays:?}");
        assert_eq!(delays[10], Some(10_010), "then one each 10 ms");
        assert_eq!(delays.iter().flatten().count(), 10 + 21, "the queue holds 20 behind the one that leaves");
        // Offered 100 kB/s for 100 s: a tenth gets through.
        let passed = share(&many(&faults), |a| a[0].is_some());
        assert!((passed - 0.1).abs() < 0.001, "{passed}");
    }

    #[test]
    fn a_hole_swallows_only_what_is_too_large() {
        let faults = Faults { mtu: Some(576), ..quick() };
        let (mut state, mut rng) = (LinkState::default(), SimRng::new(1));
        assert!(state.pass(0, &faults, 576, &mut rng)[0].is_some());
        assert!(state.pass(0, &faults, 577, &mut rng)[0].is_none());
    }
}
