//! Where the answers to a command come from: the daemon of the profile, or the profile itself.

use std::time::{Duration, Instant};

use donp_runtime::{Access, Node, NodeConfig, Profile, StoreError};
use serde_json::Value;

use crate::config::Settings;
use crate::control::client::Client;
use crate::failure::{Exit, Failure};
use crate::paths::Paths;
use crate::profile;
use crate::service::{Facts, Service};

/// Where a verb's answers come from.
pub enum Backend {
    Daemon(Client),
    Here(Box<Service>),
}

/// How long a verb waits for the others that have the profile: as long as a node takes to start with a large history.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

impl Backend {
    /// The daemon of the profile, or without one the profile itself: beside others that read, or after the others. A
    /// daemon that is starting has the profile and does not answer yet, so it is waited for.
    pub fn find(paths: &Paths, settings: &Settings, no_daemon: bool, access: Access) -> Result<Self, Failure> {
        let until = Instant::now() + PATIENCE;
        let mut secrets = None;
        let profile = loop {
            if !no_daemon && let Some(client) = daemon(paths) {
                return Ok(Self::Daemon(client));
            }
            if secrets.is_none() {
                profile::exists(paths)?;
                secrets = Some(profile::secrets(settings)?);
            }
            let by = match Profile::open_for(&paths.dir(), &secrets.clone().unwrap_or_default(), access, Duration::ZERO)
            {
                Ok(profile) => break profile,
                Err(StoreError::InUse { by, .. }) if Instant::now() < until && !(no_daemon && by.is_node) => by,
                // It may listen where this user cannot reach it.
                Err(StoreError::InUse { by, .. }) if !no_daemon => {
                    return Err(Failure::new(
                        Exit::Storage,
                        format!("profile {} is in use by {by}, which does not answer commands", paths.profile),
                    )
                    .hint("try again in a moment; if that does not help, stop that process"));
                }
                Err(e) => return Err(e.into()),
            };
            log::debug!("waiting for {by}");
            std::thread::sleep(POLL_INTERVAL);
        };
        let facts = Facts::of(&profile, &paths.profile);
        let config = NodeConfig { config: settings.core.clone(), offline: true, ..NodeConfig::new(profile) };
        Ok(Self::Here(Box::new(Service::new(Node::open(config)?, facts, false))))
    }

    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, Failure> {
        match self {
            Self::Daemon(client) => client.call(method, params),
            Self::Here(service) => service.call(method, params, &|| false),
        }
    }
}

/// A connection to the profile's daemon: where its lock says, or where it usually is.
pub fn daemon(paths: &Paths) -> Option<Client> {
    let announced = Profile::holder(&paths.dir()).and_then(|h| h.control);
    announced.as_deref().and_then(Client::connect).or_else(|| Client::connect(&paths.socket().ok()?))
}
