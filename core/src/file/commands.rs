//! What the application asks of files.

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{CommandError, FileError};
use crate::file::fetch::Fetch;
use crate::file::held::File;
use crate::file::{FileDraft, Files, MAX_SHARED, Out, Reading, SealedFile};
use crate::id::{FileId, NodeId};
use crate::machine::{Command, Cx, Outbox};
use crate::wire::content::{Attachment, Conversation};

/// A file is going to be added.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) size: u64,
}

impl Command<Files> for Begin {
    type Answer = Result<FileDraft, CommandError>;

    fn run(self, files: &mut Files, cx: &mut Cx<'_>, _out: &mut Outbox<Out>) -> Self::Answer {
        files.fits(self.size)?;
        Ok(FileDraft::new(cx.rng.bytes(), self.size))
    }
}

/// A part of a file that is being added.
#[derive(Debug)]
pub(crate) struct AddPart<'a> {
    pub(crate) file: &'a SealedFile,
    pub(crate) part: u32,
    pub(crate) bytes: &'a [u8],
}

impl Command<Files> for AddPart<'_> {
    type Answer = Result<(), CommandError>;

    fn run(self, files: &mut Files, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let Self { file, part, bytes } = self;
        let id = file.id();
        let proven = file.prove(part, bytes).map_err(CommandError::File)?;
        if !files.files.contains_key(&id) {
            files.fits(file.size())?;
            files.make_room(file.size(), 0, out);
        }
        let order = files.order();
        let draft = || File::new(Attachment::of(id, file.key(), file.size()), order, false);
        let known = files.files.entry(id).or_insert_with(draft);
        known.take(id, part, proven, out);
        // It may be one that was being fetched, or others gave way to it.
        files.want_links(out);
        Ok(())
    }
}

/// All parts of a file were added.
#[derive(Debug)]
pub(crate) struct Finish {
    pub(crate) file: FileId,
    pub(crate) name: String,
    pub(crate) media_type: String,
}

impl Command<Files> for Finish {
    type Answer = Result<Attachment, CommandError>;

    fn run(self, files: &mut Files, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let known = files.files.get_mut(&self.file).filter(|f| f.have.is_whole());
        let known = known.ok_or(CommandError::Unknown("file here"))?;
        let named = Attachment { name: self.name, media_type: self.media_type, ..known.attachment.clone() };
        named.validate()?;
        known.attachment = named.clone();
        known.save(self.file, out);
        Ok(named)
    }
}

/// This node said in a conversation that it shares a file there.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) conversation: Conversation,
    pub(crate) file: FileId,
}

impl Command<Files> for Share {
    type Answer = ();

    fn run(self, files: &mut Files, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) {
        let Some(known) = files.files.get_mut(&self.file) else { return };
        // With a full list the first gives way: what is shared again is shared last.
        if known.shared.len() >= MAX_SHARED && !known.shared.contains(&self.conversation) {
            known.shared.pop_first();
        }
        // What this node gives to others does not give way to what comes unasked.
        let was_unasked = core::mem::take(&mut known.unasked);
        if known.shared.insert(self.conversation) || was_unasked {
            known.save(self.file, out);
        }
    }
}

/// A file that a message of a conversation names is to be fetched.
#[derive(Debug)]
pub(crate) struct StartFetch {
    pub(crate) conversation: Conversation,
    pub(crate) file: Attachment,
    pub(crate) from: Option<NodeId>,
}

impl Command<Files> for StartFetch {
    type Answer = Result<(), CommandError>;

    fn run(self, files: &mut Files, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let Self { conversation, file, from } = self;
        file.validate()?;
        let id = file.id;
        if let Some(known) = files.files.get(&id).filter(|f| !f.is_as_named(&file)) {
            if known.have.is_whole() && !known.unasked {
                // One hash, one file: one of the two messages is wrong, and the one that this file came by is not.
                return Err(CommandError::File(FileError::Other));
            }
            // The node that named it first may have lied about its size or key, so that it never comes, or does not
            // open.
            if file.size > files.limits.file_bytes {
                return Err(CommandError::File(FileError::TooLarge));
            }
            files.files.remove(&id);
            Files::erase(id, out);
            files.want_links(out);
        }
        if !files.files.contains_key(&id) {
            files.fits(file.size)?;
            files.make_room(file.size, 0, out);
            files.begin_fetch(cx, conversation, file, (from, false), out);
            return Ok(());
        }
        let order = files.order();
        let Some(known) = files.files.get_mut(&id) else { return Ok(()) };
        if known.unasked && !known.have.is_whole() {
            // Where it was first named is the choice of its author. A member that could not give it does not get it.
            known.shared.clear();
        }
        if known.shared.len() < MAX_SHARED {
            known.shared.insert(conversation);
        }
        known.unasked = false;
        if known.have.is_whole() {
            known.save(id, out);
            out.push(Out::Complete(id));
            return Ok(());
        }
        // Anew: holders that were left alone may have it by now.
        let total = known.have.total();
        known.fetch = Some(Fetch::new(conversation, from, order, total, cx));
        known.save(id, out);
        files.go_on(cx, out);
        Ok(())
    }
}

/// A file is to be forgotten here.
#[derive(Debug)]
pub(crate) struct Remove {
    pub(crate) file: FileId,
}

impl Command<Files> for Remove {
    type Answer = Result<(), CommandError>;

    fn run(self, files: &mut Files, cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        files.files.remove(&self.file).ok_or(CommandError::Unknown("file here"))?;
        Files::erase(self.file, out);
        files.go_on(cx, out);
        Ok(())
    }
}

/// The application reads a part.
#[derive(Debug)]
pub(crate) struct ReadPart {
    pub(crate) query: u64,
    pub(crate) file: FileId,
    pub(crate) part: u32,
}

impl Command<Files> for ReadPart {
    type Answer = Result<(), CommandError>;

    fn run(self, files: &mut Files, _cx: &mut Cx<'_>, out: &mut Outbox<Out>) -> Self::Answer {
        let Self { query, file, part } = self;
        let known = files.files.get(&file).ok_or(CommandError::Unknown("file here"))?;
        if part >= known.have.total() {
            return Err(CommandError::Unknown("part of this file"));
        }
        files.read(file, part, Reading::Part { query, file, part }, out);
        Ok(())
    }
}

impl Files {
    /// Whether one more file of so many bytes may be here.
    fn fits(&self, size: u64) -> Result<(), CommandError> {
        if size > self.limits.file_bytes {
            return Err(CommandError::File(FileError::TooLarge));
        }
        // Those that came unasked give way.
        match self.fits_beside_asked(size) {
            true => Ok(()),
            false => {
                Err(CommandError::Busy("place for files: remove some, or raise limits.files and limits.files_bytes"))
            }
        }
    }

    /// Whether all of a file is here.
    pub(crate) fn is_whole(&self, file: FileId) -> bool {
        self.files.get(&file).is_some_and(|f| f.have.is_whole())
    }

    /// The files that are here or being fetched, in the order in which they came.
    pub(crate) fn list(&self) -> Vec<crate::file::FileInfo> {
        let mut all: Vec<_> = self.files.iter().map(|(id, f)| (f.order, f.info(*id))).collect();
        all.sort_by_key(|(order, _)| *order);
        all.into_iter().map(|(_, info)| info).collect()
    }
}
