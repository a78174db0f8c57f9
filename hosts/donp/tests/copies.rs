//! Profiles that were copied: restored from an older copy, copied while in use, run twice. What any of them said is
//! shown by every node in one order, and the owner is informed (docs/design/log.md §5).

mod common;

use std::path::{Path, PathBuf};

use common::{Daemon, Place, until};
use serde_json::{Value, json};

fn folder(place: &Place, profile: &str) -> PathBuf {
    place.json(profile, &["whoami"]).ok().json()[0]["folder"].as_str().expect("a folder").into()
}

/// `cp -r`, without the socket that a killed daemon leaves.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    let mode = std::fs::metadata(from).expect("a folder").permissions();
    std::fs::set_permissions(to, mode).expect("a mode");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn replace(by: &Path, folder: &Path) {
    std::fs::remove_dir_all(folder).expect("it goes");
    copy(by, folder);
}

/// Alice, bob and carol in one network; alice said `first` to all and to bob.
fn three(place: &Place) -> (Daemon, Daemon, Daemon) {
    let (alice, bob) = place.pair();
    place.init("carol");
    let carol = place.start("carol", &["--bootstrap", &bob.place()]);
    place.active("carol");
    place.run("alice", &["send", "all", "first"]).ok();
    place.run("alice", &["send", "bob", "first", "--wait", "delivered"]).ok();
    (alice, bob, carol)
}

/// Ids and texts of a conversation, in the order shown.
fn shown(place: &Place, profile: &str, conversation: &str) -> Vec<(String, String)> {
    let lines = place.json(profile, &["history", conversation, "--limit", "1000"]).ok().json();
    let field = |m: &Value, name: &str| m[name].as_str().expect("a text").to_owned();
    lines.iter().filter(|l| l["type"] == "message").map(|m| (field(m, "id"), field(m, "text"))).collect()
}

/// Every one of `profiles` shows `texts` to all, each once, in the same order.
#[track_caller]
fn all_show(place: &Place, profiles: &[&str], texts: &[&str]) {
    let mut wanted: Vec<&str> = texts.to_vec();
    wanted.sort_unstable();
    let mut seen = Vec::new();
    for profile in profiles {
        let all = until(&format!("{profile} shows {wanted:?}"), || {
            let all = shown(place, profile, "all");
            let mut found: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
            found.sort_unstable();
            (found == wanted).then_some(all)
        });
        seen.push(all);
    }
    for other in &seen {
        assert_eq!(*other, seen[0], "one order");
    }
}

/// The stored events of one type, without acknowledging them.
fn events(place: &Place, profile: &str, kind: &str) -> Vec<Value> {
    let all = place.json(profile, &["recv", "--no-ack", "--from", "0"]).ok().json();
    all.into_iter().filter(|e| e["type"] == kind).collect()
}

#[test]
fn a_restored_profile_goes_on_in_a_log_of_its_own() {
    let place = Place::new();
    let (alice, bob, _carol) = three(&place);
    let home = folder(&place, "alice");
    let backup = place.path().join("backup");
    alice.kill();
    copy(&home, &backup);
    let alice = place.start("alice", &["--bootstrap", &bob.place()]);
    place.active("alice");
    for n in 0..3 {
        place.run("alice", &["send", "all", &format!("lost {n}")]).ok();
        place.run("alice", &["send", "bob", &format!("lost {n}"), "--wait", "delivered"]).ok();
    }
    all_show(&place, &["bob", "carol"], &["first", "lost 0", "lost 1", "lost 2"]);
    alice.kill();
    replace(&backup, &home);
    let _alice = place.start("alice", &["--bootstrap", &bob.place()]);
    place.active("alice");
    // What it said beyond the copy comes back from the others.
    all_show(&place, &["alice"], &["first", "lost 0", "lost 1", "lost 2"]);
    let begun = until("the owner is informed of both conversations", || {
        Some(events(&place, "alice", "life_begun")).filter(|begun| begun.len() == 2)
    });
    let mut conversations: Vec<&Value> = begun.iter().map(|e| &e["conversation"]).collect();
    conversations.sort_unstable_by_key(|c| *c != "all");
    assert_eq!(conversations, [&json!("all"), &bob.ready["id"]]);
    place.run("alice", &["send", "all", "after"]).ok();
    place.run("alice", &["send", "bob", "after", "--wait", "delivered"]).ok();
    all_show(&place, &["alice", "bob", "carol"], &["first", "lost 0", "lost 1", "lost 2", "after"]);
    let private = ["first", "lost 0", "lost 1", "lost 2", "after"];
    assert_eq!(place.texts("bob", "alice"), private, "nothing acknowledged is lost");
    assert_eq!(events(&place, "bob", "forked"), [Value::Null; 0], "it said nothing before it knew");
    let lines = place.json("bob", &["history", "all"]).ok().json();
    let lives = |text: &str| lines.iter().find(|m| m["text"] == text).expect("a message")["life"].clone();
    assert_ne!(lives("lost 2"), lives("after"));
    assert_eq!(lives("first"), lives("lost 2"));
    let told = place.run("alice", &["recv"]).ok().out;
    assert!(told.contains("another copy of this profile sends to all"), "{told}");
}

#[test]
fn a_profile_rolled_back_speaks_before_it_knows() {
    let place = Place::new();
    let (alice, bob, _carol) = three(&place);
    let home = folder(&place, "alice");
    let backup = place.path().join("backup");
    alice.kill();
    copy(&home, &backup);
    let alice = place.start("alice", &["--bootstrap", &bob.place()]);
    place.active("alice");
    place.run("alice", &["send", "all", "lost"]).ok();
    place.run("alice", &["send", "bob", "lost", "--wait", "delivered"]).ok();
    all_show(&place, &["bob", "carol"], &["first", "lost"]);
    alice.kill();
    replace(&backup, &home);
    // Nothing runs: these have the numbers that `lost` had.
    place.run("alice", &["send", "all", "again", "--wait", "none"]).ok();
    place.run("alice", &["send", "bob", "again", "--wait", "none"]).ok();
    let _alice = place.start("alice", &["--bootstrap", &bob.place()]);
    place.active("alice");
    place.run("alice", &["send", "all", "after"]).ok();
    all_show(&place, &["alice", "bob", "carol"], &["first", "lost", "again", "after"]);
    until("the private one arrives", || (place.texts("bob", "alice").len() == 3).then_some(()));
    let mut private = place.texts("bob", "alice");
    private.sort_unstable();
    assert_eq!(private, ["again", "first", "lost"]);
    until("it is acknowledged", || (place.status("alice")["outbox"] == 0).then_some(()));
    for reader in ["bob", "carol"] {
        let forked = until("the proof arrives", || {
            Some(events(&place, reader, "forked")).filter(|f| f.iter().any(|e| e["conversation"] == "all"))
        });
        let all: Vec<_> = forked.iter().filter(|e| e["conversation"] == "all").collect();
        assert_eq!(all.len(), 1, "{forked:?}");
        assert_eq!((&all[0]["name"], &all[0]["number"]), (&json!("alice"), &json!(2)));
    }
    until("the owner is informed", || (!events(&place, "alice", "life_begun").is_empty()).then_some(()));
}

#[test]
fn two_copies_of_a_profile_that_run_lose_nothing() {
    let place = Place::new();
    let (alice, bob, carol) = three(&place);
    let home = folder(&place, "alice");
    alice.kill();
    let twin_home = home.with_file_name("twin");
    copy(&home, &twin_home);
    // Each start of one copy alone leaves the other further behind in what their peers remember.
    for _ in 0..3 {
        place.start("alice", &["--bootstrap", &bob.place()]).kill();
    }
    let _alice = place.start("alice", &["--bootstrap", &bob.place()]);
    let _twin = place.start("twin", &["--bootstrap", &carol.place()]);
    let mut said = vec!["first".to_owned()];
    for n in 0..5 {
        for who in ["alice", "twin", "bob"] {
            let text = format!("{who} {n}");
            place.run(who, &["send", "all", &text, "--wait", "none"]).ok();
            said.push(text);
        }
    }
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    all_show(&place, &["bob", "carol", "alice", "twin"], &said);
    let told = ["alice", "twin"].map(|who| events(&place, who, "life_begun"));
    assert!(told.iter().any(|events| !events.is_empty()), "an owner is informed");
}
