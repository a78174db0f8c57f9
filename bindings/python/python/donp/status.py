"""Nodes at a glance."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._ffi import donp_ffi as _ffi
from .ids import AccountId, NodeId

__all__ = [
    "Checked",
    "EngineStatus",
    "FetchResult",
    "Lan",
    "NodeState",
    "NodeStatus",
    "NodeType",
    "Peer",
    "Power",
]


class NodeType(enum.Enum):
    """What a node does for others. A claim; nothing is trusted because of it."""

    BOOTSTRAP = "bootstrap"
    """Introduces newcomers."""
    REGULAR = "regular"
    """Takes part."""
    SUPER = "super"
    """Has capacity to spare."""
    RELAY = "relay"
    """Forwards for others."""


class Power(enum.Enum):
    """How much a node may spend while nothing happens. Others learn it from its signed record."""

    NORMAL = "normal"
    """It does everything at its time."""
    LOW = "low"
    """A phone's: it wakes two or three times a minute and then does what could wait.

    Messages reach it at once.
    """


class Lan(enum.Enum):
    """Whether a node looks for others on the local network by multicast, and lets itself be found."""

    OFF = "off"
    """It says and hears nothing."""
    ON = "on"
    """Beacons go to 239.255.68.78 and ff12::d04e:5000, UDP port 8888."""
    COMPAT = "compat"
    """Also to 224.0.0.1, the group of the DONP document."""


class NodeState(enum.Enum):
    """Where a node is in its life."""

    INITIALIZING = "initializing"
    """Made, not yet joining."""
    DISCOVERING = "discovering"
    """Looking for a node that answers."""
    CONNECTING = "connecting"
    """A link is open; asking to be taken as a neighbour."""
    ACTIVE = "active"
    """In the network."""
    DEGRADED = "degraded"
    """Lost its neighbours, or a good part of all peers at once, and is looking for them."""
    RECOVERING = "recovering"
    """Linked again after that; catching up."""
    LEAVING = "leaving"
    """Said goodbye."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What is known of another node."""

    id: NodeId
    """Who."""
    name: str | None
    """The name it claims."""
    account: AccountId | None
    """The account behind it, if a certificate proved it."""
    node_type: NodeType
    """What it says it does."""
    verified: bool
    """Whether this node reached it at its address by itself, and has not failed to since."""
    role: NodeType
    """What it counts as here: its `node_type`, but `SUPER` and `RELAY` only if it is `verified`."""
    bot: bool
    """Whether it says that a program speaks there."""
    address: str | None
    """The address of the link, or the best known, `ip:port`."""
    linked: bool
    """Whether a link is open."""
    neighbour: bool
    """Whether it is a neighbour in the mesh."""
    rtt_ms: float | None
    """Smoothed round trip time of the link in milliseconds."""
    last_linked_at_ms: int | None
    """When a link to it was last opened, in milliseconds since 1970; none if never.

    What is silent for half a year is forgotten.
    """
    link_generation: int
    """How many post-quantum secrets the keys of the link mix in, one after another; 0 before the first."""
    queued: int
    """Private messages waiting for its acknowledgement."""
    last_error: str | None
    """What the last failed attempt to reach it ended with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A node at a glance."""

    id: NodeId
    """This node."""
    account: AccountId
    """Its account."""
    name: str
    """Its name."""
    node_type: NodeType
    """What it says it does."""
    state: NodeState
    """Where it is in its life."""
    neighbours: int
    """Neighbours in the mesh."""
    links: int
    """Open links, neighbours included."""
    known: int
    """Nodes in the address book."""
    outbox: int
    """Private messages waiting for an acknowledgement."""
    pending: int
    """Messages held because one they depend on is missing."""
    listen: tuple[str, ...]
    """What the sockets are bound to, `ip:port`."""
    observed: tuple[str, ...]
    """Addresses that other nodes saw this one at, `ip:port`."""
    lan: tuple[str, ...]
    """Where beacons are sent and received, in words for people.

    Groups and interfaces; empty if the setting `lan` is off, or there is no multicast.
    """
    lan_error: str | None
    """Why nodes on the local network may not be found; none if they are, or discovery is off."""
    unresolved: dict[str, str]
    """Places to enter the network whose names could not be looked up, each with the reason."""
    store: str
    """`sqlite` or `memory`."""
    protection: str
    """How the key that seals the store is protected: `passphrase`, `key-file`, `key-store` or `memory`."""
    store_error: str | None
    """Why the last transaction failed, while it does."""
    damaged_records: int
    """Records that were lost to damage and that no repair took as known."""
    lost_records: int
    """Records that were lost to damage in all.

    While it is above 0, messages whose depths do not follow each other may have a gap between them.
    """
    checked_records: int
    """Records that the check in the background has read since its last round began."""
    checked_at_ms: int | None
    """When that check last read all of them, in milliseconds since 1970."""
    acked: int
    """The number up to which events were acknowledged in this run."""
    last_event: int
    """The number of the newest durable event."""
    datagrams_in: int
    """Datagrams received."""
    datagrams_out: int
    """Datagrams sent."""
    messages: int
    """Messages stored."""
    drops: dict[str, int]
    """Datagrams and messages thrown away, by reason; only reasons that occurred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """An engine at a glance."""

    id: NodeId
    """This node."""
    account: AccountId
    """Its account."""
    name: str
    """Its name."""
    state: NodeState
    """Where it is in its life."""
    neighbours: int
    """Neighbours in the mesh."""
    links: int
    """Open links, neighbours included."""
    known: int
    """Nodes in the address book."""
    outbox: int
    """Private messages waiting for an acknowledgement."""
    pending: int
    """Messages held because one they depend on is missing."""
    datagrams_in: int
    """Datagrams received."""
    datagrams_out: int
    """Datagrams sent."""
    messages: int
    """Messages stored."""
    drops: dict[str, int]
    """Datagrams and messages thrown away, by reason; only reasons that occurred."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What `Node.background_fetch` came to."""

    events: int
    """Durable events that came in the time."""
    caught_up: bool
    """Whether it ended because there was nothing more to do, not because the time was over."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a profile holds, and what is wrong with it."""

    records: dict[str, int]
    """How many records each table has."""
    problems: list[str]
    """What is wrong, in words; empty if all is well."""
    lost: str
    """What was lost before and is still missing, in words; empty if nothing."""


def _fields(raw: object) -> dict[str, Any]:
    """The fields of a generated record under the same names, with ids and enums made public."""
    fields: dict[str, Any] = dict(vars(raw))
    for name, make in _MAKE.items():
        value = fields.get(name)
        if value is not None:
            fields[name] = make(value)
    return fields


_MAKE: dict[str, Callable[[Any], object]] = {
    "id": NodeId._of,
    "account": AccountId._of,
    "node_type": lambda raw: NodeType[raw.name],
    "role": lambda raw: NodeType[raw.name],
    "state": lambda raw: NodeState[raw.name],
    "listen": tuple,
    "observed": tuple,
    "lan": tuple,
}


def _peer_in(raw: _ffi.Peer) -> Peer:
    return Peer(**_fields(raw))


def _node_status_in(raw: _ffi.NodeStatus) -> NodeStatus:
    return NodeStatus(**_fields(raw))


def _engine_status_in(raw: _ffi.EngineStatus) -> EngineStatus:
    return EngineStatus(**_fields(raw))


def _power_out(power: Power) -> _ffi.Power:
    return _ffi.Power[power.name]


def _node_type_out(node_type: NodeType | None) -> _ffi.NodeType | None:
    return None if node_type is None else _ffi.NodeType[node_type.name]


def _lan_out(lan: Lan) -> _ffi.Lan:
    if not isinstance(lan, Lan):
        raise TypeError(f"lan is a Lan, not {type(lan).__name__}")
    return _ffi.Lan[lan.name]
