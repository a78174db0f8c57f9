"""The command line that every bot has."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from . import errors
from .aio import AsyncNode
from .ids import version
from .node import Node
from .status import Lan

# As `donp --help` has them.
_CODES: dict[type[errors.DonpError], int] = {
    errors.NetworkError: 3,
    errors.TimeoutError: 3,
    errors.DeniedError: 5,
    errors.BusyError: 5,
    errors.LockedError: 6,
    errors.StorageError: 6,
    errors.DamagedError: 6,
    errors.InternalError: 70,
}


class _Program(Protocol):
    """What is run: a bot."""

    name: str

    async def serve(
        self,
        state_dir: str | os.PathLike[str] | None = None,
        *,
        join: Iterable[str] = (),
        listen: Iterable[str] | str = (),
        passphrase: str | None = None,
        lan: Lan = Lan.OFF,
        on_start: Callable[[AsyncNode], Awaitable[None]] | None = None,
        signals: bool = False,
    ) -> None: ...


def main(bot: _Program, argv: Sequence[str] | None) -> int:
    """Does what the command line says; the exit code."""
    args = _parser(bot.name).parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=args.log.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    say = _Say(args.json)
    verbs: dict[str, Callable[[_Program, argparse.Namespace, _Say], None]] = {
        "init": _init,
        "serve": _serve,
        "invite": _invite,
    }
    try:
        verbs[args.verb](bot, args, say)
    except KeyboardInterrupt:
        return 130
    except errors.DonpError as error:
        say.error(error)
        return _CODES.get(type(error), 1)
    except OSError as error:
        say.error(errors.StorageError(str(error), "look at the disk and the folder's permissions"))
        return 6
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--profile",
        metavar="DIR",
        type=Path,
        default=Path(name),
        help="the bot's folder [default: %(default)s]",
    )
    common.add_argument("--json", action="store_true", help="one JSON object per line on stdout")
    common.add_argument(
        "--log",
        metavar="LEVEL",
        default="warning",
        type=str.lower,
        choices=("debug", "info", "warning", "error"),
        help="log level on stderr: debug, info, warning or error [default: %(default)s]",
    )
    common.add_argument(
        "--passphrase-file",
        metavar="FILE",
        type=Path,
        help="read the profile's passphrase from the first line of a file (or set DONP_PASSPHRASE)",
    )
    parser = argparse.ArgumentParser(description=f"The bot {name}.")
    parser.add_argument("--version", action="version", version=f"donp {version()}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    verbs.add_parser("init", parents=[common], help="make the profile: a new identity")
    serve = verbs.add_parser("serve", parents=[common], help="answer until SIGINT or SIGTERM")
    serve.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        action="append",
        default=[],
        help="address to listen on, may be repeated [default: any port of IPv4 and IPv6]",
    )
    serve.add_argument(
        "--join",
        metavar="PLACE",
        action="append",
        default=[],
        help="an invitation, host:port or host:port/NODE_ID to enter the network through, may be repeated",
    )
    serve.add_argument(
        "--lan",
        default=Lan.OFF.value,
        choices=[lan.value for lan in Lan],
        help="find nodes on the local network by multicast, and be found: %(choices)s [default: %(default)s]",
    )
    verbs.add_parser("invite", parents=[common], help="print the invitation of the bot that is serving")
    return parser


class _Say:
    """Data on stdout, as lines for people or as JSON; everything else on stderr."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json

    def __call__(self, event: str, text: str, **fields: Any) -> None:
        line = json.dumps({"v": 1, "type": event, **fields}) if self._json else text
        print(line, flush=True)

    def error(self, error: errors.DonpError) -> None:
        print(f"error: {error}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr, flush=True)
        if self._json:
            kind = type(error).__name__.removesuffix("Error")
            self("error", "", kind=kind, reason=str(error), hint=error.hint, retryable=error.retryable)


def _passphrase(args: argparse.Namespace) -> str | None:
    if args.passphrase_file is not None:
        with open(args.passphrase_file, encoding="utf-8") as file:
            # As `donp` and OpenSSH do with their keys.
            of = os.fstat(file.fileno())
            if hasattr(os, "geteuid") and (
                of.st_mode & 0o022 or (of.st_uid == os.geteuid() and of.st_mode & 0o044)
            ):
                raise errors.StorageError(
                    f"passphrase file {args.passphrase_file}: others can read or write it",
                    "run chmod 600 on it",
                )
            return file.readline().rstrip("\r\n")
    return os.environ.get("DONP_PASSPHRASE")


def _invitation_file(args: argparse.Namespace) -> Path:
    profile: Path = args.profile
    return profile / "invitation"


def _init(bot: _Program, args: argparse.Namespace, say: _Say) -> None:
    if (args.profile / "node.db").exists():
        raise errors.AlreadyExistsError(
            f"there is a profile in {args.profile} already", "use it, or another folder"
        )
    node = Node(args.profile, bot.name, passphrase=_passphrase(args), bot=True, offline=True)
    say("init", f"{bot.name} is node {node.id}", id=str(node.id), name=node.name, profile=str(args.profile))
    node.shutdown()


def _serve(bot: _Program, args: argparse.Namespace, say: _Say) -> None:
    with contextlib.ExitStack() as stack:

        async def started(node: AsyncNode) -> None:
            invitation = await node.invite()
            stack.enter_context(_published(_invitation_file(args), invitation))
            where = ", ".join(node.local_addresses)
            say(
                "serving",
                f"{node.name} is node {node.id}, listening on {where}\ninvitation: {invitation}",
                id=str(node.id),
                name=node.name,
                listen=list(node.local_addresses),
                invitation=invitation,
            )

        asyncio.run(
            bot.serve(
                args.profile,
                join=args.join,
                listen=args.listen,
                lan=Lan(args.lan),
                passphrase=_passphrase(args),
                on_start=started,
                signals=True,
            )
        )
    say("stopped", f"{bot.name} stopped")


def _invite(bot: _Program, args: argparse.Namespace, say: _Say) -> None:
    try:
        Node(args.profile, offline=True).shutdown()
    except errors.LockedError:
        # Another process has it open: the bot that serves, if it got as far as writing its invitation.
        with contextlib.suppress(FileNotFoundError):
            invitation = _invitation_file(args).read_text(encoding="utf-8").strip()
            return say("invitation", invitation, invitation=invitation)
    except errors.DeniedError:
        # No process has it open, and this asked without its passphrase.
        pass
    raise errors.NotRunningError(
        f"no bot serves the profile in {args.profile}",
        "start it with serve: an invitation names its addresses",
    )


@contextlib.contextmanager
def _published(path: Path, text: str) -> Iterator[None]:
    """Keeps the invitation beside the profile while the bot serves, readable by its owner only."""
    new = path.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    new.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
