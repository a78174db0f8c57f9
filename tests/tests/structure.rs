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

/// Every file below `root` by its module path. Tests and fuzzing see what they test.
fn modules(root: &Path) -> BTreeMap<String, PathBuf> {
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
    let mut files = Vec::new();
    walk(root, &mut files);
    let name = |file: &PathBuf| {
        let path = file.strip_prefix(root).unwrap().with_extension("");
        let parts: Vec<_> = path.iter().map(|p| p.to_str().unwrap()).filter(|p| *p != "mod").collect();
        parts.join("::")
    };
    let code = |name: &str| !["tests", "contract", "fuzz", "spec"].iter().any(|test| name.contains(test));
    files.into_iter().map(|file| (name(&file), file)).filter(|(name, _)| code(name)).collect()
}

/// What a `use` names, each by its whole path: `a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`.
fn expand(prefix: &str, list: &str, found: &mut BTreeSet<String>) {
    let (mut depth, mut item) = (0, String::new());
    for c in list.chars().chain([',']) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let path = item.trim();
                match path.split_once('{') {
                    Some((head, rest)) => {
                        expand(&format!("{prefix}{}", head.trim()), rest.trim_end_matches('}'), found);
                    }
                    None if !path.is_empty() => {
                        found.insert(format!("{prefix}{}", path.split(" as ").next().unwrap()));
                    }
                    None => {}
                }
                item.clear();
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
}

/// The modules that a file names by `crate::`, `super::` or `self::`, or as its own.
fn names(module: &str, code: &str, all: &BTreeMap<String, PathBuf>) -> BTreeSet<String> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut paths: BTreeSet<String> = code.split(|c| !word(c)).filter(|p| p.contains("::")).map(Into::into).collect();
    for list in code.split("use ").skip(1) {
        expand("", list.split(';').next().unwrap(), &mut paths);
    }
    let mut found = BTreeSet::new();
    for path in paths {
        let Some((first, rest)) = path.split_once("::") else { continue };
        let parent = |of: &str| of.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_owned());
        let absolute = match first {
            "crate" => rest.to_owned(),
            "super" => {
                let (mut above, mut rest) = (parent(module), rest);
                while let Some(left) = rest.strip_prefix("super::") {
                    (above, rest) = (parent(&above), left);
                }
                format!("{above}::{rest}")
            }
            "self" => format!("{module}::{rest}"),
            own if all.contains_key(&format!("{module}::{own}")) => format!("{module}::{path}"),
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

/// Mutation: two files of any of these folders name each other, also in braces.
#[test]
fn no_two_files_import_each_other() {
    let top = core_src().join("../..");
    let roots =
        ["core", "hosts/runtime", "hosts/donp", "hosts/sim", "ffi", "benches", "tests", "tests/mutants", "xtask"];
    let (mut circles, mut imports) = (Vec::new(), 0);
    for root in roots.map(|root| top.join(root).join("src")) {
        let all = modules(&root);
        let uses: BTreeMap<&str, BTreeSet<String>> =
            all.iter().map(|(m, file)| (m.as_str(), names(m, &code(file), &all))).collect();
        imports += uses.values().map(BTreeSet::len).sum::<usize>();
        for (&a, names) in &uses {
            for b in names.iter().filter(|b| a < b.as_str() && uses.get(b.as_str()).is_some_and(|u| u.contains(a))) {
                // A module composes its own files, which use its types.
                if !a.starts_with(&format!("{b}::")) && !b.starts_with(&format!("{a}::")) {
                    circles.push(format!("{}: {a} and {b}", root.display()));
                }
            }
        }
    }
    assert!(imports > 1_000, "the walk finds {imports} imports");
    assert!(circles.is_empty(), "{circles:#?}");
}

/// Mutation: braces are not expanded.
#[test]
fn an_import_in_braces_is_an_import() {
    let mut found = BTreeSet::new();
    expand("", "super::{a::{self, X}, b::Y as Z, c}", &mut found);
    let expected = ["super::a::self", "super::a::X", "super::b::Y", "super::c"];
    assert_eq!(found, expected.map(String::from).into());
}

/// Mutation: a machine doubles its pauses itself.
#[test]
fn pauses_double_in_one_place() {
    let doubles = |file: &PathBuf| {
        ["1u32.checked_shl(", "wait.saturating_mul(2)", "pause.saturating_mul(2)"]
            .iter()
            .any(|way| code(file).contains(way))
    };
    let own: Vec<_> =
        modules(&core_src()).into_iter().filter(|(_, file)| doubles(file)).map(|(name, _)| name).collect();
    assert_eq!(own, ["collections::backoff"]);
}

#[test]
fn no_file_sees_all_of_its_parent() {
    let pages: Vec<_> =
        modules(&core_src()).into_iter().filter(|(_, file)| code(file).contains("use super::*")).collect();
    assert!(pages.is_empty(), "{pages:#?}");
}

/// The names that a `lib.rs` exports, and the modules that it leaves open.
fn exported(lib: &str) -> (Vec<&str>, Vec<&str>) {
    let open = lib.lines().filter_map(|l| l.strip_prefix("pub mod ")).collect();
    let exports = lib.split("pub use ").skip(1).map(|list| list.split(';').next().unwrap());
    let names = exports
        .flat_map(|list| match list.split_once('{') {
            Some((_, names)) => names.trim_end_matches(['}', '\n', ' ']).split(',').map(str::trim).collect(),
            None => vec![list.rsplit("::").next().unwrap()],
        })
        .filter(|name| !name.is_empty());
    (names.collect(), open)
}

/// Each public type has one path: the modules are private, but for what is documented as open. Mutation: a module from which
/// `lib.rs` exports is public.
#[test]
fn each_public_type_has_one_path() {
    let top = core_src().join("../..");
    let page = std::fs::read_to_string(top.join("ARCHITECTURE.md")).unwrap();
    let crates: [(&str, &[&str]); 2] = [
        ("core", &["fuzzing;", "inspect;", "planted;"]),
        // Shapes of what is shown, the clock and the system, which hosts in other languages use too.
        ("hosts/runtime", &["api;", "clock;", "os;"]),
    ];
    for (folder, open_ones) in crates {
        let lib = code(&top.join(folder).join("src/lib.rs"));
        let (mut names, open) = exported(&lib);
        assert_eq!(open, open_ones, "{folder}");
        for module in open {
            let exports = format!("pub use {}::", module.trim_end_matches(';'));
            assert!(!lib.contains(&exports), "{folder}: names of {module} have two paths");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{folder}: exported twice");
        assert!(
            page.contains(&format!("{count} public names")),
            "{folder}: ARCHITECTURE.md lacks '{count} public names'"
        );
    }
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
