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
/// Slots of one call to receive. Most of what one call takes are datagrams that the system joined in one slot; more
/// slots would save a system call in eight datagrams of different peers, and cost each node their memory.
const SLOTS: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };
/// Slots while there is no burst: an allocator clears memory that it had given out before, and then all of it is
/// backed. With one, each datagram would take a second call to learn that there is no other.
const FEW_SLOTS: usize = if SLOTS < 2 { SLOTS } else { 2 };
/// So many full calls in a row are a burst.
const BURST_CALLS: usize = 8;
/// The most bytes of one call to send: an IPv4 packet of 65,535 bytes without its headers.
const RUN_BYTES: usize = 65_507;

pub(crate) struct System {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    /// Calls in a row that filled all slots.
    full_calls: usize,
    /// Made when first needed: most nodes use one socket of the two that they have.
    buffers: Option<Buffers>,
    /// Slots that the last call filled.
    filled: usize,
    /// The next datagram to hand over: its slot and where it begins there.
    next: (usize, usize),
}

/// Memory for one system call: slots with what is in them, or the datagrams of one run.
struct Buffers {
    slots: Box<[u8]>,
    meta: [RecvMeta; SLOTS],
}

impl Buffers {
    fn new(slots: usize) -> Self {
        Self { slots: vec![0; SLOT * slots].into(), meta: [RecvMeta::default(); SLOTS] }
    }

    fn count(&self) -> usize {
        self.slots.len() / SLOT
    }
}

impl System {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        let socket = mio::net::UdpSocket::from_std(socket.into());
        // It also forbids IP fragments, and takes no notice of ICMP about the size of the path, which may be forged:
        // links find out for themselves what a path carries.
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state, full_calls: 0, buffers: None, filled: 0, next: (0, 0) })
    }

    pub(super) fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// The most datagrams that one call can send, and that the system joins: 1 where it has no GSO, or no GRO.
    #[cfg(test)]
    pub(super) fn offload(&self) -> (usize, usize) {
        (self.state.max_gso_segments(), self.state.gro_segments())
    }

    /// Gives back the memory that a burst used.
    pub(super) fn rest(&mut self) {
        let waiting = self.next.0 < self.filled;
        if !waiting && self.buffers.as_ref().is_some_and(|b| b.count() > FEW_SLOTS) {
            self.buffers = None;
        }
    }

    /// Bytes of the buffers.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.buffers.as_ref().map_or(0, |b| b.slots.len())
    }

    /// Slots that wait to be handed over, and slots that the last call filled.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.filled - self.next.0, self.filled)
    }
}

fn transmit(
    socket: &mio::net::UdpSocket,
    state: &UdpSocketState,
    destination: SocketAddr,
    contents: &[u8],
    segment_size: Option<usize>,
) -> io::Result<()> {
    let transmit = quinn_udp::Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
    socket.try_io(|| state.try_send(socket.into(), &transmit))
}

fn fill(socket: &mio::net::UdpSocket, state: &UdpSocketState, buffers: &mut Buffers) -> io::Result<usize> {
    let count = buffers.count();
    let mut slots = buffers.slots.chunks_exact_mut(SLOT);
    let mut slots: [IoSliceMut<'_>; SLOTS] = std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
    // Through `try_io`, since mio must see that a socket is empty to say later that it is not (Windows).
    socket.try_io(|| state.recv(socket.into(), &mut slots[..count], &mut buffers.meta))
}

impl Udp for System {
    fn receive(&mut self, most: usize, each: &mut dyn FnMut(SocketAddr, &[u8])) -> io::Result<Received> {
        if self.next.0 >= self.filled {
            (self.filled, self.next) = (0, (0, 0));
            let full_calls = std::mem::take(&mut self.full_calls);
            if full_calls >= BURST_CALLS && self.buffers.as_ref().is_some_and(|b| b.count() < SLOTS) {
                self.buffers = Some(Buffers::new(SLOTS));
            }
            match &mut self.buffers {
                Some(buffers) => self.filled = fill(&self.socket, &self.state, buffers)?,
                None => {
                    let mut buffers = Buffers::new(FEW_SLOTS);
                    // On an error they go again: the socket may never receive anything.
                    self.filled = fill(&self.socket, &self.state, &mut buffers)?;
                    self.buffers = Some(buffers);
                }
            }
            let full = self.buffers.as_ref().is_some_and(|b| b.count() == self.filled);
            self.full_calls = if full { full_calls.saturating_add(1) } else { 0 };
        }
        let Some(buffers) = &self.buffers else { return Ok(Received { count: 0, more: false }) };
        let mut count = 0;
        while count < most && self.next.0 < self.filled {
            let (slot, begin) = self.next;
            let meta = &buffers.meta[slot];
            let bytes = &buffers.slots[slot * SLOT..][..meta.len.min(SLOT)];
            // An empty datagram has a stride of zero.
            let end = bytes.len().min(begin + meta.stride.max(1));
            each(meta.addr, &bytes[begin..end]);
            count += 1;
            self.next = if end == bytes.len() { (slot + 1, 0) } else { (slot, end) };
        }
        // Fewer than there was room for: the socket was empty. Where one call takes one datagram this never tells.
        let more = self.next.0 < self.filled || self.filled == buffers.count();
        Ok(Received { count, more })
    }

    fn send(&mut self, queue: &VecDeque<Transmit>) -> io::Result<usize> {
        let Some(first) = queue.front() else { return Ok(0) };
        let count = run_len(queue, self.state.max_gso_segments());
        if count > 1 {
            // Where datagrams are received, unless some of them wait there.
            let waiting = self.next.0 < self.filled;
            let mut spare = None;
            let buffers = if waiting { &mut spare } else { &mut self.buffers };
            let buffers = buffers.get_or_insert_with(|| Buffers::new(FEW_SLOTS));
            let mut end = 0;
            for datagram in queue.iter().take(count) {
                buffers.slots[end..][..datagram.bytes.len()].copy_from_slice(&datagram.bytes);
                end += datagram.bytes.len();
            }
            let run = &buffers.slots[..end];
            let sent = transmit(&self.socket, &self.state, first.to, run, Some(first.bytes.len()));
            match sent {
                Ok(()) => return Ok(count),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(e),
                // A device without GSO, which quinn-udp remembers, or a datagram that the system refuses: sent alone,
                // the error is about the first one.
                Err(_) => {}
            }
        }
        transmit(&self.socket, &self.state, first.to, &first.bytes, None).map(|()| 1)
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
