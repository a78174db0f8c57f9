//! The DONP document's `FaultToleranceProtocol`: what an application does when something seems wrong. Nodes
//! do all of it by themselves; these operations only hurry them.

use alloc::vec::Vec;

use crate::engine::{Engine, Work};
use crate::error::CommandError;
use crate::fact::MemberState;
use crate::id::NodeId;
use crate::time::Instant;
use crate::{chat, link, membership, swim};

/// What failed: the `FailureType` of the DONP document, which names no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureType {
    /// Other nodes: look for others in their place.
    Node,
    /// This device's network: probe every link, from wherever it is.
    Network,
    /// The network has parts that do not hear of each other: contact somebody of another.
    Partition,
    /// What is known here: compare it with every neighbour.
    State,
}

/// One of the nodes that keep a roster of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// What it is held for.
    pub state: MemberState,
    /// How often it spoke up against what others held of it.
    pub incarnation: u32,
    /// Whether a link is open.
    pub linked: bool,
}

impl Engine {
    /// The roster of this node's zone, by id, without this node; those that went lately are still in it. Empty
    /// where the network is too large for one (`Limits::zone_members`).
    pub fn members(&self) -> Vec<Member> {
        let all = self.swim.machine.members();
        all.map(|(id, state, incarnation)| {
            let linked = self.link.machine.info(id).is_some();
            Member { id, state, incarnation, linked }
        })
        .collect()
    }

    /// Asks a node whether it is there, at once (`detectNodeFailure`). The answer is an
    /// [`EventKind::Member`](crate::EventKind::Member): alive, or suspect after at most ten seconds; a suspect
    /// of this node's zone is watched further, and found down or alive.
    ///
    /// # Errors
    /// [`CommandError::NotRunning`], [`CommandError::ToSelf`], [`CommandError::UnknownPeer`].
    pub fn detect_node_failure(&mut self, now: Instant, peer: NodeId) -> Result<(), CommandError> {
        self.running()?;
        self.known(peer)?;
        self.q.work.push_back(Work::Swim(swim::In::Probe(peer)));
        self.pump(now);
        Ok(())
    }

    /// These nodes seem to be cut off, or this one from them (`handleNetworkPartition`): each is asked at
    /// once, as by [`detect_node_failure`](Self::detect_node_failure), and contacted anew; with none named,
    /// somebody met before is. Parts that do not hear of each other merge.
    ///
    /// # Errors
    /// As [`detect_node_failure`](Self::detect_node_failure), before anything is done.
    pub fn handle_network_partition(&mut self, now: Instant, peers: &[NodeId]) -> Result<(), CommandError> {
        self.running()?;
        for peer in peers {
            self.known(*peer)?;
        }
        for peer in peers {
            self.q.work.push_back(Work::Swim(swim::In::Probe(*peer)));
        }
        self.q.work.push_back(Work::Membership(membership::In::Contact(peers.to_vec())));
        self.pump(now);
        Ok(())
    }

    /// Mends what failed without waiting (`recoverFromFailure`).
    ///
    /// # Errors
    /// [`CommandError::NotRunning`] while suspended.
    pub fn recover_from_failure(&mut self, now: Instant, failure: FailureType) -> Result<(), CommandError> {
        self.running()?;
        match failure {
            FailureType::Node => self.q.work.push_back(Work::Membership(membership::In::NetworkChanged)),
            FailureType::Network => {
                self.q.work.push_back(Work::Link(link::In::NetworkChanged));
                self.q.work.push_back(Work::Membership(membership::In::NetworkChanged));
                self.q.work.push_back(Work::Swim(swim::In::Resume));
            }
            FailureType::Partition => {
                self.q.work.push_back(Work::Membership(membership::In::Contact(Vec::new())));
            }
            FailureType::State => self.q.work.push_back(Work::Chat(chat::In::CompareAll)),
        }
        self.pump(now);
        Ok(())
    }

    /// Compares what is said with another node at once, and fetches what is missing, on both sides
    /// (`synchronizeState`). A node without a link is contacted first.
    ///
    /// # Errors
    /// As [`detect_node_failure`](Self::detect_node_failure).
    pub fn synchronize_state(&mut self, now: Instant, peer: NodeId) -> Result<(), CommandError> {
        self.running()?;
        self.known(peer)?;
        let linked = self.link.machine.info(peer).is_some();
        self.q.work.push_back(Work::Chat(chat::In::Compare { peer, linked }));
        if !linked {
            self.q.work.push_back(Work::Membership(membership::In::Contact(alloc::vec![peer])));
        }
        self.pump(now);
        Ok(())
    }

    fn known(&self, peer: NodeId) -> Result<(), CommandError> {
        if peer == self.me {
            return Err(CommandError::ToSelf);
        }
        self.membership.machine.get(peer).map(|_| ()).ok_or(CommandError::UnknownPeer(peer))
    }
}
