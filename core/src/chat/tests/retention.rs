//! What is deleted, what is held back, and where a newcomer begins (docs/design/log.md §6).

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::bench::{Bench, received};
use crate::chat::rows::{At, ENTRIES, Row, entry_id};
use crate::chat::wire::{End, Holding, Sync};
use crate::chat::{In, Out};
use crate::collections::OrderedSet;
use crate::config::Config;
use crate::fact::Fact;
use crate::fact::samples::{down, up};
use crate::id::{ConversationId, Life, MessageId, NodeId};
use crate::identity::tests::identity;
use crate::store::Scan;
use crate::time::{Duration, WallTime};
use crate::wire::content::{Content, Conversation, Message, network_conversation};
use crate::wire::entry::{Body, Carried, Parent, Part, Parts, Reference, Run};
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};

const SECOND: Duration = Duration::from_secs(1);

fn room() -> ConversationId {
    network_conversation(&[0; 32])
}

fn run_of(body: Vec<u8>) -> Run {
    Run::decode_signed(room(), body).unwrap()
}

fn bare(run: &Run) -> Run {
    run.clone().without_bodies().unwrap()
}

fn brings(run: &Run) -> In {
    brings_all(core::slice::from_ref(run), End::Open)
}

fn brings_all(runs: &[Run], end: End) -> In {
    let runs = runs.iter().map(|r| Blob(r.bytes.clone())).collect();
    In::Message { from: NodeId([7; 32]), body: encode(&Sync::Runs { conversation: room(), runs, end }) }
}

/// The same from another peer.
fn from(peer: NodeId, input: In) -> In {
    if let In::Message { body, .. } = input { In::Message { from: peer, body } } else { input }
}

/// Nodes that are linked with each other, and what they say.
struct Net {
    nodes: Vec<Bench>,
    reported: Vec<Vec<MessageId>>,
    sent: Vec<(usize, Sync)>,
    mail: Vec<(usize, NodeId, In)>,
    pages: Vec<(Vec<Message>, Option<MessageId>)>,
}

impl Net {
    fn new(nodes: Vec<Bench>) -> Self {
        let reported = nodes.iter().map(|_| Vec::new()).collect();
        Self { nodes, reported, sent: Vec::new(), mail: Vec::new(), pages: Vec::new() }
    }

    fn link(&mut self, a: usize, b: usize) {
        for (n, peer) in [(a, self.nodes[b].me), (b, self.nodes[a].me)] {
            for fact in [up(peer), Fact::NeighbourUp(peer)] {
                let outs = self.nodes[n].fact(&fact);
                self.post(n, outs);
            }
        }
    }

    fn unlink(&mut self, a: usize, b: usize) {
        for (n, peer) in [(a, self.nodes[b].me), (b, self.nodes[a].me)] {
            for fact in [Fact::NeighbourDown(peer), down(peer)] {
                self.nodes[n].fact(&fact);
            }
        }
    }

    fn say(&mut self, n: usize, text: &str) -> MessageId {
        let (id, body) = self.nodes[n].say(Content::text(text));
        let me = self.nodes[n].me;
        for other in 0..self.nodes.len() {
            if self.nodes[other].chat.linked.contains_key(&me) {
                let input = In::GossipReceived { via: me, id: [0; 16], body: body.clone() };
                let outs = self.nodes[other].input(input);
                self.post(other, outs);
            }
        }
        id
    }

    fn post(&mut self, n: usize, outs: Vec<Out>) {
        self.reported[n].extend(received(&outs));
        let me = self.nodes[n].me;
        for out in outs {
            match out {
                Out::Send { to, body, .. } => {
                    self.sent.push((n, decode(&body, MAX_MESSAGE).unwrap()));
                    self.mail.push((n, to, In::Message { from: me, body }));
                }
                Out::Seal { to, body, .. } => {
                    self.sent.push((n, decode(&body, MAX_MESSAGE).unwrap()));
                    self.mail.push((n, to, In::Opened { from: me, body }));
                }
                Out::Publish { body } => {
                    for other in (0..self.nodes.len()).filter(|x| *x != n) {
                        if self.nodes[other].chat.linked.contains_key(&me) {
                            let input = In::GossipReceived { via: me, id: [0; 16], body: body.clone() };
                            self.mail.push((n, self.nodes[other].me, input));
                        }
                    }
                }
                Out::Page { messages, older, .. } => self.pages.push((messages, older)),
                _ => {}
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / 100 {
            while !self.mail.is_empty() {
                let (from, to, input) = self.mail.remove(0);
                let sender = self.nodes[from].me;
                let Some(at) = self.nodes.iter().position(|x| x.me == to) else { continue };
                if self.nodes[at].chat.linked.contains_key(&sender) {
                    let outs = self.nodes[at].input(input);
                    self.post(at, outs);
                }
            }
            for n in 0..self.nodes.len() {
                let now = self.nodes[n].now + Duration::from_millis(100);
                let outs = self.nodes[n].advance(now);
                self.post(n, outs);
            }
        }
    }

    fn texts(&mut self, n: usize) -> Vec<String> {
        self.nodes[n].history().iter().map(|m| m.content.shown().to_string()).collect()
    }

    /// All pages, as a person scrolls to them.
    fn whole_history(&mut self, n: usize) -> Vec<String> {
        let (mut seen, mut before): (Vec<String>, Option<MessageId>) = (Vec::new(), None);
        for _ in 0..30 {
            let (texts, older) = self.page(n, before, 50);
            seen.splice(0..0, texts);
            before = older;
            if older.is_none() {
                break;
            }
        }
        seen
    }

    /// A page of history, also if others are asked for it.
    fn page(&mut self, n: usize, before: Option<MessageId>, limit: u32) -> (Vec<String>, Option<MessageId>) {
        let (_, outs) = self.nodes[n].step(|c, _, out| c.history(1, Conversation::Network, before, limit, out));
        self.post(n, outs);
        self.pass(7 * SECOND);
        let (messages, older) = self.pages.pop().unwrap();
        (messages.iter().map(|m| m.content.shown().to_string()).collect(), older)
    }
}

/// Runs with and without bodies on disk, and the entries there.
fn rows(bench: &Bench) -> (usize, usize, OrderedSet<MessageId>) {
    let scan = Scan {
        table: ENTRIES,
        start: Vec::new(),
        end: vec![255; 60],
        reverse: false,
        limit: u32::MAX,
        max_bytes: u32::MAX,
    };
    let (mut whole, mut headers, mut ids) = (0, 0, OrderedSet::new());
    for record in bench.store.scan(&scan) {
        ids.insert(entry_id(&record.key).unwrap());
        if let At::End(held) = Row::read(&record.value).unwrap().at {
            let is_bare = run_of(held.run.0).is_bare();
            (whole, headers) = if is_bare { (whole, headers + 1) } else { (whole + 1, headers) };
        }
    }
    (whole, headers, ids)
}

fn small() -> Config {
    let mut config = Config::default();
    config.chat.keep_entries = 64;
    config.chat.page_entries = 80;
    config.chat.page_for = Duration::ZERO;
    config
}

/// A peer hands on a message without its text; an honest one has it. Mutation: `Chat::fits` takes what is bare at once.
#[test]
fn a_text_that_one_peer_holds_back_comes_from_another() {
    let mut writer = Bench::new(2);
    let first = run_of(writer.say(Content::text("first")).1);
    let second = run_of(writer.say(Content::text("second")).1);
    let (mut a, honest) = (Bench::new(1), NodeId([8; 32]));
    for peer in [NodeId([7; 32]), honest] {
        a.fact(&up(peer));
        a.fact(&Fact::NeighbourUp(peer));
    }
    let outs = a.input(brings_all(&[bare(&first), second.clone()], End::Open));
    assert_eq!(received(&outs), [], "what answers it is not shown before it");
    let now = a.now + 2 * SECOND;
    let outs = a.advance(now);
    let asks = |o: &Out| {
        let want = Sync::Want { conversation: room(), parents: vec![Parent::of(first.last().unwrap())] };
        matches!(o, Out::Send { to, body, .. } if *to == honest && *body == encode(&want))
    };
    assert!(outs.iter().any(asks), "{outs:?}");
    let outs = a.input(from(honest, brings_all(core::slice::from_ref(&first), End::Wanted)));
    assert_eq!(received(&outs), [first.last().unwrap(), second.last().unwrap()]);
    assert_eq!(a.history().len(), 2);
    // A copy, whole or not, is nothing new.
    for run in [&first, &bare(&first)] {
        assert_eq!(received(&a.input(brings(run))), []);
    }
    assert_eq!(rows(&a).0, 2);
}

/// No node has the text: the header stands, and what answers it is shown. If the text comes later it is shown once.
/// Mutation: `Offered::is_late` is never true; `Kind::Late` is not reported; `want` forgets nothing.
#[test]
fn a_text_that_comes_late_is_shown_late_and_once() {
    let mut writer = Bench::new(2);
    let first = run_of(writer.say(Content::text("first")).1);
    let second = run_of(writer.say(Content::text("second")).1);
    let (mut a, silent) = (Bench::new(1), NodeId([8; 32]));
    for peer in [NodeId([7; 32]), silent] {
        a.fact(&up(peer));
        a.fact(&Fact::NeighbourUp(peer));
    }
    a.input(brings_all(&[bare(&first), second.clone()], End::Wanted));
    let now = a.now + 9 * SECOND;
    assert_eq!(received(&a.advance(now)), []);
    let now = a.now + 3 * SECOND;
    assert_eq!(received(&a.advance(now)), [second.last().unwrap()], "after ten seconds");
    // A peer that did not bring it is not waited for again.
    let third = run_of(writer.say(Content::text("third")).1);
    assert_eq!(received(&a.input(brings(&bare(&third)))), []);
    assert_eq!(a.chat.pending(), 0);
    let outs = a.gossip(writer.me, &first);
    assert_eq!(received(&outs), [first.last().unwrap()], "late");
    assert_eq!(received(&a.gossip(writer.me, &first)), []);
    assert_eq!(a.history().len(), 2);
    a.restart([5; 32]);
    assert_eq!(received(&a.gossip(writer.me, &first)), []);
    assert_eq!(a.history().len(), 2);
    // After a restart a comparison finds what is wanted.
    a.fact(&up(silent));
    a.fact(&Fact::NeighbourUp(silent));
    a.input(In::Compare { peer: silent, linked: true });
    assert_eq!(received(&a.input(from(silent, brings(&third)))), [third.last().unwrap()]);
    assert_eq!(rows(&a).1, 0);
}

/// An edit whose text came late edits only what is its author's own. Mutation: `void` of late entries is not stored.
#[test]
fn a_late_edit_of_another_author_has_no_effect() {
    let mut writer = Bench::new(2);
    let (target, body) = writer.say(Content::text("mine"));
    let mut a = Bench::new(1);
    a.gossip(writer.me, &run_of(body));
    let content = Content::Edit { edit_of: target, text: "theirs".into() };
    let text = encode(&Body { salt: [1; 16], sent_at: WallTime(1), content: Some(content) });
    let part = Part { parents: vec![Parent::of(target)], body: Carried::Body(Blob(text)) };
    let parts = Parts { life: Life([1; 8]), seq: 1, prev: None, entries: vec![part] };
    let edit = Run::sign(&identity(9), room(), parts).unwrap();
    a.input(brings(&bare(&edit)));
    assert_eq!(rows(&a).2.len(), 2, "no node is linked: it stands");
    assert_eq!(received(&a.gossip(writer.me, &edit)), []);
    let history = a.history();
    assert_eq!((history.len(), history[0].edited.clone()), (1, None));
}

/// Only who deleted a text serves a header. Mutation: `Chat::broadcast` takes bare runs.
#[test]
fn a_broadcast_without_its_text_is_refused() {
    let mut writer = Bench::new(2);
    let run = run_of(writer.say(Content::text("text")).1);
    let mut a = Bench::new(1);
    let outs = a.gossip(writer.me, &bare(&run));
    assert!(outs.iter().any(|o| matches!(o, Out::GossipValidated { genuine: false, .. })));
    assert_eq!(received(&a.gossip(writer.me, &run)).len(), 1);
}

/// Mutation: `Retention::wants` is never anything; `emptied` counts nothing; a walk begins at the newest.
#[test]
fn the_oldest_texts_go_and_their_headers_stay() {
    let mut net = Net::new(vec![Bench::with(1, small()), Bench::with(2, small())]);
    net.link(0, 1);
    net.pass(SECOND);
    let mut said: Vec<Run> = Vec::new();
    for n in 0..200 {
        let (_, body) = net.nodes[n % 2].say(Content::text(n.to_string()));
        said.push(run_of(body));
        let (via, other) = (net.nodes[n % 2].me, 1 - n % 2);
        let outs = net.nodes[other].gossip(via, &said[n]);
        net.post(other, outs);
    }
    let ids: Vec<MessageId> = said.iter().filter_map(Run::last).collect();
    let reported = net.reported.clone();
    net.pass(90 * SECOND);
    for n in [0, 1] {
        let (whole, headers, held) = rows(&net.nodes[n]);
        assert!((60..=64).contains(&whole) && whole + headers == 200, "{whole} {headers}");
        assert_eq!(held, ids.iter().copied().collect());
        let texts = net.texts(n);
        assert_eq!(texts.last().unwrap(), "199");
        assert_eq!(texts.len(), whole);
    }
    // What was deleted comes back as if it were new: it is not shown again.
    for n in [0, 1] {
        for run in &said {
            let outs = net.nodes[n].gossip(NodeId([7; 32]), run);
            net.post(n, outs);
        }
        net.nodes[n].restart([9; 32]);
        for run in &said {
            let outs = net.nodes[n].input(brings(run));
            net.post(n, outs);
        }
    }
    net.link(0, 1);
    net.pass(200 * SECOND);
    assert_eq!(net.reported, reported);
    assert!(rows(&net.nodes[0]).0 <= 64);
}

/// A node that is alone keeps what it said. Mutation: `Log::may_delete` is always true.
#[test]
fn own_words_that_nobody_has_are_not_deleted() {
    let mut config = small();
    config.chat.page_entries = 10_000;
    let mut net = Net::new((1..=2).map(|n| Bench::with(n, config.clone())).collect());
    for n in 0..150 {
        net.say(0, &n.to_string());
    }
    net.pass(5 * SECOND);
    assert_eq!(rows(&net.nodes[0]).0, 150);
    net.link(0, 1);
    net.pass(130 * SECOND);
    assert_eq!(net.reported[1].len(), 150);
    net.say(0, "one more");
    net.pass(5 * SECOND);
    assert!(rows(&net.nodes[0]).0 <= 64);
}

/// Mutation: `is_past` is never true.
#[test]
fn texts_go_when_they_are_old() {
    let mut config = Config::default();
    config.chat.keep_for = Duration::from_secs(86_400);
    let mut net = Net::new(vec![Bench::with(1, config), Bench::new(2)]);
    net.link(0, 1);
    net.say(1, "yesterday");
    net.nodes[0].wall = WallTime(9 + 90_000_000);
    net.say(1, "today");
    net.pass(3_700 * SECOND);
    assert_eq!(net.texts(0), ["today"]);
    assert_eq!(net.texts(1), ["yesterday", "today"]);
}

fn crowd(count: u8, said: usize) -> Net {
    let mut net = Net::new((1..=count).map(|n| Bench::with(n, small())).collect());
    for a in 0..usize::from(count) {
        for b in 0..a {
            net.link(a, b);
        }
    }
    net.pass(SECOND);
    for n in 0..said {
        net.say(n % usize::from(count), &n.to_string());
    }
    net.pass(3 * SECOND);
    net
}

/// Mutation: `choose_base` never raises it; `Log::judge_past` takes what lies below for missing.
#[test]
fn a_newcomer_begins_with_the_newest_page_and_speaks() {
    let mut net = crowd(3, 400);
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    net.sent.clear();
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(5 * SECOND);
    let got = net.reported[3].len();
    assert!((60..=64).contains(&got), "what still has its text: {got}");
    let (_, _, held) = rows(&net.nodes[3]);
    assert!((80..=100).contains(&held.len()), "the newest page: {}", held.len());
    assert!(net.reported[3].is_sorted());
    let said = net.say(3, "hello");
    let answer = net.say(0, "welcome");
    net.pass(SECOND);
    assert!(net.reported[0].contains(&said) && net.reported[3].contains(&answer));
    // It has caught up: nothing is fetched any more.
    net.pass(200 * SECOND);
    net.sent.clear();
    net.pass(300 * SECOND);
    let fetches = net.sent.iter().filter(|(_, s)| !matches!(s, Sync::Digest { .. })).count();
    assert_eq!(fetches, 0, "{:?}", net.sent);
    net.nodes[3].restart([4; 32]);
    for n in 0..3 {
        net.unlink(3, n);
        net.link(3, n);
    }
    net.pass(100 * SECOND);
    assert_eq!(net.reported[3].len(), got + 1, "nothing is reported again");
}

/// One of three says that all begins far ahead. Mutation: `Holders::middle` takes the highest.
#[test]
fn one_liar_of_three_gives_a_newcomer_no_base() {
    let mut net = crowd(2, 300);
    let liar = join_with_liar(&mut net);
    let base = net.nodes[2].chat.logs[&room()].base();
    assert!((150..300).contains(&base), "{base}");
    let before = net.reported[2].len();
    net.say(0, "goes on");
    net.pass(SECOND);
    assert_eq!(net.reported[2].len(), before + 1);
    assert!(net.nodes[2].chat.linked.contains_key(&liar));
}

/// A third node, linked with a liar that states a base far ahead, and then with the others.
fn join_with_liar(net: &mut Net) -> NodeId {
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    let liar = NodeId([7; 32]);
    for fact in [up(liar), Fact::NeighbourUp(liar)] {
        let outs = net.nodes[2].fact(&fact);
        net.post(2, outs);
    }
    let holding = Holding { joined: 1 << 50, base: 1 << 50, floor: 1 << 50, page: 1 << 50, newest: 1 << 50 };
    let digest = Sync::Digest { conversation: room(), holding, from: 1 << 50, hash: Some([1; 16]) };
    let outs = net.nodes[2].input(In::Message { from: liar, body: encode(&digest) });
    net.post(2, outs);
    for n in [0, 1] {
        net.link(2, n);
    }
    // It is waited for ten seconds for texts that it does not bring.
    net.pass(15 * SECOND);
    liar
}

/// Mutation: `begin_anew` joins the old log; a newcomer that spoke takes all.
#[test]
fn what_a_newcomer_said_before_it_was_linked_is_news() {
    let mut net = crowd(3, 300);
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    net.say(3, "hello?");
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(10 * SECOND);
    for n in 0..4 {
        assert_eq!(net.page(n, None, 10).0.last().unwrap(), "hello?", "node {n}");
    }
    assert!(rows(&net.nodes[3]).2.len() < 100, "it began with the newest page");
    net.nodes[3].restart([6; 32]);
    assert_eq!(net.page(3, None, 10).0.last().unwrap(), "hello?");
}

/// A node that has only a liar at first begins in a world of its own; a minute after honest peers came it is in theirs,
/// with what it said. Mutation: `is_wrong_since` is never true; own texts are deleted with the rest.
#[test]
fn a_newcomer_leaves_a_made_up_conversation() {
    let mut net = crowd(2, 300);
    let mut fake = Bench::new(60);
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    let liar = NodeId([7; 32]);
    for fact in [up(liar), Fact::NeighbourUp(liar)] {
        net.nodes[2].fact(&fact);
    }
    let holding = Holding { joined: 1 << 50, base: 1 << 50, floor: 0, page: 1 << 50, newest: 1 << 51 };
    let digest = Sync::Digest { conversation: room(), holding, from: 1 << 50, hash: Some([1; 16]) };
    net.nodes[2].input(In::Message { from: liar, body: encode(&digest) });
    let _ = fake.say(Content::text("x"));
    let parents = vec![Parent { depth: 1 << 50, prefix: [9; 16] }];
    let body = encode(&Body { salt: [1; 16], sent_at: WallTime(1), content: Some(Content::text("made up")) });
    let part = Part { parents, body: Carried::Body(Blob(body)) };
    let parts = Parts { life: Life([1; 8]), seq: 1, prev: None, entries: vec![part] };
    let run = Run::sign(&fake.identity, room(), parts).unwrap();
    net.nodes[2].gossip(liar, &run);
    net.nodes[2].say(Content::text("is anybody here?"));
    for n in [0, 1] {
        net.link(2, n);
    }
    net.pass(300 * SECOND);
    let base = net.nodes[2].chat.logs[&room()].base();
    assert!(base < 300, "{base}");
    assert!(net.texts(0).contains(&"is anybody here?".to_string()), "what it said is said again");
    let texts = net.page(2, None, 10).0;
    assert!(texts.contains(&"299".to_string()), "{texts:?}");
    let before = net.reported[2].len();
    net.say(1, "welcome");
    net.pass(SECOND);
    assert_eq!(net.reported[2].len(), before + 1);
    net.pass(Duration::from_secs(2 * 86_400));
    let (_, _, rows) = rows(&net.nodes[2]);
    assert!(rows.iter().all(|id| id.depth < 1 << 50), "a day later what was made up is deleted");
}

fn invented(depths: &[u64], also: MessageId) -> Vec<Run> {
    let invent = |(n, depth): (usize, &u64)| {
        let salt = [n as u8; 16];
        let body = encode(&Body { salt, sent_at: WallTime(1), content: Some(Content::text("invented")) });
        let mut parents = vec![Parent { depth: *depth, prefix: salt }, Parent::of(also)];
        parents.sort_unstable();
        let part = Part { parents, body: Carried::Body(Blob(body)) };
        let parts = Parts { life: Life([n as u8; 8]), seq: 1, prev: None, entries: vec![part] };
        Run::sign(&identity(50), room(), parts).unwrap()
    };
    depths.iter().enumerate().map(invent).collect()
}

/// A liar brings what names an invented past, and says that it has not more. Honest words go on at once meanwhile. Which
/// of it the nodes have taken in the end.
fn brings_an_invented_past(net: &mut Net, at: usize, liar: NodeId, invented: &[Run]) -> Vec<Vec<bool>> {
    let count = net.nodes.len();
    for second in 0..30 {
        for run in invented.iter().filter(|_| second < 5) {
            let outs = net.nodes[at].input(from(liar, brings(run)));
            net.post(at, outs);
        }
        net.pass(SECOND);
        let outs = net.nodes[at].input(from(liar, brings_all(&[], End::Wanted)));
        net.post(at, outs);
        for n in 0..count {
            let id = net.say(n, "goes on");
            net.pass(SECOND);
            assert!((0..count).all(|other| other == n || net.reported[other].contains(&id)), "no honest word waits");
        }
    }
    net.pass(200 * SECOND);
    let held = |n: usize| rows(&net.nodes[n]).2;
    (0..count).map(|n| invented.iter().map(|run| held(n).contains(&run.last().unwrap())).collect()).collect()
}

/// Where most have all headers, what names an invented past stops at the first honest node, a newcomer too. Mutation:
/// `Poll::result` believes one; `Log::may_waive` asks for no majority.
#[test]
fn an_invented_past_stops_at_the_first_honest_node() {
    let mut net = crowd(2, 300);
    let liar = join_with_liar(&mut net);
    let runs = invented(&[3, 280, 1 << 40], *net.reported[2].last().unwrap());
    let taken = brings_an_invented_past(&mut net, 2, liar, &runs);
    assert_eq!(taken, vec![vec![false; 3]; 3]);
}

/// Where most have forgotten what is old, all take what names it, invented or not, and no honest entry makes others wait
/// for it. Mutation: `Heads` names what is tainted; `Log::may_waive` has no limit.
#[test]
fn what_most_have_forgotten_holds_nobody_up() {
    let mut config = small();
    config.chat.keep_headers = 100;
    let mut net = Net::new((1..=4).map(|n| Bench::with(n, if n == 4 { small() } else { config.clone() })).collect());
    for (a, b) in [(0, 1), (0, 2), (1, 2), (3, 0), (3, 1), (3, 2)] {
        net.link(a, b);
    }
    for n in 0..600 {
        net.say(n % 4, &n.to_string());
        if n % 50 == 0 {
            net.pass(3 * SECOND);
        }
    }
    net.pass(200 * SECOND);
    let bases: Vec<u64> = (0..4).map(|n| net.nodes[n].chat.logs[&room()].base()).collect();
    assert!(bases[..3].iter().all(|base| *base > 300) && bases[3] == 0, "{bases:?}");
    let liar = NodeId([7; 32]);
    for fact in [up(liar), Fact::NeighbourUp(liar)] {
        let outs = net.nodes[0].fact(&fact);
        net.post(0, outs);
    }
    let runs = invented(&[3, 280, 1 << 40], *net.reported[0].last().unwrap());
    let taken = brings_an_invented_past(&mut net, 0, liar, &runs);
    assert_eq!(taken, vec![vec![true, true, false]; 4]);
}

/// A node that has only a liar at first takes what names an invented past. Others cannot take what follows it: a while
/// later it leaves that world, and what it said is said again. Mutation: `are_held_up` is never true; `Need::Told` is
/// not read.
#[test]
fn a_newcomer_leaves_an_invented_past_behind() {
    let mut net = crowd(3, 300);
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    let liar = NodeId([7; 32]);
    for fact in [up(liar), Fact::NeighbourUp(liar)] {
        net.nodes[3].fact(&fact);
    }
    let holding = Holding { joined: 0, base: 0, floor: 0, page: 220, newest: 300 };
    let digest = Sync::Digest { conversation: room(), holding, from: 0, hash: Some([1; 16]) };
    net.nodes[3].input(In::Message { from: liar, body: encode(&digest) });
    let body = encode(&Body { salt: [1; 16], sent_at: WallTime(1), content: Some(Content::text("invented")) });
    let part = Part { parents: vec![Parent { depth: 219, prefix: [9; 16] }], body: Carried::Body(Blob(body)) };
    let parts = Parts { life: Life([1; 8]), seq: 1, prev: None, entries: vec![part] };
    let run = Run::sign(&identity(50), room(), parts).unwrap();
    let outs = net.nodes[3].input(from(liar, brings(&run)));
    net.post(3, outs);
    net.pass(SECOND);
    assert_eq!(net.reported[3].len(), 1, "no other node is there to ask");
    net.say(3, "is that so?");
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(20 * SECOND);
    let told = net.reported[3].clone();
    assert!(told.len() > 50);
    net.pass(400 * SECOND);
    for n in 0..3 {
        assert!(net.texts(n).contains(&"is that so?".to_string()), "node {n}");
    }
    assert_eq!(net.reported[3], told, "nothing is reported twice");
}

/// An entry that names what is old and real is taken by a node that began later. Mutation: references are not asked
/// about.
#[test]
fn what_names_an_old_entry_is_taken_by_a_newcomer() {
    let mut net = crowd(3, 400);
    let old = *rows(&net.nodes[0]).2.iter().nth(10).unwrap();
    net.nodes.push(Bench::with(9, small()));
    net.reported.push(Vec::new());
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(5 * SECOND);
    assert!(net.nodes[3].chat.logs[&room()].base() > old.depth);
    let body = encode(&Body { salt: [1; 16], sent_at: WallTime(1), content: Some(Content::text("about old times")) });
    let newest = *net.reported[3].last().unwrap();
    let part = Part { parents: vec![Parent::of(old), Parent::of(newest)], body: Carried::Body(Blob(body)) };
    let parts = Parts { life: Life([1; 8]), seq: 1, prev: None, entries: vec![part] };
    let run = Run::sign(&identity(50), room(), parts).unwrap();
    let via = net.nodes[0].me;
    for n in 0..4 {
        let outs = net.nodes[n].gossip(via, &run);
        net.post(n, outs);
    }
    net.pass(SECOND);
    for n in 0..4 {
        assert_eq!(net.reported[n].last(), run.last().as_ref(), "node {n}");
    }
    let asked = net.sent.iter().filter(|(_, s)| matches!(s, Sync::Holds { references, .. } if references.contains(&Reference::Parent(Parent::of(old)))));
    assert!(asked.count() >= 1);
}

/// Older pages come when a person scrolls: they are shown and not reported. Mutation: `scroll` asks no peer.
#[test]
fn older_pages_come_when_somebody_scrolls() {
    let mut roomy = small();
    roomy.chat.keep_entries = 1_000;
    let mut net = Net::new((1..=3).map(|n| Bench::with(n, roomy.clone())).collect());
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        net.link(a, b);
    }
    let said: Vec<String> = (0..400).map(|n: usize| n.to_string()).collect();
    for (n, text) in said.iter().enumerate() {
        net.say(n % 3, text);
    }
    net.pass(SECOND);
    net.nodes.push(Bench::with(9, roomy));
    net.reported.push(Vec::new());
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(5 * SECOND);
    let told = net.reported[3].len();
    assert!(told < 100);
    let seen = net.whole_history(3);
    assert_eq!(seen, said);
    assert_eq!(net.reported[3].len(), told, "shown, not reported");
}

/// Headers go as well, beyond a limit. A node that was away for longer than they reach begins anew and receives what
/// follows.
/// Mutation: `forget` deletes the numbers of tips; `choose_base` looks at newcomers only.
#[test]
fn who_was_away_longer_than_headers_reach_begins_anew() {
    let mut config = small();
    config.chat.keep_headers = 100;
    let mut net = Net::new((1..=4).map(|n| Bench::with(n, config.clone())).collect());
    for (a, b) in [(0, 1), (0, 2), (1, 2), (3, 0), (3, 1), (3, 2)] {
        net.link(a, b);
    }
    net.pass(SECOND);
    net.say(3, "see you");
    net.say(0, "bye");
    net.pass(SECOND);
    for n in 0..3 {
        net.unlink(3, n);
    }
    for n in 0..600 {
        net.say(n % 3, &n.to_string());
        if n % 50 == 0 {
            net.pass(3 * SECOND);
        }
    }
    net.pass(90 * SECOND);
    for n in 0..3 {
        let (whole, headers, held) = rows(&net.nodes[n]);
        assert!(whole <= 64 && headers <= 130, "{whole} {headers}");
        assert!(net.nodes[n].chat.logs[&room()].base() > 300);
        assert!(held.len() <= 200);
    }
    for n in 0..3 {
        net.link(3, n);
    }
    net.pass(10 * SECOND);
    assert_eq!(net.page(3, None, 10).0.last().unwrap(), "599");
    // What follows its own last entry is recognised by its number.
    let back = net.say(3, "I am back");
    net.pass(SECOND);
    for n in 0..3 {
        assert_eq!(net.reported[n].last(), Some(&back), "node {n}");
        assert!(net.nodes[n].chat.logs[&room()].state().forked.is_empty());
    }
}

#[path = "found.rs"]
mod found;
