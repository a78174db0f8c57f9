//! Messages of PUBLIC groups: in clear (docs/design/groups-keys.md §4.7).
//!
//! Every node that knows the group's id may join, so a key would hide nothing from a reader. There are no epochs
//! and no sender indices; the run inside names its author and is signed. Between neighbours the link encrypts.

use alloc::vec::Vec;

use crate::group::keys::schedule::{Tags, public_tags};
use crate::group::keys::wire::{CLEAR, MESSAGE};
use crate::id::GroupId;
use crate::identity::SIGNATURE_LEN;
use crate::wire::Malformed;
use crate::wire::record::Reader;

/// What names a PUBLIC group in its messages.
pub(crate) fn tags_of(group: GroupId) -> Tags {
    public_tags(group)
}

/// Kind 1, suite 1 = 0, tags 16, signature 64, record.
pub(crate) fn wrap(group: GroupId, run: &[u8]) -> Vec<u8> {
    [[MESSAGE, CLEAR].as_slice(), &public_tags(group).0, run].concat()
}

/// The tags of a message in clear and its run. The caller takes it only for a group that is PUBLIC.
pub(crate) fn unwrap(bytes: &[u8]) -> Result<(Tags, &[u8]), Malformed> {
    let mut r = Reader(bytes);
    if r.take()? != [MESSAGE, CLEAR] {
        return Err(Malformed);
    }
    let tags = Tags(r.take()?);
    if r.0.len() < SIGNATURE_LEN { Err(Malformed) } else { Ok((tags, r.0)) }
}
