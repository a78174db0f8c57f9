//! The verbs about contacts. Names that others claim are shown as text only.

use donp_core::{AuthenticationResult, Verification};
use donp_runtime::api::{Contact, Event};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::{Value, json};

use super::{block, text_of, text_short};
use crate::backend::Backend;
use crate::cli::ContactVerb;
use crate::failure::{Exit, Failure};
use crate::json as shape;
use crate::output::Output;
use crate::text::{escape_for_terminal, table};

pub fn contact(verb: &ContactVerb, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let mut act = |method: &str, params: Value, say: &dyn Fn(&str) -> String| {
        let value = backend.call(method, &params)?;
        let shown: Contact = shape::read(&value)?;
        out.value(&value, |_| say(&name_of(&shown)))
    };
    match verb {
        ContactVerb::Add { peer, name } => {
            act("add_contact", json!({ "peer": peer, "petname": name }), &|who| format!("{who} is in your contacts"))
        }
        ContactVerb::List => list(backend, out),
        ContactVerb::Show { peer } => show(peer, backend, out),
        ContactVerb::Rename { peer, name, .. } => {
            act("rename_contact", json!({ "peer": peer, "petname": name }), &|who| format!("you call it {who} now"))
        }
        ContactVerb::Verify { peer, number, scan } => {
            let shown = number.as_ref().or(scan.as_ref());
            act("verify_contact", json!({ "peer": peer, "shown": shown }), &|who| {
                format!("{who} is verified: only its device can read what you send it")
            })
        }
        ContactVerb::AcceptChange { peer } => act("accept_change", json!({ "peer": peer }), &|who| {
            format!("{who} is unverified; messages to it are sent again")
        }),
        ContactVerb::Accept { peer } => {
            act("accept_contact", json!({ "peer": peer }), &|who| format!("{who} is in your contacts"))
        }
        ContactVerb::Mute { peer } => act("mute_contact", json!({ "peer": peer, "muted": true }), &|who| {
            format!("{who} is muted: recv does not show its messages, history does")
        }),
        ContactVerb::Unmute { peer } => {
            act("mute_contact", json!({ "peer": peer, "muted": false }), &|who| format!("{who} is not muted"))
        }
        ContactVerb::Block { peer } => block(backend, out, "block", peer),
        ContactVerb::Unblock { peer } => block(backend, out, "unblock", peer),
        ContactVerb::Remove { peer } => remove(peer, false, backend, out),
        ContactVerb::Delete { peer } => remove(peer, true, backend, out),
        ContactVerb::Clear { peer } => {
            let value = backend.call("delete_conversation", &json!({ "conversation": peer }))?;
            out.value(&value, |_| "deleted here; the contact keeps its copy".into())
        }
    }
}

/// Our name for it, what it claims, or the short form of its id.
fn name_of(contact: &Contact) -> String {
    let name = contact.petname.as_ref().or(contact.name.as_ref());
    name.map_or_else(|| contact.short.clone(), |name| escape_for_terminal(name))
}

fn remove(peer: &str, is_request: bool, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    if is_request {
        // A contact is not deleted with all that was said by a word that means requests.
        let shown: Contact = shape::read(&backend.call("contact", &json!({ "peer": peer }))?)?;
        if !shown.request {
            return Err(Failure::new(Exit::Failed, format!("{} is a contact, not a request", name_of(&shown)))
                .hint("donp contact remove, or donp contact clear to delete the conversation"));
        }
    }
    let value = backend.call("remove_contact", &json!({ "peer": peer, "messages": is_request }))?;
    out.value(&value, |v| {
        let who = v["name"].as_str().map_or_else(|| text_short(v, "short"), escape_for_terminal);
        match is_request {
            true => format!("the request of {who} is deleted, with its messages here"),
            false => format!("{who} is no longer in your contacts; its messages stay"),
        }
    })
}

fn list(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let answer = backend.call("contacts", &json!({}))?;
    let all = answer["contacts"].as_array().map_or(&[][..], Vec::as_slice);
    if out.json {
        return all.iter().try_for_each(|c| out.line(&c.to_string()));
    }
    let all: Vec<Contact> = all.iter().map(shape::read).collect::<Result<_, _>>()?;
    if all.is_empty() {
        out.note("No contacts yet: write to a node, or run donp contact add NODE --name NAME.");
        return Ok(());
    }
    let row = |c: &Contact| {
        let claims = c.name.as_deref().map_or("-".into(), escape_for_terminal);
        let mut marks = vec![c.verification.name()];
        marks.extend([(c.muted, "muted"), (c.blocked, "blocked")].iter().filter(|(is, _)| *is).map(|(_, m)| *m));
        let unread = if c.unread == 0 { "-".into() } else { c.unread.to_string() };
        (claims, marks.join(", "), unread)
    };
    let (requests, contacts): (Vec<Contact>, Vec<Contact>) = all.into_iter().partition(|c| c.request);
    if !contacts.is_empty() {
        let mut rows = vec![["NODE", "NAME", "CLAIMS", "KEYS", "UNREAD"].map(String::from).to_vec()];
        for c in &contacts {
            let (claims, marks, unread) = row(c);
            let name = c.petname.as_deref().map_or("-".into(), escape_for_terminal);
            rows.push(vec![c.short.clone(), name, claims, marks, unread]);
        }
        out.line(table(&rows).trim_end())?;
    }
    if !requests.is_empty() {
        let mut rows = vec![["REQUEST OF", "CLAIMS", "UNREAD"].map(String::from).to_vec()];
        for c in &requests {
            let (claims, _, unread) = row(c);
            rows.push(vec![c.short.clone(), claims, unread]);
        }
        out.line(table(&rows).trim_end())?;
        out.note("A request waits for donp contact accept, delete or block.");
    }
    Ok(())
}

fn show(peer: &str, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let value = backend.call("contact", &json!({ "peer": peer }))?;
    let shown: Contact = shape::read(&value)?;
    let number = match backend.call("safety_number", &json!({ "peer": shown.node.to_string() })) {
        Ok(number) => Some(number),
        Err(failure) if failure.exit == Exit::Network => None,
        Err(failure) => return Err(failure),
    };
    if out.json {
        out.line(&value.to_string())?;
        return number.iter().try_for_each(|n| out.line(&n.to_string()));
    }
    let or_none = |name: &Option<String>| name.as_deref().map_or("-".into(), escape_for_terminal);
    let keys = match shown.verification {
        Verification::Unverified => "not compared: donp contact verify",
        Verification::Verified => "verified",
        _ => "CHANGED since they were verified: compare again, or donp contact accept-change",
    };
    let is = [(shown.request, "a request"), (shown.muted, "muted"), (shown.blocked, "blocked")];
    let is: Vec<&str> = is.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
    let rows: Vec<Vec<String>> = [
        ("node", shown.node.to_string()),
        ("name", or_none(&shown.petname)),
        ("claims", or_none(&shown.name)),
        ("is", if is.is_empty() { "a contact".into() } else { is.join(", ") }),
        ("unread", shown.unread.to_string()),
        ("keys", keys.into()),
    ]
    .into_iter()
    .map(|(key, value)| vec![key.into(), value])
    .collect();
    out.line(table(&rows).trim_end())?;
    let Some(number) = number else {
        out.note("Its keys are not known here yet, so there is no safety number: try again when it is connected.");
        return Ok(());
    };
    let groups: Vec<String> = text_of(&number, "number").split(' ').map(String::from).collect();
    out.line("safety number, equal at both nodes:")?;
    for line in groups.chunks(4) {
        out.line(&format!("    {}", line.join(" ")))?;
    }
    let code = text_of(&number, "code");
    out.line(&format!("for `donp contact verify --scan` at the contact, or its camera:\n{code}"))?;
    qr(&code).map_or(Ok(()), |drawn| out.line(&drawn))
}

/// The code in blocks of a terminal: two rows of modules a line. Capitals are in a denser mode, and read the same.
pub(super) fn qr(code: &str) -> Option<String> {
    let drawn = QrCode::with_error_correction_level(code.to_uppercase().as_bytes(), EcLevel::L).ok()?;
    Some(drawn.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

pub fn authenticate(node: &str, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let value = backend.call("authenticate_node", &json!({ "peer": node }))?;
    let who = value["name"].as_str().map_or_else(|| text_short(&value, "short"), escape_for_terminal);
    let result = AuthenticationResult::ALL.into_iter().find(|r| value["result"] == r.name());
    match result {
        Some(AuthenticationResult::Authenticated) => {
            out.value(&value, |_| format!("the device of {who} is at the other end of the link"))
        }
        _ if out.json => {
            out.line(&value.to_string())?;
            let failed = result == Some(AuthenticationResult::Failed);
            Err(Failure::new(if failed { Exit::Untrusted } else { Exit::Network }, ""))
        }
        Some(AuthenticationResult::Failed) => Err(Failure::new(
            Exit::Untrusted,
            format!("the other end of the link is not the device of {who}"),
        )
        .hint("an attacker has its link key, or is a man in the middle: send nothing secret, and check over another channel")),
        _ => Err(Failure::new(Exit::Network, format!("{who} gave no answer in ten seconds"))
            .hint("donp peers shows the connected nodes")),
    }
}

/// What happened to contacts, for people.
pub(super) fn event_lines(event: &Event) -> Vec<String> {
    match event {
        Event::ContactRequest { node, name, .. } => {
            let who = name.as_deref().map_or_else(|| node.short(), escape_for_terminal);
            let id = node.short();
            vec![
                format!("{who} ({id}), who is not a contact, writes to you:"),
                format!("donp contact accept {id}, or delete, or block"),
            ]
        }
        Event::ContactChanged { node, name, .. } => {
            let who = name.as_deref().map_or_else(|| node.short(), escape_for_terminal);
            vec![
                format!("the KEY of {who} CHANGED since you verified it; nothing is sent to it:"),
                format!("donp contact verify {0} --number …, or donp contact accept-change {0}", node.short()),
            ]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use donp_core::NodeId;

    #[test]
    fn names_of_strangers_cannot_steer_a_terminal() {
        let event = Event::ContactRequest { seq: 1, node: NodeId([1; 32]), name: Some("a\u{1b}[2Jb\u{202e}".into()) };
        let lines = event_lines(&event).concat();
        assert!(lines.contains("donp contact accept") && !lines.contains(['\u{1b}', '\u{202e}']), "{lines}");
    }

    /// 213 characters are version 7, 45 modules, with four of quiet zone on each side.
    #[test]
    fn a_code_is_drawn_small_enough_for_a_terminal() {
        let letters: String = "0a1b2c3d4e5f6g7h8j9kmnpqrstvwxyz".chars().cycle().take(212).collect();
        let drawn = qr(&format!("s{letters}")).unwrap();
        assert!(drawn.lines().count() == 27 && drawn.lines().all(|l| l.chars().count() == 53), "{drawn}");
    }
}
