use super::*;
use crate::config::NodeType;
use crate::identity::tests::identity;
use crate::rng::Rng;
use crate::time::{Duration, WallTime};
use alloc::vec;
use proptest::prelude::{any, prop, prop_assert, proptest};

struct Bench {
    m: Membership,
    rng: Rng,
    now: Instant,
    me: NodeId,
}

fn record(n: u8) -> NodeRecord {
    NodeRecord::sign(&identity(n), [n; 32], 1, WallTime(0), NodeType::Regular)
}

fn id(n: u8) -> NodeId {
    identity(n).node_id()
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4000))
}

impl Bench {
    fn new() -> Self {
        let who = identity(1);
        let m = Membership::new(&Config::default(), &who);
        Self { m, rng: Rng::new([0; 32]), now: Instant::ZERO, me: who.node_id() }
    }

    fn step(&mut self, f: impl FnOnce(&mut Membership, &mut Cx<'_>, &mut Outbox<Out>)) -> Vec<Out> {
        let mut out = Outbox::new();
        let mut cx = Cx { now: self.now, wall: WallTime(5), me: self.me, rng: &mut self.rng };
        f(&mut self.m, &mut cx, &mut out);
        out.take()
    }

    fn input(&mut self, input: In) -> Vec<Out> {
        self.step(|m, cx, out| m.handle(cx, input, out))
    }

    fn up(&mut self, n: u8) -> Vec<Out> {
        self.input(In::LinkUp { peer: id(n), record: record(n), addr: addr(n) })
    }

    fn hear(&mut self, n: u8, message: &Message) -> Vec<Out> {
        self.input(In::Message { from: id(n), body: encode(message) })
    }

    fn run(&mut self, seconds: u64) -> Vec<(Instant, Out)> {
        let end = self.now + Duration::from_secs(seconds);
        let mut all = Vec::new();
        while let Some(at) = self.m.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let out = self.step(|m, cx, out| m.handle_timeout(cx, out));
            assert!(self.m.next_deadline().is_none_or(|d| d > self.now), "law 1");
            all.extend(out.into_iter().map(|o| (self.now, o)));
        }
        self.now = end;
        all
    }
}

fn join(addrs: &[u8]) -> In {
    In::Join(addrs.iter().map(|n| Bootstrap { addr: addr(*n), id: None }).collect())
}

fn request(max_neighbours: u8) -> Message {
    Message::Request { max_neighbours, preferred: Vec::new(), location: None }
}

fn replies(out: &[Out]) -> Vec<Message> {
    out.iter()
        .filter_map(|o| if let Out::Send { body, .. } = o { decode(body, MAX_BYTES).ok() } else { None })
        .collect()
}

#[test]
fn the_first_node_of_a_network_is_active_at_once() {
    let mut b = Bench::new();
    b.input(In::Join(Vec::new()));
    assert_eq!(b.m.state(), NodeState::Active);
}

#[test]
fn a_dead_bootstrap_is_tried_for_ever_with_growing_pauses() {
    let mut b = Bench::new();
    assert!(matches!(b.input(join(&[2]))[..], [Out::Open, Out::State { .. }, Out::Connect { .. }]));
    let mut times = Vec::new();
    for _ in 0..12 {
        b.input(In::Unreachable { addr: addr(2), expect: None, wrong_node: false });
        let start = b.now;
        let tries = b.run(100);
        assert!(matches!(tries[..], [(_, Out::Connect { .. })]), "{tries:?}");
        times.push(tries[0].0.since(start).as_millis());
    }
    assert!((800..=1_200).contains(&times[0]), "{times:?}");
    assert!((1_600..=2_400).contains(&times[1]), "{times:?}");
    assert!(times[8..].iter().all(|t| (48_000..=72_000).contains(t)), "{times:?}");
}

#[test]
fn a_link_becomes_a_neighbour_when_it_agrees() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    let sent = replies(&b.up(2));
    assert!(matches!(sent[..], [Message::Announcement { .. }, Message::Request { .. }]), "{sent:?}");
    assert_eq!(b.m.state(), NodeState::Connecting);
    let out = b.hear(2, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert!(out.iter().any(|o| matches!(o, Out::NeighbourUp(p) if *p == id(2))));
    assert_eq!(b.m.state(), NodeState::Active);
    let out = b.input(In::LinkDown { peer: id(2), reason: DownReason::Timeout });
    assert!(out.iter().any(|o| matches!(o, Out::Unwant(_))), "law 4");
    assert_eq!(b.m.state(), NodeState::Degraded);
    b.up(2);
    assert_eq!(b.m.state(), NodeState::Recovering);
    b.hear(2, &request(3));
    assert_eq!(b.m.state(), NodeState::Active);
}

#[test]
fn nobody_becomes_a_neighbour_unasked() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    b.up(2);
    b.hear(2, &Message::Response { accepted: Err(Refusal::Full), available: Vec::new() });
    b.hear(2, &Message::Response { accepted: Ok(()), available: Vec::new() });
    assert!(b.m.neighbours().is_empty());
}

#[test]
fn a_full_node_says_so_and_names_others() {
    let mut b = Bench::new();
    b.input(In::Join(Vec::new()));
    let cap = Config::default().limits.neighbours as u8;
    for n in 2..2 + cap {
        b.up(n);
        b.hear(n, &request(1));
    }
    assert_eq!(b.m.neighbours().len(), usize::from(cap));
    b.up(100);
    let answer = replies(&b.hear(100, &request(1)));
    let [Message::Response { accepted: Err(Refusal::Full), available }] = &answer[..] else { panic!("{answer:?}") };
    assert_eq!(available.len(), MAX_OFFERED);
    assert!(available.iter().all(|i| NodeRecord::decode(&i.record.0).is_ok()));
}

#[test]
fn names_and_accounts_need_a_certificate() {
    let mut b = Bench::new();
    b.input(In::Join(Vec::new()));
    b.up(2);
    let stolen = Message::Announcement { cert: identity(3).device_cert(), addrs: Vec::new() };
    let out = b.hear(2, &stolen);
    assert!(matches!(out[..], [Out::Close(p)] if p == id(2)));
    assert_eq!(b.m.get(id(2)).unwrap().name, None);
    assert_eq!(b.m.drops().get(DropReason::Signature), 1);
    b.hear(2, &Message::Announcement { cert: identity(2).device_cert(), addrs: vec![addr(77)] });
    let known = b.m.get(id(2)).unwrap();
    assert_eq!(known.account, Some(identity(2).account_id()));
    assert!(known.addrs.contains(&addr(77)));
}

#[test]
fn a_hostile_bootstrap_cannot_flood_the_book_or_forge_a_node() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    b.up(2);
    let forged = NodeInfo { record: Blob(vec![1; 180]), name: None, addrs: vec![addr(9)] };
    b.hear(2, &Message::Response { accepted: Ok(()), available: vec![forged] });
    let loopback = "127.0.0.1:4000".parse().unwrap();
    let aimed = NodeInfo { record: Blob(record(9).encode()), name: None, addrs: vec![loopback] };
    let out = b.hear(2, &Message::Response { accepted: Ok(()), available: vec![aimed] });
    assert!(!out.iter().any(|o| matches!(o, Out::Connect { addr, .. } if *addr == loopback)));
    for n in 0..=255u8 {
        let infos = (0..8u8)
            .map(|k| {
                let who = Identity::generate([n ^ (k * 31); 64], "x", WallTime(u64::from(n))).unwrap();
                let record = NodeRecord::sign(&who, [n; 32], 1, WallTime(0), NodeType::Regular);
                NodeInfo { record: Blob(record.encode()), name: None, addrs: vec![addr(n)] }
            })
            .collect();
        b.hear(2, &Message::Response { accepted: Ok(()), available: infos });
    }
    assert!(b.m.footprint() < Config::default().limits.address_book + 100);
    assert!(b.m.get(id(2)).is_some(), "who is linked is not pushed out");
}

#[test]
fn leaving_lets_go_of_everything() {
    let mut b = Bench::new();
    b.input(join(&[2, 3]));
    b.up(2);
    b.up(3);
    b.hear(2, &request(3));
    let out = b.input(In::Leave);
    let unwanted = out.iter().filter(|o| matches!(o, Out::Unwant(_))).count();
    assert_eq!(unwanted, 2, "{out:?}");
    assert!(matches!(out.last(), Some(Out::Shut)));
    assert_eq!((b.m.state(), b.m.next_deadline()), (NodeState::Leaving, None));
}

#[test]
fn the_address_book_survives_a_restart() {
    let mut b = Bench::new();
    b.input(join(&[2]));
    let mut rows = Vec::new();
    let mut out = Outbox::new();
    let mut cx = Cx { now: b.now, wall: WallTime(5), me: b.me, rng: &mut b.rng };
    let up = In::LinkUp { peer: id(2), record: record(2), addr: addr(2) };
    b.m.handle(&mut cx, up, &mut out);
    while let Some(emit) = out.pop() {
        if let crate::machine::Emit::Store(crate::store::Op::Put { key, value, .. }) = emit {
            rows.push((key, value));
        }
    }
    let mut again = Bench::new();
    for (key, value) in &rows {
        again.m.restore(key, value).unwrap();
        assert!(again.m.restore(&key[1..], value).is_err());
        assert!(again.m.restore(key, &value[1..]).is_err());
    }
    let out = again.input(In::Join(Vec::new()));
    let found = Some(id(2));
    assert!(out.iter().any(|o| matches!(o, Out::Connect { addr: a, expect } if *a == addr(2) && *expect == found)));
    assert_eq!(again.m.state(), NodeState::Discovering, "not the first node of a network");
}

proptest! {
    #[test]
    fn any_inputs_keep_the_books(steps in prop::collection::vec((0u8..9, any::<u8>(), any::<u8>()), 0..150)) {
        let mut b = Bench::new();
        let mut wanted = BTreeSet::new();
        for (what, n, k) in steps {
            let n = 2 + n % 30;
            let out = match what {
                0 => b.input(join(&[n, k])),
                1 => b.up(n),
                2 => b.input(In::LinkDown { peer: id(n), reason: DownReason::Closed }),
                3 => b.hear(n, &request(k)),
                4 => b.hear(n, &Message::Response { accepted: if k & 1 == 0 { Ok(()) } else { Err(Refusal::Full) }, available: Vec::new() }),
                5 => b.input(In::Unreachable { addr: addr(n), expect: (k & 1 == 0).then_some(id(n)), wrong_node: k & 2 == 0 }),
                6 => b.run(u64::from(k)).into_iter().map(|(_, o)| o).collect(),
                7 => b.input(In::Message { from: id(n), body: vec![what, n, k] }),
                _ if k < 20 => b.input(In::Leave),
                _ => b.input(In::NetworkChanged),
            };
            for o in out {
                match o {
                    Out::Want(p) => prop_assert!(wanted.insert(p), "wanted twice"),
                    Out::Unwant(p) => prop_assert!(wanted.remove(&p), "unwanted without a want"),
                    _ => {}
                }
            }
            prop_assert!(b.m.neighbours().iter().all(|p| b.m.linked.contains_key(p)));
            prop_assert!(b.m.neighbours().len() <= 16);
            prop_assert!(b.m.footprint() < 700);
        }
    }
}
