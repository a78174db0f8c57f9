//! Groups of three daemons, driven as a person would, and what people get wrong with them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Daemon, Place, Ran, secret, until};
use serde_json::{Value, json};

/// Three profiles with running daemons in one network: alice, bob and carol.
fn three(place: &Place) -> [Daemon; 3] {
    let (alice, bob) = place.pair();
    place.init("carol");
    let carol = place.start("carol", &["--bootstrap", &alice.place()]);
    place.active("carol");
    [alice, bob, carol]
}

/// Makes a group at alice with these options; its id.
fn create(place: &Place, name: &str, options: &[&str]) -> String {
    let made = place.json("alice", &[&["group", "create", name], options].concat()).ok().json();
    assert_eq!((&made[0]["type"], &made[0]["role"]), (&json!("group"), &json!("owner")));
    made[0]["id"].as_str().unwrap().into()
}

fn ticket(place: &Place, by: &str, group: &str, options: &[&str]) -> String {
    place.run(by, &[&["group", "invite", group], options].concat()).ok().out.trim().into()
}

fn join(place: &Place, who: &str, ticket: &str) -> Ran {
    place.run(who, &["group", "join", ticket])
}

fn group(place: &Place, who: &str, group: &str) -> Value {
    place.json(who, &["group", "show", group]).ok().json().remove(0)
}

fn waits_for(place: &Place, who: &str, conversation: &str, texts: &[&str]) {
    until(&format!("{who} has {texts:?}"), || (place.texts(who, conversation) == texts).then_some(()));
}

/// Breaks if a member that was removed gets the key of those who stay.
#[test]
fn a_group_is_made_joined_and_left_by_who_is_removed() {
    let place = Place::new();
    let _all = three(&place);
    create(&place, "team", &["--history", "all"]);
    place.run("alice", &["send", "#team", "welcome"]).ok();
    let ticket = ticket(&place, "alice", "team", &["--uses", "2"]);
    for who in ["bob", "carol"] {
        let joined = join(&place, who, &ticket).ok();
        assert!(joined.out.contains("you are in #team now"), "{joined:?}");
    }
    // A member that has not read it sends the next at the same time.
    waits_for(&place, "bob", "#team", &["welcome"]);
    let sent = place.json("bob", &["send", "#team", "hello"]).ok().json().remove(0);
    assert_eq!((&sent["name"], &sent["state"]), (&json!("team"), &json!("sent")));
    for who in ["alice", "bob", "carol"] {
        waits_for(&place, who, "#team", &["welcome", "hello"]);
    }
    let lines = place.run("carol", &["history", "#team"]).ok().out;
    assert!(lines.lines().all(|l| l.contains("[#team] ")), "{lines}");
    let found = place.run("carol", &["history", "#team", "--search", "HELL"]).ok().out;
    assert!(found.lines().count() == 1 && found.contains("bob  [#team] hello"), "{found}");
    assert!(place.texts("carol", "all").is_empty());

    let told = place.json("carol", &["recv"]).ok().json();
    let message = &told.iter().find(|e| e["type"] == "received").unwrap()["message"];
    assert_eq!((&message["group_name"], &message["conversation"]), (&json!("team"), &sent["conversation"]));
    assert!(told.iter().any(|e| e["type"] == "group_changed" && e["change"] == "joined" && e["group_name"] == "team"));

    let kicked = place.run("alice", &["group", "kick", "team", "carol"]).ok();
    assert!(kicked.out.contains("carol is removed from #team"), "{kicked:?}");
    until("carol knows that it is out", || group(&place, "carol", "team")["role"].is_null().then_some(()));
    place.run("alice", &["send", "#team", "among us"]).ok();
    waits_for(&place, "bob", "#team", &["welcome", "hello", "among us"]);
    place.run("bob", &["send", "#team", "yes"]).ok();
    for who in ["alice", "bob"] {
        waits_for(&place, who, "#team", &["welcome", "hello", "among us", "yes"]);
    }
    assert_eq!(place.texts("carol", "#team"), ["welcome", "hello"]);
    place.run("carol", &["send", "#team", "let me in"]).fails(5, &["not a member of the group", "try:"]);
    let told = place.run("carol", &["recv"]).ok().out;
    assert!(told.contains("you are not in #team any more"), "{told}");
    let members = place.run("bob", &["group", "members", "team"]).ok().out;
    assert!(members.contains("alice") && members.contains("owner") && !members.contains("carol"), "{members}");
    assert!(members.lines().next().is_some_and(|head| head.ends_with("DEVICES")), "{members}");
    let members = place.json("bob", &["group", "members", "team"]).ok().json();
    assert!(members.iter().all(|m| m["devices"] == json!([m["id"]])), "{members:?}");
}

/// Breaks if a pin is a matter of one node, or the role of the policy is not asked for.
#[test]
fn a_pinned_message_is_shown_to_each_member() {
    let place = Place::new();
    let _all = three(&place);
    create(&place, "team", &["--history", "all", "--pin-role", "admin"]);
    let ticket = ticket(&place, "alice", "team", &["--uses", "2"]);
    for who in ["bob", "carol"] {
        join(&place, who, &ticket).ok();
    }
    let sent = place.json("alice", &["send", "#team", "meet at six"]).ok().json().remove(0);
    let id = sent["id"].as_str().unwrap();
    waits_for(&place, "bob", "#team", &["meet at six"]);
    place.run("bob", &["group", "pin", "team", id]).fails(5, &["role does not allow it"]);
    let pinned = place.run("alice", &["group", "pin", "team", &id[..12]]).ok();
    assert!(pinned.out.contains("the message is pinned in #team"), "{pinned:?}");
    place.run("alice", &["group", "pin", "team", id]).fails(5, &["pinned already"]);
    for who in ["alice", "bob", "carol"] {
        until(&format!("{who} sees it"), || (group(&place, who, "team")["pinned"] == json!([id])).then_some(()));
    }
    let told = place.run("bob", &["recv"]).ok().out;
    assert!(told.contains("is pinned in #team"), "{told}");
    let shown = place.run("bob", &["group", "show", "team"]).ok().out;
    let row = shown.lines().find_map(|line| line.strip_prefix("pinned")).map(str::trim);
    let lines = place.run("bob", &["history", "#team"]).ok().out;
    assert!(row.is_some_and(|id| lines.contains(id)), "{shown}{lines}");
    place.run("alice", &["group", "unpin", "team", id]).ok();
    until("it is gone", || (group(&place, "carol", "team")["pinned"] == json!([])).then_some(()));
    place.run("alice", &["group", "unpin", "team", id]).fails(5, &["not pinned"]);
}

/// Breaks if `--wait all` ends with the first member, or the marks of history are those of another message.
#[test]
fn a_sender_sees_how_many_have_a_message() {
    let place = Place::new();
    let [_alice, _bob, carol] = three(&place);
    create(&place, "team", &["--history", "all"]);
    let alone = place.json("alice", &["send", "#team", "is this on?", "--wait", "all"]).ok().json().remove(0);
    assert_eq!((&alone["state"], &alone["reached"]), (&json!("sent"), &json!(true)), "no other node is there");
    let ticket = ticket(&place, "alice", "team", &["--uses", "2"]);
    for who in ["bob", "carol"] {
        join(&place, who, &ticket).ok();
        waits_for(&place, who, "#team", &["is this on?"]);
    }
    let sent = place.json("bob", &["send", "#team", "to you all", "--wait", "all"]).ok().json().remove(0);
    let (state, counts) = (&sent["state"], &sent["confirmations"]);
    assert_eq!((state, counts), (&json!("delivered"), &json!({ "members": 2, "stored": 2, "read": 0 })));
    let found = place.run("bob", &["history", "#team"]).ok().out;
    assert!(found.lines().last().unwrap().ends_with("to you all ✓ 2/2"), "{found}");

    carol.stop("TERM");
    let first = place.run("bob", &["send", "#team", "carol?", "--wait", "delivered"]).ok().out;
    assert!(first.contains("stored by 1 of 2 other members of #team"), "{first}");
    let late = place.run("bob", &["send", "#team", "carol!", "--wait", "all", "--timeout", "2s"]);
    late.fails(3, &["not all members stored it in time"]);
    let history = place.json("bob", &["history", "#team"]).ok().json();
    let counts = |text: &str| history.iter().find(|m| m["text"] == text).unwrap()["confirmations"]["stored"].clone();
    assert_eq!((counts("to you all"), counts("carol!")), (json!(2), json!(1)));
    assert!(history.iter().find(|m| m["text"] == "is this on?").unwrap()["confirmations"].is_null(), "it is alice's");
    place.run("bob", &["send", "all", "x", "--wait", "all"]).fails(2, &["not acknowledged"]);
}

#[test]
fn who_is_approved_ranked_and_handed_the_group() {
    let place = Place::new();
    let _all = three(&place);
    create(&place, "club", &["--approve"]);
    place.run("alice", &["group", "describe", "club", "read \u{1b}[2Jbooks"]).ok();
    let ticket = ticket(&place, "alice", "club", &["--uses", "2", "--role", "guest"]);
    let asking = place.run("bob", &["group", "join", &ticket, "--no-wait"]).ok();
    assert!(asking.out.contains("asking alice to add you to #club"), "{asking:?}");
    place.run("bob", &["group", "show", "club"]).fails(1, &["asked to join club", "not a member yet"]);
    let waits = || group(&place, "alice", "club")["requests"].as_array().is_some_and(|r| r.len() == 1);
    until("bob waits", || waits().then_some(()));
    let shown = place.run("alice", &["group", "show", "club"]).ok().out;
    assert!(
        shown.contains("bob") && shown.contains("donp -p alice group approve") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    place.run("alice", &["group", "approve", "club", "bob"]).ok();
    until("bob is in", || (place.json("bob", &["group", "list"]).ok().json()[0]["role"] == "guest").then_some(()));
    place.run("bob", &["send", "#club", "hi"]).fails(5, &["role may not post"]);
    place.run("bob", &["group", "kick", "club", "alice"]).fails(5, &["role does not allow it"]);

    place.run("carol", &["group", "join", &ticket, "--no-wait"]).ok();
    until("carol waits", || waits().then_some(()));
    place.run("alice", &["group", "decline", "club", "carol"]).ok();
    until("carol learns of it", || {
        place.run("carol", &["recv"]).ok().out.contains(": a member declined").then_some(())
    });

    place.run("alice", &["group", "role", "club", "bob", "admin"]).ok();
    until("bob is admin", || (group(&place, "bob", "club")["role"] == "admin").then_some(()));
    place.run("bob", &["group", "rename", "club", "book club"]).ok();
    until("it has its name", || (group(&place, "alice", "#book club")["name"] == "book club").then_some(()));
    place.run("alice", &["group", "leave", "book club"]).fails(5, &["transfer it"]);
    place.run("alice", &["group", "transfer", "book club", "bob"]).ok();
    until("bob owns it", || (group(&place, "bob", "book club")["role"] == "owner").then_some(()));
    let rules = place.run("bob", &["group", "policy", "book club", "--history", "7d", "--no-approve"]).ok();
    assert!(rules.out.contains("newcomers read the last 7 days"), "{rules:?}");
    place.run("alice", &["group", "leave", "book club"]).ok();
    until("alice is gone", || (group(&place, "bob", "book club")["members"].as_array()?.len() == 1).then_some(()));
}

#[test]
fn what_people_get_wrong_with_groups() {
    let place = Place::new();
    let [alice, _bob, _carol] = three(&place);
    let id = create(&place, "team", &[]);
    place.run("alice", &["group", "show", "club"]).fails(1, &["no group is named 'club'", "donp group list"]);
    place.run("alice", &["send", "#club", "x"]).fails(1, &["no group is named '#club'"]);
    place.run("alice", &["send", "club", "x"]).fails(1, &["'club'", "no group"]);
    place.run("alice", &["group", "policy", "team"]).fails(2, &["nothing to change"]);
    place.run("alice", &["group", "create", "tea", "--kind", "temporary"]).fails(2, &["needs an end", "--expires"]);
    place.run("alice", &["group", "create", "tea", "--kind", "secret", "--expires", "2h"]).fails(2, &["no end"]);
    place.run("alice", &["group", "create", " "]).fails(2, &["name is empty"]);
    place.run("alice", &["group", "kick", "team", "bob"]).fails(1, &["'bob'", "group members"]);
    place.run("alice", &["group", "approve", "team", "bob"]).fails(1, &["'bob'", "lists the requests"]);
    place.run("alice", &["group", "role", "team", "alice", "owner"]).fails(2, &["one owner", "transfer"]);

    // Two with one name: their ids say which.
    let other = create(&place, "team", &[]);
    let both = place.run("alice", &["group", "show", "#team"]).fails_with(1);
    assert!(both.contains(&id[1..5]) && both.contains(&other[1..5]), "{both}");
    place.run("alice", &["group", "show", &id[..9]]).ok();
    // A group with the name of a node.
    create(&place, "bob", &[]);
    place.run("alice", &["send", "bob", "x"]).fails(1, &["'bob' can be", "group bob"]);
    place.run("alice", &["send", "#bob", "x"]).ok();

    // Tickets.
    let single = ticket(&place, "alice", &id, &[]);
    join(&place, "alice", &single).fails(1, &["issued by this node"]);
    join(&place, "bob", &single[..40]).fails(1, &["ticket is damaged", "donp group invite"]);
    let network = place.run("alice", &["invite"]).ok().out;
    join(&place, "bob", network.trim()).fails(1, &["damaged", "donp join TICKET"]);
    join(&place, "bob", &single).ok();
    join(&place, "bob", &single).fails(5, &["member already"]);
    let for_bob = ticket(&place, "alice", &id, &["--for", "bob"]);
    join(&place, "carol", &for_bob).fails(5, &["alice does not add you to #team", "for another node"]);
    place.run("bob", &["group", "invite", "team"]).fails(5, &["may not invite"]);
    place.run("alice", &["group", "ban", &id, "bob"]).ok();
    let again = ticket(&place, "alice", &id, &[]);
    join(&place, "bob", &again).fails(5, &["banned"]);
    place.run("alice", &["group", "unban", &id, "bob"]).ok();
    join(&place, "bob", &again).ok();

    // Another network.
    let key = place.path().join("network");
    secret(&key, &"5".repeat(64));
    place.init("dave");
    let _dave = place.start("dave", &["--network-key-file", key.to_str().unwrap()]);
    join(&place, "dave", &again).fails(1, &["another network", "init"]);

    // The issuer of the ticket is not there.
    let late = ticket(&place, "alice", &id, &[]);
    alice.kill();
    let asks = place.run("carol", &["group", "join", &late, "--timeout", "1s"]);
    asks.fails(3, &["keeps asking", "donp group leave"]);
    let listed = place.run("carol", &["group", "list"]).ok().out;
    assert!(listed.contains("#team") && listed.contains("asking to join"), "{listed}");
    let _alice = place.start("alice", &[]);
    until("carol is in after alice is back", || {
        place.json("carol", &["group", "list"]).ok().json().iter().any(|g| g["role"] == "member").then_some(())
    });
}

#[test]
fn groups_without_a_daemon_are_made_and_read() {
    let place = Place::new();
    place.init("alice");
    create(&place, "team", &["--history", "10", "--post", "moderator"]);
    let shown = group(&place, "alice", "team");
    assert_eq!((&shown["policy"]["history"], &shown["policy"]["post"]), (&json!("10"), &json!("moderator")));
    place.run("alice", &["group", "invite", "team"]).fails(7, &["no daemon", "donp run"]);
    place.run("alice", &["send", "#team", "a note", "--wait", "none"]).ok();
    assert_eq!(place.texts("alice", "#team"), ["a note"]);
    let made = place.json("alice", &["group", "create", "party", "--expires", "2h"]).ok().json();
    assert_eq!(made[0]["kind"], "temporary");
    assert!(made[0]["expires_ms"].is_u64());
}

/// Breaks if a use of an invitation is counted only where the newcomer is added by a member that may not invite.
#[test]
fn an_invitation_for_one_is_used_up() {
    let place = Place::new();
    let _all = three(&place);
    create(&place, "team", &[]);
    let single = ticket(&place, "alice", "team", &[]);
    join(&place, "bob", &single).ok();
    join(&place, "carol", &single).fails(5, &["alice does not add you to #team", "used up"]);
}
