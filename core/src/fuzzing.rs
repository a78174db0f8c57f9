//! Entry points for fuzzers and for the replay of their corpora. Not part of the public face.

pub mod liar;
pub mod seeds;

use alloc::format;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::config::Config;
use crate::contract::{Contract, Draw, check, who};
use crate::discovery::beacon::{Beacon, beacon_key};
use crate::engine::Engine;
use crate::engine::{Durable, Event, Output};
use crate::store::{Batch, MemoryStore, Op, Record, Table};
use crate::time::{Instant, WallTime};
use crate::wire::content::network_conversation;
use crate::wire::content::{Content, Conversation};
use crate::wire::entry::Run;
use crate::wire::record::NodeRecord;
use crate::wire::ticket::{Bootstrap, Ticket};
use crate::wire::{Blob, MAX_MESSAGE, decode, encode};
use crate::{chat, delivery, membership};

/// A fuzz target: panics if a law is broken.
pub type Target = fn(&[u8]);

/// Every target by name; the names of the folders in tests/fuzz/corpus.
pub fn targets() -> Vec<(&'static str, Target)> {
    OTHERS.iter().copied().chain(crate::engine::CONTRACTS).collect()
}

/// The targets that are not the contract of a machine.
const OTHERS: &[(&str, Target)] = &[
    ("record", record),
    ("ticket", ticket),
    ("event_row", event_row),
    ("membership_message", membership_message),
    ("beacon", beacon),
    ("session_message", session_message),
    ("group_message", group_message),
    ("file_message", file_message),
    ("authentication_message", authentication_message),
    ("safety_code", safety_code),
    ("device_message", device_message),
    ("device_chain", device_chain),
    ("register_message", register_message),
    ("delivery_message", delivery_message),
    ("chat_message", chat_message),
    ("chat_run", chat_run),
    ("link_packet", crate::link::fuzz::fuzz_packet),
    ("link_frames", crate::link::fuzz::fuzz_frames),
    ("link_pair", crate::link::fuzz::fuzz_link),
    ("link_peer", crate::link::fuzz::fuzz_peer),
    ("swim_message", swim_message),
    ("restore", restore),
    ("engines", engines),
];

/// For each machine the inputs that the contract suite does not draw, and the types of the commands that it draws.
pub fn drawn() -> Vec<(&'static str, Vec<&'static str>, Vec<&'static str>)> {
    let all = crate::engine::DRAWS.iter().map(|(name, drawn)| (*name, drawn()));
    all.map(|(name, drawn)| (name, drawn.lacks, drawn.commands.into_iter().collect())).collect()
}

/// Each machine, and whether it has a deadline after anything that the contract suite draws.
pub fn deadlines() -> Vec<(&'static str, bool)> {
    crate::engine::DRAWS.iter().map(|(name, drawn)| (*name, drawn().has_deadline)).collect()
}

/// Runs the target with this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = targets().into_iter().find(|(n, _)| *n == name);
    assert!(target.is_some(), "there is no fuzz target {name}");
    if let Some((_, target)) = target {
        target(bytes);
    }
}

/// What a host without a disk does after each call: commits at once and answers reads. Gives the rest.
fn serve(engine: &mut Engine, store: &mut MemoryStore, now: Instant) -> Vec<Output> {
    let mut rest = Vec::new();
    while let Some(output) = engine.poll() {
        match output {
            Output::Batch(batch) => {
                let seq = batch.seq;
                store.apply(batch);
                engine.handle_committed(now, seq);
            }
            Output::Read(request) => {
                let records = store.scan(&request.scan);
                engine.handle_records(now, request.id, records);
            }
            Output::Event(_) | Output::Answer(_) | Output::FilePart(_) | Output::Transmit(_) | Output::Beacon(_) => {
                rest.push(output)
            }
        }
    }
    rest
}

/// The contract of a machine; the same bytes give the same transcript (law 2).
pub(crate) fn machine<M: Contract>(bytes: &[u8]) {
    let result = check::<M>(bytes);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(result, check::<M>(bytes), "{}: law 2", M::NAME);
}

fn record(bytes: &[u8]) {
    if let Ok(record) = NodeRecord::decode_unverified(bytes) {
        assert_eq!(record.encode(), bytes);
    }
    assert!(NodeRecord::decode(bytes).is_ok_and(|r| r.encode() == bytes) || NodeRecord::decode(bytes).is_err());
}

fn ticket(bytes: &[u8]) {
    for text in [core::str::from_utf8(bytes).unwrap_or_default(), &crate::id::with_checksum('t', bytes)] {
        if let Ok(ticket) = text.parse::<Ticket>() {
            assert_eq!(ticket.text().parse(), Ok(ticket));
        }
    }
}

fn event_row(bytes: &[u8]) {
    if let Some(Event::Durable { event, .. }) = Event::from_row(&[0; 8], bytes) {
        assert_eq!(Durable::decode(&event.encode()), Ok(event));
    }
}

fn membership_message(bytes: &[u8]) {
    if let Ok(message) = decode::<membership::wire::Message>(bytes, MAX_MESSAGE) {
        assert_eq!(decode(&encode(&message), MAX_MESSAGE), Ok(message));
    }
}

fn beacon(bytes: &[u8]) {
    let key = beacon_key(&[0; 32]);
    if let Ok(beacon) = Beacon::decode(bytes, &key) {
        assert_eq!(beacon.encode(&key), bytes);
    }
    // No fuzzer finds the tag of the network by itself, so this puts the right one behind what it has.
    let sealed = Beacon::seal(bytes.to_vec(), &key);
    if let Ok(beacon) = Beacon::decode(&sealed, &key) {
        assert_eq!(beacon.encode(&key), sealed);
    }
}

fn session_message(bytes: &[u8]) {
    if let Ok(message) = crate::session::wire::Message::decode(bytes) {
        assert_eq!(message.encode(), bytes);
    }
}

fn group_message(bytes: &[u8]) {
    if let Ok(message) = decode::<crate::group::wire::Message>(bytes, MAX_MESSAGE) {
        assert_eq!(decode(&encode(&message), MAX_MESSAGE), Ok(message.clone()));
        if let crate::group::wire::Message::Ops { ops, .. } = message {
            for op in ops.iter().filter_map(|Blob(op)| crate::group::op::Operation::decode(op).ok()) {
                assert_eq!(crate::group::op::Operation::decode(&op.bytes).as_ref(), Ok(&op));
            }
        }
    }
}

fn file_message(bytes: &[u8]) {
    if let Ok(message) = crate::file::wire::Message::decode(bytes) {
        assert_eq!(crate::file::wire::Message::decode(&message.encode()), Ok(message));
    }
}

fn authentication_message(bytes: &[u8]) {
    if let Ok(message) = crate::authentication::wire::Message::decode(bytes) {
        assert_eq!(message.encode(), bytes);
    }
}

fn device_message(bytes: &[u8]) {
    if let Ok(message) = decode::<crate::device::wire::Message>(bytes, crate::device::wire::MAX_BYTES) {
        assert_eq!(decode(&encode(&message), crate::device::wire::MAX_BYTES), Ok(message));
    }
    if let Ok(message) = decode::<crate::device::wire::Private>(bytes, crate::device::wire::MAX_BYTES) {
        assert_eq!(decode(&encode(&message), crate::device::wire::MAX_BYTES), Ok(message));
    }
}

fn register_message(bytes: &[u8]) {
    use crate::register::wire::{MAX_BYTES, Message};
    if let Ok(message) = decode::<Message>(bytes, MAX_BYTES) {
        assert_eq!(decode(&encode(&message), MAX_BYTES), Ok(message));
    }
}

/// A chain of lists: read whole, and as one of which another is known.
fn device_chain(bytes: &[u8]) {
    use crate::wire::devices::Chain;
    let known = Chain::begin(&crate::contract::who(1));
    let (read, again) = (Chain::decode(bytes, None), Chain::decode(bytes, Some(&known)));
    assert_eq!(read, again);
    if let Ok(chain) = read {
        assert_eq!(chain.encode(), bytes);
        assert_eq!(chain.rank(&known), known.rank(&chain).reverse());
    }
}

/// A code that was scanned, and one with the right checksum behind what the fuzzer has.
fn safety_code(bytes: &[u8]) {
    let sealed = crate::id::with_checksum('s', bytes);
    for text in [core::str::from_utf8(bytes).unwrap_or_default(), &sealed] {
        if let Ok((own, other)) = crate::contacts::read_code(text) {
            assert_eq!(crate::contacts::SafetyNumber::code_of(&own, &other), text.trim().to_ascii_lowercase());
        }
    }
}

fn delivery_message(bytes: &[u8]) {
    if let Ok(message) = delivery::wire::Message::decode(bytes) {
        assert_eq!(message.encode(), bytes);
    }
}

fn swim_message(bytes: &[u8]) {
    if let Ok(message) = crate::swim::wire::Message::decode(bytes) {
        assert_eq!(crate::swim::wire::Message::decode(&message.encode()), Ok(message));
    }
}

fn chat_message(bytes: &[u8]) {
    if let Ok(message) = decode::<chat::wire::Sync>(bytes, MAX_MESSAGE) {
        assert_eq!(decode(&encode(&message), MAX_MESSAGE), Ok(message));
    }
}

fn chat_run(bytes: &[u8]) {
    let conversation = network_conversation(&[0; 32]);
    if let Ok(run) = Run::decode_signed(conversation, bytes.to_vec()) {
        assert_eq!(run.bytes, bytes);
        assert!(run.entries.is_sorted_by(|a, b| a.id < b.id));
        let genuine = run.is_genuine(conversation);
        let bare = run.clone().without_bodies();
        assert_eq!(bare.as_ref().map(|b| (b.last(), b.is_genuine(conversation))), Ok((run.last(), genuine)));
    }
    if let Ok(run) = Run::decode_plain(conversation, bytes.to_vec()) {
        let bare = run.clone().without_bodies().map(|bare| bare.last());
        assert_eq!(bare, Ok(run.last()));
    }
}

/// A store is an input like the wire: any records are read or refused.
fn restore(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let mut records = Vec::new();
    while !draw.is_empty() {
        let table = Table::from_byte(draw.byte());
        let key = match draw.below(4) {
            0 => b"static".to_vec(),
            1 => draw.peer().0.to_vec(),
            2 => [draw.peer().0, draw.peer().0].concat(),
            _ => draw.bytes(),
        };
        records.push(Record { table, key, value: draw.bytes() });
    }
    let ops = records.iter().cloned().map(|r| Op::Put { table: r.table, key: r.key, value: r.value }).collect();
    let mut store = MemoryStore::default();
    store.apply(Batch { seq: 0, ops });
    let restored = Engine::restore(Config::default(), who(0), records, [1; 32], Instant::ZERO, WallTime(1));
    let Ok(mut engine) = restored else { return };
    // What it was given must carry it through a life: it enters, speaks, and waits for an hour.
    for second in [0u64, 1, 2, 10, 60, 3_600] {
        let now = Instant::from_micros(second.saturating_mul(1_000_000).saturating_add(1));
        engine.handle_timeout(now);
        drop(engine.join(now, &[]));
        drop(engine.broadcast(now, Content::text(format!("{second}"))));
        drop(engine.history(now, Conversation::Network, None, 10));
        for _ in 0..1_000 {
            if engine.next_deadline().is_none_or(|d| d.at > now || d.why != "queued") {
                break;
            }
            drop(serve(&mut engine, &mut store, now));
            engine.handle_timeout(now);
        }
        assert!(engine.next_deadline().is_none_or(|d| d.at > now || d.why != "queued"), "never at rest");
        assert!(engine.footprint() < 100_000, "it holds too much");
    }
}

/// Two nodes with a man in the middle that drops, repeats, changes and invents datagrams. However
/// it does so, nothing is reported twice and no invented message is taken.
fn engines(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let addr = |n: usize| SocketAddr::from(([10, 0, 0, n as u8], 4_000));
    let mut now = Instant::from_micros(1);
    let mut nodes: Vec<(Engine, MemoryStore)> = Vec::new();
    for n in 0..2u8 {
        let made = Engine::new(Config::default(), who(n), [n; 32], now, WallTime(1_000));
        nodes.extend(made.ok().map(|engine| (engine, MemoryStore::default())));
    }
    let mut mail: Vec<(usize, SocketAddr, Vec<u8>)> = Vec::new();
    let (mut said, mut told) = (Vec::new(), Vec::new());
    // The last event that each reported; after a restart those not acknowledged come again.
    let mut heard = [0u64; 2];
    let mut step = 0u32;
    while !draw.is_empty() && step < 2_000 {
        step = step.wrapping_add(1);
        let what = draw.byte();
        let n = usize::from(what & 1);
        let other = 1usize.wrapping_sub(n);
        let Some((engine, _)) = nodes.get_mut(n) else { return };
        match what >> 5 {
            0 => match what >> 1 & 3 {
                0 => drop(engine.join(now, &[Bootstrap { addr: addr(other), id: None }])),
                1 => drop(engine.join(now, &[])),
                2 => engine.leave(now),
                _ => engine.handle_network_change(now),
            },
            1 => match what >> 1 & 3 {
                2 => drop(engine.history(now, Conversation::Network, None, u32::from(what >> 3))),
                3 => {
                    let last = heard.get(n).copied().unwrap_or(0);
                    assert!(last == 0 || engine.ack(now, last).is_ok(), "what was told can be acknowledged");
                }
                _ => said.extend(engine.broadcast(now, Content::text(format!("{step}")))),
            },
            2 => said.extend(engine.send_private(now, who(other as u8).node_id(), Content::text(format!("{step}")))),
            3 => {
                if let Some((to, from, mut bytes)) = mail.pop() {
                    let at = usize::from(draw.byte());
                    let flip = draw.byte();
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= flip;
                    }
                    if let Some((engine, _)) = nodes.get_mut(to) {
                        engine.handle_datagram(now, from, &bytes);
                    }
                    if what & 2 == 0 {
                        mail.push((to, from, bytes));
                    }
                }
            }
            4 => engine.handle_datagram(now, draw.addr(), &draw.bytes()),
            5 => {
                now = now + Duration::from_millis(u64::from(draw.byte()).saturating_mul(20));
                nodes.iter_mut().for_each(|(e, _)| e.handle_timeout(now));
            }
            6 => {
                for (to, from, bytes) in core::mem::take(&mut mail) {
                    if let Some((engine, _)) = nodes.get_mut(to) {
                        engine.handle_datagram(now, from, &bytes);
                    }
                }
            }
            _ => {
                // The power fails, and comes back.
                if let Some((engine, store)) = nodes.get_mut(n) {
                    let (seed, wall) = ([what.wrapping_add(draw.byte()); 32], WallTime(1_000));
                    let again = Engine::restore(Config::default(), who(n as u8), store.hot(), seed, now, wall);
                    assert!(again.is_ok(), "what a node stored it can read");
                    again.into_iter().for_each(|e| *engine = e);
                }
            }
        }
        for (n, (engine, store)) in nodes.iter_mut().enumerate() {
            for output in serve(engine, store, now) {
                match output {
                    Output::Event(Event::Durable { seq, event: Durable::Received(m) }) => {
                        if let Some(last) = heard.get_mut(n).filter(|last| seq > **last) {
                            *last = seq;
                            told.push((n, m.id));
                        }
                    }
                    Output::Transmit(t) => {
                        if let Some(to) = (0..2).find(|k| addr(*k) == t.to) {
                            mail.push((to, addr(n), t.bytes));
                        }
                    }
                    Output::Event(_)
                    | Output::Answer(_)
                    | Output::FilePart(_)
                    | Output::Beacon(_)
                    | Output::Batch(_)
                    | Output::Read(_) => {}
                }
            }
            assert!(engine.footprint() < 100_000);
            #[cfg(any(test, debug_assertions))]
            assert_eq!(engine.check(), Ok(()));
        }
        mail.truncate(500);
    }
    let all = told.len();
    assert!(told.iter().all(|(_, id)| said.contains(id)), "a message was invented");
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), all, "told twice");
}
