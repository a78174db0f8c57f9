//! The devices of an account: from JSON to JSON.

use std::time::{Duration, Instant};

use donp_core::{DeviceTicket, ParseTicketError};
use donp_runtime::{ErrorKind, api};
use serde_json::{Value, json};

use super::{POLL_INTERVAL, Service, no_daemon, number_of, text_of};
use crate::failure::{Exit, Failure};
use crate::json::{self, object};

/// The other device is reached, answers and stores within this, or not now: as a connection attempt takes at most
/// (docs/design/links.md §3), twice.
const JOINING: Duration = Duration::from_secs(60);

/// How long to wait for the other device, and no longer than [`JOINING`].
fn longest_of(params: &Value) -> Result<Duration, Failure> {
    Ok(JOINING.min(Duration::from_millis(number_of(params, "timeout_ms", u64::MAX)?)))
}

impl Service {
    /// A method about devices; none if there is no such method.
    pub(super) fn device_call(
        &self,
        method: &str,
        params: &Value,
        gone: &dyn Fn() -> bool,
    ) -> Option<Result<Value, Failure>> {
        Some(match method {
            "devices" => self.devices(),
            "devices_of" => self.devices_of(params),
            "add_device" => self.add_device(),
            "join_account" => self.join_account(params, gone),
            "is_joining_account" => self.joining_state(),
            "rename_device" => text_of(params, "name").and_then(|name| {
                self.node.rename_device(name)?;
                self.devices()
            }),
            "remove_device" => self.remove_device(params),
            "recover_account" => self.recover_account(params, gone),
            "recovery_code" => self.recovery_code(),
            _ => return None,
        })
    }

    fn devices(&self) -> Result<Value, Failure> {
        let all = self.node.devices()?.into_iter().map(|d| json::write(api::DeviceInfo::from(d)));
        Ok(json!({ "devices": all.collect::<Result<Vec<_>, _>>()? }))
    }

    fn devices_of(&self, params: &Value) -> Result<Value, Failure> {
        let node = self.peer_of(params)?;
        let all = self.node.devices_of(node)?.into_iter().map(|d| d.to_string());
        Ok(object("devices_of", json!({ "node": node.to_string(), "devices": all.collect::<Vec<_>>() })))
    }

    fn joining_state(&self) -> Result<Value, Failure> {
        Ok(object("joining_account", json!({ "joining": self.node.is_joining_account()? })))
    }

    fn add_device(&self) -> Result<Value, Failure> {
        if !self.running {
            return Err(no_daemon("the new device asks this one over the network"));
        }
        let made = self.node.add_device()?;
        Ok(object(
            "device_ticket",
            json!({
                "ticket": made.to_string(),
                "id": made.ticket.node.to_string(),
                "name": made.ticket.name,
                "addresses": made.ticket.addrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
        ))
    }

    fn join_account(&self, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        if !self.running {
            return Err(no_daemon("the other device is asked over the network"));
        }
        let ticket: DeviceTicket = text_of(params, "ticket")?.trim().parse().map_err(|e: ParseTicketError| {
            Failure::new(Exit::Failed, format!("the ticket is damaged: {e}"))
                .kind(ErrorKind::InvalidInput)
                .hint("copy it again, whole, from `donp device add`")
        })?;
        let longest = longest_of(params)?;
        self.node.join_account(&ticket)?;
        self.when_joined(longest, gone)?;
        // The one who shows the ticket is in the list then. A refusal ends the asking too, and changes nothing.
        let devices = self.node.devices()?;
        self.joined(devices.iter().any(|d| d.node == ticket.ticket.node))
    }

    fn recover_account(&self, params: &Value, gone: &dyn Fn() -> bool) -> Result<Value, Failure> {
        if !self.running {
            return Err(no_daemon("contacts are asked for the devices of the account"));
        }
        let (longest, before) = (longest_of(params)?, self.node.status()?.node.account);
        self.node.recover_account(text_of(params, "code")?)?;
        // What is here already, as this account's own lists are, is done at once.
        let is_done = !self.node.is_joining_account()?;
        self.when_joined(longest, gone)?;
        self.joined(is_done || self.node.status()?.node.account != before)
    }

    /// The code of the account that this profile began with; null if it is not kept here.
    fn recovery_code(&self) -> Result<Value, Failure> {
        Ok(object("recovery_code", json!({ "code": self.node.recovery_code()? })))
    }

    /// Waits for the end of it, one way or the other.
    fn when_joined(&self, longest: Duration, gone: &dyn Fn() -> bool) -> Result<(), Failure> {
        let until = Instant::now() + longest;
        while self.node.is_joining_account()? && Instant::now() < until && !gone() {
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// The devices, and whether this one is of the account that it asked for.
    fn joined(&self, is_of_it: bool) -> Result<Value, Failure> {
        let mut out = self.devices()?;
        out["joined"] = (is_of_it && self.node.devices()?.iter().any(|d| d.here)).into();
        Ok(out)
    }

    fn remove_device(&self, params: &Value) -> Result<Value, Failure> {
        let wanted = text_of(params, "device")?.trim();
        let all = self.node.devices()?;
        let fits =
            |d: &&donp_core::DeviceInfo| d.name == wanted || d.node.to_string() == wanted || d.node.short() == wanted;
        let found: Vec<_> = all.iter().filter(fits).collect();
        let [one] = found.as_slice() else {
            let what = if found.is_empty() { "no device" } else { "more than one device" };
            return Err(Failure::new(Exit::Failed, format!("{what} of this account is '{wanted}'"))
                .hint("donp device list; use its id"));
        };
        self.node.remove_device(one.node)?;
        self.devices()
    }
}
