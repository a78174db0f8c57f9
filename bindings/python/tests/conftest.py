"""What the tests share: waiting for conditions, with a deadline that only a broken program reaches."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

import donp
import pytest

LONG = 60.0
HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"

_E = TypeVar("_E")

# A shell's background job ignores Ctrl-C, and so would every program that a test starts: they inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def until(what: str, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not done():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


def find(
    events: donp.Events | donp.ClientEvents, kind: type[_E], wanted: Callable[[_E], bool] = lambda _: True
) -> _E:
    """The next event of a kind that is wanted; those before it are gone."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        for event in events.poll(timeout=1.0, max=1):
            if isinstance(event, kind) and wanted(event):
                return event
        assert not events.is_finished, f"the stream ended before a {kind.__name__}"
    raise AssertionError(f"no {kind.__name__} came")


async def afind(
    events: donp.Events | donp.ClientEvents, kind: type[_E], wanted: Callable[[_E], bool] = lambda _: True
) -> _E:
    async def look() -> _E:
        async for event in events:
            if isinstance(event, kind) and wanted(event):
                return event
        raise AssertionError(f"the stream ended before a {kind.__name__}")

    return await asyncio.wait_for(look(), LONG)


def texts(node: donp.Node, conversation: donp.Conversation = donp.NETWORK) -> list[str]:
    return [message.text for message in node.history(conversation, limit=1_000).messages]


def clean_environment() -> dict[str, str]:
    """The environment without settings of the machine's own."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("DONP_", "RUST_"))}


def python(
    *args: str | Path, cwd: Path | None = None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    """A process of this interpreter, with what it says as text.

    What it frees is overwritten (glibc), so that using it afterwards does not go unnoticed.
    """
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        env={**clean_environment(), "MALLOC_PERTURB_": "165"},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(pipe: IO[str] | None) -> str:
    assert pipe is not None
    return pipe.readline().rstrip("\n")


def in_a_fork(check: Callable[[], None]) -> None:
    """Runs a check in a forked child, which ends after 30 s at the latest, and asserts that it holds."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(30)
            check()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts processes, none of which outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(
        *args: str | Path, cwd: Path | None = None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        process = python(*args, cwd=cwd, stdin=stdin)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def nodes() -> Iterator[Callable[..., donp.Node]]:
    """Makes nodes on 127.0.0.1, started unless asked otherwise, which end with the test."""
    made: list[donp.Node] = []

    def make(name: str | None = None, state_dir: Path | None = None, *, started: bool = True) -> donp.Node:
        node = donp.Node(state_dir, name, listen="127.0.0.1:0")
        made.append(node)
        return node.start() if started else node

    yield make
    for node in made:
        try:
            node.shutdown()
        except donp.InternalError:
            assert node.is_closed, "it was made to crash"


Make = Callable[..., donp.Node]


def linked(a: donp.Node, b: donp.Node) -> None:
    b.join(a.invite())
    until("a link", lambda: a.status().links > 0 and b.status().links > 0)
    # A message can be addressed to whom one knows.
    until("knowing each other", lambda: a.peer(b.id) is not None and b.peer(a.id) is not None)
