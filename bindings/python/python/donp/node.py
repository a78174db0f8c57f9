"""A node with everything it needs: sockets, clock, store and thread."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import ClassVar, TypeVar

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
    Edit,
    Group,
    HistoryPage,
    Message,
    Private,
    React,
    Reply,
    Retract,
    _before_out,
    _content_out,
    _conversation_out,
    _group_id,
    _message_id,
    _node_id,
    _page_in,
)
from .devices import DeviceInfo, _device_in
from .engine import _sort_places
from .errors import ClosedError, DonpError, InvalidInputError, TimeoutError, _call
from .events import Events
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
from .keystore import KeyStore, _Adapter
from .status import (
    Checked,
    FetchResult,
    Lan,
    NodeStatus,
    NodeType,
    Peer,
    Power,
    _lan_out,
    _node_status_in,
    _node_type_out,
    _peer_in,
    _power_out,
)
from .zone import FailureType, ZoneMember, _failure_out, _ids_out, _member_in

__all__ = ["Node", "restore_profile"]

_Self = TypeVar("_Self", bound="Node")
_T = TypeVar("_T")

# How often a wait looks again, in seconds.
_LOOK_AGAIN = 0.05


def restore_profile(backup: str | os.PathLike[str], state_dir: str | os.PathLike[str]) -> None:
    """Makes a profile in `state_dir`, which must not be there, from what `Node.backup` made.

    It goes on in logs of its own, so that nothing that was said after the backup is lost. Raises
    `NotFoundError` if there is no backup, `AlreadyExistsError` for `state_dir`, `DamagedError` for a file of
    something else.
    """
    _call(_ffi.restore_profile, os.fspath(backup), os.fspath(state_dir))


class Node:
    """A node: give it a folder, and it keeps itself in the network.

    Use it in `with`, which starts it and shuts it down; or call `start` and `shutdown`. Calls that store
    something return when it is on disk, some milliseconds: in an event loop use `AsyncNode`. Calls may
    come from any thread, and every one raises a `DonpError` for what it cannot do: `ClosedError` after
    `shutdown`, `InternalError` after a bug.

    A node that is forgotten shuts itself down, and so does every node that is left when the program ends.

    >>> import donp
    >>> with donp.Node(name="alice", listen="127.0.0.1:0") as alice:
    ...     with donp.Node(name="bob", listen="127.0.0.1:0") as bob:
    ...         heard = bob.events()
    ...         bob.join(alice.invite())
    ...         _ = alice.broadcast("hello")
    ...         print(next(e.message.text for e in heard if isinstance(e, donp.Received)))
    hello
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str] | None = None,
        name: str | None = None,
        *,
        identity: bytes | None = None,
        passphrase: str | None = None,
        key_store: KeyStore | None = None,
        listen: Iterable[str] | str = (),
        bootstraps: Iterable[str] | str = (),
        network_key: bytes | None = None,
        node_type: NodeType | None = None,
        bot: bool = False,
        power: Power = Power.NORMAL,
        lan: Lan = Lan.OFF,
        fault: str | None = None,
        offline: bool = False,
    ) -> None:
        """Opens the profile, or makes it, and binds the sockets. Nothing runs before `start`.

        - `state_dir`: the folder of the profile: identity, messages, keys, sealed. `None`: everything in
          memory, gone with the node.
        - `name`: what others are shown, 1 to 64 bytes. With it a missing profile is made; of an existing
          one it changes nothing.
        - `identity`: bytes of `generate_identity`, for a new profile or a node in memory; `None` makes a
          new one.
        - `passphrase`: protects a new profile, and opens one that was made with it.
        - `key_store`: the platform's, used if there is no passphrase. Without either a key file lies beside
          the profile.
        - `listen`: `ip:port`, at most 16; none for any port of both families.
        - `bootstraps`: places to enter the network, `host:port` or `host:port/NodeId`.
        - `network_key`: the 32-byte key of a closed network; `None` for the network the profile lives in.
        - `node_type`: what the node says it does.
        - `bot`: a program speaks here, not a person. Bots do not answer bots.
        - `power`: what the node may spend while nothing happens; `Power.LOW` is a phone's.
        - `lan`: whether to look for nodes on the local network by multicast, and to be found. Without a
          `network_key` everybody near is in the same, public network.
        - `fault`: what to do to outgoing datagrams, to try bad networks: `drop=20%,dup=5%,reorder=10%`.
        - `offline`: no sockets and no joining: to read the history and to queue messages.

        Raises `NotFoundError` if there is no profile and no name to make one, `LockedError` if another
        process has it, `DeniedError` if the secret does not fit, `NetworkError` if an address cannot be
        listened on, `DamagedError`, `StorageError`, and `InvalidInputError` for a malformed argument.
        """
        config = _ffi.NodeConfig(
            state_dir=None if state_dir is None else os.fspath(state_dir),
            name=name,
            identity=identity,
            passphrase=passphrase,
            listen=_texts(listen),
            bootstraps=_texts(bootstraps),
            network_key=network_key,
            node_type=_node_type_out(node_type),
            bot=bot,
            power=_power_out(power),
            lan=_lan_out(lan),
            fault=fault,
            offline=offline,
        )
        self._made = _call(_ffi.Node, config, None if key_store is None else _Adapter(key_store))
        self._process = os.getpid()
        self._id = NodeId._of(self._raw.id())
        self._name = self._raw.name()
        self._local_addresses = tuple(self._raw.local_addresses())
        self._finalizer = _Life.begin(self, self._raw)

    @property
    def _raw(self) -> _ffi.Node:
        if self._process != os.getpid():
            # Its thread did not come along, so that every call would wait for ever.
            raise ClosedError(
                f"this node is of process {self._process}, and a fork has no node",
                "make the node after the fork, in the process that uses it",
            )
        return self._made

    # Life.

    def start(self: _Self) -> _Self:
        """Starts the node's thread and joins the network; returns the node. Again is nothing."""
        _call(self._raw.start)
        return self

    def shutdown(self) -> None:
        """Says goodbye, stores and sends what is left, and waits until that is done.

        Streams end. Again is nothing. Raises `InternalError` if the node had died of a bug.
        """
        self._finalizer.detach()
        _Life.end(self._raw, self._raw.shutdown)

    close = shutdown
    """The same under the name that Python's resources have."""

    def kill(self) -> None:
        """Ends the node at once, as a crash of the process would: to try what happens then.

        No peer gets a goodbye, and what was not stored yet is gone.
        """
        self._finalizer.detach()
        _Life.end(self._raw, self._raw.kill)

    def simulate_crash(self) -> None:
        """Panics inside the node, as a bug would: to try what an application does then.

        Always raises `InternalError`.
        """
        _call(self._raw.simulate_crash)

    @property
    def is_closed(self) -> bool:
        """Whether the node has ended: by `shutdown`, `kill` or a bug."""
        return self._raw.is_closed()

    def __enter__(self: _Self) -> _Self:
        """Starts the node."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shuts the node down."""
        with contextlib.ExitStack() as stack:
            if value is not None:
                # What went wrong in the block is what the caller has to see.
                stack.enter_context(contextlib.suppress(Exception))
            self.shutdown()

    # Who.

    @property
    def id(self) -> NodeId:
        """This node."""
        return self._id

    @property
    def name(self) -> str:
        """The name it shows to others."""
        return self._name

    @property
    def local_addresses(self) -> tuple[str, ...]:
        """What the sockets are bound to, `ip:port`."""
        return self._local_addresses

    def status(self) -> NodeStatus:
        """The node at a glance."""
        return _node_status_in(_call(self._raw.status))

    def peers(self, max: int = 1_000) -> list[Peer]:
        """Nodes that were met or named by others, at most `max`."""
        return [_peer_in(raw) for raw in _call(self._raw.peers, max)]

    def peer(self, id: NodeId) -> Peer | None:
        """What is known of one node; `None` if it was never met or named by others."""
        raw = _call(self._raw.peer, _node_id(id))
        return None if raw is None else _peer_in(raw)

    # Who is there, and what to do when something seems wrong: nodes do it all by themselves, and these hurry
    # them (`FaultToleranceProtocol` of the DONP document).

    def members(self) -> list[ZoneMember]:
        """The members of this node's zone, by id, without itself; recently departed ones are still in it.

        Empty where the network has more than 64 nodes.
        """
        return [_member_in(raw) for raw in _call(self._raw.members)]

    def detect_node_failure(self, peer: NodeId) -> None:
        """Asks a node whether it is there, at once (`detectNodeFailure`).

        The event `MemberChanged` answers: `ALIVE`, or `SUSPECT` after at most ten seconds; a suspect of this
        node's zone is watched further, and found `DOWN` or `ALIVE`. Raises `NotFoundError` for a node that
        was never met or named by others, `InvalidInputError` for this one, `NotRunningError` while suspended.
        """
        _call(self._raw.detect_node_failure, _node_id(peer))

    def report_partition(self, peers: Iterable[NodeId] = ()) -> None:
        """These nodes seem to be cut off, or this one from them (`handleNetworkPartition`).

        Each is asked, as by `detect_node_failure`, and contacted anew; with none named, a node met before
        is. Parts that do not hear of each other merge. Raises as `detect_node_failure`, before anything is
        done.
        """
        _call(self._raw.report_partition, _ids_out(peers))

    def recover_from_failure(self, failure: FailureType) -> None:
        """Mends what failed without waiting (`recoverFromFailure`).

        Raises `NotRunningError` while suspended.
        """
        _call(self._raw.recover_from_failure, _failure_out(failure))

    def synchronize_state(self, peer: NodeId) -> None:
        """Compares what is said with another node at once (`synchronizeState`).

        What is missing is fetched, on both sides; a node without a link is contacted first. Raises as
        `detect_node_failure`.
        """
        _call(self._raw.synchronize_state, _node_id(peer))

    def block(self, peer: NodeId) -> None:
        """Blocks a node, for good and across restarts.

        There is no link with it, and its private messages are neither taken nor answered; those to it that
        wait fail with `FailReason.BLOCKED`, and `send` to it raises `DeniedError`. What it says to many is
        kept and passed on, but it is in no event and no page of the history. It gets no notice. Raises
        `InvalidInputError` for this node itself.
        """
        _call(self._raw.block, _node_id(peer))

    def unblock(self, peer: NodeId) -> None:
        """Ends `block`. What the node said to many meanwhile is in the history again, without events."""
        _call(self._raw.unblock, _node_id(peer))

    def blocked(self) -> list[NodeId]:
        """Blocked nodes, by id."""
        return [NodeId._of(id) for id in _call(self._raw.blocked)]

    def handle_local_peer(self, address: str, id: NodeId | None = None) -> None:
        """A node near may be at `address`, `ip:port`: what Bonjour or another discovery found.

        A hint, tried once: `PeerUp` tells if it was right. If `id` is given, another node that answers there
        is refused. Raises `InvalidInputError` for what is no address.
        """
        _call(self._raw.handle_local_peer, address, None if id is None else _node_id(id))

    # The book of people, what was read, and the identity at the other end of a link.

    def contacts(self) -> list[Contact]:
        """All of the book, by id: contacts, and requests of strangers."""
        return [_contact_in(raw) for raw in _call(self._raw.contacts)]

    def contact(self, node: NodeId) -> Contact | None:
        """One of the book; `None` if the node is neither a contact nor has a request."""
        raw = _call(self._raw.contact, _node_id(node))
        return None if raw is None else _contact_in(raw)

    def add_contact(self, node: NodeId, petname: str | None = None) -> None:
        """Makes a node a contact, with an own name for it if one is given; accepts its request.

        A name has 1 to 64 bytes. A node that is written to becomes a contact too. Raises `InvalidInputError`
        for the name or this node itself, `AlreadyExistsError` if another contact has the name, `BusyError` if
        there are 4,096.
        """
        _call(self._raw.add_contact, _node_id(node), petname)

    def rename_contact(self, node: NodeId, petname: str | None) -> None:
        """Gives a contact another own name, or none.

        Raises `NotFoundError` for no contact, and for the name as `add_contact`.
        """
        _call(self._raw.rename_contact, _node_id(node), petname)

    def remove_contact(self, node: NodeId) -> None:
        """Takes a contact, or a request, out of the book: name, verification, muting.

        Its messages stay, as does a block; its next message is a request. Raises `NotFoundError` if it is
        not there.
        """
        _call(self._raw.remove_contact, _node_id(node))

    def accept_contact(self, node: NodeId) -> None:
        """Accepts the request of a stranger. Raises `NotFoundError` if it has none."""
        _call(self._raw.accept_contact, _node_id(node))

    def mute_contact(self, node: NodeId, muted: bool = True) -> None:
        """Mutes a contact, or ends that. Raises `NotFoundError` for no contact.

        What it says makes no events, and is in the history and among what is unread.
        """
        _call(self._raw.mute_contact, _node_id(node), muted)

    def safety_number(self, node: NodeId) -> SafetyNumber:
        """The safety number with a node of the book.

        Equal at both unless there is a man in the middle. Raises `NotFoundError` if the node is not in the
        book, or its keys are not known yet; those of a linked node are asked for, so that it can be tried
        again.
        """
        return _number_in(_call(self._raw.safety_number, _node_id(node)))

    def verify_contact(self, node: NodeId, shown: str) -> None:
        """Compares what the other side says or shows with the safety number.

        60 digits in any groups, or the code that was scanned. If it is right the contact is verified, also
        after a change. Raises `DeniedError` if it is not, `InvalidInputError` for what is neither,
        `NotFoundError` as `safety_number`.
        """
        _call(self._raw.verify_contact, _node_id(node), shown)

    def accept_change(self, node: NodeId) -> None:
        """Goes on with a verified contact whose key changed without comparing again.

        It is not verified any more, and messages go to it. Raises `NotFoundError` if its key did not change.
        """
        _call(self._raw.accept_change, _node_id(node))

    def devices(self) -> list[DeviceInfo]:
        """The devices of this node's account, the most senior first: at most eight.

        If this one is not among them it was removed.
        """
        return [_device_in(raw) for raw in _call(self._raw.devices)]

    def devices_of(self, node: NodeId) -> list[NodeId]:
        """The devices of the account that a node is of, as far as it is known; the node alone before that."""
        return [NodeId._of(raw) for raw in _call(self._raw.devices_of, _node_id(node))]

    def add_device(self) -> str:
        """Makes a ticket with which another device of the same person joins this node's account.

        It is good for one device and ten minutes, and as secret as the account for that time. Raises
        `DeniedError` if the account has eight devices or its list was changed fifteen times, or if this
        device was removed from it.
        """
        return _call(self._raw.add_device)

    def join_account(self, ticket: str) -> None:
        """Joins the account of the device that shows this ticket, and its network.

        This device's own account, without other devices and private messages, is over. `DevicesChanged`
        follows; `is_joining_account` is false before if it was refused. Raises `InvalidInputError` for the
        ticket, and `DeniedError` if this device is of an account with other devices or private messages.
        """
        _call(self._raw.join_account, ticket)

    def is_joining_account(self) -> bool:
        """Whether this device waits to be taken into an account, or for the lists of one to recover."""
        return _call(self._raw.is_joining_account)

    def rename_device(self, name: str) -> None:
        """Gives this device another name: 1 to 64 bytes."""
        _call(self._raw.rename_device, name)

    def remove_device(self, node: NodeId) -> None:
        """Removes a device from this node's account: a newer one than this, or this one itself.

        Raises `NotFoundError` for no device of it, `DeniedError` for an older one or the last.
        """
        _call(self._raw.remove_device, _node_id(node))

    def recover_account(self, code: str) -> None:
        """Makes this device the only one of the account of a recovery code.

        If its lists are not here, linked nodes are asked for ten minutes. Raises `InvalidInputError` for the
        code.
        """
        _call(self._raw.recover_account, code)

    def recovery_code(self) -> str | None:
        """The recovery code of the account that this profile began with; `None` if it is not kept here.

        Who has it can take the account over.
        """
        return _call(self._raw.recovery_code)

    def conversations(self) -> list[ConversationInfo]:
        """Conversations with what is unread in each, those of groups and the network's included."""
        return [_info_in(raw) for raw in _call(self._raw.conversations)]

    def mark_read(self, conversation: Conversation, upto: MessageId | None = None) -> None:
        """A conversation was read up to and including this message, or all of it.

        Others get it only with the setting `chat.send_read_marks`. A mark never goes back. Raises
        `NotFoundError` if there is no such conversation.
        """
        _call(self._raw.mark_read, _conversation_out(conversation), _before_out(upto))

    def confirmations(self, conversation: Conversation, message: MessageId) -> Confirmations:
        """Which members have a message of this node in a group or a private conversation.

        It never says too much: a member that is away is counted when it, or what it says, comes here. Raises
        `NotFoundError` for what is no own message among the newest 1,024 or on the pages of history read
        since the start, `DeniedError` for the network's conversation.
        """
        raw = _call(self._raw.confirmations, _conversation_out(conversation), _message_id(message))
        return _confirmations_in(raw)

    def send_typing(self, conversation: Conversation) -> None:
        """The user types in a group of up to 32 members, or in a private conversation this node spoke in.

        To be called with each change of the text: others get `Typing` at most every 3 s. It ends by itself.
        Raises `NotFoundError` if there is no such conversation, `DeniedError` for another one.
        """
        _call(self._raw.send_typing, _conversation_out(conversation))

    def delete_conversation(self, conversation: Conversation) -> None:
        """Deletes all that is here of a private conversation. The other side keeps its own.

        What comes later is shown. Raises `NotFoundError` if there is none, `DeniedError` for another kind.
        """
        _call(self._raw.delete_conversation, _conversation_out(conversation))

    def authenticate_node(self, peer: NodeId) -> None:
        """Challenges the device of a node over its link (`authenticateNode`).

        The event `Authenticated` says the result in at most ten seconds. A node without a link is contacted
        first. Raises `NotFoundError` for a node that was never met or named by others, `InvalidInputError`
        for this one, `DeniedError` for a blocked one.
        """
        _call(self._raw.authenticate_node, _node_id(peer))

    # The network.

    def join(self, *places: str, wait: float | None = None) -> None:
        """Enters the network through any of `places`, which it remembers; with none, through whom it knows.

        A text with a colon is a place, `host:port` or `host:port/NodeId`; one without is an invitation.
        Returns at once, or with the first link if `wait` says how many seconds that may take.

        Raises `InvalidInputError` for what is neither, or a name that cannot be looked up,
        `DeniedError` for an invitation to another network than the profile lives in, and `TimeoutError` if
        there is no link in that time; the node goes on trying.
        """
        invitations, rest = _sort_places(places)
        for invitation in invitations:
            _call(self._raw.join_ticket, invitation)
        if rest or not invitations:
            _call(self._raw.join, rest)
        if wait is not None:
            _until(wait, "no link", lambda: self.status().links > 0 or None)

    def wait_for(self, peer: NodeId | str, timeout: float = 60.0) -> Peer:
        """Waits until there is a link with `peer`, however it comes about, for at most `timeout` seconds.

        `peer` is an id, or the name that a node claims. Raises `TimeoutError` if there is none in that time,
        and `InvalidInputError` if two nodes with a link claim that name.
        """
        who = peer.short if isinstance(peer, NodeId) else repr(peer)
        return _until(timeout, f"no link with {who}", lambda: self._linked(peer))

    def _linked(self, peer: NodeId | str) -> Peer | None:
        if isinstance(peer, NodeId):
            found = self.peer(peer)
            return found if found is not None and found.linked else None
        return _linked_among(self.peers(), peer)

    def name_of(self, id: NodeId) -> str | None:
        """The name that a node claims, such as the author of a message; `None` if none is known."""
        if id == self.id:
            return self.name
        found = self.peer(id)
        return None if found is None else found.name

    def leave(self) -> None:
        """Says goodbye to everybody. What is queued waits for the next `join`."""
        _call(self._raw.leave)

    def invite(self) -> str:
        """An invitation to this node's network. For a closed one it holds the key and is as secret."""
        return _call(self._raw.invite)

    # Messages.

    def send(self, to: NodeId, what: str | Content) -> MessageId:
        """Says something to one node. Returns when it is stored.

        A node that is away gets it later, and the event `Delivered` tells when it has it. Raises
        `NotFoundError` for a node that was never met or named by others, `InvalidInputError` for an empty or
        too long text, `BusyError` when the queue is full, `DeniedError` for a blocked node, and for a
        verified contact whose key changed. A node that is written to becomes a contact.
        """
        return MessageId._of(_call(self._raw.send_private, _node_id(to), _content_out(what)))

    def broadcast(self, what: str | Content) -> MessageId:
        """Says something to all nodes of the network. Absent nodes catch up later."""
        return MessageId._of(_call(self._raw.broadcast, _content_out(what)))

    def send_to_group(self, group: GroupId, what: str | Content) -> MessageId:
        """Says something to the members of a group. Absent members catch up later, from any other.

        Raises `NotFoundError` without such a group, `DeniedError` if this node may not post there,
        `InvalidInputError` for an empty or too long text.
        """
        return MessageId._of(_call(self._raw.send_to_group, _group_id(group), _content_out(what)))

    def say(self, conversation: Conversation, what: str | Content) -> MessageId:
        """Says something in a conversation: `send`, `send_to_group` or `broadcast`."""
        if isinstance(conversation, Private):
            return self.send(conversation.peer, what)
        if isinstance(conversation, Group):
            return self.send_to_group(conversation.group, what)
        return self.broadcast(what)

    def reply(self, message: Message, text: str) -> MessageId:
        """Answers a message, where it was said."""
        return self.say(message.conversation, Reply(message.id, text))

    def react(self, message: Message, mark: str) -> MessageId:
        """Puts a mark of 1 to 64 bytes on a message, where it was said."""
        return self.say(message.conversation, React(message.id, mark))

    def edit(self, message: Message, text: str) -> MessageId:
        """Replaces the text of an own message, where it was said."""
        return self.say(message.conversation, Edit(message.id, text))

    def retract(self, message: Message) -> MessageId:
        """Takes an own message back, where it was said. Nothing is erased from other people's devices."""
        return self.say(message.conversation, Retract(message.id))

    def history(
        self, conversation: Conversation, before: MessageId | None = None, limit: int = 100
    ) -> HistoryPage:
        """The page of a conversation that ends before `before`, or its newest.

        At most `limit` messages (1 to 1,000), oldest first. `older` of the page is the next `before`.
        """
        where = _conversation_out(conversation)
        return _page_in(_call(self._raw.history, where, _before_out(before), limit))

    def search(
        self, conversation: Conversation, text: str, before: MessageId | None = None, limit: int = 100
    ) -> HistoryPage:
        """The newest messages that contain `text` in any case, before `before`: at most `limit` (1 to 1,000).

        One call looks at 2,000 messages; pass `older` as `before` to go on, until it is `None`.
        """
        where = _conversation_out(conversation)
        return _page_in(_call(self._raw.search, where, text, _before_out(before), limit))

    def is_queued(self, id: MessageId) -> bool:
        """Whether a private message waits for its acknowledgement."""
        return _call(self._raw.is_queued, _message_id(id))

    # Groups (`GroupManagementProtocol` of the DONP document).

    def create_group(
        self,
        name: str,
        kind: GroupKind = GroupKind.PRIVATE,
        policy: GroupPolicy = DEFAULT_POLICY,
        expires_in: int | None = None,
    ) -> GroupId:
        """Makes a group of which this node is the owner.

        A temporary group ends `expires_in` seconds from now; others have no end. Raises `InvalidInputError`
        for an empty or too long name, `DeniedError` if kind and end do not fit, `BusyError` if there are 256
        groups.
        """
        raw = _call(self._raw.create_group, _kind_out(kind), name, _policy_out(policy), expires_in)
        return GroupId._of(raw)

    def invite_to_group(
        self,
        group: GroupId,
        role: GroupRole = GroupRole.MEMBER,
        uses: int = 1,
        expires_in: int = 7 * 86_400,
        node: NodeId | None = None,
    ) -> str:
        """An invitation to a group, good for `uses` newcomers and `expires_in` seconds.

        For one node, or for its bearer. This node adds the nodes that use it, so it must be online then.
        Raises `NotFoundError` without such a group, `DeniedError` if this node may not invite, or not with
        that role.
        """
        to = None if node is None else _node_id(node)
        return _call(self._raw.invite_to_group, _group_id(group), _role_out(role), uses, expires_in, to)

    def join_group(self, invitation: str) -> None:
        """Asks to be a member of the group that an invitation names.

        Asks now and then until it is answered, also after a restart; the event `GroupChanged` says what
        became of it. Raises `InvalidInputError` for what is no invitation to a group or one of this node
        itself, `DeniedError` for one of another network, or if this node is a member already.
        """
        _call(self._raw.join_group, invitation)

    def leave_group(self, group: GroupId) -> None:
        """Leaves a group, or cancels a request to join. What was said while this node was a member stays.

        Raises `DeniedError` for an owner with other members: hand the group over first.
        """
        _call(self._raw.leave_group, _group_id(group))

    def remove_member(self, group: GroupId, node: NodeId, ban: bool = False) -> None:
        """Removes a member of lower rank, for good with `ban`. It reads nothing that is said from then on.

        Raises `NotFoundError` without such a group or member, `DeniedError` by rank.
        """
        _call(self._raw.remove_member, _group_id(group), _node_id(node), ban)

    def unban_member(self, group: GroupId, node: NodeId) -> None:
        """Ends a ban: the node may be invited again. Raises as `remove_member`."""
        _call(self._raw.unban_member, _group_id(group), _node_id(node))

    def set_member_role(self, group: GroupId, node: NodeId, role: GroupRole) -> None:
        """Gives a member of lower rank another rank, below this node's. Raises as `remove_member`."""
        _call(self._raw.set_member_role, _group_id(group), _node_id(node), _role_out(role))

    def transfer_group(self, group: GroupId, node: NodeId) -> None:
        """Makes another member the owner; this node is an admin from then on. Raises as `remove_member`."""
        _call(self._raw.transfer_group, _group_id(group), _node_id(node))

    def rename_group(self, group: GroupId, name: str) -> None:
        """Gives a group another name, 1 to 64 bytes. Raises as `remove_member`."""
        _call(self._raw.rename_group, _group_id(group), name)

    def describe_group(self, group: GroupId, description: str) -> None:
        """Gives a group another description, at most 1,024 bytes. Raises as `remove_member`."""
        _call(self._raw.describe_group, _group_id(group), description)

    def pin_message(self, group: GroupId, message: MessageId) -> None:
        """Shows a message of a group above the others, with the role that the policy's `pin` names.

        The last 64 are shown. Raises `DeniedError` otherwise, and if it is pinned already.
        """
        _call(self._raw.pin_message, _group_id(group), _message_id(message))

    def unpin_message(self, group: GroupId, message: MessageId) -> None:
        """Ends `pin_message`; raises `DeniedError` if it is not pinned."""
        _call(self._raw.unpin_message, _group_id(group), _message_id(message))

    def set_group_policy(self, group: GroupId, policy: GroupPolicy) -> None:
        """Gives a group another policy: for its owner. Raises as `remove_member`."""
        _call(self._raw.set_group_policy, _group_id(group), _policy_out(policy))

    def answer_join(self, group: GroupId, node: NodeId, approve: bool) -> None:
        """Adds a node that asked to join, or says no. Raises as `remove_member`."""
        _call(self._raw.answer_join, _group_id(group), _node_id(node), approve)

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

    # Files.

    def add_file(self, path: str | os.PathLike[str], media_type: str = "") -> Attachment:
        """Adds a file from disk, so that it can be sent as `File`. Its name is that of the path.

        It is kept sealed in the store; the one on disk may go then. Raises `StorageError` if it cannot be
        read, `InvalidInputError` if it is too large or changed while it was read, `BusyError` without room.
        """
        return _attachment_in(_call(self._raw.add_file, os.fspath(path), media_type))

    def add_file_bytes(self, content: bytes, name: str, media_type: str = "") -> Attachment:
        """Adds bytes as a file with this name. Raises as `add_file`."""
        return _attachment_in(_call(self._raw.add_file_bytes, content, name, media_type))

    def fetch_file(self, conversation: Conversation, file: Attachment, author: NodeId | None = None) -> None:
        """Fetches a file that a message of this conversation names, first from the author of the message.

        It goes on after a restart; `FileReceived` says that it is here. Raises `InvalidInputError` if it is
        too large, `BusyError` without room.
        """
        who = None if author is None else _node_id(author)
        _call(self._raw.fetch_file, _conversation_out(conversation), _attachment_out(file), who)

    def files(self) -> list[FileInfo]:
        """The files that are here or being fetched, in the order in which they came."""
        return [_file_in(raw) for raw in _call(self._raw.files)]

    def read_file(self, file: FileId, part: int) -> bytes | None:
        """The bytes of one part of a file, 65,520 of them but for the last; `None` if it is not here."""
        return _call(self._raw.read_file, _file_id(file), part)

    def save_file(self, file: FileId, path: str | os.PathLike[str]) -> int:
        """Writes a file that is here whole to a new file on disk, and gives its size.

        What is there already is not replaced. Raises `NotFoundError` if the file is not here whole,
        `StorageError` if it cannot be written.
        """
        return _call(self._raw.save_file, _file_id(file), os.fspath(path))

    def remove_file(self, file: FileId) -> None:
        """Removes a file here, or ends its fetch. Others keep theirs. Raises `NotFoundError` without it."""
        _call(self._raw.remove_file, _file_id(file))

    # Events.

    def events(self) -> Events:
        """A stream of events of its own, which begins now. One made before `start` misses nothing."""
        return Events(self._raw.subscribe())

    def ack(self, seq: int | None) -> None:
        """Every durable event up to and including `seq` was handled: it does not come again.

        `None`, the `seq` of a volatile event, is nothing. Raises `NotFoundError` for a number that no
        event carried yet, and `InvalidInputError` for one that no event can have.
        """
        if seq is not None:
            _call(self._raw.ack, _number(seq))

    # Sleep.

    def suspend(self) -> None:
        """Before the system freezes the program: stores everything and closes the file.

        Until `resume` nothing is received, and calls that need the store raise `NotRunningError`. Again
        is nothing.
        """
        _call(self._raw.suspend)

    def resume(self) -> None:
        """After the system let the program go on. Again is nothing."""
        _call(self._raw.resume)

    def background_fetch(self, seconds: int) -> FetchResult:
        """Resumes, exchanges what there is for at most `seconds` (to 600), and suspends again if it was.

        For the short time that a system gives a sleeping program. Ends early once nothing is left to do.
        """
        before = _call(self._raw.status).last_event
        raw = _call(self._raw.background_fetch, seconds)
        # The library does not count what waited in the sockets and comes with the very resumption.
        return FetchResult(_call(self._raw.status).last_event - before, raw.caught_up)

    def network_changed(self) -> None:
        """The system changed networks: every link is probed at once."""
        _call(self._raw.network_changed)

    # The profile.

    def check(self) -> Checked:
        """Looks at every record of this node's profile while it runs, as long as reading it takes.

        Raises `InvalidInputError` if the node is in memory.
        """
        raw = _call(self._raw.check)
        return Checked(dict(raw.records), list(raw.problems), raw.lost)

    def backup(self, to: str | os.PathLike[str]) -> bool:
        """Copies this node's profile as of now to a file, if `to` ends with `.donp`, or a folder.

        Says whether the copy holds the key that opens it: then who can read it can read everything in it.
        `restore_profile` makes a profile of it. Raises `AlreadyExistsError` if `to` is there, and
        `InvalidInputError` if the node is in memory.
        """
        return _call(self._raw.backup, os.fspath(to))

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {self._name!r} {self._id.short}>"


def _texts(one_or_more: Iterable[str] | str) -> list[str]:
    return [one_or_more] if isinstance(one_or_more, str) else list(one_or_more)


def _number(seq: int) -> int:
    if isinstance(seq, bool) or not isinstance(seq, int):
        raise TypeError(f"an event's number is an int, not {type(seq).__name__}")
    if not 0 <= seq < 1 << 64:
        raise InvalidInputError(f"no event has the number {seq}", "give the seq of an event")
    return seq


def _linked_among(peers: Iterable[Peer], who: NodeId | str) -> Peer | None:
    """The peer with a link that has this id or name."""
    meant = [p for p in peers if p.linked and (p.id == who or p.name == who)]
    if len(meant) > 1:
        raise InvalidInputError(
            f"{who!r} can be {' or '.join(p.id.short for p in meant)}", "give the id of the one that is meant"
        )
    return meant[0] if meant else None


def _too_late(otherwise: str, timeout: float) -> TimeoutError:
    return TimeoutError(
        f"{otherwise} within {timeout:g} s", "check that the other node runs and can be reached", True
    )


def _until(timeout: float, otherwise: str, look: Callable[[], _T | None]) -> _T:
    """What `look` gives, as soon as that is something."""
    until = time.monotonic() + timeout
    while (found := look()) is None:
        if time.monotonic() >= until:
            raise _too_late(otherwise, timeout)
        time.sleep(_LOOK_AGAIN)
    return found


class _Life:
    """The nodes that have to end before the interpreter does.

    A node's thread wakes the tasks that await events, which runs Python; in an interpreter that is being
    taken down that aborts the process. So each node's thread is waited for at the latest when the program
    ends: as long as its goodbyes and its store take, which is half a second unless the disk is slow.
    """

    running: ClassVar[dict[_ffi.Node, threading.Lock]] = {}
    # Those of them that a finalizer ended, without a waiter.
    left: ClassVar[list[_ffi.Node]] = []

    @classmethod
    def begin(cls, node: Node, raw: _ffi.Node) -> weakref.finalize[[_ffi.Node], Node]:
        ended = [forgotten for forgotten in cls.left if forgotten.is_closed()]
        for forgotten in ended:
            cls.quietly(forgotten)
        cls.running[raw] = threading.Lock()
        finalizer = weakref.finalize(node, cls.forgotten, raw)
        finalizer.atexit = False
        return finalizer

    @classmethod
    def end(cls, raw: _ffi.Node, how: Callable[[], None]) -> None:
        # The second caller waits for the first.
        with cls.running.get(raw) or contextlib.nullcontext():
            try:
                _call(how)
            finally:
                cls.running.pop(raw, None)
                with contextlib.suppress(ValueError):
                    cls.left.remove(raw)

    @classmethod
    def quietly(cls, raw: _ffi.Node) -> None:
        with contextlib.suppress(DonpError):
            cls.end(raw, raw.shutdown)

    @classmethod
    def forgotten(cls, raw: _ffi.Node) -> None:
        # A finalizer must not block. The node ends by itself; `begin` and `all` clear up behind it.
        if raw in cls.running:
            cls.left.append(raw)
            raw.begin_shutdown()

    @classmethod
    def all(cls) -> None:
        nodes = list(cls.running)
        # All at once, not one after the other.
        for raw in nodes:
            raw.begin_shutdown()
        for raw in nodes:
            cls.quietly(raw)

    @classmethod
    def forked(cls) -> None:
        # The threads did not come along, so there is nothing to wait for, and nothing of theirs may be
        # freed: a wait that is given up calls back, at the interpreter's end into what may be gone.
        waits = vars(_ffi)["_UniffiContinuationHandleMap"]._map.values()
        for kept in ((cls.running, cls.left), *waits):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        cls.running, cls.left = {}, []


atexit.register(_Life.all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Life.forked)
