//! An entry in a comparison of histories: its place, and a weight that no author can steer.

use core::cmp::Ordering;

use crate::collections::Weigh;
use crate::id::{ID_LEN, MessageId};

/// An entry, ordered by its place. The weight is a hash of the id under a salt that the node that compares draws anew
/// each time: sums of plain ids could be steered by an author of many entries (Wagner, "A generalized birthday
/// problem", CRYPTO 2002), sums of these only by one that knows the salt before it writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    pub(crate) id: MessageId,
    weight: [u8; ID_LEN],
}

impl Item {
    pub(super) fn new(salt: &[u8; 16], id: MessageId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("DONP v1 comparison weight");
        hasher.update(salt).update(&id.depth.to_le_bytes()).update(&id.hash);
        Self { id, weight: *hasher.finalize().as_bytes() }
    }

    /// A place to look for.
    pub(super) const fn bound(id: MessageId) -> Self {
        Self { id, weight: [0; ID_LEN] }
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl Weigh for Item {
    fn weight(&self) -> &[u8; ID_LEN] {
        &self.weight
    }
}
