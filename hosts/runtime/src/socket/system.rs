//! A socket of the system, through quinn-udp: equal datagrams to one address leave in one system call (GSO), and
//! datagrams that the system joined come in one (GRO). Where the system has neither, one call takes one datagram.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use donp_core::Transmit;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket2::Socket;

use super::{Received, Udp};

/// One receive buffer: the largest UDP payload there is, which is also the most that a system joins. Windows
/// reports a datagram that does not fit as an error. Pages that nothing was received into take no memory.
const SLOT: usize = 1 << 16;
/// The most bytes of one call to send: an IPv4 packet of 65,535 bytes without its headers.
const RUN_BYTES: usize = 65_507;

pub(crate) struct System {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    /// `BATCH_SIZE` slots.
    slots: Vec<u8>,
    /// What is in the slots.
    meta: [RecvMeta; BATCH_SIZE],
    /// Slots that the last call filled.
    filled: usize,
    /// The next datagram to hand over: its slot and where it begins there.
    next: (usize, usize),
    /// Datagrams of one call to send, one after the other.
    run: Vec<u8>,
}

impl System {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        let socket = mio::net::UdpSocket::from_std(socket.into());
        // It also forbids IP fragments, and takes no notice of ICMP about the size of the path, which may be forged:
        // links find out for themselves what a path carries.
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self {
            socket,
            state,
            slots: vec![0; SLOT * BATCH_SIZE],
            meta: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
            next: (0, 0),
            run: Vec::new(),
        })
    }

    pub(super) fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// The most datagrams that one call can send, and that the system joins: 1 where it has no GSO, or no GRO.
    #[cfg(test)]
    pub(super) fn offload(&self) -> (usize, usize) {
        (self.state.max_gso_segments(), self.state.gro_segments())
    }

    /// Slots that wait to be handed over, and slots that the last call filled.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.filled - self.next.0, self.filled)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut slots = self.slots.chunks_exact_mut(SLOT);
        let mut slots: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        // Through `try_io`, since mio must see that a socket is empty to say later that it is not (Windows).
        self.socket.try_io(|| self.state.recv((&self.socket).into(), &mut slots, &mut self.meta))
    }

    fn transmit(&self, destination: SocketAddr, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        self.socket.try_io(|| self.state.try_send((&self.socket).into(), &transmit))
    }
}

impl Udp for System {
    fn receive(&mut self, most: usize, each: &mut dyn FnMut(SocketAddr, &[u8])) -> io::Result<Received> {
        if self.next.0 >= self.filled {
            (self.filled, self.next) = (0, (0, 0));
            self.filled = self.fill()?;
        }
        let mut count = 0;
        while count < most && self.next.0 < self.filled {
            let (slot, begin) = self.next;
            let meta = &self.meta[slot];
            let bytes = &self.slots[slot * SLOT..][..meta.len.min(SLOT)];
            // An empty datagram has a stride of zero.
            let end = bytes.len().min(begin + meta.stride.max(1));
            each(meta.addr, &bytes[begin..end]);
            count += 1;
            self.next = if end == bytes.len() { (slot + 1, 0) } else { (slot, end) };
        }
        // Fewer than there was room for: the socket was empty. Where one call takes one datagram this never tells.
        let more = self.next.0 < self.filled || self.filled == BATCH_SIZE;
        Ok(Received { count, more })
    }

    fn send(&mut self, queue: &VecDeque<Transmit>) -> io::Result<usize> {
        let Some(first) = queue.front() else { return Ok(0) };
        let count = run_len(queue, self.state.max_gso_segments());
        if count > 1 {
            self.run.clear();
            queue.iter().take(count).for_each(|t| self.run.extend_from_slice(&t.bytes));
            match self.transmit(first.to, &self.run, Some(first.bytes.len())) {
                Ok(()) => return Ok(count),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(e),
                // A device without GSO, which quinn-udp remembers, or a datagram that the system refuses: sent alone,
                // the error is about the first one.
                Err(_) => {}
            }
        }
        self.transmit(first.to, &first.bytes, None).map(|()| 1)
    }
}

/// How many datagrams from the front go in one call: all to one address and as long as the first, the last of them
/// perhaps shorter.
pub(super) fn run_len(queue: &VecDeque<Transmit>, most: usize) -> usize {
    let Some(first) = queue.front() else { return 0 };
    let len = first.bytes.len();
    let (mut count, mut bytes) = (1, len);
    for datagram in queue.iter().take(most).skip(1) {
        let fits = datagram.to == first.to && !datagram.bytes.is_empty() && datagram.bytes.len() <= len;
        bytes += datagram.bytes.len();
        if !fits || bytes > RUN_BYTES {
            break;
        }
        count += 1;
        if datagram.bytes.len() < len {
            break;
        }
    }
    count
}
