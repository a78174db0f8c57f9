//! What a node costs: two Engines in memory, no socket and no disk.
//!
//! `cargo bench -p donp-tests --bench engine` prints a table for docs/benchmarks.md. Run it on a quiet
//! machine, several times; compare ratios to the floor, not seconds between machines.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant as Clock};

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use donp_core::{
    Bootstrap, Config, Content, Durable, Engine, Event, Identity, Instant, MemoryStore, Output, Transmit, WallTime,
};
use mimalloc::MiMalloc;

static HEAP: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// The allocator of the `donp` program, counting the bytes that are in use.
struct Counting;

// SAFETY: every call goes to the allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(layout.size(), Relaxed);
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HEAP.fetch_add(size, Relaxed);
        HEAP.fetch_sub(layout.size(), Relaxed);
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as the caller promised.
        unsafe { MiMalloc.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HEAP.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Node {
    engine: Engine,
    store: MemoryStore,
    addr: SocketAddr,
    delivered: usize,
    received: usize,
    told: u64,
}

impl Node {
    fn new(n: u16) -> Self {
        let mut entropy = [0; 64];
        entropy[..2].copy_from_slice(&n.to_le_bytes());
        let identity = Identity::generate(entropy, "bench", WallTime(1)).unwrap();
        let mut config = Config::default();
        // A benchmark opens links faster than any stranger should.
        config.link.unverified_handshakes = 1_000_000;
        let mut seed = [1; 32];
        seed[..2].copy_from_slice(&n.to_le_bytes());
        let engine = Engine::new(config, identity, seed, Instant::ZERO, WallTime(1)).unwrap();
        let [high, low] = n.to_be_bytes();
        let addr = SocketAddr::from(([10, 1, high, low], 4000));
        Self { engine, store: MemoryStore::default(), addr, delivered: 0, received: 0, told: 0 }
    }

    /// A host whose disk is memory: commits and reads at once, acknowledges events in runs.
    fn serve(&mut self, now: Instant) -> Vec<Transmit> {
        let (mut seq, mut transmits) = (None, Vec::new());
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Batch(batch) => {
                    let seq = batch.seq;
                    self.store.apply(batch);
                    self.engine.handle_committed(now, seq);
                }
                Output::Read(request) => {
                    let records = self.store.scan(&request.scan);
                    self.engine.handle_records(now, request.id, records);
                }
                Output::Event(Event::Durable { seq: number, event }) => {
                    seq = Some(number);
                    match event {
                        Durable::Delivered { .. } => self.delivered += 1,
                        Durable::Received(m) => {
                            black_box(&m);
                            self.received += 1;
                        }
                        _ => {}
                    }
                }
                Output::Transmit(transmit) => transmits.push(transmit),
                _ => {}
            }
        }
        if let Some(seq) = seq.filter(|s| *s >= self.told + 64) {
            self.told = seq;
            self.engine.ack(now, seq).unwrap();
        }
        transmits
    }
}

/// Passes all datagrams until no node has any; how many there were.
fn exchange(nodes: &mut [Node], now: Instant) -> usize {
    let mut passed = 0;
    loop {
        let mut mail = Vec::new();
        for n in nodes.iter_mut() {
            let from = n.addr;
            mail.extend(n.serve(now).into_iter().map(|t| (from, t)));
        }
        if mail.is_empty() {
            return passed;
        }
        passed += mail.len();
        for (from, t) in mail {
            if let Some(to) = nodes.iter_mut().find(|n| n.addr == t.to) {
                to.engine.handle_datagram(now, from, &t.bytes);
            }
        }
    }
}

fn run(nodes: &mut [Node], now: &mut Instant, time: Duration) {
    let end = *now + time;
    while *now < end {
        exchange(nodes, *now);
        let next = nodes.iter().filter_map(|n| n.engine.next_deadline()).map(|d| d.at).min();
        *now = next.unwrap_or(end).max(*now + Duration::from_micros(1)).min(end);
        for n in nodes.iter_mut() {
            n.engine.handle_timeout(*now);
        }
    }
}

/// `n` nodes that entered through the first.
fn linked(n: u16, now: &mut Instant) -> Vec<Node> {
    let mut nodes: Vec<Node> = (1..=n).map(Node::new).collect();
    let first = Bootstrap { addr: nodes[0].addr, id: Some(nodes[0].engine.id()) };
    nodes[0].engine.join(*now, &[]).unwrap();
    for node in &mut nodes[1..] {
        node.engine.join(*now, std::slice::from_ref(&first)).unwrap();
    }
    run(&mut nodes, now, Duration::from_secs(3));
    assert!(nodes.iter().all(|n| n.engine.status().neighbours > 0), "not linked");
    nodes
}

/// Microseconds, datagrams and allocations for each message, both ends and both applications.
fn per_message(len: usize, in_flight: usize, total: usize) -> [f64; 3] {
    let mut now = Instant::ZERO;
    let mut nodes = linked(2, &mut now);
    let to = nodes[1].engine.id();
    let text = "x".repeat(len);
    let (mut sent, mut datagrams) = (0, 0);
    let allocations = ALLOCATIONS.load(Relaxed);
    let start = Clock::now();
    while nodes[0].delivered < total {
        while sent < total && sent - nodes[0].delivered < in_flight {
            nodes[0].engine.send_private(now, to, Content::text(text.as_str())).unwrap();
            sent += 1;
        }
        datagrams += exchange(&mut nodes, now);
        now = now + Duration::from_micros(50);
        for n in &mut nodes {
            n.engine.handle_timeout(now);
        }
    }
    let took = start.elapsed();
    assert_eq!(nodes[1].received, total);
    let allocations = ALLOCATIONS.load(Relaxed) - allocations;
    [took.as_secs_f64() * 1e6, datagrams as f64, allocations as f64].map(|n| n / total as f64)
}

/// Microseconds until the first private message of two linked nodes is acknowledged: bundle, key agreement, session.
fn first_message(pairs: u32) -> f64 {
    let mut took = Duration::ZERO;
    for _ in 0..pairs {
        let mut now = Instant::ZERO;
        let mut nodes = linked(2, &mut now);
        let to = nodes[1].engine.id();
        let start = Clock::now();
        nodes[0].engine.send_private(now, to, Content::text("hello")).unwrap();
        while nodes[0].delivered == 0 {
            exchange(&mut nodes, now);
            now = now + Duration::from_millis(1);
            nodes.iter_mut().for_each(|n| n.engine.handle_timeout(now));
        }
        took += start.elapsed();
    }
    took.as_secs_f64() * 1e6 / f64::from(pairs)
}

fn junk(total: u64) -> f64 {
    let mut now = Instant::ZERO;
    let mut nodes = linked(2, &mut now);
    let from: SocketAddr = "10.9.9.9:9".parse().unwrap();
    // The most expensive junk: as long as a handshake, so that its mac has to be computed.
    let mut bytes = vec![0x55u8; 330];
    bytes[..2].copy_from_slice(&[1, 1]);
    let start = Clock::now();
    for i in 0..total {
        bytes[2..10].copy_from_slice(&i.to_le_bytes());
        nodes[0].engine.handle_datagram(now, from, &bytes);
        while nodes[0].engine.poll().is_some() {}
    }
    total as f64 / start.elapsed().as_secs_f64()
}

fn handshakes(pairs: u16) -> f64 {
    let mut now = Instant::ZERO;
    let mut nodes: Vec<Node> = (1..=pairs * 2).map(Node::new).collect();
    let start = Clock::now();
    for pair in nodes.chunks_mut(2) {
        let first = Bootstrap { addr: pair[0].addr, id: Some(pair[0].engine.id()) };
        pair[0].engine.join(now, &[]).unwrap();
        pair[1].engine.join(now, &[first]).unwrap();
        while pair[1].engine.status().links == 0 {
            exchange(pair, now);
            now = now + Duration::from_millis(1);
            pair[1].engine.handle_timeout(now);
        }
    }
    f64::from(pairs) / start.elapsed().as_secs_f64()
}

/// Bytes of heap of one Engine with eight idle links.
fn idle_heap() -> usize {
    let mut now = Instant::ZERO;
    let mut nodes = linked(9, &mut now);
    run(&mut nodes, &mut now, Duration::from_secs(60));
    let hub = nodes.iter().position(|n| n.engine.status().links == 8).expect("one node has eight links");
    let node = nodes.swap_remove(hub);
    let before = HEAP.load(Relaxed);
    drop(node);
    before - HEAP.load(Relaxed)
}

fn floor(len: usize) -> f64 {
    let key = chacha20poly1305::ChaCha20Poly1305::new(&[1; 32].into());
    let rounds = 200_000u32;
    let mut buffer = vec![7u8; len];
    let start = Clock::now();
    for i in 0..rounds {
        let mut nonce = [0u8; 12];
        nonce[..4].copy_from_slice(&i.to_le_bytes());
        black_box(key.encrypt_inout_detached(&nonce.into(), &[], buffer.as_mut_slice().into()).unwrap());
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}

/// A row of the table: what it is called, how to measure it, the goal.
type Row = (&'static str, fn(usize) -> String, &'static str);

const ROWS: &[Row] = &[
    ("private message of 64 B, 64 in flight, both ends", |scale| message(64, 64, scale), "≤ 5 µs"),
    ("private message of 64 B, 512 in flight, both ends", |scale| message(64, 512, scale), "≤ 5 µs"),
    ("private message of 1 KiB, 64 in flight, both ends", |scale| message(1_024, 64, scale), "–"),
    ("first private message, both ends", |scale| format!("{:.0} µs", first_message(100 / scale as u32)), "–"),
    ("junk Init packets dropped", |scale| format!("{:.0} /s", junk(1_000_000 / scale as u64)), "≥ 300,000 /s"),
    ("links opened, both ends", |scale| format!("{:.0} /s", handshakes(400 / scale as u16)), "–"),
    ("heap of an idle node with eight links", |_| format!("{:.1} KiB", idle_heap() as f64 / 1024.0), "≤ 64 KiB"),
    ("floor: ChaCha20-Poly1305, seal 64 B", |_| format!("{:.2} µs", floor(64)), "–"),
    ("floor: ChaCha20-Poly1305, seal 1,200 B", |_| format!("{:.2} µs", floor(1_200)), "–"),
];

fn message(len: usize, in_flight: usize, scale: usize) -> String {
    let [us, datagrams, allocations] = per_message(len, in_flight, 200_000 / scale);
    format!("{us:.2} µs, {datagrams:.2} datagrams, {allocations:.1} allocations")
}

/// `cargo bench -p donp-tests --bench engine -- WORD` measures the rows with that word.
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` passes this: only see that everything runs.
    let scale = if args.iter().any(|a| a == "--test") { 100 } else { 1 };
    let word = args.iter().find(|a| !a.starts_with("--"));
    println!("| what | measured | goal |\n|---|---|---|");
    for (what, measure, goal) in ROWS {
        if word.is_none_or(|w| what.contains(w.as_str())) {
            println!("| {what} | {} | {goal} |", measure(scale));
        }
    }
}
