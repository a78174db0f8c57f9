//! The records of conversations: keys, values and the reads of them (docs/spec/store.md).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::chat::clock::Counts;
use crate::chat::known::{Known, Tip};
use crate::chat::log::Wants;
use crate::chat::policy::Policy;
use crate::collections::OrderedMap;
use crate::id::{ConversationId, ID_LEN, Life, MessageId, NodeId};
use crate::store::{Record, Scan, Table};
use crate::time::WallTime;
use crate::wire::entry::{LifeId, Parent, Run};
use crate::wire::record::Reader;
use crate::wire::{Blob, Bytes, Malformed, decode, encode};

/// The state of each conversation, under its id.
pub(super) const CONVERSATIONS: Table = Table::hot(32);
/// Entries, under conversation, depth and hash: in display order.
pub(super) const ENTRIES: Table = Table::cold(32);
/// Entries by conversation, author, life and number.
pub(super) const NUMBERS: Table = Table::cold(33);
/// Where conversations are cut, under their ids.
pub(super) const RETENTION: Table = Table::hot(35);
/// The members that hold and that have read this node's messages, under conversations. Without it members say it again.
pub(super) const CONFIRMATIONS: Table = Table::expendable(55);
/// What later entries did to a message, under conversation, message and entry.
pub(super) const EDITS: Table = Table::cold(34);

/// Rows of one read of a walk, and their bytes: 256 and 1 MiB.
pub(super) const READ_ROWS: u32 = 256;
pub(super) const READ_BYTES: u32 = 1 << 20;
/// The longest stored value: the largest run and a clock.
const MAX_ROW: usize = 1 << 20;

/// An entry on disk. The last of a run holds the run, as it travelled; the others lead to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) log: LifeId,
    pub(super) seq: u64,
    /// By component.
    pub(super) clock: Option<Vec<u64>>,
    pub(super) at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum At {
    /// This entry ends this run.
    End(Held),
    /// The run ends with this entry.
    In(MessageId),
}

/// A run as it is held here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    /// As it travels: bodies that are not here are hashes.
    pub(super) run: Blob,
    pub(super) wants: Wants,
    /// Entries, counted from the last, that edit or retract something else than an own message of this conversation:
    /// they have no effect and are not shown.
    pub(super) void: Vec<u8>,
    pub(super) arrived: WallTime,
    /// Its bytes were counted with those of first-time authors.
    pub(super) first_time: bool,
}

/// A [`Row`] to be written, of what is elsewhere.
#[derive(Serialize)]
pub(super) struct NewRow<'a> {
    pub(super) log: LifeId,
    pub(super) seq: u64,
    pub(super) clock: Option<&'a [u64]>,
    pub(super) at: NewAt<'a>,
}

#[derive(Serialize)]
pub(super) enum NewAt<'a> {
    End(NewHeld<'a>),
    In(MessageId),
}

/// A [`Held`] to be written.
#[derive(Clone, Copy, Serialize)]
pub(super) struct NewHeld<'a> {
    pub(super) run: Bytes<'a>,
    pub(super) wants: Wants,
    pub(super) void: &'a [u8],
    pub(super) arrived: WallTime,
    pub(super) first_time: bool,
}

impl Row {
    pub(super) fn read(value: &[u8]) -> Result<Self, Malformed> {
        decode(value, MAX_ROW)
    }

    pub(super) fn known(&self) -> Known {
        Known { log: self.log, seq: self.seq, clock: self.clock.clone().map(Counts::new) }
    }
}

pub(super) fn entry_key(conversation: u32, id: MessageId) -> Vec<u8> {
    let mut key = Vec::with_capacity(44);
    key.extend_from_slice(&conversation.to_be_bytes());
    key.extend_from_slice(&id.depth.to_be_bytes());
    key.extend_from_slice(&id.hash);
    key
}

/// The place in a key of [`ENTRIES`].
pub(super) fn entry_id(key: &[u8]) -> Result<MessageId, Malformed> {
    let mut reader = Reader(key);
    let _conversation: [u8; 4] = reader.take()?;
    Ok(MessageId { depth: u64::from_be_bytes(reader.take()?), hash: reader.take()? })
}

fn life_key(conversation: u32, log: LifeId) -> Vec<u8> {
    let mut key = Vec::with_capacity(60);
    key.extend_from_slice(&conversation.to_be_bytes());
    key.extend_from_slice(&log.author.0);
    key.extend_from_slice(&log.life.0);
    key
}

/// Conversation, author, life, number and eight bytes of the hash.
pub(super) fn number_key(conversation: u32, log: LifeId, tip: Tip) -> Vec<u8> {
    let mut key = life_key(conversation, log);
    key.extend_from_slice(&tip.seq.to_be_bytes());
    key.extend_from_slice(tip.id.hash.get(..8).unwrap_or_default());
    key
}

/// The life, the number and the entry of a record of [`NUMBERS`].
pub(super) fn number_row(record: &Record) -> Result<(LifeId, Tip), Malformed> {
    let mut reader = Reader(&record.key);
    let _conversation: [u8; 4] = reader.take()?;
    let log = LifeId { author: NodeId(reader.take()?), life: Life(reader.take()?) };
    let seq = u64::from_be_bytes(reader.take()?);
    Ok((log, Tip { seq, id: decode(&record.value, 64)? }))
}

pub(super) fn edit_key(conversation: u32, target: MessageId, by: MessageId) -> Vec<u8> {
    let mut key = entry_key(conversation, target);
    key.extend_from_slice(&by.depth.to_be_bytes());
    key.extend_from_slice(&by.hash);
    key
}

fn one(table: Table, start: Vec<u8>, end: Vec<u8>, reverse: bool) -> Scan {
    Scan { table, start, end, reverse, limit: 1, max_bytes: u32::MAX }
}

/// The entry that a parent names.
pub(super) fn entry_scan(conversation: u32, parent: Parent) -> Scan {
    let (first, last) = parent.bounds();
    one(ENTRIES, entry_key(conversation, first), entry_key(conversation, last.next()), false)
}

/// Entries from a place on, in order.
pub(super) fn entries_from(conversation: u32, place: MessageId) -> Scan {
    let end = entry_key(conversation.saturating_add(1), MessageId::first_of(0));
    let start = entry_key(conversation, place);
    Scan { table: ENTRIES, start, end, reverse: false, limit: READ_ROWS, max_bytes: READ_BYTES }
}

/// The first rows of a conversation in any of its tables.
pub(super) fn all_of(table: Table, conversation: u32) -> Scan {
    let (start, end) = (conversation.to_be_bytes(), conversation.saturating_add(1).to_be_bytes());
    let (start, end) = (start.to_vec(), end.to_vec());
    Scan { table, start, end, reverse: false, limit: READ_ROWS, max_bytes: READ_BYTES }
}

/// All of a life, without the last key.
fn life_range(conversation: u32, log: LifeId) -> (Vec<u8>, Vec<u8>) {
    let start = life_key(conversation, log);
    let mut end = start.clone();
    end.extend_from_slice(&[u8::MAX; 17]);
    (start, end)
}

/// The newest entry of a life.
pub(super) fn tip_scan(conversation: u32, log: LifeId) -> Scan {
    let (start, end) = life_range(conversation, log);
    one(NUMBERS, start, end, true)
}

/// The first life after this one; the first of the conversation if there is none.
pub(super) fn next_life_scan(conversation: u32, after: Option<LifeId>) -> Scan {
    let start = after.map_or_else(|| conversation.to_be_bytes().to_vec(), |log| life_range(conversation, log).1);
    one(NUMBERS, start, conversation.saturating_add(1).to_be_bytes().to_vec(), false)
}

/// The entries under one number of a life.
pub(super) fn number_scan(conversation: u32, log: LifeId, seq: u64) -> Scan {
    let mut start = life_key(conversation, log);
    let mut end = start.clone();
    start.extend_from_slice(&seq.to_be_bytes());
    end.extend_from_slice(&seq.saturating_add(1).to_be_bytes());
    Scan { table: NUMBERS, start, end, reverse: false, limit: 8, max_bytes: u32::MAX }
}

/// All edits of the messages between two places, both included.
pub(super) fn edits_scan(conversation: u32, first: MessageId, last: MessageId) -> Scan {
    let (start, end) = (entry_key(conversation, first), entry_key(conversation, last.next()));
    Scan { table: EDITS, start, end, reverse: false, limit: 4_096, max_bytes: 4 << 20 }
}

/// The message that a record of [`EDITS`] is about.
pub(super) fn edited(key: &[u8]) -> Result<MessageId, Malformed> {
    entry_id(key.get(..4 + 8 + ID_LEN).ok_or(Malformed)?)
}

/// What the last edit of each message did: a new text, or none if it was retracted.
pub(super) fn last_edits(records: &[Record]) -> OrderedMap<MessageId, Option<String>> {
    // In the order of keys, so that the last one stays.
    records
        .iter()
        .filter_map(|r| Some((entry_id(r.key.get(..4 + 8 + ID_LEN)?).ok()?, decode(&r.value, MAX_ROW).ok()?)))
        .collect()
}

/// Reads a stored run.
pub(super) fn stored_run(policy: &Policy, id: ConversationId, bytes: &[u8]) -> Result<Run, Malformed> {
    policy.decode(id, bytes.to_vec())
}

pub(super) fn encode_edit(text: Option<&str>) -> Vec<u8> {
    encode(&text)
}
