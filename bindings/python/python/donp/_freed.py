"""Generated objects that are used after they were freed say so, instead of using memory that is not theirs.

The generated classes free their object in `__del__` and keep its handle. In a cycle that is collected every
finalizer runs before anything is taken apart, in no order that is promised: one that comes later, of an
application or of this package, could still call such an object. Without its handle that is an
`AttributeError`.
"""

from __future__ import annotations

from typing import Any

from ._ffi import donp_ffi as _ffi


def _frees_once(kind: Any) -> None:
    free = kind.__del__

    def __del__(self: Any) -> None:
        try:
            free(self)
        finally:
            vars(self).pop("_handle", None)

    kind.__del__ = __del__


for _kind in (_ffi.Engine, _ffi.EventStream, _ffi.Node):
    _frees_once(_kind)
