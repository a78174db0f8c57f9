"""The examples, each as a process of its own; echo.py is in test_bot.py and test_scenarios.py."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import donp
from conftest import EXAMPLES, LONG, Make, Start, find, line


def test_engines(start: Start) -> None:
    path = EXAMPLES / "engines.py"
    assert len(path.read_text().splitlines()) <= 30
    process = start(path)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 0, err
    assert sorted(out.splitlines()) == sorted(f"10.0.0.{n}:4000 was here" for n in range(1, 51))


def test_first(start: Start) -> None:
    path = EXAMPLES / "first.py"
    assert len(path.read_text().splitlines()) <= 20
    process = start(path)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 0, err
    assert out.splitlines() == ["alice says hello from the café", "1 message has that word"]


def test_nodes(start: Start) -> None:
    process = start(EXAMPLES / "nodes.py")
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 0, err
    assert sorted(out.splitlines()) == [f"node {n} was here" for n in range(10)]


def printed(process: subprocess.Popen[str], wanted: str) -> None:
    """Reads lines until one is as wanted."""
    while not re.fullmatch(wanted, text := line(process.stdout)):
        assert text, process.communicate(timeout=LONG)


def test_near(start: Start) -> None:
    # On loopback, in a network of its own.
    arguments = ("--key", os.urandom(32).hex(), "--listen", "127.0.0.1:0")
    near = EXAMPLES / "near.py"
    alice, bob = (start(near, "--name", name, *arguments) for name in ("alice", "bob"))
    for process, other in ((alice, "bob"), (bob, "alice")):
        assert line(process.stdout) == "looking on 239.255.68.78 on 127.0.0.1"
        printed(process, rf"{other} is near \(\S+\)")
    bob.send_signal(signal.SIGINT)
    _, err = bob.communicate(timeout=LONG)
    assert bob.returncode == 0, err
    printed(alice, r"\S+ is left")


def test_talk(start: Start, nodes: Make) -> None:
    host = nodes("host")
    host.broadcast("host 1")
    talk = EXAMPLES / "talk.py"

    def begin(name: str) -> subprocess.Popen[str]:
        place = f"{host.local_addresses[0]}/{host.id}" if name == "a" else host.invite()
        arguments = ("--name", name, "--join", place, "--say", "3", "--expect", "7")
        return start(talk, *arguments, stdin=subprocess.PIPE)

    def said(process: subprocess.Popen[str]) -> list[str]:
        lines = []
        while (text := line(process.stdout)) != "end":
            assert text, process.communicate(timeout=LONG)
            lines.append(text)
        return lines

    a, b = begin("a"), begin("b")
    of_a, of_b = said(a), said(b)
    assert of_a == of_b == [f"{m.id} {m.text}" for m in host.history(donp.NETWORK).messages]
    expected = ["host 1", *(f"{name} {n}" for name in "ab" for n in (1, 2, 3))]
    assert sorted(text.split(" ", 1)[1] for text in of_a) == sorted(expected)
    for process in (a, b):
        assert process.poll() is None, "it stays until its standard input closes"
        _, err = process.communicate(timeout=LONG)
        assert process.returncode == 0, err


def test_poll(start: Start, nodes: Make) -> None:
    voter = nodes("voter")
    events = voter.events()
    arguments = ("--join", voter.invite(), "--seconds", str(LONG), "--votes", "1", "Tea or coffee?")
    process = start(EXAMPLES / "poll.py", *arguments)
    question = line(process.stdout)
    asked = find(events, donp.Received).message
    assert (str(asked.id), asked.text) == (question, "Tea or coffee?")
    voter.react(asked, "tea")
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 0, err
    assert re.fullmatch(r"1  tea\n", out)
