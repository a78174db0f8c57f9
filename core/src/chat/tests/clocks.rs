//! Derived clocks beside the chat document's own (§10.3): the relations are the same.

use alloc::vec;
use alloc::vec::Vec;

use super::bench::Bench;
use crate::collections::OrderedMap;
use crate::id::{MessageId, NodeId};
use crate::wire::content::{Causality, Content, Message, document_clocks, network_conversation};
use crate::wire::entry::Run;
use proptest::prelude::{ProptestConfig, Strategy, prop, prop_assert, prop_assert_eq, proptest};

/// The document's clock: its nodes tick on sending and on receiving.
#[derive(Clone, Default)]
struct Ticks(OrderedMap<NodeId, u64>);

impl Ticks {
    fn tick(&mut self, me: NodeId) {
        *self.0.entry(me).or_default() += 1;
    }

    fn receive(&mut self, me: NodeId, carried: &Self) {
        for (author, count) in &carried.0 {
            let known = self.0.entry(*author).or_default();
            *known = (*known).max(*count);
        }
        self.tick(me);
    }

    fn at_most(&self, other: &Self) -> bool {
        self.0.iter().all(|(author, n)| other.0.get(author).is_some_and(|m| n <= m))
    }

    fn compare(&self, other: &Self) -> Causality {
        match (self.at_most(other), other.at_most(self)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::Before,
            (false, true) => Causality::After,
            (false, false) => Causality::Concurrent,
        }
    }
}

/// A random story: the author of each step, and which of the messages so far which node then receives.
fn story() -> impl Strategy<Value = Vec<(usize, Vec<(usize, usize)>)>> {
    let receipts = prop::collection::vec((0usize..4, 0usize..40), 0..6);
    prop::collection::vec((0usize..4, receipts), 1..30)
}

/// Plays a story of four nodes; every message at a listener, and the document's clock of each.
fn play(story: &[(usize, Vec<(usize, usize)>)]) -> (Vec<Run>, Vec<Message>, OrderedMap<MessageId, Ticks>) {
    let mut nodes: Vec<Bench> = (1..=4).map(Bench::new).collect();
    let mut ticks = vec![Ticks::default(); 4];
    let mut runs: Vec<Run> = Vec::new();
    let mut document: OrderedMap<MessageId, Ticks> = OrderedMap::new();
    for (by, receipts) in story {
        let (id, body) = nodes[*by].say(Content::text(alloc::format!("{}", runs.len())));
        let me = nodes[*by].me;
        ticks[*by].tick(me);
        document.insert(id, ticks[*by].clone());
        runs.push(Run::decode_signed(network_conversation(&[0; 32]), body).unwrap());
        for (receiver, which) in receipts {
            let Some(run) = runs.get(*which) else { continue };
            let outs = nodes[*receiver].gossip(run.log.author, run);
            for id in super::bench::received(&outs) {
                let (carried, me) = (document[&id].clone(), nodes[*receiver].me);
                ticks[*receiver].receive(me, &carried);
            }
        }
    }
    let mut listener = Bench::new(9);
    for run in &runs {
        listener.gossip(run.log.author, run);
    }
    let history = listener.history();
    (runs, history, document)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Counting messages only and the document's counting order any two messages alike. Mutation: `Components::merge`
    /// leaves out a parent.
    #[test]
    fn both_ways_of_counting_give_one_partial_order(story in story()) {
        let (_, history, document) = play(&story);
        prop_assert_eq!(history.len(), story.len());
        for a in &history {
            for b in &history {
                let by_document = document[&a.id].compare(&document[&b.id]);
                prop_assert_eq!(a.causality(b), Some(by_document), "{:?} and {:?}", a.id, b.id);
            }
        }
    }

    /// The document's clocks can be computed from ours.
    #[test]
    fn the_documents_clock_is_a_view(story in story()) {
        let (_, history, document) = play(&story);
        for (message, view) in history.iter().zip(document_clocks(&history)) {
            let view: OrderedMap<NodeId, u64> = view.entries().iter().map(|e| (e.author, e.count)).collect();
            prop_assert_eq!(&view, &document[&message.id].0);
        }
    }

    /// In any order of arrival, with repeats, a node takes all messages, causes first, and shows the same history.
    #[test]
    fn arrival_decides_nothing(story in story(), shuffle in prop::collection::vec(0usize..1_000, 0..100)) {
        let (runs, history, _) = play(&story);
        let mut late = Bench::new(8);
        let mut reported: Vec<MessageId> = Vec::new();
        let order = shuffle.iter().map(|n| n % runs.len()).chain((0..runs.len()).rev());
        for at in order {
            reported.extend(super::bench::received(&late.gossip(runs[at].log.author, &runs[at])));
        }
        prop_assert_eq!(late.chat.pending(), 0);
        prop_assert_eq!(&late.history(), &history);
        let by_id: OrderedMap<MessageId, &Message> = history.iter().map(|m| (m.id, m)).collect();
        for (at, id) in reported.iter().enumerate() {
            let early = reported[..at].iter().find(|e| by_id[id].causality(by_id[e]) == Some(Causality::Before));
            prop_assert!(early.is_none(), "{:?} was reported after what follows it", id);
        }
        for pair in history.windows(2) {
            prop_assert!(pair[1].causality(&pair[0]) != Some(Causality::Before), "not a linear extension");
        }
    }
}

/// The private history that the chat document prints (§12.5): two people who answer each other, and then one of them
/// says five things. Author by author, with the document's own counts of both.
const PRINTED: [(u8, [u64; 2]); 12] = [
    (1, [1, 1]),
    (1, [2, 2]),
    (1, [3, 3]),
    (1, [4, 4]),
    (0, [5, 4]),
    (1, [6, 6]),
    (1, [7, 7]),
    (0, [8, 7]),
    (0, [9, 7]),
    (0, [10, 7]),
    (0, [11, 7]),
    (0, [12, 7]),
];

/// Every message of the printed history was said after the one before it, and so it is here.
#[test]
fn the_documents_printed_history_keeps_its_relations() {
    let mut two = [Bench::new(1), Bench::new(2)];
    for (by, _) in PRINTED {
        let (by, other) = (usize::from(by), 1 - usize::from(by));
        let (_, body) = two[by].say(Content::text("hi there"));
        let (from, run) = (two[by].me, Run::decode_signed(network_conversation(&[0; 32]), body).unwrap());
        two[other].gossip(from, &run);
    }
    let history = two[0].history();
    assert_eq!(history, two[1].history());
    assert_eq!(history.len(), PRINTED.len());
    for (i, (_, earlier)) in PRINTED.iter().enumerate() {
        for (j, (_, later)) in PRINTED.iter().enumerate() {
            let before = earlier.iter().zip(later).all(|(a, b)| a <= b) && i != j;
            assert_eq!(history[i].causality(&history[j]) == Some(Causality::Before), before, "{i} and {j}");
        }
    }
    let authors: Vec<NodeId> = PRINTED.iter().map(|(by, _)| two[usize::from(*by)].me).collect();
    assert!(history.iter().map(|m| m.author).eq(authors));
}

/// With a 65th author clocks end, and the order stays. Mutation: `MAX_AUTHORS` is not looked at.
#[test]
fn beyond_64_authors_there_is_order_without_clocks() {
    let mut listener = Bench::new(100);
    let mut other = Bench::new(101);
    for n in 1..=70 {
        let mut author = Bench::new(n);
        for message in listener.history().iter().rev().take(1) {
            // It has seen the last one.
            let run = last_run(&mut listener, message.id);
            author.gossip(listener.me, &run);
        }
        let (_, body) = author.say(Content::text("x"));
        let run = Run::decode_signed(network_conversation(&[0; 32]), body).unwrap();
        listener.gossip(author.me, &run);
        other.gossip(author.me, &run);
    }
    let history = listener.history();
    let with: Vec<bool> = history.iter().map(|m| m.clock.is_some()).collect();
    assert!(with.iter().any(|c| *c) && with.iter().any(|c| !*c));
    let ids = |bench: &mut Bench| bench.history().iter().map(|m| m.id).collect::<Vec<_>>();
    assert_eq!(ids(&mut listener), ids(&mut other));
}

fn last_run(bench: &mut Bench, id: MessageId) -> Run {
    use crate::chat::rows::{At, Row, entry_scan};
    use crate::wire::entry::Parent;
    let number = bench.chat.logs[&bench.chat.network].number;
    let rows = bench.store.scan(&entry_scan(number, Parent::of(id)));
    match Row::read(&rows[0].value).unwrap().at {
        At::End(held) => Run::decode_signed(network_conversation(&[0; 32]), held.run.0).unwrap(),
        At::In(_) => panic!("each run has one entry here"),
    }
}
