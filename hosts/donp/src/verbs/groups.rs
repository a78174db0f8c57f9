//! The verbs about groups. Names and descriptions are claims of others: they are shown as text only.

use std::time::Duration;

use donp_core::{GroupKind, Refusal};
use donp_runtime::api::{Event, GroupChange, GroupInfo, GroupMember, GroupPolicy};
use serde_json::{Value, json};

use super::{quoted, text_of, text_short};
use crate::backend::Backend;
use crate::cli::{Create, GroupVerb, Invitation, Policy};
use crate::failure::{Exit, Failure};
use crate::hints::Hints;
use crate::json as shape;
use crate::output::Output;
use crate::people::People;
use crate::text::{escape_for_terminal, table};
use crate::when::Clock;

pub fn group(verb: &GroupVerb, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    match verb {
        GroupVerb::Create(args) => create(args, backend, out),
        GroupVerb::Invite(args) => invite(args, backend, out),
        GroupVerb::Join { ticket, timeout, no_wait } => {
            let timeout = if *no_wait { Duration::ZERO } else { *timeout };
            join(ticket, timeout, *no_wait, backend, out)
        }
        GroupVerb::List => list(backend, out),
        GroupVerb::Show { group } => {
            let value = backend.call("group", &json!({ "group": group }))?;
            let shown: GroupInfo = shape::read(&value)?;
            let waiting = if shown.requests.is_empty() { Vec::new() } else { waiting(&shown, backend)? };
            out.value(&value, |_| table(&rows(&shown, &waiting, &out.hints)).trim_end().into())
        }
        GroupVerb::Members { group } => members(group, backend, out),
        GroupVerb::Role { group, node, role } => {
            let params = json!({ "group": group, "node": node, "role": role.name() });
            act("set_member_role", &params, backend, out, |who, name| format!("{who} is {role} of {name} now"))
        }
        GroupVerb::Transfer { group, node } => {
            let params = json!({ "group": group, "node": node });
            act("transfer_group", &params, backend, out, |who, name| {
                format!("{who} is the owner of {name} now, you are an admin")
            })
        }
        GroupVerb::Approve { group, node } => {
            let params = json!({ "group": group, "node": node, "approve": true });
            act("answer_join", &params, backend, out, |who, name| format!("{who} is added to {name}"))
        }
        GroupVerb::Decline { group, node } => {
            let params = json!({ "group": group, "node": node, "approve": false });
            act("answer_join", &params, backend, out, |who, name| {
                format!("{who} is not added to {name}, and is notified")
            })
        }
        GroupVerb::Kick { group, node } => {
            let params = json!({ "group": group, "node": node, "ban": false });
            act("remove_member", &params, backend, out, |who, name| {
                format!("{who} is removed from {name} and cannot read later messages")
            })
        }
        GroupVerb::Ban { group, node } => {
            let params = json!({ "group": group, "node": node, "ban": true });
            act("remove_member", &params, backend, out, |who, name| {
                let unban = out.hints.of("`donp group unban`");
                format!("{who} is banned from {name}: no ticket admits it until {unban}")
            })
        }
        GroupVerb::Unban { group, node } => {
            let params = json!({ "group": group, "node": node });
            act("unban_member", &params, backend, out, |who, name| format!("{who} may be invited to {name} again"))
        }
        GroupVerb::Leave { group } => out.done(&backend.call("leave_group", &json!({ "group": group }))?, |v| {
            format!("left {}; its messages up to now stay here", name_of(v["name"].as_str(), &text_of(v, "short")))
        }),
        GroupVerb::Rename { group, name } => {
            let params = json!({ "group": group, "name": name });
            act("rename_group", &params, backend, out, |_, name| format!("the group is called {name} now"))
        }
        GroupVerb::Describe { group, text } => {
            let params = json!({ "group": group, "description": text });
            act("describe_group", &params, backend, out, |_, name| format!("{name} has a new description"))
        }
        GroupVerb::Pin { group, message } => {
            let params = json!({ "group": group, "message": message });
            act("pin_message", &params, backend, out, |_, name| format!("the message is pinned in {name}"))
        }
        GroupVerb::Unpin { group, message } => {
            let params = json!({ "group": group, "message": message });
            act("unpin_message", &params, backend, out, |_, name| {
                format!("the message is not pinned in {name} any more")
            })
        }
        GroupVerb::Policy { group, policy, no_approve } => {
            let mut params = given(policy, *no_approve);
            if params.as_object().is_none_or(serde_json::Map::is_empty) {
                return Err(Failure::usage("nothing to change is given")
                    .hint("--history, --post, --invite-role, --describe-role, --pin-role, --approve or --no-approve; donp group show GROUP"));
            }
            params["group"] = json!(group);
            let value = backend.call("set_group_policy", &params)?;
            let shown: GroupInfo = shape::read(&value)?;
            out.done(&value, |_| format!("{}: {}", name_of(Some(&shown.name), ""), rules(&shown.policy)))
        }
    }
}

fn create(args: &Create, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let mut params = given(&args.policy, false);
    params["name"] = json!(args.name);
    params["kind"] = json!(args.kind.map(GroupKind::name));
    params["expires_in_s"] = json!(args.expires.map(|d| d.as_secs()));
    let made = backend.call("create_group", &params)?;
    out.done(&made, |v| {
        let name = name_of(v["name"].as_str(), &text_of(v, "short"));
        format!("{name} is a {} group, and you are its owner\nid  {}", text_of(v, "kind"), text_of(v, "id"))
    })?;
    out.note(&format!("To invite others: donp group invite {}", quoted(&args.name)));
    Ok(())
}

/// The options that were given, as params.
fn given(policy: &Policy, no_approve: bool) -> Value {
    let mut params = json!({});
    if let Some(history) = policy.history {
        params["history"] = json!(history.to_string());
    }
    if policy.approve || no_approve {
        params["approve"] = json!(policy.approve);
    }
    if let Some(role) = policy.post {
        params["post"] = json!(role.name());
    }
    if let Some(role) = policy.invite_role {
        params["invite"] = json!(role.name());
    }
    if let Some(role) = policy.describe_role {
        params["describe"] = json!(role.name());
    }
    if let Some(role) = policy.pin_role {
        params["pin"] = json!(role.name());
    }
    params
}

fn invite(args: &Invitation, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let ticket = backend.call(
        "invite_to_group",
        &json!({
            "group": args.group,
            "role": args.role.name(),
            "uses": args.uses,
            "expires_in_s": args.expires.as_secs(),
            "node": args.node,
        }),
    )?;
    if ticket["closed_network"] == true {
        out.note("This ticket holds the key of a closed network: anyone who has it can enter.");
    }
    let good_for = lasting(args.expires);
    out.note(&match (ticket["kind"].as_str(), ticket["node"].as_str()) {
        (Some("public"), _) => "The group is public: anyone can use this ticket, and it does not expire.".to_owned(),
        (_, Some(node)) => format!("Only {} can use this ticket, for {good_for}.", super::short(node)),
        (_, None) if args.uses == 1 => {
            format!("The first node to use this ticket within {good_for} joins: keep it secret.")
        }
        (_, None) => format!("Any {} nodes can use this ticket, for {good_for}: keep it secret.", args.uses),
    });
    super::note_loopback(&ticket, out);
    out.value(&ticket, |v| text_of(v, "ticket"))
}

fn join(ticket: &str, timeout: Duration, no_wait: bool, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let params = json!({ "ticket": ticket, "timeout_ms": u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) });
    let joining = backend.call("join_group", &params)?;
    let name = name_of(joining["name"].as_str(), "");
    let through = joining["through_name"].as_str().map_or_else(|| text_short(&joining, "through"), escape_for_terminal);
    match joining["state"].as_str() {
        Some("joined") => out.done(&joining, |_| format!("you are in {name} now")),
        Some("refused") => {
            if out.json {
                out.line(&joining.to_string())?;
            }
            let reason = joining["reason"].as_str().and_then(|r| r.parse().ok());
            Err(Failure::new(Exit::Refused, format!("{through} does not add you to {name}: {}", why(reason)))
                .hint("ask the sender of the ticket for another one"))
        }
        _ if joining["running"] != true => {
            let run = out.hints.of("`donp run`");
            out.done(&joining, |_| format!("remembered: {run} will ask {through} to add you to {name}"))
        }
        _ if no_wait => out.done(&joining, |_| format!("asking {through} to add you to {name}")),
        _ => {
            if out.json {
                out.line(&joining.to_string())?;
                return Err(Failure::new(Exit::Network, ""));
            }
            let what = match joining["linked"].as_bool() {
                Some(true) => format!("{through} has not added you to {name} yet: a member may have to approve it"),
                _ => format!("{through} is not connected: it must be online to add you to {name}"),
            };
            Err(Failure::new(Exit::Network, format!("{what}. This node keeps asking, also after a restart")).hint(
                "donp recv --follow and donp group list show when you are in, donp group leave GROUP cancels the request",
            ))
        }
    }
}

/// Why a node was not added.
fn why(reason: Option<Refusal>) -> &'static str {
    match reason {
        Some(Refusal::Invitation) => "the ticket is used up, expired or for another node, or its issuer may not invite",
        Some(Refusal::Banned) => "you are banned from it",
        Some(Refusal::Asked) => "it is no longer a member, or cannot add members",
        Some(Refusal::Declined) => "a member declined",
        _ => "no reason was given",
    }
}

fn list(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let answer = backend.call("groups", &json!({}))?;
    let of = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let (groups, joining) = (of("groups"), of("joining"));
    if out.json {
        return groups.iter().chain(&joining).try_for_each(|g| out.line(&g.to_string()));
    }
    if groups.is_empty() && joining.is_empty() {
        out.note("No groups yet: donp group create NAME, or donp group join TICKET.");
        return Ok(());
    }
    let people = People::ask(backend)?;
    let mut lines = vec![["GROUP", "NAME", "KIND", "YOU ARE", "MEMBERS", "WAITING"].map(String::from).to_vec()];
    for g in &groups {
        let g: GroupInfo = shape::read(g)?;
        lines.push(vec![
            g.short,
            people.group(g.id, Some(&g.name)),
            g.kind.to_string(),
            g.role.map_or("no longer a member".into(), |r| r.to_string()),
            g.members.len().to_string(),
            if g.requests.is_empty() { "-".into() } else { g.requests.len().to_string() },
        ]);
    }
    for j in &joining {
        let name = name_of(j["name"].as_str(), "");
        lines.push(vec![text_short(j, "id"), name, "-".into(), "asking to join".into(), "-".into(), "-".into()]);
    }
    out.line(table(&lines).trim_end())
}

fn members(group: &str, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let value = backend.call("group", &json!({ "group": group }))?;
    if out.json {
        let members = value["members"].as_array().map_or(&[][..], Vec::as_slice);
        return members.iter().try_for_each(|m| out.line(&shape::object("group_member", m.clone()).to_string()));
    }
    let shown: GroupInfo = shape::read(&value)?;
    let mut lines = vec![["NODE", "NAME", "ROLE", "DEVICES"].map(String::from).to_vec()];
    let people = People::ask(backend)?;
    for GroupMember { id, name, role, devices } in &shown.members {
        let name = name.as_deref().map_or("-".into(), |name| people.node(*id, Some(name)));
        let devices: Vec<String> = devices.iter().map(|device| device.short()).collect();
        lines.push(vec![id.short(), name, role.to_string(), devices.join(" ")]);
    }
    out.line(table(&lines).trim_end())
}

/// Does something in a group and says it: the sentence gets who it is about and the group's name.
fn act(
    method: &str,
    params: &Value,
    backend: &mut Backend,
    out: &Output,
    say: impl FnOnce(String, String) -> String,
) -> Result<(), Failure> {
    let value = backend.call(method, params)?;
    out.done(&value, |v| {
        let about = &v["about"];
        let who = about["name"].as_str().map_or_else(|| text_of(about, "short"), escape_for_terminal);
        say(who, name_of(v["name"].as_str(), &text_of(v, "short")))
    })
}

/// The nodes that wait to join, with their names.
fn waiting(shown: &GroupInfo, backend: &mut Backend) -> Result<Vec<String>, Failure> {
    let peers = backend.call("peers", &json!({}))?;
    let peers = peers["peers"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |id: &str| peers.iter().find(|p| p["id"] == id)?["name"].as_str().map(escape_for_terminal);
    Ok(shown
        .requests
        .iter()
        .map(|id| name(&id.to_string()).map_or_else(|| id.short(), |name| format!("{name} ({})", id.short())))
        .collect())
}

fn rows(g: &GroupInfo, waiting: &[String], hints: &Hints) -> Vec<Vec<String>> {
    let mut rows: Vec<(&str, String)> = vec![
        ("group", format!("{} ({})", name_of(Some(&g.name), ""), g.short)),
        ("id", g.id.to_string()),
        ("kind", g.kind.to_string()),
        ("you are", g.role.map_or("no longer a member".into(), |r| r.to_string())),
        ("members", g.members.len().to_string()),
        ("rules", rules(&g.policy)),
    ];
    if !g.description.is_empty() {
        rows.insert(1, ("about", escape_for_terminal(&g.description)));
    }
    if let Some(ms) = g.expires_ms {
        rows.push(("ends", Clock::new(false).show(ms)));
    }
    if !g.pinned.is_empty() {
        rows.push(("pinned", g.pinned.iter().map(|m| m.short()).collect::<Vec<_>>().join(" ")));
    }
    if !waiting.is_empty() {
        rows.push(("waiting", format!("{}: {}, or decline", waiting.join(", "), hints.of("donp group approve"))));
    }
    if g.role.is_some() && g.kind != GroupKind::Public && g.holds_key {
        rows.push((
            "key",
            format!("held by {} of {} members, as far as is known here", g.key_holders, g.members.len()),
        ));
    }
    if g.role.is_some() && g.kind != GroupKind::Public && !g.holds_key {
        rows.push(("key", "the group's present key has not arrived: new messages are readable when it does".into()));
    }
    rows.into_iter().map(|(key, value)| vec![key.into(), value]).collect()
}

/// The policy in a sentence.
fn rules(p: &GroupPolicy) -> String {
    let history = match p.history.to_string().as_str() {
        "none" => "no older messages".to_owned(),
        "all" => "everything".into(),
        some => match some.strip_suffix('d') {
            Some(days) => format!("the last {days} days"),
            None => format!("the last {some} messages"),
        },
    };
    let approve = if p.approve { ", new members need approval" } else { "" };
    format!("{} and above post, {} and above invite{approve}; newcomers read {history}", p.post, p.invite)
}

/// What happened in a group, for people; none for what a newer version would say.
pub(super) fn change_line(event: &Event, hints: &Hints) -> Option<String> {
    let Event::GroupChanged { group, group_name, change, node, name, role, text, message, reason, .. } = event else {
        return None;
    };
    let of = name_of(group_name.as_deref(), &format!("group {}", group.short()));
    let who = name.as_deref().map(escape_for_terminal).or_else(|| node.map(|n| n.short())).unwrap_or_default();
    let role = role.map(|r| r.to_string()).unwrap_or_default();
    let text = text.as_deref().map(escape_for_terminal).unwrap_or_default();
    Some(match change {
        GroupChange::Joined => format!("you are in {of} now"),
        GroupChange::Ended => format!("you are not in {of} any more"),
        GroupChange::Refused => format!("you are not added to {of}: {}", why(*reason)),
        GroupChange::Asked => {
            let id = node.map(|n| n.short()).unwrap_or_default();
            let approve = hints.of(&format!("donp group approve {} {id}", group.short()));
            format!("{who} asks to join {of}: {approve}, or decline")
        }
        GroupChange::Added => format!("{who} is in {of} now, as {role}"),
        GroupChange::Removed => format!("{who} is not in {of} any more"),
        GroupChange::Ranked => format!("{who} is {role} of {of} now"),
        GroupChange::Renamed => format!("group {} is called #{text} now", group.short()),
        GroupChange::Described => format!("{of} has a new description: {text}"),
        GroupChange::PolicyChanged => {
            format!("{of} has new rules: {}", hints.of(&format!("donp group show {}", group.short())))
        }
        GroupChange::Pinned => format!("message {} is pinned in {of}", message.map(|m| m.short()).unwrap_or_default()),
        GroupChange::Unpinned => {
            format!("message {} is not pinned in {of} any more", message.map(|m| m.short()).unwrap_or_default())
        }
        GroupChange::Other => return None,
    })
}

/// The name of a group as it is shown; its short id if the name is not known.
pub(super) fn name_of(name: Option<&str>, short: &str) -> String {
    match name {
        Some(name) if !name.is_empty() => format!("#{}", escape_for_terminal(name)),
        _ => short.into(),
    }
}

/// A time as people say it.
fn lasting(time: Duration) -> String {
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let whole = units.into_iter().find(|(_, seconds)| time.as_secs().is_multiple_of(*seconds));
    let (unit, count) = whole.map_or(("second", 0), |(unit, seconds)| (unit, time.as_secs() / seconds));
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donp_core::GroupId;

    #[test]
    fn claims_about_groups_cannot_steer_a_terminal() {
        let bad = "te\u{1b}[2Jam\u{202e}";
        let event = Event::GroupChanged {
            seq: 1,
            group: GroupId([1; 32]),
            group_name: Some(bad.into()),
            change: GroupChange::Described,
            node: None,
            name: None,
            role: None,
            text: Some(bad.into()),
            message: None,
            reason: None,
        };
        let line = change_line(&event, &Hints::default()).unwrap();
        assert!(line.contains("#te") && !line.contains(['\u{1b}', '\u{202e}']), "{line}");
        for (seconds, text) in [(86_400, "1 day"), (604_800, "7 days"), (7_200, "2 hours"), (90, "90 seconds")] {
            assert_eq!(lasting(Duration::from_secs(seconds)), text);
        }
        assert_eq!(quoted("team"), "team");
        assert_eq!(quoted("it's us"), r"'it'\''s us'");
    }
}
