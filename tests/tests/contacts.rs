//! Contacts through whole nodes: requests, verified keys, what was read and deleted, and the identity at the other end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use donp_core::{
    AuthenticationResult, Bootstrap, CommandError, Config, Content, Conversation, Durable, Engine, Event, Identity,
    Instant, MemoryStore, Message, MessageId, NodeId, Output, Verification, Volatile, WallTime,
};

const WALL: WallTime = WallTime(1_790_000_000_000);

/// A device with a store that commits at once.
struct Device {
    engine: Engine,
    store: MemoryStore,
    events: Vec<Event>,
    answers: Vec<Vec<Message>>,
    identity: u8,
}

/// Two devices, Alice and Bob, on a network in a list. Time jumps to the next deadline.
struct Pair {
    now: Instant,
    devices: Vec<Device>,
    mail: Vec<(usize, Vec<u8>)>,
}

fn identity(n: u8) -> Identity {
    Identity::generate([n; 64], ["alice", "bob"][usize::from(n) % 2], WallTime(1)).unwrap()
}

fn device(n: u8, seed: u8, store: MemoryStore, now: Instant) -> Device {
    let config = Config::default();
    let engine = Engine::restore(config, identity(n), store.hot(), [seed; 32], now, WALL).unwrap();
    Device { engine, store, events: Vec::new(), answers: Vec::new(), identity: n }
}

impl Pair {
    fn new() -> Self {
        let now = Instant::from_micros(1);
        let devices = (0..2).map(|n| device(n, n + 1, MemoryStore::default(), now)).collect();
        let mut pair = Self { now, devices, mail: Vec::new() };
        pair.join();
        pair
    }

    fn addr(n: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n as u8 + 1], 4_000))
    }

    fn join(&mut self) {
        for n in 0..2 {
            let other = Bootstrap { addr: Self::addr(1 - n), id: None };
            self.devices[n].engine.join(self.now, &[other]).unwrap();
        }
        self.until("linked", |p| (0..2).all(|n| p.devices[n].engine.peer(p.id(1 - n)).is_some_and(|x| x.linked)));
    }

    fn id(&self, n: usize) -> NodeId {
        self.devices[n].engine.id()
    }

    fn serve(&mut self, n: usize) {
        let now = self.now;
        let Device { engine, store, events, answers, .. } = &mut self.devices[n];
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
                Output::Event(event) => events.push(event),
                Output::Answer(answer) => answers.push(answer.messages),
                Output::FilePart(_) => {}
                Output::Transmit(t) => {
                    let to = (0..2).find(|to| Self::addr(*to) == t.to).unwrap();
                    self.mail.push((to, t.bytes));
                }
                Output::Beacon(_) => {}
            }
        }
        engine.check().unwrap();
    }

    fn step(&mut self) {
        (0..2).for_each(|n| self.serve(n));
        let mail = std::mem::take(&mut self.mail);
        if mail.is_empty() {
            let due = self.devices.iter().filter_map(|d| d.engine.next_deadline()).map(|d| d.at).min().unwrap();
            self.now = self.now.max(due);
            self.devices.iter_mut().for_each(|d| d.engine.handle_timeout(self.now));
        }
        for (to, bytes) in mail {
            self.devices[to].engine.handle_datagram(self.now, Self::addr(1 - to), &bytes);
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..20_000 {
            if done(self) {
                return;
            }
            self.step();
        }
        panic!("{what} did not happen until {:?}", self.now);
    }

    fn run_for(&mut self, seconds: u64) {
        let end = self.now + std::time::Duration::from_secs(seconds);
        self.until("time", |p| p.now >= end);
    }

    fn do_at<R>(&mut self, n: usize, f: impl FnOnce(&mut Engine, Instant, NodeId) -> R) -> R {
        let (now, other) = (self.now, self.id(1 - n));
        let done = f(&mut self.devices[n].engine, now, other);
        self.serve(n);
        done
    }

    fn send(&mut self, n: usize, text: &str) -> Result<MessageId, CommandError> {
        self.do_at(n, |e, now, other| e.send_private(now, other, Content::text(text)))
    }

    fn received(&self, n: usize) -> Vec<String> {
        let texts = self.devices[n].events.iter().filter_map(|e| match e {
            Event::Durable { event: Durable::Received(m), .. } => Some(m.content.shown().to_owned()),
            _ => None,
        });
        texts.collect()
    }

    fn has(&self, n: usize, wanted: &Durable) -> usize {
        self.devices[n].events.iter().filter(|e| matches!(e, Event::Durable { event, .. } if event == wanted)).count()
    }

    fn talk(&mut self, from: usize, text: &str) -> MessageId {
        let id = self.send(from, text).unwrap();
        self.until(text, |p| !p.devices[from].engine.is_queued(id));
        id
    }

    fn history(&mut self, n: usize) -> Vec<Message> {
        self.devices[n].answers.clear();
        self.do_at(n, |e, now, other| e.history(now, Conversation::Private(other), None, 100)).unwrap();
        self.until("a page", |p| !p.devices[n].answers.is_empty());
        self.devices[n].answers.remove(0)
    }

    fn texts(&mut self, n: usize) -> Vec<String> {
        self.history(n).iter().map(|m| m.shown().to_owned()).collect()
    }

    fn unread(&self, n: usize) -> u32 {
        let other = self.id(1 - n);
        let all = self.devices[n].engine.conversations();
        all.iter().find(|c| c.conversation == Conversation::Private(other)).map_or(0, |c| c.unread)
    }

    /// Ends the process and starts it on the same store, or on none.
    fn restart(&mut self, n: usize, seed: u8, keeps: bool) {
        let old = &self.devices[n];
        let store = if keeps { old.store.clone() } else { MemoryStore::default() };
        let fresh = device(old.identity, seed, store, self.now);
        self.devices[n] = fresh;
        self.mail.clear();
        self.join();
    }

    fn verify_each_other(&mut self) {
        for n in 0..2 {
            let number = self.do_at(1 - n, |e, now, other| e.safety_number(now, other)).unwrap();
            let shown = if n == 0 { number.code } else { number.number };
            self.do_at(n, |e, now, other| e.verify_contact(now, other, &shown)).unwrap();
        }
    }

    fn verification(&self, n: usize) -> Option<Verification> {
        self.devices[n].engine.contact(self.id(1 - n)).map(|c| c.verification)
    }
}

#[test]
fn a_strangers_first_message_is_a_request_an_answer_accepts() {
    let mut pair = Pair::new();
    let (alice, bob) = (pair.id(0), pair.id(1));
    pair.talk(0, "hello");
    pair.talk(0, "are you there?");
    assert_eq!(pair.received(1), ["hello", "are you there?"], "they are reported like others");
    assert_eq!(pair.has(1, &Durable::ContactRequest { node: alice }), 1);
    let request = pair.devices[1].engine.contact(alice).unwrap();
    assert!(request.request && request.unread == 2 && request.name.as_deref() == Some("alice"), "{request:?}");
    assert!(pair.devices[1].engine.conversations().iter().any(|c| c.request));
    let mine = pair.devices[0].engine.contact(bob).unwrap();
    assert!(!mine.request, "a node that writes first has a contact");
    pair.restart(1, 9, true);
    assert!(pair.devices[1].engine.contact(alice).is_some_and(|c| c.request));
    pair.talk(1, "yes");
    assert!(pair.devices[1].engine.contact(alice).is_some_and(|c| !c.request));
    assert!(pair.devices.iter().enumerate().all(|(n, _)| pair.has(n, &Durable::ContactRequest { node: bob }) == 0));
}

/// The device of a verified contact comes back with its identity alone, as a thief of that would have it. Mutations:
/// `send_private` does not ask; the session machine seals what waits; the change is forgotten at a restart.
#[test]
fn a_verified_contact_with_another_key_is_held_until_looked_at() {
    for accepts in [false, true] {
        let mut pair = Pair::new();
        let bob = pair.id(1);
        pair.talk(0, "hello");
        pair.talk(1, "hi");
        pair.verify_each_other();
        assert!((0..2).all(|n| pair.verification(n) == Some(Verification::Verified)));
        pair.restart(1, 77, false);
        let changed = Durable::ContactChanged { node: bob };
        // Said before anything is known of the change, or refused if that came first.
        let early = pair.send(0, "secret");
        pair.until("a change is noticed", |p| p.has(0, &changed) > 0);
        pair.run_for(120);
        assert_eq!(pair.has(0, &changed), 1);
        assert_eq!(pair.verification(0), Some(Verification::Changed));
        assert_eq!(pair.send(0, "more"), Err(CommandError::KeyChanged(bob)));
        assert!(pair.received(1).is_empty() && pair.texts(1).is_empty(), "nothing was sent, of the history neither");
        pair.restart(0, 5, true);
        pair.run_for(60);
        assert_eq!(pair.send(0, "more"), Err(CommandError::KeyChanged(bob)));
        assert!(pair.received(1).is_empty());
        if accepts {
            pair.do_at(0, |e, now, other| e.accept_change(now, other)).unwrap();
            assert_eq!(pair.verification(0), Some(Verification::Unverified));
        } else {
            let old = pair.do_at(0, |e, now, other| e.verify_contact(now, other, &"12345".repeat(12)));
            assert_eq!(old, Err(CommandError::NumberDiffers(bob)));
            let alice = pair.id(0);
            pair.do_at(1, |e, now, _| e.add_contact(now, alice, Some("al".into()))).unwrap();
            pair.until("both know the keys", |p| p.do_at(1, |e, now, o| e.safety_number(now, o)).is_ok());
            let number = pair.do_at(1, |e, now, other| e.safety_number(now, other)).unwrap().number;
            pair.do_at(0, |e, now, other| e.verify_contact(now, other, &number)).unwrap();
            assert_eq!(pair.verification(0), Some(Verification::Verified));
        }
        let id = pair.send(0, "again").unwrap();
        pair.until("it goes", |p| !p.devices[0].engine.is_queued(id));
        let waited = early.is_ok();
        pair.until("what waited goes", |p| !waited || p.received(1).contains(&"secret".to_owned()));
    }
}

/// Mutation: a message of a muted author makes an event, or is not counted.
#[test]
fn a_muted_contact_makes_no_events_and_is_in_the_history() {
    let mut pair = Pair::new();
    pair.talk(0, "one");
    let alice = pair.id(0);
    assert_eq!(pair.do_at(1, |e, now, o| e.mute_contact(now, o, true)), Err(CommandError::Unknown("contact")));
    pair.do_at(1, |e, now, o| e.accept_contact(now, o)).unwrap();
    pair.do_at(1, |e, now, o| e.mute_contact(now, o, true)).unwrap();
    pair.talk(0, "two");
    pair.restart(1, 9, true);
    pair.talk(0, "three");
    assert_eq!(pair.received(1), ["one"], "it was not acknowledged and came again");
    assert_eq!((pair.texts(1), pair.unread(1)), (vec!["one".into(), "two".into(), "three".into()], 3));
    assert!(pair.devices[1].engine.contact(alice).is_some_and(|c| c.muted));
    pair.do_at(1, |e, now, o| e.mute_contact(now, o, false)).unwrap();
    pair.talk(0, "four");
    assert_eq!(pair.received(1), ["one", "four"]);
}

/// Mutations: edits and marks count; a mark goes back; what is stored is not read again.
#[test]
fn what_is_unread_is_counted_and_marked() {
    let mut pair = Pair::new();
    let alice = pair.id(0);
    let ids: Vec<MessageId> = ["a", "b", "c", "d"].iter().map(|t| pair.talk(0, t)).collect();
    let edit = Content::Edit { edit_of: ids[0], text: "A".into() };
    pair.do_at(0, |e, now, o| e.send_private(now, o, edit)).unwrap();
    pair.run_for(5);
    pair.talk(1, "I see");
    assert_eq!((pair.unread(0), pair.unread(1)), (1, 4));
    let here = Conversation::Private(alice);
    pair.do_at(1, |e, now, _| e.mark_read(now, here, Some(ids[1]))).unwrap();
    pair.until("a count", |p| p.unread(1) == 2);
    pair.do_at(1, |e, now, _| e.mark_read(now, here, Some(ids[0]))).unwrap();
    pair.run_for(1);
    assert_eq!(pair.unread(1), 2, "a mark does not go back");
    pair.restart(1, 9, true);
    assert_eq!(pair.unread(1), 2);
    let info = pair.devices[1].engine.conversations().into_iter().find(|c| c.conversation == here).unwrap();
    assert_eq!(info.read, Some(ids[1]));
    pair.do_at(1, |e, now, _| e.mark_read(now, here, None)).unwrap();
    assert_eq!(pair.unread(1), 0);
    pair.talk(0, "e");
    assert_eq!(pair.unread(1), 1);
    let nowhere = Conversation::Private(NodeId([9; 32]));
    let unknown = pair.do_at(1, |e, now, _| e.mark_read(now, nowhere, None));
    assert_eq!(unknown, Err(CommandError::Unknown("conversation")));
}

/// Mutations: rows are not walked; the walk does not go on after a restart; what comes later is hidden by its place.
#[test]
fn a_deleted_conversation_is_gone_here_and_starts_anew() {
    for restarts in [false, true] {
        let mut pair = Pair::new();
        let alice = pair.id(0);
        let here = Conversation::Private(alice);
        for n in 0..20 {
            pair.talk(n % 2, &format!("old text {n}"));
        }
        // Said at the same time as the deletion, and not there yet.
        let late = pair.send(0, "on its way").unwrap();
        pair.mail.clear();
        let done = pair.devices[1].engine.delete_conversation(pair.now, here);
        assert_eq!(done, Ok(()));
        if restarts {
            // Only the batch with the wish is on disk.
            let Device { engine, store, .. } = &mut pair.devices[1];
            while let Some(output) = engine.poll() {
                if let Output::Batch(batch) = output {
                    store.apply(batch);
                    break;
                }
            }
            pair.restart(1, 9, true);
        }
        assert!(pair.texts(1).iter().all(|t| t == "on its way"), "{restarts}");
        pair.until("it comes", |p| !p.devices[0].engine.is_queued(late));
        pair.talk(0, "new");
        pair.run_for(300);
        assert_eq!(pair.texts(1), ["on its way", "new"], "{restarts}");
        assert_eq!(pair.unread(1), 2);
        assert_eq!(pair.texts(0).len(), 22, "the other side keeps its own");
        let stored: Vec<_> = pair.devices[1].store.scan(&everything("chat", "entries"));
        let has = |text: &str| stored.iter().any(|r| r.value.windows(text.len()).any(|w| w == text.as_bytes()));
        assert!(!has("old text") && has("on its way"), "{restarts}");
    }
    let mut pair = Pair::new();
    let refused = pair.do_at(0, |e, now, _| e.delete_conversation(now, Conversation::Network));
    assert!(matches!(refused, Err(CommandError::NotAllowed(_))));
}

/// What waits for the other side still goes, and is shown no more.
#[test]
fn what_waits_for_the_other_side_goes_though_it_is_deleted() {
    let mut pair = Pair::new();
    let bob = pair.id(1);
    pair.talk(0, "hello");
    pair.do_at(1, |e, now, _| e.leave(now));
    pair.run_for(1);
    let id = pair.send(0, "later").unwrap();
    pair.do_at(0, |e, now, _| e.delete_conversation(now, Conversation::Private(bob))).unwrap();
    pair.run_for(5);
    assert!(pair.texts(0).is_empty());
    pair.join();
    pair.until("it goes", |p| !p.devices[0].engine.is_queued(id));
    pair.run_for(120);
    assert_eq!((pair.texts(0), pair.texts(1)), (vec![], vec!["hello".into(), "later".into()]));
}

fn everything(machine: &str, table: &str) -> donp_core::Scan {
    donp_core::Scan {
        table: donp_core::Table::of(machine, table).unwrap(),
        start: Vec::new(),
        end: vec![0xff; 100],
        reverse: false,
        limit: u32::MAX,
        max_bytes: u32::MAX,
    }
}

#[test]
fn the_device_of_a_node_is_authenticated_over_its_link() {
    let mut pair = Pair::new();
    let (alice, bob) = (pair.id(0), pair.id(1));
    let done = |result| Event::Volatile(Volatile::Authenticated { peer: bob, result });
    pair.do_at(0, |e, now, o| e.authenticate_node(now, o)).unwrap();
    pair.until("an answer", |p| p.devices[0].events.contains(&done(AuthenticationResult::Authenticated)));
    assert_eq!(pair.do_at(0, |e, now, _| e.authenticate_node(now, alice)), Err(CommandError::ToSelf));
    let stranger = NodeId([9; 32]);
    let unknown = pair.do_at(0, |e, now, _| e.authenticate_node(now, stranger));
    assert_eq!(unknown, Err(CommandError::UnknownPeer(stranger)));
    // After the keys of the link were replaced, and over a link that is opened for it.
    pair.devices[0].events.clear();
    pair.run_for(600);
    pair.talk(0, "keys older than two minutes are replaced");
    pair.do_at(0, |e, now, o| e.authenticate_node(now, o)).unwrap();
    pair.until("an answer", |p| p.devices[0].events.contains(&done(AuthenticationResult::Authenticated)));
    pair.do_at(1, |e, now, _| e.leave(now));
    pair.run_for(20);
    pair.do_at(0, |e, now, o| e.authenticate_node(now, o)).unwrap();
    pair.until("no answer", |p| p.devices[0].events.contains(&done(AuthenticationResult::Timeout)));
}

/// Mutation: only texts and answers count.
#[test]
fn a_file_is_something_to_read() {
    let mut pair = Pair::new();
    let file = pair.do_at(0, |e, now, _| {
        let mut draft = e.begin_file(now, 3).unwrap();
        draft.push(b"abc").unwrap();
        let sealed = draft.finish().unwrap();
        e.add_file_part(now, &sealed, 0, b"abc").unwrap();
        e.finish_file(now, sealed.id(), "a.txt".into(), String::new()).unwrap()
    });
    let content = Content::File { file: Box::new(file), text: String::new() };
    let id = pair.do_at(0, |e, now, o| e.send_private(now, o, content)).unwrap();
    pair.until("a file", |p| !p.devices[0].engine.is_queued(id));
    assert_eq!(pair.unread(1), 1);
}
