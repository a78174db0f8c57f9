//! The few facts that only a system call knows.

#![cfg(unix)]

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};

/// The monotonic clock that runs on while the machine sleeps: Linux counts sleep in `CLOCK_BOOTTIME` only. Apple's
/// `CLOCK_MONOTONIC` follows adjustments of the wall clock; the raw one is mach_continuous_time, which counts sleep.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(target_vendor = "apple")]
const CLOCK: ClockId = ClockId::from_raw(nix::libc::CLOCK_MONOTONIC_RAW);
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

/// Microseconds of [`CLOCK`].
pub(crate) fn monotonic_micros() -> u64 {
    let time = clock_gettime(CLOCK);
    debug_assert!(time.is_ok(), "every supported system has this clock");
    time.map_or(0, |t| std::time::Duration::from(t).as_micros() as u64)
}

/// The user this process acts as.
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The user at the other end of a Unix socket, as the kernel knows it.
///
/// # Errors
/// When the kernel does not tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    Ok(getsockopt(stream, PeerCredentials)?.uid())
}

/// The user at the other end of a Unix socket, as the kernel knows it.
///
/// # Errors
/// When the kernel does not tell.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    Ok(nix::unistd::getpeereid(stream)?.0.as_raw())
}

/// Whether the process at the other end of a Unix socket closed it. One that only sends nothing more did not.
pub fn is_closed(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        && fds.iter().any(|fd| fd.revents().is_some_and(|events| events.intersects(PollFlags::POLLHUP)))
}

/// Has the system back this process's memory with small pages only, from here on. An allocator that asks for huge
/// ones (2 MiB) makes each node that wakes up for one small message hold megabytes, and the kernel clear them. It
/// concerns the whole process, so it is for the program to call, at its start; without effect on systems other
/// than Linux.
pub fn no_huge_pages() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(e) = nix::sys::prctl::set_thp_disable(true) {
        log::debug!("huge pages stay on: {e}");
    }
}

/// No memory of this process is written to a core file from here on: keys lie in it. Without effect on systems other
/// than Unix. It concerns the whole process, so it is for the program to call, at its start.
pub fn no_core_dumps() {
    if let Err(e) = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0) {
        log::debug!("core dumps stay on: {e}");
    }
}

/// Opens a file that holds a secret, as OpenSSH opens its keys: it must be this user's or root's own, no other user
/// may write it, and no other user may read this user's.
///
/// # Errors
/// The file cannot be opened, or the wrong users can use it; then the kind is `PermissionDenied` and the text says what to
/// do.
pub fn open_secret(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let of = file.metadata()?;
    let (mode, owner, user) = (of.mode() & 0o777, of.uid(), nix::unistd::geteuid().as_raw());
    let why = if owner != user && owner != 0 {
        "it belongs to another user"
    } else if mode & 0o022 != 0 || (owner == user && mode & 0o044 != 0) {
        "others can read or write it; run chmod 600 on it"
    } else {
        return Ok(file);
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// User and system time this process has used, in microseconds; 0 where the system does not tell.
pub fn cpu_micros() -> u64 {
    let micros = |t: TimeVal| t.tv_sec() as u64 * 1_000_000 + t.tv_usec() as u64;
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |u| micros(u.user_time()) + micros(u.system_time()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_of_an_own_socket_is_oneself() {
        let (a, _b) = UnixStream::pair().unwrap();
        assert_eq!(peer_uid(&a).unwrap(), own_uid());
    }

    /// A client that only sends nothing more, as `nc -N`, waits for its answer.
    #[test]
    fn a_socket_is_closed_when_the_other_end_is_gone() {
        let (a, b) = UnixStream::pair().unwrap();
        assert!(!is_closed(&a));
        b.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(!is_closed(&a));
        drop(b);
        assert!(is_closed(&a));
    }

    #[test]
    fn work_is_counted_as_processor_time_and_clocks_go_on() {
        let (cpu, clock) = (cpu_micros(), monotonic_micros());
        // Some systems count ticks of 10 ms; this is seconds of work.
        let worked = (0..10_000_000u64).find(|n| std::hint::black_box(*n) % 1_000 == 0 && cpu_micros() > cpu);
        assert!(worked.is_some());
        assert!(monotonic_micros() > clock);
    }
}
