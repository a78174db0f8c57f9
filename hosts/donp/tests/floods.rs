//! A million hostile datagrams leave a running node serving its peers.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod live;

use std::net::UdpSocket;

use donp_sim::SimRng;
use live::{Live, network, wait};
use serde_json::json;

const DATAGRAMS: u64 = 1_000_000;
/// Resident memory a flood may cost at most: the sum of the fixed tables that proof of nothing can
/// fill (docs/design/reliability.md §4: 64 MiB above idle).
const MOST_KIB: u64 = 64 << 10;

/// Datagrams of every kind, well formed in length, type and version, with noise inside; every eighth
/// is noise altogether.
fn hostile(rng: &mut SimRng, out: &mut Vec<u8>) {
    const LENGTHS: [(u8, usize); 7] = [(1, 335), (2, 134), (3, 62), (4, 1_200), (5, 320), (6, 278), (7, 186)];
    let pick = rng.u64();
    let (kind, len) = LENGTHS[(pick % 7) as usize];
    let len = if pick & 0x700 == 0 { (pick >> 16) as usize % 1_400 } else { len };
    out.clear();
    while out.len() < len {
        out.extend_from_slice(&rng.u64().to_le_bytes());
    }
    out.truncate(len);
    if pick & 0x3800 != 0
        && let [first, second, ..] = out.as_mut_slice()
    {
        (*first, *second) = (kind, 2);
    }
}

fn drops(node: &Live) -> u64 {
    let status = node.call("status", json!({}));
    status["drops"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum()
}

#[test]
fn a_million_hostile_datagrams_disturb_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = network(dir.path(), 2);
    // From several addresses of this machine, a bounded number of datagrams, to the node's own port.
    let sockets: Vec<UdpSocket> = (1..=16).map(|n| UdpSocket::bind(format!("127.0.0.{n}:0")).unwrap()).collect();
    let (before, entries) = (nodes[0].resident_kib(), nodes[0].call("status", json!({}))["entries"].clone());
    let mut rng = SimRng::new(7);
    let mut bytes = Vec::new();
    let (mut delivered, mut peak) = (0, 0);
    for i in 0..DATAGRAMS {
        hostile(&mut rng, &mut bytes);
        // A full buffer refuses: what is not sent disturbs no node, and is sent again.
        while sockets[(i % 16) as usize].send_to(&bytes, &nodes[0].address).is_err() {
            std::thread::yield_now();
        }
        if i % 100_000 == 0 {
            // In the middle of it the node serves its peer, in both directions.
            for (from, to) in [(0, 1), (1, 0)] {
                let params = json!({ "to": nodes[to].id, "text": "x", "wait": "delivered", "timeout_ms": 60_000 });
                let sent = nodes[from].call("send", params);
                assert_eq!(sent["state"], "delivered", "after {i} datagrams: {sent}");
                delivered += 1;
            }
            peak = peak.max(nodes[0].resident_kib());
        }
    }
    assert_eq!(delivered, 20);
    assert!(peak < before + MOST_KIB, "resident memory rose from {before} to {peak} KiB");
    let status = nodes[0].call("status", json!({}));
    let (was, is) = (entries.as_u64().unwrap(), status["entries"].as_u64().unwrap());
    assert!(is < was + 10_000, "entries rose from {was} to {is}");
    assert!(drops(&nodes[0]) > DATAGRAMS / 100, "too little of the flood arrived: {status}");
    for reason in ["malformed", "mac", "unknown_session"] {
        assert!(status["drops"][reason].as_u64() > Some(0), "{reason} was not counted: {status}");
    }
    wait("the link to be still there", || nodes[0].call("status", json!({}))["links"] == 1);
}
