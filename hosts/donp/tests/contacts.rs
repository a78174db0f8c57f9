//! Contacts of two daemons, driven as a person would, and what people get wrong with them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Place, until};
use serde_json::{Value, json};

fn contact(place: &Place, who: &str, peer: &str) -> Value {
    place.json(who, &["contact", "show", peer]).ok().json().remove(0)
}

fn number(place: &Place, who: &str, peer: &str) -> Value {
    let shown = place.json(who, &["contact", "show", peer]).ok().json();
    shown.into_iter().find(|v| v["type"] == "safety_number").unwrap()
}

/// Breaks if an own name is one claim among others, if a wrong number is taken, or if a request is a contact.
#[test]
fn a_stranger_is_accepted_named_and_verified() {
    let place = Place::new();
    let (_alice, _bob) = place.pair();
    place.run("bob", &["contact", "list"]).ok();
    place.run("alice", &["send", "bob", "hello", "--wait", "delivered"]).ok();
    let told = place.run("bob", &["recv"]).ok().out;
    assert!(told.contains("[request] hello") && told.contains("donp contact accept"), "{told}");
    let request = contact(&place, "bob", "alice");
    assert_eq!((&request["request"], &request["unread"]), (&json!(true), &json!(1)));
    let listed = place.run("bob", &["contact", "list"]).ok();
    assert!(listed.out.contains("REQUEST OF") && listed.err.contains("contact accept"), "{listed:?}");
    place.run("bob", &["contact", "rename", "alice", "al"]).fails(1, &["not in your contacts", "try:"]);
    place.run("bob", &["contact", "accept", "alice"]).ok();
    place.run("bob", &["contact", "rename", "alice", "al"]).ok();
    place.run("bob", &["contact", "rename", "alice", "a\u{1b}b"]).fails(2, &["control characters"]);
    let sent = place.json("bob", &["send", "al", "hi", "--wait", "delivered"]).ok().json().remove(0);
    assert_eq!(sent["state"], "delivered");
    let history = place.run("bob", &["history", "al", "--mark-read"]).ok().out;
    assert!(history.contains("al  [private] hello"), "{history}");
    assert_eq!(contact(&place, "bob", "al")["unread"], 0);

    let (at_alice, at_bob) = (number(&place, "alice", "bob"), number(&place, "bob", "al"));
    assert_eq!(at_alice["number"], at_bob["number"]);
    let drawn = place.run("alice", &["contact", "show", "bob"]).ok().out;
    assert!(drawn.contains("safety number") && drawn.contains('█') && drawn.contains("not compared"), "{drawn}");
    let wrong = "12345".repeat(12);
    place.run("alice", &["contact", "verify", "bob", "--number", &wrong]).fails(4, &["not the safety number", "try:"]);
    place.run("alice", &["contact", "verify", "bob", "--number", "12345"]).fails(2, &["60 digits"]);
    let own = at_alice["code"].as_str().unwrap();
    place.run("alice", &["contact", "verify", "bob", "--scan", own]).fails(4, &["not the safety number"]);
    let scanned = at_bob["code"].as_str().unwrap().to_uppercase();
    let verified = place.run("alice", &["contact", "verify", "bob", "--scan", &scanned]).ok().out;
    assert!(verified.contains("bob is verified"), "{verified}");
    let spoken = at_alice["number"].as_str().unwrap();
    place.run("bob", &["contact", "verify", "al", "--number", spoken]).ok();
    assert_eq!(contact(&place, "bob", "al")["verification"], "verified");
    place.run("alice", &["contact", "accept-change", "bob"]).fails(1, &["did not change"]);

    let there = place.json("alice", &["authenticate", "bob"]).ok().json().remove(0);
    assert_eq!((&there["type"], &there["result"]), (&json!("authentication"), &json!("authenticated")));
    place.run("alice", &["authenticate", "carol"]).fails(1, &["no known node is named"]);
}

#[test]
fn who_is_muted_deleted_and_removed() {
    let place = Place::new();
    let (_alice, bob) = place.pair();
    place.run("alice", &["send", "bob", "one", "--wait", "delivered"]).ok();
    place.run("bob", &["contact", "mute", "alice"]).fails(1, &["not in your contacts"]);
    place.run("bob", &["contact", "add", "alice", "--name", "al"]).ok();
    place.run("bob", &["recv"]).ok();
    place.run("bob", &["contact", "mute", "al"]).ok();
    place.run("alice", &["send", "bob", "two", "--wait", "delivered"]).ok();
    assert_eq!(place.run("bob", &["recv"]).ok().out, "");
    assert_eq!(place.texts("bob", "al"), ["one", "two"]);
    place.run("bob", &["contact", "unmute", "al"]).ok();
    place.run("bob", &["contact", "delete", "al"]).fails(1, &["is a contact, not a request"]);
    place.run("bob", &["contact", "clear", "al"]).ok();
    assert!(place.texts("bob", "al").is_empty());
    place.run("bob", &["contact", "remove", "al"]).ok();
    place.run("bob", &["contact", "show", "alice"]).fails(1, &["not in your contacts"]);
    place.run("alice", &["send", "bob", "three", "--wait", "delivered"]).ok();
    assert_eq!(contact(&place, "bob", "alice")["request"], true);
    // Without a daemon as well.
    bob.stop("TERM");
    until("the request is deleted", || {
        let deleted = place.run("bob", &["contact", "delete", "alice"]).ok().out;
        deleted.contains("its messages here").then_some(())
    });
    assert!(place.texts("bob", "alice").is_empty());
    place.run("bob", &["authenticate", "alice"]).fails(7, &["no daemon runs"]);
}

/// The device of a verified contact comes back with its identity and another store.
#[test]
fn a_changed_key_ends_sending_with_exit_4() {
    let place = Place::new();
    let (_alice, bob) = place.pair();
    place.run("alice", &["send", "bob", "hello", "--wait", "delivered"]).ok();
    place.run("bob", &["send", "alice", "hi", "--wait", "delivered"]).ok();
    let spoken = number(&place, "alice", "bob")["number"].as_str().unwrap().to_owned();
    place.run("alice", &["contact", "verify", "bob", "--number", &spoken]).ok();
    let address = bob.address().to_owned();
    bob.kill();
    forget_session_keys(&place);
    place.run("bob", &["check", "--repair"]);
    let bob = place.start("bob", &["--listen", &address]);
    place.run("bob", &["send", "alice", "it is me"]).ok();
    until("alice sees it", || (contact(&place, "alice", "bob")["verification"] == "changed").then_some(()));
    let told = place.run("alice", &["recv"]).ok().out;
    assert!(told.contains("CHANGED since you verified it") && told.contains("accept-change"), "{told}");
    place.run("alice", &["send", "bob", "secret"]).fails(4, &["changed since you verified it", "try:   compare again"]);
    place.run("alice", &["contact", "verify", "bob", "--number", &spoken]).fails(4, &["not the safety number"]);
    let accepted = place.run("alice", &["contact", "accept-change", "bob"]).ok().out;
    assert!(accepted.contains("is unverified"), "{accepted}");
    place.run("alice", &["send", "bob", "welcome back", "--wait", "delivered"]).ok();
    drop(bob);
}

/// The rows of sessions are gone, as from a device that was made anew from its identity.
fn forget_session_keys(place: &Place) {
    let file = place.path().join("s/bob/node.db");
    let db = rusqlite::Connection::open(&file).unwrap();
    for table in ["session.keys", "session.prekeys", "session.sessions", "session.sealed", "session.firsts"] {
        let (machine, name) = table.split_once('.').unwrap();
        let byte = donp_core::Table::of(machine, name).unwrap().to_byte();
        for copy in ["records", "spares"] {
            db.execute(&format!("DELETE FROM {copy} WHERE tbl = ?1"), [byte]).unwrap();
        }
    }
}
