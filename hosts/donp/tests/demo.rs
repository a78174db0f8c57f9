//! The demonstration, as people and as programs run it.

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use common::{Place, Ran, signal_process, until};
use serde_json::{Value, json};

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_donp"));
    command.arg("demo").args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Ran {
    demo(args).output().expect("the program starts").into()
}

fn verdict(ran: &Ran) -> Value {
    let lines = ran.json();
    assert!(lines.iter().all(|l| l["v"] == 1 && l["type"].is_string()), "{ran:?}");
    lines.last().expect("a verdict").clone()
}

#[test]
fn four_nodes_pass_and_the_last_line_says_so() {
    let ran = run(&["--json", "--messages", "4"]).ok();
    assert!(ran.out.lines().last().unwrap().starts_with(
        r#"{"v":1,"type":"verdict","pass":true,"nodes":4,"messages":26,"lost":0,"duplicates":0,"orders_equal":true,"#
    ));
    let verdict = verdict(&ran);
    assert_eq!((&verdict["broadcasts"], &verdict["private"]), (&json!(16), &json!(10)));
    assert_eq!(verdict["end_to_end"], true);
    // Fifteen were said before the removal and ten after it.
    let group =
        json!({ "messages": 25, "removed_member_reads": 0, "newcomer_reads": 25, "lost": 0, "orders_equal": true });
    assert_eq!(verdict["group"], group);
}

#[test]
fn people_read_a_story_that_ends_with_pass() {
    let ran = run(&["--messages", "2", "--nodes", "4"]).ok();
    for part in [
        "alice",
        "KILLED (SIGKILL)",
        "restarted: same node id",
        "was removed from #team",
        "PASS  one causal order on all 4 nodes",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert_eq!(ran.err, "");
}

#[test]
fn a_bad_network_passes_too() {
    let fault = "drop=10%,dup=5%,reorder=5%,corrupt=1%,delay=1..20ms";
    let ran = run(&["--json", "--messages", "5", "--fault", fault]).ok();
    assert_eq!(verdict(&ran)["pass"], true);
}

#[test]
fn two_nodes_where_the_survivor_is_alone_for_a_while() {
    let ran = run(&["--nodes", "2", "--messages", "3"]).ok();
    assert!(ran.out.contains("alice is DEGRADED"), "{}", ran.out);
}

#[test]
fn a_run_out_of_time_fails_and_says_what_was_missing() {
    let ran = run(&["--json", "--timeout", "1ms"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let verdict = verdict(&ran);
    assert_eq!(verdict["pass"], false);
    assert!(verdict["problems"][0].as_str().unwrap().contains("the time was over"), "{verdict}");
}

#[test]
fn what_is_kept_can_be_looked_at_and_is_not_overwritten() {
    let place = Place::new();
    let dir = place.path().join("kept");
    let dir = dir.to_str().unwrap();
    run(&["--messages", "2", "--keep", dir]).ok();
    let history = place.json("bob", &["--state-dir", dir, "history"]).ok().json();
    assert_eq!(history.iter().filter(|m| m["type"] == "message").count(), 8);
    run(&["--keep", dir]).fails(1, &["holds something"]);
}

/// The nodes of an interrupted run are gone: their profiles are free.
#[test]
fn ctrl_c_leaves_no_process_behind() {
    for signal in ["INT", "KILL"] {
        let place = Place::new();
        let dir = place.path().join("kept");
        let dir = dir.to_str().unwrap();
        let args = ["--json", "--messages", "1000", "--keep", dir];
        let mut child = demo(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let all_active = lines.find(|l| l.as_ref().unwrap().contains("are ACTIVE"));
        assert!(all_active.is_some());
        signal_process(child.id(), signal);
        let ended = until("the demo ends", || child.try_wait().unwrap());
        assert_eq!(ended.code(), if signal == "INT" { Some(130) } else { None });
        for name in ["alice", "bob", "carol"] {
            until("the node is gone", || {
                let here = place.run(name, &["--state-dir", dir, "--no-daemon", "whoami"]);
                (here.code == Some(0)).then_some(())
            });
        }
    }
}

#[test]
fn wrong_faults_are_refused_before_anything_starts() {
    run(&["--fault", "drop=lots"]).fails(2, &["--fault", "lots"]);
}
