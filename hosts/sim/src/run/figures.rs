//! From counters to figures.

use std::collections::BTreeMap;

use crate::graph::Shape;
use crate::measure::{BitSet, Broadcast, Totals};

/// Figures of one window of time.
pub(super) type Figures = Vec<(&'static str, f64)>;

/// What the gossip did: redundancy, hops, control messages. `n` nodes, `count` broadcasts.
pub(super) fn gossip(diff: &Totals, n: usize, count: usize) -> Figures {
    let mut out = Figures::new();
    let nodes = n.max(1) as f64;
    out.extend(diff.rmr().map(|v| ("rmr", v)));
    out.extend(diff.ldh().map(|v| ("ldh", v as f64)));
    out.extend(diff.mean_hops().map(|v| ("hops_mean", v)));
    if count > 0 {
        let count = count as f64;
        out.push(("payloads_per_broadcast", diff.payloads_out as f64 / count));
        out.push(("control_per_broadcast", diff.control_out as f64 / count));
        out.push(("control_per_n", diff.control_out as f64 / count / nodes));
    }
    out.push(("payload_bytes_per_node", diff.payload_bytes as f64 / nodes));
    out.push(("control_bytes_per_node", diff.control_bytes as f64 / nodes));
    out
}

/// Who got what: over `broadcasts`, among the nodes `alive` at the end.
pub(super) fn reliability(broadcasts: &[Broadcast], alive: &BitSet, first: u64) -> Figures {
    let reached: Vec<(usize, usize)> =
        broadcasts.iter().map(|b| b.reached(alive)).filter(|(_, due)| *due > 0).collect();
    if reached.is_empty() {
        return Figures::new();
    }
    let count = reached.len() as f64;
    let shares = reached.iter().map(|(told, due)| *told as f64 / *due as f64);
    let missed: usize = reached.iter().map(|(told, due)| due - told).sum();
    let due: usize = reached.iter().map(|(_, due)| due).sum();
    vec![
        ("broadcasts", count),
        ("reliability", shares.clone().sum::<f64>() / count),
        ("reliability_min", shares.fold(1.0, f64::min)),
        ("atomic", reached.iter().filter(|(told, due)| told == due).count() as f64 / count),
        ("missed", missed as f64),
        // What came by comparing histories is not the gossip's merit.
        ("reliability_gossip", (first as f64 / due as f64).min(1.0)),
    ]
}

/// How much went over the wire in `seconds`.
pub(super) fn traffic(diff: &Totals, n: usize, seconds: f64, period_s: f64) -> Figures {
    let per_node_s = |v: u64| v as f64 / n.max(1) as f64 / seconds.max(1e-6);
    vec![
        ("datagrams_per_node_s", per_node_s(diff.datagrams_out)),
        ("datagrams_per_period", per_node_s(diff.datagrams_out) * period_s),
        ("bytes_per_node_s", per_node_s(diff.bytes_out)),
        ("handshakes_per_node", diff.handshakes as f64 / n.max(1) as f64),
        ("seconds", seconds),
    ]
}

/// The overlay.
pub(super) fn shape(shape: &Shape) -> Figures {
    vec![
        ("components", shape.components as f64),
        ("giant", shape.giant),
        ("clustering", shape.clustering),
        ("path", shape.path),
        ("diameter", shape.diameter as f64),
        ("degree", shape.degree),
        ("degree_min", shape.degree_min as f64),
        ("degree_max", shape.degree_max as f64),
        ("one_sided", shape.one_sided),
    ]
}

/// Puts figures under their window's label, and under their own names as the newest.
pub(super) fn file(all: &mut BTreeMap<String, f64>, label: &str, figures: Figures) {
    for (key, value) in figures.into_iter().filter(|(_, v)| v.is_finite()) {
        all.insert(format!("{label}.{key}"), value);
        all.insert(key.to_owned(), value);
    }
}
