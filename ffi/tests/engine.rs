//! The exported engine, as a foreign host drives it: in batches, with its own store and network.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeMap;

use donp_ffi::*;

/// What every language's engine tests do: a network in a list, time that jumps to the next deadline.
struct Net {
    now_us: u64,
    hosts: Vec<Host>,
}

struct Host {
    address: String,
    engine: Engine,
    store: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    committed: Option<u64>,
    inbox: Vec<Received>,
    events: Vec<Event>,
    answers: Vec<Answer>,
    deadline_us: u64,
}

const WALL: u64 = 1_790_000_000_000;

fn config(name: &str, in_memory: bool) -> EngineConfig {
    EngineConfig {
        identity: generate_identity(name).unwrap(),
        network_key: None,
        node_type: None,
        bot: false,
        power: None,
        beacons: false,
        in_memory,
        seed: None,
    }
}

impl Host {
    fn new(n: usize, engine: Engine) -> Self {
        Self {
            address: format!("10.0.0.{n}:4000"),
            engine,
            store: BTreeMap::new(),
            committed: None,
            inbox: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            deadline_us: 0,
        }
    }

    fn apply(&mut self, batch: Batch) {
        for op in batch.ops {
            match op {
                Op::Put { table, key, value } => drop(self.store.insert((table, key), value)),
                Op::Delete { table, key } => drop(self.store.remove(&(table, key))),
                Op::DeleteRange { table, start, end } => {
                    self.store.retain(|(t, k), _| *t != table || *k < start || *k >= end);
                }
            }
        }
        self.committed = Some(batch.seq);
    }

    fn read(&self, r: &Request) -> Vec<Record> {
        let inside = self.store.range((r.table, r.start.clone())..(r.table, r.end.clone()));
        let all = inside.map(|((table, key), value)| Record { table: *table, key: key.clone(), value: value.clone() });
        let mut all: Vec<_> = all.collect();
        if r.reverse {
            all.reverse();
        }
        all.truncate(r.limit as usize);
        all
    }

    fn records(&self) -> Vec<Record> {
        let record = |((table, key), value): (&(u8, Vec<u8>), &Vec<u8>)| Record {
            table: *table,
            key: key.clone(),
            value: value.clone(),
        };
        self.store.iter().map(record).collect()
    }
}

impl Net {
    fn new(engines: Vec<Engine>) -> Self {
        let net = Self::strangers(engines);
        for (n, host) in net.hosts.iter().enumerate() {
            host.engine.join(0, if n == 0 { vec![] } else { vec![net.hosts[0].address.clone()] }).unwrap();
        }
        net
    }

    /// No node was named to another.
    fn strangers(engines: Vec<Engine>) -> Self {
        let hosts = engines.into_iter().enumerate().map(|(n, e)| Host::new(n + 1, e)).collect();
        Self { now_us: 0, hosts }
    }

    fn step(&mut self) {
        let (mut sent, mut near) = (Vec::new(), Vec::new());
        for host in &mut self.hosts {
            if host.inbox.is_empty() && host.committed.is_none() && host.deadline_us > self.now_us {
                continue;
            }
            let out = host.engine.turn(self.now_us, std::mem::take(&mut host.inbox), host.committed.take()).unwrap();
            host.events.extend(out.events);
            host.answers.extend(out.answers);
            host.deadline_us = if out.more { 0 } else { out.next_deadline_us.unwrap_or(u64::MAX) };
            if let Some(batch) = out.batch {
                host.apply(batch);
            }
            for request in out.requests {
                host.engine.handle_records(self.now_us, request.id, host.read(&request)).unwrap();
                host.deadline_us = 0;
            }
            near.extend(out.beacon.map(|beacon| (host.address.clone(), beacon)));
            for t in out.transmits {
                assert!(t.payload.len() <= 1_200);
                sent.push((t.destination, Received { source: host.address.clone(), payload: t.payload }));
            }
        }
        let busy = !sent.is_empty();
        for (from, beacon) in near {
            for host in self.hosts.iter_mut().filter(|h| h.address != from) {
                host.engine.handle_beacon(self.now_us, &from, &beacon).unwrap();
                host.deadline_us = 0;
            }
        }
        for (to, datagram) in sent {
            if let Some(host) = self.hosts.iter_mut().find(|h| h.address == to) {
                host.inbox.push(datagram);
            }
        }
        if !busy && self.hosts.iter().all(|h| h.committed.is_none()) {
            let next = self.hosts.iter().map(|h| h.deadline_us).min().unwrap();
            self.now_us = next.max(self.now_us + 1);
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..100_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("{what} did not happen in {} s of its time", self.now_us / 1_000_000);
    }

    fn linked(&mut self) {
        self.until("linked", |net| net.hosts.iter().all(|h| h.engine.status().unwrap().links > 0));
    }

    fn wake(&mut self) {
        self.hosts.iter_mut().for_each(|h| h.deadline_us = 0);
    }
}

fn text(text: &str) -> Content {
    Content::Text { text: text.into() }
}

fn texts(events: &[Event]) -> Vec<String> {
    let shown = events.iter().filter_map(|e| match e {
        Event::Received { message: Message { content: Content::Text { text }, .. }, .. } => Some(text.clone()),
        _ => None,
    });
    shown.collect()
}

fn engines(in_memory: bool, n: usize) -> Vec<Engine> {
    (0..n).map(|n| Engine::new(config(&format!("n{n}"), in_memory), 0, WALL).unwrap()).collect()
}

#[test]
fn engines_in_memory_exchange_a_message() {
    let mut net = Net::new(engines(true, 2));
    net.linked();
    let to = net.hosts[1].engine.id();
    let id = net.hosts[0].engine.send_private(net.now_us, to, text("hello")).unwrap();
    net.wake();
    net.until("delivered", |net| {
        net.hosts[0].events.iter().any(|e| matches!(e, Event::Delivered { id: got, .. } if *got == id))
    });
    assert_eq!(texts(&net.hosts[1].events), ["hello"]);
    assert!(net.hosts.iter().all(|h| h.store.is_empty()), "the engines keep their records themselves");
    let peer = net.hosts[0].engine.peer(to).unwrap().unwrap();
    assert!(peer.linked && peer.name.as_deref() == Some("n1"));
}

fn zone_state(net: &Net, at: usize, of: NodeId) -> Option<MemberState> {
    net.hosts[at].engine.members().unwrap().into_iter().find(|m| m.id == of).map(|m| m.state)
}

#[test]
fn members_are_seen_and_what_became_of_them_is_told() {
    let mut net = Net::new(engines(true, 3));
    let ids: Vec<_> = net.hosts.iter().map(|h| h.engine.id()).collect();
    net.until("a zone", |net| {
        ids.iter()
            .enumerate()
            .all(|(n, me)| ids.iter().all(|of| of == me || zone_state(net, n, *of) == Some(MemberState::Alive)))
    });
    let a = net.hosts[0].engine.members().unwrap();
    assert!(a.windows(2).all(|pair| pair[0].id < pair[1].id), "by id");
    assert!(a.iter().all(|m| m.linked && m.id != ids[0]));

    net.hosts[1].engine.leave(net.now_us).unwrap();
    net.wake();
    let told = |net: &Net, peer: NodeId, state: MemberState| {
        net.hosts[0].events.contains(&Event::MemberChanged { peer, state })
    };
    net.until("the goodbye is sent", |net| told(net, ids[1], MemberState::Left));
    // The third is gone without a word: nothing of it arrives any more.
    net.hosts.truncate(2);
    net.hosts[0].engine.detect_node_failure(net.now_us, ids[2]).unwrap();
    net.wake();
    net.until("suspicion", |net| told(net, ids[2], MemberState::Suspect));
    net.until("failure", |net| told(net, ids[2], MemberState::Down));
}

#[test]
fn the_operations_of_fault_tolerance_answer() {
    let mut net = Net::new(engines(true, 2));
    let (a, b) = (net.hosts[0].engine.id(), net.hosts[1].engine.id());
    net.until("a zone", |net| zone_state(net, 0, b) == Some(MemberState::Alive));
    net.hosts[0].events.clear();
    let now = net.now_us;
    let engine = &net.hosts[0].engine;
    engine.detect_node_failure(now, b).unwrap();
    net.wake();
    let alive = Event::MemberChanged { peer: b, state: MemberState::Alive };
    net.until("an answer", |net| net.hosts[0].events.contains(&alive));
    let engine = &net.hosts[0].engine;
    engine.report_partition(now, vec![b]).unwrap();
    engine.report_partition(now, vec![]).unwrap();
    engine.synchronize_state(now, b).unwrap();
    for failure in [FailureType::Node, FailureType::Network, FailureType::Partition, FailureType::State] {
        engine.recover_from_failure(now, failure).unwrap();
    }
    let stranger = identity_node_id(&generate_identity("s").unwrap()).unwrap();
    let kind = |r: Result<(), DonpError>| r.unwrap_err().kind();
    assert_eq!(kind(engine.detect_node_failure(now, a)), "InvalidInput");
    assert_eq!(kind(engine.detect_node_failure(now, stranger)), "NotFound");
    assert_eq!(kind(engine.report_partition(now, vec![b, stranger])), "NotFound");
    assert_eq!(kind(engine.synchronize_state(now, stranger)), "NotFound");
    engine.suspend(now).unwrap();
    assert_eq!(kind(engine.recover_from_failure(now, FailureType::Node)), "NotRunning");
}

#[test]
fn engines_near_each_other_meet_by_beacons_or_by_a_hint() {
    let near =
        |name: &str, beacons: bool| Engine::new(EngineConfig { beacons, ..config(name, true) }, 0, WALL).unwrap();
    let mut net = Net::strangers(vec![near("a", true), near("b", true), near("deaf", false)]);
    for host in &net.hosts {
        host.engine.set_local_addresses(0, vec![host.address.clone()]).unwrap();
        host.engine.join(0, vec![]).unwrap();
    }
    net.until("a meeting", |net| net.hosts[..2].iter().all(|h| h.engine.status().unwrap().links > 0));
    let deaf = net.hosts[2].engine.status().unwrap();
    assert_eq!((deaf.known, deaf.links), (0, 0), "it says and hears nothing");

    let e = &net.hosts[2].engine;
    assert_eq!(e.handle_local_peer(net.now_us, "near", None).unwrap_err().kind(), "InvalidInput");
    assert_eq!(e.handle_beacon(net.now_us, "near", &[]).unwrap_err().kind(), "InvalidInput");
    let (at, id) = (net.hosts[0].address.clone(), net.hosts[0].engine.id());
    e.handle_local_peer(net.now_us, &at, Some(id)).unwrap();
    net.wake();
    net.until("the hint is tried", |net| net.hosts[2].engine.status().unwrap().links > 0);
}

#[test]
fn a_foreign_store_is_written_first_read_back_and_restored_from() {
    let config = config("kept", false);
    let engine = Engine::new(config.clone(), 0, WALL).unwrap();
    let mut all = vec![engine];
    all.extend(engines(false, 1));
    let mut net = Net::new(all);
    net.linked();
    let (a, b) = (net.hosts[0].engine.id(), net.hosts[1].engine.id());
    net.hosts[1].engine.send_private(net.now_us, a, text("one")).unwrap();
    net.wake();
    net.until("arrives", |net| !texts(&net.hosts[0].events).is_empty());
    // The event was not acknowledged: an engine restored from the records tells it again.
    let records = net.hosts[0].records();
    net.hosts[0].engine = Engine::restore(config.clone(), records.clone(), net.now_us, WALL).unwrap();
    net.hosts[0].events.clear();
    net.wake();
    net.until("comes again", |net| texts(&net.hosts[0].events) == ["one"]);
    let seq = net.hosts[0].events.iter().find_map(|e| match e {
        Event::Received { seq, .. } => Some(*seq),
        _ => None,
    });
    net.hosts[0].engine.ack(net.now_us, seq.unwrap()).unwrap();
    let query = net.hosts[0].engine.history(net.now_us, Conversation::Private { peer: b }, None, 10).unwrap();
    net.wake();
    net.until("answer", |net| net.hosts[0].answers.iter().any(|a| a.query == query && a.page.messages.len() == 1));

    let other = donp_ffi::EngineConfig { identity: generate_identity("other").unwrap(), ..config };
    let refused = Engine::restore(other, records, 0, WALL).err().unwrap();
    assert_eq!(refused.kind(), "Denied");
}

#[test]
fn nothing_leaves_before_its_batch_is_written() {
    let a = engines(false, 1).remove(0);
    a.join(0, vec!["10.0.0.9:4000".into()]).unwrap();
    let out = a.turn(0, vec![], None).unwrap();
    let batch = out.batch.unwrap();
    assert!(out.transmits.is_empty() && !out.more);
    let out = a.turn(1, vec![], Some(batch.seq)).unwrap();
    assert_eq!(out.transmits.len(), 1);
    assert_eq!(out.transmits[0].destination, "10.0.0.9:4000");
}

#[test]
fn one_seed_one_life() {
    let life = || {
        let mut config = config("x", true);
        config.identity = vec![];
        config
    };
    let identity = generate_identity("same").unwrap();
    let run = |seed: u8| {
        let config = EngineConfig { identity: identity.clone(), seed: Some(vec![seed; 32]), ..life() };
        let engine = Engine::new(config, 0, WALL).unwrap();
        engine.join(0, vec!["10.0.0.9:4000".into()]).unwrap();
        engine.turn(5, vec![], None).unwrap()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn what_the_caller_gets_wrong_is_named() {
    let e = engines(true, 1).remove(0);
    let kind = |r: Result<(), DonpError>| {
        let e = r.unwrap_err();
        let (reason, hint, _) = e.parts();
        assert!(!reason.is_empty() && !hint.is_empty(), "{e:?}");
        (e.kind(), e.to_string())
    };
    let bad = vec![
        Received { source: "10.0.0.1:1".into(), payload: vec![1] },
        Received { source: "nowhere".into(), payload: vec![] },
    ];
    assert_eq!(kind(e.turn(0, bad, None).map(drop)), ("InvalidInput", "'nowhere' is not an address".into()));
    assert_eq!(e.status().unwrap().datagrams_in, 0, "nothing of it was taken in");
    assert_eq!(kind(e.join(0, vec!["example.org:1".into()])).0, "InvalidInput");
    assert_eq!(kind(e.send_private(0, e.id(), text("me")).map(drop)).0, "InvalidInput");
    let stranger = identity_node_id(&generate_identity("s").unwrap()).unwrap();
    assert_eq!(kind(e.send_private(0, stranger, text("you")).map(drop)).0, "NotFound");
    assert_eq!(kind(e.broadcast(0, text("")).map(drop)).0, "InvalidInput");
    assert_eq!(kind(e.broadcast(0, Content::Unknown).map(drop)).0, "InvalidInput");
    assert!(kind(e.broadcast(0, text(&"x".repeat(65_537))).map(drop)).1.contains("65536"));
    assert_eq!(kind(e.ack(0, 99)).0, "NotFound");
    assert_eq!(kind(e.add_entropy(&[1; 31])).1, "the entropy has 31 bytes and must have 32");
    assert_eq!(kind(e.join_ticket(0, "t000")).0, "InvalidInput");
    assert_eq!(kind(parse_node_id("n12").map(drop)).0, "InvalidInput");
    assert_eq!(kind(generate_identity("").map(drop)).0, "InvalidInput");
    let record = Record { table: 99, key: vec![], value: vec![] };
    assert_eq!(kind(e.handle_records(0, 1, vec![record])).0, "InvalidInput");
    e.suspend(0).unwrap();
    assert_eq!(kind(e.broadcast(0, text("asleep")).map(drop)).0, "NotRunning");
    e.resume(0).unwrap();
    e.broadcast(0, text("awake")).unwrap();
}

#[test]
fn a_panic_ends_the_object_and_says_so() {
    let e = engines(true, 1).remove(0);
    assert!(!e.is_dead());
    assert_eq!(e.simulate_crash().unwrap_err().kind(), "Internal");
    assert!(e.is_dead());
    assert_eq!(e.turn(0, vec![], None).unwrap_err().kind(), "Internal");
    assert_eq!(e.status().unwrap_err().kind(), "Internal");
}

#[test]
fn hostile_bytes_are_counted() {
    let e = engines(true, 1).remove(0);
    let junk = (0..64u8).map(|n| Received { source: "10.0.0.66:6".into(), payload: vec![n; usize::from(n) * 19] });
    e.turn(0, junk.collect(), None).unwrap();
    e.handle_datagram(1, "10.0.0.66:6", &[0xff; 1_200]).unwrap();
    let status = e.status().unwrap();
    assert_eq!(status.datagrams_in, 65);
    assert_eq!(status.drops.values().sum::<u64>(), 65, "{:?}", status.drops);
}
