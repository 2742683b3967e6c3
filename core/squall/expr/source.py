"""From the text a user writes to text that Python's parser understands, with every position kept.

Two things in Squall's expressions are no Python: literals with units (`2s`, `10KiB`, `50%`) and line breaks. Both
are rewritten here, outside of string literals only, and errors found later in the rewritten text are mapped back to
the place in the original.
"""

from __future__ import annotations

import bisect
import math
import re
from dataclasses import dataclass

from squall.expr.errors import ExpressionError

MAX_SOURCE = 4096
"""Longest expression, in characters."""
MAX_DEPTH = 60
"""Deepest nesting of brackets."""

_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400,
    "B": 1, "KB": 1000, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
}  # fmt: skip
_NUMBER = re.compile(r"0[xXoObB][0-9a-fA-F_]+|(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_TIME = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+(?!\w)")
_SIZE = re.compile(r"\d+(?:\.\d+)?(?:[KMG]i?B|kB|B)(?!\w)")
_PART = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Zµ]+)")
_WORD = re.compile(r"\w+")
_AFTER_PERCENT = re.compile(r"\s*(?:$|[)\]},:<>=!+\-*/|&^]|(?:and|or|not|if|else|in)\b)")
_CLOSING = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Source:
    """An expression as Python's parser will read it.

    Attributes:
        text: The rewritten text, one line.
        starts: Positions in `text` from which on a shift holds, ascending.
        shifts: For each start, what to subtract to come back to the original text.
    """

    text: str
    starts: tuple[int, ...]
    shifts: tuple[int, ...]

    def original(self, offset: int) -> int:
        """The place in the original text that stands at `offset` of the rewritten one."""
        index = bisect.bisect_right(self.starts, offset) - 1
        return offset - self.shifts[index] if index >= 0 else offset


def prepare(text: str) -> Source:
    """Rewrite literals with units and line breaks.

    Raises:
        ExpressionError: For text that is too long, too deeply nested, unbalanced, or holds an open string.
    """
    if len(text) > MAX_SOURCE:
        raise ExpressionError(f"the expression is longer than {MAX_SOURCE} characters")
    out: list[str] = []
    starts: list[int] = []
    shifts: list[int] = []
    written = 0
    at = 0
    brackets: list[str] = []
    while at < len(text):
        end, piece = _token(text, at)
        _nest(brackets, piece, at)
        out.append(piece)
        written += len(piece)
        if len(piece) != end - at:
            starts.append(written)
            shifts.append(written - end)
        at = end
    if brackets:
        raise ExpressionError(f"{brackets[-1]!r} is never closed", len(text))
    return Source("".join(out), tuple(starts), tuple(shifts))


def _nest(brackets: list[str], piece: str, at: int) -> None:
    if piece in ("(", "[", "{"):
        brackets.append(piece)
        if len(brackets) > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH} levels", at)
    elif piece in _CLOSING and (not brackets or brackets.pop() != _CLOSING[piece]):
        raise ExpressionError(f"{piece!r} closes nothing", at)


def _token(text: str, at: int) -> tuple[int, str]:
    """The end of the token that begins at `at`, and what to write for it."""
    char = text[at]
    if char in "'\"":
        end = string_end(text, at)
        return end, text[at:end]
    if char.isdigit() or (char == "." and text[at + 1 : at + 2].isdigit()):
        return _literal(text, at)
    if char in "\r\n\t":
        return at + 1, " "
    word = _WORD.match(text, at)
    if word:
        return word.end(), word.group()
    if char == "#":
        raise ExpressionError("'#' has no meaning in an expression", at)
    if char == "\\" or not char.isprintable():
        raise ExpressionError(f"{char!r} has no meaning outside of a quoted text", at)
    return at + 1, char


def _literal(text: str, at: int) -> tuple[int, str]:
    """A number, with a unit or without, that begins at `at`."""
    quantity = _TIME.match(text, at) or _SIZE.match(text, at)
    if quantity:
        value = sum((_scaled(number, unit) for number, unit in _PART.findall(quantity.group())), 0.0)
        return quantity.end(), _written(value, at)
    number = _NUMBER.match(text, at)
    if not number:
        raise ExpressionError(f"{text[at]!r} is no digit that can be used", at)
    end = number.end()
    if text[end : end + 1] == "%" and _AFTER_PERCENT.match(text, end + 1):
        if number.group()[:2].lower() in ("0x", "0o", "0b"):
            raise ExpressionError("only decimal numbers can be percentages", at)
        return end + 1, _written(float(number.group()) / 100, at)
    tail = _WORD.match(text, end)
    if tail and tail.group() not in ("if", "else", "and", "or", "in", "not", "is"):
        units = ", ".join(_UNITS)
        raise ExpressionError(f"{tail.group()!r} is no unit", end, f"units: {units}, %")
    return end, number.group()


def _written(value: float, at: int) -> str:
    """`value` as Python's source has it, whole numbers as integers."""
    if not math.isfinite(value):
        raise ExpressionError("the number is too large", at)
    return repr(int(value) if value.is_integer() and value < 2**53 else value)


def _scaled(number: str, unit: str) -> float:
    """`number` in base units; dividing keeps 500ms exactly 0.5 where multiplying by 1e-3 may not."""
    factor = _UNITS[unit]
    return float(number) * factor if factor >= 1 else float(number) / round(1 / factor)


def string_end(text: str, at: int) -> int:
    """The position behind the quoted text that begins at `at`.

    Raises:
        ExpressionError: When it is never closed.
    """
    quote = text[at]
    mark = quote * 3 if text.startswith(quote * 3, at) else quote
    position = at + len(mark)
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text.startswith(mark, position):
            return position + len(mark)
        elif text[position] in "\r\n" and len(mark) == 1:
            break
        else:
            position += 1
    raise ExpressionError("the quoted text is never closed", at, f"add {mark}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a template: literal text, or the inside of one `${...}`.

    Attributes:
        text: The literal text, or the expression.
        offset: Where `text` begins in the template.
        dynamic: Whether `text` is an expression.
    """

    text: str
    offset: int
    dynamic: bool


def split_template(text: str) -> list[Segment]:
    """Cut a template into literals and expressions; `$${` stands for a literal `${`.

    Raises:
        ExpressionError: For `${` without its `}`, and for an empty `${}`.
    """
    segments: list[Segment] = []
    literal: list[str] = []
    begin = at = 0
    while (dollar := text.find("$", at)) >= 0:
        if text.startswith("$${", dollar):
            literal.append(text[at:dollar] + "${")
            at = dollar + 3
        elif text.startswith("${", dollar):
            literal.append(text[at:dollar])
            end = _expression_end(text, dollar)
            if any(literal):
                segments.append(Segment("".join(literal), begin, dynamic=False))
            segments.append(Segment(text[dollar + 2 : end], dollar + 2, dynamic=True))
            literal = []
            begin = at = end + 1
        else:
            literal.append(text[at : dollar + 1])
            at = dollar + 1
    literal.append(text[at:])
    if any(literal):
        segments.append(Segment("".join(literal), begin, dynamic=False))
    return segments


def _expression_end(text: str, dollar: int) -> int:
    """The position of the `}` that belongs to the `${` at `dollar`."""
    depth = 0
    at = dollar + 2
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = string_end(text, at)
            continue
        if char == "{":
            depth += 1
        elif char == "}":
            if depth == 0:
                if not text[dollar + 2 : at].strip():
                    raise ExpressionError("${} is empty", dollar, "write $${ for a literal ${")
                return at
            depth -= 1
        at += 1
    raise ExpressionError("'${' is never closed by '}'", dollar, "write $${ for a literal ${")
