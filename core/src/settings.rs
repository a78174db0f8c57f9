//! Every number, time and switch of the [`Config`] by name, for hosts that read them from files.

use core::fmt;

use crate::config::{
    ChatConfig, Config, DeliveryConfig, DiscoveryConfig, FileConfig, GossipConfig, LinkConfig, MembershipConfig,
    SwimConfig,
};
use crate::limits::Limits;
use crate::setting::{Entry, SettingValue};

/// One setting of a [`Config`]. [`Config::validate`] judges all of them together.
#[derive(Clone, Copy)]
pub struct Setting {
    /// As in `link.keepalive`: the part of the configuration, a dot, the field.
    pub name: &'static str,
    /// What it does, in a line for people.
    pub help: &'static str,
    place: Place,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Gives `Setting` its places from the parts of a configuration.
macro_rules! parts {
    ($($part:ident: $Part:ident($Type:ident),)+) => {
        /// The part of the configuration that holds a setting, and its place there.
        #[derive(Clone, Copy)]
        enum Place {
            $($Part(&'static Entry<$Type>),)+
        }

        const COUNT: usize = 0 $(+ $Type::SETTINGS.len())+;

        /// The settings of all parts, sorted by name when this is compiled.
        #[expect(clippy::indexing_slicing, reason = "a panic here is an error of the build")]
        const SETTINGS: [Setting; COUNT] = {
            let first = &ChatConfig::SETTINGS[0];
            let mut all = [Setting { name: first.name, help: first.help, place: Place::Chat(first) }; COUNT];
            let mut at = 0;
            $(
                let mut n = 0;
                while n < $Type::SETTINGS.len() {
                    let entry = &$Type::SETTINGS[n];
                    let mut to = at;
                    // Those with larger names move up by one.
                    while to > 0 && before(entry.name.as_bytes(), all[to - 1].name.as_bytes()) {
                        all[to] = all[to - 1];
                        to -= 1;
                    }
                    all[to] = Setting { name: entry.name, help: entry.help, place: Place::$Part(entry) };
                    at += 1;
                    n += 1;
                }
            )+
            all
        };

        impl Setting {
            /// Every setting, by name.
            pub const ALL: &'static [Self] = &SETTINGS;

            /// Its value.
            pub fn get(&self, config: &Config) -> SettingValue {
                match self.place {
                    $(Place::$Part(entry) => (entry.get)(&config.$part),)+
                }
            }

            fn put(&self, config: &mut Config, value: SettingValue) -> bool {
                match self.place {
                    $(Place::$Part(entry) => (entry.set)(&mut config.$part, value),)+
                }
            }
        }
    };
}

parts! {
    chat: Chat(ChatConfig),
    file: File(FileConfig),
    delivery: Delivery(DeliveryConfig),
    discovery: Discovery(DiscoveryConfig),
    gossip: Gossip(GossipConfig),
    limits: Limits(Limits),
    link: Link(LinkConfig),
    membership: Membership(MembershipConfig),
    swim: Swim(SwimConfig),
}

/// Whether `a` sorts before `b`, as `a < b`, which a constant cannot ask.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a panic here is an error of the build")]
const fn before(a: &[u8], b: &[u8]) -> bool {
    let mut n = 0;
    while n < a.len() && n < b.len() {
        if a[n] != b[n] {
            return a[n] < b[n];
        }
        n += 1;
    }
    a.len() < b.len()
}

impl Setting {
    /// The setting with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|s| s.name == name)
    }

    /// Changes it.
    ///
    /// # Errors
    /// The kind of value that it takes, if the value is of another kind or does not fit; then nothing has changed.
    pub fn set(&self, config: &mut Config, value: SettingValue) -> Result<(), &'static str> {
        let wanted = match self.get(config) {
            SettingValue::Time(_) => "is not a time",
            SettingValue::Number(_) => "is not a whole number in range",
            SettingValue::Switch(_) => "is neither true nor false",
        };
        if self.put(config, value) { Ok(()) } else { Err(wanted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    /// The fields of the parts of a configuration, as `derive(Debug)` lists them.
    fn fields() -> Vec<String> {
        let mut all = Vec::new();
        let mut part = String::new();
        for line in format!("{:#?}", Config::default()).lines() {
            let Some((field, _)) = line.split_once(": ") else { continue };
            match (field.strip_prefix("        "), line.ends_with(" {")) {
                (Some(field), false) if !part.is_empty() => all.push(format!("{part}.{field}")),
                (None, true) => part = field.trim().into(),
                _ => {}
            }
        }
        all
    }

    #[test]
    fn every_field_has_a_name_and_every_name_is_in_order() {
        let mut wanted = fields();
        // What a host must be made for, and not a person's choice.
        wanted.retain(|f| f != "discovery.beacons");
        wanted.sort_unstable();
        let named: Vec<&str> = SETTINGS.iter().map(|s| s.name).collect();
        assert_eq!(named, wanted);
        assert!(named.len() > 80, "the fields were not found");
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
