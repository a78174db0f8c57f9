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
    /// Profile name: a folder under the state folder
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
    /// More log output on stderr; -vv logs every step
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
    /// Show a conversation in causal order: a reply never before the message it answers
    History(History),
    /// Print a ticket with which another node joins this network
    Invite,
    /// Enter a network with a ticket or an address
    Join {
        /// TICKET, host:port or host:port/NODE_ID
        target: String,
    },
    /// Disconnect from every peer and stay offline until `join`
    Leave,
    /// Show the node's state and counters
    Status,
    /// List the known nodes
    Peers,
    /// Groups: only their members can read their messages
    Group {
        #[command(subcommand)]
        what: GroupVerb,
    },
    /// Files attached to messages: fetch, save, list and remove them
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
    /// Show this profile's name, ids, folder and protection
    Whoami,
    /// Check every record of the profile for damage and loss
    Check {
        /// Repair it: keep every readable record and move the damaged file to a folder beside it
        #[arg(long)]
        repair: bool,
    },
    /// Copy the profile; its node may be running
    Backup {
        /// The folder to make; or one file, if the name ends with .donp
        place: PathBuf,
    },
    /// Make this profile from a backup. It starts a new message log, so that nothing sent since the copy is overwritten
    Restore {
        /// The folder or file that `donp backup` made
        place: PathBuf,
    },
    /// Move a profile to another machine in one encrypted file, or change its passphrase
    Profile {
        #[command(subcommand)]
        what: ProfileVerb,
    },
    /// Explain the bytes of a datagram, given in hex
    Decode {
        /// The bytes; `-` reads from stdin
        hex: String,
    },
    /// Show the settings and their origins
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Show the version
    Version,
}

#[derive(Debug, Subcommand)]
pub enum ProfileVerb {
    /// Write the whole profile to one file, encrypted with a passphrase of its own; its node may be running
    Export {
        /// The file to make
        file: PathBuf,
        /// Read the file's passphrase from the first line of a file (or set DONP_EXPORT_PASSPHRASE)
        #[arg(long, value_name = "FILE")]
        export_passphrase_file: Option<PathBuf>,
    },
    /// Make this profile from a file that `export` wrote. It starts a new message log, so that nothing sent since is
    /// overwritten
    Import {
        /// The file
        file: PathBuf,
        /// Read the file's passphrase from the first line of a file (or set DONP_EXPORT_PASSPHRASE)
        #[arg(long, value_name = "FILE")]
        export_passphrase_file: Option<PathBuf>,
    },
    /// Change the protection: a new passphrase, or none
    #[command(group = clap::ArgGroup::new("new").required(true))]
    Passphrase {
        /// Read the new passphrase from the first line of a file
        #[arg(long, value_name = "FILE", group = "new")]
        new_passphrase_file: Option<PathBuf>,
        /// Use a key file beside the profile: anyone with access to the folder can read everything in it
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
    /// Address to listen on, may be repeated [default: any port of IPv4 and IPv6]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<String>,
    /// Node through which to enter the network, may be repeated
    #[arg(long, value_name = "HOST:PORT[/NODE_ID]")]
    pub bootstrap: Vec<String>,
    /// Address at which others reach this node, if it cannot know it (container, forwarded port), may be repeated
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub announce: Vec<String>,
    /// Find nodes on the local network by multicast: on, off, or compat to use 224.0.0.1 too [default: on]
    #[arg(long, value_name = "HOW")]
    pub lan: Option<String>,
    /// Simulate network faults, such as drop=5%,dup=1%,reorder=5%,corrupt=1%,delay=20..80ms
    #[arg(long, value_name = "FAULTS")]
    pub fault: Option<String>,
    /// What this node offers to others: bootstrap, regular, super or relay
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
    /// Do not wait: the message is on disk here
    None,
    /// Until a link carries it
    Sent,
    /// Until the receiver has stored it, or another member of the group
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
Returns as soon as the message is on disk here. Exit codes: 0 stored, and reached the stage of --wait; 3 the stage was not
reached within --timeout, the message stays queued and is sent when the receiver reconnects; 5 rejected by the other node.
An ID is a message id as `donp history` shows it, or at least its first six characters.")]
pub struct Send {
    /// `all`, a node id, the beginning of one, a peer's name, or a group: '#NAME' (with quotes, `#` begins a comment in a
    /// shell), its name or id
    pub to: String,
    /// The text; several words are one text, `-` alone reads it from stdin
    #[arg(required_unless_present_any = ["retract", "file"])]
    pub text: Vec<String>,
    /// Attach a file; others fetch it with `donp file get`
    #[arg(long, value_name = "PATH", conflicts_with = "about")]
    pub file: Option<PathBuf>,
    /// Wait for this stage
    #[arg(long, value_enum, default_value = "none")]
    pub wait: Wait,
    /// Time limit for --wait
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
    /// The message this answers
    #[arg(long, value_name = "ID", group = "about")]
    pub reply_to: Option<String>,
    /// Your message whose text this replaces
    #[arg(long, value_name = "ID", group = "about")]
    pub edit: Option<String>,
    /// The message to react to; TEXT is the reaction
    #[arg(long, value_name = "ID", group = "about")]
    pub react: Option<String>,
    /// Your message to retract
    #[arg(long, value_name = "ID", group = "about", conflicts_with = "text")]
    pub retract: Option<String>,
}

#[derive(Debug, Args)]
pub struct Recv {
    /// Keep printing until interrupted
    #[arg(long)]
    pub follow: bool,
    /// Begin after this event number, not after the last one that was shown
    #[arg(long, value_name = "CURSOR")]
    pub from: Option<u64>,
    /// Do not mark events as handled: the next `recv` shows them again
    #[arg(long)]
    pub no_ack: bool,
    /// With --follow: wait for the daemon while it is away, and continue after the last event that was shown
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
    /// Only messages before this one: its id as shown, or the beginning of it
    #[arg(long, value_name = "ID")]
    pub before: Option<String>,
    /// Mark the conversation as read up to the newest message that is shown
    #[arg(long)]
    pub mark_read: bool,
    /// Only messages that contain this text, ignoring case
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Show messages as they were sent, and edits, retractions and reactions as messages of their own
    #[arg(long)]
    pub originals: bool,
    /// Times in UTC instead of the local ones
    #[arg(long)]
    pub utc: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print every setting in effect
    Show {
        /// Print the origin of each setting
        #[arg(long)]
        origin: bool,
    },
    /// Print the path of the configuration file
    Path,
    /// Print a commented file with every key and its default
    Example,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Number of nodes; from three on they also talk in a group, from four on with a newcomer
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=32))]
    pub nodes: u8,
    /// Broadcasts by each node, and private messages each way between the first two
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub messages: u16,
    /// Simulate network faults, such as drop=5%,dup=1%,reorder=5%,corrupt=1%,delay=20..80ms
    #[arg(long, value_name = "FAULTS")]
    pub fault: Option<String>,
    /// Seed of the faults and of the nodes' pace
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Keep the profiles and logs in this folder, which must be empty or new
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
