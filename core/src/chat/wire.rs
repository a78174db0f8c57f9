//! The forms of a message: the body that is hashed, the envelope that is signed, the record that
//! is stored, and the messages with which chat machines catch up.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::chat::item::Item;
use crate::chat::ranges::Part;
use crate::id::{ConversationId, ID_LEN, MessageId, NodeId};
use crate::identity::{Domain, Identity, SIGNATURE_LEN, node_id, verify};
use crate::time::WallTime;
use crate::wire::content::{Content, Position, VectorClock};
use crate::wire::{Blob, MAX_MESSAGE, Malformed, decode, encode};

/// The most clock entries one message may change: 64, as many as a carried clock is meant for
/// (docs/design/history.md §2). 33 to 41 bytes each, so a message with all of them is fragmented and still fits.
pub(super) const MAX_CLOCK_CHANGES: usize = 64;
/// The most ranges in one `Fetch` and messages in its answer.
pub(super) const MAX_FETCH_RANGES: usize = 16;
pub(super) const MAX_FETCH_MESSAGES: u64 = 256;

/// What an author says, as it is hashed. Conversation and author are not in it: they are known from
/// the context and bound into the id, so a copy in another context is another message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// The author's number for it, from 1 without gaps.
    pub seq: u64,
    /// The Lamport time: 1 + that of the deepest message that it follows.
    pub depth: u64,
    /// The author's vector clock, as the entries that changed since the author's previous message:
    /// messages of an author are taken in order, so every receiver can complete it. The author's own
    /// entry is `seq` and is left out.
    pub changes: Vec<(NodeId, u64)>,
    /// The author's wall clock.
    pub sent_at: WallTime,
    pub content: Content,
}

impl Body {
    /// Reads a body and checks what needs no context.
    pub(crate) fn decode(bytes: &[u8], author: NodeId) -> Result<Self, Malformed> {
        let body: Self = decode(bytes, MAX_MESSAGE)?;
        let sound = body.seq >= 1
            && body.depth >= body.seq
            && body.changes.len() <= MAX_CLOCK_CHANGES
            && body.changes.iter().all(|&(a, n)| a != author && n >= 1)
            && body.changes.is_sorted_by(|a, b| a.0 < b.0)
            && body.content.validate().is_ok();
        if sound { Ok(body) } else { Err(Malformed) }
    }
}

/// The key under which an author's messages in a conversation are hashed into ids: it binds both, and
/// is made once for all of them.
pub(crate) fn id_key(conversation: ConversationId, author: NodeId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("DONP v1 message id");
    hasher.update(&conversation.0).update(&author.0);
    *hasher.finalize().as_bytes()
}

/// The id of the message with these body bytes.
pub(crate) fn message_id(id_key: &[u8; 32], body: &[u8]) -> MessageId {
    MessageId(*blake3::keyed_hash(id_key, body).as_bytes())
}

/// A broadcast as it travels: the author's key, a signature over the id, the body.
pub(crate) struct Signed<'a> {
    key: [u8; 32],
    signature: [u8; SIGNATURE_LEN],
    pub(crate) body: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(crate) fn seal(identity: &Identity, id: MessageId, body: &'a [u8]) -> Vec<u8> {
        let mut out = identity.public_key().to_vec();
        out.extend_from_slice(&identity.sign(Domain::Message, &id.0));
        out.extend_from_slice(body);
        out
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (key, rest) = bytes.split_first_chunk::<32>().ok_or(Malformed)?;
        let (signature, body) = rest.split_first_chunk::<SIGNATURE_LEN>().ok_or(Malformed)?;
        Ok(Self { key: *key, signature: *signature, body })
    }

    pub(crate) fn author(&self) -> NodeId {
        node_id(&self.key)
    }

    /// About 40 µs.
    pub(crate) fn is_genuine(&self, id: MessageId) -> bool {
        verify(Domain::Message, &self.key, &id.0, &self.signature)
    }
}

/// Messages between chat machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sync {
    /// A hash of the sender's heights: a receiver with equal heights sends nothing.
    Digest { conversation: ConversationId, hash: [u8; 16] },
    /// The version vector: how many messages of each author the sender has, and the depth of the last.
    Heights { conversation: ConversationId, heights: Vec<Height>, answer: bool },
    /// Please send these.
    Fetch { conversation: ConversationId, ranges: Vec<Range> },
    /// Here they are; `done` with the last of them.
    Bundle { conversation: ConversationId, envelopes: Vec<Blob>, done: bool },
    /// What the sender has from depth `from` up to but not including depth `to`; answered by `Compared`.
    Compare { conversation: ConversationId, from: u64, to: u64, parts: Vec<Part> },
    /// The answer: what is still open, nothing if all is settled. `to` may be less than requested.
    Compared { conversation: ConversationId, from: u64, to: u64, parts: Vec<Part> },
    /// Please send these, up to `MAX_FETCH_MESSAGES`; answered by bundles.
    Want { conversation: ConversationId, items: Vec<Item> },
}

/// How much a node has of one author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Height {
    pub author: NodeId,
    pub count: u64,
    /// The depth of message `count`.
    pub depth: u64,
}

/// Messages of one author, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub author: NodeId,
    pub from: u64,
    pub to: u64,
}

/// The key of a message by author and number.
pub(super) fn log_key(conversation: ConversationId, author: NodeId, seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(72);
    key.extend_from_slice(&conversation.0);
    key.extend_from_slice(&author.0);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

/// The key of a message by display order: sorted bytes are sorted positions.
pub(super) fn order_key(conversation: ConversationId, at: Position) -> Vec<u8> {
    let mut key = Vec::with_capacity(104);
    key.extend_from_slice(&conversation.0);
    key.extend_from_slice(&at.depth.to_be_bytes());
    key.extend_from_slice(&at.author.0);
    key.extend_from_slice(&at.id.0);
    key
}

pub(super) fn head_key(conversation: ConversationId, author: NodeId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(&conversation.0);
    key.extend_from_slice(&author.0);
    key
}

/// What is kept of a message under both keys: its completed clock, then the envelope.
pub(super) fn encode_record(clock: &VectorClock, envelope: &[u8]) -> Vec<u8> {
    let mut out = encode(clock);
    out.extend_from_slice(envelope);
    out
}

/// The envelope in a stored record.
pub(super) fn record_envelope(value: &[u8]) -> Result<(VectorClock, &[u8]), Malformed> {
    postcard::take_from_bytes(value).map_err(|_| Malformed)
}

/// The place in an `Order` key.
pub(super) fn item_from_key(key: &[u8]) -> Result<Item, Malformed> {
    let mut reader = crate::wire::record::Reader(key);
    let _conversation: [u8; ID_LEN] = reader.take()?;
    let depth = u64::from_be_bytes(reader.take()?);
    let _author: [u8; ID_LEN] = reader.take()?;
    Ok(Item { depth, id: MessageId(reader.take()?) })
}
