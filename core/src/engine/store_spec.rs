//! The hex examples of `docs/spec/store.md` are built here and compared with the page.

use alloc::string::String;
use alloc::vec::Vec;

use crate::collections::OrderedMap;
use crate::config::Config;
use crate::contract::who;
use crate::engine::event::{Durable, FailReason};
use crate::engine::{Engine, Output};
use crate::fuzzing::seeds;
use crate::group::GroupChange;
use crate::id::{FileId, GroupId, Life, MessageId, NodeId};
use crate::store::{MemoryStore, Op, Record, Scan, Table};
use crate::time::{Instant, WallTime};
use crate::wire::content::{Content, Conversation, Message};

const PAGE: &str = include_str!("../../../docs/spec/store.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| alloc::format!("{b:02x}")).collect()
}

/// Every table of this version.
fn tables() -> impl Iterator<Item = Table> {
    (0..=255).map(Table::from_byte).filter(|t| t.name().is_some())
}

/// A durable event of each kind. The match makes a new kind an error of the build until it has an example here.
fn durable() -> [(&'static str, Durable); 10] {
    let (id, to) = (MessageId { depth: 300, hash: [0x22; 32] }, NodeId([0xbb; 32]));
    let life = Life([0x77; 8]);
    let received = Message {
        id,
        conversation: Conversation::Private(to),
        author: to,
        life,
        seq: 2,
        clock: None,
        sent_at: WallTime(1_767_225_600_000),
        content: Content::text("hello"),
        edited: None,
        retracted: false,
    };
    [
        Durable::Received(received),
        Durable::Delivered { id, to },
        Durable::Failed { id, to, reason: FailReason::Refused },
        Durable::Forked { conversation: Conversation::Network, author: to, life, seq: 300 },
        Durable::LifeBegun { conversation: Conversation::Private(to) },
        Durable::GroupChanged { group: GroupId([0xcc; 32]), change: GroupChange::Removed { member: to } },
        Durable::FileReceived { file: FileId([0xdd; 32]) },
        Durable::ContactRequest { node: to },
        Durable::ContactChanged { node: to },
        Durable::DevicesChanged { node: to, device: NodeId([0xee; 32]), added: true },
    ]
    .map(|event| {
        let name = match &event {
            Durable::Received(_) => "received",
            Durable::Delivered { .. } => "delivered",
            Durable::Failed { .. } => "failed",
            Durable::Forked { .. } => "forked",
            Durable::LifeBegun { .. } => "life begun",
            Durable::GroupChanged { .. } => "group changed",
            Durable::FileReceived { .. } => "file received",
            Durable::ContactRequest { .. } => "contact request",
            Durable::ContactChanged { .. } => "contact changed",
            Durable::DevicesChanged { .. } => "devices changed",
        };
        (name, event)
    })
}

/// What a node has on disk after it met another and talked: the first record of each table, and each of the tables
/// whose keys are names.
fn records() -> Vec<(String, Record)> {
    let store = seeds::lived();
    let mut found = Vec::new();
    for table in tables() {
        let scan = Scan {
            table,
            start: Vec::new(),
            end: [0xff; 200].to_vec(),
            reverse: false,
            limit: 100,
            max_bytes: 1 << 20,
        };
        let rows = store.scan(&scan);
        let named = |r: &Record| {
            let name = core::str::from_utf8(&r.key).ok().filter(|k| k.bytes().all(|b| b.is_ascii_lowercase()))?;
            Some(alloc::format!("{table} {name}"))
        };
        match rows.first().and_then(named) {
            Some(_) => found.extend(rows.into_iter().filter_map(|r| Some((named(&r)?, r)))),
            None => found.extend(rows.into_iter().take(1).map(|r| (alloc::format!("{table}"), r))),
        }
    }
    found.extend(acknowledged(&store));
    found
}

/// The record that an acknowledgement writes.
fn acknowledged(store: &MemoryStore) -> Option<(String, Record)> {
    let now = Instant::from_micros(1);
    let mut engine = Engine::restore(Config::default(), who(0), store.hot(), [1; 32], now, WallTime(1)).ok()?;
    engine.ack(now, 1).ok()?;
    let batches = core::iter::from_fn(|| engine.poll()).filter_map(|output| match output {
        Output::Batch(batch) => Some(batch.ops),
        _ => None,
    });
    batches.flatten().find_map(|op| match op {
        Op::Put { table, key, value } if key == b"acked" => {
            Some((alloc::format!("{table} acked"), Record { table, key, value }))
        }
        _ => None,
    })
}

fn lines(bytes: &[u8]) -> String {
    let lines: Vec<String> = hex(bytes).as_bytes().chunks(64).map(|c| String::from_utf8_lossy(c).into()).collect();
    lines.join("\n")
}

/// Each example as its block on the page.
fn examples() -> OrderedMap<String, String> {
    let events = durable().map(|(name, event)| (name.into(), lines(&event.encode())));
    let records = records();
    let rows =
        records.iter().map(|(n, r)| (n.clone(), alloc::format!("key\n{}\nvalue\n{}", lines(&r.key), lines(&r.value))));
    events.into_iter().chain(rows).collect()
}

/// The examples on the page: a line `**name**` and the code block after it.
fn page() -> OrderedMap<String, String> {
    let mut found = OrderedMap::new();
    for part in PAGE.split("\n**").skip(1) {
        let Some((name, rest)) = part.split_once("**") else { continue };
        let Some(block) = rest.split("```").nth(1) else { continue };
        found.insert(name.into(), block.trim_start_matches("text").trim().into());
    }
    found
}

#[test]
fn the_page_matches_the_stored_records() {
    let (page, examples) = (page(), examples());
    let mut missing = String::new();
    for (name, block) in examples.iter().filter(|(name, block)| page.get(*name) != Some(block)) {
        missing += &alloc::format!("\n**{name}**\n```text\n{block}\n```\n");
    }
    assert!(
        missing.is_empty(),
        "a stored form changed or is not described. Raise FORMAT in hosts/runtime/src/store/database.rs and show it in \
         docs/spec/store.md:\n{missing}"
    );
    assert_eq!(page.len(), examples.len(), "the page has an example that is not made here");
}

#[test]
fn the_page_lists_every_table_with_its_byte() {
    for table in tables() {
        let kind = if table.is_hot() { "hot" } else { "cold" };
        let row = alloc::format!("| `{table}` | {} | {kind} |", table.to_byte());
        assert!(PAGE.contains(&row), "docs/spec/store.md lacks a row of its table of tables: {row}");
    }
    let rows =
        PAGE.lines().filter(|l| l.ends_with(" hot |") || l.contains("| hot |") || l.contains("| cold |")).count();
    assert_eq!(rows, tables().count(), "the page lists a table that does not exist");
}

#[test]
fn every_table_of_the_core_has_an_example() {
    let examples = records();
    for table in tables() {
        assert!(examples.iter().any(|(_, r)| r.table == table), "{table} has no record here");
    }
}

#[test]
fn a_code_of_a_durable_event_is_read_as_it_was_written() {
    for (name, event) in durable() {
        let row = event.encode();
        assert_eq!(Durable::decode(&row).as_ref(), Ok(&event), "{name}");
        let heading = alloc::format!("| {} | `{name}` |", row[0]);
        assert!(PAGE.contains(&heading), "docs/spec/store.md lacks a row of its table of events: {heading}");
    }
    let codes = durable().map(|(_, event)| event.encode()[0]);
    assert!((0..=255).filter(|c| !codes.contains(c)).all(|c| Durable::decode(&[c, 0]).is_err()));
}
