//! The verbs about files.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A file is sent with a message: donp send TO --file PATH. `donp history` marks such messages and shows their ids.")]
pub enum FileVerb {
    /// List the files that are here or being fetched
    List,
    /// Fetch the file of a message, from its author or any other member, and save it
    Get {
        /// The conversation: `all`, a node or '#GROUP', as for `donp history`
        conversation: String,
        /// The message: an id that `donp history` shows, or at least six characters of its beginning
        message: String,
        /// Where to save it [default: under its name in this folder]. An existing file is not replaced
        #[arg(short, long, value_name = "PATH")]
        out: Option<PathBuf>,
        /// Wait at most this long; the download continues after that
        #[arg(long, default_value = "10m", value_parser = super::duration, value_name = "TIME")]
        timeout: Duration,
    },
    /// Save a file that is here
    Save {
        /// Its id, or at least six characters of its beginning
        file: String,
        /// Where to save it; an existing file is not replaced
        path: PathBuf,
    },
    /// Remove a file from this node, or stop fetching it; others keep their copies
    Remove {
        /// Its id, or at least six characters of its beginning
        file: String,
    },
}
