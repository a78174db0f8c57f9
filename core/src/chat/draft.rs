//! What this node says between two outputs to its host: one run with one signature (docs/design/log.md §4).

use alloc::vec::Vec;

use crate::id::{ConversationId, MessageId, NodeId};
use crate::time::Instant;
use crate::wire::entry::{Body, Carried, LifeId, MAX_PARENTS, MAX_RUN, MAX_RUN_BYTES, Part, Parts, id_key, next_id};
use crate::wire::group::Context;
use crate::wire::{Blob, encode, encoded_len};

/// About what an entry takes besides its text: salt, time, parents, hashes and lengths.
const ENTRY_BYTES: usize = 256;

/// A run that is not signed yet. Its entries have their ids: a signature changes none.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) conversation: ConversationId,
    pub(super) since: Instant,
    pub(super) parts: Parts,
    key: [u8; 32],
    seq: u64,
    /// Of what it says: the entries that merge heads are not among them.
    ids: Vec<MessageId>,
    bytes: usize,
}

impl Draft {
    /// The first entry, with the merges before it. None if they do not make a run.
    pub(super) fn begin(
        (conversation, context): (ConversationId, Option<&Context>),
        author: NodeId,
        parts: Parts,
        since: Instant,
    ) -> Option<Self> {
        let key = id_key(conversation, LifeId { author, life: parts.life }, context);
        let (seq, last) = parts.last(&key)?;
        let bytes = encoded_len(&parts);
        Some(Self { conversation, since, parts, key, seq, ids: alloc::vec![last], bytes })
    }

    pub(super) fn ids(&self) -> &[MessageId] {
        &self.ids
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more entry with a text of so many bytes fits into the run.
    pub(super) fn fits(&self, text: usize) -> bool {
        let bytes = self.bytes.saturating_add(text).saturating_add(ENTRY_BYTES);
        self.parts.entries.len() < MAX_RUN - MAX_PARENTS && bytes <= MAX_RUN_BYTES
    }

    /// One more entry, which names no heads: those before it have named all there are.
    pub(super) fn push(&mut self, body: &Body) -> Option<MessageId> {
        let last = *self.ids.last()?;
        let part = Part { parents: Vec::new(), body: Carried::Body(Blob(encode(body))) };
        self.seq = self.seq.saturating_add(1);
        let last = next_id(&self.key, self.seq, last, &part.body);
        self.ids.push(last);
        self.bytes = self.bytes.saturating_add(encoded_len(&part));
        self.parts.entries.push(part);
        Some(last)
    }

    pub(super) fn len(&self) -> usize {
        self.parts.entries.len()
    }
}
