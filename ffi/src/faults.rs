//! `FaultToleranceProtocol` of the DONP document, and the members of the zone.

use donp_core as core;
use donp_core::Instant;

use crate::{DonpError, Engine, Node, NodeId};

/// What failed: the `FailureType` of the DONP document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum FailureType {
    /// Other nodes: look for others in their place.
    Node,
    /// This device's network: probe every link, from wherever it is.
    Network,
    /// The network has parts that do not know of each other: contact a node of another.
    Partition,
    /// What is known here: compare it with every neighbour.
    State,
}

impl From<FailureType> for core::FailureType {
    fn from(failure: FailureType) -> Self {
        match failure {
            FailureType::Node => Self::Node,
            FailureType::Network => Self::Network,
            FailureType::Partition => Self::Partition,
            FailureType::State => Self::State,
        }
    }
}

/// What this node holds of a member of its zone (SWIM).
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum MemberState {
    /// It takes part.
    Alive,
    /// A member had no answer from it. It has some time to refute.
    Suspect,
    /// It did not speak up.
    Down,
    /// It said goodbye, or keeps no zone.
    Left,
    /// It sleeps, and said so: it is not asked and not missed.
    Away,
    /// A state of a newer version.
    Other,
}

impl From<core::MemberState> for MemberState {
    fn from(state: core::MemberState) -> Self {
        match state {
            core::MemberState::Alive => Self::Alive,
            core::MemberState::Suspect => Self::Suspect,
            core::MemberState::Down => Self::Down,
            core::MemberState::Left => Self::Left,
            core::MemberState::Away => Self::Away,
            _ => Self::Other,
        }
    }
}

/// One of the nodes that keep a roster of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ZoneMember {
    /// Who.
    pub id: NodeId,
    /// What it is held for.
    pub state: MemberState,
    /// How new what it says of itself is: it rises when it starts and when it refutes a suspicion.
    pub incarnation: u64,
    /// Whether a link is open.
    pub linked: bool,
}

impl From<core::ZoneMember> for ZoneMember {
    fn from(m: core::ZoneMember) -> Self {
        Self { id: m.id, state: m.state.into(), incarnation: m.incarnation, linked: m.linked }
    }
}

#[uniffi::export]
impl Node {
    /// The members of this node's zone, by id, without itself; recently departed ones are still in it.
    /// Empty where the network has more than 64 nodes.
    pub fn members(&self) -> Result<Vec<ZoneMember>, DonpError> {
        self.run(|n| Ok(n.members()?.into_iter().map(Into::into).collect()))
    }

    /// Asks a node whether it is there, at once (`detectNodeFailure`). The event `MemberChanged` answers:
    /// alive, or suspect after at most ten seconds, and then down or alive.
    pub fn detect_node_failure(&self, peer: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.detect_node_failure(peer))
    }

    /// These nodes seem to be cut off, or this one from them (`handleNetworkPartition`): each is asked and
    /// contacted anew; with none named, a node met before is.
    #[uniffi::method(default(peers = []))]
    pub fn report_partition(&self, peers: Vec<NodeId>) -> Result<(), DonpError> {
        self.run(|n| n.report_partition(peers))
    }

    /// Mends what failed without waiting (`recoverFromFailure`).
    pub fn recover_from_failure(&self, failure: FailureType) -> Result<(), DonpError> {
        self.run(|n| n.recover_from_failure(failure.into()))
    }

    /// Compares what is said with another node at once, and fetches what is missing on both sides
    /// (`synchronizeState`).
    pub fn synchronize_state(&self, peer: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.synchronize_state(peer))
    }

    /// Blocks a node, for good and across restarts: there is no link with it, its private messages are neither taken
    /// nor answered, those to it that wait fail, and what it says to many is not shown. It gets no notice.
    pub fn block(&self, peer: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.block(peer))
    }

    /// Ends `block`. What the node said to many meanwhile is in the history again, without events.
    pub fn unblock(&self, peer: NodeId) -> Result<(), DonpError> {
        self.run(|n| n.unblock(peer))
    }

    /// Blocked nodes, by id.
    pub fn blocked(&self) -> Result<Vec<NodeId>, DonpError> {
        self.run(|n| n.blocked())
    }
}

#[uniffi::export]
impl Engine {
    /// The members of this node's zone, by id, without itself; recently departed ones are still in it.
    /// Empty where the network has more than 64 nodes.
    pub fn members(&self) -> Result<Vec<ZoneMember>, DonpError> {
        self.run(|inner| Ok(inner.engine.members().into_iter().map(Into::into).collect()))
    }

    /// As `Node.detect_node_failure`.
    pub fn detect_node_failure(&self, now_us: u64, peer: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.detect_node_failure(Instant::from_micros(now_us), peer)?))
    }

    /// As `Node.report_partition`.
    #[uniffi::method(default(peers = []))]
    pub fn report_partition(&self, now_us: u64, peers: Vec<NodeId>) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.report_partition(Instant::from_micros(now_us), &peers)?))
    }

    /// As `Node.recover_from_failure`.
    pub fn recover_from_failure(&self, now_us: u64, failure: FailureType) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.recover_from_failure(Instant::from_micros(now_us), failure.into())?))
    }

    /// As `Node.synchronize_state`.
    pub fn synchronize_state(&self, now_us: u64, peer: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.synchronize_state(Instant::from_micros(now_us), peer)?))
    }

    /// As `Node.block`.
    pub fn block(&self, now_us: u64, peer: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.block(Instant::from_micros(now_us), peer)?))
    }

    /// As `Node.unblock`.
    pub fn unblock(&self, now_us: u64, peer: NodeId) -> Result<(), DonpError> {
        self.run(|inner| Ok(inner.engine.unblock(Instant::from_micros(now_us), peer)?))
    }

    /// Blocked nodes, by id.
    pub fn blocked(&self) -> Result<Vec<NodeId>, DonpError> {
        self.run(|inner| Ok(inner.engine.blocked()))
    }
}
