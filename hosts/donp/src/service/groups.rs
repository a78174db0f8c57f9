//! Groups: `GroupManagementProtocol` of the DONP document, from JSON to JSON.

use std::str::FromStr;
use std::time::{Duration, Instant};

use donp_core::{
    CommandError, Conversation, Durable, Event, GroupChange, GroupHistory, GroupId, GroupKind, GroupPolicy, GroupRole,
    GroupTicket, NodeId, ParseTicketError, Refusal,
};
use donp_runtime::{ErrorKind, NodeError, api};
use serde_json::{Value, json};

use super::{POLL_INTERVAL, Service, Wait, left, no_daemon, number_of, text_of, wait_of};
use crate::failure::{Exit, Failure};
use crate::json::{self, object};
use crate::resolve;

/// How long an invitation is good for if nothing is said: as long as a letter may lie about.
const INVITATION: Duration = Duration::from_secs(7 * 86_400);

impl Service {
    /// A method about groups; none if there is no such method.
    pub(super) fn group_call(
        &self,
        method: &str,
        params: &Value,
        gone: &dyn Fn() -> bool,
    ) -> Option<Result<Value, Failure>> {
        Some(match method {
            "create_group" => self.create_group(params),
            "invite_to_group" => self.invite_to_group(params),
            "join_group" => self.join_group(params, gone),
            "leave_group" => self.leave_group(params),
            "groups" => self.groups(),
            "group" => self.group_of(params).and_then(|id| self.show_group(id)),
            "remove_member" => self.remove_member(params),
            "unban_member" => self.about_node(params, Among::All, |id, node| Ok(self.node.unban_member(id, node)?)),
            "set_member_role" => self.set_member_role(params),
            "transfer_group" => {
                self.about_node(params, Among::Members, |id, node| Ok(self.node.transfer_group(id, node)?))
            }
            "answer_join" => {
                let approve = params["approve"].as_bool() != Some(false);
                self.about_node(params, Among::Asking, |id, node| Ok(self.node.answer_join(id, node, approve)?))
            }
            "rename_group" => self.rename_group(params),
            "describe_group" => self.describe_group(params),
            "pin_message" => self.pin_message(params, true),
            "unpin_message" => self.pin_message(params, false),
            "set_group_policy" => self.set_group_policy(params),
            _ => return None,
        })
    }

    fn create_group(&self, params: &Value) -> Result<Value, Failure> {
        let kind = choice(params, "kind")?.unwrap_or(GroupKind::Private);
        let policy = policy_of(params, GroupPolicy::default())?;
        let expires_in = seconds_of(params, "expires_in_s")?;
        let kind = match (&params["kind"], expires_in) {
            (Value::Null, Some(_)) => GroupKind::Temporary,
            _ => kind,
        };
        match (kind, expires_in) {
            (GroupKind::Temporary, None) => {
                return Err(Failure::usage("a temporary group needs an end").hint("--expires 2h, or another time"));
            }
            (GroupKind::Temporary, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                return Err(Failure::usage(format!("a {kind} group has no end"))
                    .hint("--kind temporary, or leave out --expires"));
            }
        }
        let id = self.node.create_group(kind, text_of(params, "name")?, policy, expires_in)?;
        self.show_group(id)
    }

    fn invite_to_group(&self, params: &Value) -> Result<Value, Failure> {
        let id = self.group_of(params)?;
        let role = choice(params, "role")?.unwrap_or(GroupRole::Member);
        let uses = u32::try_from(number_of(params, "uses", 1)?)
            .map_err(|_| Failure::usage("a ticket is for 1 to 10,000 newcomers"))?;
        let expires_in = seconds_of(params, "expires_in_s")?.unwrap_or(INVITATION);
        let node = match &params["node"] {
            Value::Null => None,
            _ => Some(self.node_of(params, id, Among::All)?),
        };
        let ticket = self.node.invite_to_group(id, role, uses, expires_in, node)?;
        if ticket.addrs.is_empty() {
            return Err(no_daemon("a ticket holds the addresses that a running node listens on"));
        }
        let kind = self.node.group(id)?.map(|g| g.kind);
        Ok(object(
            "group_ticket",
            json!({
                "ticket": ticket.to_string(),
                "group": id.to_string(),
                "name": ticket.name,
                "kind": kind.map(GroupKind::name),
                "role": role.name(),
                "uses": uses,
                "expires_in_s": expires_in.as_secs(),
                "node": node.map(|n| n.to_string()),
                "addresses": ticket.addrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "closed_network": ticket.network_key.is_some(),
            }),
        ))
    }

    fn join_group(&self, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        let text = text_of(params, "ticket")?.trim();
        let ticket: GroupTicket = text.parse().map_err(|e: ParseTicketError| {
            let what = Failure::new(Exit::Failed, format!("the ticket is damaged: {e}")).kind(ErrorKind::InvalidInput);
            match text.chars().next() {
                Some('t' | 'T') => what.hint("this is a ticket for a network: donp join TICKET"),
                _ => what.hint("copy it again, whole, from `donp group invite`"),
            }
        })?;
        let until = Instant::now() + wait_of(params)?;
        let before = self.node.last_event();
        self.node.join_group(&ticket).map_err(|e| match e {
            NodeError::Command(CommandError::ToSelf) => {
                Failure::new(Exit::Failed, "this ticket was issued by this node")
                    .kind(ErrorKind::InvalidInput)
                    .hint("give it to the node that should join")
            }
            NodeError::Command(CommandError::NotAllowed(why)) => {
                Failure::new(Exit::Refused, why).hint("donp group list shows the groups of this node")
            }
            other => other.into(),
        })?;
        let (state, reason) = self.follow_joining(ticket.group, before, (until, gone))?;
        let peer = self.node.peer(ticket.node)?;
        Ok(object(
            "joining_group",
            json!({
                "id": ticket.group.to_string(),
                "name": ticket.name,
                "through": ticket.node.to_string(),
                "through_name": peer.as_ref().and_then(|p| p.name.clone()),
                "linked": peer.is_some_and(|p| p.linked),
                "state": state,
                "reason": reason.map(Refusal::name),
                "running": self.running,
            }),
        ))
    }

    /// `joined`, `refused` with the reason, or `asking` if nothing was decided in the time.
    fn follow_joining(
        &self,
        group: GroupId,
        mut after: u64,
        wait: Wait<'_>,
    ) -> Result<(&'static str, Option<Refusal>), Failure> {
        loop {
            let page = self.node.events(after, 1_000)?;
            for event in &page.events {
                let Event::Durable { seq, event } = event else { continue };
                after = *seq;
                match event {
                    Durable::GroupChanged { group: of, change: GroupChange::Joined } if *of == group => {
                        return Ok(("joined", None));
                    }
                    Durable::GroupChanged { group: of, change: GroupChange::Refused { reason } } if *of == group => {
                        return Ok(("refused", Some(*reason)));
                    }
                    _ => {}
                }
            }
            if !page.events.is_empty() {
                continue;
            }
            let left = left(wait);
            if left.is_zero() || !self.running {
                return Ok(("asking", None));
            }
            self.node.wait_event(after, left.min(POLL_INTERVAL));
        }
    }

    fn leave_group(&self, params: &Value) -> Result<Value, Failure> {
        let id = self.group_of(params)?;
        let name = self.known_groups()?.into_iter().find(|(known, _)| *known == id).map(|(_, name)| name);
        let is_owner = self.node.group(id)?.is_some_and(|g| g.role == Some(GroupRole::Owner) && g.members.len() > 1);
        if is_owner {
            return Err(Failure::new(Exit::Refused, "this node owns the group: transfer it before leaving")
                .hint("donp group transfer GROUP NODE"));
        }
        self.node.leave_group(id)?;
        Ok(object("left_group", json!({ "id": id.to_string(), "short": id.short(), "name": name })))
    }

    fn groups(&self) -> Result<Value, Failure> {
        let names = self.names()?;
        let shown = |g| json::write(api::GroupInfo::from(g).named(|id| names.get(id).map(Into::into)));
        let groups = self.node.groups()?.into_iter().map(shown).collect::<Result<Vec<_>, _>>()?;
        let joining = self.node.joining_groups()?.into_iter().map(|j| json::write(api::JoiningGroup::from(j)));
        Ok(json!({ "groups": groups, "joining": joining.collect::<Result<Vec<_>, _>>()? }))
    }

    fn show_group(&self, id: GroupId) -> Result<Value, Failure> {
        let names = self.names()?;
        let group = self.node.group(id)?.ok_or_else(|| match names.group(id) {
            Some(name) => Failure::new(Exit::Failed, format!("this node asked to join {name} and is not a member yet"))
                .hint("the inviting node must be online to add it"),
            None => Failure::from(CommandError::Unknown("group")),
        })?;
        json::write(api::GroupInfo::from(group).named(|id| names.get(id).map(Into::into)))
    }

    fn remove_member(&self, params: &Value) -> Result<Value, Failure> {
        let ban = params["ban"].as_bool() == Some(true);
        // A node that may come back can be banned without being a member.
        let among = if ban { Among::All } else { Among::Members };
        self.about_node(params, among, |id, node| Ok(self.node.remove_member(id, node, ban)?))
    }

    fn set_member_role(&self, params: &Value) -> Result<Value, Failure> {
        let role: GroupRole = choice(params, "role")?.ok_or_else(|| Failure::usage("'role' is missing"))?;
        if role == GroupRole::Owner {
            return Err(Failure::usage("a group has one owner").hint("donp group transfer GROUP NODE"));
        }
        self.about_node(params, Among::Members, |id, node| Ok(self.node.set_member_role(id, node, role)?))
    }

    fn rename_group(&self, params: &Value) -> Result<Value, Failure> {
        let id = self.group_of(params)?;
        self.node.rename_group(id, text_of(params, "name")?)?;
        self.show_group(id)
    }

    fn describe_group(&self, params: &Value) -> Result<Value, Failure> {
        let id = self.group_of(params)?;
        self.node.describe_group(id, text_of(params, "description")?)?;
        self.show_group(id)
    }

    fn pin_message(&self, params: &Value, pinned: bool) -> Result<Value, Failure> {
        let id = self.group_of(params)?;
        let message = self.message_id(Conversation::Group(id), text_of(params, "message")?)?;
        if pinned {
            self.node.pin_message(id, message)?
        } else {
            self.node.unpin_message(id, message)?
        }
        self.show_group(id)
    }

    fn set_group_policy(&self, params: &Value) -> Result<Value, Failure> {
        let id = self.group_of(params)?;
        let now = self.node.group(id)?.ok_or(CommandError::Unknown("group"))?.policy;
        let policy = policy_of(params, now)?;
        if policy != now {
            self.node.set_group_policy(id, policy)?;
        }
        self.show_group(id)
    }

    /// Does something with a node in a group, and shows the group as it is then.
    fn about_node(
        &self,
        params: &Value,
        among: Among,
        act: impl FnOnce(GroupId, NodeId) -> Result<(), Failure>,
    ) -> Result<Value, Failure> {
        let id = self.group_of(params)?;
        let node = self.node_of(params, id, among)?;
        act(id, node)?;
        let mut shown = self.show_group(id)?;
        shown["about"] = json!({ "id": node.to_string(), "short": node.short(), "name": self.names()?.get(node) });
        Ok(shown)
    }

    fn group_of(&self, params: &Value) -> Result<GroupId, Failure> {
        resolve::group(text_of(params, "group")?, &self.known_groups()?)
    }

    fn node_of(&self, params: &Value, group: GroupId, among: Among) -> Result<NodeId, Failure> {
        let text = text_of(params, "node")?;
        let peers = self.node.peers()?;
        let info = self.node.group(group)?.ok_or(CommandError::Unknown("group"))?;
        let names = self.names()?;
        let named = |ids: Vec<NodeId>| ids.into_iter().map(|id| (id, names.get(id))).collect::<Vec<_>>();
        let members = || named(info.members.iter().map(|m| m.id).collect());
        match among {
            Among::Members => resolve::node_of(text, members().into_iter())
                .map_err(|e| if e.hint.is_some() { e } else { e.hint("donp group members GROUP lists the members") }),
            Among::Asking => resolve::node_of(text, named(info.requests.clone()).into_iter())
                .map_err(|e| if e.hint.is_some() { e } else { e.hint("donp group show GROUP lists the requests") }),
            Among::All => resolve::node_of(text, members().into_iter()).or_else(|_| resolve::node(text, &peers)),
        }
    }
}

/// Whom a node can be found among.
#[derive(Clone, Copy)]
enum Among {
    Members,
    Asking,
    All,
}

/// A value by its name; none if it is not given.
fn choice<T: FromStr<Err = String>>(params: &Value, name: &str) -> Result<Option<T>, Failure> {
    match &params[name] {
        Value::Null => Ok(None),
        value => {
            let text = value.as_str().ok_or_else(|| Failure::usage(format!("'{name}' is not a text")))?;
            text.parse().map(Some).map_err(|e| Failure::usage(format!("{name}: {e}")))
        }
    }
}

fn seconds_of(params: &Value, name: &str) -> Result<Option<Duration>, Failure> {
    match &params[name] {
        Value::Null => Ok(None),
        _ => Ok(Some(Duration::from_secs(number_of(params, name, 0)?))),
    }
}

/// A policy with what is given; the rest stays.
fn policy_of(params: &Value, now: GroupPolicy) -> Result<GroupPolicy, Failure> {
    let role = |name, now| Ok::<GroupRole, Failure>(choice(params, name)?.unwrap_or(now));
    Ok(GroupPolicy {
        invite: role("invite", now.invite)?,
        post: role("post", now.post)?,
        describe: role("describe", now.describe)?,
        pin: role("pin", now.pin)?,
        approve: params["approve"].as_bool().unwrap_or(now.approve),
        history: choice::<GroupHistory>(params, "history")?.unwrap_or(now.history),
    })
}
