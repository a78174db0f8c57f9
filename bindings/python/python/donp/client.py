"""The node of a running `donp` daemon, under the names of `Node`."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import json
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from ._json import (
    _attachment,
    _attachment_out,
    _confirmations,
    _contact,
    _conversation_in,
    _conversation_out,
    _event,
    _group,
    _message,
    _or_other,
    _peer,
    _policy_out,
)
from .contacts import (
    Confirmations,
    Contact,
    ConversationInfo,
    SafetyNumber,
)
from .content import (
    NETWORK,
    Content,
    Conversation,
    Edit,
    File,
    Group,
    HistoryPage,
    Message,
    Private,
    React,
    Reply,
    Retract,
    Text,
    Unknown,
    _group_id,
    _message_id,
    _node_id,
)
from .devices import DeviceInfo
from .engine import _sort_places
from .errors import (
    _NAMED,
    ClosedError,
    DeniedError,
    DonpError,
    InternalError,
    InvalidInputError,
    NotRunningError,
    TimeoutError,
)
from .events import (
    _MOST,
    Event,
)
from .files import Attachment, FileInfo, _file_id
from .groups import (
    DEFAULT_POLICY,
    GroupInfo,
    GroupKind,
    GroupPolicy,
    GroupRole,
    JoiningGroup,
)
from .ids import AccountId, FileId, GroupId, MessageId, NodeId
from .node import _linked_among, _number, _until
from .status import Checked, NodeState, NodeStatus, NodeType, Peer
from .zone import FailureType, MemberState, ZoneMember, _ids_out

__all__ = ["Client", "ClientEvents"]

_Self = TypeVar("_Self", bound="Client")

# An answer takes at most this long beyond what its method may wait, in seconds: the store's own limit.
_ANSWER_WITHIN = 70.0
# A page of history of the longest texts has a few MiB; more in one line is no answer.
_LONGEST_LINE = 256 << 20
# A blocking wait is at most this long, so that a stream that is closed elsewhere ends.
_SLICE = 0.2


class _Line:
    """A connection to a daemon: one JSON-RPC message a line."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(os.fspath(path))
        except OSError as e:
            self.socket.close()
            raise NotRunningError(
                f"no daemon answers at {path}: {e.strerror}", "donp run, with the same profile"
            ) from e
        self.rest = b""
        self.next_id = 1

    def call(self, method: str, params: dict[str, Any]) -> Any:
        id, self.next_id = self.next_id, self.next_id + 1
        request = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
        try:
            self.socket.settimeout(None if method in _READS_ALL else _ANSWER_WITHIN)
            self.socket.sendall(json.dumps(request).encode() + b"\n")
            answer = self.read()
            # An error without an id is about a line that the daemon could not read.
            while answer is not None and answer.get("id") != id and not _is_about_a_line(answer):
                answer = self.read()
        except builtins.TimeoutError as e:
            raise TimeoutError("the daemon did not answer in time", "donp status", True) from e
        except OSError as e:
            raise _gone() from e
        if answer is None:
            raise _gone()
        if "error" in answer:
            raise _failure(answer["error"])
        return answer["result"]

    def read(self) -> dict[str, Any] | None:
        """The next message; `None` at the end."""
        while b"\n" not in self.rest:
            some = self.socket.recv(1 << 16)
            if not some or len(self.rest) > _LONGEST_LINE:
                return None
            self.rest += some
        return self.first()

    def first(self) -> dict[str, Any]:
        """The first message of those that were read whole."""
        line, _, self.rest = self.rest.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def is_ready(self, timeout: float) -> bool:
        """Whether there is something to read, or the end, within this time."""
        # Not `select.select`, which takes no socket whose number is above 1,023.
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(timeout * 1_000))

    def is_over(self) -> bool:
        """Whether the daemon closed it, so that what is asked now was not asked."""
        try:
            return self.is_ready(0.0) and not self.socket.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def drop(self) -> None:
        """Closes what a fork has of it. The connection is its parent's, and goes on."""
        self.socket.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def _is_about_a_line(answer: dict[str, Any]) -> bool:
    return "error" in answer and answer.get("id") is None


def _gone() -> ClosedError:
    return ClosedError("the daemon ended before it answered", "donp run, then make a new client")


def _here(process: int, what: str) -> None:
    """Raises in a fork, which would take its parent's answers off the connection that both have."""
    if process != os.getpid():
        raise ClosedError(
            f"this {what} is of process {process}, and a fork has none", "make a client after the fork"
        )


def _failure(error: dict[str, Any]) -> DonpError:
    data = error.get("data") or {}
    kind = _NAMED.get(str(data.get("kind")), InternalError)
    return kind(str(error.get("message")), str(data.get("try") or ""), data.get("retryable") is True)


def _socket_of(profile: str, state_dir: str | os.PathLike[str] | None) -> Path:
    """Where the daemon of a profile listens: its lock file says so, or where it usually is."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = (home / "donp" if state_dir is None else Path(state_dir)) / profile
    with contextlib.suppress(OSError):
        lines = (folder / "lock").read_text("utf-8").splitlines()
        if len(lines) > 1 and lines[1]:
            return Path(lines[1])
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return folder / "sock" if runtime is None or state_dir else Path(runtime) / "donp" / f"{profile}.sock"


class Client:
    """The node of a running daemon (`donp run`), commanded over its control socket.

    What it has is named as in `Node` and takes and gives the same values; it lacks what is of the process
    itself, such as `shutdown`, and `add_file_bytes`. It raises the errors that `Node` raises. The socket
    belongs to one user, so there is nothing to log in with. Paths are the daemon's to open: relative ones are
    made whole here.

    Use it in `with`, which closes the connection; the daemon goes on. Calls may come from any thread, one
    after the other. In a forked child it raises `ClosedError`.
    """

    def __init__(
        self,
        profile: str = "default",
        *,
        state_dir: str | os.PathLike[str] | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Connects to a daemon.

        - `profile`: whose node, as `donp -p` names it.
        - `state_dir`: where profiles are kept, if `donp --state-dir` was given.
        - `path`: the control socket, instead of these two.

        Raises `NotRunningError` if no daemon answers.
        """
        self._path = _socket_of(profile, state_dir) if path is None else Path(path)
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._line: _Line | None = _Line(self._path)
        me = self._call("whoami")
        self._id, self._name = NodeId(me["id"]), str(me["name"])

    def _call(self, method: str, **params: Any) -> Any:
        # Before the lock, which another thread of the parent may have held for ever.
        _here(self._process, "client")
        with self._lock:
            if self._line is None:
                raise ClosedError("this client was closed", "make a new one")
            if self._line.is_over():
                # One that asked for nothing for a minute is cut off: the daemon may still be there.
                self._line = self._again(self._line)
            try:
                return self._line.call(method, params)
            except ClosedError:
                self._line = self._again(self._line)
                if method not in _ASKS:
                    raise
                return self._line.call(method, params)

    def _again(self, line: _Line) -> _Line:
        line.close()
        try:
            return _Line(self._path)
        except NotRunningError:
            raise _gone() from None

    def close(self) -> None:
        """Closes the connection; the daemon goes on. Again is nothing."""
        if self._process != os.getpid():
            if self._line is not None:
                self._line.drop()
            return
        with self._lock:
            if self._line is not None:
                self._line.close()
                self._line = None

    def __enter__(self: _Self) -> _Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self.close()

    @property
    def id(self) -> NodeId:
        """The daemon's node."""
        return self._id

    @property
    def name(self) -> str:
        """The name it shows to others."""
        return self._name

    @property
    def local_addresses(self) -> tuple[str, ...]:
        """What the sockets are bound to, `ip:port`."""
        return self.status().listen

    def status(self) -> NodeStatus:
        """The node at a glance."""
        s = self._call("status")
        counters = s["counters"]
        return NodeStatus(
            id=NodeId(s["id"]),
            account=AccountId(s["account"]),
            name=s["name"],
            node_type=NodeType(s["node_type"].lower()),
            state=NodeState(s["state"].lower()),
            neighbours=s["neighbours"],
            links=s["links"],
            known=s["known"],
            outbox=s["outbox"],
            pending=s["pending"],
            listen=tuple(s["listen"]),
            observed=tuple(s["observed"]),
            lan=tuple(s["lan"]),
            lan_error=s["lan_error"],
            unresolved={u["bootstrap"]: u["reason"] for u in s["unresolved"]},
            store=s["store"],
            protection=s["protection"],
            store_error=s["store_error"],
            damaged_records=s["damaged_records"],
            lost_records=s["lost_records"],
            checked_records=s["checked_records"],
            checked_at_ms=s["checked_at_ms"],
            acked=s["acked"],
            last_event=s["last_event"],
            datagrams_in=counters["datagrams_in"],
            datagrams_out=counters["datagrams_out"],
            messages=counters["messages"],
            drops={reason: n for reason, n in s["drops"].items() if n},
        )

    def peers(self, max: int = 1_000) -> list[Peer]:
        """Known nodes, at most `max`, in the order of use."""
        return [_peer(p) for p in self._call("peers")["peers"][:max]]

    def peer(self, id: NodeId) -> Peer | None:
        """What is known of one node; `None` if it is not known."""
        _node_id(id)
        return next((p for p in self.peers(1 << 20) if p.id == id), None)

    def name_of(self, id: NodeId) -> str | None:
        """The name that a node claims; `None` if none is known."""
        if id == self.id:
            return self.name
        found = self.peer(id)
        return None if found is None else found.name

    def wait_for(self, peer: NodeId | str, timeout: float = 60.0) -> Peer:
        """Waits until there is a link with `peer`, an id or a name, as `Node.wait_for`."""
        who = peer.short if isinstance(peer, NodeId) else repr(peer)
        return _until(timeout, f"no link with {who}", lambda: _linked_among(self.peers(1 << 20), peer))

    def join(self, *places: str, wait: float | None = None) -> None:
        """Enters the network through any of `places` or invitations, as `Node.join`."""
        invitations, rest = _sort_places(places)
        for place in [*invitations, *rest]:
            self._call("join", target=place)
        if not places:
            self._call("join")
        if wait is not None:
            _until(wait, "no link", lambda: self.status().links > 0 or None)

    def leave(self) -> None:
        """Says goodbye to everybody. What is queued waits for the next `join`."""
        self._call("leave")

    def invite(self) -> str:
        """An invitation to this node's network. For a closed one it holds the key and is as secret."""
        return str(self._call("invite")["ticket"])

    def block(self, peer: NodeId) -> None:
        """Blocks a node, as `Node.block`."""
        self._call("block", peer=_node_id(peer))

    def unblock(self, peer: NodeId) -> None:
        """Ends `block`."""
        self._call("unblock", peer=_node_id(peer))

    def blocked(self) -> list[NodeId]:
        """Blocked nodes, by id."""
        return [NodeId(b["id"]) for b in self._call("blocked")["blocked"]]

    # Who is there, and what to do when something seems wrong.

    def members(self) -> list[ZoneMember]:
        """The members of the node's zone, as `Node.members`."""
        return [
            ZoneMember(
                id=NodeId(m["id"]),
                state=_or_other(MemberState, m["state"]),
                incarnation=m["incarnation"],
                linked=m["linked"],
            )
            for m in self._call("members")["members"]
        ]

    def detect_node_failure(self, peer: NodeId) -> None:
        """Asks a node whether it is there, as `Node.detect_node_failure`: `MemberChanged` answers."""
        self._call("detect_node_failure", peer=_node_id(peer))

    def report_partition(self, peers: Iterable[NodeId] = ()) -> None:
        """These nodes seem to be cut off, or this one from them, as `Node.report_partition`."""
        self._call("report_partition", peers=_ids_out(peers))

    def recover_from_failure(self, failure: FailureType) -> None:
        """Mends what failed without waiting, as `Node.recover_from_failure`."""
        if not isinstance(failure, FailureType):
            raise TypeError(f"what failed is a FailureType, not {type(failure).__name__}")
        self._call("recover_from_failure", failure=failure.value)

    def synchronize_state(self, peer: NodeId) -> None:
        """Compares what is said with another node at once, as `Node.synchronize_state`."""
        self._call("synchronize_state", peer=_node_id(peer))

    def handle_local_peer(self, address: str, id: NodeId | None = None) -> None:
        """A node may be at `address`, `ip:port`, as `Node.handle_local_peer`."""
        self._call("handle_local_peer", address=address, id=None if id is None else _node_id(id))

    def network_changed(self) -> None:
        """The system changed networks: every link is probed at once."""
        self._call("network_changed")

    # The book of people, what was read, and who is at the other end of a link.

    def contacts(self) -> list[Contact]:
        """All of the book, by id: contacts, and requests of strangers."""
        return [_contact(c) for c in self._call("contacts")["contacts"]]

    def contact(self, node: NodeId) -> Contact | None:
        """One of the book; `None` if the node is neither a contact nor has a request."""
        _node_id(node)
        return next((c for c in self.contacts() if c.node == node), None)

    def add_contact(self, node: NodeId, petname: str | None = None) -> None:
        """Makes a node a contact and accepts its request, as `Node.add_contact`."""
        self._call("add_contact", peer=_node_id(node), petname=petname)

    def rename_contact(self, node: NodeId, petname: str | None) -> None:
        """Gives a contact another own name, or none."""
        self._call("rename_contact", peer=_node_id(node), petname=petname)

    def remove_contact(self, node: NodeId) -> None:
        """Takes a contact, or a request, out of the book, as `Node.remove_contact`."""
        self._call("remove_contact", peer=_node_id(node))

    def accept_contact(self, node: NodeId) -> None:
        """Accepts the request of a stranger. Raises `NotFoundError` if it has none."""
        self._call("accept_contact", peer=_node_id(node))

    def mute_contact(self, node: NodeId, muted: bool = True) -> None:
        """Mutes a contact, or ends that, as `Node.mute_contact`."""
        self._call("mute_contact", peer=_node_id(node), muted=muted)

    def safety_number(self, node: NodeId) -> SafetyNumber:
        """The safety number with a node of the book, as `Node.safety_number`.

        Waits three seconds for the keys of a linked node.
        """
        found = self._call("safety_number", peer=_node_id(node))
        return SafetyNumber(number=found["number"], code=found["code"])

    def verify_contact(self, node: NodeId, shown: str) -> None:
        """Compares what the other side says or shows with the safety number, as `Node.verify_contact`."""
        self._call("verify_contact", peer=_node_id(node), shown=shown)

    def accept_change(self, node: NodeId) -> None:
        """Goes on with a verified contact whose key changed, as `Node.accept_change`."""
        self._call("accept_change", peer=_node_id(node))

    def conversations(self) -> list[ConversationInfo]:
        """Conversations with what is unread in each, those of groups and the network's included."""
        return [
            ConversationInfo(
                conversation=_conversation_in(c["conversation"]),
                unread=c["unread"],
                read=None if c["read"] is None else MessageId(c["read"]),
                request=c["request"],
            )
            for c in self._call("conversations")["conversations"]
        ]

    def mark_read(self, conversation: Conversation, upto: MessageId | None = None) -> None:
        """A conversation was read up to and including this message, or all of it, as `Node.mark_read`."""
        place = _conversation_out(conversation)
        self._call("mark_read", conversation=place, upto=None if upto is None else _message_id(upto))

    def confirmations(self, conversation: Conversation, message: MessageId) -> Confirmations:
        """Who has a message of this node in a group or a private conversation, as `Node.confirmations`."""
        place = _conversation_out(conversation)
        return _confirmations(self._call("confirmations", conversation=place, message=_message_id(message)))

    def send_typing(self, conversation: Conversation) -> None:
        """The user types in a group or a private conversation, as `Node.send_typing`."""
        self._call("send_typing", conversation=_conversation_out(conversation))

    def delete_conversation(self, conversation: Conversation) -> None:
        """Deletes all that is here of a private conversation, as `Node.delete_conversation`."""
        place = _conversation_out(conversation)
        if not isinstance(conversation, Private):
            raise DeniedError("only a private conversation can be deleted", "leave_group leaves a group")
        self._call("delete_conversation", conversation=place)

    def authenticate_node(self, peer: NodeId) -> None:
        """Challenges the device of a node over its link; the event `Authenticated` says the result."""
        self._call("authenticate_node", peer=_node_id(peer), timeout_ms=0)

    # Devices.

    def devices(self) -> list[DeviceInfo]:
        """The devices of the node's account, the most senior first, as `Node.devices`."""
        return [
            DeviceInfo(node=NodeId(d["node"]), name=d["name"], added_ms=d["added_ms"], here=d["here"])
            for d in self._call("devices")["devices"]
        ]

    def devices_of(self, node: NodeId) -> list[NodeId]:
        """The devices of the account that a node is of, as `Node.devices_of`."""
        return [NodeId(id) for id in self._call("devices_of", peer=_node_id(node))["devices"]]

    def add_device(self) -> str:
        """Makes a ticket with which another device of the same person joins, as `Node.add_device`."""
        return str(self._call("add_device")["ticket"])

    def join_account(self, ticket: str) -> None:
        """Joins the account of the device that shows this ticket, as `Node.join_account`."""
        self._call("join_account", ticket=ticket, timeout_ms=0)

    def is_joining_account(self) -> bool:
        """Whether this device waits to be taken into an account, or for the lists of one to recover."""
        return bool(self._call("is_joining_account")["joining"])

    def rename_device(self, name: str) -> None:
        """Gives this device another name: 1 to 64 bytes."""
        self._call("rename_device", name=name)

    def remove_device(self, node: NodeId) -> None:
        """Removes a device from the node's account, as `Node.remove_device`."""
        self._call("remove_device", device=_node_id(node))

    def recover_account(self, code: str) -> None:
        """Makes this device the only one of the account of a recovery code, as `Node.recover_account`."""
        self._call("recover_account", code=code, timeout_ms=0)

    def recovery_code(self) -> str | None:
        """The recovery code of the account that this profile began with; `None` if it is not kept there.

        Who has it can take the account over.
        """
        code = self._call("recovery_code")["code"]
        return None if code is None else str(code)

    # Messages.

    def say(self, conversation: Conversation, what: str | Content) -> MessageId:
        """Says something in a conversation: done when it is stored, as `Node.say`."""
        params: dict[str, Any] = {"to": _conversation_out(conversation), "wait": "none"}
        match Text(what) if isinstance(what, str) else what:
            case Text(text):
                params |= {"text": text}
            case Reply(to, text):
                params |= {"text": text, "kind": "reply_to", "about": str(to)}
            case Edit(of, text):
                params |= {"text": text, "kind": "edit_of", "about": str(of)}
            case React(to, mark):
                params |= {"text": mark, "kind": "react_to", "about": str(to)}
            case Retract(id):
                params |= {"text": "", "kind": "retract", "about": str(id)}
            case File(file, text):
                params |= {"text": text, "file": _attachment_out(file)}
            case Unknown():
                raise InvalidInputError("what a newer version says cannot be sent", "send what can be read")
            case _:
                raise TypeError(f"what is said is a str or a Content, not {type(what).__name__}")
        return MessageId(self._call("send", **params)["id"])

    def send(self, to: NodeId, what: str | Content) -> MessageId:
        """Says something to one node; done when it is stored, as `Node.send`."""
        return self.say(Private(to), what)

    def broadcast(self, what: str | Content) -> MessageId:
        """Says something to all nodes of the network. Absent nodes catch up later."""
        return self.say(NETWORK, what)

    def send_to_group(self, group: GroupId, what: str | Content) -> MessageId:
        """Says something to the members of a group, as `Node.send_to_group`."""
        return self.say(Group(group), what)

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
        """Takes an own message back, where it was said."""
        return self.say(message.conversation, Retract(message.id))

    def history(
        self, conversation: Conversation, before: MessageId | None = None, limit: int = 100
    ) -> HistoryPage:
        """The page of a conversation that ends before `before`, or its newest, as `Node.history`."""
        return self._page(conversation, before, limit, None)

    def search(
        self, conversation: Conversation, text: str, before: MessageId | None = None, limit: int = 100
    ) -> HistoryPage:
        """The newest messages that contain `text`, in any case, before `before`: at most `limit`.

        One call looks at the whole conversation.
        """
        return self._page(conversation, before, limit, text)

    def _page(
        self, conversation: Conversation, before: MessageId | None, limit: int, search: str | None
    ) -> HistoryPage:
        page = self._call(
            "history",
            conversation=_conversation_out(conversation),
            before=None if before is None else _message_id(before),
            limit=limit,
            search=search,
        )
        older = page["older"]
        return HistoryPage(
            [_message(m) for m in page["messages"]], None if older is None else MessageId(older)
        )

    def is_queued(self, id: MessageId) -> bool:
        """Whether a private message waits for its acknowledgement."""
        return bool(self._call("is_queued", message=_message_id(id))["queued"])

    # Groups.

    def create_group(
        self,
        name: str,
        kind: GroupKind = GroupKind.PRIVATE,
        policy: GroupPolicy = DEFAULT_POLICY,
        expires_in: int | None = None,
    ) -> GroupId:
        """Makes a group of which this node is the owner, as `Node.create_group`."""
        made = self._call(
            "create_group", name=name, kind=kind.value, expires_in_s=expires_in, **_policy_out(policy)
        )
        return GroupId(made["id"])

    def invite_to_group(
        self,
        group: GroupId,
        role: GroupRole = GroupRole.MEMBER,
        uses: int = 1,
        expires_in: int = 7 * 86_400,
        node: NodeId | None = None,
    ) -> str:
        """An invitation to a group, as `Node.invite_to_group`."""
        ticket = self._call(
            "invite_to_group",
            group=_group_id(group),
            role=role.value,
            uses=uses,
            expires_in_s=expires_in,
            node=None if node is None else _node_id(node),
        )
        return str(ticket["ticket"])

    def join_group(self, invitation: str) -> None:
        """Asks to be a member of the group that an invitation names, as `Node.join_group`."""
        self._call("join_group", ticket=invitation)

    def leave_group(self, group: GroupId) -> None:
        """Leaves a group, or cancels a request to join."""
        self._call("leave_group", group=_group_id(group))

    def remove_member(self, group: GroupId, node: NodeId, ban: bool = False) -> None:
        """Removes a member of lower rank, for good with `ban`."""
        self._call("remove_member", group=_group_id(group), node=_node_id(node), ban=ban)

    def unban_member(self, group: GroupId, node: NodeId) -> None:
        """Ends a ban: the node may be invited again."""
        self._call("unban_member", group=_group_id(group), node=_node_id(node))

    def set_member_role(self, group: GroupId, node: NodeId, role: GroupRole) -> None:
        """Gives a member of lower rank another rank, below this node's."""
        self._call("set_member_role", group=_group_id(group), node=_node_id(node), role=role.value)

    def transfer_group(self, group: GroupId, node: NodeId) -> None:
        """Makes another member the owner; this node is an admin from then on."""
        self._call("transfer_group", group=_group_id(group), node=_node_id(node))

    def rename_group(self, group: GroupId, name: str) -> None:
        """Gives a group another name, 1 to 64 bytes."""
        self._call("rename_group", group=_group_id(group), name=name)

    def describe_group(self, group: GroupId, description: str) -> None:
        """Gives a group another description, at most 1,024 bytes."""
        self._call("describe_group", group=_group_id(group), description=description)

    def pin_message(self, group: GroupId, message: MessageId) -> None:
        """As `Node.pin_message`."""
        self._call("pin_message", group=_group_id(group), message=_message_id(message))

    def unpin_message(self, group: GroupId, message: MessageId) -> None:
        """As `Node.unpin_message`."""
        self._call("unpin_message", group=_group_id(group), message=_message_id(message))

    def set_group_policy(self, group: GroupId, policy: GroupPolicy) -> None:
        """Gives a group another policy: for its owner."""
        self._call("set_group_policy", group=_group_id(group), **_policy_out(policy))

    def answer_join(self, group: GroupId, node: NodeId, approve: bool) -> None:
        """Adds a node that asked to join, or says no."""
        self._call("answer_join", group=_group_id(group), node=_node_id(node), approve=approve)

    def groups(self) -> list[GroupInfo]:
        """The groups that this node is or was a member of."""
        return [_group(g) for g in self._call("groups")["groups"]]

    def group(self, group: GroupId) -> GroupInfo | None:
        """One of them, with its members; `None` if this node is and was in no such group."""
        _group_id(group)
        return next((g for g in self.groups() if g.id == group), None)

    def joining_groups(self) -> list[JoiningGroup]:
        """Groups that this node asked to join and is no member of yet."""
        return [JoiningGroup(GroupId(j["id"]), j["name"]) for j in self._call("groups")["joining"]]

    # Files.

    def add_file(self, path: str | os.PathLike[str], media_type: str = "") -> Attachment:
        """Has the daemon add a file from disk, so that it can be sent as `File`; as `Node.add_file`."""
        return _attachment(self._call("add_file", path=_whole(path), media_type=media_type))

    def fetch_file(self, conversation: Conversation, file: Attachment, author: NodeId | None = None) -> None:
        """Fetches a file that a message of this conversation names, as `Node.fetch_file`."""
        self._call(
            "fetch_file",
            conversation=_conversation_out(conversation),
            file=_attachment_out(file),
            author=None if author is None else _node_id(author),
        )

    def files(self) -> list[FileInfo]:
        """The files that are here or being fetched, in the order in which they came."""
        return [
            FileInfo(
                FileId(f["id"]),
                f["name"],
                f["media_type"],
                f["size"],
                f["bytes"],
                f["holders"],
                f["is_whole"],
            )
            for f in self._call("files")["files"]
        ]

    def read_file(self, file: FileId, part: int) -> bytes | None:
        """The bytes of one part of a file, 65,520 of them but for the last; `None` if it is not here."""
        digits = self._call("read_file", file=_file_id(file), part=part)["bytes"]
        return None if digits is None else bytes.fromhex(digits)

    def save_file(self, file: FileId, path: str | os.PathLike[str]) -> int:
        """Has the daemon write a file that is here whole to a new file, and gives its size.

        What is there already is not replaced. Raises `NotFoundError` if the file is not here whole,
        `StorageError` if it cannot be written.
        """
        return int(self._call("save_file", file=_file_id(file), path=_whole(path))["size"])

    def remove_file(self, file: FileId) -> None:
        """Removes a file here, or ends its fetch. Raises `NotFoundError` without it."""
        self._call("remove_file", file=_file_id(file))

    # The profile.

    def check(self) -> Checked:
        """Looks at every record of the node's profile, as long as reading it takes."""
        found = self._call("check")
        return Checked(dict(found["records"]), list(found["problems"]), found["lost"])

    def backup(self, to: str | os.PathLike[str]) -> bool:
        """Has the daemon copy its profile to a file, if `to` ends with `.donp`, or a folder.

        Says whether the copy holds the key that opens it, as `Node.backup`. Raises `AlreadyExistsError` if
        `to` is there.
        """
        return bool(self._call("backup", to=_whole(to))["key"])

    # Events.

    def ack(self, seq: int | None) -> None:
        """Every durable event up to and including `seq` was handled, as `Node.ack`."""
        if seq is not None:
            self._call("ack", seq=_number(seq))

    def events(self, after: int | None = None) -> ClientEvents:
        """A stream of events on a connection of its own.

        It begins with the durable events after the number `after`, or after the last acknowledged one, and
        with the volatile ones from now on.
        """
        _here(self._process, "client")
        return ClientEvents(self._path, after)

    def __repr__(self) -> str:
        return f"<donp.Client {self._name!r} {self._id.short}>"


# Other calls may have been done, and are not made twice.
_ASKS = {
    "blocked",
    "check",
    "confirmations",
    "contacts",
    "conversations",
    "devices",
    "devices_of",
    "files",
    "groups",
    "history",
    "invite",
    "is_joining_account",
    "is_queued",
    "members",
    "peers",
    "read_file",
    "recovery_code",
    "safety_number",
    "status",
    "whoami",
}
# Calls that read or write whole files take as long as the disk does.
_READS_ALL = {"add_file", "backup", "check", "save_file"}


class ClientEvents:
    """One reader's events of a daemon, asked as those of `Events`: `for`, `async for`, `poll` and `take`.

    Iteration ends when the stream is closed. When the daemon ends, or the reader was too slow for it, what
    had come can still be taken, and then the next call raises `ClosedError` once, with the reason. The events
    after the last that was handled come again from `events(after)` of a new client. A wait that is cancelled
    or interrupted loses nothing.
    """

    def __init__(self, path: Path, after: int | None) -> None:
        """Made by `Client.events`."""
        self._process = os.getpid()
        self._taken: deque[Event] = deque()
        self._reason: str | None = None
        self._line: _Line | None = _Line(path)
        self._line.call("subscribe", {"after": after})
        # The first ones may have come with the answer.
        self._read(self._line)

    def __iter__(self) -> Iterator[Event]:
        """Waits for one event after the other. Ctrl-C works."""
        while self._wait(_SLICE) or self._line is not None:
            if self._taken:
                yield self._taken.popleft()

    def __aiter__(self) -> ClientEvents:
        """The stream itself."""
        return self

    async def __anext__(self) -> Event:
        """The next event; cancelling it loses none."""
        while not self._wait(0.0):
            if self._line is None:
                raise StopAsyncIteration
            await _readable(self._line.socket)
        return self._taken.popleft()

    def poll(self, timeout: float = 0.0, max: int = _MOST) -> list[Event]:
        """At most `max` events, waiting up to `timeout` seconds for the first.

        An empty list if none came, or if the stream is closed: `is_finished` tells which.
        """
        self._wait(timeout)
        return [self._taken.popleft() for _ in range(min(max, len(self._taken)))]

    def take(self, max: int = _MOST) -> list[Event]:
        """At most `max` events that are there, without waiting."""
        return self.poll(0.0, max)

    def close(self) -> None:
        """Ends every wait. What had come can still be taken. Again is nothing."""
        line, self._line = self._line, None
        if line is not None:
            if self._process == os.getpid():
                line.close()
            else:
                line.drop()

    @property
    def is_finished(self) -> bool:
        """Whether everything was taken and nothing will come any more."""
        return not self._taken and self._line is None

    def __enter__(self) -> ClientEvents:
        """The stream, which the end of the block closes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the stream."""
        self.close()

    def _wait(self, timeout: float) -> bool:
        """Waits for an event; whether there is one. Raises at the end that the daemon made."""
        _here(self._process, "stream of events")
        deadline = monotonic() + timeout
        while not self._taken and (line := self._line) is not None:
            left = max(deadline - monotonic(), 0.0)
            try:
                if line.is_ready(min(left, _SLICE)):
                    self._receive(line)
            except (OSError, ValueError):
                # Closed elsewhere; or else it broke, and nothing more comes.
                if self._line is not None:
                    self._end("the connection to the daemon broke")
            if left == 0.0:
                break
        if not self._taken and self._reason is not None:
            reason, self._reason = self._reason, None
            raise ClosedError(reason, "donp run, then make a new client")
        return bool(self._taken)

    def _receive(self, line: _Line) -> None:
        """Takes what the socket has: it is readable, so this does not wait."""
        some = line.socket.recv(1 << 16)
        line.rest += some
        self._read(line)
        if self._line is not None and (not some or len(line.rest) > _LONGEST_LINE):
            self._end("the daemon ended without notice")

    def _read(self, line: _Line) -> None:
        """The messages that are whole."""
        while b"\n" in line.rest:
            message = line.first()
            if message.get("method") == "event":
                self._taken.append(_event(message["params"]))
            elif message.get("method") == "end":
                self._end(str(message["params"]["reason"]))
                return

    def _end(self, reason: str) -> None:
        self._reason = reason
        self.close()


async def _readable(of: socket.socket) -> None:
    """Waits until a socket has something, or was shut down."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    # Of its own: a number that is closed elsewhere meanwhile may be another file's.
    own = os.dup(of.fileno())

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(own, wake)
    try:
        await ready
    finally:
        loop.remove_reader(own)
        os.close(own)


def _whole(path: str | os.PathLike[str]) -> str:
    """A path as the daemon, which is in another folder, understands it."""
    return os.path.abspath(os.fspath(path))
