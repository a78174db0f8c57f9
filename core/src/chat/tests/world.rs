//! Chat machines in one simulated network: partitions, losses, restarts, restored and cloned profiles, and authors that
//! cheat. Everything is drawn from one seed.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::bench::Bench;
use crate::chat::rows::{At, ENTRIES, Row, entry_id};
use crate::chat::wire::Sync;
use crate::chat::{In, Out};
use crate::collections::{OrderedMap, OrderedSet};
use crate::config::Config;
use crate::fact::samples::{down, up};
use crate::fact::{Fact, RoundTrip};
use crate::id::{Life, MessageId, NodeId};
use crate::identity::Identity;
use crate::identity::tests::identity;
use crate::rng::Rng;
use crate::store::{MemoryStore, Record, Scan};
use crate::time::{Duration, WallTime};
use crate::wire::content::{Content, network_conversation};
use crate::wire::entry::{Body, Carried, LifeId, MAX_RUN, Parent, Part, Parts, Run};
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};

/// What may happen in a history besides speech, partitions and losses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    pub(super) restart: bool,
    /// A profile goes back to an older copy of its store.
    pub(super) restore: bool,
    /// A profile is copied and both copies run.
    pub(super) clone: bool,
    /// Two authors that send different entries to different nodes, name parents that no node has, and number as they
    /// like.
    pub(super) cheat: bool,
    /// Texts are deleted early.
    pub(super) prune: bool,
    /// So are headers, soon after.
    pub(super) forget: bool,
    /// What peers bring has lost its texts now and then.
    pub(super) strip: bool,
    /// Nodes that join when much has been said.
    pub(super) join: bool,
}

impl Trouble {
    fn config(self) -> Config {
        let mut config = Config::default();
        if self.prune || self.forget {
            config.chat.keep_entries = 16;
        }
        if self.forget {
            config.chat.keep_headers = 24;
        }
        if self.prune || self.join {
            (config.chat.page_entries, config.chat.page_for) = (24, Duration::ZERO);
        }
        config
    }
}

pub(super) struct Node {
    pub(super) bench: Bench,
    /// Reported messages, in order; goes back with the store.
    pub(super) reported: Vec<MessageId>,
    pub(super) forks: OrderedSet<LifeId>,
    pub(super) lives_begun: usize,
    copy: Option<(MemoryStore, Vec<MessageId>)>,
    group: usize,
}

struct Cheat {
    identity: Identity,
    /// Its own runs, by last entry.
    runs: Vec<(Life, u64, MessageId)>,
}

pub(super) struct World {
    rng: Rng,
    pub(super) nodes: Vec<Node>,
    cheats: Vec<Cheat>,
    /// What honest nodes said, with the number of the node.
    pub(super) said: OrderedMap<MessageId, NodeId>,
    /// Every run that existed, by entry.
    pub(super) runs: OrderedMap<MessageId, Run>,
    /// Identities that were copied or restored.
    pub(super) copied: OrderedSet<NodeId>,
    /// The copy of a profile that a node is linked with, by the node and the identity: a link has one other end.
    ends: OrderedMap<(usize, NodeId), usize>,
    /// Percent of datagrams that are lost.
    loss: usize,
    trouble: Trouble,
}

impl World {
    pub(super) fn new(seed: u64, trouble: Trouble) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(bytes);
        let count = 3 + rng.below(2);
        let node = |n: u8| Node {
            bench: Bench::with(n, trouble.config()),
            reported: Vec::new(),
            forks: OrderedSet::new(),
            lives_begun: 0,
            copy: None,
            group: 0,
        };
        let nodes: Vec<Node> = (1..=count as u8).map(node).collect();
        let cheats = [100u8, 101].map(|n| Cheat { identity: identity(n), runs: Vec::new() });
        let mut world = Self {
            rng,
            nodes,
            cheats: cheats.into(),
            said: OrderedMap::new(),
            runs: OrderedMap::new(),
            copied: OrderedSet::new(),
            ends: OrderedMap::new(),
            loss: 20,
            trouble,
        };
        world.regroup(vec![0; count]);
        world
    }

    /// One random history, then peace until nothing moves.
    pub(super) fn live(seed: u64, trouble: Trouble, steps: usize) -> Self {
        let mut world = Self::new(seed, trouble);
        for _ in 0..steps {
            world.tick();
        }
        world.settle();
        world
    }

    fn regroup(&mut self, groups: Vec<usize>) {
        for (n, &group) in groups.iter().enumerate() {
            self.nodes[n].group = group;
        }
        for a in 0..self.nodes.len() {
            for b in 0..self.nodes.len() {
                let (peer, together) = (self.nodes[b].bench.me, groups[a] == groups[b]);
                if a == b || self.nodes[a].bench.me == peer {
                    continue;
                }
                let linked = self.nodes[a].bench.chat.linked.contains_key(&peer);
                let facts = match (linked, together) {
                    (false, true) => {
                        let rtt = Some(Duration::from_millis(2));
                        let trip = RoundTrip { peer, outbound: true, rtt };
                        vec![up(peer), Fact::RoundTrips(vec![trip]), Fact::NeighbourUp(peer)]
                    }
                    (true, false) => vec![Fact::NeighbourDown(peer), down(peer)],
                    _ => continue,
                };
                for fact in facts {
                    let outs = self.nodes[a].bench.fact(&fact);
                    self.carry(a, outs);
                }
            }
        }
    }

    fn tick(&mut self) {
        let n = self.rng.below(self.nodes.len());
        let trouble = self.trouble;
        match self.rng.below(20) {
            0..=8 => self.speak(n),
            9..=11 if trouble.cheat => self.cheat(),
            12 if trouble.restart => self.restart(n),
            13 if trouble.restore => self.restore(n),
            14 if trouble.clone => self.copy_profile(n),
            15 => {
                let groups = (0..self.nodes.len()).map(|_| self.rng.below(2)).collect();
                self.regroup(groups);
            }
            16 => self.regroup(vec![0; self.nodes.len()]),
            17 => self.pass(Duration::from_secs(61)),
            18 if trouble.join => self.join(),
            _ => self.pass(Duration::from_millis(20)),
        }
    }

    fn speak(&mut self, n: usize) {
        let text = format!("{} {}", n, self.said.len());
        let (id, body) = self.nodes[n].bench.say(Content::text(text));
        self.said.insert(id, self.nodes[n].bench.me);
        self.publish(n, body);
    }

    fn restart(&mut self, n: usize) {
        let seed = self.rng.bytes();
        self.nodes[n].bench.restart(seed);
        let groups = self.nodes.iter().map(|x| x.group).collect();
        self.relink(n, groups);
    }

    /// A machine that was opened again has no links yet.
    fn relink(&mut self, n: usize, groups: Vec<usize>) {
        let me = self.nodes[n].bench.me;
        for other in 0..self.nodes.len() {
            if other != n && self.nodes[other].bench.chat.linked.contains_key(&me) {
                for fact in [Fact::NeighbourDown(me), down(me)] {
                    let outs = self.nodes[other].bench.fact(&fact);
                    self.carry(other, outs);
                }
            }
        }
        self.regroup(groups);
    }

    /// The first time a copy of the store is made, the next time the profile goes back to it.
    fn restore(&mut self, n: usize) {
        match self.nodes[n].copy.take() {
            None => {
                let node = &mut self.nodes[n];
                node.copy = Some((node.bench.store.clone(), node.reported.clone()));
            }
            Some((store, reported)) => {
                self.copied.insert(self.nodes[n].bench.me);
                self.nodes[n].bench.store = store;
                self.nodes[n].reported = reported;
                self.restart(n);
            }
        }
    }

    /// A copy of the profile runs beside it.
    fn copy_profile(&mut self, n: usize) {
        if self.nodes.len() > 5 {
            return;
        }
        let (identity, store) = (self.nodes[n].bench.identity.clone(), self.nodes[n].bench.store.clone());
        let mut bench = Bench::open_with(identity, store, self.rng.bytes(), self.trouble.config());
        bench.now = self.nodes[n].bench.now;
        self.copied.insert(bench.me);
        let (reported, group) = (self.nodes[n].reported.clone(), self.nodes[n].group);
        self.nodes.push(Node { bench, reported, forks: OrderedSet::new(), lives_begun: 0, copy: None, group });
        let groups = self.nodes.iter().map(|x| x.group).collect();
        self.regroup(groups);
    }

    fn join(&mut self) {
        if self.nodes.len() > 5 {
            return;
        }
        let mut bench = Bench::with(30 + self.nodes.len() as u8, self.trouble.config());
        bench.now = self.nodes[0].bench.now;
        self.nodes.push(Node {
            bench,
            reported: Vec::new(),
            forks: OrderedSet::new(),
            lives_begun: 0,
            copy: None,
            group: self.nodes[0].group,
        });
        let groups = self.nodes.iter().map(|x| x.group).collect();
        self.regroup(groups);
    }

    /// Runs that lost their texts on the way, as by a peer that holds them back.
    fn strip(&mut self, body: Vec<u8>) -> Vec<u8> {
        if !self.trouble.strip || self.loss == 0 || self.rng.below(3) > 0 {
            return body;
        }
        let Ok(Sync::Runs { conversation, runs, end }) = decode(&body, MAX_MESSAGE) else { return body };
        let bare = |Blob(bytes): Blob| match Run::decode_signed(conversation, bytes.clone()) {
            Ok(run) => Blob(run.without_bodies().unwrap().bytes),
            Err(_) => Blob(bytes),
        };
        encode(&Sync::Runs { conversation, runs: runs.into_iter().map(bare).collect(), end })
    }

    /// Something that no honest node says, to one node.
    fn cheat(&mut self) {
        let to = self.rng.below(self.nodes.len());
        let who = self.rng.below(self.cheats.len());
        let known: Vec<MessageId> = self.runs.keys().copied().collect();
        let rng = &mut self.rng;
        let mut parents: Vec<Parent> =
            (0..rng.below(3)).filter_map(|_| rng.pick(&known)).map(|id| Parent::of(*id)).collect();
        let cheat = &mut self.cheats[who];
        let (mut life, mut seq, mut prev) = (Life([rng.below(2) as u8; 8]), 1, None);
        let own = rng.pick(&cheat.runs).copied();
        let action = rng.below(8);
        if let Some((of, number, id)) = own.filter(|_| action != 0) {
            // After any own entry, so also beside the one that follows it.
            (life, seq, prev) = (of, number + 1, Some(id));
        }
        match action {
            // A parent that no node has.
            1 => parents.push(Parent { depth: [1, 3, 1 << 60][rng.below(3)], prefix: rng.bytes() }),
            // A number that does not follow.
            2 => seq += 2,
            // The entry before it is of another author, or made up.
            3 => prev = rng.pick(&known).copied(),
            4 => prev = Some(MessageId { depth: 7, hash: rng.bytes() }),
            _ => {}
        }
        if seq > 1 && prev.is_none() {
            seq = 1;
        }
        parents.sort_unstable();
        parents.dedup();
        let body = |rng: &mut Rng| {
            let content = match rng.below(4) {
                0 => Content::Retract { retract: known.first().copied().unwrap_or(MessageId::first_of(1)) },
                _ => Content::text("cheat"),
            };
            Carried::Body(Blob(encode(&Body { salt: rng.bytes(), sent_at: WallTime(1), content: Some(content) })))
        };
        let count = 1 + rng.below(3).min(MAX_RUN);
        let mut entries = vec![Part { parents, body: body(rng) }];
        entries.extend((1..count).map(|_| Part { parents: Vec::new(), body: body(rng) }));
        let parts = Parts { life, seq, prev, entries };
        let Ok(run) = Run::sign(&cheat.identity, network_conversation(&[0; 32]), parts) else { return };
        let last = run.entries.last().unwrap();
        cheat.runs.push((life, last.seq, last.id));
        if action == 5 {
            let mut forged = run.bytes.clone();
            let at = 40 + rng.below(forged.len() - 40);
            forged[at] ^= 1;
            let from = self.cheats[who].identity.node_id();
            let outs = self.nodes[to].bench.input(In::GossipReceived { via: from, id: [9; 16], body: forged });
            self.carry(to, outs);
        }
        let from = self.cheats[who].identity.node_id();
        self.gossip(to, from, &run.bytes);
    }

    fn note(&mut self, body: &[u8]) {
        if let Ok(run) = Run::decode_signed(network_conversation(&[0; 32]), body.to_vec()) {
            for entry in &run.entries {
                self.runs.insert(entry.id, run.clone());
            }
        }
    }

    fn publish(&mut self, n: usize, body: Vec<u8>) {
        self.note(&body);
        let me = self.nodes[n].bench.me;
        for other in self.reachable(n) {
            if self.rng.below(100) >= self.loss {
                self.gossip(other, me, &body);
            }
        }
    }

    fn reachable(&self, n: usize) -> Vec<usize> {
        let (me, group) = (self.nodes[n].bench.me, self.nodes[n].group);
        let others = self.nodes.iter().enumerate().filter(|(_, x)| x.bench.me != me && x.group == group);
        others.map(|(at, _)| at).collect()
    }

    /// A broadcast reaches a node, which passes it on when it has found it genuine.
    fn gossip(&mut self, n: usize, via: NodeId, body: &[u8]) {
        self.note(body);
        let outs = self.nodes[n].bench.input(In::GossipReceived { via, id: [0; 16], body: body.to_vec() });
        self.carry(n, outs);
    }

    /// Does what a machine put out.
    fn carry(&mut self, n: usize, outs: Vec<Out>) {
        let me = self.nodes[n].bench.me;
        // What follows from the messages may come back here: what is reported was reported before.
        for out in &outs {
            match out {
                Out::Received(message) => self.nodes[n].reported.push(message.id),
                Out::Forked { author, life, .. } => {
                    self.nodes[n].forks.insert(LifeId { author: *author, life: *life });
                }
                Out::LifeBegun { .. } => self.nodes[n].lives_begun += 1,
                _ => {}
            }
        }
        for out in outs {
            let is_sealed = matches!(out, Out::Seal { .. });
            match out {
                Out::Send { to, body, .. } | Out::Seal { to, body, .. } => {
                    let at = self.end(n, to);
                    if self.end(at, me) != n || self.nodes[at].group != self.nodes[n].group {
                        continue;
                    }
                    if self.rng.below(100) >= self.loss / 4 {
                        let body = self.strip(body);
                        let input =
                            if is_sealed { In::Opened { from: me, body } } else { In::Message { from: me, body } };
                        let outs = self.nodes[at].bench.input(input);
                        self.carry(at, outs);
                    }
                }
                Out::Publish { body } => self.publish(n, body),
                _ => {}
            }
        }
    }

    /// The node that is linked with this one under an identity.
    fn end(&self, n: usize, peer: NodeId) -> usize {
        let first = || self.nodes.iter().position(|x| x.bench.me == peer).unwrap_or(0);
        self.ends.get(&(n, peer)).copied().unwrap_or_else(first)
    }

    /// Copies of a profile take turns: one of them handshakes, and its links are new.
    fn take_turns(&mut self) {
        let copied: Vec<NodeId> = self.copied.iter().copied().collect();
        for id in copied {
            let copies: Vec<usize> = (0..self.nodes.len()).filter(|x| self.nodes[*x].bench.me == id).collect();
            for n in 0..self.nodes.len() {
                let (me, copy) = (self.nodes[n].bench.me, *self.rng.pick(&copies).unwrap());
                if me == id || self.end(n, id) == copy && self.end(copy, me) == n {
                    continue;
                }
                self.ends.insert((n, id), copy);
                self.ends.insert((copy, me), n);
                for (at, peer) in [(n, id), (copy, me)] {
                    if self.nodes[at].bench.chat.linked.contains_key(&peer) {
                        for fact in [Fact::NeighbourDown(peer), down(peer), up(peer), Fact::NeighbourUp(peer)] {
                            let outs = self.nodes[at].bench.fact(&fact);
                            self.carry(at, outs);
                        }
                    }
                }
            }
        }
    }

    fn pass(&mut self, by: Duration) {
        if by > Duration::from_secs(1) {
            self.take_turns();
        }
        // Where there are bases, what is said is carried before others give up waiting for it.
        let step = if self.trouble.prune { Duration::from_secs(4) } else { by };
        let mut left = by;
        while !left.is_zero() {
            let part = left.min(step);
            left -= part;
            for n in 0..self.nodes.len() {
                let now = self.nodes[n].bench.now + part;
                let outs = self.nodes[n].bench.advance(now);
                self.carry(n, outs);
            }
        }
    }

    fn settle(&mut self) {
        self.loss = 0;
        self.regroup(vec![0; self.nodes.len()]);
        for _ in 0..12 {
            self.pass(Duration::from_secs(91));
        }
        let whole: Vec<usize> = (0..self.nodes.len()).collect();
        for n in whole {
            for peer in self.reachable(n) {
                let peer = self.nodes[peer].bench.me;
                let outs = self.nodes[n].bench.input(In::Compare { peer, linked: true });
                self.carry(n, outs);
                self.pass(Duration::from_secs(20));
            }
        }
        for _ in 0..4 {
            self.pass(Duration::from_secs(91));
        }
    }

    /// The depth below which a node needs no past.
    pub(super) fn base(&self, n: usize) -> u64 {
        let chat = &self.nodes[n].bench.chat;
        chat.logs.get(&chat.network).map_or(0, crate::chat::log::Log::base)
    }

    /// The entries of which a node has the text.
    pub(super) fn texts(&self, n: usize) -> OrderedSet<MessageId> {
        let rows = self.rows(n);
        let runs = rows.iter().filter_map(|r| match Row::read(&r.value).unwrap().at {
            At::End(held) => Some(Run::decode_signed(network_conversation(&[0; 32]), held.run.0).unwrap()),
            At::In(_) => None,
        });
        runs.flat_map(|run| run.entries).filter(|e| !e.is_bare).map(|e| e.id).collect()
    }

    /// The entries that a node has taken.
    pub(super) fn taken(&self, n: usize) -> Vec<MessageId> {
        self.rows(n).iter().map(|r| entry_id(&r.key).unwrap()).collect()
    }

    fn rows(&self, n: usize) -> Vec<Record> {
        let scan = Scan {
            table: ENTRIES,
            start: Vec::new(),
            end: vec![255; 60],
            reverse: false,
            limit: u32::MAX,
            max_bytes: u32::MAX,
        };
        self.nodes[n].bench.store.scan(&scan)
    }
}
