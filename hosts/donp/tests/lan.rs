//! Nodes that do not know of each other find each other by multicast, and talk.
#![cfg(target_os = "linux")]

mod common;

use common::{Daemon, Place, alone, in_a_network_of_its_own, secret, until};

fn deaf(daemon: &Place, profile: &str) -> bool {
    daemon.status(profile)["lan"].as_array().is_none_or(Vec::is_empty)
}

#[test]
fn two_nodes_that_were_told_nothing_meet_and_chat() {
    if !alone() {
        if let Some(ran) = in_a_network_of_its_own("two_nodes_that_were_told_nothing_meet_and_chat") {
            let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            assert!(ran.status.success() && out.contains("1 passed"), "{out}{err}");
            return eprint!("{err}");
        }
        eprintln!("no network namespace here: on this machine's own loopback, in a closed network");
    }
    // Each has a folder, a state and a configuration file of its own, and that file is empty.
    let (alices, bobs) = (Place::new(), Place::new());
    alices.init("alice");
    bobs.init("bob");
    let key = alices.path().join("key");
    secret(&key, &"5d".repeat(32));
    let closed = ["--listen", "127.0.0.1:0", "--network-key-file", key.to_str().expect("UTF-8")];
    let args: &[&str] = if alone() { &[] } else { &closed };
    let alice = alices.start_near("alice", args);
    if deaf(&alices, "alice") {
        assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "no multicast, and nothing may be skipped here");
        return eprintln!("SKIPPED: there is neither a network namespace nor multicast on loopback");
    }
    let bob = bobs.start_near("bob", args);
    // Each began a network of its own, as it knew of no other node.
    for daemon in [&alice, &bob] {
        assert_eq!(daemon.ready["state"], "ACTIVE");
    }
    alices.active("alice");
    bobs.active("bob");

    alices.run("alice", &["send", "bob", "hello", "--wait", "delivered"]).ok();
    bobs.run("bob", &["send", "alice", "hi", "--wait", "delivered"]).ok();
    bobs.run("bob", &["send", "all", "anybody?"]).ok();
    until("alice hears it", || (alices.texts("alice", "all") == ["anybody?"]).then_some(()));
    assert_eq!(alices.texts("alice", "bob"), ["hello", "hi"]);
    assert_eq!(bobs.texts("bob", "alice"), ["hello", "hi"]);

    // Near, but of another network: received, counted and left alone.
    let strangers = Place::new();
    strangers.init("eve");
    let other = strangers.path().join("key");
    secret(&other, &"6e".repeat(32));
    let listen: &[&str] = if alone() { &[] } else { &closed[..2] };
    let eve_args = [listen, &["--network-key-file", other.to_str().expect("UTF-8")]].concat();
    let _eve: Daemon = strangers.start_near("eve", &eve_args);
    until("eve hears beacons", || (strangers.status("eve")["drops"]["other_network"].as_u64() > Some(0)).then_some(()));
    let status = strangers.status("eve");
    assert_eq!((status["links"].as_u64(), status["known"].as_u64()), (Some(0), Some(0)), "{status}");
    eprintln!("two nodes met by multicast and talked ({})", if alone() { "own network" } else { "own loopback" });
}
