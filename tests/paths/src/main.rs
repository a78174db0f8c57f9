//! What DONP and QUIC get of one path: a bottleneck with a buffer, a delay and random loss, emulated in virtual time,
//! so that every flow has the same path and a run is a function of its seed.
//!
//! `cargo run --release` prints a table for docs/benchmarks.md. QUIC is quinn's state machine, with both of its
//! controllers; DONP is a pair of Engines whose application sends private messages of 16 KiB.

mod donp;
mod path;
mod quic;

use path::{Flow, Path, run};

/// 100 Mbit/s in bytes a second, and a round trip of 50 ms in microseconds.
const RATE: u64 = 12_500_000;
const ROUND_TRIP: u64 = 50_000;
/// One bandwidth-delay product: 625,000 bytes.
const BUFFER: u64 = RATE * ROUND_TRIP / 1_000_000;
const SECOND: u64 = 1_000_000;

type Make = fn(u64) -> Box<dyn Flow>;

const CUBIC: (&str, Make) = ("quinn, CUBIC", |seed| Box::new(quic::Quic::new(quic::Controller::Cubic, seed)));
const BBR: (&str, Make) = ("quinn, BBR", |seed| Box::new(quic::Quic::new(quic::Controller::Bbr, seed)));
/// 1.8 MB: more than path and buffer hold, less than `Limits::link_queue_bytes`.
const DONP: (&str, Make) = ("DONP", |seed| Box::new(donp::Donp::new(110, seed)));
/// 131 kB, which a window at 1 % loss never holds.
const DONP_SLOW: (&str, Make) = ("DONP", |seed| Box::new(donp::Donp::new(8, seed)));

fn path(loss: f64, mtu: Option<usize>, seed: u64) -> Path {
    Path::new(RATE, ROUND_TRIP / 2, BUFFER, loss, mtu, seed)
}

/// Mbit/s of each flow between `from` and `to` seconds; the median of three seeds.
fn measure(flows: &[(&str, Make)], loss: f64, from: u64, to: u64) -> Vec<f64> {
    let runs: Vec<Vec<f64>> = (1..=3)
        .map(|seed| {
            let mut made: Vec<Box<dyn Flow>> = flows.iter().map(|(_, make)| make(seed)).collect();
            let got = run(&mut made, path(loss, None, seed), from * SECOND, to * SECOND);
            got.into_iter().map(|bytes| bytes as f64 * 8.0 / 1e6 / (to - from) as f64).collect()
        })
        .collect();
    (0..flows.len())
        .map(|at| {
            let mut all: Vec<f64> = runs.iter().map(|run| run[at]).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        })
        .collect()
}

fn main() {
    println!(
        "100 Mbit/s, a round trip of 50 ms, a buffer of one bandwidth-delay product; Mbit/s of payload, medians of three\n"
    );
    println!("| alone | no loss, 2 to 22 s | 1 % loss, 5 to 65 s |\n|---|---|---|");
    let mut lossy = Vec::new();
    for [flow, slow] in [[DONP, DONP_SLOW], [CUBIC; 2], [BBR; 2]] {
        let clean = measure(&[flow], 0.0, 2, 22)[0];
        let bad = measure(&[slow], 0.01, 5, 65)[0];
        lossy.push(bad);
        println!("| {} | {clean:.1} | {bad:.2} |", flow.0);
    }
    println!("\nDONP has {:.0} % of quinn's CUBIC with 1 % loss\n", 100.0 * lossy[0] / lossy[1]);
    println!("| two at once, 10 to 40 s | first | second | share of the first |\n|---|---|---|---|");
    for pair in [[DONP, CUBIC], [DONP, DONP], [CUBIC, CUBIC], [DONP, BBR], [CUBIC, BBR]] {
        let got = measure(&pair, 0.0, 10, 40);
        let share = 100.0 * got[0] / (got[0] + got[1]);
        println!("| {}, {} | {:.1} | {:.1} | {share:.0} % |", pair[0].0, pair[1].0, got[0], got[1]);
    }
    println!("\n| path of 1,100 bytes, 2 to 12 s | Mbit/s |\n|---|---|");
    let got = run(&mut [DONP.1(1)], path(0.0, Some(1_100), 1), 2 * SECOND, 12 * SECOND)[0];
    println!("| DONP (QUIC needs 1,200) | {:.1} |", got as f64 * 8.0 / 1e7);
}
