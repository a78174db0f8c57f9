//! A QUIC connection of quinn's: one stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::congestion::{BbrConfig, CubicConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event, ServerConfig,
    StreamEvent, StreamId, TransportConfig, VarInt,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::path::Flow;

/// A certificate for `localhost` and its key, for nothing but this.
const CERTIFICATE: &str = include_str!("certificate.hex");
const KEY: &str = include_str!("key.hex");

#[derive(Clone, Copy)]
pub enum Controller {
    Cubic,
    Bbr,
}

struct End {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
}

pub struct Quic {
    ends: [End; 2],
    /// Of the virtual clock.
    zero: Instant,
    sends: Option<StreamId>,
    stream: Option<StreamId>,
    received: u64,
    answers: Vec<(bool, Vec<u8>)>,
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim();
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

fn addr(second: bool) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + u8::from(second)], 4_433))
}

impl Quic {
    pub fn new(controller: Controller, seed: u64) -> Self {
        let mut transport = TransportConfig::default();
        match controller {
            Controller::Cubic => transport.congestion_controller_factory(Arc::new(CubicConfig::default())),
            Controller::Bbr => transport.congestion_controller_factory(Arc::new(BbrConfig::default())),
        };
        transport.stream_receive_window(VarInt::from_u32(64 << 20));
        transport.receive_window(VarInt::from_u32(64 << 20));
        transport.send_window(64 << 20);
        let transport = Arc::new(transport);
        let certificate = CertificateDer::from(unhex(CERTIFICATE));
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(unhex(KEY)));
        let mut server = ServerConfig::with_single_cert(vec![certificate.clone()], key).expect("a certificate");
        server.transport_config(Arc::clone(&transport));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).expect("a certificate");
        let mut client = ClientConfig::with_root_certificates(Arc::new(roots)).expect("roots");
        client.transport_config(transport);
        let endpoint = |server: Option<Arc<ServerConfig>>, n: u8| {
            let mut random = [n; 32];
            random[..8].copy_from_slice(&seed.to_le_bytes());
            let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), server, true, Some(random));
            End { endpoint, connection: None }
        };
        let mut ends = [endpoint(None, 1), endpoint(Some(Arc::new(server)), 2)];
        let zero = Instant::now();
        let connection = ends[0].endpoint.connect(zero, client, addr(true), "localhost").expect("a connection");
        ends[0].connection = Some(connection);
        Self { ends, zero, sends: None, stream: None, received: 0, answers: Vec::new() }
    }

    fn at(&self, now: u64) -> Instant {
        self.zero + Duration::from_micros(now)
    }

    fn read(&mut self) {
        let Some((_, connection)) = &mut self.ends[1].connection else { return };
        while let Some(event) = connection.poll() {
            if let Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) = event {
                self.stream = self.stream.or_else(|| connection.streams().accept(Dir::Uni));
            }
        }
        let Some(id) = self.stream else { return };
        let mut stream = connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            self.received += chunk.bytes.len() as u64;
        }
        let _ = chunks.finalize();
    }
}

impl Flow for Quic {
    fn transmit(&mut self, now: u64) -> Vec<(bool, Vec<u8>)> {
        self.read();
        let at = self.at(now);
        let mut all = std::mem::take(&mut self.answers);
        for (n, end) in self.ends.iter_mut().enumerate() {
            let Some((handle, connection)) = &mut end.connection else { continue };
            if n == 0 {
                while connection.poll().is_some() {}
                if !connection.is_handshaking() {
                    self.sends = self.sends.or_else(|| connection.streams().open(Dir::Uni));
                    let Some(id) = self.sends else { continue };
                    let block = [7; 16 << 10];
                    while connection.send_stream(id).write(&block).is_ok_and(|n| n > 0) {}
                }
            }
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = end.endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            let mut buffer = Vec::new();
            while let Some(transmit) = connection.poll_transmit(at, 1, &mut buffer) {
                all.push((n == 1, buffer[..transmit.size].to_vec()));
                buffer.clear();
            }
        }
        all
    }

    fn receive(&mut self, now: u64, second: bool, bytes: &[u8]) {
        let at = self.at(now);
        let end = &mut self.ends[usize::from(second)];
        let mut buffer = Vec::new();
        let event = end.endpoint.handle(at, addr(!second), None, None, BytesMut::from(bytes), &mut buffer);
        match event {
            Some(DatagramEvent::NewConnection(incoming)) => {
                end.connection = end.endpoint.accept(incoming, at, &mut buffer, None).ok();
            }
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut end.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::Response(transmit)) => {
                self.answers.push((second, buffer[..transmit.size].to_vec()));
            }
            None => {}
        }
    }

    fn deadline(&mut self) -> Option<u64> {
        let zero = self.zero;
        let timers = self.ends.iter_mut().filter_map(|end| end.connection.as_mut()?.1.poll_timeout());
        // Rounded up: a timer is never early.
        timers.map(|at| at.saturating_duration_since(zero).as_nanos().div_ceil(1_000) as u64).min()
    }

    fn timeout(&mut self, now: u64) {
        let at = self.at(now);
        for end in &mut self.ends {
            if let Some((_, connection)) = &mut end.connection {
                connection.handle_timeout(at);
            }
        }
    }

    fn received(&self) -> u64 {
        self.received
    }
}
