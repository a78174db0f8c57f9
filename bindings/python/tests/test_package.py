"""The package as its users see it: its public face, its documents, its manners."""

from __future__ import annotations

import ast
import asyncio
import copy
import dataclasses
import doctest
import enum
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import threading
import time
import types
from datetime import datetime, timezone
from pathlib import Path
from typing import get_args

import donp
import pytest
from conftest import EXAMPLES, HERE, LONG, Make, Start, afind, line

PACKAGE = Path(donp.__file__).parent
PUBLIC = [getattr(donp, name) for name in donp.__all__]
MODULES = [m.name for m in pkgutil.iter_modules(donp.__path__, "donp.") if not m.name.startswith("donp._")]


def test_it_is_the_installed_package() -> None:
    assert "site-packages" in str(PACKAGE), f"tested is {PACKAGE}, not what users get"
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_ffi" / "donp_ffi.pyi").is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+", donp.version())
    assert sorted(donp.__all__, key=str.swapcase) == sorted(set(donp.__all__), key=str.swapcase)
    public = {n for n, v in vars(donp).items() if not n.startswith("_") and not inspect.ismodule(v)}
    assert public == set(donp.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_documentation_run(module: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(module))
    assert failed == 0


def test_there_are_examples_in_the_documentation() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    with_examples = {t.name for m in MODULES for t in finder.find(importlib.import_module(m)) if t.examples}
    assert {
        f"donp.{name}" for name in ("node.Node", "aio.AsyncNode", "engine.Engine", "events.Events", "bot.Bot")
    } <= with_examples


def members(thing: type) -> list[tuple[str, object]]:
    return [
        (name, value)
        for name, value in vars(thing).items()
        if not name.startswith("_") and not isinstance(value, types.MemberDescriptorType)
    ]


def test_every_public_item_is_documented() -> None:
    for name in donp.__all__:
        thing = getattr(donp, name)
        if not isinstance(thing, (type, types.FunctionType)):
            continue
        assert inspect.getdoc(thing), name
        if isinstance(thing, type):
            source = inspect.getsource(thing)
            for member, value in members(thing):
                if isinstance(value, (types.FunctionType, staticmethod, classmethod, property)):
                    assert inspect.getdoc(value), f"{name}.{member}"
            fields = [f.name for f in dataclasses.fields(thing)] if dataclasses.is_dataclass(thing) else []
            if issubclass(thing, enum.Enum):
                fields = [m.name for m in thing]
            for field in fields:
                assert re.search(rf'    {field}\b[^\n]*\n    """', source), f"{name}.{field} says nothing"


def test_the_documentation_names_every_public_item() -> None:
    docs = os.environ.get("DONP_DOCS")
    assert docs, "set DONP_DOCS to the folder that pdoc wrote; test.sh does"
    page = Path(docs, "donp.html").read_text(encoding="utf-8")
    for name in donp.__all__:
        assert f'id="{name}"' in page, f"{name} is not in the documentation"
        thing = getattr(donp, name)
        if isinstance(thing, type) and not issubclass(thing, (Exception, enum.Enum)):
            for member, _ in members(thing):
                assert f'id="{name}.{member}"' in page, f"{name}.{member} is not in the documentation"
    assert "_ffi" not in page


def test_no_two_modules_import_each_other() -> None:
    """Mutation: `_cli` imports `Bot`, also where only types are checked."""
    imports = {
        path.stem: {
            node.module
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
        }
        for path in PACKAGE.glob("*.py")
        if path.stem != "__init__"
    }
    assert sum(map(len, imports.values())) > 50
    circles = [(a, b) for a, names in imports.items() for b in names if a < b and a in imports.get(b, ())]
    assert not circles


def test_nothing_generated_shows() -> None:
    generated = importlib.import_module("donp._ffi.donp_ffi")
    for name, thing in zip(donp.__all__, PUBLIC, strict=True):
        parts = get_args(thing) or (thing,)
        for part in parts:
            module = getattr(part, "__module__", "donp")
            assert module.startswith("donp."), name
            assert "_ffi" not in module, name
            if isinstance(part, type):
                bases = {base.__module__ for base in part.__mro__}
                assert generated.__name__ not in bases, name
                for member, value in members(part):
                    call = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
                    if isinstance(call, types.FunctionType):
                        assert "_ffi" not in str(inspect.signature(call)), f"{name}.{member}"


def test_both_nodes_have_the_same_calls() -> None:
    calls = {name: value for name, value in members(donp.Node)}
    others = {name: value for name, value in members(donp.AsyncNode)}
    assert set(calls) - {"close"} == set(others) - {"open", "sync", "aclose"}
    for name in set(calls) & set(others):
        a, b = calls[name], others[name]
        if isinstance(a, types.FunctionType):
            assert isinstance(b, types.FunctionType)
            assert list(inspect.signature(a).parameters.values()) == list(
                inspect.signature(b).parameters.values()
            ), name
            assert inspect.iscoroutinefunction(b) is (name != "events"), name
    init = [inspect.signature(node.__init__).parameters for node in (donp.Node, donp.AsyncNode)]
    assert list(init[0].values()) == list(init[1].values())


def test_values_are_values() -> None:
    id = donp.identity_node_id(donp.generate_identity("x"))
    private = donp.Private(id)
    assert private == donp.Private(copy.deepcopy(id))
    assert donp.Network() == donp.NETWORK
    assert len({private, donp.NETWORK}) == 2
    assert {private: 1}[donp.Private(id)] == 1
    assert copy.copy(donp.NETWORK) == donp.NETWORK
    with pytest.raises(dataclasses.FrozenInstanceError):
        private.peer = id  # type: ignore[misc]
    for kind in get_args(donp.Event):
        assert hasattr(kind, "seq"), kind
    said = donp.MessageId(str(donp.Engine(donp.generate_identity("y"), in_memory=True).broadcast(0, "x")))
    message = donp.Message(
        said, donp.NETWORK, id, "00" * 8, 1, 1, None, 1_790_000_000_123, donp.React(said, "+1"), None, False
    )
    assert message.text == "+1"
    assert message.sent_at == datetime(2026, 9, 21, 14, 13, 20, 123_000, timezone.utc)
    assert dataclasses.replace(message, sent_at_ms=2**64 - 1).sent_at.year == 9999
    assert dataclasses.replace(message, content=donp.Retract(said)).text == ""
    assert dataclasses.replace(message, edited="better").text == "better"
    assert dataclasses.replace(message, edited="better", retracted=True).text == ""


def test_wrong_types_are_refused_by_name(nodes: Make) -> None:
    node = nodes("n")
    with pytest.raises(TypeError, match="NodeId"):
        node.send(str(node.id), "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="MessageId"):
        node.is_queued(node.id)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="str or a Content"):
        node.broadcast(b"x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="NETWORK, Private"):
        node.history(node.id)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="invitation"):
        node.join(node.id)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        node.broadcast(donp.Text(5))  # type: ignore[arg-type]
    node.ack(None)
    assert donp.Node(None, "m", listen=["127.0.0.1:0"]).local_addresses[0].startswith("127.0.0.1:")


async def test_the_event_loop_is_not_held_up(tmp_path: Path) -> None:
    """Calls that store run elsewhere: while one is under way, the loop goes on."""
    loop_thread = threading.get_ident()
    seen: set[int] = set()

    class Watching(donp.Node):
        pass

    for name, value in members(donp.Node):
        if isinstance(value, types.FunctionType) and name not in ("events",):

            def watched(self: donp.Node, *args: object, _value: types.FunctionType = value) -> object:
                seen.add(threading.get_ident())
                return _value(self, *args)

            setattr(Watching, name, watched)
    node = donp.AsyncNode(tmp_path, "a", listen="127.0.0.1:0")
    with pytest.raises(donp.NotRunningError):
        _ = node.id
    await node.open()
    assert await node.open() is node
    node.sync.__class__ = Watching
    async with node:
        said = await node.broadcast("x")
        (message,) = (await node.history(donp.NETWORK)).messages
        assert message.id == said
        await node.reply(message, "y")
        await node.status()
        await node.peers()
        await node.search(donp.NETWORK, "x")
        await node.ack(None)
        await node.suspend()
        await node.resume()
        await node.network_changed()
        await node.leave()
    assert seen, "the calls were watched"
    assert loop_thread not in seen


def test_ctrl_c_ends_a_blocking_wait(start: Start, tmp_path: Path) -> None:
    program = tmp_path / "wait.py"
    program.write_text(
        "import donp, sys\n"
        "with donp.Node(name='a', listen='127.0.0.1:0') as node:\n"
        "    events = node.events()\n"
        "    print('up', flush=True)\n"
        "    try:\n"
        "        for event in events: pass\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', flush=True)\n"
        "    try:\n"
        "        while True: events.poll(timeout=1e6)\n"
        "    except KeyboardInterrupt:\n"
        "        print('again', flush=True)\n"
    )
    process = start(program)
    assert line(process.stdout) == "up"
    for said in ("interrupted", "again"):
        time.sleep(0.3)
        process.send_signal(2)
        assert line(process.stdout) == said
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == 0, err


def test_a_stream_in_a_cycle_is_given_up(start: Start, tmp_path: Path) -> None:
    """A wait that was given up, and everything that knows it, is collected at once: in any order."""
    program = tmp_path / "cycle.py"
    program.write_text(
        "import asyncio, gc, donp\n"
        "from donp._ffi import donp_ffi\n"
        "node = donp.Node(name='a', listen='127.0.0.1:0').start()\n"
        "def give_up(cancel):\n"
        "    loop, events = asyncio.new_event_loop(), node.events()\n"
        "    async def wait():\n"
        "        task = asyncio.ensure_future(anext(events))\n"
        "        await asyncio.wait((task,), timeout=0.001)\n"
        "        if cancel:\n"
        "            task.cancel()\n"
        "            await asyncio.wait((task,))\n"
        "    loop.run_until_complete(wait())\n"
        "    events.itself, events.loop = events, loop\n"
        "for n in range(20):\n"
        "    give_up(True)\n"
        "gc.collect()\n"
        "print('waits:', len(donp_ffi._UniffiContinuationHandleMap), flush=True)\n"
        "for n in range(20):\n"
        "    give_up(False)\n"
    )
    process = start(program)
    out, err = process.communicate(timeout=LONG)
    assert (out, process.returncode) == ("waits: 0\n", 0), err


def test_what_was_freed_is_not_used(nodes: Make) -> None:
    node = nodes("a")
    stream = node.events()._raw
    engine = donp.Engine(donp.generate_identity("e"), in_memory=True)._raw
    # As in a cycle whose finalizers ran, and one of the application's comes after.
    for _ in range(2):
        stream.__del__()
        engine.__del__()
        with pytest.raises(AttributeError):
            stream.take(1)
        with pytest.raises(AttributeError):
            engine.status()


async def test_a_stream_belongs_to_any_loop(nodes: Make) -> None:
    """One stream, waited for in one event loop after the other and in a thread."""
    node = nodes("a", started=False)
    events = node.events()
    node.start()
    await afind(events, donp.StateChanged, lambda e: e.after is donp.NodeState.ACTIVE)

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(events), 0.01)

    await give_up()
    await asyncio.to_thread(lambda: asyncio.run(give_up()))
    await give_up()
    node.leave()
    await afind(events, donp.StateChanged)
    with events:
        pass
    assert await asyncio.to_thread(list, events) == events.take()


def test_the_stub_is_that_of_the_generated_module() -> None:
    here = HERE.parent
    module = PACKAGE / "_ffi" / "donp_ffi.py"
    made = subprocess.run(
        [sys.executable, str(here / "tools" / "make_stub.py"), str(module)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == (here / "python" / "donp" / "_ffi" / "donp_ffi.pyi").read_text()


def test_the_readme_is_true() -> None:
    readme = (HERE.parent / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert len(blocks) >= 4
    echo = (EXAMPLES / "echo.py").read_text()
    assert blocks[0] == echo.split('"""\n\n', 1)[1], "the bot of the README is the example"
    names = set()
    for block in blocks:
        compile(block, "README.md", "exec")
        names |= set(re.findall(r"\bdonp\.([A-Za-z_]+)", block))
    assert names <= set(donp.__all__)
    for example in EXAMPLES.glob("*.py"):
        assert f"`{example.name}`" in readme, f"the README does not name {example.name}"


def test_published_traps_are_avoided() -> None:
    """What hurt others, where no other test would notice."""
    pyproject = (HERE.parent / "pyproject.toml").read_text()
    assert not re.search(r"^strip\b", pyproject, flags=re.MULTILINE), "the generator needs the symbol table"
    library = (PACKAGE / "_ffi" / "libdonp_ffi.so").read_bytes()
    assert b".symtab" not in library[-8_192:], "strip-wheel.sh was not run on what is installed"
    assert len(library) < 6 << 20
    python = [p.read_text() for p in PACKAGE.glob("*.py")]
    assert not any("uniffi_set_event_loop" in text for text in python), "no event loop is set by hand"
