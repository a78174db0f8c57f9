//! How often the process of a node of low power wakes, by what the system sees of it (docs/design/power.md §3).
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Place, until};

/// The period of the node; 25 s would make the test minutes.
const PERIOD: f64 = 3.0;
/// Periods that are watched, after as many in which the nodes learn of each other.
const WATCHED: usize = 8;
/// What follows within this belongs to the same wake-up.
const TOGETHER: f64 = 1.0;

/// `strace` of a process with all its threads.
struct Trace(Child);

impl Trace {
    /// None if there is no `strace`, or the system lets no process be traced.
    fn of(process: u32, log: &Path) -> Option<Self> {
        let mut command = Command::new("strace");
        command.args(["-f", "-ttt", "-p", &process.to_string(), "-o"]).arg(log);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        // Attached, or refused.
        let traces = until("strace begins", || match child.try_wait() {
            Ok(None) => std::fs::metadata(log).is_ok_and(|log| log.len() > 0).then_some(true),
            Ok(Some(_)) | Err(_) => Some(false),
        });
        traces.then_some(Self(child))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// When each wake-up began, in seconds: every call of the system shows that a thread ran.
fn wakes(log: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    // Process, time, call.
    let times = text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    let (mut all, mut last) = (Vec::new(), 0.0);
    for at in times {
        if at - last > TOGETHER {
            all.push(at);
        }
        last = at;
    }
    all
}

/// Four times a minute at periods of 25 s are five in three periods.
///
/// Mutations: `Machine::pressing_deadline` of the failure detector or of chat is its next deadline; `Chores::deadline` without
/// its patience and a minute of 3 s.
#[test]
fn a_process_of_low_power_with_eight_neighbours_sleeps() {
    let place = Place::new();
    let config = format!("[membership]\ntarget = 8\n[link]\nlow_power_keepalive = \"{PERIOD}s\"\n");
    std::fs::write(place.config(), config).unwrap();
    let names: Vec<String> = (0..8).map(|n| format!("node{n}")).collect();
    names.iter().for_each(|name| drop(place.init(name)));
    let first = place.start(&names[0], &[]);
    let others: Vec<_> = names[1..].iter().map(|name| place.start(name, &["--bootstrap", &first.place()])).collect();
    place.init("phone");
    let phone = place.start("phone", &["--bootstrap", &first.place(), "--power", "low"]);
    until("the phone has eight neighbours", || (place.status("phone")["neighbours"] == 8).then_some(()));
    let log = place.path().join("strace");
    let Some(_trace) = Trace::of(phone.pid(), &log) else {
        return eprintln!("SKIPPED: there is no strace, or the system lets no process be traced");
    };
    let all = until("it was watched for long enough", || {
        let all = wakes(&log);
        (all.last()? - all.first()? >= 2.0 * WATCHED as f64 * PERIOD).then_some(all)
    });
    let end = all.last().unwrap();
    let watched = all.iter().filter(|at| end - **at < WATCHED as f64 * PERIOD).count();
    assert!(watched <= WATCHED * 5 / 3, "{watched} in {WATCHED} periods: {all:?}");
    // It keeps its links alive, and all are there.
    assert!(watched >= WATCHED - 1, "{watched}");
    assert_eq!(place.status("phone")["neighbours"], 8);
    drop((first, others));
}
