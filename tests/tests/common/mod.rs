//! What every simulated test checks.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod deadlines;

use std::collections::{BTreeMap, BTreeSet};

use donp_core::{Causality, Conversation, Message};
use donp_sim::{Faults, Sim};

/// A network of `n` nodes that all enter through the first, linked and with neighbours.
pub fn network(seed: u64, n: usize) -> Sim {
    let mut sim = Sim::new(seed);
    grow(&mut sim, n);
    sim
}

/// Adds `n` nodes to an empty simulation and waits until each has a neighbour.
pub fn grow(sim: &mut Sim, n: usize) {
    for i in 0..n {
        let node = sim.add_node();
        assert_eq!(node, i);
        let through: &[usize] = if i == 0 { &[] } else { &[0] };
        sim.start(node, through);
    }
    assert!(sim.run_until(120, |s| (0..n).all(|i| s.node(i).engine().status().neighbours > 0)), "{}", sim.replay());
}

/// Every fault at once, as hard as the demo's hardest.
pub fn stormy() -> Faults {
    Faults { loss: 0.2, duplicate: 0.05, reorder: 0.1, corrupt: 0.02, ..Faults::default() }
}

/// The network's conversation of node `n`, checked: each message once, authors without gaps, causes
/// before effects.
pub fn checked_history(sim: &mut Sim, n: usize, conversation: Conversation) -> Vec<Message> {
    let history = sim.history(n, conversation);
    check_order(&history, &sim.replay());
    history
}

pub fn check_order(history: &[Message], replay: &str) {
    let ids: BTreeSet<_> = history.iter().map(|m| m.id).collect();
    assert_eq!(ids.len(), history.len(), "a message shows twice; {replay}");
    let mut heights = BTreeMap::new();
    for m in history {
        let height: &mut u64 = heights.entry((m.author, m.life)).or_default();
        *height += 1;
        assert_eq!(m.seq, *height, "an author's messages are not all there, in order; {replay}");
    }
    for pair in history.windows(2) {
        assert!(pair[0].id < pair[1].id, "not sorted by id; {replay}");
        assert_ne!(pair[1].causality(&pair[0]), Some(Causality::Before), "an effect before its cause; {replay}");
    }
}

/// Waits until all of `nodes` show the same `count` messages, and returns them.
pub fn converge(sim: &mut Sim, nodes: &[usize], count: usize, seconds: u64) -> Vec<Message> {
    let all_there = sim.run_until(seconds, |sim| {
        nodes.iter().all(|&n| sim.node(n).engine().stats().messages > 0 && total(sim, n) >= count)
    });
    let found: Vec<usize> = nodes.iter().map(|&n| total(sim, n)).collect();
    assert!(all_there, "only {found:?} of {count} messages came; {}", sim.replay());
    let first = checked_history(sim, nodes[0], Conversation::Network);
    assert_eq!(first.len(), count, "{}", sim.replay());
    for &n in &nodes[1..] {
        assert_eq!(
            checked_history(sim, n, Conversation::Network),
            first,
            "node {n} shows another order; {}",
            sim.replay()
        );
    }
    first
}

fn total(sim: &mut Sim, n: usize) -> usize {
    // One page is enough to see whether it is worth reading all.
    sim.node(n).stored_messages()
}

/// No message was reported to the person at `n` twice, and none in an order that breaks causality.
pub fn check_told(sim: &Sim, n: usize) {
    let reported = &sim.node(n).told;
    let ids: BTreeSet<_> = reported.iter().map(|m| m.id).collect();
    assert_eq!(ids.len(), reported.len(), "reported twice; {}", sim.replay());
    let mut heights = BTreeMap::new();
    for m in reported {
        let height: &mut u64 = heights.entry((m.conversation, m.author, m.life)).or_default();
        assert!(m.seq > *height, "reported out of order; {}", sim.replay());
        *height = m.seq;
    }
}
