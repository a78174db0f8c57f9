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
    /// Print a ticket that makes somebody a member. This node adds who comes with it, so it is to be online then
    Invite(Invitation),
    /// Ask to be a member with a ticket from `donp group invite`
    Join {
        /// The ticket
        ticket: String,
        /// Wait at most this long for the answer
        #[arg(long, default_value = "30s", value_parser = super::duration, value_name = "TIME")]
        timeout: Duration,
        /// Do not wait: `donp group list` shows what became of it
        #[arg(long)]
        no_wait: bool,
    },
    /// List the groups that this node is or was in, and those it asked to join
    List,
    /// Show a group: what it is, who may do what, who waits to join
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
    /// Make another member the owner; this node is an admin then
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
        /// Who asked: a name or id
        node: String,
    },
    /// Do not add a node that asked to join
    Decline {
        /// Its name or id
        group: String,
        /// Who asked: a name or id
        node: String,
    },
    /// Remove a member: it reads nothing that is said from then on
    Kick {
        /// Its name or id
        group: String,
        /// A member's name or id
        node: String,
    },
    /// Remove a node for good: no invitation brings it back
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
    /// Leave a group, or give up to join it
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
    /// Do not show a message above the others any more
    Unpin {
        /// Its name or id
        group: String,
        /// The message: its id in `donp group show`, or the beginning of it
        message: String,
    },
    /// Change who may do what in a group of yours; what is not given stays
    Policy {
        /// Its name or id
        group: String,
        #[command(flatten)]
        policy: Policy,
        /// Who comes with a ticket is added at once
        #[arg(long, conflicts_with = "approve")]
        no_approve: bool,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    /// 1 to 64 bytes
    pub name: String,
    /// public (anybody who has a ticket or the id, nothing in it is secret), private (by invitation), secret (and no trace of
    /// it outside) or temporary (until --expires) [default: private]
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
    /// What who comes with it is
    #[arg(long, default_value = "member")]
    pub role: GroupRole,
    /// How many may come with it
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub uses: u32,
    /// It is good for this long, as 2h or 7d
    #[arg(long, default_value = "7d", value_parser = long_duration, value_name = "TIME")]
    pub expires: Duration,
    /// Only this node can come with it: a name or id
    #[arg(long = "for", value_name = "NODE")]
    pub node: Option<String>,
}

/// Who may do what. What is not given is as it was.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Policy {
    /// What newcomers may read of what was said before: none, all, a number of messages as 100, or of days as 7d
    #[arg(long, value_name = "none|all|N|Nd")]
    pub history: Option<GroupHistory>,
    /// Who comes with a ticket for anybody waits until `donp group approve`
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
