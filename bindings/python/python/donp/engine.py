"""The state machine alone: bytes, time and records in, bytes, records and events out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from ._fast import Transmit
from ._ffi import donp_ffi as _ffi
from .contacts import (
    Confirmations,
    Contact,
    ConversationInfo,
    SafetyNumber,
    _confirmations_in,
    _contact_in,
    _info_in,
    _number_in,
)
from .content import (
    Content,
    Conversation,
    HistoryPage,
    _before_out,
    _content_out,
    _conversation_out,
    _group_id,
    _message_id,
    _node_id,
    _page_in,
)
from .devices import DeviceInfo, _device_in
from .errors import _RAISED, _call, _public
from .events import Event, _event_in
from .files import Attachment, FileInfo, _attachment_in, _attachment_out, _file_id, _file_in
from .groups import (
    DEFAULT_POLICY,
    GroupInfo,
    GroupKind,
    GroupPolicy,
    GroupRole,
    JoiningGroup,
    _group_in,
    _joining_in,
    _kind_out,
    _policy_out,
    _role_out,
)
from .ids import FileId, GroupId, MessageId, NodeId
from .status import (
    EngineStatus,
    NodeType,
    Peer,
    Power,
    _engine_status_in,
    _node_type_out,
    _peer_in,
    _power_out,
)
from .zone import FailureType, ZoneMember, _failure_out, _ids_out, _member_in

__all__ = [
    "Answer",
    "Batch",
    "Delete",
    "DeleteRange",
    "Engine",
    "FilePart",
    "Op",
    "Output",
    "Put",
    "Record",
    "Request",
    "Transmit",
]


class Record(NamedTuple):
    """One stored record."""

    table: int
    """Which table; those below 128 are hot and go to `restore`."""
    key: bytes
    """Its key; keys sort bytewise."""
    value: bytes
    """Its value. Secret in parts: seal it at rest."""


@dataclass(frozen=True, slots=True)
class Put:
    """Writes `value` under `key`, replacing what was there."""

    table: int
    """Which table; those below 128 are hot and go to `restore`."""
    key: bytes
    """Sorts bytewise."""
    value: bytes
    """Secret in parts: seal it at rest."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes `key` if it is there."""

    table: int
    """Which table."""
    key: bytes
    """The exact key."""


@dataclass(frozen=True, slots=True)
class DeleteRange:
    """Removes every key from `start` up to but not including `end`."""

    table: int
    """Which table."""
    start: bytes
    """The first key to go."""
    end: bytes
    """The first key to stay."""


Op: TypeAlias = Put | Delete | DeleteRange
"""One change to the store: `match` on the class."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes to write in one transaction, whole or not at all.

    Then pass `seq` to the next `Engine.turn` as `committed`: what depends on the changes is held back
    until then.
    """

    seq: int
    """The number to pass back."""
    ops: list[Op]
    """In the order they apply."""


@dataclass(frozen=True, slots=True)
class Request:
    """A read of records, to be answered with `Engine.handle_records`."""

    id: int
    """Goes back with the answer."""
    table: int
    """Which table."""
    start: bytes
    """The first key, included."""
    end: bytes
    """The end of the range, not included."""
    reverse: bool
    """From the end backwards."""
    limit: int
    """At most this many records."""
    max_bytes: int
    """Stop after the record that brings keys and values past this many bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to `Engine.history`."""

    query: int
    """The number that `Engine.history` returned."""
    page: HistoryPage
    """The messages."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """The answer to `Engine.read_file`."""

    query: int
    """The number that `Engine.read_file` returned."""
    content: bytes | None
    """The bytes; `None` if the part is not here."""


@dataclass(frozen=True, slots=True)
class Output:
    """What one turn gave. At most 1,024 datagrams, events, requests and answers each."""

    batch: Batch | None
    """Changes to write."""
    transmits: list[Transmit]
    """Datagrams to send, in order."""
    beacon: bytes | None
    """What to send to everybody near, at most 400 bytes; only of an engine made with `beacons`."""
    events: list[Event]
    """What happened, in order."""
    requests: list[Request]
    """Records to read."""
    answers: list[Answer]
    """Answers to `Engine.history`."""
    parts: list[FilePart]
    """Answers to `Engine.read_file`."""
    next_deadline_us: int | None
    """When to call `Engine.turn` again if nothing comes before. `None`: only when something comes."""
    more: bool
    """There is more than one turn gives: call again at once."""


class Engine:
    """The state machine of one node, for a transport of one's own: Bluetooth, a relay, a test.

    It has no socket, no clock and no thread: feed it with `turn`. Time is microseconds of a clock that
    never goes back and counts sleep; going back counts as standing still. Commands may be called between
    turns, from any thread; what they cause comes with the next `turn`, which is due at once.

    Integers are not negative and below 2^64; others raise `ValueError`.

    >>> from donp import Engine, generate_identity
    >>> engine = Engine(generate_identity("alice"), in_memory=True)
    >>> engine.join(0, ["192.0.2.1:4000"])
    >>> [t.destination for t in engine.turn(0).transmits]
    ['192.0.2.1:4000']
    """

    __slots__ = ("__weakref__", "_id", "_raw", "_turn")

    def __init__(
        self,
        identity: bytes,
        *,
        now_us: int = 0,
        wall_ms: int = 0,
        network_key: bytes | None = None,
        node_type: NodeType | None = None,
        bot: bool = False,
        power: Power = Power.NORMAL,
        beacons: bool = False,
        in_memory: bool = False,
        seed: bytes | None = None,
    ) -> None:
        """A node that never ran before.

        - `identity`: bytes of `generate_identity`.
        - `now_us`, `wall_ms`: the clock, and the wall clock in milliseconds since 1970, 0 if unknown:
          shown to people, never used for order.
        - `network_key`: the 32-byte key of a closed network.
        - `node_type`: what the node says it does; `bot`: that a program speaks here, not a person.
        - `power`: what the node may spend while nothing happens; `Power.LOW` is a phone's.
        - `beacons`: says that this node is near, and listens to others that do, for a caller that sends what
          `Output.beacon` has to everybody near and passes what it hears there to `handle_beacon`.
        - `in_memory`: the engine keeps its records in its own memory, gone with it; then `turn` gives no
          batch and no requests. Otherwise the caller is the store.
        - `seed`: 32 bytes that all randomness comes from, for repeatable simulations. Used twice with one
          identity on a real network it repeats nonces; leave it out there.

        Raises `InvalidInputError` for bytes of the wrong length or an identity that is none.
        """
        config = _config(identity, network_key, node_type, bot, power, beacons, in_memory, seed)
        self._set(_call(_ffi.Engine, config, now_us, wall_ms))

    @classmethod
    def restore(
        cls,
        identity: bytes,
        records: Iterable[Record],
        *,
        now_us: int = 0,
        wall_ms: int = 0,
        network_key: bytes | None = None,
        node_type: NodeType | None = None,
        bot: bool = False,
        power: Power = Power.NORMAL,
        beacons: bool = False,
        in_memory: bool = False,
        seed: bytes | None = None,
    ) -> Engine:
        """A node as its last written batch left it: `records` are those of all tables.

        Events that were not acknowledged come again. The other arguments are those of the constructor.
        Raises `DeniedError` for the records of another identity, `DamagedError` for records that cannot
        be read.
        """
        config = _config(identity, network_key, node_type, bot, power, beacons, in_memory, seed)
        engine = cls.__new__(cls)
        engine._set(_call(_ffi.Engine.restore, config, _records(records), now_us, wall_ms))
        return engine

    def _set(self, raw: _ffi.Engine) -> None:
        self._raw = raw
        # Its types are those of the generated records; _fast.py makes it take and give the public ones.
        self._turn: Callable[..., Any] = raw.turn
        self._id = NodeId._of(raw.id())

    @property
    def id(self) -> NodeId:
        """This node."""
        return self._id

    @property
    def is_dead(self) -> bool:
        """Whether a bug ended this engine. As cheap as a call can be."""
        return self._raw.is_dead()

    def turn(
        self, now_us: int, received: Sequence[tuple[str, bytes]] = (), committed: int | None = None
    ) -> Output:
        """One turn: does what is due and gives all there is to do.

        - `received`: datagrams that came in, each `(source, payload)`: an `ip:port` (a transport without
          such addresses makes some up) and the bytes. What is not understood or not allowed is counted.
        - `committed`: the number of the newest batch that was written.

        Raises `InvalidInputError` for a source that is no address; then nothing was taken in.
        """
        try:
            raw = self._turn(now_us, received, committed)
        except _RAISED as error:
            raise _public(error) from None
        batch = raw.batch
        return Output(
            None if batch is None else Batch(batch.seq, [_op_in(op) for op in batch.ops]),
            raw.transmits,
            raw.beacon,
            [_event_in(event) for event in raw.events],
            [Request(**vars(request)) for request in raw.requests],
            [Answer(answer.query, _page_in(answer.page)) for answer in raw.answers],
            [FilePart(part.query, part.content) for part in raw.parts],
            raw.next_deadline_us,
            raw.more,
        )

    def handle_datagram(self, now_us: int, source: str, payload: bytes) -> None:
        """Takes in one datagram without copying it; `turn` gives what follows from it."""
        _call(self._raw.handle_datagram, now_us, source, payload)

    def handle_records(self, now_us: int, request: int, records: Iterable[Record]) -> None:
        """The answer to a request of `turn`."""
        _call(self._raw.handle_records, now_us, request, _records(records))

    def join(self, now_us: int, places: Iterable[str] | str = ()) -> None:
        """Enters the network through any of `places`, or with none through any known node.

        A text with a colon is a place, `ip:port` or `ip:port/NodeId` (an engine does not look up names); one
        without is an invitation. Raises `InvalidInputError` for anything else, `DeniedError` for an
        invitation to another network.
        """
        invitations, rest = _sort_places([places] if isinstance(places, str) else places)
        for invitation in invitations:
            _call(self._raw.join_ticket, now_us, invitation)
        if rest or not invitations:
            _call(self._raw.join, now_us, rest)

    def leave(self, now_us: int) -> None:
        """Says goodbye to everybody."""
        _call(self._raw.leave, now_us)

    def invite(self) -> str:
        """An invitation to this node's network. For a closed one it holds the key and is as secret."""
        return _call(self._raw.invite)

    def send(self, now_us: int, to: NodeId, what: str | Content) -> MessageId:
        """Says something to one node."""
        return MessageId._of(_call(self._raw.send_private, now_us, _node_id(to), _content_out(what)))

    def broadcast(self, now_us: int, what: str | Content) -> MessageId:
        """Says something to everybody in the network."""
        return MessageId._of(_call(self._raw.broadcast, now_us, _content_out(what)))

    def send_to_group(self, now_us: int, group: GroupId, what: str | Content) -> MessageId:
        """Says something to the members of a group."""
        return MessageId._of(_call(self._raw.send_to_group, now_us, _group_id(group), _content_out(what)))

    def create_group(
        self,
        now_us: int,
        name: str,
        kind: GroupKind = GroupKind.PRIVATE,
        policy: GroupPolicy = DEFAULT_POLICY,
        expires_ms: int | None = None,
    ) -> GroupId:
        """Makes a group, as `Node.create_group`; a temporary one ends at `expires_ms`, a wall clock."""
        raw = _call(self._raw.create_group, now_us, _kind_out(kind), name, _policy_out(policy), expires_ms)
        return GroupId._of(raw)

    def invite_to_group(
        self,
        now_us: int,
        group: GroupId,
        role: GroupRole,
        uses: int,
        expires_ms: int,
        node: NodeId | None = None,
    ) -> str:
        """An invitation to a group, as `Node.invite_to_group`, good until `expires_ms`, a wall clock."""
        to = None if node is None else _node_id(node)
        return _call(
            self._raw.invite_to_group, now_us, _group_id(group), _role_out(role), uses, expires_ms, to
        )

    def join_group(self, now_us: int, invitation: str) -> None:
        """Asks to be a member of the group that an invitation names."""
        _call(self._raw.join_group, now_us, invitation)

    def leave_group(self, now_us: int, group: GroupId) -> None:
        """Leaves a group, or cancels a request to join. What was said while this node was a member stays."""
        _call(self._raw.leave_group, now_us, _group_id(group))

    def remove_member(self, now_us: int, group: GroupId, node: NodeId, ban: bool = False) -> None:
        """Removes a member of lower rank, for good with `ban`. It reads nothing that is said from then on."""
        _call(self._raw.remove_member, now_us, _group_id(group), _node_id(node), ban)

    def unban_member(self, now_us: int, group: GroupId, node: NodeId) -> None:
        """Ends a ban: the node may be invited again. Raises as `remove_member`."""
        _call(self._raw.unban_member, now_us, _group_id(group), _node_id(node))

    def set_member_role(self, now_us: int, group: GroupId, node: NodeId, role: GroupRole) -> None:
        """Gives a member of lower rank another rank, below this node's. Raises as `remove_member`."""
        _call(self._raw.set_member_role, now_us, _group_id(group), _node_id(node), _role_out(role))

    def transfer_group(self, now_us: int, group: GroupId, node: NodeId) -> None:
        """Makes another member the owner; this node is an admin from then on. Raises as `remove_member`."""
        _call(self._raw.transfer_group, now_us, _group_id(group), _node_id(node))

    def rename_group(self, now_us: int, group: GroupId, name: str) -> None:
        """Gives a group another name, 1 to 64 bytes. Raises as `remove_member`."""
        _call(self._raw.rename_group, now_us, _group_id(group), name)

    def describe_group(self, now_us: int, group: GroupId, description: str) -> None:
        """Gives a group another description, at most 1,024 bytes. Raises as `remove_member`."""
        _call(self._raw.describe_group, now_us, _group_id(group), description)

    def pin_message(self, now_us: int, group: GroupId, message: MessageId) -> None:
        """As `Node.pin_message`."""
        _call(self._raw.pin_message, now_us, _group_id(group), _message_id(message))

    def unpin_message(self, now_us: int, group: GroupId, message: MessageId) -> None:
        """As `Node.unpin_message`."""
        _call(self._raw.unpin_message, now_us, _group_id(group), _message_id(message))

    def set_group_policy(self, now_us: int, group: GroupId, policy: GroupPolicy) -> None:
        """Gives a group another policy: for its owner. Raises as `remove_member`."""
        _call(self._raw.set_group_policy, now_us, _group_id(group), _policy_out(policy))

    def answer_join(self, now_us: int, group: GroupId, node: NodeId, approve: bool) -> None:
        """Adds a node that asked to join, or says no. Raises as `remove_member`."""
        _call(self._raw.answer_join, now_us, _group_id(group), _node_id(node), approve)

    def groups(self) -> list[GroupInfo]:
        """The groups that this node is or was a member of."""
        return [_group_in(raw) for raw in _call(self._raw.groups)]

    def group(self, group: GroupId) -> GroupInfo | None:
        """One of them, with its members; `None` if this node is and was in no such group."""
        raw = _call(self._raw.group, _group_id(group))
        return None if raw is None else _group_in(raw)

    def joining_groups(self) -> list[JoiningGroup]:
        """Groups that this node asked to join and is no member of yet."""
        return [_joining_in(raw) for raw in _call(self._raw.joining_groups)]

    def add_file(self, now_us: int, content: bytes, name: str, media_type: str = "") -> Attachment:
        """Adds bytes as a file with this name, sent as `File`. Raises as `Node.add_file`."""
        return _attachment_in(_call(self._raw.add_file, now_us, content, name, media_type))

    def fetch_file(
        self, now_us: int, conversation: Conversation, file: Attachment, author: NodeId | None = None
    ) -> None:
        """Fetches a file that a message of this conversation names, as `Node.fetch_file`."""
        who = None if author is None else _node_id(author)
        _call(self._raw.fetch_file, now_us, _conversation_out(conversation), _attachment_out(file), who)

    def files(self) -> list[FileInfo]:
        """The files that are here or being fetched, in the order in which they came."""
        return [_file_in(raw) for raw in _call(self._raw.files)]

    def read_file(self, now_us: int, file: FileId, part: int) -> int:
        """Asks for the bytes of a part of a file, 65,520 of them but for the last.

        A later `turn` gives the `FilePart` under the number that this returns.
        """
        return _call(self._raw.read_file, now_us, _file_id(file), part)

    def remove_file(self, now_us: int, file: FileId) -> None:
        """Removes a file here, or ends its fetch. Others keep theirs."""
        _call(self._raw.remove_file, now_us, _file_id(file))

    def history(
        self, now_us: int, conversation: Conversation, before: MessageId | None = None, limit: int = 100
    ) -> int:
        """Asks for the page that ends before `before`, or the newest: at most `limit` messages (1 to 1,000).

        A later `turn` gives the `Answer` under the number that this returns.
        """
        where = _conversation_out(conversation)
        return _call(self._raw.history, now_us, where, _before_out(before), limit)

    def ack(self, now_us: int, seq: int) -> None:
        """Every durable event up to and including `seq` was handled: it does not come again."""
        _call(self._raw.ack, now_us, seq)

    def members(self) -> list[ZoneMember]:
        """The members of this node's zone, by id, without itself, as `Node.members`."""
        return [_member_in(raw) for raw in _call(self._raw.members)]

    def detect_node_failure(self, now_us: int, peer: NodeId) -> None:
        """Asks a node whether it is there; `MemberChanged` answers, as `Node.detect_node_failure`."""
        _call(self._raw.detect_node_failure, now_us, _node_id(peer))

    def block(self, now_us: int, peer: NodeId) -> None:
        """Blocks a node, as `Node.block`."""
        _call(self._raw.block, now_us, _node_id(peer))

    def unblock(self, now_us: int, peer: NodeId) -> None:
        """Ends `block`, as `Node.unblock`."""
        _call(self._raw.unblock, now_us, _node_id(peer))

    def blocked(self) -> list[NodeId]:
        """Blocked nodes, by id."""
        return [NodeId._of(id) for id in _call(self._raw.blocked)]

    def contacts(self) -> list[Contact]:
        """As `Node.contacts`."""
        return [_contact_in(raw) for raw in _call(self._raw.contacts)]

    def contact(self, node: NodeId) -> Contact | None:
        """As `Node.contact`."""
        raw = _call(self._raw.contact, _node_id(node))
        return None if raw is None else _contact_in(raw)

    def add_contact(self, now_us: int, node: NodeId, petname: str | None = None) -> None:
        """As `Node.add_contact`."""
        _call(self._raw.add_contact, now_us, _node_id(node), petname)

    def rename_contact(self, now_us: int, node: NodeId, petname: str | None) -> None:
        """As `Node.rename_contact`."""
        _call(self._raw.rename_contact, now_us, _node_id(node), petname)

    def remove_contact(self, now_us: int, node: NodeId) -> None:
        """As `Node.remove_contact`."""
        _call(self._raw.remove_contact, now_us, _node_id(node))

    def accept_contact(self, now_us: int, node: NodeId) -> None:
        """As `Node.accept_contact`."""
        _call(self._raw.accept_contact, now_us, _node_id(node))

    def mute_contact(self, now_us: int, node: NodeId, muted: bool = True) -> None:
        """As `Node.mute_contact`."""
        _call(self._raw.mute_contact, now_us, _node_id(node), muted)

    def safety_number(self, now_us: int, node: NodeId) -> SafetyNumber:
        """As `Node.safety_number`."""
        return _number_in(_call(self._raw.safety_number, now_us, _node_id(node)))

    def verify_contact(self, now_us: int, node: NodeId, shown: str) -> None:
        """As `Node.verify_contact`."""
        _call(self._raw.verify_contact, now_us, _node_id(node), shown)

    def accept_change(self, now_us: int, node: NodeId) -> None:
        """As `Node.accept_change`."""
        _call(self._raw.accept_change, now_us, _node_id(node))

    def devices(self) -> list[DeviceInfo]:
        """As `Node.devices`."""
        return [_device_in(raw) for raw in _call(self._raw.devices)]

    def devices_of(self, node: NodeId) -> list[NodeId]:
        """As `Node.devices_of`."""
        return [NodeId._of(raw) for raw in _call(self._raw.devices_of, _node_id(node))]

    def add_device(self, now_us: int) -> str:
        """As `Node.add_device`."""
        return _call(self._raw.add_device, now_us)

    def join_account(self, now_us: int, ticket: str) -> None:
        """As `Node.join_account`."""
        _call(self._raw.join_account, now_us, ticket)

    def is_joining_account(self) -> bool:
        """As `Node.is_joining_account`."""
        return _call(self._raw.is_joining_account)

    def rename_device(self, now_us: int, name: str) -> None:
        """As `Node.rename_device`."""
        _call(self._raw.rename_device, now_us, name)

    def remove_device(self, now_us: int, node: NodeId) -> None:
        """As `Node.remove_device`."""
        _call(self._raw.remove_device, now_us, _node_id(node))

    def recover_account(self, now_us: int, code: str) -> None:
        """As `Node.recover_account`."""
        _call(self._raw.recover_account, now_us, code)

    def recovery_code(self) -> str | None:
        """As `Node.recovery_code`."""
        return _call(self._raw.recovery_code)

    def conversations(self) -> list[ConversationInfo]:
        """As `Node.conversations`."""
        return [_info_in(raw) for raw in _call(self._raw.conversations)]

    def mark_read(self, now_us: int, conversation: Conversation, upto: MessageId | None = None) -> None:
        """As `Node.mark_read`."""
        _call(self._raw.mark_read, now_us, _conversation_out(conversation), _before_out(upto))

    def confirmations(self, now_us: int, conversation: Conversation, message: MessageId) -> Confirmations:
        """As `Node.confirmations`."""
        raw = _call(self._raw.confirmations, now_us, _conversation_out(conversation), _message_id(message))
        return _confirmations_in(raw)

    def send_typing(self, now_us: int, conversation: Conversation) -> None:
        """As `Node.send_typing`."""
        _call(self._raw.send_typing, now_us, _conversation_out(conversation))

    def delete_conversation(self, now_us: int, conversation: Conversation) -> None:
        """As `Node.delete_conversation`."""
        _call(self._raw.delete_conversation, now_us, _conversation_out(conversation))

    def authenticate_node(self, now_us: int, peer: NodeId) -> None:
        """As `Node.authenticate_node`."""
        _call(self._raw.authenticate_node, now_us, _node_id(peer))

    def report_partition(self, now_us: int, peers: Iterable[NodeId] = ()) -> None:
        """These nodes seem to be cut off: asks and contacts them, as `Node.report_partition`."""
        _call(self._raw.report_partition, now_us, _ids_out(peers))

    def recover_from_failure(self, now_us: int, failure: FailureType) -> None:
        """Mends what failed without waiting, as `Node.recover_from_failure`."""
        _call(self._raw.recover_from_failure, now_us, _failure_out(failure))

    def synchronize_state(self, now_us: int, peer: NodeId) -> None:
        """Compares what is said with another node at once, as `Node.synchronize_state`."""
        _call(self._raw.synchronize_state, now_us, _node_id(peer))

    def handle_local_peer(self, now_us: int, address: str, id: NodeId | None = None) -> None:
        """A node near may be at `address`, `ip:port`: a hint, tried once, as `Node.handle_local_peer`."""
        _call(self._raw.handle_local_peer, now_us, address, None if id is None else _node_id(id))

    def handle_beacon(self, now_us: int, source: str, payload: bytes) -> None:
        """Takes in what some engine near gave as `Output.beacon`: a hint that it is at `source`, `ip:port`.

        What is not understood, or of another network, is counted. Nothing happens without `beacons`.
        """
        _call(self._raw.handle_beacon, now_us, source, payload)

    def set_local_addresses(self, now_us: int, addresses: Iterable[str]) -> None:
        """Addresses that this node can be reached at, `ip:port`, best first: for invitations."""
        _call(self._raw.set_local_addresses, now_us, list(addresses))

    def set_wall_clock(self, now_us: int, wall_ms: int) -> None:
        """The wall clock was read again: once a minute, and after `resume`."""
        _call(self._raw.set_wall_clock, now_us, wall_ms)

    def add_entropy(self, entropy: bytes) -> None:
        """Mixes 32 bytes of the system's randomness in: once an hour."""
        _call(self._raw.add_entropy, entropy)

    def network_changed(self, now_us: int) -> None:
        """The device has another network: every link is probed at once."""
        _call(self._raw.network_changed, now_us)

    def suspend(self, now_us: int) -> None:
        """The device is about to sleep: commands are refused until `resume`."""
        _call(self._raw.suspend, now_us)

    def resume(self, now_us: int) -> None:
        """The device woke up."""
        _call(self._raw.resume, now_us)

    def status(self) -> EngineStatus:
        """The engine at a glance."""
        return _engine_status_in(_call(self._raw.status))

    def peers(self, max: int = 1_000) -> list[Peer]:
        """Nodes that were met or named by others, at most `max`."""
        return [_peer_in(raw) for raw in _call(self._raw.peers, max)]

    def peer(self, id: NodeId) -> Peer | None:
        """What is known of one node; `None` if it was never met or named by others."""
        raw = _call(self._raw.peer, _node_id(id))
        return None if raw is None else _peer_in(raw)

    def is_queued(self, id: MessageId) -> bool:
        """Whether a private message waits for its acknowledgement."""
        return _call(self._raw.is_queued, _message_id(id))

    def simulate_crash(self) -> None:
        """Panics inside the engine, as a bug would: to try what an application does then.

        Always raises `InternalError`.
        """
        _call(self._raw.simulate_crash)

    def __repr__(self) -> str:
        return f"<donp.Engine {self._id.short}>"


def _config(
    identity: bytes,
    network_key: bytes | None,
    node_type: NodeType | None,
    bot: bool,
    power: Power,
    beacons: bool,
    in_memory: bool,
    seed: bytes | None,
) -> _ffi.EngineConfig:
    return _ffi.EngineConfig(
        identity=identity,
        network_key=network_key,
        node_type=_node_type_out(node_type),
        bot=bot,
        power=_power_out(power),
        beacons=beacons,
        in_memory=in_memory,
        seed=seed,
    )


def _records(records: Iterable[Record]) -> list[_ffi.Record]:
    return [_ffi.Record(table=table, key=key, value=value) for table, key, value in records]


def _sort_places(places: Iterable[str]) -> tuple[list[str], list[str]]:
    """Invitations, and places."""
    invitations: list[str] = []
    rest: list[str] = []
    for place in places:
        if not isinstance(place, str):
            raise TypeError(f"a place or an invitation is a str, not {type(place).__name__}")
        (rest if ":" in place else invitations).append(place)
    return invitations, rest


def _op_in(raw: _ffi.Op) -> Op:
    match raw:
        case _ffi.Op.PUT():
            return Put(raw.table, raw.key, raw.value)
        case _ffi.Op.DELETE():
            return Delete(raw.table, raw.key)
        case _ffi.Op.DELETE_RANGE():
            return DeleteRange(raw.table, raw.start, raw.end)
    # Leaving a change out would lose records.
    raise NotImplementedError(f"a change of an unknown kind: {raw!r}")
