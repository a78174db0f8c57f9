//! The third act: a private group. The removed member stays linked and reads no later message, and a newcomer gets
//! what was said before, proven by its authors' signatures.

use serde_json::{Value, json};

use super::child::{Limits, Member, history, send};
use super::story::Story;
use crate::failure::{Exit, Failure};

/// What each member says before and after the removal.
const SAID: usize = 5;

/// What the group ended up with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupVerdict {
    /// Messages of the group.
    pub messages: usize,
    /// Messages said after its removal that the removed member has.
    pub removed_member_reads: usize,
    /// Messages said before it came that the newcomer has, and those there were; none without a fourth node.
    pub newcomer: Option<(usize, usize)>,
    /// Messages that a member should have and has not.
    pub lost: usize,
    /// Members show one order.
    pub orders_equal: bool,
}

impl GroupVerdict {
    /// What is wrong, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.removed_member_reads > 0 {
            all.push(format!("the removed member reads {} messages of the group", self.removed_member_reads));
        }
        if let Some((reads, said)) = self.newcomer.filter(|(reads, said)| reads != said) {
            all.push(format!("the newcomer of the group has {reads} of {said} messages"));
        }
        if self.lost > 0 {
            all.push(format!("{} messages of the group are lost", self.lost));
        }
        if !self.orders_equal {
            all.push("members of the group show different orders".into());
        }
        all
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "messages": self.messages,
            "removed_member_reads": self.removed_member_reads,
            "newcomer_reads": self.newcomer.map(|(reads, _)| reads),
            "lost": self.lost,
            "orders_equal": self.orders_equal,
        })
    }
}

/// Texts of the group as a member's history shows them.
fn texts(member: &Member, group: &str) -> Result<Vec<String>, Failure> {
    let all = history(member, group)?;
    Ok(all.iter().filter_map(|m| m["text"].as_str().map(String::from)).collect())
}

fn field(value: &Value, key: &str) -> Result<String, Failure> {
    let found = value[key].as_str().map(String::from);
    found.ok_or_else(|| Failure::new(Exit::Bug, format!("an answer of the demo's node lacks '{key}'")))
}

fn join(member: &Member, by: &Member, group: &str, limits: &Limits) -> Result<(), Failure> {
    let invited = by.call("invite_to_group", &json!({ "group": group, "node": member.id, "uses": 1 }))?;
    let ticket = field(&invited, "ticket")?;
    limits.wait(&format!("{} to join the group", member.name), || {
        let joined = member.call("join_group", &json!({ "ticket": ticket, "timeout_ms": 1_000 }));
        match joined {
            Ok(answer) => Ok((answer["state"] == "joined").then_some(())),
            // It asked before, and was added meanwhile.
            Err(_) if texts(member, group).is_ok() && is_member(member, group)? => Ok(Some(())),
            Err(e) => Err(e),
        }
    })
}

fn is_member(member: &Member, group: &str) -> Result<bool, Failure> {
    Ok(member.call("group", &json!({ "group": group })).is_ok_and(|answer| !answer["role"].is_null()))
}

fn say(members: &[&Member], group: &str, what: &str, limits: &Limits) -> Result<Vec<String>, Failure> {
    let mut said = Vec::new();
    for n in 1..=SAID {
        for member in members {
            let text = format!("{} to the {what} ({n})", member.name);
            send(&mut member.connect()?, group, &text, limits)?;
            said.push(text);
        }
    }
    Ok(said)
}

/// Plays it with the first three nodes, and a fourth as the newcomer if there is one. None with two nodes.
pub fn play(members: &[Member], story: &Story, limits: &Limits) -> Result<Option<GroupVerdict>, Failure> {
    let [owner, friend, removed, rest @ ..] = members else { return Ok(None) };
    let made = owner.call("create_group", &json!({ "name": "team", "kind": "private", "history": "all" }))?;
    let group = field(&made, "id")?;
    join(friend, owner, &group, limits)?;
    join(removed, owner, &group, limits)?;
    story.step(&owner.name, &format!("made the private group #team with {} and {}", friend.name, removed.name))?;
    let mut said = say(&[owner, friend, removed], &group, "team", limits)?;
    let has_all = |member: &Member, said: &[String]| -> Result<bool, Failure> {
        let have = texts(member, &group)?;
        Ok(said.iter().all(|text| have.contains(text)))
    };
    for member in [owner, friend, removed] {
        limits.wait(&format!("{} to have what the group says", member.name), || {
            Ok(has_all(member, &said)?.then_some(()))
        })?;
    }
    owner.call("remove_member", &json!({ "group": group, "node": removed.id }))?;
    limits.wait("the removal to reach the others", || {
        Ok((!is_member(removed, &group)? && is_member(friend, &group)?).then_some(()))
    })?;
    story.step(&removed.name, "was removed from #team, and stays linked with the others")?;
    let secrets = say(&[owner, friend], &group, "rest of the team", limits)?;
    said.extend(secrets.iter().cloned());
    for member in [owner, friend] {
        limits.wait(&format!("{} to have what the group says", member.name), || {
            Ok(has_all(member, &said)?.then_some(()))
        })?;
    }
    let mut verdict = GroupVerdict { messages: said.len(), orders_equal: true, ..GroupVerdict::default() };
    if let Some(newcomer) = rest.first() {
        join(newcomer, owner, &group, limits)?;
        limits.wait(&format!("{} to have the history of the group", newcomer.name), || {
            Ok(has_all(newcomer, &said)?.then_some(()))
        })?;
        let have = texts(newcomer, &group)?;
        verdict.newcomer = Some((said.iter().filter(|text| have.contains(text)).count(), said.len()));
        story.step(&newcomer.name, &format!("joined #team and has its {} messages, each signed", said.len()))?;
    }
    let shown = texts(owner, &group)?;
    for member in [Some(owner), Some(friend), rest.first()].into_iter().flatten() {
        let have = texts(member, &group)?;
        verdict.lost += said.iter().filter(|text| !have.contains(text)).count();
        verdict.orders_equal &= have == shown;
    }
    let have = texts(removed, &group)?;
    verdict.removed_member_reads = secrets.iter().filter(|text| have.contains(text)).count();
    story.step(
        &removed.name,
        &format!("reads {} of the {} messages said since", verdict.removed_member_reads, secrets.len()),
    )?;
    Ok(Some(verdict))
}
