//! Nodes that have nothing to do: memory, wake-ups, traffic.

use std::time::Duration;

use crate::group;
use crate::usage::{Usage, memory_kib};

/// From the last joining to the beginning of the measurement.
const CALM: Duration = Duration::from_secs(15);
const MEASURED: Duration = Duration::from_secs(20);

pub fn run(name: &str) {
    let count = name.rsplit('-').next().and_then(|n| n.parse().ok()).expect("a number of nodes");
    let empty = memory_kib();
    let nodes = group::open(count);
    group::settle(&nodes);
    std::thread::sleep(CALM);
    let before = Usage::now(&nodes);
    std::thread::sleep(MEASURED);
    let used = Usage::now(&nodes).since(before);
    let each = |n: u64| n as f64 / count as f64 / MEASURED.as_secs_f64();
    println!(
        "{name}: {} KiB a node above an empty process, {:.1} waits, {:.0} B of wire and {:.1} packets a second, {:.3} % CPU",
        memory_kib().saturating_sub(empty) / count as u64,
        each(used.waits),
        each(used.wire),
        each(used.datagrams),
        each(used.cpu) / 1e4,
    );
}
