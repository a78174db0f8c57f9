//! Settings: flag, then `DONP_*` environment, then the profile's section of the file, then the
//! file, then the default. One table describes every key; reading, `config show` and `config
//! example` follow it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use donp_core::{Config, NodeType};
use donp_runtime::{BootstrapName, Fault, Lan};

use crate::failure::{Exit, Failure};
use crate::paths;

/// Everything that can be set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub listen: Vec<SocketAddr>,
    pub bootstrap: Vec<String>,
    pub fault: Option<Fault>,
    pub lan: Option<Lan>,
    pub network_key_file: Option<PathBuf>,
    pub passphrase_file: Option<PathBuf>,
    pub passphrase_command: Vec<String>,
    pub key_file: Option<PathBuf>,
    pub core: Config,
}

impl Settings {
    /// Whoever starts a node by hand wants to find others.
    pub fn lan(&self) -> Lan {
        self.lan.unwrap_or(Lan::On)
    }
}

/// One setting.
pub struct Key {
    /// As in the file: `listen`, `link.keepalive`.
    pub name: &'static str,
    help: &'static str,
    /// Its value as the file writes it; nothing if it is not set.
    get: fn(&Settings) -> Option<String>,
    /// Reads its values: several for a list, else one.
    set: fn(&mut Settings, &[String]) -> Result<(), String>,
}

fn one(values: &[String]) -> Result<&str, String> {
    match values {
        [value] => Ok(value),
        _ => Err("takes one value".into()),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

fn list(items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<_> = items.map(|i| quoted(&i)).collect();
    if items.is_empty() { None } else { Some(format!("[{}]", items.join(", "))) }
}

fn parsed<T: std::str::FromStr>(values: &[String]) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    one(values)?.parse().map_err(|e: T::Err| e.to_string())
}

fn time(values: &[String]) -> Result<Duration, String> {
    humantime::parse_duration(one(values)?).map_err(|e| format!("is not a time such as 500ms, 5s or 30days: {e}"))
}

fn path(path: Option<&PathBuf>) -> Option<String> {
    path.map(|p| quoted(&p.to_string_lossy()))
}

macro_rules! file_key {
    ($name:literal, $help:literal, $field:ident) => {
        Key {
            name: $name,
            help: $help,
            get: |s| path(s.$field.as_ref()),
            set: |s, v| {
                s.$field = Some(one(v)?.into());
                Ok(())
            },
        }
    };
}

macro_rules! time_key {
    ($name:literal, $help:literal, $($field:ident).+) => {
        Key {
            name: $name,
            help: $help,
            get: |s| Some(quoted(&humantime::format_duration(s.core.$($field).+).to_string())),
            set: |s, v| {
                s.core.$($field).+ = time(v)?;
                Ok(())
            },
        }
    };
}

macro_rules! number_key {
    ($name:literal, $help:literal, $($field:ident).+) => {
        Key {
            name: $name,
            help: $help,
            get: |s| Some(s.core.$($field).+.to_string()),
            set: |s, v| {
                s.core.$($field).+ = parsed(v).map_err(|_| "is not a whole number in range".to_string())?;
                Ok(())
            },
        }
    };
}

/// Every key. Sorted sections last, as a TOML file needs it.
pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        help: "Addresses to listen on, such as [\"0.0.0.0:4000\", \"[::]:4000\"]; any port of both families if empty",
        get: |s| list(s.listen.iter().map(ToString::to_string)),
        set: |s, v| {
            let read = |t: &String| t.parse().map_err(|_| format!("'{t}' is not written address:port"));
            s.listen = v.iter().map(read).collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Key {
        name: "bootstrap",
        help: "Where to enter the network, such as [\"example.org:4000\"], each with /NODE_ID if known",
        get: |s| list(s.bootstrap.iter().cloned()),
        set: |s, v| {
            for place in v {
                place.parse::<BootstrapName>().map_err(|e| e.to_string())?;
            }
            s.bootstrap = v.to_vec();
            Ok(())
        },
    },
    Key {
        name: "node_type",
        help: "What this node says it does: bootstrap, regular, super or relay",
        get: |s| Some(quoted(&s.core.node_type.name().to_lowercase())),
        set: |s, v| {
            s.core.node_type = parsed::<NodeType>(v)?;
            Ok(())
        },
    },
    Key {
        name: "bot",
        help: "Whether a program speaks here, not a person: true or false",
        get: |s| Some(s.core.bot.to_string()),
        set: |s, v| {
            s.core.bot = parsed(v)?;
            Ok(())
        },
    },
    file_key!("network_key_file", "The key of a closed network, 64 hex digits", network_key_file),
    file_key!("passphrase_file", "The passphrase that protects the profile: its first line", passphrase_file),
    Key {
        name: "passphrase_command",
        help: "A command that prints the passphrase, such as [\"pass\", \"show\", \"donp\"]",
        get: |s| list(s.passphrase_command.iter().cloned()),
        set: |s, v| {
            s.passphrase_command = v.to_vec();
            Ok(())
        },
    },
    file_key!("key_file", "The key of a profile without a passphrase, if it is not `key` in its folder", key_file),
    Key {
        name: "fault",
        help: "Makes the network bad: drop=5%,dup=1%,reorder=5%,corrupt=1%,delay=20..80ms",
        get: |s| s.fault.as_ref().map(|f| quoted(&f.to_string())),
        set: |s, v| {
            s.fault = Some(v.join(",").parse().map_err(|e: donp_runtime::fault::ParseFaultError| e.to_string())?);
            Ok(())
        },
    },
    number_key!("chat.catch_up_rate", "Bytes a second that others may catch up on here", chat.catch_up_rate),
    time_key!("chat.compare_every", "How often heights are compared with a neighbour", chat.compare_every),
    time_key!("chat.fill_after", "How long a missing message may take before it is asked for", chat.fill_after),
    time_key!("chat.pending_for", "How long a message waits for one it depends on", chat.pending_for),
    time_key!("chat.verify_every", "How often the whole history is compared with a neighbour", chat.verify_every),
    time_key!("delivery.expire", "A private message is given up after this", delivery.expire),
    time_key!("delivery.retry_first", "First pause before a private message is sent again", delivery.retry_first),
    number_key!("delivery.window", "Private messages to one peer that may be unacknowledged", delivery.window),
    time_key!("discovery.every", "How often a beacon is sent on the local network", discovery.every),
    Key {
        name: "discovery.lan",
        help: "Whether to find nodes on the local network by multicast: on, off, or compat to use 224.0.0.1 too",
        get: |s| Some(quoted(&s.lan().to_string())),
        set: |s, v| {
            s.lan = Some(parsed(v)?);
            Ok(())
        },
    },
    Key {
        name: "discovery.visible",
        help: "Whether everybody on the local network may see this node's id: true or false",
        get: |s| Some(s.core.discovery.visible.to_string()),
        set: |s, v| {
            s.core.discovery.visible = parsed(v)?;
            Ok(())
        },
    },
    time_key!("gossip.remember", "How long a broadcast's id is remembered", gossip.remember),
    number_key!("gossip.ttl", "Hops a broadcast may take", gossip.ttl),
    number_key!("limits.address_book", "Nodes remembered", limits.address_book),
    number_key!("limits.authors", "Authors known in one conversation", limits.authors),
    number_key!("limits.compare_items", "Message ids in memory while histories are compared", limits.compare_items),
    number_key!("limits.conversations", "Conversations at once", limits.conversations),
    number_key!("limits.dedup_ids", "Ids remembered to recognise repeats", limits.dedup_ids),
    number_key!("limits.event_bytes", "Bytes of events in memory", limits.event_bytes),
    number_key!("limits.event_rows", "Events kept for a program that does not acknowledge them", limits.event_rows),
    number_key!("limits.handshakes", "Handshakes under way", limits.handshakes),
    number_key!("limits.lan_nodes", "Nodes told apart on the local network", limits.lan_nodes),
    number_key!("limits.link_queue_bytes", "Bytes queued to one peer", limits.link_queue_bytes),
    number_key!("limits.links", "Open links", limits.links),
    number_key!("limits.neighbours", "Neighbours in the mesh", limits.neighbours),
    number_key!("limits.outbox_bytes", "Bytes of private messages that wait", limits.outbox_bytes),
    number_key!("limits.outbox_messages", "Private messages that wait", limits.outbox_messages),
    number_key!("limits.pending_author", "Messages of one author held for one they depend on", limits.pending_author),
    number_key!("limits.pending_bytes", "Bytes of messages held", limits.pending_bytes),
    number_key!("limits.pending_messages", "Messages held in one conversation", limits.pending_messages),
    number_key!("limits.reassembly_bytes", "Bytes of incomplete messages", limits.reassembly_bytes),
    number_key!("limits.reassembly_peer_bytes", "The same of one peer", limits.reassembly_peer_bytes),
    number_key!("limits.requests", "Reads of the store under way", limits.requests),
    number_key!("limits.steps_per_call", "Work done before timers have their turn", limits.steps_per_call),
    number_key!("limits.volatile_events", "Passing events in memory", limits.volatile_events),
    number_key!("limits.zone_members", "Nodes that watch each other for failures", limits.zone_members),
    time_key!("link.dead_after", "A link is down after this without an answer", link.dead_after),
    time_key!("link.handshake_retry", "A handshake is repeated after this", link.handshake_retry),
    time_key!("link.handshake_timeout", "An attempt to connect is given up after this", link.handshake_timeout),
    time_key!("link.idle_close", "A link that nobody needs is closed after this", link.idle_close),
    time_key!("link.keepalive", "A quiet link is probed after this", link.keepalive),
    time_key!("link.reject_after", "A key older than this opens nothing", link.reject_after),
    time_key!("link.rekey_after", "A key is replaced after this", link.rekey_after),
    time_key!("link.static_key_overlap", "How long the replaced link key still answers", link.static_key_overlap),
    time_key!("link.static_key_rotation", "The link key is replaced after this", link.static_key_rotation),
    number_key!("link.unverified_handshakes", "Handshakes a second without a cookie", link.unverified_handshakes),
    number_key!("link.verified_handshakes", "Handshakes a second with one", link.verified_handshakes),
    time_key!("membership.ask_every", "How often neighbours are asked for more", membership.ask_every),
    number_key!("membership.parallel", "Attempts to connect under way", membership.parallel),
    time_key!("membership.retry_first", "First pause before a bootstrap is tried again", membership.retry_first),
    time_key!("membership.retry_max", "Longest pause", membership.retry_max),
    number_key!("membership.target", "Neighbours to look for", membership.target),
];

/// Settings and where each that is not a default comes from.
pub struct Loaded {
    pub settings: Settings,
    origins: BTreeMap<&'static str, String>,
}

/// A flag that sets a key: its name as typed, the key, the values.
pub type FlagValue = (&'static str, &'static str, Vec<String>);

impl Loaded {
    /// Reads everything. `named` is a file that must exist; without one, the usual place may be
    /// empty.
    ///
    /// # Errors
    /// The first key that is unknown, with the closest known one, or whose value does not read.
    pub fn load(
        named: Option<&Path>,
        profile: &str,
        env: impl Fn(&str) -> Option<String>,
        flags: &[FlagValue],
    ) -> Result<Self, Failure> {
        let mut loaded = Self { settings: Settings::default(), origins: BTreeMap::new() };
        let file = match named {
            Some(path) => Some((path.to_path_buf(), read(path)?)),
            None => match paths::default_config() {
                Ok(path) if path.exists() => Some((path.clone(), read(&path)?)),
                _ => None,
            },
        };
        if let Some((path, text)) = &file {
            loaded.apply_file(path, text, profile)?;
        }
        for key in KEYS {
            let variable = format!("DONP_{}", key.name.to_uppercase().replace('.', "_"));
            if let Some(value) = env(&variable) {
                loaded.apply(key, &split(key, &value), format!("environment {variable}"))?;
            }
        }
        for (flag, name, values) in flags {
            let key = find(name).ok_or_else(|| Failure::new(Exit::Bug, format!("no key {name}")))?;
            loaded.apply(key, values, format!("flag {flag}"))?;
        }
        loaded
            .settings
            .core
            .validate()
            .map_err(|e| Failure::new(Exit::Failed, e.to_string()).hint("donp config show --origin"))?;
        Ok(loaded)
    }

    fn apply_file(&mut self, path: &Path, text: &str, profile: &str) -> Result<(), Failure> {
        let mut root: toml::Table = text.parse().map_err(|e: toml::de::Error| {
            let place = e.span().map_or(0, |s| text.get(..s.start).unwrap_or_default().matches('\n').count() + 1);
            Failure::new(Exit::Failed, format!("{} line {place}: {}", path.display(), e.message()))
                .hint("donp config example")
        })?;
        let profiles = root.remove("profile");
        self.apply_table("", &root, &path.display().to_string())?;
        let Some(profiles) = profiles else { return Ok(()) };
        let bad = || {
            Failure::new(Exit::Failed, format!("{}: profile is not a section", path.display()))
                .hint("[profile.NAME] with settings below it")
        };
        for (name, section) in profiles.as_table().ok_or_else(bad)? {
            let table = section.as_table().ok_or_else(bad)?;
            let origin = format!("{} [profile.{name}]", path.display());
            if name == profile {
                self.apply_table("", table, &origin)?;
            } else {
                // A mistake in another profile's section is still a mistake in this file.
                Self { settings: Settings::default(), origins: BTreeMap::new() }.apply_table("", table, &origin)?;
            }
        }
        Ok(())
    }

    fn apply_table(&mut self, prefix: &str, table: &toml::Table, origin: &str) -> Result<(), Failure> {
        for (name, value) in table {
            let full = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let Some(key) = find(&full) {
                self.apply(key, &strings(value), origin.to_string())?;
            } else if let toml::Value::Table(inner) = value
                && KEYS.iter().any(|k| k.name.starts_with(&format!("{full}.")))
            {
                self.apply_table(&full, inner, origin)?;
            } else {
                return Err(unknown(&full, origin));
            }
        }
        Ok(())
    }

    fn apply(&mut self, key: &'static Key, values: &[String], origin: String) -> Result<(), Failure> {
        (key.set)(&mut self.settings, values).map_err(|e| {
            Failure::new(Exit::Failed, format!("{}: {e} (from {origin})", key.name)).hint("donp config example")
        })?;
        self.origins.insert(key.name, origin);
        Ok(())
    }

    /// Every key with its value (nothing if it is not set) and where it comes from.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, Option<String>, &str)> {
        KEYS.iter().map(|key| {
            let origin = self.origins.get(key.name).map_or("default", String::as_str);
            (key.name, (key.get)(&self.settings), origin)
        })
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|e| {
        Failure::new(Exit::Failed, format!("configuration file {}: {e}", path.display()))
            .hint("donp config example > FILE")
    })
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.name == name)
}

/// Lists are separated by commas in the environment; commands by blanks.
fn split(key: &Key, value: &str) -> Vec<String> {
    let separator: &[char] = match key.name {
        "listen" | "bootstrap" => &[','],
        "passphrase_command" => &[' '],
        _ => return vec![value.into()],
    };
    value.split(separator).map(str::trim).filter(|v| !v.is_empty()).map(Into::into).collect()
}

fn strings(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::String(text) => vec![text.clone()],
        toml::Value::Array(items) => items.iter().flat_map(strings).collect(),
        other => vec![other.to_string()],
    }
}

fn unknown(name: &str, origin: &str) -> Failure {
    let closest = KEYS
        .iter()
        .map(|k| (strsim::damerau_levenshtein(k.name, name), k.name))
        .min()
        .filter(|(distance, _)| *distance <= 2 + name.len() / 4);
    let failure = Failure::new(Exit::Failed, format!("there is no setting '{name}' (in {origin})"));
    match closest {
        Some((_, key)) => failure.hint(format!("did you mean '{key}'? All of them: donp config example")),
        None => failure.hint("donp config example lists every setting"),
    }
}

/// A commented file with every key and its default.
pub fn example() -> String {
    let mut out = String::from(
        "# Settings of donp. A flag wins over DONP_* in the environment, that over the section of the\n\
         # profile, that over the lines outside of sections. Every line here shows the default.\n",
    );
    let defaults = Settings::default();
    let mut section = "";
    for key in KEYS {
        let (in_section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if in_section != section {
            section = in_section;
            let _ = write!(out, "\n[{section}]\n");
        }
        let value = (key.get)(&defaults);
        // A key without a default shows how its value is written.
        let value = value.as_deref().unwrap_or(match key.name {
            "listen" | "bootstrap" | "passphrase_command" => "[]",
            _ => "\"\"",
        });
        let _ = write!(out, "\n# {}\n#{name} = {value}\n", key.help);
    }
    out.push_str("\n# Settings of one profile only\n#[profile.alice]\n#listen = [\"127.0.0.1:4000\"]\n");
    out
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
