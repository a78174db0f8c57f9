//! Files that messages name (docs/design/files.md).

use alloc::string::String;
use alloc::vec::Vec;

use crate::engine::Engine;
use crate::error::CommandError;
use crate::file::{AddPart, Begin, FileDraft, FileInfo, Finish, ReadPart, Remove, SealedFile, Share, StartFetch};
use crate::id::{FileId, NodeId};
use crate::time::Instant;
use crate::wire::content::{Attachment, Content, Conversation};

impl Engine {
    /// A file of `size` bytes is going to be added. Its parts are given twice: to the draft, which gives the file its id,
    /// then to [`add_file_part`](Self::add_file_part).
    ///
    /// # Errors
    /// [`CommandError::File`] if it is larger than `limits.file_bytes`, [`CommandError::Busy`] without room.
    pub fn begin_file(&mut self, now: Instant, size: u64) -> Result<FileDraft, CommandError> {
        let at = self.advance(now);
        self.machines.file.command(at, &mut self.q, Begin { size })
    }

    /// Adds a part of a file: [`FileDraft::PART`] bytes, the last less. A part that is here already is no error.
    ///
    /// # Errors
    /// [`CommandError::File`] if the bytes are not those of the draft, and as [`begin_file`](Self::begin_file).
    pub fn add_file_part(
        &mut self,
        now: Instant,
        file: &SealedFile,
        part: u32,
        bytes: &[u8],
    ) -> Result<(), CommandError> {
        let at = self.advance(now);
        let added = self.machines.file.command(at, &mut self.q, AddPart { file, part, bytes });
        self.pump(now);
        added
    }

    /// All parts were added: what a message names the file by, as [`Content::File`]. A restart before this forgets the
    /// parts.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] if parts are missing; [`CommandError::File`] for a name or a media type that breaks a rule
    /// of [`Attachment`].
    pub fn finish_file(
        &mut self,
        now: Instant,
        file: FileId,
        name: String,
        media_type: String,
    ) -> Result<Attachment, CommandError> {
        let at = self.advance(now);
        let finished = self.machines.file.command(at, &mut self.q, Finish { file, name, media_type });
        self.pump(now);
        finished
    }

    /// Fetches a file that a message of this conversation names; `from`, its author, is asked first, if given. It goes on
    /// after a restart, until the file is here ([`Durable::FileReceived`](crate::Durable::FileReceived)) or removed. A
    /// file that is here is reported again.
    ///
    /// # Errors
    /// As [`begin_file`](Self::begin_file), and for an attachment that breaks a rule.
    pub fn fetch_file(
        &mut self,
        now: Instant,
        conversation: Conversation,
        file: Attachment,
        from: Option<NodeId>,
    ) -> Result<(), CommandError> {
        let at = self.advance(now);
        let begun = self.machines.file.command(at, &mut self.q, StartFetch { conversation, file, from });
        self.pump(now);
        begun
    }

    /// The files that are here or being fetched, in the order in which they came.
    pub fn files(&self) -> Vec<FileInfo> {
        self.machines.file.list()
    }

    /// Asks for the bytes of a part. Returns the query's number; a [`FilePart`](crate::FilePart) gives them.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] without such a file or part, [`CommandError::Busy`] if too many reads are under way.
    pub fn read_file(&mut self, now: Instant, file: FileId, part: u32) -> Result<u64, CommandError> {
        if self.q.reading() >= self.config.limits.requests {
            return Err(CommandError::Busy("list of reads"));
        }
        let query = self.next_query;
        let at = self.advance(now);
        self.machines.file.command(at, &mut self.q, ReadPart { query, file, part })?;
        self.next_query = query.wrapping_add(1);
        self.pump(now);
        Ok(query)
    }

    /// Removes a file here, or ends its fetch. Others keep theirs.
    ///
    /// # Errors
    /// [`CommandError::Unknown`] without such a file.
    pub fn remove_file(&mut self, now: Instant, file: FileId) -> Result<(), CommandError> {
        let at = self.advance(now);
        let removed = self.machines.file.command(at, &mut self.q, Remove { file });
        self.pump(now);
        removed
    }

    /// Whether the files that contents name are here: what is shared must be there to be had.
    pub(super) fn has_files(&self, contents: &[Content]) -> Result<(), CommandError> {
        let mut named =
            contents.iter().filter_map(|c| if let Content::File { file, .. } = c { Some(file) } else { None });
        match named.all(|file| self.machines.file.is_whole(file.id)) {
            true => Ok(()),
            false => Err(CommandError::Unknown("file here")),
        }
    }

    /// The files that were named in a conversation are shared there.
    pub(super) fn share_files(&mut self, now: Instant, conversation: Conversation, files: Vec<FileId>) {
        let at = self.advance(now);
        for file in files {
            self.machines.file.command(at, &mut self.q, Share { conversation, file });
        }
    }
}
