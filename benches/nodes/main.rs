//! What nodes cost on loopback: private messages between two processes, a group of 50 in one process, idle nodes,
//! and the floor of the sockets beside them.
//!
//! `cargo bench -p donp-benches --bench nodes` runs all rows; an argument runs those whose name contains it. Each row
//! has a process of its own. Counts are fixed, nothing is asserted about time, and a lost message fails. Machines are
//! noisy: compare processor time first, and two builds in turns on one machine (docs/benchmarks.md).

mod allocations;
mod file;
mod floor;
mod group;
mod idle;
mod newcomer;
mod unicast;
mod usage;

use std::process::Command;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// The name of a row, what it measures, and its code.
type Row = (&'static str, fn(&str));

const ROWS: [Row; 16] = [
    ("floor", floor::run),
    ("unicast-64", unicast::run),
    ("unicast-512", unicast::run),
    ("unicast-1k", unicast::run),
    ("unicast-one", unicast::run),
    ("unicast-allocations", unicast::run),
    ("unicast-durable-64", unicast::run),
    ("unicast-durable-512", unicast::run),
    ("unicast-durable-one", unicast::run),
    ("group-gentle", group::run),
    ("group-burst", group::run),
    ("idle-50", idle::run),
    ("idle-2", idle::run),
    ("newcomer", newcomer::run),
    ("file-volatile", file::run),
    ("file-durable", file::run),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let mut words = args.iter().map(String::as_str);
    match (words.next(), words.next()) {
        (Some("row"), Some(name)) => {
            usage::no_huge_pages();
            if let Some((_, run)) = ROWS.iter().find(|(row, _)| *row == name) {
                run(name);
            }
        }
        (Some("receiver"), Some(row)) => {
            usage::no_huge_pages();
            unicast::receiver(row);
        }
        (wanted, _) => {
            let program = std::env::current_exe().expect("this program");
            for (name, _) in ROWS.iter().filter(|(name, _)| wanted.is_none_or(|w| name.contains(w))) {
                let status = Command::new(&program).args(["row", name]).status().expect("a process");
                assert!(status.success(), "{name} failed");
            }
        }
    }
}
