//! What this machine has: each function says what a step would lack here, or nothing if it can run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether a program is there and content.
pub fn answers(command: &mut Command) -> bool {
    command.output().is_ok_and(|o| o.status.success())
}

/// What a program prints, on either of its outputs; nothing if it is not there or not content.
pub fn printed(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

/// The first two numbers of a version, as in `javac 17.0.9`, `21-ea` or `Python 3.13.0rc1`.
pub fn version(text: &str) -> Option<(u32, u32)> {
    let word = text.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = word.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}

/// Why a program is not good enough, if it is not.
fn lacks(program: &str, printed: Option<&str>, least: (u32, u32)) -> Option<String> {
    let (major, minor) = least;
    match printed.map(version) {
        Some(Some(found)) if found >= least => None,
        Some(Some((a, b))) => Some(format!("{program} is {a}.{b}, needed is {major}.{minor} or newer")),
        Some(None) => Some(format!("{program} does not say its version")),
        None => Some(format!("{program} is not installed; needed is {major}.{minor} or newer")),
    }
}

fn is_debian(os_release: &str) -> bool {
    os_release.lines().any(|line| matches!(line.trim(), "ID=debian" | "ID=\"debian\""))
}

/// Only Debian packages a compiler for that target.
pub fn lacks_debian() -> Option<String> {
    let debian = std::fs::read_to_string("/etc/os-release").is_ok_and(|text| is_debian(&text));
    let tools = ["apt-get", "dpkg"].iter().all(|tool| answers(Command::new(tool).arg("--version")));
    (!debian || !tools).then(|| "it takes packages of Debian, with apt-get and dpkg".into())
}

pub fn lacks_strip() -> Option<String> {
    let found = cfg!(target_os = "linux") && answers(Command::new("strip").arg("--version"));
    (!found).then(|| "it takes Linux and `strip` (Debian: binutils)".into())
}

pub fn lacks_jq() -> Option<String> {
    (!answers(Command::new("jq").arg("--version"))).then(|| "jq is not installed".into())
}

/// A Python that has these modules: that of target/tools, where `.ci/run` installs them, or the system's.
pub fn python_with(root: &Path, modules: &[&str]) -> Result<PathBuf, String> {
    let import = format!("import {}", modules.join(", "));
    let has = |python: &PathBuf| answers(Command::new(python).args(["-c", &import]));
    let own = root.join("target/tools/python/bin/python");
    [own, "python3".into()].into_iter().find(has).ok_or_else(|| {
        let packages = modules.join(" ").replace('_', "-");
        format!("no Python here has all of: {packages} (python3 -m pip install {packages})")
    })
}

pub fn lacks_python() -> Option<String> {
    let old = lacks("python3", printed("python3", &["--version"]).as_deref(), (3, 10));
    // Debian packages these apart from Python; without them no environment can be made.
    let venv = || answers(Command::new("python3").args(["-c", "import venv, ensurepip"]));
    old.or_else(|| (!venv()).then(|| "python3 has no venv (Debian: python3-venv)".into()))
}

pub fn lacks_kotlin() -> Option<String> {
    if !answers(Command::new("mvn").arg("--version")) {
        return Some("mvn is not installed, or finds no Java (Debian: maven, default-jdk-headless)".into());
    }
    lacks("javac", printed("javac", &["-version"]).as_deref(), (17, 0))
}

pub fn lacks_swift(root: &Path) -> Option<String> {
    // As in bindings/swift/root.sh, which makes the root where there is none.
    let wanted = std::env::var_os("DONP_SWIFT_ROOT").filter(|v| !v.is_empty());
    let made = root.join(wanted.unwrap_or_else(|| "target/swift-root".into()));
    let can_make = || {
        answers(Command::new("debootstrap").arg("--version"))
            && printed("id", &["-u"]).is_some_and(|id| id.trim() == "0")
    };
    let found = answers(Command::new("swift").arg("--version")) || made.join("etc/donp-swift-root").exists();
    (!found && !can_make())
        .then(|| "no swift, no root that has it, and no debootstrap with root rights to make one".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_tools_print_them() {
        assert_eq!(version("Python 3.11.2\n"), Some((3, 11)));
        assert_eq!(version("Python 3.13.0rc1"), Some((3, 13)));
        assert_eq!(version("javac 17.0.15"), Some((17, 0)));
        assert_eq!(version("javac 21-ea"), Some((21, 0)));
        assert_eq!(version("javac 1.8.0_292"), Some((1, 8)));
        assert_eq!(version("Picked up JAVA_TOOL_OPTIONS: -Xmx2g\njavac 22"), Some((22, 0)));
        assert_eq!(version("no number"), None);
    }

    #[test]
    fn what_is_too_old_or_missing_is_named() {
        assert_eq!(lacks("python3", Some("Python 3.10.0"), (3, 10)), None);
        assert_eq!(lacks("python3", Some("Python 4.0.0"), (3, 10)), None);
        assert_eq!(
            lacks("python3", Some("Python 3.9.18"), (3, 10)).unwrap(),
            "python3 is 3.9, needed is 3.10 or newer"
        );
        assert!(lacks("javac", Some("javac 1.8.0_292"), (17, 0)).is_some());
        assert!(lacks("javac", Some("?"), (17, 0)).unwrap().contains("does not say"));
        assert!(lacks("javac", None, (17, 0)).unwrap().contains("not installed"));
    }

    #[test]
    fn debian_and_not_its_children() {
        assert!(is_debian("NAME=\"Debian GNU/Linux\"\nID=debian\n"));
        assert!(is_debian("ID=\"debian\""));
        assert!(!is_debian("ID=ubuntu\nID_LIKE=debian\n"));
    }
}
