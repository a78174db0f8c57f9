"""The node for an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import ParamSpec, TypeVar

from .contacts import Confirmations, Contact, ConversationInfo, SafetyNumber
from .content import Content, Conversation, HistoryPage, Message
from .devices import DeviceInfo
from .errors import NotRunningError
from .events import Events
from .files import Attachment, FileInfo
from .groups import DEFAULT_POLICY, GroupInfo, GroupKind, GroupPolicy, GroupRole, JoiningGroup
from .ids import FileId, GroupId, MessageId, NodeId
from .keystore import KeyStore
from .node import _LOOK_AGAIN, Node, _too_late
from .status import Checked, FetchResult, Lan, NodeStatus, NodeType, Peer, Power
from .zone import FailureType, ZoneMember

__all__ = ["AsyncNode"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Self = TypeVar("_Self", bound="AsyncNode")


class AsyncNode:
    """A `Node` whose calls do not hold up the event loop: each runs on a worker thread.

    Use it in `async with`, which opens, starts and shuts it down. Cancelling a call gives up waiting for
    it; what it does is done all the same.

    >>> import asyncio, donp
    >>> async def main():
    ...     async with donp.AsyncNode(name="alice", listen="127.0.0.1:0") as alice:
    ...         async with donp.AsyncNode(name="bob", listen="127.0.0.1:0") as bob:
    ...             heard = bob.events()
    ...             await bob.join(await alice.invite())
    ...             await alice.broadcast("hello")
    ...             async for event in heard:
    ...                 if isinstance(event, donp.Received):
    ...                     return event.message.text
    >>> asyncio.run(main())
    'hello'
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
        """Keeps the arguments, which are those of `Node`; `open`, `start` or `async with` uses them."""

        def make() -> Node:
            return Node(
                state_dir,
                name,
                identity=identity,
                passphrase=passphrase,
                key_store=key_store,
                listen=listen,
                bootstraps=bootstraps,
                network_key=network_key,
                node_type=node_type,
                bot=bot,
                power=power,
                lan=lan,
                fault=fault,
                offline=offline,
            )

        self._make = make
        self._opening: asyncio.Future[Node] | None = None
        self._node: Node | None = None

    @property
    def sync(self) -> Node:
        """The same node with blocking calls, for other threads. Raises `NotRunningError` before `open`."""
        if self._node is None:
            raise NotRunningError("the node was not opened", "await open() or start(), or use async with")
        return self._node

    # Life.

    async def open(self: _Self) -> _Self:
        """Opens the profile, or makes it, and binds the sockets; returns the node. Again is nothing.

        A stream of `events` made between this and `start` misses nothing. Raises what making a `Node`
        raises.
        """
        if self._node is None:
            # One profile is opened once, also when the one who asked first is cancelled.
            if self._opening is None:
                self._opening = asyncio.ensure_future(asyncio.to_thread(self._make))
            try:
                self._node = await asyncio.shield(self._opening)
            finally:
                if self._opening is not None and self._opening.done():
                    self._opening = None
        return self

    async def start(self: _Self) -> _Self:
        """Opens the node if need be, starts it and joins the network; returns it. Again is nothing."""
        await self.open()
        await self._run(self.sync.start)
        return self

    async def shutdown(self) -> None:
        """Says goodbye, stores and sends what is left, and waits until that is done.

        Streams end. Again is nothing, and so it is for a node that was not opened.
        """
        if self._node is not None:
            await self._run(self._node.shutdown)

    aclose = shutdown
    """The same under the name that Python's asynchronous resources have."""

    async def kill(self) -> None:
        """Ends the node at once, as a crash of the process would: to try what happens then."""
        await self._run(self.sync.kill)

    async def simulate_crash(self) -> None:
        """Panics inside the node, as a bug would. Always raises `InternalError`."""
        await self._run(self.sync.simulate_crash)

    @property
    def is_closed(self) -> bool:
        """Whether the node has ended: by `shutdown`, `kill` or a bug."""
        return self._node is not None and self._node.is_closed

    async def __aenter__(self: _Self) -> _Self:
        """Opens and starts the node."""
        try:
            return await self.start()
        except BaseException:
            with contextlib.suppress(Exception):
                await self.shutdown()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shuts the node down."""
        with contextlib.ExitStack() as stack:
            if value is not None:
                # What went wrong in the block is what the caller has to see.
                stack.enter_context(contextlib.suppress(Exception))
            await self.shutdown()

    # Who.

    @property
    def id(self) -> NodeId:
        """This node."""
        return self.sync.id

    @property
    def name(self) -> str:
        """The name it shows to others."""
        return self.sync.name

    @property
    def local_addresses(self) -> tuple[str, ...]:
        """What the sockets are bound to, `ip:port`."""
        return self.sync.local_addresses

    async def status(self) -> NodeStatus:
        """The node at a glance."""
        return await self._run(self.sync.status)

    async def peers(self, max: int = 1_000) -> list[Peer]:
        """Nodes that were met or named by others, at most `max`."""
        return await self._run(self.sync.peers, max)

    async def peer(self, id: NodeId) -> Peer | None:
        """What is known of one node; `None` if it was never met or named by others."""
        return await self._run(self.sync.peer, id)

    # Who is there, and what to do when something seems wrong.

    async def members(self) -> list[ZoneMember]:
        """The members of this node's zone, by id, without itself, as `Node.members`."""
        return await self._run(self.sync.members)

    async def detect_node_failure(self, peer: NodeId) -> None:
        """Asks a node whether it is there; `MemberChanged` answers, as `Node.detect_node_failure`."""
        await self._run(self.sync.detect_node_failure, peer)

    async def block(self, peer: NodeId) -> None:
        """Blocks a node, as `Node.block`."""
        await self._run(self.sync.block, peer)

    async def unblock(self, peer: NodeId) -> None:
        """Ends `block`, as `Node.unblock`."""
        await self._run(self.sync.unblock, peer)

    async def blocked(self) -> list[NodeId]:
        """Blocked nodes, by id."""
        return await self._run(self.sync.blocked)

    async def contacts(self) -> list[Contact]:
        """As `Node.contacts`."""
        return await self._run(self.sync.contacts)

    async def contact(self, node: NodeId) -> Contact | None:
        """As `Node.contact`."""
        return await self._run(self.sync.contact, node)

    async def add_contact(self, node: NodeId, petname: str | None = None) -> None:
        """As `Node.add_contact`."""
        await self._run(self.sync.add_contact, node, petname)

    async def rename_contact(self, node: NodeId, petname: str | None) -> None:
        """As `Node.rename_contact`."""
        await self._run(self.sync.rename_contact, node, petname)

    async def remove_contact(self, node: NodeId) -> None:
        """As `Node.remove_contact`."""
        await self._run(self.sync.remove_contact, node)

    async def accept_contact(self, node: NodeId) -> None:
        """As `Node.accept_contact`."""
        await self._run(self.sync.accept_contact, node)

    async def mute_contact(self, node: NodeId, muted: bool = True) -> None:
        """As `Node.mute_contact`."""
        await self._run(self.sync.mute_contact, node, muted)

    async def safety_number(self, node: NodeId) -> SafetyNumber:
        """As `Node.safety_number`."""
        return await self._run(self.sync.safety_number, node)

    async def verify_contact(self, node: NodeId, shown: str) -> None:
        """As `Node.verify_contact`."""
        await self._run(self.sync.verify_contact, node, shown)

    async def accept_change(self, node: NodeId) -> None:
        """As `Node.accept_change`."""
        await self._run(self.sync.accept_change, node)

    async def devices(self) -> list[DeviceInfo]:
        """As `Node.devices`."""
        return await self._run(self.sync.devices)

    async def devices_of(self, node: NodeId) -> list[NodeId]:
        """As `Node.devices_of`."""
        return await self._run(self.sync.devices_of, node)

    async def add_device(self) -> str:
        """As `Node.add_device`."""
        return await self._run(self.sync.add_device)

    async def join_account(self, ticket: str) -> None:
        """As `Node.join_account`."""
        await self._run(self.sync.join_account, ticket)

    async def is_joining_account(self) -> bool:
        """As `Node.is_joining_account`."""
        return await self._run(self.sync.is_joining_account)

    async def rename_device(self, name: str) -> None:
        """As `Node.rename_device`."""
        await self._run(self.sync.rename_device, name)

    async def remove_device(self, node: NodeId) -> None:
        """As `Node.remove_device`."""
        await self._run(self.sync.remove_device, node)

    async def recover_account(self, code: str) -> None:
        """As `Node.recover_account`."""
        await self._run(self.sync.recover_account, code)

    async def recovery_code(self) -> str | None:
        """As `Node.recovery_code`."""
        return await self._run(self.sync.recovery_code)

    async def conversations(self) -> list[ConversationInfo]:
        """As `Node.conversations`."""
        return await self._run(self.sync.conversations)

    async def mark_read(self, conversation: Conversation, upto: MessageId | None = None) -> None:
        """As `Node.mark_read`."""
        await self._run(self.sync.mark_read, conversation, upto)

    async def confirmations(self, conversation: Conversation, message: MessageId) -> Confirmations:
        """As `Node.confirmations`."""
        return await self._run(self.sync.confirmations, conversation, message)

    async def send_typing(self, conversation: Conversation) -> None:
        """As `Node.send_typing`."""
        await self._run(self.sync.send_typing, conversation)

    async def delete_conversation(self, conversation: Conversation) -> None:
        """As `Node.delete_conversation`."""
        await self._run(self.sync.delete_conversation, conversation)

    async def authenticate_node(self, peer: NodeId) -> None:
        """As `Node.authenticate_node`."""
        await self._run(self.sync.authenticate_node, peer)

    async def report_partition(self, peers: Iterable[NodeId] = ()) -> None:
        """These nodes seem to be cut off: asks and contacts them, as `Node.report_partition`."""
        await self._run(self.sync.report_partition, peers)

    async def recover_from_failure(self, failure: FailureType) -> None:
        """Mends what failed without waiting, as `Node.recover_from_failure`."""
        await self._run(self.sync.recover_from_failure, failure)

    async def synchronize_state(self, peer: NodeId) -> None:
        """Compares what is said with another node at once, as `Node.synchronize_state`."""
        await self._run(self.sync.synchronize_state, peer)

    async def handle_local_peer(self, address: str, id: NodeId | None = None) -> None:
        """A node near may be at `address`, `ip:port`: a hint, tried once, as `Node.handle_local_peer`."""
        await self._run(self.sync.handle_local_peer, address, id)

    # The network.

    async def join(self, *places: str, wait: float | None = None) -> None:
        """Enters the network through any of `places` or invitations, as `Node.join`."""
        await self._run(self.sync.join, *places)
        if wait is not None:

            async def linked() -> bool | None:
                return (await self.status()).links > 0 or None

            await _until(wait, "no link", linked)

    async def wait_for(self, peer: NodeId | str, timeout: float = 60.0) -> Peer:
        """Waits until there is a link with `peer`, an id or a name, as `Node.wait_for`."""

        async def linked() -> Peer | None:
            return await self._run(self.sync._linked, peer)

        who = peer.short if isinstance(peer, NodeId) else repr(peer)
        return await _until(timeout, f"no link with {who}", linked)

    async def name_of(self, id: NodeId) -> str | None:
        """The name that a node claims, such as the author of a message; `None` if none is known."""
        return await self._run(self.sync.name_of, id)

    async def leave(self) -> None:
        """Says goodbye to everybody. What is queued waits for the next `join`."""
        await self._run(self.sync.leave)

    async def invite(self) -> str:
        """An invitation to this node's network. For a closed one it holds the key and is as secret."""
        return await self._run(self.sync.invite)

    # Messages.

    async def send(self, to: NodeId, what: str | Content) -> MessageId:
        """Says something to one node; done when it is stored, as `Node.send`."""
        return await self._run(self.sync.send, to, what)

    async def broadcast(self, what: str | Content) -> MessageId:
        """Says something to everybody in the network; done when it is stored."""
        return await self._run(self.sync.broadcast, what)

    async def send_to_group(self, group: GroupId, what: str | Content) -> MessageId:
        """Says something to the members of a group; done when it is stored, as `Node.send_to_group`."""
        return await self._run(self.sync.send_to_group, group, what)

    async def say(self, conversation: Conversation, what: str | Content) -> MessageId:
        """Says something in a conversation: `send`, `send_to_group` or `broadcast`."""
        return await self._run(self.sync.say, conversation, what)

    async def reply(self, message: Message, text: str) -> MessageId:
        """Answers a message, where it was said."""
        return await self._run(self.sync.reply, message, text)

    async def react(self, message: Message, mark: str) -> MessageId:
        """Puts a mark of 1 to 64 bytes on a message, where it was said."""
        return await self._run(self.sync.react, message, mark)

    async def edit(self, message: Message, text: str) -> MessageId:
        """Replaces the text of an own message, where it was said."""
        return await self._run(self.sync.edit, message, text)

    async def retract(self, message: Message) -> MessageId:
        """Takes an own message back, where it was said."""
        return await self._run(self.sync.retract, message)

    async def history(
        self, conversation: Conversation, before: MessageId | None = None, limit: int = 100
    ) -> HistoryPage:
        """The page of a conversation that ends before `before`, or its newest, as `Node.history`."""
        return await self._run(self.sync.history, conversation, before, limit)

    async def search(
        self, conversation: Conversation, text: str, before: MessageId | None = None, limit: int = 100
    ) -> HistoryPage:
        """The newest messages that contain `text` in any case, as `Node.search`."""
        return await self._run(self.sync.search, conversation, text, before, limit)

    async def is_queued(self, id: MessageId) -> bool:
        """Whether a private message waits for its acknowledgement."""
        return await self._run(self.sync.is_queued, id)

    # Groups.

    async def create_group(
        self,
        name: str,
        kind: GroupKind = GroupKind.PRIVATE,
        policy: GroupPolicy = DEFAULT_POLICY,
        expires_in: int | None = None,
    ) -> GroupId:
        """Makes a group of which this node is the owner, as `Node.create_group`."""
        return await self._run(self.sync.create_group, name, kind, policy, expires_in)

    async def invite_to_group(
        self,
        group: GroupId,
        role: GroupRole = GroupRole.MEMBER,
        uses: int = 1,
        expires_in: int = 7 * 86_400,
        node: NodeId | None = None,
    ) -> str:
        """An invitation to a group, good for `uses` newcomers and `expires_in` seconds."""
        return await self._run(self.sync.invite_to_group, group, role, uses, expires_in, node)

    async def join_group(self, invitation: str) -> None:
        """Asks to be a member of the group that an invitation names, as `Node.join_group`."""
        await self._run(self.sync.join_group, invitation)

    async def leave_group(self, group: GroupId) -> None:
        """Leaves a group, or cancels a request to join. What was said while this node was a member stays."""
        await self._run(self.sync.leave_group, group)

    async def remove_member(self, group: GroupId, node: NodeId, ban: bool = False) -> None:
        """Removes a member of lower rank, for good with `ban`. It reads nothing that is said from then on."""
        await self._run(self.sync.remove_member, group, node, ban)

    async def unban_member(self, group: GroupId, node: NodeId) -> None:
        """Ends a ban: the node may be invited again. Raises as `remove_member`."""
        await self._run(self.sync.unban_member, group, node)

    async def set_member_role(self, group: GroupId, node: NodeId, role: GroupRole) -> None:
        """Gives a member of lower rank another rank, below this node's. Raises as `remove_member`."""
        await self._run(self.sync.set_member_role, group, node, role)

    async def transfer_group(self, group: GroupId, node: NodeId) -> None:
        """Makes another member the owner; this node is an admin from then on. Raises as `remove_member`."""
        await self._run(self.sync.transfer_group, group, node)

    async def rename_group(self, group: GroupId, name: str) -> None:
        """Gives a group another name, 1 to 64 bytes. Raises as `remove_member`."""
        await self._run(self.sync.rename_group, group, name)

    async def describe_group(self, group: GroupId, description: str) -> None:
        """Gives a group another description, at most 1,024 bytes. Raises as `remove_member`."""
        await self._run(self.sync.describe_group, group, description)

    async def pin_message(self, group: GroupId, message: MessageId) -> None:
        """As `Node.pin_message`."""
        await self._run(self.sync.pin_message, group, message)

    async def unpin_message(self, group: GroupId, message: MessageId) -> None:
        """As `Node.unpin_message`."""
        await self._run(self.sync.unpin_message, group, message)

    async def set_group_policy(self, group: GroupId, policy: GroupPolicy) -> None:
        """Gives a group another policy: for its owner. Raises as `remove_member`."""
        await self._run(self.sync.set_group_policy, group, policy)

    async def answer_join(self, group: GroupId, node: NodeId, approve: bool) -> None:
        """Adds a node that asked to join, or says no. Raises as `remove_member`."""
        await self._run(self.sync.answer_join, group, node, approve)

    async def groups(self) -> list[GroupInfo]:
        """The groups that this node is or was a member of, as `Node.groups`."""
        return await self._run(self.sync.groups)

    async def group(self, group: GroupId) -> GroupInfo | None:
        """One of them, with its members; `None` if this node is and was in no such group, as `Node.group`."""
        return await self._run(self.sync.group, group)

    async def joining_groups(self) -> list[JoiningGroup]:
        """Groups that this node asked to join and is no member of yet, as `Node.joining_groups`."""
        return await self._run(self.sync.joining_groups)

    # Files.

    async def add_file(self, path: str | os.PathLike[str], media_type: str = "") -> Attachment:
        """Adds a file from disk, so that it can be sent as `File`, as `Node.add_file`."""
        return await self._run(self.sync.add_file, path, media_type)

    async def add_file_bytes(self, content: bytes, name: str, media_type: str = "") -> Attachment:
        """Adds bytes as a file with this name. Raises as `add_file`."""
        return await self._run(self.sync.add_file_bytes, content, name, media_type)

    async def fetch_file(
        self, conversation: Conversation, file: Attachment, author: NodeId | None = None
    ) -> None:
        """Fetches a file that a message of this conversation names, as `Node.fetch_file`."""
        await self._run(self.sync.fetch_file, conversation, file, author)

    async def files(self) -> list[FileInfo]:
        """The files that are here or being fetched, in the order in which they came."""
        return await self._run(self.sync.files)

    async def read_file(self, file: FileId, part: int) -> bytes | None:
        """The bytes of one part of a file, as `Node.read_file`."""
        return await self._run(self.sync.read_file, file, part)

    async def save_file(self, file: FileId, path: str | os.PathLike[str]) -> int:
        """Writes a file that is here whole to a new file on disk, as `Node.save_file`."""
        return await self._run(self.sync.save_file, file, path)

    async def remove_file(self, file: FileId) -> None:
        """Removes a file here, or ends its fetch. Others keep theirs."""
        await self._run(self.sync.remove_file, file)

    # Events.

    def events(self) -> Events:
        """A stream of events of its own, which begins now. One made before `start` misses nothing."""
        return self.sync.events()

    async def ack(self, seq: int | None) -> None:
        """Every durable event up to and including `seq` was handled: it does not come again."""
        await self._run(self.sync.ack, seq)

    # Sleep.

    async def suspend(self) -> None:
        """Before the system freezes the program: stores everything and closes the file."""
        await self._run(self.sync.suspend)

    async def resume(self) -> None:
        """After the system let the program go on. Again is nothing."""
        await self._run(self.sync.resume)

    async def background_fetch(self, seconds: int) -> FetchResult:
        """Resumes, exchanges what there is for at most `seconds` (to 600), and suspends again if it was."""
        return await self._run(self.sync.background_fetch, seconds)

    async def network_changed(self) -> None:
        """The system changed networks: every link is probed at once."""
        await self._run(self.sync.network_changed)

    # The profile.

    async def check(self) -> Checked:
        """Looks at every record of this node's profile while it runs, as `Node.check`."""
        return await self._run(self.sync.check)

    async def backup(self, to: str | os.PathLike[str]) -> bool:
        """Copies this node's profile as of now to a file or folder, as `Node.backup`."""
        return await self._run(self.sync.backup, to)

    async def _run(self, f: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.to_thread(f, *args, **kwargs)

    def __repr__(self) -> str:
        return "<donp.AsyncNode, not opened>" if self._node is None else f"<donp.AsyncNode of {self._node!r}>"


async def _until(timeout: float, otherwise: str, look: Callable[[], Awaitable[_T | None]]) -> _T:
    """What `look` gives, as soon as that is something."""
    until = time.monotonic() + timeout
    while (found := await look()) is None:
        if time.monotonic() >= until:
            raise _too_late(otherwise, timeout)
        await asyncio.sleep(_LOOK_AGAIN)
    return found
