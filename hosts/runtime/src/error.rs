//! What can go wrong with a node.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use donp_core::{CommandError, ConfigError, MessageId, NodeId, RestoreError};

use crate::names::BootstrapNameError;
use crate::store::StoreError;

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
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
