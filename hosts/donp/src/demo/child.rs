//! Real node processes, driven from outside as any program would: start, command, kill.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use donp_runtime::api::Event;
use serde_json::{Value, json};

use crate::control::client::Client;
use crate::failure::{Exit, Failure};
use crate::json;

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The time limit, and whether Ctrl-C was pressed.
#[derive(Clone)]
pub struct Limits {
    pub until: Instant,
    pub interrupted: Arc<AtomicBool>,
}

impl Limits {
    /// # Errors
    /// When the time is over or Ctrl-C was pressed.
    pub fn check(&self, what: &str) -> Result<(), Failure> {
        if self.interrupted.load(Ordering::SeqCst) {
            return Err(Failure::new(Exit::Interrupted, ""));
        }
        if Instant::now() >= self.until {
            return Err(Failure::new(Exit::Failed, format!("the time was over while waiting for {what}"))
                .hint("a longer --timeout; --keep DIR keeps the logs of the nodes"));
        }
        Ok(())
    }

    /// Looks at `ready` until it gives something.
    ///
    /// # Errors
    /// As [`check`](Self::check), or what `ready` reports.
    pub fn wait<T>(&self, what: &str, mut ready: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
        loop {
            if let Some(value) = ready()? {
                return Ok(value);
            }
            self.check(what)?;
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// # Errors
    /// As [`check`](Self::check).
    pub fn sleep(&self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.check("the next message")?;
            thread::sleep(POLL_INTERVAL.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }
}

/// One node of the network.
pub struct Member {
    pub name: String,
    pub id: String,
    pub short: String,
    pub address: String,
    pub control: PathBuf,
    /// Its state when it could first be commanded.
    pub first_state: String,
    dir: PathBuf,
    process: Option<Process>,
}

/// A process that does not outlive this one: it ends when its stdin does, and is killed when this is
/// dropped.
struct Process {
    child: Child,
    _stdin: Option<ChildStdin>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program, with everything of the outside that could change what it does taken away.
fn donp(dir: &Path, name: &str) -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot find this program to start it again: {e}")))?;
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("DONP_") {
            command.env_remove(variable);
        }
    }
    command.arg("--state-dir").arg(dir).arg("--config").arg(dir.join("config.toml"));
    command.args(["--profile", name, "--json"]);
    Ok(command)
}

impl Member {
    /// Makes the profile of a new node.
    pub fn create(dir: &Path, name: &str) -> Result<Self, Failure> {
        let output = donp(dir, name)?
            .args(["init", "--name", name, "--quiet"])
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot start {name}: {e}")))?;
        let made: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let field = |key: &str| made[key].as_str().map(String::from);
        let (Some(id), Some(short)) = (field("id"), field("short")) else {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failure::new(Exit::Failed, format!("cannot make a profile for {name}: {why}")));
        };
        Ok(Self {
            name: name.into(),
            id,
            short,
            address: String::new(),
            control: PathBuf::new(),
            first_state: String::new(),
            dir: dir.into(),
            process: None,
        })
    }

    /// Starts the node and waits until it can be commanded.
    pub fn start(
        &mut self,
        through: Option<&str>,
        fault: Option<&str>,
        seed: u64,
        limits: &Limits,
    ) -> Result<(), Failure> {
        let name = self.name.clone();
        let failed = |what: &str| Failure::new(Exit::Failed, format!("{name}: {what}"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join(format!("{name}.log")))
            .map_err(|e| failed(&format!("log: {e}")))?;
        let mut command = donp(&self.dir, &name)?;
        command
            // No other program on this machine has a part in it.
            .args(["-v", "run", "--until-stdin-ends", "--lan", "off", "--listen", "127.0.0.1:0"])
            .args(["--seed", &seed.to_string()]);
        if let Some(place) = through {
            command.args(["--bootstrap", place]);
        }
        if let Some(fault) = fault {
            command.args(["--fault", fault]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|e| failed(&format!("cannot start: {e}")))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        self.process = Some(Process { child, _stdin: stdin });
        let (tell, ready) = channel();
        let read = move || {
            let mut line = String::new();
            if let Some(stdout) = stdout {
                let _ = BufReader::new(stdout).read_line(&mut line);
            }
            let _ = tell.send(line);
        };
        thread::Builder::new().spawn(read).map_err(|e| failed(&e.to_string()))?;
        let line = limits.wait(&format!("{name} to start"), || match ready.recv_timeout(POLL_INTERVAL) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Ok(Some(String::new())),
        })?;
        let ready: Value = serde_json::from_str(&line).unwrap_or_default();
        if ready["type"] != "ready" {
            let log = std::fs::read_to_string(self.dir.join(format!("{name}.log"))).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(3).collect();
            return Err(failed(&format!("did not start: {}", last.into_iter().rev().collect::<Vec<_>>().join(" "))));
        }
        self.address = ready["listen"][0].as_str().unwrap_or_default().into();
        self.control = ready["control"].as_str().unwrap_or_default().into();
        self.first_state = ready["state"].as_str().unwrap_or_default().into();
        if ready["id"] != self.id.as_str() {
            return Err(failed("started with another node id"));
        }
        Ok(())
    }

    /// SIGKILL: no goodbye, no last write.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// `host:port/NODE_ID`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.address, self.id)
    }

    /// A new connection to the node's control socket.
    pub fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.control)
            .ok_or_else(|| Failure::new(Exit::Failed, format!("{} does not answer on its control socket", self.name)))
    }

    pub fn call(&self, method: &str, params: &Value) -> Result<Value, Failure> {
        self.connect()?.call(method, params)
    }

    pub fn status(&self) -> Result<Value, Failure> {
        self.call("status", &json!({}))
    }

    /// The last lines of the node's log, for a failure.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join(format!("{}.log", self.name))).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n")
    }
}

/// Sends, and again for as long as a queue is full. Returns the message's id.
pub fn send(client: &mut Client, to: &str, text: &str, limits: &Limits) -> Result<String, Failure> {
    limits.wait("room in a queue", || match client.call("send", &json!({ "to": to, "text": text, "wait": "none" })) {
        Ok(sent) => Ok(sent["id"].as_str().map(String::from)),
        Err(busy) if busy.exit == Exit::Refused => Ok(None),
        Err(e) => Err(e),
    })
}

/// Every page of a conversation, oldest message first.
pub fn history(member: &Member, conversation: &str) -> Result<Vec<Value>, Failure> {
    let mut client = member.connect()?;
    let (mut pages, mut before) = (Vec::new(), Value::Null);
    loop {
        let params = json!({ "conversation": conversation, "limit": 1_000, "before": before });
        let mut page = client.call("history", &params)?;
        if let Value::Array(messages) = page["messages"].take() {
            pages.push(messages);
        }
        before = page["older"].take();
        if before.is_null() {
            return Ok(pages.into_iter().rev().flatten().collect());
        }
    }
}

/// The ids of all messages that were reported as events, none acknowledged.
pub fn told(member: &Member) -> Result<Vec<String>, Failure> {
    let mut client = member.connect()?;
    let (mut ids, mut after) = (Vec::new(), 0);
    loop {
        let page = client.call("recv", &json!({ "after": after, "max": 1_000 }))?;
        let events: Vec<_> = page["events"].as_array().into_iter().flatten().map(json::read_event).collect();
        let Some(last) = events.iter().filter_map(Event::seq).next_back() else { return Ok(ids) };
        after = last;
        ids.extend(events.into_iter().filter_map(|e| match e {
            Event::Received { message, .. } => Some(message.id.to_string()),
            _ => None,
        }));
    }
}
