"""Bots: durable, patient, and silent among their kind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import donp
import pytest
from conftest import EXAMPLES, LONG, Make, Start, afind, find, line, texts, until
from donp import NETWORK, AsyncBotMessage, Bot, BotMessage, Private


@contextlib.asynccontextmanager
async def serving(bot: Bot, state_dir: Path | None = None) -> AsyncIterator[donp.AsyncNode]:
    """The bot's node, while the bot serves."""
    started: asyncio.Future[donp.AsyncNode] = asyncio.get_running_loop().create_future()

    async def on_start(node: donp.AsyncNode) -> None:
        started.set_result(node)

    task = asyncio.create_task(bot.serve(state_dir, listen="127.0.0.1:0", on_start=on_start))
    await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    yield started.result()
    bot.stop()
    await asyncio.wait_for(task, LONG)


class Person:
    """A user that writes to a bot."""

    def __init__(self, node: donp.AsyncNode) -> None:
        self.node = node
        # For answers alone: a search for one thing in a stream passes over the others.
        self.answers = node.events()

    async def meet(self, bot: donp.AsyncNode) -> None:
        await self.node.join(await bot.invite())
        await asyncio.to_thread(until, "a link", lambda: self.linked(bot.id))

    def linked(self, id: donp.NodeId) -> bool:
        peer = self.node.sync.peer(id)
        return peer is not None and peer.linked

    async def delivered(self, id: donp.MessageId) -> None:
        # A new stream begins with what was not acknowledged: everything, here.
        await afind(self.node.events(), donp.Delivered, lambda e: e.id == id)

    async def ask(self, bot: donp.AsyncNode, text: str) -> str:
        id = await self.node.send(bot.id, text)
        return await self.answer(id)

    async def answer(self, id: donp.MessageId) -> str:
        def answers(event: donp.Received) -> bool:
            content = event.message.content
            return isinstance(content, donp.Reply) and content.reply_to == id

        event = await afind(self.answers, donp.Received, answers)
        return event.message.text


@contextlib.asynccontextmanager
async def person(name: str = "alice", *, bot: bool = False) -> AsyncIterator[Person]:
    async with donp.AsyncNode(name=name, listen="127.0.0.1:0", bot=bot) as node:
        yield Person(node)


async def test_handlers_of_both_kinds_answer() -> None:
    bot = Bot("echo")

    @bot.on_message
    async def echo(msg: AsyncBotMessage) -> None:
        assert msg.is_private
        await msg.react("seen")
        await msg.reply(f"{msg.author.short}: {msg.text}")

    @bot.command("/who")
    def who(msg: BotMessage) -> None:
        assert msg.node.status().name == "echo"
        members = msg.conversation.members()
        assert [m.bot for m in members] == [True, False]
        msg.conversation.say("here they come")
        msg.reply(", ".join(m.name for m in members))

    @bot.command("/awho")
    async def awho(msg: AsyncBotMessage) -> None:
        assert msg.conversation.where == Private(msg.author)
        await msg.reply(", ".join(m.name for m in await msg.conversation.members()))

    async with serving(bot) as node, person() as alice:
        await alice.meet(node)
        assert await alice.ask(node, "hi") == f"{alice.node.id.short}: hi"
        assert await alice.ask(node, "/WHO is there") == "echo, alice"
        assert await alice.ask(node, "/awho") == "echo, alice"
        assert await alice.ask(node, "/whoever") == f"{alice.node.id.short}: /whoever"
        page = await alice.node.history(Private(node.id))
        assert sum(isinstance(m.content, donp.React) for m in page.messages) == 2
        assert "here they come" in [m.text for m in page.messages]


async def test_only_what_is_for_it() -> None:
    heard: list[str] = []
    bot = Bot("quiet")
    everywhere = Bot("everywhere", network=True)

    @bot.on_message
    @everywhere.on_message
    async def note(msg: AsyncBotMessage) -> None:
        heard.append(msg.text)
        await msg.reply(f"{msg.node.name} heard {msg.text}")

    async with serving(bot) as quiet, serving(everywhere) as loud, person() as alice:
        await alice.meet(quiet)
        await alice.meet(loud)
        id = await alice.node.broadcast("to all")
        assert await alice.answer(id) == "everywhere heard to all"
        id = await alice.node.send(quiet.id, "to one")
        assert await alice.answer(id) == "quiet heard to one"
        (said,) = [m for m in (await alice.node.history(Private(quiet.id))).messages if m.id == id]
        await alice.node.edit(said, "changed")
        await alice.node.react(said, "+1")
        await alice.node.retract(said)
        assert await alice.ask(quiet, "last") == "quiet heard last"
        assert heard == ["to all", "to one", "last"]


async def test_bots_do_not_answer_bots() -> None:
    first, second = Bot("first", network=True), Bot("second", network=True)
    heard: list[str] = []

    @first.on_message
    @second.on_message
    async def echo(msg: AsyncBotMessage) -> None:
        heard.append(f"{msg.node.name}: {msg.text}")
        await msg.reply(msg.text)

    async with (
        serving(first) as a,
        serving(second) as b,
        person() as alice,
        person("third", bot=True) as third,
    ):
        await alice.meet(a)
        await alice.meet(b)
        await third.meet(a)
        await third.meet(b)
        await third.node.send(a.id, "from a bot")
        await third.node.broadcast("from a bot to all")
        id = await alice.node.broadcast("hi")
        assert await alice.answer(id) == "hi"
        assert await alice.answer(id) == "hi"
        # Each has received the other's answer, and does not answer it.
        for node in (a, b, alice.node):

            def heard_all(node: donp.Node = node.sync) -> bool:
                return len(texts(node)) == 4

            await asyncio.to_thread(until, "all is heard", heard_all)
        assert await alice.ask(a, "still there?") == "still there?"
        assert await alice.ask(b, "and you?") == "and you?"
        assert sorted(heard) == ["first: hi", "first: still there?", "second: and you?", "second: hi"]


async def test_a_handler_that_raises_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    bot = Bot("moody", tries=3, pause=0.01)
    attempts: list[tuple[str, int]] = []

    @bot.on_message
    async def moody(msg: AsyncBotMessage) -> None:
        attempts.append((msg.text, msg.attempt))
        if msg.text == "never" or (msg.text == "once" and msg.attempt == 1):
            raise RuntimeError(f"no {msg.text}")
        await msg.reply("well")

    @bot.on_message
    def second(msg: BotMessage) -> None:
        attempts.append((f"{msg.text} again", msg.attempt))

    with caplog.at_level(logging.WARNING, "donp.bot"):
        async with serving(bot) as node, person() as alice:
            await alice.meet(node)
            assert await alice.ask(node, "once") == "well"
            never = await alice.node.send(node.id, "never")
            assert await alice.ask(node, "fine") == "well"
    assert attempts == [
        ("once", 1),
        ("once", 2),
        ("once again", 1),
        ("never", 1),
        ("never", 2),
        ("never", 3),
        ("never again", 1),
        ("fine", 1),
        *([("fine again", 1)] if ("fine again", 1) in attempts else []),
    ]
    given_up = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(given_up) == 1
    assert str(never) in given_up[0].getMessage()
    assert given_up[0].exc_info is not None


async def test_what_raised_comes_again_after_a_stop(tmp_path: Path) -> None:
    """Stopped while it waits to try again, it does not acknowledge; the next start does it."""
    bot = Bot("patient", pause=10_000.0)
    tried = asyncio.Event()
    broken = True
    done: list[str] = []

    @bot.on_message
    async def handle(msg: AsyncBotMessage) -> None:
        tried.set()
        if broken:
            raise RuntimeError("not now")
        done.append(msg.text)
        await msg.reply("done")

    async with person() as alice:
        async with serving(bot, tmp_path) as node:
            await alice.meet(node)
            id = await alice.node.send(node.id, "a task")
            await asyncio.wait_for(tried.wait(), LONG)
        broken = False
        async with serving(bot, tmp_path) as node:
            await alice.meet(node)
            assert await alice.answer(id) == "done"
        async with serving(bot, tmp_path) as node:
            await alice.meet(node)
            assert await alice.ask(node, "another") == "done"
    assert done == ["a task", "another"]


async def test_stopping_lets_a_handler_finish(tmp_path: Path) -> None:
    bot = Bot("busy")
    begun, go_on = asyncio.Event(), asyncio.Event()
    handled: list[str] = []

    @bot.on_message
    async def slow(msg: AsyncBotMessage) -> None:
        handled.append(msg.text)
        begun.set()
        await go_on.wait()
        await msg.reply("finished")

    async with person() as alice:
        async with serving(bot, tmp_path) as node:
            await alice.meet(node)
            id = await alice.node.send(node.id, "first")
            await asyncio.wait_for(begun.wait(), LONG)
            second = await alice.node.send(node.id, "second")
            await alice.delivered(second)
            bot.stop()
            go_on.set()
            # What is queued is sent before it stops.
            assert await alice.answer(id) == "finished"
        assert handled == ["first"]
        async with serving(bot, tmp_path) as node:
            await alice.meet(node)
            assert await alice.answer(second) == "finished"
    assert handled == ["first", "second"]


async def test_a_bot_whose_node_dies_says_so() -> None:
    bot = Bot("doomed")

    async def crash(node: donp.AsyncNode) -> None:
        with pytest.raises(donp.InternalError):
            await node.simulate_crash()

    async def kill(node: donp.AsyncNode) -> None:
        await node.kill()

    with pytest.raises(donp.InternalError):
        await asyncio.wait_for(bot.serve(listen="127.0.0.1:0", on_start=crash), LONG)
    with pytest.raises(donp.ClosedError):
        await asyncio.wait_for(bot.serve(listen="127.0.0.1:0", on_start=kill), LONG)


async def test_a_bot_can_be_near() -> None:
    bot = Bot("near")
    where: list[tuple[str, ...]] = []

    async def look(node: donp.AsyncNode) -> None:
        where.append((await node.status()).lan)
        bot.stop()

    await bot.serve(listen="127.0.0.1:0", on_start=look)
    await bot.serve(listen="127.0.0.1:0", lan=donp.Lan.ON, on_start=look)
    assert [len(places) for places in where] == [0, 1]


def test_a_wrong_way_to_be_near() -> None:
    with pytest.raises(SystemExit):
        Bot("near").run(["serve", "--lan", "maybe"])


def test_wrong_use_is_named() -> None:
    bot = Bot("b")
    bot.command("/once")(print)
    for word in ("/once", "/ONCE"):
        with pytest.raises(ValueError, match=f"^there is a handler for '{word}' already$"):
            bot.command(word)
    for word in ("two words", "", " /x"):
        with pytest.raises(ValueError, match=f"^a command is one word, not '{word}'$"):
            bot.command(word)
    with pytest.raises(ValueError, match="at least once"):
        Bot("b", tries=0)


PROGRAM = """
import sys, time
from pathlib import Path
from donp import Bot
bot = Bot("killed")
count = Path(__file__).with_name("count")
@bot.on_message
def handle(msg):
    with count.open("a") as file:
        file.write(f"{msg.id} {msg.attempt}\\n")
    if Path(__file__).with_name("hang").exists():
        time.sleep(100_000)
    msg.reply("handled")
bot.run()
"""


def test_killed_in_the_handler_it_handles_again(start: Start, tmp_path: Path, nodes: Make) -> None:
    program, count, hang = tmp_path / "bot.py", tmp_path / "count", tmp_path / "hang"
    program.write_text(PROGRAM)
    hang.touch()

    def serve() -> tuple[object, dict[str, object]]:
        process = start(program, "serve", "--json", "--listen", "127.0.0.1:0", cwd=tmp_path)
        return process, json.loads(line(process.stdout))

    alice = nodes("alice")
    events = alice.events()
    process, serving = serve()
    alice.join(str(serving["invitation"]))
    bot = donp.NodeId(str(serving["id"]))
    find(events, donp.PeerUp)
    id = alice.send(bot, "work")
    # Written and not only opened: the next line kills it.
    until("the handler runs", lambda: count.exists() and count.read_text().endswith("\n"))
    process.kill()  # type: ignore[attr-defined]
    process.wait()  # type: ignore[attr-defined]
    hang.unlink()
    process, serving = serve()
    alice.join(str(serving["invitation"]))
    answer = find(events, donp.Received).message
    assert answer.content == donp.Reply(id, "handled")
    assert count.read_text() == f"{id} 1\n" * 2
    process.send_signal(signal.SIGINT)  # type: ignore[attr-defined]
    out, err = process.communicate(timeout=LONG)  # type: ignore[attr-defined]
    assert process.returncode == 0, err  # type: ignore[attr-defined]
    assert json.loads(out.splitlines()[-1]) == {"v": 1, "type": "stopped"}


def test_the_command_line(start: Start, tmp_path: Path, nodes: Make) -> None:
    def run(*args: str) -> tuple[int, str, str]:
        process = start(EXAMPLES / "echo.py", *args, cwd=tmp_path)
        out, err = process.communicate(timeout=LONG)
        return process.returncode, out, err

    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for verb in ("init", "serve", "invite"):
        assert verb in out
    assert run()[0] == 2
    assert run("serve", "--log", "loud")[0] == 2
    code, out, err = run("invite")
    assert (code, out) == (1, "")
    assert "error: " in err
    code, out, err = run("init", "--json")
    made = json.loads(out)
    assert (code, made["type"], made["name"], err) == (0, "init", "echo", "")
    assert (tmp_path / "echo").is_dir(), "the profile is named like the bot"
    code, out, err = run("init", "--json")
    assert (code, json.loads(out)["kind"]) == (1, "AlreadyExists")
    assert "already" in err
    code, out, err = run("invite")
    assert (code, "serve" in err) == (1, True)
    assert run("serve", "--listen", "here")[0] == 1
    assert run("serve", "--join", "nonsense", "--listen", "127.0.0.1:0")[0] == 1

    process = start(EXAMPLES / "echo.py", "serve", "--listen", "127.0.0.1:0", cwd=tmp_path)
    assert line(process.stdout).startswith(f"echo is node {made['id']}, listening on 127.0.0.1:")
    printed = line(process.stdout).removeprefix("invitation: ")
    code, out, err = run("invite")
    assert (code, out.strip(), err) == (0, printed, "")
    assert (tmp_path / "echo" / "invitation").stat().st_mode & 0o777 == 0o600
    code, out, err = run("serve")
    assert (code, "another process" in err or "use" in err) == (6, True)
    alice = nodes("alice")
    events = alice.events()
    alice.join(printed)
    find(events, donp.PeerUp)
    bot = donp.NodeId(made["id"])
    id = alice.send(bot, "hi")
    assert find(events, donp.Received).message.content == donp.Reply(id, "hi")
    peer = alice.peer(bot)
    assert peer is not None
    assert peer.bot
    process.kill()
    process.wait()
    assert run("invite")[0] == 1, "an invitation that a killed bot left behind is not given out"
    (tmp_path / "word").write_text("secret\nmore\n")
    secret = ("--profile", "locked", "--passphrase-file", "word")
    (tmp_path / "word").chmod(0o640)
    code, _, err = run("init", *secret)
    assert (code, "chmod 600" in err) == (6, True)
    (tmp_path / "word").chmod(0o600)
    assert run("init", *secret)[0] == 0
    code, _, err = run("serve", "--profile", "locked")
    assert (code, "passphrase" in err) == (5, True)
    assert texts(alice, NETWORK) == []
