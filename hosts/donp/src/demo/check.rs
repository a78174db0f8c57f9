//! The judgement: from nothing but what each node's own history and events say, is there one order,
//! complete, without repeats, that agrees with what every author had seen?

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

type Clock = BTreeMap<(String, String), u64>;

/// One message as a node's history shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: String,
    pub from: String,
    pub life: String,
    pub author_seq: u64,
    /// Counts by author and life.
    pub clock: Clock,
    pub text: String,
    pub name: String,
    pub concurrent: bool,
}

impl Seen {
    /// Reads a message as `history --json` prints it; none if a field is missing.
    pub fn read(m: &Value) -> Option<Self> {
        let entry = |e: &Value| {
            let life = (e["author"].as_str()?.to_owned(), e["life"].as_str()?.to_owned());
            Some((life, e["count"].as_u64()?))
        };
        Some(Self {
            id: m["id"].as_str()?.into(),
            from: m["author"].as_str()?.into(),
            life: m["life"].as_str()?.into(),
            author_seq: m["seq"].as_u64()?,
            clock: m["clock"].as_array()?.iter().map(entry).collect::<Option<_>>()?,
            text: m["text"].as_str()?.into(),
            name: m["name"].as_str().unwrap_or("?").into(),
            concurrent: m["concurrent_with"].as_array().is_some_and(|c| !c.is_empty()),
        })
    }

    /// Whether the author of `other` had seen this message.
    fn before(&self, other: &Self) -> bool {
        let at_most = self.clock.iter().all(|(life, n)| *n <= other.clock.get(life).copied().unwrap_or(0));
        at_most && self.clock != other.clock
    }
}

/// What one node ended up with.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub name: String,
    /// The conversation of all, in display order.
    pub all: Vec<Seen>,
    /// Private messages by the other side's name, in display order.
    pub private: BTreeMap<String, Vec<String>>,
    /// Ids of the messages that were reported as events, with repeats.
    pub told: Vec<String>,
    /// Private messages of this node that are still in its outbox.
    pub outbox: u64,
    /// Messages that this node sealed for one device; none if it was killed, since that begins the count anew.
    pub sealed: Option<u64>,
}

/// What should have happened.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Ids of all broadcasts that a node took, each with its author.
    pub broadcasts: BTreeMap<String, String>,
    /// Ids of private messages: author and addressee.
    pub private: BTreeMap<String, (String, String)>,
}

/// The judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages that a node should have and has not, summed over nodes.
    pub lost: usize,
    /// Messages that are somewhere twice, or that no node sent.
    pub duplicates: usize,
    /// Messages that no node sent.
    pub unknown: usize,
    pub orders_equal: bool,
    /// No message comes before one that its author had seen.
    pub causal: bool,
    pub undelivered: u64,
    /// Every private message of the nodes that ran throughout was sealed from end to end, by their own count.
    pub end_to_end: bool,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

impl Verdict {
    pub fn pass(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Judges `views` of the nodes against `expected`.
pub fn judge(expected: &Expected, views: &[View]) -> Verdict {
    let mut v = Verdict { orders_equal: true, causal: true, end_to_end: true, ..Verdict::default() };
    for view in views {
        let name = &view.name;
        let ids: Vec<&String> = view.all.iter().map(|m| &m.id).collect();
        let private: Vec<&String> = view.private.values().flatten().collect();
        count(&mut v, name, "the conversation of all", &ids, &expected.broadcasts.keys().collect());
        let mine = |(_, (a, b)): &(&String, &(String, String))| a == name || b == name;
        let wanted = expected.private.iter().filter(mine).map(|(id, _)| id).collect();
        count(&mut v, name, "private conversations", &private, &wanted);
        // An event for each message of others, each once.
        let others = expected.broadcasts.iter().filter(|(_, author)| *author != name).map(|(id, _)| id);
        let to_me = expected.private.iter().filter(|(_, (_, to))| to == name).map(|(id, _)| id);
        count(&mut v, name, "its events", &view.told.iter().collect::<Vec<_>>(), &others.chain(to_me).collect());
        check_order(&mut v, view);
        let sent = expected.private.values().filter(|(from, _)| from == name).count() as u64;
        if let Some(sealed) = view.sealed.filter(|sealed| *sealed < sent) {
            v.end_to_end = false;
            v.problems.push(format!("{name} sent {sent} private messages and sealed {sealed}"));
        }
        if view.outbox > 0 {
            v.undelivered += view.outbox;
            v.problems.push(format!("{name} still has {} private messages in its outbox", view.outbox));
        }
    }
    if let Some((first, rest)) = views.split_first() {
        let order = |view: &View| view.all.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
        for other in rest {
            if order(other) != order(first) {
                v.orders_equal = false;
                v.problems.push(format!("{} and {} show different orders", first.name, other.name));
            }
            for (a, b) in [(first, other), (other, first)] {
                if a.private.get(&b.name) != b.private.get(&a.name) && a.private.contains_key(&b.name) {
                    v.problems.push(format!("{} and {} show different private conversations", a.name, b.name));
                    break;
                }
            }
        }
    }
    v
}

fn count(v: &mut Verdict, name: &str, place: &str, have: &[&String], wanted: &BTreeSet<&String>) {
    let once: BTreeSet<&String> = have.iter().copied().collect();
    let lost = wanted.difference(&once).count();
    let unknown = once.difference(wanted).count();
    let twice = have.len() - once.len();
    for (n, what) in [(lost, "missing from"), (unknown, "in, though no node sent them to it,"), (twice, "twice in")] {
        if n > 0 {
            v.problems.push(format!("{name}: {n} messages are {what} {place}"));
        }
    }
    v.lost += lost;
    v.unknown += unknown;
    v.duplicates += twice;
}

/// The order shown must be one in which nothing comes before what its author had seen, and each
/// author's messages must be numbered without gaps in each of its logs.
fn check_order(v: &mut Verdict, view: &View) {
    let mut next: BTreeMap<(&String, &String), u64> = BTreeMap::new();
    for (at, m) in view.all.iter().enumerate() {
        let number = next.entry((&m.from, &m.life)).or_insert(1);
        if m.author_seq != *number {
            v.causal = false;
            v.problems.push(format!("{}: {} of {} comes as number {number}", view.name, m.author_seq, m.name));
        }
        *number = m.author_seq + 1;
        if let Some(late) = view.all.iter().skip(at + 1).find(|later| later.before(m)) {
            v.causal = false;
            v.problems.push(format!(
                "{}: '{}' is shown before '{}', which its author had seen",
                view.name, m.text, late.text
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: &str, from: &str, seq: u64, clock: &[(&str, u64)]) -> Seen {
        Seen {
            id: id.into(),
            from: from.into(),
            life: "1".into(),
            author_seq: seq,
            clock: clock.iter().map(|(a, n)| ((a.to_string(), "1".into()), *n)).collect(),
            text: id.into(),
            name: from.into(),
            concurrent: false,
        }
    }

    /// A says 1; B, who saw it, says 2; A, who did not see that, says 3. A wrote 4 to B alone.
    fn good() -> (Expected, Vec<View>) {
        let all = vec![
            seen("1", "a", 1, &[("a", 1)]),
            seen("2", "b", 1, &[("a", 1), ("b", 1)]),
            seen("3", "a", 2, &[("a", 2)]),
        ];
        let expected = Expected {
            broadcasts: [("1", "a"), ("2", "b"), ("3", "a")].map(|(i, a)| (i.into(), a.into())).into(),
            private: [("4".to_string(), ("a".to_string(), "b".to_string()))].into(),
        };
        let view = |name: &str, other: &str, told: &[&str]| View {
            name: name.into(),
            all: all.clone(),
            private: [(other.to_string(), vec!["4".to_string()])].into(),
            told: told.iter().map(ToString::to_string).collect(),
            outbox: 0,
            sealed: Some(1),
        };
        (expected, vec![view("a", "b", &["2"]), view("b", "a", &["1", "3", "4"])])
    }

    fn broken(change: impl FnOnce(&mut Expected, &mut Vec<View>)) -> Verdict {
        let (mut expected, mut views) = good();
        change(&mut expected, &mut views);
        let verdict = judge(&expected, &views);
        assert!(!verdict.pass(), "{verdict:?}");
        verdict
    }

    #[test]
    fn a_good_run_passes() {
        let (expected, views) = good();
        let verdict = judge(&expected, &views);
        assert!(verdict.pass(), "{verdict:?}");
        assert!(verdict.orders_equal && verdict.causal);
    }

    #[test]
    fn every_kind_of_mistake_fails() {
        assert_eq!(broken(|_, v| drop(v[0].all.pop())).lost, 1);
        assert_eq!(broken(|_, v| v[0].all.extend_from_within(2..)).duplicates, 1);
        assert!(!broken(|_, v| v[0].all.swap(1, 2)).orders_equal);
        assert_eq!(broken(|_, v| drop(v[1].told.pop())).lost, 1);
        assert_eq!(broken(|_, v| v[1].told.push("3".into())).duplicates, 1);
        assert_eq!(broken(|_, v| v[0].told.push("1".into())).unknown, 1);
        assert_eq!(broken(|_, v| v[1].private.clear()).lost, 1);
        assert_eq!(broken(|_, v| v[0].outbox = 2).undelivered, 2);
        assert!(!broken(|_, v| v[0].sealed = Some(0)).end_to_end);
        assert_eq!(broken(|e, _| drop(e.broadcasts.insert("5".into(), "a".into()))).lost, 4 - 1);
        assert_eq!(broken(|e, _| drop(e.broadcasts.remove("3"))).unknown, 3);
    }

    #[test]
    fn an_answer_shown_before_its_question_fails_even_if_all_agree() {
        let verdict = broken(|_, v| v.iter_mut().for_each(|v| v.all.swap(0, 1)));
        assert!(verdict.orders_equal && !verdict.causal);
    }

    #[test]
    fn an_authors_own_order_is_checked_by_number() {
        let verdict = broken(|_, v| v.iter_mut().for_each(|v| v.all[2].author_seq = 4));
        assert!(!verdict.causal);
    }

    #[test]
    fn each_log_of_an_author_has_its_own_numbers() {
        let (expected, mut views) = good();
        for view in &mut views {
            view.all[2].life = "2".into();
            view.all[2].author_seq = 1;
        }
        let verdict = judge(&expected, &views);
        assert!(verdict.pass(), "{verdict:?}");
    }

    #[test]
    fn private_conversations_must_agree_on_their_order() {
        let verdict = broken(|e, v| {
            e.private.insert("5".into(), ("b".into(), "a".into()));
            v[0].private.get_mut("b").unwrap().push("5".into());
            v[1].private.get_mut("a").unwrap().insert(0, "5".into());
            v[0].told.push("5".into());
        });
        assert_eq!(verdict.problems.len(), 1, "{verdict:?}");
    }
}
