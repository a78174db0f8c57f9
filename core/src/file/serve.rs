//! Parts for other nodes.

use crate::collections::{OrderedMap, Rate, RateLimit};
use crate::file::sealed::{Proven, open};
use crate::file::wire::{MAX_ASKED, Message};
use crate::file::{Files, HAVE, Out, PARTS, Reading, part_key};
use crate::id::{FileId, NodeId};
use crate::machine::{Cx, Outbox};
use crate::stats::DropReason;
use crate::store::{Record, Scan};
use crate::time::Instant;

/// Parts that are read for one node at a time: what it may ask for at once, of two files.
const MAX_READS_OF_NODE: usize = 2 * MAX_ASKED;
/// Parts that are read at a time for all: half of the reads that a node has under way (`Limits::requests`).
const MAX_READS: usize = 128;
/// Questions of one node for what is here: it asks 4 holders every 2 s of each of 4 files. Each costs at most the two
/// thousand bytes that say which parts of a gigabyte are here.
const QUESTIONS: Rate = Rate { per_second: 8, burst: 64 };

/// What other nodes ask for.
#[derive(Debug, Default)]
pub(super) struct Serving {
    /// Parts that are being read, by node. INVARIANT: none is zero.
    reading: OrderedMap<NodeId, usize>,
    /// By node with a link.
    questions: OrderedMap<NodeId, RateLimit>,
}

impl Serving {
    pub(super) fn len(&self) -> usize {
        self.reading.len().saturating_add(self.questions.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.reading.values().all(|n| *n > 0) {
            true => Ok(()),
            false => Err("a node is served no part"),
        }
    }

    /// Whether one more question of a node is answered.
    pub(super) fn answers(&mut self, node: NodeId, now: Instant) -> bool {
        self.questions.entry(node).or_insert_with(|| RateLimit::new(QUESTIONS)).take(now)
    }

    pub(super) fn gone(&mut self, node: NodeId) {
        self.questions.remove(&node);
    }

    fn begin(&mut self, node: NodeId) -> bool {
        let all = self.reading.values().fold(0usize, |sum, n| sum.saturating_add(*n));
        if all >= MAX_READS || self.reading.get(&node).is_some_and(|n| *n >= MAX_READS_OF_NODE) {
            return false;
        }
        let reading = self.reading.entry(node).or_default();
        *reading = reading.saturating_add(1);
        true
    }

    fn end(&mut self, node: NodeId) {
        if let Some(reading) = self.reading.get_mut(&node) {
            *reading = reading.saturating_sub(1);
            if *reading == 0 {
                self.reading.remove(&node);
            }
        }
    }
}

impl Files {
    /// Reads one part.
    pub(super) fn read(&mut self, file: FileId, part: u32, reading: Reading, out: &mut Outbox<Out>) {
        let read = self.next_read;
        self.next_read = read.wrapping_add(1);
        self.reads.insert(read, reading);
        let start = part_key(file, part);
        let mut end = start.clone();
        end.push(0);
        out.push(Out::Read { read, scan: Scan { table: PARTS, start, end, reverse: false, limit: 1, max_bytes: 1 } });
    }

    /// A node asks for parts. What it may not have and what is not here get the same answer.
    pub(super) fn get(&mut self, cx: &mut Cx<'_>, from: NodeId, file: FileId, parts: &[u32], out: &mut Outbox<Out>) {
        let may = self.may_have(from, file);
        for part in parts {
            let here = may && self.files.get(&file).is_some_and(|f| f.have.has(*part));
            if !here {
                // Sixteen answers to one question of a stranger: they count as questions.
                match self.serving.answers(from, cx.now) {
                    true => Self::send(from, &Message::Lacks { file, part: *part }, out),
                    false => self.drops.count(DropReason::Rate),
                }
            } else if self.serving.begin(from) {
                self.read(file, *part, Reading::Serve { to: from, file, part: *part }, out);
            } else {
                // It asks for more than may be under way: it will ask again.
                self.drops.count(DropReason::Rate);
            }
        }
    }

    /// A part for another node was read.
    pub(super) fn serve(&mut self, to: NodeId, file: FileId, part: u32, record: Option<Record>, out: &mut Outbox<Out>) {
        self.serving.end(to);
        // It may have lost its place meanwhile.
        if !self.may_have(to, file) {
            return Self::send(to, &Message::Lacks { file, part }, out);
        }
        match record {
            Some(record) => Self::send(to, &Message::Part { file, part, bytes: record.value }, out),
            // The disk may have failed for a moment, or is full and the part still waits to be written: what others ask
            // does not make this node forget it.
            None => Self::send(to, &Message::Lacks { file, part }, out),
        }
    }

    /// The bytes of a part that was read for the application.
    pub(super) fn opened(
        &mut self,
        file: FileId,
        part: u32,
        record: Option<Record>,
        out: &mut Outbox<Out>,
    ) -> Option<alloc::vec::Vec<u8>> {
        let known = self.files.get(&file)?;
        let (key, size) = (known.attachment.key, known.size());
        let value = record.map(|r| r.value).unwrap_or_default();
        let opened = Proven::read(file, size, part, &value).and_then(|proven| open(&key, part, proven.sealed));
        if opened.is_none() && self.files.get(&file).is_some_and(|f| f.have.has(part)) {
            self.lost(file, part, out);
        }
        opened
    }

    /// The store does not have a part that should be there, or not as it was: it is missing now.
    fn lost(&mut self, file: FileId, part: u32, out: &mut Outbox<Out>) {
        if let Some(known) = self.files.get_mut(&file)
            && known.have.set(part, false)
        {
            out.delete(PARTS, part_key(file, part));
            known.save_row(HAVE, file, part, out);
        }
    }
}
