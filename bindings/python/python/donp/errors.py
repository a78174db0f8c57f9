"""What can go wrong.

Every error is a `DonpError`: its text says what was wrong, `hint` what to do about it, and `retryable`
whether the same call can succeed later unchanged. After an error nothing has changed, unless its class
says otherwise. The classes are stable; the words are for people and may change.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ._ffi import donp_ffi as _ffi

__all__ = [
    "AlreadyExistsError",
    "BusyError",
    "ClosedError",
    "DamagedError",
    "DeniedError",
    "DonpError",
    "InternalError",
    "InvalidInputError",
    "LockedError",
    "NetworkError",
    "NotFoundError",
    "NotRunningError",
    "StorageError",
    "TimeoutError",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DonpError(Exception):
    """What every error of this package is. `str(error)` is what was wrong, naming it."""

    hint: str
    """What to do about it."""

    retryable: bool
    """Whether the same call can succeed later without being changed."""

    def __init__(self, reason: str, hint: str = "", retryable: bool = False) -> None:
        """An error in words; the package raises the classes below."""
        # All three, so that a copy and a pickle are whole.
        super().__init__(reason, hint, retryable)
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        """What was wrong."""
        return str(self.args[0])


class InvalidInputError(DonpError, ValueError):
    """An argument is malformed, too long, too short or empty. Also a `ValueError`."""


class NotFoundError(DonpError):
    """There is no such node, message, event or profile."""


class AlreadyExistsError(DonpError):
    """There is one already."""


class DeniedError(DonpError):
    """The secret does not fit, or the invitation is for another network."""


class NotRunningError(DonpError):
    """The node was not started, is suspended, or has left the network."""


class BusyError(DonpError):
    """A queue is full. Wait for the event `Writable` and try again."""


class LockedError(DonpError):
    """Another process, or another node of this one, uses the profile."""


class TimeoutError(DonpError, builtins.TimeoutError):
    """No answer in time. Also the builtin `TimeoutError`."""


class NetworkError(DonpError):
    """An address cannot be listened on, or the system refuses a socket."""


class StorageError(DonpError):
    """The disk refuses. A message that was being sent is kept and stored as soon as that works."""


class DamagedError(DonpError):
    """What is stored is damaged or was written by a newer version."""


class ClosedError(DonpError):
    """The node was shut down."""


class InternalError(DonpError):
    """A bug: the object is dead, what was stored is safe, the process lives."""


_KINDS: dict[type[_ffi.DonpError], type[DonpError]] = {
    _ffi.DonpError.InvalidInput: InvalidInputError,
    _ffi.DonpError.NotFound: NotFoundError,
    _ffi.DonpError.AlreadyExists: AlreadyExistsError,
    _ffi.DonpError.Denied: DeniedError,
    _ffi.DonpError.NotRunning: NotRunningError,
    _ffi.DonpError.Busy: BusyError,
    _ffi.DonpError.Locked: LockedError,
    _ffi.DonpError.Timeout: TimeoutError,
    _ffi.DonpError.Network: NetworkError,
    _ffi.DonpError.Storage: StorageError,
    _ffi.DonpError.Damaged: DamagedError,
    _ffi.DonpError.Closed: ClosedError,
    _ffi.DonpError.Internal: InternalError,
}
# As the control socket of a daemon names them: `invalid_input`.
_NAMED: dict[str, type[DonpError]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__.removesuffix("Error")).lower(): kind
    for kind in _KINDS.values()
}

# What the generated code raises, and nothing that leaves this package.
_RAISED = (_ffi.DonpError, _ffi.InternalError)


def _public(error: Exception) -> DonpError:
    """The public error for one of the generated code: the only place that knows both."""
    kind = _KINDS.get(type(error))  # type: ignore[arg-type]
    if kind is None:
        # A panic outside of any object, or a kind of a newer library.
        return InternalError(str(error), "please report it, with what is on standard error")
    return kind(error.reason, error.hint, error.retryable)  # type: ignore[attr-defined]


def _call(f: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Calls generated code and raises public errors."""
    try:
        return f(*args, **kwargs)
    except _RAISED as error:
        raise _public(error) from None
