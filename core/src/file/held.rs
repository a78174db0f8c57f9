//! One file that is here, or that is being fetched.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::collections::OrderedSet;
use crate::file::fetch::Fetch;
use crate::file::parts::Parts;
use crate::file::sealed::part_count;
use crate::file::{FILES, HAVE, MAX_SHARED, Out, PARTS, part_key};
use crate::id::{FileId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::store::Table;
use crate::wire::content::{Attachment, Conversation, MAX_FILE};
use crate::wire::{Malformed, encode};

/// A file of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// The hash of its sealed bytes.
    pub id: FileId,
    /// What its sender called it.
    pub name: String,
    /// What its sender says that it is, as in `image/png`; empty if it does not say.
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

/// A file as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    attachment: Attachment,
    shared: Vec<Conversation>,
    /// It is being fetched: in which conversation, and from which members.
    fetch: Option<(Conversation, Option<NodeId>)>,
    unasked: bool,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) attachment: Attachment,
    pub(super) have: Parts,
    /// Where this node shares it: what it said there, or fetched there.
    pub(super) shared: OrderedSet<Conversation>,
    /// None: it is whole, or it is being added.
    pub(super) fetch: Option<Fetch>,
    /// It was fetched unasked.
    pub(super) unasked: bool,
    /// The order in which files came.
    pub(super) order: u64,
}

impl File {
    pub(super) fn new(attachment: Attachment, order: u64, unasked: bool) -> Self {
        let have = Parts::none(part_count(attachment.size));
        Self { attachment, have, shared: OrderedSet::new(), fetch: None, unasked, order }
    }

    pub(super) fn restore(row: Row, order: u64, cx: &mut Cx<'_>) -> Result<Self, Malformed> {
        if row.attachment.size > MAX_FILE {
            // Memory for its parts would be as large as a damaged row says.
            return Err(Malformed);
        }
        let mut file = Self::new(row.attachment, order, row.unasked);
        file.shared = row.shared.into_iter().take(MAX_SHARED).collect();
        let total = file.have.total();
        file.fetch = row.fetch.map(|(conversation, from)| Fetch::new(conversation, from, order, total, cx));
        Ok(file)
    }

    /// Whether a message says of it what the one that it came by said.
    pub(super) fn is_as_named(&self, file: &Attachment) -> bool {
        (self.attachment.size, self.attachment.key) == (file.size, file.key)
    }

    pub(super) fn size(&self) -> u64 {
        self.attachment.size
    }

    /// Entries that it costs in memory: a part is a bit.
    pub(super) fn len(&self) -> usize {
        let parts = (self.have.total() as usize).div_ceil(512);
        let fetch = self.fetch.as_ref().map_or(0, Fetch::len);
        parts.saturating_add(self.shared.len()).saturating_add(fetch).saturating_add(1)
    }

    /// Bytes that are here: all of a part's.
    fn bytes(&self) -> u64 {
        let (count, total) = (u128::from(self.have.count()), u128::from(self.have.total().max(1)));
        let bytes = u128::from(self.size()).saturating_mul(count).checked_div(total).unwrap_or(0);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn percent(&self) -> u64 {
        let count = u64::from(self.have.count()).saturating_mul(100);
        count.checked_div(u64::from(self.have.total())).unwrap_or(0)
    }

    fn holders(&self) -> usize {
        self.fetch.as_ref().map_or(0, Fetch::holders)
    }

    fn progress(&self, file: FileId) -> Out {
        Out::Progress { file, bytes: self.bytes(), size: self.size(), holders: self.holders() }
    }

    pub(super) fn info(&self, id: FileId) -> FileInfo {
        FileInfo {
            id,
            name: self.attachment.name.clone(),
            media_type: self.attachment.media_type.clone(),
            size: self.size(),
            bytes: self.bytes(),
            holders: self.holders() as u64,
            is_whole: self.have.is_whole(),
        }
    }

    /// Writes what is known of it.
    pub(super) fn save(&self, id: FileId, out: &mut Outbox<Out>) {
        let row = Row {
            attachment: self.attachment.clone(),
            shared: self.shared.iter().copied().collect(),
            fetch: self.fetch.as_ref().map(|fetch| (fetch.conversation, fetch.from)),
            unasked: self.unasked,
        };
        out.put(FILES, id.0.to_vec(), encode(&row));
    }

    /// Takes a part that was verified. The last ends a fetch.
    pub(super) fn take(&mut self, id: FileId, part: u32, bytes: Vec<u8>, out: &mut Outbox<Out>) {
        let before = self.percent();
        if !self.have.set(part, true) {
            return;
        }
        out.put(PARTS, part_key(id, part), bytes);
        self.save_row(HAVE, id, part, out);
        if self.fetch.is_some() && self.percent() != before {
            out.push(self.progress(id));
        }
        if self.have.is_whole() && self.fetch.take().is_some() {
            self.save(id, out);
            out.push(Out::Complete(id));
        }
    }

    /// Writes which parts are here, as far as one changed.
    pub(super) fn save_row(&self, table: Table, id: FileId, part: u32, out: &mut Outbox<Out>) {
        let (row, bits) = self.have.row(part);
        out.put(table, part_key(id, row), bits);
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        self.have.check()?;
        if self.fetch.is_some() && self.have.is_whole() {
            return Err("a whole file is being fetched");
        }
        self.fetch.as_ref().map_or(Ok(()), Fetch::check)
    }
}
