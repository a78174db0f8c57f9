//! Settings of the core by name, as scenario files give them.

use std::time::Duration;

use donp_core::{Config, Setting, SettingValue};
use toml::de::DeValue;

use super::file::{Value, Wrong};

/// Applies `[config]`: keys with dots, or tables in tables.
pub(crate) fn apply(config: &mut Config, item: &Value<'_>) -> Result<(), Wrong> {
    set(config, "", item)?;
    config.validate().map_err(|e| (item.span().start, format!("[config]: {e}")))
}

fn set(config: &mut Config, name: &str, item: &Value<'_>) -> Result<(), Wrong> {
    let place = item.span().start;
    if let DeValue::Table(entries) = item.get_ref() {
        let dot = if name.is_empty() { "" } else { "." };
        return entries.iter().try_for_each(|(key, item)| set(config, &format!("{name}{dot}{}", key.get_ref()), item));
    }
    let Some(setting) = Setting::find(name) else {
        let allowed: Vec<&str> = Setting::ALL.iter().map(|s| s.name).collect();
        return Err((place, format!("[config] has no key '{name}'; allowed: {}", allowed.join(", "))));
    };
    let unit = match setting.get(config) {
        SettingValue::Time(_) => "a number of seconds",
        SettingValue::Number(_) => "a number",
        SettingValue::Switch(_) => "1 or 0",
    };
    let wanted = || (place, format!("{name} in [config] wants {unit}"));
    let n: f64 = match item.get_ref() {
        DeValue::Integer(n) if n.radix() == 10 => n.as_str().parse().ok(),
        DeValue::Float(n) => n.as_str().parse().ok(),
        _ => None,
    }
    .ok_or_else(wanted)?;
    let value = match setting.get(config) {
        SettingValue::Time(_) => Duration::try_from_secs_f64(n).ok().map(SettingValue::Time),
        SettingValue::Number(_) => (n >= 0.0 && n.fract() == 0.0).then_some(SettingValue::Number(n as u64)),
        SettingValue::Switch(_) => (n == 0.0 || n == 1.0).then_some(SettingValue::Switch(n == 1.0)),
    };
    setting.set(config, value.ok_or_else(wanted)?).map_err(|why| (place, format!("{name} in [config] {why}")))
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::*;

    #[test]
    fn settings_are_found_by_name_and_checked() {
        let mut config = Config::default();
        apply(&mut config, &parse("membership.target = 5\nlink = { keepalive = 2.5 }").unwrap()).unwrap();
        assert_eq!((config.membership.target, config.link.keepalive), (5, Duration::from_millis(2_500)));
        let wrong = |text: &str| apply(&mut Config::default(), &parse(text).unwrap()).unwrap_err();
        let (at, what) = wrong("membership.target = 5\nmembership.targets = 5");
        assert!(at > 22 && what.contains("no key 'membership.targets'") && what.contains("membership.target,"));
        assert!(wrong("membership.target = 99").1.contains("limits.neighbours"), "the core's own rules");
        for time in ["'x'", "-1"] {
            assert!(wrong(&format!("link.keepalive = {time}")).1.contains("a number of seconds"));
        }
        assert!(wrong("swim.zone = 2").1.contains("1 or 0"));
        assert!(wrong("membership.walk = 2.5").1.contains("a number"));
        assert!(wrong("membership.walk = 300").1.contains("in range"));
    }
}
