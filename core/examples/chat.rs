//! A chat of two nodes without sockets: what a host does for an engine, in sixty lines.
//!
//! `cargo run -p donp-core --example chat`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    reason = "an example of a program"
)]

use std::net::SocketAddr;

use donp_core::{
    Bootstrap, Config, Content, Durable, Engine, Event, Identity, Instant, MemoryStore, Output, Transmit, WallTime,
};

struct Host {
    name: &'static str,
    addr: SocketAddr,
    engine: Engine,
    store: MemoryStore,
}

impl Host {
    fn new(n: u8, name: &'static str) -> Self {
        // A real host takes both from the system's randomness, and keeps the identity.
        let identity = Identity::generate([n; 64], name, WallTime(0)).unwrap();
        let engine = Engine::new(Config::default(), identity, [n; 32], Instant::ZERO, WallTime(0)).unwrap();
        Self { name, addr: SocketAddr::from(([10, 0, 0, n], 4000)), engine, store: MemoryStore::default() }
    }

    /// Does what the engine wants done; gives what is to be sent.
    fn drain(&mut self, now: Instant) -> Vec<Transmit> {
        let mut transmits = Vec::new();
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Batch(batch) => {
                    let seq = batch.seq;
                    self.store.apply(batch);
                    self.engine.handle_committed(now, seq);
                }
                Output::Read(request) => {
                    let records = self.store.scan(&request.scan);
                    self.engine.handle_records(now, request.id, records);
                }
                Output::Event(Event::Durable { seq, event }) => {
                    if let Durable::Received(message) = event {
                        println!("{} reads: {}", self.name, message.content.shown());
                    }
                    self.engine.ack(now, seq).unwrap();
                }
                Output::Transmit(transmit) => transmits.push(transmit),
                Output::Event(Event::Volatile(_)) | Output::Answer(_) | Output::FilePart(_) | Output::Beacon(_) => {}
            }
        }
        transmits
    }
}

fn main() {
    let mut hosts = [Host::new(1, "alice"), Host::new(2, "bob")];
    let (mut now, alice) = (Instant::ZERO, Bootstrap { addr: hosts[0].addr, id: None });
    hosts[0].engine.join(now, &[]).unwrap();
    hosts[1].engine.join(now, &[alice]).unwrap();
    hosts[0].engine.broadcast(now, Content::text("hello, whoever comes")).unwrap();
    hosts[1].engine.broadcast(now, Content::text("hello, I am on my way")).unwrap();
    for _ in 0..200 {
        for from in 0..hosts.len() {
            let source = hosts[from].addr;
            for datagram in hosts[from].drain(now) {
                if let Some(to) = hosts.iter_mut().find(|h| h.addr == datagram.to) {
                    to.engine.handle_datagram(now, source, &datagram.bytes);
                }
            }
        }
        // A socket would sleep until the next datagram or deadline.
        now = hosts.iter().filter_map(|h| h.engine.next_deadline()).map(|d| d.at).min().unwrap().max(now);
        hosts.iter_mut().for_each(|h| h.engine.handle_timeout(now));
    }
}
