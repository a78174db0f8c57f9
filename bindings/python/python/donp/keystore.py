"""The platform's key store."""

from __future__ import annotations

from typing import Protocol

from ._ffi import donp_ffi as _ffi

__all__ = ["KeyStore"]


class KeyStore(Protocol):
    """Wraps the key of a profile with one that the platform guards: a keyring, a TPM, a vault.

    Any object with these two methods will do. They are called while a node is made, on the thread that
    makes it, and never again. Whatever they raise refuses the profile with `DeniedError`, whose text has
    the words of the exception.
    """

    def wrap_key(self, key: bytes) -> bytes:
        """Seals `key`, 32 bytes, so that only this device's user can have it back."""
        ...

    def unwrap_key(self, wrapped: bytes) -> bytes:
        """Opens what `wrap_key` gave."""
        ...


class _Adapter(_ffi.KeyStore):
    """The public key store as the generated code calls it."""

    def __init__(self, inner: KeyStore) -> None:
        self._inner = inner

    def wrap_key(self, key: bytes) -> bytes:
        return _bytes("wrap_key", self._inner.wrap_key, key)

    def unwrap_key(self, wrapped: bytes) -> bytes:
        return _bytes("unwrap_key", self._inner.unwrap_key, wrapped)


def _bytes(what: str, f: object, argument: bytes) -> bytes:
    assert callable(f)
    try:
        given = f(argument)
    except Exception as error:
        raise _ffi.KeyStoreError.Refused(f"{what}: {str(error) or type(error).__name__}") from error
    if not isinstance(given, bytes):
        raise _ffi.KeyStoreError.Refused(f"{what} gave {type(given).__name__}, not bytes")
    return given
