//! Settings: flag, then `DONP_*` environment, then the profile's section of the file, then the
//! file, then the default. One list has every key, the core's own table among it; reading, `config show`
//! and `config example` follow it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use donp_core::{Config, NodeType, Setting, SettingValue};
use donp_runtime::{BootstrapName, Fault, Lan};

use crate::failure::{Exit, Failure};
use crate::paths;

/// Everything that can be set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub listen: Vec<SocketAddr>,
    pub bootstrap: Vec<String>,
    pub announce: Vec<SocketAddr>,
    pub fault: Option<Fault>,
    pub lan: Option<Lan>,
    pub network_key_file: Option<PathBuf>,
    pub passphrase_file: Option<PathBuf>,
    pub passphrase_command: Vec<String>,
    pub key_file: Option<PathBuf>,
    pub core: Config,
}

impl Settings {
    /// A user that starts a node by hand wants to find others.
    pub fn lan(&self) -> Lan {
        self.lan.unwrap_or(Lan::On)
    }
}

/// One setting.
pub struct Key {
    /// As in the file: `listen`, `link.keepalive`.
    pub name: &'static str,
    help: &'static str,
    place: Place,
}

/// Whose setting it is.
enum Place {
    Host(Access),
    Core(&'static Setting),
}

/// How a setting of this program is read and written.
struct Access {
    /// Its value as the file writes it; nothing if it is not set.
    get: fn(&Settings) -> Option<String>,
    /// Reads its values: several for a list, else one.
    set: fn(&mut Settings, &[String]) -> Result<(), String>,
}

impl Key {
    fn get(&self, settings: &Settings) -> Option<String> {
        match &self.place {
            Place::Host(access) => (access.get)(settings),
            Place::Core(setting) => Some(match setting.get(&settings.core) {
                SettingValue::Time(t) => quoted(&humantime::format_duration(t).to_string()),
                SettingValue::Number(n) => n.to_string(),
                SettingValue::Switch(on) => on.to_string(),
            }),
        }
    }

    fn set(&self, settings: &mut Settings, values: &[String]) -> Result<(), String> {
        let setting = match &self.place {
            Place::Host(access) => return (access.set)(settings, values),
            Place::Core(setting) => setting,
        };
        let value = match setting.get(&settings.core) {
            SettingValue::Time(_) => SettingValue::Time(time(values)?),
            SettingValue::Number(_) => {
                SettingValue::Number(parsed(values).map_err(|_| "is not a whole number in range")?)
            }
            SettingValue::Switch(_) => SettingValue::Switch(parsed(values).map_err(|_| "is neither true nor false")?),
        };
        setting.set(&mut settings.core, value).map_err(Into::into)
    }
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

fn announced(text: &str) -> Result<SocketAddr, String> {
    let addr: SocketAddr = text.parse().map_err(|_| format!("'{text}' is not written address:port"))?;
    let ip = addr.ip().to_canonical();
    if ip.is_unspecified() || ip.is_multicast() || addr.port() == 0 {
        return Err(format!("'{text}' is not an address that others can reach"));
    }
    Ok(SocketAddr::new(ip, addr.port()))
}

fn path(path: Option<&PathBuf>) -> Option<String> {
    path.map(|p| quoted(&p.to_string_lossy()))
}

macro_rules! file_key {
    ($name:literal, $help:literal, $field:ident) => {
        key(
            $name,
            $help,
            |s| path(s.$field.as_ref()),
            |s, v| {
                s.$field = Some(one(v)?.into());
                Ok(())
            },
        )
    };
}

fn key(
    name: &'static str,
    help: &'static str,
    get: fn(&Settings) -> Option<String>,
    set: fn(&mut Settings, &[String]) -> Result<(), String>,
) -> Key {
    Key { name, help, place: Place::Host(Access { get, set }) }
}

/// Every key: those of this program and those of the core. Sorted sections last, as a TOML file needs it.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let core = Setting::ALL.iter().map(|s| Key { name: s.name, help: s.help, place: Place::Core(s) });
    let (mut keys, mut sections): (Vec<Key>, Vec<Key>) =
        own().into_iter().chain(core).partition(|key| !key.name.contains('.'));
    sections.sort_by_key(|key| key.name);
    keys.append(&mut sections);
    keys
});

/// What the core does not know of.
fn own() -> Vec<Key> {
    vec![
        key(
            "listen",
            "Addresses to listen on, such as [\"0.0.0.0:4000\", \"[::]:4000\"]; any port of both families if empty",
            |s| list(s.listen.iter().map(ToString::to_string)),
            |s, v| {
                let read = |t: &String| t.parse().map_err(|_| format!("'{t}' is not written address:port"));
                s.listen = v.iter().map(read).collect::<Result<_, _>>()?;
                Ok(())
            },
        ),
        key(
            "bootstrap",
            "Nodes through which to enter the network, such as [\"example.org:4000\"], each with /NODE_ID if known",
            |s| list(s.bootstrap.iter().cloned()),
            |s, v| {
                for place in v {
                    place.parse::<BootstrapName>().map_err(|e| e.to_string())?;
                }
                s.bootstrap = v.to_vec();
                Ok(())
            },
        ),
        key(
            "announce",
            "Addresses at which others reach this node, if it cannot know them: container, forwarded port",
            |s| list(s.announce.iter().map(ToString::to_string)),
            |s, v| {
                s.announce = v.iter().map(|t| announced(t)).collect::<Result<_, _>>()?;
                Ok(())
            },
        ),
        key(
            "node_type",
            "What this node offers to others: bootstrap, regular, super or relay",
            |s| Some(quoted(&s.core.node_type.name().to_lowercase())),
            |s, v| {
                s.core.node_type = parsed::<NodeType>(v)?;
                Ok(())
            },
        ),
        key(
            "bot",
            "Whether a program sends the messages of this node, not a person: true or false",
            |s| Some(s.core.bot.to_string()),
            |s, v| {
                s.core.bot = parsed(v)?;
                Ok(())
            },
        ),
        key(
            "power",
            "What this node may spend while nothing happens: normal, or low for a phone",
            |s| Some(quoted(s.core.power.name())),
            |s, v| {
                s.core.power = parsed(v)?;
                Ok(())
            },
        ),
        file_key!("network_key_file", "The key of a closed network, 64 hex digits", network_key_file),
        file_key!("passphrase_file", "The passphrase that protects the profile: its first line", passphrase_file),
        key(
            "passphrase_command",
            "A command that prints the passphrase, such as [\"pass\", \"show\", \"donp\"]",
            |s| list(s.passphrase_command.iter().cloned()),
            |s, v| {
                s.passphrase_command = v.to_vec();
                Ok(())
            },
        ),
        file_key!("key_file", "The key of a profile without a passphrase, if it is not `key` in its folder", key_file),
        key(
            "fault",
            "Simulates network faults: drop=5%,dup=1%,reorder=5%,corrupt=1%,delay=20..80ms",
            |s| s.fault.as_ref().map(|f| quoted(&f.to_string())),
            |s, v| {
                s.fault = Some(v.join(",").parse().map_err(|e: donp_runtime::ParseFaultError| e.to_string())?);
                Ok(())
            },
        ),
        key(
            "discovery.lan",
            "Whether to find nodes on the local network by multicast: on, off, or compat to use 224.0.0.1 too",
            |s| Some(quoted(&s.lan().to_string())),
            |s, v| {
                s.lan = Some(parsed(v)?);
                Ok(())
            },
        ),
    ]
}

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
        for key in KEYS.iter() {
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
        key.set(&mut self.settings, values).map_err(|e| {
            Failure::new(Exit::Failed, format!("{}: {e} (from {origin})", key.name)).hint("donp config example")
        })?;
        self.origins.insert(key.name, origin);
        Ok(())
    }

    /// Every key with its value (nothing if it is not set) and where it comes from.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, Option<String>, &str)> {
        KEYS.iter().map(|key| {
            let origin = self.origins.get(key.name).map_or("default", String::as_str);
            (key.name, key.get(&self.settings), origin)
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
        "listen" | "bootstrap" | "announce" => &[','],
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
    for key in KEYS.iter() {
        let (in_section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if in_section != section {
            section = in_section;
            let _ = write!(out, "\n[{section}]\n");
        }
        let value = key.get(&defaults);
        // A key without a default shows how its value is written.
        let value = value.as_deref().unwrap_or(match key.name {
            "listen" | "bootstrap" | "announce" | "passphrase_command" => "[]",
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
