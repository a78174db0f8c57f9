//! Node types as they work out in whole networks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use donp_core::NodeType;
use donp_sim::{Faults, NatConfig, Sim};

fn mesh_without(sim: &Sim, bootstrap: usize) -> Vec<usize> {
    let mut sizes = sim.overlay().component_sizes();
    // The bootstrap is a piece of its own.
    let alone = sizes.iter().position(|n| *n == 1).unwrap_or_else(|| panic!("node {bootstrap} has neighbours"));
    sizes.remove(alone);
    sizes
}

/// A bootstrap, node 0, and `n` nodes that enter through it; `island` says where each lives.
fn through_a_bootstrap(seed: u64, n: usize, island: impl Fn(usize) -> u32) -> Sim {
    let mut sim = Sim::new(seed);
    sim.config.node_type = NodeType::Bootstrap;
    let bootstrap = sim.add_node();
    sim.config.node_type = NodeType::Regular;
    sim.start(bootstrap, &[]);
    for i in 1..=n {
        let node = sim.add_node();
        sim.move_to_island(node, island(i));
        sim.start(node, &[bootstrap]);
    }
    sim
}

#[test]
fn a_bootstrap_introduces_all_nodes_and_is_no_neighbour() {
    for seed in Sim::seeds(0..2) {
        let mut sim = through_a_bootstrap(seed, 12, |_| 0);
        assert!(sim.run_until(120, |sim| mesh_without(sim, 0) == [12]), "{}", sim.replay());
        for _ in 0..30 {
            sim.run_for(10);
            assert!(sim.neighbours(0).is_empty(), "{}", sim.replay());
        }
        assert_eq!(mesh_without(&sim, 0), [12], "{}", sim.replay());
    }
}

/// Two parts with only the bootstrap in common merge through the names it gives, not through it.
#[test]
fn parts_that_share_only_a_bootstrap_merge_without_it() {
    for seed in Sim::seeds(0..2) {
        let mut sim = through_a_bootstrap(seed, 16, |i| 1 + (i % 2) as u32);
        for island in [1, 2] {
            sim.net.connect(0, island, true);
            sim.net.connect(island, 0, true);
        }
        sim.run_for(180);
        assert_eq!(mesh_without(&sim, 0), [8, 8], "{}", sim.replay());
        sim.net.heal();
        assert!(sim.run_until(600, |sim| mesh_without(sim, 0) == [16]), "{}", sim.replay());
        assert!(sim.neighbours(0).is_empty(), "{}", sim.replay());
    }
}

/// One SUPER node has a public address, one claims the same from behind a NAT box that admits no inbound datagram.
#[test]
fn an_unreachable_node_that_claims_super_is_not_verified() {
    for seed in Sim::seeds(0..2) {
        let mut sim = Sim::new(seed);
        sim.public = true;
        for _ in 0..8 {
            sim.add_node();
        }
        sim.config.node_type = NodeType::Super;
        let public = sim.add_node();
        let nat = sim.add_box(NatConfig::default());
        let hidden = sim.add_node_behind(Some(nat));
        for n in 0..sim.len() {
            sim.start(n, if n == 0 { &[] } else { &[0] });
        }
        sim.run_for(2_000);
        let (mut reached, mut met) = (0, 0);
        for n in 0..8 {
            let engine = sim.node(n).engine();
            if let Some(seen) = engine.peer(sim.id(public)) {
                // Nodes that it called recently do not know yet.
                assert_eq!(seen.role() == NodeType::Super, seen.verified);
                reached += usize::from(seen.verified);
            }
            if let Some(seen) = engine.peer(sim.id(hidden)) {
                met += 1;
                assert_eq!((seen.node_type, seen.verified), (NodeType::Super, false), "{n}; {}", sim.replay());
                assert_eq!(seen.role(), NodeType::Regular);
            }
        }
        assert!(reached > 0 && met > 0, "{reached} {met}; {}", sim.replay());
    }
}

/// Two towns, 5 ms within and 80 ms between them: links move to near nodes, and the mesh stays one.
#[test]
fn half_of_the_links_become_near_and_the_mesh_stays_whole() {
    for seed in Sim::seeds(0..1) {
        let mut sim = Sim::new(seed);
        let town = |n: usize| (n % 2) as u32;
        for n in 0..32 {
            sim.add_node();
            sim.net.set_class(n, town(n));
        }
        for n in 0..sim.len() {
            sim.start(n, if n == 0 { &[] } else { &[0] });
        }
        let at_home = |sim: &Sim| {
            let all: Vec<(usize, u32)> =
                (0..sim.len()).flat_map(|n| sim.neighbours(n).into_iter().map(move |o| (n, o))).collect();
            all.iter().filter(|(n, o)| town(*n) == town(*o as usize)).count() as f64 / all.len() as f64
        };
        // All nodes are equally far while they meet, or near ones would win every race to be a neighbour.
        sim.run_for(60);
        let before = at_home(&sim);
        for (from, to, ms) in [(0, 0, 5), (1, 1, 5), (0, 1, 80), (1, 0, 80)] {
            sim.net.set_class_faults(from, to, Faults { delay: (ms * 1_000, ms * 1_000 + 500), ..Faults::default() });
        }
        sim.run_for(600);
        let after = at_home(&sim);
        println!("links within a town: {before:.2} before, {after:.2} after");
        assert_eq!(sim.overlay().component_sizes(), [32], "{}", sim.replay());
        // 15 of 31 others are near: random links would stay at 0.48.
        assert!(after > 0.58 && after > before + 0.05, "{before:.2} {after:.2}; {}", sim.replay());
        assert!(after < 0.9, "half stays random: {after:.2}; {}", sim.replay());
    }
}
