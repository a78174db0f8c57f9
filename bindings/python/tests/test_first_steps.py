"""What a newcomer types first, and what goes wrong in the first hour."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import donp
import pytest
from conftest import LONG, Make, find, in_a_fork, linked, texts
from donp import NETWORK, AsyncBotMessage, Bot, Private
from test_bot import person, serving


def test_waiting_for_a_peer(nodes: Make) -> None:
    """Mutation: `join` does not wait, so that no node is known yet."""
    alice, bob = nodes("alice"), nodes("bob")
    bob.join(alice.invite(), wait=LONG)
    peer = bob.wait_for(alice.id)
    assert peer.linked
    assert bob.wait_for("alice").id == alice.id
    assert alice.wait_for(bob.id, timeout=LONG).linked
    bob.send(alice.id, "hi")
    assert bob.name_of(alice.id) == "alice"
    assert bob.name_of(bob.id) == "bob"
    carol = nodes("carol")
    assert bob.name_of(carol.id) is None
    with pytest.raises(donp.TimeoutError, match=r"no link with 'carol' within 0\.1 s") as late:
        bob.wait_for("carol", timeout=0.1)
    assert late.value.retryable
    with pytest.raises(donp.TimeoutError, match="no link within"):
        carol.join("127.0.0.1:9", wait=0.1)


async def test_waiting_for_a_peer_in_an_event_loop() -> None:
    async with (
        donp.AsyncNode(name="alice", listen="127.0.0.1:0") as alice,
        donp.AsyncNode(name="bob", listen="127.0.0.1:0") as bob,
    ):
        await bob.join(await alice.invite(), wait=LONG)
        assert (await bob.wait_for(alice.id)).linked
        assert (await alice.wait_for("bob", timeout=LONG)).id == bob.id
        assert await alice.name_of(bob.id) == "bob"
        with pytest.raises(donp.TimeoutError):
            await bob.wait_for("nobody", timeout=0.1)


def test_a_name_that_two_have_is_not_guessed(nodes: Make) -> None:
    alice, one, two = nodes("alice"), nodes("sam"), nodes("sam")
    linked(alice, one)
    linked(alice, two)
    alice.wait_for(one.id)
    alice.wait_for(two.id)

    def look() -> None:
        while True:
            alice.wait_for("sam", timeout=LONG)

    with pytest.raises(donp.InvalidInputError, match=r"'sam' can be .* or "):
        look()


def test_a_backup_of_a_running_node(tmp_path: Path, nodes: Make) -> None:
    """Mutations: `check` counts nothing; `restore_profile` goes on in the log of the backup."""
    alice, bob = nodes("alice", tmp_path / "alice"), nodes("bob")
    linked(alice, bob)
    alice.broadcast("before")
    found = alice.check()
    assert (found.problems, found.lost) == ([], "")
    assert found.records["chat.entries"] >= 1
    for place in (tmp_path / "copy", tmp_path / "copy.donp"):
        assert alice.backup(place), "it holds the key"
        with pytest.raises(donp.AlreadyExistsError):
            alice.backup(place)
    assert (tmp_path / "copy.donp").is_file()
    assert (tmp_path / "copy").is_dir()
    alice.broadcast("after")
    alice.shutdown()
    for name in ("copy", "copy.donp"):
        donp.restore_profile(tmp_path / name, tmp_path / f"from {name}")
    back = nodes("alice", tmp_path / "from copy.donp")
    assert back.id == alice.id
    assert texts(back) == ["before"]
    # Nothing that it said is lost, though it did not know of it.
    back.broadcast("again")
    linked(back, bob)
    for node in (back, bob):
        assert wait_texts(node, 3) == {"before", "after", "again"}
    assert back.check().problems == []
    with pytest.raises(donp.NotFoundError, match="no backup"):
        donp.restore_profile(tmp_path / "nothing", tmp_path / "new")
    with pytest.raises(donp.AlreadyExistsError):
        donp.restore_profile(tmp_path / "copy", tmp_path / "from copy")
    with pytest.raises(donp.InvalidInputError, match="in memory"):
        bob.check()
    with pytest.raises(donp.InvalidInputError, match="in memory"):
        bob.backup(tmp_path / "x")


def wait_texts(node: donp.Node, count: int) -> set[str]:
    from conftest import until

    until("all is there", lambda: len(texts(node)) == count)
    return set(texts(node))


async def test_a_backup_in_an_event_loop(tmp_path: Path) -> None:
    async with donp.AsyncNode(tmp_path / "alice", "alice", listen="127.0.0.1:0") as alice:
        assert (await alice.check()).problems == []
        assert await alice.backup(tmp_path / "alice.donp")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_node_in_a_forked_child_raises(nodes: Make) -> None:
    """Mutation: `_raw` gives the node in any process: the child waits for ever."""
    alice = nodes("alice")
    uses: list[Callable[[], object]] = [
        alice.status,
        alice.shutdown,
        lambda: alice.broadcast("x"),
        alice.events,
    ]

    def check() -> None:
        for use in uses:
            # Nor can one be made there by mistake: the parent's is left alone.
            with pytest.raises(donp.ClosedError, match="a fork has no node"):
                use()

    in_a_fork(check)
    alice.broadcast("the parent's goes on")
    assert texts(alice, NETWORK) == ["the parent's goes on"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_stream_of_events_in_a_forked_child_raises(nodes: Make) -> None:
    """Mutation: `Events._raw` gives the stream in any process: the child waits for ever in its first use."""
    alice = nodes("alice")
    events = alice.events()

    async def next_event() -> object:
        return await anext(events)

    uses: list[Callable[[], object]] = [
        lambda: next(iter(events)),
        lambda: events.poll(60.0),
        events.take,
        events.close,
        lambda: events.is_finished,
        lambda: asyncio.run(next_event()),
    ]
    for name in ("one", "two"):
        alice.create_group(name)
    assert find(events, donp.GroupChanged)

    def check() -> None:
        for use in uses:
            with pytest.raises(donp.ClosedError, match="a fork has no node"):
                use()

    in_a_fork(check)
    nodes("bob").join(alice.invite())
    assert find(events, donp.PeerUp)


def test_a_number_that_no_event_has(nodes: Make) -> None:
    alice = nodes("alice")
    for wrong in (-1, 1 << 64):
        with pytest.raises(donp.InvalidInputError, match=f"no event has the number {wrong}"):
            alice.ack(wrong)
    with pytest.raises(TypeError, match="is an int, not str"):
        alice.ack("1")  # type: ignore[arg-type]
    with pytest.raises(donp.NotFoundError):
        alice.ack(99)
    alice.ack(None)


async def test_running_a_bot_in_a_running_loop_names_serve() -> None:
    with pytest.raises(RuntimeError, match=r"await bot\.serve"):
        Bot("late").run(["serve"])


async def test_a_handler_that_fails_holds_up_only_its_own_sender(tmp_path: Path) -> None:
    """Mutation: one lane for all authors: bob waits for ten thousand seconds."""
    bot = Bot("patient", pause=10_000.0)
    seen: list[str] = []
    tried = asyncio.Event()

    @bot.on_message
    async def handle(msg: AsyncBotMessage) -> None:
        seen.append(f"{msg.author_name}: {msg.text}")
        if msg.text == "bad":
            tried.set()
            raise RuntimeError("not now")
        await msg.reply(f"well, {msg.author_name}")

    async with serving(bot, tmp_path) as node, person("alice") as alice, person("bob") as bob:
        await alice.meet(node)
        await bob.meet(node)
        bad = await alice.node.send(node.id, "bad")
        await asyncio.wait_for(tried.wait(), LONG)
        behind = await alice.node.send(node.id, "behind")
        await alice.delivered(behind)
        assert await bob.ask(node, "hi") == "well, bob"
        assert await bob.ask(node, "and again") == "well, bob"
        assert seen == ["alice: bad", "bob: hi", "bob: and again"]
        # What was not handled is not acknowledged, nor what came after it.
        assert (await node.status()).acked < (await node.status()).last_event
        page = await alice.node.history(Private(node.id))
        assert [m.id for m in page.messages] == [bad, behind]
