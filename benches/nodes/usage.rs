//! What a process has used, as the system counts it, and small helpers of every row.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use donp_runtime::{Node, os};
use nix::sys::resource::{UsageWho, getrusage};

use crate::allocations;

/// Counters of one process and its nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, microseconds.
    pub cpu: u64,
    /// Times that a thread gave up its processor to wait: each is a wake-up later.
    pub waits: u64,
    /// UDP payloads sent by the nodes.
    pub datagrams: u64,
    /// Bytes on the wire: payloads with 28 bytes of IP and UDP header each.
    pub wire: u64,
    /// Transactions of the nodes.
    pub commits: u64,
    /// Broadcasts received for the first time.
    pub first: u64,
    /// Broadcasts received in all.
    pub copies: u64,
    /// Allocations, if they are counted, and their bytes.
    pub allocations: u64,
    /// See there.
    pub allocated: u64,
}

/// Bytes of IPv4 and UDP headers.
const HEADERS: u64 = 28;

impl Usage {
    pub fn now<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Self {
        let mut all = Self::default();
        for node in nodes {
            let status = node.status().expect("status");
            let stats = &status.node.stats;
            all.datagrams += stats.datagrams_out;
            all.wire += stats.bytes_out + HEADERS * stats.datagrams_out;
            all.commits += status.host.commits;
            all.first += stats.broadcast.first;
            all.copies += stats.broadcast.payloads_in;
        }
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system counts");
        all.waits = usage.voluntary_context_switches() as u64;
        all.cpu = os::cpu_micros();
        (all.allocations, all.allocated) = allocations::counted();
        all
    }

    fn fields(&mut self) -> [&mut u64; 9] {
        [
            &mut self.cpu,
            &mut self.waits,
            &mut self.datagrams,
            &mut self.wire,
            &mut self.commits,
            &mut self.first,
            &mut self.copies,
            &mut self.allocations,
            &mut self.allocated,
        ]
    }

    fn each(mut self, mut other: Self, with: fn(u64, u64) -> u64) -> Self {
        for (a, b) in self.fields().into_iter().zip(other.fields()) {
            *a = with(*a, *b);
        }
        self
    }

    /// What came to it since `before`.
    pub fn since(self, before: Self) -> Self {
        self.each(before, u64::saturating_sub)
    }

    pub fn plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        copy.fields().into_iter().try_for_each(|field| write!(f, "{field} "))
    }
}

impl FromStr for Usage {
    type Err = std::num::ParseIntError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut usage = Self::default();
        for (field, word) in usage.fields().into_iter().zip(line.split_whitespace()) {
            *field = word.parse()?;
        }
        Ok(usage)
    }
}

/// KiB of anonymous memory that the process holds.
pub fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// What the `donp` program does with its memory, unless `DONP_BENCH_HUGE_PAGES` is set.
pub fn no_huge_pages() {
    if std::env::var_os("DONP_BENCH_HUGE_PAGES").is_none() {
        os::no_huge_pages();
    }
}

/// Microseconds since 1970, to be compared between processes.
pub fn clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

/// The value at `percent` of `values`, which are sorted here, in milliseconds.
pub fn percentile(values: &mut [u64], percent: usize) -> f64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get(last * percent / 100).map_or(0.0, |us| *us as f64 / 1_000.0)
}
