"""Random values, all drawn from the VU's own generator: the same seed gives the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.expr.limits import MAX_TEXT, too_long
from squall.expr.registry import function
from squall.expr.scope import RNG

if TYPE_CHECKING:
    from random import Random

_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FAST_SPAN = 1 << 32


@function("random.int", "Whole number from low to high, both included.", kind="int", context=RNG)
def _random_int(rng: Random, low: int, high: int) -> int:
    span = high - low + 1
    if type(span) is not int:
        raise TypeError("random.int takes whole numbers")
    if span < 1:
        raise ValueError(f"random.int: {low} is larger than {high}")
    if span <= _FAST_SPAN:
        # Three times as fast as randint; 53 random bits make the bias smaller than one in two million.
        return low + int(rng.random() * span)
    return rng.randint(low, high)


@function("random.float", "Number from low (included) to high.", context=RNG)
def _random_float(rng: Random, low: float = 0.0, high: float = 1.0) -> float:
    return low + rng.random() * (high - low)


@function("random.choice", "One item of a list.", context=RNG)
def _random_choice(rng: Random, items: list[Any]) -> Any:
    if not items:
        raise ValueError("random.choice: the list is empty")
    return items[int(rng.random() * len(items))]


@function(
    "random.string",
    "Text of so many characters, letters and digits unless others are given.",
    kind="str",
    context=RNG,
)
def _random_string(rng: Random, length: int, characters: str = _ALPHANUMERIC) -> str:
    if length > MAX_TEXT:
        raise too_long()
    if length < 0 or not characters:
        raise ValueError("random.string needs a length of 0 or more and some characters")
    return "".join(rng.choices(characters, k=length))


@function("uuid", "Random UUID (version 4).", kind="str", context=RNG)
def _uuid(rng: Random) -> str:
    bits = rng.getrandbits(128) & ~(0xF000 << 64) & ~(0xC000 << 48) | (4 << 76) | (2 << 62)
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
