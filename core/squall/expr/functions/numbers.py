"""Functions on numbers and on values of any kind.

Python's own are not exposed: `round(x, -10**9)` and `int(text)` of any length would stop the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from squall.expr.limits import bounded_int, to_text, type_word
from squall.expr.registry import function

_MAX_DIGITS = 1300
_SENTINEL = object()


@function("len", "Number of characters of a text, items of a list or members of a mapping.", kind="int")
def _len(value: Any) -> int:
    return len(value)


@function(
    "int", "Whole number from a number (cut towards zero) or a text, in base 10 or another.", kind="int"
)
def _int(value: Any, base: int = 10) -> int:
    if isinstance(value, str):
        if len(value) > _MAX_DIGITS:
            raise ValueError(f"a text of {len(value)} characters is no number")
        return bounded_int(int(value, base))
    return bounded_int(int(value))


@function("float", "Number from a number or a text.")
def _float(value: Any) -> float:
    return float(value)


@function("str", "Text of a value, as a template would show it.", kind="str")
def _str(value: Any) -> str:
    return to_text(value)


@function("bool", "False for null, 0, empty text, list and mapping; true for all else.")
def _bool(value: Any) -> bool:
    return bool(value)


@function("abs", "A number without its sign.")
def _abs(number: float) -> float:
    return abs(number)


@function("min", "Smallest of its arguments, or of one list.")
def _min(*values: Any) -> Any:
    return min(_items(values))


@function("max", "Largest of its arguments, or of one list.")
def _max(*values: Any) -> Any:
    return max(_items(values))


@function("sum", "Sum of a list of numbers.")
def _sum(numbers: list[Any]) -> Any:
    if not all(isinstance(number, (int, float)) for number in numbers):
        raise TypeError("only numbers can be summed")
    total = sum(numbers)
    return bounded_int(total) if isinstance(total, int) else total


def _items(values: tuple[Any, ...]) -> Any:
    if len(values) == 1:
        if not isinstance(values[0], (list, tuple)):
            raise TypeError(f"expected a list or several values, not one {type_word(values[0])}")
        return values[0]
    return values


@function("round", "A number rounded to so many digits behind the point; to a whole number without `digits`.")
def _round(number: float, digits: int | None = None) -> float:
    if digits is not None and not -20 <= digits <= 20:
        raise ValueError("digits must lie between -20 and 20")
    return round(number, digits)


@function(
    "get", "Member of a mapping by key or dotted path, or `default` when a part of the path is missing."
)
def _get(value: Any, path: str, default: Any = None) -> Any:
    for key in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(key, _SENTINEL)
        elif isinstance(value, (list, tuple)) and key.isdecimal() and int(key[:9]) < len(value):
            value = value[int(key[:9])]
        else:
            return default
        if value is _SENTINEL:
            return default
    return value
