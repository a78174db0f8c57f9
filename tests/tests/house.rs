//! The rules of the house that a compiler does not check.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A machine knows the foundation and itself; only the engine knows two machines.
#[test]
fn no_machine_names_another() {
    let list = std::fs::read_to_string(root().join("core/src/engine/list.rs")).unwrap();
    let entry = |line: &str| Some(line.trim().strip_suffix(',')?.split_once(": ")?.0.to_owned());
    let machines: Vec<String> = list.lines().filter(|l| !l.contains("//")).filter_map(entry).collect();
    assert!(machines.len() >= 7 && machines.contains(&"link".to_owned()), "{machines:?}");
    let names = |line: &str, other: &str| {
        ["crate", "super"].iter().any(|from| {
            let path = format!("{from}::{other}");
            let rest = line.split_once(&path).and_then(|(_, rest)| rest.chars().next());
            line.contains(&path) && rest.is_none_or(|c| !c.is_alphanumeric() && c != '_')
        })
    };
    let engine = "engine".to_owned();
    let mut broken = Vec::new();
    for machine in &machines {
        for file in rust_files(&root().join("core/src").join(machine)) {
            let text = std::fs::read_to_string(&file).unwrap();
            for (n, line) in text.lines().enumerate() {
                for other in machines.iter().filter(|m| *m != machine).chain([&engine]) {
                    if names(line, other) {
                        broken.push(format!("{}:{}: {}", file.display(), n + 1, line.trim()));
                    }
                }
            }
            // Groups hide a name from the line that has `crate::`.
            if text.contains("crate::{") {
                broken.push(format!("{}: one `use` for each module", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A command or an input that the contract suite does not draw is not proven. One that borrows is drawn through one that does not.
/// Mutation: a command is not drawn, as `Invite` of groups.
#[test]
fn all_that_machines_take_is_drawn_by_the_contract_suite() {
    let mut commands = 0;
    for (machine, lacks, drawn) in donp_core::fuzzing::drawn() {
        assert!(lacks.is_empty(), "{machine} is never given {lacks:?}");
        let folder = root().join("core/src").join(machine);
        let contract = std::fs::read_to_string(folder.join("contract.rs")).unwrap();
        for file in rust_files(&folder).into_iter().filter(|f| !f.to_string_lossy().contains("tests")) {
            let text = std::fs::read_to_string(&file).unwrap();
            let found = text.lines().filter(|l| l.starts_with("impl Command<"));
            for name in found.filter_map(|l| Some(l.split_once("> for ")?.1.trim_end_matches([' ', '{']))) {
                let is_drawn = match name.split_once('<') {
                    Some((borrowed, _)) => contract.contains(&format!("{borrowed} {{")),
                    None => drawn.contains(&name),
                };
                assert!(is_drawn, "{machine} is never given the command {name}");
                commands += 1;
            }
        }
    }
    assert!(commands >= 38, "{commands} commands are found");
}

/// Each file with a written invariant executes it: `check` of the machine, or of what it is made of.
#[test]
fn every_file_with_an_invariant_has_a_check() {
    let mut written = 0;
    for file in rust_files(&root().join("core/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        // `machine.rs` says what `check` is for.
        written += text.matches("INVARIANT: ").count();
        assert!(!text.contains("INVARIANT: ") || text.contains("fn check"), "{} has no check", file.display());
    }
    assert!(written >= 70, "{written} invariants are found");
}

/// No clocks, threads, sockets or randomness of its own in the core.
#[test]
fn the_core_is_fed_everything() {
    for file in rust_files(&root().join("core/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["std::", "SystemTime", "getrandom", "thread_rng", "println!"] {
            assert!(!text.contains(word), "{} names {word}", file.display());
        }
    }
}

/// A file that has become two ideas is two files.
#[test]
fn files_stay_readable() {
    for folder in ["core/src", "hosts", "ffi", "xtask/src"] {
        for file in rust_files(&root().join(folder)) {
            if file.components().any(|c| c.as_os_str() == "target") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.find("#[cfg(test)]\nmod tests {").map_or(text.as_str(), |at| &text[..at]);
            let lines = code.lines().count();
            let is_test = file.ends_with("tests.rs") || file.to_string_lossy().contains("tests");
            assert!(is_test || lines <= 750, "{} has {lines} lines before its tests", file.display());
        }
    }
}

/// The bugs that can be planted are those of docs/simulator.md, at least twelve of them in the core
/// (docs/design/reliability.md §3). That no shipped package plants any is proved by `cargo xtask test flags`.
#[test]
fn planted_bugs_are_the_documented_ones() {
    let code = std::fs::read_to_string(root().join("core/src/planted.rs")).unwrap();
    let names = |text: &str, before: &str, after: char| -> Vec<String> {
        let lines = text.lines().filter_map(|l| l.trim().strip_prefix(before));
        lines.filter_map(|l| Some(l.split_once(after)?.0.to_owned())).collect()
    };
    let enumerated = code.split("pub enum Bug {").nth(1).unwrap().split('}').next().unwrap();
    let variants = enumerated.lines().filter(|l| l.trim().ends_with(',')).count();
    let list = code.split("pub const ALL").nth(1).unwrap();
    let mut planted: Vec<String> = list.split('"').skip(1).step_by(4).map(str::to_owned).collect();
    assert!(variants >= 12 && planted.len() == variants, "{variants} bugs, {} named: {planted:?}", planted.len());
    planted.push("checker-always-agrees".into());
    let page = std::fs::read_to_string(root().join("docs/simulator.md")).unwrap();
    assert_eq!(names(&page, "| `", '`').into_iter().filter(|n| planted.contains(n)).collect::<Vec<_>>(), planted);
}

/// The Rust version that the documents ask for is the one that `cargo xtask test version` proves.
#[test]
fn documents_ask_for_the_rust_version_of_the_manifest() {
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    let manifest = read("Cargo.toml");
    let claimed = manifest.split("\nrust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    for file in ["README.md", "bindings/python/README.md", "bindings/swift/README.md"] {
        let text = read(file);
        let asked = text.split(" or newer").next().and_then(|before| before.split([' ', '(']).next_back());
        assert_eq!(asked, Some(claimed), "{file}");
        assert_eq!(text.matches(" or newer").count(), 1, "{file} asks for something else too");
    }
}

/// Nothing is left for later in the code.
#[test]
fn nothing_is_unfinished() {
    let marks = [["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("]].map(|w| w.concat());
    for folder in ["core/src", "hosts", "ffi", "tests", "xtask/src"] {
        for file in rust_files(&root().join(folder)) {
            if file.components().any(|c| c.as_os_str() == "target") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for mark in &marks {
                assert!(!text.contains(mark), "{} has {mark}", file.display());
            }
        }
    }
}

/// The name of each test says condition and result in at most 60 characters (CONTRIBUTING.md, "Tests"). Mutations: a
/// longer name anywhere; the attributes of a test are not passed over, so that few are found.
#[test]
fn test_names_have_at_most_60_characters() {
    let (mut count, mut long) = (0, Vec::new());
    for folder in ["core/src", "hosts", "ffi", "tests", "xtask/src"] {
        for file in rust_files(&root().join(folder)) {
            if file.components().any(|c| c.as_os_str() == "target") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" {
                    is_test = true;
                } else if let Some((name, _)) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
                    if is_test {
                        count += 1;
                        if name.len() > 60 {
                            long.push(format!("{}: {name} has {}", file.display(), name.len()));
                        }
                    }
                    is_test = false;
                } else if !line.starts_with("#[") && !line.starts_with("//") {
                    is_test = false;
                }
            }
        }
    }
    assert!(count > 1_000, "only {count} tests were found: the reader is broken");
    assert!(long.is_empty(), "{long:#?}");
}
