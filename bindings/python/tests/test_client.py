"""The node of a running daemon, under the names of `Node`."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import socket
import subprocess
import threading
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import donp
import pytest
from conftest import LONG, Make, afind, clean_environment, find, in_a_fork, line, until
from donp import NETWORK, File, Private
from donp._json import _known_event
from test_files import BYTES
from test_scenarios import donp_program

# What `Node` has and a client lacks, each with the reason.
OF_THE_PROCESS = "it is of the process that has the node: the daemon's owner starts and ends it"
LACKS = {
    "start": OF_THE_PROCESS,
    "shutdown": OF_THE_PROCESS,
    "kill": OF_THE_PROCESS,
    "simulate_crash": OF_THE_PROCESS,
    "is_closed": OF_THE_PROCESS,
    "suspend": OF_THE_PROCESS,
    "resume": OF_THE_PROCESS,
    "background_fetch": OF_THE_PROCESS,
    "add_file_bytes": "a request has 2 MiB at most, a file 32 GiB: write it to disk and `add_file` it",
}

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


def public(kind: type) -> dict[str, object]:
    return {name: member for name, member in vars(kind).items() if not name.startswith("_")}


def assert_alike(name: str, own: object, other: object) -> None:
    """One takes what the other takes, perhaps more, and gives the same."""
    if isinstance(own, property):
        assert isinstance(other, property), name
        own, other = own.fget, other.fget
    assert callable(own), name
    assert callable(other), name
    a, b = inspect.signature(own), inspect.signature(other)
    wanted, found = list(a.parameters.values()), list(b.parameters.values())
    assert found[: len(wanted)] == wanted, name
    assert all(more.default is not more.empty for more in found[len(wanted) :]), name
    assert b.return_annotation.replace("ClientEvents", "Events") == a.return_annotation, name


def test_a_client_has_what_a_node_has() -> None:
    """Mutations: `is_queued` is removed from `Client`; `read_file` of it takes no part, or gives text."""
    ours = public(donp.Client)
    for name, member in public(donp.Node).items():
        if name in LACKS:
            assert name not in ours, f"{name} is there: take it out of LACKS"
        else:
            assert_alike(name, member, ours.get(name))
    assert set(LACKS) <= set(public(donp.Node))
    for name, member in public(donp.Events).items():
        assert_alike(name, member, public(donp.ClientEvents).get(name))


def test_a_client_knows_every_event() -> None:
    """Mutation: a case of `_known_event` is removed."""
    for kind in typing.get_args(donp.Event):
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        if kind is donp.UnknownEvent:
            continue
        try:
            event = _known_event({"type": name})
        except KeyError:
            # A field is missing, so the name is known.
            continue
        assert type(event) is kind, name


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
        assert events.poll() == []
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


def met(alice: donp.Client, bob: donp.Node) -> None:
    alice.join(bob.invite(), wait=LONG)
    alice.wait_for(bob.id)
    until("bob knows alice", lambda: bob.peer(alice.id) is not None)


def test_contacts_of_a_daemon(daemon: Daemon, tmp_path: Path, nodes: Make) -> None:
    """Mutations: `muted` or `upto` is left out; a time-out that the daemon reports loses its words."""
    daemon("alice")
    bob = nodes("bob")
    stranger = donp.identity_node_id(donp.generate_identity("x"))
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, alice.events() as events:
        met(alice, bob)
        first = bob.send(alice.id, "hello")
        second = bob.send(alice.id, "hello?")
        assert find(events, donp.ContactRequest).node == bob.id
        assert find(events, donp.Received, lambda e: e.message.id == second)
        request = alice.contact(bob.id)
        assert request is not None
        assert (request.request, request.unread, request.muted) == (True, 2, False)
        assert request.verification is donp.Verification.UNVERIFIED
        alice.accept_contact(bob.id)
        with pytest.raises(donp.NotFoundError):
            alice.accept_contact(bob.id)
        assert alice.contact(stranger) is None
        alice.add_contact(stranger, "strange")
        alice.rename_contact(bob.id, "bobby")
        with pytest.raises(donp.DonpError, match="another contact"):
            alice.rename_contact(bob.id, "strange")
        with pytest.raises(donp.InvalidInputError):
            alice.rename_contact(bob.id, "")
        alice.mute_contact(bob.id)
        alice.block(stranger)
        assert {(c.petname, c.muted, c.blocked) for c in alice.contacts()} == {
            ("bobby", True, False),
            ("strange", False, True),
        }
        alice.remove_contact(stranger)
        alice.mute_contact(bob.id, False)
        assert [(c.node, c.muted) for c in alice.contacts()] == [(bob.id, False)]

        here = Private(bob.id)

        def about() -> donp.ConversationInfo:
            return next(c for c in alice.conversations() if c.conversation == here)

        assert (about().unread, about().read, about().request) == (2, None, False)
        alice.mark_read(here, first)
        assert (about().unread, about().read) == (1, first)
        alice.mark_read(here)
        assert about().unread == 0

        said = alice.send(bob.id, "hi")
        until("bob has it", lambda: not alice.is_queued(said))
        until("it is confirmed", lambda: alice.confirmations(here, said).stored == [bob.id])
        assert alice.confirmations(here, said).members == 1
        with pytest.raises(donp.NotFoundError):
            alice.confirmations(here, first)

        mine = alice.safety_number(bob.id)
        until("bob knows the keys", lambda: bob.contact(alice.id) is not None)
        assert len(mine.number.replace(" ", "")) == 60
        with pytest.raises(donp.DeniedError):
            alice.verify_contact(bob.id, "12345" * 12)
        with pytest.raises(donp.InvalidInputError):
            alice.verify_contact(bob.id, "12345")
        alice.verify_contact(bob.id, bob.safety_number(alice.id).code)
        assert [c.verification for c in alice.contacts()] == [donp.Verification.VERIFIED]
        with pytest.raises(donp.NotFoundError):
            alice.accept_change(bob.id)
        alice.add_contact(stranger)
        with pytest.raises(donp.NotFoundError, match="not known here yet") as later:
            alice.safety_number(stranger)
        assert later.value.retryable

        alice.authenticate_node(bob.id)
        assert find(events, donp.Authenticated) == donp.Authenticated(
            bob.id, donp.AuthenticationResult.AUTHENTICATED
        )
        heard = bob.events()
        alice.send_typing(here)
        assert find(heard, donp.Typing) == donp.Typing(Private(alice.id), alice.id, True)
        bob.send_typing(Private(alice.id))
        assert find(events, donp.Typing) == donp.Typing(here, bob.id, True)
        alice.delete_conversation(here)
        assert alice.history(here).messages == []
        with pytest.raises(donp.DeniedError):
            alice.delete_conversation(NETWORK)
        with pytest.raises(TypeError, match="a conversation is"):
            alice.mark_read("all")  # type: ignore[arg-type]


def test_confirmations_of_a_group_of_a_daemon(daemon: Daemon, tmp_path: Path, nodes: Make) -> None:
    """Mutations: `read` is given for `stored`; `unpin_message` pins."""
    daemon("alice")
    bob = nodes("bob")
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, alice.events() as events:
        met(alice, bob)
        group = alice.create_group("team")
        bob.join_group(alice.invite_to_group(group))
        find(events, donp.GroupChanged, lambda e: e.change is donp.GroupChange.ADDED)
        said = alice.send_to_group(group, "hi team")
        confirmed = find(events, donp.Confirmed, lambda e: e.confirmations.message == said)
        assert (confirmed.conversation, confirmed.confirmations.stored) == (donp.Group(group), [bob.id])
        assert alice.confirmations(donp.Group(group), said).stored == [bob.id]
        alice.pin_message(group, said)
        assert find(events, donp.GroupChanged).message == said
        pinned = alice.group(group)
        assert pinned is not None
        assert pinned.pinned == [said]
        alice.unpin_message(group, said)
        assert [g.pinned for g in alice.groups()] == [[]]


def test_devices_of_a_daemon(daemon: Daemon, tmp_path: Path) -> None:
    """Mutations: `here` is of the other device; `devices_of` gives the node alone; no code is given."""
    with donp.Node(tmp_path / "s" / "phone", "phone", offline=True) as made:
        code = made.recovery_code()
        assert code is not None
    daemon("phone")
    daemon("laptop")
    with (
        donp.Client("phone", state_dir=tmp_path / "s") as phone,
        donp.Client("laptop", state_dir=tmp_path / "s") as laptop,
        phone.events() as events,
    ):
        assert [(d.node, d.name, d.here) for d in phone.devices()] == [(phone.id, "phone", True)]
        assert phone.devices_of(laptop.id) == [laptop.id]
        ticket = phone.add_device()
        with pytest.raises(donp.DonpError, match="damaged"):
            laptop.join_account(ticket[:-1])
        laptop.join_account(ticket)
        changed = find(events, donp.DevicesChanged)
        assert (changed.node, changed.device, changed.added) == (phone.id, laptop.id, True)
        until("it is in", lambda: not laptop.is_joining_account() and len(laptop.devices()) == 2)
        assert laptop.status().account == phone.status().account
        laptop.rename_device("old laptop")
        until("the name is known", lambda: [d.name for d in phone.devices()] == ["phone", "old laptop"])
        assert [d.here for d in phone.devices()] == [True, False]
        assert phone.devices_of(laptop.id) == [phone.id, laptop.id]
        with pytest.raises(donp.DeniedError):
            laptop.remove_device(phone.id)
        phone.remove_device(laptop.id)
        assert [d.node for d in phone.devices()] == [phone.id]
        with pytest.raises(donp.NotFoundError):
            phone.remove_device(laptop.id)
        with pytest.raises(donp.InvalidInputError):
            phone.recover_account("r123")
        assert phone.recovery_code() == code
        # `donp init` shows it once and does not keep it.
        assert laptop.recovery_code() is None
        phone.recover_account(code)
        until("it is done", lambda: not phone.is_joining_account())


def test_files_of_a_daemon(
    daemon: Daemon, tmp_path: Path, nodes: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutations: a message that names a file is a text; a path goes to the daemon as it was given."""
    daemon("alice")
    bob = nodes("bob")
    (tmp_path / "plan.pdf").write_bytes(BYTES)
    monkeypatch.chdir(tmp_path)
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, alice.events() as events:
        met(alice, bob)
        here, heard = Private(bob.id), bob.events()
        file = alice.add_file("plan.pdf", "application/pdf")
        assert (file.name, file.size, file.media_type) == ("plan.pdf", len(BYTES), "application/pdf")
        said = alice.send(bob.id, File(file, "the plan"))
        got = find(heard, donp.Received).message
        assert (got.id, got.content) == (said, File(file, "the plan"))
        assert alice.history(here).messages[-1].content == File(file, "the plan")
        answer = bob.add_file_bytes(BYTES[::-1], "answer.bin")
        bob.send(alice.id, File(answer, "and mine"))
        message = find(events, donp.Received).message
        assert message.content == File(answer, "and mine")
        assert message.text == "and mine"
        alice.fetch_file(here, answer, bob.id)
        assert find(events, donp.FileProgress).size == len(BYTES)
        assert find(events, donp.FileReceived).file == answer.id
        assert [(f.name, f.bytes, f.is_whole) for f in alice.files()] == [
            ("plan.pdf", len(BYTES), True),
            ("answer.bin", len(BYTES), True),
        ]
        assert alice.save_file(answer.id, "saved.bin") == len(BYTES)
        assert (tmp_path / "saved.bin").read_bytes() == BYTES[::-1]
        assert b"".join(alice.read_file(answer.id, part) or b"" for part in range(8)) == BYTES[::-1]
        with pytest.raises(donp.DonpError, match="there already"):
            alice.save_file(answer.id, "plan.pdf")
        assert (tmp_path / "plan.pdf").read_bytes() == BYTES
        alice.remove_file(answer.id)
        with pytest.raises(donp.NotFoundError):
            alice.read_file(answer.id, 0)
        with pytest.raises(donp.NotFoundError):
            alice.save_file(answer.id, "none.bin")
        for wrong in ("none.bin", tmp_path):
            with pytest.raises(donp.StorageError):
                alice.add_file(wrong)
        # A file that is not here is not said; one that was added stays, also if a message with it is refused.
        with pytest.raises(donp.NotFoundError):
            alice.send(bob.id, File(answer))
        with pytest.raises(donp.DonpError):
            alice.send(bob.id, File(file, "x" * 5_000))
        assert [f.id for f in alice.files()] == [file.id]
        with pytest.raises(donp.InvalidInputError):
            alice.send(bob.id, donp.Unknown())
        with pytest.raises(TypeError, match="an Attachment is wanted"):
            alice.send(bob.id, File("plan.pdf"))  # type: ignore[arg-type]


def test_what_failed_for_a_daemon(daemon: Daemon, tmp_path: Path, nodes: Make) -> None:
    """Mutation: `report_partition` gives no node to the daemon, so that an unknown one is not refused."""
    daemon("alice")
    bob = nodes("bob")
    stranger = donp.identity_node_id(donp.generate_identity("x"))
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, alice.events() as events:
        alice.handle_local_peer(bob.local_addresses[0], bob.id)
        assert alice.wait_for(bob.id).linked
        until("bob is a member", lambda: [m.id for m in alice.members()] == [bob.id])
        (member,) = alice.members()
        assert (member.state, member.linked) == (donp.MemberState.ALIVE, True)
        assert member.incarnation > 0
        alice.detect_node_failure(bob.id)
        changed = find(events, donp.MemberChanged, lambda e: e.peer == bob.id)
        assert changed.state is donp.MemberState.ALIVE
        alice.report_partition([bob.id])
        alice.report_partition()
        alice.synchronize_state(bob.id)
        for failure in donp.FailureType:
            alice.recover_from_failure(failure)
        alice.network_changed()
        alice.join()
        for refused in (alice.detect_node_failure, alice.synchronize_state):
            with pytest.raises(donp.NotFoundError):
                refused(stranger)
        with pytest.raises(donp.NotFoundError):
            alice.report_partition([stranger])
        with pytest.raises(donp.InvalidInputError, match="no address"):
            alice.handle_local_peer("nowhere")
        with pytest.raises(TypeError, match="a FailureType"):
            alice.recover_from_failure("node")  # type: ignore[arg-type]
        assert alice.local_addresses == alice.status().listen


def test_the_profile_of_a_daemon_is_checked_and_copied(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutation: `to` goes to the daemon as it was given."""
    daemon("alice")
    monkeypatch.chdir(tmp_path)
    with donp.Client("alice", state_dir=tmp_path / "s") as alice:
        alice.broadcast("kept")
        found = alice.check()
        assert found.problems == []
        assert found.lost == ""
        assert sum(found.records.values()) > 0
        assert alice.backup("alice.donp")
        with pytest.raises(donp.AlreadyExistsError, match="there already"):
            alice.backup(tmp_path / "alice.donp")
        donp.restore_profile("alice.donp", "copy")
        with donp.Node("copy", offline=True) as copy:
            assert copy.id == alice.id
            assert [m.text for m in copy.history(NETWORK).messages] == ["kept"]


# What is wrong with each call, in the same way for a node and for the daemon of another.
WRONG: dict[str, Callable[[donp.Node | donp.Client, donp.NodeId], object]] = {
    "to itself": lambda node, _: node.send(node.id, "x"),
    "empty": lambda node, _: node.broadcast(""),
    "too long": lambda node, _: node.broadcast("x" * 100_000),
    "to a stranger": lambda node, stranger: node.send(stranger, "x"),
    "of a stranger": lambda node, stranger: node.accept_contact(stranger),
    "keys unknown": lambda node, stranger: (node.add_contact(stranger), node.safety_number(stranger)),
    "a name that is taken": lambda node, stranger: (
        node.add_contact(stranger, "one"),
        node.add_contact(donp.identity_node_id(donp.generate_identity("y")), "one"),
    ),
    "blocked": lambda node, stranger: (node.block(stranger), node.send(stranger, "x")),
    "a ticket": lambda node, _: node.join("t123"),
    "a ticket of a group": lambda node, _: node.join_group("g123"),
    "an end that is not there": lambda node, _: node.ack(-1),
    "not a private one": lambda node, _: node.delete_conversation(NETWORK),
    "a backup that is there": lambda node, _: (node.backup("twice.donp"), node.backup("twice.donp")),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_client_raises_what_a_node_raises(
    what: str, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mutations: `Failure::like` keeps the kind of the exit code; `_failure` takes no call for retryable."""
    monkeypatch.chdir(tmp_path)
    stranger = donp.identity_node_id(donp.generate_identity("x"))
    daemon("alice")
    with donp.Node(tmp_path / "bob", "bob", offline=True) as bob, pytest.raises(donp.DonpError) as own:
        WRONG[what](bob, stranger)
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, pytest.raises(donp.DonpError) as other:
        WRONG[what](alice, stranger)
    raised = [(type(e.value), e.value.retryable) for e in (own, other)]
    assert raised[0] == raised[1], (own.value, other.value)


async def test_events_of_a_daemon_in_an_event_loop(daemon: Daemon, tmp_path: Path) -> None:
    """Mutations: `close` wakes no wait; `__anext__` ends when nothing is there yet."""
    daemon("alice")
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, alice.events() as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        made = [alice.create_group(f"group {n}") for n in range(3)]
        found = [(await afind(events, donp.GroupChanged)).group for _ in made]
        assert found == made
        waiting = asyncio.ensure_future(anext(events))
        # It runs up to where it waits for the daemon.
        await asyncio.sleep(0)
        events.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, LONG)
        assert events.is_finished
        assert [event async for event in events] == []


def test_polling_a_daemon_gives_as_many_events_as_were_asked_for(daemon: Daemon, tmp_path: Path) -> None:
    """Mutation: `max` is left out."""
    daemon("alice")
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, alice.events() as events:
        made = [alice.create_group(f"group {n}") for n in range(5)]
        found: list[donp.GroupId] = []

        def all_came() -> bool:
            some = events.poll(1.0, max=2)
            assert len(some) <= 2
            found.extend(e.group for e in some if isinstance(e, donp.GroupChanged))
            return len(found) == 5

        until("all came", all_came)
        assert found == made
        assert events.take() == []
        assert not events.is_finished


def test_a_client_that_was_idle_asks_on_a_new_connection(tmp_path: Path) -> None:
    """The daemon closes a connection that asks for nothing for a minute. What is asked next is done, once.

    Mutation: `_call` does not look whether the connection is over.
    """
    asked: list[str] = []
    name = str(donp.identity_node_id(donp.generate_identity("alice")))

    def serve(server: socket.socket) -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection, connection.makefile("rw") as lines:
                request = json.loads(lines.readline())
                asked.append(request["method"])
                result = {"id": name, "name": "alice"}
                lines.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "sock"))
        server.listen()
        thread = threading.Thread(target=serve, args=[server])
        thread.start()
        with donp.Client(path=tmp_path / "sock") as alice:
            assert alice._line is not None
            until("the connection is closed", alice._line.is_over)
            alice.leave()
        thread.join()
    assert asked == ["whoami", "leave"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_client_in_a_forked_child_raises(daemon: Daemon, tmp_path: Path) -> None:
    """Mutations: `_here` allows any process; `close` in the child shuts the connection of its parent down."""
    daemon("alice")
    with donp.Client("alice", state_dir=tmp_path / "s") as alice, alice.events() as events:
        uses: list[Callable[[], object]] = [
            alice.status,
            lambda: alice.broadcast("x"),
            alice.events,
            events.poll,
            events.take,
            lambda: next(iter(events)),
        ]

        def check() -> None:
            for use in uses:
                with pytest.raises(donp.ClosedError, match="a fork has none"):
                    use()
            # The lock of another thread would be held for ever.
            alice._lock.acquire()
            alice.close()
            events.close()
            with donp.Client("alice", state_dir=tmp_path / "s") as own:
                assert own.id == alice.id

        in_a_fork(check)
        # Mutation: the parent reconnects; so its stream, which cannot, is asked too.
        line = alice._line
        group = alice.create_group("the parent's goes on")
        assert alice._line is line
        assert find(events, donp.GroupChanged).group == group
