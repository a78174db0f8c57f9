use super::*;
use crate::collections::short;
use crate::fact::samples::{down, up};
use crate::time::WallTime;
use alloc::vec;
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

const ME: NodeId = NodeId([1; 32]);
const BOB: NodeId = NodeId([2; 32]);

struct Bench {
    delivery: Delivery,
    rng: Rng,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let mut rng = Rng::new([0; 32]);
        Self { delivery: Delivery::new(&Config::default(), &mut rng), rng, now: Instant::ZERO }
    }

    fn step(&mut self, f: impl FnOnce(&mut Delivery, &mut Cx<'_>, &mut Outbox<Out>)) -> Vec<Out> {
        let mut out = Outbox::new();
        let mut cx = Cx { now: self.now, wall: WallTime(0), me: ME, rng: &mut self.rng };
        f(&mut self.delivery, &mut cx, &mut out);
        out.take()
    }

    fn fact(&mut self, fact: Fact) -> Vec<Out> {
        self.step(|m, cx, out| m.fact(cx, &fact, out))
    }

    fn reserve(&mut self, len: usize) -> bool {
        let mut fits = false;
        self.step(|d, cx, out| fits = Reserve { messages: 1, bytes: len }.run(d, cx, out));
        fits
    }

    fn input(&mut self, input: In) -> Vec<Out> {
        let out = self.step(|d, cx, out| d.handle(cx, input, out));
        let mut all = Vec::new();
        for o in out {
            match o {
                Out::AcksDue => all.extend(self.input(In::AcksDue)),
                other => all.push(other),
            }
        }
        all
    }

    /// Submits a message and reports that it is stored.
    fn submit(&mut self, n: u8) -> Vec<Out> {
        let mut all = Vec::new();
        for o in self.input(In::Submit { to: BOB, ids: vec![id(n)], body: vec![n; 10] }) {
            match o {
                Out::Stored { to, order } => all.extend(self.input(In::Stored { to, order })),
                other => all.push(other),
            }
        }
        all
    }

    /// Sleeps to each deadline up to `until`: the outputs, each with its second.
    fn run(&mut self, until: u64) -> Vec<(u64, Out)> {
        let mut all = Vec::new();
        while let Some(at) = self.delivery.next_deadline().filter(|at| at.as_micros() <= until * 1_000_000) {
            self.now = at;
            let out = self.step(|d, cx, out| d.handle_timeout(cx, out));
            assert!(self.delivery.next_deadline().is_none_or(|d| d > self.now), "law 1");
            all.extend(out.into_iter().map(|o| (at.as_micros() / 1_000_000, o)));
        }
        self.now = Instant::from_micros(until * 1_000_000);
        all
    }
}

fn id(n: u8) -> MessageId {
    MessageId { depth: 1, hash: [n; 32] }
}

/// Opened in the session with Bob; no two are sealed alike.
fn from_bob(m: Message<'_>) -> In {
    static SEALED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);
    let digest = [SEALED.fetch_add(1, core::sync::atomic::Ordering::Relaxed); 16];
    In::Message { from: BOB, digest, body: m.encode() }
}

fn sends(out: &[Out]) -> usize {
    out.iter().filter(|o| matches!(o, Out::Send { .. })).count()
}

#[test]
fn nothing_is_sent_before_it_is_stored() {
    let mut b = Bench::new();
    b.fact(up(BOB));
    let out = b.input(In::Submit { to: BOB, ids: vec![id(1)], body: vec![1] });
    assert_eq!(sends(&out), 0);
    assert_eq!(sends(&b.input(In::Stored { to: BOB, order: 1 })), 1);
}

/// Mutations: a parked message has no time at which it goes again; the pause has no limit.
#[test]
fn retries_double_and_never_stop_while_the_link_is_up() {
    let mut b = Bench::new();
    b.fact(up(BOB));
    assert_eq!(sends(&b.submit(1)), 1);
    let times: Vec<u64> = b.run(3_600).into_iter().map(|(at, _)| at).collect();
    let pauses: Vec<u64> = core::iter::once(&0).chain(&times).zip(&times).map(|(a, b)| b - a).collect();
    // Each is up to 20 % off, and times are whole seconds.
    let ideal = [1u64, 2, 4, 8, 16, 32, 64, 128, 256].into_iter().chain(core::iter::repeat(512));
    assert!(times.len() >= 12, "{times:?}");
    for (pause, ideal) in pauses.iter().zip(ideal) {
        assert!((ideal * 8 / 10..=ideal * 12 / 10 + 2).contains(&(pause + 1)), "{times:?}");
    }
    assert_eq!(b.delivery.queued(BOB), 1, "still kept");
    b.fact(down(BOB));
    assert_eq!(b.run(7_200), [], "nothing goes to a peer without a link");
    assert_eq!(sends(&b.fact(up(BOB))), 1, "the peer returned");
}

/// Fails if what was repeated in vain keeps its place: one message that the receiver cannot take would hold up all.
#[test]
fn parked_messages_take_no_place_in_the_window() {
    let mut b = Bench::new();
    b.delivery.config.delivery.window = 2;
    b.fact(up(BOB));
    (1..=3).for_each(|n| drop(b.submit(n)));
    let third = |(at, o): &(u64, Out)| matches!(o, Out::Send { order: Some(3), .. }).then_some(*at);
    let first = b.run(200).iter().find_map(third);
    assert!(first.is_some_and(|at| (63 * 8 / 10..=63 * 12 / 10).contains(&at)), "{first:?}");
}

#[test]
fn an_ack_removes_its_message_and_sends_parked_ones() {
    let mut b = Bench::new();
    b.fact(up(BOB));
    b.submit(1);
    b.submit(2);
    b.run(1_000);
    let out = b.input(from_bob(Message::Ack { ids: &[short(&id(1).hash)] }));
    assert!(out.contains(&Out::Delivered { to: BOB, id: id(1) }));
    assert_eq!(sends(&out), 1, "message 2 goes again");
    let out = b.input(from_bob(Message::Ack { ids: &[short(&id(2).hash)] }));
    assert!(out.contains(&Out::Unwant(BOB)), "every Want has its Unwant");
    assert_eq!(b.delivery.total(), 0);
}

#[test]
fn only_the_receiver_can_acknowledge() {
    let mut b = Bench::new();
    b.fact(up(BOB));
    b.submit(1);
    let mallory = NodeId([9; 32]);
    let out = b.input(In::Message {
        from: mallory,
        digest: [9; 16],
        body: Message::Ack { ids: &[short(&id(1).hash)] }.encode(),
    });
    assert_eq!(out, []);
    assert_eq!(b.delivery.queued(BOB), 1);
}

#[test]
fn a_repeat_is_acknowledged_without_validation() {
    let mut b = Bench::new();
    let carry = Message::Carry { id: [7; 16], body: &[1, 2] };
    let out = b.input(from_bob(carry));
    assert_eq!(out, [Out::Received { from: BOB, id: [7; 16], body: vec![1, 2] }]);
    let ack =
        Out::Send { to: BOB, order: None, priority: Priority::High, body: Message::Ack { ids: &[[7; 16]] }.encode() };
    assert_eq!(b.input(In::Validated { from: BOB, id: [7; 16], accepted: true }), core::slice::from_ref(&ack));
    assert_eq!(b.input(from_bob(carry)), [ack], "it is not validated again");
}

// A repeat does not open: its key is gone. Fails if an answer is not remembered, or one node gets another's.
#[test]
fn an_unreadable_repeat_gets_the_answer_of_the_first_time() {
    let mut b = Bench::new();
    let carry =
        |n: u8| In::Message { from: BOB, digest: [n; 16], body: Message::Carry { id: [n; 16], body: &[n] }.encode() };
    let again = |n: u8| In::Unopened { from: BOB, digest: [n; 16] };
    (1..=3).for_each(|n| drop(b.input(carry(n))));
    b.input(In::Validated { from: BOB, id: [1; 16], accepted: true });
    b.input(In::Validated { from: BOB, id: [2; 16], accepted: false });
    let send = |m: Message<'_>| [Out::Send { to: BOB, order: None, priority: Priority::High, body: m.encode() }];
    assert_eq!(b.input(again(1)), send(Message::Ack { ids: &[[1; 16]] }));
    assert_eq!(b.input(again(2)), send(Message::Refuse { id: [2; 16] }));
    assert_eq!(b.input(again(3)), [Out::Received { from: BOB, id: [3; 16], body: vec![3] }], "no verdict yet");
    assert_eq!(b.input(again(4)), [Out::Lost(BOB)]);
    let eve = NodeId([5; 32]);
    assert_eq!(b.input(In::Unopened { from: eve, digest: [1; 16] }), [Out::Lost(eve)]);
    b.now = b.now + REMEMBER;
    b.input(carry(9));
    assert_eq!(b.input(again(1)), [Out::Lost(BOB)], "after its time");
}

// Fails if `Ready` leaves what is under way alone: it would wait for its next repetition.
#[test]
fn a_new_session_sends_at_once_what_waits() {
    let mut b = Bench::new();
    b.fact(up(BOB));
    b.submit(1);
    b.submit(2);
    let out = b.input(In::Ready(BOB));
    let orders: Vec<_> =
        out.iter().filter_map(|o| if let Out::Send { order, .. } = o { *order } else { None }).collect();
    assert_eq!(orders, [1, 2]);
    let out = b.input(from_bob(Message::Ack { ids: &[short(&id(1).hash)] }));
    assert!(out.contains(&Out::Forget { to: BOB, order: 1 }));
}

/// Of a device that is no device of its person any more, and of a node that is blocked. Mutations: `orders` gives
/// nothing, or `give_up` reports nothing.
#[test]
fn what_is_given_up_leaves_the_outbox_and_is_not_sent() {
    for blocked in [false, true] {
        let mut b = Bench::new();
        (1..=3).for_each(|n| drop(b.submit(n)));
        let out = if blocked { b.fact(Fact::Blocked(BOB)) } else { b.input(In::GiveUp(BOB)) };
        let reported: Vec<_> = out.iter().filter(|o| matches!(o, Out::Blocked { .. })).collect();
        let all: Vec<_> = (1..=3).map(|n| Out::Blocked { to: BOB, id: id(n) }).collect();
        assert_eq!(reported, if blocked { all.iter().collect() } else { vec![] });
        assert!(out.contains(&Out::Unwant(BOB)), "{out:?}");
        assert_eq!(sends(&b.fact(up(BOB))) + sends(&b.input(In::Ready(BOB))), 0);
        assert_eq!(b.run(1_000), []);
    }
}

#[test]
fn messages_stored_together_are_acknowledged_together() {
    let mut b = Bench::new();
    let eve = NodeId([5; 32]);
    let validated = |from, n: u8| In::Validated { from, id: [n; 16], accepted: true };
    let out = b.step(|d, cx, out| {
        for n in 0..70 {
            d.handle(cx, validated(BOB, n), out);
        }
        d.handle(cx, validated(eve, 99), out);
        d.handle(cx, In::Validated { from: BOB, id: [98; 16], accepted: false }, out);
    });
    assert_eq!(out.iter().filter(|o| **o == Out::AcksDue).count(), 1, "asked for once");
    assert_eq!(sends(&out), 1, "only the refusal goes at once");
    let acks = |to, ids: core::ops::Range<u8>| {
        let ids: Vec<ShortId> = ids.map(|n| [n; 16]).collect();
        Out::Send { to, order: None, priority: Priority::High, body: Message::Ack { ids: &ids }.encode() }
    };
    assert_eq!(b.input(In::AcksDue), [acks(BOB, 0..64), acks(BOB, 64..70), acks(eve, 99..100)]);
    assert_eq!(b.input(In::AcksDue), [], "and none twice");
}

#[test]
fn one_acknowledgement_of_many_removes_each() {
    let mut b = Bench::new();
    b.fact(up(BOB));
    (0..4).for_each(|n| drop(b.submit(n)));
    let ids = [short(&id(1).hash), [77; 16], short(&id(3).hash), short(&id(1).hash)];
    let out = b.input(from_bob(Message::Ack { ids: &ids }));
    let delivered: Vec<_> = out.iter().filter(|o| matches!(o, Out::Delivered { .. })).collect();
    assert_eq!(delivered, [&Out::Delivered { to: BOB, id: id(1) }, &Out::Delivered { to: BOB, id: id(3) }]);
    assert_eq!(b.delivery.queued(BOB), 2);
    assert_eq!(b.delivery.drops.get(DropReason::Duplicate), 2, "unknown or repeated");
}

/// Mutations: only the last message of a run is reported, or counted; any of its ids acknowledges it.
#[test]
fn a_run_is_acknowledged_by_its_last_message_for_all() {
    let mut b = Bench::new();
    b.fact(up(BOB));
    let out = b.input(In::Submit { to: BOB, ids: vec![id(1), id(2), id(3)], body: vec![9; 10] });
    assert_eq!(out.iter().filter(|o| matches!(o, Out::Stored { .. })).count(), 1);
    assert_eq!(sends(&b.input(In::Stored { to: BOB, order: 1 })), 1, "one message carries it");
    assert_eq!((b.delivery.queued(BOB), b.delivery.total()), (3, 3));
    assert!((1..=3).all(|n| b.delivery.is_queued(id(n))));
    let ack = |n: u8| from_bob(Message::Ack { ids: &[short(&id(n).hash)] });
    assert_eq!(b.input(ack(1)), [], "not its name");
    let out = b.input(ack(3));
    let delivered: Vec<_> = out.iter().filter(|o| matches!(o, Out::Delivered { .. })).collect();
    let all: Vec<_> = (1..=3).map(|n| Out::Delivered { to: BOB, id: id(n) }).collect();
    assert_eq!(delivered, all.iter().collect::<Vec<_>>());
    assert_eq!(b.delivery.total(), 0);
}

#[test]
fn refused_and_expired_messages_are_reported() {
    let mut b = Bench::new();
    b.fact(up(BOB));
    b.submit(1);
    b.submit(2);
    let out = b.input(from_bob(Message::Refuse { id: short(&id(1).hash) }));
    assert!(out.contains(&Out::Refused { to: BOB, id: id(1) }));
    let out = b.run(31 * 86_400);
    assert!(out.iter().any(|(_, o)| *o == Out::Expired { to: BOB, id: id(2) }));
}

#[test]
fn the_window_bounds_messages_under_way() {
    let mut b = Bench::new();
    b.delivery.config.delivery.window = 3;
    b.fact(up(BOB));
    let sent: usize = (0..10).map(|n| sends(&b.submit(n))).sum();
    assert_eq!(sent, 3);
    assert_eq!(sends(&b.input(from_bob(Message::Ack { ids: &[short(&id(0).hash)] }))), 1);
}

#[test]
fn a_full_outbox_refuses_and_then_reports_writable() {
    let mut b = Bench::new();
    b.delivery.config.limits.outbox_messages = 2;
    b.fact(up(BOB));
    b.submit(1);
    b.submit(2);
    assert!(!b.reserve(10));
    let out = b.input(from_bob(Message::Ack { ids: &[short(&id(1).hash)] }));
    assert!(out.contains(&Out::Writable));
    assert!(b.reserve(10));
}

#[test]
fn the_outbox_comes_back_after_a_restart() {
    let mut b = Bench::new();
    let mut out = Outbox::new();
    let mut cx = Cx { now: b.now, wall: WallTime(0), me: ME, rng: &mut b.rng };
    b.delivery.handle(&mut cx, In::Submit { to: BOB, ids: vec![id(4), id(5)], body: vec![5; 10] }, &mut out);
    let mut rows = Vec::new();
    while let Some(emit) = out.pop() {
        if let crate::machine::Emit::Store(crate::store::Op::Put { table, key, value }) = emit {
            rows.push(Record { table, key, value });
        }
    }
    let mut open = |rows: Vec<Record>| {
        let (config, identity) = (Config::default(), crate::identity::tests::identity(1));
        let mut out = Outbox::new();
        let mut cx = Cx { now: Instant::ZERO, wall: WallTime(0), me: ME, rng: &mut b.rng };
        let setup = Setup { config: &config, identity: &identity };
        Delivery::open(setup, rows, &mut cx, &mut out).map(|delivery| (delivery, out.take()))
    };
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert!(open(vec![Record { key: row.key[1..].to_vec(), ..row.clone() }]).is_err());
    assert!(open(vec![Record { value: row.value[1..].to_vec(), ..row.clone() }]).is_err());
    let (delivery, wants) = open(rows.clone()).unwrap();
    assert_eq!(wants, [Out::Want(BOB)]);
    let mut again = Bench { delivery, ..Bench::new() };
    assert_eq!(sends(&again.fact(up(BOB))), 1);
    assert!(again.delivery.is_queued(id(4)) && again.delivery.is_queued(id(5)));
    assert_eq!(again.delivery.total(), 2);
}

proptest! {
    /// Under any order of link changes, answers and time: nothing panics, counts hold, every
    /// Want has at most one Unwant after it, and law 1 holds.
    #[test]
    fn counts_hold_under_any_schedule(steps in prop::collection::vec((0u8..7, 0u8..6), 0..120)) {
        let mut b = Bench::new();
        let mut wanted = 0i32;
        let mut live: Vec<u8> = Vec::new();
        for (what, n) in steps {
            let out = match what {
                0 if !live.contains(&n) => { live.push(n); b.submit(n) }
                1 => b.fact(up(BOB)),
                2 => b.fact(down(BOB)),
                3 => { live.retain(|x| *x != n); b.input(from_bob(Message::Ack { ids: &[short(&id(n).hash)] })) }
                4 => b.input(from_bob(Message::Refuse { id: [n; 16] })),
                5 => b.run(b.now.as_micros() / 1_000_000 + u64::from(n) * 3).into_iter().map(|(_, o)| o).collect(),
                _ => b.input(In::Message { from: BOB, digest: [n; 16], body: vec![n; usize::from(n)] }),
            };
            if what == 4 { live.retain(|x| *x != n); }
            for o in &out {
                match o {
                    Out::Want(_) => wanted += 1,
                    Out::Unwant(_) => wanted -= 1,
                    _ => {}
                }
            }
            prop_assert!((0..=1).contains(&wanted));
            prop_assert_eq!(wanted == 1, !live.is_empty());
            prop_assert_eq!(b.delivery.queued(BOB), live.len());
            prop_assert_eq!(b.delivery.total(), live.len());
        }
    }
}
