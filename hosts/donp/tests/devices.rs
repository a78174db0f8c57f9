//! Devices of an account by daemons, driven as a person would.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Place;
use serde_json::json;

/// The ticket was void since a second one was made. Mutation: a profile that has one device counts as joined.
#[test]
fn a_device_that_is_refused_is_not_of_the_account() {
    let place = Place::new();
    let (_alice, _bob) = place.pair();
    let ticket = |who: &str| {
        let made = place.json(who, &["device", "add"]).ok().json().remove(0);
        made["ticket"].as_str().unwrap().to_owned()
    };
    let (void, good) = (ticket("alice"), ticket("alice"));
    place.run("bob", &["device", "join", &void]).fails(3, &["did not add this one", "donp device add again"]);
    let account = |who: &str| place.json(who, &["whoami"]).ok().json().remove(0)["account"].clone();
    assert_ne!(account("bob"), account("alice"));
    let joined = place.json("bob", &["device", "join", &good]).ok().json();
    assert_eq!(joined.len(), 2, "{joined:?}");
    assert_eq!(account("bob"), account("alice"));
    assert_eq!(joined[1]["here"], json!(true));
}
