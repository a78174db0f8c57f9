//! Power cuts under a running node: the disk as it is at a moment, with nothing that was not written through to it.
//!
//! The profile lies on a file system of its own (ext4) in a file, and that file on one that copies files in an instant (XFS,
//! `cp --reflink`). A copy is what a power cut would leave of the disk: what the system still held in memory is not in it.
//! Everything that the node had answered for when the copy began must be read back from it, and nothing in it may be damaged.
//!
//! It takes loop devices and the right to mount; elsewhere the test says that it was skipped.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod live;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use live::Live;
use serde_json::Value;

/// Set where the test runs again with mounts of its own, which are gone with it.
const INSIDE: &str = "DONP_TEST_OWN_MOUNTS";
/// Cuts of one profile, so that each history is short.
const ROUND: usize = 25;

/// How many cuts are made: a sample, or what `DONP_POWER_CUTS` says.
fn cuts() -> usize {
    std::env::var("DONP_POWER_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(25)
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"))
}

#[track_caller]
fn done(program: &str, arguments: &[&str]) {
    let ran = run(program, arguments);
    assert!(ran.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// An empty file system in a file, mounted.
fn file_system(kind: &str, image: &Path, mebibytes: u64, at: &Path) {
    std::fs::File::create(image).unwrap().set_len(mebibytes << 20).unwrap();
    done(&format!("mkfs.{kind}"), &["-q", image.to_str().unwrap()]);
    mount(image, at);
}

fn mount(image: &Path, at: &Path) {
    std::fs::create_dir_all(at).unwrap();
    done("mount", &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()]);
}

/// What keeps this machine from cutting its power.
fn lacking() -> Option<&'static str> {
    let has = |program: &str| Command::new(program).arg("-V").output().is_ok();
    if !has("mkfs.xfs") || !has("mkfs.ext4") {
        return Some("mkfs.xfs (Debian's xfsprogs) or mkfs.ext4 is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let (image, at) = (dir.path().join("image"), dir.path().join("at"));
    std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    std::fs::create_dir(&at).unwrap();
    let script = "mkfs.ext4 -q \"$0\" && mount -o loop \"$0\" \"$1\"";
    let tried = Command::new("unshare").args(["-m", "sh", "-c", script]).arg(&image).arg(&at).output();
    match tried {
        Ok(ran) if ran.status.success() => None,
        _ => Some("this user may not mount, or there are no loop devices"),
    }
}

/// Mutation: `PRAGMA synchronous=OFF` in `store/database.rs`.
#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    let test = "a_power_cut_loses_nothing_acknowledged";
    if std::env::var_os(INSIDE).is_none() {
        if let Some(why) = lacking() {
            eprintln!("SKIPPED {test}: {why}");
            return;
        }
        let mut inside = Command::new("unshare");
        inside.arg("-m").arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
        let ran = inside.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success() && out.contains("1 passed"), "{out}{err}");
        eprint!("{}", err.lines().filter(|l| l.contains("power cuts")).map(|l| format!("{l}\n")).collect::<String>());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    // The least that mkfs.xfs makes.
    file_system("xfs", &dir.path().join("pool.img"), 320, &pool);
    let (wanted, mut made, mut promised) = (cuts(), 0, 0);
    for round in 0.. {
        let left = wanted.saturating_sub(made).min(ROUND);
        if left == 0 {
            break;
        }
        promised += one_profile(&dir.path().join(format!("disk{round}")), &pool, left);
        made += left;
    }
    assert!(promised > made * 2, "too little was said to mean anything: {promised}");
    eprintln!("{made} power cuts, {promised} messages acknowledged before one, 0 lost");
}

/// Ends the talk.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Cuts the power of one node so many times; how many messages it had acknowledged before.
fn one_profile(disk: &Path, pool: &Path, cuts: usize) -> usize {
    let image = pool.join("disk.img");
    file_system("ext4", &image, 64, disk);
    let mut node = Live::new(disk, "alice");
    node.start(None);
    let acknowledged: Mutex<Vec<String>> = Mutex::default();
    let over = AtomicBool::new(false);
    let mut promised = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut control = node.connect().unwrap();
            for n in 0.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let id = control.send("all", &format!("message {n}")).expect("it takes messages");
                acknowledged.lock().unwrap().push(id);
            }
        });
        // The talk ends also where a check fails.
        let _ends = Ends(&over);
        // Any moment: a small generator, so that cuts are not in step with the messages.
        let mut moment = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..cuts {
            moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_micros(moment >> 48));
            let before = acknowledged.lock().unwrap().clone();
            let cut = pool.join("cut.img");
            done("cp", &["--reflink=always", image.to_str().unwrap(), cut.to_str().unwrap()]);
            let kept = read_back(&cut, &pool.join("cut"));
            let lost: Vec<_> = before.iter().filter(|id| !kept.contains(*id)).collect();
            assert!(lost.is_empty(), "{} of {} acknowledged messages are lost", lost.len(), before.len());
            promised = before.len();
        }
    });
    node.kill();
    done("umount", &[disk.to_str().unwrap()]);
    promised
}

/// The ids of all messages on the disk that a cut left, after the check that nothing on it is damaged.
fn read_back(image: &Path, at: &Path) -> BTreeSet<String> {
    mount(image, at);
    let donp = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_donp"));
        command.arg("--state-dir").arg(at).arg("--config").arg(at.join("config.toml"));
        command.args(["--profile", "alice", "--json", "--no-daemon"]).args(arguments);
        let ran = command.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success() && !err.contains("damaged"), "{arguments:?}: {out}{err}");
        out.into_owned()
    };
    donp(&["check"]);
    let out = donp(&["history", "all", "--limit", "100000"]);
    let ids = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["id"].as_str().map(String::from));
    let ids = ids.collect();
    done("umount", &[at.to_str().unwrap()]);
    ids
}
