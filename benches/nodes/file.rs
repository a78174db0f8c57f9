//! A file of 200 MB from one node to another in the same process: reading and sealing it, fetching it, writing it.

use std::path::Path;
use std::time::{Duration, Instant};

use donp_core::{Content, Conversation, Identity, WallTime};
use donp_runtime::{Cost, Node, NodeConfig, Profile, Secrets, StoreKind, os};

const BYTES: usize = 200_000_000;
const LONG: Duration = Duration::from_secs(300);

fn open(durable: bool, dir: &Path, n: u8, bootstraps: Vec<String>) -> Node {
    let identity = Identity::generate([n; 64], "bench", WallTime(1)).expect("a valid name");
    let store: StoreKind = if durable {
        let cost = Cost { memory_kib: 8, passes: 1 };
        Profile::create(dir, &identity, &Secrets::default(), cost).expect("a profile").into()
    } else {
        identity.into()
    };
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Node::open(NodeConfig { listen, bootstraps, ..NodeConfig::new(store) }).expect("a node")
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn run(name: &str) {
    let durable = name == "file-durable";
    let dir = tempfile::tempdir().expect("a folder");
    let from = dir.path().join("from.bin");
    let bytes: Vec<u8> = (0..BYTES).map(|i| (i / 7) as u8 ^ (i >> 16) as u8).collect();
    std::fs::write(&from, &bytes).expect("a file");
    let a = open(durable, &dir.path().join("a"), 1, Vec::new());
    let place = format!("{}/{}", a.local_addresses()[0], a.id());
    let b = open(durable, &dir.path().join("b"), 2, vec![place]);
    until("link", || a.peers().expect("peers").iter().any(|p| p.linked));
    let cpu = |used: u64| (os::cpu_micros() - used) as f64 / 1e6;
    let rate = |begun: Instant| BYTES as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let (begun, used) = (Instant::now(), os::cpu_micros());
    let file = a.add_file(&from, "").expect("it is added");
    println!("{name}: added {:.0} MB/s, CPU {:.2} s", rate(begun), cpu(used));
    let content = Content::File { file: Box::new(file.clone()), text: String::new() };
    a.send_private(b.id(), content).expect("it is said");
    let (begun, used) = (Instant::now(), os::cpu_micros());
    b.fetch_file(Conversation::Private(a.id()), &file, Some(a.id())).expect("it is fetched");
    until("file", || b.files().expect("files").iter().any(|f| f.is_whole));
    println!("{name}: fetched {:.0} MB/s, CPU {:.2} s at both ends", rate(begun), cpu(used));
    let (begun, to) = (Instant::now(), dir.path().join("to.bin"));
    b.save_file(file.id, &to).expect("it is saved");
    println!("{name}: saved {:.0} MB/s", rate(begun));
    assert!(std::fs::read(&to).expect("the file") == bytes, "another file");
}
