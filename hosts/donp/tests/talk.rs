//! What a person types and reads: sending, history and followers, with the real program.

mod common;

use std::fs::OpenOptions;
use std::process::Stdio;

use common::{Place, Ran, until};
use serde_json::{Value, json};

/// The lines that a person sees.
fn shown(place: &Place, profile: &str, args: &[&str]) -> Vec<String> {
    place.run(profile, &[&["history"], args].concat()).ok().out.lines().map(String::from).collect()
}

/// The id of a line, as it is shown.
fn id_of(line: &str) -> &str {
    line.split_whitespace().nth(2).expect("date, time, id")
}

fn text_of(line: &str) -> &str {
    line.split_once("alice  ").expect("its author").1
}

/// Mutations: the default of `--wait` is sent; `state_now` takes every message for delivered.
#[test]
fn send_answers_at_once_and_waits_when_asked() {
    let place = Place::new();
    let (_alice, bob) = place.pair();
    let state = place.json("alice", &["send", "bob", "hello", "--wait", "delivered"]).ok().json()[0]["state"].clone();
    assert_eq!((state, place.texts("bob", "alice")), (json!("delivered"), vec!["hello".to_owned()]));
    bob.kill();
    until("alice noticed", || (place.status("alice")["links"] == 0).then_some(()));
    let kept = place.run("alice", &["send", "bob", "later"]).ok();
    assert!(kept.out.starts_with("stored; it is sent when bob reconnects  "), "{kept:?}");
    let id = kept.out.trim().rsplit("  ").next().unwrap().to_owned();
    let sent = place.json("alice", &["send", "bob", "too"]).ok().json().remove(0);
    assert_eq!((&sent["state"], &sent["reached"]), (&json!("queued"), &json!(true)));
    for wait in ["sent", "delivered"] {
        let unreached = place.run("alice", &["send", "bob", wait, "--wait", wait, "--timeout", "100ms"]);
        unreached.fails(3, &["stays queued", "donp peers"]);
    }
    let lines = shown(&place, "alice", &["bob"]);
    assert!(lines[1].contains(&id) && lines[1].ends_with("later (queued)"), "{lines:?}");
    let all = place.run("alice", &["send", "all", "hi"]).ok();
    assert!(all.out.starts_with("stored; no other node is connected"), "{all:?}");
}

#[test]
fn without_a_daemon_it_is_kept_until_the_node_runs() {
    let place = Place::new();
    place.init("alice");
    let kept = place.run("alice", &["send", "all", "hi"]).ok();
    assert!(kept.out.starts_with("stored; it is sent when this node runs: `donp -p alice run`  "), "{kept:?}");
}

/// Mutations: words are joined without a blank; `-` among other words reads stdin.
#[test]
fn words_and_dashes_are_said_as_they_are_meant() {
    let place = Place::new();
    place.init("alice");
    let says: [&[&str]; 4] = [&["hello", "world"], &["--", "-x"], &["a", "-", "b"], &["--", "--wait", "sent"]];
    for words in says {
        place.run("alice", &[&["send", "all"], words].concat()).ok();
    }
    place.with_stdin("alice", &["send", "all", "-"], "from stdin\n").ok();
    assert_eq!(place.texts("alice", "all"), ["hello world", "-x", "a - b", "--wait sent", "from stdin"]);
    place.run("alice", &["send", "all", "-x"]).fails(2, &["a text that begins with a dash goes after --"]);
}

/// Mutation: `send` prints with `Output::value`.
#[test]
fn an_answer_that_stdout_does_not_take_says_what_was_done() {
    let place = Place::new();
    place.init("alice");
    let verbs: [&[&str]; 3] = [&["send", "all", "hi"], &["--json", "send", "all", "too"], &["group", "create", "team"]];
    for verb in verbs {
        let mut command = place.command("alice", verb);
        let full = OpenOptions::new().write(true).open("/dev/full").expect("a disk that is full");
        let ran = Ran::from(command.stdout(full).stderr(Stdio::piped()).output().unwrap());
        ran.fails(1, &["stdout cannot be written", "do not repeat the command"]);
    }
    let said = place.command("alice", &["send", "all", "last"]).stdout(gone()).stderr(Stdio::piped()).output().unwrap();
    Ran::from(said).fails(1, &["stored;", "do not repeat the command"]);
    assert_eq!(place.texts("alice", "all"), ["hi", "too", "last"]);
}

/// A pipe without a reader.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Mutations: an id is taken whole only; `fold` does nothing; a reaction that was taken back shows.
#[test]
fn what_is_shown_is_short_folded_and_accepted() {
    let place = Place::new();
    place.init("alice");
    let say = |args: &[&str]| place.run("alice", &[&["send", "all"], args].concat()).ok();
    for text in ["one", "two", "three"] {
        say(&[text]);
    }
    let lines = shown(&place, "alice", &[]);
    let ids: Vec<&str> = lines.iter().map(|l| id_of(l)).collect();
    assert!(ids.iter().all(|id| id.len() <= 9), "{ids:?}");
    say(&["uno", "--edit", ids[0]]);
    say(&["👍", "--react", ids[2]]);
    say(&["👍", "--react", &ids[2].replace('-', "")[..6]]);
    say(&["🎉", "--react", ids[2]]);
    say(&["😡", "--react", ids[2]]);
    say(&["--retract", ids[1]]);
    say(&["answer", "--reply-to", ids[2]]);
    let originals = shown(&place, "alice", &["--originals"]);
    let texts: Vec<&str> = originals.iter().map(|l| text_of(l)).collect();
    let about = |kind: &str, n: usize, text: &str| format!("({kind} {}) {text}", ids[n]);
    let wanted = [
        "one (edited later)".to_owned(),
        "two (retracted)".into(),
        "three".into(),
        about("edit of", 0, "uno"),
        about("react to", 2, "👍"),
        about("react to", 2, "👍"),
        about("react to", 2, "🎉"),
        about("react to", 2, "😡"),
        about("retract", 1, ""),
        about("reply to", 2, "answer"),
    ];
    assert_eq!(texts, wanted);
    say(&["--retract", id_of(&originals[7])]);
    let folded = [
        "uno (edited)".to_owned(),
        "(retracted)".into(),
        "three".into(),
        "└ 👍 alice  🎉 alice".into(),
        about("reply to", 2, "answer"),
    ];
    let texts_now = |args: &[&str]| -> Vec<String> {
        let text =
            |l: &String| l.split_once("alice  ").filter(|_| !l.contains('└')).map_or(l.trim(), |(_, t)| t).to_owned();
        shown(&place, "alice", args).iter().map(text).collect()
    };
    assert_eq!(texts_now(&[]), folded);
    // Reactions are newer than this page.
    assert_eq!(texts_now(&["--limit", "2"]), folded[2..]);
    let answer = id_of(shown(&place, "alice", &[]).last().unwrap()).to_owned();
    assert_eq!(texts_now(&["--before", &answer]), folded[..4]);
    assert_eq!(texts_now(&["--search", "THREE"]), folded[2..4]);
    let older = place.run("alice", &["history", "--limit", "1"]).ok().err;
    assert!(older.contains(&format!("donp -p alice history all --before {answer}")), "{older}");
    let lines = place.json("alice", &["history"]).ok().json();
    assert_eq!(lines.iter().filter(|m| m["type"] == "message").count(), 11, "programs get every message");
    assert!(lines[0]["id"].as_str().unwrap().len() > 50, "and whole ids");
}

/// Mutations: the zone of the system is not asked for; `--utc` does nothing.
#[test]
fn times_are_local_with_dates() {
    let place = Place::new();
    place.init("alice");
    place.run("alice", &["send", "all", "hi"]).ok();
    let at = place.json("alice", &["history"]).ok().json()[0]["sent_at"].as_str().unwrap().to_owned();
    let in_zone = |zone: &str, args: &[&str]| -> String {
        let mut command = place.command("alice", args);
        let out = Ran::from(command.env("TZ", zone).output().unwrap()).ok().out;
        out[..19].to_owned()
    };
    let utc = at[..19].replace('T', " ");
    let args = &["history"];
    assert_eq!(in_zone("UTC0", args), utc);
    assert_eq!(in_zone("XXX-5:30", &["history", "--utc"]), utc);
    let there = in_zone("XXX-23:59", args);
    assert_ne!(there[..10], utc[..10], "nearly a day later: {there}");
    assert_ne!(there[11..16], utc[11..16], "{there}");
}

/// Mutations: `lines` does not split; a line begins without its mark; `joins` is always false.
#[test]
fn lines_and_joiners_are_shown_as_they_are() {
    let place = Place::new();
    place.init("alice");
    let fake = "first\n2026-01-01 00:00:00  aaaa-aaaa  bob  I owe you\n└ 👍 bob";
    for text in [fake, r"typed \n here", "👩\u{200d}🚀 می\u{200c}خواهم", "ali\u{200d}ce \u{202e}x"] {
        place.run("alice", &["send", "all", text]).ok();
    }
    let lines = shown(&place, "alice", &[]);
    let indent = " ".repeat(21);
    assert_eq!(text_of(&lines[0]), "first");
    assert_eq!(lines[1], format!("{indent}│ 2026-01-01 00:00:00  aaaa-aaaa  bob  I owe you"));
    assert_eq!(lines[2], format!("{indent}│ └ 👍 bob"));
    let rest: Vec<&str> = lines[3..].iter().map(|l| text_of(l)).collect();
    assert_eq!(rest, [r"typed \n here", "👩\u{200d}🚀 می\u{200c}خواهم", r"ali\u{200d}ce \u{202e}x"]);
    assert_eq!(place.texts("alice", "all")[0], fake, "programs get it as it is");
}

#[test]
fn texts_and_names_are_found_in_any_form() {
    let place = Place::new();
    place.init("alice");
    place.run("zoe", &["init", "--name", "Zoe\u{301}"]).ok();
    let alice = place.start("alice", &[]);
    let _zoe = place.start("zoe", &["--bootstrap", &alice.place()]);
    place.active("zoe");
    place.active("alice");
    place.run("alice", &["send", "ZOÉ", "x", "--wait", "delivered"]).ok();
    // The same of own names, and two that differ in case or form are one.
    place.run("alice", &["contact", "rename", "zoé", "A\u{30a}sa"]).ok();
    place.run("alice", &["send", "åsa", "y"]).ok();
    let other = place.init("other");
    for name in ["åsa", "ÅSA", "a\u{30a}sa"] {
        place.run("alice", &["send", name, "y"]).ok();
        place
            .run("alice", &["contact", "add", &other, "--name", name])
            .fails(1, &["another contact has this name already"]);
    }
    for text in ["le cafe\u{301} est là", "ﬁne", "İstanbul", "Σίσυφος"] {
        place.run("alice", &["send", "all", text]).ok();
    }
    for (wanted, text) in [("CAFÉ", "là"), ("Fine", "ﬁne"), ("istanbul", "İstanbul"), ("ΣΊΣΥΦΟΣ", "Σίσυφος")]
    {
        for args in [&["history", "--search", wanted][..], &["--json", "history", "--search", wanted]] {
            let found = place.run("alice", args).ok().out;
            assert!(found.contains(text), "{args:?}: {found}");
        }
    }
    assert_eq!(place.run("alice", &["history", "--search", "cafe"]).ok().out, "");
}

/// Mutations: `name_is_valid` alone decides; a name that two have is shown bare.
#[test]
fn names_that_mean_two_are_marked() {
    let place = Place::new();
    for name in ["all", "ALL", "#team"] {
        place.run("x", &["init", "--name", name]).fails(2, &["a name cannot be `all`", "another --name"]);
    }
    for (profile, name) in [("alice", "alice"), ("one", "sam"), ("two", "Sam")] {
        place.run(profile, &["init", "--name", name]).ok();
    }
    for name in ["all", "ALL", " All", "#team"] {
        place.run("alice", &["group", "create", name]).fails(2, &["another meaning"]);
        place.run("alice", &["device", "rename", name]).fails(2, &["another meaning"]);
    }
    let alice = place.start("alice", &[]);
    let twins = ["one", "two"].map(|p| place.start(p, &["--bootstrap", &alice.place()]));
    for (p, name) in [("one", "sam"), ("two", "Sam")] {
        place.active(p);
        place.run(p, &["send", "all", &format!("of {name}")]).ok();
    }
    until("alice has both", || (place.texts("alice", "all").len() == 2).then_some(()));
    until("alice knows both", || (place.json("alice", &["peers"]).json().len() == 2).then_some(()));
    place.run("alice", &["send", "sam", "x"]).fails(1, &["'sam' can be"]);
    let history = place.run("alice", &["history"]).ok().out;
    let peers = place.run("alice", &["peers"]).ok().out;
    for (twin, name) in twins.iter().zip(["sam", "Sam"]) {
        let marked = format!("{name}? {}", twin.field("short"));
        assert!(history.contains(&format!("{marked}  of {name}")) && peers.contains(&marked), "{history}{peers}");
    }
    let received = place.run("alice", &["recv", "--no-ack"]).ok().out;
    assert!(received.contains(&format!("sam? {}", twins[0].field("short"))), "{received}");
}

/// Mutation: rows are sorted by id.
#[test]
fn peers_are_sorted_by_use_and_say_the_state_of_the_zone() {
    let place = Place::new();
    place.init("alice");
    let alice = place.start("alice", &[]);
    let others: Vec<_> = ["bob", "carol", "dave"]
        .iter()
        .map(|name| {
            place.init(name);
            place.start(name, &["--bootstrap", &alice.place()])
        })
        .collect();
    until("all are known", || {
        let peers = place.json("alice", &["peers"]).json();
        let all = peers.iter().filter(|p| p["member_state"] == "alive" && p["linked"] == true && p["name"].is_string());
        (all.count() == 3).then_some(())
    });
    let order =
        || -> Vec<Value> { place.json("alice", &["peers"]).ok().json().iter().map(|p| p["name"].clone()).collect() };
    for (name, then) in [("carol", "carol"), ("bob", "bob"), ("dave", "dave")] {
        place.run("alice", &["send", name, "x", "--wait", "delivered"]).ok();
        assert_eq!(order()[0], then);
    }
    assert_eq!(order(), ["dave", "bob", "carol"]);
    let shown = place.run("alice", &["peers"]).ok().out;
    let first = shown.lines().nth(1).unwrap();
    assert!(first.contains("dave") && first.contains("alive"), "{shown}");
    drop(others);
}

/// Mutation: `Hints::of` gives its text back.
#[test]
fn hints_repeat_the_profile() {
    let place = Place::new();
    place.init("alice");
    for (verb, hint) in [(&["leave"][..], "donp -p alice run"), (&["send", "bob", "x"], "donp -p alice peers")] {
        let ran = place.run("alice", verb);
        assert!(ran.err.contains(hint), "{ran:?}");
        let json = place.json("alice", verb);
        assert!(json.err.contains(hint), "{json:?}");
    }
    assert!(place.run("alice", &["peers"]).ok().err.contains("donp -p alice join"));
    let ran = Ran::from(place.command("alice", &["leave"]).env("DONP_PROFILE", "alice").output().unwrap());
    assert!(ran.err.contains("try:   donp run"), "the environment stays: {ran:?}");
}

/// What a follower shows, and what it says beside that.
struct Follower {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
    notes: std::sync::mpsc::Receiver<String>,
}

impl Follower {
    fn new(place: &Place, args: &[&str]) -> Self {
        let mut command = place.command("bob", &[&["recv", "--follow"], args].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = pump(child.stdout.take().expect("a pipe"));
        let notes = pump(child.stderr.take().expect("a pipe"));
        Self { child, lines, notes }
    }

    /// Waits until a line or a note contains `text`; all up to it.
    #[track_caller]
    fn until(from: &std::sync::mpsc::Receiver<String>, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        until(text, || {
            all.extend(from.try_iter());
            all.iter().any(|line| line.contains(text)).then_some(())
        });
        all
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pump(from: impl std::io::Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (to, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::BufRead as _;
        for line in std::io::BufReader::new(from).lines().map_while(Result::ok) {
            let _ = to.send(line);
        }
    });
    lines
}

/// How many readers a daemon sends events to.
fn followers(pid: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a folder").map_while(Result::ok);
    let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
    threads.map(name).filter(|name| name.trim() == "donp-follow").count()
}

/// Mutations: `Server::drop` does not wait for followers; a connection that ends is the end of the daemon.
#[test]
fn a_follower_says_why_it_ends() {
    let place = Place::new();
    place.init("bob");
    let ends = |how: &dyn Fn(common::Daemon), says: &str| {
        let bob = place.start("bob", &[]);
        let mut follower = Follower::new(&place, &[]);
        until("it follows", || (followers(bob.pid()) == 1).then_some(()));
        how(bob);
        let notes = Follower::until(&follower.notes, "try:");
        assert!(notes[0].contains(says), "{notes:?}");
        assert!(notes[1].contains("--reconnect"), "{notes:?}");
        assert_eq!(follower.child.wait().unwrap().code(), Some(7));
    };
    ends(&|bob| assert_eq!(bob.stop("TERM"), Some(0)), "the daemon was stopped");
    ends(&common::Daemon::kill, "it was killed or crashed");
}

/// Each event once, over two daemons, a time without one, and an older copy of the profile.
/// Mutation: it subscribes without its place and shows whatever comes; each of the two alone is harmless.
#[test]
fn a_follower_that_reconnects_loses_and_repeats_nothing() {
    let place = Place::new();
    let (alice, bob) = place.pair();
    // Nothing is acknowledged, so that a daemon gives everything to a reader that names no place.
    let follower = Follower::new(&place, &["--reconnect", "--no-ack"]);
    let say = |n: u32| place.run("alice", &["send", "bob", &format!("text {n}")]).ok();
    say(0);
    say(1);
    let mut all = Follower::until(&follower.lines, "text 1");
    bob.stop("TERM");
    let notes = Follower::until(&follower.notes, "waiting for it");
    assert!(notes[0].contains("the daemon was stopped"), "{notes:?}");
    say(2);
    let bob = place.start("bob", &[]);
    say(3);
    all.extend(Follower::until(&follower.lines, "text 3"));
    bob.kill();
    say(4);
    let bob = place.start("bob", &[]);
    all.extend(Follower::until(&follower.lines, "text 4"));
    let backup = place.path().join("earlier");
    place.run("bob", &["backup", backup.to_str().unwrap()]).ok();
    say(5);
    all.extend(Follower::until(&follower.lines, "text 5"));
    let texts: Vec<&str> = all.iter().filter_map(|line| line.rsplit_once("[request] ")).map(|(_, text)| text).collect();
    assert_eq!(texts, ["text 0", "text 1", "text 2", "text 3", "text 4", "text 5"]);
    // The numbers of events begin again.
    bob.stop("TERM");
    alice.stop("TERM");
    std::fs::remove_dir_all(place.path().join("s/bob")).unwrap();
    place.run("bob", &["restore", backup.to_str().unwrap()]).ok();
    let bob = place.start("bob", &[]);
    Follower::until(&follower.notes, "an older copy of it runs now");
    let _alice = place.start("alice", &["--bootstrap", &bob.place()]);
    say(6);
    Follower::until(&follower.lines, "text 6");
}

/// A reader that the daemon cut off since it did not read, such as a pager.
/// Mutation: half a line is an answer that is no JSON.
#[test]
fn a_slow_reader_goes_on_where_it_was() {
    let place = Place::new();
    let (_alice, bob) = place.pair();
    let mut command = place.command("bob", &["--json", "recv", "--follow", "--reconnect"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let notes = pump(child.stderr.take().unwrap());
    let long = "x".repeat(60_000);
    // More than fits into a pipe and a socket.
    for n in 0..40 {
        place.with_stdin("alice", &["send", "bob", "-"], &format!("{n} {long}")).ok();
    }
    until("bob has all", || (place.status("alice")["outbox"] == 0).then_some(()));
    until("the daemon gives up on it", || (followers(bob.pid()) == 0).then_some(()));
    let lines = pump(child.stdout.take().unwrap());
    let mut seen: Vec<String> = Vec::new();
    until("all of it is shown", || {
        for line in lines.try_iter() {
            let event: Value = serde_json::from_str(&line).unwrap();
            if let Some(text) = event["message"]["text"].as_str() {
                seen.push(text.split_once(' ').unwrap().0.to_owned());
            }
        }
        (seen.len() >= 40).then_some(())
    });
    assert_eq!(seen, (0..40).map(|n| n.to_string()).collect::<Vec<_>>());
    let notes = Follower::until(&notes, "connected again");
    assert!(notes[0].contains("its reader was too slow"), "{notes:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}
