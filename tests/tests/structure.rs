//! The structure of the core's source, as ARCHITECTURE.md has it: walls between files, one door, one list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn core_src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("core/src")
}

/// Code without comments and without its tests.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("mod tests {").next().unwrap_or_default();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every file of the core by its module path. Tests and fuzzing see what they test.
fn modules() -> BTreeMap<String, PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let (root, mut files) = (core_src(), Vec::new());
    walk(&root, &mut files);
    let name = |file: &PathBuf| {
        let path = file.strip_prefix(&root).unwrap().with_extension("");
        let parts: Vec<_> = path.iter().map(|p| p.to_str().unwrap()).filter(|p| *p != "mod").collect();
        parts.join("::")
    };
    let code = |name: &str| !["tests", "contract", "fuzz", "spec"].iter().any(|test| name.contains(test));
    files.into_iter().map(|file| (name(&file), file)).filter(|(name, _)| code(name)).collect()
}

/// The modules that a file names by `crate::`, `super::` or `self::`.
fn names(module: &str, code: &str, all: &BTreeMap<String, PathBuf>) -> BTreeSet<String> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    for path in code.split(|c| !word(c)).filter(|p| p.contains("::")) {
        let (first, rest) = path.split_once("::").unwrap();
        let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        let absolute = match first {
            "crate" => rest.to_owned(),
            "super" => format!("{parent}::{rest}"),
            "self" => format!("{module}::{rest}"),
            _ => continue,
        };
        let mut parts: Vec<&str> = absolute.split("::").filter(|p| !p.is_empty()).collect();
        while !parts.is_empty() && !all.contains_key(&parts.join("::")) {
            parts.pop();
        }
        if !parts.is_empty() && parts.join("::") != module {
            found.insert(parts.join("::"));
        }
    }
    found
}

#[test]
fn no_two_files_import_each_other() {
    let all = modules();
    let uses: BTreeMap<&str, BTreeSet<String>> =
        all.iter().map(|(m, file)| (m.as_str(), names(m, &code(file), &all))).collect();
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 300, "the walk finds no imports");
    let mut circles = Vec::new();
    for (&a, names) in &uses {
        for b in names.iter().filter(|b| a < b.as_str() && uses.get(b.as_str()).is_some_and(|u| u.contains(a))) {
            // A module composes its own files, which use its types.
            if !a.starts_with(&format!("{b}::")) && !b.starts_with(&format!("{a}::")) {
                circles.push(format!("{a} and {b}"));
            }
        }
    }
    assert!(circles.is_empty(), "{circles:?}");
}

#[test]
fn no_file_sees_all_of_its_parent() {
    let pages: Vec<_> = modules().into_iter().filter(|(_, file)| code(file).contains("use super::*")).collect();
    assert!(pages.is_empty(), "{pages:#?}");
}

/// Each public type has one path: the modules are private, but for what is documented as open.
#[test]
fn each_public_type_has_one_path() {
    let lib = code(&core_src().join("lib.rs"));
    let open: Vec<_> = lib.lines().filter_map(|l| l.strip_prefix("pub mod ")).collect();
    assert_eq!(open, ["fuzzing;", "inspect;", "planted;"]);
    let exports = lib.split("pub use ").skip(1).map(|list| list.split(';').next().unwrap());
    let mut names: Vec<&str> = exports
        .flat_map(|list| match list.split_once('{') {
            Some((_, names)) => names.trim_end_matches(['}', '\n', ' ']).split(',').map(str::trim).collect(),
            None => vec![list.rsplit("::").next().unwrap()],
        })
        .filter(|name| !name.is_empty())
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "exported twice");
    let page = std::fs::read_to_string(core_src().join("../../ARCHITECTURE.md")).unwrap();
    assert!(page.contains(&format!("{count} public names")), "ARCHITECTURE.md does not say that there are {count}");
}

/// The walks of ARCHITECTURE.md name a file and a function at each step.
#[test]
fn every_step_of_the_walks_exists() {
    let root = core_src().join("../..");
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let mut steps = 0;
    for walk in page.split("\n## ").filter(|section| section.starts_with("The walk of")) {
        for line in walk.lines().filter(|l| l.starts_with("| `")) {
            let mut words = line.split('`').skip(1).step_by(2);
            let (file, function) = (words.next().unwrap(), words.next().unwrap());
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            let names = [format!("fn {function}("), format!("fn {function}<")];
            assert!(names.iter().any(|name| text.contains(name)), "{file} has no function {function}");
            steps += 1;
        }
    }
    assert!(steps > 20, "{steps} steps");
}
