//! The DONP document's `FaultToleranceProtocol`: what an application does when something seems wrong. Nodes
//! do all of it by themselves; these operations only start it sooner.

use alloc::vec::Vec;

use crate::engine::Engine;
use crate::error::CommandError;
use crate::fact::{Fact, MemberState};
use crate::id::NodeId;
use crate::time::Instant;
use crate::{chat, membership, swim};

/// The kind of failure: the `FailureType` of the DONP document, which names no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureType {
    /// Other nodes: look for replacements.
    Node,
    /// This device's network: probe every link, from wherever it is.
    Network,
    /// The network has parts without contact: contact a node of another part.
    Partition,
    /// What is known here: compare it with every neighbour.
    State,
}

/// One of the nodes that keep a roster of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneMember {
    /// The member.
    pub id: NodeId,
    /// Its state as this node sees it.
    pub state: MemberState,
    /// Its incarnation, signed by it: the second of its start, and one more each time that it refuted a suspicion.
    pub incarnation: u64,
    /// Whether a link is open.
    pub linked: bool,
}

impl Engine {
    /// The roster of this node's zone, by id, without this node; members that left recently are still in it. Empty
    /// where the network is too large for one (`Limits::zone_members`).
    pub fn members(&self) -> Vec<ZoneMember> {
        let all = self.machines.swim.members();
        all.map(|(id, state, incarnation)| {
            let linked = self.machines.link.info(id).is_some();
            ZoneMember { id, state, incarnation, linked }
        })
        .collect()
    }

    /// Probes a node at once (`detectNodeFailure`). The answer is a
    /// [`Volatile::MemberChanged`](crate::Volatile::MemberChanged): alive, or suspect after at most ten seconds; a suspect
    /// of this node's zone is watched further, and found down or alive.
    ///
    /// # Errors
    /// [`CommandError::NotRunning`], [`CommandError::ToSelf`], [`CommandError::UnknownPeer`].
    pub fn detect_node_failure(&mut self, now: Instant, peer: NodeId) -> Result<(), CommandError> {
        self.running()?;
        self.known(peer)?;
        self.q.input(swim::In::Probe(peer));
        self.pump(now);
        Ok(())
    }

    /// These nodes seem to be cut off, or this one from them (`handleNetworkPartition`): each is probed at
    /// once, as by [`detect_node_failure`](Self::detect_node_failure), and contacted anew; with none named,
    /// a node met before is. Parts without contact merge.
    ///
    /// # Errors
    /// As [`detect_node_failure`](Self::detect_node_failure), before anything is done.
    pub fn report_partition(&mut self, now: Instant, peers: &[NodeId]) -> Result<(), CommandError> {
        self.running()?;
        for peer in peers {
            self.known(*peer)?;
        }
        for peer in peers {
            self.q.input(swim::In::Probe(*peer));
        }
        self.q.input(membership::In::Contact(peers.to_vec()));
        self.pump(now);
        Ok(())
    }

    /// Repairs what failed, without waiting (`recoverFromFailure`).
    ///
    /// # Errors
    /// [`CommandError::NotRunning`] while suspended.
    pub fn recover_from_failure(&mut self, now: Instant, failure: FailureType) -> Result<(), CommandError> {
        self.running()?;
        match failure {
            FailureType::Node => self.q.input(membership::In::Retry),
            FailureType::Network => {
                self.q.fact(Fact::Resumed);
                self.q.fact(Fact::NetworkChanged);
            }
            FailureType::Partition => self.q.input(membership::In::Contact(Vec::new())),
            FailureType::State => self.q.input(chat::In::CompareAll),
        }
        self.pump(now);
        Ok(())
    }

    /// Compares histories with another node at once, and fetches what is missing, on both sides
    /// (`synchronizeState`). A node without a link is contacted first.
    ///
    /// # Errors
    /// As [`detect_node_failure`](Self::detect_node_failure).
    pub fn synchronize_state(&mut self, now: Instant, peer: NodeId) -> Result<(), CommandError> {
        self.running()?;
        self.known(peer)?;
        let linked = self.machines.link.info(peer).is_some();
        self.q.input(chat::In::Compare { peer, linked });
        if !linked {
            self.q.input(membership::In::Contact(alloc::vec![peer]));
        }
        self.pump(now);
        Ok(())
    }

    pub(super) fn known(&self, peer: NodeId) -> Result<(), CommandError> {
        if peer == self.me {
            return Err(CommandError::ToSelf);
        }
        self.machines.membership.get(peer).map(|_| ()).ok_or(CommandError::UnknownPeer(peer))
    }
}
