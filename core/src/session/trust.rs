//! Verified keys: what the user says goes to no other.
//!
//! The contacts machine says which session identity key of a node was compared. Another one is noticed here before
//! anything is sealed for it, so that no message that waits slips through while the user is asked.

use crate::collections::OrderedMap;
use crate::crypto::kdf::Key;
use crate::id::NodeId;
use crate::machine::{Cx, Outbox};
use crate::session::pair::Session;
use crate::session::peer::Wish;
use crate::session::{Out, Sessions, ask};

#[derive(Debug)]
struct Trust {
    /// None: another device of a person that is held.
    identity: Option<Key>,
    held: bool,
}

/// INVARIANT: one entry for each verified contact, of which there are at most `Limits::contacts`, and for each other
/// device of one that is held.
#[derive(Debug, Default)]
pub(super) struct TrustTable(OrderedMap<NodeId, Trust>);

impl TrustTable {
    /// Whether nothing that the user says is sealed for this node.
    pub(super) fn holds(&self, node: NodeId) -> bool {
        self.0.get(&node).is_some_and(|t| t.held)
    }

    /// A device proved to hold these keys.
    pub(super) fn saw(&mut self, node: NodeId, (device, identity): (&Key, &Key), out: &mut Outbox<Out>) {
        if let Some(trust) = self.0.get_mut(&node) {
            trust.held |= trust.identity.is_some_and(|known| known != *identity);
        }
        out.push(Out::Keys { device: *device, identity: *identity });
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self.0.values().all(|trust| trust.held || trust.identity.is_some()) {
            true => Ok(()),
            false => Err("a key is neither verified nor held"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Sessions {
    pub(super) fn set_trust(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        identity: Option<Key>,
        (held, compared): (bool, bool),
        out: &mut Outbox<Out>,
    ) {
        if compared && let Some(peer) = self.peers.get_mut(node) {
            // Sessions from before may be with another store of the device's key, also with one that the
            // contacts did not learn of because the node was no contact then. The next is begun with the key that was compared.
            let is_other = |s: &Session| s.with != identity;
            if peer.sessions.iter().any(|s| !s.retired && is_other(s)) {
                peer.retire(is_other);
                self.save_later(node, out);
            }
        }
        let was_held = self.trust.holds(node);
        match identity.is_some() || held {
            true => drop(self.trust.0.insert(node, Trust { identity, held })),
            false => drop(self.trust.0.remove(&node)),
        }
        if was_held && !held && self.peers.get_mut(node).is_some_and(|p| p.waits) {
            // What waited is sent in the session there is; without one its bundle is asked for.
            let Some(peer) = self.peers.get_mut(node) else { return };
            if peer.current().is_some() {
                peer.waits = false;
                out.push(Out::Ready(node));
            } else {
                ask(peer, node, Wish::Start, cx, out);
            }
        }
    }

    /// Nodes of which one key is verified, or for which nothing is sealed.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn trusted(&self) -> usize {
        self.trust.len()
    }

    /// Asks a linked node for its bundle, which shows its keys; no session is begun with it.
    pub(super) fn meet(&mut self, cx: &mut Cx<'_>, node: NodeId, out: &mut Outbox<Out>) {
        let Some(peer) = self.peer(node, out) else { return };
        peer.meets = true;
        ask(peer, node, Wish::Nothing, cx, out);
    }
}
