//! Daemons that talk, die and come back, driven as a script would.

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use common::{Place, until};
use serde_json::{Value, json};

#[test]
fn a_private_message_is_delivered_read_and_answered() {
    let place = Place::new();
    let (alice, _bob) = place.pair();
    let sent = place.json("alice", &["send", "bob", "hello", "--wait", "delivered"]).ok().json().remove(0);
    assert_eq!((&sent["type"], &sent["state"]), (&json!("sent"), &json!("delivered")));

    let got = place.json("bob", &["recv"]).ok().json();
    let m = &got.iter().find(|e| e["type"] == "received").unwrap()["message"];
    assert_eq!((&m["id"], &m["text"], &m["name"]), (&sent["id"], &json!("hello"), &json!("alice")));
    assert_eq!((&m["author"], &m["state"]), (&alice.ready["id"], &json!("received")));
    assert!(place.json("bob", &["recv"]).ok().out.is_empty(), "handled once");

    let id = m["id"].as_str().unwrap();
    place.run("bob", &["send", "alice", "hi", "--reply-to", id, "--wait", "delivered"]).ok();
    place.run("bob", &["send", "alice", "👍", "--react", id, "--wait", "delivered"]).ok();
    let shown = place.json("alice", &["history", "bob"]).ok().json();
    let kinds: Vec<_> = shown.iter().map(|m| (m["reply_to"].as_str(), m["react_to"].as_str())).collect();
    assert_eq!(kinds[..3], [(None, None), (Some(id), None), (None, Some(id))]);
    assert_eq!(place.texts("alice", "bob"), ["hello", "hi", "👍"]);
    assert_eq!(place.texts("bob", "alice"), ["hello", "hi", "👍"]);
    assert_eq!(place.status("alice")["private_protection"], "end-to-end");
}

/// Fails if edits are listed for people, or not shown at their message.
#[test]
fn edits_and_retractions_show_at_their_message() {
    let place = Place::new();
    place.init("alice");
    let say = |args: &[&str]| {
        let sent = place.json("alice", &[&["send", "all", "--wait", "none"], args].concat()).ok().json();
        sent[0]["id"].as_str().unwrap().to_owned()
    };
    let [one, two, three] = ["one", "two", "three"].map(|text| say(&[text]));
    say(&["uno", "--edit", &one]);
    say(&["first", "--edit", &one]);
    say(&["--retract", &two]);
    say(&["yes", "--reply-to", &three]);
    let lines = |args: &[&str]| -> Vec<String> {
        let shown = place.run("alice", &[&["history", "all"], args].concat()).ok().out;
        shown.lines().map(|l| l.split_once("alice  ").unwrap().1.to_owned()).collect()
    };
    let reply = format!("(reply to {}) yes", three.parse::<donp_core::MessageId>().unwrap().short());
    assert_eq!(lines(&[]), ["first (edited)", "(retracted)", "three", &reply]);
    assert_eq!(lines(&["--limit", "2"]), ["three", &reply], "what edits is no line");
    assert_eq!(lines(&["--before", &three]), ["first (edited)", "(retracted)"]);
    assert_eq!(lines(&["--search", "FIRST"]), ["first (edited)"]);
    assert_eq!(lines(&["--search", "two"]), [""; 0], "a retracted text is not found");
    let json = place.json("alice", &["history", "all"]).ok().json();
    assert_eq!(json.iter().filter(|m| m["type"] == "message").count(), 7, "programs get all");
    assert_eq!((&json[0]["text"], &json[0]["edited"]), (&json!("one"), &json!("first")));
    assert_eq!((&json[1]["text"], &json[1]["retracted"]), (&json!("two"), &json!(true)));
    assert_eq!((&json[3]["text"], &json[3]["edit_of"]), (&json!("uno"), &json!(one)));
    assert_eq!(json[5]["retract"], two);
}

#[test]
fn nodes_are_meant_by_id_beginning_and_name() {
    let place = Place::new();
    let (_alice, bob) = place.pair();
    let (id, short) = (bob.field("id"), bob.field("short"));
    let bare = short.replace('-', "");
    for (n, to) in [id, short, &bare, &format!("n{short}"), &id[..7], "bob"].into_iter().enumerate() {
        place.run("alice", &["send", to, &n.to_string(), "--wait", "delivered"]).ok();
    }
    assert_eq!(place.texts("bob", "alice"), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn everybody_hears_a_broadcast_in_one_order() {
    let place = Place::new();
    let (alice, _bob) = place.pair();
    place.init("carol");
    let ticket = place.run("bob", &["invite"]).ok().out.trim().to_string();
    let _carol = place.start("carol", &[]);
    place.run("carol", &["join", &ticket]).ok();
    place.active("carol");
    for (who, text) in [("alice", "one"), ("bob", "two"), ("carol", "three")] {
        place.run(who, &["send", "all", text]).ok();
        for all in ["alice", "bob", "carol"] {
            until("everybody hears it", || place.texts(all, "all").contains(&text.to_string()).then_some(()));
        }
    }
    for who in ["alice", "bob", "carol"] {
        assert_eq!(place.texts(who, "all"), ["one", "two", "three"]);
    }
    let last = place.json("alice", &["history", "--limit", "1"]).ok().json();
    let seen = json!([1, 1, 1]);
    let counts = last[0]["clock"].as_array().unwrap().iter().map(|e| e["count"].clone()).collect::<Value>();
    assert_eq!(counts, seen);
    assert!(last[0]["clock"].as_array().unwrap().iter().any(|e| e["author"] == alice.ready["id"]));
    assert_eq!(last[1]["type"], "page");
    let before = last[1]["older"].as_str().unwrap();
    let page = place.json("alice", &["history", "--before", before]).ok().json();
    assert_eq!(page.iter().filter(|l| l["type"] == "message").count(), 2);
    let found = place.json("alice", &["history", "--search", "TWO"]).ok().json();
    assert_eq!(found[0]["text"], "two");
    assert_eq!(found[1]["type"], "page");
}

#[test]
fn what_is_said_to_somebody_away_waits_and_arrives_once() {
    let place = Place::new();
    let (_alice, bob) = place.pair();
    bob.kill();
    let away = place.json("alice", &["send", "bob", "kept", "--wait", "delivered", "--timeout", "300ms"]);
    assert_eq!(away.code, Some(3), "{away:?}");
    assert_ne!(away.json()[0]["state"], "delivered");
    assert_eq!(place.status("alice")["outbox"], 1);
    let _bob = place.start("bob", &[]);
    until("it arrives", || (place.texts("bob", "alice") == ["kept"]).then_some(()));
    until("it is acknowledged", || (place.status("alice")["outbox"] == 0).then_some(()));
    let told = place.json("bob", &["recv"]).ok().json();
    assert_eq!(told.iter().filter(|e| e["message"]["text"] == "kept").count(), 1);
}

#[test]
fn without_a_daemon_a_profile_is_read_and_written() {
    let place = Place::new();
    let (alice, bob) = place.pair();
    place.run("alice", &["send", "bob", "before", "--wait", "delivered"]).ok();
    assert_eq!(alice.stop("TERM"), Some(0));
    assert_eq!(place.texts("alice", "bob"), ["before"]);
    assert_eq!(place.status("alice")["running"], false);
    assert!(place.run("alice", &["peers"]).ok().out.contains("bob"));
    // Queued: done if that is all that was asked, else not yet.
    place.run("alice", &["send", "bob", "later", "--wait", "none"]).ok();
    let queued = place.json("alice", &["send", "bob", "too", "--wait", "sent"]);
    assert_eq!((queued.code, &queued.json()[0]["state"]), (Some(3), &json!("queued")));
    let shown = place.json("alice", &["history", "bob"]).ok().json();
    assert_eq!(shown[1]["state"], "queued");
    let _alice = place.start("alice", &[]);
    until("both arrive", || (place.texts("bob", "alice") == ["before", "later", "too"]).then_some(()));
    drop(bob);
}

#[test]
fn a_follower_gets_every_event_as_it_comes() {
    let place = Place::new();
    let (_alice, _bob) = place.pair();
    let follow = |args: &[&str]| {
        let args = [&["--json", "recv", "--follow"], args].concat();
        let mut child = place.command("bob", &args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map_while(Result::ok).map(|l| serde_json::from_str::<Value>(&l).unwrap()))
    };
    let (mut one, first) = follow(&["--no-ack"]);
    let (mut two, second) = follow(&["--from", "0", "--no-ack"]);
    for text in ["a", "b", "c"] {
        place.run("alice", &["send", "bob", text, "--wait", "delivered"]).ok();
    }
    let texts = |events: &mut dyn Iterator<Item = Value>| -> Vec<_> {
        events.filter(|e| e["type"] == "received").take(3).map(|e| e["message"]["text"].clone()).collect()
    };
    assert_eq!(texts(&mut { first }), ["a", "b", "c"]);
    assert_eq!(texts(&mut { second }), ["a", "b", "c"]);
    for child in [&mut one, &mut two] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Not acknowledged: they come again, with the request that the first of them is.
    assert_eq!(place.json("bob", &["recv"]).ok().json().len(), 4);
}

#[test]
fn a_daemon_ends_in_order_and_leaves_no_socket() {
    let place = Place::new();
    place.init("alice");
    for (signal, code) in [("TERM", 0), ("INT", 130)] {
        let daemon = place.start("alice", &[]);
        let socket = std::path::PathBuf::from(daemon.field("control"));
        assert!(socket.exists());
        assert_eq!(daemon.stop(signal), Some(code), "{signal}");
        assert!(!socket.exists());
    }
    // A killed one leaves its socket, which is not in the way.
    let daemon = place.start("alice", &[]);
    let socket = std::path::PathBuf::from(daemon.field("control"));
    daemon.kill();
    assert!(socket.exists());
    place.run("alice", &["whoami"]).ok();
    let daemon = place.start("alice", &[]);
    assert_eq!(place.json("alice", &["whoami"]).ok().json()[0]["id"], daemon.ready["id"]);
}

#[test]
fn leaving_and_joining_again() {
    let place = Place::new();
    let (alice, _bob) = place.pair();
    place.run("bob", &["leave"]).ok();
    until("bob has left", || (place.status("bob")["state"] == "LEAVING").then_some(()));
    until("alice noticed", || (place.status("alice")["links"] == 0).then_some(()));
    place.run("bob", &["join", &alice.place()]).ok();
    place.active("bob");
}

#[test]
fn no_acknowledged_message_is_lost_by_kills_of_either_side() {
    let place = Place::new();
    let (mut alice, mut bob) = place.pair();
    let mut sent = Vec::new();
    for round in 0..6 {
        for n in 0..5 {
            let text = format!("{round}-{n}");
            place.run("alice", &["send", "bob", &text, "--wait", "none"]).ok();
            place.run("alice", &["send", "all", &text, "--wait", "none"]).ok();
            sent.push(text);
        }
        // Right after the prompt came back: what it said must hold.
        if round % 2 == 0 {
            alice.kill();
            alice = place.start("alice", &[]);
        } else {
            bob.kill();
            bob = place.start("bob", &[]);
        }
    }
    for conversation in ["alice", "all"] {
        until("bob has all", || (place.texts("bob", conversation).len() >= sent.len()).then_some(()));
        assert_eq!(place.texts("bob", conversation), sent);
    }
    until("all is acknowledged", || (place.status("alice")["outbox"] == 0).then_some(()));
    let told = place.json("bob", &["recv"]).ok().json();
    let mut private: Vec<_> = told
        .iter()
        .map(|e| &e["message"])
        .filter(|m| m["conversation"] == alice.ready["id"])
        .map(|m| m["text"].clone())
        .collect();
    private.dedup();
    assert_eq!(private, sent, "each was reported once, in order");
    drop((alice, bob));
}

#[test]
fn names_and_texts_cannot_steer_a_terminal() {
    let place = Place::new();
    place.init("alice");
    let name = "eve\u{202e}bob";
    place.run("eve", &["init", "--name", name]).ok();
    let alice = place.start("alice", &[]);
    let _eve = place.start("eve", &["--bootstrap", &alice.place()]);
    place.active("eve");
    place.active("alice");
    let text = "red \u{1b}[31m\rline\nnext\u{7}";
    place.run("eve", &["send", "alice", text, "--wait", "delivered"]).ok();
    for verb in [&["peers"][..], &["history", name], &["recv"], &["status"]] {
        let shown = place.run("alice", verb).ok().out;
        let steers = |c: char| c == '\u{202e}' || (c.is_control() && c != '\n');
        assert!(!shown.contains(steers), "{verb:?}: {shown:?}");
    }
    assert_eq!(place.texts("alice", name), [text], "programs get it as it is");
}

#[test]
fn settings_say_where_they_come_from() {
    let place = Place::new();
    std::fs::write(
        place.config(),
        "node_type = \"super\"\n[profile.alice]\n[profile.alice.link]\nkeepalive = \"3s\"\n",
    )
    .unwrap();
    let shown = place.run("alice", &["config", "show", "--origin"]).ok().out;
    let line = |key: &str| shown.lines().find(|l| l.starts_with(key)).unwrap().to_string();
    assert!(line("node_type").contains("super") && line("node_type").ends_with("config.toml"));
    assert!(line("link.keepalive").ends_with("[profile.alice]"));
    assert!(line("gossip.ttl").ends_with("# default"));
    let json = place.json("alice", &["config", "show"]).ok().json();
    assert!(json.iter().any(|s| s["key"] == "node_type" && s["value"] == "super"));
    assert_eq!(place.run("alice", &["config", "path"]).ok().out.trim(), place.config().to_str().unwrap());
    let example = place.run("alice", &["config", "example"]).ok().out;
    std::fs::write(place.config(), example).unwrap();
    place.run("alice", &["config", "show"]).ok();
    place.init("alice");
    let daemon = place.command("alice", &["status"]).env("DONP_LISTEN", "nowhere").output().unwrap();
    assert_eq!(daemon.status.code(), Some(1));
}
