"""What _fast.py writes and reads is what the generated code does, byte for byte."""

from __future__ import annotations

from typing import Any

import donp
import pytest
from donp import _fast
from donp._ffi import donp_ffi
from net import engine

raw: Any = donp_ffi

LISTS = [
    [],
    [("10.0.0.1:1", b"")],
    [("[::1]:4000", b"\xff" * 1_200), ("10.0.0.2:9", bytes(range(256)))],
    [(f"10.0.0.{n}:{n}", bytes([n]) * n * 19) for n in range(64)],
]


def bytes_of(rbuf: Any) -> bytes:
    data: bytes = rbuf.data[0 : rbuf.len]
    rbuf.free()
    return data


def written_by_generated_code(items: list[tuple[str, bytes]]) -> bytes:
    builder = raw._UniffiRustBufferBuilder()
    builder.write_i32(len(items))
    for source, payload in items:
        raw._UniffiFfiConverterTypeReceived.write(donp_ffi.Received(source=source, payload=payload), builder)
    return bytes_of(builder.finalize())


@pytest.mark.parametrize("items", LISTS)
def test_received_is_written_as_the_generated_code_writes_it(items: list[tuple[str, bytes]]) -> None:
    assert raw._UniffiFfiConverterSequenceTypeReceived is _fast._ReceivedList
    _fast._ReceivedList.check_lower(items)
    assert bytes_of(_fast._ReceivedList.lower(items)) == written_by_generated_code(items)


@pytest.mark.parametrize("items", LISTS)
def test_transmits_are_read_as_the_generated_code_reads_them(items: list[tuple[str, bytes]]) -> None:
    assert raw._UniffiFfiConverterSequenceTypeTransmit is _fast._TransmitList
    encoded = written_by_generated_code(items) + b"what follows"

    def stream() -> Any:
        builder = raw._UniffiRustBufferBuilder()
        builder.write(b"what came before" + encoded)
        made = raw._UniffiRustBufferStream.from_rust_buffer(builder.finalize())
        made.read(16)
        return made

    slow, fast = stream(), stream()
    expected = [raw._UniffiFfiConverterTypeTransmit.read(slow) for _ in range(slow.read_i32())]
    given = _fast._TransmitList.read(fast)
    assert given == [(t.destination, t.payload) for t in expected] == items
    assert all(type(t) is donp.Transmit for t in given)
    assert fast.offset == slow.offset == 16 + len(encoded) - len(b"what follows")


def test_what_no_datagram_is_is_refused_by_name() -> None:
    e = engine("e")
    for bad, words in (
        ([b"payload"], "tuple"),
        (["10.0.0.1:1"], "tuple"),
        ([("10.0.0.1:1", b"", b"")], "tuple"),
        ([(b"10.0.0.1:1", b"")], "source is a str"),
        ([("10.0.0.1:1", "text")], "payload is bytes"),
        ([("10.0.0.1:1", None)], "payload is bytes"),
    ):
        with pytest.raises(TypeError, match=words):
            e.turn(0, [("10.0.0.1:1", b"fine"), *bad])
    with pytest.raises(donp.InvalidInputError, match="nowhere"):
        e.turn(0, [("10.0.0.1:1", b"fine"), ("nowhere", b"")])
    assert e.status().datagrams_in == 0, "nothing of it was taken in"
    e.turn(0, [("10.0.0.1:1", bytearray(b"\xff" * 10))])  # type: ignore[list-item]
    e.turn(0, [("10.0.0.1:1", b"")])
    assert e.status().datagrams_in == 2


def test_integers_out_of_range_are_refused() -> None:
    e = engine("e")
    for bad in (-1, 2**64):
        with pytest.raises(ValueError, match="u64"):
            e.turn(bad)
        with pytest.raises(ValueError, match="u64"):
            e.turn(0, committed=bad)
    with pytest.raises(TypeError):
        e.turn("0")  # type: ignore[arg-type]


def test_hostile_bytes_are_counted() -> None:
    e = engine("e")
    e.turn(0, [("10.0.0.66:6", bytes([n]) * n * 19) for n in range(64)])
    e.handle_datagram(1, "10.0.0.66:6", b"\xff" * 1_200)
    status = e.status()
    assert status.datagrams_in == sum(status.drops.values()) == 65


def test_one_seed_one_life() -> None:
    identity = donp.generate_identity("same")

    def life(seed: int = 0) -> donp.Output:
        e = donp.Engine(identity, in_memory=True, seed=bytes([seed] * 32))
        e.join(0, "10.0.0.9:4000")
        return e.turn(5)

    assert life() == life() != life(1)
    with pytest.raises(donp.InvalidInputError, match="seed"):
        donp.Engine(identity, seed=bytes(31))
