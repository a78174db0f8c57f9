//! Programs that the steps run.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::Outcome;

pub fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    // Set by `cargo run` for xtask itself. cargo-machete takes it as a sign that it is being developed.
    command.current_dir(root).args(args).env_remove("CARGO_PKG_NAME");
    command
}

pub fn run(command: &mut Command) -> Outcome {
    println!("$ {}", shown(command));
    let ended = command.status();
    outcome(command, ended)
}

/// The same, and each line that the program prints on its standard output is looked at.
pub fn run_and_read(command: &mut Command, mut look: impl FnMut(&str)) -> Outcome {
    println!("$ {}", shown(command));
    let ended = command.stdout(Stdio::piped()).spawn().and_then(|mut child| {
        let lines = child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n'));
        for line in lines.map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("{line}");
            look(&line);
        }
        child.wait()
    });
    outcome(command, ended)
}

fn outcome(command: &Command, ended: std::io::Result<ExitStatus>) -> Outcome {
    match ended {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => Outcome::Failed(format!("{} ended with {status}", shown(command))),
        Err(e) => Outcome::Failed(format!("{} did not start: {e}", shown(command))),
    }
}

pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // What lies in the repository by its path there, everything else by its name.
    let short = program.strip_prefix(crate::root()).ok().or(program.file_name().map(Path::new));
    let args = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once(short.unwrap_or(program).display().to_string()).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_looked_at_and_a_failure_stays_one() {
        let mut seen = Vec::new();
        let mut two = Command::new("sh");
        two.args(["-c", "echo SKIPPED: a tool; echo rest"]);
        assert!(matches!(run_and_read(&mut two, |line| seen.push(line.to_owned())), Outcome::Passed));
        assert_eq!(seen, ["SKIPPED: a tool", "rest"]);
        let failed = run_and_read(Command::new("sh").args(["-c", "exit 3"]), |_| {});
        assert!(matches!(failed, Outcome::Failed(why) if why.contains("3")));
    }

    #[test]
    fn commands_are_shown_without_the_machine() {
        assert_eq!(shown(&Command::new(crate::root().join("tests/bpf.sh"))), "tests/bpf.sh");
        assert_eq!(shown(Command::new("/some/where/cargo").arg("fmt")), "cargo fmt");
    }
}
