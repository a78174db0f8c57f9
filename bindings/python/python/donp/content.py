"""What people say, and where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeAlias

from ._ffi import donp_ffi as _ffi
from .ids import MessageId, NodeId

__all__ = [
    "NETWORK",
    "Content",
    "Conversation",
    "Edit",
    "HistoryPage",
    "Message",
    "Network",
    "Position",
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
class Unknown:
    """Something of a newer version, which this one cannot show. It cannot be sent."""


Content: TypeAlias = Text | Reply | Edit | React | Retract | Unknown
"""What a message says: `match` on the class."""


@dataclass(frozen=True, slots=True)
class Network:
    """The conversation of everybody in the network."""


@dataclass(frozen=True, slots=True)
class Private:
    """The conversation of this node and one other."""

    peer: NodeId
    """The other."""


Conversation: TypeAlias = Network | Private
"""Who a conversation is between: `match` on the class."""

NETWORK = Network()
"""The conversation of everybody in the network."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a conversation's order, which is the same for everybody.

    The order is by causal depth, then author, then id; positions compare so.
    """

    depth: int
    """Causal depth."""
    author: NodeId
    """Whose message."""
    id: MessageId
    """Which message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a conversation holds it."""

    id: MessageId
    """The hash of conversation, author and content."""
    conversation: Conversation
    """Where it was said."""
    author: NodeId
    """Who said it."""
    seq: int
    """The author's number for it in this conversation, from 1 without gaps."""
    depth: int
    """One more than the deepest message its author had seen: rises along every causal step."""
    sent_at_ms: int
    """The author's wall clock in milliseconds since 1970: to show, never used for order."""
    content: Content
    """What it says."""

    @property
    def text(self) -> str:
        """The text of a `Text`, `Reply` or `Edit`, the mark of a `React`, else the empty string."""
        match self.content:
            case Text(text=text) | Reply(text=text) | Edit(text=text):
                return text
            case React(mark=mark):
                return mark
            case _:
                return ""

    @property
    def position(self) -> Position:
        """Its place in the conversation's order: pass it as `before` to read what came earlier."""
        return Position(self.depth, self.author, self.id)

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
    older: Position | None
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
        case _:
            return Unknown()


def _conversation_out(conversation: Conversation) -> _ffi.Conversation:
    match conversation:
        case Network():
            return _ffi.Conversation.NETWORK()
        case Private(peer):
            return _ffi.Conversation.PRIVATE(_node_id(peer))
    raise TypeError(f"a conversation is NETWORK or Private(peer), not {type(conversation).__name__}")


def _conversation_in(raw: _ffi.Conversation) -> Conversation:
    if isinstance(raw, _ffi.Conversation.PRIVATE):
        return Private(NodeId._of(raw.peer))
    return NETWORK


def _message_in(raw: _ffi.Message) -> Message:
    return Message(
        MessageId._of(raw.id),
        _conversation_in(raw.conversation),
        NodeId._of(raw.author),
        raw.seq,
        raw.depth,
        raw.sent_at_ms,
        _content_in(raw.content),
    )


def _position_out(position: Position | None) -> _ffi.Position | None:
    if position is None:
        return None
    return _ffi.Position(depth=position.depth, author=str(position.author), id=str(position.id))


def _page_in(raw: _ffi.HistoryPage) -> HistoryPage:
    older = raw.older
    return HistoryPage(
        [_message_in(m) for m in raw.messages],
        None if older is None else Position(older.depth, NodeId._of(older.author), MessageId._of(older.id)),
    )


def _node_id(id: NodeId) -> str:
    if not isinstance(id, NodeId):
        raise TypeError(f"a NodeId is wanted, not {type(id).__name__}; NodeId(text) reads one")
    return str(id)


def _message_id(id: MessageId) -> str:
    if not isinstance(id, MessageId):
        raise TypeError(f"a MessageId is wanted, not {type(id).__name__}; MessageId(text) reads one")
    return str(id)
