//! Public keys of authors that wrote recently.

use crate::collections::OrderedMap;
use crate::id::{ConversationId, NodeId};
use crate::identity::PublicKey;
use crate::wire::entry::Run;

/// Keys in memory: 512, as many as there are authors in memory (docs/design/log.md §7, R9), of 200 bytes each.
const MAX_KEYS: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Keys {
    keys: OrderedMap<NodeId, (PublicKey, u64)>,
    uses: u64,
}

impl Keys {
    /// Whether the author of a run signed it. The key is kept only if it did: forgeries put no key out.
    pub(super) fn signed(&mut self, conversation: ConversationId, run: &Run) -> bool {
        self.uses = self.uses.saturating_add(1);
        if let Some((key, used)) = self.keys.get_mut(&run.log.author) {
            *used = self.uses;
            return run.is_signed_by(conversation, key);
        }
        let read = run.key().and_then(PublicKey::read).filter(|key| run.is_signed_by(conversation, key));
        let Some(key) = read else { return false };
        if self.keys.len() >= MAX_KEYS {
            let oldest = self.keys.iter().min_by_key(|(_, (_, used))| *used).map(|(author, _)| *author);
            oldest.and_then(|author| self.keys.remove(&author));
        }
        self.keys.insert(run.log.author, (key, self.uses));
        true
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}
