//! The verbs about files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A file is sent with a message: donp send TO --file PATH. `donp history` marks such messages and shows their ids.")]
pub enum FileVerb {
    /// List the files that are here or on their way
    List,
    /// Fetch the file that a message names, from its author or any other member, and save it
    Get {
        /// The conversation: `all`, a node or '#GROUP', as for `donp history`
        conversation: String,
        /// The message: an id that `donp history` shows, or at least six characters of its beginning
        message: String,
        /// Where to save it [default: under its name in this folder]. What is there already is not replaced
        #[arg(short, long, value_name = "PATH")]
        out: Option<PathBuf>,
        /// Wait at most this long; it goes on coming after that
        #[arg(long, default_value = "10m", value_parser = super::duration, value_name = "TIME")]
        timeout: Duration,
    },
    /// Save a file that is here
    Save {
        /// Its id, or at least six characters of its beginning
        file: String,
        /// Where to; what is there already is not replaced
        path: PathBuf,
    },
    /// Remove a file here, or stop fetching it; others keep theirs
    Remove {
        /// Its id, or at least six characters of its beginning
        file: String,
    },
}
