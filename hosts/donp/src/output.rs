//! stdout is data. Whoever reads it may go away at any time, which is no error.

use std::io::{self, Write as _};

use serde_json::Value;

use crate::failure::{Exit, Failure};

/// How to write results.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One object a line instead of text for people.
    pub json: bool,
    /// Notes on stderr.
    pub notes: bool,
}

/// The reader of stdout went away: end without a word.
pub const READER_GONE: &str = "";

impl Output {
    /// One line on stdout, flushed: the reader may be a pipe.
    ///
    /// # Errors
    /// When nobody reads any more, or the disk behind stdout is full.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|e| match e.kind() {
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

    /// For people who watch, on stderr.
    pub fn note(&self, text: &str) {
        if self.notes {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }
}
