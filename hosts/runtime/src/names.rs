//! Where to enter the network, as people write it: `host:port` or `host:port/NodeId`, where the host
//! may be a name that is looked up again and again on a thread of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use donp_core::{Bootstrap, NodeId};

/// A name whose addresses are known is looked up again after this; so is, at the latest, one that could not be looked up: no
/// failure is kept for longer (RFC 9520 §3.2).
const REFRESH: Duration = Duration::from_secs(300);
/// A name that could not be looked up is tried again after this, then after twice as long each time (RFC 9520 §3.2).
const RETRY: Duration = Duration::from_secs(5);
/// Addresses taken of one name.
const MAX_ADDRESSES: usize = 8;

/// One place to enter the network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootstrapName {
    /// A name or an address, without brackets.
    host: String,
    port: u16,
    id: Option<NodeId>,
}

/// A text is not a place to enter the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bootstrap '{text}': {reason}")]
pub struct BootstrapNameError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for BootstrapName {
    type Err = BootstrapNameError;

    fn from_str(text: &str) -> Result<Self, BootstrapNameError> {
        let bad = |reason: String| BootstrapNameError { text: text.into(), reason };
        let (place, id) = match text.trim().split_once('/') {
            Some((place, id)) => (place, Some(id.parse().map_err(|e| bad(format!("the node id is wrong: {e}")))?)),
            None => (text.trim(), None),
        };
        if let Ok(addr) = place.parse::<SocketAddr>() {
            // An IPv4 address in an IPv6 one is that IPv4 address: no socket here sends to the other form.
            let ip = addr.ip().to_canonical();
            if addr.port() == 0 {
                return Err(bad("port 0 cannot be reached".into()));
            }
            if ip.is_unspecified() {
                let reason = format!("{ip} means every address of a machine, not one that can be reached");
                return Err(bad(reason));
            }
            if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
                return Err(bad(format!("{ip} is not the address of one machine")));
            }
            return Ok(Self { host: ip.to_string(), port: addr.port(), id });
        }
        let (host, port) =
            place.rsplit_once(':').ok_or_else(|| bad("it is not written host:port or host:port/NodeId".into()))?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(bad(format!("'{port}' is not a port from 1 to 65535"))),
            Ok(port) => port,
        };
        let label =
            |l: &str| !l.is_empty() && l.len() <= 63 && l.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
        if host.len() > 253 || !host.trim_end_matches('.').split('.').all(label) {
            return Err(bad(format!("'{host}' is not a host name or address (IPv6 is written [::1]:4000)")));
        }
        Ok(Self { host: host.into(), port, id })
    }
}

impl fmt::Display for BootstrapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)?;
        } else {
            write!(f, "{}:{}", self.host, self.port)?;
        }
        match self.id {
            Some(id) => write!(f, "/{id}"),
            None => Ok(()),
        }
    }
}

impl From<Bootstrap> for BootstrapName {
    fn from(b: Bootstrap) -> Self {
        Self { host: b.addr.ip().to_string(), port: b.addr.port(), id: b.id }
    }
}

impl BootstrapName {
    /// Looks the name up now; blocks as long as the system's resolver does.
    pub(crate) fn look_up(&self) -> Result<Vec<Bootstrap>, String> {
        look_up(self)
    }

    /// The place itself if it is written as an address; none if a name must be looked up.
    pub fn literal(&self) -> Option<Bootstrap> {
        let addr = SocketAddr::new(self.host.parse().ok()?, self.port);
        Some(Bootstrap { addr, id: self.id })
    }
}

/// What looking up one name gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub name: BootstrapName,
    pub found: Result<Vec<Bootstrap>, String>,
}

/// Looks names up on a thread, at once and again every few minutes: the system's resolver blocks.
pub(crate) struct Resolver {
    add: Option<Sender<BootstrapName>>,
}

impl Resolver {
    /// `tell` is called on the resolver's thread for each answer that differs from the one before.
    pub(crate) fn start(tell: impl FnMut(Resolved) + Send + 'static) -> std::io::Result<Self> {
        let (add, names) = channel();
        thread::Builder::new().name("donp-names".into()).spawn(move || {
            run(|wait| names.recv_timeout(wait), Instant::now, look_up, tell);
        })?;
        Ok(Self { add: Some(add) })
    }

    pub(crate) fn add(&self, name: BootstrapName) {
        if let Some(add) = &self.add {
            // The thread is gone only if it panicked, and then nothing is looked up any more.
            let _ = add.send(name);
        }
    }
}

fn look_up(name: &BootstrapName) -> Result<Vec<Bootstrap>, String> {
    let addrs = (name.host.as_str(), name.port).to_socket_addrs().map_err(|e| e.to_string())?;
    let found: Vec<_> = addrs.take(MAX_ADDRESSES).map(|addr| Bootstrap { addr, id: name.id }).collect();
    if found.is_empty() { Err("the name has no address".into()) } else { Ok(found) }
}

/// A name that is looked up again and again.
struct Entry {
    due: Instant,
    /// The pause after the next failure.
    pause: Duration,
    last: Option<Result<Vec<Bootstrap>, String>>,
}

/// Not joined at the end of a node: a look-up cannot be interrupted. `next` gives a name that was added, or an error after the
/// time it is given; it ends when the sender is gone.
fn run(
    mut next: impl FnMut(Duration) -> Result<BootstrapName, RecvTimeoutError>,
    now: impl Fn() -> Instant,
    mut look_up: impl FnMut(&BootstrapName) -> Result<Vec<Bootstrap>, String>,
    mut tell: impl FnMut(Resolved),
) {
    let mut known: BTreeMap<BootstrapName, Entry> = BTreeMap::new();
    loop {
        let at = now();
        let wait = known.values().map(|e| e.due.saturating_duration_since(at)).min().unwrap_or(REFRESH);
        match next(wait) {
            Ok(name) => {
                // Asked again: the asker wants an answer even if it is the same.
                known.insert(name, Entry { due: at, pause: RETRY, last: None });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for (name, entry) in &mut known {
            if entry.due > now() {
                continue;
            }
            let found = look_up(name);
            if found.is_ok() {
                (entry.due, entry.pause) = (now() + REFRESH, RETRY);
            } else {
                (entry.due, entry.pause) = (now() + entry.pause, (entry.pause * 2).min(REFRESH));
            }
            if entry.last.as_ref() != Some(&found) {
                entry.last = Some(found.clone());
                tell(Resolved { name: name.clone(), found });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_addresses_read_and_print() {
        let id = NodeId([5; 32]);
        for text in
            ["127.0.0.1:4000", "[::1]:4000", "example.org:1", "node_1.local.:65535", &format!("example.org:9/{id}")]
        {
            assert_eq!(text.parse::<BootstrapName>().unwrap().to_string(), text);
        }
        let literal: BootstrapName = format!("[::1]:4000/{id}").parse().unwrap();
        assert_eq!(literal.literal(), Some(Bootstrap { addr: "[::1]:4000".parse().unwrap(), id: Some(id) }));
        assert_eq!("example.org:9".parse::<BootstrapName>().unwrap().literal(), None);
        let mapped: BootstrapName = "[::ffff:192.0.2.1]:4000".parse().unwrap();
        assert_eq!(mapped.to_string(), "192.0.2.1:4000", "one address, one form");
    }

    #[test]
    fn a_bad_name_is_named_with_what_is_wrong() {
        for (text, reason) in [
            ("example.org", "not written"),
            ("example.org:0", "port"),
            ("127.0.0.1:0", "port 0"),
            ("0.0.0.0:4000", "every address"),
            ("[::]:4000", "every address"),
            ("[::ffff:0.0.0.0]:4000", "every address"),
            ("239.255.68.78:4000", "one machine"),
            ("255.255.255.255:4000", "one machine"),
            ("example.org:65536", "port"),
            ("exa mple.org:1", "not a host name"),
            (":4000", "not a host name"),
            ("a..b:1", "not a host name"),
            ("::1:4000", "IPv6 is written"),
            ("example.org:1/n123", "node id"),
            ("", "not written"),
        ] {
            let error = text.parse::<BootstrapName>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&format!("'{text}'")), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_or_refused(text in "[a-z0-9.:/\\[\\] _-]{0,40}") {
            if let Ok(name) = text.parse::<BootstrapName>() {
                prop_assert_eq!(name.to_string().parse::<BootstrapName>(), Ok(name));
            }
        }
    }

    #[test]
    fn each_name_is_answered_and_a_failure_is_told() {
        let (add, names) = channel();
        for text in ["good.example:1", "bad.example:1", "good.example:1"] {
            add.send(text.parse().unwrap()).unwrap();
        }
        drop(add);
        let mut told = Vec::new();
        let answer = |name: &BootstrapName| match name.host.as_str() {
            "good.example" => Ok(vec![Bootstrap { addr: "127.0.0.1:1".parse().unwrap(), id: None }]),
            _ => Err("no such name".into()),
        };
        let tell = |r: Resolved| told.push((r.name.to_string(), r.found.is_ok()));
        run(|wait| names.recv_timeout(wait), Instant::now, answer, tell);
        let expected = [("good.example:1", true), ("bad.example:1", false), ("good.example:1", true)];
        assert_eq!(told, expected.map(|(n, ok)| (n.to_string(), ok)));
    }

    /// One name in virtual time, and what each of its look-ups gives: the last byte of its address, or none. When it was asked,
    /// in seconds, and what was reported.
    fn asked(answers: &[Option<u8>]) -> (Vec<u64>, Vec<Option<u8>>) {
        let (begin, clock) = (Instant::now(), std::cell::Cell::new(Duration::ZERO));
        let name: BootstrapName = "moving.example:1".parse().unwrap();
        let (mut added, mut times, mut told) = (Some(name), Vec::new(), Vec::new());
        let left = std::cell::Cell::new(answers);
        let next = |wait| match added.take() {
            Some(name) => Ok(name),
            None if left.get().is_empty() => Err(RecvTimeoutError::Disconnected),
            None => {
                clock.set(clock.get() + wait);
                Err(RecvTimeoutError::Timeout)
            }
        };
        let look_up = |_: &BootstrapName| {
            times.push(clock.get().as_secs());
            let (answer, rest) = left.get().split_first().expect("an answer is left");
            left.set(rest);
            let addr = |last| SocketAddr::from(([192, 0, 2, last], 1));
            answer.map(|last| vec![Bootstrap { addr: addr(last), id: None }]).ok_or_else(|| "no such name".into())
        };
        let tell = |r: Resolved| {
            told.push(r.found.ok().map(|found| match found[0].addr.ip() {
                IpAddr::V4(ip) => ip.octets()[3],
                IpAddr::V6(ip) => panic!("{ip}"),
            }));
        };
        run(next, || begin + clock.get(), look_up, tell);
        (times, told)
    }

    /// Mutations: the pause stays, or has no end; a failure after an answer goes on with the last pause.
    #[test]
    fn a_name_that_fails_is_asked_again_after_growing_pauses() {
        let (times, told) = asked(&[None; 10]);
        assert_eq!(times, [0, 5, 15, 35, 75, 155, 315, 615, 915, 1_215]);
        assert_eq!(told, [None], "said once");
        let (times, told) = asked(&[None, None, Some(1), None, None, Some(1)]);
        assert_eq!(times, [0, 5, 15, 315, 320, 330]);
        assert_eq!(told, [None, Some(1), None, Some(1)]);
    }

    /// Mutation: an answer is reported again.
    #[test]
    fn a_name_that_moved_is_told_after_its_time() {
        let (times, told) = asked(&[Some(1), Some(1), Some(2), Some(2), Some(1)]);
        assert_eq!(times, [0, 300, 600, 900, 1_200]);
        assert_eq!(told, [Some(1), Some(2), Some(1)]);
    }

    #[test]
    fn the_systems_resolver_knows_localhost() {
        let found = look_up(&"localhost:4000".parse().unwrap()).unwrap();
        assert!(found.iter().all(|b| b.addr.ip().is_loopback() && b.addr.port() == 4_000));
    }
}
