"""The node of a running daemon, under the names of `Node`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import donp
import pytest
from conftest import LONG, Make, clean_environment, find, line, until
from donp import NETWORK, Private
from test_scenarios import donp_program

Daemon = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Starts daemons with the state folder `tmp_path / "s"`, which end with the test."""
    (tmp_path / "config.toml").write_text("")
    place = ["--state-dir", str(tmp_path / "s"), "--config", str(tmp_path / "config.toml"), "--json"]
    environment = clean_environment() | {"DONP_DISCOVERY_LAN": "off"}
    started: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        base = [donp_program(), *place, "-p", name]
        if not (tmp_path / "s" / name).exists():
            subprocess.run([*base, "init", "--name", name], env=environment, check=True, capture_output=True)
        process = subprocess.Popen(
            [*base, "run", "--listen", "127.0.0.1:0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert json.loads(line(process.stdout))["type"] == "ready"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_client_does_what_a_node_does(daemon: Daemon, tmp_path: Path, nodes: Make) -> None:
    with pytest.raises(donp.NotRunningError, match="no daemon answers"):
        donp.Client("alice", state_dir=tmp_path / "s")
    daemon("alice")
    bob = nodes("bob")
    heard = bob.events()
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, alice.events() as events:
        alice.join(bob.invite(), wait=LONG)
        assert alice.wait_for(bob.id).linked
        until("the name is known", lambda: alice.name_of(bob.id) == "bob")
        status = alice.status()
        assert (status.id, status.name, status.state) == (alice.id, "alice", donp.NodeState.ACTIVE)
        id = alice.send(bob.id, "hi bob")
        got = find(heard, donp.Received)
        assert (got.message.id, got.message.text, got.message.author) == (id, "hi bob", alice.id)
        answer = bob.reply(got.message, "hi alice")
        received = next(e for e in events if isinstance(e, donp.Received))
        assert received.message == alice.history(Private(bob.id)).messages[-1]
        assert received.message.content == donp.Reply(id, "hi alice")
        assert received.message.id == answer
        mine = alice.history(Private(bob.id)).messages[0]
        alice.edit(mine, "hello bob")
        alice.react(received.message, "+1")
        alice.reply(received.message, "fine")
        page = alice.history(Private(bob.id), limit=1)
        assert (page.messages[0].text, page.older is None) == ("fine", False)
        assert alice.history(Private(bob.id)).messages[0].edited == "hello bob"
        assert alice.search(Private(bob.id), "HELLO").messages[0].id == id
        alice.broadcast("to all")
        assert (
            find(heard, donp.Received, lambda e: e.message.conversation == NETWORK).message.text == "to all"
        )
        assert received.message.clock is not None
        alice.ack(received.seq)
        until("it is acknowledged", lambda: alice.status().acked >= received.seq)
        with pytest.raises(donp.InvalidInputError, match="no event has the number -1"):
            alice.ack(-1)
        with pytest.raises(donp.DonpError, match="itself") as itself:
            alice.send(alice.id, "x")
        assert itself.value.hint
        alice.block(bob.id)
        assert alice.blocked() == [bob.id]
        alice.unblock(bob.id)
        assert alice.blocked() == []
        assert alice.invite()
        policy = donp.GroupPolicy(history=donp.Days(7), approve=False)
        group = alice.create_group("team", policy=policy)
        until("the link is back", lambda: bob.peer(alice.id).linked)  # type: ignore[union-attr]
        bob.join_group(alice.invite_to_group(group))
        assert find(heard, donp.GroupChanged).change == donp.GroupChange.JOINED
        info = alice.group(group)
        assert info is not None
        assert (info.name, info.role, info.policy) == ("team", donp.GroupRole.OWNER, policy)
        assert info.members == bob.group(group).members  # type: ignore[union-attr]
        said = alice.send_to_group(group, "hi team")
        assert find(heard, donp.Received, lambda e: e.message.id == said).message.conversation == donp.Group(
            group
        )
        alice.rename_group(group, "crew")
        alice.remove_member(group, bob.id)
        assert [(g.name, len(g.members)) for g in alice.groups()] == [("crew", 1)]
        assert alice.joining_groups() == []
    with pytest.raises(donp.ClosedError):
        alice.status()


def test_a_stream_of_a_daemon_says_why_it_ends(daemon: Daemon, tmp_path: Path) -> None:
    """Mutation: the message `end` is passed over."""
    process = daemon("alice")
    with donp.Client("alice", state_dir=tmp_path / "s") as alice:
        events = alice.events()
        assert events.poll() is None
        process.terminate()
        with pytest.raises(donp.ClosedError, match="the daemon was stopped"):
            list(events)
        assert list(events) == []
        process.wait()
        with pytest.raises(donp.ClosedError):
            alice.status()
        daemon("alice")
        # It finds the next one.
        assert alice.status().name == "alice"
