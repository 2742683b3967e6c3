"""A YAML parser's complaint, in the words of somebody who wants to help.

"mapping values are not allowed in this context" is true and useless. The parser's place is kept; what it says
is replaced by what nearly always causes it and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yaml.reader import ReaderError

from squall.spec.problems import Problem

if TYPE_CHECKING:
    from yaml import YAMLError
    from yaml.error import Mark

# What the parser says (libyaml's and PyYAML's wording share these) -> what it means, what to do.
_EXPLANATIONS: tuple[tuple[str, str, str], ...] = (
    (
        "mapping values are not allowed",
        'a ": " stands where none can',
        "check the indentation, a missing space after a colon in the line above, or quote a value that holds a colon",
    ),
    ("expected ':'", "a colon is missing after a key", "write key: value, with a space after the colon"),
    ("',' or ']'", "a list in [ ] is not closed, or a comma is missing", "close it with ]"),
    ("',' or '}'", "a mapping in { } is not closed, or a comma is missing", "close it with }"),
    (
        "'-' indicator",
        "a list ends here, but what follows is no item of it",
        'begin items with "- ", or indent this line like the key that the list belongs to',
    ),
    (
        "block sequence entries are not allowed",
        'a list item ("- ") cannot stand here',
        "begin the list in a line of its own, indented below its key",
    ),
    (
        "expected key",
        "this line does not fit in with the lines above",
        "indent it like the keys it belongs with",
    ),
    (
        "<block end>",
        "this line does not fit in with the lines above",
        "indent it like the keys it belongs with",
    ),
    (
        "end of stream",
        "a quotation mark is not closed",
        "close it, or double it where it is part of the text",
    ),
    (
        "unknown escape character",
        "a backslash in double quotes begins an unknown escape",
        "use single quotes, in which a backslash is only a backslash",
    ),
    ("node content", "a value is missing or something is not closed", "check brackets and braces"),
)

# Something is open: where it was opened helps, where the text ended does not.
_UNCLOSED = ("end of stream", "',' or ']'", "',' or '}'")


def syntax_problem(error: YAMLError, text: str, file: str) -> Problem:
    """The parser's error as a problem with line, column and a hint."""
    if isinstance(error, ReaderError):
        return _unreadable(error, text, file)
    said = str(getattr(error, "problem", "") or error)
    mark: Mark | None = getattr(error, "problem_mark", None)
    if mark is None or any(fragment in said for fragment in _UNCLOSED):
        mark = getattr(error, "context_mark", None) or mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    message, hint = _explain(said, _character(text, line, column))
    return Problem(file, line, column, "", f"not valid YAML: {message}", hint)


def _explain(said: str, character: str) -> tuple[str, str]:
    if "cannot start any token" in said:
        if character == "\t":
            return "a tab is used for indentation", "YAML indents with spaces only; replace the tab"
        return f"a value cannot begin with {character}", f'put it in quotes: "{character}..."'
    for fragment, message, hint in _EXPLANATIONS:
        if fragment in said:
            return message, hint
    return said, "check indentation, colons, quotation marks and brackets around here"


def _character(text: str, line: int, column: int) -> str:
    lines = text.split("\n")
    if line > len(lines) or column > len(lines[line - 1]):
        return ""
    return lines[line - 1][column - 1]


def _unreadable(error: ReaderError, text: str, file: str) -> Problem:
    # libyaml counts this position in bytes, PyYAML in characters; the character itself is searched instead.
    code = error.character if isinstance(error.character, int) else ord(error.character)
    before = text[: max(text.find(chr(code)), 0)]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return Problem(
        file,
        line,
        column,
        "",
        f"not valid YAML: the control character U+{code:04X} cannot stand in a manifest",
        r'remove it, or write it in double quotes as "\x' + f'{code:02x}"',
    )
