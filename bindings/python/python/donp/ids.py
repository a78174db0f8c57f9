"""Ids: distinct types that print, parse, compare, hash and pickle."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ._ffi import donp_ffi as _ffi
from .errors import _call

__all__ = [
    "AccountId",
    "FileId",
    "GroupId",
    "Invitation",
    "MessageId",
    "NodeId",
    "generate_identity",
    "identity_node_id",
    "version",
]

_Self = TypeVar("_Self", bound="_Id")


@functools.total_ordering
class _Id:
    """What the kinds share. Ids of different kinds are never equal and cannot be compared."""

    __slots__ = ("_text",)
    _text: str

    @staticmethod
    def _parse(text: str) -> str:
        raise NotImplementedError

    def __init__(self, text: str) -> None:
        """Reads the printed form; case and surrounding space do not matter.

        Raises `InvalidInputError` for the id of another kind, and for a mistyped or shortened one: the
        printed form carries a checksum.
        """
        if not isinstance(text, str):
            raise TypeError(
                f"{type(self).__name__} is made of its printed form, a str, not {type(text).__name__}"
            )
        object.__setattr__(self, "_text", _call(self._parse, text))

    @classmethod
    def _of(cls: type[_Self], text: str) -> _Self:
        """An id whose text the library printed."""
        made = object.__new__(cls)
        object.__setattr__(made, "_text", text)
        return made

    @property
    def short(self) -> str:
        """Eight characters in two groups, `7j3w-gw62`, for people to recognise; not unique."""
        return f"{self._text[1:5]}-{self._text[5:9]}"

    def __str__(self) -> str:
        """The printed form: a letter for the kind, then base32 with a checksum."""
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._text!r})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._text == other._text

    def __lt__(self: _Self, other: _Self) -> bool:
        # The alphabet of the printed form is in ASCII order, so this is the order of the bytes.
        if type(other) is not type(self):
            return NotImplemented
        return self._text < other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} does not change")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} does not change")

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (type(self)._of, (self._text,))


class NodeId(_Id):
    """A node, which is one device: `n` and base32 of the hash of its key."""

    __slots__ = ()
    _parse = staticmethod(_ffi.parse_node_id)


class AccountId(_Id):
    """A person, proved by a certificate: `a` and base32 of the hash of the account's key."""

    __slots__ = ()
    _parse = staticmethod(_ffi.parse_account_id)


class FileId(_Id):
    """A file: `f` and base32 of the hash of its sealed bytes."""

    __slots__ = ()
    _parse = staticmethod(_ffi.parse_file_id)


class GroupId(_Id):
    """A group: `g` and base32 of the hash of the operation that created it."""

    __slots__ = ()
    _parse = staticmethod(_ffi.parse_group_id)


class MessageId(_Id):
    """A message: `m` and base32 of the hash of its header and of its depth.

    Ids of one conversation compare in its display order, which is equal on every node.
    """

    __slots__ = ()
    _parse = staticmethod(_ffi.parse_message_id)

    @property
    def depth(self) -> int:
        """One more than the deepest message its author had seen."""
        return _ffi.message_id_depth(self._text)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, MessageId):
            return NotImplemented
        # The text begins with the hash.
        return (self.depth, self._text) < (other.depth, other._text)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What an invitation says, to show before joining. The name is a claim."""

    node: NodeId
    """Who issued it."""
    name: str
    """The issuer's name."""
    addresses: tuple[str, ...]
    """Where the issuer was reachable, `ip:port`, best first."""
    closed: bool
    """Whether it holds the key of a closed network, and is as secret as that."""

    @staticmethod
    def parse(text: str) -> Invitation:
        """Reads the text of `Node.invite`.

        Raises `InvalidInputError` if it is none or was damaged on its way.
        """
        raw = _call(_ffi.parse_ticket, text)
        return Invitation(NodeId._of(raw.node), raw.name, tuple(raw.addresses), raw.closed)


def generate_identity(name: str) -> bytes:
    """A new identity: secret bytes to keep, and to give to an `Engine` or a `Node`.

    `name` is 1 to 64 bytes without control characters and is shown to others; `InvalidInputError`
    otherwise.
    """
    return _call(_ffi.generate_identity, name)


def identity_node_id(identity: bytes) -> NodeId:
    """The node id of an identity. Raises `InvalidInputError` for bytes that are none."""
    return NodeId._of(_call(_ffi.identity_node_id, identity))


def version() -> str:
    """The version of the library, as `0.1.0`."""
    return _ffi.version()
