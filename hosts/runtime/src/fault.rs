//! A bad network on demand: what a node sends is dropped, doubled, held back, reordered or damaged
//! by stated shares, the same way for the same seed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use donp_core::{Instant, Transmit};

/// Shares are counted in millionths.
const WHOLE: u32 = 1_000_000;
/// A reordered datagram is overtaken by what is sent in the next this long.
const OVERTAKEN_FOR: Duration = Duration::from_millis(10);
/// Datagrams held back at once; beyond that they are dropped and counted. 65,536 full ones are 80 MB.
const MAX_HELD: usize = 65_536;

/// What to do to outgoing datagrams.
///
/// Written `drop=5%,dup=1%,reorder=5%,corrupt=1%,delay=20..80ms`; every part is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    drop: u32,
    dup: u32,
    reorder: u32,
    corrupt: u32,
    delay: Option<(Duration, Duration)>,
}

/// Why a text is not a [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFaultError {
    /// A part has no `=`.
    #[error("'{0}' is not written key=value")]
    Part(String),
    /// There is no such key.
    #[error("there is no '{0}': use drop, dup, reorder, corrupt or delay")]
    Key(String),
    /// A key is there twice.
    #[error("'{0}' is there twice")]
    Twice(String),
    /// A share is not a percentage from 0 to 100.
    #[error("'{value}' of {key} is not a percentage such as 5% or 0.1%")]
    Share {
        /// The key.
        key: String,
        /// What was given.
        value: String,
    },
    /// A delay is not a duration or a range of durations, or is over a minute.
    #[error("'{0}' is not a delay such as 20ms or 20..80ms, at most 60s")]
    Delay(String),
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, ParseFaultError> {
        let mut fault = Self::default();
        let mut seen = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| ParseFaultError::Part(part.into()))?;
            let (key, value) = (key.trim(), value.trim());
            if seen.contains(&key) {
                return Err(ParseFaultError::Twice(key.into()));
            }
            seen.push(key);
            match key {
                "drop" => fault.drop = share(key, value)?,
                "dup" => fault.dup = share(key, value)?,
                "reorder" => fault.reorder = share(key, value)?,
                "corrupt" => fault.corrupt = share(key, value)?,
                "delay" => fault.delay = Some(delay(value)?),
                _ => return Err(ParseFaultError::Key(key.into())),
            }
        }
        Ok(fault)
    }
}

fn share(key: &str, value: &str) -> Result<u32, ParseFaultError> {
    let bad = || ParseFaultError::Share { key: key.into(), value: value.into() };
    let number: f64 = value.strip_suffix('%').ok_or_else(bad)?.trim().parse().map_err(|_| bad())?;
    if (0.0..=100.0).contains(&number) { Ok((number * f64::from(WHOLE) / 100.0).round() as u32) } else { Err(bad()) }
}

fn delay(value: &str) -> Result<(Duration, Duration), ParseFaultError> {
    let bad = || ParseFaultError::Delay(value.into());
    let (low, high) = value.split_once("..").unwrap_or((value, value));
    let last = humantime::parse_duration(high.trim()).map_err(|_| bad())?;
    // `20..80ms`: the unit of the end serves for the start too.
    let first = if low.chars().all(|c| c.is_ascii_digit()) {
        let unit = high.trim_start_matches(|c: char| c.is_ascii_digit());
        humantime::parse_duration(&format!("{low}{unit}")).map_err(|_| bad())?
    } else {
        humantime::parse_duration(low.trim()).map_err(|_| bad())?
    };
    if first > last || last > Duration::from_secs(60) {
        return Err(bad());
    }
    Ok((first, last))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (key, share) in
            [("drop", self.drop), ("dup", self.dup), ("reorder", self.reorder), ("corrupt", self.corrupt)]
        {
            if share > 0 {
                parts.push(format!("{key}={}%", f64::from(share) * 100.0 / f64::from(WHOLE)));
            }
        }
        if let Some((low, high)) = self.delay {
            parts.push(format!("delay={}us..{}us", low.as_micros(), high.as_micros()));
        }
        f.write_str(&parts.join(","))
    }
}

/// What the faults that were injected did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultStats {
    /// Datagrams given to it.
    pub offered: u64,
    /// Thrown away, those for which there was no room included.
    pub dropped: u64,
    /// Sent twice.
    pub doubled: u64,
    /// Overtaken on purpose.
    pub reordered: u64,
    /// Sent with one bit changed.
    pub corrupted: u64,
}

/// Applies a [`Fault`] to a stream of datagrams.
pub(crate) struct Shaper {
    fault: Fault,
    rng: SplitMix,
    held: BTreeMap<(Instant, u64), Transmit>,
    next: u64,
    stats: FaultStats,
}

impl Shaper {
    /// The same seed does the same to the same stream.
    pub fn new(fault: Fault, seed: u64) -> Self {
        Self { fault, rng: SplitMix(seed), held: BTreeMap::new(), next: 0, stats: FaultStats::default() }
    }

    /// Takes one datagram; what is to be sent at once goes to `out`.
    pub fn offer(&mut self, now: Instant, mut datagram: Transmit, out: &mut impl FnMut(Transmit)) {
        self.stats.offered += 1;
        // Every share is drawn every time: the fate of one datagram shifts no other one's.
        let drop = self.rng.share(self.fault.drop);
        let dup = self.rng.share(self.fault.dup);
        let reorder = self.rng.share(self.fault.reorder);
        let corrupt = self.rng.share(self.fault.corrupt);
        let (first, second) = (self.draw_delay(), self.draw_delay());
        let bit = self.rng.below(datagram.bytes.len() as u64 * 8);
        if drop {
            self.stats.dropped += 1;
            return;
        }
        if dup {
            self.stats.doubled += 1;
            self.release(now, second, datagram.clone(), out);
        }
        if corrupt && let Some(byte) = datagram.bytes.get_mut((bit / 8) as usize) {
            self.stats.corrupted += 1;
            *byte ^= 1 << (bit % 8);
        }
        let extra = if reorder { OVERTAKEN_FOR } else { Duration::ZERO };
        self.stats.reordered += u64::from(reorder);
        self.release(now, first + extra, datagram, out);
    }

    fn draw_delay(&mut self) -> Duration {
        let (low, high) = self.fault.delay.unwrap_or_default();
        let span = (high - low).as_micros() as u64;
        low + Duration::from_micros(self.rng.below(span + 1))
    }

    fn release(&mut self, now: Instant, after: Duration, datagram: Transmit, out: &mut impl FnMut(Transmit)) {
        if after.is_zero() {
            out(datagram);
        } else if self.held.len() >= MAX_HELD {
            self.stats.dropped += 1;
        } else {
            self.held.insert((now + after, self.next), datagram);
            self.next += 1;
        }
    }

    /// Lets go of what was held back until `now`.
    pub fn release_due(&mut self, now: Instant, out: &mut impl FnMut(Transmit)) {
        while let Some(first) = self.held.first_entry().filter(|e| e.key().0 <= now) {
            out(first.remove());
        }
    }

    /// When [`release_due`](Self::release_due) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.held.first_key_value().map(|((at, _), _)| *at)
    }

    /// What it applies.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// What was done so far.
    pub fn stats(&self) -> FaultStats {
        self.stats
    }
}

/// Steele, Lea and Flood's SplitMix64: enough for choosing victims, far from enough for keys.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    fn share(&mut self, millionths: u32) -> bool {
        self.below(u64::from(WHOLE)) < u64::from(millionths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn datagram(n: u32) -> Transmit {
        Transmit { to: "127.0.0.1:9".parse().unwrap(), bytes: n.to_le_bytes().to_vec() }
    }

    /// Sends `count` numbered datagrams one millisecond apart; what arrived, in order.
    fn run(fault: &str, seed: u64, count: u32) -> (Vec<Vec<u8>>, FaultStats) {
        let mut shaper = Shaper::new(fault.parse().unwrap(), seed);
        let mut arrived = Vec::new();
        let mut out = |t: Transmit| arrived.push(t.bytes);
        let mut now = Instant::from_micros(1);
        for n in 0..count {
            shaper.release_due(now, &mut out);
            shaper.offer(now, datagram(n), &mut out);
            now = now + Duration::from_millis(1);
        }
        while let Some(at) = shaper.next_deadline() {
            shaper.release_due(at, &mut out);
        }
        (arrived, shaper.stats())
    }

    #[test]
    fn every_part_reads_and_prints() {
        let fault: Fault = "drop=5%, dup=1%,reorder=0.5%,corrupt=100%,delay=20..80ms".parse().unwrap();
        assert_eq!(fault.drop, 50_000);
        assert_eq!(fault.reorder, 5_000);
        assert_eq!(fault.delay, Some((Duration::from_millis(20), Duration::from_millis(80))));
        assert_eq!(fault.to_string().parse(), Ok(fault));
        assert_eq!("".parse(), Ok(Fault::default()));
        assert_eq!("delay=1s".parse::<Fault>().unwrap().delay, Some((Duration::from_secs(1), Duration::from_secs(1))));
    }

    #[test]
    fn a_wrong_part_is_named() {
        for (text, in_message) in [
            ("drip=5%", "drip"),
            ("drop", "'drop'"),
            ("drop=5", "'5' of drop"),
            ("drop=101%", "101%"),
            ("drop=-1%", "-1%"),
            ("drop=NaN%", "NaN%"),
            ("drop=1%,drop=2%", "twice"),
            ("delay=80..20ms", "80..20ms"),
            ("delay=20", "'20'"),
            ("delay=2h", "2h"),
            ("delay=..5ms", "..5ms"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(in_message), "{text}: {error}");
        }
    }

    #[test]
    fn without_faults_everything_passes_in_order() {
        let (arrived, _) = run("", 1, 100);
        let sent: Vec<_> = (0..100).map(|n| datagram(n).bytes).collect();
        assert_eq!(arrived, sent);
    }

    #[test]
    fn delayed_datagrams_wait_at_least_the_least_delay() {
        let mut shaper = Shaper::new("delay=20..80ms".parse().unwrap(), 3);
        let now = Instant::from_micros(1);
        for n in 0..100 {
            shaper.offer(now, datagram(n), &mut |_| panic!("not held back"));
        }
        let first = shaper.next_deadline().unwrap();
        assert!(first >= now + Duration::from_millis(20));
        let mut count = 0;
        shaper.release_due(now + Duration::from_millis(80), &mut |_| count += 1);
        assert_eq!(count, 100);
    }

    #[test]
    fn a_reordered_datagram_is_overtaken() {
        let (arrived, stats) = run("reorder=10%", 5, 1_000);
        assert_eq!(arrived.len(), 1_000);
        let numbers: Vec<_> = arrived.iter().map(|b| u32::from_le_bytes(b[..].try_into().unwrap())).collect();
        let overtaken = numbers.windows(2).filter(|w| w[0] > w[1]).count() as u64;
        assert!(overtaken > 0 && overtaken <= stats.reordered, "{overtaken} of {}", stats.reordered);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_same_seed_does_the_same_and_another_does_not(seed: u64) {
            let fault = "drop=20%,dup=10%,reorder=10%,corrupt=10%,delay=1..9ms";
            prop_assert_eq!(run(fault, seed, 500), run(fault, seed, 500));
            prop_assert_ne!(run(fault, seed, 500), run(fault, seed ^ 1, 500));
        }

        #[test]
        fn shares_are_kept_and_nothing_is_made_up(seed: u64, drop in 0u32..=100, dup in 0u32..=100) {
            const COUNT: u32 = 4_000;
            let (arrived, stats) = run(&format!("drop={drop}%,dup={dup}%"), seed, COUNT);
            prop_assert_eq!(arrived.len() as u64, u64::from(COUNT) - stats.dropped + stats.doubled);
            // Five standard deviations of a binomial share.
            let near = |got: u64, of: u64, percent: u32| {
                let p = f64::from(percent) / 100.0;
                let mean = of as f64 * p;
                (got as f64 - mean).abs() <= 5.0 * (mean * (1.0 - p)).sqrt() + 1.0
            };
            prop_assert!(near(stats.dropped, u64::from(COUNT), drop), "{stats:?}");
            prop_assert!(near(stats.doubled, u64::from(COUNT) - stats.dropped, dup), "{stats:?}");
        }

        #[test]
        fn corruption_changes_exactly_one_bit(seed: u64) {
            let (arrived, _) = run("corrupt=100%", seed, 200);
            for (n, bytes) in arrived.iter().enumerate() {
                let sent = (n as u32).to_le_bytes();
                let changed: u32 = bytes.iter().zip(sent).map(|(a, b)| (a ^ b).count_ones()).sum();
                prop_assert_eq!(changed, 1);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = text.parse::<Fault>();
        }
    }
}
