//! What must hold whatever happened (architecture.md §5, laws 6 and 8), seen from outside.

use std::collections::{BTreeMap, BTreeSet};

use donp_core::{Causality, Conversation, Message, MessageId};

use crate::sim::Sim;

/// The running nodes.
fn running(sim: &Sim) -> Vec<usize> {
    (0..sim.len()).filter(|n| sim.is_awake(*n)).collect()
}

/// Whether all running nodes have nothing left to deliver and show the same history.
pub fn agree(sim: &mut Sim) -> bool {
    let nodes = running(sim);
    let Some(&first) = nodes.first() else { return true };
    let stored = sim.node(first).stored_messages();
    let same =
        |sim: &Sim, n: usize| sim.node(n).engine().status().outbox == 0 && sim.node(n).stored_messages() == stored;
    if !nodes.iter().all(|n| same(sim, *n)) {
        return false;
    }
    // As many is not yet the same.
    let history = sim.history(first, Conversation::Network);
    nodes[1..].iter().all(|n| sim.history(*n, Conversation::Network) == history)
}

/// Every broken law, in words. `said` and `private` (author, reader, message) were acknowledged by
/// their author's disk.
pub fn broken(sim: &mut Sim, said: &[MessageId], private: &[(usize, usize, MessageId)]) -> Vec<String> {
    let nodes = running(sim);
    let mut out = Vec::new();
    let Some(&first) = nodes.first() else { return out };
    let history = sim.history(first, Conversation::Network);
    check_order(&history, first, &mut out);
    for &n in &nodes[1..] {
        if sim.history(n, Conversation::Network) != history {
            out.push(format!("nodes {first} and {n} show different histories"));
        }
    }
    let ids: BTreeSet<MessageId> = history.iter().map(|m| m.id).collect();
    let lost = said.iter().filter(|id| !ids.contains(id)).count();
    if lost > 0 {
        out.push(format!("{lost} of {} acknowledged broadcasts are lost", said.len()));
    }
    for &n in &nodes {
        check_told(&sim.node(n).told, n, &mut out);
        let outbox = sim.node(n).engine().status().outbox;
        if outbox > 0 {
            out.push(format!("{outbox} private messages of node {n} are still not delivered"));
        }
    }
    let mut pairs: BTreeMap<(usize, usize), Vec<MessageId>> = BTreeMap::new();
    for &(from, to, id) in private {
        pairs.entry((from, to)).or_default().push(id);
    }
    for ((from, to), sent) in pairs {
        if !sim.is_awake(to) {
            continue;
        }
        let kind = Conversation::Private(sim.id(from));
        let there = sim.history(to, kind);
        check_order(&there, to, &mut out);
        let lost = sent.iter().filter(|id| !there.iter().any(|m| m.id == **id)).count();
        if lost > 0 {
            out.push(format!("{lost} private messages from node {from} to node {to} are lost"));
        }
    }
    out
}

fn check_order(history: &[Message], n: usize, out: &mut Vec<String>) {
    let ids: BTreeSet<_> = history.iter().map(|m| m.id).collect();
    if ids.len() != history.len() {
        out.push(format!("node {n} shows a message twice"));
    }
    for pair in history.windows(2) {
        if pair[0].position() >= pair[1].position() || pair[1].causality(&pair[0]) == Causality::Before {
            out.push(format!("node {n} shows an effect before its cause"));
            break;
        }
    }
}

fn check_told(told: &[Message], n: usize, out: &mut Vec<String>) {
    let ids: BTreeSet<_> = told.iter().map(|m| m.id).collect();
    if ids.len() != told.len() {
        out.push(format!("node {n} was told a message twice"));
    }
    let mut heights = BTreeMap::new();
    for m in told {
        let height: &mut u64 = heights.entry((m.conversation, m.author)).or_default();
        if m.seq <= *height {
            out.push(format!("node {n} was told an author's messages out of order"));
            break;
        }
        *height = m.seq;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A check that finds nothing in a good run must find what was spoilt.
    #[test]
    fn each_law_can_be_seen_broken() {
        let mut sim = Sim::new(1);
        let (a, b) = (sim.add_node(), sim.add_node());
        sim.start(a, &[]);
        sim.start(b, &[a]);
        assert!(sim.run_until(30, |s| s.linked(b) == 1));
        let said = [sim.broadcast(a, "one").unwrap(), sim.broadcast(a, "two").unwrap()];
        let private = [(a, b, sim.send(a, b, "three").unwrap())];
        assert!(!agree(&mut sim));
        assert!(sim.run_until(30, agree));
        assert_eq!(broken(&mut sim, &said, &private), [""; 0]);

        let ghost = MessageId([9; 32]);
        let found = broken(&mut sim, &[said[0], ghost], &[(a, b, ghost)]);
        assert_eq!(
            found,
            ["1 of 2 acknowledged broadcasts are lost", "1 private messages from node 0 to node 1 are lost"]
        );

        let (mut told, mut out) = (sim.node(b).told.clone(), Vec::new());
        told.reverse();
        check_told(&told, b, &mut out);
        assert_eq!(out, ["node 1 was told an author's messages out of order"]);
        let mut history = sim.history(a, Conversation::Network);
        history.swap(0, 1);
        check_order(&history, a, &mut out);
        history.push(history[0].clone());
        check_order(&history, b, &mut out);
        assert_eq!(out[1..3], ["node 0 shows an effect before its cause", "node 1 shows a message twice"]);
    }
}
