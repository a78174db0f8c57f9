"""What people say, and where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeAlias

from ._ffi import donp_ffi as _ffi
from .files import Attachment, _attachment_in, _attachment_out
from .ids import GroupId, MessageId, NodeId

__all__ = [
    "NETWORK",
    "ClockEntry",
    "Content",
    "Conversation",
    "Edit",
    "File",
    "Group",
    "HistoryPage",
    "Message",
    "Network",
    "Private",
    "React",
    "Reply",
    "Retract",
    "Text",
    "Unknown",
]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    text: str
    """1 to 65,536 bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Text in answer to a message."""

    reply_to: MessageId
    """The message answered."""
    text: str
    """1 to 65,536 bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the text of an own message."""

    edit_of: MessageId
    """The message changed."""
    text: str
    """1 to 65,536 bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class React:
    """A short mark on a message."""

    react_to: MessageId
    """The message marked."""
    mark: str
    """1 to 64 bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class Retract:
    """Takes an own message back. Nothing is erased from other people's devices."""

    retract: MessageId
    """The message taken back."""


@dataclass(frozen=True, slots=True)
class File:
    """A file, and words to go with it. `Node.add_file` makes the attachment."""

    file: Attachment
    """The file."""
    text: str = ""
    """0 to 4,096 bytes of UTF-8."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something of a newer version, which this one cannot show. It cannot be sent."""


Content: TypeAlias = Text | Reply | Edit | React | Retract | File | Unknown
"""What a message says: `match` on the class."""


@dataclass(frozen=True, slots=True)
class Network:
    """The conversation of everybody in the network."""


@dataclass(frozen=True, slots=True)
class Private:
    """The conversation of this node and one other."""

    peer: NodeId
    """The other."""


@dataclass(frozen=True, slots=True)
class Group:
    """The conversation of the members of a group."""

    group: GroupId
    """Which."""


Conversation: TypeAlias = Network | Private | Group
"""Who a conversation is between: `match` on the class."""

NETWORK = Network()
"""The conversation of everybody in the network."""


@dataclass(frozen=True, slots=True)
class ClockEntry:
    """One component of the clock of a message."""

    author: NodeId
    """The author."""
    life: str
    """Which of the author's logs, in hexadecimal."""
    count: int
    """How many messages of it, from the first without gaps."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a conversation holds it."""

    id: MessageId
    """Its place in the order of the conversation and the hash of its header. Ids compare in that order."""
    conversation: Conversation
    """Where it was said."""
    author: NodeId
    """Who said it."""
    life: str
    """Which of the author's logs it is in, in hexadecimal. A restored or copied profile has several."""
    seq: int
    """The author's number for it in this log, from 1. Where many speak, merges without text count too."""
    depth: int
    """One more than the deepest message its author had seen: rises along every causal step."""
    clock: tuple[ClockEntry, ...] | None
    """What the author had seen, this message included.

    `None` in a conversation with more than 64 authors, and in an event that comes again after a restart: the
    history has it.
    """
    sent_at_ms: int
    """The author's wall clock in milliseconds since 1970: to show, never used for order."""
    content: Content
    """Its content, as it was sent."""
    edited: str | None
    """The text that its author's last edit gave it."""
    retracted: bool
    """Whether its author has retracted it."""

    @property
    def text(self) -> str:
        """The text to show: as edited, the mark of a `React`, empty if retracted or without text."""
        if self.retracted:
            return ""
        if self.edited is not None:
            return self.edited
        match self.content:
            case Text(text=text) | Reply(text=text) | Edit(text=text) | File(text=text):
                return text
            case React(mark=mark):
                return mark
            case _:
                return ""

    @property
    def sent_at(self) -> datetime:
        """`sent_at_ms` as a time in UTC; the last one there is if the author's clock is beyond it."""
        try:
            return datetime.fromtimestamp(self.sent_at_ms / 1_000, timezone.utc)
        except (ValueError, OverflowError, OSError):
            return datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of a conversation."""

    messages: list[Message]
    """Oldest first."""
    older: MessageId | None
    """Pass this as `before` for the page before; `None` at the beginning."""


def _content_out(what: str | Content) -> _ffi.Content:
    raw = _ffi.Content
    match what:
        case str(text):
            return raw.TEXT(text)
        case Text(text):
            return raw.TEXT(text)
        case Reply(to, text):
            return raw.REPLY(str(to), text)
        case Edit(of, text):
            return raw.EDIT(str(of), text)
        case React(to, mark):
            return raw.REACT(str(to), mark)
        case Retract(id):
            return raw.RETRACT(str(id))
        case File(file, text):
            return raw.FILE(_attachment_out(file), text)
        case Unknown():
            return raw.UNKNOWN()
    raise TypeError(f"what is said is a str or a Content, not {type(what).__name__}")


def _content_in(raw: _ffi.Content) -> Content:
    match raw:
        case _ffi.Content.TEXT():
            return Text(raw.text)
        case _ffi.Content.REPLY():
            return Reply(MessageId._of(raw.reply_to), raw.text)
        case _ffi.Content.EDIT():
            return Edit(MessageId._of(raw.edit_of), raw.text)
        case _ffi.Content.REACT():
            return React(MessageId._of(raw.react_to), raw.mark)
        case _ffi.Content.RETRACT():
            return Retract(MessageId._of(raw.retract))
        case _ffi.Content.FILE():
            return File(_attachment_in(raw.file), raw.text)
        case _:
            return Unknown()


def _conversation_out(conversation: Conversation) -> _ffi.Conversation:
    match conversation:
        case Network():
            return _ffi.Conversation.NETWORK()
        case Private(peer):
            return _ffi.Conversation.PRIVATE(_node_id(peer))
        case Group(group):
            return _ffi.Conversation.GROUP(_group_id(group))
    raise TypeError(
        f"a conversation is NETWORK, Private(peer) or Group(group), not {type(conversation).__name__}"
    )


def _conversation_in(raw: _ffi.Conversation) -> Conversation:
    if isinstance(raw, _ffi.Conversation.PRIVATE):
        return Private(NodeId._of(raw.peer))
    if isinstance(raw, _ffi.Conversation.GROUP):
        return Group(GroupId._of(raw.group))
    return NETWORK


def _message_in(raw: _ffi.Message) -> Message:
    clock = raw.clock
    return Message(
        MessageId._of(raw.id),
        _conversation_in(raw.conversation),
        NodeId._of(raw.author),
        raw.life,
        raw.seq,
        raw.depth,
        None if clock is None else tuple(ClockEntry(NodeId._of(e.author), e.life, e.count) for e in clock),
        raw.sent_at_ms,
        _content_in(raw.content),
        raw.edited,
        raw.retracted,
    )


def _before_out(before: MessageId | None) -> str | None:
    return None if before is None else _message_id(before)


def _page_in(raw: _ffi.HistoryPage) -> HistoryPage:
    older = raw.older
    return HistoryPage(
        [_message_in(m) for m in raw.messages],
        None if older is None else MessageId._of(older),
    )


def _node_id(id: NodeId) -> str:
    if not isinstance(id, NodeId):
        raise TypeError(f"a NodeId is wanted, not {type(id).__name__}; NodeId(text) reads one")
    return str(id)


def _group_id(id: GroupId) -> str:
    if not isinstance(id, GroupId):
        raise TypeError(f"a GroupId is wanted, not {type(id).__name__}; GroupId(text) reads one")
    return str(id)


def _message_id(id: MessageId) -> str:
    if not isinstance(id, MessageId):
        raise TypeError(f"a MessageId is wanted, not {type(id).__name__}; MessageId(text) reads one")
    return str(id)
