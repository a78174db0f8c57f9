//! What can go wrong, in kinds that stay.

use donp_core::{CommandError, ConfigError, RestoreError};
use donp_runtime::{ErrorKind, NodeError, StoreError};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// What can go wrong. The kinds are stable; the words are for people and may change.
        ///
        /// After an error nothing has changed, unless the kind says otherwise.
        #[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
        #[non_exhaustive]
        pub enum DonpError {
            $($(#[$doc])* $kind {
                /// What was wrong, naming it.
                reason: String,
                /// What to do about it.
                hint: String,
                /// Whether the same call can succeed later without being changed.
                retryable: bool,
            },)*
        }

        impl DonpError {
            /// The name of the kind.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$kind { .. } => stringify!($kind),)* }
            }

            fn of(kind: ErrorKind, reason: String, hint: &str, retryable: bool) -> Self {
                let hint = hint.into();
                match kind { $(ErrorKind::$kind => Self::$kind { reason, hint, retryable },)* }
            }

            /// What was wrong, what to do about it, and whether to try again.
            pub fn parts(&self) -> (&str, &str, bool) {
                match self { $(Self::$kind { reason, hint, retryable } => (reason, hint, *retryable),)* }
            }
        }
    };
}

kinds! {
    /// An argument is malformed, too long, too short or empty.
    InvalidInput,
    /// There is no such node, message, event or profile.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// The secret does not fit, or the ticket is for another network.
    Denied,
    /// The node was not started, is suspended, or has left the network.
    NotRunning,
    /// A queue is full.
    Busy,
    /// Another process uses the profile.
    Locked,
    /// No answer in time.
    Timeout,
    /// An address cannot be listened on, or the system refuses a socket.
    Network,
    /// The disk refuses. A message that was being sent is kept and stored as soon as that works.
    Storage,
    /// What is stored is damaged or was written by a newer version.
    Damaged,
    /// The node or stream was shut down.
    Closed,
    /// A bug: the object is dead, what was stored is safe.
    Internal,
}

impl std::fmt::Display for DonpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.parts().0)
    }
}

impl std::error::Error for DonpError {}

impl DonpError {
    pub(crate) fn invalid(reason: impl Into<String>, hint: &str) -> Self {
        Self::InvalidInput { reason: reason.into(), hint: hint.into(), retryable: false }
    }

    pub(crate) fn dead() -> Self {
        Self::Internal {
            reason: "an internal error ended this object".into(),
            hint: "open it again: what was stored is safe; please report the panic on standard error".into(),
            retryable: false,
        }
    }
}

impl From<CommandError> for DonpError {
    fn from(e: CommandError) -> Self {
        let hint = match &e {
            CommandError::Busy(_) => "wait for the event Writable",
            CommandError::NotRunning => "call join, or resume after suspend",
            CommandError::Unknown("group" | "member" | "request to join") => "look at groups and their members",
            CommandError::Unknown("file here") => "look at files; add it, or fetch it first",
            CommandError::Unknown("contact" | "request" | "change of a key" | "conversation") => {
                "look at contacts and conversations"
            }
            CommandError::Unknown(_) => "use a number that an event carried",
            CommandError::UnknownPeer(_) => "join through it, or use a ticket from it",
            CommandError::OtherNetwork => "use a new folder for the other network",
            CommandError::File(_) => "nothing was sent",
            CommandError::NotAllowed(_) => "look at the group's policy and your role",
            CommandError::KeysUnknown(_) => "connect to it: its keys are fetched then",
            CommandError::KeyChanged(_) => "verify_contact, or accept_change",
            CommandError::NumberDiffers(_) => "compare all digits again; if they differ, send nothing",
            CommandError::NameTaken(_) => "choose another name",
            CommandError::Blocked(_) => "unblock it first",
            CommandError::TooLong { .. } => "send it in parts",
            _ => "correct the argument",
        };
        Self::of((&e).into(), e.to_string(), hint, e.retryable())
    }
}

impl From<ConfigError> for DonpError {
    fn from(e: ConfigError) -> Self {
        Self::invalid(e.to_string(), "correct the configuration")
    }
}

impl From<RestoreError> for DonpError {
    fn from(e: RestoreError) -> Self {
        let hint = match &e {
            RestoreError::Config(_) => "correct the configuration",
            RestoreError::OtherIdentity => "restore with the identity the records were made by",
            RestoreError::Record { .. } | RestoreError::UnknownTable(_) => "use a backup, or a newer version",
        };
        Self::of((&e).into(), e.to_string(), hint, false)
    }
}

impl From<StoreError> for DonpError {
    fn from(e: StoreError) -> Self {
        let hint = match &e {
            StoreError::Missing(_) => "give a name to make a profile there",
            StoreError::Exists(_) => "open it instead, or use another folder",
            StoreError::InUse { .. } => "close it there first; one process at a time",
            StoreError::Denied(_) => "open it as the user it belongs to",
            StoreError::ReadOnly(_) => "make the disk writable",
            StoreError::PassphraseNeeded(_) => "give the passphrase",
            StoreError::WrongPassphrase(_) => "give the passphrase the profile was made with",
            StoreError::KeyStoreNeeded(_) => "give the key store the profile was made with",
            StoreError::KeyStore(_) => "unlock the device, or restore a backup",
            StoreError::KeyFile { .. } => "put the profile's key file back",
            StoreError::Damaged { .. } => "restore a backup of the folder",
            StoreError::Newer { .. } => "update this app",
            StoreError::Older { .. } => "make a new profile; until the first release older ones are not read",
            StoreError::InMemory => "give the node a folder",
            StoreError::Closed => "call resume",
            StoreError::Full => "free disk space",
            _ => "look at the disk and the folder's permissions",
        };
        Self::of((&e).into(), e.to_string(), hint, e.retryable())
    }
}

impl From<NodeError> for DonpError {
    fn from(e: NodeError) -> Self {
        let (kind, reason, retryable) = ((&e).into(), e.to_string(), e.retryable());
        let hint = match e {
            NodeError::Command(e) => return e.into(),
            NodeError::Config(e) => return e.into(),
            NodeError::Restore(e) => return e.into(),
            NodeError::Store(e) => return e.into(),
            NodeError::Unstored { .. } => "free disk space; do not send it again",
            NodeError::NoTarget(_) => "use the id of a message that the history of this conversation shows",
            NodeError::NotOwn { .. } => "reply or react to it instead",
            NodeError::Listen { .. } => "use another port, or 0 for any",
            NodeError::Bootstrap(_) => "write it host:port or host:port/NodeId",
            NodeError::Io { .. } | NodeError::File { .. } => "look at what the system said",
            NodeError::Timeout(_) => "try again; the disk may be slow",
            NodeError::NotStarted => "call start first",
            NodeError::OwnThread => "do not run app code on the thread that wakes it",
            NodeError::Closed => "make a new node on the same folder",
            _ => return Self::dead(),
        };
        Self::of(kind, reason, hint, retryable)
    }
}
