//! `donp run`: a node in the foreground, its control socket, and how it ends.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use donp_core::NodeState;
use donp_runtime::{Node, NodeConfig};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::Run;
use crate::config::Loaded;
use crate::control::server::Server;
use crate::failure::{Exit, Failure};
use crate::json::object;
use crate::output::Output;
use crate::paths::Paths;
use crate::profile;
use crate::service::{Facts, Service};

/// Runs until a signal, the end of the node or, where asked for, of stdin. `load` reads the settings again.
pub fn run(
    args: &Run,
    loaded: &Loaded,
    load: &dyn Fn() -> Result<Loaded, Failure>,
    paths: &Paths,
    out: &Output,
) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let (tell, end) = channel();
    // Before anything else, so that an early Ctrl-C ends this in order too.
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|e| Failure::new(Exit::Bug, format!("signals: {e}")))?;
    let signalled = tell.clone();
    watch("donp-signals", move || {
        for signal in signals.forever() {
            // No thread listens if the node is ending anyway.
            let _ = signalled.send(End::Signal(signal));
        }
    })?;
    let socket = paths.socket()?;
    let mut profile = profile::open(paths, settings)?;
    profile.announce_control(&socket)?;
    let facts = Facts::of(&profile, &paths.profile);
    let node = Node::open(NodeConfig {
        config: settings.core.clone(),
        network_key: settings.network_key_file.as_deref().map(network_key).transpose()?,
        listen: settings.listen.clone(),
        announce: settings.announce.clone(),
        bootstraps: settings.bootstrap.clone(),
        lan: settings.lan(),
        fault: settings.fault.clone(),
        seed: args.seed,
        ..NodeConfig::new(profile)
    })?;
    let service = Arc::new(Service::new(node, facts, true));
    let server = Server::start(&socket, Arc::clone(&service))?;
    announce(&service, &socket, out)?;
    if args.until_stdin_ends {
        let closed = tell.clone();
        watch("donp-stdin", move || {
            let mut byte = [0];
            while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
            let _ = closed.send(End::Stdin);
        })?;
    }
    let watched = Arc::clone(&service);
    watch("donp-watch", move || {
        watched.node.wait_closed();
        let _ = tell.send(End::Node);
    })?;
    // Of a terminal, it says that the terminal is gone.
    let rereads = !std::io::stdin().is_terminal() && !std::io::stdout().is_terminal();
    let mut now = None;
    let why = loop {
        match end.recv().unwrap_or(End::Node) {
            End::Signal(SIGHUP) if rereads => match load() {
                Ok(fresh) => {
                    apply(&service, now.as_ref().unwrap_or(loaded), &fresh);
                    now = Some(fresh);
                }
                Err(failure) => log::error!("the settings are unchanged: {}", failure.what),
            },
            why => break why,
        }
    };
    drop(server);
    service.node.shutdown()?;
    if why == End::Signal(SIGINT) { Err(Failure::new(Exit::Interrupted, "")) } else { Ok(()) }
}

/// Applies what differs between two readings of the settings and can change while a node runs; says what cannot.
fn apply(service: &Service, before: &Loaded, after: &Loaded) {
    let mut changed = 0;
    for ((name, old, _), (_, new, _)) in before.rows().zip(after.rows()).filter(|((_, a, _), (_, b, _))| a != b) {
        changed += 1;
        let done = match name {
            "bootstrap" if after.settings.bootstrap.is_empty() => Ok(()),
            // Those from before stay known, as every place that was ever entered through.
            "bootstrap" => service.node.join(&after.settings.bootstrap),
            "announce" => service.node.set_announced(after.settings.announce.clone()),
            "fault" => service.node.set_fault(after.settings.fault.clone()),
            // Read when a profile is opened.
            "passphrase_file" | "passphrase_command" | "key_file" => Ok(()),
            _ => {
                let shown = |value: Option<String>| value.unwrap_or_else(|| "nothing".into());
                log::warn!("{name} stays {} until the next start: {} is set", shown(old), shown(new));
                continue;
            }
        };
        match done {
            Ok(()) => log::info!("{name} is {}", new.unwrap_or_else(|| "not set".into())),
            Err(e) => log::error!("{name}: {e}"),
        }
    }
    log::warn!("settings read again: {changed} changed");
}

/// Why a daemon ends.
#[derive(PartialEq, Eq)]
enum End {
    Signal(i32),
    Stdin,
    Node,
}

/// A thread that waits for one thing. Not joined: it may wait for ever.
fn watch(name: &str, wait: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(wait)
        .map(drop)
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot start a thread: {e}")))
}

fn announce(service: &Service, socket: &Path, out: &Output) -> Result<(), Failure> {
    let status = service.node.status()?;
    let (node, host) = (&status.node, &status.host);
    let addresses: Vec<_> = host.listen.iter().map(ToString::to_string).collect();
    if out.json {
        let ready = json!({
            "id": node.id.to_string(),
            "short": node.id.short(),
            "name": node.name,
            "listen": addresses,
            "control": socket.display().to_string(),
            "state": node.state.name(),
            "protection": host.protection.name(),
        });
        return out.line(&object("ready", ready).to_string());
    }
    let place = match node.state {
        NodeState::Active if host.lan.is_empty() => "First node here: others will join through it.",
        NodeState::Active => "First node here: others will join through it, local ones without a ticket.",
        _ => "Joining.",
    };
    out.line(&format!(
        "{} is node {}. {place} Listening on {}. Control: {}",
        crate::text::escape_for_terminal(&node.name),
        node.id.short(),
        addresses.join(" and "),
        socket.display()
    ))
}

/// 64 hex digits, of which not all are zero: that is the public network.
pub fn network_key(path: &Path) -> Result<[u8; 32], Failure> {
    let bad = |why: &str| {
        Failure::new(Exit::Failed, format!("network key file {}: {why}", path.display())).hint("64 hex digits")
    };
    let file = crate::profile::open_secret(path).map_err(|e| bad(&e.to_string()))?;
    let text = std::io::read_to_string(file.take(256)).map_err(|e| bad(&e.to_string()))?;
    let bytes = crate::decode::bytes(text.trim()).map_err(|_| bad("it does not hold 64 hex digits"))?;
    let key: [u8; 32] = bytes.try_into().map_err(|_| bad("it does not hold 64 hex digits"))?;
    if key == [0; 32] { Err(bad("all zeros is the public network")) } else { Ok(key) }
}
