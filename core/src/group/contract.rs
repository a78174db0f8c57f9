//! What the contract suite draws for this machine: a group of its own, and one that it joins.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::collections::OrderedSet;
use crate::contract::{Contract, Draw, Step, kinds, who};
use crate::fact::samples::{down, up};
use crate::group::keys::{Epoch, Secret, SecretMessage};
use crate::group::log::OpLog;
use crate::group::op::{Acceptance, Action, GroupHistory, GroupKind, GroupPolicy, GroupRole, Operation};
use crate::group::ticket::GroupTicket;
use crate::group::wire::Message;
use crate::group::{Act, Create, Deed, Groups, In, Invite, Join, Leave, Out, Prepare, Reply};
use crate::id::{GroupId, NodeId, OpId};
use crate::identity::Identity;
use crate::rng::Rng;
use crate::shared::Arc;
use crate::time::WallTime;
use crate::wire::devices::Chain;
use crate::wire::group::Context;
use crate::wire::{Blob, encode};

const NAME: &str = "team";

/// A group that the first peer made and to which it added the machine and the second peer.
struct Fixture {
    group: GroupId,
    operations: Vec<Operation>,
    epoch: Option<Epoch>,
    secret: Secret,
}

/// The lists of the account of a node: with itself, with the third peer too, and without that again.
fn lists(of: &Identity, n: u8) -> Arc<Chain> {
    let first = Chain::begin(of);
    let cert = who(3).ask_cert(of.account().keys, "second", WallTime(1));
    let both = first.add(of, cert, WallTime(2)).unwrap_or_else(|_| first.clone());
    Arc::new(match n {
        0 => first,
        1 => both,
        _ => both.remove(of, who(3).node_id()).unwrap_or(first),
    })
}

/// An operation of the first peer that lists its only device.
#[cfg(test)]
pub(crate) fn listed() -> Vec<u8> {
    let action = Action::Devices { chain: Blob(Chain::begin(&who(1)).encode()), epoch: None };
    let place = (2, alloc::vec![OpId([0xdd; 32])], 2);
    let op = Operation::sign(&who(1), Some(GroupId([0xcc; 32])), place, WallTime(1_000), action);
    op.map(|op| op.bytes).unwrap_or_default()
}

/// Its first operation, and its first secret.
fn created() -> Option<(Operation, Secret)> {
    let secret = Secret::new([5; 32]);
    let commitment = crate::group::keys::commitment(&secret, GroupId([0; 32]));
    let action = Action::Create {
        kind: GroupKind::Private,
        name: NAME.into(),
        policy: GroupPolicy::default(),
        salt: [1; 16],
        account: who(1).account_id(),
        expires: None,
        commitment,
    };
    Some((Operation::sign(&who(1), None, (1, Vec::new(), 1), WallTime(1_000), action).ok()?, secret))
}

fn fixture() -> Option<Fixture> {
    let (owner, wall) = (who(1), WallTime(1_000));
    let (create, secret) = created()?;
    let (group, mut base) = (create.group, create.id);
    let mut log = OpLog::new(create.clone())?;
    let mut operations = alloc::vec![create];
    let holders = log.devices_at(base);
    let mut epoch = Epoch::new(group, base, holders, owner.node_id(), &secret, wall)?;
    let mut last = secret;
    for n in [0, 2] {
        let acceptance = Acceptance::sign(&who(n), group, [n; 16], None);
        let seed = acceptance.seed();
        let commitment = crate::group::keys::commitment(&epoch.next_secret(seed)?, group);
        let action = Action::Add { acceptance, role: GroupRole::Member, invitation: None, base, commitment, from: 0 };
        let place = (log.next_seq(owner.node_id()), log.heads(), log.lamport().saturating_add(1));
        let op = Operation::sign(&owner, Some(group), place, wall, action).ok()?;
        base = op.id;
        log.insert(op.clone());
        operations.push(op);
        (last, epoch) = epoch.successor(seed, base, log.devices_at(base), owner.node_id(), wall)?;
    }
    Some(Fixture { group, operations, epoch: Some(epoch), secret: last })
}

/// Messages of the first peer about its group: the operations, the secret, what it has, and a question for the secret.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let Some(Fixture { group, operations, secret, .. }) = fixture() else { return Vec::new() };
    let Some(last) = operations.last().map(|op| op.id) else { return Vec::new() };
    let Some(log) = crate::group::one::collect(group, operations.clone()) else { return Vec::new() };
    let ops = operations.iter().map(|op| Blob(op.bytes.clone())).collect();
    let handed = SecretMessage { group, op: last, secret };
    let acceptance = Acceptance::sign(&who(1), group, [9; 16], None);
    [
        Message::Ops { group, ops },
        Message::Secret(Blob(handed.encode().to_vec())),
        Message::State { group, hash: log.state_hash(), clock: log.clock(), answer: true, key: Some(OpId(group.0)) },
        Message::State { group, hash: [0; 32], clock: log.clock(), answer: true, key: None },
        Message::Ask { group, epoch: last },
        Message::Wait { group },
        Message::Refuse { group, reason: crate::group::wire::Refusal::Declined },
        Message::Join { group, acceptance, invitation: None, name: "peer".into() },
    ]
    .iter()
    .map(encode)
    .collect()
}

/// A run that the first peer sealed for its group.
pub(crate) fn sealed() -> Vec<u8> {
    let mut rng = Rng::new([3; 32]);
    let epoch = fixture().and_then(|fixture| fixture.epoch);
    epoch.and_then(|mut epoch| epoch.seal(&mut rng, &[7; 100])).unwrap_or_default()
}

impl Contract for Groups {
    const MOST: usize = 500_000;

    kinds!(In: Message, Sealed, Ready, Carry, Vet, CaughtUp, Where, Own);

    fn draw(d: &mut Draw<'_>) -> Step<Self> {
        // Most draws are about a group that there can be.
        let byte = d.byte();
        let group = if byte < 224 { fixture_id() } else { GroupId([byte; 32]) };
        Step::In(match d.below(16) {
            0 => In::Message { from: d.peer(), body: d.bytes() },
            1 => In::Sealed { from: d.peer(), body: d.bytes() },
            2 => In::Ready(d.peer()),
            3 => In::Carry { group, body: d.bytes() },
            4 => {
                let heads = alloc::vec![OpId([d.byte(); 32])];
                let context = Context { epoch: OpId([d.byte(); 32]), stint: OpId([d.byte(); 32]), heads };
                In::Vet { group, author: d.peer(), context }
            }
            5 => return Step::Fact(if d.coin() { up(d.peer()) } else { down(d.peer()) }),
            6 => {
                let kind = if d.coin() { GroupKind::Private } else { GroupKind::Public };
                let (name, policy) = (String::from(NAME), GroupPolicy::default());
                return Step::Command(Box::new(Create { kind, name, policy, expires: None }));
            }
            7 => {
                let deed = match d.below(4) {
                    0 => Deed::Remove { member: d.peer(), ban: d.coin() },
                    1 => Deed::SetRole { member: d.peer(), role: GroupRole::Guest },
                    2 => Deed::Rename { name: NAME.into() },
                    _ => Deed::SetPolicy {
                        policy: GroupPolicy { history: GroupHistory::Everything, ..GroupPolicy::default() },
                    },
                };
                return Step::Command(Box::new(Act { group, deed }));
            }
            8 => {
                let ticket = GroupTicket {
                    group,
                    name: NAME.into(),
                    node: d.peer(),
                    addrs: Vec::new(),
                    network_key: None,
                    invitation: None,
                    bearer: None,
                };
                return Step::Command(Box::new(Join { ticket }));
            }
            9 => In::Where { group, member: d.peer(), from: u64::from(d.byte()) },
            10 => In::CaughtUp(group),
            11 if d.coin() => return Step::Command(Box::new(Leave { group })),
            11 => return Step::Command(Box::new(Reply { group, node: d.peer(), approve: d.coin() })),
            12 => return Step::Command(Box::new(Prepare { group })),
            13 => return Step::Fact(d.fact()),
            15 => In::Own(lists(&who(0), d.below(3))),
            _ => {
                let role = if d.coin() { GroupRole::Member } else { GroupRole::Owner };
                let (uses, node) = (u32::from(d.below(3)), d.coin().then(|| d.peer()));
                return Step::Command(Box::new(Invite { group, role, uses, expires: WallTime(2_000), node }));
            }
        })
    }

    fn want(out: &Out) -> Option<(NodeId, bool)> {
        match out {
            Out::Want(peer) => Some((*peer, true)),
            Out::Unwant(peer) => Some((*peer, false)),
            Out::Say { .. }
            | Out::Carry { .. }
            | Out::View { .. }
            | Out::Vetted { .. }
            | Out::Opened { .. }
            | Out::Where { .. }
            | Out::Stand(_)
            | Out::Changed { .. } => None,
        }
    }

    fn wants(&self) -> Option<OrderedSet<NodeId>> {
        Some(self.wanted.clone())
    }
}

fn fixture_id() -> GroupId {
    created().map_or(GroupId([0; 32]), |(create, _)| create.group)
}
