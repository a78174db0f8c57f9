//! The simulator's own machinery, with engines in it.

use donp_core::{Content, Table};
use donp_sim::faults::{Life, Mix};
use donp_sim::scenario::{BUILTIN, Phase, find};
use donp_sim::{Disk, Faults, Filtering, NatConfig, SECOND, Sim, SimRng, laws};

fn table(name: &str) -> Table {
    Table::of("chat", name).unwrap()
}

/// `n` nodes that entered through the first and have neighbours.
fn network(seed: u64, n: usize) -> Sim {
    let mut sim = Sim::new(seed);
    for i in 0..n {
        sim.add_node();
        sim.start(i, if i == 0 { &[] } else { &[0] });
    }
    assert!(sim.run_until(60, |s| (0..n).all(|i| !s.neighbours(i).is_empty())), "{}", sim.replay());
    sim
}

/// A run with every kind of fault, and its outcome.
fn life(seed: u64) -> (Sim, Life) {
    let mut sim = network(seed, 4);
    let mut mix = Mix::draw(&mut SimRng::new(seed));
    (mix.crash, mix.sleep, mix.stall, mix.clock, mix.partition, mix.weather) = (0.02, 0.02, 0.02, 0.02, 0.03, 0.02);
    let mut life = Life::new(&mut sim, mix);
    for _ in 0..60 {
        life.second(&mut sim);
    }
    life.heal(&mut sim);
    (sim, life)
}

#[test]
fn the_same_seed_gives_the_same_run_whatever_happens_in_it() {
    let (one, two) = (life(5), life(5));
    assert_eq!(one.0.transcript(), two.0.transcript());
    assert_eq!((one.0.events(), one.0.now()), (two.0.events(), two.0.now()));
    assert_ne!(one.0.transcript(), life(6).0.transcript());
}

#[test]
fn randomized_runs_keep_the_laws() {
    for seed in Sim::seeds(20..26) {
        let (mut sim, life) = life(seed);
        assert!(!life.said.is_empty(), "a run without messages proves nothing");
        assert!(sim.run_until(400, laws::agree), "not settled; {}", sim.replay());
        assert_eq!(laws::broken(&mut sim, &life.said, &life.private), [""; 0], "{}", sim.replay());
    }
}

#[test]
fn a_draw_for_one_path_shifts_nothing_on_another() {
    // A third node's path to the first loses everything or nothing: what the second sends is the same until
    // some node answers differently, so its first datagrams are.
    let first_of_second = |loss: f64| {
        let mut sim = Sim::new(3);
        sim.tap = Some(Vec::new());
        (0..3).for_each(|_| {
            sim.add_node();
        });
        sim.net.set_path_faults(2, 0, Some(Faults { loss, duplicate: 0.5, ..Faults::default() }));
        sim.start(0, &[]);
        sim.start(2, &[0]);
        sim.start(1, &[0]);
        sim.run_to(20_000);
        let second = sim.node(1).addr;
        let tap = sim.tap.take().unwrap();
        tap.into_iter().filter(|s| s.from == second).map(|s| s.bytes).collect::<Vec<_>>()
    };
    let (good, bad) = (first_of_second(0.0), first_of_second(1.0));
    assert!(good.len() > 1 && bad.len() > 1);
    // An Init shows its sender's index and its ephemeral key, and seals a date, which goes by the traffic of the first.
    let shown = |sent: &[Vec<u8>]| [sent[0].clone(), sent[1][..38].to_vec()];
    assert_eq!(shown(&good), shown(&bad));
}

#[test]
fn wakes_do_not_pile_up() {
    let mut sim = network(1, 10);
    for i in 0..100 {
        sim.broadcast(i % 10, "x").unwrap();
        sim.run_for(1);
    }
    sim.run_for(60);
    assert!(sim.waiting() < 10 * 12, "{} events wait for 10 nodes", sim.waiting());
}

#[test]
fn a_cut_in_one_direction_lets_the_other_through() {
    let mut sim = network(2, 2);
    sim.move_to_island(1, 1);
    sim.net.connect(0, 1, true);
    let received = |sim: &Sim, n: usize| sim.node(n).engine().stats().datagrams_in;
    let before = [received(&sim, 0), received(&sim, 1)];
    sim.broadcast(0, "does it arrive?").unwrap();
    sim.broadcast(1, "yes").unwrap();
    sim.run_for(5);
    assert_eq!(received(&sim, 0), before[0], "nothing comes back");
    assert!(received(&sim, 1) > before[1]);
    sim.net.heal();
    assert!(sim.run_until(120, |s| s.texts(0).len() == 2 && s.texts(1).len() == 2), "{}", sim.replay());
}

#[test]
fn a_suspended_phone_receives_nothing_and_catches_up() {
    let mut sim = network(3, 3);
    sim.sleep(2);
    assert!(sim.node(2).sleeps() && !sim.is_awake(2));
    sim.broadcast(0, "good night").unwrap();
    sim.run_for(60);
    assert_eq!(sim.node(2).stored_messages(), 0);
    sim.wake(2);
    assert!(sim.run_until(120, |s| s.texts(2) == ["good night"]), "{}", sim.replay());
    let b = &sim.watch.broadcasts[0];
    assert_eq!(b.reached(&sim.awake()), (1, 1), "it slept when that was sent: it was not due");
}

#[test]
fn a_stalled_process_does_its_work_late() {
    let mut sim = network(4, 2);
    sim.stall(1, 3 * SECOND);
    sim.broadcast(0, "wait").unwrap();
    sim.run_for(2);
    assert!(sim.node(1).told.is_empty());
    sim.run_for(2);
    assert_eq!(sim.node(1).told.len(), 1, "the datagram waited in the socket");
}

#[test]
fn a_torn_crash_leaves_a_prefix_and_the_node_reads_it() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..20 {
        let mut sim = network(seed, 2);
        sim.run_for(1);
        sim.disk = (SECOND, SECOND);
        for i in 0..5 {
            sim.broadcast(1, &format!("{i}")).unwrap();
        }
        sim.crash_torn(1);
        let left = sim.node(1).stored_messages();
        kept += left;
        lost += 5 - left;
        sim.disk = (0, 0);
        sim.start(1, &[0]);
        sim.run_for(1);
        let expected: Vec<String> = (0..left).map(|i| i.to_string()).collect();
        assert_eq!(sim.texts(1), expected, "a prefix, {}", sim.replay());
    }
    assert!(kept > 10 && lost > 10, "{kept} kept, {lost} lost");
}

#[test]
fn a_hot_disk_restarts_a_node_and_holds_no_messages() {
    let mut sim = Sim::new(6);
    sim.disks = Disk::Hot;
    let (a, b) = (sim.add_node(), sim.add_node());
    sim.start(a, &[]);
    sim.start(b, &[a]);
    assert!(sim.run_until(30, |s| s.linked(b) == 1));
    sim.broadcast(a, "kept nowhere").unwrap();
    assert!(sim.run_until(30, |s| s.node(b).told.len() == 1));
    sim.run_for(1);
    assert_eq!([table("entries"), table("numbers"), table("edits")].map(|t| sim.node(b).disk().count(t)), [0, 0, 0]);
    assert!(sim.node(b).disk().count(table("conversations")) > 0);
    sim.crash(b);
    sim.start(b, &[]);
    assert!(sim.run_until(60, |s| s.linked(b) == 1), "it knows its peers: {}", sim.replay());
}

#[test]
fn nodes_behind_boxes_join_and_outlive_a_rebinding() {
    let mut sim = Sim::new(7);
    sim.public = true;
    let server = sim.add_node();
    let nat = sim.add_box(NatConfig { filtering: Filtering::AddressPortDependent, ..NatConfig::default() });
    let home = sim.add_node_behind(Some(nat));
    sim.start(server, &[]);
    sim.start(home, &[server]);
    assert!(sim.run_until(30, |s| s.linked(home) == 1), "{}", sim.replay());
    let seen = sim.node(home).engine().status().observed;
    assert!(seen.iter().any(|a| a.ip() == sim.net.nat_box(nat).outer()), "{seen:?}");
    sim.run_for(120);
    assert_eq!(sim.linked(home), 1, "keepalives keep the mapping");
    sim.net.rebind(nat, true);
    sim.broadcast(home, "from elsewhere").unwrap();
    assert!(sim.run_until(120, |s| s.texts(server) == ["from elsewhere"]), "{}", sim.replay());
}

#[test]
fn wrong_clocks_break_no_link() {
    let mut sim = network(8, 3);
    sim.skew_clock(0, 100_000);
    sim.skew_clock(1, -100_000);
    sim.set_wall_clock(2, -315_360_000_000);
    sim.run_for(300);
    assert_eq!(sim.watch.false_positives, 0, "{}", sim.replay());
    sim.broadcast(0, "on time").unwrap();
    assert!(sim.run_until(60, |s| (1..3).all(|n| s.texts(n) == ["on time"])), "{}", sim.replay());
}

#[test]
fn detections_are_timed_from_the_crash() {
    let mut sim = network(9, 4);
    sim.run_for(5);
    let at = sim.now();
    sim.crash(3);
    assert!(sim.run_until(60, |s| s.watch.crashed[&3].first.is_some()), "{}", sim.replay());
    let crashed = sim.watch.crashed[&3];
    assert_eq!(crashed.at, at);
    assert!(crashed.first > Some(at + SECOND), "no node can know at once");
    sim.start(3, &[0]);
    assert!(sim.watch.crashed.is_empty());
}

/// Each scenario of the program can be read, names its source, and has a goal.
#[test]
fn every_scenario_is_whole() {
    for (name, text) in BUILTIN {
        let scenario = find(name).unwrap().unwrap();
        assert_eq!(scenario.name, *name);
        assert!(text.starts_with("# "), "{name} begins with what it reproduces");
        for case in &scenario.cases {
            assert!(case.steps.iter().any(|s| matches!(s.phase, Phase::Expect(_))), "{name} has no goal");
        }
    }
}

#[test]
fn several_broadcasts_of_one_call_share_datagrams() {
    let datagrams = |together: bool| {
        let mut sim = Sim::new(3);
        for n in 0..20 {
            sim.add_node();
            sim.start(n, if n == 0 { &[] } else { &[0] });
        }
        sim.run_for(40);
        let before = sim.datagrams();
        let texts: Vec<String> = (0..16).map(|n| format!("message {n} of a run")).collect();
        if together {
            let contents = texts.iter().map(Content::text).collect();
            let said = sim.with(1, |engine, now| engine.broadcast_all(now, contents));
            assert_eq!(said.map(|all| all.len()), Ok(16));
        } else {
            texts.iter().for_each(|text| assert!(sim.broadcast(1, text).is_ok()));
        }
        sim.run_to(sim.now() + 200_000);
        for n in (0..20).filter(|n| *n != 1) {
            assert_eq!(sim.texts(n), texts, "{n}");
        }
        sim.datagrams() - before
    };
    let (together, apart) = (datagrams(true), datagrams(false));
    assert!(
        together <= 200,
        "{together} for 304 deliveries with acknowledgements; {apart} if the host polls after each"
    );
}
