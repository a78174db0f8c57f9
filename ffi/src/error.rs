//! What can go wrong, in kinds that stay.

use donp_core::{CommandError, ConfigError, RestoreError};
use donp_runtime::{NodeError, StoreError};

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
        let (reason, retryable) = (e.to_string(), e.retryable());
        match e {
            CommandError::Busy(_) => Self::Busy { reason, hint: "wait for the event Writable".into(), retryable },
            CommandError::NotRunning => {
                Self::NotRunning { reason, hint: "call join, or resume after suspend".into(), retryable }
            }
            CommandError::Unknown("group" | "member" | "request to join") => {
                Self::NotFound { reason, hint: "look at groups and their members".into(), retryable }
            }
            CommandError::Unknown("file here") => {
                Self::NotFound { reason, hint: "look at files; add it, or fetch it first".into(), retryable }
            }
            CommandError::Unknown("contact" | "request" | "change of a key" | "conversation") => {
                Self::NotFound { reason, hint: "look at contacts and conversations".into(), retryable }
            }
            CommandError::Unknown(_) => {
                Self::NotFound { reason, hint: "use a number that an event carried".into(), retryable }
            }
            CommandError::UnknownPeer(_) => {
                Self::NotFound { reason, hint: "join through it, or use a ticket from it".into(), retryable }
            }
            CommandError::OtherNetwork => {
                Self::Denied { reason, hint: "use a new folder for the other network".into(), retryable }
            }
            CommandError::File(_) => Self::invalid(reason, "nothing was sent"),
            CommandError::NotAllowed(_) => {
                Self::Denied { reason, hint: "look at the group's policy and your role".into(), retryable }
            }
            CommandError::KeysUnknown(_) => {
                Self::NotFound { reason, hint: "connect to it: its keys are fetched then".into(), retryable: true }
            }
            CommandError::KeyChanged(_) => {
                Self::Denied { reason, hint: "verify_contact, or accept_change".into(), retryable }
            }
            CommandError::NumberDiffers(_) => Self::Denied {
                reason,
                hint: "compare all digits again; if they differ, send nothing".into(),
                retryable,
            },
            CommandError::NameTaken(_) => Self::AlreadyExists { reason, hint: "choose another name".into(), retryable },
            CommandError::Blocked(_) => Self::Denied { reason, hint: "unblock it first".into(), retryable },
            CommandError::TooLong { .. } => Self::InvalidInput { reason, hint: "send it in parts".into(), retryable },
            _ => Self::InvalidInput { reason, hint: "correct the argument".into(), retryable },
        }
    }
}

impl From<ConfigError> for DonpError {
    fn from(e: ConfigError) -> Self {
        Self::invalid(e.to_string(), "correct the configuration")
    }
}

impl From<RestoreError> for DonpError {
    fn from(e: RestoreError) -> Self {
        let reason = e.to_string();
        match e {
            RestoreError::Config(e) => e.into(),
            RestoreError::OtherIdentity => Self::Denied {
                reason,
                hint: "restore with the identity the records were made by".into(),
                retryable: false,
            },
            RestoreError::Record { .. } | RestoreError::UnknownTable(_) => {
                Self::Damaged { reason, hint: "use a backup, or a newer version".into(), retryable: false }
            }
        }
    }
}

impl From<StoreError> for DonpError {
    fn from(e: StoreError) -> Self {
        let reason = e.to_string();
        let denied = |reason, hint: &str| Self::Denied { reason, hint: hint.into(), retryable: false };
        match e {
            StoreError::Missing(_) => {
                Self::NotFound { reason, hint: "give a name to make a profile there".into(), retryable: false }
            }
            StoreError::Exists(_) => {
                Self::AlreadyExists { reason, hint: "open it instead, or use another folder".into(), retryable: false }
            }
            StoreError::InUse { .. } => {
                Self::Locked { reason, hint: "close it there first; one process at a time".into(), retryable: true }
            }
            StoreError::Denied(_) => denied(reason, "open it as the user it belongs to"),
            StoreError::ReadOnly(_) => denied(reason, "make the disk writable"),
            StoreError::PassphraseNeeded(_) => denied(reason, "give the passphrase"),
            StoreError::WrongPassphrase(_) => denied(reason, "give the passphrase the profile was made with"),
            StoreError::KeyStoreNeeded(_) => denied(reason, "give the key store the profile was made with"),
            StoreError::KeyStore(_) => denied(reason, "unlock the device, or restore a backup"),
            StoreError::KeyFile { .. } => denied(reason, "put the profile's key file back"),
            StoreError::Damaged { .. } => {
                Self::Damaged { reason, hint: "restore a backup of the folder".into(), retryable: false }
            }
            StoreError::Newer { .. } => Self::Damaged { reason, hint: "update this app".into(), retryable: false },
            StoreError::Older { .. } => Self::Damaged {
                reason,
                hint: "make a new profile; until the first release older ones are not read".into(),
                retryable: false,
            },
            StoreError::InMemory => Self::invalid(reason, "give the node a folder"),
            StoreError::Closed => Self::NotRunning { reason, hint: "call resume".into(), retryable: false },
            StoreError::Full => Self::Storage { reason, hint: "free disk space".into(), retryable: true },
            _ => {
                Self::Storage { reason, hint: "look at the disk and the folder's permissions".into(), retryable: true }
            }
        }
    }
}

impl From<NodeError> for DonpError {
    fn from(e: NodeError) -> Self {
        let reason = e.to_string();
        match e {
            NodeError::Command(e) => e.into(),
            NodeError::Config(e) => e.into(),
            NodeError::Restore(e) => e.into(),
            NodeError::Store(e) => e.into(),
            NodeError::Unstored { .. } => {
                Self::Storage { reason, hint: "free disk space; do not send it again".into(), retryable: false }
            }
            NodeError::NoTarget(_) => Self::NotFound {
                reason,
                hint: "use the id of a message that the history of this conversation shows".into(),
                retryable: false,
            },
            NodeError::NotOwn { .. } => {
                Self::Denied { reason, hint: "reply or react to it instead".into(), retryable: false }
            }
            NodeError::Listen { .. } => {
                Self::Network { reason, hint: "use another port, or 0 for any".into(), retryable: true }
            }
            NodeError::Bootstrap(_) => Self::invalid(reason, "write it host:port or host:port/NodeId"),
            NodeError::Io { .. } => {
                Self::Network { reason, hint: "look at what the system said".into(), retryable: true }
            }
            NodeError::File { .. } => {
                Self::Storage { reason, hint: "look at what the system said".into(), retryable: false }
            }
            NodeError::Timeout(_) => {
                Self::Timeout { reason, hint: "try again; the disk may be slow".into(), retryable: true }
            }
            NodeError::NotStarted => Self::NotRunning { reason, hint: "call start first".into(), retryable: false },
            NodeError::OwnThread => Self::NotRunning {
                reason,
                hint: "do not run app code on the thread that wakes it".into(),
                retryable: false,
            },
            NodeError::Closed => {
                Self::Closed { reason, hint: "make a new node on the same folder".into(), retryable: false }
            }
            _ => Self::dead(),
        }
    }
}
