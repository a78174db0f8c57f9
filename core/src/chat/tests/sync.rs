//! Catching up, privacy and the repair of what a disk lost.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::bench::{Bench, received};
use crate::chat::known::Tip;
use crate::chat::rows::{ENTRIES, NUMBERS, entry_key, number_key};
use crate::chat::wire::{End, Holding, Sync};
use crate::chat::{In, Out};
use crate::collections::short;
use crate::fact::Fact;
use crate::fact::samples::up;
use crate::id::{ConversationId, Life, MessageId, NodeId};
use crate::machine::{Cx, Emit, Machine, Outbox};
use crate::store::{Batch, Op};
use crate::time::{Duration, WallTime};
use crate::wire::content::{Content, Conversation, Message, network_conversation, private_conversation};
use crate::wire::entry::{Body, Carried, LifeId, Parent, Part, Parts, Reference, Run};
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};

const SECOND: Duration = Duration::from_secs(1);

fn room() -> ConversationId {
    network_conversation(&[0; 32])
}

fn run_of(body: Vec<u8>) -> Run {
    Run::decode_signed(room(), body).unwrap()
}

/// Two linked neighbours, and the messages between them.
struct Pair {
    nodes: [Bench; 2],
    mail: Vec<(usize, Out)>,
    sent: Vec<Sync>,
    reported: [Vec<MessageId>; 2],
}

impl Pair {
    fn new(a: Bench, b: Bench) -> Self {
        Self { nodes: [a, b], mail: Vec::new(), sent: Vec::new(), reported: [Vec::new(), Vec::new()] }
    }

    fn link(&mut self) {
        for n in [0, 1] {
            let peer = self.nodes[1 - n].me;
            for fact in [up(peer), Fact::NeighbourUp(peer)] {
                let outs = self.nodes[n].fact(&fact);
                self.post(n, outs);
            }
        }
    }

    fn input(&mut self, n: usize, input: In) {
        let outs = self.nodes[n].input(input);
        self.post(n, outs);
    }

    fn post(&mut self, n: usize, outs: Vec<Out>) {
        self.reported[n].extend(received(&outs));
        self.mail.extend(outs.into_iter().map(|o| (n, o)));
    }

    /// Carries all there is to say for a time.
    fn pass(&mut self, time: Duration) {
        let steps = time.as_millis() / 100;
        for _ in 0..steps {
            while !self.mail.is_empty() {
                let (n, out) = self.mail.remove(0);
                let (from, other) = (self.nodes[n].me, 1 - n);
                let input = match out {
                    Out::Send { to, body, .. } if to == self.nodes[other].me => {
                        self.sent.push(decode(&body, MAX_MESSAGE).unwrap());
                        In::Message { from, body }
                    }
                    Out::Seal { body, .. } => {
                        self.sent.push(decode(&body, MAX_MESSAGE).unwrap());
                        In::Opened { from, body }
                    }
                    Out::Submit { ids, body, .. } => {
                        In::DirectReceived { from, id: short(&ids.last().unwrap().hash), body }
                    }
                    _ => continue,
                };
                self.input(other, input);
            }
            for n in [0, 1] {
                let now = self.nodes[n].now + Duration::from_millis(100);
                let outs = self.nodes[n].advance(now);
                self.post(n, outs);
            }
        }
    }

    fn histories(&mut self) -> [Vec<Message>; 2] {
        [self.nodes[0].history(), self.nodes[1].history()]
    }
}

/// Mutation: a node that is ahead does not pull (`answer` is ignored).
#[test]
fn two_nodes_with_new_messages_catch_up_both_ways() {
    let mut pair = Pair::new(Bench::new(1), Bench::new(2));
    for n in 0..40 {
        pair.nodes[0].say(Content::text(n.to_string()));
        pair.nodes[1].say(Content::text(alloc::format!("other {n}")));
    }
    pair.link();
    pair.pass(3 * SECOND);
    let [one, other] = pair.histories();
    assert_eq!(one.len(), 80);
    assert_eq!(one, other);
    assert_eq!((pair.reported[0].len(), pair.reported[1].len()), (40, 40));
}

/// Mutation: `Chat::digest` pulls although the hashes are equal.
#[test]
fn equal_histories_are_settled_by_one_hash_each() {
    let mut pair = Pair::new(Bench::new(1), Bench::new(2));
    let (_, body) = pair.nodes[0].say(Content::text("same"));
    let from = pair.nodes[0].me;
    pair.nodes[1].gossip(from, &run_of(body));
    pair.link();
    pair.pass(2 * SECOND);
    assert_eq!(pair.sent.len(), 2, "{:?}", pair.sent);
    assert!(pair.sent.iter().all(|s| matches!(s, Sync::Digest { .. })));
}

/// What a hash shows to be missing and then comes by itself is not asked for. Mutation: `GAP` is zero.
#[test]
fn what_comes_by_itself_is_not_asked_for() {
    let mut pair = Pair::new(Bench::new(1), Bench::new(2));
    let (_, first) = pair.nodes[0].say(Content::text("first"));
    let from = pair.nodes[0].me;
    pair.nodes[1].gossip(from, &run_of(first));
    let (_, body) = pair.nodes[0].say(Content::text("on its way"));
    pair.link();
    pair.pass(SECOND / 5);
    pair.nodes[1].gossip(from, &run_of(body));
    pair.pass(2 * SECOND);
    let brings = |s: &Sync| matches!(s, Sync::Runs { runs, .. } if !runs.is_empty());
    assert!(!pair.sent.iter().any(brings), "{:?}", pair.sent);
}

/// Mutation: the bringer is not asked, or only after a second.
#[test]
fn a_missing_past_is_asked_of_its_bringer_at_once() {
    let mut pair = Pair::new(Bench::new(1), Bench::new(2));
    pair.link();
    pair.pass(SECOND);
    let (lost, _) = pair.nodes[0].say(Content::text("lost"));
    let (id, body) = pair.nodes[0].say(Content::text("after it"));
    let via = pair.nodes[0].me;
    pair.input(1, In::GossipReceived { via, id: [1; 16], body });
    assert_eq!(pair.nodes[1].chat.pending(), 1);
    pair.pass(SECOND / 5);
    assert_eq!(pair.reported[1], [lost, id]);
    let want = Sync::Want { conversation: room(), parents: vec![Parent::of(lost)] };
    assert_eq!(pair.sent.iter().filter(|s| **s == want).count(), 1);
}

/// A long absence: the answer is cut and goes on. Mutation: `End::Pulled` never says that there is more.
#[test]
fn a_long_absence_is_made_up_for_in_order() {
    let mut pair = Pair::new(Bench::new(1), Bench::new(2));
    for n in 0..120 {
        pair.nodes[0].say(Content::text(alloc::format!("{n} {}", "x".repeat(5_000))));
    }
    pair.link();
    pair.pass(5 * SECOND);
    assert_eq!(pair.reported[1].len(), 120);
    assert!(pair.reported[1].is_sorted(), "past before future");
    let pulls = pair.sent.iter().filter(|s| matches!(s, Sync::Pull { .. })).count();
    assert!(pulls <= 6, "600 kB in {pulls} questions");
    let wants = pair.sent.iter().filter(|s| matches!(s, Sync::Want { .. })).count();
    assert_eq!(wants, 0, "nothing that comes in order waits");
}

/// Mutation: `Chat::policy` lets any peer ask about a private conversation.
#[test]
fn a_conversation_of_others_is_never_announced() {
    let mut a = Bench::new(1);
    let (bob, mallory) = (Bench::new(2).me, Bench::new(3).me);
    a.fact(&up(bob));
    a.fact(&up(mallory));
    let (said, _) = a.step(|c, cx, out| c.say(cx, Conversation::Private(bob), vec![Content::text("secret")], out));
    let id = said.unwrap()[0];
    let conversation = private_conversation(a.me, bob);
    for message in [
        Sync::Digest { conversation, holding: Holding::default(), from: 0, hash: Some([0; 16]) },
        Sync::Holds { conversation, question: 1, references: vec![Reference::Parent(Parent::of(id))] },
        Sync::Held { conversation, question: 0, held: Blob(vec![1]) },
        Sync::Older { conversation, before: MessageId::first_of(u64::MAX) },
        Sync::Pull { conversation, from: 0, heights: Vec::new(), answer: true },
        Sync::Want { conversation, parents: vec![Parent::of(id)] },
        Sync::Fetch { conversation, items: vec![id] },
        Sync::Compare { conversation, salt: [0; 16], from: 0, to: u64::MAX, parts: Vec::new() },
        Sync::Runs { conversation, runs: Vec::new(), end: End::Pulled { more: false } },
    ] {
        let mut outs = a.input(In::Message { from: mallory, body: encode(&message) });
        let now = a.now + 10 * SECOND;
        outs.extend(a.advance(now));
        let to_mallory = outs.iter().any(|o| matches!(o, Out::Send { to, .. } if *to == mallory));
        assert!(!to_mallory, "{message:?} is answered with {outs:?}");
    }
}

/// Mutation: the conversation is not in the key of an id, or the author of a carried run is not compared.
#[test]
fn a_private_message_is_bound_to_its_sender_and_receiver() {
    let (mut a, mut b, mut c) = (Bench::new(1), Bench::new(2), Bench::new(3));
    let kind = Conversation::Private(b.me);
    let (_, outs) = a.step(|chat, cx, out| {
        chat.say(cx, kind, vec![Content::text("for b")], out).unwrap();
        chat.sign(cx, out);
    });
    let (id, body) = outs
        .into_iter()
        .find_map(|o| if let Out::Submit { ids, body, .. } = o { Some((*ids.last().unwrap(), body)) } else { None })
        .unwrap();
    let direct = |from: NodeId| In::DirectReceived { from, id: short(&id.hash), body: body.clone() };
    let accepts = |outs: Vec<Out>| outs.iter().any(|o| matches!(o, Out::DirectValidated { accepted: true, .. }));
    assert!(!accepts(c.input(direct(a.me))), "another receiver");
    assert!(!accepts(b.input(direct(c.me))), "another sender");
    assert!(accepts(b.input(direct(a.me))));
    assert!(accepts(b.input(direct(a.me))), "a copy is acknowledged again");
}

/// Mutations: each private message is signed at once, or `Submit` names the last one only.
#[test]
fn private_messages_of_one_step_are_one_run() {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    let kind = Conversation::Private(b.me);
    let (said, outs) = a.step(|chat, cx, out| {
        let mut said = Vec::new();
        for n in 0..3 {
            said.extend(chat.say(cx, kind, vec![Content::text(n.to_string())], out).unwrap());
        }
        assert_eq!(chat.unsent_private(), &said);
        chat.sign(cx, out);
        said
    });
    let submitted: Vec<_> = outs
        .into_iter()
        .filter_map(|o| if let Out::Submit { ids, body, .. } = o { Some((ids, body)) } else { None })
        .collect();
    let [(ids, body)] = &submitted[..] else { panic!("{} runs", submitted.len()) };
    assert_eq!(*ids, said);
    let outs = b.input(In::DirectReceived { from: a.me, id: short(&said[2].hash), body: body.clone() });
    let got: Vec<_> = outs.iter().filter_map(|o| if let Out::Received(m) = o { Some(m.id) } else { None }).collect();
    assert_eq!(got, said);
}

/// Mutation: the signature is not checked.
#[test]
fn a_forged_changed_or_moved_broadcast_is_refused() {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    let (_, body) = a.say(Content::text("genuine"));
    let refused = |b: &mut Bench, body: Vec<u8>| {
        let outs = b.input(In::GossipReceived { via: NodeId([7; 32]), id: [0; 16], body });
        received(&outs).is_empty() && outs.iter().any(|o| matches!(o, Out::GossipValidated { genuine: false, .. }))
    };
    for at in (0..body.len()).step_by(7) {
        let mut changed = body.clone();
        changed[at] ^= 4;
        assert!(refused(&mut b, changed), "byte {at}");
    }
    // Another key over the same parts.
    let mut stolen = b.identity.public_key().to_vec();
    stolen.extend_from_slice(&body[32..]);
    assert!(refused(&mut b, stolen));
    assert_eq!(b.gossip(a.me, &run_of(body)).iter().filter(|o| matches!(o, Out::Received(_))).count(), 1);
}

#[test]
fn history_comes_in_pages_in_order() {
    let mut a = Bench::new(1);
    let ids: Vec<MessageId> = (0..25).map(|n| a.say(Content::text(n.to_string())).0).collect();
    let mut seen: Vec<MessageId> = Vec::new();
    let mut before = None;
    let mut pages = 0;
    loop {
        let (_, outs) = a.step(|c, _, out| c.history(7, Conversation::Network, before, 10, out));
        let Some(Out::Page { query: 7, messages, older }) = outs.into_iter().next() else { panic!("no page") };
        assert!(messages.len() <= 10);
        seen.splice(0..0, messages.iter().map(|m| m.id));
        pages += 1;
        match older {
            Some(id) => before = Some(id),
            None => break,
        }
    }
    assert_eq!((seen, pages), (ids, 3));
}

/// Removes the records of an entry, as a damaged disk does.
fn lose(bench: &mut Bench, message: &Message) {
    let number = bench.chat.logs[&bench.chat.network].number;
    let log = LifeId { author: message.author, life: message.life };
    let tip = Tip { seq: message.seq, id: message.id };
    let ops = vec![
        Op::Delete { table: ENTRIES, key: entry_key(number, message.id) },
        Op::Delete { table: NUMBERS, key: number_key(number, log, tip) },
    ];
    bench.store.apply(Batch { seq: 1, ops });
}

fn comes_back(restarts: bool) {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    let me = a.me;
    for n in 0..60 {
        let (_, body) = a.say(Content::text(n.to_string()));
        b.gossip(me, &run_of(body));
    }
    let whole = b.history();
    let mut pair = Pair::new(a, b);
    for message in [&whole[10], &whole[11], &whole[40]] {
        lose(&mut pair.nodes[1], message);
    }
    if restarts {
        pair.nodes[1].restart([8; 32]);
    }
    assert_eq!(pair.nodes[1].history().len(), 57);
    pair.link();
    pair.reported = [Vec::new(), Vec::new()];
    let peer = pair.nodes[0].me;
    pair.input(1, In::Compare { peer, linked: true });
    pair.pass(40 * SECOND);
    assert!(pair.nodes[1].history() == whole, "the whole history is there again");
    assert_eq!(pair.reported[1], [], "the application got them before");
    assert!(pair.nodes[1].chat.logs[&pair.nodes[1].chat.network].state().forked.is_empty());
}

/// Mutation: `Kind::Lost` is taken for a fork, or reported.
#[test]
fn what_a_disk_lost_comes_back_without_an_event() {
    comes_back(true);
}

/// Mutation: `Source::Peer` never repairs.
#[test]
fn what_a_disk_lost_while_it_is_in_memory_comes_back() {
    comes_back(false);
}

/// Mutation: `Waiting::park` has no limits, or the newest bringer puts out the others.
#[test]
fn what_waits_is_bounded_and_shared_between_bringers() {
    let mut a = Bench::new(1);
    let mut writer = Bench::new(2);
    let (_, first) = writer.say(Content::text("kept back"));
    let mut honest = Vec::new();
    for n in 0..5 {
        honest.push(run_of(writer.say(Content::text(n.to_string())).1));
    }
    for run in &honest {
        a.gossip(NodeId([8; 32]), run);
    }
    for author in 0..12u8 {
        let mut flooder = Bench::new(100 + author);
        flooder.say(Content::text("never sent"));
        for n in 0..300 {
            let run = run_of(flooder.say(Content::text(n.to_string())).1);
            a.gossip(NodeId([7; 32]), &run);
        }
    }
    let limits = crate::limits::Limits::default();
    assert!(a.chat.pending() <= limits.pending_messages, "{}", a.chat.pending());
    let outs = a.gossip(NodeId([8; 32]), &run_of(first));
    assert_eq!(received(&outs).len(), 6, "the flood put out nothing of another bringer");
    let outs = a.input(In::Message {
        from: NodeId([8; 32]),
        body: encode(&Sync::Runs { conversation: room(), runs: vec![Blob(vec![1, 2, 3])], end: End::Open }),
    });
    assert!(received(&outs).is_empty());
}

/// A profile from before the conversation: the other side has all of it. Mutation: the digest of a conversation that is
/// not here is ignored.
#[test]
fn a_store_from_before_a_private_conversation_gets_all_of_it() {
    let mut pair = Pair::new(Bench::new(1), Bench::new(2));
    pair.link();
    let kind = Conversation::Private(pair.nodes[1].me);
    for text in ["one", "two"] {
        let (said, outs) = pair.nodes[0].step(|c, cx, out| c.say(cx, kind, vec![Content::text(text)], out));
        said.unwrap();
        pair.post(0, outs);
    }
    pair.pass(SECOND);
    let said = core::mem::take(&mut pair.reported[1]);
    assert_eq!(said.len(), 2);
    let now = pair.nodes[1].now;
    pair.nodes[1] = Bench { now, ..Bench::new(2) };
    pair.link();
    pair.pass(7 * SECOND);
    assert_eq!(pair.reported[1], said, "{:?}", pair.sent);
}

/// What is on its way to the disk is not there yet: a verdict that reads the disk before would take a fork for a loss.
/// Mutation: reads of a verdict leave at once.
#[test]
fn a_verdict_reads_the_store_after_all_that_was_taken() {
    let mut writer = Bench::new(2);
    let (_, first) = writer.say(Content::text("first"));
    let (_, second) = writer.say(Content::text("second"));
    let mut a = Bench::new(1);
    a.gossip(writer.me, &run_of(first));
    a.restart([9; 32]);
    let mut outbox = Outbox::new();
    let input = In::GossipReceived { via: writer.me, id: [0; 16], body: second };
    let mut cx = Cx { now: a.now, wall: WallTime(9), me: a.me, rng: &mut a.rng };
    a.chat.handle(&mut cx, input, &mut outbox);
    let emits: Vec<Emit<Out>> = core::iter::from_fn(|| outbox.pop()).collect();
    let read = |e: &Emit<Out>| matches!(e, Emit::Now(Out::Read { .. }) | Emit::Committed(Out::Read { .. }));
    assert!(emits.iter().any(read));
    assert!(emits.iter().filter(|e| read(e)).all(|e| matches!(e, Emit::Committed(_))));
}

/// An author that signs an entry alone and again with the next one. Mutation: a run is dropped as known for one entry.
#[test]
fn a_run_that_is_known_in_part_brings_the_rest() {
    let (mut a, writer) = (Bench::new(1), Bench::new(2));
    let part = |text: &str| {
        let body = Body { salt: [3; 16], sent_at: WallTime(5), content: Some(Content::text(text)) };
        Part { parents: Vec::new(), body: Carried::Body(Blob(encode(&body))) }
    };
    let sign = |texts: &[&str]| {
        let entries = texts.iter().map(|text| part(text)).collect();
        Run::sign(&writer.identity, room(), Parts { life: Life([1; 8]), seq: 1, prev: None, entries }).unwrap()
    };
    assert_eq!(received(&a.gossip(writer.me, &sign(&["one"]))).len(), 1);
    let run = sign(&["one", "two", "three"]);
    assert_eq!(received(&a.gossip(writer.me, &run)), [run.entries[1].id, run.entries[2].id]);
    assert_eq!(received(&a.gossip(writer.me, &run)), []);
    assert_eq!(a.history().len(), 3);
}

/// Two words of one author under one number. Mutation: a fork is not reported.
#[test]
fn a_fork_is_reported_with_its_author_and_number() {
    let (mut a, writer) = (Bench::new(1), Bench::new(2));
    let sign = |text: &str| {
        let body = Body { salt: [3; 16], sent_at: WallTime(5), content: Some(Content::text(text)) };
        let entries = vec![Part { parents: Vec::new(), body: Carried::Body(Blob(encode(&body))) }];
        Run::sign(&writer.identity, room(), Parts { life: Life([1; 8]), seq: 1, prev: None, entries }).unwrap()
    };
    let forked =
        |outs: &[Out]| outs.iter().any(|o| matches!(o, Out::Forked { author, seq: 1, .. } if *author == writer.me));
    assert!(!forked(&a.gossip(writer.me, &sign("one"))));
    let outs = a.gossip(writer.me, &sign("another"));
    assert!(forked(&outs));
    assert_eq!(received(&outs).len(), 1, "both are shown");
}

/// Mutation: `Chat::knows` is false. A neighbour with whom nothing was said in private is not asked about that.
#[test]
fn a_comparison_with_all_includes_private_conversations() {
    let mut bench = Bench::new(1);
    let peer = crate::identity::tests::identity(2).node_id();
    for fact in [up(peer), Fact::NeighbourUp(peer)] {
        bench.fact(&fact);
    }
    bench.advance(bench.now + 60 * SECOND);
    let pulled = |bench: &mut Bench| {
        let outs = bench.input(In::CompareAll);
        bench.advance(bench.now + 60 * SECOND);
        let bodies = outs.into_iter().filter_map(|out| match out {
            Out::Send { body, .. } | Out::Seal { body, .. } => decode::<Sync>(&body, MAX_MESSAGE).ok(),
            _ => None,
        });
        let pulls = bodies.filter(|sync| matches!(sync, Sync::Pull { .. } | Sync::Digest { .. }));
        pulls.map(|sync| sync.conversation()).collect::<Vec<_>>()
    };
    assert_eq!(pulled(&mut bench), [room()]);
    let private = Conversation::Private(peer);
    bench.step(|c, cx, out| c.say(cx, private, vec![Content::text("between us")], out)).0.unwrap();
    let between_us = private_conversation(bench.me, peer);
    assert_eq!(pulled(&mut bench), [between_us, room()]);
}

/// Mutation: `Draft::fits` subtracts what an entry takes besides its text: others refuse the run.
#[test]
fn texts_said_at_once_make_runs_that_others_take() {
    let mut bench = Bench::new(1);
    for second in (15_000..17_000).step_by(40) {
        let (said, outs) = bench.step(|c, cx, out| {
            let texts = [16_000, second].map(|len| Content::text("x".repeat(len)));
            let said = c.say(cx, Conversation::Network, texts.into(), out);
            c.sign(cx, out);
            said
        });
        let bodies = outs.into_iter().filter_map(|o| if let Out::Publish { body } = o { Some(body) } else { None });
        let entries: Vec<_> = bodies.flat_map(|body| run_of(body).entries).map(|entry| entry.id).collect();
        assert_eq!(entries, said.unwrap(), "{second}");
    }
}
