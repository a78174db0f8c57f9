//! A TOML file as a tree that remembers its lines, and a reader that says what is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use toml::de::{DeTable, DeValue};

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

/// A value and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Number(f64),
    Bool(bool),
    List(Vec<Item>),
    /// In the order of the file.
    Table(Vec<(String, Item)>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Where errors are, and what is complained about.
type Found<T> = Result<T, (usize, String)>;

/// The key that gives each case a value of its own.
const BY_CASE: &str = "by_case";

pub(crate) fn parse(text: &str) -> Found<Item> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|e| {
        let line = e.span().map_or(1, |span| line_of(span.start));
        (line, format!("this is not TOML: {}", e.message()))
    })?;
    Ok(Item { line: 1, value: from_table(table.get_ref(), &line_of)? })
}

fn from_table(table: &DeTable<'_>, line_of: &dyn Fn(usize) -> usize) -> Found<Value> {
    let mut out = Vec::new();
    for (key, value) in table {
        let line = line_of(key.span().start);
        out.push((key.get_ref().to_string(), from_value(value.get_ref(), line, line_of)?));
    }
    out.sort_by_key(|(_, item)| item.line);
    Ok(Value::Table(out))
}

fn from_value(value: &DeValue<'_>, line: usize, line_of: &dyn Fn(usize) -> usize) -> Found<Item> {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(n) => {
            let number = i64::from_str_radix(n.as_str(), n.radix());
            Value::Number(number.map_err(|_| (line, format!("{} is too large", n.as_str())))? as f64)
        }
        DeValue::Float(f) => {
            let number = f.as_str().parse::<f64>().ok().filter(|f| f.is_finite());
            Value::Number(number.ok_or_else(|| (line, format!("{} is not a finite number", f.as_str())))?)
        }
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Array(items) => {
            let items = items.iter().map(|i| from_value(i.get_ref(), line_of(i.span().start), line_of));
            Value::List(items.collect::<Found<_>>()?)
        }
        DeValue::Table(table) => from_table(table, line_of)?,
        DeValue::Datetime(_) => return Err((line, "dates mean nothing here".into())),
    };
    Ok(Item { line, value })
}

impl Item {
    /// The tree of one case: `{ by_case = [a, b, …] }` becomes the value of its turn.
    pub(crate) fn of_case(&self, case: usize, cases: usize) -> Found<Self> {
        let value = match &self.value {
            Value::Table(entries) if entries.len() == 1 && entries[0].0 == BY_CASE => {
                let Value::List(items) = &entries[0].1.value else {
                    return Err((self.line, format!("{BY_CASE} wants a list with a value for each of the cases")));
                };
                if items.len() != cases {
                    let what = format!("{BY_CASE} has {} values, and there are {cases} cases", items.len());
                    return Err((self.line, what));
                }
                return items[case].of_case(case, cases);
            }
            Value::Table(entries) => {
                let entries = entries.iter().map(|(k, v)| Ok((k.clone(), v.of_case(case, cases)?)));
                Value::Table(entries.collect::<Found<_>>()?)
            }
            Value::List(items) => Value::List(items.iter().map(|i| i.of_case(case, cases)).collect::<Found<_>>()?),
            other => other.clone(),
        };
        Ok(Self { line: self.line, value })
    }
}

/// Reads the keys of one table and complains about those that nobody asked for.
pub(crate) struct Reader<'a> {
    /// What the table is called in messages: `[nodes]`.
    name: String,
    pub(crate) line: usize,
    entries: &'a [(String, Item)],
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(name: impl Into<String>, item: &'a Item) -> Found<Self> {
        let name = name.into();
        match &item.value {
            Value::Table(entries) => Ok(Self { name, line: item.line, entries, asked: RefCell::default() }),
            other => Err((item.line, format!("{name} is {}; a table is wanted", other.kind()))),
        }
    }

    pub(crate) fn get(&self, key: &'static str) -> Option<&'a Item> {
        self.asked.borrow_mut().insert(key);
        self.entries.iter().find(|(k, _)| k == key).map(|(_, item)| item)
    }

    fn wrong<T>(&self, key: &str, item: &Item, wanted: &str) -> Found<T> {
        let shown = match &item.value {
            Value::Text(text) => format!("'{text}'"),
            Value::Number(n) => n.to_string(),
            other => other.kind().to_owned(),
        };
        Err((item.line, format!("{key} in {} is {shown}; {wanted}", self.name)))
    }

    pub(crate) fn number(&self, key: &'static str, least: f64, most: f64) -> Found<Option<f64>> {
        let Some(item) = self.get(key) else { return Ok(None) };
        match item.value {
            Value::Number(n) if (least..=most).contains(&n) => Ok(Some(n)),
            _ if most == f64::MAX => self.wrong(key, item, &format!("a number from {least} is wanted")),
            _ => self.wrong(key, item, &format!("a number from {least} to {most} is wanted")),
        }
    }

    pub(crate) fn share(&self, key: &'static str) -> Found<Option<f64>> {
        self.number(key, 0.0, 1.0)
    }

    pub(crate) fn count(&self, key: &'static str, least: usize) -> Found<Option<usize>> {
        let Some(item) = self.get(key) else { return Ok(None) };
        match item.value {
            Value::Number(n) if n.fract() == 0.0 && n >= least as f64 && n <= 1e12 => Ok(Some(n as usize)),
            _ => self.wrong(key, item, &format!("a whole number from {least} is wanted")),
        }
    }

    /// Seconds, as virtual microseconds.
    pub(crate) fn seconds(&self, key: &'static str) -> Found<Option<u64>> {
        Ok(self.number(key, 0.0, 1e9)?.map(|s| (s * 1e6) as u64))
    }

    /// Milliseconds, as virtual microseconds.
    pub(crate) fn millis(&self, key: &'static str) -> Found<Option<u64>> {
        Ok(self.number(key, 0.0, 1e12)?.map(|ms| (ms * 1e3) as u64))
    }

    pub(crate) fn flag(&self, key: &'static str) -> Found<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(Item { value: Value::Bool(b), .. }) => Ok(*b),
            Some(item) => self.wrong(key, item, "true or false is wanted"),
        }
    }

    pub(crate) fn text(&self, key: &'static str) -> Found<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Item { value: Value::Text(text), .. }) => Ok(Some(text)),
            Some(item) => self.wrong(key, item, "a text is wanted"),
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Found<Option<T>> {
        let Some(item) = self.get(key) else { return Ok(None) };
        let found = match &item.value {
            Value::Text(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        match found {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => self.wrong(key, item, &format!("one of {} is wanted", allowed.join(", "))),
        }
    }

    /// Two numbers of milliseconds, the least and the greatest, as virtual microseconds.
    pub(crate) fn range_ms(&self, key: &'static str) -> Found<Option<(u64, u64)>> {
        let Some(item) = self.get(key) else { return Ok(None) };
        if let Value::List(items) = &item.value
            && let [Item { value: Value::Number(a), .. }, Item { value: Value::Number(b), .. }] = items.as_slice()
            && 0.0 <= *a
            && a <= b
            && *b <= 1e9
        {
            return Ok(Some(((a * 1e3) as u64, (b * 1e3) as u64)));
        }
        self.wrong(key, item, "[least, greatest] in milliseconds is wanted")
    }

    pub(crate) fn list(&self, key: &'static str) -> Found<&'a [Item]> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Item { value: Value::List(items), .. }) => Ok(items),
            Some(item) => self.wrong(key, item, "a list is wanted"),
        }
    }

    pub(crate) fn needed<T>(&self, key: &str, value: Option<T>) -> Found<T> {
        value.ok_or_else(|| (self.line, format!("{} lacks {key}", self.name)))
    }

    /// Complains about keys that nobody asked for.
    pub(crate) fn finish(self) -> Found<()> {
        let asked = self.asked.borrow();
        match self.entries.iter().find(|(key, _)| !asked.contains(key.as_str())) {
            None => Ok(()),
            Some((key, item)) => {
                let allowed: Vec<&str> = asked.iter().copied().collect();
                Err((item.line, format!("{} has no key '{key}'; allowed: {}", self.name, allowed.join(", "))))
            }
        }
    }
}
