//! Runs the real program, each test in its own folder. Waiting is for conditions, with a deadline
//! that only a broken program reaches.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const LONG: Duration = Duration::from_secs(60);
/// A node looks at its interfaces a minute after the last look (`LOOK_EVERY`). What is seen before was seen for another reason.
pub const BEFORE_A_LOOK: Duration = Duration::from_secs(50);

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Every line of stdout as JSON: with `--json` there is nothing else.
    pub fn json(&self) -> Vec<Value> {
        let line = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}\n{self:?}"));
        self.out.lines().map(line).collect()
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Failed with this code and one sentence on stderr that contains each of `says`, in which commands stand without the
    /// profile that hints repeat.
    #[track_caller]
    pub fn fails(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        let mut parts = self.err.split("donp -p ");
        let mut err = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            err += "donp ";
            err += part.split_once(' ').map_or(part, |(_, rest)| rest);
        }
        for part in says {
            assert!(err.contains(part), "'{part}' is not in {self:?}");
        }
        self
    }

    /// Failed with this code; what stands on stderr.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }
}

impl From<Output> for Ran {
    fn from(o: Output) -> Self {
        Self {
            code: o.status.code(),
            out: String::from_utf8(o.stdout).expect("stdout is UTF-8"),
            err: String::from_utf8(o.stderr).expect("stderr is UTF-8"),
        }
    }
}

/// A folder with profiles and nothing of the machine's own settings.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("config.toml"), "").expect("a file");
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("config.toml")
    }

    pub fn command(&self, profile: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_donp"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DONP_") {
                command.env_remove(name);
            }
        }
        // Nodes of other tests are not to be found, except by the test of just that.
        command.env("DONP_DISCOVERY_LAN", "off");
        if !args.contains(&"--state-dir") {
            command.arg("--state-dir").arg(self.path().join("s"));
        }
        command.arg("--config").arg(self.config());
        command.args(["-p", profile]).args(args).stdin(Stdio::null());
        command
    }

    pub fn run(&self, profile: &str, args: &[&str]) -> Ran {
        self.command(profile, args).output().expect("the program starts").into()
    }

    pub fn json(&self, profile: &str, args: &[&str]) -> Ran {
        self.run(profile, &[&["--json"], args].concat())
    }

    pub fn with_stdin(&self, profile: &str, args: &[&str], stdin: &str) -> Ran {
        let mut command = self.command(profile, args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        // A program that fails early does not read all.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        child.wait_with_output().expect("it ends").into()
    }

    /// A profile named like its owner; its node id.
    pub fn init(&self, name: &str) -> String {
        let made = self.json(name, &["init", "--name", name]).ok().json();
        made[0]["id"].as_str().expect("an id").into()
    }

    pub fn start(&self, profile: &str, args: &[&str]) -> Daemon {
        let listen = ["--json", "run", "--listen", "127.0.0.1:0"];
        Self::started(self.command(profile, &[&listen, args].concat()))
    }

    /// As [`start_near`](Self::start_near), in the network of a process.
    pub fn start_inside(&self, process: u32, profile: &str, args: &[&str]) -> Daemon {
        let run = self.command(profile, &[&["--json", "run"], args].concat());
        let mut command = Command::new("nsenter");
        command.args(["-n", "-t", &process.to_string()]);
        let mut command = run_by(command, &run);
        command.env_remove("DONP_DISCOVERY_LAN");
        Self::started(command)
    }

    /// As [`start`](Self::start), with nothing decided for it: it may find others on the local network.
    pub fn start_near(&self, profile: &str, args: &[&str]) -> Daemon {
        let mut command = self.command(profile, &[&["--json", "run"], args].concat());
        command.env_remove("DONP_DISCOVERY_LAN");
        Self::started(command)
    }

    /// As [`start`](Self::start); what the daemon says on stderr is in `log`.
    pub fn start_logged(&self, profile: &str, args: &[&str], log: &Path) -> Daemon {
        let listen = ["--json", "run", "--listen", "127.0.0.1:0"];
        let mut command = self.command(profile, &[&listen, args].concat());
        command.stderr(std::fs::File::create(log).expect("a file"));
        Self::started(command)
    }

    /// As [`start_logged`](Self::start_logged) on all addresses, where a name leads to what stands in `hosts`, in the form of hosts(5), at the time.
    pub fn start_with_hosts(&self, profile: &str, args: &[&str], hosts: &Path, log: &Path) -> Daemon {
        let run = self.command(profile, &[&["--json", "run"], args].concat());
        let mut command = Command::new("unshare");
        let inside = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        command.args(["-m", "sh", "-c", inside]).arg(hosts);
        let mut command = run_by(command, &run);
        command.stderr(std::fs::File::create(log).expect("a file"));
        Self::started(command)
    }

    fn started(mut command: Command) -> Daemon {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: '{line}'"));
        assert_eq!(ready["type"], "ready");
        Daemon { child, ready }
    }

    /// Two profiles with running daemons that are neighbours: alice and bob.
    pub fn pair(&self) -> (Daemon, Daemon) {
        self.init("alice");
        self.init("bob");
        let alice = self.start("alice", &[]);
        let bob = self.start("bob", &["--bootstrap", &alice.place()]);
        self.active("alice");
        self.active("bob");
        (alice, bob)
    }

    /// Waits until the profile's daemon has a neighbour.
    pub fn active(&self, profile: &str) {
        until(&format!("{profile} finds a neighbour"), || {
            let status = self.json(profile, &["status"]).json();
            (status[0]["state"] == "ACTIVE" && status[0]["neighbours"] != 0).then_some(())
        });
    }

    pub fn status(&self, profile: &str) -> Value {
        self.json(profile, &["status"]).ok().json().remove(0)
    }

    /// The texts of a conversation, oldest first.
    pub fn texts(&self, profile: &str, conversation: &str) -> Vec<String> {
        let lines = self.json(profile, &["history", conversation, "--limit", "100000"]).ok().json();
        let messages = lines.iter().filter(|l| l["type"] == "message");
        messages.map(|m| m["text"].as_str().expect("a text").into()).collect()
    }
}

/// What `run` does, with its environment, as the last arguments of another program.
pub fn run_by(mut program: Command, run: &Command) -> Command {
    program.arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => program.env(name, value),
            None => program.env_remove(name),
        };
    }
    program.stdin(Stdio::null());
    program
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    pub ready: Value,
}

impl Daemon {
    pub fn field(&self, name: &str) -> &str {
        self.ready[name].as_str().expect("a field")
    }

    pub fn address(&self) -> &str {
        self.ready["listen"][0].as_str().expect("an address")
    }

    /// `host:port/NODE_ID`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.address(), self.field("id"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Sends a signal by name and waits for the end; the exit code.
    pub fn stop(mut self, signal: &str) -> Option<i32> {
        signal_process(self.pid(), signal);
        let status = until("the daemon ends", || self.child.try_wait().expect("a status"));
        status.code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal_process(pid: u32, signal: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().expect("kill starts");
    assert!(sent.success());
}

/// Writes a file that others cannot read.
#[track_caller]
pub fn secret(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file is written");
}

#[track_caller]
pub fn until<T>(what: &str, check: impl FnMut() -> Option<T>) -> T {
    until_within(LONG, what, check)
}

/// Also for what would come by itself at some time: it has to come before.
#[track_caller]
pub fn until_within<T>(limit: Duration, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Set where a test program runs again in a network of its own, with nothing but loopback.
const INSIDE: &str = "DONP_TEST_OWN_NETWORK";

/// This test again in a namespace that it shares with no other process; none if the system gives no namespaces.
pub fn in_a_network_of_its_own(test: &str) -> Option<Output> {
    let inside = "ip link set lo up && exec \"$0\" --exact \"$1\" --nocapture";
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command.args(["-Urn", "sh", "-c"]);
    let works = Command::new("unshare").args(["-Urn", "ip", "link", "set", "lo", "up"]).output().ok()?;
    works.status.success().then(|| {
        command.arg(inside).arg(program).arg(test).env(INSIDE, "1").output().expect("what worked a moment ago")
    })
}

/// Whether no other node receives what is said in this network.
pub fn alone() -> bool {
    std::env::var_os(INSIDE).is_some()
}
