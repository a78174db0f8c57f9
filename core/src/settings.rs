//! Every number, time and switch of the [`Config`] by name, for hosts that read them from files.

use crate::config::Config;
use crate::time::Duration;

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// A time, to the microsecond at least.
    Time(Duration),
    /// A whole number.
    Number(u64),
    /// On or off.
    Switch(bool),
}

/// One setting of a [`Config`]. [`Config::validate`] judges all of them together.
pub struct Setting {
    /// As in `link.keepalive`: the part of the configuration, a dot, the field.
    pub name: &'static str,
    /// What it does, in a line for people.
    pub help: &'static str,
    get: fn(&Config) -> SettingValue,
    set: fn(&mut Config, SettingValue) -> bool,
}

impl Setting {
    /// Every setting, by name.
    pub const ALL: &'static [Self] = SETTINGS;

    /// The setting with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|s| s.name == name)
    }

    /// What it is set to.
    pub fn get(&self, config: &Config) -> SettingValue {
        (self.get)(config)
    }

    /// Changes it.
    ///
    /// # Errors
    /// What it wants instead, if the value is of another kind or does not fit; then nothing has changed.
    pub fn set(&self, config: &mut Config, value: SettingValue) -> Result<(), &'static str> {
        let wanted = match self.get(config) {
            SettingValue::Time(_) => "is not a time",
            SettingValue::Number(_) => "is not a whole number in range",
            SettingValue::Switch(_) => "is neither true nor false",
        };
        if (self.set)(config, value) { Ok(()) } else { Err(wanted) }
    }
}

macro_rules! setting {
    ($kind:ident $part:ident.$field:ident, $help:literal) => {
        Setting {
            name: concat!(stringify!($part), ".", stringify!($field)),
            help: $help,
            get: |c| setting!(@get $kind c.$part.$field),
            set: |c, v| setting!(@set $kind v, c.$part.$field),
        }
    };
    (@get Number $place:expr) => { SettingValue::Number($place as u64) };
    (@get $kind:ident $place:expr) => { SettingValue::$kind($place) };
    (@set Number $value:expr, $place:expr) => {{
        let fits = if let SettingValue::Number(n) = $value { n.try_into().ok() } else { None };
        fits.is_some_and(|n| {
            $place = n;
            true
        })
    }};
    (@set $kind:ident $value:expr, $place:expr) => {{
        if let SettingValue::$kind(v) = $value {
            $place = v;
            true
        } else {
            false
        }
    }};
}

const SETTINGS: &[Setting] = &[
    setting!(Number chat.catch_up_rate, "Bytes a second that others may catch up on here"),
    setting!(Time chat.compare_every, "How often heights are compared with a neighbour"),
    setting!(Time chat.fill_after, "How long a missing message may take before it is asked for"),
    setting!(Time chat.pending_for, "How long a message waits for one it depends on"),
    setting!(Time chat.verify_every, "How often the whole history is compared with a neighbour"),
    setting!(Time delivery.expire, "A private message is given up after this"),
    setting!(Time delivery.retry_first, "First pause before a private message is sent again"),
    setting!(Number delivery.window, "Private messages to one peer that may be unacknowledged"),
    setting!(Time discovery.every, "How often a beacon is sent on the local network"),
    setting!(Switch discovery.visible, "Whether everybody on the local network may see this node's id: true or false"),
    setting!(Time gossip.batch, "How long ids wait to be announced together"),
    setting!(Time gossip.graft_after, "An announced broadcast is asked for when it did not come after this"),
    setting!(Time gossip.graft_next, "The next one that announced it is asked after this"),
    setting!(Time gossip.keep, "How long a broadcast is kept for neighbours that miss it"),
    setting!(Number gossip.optimise, "A neighbour so many hops nearer to the source replaces the parent"),
    setting!(Time gossip.remember, "How long a broadcast's id is remembered"),
    setting!(Number gossip.ttl, "Hops a broadcast may take"),
    setting!(Number limits.address_book, "Nodes remembered"),
    setting!(Number limits.authors, "Authors known in one conversation"),
    setting!(Number limits.broadcast_bytes, "Bytes of broadcasts kept for neighbours that miss them"),
    setting!(Number limits.compare_items, "Message ids in memory while histories are compared"),
    setting!(Number limits.conversations, "Conversations at once"),
    setting!(Number limits.dedup_ids, "Ids remembered to recognise repeats"),
    setting!(Number limits.event_bytes, "Bytes of events in memory"),
    setting!(Number limits.event_rows, "Events kept for a program that does not acknowledge them"),
    setting!(Number limits.handshakes, "Handshakes under way"),
    setting!(Number limits.lan_nodes, "Nodes told apart on the local network"),
    setting!(Number limits.link_queue_bytes, "Bytes queued to one peer"),
    setting!(Number limits.links, "Open links"),
    setting!(Number limits.messages_per_call, "Messages that one call handles before timers have their turn"),
    setting!(Number limits.neighbours, "Neighbours in the mesh"),
    setting!(Number limits.outbox_bytes, "Bytes of private messages that wait"),
    setting!(Number limits.outbox_messages, "Private messages that wait"),
    setting!(Number limits.pending_author, "Messages of one author held for one they depend on"),
    setting!(Number limits.pending_bytes, "Bytes of messages held"),
    setting!(Number limits.pending_messages, "Messages held in one conversation"),
    setting!(Number limits.reassembly_bytes, "Bytes of incomplete messages"),
    setting!(Number limits.reassembly_peer_bytes, "The same of one peer"),
    setting!(Number limits.requests, "Reads of the store under way"),
    setting!(Number limits.volatile_events, "Passing events in memory"),
    setting!(Number limits.zone_members, "Nodes that watch each other for failures"),
    setting!(Time link.dead_after, "A link is down after this without an answer"),
    setting!(Time link.handshake_retry, "A handshake is repeated after this"),
    setting!(Time link.handshake_timeout, "An attempt to connect is given up after this"),
    setting!(Time link.idle_close, "A link that nobody needs is closed after this"),
    setting!(Time link.keepalive, "A quiet link is probed after this"),
    setting!(Time link.rare_keepalive, "The same for one that only failure detection needs"),
    setting!(Time link.reject_after, "A key older than this opens nothing"),
    setting!(Time link.rekey_after, "A key is replaced after this"),
    setting!(Time link.static_key_overlap, "How long the replaced link key still answers"),
    setting!(Time link.static_key_rotation, "The link key is replaced after this"),
    setting!(Number link.unverified_handshakes, "Handshakes a second without a cookie"),
    setting!(Number link.verified_handshakes, "Handshakes a second with one"),
    setting!(Time membership.ask_every, "How often neighbours are asked for more"),
    setting!(Number membership.parallel, "Attempts to connect under way"),
    setting!(Number membership.passive, "Nodes known to replace neighbours from"),
    setting!(Time membership.promote_after, "The next candidate is tried after this without an answer"),
    setting!(Time membership.retry_first, "First pause before a bootstrap is tried again"),
    setting!(Time membership.retry_max, "Longest pause"),
    setting!(Time membership.shuffle, "How often known nodes are exchanged"),
    setting!(Number membership.shuffle_active, "Neighbours named in an exchange"),
    setting!(Number membership.shuffle_passive, "Other nodes named in one"),
    setting!(Time membership.shuffle_young, "How often while the node is young"),
    setting!(Number membership.target, "Neighbours to look for"),
    setting!(Number membership.walk, "Steps that a newcomer is walked through the network"),
    setting!(Number membership.walk_passive, "So many before the last it becomes known"),
    setting!(Time membership.young_for, "How long a node is young"),
    setting!(Number swim.alpha, "Periods that a suspect has at least"),
    setting!(Number swim.beta, "How many times as long while one member alone suspects it"),
    setting!(Switch swim.buddy, "Whether a suspect is told first: true or false"),
    setting!(Number swim.confirmations, "Others whose suspicion shortens that to the least"),
    setting!(Time swim.direct_timeout, "The least wait for an answer before others are asked to ask"),
    setting!(Time swim.forget_after, "How long members that are gone are remembered"),
    setting!(Switch swim.freeze, "Whether a node that was absent asks its suspects again first: true or false"),
    setting!(Number swim.freeze_health, "How badly a node does when its own conclusions count for nothing"),
    setting!(Number swim.health_max, "How badly it can do"),
    setting!(Number swim.indirect, "Members asked to ask"),
    setting!(Switch swim.link_evidence, "Whether who leaves a link's probes unanswered is asked next: true or false"),
    setting!(Switch swim.nack, "Whether who asked in vain for another says so: true or false"),
    setting!(Time swim.period, "Each member asks one other in this time"),
    setting!(Number swim.piggyback, "News on one message"),
    setting!(Number swim.retransmit, "How often each member passes one on"),
    setting!(Time swim.sync_every, "How often whole rosters are exchanged"),
    setting!(Switch swim.witness, "Whether who spoke to this node itself is not declared down: true or false"),
    setting!(Switch swim.zone, "Whether to watch others for failures, in a network small enough: true or false"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    /// The fields of the structures in `source`, by the part of the configuration that each structure is.
    fn fields(source: &str) -> Vec<String> {
        let mut all = Vec::new();
        let mut part = String::new();
        for line in source.lines() {
            if let Some(name) = line.strip_prefix("pub struct ").and_then(|l| l.strip_suffix(" {")) {
                part = if name == "Config" { String::new() } else { name.replace("Config", "").to_lowercase() };
            }
            let field = line.strip_prefix("    pub ").and_then(|l| l.split_once(": "));
            if let Some((field, _)) = field.filter(|(f, _)| !part.is_empty() && !f.contains(' ')) {
                all.push(format!("{part}.{field}"));
            }
        }
        all
    }

    #[test]
    fn every_field_has_a_name_and_every_name_is_in_order() {
        let mut wanted = fields(include_str!("config.rs"));
        wanted.extend(fields(include_str!("limits.rs")));
        // What a host must be made for, and not a person's choice.
        wanted.retain(|f| f != "discovery.beacons");
        wanted.sort_unstable();
        let named: Vec<&str> = SETTINGS.iter().map(|s| s.name).collect();
        assert_eq!(named, wanted);
    }

    #[test]
    fn what_is_set_is_there_and_nothing_else_changes() {
        for setting in SETTINGS {
            let usual = Config::default();
            let other = match setting.get(&usual) {
                SettingValue::Time(t) => SettingValue::Time(t + Duration::from_micros(1)),
                SettingValue::Number(n) => SettingValue::Number(n + 1),
                SettingValue::Switch(on) => SettingValue::Switch(!on),
            };
            let mut config = usual.clone();
            setting.set(&mut config, other).unwrap();
            assert_eq!(setting.get(&config), other, "{}", setting.name);
            let changed = SETTINGS.iter().filter(|s| s.get(&config) != s.get(&usual)).count();
            assert_eq!(changed, 1, "{}", setting.name);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut config = Config::default();
        let mut refused = |name: &str, value| Setting::find(name).unwrap().set(&mut config, value).unwrap_err();
        assert_eq!(refused("gossip.ttl", SettingValue::Number(256)), "is not a whole number in range");
        assert_eq!(refused("link.keepalive", SettingValue::Number(5)), "is not a time");
        assert_eq!(refused("swim.zone", SettingValue::Number(1)), "is neither true nor false");
        assert_eq!(config, Config::default());
        assert!(Setting::find("link.keepalife").is_none());
    }
}
