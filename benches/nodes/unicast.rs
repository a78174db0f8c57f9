//! Acknowledged private messages between two nodes, each in a process of its own.
//!
//! A message counts when the receiver's acknowledgement of its storage has reached the sender, and the receiver's application has
//! acknowledged its event. Both nodes, both applications and the kernel share the machine; processor time and packets
//! are those of both processes.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use donp_core::{Content, Durable, Event, Identity, WallTime};
use donp_runtime::{Cost, Node, NodeConfig, Profile, Secrets, StoreKind};

use crate::allocations;
use crate::usage::{Usage, percentile};

const LONG: Duration = Duration::from_secs(60);
/// Messages before anything is measured: keys are warm and buffers have their size.
const WARM: usize = 2_000;

struct Case {
    name: &'static str,
    durable: bool,
    bytes: usize,
    in_flight: usize,
    messages: usize,
}

const CASES: [Case; 8] = [
    Case { name: "unicast-64", durable: false, bytes: 64, in_flight: 64, messages: 200_000 },
    Case { name: "unicast-512", durable: false, bytes: 64, in_flight: 512, messages: 200_000 },
    Case { name: "unicast-1k", durable: false, bytes: 1_024, in_flight: 64, messages: 100_000 },
    Case { name: "unicast-one", durable: false, bytes: 64, in_flight: 1, messages: 20_000 },
    Case { name: "unicast-allocations", durable: false, bytes: 64, in_flight: 64, messages: 50_000 },
    Case { name: "unicast-durable-64", durable: true, bytes: 64, in_flight: 64, messages: 20_000 },
    Case { name: "unicast-durable-512", durable: true, bytes: 64, in_flight: 512, messages: 100_000 },
    Case { name: "unicast-durable-one", durable: true, bytes: 64, in_flight: 1, messages: 2_000 },
];

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|c| c.name == name).expect("a row of this name")
}

fn open(case: &Case, dir: &Path, n: u8, bootstraps: Vec<String>) -> Node {
    let identity = Identity::generate([n; 64], "bench", WallTime(1)).expect("a valid name");
    let store: StoreKind = if case.durable {
        let cost = Cost { memory_kib: 8, passes: 1 };
        Profile::create(dir, &identity, &Secrets::default(), cost).expect("a profile").into()
    } else {
        identity.into()
    };
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Node::open(NodeConfig { listen, bootstraps, ..NodeConfig::new(store) }).expect("a node")
}

pub fn run(name: &str) {
    let case = case(name);
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["receiver", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = || {
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        line.trim().to_string()
    };
    let place = line();
    let to = place.rsplit('/').next().and_then(|id| id.parse().ok()).expect("a node id");
    let a = open(case, dir.path(), 1, vec![place]);
    let deadline = Instant::now() + LONG;
    while !a.peers().expect("peers").iter().any(|p| p.linked) {
        assert!(Instant::now() < deadline, "no link");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut sent = 0;
    send(&a, to, case, WARM.min(case.messages), &mut sent);
    if name.ends_with("allocations") {
        allocations::count();
    }
    let mut usage = |input: &mut dyn Write| -> Usage {
        input.write_all(b"usage\n").and_then(|()| input.flush()).expect("the receiver runs");
        let there: Usage = line().parse().expect("numbers");
        Usage::now([&a]).plus(there)
    };
    let before = usage(&mut input);
    let began = Instant::now();
    let mut waited = send(&a, to, case, case.messages, &mut sent);
    let took = began.elapsed().as_secs_f64();
    let used = usage(&mut input).since(before);
    drop(input);
    assert!(child.wait().expect("the receiver").success(), "the receiver lost a message");
    let count = case.messages as f64;
    println!(
        "{name}: {:.2} CPU s per 100,000, {:.0} acked/s, ack p50 {:.3} p99 {:.3} ms, {:.2} packets and {:.0} B of wire a message, \
         {:.0} commits/s, {:.2} waits a message",
        used.cpu as f64 / 1e6 / count * 1e5,
        count / took,
        percentile(&mut waited, 50),
        percentile(&mut waited, 99),
        used.datagrams as f64 / count,
        used.wire as f64 / count,
        used.commits as f64 / took,
        used.waits as f64 / count,
    );
    if used.allocations > 0 {
        let each = |n: u64| n as f64 / count;
        println!("{name}: {:.1} allocations of {:.0} B a message", each(used.allocations), each(used.allocated));
    }
}

/// Keeps `in_flight` messages unacknowledged until all are acknowledged; how long each waited, in microseconds.
fn send(a: &Node, to: donp_core::NodeId, case: &Case, messages: usize, all: &mut usize) -> Vec<u64> {
    let (mut sent, mut acked, mut after) = (0, 0, a.last_event());
    // In the order of sending, which is that of the acknowledgements but for what was lost and sent again.
    let mut under_way: VecDeque<Instant> = VecDeque::new();
    let mut waited = Vec::with_capacity(messages);
    while acked < messages {
        let room = (case.in_flight - (sent - acked)).min(messages - sent);
        // An eighth of the window at once: asking for each message would measure the asking, and
        // waiting for all would leave one node idle while the other works.
        if room >= (case.in_flight / 8).min(messages - sent).max(1) {
            let texts = (0..room).map(|n| Content::text(format!("{:0width$}", *all + n, width = case.bytes))).collect();
            let now = Instant::now();
            let ids = a.send_private_all(to, texts).expect("room");
            assert!(ids.iter().all(Result::is_ok), "refused within its own window");
            under_way.extend(ids.iter().map(|_| now));
            sent += ids.len();
            *all += ids.len();
        }
        assert!(a.wait_event(after, LONG), "{acked} of {sent} acknowledged, then nothing for a minute");
        let page = a.events(after, 4_096).expect("events");
        for event in &page.events {
            if let Event::Durable { event: Durable::Delivered { .. }, .. } = event {
                acked += 1;
                waited.extend(under_way.pop_front().map(|at| at.elapsed().as_micros() as u64));
            }
        }
        after = page.events.last().and_then(Event::seq).unwrap_or(after);
        a.ack_soon(after).expect("an event that was told");
    }
    waited
}

/// The other process: says where it is, answers questions for its usage, and ends with its input.
pub fn receiver(name: &str) {
    let case = case(name);
    let dir = tempfile::tempdir().expect("a folder");
    let b = Arc::new(open(case, dir.path(), 2, vec![]));
    println!("{}/{}", b.local_addresses()[0], b.id());
    let wanted = case.messages + WARM.min(case.messages);
    let application = {
        let b = Arc::clone(&b);
        std::thread::spawn(move || receive(&b, wanted))
    };
    let mut input = std::io::stdin().lock();
    let mut line = [0; 6];
    while input.read_exact(&mut line).is_ok() {
        if name.ends_with("allocations") {
            allocations::count();
        }
        println!("{}", Usage::now([&*b]));
    }
    application.join().expect("every message in its order");
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
        b.ack_soon(after).expect("an event that was told");
    }
}
