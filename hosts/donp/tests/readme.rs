//! Types every line of the README's "Chat by hand", "Groups" and "Contacts" and compares what it prints.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod transcript;

use transcript::{all_match, matches, type_all};

#[test]
fn the_readme_tells_the_truth() {
    type_all("README.md", false);
}

#[test]
fn patterns_match_what_they_should() {
    assert!(matches("a … c", "a b c") && matches("…", "x") && matches("a…", "abc") && matches("a", "a"));
    assert!(!matches("a … c", "a b d") && !matches("a", "ab") && !matches("b…", "abc"));
    let lines = |l: &[&str]| l.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(all_match(&lines(&["…", "x"]), &lines(&["1", "2", "x"])) && all_match(&lines(&["…"]), &[]));
    assert!(!all_match(&lines(&["x"]), &lines(&["x", "y"])) && !all_match(&lines(&["x", "y"]), &lines(&["x"])));
}
