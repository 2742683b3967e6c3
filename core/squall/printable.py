"""Text for a terminal, whoever wrote it.

What a target answers, what a manifest names things, and what somebody has put into a report is shown to people in terminals that obey what they
are shown: escape sequences clear the screen, set the title, or write into the clipboard, and marks of direction turn a line round.

And a terminal or a pipeline may have an encoding that lacks what is shown. That must never end a command, least of all one that has run a load
test for an hour and is about to tell its verdict.
"""

from __future__ import annotations

import codecs
import io
import re
from typing import Final, TextIO

_OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""All control characters but tab and line break, and those that change the direction of text."""


def printable(text: str) -> str:
    """The text, with whatever a terminal would obey replaced by U+FFFD."""
    return _OBEYED.sub("\ufffd", text)


_PLAIN: Final = {
    "✓": "+", "✗": "x", "·": ".", "•": "*", "→": "->", "µ": "u", "≤": "<=", "…": "...",
    "─": "-", "━": "-", "╸": "-", "╺": "-", "│": "|", "┤": "|", "└": "+", "╵": "|", "█": "#",
}  # fmt: skip
"""What stands for Squall's own marks where they cannot be shown; `?` has a meaning beside a threshold."""


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in lacking), error.end


codecs.register_error("squall-plainer", _plainer)


def show_what_can_be_shown(stream: TextIO) -> None:
    """From now on, what the encoding of a stream lacks is written plainer, and is no error."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="squall-plainer")
