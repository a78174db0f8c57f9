//! Whole nodes over real sockets. Waiting is for conditions, with a deadline that only a broken node
//! reaches.

use std::path::Path;
use std::time::Instant;

use donp_core::{
    CommandError, Config, Durable, Event, FailureType, Identity, LocalPeer, MemberState, Message, NodeState, Volatile,
    WallTime,
};

use super::*;
use crate::store::{Cost, Secrets, StoreError};

const LONG: Duration = Duration::from_secs(60);

fn identity(n: u8) -> Identity {
    Identity::generate([n; 64], &format!("node{n}"), WallTime(1)).unwrap()
}

pub(super) fn loopback(store: impl Into<StoreKind>) -> NodeConfig {
    NodeConfig { listen: vec!["127.0.0.1:0".parse().unwrap()], seed: Some(1), ..NodeConfig::new(store) }
}

pub(super) fn volatile(n: u8, bootstraps: &[String]) -> Node {
    Node::open(NodeConfig { bootstraps: bootstraps.to_vec(), ..loopback(identity(n)) }).unwrap()
}

pub(super) fn profile(dir: &Path, n: u8) -> StoreKind {
    let cost = Cost { memory_kib: 8, passes: 1 };
    if Profile::exists(dir) {
        Profile::open(dir, &Secrets::default()).unwrap().into()
    } else {
        Profile::create(dir, &identity(n), &Secrets::default(), cost).unwrap().into()
    }
}

pub(super) fn place(node: &Node) -> String {
    format!("{}/{}", node.local_addresses()[0], node.id())
}

pub(super) fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn linked(a: &Node, b: &Node) {
    until("link", || a.peers().unwrap().iter().any(|p| p.id == b.id() && p.linked).then_some(()));
}

/// Durable events after `after`, as soon as `count` of them are there.
fn events(node: &Node, after: u64, count: usize) -> Vec<Durable> {
    let page = until("events", || Some(node.events(after, 1_000).unwrap()).filter(|p| p.events.len() >= count));
    durable(page)
}

pub(super) fn durable(page: EventPage) -> Vec<Durable> {
    let event = |e| if let Event::Durable { event, .. } = e { event } else { panic!("{e:?} has no number") };
    page.events.into_iter().map(event).collect()
}

fn texts(events: &[Durable]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|e| match e {
            Durable::Received(m) => Some(m.content.shown()),
            _ => None,
        })
        .collect()
}

fn next(stream: &EventStream) -> Option<Event> {
    stream.wait(LONG);
    stream.take(1).pop()
}

fn history(node: &Node, conversation: Conversation) -> Vec<Message> {
    node.history(conversation, None, 100, LONG).unwrap().messages
}

#[test]
fn two_nodes_talk_in_private_and_to_all() {
    let a = volatile(1, &[]);
    let b = volatile(2, &[place(&a)]);
    linked(&a, &b);
    linked(&b, &a);
    let id = a.send_private(b.id(), Content::text("for you")).unwrap();
    assert_eq!(texts(&events(&b, 0, 1)), ["for you"]);
    assert!(events(&a, 0, 1).contains(&Durable::Delivered { id, to: b.id() }));
    until("acknowledgement", || (!a.is_queued(id).unwrap()).then_some(()));
    b.broadcast(Content::text("for all")).unwrap();
    assert_eq!(texts(&events(&a, 1, 1)), ["for all"]);
    assert_eq!(history(&a, Conversation::Network), history(&b, Conversation::Network));
    assert_eq!(history(&a, Conversation::Private(b.id()))[0].content.shown(), "for you");
    let status = b.status().unwrap();
    assert_eq!((status.node.state, status.host.store), (NodeState::Active, "memory"));
    assert!(status.host.commits > 0);
}

#[test]
fn volatile_events_reach_every_subscriber() {
    let a = volatile(3, &[]);
    let (one, two) = (a.subscribe(), a.subscribe());
    let b = volatile(4, &[place(&a)]);
    for listener in [one, two] {
        let up = until("peer up", || match next(&listener)? {
            Event::Volatile(Volatile::PeerUp { peer, .. }) => Some(peer),
            _ => None,
        });
        assert_eq!(up, b.id());
    }
}

#[test]
fn a_message_outlives_a_kill_of_its_sender_and_arrives_once() {
    let (da, db) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = Node::open(loopback(profile(da.path(), 5))).unwrap();
    let b = Node::open(NodeConfig { bootstraps: vec![place(&a)], ..loopback(profile(db.path(), 6)) }).unwrap();
    linked(&a, &b);
    let b_at = b.local_addresses()[0];
    b.kill().unwrap();
    drop(b);
    let id = a.send_private(identity(6).node_id(), Content::text("kept")).unwrap();
    a.kill().unwrap();
    drop(a);

    let listen = vec![b_at];
    let b = Node::open(NodeConfig { listen, ..loopback(profile(db.path(), 6)) }).unwrap();
    let a = Node::open(NodeConfig { bootstraps: vec![place(&b)], ..loopback(profile(da.path(), 5)) }).unwrap();
    assert_eq!(texts(&events(&b, 0, 1)), ["kept"]);
    until("acknowledgement", || (!a.is_queued(id).unwrap()).then_some(()));
    assert_eq!(texts(&events(&b, 0, 1)), ["kept"], "once");
    assert_eq!(history(&b, Conversation::Private(a.id())).len(), 1);
}

#[test]
fn events_come_again_after_a_restart_until_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let b = volatile(7, &[]);
    let a = Node::open(NodeConfig { bootstraps: vec![place(&b)], ..loopback(profile(dir.path(), 8)) }).unwrap();
    linked(&b, &a);
    for n in 0..5 {
        b.broadcast(Content::text(format!("m{n}"))).unwrap();
    }
    assert_eq!(texts(&events(&a, 0, 5)), ["m0", "m1", "m2", "m3", "m4"]);
    assert!(matches!(a.ack(99), Err(NodeError::Command(CommandError::Unknown(_)))));
    a.ack(2).unwrap();
    assert_eq!(a.cursor(), 2);
    a.kill().unwrap();
    drop(a);
    let a = Node::open(NodeConfig { offline: true, ..loopback(profile(dir.path(), 8)) }).unwrap();
    let first = a.events(0, 100).unwrap();
    assert_eq!((first.events.len(), first.last), (3, 5), "also before the thread reported anything");
    assert_eq!(texts(&events(&a, 0, 3)), ["m2", "m3", "m4"]);
    assert_eq!(texts(&events(&a, 3, 2)), ["m3", "m4"]);
}

#[test]
fn a_reader_behind_the_ring_reads_from_the_store() {
    let (a, b) = (volatile(9, &[]), volatile(10, &[]));
    b.join(&[place(&a)]).unwrap();
    linked(&a, &b);
    linked(&b, &a);
    const COUNT: usize = 5_000;
    let mut sent = 0;
    while sent < COUNT {
        let batch: Vec<_> = (sent..COUNT.min(sent + 500)).map(|n| Content::text(n.to_string())).collect();
        sent += b.send_private_all(a.id(), batch).unwrap().into_iter().map(Result::unwrap).count();
    }
    let (mut after, mut seen) = (0, Vec::new());
    while seen.len() < COUNT {
        assert!(a.wait_event(after, LONG), "after {}", seen.len());
        let page = a.events(after, 300).unwrap();
        after = page.events.last().unwrap().seq().unwrap();
        seen.extend(texts(&durable(page)).iter().map(|t| t.parse::<usize>().unwrap()));
    }
    assert_eq!(seen, (0..COUNT).collect::<Vec<_>>());
    // From the beginning again: the ring holds 4,096.
    assert_eq!(texts(&events(&a, 0, 300))[..3], ["0", "1", "2"]);
}

#[test]
fn a_full_store_refuses_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let a = Node::open(loopback(profile(dir.path(), 11))).unwrap();
    a.broadcast(Content::text("first")).unwrap();
    let limit = |pages: u32| {
        a.call(move |w| match &w.store {
            Store::Sqlite(s) => s.limit_pages(s.pages() + pages),
            Store::Volatile { .. } => panic!(),
        })
        .unwrap();
    };
    limit(1);
    let big = || Content::text("x".repeat(60_000));
    assert!(matches!(a.broadcast(big()), Err(NodeError::Unstored { source: StoreError::Full, .. })));
    assert!(a.status().unwrap().host.store_error.unwrap().contains("full"));
    assert!(matches!(a.broadcast(Content::text("refused")), Err(NodeError::Store(StoreError::Full))));
    limit(1_000);
    until("recovery", || a.status().unwrap().host.store_error.is_none().then_some(()));
    a.broadcast(Content::text("last")).unwrap();
    let said = history(&a, Conversation::Network);
    let said: Vec<_> = said.iter().map(|m| m.content.shown().len()).collect();
    assert_eq!(said, [5, 60_000, 4], "what was taken before the disk was full is there, what was refused is not");
}

#[test]
fn a_node_ends_once_and_says_so_afterwards() {
    let a = volatile(12, &[]);
    a.shutdown().unwrap();
    a.shutdown().unwrap();
    a.kill().unwrap();
    assert!(matches!(a.status(), Err(NodeError::Closed)));
    assert!(matches!(a.broadcast(Content::text("x")), Err(NodeError::Closed)));
    assert!(!a.wait_event(0, LONG), "returns at once");
}

#[test]
fn a_goodbye_is_noticed_at_once() {
    let a = volatile(13, &[]);
    let b = volatile(14, &[place(&a)]);
    linked(&a, &b);
    let listener = a.subscribe();
    b.shutdown().unwrap();
    let reason = until("peer down", || match next(&listener)? {
        Event::Volatile(Volatile::PeerDown { reason, .. }) => Some(reason),
        _ => None,
    });
    assert_eq!(reason, donp_core::DownReason::Closed);
}

#[test]
fn a_bug_in_the_thread_is_an_error_of_every_later_call() {
    let a = volatile(15, &[]);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let crashed = a.simulate_crash();
    std::panic::set_hook(hook);
    assert!(matches!(crashed, Err(NodeError::Crashed)));
    assert!(matches!(a.status(), Err(NodeError::Crashed)));
    assert!(matches!(a.shutdown(), Err(NodeError::Crashed)));
}

#[test]
fn a_bad_bootstrap_is_named() {
    let open = |place: &str| {
        let config = loopback(identity(16));
        Node::open(NodeConfig { bootstraps: vec![place.into()], ..config }).err().unwrap().to_string()
    };
    assert!(open("nowhere").contains("'nowhere'"));
    let a = volatile(16, &[]);
    let error = a.join(&["no-such-host.invalid:4000".into()]).unwrap_err().to_string();
    assert!(error.contains("no-such-host.invalid:4000"), "{error}");
}

#[test]
fn a_name_that_cannot_be_looked_up_is_in_the_status() {
    let config = loopback(identity(17));
    let place = "no-such-host.invalid:4000".to_string();
    let a = Node::open(NodeConfig { bootstraps: vec![place.clone()], ..config }).unwrap();
    let unresolved = until("failure", || Some(a.status().unwrap().host.unresolved).filter(|u| !u.is_empty()));
    assert_eq!(unresolved[0].0, place);
    assert_eq!(a.status().unwrap().node.state, NodeState::Initializing, "it does not begin a network of its own");
    let b = volatile(18, &[]);
    a.join(&[format!("localhost:{}", b.local_addresses()[0].port())]).unwrap();
    linked(&a, &b);
}

#[test]
fn a_profile_lives_in_one_network() {
    let dir = tempfile::tempdir().unwrap();
    let open = |key: Option<[u8; 32]>, offline: bool| {
        Node::open(NodeConfig { network_key: key, offline, ..loopback(profile(dir.path(), 19)) })
    };
    let closed = Ticket { node: identity(20).node_id(), name: "x".into(), addrs: vec![], network_key: Some([3; 32]) };
    let public = Ticket { network_key: None, ..closed.clone() };
    // Offline and new: the ticket's network becomes its own.
    open(None, true).unwrap().join_ticket(&closed).unwrap();
    let a = open(None, false).unwrap();
    assert_eq!(a.invite().unwrap().network_key, Some([3; 32]));
    assert!(matches!(a.join_ticket(&public), Err(NodeError::Command(CommandError::OtherNetwork))));
    a.join_ticket(&closed).unwrap();
    drop(a);
    let other = open(Some([4; 32]), false);
    assert!(matches!(other.err(), Some(NodeError::Command(CommandError::OtherNetwork))));
    open(Some([3; 32]), false).unwrap();
}

#[test]
fn a_place_once_joined_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let b = volatile(21, &[]);
    Node::open(NodeConfig { offline: true, ..loopback(profile(dir.path(), 22)) }).unwrap().join(&[place(&b)]).unwrap();
    let a = Node::open(loopback(profile(dir.path(), 22))).unwrap();
    linked(&a, &b);
}

#[test]
fn many_threads_command_one_node() {
    let a = Arc::new(volatile(23, &[]));
    let threads: Vec<_> = (0..8)
        .map(|t| {
            let a = Arc::clone(&a);
            std::thread::spawn(move || {
                for n in 0..50 {
                    a.broadcast(Content::text(format!("{t}-{n}"))).unwrap();
                    a.status().unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let mut all = Vec::new();
    let mut before = None;
    loop {
        let page = a.history(Conversation::Network, before, 70, LONG).unwrap();
        all.extend(page.messages);
        before = page.older;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(all.len(), 400);
}

#[test]
fn a_faulty_network_costs_time_but_no_message() {
    let fault = Some("drop=10%,dup=5%,reorder=10%,corrupt=2%,delay=1..5ms".parse().unwrap());
    let open = |n: u8, bootstraps: Vec<String>| {
        let config = loopback(identity(n));
        Node::open(NodeConfig { fault: fault.clone(), bootstraps, ..config }).unwrap()
    };
    let a = open(24, vec![]);
    let b = open(25, vec![place(&a)]);
    linked(&a, &b);
    for n in 0..50 {
        a.send_private(b.id(), Content::text(format!("{n:02}"))).unwrap();
    }
    let got = events(&b, 0, 50);
    let mut got = texts(&got);
    got.sort_unstable();
    assert_eq!(got, (0..50).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    let (_, stats) = a.status().unwrap().host.fault.unwrap();
    assert!(stats.dropped > 0, "{stats:?}");
}

#[test]
fn suspending_refuses_commands_until_the_node_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let a = Node::open(loopback(profile(dir.path(), 26))).unwrap();
    a.broadcast(Content::text("before")).unwrap();
    a.suspend().unwrap();
    let wal = std::fs::metadata(dir.path().join("node.db-wal")).map_or(0, |m| m.len());
    assert_eq!(wal, 0, "everything is in the file");
    assert!(matches!(a.broadcast(Content::text("x")), Err(NodeError::Command(CommandError::NotRunning))));
    a.resume().unwrap();
    a.broadcast(Content::text("after")).unwrap();
    assert_eq!(history(&a, Conversation::Network).len(), 2);
}

#[test]
fn a_stream_made_before_the_start_misses_nothing() {
    let a = Node::new(loopback(identity(30))).unwrap();
    let before = a.subscribe();
    assert!(matches!(a.status(), Err(NodeError::NotStarted)));
    assert!(matches!(a.broadcast(Content::text("too early")), Err(NodeError::NotStarted)));
    a.start().unwrap();
    a.start().unwrap();
    let first = next(&before).unwrap();
    assert!(
        matches!(first, Event::Volatile(Volatile::StateChanged { before: NodeState::Initializing, .. })),
        "{first:?}"
    );
    a.shutdown().unwrap();
    assert!(matches!(a.start(), Err(NodeError::Closed)));
    assert!(matches!(a.status(), Err(NodeError::Closed)));

    let never = Node::new(loopback(identity(31))).unwrap();
    let stream = never.subscribe();
    never.shutdown().unwrap();
    assert!(!stream.wait(LONG), "at once");
}

#[test]
fn a_stream_gives_everything_from_memory_or_store() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Node::open(loopback(profile(dir.path(), 32))).unwrap(), volatile(33, &[]));
    b.join(&[place(&a)]).unwrap();
    linked(&b, &a);
    const MANY: usize = 5_000;
    let texts = (0..MANY).map(|n| Content::text(n.to_string()));
    for part in texts.collect::<Vec<_>>().chunks(500) {
        until("room", || b.send_private_all(a.id(), part.to_vec()).unwrap().iter().all(Result::is_ok).then_some(()));
        until("delivered", || (b.status().unwrap().node.outbox == 0).then_some(()));
    }
    // More than the ring in memory holds.
    let late = a.subscribe();
    let mut seen = Vec::new();
    while seen.len() < MANY {
        assert!(late.wait(LONG), "{} of {MANY}", seen.len());
        seen.extend(late.take(100).into_iter().filter_map(|e| match e {
            Event::Durable { event: Durable::Received(m), .. } => Some(m.content.shown().parse::<usize>().unwrap()),
            _ => None,
        }));
    }
    assert!(seen.iter().copied().eq(0..MANY), "in order, once each");
}

#[test]
fn a_suspended_node_has_no_file_open_and_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let b = Node::open(loopback(profile(dir.path(), 34))).unwrap();
    let a = volatile(35, &[place(&b)]);
    linked(&a, &b);
    b.suspend().unwrap();
    b.suspend().unwrap();
    #[cfg(target_os = "linux")]
    for fd in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let open = std::fs::read_link(fd.path()).unwrap_or_default();
        assert!(!(open.starts_with(dir.path()) && open.to_string_lossy().contains("node.db")), "{open:?}");
    }
    let refused = b.broadcast(Content::text("asleep"));
    assert!(matches!(refused, Err(NodeError::Command(CommandError::NotRunning))), "{refused:?}");
    assert!(b.history(Conversation::Network, None, 1, LONG).is_err());
    a.send_private(b.id(), Content::text("while you slept")).unwrap();
    let fetched = b.background_fetch(LONG).unwrap();
    // The message, and that it is the request of a stranger.
    assert_eq!(fetched, Fetched { events: 2, caught_up: true });
    assert!(b.broadcast(Content::text("asleep again")).is_err());
    b.resume().unwrap();
    b.broadcast(Content::text("awake")).unwrap();
    assert_eq!(history(&b, Conversation::Private(a.id())).len(), 1);
    b.suspend().unwrap();
    b.shutdown().unwrap();
}

#[test]
fn search_finds_in_any_case_and_pages() {
    let a = volatile(36, &[]);
    for n in 0..450 {
        let text = if n % 100 == 7 { format!("Ein Kn\u{d6}del, Nummer {n}") } else { format!("something else {n}") };
        a.broadcast(Content::text(text)).unwrap();
    }
    let search = |before, limit| a.search(Conversation::Network, "kn\u{f6}DEL", before, limit, LONG).unwrap();
    let shown = |found: &Found| found.messages.iter().map(|m| m.content.shown().to_string()).collect::<Vec<_>>();
    let newest = search(None, 2);
    assert_eq!(shown(&newest), ["Ein Kn\u{d6}del, Nummer 307", "Ein Kn\u{d6}del, Nummer 407"]);
    let rest = search(newest.older, 100);
    assert_eq!(
        shown(&rest),
        ["Ein Kn\u{d6}del, Nummer 7", "Ein Kn\u{d6}del, Nummer 107", "Ein Kn\u{d6}del, Nummer 207"]
    );
    assert_eq!(rest.older, None);
    assert!(matches!(
        a.search(Conversation::Network, "", None, 1, LONG),
        Err(NodeError::Command(CommandError::Empty(_)))
    ));
}

/// Fails if `say` does not read the target first.
#[test]
fn an_own_message_can_be_edited_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Node::open(NodeConfig { offline: true, ..loopback(profile(dir.path(), 1)) }).unwrap();
    let node = open();
    let [one, two, three] = ["one", "two", "three"].map(|t| node.broadcast(Content::text(t)).unwrap());
    node.shutdown().unwrap();
    let node = open();
    node.broadcast(Content::Edit { edit_of: one, text: "first".into() }).unwrap();
    node.broadcast(Content::Retract { retract: two }).unwrap();
    node.broadcast(Content::Reply { reply_to: two, text: "to two".into() }).unwrap();
    node.broadcast(Content::React { react_to: three, mark: "+1".into() }).unwrap();
    node.broadcast(Content::Edit { edit_of: one, text: "1".into() }).unwrap();
    let shown = history(&node, Conversation::Network);
    assert_eq!(shown.iter().map(|m| m.id).take(3).collect::<Vec<_>>(), [one, two, three]);
    assert_eq!(shown.len(), 8, "what edits is a message too");
    assert_eq!(shown.iter().map(Message::shown).take(3).collect::<Vec<_>>(), ["1", "", "three"]);
    assert_eq!(shown.iter().map(|m| m.retracted).take(3).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(shown[0].content, Content::text("one"), "as it was sent");
    let found = node.search(Conversation::Network, "one", None, 10, LONG).unwrap();
    assert_eq!(found.messages, [], "what is shown is searched");
}

/// Fails if the core keeps what it read among its deepest entries: there it is gone at once.
#[test]
fn a_message_before_a_thousand_others_can_be_edited() {
    let node = Node::open(NodeConfig { offline: true, ..loopback(identity(1)) }).unwrap();
    let first = node.broadcast(Content::text("first")).unwrap();
    for n in 0..1_100 {
        node.broadcast(Content::text(n.to_string())).unwrap();
    }
    node.broadcast(Content::Edit { edit_of: first, text: "1st".into() }).unwrap();
    let page = node.history(Conversation::Network, Some(first.next()), 1, LONG).unwrap();
    assert_eq!((page.messages[0].id, page.messages[0].shown(), page.older), (first, "1st", None));
}

/// Fails if the errors of the core go through as they are.
#[test]
fn a_wrong_target_is_named_with_its_reason() {
    let a = volatile(1, &[]);
    let b = volatile(2, &[place(&a)]);
    linked(&a, &b);
    let of_b = b.broadcast(Content::text("mine")).unwrap();
    until("broadcast", || (history(&a, Conversation::Network).len() == 1).then_some(()));
    for content in [Content::Edit { edit_of: of_b, text: "yours".into() }, Content::Retract { retract: of_b }] {
        let refused = a.broadcast(content).unwrap_err();
        assert!(matches!(refused, NodeError::NotOwn { id, author } if id == of_b && author == b.id()), "{refused}");
    }
    a.broadcast(Content::Reply { reply_to: of_b, text: "I see".into() }).unwrap();
    let elsewhere = a.send_private(b.id(), Content::text("private")).unwrap();
    for wrong in [elsewhere, MessageId { depth: 1, hash: [7; 32] }, MessageId { depth: u64::MAX, hash: [255; 32] }] {
        for content in [
            Content::Edit { edit_of: wrong, text: "x".into() },
            Content::Reply { reply_to: wrong, text: "x".into() },
            Content::React { react_to: wrong, mark: "x".into() },
            Content::Retract { retract: wrong },
        ] {
            let refused = a.broadcast(content).unwrap_err();
            assert!(matches!(refused, NodeError::NoTarget(id) if id == wrong), "{refused}");
        }
    }
    let refused = a.send_private(b.id(), Content::Reply { reply_to: of_b, text: "x".into() }).unwrap_err();
    assert!(matches!(refused, NodeError::NoTarget(id) if id == of_b), "{refused}");
}

#[test]
fn a_bot_says_so() {
    let config = Config { bot: true, ..Config::default() };
    let a = Node::open(NodeConfig { config, ..loopback(identity(37)) }).unwrap();
    let b = volatile(38, &[place(&a)]);
    linked(&a, &b);
    linked(&b, &a);
    assert!(b.peer(a.id()).unwrap().unwrap().bot);
    assert!(!a.peer(b.id()).unwrap().unwrap().bot);
    assert_eq!(a.peer(identity(99).node_id()).unwrap(), None);
}

#[test]
fn the_nodes_own_thread_gets_an_error_and_no_deadlock() {
    struct Asks(Arc<Node>, SyncSender<(bool, bool)>);
    impl std::task::Wake for Asks {
        fn wake(self: Arc<Self>) {
            let asked = matches!(self.0.status(), Err(NodeError::OwnThread));
            let _ = self.1.try_send((asked, self.0.shutdown().is_ok()));
        }
    }
    let a = Arc::new(Node::new(loopback(identity(39))).unwrap());
    let stream = a.subscribe();
    let (tell, told) = sync_channel(1);
    let waker = std::task::Waker::from(Arc::new(Asks(Arc::clone(&a), tell)));
    let mut ready = stream.ready();
    let pinned = std::pin::Pin::new(&mut ready);
    assert!(std::future::Future::poll(pinned, &mut std::task::Context::from_waker(&waker)).is_pending());
    a.start().unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap(), (true, true));
    a.wait_closed();
}

/// Stays with a stream until its node has closed it, and is slow then.
struct Slow {
    stream: EventStream,
    node: Arc<Node>,
    woken: AtomicBool,
}

impl Slow {
    fn listen(self: &Arc<Self>) {
        self.stream.take(usize::MAX);
        let waker = std::task::Waker::from(Arc::clone(self));
        let mut ready = self.stream.ready();
        let pending =
            std::future::Future::poll(std::pin::Pin::new(&mut ready), &mut std::task::Context::from_waker(&waker));
        // A wait that is dropped takes its waker along.
        if pending.is_pending() {
            std::mem::forget(ready);
        }
    }
}

impl std::task::Wake for Slow {
    fn wake(self: Arc<Self>) {
        if self.node.is_closed() {
            std::thread::sleep(Duration::from_millis(200));
            self.woken.store(true, Ordering::SeqCst);
        } else {
            self.listen();
        }
    }
}

#[test]
fn a_shutdown_waits_for_the_thread_also_if_it_was_begun_before() {
    let node = Arc::new(Node::new(loopback(identity(40))).unwrap());
    let slow = Arc::new(Slow { stream: node.subscribe(), node: Arc::clone(&node), woken: AtomicBool::new(false) });
    node.start().unwrap();
    slow.listen();
    node.begin_shutdown();
    node.begin_shutdown();
    assert!(matches!(node.start(), Err(NodeError::Closed)));
    assert!(matches!(node.status(), Err(NodeError::Closed)));
    node.shutdown().unwrap();
    assert!(slow.woken.load(Ordering::SeqCst), "the waiters woken by the node's thread are done");
}

#[test]
fn who_drops_a_node_that_was_told_to_end_does_not_wait_for_it() {
    let node = Node::new(loopback(identity(41))).unwrap();
    node.start().unwrap();
    let hub = Arc::clone(&node.hub);
    let (let_go, go) = sync_channel::<()>(0);
    // Holds the thread up until the node is dropped.
    node.submit(Box::new(move |_| assert!(go.recv_timeout(LONG).is_err(), "nobody sends"))).unwrap();
    node.begin_shutdown();
    drop(node);
    assert!(!hub.is_closed());
    drop(let_go);
    while !hub.is_closed() {
        hub.wait(u64::MAX, LONG);
    }
}

#[test]
fn the_operations_of_fault_tolerance_work_on_nodes() {
    let (a, b) = (volatile(1, &[]), volatile(2, &[]));
    a.handle_local_peer(LocalPeer { id: Some(b.id()), addr: b.local_addresses()[0] }).unwrap();
    linked(&a, &b);
    let state = |node: &Node| node.members().unwrap().into_iter().find(|m| m.id == b.id()).map(|m| m.state);
    until("zone", || (state(&a) == Some(MemberState::Alive)).then_some(()));
    a.detect_node_failure(b.id()).unwrap();
    a.report_partition(vec![b.id()]).unwrap();
    a.synchronize_state(b.id()).unwrap();
    a.recover_from_failure(FailureType::State).unwrap();
    let refused = a.detect_node_failure(a.id());
    assert!(matches!(refused, Err(NodeError::Command(CommandError::ToSelf))), "{refused:?}");
    assert!(matches!(b.simulate_crash(), Err(NodeError::Crashed)));
    until("detection", || (state(&a) != Some(MemberState::Alive)).then_some(()));
}

/// A text that was changed on the disk of a node that did not run: the sums of its rows agree, the check in the background
/// finds it, and the other node has it. A removed one is found by the sums.
///
/// Mutations: `Worker::check_slice` compares with no peer; `Worker::wait` leaves the chores out; `SqliteStore::verify` takes the
/// sums as they are.
#[test]
fn a_text_that_a_disk_changed_or_lost_comes_back() {
    for sql in [
        "UPDATE records SET value = substr(value, 1, 60) || zeroblob(length(value) - 60)
             WHERE tbl = 160 AND key IN (SELECT key FROM records WHERE tbl = 160 LIMIT 1 OFFSET 2)",
        "DELETE FROM records WHERE tbl = 160 AND key IN (SELECT key FROM records WHERE tbl = 160 LIMIT 1 OFFSET 2)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let a = volatile(41, &[]);
        let open =
            || Node::open(NodeConfig { bootstraps: vec![place(&a)], ..loopback(profile(dir.path(), 42)) }).unwrap();
        let b = open();
        linked(&a, &b);
        for n in 0..8 {
            a.broadcast(Content::text(format!("text {n}"))).unwrap();
        }
        let whole = until("b has all", || Some(history(&b, Conversation::Network)).filter(|all| all.len() == 8));
        b.shutdown().unwrap();
        let db = rusqlite::Connection::open(dir.path().join("node.db")).unwrap();
        assert_eq!(db.execute(sql, []).unwrap(), 1);
        drop(db);
        let b = open();
        linked(&b, &a);
        b.call(|w| w.chores.check_after(Duration::ZERO, w.now)).unwrap();
        let host = until("all was checked", || Some(b.status().unwrap().host).filter(|h| h.checked_at_ms.is_some()));
        assert_eq!(host.damaged_records, 1);
        assert!(host.checked_records > 10, "{}", host.checked_records);
        let again = until("it came back", || Some(history(&b, Conversation::Network)).filter(|all| all.len() == 8));
        assert_eq!(again, whole);
    }
}

/// Another program removes a text, or its end, from the file of a node that runs.
///
/// Mutations: `look` compares no version; it leaves the walk as it is; the worker begins no check after it.
#[test]
fn a_text_that_goes_under_a_running_node_comes_back() {
    for sql in [
        "DELETE FROM records WHERE tbl = 160 AND key IN (SELECT key FROM records WHERE tbl = 160 LIMIT 1 OFFSET 2)",
        "UPDATE records SET value = substr(value, 1, 60) || zeroblob(length(value) - 60)
             WHERE tbl = 160 AND key IN (SELECT key FROM records WHERE tbl = 160 LIMIT 1 OFFSET 2)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let a = volatile(43, &[]);
        let bootstraps = vec![place(&a)];
        let b = Node::open(NodeConfig { bootstraps, ..loopback(profile(dir.path(), 44)) }).unwrap();
        linked(&a, &b);
        for n in 0..8 {
            a.broadcast(Content::text(format!("text {n}"))).unwrap();
        }
        let whole = until("b has all", || Some(history(&b, Conversation::Network)).filter(|all| all.len() == 8));
        b.call(|w| w.chores.check_after(Duration::ZERO, w.now)).unwrap();
        until("all was checked", || b.status().unwrap().host.checked_at_ms);
        let db = rusqlite::Connection::open(dir.path().join("node.db")).unwrap();
        assert_eq!(db.execute(sql, []).unwrap(), 1);
        drop(db);
        b.call(|w| w.chores.minute_ends(Duration::ZERO, w.now)).unwrap();
        until("it is counted", || (b.status().unwrap().host.damaged_records == 1).then_some(()));
        let again = until("it came back", || Some(history(&b, Conversation::Network)).filter(|all| all.len() == 8));
        assert_eq!(again, whole);
    }
}
