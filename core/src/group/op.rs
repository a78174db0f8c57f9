//! The operations of a group, as their authors sign them (docs/design/groups.md §2).
//!
//! An operation names the operations that its author had seen and no other named: its causal past is part of its id.
//! Its authority is judged in that past alone, so it is the same at every node and for good.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, GroupId, MessageId, NodeId, OpId};
use crate::identity::{Domain, Identity, SIGNATURE_LEN, node_id, verify};
use crate::time::WallTime;
use crate::wire::devices::MAX_CHAIN;
pub use crate::wire::group::GroupHistory;
use crate::wire::{Blob, Malformed, decode, encode};

/// Operations that one names: 16 (docs/design/groups.md §2).
pub(crate) const MAX_PARENTS: usize = 16;
/// Bytes of the longest operation: 32 KiB, an epoch of 10,000 members with two bytes each and its front.
pub(crate) const MAX_OPERATION: usize = 32 << 10;
/// Members that one operation removes.
pub(crate) const MAX_REMOVED: usize = 64;
/// The longest name of a group, in bytes of UTF-8.
pub(crate) const MAX_GROUP_NAME: usize = 64;
/// The longest description of a group, in bytes of UTF-8.
pub(crate) const MAX_DESCRIPTION: usize = 1_024;
/// Uses of one invitation.
pub(crate) const MAX_USES: u32 = 10_000;

/// Which nodes can join a group, and which can know of it (`GroupType` of the DONP document).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GroupKind {
    /// Everybody who has its id may join, so nothing in it is secret. Signatures and roles hold.
    Public,
    /// By invitation.
    Private,
    /// By invitation, and no trace of it outside its members.
    Secret,
    /// By invitation, until a moment that its creation names.
    Temporary,
}

/// The rank of a member (`GroupRole` of the DONP document). No member acts on an equal or a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GroupRole {
    /// Reads.
    Guest,
    /// Reads and posts.
    Member,
    /// Removes members and guests.
    Moderator,
    /// Invites, removes and ranks all below.
    Admin,
    /// One person, whose operations no other rank undoes.
    Owner,
}

/// Which role may do what in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// The least rank that signs invitations. ADMIN.
    pub invite: GroupRole,
    /// The least rank that posts. MEMBER.
    pub post: GroupRole,
    /// The least rank that changes name and description. ADMIN.
    pub describe: GroupRole,
    /// The least rank that pins messages. MODERATOR.
    pub pin: GroupRole,
    /// Whether an invitation to the bearer waits for the word of a member who may invite.
    pub approve: bool,
    /// What newcomers may read.
    pub history: GroupHistory,
}

impl Default for GroupPolicy {
    fn default() -> Self {
        Self {
            invite: GroupRole::Admin,
            post: GroupRole::Member,
            describe: GroupRole::Admin,
            pin: GroupRole::Moderator,
            approve: false,
            history: GroupHistory::Nothing,
        }
    }
}

/// What is known of a group besides its members. The last word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Field {
    Name,
    Description,
}

/// A new epoch: a fresh secret for every device of a member after the operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NewEpoch {
    /// Binds the secret: a recipient checks what it gets, so its author cannot hand out two.
    pub commitment: [u8; 32],
    /// The devices of members after the operation without its author, as indices into their sorted list, in the order in
    /// which the secret is handed down. Each once.
    pub order: Vec<u16>,
}

/// The word of a member who may invite: authority for an [`Action::Add`] by any member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub group: GroupId,
    /// Names it: random. Uses are counted under it.
    pub nonce: [u8; 16],
    pub role: GroupRole,
    pub uses: u32,
    pub expires: WallTime,
    /// For whom: a node, or the holder of a secret with this public key.
    pub invitee: Invitee,
    /// The public key of the signer.
    pub key: [u8; 32],
    pub signature: Signature,
}

/// For whom an invitation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Invitee {
    Node(NodeId),
    /// The holder of the key that belongs to this public key.
    Bearer([u8; 32]),
}

/// A signature, in two halves for serde.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signature([u8; 32], [u8; 32]);

impl Signature {
    pub(crate) fn new(bytes: [u8; SIGNATURE_LEN]) -> Self {
        let mut halves = ([0; 32], [0; 32]);
        halves.0.copy_from_slice(bytes.first_chunk::<32>().unwrap_or(&[0; 32]));
        halves.1.copy_from_slice(bytes.last_chunk::<32>().unwrap_or(&[0; 32]));
        Self(halves.0, halves.1)
    }

    pub(crate) fn bytes(self) -> [u8; SIGNATURE_LEN] {
        let mut bytes = [0; SIGNATURE_LEN];
        bytes.iter_mut().zip(self.0.into_iter().chain(self.1)).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// The consent of the newcomer: no node is in a group before it accepts. It is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acceptance {
    /// The public key of the newcomer; its id is the member's.
    pub key: [u8; 32],
    /// The newcomer's account: a list of its devices is one of this account.
    pub account: AccountId,
    /// Random.
    pub nonce: [u8; 16],
    /// By `key`, over group, nonce, `key` and account.
    pub signature: Signature,
    /// By the bearer's key, over the same: the proof that the newcomer holds an invitation to the bearer.
    pub bearer: Option<Signature>,
}

/// What an operation does.
#[allow(clippy::large_enum_variant, reason = "additions are the largest, and most operations are additions")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// The first operation of a group. Its author is the owner, and holds its first epoch.
    Create {
        kind: GroupKind,
        name: String,
        policy: GroupPolicy,
        salt: [u8; 16],
        /// The author's account.
        account: AccountId,
        /// A TEMPORARY group ends then.
        expires: Option<WallTime>,
        commitment: [u8; 32],
    },
    /// A member more. In a PUBLIC group everybody adds themselves.
    Add {
        acceptance: Acceptance,
        role: GroupRole,
        /// Needed if the author may not grant `role`.
        invitation: Option<Invitation>,
        /// The epoch whose successor the newcomer gets: an operation in the past that made one.
        base: OpId,
        /// Binds the secret of the successor, which the newcomer cannot derive. Zeros in a PUBLIC group.
        commitment: [u8; 32],
        /// The depth of messages from which on the newcomer may read.
        from: u64,
    },
    SetRole {
        member: NodeId,
        role: GroupRole,
    },
    /// Members less, for good with `ban`.
    Remove {
        members: Vec<NodeId>,
        ban: bool,
        epoch: Option<NewEpoch>,
    },
    Unban {
        member: NodeId,
    },
    Leave,
    /// Another owner. The old one is an ADMIN from then on.
    Transfer {
        to: NodeId,
    },
    Describe {
        field: Field,
        value: String,
    },
    SetPolicy {
        policy: GroupPolicy,
    },
    Epoch(NewEpoch),
    /// Two operations of one author under one number: the proof of a fork.
    ForkProof {
        one: Vec<u8>,
        other: Vec<u8>,
    },
    /// A message is shown above the others, or not any more.
    Pin {
        message: MessageId,
        pinned: bool,
    },
    /// The devices that act as the author's member from then on: a chain of its account's lists (`wire::devices::Chain`).
    Devices {
        chain: Blob,
        epoch: Option<NewEpoch>,
    },
}

/// What is signed, and hashed into the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signed {
    /// None for the first: its id is the group's.
    group: Option<GroupId>,
    key: [u8; 32],
    seq: u64,
    parents: Vec<OpId>,
    lamport: u64,
    wall: WallTime,
    action: Action,
}

/// An operation whose form and signature are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) id: OpId,
    pub(crate) group: GroupId,
    pub(crate) author: NodeId,
    pub(crate) key: [u8; 32],
    /// The author's number, from 1 without gaps. Two under one number are a fork.
    pub(crate) seq: u64,
    /// Sorted, at most [`MAX_PARENTS`]. None for the first alone.
    pub(crate) parents: Vec<OpId>,
    /// 1 + the largest of its parents, 1 for the first.
    pub(crate) lamport: u64,
    /// The author's clock: shown, and never decides.
    pub(crate) wall: WallTime,
    pub(crate) action: Action,
    /// As it travels and is stored: the signature, then what is signed.
    pub(crate) bytes: Vec<u8>,
}

impl Operation {
    /// An operation of this node.
    pub(crate) fn sign(
        identity: &Identity,
        group: Option<GroupId>,
        (seq, parents, lamport): (u64, Vec<OpId>, u64),
        wall: WallTime,
        action: Action,
    ) -> Result<Self, Malformed> {
        let body = encode(&Signed { group, key: identity.public_key(), seq, parents, lamport, wall, action });
        let mut bytes = identity.sign(Domain::GroupOperation, &body).to_vec();
        bytes.extend_from_slice(&body);
        Self::decode(&bytes)
    }

    /// Reads an operation and checks its form and its signature. Whether its author may do it is another question.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (signature, body) = bytes.split_first_chunk::<SIGNATURE_LEN>().ok_or(Malformed)?;
        let signed: Signed = decode(body, MAX_OPERATION)?;
        if !signed.is_sound() || !verify(Domain::GroupOperation, &signed.key, body, signature) {
            return Err(Malformed);
        }
        let id = OpId(blake3::derive_key("DONP v1 group op", body));
        let Signed { group, key, seq, parents, lamport, wall, action } = signed;
        let group = group.unwrap_or(GroupId(id.0));
        Ok(Self { id, group, author: node_id(&key), key, seq, parents, lamport, wall, action, bytes: bytes.to_vec() })
    }

    /// The member that it adds.
    pub(crate) fn added(&self) -> Option<NodeId> {
        if let Action::Add { acceptance, .. } = &self.action { Some(node_id(&acceptance.key)) } else { None }
    }
}

impl Signed {
    fn is_sound(&self) -> bool {
        let is_first = matches!(self.action, Action::Create { .. });
        let place = if is_first {
            self.group.is_none() && self.seq == 1 && self.parents.is_empty() && self.lamport == 1
        } else {
            self.group.is_some()
                && self.seq >= 1
                && self.lamport >= 2
                && (1..=MAX_PARENTS).contains(&self.parents.len())
                && self.parents.is_sorted_by(|a, b| a < b)
        };
        place && self.action.is_sound()
    }
}

impl Action {
    fn is_sound(&self) -> bool {
        match self {
            Self::Create { name, kind, expires, .. } => {
                !name.is_empty() && name.len() <= MAX_GROUP_NAME && expires.is_some() == (*kind == GroupKind::Temporary)
            }
            Self::Describe { field: Field::Name, value } => !value.is_empty() && value.len() <= MAX_GROUP_NAME,
            Self::Describe { field: Field::Description, value } => value.len() <= MAX_DESCRIPTION,
            Self::Remove { members, .. } => {
                (1..=MAX_REMOVED).contains(&members.len()) && members.is_sorted_by(|a, b| a < b)
            }
            Self::Add { role, .. } => *role < GroupRole::Owner,
            Self::SetRole { role, .. } => *role < GroupRole::Owner,
            Self::Unban { .. }
            | Self::Leave
            | Self::Transfer { .. }
            | Self::SetPolicy { .. }
            | Self::Epoch(_)
            | Self::ForkProof { .. }
            | Self::Pin { .. } => true,
            Self::Devices { chain, .. } => chain.0.len() <= MAX_CHAIN,
        }
    }
}

impl Acceptance {
    /// The consent of this node to join.
    pub(crate) fn sign(identity: &Identity, group: GroupId, nonce: [u8; 16], bearer: Option<&Identity>) -> Self {
        let (key, account) = (identity.public_key(), identity.account_id());
        let unsigned = Self { key, account, nonce, signature: Signature([0; 32], [0; 32]), bearer: None };
        let signed = unsigned.signed(group);
        let by = |signer: &Identity| Signature::new(signer.sign(Domain::Acceptance, &signed));
        Self { signature: by(identity), bearer: bearer.map(by), ..unsigned }
    }

    fn signed(&self, group: GroupId) -> Vec<u8> {
        [group.as_bytes().as_slice(), &self.nonce, &self.key, self.account.as_bytes()].concat()
    }

    /// What the secret of the epoch with the newcomer is derived for. The operation that adds it commits to that secret, so
    /// its own id cannot be part of it.
    pub(crate) fn seed(&self) -> [u8; 32] {
        blake3::derive_key("DONP v1 group acceptance", &encode(self))
    }

    /// Whether who joins signed it.
    pub(crate) fn is_genuine(&self, group: GroupId) -> bool {
        verify(Domain::Acceptance, &self.key, &self.signed(group), &self.signature.bytes())
    }

    /// Whether who joins holds what an invitation asks for.
    pub(crate) fn satisfies(&self, invitation: &Invitation) -> bool {
        match invitation.invitee {
            Invitee::Node(node) => node == node_id(&self.key),
            Invitee::Bearer(key) => self.bearer.is_some_and(|signature| {
                verify(Domain::Acceptance, &key, &self.signed(invitation.group), &signature.bytes())
            }),
        }
    }
}

/// What is signed of an invitation.
#[derive(Serialize)]
struct InvitationSigned {
    group: GroupId,
    nonce: [u8; 16],
    role: GroupRole,
    uses: u32,
    expires: WallTime,
    invitee: Invitee,
}

impl Invitation {
    pub(crate) fn sign(
        identity: &Identity,
        group: GroupId,
        nonce: [u8; 16],
        (role, uses, expires): (GroupRole, u32, WallTime),
        invitee: Invitee,
    ) -> Self {
        let signed = encode(&InvitationSigned { group, nonce, role, uses, expires, invitee });
        let signature = Signature::new(identity.sign(Domain::Invitation, &signed));
        Self { group, nonce, role, uses, expires, invitee, key: identity.public_key(), signature }
    }

    /// Whether its signer signed it.
    pub(crate) fn is_genuine(&self) -> bool {
        let Self { group, nonce, role, uses, expires, invitee, .. } = *self;
        let signed = encode(&InvitationSigned { group, nonce, role, uses, expires, invitee });
        verify(Domain::Invitation, &self.key, &signed, &self.signature.bytes())
    }

    /// Its signer.
    pub(crate) fn signer(&self) -> NodeId {
        node_id(&self.key)
    }
}

impl GroupKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Public, Self::Private, Self::Secret, Self::Temporary];

    /// A stable name, one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Secret => "secret",
            Self::Temporary => "temporary",
        }
    }
}

impl GroupRole {
    /// Every role, the lowest first.
    pub const ALL: [Self; 5] = [Self::Guest, Self::Member, Self::Moderator, Self::Admin, Self::Owner];

    /// A stable name, one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GroupKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| alloc::format!("'{text}' is not one of public, private, secret, temporary"))
    }
}

impl fmt::Display for GroupRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GroupRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| alloc::format!("'{text}' is not one of guest, member, moderator, admin, owner"))
    }
}

impl fmt::Display for GroupHistory {
    /// `none`, `all`, a number of messages as `100`, or a number of days as `7d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Everything => f.write_str("all"),
            Self::Newest(count) => write!(f, "{count}"),
            Self::Days(days) => write!(f, "{days}d"),
        }
    }
}

impl FromStr for GroupHistory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse::<u32>().ok().filter(|_| !digits.starts_with('+'));
        match (text, text.strip_suffix('d').and_then(number), number(text)) {
            ("none", ..) => Ok(Self::Nothing),
            ("all", ..) => Ok(Self::Everything),
            (_, Some(days), _) => Ok(Self::Days(days)),
            (_, None, Some(count)) => Ok(Self::Newest(count)),
            _ => {
                Err(alloc::format!("'{text}' is not none, all, a number of messages as 100, or a number of days as 7d"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn kinds_roles_and_histories_read_as_they_print() {
        for kind in GroupKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for role in GroupRole::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let histories =
            [GroupHistory::Nothing, GroupHistory::Everything, GroupHistory::Newest(100), GroupHistory::Days(7)];
        for history in histories {
            assert_eq!(history.to_string().parse(), Ok(history));
        }
        for bad in ["", "d", "-1", "+1", "+1d", "1w", "None ", "99999999999"] {
            assert!(bad.parse::<GroupHistory>().is_err(), "{bad}");
        }
    }
}
