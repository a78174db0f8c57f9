"""The scenarios of bindings/README.md, under their names."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import pickle
import re
import shutil
import subprocess
import threading
import weakref
from pathlib import Path

import donp
import pytest
from conftest import EXAMPLES, LONG, Make, Start, afind, clean_environment, find, line, linked, texts, until
from donp import NETWORK, Private
from net import WALL, Net, engine


def test_two_engines_exchange_a_message() -> None:
    net = Net(engine("a"), engine("b"))
    net.linked()
    a, b = net.hosts
    sent = a.engine.send(net.now_us, b.engine.id, "hello")
    assert isinstance(sent, donp.MessageId)
    net.wake()
    net.until("delivered", lambda: any(isinstance(e, donp.Delivered) and e.id == sent for e in a.events))
    assert b.received() == ["hello"]
    (received,) = [e for e in b.events if isinstance(e, donp.Received)]
    message = received.message
    assert (message.id, message.author, message.conversation) == (sent, a.engine.id, Private(a.engine.id))
    assert (message.seq, message.content, message.sent_at_ms >= WALL) == (1, donp.Text("hello"), True)
    assert a.store == b.store == {}, "the engines keep their records themselves"
    peer = a.engine.peer(b.engine.id)
    assert peer is not None
    assert (peer.linked, peer.name, peer.bot, peer.node_type) == (True, "b", False, donp.NodeType.REGULAR)


def test_a_foreign_store() -> None:
    identity = donp.generate_identity("kept")
    net = Net(donp.Engine(identity, wall_ms=WALL), engine("other", in_memory=False))
    net.linked()
    kept, other = net.hosts
    other.engine.send(net.now_us, kept.engine.id, "one")
    net.wake()
    net.until("arrives", lambda: kept.received() == ["one"])
    # The event was not acknowledged: an engine restored from the records tells it again.
    records = kept.records()
    kept.engine = donp.Engine.restore(identity, records, now_us=net.now_us, wall_ms=WALL)
    kept.events.clear()
    net.wake()
    net.until("comes again", lambda: kept.received() == ["one"])
    seq = max(e.seq for e in kept.events if isinstance(e, donp.Received))
    kept.engine.ack(net.now_us, seq)
    query = kept.engine.history(net.now_us, Private(other.engine.id), None, 10)
    net.wake()
    net.until("the answer", lambda: any(a.query == query for a in kept.answers))
    assert [m.text for a in kept.answers for m in a.page.messages] == ["one"]
    # Acknowledged, and it goes on.
    kept.engine = donp.Engine.restore(identity, kept.records(), now_us=net.now_us, wall_ms=WALL)
    kept.events.clear()
    net.wake()
    other.engine.send(net.now_us, kept.engine.id, "two")
    net.wake()
    net.until("goes on", lambda: kept.received() != [])
    assert kept.received() == ["two"]
    with pytest.raises(donp.DeniedError):
        donp.Engine.restore(donp.generate_identity("thief"), records)
    # Nothing leaves before its batch is written.
    alone = engine("alone", in_memory=False)
    alone.join(0, "10.0.0.9:4000")
    out = alone.turn(0)
    assert out.batch is not None
    assert (out.transmits, out.more) == ([], False)
    assert [t.destination for t in alone.turn(1, committed=out.batch.seq).transmits] == ["10.0.0.9:4000"]


def test_three_nodes_chat(nodes: Make, tmp_path: Path) -> None:
    a, b = nodes("a"), nodes("b")
    c = nodes("c", tmp_path / "c")
    heard = c.events()
    linked(a, b)
    linked(a, c)
    a.broadcast("to all")
    find(heard, donp.Received, lambda e: e.message.text == "to all")
    told = a.events()
    private = a.send(c.id, "to c")
    find(told, donp.Delivered, lambda e: e.id == private)
    c.kill()
    assert c.is_closed
    waits = a.send(c.id, "while you were away")
    b.broadcast("all but c")
    assert a.is_queued(waits)
    c = nodes(None, tmp_path / "c")
    c.join(a.invite())
    find(told, donp.Delivered, lambda e: e.id == waits)
    assert not a.is_queued(waits)
    until("catching up", lambda: "all but c" in texts(c))
    c.broadcast("back")
    until("everybody has all", lambda: all(len(texts(n)) == 3 for n in (a, b, c)))
    assert texts(a) == texts(b) == texts(c)
    assert texts(c, Private(a.id)) == texts(a, Private(c.id)) == ["to c", "while you were away"]


def test_replay_after_a_crash(nodes: Make, tmp_path: Path) -> None:
    a, b = nodes("a"), nodes("b", tmp_path)
    linked(a, b)
    events = b.events()
    for n in range(3):
        a.broadcast(str(n))
    first = find(events, donp.Received)
    assert find(events, donp.Received).message.text == "1"
    find(events, donp.Received, lambda e: e.message.text == "2")
    b.ack(first.seq)
    b.kill()
    b = nodes(None, tmp_path)
    assert b.name == "b"
    again = b.events()
    assert find(again, donp.Received).message.text == "1", "the first was acknowledged, the second was not"
    last = find(again, donp.Received)
    assert last.message.text == "2"
    b.ack(last.seq)
    b.shutdown()
    b = nodes(None, tmp_path)
    a.broadcast("3")
    b.join(a.invite())
    assert find(b.events(), donp.Received).message.text == "3"


def test_a_copied_profile(nodes: Make, tmp_path: Path) -> None:
    home, copied = tmp_path / "home", tmp_path / "copy"
    a, b = nodes("a", home), nodes("b")
    events = b.events()
    linked(a, b)
    a.broadcast("1")
    until("the first", lambda: texts(b) == ["1"])
    a.kill()
    shutil.copytree(home, copied, ignore=shutil.ignore_patterns("sock"))
    a = nodes(None, home)
    linked(a, b)
    a.broadcast("2")
    until("what the copy does not know", lambda: texts(b) == ["1", "2"])
    a.kill()
    # Offline, so that it speaks before it knows better.
    with donp.Node(copied, offline=True) as copy:
        copy.broadcast("3")
    copy = nodes(None, copied)
    own = copy.events()
    linked(copy, b)
    forked = find(events, donp.Forked)
    assert (forked.conversation, forked.author, forked.number) == (NETWORK, copy.id, 2)
    assert find(own, donp.LifeBegun).conversation == NETWORK
    copy.broadcast("4")
    until("all of it", lambda: len(texts(b)) == 4 and b.history(NETWORK) == copy.history(NETWORK))
    shown = b.history(NETWORK).messages
    assert sorted(m.text for m in shown) == ["1", "2", "3", "4"]
    assert [m.life for m in shown if m.text != "4"] == [forked.life] * 3
    assert shown[-1].text == "4"
    assert shown[-1].life != forked.life


def check(error: donp.DonpError, kind: type[donp.DonpError], retryable: bool) -> None:
    assert type(error) is kind
    assert str(error)
    assert str(error)[0] != "(", "its text is a sentence"
    assert "reason=" not in str(error)
    assert error.hint
    assert error.retryable is retryable
    assert error.__cause__ is None, "nothing generated shows"
    assert error.__suppress_context__
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.hint, copy.retryable) == (kind, str(error), error.hint, retryable)


def test_every_error_kind(nodes: Make, tmp_path: Path) -> None:
    def refused(kind: type[donp.DonpError], retryable: bool = False, **config: object) -> donp.DonpError:
        config.setdefault("listen", "127.0.0.1:0")
        with pytest.raises(donp.DonpError) as caught:
            donp.Node(**config)  # type: ignore[arg-type]
        check(caught.value, kind, retryable)
        return caught.value

    bad = refused(donp.InvalidInputError, listen="here")
    assert isinstance(bad, ValueError)
    assert "here" in str(bad)
    refused(donp.InvalidInputError, network_key=bytes(31))
    refused(donp.InvalidInputError, bootstraps="nowhere")
    refused(donp.InvalidInputError, fault="drop=2")
    refused(donp.InvalidInputError, identity=b"x")
    refused(donp.InvalidInputError, name="n" * 65)
    refused(donp.NotFoundError, state_dir=tmp_path / "none")

    profile = tmp_path / "p"
    with donp.Node(profile, "p", passphrase="right", listen="127.0.0.1:0") as p:
        refused(donp.LockedError, True, state_dir=profile)
        assert p.status().protection == "passphrase"
    refused(donp.DeniedError, state_dir=profile)
    refused(donp.DeniedError, state_dir=profile, passphrase="wrong")
    refused(donp.DeniedError, state_dir=profile, passphrase="right", network_key=bytes(32 * [1]))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "node.db").write_bytes(b"this is no database")
    refused(donp.DamagedError, state_dir=tmp_path / "d", name="d")

    a = nodes("a")
    refused(donp.NetworkError, True, listen=a.local_addresses)

    def fails(kind: type[donp.DonpError], call: object, *args: object) -> None:
        assert callable(call)
        with pytest.raises(donp.DonpError) as caught:
            call(*args)
        check(caught.value, kind, False)

    fails(donp.NotFoundError, a.ack, 5)
    stranger = donp.identity_node_id(donp.generate_identity("stranger"))
    fails(donp.NotFoundError, a.send, stranger, "who are you?")
    fails(donp.InvalidInputError, a.send, a.id, "me")
    fails(donp.InvalidInputError, a.broadcast, "")
    fails(donp.InvalidInputError, a.broadcast, "x" * 65_537)
    fails(donp.InvalidInputError, a.broadcast, donp.Unknown())
    fails(donp.InvalidInputError, a.search, NETWORK, "")
    fails(donp.InvalidInputError, a.join, "host:notaport")
    fails(donp.InvalidInputError, a.join, "notaticket")
    fails(donp.NotRunningError, donp.Node(name="still").status)
    closed = nodes("closed")
    closed.shutdown()
    closed.shutdown()
    fails(donp.ClosedError, closed.status)
    fails(donp.ClosedError, closed.broadcast, "x")
    fails(donp.InternalError, a.simulate_crash)
    fails(donp.InternalError, a.status)
    fails(donp.InternalError, a.shutdown)

    # Every kind there is, also those that no call here can cause, is made public in one place.
    from donp import errors
    from donp._ffi import donp_ffi

    kinds = {v for v in vars(donp_ffi.DonpError).values() if isinstance(v, type) and issubclass(v, Exception)}
    assert kinds == set(errors._KINDS)
    assert len(kinds) == 13
    for raw, kind in errors._KINDS.items():
        made: object = raw
        assert callable(made)
        public = errors._public(made("why", "what to do", True))
        assert (type(public), str(public), public.hint, public.retryable) == (kind, "why", "what to do", True)
    assert type(errors._public(donp_ffi.InternalError("a panic"))) is donp.InternalError
    assert issubclass(donp.TimeoutError, TimeoutError)


async def test_cancelling_a_wait_loses_nothing() -> None:
    async with (
        donp.AsyncNode(name="a", listen="127.0.0.1:0") as a,
        donp.AsyncNode(name="b", listen="127.0.0.1:0") as b,
    ):
        events = b.events()
        await b.join(await a.invite())
        await afind(events, donp.PeerUp)
        got: list[str] = []
        cancelled = 0

        async def say() -> None:
            for n in range(300):
                await a.broadcast(str(n))

        saying = asyncio.create_task(say())
        deadline = asyncio.get_running_loop().time() + LONG
        turn = 0
        while len(got) < 300:
            assert asyncio.get_running_loop().time() < deadline, f"{len(got)} of 300 came"
            wait = asyncio.ensure_future(anext(events))
            # Given up at once, after the wait has begun, or while an event is on its way.
            for _ in range(turn % 4):
                await asyncio.sleep(0)
            if turn % 5 == 0:
                await asyncio.sleep(0.001)
            turn += 1
            wait.cancel()
            try:
                event = await wait
            except asyncio.CancelledError:
                cancelled += 1
                continue
            if isinstance(event, donp.Received):
                got.append(event.message.text)
        await saying
        assert got == [str(n) for n in range(300)]
        assert cancelled > 0, "no wait was given up"
        waits = [t for t in asyncio.all_tasks() if t.get_name() == "donp: waiting for events"]
        assert len(waits) <= 1, "waits that were given up do not pile up"


async def test_closing_ends_every_stream() -> None:
    async with donp.AsyncNode(name="a", listen="127.0.0.1:0") as node:
        waiting, not_begun, closed = node.events(), node.events(), node.events()

        async def all_of(events: donp.Events) -> int:
            return len([event async for event in events])

        begun = asyncio.create_task(all_of(waiting))
        blocked = node.events()
        thread = asyncio.create_task(asyncio.to_thread(lambda: list(blocked)))
        closing = asyncio.create_task(all_of(closed))
        await asyncio.sleep(0.05)
        closed.close()
        closed.close()
        await asyncio.wait_for(closing, LONG)
        assert closed.is_finished
        assert not begun.done()
        await node.shutdown()
        await node.shutdown()
        await asyncio.wait_for(begun, LONG)
        await asyncio.wait_for(thread, LONG)
        await asyncio.wait_for(all_of(not_begun), LONG)
        after = node.events()
        assert [event async for event in after] == []
        assert list(node.events()) == []
        assert all(events.is_finished for events in (waiting, not_begun, blocked, after))
        assert waiting.poll(LONG) == waiting.take() == []


def test_two_readers_one_slow(nodes: Make) -> None:
    a, b = nodes("a", started=False), nodes("b")
    quick, slow = a.events(), a.events()
    a.start()
    linked(a, b)
    said = [str(n) for n in range(20)]
    for text in said:
        b.broadcast(text)
    until("every message", lambda: len(texts(a)) == len(said))
    came = quick.take()
    # Each leave and join is a change of state or more.
    while sum(event.seq is None for event in came) < 1_100:
        a.leave()
        a.join()
        came += quick.take(7)
    # Nothing more comes, and what has come can still be taken.
    a.kill()
    came += list(quick)
    late = list(slow)
    assert not any(isinstance(event, donp.Lagged) for event in came)
    assert [e.message.text for e in came if isinstance(e, donp.Received)] == said
    assert [e.message.text for e in late if isinstance(e, donp.Received)] == said
    volatile = [event for event in came if event.seq is None]
    assert [event for event in late if event.seq is None] == [
        donp.Lagged(len(volatile) - 1_024),
        *volatile[-1_024:],
    ]


def test_a_panic_is_contained(nodes: Make, capfd: pytest.CaptureFixture[str]) -> None:
    dead, alive = engine("dead"), engine("alive")
    with pytest.raises(donp.InternalError):
        dead.simulate_crash()
    assert dead.is_dead
    with pytest.raises(donp.InternalError):
        dead.turn(0)
    with pytest.raises(donp.InternalError):
        dead.status()
    assert not alive.is_dead
    alive.turn(0)
    node, other = nodes("node"), nodes("other")
    events = node.events()
    with pytest.raises(donp.InternalError):
        node.simulate_crash()
    assert node.is_closed
    with pytest.raises(donp.InternalError):
        node.broadcast("x")
    list(events)
    assert events.is_finished
    other.broadcast("still here")
    with pytest.raises(donp.InternalError), donp.Node(name="with", listen="127.0.0.1:0") as crashing:
        crashing.simulate_crash()
    assert "simulate_crash" in capfd.readouterr().err, "the panic is on standard error"


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_messages_without_growth(tmp_path: Path) -> None:
    from donp._ffi import donp_ffi

    with (
        donp.Node(tmp_path / "a", "a", listen="127.0.0.1:0") as a,
        donp.Node(tmp_path / "b", "b", listen="127.0.0.1:0") as b,
    ):
        linked(a, b)
        events = b.events()

        def say(count: int) -> None:
            senders = [
                threading.Thread(target=lambda: [a.broadcast("hello") for _ in range(count // 8)])
                for _ in range(8)
            ]
            for sender in senders:
                sender.start()
            received = 0
            while received < count:
                came = events.poll(LONG)
                assert came, f"{received} of {count} came"
                received += sum(isinstance(e, donp.Received) for e in came)
                b.ack(max((e.seq for e in came if e.seq is not None), default=None))
            for sender in senders:
                sender.join()
            gc.collect()

        say(2_000)
        before, objects = resident(), len(gc.get_objects())
        say(8_000)
        grown = resident() - before
        assert b.status().last_event >= 10_000
        assert len(gc.get_objects()) - objects < 1_000, "objects of Python pile up"
        assert len(donp_ffi._UniffiContinuationHandleMap) == 0  # type: ignore[attr-defined]
        # An index over what is stored may grow; 8,000 events or messages kept would be more than this.
        assert grown < 12 << 20, f"{grown >> 10} KiB more"


class Ring:
    """A key store as simple as can be."""

    def __init__(self, *, unlocked: bool = True) -> None:
        self.unlocked = unlocked
        self.threads: set[int] = set()

    def wrap_key(self, key: bytes) -> bytes:
        assert len(key) == 32
        # No lock is held over this call: what it calls may use the package.
        assert donp.Node(name="inner", offline=True).start().status().name == "inner"
        self.threads.add(threading.get_ident())
        return b"wrapped" + key[::-1]

    def unwrap_key(self, wrapped: bytes) -> bytes:
        if not self.unlocked:
            raise PermissionError("the ring is locked")
        self.threads.add(threading.get_ident())
        return wrapped.removeprefix(b"wrapped")[::-1]


async def test_the_platform_wraps_the_key(tmp_path: Path) -> None:
    ring = Ring()
    with donp.Node(tmp_path, "k", key_store=ring, offline=True) as node:
        id = node.id
        assert node.status().protection == "key-store"
    assert ring.threads == {threading.get_ident()}
    with pytest.raises(donp.DeniedError, match="the ring is locked"):
        donp.Node(tmp_path, key_store=Ring(unlocked=False))
    with pytest.raises(donp.DeniedError):
        donp.Node(tmp_path)

    class Wrong(Ring):
        def unwrap_key(self, wrapped: bytes) -> bytes:
            return "text"  # type: ignore[return-value]

    with pytest.raises(donp.DeniedError, match="str, not bytes"):
        donp.Node(tmp_path, key_store=Wrong())
    async with donp.AsyncNode(tmp_path, key_store=ring, offline=True) as again:
        assert again.id == id
    assert len(ring.threads) == 2, "an AsyncNode is opened on a worker thread"


def test_suspend_and_resume(nodes: Make, tmp_path: Path) -> None:
    a, b = nodes("a"), nodes("b", tmp_path)
    linked(a, b)
    b.suspend()
    b.suspend()
    with pytest.raises(donp.NotRunningError):
        b.broadcast("asleep")
    with pytest.raises(donp.NotRunningError):
        b.history(NETWORK)
    assert not (tmp_path / "node.db-wal").exists(), "the file is closed"
    sent = a.send(b.id, "meanwhile")
    events = b.events()
    tries = 20
    while not (fetched := b.background_fetch(30)).events:
        tries -= 1
        assert tries, "nothing was fetched"
    assert fetched.caught_up
    until("a knows", lambda: not a.is_queued(sent))
    with pytest.raises(donp.NotRunningError):
        b.broadcast("asleep again")
    b.resume()
    b.resume()
    b.network_changed()
    assert find(events, donp.Received).message.text == "meanwhile"
    b.broadcast("awake")
    until("it is heard", lambda: "awake" in texts(a))


def test_ids_print_and_parse() -> None:
    e = engine("e")
    id = e.id
    again = donp.NodeId(f" {str(id).upper()} ")
    assert (again, hash(again), str(again)) == (id, hash(id), str(id))
    assert repr(id) == f"NodeId('{id}')"
    assert re.fullmatch("[0-9a-z]{4}-[0-9a-z]{4}", id.short)
    assert str(id)[1:5] == id.short[:4]
    account = e.status().account
    assert donp.AccountId(str(account)) == account
    said = e.broadcast(0, "x")
    assert donp.MessageId(str(said)) == said
    assert pickle.loads(pickle.dumps(said)) == said
    assert id != account
    assert {id: 1}[again] == 1
    other = engine("other").id
    assert (id < other) == (str(id) < str(other)) == (other > id)
    with pytest.raises(TypeError):
        id < said  # type: ignore[operator]  # noqa: B015
    with pytest.raises(AttributeError):
        id._text = "n"
    for text, name in (
        (str(said), "node id"),
        (str(id)[:-1], "node id"),
        ("", "node id"),
        (str(id)[:9] + "zz", "node id"),
    ):
        with pytest.raises(donp.InvalidInputError, match=name):
            donp.NodeId(text)
    mistyped = str(id)[:9] + ("0" if str(id)[9] != "0" else "1") + str(id)[10:]
    with pytest.raises(donp.InvalidInputError, match="checksum"):
        donp.NodeId(mistyped)
    with pytest.raises(donp.InvalidInputError, match="message id"):
        donp.MessageId(str(id))
    with pytest.raises(donp.InvalidInputError, match="account id"):
        donp.AccountId(str(id))
    with pytest.raises(TypeError):
        donp.NodeId(id)  # type: ignore[arg-type]
    e.set_local_addresses(0, ["192.0.2.7:4000"])
    e.turn(0)
    invitation = donp.Invitation.parse(e.invite())
    assert invitation == donp.Invitation(id, "e", ("192.0.2.7:4000",), False)
    with pytest.raises(donp.InvalidInputError, match="invitation"):
        donp.Invitation.parse(e.invite()[:-2])


def test_history_and_search_page(nodes: Make) -> None:
    a = nodes("a")
    said = [f"{'even' if n % 2 == 0 else 'Odd'} {n}" for n in range(25)]
    for text in said:
        a.broadcast(text)
    pages: list[list[str]] = []
    before: donp.MessageId | None = None
    while True:
        page = a.history(NETWORK, before, 10)
        pages.append([m.text for m in page.messages])
        before = page.older
        if before is None:
            break
        assert before == page.messages[0].id
    assert [len(p) for p in pages if p] == [10, 10, 5]
    assert [text for page in reversed(pages) for text in page] == said
    found = a.search(NETWORK, "oDD", limit=5)
    assert [m.text for m in found.messages] == ["Odd 15", "Odd 17", "Odd 19", "Odd 21", "Odd 23"]
    assert found.older is not None
    rest = a.search(NETWORK, "odd", found.older, 100)
    assert [m.text for m in rest.messages] == [f"Odd {n}" for n in range(1, 14, 2)]
    assert rest.older is None
    assert a.search(NETWORK, "nobody said this").messages == []
    whole = a.history(NETWORK, limit=1_000).messages
    assert [m.id for m in whole] == sorted((m.id for m in whole), key=lambda id: (id.depth, str(id)))
    assert whole == sorted(reversed(whole), key=lambda m: m.id)
    assert [m.id.depth for m in whole] == [m.depth for m in whole]
    assert {m.life for m in whole} == {whole[0].life}
    assert len(whole[0].life) == 16
    assert [m.clock for m in whole] == [(donp.ClockEntry(a.id, whole[0].life, n + 1),) for n in range(25)]
    assert [m.text for m in a.history(NETWORK, limit=1).messages] == ["even 24"]


def test_replies_edits_reactions(nodes: Make) -> None:
    a, b = nodes("a"), nodes("b")
    linked(a, b)
    heard = b.events()
    said_to_all = a.broadcast("to all")
    said_privately = a.send(b.id, "to b")
    public = find(heard, donp.Received, lambda e: e.message.id == said_to_all).message
    heard = b.events()
    private = find(heard, donp.Received, lambda e: e.message.id == said_privately).message
    assert (public.conversation, private.conversation) == (NETWORK, Private(a.id))
    answers = a.events()
    for message in (public, private):
        b.reply(message, "an answer")
        b.react(message, "+1")
    of_a = {m.id: m for c in (NETWORK, Private(b.id)) for m in a.history(c).messages}
    for where, id in ((NETWORK, said_to_all), (Private(b.id), said_privately)):
        a.edit(of_a[id], "changed")
        edited = next(m for m in a.history(where).messages if m.id == id)
        assert (edited.text, edited.edited, edited.retracted) == ("changed", "changed", False)
        a.retract(of_a[id])
        retracted = next(m for m in a.history(where).messages if m.id == id)
        assert (retracted.text, retracted.retracted) == ("", True)
    with pytest.raises(donp.DeniedError, match="only its author"):
        b.edit(public, "not mine")
    with pytest.raises(donp.NotFoundError, match="not in this conversation"):
        b.broadcast(donp.Reply(said_privately, "of another conversation"))
    expected = [
        donp.Reply(said_to_all, "an answer"),
        donp.React(said_to_all, "+1"),
        donp.Reply(said_privately, "an answer"),
        donp.React(said_privately, "+1"),
    ]
    came = {m.content: m.conversation for m in (find(answers, donp.Received).message for _ in expected)}
    assert came == dict(zip(expected, [NETWORK, NETWORK, Private(b.id), Private(b.id)], strict=True))
    for original, where in ((said_to_all, NETWORK), (said_privately, Private(a.id))):
        until("an edit and a retraction", lambda c=where: len(b.history(c).messages) == 5)  # type: ignore[misc]
        contents = [m.content for m in b.history(where).messages]
        assert donp.Edit(original, "changed") in contents
        assert donp.Retract(original) in contents
    assert (of_a[said_to_all].text, of_a[said_privately].text) == ("to all", "to b")


def test_dropping_without_closing(start: Start, tmp_path: Path) -> None:
    program = """
import asyncio, sys, threading, donp
how = sys.argv[1]
node = donp.Node(name="a", listen="127.0.0.1:0").start()
other = donp.Node(name="b", listen="127.0.0.1:0").start()
other.join(node.invite())
threading.Thread(target=lambda: list(node.events()), daemon=True).start()
async def wait():
    task = asyncio.ensure_future(node.events().__anext__())
    await asyncio.wait((task,), timeout=0.05)
    other.broadcast("hello")
    other.kill()
loop = asyncio.new_event_loop()
loop.run_until_complete(wait())
print("up", flush=True)
if how == "forget":
    del node, other
if how == "raise":
    raise SystemExit(7)
if how == "fork":
    import os
    for _ in range(10):
        child = os.fork()
        if child == 0:
            raise SystemExit(0)
        ended = os.waitpid(child, 0)[1]
        assert ended == 0, ended
"""
    path = tmp_path / "program.py"
    path.write_text(program)
    for n, how in enumerate(("leave", "forget", "raise", "fork") * 3):
        process = start(path, how)
        out, err = process.communicate(timeout=LONG)
        assert (out, process.returncode) == ("up\n", 7 if how == "raise" else 0), f"run {n}, {how}: {err}"
        assert "Traceback" not in err, err
        assert "fatal" not in err.lower(), err

    # In a process that goes on, a node that is forgotten ends by itself.
    node = donp.Node(name="forgotten", listen="127.0.0.1:0").start()
    events, gone = node.events(), weakref.ref(node)
    del node
    gc.collect()
    assert gone() is None
    deadline = threading.Timer(LONG, events.close)
    deadline.start()
    list(events)
    assert deadline.is_alive(), "the stream ended with its node"
    deadline.cancel()


def donp_program() -> str:
    """The `donp` program; without it the scenario fails, for it cannot be tried."""
    found = os.environ.get("DONP_BIN") or shutil.which("donp")
    assert found, "set DONP_BIN to the donp program; test.sh does"
    assert Path(found).is_file(), f"there is no donp program at {found}"
    return found


def test_the_echo_bot(start: Start, tmp_path: Path) -> None:
    program = donp_program()
    (tmp_path / "config.toml").write_text("")

    def donp_(*args: str) -> subprocess.CompletedProcess[str]:
        base = [
            program,
            "--state-dir",
            str(tmp_path / "s"),
            "--config",
            str(tmp_path / "config.toml"),
            "-p",
            "alice",
        ]
        return subprocess.run(
            [*base, *args],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONG,
            check=True,
        )

    echo = start(
        EXAMPLES / "echo.py", "serve", "--json", "--listen", "127.0.0.1:0", "--profile", tmp_path / "echo"
    )
    serving = json.loads(line(echo.stdout))
    assert serving["type"] == "serving"
    donp_("init", "--name", "alice")
    base = [
        program,
        "--state-dir",
        str(tmp_path / "s"),
        "--config",
        str(tmp_path / "config.toml"),
        "-p",
        "alice",
    ]
    daemon = subprocess.Popen(
        [*base, "run", "--listen", "127.0.0.1:0", "--lan", "off"],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert line(daemon.stdout).startswith("alice is node")
        donp_("join", serving["invitation"])
        until("the bot is known", lambda: "echo" in donp_("peers").stdout)
        donp_("send", "echo", "hello echo", "--wait", "delivered")
        until("the answer", lambda: donp_("history", "echo").stdout.count("hello echo") == 2)
        donp_("send", "echo", "/who", "--wait", "delivered")
        until("the names", lambda: "echo, alice" in donp_("history", "echo").stdout)
        donp_("send", "all", "not for you", "--wait", "sent")
        donp_("send", "echo", "for you", "--wait", "delivered")
        until("the answer", lambda: donp_("history", "echo").stdout.count("for you") == 2)
        assert donp_("history", "all").stdout.count("not for you") == 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            daemon.terminate()
        daemon.communicate(timeout=LONG)
    echo.terminate()
    out, err = echo.communicate(timeout=LONG)
    assert echo.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["type"] == "stopped"
