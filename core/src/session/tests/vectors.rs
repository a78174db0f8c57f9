//! The frozen vectors of `tests/vectors/session.json`, which `tests/vectors/session.py` checks independently.

use alloc::format;
use alloc::string::String;

use serde_json::{Value, json};

use super::*;
use crate::session::first::{initiate, respond};
use crate::session::pair::Session;
use crate::session::wire::FIRST_LEN;

const FILE: &str = include_str!("../../../../tests/vectors/session.json");
const DAY: u64 = 86_400_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The row of a session's state, and a new answer.
fn state(session: &mut Session) -> (String, Option<String>) {
    let mut out = Outbox::<()>::new();
    session.save(&[0; 32], &mut out);
    let mut row = |kind| match out.pop() {
        Some(Emit::Store(crate::store::Op::Put { key, value, .. })) if key[36] == kind => Some(hex(&value)),
        _ => None,
    };
    (row(0).unwrap(), row(2))
}

struct Transcript {
    sides: [Session; 2],
    rngs: [Rng; 2],
    wall: WallTime,
    steps: Vec<Value>,
    sent: Vec<Vec<u8>>,
    /// By epoch, from 1.
    answers: Vec<String>,
}

impl Transcript {
    fn seal(&mut self, side: usize, body: &[u8]) -> usize {
        let mut cx = Cx { now: Instant::ZERO, wall: self.wall, me: NodeId([0; 32]), rng: &mut self.rngs[side] };
        let message = self.sides[side].seal((Subject::Message, body), &mut cx).unwrap();
        let (state, _) = state(&mut self.sides[side]);
        self.steps.push(json!({ "seal": side, "body": hex(body), "message": hex(&message), "state": state }));
        self.sent.push(message);
        self.sent.len() - 1
    }

    fn open(&mut self, side: usize, number: usize) {
        let message = self.sent[number].clone();
        let sealed = match Message::decode(&message).unwrap() {
            Message::First(_, sealed) | Message::Sealed(sealed) => sealed,
            _ => unreachable!(),
        };
        let mut cx = Cx { now: Instant::ZERO, wall: self.wall, me: NodeId([0; 32]), rng: &mut self.rngs[side] };
        let (_, body) = self.sides[side].open(&sealed, &mut cx).unwrap();
        let (state, answer) = state(&mut self.sides[side]);
        self.answers.extend(answer);
        self.steps.push(json!({ "open": side, "message": number, "body": hex(&body), "state": state }));
    }
}

fn vectors() -> Value {
    let wall = WallTime(1_767_225_600_000);
    let mut rngs = [Rng::new([0xa1; 32]), Rng::new([0xb2; 32])];
    let devices = [who(0), who(1)];
    let mut rows = Vec::new();
    let mut keys = [0usize, 1].map(|n| {
        let mut out = Outbox::<()>::new();
        let mut cx = Cx { now: Instant::ZERO, wall, me: devices[n].node_id(), rng: &mut rngs[n] };
        let keys = Keys::load(&devices[n], &[], &mut cx, &mut out).unwrap();
        let put =
            |e| if let Emit::Store(crate::store::Op::Put { value, .. }) = e { hex(&value) } else { String::new() };
        rows.push(core::iter::from_fn(|| out.pop()).map(put).collect::<Vec<_>>());
        keys
    });
    let bytes: [u8; BUNDLE_LEN] = keys[1].bundle().try_into().unwrap();
    let bundle = Bundle::read(&bytes, devices[1].node_id()).unwrap();
    let [a, b] = &keys;
    let (agreement, opening) = initiate(a, &bundle, &mut rngs[0]).unwrap();
    let names = (&a.device(), &b.device());
    let mut cx = Cx { now: Instant::ZERO, wall, me: devices[0].node_id(), rng: &mut rngs[0] };
    let first = Session::initiate(&agreement, names, (bundle.id, bundle.prekey), opening.clone(), &mut cx).unwrap();
    let head = [opening.as_slice(), &[2, 1], &[0; 90]].concat();
    let Message::First(decoded, _) = Message::decode(&head).unwrap() else { unreachable!() };
    let sender = Binding::read(decoded.binding, devices[0].node_id()).unwrap();
    let prekeys = b.prekeys(bundle.id).unwrap();
    let agreed = respond(b, prekeys, &decoded, &sender).unwrap();
    let second = Session::respond(&agreed, (names.1, names.0), (bundle.id, prekeys.prekey()), wall);
    let (identity, prekey, root) = ([&rows[0][0], &rows[1][0]], &rows[1][1], hex(&agreed.root));
    let mut r =
        Transcript { sides: [first, second], rngs, wall, steps: Vec::new(), sent: Vec::new(), answers: Vec::new() };
    // First messages out of order, an offer that comes late and again, its answer, and a day later the next epoch.
    let firsts = [r.seal(0, b"first"), r.seal(0, b"second"), r.seal(0, b"")];
    [1, 0, 2].into_iter().for_each(|n| r.open(1, firsts[n]));
    let offers: Vec<usize> = (0..34u8).map(|n| r.seal(1, &[n])).collect();
    r.open(0, offers[32]);
    r.open(0, offers[3]);
    let answer = r.seal(0, b"answer");
    r.open(0, offers[0]);
    r.open(1, answer);
    let used = r.seal(1, b"epoch 1");
    r.open(0, used);
    r.wall = WallTime(wall.0 + DAY);
    let in_use = r.seal(0, b"epoch 1, too");
    r.open(1, in_use);
    let back = r.seal(1, b"there");
    r.open(0, back);
    r.wall = WallTime(wall.0 + 2 * DAY);
    let offer = r.seal(0, b"a day later");
    r.open(1, offer);
    let answer = r.seal(1, b"the answer to 2");
    r.open(0, answer);
    let last = r.seal(0, b"epoch 2");
    r.open(1, last);
    json!({
        "about": "Sessions of two devices: docs/spec/messages.md, \"Session\", and docs/design/sessions.md. Rows of state: \
                  docs/spec/store.md, session.sessions. Numbers are those of messages in the order of their sealing.",
        "devices": names_of(names),
        "identities": identity,
        "prekeys": prekey,
        "bundle": hex(&bytes),
        "opening": hex(&opening),
        "root": root,
        "bound": hex(&agreed.ad),
        "answers": { "1": r.answers[0], "2": r.answers[1] },
        "steps": r.steps,
    })
}

fn names_of((a, b): (&Key, &Key)) -> [String; 2] {
    [hex(a), hex(b)]
}

// A change of any byte of keys, first messages, ratchet messages or epochs shows here.
#[test]
fn the_vectors_are_those_that_are_frozen() {
    let made = vectors();
    assert_eq!(made["opening"].as_str().map(str::len), Some(2 * FIRST_LEN));
    let text = format!("{made:#}\n");
    if FILE != text {
        panic!("tests/vectors/session.json is another; the one made now:\n{text}");
    }
}
