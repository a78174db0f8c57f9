//! `donp send`.

use std::io::Read as _;

use donp_core::GroupId;
use serde_json::{Value, json};

use super::{short, text_of};
use crate::backend::Backend;
use crate::cli::{Send, Wait};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::people::People;

pub fn send(args: &Send, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let text = match args.text.as_slice() {
        [stdin] if stdin == "-" => read_stdin()?,
        // As a shell gives the words of a text without quotes.
        words => words.join(" "),
    };
    let about =
        [("reply_to", &args.reply_to), ("edit_of", &args.edit), ("react_to", &args.react), ("retract", &args.retract)];
    let about = about.into_iter().find_map(|(kind, id)| Some((kind, id.as_ref()?)));
    let people = if out.json { People::default() } else { People::ask(backend)? };
    let sent = backend.call(
        "send",
        &json!({
            "to": args.to,
            "text": text,
            "file": args.file.as_deref().map(super::files::absolute).transpose()?,
            "kind": about.map(|(kind, _)| kind),
            "about": about.map(|(_, id)| id),
            "wait": args.wait.name(),
            "timeout_ms": if args.wait == Wait::None { 0 } else { args.timeout.as_millis() },
        }),
    )?;
    out.done(&sent, |v| format!("{}  {}", became(v, &people, out), short(&text_of(v, "id"))))?;
    match (sent["state"].as_str(), sent["reached"].as_bool()) {
        (Some("failed"), _) => Err(Failure::new(Exit::Refused, "the other node rejected this message")),
        // The object on stdout has said it already.
        (_, Some(false)) if out.json => Err(Failure::new(Exit::Network, "")),
        (Some(state), Some(false)) => {
            let what = match state {
                "queued" => "not connected to the receiver",
                _ if args.wait == Wait::All => "not all members stored it in time",
                _ => "no answer came in time",
            };
            Err(Failure::new(
                Exit::Network,
                format!("{what}: the message stays queued and is sent when the receiver reconnects"),
            )
            .hint("donp peers shows the connected nodes"))
        }
        _ => Ok(()),
    }
}

/// What became of a message.
fn became(sent: &Value, people: &People, out: &Output) -> String {
    let conversation = sent["conversation"].as_str().unwrap_or_default();
    let name = sent["name"].as_str();
    let group = conversation.parse::<GroupId>().ok();
    let who = match (group, conversation.parse::<donp_core::NodeId>()) {
        (Some(group), _) => people.group(group, name),
        (None, Ok(node)) => people.node(node, name),
        (None, Err(_)) => "all".into(),
    };
    let goes = match conversation {
        _ if sent["running"] == false => out.hints.of("it is sent when this node runs: `donp run`"),
        "all" => "no other node is connected, they get it when they connect".into(),
        _ if group.is_some() => format!("no other member of {who} is connected, they get it when they connect"),
        _ => format!("it is sent when {who} reconnects"),
    };
    match sent["state"].as_str() {
        Some("delivered") if group.is_some() => {
            let counts = &sent["confirmations"];
            format!("stored by {} of {} other members of {who}", counts["stored"], counts["members"])
        }
        Some("delivered") => format!("delivered to {who}"),
        Some("sent") => format!("sent to {who}"),
        Some("failed") => format!("{who} rejected it"),
        _ => format!("stored; {goes}"),
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
        String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Failed, "the input on stdin is not UTF-8 text"))?;
    // What `echo` adds is not meant.
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}
