//! The messages of authentication machines (docs/spec/messages.md, "Authentication"). Layouts are fixed.

use alloc::vec::Vec;

use crate::id::NodeId;
use crate::identity::SIGNATURE_LEN;
use crate::wire::Malformed;
use crate::wire::record::Reader;

const CHALLENGE: u8 = 1;
const ANSWER: u8 = 2;

/// Sign this. Layout: kind 1 (one byte), random bytes 32, hash of the handshake 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) random: [u8; 32],
    /// Of the keys that the challenger's end of the link uses.
    pub(crate) hash: [u8; 32],
}

/// Layout: kind 2 (one byte), the random bytes 32, the answerer's Ed25519 key 32, signature 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) random: [u8; 32],
    pub(crate) key: [u8; 32],
    pub(crate) signature: [u8; SIGNATURE_LEN],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one is there at a time")]
pub(crate) enum Message {
    Challenge(Challenge),
    Answer(Answer),
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Challenge(Challenge { random, hash }) => [[CHALLENGE].as_slice(), random, hash].concat(),
            Self::Answer(Answer { random, key, signature }) => [[ANSWER].as_slice(), random, key, signature].concat(),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        let message = match r.take()? {
            [CHALLENGE] => Self::Challenge(Challenge { random: r.take()?, hash: r.take()? }),
            [ANSWER] => Self::Answer(Answer { random: r.take()?, key: r.take()?, signature: r.take()? }),
            _ => return Err(Malformed),
        };
        if r.0.is_empty() { Ok(message) } else { Err(Malformed) }
    }
}

/// What an answer signs: the challenge, the asker, the answerer, and the link.
pub(super) fn signed(challenge: &Challenge, challenger: NodeId, answerer: NodeId) -> Vec<u8> {
    [challenge.random, challenger.0, answerer.0, challenge.hash].concat()
}
