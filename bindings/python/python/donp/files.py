"""Files that messages name."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._ffi import donp_ffi as _ffi
from .ids import FileId

__all__ = ["Attachment", "FileInfo"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that a message names: a reader of the message can fetch and open it."""

    id: FileId
    """The BLAKE3 hash of its sealed bytes."""
    key: bytes = field(repr=False)
    """The 32-byte key that it is sealed under, for this file alone."""
    size: int
    """Its bytes, at most 32 GiB."""
    name: str
    """What its sender calls it: 1 to 255 bytes, a name without a folder."""
    media_type: str = ""
    """What its sender says that it is, as in `image/png`; empty if it does not say."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of this node."""

    id: FileId
    """The BLAKE3 hash of its sealed bytes."""
    name: str
    """What its sender calls it."""
    media_type: str
    """What its sender says that it is; empty if it does not say."""
    size: int
    """Its bytes."""
    bytes: int
    """How many of them are here."""
    holders: int
    """Nodes that it is being fetched from now."""
    is_whole: bool
    """Whether all of it is here."""


def _attachment_out(file: Attachment) -> _ffi.Attachment:
    if not isinstance(file, Attachment):
        raise TypeError(f"an Attachment is wanted, not {type(file).__name__}: take it from a message")
    return _ffi.Attachment(
        id=_file_id(file.id), key=file.key, size=file.size, name=file.name, media_type=file.media_type
    )


def _attachment_in(raw: _ffi.Attachment) -> Attachment:
    return Attachment(FileId._of(raw.id), raw.key, raw.size, raw.name, raw.media_type)


def _file_in(raw: _ffi.FileInfo) -> FileInfo:
    return FileInfo(
        FileId._of(raw.id), raw.name, raw.media_type, raw.size, raw.bytes, raw.holders, raw.is_whole
    )


def _file_id(id: FileId) -> str:
    if not isinstance(id, FileId):
        raise TypeError(f"a FileId is wanted, not {type(id).__name__}; FileId(text) reads one")
    return str(id)
