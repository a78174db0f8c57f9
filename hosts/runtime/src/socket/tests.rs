use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use proptest::prelude::*;

/// One answer of a scripted system.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Take(usize),
    /// So many, and then it is empty.
    Last(usize),
    Empty,
    WouldBlock,
    Refused,
    Other,
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let one = prop_oneof![
        (0usize..40).prop_map(Answer::Take),
        (0usize..40).prop_map(Answer::Last),
        Just(Answer::Empty),
        Just(Answer::WouldBlock),
        Just(Answer::Refused),
        Just(Answer::Other),
    ];
    prop::collection::vec(one, 1..20)
}

/// Gives its answers in turn, for ever.
struct Script {
    answers: Vec<Answer>,
    calls: Rc<RefCell<usize>>,
    sent: Rc<RefCell<usize>>,
}

impl Script {
    fn next(&mut self) -> Answer {
        let mut calls = self.calls.borrow_mut();
        *calls += 1;
        self.answers[(*calls - 1) % self.answers.len()]
    }
}

impl Udp for Script {
    fn receive(&mut self, most: usize, each: &mut dyn FnMut(SocketAddr, &[u8])) -> io::Result<Received> {
        let answer = self.next();
        match answer {
            Answer::Take(n) | Answer::Last(n) => {
                let count = n.min(most);
                (0..count).for_each(|_| each("127.0.0.1:1".parse().unwrap(), b"x"));
                Ok(Received { count, more: matches!(answer, Answer::Take(_)) })
            }
            Answer::Empty => Ok(Received { count: 0, more: false }),
            Answer::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
            Answer::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Answer::Other => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn send(&mut self, queue: &VecDeque<Transmit>) -> io::Result<usize> {
        match self.next() {
            Answer::Take(n) | Answer::Last(n) => {
                let n = n.min(queue.len());
                *self.sent.borrow_mut() += n;
                Ok(n)
            }
            Answer::Empty => Ok(0),
            Answer::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
            Answer::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Answer::Other => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

fn port(answers: Vec<Answer>) -> (Port<Script>, Rc<RefCell<usize>>, Rc<RefCell<usize>>) {
    let (calls, sent) = (Rc::default(), Rc::default());
    let script = Script { answers, calls: Rc::clone(&calls), sent: Rc::clone(&sent) };
    (Port::new(script), calls, sent)
}

fn datagram() -> Transmit {
    Transmit { to: "127.0.0.1:1".parse().unwrap(), bytes: vec![1] }
}

proptest! {
    // rustls RUSTSEC-2024-0336: a call that makes no progress must not be repeated without end.
    #[test]
    fn one_wake_up_is_bounded_in_every_order_of_answers(answers in answers(), queued in 0usize..1_500) {
        let (mut port, calls, sent) = port(answers);
        let mut received = 0;
        port.receive(&mut |_, _| received += 1);
        prop_assert!(*calls.borrow() <= READ_BUDGET);
        prop_assert!(received <= READ_BUDGET);

        *calls.borrow_mut() = 0;
        for _ in 0..queued {
            port.push(datagram());
        }
        port.flush();
        let stats = port.stats();
        let gone = *sent.borrow() as u64 + stats.send_overflow + stats.send_refused + stats.noise;
        prop_assert!(*calls.borrow() <= queued + 2);
        prop_assert!(gone + port.queue.len() as u64 >= queued as u64, "every datagram is accounted for");
        prop_assert!(port.queue.len() <= SEND_QUEUE);
        prop_assert!(port.queue.is_empty() || port.blocked());
    }
}

#[test]
fn a_used_budget_asks_for_a_wake_up_and_an_empty_socket_not() {
    let (mut busy, _, _) = port(vec![Answer::Take(32)]);
    busy.receive(&mut |_, _| {});
    assert!(busy.has_more());
    let (mut idle, calls, _) = port(vec![Answer::Take(32), Answer::WouldBlock]);
    idle.receive(&mut |_, _| {});
    assert!(!idle.has_more());
    idle.receive(&mut |_, _| {});
    assert_eq!(*calls.borrow(), 2, "not asked again before the system says so");
    idle.set_readable();
    assert!(idle.has_more());
}

#[test]
fn a_batch_that_is_not_full_ends_the_wake_up_without_a_call() {
    let (mut port, calls, _) = port(vec![Answer::Last(3), Answer::WouldBlock]);
    let mut received = 0;
    port.receive(&mut |_, _| received += 1);
    assert_eq!((received, *calls.borrow(), port.has_more()), (3, 1, false));
    port.set_readable();
    port.receive(&mut |_, _| received += 1);
    assert_eq!(*calls.borrow(), 2);
}

/// What the system tells a node that sends to itself, after each of three flushes.
#[test]
fn only_a_blocked_socket_is_told_that_it_can_send() {
    let mut poll = mio::Poll::new().unwrap();
    let mut sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()], poll.registry()).unwrap();
    let to = sockets.local().next().unwrap();
    let mut events = mio::Events::with_capacity(8);
    let mut told = |sockets: &mut Sockets| {
        sockets.flush(poll.registry());
        poll.poll(&mut events, Some(std::time::Duration::from_millis(200))).unwrap();
        (events.iter().any(|e| e.is_readable()), events.iter().any(|e| e.is_writable()))
    };
    sockets.push(Transmit { to, bytes: vec![1] });
    assert_eq!(told(&mut sockets), (true, false));
    let port = sockets.port_mut(0).unwrap();
    port.blocked = true;
    port.push(Transmit { to, bytes: vec![2] });
    assert!(told(&mut sockets).1, "it may be able to by now");
    sockets.port_mut(0).unwrap().set_writable();
    told(&mut sockets);
    sockets.push(Transmit { to, bytes: vec![3] });
    assert!(!told(&mut sockets).1);
}

#[test]
fn a_blocked_socket_has_a_bounded_queue_and_resumes_if_writable() {
    let (mut port, _, sent) = port(vec![Answer::WouldBlock, Answer::Take(40)]);
    for _ in 0..SEND_QUEUE + 5 {
        port.push(datagram());
    }
    assert!(port.blocked());
    assert_eq!(port.stats().send_overflow, 5);
    port.set_writable();
    for _ in 0..100 {
        port.flush();
        port.set_writable();
    }
    assert_eq!(*sent.borrow(), SEND_QUEUE);
    assert!(!port.blocked());
}

#[test]
fn an_icmp_error_costs_nothing_but_a_count() {
    let (mut port, _, _) = port(vec![Answer::Refused, Answer::Take(2), Answer::Empty]);
    let mut received = 0;
    port.receive(&mut |_, _| received += 1);
    assert_eq!(received, 2);
    assert_eq!(port.stats().noise, 1);
}

/// A system's socket on loopback, and its address.
fn real() -> (System, SocketAddr) {
    let socket = open("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (System::new(socket).unwrap(), addr)
}

/// Sends all of `queue` from a new socket; how many system calls that took.
fn send_all(queue: &VecDeque<Transmit>) -> usize {
    let (mut socket, mut left, mut calls) = (real().0, queue.clone(), 0);
    while !left.is_empty() {
        let n = socket.send(&left).unwrap();
        drop(left.drain(..n));
        calls += 1;
    }
    calls
}

#[test]
fn a_datagram_that_is_too_long_is_reported_with_its_address() {
    let (_, to) = real();
    let mut port = Port::new(real().0);
    // Longer than any UDP datagram; the others leave.
    for len in [100, 70_000, 100] {
        port.push(Transmit { to, bytes: vec![1; len] });
    }
    port.flush();
    assert_eq!(port.take_too_long(), [(to, 70_000)]);
    assert_eq!(port.take_too_long(), []);
    assert_eq!((port.stats().send_refused, port.queue.len()), (1, 0));
    // However many there are, the reports are bounded.
    for _ in 0..2 * TOO_LONG {
        port.push(Transmit { to, bytes: vec![1; 70_000] });
    }
    port.flush();
    assert_eq!(port.take_too_long().len(), TOO_LONG);
}

/// What comes, until there are `count`.
fn receive_all(port: &mut Port<System>, count: usize) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while got.len() < count && std::time::Instant::now() < deadline {
        port.set_readable();
        port.receive(&mut |_, bytes| got.push(bytes.to_vec()));
    }
    got
}

#[test]
fn a_real_socket_carries_datagrams_of_every_size() {
    let (receiver, to) = real();
    // Rising sizes make no run; the empty one and falling ones end runs.
    let sizes = (0..50).map(|n| 1 + n * 20).chain([0, 0, 1_200, 1_200, 300, 1_200, 1_200, 1_200, 1_199, 0]);
    let queue: VecDeque<_> = sizes.enumerate().map(|(n, size)| Transmit { to, bytes: vec![n as u8; size] }).collect();
    send_all(&queue);
    let got = receive_all(&mut Port::new(receiver), queue.len());
    assert_eq!(got, queue.into_iter().map(|t| t.bytes).collect::<Vec<_>>());
}

#[test]
fn equal_datagrams_to_one_address_take_one_call() {
    let ((sender, _), (mut receiver, to)) = (real(), real());
    let (gso, gro) = sender.offload();
    if gso.min(gro) < 50 {
        assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "no GSO and GRO, and nothing may be skipped here");
        return eprintln!("SKIPPED: this system has no GSO and GRO");
    }
    let queue: VecDeque<_> = (0..50).map(|n| Transmit { to, bytes: vec![n; 1_200] }).collect();
    assert_eq!(send_all(&queue), 1);
    // They come with one call too, and are handed over a few at a time, in order.
    let (mut got, mut fills) = (Vec::new(), 0);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while got.len() < queue.len() && std::time::Instant::now() < deadline {
        let asks = receiver.held().0 == 0;
        match receiver.receive(7, &mut |_, bytes| got.push(bytes.to_vec())) {
            Ok(Received { count, more }) => {
                assert!(count <= 7);
                assert_eq!(more, got.len() < queue.len(), "the batch was not full");
                fills += usize::from(asks);
            }
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert_eq!(got, queue.into_iter().map(|t| t.bytes).collect::<Vec<_>>());
    assert_eq!((fills, receiver.held().1), (1, 1), "calls, and buffers of the last");
}

#[test]
fn a_burst_has_more_memory_and_gives_it_back() {
    const FEW: usize = 2 << 16;
    let (receiver, to) = real();
    let mut port = Port::new(receiver);
    // Rising sizes make no run: each datagram has a slot of its own.
    let rising = |count: usize| -> VecDeque<_> {
        (1..=count).map(|size| Transmit { to, bytes: vec![size as u8; size] }).collect()
    };
    let bytes = |queue: VecDeque<Transmit>| queue.into_iter().map(|t| t.bytes).collect::<Vec<_>>();
    port.receive(&mut |_, _| panic!("nothing was sent"));
    assert_eq!(port.udp.buffered(), 0, "nothing before the first datagram");
    send_all(&rising(3));
    assert_eq!(receive_all(&mut port, 3), bytes(rising(3)));
    assert_eq!(port.udp.buffered(), FEW);
    send_all(&rising(60));
    assert_eq!(receive_all(&mut port, 60), bytes(rising(60)));
    assert!(port.udp.buffered() > FEW || quinn_udp::BATCH_SIZE == 1);

    // What was received and not handed over stays.
    send_all(&rising(20));
    let mut got = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while got.len() < 20 && std::time::Instant::now() < deadline {
        let _ = port.udp.receive(1, &mut |_, bytes| got.push(bytes.to_vec()));
        port.udp.rest();
    }
    assert_eq!(got, bytes(rising(20)));
    assert!(port.udp.buffered() <= FEW);
}

proptest! {
    /// What the kernel demands of a run (udp(7), UDP_SEGMENT).
    #[test]
    fn a_run_is_what_the_kernel_takes(sizes in prop::collection::vec((0usize..3, 0u16..3), 1..80), most in 1usize..70) {
        let sizes = sizes.into_iter().map(|(size, port)| ([0, 1_199, 1_200][size], port));
        let queue: VecDeque<_> = sizes
            .map(|(size, port)| Transmit { to: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port), bytes: vec![0; size] })
            .collect();
        let count = system::run_len(&queue, most);
        let run: Vec<_> = queue.iter().take(count).collect();
        prop_assert!(count >= 1 && count <= most.max(1) && count <= queue.len());
        let first = run[0];
        prop_assert!(run.iter().all(|t| t.to == first.to));
        prop_assert!(run[..count - 1].iter().all(|t| t.bytes.len() == first.bytes.len()));
        prop_assert!(run[count - 1].bytes.len() <= first.bytes.len());
        prop_assert!(count == 1 || run.iter().all(|t| !t.bytes.is_empty()));
        prop_assert!(count == 1 || run.iter().map(|t| t.bytes.len()).sum::<usize>() <= 65_507);
        // And it is as long as that allows: the next one is another kind, or there is no room.
        if let Some(next) = queue.get(count) {
            let is_full = count == most || run.iter().map(|t| t.bytes.len()).sum::<usize>() + next.bytes.len() > 65_507;
            let ends = run[count - 1].bytes.len() < first.bytes.len();
            let differs = next.to != first.to || next.bytes.is_empty() || next.bytes.len() > first.bytes.len();
            prop_assert!(is_full || ends || differs);
        }
    }
}

/// Takes runs as the system does, `calls` of them until it blocks.
struct Runs {
    calls: usize,
    sent: Rc<RefCell<Vec<Vec<Transmit>>>>,
}

impl Udp for Runs {
    fn receive(&mut self, _: usize, _: &mut dyn FnMut(SocketAddr, &[u8])) -> io::Result<Received> {
        Ok(Received { count: 0, more: false })
    }

    fn send(&mut self, queue: &VecDeque<Transmit>) -> io::Result<usize> {
        if self.calls == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.calls -= 1;
        let count = system::run_len(queue, 64);
        self.sent.borrow_mut().push(queue.iter().take(count).cloned().collect());
        Ok(count)
    }
}

#[test]
fn datagrams_to_peers_in_turn_take_one_call_a_peer() {
    let sent = Rc::default();
    let mut port = Port::new(Runs { calls: 2, sent: Rc::clone(&sent) });
    let to = |port: u16| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    for n in 0..8 {
        [3, 1, 2].into_iter().for_each(|peer| port.push(Transmit { to: to(peer), bytes: vec![n; 9] }));
    }
    port.flush();
    // The third peer waits; what comes for the first goes after it.
    assert!(port.blocked());
    port.push(Transmit { to: to(1), bytes: vec![8; 9] });
    port.udp.calls = 9;
    port.set_writable();
    port.flush();
    let runs: Vec<(u16, Vec<u8>)> =
        sent.borrow().iter().map(|run| (run[0].to.port(), run.iter().map(|t| t.bytes[0]).collect())).collect();
    let all: Vec<u8> = (0..8).collect();
    assert_eq!(runs, [(1, all.clone()), (2, all.clone()), (3, all), (1, vec![8])]);
}

#[test]
fn a_port_in_use_is_named() {
    let poll = mio::Poll::new().unwrap();
    let first = Sockets::bind(&["127.0.0.1:0".parse().unwrap()], poll.registry()).unwrap();
    let taken = first.local().next().unwrap();
    let error = Sockets::bind(&[taken], poll.registry()).err().unwrap().to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("in use"), "{error}");
}

/// Mutation: `push` takes the first socket of the family.
#[test]
fn answers_leave_from_the_socket_that_was_asked() {
    let mut poll = mio::Poll::new().unwrap();
    let listen = ["127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()];
    let mut sockets = Sockets::bind(&listen, poll.registry()).unwrap();
    let local: Vec<SocketAddr> = sockets.local().collect();
    let peers = [0, 1].map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    for (peer, to) in peers.iter().zip([local[1], local[0]]) {
        peer.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        peer.send_to(b"hello", to).unwrap();
    }
    let mut events = mio::Events::with_capacity(8);
    let mut from = Vec::new();
    while from.len() < 2 {
        for n in 0..2 {
            sockets.port_mut(n).unwrap().set_readable();
        }
        sockets.receive(&mut |addr, _| from.push(addr));
        poll.poll(&mut events, Some(std::time::Duration::from_millis(10))).unwrap();
    }
    for addr in from {
        sockets.push(Transmit { to: addr, bytes: b"answer".to_vec() });
    }
    sockets.flush(poll.registry());
    for (peer, asked) in peers.iter().zip([local[1], local[0]]) {
        let (_, answered) = peer.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(answered, asked);
    }
}
