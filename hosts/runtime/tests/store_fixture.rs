//! A profile that this version wrote, under version control: what was stored can be read. It is written again with
//! `DONP_WRITE_FIXTURE=1 cargo test -p donp-runtime --test store_fixture`, when the format of the store rises
//! (docs/spec/store.md, "Another format").
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use donp_core::{
    Contact, Content, Conversation, Durable, Event, GroupKind, GroupPolicy, GroupRole, Identity, Message, NodeId,
    WallTime,
};
use donp_runtime::{Cost, Node, NodeConfig, Profile, Secrets, StoreKind};

const HOW_TO_REMAKE: &str = "a store of this version cannot be read as it was written. If a stored form changed: raise FORMAT in \
                     hosts/runtime/src/store/database.rs, describe it in docs/spec/store.md, and write the fixture again \
                     with `DONP_WRITE_FIXTURE=1 cargo test -p donp-runtime --test store_fixture`";
const LONG: Duration = Duration::from_secs(60);
/// Both are copied; the lock file is made anew.
const FILES: [&str; 2] = ["node.db", "key"];
const FILE: &[u8] = b"first this, then that";

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/profile")
}

fn identity(n: u8) -> Identity {
    Identity::generate([n; 64], &format!("fixture{n}"), WallTime(1)).unwrap()
}

fn copy(from: &Path, to: &Path) {
    for name in FILES {
        fs::copy(from.join(name), to.join(name)).unwrap_or_else(|e| panic!("{name} of {}: {e}", from.display()));
    }
    #[cfg(unix)]
    fs::set_permissions(to.join("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn open(store: impl Into<StoreKind>, bootstraps: Vec<String>, offline: bool) -> Node {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    Node::open(NodeConfig { listen, bootstraps, offline, ..NodeConfig::new(store) })
        .unwrap_or_else(|e| panic!("{e}\n{HOW_TO_REMAKE}"))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn history(node: &Node, conversation: Conversation) -> Vec<Message> {
    node.history(conversation, None, 100, LONG).unwrap().messages
}

fn texts(node: &Node, conversation: Conversation) -> Vec<String> {
    history(node, conversation).iter().map(|m| m.content.shown().to_owned()).collect()
}

/// Nodes 1 and 2 talk, also in a group, and share a file; node 3 becomes a device of the person of node 1. Both are gone before
/// the last message. The profile of node 1 becomes the fixture.
fn write() {
    let home = tempfile::tempdir().unwrap();
    let profile = Profile::create(home.path(), &identity(1), &Secrets::default(), Cost::default()).unwrap();
    let one = open(profile, Vec::new(), false);
    let two = open(identity(2), vec![format!("{}/{}", one.local_addresses()[0], one.id())], false);
    until("link", || one.peers().unwrap().iter().any(|p| p.id == two.id() && p.linked));
    let (to_one, to_two) = (Conversation::Private(one.id()), Conversation::Private(two.id()));
    one.broadcast(Content::text("to all")).unwrap();
    until("broadcast", || texts(&two, Conversation::Network) == ["to all"]);
    let about = history(&two, Conversation::Network)[0].id;
    two.broadcast(Content::Reply { reply_to: about, text: "in answer".into() }).unwrap();
    until("answer", || texts(&one, Conversation::Network).len() == 2);
    one.ack(1).unwrap();
    two.send_private(one.id(), Content::text("to you")).unwrap();
    until("private message", || texts(&one, to_two) == ["to you"]);
    let id = one.send_private(two.id(), Content::text("and to you")).unwrap();
    until("delivery", || !one.is_queued(id).unwrap() && texts(&two, to_one).len() == 2);
    one.rename_contact(two.id(), Some("Second")).unwrap();
    let group = one.create_group(GroupKind::Private, "team", GroupPolicy::default(), None).unwrap();
    let ticket = one.invite_to_group(group, GroupRole::Member, 1, LONG, None).unwrap();
    two.join_group(&ticket).unwrap();
    until("member", || two.group(group).unwrap().is_some_and(|g| g.members.len() == 2));
    let file = one.add_file_bytes(FILE.to_vec(), "plan.txt", "text/plain").unwrap();
    one.send_to_group(group, Content::File { file: Box::new(file), text: "the plan".into() }).unwrap();
    two.send_to_group(group, Content::text("in the group")).unwrap();
    let in_group = Conversation::Group(group);
    until("group", || texts(&one, in_group).len() == 2 && texts(&two, in_group).len() == 2);
    let three = open(identity(3), vec![format!("{}/{}", one.local_addresses()[0], one.id())], false);
    until("link of the device", || one.peers().unwrap().iter().any(|p| p.id == three.id() && p.linked));
    three.join_account(&one.add_device().unwrap()).unwrap();
    until("list", || one.devices().unwrap().len() == 2);
    three.shutdown().unwrap();
    two.shutdown().unwrap();
    one.send_private(two.id(), Content::text("are you there?")).unwrap();
    one.shutdown().unwrap();
    fs::create_dir_all(fixture()).unwrap();
    copy(home.path(), &fixture());
}

#[test]
fn a_stored_profile_of_this_format_reads_back() {
    if std::env::var_os("DONP_WRITE_FIXTURE").is_some() {
        write();
    }
    let home = tempfile::tempdir().unwrap();
    copy(&fixture(), home.path());
    let profile = Profile::open(home.path(), &Secrets::default()).unwrap_or_else(|e| panic!("{e}\n{HOW_TO_REMAKE}"));
    assert_eq!(profile.identity().node_id(), identity(1).node_id(), "{HOW_TO_REMAKE}");
    let two: NodeId = identity(2).node_id();
    let node = open(profile, Vec::new(), true);
    assert_eq!(texts(&node, Conversation::Network), ["to all", "in answer"], "{HOW_TO_REMAKE}");
    assert_eq!(texts(&node, Conversation::Private(two)), ["to you", "and to you", "are you there?"], "{HOW_TO_REMAKE}");
    let network = history(&node, Conversation::Network);
    assert!(
        matches!(network[1].content, Content::Reply { reply_to, .. } if reply_to == network[0].id),
        "{HOW_TO_REMAKE}"
    );
    let private = history(&node, Conversation::Private(two));
    assert!(node.is_queued(private[2].id).unwrap() && !node.is_queued(private[1].id).unwrap(), "{HOW_TO_REMAKE}");
    // The first event is acknowledged: it does not come again.
    let events: Vec<_> = node.events(0, 100).unwrap().events;
    let seen: Vec<_> = events.iter().filter_map(|e| Some((e.seq()?, e))).collect();
    assert_eq!(seen.iter().take(3).map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3, 4], "{HOW_TO_REMAKE}");
    assert!(
        matches!(seen[0].1, Event::Durable { event: Durable::Received(m), .. } if m.id == private[0].id),
        "{HOW_TO_REMAKE}"
    );
    assert!(
        matches!(seen[1].1, Event::Durable { event: Durable::ContactRequest { node }, .. } if *node == two),
        "{HOW_TO_REMAKE}"
    );
    assert!(
        matches!(seen[2].1, Event::Durable { event: Durable::Delivered { id, to }, .. } if *id == private[1].id && *to == two),
        "{HOW_TO_REMAKE}"
    );
    assert!(
        node.peers().unwrap().iter().any(|p| p.id == two && p.name.as_deref() == Some("fixture2")),
        "{HOW_TO_REMAKE}"
    );
    let contact = node.contact(two).unwrap();
    let named = |c: &Contact| c.petname.as_deref() == Some("Second");
    assert!(contact.is_some_and(|c| !c.request && c.unread == 1 && named(&c)), "{HOW_TO_REMAKE}");
    let groups = node.groups().unwrap();
    assert!(groups.len() == 1 && groups[0].name == "team" && groups[0].members.len() == 2, "{HOW_TO_REMAKE}");
    let group = Conversation::Group(groups[0].id);
    assert_eq!(texts(&node, group).iter().collect::<BTreeSet<_>>().len(), 2, "{HOW_TO_REMAKE}");
    assert!(texts(&node, group).contains(&"in the group".into()), "{HOW_TO_REMAKE}");
    let files = node.files().unwrap();
    assert!(files.len() == 1 && files[0].name == "plan.txt", "{HOW_TO_REMAKE}");
    assert_eq!(node.read_file(files[0].id, 0).unwrap().as_deref(), Some(FILE), "{HOW_TO_REMAKE}");
    let devices: BTreeSet<NodeId> = node.devices().unwrap().iter().map(|d| d.node).collect();
    assert_eq!(devices, [node.id(), identity(3).node_id()].into(), "{HOW_TO_REMAKE}");
    let status = node.status().unwrap();
    assert_eq!((status.node.outbox, status.host.damaged_records), (1, 0), "{HOW_TO_REMAKE}");
    node.shutdown().unwrap();
}
