//! A datagram or broadcast in the shape of the DONP document's "Message Format Definition", to inspect
//! packets. Nothing here decrypts sealed bytes.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::config::Config;
use crate::gossip;
use crate::id::{MessageId, NodeId};
use crate::link::packet::{Visible, visible};
use crate::wire::Malformed;
use crate::wire::content::{Content, network_conversation};
use crate::wire::entry::Run;
use crate::wire::record::NodeRecord;

/// The document's message: header, payload and routing. What a datagram does not show is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// `messageId`.
    pub message_id: Option<MessageId>,
    /// `messageType`: DISCOVERY, ROUTING, CHAT or CONTROL; none when it is sealed.
    pub message_type: Option<&'static str>,
    /// `sourceNodeId`.
    pub source: Option<NodeId>,
    /// `targetNodeId`: `broadcast` for all nodes.
    pub target: Option<&'static str>,
    /// `timestamp`, milliseconds since 1970 by the author's clock.
    pub timestamp: Option<u64>,
    /// `ttl`: hops left.
    pub ttl: Option<u8>,
    /// `signature`.
    pub signature: Option<Vec<u8>>,
    /// `encrypted`.
    pub encrypted: bool,
    /// `algorithm`; none for what is not encrypted.
    pub algorithm: Option<&'static str>,
    /// `data`: as it travels.
    pub data: Vec<u8>,
    /// `metadata`: names and values, in order.
    pub metadata: Vec<(&'static str, String)>,
    /// `priority`: HIGH, NORMAL or LOW.
    pub priority: &'static str,
}

impl Document {
    fn sealed(packet: &'static str, kind: Option<&'static str>, data: &[u8]) -> Self {
        Self {
            message_id: None,
            message_type: kind,
            source: None,
            target: None,
            timestamp: None,
            ttl: None,
            signature: None,
            encrypted: true,
            algorithm: Some("ChaCha20-Poly1305"),
            data: data.to_vec(),
            metadata: vec![("packet", packet.to_string())],
            priority: "NORMAL",
        }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.metadata.push((name, value.to_string()));
        self
    }
}

/// The visible fields of a UDP payload; none if it is not of this protocol.
pub fn datagram(bytes: &[u8]) -> Option<Document> {
    let control = Some("CONTROL");
    Some(match visible(bytes).ok()? {
        Visible::Init { sender, sealed } => {
            Document { priority: "HIGH", ..Document::sealed("Init", control, sealed).with("sender", sender) }
        }
        Visible::Resp { sender, receiver, generation, sealed } => Document {
            priority: "HIGH",
            ..Document::sealed("Resp", control, sealed)
                .with("sender", sender)
                .with("receiver", receiver)
                .with("generation", generation)
        },
        Visible::CookieReply { receiver, sealed } => Document {
            priority: "HIGH",
            algorithm: Some("XChaCha20-Poly1305"),
            ..Document::sealed("CookieReply", control, sealed).with("receiver", receiver)
        },
        Visible::Data { receiver, number, sealed } => {
            Document::sealed("Data", None, sealed).with("receiver", receiver).with("number", number)
        }
        Visible::RecordRequest => {
            Document { encrypted: false, algorithm: None, ..Document::sealed("RecordRequest", Some("DISCOVERY"), &[]) }
        }
        Visible::RecordReply { record } => Document { source: id_in(record), ..in_clear("RecordReply", record)? },
        Visible::RecordOutdated { receiver, record } => in_clear("RecordOutdated", record)?.with("receiver", receiver),
    })
}

/// The node that a record is of.
fn id_in(record: &[u8]) -> Option<NodeId> {
    NodeRecord::decode_unverified(record).ok().map(|record| record.id())
}

/// A datagram that shows a record.
fn in_clear(kind: &'static str, record: &[u8]) -> Option<Document> {
    let genuine = NodeRecord::decode(record).is_ok();
    let known = NodeRecord::decode_unverified(record).ok()?;
    let (_, signature) = record.split_at_checked(record.len().saturating_sub(64))?;
    let document = Document {
        signature: Some(signature.to_vec()),
        encrypted: false,
        algorithm: None,
        ..Document::sealed(kind, Some("DISCOVERY"), record)
    };
    let document = document.with("nodeType", known.node_type).with("recordSequence", known.seq);
    Some(document.with("signatureValid", genuine))
}

/// A broadcast as gossip machines pass it on, in the network that `network_key` closes (zeros: the
/// public one); none if it is not one. See docs/spec/messages.md, "Gossip".
pub fn broadcast(bytes: &[u8], network_key: &[u8; 32]) -> Option<Document> {
    let Ok(gossip::wire::Message::Gossip { round, body }) = gossip::wire::Message::decode(bytes) else {
        return None;
    };
    let ttl = Config::default().gossip.ttl.saturating_sub(round);
    read_broadcast(ttl, &body.0, network_key).ok()
}

fn read_broadcast(ttl: u8, envelope: &[u8], network_key: &[u8; 32]) -> Result<Document, Malformed> {
    let conversation = network_conversation(network_key);
    let run = Run::decode_signed(conversation, envelope.to_vec())?;
    let (_, signature) = envelope.split_at_checked(32).ok_or(Malformed)?;
    let (signature, _) = signature.split_at_checked(64).ok_or(Malformed)?;
    let last = run.entries.last().ok_or(Malformed)?;
    let content = last.body.as_ref().and_then(|b| b.content.as_ref());
    let about = content.and_then(Content::about).map(|id| id.to_string()).unwrap_or_default();
    Ok(Document {
        message_id: Some(last.id),
        message_type: Some("CHAT"),
        source: Some(run.log.author),
        target: Some("broadcast"),
        timestamp: last.body.as_ref().map(|b| b.sent_at.0),
        ttl: Some(ttl),
        signature: Some(signature.to_vec()),
        encrypted: false,
        algorithm: None,
        data: content.map_or("", Content::shown).as_bytes().to_vec(),
        metadata: vec![
            ("contentType", content.map_or("merge", Content::kind).to_string()),
            ("about", about),
            ("life", run.log.life.to_string()),
            ("number", last.seq.to_string()),
            ("depth", last.id.depth.to_string()),
            ("entries", run.entries.len().to_string()),
            ("signatureValid", run.is_genuine(conversation).to_string()),
        ],
        priority: "NORMAL",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::{Engine, Output};
    use crate::id::Life;
    use crate::identity::tests::identity;
    use crate::time::{Instant, WallTime};
    use crate::wire::entry::{Body, Carried, Part, Parts};
    use crate::wire::ticket::Bootstrap;
    use crate::wire::{Blob, encode};
    use proptest::prelude::{prop_assert, proptest};

    fn first_datagram() -> Vec<u8> {
        let now = Instant::ZERO;
        let mut engine = Engine::new(Config::default(), identity(1), [0; 32], now, WallTime(1)).unwrap();
        engine.join(now, &[Bootstrap { addr: "10.0.0.1:4000".parse().unwrap(), id: None }]).unwrap();
        loop {
            match engine.poll().unwrap() {
                Output::Batch(batch) => engine.handle_committed(now, batch.seq),
                Output::Transmit(transmit) => return transmit.bytes,
                _ => {}
            }
        }
    }

    #[test]
    fn a_first_datagram_shows_its_kind_and_no_more() {
        let seen = datagram(&first_datagram()).unwrap();
        assert_eq!(seen.message_type, Some("DISCOVERY"));
        assert_eq!((seen.source, seen.data), (None, Vec::new()));
    }

    #[test]
    fn a_broadcast_shows_the_documents_fields() {
        let author = identity(1);
        let body = Body { salt: [1; 16], sent_at: WallTime(77), content: Some(Content::text("hi")) };
        let entries = vec![Part { parents: Vec::new(), body: Carried::Body(Blob(encode(&body))) }];
        let parts = Parts { life: Life([2; 8]), seq: 1, prev: None, entries };
        let run = Run::sign(&author, network_conversation(&[0; 32]), parts).unwrap();
        let (id, envelope) = (run.last().unwrap(), Blob(run.bytes));
        let bytes = gossip::wire::Message::Gossip { round: 4, body: envelope }.encode();
        let seen = broadcast(&bytes, &[0; 32]).unwrap();
        assert_eq!((seen.source, seen.message_id, seen.ttl), (Some(author.node_id()), Some(id), Some(60)));
        assert_eq!((seen.timestamp, seen.data.as_slice()), (Some(77), b"hi".as_slice()));
        assert!(seen.metadata.contains(&("signatureValid", "true".into())));
        let elsewhere = broadcast(&bytes, &[1; 32]).unwrap();
        assert!(elsewhere.metadata.contains(&("signatureValid", "false".into())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_or_refused(bytes: Vec<u8>, kind in 0u8..8) {
            let mut bytes = bytes;
            let _ = broadcast(&bytes, &[0; 32]);
            bytes.splice(0..0, [kind, 1]);
            bytes.resize(usize::from(kind) * 83, 7);
            prop_assert!(datagram(&bytes).is_none_or(|d| !d.metadata.is_empty()));
        }
    }
}
