//! `donp decode`: what a datagram shows to anybody who sees it pass.

use std::io::Read as _;

use serde_json::{Value, json};

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
    let described = describe(&bytes(&text)?);
    if out.json {
        return out.line(&described.to_string());
    }
    out.line(&serde_json::to_string_pretty(&described).unwrap_or_default())
}

/// The shape of the DONP document's message format: header, payload and routing.
pub fn describe(bytes: &[u8]) -> Value {
    object("datagram", json!({ "length": bytes.len() }))
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
}
