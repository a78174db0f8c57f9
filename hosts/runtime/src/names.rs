//! Where to enter the network, as people write it: `host:port` or `host:port/NodeId`, where the host
//! may be a name that is looked up again and again on a thread of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use donp_core::{Bootstrap, NodeId};

/// A name whose addresses are known is looked up again after this.
const REFRESH: Duration = Duration::from_secs(300);
/// A name that could not be looked up is tried again after this.
const RETRY: Duration = Duration::from_secs(15);
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
        thread::Builder::new().name("donp-names".into()).spawn(move || run(&names, look_up, tell))?;
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

/// Not joined at the end of a node: a look-up cannot be interrupted. It ends when the sender is gone.
fn run(
    names: &Receiver<BootstrapName>,
    mut look_up: impl FnMut(&BootstrapName) -> Result<Vec<Bootstrap>, String>,
    mut tell: impl FnMut(Resolved),
) {
    struct Entry {
        due: std::time::Instant,
        last: Option<Result<Vec<Bootstrap>, String>>,
    }
    let mut known: BTreeMap<BootstrapName, Entry> = BTreeMap::new();
    loop {
        let now = std::time::Instant::now();
        let wait = known.values().map(|e| e.due.saturating_duration_since(now)).min().unwrap_or(REFRESH);
        match names.recv_timeout(wait) {
            Ok(name) => {
                // Asked again: the asker wants an answer even if it is the same.
                known.insert(name, Entry { due: now, last: None });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        for (name, entry) in &mut known {
            if entry.due > std::time::Instant::now() {
                continue;
            }
            let found = look_up(name);
            entry.due = std::time::Instant::now() + if found.is_ok() { REFRESH } else { RETRY };
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
        run(&names, answer, |r| told.push((r.name.to_string(), r.found.is_ok())));
        let expected = [("good.example:1", true), ("bad.example:1", false), ("good.example:1", true)];
        assert_eq!(told, expected.map(|(n, ok)| (n.to_string(), ok)));
    }

    #[test]
    fn the_systems_resolver_knows_localhost() {
        let found = look_up(&"localhost:4000".parse().unwrap()).unwrap();
        assert!(found.iter().all(|b| b.addr.ip().is_loopback() && b.addr.port() == 4_000));
    }
}
