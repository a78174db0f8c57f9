"""Files: a scenario of bindings/README.md, under its name."""

from __future__ import annotations

from pathlib import Path

import donp
import pytest
from conftest import Make, find, linked, until
from donp import Attachment, File, FileProgress, FileReceived, Private, Received
from net import Net, engine

# More than is fetched unasked.
BYTES = bytes(range(256)) * 2_000


def named(events: donp.Events) -> Attachment:
    content = find(events, Received, lambda e: isinstance(e.message.content, File)).message.content
    assert isinstance(content, File)
    return content.file


def test_a_file_between_two(nodes: Make, tmp_path: Path) -> None:
    """Fails if a file is given to everybody, or one on disk is replaced."""
    a, b, c = nodes("a"), nodes("b"), nodes("c")
    linked(a, b)
    linked(a, c)
    events = b.events()
    (tmp_path / "plan.pdf").write_bytes(BYTES)
    file = a.add_file(tmp_path / "plan.pdf", "application/pdf")
    assert (file.name, file.size, file.media_type) == ("plan.pdf", len(BYTES), "application/pdf")
    assert file.key.hex() not in repr(file)
    assert donp.FileId(str(file.id)) == file.id
    a.send(b.id, File(file, "the plan"))
    got = named(events)
    assert got == file
    assert b.history(Private(a.id)).messages[-1].text == "the plan"
    b.fetch_file(Private(a.id), got, a.id)
    assert find(events, FileProgress).size == len(BYTES)
    assert find(events, FileReceived).file == file.id
    (info,) = b.files()
    assert info.is_whole
    assert (info.name, info.bytes) == ("plan.pdf", len(BYTES))
    assert b.save_file(file.id, tmp_path / "saved.pdf") == len(BYTES)
    assert (tmp_path / "saved.pdf").read_bytes() == BYTES
    assert b"".join(b.read_file(file.id, part) or b"" for part in range(8)) == BYTES
    with pytest.raises(donp.StorageError, match="there already"):
        b.save_file(file.id, tmp_path / "plan.pdf")
    # A node outside the conversation gets nothing, and has nothing to pass on.
    c.fetch_file(Private(a.id), file)
    with pytest.raises(donp.NotFoundError):
        c.save_file(file.id, tmp_path / "none.pdf")
    with pytest.raises(donp.NotFoundError):
        c.broadcast(File(file))
    assert [f.bytes for f in c.files()] == [0]
    for node in (b, c):
        node.remove_file(file.id)
        assert node.files() == []
    with pytest.raises(donp.InvalidInputError):
        a.add_file_bytes(b"x", "../x")
    with pytest.raises(donp.StorageError):
        a.add_file(tmp_path)


def test_a_small_file_of_a_contact_comes_unasked(nodes: Make) -> None:
    a, b = nodes("a"), nodes("b")
    linked(a, b)
    # A node that is written to is a contact; of strangers nothing comes unasked.
    b.send(a.id, "hello")
    file = a.add_file_bytes(b"small", "a.txt")
    a.send(b.id, File(file))
    until("b has it", lambda: [f.is_whole for f in b.files()] == [True])
    assert b.read_file(file.id, 0) == b"small"


def test_a_file_between_engines() -> None:
    a, b = engine("a"), engine("b")
    net = Net(a, b)
    net.linked()
    file = a.add_file(net.now_us, BYTES, "plan.pdf")
    a.send(net.now_us, b.id, File(file))
    net.wake()
    net.until("b knows", lambda: net.hosts[1].received() == [""])
    b.fetch_file(net.now_us, Private(a.id), file, a.id)
    net.wake()
    net.until("b has it", lambda: [f.is_whole for f in b.files()] == [True])
    queries = [b.read_file(net.now_us, file.id, part) for part in range(8)]
    net.wake()
    net.until("b has read it", lambda: len(net.hosts[1].parts) == 8)
    parts = {part.query: part.content for part in net.hosts[1].parts}
    assert b"".join(parts[query] or b"" for query in queries) == BYTES
    b.remove_file(net.now_us, file.id)
    assert b.files() == []
