"""The book of people: contacts, requests of strangers, safety numbers, and what was not read."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ._ffi import donp_ffi as _ffi
from .content import Conversation, _conversation_in
from .ids import MessageId, NodeId

__all__ = [
    "AuthenticationResult",
    "Confirmations",
    "Contact",
    "ConversationInfo",
    "SafetyNumber",
    "Verification",
]


class Verification(enum.Enum):
    """Whether the keys of a contact were compared."""

    UNVERIFIED = "unverified"
    """Its safety number was not compared."""
    VERIFIED = "verified"
    """Its safety number was compared and is right."""
    CHANGED = "changed"
    """It was verified, and has another key since: nothing is sent to it until that is looked at."""
    OTHER = "other"
    """Something of a newer version."""


class AuthenticationResult(enum.Enum):
    """The result of `Node.authenticate_node`."""

    AUTHENTICATED = "authenticated"
    """The device of the node is at the other end of the link."""
    FAILED = "failed"
    """The other end answered, and does not have the device's key or is not on this link."""
    TIMEOUT = "timeout"
    """There was no answer in ten seconds, or no link."""
    OTHER = "other"
    """A result of a newer version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A node in the book of another: a contact, or a stranger with a request."""

    node: NodeId
    """The party: one device."""
    petname: str | None
    """The own name for it, at most 64 bytes."""
    name: str | None
    """The name that it claims."""
    request: bool
    """Whether it is a stranger that wrote, and waits for an answer."""
    verification: Verification
    """Whether its keys were compared."""
    muted: bool
    """Whether its messages make no events."""
    blocked: bool
    """Whether it is blocked."""
    added_ms: int
    """When it came into the book, in milliseconds since 1970."""
    unread: int
    """Its private messages that were not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationInfo:
    """A conversation at a glance."""

    conversation: Conversation
    """Which."""
    unread: int
    """Texts and answers of others that were not read."""
    read: MessageId | None
    """The message up to which it was read."""
    request: bool
    """Whether it is with a stranger that waits for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmations:
    """Which members have a message of this node, as far as is known here."""

    message: MessageId
    """Which."""
    members: int
    """Members that may read it, without this node and blocked nodes; 1 in a private conversation."""
    stored: list[NodeId]
    """Those of them that have stored it."""
    read: list[NodeId]
    """Those that say that they have read it, with the setting `chat.send_read_marks` on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyNumber:
    """What two people compare to know that they have each other's keys."""

    number: str
    """60 digits in twelve groups of five with blanks between: equal at both."""
    code: str
    """The keys themselves, 213 characters for a QR code, which the other device scans."""


def _contact_in(raw: _ffi.Contact) -> Contact:
    return Contact(
        node=NodeId._of(raw.node),
        petname=raw.petname,
        name=raw.name,
        request=raw.request,
        verification=Verification[raw.verification.name],
        muted=raw.muted,
        blocked=raw.blocked,
        added_ms=raw.added_ms,
        unread=raw.unread,
    )


def _info_in(raw: _ffi.ConversationInfo) -> ConversationInfo:
    return ConversationInfo(
        conversation=_conversation_in(raw.conversation),
        unread=raw.unread,
        read=None if raw.read is None else MessageId._of(raw.read),
        request=raw.request,
    )


def _confirmations_in(raw: _ffi.Confirmations) -> Confirmations:
    return Confirmations(
        message=MessageId._of(raw.message),
        members=raw.members,
        stored=[NodeId._of(id) for id in raw.stored],
        read=[NodeId._of(id) for id in raw.read],
    )


def _number_in(raw: _ffi.SafetyNumber) -> SafetyNumber:
    return SafetyNumber(number=raw.number, code=raw.code)
