"""Who is there, and what failed: the zone that a node keeps a roster of."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from ._ffi import donp_ffi as _ffi
from .content import _node_id
from .ids import NodeId

__all__ = ["FailureType", "MemberState", "ZoneMember"]


class FailureType(enum.Enum):
    """What failed, for `Node.recover_from_failure`."""

    NODE = "node"
    """Other nodes: look for others in their place."""
    NETWORK = "network"
    """This device's network: probe every link, from wherever it is."""
    PARTITION = "partition"
    """The network has parts that do not know of each other: contact a node of another."""
    STATE = "state"
    """What is known here: compare it with every neighbour."""


class MemberState(enum.Enum):
    """What a node holds of a member of its zone (SWIM)."""

    ALIVE = "alive"
    """It takes part."""
    SUSPECT = "suspect"
    """A member had no answer from it. It has some time to refute."""
    DOWN = "down"
    """It did not speak up."""
    LEFT = "left"
    """It said goodbye, or keeps no zone."""
    AWAY = "away"
    """It sleeps, and said so: it is not asked and not missed."""
    OTHER = "other"
    """A state of a newer version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneMember:
    """One of the nodes that keep a roster of each other."""

    id: NodeId
    """Who."""
    state: MemberState
    """What it is held for."""
    incarnation: int
    """How new what it says of itself is: it rises when it starts and when it refutes a suspicion."""
    linked: bool
    """Whether a link is open."""


def _member_in(raw: _ffi.ZoneMember) -> ZoneMember:
    return ZoneMember(
        id=NodeId._of(raw.id),
        state=MemberState[raw.state.name],
        incarnation=raw.incarnation,
        linked=raw.linked,
    )


def _failure_out(failure: FailureType) -> _ffi.FailureType:
    if not isinstance(failure, FailureType):
        raise TypeError(f"what failed is a FailureType, not {type(failure).__name__}")
    return _ffi.FailureType[failure.name]


def _ids_out(peers: Iterable[NodeId]) -> list[str]:
    return [_node_id(peer) for peer in peers]
