//! The JSON that scripts read: on stdout with `--json`, and over the control socket. Its values are the types of
//! [`donp_runtime::api`]; every object has `v` and `type`.

use std::collections::{BTreeMap, BTreeSet};

use donp_core::{Causality, Contact, Content, Conversation, GroupId, Message, MessageId, NodeId, Peer};
use donp_runtime::api;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::failure::{Exit, Failure};
use crate::text::rfc3339;

/// An object with `v` and `type` in front of its fields.
pub fn object(kind: &str, fields: Value) -> Value {
    let mut out = Map::new();
    out.insert("v".into(), api::VERSION.into());
    out.insert("type".into(), kind.into());
    if let Value::Object(fields) = fields {
        out.extend(fields);
    }
    Value::Object(out)
}

/// A value of the API with its version in front.
///
/// # Errors
/// [`Exit::Bug`] if it has no JSON.
pub fn write<T: Serialize>(body: T) -> Result<Value, Failure> {
    serde_json::to_value(api::Versioned::new(body))
        .map_err(|e| Failure::new(Exit::Bug, format!("an answer cannot be written as JSON: {e}")))
}

/// A value of the API that a node wrote.
///
/// # Errors
/// [`Exit::Bug`] if it is something else: a daemon of another version.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|e| {
        Failure::new(Exit::Bug, format!("the daemon's answer cannot be read: {e}"))
            .hint("restart the daemon with this version: donp version")
    })
}

/// An event; one of a newer version is unknown and no error.
pub fn read_event(value: &Value) -> api::Event {
    read(value).unwrap_or_else(|_| api::Event::Unknown { seq: value["seq"].as_u64() })
}

/// Own names of contacts, names that nodes and groups claim, and which node this is.
pub struct Names {
    pub me: NodeId,
    names: BTreeMap<NodeId, String>,
    groups: BTreeMap<GroupId, String>,
    /// Nodes with a name of the user's own.
    petnames: BTreeSet<NodeId>,
    /// Strangers with a request.
    requests: BTreeSet<NodeId>,
}

impl Names {
    pub fn new(me: NodeId, own: &str, peers: &[Peer], groups: &[(GroupId, String)]) -> Self {
        let mut names: BTreeMap<_, _> = peers.iter().filter_map(|p| Some((p.id, p.name.clone()?))).collect();
        names.insert(me, own.into());
        let (petnames, requests) = (BTreeSet::new(), BTreeSet::new());
        Self { me, names, groups: groups.iter().cloned().collect(), petnames, requests }
    }

    /// With the book: own names of contacts stand before those that nodes claim.
    #[must_use]
    pub fn with_contacts(mut self, contacts: Vec<Contact>) -> Self {
        for contact in contacts {
            if contact.request {
                self.requests.insert(contact.node);
            }
            self.petnames.extend(contact.petname.is_some().then_some(contact.node));
            self.names.extend(contact.petname.map(|name| (contact.node, name)));
        }
        self
    }

    /// With the members of groups, each with its devices: the user's own name for a person is that of each device.
    #[must_use]
    pub fn with_members(mut self, members: impl Iterator<Item = (NodeId, Vec<NodeId>)>) -> Self {
        for (member, mut devices) in members {
            devices.push(member);
            let named = devices.iter().find(|node| self.petnames.contains(node)).and_then(|node| self.names.get(node));
            if let Some(name) = named.cloned() {
                self.names.extend(devices.into_iter().map(|node| (node, name.clone())));
            }
        }
        self
    }

    pub fn get(&self, id: NodeId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub fn group(&self, id: GroupId) -> Option<&str> {
        self.groups.get(&id).map(String::as_str)
    }
}

/// `all`, the other node's id or the group's id.
pub fn conversation(c: Conversation) -> String {
    match c {
        Conversation::Private(peer) => peer.to_string(),
        Conversation::Group(group) => group.to_string(),
        _ => "all".into(),
    }
}

/// A message with what a reader needs to show it; none for a conversation of a newer version. `around` are the
/// messages it may be concurrent with; `queued` whether an own private one still waits for its acknowledgement.
pub fn message(m: &Message, names: &Names, around: &[Message], queued: bool) -> Option<api::Message> {
    let concurrent =
        around.iter().filter(|o| o.conversation == m.conversation && m.causality(o) == Some(Causality::Concurrent));
    let state = match m.conversation {
        _ if m.author != names.me => api::MessageState::Received,
        Conversation::Private(_) if queued => api::MessageState::Queued,
        Conversation::Private(_) => api::MessageState::Delivered,
        _ => api::MessageState::Sent,
    };
    let context = api::Context {
        name: names.get(m.author).map(Into::into),
        group_name: match m.conversation {
            Conversation::Group(group) => names.group(group).map(Into::into),
            _ => None,
        },
        sent_at: rfc3339(m.sent_at),
        concurrent_with: concurrent.map(|o| o.id.to_string()).collect(),
        request: matches!(m.conversation, Conversation::Private(peer) if names.requests.contains(&peer)),
        state,
        confirmations: None,
    };
    Some(api::Message { context: Some(context), ..api::Message::of(m.clone())? })
}

/// What a message says, from the command's parts.
///
/// # Errors
/// When the kind is none.
pub fn content(text: &str, kind: Option<(&str, MessageId)>) -> Result<Content, String> {
    let Some((kind, id)) = kind else { return Ok(Content::text(text)) };
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
    use donp_core::{ClockEntry, Life, WallTime};
    use serde_json::json;

    fn row(m: &Message, names: &Names, around: &[Message], queued: bool) -> Value {
        write(message(m, names, around, queued).unwrap()).unwrap()
    }

    const LIFE: Life = Life([8; 8]);

    fn said(author: u8, clock: &[(u8, u64)], content: Content) -> Message {
        let entry = |(a, count): &(u8, u64)| ClockEntry { author: NodeId([*a; 32]), life: LIFE, count: *count };
        Message {
            id: MessageId { depth: 5, hash: [author; 32] },
            conversation: Conversation::Network,
            author: NodeId([author; 32]),
            life: LIFE,
            seq: 2,
            clock: Some(clock.iter().map(entry).collect()),
            sent_at: WallTime(1_767_225_600_000),
            content,
            edited: None,
            retracted: false,
        }
    }

    /// Mutation: `with_members` names the member alone.
    #[test]
    fn an_own_name_is_that_of_each_device_of_a_member() {
        let [me, first, phone, laptop, other] = [9, 1, 2, 3, 4].map(|n| NodeId([n; 32]));
        let mut names = Names::new(me, "me", &[], &[]);
        names.names.extend([(phone, "bob".into()), (laptop, "laptop".into()), (other, "carol".into())]);
        names.petnames.insert(phone);
        let names = names.with_members([(first, vec![phone, laptop]), (other, vec![other])].into_iter());
        assert_eq!(
            [first, phone, laptop, other].map(|n| names.get(n)),
            [Some("bob"), Some("bob"), Some("bob"), Some("carol")]
        );
    }

    #[test]
    fn a_message_has_the_documented_shape() {
        let names = Names::new(NodeId([9; 32]), "me", &[], &[]);
        let first = said(1, &[(1, 2)], Content::text("carol?"));
        let other = said(2, &[(2, 1)], Content::text("x"));
        let after = said(3, &[(1, 2), (3, 1)], Content::text("y"));
        let json = row(&first, &names, &[first.clone(), other.clone(), after], false);
        assert_eq!(json["v"], 1);
        assert_eq!(json["type"], "message");
        assert_eq!(json["seq"], 2);
        assert_eq!(json["conversation"], "all");
        assert_eq!(json["depth"], 5);
        assert_eq!(json["life"], "0808080808080808");
        let author = NodeId([1; 32]).to_string();
        assert_eq!(json["clock"], json!([{ "author": author, "life": "0808080808080808", "count": 2 }]));
        assert_eq!((&json["edited"], &json["retracted"]), (&Value::Null, &json!(false)));
        assert_eq!(json["concurrent_with"], json!([other.id.to_string()]));
        assert_eq!(json["sent_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(json["state"], "received");
        assert!(json.to_string().starts_with(r#"{"v":1,"type":"message","id":"m"#));
    }

    #[test]
    fn a_message_without_a_clock_is_concurrent_with_none() {
        let names = Names::new(NodeId([9; 32]), "me", &[], &[]);
        let other = said(2, &[(2, 1)], Content::text("x"));
        let bare = Message { clock: None, ..said(1, &[], Content::text("y")) };
        let json = row(&bare, &names, &[other], false);
        assert_eq!((&json["clock"], &json["concurrent_with"]), (&Value::Null, &json!([])));
    }

    #[test]
    fn kinds_are_fields_and_states_follow_the_author() {
        let names = Names::new(NodeId([1; 32]), "me", &[], &[]);
        let target = MessageId { depth: 1, hash: [7; 32] };
        let mut reply = said(1, &[(1, 1)], Content::Reply { reply_to: target, text: "yes".into() });
        assert_eq!(row(&reply, &names, &[], false)["reply_to"], target.to_string());
        assert_eq!(row(&reply, &names, &[], false)["state"], "sent");
        reply.conversation = Conversation::Private(NodeId([2; 32]));
        assert_eq!(row(&reply, &names, &[], true)["state"], "queued");
        assert_eq!(row(&reply, &names, &[], false)["state"], "delivered");
        assert_eq!(row(&reply, &names, &[], false)["name"], "me");
    }

    #[test]
    fn content_reads_from_its_parts() {
        let id = MessageId { depth: 1, hash: [7; 32] };
        assert_eq!(content("x", None), Ok(Content::text("x")));
        assert_eq!(content("", Some(("retract", id))), Ok(Content::Retract { retract: id }));
        assert_eq!(content("x", Some(("edit_of", id))).unwrap().kind(), "edit_of");
        assert!(content("x", Some(("shout", id))).is_err());
    }

    #[test]
    fn an_event_of_a_newer_version_keeps_its_number() {
        let event = read_event(&json!({ "v": 1, "type": "sung", "seq": 7, "song": "la" }));
        assert_eq!(event, api::Event::Unknown { seq: Some(7) });
        let known = write(api::Event::Lagged { missed: 3 }).unwrap();
        assert_eq!(read_event(&known), api::Event::Lagged { missed: 3 });
        assert_eq!(read::<api::Status>(&known).unwrap_err().exit, Exit::Bug);
    }
}
