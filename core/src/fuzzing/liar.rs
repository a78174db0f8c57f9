//! What a hostile member says: messages for [`Engine::say_on`](crate::Engine).

use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::chat::wire::Sync;
use crate::config::NodeType;
use crate::gossip::wire::Message as Gossip;
use crate::id::{Life, NodeId};
use crate::identity::Identity;
use crate::membership::wire::{Message as Membership, NodeInfo, Refusal, Urgency};
use crate::swim::wire::{Claim, Message as Swim, Presence, Told, Update};
use crate::time::WallTime;
use crate::wire::content::{Content, network_conversation};
use crate::wire::entry::{Body, Carried, Parent, Part, Parts, Run};
use crate::wire::record::NodeRecord;
use crate::wire::{Blob, encode};

/// The channel of membership machines.
pub const MEMBERSHIP: u8 = 1;
/// The channel of broadcasts.
pub const GOSSIP: u8 = 3;
/// The channel of conversations.
pub const CHAT: u8 = 4;
/// The channel of failure detectors.
pub const SWIM: u8 = 5;

/// What a liar claims of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It had no answer from them.
    Suspect,
    /// They are dead.
    Down,
    /// They left.
    Left,
    /// They sleep.
    Away,
}

/// Pings, and a whole roster, that say so of members at these incarnations. `seq` numbers the first ping.
pub fn claims(lie: Lie, members: &[(NodeId, u64)], seq: u32) -> Vec<Vec<u8>> {
    let claim = match lie {
        Lie::Suspect => Claim::Suspect,
        Lie::Down => Claim::Down,
        Lie::Left => Claim::Left,
        Lie::Away => Claim::Away,
    };
    let update = |(member, incarnation): &(NodeId, u64)| Update {
        member: *member,
        incarnation: *incarnation,
        claim: claim.clone(),
    };
    let updates: Vec<Update> = members.iter().map(update).collect();
    let pings = updates.chunks(7).zip(seq..).map(|(some, seq)| Swim::Ping { seq, updates: some.to_vec() }.encode());
    pings.chain([Swim::Sync { ask: false, roster: updates.clone() }.encode()]).collect()
}

/// An identity that a liar made up, by number.
fn made_up(n: u8) -> Option<Identity> {
    Identity::generate([n; 64], "made up", WallTime(1)).ok()
}

/// So many members that do not exist, all at one address: the roster that names them, and statements that hold.
pub fn made_up_members(count: u8, at: SocketAddr) -> Vec<Vec<u8>> {
    let all: Vec<Identity> = (1..=count).filter_map(made_up).collect();
    let claim = Claim::Alive { addrs: [at].to_vec() };
    let update = |who: &Identity| Update { member: who.node_id(), incarnation: 1, claim: claim.clone() };
    let roster = Swim::Sync { ask: false, roster: all.iter().map(update).collect() };
    let told = |who: &Identity| {
        let record = NodeRecord::sign(who, [7; 32], 1, WallTime(u64::MAX), NodeType::Regular);
        Told::by(who, Some(&record), (1, Presence::Here), [at].to_vec())
    };
    let told: Vec<Told> = all.iter().map(told).collect();
    let pieces = told.chunks(25).map(|piece| Swim::Statements(piece.to_vec()).encode());
    [roster.encode()].into_iter().chain(pieces).collect()
}

/// A refusal that names a node to try instead: one that a liar made up, with the link key of another node, at its address.
pub fn misbound(n: u8, link_key: [u8; 32], at: SocketAddr) -> Vec<u8> {
    let record = made_up(n).map(|who| NodeRecord::sign(&who, link_key, 1, WallTime(u64::MAX), NodeType::Regular));
    let record = Blob(record.map(|record| record.encode()).unwrap_or_default());
    let available = [NodeInfo { record, name: None, addrs: [at].to_vec() }].to_vec();
    encode(&Membership::Response { accepted: Err(Refusal::Full), available })
}

/// Broadcasts of a made-up author whose signatures do not hold, no two alike; `first` numbers the first one.
pub fn forged_broadcasts(first: u64, count: u64) -> Vec<Vec<u8>> {
    let network = network_conversation(&[0; 32]);
    let body = encode(&Body { salt: [1; 16], sent_at: WallTime(1), content: Some(Content::text("forged")) });
    let said = Part { parents: Vec::new(), body: Carried::Body(Blob(body)) };
    let parts = Parts { life: Life([7; 8]), seq: 1, prev: None, entries: [said].to_vec() };
    let run = made_up(1).and_then(|who| Run::sign(&who, network, parts).ok()).map(|run| run.bytes.clone());
    let forge = |n: u64| {
        let mut bytes = run.clone().unwrap_or_default();
        // The first half of the signature stands behind the author's id.
        bytes.splice(32..40, n.to_le_bytes());
        Gossip::Gossip { round: 1, body: Blob(bytes) }.encode()
    };
    (first..first.saturating_add(count)).map(forge).collect()
}

/// Asks to be taken as a neighbour and to be walked through the network, as a node does that has none.
pub fn join_request() -> Vec<u8> {
    let request =
        Membership::Request { urgency: Urgency::Join, max_neighbours: u8::MAX, preferred: Vec::new(), location: None };
    encode(&request)
}

/// A shuffle that ends where it arrives and names eight nodes that a liar made up, at one address.
pub fn made_up_shuffle(walk: u64, at: SocketAddr) -> Vec<u8> {
    let [first, ..] = walk.to_le_bytes();
    let made: Vec<Identity> = (0..8u8).filter_map(|n| made_up(first.wrapping_add(n))).collect();
    let info = |who: &Identity| {
        let record = NodeRecord::sign(who, [7; 32], 1, WallTime(u64::MAX), NodeType::Regular);
        NodeInfo { record: Blob(record.encode()), name: None, addrs: [at].to_vec() }
    };
    encode(&Membership::Shuffle { walk, ttl: 1, nodes: made.iter().map(info).collect() })
}

/// An entry that does not exist.
fn ghost(n: u64) -> Parent {
    let mut prefix = [0xee; 16];
    if let Some(start) = prefix.first_chunk_mut() {
        *start = n.to_le_bytes();
    }
    Parent { depth: n.saturating_add(1), prefix }
}

/// Questions for 200 entries that do not exist; `first` numbers the first one.
pub fn wants_of_ghosts(first: u64) -> Vec<u8> {
    let parents = (first..first.saturating_add(200)).map(ghost).collect();
    encode(&Sync::Want { conversation: network_conversation(&[0; 32]), parents })
}

/// A question for all that the receiver has of the network's conversation.
pub fn pull_of_all() -> Vec<u8> {
    let conversation = network_conversation(&[0; 32]);
    encode(&Sync::Pull { conversation, from: 0, heights: Vec::new(), answer: false })
}

/// A broadcast of a made-up author, whose signature holds, that answers entries which do not exist.
pub fn ghost_answer(n: u64) -> Vec<u8> {
    let network = network_conversation(&[0; 32]);
    let mut salt = [2; 16];
    if let Some(start) = salt.first_chunk_mut() {
        *start = n.to_le_bytes();
    }
    let body = encode(&Body { salt, sent_at: WallTime(1), content: Some(Content::text("an answer to nothing")) });
    let said = Part { parents: [ghost(n)].to_vec(), body: Carried::Body(Blob(body)) };
    let parts = Parts { life: Life(n.to_le_bytes()), seq: 1, prev: None, entries: [said].to_vec() };
    let run = made_up(2).and_then(|who| Run::sign(&who, network, parts).ok());
    Gossip::Gossip { round: 1, body: Blob(run.map(|run| run.bytes.clone()).unwrap_or_default()) }.encode()
}
