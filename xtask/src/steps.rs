//! The steps: cheap ones first, what builds on others after them.

use std::cmp::Ordering;
use std::path::Path;
use std::process::Command;

use crate::Lane::{Core, Packages};
use crate::command::{cargo, run, run_and_read};
use crate::{Outcome, Step, flags, machine, tools};

pub const STEPS: &[Step] = &[
    Step {
        lane: Core,
        name: "version",
        what: "the Rust version that is claimed is the one that runs the checks",
        run: version,
    },
    Step { lane: Core, name: "format", what: "rustfmt finds nothing to change", run: format },
    Step { lane: Core, name: "shell", what: "shellcheck finds nothing in the scripts", run: shell },
    Step {
        lane: Core,
        name: "deny",
        what: "licences, sources and duplicates of dependencies (needs cargo-deny)",
        run: deny,
    },
    Step { lane: Core, name: "unused", what: "no dependency that no code names (needs cargo-machete)", run: unused },
    Step { lane: Core, name: "lint", what: "clippy with the lints of the house, warnings are errors", run: lint },
    Step {
        lane: Core,
        name: "flags",
        what: "the simulator builds with toy keys and with planted bugs, nothing else does",
        run: flags::check,
    },
    Step { lane: Core, name: "docs", what: "rustdoc, warnings are errors", run: docs },
    Step { lane: Core, name: "bpf", what: "the core type-checks for a bare-metal target", run: bpf },
    Step { lane: Core, name: "nostd", what: "two nodes talk in a program without std", run: nostd },
    Step { lane: Core, name: "rust", what: "unit, property, simulation, corpus and command line tests", run: rust },
    Step {
        lane: Packages,
        name: "vectors",
        what: "programs of their own compute the vectors of links, sessions and groups (need Python packages)",
        run: vectors,
    },
    Step {
        lane: Packages,
        name: "groups",
        what: "a program of its own resolves the frozen groups (needs Python)",
        run: groups,
    },
    Step {
        lane: Packages,
        name: "models",
        what: "Alloy and, where it is installed, Verifpal find what models show and the faults planted in them",
        run: models,
    },
    Step {
        lane: Core,
        name: "machine",
        what: "a machine is added to a copy of the core, as documented",
        run: machine::check,
    },
    Step { lane: Core, name: "sim", what: "random schedules in virtual time break no law", run: sim },
    Step { lane: Core, name: "benches", what: "benchmarks compile", run: benches },
    Step { lane: Core, name: "fuzz", what: "fuzz targets compile", run: fuzz },
    Step {
        lane: Packages,
        name: "size",
        what: "the library for other languages, as shipped, is at most 5 MB",
        run: size,
    },
    Step { lane: Packages, name: "python", what: "the Python package builds and passes its tests", run: python },
    Step { lane: Packages, name: "kotlin", what: "the Kotlin package builds and passes its tests", run: kotlin },
    Step { lane: Packages, name: "swift", what: "the Swift package builds and passes its tests", run: swift },
    Step {
        lane: Packages,
        name: "together",
        what: "the three languages and donp in one network show one order",
        run: together,
    },
];

/// Runs a script of the repository, unless this machine lacks what it needs. That the script itself is
/// not there is no excuse.
fn script(root: &Path, path: &str, lacking: fn(&Path) -> Option<String>) -> Outcome {
    let script = root.join(path);
    if !script.is_file() {
        return Outcome::Failed(format!("{path} does not exist"));
    }
    match lacking(root) {
        Some(what) => Outcome::Skipped(what),
        // Variables that begin so are settings to a `donp` that the script starts.
        None => run(Command::new(script).current_dir(root).env_remove("DONP_REQUIRE_ALL")),
    }
}

/// A claim of an older version than the checks run with would be proved by nothing.
fn version(root: &Path) -> Outcome {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let claim = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).map(|v| v.trim_matches('"'));
    let Some(claimed) = claim.and_then(tools::version) else {
        return Outcome::Failed("Cargo.toml has no rust-version".into());
    };
    match tools::printed("rustc", &["--version"]).as_deref().and_then(tools::version) {
        None => Outcome::Failed("rustc does not say its version".into()),
        Some(found) => compare_versions(claimed, found),
    }
}

fn compare_versions(claimed: (u32, u32), found: (u32, u32)) -> Outcome {
    let ((a, b), (c, d)) = (claimed, found);
    match found.cmp(&claimed) {
        Ordering::Less => Outcome::Failed(format!("Cargo.toml wants Rust {a}.{b} and this is {c}.{d}")),
        Ordering::Equal => Outcome::Passed,
        Ordering::Greater => {
            Outcome::Skipped(format!("Rust {c}.{d} proves nothing about {a}.{b}, which Cargo.toml claims"))
        }
    }
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

/// A test that lacks something on this machine says so in a line of its output, which is shown for that. Where nothing
/// may be skipped the tests fail that know how to get what they lack.
fn rust(root: &Path) -> Outcome {
    let mut skipped = Vec::new();
    let outcome = run_and_read(&mut cargo(root, &["test", "--workspace", "--", "--show-output"]), |line| {
        skipped.extend(line.starts_with("SKIPPED").then(|| line.to_owned()));
    });
    if let (Outcome::Passed, [_, ..]) = (&outcome, &skipped[..]) {
        return Outcome::PassedBut(skipped.join("; "));
    }
    outcome
}

/// Every scenario as small as its goals allow, two random schedules of full size, one for each of two
/// processors, four mixes of hostile nodes for a minute each, and twenty short ones with every written invariant checked at each event, which a build without
/// optimization does; the papers' sizes and 2,000 schedules before a release (docs/simulator.md).
fn sim(root: &Path) -> Outcome {
    let small = ["all", "--size", "test"];
    let full = ["run", "schedules", "--seeds", "4..6"];
    let short = ["run", "schedules-short", "--seeds", "1..21"];
    let hostile = ["run", "hostile-short", "--seeds", "1..5"];
    let release: &[&str] = &["--release"];
    let runs = [(release, &small[..]), (release, &full[..]), (release, &hostile[..]), (&[], &short[..])];
    for (profile, command) in runs {
        let args = [&["run"], profile, &["-p", "donp-sim", "--"], command].concat();
        match run(&mut cargo(root, &args)) {
            Outcome::Passed => {}
            other => return other,
        }
    }
    Outcome::Passed
}

fn benches(root: &Path) -> Outcome {
    run(&mut cargo(root, &["build", "--workspace", "--benches"]))
}

fn nostd(root: &Path) -> Outcome {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Outcome::Skipped("the program's entry point is written for Linux on x86-64".into());
    }
    let folder = root.join("tests/nostd");
    // Said here, so that CARGO_TARGET_DIR does not put the program elsewhere.
    match run(&mut cargo(&folder, &["build", "--release", "--target-dir", "target"])) {
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
    if !tools::answers(&mut cargo(root, &["deny", "--version"])) {
        return Outcome::Skipped("cargo-deny is not installed: cargo install cargo-deny --locked".into());
    }
    run(&mut cargo(root, &["deny", "check", "bans", "licenses", "sources"]))
}

fn unused(root: &Path) -> Outcome {
    if !tools::answers(&mut cargo(root, &["machete", "--version"])) {
        return Outcome::Skipped("cargo-machete is not installed: cargo install cargo-machete --locked".into());
    }
    run(&mut cargo(root, &["machete"]))
}

fn shell(root: &Path) -> Outcome {
    if !tools::answers(Command::new("shellcheck").arg("--version")) {
        return Outcome::Skipped("shellcheck is not installed".into());
    }
    // Git distrusts a checkout that belongs to another user, as it may in CI; listing files is harmless.
    let list = ["-c", "safe.directory=*", "ls-files", "-z", "*.sh", ".ci/run"];
    match Command::new("git").args(list).current_dir(root).output() {
        Ok(o) if o.status.success() && !o.stdout.is_empty() => {
            let files = String::from_utf8_lossy(&o.stdout);
            run(Command::new("shellcheck").args(files.split_terminator('\0')).current_dir(root))
        }
        Ok(o) => Outcome::Failed(format!("git lists no scripts: {}", String::from_utf8_lossy(&o.stderr).trim())),
        Err(e) => Outcome::Failed(format!("git did not start: {e}")),
    }
}

fn bpf(root: &Path) -> Outcome {
    script(root, "tests/bpf.sh", |_| tools::lacks_debian())
}

fn size(root: &Path) -> Outcome {
    script(root, "bindings/size.sh", |_| tools::lacks_strip())
}

/// That the core makes the same ones is a test of the step `rust`.
fn vectors(root: &Path) -> Outcome {
    let python = tools::python_with(root, &["cryptography", "kyber_py", "blake3"]);
    match python {
        Ok(python) => [
            "tests/vectors/session.py",
            "tests/vectors/safety.py",
            "tests/vectors/devices.py",
            "tests/vectors/link.py",
            "tests/models/groups/keys.py",
        ]
        .into_iter()
        .map(|program| run(Command::new(&python).arg(root.join(program))))
        .find(|outcome| !matches!(outcome, Outcome::Passed))
        .unwrap_or(Outcome::Passed),
        Err(lacking) => Outcome::Skipped(lacking),
    }
}

/// That the core makes the same ones is a test of the step `rust`.
fn groups(root: &Path) -> Outcome {
    match tools::python_with(root, &["json"]) {
        Ok(python) => run(Command::new(python).arg(root.join("tests/models/groups/check.py"))),
        Err(lacking) => Outcome::Skipped(lacking),
    }
}

/// Alloy comes by Maven. Verifpal is built for a quarter of an hour: where it is not installed its program says so.
fn models(root: &Path) -> Outcome {
    if let Some(lacking) = tools::lacks_kotlin() {
        return Outcome::Skipped(lacking);
    }
    match tools::python_with(root, &["json"]) {
        Ok(python) => ["tests/models/alloy/check.py", "tests/models/verifpal/check.py"]
            .into_iter()
            .map(|program| run(Command::new(&python).arg(root.join(program))))
            .find(|outcome| !matches!(outcome, Outcome::Passed))
            .unwrap_or(Outcome::Passed),
        Err(lacking) => Outcome::Skipped(lacking),
    }
}

fn python(root: &Path) -> Outcome {
    script(root, "bindings/python/test.sh", |_| tools::lacks_python())
}

fn kotlin(root: &Path) -> Outcome {
    script(root, "bindings/kotlin/test.sh", |_| tools::lacks_kotlin())
}

fn swift(root: &Path) -> Outcome {
    script(root, "bindings/swift/test.sh", tools::lacks_swift)
}

fn together(root: &Path) -> Outcome {
    let lacking = |root: &Path| {
        let jq = tools::lacks_jq();
        jq.or_else(tools::lacks_python).or_else(tools::lacks_kotlin).or_else(|| tools::lacks_swift(root))
    };
    script(root, "bindings/together.sh", lacking)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_script_fails_and_a_missing_tool_skips() {
        let root = crate::root();
        let nothing = |_: &Path| Some("a tool".to_string());
        assert!(matches!(script(&root, "tests/no-such.sh", nothing), Outcome::Failed(_)));
        assert!(matches!(script(&root, "tests/bpf.sh", nothing), Outcome::Skipped(what) if what == "a tool"));
    }

    #[test]
    fn only_the_claimed_version_proves_the_claim() {
        assert!(matches!(compare_versions((1, 95), (1, 95)), Outcome::Passed));
        assert!(matches!(compare_versions((1, 89), (1, 95)), Outcome::Skipped(_)));
        assert!(matches!(compare_versions((1, 95), (1, 94)), Outcome::Failed(_)));
    }

    #[test]
    fn names_differ_and_fit_the_table() {
        for (n, step) in STEPS.iter().enumerate() {
            assert!(step.name.len() <= 8);
            assert!(STEPS.iter().skip(n + 1).all(|other| other.name != step.name));
        }
    }
}
