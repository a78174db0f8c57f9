//! Links in a small virtual network.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

mod hostile;
mod network;
mod paths;
mod primitives;
mod spec;
mod upgrade;
mod vectors;

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::*;
use crate::collections::OrderedMap;
use crate::identity::tests::identity;
use crate::machine::Emit;
use crate::rng::Rng;
use crate::store::Op;
use crate::time::WallTime;

pub(super) const WALL: u64 = 1_700_000_000_000;

pub(super) fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4_000))
}

pub(super) struct Node {
    pub link: Link,
    pub rng: Rng,
    pub id: NodeId,
    pub addr: SocketAddr,
    pub events: Vec<Out>,
    pub disk: OrderedMap<Vec<u8>, Vec<u8>>,
    pub bodies: Vec<Vec<u8>>,
    /// Whether early timeouts are proven to change nothing: it prints the whole state, so not under load.
    pub proves: bool,
    /// Milliseconds by which its date is ahead, two's complement.
    pub ahead: u64,
}

impl Node {
    pub fn start(
        n: u8,
        seed: u64,
        config: &Config,
        disk: OrderedMap<Vec<u8>, Vec<u8>>,
        now: Instant,
        wall: u64,
    ) -> Self {
        let me = identity(n);
        let mut bytes = [n; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(bytes);
        let rows: Vec<_> = disk.clone().into_iter().map(|(key, value)| Record { table: KEYS, key, value }).collect();
        let mut out = Outbox::new();
        let mut cx = Cx { now, wall: WallTime(wall), me: me.node_id(), rng: &mut rng };
        let link = Link::new(config, &me, &rows, &mut cx, &mut out).unwrap();
        let mut node = Self {
            link,
            rng,
            id: me.node_id(),
            addr: addr(n),
            events: Vec::new(),
            disk,
            bodies: Vec::new(),
            proves: true,
            ahead: 0,
        };
        node.collect(&mut out);
        node
    }

    fn collect(&mut self, out: &mut Outbox<Out>) {
        while let Some(emit) = out.pop() {
            match emit {
                Emit::Now(Out::Message { body, .. }) | Emit::Committed(Out::Message { body, .. }) => {
                    self.bodies.push(body);
                }
                Emit::Now(o) | Emit::Committed(o) => self.events.push(o),
                Emit::Store(Op::Put { key, value, .. }) => {
                    self.disk.insert(key, value);
                }
                Emit::Store(_) => panic!("links only put"),
            }
        }
    }

    pub fn fact(&mut self, now: Instant, wall: u64, fact: &Fact) {
        let mut out = Outbox::new();
        let mut cx = Cx { now, wall: WallTime(wall.wrapping_add(self.ahead)), me: self.id, rng: &mut self.rng };
        self.link.fact(&mut cx, fact, &mut out);
        self.collect(&mut out);
    }

    pub fn handle(&mut self, now: Instant, wall: u64, input: In) {
        let mut out = Outbox::new();
        let mut cx = Cx { now, wall: WallTime(wall.wrapping_add(self.ahead)), me: self.id, rng: &mut self.rng };
        self.link.handle(&mut cx, input, &mut out);
        self.collect(&mut out);
    }

    pub fn timeout(&mut self, now: Instant, wall: u64) {
        let mut out = Outbox::new();
        let mut cx = Cx { now, wall: WallTime(wall.wrapping_add(self.ahead)), me: self.id, rng: &mut self.rng };
        self.link.handle_timeout(&mut cx, &mut out);
        self.collect(&mut out);
        // Law 1.
        assert!(self.link.next_deadline().is_none_or(|at| at > now), "deadline in the past after a timeout");
        if !self.proves {
            return;
        }
        let before = self.link.state_digest();
        let mut cx = Cx { now, wall: WallTime(wall.wrapping_add(self.ahead)), me: self.id, rng: &mut self.rng };
        self.link.handle_timeout(&mut cx, &mut out);
        assert!(out.is_empty() && self.link.state_digest() == before, "an early timeout changed something");
    }

    pub fn poll(&mut self, now: Instant, wall: u64) -> Option<(SocketAddr, Vec<u8>)> {
        let has = self.link.has_transmit();
        let mut cx = Cx { now, wall: WallTime(wall.wrapping_add(self.ahead)), me: self.id, rng: &mut self.rng };
        let got = self.link.poll_transmit(&mut cx);
        assert_eq!(has, got.is_some(), "has_transmit agrees with poll_transmit");
        got
    }

    pub fn ups(&self) -> usize {
        self.events.iter().filter(|e| matches!(e, Out::Fact(Fact::LinkUp { .. }))).count()
    }

    pub fn downs(&self) -> Vec<DownReason> {
        let down = |e: &Out| if let Out::Fact(Fact::LinkDown { reason, .. }) = e { Some(*reason) } else { None };
        self.events.iter().filter_map(down).collect()
    }
}

/// Chances are in percent; delays in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub loss: usize,
    pub repeat: usize,
    pub damage: usize,
    pub delay: u64,
    pub jitter: u64,
    /// Longer datagrams vanish; 0 for no limit.
    pub mtu: usize,
    /// Bytes a second of each direction, and those that may wait for their turn; 0 for no limit.
    pub rate: (u64, u64),
}

pub(super) struct Net {
    pub now: Instant,
    pub wall: u64,
    pub nodes: Vec<Node>,
    pub faults: Faults,
    pub flying: OrderedMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    pub log: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub keep_log: bool,
    pub rng: Rng,
    pub hash: blake3::Hasher,
    count: u64,
    /// Until when the two directions are busy: from nodes of even numbers, and from the others.
    busy: [Instant; 2],
}

/// Without post-quantum exchanges, where a test counts what else is sent.
pub(super) fn classical() -> Config {
    let mut config = Config::default();
    config.link.post_quantum = false;
    config
}

impl Net {
    pub fn new(nodes: u8, seed: u64) -> Self {
        Self::with(nodes, seed, &Config::default())
    }

    pub fn with(nodes: u8, seed: u64, config: &Config) -> Self {
        let now = Instant::from_micros(1_000_000);
        let start = |n| Node::start(n, seed, config, OrderedMap::new(), now, WALL);
        Self {
            now,
            wall: WALL,
            nodes: (1..=nodes).map(start).collect(),
            faults: Faults { delay: 10, ..Faults::default() },
            flying: OrderedMap::new(),
            log: Vec::new(),
            keep_log: true,
            rng: Rng::new([seed as u8; 32]),
            hash: blake3::Hasher::new(),
            count: 0,
            busy: [now; 2],
        }
    }

    pub fn fact(&mut self, node: usize, fact: &Fact) {
        let (now, wall) = (self.now, self.wall);
        self.nodes[node].fact(now, wall, fact);
        self.drain(node);
    }

    pub fn input(&mut self, node: usize, input: In) {
        let (now, wall) = (self.now, self.wall);
        self.nodes[node].handle(now, wall, input);
        self.drain(node);
    }

    /// Without taking what it wants to send.
    pub fn quietly(&mut self, node: usize, input: In) {
        let (now, wall) = (self.now, self.wall);
        self.nodes[node].handle(now, wall, input);
    }

    pub fn drain(&mut self, node: usize) {
        let (now, wall) = (self.now, self.wall);
        while let Some((to, bytes)) = self.nodes[node].poll(now, wall) {
            assert!(bytes.len() <= crate::wire::MAX_DATAGRAM);
            assert!(bytes[0] != packet::DATA || bytes.len() <= self.nodes[node].link.config.max_datagram);
            let from = self.nodes[node].addr;
            self.fly(from, to, bytes);
        }
    }

    fn fly(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.hash.update(&self.now.as_micros().to_le_bytes()).update(&bytes);
        if self.keep_log {
            self.log.push((from, to, bytes.clone()));
        }
        if self.faults.mtu > 0 && bytes.len() > self.faults.mtu {
            return;
        }
        let Some(waits) = self.wait(from, bytes.len() as u64) else { return };
        let copies = 1 + usize::from(self.rng.below(100) < self.faults.repeat);
        for _ in 0..copies {
            if self.rng.below(100) < self.faults.loss {
                continue;
            }
            let mut bytes = bytes.clone();
            if self.rng.below(100) < self.faults.damage {
                let at = self.rng.below(bytes.len());
                bytes[at] ^= 1 << self.rng.below(8);
            }
            let late = self.faults.delay + self.rng.below(self.faults.jitter as usize + 1) as u64;
            self.count += 1;
            self.flying.insert((self.now + waits + Duration::from_millis(late), self.count), (from, to, bytes));
        }
    }

    /// How long a datagram waits at the bottleneck; none if there is no room.
    fn wait(&mut self, from: SocketAddr, len: u64) -> Option<Duration> {
        let (rate, buffer) = self.faults.rate;
        if rate == 0 {
            return Some(Duration::ZERO);
        }
        let node = self.nodes.iter().position(|n| n.addr == from)?;
        let busy = &mut self.busy[node % 2];
        let begins = self.now.max(*busy);
        let queued = begins.since(self.now).as_micros() as u64 * rate / 1_000_000;
        (queued + len <= buffer).then(|| {
            *busy = begins + Duration::from_micros(len * 1_000_000 / rate);
            busy.since(self.now)
        })
    }

    /// Runs for `ms` virtual milliseconds, from event to event.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let packet = self.flying.keys().next().map(|(at, _)| *at);
            let timer = self.nodes.iter().filter_map(|n| n.link.next_deadline()).min();
            let Some(next) = crate::time::soonest(packet, timer).filter(|at| *at <= end) else { break };
            self.step_to(next);
            if let Some((&key, _)) = self.flying.iter().next().filter(|((at, _), _)| *at <= self.now) {
                let (from, to, bytes) = self.flying.remove(&key).unwrap();
                if let Some(node) = self.nodes.iter().position(|n| n.addr == to) {
                    self.input(node, In::Datagram { from, bytes });
                }
                continue;
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].link.next_deadline().is_some_and(|at| at <= self.now) {
                    let (now, wall) = (self.now, self.wall);
                    self.nodes[node].timeout(now, wall);
                    self.drain(node);
                }
            }
        }
        self.step_to(end);
    }

    pub fn step_to(&mut self, at: Instant) {
        if at > self.now {
            self.wall += at.since(self.now).as_micros() as u64 / 1_000;
            self.now = at;
        }
    }

    /// Node 0 links to node 1 by its address.
    pub fn link(&mut self) {
        self.input(0, In::Connect { addr: self.nodes[1].addr, expect: None });
        self.run(500);
        assert_eq!((self.nodes[0].ups(), self.nodes[1].ups()), (1, 1), "{:?}", self.nodes[0].link.drops);
    }

    pub fn want_both(&mut self) {
        for (node, other) in [(0, 1), (1, 0)] {
            let peer = self.nodes[other].id;
            self.input(node, In::Want { peer, owner: Owner::Membership });
        }
    }

    pub fn send(&mut self, from: usize, to: usize, body: Vec<u8>) {
        let to = self.nodes[to].id;
        self.input(from, In::Send { to, channel: Channel::Chat, priority: Priority::Normal, body });
    }

    pub fn connection(&mut self, node: usize, other: usize) -> &mut Connection {
        let peer = self.nodes[other].id;
        self.nodes[node].link.links.get_mut(&peer).unwrap()
    }
}
