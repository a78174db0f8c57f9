//! A group of 50 nodes in one process: joining, gentle speech, a burst, a lasting load, and the memory after it.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use donp_core::{Content, Durable, Event, Identity, WallTime};
use donp_runtime::{EventStream, Node, NodeConfig};

use crate::usage::{Usage, clock, memory_kib, percentile};

const LONG: Duration = Duration::from_secs(60);
const NODES: usize = 50;
/// Bytes of a broadcast's text.
const BYTES: usize = 256;
/// Gentle: this many a second, of authors in turn.
const GENTLE: u32 = 20;
const GENTLE_MESSAGES: usize = 200;
const BURST_MESSAGES: usize = 1_000;
const SUSTAINED_MESSAGES: usize = 2_000;
/// Broadcasts not yet delivered to all while the load lasts.
const SUSTAINED_WINDOW: usize = 64;
/// Acknowledged at once by each application.
const ACK: u64 = 256;

/// Opens `count` nodes that know the first; all at once but for it.
pub fn open(count: usize) -> Vec<Node> {
    let node = |n: usize, bootstraps: Vec<String>| {
        let mut entropy = [7; 64];
        entropy[..8].copy_from_slice(&n.to_le_bytes());
        let identity = Identity::generate(entropy, "bench", WallTime(1)).expect("a valid name");
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        Node::open(NodeConfig { listen, bootstraps, ..NodeConfig::new(identity) }).expect("a node")
    };
    let mut nodes = vec![node(0, vec![])];
    let place = format!("{}/{}", nodes[0].local_addresses()[0], nodes[0].id());
    nodes.extend((1..count).map(|n| node(n, vec![place.clone()])));
    nodes
}

/// Waits until every node has a neighbour.
pub fn settle(nodes: &[Node]) {
    let deadline = Instant::now() + LONG;
    while nodes.iter().any(|n| n.status().expect("status").node.neighbours == 0) {
        assert!(Instant::now() < deadline, "a node has no neighbour");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Puts the number of its stream into the list and wakes the applications' thread.
struct Ring {
    stream: usize,
    ready: Arc<Mutex<Vec<usize>>>,
    thread: std::thread::Thread,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().expect("no panic");
        ready.push(self.stream);
        if ready.len() == 1 {
            self.thread.unpark();
        }
    }
}

/// The applications of all nodes, on one thread.
struct Applications<'a> {
    nodes: &'a [Node],
    streams: Vec<EventStream>,
    wakers: Vec<Waker>,
    ready: Arc<Mutex<Vec<usize>>>,
    acked: Vec<u64>,
    /// Deliveries of each broadcast by its number.
    copies: Vec<usize>,
    /// From saying to showing, microseconds.
    waited: Vec<u64>,
    delivered: usize,
    /// Broadcasts that all have.
    complete: usize,
    said: usize,
}

impl<'a> Applications<'a> {
    fn new(nodes: &'a [Node]) -> Self {
        let ready = Arc::new(Mutex::new((0..nodes.len()).collect::<Vec<_>>()));
        let thread = std::thread::current();
        let ring = |stream| Waker::from(Arc::new(Ring { stream, ready: Arc::clone(&ready), thread: thread.clone() }));
        Self {
            nodes,
            streams: nodes.iter().map(Node::subscribe).collect(),
            wakers: (0..nodes.len()).map(ring).collect(),
            acked: vec![0; nodes.len()],
            ready,
            copies: Vec::new(),
            waited: Vec::new(),
            delivered: 0,
            complete: 0,
            said: 0,
        }
    }

    /// Says `count` broadcasts of one author; it waits when the node has no room.
    fn say(&mut self, author: usize, count: usize) {
        for _ in 0..count {
            let text = format!("{:08} {:020} {:0width$}", self.said, clock(), 0, width = BYTES - 30);
            loop {
                match self.nodes[author].broadcast(Content::text(text.clone())) {
                    Ok(_) => break,
                    Err(_) => self.serve(Instant::now() + Duration::from_millis(1)),
                }
            }
            self.copies.push(0);
            self.said += 1;
        }
    }

    /// Takes what has come, until `until` at the latest if nothing comes.
    fn serve(&mut self, until: Instant) {
        let ready = std::mem::take(&mut *self.ready.lock().expect("no panic"));
        if ready.is_empty() {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
            return;
        }
        for n in ready {
            loop {
                let mut wait = self.streams[n].ready();
                match std::pin::pin!(&mut wait).poll(&mut Context::from_waker(&self.wakers[n])) {
                    Poll::Pending => {
                        // Dropping it would take the waker back.
                        std::mem::forget(wait);
                        break;
                    }
                    Poll::Ready(more) => assert!(more, "a node ended"),
                }
                drop(wait);
                self.take(n);
            }
        }
    }

    fn take(&mut self, n: usize) {
        for event in self.streams[n].take(256) {
            let Event::Durable { seq, event } = event else { continue };
            if seq >= self.acked[n] + ACK {
                self.acked[n] = seq;
                self.nodes[n].ack_soon(seq).expect("an event that was told");
            }
            let Durable::Received(m) = event else { continue };
            let text = m.content.shown();
            let number: usize = text[..8].parse().expect("a number");
            let at: u64 = text[9..29].parse().expect("a time");
            self.waited.push(clock().saturating_sub(at));
            self.delivered += 1;
            self.copies[number] += 1;
            self.complete += usize::from(self.copies[number] == self.nodes.len() - 1);
        }
    }

    /// Until everything said is everywhere.
    fn finish(&mut self) {
        let deadline = Instant::now() + LONG;
        while self.complete < self.said {
            let (complete, said) = (self.complete, self.said);
            assert!(Instant::now() < deadline, "{complete} of {said} broadcasts are everywhere, then nothing");
            self.serve(Instant::now() + Duration::from_millis(100));
        }
    }

    fn usage(&self) -> Usage {
        Usage::now(self.nodes)
    }
}

struct Phase {
    before: Usage,
    began: Instant,
    delivered: usize,
    said: usize,
}

impl Phase {
    fn begin(apps: &mut Applications<'_>) -> Self {
        apps.waited.clear();
        Self { before: apps.usage(), began: Instant::now(), delivered: apps.delivered, said: apps.said }
    }

    fn end(self, name: &str, apps: &mut Applications<'_>) {
        let took = self.began.elapsed().as_secs_f64();
        let used = apps.usage().since(self.before);
        let deliveries = (apps.delivered - self.delivered) as f64;
        let waited = &mut apps.waited;
        println!(
            "{name}: {:.1} CPU µs a delivery, {:.0} deliveries/s, {:.0} broadcasts/s, p50 {:.2} p99 {:.2} max {:.2} ms, \
             {:.2} packets, {:.0} B of wire, {:.3} copies and {:.2} waits a delivery",
            used.cpu as f64 / deliveries,
            deliveries / took,
            (apps.said - self.said) as f64 / took,
            percentile(waited, 50),
            percentile(waited, 99),
            percentile(waited, 100),
            used.datagrams as f64 / deliveries,
            used.wire as f64 / deliveries,
            used.copies as f64 / used.first.max(1) as f64 - 1.0,
            used.waits as f64 / deliveries,
        );
    }
}

pub fn run(name: &str) {
    let empty = memory_kib();
    let began = Instant::now();
    let nodes = open(NODES);
    let mut apps = Applications::new(&nodes);
    // The first node says something every 10 ms until one of its words is everywhere.
    while apps.complete == 0 {
        apps.say(0, 1);
        let next = Instant::now() + Duration::from_millis(10);
        while apps.complete == 0 && Instant::now() < next {
            apps.serve(next);
        }
    }
    println!("{name}: first full delivery after {:.2} s", began.elapsed().as_secs_f64());
    apps.finish();
    settle(&nodes);
    let calm = Instant::now() + Duration::from_secs(5);
    while Instant::now() < calm {
        apps.serve(calm);
    }
    if name.ends_with("gentle") {
        let phase = Phase::begin(&mut apps);
        let mut next = Instant::now();
        for n in 0..GENTLE_MESSAGES {
            apps.say(n * 7 % NODES, 1);
            next += Duration::from_secs(1) / GENTLE;
            while Instant::now() < next {
                apps.serve(next);
            }
        }
        apps.finish();
        phase.end("group-gentle", &mut apps);
        return;
    }
    let phase = Phase::begin(&mut apps);
    apps.say(0, BURST_MESSAGES);
    apps.finish();
    phase.end("group-burst", &mut apps);

    let phase = Phase::begin(&mut apps);
    for n in 0..SUSTAINED_MESSAGES {
        while apps.said - apps.complete >= SUSTAINED_WINDOW {
            apps.serve(Instant::now() + Duration::from_secs(1));
            assert!(phase.began.elapsed() < LONG * 5, "nothing comes any more");
        }
        apps.say(n * 7 % NODES, 1);
    }
    apps.finish();
    phase.end("group-sustained", &mut apps);

    // What was acknowledged is not kept, and the allocator has time to give memory back.
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        apps.serve(until);
    }
    let each = memory_kib().saturating_sub(empty) / NODES as u64;
    println!("{name}: {each} KiB a node 10 s after {} broadcasts of {BYTES} B", apps.said);
}
