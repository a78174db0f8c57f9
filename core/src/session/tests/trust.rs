//! Verified keys: what the user says goes to no other until it looked.

use super::*;
use crate::wire::Priority;

/// The session identity key of a node.
fn identity(node: &Node) -> [u8; 32] {
    node.keys.first().expect("it says its own keys").1
}

fn trust(node: &mut Node, identity: Option<[u8; 32]>, held: bool) -> Vec<Vec<u8>> {
    let other = node.other();
    node.input(In::Trust { node: other, identity, held, compared: !held && identity.is_some() })
}

#[test]
fn both_sides_learn_the_keys_of_the_other() {
    let nodes = linked();
    for n in 0..2 {
        let device = who(1 - n as u8).public_key();
        assert!(nodes[n].keys.contains(&(device, identity(&nodes[1 - n]))), "{n}");
    }
}

#[test]
fn a_node_is_asked_for_its_keys_without_a_session() {
    let mut nodes = pair();
    let other = nodes[0].other();
    let asks = nodes[0].input(In::Meet(other));
    exchange(&mut nodes, 0, asks);
    let theirs = (who(1).public_key(), identity(&nodes[1]));
    assert_eq!(nodes[0].keys[1..], [theirs]);
    assert!(nodes.iter().all(|n| n.sessions().is_empty()));
    // No second one was asked for.
    let again = nodes[1].machine.keys.bundle().to_vec().try_into().unwrap();
    nodes[0].take(&Message::Bundle(&again).encode());
    assert_eq!((nodes[0].keys.len(), nodes[0].drops(DropReason::Message)), (2, 1));
}

/// The other device is made anew from its device key alone, as a thief of that key would. What waits is sealed for it in
/// no step, whichever side begins the session. Mutations: `saw` never holds; `seal` looks at nothing.
#[test]
fn nothing_is_sealed_for_another_key_than_the_verified_one() {
    for thief_begins in [false, true] {
        let mut nodes = linked();
        let right = identity(&nodes[1]);
        assert!(trust(&mut nodes[0], Some(right), false).is_empty());
        say(&mut nodes, 0, b"to the right one");
        nodes[1] = Node::seeded(1, 77);
        let secret = nodes[0].say(b"secret");
        let first = if thief_begins { nodes[1].say(b"it is me") } else { Vec::new() };
        exchange(&mut nodes, 0, secret);
        exchange(&mut nodes, 1, first);
        nodes[0].pass(MINUTE);
        let again = nodes[0].repeat();
        exchange(&mut nodes, 0, again);
        assert!(nodes[0].machine.trust.holds(who(1).node_id()), "{thief_begins}");
        assert!(!nodes[1].app.read.contains(b"secret".as_slice()), "{thief_begins}");
        // What concerns a history waits too; what it said is read and acknowledged.
        let to = nodes[0].other();
        let (subject, priority, body) = (Subject::History, Priority::Low, b"what was said".to_vec());
        assert!(nodes[0].input(In::Seal { to, order: None, subject, priority, body }).is_empty());
        assert_eq!(nodes[0].app.read.contains(b"it is me".as_slice()), thief_begins);
        assert_eq!(nodes[1].app.outbox.len(), 0);
        // After a restart it is as the contacts say.
        nodes[0].reload();
        trust(&mut nodes[0], Some(right), true);
        let again = nodes[0].repeat();
        exchange(&mut nodes, 0, again);
        assert!(!nodes[1].app.read.contains(b"secret".as_slice()));
        // The user verified the new key: what waited goes.
        let new = identity(&nodes[1]);
        let go = trust(&mut nodes[0], Some(new), false);
        exchange(&mut nodes, 0, go);
        let again = nodes[0].repeat();
        exchange(&mut nodes, 0, again);
        assert!(nodes[1].app.read.contains(b"secret".as_slice()), "{thief_begins}");
    }
}

#[test]
fn who_is_not_verified_may_have_other_keys() {
    let mut nodes = linked();
    nodes[1] = Node::seeded(1, 77);
    let text = nodes[0].say(b"hello again");
    exchange(&mut nodes, 0, text);
    nodes[0].pass(MINUTE);
    let again = nodes[0].repeat();
    exchange(&mut nodes, 0, again);
    assert!(nodes[1].app.read.contains(b"hello again".as_slice()));
}

/// A thief of the device key had a session before the node was a contact; then the device itself shows its keys, and the
/// user compares those. Mutation: `set_trust` leaves sessions with other keys in use.
#[test]
fn no_older_session_with_another_key_is_used_after_a_comparison() {
    for restart in [false, true] {
        let mut nodes = linked();
        say(&mut nodes, 0, b"before");
        let thief = core::mem::replace(&mut nodes[1], Node::seeded(1, 77));
        let other = nodes[0].other();
        let asks = nodes[0].input(In::Meet(other));
        exchange(&mut nodes, 0, asks);
        let right = identity(&nodes[1]);
        assert_eq!(nodes[0].keys.last().map(|keys| keys.1), Some(right));
        if restart {
            nodes[0].reload();
        }
        let go = trust(&mut nodes[0], Some(right), false);
        exchange(&mut nodes, 0, go);
        let device = core::mem::replace(&mut nodes[1], thief);
        nodes[0].pass(MINUTE);
        let secret = nodes[0].say(b"secret");
        exchange(&mut nodes, 0, secret);
        assert!(!nodes[1].app.read.contains(b"secret".as_slice()), "{restart}");
        assert!(nodes[0].machine.trust.holds(other));
        // The device is there again and was compared again: it gets what waited.
        nodes[1] = device;
        nodes[0].pass(MINUTE);
        let go = trust(&mut nodes[0], Some(right), false);
        exchange(&mut nodes, 0, go);
        let again = nodes[0].repeat();
        exchange(&mut nodes, 0, again);
        assert!(nodes[1].app.read.contains(b"secret".as_slice()), "{restart}");
    }
}
