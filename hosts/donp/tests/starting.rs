//! Which process may have a profile when: commands beside a daemon that starts, readers beside each other, a disk that
//! cannot be written, and another user's folder.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{BEFORE_A_LOOK, Place, Ran, signal_process, until, until_within};

/// The user `nobody` of every Linux.
const NOBODY: u32 = 65_534;

/// Fails if a command that has the profile for a moment ends the daemon, or the daemon that starts ends a command.
/// Mutation: `Lock::take` returns the first `InUse`.
#[test]
fn commands_given_while_the_daemon_starts_do_no_harm() {
    let place = Place::new();
    place.init("alice");
    let mut said = 0;
    for round in 0..4 {
        let text = format!("said in round {round}");
        let verbs: [&[&str]; 5] =
            [&["status"], &["send", "all", &text, "--wait", "none"], &["history"], &["whoami"], &["recv"]];
        let mut children: Vec<_> = (0..10)
            .map(|n| {
                let mut command = place.command("alice", verbs[n % verbs.len()]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                command
            })
            .collect();
        let later = children.split_off(5);
        let spawn = |commands: Vec<Command>| commands.into_iter().map(|mut c| c.spawn().unwrap()).collect::<Vec<_>>();
        let mut running = spawn(children);
        let mut starts = place.command("alice", &["--json", "run", "--listen", "127.0.0.1:0"]);
        let mut daemon = starts.stdout(Stdio::null()).spawn().unwrap();
        running.extend(spawn(later));
        for child in running {
            Ran::from(child.wait_with_output().unwrap()).ok();
        }
        said += 2;
        assert_eq!(daemon.try_wait().unwrap(), None, "the daemon runs");
        assert_eq!(place.texts("alice", "all").len(), said);
        signal_process(daemon.id(), "TERM");
        daemon.wait().unwrap();
    }
}

/// The program as a user who is not root: permissions bind no root. None, with the reason, where that cannot be.
fn as_owner(place: &Place, args: &[&str]) -> Option<Command> {
    let mut command = place.command("alice", args);
    if fs::metadata(place.path()).expect("a folder").uid() != 0 {
        return Some(command);
    }
    command.uid(NOBODY).gid(NOBODY);
    let mut tried = Command::new(env!("CARGO_BIN_EXE_donp"));
    if tried.arg("version").uid(NOBODY).gid(NOBODY).stdout(Stdio::null()).status().is_ok_and(|s| s.success()) {
        return Some(command);
    }
    assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "nothing may be skipped here");
    eprintln!("SKIPPED: another user cannot run the program where it was built");
    None
}

fn give(path: &Path, owner: u32) {
    chown(path, Some(owner), Some(owner)).expect("root may");
    if path.is_dir() {
        fs::read_dir(path).expect("a folder").for_each(|e| give(&e.expect("an entry").path(), owner));
    }
}

/// Mutation: `open_to_read` gives up when the file cannot be opened to write.
#[test]
fn a_profile_on_a_disk_that_cannot_be_written_is_read() {
    let place = Place::new();
    place.init("alice");
    place.run("alice", &["send", "all", "before", "--wait", "none"]).ok();
    let Some(mut history) = as_owner(&place, &["history"]) else { return };
    if fs::metadata(place.path()).unwrap().uid() == 0 {
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(place.path().join("s"), Permissions::from_mode(0o755)).unwrap();
        give(&place.path().join("s"), NOBODY);
    }
    let dir = place.path().join("s/alice");
    for entry in fs::read_dir(&dir).unwrap() {
        fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(0o400)).unwrap();
    }
    fs::set_permissions(&dir, Permissions::from_mode(0o500)).unwrap();
    let shown = Ran::from(history.output().unwrap()).ok();
    assert!(shown.out.contains("before"), "{shown:?}");
    let run = |args: &[&str]| Ran::from(as_owner(&place, args).unwrap().output().unwrap());
    run(&["whoami"]).ok();
    run(&["status"]).ok();
    for verb in [&["send", "all", "x"][..], &["run"], &["recv"]] {
        let refused = run(verb);
        assert_eq!(refused.code, Some(6), "{refused:?}");
    }
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
}

/// Mutation: `exists` takes every error for a file that is not there.
#[test]
fn another_users_profile_is_not_a_missing_one() {
    let place = Place::new();
    place.init("alice");
    let Some(mut whoami) = as_owner(&place, &["whoami"]) else { return };
    for dir in [place.path(), &place.path().join("s")] {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    }
    let dir = place.path().join("s/alice");
    fs::set_permissions(&dir, Permissions::from_mode(0o000)).unwrap();
    Ran::from(whoami.output().unwrap()).fails(6, &["permission denied", "another --profile"]);
    let run = as_owner(&place, &["run"]).unwrap().output().unwrap();
    Ran::from(run).fails(6, &["permission denied"]);
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
}

/// Mutations: `apply` leaves out `announce`, or says nothing of what stays; `set_announced` does not look around.
#[test]
fn settings_read_again_are_announced_or_said_to_wait() {
    let place = Place::new();
    place.init("alice");
    let log = place.path().join("log");
    let alice = place.start_logged("alice", &[], &log);
    let announce = |addresses: &str| {
        let settings = format!("announce = [{addresses}]\n[gossip]\nttl = 9\n");
        fs::write(place.config(), settings).unwrap();
        signal_process(alice.pid(), "HUP");
    };
    let announced = || -> Vec<String> {
        let ticket: donp_core::Ticket = place.run("alice", &["invite"]).ok().out.trim().parse().unwrap();
        ticket.addrs.iter().map(ToString::to_string).collect()
    };
    announce("\"203.0.113.9:4000\"");
    until_within(BEFORE_A_LOOK, "it is announced", || (announced() == ["203.0.113.9:4000"]).then_some(()));
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.lines().any(|line| line.contains("gossip.ttl") && line.contains("until the next start")), "{said}");
    assert!(!said.contains("announce stays"), "{said}");
    announce("");
    until_within(BEFORE_A_LOOK, "it is not announced any more", || (announced() == [alice.address()]).then_some(()));
}

/// Mutation: `apply` leaves out `bootstrap`.
#[test]
fn a_daemon_reads_its_settings_again() {
    let place = Place::new();
    place.init("alice");
    place.init("bob");
    let bob = place.start("bob", &[]);
    let alice = place.start("alice", &[]);
    fs::write(place.config(), "listen = 7\n").unwrap();
    signal_process(alice.pid(), "HUP");
    // What does not read changes nothing; the daemon goes on.
    fs::write(place.config(), format!("[profile.alice]\nbootstrap = [\"{}\"]\n", bob.place())).unwrap();
    until("alice finds bob", || {
        signal_process(alice.pid(), "HUP");
        let status = place.json("alice", &["status"]).json();
        (status[0]["neighbours"] != 0).then_some(())
    });
    assert_eq!(alice.stop("TERM"), Some(0));
}
