//! The side of the daemon. Each client has a thread and bounded buffers; a slow, silent or garbled
//! one costs itself its connection and the node nothing.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use donp_runtime::os;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use serde_json::{Value, json};

use super::MAX_LINE;
use crate::failure::{Exit, Failure};
use crate::service::Service;

/// Connections at once; one more gets an error and is closed.
const MAX_CLIENTS: usize = 64;
/// A client that does not read for this long is cut off.
const WRITE_WAIT: Duration = Duration::from_secs(10);
/// A client that asks for nothing and follows nothing is cut off after this.
const IDLE: Duration = Duration::from_secs(60);
/// How often a follower looks for passing events.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long followers have to take the reason of the end: five of their rounds.
const GOODBYE: Duration = Duration::from_secs(1);
/// Events of one round to a follower.
const PAGE: usize = 256;

const PARSE_ERROR: i64 = -32_700;
const INVALID_REQUEST: i64 = -32_600;
const METHOD_NOT_FOUND: i64 = -32_601;
/// Everything a method reports itself; `data.exit` says more.
const REFUSED: i64 = -32_000;

/// A listening control socket; removed when dropped.
pub struct Server {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    waker: Waker,
    accepting: Option<thread::JoinHandle<()>>,
    followers: Arc<AtomicUsize>,
}

/// The token of the waker; the listener has zero.
const STOP: Token = Token(1);

impl Server {
    /// Listens at `path`, which is this process's alone because it holds the profile's lock.
    ///
    /// # Errors
    /// When the folder is not private or the socket cannot be made.
    pub fn start(path: &Path, service: Arc<Service>) -> Result<Self, Failure> {
        let listener = bind(path)?;
        let io = |e: io::Error| failed(path, &e);
        listener.set_nonblocking(true).map_err(io)?;
        let poll = Poll::new().map_err(io)?;
        poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), Token(0), Interest::READABLE).map_err(io)?;
        let waker = Waker::new(poll.registry(), STOP).map_err(io)?;
        let stop = Arc::new(AtomicBool::new(false));
        let followers = Arc::new(AtomicUsize::new(0));
        let (stopping, following) = (Arc::clone(&stop), Arc::clone(&followers));
        let accepting = thread::Builder::new()
            .name("donp-control".into())
            .spawn(move || accept_all(poll, &listener, &service, (&stopping, &following)))
            .map_err(io)?;
        Ok(Self { path: path.into(), stop, waker, accepting: Some(accepting), followers })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.waker.wake();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        // Followers get the reason; one that does not read is not waited for.
        let until = Instant::now() + GOODBYE;
        while self.followers.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(path: &Path, e: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("control socket {}: {e}", path.display()))
        .hint("a --state-dir that you can write to")
}

/// A socket with mode 0600 in a folder with mode 0700 that belongs to this user and is no link.
fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let io = |e: io::Error| failed(path, &e);
    if !dir.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    }
    let about = fs::symlink_metadata(dir).map_err(io)?;
    if !about.is_dir() || about.uid() != os::own_uid() || about.permissions().mode() & 0o077 != 0 {
        return Err(Failure::new(
            Exit::Failed,
            format!("other users can reach the control socket's folder {}", dir.display()),
        )
        .hint("chmod 700 it, or use another --state-dir"));
    }
    // Left by a process that was killed: only the holder of the lock listens here.
    match fs::symlink_metadata(path) {
        Ok(old) if old.file_type().is_socket() => fs::remove_file(path).map_err(io)?,
        Ok(_) => {
            return Err(Failure::new(Exit::Failed, format!("{} is in the way of the control socket", path.display()))
                .hint("remove it"));
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(io)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io)?;
    Ok(listener)
}

fn accept_all(
    mut poll: Poll,
    listener: &UnixListener,
    service: &Arc<Service>,
    (stop, followers): (&Arc<AtomicBool>, &Arc<AtomicUsize>),
) {
    let clients = Arc::new(AtomicUsize::new(0));
    let mut ready = Events::with_capacity(4);
    while !stop.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => accept(stream, (&clients, followers), service, stop),
            Err(e) if would_block(&e) => drop(poll.poll(&mut ready, None)),
            // Out of descriptors, most likely: let some be freed.
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn accept(
    stream: UnixStream,
    (clients, followers): (&Arc<AtomicUsize>, &Arc<AtomicUsize>),
    service: &Arc<Service>,
    stop: &Arc<AtomicBool>,
) {
    // Some systems hand the listener's mode down.
    let ready = stream.set_nonblocking(false).and_then(|()| stream.set_write_timeout(Some(WRITE_WAIT)));
    if ready.is_err() {
        return;
    }
    let mut client =
        Client { stream, service: Arc::clone(service), stop: Arc::clone(stop), followers: Arc::clone(followers) };
    if !matches!(os::peer_uid(&client.stream), Ok(uid) if uid == os::own_uid()) {
        return client.refuse("this socket belongs to another user");
    }
    let Some(slot) = Slot::take(clients) else {
        return client.refuse("too many connections to the control socket");
    };
    let serve = move || {
        client.serve();
        drop(slot);
    };
    if let Err(e) = thread::Builder::new().name("donp-client".into()).spawn(serve) {
        log::warn!("control socket: {e}");
    }
}

/// One of the connections there may be.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        if count.fetch_add(1, Ordering::SeqCst) >= MAX_CLIENTS {
            count.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        Some(Self(Arc::clone(count)))
    }

    /// One more, without a limit of its own.
    fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Client {
    stream: UnixStream,
    service: Arc<Service>,
    stop: Arc<AtomicBool>,
    followers: Arc<AtomicUsize>,
}

/// Written by the client's thread and by the one that follows events for it.
type Writer = Arc<Mutex<UnixStream>>;

fn write(writer: &Writer, message: &Value) -> io::Result<()> {
    let mut line = message.to_string();
    line.push('\n');
    writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
}

fn error(id: Value, code: i64, failure: &Failure) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": id,
        "error": { "code": code, "message": failure.what, "data": failure.to_json() },
    })
}

impl Client {
    fn refuse(&mut self, why: &str) {
        let message = error(Value::Null, REFUSED, &Failure::new(Exit::Refused, why));
        let _ = self.stream.write_all(format!("{message}\n").as_bytes());
    }

    fn serve(self) {
        let (Ok(reading), Ok(writing)) = (self.stream.try_clone(), self.stream.try_clone()) else { return };
        let writer: Writer = Arc::new(Mutex::new(writing));
        let gone = Arc::new(AtomicBool::new(false));
        let _ = self.stream.set_read_timeout(Some(IDLE));
        let mut reader = BufReader::new(reading);
        let mut follows = false;
        let mut line = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            line.clear();
            // One more than allowed tells a full line from a long one.
            match (&mut reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) if line.len() > MAX_LINE => {
                    let why = Failure::usage(format!("a line is longer than {MAX_LINE} bytes"));
                    let _ = write(&writer, &error(Value::Null, INVALID_REQUEST, &why));
                    break;
                }
                Ok(_) => {}
                // Idle; a follower may be.
                Err(e) if would_block(&e) && follows && line.is_empty() => continue,
                Err(_) => break,
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let Some(answer) = self.answer(&line, &writer, &gone, &mut follows) else { continue };
            if write(&writer, &answer).is_err() {
                break;
            }
        }
        // The follower says why it ends, and closes the connection then.
        if follows && self.stop.load(Ordering::SeqCst) {
            return;
        }
        gone.store(true, Ordering::SeqCst);
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// None for a notification.
    fn answer(&self, line: &[u8], writer: &Writer, gone: &Arc<AtomicBool>, follows: &mut bool) -> Option<Value> {
        let Ok(request) = serde_json::from_slice::<Value>(line) else {
            return Some(error(Value::Null, PARSE_ERROR, &Failure::usage("a line is not JSON")));
        };
        let id = request.get("id").cloned();
        let Some(method) = request["method"].as_str().filter(|_| request["jsonrpc"] == "2.0") else {
            let why = Failure::usage("a request has \"jsonrpc\":\"2.0\" and a \"method\"");
            return Some(error(id.unwrap_or(Value::Null), INVALID_REQUEST, &why));
        };
        let params = &request["params"];
        let known = method == "subscribe" || Service::METHODS.contains(&method);
        let result = if method == "subscribe" {
            self.follow(params, writer, gone, follows)
        } else {
            // A place is freed when its client goes away, not when its wait is over: a day at the most.
            self.service.call(method, params, &|| os::is_closed(&self.stream))
        };
        let id = id?;
        Some(match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(failure) => error(id, if known { REFUSED } else { METHOD_NOT_FOUND }, &failure),
        })
    }

    /// Sends events from here on, from a thread of its own: a client that does not read blocks that
    /// thread and then loses its connection.
    fn follow(
        &self,
        params: &Value,
        writer: &Writer,
        gone: &Arc<AtomicBool>,
        follows: &mut bool,
    ) -> Result<Value, Failure> {
        if *follows {
            return Err(Failure::usage("this connection already follows the events"));
        }
        let cursor = self.service.node.cursor();
        let after = params["after"].as_u64().unwrap_or(cursor);
        let last = self.service.node.newest_event()?;
        let (service, stop) = (Arc::clone(&self.service), Arc::clone(&self.stop));
        let (writer, gone) = (Arc::clone(writer), Arc::clone(gone));
        let stream = self.stream.try_clone().map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
        let follower = Slot::of(&self.followers);
        let run = move || {
            let ended = || stop.load(Ordering::SeqCst) || gone.load(Ordering::SeqCst);
            match send_events(&service, after, &writer, ended) {
                Ok(()) => {
                    let reason = if stop.load(Ordering::SeqCst) {
                        "the daemon was stopped"
                    } else {
                        "the node of this daemon ended"
                    };
                    let end = json!({ "jsonrpc": "2.0", "method": "end", "params": { "reason": reason } });
                    let _ = write(&writer, &end);
                }
                Err(e) => log::warn!("a reader of events is cut off: {e}"),
            }
            drop(follower);
            // Ends the reading side too.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        };
        thread::Builder::new()
            .name("donp-follow".into())
            .spawn(run)
            .map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
        *follows = true;
        Ok(json!({ "after": after, "last": last }))
    }
}

fn would_block(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn send_events(
    service: &Service,
    after: u64,
    writer: &Writer,
    ended: impl Fn() -> bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let stream = service.node.subscribe_after(after);
    while !ended() && !stream.is_finished() {
        stream.wait(POLL_INTERVAL);
        for event in service.describe(&stream.take(PAGE))? {
            write(writer, &json!({ "jsonrpc": "2.0", "method": "event", "params": event }))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
