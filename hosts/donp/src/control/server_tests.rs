use std::time::Instant;

use donp_core::{Content, Identity, WallTime};
use donp_runtime::{Node, NodeConfig, Protection};

use super::*;
use crate::control::client::Client as Remote;
use crate::service::Facts;

struct Bench {
    dir: tempfile::TempDir,
    service: Arc<Service>,
    _server: Server,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::generate([1; 64], "alice", WallTime(1)).unwrap();
        let node = Node::open(NodeConfig { offline: true, ..NodeConfig::new(identity) }).unwrap();
        let facts = Facts { profile: "a".into(), dir: "d".into(), protection: Protection::Memory };
        let service = Arc::new(Service::new(node, facts, false));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let server = Server::start(&dir.path().join("sock"), Arc::clone(&service)).unwrap();
        Self { dir, service, _server: server }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    fn connect(&self) -> Remote {
        Remote::connect(&self.path()).unwrap()
    }

    /// Sends raw bytes and reads the answer to them.
    fn raw(&self, bytes: &[u8]) -> Value {
        let mut stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // A refused connection may be closed before all is written; its answer can still be read.
        let _ = stream.write_all(bytes);
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_its_server() {
    let bench = Bench::new();
    let mode = fs::metadata(bench.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let path = bench.path();
    let Bench { dir, service, _server } = bench;
    drop(_server);
    assert!(!path.exists());
    // A folder that others can enter is refused.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let open = Server::start(&path, Arc::clone(&service)).err().unwrap();
    assert!(open.what.contains("other users can reach"), "{open}");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    // So is a link to one, and a file in the way; a socket left behind is replaced.
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    assert!(Server::start(&link.join("sock"), Arc::clone(&service)).is_err());
    fs::write(&path, "x").unwrap();
    assert!(Server::start(&path, Arc::clone(&service)).err().unwrap().what.contains("in the way"));
    fs::remove_file(&path).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(Server::start(&path, service).unwrap());
}

#[test]
fn methods_answer_and_refusals_carry_their_exit_code() {
    let bench = Bench::new();
    let mut client = bench.connect();
    assert_eq!(client.call("whoami", &json!({})).unwrap()["name"], "alice");
    assert_eq!(client.call("nonsense", &json!({})).unwrap_err().exit, Exit::Usage);
    assert_eq!(client.call("ack", &json!({ "seq": 99 })).unwrap_err().exit, Exit::Failed);
    assert_eq!(client.call("leave", &json!({})).unwrap_err().exit, Exit::NoDaemon);
    assert_eq!(client.call("send", &json!({ "to": "bob", "text": "x" })).unwrap_err().exit, Exit::Failed);
    let sent = client.call("send", &json!({ "to": "all", "text": "hello" })).unwrap();
    assert_eq!(sent["state"], "queued");
    let page = client.call("history", &json!({})).unwrap();
    assert_eq!(page["messages"][0]["text"], "hello");
    assert_eq!(page["messages"][0]["id"], sent["id"]);
}

#[test]
fn garbage_is_answered_with_an_error_and_costs_nobody_else() {
    let bench = Bench::new();
    let mut other = bench.connect();
    for (line, code) in [
        (&b"{\n"[..], PARSE_ERROR),
        (b"\xff\xfe\x00\n", PARSE_ERROR),
        (b"[]\n", INVALID_REQUEST),
        (b"{\"id\":1,\"method\":\"status\"}\n", INVALID_REQUEST),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1}\n", INVALID_REQUEST),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}\n", METHOD_NOT_FOUND),
        (b"\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ack\",\"params\":[[1]]}\n", REFUSED),
    ] {
        assert_eq!(bench.raw(line)["error"]["code"], code, "{}", String::from_utf8_lossy(line));
        assert_eq!(other.call("version", &json!({})).unwrap()["name"], "donp");
    }
    let deep = [vec![b'['; 100_000], b"\n".to_vec()].concat();
    assert_eq!(bench.raw(&deep)["error"]["code"], PARSE_ERROR);
}

#[test]
fn a_line_without_end_is_cut_off() {
    let bench = Bench::new();
    let answer = bench.raw(&vec![b'x'; MAX_LINE + 1]);
    assert!(answer["error"]["message"].as_str().unwrap().contains("longer than"));
    // The longest text that is allowed still fits a line, escaped.
    let text = "\u{1}".repeat(donp_core::Content::MAX_LEN);
    assert_eq!(bench.connect().call("send", &json!({ "to": "all", "text": text })).unwrap()["state"], "queued");
}

#[test]
fn connections_are_bounded_and_come_back() {
    let bench = Bench::new();
    let mut clients: Vec<_> = (0..MAX_CLIENTS).map(|_| bench.connect()).collect();
    // Each has its slot when it has been answered.
    for client in &mut clients {
        client.call("version", &json!({})).unwrap();
    }
    let refused = bench.connect().call("version", &json!({})).unwrap_err();
    assert!(refused.what.contains("too many"), "{refused}");
    drop(clients);
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.connect().call("version", &json!({})).is_err() {
        assert!(Instant::now() < deadline, "no slot came back");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_follower_that_never_reads_disturbs_nobody() {
    let bench = Bench::new();
    let mut deaf = bench.connect();
    deaf.call("subscribe", &json!({ "after": 0 })).unwrap();
    assert_eq!(deaf.call("subscribe", &json!({})).unwrap_err().exit, Exit::Usage, "once");
    let big = "x".repeat(60_000);
    let mut busy = bench.connect();
    for _ in 0..50 {
        busy.call("send", &json!({ "to": "all", "text": big })).unwrap();
    }
    bench.service.node.broadcast(Content::text("still here")).unwrap();
    let found = busy.call("history", &json!({ "limit": 1 })).unwrap();
    assert_eq!(found["messages"][0]["text"], "still here");
}

#[test]
fn history_comes_in_pages_that_join_without_gap_or_repeat() {
    let bench = Bench::new();
    let mut client = bench.connect();
    for n in 0..25 {
        client.call("send", &json!({ "to": "all", "text": format!("message {n} {}", "odd".repeat(n % 2)) })).unwrap();
    }
    let all = |search: Option<&str>, limit: u32| {
        let mut client = bench.connect();
        let (mut texts, mut before) = (Vec::new(), Value::Null);
        loop {
            let page = client.call("history", &json!({ "limit": limit, "before": before, "search": search })).unwrap();
            let mut part: Vec<_> = page["messages"].as_array().unwrap().iter().map(|m| m["text"].to_string()).collect();
            part.append(&mut texts);
            texts = part;
            before = page["older"].clone();
            if before.is_null() {
                return texts;
            }
        }
    };
    let whole = all(None, 1_000);
    assert_eq!(whole.len(), 25);
    for limit in [1, 7, 24, 25, 26] {
        assert_eq!(all(None, limit), whole, "{limit}");
    }
    let odd: Vec<_> = whole.iter().filter(|t| t.contains("odd")).cloned().collect();
    assert_eq!(all(Some("ODD"), 5), odd);
    assert_eq!(all(Some("nothing"), 5), [] as [String; 0]);
}

#[test]
fn the_page_about_the_socket_names_every_method_and_no_other() {
    let page = include_str!("../../../../docs/control.md");
    let (methods, _) = page.split_once("## Values").unwrap();
    let rows = methods.lines().filter_map(|l| l.strip_prefix("| `")?.split(" |").next());
    let mut named: Vec<_> = rows.flat_map(|cell| cell.split('`')).map(str::trim).filter(|m| !m.is_empty()).collect();
    named.sort_unstable();
    let mut methods = Service::METHODS.to_vec();
    methods.push("subscribe");
    methods.sort_unstable();
    assert_eq!(named, methods);
    assert!(page.contains(&format!("{MAX_CLIENTS} connections")) && MAX_LINE == 2 << 20);
}

/// Fifty abandoned `recv` held their places for a day, and no other client was served. Breaks if a method waits without
/// a look at its client.
#[test]
fn clients_that_went_away_free_their_places() {
    let bench = Bench::new();
    for round in 0..2 {
        let waiting: Vec<UnixStream> = (0..MAX_CLIENTS).map(|_| UnixStream::connect(bench.path()).unwrap()).collect();
        for mut stream in &waiting {
            let recv = json!({ "jsonrpc": "2.0", "id": 1, "method": "recv", "params": { "timeout_ms": 3_600_000u64 } });
            stream.write_all(format!("{recv}\n").as_bytes()).unwrap();
        }
        drop(waiting);
        let until = Instant::now() + Duration::from_secs(60);
        let served = || bench.connect().call("version", &json!({})).is_ok();
        while !served() {
            assert!(Instant::now() < until, "round {round}: no client is served");
            thread::sleep(Duration::from_millis(50));
        }
    }
}
