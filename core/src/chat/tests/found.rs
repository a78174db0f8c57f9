//! What an attack on bases, votes, pages and deletion found. Each broke before it was mended.

use super::*;
use crate::chat::retain::{Retention, Walk};
use crate::chat::wire::Height;
use crate::identity::tests::identity;
use crate::wire::entry::LifeId;

fn signed(author: u8, life: u8, entries: Vec<(Vec<Parent>, Option<Content>)>) -> Run {
    let entries = entries
        .into_iter()
        .enumerate()
        .map(|(n, (parents, content))| Part {
            parents,
            body: Carried::Body(Blob(encode(&Body { salt: [n as u8; 16], sent_at: WallTime(1), content }))),
        })
        .collect();
    Run::sign(&identity(author), room(), Parts { life: Life([life; 8]), seq: 1, prev: None, entries }).unwrap()
}

/// Mutation: `begin_anew` waits while something is to be said again.
#[test]
fn a_newcomer_that_spoke_before_a_liar_came_is_not_stuck() {
    let mut net = crowd(2, 300);
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    net.nodes[2].say(Content::text("is anybody here?"));
    let liar = NodeId([7; 32]);
    for fact in [up(liar), Fact::NeighbourUp(liar)] {
        net.nodes[2].fact(&fact);
    }
    let holding = Holding { joined: 1 << 50, base: 1 << 50, floor: 0, page: 1 << 50, newest: 1 << 51 };
    let digest = Sync::Digest { conversation: room(), holding, from: 1 << 50, hash: Some([1; 16]) };
    net.nodes[2].input(In::Message { from: liar, body: encode(&digest) });
    net.pass(2 * SECOND);
    // The liar leaves; only honest peers are there from now on.
    for fact in [Fact::NeighbourDown(liar), down(liar)] {
        net.nodes[2].fact(&fact);
    }
    for n in [0, 1] {
        net.link(2, n);
    }
    net.pass(600 * SECOND);
    let base = net.nodes[2].chat.logs[&room()].base();
    net.say(1, "welcome");
    net.pass(5 * SECOND);
    assert!(base < 300, "{base}");
    assert!(!net.reported[2].is_empty());
}

/// So many references at once that the budget of the asker is spent. Mutation: `Poll::result` counts only answers.
#[test]
fn who_brings_an_entry_vouches_for_its_past_not_alone() {
    let mut net = crowd(3, 300);
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(10 * SECOND);
    let liar = NodeId([7; 32]);
    for fact in [up(liar), Fact::NeighbourUp(liar)] {
        let outs = net.nodes[3].fact(&fact);
        net.post(3, outs);
    }
    net.pass(SECOND);
    let base = net.nodes[3].chat.logs[&room()].base();
    let newest = Parent::of(*net.reported[3].last().unwrap());
    let mut runs = Vec::new();
    for author in 50..53u8 {
        let entry = |e: u16| {
            let all = (0..8u8).map(|p| {
                let mut prefix = [author; 16];
                prefix[1..3].copy_from_slice(&e.to_be_bytes());
                prefix[3] = p;
                Parent { depth: 3, prefix }
            });
            (all.collect(), Some(Content::text("x")))
        };
        runs.push(signed(author, 1, (0..90).map(entry).collect()));
    }
    let deep = Parent { depth: base - 1, prefix: [9; 16] };
    let mut parents = vec![deep, newest];
    parents.sort_unstable();
    let bad = signed(60, 1, vec![(parents, Some(Content::text("invented")))]);
    runs.push(bad.clone());
    for run in &runs {
        let outs = net.nodes[3].input(from(liar, brings(run)));
        net.post(3, outs);
    }
    net.pass(15 * SECOND);
    let id = bad.last().unwrap();
    let mine = net.say(3, "after");
    net.pass(30 * SECOND);
    assert!((0..3).all(|n| net.reported[n].contains(&mine)), "what it says next reaches the others");
    assert!(!net.reported[3].contains(&id), "one liar vouched for an invented past");
}

/// Before it was mended: the walk stops at the end of a run: edits of its entries are deleted, its texts are not.
#[test]
fn a_retracted_message_stays_retracted_when_others_are_deleted() {
    let mut net = Net::new(vec![Bench::with(1, small()), Bench::with(2, small())]);
    net.link(0, 1);
    net.pass(SECOND);
    let texts = (0..30).map(|n| (vec![], Some(Content::text(alloc::format!("secret {n}"))))).collect();
    let run = signed(40, 1, texts);
    let target = run.entries[5].id;
    let parents = vec![Parent::of(run.last().unwrap())];
    let retract = Part {
        parents: vec![],
        body: Carried::Body(Blob(encode(&Body {
            salt: [7; 16],
            sent_at: WallTime(1),
            content: Some(Content::Retract { retract: target }),
        }))),
    };
    let _ = parents;
    let parts = Parts { life: Life([1; 8]), seq: 31, prev: run.last(), entries: vec![retract] };
    let retract = Run::sign(&identity(40), room(), parts).unwrap();
    // Something older, which a walk has to delete before.
    for n in 0..20 {
        net.say(n % 2, &n.to_string());
    }
    for n in 0..2 {
        for r in [&run, &retract] {
            net.nodes[n].gossip(NodeId([7; 32]), r);
        }
    }
    let shown = |net: &mut Net| {
        let h = net.nodes[0].history();
        h.iter().find(|m| m.id == target).map(|m| m.retracted)
    };
    assert_eq!(shown(&mut net), Some(true));
    for n in 0..60 {
        net.say(n % 2, &alloc::format!("more {n}"));
        net.pass(3 * SECOND);
        assert_ne!(shown(&mut net), Some(false), "shown again though it was retracted, after {n}");
    }
}

fn scroller() -> Net {
    let mut roomy = small();
    roomy.chat.keep_entries = 1_000;
    let mut net = Net::new((1..=3).map(|n| Bench::with(n, roomy.clone())).collect());
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        net.link(a, b);
    }
    net
}

/// Before it was mended: the longest known peer says that there is nothing older.
#[test]
fn one_liar_hides_no_older_page() {
    let mut net = scroller();
    for n in 0..400 {
        net.say(n % 3, &n.to_string());
    }
    net.pass(SECOND);
    let config = net.nodes[0].config.clone();
    net.nodes.push(Bench::with(9, config));
    net.reported.push(Vec::new());
    let liar = NodeId([7; 32]);
    for fact in [up(liar), Fact::NeighbourUp(liar)] {
        let outs = net.nodes[3].fact(&fact);
        net.post(3, outs);
    }
    let holding = Holding { joined: 0, base: 0, floor: 0, page: 320, newest: 400 };
    let digest = Sync::Digest { conversation: room(), holding, from: 0, hash: Some([1; 16]) };
    let outs = net.nodes[3].input(In::Message { from: liar, body: encode(&digest) });
    net.post(3, outs);
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(15 * SECOND);
    for lies in [false, true] {
        let (_, outs) = net.nodes[3].step(|c, _, out| c.history(1, Conversation::Network, None, 500, out));
        net.post(3, outs);
        if lies {
            let outs = net.nodes[3].input(from(liar, brings_all(&[], End::Older)));
            net.post(3, outs);
        }
        net.pass(7 * SECOND);
        net.pages.pop();
    }
    for _ in 0..5 {
        net.page(3, None, 500);
    }
    let (texts, _) = net.page(3, None, 500);
    assert_eq!(texts.len(), 400);
}

/// Before it was mended: one large message below the base ends the history.
#[test]
fn a_large_message_ends_no_history() {
    let mut net = scroller();
    let mut said = Vec::new();
    for n in 0..400 {
        let text = if n == 200 { "y".repeat(60_000) } else { n.to_string() };
        said.push(text.clone());
        net.say(n % 3, &text);
    }
    net.pass(SECOND);
    let config = net.nodes[0].config.clone();
    net.nodes.push(Bench::with(9, config));
    net.reported.push(Vec::new());
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(5 * SECOND);
    let seen = net.whole_history(3);
    assert_eq!(seen.len(), said.len());
}

/// Before it was mended: bytes of authors that were first-time stay counted as first-time.
#[test]
fn bytes_of_newcomers_are_subtracted_where_they_were_added() {
    let (config, mut kept) = (small().chat, Retention::default());
    let one = |n: u8| signed(n, 1, vec![(vec![], Some(Content::text("x".repeat(300))))]);
    for n in 1..=16 {
        kept.add(&config, &one(n), 1, true, WallTime(1));
    }
    // Eight days later.
    for n in 1..=16 {
        kept.add(&config, &one(n), 1, false, WallTime(8 * 86_400_000));
    }
    for n in 1..=16 {
        let run = one(n);
        kept.emptied(None, run.last().unwrap(), 1, run.bytes.len());
    }
    kept.add(&config, &one(99), 1, true, WallTime(8 * 86_400_000));
    assert!(!kept.is_greedy(one(99).log.author), "one message of a newcomer among 16 of others");
    let _ = Walk::Shares;
}

/// Before it was mended: a stranger says that it has own entries that do not exist.
#[test]
fn a_claim_to_have_what_was_not_said_releases_nothing() {
    let mut config = small();
    config.chat.page_entries = 10_000;
    let mut net = Net::new(vec![Bench::with(1, config)]);
    let stranger = NodeId([7; 32]);
    let outs = net.nodes[0].fact(&up(stranger));
    net.post(0, outs);
    net.say(0, "first");
    let log = net.nodes[0].chat.logs[&room()].own_log();
    let height = Height { log: LifeId { ..log }, seq: u64::MAX, depth: 1, tip: [0; 8] };
    let pull = Sync::Pull { conversation: room(), from: 0, heights: vec![height], answer: false };
    let outs = net.nodes[0].input(In::Message { from: stranger, body: encode(&pull) });
    net.post(0, outs);
    net.nodes[0].fact(&down(stranger));
    for n in 0..150 {
        net.say(0, &n.to_string());
    }
    net.pass(5 * SECOND);
    assert_eq!(rows(&net.nodes[0]).0, 151);
}

/// Before it was mended: more than 1,024 lives on disk, most below where this node began.
#[test]
fn lives_below_the_base_take_no_place() {
    let mut a = Bench::new(1);
    let mut old = None;
    for n in 0..1_100u32 {
        let mut life = [0; 8];
        life[..4].copy_from_slice(&n.to_be_bytes());
        let body = encode(&Body { salt: [1; 16], sent_at: WallTime(1), content: Some(Content::text("x")) });
        let part = Part { parents: vec![], body: Carried::Body(Blob(body)) };
        let author = if n % 2 == 0 { 3 } else { 4 };
        let run =
            Run::sign(&identity(author), room(), Parts { life: Life(life), seq: 1, prev: None, entries: vec![part] })
                .unwrap();
        a.gossip(NodeId([7; 32]), &run);
        old = run.last();
    }
    let mut newest = old.unwrap();
    let mut who = Vec::new();
    for author in 20..40u8 {
        let run = signed(author, 1, vec![(vec![Parent::of(newest)], Some(Content::text("new")))]);
        a.gossip(NodeId([7; 32]), &run);
        newest = run.last().unwrap();
        who.push(run.log);
    }
    a.step(|c, _, _| {
        let log = c.logs.get_mut(&room()).unwrap();
        log.join_at(2, Life([5; 8]));
        c.unsaved.insert(room());
    });
    a.restart([3; 32]);
    let peer = NodeId([7; 32]);
    a.fact(&up(peer));
    a.fact(&Fact::NeighbourUp(peer));
    let log = &a.chat.logs[&room()];
    let known = who.iter().filter(|l| log.lives.tips(**l).is_some()).count();
    assert!(!log.lives.is_complete() || known == 20);
}

fn aged() -> Net {
    let mut config = Config::default();
    config.chat.keep_for = Duration::from_secs(86_400);
    let mut net = Net::new(vec![Bench::with(1, config), Bench::new(2)]);
    net.link(0, 1);
    net.say(1, "yesterday");
    net.nodes[0].wall = WallTime(9 + 90_000_000);
    net
}

/// Before it was mended: nothing is said after a restart.
#[test]
fn old_texts_go_after_a_restart_too() {
    let mut net = aged();
    net.nodes[0].restart([8; 32]);
    net.pass(7_300 * SECOND);
    assert_eq!(net.texts(0), [] as [&str; 0]);
}

/// Before it was mended: what was vouched for as a parent is taken for the entry before another one, of another author's log.
#[test]
fn a_parent_that_was_vouched_for_is_no_entry_before() {
    let mut net = crowd(3, 400);
    let old = *rows(&net.nodes[0]).2.iter().nth(10).unwrap();
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(5 * SECOND);
    let newest = Parent::of(*net.reported[3].last().unwrap());
    let first = signed(50, 1, vec![(vec![Parent::of(old), newest], Some(Content::text("about old times")))]);
    let body = encode(&Body { salt: [1; 16], sent_at: WallTime(1), content: Some(Content::text("bad")) });
    let part = Part { parents: vec![Parent::of(first.last().unwrap())], body: Carried::Body(Blob(body)) };
    let parts = Parts { life: Life([2; 8]), seq: 5, prev: Some(old), entries: vec![part] };
    let bad = Run::sign(&identity(50), room(), parts).unwrap();
    for run in [&first, &bad] {
        for n in 0..4 {
            let outs = net.nodes[n].gossip(NodeId([7; 32]), run);
            net.post(n, outs);
        }
        net.pass(15 * SECOND);
    }
    let took: Vec<bool> = (0..4).map(|n| net.reported[n].contains(&bad.last().unwrap())).collect();
    let mine = net.say(3, "after");
    net.pass(1_000 * SECOND);
    assert!((0..3).all(|n| net.reported[n].contains(&mine)), "silenced; took: {took:?}");
}

/// Before it was mended: a stranger brings honest old runs without their texts; the texts never come.
#[test]
fn texts_below_the_base_that_were_held_back_come_later() {
    let mut net = scroller();
    let said: Vec<String> = (0..400).map(|n: usize| n.to_string()).collect();
    for (n, text) in said.iter().enumerate() {
        net.say(n % 3, text);
    }
    net.pass(SECOND);
    let config = net.nodes[0].config.clone();
    net.nodes.push(Bench::with(9, config));
    net.reported.push(Vec::new());
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(5 * SECOND);
    net.nodes[3].fact(&up(NodeId([7; 32])));
    let scan = Scan {
        table: ENTRIES,
        start: vec![],
        end: vec![255; 60],
        reverse: false,
        limit: u32::MAX,
        max_bytes: u32::MAX,
    };
    for record in net.nodes[0].store.scan(&scan).into_iter().take(300) {
        if let At::End(held) = Row::read(&record.value).unwrap().at {
            let outs = net.nodes[3].input(brings(&bare(&run_of(held.run.0))));
            net.post(3, outs);
            net.pass(SECOND);
        }
    }
    let seen = net.whole_history(3);
    assert_eq!(seen.len(), said.len());
}

/// Before it was mended: the other side of a private conversation empties it here.
#[test]
fn a_partner_empties_no_private_conversation() {
    let (mut a, p) = (Bench::new(1), NodeId([7; 32]));
    a.fact(&up(p));
    a.step(|c, cx, out| c.say(cx, Conversation::Private(p), vec![Content::text("evidence")], out).unwrap());
    let private = crate::wire::content::private_conversation(a.me, p);
    let log = a.chat.logs[&private].own_log();
    let heights = vec![Height { log, seq: 1, depth: 1, tip: [0; 8] }];
    let pull = Sync::Pull { conversation: private, from: 0, heights, answer: false };
    a.input(In::Message { from: p, body: encode(&pull) });
    for (at, page) in [(0, 1 << 50), (1, 1 << 50), (63, 0)] {
        let holding = Holding { joined: 0, base: page, floor: 0, page, newest: 0 };
        let digest = Sync::Digest { conversation: private, holding, from: 0, hash: Some([1; 16]) };
        let now = a.now + Duration::from_secs(at);
        a.advance(now);
        a.input(In::Message { from: p, body: encode(&digest) });
    }
    let (_, outs) = a.step(|c, _, out| c.history(1, Conversation::Private(p), None, 10, out));
    let page =
        outs.into_iter().find_map(|o| if let Out::Page { messages, .. } = o { Some(messages.len()) } else { None });
    assert_eq!(page, Some(1));
}
