//! Two nodes find each other, prove who they are and talk, in a program with neither std nor libc:
//! its own entry point, heap and panic handler. If any crate below the core linked std, rustc would
//! refuse this with "found duplicate lang item `panic_impl`".
#![no_std]
#![no_main]

extern crate alloc;

mod platform;

use core::net::SocketAddr;

use donp_core::{
    Bootstrap, Config, Content, Durable, Engine, Event, Identity, Instant, MemoryStore, Output, Transmit, WallTime,
};
use platform::{exit, heap_used, print};

struct Device {
    engine: Engine,
    store: MemoryStore,
    addr: SocketAddr,
    messages: u32,
    delivered: u32,
}

impl Device {
    fn new(n: u8) -> Self {
        let identity = Identity::generate([n; 64], "bare", WallTime(1)).expect("the name is valid");
        let engine = Engine::new(Config::default(), identity, [n; 32], Instant::ZERO, WallTime(1));
        Self {
            engine: engine.expect("the default configuration is valid"),
            store: MemoryStore::default(),
            addr: SocketAddr::from(([127, 0, 0, 1], 4000 + u16::from(n))),
            messages: 0,
            delivered: 0,
        }
    }

    /// Takes what the engine puts out; the next datagram to pass on, if there is one.
    fn drain(&mut self, now: Instant) -> Option<Transmit> {
        loop {
            match self.engine.poll()? {
                Output::Batch(batch) => {
                    let seq = batch.seq;
                    self.store.apply(batch);
                    self.engine.handle_committed(now, seq);
                }
                Output::Read(request) => {
                    let records = self.store.scan(&request.scan);
                    self.engine.handle_records(now, request.id, records);
                }
                Output::Event(Event::Durable { event: Durable::Received(_), .. }) => self.messages += 1,
                Output::Event(Event::Durable { event: Durable::Delivered { .. }, .. }) => self.delivered += 1,
                Output::Event(_) | Output::Answer(_) | Output::FilePart(_) | Output::Beacon(_) => {}
                Output::Transmit(transmit) => return Some(transmit),
            }
        }
    }
}

/// Passes datagrams to and fro, and sleeps from deadline to deadline, until `end`.
fn talk(a: &mut Device, b: &mut Device, now: &mut Instant, end: Instant) {
    while *now < end {
        let mut quiet = true;
        if let Some(t) = a.drain(*now) {
            assert!(t.to == b.addr);
            b.engine.handle_datagram(*now, a.addr, &t.bytes);
            quiet = false;
        }
        if let Some(t) = b.drain(*now) {
            assert!(t.to == a.addr);
            a.engine.handle_datagram(*now, b.addr, &t.bytes);
            quiet = false;
        }
        if quiet {
            let next = [&a.engine, &b.engine].into_iter().filter_map(Engine::next_deadline).map(|d| d.at).min();
            *now = next.unwrap_or(end).max(*now);
            a.engine.handle_timeout(*now);
            b.engine.handle_timeout(*now);
        }
    }
}

pub extern "C" fn run() -> ! {
    let (mut a, mut b) = (Device::new(1), Device::new(2));
    let mut now = Instant::ZERO;
    a.engine.join(now, &[]).expect("a runs");
    b.engine.join(now, &[Bootstrap { addr: a.addr, id: Some(a.engine.id()) }]).expect("b runs");
    talk(&mut a, &mut b, &mut now, Instant::from_micros(5_000_000));
    assert!(a.engine.status().neighbours == 1 && b.engine.status().neighbours == 1);
    a.engine.broadcast(now, Content::text("to all")).expect("there is room");
    a.engine.send_private(now, b.engine.id(), Content::text("to you")).expect("b is known");
    talk(&mut a, &mut b, &mut now, Instant::from_micros(10_000_000));
    assert!(b.messages == 2 && a.delivered == 1);
    assert!(heap_used() < 32 << 20);
    print("nostd: two nodes met and talked without std\n");
    exit(0)
}
