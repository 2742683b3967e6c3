"""What can be wrong with an expression, before a run and during it.

Whoever writes `${usr.token}` must learn it from `squall validate`, with the place and the nearest valid name, not
from a failed request in the middle of a run. What cannot be known before (a key missing in a response) is told
with the path that was followed, never as a Python exception.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from squall.errors import ExitCode, SquallError

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExpressionError(SquallError):
    """An expression or template that cannot be compiled.

    Args:
        message: What is wrong.
        offset: Position in the text that was given to the compiler, in characters from 0.
        hint: What to write instead; empty when nothing better is known.
        path: Keys and indexes that lead to the string, when it stands inside a JSON tree.
    """

    exit_code = ExitCode.MANIFEST

    def __init__(
        self, message: str, offset: int = 0, hint: str = "", path: tuple[str | int, ...] = ()
    ) -> None:
        super().__init__(message, hint)
        self.offset = offset
        self.path = path

    def shifted(self, by: int) -> ExpressionError:
        """The same error, in a text in which the expression begins `by` characters later."""
        return ExpressionError(self.message, self.offset + by, self.hint, self.path)

    def below(self, key: str | int) -> ExpressionError:
        """The same error, seen from the mapping or list that holds its text under `key`."""
        return ExpressionError(self.message, self.offset, self.hint, (key, *self.path))


class EvaluationError(SquallError):
    """An expression that is right, but has no value for the data it met."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming what `name` may have been meant to be, or what there is; empty when there is nothing."""
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not options:
        return ""
    shown = ", ".join(options[:12]) + (", ..." if len(options) > 12 else "")
    return f"known here: {shown}"
