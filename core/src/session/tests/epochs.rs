//! KEM epochs: their order, what breaks it, and what a loss costs.

use super::*;
use crate::session::epochs::{Broken, Control, Epochs};

const WALL: WallTime = WallTime(1_700_000_000_000);
const WEEK: u64 = 7 * 86_400_000;

/// Both sides of the epochs of one session; messages pass at once unless they are lost.
struct Both {
    sides: [Epochs; 2],
    rng: Rng,
    wall: WallTime,
}

impl Both {
    fn new() -> Self {
        let sides = [true, false].map(|initiator| Epochs::new(initiator, &[9; 32], WALL));
        Self { sides, rng: Rng::new([4; 32]), wall: WALL }
    }

    /// A message of side `from`: its epoch and control.
    fn attach(&mut self, from: usize) -> (u16, Vec<u8>) {
        (self.sides[from].sending(), self.sides[from].attach(self.wall, &mut self.rng))
    }

    fn take(&mut self, to: usize, (epoch, control): &(u16, Vec<u8>)) -> Result<(), Broken> {
        assert!(self.sides[to].secret(*epoch).is_some(), "it holds the epoch of every message");
        let (control, body) = Control::decode(control).unwrap();
        assert!(body.is_empty());
        self.sides[to].take(*epoch, &control, self.wall, &mut self.rng)
    }

    fn pass(&mut self, from: usize) {
        let message = self.attach(from);
        self.take(1 - from, &message).unwrap();
        self.sides.iter_mut().for_each(|side| side.wipe(false));
        assert_eq!(self.sides[from].secret(message.0), self.sides[1 - from].secret(message.0));
    }

    /// To the first messages under epoch 1 of both sides.
    fn begun() -> Self {
        let mut both = Self::new();
        [0, 1, 0, 1, 0].into_iter().for_each(|from| both.pass(from));
        assert_eq!(both.sides.each_ref().map(Epochs::sending), [1, 1]);
        both
    }
}

fn offer(k: u16, key: &[u8]) -> Vec<u8> {
    [&[1], k.to_le_bytes().as_slice(), key].concat()
}

// Fails if the answerer sends under an epoch as soon as it made its answer: the other side may never get that.
#[test]
fn an_epoch_is_used_only_when_the_other_side_surely_holds_it() {
    let mut both = Both::new();
    both.pass(0);
    both.pass(1);
    assert_eq!(both.sides.each_ref().map(Epochs::newest), [1, 0], "offered and held by the answerer");
    let lost = both.attach(0);
    assert_eq!(lost.0, 0, "the answerer does not use it");
    // The answer is lost; 32 messages later it comes again.
    for _ in 0..31 {
        both.pass(0);
        assert_eq!(both.sides[1].newest(), 0);
    }
    both.pass(0);
    assert_eq!(both.sides.each_ref().map(Epochs::sending), [0, 1]);
    both.pass(1);
    assert_eq!(both.sides.each_ref().map(Epochs::sending), [1, 1]);
}

// Fails if an offer is due without messages of both sides, or not due after a day of an epoch.
#[test]
fn offers_and_answers_lost_for_a_week_only_delay_an_epoch() {
    let mut both = Both::begun();
    for k in 2..8u16 {
        let mut offered = usize::from(k % 2 == 1);
        for step in 0..200 {
            both.wall = WallTime(both.wall.0 + WEEK);
            // Most messages are lost, whatever they carry.
            let message = both.attach(offered);
            if step % 3 == 0 {
                both.take(1 - offered, &message).unwrap();
            }
            offered = 1 - offered;
        }
    }
    let newest = both.sides.each_ref().map(Epochs::newest);
    assert!(newest[0] >= 4 && newest[0].abs_diff(newest[1]) <= 1, "{newest:?}");
}

#[test]
fn a_thousand_epochs_alternate() {
    let mut both = Both::begun();
    while both.sides[0].newest() < 1_000 {
        both.pass(0);
        both.pass(1);
    }
    assert!(both.sides[1].newest() >= 999);
}

// Fails if any of the three rules of `offered` is left out.
#[test]
fn an_offer_out_of_turn_or_epoch_or_key_breaks_the_session() {
    let key = |n: u8| crate::crypto::kem::encapsulation_key(&[n; 64]);
    let mut both = Both::begun();
    // Epoch 2 is the initiator's, side 0.
    assert_eq!(both.take(0, &(1, offer(2, &key(1)))), Err(Broken), "side 1 offers out of turn");
    assert_eq!(both.take(1, &(1, offer(4, &key(1)))), Err(Broken), "a later epoch");
    assert_eq!(both.take(1, &(1, offer(0, &key(1)))), Err(Broken));
    assert_eq!(both.take(1, &(1, offer(2, &[0xff; 1_184]))), Err(Broken), "no key");
    assert_eq!(both.take(1, &(1, offer(2, &key(1)))), Ok(()));
    let held = both.sides[1].secret(2).copied();
    assert_eq!(both.take(1, &(1, offer(2, &key(1)))), Ok(()), "the same one again");
    assert_eq!(both.sides[1].secret(2).copied(), held, "is not answered anew");
    assert_eq!(both.take(1, &(1, offer(2, &key(2)))), Err(Broken), "another key for the same epoch");
    let answer = |k: u16| [&[2], k.to_le_bytes().as_slice(), &[7; 1_088]].concat();
    assert_eq!(both.take(0, &(1, answer(2))), Err(Broken), "an answer to nothing");
    assert_eq!(both.take(0, &(1, answer(1))), Ok(()), "a repeat of an old answer");
}

#[test]
fn controls_that_are_no_controls_are_refused() {
    for bad in [&[][..], &[12, 0], &[24, 0], &[48, 0], &[64, 0], &[1, 0], &[2, 1, 0, 9], &[0x80, 0]] {
        assert!(Control::decode(bad).is_err(), "{bad:?}");
    }
    assert_eq!(Control::decode(&[0, 5]).unwrap().1, [5]);
}

// After the last number a session says so, and offers no more.
#[test]
fn the_last_epoch_is_followed_by_a_new_session() {
    let mut row = Vec::new();
    Epochs::new(true, &[9; 32], WALL).write(&mut row);
    row[0..2].copy_from_slice(&u16::MAX.to_le_bytes());
    row[100..102].copy_from_slice(&u16::MAX.to_le_bytes());
    let mut epochs = Epochs::read(true, &mut crate::wire::record::Reader(&row), None).unwrap();
    assert!(!epochs.is_spent());
    let mut rng = Rng::new([1; 32]);
    assert!((0..64).all(|_| epochs.attach(WallTime(WALL.0 + WEEK), &mut rng) == [0]));
    assert!(epochs.is_spent());
}

// A session whose epochs are over begins another, while the old one still carries what is said.
#[test]
fn a_spent_session_is_replaced_without_a_loss() {
    let mut nodes = linked();
    say(&mut nodes, 0, b"under epoch 1");
    say(&mut nodes, 1, b"under epoch 1, too");
    // As after 65,535 epochs: newest, sending and received in the row of each side.
    for node in &mut nodes {
        let mut rows = node.rows();
        for row in rows.iter_mut().filter(|r| r.table == SESSIONS && r.key.last() == Some(&0)) {
            for at in [266, 366, 369] {
                row.value[at..at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
            }
        }
        node.machine = open(node.n, rows, &mut Rng::new([3; 32]), (node.now, node.wall)).0;
    }
    let id = nodes[0].other();
    let session = |node: &mut Node| node.machine.peers.get_mut(id).unwrap().sessions.len();
    assert_eq!(session(&mut nodes[0]), 1);
    for n in 0..70u8 {
        let sent = nodes[0].say(&[n; 3]);
        exchange(&mut nodes, 0, sent);
    }
    nodes[0].pass(MINUTE);
    let sent = nodes[0].repeat();
    exchange(&mut nodes, 0, sent);
    assert!(session(&mut nodes[0]) > 1);
    assert!((0..70u8).all(|n| nodes[1].app.read.contains(&[n; 3][..])));
}
