"""How values are written for people, so that every view writes them alike."""

from __future__ import annotations

import math


def number(value: float) -> str:
    """A plain number: thousands separated, at most three significant decimals below 100."""
    if math.isnan(value):
        return "-"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3g}"


def amount(value: float) -> str:
    """An amount of money: four significant digits at least, never an exponent, as a small fee is a long decimal."""
    if math.isnan(value):
        return "-"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.2f}".removesuffix(".00")
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def time(value: float) -> str:
    """A length of time in seconds, in the unit that reads best."""
    if math.isnan(value):
        return "-"
    size = abs(value)
    if size == 0:
        return "0 s"
    if size < 1e-3:
        return f"{value * 1e6:.0f} µs"
    if size < 1:
        return f"{value * 1e3:.3g} ms"
    if size < 60:
        return f"{value:.3g} s"
    return clock(value)


def clock(value: float) -> str:
    """A longer length of time in seconds as `1m05s` or `1h02m`."""
    total = round(value)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m{total % 60:02d}s"
    return f"{total // 3600}h{total % 3600 // 60:02d}m"


def share(value: float) -> str:
    """A share from 0 to 1 as a percentage; never rounded to 0 % or 100 % when it is not."""
    if math.isnan(value):
        return "-"
    percent = value * 100
    if 0 < percent < 0.01:
        return "<0.01%"
    if 99.99 < percent < 100:
        return ">99.99%"
    return f"{percent:.2f}".rstrip("0").rstrip(".") + "%"


def size(value: float) -> str:
    """A number of bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def quantity(value: float | None, unit: str) -> str:
    """A value in a base unit: `s`, `bytes`, `share` or `1`."""
    if value is None:
        return "-"
    writers = {"s": time, "bytes": size, "share": share}
    return writers.get(unit, number)(value)
