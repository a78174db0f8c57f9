//! Settings of the core by name, as scenario files give them.

use std::time::Duration;

use donp_core::Config;

use super::tree::{Item, Value};

type Set = fn(&mut Config, f64);

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s.clamp(0.0, 1e9))
}

/// Every setting that a scenario may change: its name, its unit, and how it is set.
const SETTINGS: &[(&str, &str, Set)] = &[
    ("link.keepalive", "seconds", |c, v| c.link.keepalive = seconds(v)),
    ("link.dead_after", "seconds", |c, v| c.link.dead_after = seconds(v)),
    ("link.idle_close", "seconds", |c, v| c.link.idle_close = seconds(v)),
    ("link.rekey_after", "seconds", |c, v| c.link.rekey_after = seconds(v)),
    ("link.reject_after", "seconds", |c, v| c.link.reject_after = seconds(v)),
    ("link.handshake_retry", "seconds", |c, v| c.link.handshake_retry = seconds(v)),
    ("link.handshake_timeout", "seconds", |c, v| c.link.handshake_timeout = seconds(v)),
    ("link.unverified_handshakes", "a second", |c, v| c.link.unverified_handshakes = v as u32),
    ("link.verified_handshakes", "a second", |c, v| c.link.verified_handshakes = v as u32),
    ("membership.target", "neighbours", |c, v| c.membership.target = v as usize),
    ("membership.passive", "nodes", |c, v| c.membership.passive = v as usize),
    ("membership.walk", "steps", |c, v| c.membership.walk = v as u8),
    ("membership.walk_passive", "steps", |c, v| c.membership.walk_passive = v as u8),
    ("membership.shuffle_active", "nodes", |c, v| c.membership.shuffle_active = v as usize),
    ("membership.shuffle_passive", "nodes", |c, v| c.membership.shuffle_passive = v as usize),
    ("membership.shuffle", "seconds", |c, v| c.membership.shuffle = seconds(v)),
    ("membership.shuffle_young", "seconds", |c, v| c.membership.shuffle_young = seconds(v)),
    ("membership.young_for", "seconds", |c, v| c.membership.young_for = seconds(v)),
    ("membership.promote_after", "seconds", |c, v| c.membership.promote_after = seconds(v)),
    ("membership.retry_first", "seconds", |c, v| c.membership.retry_first = seconds(v)),
    ("membership.retry_max", "seconds", |c, v| c.membership.retry_max = seconds(v)),
    ("membership.parallel", "attempts", |c, v| c.membership.parallel = v as usize),
    ("membership.ask_every", "seconds", |c, v| c.membership.ask_every = seconds(v)),
    ("delivery.retry_first", "seconds", |c, v| c.delivery.retry_first = seconds(v)),
    ("delivery.window", "messages", |c, v| c.delivery.window = v as usize),
    ("gossip.ttl", "hops", |c, v| c.gossip.ttl = v as u8),
    ("gossip.batch", "seconds", |c, v| c.gossip.batch = seconds(v)),
    ("gossip.graft_after", "seconds", |c, v| c.gossip.graft_after = seconds(v)),
    ("gossip.graft_next", "seconds", |c, v| c.gossip.graft_next = seconds(v)),
    ("gossip.optimise", "hops", |c, v| c.gossip.optimise = v as u8),
    ("gossip.keep", "seconds", |c, v| c.gossip.keep = seconds(v)),
    ("gossip.remember", "seconds", |c, v| c.gossip.remember = seconds(v)),
    ("chat.fill_after", "seconds", |c, v| c.chat.fill_after = seconds(v)),
    ("chat.compare_every", "seconds", |c, v| c.chat.compare_every = seconds(v)),
    ("chat.verify_every", "seconds", |c, v| c.chat.verify_every = seconds(v)),
    ("chat.pending_for", "seconds", |c, v| c.chat.pending_for = seconds(v)),
    ("swim.zone", "1 or 0", |c, v| c.swim.zone = v == 1.0),
    ("swim.nack", "1 or 0", |c, v| c.swim.nack = v == 1.0),
    ("swim.buddy", "1 or 0", |c, v| c.swim.buddy = v == 1.0),
    ("swim.freeze", "1 or 0", |c, v| c.swim.freeze = v == 1.0),
    ("swim.witness", "1 or 0", |c, v| c.swim.witness = v == 1.0),
    ("swim.link_evidence", "1 or 0", |c, v| c.swim.link_evidence = v == 1.0),
    ("swim.period", "seconds", |c, v| c.swim.period = seconds(v)),
    ("swim.direct_timeout", "seconds", |c, v| c.swim.direct_timeout = seconds(v)),
    ("swim.indirect", "members", |c, v| c.swim.indirect = v as usize),
    ("swim.health_max", "steps", |c, v| c.swim.health_max = v as u8),
    ("swim.alpha", "periods", |c, v| c.swim.alpha = v as u32),
    ("swim.beta", "times", |c, v| c.swim.beta = v as u32),
    ("swim.confirmations", "members", |c, v| c.swim.confirmations = v as usize),
    ("limits.zone_members", "members", |c, v| c.limits.zone_members = v as usize),
    ("limits.neighbours", "neighbours", |c, v| c.limits.neighbours = v as usize),
    ("limits.links", "links", |c, v| c.limits.links = v as usize),
    ("limits.address_book", "nodes", |c, v| c.limits.address_book = v as usize),
    ("limits.authors", "authors", |c, v| c.limits.authors = v as usize),
    ("limits.dedup_ids", "ids", |c, v| c.limits.dedup_ids = v as usize),
];

/// Applies `[config]`: keys with dots, or tables in tables.
pub(crate) fn apply(config: &mut Config, item: &Item) -> Result<(), (usize, String)> {
    set(config, "", item)?;
    config.validate().map_err(|e| (item.line, format!("[config]: {e}")))
}

fn set(config: &mut Config, name: &str, item: &Item) -> Result<(), (usize, String)> {
    if let Value::Table(entries) = &item.value {
        let dot = if name.is_empty() { "" } else { "." };
        return entries.iter().try_for_each(|(key, item)| set(config, &format!("{name}{dot}{key}"), item));
    }
    let Some((_, unit, set)) = SETTINGS.iter().find(|(n, ..)| *n == name) else {
        let allowed: Vec<&str> = SETTINGS.iter().map(|(n, ..)| *n).collect();
        return Err((item.line, format!("[config] has no key '{name}'; allowed: {}", allowed.join(", "))));
    };
    match item.value {
        Value::Number(n) if n >= 0.0 => {
            set(config, n);
            Ok(())
        }
        _ => Err((item.line, format!("{name} in [config] wants a number of {unit}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    #[test]
    fn every_setting_changes_something() {
        for (name, _, set) in SETTINGS {
            let changed = [77.0, 1.0].iter().any(|v| {
                let mut config = Config::default();
                set(&mut config, *v);
                config != Config::default()
            });
            assert!(changed, "{name}");
        }
    }

    #[test]
    fn settings_are_found_by_name_and_checked() {
        let mut config = Config::default();
        apply(&mut config, &parse("membership.target = 5\nlink = { keepalive = 2.5 }").unwrap()).unwrap();
        assert_eq!((config.membership.target, config.link.keepalive), (5, Duration::from_millis(2_500)));
        let wrong = |text: &str| apply(&mut Config::default(), &parse(text).unwrap()).unwrap_err();
        let (line, what) = wrong("membership.target = 5\nmembership.targets = 5");
        assert!(line == 2 && what.contains("no key 'membership.targets'") && what.contains("membership.target,"));
        assert!(wrong("membership.target = 99").1.contains("limits.neighbours"), "the core's own rules");
        assert!(wrong("link.keepalive = 'x'").1.contains("a number of seconds"));
    }
}
