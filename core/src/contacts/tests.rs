use alloc::string::{String, ToString};

use super::*;
use crate::config::Config;
use crate::contacts::contract::keys;
use crate::contract::who;
use crate::error::CommandError;
use crate::fact::samples::up;
use crate::machine::Command;
use crate::rng::Rng;
use crate::store::{Batch, MemoryStore, Op};
use crate::time::WallTime;

/// The machine of identity 0 with a store that commits at once, and room for three contacts and two requests.
struct Bench {
    machine: Contacts,
    store: MemoryStore,
    out: Outbox<Out>,
    rng: Rng,
    wall: u64,
    /// What own devices learn.
    shared: Vec<Register>,
}

fn config() -> Config {
    let mut config = Config::default();
    (config.limits.contacts, config.limits.contact_requests) = (3, 2);
    config
}

fn id(n: u8) -> NodeId {
    who(n).node_id()
}

impl Bench {
    fn new() -> Self {
        let (machine, out) = Self::open(&MemoryStore::default());
        let mut bench =
            Self { machine, store: MemoryStore::default(), out, rng: Rng::new([0; 32]), wall: 1, shared: Vec::new() };
        bench.keys(0, 1);
        bench
    }

    fn open(store: &MemoryStore) -> (Contacts, Outbox<Out>) {
        let (mut rng, mut out, identity) = (Rng::new([0; 32]), Outbox::new(), who(0));
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(1), me: id(0), rng: &mut rng };
        let setup = Setup { config: &config(), identity: &identity };
        (Contacts::open(setup, store.hot(), &mut cx, &mut out).unwrap(), out)
    }

    /// As after a restart; gives what it says then.
    fn restart(&mut self) -> Vec<Out> {
        (self.machine, self.out) = Self::open(&self.store);
        self.took()
    }

    fn took(&mut self) -> Vec<Out> {
        assert_eq!(self.machine.check(), Ok(()));
        let mut all = Vec::new();
        while let Some(emit) = self.out.pop() {
            match emit {
                // Of each row that is there or goes.
                crate::machine::Emit::Now(Out::Kept { .. }) => {}
                crate::machine::Emit::Now(Out::Share(register) | Out::Suggest(register)) => self.shared.push(register),
                crate::machine::Emit::Now(out) | crate::machine::Emit::Committed(out) => all.push(out),
                crate::machine::Emit::Store(op) => self.store.apply(Batch { seq: 0, ops: alloc::vec![op] }),
            }
        }
        all
    }

    fn run<C: Command<Contacts>>(&mut self, command: C) -> (C::Answer, Vec<Out>) {
        self.wall += 1;
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(self.wall), me: id(0), rng: &mut self.rng };
        let answer = command.run(&mut self.machine, &mut cx, &mut self.out);
        (answer, self.took())
    }

    fn handle(&mut self, input: In) -> Vec<Out> {
        self.wall += 1;
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(self.wall), me: id(0), rng: &mut self.rng };
        self.machine.handle(&mut cx, input, &mut self.out);
        self.took()
    }

    fn fact(&mut self, fact: &Fact) -> Vec<Out> {
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(1), me: id(0), rng: &mut self.rng };
        self.machine.fact(&mut cx, fact, &mut self.out);
        self.took()
    }

    fn keys(&mut self, n: u8, identity: u8) -> Vec<Out> {
        let PublicKeys { device, identity } = keys(n, identity);
        self.handle(In::Keys { device, identity })
    }

    fn add(&mut self, n: u8, name: Option<&str>) -> Result<(), CommandError> {
        self.run(Add { node: id(n), petname: name.map(Into::into) }).0
    }

    fn verification(&self, n: u8) -> Option<Verification> {
        self.machine.get(id(n)).map(Person::verification)
    }

    /// What the device with these keys shows to this node.
    fn shown(n: u8, identity: u8) -> SafetyNumber {
        SafetyNumber::of(&keys(n, identity), &keys(0, 1))
    }

    fn verify(&mut self, n: u8, shown: &str) -> (Result<(), CommandError>, Vec<Out>) {
        self.run(Verify { node: id(n), shown: shown.into() })
    }
}

/// Bob, a verified contact with session identity key 5.
fn verified() -> Bench {
    let mut bench = Bench::new();
    bench.add(1, Some("bob")).unwrap();
    bench.keys(1, 5);
    let (done, out) = bench.verify(1, &Bench::shown(1, 5).number);
    assert_eq!(done, Ok(()));
    assert!(matches!(out[..], [Out::Trust { held: false, identity: Some([5, ..]), compared: true, .. }]), "{out:?}");
    assert_eq!(bench.verification(1), Some(Verification::Verified));
    bench
}

#[test]
fn a_verified_contact_is_so_by_number_and_by_code() {
    verified();
    let mut bench = Bench::new();
    bench.add(1, None).unwrap();
    bench.keys(1, 5);
    assert_eq!(bench.verify(1, &Bench::shown(1, 5).code).0, Ok(()));
    assert_eq!(bench.verification(1), Some(Verification::Verified));
}

/// Mutation: what does not fit is taken.
#[test]
fn a_wrong_number_verifies_nobody() {
    let mut bench = Bench::new();
    bench.add(1, Some("bob")).unwrap();
    assert_eq!(bench.verify(1, &Bench::shown(1, 5).number).0, Err(CommandError::KeysUnknown(id(1))));
    bench.keys(1, 5);
    for wrong in [Bench::shown(1, 6), Bench::shown(2, 5)] {
        for text in [&wrong.number, &wrong.code] {
            assert_eq!(bench.verify(1, text).0, Err(CommandError::NumberDiffers(id(1))));
        }
    }
    assert!(matches!(bench.verify(1, "12345").0, Err(CommandError::Unreadable(_))));
    assert_eq!(bench.verification(1), Some(Verification::Unverified));
    assert_eq!(bench.verify(3, "12345").0, Err(CommandError::Unknown("contact")));
}

/// Mutation: a change of a verified contact is taken like any other, or forgotten at a restart.
#[test]
fn a_new_key_of_a_verified_contact_is_a_change_until_reviewed() {
    let mut bench = verified();
    assert!(bench.keys(1, 5).is_empty(), "the same keys");
    let out = bench.keys(1, 6);
    assert!(matches!(out[..], [Out::Trust { held: true, .. }, Out::Changed(_)]), "{out:?}");
    assert!(bench.machine.is_held(id(1)));
    assert!(bench.keys(1, 5).is_empty() && bench.machine.is_held(id(1)), "the old key comes back and ends nothing");
    bench.keys(1, 6);
    let out = bench.restart();
    assert!(matches!(out[..], [Out::Trust { held: true, identity: Some([5, ..]), .. }]), "{out:?}");
    assert!(bench.machine.is_held(id(1)));
    bench.keys(0, 1);
    // The old number is of no use, the new one is.
    assert_eq!(bench.verify(1, &Bench::shown(1, 5).number).0, Err(CommandError::NumberDiffers(id(1))));
    assert!(bench.machine.is_held(id(1)));
    let (done, out) = bench.verify(1, &Bench::shown(1, 6).code);
    assert_eq!(done, Ok(()));
    assert!(matches!(out[..], [Out::Trust { held: false, identity: Some([6, ..]), .. }]), "{out:?}");
    assert_eq!(bench.verification(1), Some(Verification::Verified));
    // The key of before is a change now.
    assert_eq!(bench.keys(1, 5).len(), 2);
}

/// Mutation: a contact whose change was accepted stays verified.
#[test]
fn an_accepted_change_is_not_verified() {
    let mut bench = verified();
    assert_eq!(bench.run(AcceptChange(id(1))).0, Err(CommandError::Unknown("change of a key")));
    bench.keys(1, 6);
    let (done, out) = bench.run(AcceptChange(id(1)));
    assert_eq!(done, Ok(()));
    assert!(matches!(out[..], [Out::Trust { identity: None, held: false, .. }]), "{out:?}");
    assert_eq!(bench.verification(1), Some(Verification::Unverified));
    assert!(bench.keys(1, 7).is_empty(), "nothing is reported of an unverified contact");
}

#[test]
fn a_stranger_is_a_request_until_it_is_answered() {
    let mut bench = Bench::new();
    let out = bench.handle(In::Received { from: id(1), author: id(1) });
    assert!(matches!(out[..], [Out::Requested(who)] if who == id(1)), "{out:?}");
    assert!(bench.handle(In::Received { from: id(1), author: id(1) }).is_empty(), "it is reported once");
    assert_eq!(bench.verify(1, "1").0, Err(CommandError::Unknown("contact")), "a request is no contact");
    assert_eq!(bench.run(Mute { node: id(1), muted: true }).0, Err(CommandError::Unknown("contact")));
    assert_eq!(bench.run(Accept(id(1))).0, Ok(()));
    assert_eq!(bench.run(Accept(id(1))).0, Err(CommandError::Unknown("request")));
    // A node that is written to is a contact, and so is one that is added.
    bench.handle(In::Received { from: id(2), author: id(2) });
    bench.run(Wrote(id(2)));
    bench.handle(In::Received { from: id(3), author: id(3) });
    bench.add(3, Some("carol")).unwrap();
    assert!([1, 2, 3].iter().all(|n| bench.machine.get(id(*n)).is_some_and(|p| !p.request)));
    // A block answers a request, and leaves a contact in the book.
    bench.handle(In::Received { from: id(4), author: id(4) });
    bench.fact(&Fact::Blocked(id(4)));
    bench.fact(&Fact::Blocked(id(3)));
    assert!(bench.machine.get(id(4)).is_none() && bench.machine.get(id(3)).is_some());
    // A removed contact writes a request again.
    assert_eq!(bench.run(Remove(id(1))).0, Ok(()));
    assert_eq!(bench.handle(In::Received { from: id(1), author: id(1) }).len(), 1);
}

/// Mutations: requests count as contacts; the newest request goes.
#[test]
fn strangers_take_no_place_of_contacts() {
    let mut bench = Bench::new();
    for n in [1, 2] {
        bench.handle(In::Received { from: id(n), author: id(n) });
    }
    bench.add(5, None).unwrap();
    bench.add(6, None).unwrap();
    // The oldest request gives way.
    bench.handle(In::Received { from: id(3), author: id(3) });
    assert!(bench.machine.get(id(1)).is_none() && bench.machine.get(id(2)).is_some());
    assert!([5, 6].iter().all(|n| bench.machine.get(id(*n)).is_some()));
    bench.add(7, None).unwrap();
    let full = Err(CommandError::Busy("list of contacts"));
    assert_eq!(bench.add(4, None), full);
    assert_eq!(bench.run(Accept(id(2))).0, full);
    bench.run(Wrote(id(2)));
    assert!(bench.machine.get(id(2)).is_some_and(|p| p.request), "there is no place for one more contact");
    bench.add(7, Some("again")).unwrap();
}

#[test]
fn names_are_the_users_and_of_one_contact_each() {
    let mut bench = Bench::new();
    bench.add(1, Some("bob")).unwrap();
    bench.add(2, None).unwrap();
    let rename = |node, name: Option<&str>| Rename { node: id(node), petname: name.map(Into::into) };
    assert_eq!(bench.run(rename(2, Some("bob"))).0, Err(CommandError::NameTaken(id(1))));
    assert_eq!(bench.add(3, Some("bob")), Err(CommandError::NameTaken(id(1))));
    assert!(bench.machine.get(id(3)).is_none(), "what is refused changes nothing");
    assert_eq!(bench.run(rename(1, Some("bob"))).0, Ok(()), "its own name");
    let long = "x".repeat(65);
    for (name, error) in [
        ("", CommandError::Empty("name")),
        (long.as_str(), CommandError::Unreadable("name: it has 1 to 64 bytes and no control characters")),
        ("a\u{1b}b", CommandError::Unreadable("name: it has 1 to 64 bytes and no control characters")),
    ] {
        assert_eq!(bench.run(rename(2, Some(name))).0, Err(error));
    }
    assert_eq!(bench.run(rename(1, None)).0, Ok(()));
    assert_eq!(bench.run(rename(2, Some("bob"))).0, Ok(()));
    assert_eq!(bench.run(rename(9, Some("x"))).0, Err(CommandError::Unknown("contact")));
    bench.restart();
    let name = |bench: &Bench, n: u8| bench.machine.get(id(n)).and_then(|p| p.petname.clone());
    assert_eq!((name(&bench, 1), name(&bench, 2)), (None, Some(String::from("bob"))));
    bench.add(2, None).unwrap();
    assert_eq!(name(&bench, 2).map(|n| n.to_string()), Some("bob".into()), "no name given is none taken");
}

#[test]
fn mutes_and_verifications_last_over_a_restart_until_removal() {
    let mut bench = verified();
    let (done, out) = bench.run(Mute { node: id(1), muted: true });
    assert!(done.is_ok() && matches!(out[..], [Out::Fact(Fact::Muted(_))]), "{out:?}");
    assert!(bench.run(Mute { node: id(1), muted: true }).1.is_empty());
    let out = bench.restart();
    assert!(matches!(out[..], [Out::Trust { held: false, .. }, Out::Fact(Fact::Muted(_))]), "{out:?}");
    let (done, out) = bench.run(Remove(id(1)));
    assert_eq!(done, Ok(()));
    assert!(matches!(out[..], [Out::Fact(Fact::Unmuted(_)), Out::Trust { identity: None, .. }]), "{out:?}");
    assert!(bench.restart().is_empty());
    assert_eq!(bench.run(Remove(id(1))).0, Err(CommandError::Unknown("contact")));
}

#[test]
fn keys_that_are_not_known_are_asked_for_over_a_link() {
    let mut bench = Bench::new();
    let learn = |bench: &mut Bench| bench.run(Learn(id(1)));
    assert_eq!(learn(&mut bench).0, Err(CommandError::Unknown("contact")));
    bench.add(1, None).unwrap();
    let (number, out) = learn(&mut bench);
    assert!(number == Err(CommandError::KeysUnknown(id(1))) && out.is_empty(), "there is no link");
    assert!(matches!(bench.fact(&up(id(1)))[..], [Out::Meet(_)]));
    assert!(matches!(learn(&mut bench).1[..], [Out::Meet(_)]));
    bench.keys(1, 5);
    let (number, out) = learn(&mut bench);
    assert!(out.is_empty() && number.is_ok_and(|n| n.number == Bench::shown(1, 5).number));
    // Keys of a node in no book are not kept.
    bench.keys(2, 5);
    assert!(bench.machine.get(id(2)).is_none());
}

#[test]
fn a_row_that_breaks_a_rule_is_not_read() {
    let mut bench = verified();
    bench.handle(In::Received { from: id(2), author: id(2) });
    let rows = bench.store.hot();
    let open = |change: &dyn Fn(&mut Person)| {
        let mut store = MemoryStore::default();
        for row in &rows {
            let mut person: Person = crate::wire::decode(&row.value, 1_000).unwrap();
            change(&mut person);
            let value = crate::wire::encode(&person);
            store.apply(Batch { seq: 0, ops: alloc::vec![Op::Put { table: row.table, key: row.key.clone(), value }] });
        }
        Book::restore(&store.hot(), 3, 2).is_ok()
    };
    assert!(open(&|_| {}));
    assert!(!open(&|p| p.petname = Some("a\nb".into())));
    assert!(!open(&|p| p.request = true));
    assert!(!open(&|p| (p.changed, p.verified) = (true, None)));
}

/// What is known of a person's devices goes with its list; the row and what it says of the person stay.
/// Mutations: an empty list is kept as one; devices of a list that is gone are still of the person.
#[test]
fn devices_of_a_person_go_with_its_list() {
    let mut bench = verified();
    let before = bench.machine.footprint();
    let listed = |devices: &[u8]| In::Devices { person: id(1), devices: devices.iter().map(|n| id(*n)).collect() };
    bench.handle(In::DevicesChanged { person: id(1), device: id(2) });
    let out = bench.handle(listed(&[1, 2]));
    let holds = |out: &[Out], n| {
        out.iter().rev().find_map(|o| match o {
            Out::Trust { node, held, .. } if *node == id(n) => Some(*held),
            _ => None,
        })
    };
    assert_eq!((holds(&out, 1), holds(&out, 2)), (Some(true), Some(true)), "{out:?}");
    assert!(bench.machine.is_held(id(2)) && bench.machine.footprint() > before);
    let out = bench.handle(listed(&[]));
    assert_eq!((holds(&out, 1), holds(&out, 2)), (Some(true), Some(false)), "{out:?}");
    assert!(!bench.machine.is_held(id(2)) && bench.machine.is_held(id(1)));
    assert_eq!(bench.machine.footprint(), before);
}

/// A muted person is muted with each device that comes, until the device is gone or the user ends it.
/// Mutations: the row's node alone is muted; a device that is gone stays muted.
#[test]
fn a_muted_person_is_muted_with_all_devices() {
    let mut bench = Bench::new();
    bench.add(1, None).unwrap();
    bench.run(Mute { node: id(1), muted: true }).0.unwrap();
    let out = bench.handle(In::Devices { person: id(1), devices: alloc::vec![id(1), id(2)] });
    let has = |out: &[Out], fact: &Fact| out.iter().any(|o| matches!(o, Out::Fact(f) if f == fact));
    assert!(has(&out, &Fact::Muted(id(2))), "{out:?}");
    let out = bench.handle(In::Devices { person: id(1), devices: alloc::vec![id(1), id(3)] });
    assert!(has(&out, &Fact::Unmuted(id(2))) && has(&out, &Fact::Muted(id(3))), "{out:?}");
    let (_, out) = bench.run(Mute { node: id(1), muted: false });
    assert!(has(&out, &Fact::Unmuted(id(1))) && has(&out, &Fact::Unmuted(id(3))), "{out:?}");
}

fn trust(b: &Bench, verified: bool, identity: u8, devices: &[NodeId]) -> In {
    let device = *devices.first().unwrap_or(&b.machine.me);
    let devices = crate::wire::registers::devices_digest(device, devices);
    let comparison = crate::wire::registers::Comparison { verified, device, identity: [identity; 32], devices };
    In::Shared(Register::Trust(id(1), Some(comparison)))
}

fn shared_contact(b: &mut Bench) {
    b.handle(In::Shared(Register::Contact(id(1), true)));
}

/// What a user compared on another device is of one key and one list.
/// Mutations: `set_trust` does not compare the key, or the devices; `end_wait` does not.
#[test]
fn a_shared_verification_is_of_its_key_and_its_list_only() {
    let state = |b: &Bench| b.machine.get(id(1)).unwrap().verification();
    // No key is known here: it is verified, and the session machine knows for which key.
    let mut b = Bench::new();
    shared_contact(&mut b);
    let said = b.handle(trust(&b, true, 1, &[id(1)]));
    assert_eq!(state(&b), Verification::Verified);
    let is_trusted = |out: &Out| matches!(out, Out::Trust { identity: Some(i), held: false, .. } if *i == [1; 32]);
    assert!(said.iter().any(is_trusted), "{said:?}");
    b.keys(1, 2);
    assert_eq!(state(&b), Verification::Changed, "another key comes later");
    // Another key is known here.
    let mut b = Bench::new();
    shared_contact(&mut b);
    b.keys(1, 2);
    let said = b.handle(trust(&b, true, 1, &[id(1)]));
    assert_eq!(state(&b), Verification::Changed);
    assert!(said.iter().any(|out| matches!(out, Out::Changed(_))), "{said:?}");
    let person = id(1);
    b.handle(In::Devices { person, devices: alloc::vec![id(1)] });
    assert_eq!(state(&b), Verification::Changed, "a list does not end that");
    // Other devices are known here: it is held until the list that was compared comes, also across a restart.
    let mut b = Bench::new();
    shared_contact(&mut b);
    b.keys(1, 1);
    b.handle(In::Devices { person, devices: alloc::vec![id(1), id(2)] });
    b.handle(trust(&b, true, 1, &[id(1), id(2), id(3)]));
    assert_eq!(state(&b), Verification::Changed);
    b.restart();
    b.handle(In::Devices { person, devices: alloc::vec![id(1), id(2), id(4)] });
    assert_eq!(state(&b), Verification::Changed, "another list");
    b.handle(In::Devices { person, devices: alloc::vec![id(1), id(2), id(3)] });
    assert_eq!(state(&b), Verification::Verified);
    // The first key was compared where the second is.
    let mut b = Bench::new();
    shared_contact(&mut b);
    b.keys(1, 2);
    b.handle(In::Devices { person, devices: alloc::vec![id(1)] });
    b.handle(trust(&b, true, 1, &[id(1), id(2)]));
    b.handle(In::Devices { person, devices: alloc::vec![id(1), id(2)] });
    assert_eq!(state(&b), Verification::Changed, "the list is right and the key is not");
}

/// Mutation: an accepted change ends any hold.
#[test]
fn a_change_that_was_accepted_elsewhere_ends_no_other_hold() {
    let mut b = Bench::new();
    shared_contact(&mut b);
    b.keys(1, 1);
    b.handle(trust(&b, true, 1, &[id(1)]));
    b.keys(1, 3);
    let state = |b: &Bench| b.machine.get(id(1)).unwrap().verification();
    b.handle(trust(&b, false, 2, &[id(1)]));
    assert_eq!(state(&b), Verification::Changed, "of another key");
    b.handle(trust(&b, false, 3, &[id(1), id(2)]));
    assert_eq!(state(&b), Verification::Changed, "with another list");
    b.handle(trust(&b, false, 3, &[id(1)]));
    assert_eq!(state(&b), Verification::Unverified);
}

/// Two own devices gave one name to two contacts. Which one shows it follows from the registers, and nothing is written
/// for that: where one of them has another name again, the other one shows it, whatever came first.
/// Mutations: the last one shows the name; applying a name shares one.
#[test]
fn a_name_given_twice_is_shown_by_the_lower_person() {
    let (one, other) = (id(1).min(id(2)), id(1).max(id(2)));
    for order in [[one, other], [other, one]] {
        let mut b = Bench::new();
        for node in order {
            b.handle(In::Shared(Register::Contact(node, true)));
            b.handle(In::Shared(Register::Petname(node, Some("anna".into()))));
        }
        let name = |b: &Bench, node| b.machine.petname(node).map(ToString::to_string);
        assert_eq!((name(&b, one), name(&b, other)), (Some("anna".into()), None));
        assert_eq!(b.run(Rename { node: other, petname: Some("anna".into()) }).0, Err(CommandError::NameTaken(one)));
        assert!(b.shared.is_empty(), "{:?}", b.shared);
        b.restart();
        assert_eq!((name(&b, one), name(&b, other)), (Some("anna".into()), None));
        b.handle(In::Shared(Register::Petname(one, Some("robert".into()))));
        assert_eq!((name(&b, one), name(&b, other)), (Some("robert".into()), Some("anna".into())));
    }
}

/// A contact was added by another device than the first of its person. Mutations: what is not set of the device any more
/// takes out the row that is its person's; a removal takes back the row's registers only.
#[test]
fn a_contact_known_by_a_later_device_is_one_person() {
    let mut a = Bench::new();
    a.add(2, Some("bob")).unwrap();
    let listed = || In::Devices { person: id(1), devices: alloc::vec![id(1), id(2)] };
    let said = a.handle(listed());
    assert!(said.iter().any(|o| matches!(o, Out::Moved { device, person } if (*device, *person) == (id(2), id(1)))));
    // The registers went to the person. The row stays.
    for register in [
        Register::Contact(id(1), true),
        Register::Petname(id(1), Some("bob".into())),
        Register::Contact(id(2), false),
        Register::Petname(id(2), None),
    ] {
        a.handle(In::Shared(register));
        assert_eq!((a.machine.iter().count(), a.machine.petname(id(2))), (1, Some("bob")));
    }
    a.shared.clear();
    a.run(Remove(id(2))).0.unwrap();
    for node in [id(1), id(2)] {
        assert!(a.shared.contains(&Register::Contact(node, false)) && a.shared.contains(&Register::Trust(node, None)));
    }
}

/// Mutations: a contact that is made anew shares no register for what it has not; `Mute` shares only what differs.
#[test]
fn a_contact_that_is_added_again_begins_anew_on_all_devices() {
    let mut b = Bench::new();
    b.add(2, None).unwrap();
    b.run(Remove(id(2))).0.unwrap();
    // Another device muted it meanwhile.
    b.handle(In::Shared(Register::Muted(id(2), true)));
    b.shared.clear();
    b.add(2, None).unwrap();
    for register in [Register::Petname(id(2), None), Register::Muted(id(2), false), Register::Trust(id(2), None)] {
        assert!(b.shared.contains(&register), "{:?}", b.shared);
    }
    b.shared.clear();
    b.run(Mute { node: id(2), muted: false }).0.unwrap();
    assert_eq!(b.shared, [Register::Muted(id(2), false)]);
}

/// Mutation: `shared` does not ask whose device a node is.
#[test]
fn an_own_device_becomes_no_contact_by_what_another_says() {
    let mut b = Bench::new();
    b.handle(In::Devices { person: id(0), devices: alloc::vec![id(0), id(1), id(2)] });
    b.handle(In::Shared(Register::Contact(id(2), true)));
    let comparison =
        crate::wire::registers::Comparison { verified: true, device: id(2), identity: [9; 32], devices: [9; 32] };
    assert!(b.handle(In::Shared(Register::Trust(id(2), Some(comparison)))).is_empty());
    assert_eq!(b.machine.iter().count(), 0);
}
