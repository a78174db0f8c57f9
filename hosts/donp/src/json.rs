//! The JSON that scripts read: on stdout with `--json`, and over the control socket. Every object has
//! `v` and `type`. Fields are added, never changed, within a major version.

use std::collections::BTreeMap;

use donp_core::{
    Causality, Content, Conversation, DropReason, Durable, Event, FailReason, Message, NodeId, Peer, Volatile,
};
use donp_runtime::NodeStatus;
use serde_json::{Map, Value, json};

use crate::text::rfc3339;

/// The version in every object.
pub const VERSION: u8 = 1;

/// An object with `v` and `type` in front of its fields.
pub fn object(kind: &str, fields: Value) -> Value {
    let mut out = Map::new();
    out.insert("v".into(), VERSION.into());
    out.insert("type".into(), kind.into());
    if let Value::Object(fields) = fields {
        out.extend(fields);
    }
    Value::Object(out)
}

/// Names that nodes claim, and which node this is.
pub struct Names {
    pub me: NodeId,
    names: BTreeMap<NodeId, String>,
}

impl Names {
    pub fn new(me: NodeId, own: &str, peers: &[Peer]) -> Self {
        let mut names: BTreeMap<_, _> = peers.iter().filter_map(|p| Some((p.id, p.name.clone()?))).collect();
        names.insert(me, own.into());
        Self { me, names }
    }

    pub fn get(&self, id: NodeId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }
}

/// `all` or the other node's id.
pub fn conversation(c: Conversation) -> Value {
    match c {
        Conversation::Private(peer) => peer.to_string().into(),
        _ => "all".into(),
    }
}

/// A message. `around` are the messages it may be concurrent with; `queued` whether an own private
/// one still waits for its acknowledgement.
pub fn message(m: &Message, seq: Option<u64>, names: &Names, around: &[Message], queued: bool) -> Value {
    let concurrent: Vec<_> = around
        .iter()
        .filter(|o| o.conversation == m.conversation && m.causality(o) == Causality::Concurrent)
        .map(|o| o.id.to_string())
        .collect();
    let clock: Map<_, _> = m.clock.entries().iter().map(|(id, n)| (id.short(), (*n).into())).collect();
    let state = match m.conversation {
        _ if m.author != names.me => "received",
        Conversation::Private(_) if queued => "queued",
        Conversation::Private(_) => "delivered",
        _ => "sent",
    };
    let mut out = json!({
        "seq": seq,
        "id": m.id.to_string(),
        "conversation": conversation(m.conversation),
        "from": m.author.to_string(),
        "name": names.get(m.author),
        "text": m.content.shown(),
        "clock": clock,
        "concurrent_with": concurrent,
        "sent_at": rfc3339(m.sent_at),
        "state": state,
        "author_seq": m.seq,
    });
    if let (Value::Object(out), Some(about)) = (&mut out, m.content.about()) {
        out.insert(m.content.kind().into(), about.to_string().into());
    }
    object("message", out)
}

/// An event other than a message.
pub fn event(e: &Event, names: &Names) -> Value {
    let with_seq = |kind: &str, mut fields: Value| {
        if let Value::Object(fields) = &mut fields {
            fields.insert("seq".into(), json!(e.seq()));
        }
        object(kind, fields)
    };
    match e {
        Event::Durable { seq, event: Durable::Received(m) } => message(m, Some(*seq), names, &[], false),
        Event::Durable { event: Durable::Delivered { id, to }, .. } => {
            with_seq("delivered", json!({ "id": id.to_string(), "to": to.to_string(), "name": names.get(*to) }))
        }
        Event::Durable { event: Durable::Failed { id, to, reason }, .. } => with_seq(
            "failed",
            json!({
                "id": id.to_string(),
                "to": to.to_string(),
                "name": names.get(*to),
                "reason": match reason {
                    FailReason::Expired => "it could not be delivered in time",
                    FailReason::Refused => "the other node rejected it",
                    _ => "unknown",
                },
            }),
        ),
        Event::Volatile(Volatile::StateChanged { before, after }) => {
            with_seq("state_changed", json!({ "before": before.name(), "after": after.name() }))
        }
        Event::Volatile(Volatile::PeerUp { peer, name }) => {
            with_seq("peer_up", json!({ "peer": peer.to_string(), "name": name }))
        }
        Event::Volatile(Volatile::PeerDown { peer, reason }) => with_seq(
            "peer_down",
            json!({ "peer": peer.to_string(), "name": names.get(*peer), "reason": reason.words() }),
        ),
        Event::Volatile(Volatile::MemberChanged { peer, state }) => with_seq(
            "member_changed",
            json!({ "peer": peer.to_string(), "name": names.get(*peer), "state": state.name() }),
        ),
        Event::Volatile(Volatile::Writable) => with_seq("writable", json!({})),
        Event::Volatile(Volatile::Lagged { missed }) => with_seq("lagged", json!({ "missed": missed })),
        _ => with_seq("unknown", json!({})),
    }
}

/// A node that is known.
pub fn peer(p: &Peer) -> Value {
    object(
        "peer",
        json!({
            "id": p.id.to_string(),
            "short": p.id.short(),
            "name": p.name,
            "account": p.account.map(|a| a.to_string()),
            "node_type": p.node_type.name(),
            "role": p.role().name(),
            "verified": p.verified,
            "bot": p.bot,
            "address": p.addr.map(|a| a.to_string()),
            "linked": p.linked,
            "neighbour": p.neighbour,
            "outbound": p.outbound,
            "rtt_ms": p.rtt.map(|d| d.as_secs_f64() * 1_000.0),
            "queued": p.queued,
            "last_error": p.last_error,
        }),
    )
}

/// A node at a glance. `running` is whether it takes part, or only its profile was looked at.
pub fn status(s: &NodeStatus, running: bool) -> Value {
    let (node, host) = (&s.node, &s.host);
    let drops: Map<_, _> = DropReason::ALL.iter().map(|r| (r.name().into(), node.stats.drops.get(*r).into())).collect();
    let fault = host.fault.as_ref().map(|(fault, did)| {
        json!({
            "faults": fault.to_string(),
            "offered": did.offered,
            "dropped": did.dropped,
            "doubled": did.doubled,
            "reordered": did.reordered,
            "corrupted": did.corrupted,
        })
    });
    let unresolved: Vec<_> = host.unresolved.iter().map(|(n, why)| json!({ "bootstrap": n, "reason": why })).collect();
    object(
        "status",
        json!({
            "id": node.id.to_string(),
            "short": node.id.short(),
            "account": node.account.to_string(),
            "name": node.name,
            "node_type": node.node_type.name(),
            "running": running,
            "state": node.state.name(),
            "neighbours": node.neighbours,
            "links": node.links,
            "known": node.known,
            "outbox": node.outbox,
            "pending": node.pending,
            "entries": node.entries,
            "listen": host.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "lan": host.lan,
            "observed": node.observed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            // Each link is encrypted; a private text is not sealed beyond that from end to end.
            "private_protection": "link",
            "store": host.store,
            "store_protection": host.protection.name(),
            "store_error": host.store_error,
            "damaged_records": host.damaged_records,
            "commits": host.commits,
            "unresolved": unresolved,
            "fault": fault,
            "counters": {
                "datagrams_in": node.stats.datagrams_in,
                "bytes_in": node.stats.bytes_in,
                "datagrams_out": node.stats.datagrams_out,
                "bytes_out": node.stats.bytes_out,
                "handshakes": node.stats.handshakes,
                "packets_lost": node.stats.packets_lost,
                "retries": node.stats.retries,
                "messages": node.stats.messages,
                "drops": node.stats.drops.total(),
                "send_overflow": host.sockets.send_overflow,
                "send_refused": host.sockets.send_refused,
                "icmp_noise": host.sockets.noise,
            },
            "drops": drops,
        }),
    )
}

/// What a message says, from the command's parts.
///
/// # Errors
/// When the kind is none, or the id of the message it is about does not read.
pub fn content(text: &str, kind: Option<&str>, about: Option<&str>) -> Result<Content, String> {
    let Some(kind) = kind else { return Ok(Content::text(text)) };
    let about = about.unwrap_or_default();
    let id = about.parse().map_err(|e| format!("'{about}' is not a message id: {e}"))?;
    match kind {
        "reply_to" => Ok(Content::Reply { reply_to: id, text: text.into() }),
        "edit_of" => Ok(Content::Edit { edit_of: id, text: text.into() }),
        "react_to" => Ok(Content::React { react_to: id, mark: text.into() }),
        "retract" => Ok(Content::Retract { retract: id }),
        _ => Err(format!("'{kind}' is not one of reply_to, edit_of, react_to, retract")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donp_core::{MessageId, VectorClock, WallTime};

    fn said(author: u8, clock: &[(u8, u64)], content: Content) -> Message {
        Message {
            id: MessageId([author; 32]),
            conversation: Conversation::Network,
            author: NodeId([author; 32]),
            seq: 2,
            depth: 1,
            clock: clock.iter().map(|(a, n)| (NodeId([*a; 32]), *n)).collect::<VectorClock>(),
            sent_at: WallTime(1_767_225_600_000),
            content,
        }
    }

    #[test]
    fn a_message_has_the_documented_shape() {
        let names = Names::new(NodeId([9; 32]), "me", &[]);
        let first = said(1, &[(1, 2)], Content::text("carol?"));
        let other = said(2, &[(2, 1)], Content::text("x"));
        let after = said(3, &[(1, 2), (3, 1)], Content::text("y"));
        let json = message(&first, Some(41), &names, &[first.clone(), other.clone(), after], false);
        let short = NodeId([1; 32]).short();
        assert_eq!(json["v"], 1);
        assert_eq!(json["type"], "message");
        assert_eq!(json["seq"], 41);
        assert_eq!(json["conversation"], "all");
        assert_eq!(json["clock"], json!({ short: 2 }));
        assert_eq!(json["concurrent_with"], json!([other.id.to_string()]));
        assert_eq!(json["sent_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(json["state"], "received");
        assert!(json.to_string().starts_with(r#"{"v":1,"type":"message","seq":41,"id":"m"#));
    }

    #[test]
    fn kinds_are_fields_and_states_follow_the_author() {
        let names = Names::new(NodeId([1; 32]), "me", &[]);
        let target = MessageId([7; 32]);
        let mut reply = said(1, &[(1, 1)], Content::Reply { reply_to: target, text: "yes".into() });
        assert_eq!(message(&reply, None, &names, &[], false)["reply_to"], target.to_string());
        assert_eq!(message(&reply, None, &names, &[], false)["state"], "sent");
        reply.conversation = Conversation::Private(NodeId([2; 32]));
        assert_eq!(message(&reply, None, &names, &[], true)["state"], "queued");
        assert_eq!(message(&reply, None, &names, &[], false)["state"], "delivered");
        assert_eq!(message(&reply, None, &names, &[], false)["name"], "me");
    }

    #[test]
    fn content_reads_from_its_parts() {
        let id = MessageId([7; 32]);
        let text = id.to_string();
        assert_eq!(content("x", None, None), Ok(Content::text("x")));
        assert_eq!(content("", Some("retract"), Some(&text)), Ok(Content::Retract { retract: id }));
        assert_eq!(content("x", Some("edit_of"), Some(&text)).unwrap().kind(), "edit_of");
        assert!(content("x", Some("shout"), Some(&text)).is_err());
        assert!(content("x", Some("reply_to"), Some("m12")).unwrap_err().contains("message id"));
    }
}
