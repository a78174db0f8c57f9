//! The few facts that only a system call knows.

#[cfg(unix)]
use std::io;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// Microseconds of the monotonic clock that runs on while the machine sleeps.
#[cfg(unix)]
pub(crate) fn monotonic_micros() -> u64 {
    // Apple's CLOCK_MONOTONIC follows adjustments of the wall clock; the raw one is
    // mach_continuous_time, which counts sleep. Linux counts sleep in CLOCK_BOOTTIME only.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const ID: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(target_vendor = "apple")]
    const ID: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    const ID: libc::clockid_t = libc::CLOCK_MONOTONIC;

    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid, writable timespec for the length of the call.
    let ok = unsafe { libc::clock_gettime(ID, &mut t) };
    debug_assert_eq!(ok, 0, "every supported system has this clock");
    u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0) / 1_000
}

/// The user this process acts as.
#[cfg(unix)]
pub fn own_uid() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() }
}

/// The user at the other end of a Unix socket, as the kernel knows it.
///
/// # Errors
/// When the kernel does not tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    let mut cred = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `cred` is writable and `len` is its size; the descriptor is open as `stream` lives.
    let ok = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut cred).cast(), &raw mut len)
    };
    if ok == 0 { Ok(cred.uid) } else { Err(io::Error::last_os_error()) }
}

/// The user at the other end of a Unix socket, as the kernel knows it.
///
/// # Errors
/// When the kernel does not tell.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
pub fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    use std::os::fd::AsRawFd;
    let (mut uid, mut gid) = (u32::MAX, u32::MAX);
    // SAFETY: both are writable; the descriptor is open as `stream` lives.
    let ok = unsafe { libc::getpeereid(stream.as_raw_fd(), &mut uid, &mut gid) };
    if ok == 0 { Ok(uid) } else { Err(io::Error::last_os_error()) }
}

/// User and system time this process has used, in microseconds.
#[cfg(unix)]
pub fn cpu_micros() -> u64 {
    // SAFETY: rusage is plain numbers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let us = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
    us(usage.ru_utime) + us(usage.ru_stime)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_peer_of_an_own_socket_is_oneself() {
        let (a, _b) = UnixStream::pair().unwrap();
        assert_eq!(peer_uid(&a).unwrap(), own_uid());
    }
}
