"""What strangers have nested too deeply is an error, and never the end of the process.

Decoders count how deep they are by Python's recursion limit. A package that a user's `python` step imports may raise
that a hundredfold at any time; then the stack of the process is at its end before the count is, and a few kilobytes of
brackets from a target end the runner. So the limit that Python itself comes with holds while such data is decoded.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_In = TypeVar("_In")
_Out = TypeVar("_Out")

_LIMIT: Final = 1000
"""What Python begins with: no data that people write comes near it, and any thread's stack has room for it."""


def bounded(decode: Callable[[_In], _Out]) -> Callable[[_In], _Out]:
    """The same decoder, which raises msgspec.DecodeError also for what is nested too deeply."""

    def decode_within(data: _In) -> _Out:
        limit = sys.getrecursionlimit()
        try:
            if limit <= _LIMIT:
                return decode(data)
            sys.setrecursionlimit(_LIMIT)
            try:
                return decode(data)
            finally:
                sys.setrecursionlimit(limit)
        except RecursionError:
            raise msgspec.DecodeError("it is nested too deeply") from None

    return decode_within
