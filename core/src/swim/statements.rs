//! What this node states of itself, and what makes a statement of another one worth believing.

use crate::id::NodeId;
use crate::identity::Identity;
use crate::stats::DropReason;
use crate::time::WallTime;
use crate::wire::record::NodeRecord;

use super::wire::{Presence, Statement, Told};

/// The statement of this node.
pub(super) struct Own {
    identity: Identity,
    incarnation: u64,
    presence: Presence,
    /// Signed when it is first needed, once for each incarnation and presence.
    signed: Option<Statement>,
}

impl Own {
    /// It begins with the seconds of the clock: above what an earlier life of this node signed, if the clock is right. If
    /// not, others show it what it signed.
    pub(super) fn new(identity: &Identity, wall: WallTime) -> Self {
        Self { identity: identity.clone(), incarnation: wall.0 / 1_000, presence: Presence::Here, signed: None }
    }

    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// What orders it among the statements of this node.
    pub(super) fn order(&self) -> (u64, Presence) {
        (self.incarnation, self.presence)
    }

    /// Above `incarnation`, which this node signed, and above the present one.
    pub(super) fn rise(&mut self, incarnation: u64) {
        self.incarnation = self.incarnation.max(incarnation).saturating_add(1);
        self.presence = Presence::Here;
        self.signed = None;
    }

    /// At the same incarnation the last word is the strongest: this node is away, or gone.
    pub(super) fn depart(&mut self, presence: Presence) {
        self.presence = self.presence.max(presence);
        self.signed = None;
    }

    pub(super) fn told(&mut self) -> Told {
        let (identity, incarnation, presence) = (&self.identity, self.incarnation, self.presence);
        let signed = self.signed.get_or_insert_with(|| Statement::sign(identity, incarnation, presence));
        Told::new(None, signed, alloc::vec::Vec::new())
    }
}

/// Whom a statement is about, with the record that names the key; `sender` has this one. Nothing is verified.
pub(super) fn subject(
    told: &Told,
    sender: Option<(NodeId, &NodeRecord)>,
) -> Result<(NodeId, NodeRecord, Statement), DropReason> {
    let statement = told.statement().map_err(|_| DropReason::Message)?;
    let (peer, record) = match told.record() {
        Some(bytes) => {
            let record = NodeRecord::decode_unverified(bytes).map_err(|_| DropReason::Message)?;
            (record.id(), record)
        }
        None => sender.map(|(id, record)| (id, record.clone())).ok_or(DropReason::UnknownSession)?,
    };
    Ok((peer, record, statement))
}

/// Whether a member says this: its record is in force and genuine, and the statement is signed by the key in it.
pub(super) fn believe(record: &NodeRecord, statement: &Statement, wall: WallTime) -> Result<(), DropReason> {
    if record.is_expired(wall) {
        return Err(DropReason::Stale);
    }
    match record.is_genuine() && statement.is_by(&record.key) {
        true => Ok(()),
        false => Err(DropReason::Signature),
    }
}
