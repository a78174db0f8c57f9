//! What is derived from the secret of an epoch (docs/design/groups-keys.md §4.1).

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::kdf::Key;
use crate::id::{GroupId, NodeId, OpId};
use crate::rng::Rng;

/// Bytes of both tags.
const TAGS_LEN: usize = 16;

/// Group tag 8 and epoch tag 8. Nothing in them outlives the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tags(pub(crate) [u8; TAGS_LEN]);

/// The secret of an epoch. It opens the epoch's messages from the first one on.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret(Key);

impl Secret {
    pub(crate) fn new(bytes: Key) -> Self {
        Self(bytes)
    }

    /// A fresh one.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        Self(rng.bytes())
    }

    pub(crate) fn as_bytes(&self) -> &Key {
        &self.0
    }
}

/// The parts in a row, hashed under a context of their own. Every part has a fixed length.
fn derive(context: &str, parts: &[&[u8]]) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let key = *hasher.finalize().as_bytes();
    hasher.zeroize();
    key
}

/// What an operation says of the secret of its epoch, so that its author cannot hand out two.
///
/// It binds the group alone. The operation that holds it is signed with it, so its id is not known yet; that operation
/// binds the parents and the order, and everything that is derived later binds the operation.
pub(crate) fn commitment(secret: &Secret, group: GroupId) -> [u8; 32] {
    derive("DONP v1 group epoch commit", &[&secret.0, &group.0])
}

/// What an epoch is derived for.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) group: GroupId,
    pub(super) op: OpId,
}

/// The first key of a holder's chain.
pub(super) fn first_of_chain(secret: &Secret, at: Place, holder: &NodeId) -> Key {
    derive("DONP v1 group chain", &[&secret.0, &at.group.0, &at.op.0, &holder.0])
}

/// What the secrets of following epochs are derived from.
pub(super) fn next_key(secret: &Secret, at: Place) -> Key {
    derive("DONP v1 group epoch next", &[&secret.0, &at.group.0, &at.op.0])
}

/// What names the epoch on the wire.
pub(super) fn header_key(secret: &Secret, at: Place) -> Key {
    derive("DONP v1 group header", &[&secret.0, &at.group.0, &at.op.0])
}

/// The tags of messages: both change with the epoch, so only its holders see which messages are of one group.
pub(super) fn tags(header: &Key) -> Tags {
    first_tags(&derive("DONP v1 group tags", &[header]))
}

/// The tags of a PUBLIC group: they follow from its id.
pub(super) fn public_tags(group: GroupId) -> Tags {
    first_tags(&derive("DONP v1 public group", &[&group.0]))
}

fn first_tags(key: &Key) -> Tags {
    Tags(key.first_chunk::<TAGS_LEN>().copied().unwrap_or_default())
}

/// The secret of the epoch after an operation that adds a member, by the hash of what the member accepted.
pub(super) fn successor(next: &Key, seed: Key) -> Secret {
    let key = Zeroizing::new(derive("DONP v1 group next", &[next, &seed]));
    Secret(*key)
}
