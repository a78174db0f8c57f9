"""The node of a running `donp` daemon, under the names of `Node`."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from .content import (
    NETWORK,
    ClockEntry,
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
    Text,
    Unknown,
    _group_id,
    _message_id,
    _node_id,
)
from .engine import _sort_places
from .errors import (
    ClosedError,
    DeniedError,
    DonpError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    NotRunningError,
    StorageError,
    TimeoutError,
)
from .events import (
    AccountDataChanged,
    Delivered,
    DownReason,
    Event,
    Failed,
    FailReason,
    Forked,
    GroupChanged,
    Lagged,
    LifeBegun,
    MemberChanged,
    PeerDown,
    PeerUp,
    Received,
    StateChanged,
    UnknownEvent,
    Writable,
)
from .groups import (
    DEFAULT_POLICY,
    Days,
    Everything,
    GroupChange,
    GroupHistory,
    GroupInfo,
    GroupKind,
    GroupMember,
    GroupPolicy,
    GroupRole,
    JoiningGroup,
    Newest,
    Nothing,
    Refusal,
)
from .ids import AccountId, GroupId, MessageId, NodeId
from .node import _linked_among, _number, _until
from .status import NodeState, NodeStatus, NodeType, Peer
from .zone import MemberState

__all__ = ["Client", "ClientEvents"]

_Self = TypeVar("_Self", bound="Client")

# An answer takes at most this long beyond what its method may wait, in seconds: the store's own limit.
_ANSWER_WITHIN = 70.0
# A page of history of the longest texts has a few MiB; more in one line is no answer.
_MOST = 256 << 20
# A blocking wait is at most this long, so that a stream that is closed elsewhere ends.
_SLICE = 0.2

# What `donp` ends with for each kind of failure (docs/control.md).
_KINDS: dict[int, type[DonpError]] = {
    1: NotFoundError,
    2: InvalidInputError,
    3: TimeoutError,
    4: DeniedError,
    5: DeniedError,
    6: StorageError,
    7: NotRunningError,
    70: InternalError,
}


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
        self.socket.settimeout(_ANSWER_WITHIN)
        self.rest = b""
        self.next_id = 1

    def call(self, method: str, params: dict[str, Any]) -> Any:
        id, self.next_id = self.next_id, self.next_id + 1
        request = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
        try:
            self.socket.sendall(json.dumps(request).encode() + b"\n")
            while True:
                answer = self.read()
                if answer is None:
                    raise _gone()
                if answer.get("id") not in (id, None):
                    continue
                if "error" in answer:
                    raise _failure(answer["error"])
                if answer.get("id") == id:
                    return answer["result"]
        except builtins.TimeoutError as e:
            raise TimeoutError("the daemon did not answer in time", "donp status", True) from e
        except OSError as e:
            raise _gone() from e

    def read(self) -> dict[str, Any] | None:
        """The next message; `None` at the end."""
        while b"\n" not in self.rest:
            some = self.socket.recv(1 << 16)
            if not some or len(self.rest) > _MOST:
                return None
            self.rest += some
        line, _, self.rest = self.rest.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def _gone() -> ClosedError:
    return ClosedError("the daemon ended before it answered", "donp run, then make a new client")


def _failure(error: dict[str, Any]) -> DonpError:
    data = error.get("data") or {}
    kind = _KINDS.get(data.get("exit", 1), NotFoundError)
    return kind(str(error.get("message")), str(data.get("try") or ""), data.get("exit") == 3)


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

    What it has is named as in `Node` and takes and gives the same values. A failure is the class of error
    that `donp` ends with: `NotFoundError` also for what can be corrected in another way. The socket belongs
    to one user, so there is nothing to log in with.

    Use it in `with`, which closes the connection; the daemon goes on. Calls may come from any thread.
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
        self._line: _Line | None = _Line(self._path)
        me = self._call("whoami")
        self._id, self._name = NodeId(me["id"]), str(me["name"])

    def _call(self, method: str, **params: Any) -> Any:
        with self._lock:
            if self._line is None:
                raise ClosedError("this client was closed", "make a new one")
            try:
                return self._line.call(method, params)
            except ClosedError:
                # One that asked for nothing for a minute was cut off: the daemon may still be there.
                self._line.close()
                try:
                    self._line = _Line(self._path)
                except NotRunningError:
                    raise _gone() from None
                if method not in _ASKS:
                    raise
                return self._line.call(method, params)

    def close(self) -> None:
        """Closes the connection; the daemon goes on. Again is nothing."""
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
        """Enters the network through any of `places` or invitations, as `Node.join`; at least one."""
        if not places:
            raise InvalidInputError("no place to join is given", "give an invitation or host:port")
        invitations, rest = _sort_places(places)
        for place in [*invitations, *rest]:
            self._call("join", target=place)
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
        return ClientEvents(self._path, after)

    def __repr__(self) -> str:
        return f"<donp.Client {self._name!r} {self._id.short}>"


# Other calls may have been done, and are not made twice.
_ASKS = {"whoami", "status", "peers", "invite", "blocked", "history", "groups"}


class ClientEvents:
    """One reader's events of a daemon: iterate with `for`, or ask with `poll`.

    Iteration ends when the stream is closed; when the daemon ends, it raises `ClosedError` with the reason.
    The events after the last that was handled come again from `events(after)` of a new client.
    """

    def __init__(self, path: Path, after: int | None) -> None:
        """Made by `Client.events`."""
        self._line: _Line | None = _Line(path)
        self._line.call("subscribe", {"after": after})

    def __iter__(self) -> Iterator[Event]:
        """Waits for one event after the other. Ctrl-C works."""
        while self._line is not None:
            event = self.poll(_SLICE)
            if event is not None:
                yield event

    def poll(self, timeout: float = 0.0) -> Event | None:
        """The next event; `None` if none comes within `timeout` seconds. Raises `ClosedError` at the end."""
        line = self._line
        if line is None:
            return None
        while True:
            if b"\n" not in line.rest and not select.select([line.socket], [], [], timeout)[0]:
                return None
            try:
                message = line.read()
            except OSError:
                message = None
            if self._line is None:
                return None
            if message is None or message.get("method") == "end":
                self.close()
                reason = (message or {}).get("params", {}).get("reason") or "the daemon ended without notice"
                raise ClosedError(str(reason), "donp run, then make a new client")
            if message.get("method") == "event":
                return _event(message["params"])

    def close(self) -> None:
        """Ends the stream. Again is nothing."""
        if self._line is not None:
            line, self._line = self._line, None
            line.close()

    def __enter__(self) -> ClientEvents:
        """The stream itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the stream."""
        self.close()


def _conversation_out(conversation: Conversation) -> str:
    match conversation:
        case Private(peer):
            return _node_id(peer)
        case Group(group):
            return _group_id(group)
    return "all"


def _conversation_in(text: str) -> Conversation:
    if text == "all":
        return NETWORK
    return Group(GroupId(text)) if text.startswith("g") else Private(NodeId(text))


def _message(m: dict[str, Any]) -> Message:
    content: Content
    if "reply_to" in m:
        content = Reply(MessageId(m["reply_to"]), m["text"])
    elif "edit_of" in m:
        content = Edit(MessageId(m["edit_of"]), m["text"])
    elif "react_to" in m:
        content = React(MessageId(m["react_to"]), m["text"])
    elif "retract" in m:
        content = Retract(MessageId(m["retract"]))
    else:
        content = Text(m["text"]) if "text" in m else Unknown()
    clock = m["clock"]
    return Message(
        MessageId(m["id"]),
        _conversation_in(m["conversation"]),
        NodeId(m["author"]),
        m["life"],
        m["seq"],
        m["depth"],
        None
        if clock is None
        else tuple(ClockEntry(NodeId(e["author"]), e["life"], e["count"]) for e in clock),
        m["sent_at_ms"],
        content,
        m["edited"],
        m["retracted"],
    )


def _peer(p: dict[str, Any]) -> Peer:
    return Peer(
        id=NodeId(p["id"]),
        name=p["name"],
        account=None if p["account"] is None else AccountId(p["account"]),
        node_type=NodeType(p["node_type"].lower()),
        verified=p["verified"],
        role=NodeType(p["role"].lower()),
        bot=p["bot"],
        address=p["address"],
        linked=p["linked"],
        neighbour=p["neighbour"],
        rtt_ms=p["rtt_ms"],
        last_linked_at_ms=p["last_linked_at_ms"],
        link_generation=p["link_generation"],
        queued=p["queued"],
        last_error=p["last_error"],
    )


def _policy_out(policy: GroupPolicy) -> dict[str, Any]:
    match policy.history:
        case Newest(count):
            history = str(count)
        case Days(days):
            history = f"{days}d"
        case Everything():
            history = "all"
        case _:
            history = "none"
    roles = {name: getattr(policy, name).value for name in ("invite", "post", "describe", "pin")}
    return {**roles, "approve": policy.approve, "history": history}


def _policy(p: dict[str, Any]) -> GroupPolicy:
    text = p["history"]
    history: GroupHistory
    if text == "none":
        history = Nothing()
    elif text == "all":
        history = Everything()
    elif text.endswith("d"):
        history = Days(int(text[:-1]))
    else:
        history = Newest(int(text))
    roles = {name: GroupRole(p[name]) for name in ("invite", "post", "describe", "pin")}
    return GroupPolicy(**roles, approve=p["approve"], history=history)


def _group(g: dict[str, Any]) -> GroupInfo:
    return GroupInfo(
        id=GroupId(g["id"]),
        kind=GroupKind(g["kind"]),
        name=g["name"],
        description=g["description"],
        policy=_policy(g["policy"]),
        expires_ms=g["expires_ms"],
        role=None if g["role"] is None else GroupRole(g["role"]),
        members=[GroupMember(NodeId(m["id"]), GroupRole(m["role"])) for m in g["members"]],
        pinned=[MessageId(id) for id in g["pinned"]],
        requests=[NodeId(id) for id in g["requests"]],
        holds_key=g["holds_key"],
        key_holders=g["key_holders"],
        epochs=g["epochs"],
        state=g["state"],
    )


def _event(e: dict[str, Any]) -> Event:
    try:
        return _known_event(e)
    except (KeyError, ValueError):
        # Of a newer daemon.
        return UnknownEvent(e.get("seq"))


def _known_event(e: dict[str, Any]) -> Event:
    match e["type"]:
        case "received":
            return Received(e["seq"], _message(e["message"]))
        case "delivered":
            return Delivered(e["seq"], MessageId(e["id"]), NodeId(e["to"]))
        case "failed":
            return Failed(e["seq"], MessageId(e["id"]), NodeId(e["to"]), FailReason(e["reason"]))
        case "forked":
            where, author = _conversation_in(e["conversation"]), NodeId(e["author"])
            return Forked(e["seq"], where, author, e["life"], e["number"])
        case "life_begun":
            return LifeBegun(e["seq"], _conversation_in(e["conversation"]))
        case "group_changed":
            return GroupChanged(
                e["seq"],
                GroupId(e["group"]),
                GroupChange(e["change"]),
                None if e["node"] is None else NodeId(e["node"]),
                e["name"],
                None if e["role"] is None else GroupRole(e["role"]),
                e["text"],
                None if e["message"] is None else MessageId(e["message"]),
                None if e["reason"] is None else Refusal(e["reason"]),
            )
        case "state_changed":
            return StateChanged(NodeState(e["before"].lower()), NodeState(e["after"].lower()))
        case "peer_up":
            return PeerUp(NodeId(e["peer"]), e["name"])
        case "peer_down":
            return PeerDown(NodeId(e["peer"]), DownReason(e["reason"]))
        case "member_changed":
            return MemberChanged(NodeId(e["peer"]), MemberState(e["state"]))
        case "account_data_changed":
            return AccountDataChanged()
        case "writable":
            return Writable()
        case "lagged":
            return Lagged(e["missed"])
    return UnknownEvent(e.get("seq"))
