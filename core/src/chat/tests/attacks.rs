//! What was shown to break conversations before they were logs, each attack with what honest nodes get meanwhile.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::bench::{Bench, received};
use crate::chat::wire::{Height, Holding, Sync};
use crate::chat::{In, Out};
use crate::collections::short;
use crate::error::CommandError;
use crate::fact::Fact;
use crate::fact::samples::up;
use crate::id::{Life, MessageId, NodeId};
use crate::identity::tests::identity;
use crate::store::MemoryStore;
use crate::time::{Duration, WallTime};
use crate::wire::content::{Content, Conversation, network_conversation, private_conversation};
use crate::wire::entry::{Body, Carried, LifeId, Parent, Part, Parts, Run};
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};

fn body(n: u64, content: Content) -> Carried {
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&n.to_le_bytes());
    Carried::Body(Blob(encode(&Body { salt, sent_at: WallTime(1), content: Some(content) })))
}

/// One entry of any author.
fn entry(author: u8, n: u64, prev: Option<(u64, MessageId)>, parents: Vec<Parent>) -> Run {
    entry_of(author, Life([1; 8]), prev, Part { parents, body: body(n, Content::text(n.to_string())) })
}

fn entry_of(author: u8, life: Life, prev: Option<(u64, MessageId)>, part: Part) -> Run {
    let seq = prev.map_or(0, |(seq, _)| seq) + 1;
    let parts = Parts { life, seq, prev: prev.map(|(_, id)| id), entries: vec![part] };
    Run::sign(&identity(author), network_conversation(&[0; 32]), parts).unwrap()
}

fn link(a: &mut Bench, b: &mut Bench) {
    let mut mail = Vec::new();
    for (from, to) in [(0, 1), (1, 0)] {
        let peer = [a.me, b.me][to];
        let bench = if from == 0 { &mut *a } else { &mut *b };
        for fact in [up(peer), Fact::NeighbourUp(peer)] {
            mail.extend(bench.fact(&fact).into_iter().map(|o| (from, o)));
        }
    }
    carry(a, b, mail);
}

/// Carries what two nodes say to each other, for a while. Returns what each of them reports, and the bytes of the
/// second to the first.
fn carry(a: &mut Bench, b: &mut Bench, mut mail: Vec<(usize, Out)>) -> (Vec<MessageId>, usize) {
    let (mut reported, mut bytes) = (Vec::new(), 0);
    for _ in 0..400 {
        while !mail.is_empty() {
            let (from, out) = mail.remove(0);
            let sender = [a.me, b.me][from];
            let bench = if from == 0 { &mut *b } else { &mut *a };
            let more = match out {
                Out::Seal { body, .. } => {
                    bytes += if from == 1 { body.len() } else { 0 };
                    bench.input(In::Opened { from: sender, body })
                }
                Out::Send { body, .. } => {
                    bytes += if from == 1 { body.len() } else { 0 };
                    bench.input(In::Message { from: sender, body })
                }
                Out::Publish { body } => bench.input(In::GossipReceived { via: sender, id: [0; 16], body }),
                Out::Submit { ids, body, .. } => {
                    let id = short(&ids.last().unwrap().hash);
                    bench.input(In::DirectReceived { from: sender, id, body })
                }
                _ => continue,
            };
            reported.extend(received(&more));
            mail.extend(more.into_iter().map(|o| (1 - from, o)));
        }
        for (n, bench) in [&mut *a, &mut *b].into_iter().enumerate() {
            let now = bench.now + Duration::from_millis(250);
            let outs = bench.advance(now);
            reported.extend(received(&outs));
            mail.extend(outs.into_iter().map(|o| (n, o)));
        }
    }
    (reported, bytes)
}

fn texts(bench: &mut Bench) -> Vec<alloc::string::String> {
    bench.history().iter().map(|m| m.shown().to_string()).collect()
}

/// Mutation: a node refuses an entry that follows the version it did not get.
#[test]
fn two_words_under_one_number_split_no_conversation() {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    link(&mut a, &mut b);
    // The liar's second entry differs, and so does its depth.
    let (_, seen) = a.say(Content::text("honest"));
    let seen = Run::decode_signed(network_conversation(&[0; 32]), seen).unwrap();
    b.gossip(a.me, &seen);
    let first = entry(9, 1, None, Vec::new());
    let at = (1, first.last().unwrap());
    let shallow = entry(9, 2, Some(at), Vec::new());
    let deep = entry(9, 3, Some(at), vec![Parent::of(seen.last().unwrap())]);
    for run in [&first, &shallow] {
        a.gossip(b.me, run);
    }
    for run in [&first, &deep] {
        b.gossip(a.me, run);
    }
    let (_, after_shallow) = a.say(Content::text("after the shallow one"));
    let (_, after_deep) = b.say(Content::text("after the deep one"));
    let after_shallow = Run::decode_signed(network_conversation(&[0; 32]), after_shallow).unwrap();
    let after_deep = Run::decode_signed(network_conversation(&[0; 32]), after_deep).unwrap();
    let mut mail: Vec<(usize, Out)> = b.gossip(a.me, &after_shallow).into_iter().map(|o| (1, o)).collect();
    mail.extend(a.gossip(b.me, &after_deep).into_iter().map(|o| (0, o)));
    carry(&mut a, &mut b, mail);
    let (one, other) = (texts(&mut a), texts(&mut b));
    assert_eq!(one, other);
    for text in ["after the shallow one", "after the deep one", "2", "3"] {
        assert!(one.iter().any(|t| t == text), "{text} is in {one:?}");
    }
    let forks = |bench: &Bench| bench.chat.logs[&bench.chat.network].state().forked.len();
    assert_eq!((forks(&a), forks(&b)), (1, 1), "both know that the author forked");
}

/// Mutation: an entry is judged by what is in memory, without reads.
#[test]
fn a_restart_makes_no_node_take_what_others_refuse() {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    let first = entry(9, 1, None, Vec::new());
    let other = entry(8, 1, None, Vec::new());
    for bench in [&mut a, &mut b] {
        bench.gossip(NodeId([7; 32]), &first);
        bench.gossip(NodeId([7; 32]), &other);
    }
    b.restart([5; 32]);
    // Number 3 after number 1; and a second entry that follows another author's.
    let jump = Parts {
        life: Life([1; 8]),
        seq: 3,
        prev: first.last(),
        entries: vec![Part { parents: Vec::new(), body: body(4, Content::text("jump")) }],
    };
    let jump = Run::sign(&identity(9), network_conversation(&[0; 32]), jump).unwrap();
    let stolen = entry(9, 5, Some((1, other.last().unwrap())), Vec::new());
    for run in [&jump, &stolen] {
        for bench in [&mut a, &mut b] {
            let outs = bench.gossip(NodeId([7; 32]), run);
            assert!(outs.iter().any(|o| matches!(o, Out::GossipValidated { genuine: false, .. })), "{outs:?}");
        }
    }
    assert_eq!(texts(&mut a), texts(&mut b));
}

/// 1,500 keys that never were nodes, then one honest author. Mutation: a limit on authors.
#[test]
fn no_number_of_authors_silences_the_next_one() {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    link(&mut a, &mut b);
    let room = network_conversation(&[0; 32]);
    for n in 0..1_500u64 {
        let mut entropy = [0; 64];
        entropy[..8].copy_from_slice(&(n + 1_000).to_le_bytes());
        let who = crate::identity::Identity::generate(entropy, "x", WallTime(0)).unwrap();
        let part = Part { parents: Vec::new(), body: body(n, Content::text("spam")) };
        let parts = Parts { life: Life([1; 8]), seq: 1, prev: None, entries: vec![part] };
        let run = Run::sign(&who, room, parts).unwrap();
        for bench in [&mut a, &mut b] {
            bench.gossip(NodeId([7; 32]), &run);
        }
    }
    let (_, said) = a.say(Content::text("still heard"));
    let run = Run::decode_signed(room, said).unwrap();
    let outs = b.gossip(a.me, &run);
    assert_eq!(received(&outs).last(), run.last().as_ref());
    b.restart([4; 32]);
    let (_, said) = b.say(Content::text("and after a restart"));
    let run = Run::decode_signed(room, said).unwrap();
    assert_eq!(received(&a.gossip(b.me, &run)).last(), run.last().as_ref());
    assert!(a.chat.logs[&a.chat.network].entries() < 5_000, "memory is flat");
}

/// 1,000 entries with parents that no node has reach a newcomer first. Mutation: what waits has no share for each bringer,
/// or a pull waits behind it.
#[test]
fn made_up_parents_keep_no_newcomer_from_catching_up() {
    let catch_up = |ghosts: u64| {
        let (mut a, mut b) = (Bench::new(1), Bench::new(2));
        for n in 0..300 {
            b.say(Content::text(n.to_string()));
        }
        for n in 0..ghosts {
            let parent = Parent { depth: 1 + n % 7, prefix: [n as u8; 16] };
            let run = entry(9, n, None, vec![parent]);
            a.gossip(NodeId([7; 32]), &run);
        }
        let mut mail = Vec::new();
        let (here, there) = (a.me, b.me);
        for fact in [up(there), Fact::NeighbourUp(there)] {
            mail.extend(a.fact(&fact).into_iter().map(|o| (0, o)));
        }
        for fact in [up(here), Fact::NeighbourUp(here)] {
            mail.extend(b.fact(&fact).into_iter().map(|o| (1, o)));
        }
        let (reported, bytes) = carry(&mut a, &mut b, mail);
        assert_eq!(reported.len(), 300);
        bytes
    };
    let (alone, attacked) = (catch_up(0), catch_up(1_000));
    assert!(attacked * 9 <= alone * 10, "an attack costs the server {attacked} bytes, {alone} without it");
}

/// Mutation: heights that a peer claims are believed.
#[test]
fn a_claim_of_the_greatest_number_changes_nothing() {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    link(&mut a, &mut b);
    let private = private_conversation(a.me, b.me);
    let kind = Conversation::Private(b.me);
    let (said, outs) = a.step(|c, cx, out| c.say(cx, kind, vec![Content::text("one")], out));
    assert!(said.is_ok());
    carry(&mut a, &mut b, outs.into_iter().map(|o| (0, o)).collect());
    for conversation in [private, network_conversation(&[0; 32])] {
        let life = a.chat.logs.get(&conversation).map_or(Life([1; 8]), |log| log.own_log().life);
        let log = LifeId { author: a.me, life };
        let heights = vec![Height { log, seq: u64::MAX, depth: u64::MAX, tip: [9; 8] }];
        let claim = encode(&Sync::Pull { conversation, from: 0, heights, answer: true });
        let outs = a.input(In::Message { from: b.me, body: claim });
        carry(&mut a, &mut b, outs.into_iter().map(|o| (0, o)).collect());
    }
    let (_, outs) = a.step(|c, cx, out| c.say(cx, kind, vec![Content::text("two")], out));
    let (reported, _) = carry(&mut a, &mut b, outs.into_iter().map(|o| (0, o)).collect());
    assert_eq!(reported.len(), 1, "it is delivered as before");
}

/// Mutation: `Taken::void` is never set.
#[test]
fn an_edit_of_anything_but_an_own_message_has_no_effect() {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    link(&mut a, &mut b);
    let room = network_conversation(&[0; 32]);
    let (id, said) = a.say(Content::text("mine"));
    let run = Run::decode_signed(room, said).unwrap();
    b.gossip(a.me, &run);
    // Refused where it is said.
    for content in [Content::Edit { edit_of: id, text: "yours".into() }, Content::Retract { retract: id }] {
        let (result, _) = b.step(|c, cx, out| c.say(cx, Conversation::Network, vec![content], out));
        assert_eq!(result, Err(CommandError::Unknown("message of this conversation")));
    }
    let elsewhere = Content::Reply { reply_to: MessageId { depth: 1, hash: [3; 32] }, text: "what?".into() };
    let (result, _) = b.step(|c, cx, out| c.say(cx, Conversation::Network, vec![elsewhere], out));
    assert!(result.is_err());
    // A hostile author says it all the same.
    let mut prev = None;
    for (n, content) in
        [Content::Edit { edit_of: id, text: "forged".into() }, Content::Retract { retract: id }].into_iter().enumerate()
    {
        let part = Part { parents: vec![Parent::of(id)], body: body(n as u64, content) };
        let run = entry_of(9, Life([1; 8]), prev, part);
        prev = Some((n as u64 + 1, run.last().unwrap()));
        for bench in [&mut a, &mut b] {
            let outs = bench.gossip(NodeId([7; 32]), &run);
            assert_eq!(received(&outs), [], "it is not reported");
            assert!(outs.iter().any(|o| matches!(o, Out::GossipValidated { genuine: true, .. })), "it is passed on");
        }
    }
    assert_eq!((texts(&mut a), texts(&mut b)), (vec!["mine".into()], vec!["mine".into()]));
    // The author's own edit and retraction have one, at both.
    for (content, shown) in
        [(Content::Edit { edit_of: id, text: "better".into() }, "better"), (Content::Retract { retract: id }, "")]
    {
        let (_, said) = a.say(content);
        b.gossip(a.me, &Run::decode_signed(room, said).unwrap());
        for bench in [&mut a, &mut b] {
            assert_eq!(bench.history()[0].shown(), shown);
        }
    }
}

/// A profile restored from a backup, in a private conversation. Mutation: `Chat::take` begins no life; own entries that
/// come back are refused.
#[test]
fn a_restored_profile_reads_and_writes_private_messages() {
    let (mut a, mut b) = (Bench::new(1), Bench::new(2));
    link(&mut a, &mut b);
    let say = |from: &mut Bench, to: NodeId, text: &str| {
        let (id, outs) = from.step(|c, cx, out| c.say(cx, Conversation::Private(to), vec![Content::text(text)], out));
        id.unwrap();
        outs
    };
    let here = |outs: Vec<Out>| outs.into_iter().map(|o| (0, o)).collect();
    let there = |outs: Vec<Out>| outs.into_iter().map(|o| (1, o)).collect();
    let (me, peer) = (a.me, b.me);
    let outs = say(&mut a, peer, "before the backup");
    carry(&mut a, &mut b, here(outs));
    let backup: MemoryStore = a.store.clone();
    let outs = say(&mut a, peer, "lost");
    carry(&mut a, &mut b, here(outs));
    a.store = backup;
    a.restart([6; 32]);
    link(&mut a, &mut b);
    // Said before this node knows what it lost: under the number of the lost one.
    let outs = say(&mut a, peer, "under the lost number");
    carry(&mut a, &mut b, here(outs));
    let outs = say(&mut b, me, "an answer to all");
    let (reported, _) = carry(&mut a, &mut b, there(outs));
    assert_eq!(reported.len(), 1, "the answer is shown");
    let outs = say(&mut a, peer, "after all");
    carry(&mut a, &mut b, here(outs));
    let history = |bench: &mut Bench, with: NodeId| {
        let (_, outs) = bench.step(|c, _, out| c.history(1, Conversation::Private(with), None, 100, out));
        let page =
            outs.into_iter().find_map(|o| if let Out::Page { messages, .. } = o { Some(messages) } else { None });
        page.unwrap().iter().map(|m| m.shown().to_string()).collect::<Vec<_>>()
    };
    let all = history(&mut b, me);
    assert_eq!(all.len(), 5, "{all:?}");
    let mine = history(&mut a, peer);
    // What was lost stands as a header: the other side could have made it up.
    let without: Vec<_> = all.iter().filter(|t| *t != "lost").cloned().collect();
    assert_eq!(mine, without, "the same order");
}

/// Bytes that a node sends in answer to one peer that asks the same again and again, a thousand times in ten seconds.
fn answered(mut ask: impl FnMut(&mut Bench, NodeId, u64) -> In) -> (usize, usize) {
    let (mut a, b) = (Bench::new(1), Bench::new(2));
    for n in 0..200 {
        a.say(Content::text(alloc::format!("{n} {}", "x".repeat(10_000))));
    }
    for fact in [up(b.me), Fact::NeighbourUp(b.me)] {
        a.fact(&fact);
    }
    let (mut asked, mut sent) = (0, 0);
    for n in 0..1_000 {
        let input = ask(&mut a, b.me, n);
        if let In::Message { body, .. } = &input {
            asked += body.len();
        }
        let mut outs = a.input(input);
        let now = a.now + Duration::from_millis(10);
        outs.extend(a.advance(now));
        sent += outs
            .iter()
            .map(|o| if let Out::Send { body, .. } | Out::Seal { body, .. } = o { body.len() } else { 0 })
            .sum::<usize>();
    }
    (asked, sent)
}

/// Mutation: `Chat::wanted` does not look at the peer's pace.
#[test]
fn a_peer_that_wants_the_same_again_is_served_at_a_rate() {
    let conversation = network_conversation(&[0; 32]);
    let mut parents = Vec::new();
    let (_, sent) = answered(|a, from, _| {
        if parents.is_empty() {
            parents = a.history().iter().map(|m| Parent::of(m.id)).collect();
        }
        In::Message { from, body: encode(&Sync::Want { conversation, parents: parents.clone() }) }
    });
    // 2 MiB, which were asked for at once, and eleven seconds of an eighth of the rate of catching up.
    assert!(sent < (3 << 20) + 11 * (256 << 10), "{sent} bytes");
}

/// Mutation: a `Pull` that brought nothing has no pause.
#[test]
fn a_peer_that_claims_what_it_has_not_is_asked_ever_more_rarely() {
    let conversation = network_conversation(&[0; 32]);
    let (asked, sent) = answered(|_, from, n| {
        let hash = [n as u8; 16];
        // It answers each question with nothing.
        let claim = Sync::Digest { conversation, holding: Holding::default(), from: 0, hash: Some(hash) };
        let nothing =
            Sync::Runs { conversation, runs: Vec::new(), end: crate::chat::wire::End::Pulled { more: false } };
        In::Message { from, body: encode(if n % 2 == 0 { &claim } else { &nothing }) }
    });
    assert!(sent < asked / 10, "{sent} bytes for {asked}");
}

/// Mutation: `Chat::sync` does not look at `sealed`; `send` sends everything alike.
#[test]
fn what_is_said_of_a_private_conversation_goes_sealed_only() {
    let (mut a, b) = (Bench::new(1), Bench::new(2));
    a.fact(&up(b.me));
    let kind = Conversation::Private(b.me);
    let (said, _) = a.step(|c, cx, out| c.say(cx, kind, vec![Content::text("private")], out));
    assert!(said.is_ok());
    let private = private_conversation(a.me, b.me);
    let pull = |conversation| encode(&Sync::Pull { conversation, from: 0, heights: Vec::new(), answer: true });
    let (network, private) = (pull(a.chat.network), pull(private));
    let drops = |a: &Bench| a.chat.drops.get(crate::stats::DropReason::Message);
    a.input(In::Message { from: b.me, body: private.clone() });
    a.input(In::Opened { from: b.me, body: network });
    assert_eq!(drops(&a), 2);
    let mut outs = a.input(In::Opened { from: b.me, body: private });
    outs.extend(a.advance(a.now + Duration::from_secs(5)));
    outs.extend(a.input(In::Ready(b.me)));
    assert_eq!(drops(&a), 2);
    assert!(outs.iter().filter(|o| matches!(o, Out::Seal { .. })).count() > 1, "an answer and a greeting");
    assert!(!outs.iter().any(|o| matches!(o, Out::Send { .. })), "{outs:?}");
}

/// Mutation: `Log::begin_life` reports each time.
#[test]
fn made_up_own_words_are_reported_once_an_hour() {
    let (mut a, b) = (Bench::new(1), Bench::new(2));
    a.fact(&up(b.me));
    let private = private_conversation(a.me, b.me);
    let kind = Conversation::Private(b.me);
    let mut reports = 0;
    for n in 0..50u64 {
        let (ids, _) = a.step(|c, cx, out| {
            let ids = c.say(cx, kind, vec![Content::text(n.to_string())], out);
            c.sign(cx, out);
            ids
        });
        let (life, seq) = {
            let log = &a.chat.logs[&private];
            (log.own_log().life, log.lives.heights(0).iter().find(|h| h.log == log.own_log()).unwrap().seq)
        };
        let part = Part { parents: Vec::new(), body: body(n, Content::text("never said")) };
        let parts = Parts { life, seq: seq + 1, prev: Some(ids.unwrap()[0]), entries: vec![part] };
        let run = Run::plain(private, a.me, parts).unwrap();
        let runs = Sync::Runs { conversation: private, runs: vec![Blob(run.bytes)], end: crate::chat::wire::End::Open };
        let outs = a.input(In::Opened { from: b.me, body: encode(&runs) });
        reports += outs.iter().filter(|o| matches!(o, Out::LifeBegun { .. })).count();
        assert!(received(&outs).is_empty(), "made-up words are not shown");
    }
    assert_eq!(reports, 1);
    let (_, outs) = a.step(|c, _, out| c.history(1, kind, None, 100, out));
    let shown = outs.iter().find_map(|o| if let Out::Page { messages, .. } = o { Some(messages.len()) } else { None });
    assert_eq!(shown, Some(50), "what was said, and nothing that was made up");
}

/// Each question made a conversation and a row, and 4,096 of them ended private messages with new people for good.
/// Mutation: a log is made before a run was read.
#[test]
fn who_only_asks_takes_no_place_for_a_conversation() {
    let mut a = Bench::new(1);
    for n in 0..200u8 {
        let peer = NodeId([n; 32]);
        a.fact(&up(peer));
        let conversation = private_conversation(a.me, peer);
        let digest = |hash| Sync::Digest { conversation, holding: Holding::default(), from: 0, hash };
        let runs = |runs, end| Sync::Runs { conversation, runs, end };
        for question in [
            digest(None),
            digest(Some([n; 16])),
            Sync::Pull { conversation, from: 0, heights: Vec::new(), answer: true },
            Sync::Want { conversation, parents: Vec::new() },
            runs(Vec::new(), crate::chat::wire::End::Open),
            runs(Vec::new(), crate::chat::wire::End::Pulled { more: true }),
            runs(vec![Blob(vec![n; 100])], crate::chat::wire::End::Open),
        ] {
            let outs = a.input(In::Message { from: peer, body: encode(&question) });
            assert!(received(&outs).is_empty());
        }
    }
    assert!(a.chat.private.is_empty() && a.chat.logs.len() <= 1, "{} conversations", a.chat.logs.len());
}

/// Bob brings a made-up entry of Alice's laptop to her phone, and the laptop its own one under the same number.
/// Mutation: each fork of a private conversation is reported.
#[test]
fn the_other_side_proves_no_fork_of_an_own_device() {
    let (mut phone, bob, laptop) = (Bench::new(1), NodeId([2; 32]), NodeId([3; 32]));
    phone.input(In::Devices { person: phone.me, devices: vec![phone.me, laptop] });
    phone.fact(&up(bob));
    phone.fact(&up(laptop));
    let conversation = private_conversation(phone.me, bob);
    let kind = Conversation::Private(bob);
    let (said, _) = phone.step(|c, cx, out| c.say(cx, kind, vec![Content::text("hi")], out));
    assert!(said.is_ok());
    let brings = |from, author, n: u64| {
        let part = Part { parents: Vec::new(), body: body(n, Content::text(n.to_string())) };
        let parts = Parts { life: Life([7; 8]), seq: 1, prev: None, entries: vec![part] };
        let run = Run::plain(conversation, author, parts).unwrap();
        let runs = Sync::Runs { conversation, runs: vec![Blob(run.bytes)], end: crate::chat::wire::End::Open };
        In::Opened { from, body: encode(&runs) }
    };
    let is_forked = |outs: &[Out]| outs.iter().any(|o| matches!(o, Out::Forked { .. }));
    assert!(!is_forked(&phone.input(brings(bob, laptop, 1))));
    let outs = phone.input(brings(laptop, laptop, 2));
    assert!(!is_forked(&outs), "{outs:?}");
    assert_eq!(received(&outs).len(), 1, "what the laptop said is shown");
    // What Bob himself said twice is another matter.
    phone.input(brings(bob, bob, 3));
    assert!(is_forked(&phone.input(brings(bob, bob, 4))));
}

/// Made-up answers had each node ask once a second for each that waited. Mutation: the pause does not grow.
#[test]
fn what_no_peer_has_is_asked_for_ever_more_rarely() {
    let mut a = Bench::new(1);
    let peer = NodeId([7; 32]);
    for fact in [up(peer), Fact::NeighbourUp(peer)] {
        a.fact(&fact);
    }
    a.gossip(peer, &entry(9, 1, None, vec![Parent { depth: 5, prefix: [9; 16] }]));
    let mut asked = 0;
    for _ in 0..600 {
        let now = a.now + Duration::from_millis(100);
        let wants = |out: &Out| match out {
            Out::Send { body, .. } => matches!(decode(body, MAX_MESSAGE), Ok(Sync::Want { .. })),
            _ => false,
        };
        asked += a.advance(now).iter().filter(|out| wants(out)).count();
    }
    assert!((3..=10).contains(&asked), "{asked} questions in a minute");
}
