//! `FaultToleranceProtocol` of the DONP document, and the members of the zone.

use donp_core::{CommandError, FailureType, LocalPeer, NodeId, ZoneMember};

use super::Node;
use crate::clock::entropy;
use crate::error::NodeError;
use crate::fault::{Fault, Shaper};
use crate::node::worker::Worker;

impl Node {
    /// The members of the zone and what this node holds of them; empty without a zone.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn members(&self) -> Result<Vec<ZoneMember>, NodeError> {
        self.call(|w| w.engine.members())
    }

    /// Asks a node whether it is there (`detectNodeFailure`); an event of its member state answers.
    ///
    /// # Errors
    /// As [`Engine::detect_node_failure`](donp_core::Engine::detect_node_failure).
    pub fn detect_node_failure(&self, peer: NodeId) -> Result<(), NodeError> {
        self.command(move |w| w.engine.detect_node_failure(w.now, peer))
    }

    /// These nodes seem to be cut off, or this one from them (`handleNetworkPartition`).
    ///
    /// # Errors
    /// As [`Engine::report_partition`](donp_core::Engine::report_partition).
    pub fn report_partition(&self, peers: Vec<NodeId>) -> Result<(), NodeError> {
        self.command(move |w| w.engine.report_partition(w.now, &peers))
    }

    /// Mends what failed without waiting (`recoverFromFailure`).
    ///
    /// # Errors
    /// As [`Engine::recover_from_failure`](donp_core::Engine::recover_from_failure).
    pub fn recover_from_failure(&self, failure: FailureType) -> Result<(), NodeError> {
        self.command(move |w| w.engine.recover_from_failure(w.now, failure))
    }

    /// Compares what is said with another node, and fetches what is missing on both sides
    /// (`synchronizeState`).
    ///
    /// # Errors
    /// As [`Engine::synchronize_state`](donp_core::Engine::synchronize_state).
    pub fn synchronize_state(&self, peer: NodeId) -> Result<(), NodeError> {
        self.command(move |w| w.engine.synchronize_state(w.now, peer))
    }

    /// Blocks a node, for good and across restarts.
    ///
    /// # Errors
    /// As [`Engine::block`](donp_core::Engine::block).
    pub fn block(&self, peer: NodeId) -> Result<(), NodeError> {
        self.command(move |w| w.engine.block(w.now, peer))
    }

    /// Ends [`block`](Self::block).
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn unblock(&self, peer: NodeId) -> Result<(), NodeError> {
        self.command(move |w| w.engine.unblock(w.now, peer))
    }

    /// Blocked nodes, by id.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn blocked(&self) -> Result<Vec<NodeId>, NodeError> {
        self.call(|w| w.engine.blocked())
    }

    /// A node near may be there: what Bonjour, mDNS or Bluetooth found. A hint, tried once.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn handle_local_peer(&self, peer: LocalPeer) -> Result<(), NodeError> {
        self.command(move |w| {
            w.engine.handle_local_peer(w.now, peer);
            Ok(())
        })
    }

    /// Puts other faults on what is sent from here on, or none. What is held back goes at once.
    ///
    /// # Errors
    /// When the node is not running any more.
    pub fn set_fault(&self, fault: Option<Fault>) -> Result<(), NodeError> {
        let seed = entropy().map(u64::from_le_bytes).map_err(NodeError::io("randomness"))?;
        self.call(move |w| w.set_shaper(fault.filter(|f| *f != Fault::default()).map(|f| Shaper::new(f, seed))))
    }

    fn command(
        &self,
        f: impl FnOnce(&mut Worker) -> Result<(), CommandError> + Send + 'static,
    ) -> Result<(), NodeError> {
        Ok(self.call(f)??)
    }
}
