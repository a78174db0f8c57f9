"""Groups: their members, their rules, and what a newcomer may read."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from ._ffi import donp_ffi as _ffi
from .ids import GroupId, MessageId, NodeId

__all__ = [
    "Days",
    "Everything",
    "GroupChange",
    "GroupHistory",
    "GroupInfo",
    "GroupKind",
    "GroupMember",
    "GroupPolicy",
    "GroupRole",
    "JoiningGroup",
    "Newest",
    "Nothing",
    "Refusal",
]


class GroupKind(enum.Enum):
    """Which nodes can join a group, and which can know of it."""

    PUBLIC = "public"
    """Everybody who has its id may join, so nothing in it is secret."""
    PRIVATE = "private"
    """By invitation."""
    SECRET = "secret"
    """By invitation, and no trace of it outside its members."""
    TEMPORARY = "temporary"
    """By invitation, until a moment that its creation names."""
    OTHER = "other"
    """A kind of a newer version."""


class GroupRole(enum.Enum):
    """The rank of a member. No member acts on an equal or a higher one."""

    GUEST = "guest"
    """Reads."""
    MEMBER = "member"
    """Reads and posts."""
    MODERATOR = "moderator"
    """Removes members and guests."""
    ADMIN = "admin"
    """Invites, removes and ranks all below."""
    OWNER = "owner"
    """One node, whose operations no member undoes."""
    OTHER = "other"
    """A rank of a newer version."""


class GroupChange(enum.Enum):
    """What changed in a group; the other fields of the event say more."""

    JOINED = "joined"
    """This node is a member now."""
    ENDED = "ended"
    """This node is no member any more: it left, or was removed."""
    REFUSED = "refused"
    """This node was not added; `reason` says why."""
    ASKED = "asked"
    """`node`, which claims to be called `name`, would like to join and waits for a member that may invite."""
    ADDED = "added"
    """`node` is a member now, as `role`."""
    REMOVED = "removed"
    """`node` is no member any more: it left, or was removed."""
    RANKED = "ranked"
    """The rank of `node` is `role` now."""
    RENAMED = "renamed"
    """The name is `text` now."""
    DESCRIBED = "described"
    """The description is `text` now."""
    POLICY_CHANGED = "policy_changed"
    """The policy is another."""
    PINNED = "pinned"
    """`message` is pinned now."""
    UNPINNED = "unpinned"
    """`message` is not pinned any more."""
    OTHER = "other"
    """A change of a newer version."""


class Refusal(enum.Enum):
    """Why a node is not added to a group."""

    INVITATION = "invitation"
    """The invitation is used up, expired, for another node, or its signer may not invite."""
    BANNED = "banned"
    """The node is banned from the group."""
    ASKED = "asked"
    """The asked node is not a member, or may not add members."""
    DECLINED = "declined"
    """A member that may invite declined."""
    OTHER = "other"
    """A reason of a newer version."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """A newcomer reads nothing of what was said before."""


@dataclass(frozen=True, slots=True)
class Newest:
    """A newcomer reads the newest messages."""

    count: int
    """So many of them."""


@dataclass(frozen=True, slots=True)
class Days:
    """A newcomer reads the messages of the last days."""

    days: int
    """So many days."""


@dataclass(frozen=True, slots=True)
class Everything:
    """A newcomer reads all that was said before."""


GroupHistory: TypeAlias = Nothing | Newest | Days | Everything
"""How much of what was said before a newcomer may read: `match` on the class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPolicy:
    """The least rank for each action in a group. `dataclasses.replace` changes a part of it."""

    invite: GroupRole = GroupRole.ADMIN
    """Signs invitations."""
    post: GroupRole = GroupRole.MEMBER
    """Posts."""
    describe: GroupRole = GroupRole.ADMIN
    """Changes name and description."""
    pin: GroupRole = GroupRole.MODERATOR
    """Pins messages."""
    approve: bool = False
    """Whether a node with an invitation to the bearer waits for the approval of a member that may invite."""
    history: GroupHistory = Nothing()
    """What newcomers may read."""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a group: a person with up to eight devices."""

    id: NodeId
    """The node that was added: it names the member, also when the device is gone."""
    role: GroupRole
    """Its rank, which each of its devices has."""
    devices: list[NodeId]
    """Its devices, by id."""


@dataclass(frozen=True, slots=True)
class JoiningGroup:
    """A group that this node asked to join and is no member of yet."""

    id: GroupId
    """Which."""
    name: str
    """Its name in the ticket; a claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo:
    """A group."""

    id: GroupId
    """Which."""
    kind: GroupKind
    """Who can join it."""
    name: str
    """Its name."""
    description: str
    """Its description, empty if there is none."""
    policy: GroupPolicy
    """Who may do what."""
    expires_ms: int | None
    """A temporary group ends then, in milliseconds since 1970."""
    role: GroupRole | None
    """This node's rank; `None` if it is no member any more."""
    members: list[GroupMember]
    """The members, by id."""
    pinned: list[MessageId]
    """Pinned messages, the one that was pinned last at the end: the last 64.

    One may not be here, or not readable.
    """
    requests: list[NodeId]
    """Nodes that wait for the approval of a member that may invite."""
    holds_key: bool
    """Whether this node holds the key of the present members."""
    key_holders: int
    """How many members hold it, this node included, as far as is known here; 0 in a PUBLIC group."""
    epochs: int
    """Keys of which one opens what was said between two changes of the members.

    Who steals this device could read so far.
    """
    state: str
    """Equal at two members exactly if both know of the same changes, in hexadecimal."""


DEFAULT_POLICY = GroupPolicy()


def _kind_out(kind: GroupKind) -> _ffi.GroupKind:
    if not isinstance(kind, GroupKind):
        raise TypeError(f"a GroupKind is wanted, not {type(kind).__name__}")
    return _ffi.GroupKind[kind.name]


def _role_out(role: GroupRole) -> _ffi.GroupRole:
    if not isinstance(role, GroupRole):
        raise TypeError(f"a GroupRole is wanted, not {type(role).__name__}")
    return _ffi.GroupRole[role.name]


def _history_out(history: GroupHistory) -> _ffi.GroupHistory:
    match history:
        case Nothing():
            return _ffi.GroupHistory.NOTHING()
        case Newest(count):
            return _ffi.GroupHistory.NEWEST(count)
        case Days(days):
            return _ffi.GroupHistory.DAYS(days)
        case Everything():
            return _ffi.GroupHistory.EVERYTHING()
    raise TypeError(f"a GroupHistory is wanted, not {type(history).__name__}")


def _history_in(raw: _ffi.GroupHistory) -> GroupHistory:
    match raw:
        case _ffi.GroupHistory.NEWEST():
            return Newest(raw.count)
        case _ffi.GroupHistory.DAYS():
            return Days(raw.days)
        case _ffi.GroupHistory.EVERYTHING():
            return Everything()
        case _:
            return Nothing()


def _policy_out(policy: GroupPolicy) -> _ffi.GroupPolicy:
    if not isinstance(policy, GroupPolicy):
        raise TypeError(f"a GroupPolicy is wanted, not {type(policy).__name__}")
    return _ffi.GroupPolicy(
        invite=_role_out(policy.invite),
        post=_role_out(policy.post),
        describe=_role_out(policy.describe),
        pin=_role_out(policy.pin),
        approve=policy.approve,
        history=_history_out(policy.history),
    )


def _policy_in(raw: _ffi.GroupPolicy) -> GroupPolicy:
    return GroupPolicy(
        invite=GroupRole[raw.invite.name],
        post=GroupRole[raw.post.name],
        describe=GroupRole[raw.describe.name],
        pin=GroupRole[raw.pin.name],
        approve=raw.approve,
        history=_history_in(raw.history),
    )


def _group_in(raw: _ffi.GroupInfo) -> GroupInfo:
    return GroupInfo(
        id=GroupId._of(raw.id),
        kind=GroupKind[raw.kind.name],
        name=raw.name,
        description=raw.description,
        policy=_policy_in(raw.policy),
        expires_ms=raw.expires_ms,
        role=None if raw.role is None else GroupRole[raw.role.name],
        members=[
            GroupMember(NodeId._of(m.id), GroupRole[m.role.name], [NodeId._of(d) for d in m.devices])
            for m in raw.members
        ],
        pinned=[MessageId._of(id) for id in raw.pinned],
        requests=[NodeId._of(id) for id in raw.requests],
        holds_key=raw.holds_key,
        key_holders=raw.key_holders,
        epochs=raw.epochs,
        state=raw.state,
    )


def _joining_in(raw: _ffi.JoiningGroup) -> JoiningGroup:
    return JoiningGroup(GroupId._of(raw.id), raw.name)
