//! Whose devices read what is said in private conversations (docs/design/devices.md §6).

use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::id::NodeId;

/// Without a list a node is a person with one device.
#[derive(Debug, Default)]
pub(super) struct People {
    /// By the node that stands for the person.
    devices: OrderedMap<NodeId, Vec<NodeId>>,
    /// INVARIANT: devices in `devices`, under the person of which they are listed; who stands for it is not among them.
    persons: OrderedMap<NodeId, NodeId>,
}

impl People {
    pub(super) fn len(&self) -> usize {
        self.devices.len().saturating_add(self.persons.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let is_listed = |(device, person): (&NodeId, &NodeId)| {
            device != person && self.devices.get(person).is_some_and(|devices| devices.contains(device))
        };
        match self.persons.iter().all(is_listed) {
            true => Ok(()),
            false => Err("a device is of a person that does not list it"),
        }
    }

    /// These are the devices of a person now.
    pub(super) fn set(&mut self, person: NodeId, devices: Vec<NodeId>) {
        self.persons.retain(|_, of| *of != person);
        self.persons.extend(devices.iter().filter(|d| **d != person).map(|d| (*d, person)));
        match devices.as_slice() {
            // As without a list.
            [] => self.devices.remove(&person),
            [only] if *only == person => self.devices.remove(&person),
            _ => self.devices.insert(person, devices),
        };
    }

    /// The devices of the person whose device a node is, or for whom it stands.
    pub(super) fn devices_of(&self, node: NodeId) -> Vec<NodeId> {
        let person = self.persons.get(&node).copied().unwrap_or(node);
        self.devices.get(&person).cloned().unwrap_or_else(|| alloc::vec![person])
    }
}
