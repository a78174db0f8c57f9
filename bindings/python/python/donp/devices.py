"""The devices of a node's account."""

from __future__ import annotations

from dataclasses import dataclass

from ._ffi import donp_ffi as _ffi
from .ids import NodeId

__all__ = ["DeviceInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """One device of a node's account."""

    node: NodeId
    """Its node."""
    name: str
    """Its name, at most 64 bytes."""
    added_ms: int
    """When it was added, in milliseconds since 1970."""
    here: bool
    """Whether it is this device."""


def _device_in(raw: _ffi.DeviceInfo) -> DeviceInfo:
    return DeviceInfo(node=NodeId._of(raw.node), name=raw.name, added_ms=raw.added_ms, here=raw.here)
