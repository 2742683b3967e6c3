"""Text for a terminal, whoever wrote it.

What a target answers, what a manifest names things, and what somebody has put into a report is shown to people in terminals that obey what they
are shown: escape sequences clear the screen, set the title, or write into the clipboard, and marks of direction turn a line round.
"""

from __future__ import annotations

import re
from typing import Final

_OBEYED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""All control characters but tab and line break, and those that change the direction of text."""


def printable(text: str) -> str:
    """The text, with whatever a terminal would obey replaced by U+FFFD."""
    return _OBEYED.sub("\ufffd", text)
