//! Real nodes in processes of their own, commanded through their control sockets.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// No wait is longer than this; a test that needs it has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A node's process; killed when dropped.
pub struct Live {
    pub name: String,
    pub id: String,
    pub address: String,
    dir: PathBuf,
    control: PathBuf,
    process: Option<(Child, ChildStdin)>,
}

fn donp(dir: &Path, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_donp"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("DONP_") {
            command.env_remove(variable);
        }
    }
    // Nodes of other tests are not to be found.
    command.env("DONP_DISCOVERY_LAN", "off");
    command.arg("--state-dir").arg(dir).arg("--config").arg(dir.join("config.toml"));
    command.args(["--profile", name, "--json"]);
    command
}

impl Live {
    pub fn new(dir: &Path, name: &str) -> Self {
        // Nothing of this machine's own configuration may be read.
        std::fs::write(dir.join("config.toml"), "").unwrap();
        let made = donp(dir, name).args(["init", "--name", name, "--quiet"]).output().unwrap();
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        Self {
            name: name.into(),
            id: made["id"].as_str().unwrap().into(),
            address: String::new(),
            dir: dir.into(),
            control: PathBuf::new(),
            process: None,
        }
    }

    /// Starts the node; it enters through `through` or whom it remembers.
    pub fn start(&mut self, through: Option<&Live>) {
        let mut command = donp(&self.dir, &self.name);
        // The same port again, as a node with a configured port would.
        let listen = if self.address.is_empty() { "127.0.0.1:0" } else { &self.address };
        command.args(["run", "--until-stdin-ends", "--quiet", "--listen", listen]);
        if let Some(through) = through {
            command.args(["--bootstrap", &format!("{}/{}", through.address, through.id)]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{} did not start: {e}", self.name));
        assert_eq!(ready["id"], self.id.as_str(), "a restarted node is the same node");
        self.address = ready["listen"][0].as_str().unwrap().into();
        self.control = ready["control"].as_str().unwrap().into();
        let stdin = child.stdin.take().unwrap();
        self.process = Some((child, stdin));
    }

    /// SIGKILL, with whatever was under way.
    pub fn kill(&mut self) {
        if let Some((mut child, _)) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().0.id()
    }

    pub fn connect(&self) -> Option<Control> {
        let stream = UnixStream::connect(&self.control).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(Control(BufReader::new(stream)))
    }

    /// Calls a method of a node that must answer.
    pub fn call(&self, method: &str, params: Value) -> Value {
        let mut control = self.connect().unwrap_or_else(|| panic!("{} does not listen", self.name));
        control.call(method, params).unwrap_or_else(|e| panic!("{}: {method}: {e}", self.name))
    }

    /// All of a conversation: (id, author, text), oldest first.
    pub fn history(&self, conversation: &str) -> Vec<[String; 3]> {
        let mut pages: Vec<Vec<[String; 3]>> = Vec::new();
        let mut before = Value::Null;
        loop {
            let params = json!({ "conversation": conversation, "limit": 1_000, "before": before });
            let page = self.call("history", params);
            let field = |m: &Value, key: &str| m[key].as_str().unwrap_or_default().to_owned();
            let messages = page["messages"].as_array().unwrap().iter();
            pages.push(messages.map(|m| [field(m, "id"), field(m, "from"), field(m, "text")]).collect());
            before = page["older"].clone();
            if before.is_null() {
                return pages.into_iter().rev().flatten().collect();
            }
        }
    }

    /// The ids of all messages that were ever reported as durable events and not acknowledged.
    pub fn told(&self) -> Vec<String> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let page = self.call("recv", json!({ "after": after, "max": 1_000 }));
            let events = page["events"].as_array().unwrap();
            let Some(last) = events.last() else { return all };
            after = last["seq"].as_u64().unwrap();
            let messages = events.iter().filter(|e| e["type"] == "received");
            all.extend(messages.map(|e| e["message"]["id"].as_str().unwrap().to_owned()));
        }
    }

    /// Resident memory of the process in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A connection to a control socket.
pub struct Control(BufReader<UnixStream>);

impl Control {
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.0.get_mut().write_all(format!("{request}\n").as_bytes()).map_err(|e| e.to_string())?;
        let mut line = String::new();
        self.0.read_line(&mut line).map_err(|e| e.to_string())?;
        let mut answer: Value = serde_json::from_str(&line).map_err(|e| format!("{line:?}: {e}"))?;
        if answer["error"].is_object() { Err(answer["error"].to_string()) } else { Ok(answer["result"].take()) }
    }

    /// The id of a message that the node says it has; none if it died or knows no node of that name yet.
    pub fn send(&mut self, to: &str, text: &str) -> Option<String> {
        let sent = self.call("send", json!({ "to": to, "text": text, "wait": "none" })).ok()?;
        sent["id"].as_str().map(String::from)
    }
}

/// Looks until `ready` says so.
pub fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `n` nodes that know each other.
pub fn network(dir: &Path, n: usize) -> Vec<Live> {
    let mut nodes: Vec<Live> = (0..n).map(|i| Live::new(dir, &format!("n{i}"))).collect();
    for i in 0..n {
        let (before, rest) = nodes.split_at_mut(i);
        rest[0].start(before.first());
    }
    for node in &nodes {
        wait("all to be linked", || node.call("status", json!({}))["links"].as_u64() >= Some(n as u64 - 1));
    }
    nodes
}
