//! UDP sockets that do a bounded amount of work on each wake-up, whatever the system answers.
//!
//! A readable socket is read until it is empty or the budget of the wake-up is used; the rest is
//! read on the next one, after timers and commands had their turn. A socket that cannot send keeps
//! up to 1,024 datagrams; beyond that they are dropped and counted, as any router would.

mod addresses;
mod changes;
mod system;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use donp_core::Transmit;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::NodeError;

use addresses::Asked;
pub(crate) use addresses::{default_sources, ranked};
pub(crate) use changes::Changes;
pub(crate) use system::System;

/// Datagrams read from one socket on one wake-up: four machines in a row for each fit the engine's
/// steps per call, and at 1 µs each, timers are at most a millisecond late.
pub(crate) const READ_BUDGET: usize = 256;
/// Datagrams that wait for a socket that cannot send.
const SEND_QUEUE: usize = 1_024;
/// Asked of the system for each direction; it gives what its administrator allows.
const BUFFER_BYTES: usize = 4 << 20;
/// Reports of datagrams that were too long, until they are taken: one for each neighbour and more.
const TOO_LONG: usize = 64;
/// The most sockets a node listens on.
pub(crate) const MAX_SOCKETS: usize = 16;

/// The system's side of a socket: real ones and the scripted one of the tests.
pub(crate) trait Udp {
    /// Receives datagrams and hands `most` of them at most to `each`.
    fn receive(&mut self, most: usize, each: &mut dyn FnMut(SocketAddr, &[u8])) -> io::Result<Received>;
    /// Sends from the front of `queue` with one system call; how many datagrams it took. An error is about the
    /// first one.
    fn send(&mut self, queue: &VecDeque<Transmit>) -> io::Result<usize>;
}

/// What one call of [`Udp::receive`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Datagrams handed over.
    pub(crate) count: usize,
    /// Whether there may be more. Without it the socket was empty after these: what comes later makes a new edge.
    pub(crate) more: bool,
}

/// What happened on the sockets, beyond what the engine counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStats {
    /// Datagrams to send that were dropped because the socket was blocked for too long.
    pub send_overflow: u64,
    /// Datagrams that the system refused to send: no route, too large, forbidden.
    pub send_refused: u64,
    /// Reports of earlier datagrams that reached no socket (ICMP, `WinError 10054`). UDP promises
    /// nothing, so these are noise.
    pub noise: u64,
}

/// One socket with its send queue.
pub(crate) struct Port<U> {
    udp: U,
    queue: VecDeque<Transmit>,
    /// Datagrams in front that have their place: they wait since a flush before.
    placed: usize,
    /// The socket may have datagrams: edge-triggered readiness is reported once.
    readable: bool,
    blocked: bool,
    /// Datagrams that are longer than their interface allows: where they were to go, and their bytes.
    too_long: Vec<(SocketAddr, usize)>,
    /// Whether the system is asked to say when the socket can send. Not while it can: it would wake the node after
    /// each datagram that leaves.
    awaits_room: bool,
    stats: SocketStats,
}

impl<U: Udp> Port<U> {
    pub(crate) fn new(udp: U) -> Self {
        // Readable at first: what arrived before the registration makes no edge.
        let stats = SocketStats::default();
        Self {
            udp,
            queue: VecDeque::new(),
            placed: 0,
            readable: true,
            blocked: false,
            too_long: Vec::new(),
            awaits_room: false,
            stats,
        }
    }

    pub(crate) fn set_readable(&mut self) {
        self.readable = true;
    }

    pub(crate) fn set_writable(&mut self) {
        self.blocked = false;
    }

    /// Whether a wake-up should happen at once because the last one used its budget.
    pub(crate) fn has_more(&self) -> bool {
        self.readable
    }

    /// Whether the system has to say when it can send again.
    pub(crate) fn blocked(&self) -> bool {
        self.blocked && !self.queue.is_empty()
    }

    pub(crate) fn receive(&mut self, each: &mut dyn FnMut(SocketAddr, &[u8])) {
        let mut budget = READ_BUDGET;
        while self.readable && budget > 0 {
            match self.udp.receive(budget, each) {
                Ok(received) => {
                    self.readable = received.more && received.count > 0;
                    budget = budget.saturating_sub(received.count);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(e) if is_noise(&e) => {
                    self.stats.noise += 1;
                    budget -= 1;
                }
                // An error that would come again at once: wait until the system says otherwise.
                Err(e) => {
                    log::debug!("receive: {e}");
                    self.readable = false;
                }
            }
        }
    }

    pub(crate) fn push(&mut self, datagram: Transmit) {
        if self.queue.len() >= SEND_QUEUE {
            self.flush();
        }
        if self.queue.len() >= SEND_QUEUE {
            self.stats.send_overflow += 1;
            return;
        }
        self.queue.push_back(datagram);
    }

    /// Sends until the queue is empty or the socket blocks. Each turn takes a datagram off the queue
    /// or ends the loop, so this is bounded by the queue in every order of answers.
    pub(crate) fn flush(&mut self) {
        // The engine serves its peers in turn; side by side, what goes to one address is one call to the system. The
        // order for each address stays, and what waited from before goes first.
        self.queue.make_contiguous()[self.placed..].sort_by_key(|t| t.to);
        while !self.blocked && !self.queue.is_empty() {
            match self.udp.send(&self.queue) {
                Ok(0) => self.blocked = true,
                Ok(n) => drop(self.queue.drain(..n.min(self.queue.len()))),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
                Err(e) => {
                    // The datagram in front has had its chance, whatever the reason.
                    let refused = self.queue.pop_front();
                    if let Some(t) = refused.filter(|_| is_too_long(&e) && self.too_long.len() < TOO_LONG) {
                        self.too_long.push((t.to, t.bytes.len()));
                    }
                    if is_noise(&e) {
                        self.stats.noise += 1;
                    } else {
                        self.stats.send_refused += 1;
                    }
                }
            }
        }
        self.placed = self.queue.len();
    }

    pub(crate) fn stats(&self) -> SocketStats {
        self.stats
    }

    fn take_too_long(&mut self) -> Vec<(SocketAddr, usize)> {
        std::mem::take(&mut self.too_long)
    }
}

/// Whether a datagram was longer than its interface allows. With the flag that forbids IP fragments, which quinn-udp
/// sets, the system says so instead of cutting it.
fn is_too_long(e: &io::Error) -> bool {
    #[cfg(unix)]
    const TOO_LONG: i32 = nix::libc::EMSGSIZE;
    /// WSAEMSGSIZE.
    #[cfg(not(unix))]
    const TOO_LONG: i32 = 10_040;
    e.raw_os_error() == Some(TOO_LONG)
}

/// Whether an error reports an earlier datagram that reached no socket, or of an interruption.
fn is_noise(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable};
    matches!(e.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | Interrupted | NetworkUnreachable)
}

/// All sockets of a node.
pub(crate) struct Sockets {
    ports: Vec<(SocketAddr, Port<System>)>,
    /// With several sockets of one family: which of them an address asked.
    asked: Option<Asked>,
    no_socket: u64,
}

impl Sockets {
    /// No sockets: for a node that only reads and queues.
    pub(crate) fn none() -> Self {
        Self { ports: Vec::new(), asked: None, no_socket: 0 }
    }

    /// Binds every address in `listen`; with none given, any port of both families, where a machine
    /// without IPv6 is not an error.
    pub(crate) fn bind(listen: &[SocketAddr], registry: &Registry) -> Result<Self, NodeError> {
        let any: [SocketAddr; 2] =
            [SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)];
        let mut sockets = Self::none();
        if listen.is_empty() {
            sockets.add(any[0], registry)?;
            let port = sockets.ports.first().map_or(0, |(a, _)| a.port());
            if sockets.add(SocketAddr::new(any[1].ip(), port), registry).is_err() {
                let _ = sockets.add(any[1], registry);
            }
        }
        for &addr in listen.iter().take(MAX_SOCKETS) {
            sockets.add(addr, registry)?;
        }
        let of_v4 = sockets.local().filter(SocketAddr::is_ipv4).count();
        if of_v4 > 1 || sockets.ports.len() - of_v4 > 1 {
            sockets.asked = Some(Asked::new());
        }
        Ok(sockets)
    }

    fn add(&mut self, addr: SocketAddr, registry: &Registry) -> Result<(), NodeError> {
        // An IPv6 socket is one of IPv6 alone, so it is bound to no IPv4 address.
        let addr = match addr.ip().to_canonical() {
            IpAddr::V4(ip) => SocketAddr::from((ip, addr.port())),
            IpAddr::V6(_) => addr,
        };
        let failed = |source| NodeError::Listen { addr, source };
        let socket = open(addr).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?.as_socket().unwrap_or(addr);
        let mut system = System::new(socket).map_err(failed)?;
        registry.register(system.source(), Token(self.ports.len()), Interest::READABLE).map_err(failed)?;
        self.ports.push((local, Port::new(system)));
        Ok(())
    }

    /// What the sockets are bound to.
    pub(crate) fn local(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.ports.iter().map(|(addr, _)| *addr)
    }

    pub(crate) fn port_mut(&mut self, index: usize) -> Option<&mut Port<System>> {
        self.ports.get_mut(index).map(|(_, p)| p)
    }

    pub(crate) fn receive(&mut self, each: &mut dyn FnMut(SocketAddr, &[u8])) {
        for (n, (_, port)) in self.ports.iter_mut().enumerate() {
            match &mut self.asked {
                None => port.receive(each),
                Some(asked) => port.receive(&mut |from, bytes| {
                    asked.note(from, n);
                    each(from, bytes);
                }),
            }
        }
    }

    /// Queues a datagram on the socket that its receiver asked, or on the one that leads there best.
    pub(crate) fn push(&mut self, datagram: Transmit) {
        let asked = self.asked.as_ref().and_then(|asked| asked.socket(datagram.to));
        let socket = asked.or_else(|| {
            // A look for each datagram to an address that said nothing yet, and only if there is a choice.
            let source = self.asked.as_ref().and_then(|_| addresses::source_to(datagram.to).ok());
            addresses::leading_to(datagram.to, source, self.local())
        });
        match socket.and_then(|n| self.ports.get_mut(n)) {
            Some((_, port)) => port.push(datagram),
            None => self.no_socket += 1,
        }
    }

    /// Sends what is queued. A socket that cannot send is watched until it can, and only then.
    pub(crate) fn flush(&mut self, registry: &Registry) {
        for (n, (addr, port)) in self.ports.iter_mut().enumerate() {
            port.flush();
            let blocked = port.blocked();
            if port.awaits_room == blocked {
                continue;
            }
            let interest = if blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            match registry.reregister(port.udp.source(), Token(n), interest) {
                Ok(()) => port.awaits_room = blocked,
                // Tried again with the next flush.
                Err(e) => log::warn!("socket {addr}: {e}"),
            }
        }
    }

    /// Datagrams that were too long since the last call: where they were to go, and their bytes.
    pub(crate) fn take_too_long(&mut self) -> Vec<(SocketAddr, usize)> {
        self.ports.iter_mut().flat_map(|(_, port)| port.take_too_long()).collect()
    }

    /// Gives back what only a burst needs.
    pub(crate) fn rest(&mut self) {
        for (_, port) in &mut self.ports {
            port.udp.rest();
            if port.queue.is_empty() {
                port.queue = VecDeque::new();
            }
        }
    }

    pub(crate) fn has_more(&self) -> bool {
        self.ports.iter().any(|(_, p)| p.has_more())
    }

    pub(crate) fn blocked(&self) -> bool {
        self.ports.iter().any(|(_, p)| p.blocked())
    }

    pub(crate) fn stats(&self) -> SocketStats {
        let mut all = SocketStats { send_refused: self.no_socket, ..SocketStats::default() };
        for s in self.ports.iter().map(|(_, p)| p.stats()) {
            all.send_overflow += s.send_overflow;
            all.send_refused += s.send_refused;
            all.noise += s.noise;
        }
        all
    }

    /// Addresses others can try, best first; last one of the link for a family that has no other.
    pub(crate) fn reachable(&self, announced: &[SocketAddr]) -> Vec<SocketAddr> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let bound: Vec<_> = self.local().collect();
        addresses::reachable(announced, &bound, &ranked(interfaces, &default_sources()))
    }
}

fn open(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // IPv4 has its own socket: one family per socket, no mapped addresses.
        socket.set_only_v6(true)?;
    }
    // What cannot be had is done without.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
