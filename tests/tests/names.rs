//! One thing has one name in every language: `bindings/api.toml` against the core, the runtime, the exported layer,
//! the control socket and the three packages.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The files of a folder with this ending, in the order of their names.
fn folder(path: &str, ending: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let files = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{path}: {e}")).map(|f| f.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == ending)).collect();
    files.sort();
    files.iter().map(|f| std::fs::read_to_string(f).unwrap() + "\n").collect()
}

fn table() -> Table {
    read("bindings/api.toml").parse().unwrap()
}

fn list(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `peer_down` as `peerDown`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    words.next().into_iter().map(String::from).chain(words.map(pascal)).collect()
}

/// `peer_down` as `PeerDown`.
fn pascal(name: &str) -> String {
    let capital = |word: &str| word.split_at(1).0.to_uppercase() + word.split_at(1).1;
    name.split('_').map(capital).collect()
}

/// `name` in camel case in Kotlin and Swift, else as it is.
fn in_case(language: &str, name: &str) -> String {
    if ["kotlin", "swift"].contains(&language) { camel(name) } else { name.into() }
}

/// What follows `head` in `source` up to the bracket that closes its last character.
fn inside<'a>(source: &'a str, head: &str) -> &'a str {
    let at = source.find(head).unwrap_or_else(|| panic!("no `{head}`")) + head.len();
    let mut depth = 1;
    for (n, c) in source[at..].char_indices() {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &source[at..at + n];
        }
    }
    panic!("`{head}` does not end")
}

fn word(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// The names before a colon in lines that begin with `prefix` and are neither comments nor attributes.
fn declared(body: &str, prefix: &str) -> BTreeSet<String> {
    let lines = body.lines().filter_map(|l| l.trim_start().strip_prefix(prefix));
    let fields = lines.filter_map(|l| l.split_once(": ").filter(|(name, _)| !name.is_empty() && word(name) == *name));
    fields.map(|(name, _)| name.to_owned()).collect()
}

/// The names before a colon in a list of parameters.
fn parameters(body: &str, prefix: &str) -> BTreeSet<String> {
    let names = body.split(',').filter_map(|p| p.rsplit_once(prefix).map_or(p, |(_, p)| p).split_once(':'));
    names.map(|(name, _)| word(name).to_owned()).filter(|n| !n.is_empty()).collect()
}

/// A Python class up to the next one.
fn python_class(source: &str, name: &str) -> BTreeSet<String> {
    let (_, rest) = source.split_once(&format!("\nclass {name}:\n")).unwrap_or_else(|| panic!("no class {name}"));
    let body = rest.split("\n\n\n").next().unwrap();
    let fields = body.lines().filter_map(|l| l.strip_prefix("    ").filter(|l| !l.starts_with(' ')));
    fields.filter_map(|l| l.split_once(": ")).map(|(n, _)| n).filter(|n| word(n) == *n).map(Into::into).collect()
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>, language: &str) -> BTreeSet<String> {
    names.into_iter().map(|n| in_case(language, n)).collect()
}

#[test]
fn operations_have_one_name_in_every_language() {
    let table = table();
    let operations = table["operations"].as_table().unwrap();
    let kotlin = read("bindings/kotlin/src/main/kotlin/org/donp/Node.kt");
    let swift = read("bindings/swift/Sources/Donp/Node.swift");
    let sources = [
        ("rust", folder("hosts/runtime/src/node", "rs"), &["pub fn N("][..]),
        ("ffi", folder("ffi/src", "rs"), &["pub fn N("]),
        ("json", read("docs/control.md"), &["`N`"]),
        ("python", read("bindings/python/python/donp/node.py"), &["def N("]),
        ("kotlin", kotlin, &["fun N(", "val N: "]),
        ("swift", swift, &["func N(", "var N: ", "let N: "]),
    ];
    for (name, entry) in operations {
        for (language, source, forms) in &sources {
            let own = entry.get(language).and_then(Value::as_str).unwrap_or(name);
            if own != "-" {
                let own = in_case(language, own);
                assert!(forms.iter().any(|f| source.contains(&f.replace('N', &own))), "{language} has no {own}");
            }
        }
    }
    // No operation is outside of the table.
    let named = |language: &str| -> BTreeSet<String> {
        let own = |(name, e): (&String, &Value)| e.get(language).and_then(Value::as_str).unwrap_or(name).to_owned();
        operations.iter().map(own).filter(|n| n != "-").collect()
    };
    let exported = [&sources[1].1].into_iter().flat_map(|s| s.split("#[uniffi::export]\nimpl Node {").skip(1));
    let exported: BTreeSet<_> = exported
        .flat_map(|part| part.split("\n}\n").next().unwrap().split("\n    pub fn ").skip(1))
        .map(|f| word(f).to_owned())
        .filter(|f| f != "new")
        .collect();
    assert_eq!(exported, named("ffi"), "the exported operations and bindings/api.toml");
}

#[test]
fn events_and_their_fields_have_one_name_in_every_language() {
    let table = table();
    let events = table["events"].as_table().unwrap();
    let core = read("core/src/engine/event.rs");
    let (ffi, json) = (read("ffi/src/event.rs"), read("hosts/runtime/src/api.rs"));
    let python = read("bindings/python/python/donp/events.py");
    let kotlin = read("bindings/kotlin/src/main/kotlin/org/donp/Events.kt");
    let swift = read("bindings/swift/Sources/Donp/Event.swift");
    let page = read("docs/control.md");
    for (name, entry) in events {
        let (class, fields) = (pascal(name), list(entry.get("fields")));
        let variant = |source: &str, head: &str| match fields.is_empty() {
            true => {
                assert!(source.contains(&format!("\n    {class},\n")), "{class} has no fields");
                BTreeSet::new()
            }
            false => declared(inside(source, head), ""),
        };
        let all = |more: Option<&Value>| set(fields.iter().copied().chain(list(more)), "rust");
        assert_eq!(variant(&ffi, &format!("    {class} {{")), all(None), "ffi {class}");
        assert_eq!(variant(&json, &format!("    {class} {{")), all(entry.get("json")), "JSON {class}");
        let row = page.lines().find(|l| l.starts_with(&format!("| `{name}` |"))).unwrap_or_else(|| panic!("{name}"));
        for field in all(entry.get("json")) {
            assert!(row.contains(&format!("`{field}`")), "docs/control.md: {name} lacks {field}");
        }
        if let Some(core_fields) = entry.get("core") {
            match list(Some(core_fields)).as_slice() {
                [] => assert!(core.contains(&format!("\n    {class},\n")), "core {class}"),
                ["0"] => assert!(core.contains(&format!("\n    {class}(")), "core {class}"),
                some => {
                    let found = declared(inside(&core, &format!("\n    {class} {{")), "");
                    assert_eq!(found, set(some.iter().copied(), "rust"), "core {class}");
                }
            }
        }
        let own = entry.get("python").and_then(Value::as_str).unwrap_or(&class);
        assert_eq!(python_class(&python, own), all(None), "Python {own}");
        if fields.is_empty() {
            assert!(kotlin.contains(&format!("data object {class} : Event()")), "Kotlin {class}");
            assert!(swift.contains(&format!("    case {}\n", camel(name))), "Swift {name}");
        } else {
            let found = parameters(inside(&kotlin, &format!("data class {class}(")), "val ");
            assert_eq!(found, set(fields.iter().copied(), "kotlin"), "Kotlin {class}");
            let found = parameters(inside(&swift, &format!("    case {}(", camel(name))), "\n");
            assert_eq!(found, set(fields.iter().copied(), "swift"), "Swift {name}");
        }
    }
    // No event is outside of the table.
    let (durable, volatile) = (inside(&core, "pub enum Durable {"), inside(&core, "pub enum Volatile {"));
    let variants = [durable, volatile].into_iter().flat_map(str::lines).filter_map(|l| l.strip_prefix("    "));
    let variants: BTreeSet<_> =
        variants.filter(|l| l.starts_with(char::is_uppercase)).map(|l| word(l).to_owned()).collect();
    let named = events.iter().filter(|(_, e)| e.get("core").is_some()).map(|(name, _)| pascal(name));
    assert_eq!(variants, named.collect(), "the core's events and bindings/api.toml");
}

#[test]
fn records_and_their_fields_have_one_name_in_every_language() {
    let table = table();
    let core = read("core/src/engine/status.rs")
        + &["fault_tolerance", "contacts"].map(|f| read(&format!("core/src/engine/commands/{f}.rs"))).concat()
        + &read("core/src/contacts/number.rs")
        + &read("core/src/chat/receipts.rs")
        + &read("core/src/device/mod.rs")
        + &read("core/src/wire/content.rs")
        + &read("core/src/file/held.rs")
        + &read("core/src/group/one.rs")
        + &read("core/src/group/op.rs");
    let api = read("hosts/runtime/src/api.rs") + &folder("hosts/runtime/src/api", "rs");
    let (ffi, python) = (folder("ffi/src", "rs"), folder("bindings/python/python/donp", "py"));
    let kotlin = folder("bindings/kotlin/src/main/kotlin/org/donp", "kt");
    let swift = folder("bindings/swift/Sources/Donp", "swift");
    for (name, entry) in table["records"].as_table().unwrap() {
        let (fields, counters) = (list(entry.get("fields")), list(entry.get("counters")));
        let all: Vec<&str> = fields.iter().chain(&counters).copied().collect();
        assert_eq!(
            declared(inside(&ffi, &format!("pub struct {name} {{")), "pub "),
            set(all.clone(), "rust"),
            "ffi {name}"
        );
        if entry.get("json").and_then(Value::as_str) != Some("-") {
            let rust = entry.get("rust").and_then(Value::as_str).unwrap_or(name);
            let wanted = set(fields.iter().copied().chain(list(entry.get("json"))), "rust");
            assert_eq!(declared(inside(&api, &format!("pub struct {rust} {{")), "pub "), wanted, "JSON {name}");
            let counted = declared(inside(&api, "pub struct Counters {"), "pub ");
            assert!(set(counters.clone(), "rust").is_subset(&counted), "JSON counters");
        }
        if let Some(other) = entry.get("core").and_then(Value::as_table) {
            let own = |f: &&str| other.get(*f).and_then(Value::as_str).map_or((*f).to_owned(), Into::into);
            let mut wanted: BTreeSet<_> = fields.iter().map(own).filter(|f| f != "-").collect();
            wanted.extend(list(entry.get("core_only")).into_iter().map(String::from));
            assert_eq!(declared(inside(&core, &format!("pub struct {name} {{")), "pub "), wanted, "core {name}");
        }
        assert_eq!(python_class(&python, name), set(all.clone(), "python"), "Python {name}");
        let found = parameters(inside(&kotlin, &format!("data class {name}(")), "val ");
        assert_eq!(found, set(all.clone(), "kotlin"), "Kotlin {name}");
        let source = &swift;
        let at = source.find(&format!("public struct {name}: ")).unwrap_or_else(|| panic!("Swift {name}"));
        let found = declared(inside(&source[at..], "{"), "public let ");
        assert_eq!(found, set(all, "swift"), "Swift {name}");
    }
}

#[test]
fn enumerations_have_one_name_in_every_language() {
    let table = table();
    let core = read("core/src/membership/state.rs")
        + &read("core/src/fact.rs")
        + &read("core/src/engine/event.rs")
        + &read("core/src/engine/commands/fault_tolerance.rs")
        + &read("core/src/contacts/book.rs")
        + &read("core/src/authentication/mod.rs")
        + &["op", "change", "wire"].map(|f| read(&format!("core/src/group/{f}.rs"))).concat();
    let (ffi, python) = (folder("ffi/src", "rs"), folder("bindings/python/python/donp", "py"));
    let kotlin = folder("bindings/kotlin/src/main/kotlin/org/donp", "kt");
    let swift = folder("bindings/swift/Sources/Donp", "swift");
    for (name, values) in table["enums"].as_table().unwrap() {
        let values = list(Some(values));
        let variants = |body: &str| -> BTreeSet<String> {
            let lines = body.lines().map(str::trim).filter(|l| l.starts_with(char::is_uppercase));
            lines.map(|l| word(l).to_owned()).filter(|v| v != "Other").collect()
        };
        let wanted: BTreeSet<_> = values.iter().map(|v| pascal(v)).collect();
        assert_eq!(variants(inside(&core, &format!("pub enum {name} {{"))), wanted, "core {name}");
        assert_eq!(variants(inside(&ffi, &format!("pub enum {name} {{"))), wanted, "ffi {name}");
        assert_eq!(variants(inside(&kotlin, &format!("enum class {name} {{"))), wanted, "Kotlin {name}");
        let head = format!("\nclass {name}(enum.Enum):\n");
        let (_, rest) = python.split_once(&head).unwrap_or_else(|| panic!("Python {name}"));
        let lines = rest.split("\n\n\n").next().unwrap().lines().filter_map(|l| l.trim_start().split_once(" = "));
        let found: BTreeSet<_> = lines.map(|(v, _)| v.to_lowercase()).filter(|v| v != "other").collect();
        assert_eq!(found, set(values.clone(), "python"), "Python {name}");
        let at = swift.find(&format!("public enum {name}: ")).unwrap_or_else(|| panic!("Swift {name}"));
        let lines = inside(&swift[at..], "{").lines().filter_map(|l| l.trim_start().strip_prefix("case "));
        // A keyword stands in back quotes.
        let case = |l: &str| word(l.trim_start_matches('`')).to_owned();
        let found: BTreeSet<_> = lines.map(case).filter(|v| v != "other").collect();
        assert_eq!(found, set(values, "swift"), "Swift {name}");
    }
}
