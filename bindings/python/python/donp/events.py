"""What happens, and the stream that tells it."""

from __future__ import annotations

import asyncio
import enum
import os
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import TypeAlias

from . import _freed as _freed
from ._ffi import donp_ffi as _ffi
from .contacts import AuthenticationResult, Confirmations, _confirmations_in
from .content import Conversation, Message, _conversation_in, _message_in
from .errors import ClosedError, InternalError
from .groups import GroupChange, GroupRole, Refusal
from .ids import FileId, GroupId, MessageId, NodeId
from .status import NodeState
from .zone import MemberState

__all__ = [
    "AccountDataChanged",
    "Authenticated",
    "Confirmed",
    "ContactChanged",
    "ContactRequest",
    "Delivered",
    "DevicesChanged",
    "DownReason",
    "Event",
    "Events",
    "FailReason",
    "Failed",
    "FileProgress",
    "FileReceived",
    "Forked",
    "GroupChanged",
    "Lagged",
    "LifeBegun",
    "MemberChanged",
    "PeerDown",
    "PeerUp",
    "Received",
    "StateChanged",
    "Typing",
    "UnknownEvent",
    "Writable",
]

# Taken from the library at once.
_BATCH = 64
# The most that the library gives at once.
_MOST = 4_096
# A blocking wait is at most this long, so that Python sees a Ctrl-C in between.
_SLICE_MS = 200


class DownReason(enum.Enum):
    """Why a link went down."""

    TIMEOUT = "timeout"
    """Nothing was received for too long."""
    CLOSED = "closed"
    """The other side said goodbye."""
    RESTARTED = "restarted"
    """The other side started anew."""
    UNWANTED = "unwanted"
    """This node no longer needs it."""
    FULL = "full"
    """There are too many links."""
    MISBEHAVED = "misbehaved"
    """It sent forged messages."""
    OTHER = "other"
    """A reason of a newer version."""


class FailReason(enum.Enum):
    """Why a private message will not be delivered."""

    EXPIRED = "expired"
    """It was not delivered in the time that it is kept for, 30 days of running."""
    REFUSED = "refused"
    """The other side rejects it."""
    BLOCKED = "blocked"
    """The other side is blocked here."""
    OTHER = "other"
    """A reason of a newer version."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message of another author is in a conversation, stored and in causal order. Durable."""

    seq: int
    """The number to acknowledge."""
    message: Message
    """What was said."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other side has stored a private message. Durable."""

    seq: int
    """The number to acknowledge."""
    id: MessageId
    """Which message."""
    to: NodeId
    """Who has it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A private message will not be delivered. Durable."""

    seq: int
    """The number to acknowledge."""
    id: MessageId
    """Which message."""
    to: NodeId
    """Who should have had it."""
    reason: FailReason
    """Why."""


@dataclass(frozen=True, slots=True)
class Forked:
    """An author said two different things under one number. Durable.

    Its profile was copied, or it cheats. Both stay in the history, in the order that all nodes have.
    """

    seq: int
    """The number to acknowledge."""
    conversation: Conversation
    """The conversation."""
    author: NodeId
    """The author."""
    life: str
    """Which of the author's logs, in hexadecimal."""
    number: int
    """The number of both messages in that log."""


@dataclass(frozen=True, slots=True)
class LifeBegun:
    """Another copy of this profile speaks in a conversation. Durable.

    This one was restored from a backup, or runs twice. It starts a new message log, and nothing that
    either said is lost.
    """

    seq: int
    """The number to acknowledge."""
    conversation: Conversation
    """The conversation."""


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """Something changed in a group, or in an application to join one. Durable.

    Fields that do not belong to the change are `None`.
    """

    seq: int
    """The number to acknowledge."""
    group: GroupId
    """Which group."""
    change: GroupChange
    """What changed."""
    node: NodeId | None = None
    """The node that asked, was added, removed or ranked."""
    name: str | None = None
    """The name that a node which asked claims."""
    role: GroupRole | None = None
    """The rank of the node."""
    text: str | None = None
    """The new name or description."""
    message: MessageId | None = None
    """The message that was pinned, or is not any more."""
    reason: Refusal | None = None
    """Why this node was not added."""


@dataclass(frozen=True, slots=True)
class FileReceived:
    """A file is here whole: it was asked for, or is small. Durable."""

    seq: int
    """The number to acknowledge."""
    file: FileId
    """Which."""


@dataclass(frozen=True, slots=True)
class FileProgress:
    """More of a file is here. Volatile."""

    file: FileId
    """Which."""
    bytes: int
    """Bytes that are here."""
    size: int
    """Of so many."""
    holders: int
    """Nodes that it is being fetched from."""

    seq = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Members have stored or read more of what this node said. Volatile.

    A private message that is stored has `Delivered` instead.
    """

    conversation: Conversation
    """Where."""
    confirmations: Confirmations
    """Who has the newest message of this node that rose, or an entry without text. Of older ones ask
    `Node.confirmations`."""

    seq = None


@dataclass(frozen=True, slots=True)
class Typing:
    """A node types in a group or a private conversation, or has stopped. Volatile.

    It ends with a message, after six seconds, or when the node is not linked.
    """

    conversation: Conversation
    """Where."""
    node: NodeId
    """Who."""
    active: bool
    """Whether it types."""

    seq = None


@dataclass(frozen=True, slots=True)
class ContactRequest:
    """A stranger wrote a private message for the first time. Durable.

    It is in the book as a request until it is accepted, removed or blocked, or written to.
    """

    seq: int
    """The number to acknowledge."""
    node: NodeId
    """Which node."""


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """A device came to the account of a contact or of this node, or is gone from it. Durable.

    A verified contact counts as changed until it was looked at.
    """

    seq: int
    """The number to acknowledge."""
    node: NodeId
    """The first device of the account, which stands for the person."""
    device: NodeId
    """Which device."""
    added: bool
    """Whether it came, or is gone."""


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """A verified contact has another key. Durable.

    Nothing is sent to it until `Node.verify_contact` or `Node.accept_change`.
    """

    seq: int
    """The number to acknowledge."""
    node: NodeId
    """Which node."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """This node's state changed. Volatile."""

    before: NodeState
    """Before."""
    after: NodeState
    """After."""

    seq = None


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A node is linked to this one. Volatile."""

    peer: NodeId
    """Who."""
    name: str | None
    """The name it claims, once it is known."""

    seq = None


@dataclass(frozen=True, slots=True)
class PeerDown:
    """A node is not linked any more. Volatile."""

    peer: NodeId
    """Who."""
    reason: DownReason
    """Why."""

    seq = None


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """What this node holds of a member of its zone changed, or was asked for. Volatile.

    `Node.detect_node_failure` asks. Who is new in the zone is found in `Node.members`.
    """

    peer: NodeId
    """Who."""
    state: MemberState
    """What it is held for."""

    seq = None


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The result of `Node.authenticate_node`. Volatile."""

    peer: NodeId
    """Which node."""
    result: AuthenticationResult
    """Whether its device is at the other end of the link."""

    seq = None


@dataclass(frozen=True, slots=True)
class AccountDataChanged:
    """The user set something on another of its devices. Volatile.

    Contacts, blocks and what is unread are to be read again.
    """

    seq = None


@dataclass(frozen=True, slots=True)
class Writable:
    """A queue that refused a call with `BusyError` has room again. Volatile."""

    seq = None


@dataclass(frozen=True, slots=True)
class Lagged:
    """The reader was too slow and volatile events were lost: read the state again.

    Messages are never lost, they are in the history.
    """

    missed: int
    """How many."""

    seq = None


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """Something of a newer version, which this one cannot show."""

    seq: int | None
    """The number to acknowledge, if it is durable."""


Event: TypeAlias = (
    Received
    | Delivered
    | Failed
    | Forked
    | LifeBegun
    | GroupChanged
    | FileReceived
    | FileProgress
    | Confirmed
    | Typing
    | ContactRequest
    | ContactChanged
    | DevicesChanged
    | StateChanged
    | PeerUp
    | PeerDown
    | MemberChanged
    | Authenticated
    | AccountDataChanged
    | Writable
    | Lagged
    | UnknownEvent
)
"""Something that happened: `match` on the class.

`Received`, `Delivered`, `Failed`, `Forked`, `LifeBegun`, `GroupChanged`, `FileReceived`, `ContactRequest`,
`ContactChanged` and `DevicesChanged` are durable: they come again after a restart until `ack` was called with
their `seq` or a higher one. So is an `UnknownEvent` that has a `seq`. The others are volatile: their `seq` is
`None`.
"""


class Events:
    """One reader's events: iterate with `for` or `async for`, or ask with `poll` and `take`.

    It begins at the call of `events()`, not when iteration begins: with the durable events from the
    oldest that was not acknowledged, and with the volatile ones from then on. Several readers do not
    disturb one another. Durable events are never lost; of the volatile ones 1,024 are kept, then the
    oldest go and one `Lagged` says how many.

    Iteration ends when the node is shut down or the stream is closed. A wait that is cancelled or
    interrupted loses nothing: the next one goes on where it was.

    >>> import donp
    >>> node = donp.Node(name="alice", listen="127.0.0.1:0")
    >>> events = node.events()
    >>> with node:
    ...     next(iter(events))
    StateChanged(before=<NodeState.INITIALIZING: 'initializing'>, after=<NodeState.ACTIVE: 'active'>)
    """

    def __init__(self, raw: object) -> None:
        """Made by `Node.events`."""
        if not isinstance(raw, _ffi.EventStream):
            raise TypeError("a stream of events is made by Node.events()")
        self._made = raw
        self._process = os.getpid()
        self._taken: deque[Event] = deque()
        self._waiting: asyncio.Task[bool] | None = None
        self._guarded = False

    @property
    def _raw(self) -> _ffi.EventStream:
        if self._process != os.getpid():
            # The node's thread did not come along: nothing would ever come, and its locks may be held.
            raise ClosedError(
                f"this stream of events is of process {self._process}, and a fork has no node",
                "make the node after the fork, in the process that uses it",
            )
        return self._made

    def __iter__(self) -> Iterator[Event]:
        """Waits for one event after the other. Ctrl-C works."""
        while True:
            if self._fill(_BATCH):
                yield self._taken.popleft()
            elif not self._raw.wait(_SLICE_MS) and self._raw.is_finished():
                return

    def __aiter__(self) -> Events:
        """The stream itself."""
        return self

    async def __anext__(self) -> Event:
        """The next event; cancelling it loses none."""
        while not self._fill(_BATCH):
            if not await self._ready():
                raise StopAsyncIteration
        return self._taken.popleft()

    def poll(self, timeout: float = 0.0, max: int = _MOST) -> list[Event]:
        """At most `max` events (1 to 4,096), waiting up to `timeout` seconds for the first.

        An empty list if none came, or if none will: `is_finished` tells which.
        """
        deadline = monotonic() + timeout
        while not self._fill(max):
            left_ms = int((deadline - monotonic()) * 1_000)
            if left_ms <= 0 or (not self._raw.wait(min(left_ms, _SLICE_MS)) and self._raw.is_finished()):
                break
        return self.take(max)

    def take(self, max: int = _MOST) -> list[Event]:
        """At most `max` events (1 to 4,096) that are there, without waiting."""
        self._fill(max)
        return [self._taken.popleft() for _ in range(min(max, len(self._taken)))]

    def close(self) -> None:
        """Ends every wait, at once and from now on. What had come can still be taken. Again is nothing."""
        self._raw.shutdown()

    @property
    def is_finished(self) -> bool:
        """Whether everything was taken and nothing will come any more."""
        return not self._taken and self._raw.is_finished()

    def __enter__(self) -> Events:
        """The stream, which the end of the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the stream."""
        self.close()

    def _fill(self, max: int) -> bool:
        """Takes up to `max` events if none is left; whether there is any."""
        raw = self._raw
        if not self._taken:
            self._taken.extend(map(_event_in, raw.take(max)))
        return bool(self._taken)

    async def _ready(self) -> bool:
        # One wait for all who are cancelled and come back: each wait of its own would leave a waker
        # with the node until the next event.
        loop = asyncio.get_running_loop()
        if not self._guarded:
            # A wait that was given up keeps the library's side alive until it ends. Not in `__del__`: in a
            # cycle that of the library's side may have run before.
            weakref.finalize(self, _end, self._raw, self._process).atexit = False
            self._guarded = True
        if self._waiting is None or self._waiting.done() or self._waiting.get_loop() is not loop:
            self._waiting = loop.create_task(self._raw.ready(), name="donp: waiting for events")
        waiting = self._waiting
        ready = await asyncio.shield(waiting)
        if self._waiting is waiting:
            self._waiting = None
        return ready


def _end(raw: _ffi.EventStream, process: int) -> None:
    if process == os.getpid():
        raw.shutdown()


def _event_in(raw: _ffi.Event) -> Event:
    match raw:
        case _ffi.Event.RECEIVED():
            return Received(raw.seq, _message_in(raw.message))
        case _ffi.Event.DELIVERED():
            return Delivered(raw.seq, MessageId._of(raw.id), NodeId._of(raw.to))
        case _ffi.Event.FAILED():
            return Failed(raw.seq, MessageId._of(raw.id), NodeId._of(raw.to), FailReason[raw.reason.name])
        case _ffi.Event.FORKED():
            where = _conversation_in(raw.conversation)
            return Forked(raw.seq, where, NodeId._of(raw.author), raw.life, raw.number)
        case _ffi.Event.LIFE_BEGUN():
            return LifeBegun(raw.seq, _conversation_in(raw.conversation))
        case _ffi.Event.GROUP_CHANGED():
            return GroupChanged(
                raw.seq,
                GroupId._of(raw.group),
                GroupChange[raw.change.name],
                None if raw.node is None else NodeId._of(raw.node),
                raw.name,
                None if raw.role is None else GroupRole[raw.role.name],
                raw.text,
                None if raw.message is None else MessageId._of(raw.message),
                None if raw.reason is None else Refusal[raw.reason.name],
            )
        case _ffi.Event.FILE_RECEIVED():
            return FileReceived(raw.seq, FileId._of(raw.file))
        case _ffi.Event.FILE_PROGRESS():
            return FileProgress(FileId._of(raw.file), raw.bytes, raw.size, raw.holders)
        case _ffi.Event.CONFIRMED():
            return Confirmed(_conversation_in(raw.conversation), _confirmations_in(raw.confirmations))
        case _ffi.Event.TYPING():
            return Typing(_conversation_in(raw.conversation), NodeId._of(raw.node), raw.active)
        case _ffi.Event.CONTACT_REQUEST():
            return ContactRequest(raw.seq, NodeId._of(raw.node))
        case _ffi.Event.CONTACT_CHANGED():
            return ContactChanged(raw.seq, NodeId._of(raw.node))
        case _ffi.Event.DEVICES_CHANGED():
            return DevicesChanged(raw.seq, NodeId._of(raw.node), NodeId._of(raw.device), raw.added)
        case _ffi.Event.AUTHENTICATED():
            return Authenticated(NodeId._of(raw.peer), AuthenticationResult[raw.result.name])
        case _ffi.Event.STATE_CHANGED():
            return StateChanged(NodeState[raw.before.name], NodeState[raw.after.name])
        case _ffi.Event.PEER_UP():
            return PeerUp(NodeId._of(raw.peer), raw.name)
        case _ffi.Event.PEER_DOWN():
            return PeerDown(NodeId._of(raw.peer), DownReason[raw.reason.name])
        case _ffi.Event.MEMBER_CHANGED():
            return MemberChanged(NodeId._of(raw.peer), MemberState[raw.state.name])
        case _ffi.Event.ACCOUNT_DATA_CHANGED():
            return AccountDataChanged()
        case _ffi.Event.WRITABLE():
            return Writable()
        case _ffi.Event.LAGGED():
            return Lagged(raw.missed)
        case _ffi.Event.UNKNOWN():
            return UnknownEvent(raw.seq)
    raise InternalError(f"an event of an unknown kind: {raw!r}")
