//! What a node does for its owner: every verb as a method from JSON to JSON. The daemon serves it on
//! the control socket; without a daemon the command line calls it directly.

mod care;
mod contacts;
mod devices;
mod fate;
mod faults;
mod files;
mod groups;
mod history;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use donp_core::{
    Content, Conversation, Durable, Event, MemberState, Message, MessageId, NodeId, NodeState, ParseTicketError, Peer,
    Ticket, WallTime,
};
use donp_runtime::{ErrorKind, Node, NodeError, Profile, Protection, api};
use serde_json::{Value, json};

use crate::failure::{Exit, Failure};
use crate::json::{self, Names, object};
use crate::resolve;
use crate::service::fate::Fate;
use crate::text::rfc3339;

/// Messages of one page of events or history.
const MAX_PAGE: u64 = 1_000;
/// Bytes of text in one page; what is left comes with the next.
const MAX_PAGE_BYTES: usize = 1 << 20;
/// Messages read at once.
const PAGE: u32 = 256;
/// Messages around an event that it is compared with for `concurrent_with`.
const AROUND: u32 = 64;
/// How often a wait checks its condition again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often a method that waits for events looks whether its client is still there.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// How long a node that is entering the network may take to learn of the node that is meant: two attempts to reach
/// it, and its answer.
const ENTERING: Duration = Duration::from_secs(5);
/// The longest a method waits, whatever is asked.
const MAX_WAIT: Duration = Duration::from_secs(86_400);
/// The store answers within this, or the disk is in trouble.
const STORE_WAIT: Duration = Duration::from_secs(60);

/// A node and the facts about its profile.
pub struct Service {
    pub node: Node,
    profile: String,
    dir: String,
    protection: Protection,
    /// Whether the node takes part in the network.
    running: bool,
}

/// The facts that are known before the profile moves into its node.
pub struct Facts {
    pub profile: String,
    pub dir: String,
    pub protection: Protection,
}

impl Facts {
    pub fn of(profile: &Profile, name: &str) -> Self {
        Self { profile: name.into(), dir: profile.dir().display().to_string(), protection: profile.protection() }
    }
}

fn text_of<'a>(params: &'a Value, name: &str) -> Result<&'a str, Failure> {
    params[name].as_str().ok_or_else(|| Failure::usage(format!("'{name}' is missing or not a text")))
}

fn number_of(params: &Value, name: &str, default: u64) -> Result<u64, Failure> {
    match &params[name] {
        Value::Null => Ok(default),
        value => value.as_u64().ok_or_else(|| Failure::usage(format!("'{name}' is not a whole number"))),
    }
}

fn wait_of(params: &Value) -> Result<Duration, Failure> {
    Ok(Duration::from_millis(number_of(params, "timeout_ms", 0)?).min(MAX_WAIT))
}

/// How long, and whether the client is gone meanwhile.
type Wait<'a> = (Instant, &'a dyn Fn() -> bool);

fn left((until, gone): Wait<'_>) -> Duration {
    if gone() { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) }
}

fn named(id: NodeId, name: Option<String>) -> Value {
    json!({ "id": id.to_string(), "short": id.short(), "name": name })
}

impl Service {
    pub fn new(node: Node, facts: Facts, running: bool) -> Self {
        Self { node, profile: facts.profile, dir: facts.dir, protection: facts.protection, running }
    }

    /// Every method, for the error about an unknown one.
    pub const METHODS: [&'static str; 71] = [
        "accept_change",
        "accept_contact",
        "ack",
        "add_contact",
        "add_device",
        "add_file",
        "answer_join",
        "authenticate_node",
        "backup",
        "block",
        "blocked",
        "check",
        "confirmations",
        "contact",
        "contacts",
        "conversations",
        "create_group",
        "delete_conversation",
        "describe_group",
        "detect_node_failure",
        "devices",
        "devices_of",
        "fetch_file",
        "files",
        "group",
        "groups",
        "handle_local_peer",
        "history",
        "invite",
        "invite_to_group",
        "is_joining_account",
        "is_queued",
        "join",
        "join_account",
        "join_group",
        "leave",
        "leave_group",
        "mark_read",
        "members",
        "mute_contact",
        "network_changed",
        "peers",
        "pin_message",
        "read_file",
        "recover_account",
        "recover_from_failure",
        "recovery_code",
        "recv",
        "remove_contact",
        "remove_device",
        "remove_file",
        "remove_member",
        "rename_contact",
        "rename_device",
        "rename_group",
        "report_partition",
        "safety_number",
        "save_file",
        "send",
        "send_typing",
        "set_group_policy",
        "set_member_role",
        "status",
        "synchronize_state",
        "transfer_group",
        "unban_member",
        "unblock",
        "unpin_message",
        "verify_contact",
        "version",
        "whoami",
    ];

    /// Does one thing. Blocks as long as the method's `timeout_ms` says, and no longer than until the client is `gone`.
    ///
    /// # Errors
    /// What could not be done, with its exit code.
    pub fn call(&self, method: &str, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        match method {
            "send" => self.send(params, gone),
            "recv" => self.recv(params, gone),
            "ack" => self.ack(params),
            "is_queued" => self.is_queued(params),
            "history" => self.history(params),
            "invite" => self.invite(),
            "join" => self.join(params),
            "leave" => self.leave(),
            "status" => json::write(api::Status::of(&self.node, self.running)?),
            "peers" => self.peers(),
            "block" => self.block(params, true),
            "unblock" => self.block(params, false),
            "blocked" => self.blocked(),
            "whoami" => self.whoami(),
            "version" => Ok(version()),
            _ => self
                .contact_call(method, params, gone)
                .or_else(|| self.device_call(method, params, gone))
                .or_else(|| self.group_call(method, params, gone))
                .or_else(|| self.file_call(method, params, gone))
                .or_else(|| self.fault_call(method, params))
                .or_else(|| self.care_call(method, params))
                .unwrap_or_else(|| {
                    Err(Failure::usage(format!("there is no method '{method}'")).hint(Self::METHODS.join(", ")))
                }),
        }
    }

    /// By use: whom this node talked with last, then neighbours, open links, and the others by name.
    fn peers(&self) -> Result<Value, Failure> {
        let members: BTreeMap<NodeId, MemberState> =
            self.node.members()?.into_iter().map(|m| (m.id, m.state)).collect();
        let mut rows = Vec::new();
        for p in self.node.peers()? {
            let (id, name) = (p.id, p.name.clone());
            let talk = self.node.history(Conversation::Private(id), None, 1, STORE_WAIT)?;
            let last = talk.messages.last().map(|m| m.sent_at.0);
            let use_of = (Reverse(last), Reverse((p.queued, p.neighbour, p.linked)), name.is_none(), name, id);
            let mut row = json::write(api::Peer::from(p))?;
            row["member_state"] = members.get(&id).map(|state| state.name()).into();
            row["last_message_at"] = last.and_then(|at| rfc3339(WallTime(at))).into();
            row["last_message_at_ms"] = last.into();
            rows.push((use_of, row));
        }
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(json!({ "peers": rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>() }))
    }

    fn block(&self, params: &Value, blocked: bool) -> Result<Value, Failure> {
        let peers = self.node.peers()?;
        let peer = resolve::node_with(text_of(params, "peer")?, &self.book()?, &peers)?;
        if blocked {
            self.node.block(peer)?
        } else {
            self.node.unblock(peer)?
        }
        let name = peers.iter().find(|p| p.id == peer).and_then(|p| p.name.clone());
        Ok(object(if blocked { "blocked" } else { "unblocked" }, named(peer, name)))
    }

    fn blocked(&self) -> Result<Value, Failure> {
        let peers = self.node.peers()?;
        let name = |id| peers.iter().find(|p| p.id == id).and_then(|p| p.name.clone());
        let blocked: Vec<Value> = self.node.blocked()?.into_iter().map(|id| named(id, name(id))).collect();
        Ok(json!({ "blocked": blocked }))
    }

    fn whoami(&self) -> Result<Value, Failure> {
        let status = self.node.status()?;
        Ok(object(
            "identity",
            json!({
                "id": status.node.id.to_string(),
                "short": status.node.id.short(),
                "account": status.node.account.to_string(),
                "name": status.node.name,
                "profile": self.profile,
                "folder": self.dir,
                "protection": self.protection.name(),
            }),
        ))
    }

    fn leave(&self) -> Result<Value, Failure> {
        if !self.running {
            return Err(no_daemon("there is no network to leave"));
        }
        self.node.leave()?;
        Ok(object("left", json!({ "id": self.node.id().to_string() })))
    }

    fn invite(&self) -> Result<Value, Failure> {
        let ticket = self.node.invite()?;
        if ticket.addrs.is_empty() {
            return Err(no_daemon("a ticket holds the addresses that a running node listens on"));
        }
        Ok(object(
            "ticket",
            json!({
                "ticket": ticket.to_string(),
                "id": ticket.node.to_string(),
                "name": ticket.name,
                "addresses": ticket.addrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "closed_network": ticket.network_key.is_some(),
            }),
        ))
    }

    fn join(&self, params: &Value) -> Result<Value, Failure> {
        let fields = match &params["target"] {
            Value::Null => {
                self.node.join(&[])?;
                json!({ "through": null, "name": null })
            }
            _ => self.join_through(text_of(params, "target")?.trim())?,
        };
        let mut out = object("joining", fields);
        out["running"] = self.running.into();
        Ok(out)
    }

    fn join_through(&self, target: &str) -> Result<Value, Failure> {
        if !looks_like_ticket(target) {
            self.node.join(&[target.to_string()])?;
            return Ok(json!({ "through": target, "name": null }));
        }
        let ticket: Ticket = target.parse().map_err(|e: ParseTicketError| {
            Failure::new(Exit::Failed, format!("the ticket is damaged: {e}"))
                .kind(ErrorKind::InvalidInput)
                .hint("copy it again, whole, from `donp invite`")
        })?;
        self.node.join_ticket(&ticket)?;
        Ok(json!({ "through": ticket.node.to_string(), "name": ticket.name }))
    }

    fn send(&self, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        let (to, peers) = self.addressee(text_of(params, "to")?)?;
        let about = match params["kind"].as_str() {
            Some(kind) => Some((kind, self.message_id(to, params["about"].as_str().unwrap_or_default())?)),
            None => None,
        };
        let text = params["text"].as_str().unwrap_or_default();
        let wait = params["wait"].as_str().unwrap_or("none");
        if !["none", "sent", "delivered", "all"].contains(&wait) {
            return Err(Failure::usage(format!("'{wait}' is not one of none, sent, delivered, all")));
        }
        let acknowledges = matches!(to, Conversation::Private(_) | Conversation::Group(_));
        if !acknowledges && ["delivered", "all"].contains(&wait) {
            return Err(Failure::usage("messages to all are not acknowledged by each node")
                .hint("--wait sent, or a node or a group instead of all"));
        }
        let until = Instant::now() + wait_of(params)?;
        let before = self.node.last_event();
        let content = match &params["file"] {
            Value::Null => json::content(text, about).map_err(Failure::usage)?,
            Value::String(path) => self.file_content(path, text)?,
            added => Content::File { file: Box::new(files::attachment(added)?), text: text.into() },
        };
        // What was added for this message alone.
        let file = match &content {
            Content::File { file, .. } if params["file"].is_string() => Some(file.id),
            _ => None,
        };
        let said = match to {
            Conversation::Private(peer) => self.node.send_private(peer, content),
            Conversation::Group(group) => self.node.send_to_group(group, content),
            _ => self.node.broadcast(content),
        };
        if let (Some(file), Err(NodeError::Command(_))) = (file, &said) {
            self.drop_file(file);
        }
        let id = said.map_err(|e| match e {
            // This process ends with its command, and the message with it.
            NodeError::Unstored { source, .. } if !self.running => {
                // Not even with the last try when it ends.
                let _ = self.node.kill();
                Failure::new(Exit::Storage, format!("{source}: the message was not stored"))
                    .hint("free some space, then try again")
            }
            e => e.into(),
        })?;
        let state = match (wait, to) {
            ("none", _) => self.state_now(id, to)?,
            (_, Conversation::Private(peer)) => self.follow_private(id, peer, before, wait != "sent", (until, gone))?,
            ("delivered" | "all", Conversation::Group(_)) => self.follow_group(id, to, wait == "all", (until, gone))?,
            _ => self.follow_to_many(to, (until, gone))?,
        };
        let reached = match wait {
            "none" => true,
            "sent" => state != "queued" && state != "failed",
            // No other node is a member: there is nothing to wait for.
            _ => state == "delivered" || state == "sent" && self.counts(to, id).is_some_and(|c| c.members == 0),
        };
        let confirmations = if acknowledges { self.counts(to, id) } else { None };
        Ok(object(
            "sent",
            json!({
                "confirmations": confirmations,
                "id": id.to_string(),
                "conversation": json::conversation(to),
                "name": match to {
                    Conversation::Private(peer) => peers.iter().find(|p| p.id == peer).and_then(|p| p.name.clone()),
                    Conversation::Group(group) => self.node.group(group)?.map(|g| g.name),
                    _ => None,
                },
                "state": state,
                "reached": reached,
                "running": self.running,
            }),
        ))
    }

    /// The node that is meant. A node that is still joining gets a moment to learn of it.
    fn addressee(&self, to: &str) -> Result<(Conversation, Vec<Peer>), Failure> {
        let until = Instant::now() + ENTERING;
        loop {
            let peers = self.node.peers()?;
            let (book, groups) = (self.book()?, self.known_groups()?);
            let found = resolve::conversation_with(to, &book, &peers, &groups);
            let known = match &found {
                Ok(Conversation::Private(peer)) => {
                    peers.iter().any(|p| p.id == *peer) || book.iter().any(|(id, _)| id == peer)
                }
                Ok(_) => true,
                Err(_) => false,
            };
            let state = self.node.status()?.node.state;
            // A neighbour's name comes by itself, and may come after it is one.
            let nameless = peers.iter().any(|p| p.linked && p.name.is_none());
            let finding = matches!(state, NodeState::Discovering | NodeState::Connecting) || nameless;
            // Groups are known here or not at all.
            let entering = self.running && finding && !to.starts_with('#');
            if known || !entering || Instant::now() >= until {
                return found.map(|to| (to, peers));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn state_now(&self, id: MessageId, to: Conversation) -> Result<&'static str, Failure> {
        Ok(match to {
            Conversation::Private(_) if !self.node.is_queued(id)? => "delivered",
            Conversation::Private(peer) if self.is_linked(&self.node.devices_of(peer)?)? => "sent",
            Conversation::Private(_) => "queued",
            _ if self.carries(to)? => "sent",
            _ => "queued",
        })
    }

    /// Whether there is a link with one of these devices.
    fn is_linked(&self, devices: &[NodeId]) -> Result<bool, Failure> {
        Ok(self.node.peers()?.iter().any(|p| p.linked && devices.contains(&p.id)))
    }

    /// `sent` once there is a link that carries it, `delivered` once a device of the other side has stored it, `failed`
    /// when none will.
    fn follow_private(
        &self,
        id: MessageId,
        peer: NodeId,
        mut after: u64,
        to_the_end: bool,
        wait: Wait<'_>,
    ) -> Result<&'static str, Failure> {
        let mut fate = Fate::new(id, self.node.devices_of(peer)?);
        loop {
            let page = self.node.events(after, 1_000)?;
            for event in &page.events {
                let Event::Durable { seq, event } = event else { continue };
                after = *seq;
                if let Some(state) = fate.after(event) {
                    return Ok(state);
                }
            }
            if !page.events.is_empty() {
                continue;
            }
            let linked = self.is_linked(&fate.devices)?;
            if linked && !to_the_end {
                return Ok("sent");
            }
            let left = left(wait);
            if left.is_zero() || !self.running {
                // A device may have been removed meanwhile: then it has no end there.
                let is_over = fate.has_failed() && !self.node.is_queued(id)?;
                return Ok(if is_over {
                    "failed"
                } else if linked {
                    "sent"
                } else {
                    "queued"
                });
            }
            self.node.wait_event(after, left.min(POLL_INTERVAL));
        }
    }

    /// Whether a node is linked that takes a message to many: a neighbour, or another member of a group. None has
    /// to be where no other node is a member.
    fn carries(&self, to: Conversation) -> Result<bool, Failure> {
        if !self.running {
            return Ok(false);
        }
        let Conversation::Group(group) = to else { return Ok(self.node.status()?.node.neighbours > 0) };
        let members: Vec<NodeId> = self.node.group(group)?.into_iter().flat_map(|g| g.members).map(|m| m.id).collect();
        let peers = self.node.peers()?;
        let others = members.iter().filter(|m| **m != self.node.id()).count();
        Ok(others == 0 || peers.iter().any(|p| p.linked && members.contains(&p.id)))
    }

    /// How many have an own message; none if that is not known.
    pub(crate) fn counts(&self, of: Conversation, id: MessageId) -> Option<api::ConfirmationCounts> {
        self.node.confirmations(of, id).ok().map(|found| (&found).into())
    }

    /// `delivered` once another member has stored it, or all have; before that `sent` once there is a node to take it.
    fn follow_group(
        &self,
        id: MessageId,
        to: Conversation,
        by_all: bool,
        wait: Wait<'_>,
    ) -> Result<&'static str, Failure> {
        loop {
            let counts = api::ConfirmationCounts::from(&self.node.confirmations(to, id)?);
            let wanted = if by_all { counts.members as usize } else { 1 };
            if counts.members > 0 && counts.stored >= wanted {
                return Ok("delivered");
            }
            let left = left(wait);
            if counts.members == 0 || left.is_zero() || !self.running {
                return Ok(if self.carries(to)? { "sent" } else { "queued" });
            }
            std::thread::sleep(left.min(POLL_INTERVAL));
        }
    }

    /// `sent` once there is a node to pass it on.
    fn follow_to_many(&self, to: Conversation, wait: Wait<'_>) -> Result<&'static str, Failure> {
        loop {
            if self.carries(to)? {
                return Ok("sent");
            }
            let left = left(wait);
            if left.is_zero() || !self.running {
                return Ok("queued");
            }
            std::thread::sleep(left.min(POLL_INTERVAL));
        }
    }

    fn ack(&self, params: &Value) -> Result<Value, Failure> {
        let seq = params["seq"].as_u64().ok_or_else(|| Failure::usage("'seq' is missing or not a whole number"))?;
        self.node.ack(seq)?;
        Ok(object("acked", json!({ "seq": seq })))
    }

    /// Whether a private message waits for its acknowledgement.
    fn is_queued(&self, params: &Value) -> Result<Value, Failure> {
        let text = text_of(params, "message")?;
        let id = text.parse::<MessageId>().map_err(|e| {
            Failure::usage(format!("'{text}' is not a message id: {e}")).hint("the whole id, as `send` answered it")
        })?;
        Ok(object("is_queued", json!({ "message": id.to_string(), "queued": self.node.is_queued(id)? })))
    }

    fn recv(&self, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        let after = number_of(params, "after", self.node.cursor())?;
        let max = number_of(params, "max", 100)?.clamp(1, MAX_PAGE);
        let wait = (Instant::now() + wait_of(params)?, gone);
        while !left(wait).is_zero() && !self.node.wait_event(after, left(wait).min(LOOK_AFTER)) {}
        let page = self.node.events(after, usize::try_from(max).unwrap_or(100))?;
        let mut bytes = 0;
        let fits = |event: &&Event| {
            let fits = bytes <= MAX_PAGE_BYTES;
            if let Event::Durable { event: Durable::Received(m), .. } = event {
                bytes += m.content.shown().len();
            }
            fits
        };
        let events: Vec<_> = page.events.iter().take_while(fits).cloned().collect();
        let events = self.describe(&events)?;
        Ok(json!({ "events": events, "last": page.last }))
    }

    /// Events as JSON, messages with those they are concurrent with among the latest of their
    /// conversation.
    pub fn describe(&self, events: &[Event]) -> Result<Vec<Value>, Failure> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.names()?;
        let mut around: Vec<(Conversation, Vec<Message>)> = Vec::new();
        let mut out = Vec::with_capacity(events.len());
        for event in events {
            let Event::Durable { seq, event: Durable::Received(m) } = event else {
                let mut named = api::Event::from(event.clone()).named(|id| names.get(id).map(Into::into));
                if let api::Event::GroupChanged { group, group_name, .. } = &mut named {
                    *group_name = names.group(*group).map(Into::into);
                }
                out.push(json::write(named)?);
                continue;
            };
            let at = match around.iter().position(|(c, _)| *c == m.conversation) {
                Some(at) => at,
                None => {
                    let page = self.node.history(m.conversation, None, AROUND, STORE_WAIT)?;
                    around.push((m.conversation, page.messages));
                    around.len() - 1
                }
            };
            let near = around.get(at).map_or(&[][..], |(_, page)| page);
            // A stored event has no clock; the history has it.
            let clock = near.iter().find(|o| o.id == m.id).and_then(|o| o.clock.clone());
            let m = &Message { clock: m.clock.clone().or(clock), ..m.clone() };
            out.push(json::write(match json::message(m, &names, near, false) {
                Some(message) => api::Event::Received { seq: *seq, message: Box::new(message) },
                None => api::Event::Unknown { seq: Some(*seq) },
            })?);
        }
        Ok(out)
    }

    fn names(&self) -> Result<Names, Failure> {
        let groups = self.node.groups()?;
        let known = self.known_of(groups.iter().map(|g| (g.id, g.name.clone())).collect())?;
        let names = Names::new(self.node.id(), self.node.name(), &self.node.peers()?, &known);
        let members = groups.into_iter().flat_map(|g| g.members).map(|m| (m.id, m.devices));
        Ok(names.with_contacts(self.node.contacts()?).with_members(members))
    }

    /// Groups that this node is or was in, and those that it asked to join.
    fn known_groups(&self) -> Result<Vec<resolve::KnownGroup>, Failure> {
        self.known_of(self.node.groups()?.into_iter().map(|g| (g.id, g.name)).collect())
    }

    /// These, and the groups that this node asked to join.
    fn known_of(&self, mut known: Vec<resolve::KnownGroup>) -> Result<Vec<resolve::KnownGroup>, Failure> {
        for (id, name) in self.node.joining_groups()? {
            if known.iter().all(|(other, _)| *other != id) {
                known.push((id, name));
            }
        }
        Ok(known)
    }
}

/// The version of the program, as JSON.
pub fn version() -> Value {
    object(
        "version",
        json!({
            "name": "donp",
            "version": env!("CARGO_PKG_VERSION"),
            "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            "debug_build": cfg!(debug_assertions),
        }),
    )
}

pub fn no_daemon(why: &str) -> Failure {
    Failure::new(Exit::NoDaemon, format!("no daemon runs for this profile, and {why}")).hint("donp run")
}

/// Tickets have no colon; addresses and names have.
fn looks_like_ticket(text: &str) -> bool {
    text.starts_with(['t', 'T']) && !text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_and_addresses_are_told_apart() {
        assert!(looks_like_ticket("t123abc") && looks_like_ticket("T123"));
        assert!(!looks_like_ticket("test.example:4000") && !looks_like_ticket("127.0.0.1:1"));
    }
}
