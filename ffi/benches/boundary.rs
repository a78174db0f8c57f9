//! The rows of bindings/README.md, "The benchmark", without a boundary: the engine's own time, and what
//! the exported types cost. `cargo bench -p donp-ffi` prints one JSON line for each row.

#![allow(clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;
use std::time::Instant;

use donp_ffi::*;

const ROUNDS: usize = 5;
const BATCH: usize = 64;

fn engine(name: &str) -> Engine {
    let config = EngineConfig {
        identity: generate_identity(name).expect("a name"),
        network_key: None,
        node_type: None,
        bot: false,
        power: None,
        beacons: false,
        in_memory: true,
        seed: None,
    };
    Engine::new(config, 0, 0).expect("an engine")
}

/// Nanoseconds for each of `n` units, the best of the rounds.
fn row(name: &str, n: usize, mut round: impl FnMut() -> (std::time::Duration, usize)) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (mut took, mut units) = (std::time::Duration::ZERO, 0);
        while units < n {
            let (more, done) = round();
            took += more;
            units += done;
        }
        best = best.min(took.as_secs_f64() * 1e9 / units as f64);
    }
    println!("{{\"language\":\"rust\",\"row\":\"{name}\",\"ns\":{best:.1}}}");
}

fn timed(units: usize, f: impl FnOnce()) -> (std::time::Duration, usize) {
    let start = Instant::now();
    f();
    (start.elapsed(), units)
}

/// Two engines that are linked, and their clock.
struct Pair {
    now_us: u64,
    engines: [Engine; 2],
    inbox: [Vec<Received>; 2],
}

impl Pair {
    fn linked() -> Self {
        let mut pair = Self { now_us: 0, engines: [engine("a"), engine("b")], inbox: Default::default() };
        pair.engines[0].join(0, vec![]).expect("join");
        pair.engines[1].join(0, vec![address(0)]).expect("join");
        while pair.engines.iter().any(|e| e.status().expect("status").links == 0) {
            pair.settle();
            pair.now_us += 1_000;
        }
        pair
    }

    /// Carries datagrams until none is under way.
    fn settle(&mut self) {
        loop {
            let mut busy = false;
            for at in 0..2 {
                let received = std::mem::take(&mut self.inbox[at]);
                let out = self.engines[at].turn(self.now_us, received, None).expect("turn");
                busy |= !out.transmits.is_empty();
                self.deliver(at, out);
            }
            if !busy {
                return;
            }
        }
    }

    fn deliver(&mut self, from: usize, out: Output) {
        let received = out.transmits.into_iter().map(|t| Received { source: address(from), payload: t.payload });
        self.inbox[1 - from].extend(received);
        if let Some(seq) = out.events.iter().rev().find_map(|e| match e {
            Event::Received { seq, .. } | Event::Delivered { seq, .. } | Event::Failed { seq, .. } => Some(*seq),
            _ => None,
        }) {
            self.engines[from].ack(self.now_us, seq).expect("ack");
        }
    }
}

fn address(n: usize) -> String {
    format!("10.0.0.{}:4000", n + 1)
}

fn main() {
    let e = engine("bench");
    row("noop", 1_000_000, || {
        timed(1_000, || {
            for _ in 0..1_000 {
                black_box(e.is_dead());
            }
        })
    });
    let mut now = 1;
    row("turn_empty", 100_000, || {
        timed(1_000, || {
            for _ in 0..1_000 {
                now += 1;
                black_box(e.turn(now, vec![], None)).expect("turn");
            }
        })
    });
    let junk = vec![0xff; 1_200];
    row("turn_64_in", 100_000, || {
        timed(BATCH, || {
            now += 1;
            let received = (0..BATCH).map(|_| Received { source: "10.0.0.9:9".into(), payload: junk.clone() });
            black_box(e.turn(now, received.collect(), None)).expect("turn");
        })
    });
    let mut pair = Pair::linked();
    let to = pair.engines[1].id();
    let text = "x".repeat(1_000);
    row("turn_64_out", 10_000, || {
        for _ in 0..BATCH {
            pair.engines[0].send_private(pair.now_us, to, Content::Text { text: text.clone() }).expect("send");
        }
        let start = Instant::now();
        let out = pair.engines[0].turn(pair.now_us, vec![], None).expect("turn");
        let took = start.elapsed();
        let units = out.transmits.len();
        pair.deliver(0, out);
        pair.settle();
        pair.now_us += 100_000;
        pair.settle();
        (took, units)
    });
}
