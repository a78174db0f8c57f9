//! `cargo xtask planted`: what the simulator's laws are worth. Each bug of `hosts/sim/src/planted.rs` is planted
//! in every node, one after the other, and a seed is looked for that notices. A late deadline is planted in one
//! machine after the other and is a matter of law 5 (`tests/tests/late.rs`).

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::flags;

/// A bug that is not noticed by then counts as not found (docs/design/reliability.md §3).
const SEEDS: &str = "1..501";
/// Bugs there must be at least (docs/design/reliability.md §3).
const LEAST: usize = 12;
/// Weaknesses that only hostile nodes use, and the scenario that has them.
const AGAINST_HOSTILE: &[(&str, &str)] = &[("signature-unchecked", "hostile-short")];
/// The bug that random runs need not notice, since they ask what happens and not exactly when.
const LATE: &str = "late-deadline";

/// Prints a line for each bug; whether all were found. With names only those.
pub fn hunt(root: &Path, wanted: &[String]) -> ExitCode {
    match try_hunt(root, wanted) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn try_hunt(root: &Path, wanted: &[String]) -> Result<bool, String> {
    let listed = sim(root, &["bugs"])?;
    let bugs: Vec<(&str, &str)> = listed.lines().filter_map(|l| l.split_once(' ')).collect();
    if bugs.len() < LEAST {
        return Err(format!("there are {} bugs, and {LEAST} are wanted", bugs.len()));
    }
    if let Some(unknown) = wanted.iter().find(|w| !bugs.iter().any(|(name, _)| name == w)) {
        let names: Vec<&str> = bugs.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no bug '{unknown}'; there are: {}", names.join(", ")));
    }
    let mut all_found = true;
    println!("| bug | what it does | seed | law |\n|---|---|---|---|");
    for (bug, what) in bugs.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)) {
        let begin = Instant::now();
        if *bug == LATE {
            all_found &= late(root, what)?;
            eprintln!("{bug}: {:.1} s", begin.elapsed().as_secs_f64());
            continue;
        }
        let scenario = AGAINST_HOSTILE.iter().find(|(weak, _)| weak == bug).map_or("schedules-short", |(_, by)| by);
        let run = ["run", scenario, "--seeds", SEEDS, "--until-failure", "--planted", bug];
        let said = sim(root, &run)?;
        // The first law that is broken or goal that is missed, of the first seed that fails.
        let broken = said.lines().find_map(|l| l.trim().strip_prefix("BROKEN "));
        let missed = || said.lines().find(|l| l.ends_with("FAIL")).and_then(|l| l.split_whitespace().next());
        let law = broken.or_else(missed);
        let fail = format!("FAIL {scenario} seed ");
        let seed = said.lines().find_map(|l| l.strip_prefix(fail.as_str()));
        match (seed, law) {
            (Some(seed), Some(law)) => println!("| `{bug}` | {what} | {seed} | {law} |"),
            (Some(_) | None, _) => {
                println!("| `{bug}` | {what} | NOT FOUND | |");
                all_found = false;
            }
        }
        eprintln!("{bug}: {:.1} s", begin.elapsed().as_secs_f64());
    }
    Ok(all_found)
}

/// Whether law 5 notices a late deadline of each machine.
fn late(root: &Path, what: &str) -> Result<bool, String> {
    let test = ["test", "--quiet", "--release", "-p", "donp-tests", "--test", "late"];
    let output = flags::cargo_with(root, flags::PLANTED, &test)
        .args(["--", "--nocapture"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo did not start: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("| late machine |") {
        return Err(format!("the test of late deadlines did not run:\n{said}"));
    }
    let found = output.status.success();
    // A row for each machine, below the head and a line.
    let machines = said.lines().filter(|l| l.starts_with("| ")).count().saturating_sub(1);
    let noticed = format!("sleeping to the deadline shows other times than ticking, in each of {machines} machines");
    let law = if found { noticed.as_str() } else { "" };
    let seed = if found { "100" } else { "NOT FOUND" };
    println!("| `{LATE}` | {what} | {seed} | {law} |");
    if !found {
        eprintln!("{said}");
    }
    Ok(found)
}

/// What `donp-sim` prints with the bugs built in.
fn sim(root: &Path, args: &[&str]) -> Result<String, String> {
    let build = ["run", "--quiet", "--release", "-p", "donp-sim"];
    let output = flags::cargo_with(root, flags::PLANTED, &build)
        .arg("--")
        .args(args)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo did not start: {e}"))?;
    // 1 says that a law was broken, which is what is wanted.
    match output.status.code() {
        Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => Err(format!("donp-sim {} ended with {}", args.join(" "), output.status)),
    }
}
