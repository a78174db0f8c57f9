//! Every page that a comment or a document names is in the repository, with the section that it names.
//!
//! A citation is a path that ends in `.md`, from the folder of the file that names it or from one above, and after it, if there is one, `§` with a number (`docs/design/links.md §2`) or a heading in quotation
//! marks (`docs/simulator.md, "Measures"`). More sections of the same page follow after "and" or a comma.

use std::path::{Path, PathBuf};

/// What is read: sources, scenarios, manifests, scripts, pages.
const KINDS: [&str; 11] = ["rs", "md", "toml", "py", "pyi", "kt", "kts", "swift", "sh", "xml", "css"];
/// Folders that builds make.
const BUILT: [&str; 6] = ["target", "build", ".build", "dist", "__pycache__", "node_modules"];
/// A file that a command in the page writes.
const WRITTEN: [(&str, &str); 1] = [("docs/simulator.md", "table.md")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let hidden = name.starts_with('.') && name != ".cargo";
        if path.is_dir() {
            if !hidden && !BUILT.contains(&name.as_str()) {
                files(&path, found);
            }
        } else if path.extension().is_some_and(|e| KINDS.iter().any(|k| e == *k)) {
            found.push(path);
        }
    }
}

/// A file's text without line ends and comment marks, so that a citation may be wrapped.
fn flat(text: &str) -> String {
    let lines = text.lines().map(|l| l.trim_start().trim_start_matches(['/', '!', '#', '*']).trim());
    lines.collect::<Vec<_>>().join(" ")
}

/// The sections that `after` names, if it begins with some.
fn sections(mut after: &str) -> Vec<String> {
    let mut named = Vec::new();
    loop {
        let rest = after.trim_start_matches(['`', ')', ']', ',', ' ']);
        let rest = if named.is_empty() { rest } else { rest.strip_prefix("and ").unwrap_or(rest) };
        if let Some(number) = rest.strip_prefix('§') {
            let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
            named.push(number[..end].trim_end_matches('.').to_owned());
            after = &number[end..];
        } else if let Some(heading) = rest.strip_prefix('"')
            && let Some((heading, more)) = heading.split_once('"')
            && named.is_empty()
            && after[..after.len() - rest.len()].contains(',')
        {
            named.push(heading.trim_end_matches([',', '.']).to_owned());
            after = more;
        } else {
            return named;
        }
    }
}

/// Whether a page has a heading "2. Title" or "2.1 Title" for a number, or the heading itself.
fn has_section(page: &str, section: &str) -> bool {
    page.lines().filter_map(|l| l.strip_prefix('#')).any(|heading| {
        let heading = heading.trim_start_matches('#').trim();
        heading == section || heading.split(' ').next().is_some_and(|first| first.trim_end_matches('.') == section)
    })
}

/// What is wrong with the citations in `text`, a file of `folder`; and how many there are.
fn broken(text: &str, folder: &Path) -> (Vec<String>, usize) {
    let text = flat(text);
    let (mut wrong, mut count) = (Vec::new(), 0);
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    for (at, _) in text.match_indices(".md") {
        let end = at + ".md".len();
        let before = text[..at].rfind(|c| !is_path(c)).map_or(0, |i| i + text[i..].chars().next().unwrap().len_utf8());
        let path = &text[before..end];
        // Part of a longer word, or of an address.
        if text[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            || path == ".md"
            || path.starts_with("//")
        {
            continue;
        }
        count += 1;
        let above = folder.ancestors().take_while(|f| f.starts_with(root()));
        let found = above.map(|f| f.join(path)).find(|p| p.is_file());
        let Some(page) = found.map(|p| std::fs::read_to_string(p).unwrap()) else {
            wrong.push(format!("{path} is not there"));
            continue;
        };
        let lacking = sections(&text[end..]).into_iter().filter(|s| !has_section(&page, s));
        wrong.extend(lacking.map(|s| format!("{path} has no section {s}")));
    }
    (wrong, count)
}

#[test]
fn every_cited_page_and_section_exists() {
    let mut all = Vec::new();
    files(&root(), &mut all);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for file in all {
        let name = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        // The examples below are wrong on purpose.
        if name == "tests/tests/citations.rs" {
            continue;
        }
        let (here, some) = broken(&std::fs::read_to_string(&file).unwrap(), file.parent().unwrap());
        count += some;
        let written = |what: &String| WRITTEN.iter().any(|(page, path)| name == *page && what.starts_with(path));
        wrong.extend(here.into_iter().filter(|w| !written(w)).map(|w| format!("{name}: {w}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 150, "only {count} citations were found: the reader is broken");
}

#[test]
fn a_made_up_page_or_section_is_reported() {
    let wrong = |text: &str| broken(text, &root().join("docs/spec")).0;
    for good in [
        "/// See docs/design/links.md §1 and §2.",
        "// (docs/design/links.md\n// §3)",
        "[link](link.md), `docs/simulator.md`, \"Measures\"",
        "[simulator](../simulator.md), \"Measures\", and more",
        "source = \"docs/design/overlay.md §8; iroh-gossip #152\"",
        "no page.mdx, RFC 9000 §99",
    ] {
        assert_eq!(wrong(good), Vec::<String>::new(), "{good}");
    }
    for (bad, why) in [
        ("/// See docs/design/nothing.md.", "docs/design/nothing.md is not there"),
        ("overlay.md §4", "overlay.md is not there"),
        ("docs/design/links.md §1 and §19.", "docs/design/links.md has no section 19"),
        ("# (docs/design/links.md\n#  §12)", "docs/design/links.md has no section 12"),
        ("docs/simulator.md, \"Made up\"", "docs/simulator.md has no section Made up"),
    ] {
        assert_eq!(wrong(bad), [why], "{bad}");
    }
}

/// Breaks if a test is renamed and the page on security still promises it.
#[test]
fn the_page_on_security_names_tests_that_exist() {
    let mut sources = Vec::new();
    for folder in ["core", "hosts", "tests"] {
        files(&root().join(folder), &mut sources);
    }
    let code: String = sources
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .map(|p| std::fs::read_to_string(p).unwrap())
        .collect();
    let page = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let promises = page.split("## 2. ").nth(1).unwrap().split("## 3. ").next().unwrap();
    let rows = promises.lines().filter_map(|l| l.strip_prefix("| ")?.split_once(" | "));
    let names: Vec<&str> = rows.flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 30, "{}", names.len());
    for name in names {
        assert!(code.contains(&format!("fn {name}(")), "docs/security.md promises a test `{name}` that there is not");
    }
}
