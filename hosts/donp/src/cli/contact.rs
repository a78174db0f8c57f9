//! The verbs about contacts.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
PEER is your own name for a contact, a name that a node claims, the beginning of an id, or an id. Your own names win.
To verify somebody, compare what `donp contact show` prints at both, by voice or face to face, never by the messages that
it is to protect.")]
pub enum ContactVerb {
    /// Make a node a contact. Who you write to is one already
    Add {
        /// A name that it claims, the beginning of its id, or its id
        peer: String,
        /// Your own name for it, 1 to 64 bytes
        #[arg(long)]
        name: Option<String>,
    },
    /// List contacts, and after them requests of strangers
    List,
    /// Show a contact, its safety number, and the QR code that its device scans
    Show {
        /// Who
        peer: String,
    },
    /// Give a contact another name of your own
    Rename {
        /// Who
        peer: String,
        /// The name, 1 to 64 bytes
        #[arg(required_unless_present = "none")]
        name: Option<String>,
        /// No own name: the one that it claims is shown
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Compare a safety number: if it is right the contact is verified
    Verify {
        /// Who
        peer: String,
        /// The 60 digits as the other side reads them, in any groups
        #[arg(long, value_name = "DIGITS", required_unless_present = "scan")]
        number: Option<String>,
        /// What was read from the QR code that the other side shows
        #[arg(long, value_name = "TEXT", conflicts_with = "number")]
        scan: Option<String>,
    },
    /// Send to a verified contact whose key changed without comparing again. It is not verified any more
    AcceptChange {
        /// Who
        peer: String,
    },
    /// Accept the request of a stranger. To write to it does the same
    Accept {
        /// Who
        peer: String,
    },
    /// Delete the request of a stranger, and its messages here
    Delete {
        /// Who
        peer: String,
    },
    /// Show nothing that it says until you look: no events, but it is in the history
    Mute {
        /// Who
        peer: String,
    },
    /// End that
    Unmute {
        /// Who
        peer: String,
    },
    /// Block a node, as `donp block`
    Block {
        /// Who
        peer: String,
    },
    /// End a block, as `donp unblock`
    Unblock {
        /// Who
        peer: String,
    },
    /// Take a contact out of the book: your name for it and what you verified. Messages stay
    Remove {
        /// Who
        peer: String,
    },
    /// Delete a private conversation here. The other side keeps its own
    Clear {
        /// Who
        peer: String,
    },
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::Parser as _;

    #[test]
    fn what_contradicts_itself_is_refused() {
        for args in [
            vec!["verify", "bob"],
            vec!["verify", "bob", "--number", "1", "--scan", "s1"],
            vec!["rename", "bob"],
            vec!["rename", "bob", "x", "--none"],
            vec!["add"],
        ] {
            assert!(Cli::try_parse_from([vec!["donp", "contact"], args.clone()].concat()).is_err(), "{args:?}");
        }
        for args in [vec!["rename", "bob", "--none"], vec!["verify", "bob", "--scan", "s1"], vec!["list"]] {
            assert!(Cli::try_parse_from([vec!["donp", "contact"], args.clone()].concat()).is_ok(), "{args:?}");
        }
    }
}
