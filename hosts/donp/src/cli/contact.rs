//! The verbs about contacts.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
PEER is your own name for a contact, a name that a node claims, the beginning of an id, or an id. Your own names win.
To verify a contact, compare what `donp contact show` prints at both nodes, by voice or face to face, never over the messages
that it protects.")]
pub enum ContactVerb {
    /// Make a node a contact. Writing to a node also makes it a contact
    Add {
        /// The name that it claims, the beginning of its id, or its id
        peer: String,
        /// Your own name for it, 1 to 64 bytes
        #[arg(long)]
        name: Option<String>,
    },
    /// List contacts, then requests of strangers
    List,
    /// Show a contact, its safety number, and the QR code that its device scans
    Show {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// Give a contact another name of your own
    Rename {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
        /// The name, 1 to 64 bytes
        #[arg(required_unless_present = "none")]
        name: Option<String>,
        /// Remove your own name: the name that it claims is shown
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Compare a safety number: if it is equal, the contact is verified
    Verify {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
        /// The 60 digits as the other side reads them, in any groups
        #[arg(long, value_name = "DIGITS", required_unless_present = "scan")]
        number: Option<String>,
        /// What was read from the QR code that the other side shows
        #[arg(long, value_name = "TEXT", conflicts_with = "number")]
        scan: Option<String>,
    },
    /// Accept a contact's changed key without comparing; the contact is unverified afterwards
    AcceptChange {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// Accept the request of a stranger. Writing to it accepts it too
    Accept {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// Delete the request of a stranger, and its messages here
    Delete {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// Mute a contact: no events; its messages stay in the history
    Mute {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// Unmute a contact
    Unmute {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// Block a node, as `donp block`
    Block {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// End a block, as `donp unblock`
    Unblock {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// Remove a contact, with your name for it and its verification. Messages stay
    Remove {
        /// The contact: your name for it, the name it claims, or its id
        peer: String,
    },
    /// Delete a private conversation on this node. The contact keeps its copy
    Clear {
        /// The contact: your name for it, the name it claims, or its id
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
