use super::*;
use crate::config::Config;
use crate::contract::who;
use crate::fact::samples::{down, up};
use crate::rng::Rng;
use crate::time::WallTime;

struct Node {
    machine: Authentication,
    me: NodeId,
    rng: Rng,
    now: Instant,
}

impl Node {
    fn new(n: u8) -> Self {
        let identity = who(n);
        let (mut rng, mut out) = (Rng::new([n; 32]), Outbox::new());
        let (now, me) = (Instant::from_micros(1_000_000), identity.node_id());
        let mut cx = Cx { now, wall: WallTime(1), me, rng: &mut rng };
        let setup = Setup { config: &Config::default(), identity: &identity };
        let machine = Authentication::open(setup, Vec::new(), &mut cx, &mut out).unwrap();
        Self { machine, me, rng, now }
    }

    fn run<R>(&mut self, f: impl FnOnce(&mut Authentication, &mut Cx<'_>, &mut Outbox<Out>) -> R) -> Vec<Out> {
        let mut out = Outbox::new();
        let mut cx = Cx { now: self.now, wall: WallTime(1), me: self.me, rng: &mut self.rng };
        f(&mut self.machine, &mut cx, &mut out);
        assert_eq!(self.machine.check(), Ok(()));
        out.take()
    }

    /// A link with these keys.
    fn link(&mut self, peer: NodeId, hash: u8) -> Vec<Out> {
        self.run(|m, cx, out| {
            m.fact(cx, &up(peer), out);
            m.handle(cx, In::Keyed { peer, hash: [hash; 32] }, out);
        })
    }

    fn rekey(&mut self, peer: NodeId, hash: u8) {
        self.run(|m, cx, out| m.handle(cx, In::Keyed { peer, hash: [hash; 32] }, out));
    }

    fn challenge(&mut self, peer: NodeId) -> Vec<u8> {
        body(self.run(|m, cx, out| assert_eq!(Authenticate(peer).run(m, cx, out), Ok(()))))
    }

    fn hear(&mut self, from: NodeId, body: &[u8]) -> Vec<Out> {
        self.run(|m, cx, out| m.handle(cx, In::Message { from, body: body.to_vec() }, out))
    }
}

fn body(out: Vec<Out>) -> Vec<u8> {
    match out.as_slice() {
        [Out::Send { body, .. }] => body.clone(),
        other => panic!("{other:?}"),
    }
}

fn result(out: &[Out]) -> Option<AuthenticationResult> {
    out.iter().find_map(|o| if let Out::Done { result, .. } = o { Some(*result) } else { None })
}

/// Alice challenges, Bob answers; both share a link with keys 1.
fn pair() -> (Node, Node) {
    let (mut alice, mut bob) = (Node::new(1), Node::new(2));
    let (a, b) = (alice.me, bob.me);
    assert!(alice.link(b, 1).is_empty() && bob.link(a, 1).is_empty());
    (alice, bob)
}

#[test]
fn the_device_at_the_other_end_is_authenticated() {
    let (mut alice, mut bob) = pair();
    let (a, b) = (alice.me, bob.me);
    let challenge = alice.challenge(b);
    let answer = body(bob.hear(a, &challenge));
    assert_eq!(result(&alice.hear(b, &answer)), Some(AuthenticationResult::Authenticated));
    assert_eq!(alice.machine.next_deadline(), None);
}

/// Keys that were replaced while the challenge was under way. Mutation: only the newest handshake counts.
#[test]
fn a_link_whose_keys_are_replaced_meanwhile_is_the_same() {
    let (mut alice, mut bob) = pair();
    let (a, b) = (alice.me, bob.me);
    let challenge = alice.challenge(b);
    bob.rekey(a, 7);
    let answer = body(bob.hear(a, &challenge));
    alice.rekey(b, 7);
    assert_eq!(result(&alice.hear(b, &answer)), Some(AuthenticationResult::Authenticated));
}

/// Mallory has stolen both link keys and stands between two links, posing as each to the other. It passes the challenge
/// on as it is, or with the hash of its link with Bob. Mutation of the first: any hash is answered. Of the second:
/// the hash is not among the signed bytes.
#[test]
fn an_answer_from_another_link_fails() {
    let (mut alice, mut bob) = (Node::new(1), Node::new(2));
    let (a, b) = (alice.me, bob.me);
    assert!(alice.link(b, 1).is_empty() && bob.link(a, 2).is_empty());
    let challenge = alice.challenge(b);
    assert!(bob.hear(a, &challenge).is_empty(), "it is of no link of Bob's");
    assert_eq!(bob.machine.drops.get(DropReason::Message), 1);
    let Ok(Message::Challenge(sent)) = Message::decode(&challenge) else { panic!() };
    let changed = Message::Challenge(Challenge { hash: [2; 32], ..sent }).encode();
    let answer = body(bob.hear(a, &changed));
    assert_eq!(result(&alice.hear(b, &answer)), Some(AuthenticationResult::Failed));
    assert_eq!(alice.machine.drops.get(DropReason::Signature), 1);
}

/// Carol has a link of her own with Bob, and relays. Mutation: the ids are not among the signed bytes.
#[test]
fn an_answer_that_was_given_to_another_node_fails() {
    let (mut alice, mut bob, carol) = (Node::new(1), Node::new(2), who(3).node_id());
    let b = bob.me;
    assert!(alice.link(b, 1).is_empty() && bob.link(carol, 1).is_empty());
    let challenge = alice.challenge(b);
    let answer = body(bob.hear(carol, &challenge));
    assert_eq!(result(&alice.hear(b, &answer)), Some(AuthenticationResult::Failed));
}

/// Mutation of the first: an answer is compared with no challenge, or a challenge is used twice. Of the second: the
/// random bytes are not among the signed bytes.
#[test]
fn a_replayed_answer_fails() {
    let (mut alice, mut bob) = pair();
    let (a, b) = (alice.me, bob.me);
    let challenge = alice.challenge(b);
    let old = body(bob.hear(a, &challenge));
    assert_eq!(result(&alice.hear(b, &old)), Some(AuthenticationResult::Authenticated));
    assert!(alice.hear(b, &old).is_empty(), "nothing is under way");
    let next = alice.challenge(b);
    assert_ne!(next, challenge);
    assert!(alice.hear(b, &old).is_empty(), "it answers another challenge");
    assert_eq!(alice.machine.drops.get(DropReason::Duplicate), 2);
    let (Ok(Message::Challenge(sent)), Ok(Message::Answer(answer))) = (Message::decode(&next), Message::decode(&old))
    else {
        panic!()
    };
    let changed = Message::Answer(Answer { random: sent.random, ..answer }).encode();
    assert_eq!(result(&alice.hear(b, &changed)), Some(AuthenticationResult::Failed));
}

/// Mutation: the key of an answer is not compared with the node's id.
#[test]
fn another_key_authenticates_nobody() {
    let (mut alice, bob) = pair();
    let (a, b) = (alice.me, bob.me);
    let Ok(Message::Challenge(sent)) = Message::decode(&alice.challenge(b)) else { panic!() };
    let other = who(5);
    let signature = other.sign(Domain::Challenge, &signed(&sent, a, b));
    let answer = Message::Answer(Answer { random: sent.random, key: other.public_key(), signature }).encode();
    assert_eq!(result(&alice.hear(b, &answer)), Some(AuthenticationResult::Failed));
}

/// The own answer that comes back is no answer of the other. Mutation: the two ids are signed in one order for both.
#[test]
fn a_challenge_that_is_sent_back_authenticates_nobody() {
    let (mut alice, bob) = pair();
    let b = bob.me;
    let challenge = alice.challenge(b);
    // Alice answers her own challenge, and gets her own answer.
    let own = body(alice.hear(b, &challenge));
    assert_eq!(result(&alice.hear(b, &own)), Some(AuthenticationResult::Failed));
}

/// Mutation: a lost link ends the challenge, or the next one repeats it.
#[test]
fn a_challenge_waits_for_a_link_and_times_out() {
    let (mut alice, mut bob) = (Node::new(1), Node::new(2));
    let (a, b) = (alice.me, bob.me);
    assert!(alice.run(|m, cx, out| assert_eq!(Authenticate(b).run(m, cx, out), Ok(()))).is_empty());
    let first = body(alice.link(b, 1));
    assert!(alice.run(|m, cx, out| m.fact(cx, &down(b), out)).is_empty());
    let second = body(alice.link(b, 2));
    assert_ne!(first, second);
    bob.link(a, 2);
    let answer = body(bob.hear(a, &second));
    assert_eq!(result(&alice.hear(b, &answer)), Some(AuthenticationResult::Authenticated));

    alice.challenge(b);
    let due = alice.machine.next_deadline().unwrap();
    assert_eq!(due, alice.now + WITHIN);
    alice.now = due;
    let over = alice.run(|m, cx, out| m.handle_timeout(cx, out));
    assert_eq!(result(&over), Some(AuthenticationResult::Timeout));
}

/// Mutation: answers have no rate.
#[test]
fn who_challenges_too_often_gets_no_answer() {
    let (mut alice, mut bob) = pair();
    let (a, b) = (alice.me, bob.me);
    let challenge = alice.challenge(b);
    let answers = (0..10).filter(|_| !bob.hear(a, &challenge).is_empty()).count();
    assert_eq!(answers, 3);
    assert_eq!(bob.machine.drops.get(DropReason::Rate), 7);
}

#[test]
fn a_node_has_one_challenge_and_all_have_a_limit() {
    let mut alice = Node::new(1);
    let many = |n: u8| NodeId([n; 32]);
    for n in 0..MAX_PENDING as u8 {
        for _ in 0..2 {
            alice.run(|m, cx, out| assert_eq!(Authenticate(many(n)).run(m, cx, out), Ok(())));
        }
    }
    let full = Err(CommandError::Busy("list of challenges"));
    alice.run(|m, cx, out| assert_eq!(Authenticate(many(200)).run(m, cx, out), full));
    alice.now = alice.machine.next_deadline().unwrap();
    let over = alice.run(|m, cx, out| m.handle_timeout(cx, out));
    assert_eq!(over.len(), MAX_PENDING);
}
