//! `cargo xtask test machine`: what it takes to add a machine, shown on a copy of the core (ARCHITECTURE.md, "Adding a
//! machine"). The example in tests/example-machine is a folder, a patch of what it touches elsewhere, and a test.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::command::{cargo, run};

/// Files of the core that the example may touch outside its folder, its face included.
const MOST: usize = 6;

pub fn check(root: &Path) -> Outcome {
    let copy = root.join("target/example-machine");
    let example = root.join("tests/example-machine");
    if let Err(e) = make(root, &example, &copy) {
        return Outcome::Failed(format!("the copy of the core: {e}"));
    }
    let patch = example.join("add.patch");
    let touched = fs::read_to_string(&patch).unwrap_or_default().matches("diff --git").count();
    if touched > MOST {
        return Outcome::Failed(format!("the example touches {touched} files outside its folder, more than {MOST}"));
    }
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    if !page.contains(&format!("{touched} files outside its folder")) {
        return Outcome::Failed(format!(
            "ARCHITECTURE.md does not say that it touches {touched} files outside its folder"
        ));
    }
    let mut apply = Command::new("git");
    apply.current_dir(&copy).args(["apply", "--whitespace=nowarn"]).arg(&patch);
    match run(&mut apply) {
        Outcome::Passed => {}
        other => return other,
    }
    // The dependencies are those of the core: they are built once.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let test = ["test", "-p", "donp-core", "--features", "fuzzing"];
    for tests in [&["--lib", "contract::"][..], &["--test", "greetings"]] {
        match run(cargo(&copy, &[&test[..], tests].concat()).env("CARGO_TARGET_DIR", &target)) {
            Outcome::Passed => {}
            other => return other,
        }
    }
    Outcome::Passed
}

/// A workspace of the core alone, with the example's folder and test in it.
fn make(root: &Path, example: &Path, copy: &Path) -> io::Result<()> {
    for old in ["core", "docs", "tests", ".git"] {
        match fs::remove_dir_all(copy.join(old)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    fs::create_dir_all(copy)?;
    // `git apply` skips what an enclosing repository ignores.
    let made = Command::new("git").current_dir(copy).args(["init", "--quiet"]).status()?;
    if !made.success() {
        return Err(io::Error::other("git init failed"));
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let members = |line: &str| match line.split('=').next().unwrap_or_default().trim() {
        "members" => "members = [\"core\"]".to_owned(),
        "default-members" | "exclude" | "donp-runtime" | "donp-sim" => String::new(),
        _ => line.to_owned(),
    };
    fs::write(copy.join("Cargo.toml"), manifest.lines().map(members).collect::<Vec<_>>().join("\n"))?;
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    copy_folder(&root.join("core"), &copy.join("core"))?;
    for read_by_tests in ["docs/design", "docs/spec", "tests/vectors"] {
        copy_folder(&root.join(read_by_tests), &copy.join(read_by_tests))?;
    }
    copy_folder(&example.join("echo"), &copy.join("core/src/echo"))?;
    fs::create_dir_all(copy.join("core/tests"))?;
    fs::copy(example.join("greetings.rs"), copy.join("core/tests/greetings.rs")).map(drop)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
