//! The exported node over loopback UDP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use donp_ffi::*;

const LONG: u64 = 60_000;

fn config() -> NodeConfig {
    NodeConfig { listen: vec!["127.0.0.1:0".into()], ..NodeConfig::default() }
}

fn stored(dir: &std::path::Path, name: &str) -> NodeConfig {
    NodeConfig { state_dir: Some(dir.display().to_string()), name: Some(name.into()), ..config() }
}

fn started(config: NodeConfig) -> (Arc<Node>, Arc<EventStream>) {
    let node = Node::new(config, None).unwrap();
    let stream = node.subscribe();
    node.start().unwrap();
    (node, stream)
}

fn text(text: &str) -> Content {
    Content::Text { text: text.into() }
}

fn find<T>(stream: &EventStream, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        assert!(stream.wait(LONG), "it did not come");
        if let Some(found) = stream.take(1).into_iter().find_map(&mut wanted) {
            return found;
        }
    }
}

fn message(stream: &EventStream) -> (u64, String) {
    find(stream, |e| match e {
        Event::Received { seq, message: Message { content: Content::Text { text }, .. } } => Some((seq, text)),
        _ => None,
    })
}

fn kind<T>(result: Result<T, DonpError>) -> &'static str {
    match result {
        Ok(_) => "nothing was wrong",
        Err(e) => {
            let (reason, hint, _) = e.parts();
            assert!(!reason.is_empty() && !hint.is_empty());
            e.kind()
        }
    }
}

#[test]
fn nodes_talk_and_what_was_not_acknowledged_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let (a, _a_events) = started(NodeConfig { name: Some("a".into()), ..config() });
    let (b, b_events) = started(stored(dir.path(), "b"));
    b.join_ticket(&a.invite().unwrap()).unwrap();
    find(&b_events, |e| matches!(e, Event::PeerUp { .. }).then_some(()));
    for n in 0..3 {
        a.broadcast(text(&n.to_string())).unwrap();
    }
    let (first, said) = message(&b_events);
    assert_eq!(said, "0");
    assert_eq!(message(&b_events).1, "1");
    b.ack(first).unwrap();
    b.kill().unwrap();
    assert!(b.is_closed());
    drop((b, b_events));

    let (b, b_events) = started(stored(dir.path(), "ignored"));
    assert_eq!(b.name(), "b");
    assert_eq!(message(&b_events).1, "1", "the first was acknowledged, the second was not");
    let (last, said) = message(&b_events);
    assert_eq!(said, "2");
    b.ack(last).unwrap();
    let page = b.history(Conversation::Network, None, 2).unwrap();
    assert_eq!(page.messages.len(), 2);
    let rest = b.history(Conversation::Network, page.older, 2).unwrap();
    assert_eq!((rest.messages.len(), rest.older), (1, None));
    let newest = page.messages.last().unwrap();
    assert_eq!((newest.seq, newest.depth, message_id_depth(newest.id)), (3, 3, 3));
    let entry = ClockEntry { author: a.id(), life: newest.life.clone(), count: 3 };
    assert_eq!(newest.clock.as_deref(), Some(&[entry][..]));
    assert_eq!((newest.life.len(), &newest.edited, newest.retracted), (16, &None, false));
    assert_eq!(kind(b.broadcast(Content::Retract { retract: newest.id })), "Denied");
    let nowhere = MessageId { hash: [7; 32], ..newest.id };
    assert_eq!(kind(b.broadcast(Content::Reply { reply_to: nowhere, text: "x".into() })), "NotFound");
    a.broadcast(Content::Edit { edit_of: newest.id, text: "two".into() }).unwrap();
    let shown = a.history(Conversation::Network, None, 9).unwrap().messages;
    assert_eq!((&shown[2].edited, &shown[2].content), (&Some("two".into()), &text("2")));
    assert_eq!(b.search(Conversation::Network, "1", None, 9).unwrap().messages.len(), 1);
    assert_eq!(b.peer(a.id()).unwrap().unwrap().name.as_deref(), Some("a"));
    b.suspend().unwrap();
    assert_eq!(kind(b.broadcast(text("asleep"))), "NotRunning");
    b.resume().unwrap();
    b.shutdown().unwrap();
    b.shutdown().unwrap();
    assert_eq!(kind(b.status()), "Closed");
    while b_events.wait(LONG) {
        b_events.take(100);
    }
    assert!(b_events.is_finished(), "a stream ends with its node");
}

#[test]
fn every_kind_of_error_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let open = |c: NodeConfig| Node::new(c, None);
    let at = |c: NodeConfig| NodeConfig { listen: vec!["127.0.0.1:0".into()], ..c };
    assert_eq!(kind(open(NodeConfig { name: None, ..stored(&dir.path().join("none"), "") })), "NotFound");
    assert_eq!(kind(open(NodeConfig { listen: vec!["here".into()], ..config() })), "InvalidInput");
    assert_eq!(kind(open(NodeConfig { network_key: Some(vec![1; 31]), ..config() })), "InvalidInput");
    assert_eq!(kind(open(NodeConfig { bootstraps: vec!["nowhere".into()], ..config() })), "InvalidInput");
    assert_eq!(kind(open(NodeConfig { fault: Some("drop=2".into()), ..config() })), "InvalidInput");
    assert_eq!(kind(open(NodeConfig { identity: Some(vec![1]), ..config() })), "InvalidInput");
    assert_eq!(kind(open(NodeConfig { name: Some("n".repeat(65)), ..config() })), "InvalidInput");

    let locked = stored(&dir.path().join("p"), "p");
    let p = open(at(NodeConfig { passphrase: Some("right".into()), ..locked.clone() })).unwrap();
    assert_eq!(kind(open(locked.clone())), "Locked");
    assert_eq!(kind(p.status()), "NotRunning");
    drop(p);
    assert_eq!(kind(open(locked.clone())), "Denied");
    assert_eq!(kind(open(NodeConfig { passphrase: Some("wrong".into()), ..locked.clone() })), "Denied");
    let other = generate_identity("other").unwrap();
    let right = NodeConfig { passphrase: Some("right".into()), ..locked };
    assert_eq!(kind(open(NodeConfig { identity: Some(other), ..right.clone() })), "Denied");
    assert_eq!(
        kind(open(NodeConfig { network_key: Some(vec![1; 32]), ..right })),
        "Denied",
        "it lives in another network"
    );

    let (a, _events) = started(config());
    let taken = a.local_addresses();
    assert_eq!(kind(open(NodeConfig { listen: taken, ..config() })), "Network");
    assert_eq!(kind(a.ack(5)), "NotFound");
    assert_eq!(kind(a.send_private(a.id(), text("me"))), "InvalidInput");
    assert_eq!(kind(a.search(Conversation::Network, "", None, 1)), "InvalidInput");
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::write(dir.path().join("d/node.db"), b"this is no database").unwrap();
    assert_eq!(kind(open(stored(&dir.path().join("d"), "d"))), "Damaged");
    assert_eq!(kind(a.simulate_crash()), "Internal");
    assert_eq!(kind(a.status()), "Internal");
    assert_eq!(kind(a.shutdown()), "Internal");
}

#[test]
fn nodes_of_one_local_network_meet() {
    // On loopback, in a network of its own: no other node receives it or is received.
    let key = std::process::id().to_le_bytes().repeat(8);
    let near = |name: &str, lan: Lan| {
        let (name, network_key) = (Some(name.into()), Some(key.clone()));
        started(NodeConfig { name, network_key, lan: Some(lan), ..config() })
    };
    let (off, _off_events) = near("off", Lan::Off);
    let (a, a_events) = near("a", Lan::On);
    if a.status().unwrap().lan.is_empty() {
        assert!(std::env::var("DONP_REQUIRE_ALL").is_err(), "no multicast, and nothing may be skipped here");
        return eprintln!("SKIPPED: loopback has no multicast here");
    }
    let (b, _b_events) = near("b", Lan::Compat);
    assert_eq!(up(&a_events), b.id());
    let status = off.status().unwrap();
    assert_eq!((status.known, status.lan.len()), (0, 0), "it says and hears nothing");
    // What another discovery found is tried.
    off.handle_local_peer(&a.local_addresses()[0], Some(a.id())).unwrap();
    assert_eq!(up(&a_events), off.id());
    assert_eq!(kind(off.handle_local_peer("near", None)), "InvalidInput");
}

fn up(stream: &EventStream) -> NodeId {
    find(stream, |e| match e {
        Event::PeerUp { peer, .. } => Some(peer),
        _ => None,
    })
}

#[test]
fn members_and_the_operations_of_fault_tolerance() {
    let named = |name: &str| started(NodeConfig { name: Some(name.into()), ..config() });
    let ((a, a_events), (b, _b_events), (c, _c_events)) = (named("a"), named("b"), named("c"));
    let told = |peer: NodeId, state: MemberState| {
        find(&a_events, |e| (e == Event::MemberChanged { peer, state }).then_some(()));
    };
    for node in [&b, &c] {
        node.join_ticket(&a.invite().unwrap()).unwrap();
    }
    let begin = Instant::now();
    while a.members().unwrap().iter().filter(|m| m.state == MemberState::Alive).count() < 2 {
        assert!(begin.elapsed() < Duration::from_millis(LONG), "no zone formed");
        std::thread::sleep(Duration::from_millis(10));
    }
    let peer = a.peer(b.id()).unwrap().unwrap();
    assert_eq!((peer.node_type, peer.role), (NodeType::Regular, NodeType::Regular));

    a.block(c.id()).unwrap();
    assert_eq!(a.blocked().unwrap(), [c.id()]);
    assert_eq!(kind(a.block(a.id())), "InvalidInput");
    a.unblock(c.id()).unwrap();
    assert!(a.blocked().unwrap().is_empty());
    let begin = Instant::now();
    while a.members().unwrap().iter().filter(|m| m.state == MemberState::Alive && m.linked).count() < 2 {
        assert!(begin.elapsed() < Duration::from_millis(LONG), "no link after the block");
        std::thread::sleep(Duration::from_millis(10));
    }

    a.synchronize_state(b.id()).unwrap();
    a.report_partition(vec![b.id()]).unwrap();
    a.recover_from_failure(FailureType::State).unwrap();
    a.detect_node_failure(b.id()).unwrap();
    told(b.id(), MemberState::Alive);
    b.shutdown().unwrap();
    told(b.id(), MemberState::Left);
    c.kill().unwrap();
    a.detect_node_failure(c.id()).unwrap();
    told(c.id(), MemberState::Suspect);
    told(c.id(), MemberState::Down);
    assert_eq!(kind(a.detect_node_failure(a.id())), "InvalidInput");
}

struct Platform(bool);

impl KeyStore for Platform {
    fn wrap_key(&self, key: Vec<u8>) -> Result<Vec<u8>, KeyStoreError> {
        Ok(key.into_iter().rev().collect())
    }

    fn unwrap_key(&self, wrapped: Vec<u8>) -> Result<Vec<u8>, KeyStoreError> {
        if self.0 { self.wrap_key(wrapped) } else { Err(KeyStoreError::Refused { reason: "locked".into() }) }
    }
}

#[test]
fn the_platform_wraps_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let open = |unlocked| Node::new(stored(dir.path(), "k"), Some(Arc::new(Platform(unlocked))));
    let id = open(true).unwrap().id();
    assert_eq!(kind(open(false)), "Denied");
    assert_eq!(kind(Node::new(stored(dir.path(), "k"), None)), "Denied");
    let node = open(true).unwrap();
    assert_eq!(node.id(), id);
    node.start().unwrap();
    assert_eq!(node.status().unwrap().protection, "key-store");
}

#[test]
fn a_dropped_node_does_not_hold_up_the_one_who_drops_it() {
    let (node, stream) = started(config());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        drop(node);
        tell.send(()).unwrap();
    });
    told.recv().unwrap();
    while stream.wait(LONG) {
        stream.take(100);
    }
    assert!(stream.is_finished(), "the thread ended by itself");
}

/// Fails if who was removed gets the key of those who stay.
#[test]
fn a_group_of_three() {
    let named = |name: &str| started(NodeConfig { name: Some(name.into()), ..config() });
    let [(a, _), (b, _), (c, told)] = ["a", "b", "c"].map(named);
    for other in [&b, &c] {
        other.join_ticket(&a.invite().unwrap()).unwrap();
    }
    let role = GroupRole::Admin;
    let history = GroupHistory::Newest { count: 10 };
    let policy =
        GroupPolicy { invite: role, post: GroupRole::Member, describe: role, pin: role, approve: false, history };
    let group = a.create_group(GroupKind::Private, "team", policy, None).unwrap();
    let invitation = a.invite_to_group(group, GroupRole::Member, 2, 3_600, None).unwrap();
    for other in [&b, &c] {
        other.join_group(&invitation).unwrap();
    }
    let change = |stream: &EventStream, wanted: GroupChange| {
        find(stream, |e| match e {
            Event::GroupChanged { group, change, .. } if change == wanted => Some(group),
            _ => None,
        })
    };
    assert_eq!(change(&told, GroupChange::Joined), group);
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_millis(LONG);
        while !done() {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until("b is in", &|| b.group(group).unwrap().is_some());
    let texts = |node: &Node| -> Vec<Content> {
        let page = node.history(Conversation::Group { group }, None, 100).unwrap();
        page.messages.into_iter().map(|m| m.content).collect()
    };
    b.send_to_group(group, text("hello")).unwrap();
    until("all have it", &|| [&a, &c].iter().all(|n| texts(n) == [text("hello")]));
    let info = a.group(group).unwrap().unwrap();
    assert_eq!((info.role, info.members.len(), info.policy), (Some(GroupRole::Owner), 3, policy));
    assert_eq!(b.group(group).unwrap().unwrap().role, Some(GroupRole::Member));

    assert!(matches!(b.remove_member(group, a.id(), false), Err(DonpError::Denied { .. })));
    a.remove_member(group, c.id(), false).unwrap();
    change(&told, GroupChange::Ended);
    b.send_to_group(group, text("among us")).unwrap();
    until("a has read it", &|| texts(&a).len() == 2);
    a.send_to_group(group, text("yes")).unwrap();
    until("both have all", &|| [&a, &b].iter().all(|n| texts(n).len() == 3));
    assert_eq!(texts(&c), [text("hello")]);
    assert!(matches!(c.send_to_group(group, text("let me in")), Err(DonpError::Denied { .. })));
    assert!(matches!(a.join_group(&a.invite().unwrap()), Err(DonpError::InvalidInput { .. })));
}
