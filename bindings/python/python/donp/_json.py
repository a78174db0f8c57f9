"""Values of the package in the JSON of the control socket (docs/control.md)."""

from __future__ import annotations

import enum
from typing import Any, TypeVar

from .contacts import (
    AuthenticationResult,
    Confirmations,
    Contact,
    Verification,
)
from .content import (
    NETWORK,
    ClockEntry,
    Content,
    Conversation,
    Edit,
    File,
    Group,
    Message,
    Network,
    Private,
    React,
    Reply,
    Retract,
    Text,
    Unknown,
    _group_id,
    _node_id,
)
from .events import (
    AccountDataChanged,
    Authenticated,
    Confirmed,
    ContactChanged,
    ContactRequest,
    Delivered,
    DevicesChanged,
    DownReason,
    Event,
    Failed,
    FailReason,
    FileProgress,
    FileReceived,
    Forked,
    GroupChanged,
    Lagged,
    LifeBegun,
    MemberChanged,
    PeerDown,
    PeerUp,
    Received,
    StateChanged,
    Typing,
    UnknownEvent,
    Writable,
)
from .files import Attachment, _file_id
from .groups import (
    Days,
    Everything,
    GroupChange,
    GroupHistory,
    GroupInfo,
    GroupKind,
    GroupMember,
    GroupPolicy,
    GroupRole,
    Newest,
    Nothing,
    Refusal,
)
from .ids import AccountId, FileId, GroupId, MessageId, NodeId
from .status import NodeState, NodeType, Peer
from .zone import MemberState

_E = TypeVar("_E", bound=enum.Enum)


def _or_other(kind: type[_E], value: str) -> _E:
    """The value of that name; `OTHER` for one of a newer version."""
    try:
        return kind(value)
    except ValueError:
        return kind["OTHER"]


def _conversation_out(conversation: Conversation) -> str:
    match conversation:
        case Network():
            return "all"
        case Private(peer):
            return _node_id(peer)
        case Group(group):
            return _group_id(group)
    raise TypeError(
        f"a conversation is NETWORK, Private(peer) or Group(group), not {type(conversation).__name__}"
    )


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
    elif "file" in m:
        content = File(_attachment(m["file"]), m["text"])
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


def _attachment_out(file: Attachment) -> dict[str, Any]:
    if not isinstance(file, Attachment):
        raise TypeError(f"an Attachment is wanted, not {type(file).__name__}: take it from a message")
    return {
        "id": _file_id(file.id),
        "key": file.key.hex(),
        "size": file.size,
        "name": file.name,
        "media_type": file.media_type,
    }


def _attachment(f: dict[str, Any]) -> Attachment:
    return Attachment(FileId(f["id"]), bytes.fromhex(f["key"]), f["size"], f["name"], f["media_type"])


def _contact(c: dict[str, Any]) -> Contact:
    return Contact(
        node=NodeId(c["node"]),
        petname=c["petname"],
        name=c["name"],
        request=c["request"],
        verification=_or_other(Verification, c["verification"]),
        muted=c["muted"],
        blocked=c["blocked"],
        added_ms=c["added_ms"],
        unread=c["unread"],
    )


def _confirmations(c: dict[str, Any]) -> Confirmations:
    return Confirmations(
        message=MessageId(c["message"]),
        members=c["members"],
        stored=[NodeId(id) for id in c["stored"]],
        read=[NodeId(id) for id in c["read"]],
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
    roles = {name: _or_other(GroupRole, p[name]) for name in ("invite", "post", "describe", "pin")}
    return GroupPolicy(**roles, approve=p["approve"], history=history)


def _group(g: dict[str, Any]) -> GroupInfo:
    return GroupInfo(
        id=GroupId(g["id"]),
        kind=_or_other(GroupKind, g["kind"]),
        name=g["name"],
        description=g["description"],
        policy=_policy(g["policy"]),
        expires_ms=g["expires_ms"],
        role=None if g["role"] is None else _or_other(GroupRole, g["role"]),
        members=[
            GroupMember(NodeId(m["id"]), _or_other(GroupRole, m["role"]), [NodeId(d) for d in m["devices"]])
            for m in g["members"]
        ],
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
            return Failed(e["seq"], MessageId(e["id"]), NodeId(e["to"]), _or_other(FailReason, e["reason"]))
        case "forked":
            where, author = _conversation_in(e["conversation"]), NodeId(e["author"])
            return Forked(e["seq"], where, author, e["life"], e["number"])
        case "life_begun":
            return LifeBegun(e["seq"], _conversation_in(e["conversation"]))
        case "group_changed":
            return GroupChanged(
                e["seq"],
                GroupId(e["group"]),
                _or_other(GroupChange, e["change"]),
                None if e["node"] is None else NodeId(e["node"]),
                e["name"],
                None if e["role"] is None else _or_other(GroupRole, e["role"]),
                e["text"],
                None if e["message"] is None else MessageId(e["message"]),
                None if e["reason"] is None else _or_other(Refusal, e["reason"]),
            )
        case "file_received":
            return FileReceived(e["seq"], FileId(e["file"]))
        case "file_progress":
            return FileProgress(FileId(e["file"]), e["bytes"], e["size"], e["holders"])
        case "confirmed":
            return Confirmed(_conversation_in(e["conversation"]), _confirmations(e["confirmations"]))
        case "typing":
            return Typing(_conversation_in(e["conversation"]), NodeId(e["node"]), e["active"])
        case "contact_request":
            return ContactRequest(e["seq"], NodeId(e["node"]))
        case "contact_changed":
            return ContactChanged(e["seq"], NodeId(e["node"]))
        case "devices_changed":
            return DevicesChanged(e["seq"], NodeId(e["node"]), NodeId(e["device"]), e["added"])
        case "state_changed":
            return StateChanged(NodeState(e["before"].lower()), NodeState(e["after"].lower()))
        case "peer_up":
            return PeerUp(NodeId(e["peer"]), e["name"])
        case "peer_down":
            return PeerDown(NodeId(e["peer"]), _or_other(DownReason, e["reason"]))
        case "member_changed":
            return MemberChanged(NodeId(e["peer"]), _or_other(MemberState, e["state"]))
        case "authenticated":
            return Authenticated(NodeId(e["peer"]), _or_other(AuthenticationResult, e["result"]))
        case "account_data_changed":
            return AccountDataChanged()
        case "writable":
            return Writable()
        case "lagged":
            return Lagged(e["missed"])
    return UnknownEvent(e.get("seq"))
