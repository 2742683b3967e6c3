"""JSONPath queries of `extract`, checked where the library that evaluates them is installed.

It belongs to the runner; an operator or a hub without it still refuses what cannot be a query at all.
"""

from __future__ import annotations

import importlib.util
import re
from typing import Final

_PLAIN: Final = re.compile(r"\$(\.[A-Za-z_][A-Za-z0-9_]*|\[[0-9]+\])+")
"""Paths of names and indexes need no library to be known as right, and loading it takes longer than all other checks."""


def jsonpath_problem(query: str) -> tuple[str, str] | None:
    """Message and hint when the text is not a JSONPath (RFC 9535); None when it is."""
    hint = "write for example $.token, or $.items[0].id"
    if not query.startswith("$"):
        return f'"{query}" is not a JSONPath: it begins with $', hint
    if _PLAIN.fullmatch(query) or importlib.util.find_spec("jsonpath") is None:
        return None
    import jsonpath  # noqa: PLC0415 - only installed with the runner

    try:
        jsonpath.compile(query)
    except Exception as error:  # noqa: BLE001 - its errors share no base that is stable over versions
        said = str(error).partition("\n")[0]  # what follows is the query once more, with a mark below it
        return f'"{query}" is not a JSONPath: {said}', hint
    return None
