"""Bots: programs that answer what is said to them, and lose nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ._cli import main
from .aio import AsyncNode
from .content import Conversation, Group, Message, Private, Reply, Text
from .errors import ClosedError, DeniedError
from .events import Events, Received
from .ids import MessageId, NodeId
from .keystore import KeyStore
from .node import Node
from .status import Lan

__all__ = ["AsyncBotConversation", "AsyncBotMessage", "Bot", "BotConversation", "BotMessage", "Member"]

_log = logging.getLogger("donp.bot")

_F = TypeVar("_F", bound=Callable[..., Any])

# A handler that runs when the bot is stopped gets this long to finish, in seconds.
_GRACE = 10.0
# What is queued for those who are linked gets this long to arrive, in seconds.
_DRAIN = 5.0
_DRAIN_STEP = 0.05
# Messages that were taken and not handled: more stay in the store until some are.
_MOST_WAITING = 1_000
# Longer pauses have no use.
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Member:
    """A participant of a conversation."""

    id: NodeId
    """Who."""
    name: str
    """The name it claims; its short id while none is known."""
    bot: bool
    """Whether it says that a program speaks there."""


class BotConversation:
    """Where a message was said, for a blocking handler."""

    def __init__(self, node: Node, where: Conversation) -> None:
        """Made by the bot."""
        self._node = node
        self.where = where
        """The conversation as `Node.history` takes it."""

    @property
    def is_private(self) -> bool:
        """Whether only the bot and one other are in it."""
        return isinstance(self.where, Private)

    def members(self) -> list[Member]:
        """Who takes part: the bot itself first, then the other, the group or the known nodes (to 1,000)."""
        node = self._node
        if isinstance(self.where, Private):
            peer = node.peer(self.where.peer)
            peers = [peer] if peer is not None else []
        elif isinstance(self.where, Group):
            group = node.group(self.where.group)
            others = [] if group is None else [m.id for m in group.members if m.id != node.id]
            known = ((id, node.peer(id)) for id in others)
            found = [Member(id, (p and p.name) or id.short, p is not None and p.bot) for id, p in known]
            return [Member(node.id, node.name, True), *found]
        else:
            peers = node.peers()
        return [Member(node.id, node.name, True), *(Member(p.id, p.name or p.id.short, p.bot) for p in peers)]

    def say(self, text: str) -> MessageId:
        """Says something there that answers no message."""
        return self._node.say(self.where, text)


class AsyncBotConversation:
    """Where a message was said, for an asynchronous handler."""

    def __init__(self, sync: BotConversation) -> None:
        """Made by the bot."""
        self._sync = sync

    @property
    def where(self) -> Conversation:
        """The conversation as `AsyncNode.history` takes it."""
        return self._sync.where

    @property
    def is_private(self) -> bool:
        """Whether only the bot and one other are in it."""
        return self._sync.is_private

    async def members(self) -> list[Member]:
        """Who takes part: the bot itself first, then the other, the group or the known nodes (to 1,000)."""
        return await asyncio.to_thread(self._sync.members)

    async def say(self, text: str) -> MessageId:
        """Says something there that answers no message."""
        return await asyncio.to_thread(self._sync.say, text)


class BotMessage:
    """A message as a blocking handler gets it."""

    def __init__(
        self, node: Node, message: Message, attempt: int = 1, author_name: str | None = None
    ) -> None:
        """Made by the bot."""
        self.author_name = author_name or message.author.short
        """The name that its author claims; the short id if none is known."""
        self.node = node
        """The bot's node, with blocking calls."""
        self.message = message
        """The message itself."""
        self.attempt = attempt
        """1 at first, more after the handler raised."""
        self.conversation = BotConversation(node, message.conversation)
        """Where it was said."""

    @property
    def id(self) -> MessageId:
        """Its id: the same when it comes again."""
        return self.message.id

    @property
    def text(self) -> str:
        """What it says."""
        return self.message.text

    @property
    def author(self) -> NodeId:
        """Who said it."""
        return self.message.author

    @property
    def is_private(self) -> bool:
        """Whether it was said to the bot alone."""
        return self.conversation.is_private

    def reply(self, text: str) -> MessageId:
        """Answers it, where it was said."""
        return self.node.reply(self.message, text)

    def react(self, mark: str) -> MessageId:
        """Puts a mark of 1 to 64 bytes on it."""
        return self.node.react(self.message, mark)


class AsyncBotMessage:
    """A message as an asynchronous handler gets it."""

    def __init__(
        self, node: AsyncNode, message: Message, attempt: int = 1, author_name: str | None = None
    ) -> None:
        """Made by the bot."""
        self.author_name = author_name or message.author.short
        """The name that its author claims; the short id if none is known."""
        self.node = node
        """The bot's node."""
        self.message = message
        """The message itself."""
        self.attempt = attempt
        """1 at first, more after the handler raised."""
        self.conversation = AsyncBotConversation(BotConversation(node.sync, message.conversation))
        """Where it was said."""

    @property
    def id(self) -> MessageId:
        """Its id: the same when it comes again."""
        return self.message.id

    @property
    def text(self) -> str:
        """What it says."""
        return self.message.text

    @property
    def author(self) -> NodeId:
        """Who said it."""
        return self.message.author

    @property
    def is_private(self) -> bool:
        """Whether it was said to the bot alone."""
        return self.conversation.is_private

    async def reply(self, text: str) -> MessageId:
        """Answers it, where it was said."""
        return await self.node.reply(self.message, text)

    async def react(self, mark: str) -> MessageId:
        """Puts a mark of 1 to 64 bytes on it."""
        return await self.node.react(self.message, mark)


class Bot:
    """A node that answers what is said to it.

    Handlers get private messages and those of groups, and with `network=True` those to everybody; a text or
    a reply, not edits, marks and retractions. Messages of authors that say they are bots are left alone, so
    that bots do not talk to one another for ever. An `async def` handler gets an `AsyncBotMessage`; a plain
    one gets a `BotMessage` and runs on a worker thread, so that it may block.

    One handler runs at a time, and the messages of an author are handled in the order they came, each
    durably: it is acknowledged when its handler returned. If the handler raises, it is called again after a
    pause, `tries` times in all, the pause doubling each time (to a minute); then the message is logged with
    the error and left. Meanwhile later messages of the same author wait, those of others do not. If the
    process dies or is stopped before a message was handled, it comes again at the next start, and so does
    what came after it and was handled already. So a handler may see a message twice, and what it does
    besides replying should bear that; `attempt` and `id` help.

    >>> from donp import Bot
    >>> bot = Bot("echo")
    >>> @bot.on_message
    ... async def echo(msg):
    ...     await msg.reply(msg.text)
    >>> @bot.command("/who")
    ... async def who(msg):
    ...     await msg.reply(", ".join(m.name for m in await msg.conversation.members()))

    `bot.run()` then gives the program the commands `init`, `serve` and `invite`.
    """

    def __init__(self, name: str, *, network: bool = False, tries: int = 5, pause: float = 1.0) -> None:
        """A bot without handlers yet.

        - `name`: what others are shown, 1 to 64 bytes, and the folder of its profile unless `--profile`
          names another.
        - `network`: whether messages to everybody are handled too.
        - `tries`: how often a message is given to a handler that raises, at least 1.
        - `pause`: seconds before the second try; it doubles with each.
        """
        if tries < 1 or pause < 0:
            raise ValueError("a bot tries at least once, and a pause is not negative")
        self.name = name
        """What others are shown."""
        self._network = network
        self._tries = tries
        self._pause = pause
        self._handlers: list[Callable[[Any], Any]] = []
        self._commands: dict[str, Callable[[Any], Any]] = {}
        self._stopping: asyncio.Event | None = None

    # Handlers.

    def on_message(self, handler: _F) -> _F:
        """Decorates a handler of messages that are no command. Several are called in turn."""
        self._handlers.append(handler)
        return handler

    def command(self, word: str) -> Callable[[_F], _F]:
        """Decorates the handler of messages whose first word is `word`, such as `/who`, in any case.

        Raises `ValueError` for a word with space in it or one that has a handler.
        """
        key = word.casefold()
        if word.split() != [word]:
            raise ValueError(f"a command is one word, not {word!r}")
        if key in self._commands:
            raise ValueError(f"there is a handler for {word!r} already")

        def add(handler: _F) -> _F:
            self._commands[key] = handler
            return handler

        return add

    # Running.

    def run(self, argv: Sequence[str] | None = None) -> None:
        """The program: reads the command line, does what it says and ends with its exit code.

        `init` makes the profile, `serve` answers until SIGINT or SIGTERM (and makes the profile if there
        is none), `invite` prints how to reach the bot that is serving. `--help` names the options. Exit
        codes are those of `donp`: 0 done, 1 failed, 2 usage, 3 network, 5 refused, 6 storage, 70 a bug.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("an event loop runs already: await bot.serve(...) in it instead of bot.run()")
        raise SystemExit(main(self, argv))

    async def serve(
        self,
        state_dir: str | os.PathLike[str] | None = None,
        *,
        join: Iterable[str] = (),
        listen: Iterable[str] | str = (),
        passphrase: str | None = None,
        key_store: KeyStore | None = None,
        lan: Lan = Lan.OFF,
        on_start: Callable[[AsyncNode], Awaitable[None]] | None = None,
        signals: bool = False,
    ) -> None:
        """Runs the bot until `stop` is called, or the task is cancelled.

        The arguments are those of `Node`; with no `state_dir` everything is in memory. `join` takes places,
        invitations and invitations to groups, of which the bot becomes a member. `on_start` is awaited once
        the node runs. With `signals`, SIGINT and SIGTERM call `stop`; that works on the main thread only.
        """
        if self._stopping is not None:
            raise RuntimeError("this bot is serving already")
        self._stopping = asyncio.Event()
        node = AsyncNode(
            state_dir,
            self.name,
            listen=listen,
            passphrase=passphrase,
            key_store=key_store,
            lan=lan,
            bot=True,
        )
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, self, "_stopping", None)
            if signals:
                for number in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(number, self.stop)
                    stack.callback(loop.remove_signal_handler, number)
            async with node:
                places = list(join)
                if places:
                    await _join(node, places)
                if on_start is not None:
                    await on_start(node)
                with node.events() as events:
                    await self._until_stopped(node, events)
                await _drained(node)

    def stop(self) -> None:
        """Ends `serve`: the handler that runs may finish, for ten seconds; then what is queued is sent.

        What is not acknowledged within five seconds more stays in the outbox for the next start.

        Only from the bot's own event loop; from elsewhere use `loop.call_soon_threadsafe(bot.stop)`.
        """
        if self._stopping is not None:
            self._stopping.set()

    async def _until_stopped(self, node: AsyncNode, events: Events) -> None:
        assert self._stopping is not None
        working = asyncio.create_task(self._work(node, events, self._stopping))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                # Ends a wait for events; a handler goes on.
                events.close()
                await asyncio.wait((working,), timeout=_GRACE)
        finally:
            stopping.cancel()
            working.cancel()
            await asyncio.wait((working, stopping))
        if not working.cancelled():
            working.result()
        if not self._stopping.is_set() and node.is_closed:
            # Says why, if it was a bug.
            await node.status()
            raise ClosedError("the bot's node was shut down", "start the bot again")

    async def _work(self, node: AsyncNode, events: Events, stopping: asyncio.Event) -> None:
        # The last task of each author, which waits for the one before.
        lanes: dict[NodeId, asyncio.Task[None]] = {}
        tasks: set[asyncio.Task[None]] = set()
        taken: dict[int, bool] = {}
        failed: list[Exception] = []
        room, turn = asyncio.Semaphore(_MOST_WAITING), asyncio.Lock()

        async def finish(seq: int) -> None:
            # What is acknowledged has nothing unhandled before it.
            taken[seq] = True
            done = None
            for first, is_done in list(taken.items()):
                if not is_done:
                    break
                done = first
                del taken[first]
            if done is not None:
                await node.ack(done)

        async def handle(event: Received, before: asyncio.Task[None] | None) -> None:
            try:
                if before is not None:
                    await asyncio.wait((before,))
                if await self._handle(node, event.message, stopping, turn):
                    await finish(event.seq)
            except Exception as e:
                failed.append(e)
                events.close()
            finally:
                room.release()

        try:
            async for event in events:
                if stopping.is_set():
                    break
                if event.seq is None:
                    continue
                taken[event.seq] = False
                if not isinstance(event, Received):
                    await finish(event.seq)
                    continue
                await room.acquire()
                author = event.message.author
                task = asyncio.create_task(handle(event, lanes.get(author)))
                lanes = {a: t for a, t in lanes.items() if not t.done()} | {author: task}
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            while tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        if failed:
            raise failed[0]

    async def _handle(
        self, node: AsyncNode, message: Message, stopping: asyncio.Event, turn: asyncio.Lock
    ) -> bool:
        """Whether the message is done with; false if the bot was stopped before."""
        handlers = self._handlers_of(message)
        if not handlers:
            return True
        author = await node.peer(message.author)
        if author is not None and author.bot:
            _log.debug("left %s alone: its author %s is a bot", message.id, author.id.short)
            return True
        name = None if author is None else author.name
        for handler in handlers:
            for attempt in range(1, self._tries + 1):
                try:
                    async with turn:
                        if stopping.is_set():
                            return False
                        await _run(handler, node, message, attempt, name)
                    break
                except Exception:
                    if attempt == self._tries:
                        _log.exception("gave up on message %s after %d tries", message.id, attempt)
                        break
                    pause = min(self._pause * 2 ** (attempt - 1), _LONGEST_PAUSE)
                    _log.warning(
                        "message %s failed, try %d of %d, the next in %.3g s",
                        message.id,
                        attempt,
                        self._tries,
                        pause,
                        exc_info=True,
                    )
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(stopping.wait(), pause)
        return True

    def _handlers_of(self, message: Message) -> list[Callable[[Any], Any]]:
        if not isinstance(message.content, (Text, Reply)):
            return []
        if not self._network and not isinstance(message.conversation, (Private, Group)):
            return []
        first = message.text.split(maxsplit=1)
        command = self._commands.get(first[0].casefold()) if first else None
        return self._handlers if command is None else [command]


async def _join(node: AsyncNode, places: list[str]) -> None:
    """Enters the network through places and invitations, and becomes a member of groups."""
    # The first letter of an invitation says to what.
    groups = [p for p in places if p[:1] in ("i", "I") and ":" not in p]
    rest = [p for p in places if p not in groups]
    if rest:
        await node.join(*rest)
    for invitation in groups:
        try:
            await node.join_group(invitation)
        except DeniedError as e:
            # After a restart with the same arguments it is a member already.
            _log.warning("the invitation to a group is refused: %s", e)


async def _drained(node: AsyncNode) -> None:
    """Waits until those who are linked have what was said to them, or for some seconds.

    What is left stays in the outbox, on disk, for the next start.
    """
    for _ in range(int(_DRAIN / _DRAIN_STEP)):
        if not any(peer.linked and peer.queued for peer in await node.peers()):
            return
        await asyncio.sleep(_DRAIN_STEP)


async def _run(
    handler: Callable[[Any], Any], node: AsyncNode, message: Message, attempt: int, name: str | None
) -> None:
    if inspect.iscoroutinefunction(handler):
        await handler(AsyncBotMessage(node, message, attempt, name))
    else:
        await asyncio.to_thread(handler, BotMessage(node.sync, message, attempt, name))
