//! Valid inputs of every fuzz target: where a fuzzer begins, so that it need not guess a signature.

use crate::collections::{OrderedSet, short};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::chat::ranges::{Bound, Mode, Part};
use crate::chat::wire::{End, Height, Holding, Sync};
use crate::config::{Config, NodeType};
use crate::contract::{Script, who};
use crate::delivery;
use crate::discovery::beacon::{Beacon, beacon_key};
use crate::engine::Engine;
use crate::engine::{Durable, FailReason, Output};
use crate::fact::samples::record;
use crate::fuzzing::serve;
use crate::gossip::wire::{IHave, Message as Gossip, Scope};
use crate::group::op::{GroupKind, GroupPolicy, GroupRole};
use crate::id::{ConversationId, Life, MessageId, NodeId};
use crate::link::fuzz;
use crate::membership::wire::{Message as Membership, NodeInfo, Refusal, Urgency};
use crate::store::{MemoryStore, Record, Table};
use crate::swim::wire::{Claim, Message as Swim, Presence, Told, Update};
use crate::time::{Instant, WallTime};
use crate::wire::content::{Content, Conversation, Message, network_conversation, private_conversation};
use crate::wire::entry::{Body, Carried, LifeId, Parent, Part as Said, Parts, Reference, Run};
use crate::wire::record::NodeRecord;
use crate::wire::ticket::{Bootstrap, Ticket};
use crate::wire::{Blob, encode};

/// The seeds of the target with this name.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "record" => records(),
        "ticket" => tickets(),
        "event_row" => events().iter().map(Durable::encode).collect(),
        "membership_message" => membership_messages(),
        "beacon" => beacons(),
        "delivery_message" => delivery_messages(),
        "chat_message" => chat_messages(),
        "chat_run" => runs(),
        "link_packet" => fuzz::packet_seeds(),
        "link_frames" => fuzz::frame_seeds(),
        "link_pair" => fuzz::pair_seeds(),
        "link_peer" => fuzz::peer_seeds(),
        "link" => fuzz::machine_seeds(),
        "membership" => membership(),
        "discovery" => discovery(),
        "session" => session(),
        "session_message" => session_messages(),
        "group" => group(),
        "group_message" => crate::group::contract::messages(),
        "file" => file(),
        "file_message" => crate::file::contract::messages(),
        "contacts" => crate::contacts::contract::seeds(),
        "authentication" => crate::authentication::contract::seeds(),
        "authentication_message" => crate::authentication::contract::messages(),
        "device" => crate::device::contract::seeds(),
        "device_message" => crate::device::contract::messages(),
        "device_chain" => crate::device::contract::chains(),
        "register" => crate::register::contract::seeds(),
        "register_message" => crate::register::contract::messages(),
        "safety_code" => crate::contacts::contract::codes(),
        "delivery" => delivery(),
        "gossip" => gossip(),
        "swim_message" => swim_messages(),
        "swim" => swim(),
        "chat" => chat(),
        "restore" => stores(),
        "engines" => engines(),
        _ => Vec::new(),
    }
}

fn id(n: u8) -> NodeId {
    who(n).node_id()
}

fn addrs() -> [SocketAddr; 3] {
    [
        SocketAddr::from(([10, 0, 0, 1], 4_000)),
        SocketAddr::from(([8, 8, 8, 8], 53)),
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 4_000)),
    ]
}

fn records() -> Vec<Vec<u8>> {
    let sign = |t: NodeType| NodeRecord::sign(&who(t.to_byte()), [t.to_byte(); 32], 3, WallTime(77), t).encode();
    NodeType::ALL.into_iter().map(sign).collect()
}

fn tickets() -> Vec<Vec<u8>> {
    let ticket = |n: usize, network_key| Ticket {
        node: id(1),
        name: "Zoë".into(),
        addrs: addrs().into_iter().cycle().take(n).collect(),
        network_key,
    };
    let all = [ticket(0, None), ticket(1, None), ticket(3, Some([7; 32])), ticket(8, Some([8; 32]))];
    // As people see it, and what the base32 holds.
    all.iter()
        .map(|t| t.text())
        .flat_map(|t| [t.clone().into_bytes(), crate::id::checked('t', &t).unwrap_or_default()])
        .collect()
}

fn contents() -> Vec<Content> {
    let about = MessageId { depth: 3, hash: [4; 32] };
    vec![
        Content::text("hello"),
        Content::Reply { reply_to: about, text: "yes".into() },
        Content::Edit { edit_of: about, text: "no".into() },
        Content::React { react_to: about, mark: "👋".into() },
        Content::Retract { retract: about },
        Content::File { file: Box::new(crate::file::contract::attachment()), text: "see".into() },
    ]
}

fn events() -> Vec<Durable> {
    let message = |(n, content): (usize, Content)| {
        Durable::Received(Message {
            id: MessageId { depth: 8, hash: [9; 32] },
            conversation: if n == 0 { Conversation::Network } else { Conversation::Private(id(1)) },
            author: id(1),
            life: LIFE,
            seq: 2,
            clock: None,
            sent_at: WallTime(1_000),
            content,
            edited: None,
            retracted: false,
        })
    };
    let mut all: Vec<Durable> = contents().into_iter().enumerate().map(message).collect();
    let (gone, to) = (MessageId { depth: 300, hash: [3; 32] }, id(2));
    all.extend([
        Durable::Delivered { id: gone, to },
        Durable::Failed { id: gone, to, reason: FailReason::Expired },
        Durable::Failed { id: gone, to, reason: FailReason::Refused },
        Durable::Forked { conversation: Conversation::Network, author: to, life: LIFE, seq: 300 },
        Durable::LifeBegun { conversation: Conversation::Private(to) },
        Durable::ContactRequest { node: to },
        Durable::ContactChanged { node: to },
    ]);
    all
}

fn membership_messages() -> Vec<Vec<u8>> {
    let info = |n: u8| NodeInfo {
        record: Blob(NodeRecord::sign(&who(n), [n; 32], u64::from(n), WallTime(0), NodeType::Regular).encode()),
        name: Some(format!("node {n}")),
        addrs: addrs().to_vec(),
    };
    [
        Membership::Announcement { cert: who(1).device_cert(), addrs: addrs().to_vec() },
        Membership::Announcement { cert: who(2).device_cert(), addrs: Vec::new() },
        Membership::Request { urgency: Urgency::Join, max_neighbours: 16, preferred: Vec::new(), location: None },
        Membership::Request {
            urgency: Urgency::Names,
            max_neighbours: 0,
            preferred: NodeType::ALL.to_vec(),
            location: Some((4_811, 1_158)),
        },
        Membership::Response { accepted: Ok(()), available: vec![info(3), info(4)] },
        Membership::Response { accepted: Ok(()), available: Vec::new() },
        Membership::Response { accepted: Err(Refusal::Full), available: vec![info(5)] },
        Membership::Response { accepted: Err(Refusal::Leaving), available: Vec::new() },
        Membership::Response { accepted: Err(Refusal::NotAsked), available: (1..8).map(info).collect() },
        Membership::ForwardJoin { joiner: info(6), ttl: 6 },
        Membership::ForwardJoin { joiner: info(7), ttl: 0 },
        Membership::Disconnect { instead: None },
        Membership::Shuffle { walk: 77, ttl: 6, nodes: (1..7).map(info).collect() },
        Membership::Shuffle { walk: 78, ttl: 1, nodes: vec![info(2)] },
        Membership::ShuffleReply { walk: 77, nodes: vec![info(3)] },
        Membership::Sketch { neighbour: true, anchor: false, marks: vec![(1, 2, 3), (u64::MAX, u32::MAX, u16::MAX)] },
        Membership::Request { urgency: Urgency::Merge, max_neighbours: 1, preferred: Vec::new(), location: None },
    ]
    .iter()
    .map(encode)
    .collect()
}

fn delivery_messages() -> Vec<Vec<u8>> {
    let carried = private(None, "private").bytes;
    vec![
        delivery::wire::Message::Carry { id: [1; 16], body: &carried }.encode(),
        delivery::wire::Message::Carry { id: [2; 16], body: b"" }.encode(),
        delivery::wire::Message::Ack { ids: &[[1; 16]] }.encode(),
        delivery::wire::Message::Refuse { id: [2; 16] }.encode(),
    ]
}

const LIFE: Life = Life([8; 8]);

/// What an author says after `prev`, having seen `parents`.
fn parts(prev: Option<&Run>, parents: &[&Run], content: Content) -> Parts {
    let last = |run: &Run| run.entries.last().map(|e| (e.id, e.seq));
    let prev = prev.and_then(last);
    let mut parents: Vec<Parent> = parents.iter().filter_map(|r| last(r)).map(|(id, _)| Parent::of(id)).collect();
    parents.sort_unstable();
    let body = Body { salt: [6; 16], sent_at: WallTime(1_000), content: Some(content) };
    let entries = vec![Said { parents, body: Carried::Body(Blob(encode(&body))) }];
    let seq = prev.map_or(0, |(_, seq)| seq).saturating_add(1);
    Parts { life: LIFE, seq, prev: prev.map(|(id, _)| id), entries }
}

fn no_run() -> Run {
    Run { log: LifeId { author: id(0), life: LIFE }, entries: Vec::new(), bytes: Vec::new(), front: 0, context: None }
}

/// A broadcast of `author`.
fn broadcast(author: u8, prev: Option<&Run>, parents: &[&Run], text: &str) -> Run {
    let parts = parts(prev, parents, Content::text(text));
    Run::sign(&who(author), network_conversation(&[0; 32]), parts).unwrap_or_else(|_| no_run())
}

/// A private message of the first peer to this node.
fn private(prev: Option<&Run>, text: &str) -> Run {
    let conversation = private_conversation(id(0), id(1));
    Run::plain(conversation, id(1), parts(prev, &[], Content::text(text))).unwrap_or_else(|_| no_run())
}

fn runs() -> Vec<Vec<u8>> {
    let said = |content| Run::sign(&who(1), network_conversation(&[0; 32]), parts(None, &[], content));
    let mut all: Vec<Run> = contents().into_iter().filter_map(|content| said(content).ok()).collect();
    let first = broadcast(1, None, &[], "a");
    let long = Parts {
        entries: (0..20).map(|n| Said { parents: Vec::new(), body: Carried::Hash([n; 32]) }).collect(),
        ..parts(Some(&first), &[&broadcast(2, None, &[], "b")], Content::text(""))
    };
    all.extend(Run::sign(&who(1), network_conversation(&[0; 32]), long).ok());
    all.push(private(None, "p"));
    all.into_iter().map(|run| run.bytes).collect()
}

fn syncs(conversation: ConversationId) -> Vec<Sync> {
    let height = |n, seq, depth| Height { log: LifeId { author: id(n), life: LIFE }, seq, depth, tip: [n; 8] };
    let heights = vec![height(1, 3, 3), height(2, 1, 9), height(0, 0, 0)];
    let parents = vec![Parent { depth: 3, prefix: [7; 16] }, Parent { depth: 4, prefix: [6; 16] }];
    let first = broadcast(1, None, &[], "a");
    let second = broadcast(1, Some(&first), &[], "b");
    let runs = vec![Blob(first.bytes), Blob(second.bytes)];
    let part = |depth, prefix: &[u8], mode| Part { end: Bound { depth, prefix: Blob(prefix.to_vec()) }, mode };
    let items = vec![MessageId { depth: 3, hash: [7; 32] }, MessageId { depth: 4, hash: [6; 32] }];
    let salt = [4; 16];
    vec![
        Sync::Digest {
            conversation,
            holding: Holding { joined: 1, base: 3, floor: 2, page: 4, newest: 9 },
            from: 3,
            hash: Some([0; 16]),
        },
        Sync::Digest { conversation, holding: Holding::default(), from: 0, hash: None },
        Sync::Pull { conversation, from: 0, heights: Vec::new(), answer: true },
        Sync::Receipt { conversation, height: heights.first().copied(), read: items.first().copied() },
        Sync::Typing { conversation },
        Sync::Pull { conversation, from: 2, heights, answer: false },
        Sync::Holds { conversation, question: 0, references: parents.iter().copied().map(Reference::Parent).collect() },
        Sync::Held { conversation, question: 0, held: Blob(vec![1, 0]) },
        Sync::Older { conversation, before: MessageId { depth: 3, hash: [7; 32] } },
        Sync::Runs { conversation, runs: Vec::new(), end: End::Older },
        Sync::Want { conversation, parents },
        Sync::Runs { conversation, runs, end: End::Open },
        Sync::Runs { conversation, runs: vec![Blob(private(None, "p").bytes)], end: End::Pulled { more: true } },
        Sync::Runs { conversation, runs: Vec::new(), end: End::Wanted },
        Sync::Runs { conversation, runs: Vec::new(), end: End::Fetched },
        Sync::Compare {
            conversation,
            salt,
            from: 0,
            to: u64::MAX,
            parts: vec![part(u64::MAX, &[], Mode::Fingerprint([5; 16]))],
        },
        Sync::Compare {
            conversation,
            salt,
            from: 0,
            to: 900,
            parts: vec![
                part(2, &[1, 2], Mode::Skip),
                part(9, &[], Mode::Ids(items.clone())),
                part(900, &[], Mode::Skip),
            ],
        },
        Sync::Compared { conversation, from: 0, to: u64::MAX, parts: Vec::new() },
        Sync::Compared {
            conversation,
            from: 0,
            to: u64::MAX,
            parts: vec![part(u64::MAX, &[], Mode::Ids(items.clone()))],
        },
        Sync::Compared { conversation, from: 0, to: 5, parts: vec![part(5, &[], Mode::Fingerprint([5; 16]))] },
        Sync::Fetch { conversation, items },
    ]
}

fn chat_messages() -> Vec<Vec<u8>> {
    let conversations = [network_conversation(&[0; 32]), private_conversation(id(0), id(1))];
    conversations.into_iter().flat_map(syncs).map(|s| encode(&s)).collect()
}

fn membership() -> Vec<Vec<u8>> {
    // Join through address 1, link 1 up, its messages, then others; see `Contract::draw`.
    let mut seeds = Vec::new();
    let mut all = Script::default();
    all.put(&[0, 0, 1, 1]).put(&[0, 5, 1, 1]).put(&[0, 2, 1, 1]);
    for message in membership_messages() {
        let mut one = Script::default();
        one.put(&[0, 0, 1, 1])
            .put(&[0, 2, 1, 1])
            .put(&[0, 9, 1])
            .bytes(&message)
            .put(&[210])
            .put(&[0, 4, 1])
            .put(&[250, 200]);
        seeds.push(one.0);
        all.put(&[0, 9, 1]).bytes(&message).put(&[0, 2, 2, 2]).put(&[0, 9, 2]).bytes(&message).put(&[210]);
    }
    all.put(&[0, 8, 1, 5]).put(&[0, 8, 2, 5]).put(&[0, 7, 1, 6]).put(&[0, 6, 3, 0, 3, 0]).put(&[0, 10]);
    all.put(&[0, 4, 1]).put(&[250, 255]).put(&[210, 210, 210]).put(&[0, 1]).put(&[0, 0, 2, 0, 2]).put(&[240, 9]);
    seeds.push(all.0);
    seeds
}

fn beacons() -> Vec<Vec<u8>> {
    let key = beacon_key(&[0; 32]);
    let beacon = |ports, id| Beacon { ports, tag: [3; 16], id }.encode(&key);
    let all = [beacon([4_000, 4_001], None), beacon([4_000, 0], Some(id(1))), beacon([0, 0], None)];
    // Whole, and without the tag that the target adds by itself.
    let open = |b: &Vec<u8>| b.get(..b.len().saturating_sub(16)).unwrap_or_default().to_vec();
    all.iter().flat_map(|b| [b.clone(), open(b)]).collect()
}

fn discovery() -> Vec<Vec<u8>> {
    // Addresses, entered, three beacons; see `Contract::draw`.
    let mut all = Script::default();
    all.put(&[0, 2, 1]).put(&[0, 0]).put(&[210, 210, 210]);
    // Six nodes seen, one of another network, one on two interfaces; answers; another network; the end.
    for n in 0..6 {
        all.put(&[0, 6, n % 2, n, 2, n, n, 0]);
    }
    all.put(&[0, 7, 1, 1, 9, 7, 2]).put(&[0, 7, 1, 1, 4, 0, 5]).put(&[210]);
    all.put(&[0, 5, 1]).bytes(&beacons().concat());
    all.put(&[0, 4, 0, 3, 2]).put(&[0, 3]).put(&[210, 230, 255]).put(&[0, 1]);
    vec![all.0]
}

fn delivery() -> Vec<Vec<u8>> {
    let ack = |n: u8| delivery::wire::Message::Ack { ids: &[[n; 16]] }.encode();
    let refuse = |n: u8| delivery::wire::Message::Refuse { id: [n; 16] }.encode();
    let carry = |n: u8| delivery::wire::Message::Carry { id: [n; 16], body: b"body" }.encode();
    let mut out = Script::default();
    // Up, submitted, stored, acknowledged; one refused; one that runs out of tries and is unparked.
    out.put(&[0, 3, 1]);
    for n in 0..4u8 {
        let next = n.saturating_add(1);
        out.put(&[0, 0, 1, n | 8, n, 1]).bytes(b"text").put(&[0, 2, 1, n]).put(&[0, 2, 1, next]);
    }
    out.put(&[0, 5, 2, 1, 0]).bytes(&ack(0)).put(&[0, 5, 2, 1, 1]).bytes(&refuse(1));
    out.put(&[240, 10])
        .put(&[210; 12])
        .put(&[0, 5, 2, 1, 2])
        .bytes(&ack(2))
        .put(&[210; 3])
        .put(&[0, 4, 1])
        .put(&[0, 3, 1]);
    out.put(&[250, 255]).put(&[0, 5, 2, 1, 3]).bytes(&ack(3)).put(&[0, 5, 1, 1]);
    let mut taken = Script::default();
    for n in 0..3 {
        // Opened, its verdict, a repeat that does not open, and one that is sealed anew.
        taken.put(&[0, 5, 2, 2, n]).bytes(&carry(n)).put(&[0, 5, 0, 2, n]).put(&[0, 6, 2, n, n & 1]);
        taken.put(&[0, 5, 0, 2, n]).put(&[0, 5, 2, 2, n]).bytes(&carry(n));
    }
    taken.put(&[0, 1, 5, 2]).bytes(b"x").put(&[0, 3, 2]).put(&[0, 4, 2]).put(&[230, 255]);
    vec![out.0, taken.0]
}

fn session() -> Vec<Vec<u8>> {
    let from_peer = |script: &mut Script, message: &[u8]| {
        script.put(&[0, 4, 1]).bytes(message);
    };
    // A message that waits for a bundle, the bundle, the first message, repeats, the end of it; see `Contract::draw`.
    let mut own = Script::default();
    own.put(&[0, 1, 1, 1]).bytes(b"text").put(&[0, 5, 9]).put(&[0, 1, 1, 1]).bytes(b"text").put(&[0, 8]);
    own.put(&[0, 1, 1, 1]).bytes(b"text").put(&[0, 0, 1]).bytes(b"answer").put(&[0, 8]).put(&[0, 2, 1, 1]).put(&[0, 8]);
    // A device that asks, opens a session and speaks in it: in order, again, with a changed byte, too late.
    let messages = crate::session::contract::messages();
    let mut taken = Script::default();
    taken.put(&[0, 5, 1, 1]);
    for message in &messages {
        from_peer(&mut taken, message);
        from_peer(&mut taken, message);
        taken.put(&[0, 0, 1]).bytes(b"answer").put(&[0, 8]);
    }
    let mut late = Script::default();
    for message in messages.iter().rev() {
        let mut changed = message.clone();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        from_peer(&mut late, &changed);
        from_peer(&mut late, message);
    }
    late.put(&[0, 7, 1]).bytes(b"history").put(&[0, 5, 9]).put(&[0, 8]).put(&[230, 255]);
    vec![own.0, taken.0, late.0]
}

fn session_messages() -> Vec<Vec<u8>> {
    let mut all = crate::session::contract::messages();
    all.push(crate::session::wire::Message::Ask.encode());
    if let crate::session::In::Message { body, .. } = crate::session::contract::bundle(1) {
        all.push(body);
    }
    all
}

fn group() -> Vec<Vec<u8>> {
    // Joins, is added, hears what is sealed, speaks, hands on the secret, leaves; see `Contract::draw`.
    let mut joins = Script::default();
    joins.put(&[0, 0, 5, 0, 1]).put(&[0, 0, 8, 1]);
    for message in crate::group::contract::messages() {
        joins.put(&[0, 0, 0, 1]).bytes(&message);
    }
    joins.put(&[0, 0, 10]).put(&[0, 0, 1, 1]).bytes(&crate::group::contract::sealed());
    joins.put(&[0, 0, 12]).put(&[0, 0, 2, 1]).put(&[0, 0, 11, 0]).put(&[220, 255]);
    // A group of its own, and what may not be done in another's.
    let mut own = Script::default();
    own.put(&[0, 0, 15, 0]).put(&[0, 0, 6, 0]).put(&[0, 0, 15, 1]).put(&[0, 0, 15, 2]).put(&[0, 0, 6, 1]);
    own.put(&[0, 0, 7, 2]).put(&[0, 0, 4, 1, 1, 1, 1]).put(&[220, 255]);
    own.put(&[0, 255, 12]).put(&[0, 0, 9, 1, 1]).put(&[0, 0, 1, 1]).bytes(&[1, 1, 3]);
    vec![joins.0, own.0]
}

fn file() -> Vec<Vec<u8>> {
    // A file of its own, shared with a member who fetches it; see `Contract::draw`.
    let mut own = Script::default();
    own.put(&[0, 0, 3, 0, 1, 255]).put(&[0, 0, 8, 0]).put(&[0, 0, 9]).put(&[0, 0, 10, 2, 0]).put(&[0, 0, 5, 0, 1]);
    own.put(&[0, 0, 0, 1, 0, 0]).put(&[0, 0, 0, 1, 0, 3, 0]).put(&[0, 0, 11, 2, 1, 0]).put(&[0, 0, 11, 0]);
    // A file of two parts of a member, of which one comes, then all.
    let mut fetched = Script::default();
    fetched.put(&[0, 2, 3, 0, 1, 255]).put(&[0, 2, 7, 0, 1, 2, 0]).put(&[0, 2, 5, 0, 1]);
    fetched.put(&[0, 2, 0, 1, 2, 1]).put(&[0, 2, 0, 1, 2, 5, 0]).put(&[0, 2, 0, 1, 2, 5, 1]).put(&[220, 220]);
    vec![own.0, fetched.0]
}

fn gossip() -> Vec<Vec<u8>> {
    let mut flood = Script::default();
    flood.put(&[0, 0, 1]).put(&[0, 0, 2]).put(&[0, 0, 3]).put(&[0, 3]).bytes(b"mine");
    let whole = |round, body: &[u8]| Gossip::Gossip { round, body: Blob(body.to_vec()) }.encode();
    let id = |body: &[u8]| short(blake3::hash(body).as_bytes());
    for (n, hops) in [(1u8, 5u8), (2, 1), (3, 255), (4, 0)] {
        let body = [n; 4];
        flood.put(&[0, 2, 1]).bytes(&whole(hops, &body)).put(&[0, 7]).bytes(&body).put(&[n & 1]);
        flood.put(&[0, 2, 2]).bytes(&whole(hops, &body));
    }
    flood.put(&[0, 1, 2]).put(&[0, 2, 1]).bytes(b"");
    let mut undecided = Script::default();
    for n in 0..80 {
        undecided.put(&[0, 2, 1]).bytes(&whole(5, &[n]));
    }
    let mut tree = Script::default();
    tree.put(&[0, 0, 1]).put(&[0, 0, 2]).put(&[0, 0, 3]);
    for from in [1, 2, 3] {
        tree.put(&[0, 2, from]).bytes(&Gossip::Prune.encode());
    }
    let have = Gossip::IHave(vec![IHave { id: id(b"late"), round: 3 }, IHave { id: id(b"never"), round: 9 }]);
    tree.put(&[0, 2, 1]).bytes(&have.encode()).put(&[0, 2, 2]).bytes(&have.encode()).put(&[230, 255]);
    tree.put(&[0, 2, 3]).bytes(&whole(20, b"late")).put(&[0, 7]).bytes(b"late").put(&[0]);
    for message in [
        Gossip::Graft { id: Some(id(b"late")) },
        Gossip::Graft { id: None },
        Gossip::IDontWant { id: id(b"next") },
        have,
    ] {
        tree.put(&[0, 2, 2]).bytes(&message.encode());
    }
    tree.put(&[0, 3]).bytes(b"next").put(&[230, 255]);
    let mut zone = Script::default();
    zone.put(&[0, 4, 1]).put(&[0, 4, 2]).put(&[0, 4, 3]).put(&[0, 0, 3]).put(&[0, 6, 1, 1, 2, 3, 1]);
    zone.put(&[0, 3]).bytes(b"mine");
    let name = |n: u8| who(n).node_id().0.first_chunk::<4>().copied().unwrap_or_default();
    let named = |all: &[u8]| all.iter().map(|n| name(*n)).collect::<Vec<_>>();
    let (scope, targets) = (Scope::Only(named(&[1, 2])), named(&[2, 3, 9]));
    let told = Gossip::Forward { round: 1, scope, silent: named(&[2]), targets, body: Blob(b"told".to_vec()) }.encode();
    zone.put(&[0, 2, 1]).bytes(&told).put(&[0, 7]).bytes(b"told").put(&[0]).put(&[0, 2, 2]).bytes(&told);
    let answer = Gossip::Answer { id: id(b"mine"), refused: named(&[1, 3]) }.encode();
    let list = alloc::vec![IHave { id: id(b"offered"), round: 2 }];
    let offer = Gossip::Offer { certain: true, list }.encode();
    zone.put(&[0, 2, 1]).bytes(&answer).put(&[0, 2, 2]).bytes(&offer);
    zone.put(&[230, 255]).put(&[0, 5, 2]).put(&[0, 6, 0]).put(&[0, 3]).bytes(b"next");
    vec![flood.0, undecided.0, tree.0, zone.0]
}

fn swim_messages() -> Vec<Vec<u8>> {
    let claims = [
        Claim::Alive { addrs: addrs().into_iter().take(2).collect() },
        Claim::Suspect,
        Claim::Down,
        Claim::Left,
        Claim::Away,
    ];
    let news =
        |(n, claim): (usize, Claim)| Update { member: id(n as u8), incarnation: (n as u64).saturating_mul(300), claim };
    let updates: Vec<Update> = claims.into_iter().enumerate().map(news).collect();
    [
        Swim::Ping { seq: 1, updates: updates.clone() },
        Swim::Ack { seq: 1, updates: Vec::new() },
        Swim::PingReq { seq: 70_000, target: id(3), updates: updates.clone() },
        Swim::Nack { seq: 2, updates: updates.clone() },
        Swim::Sync { ask: true, roster: updates },
        Swim::Sync { ask: false, roster: Vec::new() },
        Swim::Digest([7; 16]),
        Swim::Ask(vec![id(1), id(2)]),
        Swim::Statements(vec![Told::by(&who(1), None, (2, Presence::Away), Vec::new())]),
        Swim::Statements(vec![Told::by(
            &who(7),
            Some(&record(7)),
            (3, Presence::Away),
            addrs().into_iter().take(1).collect(),
        )]),
        Swim::Dissolve,
    ]
    .iter()
    .map(Swim::encode)
    .collect()
}

fn swim() -> Vec<Vec<u8>> {
    let mut zone = Script::default();
    for n in 1..7 {
        zone.put(&[0, 0, n, n]);
        let word = Update { member: id(n), incarnation: 0, claim: Claim::Alive { addrs: Vec::new() } };
        zone.put(&[0, 10, n]).bytes(&Swim::Sync { ask: true, roster: vec![word] }.encode());
    }
    let reported =
        Update { member: id(7), incarnation: 1, claim: Claim::Alive { addrs: addrs().into_iter().take(1).collect() } };
    zone.put(&[0, 10, 1]).bytes(&Swim::Sync { ask: false, roster: vec![reported] }.encode());
    for n in 1..7 {
        let own = Told::by(&who(n), None, (1, Presence::Here), Vec::new());
        zone.put(&[0, 10, n]).bytes(&Swim::Statements(vec![own]).encode());
    }
    let told = Told::by(&who(7), Some(&record(7)), (1, Presence::Here), addrs().into_iter().take(1).collect());
    zone.put(&[0, 10, 1]).bytes(&Swim::Statements(vec![told]).encode());
    zone.put(&[0, 5, 1]).put(&[0, 5, 2]);
    let mut asked = zone.clone();
    for seq in 1..60u32 {
        // A period, and an answer from any member.
        asked.put(&[201, 201]);
        for n in 1..6 {
            asked.put(&[0, 10, n]).bytes(&Swim::Ack { seq, updates: Vec::new() }.encode());
        }
    }
    let mut silent = zone.clone();
    for _ in 0..250 {
        silent.put(&[201]);
    }
    // Of two nodes alone one falls silent: it is down after a suspicion.
    let mut pair = Script::default();
    pair.put(&[0, 0, 1, 1, 0, 10, 1]).bytes(&Swim::Digest([7; 16]).encode());
    for _ in 0..60 {
        pair.put(&[201]);
    }
    let mut odd = zone.clone();
    for message in swim_messages() {
        odd.put(&[0, 10, 1]).bytes(&message).put(&[201]);
    }
    odd.put(&[0, 8, 3]).put(&[0, 8, 7]).put(&[0, 3, 2]).put(&[0, 4, 2, 5]).put(&[231, 255]).put(&[0, 2, 3]);
    odd.put(&[0, 9, 1]).put(&[0, 9, 2]).put(&[0, 6, 1]).put(&[0, 15, 1, 7, 90]).put(&[0, 7, 2]).put(&[0, 9, 0]);
    vec![asked.0, silent.0, pair.0, odd.0]
}

fn chat() -> Vec<Vec<u8>> {
    let mut live = Script::default();
    live.put(&[0, 5, 1]).put(&[0, 3, 1]);
    let flooded = |script: &mut Script, n: u8, run: &Run| {
        script.put(&[0, 1, 1, n]).bytes(&run.bytes);
    };
    let first = broadcast(2, None, &[], "first");
    let second = broadcast(2, Some(&first), &[], "second");
    let third = broadcast(2, Some(&second), &[], "third");
    flooded(&mut live, 0, &first);
    flooded(&mut live, 1, &third);
    flooded(&mut live, 2, &second);
    flooded(&mut live, 3, &broadcast(3, None, &[&third], "after"));
    flooded(&mut live, 4, &broadcast(4, None, &[&broadcast(5, None, &[], "unseen")], "waits"));
    flooded(&mut live, 5, &broadcast(2, Some(&first), &[], "beside the second"));
    let mut carried = Script::default();
    carried.put(&[0, 3, 1]);
    let mut told = vec![private(None, "private")];
    for n in 1..5 {
        told.push(private(told.last(), &n.to_string()));
    }
    for n in [0, 2, 1, 1, 4] {
        let bytes = told.get(n).map_or(&[][..], |run| &run.bytes);
        carried.put(&[0, 0, 1]).bytes(bytes).put(&[0]);
    }
    let mut seeds = vec![live.0.clone(), carried.0.clone()];
    let record = |script: &mut Script, read: u8| {
        let key = [&1u32.to_be_bytes()[..], &1u64.to_be_bytes(), &[7; 32]].concat();
        script.put(&[0, 7]).bytes(&key).bytes(&first.bytes).put(&[read]);
    };
    for message in chat_messages() {
        for start in [&live, &carried] {
            let mut one = start.clone();
            // A comparison is under way with the peer, whose window is read first.
            one.put(&[0, 8, 1]);
            record(&mut one, 1);
            one.put(&[0, 2, 1]).bytes(&message);
            record(&mut one, 2);
            for read in 0..4 {
                record(&mut one, read);
            }
            one.put(&[0, 6, 1]).put(&[0, 4, 1]).put(&[210, 240, 30]).put(&[0, 3, 1]).put(&[0, 5, 1]).put(&[210]);
            seeds.push(one.0);
        }
    }
    seeds
}

/// The steps of `engines`: see there.
const JOIN: [u8; 2] = [0x00, 0x01];
const MAIL: u8 = 0xc0;

fn engines() -> Vec<Vec<u8>> {
    let open = [&JOIN[..], &[MAIL; 12]].concat();
    let wait = |n: u8| [0xa0, n, MAIL, MAIL];
    let restart = |n: u8| [0xe0 | n, n, n, MAIL, MAIL, MAIL, 0xa0, 100, MAIL, MAIL, MAIL, MAIL];
    let plans: [&[&[u8]]; 8] = [
        &[&[0x20, 0x21, MAIL, MAIL], &wait(5), &[0x40, 0x41, MAIL, MAIL, MAIL], &wait(5)],
        // Acknowledged, read, a restart, another network, goodbye, and in again.
        &[
            &[0x20, MAIL, MAIL, 0x27, 0x25],
            &restart(1),
            &[0x06, 0x07, MAIL, 0x04, MAIL, MAIL],
            &wait(90),
            &JOIN,
            &wait(90),
        ],
        // Lost: a time-out finds it.
        &[&[0x20, 0x62, 0, 1, 0x62, 0, 0], &wait(50), &wait(50), &[0x41, 0x62, 20, 255], &wait(100), &wait(100)],
        // Delivered twice, and once with a changed byte.
        &[&[0x20, 0x60, 0, 0, 0x60, 40, 1, MAIL, MAIL], &wait(10)],
        &[&[0x80, 0, 5, 5, 1, 0, 0, 0, 0x81, 1, 3, 4, 1, 2], &[0x20, MAIL, MAIL], &wait(255)],
        &[&[0x20, 0x40, MAIL, MAIL, MAIL], &restart(0), &[0x21, 0x41, MAIL, MAIL], &wait(200), &wait(200)],
        &[&[0x40, 0x20], &restart(1), &wait(100), &[0x21, 0x20, MAIL, MAIL], &restart(0), &wait(200), &wait(200)],
        &[&wait(255), &wait(255), &[0x20, 0x21, MAIL], &wait(255), &wait(255), &[0x40, 0x41, MAIL], &wait(255)],
    ];
    plans.into_iter().map(|plan| [open.as_slice(), &plan.concat()].concat()).collect()
}

/// What two nodes have on disk after they met and talked, with a message that was not delivered.
pub(crate) fn lived() -> MemoryStore {
    let addr = |n: usize| SocketAddr::from(([10, 0, 0, n as u8], 4_000));
    let mut now = Instant::from_micros(1);
    let mut config = Config::default();
    // Each message ends an eighth of a page, which is stored.
    config.chat.page_entries = 8;
    let mut ticket = None;
    let mut nodes: Vec<(Engine, MemoryStore)> = (0..2u8)
        .filter_map(|n| Engine::new(config.clone(), who(n), [n; 32], now, WallTime(1_000)).ok())
        .map(|engine| (engine, MemoryStore::default()))
        .collect();
    for round in 0..60 {
        now = now + Duration::from_millis(50);
        for (n, (engine, _)) in nodes.iter_mut().enumerate() {
            let other = 1usize.saturating_sub(n);
            engine.handle_timeout(now);
            // A command that is refused leaves its row out, which the test of the seeds would see.
            if round == 0 {
                let _ = engine.join(now, &[Bootstrap { addr: addr(other), id: None }]);
            }
            if round % 20 == 10 || round == 59 {
                let said = engine.broadcast(now, Content::text(round.to_string()));
                if let Ok(edit_of) = said
                    && round == 30
                {
                    let _ = engine.broadcast(now, Content::Edit { edit_of, text: "edited".into() });
                }
                let _ = engine.send_private(now, id(other as u8), Content::text(round.to_string()));
                let _ = engine.block(now, id(9));
                let _ = engine.rename_device(now, "renamed");
            }
            // A group of the node, and another's that it would like to join.
            if round == 5 {
                let (kind, policy) = (GroupKind::Private, GroupPolicy::default());
                if let Ok(group) = engine.create_group(now, kind, "team".into(), policy, None)
                    && n == 1
                {
                    let expires = WallTime(u64::MAX);
                    ticket = engine.invite_to_group(now, group, GroupRole::Member, 1, expires, None).ok();
                }
            }
            if round == 5 {
                share_file(engine, now);
            }
            if let Some(ticket) = ticket.as_ref().filter(|_| round == 59 && n == 0) {
                let _ = engine.join_group(now, ticket);
            }
        }
        let mut mail = Vec::new();
        for (n, (engine, store)) in nodes.iter_mut().enumerate() {
            for output in serve(engine, store, now) {
                if let Output::Transmit(t) = output {
                    mail.push((addr(n), t));
                }
            }
        }
        for (from, t) in mail.into_iter().filter(|_| round != 59) {
            if let Some((engine, _)) = (0..2).find(|k| addr(*k) == t.to).and_then(|k| nodes.get_mut(k)) {
                engine.handle_datagram(now, from, &t.bytes);
            }
        }
    }
    nodes.into_iter().next().map(|(_, store)| store).unwrap_or_default()
}

fn stores() -> Vec<Vec<u8>> {
    let write = |script: &mut Script, record: &Record| {
        script.put(&[record.table.to_byte(), 3]).bytes(&record.key).bytes(&record.value);
    };
    let records = lived().hot();
    let mut all = Script::default();
    records.iter().for_each(|r| write(&mut all, r));
    let mut seeds = vec![all.0];
    let tables: OrderedSet<Table> = records.iter().map(|r| r.table).collect();
    for table in tables {
        let mut some = Script::default();
        records.iter().filter(|r| r.table == table).for_each(|r| write(&mut some, r));
        seeds.push(some.0);
    }
    seeds
}

/// A small file in the network's conversation.
fn share_file(engine: &mut Engine, now: Instant) {
    let Ok(mut draft) = engine.begin_file(now, 5) else { return };
    let added = draft.push(b"12345").ok().and_then(|()| draft.finish().ok());
    let Some(sealed) = added.filter(|sealed| engine.add_file_part(now, sealed, 0, b"12345").is_ok()) else { return };
    if let Ok(file) = engine.finish_file(now, sealed.id(), "five.txt".into(), "text/plain".into()) {
        let _ = engine.broadcast(now, Content::File { file: Box::new(file), text: "see".into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::check;
    use crate::fuzzing::targets;
    use crate::wire::{MAX_MESSAGE, decode};

    #[test]
    fn every_target_begins_with_seeds_and_bears_them() {
        for (name, target) in targets() {
            let seeds = of(name);
            assert!(!seeds.is_empty(), "{name}");
            seeds.iter().for_each(|s| target(s));
        }
    }

    #[test]
    fn seeds_of_decoders_are_what_the_decoders_take() {
        assert!(of("record").iter().all(|s| NodeRecord::decode(s).is_ok()));
        assert!(of("ticket").iter().step_by(2).all(|s| core::str::from_utf8(s).unwrap().parse::<Ticket>().is_ok()));
        assert!(of("event_row").iter().all(|s| Durable::decode(s).is_ok()));
        assert!(of("membership_message").iter().all(|s| decode::<Membership>(s, MAX_MESSAGE).is_ok()));
        assert!(of("delivery_message").iter().all(|s| delivery::wire::Message::decode(s).is_ok()));
        let is_group = |s: &Vec<u8>| decode::<crate::group::wire::Message>(s, MAX_MESSAGE).is_ok();
        assert!(of("group_message").iter().all(is_group));
        assert!(of("file_message").iter().all(|s| crate::file::wire::Message::decode(s).is_ok()));
        let is_challenge = |s: &Vec<u8>| crate::authentication::wire::Message::decode(s).is_ok();
        assert!(of("authentication_message").iter().all(is_challenge));
        let is_chain = |s: &Vec<u8>| crate::wire::devices::Chain::decode(s, None).is_ok();
        assert!(of("device_chain").iter().all(is_chain));
        let is_device = |s: &Vec<u8>| decode::<crate::device::wire::Message>(s, MAX_MESSAGE).is_ok();
        assert!(of("device_message").iter().all(is_device));
        let is_register = |s: &Vec<u8>| decode::<crate::register::wire::Message>(s, MAX_MESSAGE).is_ok();
        assert!(of("register_message").iter().all(is_register));
        let is_code = |s: &Vec<u8>| crate::contacts::read_code(core::str::from_utf8(s).unwrap()).is_ok();
        assert!(of("safety_code").iter().all(is_code));
        assert!(of("session_message").iter().all(|s| crate::session::wire::Message::decode(s).is_ok()));
        assert!(of("swim_message").iter().all(|s| Swim::decode(s).is_ok()));
        assert!(of("chat_message").iter().all(|s| decode::<Sync>(s, MAX_MESSAGE).is_ok()));
        let room = network_conversation(&[0; 32]);
        let is_run = |s: &Vec<u8>| Run::decode_signed(room, s.clone()).is_ok_and(|r| r.is_genuine(room));
        assert_eq!(
            of("chat_run").iter().filter(|s| is_run(s)).count() + 1,
            of("chat_run").len(),
            "all but the private one"
        );
    }

    #[test]
    fn seeds_of_machines_reach_what_they_are_for() {
        let transcript = |name: &str| -> alloc::string::String {
            let run = |s: &Vec<u8>| match name {
                "link" => check::<crate::link::Link>(s),
                "membership" => check::<crate::membership::Membership>(s),
                "delivery" => check::<delivery::Delivery>(s),
                "session" => check::<crate::session::Sessions>(s),
                "group" => check::<crate::group::Groups>(s),
                "file" => check::<crate::file::Files>(s),
                "contacts" => check::<crate::contacts::Contacts>(s),
                "authentication" => check::<crate::authentication::Authentication>(s),
                "device" => check::<crate::device::Devices>(s),
                "register" => check::<crate::register::Registers>(s),
                "swim" => check::<crate::swim::Swim>(s),
                "gossip" => check::<crate::gossip::Gossip>(s),
                _ => check::<crate::chat::Chat>(s),
            };
            of(name).iter().map(|s| run(s).unwrap()).collect()
        };
        for (name, words) in [
            ("link", &["LinkUp {", "Message {", "LinkDown {"][..]),
            ("membership", &["NeighbourUp", "AddAddresses", "Want", "Unwant", "NeighbourDown", "Shut", "Open"]),
            ("delivery", &["Delivered", "Refused", "Received", "Stored", "Want", "Unwant"]),
            ("session", &["Send", "Ready", "Opened", "Unopened", "SaveDue"]),
            ("gossip", &["Deliver", "Send"]),
            ("file", &["Want", "Unwant", "Send", "Read", "PartRead", "Complete", "Progress", "answer Ok("]),
            (
                "contacts",
                &[
                    "Requested",
                    "Changed",
                    "Named",
                    "Meet",
                    "Trust",
                    "answer Ok(",
                    "NumberDiffers",
                    "Unreadable",
                    "Busy",
                ],
            ),
            ("authentication", &["Send", "Done", "Timeout", "answer Ok("]),
            ("device", &["Send", "Seal", "Devices", "Changed", "Want", "Unwant", "Identity", "answer Ok("]),
            ("register", &["Seal", "Contact(", "Block", "Read", "Put"]),
            ("group", &["Want", "Unwant", "Say", "View", "Changed", "Joined", "answer Ok("]),
            (
                "swim",
                &["Want", "Unwant", "AddAddresses", "Send", "Suspect", "state: Down", "Away", "Zone(Some", "Zone(None"],
            ),
            (
                "chat",
                &[
                    "Received",
                    "DirectValidated",
                    "GossipValidated",
                    "Send",
                    "Read",
                    "genuine: true",
                    "accepted: true",
                    "answer Ok(",
                    "Page",
                ],
            ),
        ] {
            let transcript = transcript(name);
            for word in words {
                assert!(transcript.contains(word), "no seed of {name} reaches {word}");
            }
        }
    }

    #[test]
    fn a_life_leaves_a_row_in_every_hot_table() {
        let tables: OrderedSet<Table> = lived().hot().iter().map(|r| r.table).collect();
        let hot = (0..128).map(Table::from_byte).filter(|t| t.name().is_some());
        assert_eq!(tables, hot.collect());
        let restored = Engine::restore(Config::default(), who(0), lived().hot(), [1; 32], Instant::ZERO, WallTime(1));
        assert!(restored.is_ok_and(|e| e.status().outbox == 1));
    }
}
