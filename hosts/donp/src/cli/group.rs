//! The verbs about groups.

use std::time::Duration;

use clap::{Args, Subcommand};
use donp_core::{GroupHistory, GroupKind, GroupRole};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
GROUP is the name of a group, its id, or at least four characters of the id's beginning. '#NAME' works too, in quotes:
a shell takes what follows a bare # for a comment. ROLE is guest, member, moderator or admin.
To talk: donp send '#NAME' TEXT, donp history '#NAME'.")]
pub enum GroupVerb {
    /// Make a group; this node is its owner
    Create(Create),
    /// Print a ticket that admits a new member; this node must be online when it is used
    Invite(Invitation),
    /// Ask to join with a ticket from `donp group invite`
    Join {
        /// The ticket
        ticket: String,
        /// Wait at most this long for the answer
        #[arg(long, default_value = "30s", value_parser = super::duration, value_name = "TIME")]
        timeout: Duration,
        /// Do not wait: `donp group list` shows the answer
        #[arg(long)]
        no_wait: bool,
    },
    /// List the groups that this node is or was a member of, and those it asked to join
    List,
    /// Show a group: its kind, its rules, its requests to join
    Show {
        /// Its name or id
        group: String,
    },
    /// List the members of a group
    Members {
        /// Its name or id
        group: String,
    },
    /// Give a member another role, below yours
    Role {
        /// Its name or id
        group: String,
        /// A member's name or id
        node: String,
        /// guest (reads), member (posts), moderator (removes) or admin (invites)
        role: GroupRole,
    },
    /// Make another member the owner; this node becomes an admin
    Transfer {
        /// Its name or id
        group: String,
        /// A member's name or id
        node: String,
    },
    /// Add a node that asked to join
    Approve {
        /// Its name or id
        group: String,
        /// The node that asked: a name or id
        node: String,
    },
    /// Do not add a node that asked to join
    Decline {
        /// Its name or id
        group: String,
        /// The node that asked: a name or id
        node: String,
    },
    /// Remove a member: it cannot read later messages
    Kick {
        /// Its name or id
        group: String,
        /// A member's name or id
        node: String,
    },
    /// Remove a node and refuse its return, also with a ticket
    Ban {
        /// Its name or id
        group: String,
        /// A name or id
        node: String,
    },
    /// End a ban: the node may be invited again
    Unban {
        /// Its name or id
        group: String,
        /// A name or id
        node: String,
    },
    /// Leave a group, or cancel a request to join
    Leave {
        /// Its name or id
        group: String,
    },
    /// Give a group another name
    Rename {
        /// Its name or id
        group: String,
        /// 1 to 64 bytes
        name: String,
    },
    /// Give a group another description
    Describe {
        /// Its name or id
        group: String,
        /// At most 1,024 bytes
        text: String,
    },
    /// Show a message of a group above the others
    Pin {
        /// Its name or id
        group: String,
        /// The message: its id in `donp history`, or the beginning of it
        message: String,
    },
    /// Stop showing a message above the others
    Unpin {
        /// Its name or id
        group: String,
        /// The message: its id in `donp group show`, or the beginning of it
        message: String,
    },
    /// Change the rules of a group of yours; omitted options are unchanged
    Policy {
        /// Its name or id
        group: String,
        #[command(flatten)]
        policy: Policy,
        /// Add holders of a ticket at once
        #[arg(long, conflicts_with = "approve")]
        no_approve: bool,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    /// 1 to 64 bytes
    pub name: String,
    /// public (anyone with a ticket or the id, nothing in it is secret), private (by invitation), secret (private, and
    /// leaves no trace outside) or temporary (until --expires) [default: private]
    #[arg(long)]
    pub kind: Option<GroupKind>,
    /// A temporary group ends this long from now, as 2h or 7d
    #[arg(long, value_parser = long_duration, value_name = "TIME")]
    pub expires: Option<Duration>,
    #[command(flatten)]
    pub policy: Policy,
}

#[derive(Debug, Args)]
pub struct Invitation {
    /// Its name or id
    pub group: String,
    /// Role of the new member
    #[arg(long, default_value = "member")]
    pub role: GroupRole,
    /// How many nodes may use it
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub uses: u32,
    /// Valid for this long, as 2h or 7d
    #[arg(long, default_value = "7d", value_parser = long_duration, value_name = "TIME")]
    pub expires: Duration,
    /// Only this node can use it: a name or id
    #[arg(long = "for", value_name = "NODE")]
    pub node: Option<String>,
}

/// Which role may do what. Omitted options are unchanged.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Policy {
    /// Older messages that newcomers may read: none, all, a number of messages as 100, or of days as 7d
    #[arg(long, value_name = "none|all|N|Nd")]
    pub history: Option<GroupHistory>,
    /// Holders of an open ticket wait for `donp group approve`
    #[arg(long)]
    pub approve: bool,
    /// The lowest role that posts
    #[arg(long, value_name = "ROLE")]
    pub post: Option<GroupRole>,
    /// The lowest role that invites
    #[arg(long, value_name = "ROLE")]
    pub invite_role: Option<GroupRole>,
    /// The lowest role that changes name and description
    #[arg(long, value_name = "ROLE")]
    pub describe_role: Option<GroupRole>,
    /// The lowest role that pins messages
    #[arg(long, value_name = "ROLE")]
    pub pin_role: Option<GroupRole>,
}

/// At most a year.
fn long_duration(text: &str) -> Result<Duration, String> {
    let d = humantime::parse_duration(text).map_err(|e| format!("{e} (write it as 2h or 7d)"))?;
    let year = Duration::from_secs(366 * 86_400);
    if d.is_zero() || d > year { Err("more than nothing and at most a year".into()) } else { Ok(d) }
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::Parser as _;

    #[test]
    fn what_no_group_can_be_is_refused() {
        for args in [
            vec!["create"],
            vec!["create", "team", "--kind", "open"],
            vec!["create", "team", "--history", "some"],
            vec!["create", "team", "--expires", "0s"],
            vec!["create", "team", "--expires", "2000d"],
            vec!["create", "team", "--post", "boss"],
            vec!["invite", "team", "--uses", "0"],
            vec!["role", "team", "bob"],
            vec!["policy", "team", "--approve", "--no-approve"],
        ] {
            assert!(Cli::try_parse_from([vec!["donp", "group"], args.clone()].concat()).is_err(), "{args:?}");
        }
        for args in [
            vec!["create", "team", "--kind", "temporary", "--expires", "2h", "--history", "7d", "--post", "admin"],
            vec!["invite", "#team", "--role", "guest", "--uses", "5", "--expires", "7d", "--for", "bob"],
            vec!["policy", "team", "--no-approve", "--history", "100"],
        ] {
            assert!(Cli::try_parse_from([vec!["donp", "group"], args.clone()].concat()).is_ok(), "{args:?}");
        }
    }
}
