//! Two machines, their disks and what lies between them.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::collections::{OrderedMap, OrderedSet};
use crate::config::Config;
use crate::contract::who;
use crate::crypto::kdf::Key;
use crate::machine::Emit;
use crate::rng::Rng;
use crate::store::{Batch, MemoryStore};

mod attacks;
mod epochs;
mod schedules;
mod state;
mod trust;
#[cfg(not(donp_toy_keys))]
mod vectors;

/// What an application remembers, as its disk has it.
#[derive(Clone, Default)]
struct App {
    /// Not acknowledged.
    outbox: OrderedMap<u64, Vec<u8>>,
    next: u64,
    read: OrderedSet<Vec<u8>>,
}

/// A machine with a disk and a simple outbox above it, as delivery is.
struct Node {
    n: u8,
    machine: Sessions,
    rng: Rng,
    disk: MemoryStore,
    app: App,
    /// What was opened since the start.
    digests: OrderedMap<ShortId, Vec<u8>>,
    lost: usize,
    /// How often it was to send again.
    ready: usize,
    /// Keys that devices proved to hold, own ones first.
    keys: Vec<([u8; 32], [u8; 32])>,
    /// Every key and nonce that a message was sealed with.
    used: Vec<(Key, [u8; 24])>,
    now: Instant,
    wall: WallTime,
}

/// A step of one node that was not committed.
struct Pending {
    ops: Vec<crate::store::Op>,
    sends: Vec<Vec<u8>>,
    /// What leaves whether or not it is committed.
    early: Vec<Vec<u8>>,
    before: App,
    /// Keys and nonces used before.
    used: usize,
}

const MINUTE: Duration = Duration::from_secs(60);

fn open(n: u8, rows: Vec<Record>, rng: &mut Rng, (now, wall): (Instant, WallTime)) -> (Sessions, Outbox<Out>) {
    let (config, identity, mut out) = (Config::default(), who(n), Outbox::new());
    let mut cx = Cx { now, wall, me: identity.node_id(), rng };
    let setup = Setup { config: &config, identity: &identity };
    (Sessions::open(setup, rows, &mut cx, &mut out).unwrap(), out)
}

impl Node {
    fn new(n: u8) -> Self {
        Self::seeded(n, n)
    }

    fn seeded(n: u8, seed: u8) -> Self {
        let mut rng = Rng::new([seed; 32]);
        let (now, wall) = (Instant::from_micros(1_000_000), WallTime(1_700_000_000_000));
        let (machine, mut out) = open(n, Vec::new(), &mut rng, (now, wall));
        let mut node = Self {
            n,
            machine,
            rng,
            disk: MemoryStore::default(),
            app: App::default(),
            digests: OrderedMap::new(),
            lost: 0,
            ready: 0,
            keys: Vec::new(),
            used: Vec::new(),
            now,
            wall,
        };
        let pending = node.collect(&mut out, App::default());
        node.commit(pending);
        node
    }

    fn other(&self) -> NodeId {
        who(1 - self.n).node_id()
    }

    fn run(&mut self, f: impl FnOnce(&mut Sessions, &mut Cx<'_>, &mut Outbox<Out>)) -> Pending {
        let before = self.app.clone();
        let mut out = Outbox::new();
        let mut cx = Cx { now: self.now, wall: self.wall, me: who(self.n).node_id(), rng: &mut self.rng };
        f(&mut self.machine, &mut cx, &mut out);
        self.collect(&mut out, before)
    }

    fn collect(&mut self, out: &mut Outbox<Out>, before: App) -> Pending {
        let used = self.used.len();
        let mut pending = Pending { ops: Vec::new(), sends: Vec::new(), early: Vec::new(), before, used };
        let mut inputs = Vec::new();
        loop {
            while let Some(emit) = out.pop() {
                let effect = match emit {
                    Emit::Store(op) => {
                        pending.ops.push(op);
                        continue;
                    }
                    Emit::Now(Out::Send { body, .. }) => {
                        pending.early.push(body);
                        continue;
                    }
                    Emit::Now(effect) | Emit::Committed(effect) => effect,
                };
                match effect {
                    Out::Send { body, .. } => pending.sends.push(body),
                    Out::SaveDue => inputs.push(In::SaveDue),
                    Out::Opened { digest, body, .. } => inputs.extend(self.receive(digest, body)),
                    Out::Unopened { digest, .. } => inputs.push(match self.digests.get(&digest) {
                        Some(body) => self.answer(&body.clone()),
                        None => {
                            self.lost += 1;
                            In::Lost(self.other())
                        }
                    }),
                    Out::History { .. } | Out::Group { .. } | Out::Device { .. } | Out::Register { .. } => {}
                    Out::Keys { device, identity } => self.keys.push((device, identity)),
                    Out::Ready(_) => {
                        self.ready += 1;
                        inputs.extend(self.unacknowledged());
                    }
                }
            }
            for session in self.machine.peers.iter_mut().flat_map(|(_, p)| &mut p.sessions) {
                self.used.append(&mut session.used_keys);
            }
            if inputs.is_empty() {
                self.machine.check().unwrap();
                return pending;
            }
            // What is saved is saved after the inputs that wait already.
            let (saves, mut rest): (Vec<_>, Vec<_>) = inputs.drain(..).partition(|input| matches!(input, In::SaveDue));
            rest.extend(saves);
            let mut cx = Cx { now: self.now, wall: self.wall, me: who(self.n).node_id(), rng: &mut self.rng };
            rest.into_iter().for_each(|input| self.machine.handle(&mut cx, input, out));
        }
    }

    fn answer(&self, body: &[u8]) -> In {
        In::Seal {
            to: self.other(),
            order: None,
            subject: Subject::Message,
            priority: Priority::High,
            body: [b"ack ", body].concat(),
        }
    }

    fn receive(&mut self, digest: ShortId, body: Vec<u8>) -> Vec<In> {
        if let Some(id) = body.strip_prefix(b"ack ") {
            let orders: Vec<u64> = self.app.outbox.iter().filter(|(_, b)| *b == id).map(|(o, _)| *o).collect();
            return orders
                .into_iter()
                .map(|order| {
                    self.app.outbox.remove(&order);
                    In::Forget { to: self.other(), order }
                })
                .collect();
        }
        self.app.read.insert(body.clone());
        self.digests.insert(digest, body.clone());
        vec![self.answer(&body)]
    }

    fn unacknowledged(&self) -> Vec<In> {
        let seal = |(order, body): (&u64, &Vec<u8>)| In::Seal {
            to: self.other(),
            order: Some(*order),
            subject: Subject::Message,
            priority: Priority::Normal,
            body: body.clone(),
        };
        self.app.outbox.iter().map(seal).collect()
    }

    fn commit(&mut self, pending: Pending) -> Vec<Vec<u8>> {
        self.disk.apply(Batch { seq: 0, ops: pending.ops });
        [pending.early, pending.sends].concat()
    }

    /// The power fails: with `lost`, what the last step wanted to store and send is gone.
    fn crash(&mut self, lost: Option<Pending>) -> Vec<Vec<u8>> {
        let mut left = Vec::new();
        if let Some(pending) = lost {
            self.app = pending.before;
            if pending.early.iter().all(|m| m.len() == 1) {
                // What was sealed never left.
                self.used.truncate(pending.used);
            }
            left = pending.early;
        }
        self.digests.clear();
        self.reload();
        left
    }

    /// As after a restart, for the machine only. Its randomness goes on, as a fresh seed would give other values too.
    fn reload(&mut self) {
        let (machine, mut out) = open(self.n, self.disk.hot(), &mut self.rng, (self.now, self.wall));
        self.machine = machine;
        let app = self.app.clone();
        let pending = self.collect(&mut out, app);
        self.commit(pending);
    }

    fn say(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        let order = self.app.next;
        let pending = self.submit(order, body);
        self.commit(pending)
    }

    fn submit(&mut self, order: u64, body: &[u8]) -> Pending {
        let before = self.app.clone();
        self.app.next = order + 1;
        self.app.outbox.insert(order, body.to_vec());
        let (to, body) = (self.other(), body.to_vec());
        let seal = In::Seal { to, order: Some(order), subject: Subject::Message, priority: Priority::Normal, body };
        let mut pending = self.run(|m, cx, out| m.handle(cx, seal, out));
        pending.before = before;
        pending
    }

    fn repeat(&mut self) -> Vec<Vec<u8>> {
        let inputs = self.unacknowledged();
        let pending = self.run(|m, cx, out| inputs.into_iter().for_each(|input| m.handle(cx, input, out)));
        self.commit(pending)
    }

    fn take(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        let pending = self.arrive(body);
        self.commit(pending)
    }

    fn arrive(&mut self, body: &[u8]) -> Pending {
        let input = In::Message { from: self.other(), body: body.to_vec() };
        self.run(|m, cx, out| m.handle(cx, input, out))
    }

    fn input(&mut self, input: In) -> Vec<Vec<u8>> {
        let pending = self.run(|m, cx, out| m.handle(cx, input, out));
        self.commit(pending)
    }

    /// What it sends meanwhile.
    fn pass(&mut self, time: Duration) -> Vec<Vec<u8>> {
        self.now = self.now + time;
        self.wall = WallTime(self.wall.0 + time.as_millis() as u64);
        let mut sent = Vec::new();
        while self.machine.next_deadline().is_some_and(|at| at <= self.now) {
            let pending = self.run(|m, cx, out| m.handle_timeout(cx, out));
            sent.extend(self.commit(pending));
        }
        sent
    }

    fn sessions(&self) -> &[Session] {
        let mine = self.machine.peers.iter().find(|(id, _)| *id == self.other());
        mine.map_or(&[], |(_, p)| &p.sessions)
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.machine.drops.get(reason)
    }

    fn rows(&self) -> Vec<Record> {
        self.disk.hot()
    }
}

/// Everything between two nodes, in order, until nothing is on its way.
fn exchange(nodes: &mut [Node; 2], from: usize, first: Vec<Vec<u8>>) {
    let mut on_way: Vec<(usize, Vec<u8>)> = first.into_iter().map(|m| (1 - from, m)).collect();
    let mut steps = 0;
    while !on_way.is_empty() {
        steps += 1;
        assert!(steps < 10_000, "two nodes never come to rest");
        let (to, message) = on_way.remove(0);
        let answers = nodes[to].take(&message);
        on_way.extend(answers.into_iter().map(|m| (1 - to, m)));
    }
}

fn pair() -> [Node; 2] {
    [Node::new(0), Node::new(1)]
}

/// Two nodes with a session that both have used.
fn linked() -> [Node; 2] {
    let mut nodes = pair();
    say(&mut nodes, 0, b"hello");
    say(&mut nodes, 1, b"hi");
    nodes
}

fn say(nodes: &mut [Node; 2], from: usize, body: &[u8]) {
    let first = nodes[from].say(body);
    exchange(nodes, from, first);
    assert!(nodes[1 - from].app.read.contains(body), "{} is not read", alloc::string::String::from_utf8_lossy(body));
    assert!(nodes[from].app.outbox.is_empty(), "it is acknowledged");
}
