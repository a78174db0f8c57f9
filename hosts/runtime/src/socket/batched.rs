//! Up to 32 datagrams for one system call (recvmmsg, sendmmsg), and the kernel's count of what it
//! had to drop.

use std::collections::VecDeque;
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use donp_core::Transmit;
use socket2::{SockAddr, SockAddrStorage, Socket};

use super::plain::MAX_PAYLOAD;
use super::{Received, Udp};

/// Datagrams for one system call.
const BATCH: usize = 32;
/// No datagram of this protocol is longer than 1,200 bytes; a longer one is cut here, fails its
/// checks and is counted. Room for more is left for later path MTU discovery.
const SLOT: usize = 2_048;
const _: () = assert!(SLOT < MAX_PAYLOAD);
/// Room for one 4-byte control message and its header.
const CONTROL: usize = 64;

/// Aligned as control messages are.
#[repr(align(16))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

pub(crate) struct Batched {
    socket: mio::net::UdpSocket,
    payloads: Box<[[u8; SLOT]; BATCH]>,
    from: Box<[SockAddrStorage; BATCH]>,
    control: Box<[Control; BATCH]>,
    /// The kernel counts in 32 bits and wraps.
    last_overflow: u32,
    overflow: u64,
}

impl Batched {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self {
            socket: mio::net::UdpSocket::from_std(socket.into()),
            payloads: Box::new([[0; SLOT]; BATCH]),
            from: Box::new(std::array::from_fn(|_| SockAddrStorage::zeroed())),
            control: Box::new([Control([0; CONTROL]); BATCH]),
            last_overflow: 0,
            overflow: 0,
        })
    }

    pub(super) fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }
}

impl Udp for Batched {
    fn receive(&mut self, each: &mut dyn FnMut(SocketAddr, &[u8])) -> io::Result<Received> {
        let mut parts: [MaybeUninit<libc::iovec>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
        // SAFETY: mmsghdr is numbers and pointers, for which all zeros is a value.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        for (n, header) in headers.iter_mut().enumerate() {
            let part = parts[n].write(libc::iovec { iov_base: self.payloads[n].as_mut_ptr().cast(), iov_len: SLOT });
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut self.from[n]).cast();
            header.msg_hdr.msg_namelen = self.from[n].size_of();
            header.msg_hdr.msg_control = self.control[n].0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        // SAFETY: every header points to one buffer, one address and one control area of this
        // object, each as long as stated and each used by one header only; all outlive the call.
        let got = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        let got = (got as usize).min(BATCH);
        for (n, header) in headers.iter().take(got).enumerate() {
            if let Some(count) = dropped(&header.msg_hdr) {
                self.overflow += u64::from(count.wrapping_sub(self.last_overflow));
                self.last_overflow = count;
            }
            let from = std::mem::replace(&mut self.from[n], SockAddrStorage::zeroed());
            // SAFETY: the kernel wrote an address of this length there.
            let from = unsafe { SockAddr::new(from, header.msg_hdr.msg_namelen) };
            let len = (header.msg_len as usize).min(SLOT);
            if let Some(from) = from.as_socket() {
                each(from, &self.payloads[n][..len]);
            }
        }
        // Fewer than asked for means that there are no more, but not for sure: an error may have
        // ended the batch. Only the system's own `EAGAIN` says so.
        if got == 0 { Ok(Received::Empty) } else { Ok(Received::Some(got)) }
    }

    fn send(&mut self, queue: &VecDeque<Transmit>) -> io::Result<usize> {
        let mut parts: [MaybeUninit<libc::iovec>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
        let mut to: [MaybeUninit<SockAddr>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
        // SAFETY: mmsghdr is numbers and pointers, for which all zeros is a value.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        let mut count = 0;
        for (n, datagram) in queue.iter().take(BATCH).enumerate() {
            let addr = to[n].write(datagram.to.into());
            let part = parts[n].write(libc::iovec {
                iov_base: datagram.bytes.as_ptr().cast_mut().cast(),
                iov_len: datagram.bytes.len(),
            });
            headers[n].msg_hdr.msg_iov = part;
            headers[n].msg_hdr.msg_iovlen = 1;
            headers[n].msg_hdr.msg_name = addr.as_ptr().cast_mut().cast();
            headers[n].msg_hdr.msg_namelen = addr.len();
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        // SAFETY: the first `count` headers point to one payload and one address each, which the
        // kernel only reads; all outlive the call.
        let sent =
            unsafe { libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }

    fn overflow(&self) -> u64 {
        self.overflow
    }
}

/// The kernel's running count of dropped datagrams, if it came along (`SO_RXQ_OVFL`).
fn dropped(header: &libc::msghdr) -> Option<u32> {
    // SAFETY: the header came from recvmmsg, so its control area and length describe whole control
    // messages that the kernel wrote.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while !at.is_null() {
            if (*at).cmsg_level == libc::SOL_SOCKET && (*at).cmsg_type == libc::SO_RXQ_OVFL {
                return Some(libc::CMSG_DATA(at).cast::<u32>().read_unaligned());
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
    None
}
