//! `kill -9` of any node at any moment, fifty times, while messages flow.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use live::{Live, network, wait};
use serde_json::json;

const KILLS: usize = 50;

/// What a node said it has: (author, reader or all, message).
type Said = Mutex<Vec<(usize, Option<usize>, String)>>;

#[test]
fn fifty_kills_lose_nothing_acknowledged_and_show_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let nodes: Vec<Mutex<Live>> = network(dir.path(), 3).into_iter().map(Mutex::new).collect();
    let said: Said = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for n in 0..3 {
            let (nodes, said, done) = (&nodes, &said, &done);
            scope.spawn(move || talk(n, nodes, said, done));
        }
        let mut moment = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..KILLS {
            // Any node, any moment: a small generator so that two runs are not in step with the talk.
            moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_millis(moment >> 57));
            let mut victim = nodes[(moment >> 33) as usize % 3].lock().unwrap();
            victim.kill();
            victim.start(None);
        }
        done.store(true, Ordering::SeqCst);
    });
    let nodes: Vec<Live> = nodes.into_iter().map(|n| n.into_inner().unwrap()).collect();
    let said = said.into_inner().unwrap();
    assert!(said.len() > KILLS, "too little was said to mean anything: {}", said.len());
    judge(&nodes, &said);
}

/// Says something to all and to the next node, over and over; only what the node answered for counts.
fn talk(n: usize, nodes: &[Mutex<Live>], said: &Said, done: &AtomicBool) {
    let next = (n + 1) % nodes.len();
    let reader = nodes[next].lock().unwrap().id.clone();
    let mut i = 0;
    while !done.load(Ordering::SeqCst) {
        // The lock is not held while talking: the kill comes in the middle of it.
        let control = nodes[n].lock().unwrap().connect();
        let Some(mut control) = control else { continue };
        for (to, name) in [(None, "all"), (Some(next), reader.as_str())] {
            if let Some(id) = control.send(name, &format!("{n} {i}")) {
                said.lock().unwrap().push((n, to, id));
            }
        }
        i += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn judge(nodes: &[Live], said: &[(usize, Option<usize>, String)]) {
    wait("every outbox to drain", || nodes.iter().all(|n| n.call("status", json!({}))["outbox"] == 0));
    wait("all histories to be equal", || {
        let first = nodes[0].history("all");
        nodes[1..].iter().all(|n| n.history("all") == first)
    });
    let history = nodes[0].history("all");
    let ids: BTreeSet<&String> = history.iter().map(|m| &m[0]).collect();
    assert_eq!(ids.len(), history.len(), "a broadcast shows twice");
    // Read once: there are thousands of messages to look for in each.
    let private: BTreeMap<(usize, usize), Vec<[String; 3]>> = (0..nodes.len())
        .flat_map(|here| (0..nodes.len()).filter(move |other| *other != here).map(move |other| (here, other)))
        .map(|(here, other)| ((here, other), nodes[here].history(&nodes[other].id)))
        .collect();
    for (from, to, id) in said {
        let Some(to) = to else {
            assert!(ids.contains(id), "a broadcast that n{from} had acknowledged is lost");
            continue;
        };
        for (here, other) in [(*from, *to), (*to, *from)] {
            let there = &private[&(here, other)];
            assert_eq!(there.iter().filter(|m| m[0] == *id).count(), 1, "a private message is not there once");
        }
    }
    for node in nodes {
        let told = node.told();
        let once: BTreeSet<&String> = told.iter().collect();
        assert_eq!(once.len(), told.len(), "{} got a message twice", node.name);
    }
}
