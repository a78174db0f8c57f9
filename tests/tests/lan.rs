//! Nodes on one local network without a bootstrap: they find each other, and only those of their network.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{check_told, converge, stormy};
use donp_core::DropReason;
use donp_sim::Sim;

/// `n` nodes that send beacons and begin `apart` seconds after each other, each without a bootstrap.
fn alone_together(seed: u64, n: usize, apart: u64) -> Sim {
    let mut sim = Sim::new(seed);
    sim.config.discovery.beacons = true;
    for _ in 0..n {
        let node = sim.add_node();
        sim.start(node, &[]);
        sim.run_for(apart);
    }
    sim
}

fn one_piece(sim: &Sim) -> bool {
    sim.overlay().component_sizes() == [sim.len()]
}

#[test]
fn nodes_without_a_bootstrap_form_one_network_by_beacons() {
    for seed in Sim::seeds(0..6) {
        let mut sim = alone_together(seed, 12, seed);
        assert!(sim.run_until(20, |sim| one_piece(sim)), "{}", sim.replay());
        for n in 0..sim.len() {
            sim.broadcast(n, &format!("{n} is here")).unwrap();
        }
        let all: Vec<usize> = (0..sim.len()).collect();
        converge(&mut sim, &all, 12, 120);
        all.iter().for_each(|&n| check_told(&sim, n));
    }
}

#[test]
fn a_bad_local_network_only_takes_longer() {
    for seed in Sim::seeds(0..4) {
        let mut sim = Sim::new(seed);
        sim.faults = stormy();
        sim.config.discovery.beacons = true;
        for n in 0..6 {
            sim.add_node();
            sim.start(n, &[]);
        }
        assert!(sim.run_until(180, |sim| one_piece(sim)), "{}", sim.replay());
    }
}

/// Both are full of neighbours and know no other node: only a beacon can introduce them.
#[test]
fn two_whole_networks_that_come_together_become_one() {
    for seed in Sim::seeds(0..3) {
        let mut sim = Sim::new(seed);
        sim.config.discovery.beacons = true;
        for n in 0..24 {
            sim.add_node();
            sim.move_to_island(n, (n % 2) as u32);
            sim.start(n, &[]);
        }
        sim.run_for(180);
        let mut sizes = sim.overlay().component_sizes();
        sizes.sort_unstable();
        assert_eq!(sizes, [12, 12], "{}", sim.replay());
        sim.net.heal();
        assert!(sim.run_until(300, |sim| one_piece(sim)), "{}", sim.replay());
    }
}

#[test]
fn a_neighbour_of_another_network_is_counted_and_left_alone() {
    let mut sim = Sim::new(1);
    sim.config.discovery.beacons = true;
    sim.config.network_key = [7; 32];
    sim.add_node();
    sim.config.network_key = [0; 32];
    for n in 0..3 {
        if n > 0 {
            sim.add_node();
        }
        sim.start(n, &[]);
    }
    sim.run_for(120);
    let stats = sim.node(0).engine().stats();
    assert!(stats.drops.get(DropReason::OtherNetwork) > 0);
    assert_eq!((sim.linked(0), stats.datagrams_in, stats.datagrams_out), (0, 0, 0));
    assert_eq!((sim.linked(1), sim.linked(2)), (1, 1));
}

#[test]
fn a_node_that_left_is_not_found() {
    let mut sim = alone_together(2, 3, 0);
    assert!(sim.run_until(20, |sim| one_piece(sim)));
    sim.with(2, |engine, now| engine.leave(now));
    sim.run_for(120);
    assert_eq!((sim.linked(0), sim.linked(1), sim.linked(2)), (1, 1, 0));
    sim.with(2, |engine, now| engine.join(now, &[]).unwrap());
    assert!(sim.run_until(20, |sim| one_piece(sim)));
}
