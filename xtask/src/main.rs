//! `cargo xtask test`: every check of the project, with a plain word on what was skipped and why.
//!
//! `cargo xtask test NAME…` runs single steps, `cargo xtask list` names them. With
//! `DONP_REQUIRE_ALL=1`, as in CI, a step that would be skipped fails instead.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&Path) -> Outcome,
}

const STEPS: &[Step] = &[
    Step { name: "format", what: "rustfmt finds nothing to change", run: format },
    Step { name: "lint", what: "clippy with the lints of the house, warnings are errors", run: lint },
    Step { name: "docs", what: "rustdoc, warnings are errors", run: docs },
    Step { name: "rust", what: "unit, property, simulation, corpus and command line tests", run: rust },
    Step { name: "benches", what: "benchmarks compile", run: benches },
    Step { name: "nostd", what: "two nodes talk in a program without std", run: nostd },
    Step { name: "fuzz", what: "fuzz targets compile", run: fuzz },
    Step { name: "deny", what: "licences, sources and duplicates of dependencies (needs cargo-deny)", run: deny },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("test") => test(&args[1..]),
        Some("list") => {
            for step in STEPS {
                println!("{:8} {}", step.name, step.what);
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: cargo xtask test [STEP…] | cargo xtask list");
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
        let start = Instant::now();
        let mut outcome = (step.run)(&root);
        if let Outcome::Skipped(why) = &outcome
            && require_all
        {
            outcome = Outcome::Failed(format!("nothing may be skipped here, and {why}"));
        }
        let took = start.elapsed().as_secs();
        lines.push(match outcome {
            Outcome::Passed => {
                passed += 1;
                format!("passed   {:8} {took:4} s", step.name)
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
    println!("\n=== summary");
    for line in lines {
        println!("{line}");
    }
    println!("steps: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.current_dir(root).args(args);
    command
}

fn run(command: &mut Command) -> Outcome {
    println!("$ {}", shown(command));
    match command.status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => Outcome::Failed(format!("{} ended with {status}", shown(command))),
        Err(e) => Outcome::Failed(format!("{} did not start: {e}", shown(command))),
    }
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let args = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

fn answers(command: &mut Command) -> bool {
    command.output().is_ok_and(|o| o.status.success())
}

fn format(root: &Path) -> Outcome {
    run(&mut cargo(root, &["fmt", "--all", "--check"]))
}

fn lint(root: &Path) -> Outcome {
    run(&mut cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn docs(root: &Path) -> Outcome {
    run(cargo(root, &["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn rust(root: &Path) -> Outcome {
    run(&mut cargo(root, &["test", "--workspace"]))
}

fn benches(root: &Path) -> Outcome {
    run(&mut cargo(root, &["build", "--workspace", "--benches"]))
}

fn nostd(root: &Path) -> Outcome {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Outcome::Skipped("the program's entry point is written for Linux on x86-64".into());
    }
    let folder = root.join("tests/nostd");
    match run(&mut cargo(&folder, &["build", "--release"])) {
        Outcome::Passed => run(&mut Command::new(folder.join("target/release/donp-nostd"))),
        other => other,
    }
}

fn fuzz(root: &Path) -> Outcome {
    // Running them needs a nightly compiler; that they compile does not. The corpora were replayed by
    // the step `rust`.
    let folder = root.join("tests/fuzz");
    run(cargo(&folder, &["check", "--bins"]).env("RUSTFLAGS", "--cfg fuzzing"))
}

fn deny(root: &Path) -> Outcome {
    if !answers(&mut cargo(root, &["deny", "--version"])) {
        return Outcome::Skipped("cargo-deny is not installed: cargo install cargo-deny --locked".into());
    }
    run(&mut cargo(root, &["deny", "check", "bans", "licenses", "sources"]))
}
