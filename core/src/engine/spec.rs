//! The hex examples of `docs/spec/messages.md` are built here and compared with the page.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::authentication::wire as authentication;
use crate::chat::ranges::{Bound, Mode, Part};
use crate::chat::wire::{End, Height, Holding, Sync};
use crate::collections::OrderedMap;
use crate::config::{Config, NodeType, Power};
use crate::delivery;
use crate::discovery::beacon::{Beacon, beacon_key};
use crate::gossip::wire::{IHave, Message as Gossip, Scope};
use crate::id::{FileId, GroupId, Life, MessageId, NodeId, OpId};
use crate::identity::Identity;
use crate::membership::wire::{Message, NodeInfo, Refusal, Urgency};
use crate::swim::wire::{Claim, Message as Swim, Presence, Told, Update};
use crate::time::WallTime;
use crate::wire::content::{Attachment, Content, network_conversation, private_conversation};
use crate::wire::entry::{Body, Carried, LifeId, Parent, Part as Said, Parts, Reference, Run};
use crate::wire::record::NodeRecord;
use crate::wire::ticket::Ticket;
use crate::wire::{Blob, encode};

const PAGE: &str = include_str!("../../../docs/spec/messages.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| alloc::format!("{b:02x}")).collect()
}

fn examples() -> OrderedMap<&'static str, Vec<u8>> {
    let alice = Identity::generate([1; 64], "alice", WallTime(1_000)).unwrap();
    let author = NodeId([0xaa; 32]);
    let network = network_conversation(&[0; 32]);
    let body =
        encode(&Body { salt: [0x66; 16], sent_at: WallTime(1_767_225_600_000), content: Some(Content::text("hello")) });
    let life = Life([0x77; 8]);
    let (target, parent) = (MessageId { depth: 300, hash: [0x22; 32] }, Parent { depth: 299, prefix: [0x23; 16] });
    let parts = Parts {
        life,
        seq: 2,
        prev: Some(target),
        entries: vec![Said { parents: vec![parent], body: Carried::Body(Blob(body.clone())) }],
    };
    let run = Run::sign(&alice, network, parts.clone()).unwrap();
    let pruned = Parts {
        entries: vec![Said { parents: vec![parent], body: Carried::Hash(Carried::Body(Blob(body.clone())).hash()) }],
        ..parts.clone()
    };
    let private = Run::plain(private_conversation(alice.node_id(), author), alice.node_id(), parts).unwrap();
    let record = NodeRecord::sign(&alice, [5; 32], 3, WallTime(1_769_817_600_000), NodeType::Regular);
    let phone = Config { power: Power::Low, ..Config::default() };
    let low_power = NodeRecord::sign(&alice, [5; 32], 3, WallTime(1_769_817_600_000), &phone);
    let file = Attachment {
        id: FileId([0xdd; 32]),
        key: [0xee; 32],
        size: 100_000,
        name: "a.png".into(),
        media_type: "image/png".into(),
    };
    let info = NodeInfo {
        record: Blob(vec![0xee; 4]),
        name: Some("bob".into()),
        addrs: vec!["127.0.0.1:4000".parse().unwrap()],
    };
    let others = OrderedMap::from([
        ("node id of alice", alice.node_id().0.to_vec()),
        ("account id of alice", alice.account_id().0.to_vec()),
        ("node record of alice", record.encode()),
        ("node record of alice, of low power", low_power.encode()),
        ("network conversation", network.0.to_vec()),
        ("private conversation", private_conversation(author, NodeId([0xbb; 32])).0.to_vec()),
        ("announcement", encode(&Message::Announcement { cert: alice.device_cert(), addrs: Vec::new() })),
        (
            "request",
            encode(&Message::Request {
                urgency: Urgency::Low,
                max_neighbours: 6,
                preferred: vec![NodeType::Super],
                location: None,
            }),
        ),
        ("disconnect", encode(&Message::Disconnect { instead: None })),
        ("shuffle", encode(&Message::Shuffle { walk: 0x0102_0304, ttl: 6, nodes: Vec::new() })),
        ("sketch", encode(&Message::Sketch { neighbour: true, anchor: true, marks: vec![(0x0102_0304, 7, 30)] })),
        ("shuffle reply", encode(&Message::ShuffleReply { walk: 0x0102_0304, nodes: Vec::new() })),
        ("response accepted", encode(&Message::Response { accepted: Ok(()), available: vec![info] })),
        ("response refused", encode(&Message::Response { accepted: Err(Refusal::Full), available: Vec::new() })),
        ("group list of devices", crate::group::contract::listed()),
        (
            "group question for a secret",
            encode(&crate::group::wire::Message::Ask { group: GroupId([0xcc; 32]), epoch: OpId([0xdd; 32]) }),
        ),
        ("group wait", encode(&crate::group::wire::Message::Wait { group: GroupId([0xcc; 32]) })),
        (
            "authentication challenge",
            authentication::Message::Challenge(authentication::Challenge { random: [0x11; 32], hash: [0x22; 32] })
                .encode(),
        ),
        (
            "question for lists",
            encode(&crate::device::wire::Message::Want { account: crate::id::AccountId([0xaa; 32]) }),
        ),
        (
            "newest list",
            encode(&crate::device::wire::Message::Have { account: crate::id::AccountId([0xaa; 32]), head: [0xbb; 32] }),
        ),
        ("register digest", encode(&crate::register::wire::Message::Have { root: [0x11; 16] })),
        (
            "page of registers",
            encode(&crate::register::wire::Message::Page(vec![crate::wire::registers::Stamped {
                generation: 3,
                lowered: 0,
                counter: 300,
                writer: NodeId([0xaa; 32]),
                register: crate::wire::registers::Register::Petname(NodeId([0xbb; 32]), Some("bob".into())),
            }])),
        ),
        ("bundle question", crate::session::wire::Message::Ask.encode()),
        ("ratchet header", crate::session::wire::Header::example().encode().to_vec()),
        ("beacon", Beacon { ports: [4_000, 4_001], tag: [0x55; 16], id: None }.encode(&beacon_key(&[0; 32]))),
        (
            "beacon of a visible node",
            Beacon { ports: [4_000, 0], tag: [0x55; 16], id: Some(author) }.encode(&beacon_key(&[0; 32])),
        ),
        ("carry", delivery::wire::Message::Carry { id: [0x11; 16], body: b"body" }.encode()),
        ("ack", delivery::wire::Message::Ack { ids: &[[0x11; 16]] }.encode()),
        ("refuse", delivery::wire::Message::Refuse { id: [0x11; 16] }.encode()),
        ("body", body),
        ("message id", encode(&run.last().unwrap())),
        ("signed run", run.bytes),
        ("entries without a body", encode(&pruned)),
        ("private run", private.bytes),
        ("reply", encode(&Content::Reply { reply_to: target, text: "hi".into() })),
        ("retract", encode(&Content::Retract { retract: target })),
        ("file", encode(&Content::File { file: Box::new(file), text: "hi".into() })),
        ("gossip", Gossip::Gossip { round: 3, body: Blob(b"signed envelope".to_vec()) }.encode()),
        ("ihave", Gossip::IHave(alloc::vec![IHave { id: [0x44; 16], round: 4 }]).encode()),
        ("graft", Gossip::Graft { id: Some([0x44; 16]) }.encode()),
        ("prune", Gossip::Prune.encode()),
        (
            "instruction",
            Gossip::Forward {
                round: 1,
                scope: Scope::Only(vec![[0x66; 4], [0x44; 4]]),
                silent: vec![[0x55; 4]],
                targets: vec![[0x44; 4]],
                body: Blob(b"signed envelope".to_vec()),
            }
            .encode(),
        ),
        ("answer to an instruction", Gossip::Answer { id: [0x44; 16], refused: vec![[0x66; 4]] }.encode()),
        ("offer", Gossip::Offer { certain: true, list: vec![IHave { id: [0x44; 16], round: 4 }] }.encode()),
        ("idontwant", Gossip::IDontWant { id: [0x44; 16] }.encode()),
        (
            "ping",
            Swim::Ping { seq: 300, updates: vec![Update { member: author, incarnation: 2, claim: Claim::Suspect }] }
                .encode(),
        ),
        ("answer to a ping", Swim::Ack { seq: 300, updates: Vec::new() }.encode()),
        ("request to ask", Swim::PingReq { seq: 300, target: NodeId([0xbb; 32]), updates: Vec::new() }.encode()),
        ("digest of a roster", Swim::Digest([0x77; 16]).encode()),
        ("nack", Swim::Nack { seq: 300, updates: Vec::new() }.encode()),
        (
            "roster",
            Swim::Sync {
                ask: true,
                roster: vec![
                    Update {
                        member: author,
                        incarnation: 2,
                        claim: Claim::Alive { addrs: vec!["127.0.0.1:4000".parse().unwrap()] },
                    },
                    Update { member: NodeId([0xbb; 32]), incarnation: 0, claim: Claim::Down },
                    Update { member: NodeId([0xcc; 32]), incarnation: 1, claim: Claim::Left },
                ],
            }
            .encode(),
        ),
        ("no zone", Swim::Dissolve.encode()),
        (
            "digest",
            encode(&Sync::Digest {
                conversation: network,
                holding: Holding { joined: 600, base: 700, floor: 650, page: 710, newest: 900 },
                from: 700,
                hash: Some([0x33; 16]),
            }),
        ),
        ("question for statements", Swim::Ask(vec![alice.node_id()]).encode()),
        (
            "statement of alice",
            Swim::Statements(vec![Told::by(
                &alice,
                Some(&record),
                (2, Presence::Here),
                vec!["127.0.0.1:4000".parse().unwrap()],
            )])
            .encode(),
        ),
        (
            "pull",
            encode(&Sync::Pull {
                conversation: network,
                from: 700,
                heights: vec![Height { log: LifeId { author, life }, seq: 300, depth: 900, tip: [0x22; 8] }],
                answer: true,
            }),
        ),
        ("want", encode(&Sync::Want { conversation: network, parents: vec![parent] })),
        (
            "runs",
            encode(&Sync::Runs {
                conversation: network,
                runs: vec![Blob(b"run".to_vec())],
                end: End::Pulled { more: true },
            }),
        ),
        ("compare", {
            let whole =
                Part { end: Bound { depth: u64::MAX, prefix: Blob(Vec::new()) }, mode: Mode::Fingerprint([0x55; 16]) };
            encode(&Sync::Compare {
                conversation: network,
                salt: [0x44; 16],
                from: 0,
                to: u64::MAX,
                parts: vec![whole],
            })
        }),
        ("compared", {
            let parts = vec![
                Part { end: Bound { depth: 300, prefix: Blob(vec![0x22]) }, mode: Mode::Skip },
                Part { end: Bound { depth: 301, prefix: Blob(Vec::new()) }, mode: Mode::Ids(vec![target]) },
            ];
            encode(&Sync::Compared { conversation: network, from: 0, to: 1_000, parts })
        }),
        ("fetch", encode(&Sync::Fetch { conversation: network, items: vec![target] })),
        (
            "holds",
            encode(&Sync::Holds {
                conversation: network,
                question: 5,
                references: vec![
                    Reference::Parent(parent),
                    Reference::Prev { log: LifeId { author, life }, seq: 300, id: target },
                ],
            }),
        ),
        ("held", encode(&Sync::Held { conversation: network, question: 5, held: Blob(vec![1, 0]) })),
        ("older", encode(&Sync::Older { conversation: network, before: MessageId::first_of(700) })),
        (
            "receipt",
            encode(&Sync::Receipt {
                conversation: network,
                height: Some(Height { log: LifeId { author, life }, seq: 300, depth: 900, tip: [0x22; 8] }),
                read: Some(MessageId::first_of(700)),
            }),
        ),
        ("typing", encode(&Sync::Typing { conversation: network })),
        ("end of older runs", encode(&Sync::Runs { conversation: network, runs: Vec::new(), end: End::Older })),
    ]);
    others.into_iter().chain(crate::file::wire::examples()).collect()
}

/// The examples on the page: a line `**name**` and the code block after it, white space ignored.
fn page() -> OrderedMap<String, String> {
    let mut found = OrderedMap::new();
    for part in PAGE.split("\n**").skip(1) {
        let Some((name, rest)) = part.split_once("**") else { continue };
        let Some(block) = rest.split("```").nth(1) else { continue };
        let digits: String = block.trim_start_matches("text").split_whitespace().collect();
        found.insert(name.into(), digits);
    }
    found
}

#[test]
fn the_page_matches_the_encoded_messages() {
    let page = page();
    let mut missing = String::new();
    for (name, bytes) in examples() {
        let lines: Vec<String> = hex(&bytes).as_bytes().chunks(64).map(|c| String::from_utf8_lossy(c).into()).collect();
        if page.get(name).map(String::as_str) != Some(hex(&bytes).as_str()) {
            missing += &alloc::format!("\n**{name}**\n```text\n{}\n```\n", lines.join("\n"));
        }
    }
    assert!(missing.is_empty(), "docs/spec/messages.md lacks:\n{missing}");
    assert_eq!(page.len(), examples().len(), "the page has an example that is not made here");
}

#[test]
fn a_ticket_prints_as_the_page_says() {
    let ticket = Ticket {
        node: NodeId([0xaa; 32]),
        name: "alice".into(),
        addrs: vec!["127.0.0.1:4000".parse().unwrap()],
        network_key: None,
    };
    assert!(PAGE.contains(&ticket.text()), "docs/spec/messages.md lacks the ticket {}", ticket.text());
    let id = alloc::format!("{}", NodeId([0xaa; 32]));
    assert!(PAGE.contains(&id), "docs/spec/messages.md lacks the id {id}");
}
