//! The system's own notices of interfaces and addresses that come and go.
//!
//! Linux says so on a netlink socket (netlink(7), rtnetlink(7)). What it says is taken as a hint alone: the interfaces are
//! then read as they are. Elsewhere, and where the socket is refused, a node looks once a minute, and at once when its
//! application says that the network changed.

use mio::{Registry, Token};

/// Above the sockets and the alarm's token is the greatest.
const TOKEN: Token = Token(usize::MAX - 1);

/// What happened since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Something did.
    pub(crate) changed: bool,
    /// Interfaces that went: what was joined on them is gone, also if one with the same number is there again.
    pub(crate) gone: Vec<u32>,
    /// More happened than the system kept.
    pub(crate) lost: bool,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::io;
    use std::os::fd::{AsRawFd as _, OwnedFd};

    use mio::unix::SourceFd;
    use mio::{Interest, Registry};
    use nix::errno::Errno;
    use nix::libc::{RTM_DELLINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK};
    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    };

    use super::{Notice, TOKEN};

    /// One read: the kernel's messages are of a page at most.
    const BUFFER: usize = 8_192;
    /// Reads on one wake-up: what is left makes the next one come at once.
    const READS: usize = 64;
    /// `struct nlmsghdr` (netlink(7)): length 4, type 2, flags 2, sequence 4, port 4.
    const HEADER: usize = 16;

    pub(super) struct Socket(OwnedFd);

    impl Socket {
        pub(super) fn open(registry: &Registry) -> io::Result<Self> {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
            let groups = (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR) as u32;
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
            registry.register(&mut SourceFd(&fd.as_raw_fd()), TOKEN, Interest::READABLE)?;
            Ok(Self(fd))
        }

        /// Reads what there is. True if there may be more.
        pub(super) fn read(&self, notice: &mut Notice) -> bool {
            let mut buffer = [0; BUFFER];
            for _ in 0..READS {
                match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                    Ok(length) => {
                        notice.changed = true;
                        notice.gone.extend(gone(buffer.get(..length).unwrap_or_default()));
                    }
                    Err(Errno::EINTR) => {}
                    Err(Errno::ENOBUFS) => (notice.changed, notice.lost) = (true, true),
                    Err(_) => return false,
                }
            }
            true
        }
    }

    /// The numbers of interfaces that went, of the messages in one datagram.
    pub(super) fn gone(mut bytes: &[u8]) -> Vec<u32> {
        let mut gone = Vec::new();
        let word = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        while let Some(length) = word(bytes, 0).map(|n| n as usize).filter(|n| *n >= HEADER) {
            let kind = bytes.get(4..6).and_then(|b| Some(u16::from_ne_bytes(b.try_into().ok()?)));
            // `struct ifinfomsg` (rtnetlink(7)): family 1, padding 1, type 2, index 4.
            if kind == Some(RTM_DELLINK)
                && let Some(index) = word(bytes, HEADER + 4).filter(|_| length >= HEADER + 8)
            {
                gone.push(index);
            }
            // Each begins at a multiple of four bytes.
            bytes = bytes.get(length.div_ceil(4) * 4..).unwrap_or_default();
        }
        gone
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use super::Notice;

    pub(super) struct Socket;

    impl Socket {
        pub(super) fn open(_: &mio::Registry) -> std::io::Result<Self> {
            Err(std::io::ErrorKind::Unsupported.into())
        }

        pub(super) fn read(&self, _: &mut Notice) -> bool {
            false
        }
    }
}

/// Listens for changes of the system's interfaces.
pub(crate) struct Changes {
    socket: system::Socket,
    /// Edge-triggered readiness is reported once. At first too: what came before the registration makes no edge.
    readable: bool,
}

impl Changes {
    /// None if the system has no such notices, or gives none to this process, as Android does not.
    pub(crate) fn open(registry: &Registry) -> Option<Self> {
        match system::Socket::open(registry) {
            Ok(socket) => Some(Self { socket, readable: true }),
            Err(e) => {
                log::debug!("no notices of changed interfaces, they are polled each minute instead: {e}");
                None
            }
        }
    }

    pub(crate) fn is(token: Token) -> bool {
        token == TOKEN
    }

    pub(crate) fn set_readable(&mut self) {
        self.readable = true;
    }

    /// Whether a wake-up should happen at once because the last one did not read all.
    pub(crate) fn has_more(&self) -> bool {
        self.readable
    }

    pub(crate) fn take(&mut self) -> Notice {
        let mut notice = Notice::default();
        if self.readable {
            self.readable = self.socket.read(&mut notice);
        }
        notice
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn message(kind: u16, index: u32, length: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(length.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([0; 4]);
        bytes.extend(index.to_ne_bytes());
        bytes.resize(32, 0);
        bytes
    }

    /// Mutations: the padding between messages is not skipped; every message counts as a removal.
    #[test]
    fn removed_interfaces_are_read_from_netlink_messages() {
        let (new, deleted) = (nix::libc::RTM_NEWLINK, nix::libc::RTM_DELLINK);
        let all = [message(new, 2, 32), message(deleted, 7, 29), message(deleted, 9, 32)].concat();
        assert_eq!(system::gone(&all), [7, 9]);
        assert!(system::gone(&message(deleted, 7, 20)).is_empty(), "too short for an index");
        for cut in 0..all.len() {
            let read = system::gone(&all[..cut]);
            assert!([7, 9].starts_with(&read), "{cut}: {read:?}");
        }
        for length in [0, 1, 15, u32::MAX] {
            system::gone(&message(deleted, 7, length));
        }
    }

    /// Nothing is there at first, and nothing is left to read.
    #[test]
    fn a_system_without_changes_says_nothing() {
        let poll = mio::Poll::new().unwrap();
        let mut changes = Changes::open(poll.registry()).expect("Linux has netlink");
        let notice = changes.take();
        // Other programs may change the machine's interfaces meanwhile.
        assert!(!notice.lost);
        assert!(!changes.has_more());
        assert_eq!(changes.take(), Notice::default(), "not readable");
    }
}
