"""The current time and its spellings. The clock is the environment's, so that tests and replays can set it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from squall.expr.registry import function
from squall.expr.scope import CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMAT = re.compile(r"(?:[^%]|%[YmdHMSfjyaAbBpIzZ%])*")


def _check_format(format: str) -> None:  # noqa: A002 - the name users write
    if len(format) > 100 or not _FORMAT.fullmatch(format):
        raise ValueError(
            "use only %Y %m %d %H %M %S %f %j %y %a %A %b %B %p %I %z %Z %%, 100 characters at most"
        )


@function("now", "Seconds since 1970, with fractions.", context=CLOCK)
def _now(clock: Callable[[], float]) -> float:
    return clock()


@function("timestamp", "Whole milliseconds since 1970.", kind="int", context=CLOCK)
def _timestamp(clock: Callable[[], float]) -> int:
    return int(clock() * 1000)


@function(
    "isoTime",
    "A time in ISO 8601, UTC, with milliseconds; now, unless seconds since 1970 are given.",
    kind="str",
    context=CLOCK,
)
def _iso_time(clock: Callable[[], float], seconds: float | None = None) -> str:
    moment = datetime.fromtimestamp(clock() if seconds is None else seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@function(
    "formatTime",
    "Seconds since 1970, UTC, in a format such as '%Y-%m-%d', written as a constant.",
    kind="str",
    literal=("format",),
    check=_check_format,
)
def _format_time(seconds: float, format: str) -> str:  # noqa: A002 - the name users write
    return datetime.fromtimestamp(seconds, UTC).strftime(format)
