//! Acknowledged private messages between two nodes of one process over loopback UDP: how many a
//! second, how many transactions that took, and how much processor time.
//!
//! `cargo bench -p donp-runtime --bench throughput` runs all; an argument runs those that contain it.
//! A message counts when its sender was told that the receiver has stored it, and the receiver's
//! application has acknowledged its event. Both nodes, both applications and the kernel share the
//! machine. Nothing is asserted about speed; a lost message fails.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use donp_core::{Content, Durable, Event, Identity, WallTime};
use donp_runtime::{Cost, Node, NodeConfig, Profile, Secrets, StoreKind, os};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LONG: Duration = Duration::from_secs(60);

struct Case {
    name: &'static str,
    durable: bool,
    in_flight: usize,
    messages: usize,
}

const CASES: [Case; 4] = [
    Case { name: "volatile, 64 in flight", durable: false, in_flight: 64, messages: 200_000 },
    Case { name: "volatile, 512 in flight", durable: false, in_flight: 512, messages: 400_000 },
    Case { name: "durable, 64 in flight", durable: true, in_flight: 64, messages: 20_000 },
    Case { name: "durable, 512 in flight", durable: true, in_flight: 512, messages: 100_000 },
];

fn main() {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    println!(
        "{:<26} {:>12} {:>12} {:>14} {:>12}",
        "64-byte messages", "acked/s", "commits/s", "CPU s/100k", "datagrams"
    );
    for case in CASES.iter().filter(|c| wanted.as_ref().is_none_or(|w| c.name.contains(w.as_str()))) {
        run(case);
    }
}

fn store(durable: bool, dir: &Path, n: u8) -> StoreKind {
    let identity = Identity::generate([n; 64], "bench", WallTime(1)).expect("a valid name");
    if !durable {
        return identity.into();
    }
    let cost = Cost { memory_kib: 8, passes: 1 };
    Profile::create(dir, &identity, &Secrets::default(), cost).expect("a profile").into()
}

fn open(store: StoreKind, bootstraps: Vec<String>) -> Node {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Node::open(NodeConfig { listen, bootstraps, ..NodeConfig::new(store) }).expect("a node")
}

fn run(case: &Case) {
    let dir = tempfile::tempdir().expect("a folder");
    let b = Arc::new(open(store(case.durable, &dir.path().join("b"), 2), vec![]));
    let place = format!("{}/{}", b.local_addresses()[0], b.id());
    let a = open(store(case.durable, &dir.path().join("a"), 1), vec![place]);
    let deadline = Instant::now() + LONG;
    while !a.peers().expect("peers").iter().any(|p| p.linked) {
        assert!(Instant::now() < deadline, "no link");
        std::thread::sleep(Duration::from_millis(1));
    }
    let application = {
        let (b, wanted) = (Arc::clone(&b), case.messages);
        std::thread::spawn(move || receive(&b, wanted))
    };
    let commits = |n: &Node| n.status().expect("status").host.commits;
    let datagrams = |n: &Node| n.status().expect("status").node.stats.datagrams_out;
    let (commits_before, datagrams_before) = (commits(&a) + commits(&b), datagrams(&a) + datagrams(&b));
    let (cpu, began) = (os::cpu_micros(), Instant::now());
    send(&a, &b, case);
    application.join().expect("the receiving application");
    let took = began.elapsed().as_secs_f64();
    let cpu = (os::cpu_micros() - cpu) as f64 / 1e6;
    let count = case.messages as f64;
    println!(
        "{:<26} {:>12.0} {:>12.0} {:>14.2} {:>12}",
        case.name,
        count / took,
        (commits(&a) + commits(&b) - commits_before) as f64 / took,
        cpu / count * 100_000.0,
        datagrams(&a) + datagrams(&b) - datagrams_before,
    );
}

/// Keeps `in_flight` messages unacknowledged until all are acknowledged.
fn send(a: &Node, b: &Node, case: &Case) {
    let (mut sent, mut acked, mut after) = (0, 0, a.last_event());
    while acked < case.messages {
        let room = (case.in_flight - (sent - acked)).min(case.messages - sent);
        // An eighth of the window at once: asking for each message would measure the asking, and
        // waiting for all would leave one node idle while the other works.
        if room >= (case.in_flight / 8).min(case.messages - sent).max(1) {
            let texts = (0..room).map(|n| Content::text(format!("{:064}", sent + n))).collect();
            let ids = a.send_private_all(b.id(), texts).expect("room");
            sent += ids.len();
            assert!(ids.iter().all(Result::is_ok), "refused within its own window");
        }
        assert!(a.wait_event(after, LONG), "{acked} of {sent} acknowledged, then nothing for a minute");
        let page = a.events(after, 4_096).expect("events");
        acked +=
            page.events.iter().filter(|e| matches!(e, Event::Durable { event: Durable::Delivered { .. }, .. })).count();
        after = page.events.last().and_then(Event::seq).unwrap_or(after);
        a.ack(after).expect("an event that was told");
    }
}

/// Takes every message once and in the order of sending, and acknowledges the events.
fn receive(b: &Node, wanted: usize) {
    let (mut got, mut after) = (0, 0);
    while got < wanted {
        assert!(b.wait_event(after, LONG), "{got} of {wanted} received, then nothing for a minute");
        let page = b.events(after, 4_096).expect("events");
        for event in &page.events {
            after = event.seq().unwrap_or(after);
            if let Event::Durable { event: Durable::Received(m), .. } = event {
                assert_eq!(m.content.shown().trim_start_matches('0').parse().unwrap_or(0), got, "order");
                got += 1;
            }
        }
        b.ack(after).expect("an event that was told");
    }
}
