//! Errors as people and scripts see them: one sentence that says what, one that says what to do, and
//! an exit code that is part of the interface.

use std::fmt;

use donp_core::CommandError;
use donp_runtime::{ErrorKind, NodeError, StoreError};
use serde_json::{Value, json};

use crate::text::escape_for_terminal;

/// Exit codes. Scripts depend on them: they are added to, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did not work and the person can fix it.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The network or the time: what was queued stays queued.
    Network = 3,
    /// A key is not trusted or has changed.
    Untrusted = 4,
    /// Refused, or too much at once.
    Refused = 5,
    /// The store: locked, wrong passphrase, damaged, full.
    Storage = 6,
    /// No daemon runs for this profile.
    NoDaemon = 7,
    /// A bug.
    Bug = 70,
    /// Stopped by a signal.
    Interrupted = 130,
}

impl Exit {
    const ALL: [Self; 9] = [
        Self::Failed,
        Self::Usage,
        Self::Network,
        Self::Untrusted,
        Self::Refused,
        Self::Storage,
        Self::NoDaemon,
        Self::Bug,
        Self::Interrupted,
    ];

    /// The number a process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|e| u64::from(e.code()) == code)
    }
}

/// Why a verb did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What kind of error a program in another language gets.
    pub kind: ErrorKind,
    /// Whether the same call can succeed later without being changed.
    pub retryable: bool,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// Of the kind that most failures with this code are.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        let kind = match exit {
            Exit::Failed => ErrorKind::NotFound,
            Exit::Usage => ErrorKind::InvalidInput,
            Exit::Network => ErrorKind::Timeout,
            Exit::Untrusted | Exit::Refused => ErrorKind::Denied,
            Exit::Storage => ErrorKind::Storage,
            Exit::NoDaemon => ErrorKind::NotRunning,
            Exit::Bug => ErrorKind::Internal,
            Exit::Interrupted => ErrorKind::Closed,
        };
        Self { exit, kind, retryable: kind == ErrorKind::Timeout, what: what.into(), hint: None }
    }

    /// Of another kind than [`new`](Self::new) takes it for.
    #[must_use]
    pub fn kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// As the error that it puts in words.
    fn like(self, kind: ErrorKind, retryable: bool) -> Self {
        Self { kind, retryable, ..self }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The `data` of a JSON-RPC error, and the body of `--json` errors.
    pub fn to_json(&self) -> Value {
        json!({
            "exit": self.exit.code(),
            "kind": self.kind.name(),
            "retryable": self.retryable,
            "message": self.what,
            "try": self.hint,
        })
    }

    /// What the other side of a control socket reported.
    pub fn from_rpc(error: &Value) -> Self {
        let data = &error["data"];
        let exit = data["exit"].as_u64().and_then(Exit::from_code).unwrap_or(Exit::Failed);
        let named = |kind: &ErrorKind| data["kind"] == kind.name();
        Self {
            exit,
            kind: ErrorKind::ALL.iter().copied().find(named).unwrap_or(ErrorKind::Internal),
            retryable: data["retryable"] == true,
            what: error["message"].as_str().unwrap_or("the daemon refused without a reason").into(),
            hint: data["try"].as_str().map(Into::into),
        }
    }
}

impl fmt::Display for Failure {
    /// Safe for a terminal: what is quoted in an error may come from the network.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", escape_for_terminal(&self.what))?;
        match &self.hint {
            Some(hint) => write!(f, "\ntry:   {}", escape_for_terminal(hint)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        let (kind, retryable, what) = ((&e).into(), e.retryable(), e.to_string());
        let failure = match e {
            StoreError::Missing(_) => {
                Self::new(Exit::Failed, what).hint("donp init --name YOUR_NAME (with the same --profile)")
            }
            StoreError::Exists(_) => {
                Self::new(Exit::Failed, what).hint("use it, or choose another name with --profile")
            }
            StoreError::Denied(_) => Self::new(Exit::Storage, what)
                .hint("run donp as the user whose profile it is, or use another --profile"),
            StoreError::ReadOnly(_) => Self::new(Exit::Storage, what)
                .hint("history, status, whoami and recv --no-ack work there; to change it, make the disk writable"),
            StoreError::InUse { .. } => {
                Self::new(Exit::Storage, what).hint("stop that process, or leave out --no-daemon to talk to it")
            }
            StoreError::PassphraseNeeded(_) => {
                Self::new(Exit::Storage, what).hint("--passphrase-file, --passphrase-command or DONP_PASSPHRASE")
            }
            StoreError::WrongPassphrase(_) => Self::new(Exit::Storage, what)
                .hint("use the passphrase that the profile was made with; the profile is undamaged"),
            StoreError::KeyFile { .. } => {
                Self::new(Exit::Storage, what).hint("restore the file, or give its path with --key-file")
            }
            StoreError::Damaged { .. } => {
                Self::new(Exit::Storage, what).hint("donp restore a backup, and check the disk")
            }
            StoreError::Newer { .. } => Self::new(Exit::Storage, what).hint("use the newer version of donp"),
            StoreError::Older { .. } => Self::new(Exit::Storage, what)
                .hint("make a new profile with `donp init`; older formats are not read before the first release"),
            StoreError::Full => {
                Self::new(Exit::Storage, format!("{what}: nothing was stored")).hint("free disk space, then try again")
            }
            _ => Self::new(Exit::Storage, what).hint("check the disk and the folder's permissions"),
        };
        failure.like(kind, retryable)
    }
}

impl From<NodeError> for Failure {
    fn from(e: NodeError) -> Self {
        let (kind, retryable) = ((&e).into(), e.retryable());
        let failure = match e {
            NodeError::Store(e) => e.into(),
            NodeError::Command(e) => e.into(),
            NodeError::Unstored { id, source } => Self::new(
                Exit::Storage,
                format!(
                    "{source}: message {id} is in the node's memory and not on the disk; it is sent when it is written"
                ),
            )
            .hint("free disk space before the node ends; do not send the message again"),
            NodeError::NoTarget(id) => Self::new(Exit::Failed, format!("message {id} is not in this conversation"))
                .hint("use an id as `donp history --json` shows it, in the same conversation"),
            NodeError::NotOwn { id, author } => {
                Self::new(Exit::Failed, format!("message {id} is of {author}: only its author can edit or retract it"))
                    .hint("--reply-to or --react")
            }
            NodeError::Listen { addr, source } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Self::new(Exit::Failed, format!("port {} on {} is in use", addr.port(), addr.ip()))
                    .hint("use another port with --listen, or port 0 for any")
            }
            NodeError::Listen { .. } => {
                Self::new(Exit::Failed, e.to_string()).hint("use an address of this machine with --listen")
            }
            NodeError::Bootstrap(_) => {
                Self::new(Exit::Failed, e.to_string()).hint("host:port or host:port/NODE_ID, as `donp whoami` shows it")
            }
            NodeError::Config(_) => Self::new(Exit::Failed, e.to_string()).hint("donp config show --origin"),
            NodeError::Restore(_) => {
                Self::new(Exit::Storage, e.to_string()).hint("donp check --repair, or donp restore a backup")
            }
            NodeError::Timeout(_) => Self::new(Exit::Network, e.to_string()).hint("donp status"),
            NodeError::Crashed => Self::new(Exit::Bug, e.to_string()).hint("start it again, and report this bug"),
            NodeError::Closed => Self::new(Exit::NoDaemon, e.to_string()).hint("donp run"),
            _ => Self::new(Exit::Failed, e.to_string()),
        };
        failure.like(kind, retryable)
    }
}

impl From<CommandError> for Failure {
    fn from(e: CommandError) -> Self {
        let (kind, retryable) = ((&e).into(), e.retryable());
        let failure = match e {
            CommandError::TooLong { len, max } => {
                Self::new(Exit::Failed, format!("the text has {len} bytes and a message carries at most {max}"))
                    .hint("shorten it or send it in parts")
            }
            CommandError::Empty("name") => {
                Self::new(Exit::Usage, "the name is empty").hint("give a name of 1 to 64 bytes")
            }
            CommandError::Empty(what) => {
                let hint = match what {
                    "text" => "give a text, or `-` to read it from stdin",
                    _ => "give some words to search for, or leave out --search",
                };
                Self::new(Exit::Usage, format!("the {what} is empty")).hint(hint)
            }
            CommandError::ToSelf => {
                Self::new(Exit::Failed, "this node cannot send a message to itself").hint("donp peers")
            }
            CommandError::Busy(what) => Self::new(Exit::Refused, format!("the {what} is full")).hint("try again later"),
            CommandError::NotRunning => {
                Self::new(Exit::Failed, "the node left the network or is suspended").hint("donp join, or restart it")
            }
            CommandError::UnknownPeer(id) => Self::new(Exit::Failed, format!("node {id} is unknown here"))
                .hint("use a ticket from it: donp join TICKET"),
            CommandError::Blocked(id) => Self::new(Exit::Failed, format!("node {} is blocked here", id.short()))
                .hint(format!("donp unblock {}", id.short())),
            CommandError::OtherNetwork => Self::new(Exit::Failed, "this profile belongs to another network")
                .hint("a new profile for it: donp -p NAME init, then donp -p NAME join TICKET"),
            CommandError::NotAllowed(why) => {
                Self::new(Exit::Refused, why).hint("donp group show GROUP shows the rules")
            }
            CommandError::KeyChanged(id) => Self::new(
                Exit::Untrusted,
                format!("the key of contact {} changed since you verified it: nothing is sent to it", id.short()),
            )
            .hint(format!("compare again with donp contact verify {0}, or donp contact accept-change {0}", id.short())),
            CommandError::NumberDiffers(id) => Self::new(
                Exit::Untrusted,
                format!("this is not the safety number with {}: one side has a wrong key", id.short()),
            )
            .hint("compare all 60 digits again; if they differ, send nothing secret"),
            CommandError::KeysUnknown(id) => {
                Self::new(Exit::Network, format!("the keys of {} are not known here yet", id.short()))
                    .hint("try again when it is connected: donp peers shows the connected nodes")
            }
            CommandError::NameTaken(id) => {
                Self::new(Exit::Failed, format!("another contact has this name already: {}", id.short()))
                    .hint("choose another name, or rename that one first: donp contact rename")
            }
            CommandError::Unreadable(what) if what.starts_with("name") => {
                Self::new(Exit::Usage, format!("not a valid {what}"))
                    .hint("choose a shorter name, of letters and digits")
            }
            CommandError::Unreadable(what) => Self::new(Exit::Usage, format!("not a valid {what}"))
                .hint("copy it whole, as `donp contact show` prints it at the contact"),
            CommandError::Unknown("contact" | "request") => {
                Self::new(Exit::Failed, "that node is not in your contacts, or has no request")
                    .hint("donp contact list")
            }
            CommandError::Unknown("change of a key") => {
                Self::new(Exit::Failed, "that contact is not verified, or its key did not change")
                    .hint("donp contact list")
            }
            CommandError::Unknown("conversation") => {
                Self::new(Exit::Failed, "that conversation has no messages").hint("donp contact list")
            }
            CommandError::Unknown("group") => {
                Self::new(Exit::Failed, "no such group: this node is not and was not a member of it")
                    .hint("donp group list")
            }
            CommandError::Unknown("member") => {
                Self::new(Exit::Failed, "that node is not a member of the group").hint("donp group members GROUP")
            }
            CommandError::Unknown("request to join") => {
                Self::new(Exit::Failed, "that node did not ask to join the group")
                    .hint("donp group show GROUP lists the requests")
            }
            other => Self::new(Exit::Failed, other.to_string()),
        };
        failure.like(kind, retryable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_the_control_socket_unchanged() {
        for exit in Exit::ALL {
            let failure = Failure::new(exit, "what").hint("do");
            let error = json!({ "code": -32_000, "message": failure.what, "data": failure.to_json() });
            assert_eq!(Failure::from_rpc(&error), failure);
        }
        for kind in ErrorKind::ALL {
            let failure = Failure::new(Exit::Failed, "what").like(*kind, true);
            assert_eq!(Failure::from_rpc(&json!({ "message": "what", "data": failure.to_json() })), failure);
        }
        assert_eq!(Failure::from_rpc(&json!({})).exit, Exit::Failed);
    }

    /// Mutation: one of the three `From` does without `like`.
    #[test]
    fn a_failure_has_the_kind_of_its_error() {
        let is = |failure: Failure| (failure.exit, failure.kind, failure.retryable);
        let busy: Failure = CommandError::Busy("outbox").into();
        assert_eq!(is(busy), (Exit::Refused, ErrorKind::Busy, true));
        let is_own: Failure = NodeError::Command(CommandError::ToSelf).into();
        assert_eq!(is(is_own), (Exit::Failed, ErrorKind::InvalidInput, false));
        let full: Failure = NodeError::Store(StoreError::Full).into();
        assert_eq!(is(full), (Exit::Storage, ErrorKind::Storage, true));
        assert_eq!(is(StoreError::Exists("x".into()).into()), (Exit::Failed, ErrorKind::AlreadyExists, false));
        assert_eq!(is(NodeError::NotStarted.into()), (Exit::Failed, ErrorKind::NotRunning, false));
    }

    #[test]
    fn the_codes_are_the_documented_ones() {
        assert_eq!(Exit::ALL.map(Exit::code), [1, 2, 3, 4, 5, 6, 7, 70, 130]);
    }

    #[test]
    fn quoted_text_cannot_steer_a_terminal() {
        let text = Failure::new(Exit::Failed, "bad \u{1b}[31m \u{202e}name").hint("x\ny").to_string();
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert_eq!(text.lines().count(), 2);
    }
}
