use alloc::vec::Vec;

use super::*;
use crate::config::Config;
use crate::contract::who;
use crate::fact::samples::record;
use crate::machine::{Command, Emit};
use crate::rng::Rng;
use crate::time::Duration;

struct Bench {
    machine: Devices,
    out: Outbox<Out>,
    rng: Rng,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let (mut rng, mut out, identity) = (Rng::new([0; 32]), Outbox::new(), who(0));
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(1), me: who(0).node_id(), rng: &mut rng };
        let setup = Setup { config: &Config::default(), identity: &identity };
        let machine = Devices::open(setup, Vec::new(), &mut cx, &mut out).unwrap();
        Self { machine, out, rng, now: Instant::ZERO }
    }

    fn took(&mut self) -> Vec<Out> {
        let mut all = Vec::new();
        while let Some(emit) = self.out.pop() {
            match emit {
                Emit::Now(out) | Emit::Committed(out) => all.push(out),
                Emit::Store(_) => {}
            }
        }
        all
    }

    fn step<T>(&mut self, act: impl FnOnce(&mut Devices, &mut Cx<'_>, &mut Outbox<Out>) -> T) -> (T, Vec<Out>) {
        self.now = self.now + Duration::from_secs(2);
        let mut cx = Cx { now: self.now, wall: WallTime(1), me: who(0).node_id(), rng: &mut self.rng };
        let answer = act(&mut self.machine, &mut cx, &mut self.out);
        (answer, self.took())
    }

    fn handle(&mut self, input: In) -> Vec<Out> {
        self.step(|machine, cx, out| machine.handle(cx, input, out)).1
    }

    fn up(&mut self, n: u8) {
        let addr = core::net::SocketAddr::from(([10, 0, 0, 1], 4_000));
        let fact = Fact::LinkUp { peer: who(n).node_id(), record: record(n), addr };
        self.step(|machine, cx, out| machine.fact(cx, &fact, out));
    }

    fn bring(&mut self, from: u8, chain: &Chain) -> Vec<Out> {
        let body = encode(&Message::Lists(Blob(chain.encode())));
        self.handle(In::Message { from: who(from).node_id(), body })
    }
}

/// A stranger that wrote brings the accounts of others, and many in which it is. Mutations: a met node brings any
/// account; as many as it likes.
#[test]
fn a_stranger_brings_its_own_account_and_no_other() {
    let mut bench = Bench::new();
    bench.up(9);
    bench.handle(In::Meet(who(9).node_id()));
    let before = bench.machine.lists.len();
    for n in 1..6 {
        bench.bring(9, &Chain::begin(&who(n)));
    }
    assert_eq!(bench.machine.lists.len(), before, "accounts of others");
    for n in 1..6 {
        let cert = who(9).ask_cert(who(n).account().keys, "nine", WallTime(1));
        bench.bring(9, &Chain::begin(&who(n)).add(&who(n), cert, WallTime(1)).unwrap());
    }
    bench.bring(9, &Chain::begin(&who(9)));
    assert_eq!(bench.machine.lists.len(), before + 2);
}

/// The thief of a first device's key begins another account with it. Mutation: the newest account of a person stands.
#[test]
fn a_person_is_of_the_account_that_is_here() {
    let mut bench = Bench::new();
    bench.up(1);
    bench.handle(In::Contact { node: who(1).node_id(), kept: true });
    let person = who(1).node_id();
    let taken = |outs: Vec<Out>| outs.iter().any(|out| matches!(out, Out::Devices { person: p, .. } if *p == person));
    assert!(taken(bench.bring(1, &Chain::begin(&who(1)))));
    let keys = crate::identity::AccountKeys { first: who(1).public_key(), ..who(7).account().keys };
    let account = crate::identity::Account::new(&who(7).account().secret(), keys).unwrap();
    let thief = who(1).with_account(account, "thief".into());
    assert!(!taken(bench.bring(1, &Chain::begin(&thief))));
    assert_eq!(bench.machine.lists.of_person(person).unwrap().keys(), &who(1).account().keys);
}

/// Mutation: `Want` is answered to anyone.
#[test]
fn who_is_a_contact_here_concerns_no_third_node() {
    let mut bench = Bench::new();
    bench.up(1);
    bench.handle(In::Contact { node: who(1).node_id(), kept: true });
    bench.bring(1, &Chain::begin(&who(1)));
    bench.up(9);
    let ask = |account| encode(&Message::Want { account });
    let given = |outs: Vec<Out>| outs.iter().filter(|out| matches!(out, Out::Send { .. })).count();
    let of_contact = ask(who(1).account_id());
    assert_eq!(given(bench.handle(In::Message { from: who(9).node_id(), body: of_contact.clone() })), 0);
    assert_eq!(given(bench.handle(In::Message { from: who(1).node_id(), body: of_contact })), 1);
    let own = ask(who(0).account_id());
    assert_eq!(given(bench.handle(In::Message { from: who(9).node_id(), body: own })), 1);
}

/// A device of which a clock was years ahead when it began its own account. Mutation: the certificate made last decides.
#[test]
fn a_device_is_of_the_account_that_it_joined() {
    let mut bench = Bench::new();
    for n in [1, 2] {
        bench.up(n);
        bench.handle(In::Contact { node: who(n).node_id(), kept: true });
    }
    let cert = who(2).ask_cert(who(1).account().keys, "two", WallTime(0));
    let joined = Chain::begin(&who(1)).add(&who(1), cert, WallTime(1)).unwrap();
    bench.bring(1, &joined);
    bench.bring(2, &Chain::begin(&who(2)));
    let account = bench.machine.lists.of_node(who(2).node_id()).map(|c| c.keys().id());
    assert_eq!(account, Some(who(1).account_id()));
}

/// Renaming works whatever others keep here. Mutation: the own account counts in the total.
#[test]
fn the_own_account_always_has_space() {
    let mut bench = Bench::new();
    bench.machine.lists.fill(&[who(1), who(2), who(3), who(4)], 1 << 20);
    bench.handle(In::Contact { node: who(1).node_id(), kept: true });
    let (answer, _) = bench.step(|machine, cx, out| RenameDevice("new".into()).run(machine, cx, out));
    assert_eq!((answer, bench.machine.identity.name()), (Ok(()), "new"));
    // A stranger gives way to a contact.
    bench.up(5);
    bench.handle(In::Contact { node: who(5).node_id(), kept: true });
    bench.bring(5, &Chain::begin(&who(5)));
    let here = [1, 5].map(|n| bench.machine.lists.of_node(who(n).node_id()).is_some());
    assert_eq!(here, [true, true]);
    assert_eq!(bench.machine.lists.len(), 5, "one of four is gone");
}
