//! What the sockets alone do: datagrams of 64 bytes from one thread to another over loopback, by the system calls
//! that a node could use.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use donp_runtime::os;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

const BYTES: usize = 64;
const RUN: usize = 32;
/// Datagrams of each way to send.
const COUNT: usize = 640_000;
const SLOT: usize = 1 << 16;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let buffers = socket2::SockRef::from(&socket);
    let _ = buffers.set_recv_buffer_size(4 << 20);
    let _ = buffers.set_send_buffer_size(4 << 20);
    socket
}

/// Reads until `stop`; how many datagrams came.
fn read(socket: &UdpSocket, stop: &AtomicBool) -> usize {
    let state = UdpSocketState::new(socket.into()).expect("a socket");
    socket.set_nonblocking(false).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    let mut bytes = vec![0; SLOT * BATCH_SIZE];
    let mut meta = [RecvMeta::default(); BATCH_SIZE];
    let mut got = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut slots: Vec<_> = bytes.chunks_exact_mut(SLOT).map(IoSliceMut::new).collect();
        if let Ok(filled) = state.recv(socket.into(), &mut slots, &mut meta) {
            got += meta[..filled].iter().map(|m| m.len.div_ceil(m.stride.max(1))).sum::<usize>();
        }
    }
    got
}

fn way(name: &str, mut send: impl FnMut(&UdpSocket, SocketAddr) -> io::Result<usize>) {
    let (sender, receiver) = (socket(), socket());
    let to = receiver.local_addr().expect("an address");
    let stop = AtomicBool::new(false);
    let cpu = os::cpu_micros();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read(&receiver, &stop));
        let mut sent = 0;
        while sent < COUNT {
            sent += send(&sender, to).expect("sent");
        }
        let took = began.elapsed().as_secs_f64();
        let cpu = os::cpu_micros() - cpu;
        stop.store(true, Ordering::Relaxed);
        let got = reader.join().expect("no panic");
        println!(
            "floor, {name}: {:.0} datagrams/s, {:.2} CPU µs each for both ends, {:.0} % received",
            sent as f64 / took,
            cpu as f64 / sent as f64,
            got as f64 / sent as f64 * 100.0,
        );
    });
}

pub fn run(_: &str) {
    let bytes = [7; BYTES];
    way("send", |socket, to| socket.send_to(&bytes, to).map(|_| 1));

    let mut headers = MultiHeaders::preallocate(RUN, None);
    way("sendmmsg of 32", |socket, to| {
        let SocketAddr::V4(to) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        let slices = [[IoSlice::new(&bytes)]; RUN];
        let to = [Some(SockaddrIn::from(to)); RUN];
        let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, to, [], MsgFlags::empty())?;
        Ok(sent.count())
    });

    let run = [7; BYTES * RUN];
    let state = UdpSocketState::new((&socket()).into()).expect("a socket");
    way("GSO of 32", |socket, to| {
        let transmit =
            quinn_udp::Transmit { destination: to, ecn: None, contents: &run, segment_size: Some(BYTES), src_ip: None };
        state.try_send(socket.into(), &transmit).map(|()| RUN)
    });
}
