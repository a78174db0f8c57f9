"""The two lists that carry every datagram, read and written in one go.

The generated code writes a datagram field by field, each with a context manager and a copy of its own:
about 12 us for each. Here the whole list is put together as bytes and handed over once, and read back the
same way, which is about 1 us. The encoding is uniffi's: a 32-bit count, then for each record its fields in
order, where text and bytes are a 32-bit length and then that many bytes, all big-endian. uniffi is pinned
to one exact version; `tests/test_fast.py` compares with what the generated code writes and reads.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from ._ffi import donp_ffi as _ffi


class Transmit(NamedTuple):
    """A datagram to send."""

    destination: str
    """Where to, `ip:port`."""
    payload: bytes
    """At most 1,452 bytes."""


_count = struct.Struct(">i").pack
_read_count = struct.Struct(">i").unpack_from


class _ReceivedList:
    """Writes `[(source, payload), …]`."""

    @staticmethod
    def check_lower(items: Any) -> None:
        for item in items:
            if not (isinstance(item, tuple) and len(item) == 2):
                raise TypeError("a received datagram is a tuple (source, payload)")
            source, payload = item
            if type(source) is not str and not isinstance(source, str):
                raise TypeError(f"a datagram's source is a str, not {type(source).__name__}")
            if type(payload) is not bytes and not isinstance(payload, (bytes, bytearray)):
                raise TypeError(f"a datagram's payload is bytes, not {type(payload).__name__}")

    @staticmethod
    def write(items: Any, buf: Any) -> None:
        parts = [_count(len(items))]
        for source, payload in items:
            text = source.encode()
            parts += (_count(len(text)), text, _count(len(payload)), payload)
        buf.write(b"".join(parts))

    @classmethod
    def lower(cls, items: Any) -> Any:
        return _base.lower.__func__(cls, items)


class _TransmitList:
    """Reads `[Transmit, …]`."""

    @staticmethod
    def read(buf: Any) -> list[Transmit]:
        data = buf.data[buf.offset : buf.len]
        (count,) = _read_count(data)
        at, out = 4, []
        for _ in range(count):
            (n,) = _read_count(data, at)
            at += 4
            destination = data[at : at + n].decode()
            at += n
            (n,) = _read_count(data, at)
            at += 4
            out.append(Transmit(destination, data[at : at + n]))
            at += n
        buf.offset += at
        return out


# The generated module looks its converters up by name at each call.
_module: Any = _ffi
_base: Any = _module._UniffiConverterRustBuffer
_module._UniffiFfiConverterSequenceTypeReceived = _ReceivedList
_module._UniffiFfiConverterSequenceTypeTransmit = _TransmitList
