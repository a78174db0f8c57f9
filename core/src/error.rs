//! Errors of commands and configuration. Hostile bytes from the network are never here: they are
//! counted in [`Stats`](crate::Stats).

use core::fmt;

use alloc::string::String;

use crate::id::NodeId;

/// A command was refused; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The text is longer than a message can carry.
    TooLong {
        /// Bytes given.
        len: usize,
        /// The most that fit.
        max: usize,
    },
    /// A text or name that must not be empty is empty.
    Empty(&'static str),
    /// The message would go to this node itself.
    ToSelf,
    /// A queue is full. Try again after [`Volatile::Writable`](crate::Volatile::Writable).
    Busy(&'static str),
    /// The node has left the network or is suspended; `join` or `resume` it first.
    NotRunning,
    /// No such event, message or query exists.
    Unknown(&'static str),
    /// This node is unknown: join through it, or use a ticket from it.
    UnknownPeer(NodeId),
    /// This node is blocked here: unblock it first.
    Blocked(NodeId),
    /// This contact was verified and has another key since: verify it again, or accept the change.
    KeyChanged(NodeId),
    /// The keys of this node are not known yet: link with it once.
    KeysUnknown(NodeId),
    /// What was shown is not the safety number with this contact.
    NumberDiffers(NodeId),
    /// This other contact has the name already.
    NameTaken(NodeId),
    /// A text is not what it has to be; the words say what that is.
    Unreadable(&'static str),
    /// A rule of the group forbids it; the text says which.
    NotAllowed(&'static str),
    /// The file was not added.
    File(FileError),
    /// The ticket is for another network than the one this node was set up for.
    OtherNetwork,
}

impl CommandError {
    /// Whether the same command can succeed later without being changed.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::KeysUnknown(_))
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => {
                write!(f, "the text has {len} bytes and a message carries at most {max}: shorten or split it")
            }
            Self::Empty(what) => write!(f, "the {what} is empty"),
            Self::ToSelf => f.write_str("this node cannot send a message to itself"),
            Self::Busy(what) => write!(f, "the {what} is full: try again later"),
            Self::NotRunning => f.write_str("the node is not running: join the network or resume first"),
            Self::Unknown("file here") => f.write_str("this file is not here whole: add it, or fetch it first"),
            Self::Unknown(what) => write!(f, "there is no such {what}"),
            Self::UnknownPeer(id) => {
                write!(f, "node {id} is unknown here: join through it, or use a ticket from it")
            }
            Self::Blocked(id) => write!(f, "node {id} is blocked here: unblock it first"),
            Self::KeyChanged(id) => write!(
                f,
                "the key of contact {id} changed since it was verified: compare its safety number again, or accept the change"
            ),
            Self::KeysUnknown(id) => {
                write!(f, "the keys of node {id} are not known here yet: try again when it is connected")
            }
            Self::NumberDiffers(id) => {
                write!(f, "this is not the safety number with node {id}: one side has a wrong key")
            }
            Self::NameTaken(id) => write!(f, "contact {id} has this name already: choose another one"),
            Self::Unreadable(what) => write!(f, "not a valid {what}"),
            Self::NotAllowed(why) => f.write_str(why),
            Self::File(e) => write!(f, "{e}"),
            Self::OtherNetwork => f.write_str(
                "the ticket is for another network; a profile belongs to one network: create another profile for it",
            ),
        }
    }
}

impl core::error::Error for CommandError {}

/// Why a file was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileError {
    /// A part that is not the last has another length than [`FileDraft::PART`](crate::FileDraft::PART), or the last is
    /// longer than the rest.
    Length,
    /// The file has fewer bytes than were announced, or more.
    Size,
    /// The file was changed after it was first read.
    Changed,
    /// It is larger than `limits.file_bytes`, or than 32 GiB.
    TooLarge,
    /// Its name is none of 1 to 255 bytes without a slash, a backslash or a control character.
    Name,
    /// Its media type has more than 255 bytes, or others than printable ones of ASCII.
    MediaType,
    /// The message names another file than the one that is here under this id.
    Other,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a part of the file has a wrong length",
            Self::Size => "the size of the file changed while it was read: nothing was sent, try again",
            Self::Changed => "the file was changed while it was read: nothing was sent, try again",
            Self::TooLarge => "the file is larger than limits.file_bytes allows: raise it, or send a smaller file",
            Self::Name => "the name of a file has 1 to 255 bytes, no slash, no backslash and no control character",
            Self::MediaType => "a media type has up to 255 printable characters of ASCII, as in image/png",
            Self::Other => "the message does not name the file that is here under this id",
        })
    }
}

impl core::error::Error for FileError {}

/// A configuration that cannot work, with the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, as in the configuration file.
    pub key: &'static str,
    /// The rule.
    pub rule: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {} {}", self.key, self.rule)
    }
}

impl core::error::Error for ConfigError {}

/// Why the records of a node could not be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// The configuration cannot work.
    Config(ConfigError),
    /// A record cannot be read: the store is damaged or of another version.
    Record {
        /// A table of the machine that could not read it.
        table: crate::store::Table,
    },
    /// A record of a table that no machine has: another version wrote it.
    UnknownTable(crate::store::Table),
    /// The records belong to another node than the identity given.
    OtherIdentity,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(e) => write!(f, "{e}"),
            Self::Record { table } => write!(
                f,
                "a record in table {table} cannot be read: the store is damaged or was written by another version"
            ),
            Self::UnknownTable(table) => {
                write!(
                    f,
                    "the store has records of table {table}, which this version does not know: use the version that wrote it"
                )
            }
            Self::OtherIdentity => f.write_str("the stored records belong to another identity"),
        }
    }
}

impl core::error::Error for RestoreError {}

impl From<ConfigError> for RestoreError {
    fn from(e: ConfigError) -> Self {
        Self::Config(e)
    }
}
