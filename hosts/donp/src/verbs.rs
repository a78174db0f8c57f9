//! What each verb does: asks a daemon or the profile itself, and shows the answer.

mod contacts;
mod devices;
mod files;
mod groups;
mod read;
mod say;

use donp_core::{GroupId, NodeId};
use donp_runtime::api::{Peer, Status};
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::config::{Loaded, Settings};
use crate::failure::Failure;
use crate::output::Output;
use crate::paths::Paths;
use crate::people::People;
use crate::text::{escape_for_terminal, table};
use crate::when::Clock;
use crate::{json as shape, profile};

pub use contacts::{authenticate, contact};
pub use devices::device;
pub use files::file;
pub use groups::group;
pub use read::{history, recv};
pub use say::send;

pub fn init(name: &str, paths: &Paths, settings: &Settings, out: &Output) -> Result<(), Failure> {
    let (profile, code) = profile::create(paths, settings, name)?;
    let protected = profile.protection().name();
    let id = profile.identity().node_id();
    if protected == "key-file" {
        out.note(
            "The profile is sealed by a key file beside it (mode 0600): anyone who can read this user's files can read \
             it. For a passphrase instead, use --passphrase-file, --passphrase-command or DONP_PASSPHRASE.",
        );
    }
    let made = shape::object(
        "identity",
        json!({
            "id": id.to_string(),
            "short": id.short(),
            "account": profile.identity().account_id().to_string(),
            "name": name,
            "profile": paths.profile,
            "folder": profile.dir().display().to_string(),
            "protection": protected,
            "recovery_code": *code,
        }),
    );
    out.done(&made, identity)?;
    if !out.json {
        out.note(
            "The recovery code is shown only this once and is not stored. Write it down and keep it secret: it recovers your \
             account when your devices are lost, and anyone who has it can take the account over.",
        );
    }
    Ok(())
}

fn identity(v: &Value) -> String {
    let protection = match v["protection"].as_str() {
        Some("passphrase") => "a passphrase",
        _ => "a key file, readable by this user only",
    };
    format!(
        "{} is node {}\nid       {}\naccount  {}\nprofile  {} in {}\nsealed   by {protection}\nrecovery {}",
        text(v, "name"),
        text(v, "short"),
        text(v, "id"),
        text(v, "account"),
        text(v, "profile"),
        text(v, "folder"),
        text(v, "recovery_code"),
    )
}

pub fn whoami(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    out.value(&backend.call("whoami", &json!({}))?, identity)
}

fn lost(records: u64) -> String {
    format!(
        "{records} records of this profile are lost, since its file was damaged: messages may be missing until other nodes send \
         them again. `donp check` says more, `donp check --repair` ends this warning"
    )
}

pub fn invite(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let ticket = backend.call("invite", &json!({}))?;
    if ticket["closed_network"] == true {
        out.note("This ticket holds the key of a closed network: anyone who has it can enter.");
    }
    note_loopback(&ticket, out);
    out.value(&ticket, |v| text_of(v, "ticket"))
}

fn note_loopback(ticket: &Value, out: &Output) {
    let addresses = ticket["addresses"].as_array().map_or(&[][..], Vec::as_slice);
    let is_loopback = |a: &Value| {
        a.as_str().and_then(|a| a.parse::<std::net::SocketAddr>().ok()).is_some_and(|a| a.ip().is_loopback())
    };
    if addresses.iter().all(is_loopback) {
        out.note(
            "This ticket works on this machine only: the node listens on loopback alone. See --listen, and --announce for an \
             address that it cannot know.",
        );
    }
}

pub fn join(target: &str, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let joining = backend.call("join", &json!({ "target": target }))?;
    out.done(&joining, |v| {
        let through = v["name"].as_str().map_or_else(|| text_short(v, "through"), escape_for_terminal);
        if v["running"] == true {
            format!("joining through {through}")
        } else {
            format!("remembered: {} will join through {through}", out.hints.of("`donp run`"))
        }
    })
}

pub fn leave(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    out.done(&backend.call("leave", &json!({}))?, |_| out.hints.of("left the network; `donp join` enters it again"))
}

/// Says what was done with the node.
pub fn block(backend: &mut Backend, out: &Output, method: &str, peer: &str) -> Result<(), Failure> {
    out.done(&backend.call(method, &json!({ "peer": peer }))?, |v| {
        let name = v["name"].as_str().map_or_else(|| text_short(v, "short"), escape_for_terminal);
        match method {
            "block" => format!("{name} is blocked: no link, no private messages, nothing of it is shown"),
            _ => format!("{name} is not blocked"),
        }
    })
}

pub fn blocked(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let answer = backend.call("blocked", &json!({}))?;
    let blocked = answer["blocked"].as_array().map_or(&[][..], Vec::as_slice);
    if out.json {
        return blocked.iter().try_for_each(|b| out.line(&b.to_string()));
    }
    if blocked.is_empty() {
        out.note("No node is blocked.");
        return Ok(());
    }
    let mut rows = vec![["NODE", "NAME"].map(String::from).to_vec()];
    let people = People::ask(backend)?;
    for b in blocked {
        let id = b["id"].as_str().and_then(|id| id.parse::<NodeId>().ok());
        let name = id.zip(b["name"].as_str()).map_or("-".into(), |(id, name)| people.node(id, Some(name)));
        rows.push(vec![text_short(b, "id"), name]);
    }
    out.line(table(&rows).trim_end())
}

pub fn peers(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let answer = backend.call("peers", &json!({}))?;
    let peers = answer["peers"].as_array().map_or(&[][..], Vec::as_slice);
    if out.json {
        return peers.iter().try_for_each(|p| out.line(&p.to_string()));
    }
    if peers.is_empty() {
        out.note("No peers yet: run donp join, or share a ticket from donp invite.");
        return Ok(());
    }
    let people = People::ask(backend)?;
    let titles =
        ["NODE", "NAME", "LINK", "ZONE", "RTT", "PQ", "QUEUED", "LAST LINK", "LAST MESSAGE", "ADDRESS", "LAST ERROR"];
    let mut rows = vec![titles.map(String::from).to_vec()];
    let clock = Clock::new(false);
    for value in peers {
        let p: Peer = shape::read(value)?;
        let link = match (p.neighbour, p.linked) {
            (true, _) => "neighbour",
            (false, true) => "open",
            (false, false) => "-",
        };
        rows.push(vec![
            p.short,
            p.name.as_deref().map_or("-".into(), |name| people.node(p.id, Some(name))),
            link.into(),
            value["member_state"].as_str().unwrap_or("-").into(),
            p.rtt_ms.map_or("-".into(), |ms| format!("{ms:.1} ms")),
            if p.linked { p.link_generation.to_string() } else { "-".into() },
            p.queued.to_string(),
            p.last_linked_at_ms.map_or("-".into(), |ms| clock.show(ms)),
            value["last_message_at_ms"].as_u64().map_or("-".into(), |ms| clock.show(ms)),
            p.address.unwrap_or("-".into()),
            p.last_error.as_deref().map(escape_for_terminal).unwrap_or_default(),
        ]);
    }
    out.line(table(&rows).trim_end())
}

pub fn status(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let value = backend.call("status", &json!({}))?;
    let status: Status = shape::read(&value)?;
    out.value(&value, |_| status_table(&status, out))
}

fn status_table(s: &Status, out: &Output) -> String {
    let list = |items: &[String]| if items.is_empty() { "-".into() } else { items.join(" ") };
    let state = if s.running { s.state.name() } else { "not running" };
    let mut rows: Vec<Vec<String>> = vec![
        vec!["node".into(), format!("{} ({})", s.short, escape_for_terminal(&s.name))],
        vec!["state".into(), state.into()],
        vec!["neighbours".into(), format!("{}, {} links, {} nodes known", s.neighbours, s.links, s.known)],
        vec!["waiting".into(), format!("{} in the outbox, {} for an earlier message", s.outbox, s.pending)],
        vec!["listening".into(), list(&s.listen)],
        vec!["seen at".into(), list(&s.observed)],
        vec!["store".into(), format!("{}, sealed by {}, {} commits", s.store, s.protection, s.commits)],
        vec![
            "private".into(),
            format!("texts are encrypted end-to-end, {} sealed, {} opened", s.counters.sealed, s.counters.opened),
        ],
    ];
    let c = &s.counters;
    rows.push(vec![
        "traffic".into(),
        format!("{} datagrams in, {} out, {} messages", c.datagrams_in, c.datagrams_out, c.messages),
    ]);
    let drops: Vec<_> = s.drops.iter().filter(|(_, n)| **n != 0).map(|(reason, n)| format!("{reason} {n}")).collect();
    if !drops.is_empty() {
        rows.push(vec!["dropped".into(), drops.join(", ")]);
    }
    if s.damaged_records > 0 {
        rows.push(vec!["TROUBLE".into(), out.hints.of(&lost(s.damaged_records))]);
    }
    let settled = s.lost_records.saturating_sub(s.damaged_records);
    if settled > 0 {
        rows.push(vec![
            "lost".into(),
            format!("{settled} records before a repair: `⋮` in history stands where messages are missing"),
        ]);
    }
    if let Some(e) = &s.store_error {
        rows.push(vec!["TROUBLE".into(), escape_for_terminal(e)]);
    }
    if let Some(e) = &s.lan_error {
        rows.push(vec!["TROUBLE".into(), escape_for_terminal(e)]);
    }
    for u in &s.unresolved {
        let (place, reason) = (escape_for_terminal(&u.bootstrap), escape_for_terminal(&u.reason));
        rows.push(vec!["TROUBLE".into(), format!("{place}: {reason}")]);
    }
    table(&rows)
}

pub fn config_show(loaded: &Loaded, origin: bool, out: &Output) -> Result<(), Failure> {
    for (key, value, from) in loaded.rows() {
        if out.json {
            let parsed = value.as_ref().and_then(|v| format!("x = {v}").parse::<toml::Table>().ok());
            let value = parsed.and_then(|t| serde_json::to_value(t.get("x")?).ok());
            out.line(&shape::object("setting", json!({ "key": key, "value": value, "origin": from })).to_string())?;
        } else {
            let value = value.unwrap_or_else(|| "(not set)".into());
            let from = if origin { format!("  # {from}") } else { String::new() };
            out.line(&format!("{key} = {value}{from}"))?;
        }
    }
    Ok(())
}

fn text(v: &Value, key: &str) -> String {
    text_of(v, key)
}

/// A field as text that is safe to show.
fn text_of(v: &Value, key: &str) -> String {
    v[key].as_str().map(escape_for_terminal).unwrap_or_default()
}

/// A field that may be an id, shortened.
fn text_short(v: &Value, key: &str) -> String {
    short(v[key].as_str().unwrap_or_default())
}

/// The short form of an id; anything else as it is.
fn short(text: &str) -> String {
    if let Ok(id) = text.parse::<NodeId>() {
        return id.short();
    }
    if let Ok(id) = text.parse::<GroupId>() {
        return id.short();
    }
    match text.parse::<donp_core::MessageId>() {
        Ok(id) => id.short(),
        Err(_) => escape_for_terminal(text),
    }
}

/// A name as a shell takes it for one word.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.chars().all(plain) {
        name.into()
    } else {
        format!("'{}'", escape_for_terminal(name).replace('\'', r"'\''"))
    }
}
