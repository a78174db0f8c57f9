//! `donp recv` and `donp history`: messages and events as people read them.

use std::collections::BTreeMap;
use std::time::Duration;

use donp_core::NodeId;
use donp_runtime::api::{Content, Conversation, Event, Message, MessageState, Status};
use serde_json::{Value, json};

use super::{contacts, groups, lost};
use crate::backend::{Backend, daemon};
use crate::cli::{History, Recv};
use crate::control::client::{Client, Next};
use crate::failure::{Exit, Failure};
use crate::json as shape;
use crate::output::Output;
use crate::paths::Paths;
use crate::people::People;
use crate::service::no_daemon;
use crate::text::{escape_for_terminal, lines};
use crate::when::{Clock, WIDTH};

/// How long a reader that reconnects waits between two looks for the daemon: from the first to the last.
const RECONNECT: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// How messages are shown.
struct Viewer {
    clock: Clock,
    people: People,
    /// As they were sent, and what changes them as messages of their own.
    originals: bool,
}

pub fn recv(args: &Recv, backend: Backend, paths: &Paths, out: &Output) -> Result<(), Failure> {
    let clock = Clock::new(args.utc);
    if args.follow {
        let client = match backend {
            Backend::Daemon(client) => Some(client),
            // What is waited for opens this profile.
            Backend::Here(_) => None,
        };
        let viewer = Viewer { clock, people: People::default(), originals: true };
        return Follower { args, paths, out, viewer, place: args.from }.run(client);
    }
    let mut backend = backend;
    let people = if out.json { People::default() } else { People::ask(&mut backend)? };
    let viewer = Viewer { clock, people, originals: true };
    let mut after = json!(args.from);
    loop {
        let page = backend.call("recv", &json!({ "after": after, "max": 100 }))?;
        let mut last = None;
        for value in page["events"].as_array().into_iter().flatten() {
            let event = shape::read_event(value);
            viewer.event(&event, value, out)?;
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

/// A follower of the events of a daemon, and of the next one.
struct Follower<'a> {
    args: &'a Recv,
    paths: &'a Paths,
    out: &'a Output,
    viewer: Viewer,
    /// The number of the last event that was shown; none before the daemon said where its own cursor stands.
    place: Option<u64>,
}

impl Follower<'_> {
    fn run(mut self, client: Option<Client>) -> Result<(), Failure> {
        let Some(mut client) = client.or_else(|| self.args.reconnect.then(|| self.reconnect())) else {
            return Err(no_daemon("only a running node receives new events"));
        };
        loop {
            let why = self.follow(&mut client)?;
            if !self.args.reconnect {
                return Err(Failure::new(Exit::NoDaemon, why)
                    .hint("donp recv --follow again when it runs, or with --reconnect, which waits for it"));
            }
            self.out.note(&format!("{why}; waiting for it"));
            client = self.reconnect();
            self.out.note("connected again");
        }
    }

    /// A connection to a daemon, however long it takes until there is one.
    fn reconnect(&self) -> Client {
        let [mut pause, longest] = RECONNECT;
        loop {
            if let Some(client) = daemon(self.paths) {
                return client;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }

    /// Shows events until there are no more, and says why.
    fn follow(&mut self, client: &mut Client) -> Result<String, Failure> {
        let answer = match client.subscribe(self.place) {
            Ok(answer) => answer,
            // It ended meanwhile.
            Err(e) if self.args.reconnect && e.exit == Exit::NoDaemon => return Ok(e.what),
            Err(e) => return Err(e),
        };
        let last = answer["last"].as_u64().unwrap_or(u64::MAX);
        if let Some(place) = self.place.filter(|place| self.args.from != Some(*place) && *place > last) {
            // A backup was restored meanwhile: its events begin lower.
            self.out.note(&format!("this profile no longer has event {place}: an older copy of it runs now"));
            self.place = None;
            return Ok("the event numbers start again".into());
        }
        match self.place {
            // What was shown and could not be acknowledged before.
            Some(place) if !self.args.no_ack && self.args.from != Some(place) && place > 0 => drop(client.ack(place)),
            Some(_) => {}
            None => self.place = answer["after"].as_u64(),
        }
        loop {
            let value = match client.next()? {
                Next::Event(value) => value,
                Next::End(Some(reason)) => return Ok(reason),
                // A daemon that dies may still take a connection, and does not answer.
                Next::End(None) if daemon(self.paths).is_some_and(|mut d| d.call("version", &json!({})).is_ok()) => {
                    return Ok("the daemon closed this connection, since its reader was too slow".into());
                }
                Next::End(None) => return Ok("the daemon ended without notice: it was killed or crashed".into()),
            };
            let event = shape::read_event(&value);
            // Not twice, whatever the daemon gives.
            let seq = event.seq();
            if seq.is_some() && seq <= self.place {
                continue;
            }
            self.meet(&event);
            self.viewer.event(&event, &value, self.out)?;
            if let Some(seq) = seq {
                self.place = Some(seq);
                // Without a connection it is done with the next one.
                if !self.args.no_ack {
                    let _ = client.ack(seq);
                }
            }
        }
    }

    /// Asks for the known nodes again, if an event is of a node that was not or had another name.
    fn meet(&mut self, event: &Event) {
        let (id, name) = match event {
            Event::Received { message, .. } => {
                (message.author, message.context.as_ref().and_then(|c| c.name.as_deref()))
            }
            Event::Delivered { to, name, .. } | Event::Failed { to, name, .. } => (*to, name.as_deref()),
            Event::Forked { author, name, .. } => (*author, name.as_deref()),
            Event::GroupChanged { node: Some(node), name, .. } => (*node, name.as_deref()),
            _ => return,
        };
        if self.out.json || self.viewer.people.has(id, name) {
            return;
        }
        if let Some(client) = daemon(self.paths)
            && let Ok(people) = People::ask(&mut Backend::Daemon(client))
        {
            self.viewer.people = people;
        }
        self.viewer.people.meet(id, name);
    }
}

impl Viewer {
    /// Prints an event, with `--json` as it came.
    fn event(&self, event: &Event, value: &Value, out: &Output) -> Result<(), Failure> {
        if out.json {
            return out.line(&value.to_string());
        }
        let who = |name: &Option<String>, id: &NodeId| self.people.node(*id, name.as_deref());
        let say = |text: String| out.line(&format!("{}  {text}", " ".repeat(WIDTH)));
        match event {
            Event::Received { message, .. } => out.line(&self.message(message)),
            Event::Delivered { id, to, name, .. } => say(format!("✓ {} has {}", who(name, to), id.short())),
            Event::Failed { id, to, name, reason, .. } => {
                say(format!("✗ {} was not delivered to {}: {reason}", id.short(), who(name, to)))
            }
            Event::Forked { conversation, author, name, number, .. } => say(format!(
                "{} sent two different messages as its number {number} to {}: its profile was copied, or it cheats; both are kept",
                who(name, author),
                place(conversation)
            )),
            Event::LifeBegun { conversation, .. } => say(format!(
                "another copy of this profile sends to {}: stop one of the two; no message of either is lost",
                place(conversation)
            )),
            Event::GroupChanged { .. } => match groups::change_line(event, &out.hints) {
                Some(line) => say(line),
                None => Ok(()),
            },
            Event::ContactRequest { .. } | Event::ContactChanged { .. } => {
                contacts::event_lines(event).into_iter().try_for_each(say)
            }
            Event::DevicesChanged { .. } => super::devices::event_line(event).map_or(Ok(()), say),
            Event::FileReceived { file, .. } => say(format!("file {} is here", file.short())),
            Event::Lagged { missed } => say(format!("{missed} events were lost")),
            // The others are for programs.
            _ => Ok(()),
        }
    }

    /// A message: when, its id, its author and its text. Each further line begins with `│`, which no text can.
    fn message(&self, m: &Message) -> String {
        let context = m.context.as_ref();
        let name = self.people.node(m.author, context.and_then(|c| c.name.as_deref()));
        let about = m.content.about().map(|(kind, id)| format!("({} {}) ", kind.replace('_', " "), id.short()));
        let place = match m.conversation {
            Conversation::Network => String::new(),
            Conversation::Private { .. } if context.is_some_and(|c| c.request) => "[request] ".into(),
            Conversation::Private { .. } => "[private] ".into(),
            Conversation::Group { group } => {
                format!("[{}] ", self.people.group(group, context.and_then(|c| c.group_name.as_deref())))
            }
        };
        let concurrent = if context.is_some_and(|c| !c.concurrent_with.is_empty()) { " (concurrent)" } else { "" };
        let queued = if context.is_some_and(|c| c.state == MessageState::Queued) { " (queued)" } else { "" };
        let mut text = lines(if self.originals { m.content.shown() } else { m.shown() });
        if let (false, Content::File { file, .. }) = (m.retracted && !self.originals, &m.content) {
            let named = format!("(file {}, {})", escape_for_terminal(&file.name), super::files::bytes(file.size));
            let first = text.first().filter(|t| !t.is_empty()).map(|t| format!("{named} {t}"));
            let rest = text.into_iter().skip(1);
            text = std::iter::once(first.unwrap_or(named)).chain(rest).collect();
        }
        let changed = match (m.retracted, &m.edited) {
            (true, _) if self.originals => " (retracted)",
            (true, _) => "(retracted)",
            (false, Some(_)) if self.originals => " (edited later)",
            (false, Some(_)) => " (edited)",
            (false, None) => "",
        };
        let head = format!(
            "{}  {}  {name}  {place}{}",
            self.clock.show(m.sent_at_ms),
            m.id.short(),
            about.unwrap_or_default()
        );
        let confirmed = confirmed(m);
        format!("{head}{}{changed}{concurrent}{queued}{confirmed}", text.join(&below("│ ")))
    }

    /// The reactions to a message, in a line below it; none without reactions.
    fn reactions(&self, m: &Value) -> Option<String> {
        // In the order in which the marks came.
        let (mut marks, mut by) = (Vec::new(), BTreeMap::<&str, Vec<String>>::new());
        for reaction in m["reactions"].as_array().into_iter().flatten() {
            let mark = reaction["mark"].as_str().unwrap_or_default();
            let Some(id) = reaction["author"].as_str().and_then(|id| id.parse().ok()) else { continue };
            if !by.contains_key(mark) {
                marks.push(mark);
            }
            by.entry(mark).or_default().push(self.people.node(id, reaction["name"].as_str()));
        }
        let shown =
            |mark: &&str| Some(format!("{} {}", crate::text::escape_for_terminal(mark), by.get(*mark)?.join(", ")));
        let all: Vec<String> = marks.iter().filter_map(shown).collect();
        (!all.is_empty()).then(|| all.join("  "))
    }
}

/// How many have an own message: `✓ 3/5`, and how many say that they have read it.
fn confirmed(m: &Message) -> String {
    let Some(counts) = m.context.as_ref().and_then(|c| c.confirmations) else { return String::new() };
    let (members, stored, read) = (counts.members, counts.stored, counts.read);
    match (&m.conversation, read) {
        (Conversation::Private { .. }, 0) => String::new(),
        (Conversation::Private { .. }, _) => " ✓ read".into(),
        (_, 0) => format!(" ✓ {stored}/{members}"),
        (_, _) => format!(" ✓ {stored}/{members}, read {read}/{members}"),
    }
}

/// A new line below the time of a message, with a mark in front.
fn below(mark: &str) -> String {
    format!("\n{}{mark}", " ".repeat(WIDTH + 2))
}

fn place(conversation: &Conversation) -> String {
    match conversation {
        Conversation::Network => "all".into(),
        Conversation::Private { peer } => peer.short(),
        Conversation::Group { group } => group.short(),
    }
}

pub fn history(args: &History, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let people = if out.json { People::default() } else { People::ask(backend)? };
    let viewer = Viewer { clock: Clock::new(args.utc), people, originals: args.originals };
    let folded = !out.json && !args.originals;
    let mut pages: Vec<Vec<Value>> = Vec::new();
    let (mut left, mut before) = (args.limit as usize, json!(args.before));
    let (mut older, mut begins_later, mut waiting) = (Value::Null, false, 0);
    while left > 0 {
        let params = json!({
            "conversation": args.to,
            "limit": left,
            "before": before,
            "search": args.search,
            "fold": folded,
        });
        let mut page = backend.call("history", &params)?;
        let Value::Array(messages) = page["messages"].take() else { break };
        left -= messages.len().min(left);
        pages.push(messages);
        begins_later = page["begins_later"] == true;
        waiting = page["waiting"].as_u64().unwrap_or(0);
        older = page["older"].take();
        if older.is_null() {
            break;
        }
        before = older.clone();
    }
    if let Some(newest) = pages.first().and_then(|page| page.last()).filter(|_| args.mark_read) {
        backend.call("mark_read", &json!({ "conversation": args.to, "upto": newest["id"] }))?;
    }
    let missing = |what: &str| out.line(&format!("{}  ⋮ {what}", " ".repeat(WIDTH)));
    if begins_later && args.search.is_none() {
        missing("older messages are not stored here (expired, from before you joined, or from a blocked node)")?;
    }
    // A hole is never shown as if nothing had been there.
    let status: Status = shape::read(&backend.call("status", &json!({}))?)?;
    let damage = (status.damaged_records > 0).then(|| lost(status.damaged_records));
    // Pages came newest first.
    for m in pages.iter().rev().flatten() {
        if out.json {
            out.line(&m.to_string())?;
            continue;
        }
        if m["gap_before"] == true && args.search.is_none() {
            missing("this profile lost messages here")?;
        }
        let shown = viewer.message(&shape::read(m)?);
        let reactions = viewer.reactions(m).map(|all| below("└ ") + &all).unwrap_or_default();
        out.line(&(shown + &reactions))?;
    }
    if out.json {
        damage.iter().for_each(|damage| out.note(damage));
        return out.line(&shape::object("page", json!({ "conversation": args.to, "older": older })).to_string());
    }
    if waiting > 0 && args.before.is_none() && args.search.is_none() {
        out.note(&format!("{waiting} messages arrived and wait for an earlier one, here or in another conversation."));
    }
    if let Some(id) = older.as_str() {
        out.note(&format!(
            "There are older messages: donp history {} --before {}",
            super::quoted(&args.to),
            super::short(id)
        ));
    }
    damage.iter().for_each(|damage| out.note(damage));
    Ok(())
}
