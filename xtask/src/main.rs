//! `cargo xtask test`: every check of the project, with a plain word on what was skipped and why.
//!
//! `cargo xtask test NAME…` runs single steps, `cargo xtask list` names them; `cargo xtask test --side-by-side` runs two at
//! a time. With
//! `DONP_REQUIRE_ALL=1`, as in CI, a step that would be skipped fails instead. `cargo xtask planted` plants
//! bugs and looks whether the simulator finds them. `cargo xtask mutants` measures what the core's tests notice.

mod command;
mod flags;
mod lanes;
mod machine;
mod planted;
mod steps;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use steps::STEPS;

enum Outcome {
    Passed,
    /// Some of its tests lacked something here: their words.
    PassedBut(String),
    Failed(String),
    Skipped(String),
}

/// The line before the results.
const SUMMARY: &str = "=== summary";

/// Steps of one lane run one after the other: those of the packages need what the ones before built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    Core,
    Packages,
}

struct Step {
    lane: Lane,
    name: &'static str,
    what: &'static str,
    run: fn(&Path) -> Outcome,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("test") if args[1..] == ["--side-by-side"] => lanes::run(),
        Some("test") => test(&args[1..]),
        Some("planted") => planted::hunt(&root(), &args[1..]),
        Some("mutants") => mutants(&root(), &args[1..]),
        Some("list") => {
            for step in STEPS {
                println!("{:8} {}", step.name, step.what);
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!(
                "usage: cargo xtask test [STEP… | --side-by-side] | cargo xtask list | cargo xtask planted [BUG…] | \
                 cargo xtask mutants [FOLDER…]"
            );
            ExitCode::from(2)
        }
    }
}

fn test(wanted: &[String]) -> ExitCode {
    if let Some(unknown) = wanted.iter().find(|w| !STEPS.iter().any(|s| s.name == **w)) {
        eprintln!("error: there is no step '{unknown}'; try: cargo xtask list");
        return ExitCode::from(2);
    }
    let require_all = std::env::var("DONP_REQUIRE_ALL").is_ok_and(|v| v == "1");
    let root = root();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut lines = Vec::new();
    for step in STEPS.iter().filter(|s| wanted.is_empty() || wanted.iter().any(|w| w == s.name)) {
        println!("\n=== {}: {}", step.name, step.what);
        let (start, used) = (Instant::now(), processor_seconds());
        let mut outcome = (step.run)(&root);
        if let Outcome::Skipped(why) = &outcome
            && require_all
        {
            outcome = Outcome::Failed(format!("nothing may be skipped here, and {why}"));
        }
        let took = start.elapsed().as_secs();
        let used = processor_seconds().saturating_sub(used);
        lines.push(match outcome {
            Outcome::Passed => {
                passed += 1;
                format!("passed   {:8} {took:4} s, {used:4} s of processor time", step.name)
            }
            Outcome::PassedBut(lacking) => {
                passed += 1;
                format!("passed   {:8} {took:4} s, {used:4} s of processor time; {lacking}", step.name)
            }
            Outcome::Failed(why) => {
                failed += 1;
                format!("FAILED   {:8} {took:4} s  {why}", step.name)
            }
            Outcome::Skipped(why) => {
                skipped += 1;
                format!("SKIPPED  {:8} {took:4} s  {why}", step.name)
            }
        });
    }
    println!("\n{SUMMARY}");
    for line in lines {
        println!("{line}");
    }
    println!("steps: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the programs of the steps have used so far; 0 where the system does not say (fields 16 and 17 of proc(5),
/// `/proc/pid/stat`, in hundredths).
fn processor_seconds() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(13).take(2).filter_map(|f| f.parse::<u64>().ok()).sum::<u64>() / 100
}

/// A program of its own: parsing Rust takes crates that nothing else here needs.
fn mutants(root: &Path, args: &[String]) -> ExitCode {
    let run = ["run", "--quiet", "-p", "donp-mutants", "--"];
    match command::cargo(root, &run).args(args).status() {
        Ok(status) => status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(code.clamp(0, 255) as u8)),
        Err(e) => {
            eprintln!("error: cargo did not start: {e}");
            ExitCode::from(2)
        }
    }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
