"""A terminal that may go away, and that must not be told what to do by what is shown.

Somebody closes the window, or pipes the output into `head`: the run, its verdict and its results folder must not
suffer. So all output of a run goes through a stream that, once nobody reads it any more, swallows the rest.
"""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, TextIO, cast

from rich.console import Console
from rich.segment import Segment

from squall.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType


class SafeConsole(Console):
    """A console on which whatever is printed, also what is renewed in place, is text and no order to the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's, without what terminals obey; what rich itself tells the terminal stays."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class LastingStream(io.TextIOBase):
    """A text stream that outlives its reader.

    Args:
        stream: Where the text goes, such as `sys.stdout`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # TextIOBase declares it as an attribute
        """The underlying stream's."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The underlying descriptor."""
        return self._stream.fileno()

    def write(self, text: str, /) -> int:
        """Write, or swallow."""
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Flush, or swallow."""
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """Let everything that is still buffered, here or in the interpreter, go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self._stream.fileno())
        finally:
            os.close(nowhere)


def terminal(stream: TextIO) -> Console:
    """A console that never fails because its reader has gone."""
    lasting = LastingStream(stream)
    return SafeConsole(
        file=cast("IO[str]", lasting), width=None if lasting.isatty() else 110, highlight=False
    )
