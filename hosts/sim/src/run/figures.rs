//! From counters to figures.

use std::collections::BTreeMap;

use crate::graph::Shape;
use crate::measure::{BitSet, Broadcast, Totals, Watch};
use crate::run::Round;
use crate::sim::SECOND;

/// Rounds whose mean delivery decides whether an overlay has healed (HyParView §5.3 sends ten a cycle).
const HEALED_ROUNDS: usize = 10;
/// That mean for a healed overlay.
const HEALED: f64 = 0.999;

/// Bytes of the headers of IPv4 and UDP of one datagram.
const HEADERS: u64 = 28;

/// Figures of one window of time.
pub(super) type Figures = Vec<(&'static str, f64)>;

/// The figures of gossip: redundancy, hops, control messages. `n` nodes, `count` broadcasts.
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

/// Delivery of `broadcasts` to the nodes `alive` at the end.
pub(super) fn reliability(broadcasts: &[Broadcast], alive: &BitSet, first: u64) -> Figures {
    let reached: Vec<(usize, usize)> =
        broadcasts.iter().map(|b| b.reached(alive)).filter(|(_, due)| *due > 0).collect();
    if reached.is_empty() {
        return Figures::new();
    }
    let count = reached.len() as f64;
    let shares = reached.iter().map(|(told, due)| *told as f64 / *due as f64);
    let missed: usize = reached.iter().map(|(told, due)| due - told).sum();
    // Nodes that received it and failed count as first deliveries, so they are due here.
    let due: usize = broadcasts.iter().map(|b| b.running.len().saturating_sub(1)).sum();
    vec![
        ("broadcasts", count),
        ("reliability", shares.clone().sum::<f64>() / count),
        ("reliability_min", shares.fold(1.0, f64::min)),
        ("atomic", reached.iter().filter(|(told, due)| told == due).count() as f64 / count),
        ("missed", missed as f64),
        // Deliveries by comparing histories are not counted for gossip.
        ("reliability_gossip", (first as f64 / due.max(1) as f64).min(1.0)),
    ]
}

/// How fast `broadcasts` reached the nodes `alive` at the end; `began` in virtual microseconds.
pub(super) fn speed(watch: &Watch, broadcasts: &[Broadcast], alive: &BitSet, began: u64) -> Figures {
    let slow: Vec<&Broadcast> = broadcasts.iter().filter(|b| b.is_slow(alive)).collect();
    let since = |b: &&Broadcast| b.at.saturating_sub(began) as f64 / SECOND as f64;
    let mut out = vec![
        ("late", watch.late as f64),
        ("slow", slow.len() as f64),
        ("slow_until_s", slow.last().map_or(0.0, since)),
    ];
    for (key, q) in [("latency_p50_s", 0.5), ("latency_p99_s", 0.99), ("latency_max_s", 1.0)] {
        out.extend(watch.window.quantile(q).map(|v| (key, v)));
    }
    out
}

/// Figures of single rounds; `begin` is when the first began, in virtual seconds.
pub(super) fn rounds(rounds: &[Round], begin: f64, period_s: f64) -> Figures {
    let mut out = Figures::new();
    let ldh: Vec<usize> = rounds.iter().filter_map(|r| r.ldh).collect();
    if !ldh.is_empty() {
        out.push(("ldh_mean", ldh.iter().sum::<usize>() as f64 / ldh.len() as f64));
    }
    let mean = |ten: &[Round]| ten.iter().filter_map(|r| r.gossip).sum::<f64>() / ten.len() as f64;
    if let Some(ten) = rounds.windows(HEALED_ROUNDS).find(|ten| mean(ten) >= HEALED) {
        let seconds = ten[0].at - begin;
        out.push(("healed_s", seconds));
        out.push(("healed_periods", seconds / period_s));
    }
    out
}

/// Traffic on the wire in `seconds`.
pub(super) fn traffic((diff, wakes): (&Totals, u64), n: usize, seconds: f64, period_s: f64) -> Figures {
    let per_node_s = |v: u64| v as f64 / n.max(1) as f64 / seconds.max(1e-6);
    let headers = diff.datagrams_out.saturating_mul(HEADERS);
    vec![
        ("datagrams_per_node_s", per_node_s(diff.datagrams_out)),
        ("datagrams_per_period", per_node_s(diff.datagrams_out) * period_s),
        ("bytes_per_node_s", per_node_s(diff.bytes_out)),
        ("wire_bytes_per_node_s", per_node_s(diff.bytes_out + headers)),
        ("wakes_per_node_s", per_node_s(wakes)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use donp_core::MessageId;

    #[test]
    fn a_failed_node_does_not_offset_a_missed_delivery() {
        let set = |of: std::ops::Range<usize>| {
            let mut set = BitSet::default();
            of.for_each(|n| {
                set.insert(n);
            });
            set
        };
        // Ten run, 0 broadcasts, 1 to 7 receive it by gossip; then 1 and 2 fail.
        let broadcast = Broadcast {
            id: MessageId { depth: 1, hash: [1; 32] },
            author: 0,
            at: 0,
            running: set(0..10),
            told: set(1..8),
            last: 9,
        };
        let mut alive = set(3..10);
        alive.insert(0);
        let figures: BTreeMap<&str, f64> = reliability(&[broadcast], &alive, 7).into_iter().collect();
        assert_eq!((figures["reliability"], figures["missed"]), (5.0 / 7.0, 2.0));
        assert_eq!(figures["reliability_gossip"], 7.0 / 9.0);
        assert_eq!((figures["atomic"], figures["broadcasts"]), (0.0, 1.0));
    }

    #[test]
    fn an_overlay_has_healed_when_ten_rounds_reach_all_nodes() {
        let round = |i: usize| {
            let gossip = if i < 40 || i == 45 { 0.9 } else { 1.0 };
            Round { at: 100.0 + i as f64, ldh: Some(if i < 40 { 8 } else { 6 }), gossip: Some(gossip), rmr: None }
        };
        let all: Vec<Round> = (0..80).map(round).collect();
        let figures = rounds(&all, 100.0, 30.0);
        assert_eq!(figures, [("ldh_mean", 7.0), ("healed_s", 46.0), ("healed_periods", 46.0 / 30.0)]);
        assert_eq!(rounds(&all[..50], 100.0, 30.0).len(), 1, "it never healed");
    }

    #[test]
    fn the_newest_figure_has_no_label_and_no_number_is_left_out() {
        let mut all = BTreeMap::new();
        file(&mut all, "a", vec![("rmr", 1.0), ("ldh", f64::NAN)]);
        file(&mut all, "b", vec![("rmr", 2.0)]);
        let all: Vec<(&str, f64)> = all.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        assert_eq!(all, [("a.rmr", 1.0), ("b.rmr", 2.0), ("rmr", 2.0)]);
    }
}
