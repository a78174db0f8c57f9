//! The path and the clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Two ends of a connection, of which the first sends as much as it may. Times are virtual microseconds.
pub trait Flow {
    /// What either end wants to send now: whether it is the second, and the datagram.
    fn transmit(&mut self, now: u64) -> Vec<(bool, Vec<u8>)>;
    /// A datagram came to the second end, or to the first.
    fn receive(&mut self, now: u64, second: bool, bytes: &[u8]);
    /// When [`Self::timeout`] is due.
    fn deadline(&mut self) -> Option<u64>;
    fn timeout(&mut self, now: u64);
    /// Bytes that the second application has received.
    fn received(&self) -> u64;
}

/// A bottleneck for each direction, shared by all flows; then delay and loss.
pub struct Path {
    /// Bytes a second.
    rate: u64,
    /// One way, in microseconds.
    delay: u64,
    /// Probability.
    loss: f64,
    /// Bytes that may wait; more are dropped at the tail.
    buffer: u64,
    /// UDP payloads that are longer vanish.
    mtu: Option<usize>,
    /// Until when each direction is busy, in nanoseconds.
    busy: [u64; 2],
    random: u64,
}

/// Bytes of IPv4 and UDP headers.
const HEADERS: u64 = 28;

impl Path {
    pub fn new(rate: u64, delay: u64, buffer: u64, loss: f64, mtu: Option<usize>, seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { rate, delay, loss, buffer, mtu, busy: [0; 2], random }
    }

    /// xorshift64* (Vigna, 2016).
    fn draw(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// When a datagram arrives that is sent now; never if it is lost.
    fn pass(&mut self, now: u64, back: bool, len: usize) -> Option<u64> {
        if self.mtu.is_some_and(|mtu| len > mtu) {
            return None;
        }
        let (now, wire) = (now * 1_000, len as u64 + HEADERS);
        let busy = self.busy[usize::from(back)].max(now);
        if (busy - now) * self.rate / 1_000_000_000 + wire > self.buffer {
            return None;
        }
        let done = busy + wire * 1_000_000_000 / self.rate;
        self.busy[usize::from(back)] = done;
        (self.draw() >= self.loss).then(|| done.div_ceil(1_000) + self.delay)
    }
}

/// Bytes that each flow carried between `from` and `to`. The flows begin half a second apart.
pub fn run(flows: &mut [Box<dyn Flow>], mut path: Path, from: u64, to: u64) -> Vec<u64> {
    let mut flying = BinaryHeap::new();
    let (mut now, mut count, mut before) = (0, 0u64, None);
    let begins = |at: usize| at as u64 * 500_000;
    while now < to {
        if now >= from && before.is_none() {
            before = Some(flows.iter().map(|f| f.received()).collect::<Vec<_>>());
        }
        for (at, flow) in flows.iter_mut().enumerate().filter(|(at, _)| begins(*at) <= now) {
            if flow.deadline().is_some_and(|due| due <= now) {
                flow.timeout(now);
            }
            for (back, bytes) in flow.transmit(now) {
                if let Some(arrives) = path.pass(now, back, bytes.len()) {
                    count += 1;
                    flying.push(Reverse((arrives, count, at, back, bytes)));
                }
            }
        }
        let arrival = flying.peek().map(|Reverse((at, ..))| *at);
        let due = flows.iter_mut().enumerate().filter_map(|(at, f)| Some(f.deadline()?.max(begins(at)))).min();
        now = [arrival, due].into_iter().flatten().min().unwrap_or(to).max(now);
        if due.is_some_and(|due| due <= now) && arrival.is_none_or(|at| at > now) {
            // A deadline that stays in the past must not stop the clock.
            now = now.max(due.unwrap_or(now));
        }
        let mut arrived = false;
        while let Some(Reverse((at, ..))) = flying.peek() {
            if *at > now {
                break;
            }
            let Some(Reverse((_, _, flow, back, bytes))) = flying.pop() else { break };
            flows[flow].receive(now, !back, &bytes);
            arrived = true;
        }
        if !arrived && due.is_none_or(|due| due > now) {
            now += 1;
        }
    }
    let before = before.unwrap_or_else(|| vec![0; flows.len()]);
    flows.iter().zip(before).map(|(f, before)| f.received() - before).collect()
}
