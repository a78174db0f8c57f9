//! Types every line of docs/quarter-hour.md: a second node on the local network, a bot, a backup that is restored, damage.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod transcript;

use std::process::Command;

use transcript::type_all;

/// Set where this program runs again in a network of its own, with nothing but loopback.
const INSIDE: &str = "DONP_TEST_OWN_NETWORK";

#[test]
fn the_first_quarter_of_an_hour_goes_as_it_is_written() {
    const TEST: &str = "the_first_quarter_of_an_hour_goes_as_it_is_written";
    if std::env::var_os(INSIDE).is_some() {
        type_all("docs/quarter-hour.md", true);
        return;
    }
    let alone = Command::new("unshare").args(["-Urn", "ip", "link", "set", "lo", "up"]).output();
    if !alone.is_ok_and(|ran| ran.status.success()) {
        assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "nothing may be skipped here");
        return eprintln!("SKIPPED: this system gives no network of its own to a test");
    }
    let program = std::env::current_exe().unwrap();
    let inside = "ip link set lo up && exec \"$0\" --exact \"$1\" --nocapture";
    let mut command = Command::new("unshare");
    command.args(["-Urn", "sh", "-c", inside]).arg(program).arg(TEST).env(INSIDE, "1");
    let ran = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.contains("1 passed"), "{out}{err}");
    println!("{out}");
}
