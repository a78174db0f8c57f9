//! A node that joins a conversation of a hundred thousand messages, on disk at the node that has them.

use std::time::{Duration, Instant};

use donp_core::{Content, Conversation, Identity, WallTime};
use donp_runtime::{Cost, Node, NodeConfig, Profile, Secrets};

const LONG: Duration = Duration::from_secs(600);
const MESSAGES: usize = 100_000;
/// A page as an application shows it.
const PAGE: u32 = 50;

fn identity(n: u8) -> Identity {
    Identity::generate([n; 64], "bench", WallTime(1)).expect("a valid name")
}

fn shown(node: &Node) -> Vec<String> {
    let page = node.history(Conversation::Network, None, PAGE, LONG).expect("a page");
    page.messages.iter().map(|m| m.content.shown().to_owned()).collect()
}

pub fn run(name: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let cost = Cost { memory_kib: 8, passes: 1 };
    let profile = Profile::create(dir.path(), &identity(1), &Secrets::default(), cost).expect("a profile");
    let listen = || vec!["127.0.0.1:0".parse().expect("an address")];
    let old = Node::open(NodeConfig { listen: listen(), ..NodeConfig::new(profile) }).expect("a node");
    let began = Instant::now();
    for n in 0..MESSAGES {
        old.broadcast(Content::text(format!("message {n}"))).expect("it is said");
    }
    let last = format!("message {}", MESSAGES - 1);
    assert_eq!(shown(&old).last(), Some(&last));
    let said = began.elapsed().as_secs_f64();
    let place = format!("{}/{}", old.local_addresses()[0], old.id());
    let joined = Instant::now();
    let new = NodeConfig { listen: listen(), bootstraps: vec![place], ..NodeConfig::new(identity(2)) };
    let new = Node::open(new).expect("a node");
    let (mut first, mut whole) = (None, None);
    while whole.is_none() {
        let page = shown(&new);
        if first.is_none() && page.len() == PAGE as usize {
            first = Some(joined.elapsed().as_secs_f64());
        }
        if page.last() == Some(&last) {
            whole = Some(joined.elapsed().as_secs_f64());
        }
        assert!(joined.elapsed() < LONG, "the newest page did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
    let size: u64 =
        std::fs::read_dir(dir.path()).expect("a folder").filter_map(|e| e.ok()?.metadata().ok()).map(|m| m.len()).sum();
    println!(
        "{name}: {MESSAGES} messages said in {said:.0} s, {} MB on disk; a newcomer shows a page after {:.2} s and the newest \
         after {:.2} s",
        size / 1_000_000,
        first.unwrap_or_default(),
        whole.unwrap_or_default(),
    );
}
