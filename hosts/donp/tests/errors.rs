//! Each thing that people get wrong: one sentence that says what, one that says what to do, and its
//! exit code.

mod common;

use common::{Place, secret, until};

#[test]
fn a_missing_profile() {
    let place = Place::new();
    for verb in [&["status"][..], &["run"], &["send", "all", "x"], &["history"], &["whoami"]] {
        place.run("nobody", verb).fails(1, &["no profile", "donp init"]);
    }
    let json = place.json("nobody", &["status"]);
    assert_eq!(json.out, "", "stdout is data only");
    let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((&error["type"], &error["exit"]), (&"error".into(), &1.into()));
}

#[test]
fn a_profile_that_exists() {
    let place = Place::new();
    place.init("alice");
    let id = place.json("alice", &["whoami"]).ok().json()[0]["id"].clone();
    place.run("alice", &["init", "--name", "other"]).fails(1, &["already"]);
    assert_eq!(place.json("alice", &["whoami"]).ok().json()[0]["id"], id);
}

#[test]
fn a_wrong_and_a_missing_passphrase() {
    let place = Place::new();
    let file = place.path().join("pass");
    secret(&file, "correct horse\n");
    let file = file.to_str().unwrap();
    let made = place.json("alice", &["init", "--name", "alice", "--passphrase-file", file]).ok();
    assert_eq!(made.json()[0]["protection"], "passphrase");
    place.run("alice", &["whoami"]).fails(6, &["protected by a passphrase", "DONP_PASSPHRASE"]);
    let with_env = |passphrase: &str| -> common::Ran {
        place.command("alice", &["whoami"]).env("DONP_PASSPHRASE", passphrase).output().unwrap().into()
    };
    with_env("").fails(6, &["DONP_PASSPHRASE is set and empty", "unset"]);
    with_env("wrong").fails(6, &["passphrase is wrong"]);
    with_env("correct horse").ok();
    place.run("alice", &["whoami", "--passphrase-command", &format!("cat {file}")]).ok();
}

/// A secret that others can read is none. Breaks if one of the three files is opened without the check.
#[test]
fn a_secret_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let (pass, key) = (place.path().join("pass"), place.path().join("network"));
    secret(&pass, "correct horse\n");
    secret(&key, &"ab".repeat(32));
    let (pass, key) = (pass.to_str().unwrap(), key.to_str().unwrap());
    place.run("alice", &["init", "--name", "alice", "--passphrase-file", pass]).ok();
    place.init("bob");
    let own = place.path().join("s/bob/key");
    let own = own.to_str().unwrap();
    let uses: [(&str, &str, &[&str]); 3] = [
        (pass, "alice", &["whoami", "--passphrase-file", pass]),
        (key, "bob", &["run", "--listen", "127.0.0.1:0", "--network-key-file", key]),
        (own, "bob", &["whoami"]),
    ];
    for (file, profile, verb) in uses {
        for mode in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
            let ran = place.run(profile, verb);
            assert!(
                ran.err.contains("others can read or write it; run chmod 600 on it"),
                "{mode:o} {file}: {}",
                ran.err
            );
        }
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    place.run("bob", &["whoami"]).ok();
}

/// Keys do not reach a core file. Breaks without `no_core_dumps`.
#[test]
fn a_running_node_leaves_no_core_file() {
    let place = Place::new();
    place.init("alice");
    let node = place.start("alice", &["--listen", "127.0.0.1:0"]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
}

#[test]
fn a_damaged_store_and_a_lost_key() {
    let place = Place::new();
    place.init("alice");
    let dir = place.path().join("s/alice");
    let key = std::fs::read(dir.join("key")).unwrap();
    std::fs::remove_file(dir.join("key")).unwrap();
    place.run("alice", &["whoami"]).fails(6, &["key file", "--key-file"]);
    std::fs::write(dir.join("key"), key).unwrap();
    std::fs::write(dir.join("node.db"), vec![7; 8_192]).unwrap();
    place.run("alice", &["whoami"]).fails(6, &["damaged", "backup"]);
}

#[test]
fn a_profile_in_use() {
    let place = Place::new();
    place.init("alice");
    let daemon = place.start("alice", &[]);
    let pid = daemon.pid().to_string();
    place.run("alice", &["status", "--no-daemon"]).fails(6, &["in use by process", &pid]);
    place.run("alice", &["run"]).fails(6, &["in use by process", &pid]);
}

#[test]
fn a_port_in_use() {
    let place = Place::new();
    place.init("alice");
    place.init("bob");
    let daemon = place.start("alice", &[]);
    let port = daemon.address().rsplit(':').next().unwrap().to_string();
    place.run("bob", &["run", "--listen", daemon.address()]).fails(1, &[&port, "in use", "--listen"]);
}

#[test]
fn an_unknown_peer_and_oneself() {
    let place = Place::new();
    let me = place.init("alice");
    let _daemon = place.start("alice", &[]);
    place.run("alice", &["send", "bob", "x"]).fails(1, &["'bob'", "donp peers"]);
    place.run("alice", &["send", &me, "x"]).fails(1, &["itself"]);
    let stranger = "n".to_string() + &"0".repeat(56);
    place.run("alice", &["send", &stranger, "x"]).fails(1, &[]);
    place.run("alice", &["history", "bob"]).fails(1, &["'bob'"]);
}

#[test]
fn a_message_that_cannot_be_edited_or_answered() {
    let place = Place::new();
    let (_alice, _bob) = place.pair();
    let sent = place.json("bob", &["send", "all", "of bob"]).ok().json();
    let id = sent[0]["id"].as_str().unwrap();
    until("alice has it", || (place.texts("alice", "all") == ["of bob"]).then_some(()));
    for change in [&["--edit", id, "mine"][..], &["--retract", id]] {
        let refused = place.run("alice", &[&["send", "all"], change].concat());
        refused.fails(1, &[id, "only its author", "--reply-to or --react"]);
    }
    let refused = place.run("alice", &["send", "bob", "x", "--reply-to", id]);
    refused.fails(1, &[id, "not in this conversation", "donp history"]);
    let mut damaged = id.to_owned();
    damaged.replace_range(8..9, if &id[8..9] == "0" { "1" } else { "0" });
    place.run("alice", &["send", "all", "x", "--reply-to", &damaged]).fails(2, &["not a message id", "checksum"]);
    place.run("alice", &["history", "--before", &damaged]).fails(2, &["not a message id", "donp history shows it"]);
    place.run("alice", &["send", "all", "x", "--react", "zzzzzz"]).fails(1, &["begins with 'zzzzzz'", "donp history"]);
}

#[test]
fn a_text_that_is_too_long_empty_or_no_text() {
    let place = Place::new();
    place.init("alice");
    let long = "x".repeat(1 << 20);
    place.with_stdin("alice", &["send", "all", "-"], &long).fails(1, &["1048576 bytes", "65536", "parts"]);
    place.run("alice", &["send", "all", ""]).fails(2, &["empty"]);
    place.run("alice", &["history", "--search", ""]).fails(2, &["text to look for is empty", "--search"]);
    place.with_stdin("alice", &["send", "all", "-"], "\n").fails(2, &["empty"]);
    assert!(place.texts("alice", "all").is_empty());
}

#[test]
fn a_broken_ticket_and_a_bad_address() {
    let place = Place::new();
    place.init("alice");
    let _daemon = place.start("alice", &[]);
    let ticket = place.run("alice", &["invite"]).ok().out.trim().to_string();
    let cut = &ticket[..ticket.len() - 3];
    place.run("alice", &["join", cut]).fails(1, &["ticket is damaged", "donp invite"]);
    place.run("alice", &["join", "nowhere"]).fails(1, &["'nowhere'", "host:port"]);
    place.run("alice", &["join", "no-such-host.invalid:4000"]).fails(1, &["no-such-host.invalid:4000"]);
    place.run("alice", &["run", "--bootstrap", "nowhere"]).fails(1, &["nowhere"]);
}

/// Mutations: `is_own` is false; an unspecified address is taken for a place.
#[test]
fn a_place_that_is_this_node_or_none() {
    let place = Place::new();
    place.init("alice");
    place.init("bob");
    let alice = place.start("alice", &[]);
    let made = place.run("alice", &["invite"]).ok();
    assert!(made.err.contains("this machine only") && made.err.contains("--announce"), "{made:?}");
    let ticket = made.out.trim().to_string();
    for own in [&ticket, alice.address(), &alice.place()] {
        place.run("alice", &["join", own]).fails(1, &["this node itself"]);
    }
    let port = alice.address().rsplit(':').next().unwrap();
    place.run("alice", &["join", &format!("0.0.0.0:{port}")]).fails(1, &["every address of a machine"]);
    place.run("bob", &["run", "--announce", "0.0.0.0:4000"]).fails(1, &["0.0.0.0:4000", "others can reach"]);
    // One list of places for all nodes of a network may name the node itself.
    let args = ["--bootstrap", &alice.place(), "--announce", "203.0.113.9:4000"];
    let _bob = place.start("bob", &args);
    place.active("bob");
    let ticket = place.json("bob", &["invite"]).ok().json();
    assert_eq!(ticket[0]["addresses"][0], "203.0.113.9:4000");
    place.run("alice", &["join", &format!("[::ffff:127.0.0.1]:{port}")]).fails(1, &["this node itself"]);
}

#[test]
fn a_ticket_of_another_network() {
    let place = Place::new();
    let key = place.path().join("network");
    secret(&key, &"5".repeat(64));
    place.init("alice");
    place.init("bob");
    let alice = place.start("alice", &["--network-key-file", key.to_str().unwrap()]);
    let ticket = place.run("alice", &["invite"]).ok();
    assert!(ticket.err.contains("closed network"));
    let ticket = ticket.out.trim().to_string();
    let bob = place.start("bob", &[]);
    place.run("bob", &["join", &ticket]).fails(1, &["another network", "init"]);
    drop(bob);
    // A profile that never ran takes the ticket's network as its own.
    place.init("carol");
    place.run("carol", &["join", &ticket]).ok();
    let _carol = place.start("carol", &[]);
    place.active("carol");
    drop(alice);
}

#[test]
fn no_daemon() {
    let place = Place::new();
    place.init("alice");
    for verb in [&["leave"][..], &["invite"], &["recv", "--follow"]] {
        place.run("alice", verb).fails(7, &["no daemon", "donp run"]);
    }
}

#[test]
fn an_unknown_setting_and_a_wrong_value() {
    let place = Place::new();
    place.init("alice");
    std::fs::write(place.config(), "lisen = []\n").unwrap();
    place.run("alice", &["status"]).fails(1, &["'lisen'", "'listen'"]);
    std::fs::write(place.config(), "[link]\nkeepalive = \"soon\"\n").unwrap();
    place.run("alice", &["status"]).fails(1, &["link.keepalive", "config.toml"]);
    std::fs::write(place.config(), "").unwrap();
    place.run("alice", &["run", "--fault", "drop=much"]).fails(1, &["fault", "much", "flag --fault"]);
    place.run("alice", &["run", "--node-type", "king"]).fails(1, &["king"]);
}

#[test]
fn the_command_line_itself() {
    let place = Place::new();
    place.run("alice", &["fly"]).fails(2, &["fly"]);
    place.run("alice", &["send", "all"]).fails(2, &["send PEER TEXT", "'#team'"]);
    place.run("alice", &["send", "all", "-x"]).fails(2, &["send PEER -- '-x'"]);
    place.run("../x", &["status"]).fails(2, &["'../x'"]);
    place.run("alice", &["decode", "xyz"]).fails(2, &["hex"]);
    place.run("alice", &["decode", "00ff"]).fails(1, &["not a datagram"]);
    assert!(place.run("alice", &["--help"]).ok().out.contains("Exit codes"));
    place.init("alice");
    place.run("alice", &["send", "all", "x", "--wait", "delivered"]).fails(2, &["not acknowledged"]);
    place.run("alice", &["send", "all", "x", "--reply-to", "m1"]).fails(2, &["'m1'"]);
    place.run("alice", &["history", "--before", "x"]).fails(2, &["'x'"]);
}

#[test]
fn a_socket_path_that_is_too_long() {
    let place = Place::new();
    let long = place.path().join("x".repeat(100));
    let long = long.to_str().unwrap();
    place.run("alice", &["--state-dir", long, "init", "--name", "alice"]).ok();
    place.run("alice", &["--state-dir", long, "run"]).fails(1, &["path of", "--state-dir"]);
    // What needs no socket works.
    place.run("alice", &["--state-dir", long, "whoami"]).ok();
}
