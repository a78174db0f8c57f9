//! `docs/spec/link.md` is generated knowledge: its hex blocks are what this code sends.

use super::*;
use crate::link::packet::DATA_HEADER;
use alloc::string::String;
use alloc::vec;

const PAGE: &str = include_str!("../../../../docs/spec/link.md");

fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for row in bytes.chunks(32) {
        let hex: String = row.iter().map(|b| alloc::format!("{b:02x}")).collect();
        out.push_str(&hex);
        out.push('\n');
    }
    out
}

/// The packets of two nodes with fixed seeds: linking by address, then one message.
fn transcript() -> Vec<(&'static str, Vec<u8>)> {
    let mut net = Net::new(2, 42);
    let mut all = Vec::new();
    let reply = |net: &Net, kind: u8| net.log.iter().find(|(_, _, b)| b[0] == kind).unwrap().2.clone();
    net.link();
    for (name, kind) in [
        ("RecordRequest", packet::RECORD_REQUEST),
        ("RecordReply", packet::RECORD_REPLY),
        ("Init", packet::INIT),
        ("Resp", packet::RESP),
    ] {
        all.push((name, reply(&net, kind)));
    }
    let init = reply(&net, packet::INIT);
    net.log.clear();
    for _ in 0..12 {
        let (now, wall) = (net.now, net.wall);
        let mut unverified = init.clone();
        let at = unverified.len() - 16;
        unverified[at..].fill(0);
        net.nodes[1].handle(now, wall, In::Datagram { from: addr(1), bytes: unverified });
    }
    net.drain(1);
    all.push(("CookieReply", reply(&net, packet::COOKIE_REPLY)));
    net.run(1_000);
    net.log.clear();
    net.send(0, 1, b"hello".to_vec());
    let data = net.log[0].2.clone();
    let mut plain = data.clone();
    let n = u64::from_le_bytes(data[6..DATA_HEADER].try_into().unwrap());
    let opened = net.connection(1, 0).current.open(n, &mut plain).unwrap().to_vec();
    all.push(("Data", data));
    all.push(("Frames of it", opened));
    let mut frames = Vec::new();
    let mut ranges = frame::Ranges::new();
    ranges.push((90, 100)).unwrap();
    ranges.push((80, 85)).unwrap();
    let piece = vec![0xaa; 551];
    let fragment = frame::Fragment { number: 7, channel: 4, total: 1_101, start: 0, piece: &piece };
    for f in [
        frame::Frame::Ping,
        frame::Frame::Ack(frame::Ack { session: 0x0102_0304, delay: 300, ranges }),
        frame::Frame::PathChallenge([1, 2, 3, 4, 5, 6, 7, 8]),
        frame::Frame::PathResponse([1, 2, 3, 4, 5, 6, 7, 8]),
        frame::Frame::Message { channel: 4, body: b"hello" },
        frame::Frame::Close(2),
        frame::Frame::Observed("10.0.0.1:4000".parse().unwrap()),
        frame::Frame::Probe,
    ] {
        f.encode(&mut frames);
    }
    all.push(("Every short frame", frames));
    let mut long = Vec::new();
    frame::Frame::Fragment(fragment).encode(&mut long);
    long.truncate(16);
    all.push(("Begin of a fragment", long));
    all
}

#[test]
fn the_page_shows_what_is_sent() {
    let mut want = String::new();
    for (name, bytes) in transcript() {
        want.push_str(&alloc::format!("### {name}, {} bytes\n\n```hex\n{}```\n\n", bytes.len(), dump(&bytes)));
    }
    let (_, examples) = PAGE.split_once("## Examples\n").expect("the page has examples");
    let (_, shown) = examples.split_once("###").expect("the page has packets");
    let shown = alloc::format!("###{}", shown.trim_end());
    assert_eq!(shown, want.trim_end(), "replace the examples of docs/spec/link.md by:\n{want}");
}

#[test]
fn the_page_names_every_size() {
    for text in [
        alloc::format!("| Init | 1 | {} |", packet::INIT_LEN),
        alloc::format!("| Resp | 2 | {} |", packet::RESP_LEN),
        alloc::format!("| CookieReply | 3 | {} |", packet::COOKIE_LEN),
        alloc::format!("| Data | 4 | {} to {} |", packet::DATA_OVERHEAD, crate::wire::MAX_DATAGRAM),
        alloc::format!("| RecordRequest | 5 | {} |", packet::RECORD_REQUEST_LEN),
        alloc::format!("| RecordReply | 6 | {} |", packet::RECORD_REPLY_LEN),
        alloc::format!("| RecordOutdated | 7 | {} |", packet::RECORD_OUTDATED_LEN),
    ] {
        assert!(PAGE.contains(&text), "{text}");
    }
}
