//! The flags of the compiler that change what the core does. Each is for the simulator alone: with the one
//! any node can sign for any other, with the other known bugs are in. A cargo feature would be switched on for
//! everybody by any dependency of an app; a flag is given by the person who builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::command::{cargo, run, shown};

pub const TOY_KEYS: &str = "donp_toy_keys";
pub const PLANTED: &str = "donp_planted";

/// What is shipped, and refuses both flags.
const REFUSING: [(&str, &str); 2] = [("donp-runtime", "hosts/runtime/src/lib.rs"), ("donp-ffi", "ffi/src/lib.rs")];

/// `cargo SUBCOMMAND` with a flag, in a folder of its own, so that the usual build is not thrown away.
pub fn cargo_with(root: &Path, flag: &str, subcommand: &[&str]) -> Command {
    let usual = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    // Joins the array of .cargo/config.toml.
    let config = format!("build.rustflags=['--cfg', '{flag}']");
    let mut command = cargo(root, subcommand);
    command.args(["--config", &config]);
    // Optimized for the usual build alone: what is built without `--release` here is not run.
    for package in ["*", "donp-core"] {
        command.arg("--config").arg(format!("profile.dev.package.'{package}'.opt-level=0"));
    }
    command.arg("--target-dir").arg(usual.join(flag));
    // In place of the array, if it is set.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// The simulator builds with each flag and has no warnings; what is shipped does not build.
pub fn check(root: &Path) -> Outcome {
    for flag in [TOY_KEYS, PLANTED] {
        let mut clippy = cargo_with(root, flag, &["clippy", "-p", "donp-core", "-p", "donp-sim", "--all-targets"]);
        for command in
            [&mut cargo_with(root, flag, &["build", "-p", "donp-sim"]), clippy.args(["--", "-D", "warnings"])]
        {
            match run(command) {
                Outcome::Passed => {}
                other => return other,
            }
        }
        for (package, lib) in REFUSING {
            // The compiler alone, which knows no dependency: cargo would build them all to come to the same refusal, and
            // never to that of donp-ffi, which depends on donp-runtime.
            let refusal = format!("{package} refuses --cfg {flag}");
            let mut compiler = Command::new("rustc");
            compiler.current_dir(root).args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata"]);
            compiler.args(["--cfg", flag, "-o"]).arg(std::env::temp_dir().join("donp-refused")).arg(lib);
            if let Some(why) = builds(&mut compiler, &refusal) {
                return Outcome::Failed(why);
            }
        }
    }
    Outcome::Passed
}

/// What is wrong, unless the command fails and says so in these words.
fn builds(command: &mut Command, refusal: &str) -> Option<String> {
    println!("$ {}  (must fail)", shown(command));
    match command.output() {
        Ok(o) if o.status.success() => Some(format!("{} succeeds and must not", shown(command))),
        Ok(o) if String::from_utf8_lossy(&o.stderr).contains(refusal) => None,
        Ok(o) => Some(format!(
            "{} fails without '{refusal}': {}",
            shown(command),
            String::from_utf8_lossy(&o.stderr).lines().find(|l| l.starts_with("error")).unwrap_or("no error")
        )),
        Err(e) => Some(format!("{} did not start: {e}", shown(command))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_in_the_right_words_is_a_refusal() {
        let shell = |script: &str| builds(Command::new("sh").args(["-c", script]), "refuses");
        assert_eq!(shell("echo 'error: x refuses' >&2; exit 1"), None);
        assert!(shell("echo 'error: x refuses' >&2").unwrap().contains("succeeds and must not"));
        assert!(shell("echo 'error: other' >&2; exit 1").unwrap().contains("error: other"));
    }
}
