//! Two Engines: the application of one sends private messages to the other.

use std::net::SocketAddr;

use donp_core::{Bootstrap, Config, Content, Durable, Engine, Event, Identity, Instant, NodeId, Output, WallTime};

use crate::path::Flow;

/// Bytes of a message.
const MESSAGE: usize = 16 << 10;

struct End {
    engine: Engine,
    addr: SocketAddr,
    messages: u64,
    delivered: u64,
}

pub struct Donp {
    ends: [End; 2],
    to: NodeId,
    sent: u64,
    in_flight: u64,
    text: String,
}

impl End {
    fn new(n: u8, seed: u64) -> Self {
        let mut entropy = [n; 64];
        entropy[..8].copy_from_slice(&seed.to_le_bytes());
        let identity = Identity::generate(entropy, "path", WallTime(1)).expect("64 bytes make an identity");
        let mut random = [n; 32];
        random[..8].copy_from_slice(&seed.to_le_bytes());
        let engine =
            Engine::new(Config::default(), identity, random, Instant::ZERO, WallTime(1)).expect("the defaults hold");
        Self { engine, addr: SocketAddr::from(([10, 1, 0, n], 4_000)), messages: 0, delivered: 0 }
    }

    /// A host without a disk.
    fn serve(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let (mut seq, mut datagrams) = (None, Vec::new());
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Batch(batch) => self.engine.handle_committed(now, batch.seq),
                Output::Event(Event::Durable { seq: number, event }) => {
                    seq = Some(number);
                    match event {
                        Durable::Received(_) => self.messages += 1,
                        Durable::Delivered { .. } => self.delivered += 1,
                        _ => {}
                    }
                }
                Output::Transmit(transmit) => datagrams.push(transmit.bytes),
                _ => {}
            }
        }
        if let Some(seq) = seq {
            self.engine.ack(now, seq).expect("the engine runs");
            datagrams.extend(self.serve(now));
        }
        datagrams
    }
}

impl Donp {
    /// At most `in_flight` messages are on their way. What does not arrive in a second is sent again by the layer above
    /// the link, so a slow path must not have more than that waiting.
    pub fn new(in_flight: u64, seed: u64) -> Self {
        let mut ends = [End::new(1, seed), End::new(2, seed)];
        let to = ends[1].engine.id();
        let first = Bootstrap { addr: ends[1].addr, id: Some(to) };
        ends[1].engine.join(Instant::ZERO, &[]).expect("the engine runs");
        ends[0].engine.join(Instant::ZERO, &[first]).expect("the engine runs");
        Self { ends, to, sent: 0, in_flight, text: "x".repeat(MESSAGE) }
    }
}

impl Flow for Donp {
    fn transmit(&mut self, now: u64) -> Vec<(bool, Vec<u8>)> {
        let now = Instant::from_micros(now);
        let mut all: Vec<(bool, Vec<u8>)> = Vec::new();
        for (at, end) in self.ends.iter_mut().enumerate() {
            all.extend(end.serve(now).into_iter().map(|bytes| (at == 1, bytes)));
        }
        let first = &mut self.ends[0];
        while first.engine.status().links > 0 && self.sent - first.delivered < self.in_flight {
            let sent = first.engine.send_private(now, self.to, Content::text(self.text.as_str()));
            if sent.is_err() {
                break;
            }
            self.sent += 1;
            all.extend(first.serve(now).into_iter().map(|bytes| (false, bytes)));
        }
        all
    }

    fn receive(&mut self, now: u64, second: bool, bytes: &[u8]) {
        let from = self.ends[usize::from(!second)].addr;
        self.ends[usize::from(second)].engine.handle_datagram(Instant::from_micros(now), from, bytes);
    }

    fn deadline(&mut self) -> Option<u64> {
        self.ends.iter().filter_map(|end| end.engine.next_deadline()).map(|d| d.at.as_micros()).min()
    }

    fn timeout(&mut self, now: u64) {
        self.ends.iter_mut().for_each(|end| end.engine.handle_timeout(Instant::from_micros(now)));
    }

    fn received(&self) -> u64 {
        self.ends[1].messages * MESSAGE as u64
    }
}
