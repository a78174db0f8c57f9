//! What becomes of a private message at the devices of a person.

use std::collections::BTreeSet;

use donp_core::{Durable, MessageId, NodeId};

/// The person has it when one device has it, and will not have it when all have failed.
pub(super) struct Fate {
    id: MessageId,
    /// Those to which it goes.
    pub(super) devices: Vec<NodeId>,
    failed: BTreeSet<NodeId>,
}

impl Fate {
    pub(super) fn new(id: MessageId, devices: Vec<NodeId>) -> Self {
        Self { id, devices, failed: BTreeSet::new() }
    }

    /// `delivered` or `failed`, once that is certain.
    pub(super) fn after(&mut self, event: &Durable) -> Option<&'static str> {
        match event {
            Durable::Delivered { id, .. } if *id == self.id => return Some("delivered"),
            Durable::Failed { id, to, .. } if *id == self.id => {
                self.failed.insert(*to);
            }
            _ => return None,
        }
        self.devices.iter().all(|device| self.failed.contains(device)).then_some("failed")
    }

    /// Whether it failed at one device at least: nothing waits for the others if it is in no outbox.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use donp_core::FailReason;

    use super::*;

    /// Mutation: the first device that fails decides; another message's event counts.
    #[test]
    fn a_message_failed_when_it_failed_at_every_device() {
        let (phone, laptop) = (NodeId([1; 32]), NodeId([2; 32]));
        let (id, other) = (MessageId::first_of(1), MessageId::first_of(2));
        let failed = |id, to| Durable::Failed { id, to, reason: FailReason::Expired };
        let mut fate = Fate::new(id, vec![phone, laptop]);
        assert_eq!(fate.after(&failed(other, phone)), None);
        assert_eq!(fate.after(&failed(id, laptop)), None);
        assert!(fate.has_failed());
        let mut second = Fate::new(id, vec![phone, laptop]);
        assert_eq!(second.after(&failed(id, laptop)), None);
        assert_eq!(second.after(&Durable::Delivered { id: other, to: phone }), None);
        assert_eq!(second.after(&Durable::Delivered { id, to: phone }), Some("delivered"));
        assert_eq!(fate.after(&failed(id, phone)), Some("failed"));
    }
}
