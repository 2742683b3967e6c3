"""Numbers with units, as thresholds write them: `500ms`, `1m30s`, `1%`, `10KiB`, `100/s`, `1.5x`."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ThresholdError(ValueError):
    """A threshold that means nothing, or nothing for its metric.

    Attributes:
        message: What is wrong.
        hint: What to write instead; may be empty.
        offset: Where in the text, from 0.
        field: The key of the manifest that is wrong: `expression`, `metric`, `relativeTo`, ...
    """

    def __init__(self, message: str, hint: str = "", offset: int = 0, field: str = "expression") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.offset = offset
        self.field = field


class Dimension(StrEnum):
    """What a quantity in an expression measures, told by its unit."""

    PLAIN = "a plain number"
    TIME = "a time"
    SIZE = "a size"
    SHARE = "a percentage"
    PER_TIME = "a number per time"
    SIZE_PER_TIME = "a size per time"
    MULTIPLE = "a multiple"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, in base units (seconds, bytes, a share of 1, per second)."""

    value: float
    dimension: Dimension


_NUMBER: Final = r"[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_QUANTITY: Final = re.compile(rf"(?P<sign>-?)(?P<number>{_NUMBER}|\.[0-9]+)\s*(?P<unit>[A-Za-zµ%/]*)")
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")

_TIMES: Final = {"ns": 1e9, "us": 1e6, "µs": 1e6, "ms": 1e3, "s": 1, "m": 1 / 60, "h": 1 / 3600}
"""Units per second: dividing keeps `500ms` at exactly 0.5."""
_SIZES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PERS: Final = {"/s": 1, "/m": 60, "/h": 3600}
_UNITS: Final = (*_TIMES, *_SIZES, *_PERS, "%", "x")


def quantity(text: str, offset: int = 0) -> Quantity:
    """Read a number with its unit.

    Raises:
        ThresholdError: It is none; `offset` is added to where.
    """
    if _DURATION.fullmatch(text):
        parts = _DURATION_PART.findall(text)
        return Quantity(sum(float(number) / _TIMES[unit] for number, unit in parts), Dimension.TIME)
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ThresholdError(f"{text!r} is no number", "write for example 500ms, 2s, 1% or 12500", offset)
    number, unit = float(found["sign"] + found["number"].replace("_", "")), found["unit"]
    known = _in_unit(number, unit)
    if known is None:
        close = difflib.get_close_matches(unit, _UNITS, 1, 0.5)
        hint = f"did you mean {close[0]}?" if close else f"units are {', '.join(_UNITS)}"
        raise ThresholdError(f"{unit!r} is no unit", hint, offset + found.start("unit"))
    return known


def _in_unit(number: float, unit: str) -> Quantity | None:
    amount, slash, time = unit.partition("/")
    if slash:
        return _per_time(number, amount, slash + time)
    if unit in _TIMES:
        return Quantity(number / _TIMES[unit], Dimension.TIME)
    if unit in _SIZES:
        return Quantity(number * _SIZES[unit], Dimension.SIZE)
    others = {
        "": Quantity(number, Dimension.PLAIN),
        "%": Quantity(number / 100, Dimension.SHARE),
        "x": Quantity(number, Dimension.MULTIPLE),
    }
    return others.get(unit)


def _per_time(number: float, amount: str, per: str) -> Quantity | None:
    if per not in _PERS or (amount and amount not in _SIZES):
        return None
    if amount:
        return Quantity(number * _SIZES[amount] / _PERS[per], Dimension.SIZE_PER_TIME)
    return Quantity(number / _PERS[per], Dimension.PER_TIME)
