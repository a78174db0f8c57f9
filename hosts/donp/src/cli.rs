//! The command line.

mod contact;
mod device;
mod file;
mod group;

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use contact::ContactVerb;
pub use device::DeviceVerb;
pub use file::FileVerb;
pub use group::{Create, GroupVerb, Invitation, Policy};

/// Serverless chat over an encrypted overlay network.
#[derive(Debug, Parser)]
#[command(
    name = "donp",
    version,
    disable_help_subcommand = true,
    after_help = "\
Exit codes: 0 done, 1 failed (you can fix it), 2 usage, 3 network or time-out (what was queued stays
queued), 4 key untrusted or changed, 5 refused or too much at once, 6 storage (locked, wrong passphrase,
damaged, full), 7 no daemon, 70 bug, 130 interrupted.
Data goes to stdout, everything else to stderr. With --json each line of stdout is one object with
\"v\" and \"type\"; ignore fields and types you do not know.
A first try: donp demo"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Whose node: a folder under the state folder
    #[arg(short, long, global = true, env = "DONP_PROFILE", default_value = "default", value_name = "NAME")]
    pub profile: String,
    /// Where profiles are kept [default: $XDG_STATE_HOME/donp]
    #[arg(long, global = true, env = "DONP_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The configuration file [default: $XDG_CONFIG_HOME/donp/config.toml]
    #[arg(long, global = true, env = "DONP_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One JSON object per line on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Only errors on stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More on stderr; twice for every step
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Do not talk to a running daemon; open the profile here
    #[arg(long, global = true)]
    pub no_daemon: bool,
    /// Read the profile's passphrase from the first line of a file (or set DONP_PASSPHRASE)
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the profile's passphrase from the first line a command prints
    #[arg(long, global = true, value_name = "COMMAND")]
    pub passphrase_command: Option<String>,
    /// The key file of a profile without a passphrase [default: `key` in its folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a whole network on this machine: talk, kill a node, restart it, and check everything
    Demo(Demo),
    /// Make a profile: a new identity
    Init(Init),
    /// Run the node of a profile in the foreground
    Run(Run),
    /// Send a message
    Send(Send),
    /// Show what arrived since the last time
    Recv(Recv),
    /// Show a conversation in its causal order
    History(History),
    /// Print a ticket that brings somebody into this network
    Invite,
    /// Enter a network with a ticket or an address
    Join {
        /// TICKET, host:port or host:port/NODE_ID
        target: String,
    },
    /// Say goodbye to every peer and take no part until `join`
    Leave,
    /// Show the node's state and counters
    Status,
    /// List the nodes that are known
    Peers,
    /// Groups: their members read what is said in them, others do not
    Group {
        #[command(subcommand)]
        what: GroupVerb,
    },
    /// Files that messages name: fetch, save, list and remove them
    File {
        #[command(subcommand)]
        what: FileVerb,
    },
    /// Contacts: people under your own names, with safety numbers, and requests of strangers
    Contact {
        #[command(subcommand)]
        what: ContactVerb,
    },
    /// Your devices: several profiles that are one account
    Device {
        #[command(subcommand)]
        what: DeviceVerb,
    },
    /// Ask a node's device to prove that it is at the other end of the link, now
    Authenticate {
        /// Your name for it, the name it claims, the beginning of its id, or its id
        node: String,
    },
    /// Block a node: no link with it, no private messages, nothing of it is shown
    Block {
        /// A name, the beginning of an id, or an id
        peer: String,
    },
    /// End a block
    Unblock {
        /// A name, the beginning of an id, or an id
        peer: String,
    },
    /// List the blocked nodes
    Blocked,
    /// Show who this profile is
    Whoami,
    /// Look at every record of the profile: whether anything was changed or is missing
    Check {
        /// Mend it: keep all that can be read, and the damaged file as it is in a folder beside it
        #[arg(long)]
        repair: bool,
    },
    /// Copy the profile, also while its node runs
    Backup {
        /// The folder to make; or one file, if the name ends with .donp
        place: PathBuf,
    },
    /// Make this profile from a backup. It goes on in a log of its own, so that nothing said since is lost
    Restore {
        /// The folder or file that `donp backup` made
        place: PathBuf,
    },
    /// Carry a profile to another machine in one sealed file, or change its passphrase
    Profile {
        #[command(subcommand)]
        what: ProfileVerb,
    },
    /// Explain the bytes of a datagram, given in hex
    Decode {
        /// The bytes; `-` reads them
        hex: String,
    },
    /// Show the settings and where they come from
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Show the version
    Version,
}

#[derive(Debug, Subcommand)]
pub enum ProfileVerb {
    /// Write the whole profile to one file, sealed under a passphrase of its own, also while its node runs
    Export {
        /// The file to make
        file: PathBuf,
        /// Read the file's passphrase from the first line of a file (or set DONP_EXPORT_PASSPHRASE)
        #[arg(long, value_name = "FILE")]
        export_passphrase_file: Option<PathBuf>,
    },
    /// Make this profile from a file that `export` wrote. It goes on in a log of its own, so that nothing is lost
    Import {
        /// The file
        file: PathBuf,
        /// Read the file's passphrase from the first line of a file (or set DONP_EXPORT_PASSPHRASE)
        #[arg(long, value_name = "FILE")]
        export_passphrase_file: Option<PathBuf>,
    },
    /// Protect the profile by a new passphrase, or by none
    #[command(group = clap::ArgGroup::new("new").required(true))]
    Passphrase {
        /// Read the new passphrase from the first line of a file
        #[arg(long, value_name = "FILE", group = "new")]
        new_passphrase_file: Option<PathBuf>,
        /// By a key file beside the profile: whoever can read its folder can read everything in it
        #[arg(long, group = "new")]
        none: bool,
    },
}

#[derive(Debug, Args)]
pub struct Init {
    /// The name shown to others
    #[arg(long)]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Where to listen, again for more [default: any port of IPv4 and IPv6]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<String>,
    /// Where to enter the network, again for more
    #[arg(long, value_name = "HOST:PORT[/NODE_ID]")]
    pub bootstrap: Vec<String>,
    /// Where others can reach this node, if it cannot know (container, forwarded port), again for more
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub announce: Vec<String>,
    /// Find nodes on the local network by multicast: on, off, or compat to use 224.0.0.1 too [default: on]
    #[arg(long, value_name = "HOW")]
    pub lan: Option<String>,
    /// Make the network bad, such as drop=5%,dup=1%,reorder=5%,corrupt=1%,delay=20..80ms
    #[arg(long, value_name = "FAULTS")]
    pub fault: Option<String>,
    /// bootstrap, regular, super or relay
    #[arg(long, value_name = "TYPE")]
    pub node_type: Option<String>,
    /// normal, or low for a phone: it wakes twice or three times a minute while nothing happens
    #[arg(long, value_name = "HOW")]
    pub power: Option<String>,
    /// A file with the key of a closed network, 64 hex digits
    #[arg(long, value_name = "FILE")]
    pub network_key_file: Option<PathBuf>,
    /// Seed of the faults, to repeat a run
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// End when stdin ends: a child does not outlive its parent
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// Not at all: it is on disk here
    None,
    /// Until it is on its way
    Sent,
    /// Until the other side has stored it, or another member of the group
    Delivered,
    /// Until all members of the group have stored it
    All,
}

impl Wait {
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::All => "all",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
A text that begins with a dash goes after --: donp send PEER -- -x
Answers at once, when the message is on disk here. Exit codes: 0 the message is kept, and has come as far as --wait asks;
3 it has not come so far within --timeout, stays queued and goes when they are back; 5 the other node does not take it.
An id is one that `donp history` shows, or at least six characters of its beginning.")]
pub struct Send {
    /// `all`, a node id, the beginning of one, a peer's name, or a group: '#NAME' (with quotes, `#` begins a comment in a
    /// shell), its name or id
    pub to: String,
    /// What to say, several words as one text; `-` alone reads it from stdin
    #[arg(required_unless_present_any = ["retract", "file"])]
    pub text: Vec<String>,
    /// A file that goes with it; others fetch it with `donp file get`
    #[arg(long, value_name = "PATH", conflicts_with = "about")]
    pub file: Option<PathBuf>,
    /// Wait until it has come so far
    #[arg(long, value_enum, default_value = "none")]
    pub wait: Wait,
    /// At most this long
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
    /// The message this answers
    #[arg(long, value_name = "ID", group = "about")]
    pub reply_to: Option<String>,
    /// The own message whose text this replaces
    #[arg(long, value_name = "ID", group = "about")]
    pub edit: Option<String>,
    /// The message this marks
    #[arg(long, value_name = "ID", group = "about")]
    pub react: Option<String>,
    /// The own message to take back
    #[arg(long, value_name = "ID", group = "about", conflicts_with = "text")]
    pub retract: Option<String>,
}

#[derive(Debug, Args)]
pub struct Recv {
    /// Go on until interrupted
    #[arg(long)]
    pub follow: bool,
    /// Begin after this event number instead of the last one that was handled
    #[arg(long, value_name = "CURSOR")]
    pub from: Option<u64>,
    /// Do not mark as handled: it comes again the next time
    #[arg(long)]
    pub no_ack: bool,
    /// With --follow: wait for the daemon when it is not there, and go on after the last event that was shown
    #[arg(long, requires = "follow")]
    pub reconnect: bool,
    /// Times in UTC instead of the local ones
    #[arg(long)]
    pub utc: bool,
}

#[derive(Debug, Args)]
pub struct History {
    /// `all`, a node id, the beginning of one, a peer's name, or a group: '#NAME' (with quotes), its name or id
    #[arg(default_value = "all")]
    pub to: String,
    /// At most this many messages, the newest ones
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    pub limit: u32,
    /// Only what was said before this message: an id that is shown, or the beginning of one
    #[arg(long, value_name = "ID")]
    pub before: Option<String>,
    /// Mark the conversation as read up to the newest message that is shown
    #[arg(long)]
    pub mark_read: bool,
    /// Only messages that contain this, in any case, with accents composed or not
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Messages as they were sent, and edits, retractions and reactions as messages of their own
    #[arg(long)]
    pub originals: bool,
    /// Times in UTC instead of the local ones
    #[arg(long)]
    pub utc: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Every setting as it applies
    Show {
        /// Say where each one comes from
        #[arg(long)]
        origin: bool,
    },
    /// Where the file is
    Path,
    /// A commented file with every key and its default
    Example,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// How many nodes; from three on they also talk in a group, from four on with a newcomer
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=32))]
    pub nodes: u8,
    /// Broadcasts by each node, and private messages each way between the first two
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub messages: u16,
    /// Make the network bad, such as drop=5%,dup=1%,reorder=5%,corrupt=1%,delay=20..80ms
    #[arg(long, value_name = "FAULTS")]
    pub fault: Option<String>,
    /// Seed of the faults and of the nodes' pace
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Keep the profiles and logs in this folder, which must not hold anything yet
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// FAIL if it takes longer
    #[arg(long, default_value = "120s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
}

/// What to type instead, where the command line of `donp send` was not understood and a text is the likely reason.
pub fn hint(e: &clap::Error, args: impl Iterator<Item = String>) -> Option<String> {
    let args: Vec<String> = args.collect();
    let is_send = args.iter().any(|arg| arg == "send");
    let profile = args.windows(2).find(|two| ["-p", "--profile"].contains(&two[0].as_str()));
    let donp = profile.map_or_else(|| "donp".into(), |two| format!("donp -p {}", two[1]));
    match e.kind() {
        ErrorKind::UnknownArgument if is_send => {
            Some(format!("a text that begins with a dash goes after --: {donp} send PEER -- '-x'"))
        }
        ErrorKind::MissingRequiredArgument if is_send => Some(format!(
            "{donp} send PEER TEXT; a text that begins with a dash goes after --, as in {donp} send PEER -- '-x'; \
             the name of a group needs quotes, as in {donp} send '#team' TEXT"
        )),
        _ => None,
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let d = humantime::parse_duration(text).map_err(|e| format!("{e} (write it as 30s, 500ms or 2m)"))?;
    if d <= Duration::from_secs(86_400) { Ok(d) } else { Err("at most a day".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_its_own_rules() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_anywhere() {
        let before = Cli::try_parse_from(["donp", "--json", "-p", "a", "status"]).unwrap();
        let after = Cli::try_parse_from(["donp", "status", "-p", "a", "--json"]).unwrap();
        assert!(before.global.json && after.global.json);
        assert_eq!(before.global.profile, after.global.profile);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for args in [
            vec!["send", "all"],
            vec!["send", "all", "x", "--retract", "m1"],
            vec!["send", "all", "x", "--edit", "m1", "--react", "m2"],
            vec!["send", "all", "x", "--timeout", "soon"],
            vec!["demo", "--nodes", "1"],
            vec!["demo", "--nodes", "33"],
        ] {
            assert!(Cli::try_parse_from([vec!["donp"], args.clone()].concat()).is_err(), "{args:?}");
        }
        assert!(Cli::try_parse_from(["donp", "send", "all", "--retract", "m1"]).is_ok());
    }

    #[test]
    fn a_text_that_is_taken_for_an_option_says_how_it_goes() {
        let hint_of = |args: &[&str]| {
            let args = [&["donp"], args].concat();
            let e = Cli::try_parse_from(&args).unwrap_err();
            hint(&e, args.into_iter().map(String::from))
        };
        assert!(hint_of(&["send", "bob", "-x"]).unwrap().contains("donp send PEER -- '-x'"));
        assert!(hint_of(&["-p", "eve", "send", "bob", "-5"]).unwrap().contains("donp -p eve send PEER --"));
        assert!(hint_of(&["send", "bob", "-v"]).unwrap().contains("after --"));
        assert!(hint_of(&["send"]).unwrap().contains("'#team'"));
        assert_eq!(hint_of(&["history", "-x"]), None);
        let sent = |args: &[&str]| match Cli::try_parse_from([&["donp", "send"], args].concat()).unwrap().verb {
            Verb::Send(send) => send.text.join(" "),
            other => panic!("{other:?}"),
        };
        assert_eq!(sent(&["bob", "hello", "world", "--wait", "sent"]), "hello world");
        assert_eq!(sent(&["bob", "--", "-x"]), "-x");
    }
}
