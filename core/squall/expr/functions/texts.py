"""Functions on text: k6 scripts' everyday string work, without methods of Python's objects."""

from __future__ import annotations

from typing import Any

from squall.expr.limits import MAX_TEXT, bounded_text, bounded_value, to_text, too_long, type_word
from squall.expr.regex import compile_pattern
from squall.expr.registry import function

MAX_MATCH_INPUT = 1 << 16
"""Longest text that `matches` searches, in characters, so that one check cannot hold up all VUs."""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"expected text, not {type_word(value)}")


@function("lower", "The text in lower case.", kind="str")
def _lower(text: str) -> str:
    return bounded_text(_text(text).lower())


@function("upper", "The text in upper case.", kind="str")
def _upper(text: str) -> str:
    return bounded_text(_text(text).upper())


@function("trim", "The text without white space at both ends.", kind="str")
def _trim(text: str) -> str:
    return bounded_text(_text(text).strip())


@function("split", "List of the parts of a text between separators.")
def _split(text: str, separator: str) -> list[str]:
    return bounded_value(_text(text).split(separator))  # type: ignore[no-any-return]


@function("join", "One text from the items of a list, with a separator between them.", kind="str")
def _join(items: list[Any], separator: str = "") -> str:
    if not isinstance(items, (list, tuple)):
        raise TypeError(f"expected a list, not {type_word(items)}")
    parts = [to_text(item) for item in items]
    if sum(map(len, parts)) + len(_text(separator)) * len(parts) > MAX_TEXT:
        raise too_long()
    return separator.join(parts)


@function("replace", "The text with every occurrence of `old` replaced by `new`.", kind="str")
def _replace(text: str, old: str, new: str) -> str:
    text, old, new = _text(text), _text(old), _text(new)
    if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise too_long()
    return text.replace(old, new)


@function("contains", "Whether a text holds a part, a list an item, or a mapping a key.")
def _contains(whole: Any, part: Any) -> bool:
    return part in whole


@function("startsWith", "Whether the text begins so.")
def _starts_with(text: str, start: str) -> bool:
    return _text(text).startswith(_text(start))


@function("endsWith", "Whether the text ends so.")
def _ends_with(text: str, end: str) -> bool:
    return _text(text).endswith(_text(end))


@function(
    "matches",
    "Whether a regular expression, written as a constant, is found anywhere in the text (64 Ki characters at most).",
    literal=("pattern",),
    check=compile_pattern,
    fold=False,  # the one function that may take long
)
def _matches(text: str, pattern: str) -> bool:
    if len(_text(text)) > MAX_MATCH_INPUT:
        raise ValueError(
            f"matches searches {MAX_MATCH_INPUT} characters at most, not {len(text)}; cut it first"
        )
    return compile_pattern(pattern).search(text) is not None
