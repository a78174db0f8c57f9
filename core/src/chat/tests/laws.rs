//! The laws of docs/design/log.md §9, over random histories.

use alloc::string::String;
use alloc::vec::Vec;

use super::world::{Trouble, World};
use crate::chat::Out;
use crate::chat::log::{Facts, Need, Verdict};
use crate::chat::rows::{Row, entry_id, entry_scan, number_row, number_scan, tip_scan};
use crate::collections::{OrderedMap, OrderedSet};
use crate::id::{MessageId, NodeId};
use crate::wire::content::{Causality, Content, Conversation, network_conversation};
use crate::wire::entry::{Parent, Run};

/// Histories of each kind in the test command. `DONP_HISTORIES` when the test is built makes more (docs/results.md has
/// the whole count).
const HISTORIES: u64 = 40;

fn histories() -> u64 {
    option_env!("DONP_HISTORIES").and_then(|n| n.parse().ok()).unwrap_or(HISTORIES)
}

/// Everything that a history must hold; the first thing that it does not.
fn broken(world: &World) -> Option<String> {
    let sets: Vec<Vec<MessageId>> = (0..world.nodes.len()).map(|n| world.taken(n)).collect();
    for (n, node) in world.nodes.iter().enumerate() {
        let taken: OrderedSet<MessageId> = sets[n].iter().copied().collect();
        // Law 2: nothing that an honest node said is lost, as long as some node holds it.
        for (id, by) in &world.said {
            if !taken.contains(id) && sets.iter().any(|s| s.contains(id)) {
                return Some(alloc::format!("node {n} lacks {id:?}, said by {}", by.short()));
            }
        }
        // Law 7: what one takes, all take.
        if let Some(id) = sets[0].iter().find(|id| !taken.contains(id)) {
            return Some(alloc::format!("node 0 took {id:?}, node {n} did not"));
        }
        // Law 2: everything in the order was there before what names it, and everything is whole.
        for id in &taken {
            let run = world.runs.get(id);
            for entry in run.iter().flat_map(|r| &r.entries).filter(|e| e.id == *id) {
                let named = entry.prev.map(Parent::of).into_iter().chain(entry.parents.iter().copied());
                for parent in named {
                    let (first, last) = parent.bounds();
                    if taken.range(first..=last).next().is_none() {
                        return Some(alloc::format!("node {n} has {id:?} without {parent:?}"));
                    }
                }
            }
        }
        // Law 2: nothing is reported twice, and nothing before its past.
        let mut seen = OrderedSet::new();
        let all: OrderedSet<MessageId> = node.reported.iter().copied().collect();
        for id in &node.reported {
            if !seen.insert(*id) {
                return Some(alloc::format!("node {n} reported {id:?} twice"));
            }
            let run = world.runs.get(id);
            for entry in run.iter().flat_map(|r| &r.entries).filter(|e| e.id == *id) {
                for parent in &entry.parents {
                    let (first, last) = parent.bounds();
                    if all.range(first..=last).next().is_some_and(|p| !seen.contains(p)) {
                        return Some(alloc::format!("node {n} reported {id:?} before {parent:?}"));
                    }
                }
            }
        }
        // Only an author that cheats, or whose profile was copied, is said to have forked.
        let cheats = [100, 101].map(|n| crate::identity::tests::identity(n).node_id());
        let guilty = |author: &NodeId| cheats.contains(author) || world.copied.contains(author);
        if let Some(life) = node.forks.iter().find(|life| !guilty(&life.author)) {
            return Some(alloc::format!("node {n} accuses {life:?}"));
        }
    }
    None
}

/// The same where texts and headers are deleted, held back, or never needed.
fn broken_where_texts_go(world: &World) -> Option<String> {
    let count = world.nodes.len();
    let sets: Vec<OrderedSet<MessageId>> = (0..count).map(|n| world.taken(n).into_iter().collect()).collect();
    let texts: Vec<OrderedSet<MessageId>> = (0..count).map(|n| world.texts(n)).collect();
    let bases: Vec<u64> = (0..count).map(|n| world.base(n)).collect();
    for (n, node) in world.nodes.iter().enumerate() {
        // Laws 1 and 7: of what no base of two cuts off, what one took the other took.
        for other in 0..count {
            let from = MessageId::first_of(bases[n].max(bases[other]));
            if let Some(id) = sets[other].range(from..).find(|id| !sets[n].contains(id)) {
                return Some(alloc::format!("node {other} took {id:?}, node {n} did not"));
            }
        }
        // Law 2: everything in the order was there before what names it, above the base.
        for id in sets[n].iter().filter(|id| id.depth >= bases[n]) {
            let run = world.runs.get(id);
            for entry in run.iter().flat_map(|r| &r.entries).filter(|e| e.id == *id) {
                let named = entry.prev.map(Parent::of).into_iter().chain(entry.parents.iter().copied());
                for parent in named.filter(|p| p.depth >= bases[n]) {
                    let (first, last) = parent.bounds();
                    if sets[n].range(first..=last).next().is_none() {
                        return Some(alloc::format!("node {n} has {id:?} without {parent:?}"));
                    }
                }
            }
        }
        // Law 2: nothing is reported twice; nothing of which a node has the text is lost.
        let reported: OrderedSet<MessageId> = node.reported.iter().copied().collect();
        if reported.len() < node.reported.len() {
            return Some(alloc::format!("node {n} reported something twice"));
        }
        for (id, by) in world.said.iter().filter(|(id, _)| id.depth >= bases[n]) {
            // Copies of a profile are never linked with each other.
            let may_bring = |other: &usize| id.depth >= bases[*other] && world.nodes[*other].bench.me != node.bench.me;
            let holder = (0..count).filter(may_bring).find(|other| texts[*other].contains(id));
            if let Some(holder) = holder.filter(|_| *by != node.bench.me && !reported.contains(id)) {
                return Some(alloc::format!("node {n} was not told {id:?}, which node {holder} has"));
            }
        }
    }
    None
}

fn hold_where_texts_go(trouble: Trouble, first: u64) {
    for seed in first..first + histories() {
        let steps = [30, 60, 90, 120, 160][seed as usize % 5];
        let world = World::live(seed, trouble, steps);
        assert_eq!(broken_where_texts_go(&world), None, "history {seed} of {steps} steps with {trouble:?}");
    }
}

/// Mutation: what was deleted is reported again; a body that is wanted is not asked for; sums count it as there.
#[test]
fn texts_that_go_or_are_held_back_split_nothing() {
    hold_where_texts_go(Trouble { prune: true, strip: true, restart: true, ..Trouble::default() }, 8_000);
}

/// Mutation: the base is a depth below which anything is there; a newcomer tells what lies below.
#[test]
fn newcomers_split_nothing() {
    hold_where_texts_go(Trouble { prune: true, join: true, restart: true, cheat: true, ..Trouble::default() }, 9_000);
}

/// Mutation: a branch below the base is reported again; the number of a life's last entry is deleted with its header.
#[test]
fn headers_that_go_split_nothing() {
    hold_where_texts_go(Trouble { prune: true, forget: true, restart: true, ..Trouble::default() }, 10_000);
}

fn hold(trouble: Trouble, first: u64) {
    for seed in first..first + histories() {
        let steps = [6, 10, 16, 30, 60][seed as usize % 5];
        let world = World::live(seed, trouble, steps);
        assert_eq!(broken(&world), None, "history {seed} of {steps} steps with {trouble:?}");
    }
}

/// Mutation: `Log::judge` leaves out `missing`; `Chat::take` does not wake what waits; `Log::beyond` starts too deep.
#[test]
fn honest_nodes_share_one_history() {
    hold(Trouble::default(), 1_000);
}

/// Mutation: the state of a conversation is not stored; a life's tip is not read back.
#[test]
fn restarts_change_no_history() {
    hold(Trouble { restart: true, ..Trouble::default() }, 2_000);
}

/// Mutation: `Chat::take` does not begin a life when its own is written by another copy.
#[test]
fn restored_and_cloned_profiles_lose_nothing() {
    hold(Trouble { restart: true, restore: true, clone: true, ..Trouble::default() }, 3_000);
}

/// Mutation: `follows_in_its_log` is always true; `Verdict::Bad` and `Missing` are swapped; forks are refused.
#[test]
fn cheating_authors_split_nothing() {
    hold(Trouble { cheat: true, ..Trouble::default() }, 4_000);
}

#[test]
fn everything_at_once_splits_nothing() {
    hold(Trouble { restart: true, restore: true, clone: true, cheat: true, ..Trouble::default() }, 5_000);
}

/// Law 3. Mutation: `Components::merge` leaves out a parent.
#[test]
fn derived_clocks_are_reachability() {
    for seed in 6_000..6_000 + histories() {
        let mut world = World::live(seed, Trouble { restart: true, ..Trouble::default() }, 30);
        let mut past: OrderedMap<MessageId, OrderedSet<MessageId>> = OrderedMap::new();
        for (id, run) in &world.runs {
            let mut before = OrderedSet::new();
            for entry in run.entries.iter().filter(|e| e.id == *id) {
                let named = entry.prev.map(Parent::of).into_iter().chain(entry.parents.iter().copied());
                for parent in named {
                    let (first, last) = parent.bounds();
                    if let Some((p, more)) = past.range(first..=last).next() {
                        before.extend(more.iter().copied());
                        before.insert(*p);
                    }
                }
            }
            past.insert(*id, before);
        }
        let history = world.nodes[0].bench.history();
        for a in &history {
            for b in &history {
                let expected = match (a.id == b.id, past[&b.id].contains(&a.id), past[&a.id].contains(&b.id)) {
                    (true, _, _) => Causality::Equal,
                    (_, true, _) => Causality::Before,
                    (_, _, true) => Causality::After,
                    _ => Causality::Concurrent,
                };
                assert_eq!(a.causality(b), Some(expected), "{:?} and {:?} of history {seed}", a.id, b.id);
            }
        }
    }
}

/// Law 7: the verdict on any run is the same with all in memory and with nothing in memory. Mutation: `Log::judge`
/// takes an entry for new without reading, when its life's tip is not in memory.
#[test]
fn a_verdict_is_the_same_before_and_after_a_restart() {
    for seed in 7_000..7_000 + histories() {
        let mut world = World::live(seed, Trouble { restart: true, cheat: true, ..Trouble::default() }, 40);
        let runs: Vec<_> = world.runs.values().cloned().collect();
        let verdicts = |world: &World| -> Vec<String> {
            let bench = &world.nodes[0].bench;
            let log = &bench.chat.logs[&bench.chat.network];
            let judged = runs.iter().map(|run| {
                let mut facts = Facts::default();
                loop {
                    match log.judge(run, &facts, false) {
                        Verdict::Read(needs) => needs.into_iter().for_each(|need| match need {
                            Need::Entry(parent) => {
                                let rows = bench.store.scan(&entry_scan(log.number, parent));
                                let found = rows
                                    .first()
                                    .map(|r| (entry_id(&r.key).unwrap(), Row::read(&r.value).unwrap().known()));
                                facts.entries.insert(parent, found);
                            }
                            Need::Life(life) => {
                                let rows = bench.store.scan(&tip_scan(log.number, life));
                                facts.lives.insert(life, rows.first().map(|r| number_row(r).unwrap().1));
                            }
                            Need::Number(life, seq) => {
                                let rows = bench.store.scan(&number_scan(log.number, life, seq));
                                let ids = rows.iter().map(|r| number_row(r).unwrap().1.id).collect();
                                facts.numbers.insert((life, seq), ids);
                            }
                            Need::Run(_) => facts.held = Some(None),
                            Need::Told(id) => {
                                facts.told.insert(id, false);
                            }
                        }),
                        verdict => break alloc::format!("{verdict:?}"),
                    }
                }
            });
            judged.collect()
        };
        let before = verdicts(&world);
        world.nodes[0].bench.restart([3; 32]);
        assert_eq!(before, verdicts(&world), "history {seed}");
    }
}

/// One signature for many: all of them are taken, in order, and none of a run that is not whole. Mutation: `say` splits
/// at the wrong place.
#[test]
fn many_messages_are_few_runs_and_all_arrive() {
    let (mut a, mut b) = (super::bench::Bench::new(1), super::bench::Bench::new(2));
    for (count, size) in [(1, 10), (7, 10), (300, 10), (5, 30_000), (3, 65_536), (600, 100)] {
        let contents = (0..count).map(|n| Content::text(alloc::format!("{n} {}", "x".repeat(size - 4)))).collect();
        let (ids, outs) = a.step(|c, cx, out| {
            let said = c.say(cx, Conversation::Network, contents, out);
            c.sign(cx, out);
            said
        });
        let ids = ids.unwrap();
        assert_eq!(ids.len(), count);
        let mut reported = Vec::new();
        let mut runs = 0;
        for out in outs {
            if let Out::Publish { body } = out {
                runs += 1;
                assert!(body.len() <= crate::wire::MAX_MESSAGE);
                let run = Run::decode_signed(network_conversation(&[0; 32]), body).unwrap();
                reported.extend(super::bench::received(&b.gossip(a.me, &run)));
            }
        }
        assert_eq!(reported, ids, "{count} of {size} bytes");
        assert!(runs <= 1 + count * (size + 256) / 20_000, "{count} messages in {runs} runs");
    }
    assert_eq!(a.history().len(), b.history().len());
}
