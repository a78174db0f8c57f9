//! The message that brings the secret of an epoch, inside a private message (docs/design/groups-keys.md §4.6).

use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::group::keys::schedule::Secret;
use crate::group::keys::wire::SECRET;
use crate::id::{GroupId, OpId};
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// Bytes of it.
const SECRET_MESSAGE_LEN: usize = 97;

/// Kind 1, group 32, the epoch's operation 32, secret 32.
///
/// Its receiver believes nothing before the operation, its own place in the order and the commitment agree.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretMessage {
    pub(crate) group: GroupId,
    pub(crate) op: OpId,
    pub(crate) secret: Secret,
}

impl SecretMessage {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Vec::with_capacity(SECRET_MESSAGE_LEN);
        for part in [[SECRET].as_slice(), &self.group.0, &self.op.0, self.secret.as_bytes()] {
            out.extend_from_slice(part);
        }
        Zeroizing::new(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader(bytes);
        if r.take()? != [SECRET] {
            return Err(Malformed);
        }
        let (group, op) = (GroupId(r.take()?), OpId(r.take()?));
        let secret = Secret::new(r.take()?);
        if r.0.is_empty() { Ok(Self { group, op, secret }) } else { Err(Malformed) }
    }
}
