//! A message's place in the order of a conversation, as comparisons of histories name it.

use serde::{Deserialize, Serialize};

use crate::collections::Weigh;
use crate::id::{ID_LEN, MessageId};

/// A message by its place in a comparison of histories: depth, then id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Item {
    pub depth: u64,
    pub id: MessageId,
}

impl Item {
    /// The least item after this one.
    pub(super) fn next(self) -> Self {
        let mut id = self.id.0;
        for byte in id.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return Self { id: MessageId(id), ..self };
            }
        }
        Self { depth: self.depth.saturating_add(1), id: MessageId(id) }
    }
}

impl Weigh for Item {
    fn weight(&self) -> &[u8; ID_LEN] {
        &self.id.0
    }
}
