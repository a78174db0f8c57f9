//! The frozen groups of `tests/vectors/groups.json`, which `tests/models/groups/check.py` resolves independently.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use super::conflicts::{Played, ROWS, people};
use super::world::{People, World};
use crate::collections::OrderedMap;
use crate::group::log::OpLog;
use crate::group::op::{Action, Field, GroupPolicy, GroupRole, Operation};
use crate::id::{NodeId, OpId};
use crate::identity::node_id;
use crate::wire::devices::Chain;

const FILE: &str = include_str!("../../../../tests/vectors/groups.json");
/// Rows of the table of conflicts that are frozen, by what the sides do.
const NAMED: [&str; 15] = [
    "A removes X, M removes Y",
    "O gives the group to A, A makes X admin",
    "X adds Z as member by word of A",
    "A makes X moderator, X removes G",
    "X leaves, A adds X as member",
    "A removes X, B renames to left",
    "A bans X, A unbans X",
    "O lets members describe, X renames to left",
    "Z joins",
    "O makes X admin, X removes Y",
    "M pins 1, M unpins 1",
    "M pins 1",
    "A lists A and A', A' removes X",
    "A lists A and A', A' renames to left",
    "A lists A and A'",
];

fn short(id: &OpId) -> String {
    id.0.iter().take(6).map(|b| format!("{b:02x}")).collect()
}

fn name(role: GroupRole) -> &'static str {
    match role {
        GroupRole::Guest => "guest",
        GroupRole::Member => "member",
        GroupRole::Moderator => "moderator",
        GroupRole::Admin => "admin",
        GroupRole::Owner => "owner",
    }
}

fn policy(policy: &GroupPolicy) -> Value {
    json!({ "invite": name(policy.invite), "post": name(policy.post), "describe": name(policy.describe), "pin": name(policy.pin) })
}

fn action(people: &People, action: &Action) -> Value {
    let n = |node: &NodeId| people.number(*node);
    match action {
        Action::Create { name, policy: p, .. } => json!(["create", name, policy(p)]),
        Action::Add { acceptance, role, invitation, .. } => {
            let signer = invitation.as_ref().map(|token| people.number(token.signer()));
            json!(["add", n(&node_id(&acceptance.key)), name(*role), signer])
        }
        Action::SetRole { member, role } => json!(["rank", n(member), name(*role)]),
        Action::Remove { members, ban, .. } => {
            json!([if *ban { "ban" } else { "remove" }, members.iter().map(n).collect::<Vec<_>>()])
        }
        Action::Unban { member } => json!(["unban", n(member)]),
        Action::Leave => json!(["leave"]),
        Action::Transfer { to } => json!(["give", n(to)]),
        Action::Describe { field: Field::Name, value } => json!(["name", value]),
        Action::Describe { field: Field::Description, value } => json!(["about", value]),
        Action::SetPolicy { policy: p } => json!(["policy", policy(p)]),
        Action::Pin { message, pinned } => json!([if *pinned { "pin" } else { "unpin" }, message.depth]),
        Action::Epoch(_) => json!(["epoch"]),
        Action::ForkProof { one, .. } => {
            let op = Operation::decode(one).unwrap();
            json!(["proof", people.number(op.author), op.seq])
        }
        Action::Devices { chain, .. } => {
            // Which of two lists stands is shown by the tests of lists: here each has its place among those of its account.
            let chain = Chain::decode(&chain.0, None).unwrap();
            let of_account = people.1.iter().filter(|other| other.keys().id() == chain.keys().id());
            let place = of_account.filter(|other| chain.rank(other).is_gt()).count();
            json!(["devices", place, chain.devices().map(|node| people.number(node)).collect::<Vec<_>>()])
        }
    }
}

fn vector(what: &str, people: &People, log: &OpLog) -> String {
    let ops: Vec<Value> = log
        .iter()
        .map(|op| {
            let parents: Vec<String> = op.parents.iter().map(short).collect();
            let author = people.number(op.author);
            json!([short(&op.id), author, op.seq, parents, op.lamport, action(people, &op.action)])
        })
        .collect();
    let state = log.state().unwrap();
    let ordered: OrderedMap<usize, _> = state.members.iter().map(|(node, m)| (people.number(*node), m)).collect();
    let members: Map<String, Value> =
        ordered.iter().map(|(n, m)| (format!("{n}"), json!([name(m.role), short(&m.stint)]))).collect();
    let devices: OrderedMap<usize, usize> =
        state.devices.iter().map(|(node, device)| (people.number(*node), people.number(device.member))).collect();
    let devices: Map<String, Value> = devices.iter().map(|(device, of)| (format!("{device}"), json!(of))).collect();
    let mut banned: Vec<usize> = state.banned.iter().map(|node| people.number(*node)).collect();
    banned.sort_unstable();
    let void: Vec<String> = log.void().iter().map(short).collect();
    let result = json!({
        "void": void,
        "owner": people.number(state.owner),
        "members": members,
        "devices": devices,
        "banned": banned,
        "name": state.name,
        "about": state.description,
        "pins": state.pins.iter().map(|message| message.depth).collect::<Vec<_>>(),
        "policy": policy(&state.policy),
    });
    format!("{}", json!({ "what": what, "ops": ops, "result": result }))
}

fn vectors() -> String {
    let mut groups = Vec::new();
    let named = people();
    for sides in NAMED {
        let row = ROWS.iter().find(|row| row[0] == sides).unwrap();
        groups.push(vector(&format!("{} | {}", row[0], row[1]), &named, &Played::new(&named, row).log));
    }
    let seven = People::new();
    for seed in 0..200 {
        let steps = [4, 10, 14, 18, 30][seed as usize % 5];
        let make = if steps == 4 { World::without_lists } else { World::new };
        let world = make(&seven, 9_000_000 + seed, steps);
        groups.push(vector(&format!("random {seed}"), &seven, &world.log));
    }
    let about = "Made by core/src/group/tests/vectors.rs, one group on a line. An operation is [id, author, number, \
                 parents, lamport, action]; docs/design/groups.md has the rules.";
    format!("{{\"about\": {},\n\"groups\": [\n{}\n]}}\n", json!(about), groups.join(",\n"))
}

// Mutation: any rule of the resolver, or the form of any operation.
#[test]
fn the_groups_are_those_that_are_frozen() {
    let text = vectors();
    if FILE != text {
        panic!("tests/vectors/groups.json is another; the one made now:\n{text}");
    }
}
