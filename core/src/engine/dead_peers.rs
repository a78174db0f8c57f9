//! What an address book of nodes that are gone costs.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Engine, Output};
use crate::config::{Config, NodeType};
use crate::id::AccountId;
use crate::identity::Identity;
use crate::store::{Record, Table};
use crate::time::{Duration, Instant, WallTime};
use crate::wire::record::NodeRecord;
use crate::wire::ticket::Bootstrap;
use crate::wire::{Blob, encode};

const NOW: WallTime = WallTime(1_769_817_600_000);

fn who(n: u16) -> Identity {
    let mut seed = [7; 64];
    seed.iter_mut().zip(n.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    Identity::generate(seed, "gone", NOW).unwrap()
}

fn addr(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([10, 9, high, low], 4_000))
}

/// A row of the address book: a node that was linked yesterday.
fn row(n: u16) -> Record {
    let peer = who(n);
    let record = NodeRecord::sign(&peer, [1; 32], 1, WallTime(u64::MAX), NodeType::Regular);
    let value = (Some(Blob(record.encode())), vec![addr(n)], None::<String>, None::<AccountId>, NOW, WallTime(0));
    Record { table: Table::of("membership", "peers").unwrap(), key: peer.node_id().0.to_vec(), value: encode(&value) }
}

/// Datagrams in each of the next `hours`.
fn hours(engine: &mut Engine, hours: u64) -> Vec<u64> {
    let mut all = Vec::new();
    let mut now = Instant::ZERO;
    for hour in 1..=hours {
        let (end, mut sent) = (Instant::ZERO + Duration::from_secs(3_600 * hour), 0);
        loop {
            while let Some(output) = engine.poll() {
                match output {
                    Output::Batch(batch) => engine.handle_committed(now, batch.seq),
                    Output::Read(request) => engine.handle_records(now, request.id, Vec::new()),
                    Output::Transmit(_) => sent += 1,
                    Output::Event(_) | Output::Answer(_) | Output::FilePart(_) | Output::Beacon(_) => {}
                }
            }
            match engine.next_deadline().map(|d| d.at).filter(|at| *at < end) {
                Some(at) => now = now.max(at),
                None => break,
            }
            engine.handle_timeout(now);
        }
        all.push(sent);
    }
    all
}

/// 46 kB a second before there was a budget, as long as the node ran: 400,000 datagrams an hour.
///
/// Mutations: `Calls::next` is none, or `Search::run` leaves the bootstraps out of it.
#[test]
fn an_address_book_of_512_dead_nodes_costs_a_call_a_minute() {
    let mut rows: Vec<Record> = (0..512).map(row).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let me = Identity::generate([9; 64], "alone", NOW).unwrap();
    let mut engine = Engine::restore(Config::default(), me, rows, [3; 32], Instant::ZERO, NOW).unwrap();
    assert_eq!(engine.peers().len(), 512);
    let bootstraps: Vec<Bootstrap> = (600..603).map(|n| Bootstrap { addr: addr(n), id: None }).collect();
    engine.join(Instant::ZERO, &bootstraps).unwrap();
    let sent = hours(&mut engine, 3);
    assert!(sent[0] > 500, "it does try: {sent:?}");
    // A call takes ten seconds: Inits, and questions for a newer record, fourteen datagrams in all.
    assert!(sent[0] <= 6_000, "{sent:?}");
    assert!(sent[1..].iter().all(|n| (60..=1_000).contains(n)), "{sent:?}");
    // The network is another one: all of it begins anew.
    engine.handle_network_change(Instant::ZERO + Duration::from_secs(3 * 3_600));
    assert!(hours(&mut engine, 4)[3] > 500);
}
