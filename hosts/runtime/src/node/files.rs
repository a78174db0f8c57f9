//! Files that messages name (docs/design/files.md).

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use donp_core::{Attachment, CommandError, Conversation, FileDraft, FileError, FileId, FileInfo, NodeId, SealedFile};

use super::{ANSWER_WITHIN, Node};
use crate::error::NodeError;

/// Parts that are added in one transaction: 1 MiB, so that a large file holds up nothing else for long.
const PARTS_A_COMMIT: usize = 16;

/// What a file is read from, from its beginning each time.
type Open<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read>>;

/// Reads up to so many bytes: fewer only at the end.
fn read_part(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut part = Vec::with_capacity(FileDraft::PART);
    from.take(FileDraft::PART as u64).read_to_end(&mut part)?;
    Ok(part)
}

fn changed(e: FileError) -> NodeError {
    CommandError::File(e).into()
}

impl Node {
    /// Adds a file from disk, so that it can be sent as [`Content::File`](donp_core::Content::File). Its name is that of
    /// the path. The file is read twice and kept sealed in the store; the one on disk may go then.
    ///
    /// # Errors
    /// [`NodeError::File`] if it cannot be read, and as [`Engine::begin_file`](donp_core::Engine::begin_file) and
    /// [`Engine::finish_file`](donp_core::Engine::finish_file).
    pub fn add_file(&self, path: &Path, media_type: &str) -> Result<Attachment, NodeError> {
        let failed = |source| NodeError::File { path: path.into(), source };
        let about = std::fs::metadata(path).map_err(failed)?;
        if !about.is_file() {
            return Err(failed(io::Error::new(ErrorKind::InvalidInput, "it is not a file")));
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let open = || Ok(Box::new(File::open(path)?) as Box<dyn Read>);
        self.add(about.len(), (&name, media_type), &open, &failed)
    }

    /// Adds bytes as a file with this name.
    ///
    /// # Errors
    /// As [`Engine::begin_file`](donp_core::Engine::begin_file) and
    /// [`Engine::finish_file`](donp_core::Engine::finish_file).
    pub fn add_file_bytes(&self, bytes: Vec<u8>, name: &str, media_type: &str) -> Result<Attachment, NodeError> {
        let bytes: Arc<[u8]> = bytes.into();
        let open = || Ok(Box::new(io::Cursor::new(bytes.clone())) as Box<dyn Read>);
        let failed = |source| NodeError::File { path: name.into(), source };
        self.add(bytes.len() as u64, (name, media_type), &open, &failed)
    }

    fn add(
        &self,
        size: u64,
        (name, media_type): (&str, &str),
        open: Open<'_>,
        failed: &dyn Fn(io::Error) -> NodeError,
    ) -> Result<Attachment, NodeError> {
        let mut draft = self.call(move |w| w.engine.begin_file(w.now, size))??;
        let mut from = open().map_err(failed)?;
        loop {
            let part = read_part(&mut *from).map_err(failed)?;
            let is_last = part.len() < FileDraft::PART;
            // A file whose size is a multiple of a part ends without one.
            if !part.is_empty() || size == 0 {
                draft.push(&part).map_err(changed)?;
            }
            if is_last {
                break;
            }
        }
        let sealed = Arc::new(draft.finish().map_err(changed)?);
        let id = sealed.id();
        let added = self.add_parts(&sealed, open, failed).and_then(|()| {
            let (name, media_type) = (name.to_owned(), media_type.to_owned());
            self.call_stored(move |w| Ok(w.engine.finish_file(w.now, id, name, media_type)?))
        });
        if added.is_err() {
            // What was added of it is of no use.
            let _ = self.call_stored(move |w| Ok(w.engine.remove_file(w.now, id)?));
        }
        added
    }

    fn add_parts(
        &self,
        sealed: &Arc<SealedFile>,
        open: Open<'_>,
        failed: &dyn Fn(io::Error) -> NodeError,
    ) -> Result<(), NodeError> {
        let mut from = open().map_err(failed)?;
        let mut first = 0;
        while first < sealed.parts() {
            let mut parts = Vec::with_capacity(PARTS_A_COMMIT);
            while parts.len() < PARTS_A_COMMIT && first + (parts.len() as u32) < sealed.parts() {
                parts.push(read_part(&mut *from).map_err(failed)?);
            }
            let (file, next) = (Arc::clone(sealed), first + parts.len() as u32);
            self.call_stored(move |w| {
                for (n, part) in (first..).zip(&parts) {
                    w.engine.add_file_part(w.now, &file, n, part)?;
                }
                Ok(())
            })?;
            first = next;
        }
        Ok(())
    }

    /// Fetches a file that a message of this conversation names, from its author first. It goes on after a restart; the
    /// event [`Durable::FileReceived`](donp_core::Durable::FileReceived) says that it is here.
    ///
    /// # Errors
    /// As [`Engine::fetch_file`](donp_core::Engine::fetch_file).
    pub fn fetch_file(
        &self,
        conversation: Conversation,
        file: &Attachment,
        from: Option<NodeId>,
    ) -> Result<(), NodeError> {
        let file = file.clone();
        self.call_stored(move |w| Ok(w.engine.fetch_file(w.now, conversation, file, from)?))
    }

    /// The files that are here or being fetched, in the order in which they came.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn files(&self) -> Result<Vec<FileInfo>, NodeError> {
        self.call(|w| w.engine.files())
    }

    /// The bytes of one part of a file, [`FileDraft::PART`] of them but for the last; none if it is not here.
    ///
    /// # Errors
    /// As [`Engine::read_file`](donp_core::Engine::read_file).
    pub fn read_file(&self, file: FileId, part: u32) -> Result<Option<Vec<u8>>, NodeError> {
        let (tell, answer) = sync_channel(1);
        self.may_ask()?;
        self.submit(Box::new(move |w| match w.engine.read_file(w.now, file, part) {
            Ok(query) => w.part_to(query, tell),
            Err(e) => drop(tell.send(Err(e.into()))),
        }))?;
        self.wait(&answer, ANSWER_WITHIN)?
    }

    /// Writes a file that is here whole to a new file on disk. Nothing is there under that name before it is whole.
    ///
    /// # Errors
    /// [`NodeError::File`] if something is there already or it cannot be written; [`CommandError::Unknown`] if the file is
    /// not here whole.
    pub fn save_file(&self, file: FileId, to: &Path) -> Result<u64, NodeError> {
        let failed = |source| NodeError::File { path: to.into(), source };
        let known = self.files()?.into_iter().find(|info| info.id == file && info.is_whole);
        let known = known.ok_or(CommandError::Unknown("file here"))?;
        if to.symlink_metadata().is_ok() {
            return Err(failed(io::Error::new(ErrorKind::AlreadyExists, "a file is there already")));
        }
        let (unfinished, out) = unfinished(to).map_err(failed)?;
        let written = self.write_parts(&known, out, &failed);
        let placed = written.and_then(|()| place(&unfinished, to).map_err(failed));
        let _ = std::fs::remove_file(&unfinished);
        placed.map(|()| known.size)
    }

    fn write_parts(
        &self,
        file: &FileInfo,
        mut out: File,
        failed: &dyn Fn(io::Error) -> NodeError,
    ) -> Result<(), NodeError> {
        let parts = file.size.div_ceil(FileDraft::PART as u64);
        for part in 0..u32::try_from(parts).unwrap_or(u32::MAX) {
            let bytes = self.read_file(file.id, part)?;
            let lost = CommandError::Unknown("file here");
            out.write_all(&bytes.ok_or(lost)?).map_err(failed)?;
        }
        out.sync_all().map_err(failed)
    }

    /// Removes a file here, or ends its fetch. Others keep theirs.
    ///
    /// # Errors
    /// As [`Engine::remove_file`](donp_core::Engine::remove_file).
    pub fn remove_file(&self, file: FileId) -> Result<(), NodeError> {
        self.call_stored(move |w| Ok(w.engine.remove_file(w.now, file)?))
    }
}

/// Gives a file its name.
fn place(unfinished: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(unfinished, to) {
        // Unlike a rename it does not replace what came meanwhile; some file systems have no links.
        Err(e) if e.kind() != ErrorKind::AlreadyExists => std::fs::rename(unfinished, to),
        linked => linked,
    }
}

/// Where a file is written until it is whole: in the same folder, under a name of its own, which is not longer for a long
/// name. It is a new file: what another process put there, a link to elsewhere perhaps, is not written to.
fn unfinished(to: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = to.with_file_name(format!(".donp-{}-{n}.part", std::process::id()));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}
