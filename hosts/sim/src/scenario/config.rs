//! Settings of the core by name, as scenario files give them.

use std::time::Duration;

use donp_core::{Config, Setting, SettingValue};

use super::tree::{Item, Value};

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
    let Some(setting) = Setting::find(name) else {
        let allowed: Vec<&str> = Setting::ALL.iter().map(|s| s.name).collect();
        return Err((item.line, format!("[config] has no key '{name}'; allowed: {}", allowed.join(", "))));
    };
    let unit = match setting.get(config) {
        SettingValue::Time(_) => "a number of seconds",
        SettingValue::Number(_) => "a number",
        SettingValue::Switch(_) => "1 or 0",
    };
    let wanted = || (item.line, format!("{name} in [config] wants {unit}"));
    let Value::Number(n) = item.value else { return Err(wanted()) };
    let value = match setting.get(config) {
        SettingValue::Time(_) => Duration::try_from_secs_f64(n).ok().map(SettingValue::Time),
        SettingValue::Number(_) => (n >= 0.0 && n.fract() == 0.0).then_some(SettingValue::Number(n as u64)),
        SettingValue::Switch(_) => (n == 0.0 || n == 1.0).then_some(SettingValue::Switch(n == 1.0)),
    };
    setting.set(config, value.ok_or_else(wanted)?).map_err(|why| (item.line, format!("{name} in [config] {why}")))
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    #[test]
    fn settings_are_found_by_name_and_checked() {
        let mut config = Config::default();
        apply(&mut config, &parse("membership.target = 5\nlink = { keepalive = 2.5 }").unwrap()).unwrap();
        assert_eq!((config.membership.target, config.link.keepalive), (5, Duration::from_millis(2_500)));
        let wrong = |text: &str| apply(&mut Config::default(), &parse(text).unwrap()).unwrap_err();
        let (line, what) = wrong("membership.target = 5\nmembership.targets = 5");
        assert!(line == 2 && what.contains("no key 'membership.targets'") && what.contains("membership.target,"));
        assert!(wrong("membership.target = 99").1.contains("limits.neighbours"), "the core's own rules");
        for time in ["'x'", "-1"] {
            assert!(wrong(&format!("link.keepalive = {time}")).1.contains("a number of seconds"));
        }
        assert!(wrong("swim.zone = 2").1.contains("1 or 0"));
        assert!(wrong("membership.walk = 2.5").1.contains("a number"));
        assert!(wrong("membership.walk = 300").1.contains("in range"));
    }
}
