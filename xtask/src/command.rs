//! Programs that the steps run.

use std::path::Path;
use std::process::Command;

use crate::Outcome;

pub fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    // Set by `cargo run` for xtask itself. cargo-machete takes it as a sign that it is being developed.
    command.current_dir(root).args(args).env_remove("CARGO_PKG_NAME");
    command
}

pub fn run(command: &mut Command) -> Outcome {
    println!("$ {}", shown(command));
    match command.status() {
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
    fn commands_are_shown_without_the_machine() {
        assert_eq!(shown(&Command::new(crate::root().join("tests/bpf.sh"))), "tests/bpf.sh");
        assert_eq!(shown(Command::new("/some/where/cargo").arg("fmt")), "cargo fmt");
    }
}
