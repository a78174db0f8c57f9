//! Files between daemons, driven as a person would, and what people get wrong with them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Place, until};
use serde_json::{Value, json};

/// More than is fetched unasked.
fn bytes() -> Vec<u8> {
    (0..700_000u32).map(|i| (i / 3) as u8 ^ (i >> 9) as u8).collect()
}

/// The id of the message that names a file, as the receiver's history shows it.
fn named(place: &Place, who: &str, with: &str) -> String {
    let find = || {
        let all = place.json(who, &["history", with]).ok().json();
        let with_file = all.into_iter().find(|m| m["file"].is_object());
        with_file.map(|m| m["id"].as_str().unwrap().to_owned())
    };
    until("message with a file", find)
}

// Breaks if what is on disk is replaced, or a name leads elsewhere.
#[test]
fn a_file_is_sent_fetched_and_saved() {
    let place = Place::new();
    let _both = place.pair();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("plan.pdf"), bytes()).unwrap();
    let sent = place.run("alice", &["send", "bob", "the", "plan", "--file", &path("plan.pdf"), "--wait", "delivered"]);
    assert!(sent.ok().out.starts_with("delivered to bob"));
    let id = named(&place, "bob", "alice");
    let line = place.run("bob", &["history", "alice"]).ok().out;
    assert!(line.contains("(file plan.pdf, 683.6 KiB) the plan"), "{line}");
    let listed = place.run("bob", &["file", "list"]).ok();
    assert!(listed.out.is_empty() && listed.err.contains("No files"), "{listed:?}");

    let short = &id[1..9];
    let got = place.run("bob", &["file", "get", "alice", short, "--out", &path("saved.pdf")]).ok();
    assert_eq!(got.out, format!("{}, 683.6 KiB\n", path("saved.pdf")));
    assert!(std::fs::read(path("saved.pdf")).unwrap() == bytes());
    place.run("bob", &["file", "get", "alice", &id, "--out", &path("plan.pdf")]).fails(1, &["there already"]);
    let files = place.json("bob", &["file", "list"]).ok().json();
    let here = |f: &Value| (f["name"].clone(), f["is_whole"].clone(), f["bytes"].clone());
    assert_eq!(files.iter().map(here).collect::<Vec<_>>(), [(json!("plan.pdf"), json!(true), json!(700_000))]);
    let file = files[0]["id"].as_str().unwrap();
    place.run("bob", &["file", "save", &file[..8], &path("again.pdf")]).ok();
    assert!(std::fs::read(path("again.pdf")).unwrap() == bytes());
    // The event of a file that came.
    let events = place.json("bob", &["recv"]).ok().json();
    assert!(events.iter().any(|e| e["type"] == "file_received" && e["file"] == *file), "{events:?}");

    let removed = place.run("bob", &["file", "remove", file]).ok();
    assert_eq!(removed.out, "removed plan.pdf\n");
    place.run("bob", &["file", "save", file, &path("x")]).fails(1, &["there is no file"]);
    // It is fetched again from its holders.
    place.run("bob", &["file", "get", "alice", &id, "--out", &path("third.pdf")]).ok();
    assert!(std::fs::read(path("third.pdf")).unwrap() == bytes());
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let place = Place::new();
    let _both = place.pair();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    place.run("alice", &["send", "bob", "see", "--file", &path("none")]).fails(1, &["No such file"]);
    place.run("alice", &["send", "bob", "--file", &path("")]).fails(1, &["it is not a file"]);
    place.run("alice", &["send", "nobody", "--file", &path("none")]).fails(1, &["'nobody'"]);
    place.run("alice", &["send", "bob", "hello", "--wait", "delivered"]).ok();
    let of = || {
        let all = place.json("bob", &["history", "alice"]).ok().json();
        all.first().and_then(|m| m["id"].as_str().map(str::to_owned))
    };
    let text = until("message", of);
    place.run("bob", &["file", "get", "alice", &text]).fails(1, &["has no file"]);
    place.run("bob", &["file", "save", "abc", &path("x")]).fails(1, &["at least 6 characters"]);
    // Nothing is left of what was not sent.
    assert!(place.json("alice", &["file", "list"]).ok().out.is_empty());
    std::fs::write(path("small.txt"), "small").unwrap();
    place.run("alice", &["send", "bob", "--file", &path("small.txt"), "--reply-to", &text]).fails(2, &["--file"]);
}
