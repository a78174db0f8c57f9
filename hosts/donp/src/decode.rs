//! `donp decode`: what a datagram shows to an observer of the network.

use std::io::Read as _;

use donp_core::inspect;
use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};
use crate::json::object;
use crate::output::Output;

/// The bytes of a text in hex; blanks and colons are for the eye.
///
/// # Errors
/// When it is not hex.
pub fn bytes(text: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b':').collect();
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    let read: Option<Vec<u8>> = pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect();
    match read {
        Some(bytes) if rest.is_empty() && !bytes.is_empty() => Ok(bytes),
        _ => Err(Failure::usage("the bytes are not written in hex").hint("an even number of digits 0-9 and a-f")),
    }
}

/// `donp decode HEX`.
///
/// # Errors
/// When it is not hex.
pub fn run(hex: &str, out: &Output) -> Result<(), Failure> {
    let mut text = hex.to_string();
    if hex == "-" {
        text.clear();
        std::io::stdin()
            .lock()
            .take(1 << 20)
            .read_to_string(&mut text)
            .map_err(|e| Failure::new(Exit::Failed, format!("stdin: {e}")))?;
    }
    let bytes = bytes(&text)?;
    let described = describe(&bytes).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("these {} bytes are not a datagram of this protocol", bytes.len()))
            .hint("the payload of one UDP datagram, without its IP and UDP headers")
    })?;
    if out.json {
        return out.line(&described.to_string());
    }
    out.line(&serde_json::to_string_pretty(&described).unwrap_or_default())
}

/// The shape of the DONP document's message format: header, payload and routing, with null for what
/// does not show. Both a datagram and a broadcast of the public network are understood.
fn describe(bytes: &[u8]) -> Option<Value> {
    let document = inspect::datagram(bytes).or_else(|| inspect::broadcast(bytes, &[0; 32]))?;
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    // What was said can be read; everything else is bytes.
    let data = match (document.message_type, document.encrypted) {
        (Some("CHAT"), false) => String::from_utf8_lossy(&document.data).into_owned(),
        _ => hex(&document.data),
    };
    let metadata: Map<String, Value> =
        document.metadata.iter().map(|(name, value)| ((*name).into(), value.as_str().into())).collect();
    Some(object(
        "datagram",
        json!({
            "header": {
                "version": "1.0",
                "messageId": document.message_id.map(|id| id.to_string()),
                "messageType": document.message_type,
                "sourceNodeId": document.source.map(|id| id.to_string()),
                "targetNodeId": document.target,
                "timestamp": document.timestamp,
                "ttl": document.ttl,
                "signature": document.signature.as_deref().map(hex),
            },
            "payload": {
                "encrypted": document.encrypted,
                "algorithm": document.algorithm,
                "data": data,
                "metadata": metadata,
            },
            "routing": {
                "path": [],
                "nextHop": null,
                "priority": document.priority,
            },
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_reads_with_blanks_and_is_refused_otherwise() {
        assert_eq!(bytes("00 ff:1A\n").unwrap(), [0, 255, 26]);
        for bad in ["", "0", "0g", "é0"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_real_datagram_has_the_documents_shape_and_garbage_has_none() {
        use donp_core::{Bootstrap, Config, Engine, Identity, Instant, Output, WallTime};
        let identity = Identity::generate([1; 64], "a", WallTime(1)).unwrap();
        let mut engine = Engine::new(Config::default(), identity, [1; 32], Instant::ZERO, WallTime(1)).unwrap();
        let id = Identity::generate([2; 64], "b", WallTime(1)).unwrap().node_id();
        let place = Bootstrap { addr: "127.0.0.1:9".parse().unwrap(), id: Some(id) };
        engine.join(Instant::ZERO, &[place]).unwrap();
        let sent = loop {
            match engine.poll().unwrap() {
                Output::Batch(batch) => engine.handle_committed(Instant::ZERO, batch.seq),
                Output::Transmit(transmit) => break transmit,
                _ => {}
            }
        };
        let shape = describe(&sent.bytes).unwrap();
        assert!(["DISCOVERY", "CONTROL"].contains(&shape["header"]["messageType"].as_str().unwrap()), "{shape}");
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&shape), ["v", "type", "header", "payload", "routing"]);
        assert_eq!(keys(&shape["payload"]), ["encrypted", "algorithm", "data", "metadata"]);
        assert_eq!(describe(b"GET / HTTP/1.1"), None);
        assert_eq!(describe(&[]), None);
    }
}
