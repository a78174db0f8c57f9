//! A profile whose file was changed, cut, removed or put back, and the verbs that care for one: `check`, `backup`, `restore`.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Place, run_by, secret, until};
use serde_json::Value;

fn file(place: &Place, profile: &str) -> PathBuf {
    place.path().join("s").join(profile).join("node.db")
}

fn texts_of(n: std::ops::Range<u32>) -> Vec<String> {
    n.map(|n| format!("text {n}")).collect()
}

/// Says `text N` to all for each of `n`, with one process.
fn say(place: &Place, profile: &str, n: std::ops::Range<u32>) {
    for text in texts_of(n) {
        place.run(profile, &["send", "all", &text, "--wait", "none"]).ok();
    }
}

/// Rows that are gone are said by each command for people, and come back from others.
/// Mutations: `Worker::fetch_again` does nothing; `Gaps::look` finds none; only pages for people are marked.
#[test]
fn messages_that_a_disk_lost_are_said_and_come_back() {
    let place = Place::new();
    let (alice, bob) = place.pair();
    say(&place, "alice", 0..12);
    until("bob has all", || (place.texts("bob", "all") == texts_of(0..12)).then_some(()));
    place.run("alice", &["send", "bob", "private", "--wait", "delivered"]).ok();
    bob.stop("TERM");
    {
        let db = rusqlite::Connection::open(file(&place, "bob")).unwrap();
        // Five of the rows of entries, wherever they are.
        let sql =
            "DELETE FROM records WHERE tbl = 160 AND key IN (SELECT key FROM records WHERE tbl = 160 LIMIT 5 OFFSET 3)";
        assert_eq!(db.execute(sql, []).unwrap(), 5);
    }
    let check = place.json("bob", &["check"]);
    assert_eq!(check.code, Some(6), "{check:?}");
    assert!(check.json()[0]["problems"].to_string().contains("5 of chat.entries"), "{check:?}");
    let shown = place.run("bob", &["history", "all"]).ok();
    assert!(shown.err.contains("5 records of this profile are lost"), "no hole without a word: {shown:?}");
    let place_of = |text: &str| shown.out.lines().position(|l| l.contains(text)).unwrap_or_else(|| panic!("{shown:?}"));
    assert_eq!(shown.out.matches("⋮ this profile lost messages here").count(), 1, "{shown:?}");
    assert_eq!(place_of("⋮ this profile lost messages here") + 1, place_of("text 8"), "{shown:?}");
    let originals = place.run("bob", &["history", "all", "--originals"]).ok();
    assert_eq!(originals.out.matches("⋮ this profile lost messages here").count(), 1, "{originals:?}");
    let json = place.json("bob", &["history", "all"]);
    let gaps: Vec<bool> = json.json().iter().map(|m| m["gap_before"] == true).collect();
    assert_eq!(gaps.iter().filter(|gap| **gap).count(), 1, "{json:?}");
    assert!(json.err.contains("5 records of this profile are lost"), "{json:?}");
    let status = place.run("bob", &["status"]).ok().out;
    assert!(status.contains("TROUBLE") && status.contains("5 records"), "{status}");
    let _bob = place.start("bob", &["--bootstrap", &alice.place()]);
    until("what was lost comes back", || (place.texts("bob", "all") == texts_of(0..12)).then_some(()));
    assert_eq!(place.texts("bob", "alice"), ["private"]);
    // What a person has seen is settled.
    place.run("bob", &["check"]).ok();
}

/// A repair ends the warning. What is missing stays marked, until others have sent it again.
/// Mutations: `mend::settle` writes no `settled`; `Gaps` asks for what is not settled only.
#[test]
fn a_repaired_profile_shows_where_messages_are_missing() {
    let place = Place::new();
    let (alice, bob) = place.pair();
    say(&place, "alice", 0..8);
    until("bob has all", || (place.texts("bob", "all") == texts_of(0..8)).then_some(()));
    bob.stop("TERM");
    let sql =
        "DELETE FROM records WHERE tbl = 160 AND key IN (SELECT key FROM records WHERE tbl = 160 LIMIT 3 OFFSET 3)";
    assert_eq!(rusqlite::Connection::open(file(&place, "bob")).unwrap().execute(sql, []).unwrap(), 3);
    let repaired = place.run("bob", &["check", "--repair"]).ok().out;
    assert!(repaired.contains("repaired: 3 of chat.entries are lost"), "{repaired}");
    for args in [&["history", "all"][..], &["history", "all", "--originals"]] {
        let shown = place.run("bob", args).ok();
        assert_eq!(shown.out.matches("⋮ this profile lost messages here").count(), 1, "{shown:?}");
        assert!(!shown.err.contains("are lost"), "the warning ended: {shown:?}");
    }
    let gaps = place.json("bob", &["history", "all"]).json();
    assert_eq!(gaps.iter().filter(|m| m["gap_before"] == true).count(), 1, "{gaps:?}");
    let status = place.run("bob", &["status"]).ok().out;
    assert!(!status.contains("TROUBLE") && status.contains("3 records before a repair"), "{status}");
    let status = place.status("bob");
    assert_eq!((&status["damaged_records"], &status["lost_records"]), (&0.into(), &3.into()));
    let checked = place.run("bob", &["check"]).ok().out;
    assert!(checked.contains("lost before: 3 of chat.entries"), "{checked}");
    let _bob = place.start("bob", &["--bootstrap", &alice.place()]);
    until("what was lost comes back", || (place.texts("bob", "all") == texts_of(0..8)).then_some(()));
    let shown = place.run("bob", &["history", "all"]).ok();
    assert_eq!(shown.out.matches('⋮').count(), 0, "{shown:?}");
}

#[test]
fn a_damaged_file_is_salvaged_and_kept() {
    let place = Place::new();
    place.init("alice");
    say(&place, "alice", 0..30);
    let path = file(&place, "alice");
    let mut bytes = fs::read(&path).unwrap();
    // The header of a page: SQLite does not read what is below it.
    bytes[4_096 * 2] ^= 0x40;
    fs::write(&path, &bytes).unwrap();
    let shown = place.run("alice", &["history", "--limit", "100"]).ok();
    assert!(shown.err.contains("damaged-"), "says where the damaged file is: {shown:?}");
    assert_eq!(place.texts("alice", "all"), texts_of(0..30));
    let kept = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
    assert!(fs::read(kept.join("node.db")).unwrap() == bytes, "never deleted");
    let checked = place.run("alice", &["check", "--repair"]).ok().out;
    assert!(checked.contains("repaired: nothing is lost"), "{checked}");
    place.run("alice", &["check"]).ok();
}

/// Mutation: a restored profile goes on in the log of the backup: the other nodes see a fork.
#[test]
fn a_backup_taken_while_running_is_restored_as_a_new_life() {
    let place = Place::new();
    let (alice, bob) = place.pair();
    say(&place, "alice", 0..3);
    let folder = place.path().join("backups/monday");
    fs::create_dir(folder.parent().unwrap()).unwrap();
    let folder = folder.to_str().unwrap();
    let made = place.run("alice", &["backup", folder]).ok();
    assert!(made.out.contains("is copied to") && made.err.contains("key"), "{made:?}");
    place.run("alice", &["backup", folder]).fails(1, &["already", "new folder or file"]);
    place.run("alice", &["restore", folder]).fails(1, &["already", "move that folder away"]);
    say(&place, "alice", 3..5);
    until("bob has all", || (place.texts("bob", "all") == texts_of(0..5)).then_some(()));
    let id = alice.field("id").to_owned();
    alice.kill();
    fs::remove_dir_all(place.path().join("s/alice")).unwrap();
    place.run("alice", &["restore", "/nowhere/at/all"]).fails(1, &["no backup"]);
    place.run("alice", &["restore", folder]).ok();
    assert_eq!(place.json("alice", &["whoami"]).ok().json()[0]["id"], id);
    // It sends before it has met any node.
    say(&place, "alice", 5..6);
    let _alice = place.start("alice", &["--bootstrap", &bob.place()]);
    for who in ["alice", "bob"] {
        until("both show all", || {
            let mut all = place.texts(who, "all");
            all.sort_unstable();
            (all == texts_of(0..6)).then_some(())
        });
    }
    let lines = place.json("bob", &["history", "all"]).ok().json();
    let lives = |text: &str| lines.iter().find(|m| m["text"] == text).expect("a message")["life"].clone();
    assert_eq!(lives("text 0"), lives("text 4"));
    assert_ne!(lives("text 4"), lives("text 5"));
    let events = place.json("bob", &["recv", "--no-ack", "--from", "0"]).ok().json();
    let forks: Vec<&Value> = events.iter().filter(|e| e["type"] == "forked").collect();
    assert_eq!(forks, [&Value::Null; 0]);
    place.run("alice", &["check"]).ok();
}

/// Mutation: `backup` makes a folder of every name.
#[test]
fn a_backup_in_one_file_is_taken_while_running_and_restored() {
    let place = Place::new();
    place.init("alice");
    let alice = place.start("alice", &[]);
    say(&place, "alice", 0..3);
    let file = place.path().join("alice.donp");
    let file = file.to_str().unwrap();
    place.run("alice", &["backup", file]).ok();
    assert!(fs::metadata(file).unwrap().is_file());
    place.run("alice", &["backup", file]).fails(1, &["already", "new folder or file"]);
    place.run("copy", &["restore", file]).ok();
    assert_eq!(place.texts("copy", "all"), texts_of(0..3));
    assert_eq!(place.json("copy", &["whoami"]).ok().json()[0]["id"], alice.ready["id"]);
    place.run("copy", &["check"]).ok();
    place.run("other", &["restore", place.config().to_str().unwrap()]).fails(6, &["not a backup", "donp backup"]);
}

/// Mutation: `is_in_place` is always true: the file is gone when the daemon ends.
#[test]
fn a_file_that_is_removed_under_a_running_node_is_written_again() {
    let place = Place::new();
    place.init("alice");
    let alice = place.start("alice", &[]);
    say(&place, "alice", 0..3);
    for name in ["node.db", "node.db-wal", "node.db-shm"] {
        let _ = fs::remove_file(file(&place, "alice").with_file_name(name));
    }
    say(&place, "alice", 3..5);
    alice.kill();
    assert_eq!(place.texts("alice", "all"), texts_of(0..5));
}

/// The calls by which a command made folders and synced them; none where there is no `strace`, or nothing may be traced.
fn folder_calls(command: &std::process::Command, log: &std::path::Path) -> Option<Vec<String>> {
    let calls = "trace=mkdir,mkdirat,fsync,fdatasync";
    let mut traced = std::process::Command::new("strace");
    traced.args(["-f", "-y", "-e", calls, "-o"]).arg(log);
    let ran = run_by(traced, command).output().ok()?;
    let log = fs::read_to_string(log).unwrap_or_default();
    if log.is_empty() {
        return None;
    }
    assert!(ran.status.success(), "{ran:?}");
    Some(log.lines().filter(|call| call.ends_with("= 0")).map(Into::into).collect())
}

/// A folder whose name is not on the disk is lost with the power, and all that is in it.
/// Mutations: `make_dirs` syncs nothing; `restore` calls `create_dir_all`.
#[test]
fn every_new_folder_is_synced_into_the_one_above() {
    let place = Place::new();
    place.init("alice");
    let at = |name: &str| place.path().join(name).to_str().expect("UTF-8").to_owned();
    secret(&place.path().join("pass"), "on the road");
    let (backup, export, pass) = (at("b/one/two"), at("alice.export"), at("pass"));
    place.run("alice", &["profile", "export", &export, "--export-passphrase-file", &pass]).ok();
    let [init, restore, import] = ["i/one/two", "r/one/two", "m/one/two"].map(at);
    let commands: [&[&str]; 4] = [
        &["--state-dir", &init, "init", "--name", "Carol"],
        &["backup", &backup],
        &["--state-dir", &restore, "restore", &backup],
        &["--state-dir", &import, "profile", "import", &export, "--export-passphrase-file", &pass],
    ];
    for command in commands {
        let Some(calls) = folder_calls(&place.command("alice", command), &place.path().join("strace")) else {
            assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "nothing may be skipped here");
            return eprintln!("SKIPPED: there is no strace, or the system lets no process be traced");
        };
        let made =
            |call: &String| call.contains("mkdir").then(|| PathBuf::from(call.split('"').nth(1).expect("a path")));
        let synced =
            |call: &String| call.contains("sync").then(|| call.split(['<', '>']).nth(1).expect("a path").to_owned());
        let folders: Vec<(usize, PathBuf)> =
            calls.iter().enumerate().filter_map(|(n, call)| Some((n, made(call)?))).collect();
        assert!(folders.len() >= 3, "{command:?}: {calls:#?}");
        for (n, folder) in folders {
            let above = folder.parent().expect("a folder above").to_str();
            let is_synced = calls.iter().skip(n).filter_map(synced).any(|path| Some(path.as_str()) == above);
            assert!(is_synced, "{command:?}: {} has no name on the disk: {calls:#?}", folder.display());
        }
    }
}

/// A disk of 700 KiB in a namespace of its own, where the system gives one.
/// Mutation: the old text, "nothing was lost", for whatever was taken.
#[test]
fn a_full_disk_says_whether_a_message_was_taken() {
    let place = Place::new();
    let disk = place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let donp = format!(
        "{} --state-dir {} --config {} -p alice",
        env!("CARGO_BIN_EXE_donp"),
        disk.display(),
        place.config().display()
    );
    let inside = |script: &str| {
        let script = format!("mount -t tmpfs -o size=700k tmpfs {} || exit 99; {script}", disk.display());
        let mut command = std::process::Command::new("unshare");
        command.env("DONP_DISCOVERY_LAN", "off").args(["-rm", "sh", "-c", &script]);
        command
            .output()
            .ok()
            .map(|o| (o.status.code(), String::from_utf8(o.stdout).unwrap(), String::from_utf8(o.stderr).unwrap()))
    };
    if !matches!(inside("true"), Some((Some(0), ..))) {
        assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "nothing may be skipped here");
        return eprintln!("SKIPPED: this system gives no small disk to a test");
    }
    let fill = format!("head -c 9000000 /dev/zero > {}/fill 2>/dev/null", disk.display());
    let fails = "echo failed $? >&2";
    // No daemon: the process ends with its command.
    let script = format!(
        "{donp} init --name alice && {donp} send all first --wait none && {{ {fill}; \
         {donp} send all 'gone' --wait none || {fails}; rm {}/fill; {donp} send all second --wait none; {donp} history; }}",
        disk.display()
    );
    let (_, out, err) = inside(&script).expect("a moment ago it was");
    assert!(err.contains("failed 6") && (err.contains("was not stored") || err.contains("disk is full")), "{out}{err}");
    assert!(!out.contains("gone") && out.contains("first") && out.contains("second"), "{out}{err}");
    // A daemon: one message is in its memory, named, and written when there is room; the next one is refused.
    let script = format!(
        "{donp} init --name alice && {{ {donp} run --listen 127.0.0.1:0 & }}; sleep 1; {donp} send all first --wait none; \
         {fill}; {donp} send all 'in memory' --wait none || {fails}; {donp} send all refused --wait none || {fails}; \
         rm {}/fill; sleep 2; {donp} send all last --wait none; {donp} history; kill $!; wait",
        disk.display()
    );
    let (_, out, err) = inside(&script).expect("a moment ago it was");
    assert!(err.contains("is in the node's memory and not on the disk"), "{out}{err}");
    assert!(err.contains("the disk is full: nothing was stored"), "{out}{err}");
    let shown: Vec<&str> =
        out.lines().filter(|l| l.contains("  alice  ")).map(|l| l.rsplit("  ").next().unwrap()).collect();
    assert_eq!(shown, ["first", "in memory", "last"], "{out}{err}");
}

/// A disk that can be read is read: also what a killed node left in its log, with or without the index of the log, which SQLite
/// would make beside it. It is copied from there too.
/// Mutations: `open_to_read` reads the file alone; `copy_database` opens the file to write.
#[test]
fn a_profile_on_a_read_only_disk_is_read_and_copied() {
    let place = Place::new();
    place.init("alice");
    say(&place, "alice", 0..3);
    let folder = place.path().join("s/alice");
    let donp = format!(
        "{} --state-dir {} --config {} -p alice",
        env!("CARGO_BIN_EXE_donp"),
        place.path().join("s").display(),
        place.config().display()
    );
    let pass = place.path().join("pass");
    secret(&pass, "on the road");
    let read_only = |script: &str| -> common::Ran {
        let (folder, script) = (folder.display(), script.replace("donp ", &format!("{donp} ")));
        let script = format!(
            "mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} || exit 99; \
             ! touch {folder}/x 2>/dev/null || exit 99; {script}"
        );
        let mut command = std::process::Command::new("unshare");
        command.env("DONP_DISCOVERY_LAN", "off").args(["-rm", "sh", "-c", &script]).output().expect("unshare").into()
    };
    if read_only("true").code != Some(0) {
        assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "nothing may be skipped here");
        return eprintln!("SKIPPED: this system makes no folder read-only for a test");
    }
    let is_read_and_copied = |case: &str, n: u32| {
        let shown = read_only("donp --json history --limit 100").ok();
        let texts: Vec<_> = shown.json().iter().filter_map(|m| m["text"].as_str().map(str::to_owned)).collect();
        assert_eq!(texts, texts_of(0..n), "{case}");
        read_only("donp check").ok();
        for (how, to) in [("folder", "copy"), ("file", "copy.donp")] {
            let (name, to) = (format!("{case}-{how}"), place.path().join(format!("{case}-{to}")));
            read_only(&format!("donp backup {}", to.display())).ok();
            place.run(&name, &["restore", to.to_str().expect("UTF-8")]).ok();
            assert_eq!(place.texts(&name, "all"), texts_of(0..n), "{name}");
        }
        let (name, to) = (format!("{case}-export"), place.path().join(format!("{case}.export")));
        let passphrase = format!("--export-passphrase-file {}", pass.display());
        read_only(&format!("donp profile export {} {passphrase}", to.display())).ok();
        let import = ["profile", "import", to.to_str().expect("UTF-8"), "--export-passphrase-file"];
        place.run(&name, &[&import[..], &[pass.to_str().expect("UTF-8")]].concat()).ok();
        assert_eq!(place.texts(&name, "all"), texts_of(0..n), "{name}");
    };
    is_read_and_copied("closed", 3);

    let alice = place.start("alice", &[]);
    say(&place, "alice", 3..6);
    alice.kill();
    assert!(fs::metadata(folder.join("node.db-wal")).expect("a log").len() > 0);
    is_read_and_copied("killed", 6);
    fs::remove_file(folder.join("node.db-shm")).expect("an index of the log");
    is_read_and_copied("moved", 6);
    // What was only read is as it was.
    assert!(fs::metadata(folder.join("node.db-wal")).expect("a log").len() > 0);
    assert_eq!(place.texts("alice", "all"), texts_of(0..6));
}

/// A profile goes to another machine while its node runs, and what it says there is another log of the same device. Then its
/// passphrase is changed.
#[test]
fn a_profile_is_exported_imported_and_protected_anew() {
    let (here, there) = (Place::new(), Place::new());
    let (alice, bob) = here.pair();
    say(&here, "alice", 0..3);
    until("bob has all", || (here.texts("bob", "all") == texts_of(0..3)).then_some(()));
    let pass = here.path().join("pass");
    secret(&pass, "on the road");
    let file = here.path().join("alice.export");
    let (pass, file) = (pass.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    here.run("alice", &["profile", "export", file]).fails(2, &["a passphrase of its own", "--export-passphrase-file"]);
    let export = ["profile", "export", file, "--export-passphrase-file", pass];
    let said = here.run("alice", &export).ok().out;
    assert!(said.contains("only that passphrase opens it"), "{said}");
    here.run("alice", &export).fails(1, &["is there already"]);
    alice.stop("TERM");

    let wrong = there.path().join("wrong");
    secret(&wrong, "a guess");
    let import = |pass: &str| there.run("alice", &["profile", "import", file, "--export-passphrase-file", pass]);
    import(wrong.to_str().expect("UTF-8")).fails(6, &["passphrase is wrong", "of the export"]);
    import(pass).ok();
    import(pass).fails(1, &["there is a profile", "profile import"]);
    let ids = [&here, &there].map(|place| place.json("alice", &["whoami"]).ok().json()[0]["id"].clone());
    assert_eq!(ids[0], ids[1]);
    let _alice = there.start("alice", &["--bootstrap", &bob.place()]);
    there.active("alice");
    there.run("alice", &["send", "bob", "from there", "--wait", "delivered"]).ok();
    assert_eq!(there.texts("alice", "all"), texts_of(0..3));
    assert_eq!(here.texts("bob", "alice"), ["from there"]);

    let new = here.path().join("new");
    secret(&new, "a new one");
    let new = new.to_str().expect("UTF-8");
    here.run("alice", &["profile", "passphrase"]).fails(2, &["--new-passphrase-file"]);
    here.run("alice", &["profile", "passphrase", "--new-passphrase-file", new]).ok();
    here.run("alice", &["history", "all"]).fails(6, &["protected by a passphrase"]);
    assert!(here.run("alice", &["--passphrase-file", new, "history", "all"]).ok().out.contains("text 2"));
    here.run("alice", &["--passphrase-file", new, "profile", "passphrase", "--none"]).ok();
    assert_eq!(here.texts("alice", "all"), texts_of(0..3));
}
