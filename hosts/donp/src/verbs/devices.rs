//! The verbs about the devices of an account.

use std::io::{BufRead as _, IsTerminal as _};

use donp_runtime::api::{DeviceInfo, Event};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::contacts::qr;
use super::{note_loopback, text_of};
use crate::backend::Backend;
use crate::cli::DeviceVerb;
use crate::failure::{Exit, Failure};
use crate::json as shape;
use crate::output::Output;
use crate::text::{escape_for_terminal, table};

/// The longest line that is read for a code.
const MAX_LINE: u64 = 256;

pub fn device(verb: &DeviceVerb, backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    match verb {
        DeviceVerb::List => {
            let answer = backend.call("devices", &json!({}))?;
            list(&answer, out)
        }
        DeviceVerb::Add => add(backend, out),
        DeviceVerb::Join { ticket } => {
            let answer = backend.call("join_account", &json!({ "ticket": ticket }))?;
            joined(&answer, out, "the other device did not add this one")
        }
        DeviceVerb::Rename { name } => {
            let answer = backend.call("rename_device", &json!({ "name": name }))?;
            list(&answer, out)
        }
        DeviceVerb::Remove { device } => {
            let answer = backend.call("remove_device", &json!({ "device": device }))?;
            list(&answer, out)
        }
        DeviceVerb::Recover => {
            let code = code(out)?;
            let answer = backend.call("recover_account", &json!({ "code": *code }))?;
            joined(&answer, out, "no connected node has this account's device list")
        }
    }
}

fn list(answer: &Value, out: &Output) -> Result<(), Failure> {
    let all = answer["devices"].as_array().map_or(&[][..], Vec::as_slice);
    if out.json {
        return all.iter().try_for_each(|d| out.line(&d.to_string()));
    }
    let all: Vec<DeviceInfo> = all.iter().map(shape::read).collect::<Result<_, _>>()?;
    let mut rows = vec![["DEVICE", "NAME", ""].map(String::from).to_vec()];
    for d in &all {
        let this = if d.here { "this one" } else { "" };
        rows.push(vec![d.short.clone(), escape_for_terminal(&d.name), this.into()]);
    }
    out.line(table(&rows).trim_end())?;
    if !all.iter().any(|d| d.here) {
        out.note("This device was removed from its account.");
    }
    Ok(())
}

fn add(backend: &mut Backend, out: &Output) -> Result<(), Failure> {
    let ticket = backend.call("add_device", &json!({}))?;
    note_loopback(&ticket, out);
    out.note("Valid for one device and ten minutes. The first device to use this joins your account: keep it secret.");
    out.value(&ticket, |v| text_of(v, "ticket"))?;
    if out.json {
        return Ok(());
    }
    out.line("at the new device: donp device join TICKET")?;
    qr(&text_of(&ticket, "ticket")).map_or(Ok(()), |drawn| out.line(&drawn))
}

fn joined(answer: &Value, out: &Output, why: &str) -> Result<(), Failure> {
    if answer["joined"] == true {
        out.note("This device belongs to that account now.");
        return list(answer, out);
    }
    Err(Failure::new(Exit::Network, why.to_owned()).hint(
        "check that both run and reach each other; a ticket is valid for one device and ten minutes: run donp device add again",
    ))
}

/// A code on the command line would be in the shell's history.
fn code(out: &Output) -> Result<Zeroizing<String>, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        out.note("The recovery code, 38 characters that begin with r:");
    }
    let mut line = Zeroizing::new(String::new());
    let mut input = std::io::Read::take(input.lock(), MAX_LINE);
    input.read_line(&mut line).map_err(|e| Failure::new(Exit::Failed, format!("the standard input: {e}")))?;
    if line.trim().is_empty() {
        return Err(Failure::usage("no recovery code was given").hint("type it, or pipe it to stdin"));
    }
    Ok(line)
}

/// What happened to devices, for people.
pub(super) fn event_line(event: &Event) -> Option<String> {
    let Event::DevicesChanged { node, name, device, added, .. } = event else { return None };
    let who = name.as_deref().map_or_else(|| node.short(), escape_for_terminal);
    Some(match added {
        true => format!("{who} has a new device, {}: donp contact show {}", device.short(), node.short()),
        false => format!("{} is no longer a device of {who}", device.short()),
    })
}
