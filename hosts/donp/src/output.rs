//! stdout is data. Its reader may go away at any time, which is no error.

use std::io::{self, Write as _};

use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::hints::Hints;

/// How to write results.
#[derive(Clone, Debug)]
pub struct Output {
    /// One object a line instead of text for people.
    pub json: bool,
    /// Notes on stderr.
    pub notes: bool,
    /// How this program is named in what it says.
    pub hints: Hints,
}

/// The reader of stdout went away: end without a word.
pub const READER_GONE: &str = "";

impl Output {
    /// One line on stdout, flushed: the reader may be a pipe.
    ///
    /// # Errors
    /// When there is no reader any more, or the disk behind stdout is full.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        write_line(text).map_err(|e| match e.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Interrupted, READER_GONE),
            _ => Failure::new(Exit::Failed, format!("stdout: {e}")),
        })
    }

    /// `value` as JSON, or what `human` makes of it.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub fn value(&self, value: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        if self.json { self.line(&value.to_string()) } else { self.line(human(value).trim_end()) }
    }

    /// As [`value`](Self::value), of what was done and cannot be taken back: where stdout fails, stderr has what it was
    /// to say, so that it is not done twice.
    ///
    /// # Errors
    /// When stdout cannot be written, also because its reader went away.
    pub fn done(&self, value: &Value, human: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let said = human(value);
        let line = if self.json { value.to_string() } else { said.trim_end().to_owned() };
        write_line(&line).map_err(|e| {
            Failure::new(Exit::Failed, format!("{}, but stdout cannot be written: {e}", said.trim_end()))
                .hint("do not repeat the command: it is done")
        })
    }

    /// For people who watch, on stderr: a text of this program, in which commands of `donp` get the profile.
    pub fn note(&self, text: &str) {
        if self.notes {
            let _ = writeln!(io::stderr().lock(), "{}", self.hints.of(text));
        }
    }
}

fn write_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush())
}
