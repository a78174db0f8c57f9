//! Accounts with several devices through whole nodes: joining, names, removal, recovery, what contacts learn.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod own_devices;
mod own_groups;

use std::net::SocketAddr;

use donp_core::{
    Bootstrap, CommandError, Config, Content, Conversation, DeviceTicket, Durable, Engine, Event, Identity, Instant,
    MemoryStore, Message, MessageId, NodeId, Output, Verification, WallTime,
};

const WALL: WallTime = WallTime(1_790_000_000_000);

/// A device with a store that commits at once.
struct Device {
    engine: Engine,
    store: MemoryStore,
    events: Vec<Durable>,
    /// It is not running.
    off: bool,
    /// The end of the answers to questions for history.
    pages: Vec<Vec<Message>>,
}

/// Devices on a network in a list. Time jumps to the next deadline.
struct World {
    now: Instant,
    devices: Vec<Device>,
    mail: Vec<(usize, usize, Vec<u8>)>,
    starts: u8,
    /// Datagrams between these are lost.
    cut: Vec<(usize, usize)>,
    /// Of so many datagrams one is lost; none if it is zero. By an own generator.
    loss: u64,
    dice: u64,
}

fn identity(n: usize) -> Identity {
    let names = ["alice", "bob", "alice's laptop", "alice's tablet", "bob's laptop", "carol"];
    Identity::generate([n as u8 + 1; 64], names[n], WallTime(1)).unwrap()
}

impl World {
    fn new(count: usize) -> Self {
        let now = Instant::from_micros(1);
        let mut world =
            Self { now, devices: Vec::new(), mail: Vec::new(), starts: 0, cut: Vec::new(), loss: 0, dice: 1 };
        for n in 0..count {
            let store = MemoryStore::default();
            let engine = world.engine(n, &store);
            world.devices.push(Device { engine, store, events: Vec::new(), off: false, pages: Vec::new() });
        }
        (0..count).for_each(|n| world.join(n));
        world.until("all are linked", |w| (0..count).all(|a| (0..count).all(|b| a == b || w.linked(a, b))));
        world
    }

    fn engine(&mut self, n: usize, store: &MemoryStore) -> Engine {
        self.starts += 1;
        let seed = [self.starts; 32];
        Engine::restore(Config::default(), identity(n), store.hot(), seed, self.now, WALL).unwrap()
    }

    fn addr(n: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n as u8 + 1], 4_000))
    }

    fn join(&mut self, n: usize) {
        let others = (0..self.devices.len()).filter(|o| *o != n);
        let others: Vec<Bootstrap> = others.map(|o| Bootstrap { addr: Self::addr(o), id: None }).collect();
        self.devices[n].engine.join(self.now, &others).unwrap();
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        self.devices[a].engine.peer(self.id(b)).is_some_and(|p| p.linked)
    }

    /// xorshift64: the world repeats itself with the same beginning.
    fn draw(&mut self, below: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % below
    }

    fn id(&self, n: usize) -> NodeId {
        self.devices[n].engine.id()
    }

    fn serve(&mut self, n: usize) {
        let now = self.now;
        let Device { engine, store, events, off, pages } = &mut self.devices[n];
        while let Some(output) = engine.poll() {
            match output {
                Output::Batch(batch) => {
                    let seq = batch.seq;
                    store.apply(batch);
                    engine.handle_committed(now, seq);
                }
                Output::Read(request) => {
                    let records = store.scan(&request.scan);
                    engine.handle_records(now, request.id, records);
                }
                Output::Event(Event::Durable { event, seq }) => {
                    events.push(event);
                    engine.ack(now, seq).unwrap();
                }
                Output::Answer(answer) => pages.push(answer.messages),
                Output::Transmit(t) if !*off => {
                    if let Some(to) = (0..8).find(|to| Self::addr(*to) == t.to) {
                        self.mail.push((n, to, t.bytes));
                    }
                }
                _ => {}
            }
        }
        engine.check().unwrap();
    }

    /// As [`serve`](Self::serve), but each batch is first only on disk. True, and no more is done, when a node that starts
    /// with what is there then is as asked.
    fn serve_until_stored(&mut self, n: usize, done: impl Fn(&Engine) -> bool) -> bool {
        let now = self.now;
        let Device { engine, store, events, .. } = &mut self.devices[n];
        while let Some(output) = engine.poll() {
            match output {
                Output::Batch(batch) => {
                    let seq = batch.seq;
                    store.apply(batch);
                    let seen =
                        Engine::restore(Config::default(), identity(n), store.hot(), [99; 32], now, WALL).unwrap();
                    if done(&seen) {
                        return true;
                    }
                    engine.handle_committed(now, seq);
                }
                Output::Read(request) => {
                    let records = store.scan(&request.scan);
                    engine.handle_records(now, request.id, records);
                }
                Output::Event(Event::Durable { event, seq }) => {
                    events.push(event);
                    engine.ack(now, seq).unwrap();
                }
                Output::Transmit(t) => {
                    if let Some(to) = (0..8).find(|to| Self::addr(*to) == t.to) {
                        self.mail.push((n, to, t.bytes));
                    }
                }
                _ => {}
            }
        }
        false
    }

    fn step(&mut self) {
        (0..self.devices.len()).for_each(|n| self.serve(n));
        let mail = std::mem::take(&mut self.mail);
        if mail.is_empty() {
            let running = self.devices.iter().filter(|d| !d.off);
            let due = running.filter_map(|d| d.engine.next_deadline()).map(|d| d.at).min().unwrap();
            self.now = self.now.max(due);
            let now = self.now;
            self.devices.iter_mut().filter(|d| !d.off).for_each(|d| d.engine.handle_timeout(now));
        }
        for (from, to, bytes) in mail {
            let is_lost = self.loss > 0 && self.draw(self.loss) == 0;
            if is_lost || self.cut.contains(&(from, to)) || self.cut.contains(&(to, from)) {
                continue;
            }
            if let Some(device) = self.devices.get_mut(to).filter(|d| !d.off) {
                device.engine.handle_datagram(self.now, Self::addr(from), &bytes);
            }
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..60_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("{what} did not happen until {:?}", self.now);
    }

    fn run_for(&mut self, seconds: u64) {
        let end = self.now + std::time::Duration::from_secs(seconds);
        self.until("time", |w| w.now >= end);
    }

    /// The device runs again with what it stored.
    fn restart(&mut self, n: usize) {
        self.serve(n);
        let store = self.devices[n].store.clone();
        self.devices[n].engine = self.engine(n, &store);
        self.devices[n].off = false;
        self.join(n);
    }

    fn ticket(&mut self, n: usize) -> DeviceTicket {
        let now = self.now;
        let mut ticket = self.devices[n].engine.add_device(now).unwrap();
        ticket.ticket.addrs = vec![Self::addr(n)];
        ticket
    }

    /// Takes a device into the account of another.
    fn add(&mut self, to: usize, new: usize) {
        let (ticket, now) = (self.ticket(to), self.now);
        self.devices[new].engine.join_account(now, &ticket).unwrap();
        let (me, other) = (self.id(new), self.id(to));
        // A ticket is good for ten minutes: what is stuck is not helped by more time.
        let end = self.now + std::time::Duration::from_secs(300);
        self.until("the device joins", |w| {
            assert!(
                w.now < end,
                "the device does not join: {} {:?} {:?} {:?} {:?}",
                w.devices[new].engine.is_joining_account(),
                w.names(new),
                w.names(to),
                w.devices[new].engine.stats().drops,
                w.devices[to].engine.stats().drops
            );
            !w.devices[new].engine.is_joining_account()
                && w.names(new).iter().any(|d| d.0 == other)
                && w.names(to).iter().any(|d| d.0 == me)
        });
    }

    fn names(&self, n: usize) -> Vec<(NodeId, String)> {
        self.devices[n].engine.devices().into_iter().map(|d| (d.node, d.name)).collect()
    }

    fn changes(&self, n: usize) -> Vec<(NodeId, NodeId, bool)> {
        let all = self.devices[n].events.iter().filter_map(|e| match e {
            Durable::DevicesChanged { node, device, added } => Some((*node, *device, *added)),
            _ => None,
        });
        all.collect()
    }

    fn verify(&mut self, n: usize, other: usize) {
        let (now, me, it) = (self.now, self.id(n), self.id(other));
        self.devices[n].engine.add_contact(now, it, None).unwrap();
        self.devices[other].engine.add_contact(now, me, None).unwrap();
        self.until("keys are known", |w| {
            w.devices[n].engine.safety_number(w.now, it).is_ok()
                && w.devices[other].engine.safety_number(w.now, me).is_ok()
        });
        let now = self.now;
        let number = self.devices[n].engine.safety_number(now, it).unwrap().number;
        self.devices[n].engine.verify_contact(now, it, &number).unwrap();
    }
}

/// Alice has a phone (0) and adds a laptop (2); Bob (1) verified the phone.
/// Mutations: the account's secret is sent to a node without the secret of a ticket; a contact's change is not held.
#[test]
fn a_new_device_has_the_account_and_contacts_learn_of_it() {
    let mut w = World::new(3);
    w.verify(1, 0);
    w.run_for(5);
    let account = w.devices[0].engine.status().account;
    assert_ne!(w.devices[2].engine.status().account, account);
    w.add(0, 2);
    assert_eq!(w.devices[2].engine.status().account, account);
    let expected = vec![(w.id(0), "alice".to_owned()), (w.id(2), "alice's laptop".to_owned())];
    assert_eq!((w.names(0), w.names(2)), (expected.clone(), expected.clone()));
    // The verified contact counts as changed until Bob looked at it.
    let (alice, laptop) = (w.id(0), w.id(2));
    w.until("Bob learns of it", |w| w.changes(1).contains(&(alice, laptop, true)));
    assert_eq!(w.devices[1].engine.devices_of(alice), [alice, laptop]);
    assert_eq!(w.devices[1].engine.contact(alice).unwrap().verification, Verification::Changed);
    let now = w.now;
    let held = w.devices[1].engine.send_private(now, alice, Content::text("held"));
    assert_eq!(held, Err(CommandError::KeyChanged(alice)));
    let number = w.devices[1].engine.safety_number(now, alice).unwrap().number;
    w.devices[1].engine.verify_contact(now, alice, &number).unwrap();
    assert!(w.devices[1].engine.send_private(now, alice, Content::text("sent")).is_ok());
    assert_eq!(w.changes(1).len(), 1, "it is said once");
    // All of it is there after a restart, and the network sees the account.
    for n in 0..3 {
        w.restart(n);
    }
    w.until("linked again", |w| w.linked(1, 2) && w.linked(0, 2) && w.linked(0, 1));
    assert_eq!(w.devices[2].engine.status().account, account);
    w.until("Bob sees the account", |w| w.devices[1].engine.peer(laptop).unwrap().account == Some(account));
    assert_eq!((w.names(0), w.names(2)), (expected.clone(), expected));
    assert_eq!(w.devices[1].engine.devices_of(laptop), [alice, laptop]);
}

/// Mutations: `used_by` is not kept, the time is not compared, the secret is not compared.
#[test]
fn a_ticket_is_good_for_one_device_and_ten_minutes() {
    let mut w = World::new(4);
    let ticket = w.ticket(0);
    w.add(0, 2);
    let now = w.now;
    // The first ticket is void since the second was made.
    for ticket in [ticket, w.ticket(0)] {
        let is_second = ticket.text() == w.devices[0].engine.add_device(now).unwrap().text();
        assert!(!is_second);
        w.devices[3].engine.join_account(w.now, &ticket).unwrap();
        w.until("it is refused", |w| !w.devices[3].engine.is_joining_account());
        assert_eq!(w.names(3).len(), 1);
    }
    let ticket = w.ticket(0);
    w.devices[3].off = true;
    w.run_for(601);
    w.restart(3);
    w.devices[3].engine.join_account(w.now, &ticket).unwrap();
    w.until("it is refused", |w| !w.devices[3].engine.is_joining_account());
    assert_eq!((w.names(0).len(), w.names(3).len()), (2, 1));
}

/// The ticket names the key; a node at the other end with another one gets nothing and gives nothing.
/// Mutation: `seal_for` seals in a session with any key.
#[test]
fn a_device_without_the_key_of_the_ticket_gets_nothing() {
    let mut w = World::new(3);
    let ticket = w.ticket(0).text();
    // Another store with the first device's identity: the same node, another session identity key.
    w.devices[0].store = MemoryStore::default();
    w.restart(0);
    w.until("linked again", |w| w.linked(0, 2));
    let _ = w.ticket(0);
    let mut ticket: DeviceTicket = ticket.parse().unwrap();
    ticket.ticket.addrs = vec![World::addr(0)];
    w.devices[2].engine.join_account(w.now, &ticket).unwrap();
    w.run_for(605);
    assert!(!w.devices[2].engine.is_joining_account(), "it gives up after ten minutes");
    assert_eq!((w.names(0).len(), w.names(2).len()), (1, 1));
    assert!(w.devices[2].engine.stats().drops.get(donp_core::DropReason::Signature) > 0);
}

#[test]
fn a_device_renames_itself_and_all_learn_of_it() {
    let mut w = World::new(3);
    w.add(0, 2);
    w.devices[2].engine.rename_device(w.now, "the old laptop").unwrap();
    let laptop = w.id(2);
    w.until("the name is known", |w| {
        let named = |n: usize| w.names(n).iter().any(|d| d.0 == laptop && d.1 == "the old laptop");
        let shown = |n: usize| w.devices[n].engine.peer(laptop).unwrap().name.as_deref() == Some("the old laptop");
        named(0) && named(2) && shown(0) && shown(1)
    });
    assert_eq!(w.devices[2].engine.status().name, "the old laptop");
    w.restart(2);
    assert_eq!(w.devices[2].engine.status().name, "the old laptop");
}

/// Mutation: a newer device may remove an older one.
#[test]
fn a_removed_device_is_none_and_a_newer_one_removes_no_older() {
    let mut w = World::new(3);
    w.verify(1, 0);
    w.add(0, 2);
    let (phone, laptop) = (w.id(0), w.id(2));
    w.until("Bob learns of it", |w| w.changes(1).contains(&(phone, laptop, true)));
    let refused = w.devices[2].engine.remove_device(w.now, phone);
    assert!(matches!(refused, Err(CommandError::NotAllowed(_))), "{refused:?}");
    w.devices[0].engine.remove_device(w.now, laptop).unwrap();
    w.until("Bob learns that it is gone", |w| w.changes(1).contains(&(phone, laptop, false)));
    assert_eq!(w.devices[1].engine.devices_of(phone), [phone]);
    assert_eq!(w.devices[1].engine.devices_of(laptop), [laptop]);
    w.until("the laptop learns it", |w| w.names(2).len() == 1);
    let refused = w.devices[2].engine.rename_device(w.now, "still here");
    assert!(matches!(refused, Err(CommandError::NotAllowed(_))), "{refused:?}");
}

/// Everything is lost but the code, and a contact who has the list.
/// Mutation: `Find` is answered by the account's own devices only.
#[test]
fn the_recovery_code_alone_brings_the_account_back() {
    let mut w = World::new(4);
    w.verify(1, 0);
    w.add(0, 2);
    let (phone, laptop, new) = (w.id(0), w.id(2), w.id(3));
    w.until("Bob learns of it", |w| w.changes(1).contains(&(phone, laptop, true)));
    let account = w.devices[0].engine.status().account;
    let code = identity(0).recovery_code().unwrap();
    (w.devices[0].off, w.devices[2].off) = (true, true);
    let refused = w.devices[3].engine.recover_account(w.now, &code.replace(&code[4..6], "zz"));
    assert!(matches!(refused, Err(CommandError::Unreadable(_))), "{refused:?}");
    w.devices[3].engine.recover_account(w.now, &code).unwrap();
    w.until("it has the account", |w| w.devices[3].engine.status().account == account);
    assert_eq!(w.names(3), [(new, "alice's tablet".to_owned())]);
    w.until("Bob learns of all of it", |w| {
        [(phone, phone, false), (phone, laptop, false), (phone, new, true)].iter().all(|c| w.changes(1).contains(c))
    });
    assert_eq!(w.devices[1].engine.devices_of(phone), [new], "the first device still stands for the person");
    assert_eq!(w.devices[1].engine.devices_of(new), [new]);
}

impl World {
    fn send(&mut self, from: usize, to: usize, text: &str) -> MessageId {
        let (now, to) = (self.now, self.id(to));
        let id = self.devices[from].engine.send_private(now, to, Content::text(text)).unwrap();
        self.serve(from);
        id
    }

    /// What was reported, in the order of the reports.
    fn heard(&self, n: usize) -> Vec<String> {
        let texts = self.devices[n].events.iter().filter_map(|e| match e {
            Durable::Received(m) => Some(m.content.shown().to_owned()),
            _ => None,
        });
        texts.collect()
    }

    fn hears(&mut self, n: usize, text: &str) {
        self.until(&format!("{n} hears {text}"), |w| w.heard(n).iter().any(|t| t == text));
    }

    /// The conversation of a device with the person of another.
    fn history(&mut self, n: usize, with: usize) -> Vec<String> {
        let (now, with) = (self.now, self.id(with));
        self.devices[n].pages.clear();
        self.devices[n].engine.history(now, Conversation::Private(with), None, 500).unwrap();
        self.until("a page", |w| {
            w.serve(n);
            !w.devices[n].pages.is_empty()
        });
        let page = self.devices[n].pages.remove(0);
        page.iter().map(|m| m.content.shown().to_owned()).collect()
    }
}

/// Alice has a phone (0) and a laptop (2), Bob a phone (1) and a laptop (4): what any of them says to the other person is
/// on all four. Mutations: an own message goes to one device; own devices get no announcement.
#[test]
fn a_message_is_read_once_on_each_device_of_both() {
    let mut w = World::new(5);
    w.verify(1, 0);
    w.add(0, 2);
    w.add(1, 4);
    let (alice, bob) = (w.id(0), w.id(1));
    w.until("both know of it", |w| {
        w.devices[1].engine.devices_of(alice).len() == 2 && w.devices[0].engine.devices_of(bob).len() == 2
    });
    let number = w.devices[1].engine.safety_number(w.now, alice).unwrap().number;
    w.devices[1].engine.verify_contact(w.now, alice, &number).unwrap();
    w.send(0, 1, "from the phone");
    for n in [1, 2, 4] {
        w.hears(n, "from the phone");
    }
    w.send(4, 2, "from the laptop, to the laptop");
    for n in [0, 1, 2] {
        w.hears(n, "from the laptop, to the laptop");
    }
    w.run_for(60);
    let all = ["from the phone", "from the laptop, to the laptop"];
    for (n, other) in [(0, 1), (2, 1), (1, 0), (4, 0), (2, 4), (4, 2)] {
        assert_eq!(w.history(n, other), all, "{n}");
    }
    for n in [0, 1, 2, 4] {
        assert!(all.iter().all(|t| w.heard(n).iter().filter(|h| h == t).count() <= 1), "{n} hears it once");
    }
    // Each device of the other side says that it has it, own ones do not.
    let delivered = w.devices[0].events.iter().filter(|e| matches!(e, Durable::Delivered { .. })).count();
    assert_eq!(delivered, 2);
    assert_eq!(w.devices[3].events.len(), 0, "no other node learns of it");
    assert!(
        w.devices[2].engine.contact(bob).is_some_and(|c| !c.request),
        "a node that was written to is a contact there"
    );
}

/// A device that is added later has what was said before, and the names of those who said it.
/// Mutation: an own device is not asked for conversations that are not here.
#[test]
fn a_new_device_gets_the_history() {
    let mut w = World::new(3);
    for n in 0..40 {
        w.send(n % 2, 1 - n % 2, &format!("{n}"));
    }
    w.hears(0, "39");
    w.hears(1, "38");
    w.add(0, 2);
    w.until("the history is there", |w| w.history(2, 1).len() == 40);
    let all: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let mut sorted = w.history(2, 1);
    sorted.sort_by_key(|t| t.parse::<u32>().unwrap());
    assert_eq!(sorted, all);
    assert_eq!(w.history(0, 1), w.history(2, 1), "in one order");
    // Bob is not linked with the new device, and reads what it says all the same, once.
    w.send(2, 1, "I have all of it");
    w.hears(1, "I have all of it");
    w.hears(0, "I have all of it");
}

/// Mutations: a removed device's message is taken; its session is not wiped; what waits for it goes out.
#[test]
fn a_removed_device_gets_nothing_more_and_is_not_heard() {
    let mut w = World::new(3);
    w.send(1, 0, "before");
    w.hears(0, "before");
    w.add(0, 2);
    let (phone, laptop) = (w.id(0), w.id(2));
    w.until("the laptop has it", |w| w.history(2, 1).len() == 1);
    w.send(2, 1, "from the laptop");
    w.hears(1, "from the laptop");
    w.until("Bob knows it", |w| w.devices[1].engine.devices_of(phone).len() == 2);
    // The laptop is stolen: it says and hears nothing while it is removed.
    w.devices[2].off = true;
    w.send(1, 0, "waits for the laptop");
    w.devices[0].engine.remove_device(w.now, laptop).unwrap();
    w.until("Bob learns it", |w| w.changes(1).contains(&(phone, laptop, false)));
    w.send(1, 0, "after");
    w.hears(0, "after");
    let queued = |w: &World, n: usize| w.devices[n].engine.status().outbox;
    w.until("nothing waits for it", |w| queued(w, 1) == 0);
    // The thief, cut off from the account's other device and with the old list, writes to Bob.
    w.cut.push((0, 2));
    let bob = w.id(1);
    let stolen = w.devices[2].engine.send_private(w.now, bob, Content::text("stolen"));
    assert!(stolen.is_ok(), "it does not know yet");
    w.restart(2);
    w.run_for(120);
    assert!(!w.heard(1).contains(&"stolen".to_owned()) && !w.history(1, 0).contains(&"stolen".to_owned()));
    for text in ["waits for the laptop", "after"] {
        assert!(!w.heard(2).iter().any(|t| t == text) && !w.history(2, 1).iter().any(|t| t == text), "{text}");
    }
}

/// Two people with one to three devices each under loss, restarts, devices that are off and links that are cut. In the
/// end each device of both has each message, reported it once, and all show one order. DONP_DEVICE_RUNS says how many.
/// Mutation: `believes` is false for own devices, or true for all.
#[test]
fn random_devices_of_two_read_every_message_once() {
    let runs = std::env::var("DONP_DEVICE_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let first = std::env::var("DONP_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1u64);
    for seed in first..first + runs {
        println!("seed {seed}: DONP_SEED={seed} DONP_DEVICE_RUNS=1");
        random_run(seed);
    }
}

fn random_run(seed: u64) {
    let mut w = World::new(6);
    w.dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // Alice's are 0, 2, 3; Bob's 1, 4, 5.
    let spare: [Vec<usize>; 2] = [vec![2, 3], vec![4, 5]];
    let mut sides: [Vec<usize>; 2] = [vec![0], vec![1]];
    w.send(0, 1, "first");
    w.hears(1, "first");
    let mut said = vec!["first".to_owned()];
    let mut waiting = spare.clone();
    for step in 0..30u64 {
        let side = w.draw(2) as usize;
        match w.draw(12) {
            0..=5 => {
                let at = w.draw(sides[side].len() as u64) as usize;
                let (from, to) = (sides[side][at], [1, 0][side]);
                if !w.devices[from].off {
                    let text = format!("{step} of {from}");
                    w.send(from, to, &text);
                    said.push(text);
                }
            }
            6 if !waiting[side].is_empty() => {
                // All run while a device is added; it may be cut off from the others right after.
                (w.cut, w.loss) = (Vec::new(), 0);
                for n in 0..6 {
                    if w.devices[n].off {
                        w.restart(n);
                    }
                }
                let (new, first) = (waiting[side].remove(0), [0, 1][side]);
                w.until("linked", |w| w.linked(first, new));
                w.add(first, new);
                sides[side].push(new);
            }
            7 => {
                let n = w.draw(6) as usize;
                if w.devices[n].off { w.restart(n) } else { w.devices[n].off = true }
            }
            8 => {
                let n = w.draw(6) as usize;
                if !w.devices[n].off {
                    w.restart(n);
                }
            }
            9 => {
                let pair = (w.draw(6) as usize, w.draw(6) as usize);
                w.cut.push(pair);
            }
            10 => w.cut.clear(),
            _ => w.loss = [0, 10, 4][w.draw(3) as usize],
        }
        let seconds = w.draw(8);
        w.run_for(seconds);
    }
    (w.cut, w.loss) = (Vec::new(), 0);
    for n in 0..6 {
        w.restart(n);
    }
    let all: Vec<(usize, usize)> =
        sides.iter().enumerate().flat_map(|(s, d)| d.iter().map(move |n| (*n, [1, 0][s]))).collect();
    for (n, other) in &all {
        let mut left = 400;
        while w.history(*n, *other).len() < said.len() && left > 0 {
            w.run_for(5);
            left -= 1;
        }
    }
    let order = w.history(0, 1);
    for (n, other) in all {
        assert_eq!(w.history(n, other), order, "seed {seed}: device {n} shows another order");
        let mut sorted = order.clone();
        sorted.sort();
        let mut expected = said.clone();
        expected.sort();
        assert_eq!(sorted, expected, "seed {seed}: device {n}");
        let heard = w.heard(n);
        for text in &said {
            let own = text.ends_with(&format!("of {n}")) || (n == 0 && text == "first");
            let times = heard.iter().filter(|t| *t == text).count();
            assert_eq!(times, usize::from(!own), "seed {seed}: {n} reported {text} {times} times");
        }
    }
}

/// The device joins, is removed, and what stood on it before it joined is put back. Mutation: `take_in` does not look at
/// the device that used the ticket, and a removal does not end it (both).
#[test]
fn a_removed_device_does_not_come_back_by_its_used_ticket() {
    let mut w = World::new(3);
    let (ticket, now) = (w.ticket(0), w.now);
    w.devices[2].engine.join_account(now, &ticket).unwrap();
    let before = w.devices[2].store.clone();
    w.until("it joins", |w| w.names(2).len() == 2 && w.names(0).len() == 2);
    let laptop = w.id(2);
    w.devices[0].engine.remove_device(w.now, laptop).unwrap();
    w.run_for(5);
    assert_eq!(w.names(0).len(), 1);
    w.devices[2].store = before;
    w.restart(2);
    w.until("linked", |w| w.linked(0, 2));
    w.devices[2].engine.join_account(w.now, &ticket).unwrap();
    w.until("it is refused", |w| !w.devices[2].engine.is_joining_account());
    assert_eq!((w.names(0).len(), w.names(2).len()), (1, 1));
}

/// A removed device is asked to join again. It has private conversations of that account, and keeps them.
/// Mutations: `join_account` looks at a list that this device is not in; it is refused because of its conversations.
#[test]
fn a_removed_device_joins_its_account_again() {
    let mut w = World::new(3);
    w.add(0, 2);
    w.send(2, 1, "from the laptop");
    w.hears(1, "from the laptop");
    let laptop = w.id(2);
    w.devices[0].engine.remove_device(w.now, laptop).unwrap();
    w.until("the laptop learns it", |w| w.names(2).len() == 1);
    let refused = w.devices[2].engine.rename_device(w.now, "x");
    assert!(matches!(refused, Err(CommandError::NotAllowed(why)) if why.contains("join it again")), "{refused:?}");
    w.add(0, 2);
    assert_eq!((w.names(0).len(), w.names(2).len()), (2, 2));
    w.send(2, 1, "from the laptop again");
    w.hears(1, "from the laptop again");
}

/// Mutation: `join_account` of a removed device with private conversations takes another account.
#[test]
fn a_removed_device_with_conversations_joins_no_other_account() {
    let mut w = World::new(4);
    w.add(0, 2);
    w.send(2, 1, "from the laptop");
    w.hears(1, "from the laptop");
    let laptop = w.id(2);
    w.devices[0].engine.remove_device(w.now, laptop).unwrap();
    w.until("the laptop learns it", |w| w.names(2).len() == 1);
    let account = w.devices[2].engine.status().account;
    let ticket = w.ticket(3);
    w.devices[2].engine.join_account(w.now, &ticket).unwrap();
    w.until("it gives up", |w| !w.devices[2].engine.is_joining_account());
    w.run_for(60);
    assert_eq!((w.devices[2].engine.status().account, w.names(3).len()), (account, 1));
}

/// Private conversations are named by the account. Mutation: `may_leave` does not look at them; a restart forgets them.
#[test]
fn a_profile_with_conversations_recovers_no_other_account() {
    let mut w = World::new(4);
    w.verify(1, 0);
    w.send(3, 1, "from the tablet");
    w.hears(1, "from the tablet");
    let code = identity(0).recovery_code().unwrap();
    for restarts in [false, true] {
        if restarts {
            w.restart(3);
        }
        let refused = w.devices[3].engine.recover_account(w.now, &code);
        assert!(matches!(refused, Err(CommandError::NotAllowed(_))), "{refused:?}");
        let ticket = w.ticket(0);
        let refused = w.devices[3].engine.join_account(w.now, &ticket);
        assert!(matches!(refused, Err(CommandError::NotAllowed(_))), "{refused:?}");
    }
    // Its own account is another matter.
    let own = identity(3).recovery_code().unwrap();
    w.devices[3].engine.recover_account(w.now, &own).unwrap();
    assert!(!w.devices[3].engine.is_joining_account());
}

/// A stranger writes after `join_account` and before the other device answers. Mutation: only the command looks.
#[test]
fn a_conversation_that_begins_while_a_device_joins_is_not_lost() {
    let mut w = World::new(4);
    let ticket = w.ticket(0);
    w.cut.push((0, 2));
    w.devices[2].engine.join_account(w.now, &ticket).unwrap();
    let account = w.devices[2].engine.status().account;
    w.send(1, 2, "before the answer");
    w.hears(2, "before the answer");
    w.cut.clear();
    w.until("it gives up", |w| !w.devices[2].engine.is_joining_account());
    w.run_for(60);
    assert_eq!((w.devices[2].engine.status().account, w.names(0).len()), (account, 1));
}

/// Alice's laptop has it, her phone is off. Mutation: the person's first device alone counts.
#[test]
fn a_person_has_a_message_when_any_of_its_devices_has_it() {
    let mut w = World::new(3);
    w.send(1, 0, "hi");
    w.hears(0, "hi");
    w.send(0, 1, "ho");
    w.hears(1, "ho");
    w.add(0, 2);
    let alice = w.id(0);
    w.until("Bob knows", |w| w.devices[1].engine.devices_of(alice).len() == 2);
    w.run_for(10);
    w.devices[0].off = true;
    let id = w.send(1, 0, "to the laptop");
    w.hears(2, "to the laptop");
    w.run_for(30);
    let found = w.devices[1].engine.confirmations(w.now, Conversation::Private(alice), id).unwrap();
    assert_eq!((found.members, found.stored, found.read), (1, vec![alice], vec![]));
}

/// Bob's laptop (4) learns that Alice's laptop (2) was removed, by Alice's phone and by Bob's.
/// Mutations: only nodes of the book learn of a change; a change of another's list is not said to own devices.
#[test]
fn each_device_of_a_contact_learns_of_a_removal() {
    for cut in [(1, 4), (0, 4)] {
        let mut w = World::new(5);
        w.send(0, 1, "hi");
        w.hears(1, "hi");
        w.send(1, 0, "ho");
        w.hears(0, "ho");
        w.add(0, 2);
        w.add(1, 4);
        let (alice, laptop) = (w.id(0), w.id(2));
        w.until("all know of it", |w| [1, 4].iter().all(|n| w.devices[*n].engine.devices_of(alice).len() == 2));
        w.run_for(60);
        w.cut.push(cut);
        w.until("the link is gone", |w| !w.linked(cut.0, cut.1) && !w.linked(cut.1, cut.0));
        w.devices[0].engine.remove_device(w.now, laptop).unwrap();
        w.run_for(60);
        assert_eq!(w.devices[4].engine.devices_of(alice), [alice], "without the link {cut:?}");
    }
}

/// Bob (1) verified Alice's phone (0), which takes a laptop (2) in. He crashes as soon as the new list is on disk.
/// Mutations: the hold waits for the commit of the list; it is an input of a later step than the list.
#[test]
fn a_crash_leaves_no_list_without_its_hold() {
    let mut w = World::new(3);
    w.verify(1, 0);
    w.run_for(5);
    let (ticket, now) = (w.ticket(0), w.now);
    w.devices[2].engine.join_account(now, &ticket).unwrap();
    let alice = w.id(0);
    let mut crashed = false;
    for _ in 0..60_000 {
        crashed = w.serve_until_stored(1, |engine| engine.devices_of(alice).len() == 2);
        if crashed {
            break;
        }
        w.step();
    }
    assert!(crashed);
    let store = w.devices[1].store.clone();
    w.devices[1].engine = w.engine(1, &store);
    w.join(1);
    w.until("linked again", |w| w.linked(0, 1) && w.linked(1, 2));
    w.run_for(600);
    let now = w.now;
    let sent = w.devices[1].engine.send_private(now, alice, Content::text("to verified keys alone"));
    assert_eq!(sent, Err(CommandError::KeyChanged(alice)));
    assert_eq!(w.changes(1), [(alice, w.id(2), true)]);
    assert_eq!(w.devices[1].engine.contact(alice).unwrap().verification, Verification::Changed);
}

/// Bob (1) verified Alice's laptop (2), which her phone (0) removes: his contact is the phone from then on.
/// Mutations: the row is looked for after the device is of no person; it stays with the device; the removed device is
/// written to as any other.
#[test]
fn a_contact_by_a_removed_device_is_held_and_kept_by_the_person() {
    let mut w = World::new(3);
    w.add(0, 2);
    w.verify(1, 2);
    let (phone, laptop) = (w.id(0), w.id(2));
    w.until("Bob knows", |w| w.devices[1].engine.devices_of(laptop).len() == 2);
    w.run_for(30);
    let state = |w: &World, n: NodeId| w.devices[1].engine.contact(n).map(|c| (c.node, c.verification));
    let number = w.devices[1].engine.safety_number(w.now, laptop).unwrap().number;
    w.devices[1].engine.verify_contact(w.now, laptop, &number).unwrap();
    assert_eq!(state(&w, laptop), Some((laptop, Verification::Verified)));
    w.devices[0].engine.remove_device(w.now, laptop).unwrap();
    w.until("Bob learns", |w| w.changes(1).contains(&(phone, laptop, false)));
    w.run_for(5);
    let say = |w: &mut World, to| w.devices[1].engine.send_private(w.now, to, Content::text("secret"));
    assert!(matches!(say(&mut w, laptop), Err(CommandError::NotAllowed(_))));
    assert_eq!(say(&mut w, phone), Err(CommandError::KeyChanged(phone)));
    assert_eq!(state(&w, phone), Some((phone, Verification::Changed)));
    assert_eq!(state(&w, laptop), None);
    let now = w.now;
    let number = w.devices[1].engine.safety_number(now, phone).unwrap().number;
    let me = w.id(1);
    w.devices[0].engine.add_contact(now, me, None).unwrap();
    w.until("keys are known", |w| w.devices[0].engine.safety_number(w.now, me).is_ok());
    let now = w.now;
    assert_eq!(w.devices[0].engine.safety_number(now, me).unwrap().number, number);
    w.devices[1].engine.verify_contact(now, phone, &number).unwrap();
    w.send(1, 0, "to the phone");
    w.hears(0, "to the phone");
}

/// Bob (1) blocks Alice (0), who takes a laptop (2) in: it is blocked too, and free again with her.
/// Mutations: devices that come are not blocked; the end of a block leaves them.
#[test]
fn a_blocked_person_is_blocked_with_the_devices_that_come() {
    let mut w = World::new(4);
    w.send(0, 1, "hi");
    w.hears(1, "hi");
    let (alice, laptop) = (w.id(0), w.id(2));
    w.devices[1].engine.block(w.now, alice).unwrap();
    w.run_for(5);
    w.add(0, 2);
    w.run_for(30);
    w.send(2, 1, "blocked?");
    w.run_for(120);
    assert!(!w.heard(1).contains(&"blocked?".to_owned()));
    w.restart(1);
    w.run_for(60);
    assert!(!w.linked(1, 2) && !w.heard(1).contains(&"blocked?".to_owned()));
    assert_eq!(w.devices[1].engine.blocked().len(), 2);
    w.devices[1].engine.unblock(w.now, alice).unwrap();
    assert!(!w.devices[1].engine.blocked().contains(&laptop));
    w.hears(1, "blocked?");
}

/// Alice's only device is lost; her tablet (2) recovers the account. What Bob (1) compares then is the tablet's keys.
/// Mutations: the number is of the keys that the row had; the keys of another device than the row's are not taken.
#[test]
fn the_safety_number_after_a_recovery_is_of_the_present_device() {
    let mut w = World::new(3);
    w.verify(1, 0);
    w.run_for(5);
    let (alice, bob) = (w.id(0), w.id(1));
    let before = w.devices[1].engine.safety_number(w.now, alice).unwrap().number;
    let code = identity(0).recovery_code().unwrap();
    w.devices[0].off = true;
    w.devices[2].engine.recover_account(w.now, &code).unwrap();
    w.until("Bob learns", |w| w.devices[1].engine.devices_of(alice) == [w.id(2)]);
    w.devices[2].engine.add_contact(w.now, bob, None).unwrap();
    w.until("keys are known", |w| {
        w.devices[1].engine.safety_number(w.now, alice).is_ok() && w.devices[2].engine.safety_number(w.now, bob).is_ok()
    });
    let now = w.now;
    let number = w.devices[2].engine.safety_number(now, bob).unwrap().number;
    assert_ne!(number, before);
    assert_eq!(w.devices[1].engine.verify_contact(now, alice, &before), Err(CommandError::NumberDiffers(alice)));
    w.devices[1].engine.verify_contact(now, alice, &number).unwrap();
    assert_eq!(w.devices[1].engine.contact(alice).unwrap().verification, Verification::Verified);
    w.send(1, 0, "to the tablet");
    w.hears(2, "to the tablet");
    w.restart(1);
    w.until("linked again", |w| w.linked(1, 2));
    w.send(1, 0, "after a restart");
    w.hears(2, "after a restart");
}
