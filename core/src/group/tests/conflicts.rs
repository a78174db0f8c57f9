//! The table of docs/design/groups.md §3, row by row: two sides act apart, then they meet.
//!
//! The rows are read as they stand in the page. O is the owner, A and B are admins, M and N moderators, X and Y members,
//! G is a guest; Z is no member yet.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::naive::Naive;
use super::world::{People, add, create, forks, heads, log_of, operation, second};
use crate::collections::{OrderedMap, OrderedSet};
use crate::group::log::{OpLog, Verdict};
use crate::group::op::{Action, Field, GroupKind, GroupPolicy, GroupRole, Operation};
use crate::id::{MessageId, OpId};
use crate::identity::Identity;
use crate::wire::Blob;

const NAMES: [&str; 9] = ["O", "A", "B", "M", "N", "X", "Y", "G", "Z"];
const BEFORE: [&str; 9] = ["owner", "admin", "admin", "moderator", "moderator", "member", "member", "guest", "out"];
const ROLES: [&str; 5] = ["guest", "member", "moderator", "admin", "owner"];
const PAGE: &str = include_str!("../../../../docs/design/groups.md");

/// Left, right, what is after they meet, and why.
pub(super) const ROWS: &[[&str; 4]] = &[
    ["O removes A", "A renames to right", "A out, name before", "a higher rank removed its author"],
    ["O removes A", "A adds Z as member", "A out", "the same: Z never came"],
    ["O removes A", "A removes X", "A out", "the same: X stays"],
    ["O removes A", "A bans X", "A out", "the same"],
    ["O removes A", "A makes X moderator", "A out", "the same"],
    ["O makes A member", "A removes X", "A member", "lowered below the rank that it acted with"],
    ["O makes A moderator", "A removes X", "A moderator", "the same, though a moderator may remove X"],
    ["A removes M", "M removes X", "M out", "so for all ranks"],
    ["A makes M member", "M removes X", "M member", "so for all ranks"],
    ["A removes M", "M leaves", "M out", "both say so"],
    ["A removes X", "B removes X", "X out", "both say so"],
    ["A removes X", "B makes X moderator", "X out", "equals: the most restrictive"],
    ["A makes X guest", "B makes X moderator", "X guest", "equals: the most restrictive"],
    ["A removes X", "O makes X moderator", "X moderator", "the higher rank"],
    ["A removes X", "M removes X", "X out", "both say so"],
    ["A makes X moderator", "M removes X", "X moderator", "the higher rank"],
    ["A makes X guest", "M removes X", "X guest", "the higher rank"],
    ["A removes X", "B removes X, B adds X as member", "X out", "equals: the most restrictive"],
    ["A removes X", "B removes X, B sees left, B adds X as member", "X member", "B knew of both removals"],
    ["A removes X", "O removes X, O adds X as guest", "X guest", "the higher rank"],
    ["M removes X", "A removes X, A adds X as member", "X member", "the higher rank"],
    ["A removes X, B adds X as guest", "M removes X", "X guest", "the higher rank"],
    ["X leaves", "O makes X admin", "X out", "leaving is above every rank"],
    ["X leaves", "A removes X, A adds X as member", "X out", "leaving is above every rank"],
    ["X leaves", "A sees left, A adds X as member", "X member", "A knew that X had left"],
    ["X leaves, A adds X as member", "M removes X", "X member", "M did not know what A knew"],
    ["X leaves", "A bans X", "X out, X banned", "leaving is no way out of a ban"],
    ["X leaves, A adds X as member", "B bans X", "X out, X banned", "equals: the most restrictive"],
    ["A bans X", "B removes X", "X out, X banned", "equals: the most restrictive"],
    ["A bans X", "B removes X, B adds X as member", "X out, X banned", "equals: the most restrictive"],
    ["A bans X", "O removes X, O adds X as member", "X member", "the higher rank"],
    ["A bans X", "O makes X moderator", "X moderator", "the higher rank"],
    ["A bans X, A unbans X", "B bans X", "X out, X banned", "A did not know of B's ban"],
    ["A bans X, A unbans X, A adds X as member", "B renames to right", "X member, name right", "no conflict"],
    ["A adds Z as member", "B adds Z as guest", "Z guest", "equals: the most restrictive"],
    ["A adds Z as member", "B bans Z", "Z out, Z banned", "equals: the most restrictive"],
    ["A adds Z as member", "O bans Z", "Z out, Z banned", "the higher rank"],
    ["X adds Z as member by word of A", "O removes A", "A out", "the signer of the invitation counts"],
    ["X adds Z as member by word of A", "O makes A member", "A member", "the signer of the invitation counts"],
    ["X adds Z as member by word of A", "B removes X", "X out, Z member", "X only brought the invitation"],
    ["A adds Z as moderator, Z removes X", "O removes A", "A out", "it rests on what is void"],
    ["A makes X moderator, X removes G", "O removes A", "A out", "it rests on what is void"],
    ["O removes A", "A makes N guest, M removes N", "A out", "M could remove N only by what is void"],
    [
        "O makes X admin, X removes Y",
        "A removes X",
        "X admin, Y out",
        "a lower word does not count; an equal rank voids nothing",
    ],
    ["A renames to left", "B renames to right", "the later name", "the last by (lamport, id)"],
    ["A renames to other, A renames to left", "B renames to right", "name left", "the last by (lamport, id)"],
    ["O renames to left", "A renames to other, A renames to right", "name right", "rank does not count for names"],
    [
        "O removes A, O renames to left",
        "A renames to other, A renames to right, A renames to last",
        "A out, name left",
        "void names do not count",
    ],
    ["O gives the group to A", "B removes X", "A owner, O admin, X out", "no conflict"],
    ["O gives the group to X", "A removes X", "X owner, O admin", "the higher rank"],
    ["O gives the group to X", "X leaves", "X owner, O admin", "a group has an owner: X leaves by giving it away"],
    ["O gives the group to A, A removes B", "B removes X", "A owner, O admin, B out", "A acts as owner"],
    [
        "O gives the group to A",
        "M removes X, O gives the group to B",
        "A owner, O admin, X out",
        "an owner's fork: the first stands",
    ],
    [
        "O gives the group to A, A makes X admin",
        "M removes Y, O gives the group to B, B makes X guest",
        "A owner, O admin, X admin, Y out",
        "what rests on the other is void",
    ],
    ["O removes A", "M removes Y, O gives the group to A", "A out, Y out", "an owner's fork: the first stands"],
    ["O lets members describe", "A renames to right", "name right", "no conflict"],
    [
        "O lets members describe, X renames to left",
        "A removes X",
        "X out, name before",
        "a higher rank removed its author",
    ],
    [
        "M removes Y, O lets members describe, X renames to left",
        "O renames to right",
        "Y out, name right",
        "an owner's fork: the policy that X relied on is void",
    ],
    ["O lets owners describe", "A renames to right", "name right", "in its past A might"],
    [
        "A renames to left",
        "A removes X, M sees left, M proves a fork of A",
        "A guest, name before",
        "no member built on either branch",
    ],
    [
        "A removes X, B renames to left",
        "A removes Y, M sees left, M proves a fork of A",
        "A guest, X out, name left",
        "B built on one branch",
    ],
    [
        "A removes X, M removes Y",
        "A renames to right, N sees left, N proves a fork of A",
        "A guest, Y out, name before",
        "M is of a lower rank than what it built on",
    ],
    [
        "A renames to left",
        "A removes X, M sees left, M proves a fork of A, O makes A admin",
        "A admin, name before",
        "a higher rank forgives; what was void stays so",
    ],
    ["Z joins", "A bans Z", "Z out, Z banned", "PUBLIC: no word counts against a rank"],
    ["X leaves, X joins", "A removes X", "X out", "PUBLIC: a higher rank removed its author"],
    ["X leaves, X joins", "A renames to right", "X member, name right", "PUBLIC: no conflict"],
    ["A removes M", "M pins 1", "M out", "a higher rank removed its author"],
    ["M pins 1", "N pins 1, N pins 2", "1 pinned, 2 pinned", "no conflict"],
    ["M pins 1, M unpins 1", "N pins 1", "name before", "the last by (lamport, id)"],
    ["A lists A and A', A' removes X", "A renames to right", "X out, name right", "A' acts as A"],
    ["A lists A and A', A' removes X", "O removes A", "A out", "a higher rank removed its member"],
    ["A lists A and A', A' renames to left", "A lists A alone", "name before", "a newer list is without A'"],
    ["A lists A and A', A' leaves", "A lists A alone", "A admin", "the same: a removed device takes no one out"],
    [
        "A lists A and A', A renames to left, A' removes X",
        "A removes Y, M sees left, M proves a fork of A",
        "A guest, X out, name before",
        "a second device of A is no other member",
    ],
    ["A lists A and A'", "O removes A, O adds A as guest", "A guest", "a list is of one membership"],
];

fn person(name: &str) -> usize {
    let second = (name == "A'").then_some(NAMES.len());
    second.or_else(|| NAMES.iter().position(|n| *n == name)).unwrap_or_else(|| panic!("no node is called {name}"))
}

fn role(name: &str) -> GroupRole {
    let roles = [GroupRole::Guest, GroupRole::Member, GroupRole::Moderator, GroupRole::Admin, GroupRole::Owner];
    roles[ROLES.iter().position(|n| *n == name).unwrap_or_else(|| panic!("no role {name}"))]
}

pub(super) fn people() -> People {
    let mut people: Vec<Identity> = (1..=NAMES.len() as u8).map(crate::identity::tests::identity).collect();
    let (device, lists) = second(&people[1], 21);
    people.push(device);
    People(people, lists)
}

/// One row, played.
pub(super) struct Played<'a> {
    people: &'a People,
    pub(super) log: OpLog,
    count: u64,
}

impl<'a> Played<'a> {
    pub(super) fn new(people: &'a People, [left, right, ..]: &[&str; 4]) -> Self {
        let kind = if left.contains("joins") { GroupKind::Public } else { GroupKind::Private };
        let log = OpLog::new(create(people, 0, kind, GroupPolicy::default(), 1)).unwrap();
        let mut this = Self { people, log, count: 0 };
        for (who, role) in [(1, 3), (2, 3), (3, 2), (4, 2), (5, 1), (6, 1), (7, 0)] {
            let at = this.log.heads();
            let to = ROLES[role];
            this.step(&format!("O adds {} as {to}", NAMES[who]), &mut OrderedSet::from_iter(at), &[]);
        }
        let base: OrderedSet<OpId> = this.log.heads().into_iter().collect();
        // A side that looks at the other comes second.
        let looks_first = left.contains(" sees ");
        let (first, second) = if looks_first { (right, left) } else { (left, right) };
        let mut one = base.clone();
        first.split(", ").for_each(|sentence| this.step(sentence, &mut one, &[]));
        let met: Vec<OpId> = one.iter().copied().collect();
        let mut other = base;
        second.split(", ").for_each(|sentence| this.step(sentence, &mut other, &met));
        this
    }

    /// One of the lists of A's account.
    fn list(&self, n: usize) -> Action {
        Action::Devices { chain: Blob(self.people.1[n].encode()), epoch: None }
    }

    /// What a sentence says is done after `side`, which then is after it.
    fn step(&mut self, sentence: &str, side: &mut OrderedSet<OpId>, met: &[OpId]) {
        let words: Vec<&str> = sentence.split(' ').collect();
        let id = |name: &str| self.people.id(person(name));
        self.count += 1;
        let action = match words[1..] {
            ["sees", _] => {
                side.extend(met.iter().copied());
                return;
            }
            ["removes", who] => Action::Remove { members: alloc::vec![id(who)], ban: false, epoch: None },
            ["bans", who] => Action::Remove { members: alloc::vec![id(who)], ban: true, epoch: None },
            ["unbans", who] => Action::Unban { member: id(who) },
            ["leaves"] => Action::Leave,
            ["joins"] => add(self.people, &self.log, person(words[0]), GroupRole::Member, None, self.count),
            ["makes", who, to] => Action::SetRole { member: id(who), role: role(to) },
            ["adds", who, "as", to] => add(self.people, &self.log, person(who), role(to), None, self.count),
            ["adds", who, "as", to, "by", "word", "of", signer] => {
                add(self.people, &self.log, person(who), role(to), Some(person(signer)), self.count)
            }
            ["gives", "the", "group", "to", to] => Action::Transfer { to: id(to) },
            ["renames", "to", name] => Action::Describe { field: Field::Name, value: name.into() },
            ["pins", n] => Action::Pin { message: MessageId::first_of(n.parse().unwrap()), pinned: true },
            ["unpins", n] => Action::Pin { message: MessageId::first_of(n.parse().unwrap()), pinned: false },
            ["lists", "A", "and", "A'"] => self.list(0),
            ["lists", "A", "alone"] => self.list(1),
            ["lets", who, "describe"] => {
                let describe = role(who.trim_end_matches('s'));
                Action::SetPolicy { policy: GroupPolicy { describe, ..GroupPolicy::default() } }
            }
            ["proves", "a", "fork", "of", who] => {
                let found = forks(&self.log);
                let (one, other) = found.iter().find(|(one, _)| one.author == id(who)).unwrap();
                Action::ForkProof { one: one.bytes.clone(), other: other.bytes.clone() }
            }
            _ => panic!("what is '{sentence}'?"),
        };
        let op = operation(self.people, &self.log, person(words[0]), &heads(&self.log, side), action);
        assert_eq!(self.log.judge(&op), Verdict::Fits, "{sentence}");
        *side = OrderedSet::from_iter([op.id]);
        assert!(self.log.insert(op));
    }

    /// What is after they meet, in the words of the table: the changed ranks, the banned nodes, and the name.
    fn after(&self) -> OrderedSet<String> {
        let state = self.log.state().unwrap();
        let mut all = OrderedSet::new();
        for (n, name) in NAMES.iter().enumerate() {
            let node = self.people.id(n);
            let now = state.role(node).map_or("out", |role| ROLES[super::naive::number(role) as usize - 1]);
            if now != BEFORE[n] {
                all.insert(format!("{name} {now}"));
            }
            if state.banned.contains(&node) {
                all.insert(format!("{name} banned"));
            }
        }
        if state.name != "before" {
            all.insert(format!("name {}", state.name));
        }
        for pinned in &state.pins {
            all.insert(format!("{} pinned", pinned.depth));
        }
        all
    }

    /// The names that were given, the last by (lamport, id) at the end.
    fn names(&self) -> Vec<&str> {
        let names = self.log.iter().filter_map(|op| match &op.action {
            Action::Describe { field: Field::Name, value } => Some(value.as_str()),
            _ => None,
        });
        names.collect()
    }
}

/// Mutation: any rule of the resolver left out changes several rows.
#[test]
fn every_row_comes_out_as_the_page_says() {
    let people = people();
    assert!(ROWS.len() >= 40);
    let mut wrong = Vec::new();
    for row in ROWS {
        let played = Played::new(&people, row);
        let mut expected: OrderedSet<String> = OrderedSet::new();
        for what in row[2].split(", ") {
            match what {
                "the later name" => {
                    expected.insert(format!("name {}", played.names().last().unwrap()));
                }
                "name before" => {}
                // The former rank is stated for clarity.
                what if NAMES.iter().zip(BEFORE).any(|(name, before)| what == format!("{name} {before}")) => {}
                what => {
                    expected.insert(what.into());
                }
            }
        }
        let found = played.after();
        if found != expected {
            wrong.push(format!("{row:?}: {found:?}"));
        }
        let ops: Vec<Operation> = played.log.iter().cloned().collect();
        let outcome = Naive::new(&ops).everything();
        let state = played.log.state().unwrap();
        let ranks: OrderedMap<_, _> =
            state.members.iter().map(|(node, m)| (*node, (super::naive::number(m.role), m.stint))).collect();
        assert_eq!((ranks, &state.banned, &state.name), (outcome.members, &outcome.banned, &outcome.name), "{row:?}");
        assert_eq!(log_of(ops).state(), Some(state), "{row:?}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Mutation: a row of the page is changed, left out, or added.
#[test]
fn the_page_has_these_rows_and_no_others() {
    let table = PAGE.split("| left side | right side |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().skip(2).map(|l| l.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let expected: Vec<Vec<&str>> = ROWS.iter().map(|row| row.to_vec()).collect();
    let text = || ROWS.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect::<String>();
    assert!(rows == expected, "the table of docs/design/groups.md is another; the one of the test:\n{}", text());
}
