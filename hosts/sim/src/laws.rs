//! Invariants that hold after any faults (ARCHITECTURE.md, "Laws", 6 and 8), checked from outside.

use std::collections::{BTreeMap, BTreeSet};

use donp_core::{Causality, Conversation, Life, Message, MessageId, NodeId};

use crate::faults::Whisper;
use crate::sim::Sim;

/// The running nodes.
fn running(sim: &Sim) -> Vec<usize> {
    (0..sim.len()).filter(|n| sim.is_awake(*n)).collect()
}

/// Whether all running nodes have nothing left to deliver and show the same history.
pub fn agree(sim: &mut Sim) -> bool {
    #[cfg(donp_planted)]
    if crate::planted::checker_always_agrees() {
        return true;
    }
    let nodes = running(sim);
    let Some(&first) = nodes.first() else { return true };
    let stored = sim.node(first).stored_messages();
    let same =
        |sim: &Sim, n: usize| sim.node(n).engine().status().outbox == 0 && sim.node(n).stored_messages() == stored;
    if !nodes.iter().all(|n| same(sim, *n)) {
        return false;
    }
    // Equal counts are not yet equal histories.
    let history = sim.history(first, Conversation::Network);
    nodes[1..].iter().all(|n| are_alike(&sim.history(*n, Conversation::Network), &history))
}

/// Whether running readers whose disk was restored have every private message back. Its author may have its receipt and
/// nothing left to deliver.
pub fn are_back(sim: &Sim, private: &[Whisper]) -> bool {
    let mut restored = private.iter().filter(|w| sim.is_awake(w.to) && sim.node(w.to).restored > 0);
    restored.all(|w| sim.node(w.to).has_private(sim.id(w.from), w.id))
}

/// Whether two nodes show the same. Where both have the clock of a message it is the same; with more than 64 authors
/// one may have none.
fn are_alike(one: &[Message], other: &[Message]) -> bool {
    let alike = |(a, b): (&Message, &Message)| match (&a.clock, &b.clock) {
        (Some(_), Some(_)) => a == b,
        _ => Message { clock: None, ..a.clone() } == Message { clock: None, ..b.clone() },
    };
    one.len() == other.len() && one.iter().zip(other).all(alike)
}

/// Every broken law as a sentence. `said` and `private` were acknowledged by their author's disk. An author whose disk
/// was restored says two things under one number, so what numbers and clocks say of it is not looked at.
pub fn broken(sim: &mut Sim, said: &[MessageId], private: &[Whisper]) -> Vec<String> {
    let nodes = running(sim);
    let mut out = sim.violations.clone();
    let Some(&first) = nodes.first() else { return out };
    let history = sim.history(first, Conversation::Network);
    let copied: BTreeSet<NodeId> = (0..sim.len()).map(|n| sim.id(n)).filter(|id| sim.is_restored(*id)).collect();
    check_order(&history, first, &copied, &mut out);
    for &n in &nodes[1..] {
        if !are_alike(&sim.history(n, Conversation::Network), &history) {
            out.push(format!("nodes {first} and {n} show different histories"));
        }
    }
    let ids: BTreeSet<MessageId> = history.iter().map(|m| m.id).collect();
    let lost = said.iter().filter(|id| !ids.contains(id)).count();
    if lost > 0 {
        out.push(format!("{lost} of {} acknowledged broadcasts are lost", said.len()));
    }
    for &n in &nodes {
        check_told(&sim.node(n).told, n, &copied, &mut out);
        check_causes(&sim.node(n).told, n, &copied, &mut out);
        check_all_told(&sim.node(n).told, &history, sim.id(n), n, &mut out);
        let outbox = sim.node(n).engine().status().outbox;
        if outbox > 0 {
            out.push(format!("{outbox} private messages of node {n} are still not delivered"));
        }
    }
    let mut pairs: BTreeMap<(usize, usize), Vec<Whisper>> = BTreeMap::new();
    for whisper in private {
        pairs.entry((whisper.from, whisper.to)).or_default().push(*whisper);
    }
    for ((from, to), sent) in pairs {
        if !sim.is_awake(to) {
            continue;
        }
        let author = sim.node(from);
        if author.runs() {
            let reported = |id| author.delivered.contains(id) || author.failed.iter().any(|(f, _)| f == id);
            let silent = sent.iter().filter(|w| !w.forgotten && !reported(&w.id)).count();
            if silent > 0 {
                out.push(format!("node {from} never learned what became of {silent} private messages"));
            }
        }
        let kind = Conversation::Private(sim.id(from));
        let there = sim.history(to, kind);
        check_order(&there, to, &copied, &mut out);
        let lost = sent.iter().filter(|w| !there.iter().any(|m| m.id == w.id)).count();
        if lost > 0 {
            out.push(format!("{lost} private messages from node {from} to node {to} are lost"));
        }
    }
    out
}

fn check_order(history: &[Message], n: usize, copied: &BTreeSet<NodeId>, out: &mut Vec<String>) {
    let ids: BTreeSet<_> = history.iter().map(|m| m.id).collect();
    if ids.len() != history.len() {
        out.push(format!("node {n} shows a message twice"));
    }
    for pair in history.windows(2) {
        let clocks = copied.is_empty() && pair[1].causality(&pair[0]) == Some(Causality::Before);
        if pair[0].id >= pair[1].id || clocks {
            out.push(format!("node {n} shows an effect before its cause"));
            break;
        }
    }
}

fn check_told(told: &[Message], n: usize, copied: &BTreeSet<NodeId>, out: &mut Vec<String>) {
    let ids: BTreeSet<_> = told.iter().map(|m| m.id).collect();
    if ids.len() != told.len() {
        out.push(format!("node {n} got a message twice"));
    }
    let mut heights = BTreeMap::new();
    for m in told.iter().filter(|m| !copied.contains(&m.author)) {
        let height: &mut u64 = heights.entry((m.conversation, m.author, m.life)).or_default();
        if m.seq <= *height {
            out.push(format!("node {n} got an author's messages out of order"));
            break;
        }
        *height = m.seq;
    }
}

/// No message is reported after one whose author had seen it. Merges have numbers and are not reported, so what was
/// never reported shows in [`check_all_told`] alone.
fn check_causes(told: &[Message], n: usize, copied: &BTreeSet<NodeId>, out: &mut Vec<String>) {
    let mut seen: BTreeMap<(Conversation, NodeId, Life), u64> = BTreeMap::new();
    for m in told.iter().filter(|m| !copied.contains(&m.author)) {
        if seen.get(&(m.conversation, m.author, m.life)).is_some_and(|seen| m.seq <= *seen) {
            out.push(format!("node {n} got an effect before its cause"));
            break;
        }
        for entry in m.clock.iter().flat_map(|clock| clock.entries()) {
            let seen = seen.entry((m.conversation, entry.author, entry.life)).or_default();
            *seen = entry.count.max(*seen);
        }
    }
}

/// Every message of others in the network's conversation was reported.
fn check_all_told(told: &[Message], history: &[Message], me: NodeId, n: usize, out: &mut Vec<String>) {
    let ids: BTreeSet<MessageId> = told.iter().map(|m| m.id).collect();
    let silent = history.iter().filter(|m| m.author != me && !ids.contains(&m.id)).count();
    if silent > 0 {
        out.push(format!("node {n} never got {silent} messages of its history"));
    }
}

/// Rounds of broadcasts of which the last must reach every node in time: three, since the first ones detect
/// the broken branches of the trees.
const ROUNDS: u32 = 3;
/// The limit in seconds: a dozen datagrams lost in a row and the timers that detect it.
const SPREAD_S: u64 = 10;

/// Without faults a broadcast reaches every node at once, by the trees and not by catching up, and
/// neighbours hold each other for one. Time passes.
pub fn not_alive(sim: &mut Sim) -> Vec<String> {
    // Links that a fault broke are detected in 15 s and replaced.
    sim.run_for(60);
    let nodes = running(sim);
    let mut out = Vec::new();
    for round in 1..=ROUNDS {
        let mut said = Vec::new();
        for &n in &nodes {
            said.extend(sim.broadcast(n, &format!("{n} is alive, {round}")).map(|id| (n, id)));
        }
        let missed = |sim: &Sim| {
            let missed_by = |n: usize| {
                let told: BTreeSet<MessageId> = sim.node(n).told.iter().rev().take(200).map(|m| m.id).collect();
                said.iter().filter(|(by, id)| *by != n && !told.contains(id)).count()
            };
            nodes.iter().map(|&n| missed_by(n)).sum::<usize>()
        };
        if !sim.run_until(SPREAD_S, |s| missed(s) == 0) && round == ROUNDS {
            out.push(format!("{} deliveries took longer than {SPREAD_S} s although all was well", missed(sim)));
        }
    }
    let two_sided = |sim: &mut Sim| {
        let views: Vec<Vec<u32>> = (0..sim.len()).map(|n| sim.neighbours(n)).collect();
        let back = |n: usize, m: u32| views.get(m as usize).is_some_and(|v| v.contains(&(n as u32)));
        views.iter().enumerate().all(|(n, view)| view.iter().all(|m| back(n, *m)))
    };
    if !sim.run_until(60, two_sided) {
        out.push("some are neighbours on one side only although all was well".into());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A check that passes a good run must find each planted mistake.
    #[test]
    fn each_law_can_be_seen_broken() {
        let mut sim = Sim::new(1);
        let (a, b) = (sim.add_node(), sim.add_node());
        sim.start(a, &[]);
        sim.start(b, &[a]);
        assert!(sim.run_until(30, |s| s.linked(b) == 1));
        let said = [sim.broadcast(a, "one").unwrap(), sim.broadcast(a, "two").unwrap()];
        let whisper = |id| Whisper { from: a, to: b, id, forgotten: false };
        let private = [whisper(sim.send(a, b, "three").unwrap())];
        assert!(!agree(&mut sim));
        assert!(sim.run_until(30, agree));
        assert_eq!(broken(&mut sim, &said, &private), [""; 0]);

        let ghost = MessageId { depth: 1, hash: [9; 32] };
        let found = broken(&mut sim, &[said[0], ghost], &[whisper(ghost)]);
        assert_eq!(
            found,
            [
                "1 of 2 acknowledged broadcasts are lost",
                "node 0 never learned what became of 1 private messages",
                "1 private messages from node 0 to node 1 are lost"
            ]
        );

        let (mut told, mut out) = (sim.node(b).told.clone(), Vec::new());
        // A private message waits for a session, and comes last.
        told.retain(|m| m.conversation == Conversation::Network);
        told.reverse();
        let none = BTreeSet::new();
        check_told(&told, b, &none, &mut out);
        assert_eq!(out, ["node 1 got an author's messages out of order"]);
        let mut history = sim.history(a, Conversation::Network);
        history.swap(0, 1);
        check_order(&history, a, &none, &mut out);
        history.push(history[0].clone());
        check_order(&history, b, &none, &mut out);
        assert_eq!(out[1..3], ["node 0 shows an effect before its cause", "node 1 shows a message twice"]);
        out.clear();
        // Of another author, which had seen what comes after it.
        let effect = Message { author: NodeId([5; 32]), ..told[0].clone() };
        check_causes(&[effect, told[0].clone()], b, &none, &mut out);
        check_all_told(&told[..1], &sim.history(b, Conversation::Network), sim.id(b), b, &mut out);
        assert_eq!(out, ["node 1 got an effect before its cause", "node 1 never got 1 messages of its history"]);
        assert_eq!(not_alive(&mut sim), [""; 0]);
        sim.violations.push("noticed on the way".into());
        assert_eq!(broken(&mut sim, &[], &[]), ["noticed on the way"]);
        sim.move_to_island(b, 1);
        let found = not_alive(&mut sim);
        assert!(found[0].contains("took longer"), "{found:?}");
    }
}
