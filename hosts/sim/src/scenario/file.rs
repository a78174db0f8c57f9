//! A scenario file as TOML whose values know their place, so that errors can name the line.

use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, Unexpected, Visitor};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, ValueDeserializer};

/// What is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what is allowed.
    pub what: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for ScenarioError {}

/// The byte of the file where an error is, and what is wrong.
pub(super) type Wrong = (usize, String);
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// The key that gives each case a value of its own.
const BY_CASE: &str = "by_case";

pub(super) fn parse(text: &str) -> Result<Value<'_>, Wrong> {
    let wrong = |e: toml::de::Error| (at(&e), format!("this is not TOML: {}", e.message()));
    let table = DeTable::parse(text).map_err(wrong)?;
    Ok(Spanned::new(table.span(), DeValue::Table(table.into_inner())))
}

/// Reads a value, which errors about it are `of`.
pub(super) fn read<'a, T: Deserialize<'a>>(value: Value<'a>, of: &str) -> Result<T, Wrong> {
    let begin = value.span().start;
    T::deserialize(ValueDeserializer::from(value)).map_err(|e: toml::de::Error| {
        // With the keys that lead there, and without the text of the file.
        let what = e.to_string().trim_end().replace('\n', " ");
        (e.span().map_or(begin, |span| span.start), format!("{what}{of}"))
    })
}

fn at(e: &toml::de::Error) -> usize {
    e.span().map_or(0, |span| span.start)
}

/// The tree of one case: `{ by_case = [a, b, …] }` becomes the value of its turn.
pub(super) fn of_case<'a>(value: &Value<'a>, case: usize, cases: usize) -> Result<Value<'a>, Wrong> {
    let begin = value.span().start;
    let inner = match value.get_ref() {
        DeValue::Table(table) if table.len() == 1 && table.contains_key(BY_CASE) => {
            let Some(DeValue::Array(items)) = table.get(BY_CASE).map(Spanned::get_ref) else {
                return Err((begin, format!("{BY_CASE} wants a list with a value for each of the cases")));
            };
            let what = || format!("{BY_CASE} has {} values, and there are {cases} cases", items.len());
            let item = if items.len() == cases { items.get(case) } else { None };
            return of_case(item.ok_or_else(|| (begin, what()))?, case, cases);
        }
        DeValue::Table(table) => {
            let entries = table.iter().map(|(key, value)| Ok((key.clone(), of_case(value, case, cases)?)));
            DeValue::Table(entries.collect::<Result<DeTable<'_>, Wrong>>()?)
        }
        DeValue::Array(items) => {
            let items = items.iter().map(|item| of_case(item, case, cases));
            DeValue::Array(items.collect::<Result<DeArray<'_>, Wrong>>()?)
        }
        other => other.clone(),
    };
    Ok(Spanned::new(value.span(), inner))
}

/// A number between two bounds; errors say which.
struct Number {
    least: f64,
    most: f64,
    whole: bool,
}

impl Number {
    fn check<E: serde::de::Error>(&self, n: f64, found: Unexpected<'_>) -> Result<f64, E> {
        let fits = (self.least..=self.most).contains(&n) && (!self.whole || n.fract() == 0.0);
        if fits { Ok(n) } else { Err(E::invalid_value(found, self)) }
    }
}

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.whole { "whole " } else { "" };
        match self.most {
            f64::MAX => write!(f, "a {whole}number"),
            _ if self.whole => write!(f, "a whole number from {}", self.least),
            _ => write!(f, "a number from {} to {}", self.least, self.most),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<f64, E> {
        self.check(n as f64, Unexpected::Signed(n))
    }

    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<f64, E> {
        self.check(n, Unexpected::Float(n))
    }
}

pub(super) type Deserialized<'de, T, D> = Result<T, <D as serde::Deserializer<'de>>::Error>;

pub(super) fn number<'de, D: serde::Deserializer<'de>>(d: D, least: f64, most: f64) -> Deserialized<'de, f64, D> {
    d.deserialize_any(Number { least, most, whole: false })
}

pub(super) fn any_number<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, f64, D> {
    number(d, f64::MIN, f64::MAX)
}

/// A whole number from 0.
pub(super) fn count<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, usize, D> {
    Ok(d.deserialize_any(Number { least: 0.0, most: 1e12, whole: true })? as usize)
}

/// A whole number from 1.
pub(super) fn positive<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, usize, D> {
    Ok(d.deserialize_any(Number { least: 1.0, most: 1e12, whole: true })? as usize)
}

/// A share or a probability.
pub(super) fn share<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, f64, D> {
    number(d, 0.0, 1.0)
}

/// Seconds, as virtual microseconds.
pub(super) fn seconds<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, u64, D> {
    Ok((number(d, 0.0, 1e9)? * 1e6) as u64)
}

/// Milliseconds, as virtual microseconds.
pub(super) fn millis<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, u64, D> {
    Ok((number(d, 0.0, 1e12)? * 1e3) as u64)
}

/// Two numbers of milliseconds, the least and the greatest, as virtual microseconds.
fn range_ms<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, (u64, u64), D> {
    let [least, greatest] = <[f64; 2]>::deserialize(d)?;
    if 0.0 <= least && least <= greatest && greatest <= 1e9 {
        return Ok(((least * 1e3) as u64, (greatest * 1e3) as u64));
    }
    Err(D::Error::custom("[least, greatest] in milliseconds is wanted"))
}

/// What a key may hold or lack.
macro_rules! optional {
    ($($name:ident($value:ty) = $read:ident),* $(,)?) => {
        $(
            pub(super) struct $name(pub(super) $value);

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                    $read(d).map(Self)
                }
            }
        )*
    };
}

optional! {
    Count(usize) = count,
    Positive(usize) = positive,
    Share(f64) = share,
    Seconds(u64) = seconds,
    RangeMs((u64, u64)) = range_ms,
}

pub(super) fn some_positive<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, Option<usize>, D> {
    positive(d).map(Some)
}

pub(super) fn some_share<'de, D: serde::Deserializer<'de>>(d: D) -> Deserialized<'de, Option<f64>, D> {
    share(d).map(Some)
}
