"""What the scalars of a manifest amount to: durations, sizes, shares and whole numbers.

Apart from the models, so that who only has to compute with what was checked need not load them.
"""

from __future__ import annotations

import re
from fractions import Fraction

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def nanoseconds(duration: str) -> int:
    """Length of a Go-style duration in nanoseconds, exact for up to nine decimals.

    Raises:
        ValueError: `duration` is not a duration (an unresolved `${var.x}` is none either).
    """
    if duration == "0":
        return 0
    parts = list(_DURATION_PART.finditer(duration))
    if not parts or "".join(part.group(0) for part in parts) != duration:
        raise ValueError(f"{duration!r} is not a duration; write for example 500ms, 30s, 1m30s or 2h")
    return sum(_scaled(number, _NANOSECONDS[unit]) for number, unit in (part.groups() for part in parts))


def _scaled(number: str, factor: int) -> int:
    whole, _, decimals = number.partition(".")
    return int(whole) * factor + (int(decimals) * factor // 10 ** len(decimals) if decimals else 0)


def seconds(duration: str) -> float:
    """Length of a Go-style duration in seconds. Raises ValueError like `nanoseconds`."""
    return nanoseconds(duration) / 1e9


def format_duration(length_ns: int) -> str:
    """The shortest Go-style text for a length in nanoseconds: `90_000_000_000` is `1m30s`."""
    if length_ns == 0:
        return "0s"
    if length_ns < 10**9:
        for unit, factor in (("ms", 10**6), ("us", 10**3)):
            if length_ns % factor == 0:
                return f"{length_ns // factor}{unit}"
        return f"{length_ns}ns"
    minutes, rest = divmod(length_ns, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    if rest:
        whole, fraction = divmod(rest, 10**9)
        text += f"{whole}" + (f".{fraction:09d}".rstrip("0") if fraction else "") + "s"
    return text


_SIZES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(B|KiB|MiB|GiB|KB|MB|GB)?")


def size_bytes(size: int | str) -> int:
    """A size such as `10KiB` in bytes. Raises ValueError when it is none."""
    if isinstance(size, int):
        return size
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError(f"{size!r} is not a size; write for example 512, 10KiB or 2MB")
    return _scaled(match.group(1), _SIZES[match.group(2) or ""])


def fraction(percent: int | str) -> float:
    """A share such as `5%` or `0.05` as a number, 0.05. Raises ValueError when it is none."""
    text = str(percent)
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a share; write for example 5% or 0.05") from None


def exact_share(percent: int | str) -> Fraction:
    """A share such as `5%` or `0.05` as an exact number. Raises ValueError when it is none."""
    text = str(percent)
    try:
        return Fraction(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"{text!r} is not a share; write for example 5% or 0.05") from None


def whole(value: int | str) -> int:
    """A resolved whole number. Raises ValueError for a `${var.x}` that nobody resolved."""
    if isinstance(value, int):
        return value
    raise ValueError(f"{value!r} has not been resolved to a whole number")
