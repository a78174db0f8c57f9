//! The side of the command line.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::{Exit, Failure};

/// What a daemon may add to the time a method takes by itself.
const GRACE: Duration = Duration::from_secs(70);
/// Pages of history are long; the daemon is trusted more than its clients.
const MAX_ANSWER: u64 = 256 << 20;

/// A connection to a daemon.
pub struct Client {
    stream: BufReader<UnixStream>,
    next_id: u64,
}

/// What a subscription gives.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Event(Value),
    /// No more: why, if the daemon said so.
    End(Option<String>),
}

impl Client {
    /// None if no process listens there.
    pub fn connect(path: &Path) -> Option<Self> {
        let stream = UnixStream::connect(path).ok()?;
        Some(Self { stream: BufReader::new(stream), next_id: 1 })
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    /// What the daemon reports, or that it is gone.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let patience = Duration::from_millis(params["timeout_ms"].as_u64().unwrap_or(0)) + GRACE;
        self.set_timeout(Some(patience))?;
        // A daemon that refuses the connection says why before it closes it.
        let sent = self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let mut answer = self.read()?.ok_or_else(|| sent.clone().err().unwrap_or_else(gone))?;
            let mine = answer["id"] == json!(id);
            if answer["error"].is_object() && (mine || answer["id"].is_null()) {
                return Err(Failure::from_rpc(&answer["error"]));
            }
            if mine {
                return Ok(answer["result"].take());
            }
        }
    }

    /// Asks for events after `after` (the daemon's own cursor if none) to be sent from here on. The answer says after
    /// which one they begin, and which is the `last` that there is.
    ///
    /// # Errors
    /// What the daemon reports, or that it is gone.
    pub fn subscribe(&mut self, after: Option<u64>) -> Result<Value, Failure> {
        let answer = self.call("subscribe", &json!({ "after": after }))?;
        self.set_timeout(None)?;
        Ok(answer)
    }

    /// What comes next in a subscription.
    ///
    /// # Errors
    /// When what came is not understood.
    pub fn next(&mut self) -> Result<Next, Failure> {
        loop {
            match self.read() {
                Ok(Some(mut line)) if line["method"] == "event" => return Ok(Next::Event(line["params"].take())),
                Ok(Some(line)) if line["method"] == "end" => {
                    return Ok(Next::End(line["params"]["reason"].as_str().map(Into::into)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Next::End(None)),
                Err(e) if e.exit == Exit::NoDaemon => return Ok(Next::End(None)),
                Err(e) => return Err(e),
            }
        }
    }

    /// Sends an acknowledgement without waiting for its answer.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn ack(&mut self, seq: u64) -> Result<(), Failure> {
        self.send(&json!({ "jsonrpc": "2.0", "method": "ack", "params": { "seq": seq } }))
    }

    fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), Failure> {
        self.stream.get_ref().set_read_timeout(timeout).map_err(|e| Failure::new(Exit::NoDaemon, e.to_string()))
    }

    fn send(&mut self, message: &Value) -> Result<(), Failure> {
        let mut line = message.to_string();
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|_| gone())
    }

    fn read(&mut self) -> Result<Option<Value>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(MAX_ANSWER).read_until(b'\n', &mut line);
        match read {
            // Half a line: the other side was cut off while it wrote.
            Ok(_) if !line.ends_with(b"\n") => Ok(None),
            Ok(_) => serde_json::from_slice(&line)
                .map(Some)
                .map_err(|_| Failure::new(Exit::Bug, "the daemon answered with something that is not JSON")),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                Err(Failure::new(Exit::Network, "the daemon did not answer in time").hint("donp status"))
            }
            Err(_) => Err(gone()),
        }
    }
}

fn gone() -> Failure {
    Failure::new(Exit::NoDaemon, "the daemon ended before it answered").hint("donp run")
}
