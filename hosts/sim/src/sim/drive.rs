//! The next event, and the work of a host for its engine after each call.

use std::net::SocketAddr;

use donp_core::{DownReason, Durable, Engine, Event, MessageId, NodeId, Output, Volatile};

use super::{Logged, SPIN, Seen, Sim, What};
use crate::net::Hop;

impl Sim {
    /// Lets virtual time pass until the microsecond `end`.
    pub fn run_to(&mut self, end: u64) {
        while let Some((at, what)) = self.queue.pop_by(end) {
            self.now = self.now.max(at);
            self.events += 1;
            self.step(what);
        }
        self.now = self.now.max(end);
    }

    fn step(&mut self, what: What) {
        match what {
            What::Arrive { to, from, bytes } => {
                let stalled = self.nodes[to].stalled_until;
                if stalled > self.now {
                    self.queue.push(stalled, What::Arrive { to, from, bytes });
                } else if self.is_awake(to) {
                    self.wakes += 1;
                    self.with(to, |engine, now| engine.handle_datagram(now, from, &bytes));
                }
            }
            What::Beacon { to, from, bytes } => {
                let stalled = self.nodes[to].stalled_until;
                if stalled > self.now {
                    self.queue.push(stalled, What::Beacon { to, from, bytes });
                } else if self.is_awake(to) {
                    self.with(to, |engine, now| engine.handle_beacon(now, from, &bytes));
                }
            }
            What::Knock { number, port, sender, from, bytes } => {
                if let Some(to) = self.net.inbound(self.now, number, port, from)
                    && self.net.reaches(sender, to)
                {
                    self.step(What::Arrive { to, from, bytes });
                }
            }
            What::Commit { node, life, upto } => {
                let stalled = self.nodes[node].stalled_until;
                if stalled > self.now {
                    self.queue.push(stalled, What::Commit { node, life, upto });
                } else if self.nodes[node].life == life && self.nodes[node].runs() {
                    self.commit(node, upto);
                }
            }
            What::Wake { node, life } => self.woken(node, life),
        }
    }

    fn woken(&mut self, n: usize, life: u32) {
        let now = self.now;
        let node = &mut self.nodes[n];
        // Only the wake that the node waits for counts: of another life, or of before a clock jumped,
        // it is a ghost.
        if node.life != life || node.wakes.last() != Some(&now) {
            return;
        }
        node.wakes.pop();
        if !self.is_awake(n) {
            return;
        }
        let node = &self.nodes[n];
        if node.stalled_until > now {
            let at = node.stalled_until;
            return self.wake_at(n, at);
        }
        let due = node.engine.as_ref().and_then(Engine::next_deadline).map(|d| node.clock.virtual_time(d.at));
        if self.tick.is_some() || due.is_some_and(|at| at <= now) {
            self.wakes += 1;
            self.with(n, |engine, now| engine.handle_timeout(now));
        } else {
            self.schedule_wake(n);
        }
    }

    fn commit(&mut self, n: usize, upto: u64) {
        let mut last = None;
        // A query may have made the disk hurry: a batch that is missing here was written before.
        while self.nodes[n].unwritten.front().is_some_and(|b| b.seq <= upto) {
            let Some(batch) = self.nodes[n].unwritten.pop_front() else { break };
            let seq = batch.seq;
            let here = self.crash_at.filter(|c| c.node == n && c.batch <= seq);
            if here.is_none_or(|c| c.written) {
                self.nodes[n].write(batch);
            }
            if here.is_some() {
                self.crash_at = None;
                return self.crash(n);
            }
            last = Some(seq);
        }
        if let Some(last) = last {
            self.with(n, |engine, now| engine.handle_committed(now, last));
        }
    }

    /// Finishes pending writes to a node's disk, so that a query sees them.
    pub(super) fn settle_disk(&mut self, n: usize) {
        while let Some(last) = self.nodes[n].unwritten.back().map(|b| b.seq) {
            self.commit(n, last);
        }
    }

    /// The work of a host after each call: takes every output, and sleeps until the deadline.
    pub(super) fn drain(&mut self, n: usize) {
        let now = self.now;
        loop {
            let node = &mut self.nodes[n];
            let Some(engine) = node.engine.as_mut() else { return };
            match engine.poll() {
                Some(Output::Batch(batch)) => {
                    let upto = batch.seq;
                    self.transcript.batch(now, n, &batch);
                    node.unwritten.push_back(batch);
                    let delay = self.disk_rng.split().between(self.disk.0, self.disk.1);
                    // A disk writes in order: a batch is not done before the one it follows.
                    let done = (now + delay).max(node.disk_busy_until);
                    node.disk_busy_until = done;
                    let life = node.life;
                    self.queue.push(done, What::Commit { node: n, life, upto });
                }
                Some(Output::Read(request)) => {
                    let records = node.read(&request.scan);
                    let instant = node.clock.instant(now);
                    if let Some(engine) = node.engine.as_mut() {
                        engine.handle_records(instant, request.id, records);
                    }
                }
                Some(Output::Transmit(transmit)) => self.send_datagram(n, transmit.to, transmit.bytes),
                Some(Output::Beacon(beacon)) => self.send_beacon(n, &beacon),
                Some(Output::Event(event)) => self.tell(n, event),
                Some(Output::Answer(answer)) => drop(node.answers.insert(answer.query, answer)),
                Some(Output::FilePart(part)) => drop(node.parts.insert(part.query, part.bytes)),
                None => break,
            }
        }
        self.check_invariants(n);
        self.schedule_wake(n);
    }

    /// Every written invariant of every machine, in builds with debug assertions.
    #[cfg(debug_assertions)]
    fn check_invariants(&self, n: usize) {
        if let Some(Err((machine, broken))) = self.nodes[n].engine.as_ref().map(Engine::check) {
            panic!("{machine} of node {n}: {broken}; {}", self.replay());
        }
    }

    #[cfg(not(debug_assertions))]
    fn check_invariants(&self, _n: usize) {}

    /// A delivered message is on the other side's disk before its sender reports the delivery.
    fn check_delivered(&mut self, n: usize, to: NodeId, message: MessageId) {
        // A disk that is older than the acknowledgement lacks it for a while.
        let keeps = |r: &usize| self.nodes[*r].keeps_history() && self.nodes[*r].restored == 0;
        let Some(reader) = self.number(to).filter(keeps) else { return };
        if self.violations.len() < 20 && !self.nodes[reader].has_private(self.nodes[n].id, message) {
            self.violations
                .push(format!("a message from node {n} was delivered to node {reader}, whose disk lacks it"));
        }
    }

    fn tell(&mut self, n: usize, event: Event) {
        let now = self.now;
        if let Some(log) = &mut self.log {
            log.push(Logged { at: now, node: n, event: event.clone() });
        }
        let mut told = None;
        match &event {
            Event::Durable { event: Durable::Delivered { id, to }, .. } => self.check_delivered(n, *to, *id),
            Event::Durable { event: Durable::Received(message), .. } => {
                told = Some(message.id);
                self.transcript.note(now, &message.id.hash, n);
            }
            Event::Durable { event: event @ (Durable::Forked { .. } | Durable::LifeBegun { .. }), .. } => {
                let copied = match event {
                    Durable::Forked { author, .. } => self.is_restored(*author) || self.is_hostile(*author),
                    _ => self.nodes[n].restored > 0,
                };
                if !copied && self.violations.len() < 20 {
                    self.violations.push(format!("node {n} reports a copied profile where there is none: {event:?}"));
                }
            }
            Event::Volatile(Volatile::PeerDown { peer, reason }) => {
                self.transcript.note(now, &peer.0, n);
                if *reason == DownReason::Timeout
                    && let Some(peer) = self.number(*peer)
                {
                    let runs = self.is_awake(peer);
                    self.watch.down(n, peer, runs, now);
                }
            }
            Event::Volatile(Volatile::MemberChanged { peer, state }) => {
                self.transcript.note(now, &peer.0, n);
                if let Some(peer) = self.number(*peer) {
                    let runs = self.is_awake(peer);
                    self.watch.member(n, peer, *state, runs, now);
                }
            }
            other => self.transcript.note(now, format!("{other:?}").as_bytes(), n),
        }
        let node = &mut self.nodes[n];
        let instant = node.clock.instant(now);
        if node.tell(event, instant)
            && let Some(id) = told
        {
            self.watch.told(n, id, now);
        }
    }

    pub(super) fn schedule_wake(&mut self, n: usize) {
        let node = &self.nodes[n];
        let Some(deadline) = node.engine.as_ref().and_then(Engine::next_deadline) else { return };
        let due = node.clock.virtual_time(deadline.at).max(self.now);
        let at = self.tick.map_or(due, |tick| due.min(self.now + tick));
        if at == self.now {
            self.spins = if self.spins.0 == self.now { (self.now, self.spins.1 + 1) } else { (self.now, 0) };
            assert!(self.spins.1 < SPIN, "node {n} spins because of {}; {}", deadline.why, self.replay());
        }
        self.wake_at(n, at);
    }

    /// One that comes sooner looks at the deadline again, so at most a few wait for one node.
    fn wake_at(&mut self, n: usize, at: u64) {
        let node = &mut self.nodes[n];
        if node.wakes.last().is_none_or(|soonest| *soonest > at) {
            node.wakes.push(at);
            let life = node.life;
            // What arrives at that instant comes first, whenever the wake was asked for; then node by node.
            self.queue.push_ranked(at, 1 + n as u32, What::Wake { node: n, life });
        }
    }

    /// One copy for each node of the local network, with a fate of its own.
    fn send_beacon(&mut self, n: usize, bytes: &[u8]) {
        self.note(bytes, n);
        let from = self.nodes[n].addr;
        let near: Vec<usize> = (0..self.nodes.len()).filter(|other| self.net.on_one_lan(n, *other)).collect();
        for to in near {
            let mut fate = self.nodes[n].rng.split();
            let hop = (n, Hop::Node(to));
            for arrival in self.net.pass(self.now, hop, &self.faults, bytes.len(), &mut fate).into_iter().flatten() {
                let mut copy = bytes.to_vec();
                if let Some(bit) = arrival.flip {
                    copy[(bit / 8) as usize] ^= 1 << (bit % 8);
                }
                copy.truncate(arrival.len);
                self.queue.push(self.now + arrival.delay, What::Beacon { to, from, bytes: copy });
            }
        }
    }

    fn send_datagram(&mut self, n: usize, to: SocketAddr, bytes: Vec<u8>) {
        self.datagrams += 1;
        self.note(&bytes, n);
        let inner = self.nodes[n].addr;
        let route = self.net.route(self.now, n, inner, to);
        let from = route.map_or(inner, |(from, _)| from);
        if let Some(tap) = &mut self.tap {
            tap.push(Seen { from, to, bytes: bytes.clone() });
        }
        // One draw a datagram, so that the fate of one shifts nothing for the next.
        let mut fate = self.nodes[n].rng.split();
        let Some((from, hop)) = route else { return };
        if let Hop::Node(other) = hop
            && !self.net.reaches(n, other)
        {
            return;
        }
        let arrivals = self.net.pass(self.now, (n, hop), &self.faults, bytes.len(), &mut fate);
        let copies = arrivals.iter().flatten().count();
        let mut bytes = Some(bytes);
        for (i, arrival) in arrivals.into_iter().flatten().enumerate() {
            let copy = if i + 1 == copies { bytes.take() } else { bytes.clone() };
            let Some(mut copy) = copy else { return };
            if let Some(bit) = arrival.flip {
                copy[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            copy.truncate(arrival.len);
            let what = match hop {
                Hop::Node(to) => What::Arrive { to, from, bytes: copy },
                Hop::Box(number, port) => What::Knock { number, port, sender: n, from, bytes: copy },
            };
            self.queue.push(self.now + arrival.delay, what);
        }
    }

    pub(super) fn note(&mut self, what: &[u8], n: usize) {
        self.transcript.note(self.now, what, n);
    }
}
