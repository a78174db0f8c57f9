//! What each verb does: asks a daemon or the profile itself, and shows the answer.

mod contacts;
mod groups;

use std::io::Read as _;
use std::time::{Duration, Instant};

use donp_core::{GroupId, NodeId};
use donp_runtime::api::{Conversation, Event, Message, MessageState, Peer, Status};
use donp_runtime::{Access, Node, NodeConfig, Profile, StoreError};
use serde_json::{Value, json};

use crate::cli::{History, Recv, Send, Wait};
use crate::config::{Loaded, Settings};
use crate::control::client::Client;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::paths::Paths;
use crate::service::{Facts, Service, no_daemon};
use crate::text::{clock_of, escape_for_terminal, table};
use crate::{json as shape, profile};

pub use contacts::{authenticate, contact};
pub use groups::group;

/// Where a verb's answers come from.
pub enum Backend {
    Daemon(Client),
    Here(Box<Service>),
}

/// How long a verb waits for the others that have the profile: as long as a node takes to start with a large history.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Backend {
    /// The daemon of the profile, or without one the profile itself: beside others that read, or after the others. A
    /// daemon that is starting has the profile and does not answer yet, so it is waited for.
    pub fn find(paths: &Paths, settings: &Settings, no_daemon: bool, access: Access) -> Result<Self, Failure> {
        let until = Instant::now() + PATIENCE;
        let mut secrets = None;
        let profile = loop {
            if !no_daemon && let Some(client) = daemon(paths) {
                return Ok(Self::Daemon(client));
            }
            if secrets.is_none() {
                profile::exists(paths)?;
                secrets = Some(profile::secrets(settings)?);
            }
            let by = match Profile::open_for(&paths.dir(), &secrets.clone().unwrap_or_default(), access, Duration::ZERO)
            {
                Ok(profile) => break profile,
                Err(StoreError::InUse { by, .. }) if Instant::now() < until && !(no_daemon && by.is_node) => by,
                // It may listen where this user cannot reach it.
                Err(StoreError::InUse { by, .. }) if !no_daemon => {
                    return Err(Failure::new(
                        Exit::Storage,
                        format!("profile {} is in use by {by}, which does not answer commands", paths.profile),
                    )
                    .hint("again in a moment; if that does not help, stop that process"));
                }
                Err(e) => return Err(e.into()),
            };
            log::debug!("waiting for {by}");
            std::thread::sleep(LOOK_AGAIN);
        };
        let facts = Facts::of(&profile, &paths.profile);
        let config = NodeConfig { config: settings.core.clone(), offline: true, ..NodeConfig::new(profile) };
        Ok(Self::Here(Box::new(Service::new(Node::open(config)?, facts, false))))
    }

    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, Failure> {
        match self {
            Self::Daemon(client) => client.call(method, params),
            Self::Here(service) => service.call(method, params, &|| false),
        }
    }
}

/// A connection to the profile's daemon: where its lock says, or where it usually is.
fn daemon(paths: &Paths) -> Option<Client> {
    let announced = Profile::holder(&paths.dir()).and_then(|h| h.control);
    announced.as_deref().and_then(Client::connect).or_else(|| Client::connect(&paths.socket().ok()?))
}

pub fn init(name: &str, paths: &Paths, settings: &Settings, out: &Output) -> Result<(), Failure> {
    let profile = profile::create(paths, settings, name)?;
    let protected = profile.protection().name();
    let id = profile.identity().node_id();
    if protected == "key-file" {
        out.note(
            "The profile is sealed by a key file beside it (mode 0600): whoever can read this user's files can read \
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
        }),
    );
    out.value(&made, identity)
}

fn identity(v: &Value) -> String {
    let protection = match v["protection"].as_str() {
        Some("passphrase") => "a passphrase",
        _ => "a key file, readable by this user only",
    };
    format!(
        "{} is node {}\nid       {}\naccount  {}\nprofile  {} in {}\nsealed   by {protection}",
        text(v, "name"),
        text(v, "short"),
        text(v, "id"),
        text(v, "account"),
        text(v, "profile"),
        text(v, "folder"),
    )
}

pub fn whoami(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    out.value(&backend.call("whoami", &json!({}))?, identity)
}

pub fn send(args: &Send, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let text = match args.text.as_deref() {
        Some("-") => read_stdin()?,
        Some(text) => text.to_string(),
        None => String::new(),
    };
    let about =
        [("reply_to", &args.reply_to), ("edit_of", &args.edit), ("react_to", &args.react), ("retract", &args.retract)];
    let about = about.into_iter().find_map(|(kind, id)| Some((kind, id.as_ref()?)));
    let sent = backend.call(
        "send",
        &json!({
            "to": args.to,
            "text": text,
            "kind": about.map(|(kind, _)| kind),
            "about": about.map(|(_, id)| id),
            "wait": args.wait.name(),
            "timeout_ms": if args.wait == Wait::None { 0 } else { args.timeout.as_millis() },
        }),
    )?;
    let is_group = sent["conversation"].as_str().is_some_and(|c| c.parse::<GroupId>().is_ok());
    out.value(&sent, |v| {
        let who = match v["name"].as_str() {
            Some(name) if is_group => groups::name_of(Some(name), ""),
            Some(name) => escape_for_terminal(name),
            None => text_short(v, "conversation"),
        };
        let what = match v["state"].as_str() {
            Some("delivered") => format!("delivered to {who}"),
            Some("sent") => format!("sent to {who}"),
            Some("failed") => format!("{who} does not take it"),
            _ if is_group => format!("kept: no other member of {who} is connected, they catch up later"),
            _ if v["conversation"] == "all" => "kept: nobody is connected, everybody catches up later".into(),
            _ => format!("kept in the outbox: {who} is away"),
        };
        format!("{what}  {}", text_of(v, "id"))
    })?;
    match (sent["state"].as_str(), sent["reached"].as_bool()) {
        (Some("failed"), _) => Err(Failure::new(Exit::Refused, "the other node does not take this message")),
        // The object on stdout has said it already.
        (_, Some(false)) if out.json => Err(Failure::new(Exit::Network, "")),
        (Some(state), Some(false)) => {
            let what = if state == "queued" { "nobody is linked who could take it" } else { "no answer came in time" };
            Err(Failure::new(Exit::Network, format!("{what}: the message stays queued and goes when they are back"))
                .hint("donp peers shows who is there"))
        }
        _ => Ok(()),
    }
}

/// At most a little over what a message carries: the rest would be refused anyway.
fn read_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(donp_core::Content::MAX_LEN as u64 * 32)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::new(Exit::Failed, format!("stdin: {e}")))?;
    let mut text =
        String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Failed, "what came on stdin is not UTF-8 text"))?;
    // What `echo` adds is not meant.
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

pub fn recv(args: &Recv, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    if args.follow {
        let Backend::Daemon(client) = backend else {
            return Err(no_daemon("only a running node hears something new"));
        };
        client.subscribe(args.from)?;
        while let Some(value) = client.next_event()? {
            let event = shape::read_event(&value);
            show_event(&event, &value, out)?;
            if let Some(seq) = event.seq().filter(|_| !args.no_ack) {
                client.ack(seq)?;
            }
        }
        return Err(Failure::new(Exit::NoDaemon, "the daemon ended").hint("donp run"));
    }
    let mut after = json!(args.from);
    loop {
        let page = backend.call("recv", &json!({ "after": after, "max": 100 }))?;
        let mut last = None;
        for value in page["events"].as_array().into_iter().flatten() {
            let event = shape::read_event(value);
            show_event(&event, value, out)?;
            last = event.seq().or(last);
        }
        let Some(last) = last else { return Ok(()) };
        // Only after it was shown: what was not shown comes again.
        if !args.no_ack {
            backend.call("ack", &json!({ "seq": last }))?;
        }
        after = last.into();
    }
}

/// Prints an event, with `--json` as it came.
fn show_event(event: &Event, value: &Value, out: &Output) -> Result<(), Failure> {
    if out.json {
        return out.line(&value.to_string());
    }
    let who = |name: &Option<String>, id: &NodeId| name.as_deref().map_or_else(|| id.short(), escape_for_terminal);
    match event {
        Event::Received { message, .. } => out.line(&message_line(message, None)),
        Event::Delivered { id, to, name, .. } => out.line(&format!("          ✓ {} has {id}", who(name, to))),
        Event::Failed { id, to, name, reason, .. } => {
            out.line(&format!("          ✗ {} does not have {id}: {reason}", who(name, to)))
        }
        Event::Forked { conversation, author, name, number, .. } => out.line(&format!(
            "          {} said two things as its message {number} to {}: its profile was copied, or it cheats; both stay",
            who(name, author),
            place(conversation)
        )),
        Event::LifeBegun { conversation, .. } => out.line(&format!(
            "          another copy of this profile speaks to {}: stop one of the two; nothing that either said is lost",
            place(conversation)
        )),
        Event::GroupChanged { .. } => match groups::change_line(event) {
            Some(line) => out.line(&format!("          {line}")),
            None => Ok(()),
        },
        Event::ContactRequest { .. } | Event::ContactChanged { .. } => {
            contacts::event_lines(event).iter().try_for_each(|line| out.line(&format!("          {line}")))
        }
        Event::Lagged { missed } => out.line(&format!("          {missed} events were lost")),
        // The others are for programs.
        _ => Ok(()),
    }
}

fn place(conversation: &Conversation) -> String {
    match conversation {
        Conversation::Network => "all".into(),
        Conversation::Private { peer } => peer.short(),
        Conversation::Group { group } => group.short(),
    }
}

fn message_line(m: &Message, number: Option<usize>) -> String {
    let context = m.context.as_ref();
    let name = context.and_then(|c| c.name.as_deref()).map_or_else(|| m.author.short(), escape_for_terminal);
    let about = m.content.about().map(|(kind, id)| format!("({} {}) ", kind.replace('_', " "), id.short()));
    let place = match m.conversation {
        Conversation::Network => String::new(),
        Conversation::Private { .. } if context.is_some_and(|c| c.request) => "[request] ".into(),
        Conversation::Private { .. } => "[private] ".into(),
        Conversation::Group { group } => {
            format!("[{}] ", groups::name_of(context.and_then(|c| c.group_name.as_deref()), &group.short()))
        }
    };
    let concurrent = if context.is_some_and(|c| !c.concurrent_with.is_empty()) { " (concurrent)" } else { "" };
    let queued = if context.is_some_and(|c| c.state == MessageState::Queued) { " (queued)" } else { "" };
    let number = number.map(|n| format!("{n:>3}  ")).unwrap_or_default();
    let text = escape_for_terminal(m.shown());
    let changed = match (m.retracted, &m.edited) {
        (true, _) => "(retracted)",
        (false, Some(_)) => " (edited)",
        (false, None) => "",
    };
    let at = clock_of(context.and_then(|c| c.sent_at.as_deref()));
    format!("{number}{at}  {name}  {place}{}{text}{changed}{concurrent}{queued}", about.unwrap_or_default())
}

pub fn history(args: &History, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let mut pages: Vec<Vec<Value>> = Vec::new();
    let (mut left, mut before) = (args.limit as usize, json!(args.before));
    let mut older = Value::Null;
    while left > 0 {
        let params = json!({
            "conversation": args.to,
            "limit": left,
            "before": before,
            "search": args.search,
        });
        let mut page = backend.call("history", &params)?;
        let Value::Array(mut messages) = page["messages"].take() else { break };
        // People see what an edit or retraction did at its message; programs get both.
        if !out.json {
            messages.retain(|m| m["edit_of"].is_null() && m["retract"].is_null());
        }
        left -= messages.len().min(left);
        pages.push(messages);
        older = page["older"].take();
        if older.is_null() {
            break;
        }
        before = older.clone();
    }
    if let Some(newest) = pages.first().and_then(|page| page.last()).filter(|_| args.mark_read) {
        backend.call("mark_read", &json!({ "conversation": args.to, "upto": newest["id"] }))?;
    }
    // Pages came newest first.
    for (n, m) in pages.iter().rev().flatten().enumerate() {
        let line = if out.json { m.to_string() } else { message_line(&shape::read(m)?, Some(n + 1)) };
        out.line(&line)?;
    }
    if out.json {
        out.line(&shape::object("page", json!({ "conversation": args.to, "older": older })).to_string())?;
    } else if let Some(older) = older.as_str() {
        out.note(&format!("There are older ones: --before {older}"));
    }
    // A hole is never shown as if nothing had been there.
    if !out.json {
        let status: Status = shape::read(&backend.call("status", &json!({}))?)?;
        if status.damaged_records > 0 {
            out.note(&lost(status.damaged_records));
        }
    }
    Ok(())
}

fn lost(records: u64) -> String {
    format!(
        "{records} records of this profile are lost, since its file was damaged: messages may be missing until others bring \
         them again. `donp check` says more, `donp check --repair` takes it as known"
    )
}

pub fn invite(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let ticket = backend.call("invite", &json!({}))?;
    if ticket["closed_network"] == true {
        out.note("This ticket holds the key of a closed network: whoever has it can enter.");
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
            "This ticket works on this machine only: the node has no other address than loopback. See --listen, and --announce \
             for an address that it cannot know.",
        );
    }
}

pub fn join(target: &str, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let joining = backend.call("join", &json!({ "target": target }))?;
    out.value(&joining, |v| {
        let through = v["name"].as_str().map_or_else(|| text_short(v, "through"), escape_for_terminal);
        if v["running"] == true {
            format!("joining through {through}")
        } else {
            format!("remembered: `donp run` will join through {through}")
        }
    })
}

pub fn leave(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    out.value(&backend.call("leave", &json!({}))?, |_| "left the network; `donp join` enters it again".into())
}

/// Says what was done with the node.
pub fn block(backend: &mut Backend, out: &Output, method: &str, peer: &str) -> Result<(), Failure> {
    out.value(&backend.call(method, &json!({ "peer": peer }))?, |v| {
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
    for b in blocked {
        rows.push(vec![text_short(b, "id"), b["name"].as_str().map_or("-".into(), escape_for_terminal)]);
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
        out.note("Nobody is known yet: donp join, or give somebody a ticket from donp invite.");
        return Ok(());
    }
    let mut rows = vec![["NODE", "NAME", "LINK", "RTT", "QUEUED", "ADDRESS", "LAST ERROR"].map(String::from).to_vec()];
    for p in peers {
        let p: Peer = shape::read(p)?;
        let link = match (p.neighbour, p.linked) {
            (true, _) => "neighbour",
            (false, true) => "open",
            (false, false) => "-",
        };
        rows.push(vec![
            p.short,
            p.name.as_deref().map_or("-".into(), escape_for_terminal),
            link.into(),
            p.rtt_ms.map_or("-".into(), |ms| format!("{ms:.1} ms")),
            p.queued.to_string(),
            p.address.unwrap_or("-".into()),
            p.last_error.as_deref().map(escape_for_terminal).unwrap_or_default(),
        ]);
    }
    out.line(table(&rows).trim_end())
}

pub fn status(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let value = backend.call("status", &json!({}))?;
    let status: Status = shape::read(&value)?;
    out.value(&value, |_| status_table(&status))
}

fn status_table(s: &Status) -> String {
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
        rows.push(vec!["TROUBLE".into(), lost(s.damaged_records)]);
    }
    if let Some(e) = &s.store_error {
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
