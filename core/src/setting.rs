//! What a setting is made of: one place gives a field its documentation, type, default, name, help and rule.

use alloc::string::String;
use core::time::Duration;

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// A time, to the microsecond at least.
    Time(Duration),
    /// A whole number.
    Number(u64),
    /// On or off.
    Switch(bool),
}

/// A field of the part `P` of a configuration.
pub(crate) struct Entry<P> {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) get: fn(&P) -> SettingValue,
    /// False, and nothing changed, if the value is of another kind or does not fit.
    pub(crate) set: fn(&mut P, SettingValue) -> bool,
}

/// A type that a setting can have.
pub(crate) trait Value: Copy {
    fn to_value(self) -> SettingValue;
    fn from_value(value: SettingValue) -> Option<Self>;
}

impl Value for Duration {
    fn to_value(self) -> SettingValue {
        SettingValue::Time(self)
    }

    fn from_value(value: SettingValue) -> Option<Self> {
        if let SettingValue::Time(t) = value { Some(t) } else { None }
    }
}

impl Value for bool {
    fn to_value(self) -> SettingValue {
        SettingValue::Switch(self)
    }

    fn from_value(value: SettingValue) -> Option<Self> {
        if let SettingValue::Switch(on) = value { Some(on) } else { None }
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {$(
        impl Value for $number {
            fn to_value(self) -> SettingValue {
                SettingValue::Number(self as u64)
            }

            fn from_value(value: SettingValue) -> Option<Self> {
                if let SettingValue::Number(n) = value { n.try_into().ok() } else { None }
            }
        }
    )+};
}

numbers!(u8 u32 u64 usize);

/// A part of the configuration, each field once: documentation with the source of the default, type, default, help
/// for people, and where there is one its rule, given the part and the value. Makes the structure, its default, its
/// settings and its `validate`. Fields after `without a name` are not a person's choice and no settings.
macro_rules! settings {
    (
        $(#[$about:meta])+
        $part:ident: $Part:ident {
            $($(#[$doc:meta])+ $field:ident: $type:ty = $default:expr, $help:literal $(, $rule:expr)?;)+
        } $(without a name {
            $($(#[$host_doc:meta])+ $host:ident: $host_type:ty = $host_default:expr;)+
        })?
    ) => {
        $(#[$about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $Part {
            $($(#[$doc])+ pub $field: $type,)+
            $($($(#[$host_doc])+ pub $host: $host_type,)+)?
        }

        impl Default for $Part {
            fn default() -> Self {
                Self { $($field: $default,)+ $($($host: $host_default,)+)? }
            }
        }

        impl $Part {
            pub(crate) const SETTINGS: &'static [$crate::setting::Entry<Self>] = &[$($crate::setting::Entry {
                name: concat!(stringify!($part), ".", stringify!($field)),
                help: $help,
                get: |part| $crate::setting::Value::to_value(part.$field),
                set: |part, value| {
                    let fits = $crate::setting::Value::from_value(value);
                    fits.is_some_and(|v| {
                        part.$field = v;
                        true
                    })
                },
            }),+];

            /// The first value that breaks its rule, with its key.
            pub(crate) fn validate(&self) -> Result<(), $crate::error::ConfigError> {
                $($({
                    let rule: fn(&Self, $type) -> Result<(), alloc::string::String> = $rule;
                    let key = concat!(stringify!($part), ".", stringify!($field));
                    rule(self, self.$field).map_err(|rule| $crate::error::ConfigError { key, rule })?;
                })?)+
                Ok(())
            }
        }
    };
}

pub(crate) use settings;

fn unless(broken: bool, rule: impl FnOnce() -> String) -> Result<(), String> {
    if broken { Err(rule()) } else { Ok(()) }
}

pub(crate) fn at_least_1_ms(value: Duration) -> Result<(), String> {
    unless(value < Duration::from_millis(1), || "must be at least 1 ms".into())
}

/// What a node record can state.
pub(crate) fn whole_seconds(value: Duration) -> Result<(), String> {
    let fits = value.subsec_nanos() == 0 && (1..=u64::from(u8::MAX)).contains(&value.as_secs());
    unless(!fits, || "must be whole seconds, 1 to 255".into())
}

pub(crate) fn longer_than(value: Duration, other: Duration, name: &str) -> Result<(), String> {
    unless(value <= other, || alloc::format!("must be longer than {name}"))
}

pub(crate) fn not_below(value: Duration, other: Duration, name: &str) -> Result<(), String> {
    unless(value < other, || alloc::format!("must not be below {name}"))
}

pub(crate) fn not_zero<N: PartialEq + From<u8>>(value: N) -> Result<(), String> {
    unless(value == N::from(0), || "must not be zero".into())
}

pub(crate) fn at_least<N: PartialOrd + core::fmt::Display>(value: N, least: N) -> Result<(), String> {
    unless(value < least, || alloc::format!("must be at least {least}"))
}

pub(crate) fn at_most<N: PartialOrd + core::fmt::Display>(value: N, most: N) -> Result<(), String> {
    unless(value > most, || alloc::format!("must be at most {most}"))
}
