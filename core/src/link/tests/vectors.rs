//! The frozen vectors of `tests/vectors/link.json`, which `tests/vectors/link.py` makes from the pages alone: handshakes,
//! packets, and the post-quantum exchange, made again here by what links are made of.

use alloc::string::{String, ToString};
use alloc::vec;

use serde_json::Value;

use super::*;
use crate::identity::Identity;
use crate::link::attempt::prologue;
use crate::link::cookie::{mac, mac1_key, mac2, open_reply, seal_reply};
use crate::link::frame::{Ack, Fragment, Frame, Ranges};
use crate::link::generations::{Exchange, Generations, Life};
use crate::link::noise::{Handshake, IK_PSK2, KeyPair};
use crate::link::packet::{
    DATA_HEADER, Epoch, INIT, InitPayload, RESP, RESP_HEADER, RespPayload, Stamp, VERSION, visible,
};
use crate::link::session::Session;

const FILE: &str = include_str!("../../../../tests/vectors/link.json");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| alloc::format!("{b:02x}")).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn key<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

struct End {
    id: NodeId,
    pair: KeyPair,
    record: NodeRecord,
}

fn ends(all: &Value) -> [End; 2] {
    [0, 1].map(|n| {
        let node = &all["nodes"][n];
        let identity = Identity::generate(key(&node["entropy"]), "test", WallTime(1)).unwrap();
        let pair = KeyPair::new(key(&node["link_key"]));
        let expires = WallTime(number(&node["expires"]));
        let regular = crate::config::NodeType::Regular;
        let record = NodeRecord::sign(&identity, pair.public, number(&node["sequence"]), expires, regular);
        assert_eq!((hex(&record.encode()), hex(&identity.node_id().0)), (text(&node["record"]), text(&node["id"])));
        End { id: identity.node_id(), pair, record }
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_string()
}

/// The pre-shared keys by generation.
fn psk(all: &Value, handshake: &Value) -> [u8; 32] {
    match number(&handshake["chosen"]) as usize {
        0 => key(&handshake["network"]),
        generation => key(&all["exchanges"][generation - 1]["psk"]),
    }
}

/// A handshake of the file, made here again by the state of each end, up to the second message.
struct Again {
    ends: [End; 2],
    states: [Handshake; 2],
    epochs: [Epoch; 2],
    init: Vec<u8>,
}

fn begin(all: &Value, handshake: &Value) -> Again {
    let mut ends = ends(all);
    if handshake["what"] == "from the other end" {
        ends.reverse();
    }
    let [a, b] = &ends;
    let epochs = [0, 1].map(|n| Epoch {
        boot: number(&handshake["boots"][n]),
        incarnation: number(&handshake["incarnations"][n]) as u32,
    });
    let mut init = [&[INIT, VERSION], &bytes(&handshake["indices"][0])[..]].concat();
    let (about, network) = (prologue(&init, b.id), key(&handshake["network"]));
    let mut one = Handshake::new(&IK_PSK2, true, &about, Some(a.pair.clone()), Some(b.pair.public), network).unwrap();
    let mut two = Handshake::new(&IK_PSK2, false, &about, Some(b.pair.clone()), None, network).unwrap();
    let payload = InitPayload {
        record: a.record.encode().try_into().unwrap(),
        stamp: Stamp(number(&handshake["stamp"])),
        epoch: epochs[0],
        generation: number(&handshake["claims"]) as u8,
    };
    one.write(key(&handshake["ephemerals"][0]), &payload.encode(), &mut init).unwrap();
    assert_eq!(two.read(&init[6..]).unwrap(), payload.encode());
    assert_eq!(two.remote_static(), Some(a.record.link_key));
    init.extend(mac(&mac1_key(&b.pair.public), &init));
    let cookie = bytes(&handshake["cookie"]);
    init.extend(cookie.try_into().map_or([0; 16], |cookie: [u8; 16]| mac2(&cookie, &init)));
    for state in [&mut one, &mut two] {
        state.bind(&a.id.0);
        state.set_psk(psk(all, handshake));
        state.bind(&[number(&handshake["chosen"]) as u8]);
    }
    Again { states: [one, two], epochs, init, ends }
}

/// The Resp, and the sessions of both ends.
fn finish(again: Again, handshake: &Value) -> (Vec<u8>, [Session; 2]) {
    let Again { ends: [a, b], states: [mut one, mut two], epochs, .. } = again;
    let [index, other] = [0, 1].map(|n| bytes(&handshake["indices"][n]));
    let mut resp = [&[RESP, VERSION], &other[..], &index[..], &[number(&handshake["chosen"]) as u8]].concat();
    let [local, remote] = [0, 1].map(|n| u32::from_le_bytes(key(&handshake["indices"][n])));
    let reply = RespPayload { index: remote, observed: addr(1), record_seq: b.record.seq, epoch: epochs[1] };
    two.write(key(&handshake["ephemerals"][1]), &reply.encode(), &mut resp).unwrap();
    assert_eq!(one.read(&resp[RESP_HEADER..]).unwrap(), reply.encode());
    resp.extend(mac(&mac1_key(&a.pair.public), &resp));
    resp.extend([0; 16]);
    let (split, same) = (one.split().unwrap(), two.split().unwrap());
    let keys = [split.initiator_to_responder, split.responder_to_initiator];
    assert_eq!(keys, [0, 1].map(|n| key(&handshake["keys"][n])));
    assert_eq!([split.hash, same.hash], [key(&handshake["hash"]); 2]);
    let one = Session::new(&split, true, local, remote, Instant::ZERO);
    (resp, [one, Session::new(&same, false, remote, local, Instant::ZERO)])
}

/// Breaks if anything of a handshake changes: a byte of a packet, the order in the transcript, either node id in it, a
/// label, what a pre-shared key mixes in.
#[test]
fn handshakes_and_packets_are_those_of_another_program() {
    let all: Value = serde_json::from_str(FILE).unwrap();
    let (mut packets, mut generations) = (0, Vec::new());
    for handshake in all["handshakes"].as_array().unwrap() {
        let again = begin(&all, handshake);
        let init = again.init.clone();
        let (resp, mut sessions) = finish(again, handshake);
        let what = &handshake["what"];
        assert_eq!((hex(&init), hex(&resp)), (text(&handshake["init"]), text(&handshake["resp"])), "{what}");
        assert!(visible(&init).is_ok() && visible(&resp).is_ok());
        generations.push(number(&handshake["chosen"]));
        for packet in handshake["packets"].as_array().unwrap() {
            let from = number(&packet["end"]) as usize;
            let (frames, mut sealed) = (bytes(&packet["frames"]), Vec::new());
            assert_eq!(sessions[from].send_next, number(&packet["number"]));
            sessions[from].begin(&mut sealed);
            sealed.extend(&frames);
            let n = sessions[from].seal(&mut sealed).unwrap();
            assert_eq!(hex(&sealed), text(&packet["packet"]), "{what}, packet {n}");
            assert_eq!(&sealed[6..DATA_HEADER], n.to_le_bytes());
            assert_eq!(sessions[1 - from].open(n, &mut sealed).unwrap(), frames);
            packets += 1;
        }
    }
    assert_eq!((generations, packets), (vec![0, 1, 2, 1, 0, 0, 0], 9));
    let cookie = &all["cookie"];
    let [first, shown] = [5, 6].map(|n| bytes(&all["handshakes"][n]["init"]));
    let mac1 = first[first.len() - 32..][..16].try_into().unwrap();
    let to = u32::from_le_bytes(first[2..6].try_into().unwrap());
    let responder = ends(&all)[1].pair.public;
    let reply = seal_reply(&responder, to, &mac1, &key(&cookie["cookie"]), key(&cookie["nonce"])).unwrap();
    assert_eq!(hex(&reply), text(&cookie["reply"]));
    assert_eq!(open_reply(&responder, &mac1, &reply), Ok(key(&cookie["cookie"])));
    assert_eq!(first[..first.len() - 16], shown[..first.len() - 16], "but for the cookie the same");
}

/// Breaks if the key, the ciphertext, the life of the link or the secret before is left out of the next one, or the
/// network's key out of what a handshake mixes in.
#[test]
fn exchanges_inside_a_link_are_those_of_another_program() {
    let all: Value = serde_json::from_str(FILE).unwrap();
    let [a, b] = ends(&all);
    let Again { epochs, .. } = begin(&all, &all["handshakes"][0]);
    let mut one = Generations::new(&Life { ids: [a.id, b.id], epochs });
    let mut two = Generations::new(&Life { ids: [b.id, a.id], epochs: [epochs[1], epochs[0]] });
    let network = key(&all["handshakes"][0]["network"]);
    for (exchange, generation) in all["exchanges"].as_array().unwrap().iter().zip(1u8..) {
        let [mut pair, mut choice] = [0, 1].map(|n| Rng::new(key(&exchange["seeds"][n])));
        let offer = one.offer(&mut pair).unwrap();
        assert_eq!(hex(&offer), text(&exchange["offer"]));
        let Ok(Exchange::Offer { generation: offered, key: encapsulation }) = Exchange::decode(&offer) else {
            panic!("no offer")
        };
        assert_eq!(offered, generation);
        let answer = two.answer(generation, encapsulation, &mut choice).unwrap();
        assert_eq!(hex(&answer), text(&exchange["answer"]));
        let Ok(Exchange::Answer { offer: name, ciphertext, .. }) = Exchange::decode(&answer) else {
            panic!("no answer")
        };
        assert!(one.accept(generation, name, ciphertext));
        for end in [&mut one, &mut two] {
            assert_eq!(end.psk(&network, generation), Some(key(&exchange["psk"])));
            end.confirm(generation);
        }
        // The next exchange is the other end's.
        core::mem::swap(&mut one, &mut two);
    }
}

/// What the packets carry is what this code writes for it, and reads.
#[test]
fn frames_are_those_of_another_program() {
    let all: Value = serde_json::from_str(FILE).unwrap();
    let first = &all["handshakes"][0];
    let [offer, answer] = ["offer", "answer"].map(|what| bytes(&all["exchanges"][0][what]));
    let ack = |highest| {
        let mut ranges = Ranges::new();
        ranges.push((0, highest)).unwrap();
        Frame::Ack(Ack { session: u32::from_le_bytes(key(&first["indices"][0])), delay: 300, ranges })
    };
    let piece = |start: usize| {
        let piece = &offer[start..offer.len().min(start + 600)];
        Frame::Fragment(Fragment {
            number: 0,
            channel: crate::link::upgrade::CHANNEL,
            total: offer.len() as u32,
            start: start as u32,
            piece,
        })
    };
    let want = [
        vec![Frame::Probe],
        vec![ack(0), Frame::Message { channel: 4, body: b"hello" }],
        vec![piece(0)],
        vec![piece(600)],
        vec![ack(2), Frame::Message { channel: crate::link::upgrade::CHANNEL, body: &answer }],
    ];
    let packets = first["packets"].as_array().unwrap();
    assert_eq!(packets.len(), want.len());
    for (packet, frames) in packets.iter().zip(want) {
        let (read, mut written) = (bytes(&packet["frames"]), Vec::new());
        frames.iter().for_each(|frame| frame.encode(&mut written));
        assert_eq!(hex(&written), hex(&read));
        let mut reader = crate::wire::record::Reader(&read);
        for frame in frames {
            assert_eq!(Frame::decode(&mut reader), Ok(frame));
        }
        assert!(reader.0.is_empty());
    }
}

/// A node answers the Init of another program so that a program written from the pages reads it, and takes the packet
/// after it. Breaks if the machine binds something else into the transcript than the pages say, or in another order.
#[test]
fn a_node_answers_another_program() {
    let all: Value = serde_json::from_str(FILE).unwrap();
    let handshake = &all["handshakes"][0];
    let Again { ends: [a, b], states: [mut one, _], init, .. } = begin(&all, handshake);
    let mut net = Net::new(2, 1);
    let link = &mut net.nodes[1].link;
    assert_eq!(link.me, b.id);
    link.psk = key(&handshake["network"]);
    link.keys.current.mac1 = mac1_key(&b.pair.public);
    link.keys.current.pair = b.pair;
    assert_eq!(hex(&init), text(&handshake["init"]));
    net.input(1, In::Datagram { from: addr(1), bytes: init });
    let resp = net.log.pop().unwrap().2;
    let (header, sealed) = resp[..resp.len() - 32].split_at(RESP_HEADER);
    assert_eq!((header[0], header[10]), (RESP, 0));
    let read = RespPayload::decode(&one.read(sealed).unwrap()).unwrap();
    assert_eq!((read.index.to_le_bytes().as_slice(), read.observed), (&header[2..6], addr(1)));
    let own = u32::from_le_bytes(key(&handshake["indices"][0]));
    let mut session = Session::new(&one.split().unwrap(), true, own, read.index, net.now);
    let mut packet = Vec::new();
    session.begin(&mut packet);
    Frame::Probe.encode(&mut packet);
    session.seal(&mut packet).unwrap();
    assert_eq!(net.nodes[1].ups(), 0);
    net.input(1, In::Datagram { from: addr(1), bytes: packet });
    assert_eq!(net.nodes[1].ups(), 1);
    assert!(net.nodes[1].link.info(a.id).is_some());
}
