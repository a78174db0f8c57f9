//! Where a node keeps what must survive: one sealed SQLite file per profile, or memory.

mod backup;
mod check;
mod database;
mod export;
mod files;
mod key;
mod lock;
mod mend;
mod profile;
mod salvage;
mod seal;
mod secrets;
mod sql;
mod sqlite;
mod sums;
mod walk;

use std::path::PathBuf;

use donp_core::{Batch, Identity, MemoryStore, Record, Scan};
use zeroize::Zeroizing;

pub use backup::{BACKUP_ENDING, HasKey, backup, restore};
pub(crate) use check::check_with;
pub use check::{Checked, check, repair};
pub use export::{export_profile, import_profile, protect_profile};
pub use key::Secrets;
pub use lock::LockedBy;
pub use profile::Profile;
pub use salvage::{Salvaged, salvage};
pub use seal::Cost;
pub(crate) use seal::Sealer;
pub(crate) use sqlite::SqliteStore;

/// How the key that seals the stored values is itself protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// By Argon2id over a passphrase.
    Passphrase,
    /// By a key file beside it, readable by its owner only: anyone who can read the profile's folder
    /// as that user can read everything in it.
    KeyFile,
    /// By a key that the platform's key store wraps ([`KeyStore`]).
    KeyStore,
    /// Nothing is stored.
    Memory,
}

impl Protection {
    /// The name in `status --json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key-file",
            Self::KeyStore => "key-store",
            Self::Memory => "memory",
        }
    }
}

/// What a profile is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To look into it, beside others that do. Nothing is written, so this works on a disk that is read-only; a node can
    /// only be offline.
    Read,
    /// To change it: for one process at a time.
    Write,
}

/// The platform's key store, such as Android's Keystore or a Keychain: wraps the key that wraps a
/// profile's data key. Called when a profile is made and when it is opened, never in between.
pub trait KeyStore: Send + Sync {
    /// Seals `key`, 32 bytes, so that only this device's user can have it back.
    ///
    /// # Errors
    /// In words, to show.
    fn wrap_key(&self, key: &[u8]) -> Result<Vec<u8>, String>;

    /// Opens what [`wrap_key`](Self::wrap_key) gave.
    ///
    /// # Errors
    /// In words, to show.
    fn unwrap_key(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, String>;
}

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no profile in this folder.
    #[error("there is no profile in {0}")]
    Missing(PathBuf),
    /// There is a profile in this folder already.
    #[error("there is a profile in {0} already")]
    Exists(PathBuf),
    /// This user may not use the profile: it is another's, or its folder is closed.
    #[error("permission denied: this user cannot use {0}")]
    Denied(PathBuf),
    /// The profile was opened to read, or its disk is read-only.
    #[error("{0} can only be read here")]
    ReadOnly(PathBuf),
    /// Another process has the profile open.
    #[error("profile {} is in use by {by}", dir.display())]
    InUse {
        /// The profile's folder.
        dir: PathBuf,
        /// The node that has it.
        by: LockedBy,
    },
    /// The profile is protected by a passphrase and none was given.
    #[error("profile {0} is protected by a passphrase and none was given")]
    PassphraseNeeded(PathBuf),
    /// The passphrase is not the one that the profile was made with. The profile is whole.
    #[error("the passphrase is wrong for profile {0}")]
    WrongPassphrase(PathBuf),
    /// The profile is protected by the platform's key store and none was given.
    #[error("profile {0} is protected by the platform's key store and none was given")]
    KeyStoreNeeded(PathBuf),
    /// The platform's key store refused, or gave something else back than it was given.
    #[error("key store: {0}")]
    KeyStore(String),
    /// A node in memory has no profile to look at or to copy.
    #[error("this node is in memory and has no profile")]
    InMemory,
    /// The file is closed while the node is suspended.
    #[error("the store is closed while the node is suspended")]
    Closed,
    /// The key file is not the one that the profile was made with, or it cannot be used.
    #[error("key file {path}: {reason}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is not what was written: bits were lost or changed.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
    /// A newer version of the program wrote this file.
    #[error("{path} has format {found} and this version knows formats up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// An earlier version of the program wrote this file.
    #[error("{path} has format {found} and this version knows only format {known}")]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The known one.
        known: u32,
    },
    /// There is no room.
    #[error("the disk is full")]
    Full,
    /// Writes fail in another way.
    #[error("the store does not take writes: {0}")]
    Failing(String),
    /// A system call failed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite failed in another way.
    #[error("store: {0}")]
    Sqlite(rusqlite::Error),
}

impl StoreError {
    /// Whether the same call can succeed later without being changed.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::InUse { .. } | Self::Full | Self::Failing(_) | Self::Io { .. } | Self::Sqlite(_))
    }
}

/// A node's store.
pub(crate) enum Store {
    /// On disk.
    Sqlite(Box<SqliteStore>),
    /// In memory: gone with the node.
    Volatile { records: MemoryStore, commits: u64 },
}

impl Store {
    pub(crate) fn volatile() -> Self {
        Self::Volatile { records: MemoryStore::default(), commits: 0 }
    }

    /// The name in `status --json`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Volatile { .. } => "memory",
        }
    }

    /// The folder, if nothing is written there.
    pub(crate) fn read_only(&self) -> Option<&std::path::Path> {
        match self {
            Self::Sqlite(s) => s.read_only(),
            Self::Volatile { .. } => None,
        }
    }

    /// The profile's folder, and what opens its records once more.
    pub(crate) fn profile(&self) -> Option<(PathBuf, Sealer)> {
        match self {
            Self::Sqlite(s) => Some(s.profile()),
            Self::Volatile { .. } => None,
        }
    }

    /// Says to other processes that a running node has the profile.
    pub(crate) fn announce_node(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(s) => s.announce_node(),
            Self::Volatile { .. } => Ok(()),
        }
    }

    /// Whether records are missing that others may have; asked once.
    pub(crate) fn fetches_again(&mut self) -> bool {
        match self {
            Self::Sqlite(s) => s.fetches_again(),
            Self::Volatile { .. } => false,
        }
    }

    /// Whether the node has to begin a new life in each conversation.
    pub(crate) fn begins_new_life(&self) -> bool {
        match self {
            Self::Sqlite(s) => s.begins_new_life(),
            Self::Volatile { .. } => false,
        }
    }

    /// Looks at the file: one that was removed is written again, and one that another program wrote into is compared with its
    /// sums. Whether one did.
    pub(crate) fn look(&mut self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(s) => s.look(),
            Self::Volatile { .. } => Ok(false),
        }
    }

    pub(crate) fn protection(&self) -> Protection {
        match self {
            Self::Sqlite(s) => s.protection(),
            Self::Volatile { .. } => Protection::Memory,
        }
    }

    /// The records a restart begins with.
    pub(crate) fn hot(&mut self) -> Result<Vec<Record>, StoreError> {
        match self {
            Self::Sqlite(s) => s.hot(),
            Self::Volatile { records, .. } => Ok(records.hot()),
        }
    }

    /// Writes all `batches` in one transaction and empties the list. On an error nothing is written
    /// and the list stays as it was.
    pub(crate) fn commit(&mut self, batches: &mut Vec<Batch>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(s) => {
                s.commit(batches)?;
                batches.clear();
            }
            Self::Volatile { records, commits } => {
                *commits += 1;
                for batch in batches.drain(..) {
                    records.apply(batch);
                }
            }
        }
        Ok(())
    }

    /// The records of a range. Damaged ones are left out, counted and logged by table.
    pub(crate) fn scan(&mut self, scan: &Scan) -> Result<Vec<Record>, StoreError> {
        match self {
            Self::Sqlite(s) => s.scan(scan),
            Self::Volatile { records, .. } => Ok(records.scan(scan)),
        }
    }

    /// Transactions written since the start.
    pub(crate) fn commits(&self) -> u64 {
        match self {
            Self::Sqlite(s) => s.commits(),
            Self::Volatile { commits, .. } => *commits,
        }
    }

    /// Records that could not be read since the start.
    pub(crate) fn damaged(&self) -> u64 {
        match self {
            Self::Sqlite(s) => s.damaged(),
            Self::Volatile { .. } => 0,
        }
    }

    /// Records that were lost in all, those too that a repair took as known.
    pub(crate) fn lost(&self) -> u64 {
        match self {
            Self::Sqlite(s) => s.lost(),
            Self::Volatile { .. } => 0,
        }
    }

    /// Checks the next few hundred records; whether they were the last ones. `wall` is in milliseconds since 1970.
    pub(crate) fn check_slice(&mut self, wall: u64) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(s) => s.check_slice(wall),
            Self::Volatile { .. } => Ok(true),
        }
    }

    /// Records that the check in the background opened in this round, and when the last round ended, in milliseconds since
    /// 1970.
    pub(crate) fn checked(&self) -> (u64, Option<u64>) {
        match self {
            Self::Sqlite(s) => s.checked(),
            Self::Volatile { .. } => (0, None),
        }
    }

    /// Moves what the write-ahead log holds into the file, so that the process can be frozen or the
    /// file copied.
    pub(crate) fn checkpoint(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(s) => s.checkpoint(),
            Self::Volatile { .. } => Ok(()),
        }
    }

    /// Closes the file until [`reopen`](Self::reopen); the profile stays taken.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(s) => s.close(),
            Self::Volatile { .. } => Ok(()),
        }
    }

    pub(crate) fn reopen(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(s) => s.reopen(),
            Self::Volatile { .. } => Ok(()),
        }
    }

    /// A small secret value kept beside the records.
    pub(crate) fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Sqlite(s) => s.secret(name),
            Self::Volatile { .. } => Ok(None),
        }
    }

    /// Keeps a small secret value beside the records.
    pub(crate) fn put_secret(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(s) => s.put_secret(name, value),
            Self::Volatile { .. } => Ok(()),
        }
    }
}

/// What a node is opened with: its identity and its store.
pub(crate) struct Opened {
    pub identity: Identity,
    pub store: Store,
}

#[cfg(test)]
#[path = "damage_tests.rs"]
mod damage_tests;
