//! `donp run`: a node in the foreground, its control socket, and how it ends.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use donp_core::NodeState;
use donp_runtime::{Node, NodeConfig, StoreKind};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cli::Run;
use crate::config::Settings;
use crate::control::server::Server;
use crate::failure::{Exit, Failure};
use crate::json::object;
use crate::output::Output;
use crate::paths::Paths;
use crate::profile;
use crate::service::{Facts, Service};

/// How often the signals are looked at.
const GLANCE: Duration = Duration::from_millis(50);

pub fn run(args: &Run, settings: &Settings, paths: &Paths, out: &Output) -> Result<(), Failure> {
    // Before anything else, so that an early Ctrl-C ends this in order too.
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM, SIGHUP] {
        let value = usize::try_from(number).unwrap_or(0);
        signal_hook::flag::register_usize(number, Arc::clone(&signal), value)
            .map_err(|e| Failure::new(Exit::Bug, format!("signals: {e}")))?;
    }
    let socket = paths.socket()?;
    let mut profile = profile::open(paths, settings)?;
    profile.announce_control(&socket)?;
    let facts = Facts::of(&profile, &paths.profile);
    let node = Node::open(NodeConfig {
        config: settings.core.clone(),
        network_key: settings.network_key_file.as_deref().map(network_key).transpose()?,
        listen: settings.listen.clone(),
        bootstraps: settings.bootstrap.clone(),
        fault: settings.fault.clone(),
        seed: args.seed,
        ..NodeConfig::new(StoreKind::Profile(profile))
    })?;
    let service = Arc::new(Service::new(node, facts, true));
    let server = Server::start(&socket, Arc::clone(&service))?;
    announce(&service, &socket, out)?;
    if args.until_stdin_ends {
        let signal = Arc::clone(&signal);
        let watch = move || {
            let mut byte = [0];
            while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
            signal.store(usize::try_from(SIGTERM).unwrap_or(0), Ordering::SeqCst);
        };
        std::thread::Builder::new()
            .name("donp-stdin".into())
            .spawn(watch)
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot watch stdin: {e}")))?;
    }
    while signal.load(Ordering::SeqCst) == 0 && !service.node.is_closed() {
        std::thread::sleep(GLANCE);
    }
    drop(server);
    service.node.shutdown()?;
    if signal.load(Ordering::SeqCst) == usize::try_from(SIGINT).unwrap_or(0) {
        return Err(Failure::new(Exit::Interrupted, ""));
    }
    Ok(())
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
            "store_protection": host.protection.name(),
        });
        return out.line(&object("ready", ready).to_string());
    }
    let place = match node.state {
        NodeState::Active => "First node here: others will join through it.",
        _ => "Joining.",
    };
    out.line(&format!(
        "{} is node {}. {place} Listening on {}. Control: {}",
        crate::text::shown(&node.name),
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
    let text = std::fs::read_to_string(path).map_err(|e| bad(&e.to_string()))?;
    let bytes = crate::decode::bytes(text.trim()).map_err(|_| bad("it does not hold 64 hex digits"))?;
    let key: [u8; 32] = bytes.try_into().map_err(|_| bad("it does not hold 64 hex digits"))?;
    if key == [0; 32] { Err(bad("all zeros is the public network")) } else { Ok(key) }
}
