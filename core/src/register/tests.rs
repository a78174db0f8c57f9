//! Laws of the map, and what a device of the account may do with it.

use alloc::vec::Vec;

use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

use super::map::{Map, Present};
use super::wire::{Message, PAGE};
use super::{In, Out, Registers};
use crate::config::Config;
use crate::contract::who;
use crate::fact::samples::{down, up};
use crate::id::{ConversationId, MessageId, NodeId};
use crate::machine::{Cx, Machine, Outbox, Setup};
use crate::rng::Rng;
use crate::stats::{DropReason, Stats};
use crate::time::{Duration, Instant, WallTime};
use crate::wire::registers::{Comparison, Register, Stamped};
use crate::wire::{decode, encode};

fn node(n: u8) -> NodeId {
    who(n).node_id()
}

fn stamped(generation: u64, counter: u64, writer: u8, register: Register) -> Stamped {
    Stamped { generation, lowered: 0, counter, writer: NodeId([writer; 32]), register }
}

fn any_register() -> impl Strategy<Value = Register> {
    let of = (0u8..3).prop_map(|n| NodeId([n; 32]));
    (of, 0u8..4, any::<bool>(), 0u64..4).prop_map(|(node, kind, set, depth)| match kind {
        0 => Register::Contact(node, set),
        1 => Register::Petname(node, set.then(|| alloc::format!("{depth}"))),
        2 => Register::Blocked(node, set),
        _ => Register::Read(ConversationId(node.0), MessageId { depth, hash: [1; 32] }),
    })
}

fn any_stamped() -> impl Strategy<Value = Stamped> {
    let parts = (0u64..3, 1u64..4, 0u8..3, any_register());
    parts.prop_map(|(generation, counter, writer, register)| stamped(generation, counter, writer, register))
}

/// Takes registers as the machine does: what stands before what is held.
fn merge(map: &mut Map, all: &[Stamped]) {
    let mut out = Outbox::<()>::new();
    for stamped in all {
        if map.get(&stamped.register.key()).is_none_or(|held| stamped.stands_before(held)) {
            map.put(stamped.clone(), stamped.writer, Present { generation: 0, devices: &[] }, &mut out);
            map.check().unwrap();
        }
    }
}

proptest! {
    /// Mutations: what stands does not look at the content of two with one stamp; the register that gives way is the one
    /// that came first.
    #[test]
    fn order_and_repeats_do_not_matter(
        all in prop::collection::vec(any_stamped(), 0..40),
        twice in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        most in 3usize..12,
    ) {
        // Registers that say something never give way, so that only as many of them are there as there is room for.
        let said: Vec<_> = all.iter().filter(|s| !s.register.is_default()).map(|s| s.register.key()).collect();
        let said: crate::collections::OrderedSet<_> = said.into_iter().collect();
        let most = most.max(said.len());
        let (mut one, mut other) = (Map::new(most, most), Map::new(most, most));
        merge(&mut one, &all);
        let mut again: Vec<Stamped> = all.iter().rev().cloned().collect();
        again.extend(twice.iter().filter(|_| !all.is_empty()).map(|at| at.get(&all).clone()));
        merge(&mut other, &again);
        // Then they compare until nothing differs, as machines do.
        for _ in 0..3 {
            let (a, b): (Vec<_>, Vec<_>) = (one.iter().cloned().collect(), other.iter().cloned().collect());
            merge(&mut one, &b);
            merge(&mut other, &a);
        }
        let said = |map: &Map| map.iter().filter(|s| !s.register.is_default()).cloned().collect::<Vec<_>>();
        prop_assert_eq!(said(&one), said(&other));
    }
}

/// Mutations: `spare_of` takes any register; the share is that of the writer; an update needs a place.
#[test]
fn nothing_that_says_something_gives_way() {
    let mut map = Map::new(3, 2);
    let devices = [NodeId([1; 32]), NodeId([2; 32]), NodeId([3; 32])];
    let put = |map: &mut Map, n, from, set| {
        let register = Register::Blocked(NodeId([n; 32]), set);
        // The writer is any: the share is of the bringer.
        let stamped = stamped(1, 1, n, register);
        map.put(stamped, NodeId([from; 32]), Present { generation: 1, devices: &devices }, &mut Outbox::<()>::new())
    };
    assert!(put(&mut map, 1, 1, true));
    assert!(put(&mut map, 2, 1, false));
    assert!(put(&mut map, 3, 1, true), "what says nothing gives way");
    assert!(map.get(&blocked(2, true).key()).is_none());
    assert!(!put(&mut map, 4, 1, true), "the share of this device is full");
    assert!(put(&mut map, 4, 2, true), "another one has its own");
    assert!(!put(&mut map, 5, 3, true), "all places are taken");
    assert!(!put(&mut map, 6, 3, false));
    let held: Vec<Register> = map.iter().map(|s| s.register.clone()).collect();
    assert_eq!(held, [blocked(1, true), blocked(3, true), blocked(4, true)]);
    assert!(put(&mut map, 1, 1, false) && put(&mut map, 1, 1, true), "what is here changes, however full it is");
    map.check().unwrap();
}

struct Bench {
    machine: Registers,
    out: Outbox<Out>,
    rng: Rng,
    now: Instant,
}

impl Bench {
    /// A device of an account with others, all of them linked.
    fn new(me: u8, others: &[u8]) -> Self {
        let (mut rng, mut out, now) = (Rng::new([me; 32]), Outbox::new(), Instant::from_micros(1));
        let identity = who(me);
        let mut cx = Cx { now, wall: WallTime(1), me: identity.node_id(), rng: &mut rng };
        let setup = Setup { config: &Config::default(), identity: &identity };
        let machine = Registers::open(setup, Vec::new(), &mut cx, &mut out).unwrap();
        let mut bench = Self { machine, out, rng, now };
        bench.own(1, &[&[me], others].concat());
        for other in others {
            bench.with(|m, cx, out| m.fact(cx, &up(node(*other)), out));
        }
        bench.out.take();
        bench
    }

    fn with(&mut self, f: impl FnOnce(&mut Registers, &mut Cx<'_>, &mut Outbox<Out>)) -> Vec<Out> {
        let me = self.machine.me;
        let mut cx = Cx { now: self.now, wall: WallTime(1), me, rng: &mut self.rng };
        f(&mut self.machine, &mut cx, &mut self.out);
        self.machine.check().unwrap();
        self.out.take()
    }

    fn input(&mut self, input: In) -> Vec<Out> {
        self.with(|m, cx, out| m.handle(cx, input, out))
    }

    fn own(&mut self, generation: u64, devices: &[u8]) -> Vec<Out> {
        // A list follows the one that is here, or stands instead of it.
        let common = self.machine.generation.min(generation.saturating_sub(1));
        self.input(In::Own { generation, common, devices: devices.iter().map(|n| node(*n)).collect() })
    }

    fn opened(&mut self, from: u8, body: Vec<u8>) -> Vec<Out> {
        self.input(In::Opened { from: node(from), body })
    }

    fn page(&mut self, from: u8, page: &[Stamped]) -> Vec<Out> {
        self.opened(from, encode(&Message::Page(page.to_vec())))
    }

    /// Everything that is due.
    fn later(&mut self, by: Duration) -> Vec<Out> {
        self.now = self.now + by;
        self.with(|m, cx, out| m.handle_timeout(cx, out))
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        let mut stats = Stats::default();
        self.machine.count(&mut stats);
        stats.drops.get(reason)
    }

    fn holds(&self, register: &Register) -> bool {
        self.machine.map.get(&register.key()).is_some_and(|held| held.register == *register)
    }
}

fn blocked(n: u8, set: bool) -> Register {
    Register::Blocked(NodeId([n; 32]), set)
}

/// What is too long, not well formed, of too many registers, of another node or of a list that is not here yet changes
/// nothing and is counted. Mutations: each of these questions is left out.
#[test]
fn a_hostile_message_is_counted_and_changes_nothing() {
    let mut b = Bench::new(0, &[1]);
    let root = b.machine.map.root();
    let good = stamped(1, 1, 1, blocked(9, true));
    let long = encode(&Message::Page((0..200).map(|n| stamped(1, 1, 1, blocked(n, true))).collect()));
    assert!(long.len() < super::MAX_BYTES, "it decodes: {}", long.len());
    let name = Register::Petname(node(3), Some("a\u{7}".into()));
    let buckets = |n: usize| encode(&Message::Buckets { ask: false, sums: alloc::vec![1; n] });
    let messages = [
        alloc::vec![0xff; 40],
        encode(&Message::Page(alloc::vec![good.clone(); PAGE + 1])),
        long,
        alloc::vec![2; super::MAX_BYTES + 1],
        buckets(63),
        buckets(65),
    ];
    let count = messages.len() as u64;
    messages.into_iter().for_each(|body| assert!(b.opened(1, body).is_empty()));
    assert_eq!(b.dropped(DropReason::Message), count);
    for wrong in [
        stamped(2, 1, 1, blocked(9, true)),
        stamped(u64::MAX, 1, 1, blocked(9, true)),
        stamped(1, 0, 1, blocked(9, true)),
        stamped(1, 1, 1, name),
    ] {
        assert!(b.page(1, &[wrong]).is_empty());
    }
    assert_eq!(b.dropped(DropReason::Stale), 4);
    assert!(b.page(2, core::slice::from_ref(&good)).is_empty(), "of another account");
    assert_eq!(b.dropped(DropReason::Message), count + 1);
    assert_eq!(b.machine.map.root(), root);
    assert!(matches!(b.page(1, &[good])[..], [Out::Block { blocked: true, .. }]));
}

/// Mutations: `is_own` does not look for the sender, or not for this device.
#[test]
fn a_removed_device_is_not_listened_to_and_gets_nothing() {
    let mut b = Bench::new(0, &[1, 2]);
    b.own(2, &[0, 2]);
    assert!(b.page(1, &[stamped(1, 9, 1, blocked(9, true))]).is_empty());
    assert_eq!(b.dropped(DropReason::Message), 1);
    assert!(b.opened(1, encode(&Message::Have { root: [0; 16] })).is_empty());
    b.input(In::Share(blocked(8, true)));
    let said = b.later(Duration::from_secs(2));
    assert!(said.iter().all(|o| matches!(o, Out::Seal { to, .. } if *to == node(2))) && !said.is_empty(), "{said:?}");
    // This device was removed: it says nothing and takes nothing.
    b.own(3, &[2]);
    b.input(In::Share(blocked(7, true)));
    assert!(b.later(Duration::from_secs(2)).is_empty());
    assert!(b.page(2, &[stamped(1, 9, 2, blocked(9, true))]).is_empty());
}

/// A device may set registers to the last counter there is. What is set after its removal stands.
/// Mutations: generations are not compared; the counter goes on under a new generation.
#[test]
fn a_removed_device_freezes_no_register() {
    let mut b = Bench::new(0, &[1, 2]);
    let mark = Register::Read(ConversationId([1; 32]), MessageId { depth: u64::MAX, hash: [255; 32] });
    // Also in the name of a device that stays.
    let frozen = [stamped(1, u64::MAX, 255, blocked(9, true)), stamped(1, u64::MAX, 254, blocked(8, true))];
    b.page(1, &frozen);
    b.page(1, &[stamped(1, u64::MAX, 255, mark)]);
    b.input(In::Share(blocked(9, false)));
    assert!(b.holds(&blocked(9, true)), "it can as long as it is a device of the account");
    b.own(2, &[0, 2]);
    let read = Register::Read(ConversationId([1; 32]), MessageId { depth: 5, hash: [0; 32] });
    for register in [blocked(9, false), blocked(8, false), read] {
        b.input(In::Share(register.clone()));
        assert!(b.holds(&register), "{register:?}");
    }
    for set in [true, false] {
        b.input(In::Share(blocked(9, set)));
        assert!(b.holds(&blocked(9, set)), "and what is set after that");
    }
    // The other device takes it too.
    let mut other = Bench::new(2, &[0, 1]);
    other.page(1, &frozen);
    other.own(2, &[0, 2]);
    let page: Vec<Stamped> = b.machine.map.iter().cloned().collect();
    other.page(0, &page);
    assert_eq!(other.machine.map.root(), b.machine.map.root());
}

/// A list may stand instead of one with more generations before it. Mutation: `lower` does nothing.
#[test]
fn registers_of_a_replaced_list_are_under_the_one_that_stands() {
    let mut b = Bench::new(0, &[1]);
    b.own(7, &[0, 1]);
    b.input(In::Share(blocked(9, true)));
    b.own(5, &[0, 1]);
    b.input(In::Share(blocked(9, false)));
    assert!(b.holds(&blocked(9, false)));
    let mut other = Bench::new(1, &[0]);
    other.own(5, &[0, 1]);
    let page: Vec<Stamped> = b.machine.map.iter().cloned().collect();
    other.page(0, &page);
    assert_eq!(other.dropped(DropReason::Stale), 0);
    assert!(other.holds(&blocked(9, false)));
}

/// Mutation: `pass_on` does not look whom a block is for.
#[test]
fn a_device_does_not_cut_off_another_of_its_account() {
    let mut b = Bench::new(0, &[1, 2]);
    let of = |n| stamped(1, 1, 1, Register::Blocked(node(n), true));
    assert!(b.page(1, &[of(0), of(2)]).is_empty());
    assert_eq!(b.page(1, &[of(3)]).len(), 1);
}

/// Mutation: `Suggest` writes what is set already.
#[test]
fn what_follows_from_history_does_not_undo_what_the_user_did() {
    let mut b = Bench::new(0, &[1]);
    let contact = |set| Register::Contact(node(3), set);
    assert_eq!(b.input(In::Suggest(contact(true))).len(), 1, "nothing is known of it");
    b.input(In::Share(contact(false)));
    assert!(b.input(In::Suggest(contact(true))).is_empty());
    assert!(b.holds(&contact(false)));
}

/// Two machines that say all to each other, until nothing is left to say: far more than one answer holds.
/// Mutations: an answer begins at the same place each time; one that does not hold all leads to no other.
#[test]
fn many_registers_come_over_in_parts() {
    let mut pair = [Bench::new(0, &[1]), Bench::new(1, &[0])];
    let key = |n: u16| {
        let mut id = [7; 32];
        // All in one part of the map.
        id[1..3].copy_from_slice(&n.to_le_bytes());
        Register::Blocked(NodeId(id), true)
    };
    for n in 0..1_300 {
        let at = usize::from(n) % 2;
        pair[at].with(|m, _, out| {
            let writer = m.me;
            let stamped = Stamped { generation: 1, lowered: 0, counter: 1, writer, register: key(n) };
            m.map.put(stamped, writer, Present { generation: 1, devices: &[] }, out);
        });
    }
    let mut mail: Vec<(usize, Vec<u8>)> = Vec::new();
    for (n, b) in pair.iter_mut().enumerate() {
        let other = node(1 - n as u8);
        let said = b.with(|m, cx, out| {
            m.fact(cx, &down(other), out);
            m.fact(cx, &up(other), out);
        });
        mail.extend(
            said.into_iter().filter_map(|o| if let Out::Seal { body, .. } = o { Some((1 - n, body)) } else { None }),
        );
    }
    for _ in 0..40 {
        for (to, body) in core::mem::take(&mut mail) {
            assert!(decode::<Message>(&body, super::MAX_BYTES).is_ok());
            let said = pair[to].opened(1 - to as u8, body);
            mail.extend(
                said.into_iter()
                    .filter_map(|o| if let Out::Seal { body, .. } = o { Some((1 - to, body)) } else { None }),
            );
        }
        for (n, b) in pair.iter_mut().enumerate() {
            let said = b.later(Duration::from_millis(100));
            mail.extend(
                said.into_iter()
                    .filter_map(|o| if let Out::Seal { body, .. } = o { Some((1 - n, body)) } else { None }),
            );
        }
    }
    assert_eq!(pair[0].machine.map.len(), 1_300);
    assert_eq!(pair[0].machine.map.root(), pair[1].machine.map.root());
}

/// A removed device made lists up and set registers under them. Mutation: `lower` puts registers under the list that
/// stands.
#[test]
fn registers_of_replaced_lists_rank_below_later_settings() {
    let mut b = Bench::new(0, &[1, 2]);
    b.own(7, &[0, 1, 2]);
    b.page(1, &[stamped(7, u64::MAX, 255, blocked(9, false))]);
    b.own(2, &[0, 2]);
    b.input(In::Share(blocked(9, true)));
    assert!(b.holds(&blocked(9, true)));
}

/// What was set under a list that gave way was set after what is of the list before it.
/// Mutations: `lower` forgets the generation that a register had, or takes its counter for one of the common list.
#[test]
fn registers_of_lists_that_gave_way_stay_in_order() {
    let (mut a, mut b) = (Bench::new(0, &[1]), Bench::new(1, &[0]));
    for n in 0..9 {
        a.input(In::Share(blocked(9, n % 2 == 1)));
        a.input(In::Share(blocked(8, true)));
    }
    let page: Vec<Stamped> = a.machine.map.iter().cloned().collect();
    b.page(0, &page);
    a.own(5, &[0, 1]);
    a.input(In::Share(blocked(9, true)));
    a.own(6, &[0, 1]);
    a.input(In::Share(blocked(9, false)));
    // Only the first list is of both chains.
    let (generation, common) = (2, 1);
    a.input(In::Own { generation, common, devices: alloc::vec![node(0), node(1)] });
    b.own(2, &[0, 1]);
    let page: Vec<Stamped> = b.machine.map.iter().cloned().collect();
    a.page(1, &page);
    assert!(a.holds(&blocked(9, false)), "the last that the user set");
    let page: Vec<Stamped> = a.machine.map.iter().cloned().collect();
    b.page(0, &page);
    assert!(b.holds(&blocked(9, false)));
    assert_eq!(a.machine.map.root(), b.machine.map.root());
}

/// Mutation: `own` does not look at the blocks of a removed device.
#[test]
fn a_block_of_a_device_holds_from_its_removal() {
    let mut b = Bench::new(0, &[1, 2]);
    assert!(b.page(1, &[stamped(1, 1, 1, Register::Blocked(node(2), true))]).is_empty());
    let said = b.own(2, &[0, 1]);
    assert!(said.iter().any(|o| matches!(o, Out::Block { peer, blocked: true } if *peer == node(2))), "{said:?}");
}

/// Mutation: a suggestion is of the newest list.
#[test]
fn a_suggestion_ranks_below_what_the_user_set_under_any_list() {
    let mut new = Bench::new(1, &[0]);
    new.own(2, &[0, 1]);
    let contact = |set| Register::Contact(node(3), set);
    new.input(In::Suggest(contact(true)));
    assert!(new.holds(&contact(true)));
    new.page(0, &[stamped(1, 5, 0, contact(false))]);
    assert!(new.holds(&contact(false)));
}

/// Mutations: `share` is silent if nothing differs; `take` is.
#[test]
fn what_the_user_does_again_is_done_again_on_all_devices() {
    let (mut a, mut b) = (Bench::new(0, &[1]), Bench::new(1, &[0]));
    for n in 1..4 {
        a.input(In::Share(blocked(9, true)));
        let page: Vec<Stamped> = a.machine.map.iter().cloned().collect();
        assert_eq!(page.first().map(|s| s.counter), Some(n));
        assert!(matches!(b.page(0, &page)[..], [Out::Block { blocked: true, .. }]));
        assert!(b.page(0, &page).is_empty(), "it is the same write");
    }
    let read = Register::Read(ConversationId([1; 32]), MessageId { depth: 5, hash: [0; 32] });
    assert_eq!(a.input(In::Share(read.clone())).len(), 1);
    assert!(a.input(In::Share(read)).is_empty(), "a mark is where it is");
}

/// Mutations: `take` or `share` does not ask whose device a node is; a register stays when its node becomes an own device.
#[test]
fn of_own_devices_nothing_is_shared_as_of_other_people() {
    let mut b = Bench::new(0, &[1, 2]);
    let all = |n: u8| {
        let comparison = Comparison { verified: true, device: node(n), identity: [9; 32], devices: [9; 32] };
        [
            Register::Contact(node(n), true),
            Register::Petname(node(n), Some("x".into())),
            Register::Muted(node(n), true),
            Register::Trust(node(n), Some(comparison)),
        ]
    };
    for register in all(0).into_iter().chain(all(2)) {
        assert!(b.page(1, &[stamped(1, 1, 1, register.clone())]).is_empty(), "{register:?}");
        assert!(b.input(In::Share(register.clone())).is_empty());
        assert!(b.input(In::Suggest(register)).is_empty());
    }
    assert_eq!((b.dropped(DropReason::Stale), b.machine.map.len()), (8, 0));
    all(3).into_iter().for_each(|register| drop(b.input(In::Share(register))));
    assert_eq!(b.machine.map.len(), 4);
    b.own(2, &[0, 1, 2, 3]);
    assert_eq!(b.machine.map.len(), 0);
}

/// Mutation: `mark` does not look at the writer, or `own` says no marks.
#[test]
fn a_mark_counts_while_its_writer_is_a_device() {
    let mut b = Bench::new(0, &[1, 2]);
    let conversation = ConversationId([1; 32]);
    let far = MessageId { depth: u64::MAX, hash: [255; 32] };
    let marks = |said: &[Out]| -> Vec<Option<MessageId>> {
        said.iter().filter_map(|o| if let Out::Read { upto, .. } = o { Some(*upto) } else { None }).collect()
    };
    let by = Stamped { writer: node(1), ..stamped(1, 1, 1, Register::Read(conversation, far)) };
    assert_eq!(marks(&b.page(1, &[by])), [Some(far)]);
    assert_eq!(marks(&b.own(2, &[0, 1, 2])), [Some(far)]);
    assert_eq!(marks(&b.own(3, &[0, 2])), [None]);
    let read = MessageId { depth: 5, hash: [0; 32] };
    assert_eq!(marks(&b.input(In::Share(Register::Read(conversation, read)))), [Some(read)], "also of this device");
    assert_eq!(marks(&b.own(4, &[0, 2])), [Some(read)]);
}

/// Two devices learn of a list on their own and write the same.
/// Mutations: the device's register stays; the stamp is a new one of the device that moves; a removal of the person before
/// stands.
#[test]
fn settings_of_a_device_become_its_persons_alike_on_all_devices() {
    let (mut a, mut b) = (Bench::new(0, &[1]), Bench::new(1, &[0]));
    let (device, person) = (node(4), node(3));
    a.input(In::Share(Register::Contact(person, true)));
    a.input(In::Share(Register::Contact(person, false)));
    a.input(In::Share(Register::Contact(device, true)));
    a.input(In::Share(Register::Petname(device, Some("bob".into()))));
    let page: Vec<Stamped> = a.machine.map.iter().cloned().collect();
    b.page(0, &page);
    for bench in [&mut a, &mut b] {
        assert!(bench.input(In::Moved { device, person }).iter().all(|o| matches!(o, Out::Seal { .. })));
        assert!(bench.holds(&Register::Contact(person, true)) && bench.holds(&Register::Contact(device, false)));
        assert!(bench.holds(&Register::Petname(person, Some("bob".into()))));
        assert!(bench.holds(&Register::Petname(device, None)));
    }
    assert_eq!(a.machine.map.root(), b.machine.map.root());
    let root = a.machine.map.root();
    a.input(In::Moved { device, person });
    assert_eq!(a.machine.map.root(), root, "once");
}

/// Mutations: `spare` does not look for a device that left; what is of an earlier list takes the place of what is new.
#[test]
fn what_a_removed_device_filled_gives_way() {
    let devices = [NodeId([1; 32]), NodeId([2; 32])];
    let mut map = Map::new(4, 4);
    let put = |map: &mut Map, n, from, generation| {
        let present = Present { generation, devices: &devices };
        let stamped = stamped(generation.min(u64::from(n)), 1, 2, blocked(n, true));
        map.put(stamped, NodeId([from; 32]), present, &mut Outbox::<()>::new())
    };
    // Of device 3, in the name of device 2, which is in the list.
    (1..5).for_each(|n| assert!(put(&mut map, n, 3, 1)));
    assert!(!put(&mut map, 9, 1, 1), "under the same list it keeps them");
    assert!(put(&mut map, 10, 1, 2) && put(&mut map, 11, 1, 2));
    assert!(!put(&mut map, 1, 2, 2), "what gave way does not come back");
    let held: Vec<Register> = map.iter().map(|s| s.register.clone()).collect();
    assert_eq!(held, [blocked(3, true), blocked(4, true), blocked(10, true), blocked(11, true)]);
    map.check().unwrap();
}
