//! The frozen vectors of `tests/vectors/group-keys.json`, which `tests/models/groups/keys.py` checks independently.

use alloc::format;
use alloc::string::String;

use serde_json::{Value, json};

use super::*;
use crate::group::keys::{Order, make_order};

const FILE: &str = include_str!("../../../../../tests/vectors/group-keys.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Ids that look like ids.
fn member(n: u8) -> NodeId {
    NodeId(blake3::derive_key("DONP v1 test member", &[n]))
}

fn vectors() -> Value {
    let group = GroupId(blake3::derive_key("DONP v1 test group", b"group"));
    let op = OpId(blake3::derive_key("DONP v1 test operation", b"epoch"));
    let add = OpId(blake3::derive_key("DONP v1 test operation", b"add"));
    let secret = Secret::new(blake3::derive_key("DONP v1 test secret", b"epoch"));
    let mut members: Vec<NodeId> = (0..21).map(member).collect();
    members.sort_unstable();
    let (author, away) = (members[4], [members[0], members[9], members[17]]);
    let commitment = commitment(&secret, group);
    let indices = make_order(&commitment, &members, author, |node| away.contains(&node)).unwrap();
    let order = Order::new(&indices, &members, author).unwrap();
    let feeding: Vec<Value> = core::iter::once(None)
        .chain((0..order.len()).map(Some))
        .map(|p| json!(order.children(p).collect::<Vec<_>>()))
        .collect();
    let at = Place { group, op };
    let make = |me: NodeId| Epoch::new(group, op, members.clone(), me, &secret, WALL).unwrap();
    let chains: Vec<String> = members.iter().map(|m| hex(&first_of_chain(&secret, at, m))).collect();
    let (mut one, mut other, mut reader) = (make(members[2]), make(members[20]), make(author));
    let mut messages = Vec::new();
    let mut say = |epoch: &mut Epoch, nonce: u8, text: &[u8]| {
        let nonce = core::array::from_fn(|n| nonce.wrapping_add(n as u8));
        let message = epoch.seal_with(nonce, &run(text)).unwrap();
        let Opened { sender, number, body } = reader.open(&message, WALL).unwrap();
        messages.push(json!({
            "sender": hex(&sender.0), "number": number, "run": hex(&body), "message": hex(&message),
        }));
    };
    say(&mut one, 0x10, b"first");
    say(&mut other, 0x40, b"");
    say(&mut one, 0x70, b"second");
    let mut holders = members.clone();
    holders.push(member(21));
    holders.sort_unstable();
    let (after, successor) = one.successor(add.0, add, holders.clone(), members[2], WALL).unwrap();
    let brings = SecretMessage { group, op, secret: secret.clone() };
    json!({
        "about": "One epoch of a group: docs/design/groups-keys.md. Members are sorted; the order has their indices, the \
                  list of feeding has positions, first those that the author feeds.",
        "group": hex(&group.0),
        "operation": hex(&op.0),
        "secret": hex(secret.as_bytes()),
        "commitment": hex(&commitment),
        "members": members.iter().map(|m| hex(&m.0)).collect::<Vec<_>>(),
        "author": hex(&author.0),
        "away": away.map(|m| hex(&m.0)),
        "order": indices,
        "feeding": feeding,
        "secret_message": hex(&brings.encode()),
        "header": hex(&one.header),
        "tags": hex(&one.tags().0),
        "next": hex(&one.next.unwrap()),
        "chains": chains,
        "messages": messages,
        "successor": {
            "operation": hex(&add.0),
            "holders": holders.iter().map(|m| hex(&m.0)).collect::<Vec<_>>(),
            "secret": hex(after.as_bytes()),
            "tags": hex(&successor.tags().0),
            "next": hex(&successor.next.unwrap()),
        },
        "public": hex(&public::wrap(group, &run(b"in clear"))),
        "rows": one.rows().iter().map(|(key, value)| json!([hex(key), hex(value)])).collect::<Vec<_>>(),
    })
}

/// Fails with any change of a label, a layout, a limit of reservation or an order.
#[test]
fn the_vectors_are_those_that_are_frozen() {
    let text = format!("{:#}\n", vectors());
    if FILE != text {
        panic!("tests/vectors/group-keys.json is another; the one made now:\n{text}");
    }
}
