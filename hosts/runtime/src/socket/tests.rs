use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use proptest::prelude::*;

/// One answer of a scripted system.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Take(usize),
    Empty,
    WouldBlock,
    Refused,
    Other,
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let one = prop_oneof![
        (0usize..40).prop_map(Answer::Take),
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
    fn receive(&mut self, each: &mut dyn FnMut(SocketAddr, &[u8])) -> io::Result<Received> {
        match self.next() {
            Answer::Take(n) => {
                (0..n).for_each(|_| each("127.0.0.1:1".parse().unwrap(), b"x"));
                Ok(Received::Some(n))
            }
            Answer::Empty => Ok(Received::Empty),
            Answer::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
            Answer::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Answer::Other => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn send(&mut self, queue: &VecDeque<Transmit>) -> io::Result<usize> {
        match self.next() {
            Answer::Take(n) => {
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

    fn overflow(&self) -> u64 {
        0
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
        prop_assert!(received < READ_BUDGET + 40);

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
fn a_used_budget_asks_for_another_wake_up_and_an_empty_socket_does_not() {
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
fn a_blocked_socket_keeps_a_bounded_queue_and_goes_on_when_writable() {
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

#[test]
fn real_sockets_of_both_kinds_carry_datagrams() {
    fn carry<U: Udp>(mut a: U, b: U, to: SocketAddr) {
        let queue: VecDeque<_> = (0..50u8).map(|n| Transmit { to, bytes: vec![n; 1 + usize::from(n) * 20] }).collect();
        let mut left = queue.clone();
        while !left.is_empty() {
            let n = a.send(&left).unwrap();
            drop(left.drain(..n));
        }
        let mut port = Port::new(b);
        let mut got = Vec::new();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while got.len() < queue.len() && std::time::Instant::now() < deadline {
            port.set_readable();
            port.receive(&mut |_, bytes| got.push(bytes.to_vec()));
        }
        let sent: Vec<_> = queue.into_iter().map(|t| t.bytes).collect();
        assert_eq!(got, sent);
    }
    let open = || {
        let socket = open("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, addr)
    };
    let ((a, _), (b, to)) = (open(), open());
    carry(plain::Plain::new(a).unwrap(), plain::Plain::new(b).unwrap(), to);
    let ((a, _), (b, to)) = (open(), open());
    carry(System::new(a).unwrap(), System::new(b).unwrap(), to);
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn what_the_kernel_drops_is_counted() {
    let socket = open("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let to = socket.local_addr().unwrap().as_socket().unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        sender.send_to(&[0; 1_000], to).unwrap();
    }
    let mut port = Port::new(System::new(socket).unwrap());
    let mut got = 0u64;
    port.receive(&mut |_, _| got += 1);
    // The count comes with the next datagram that finds room.
    sender.send_to(&[0; 1], to).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while port.stats().overflow == 0 && std::time::Instant::now() < deadline {
        port.set_readable();
        port.receive(&mut |_, _| got += 1);
    }
    assert_eq!(port.stats().overflow + got, 101);
}

#[test]
fn a_port_in_use_is_named() {
    let poll = mio::Poll::new().unwrap();
    let first = Sockets::bind(&["127.0.0.1:0".parse().unwrap()], poll.registry()).unwrap();
    let taken = first.local().next().unwrap();
    let error = Sockets::bind(&[taken], poll.registry()).err().unwrap().to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("in use"), "{error}");
}

#[test]
fn addresses_for_others_are_those_of_the_interfaces() {
    let ip = |t: &str| t.parse::<IpAddr>().unwrap();
    let at = |t: &str| t.parse::<SocketAddr>().unwrap();
    let all = [ip("127.0.0.1"), ip("10.0.0.5"), ip("169.254.1.1"), ip("::1"), ip("fe80::1"), ip("2001:db8::5")];
    assert_eq!(reachable(&[at("0.0.0.0:7"), at("[::]:8")], &all), [at("10.0.0.5:7"), at("[2001:db8::5]:8")]);
    assert_eq!(reachable(&[at("127.0.0.1:7")], &all), [at("127.0.0.1:7")]);
    assert_eq!(reachable(&[at("0.0.0.0:7")], &[ip("127.0.0.1")]), [at("127.0.0.1:7")]);
    assert_eq!(reachable(&[at("127.0.0.1:7"), at("10.0.0.5:7")], &all), [at("10.0.0.5:7")]);
}
