//! Files that messages name.

use std::fmt;
use std::path::Path;

use donp_core as core;
use donp_core::Instant;
use donp_runtime::api;

use crate::id::exactly;
use crate::{Conversation, DonpError, Engine, FileId, Node, NodeId};

/// A file that a message names: a reader of the message can fetch and open it.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Attachment {
    /// The BLAKE3 hash of its sealed bytes.
    pub id: FileId,
    /// The 32-byte key that it is sealed under, for this file alone.
    pub key: Vec<u8>,
    /// Its bytes, at most 32 GiB.
    pub size: u64,
    /// What its sender calls it: 1 to 255 bytes, a name without a folder.
    pub name: String,
    /// What its sender says that it is, as in `image/png`; empty if it does not say.
    pub media_type: String,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not its key.
        write!(f, "Attachment {{ id: {:?}, size: {}, name: {:?} }}", self.id, self.size, self.name)
    }
}

impl From<api::Attachment> for Attachment {
    fn from(api::Attachment { id, key, size, name, media_type }: api::Attachment) -> Self {
        Self { id, key: key.to_vec(), size, name, media_type }
    }
}

impl From<core::Attachment> for Attachment {
    fn from(attachment: core::Attachment) -> Self {
        api::Attachment::from(attachment).into()
    }
}

impl TryFrom<Attachment> for core::Attachment {
    type Error = DonpError;

    fn try_from(Attachment { id, key, size, name, media_type }: Attachment) -> Result<Self, DonpError> {
        Ok(Self { id, key: exactly("the key of a file", &key)?, size, name, media_type })
    }
}

/// A file of this node.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct FileInfo {
    /// The BLAKE3 hash of its sealed bytes.
    pub id: FileId,
    /// What its sender calls it.
    pub name: String,
    /// What its sender says that it is; empty if it does not say.
    pub media_type: String,
    /// Its bytes.
    pub size: u64,
    /// How many of them are here.
    pub bytes: u64,
    /// Nodes that it is being fetched from now.
    pub holders: u64,
    /// Whether all of it is here.
    pub is_whole: bool,
}

impl From<core::FileInfo> for FileInfo {
    fn from(core::FileInfo { id, name, media_type, size, bytes, holders, is_whole }: core::FileInfo) -> Self {
        Self { id, name, media_type, size, bytes, holders, is_whole }
    }
}

#[uniffi::export]
impl Node {
    /// Adds a file from disk, so that it can be sent as `Content.File`. Its name is that of the path. It is kept sealed
    /// in the store; the one on disk may go then.
    #[uniffi::method(default(media_type = ""))]
    pub fn add_file(&self, path: &str, media_type: &str) -> Result<Attachment, DonpError> {
        self.run(|n| Ok(n.add_file(Path::new(path), media_type)?.into()))
    }

    /// Adds bytes as a file with this name.
    #[uniffi::method(default(media_type = ""))]
    pub fn add_file_bytes(&self, bytes: Vec<u8>, name: &str, media_type: &str) -> Result<Attachment, DonpError> {
        self.run(|n| Ok(n.add_file_bytes(bytes, name, media_type)?.into()))
    }

    /// Fetches a file that a message of this conversation names, first from `author`, the author of the message. It goes
    /// on after a restart; the event `FileReceived` says that it is here.
    #[uniffi::method(default(author = None))]
    pub fn fetch_file(
        &self,
        conversation: Conversation,
        file: Attachment,
        author: Option<NodeId>,
    ) -> Result<(), DonpError> {
        let file = file.try_into()?;
        self.run(|n| n.fetch_file(conversation.into(), &file, author))
    }

    /// The files that are here or being fetched, in the order in which they came.
    pub fn files(&self) -> Result<Vec<FileInfo>, DonpError> {
        self.run(|n| Ok(n.files()?.into_iter().map(Into::into).collect()))
    }

    /// The bytes of one part of a file, 65,520 of them but for the last; none if it is not here.
    pub fn read_file(&self, file: FileId, part: u32) -> Result<Option<Vec<u8>>, DonpError> {
        self.run(|n| n.read_file(file, part))
    }

    /// Writes a file that is here whole to a new file on disk, and gives its size. What is there already is not replaced.
    pub fn save_file(&self, file: FileId, path: &str) -> Result<u64, DonpError> {
        self.run(|n| n.save_file(file, Path::new(path)))
    }

    /// Removes a file here, or ends its fetch. Others keep theirs.
    pub fn remove_file(&self, file: FileId) -> Result<(), DonpError> {
        self.run(|n| n.remove_file(file))
    }
}

#[uniffi::export]
impl Engine {
    /// Adds bytes as a file with this name, so that it can be sent as `Content.File`.
    #[uniffi::method(default(media_type = ""))]
    pub fn add_file(
        &self,
        now_us: u64,
        bytes: Vec<u8>,
        name: String,
        media_type: String,
    ) -> Result<Attachment, DonpError> {
        let now = Instant::from_micros(now_us);
        self.run(|inner| {
            let failed = |e| DonpError::from(core::CommandError::File(e));
            let mut draft = inner.engine.begin_file(now, bytes.len() as u64)?;
            // Nothing has one part without bytes.
            let none: &[u8] = &[];
            let parts = || bytes.chunks(core::FileDraft::PART).chain(bytes.is_empty().then_some(none));
            parts().try_for_each(|part| draft.push(part)).map_err(failed)?;
            let sealed = draft.finish().map_err(failed)?;
            for (n, part) in (0..).zip(parts()) {
                inner.engine.add_file_part(now, &sealed, n, part)?;
            }
            let named = inner.engine.finish_file(now, sealed.id(), name, media_type);
            if named.is_err() {
                let _ = inner.engine.remove_file(now, sealed.id());
            }
            Ok(named?.into())
        })
    }

    /// As `Node.fetch_file`.
    #[uniffi::method(default(author = None))]
    pub fn fetch_file(
        &self,
        now_us: u64,
        conversation: Conversation,
        file: Attachment,
        author: Option<NodeId>,
    ) -> Result<(), DonpError> {
        let file = file.try_into()?;
        let now = Instant::from_micros(now_us);
        self.run(|inner| Ok(inner.engine.fetch_file(now, conversation.into(), file, author)?))
    }

    /// The files that are here or being fetched, in the order in which they came.
    pub fn files(&self) -> Result<Vec<FileInfo>, DonpError> {
        self.run(|inner| Ok(inner.engine.files().into_iter().map(Into::into).collect()))
    }

    /// Asks for the bytes of a part of a file, 65,520 of them but for the last. Gives a number; `Output.parts` has the
    /// answer.
    pub fn read_file(&self, now_us: u64, file: FileId, part: u32) -> Result<u64, DonpError> {
        self.run(|inner| Ok(inner.engine.read_file(Instant::from_micros(now_us), file, part)?))
    }

    /// As `Node.remove_file`.
    pub fn remove_file(&self, now_us: u64, file: FileId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.remove_file(Instant::from_micros(now_us), file)?))
    }
}
