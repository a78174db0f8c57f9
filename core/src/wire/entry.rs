//! Entries of an author's log, and the runs in which they travel (docs/design/log.md §2, §4).
//!
//! An entry names its past by depth and hash. Its depth is not said: it follows from what it names, so it cannot be
//! invented. A run is all that an author says in one step, with one signature over the last id; the hash chain vouches
//! for the others (Gennaro and Rohatgi, "How to sign digital streams", CRYPTO 1997).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{ConversationId, ID_LEN, Life, MessageId, NodeId};
use crate::identity::{Domain, Identity, PublicKey, SIGNATURE_LEN, node_id};
use crate::time::WallTime;
use crate::wire::content::Content;
use crate::wire::group::{Context, GroupRun};
use crate::wire::{Blob, MAX_MESSAGE, Malformed, decode, encode, encode_after, encoded_len};

/// Heads that one entry names besides the one before it: 8 (docs/design/log.md §2).
pub(crate) const MAX_PARENTS: usize = 8;
/// Entries of one run: 256 (docs/design/log.md §4).
pub(crate) const MAX_RUN: usize = 256;
/// Bytes of the entries of a run with more than one: 32 KiB (docs/design/log.md §4).
pub(crate) const MAX_RUN_BYTES: usize = 32 << 10;

/// Bytes before the parts of a signed run.
const SIGNED_FRONT: usize = 32 + SIGNATURE_LEN;

/// One log of one author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LifeId {
    pub(crate) author: NodeId,
    pub(crate) life: Life,
}

/// An entry of another log, by its depth and the first half of its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) depth: u64,
    pub(crate) prefix: [u8; 16],
}

impl Parent {
    pub(crate) fn of(id: MessageId) -> Self {
        let (prefix, _) = id.hash.split_first_chunk::<16>().map_or(([0; 16], ()), |(p, _)| (*p, ()));
        Self { depth: id.depth, prefix }
    }

    /// The first and the last id that it can name.
    pub(crate) fn bounds(self) -> (MessageId, MessageId) {
        let with = |fill: u8| {
            let mut hash = [fill; ID_LEN];
            if let Some(front) = hash.first_chunk_mut::<16>() {
                *front = self.prefix;
            }
            MessageId { depth: self.depth, hash }
        };
        (with(0), with(u8::MAX))
    }
}

/// What an entry names: an entry of another log, or the one before it in its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Reference {
    Parent(Parent),
    /// Named by the entry with number `seq` of `log` as the one before it.
    Prev {
        log: LifeId,
        seq: u64,
        id: MessageId,
    },
}

impl Reference {
    pub(crate) fn parent(self) -> Parent {
        match self {
            Self::Parent(parent) => parent,
            Self::Prev { id, .. } => Parent::of(id),
        }
    }
}

/// Bytes of the longest encoding of a [`Header`]: three numbers and a count of ten bytes at most, a flag, two hashes, and
/// eight parents of 26.
const MAX_HEADER: usize = 4 * 10 + 1 + 10 + 2 * ID_LEN + MAX_PARENTS * 26;

/// What is hashed into the id.
#[derive(Serialize)]
struct Header<'a> {
    seq: u64,
    prev: Option<MessageId>,
    parents: &'a [Parent],
    depth: u64,
    body: [u8; ID_LEN],
}

/// What an entry says. The salt keeps its hash from saying anything of a text that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) salt: [u8; 16],
    pub(crate) sent_at: WallTime,
    /// None: a merge, which only names heads.
    pub(crate) content: Option<Content>,
}

/// The body of an entry as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Carried {
    /// The encoding of a [`Body`].
    Body(Blob),
    /// Its hash: the body was deleted.
    Hash([u8; ID_LEN]),
}

impl Carried {
    pub(crate) fn hash(&self) -> [u8; ID_LEN] {
        match self {
            Self::Body(Blob(bytes)) => blake3::derive_key("DONP v1 entry body", bytes),
            Self::Hash(hash) => *hash,
        }
    }
}

/// One entry of a run on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) parents: Vec<Parent>,
    pub(crate) body: Carried,
}

/// A run on the wire, without key and signature. The conversation is known from the context, the author from the key or
/// from the link; both are bound into the ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parts {
    pub(crate) life: Life,
    /// The number of the first entry, from 1.
    pub(crate) seq: u64,
    /// The entry before it: the one with the number before in the same life, or, for the first, one of an older life.
    pub(crate) prev: Option<MessageId>,
    pub(crate) entries: Vec<Part>,
}

/// An entry of a run, with what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: MessageId,
    pub(crate) seq: u64,
    pub(crate) prev: Option<MessageId>,
    pub(crate) parents: Vec<Parent>,
    /// None if it did not come or cannot be read: the entry stands as a header.
    pub(crate) body: Option<Body>,
    /// Its body did not come: it was deleted where this came from, or held back.
    pub(crate) is_bare: bool,
}

/// A run whose form is right. Its signature may still be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) log: LifeId,
    /// Never empty.
    pub(crate) entries: Vec<Entry>,
    /// As it travelled: it is passed on, stored and served so.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of what stands before the parts.
    pub(crate) front: usize,
    /// That of a run of a group.
    pub(crate) context: Option<Context>,
}

/// The key under which the entries of a log are hashed into ids: it binds conversation, author and life, and in a group
/// what the author knew of it.
pub(crate) fn id_key(conversation: ConversationId, log: LifeId, context: Option<&Context>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("DONP v1 entry id");
    hasher.update(&conversation.0).update(&log.author.0).update(&log.life.0);
    if let Some(context) = context {
        hasher.update(&encode(context));
    }
    *hasher.finalize().as_bytes()
}

impl Parts {
    /// The ids of the entries of a run of `author` with these parts, in order. Depths are those of what they name.
    fn ids(&self, key: &[u8; 32]) -> impl Iterator<Item = Result<(u64, MessageId), Malformed>> {
        let (mut seq, mut prev) = (self.seq, self.prev);
        self.entries.iter().map(move |Part { parents, body }| {
            let deepest = parents.last().map(|p| p.depth).max(prev.map(|p| p.depth)).unwrap_or(0);
            let depth = deepest.checked_add(1).ok_or(Malformed)?;
            let id = id_of(key, &Header { seq, prev, parents, depth, body: body.hash() });
            let this = (seq, id);
            prev = Some(id);
            seq = seq.saturating_add(1);
            Ok(this)
        })
    }

    /// The number and the id of the last entry.
    pub(crate) fn last(&self, key: &[u8; 32]) -> Option<(u64, MessageId)> {
        self.ids(key).last()?.ok()
    }
}

/// The parts of one run as entries with ids.
fn entries(
    conversation: ConversationId,
    author: NodeId,
    context: Option<&Context>,
    parts: Parts,
) -> Result<(LifeId, Vec<Entry>), Malformed> {
    let log = LifeId { author, life: parts.life };
    let sound = parts.seq >= 1
        && !(parts.seq > 1 && parts.prev.is_none())
        && (1..=MAX_RUN).contains(&parts.entries.len())
        && parts.seq.checked_add(MAX_RUN as u64).is_some();
    if !sound {
        return Err(Malformed);
    }
    let is_right = |p: &Part| p.parents.len() <= MAX_PARENTS && p.parents.is_sorted_by(|a, b| a < b);
    if !parts.entries.iter().all(is_right) {
        return Err(Malformed);
    }
    let ids: Vec<(u64, MessageId)> = parts.ids(&id_key(conversation, log, context)).collect::<Result<_, _>>()?;
    let mut prev = parts.prev;
    let mut all = Vec::with_capacity(parts.entries.len());
    for (Part { parents, body }, (seq, id)) in parts.entries.into_iter().zip(ids) {
        let (body, is_bare) = match body {
            Carried::Body(Blob(bytes)) => (decode::<Body>(&bytes, MAX_MESSAGE).ok().filter(Body::is_sound), false),
            Carried::Hash(_) => (None, true),
        };
        all.push(Entry { id, seq, prev, parents, body, is_bare });
        prev = Some(id);
    }
    Ok((log, all))
}

/// The id of an entry that follows `prev` in its log and names nothing else.
pub(crate) fn next_id(key: &[u8; 32], seq: u64, prev: MessageId, body: &Carried) -> MessageId {
    id_of(key, &Header { seq, prev: Some(prev), parents: &[], depth: prev.depth.saturating_add(1), body: body.hash() })
}

fn id_of(key: &[u8; 32], header: &Header<'_>) -> MessageId {
    let mut buffer = [0; MAX_HEADER];
    let bytes: &[u8] = postcard::to_slice(header, &mut buffer).map_or(&[], |bytes| bytes);
    MessageId { depth: header.depth, hash: *blake3::keyed_hash(key, bytes).as_bytes() }
}

impl Entry {
    /// What it names.
    pub(crate) fn references(&self, log: LifeId) -> impl Iterator<Item = Reference> {
        let prev = self.prev.map(|id| Reference::Prev { log, seq: self.seq, id });
        prev.into_iter().chain(self.parents.iter().copied().map(Reference::Parent))
    }

    /// The message that it edits or retracts.
    pub(crate) fn edits(&self) -> Option<MessageId> {
        match self.body.as_ref()?.content.as_ref()? {
            Content::Edit { edit_of: id, .. } | Content::Retract { retract: id } => Some(*id),
            Content::Text { .. } | Content::Reply { .. } | Content::React { .. } | Content::File { .. } => None,
        }
    }
}

/// What the author of a group's run signs.
fn group_signed(conversation: ConversationId, context: &Context, last: MessageId) -> Vec<u8> {
    encode(&(conversation, context, last))
}

impl Body {
    fn is_sound(&self) -> bool {
        self.content.as_ref().is_none_or(|content| content.validate().is_ok())
    }
}

impl Run {
    pub(crate) fn last(&self) -> Option<MessageId> {
        self.entries.last().map(|e| e.id)
    }

    /// A run of this node, signed: the key, the signature over the last id, the parts.
    pub(crate) fn sign(identity: &Identity, conversation: ConversationId, parts: Parts) -> Result<Self, Malformed> {
        let body = encode(&parts);
        let (log, entries) = entries(conversation, identity.node_id(), None, parts)?;
        let last = entries.last().ok_or(Malformed)?.id;
        let mut bytes = identity.public_key().to_vec();
        bytes.extend_from_slice(&identity.sign(Domain::Message, &encode(&last)));
        bytes.extend_from_slice(&body);
        Ok(Self { log, entries, bytes, front: SIGNED_FRONT, context: None })
    }

    /// A run of this node in a group, signed over what it knows of the group and the last id.
    pub(crate) fn sign_in_group(
        identity: &Identity,
        conversation: ConversationId,
        context: &Context,
        parts: Parts,
    ) -> Result<Self, Malformed> {
        let body = encode(&parts);
        let (log, entries) = entries(conversation, identity.node_id(), Some(context), parts)?;
        let last = entries.last().ok_or(Malformed)?.id;
        let (key, signed) = (identity.public_key(), group_signed(conversation, context, last));
        let signature = identity.sign(Domain::GroupMessage, &signed);
        let run = GroupRun { key: &key, signature: &signature, context: context.clone(), parts: &body };
        let bytes = run.bytes();
        let front = bytes.len().saturating_sub(body.len());
        Ok(Self { log, entries, bytes, front, context: Some(run.context) })
    }

    /// Reads a run of a group; the signature is not checked.
    pub(crate) fn decode_in_group(conversation: ConversationId, bytes: Vec<u8>) -> Result<Self, Malformed> {
        let GroupRun { key, context, parts: body, .. } = GroupRun::read(&bytes)?;
        let (author, front) = (node_id(key), bytes.len().saturating_sub(body.len()));
        let parts: Parts = decode(body, MAX_MESSAGE)?;
        if parts.entries.len() > 1 && body.len() > MAX_RUN_BYTES {
            return Err(Malformed);
        }
        let (log, entries) = entries(conversation, author, Some(&context), parts)?;
        Ok(Self { log, entries, bytes, front, context: Some(context) })
    }

    /// Reads a signed run; the signature is not checked.
    pub(crate) fn decode_signed(conversation: ConversationId, bytes: Vec<u8>) -> Result<Self, Malformed> {
        let (key, rest) = bytes.split_first_chunk::<32>().ok_or(Malformed)?;
        let (_, body) = rest.split_first_chunk::<SIGNATURE_LEN>().ok_or(Malformed)?;
        let parts: Parts = decode(body, MAX_MESSAGE)?;
        if parts.entries.len() > 1 && body.len() > MAX_RUN_BYTES {
            return Err(Malformed);
        }
        let (log, entries) = entries(conversation, node_id(key), None, parts)?;
        Ok(Self { log, entries, bytes, front: SIGNED_FRONT, context: None })
    }

    /// Whether the author signed it: about 31 µs, and 20 with a key that was read before.
    pub(crate) fn is_genuine(&self, conversation: ConversationId) -> bool {
        self.key().and_then(PublicKey::read).is_some_and(|key| self.is_signed_by(conversation, &key))
    }

    /// The author's public key, as the run brings it: the author's id is its hash.
    pub(crate) fn key(&self) -> Option<&[u8; 32]> {
        self.bytes.first_chunk::<32>()
    }

    pub(crate) fn is_signed_by(&self, conversation: ConversationId, key: &PublicKey) -> bool {
        let rest = self.bytes.get(32..).unwrap_or_default();
        let (Some(signature), Some(last)) = (rest.first_chunk::<SIGNATURE_LEN>(), self.last()) else { return false };
        match &self.context {
            None => key.verifies(Domain::Message, &encode(&last), signature),
            Some(context) => key.verifies(Domain::GroupMessage, &group_signed(conversation, context, last), signature),
        }
    }

    /// A run without signature, for a private conversation: the session proves the author. Its id, then the parts.
    pub(crate) fn plain(conversation: ConversationId, author: NodeId, parts: Parts) -> Result<Self, Malformed> {
        let mut bytes = Vec::with_capacity(encoded_len(&parts).saturating_add(ID_LEN));
        bytes.extend_from_slice(&author.0);
        let bytes = encode_after(bytes, &parts);
        let (log, entries) = entries(conversation, author, None, parts)?;
        Ok(Self { log, entries, bytes, front: ID_LEN, context: None })
    }

    pub(crate) fn decode_plain(conversation: ConversationId, bytes: Vec<u8>) -> Result<Self, Malformed> {
        let (author, parts) = bytes.split_first_chunk::<ID_LEN>().ok_or(Malformed)?;
        let parts: Parts = decode(parts, MAX_MESSAGE)?;
        let (log, entries) = entries(conversation, NodeId(*author), None, parts)?;
        Ok(Self { log, entries, bytes, front: ID_LEN, context: None })
    }

    /// Whether the body of an entry did not come.
    pub(crate) fn is_bare(&self) -> bool {
        self.entries.iter().any(|e| e.is_bare)
    }

    /// Whether no body is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.iter().all(|e| e.is_bare)
    }

    /// What stands before the parts: key and signature, with the context of a group's, or the author of a private run.
    fn split(&self) -> Result<(&[u8], Parts), Malformed> {
        let (front, parts) = self.bytes.split_at_checked(self.front).ok_or(Malformed)?;
        Ok((front, decode(parts, MAX_MESSAGE)?))
    }

    fn with_parts(&self, parts: &Parts) -> Result<Vec<u8>, Malformed> {
        let (front, _) = self.split()?;
        Ok(encode_after(front.to_vec(), parts))
    }

    /// The same run with the bodies deleted. Ids and signature stay.
    pub(crate) fn without_bodies(mut self) -> Result<Self, Malformed> {
        let (_, mut parts) = self.split()?;
        for part in &mut parts.entries {
            part.body = Carried::Hash(part.body.hash());
        }
        self.bytes = self.with_parts(&parts)?;
        for entry in &mut self.entries {
            (entry.body, entry.is_bare) = (None, true);
        }
        Ok(self)
    }

    /// The same run with the bodies that `other`, which ends with the same entry, has and this one lacks. None if there
    /// are none.
    pub(crate) fn filled_from(&self, other: &Self) -> Option<Self> {
        if self.last() != other.last() {
            return None;
        }
        let (_, mut parts) = self.split().ok()?;
        let (_, theirs) = other.split().ok()?;
        let mut filled = self.clone();
        let mut is_more = false;
        // They end alike; either may begin sooner.
        let ours = parts.entries.iter_mut().zip(&mut filled.entries).rev();
        for ((part, entry), (their_part, their_entry)) in ours.zip(theirs.entries.into_iter().zip(&other.entries).rev())
        {
            if entry.is_bare && !their_entry.is_bare && entry.id == their_entry.id {
                part.body = their_part.body;
                entry.clone_from(their_entry);
                is_more = true;
            }
        }
        filled.bytes = self.with_parts(&parts).ok()?;
        is_more.then_some(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::identity;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    const ROOM: ConversationId = ConversationId([7; 32]);

    fn body(text: &str) -> Carried {
        let body = Body { salt: [3; 16], sent_at: WallTime(5), content: Some(Content::text(text)) };
        Carried::Body(Blob(encode(&body)))
    }

    fn parts(texts: &[&str]) -> Parts {
        let parent = Parent { depth: 4, prefix: [9; 16] };
        let entries = texts.iter().map(|t| Part { parents: alloc::vec![parent], body: body(t) }).collect();
        Parts { life: Life([1; 8]), seq: 1, prev: None, entries }
    }

    #[test]
    fn a_run_reads_back_with_depths_that_follow_from_its_past() {
        let run = Run::sign(&identity(1), ROOM, parts(&["a", "b", "c"])).unwrap();
        let depths: Vec<u64> = run.entries.iter().map(|e| e.id.depth).collect();
        assert_eq!(depths, [5, 6, 7]);
        assert_eq!(run.entries[1].prev, Some(run.entries[0].id));
        let read = Run::decode_signed(ROOM, run.bytes.clone()).unwrap();
        assert!(read.is_genuine(ROOM));
        assert_eq!(read, run);
    }

    proptest! {
        /// One wrong bit makes it another run that is not signed, or none. Mutation: `verify` is not called.
        #[test]
        fn a_run_is_refused_whole_if_one_bit_is_wrong(at in 0usize..4_000, bit in 0u8..8) {
            let run = Run::sign(&identity(1), ROOM, parts(&["first", "second", "third"])).unwrap();
            let mut bytes = run.bytes.clone();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(!Run::decode_signed(ROOM, bytes).is_ok_and(|r| r.is_genuine(ROOM)));
        }

        /// A run cut anywhere is not signed.
        #[test]
        fn a_run_cut_by_a_server_is_never_genuine(count in 1usize..6, keep in 0usize..6) {
            let texts = ["a", "b", "c", "d", "e", "f"];
            let run = Run::sign(&identity(1), ROOM, parts(&texts[..count])).unwrap();
            let mut cut = parts(&texts[..count]);
            cut.entries.truncate(keep);
            let mut bytes = run.bytes[..96].to_vec();
            bytes.extend(encode(&cut));
            let genuine = Run::decode_signed(ROOM, bytes).is_ok_and(|r| r.is_genuine(ROOM));
            prop_assert_eq!(genuine, keep >= count);
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in prop::collection::vec(0u8.., 0..400)) {
            let _ = Run::decode_signed(ROOM, bytes.clone());
            let _ = Run::decode_plain(ROOM, bytes);
        }
    }

    #[test]
    fn another_conversation_or_author_or_life_gives_another_id() {
        let run = Run::sign(&identity(1), ROOM, parts(&["a"])).unwrap();
        let other = Run::decode_signed(ConversationId([8; 32]), run.bytes.clone()).unwrap();
        assert_ne!(other.last(), run.last());
        assert!(!other.is_genuine(ROOM));
        let mut later = parts(&["a"]);
        later.life = Life([2; 8]);
        assert_ne!(Run::sign(&identity(1), ROOM, later).unwrap().last(), run.last());
        assert_ne!(Run::sign(&identity(2), ROOM, parts(&["a"])).unwrap().last(), run.last());
    }

    #[test]
    fn a_run_without_bodies_keeps_its_ids() {
        let peer = NodeId([2; 32]);
        let run = Run::plain(ROOM, peer, parts(&["secret", "words"])).unwrap();
        let bare = run.clone().without_bodies().unwrap();
        let read = Run::decode_plain(ROOM, bare.bytes.clone()).unwrap();
        assert_eq!(read.last(), run.last());
        assert_eq!(read.log, run.log);
        assert!(read.entries.iter().all(|e| e.body.is_none() && e.is_bare));
        assert!(!bare.bytes.windows(6).any(|w| w == b"secret"));
    }

    /// Mutation: `filled_from` counts from the first entry, or fills what is there.
    #[test]
    fn missing_bodies_are_filled_in_from_a_run_with_the_same_end() {
        let whole = Run::sign(&identity(1), ROOM, parts(&["a", "b", "c"])).unwrap();
        let bare = whole.clone().without_bodies().unwrap();
        assert!(bare.is_genuine(ROOM) && bare.is_bare());
        let read = Run::decode_signed(ROOM, bare.bytes.clone()).unwrap();
        assert_eq!(read, bare);
        // The end alone: the signature is over the last id.
        let mut last: Parts = decode(&whole.bytes[96..], MAX_MESSAGE).unwrap();
        last.entries.drain(..2);
        (last.seq, last.prev) = (3, Some(whole.entries[1].id));
        let mut bytes = whole.bytes[..96].to_vec();
        bytes.extend(encode(&last));
        let tail = Run::decode_signed(ROOM, bytes).unwrap();
        assert!(tail.is_genuine(ROOM));
        let partly = bare.filled_from(&tail).unwrap();
        assert_eq!(partly.entries.iter().map(|e| e.is_bare).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(partly.filled_from(&whole).unwrap(), whole);
        assert_eq!(whole.filled_from(&bare), None);
        assert_eq!(whole.filled_from(&tail), None);
    }
}
