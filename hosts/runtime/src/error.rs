//! What can go wrong with a node.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use donp_core::{CommandError, ConfigError, MessageId, NodeId, RestoreError};

use crate::names::BootstrapNameError;
use crate::store::StoreError;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal,)*) => {
        /// What went wrong, in kinds that stay; the words of errors are for people and may change. In every language and on
        /// the control socket they are the same.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl ErrorKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name in JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// An argument is malformed, too long, too short or empty.
    InvalidInput "invalid_input",
    /// There is no such node, message, event or profile.
    NotFound "not_found",
    /// There is one already.
    AlreadyExists "already_exists",
    /// The secret does not fit, the ticket is for another network, or it is not allowed.
    Denied "denied",
    /// The node was not started, is suspended, or has left the network.
    NotRunning "not_running",
    /// A queue is full.
    Busy "busy",
    /// Another process uses the profile.
    Locked "locked",
    /// No answer in time.
    Timeout "timeout",
    /// An address cannot be listened on, or the system refuses a socket.
    Network "network",
    /// The disk refuses.
    Storage "storage",
    /// What is stored is damaged or was written by another version.
    Damaged "damaged",
    /// The node was shut down.
    Closed "closed",
    /// A bug.
    Internal "internal",
}

impl From<&CommandError> for ErrorKind {
    fn from(e: &CommandError) -> Self {
        match e {
            CommandError::Busy(_) => Self::Busy,
            CommandError::NotRunning => Self::NotRunning,
            CommandError::Unknown(_) | CommandError::UnknownPeer(_) | CommandError::KeysUnknown(_) => Self::NotFound,
            CommandError::OtherNetwork
            | CommandError::NotAllowed(_)
            | CommandError::KeyChanged(_)
            | CommandError::NumberDiffers(_)
            | CommandError::Blocked(_) => Self::Denied,
            CommandError::NameTaken(_) => Self::AlreadyExists,
            _ => Self::InvalidInput,
        }
    }
}

impl From<&RestoreError> for ErrorKind {
    fn from(e: &RestoreError) -> Self {
        match e {
            RestoreError::Config(_) => Self::InvalidInput,
            RestoreError::OtherIdentity => Self::Denied,
            RestoreError::Record { .. } | RestoreError::UnknownTable(_) => Self::Damaged,
        }
    }
}

impl From<&StoreError> for ErrorKind {
    fn from(e: &StoreError) -> Self {
        match e {
            StoreError::Missing(_) => Self::NotFound,
            StoreError::Exists(_) => Self::AlreadyExists,
            StoreError::InUse { .. } => Self::Locked,
            StoreError::Denied(_)
            | StoreError::ReadOnly(_)
            | StoreError::PassphraseNeeded(_)
            | StoreError::WrongPassphrase(_)
            | StoreError::KeyStoreNeeded(_)
            | StoreError::KeyStore(_)
            | StoreError::KeyFile { .. } => Self::Denied,
            StoreError::Damaged { .. } | StoreError::Newer { .. } | StoreError::Older { .. } => Self::Damaged,
            StoreError::InMemory => Self::InvalidInput,
            StoreError::Closed => Self::NotRunning,
            StoreError::Full | StoreError::Failing(_) | StoreError::Io { .. } | StoreError::Sqlite(_) => Self::Storage,
        }
    }
}

impl From<&NodeError> for ErrorKind {
    fn from(e: &NodeError) -> Self {
        match e {
            NodeError::Command(e) => e.into(),
            NodeError::Restore(e) => e.into(),
            NodeError::Store(e) => e.into(),
            NodeError::NoTarget(_) => Self::NotFound,
            NodeError::NotOwn { .. } => Self::Denied,
            NodeError::Config(_) | NodeError::Bootstrap(_) => Self::InvalidInput,
            NodeError::Unstored { .. } | NodeError::File { .. } => Self::Storage,
            NodeError::Listen { .. } | NodeError::Io { .. } => Self::Network,
            NodeError::Timeout(_) => Self::Timeout,
            NodeError::NotStarted | NodeError::OwnThread => Self::NotRunning,
            NodeError::Closed => Self::Closed,
            NodeError::Crashed => Self::Internal,
        }
    }
}

/// Why a node could not be opened or a command could not be done. After an error of a command the
/// node's state is as before, except where a variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The engine refused the command.
    #[error("{0}")]
    Command(#[from] CommandError),
    /// A reply, edit, reaction or retraction names a message that its conversation does not have.
    #[error("message {0} is not in this conversation: take the id of a message that its history shows")]
    NoTarget(MessageId),
    /// An edit or retraction names a message of another author.
    #[error("message {id} is of {author}: only its author can edit or retract it; reply or react to it instead")]
    NotOwn {
        /// The message.
        id: MessageId,
        /// Its author.
        author: NodeId,
    },
    /// The configuration cannot work.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The stored records cannot be brought back to life.
    #[error("{0}")]
    Restore(#[from] RestoreError),
    /// The store refused, and nothing was taken.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A message was taken and is not on the disk yet. It is written as soon as the store takes it; if the node ends
    /// before, the message is lost.
    #[error("message {id} is in memory only: {source}")]
    Unstored {
        /// Its id.
        id: MessageId,
        /// Why it is not on the disk.
        source: StoreError,
    },
    /// An address to listen on cannot be used.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A bootstrap is not written as `host:port` or `host:port/NodeId`.
    #[error("{0}")]
    Bootstrap(#[from] BootstrapNameError),
    /// A system call of the node's thread failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file on disk cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Nothing runs yet.
    #[error("the node was not started")]
    NotStarted,
    /// The call came from the node's own thread, which would wait for itself.
    #[error("a node cannot be asked from its own thread: leave the callback first")]
    OwnThread,
    /// The node was shut down.
    #[error("the node is shut down")]
    Closed,
    /// The node's thread panicked: a bug. What was stored is safe; open the node again.
    #[error("the node stopped after an internal error; what it stored is safe")]
    Crashed,
}

impl NodeError {
    /// Whether the same call can succeed later without being changed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Command(e) => e.retryable(),
            Self::Store(e) => e.retryable(),
            Self::Listen { .. } | Self::Io { .. } | Self::Timeout(_) => true,
            _ => false,
        }
    }

    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
