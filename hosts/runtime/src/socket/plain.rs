//! One system call for each datagram: every system has this.

#![cfg_attr(any(target_os = "linux", target_os = "android"), allow(dead_code, reason = "these systems have batches"))]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use donp_core::Transmit;
use socket2::Socket;

use super::{Received, Udp};

/// The largest UDP payload there is.
pub(super) const MAX_PAYLOAD: usize = 65_535;

pub(crate) struct Plain {
    socket: mio::net::UdpSocket,
    buffer: Vec<u8>,
}

impl Plain {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        let socket = mio::net::UdpSocket::from_std(socket.into());
        Ok(Self { socket, buffer: vec![0; MAX_PAYLOAD] })
    }

    pub(super) fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }
}

impl Udp for Plain {
    fn receive(&mut self, each: &mut dyn FnMut(SocketAddr, &[u8])) -> io::Result<Received> {
        let (len, from) = self.socket.recv_from(&mut self.buffer)?;
        each(from, self.buffer.get(..len).unwrap_or_default());
        Ok(Received::Some(1))
    }

    fn send(&mut self, queue: &VecDeque<Transmit>) -> io::Result<usize> {
        match queue.front() {
            Some(t) => self.socket.send_to(&t.bytes, t.to).map(|_| 1),
            None => Ok(0),
        }
    }

    fn overflow(&self) -> u64 {
        0
    }
}

/// Options that help where the system has them; none is needed.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn set_options(socket: &Socket, v6: bool) {
    use std::os::fd::AsRawFd;
    let set = |level, name, value: libc::c_int| {
        // SAFETY: `value` is an int for the length of the call and the descriptor is open.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                name,
                (&raw const value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
    };
    set(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1);
    // Datagrams of 1,200 bytes cross every path; one that would be cut into pieces is better refused.
    // PROBE sets the don't-fragment bit and ignores what forged ICMP says about the path.
    if v6 {
        set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE);
    } else {
        set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE);
    }
}

/// Options that help where the system has them; none is needed.
#[cfg(windows)]
pub(super) fn set_options(_socket: &Socket, _v6: bool) {
    // Windows reports ICMP errors of earlier datagrams as WinError 10054 on the next receive; the
    // port counts that as noise and goes on, so SIO_UDP_CONNRESET need not be turned off.
}

/// Options that help where the system has them; none is needed.
#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
pub(super) fn set_options(_socket: &Socket, _v6: bool) {}
