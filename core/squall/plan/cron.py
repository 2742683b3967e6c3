"""When a cron expression is due in a time zone: the wall clock of the zone is what counts, as with Kubernetes' CronJob.

A moment is due when the zone's clock then shows a minute that the expression names. From this follows what happens when clocks are
changed: a time that is skipped in spring is not due that day, and one that comes twice in autumn is due twice. Between two changes the
wall clock runs evenly, so the expression is asked for plain wall time within each such stretch. Fields mean what they mean to Kubernetes;
one that it would read otherwise than the library is written out before the library reads it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from datetime import tzinfo

_NAMED: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_TERM: Final = re.compile(
    r"(?P<first>\*|\?|[A-Z]{3}|\d{1,2})(?P<last>-([A-Z]{3}|\d{1,2}))?(/(?P<step>\d{1,2}))?", re.ASCII
)
_FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
_DAY: Final = 86_400
_HINT: Final = "write minute, hour, day of month, month and day of week, such as 30 2 * * 1-5, or @daily"


class CronError(ValueError):
    """A schedule that cannot be kept.

    Attributes:
        key: The key of the manifest that is wrong: `schedule` or `timeZone`.
        hint: What to write instead.
    """

    def __init__(self, key: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.key = key
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone; made by `parse_cron`.

    Attributes:
        fields: Five fields as the library reads them.
        zone: Whose wall clock counts.
    """

    fields: str
    zone: tzinfo

    def next_after(self, unix: float) -> int | None:
        """The first moment after another that is due, Unix time; None when there is none in fifty years."""
        moment = math.floor(unix) + 1
        while True:
            offset = self._offset(moment)
            wall = self._first_wall(moment + offset)
            if wall is None:
                return None
            change = self._first_change(moment, wall - offset)
            if change is None:
                return wall - offset
            moment = change

    def last_between(self, since: float, until: float) -> int | None:
        """The last moment that is due after one and not after another; None when there is none."""
        found = self.next_after(since)
        if found is None or found > until:
            return None
        low, high = found, math.floor(until)
        while high - low > 1:  # low is due, and nothing after high
            middle = (low + high) // 2
            due = self.next_after(middle)
            if due is not None and due <= until:
                low = due
            else:
                high = middle
        return low

    def _offset(self, moment: int) -> int:
        offset = datetime.fromtimestamp(moment, self.zone).utcoffset()
        return int(offset.total_seconds()) if offset is not None else 0

    def _first_wall(self, wall: int) -> int | None:
        """The first wall time from one on that the expression names, in seconds as if the clock showed UTC."""
        before = datetime.fromtimestamp(wall - 1, UTC).replace(tzinfo=None)
        found = next(CronSim(self.fields, before), None)
        return None if found is None else int(found.replace(tzinfo=UTC).timestamp())

    def _first_change(self, moment: int, until: int) -> int | None:
        """When clocks are changed first after one moment and not after another; no zone does so twice within a day."""
        offset = self._offset(moment)
        for begin in range(moment, until, _DAY):
            low, high = begin, min(begin + _DAY, until)
            if self._offset(high) == offset:
                continue
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self._offset(middle) == offset else (low, middle)
            return high
        return None


def parse_cron(text: str, zone: str) -> Cron:
    """Read a cron expression and the name of a time zone.

    Args:
        text: Five fields, or `@daily` and its kind.
        zone: A name of the IANA time zone database.

    Raises:
        CronError: One of them is none, or the expression names a time that never comes.
    """
    place = _zone(zone)
    fields = _NAMED.get(text) if text.startswith("@") else _fields(text)
    if fields is None:
        raise CronError("schedule", f'"{text}" is unknown', f"there are {', '.join(_NAMED)}")
    try:
        cron = Cron(fields, place)
        comes = cron.next_after(0) is not None
    except CronSimError as error:
        told = f"{error}".removeprefix("Bad ").replace("-", " ")
        raise CronError("schedule", f'"{text}" has no valid {told}', _HINT) from error
    if not comes:
        raise CronError("schedule", f'"{text}" names a time that never comes', _HINT)
    return cron


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError) as error:
        hint = "write a name of the IANA time zone database, such as Europe/Berlin or Etc/UTC"
        raise CronError("timeZone", f'there is no time zone "{name}"', hint) from error


def _fields(text: str) -> str:
    """The five fields as the library reads them."""
    fields = text.upper().split()
    if len(fields) != len(_FIELDS):
        raise CronError("schedule", f'"{text}" has {len(fields)} fields instead of five', _HINT)
    for name, field in zip(_FIELDS, fields, strict=True):
        if not all(_TERM.fullmatch(term) for term in field.split(",")):
            raise CronError("schedule", f'"{text}" has no valid {name}', _HINT)
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    return " ".join(_written_out(field, *bound) for field, bound in zip(fields, bounds, strict=True))


def _written_out(field: str, first: int, last: int) -> str:
    """A field without the forms that the library reads in another way than Kubernetes.

    To Kubernetes, only `*` and `?` leave a day open: with `*/2` as the day of the month, a day of the week is one more possibility
    and no restriction.
    """
    terms = []
    for term in field.split(","):
        found = _TERM.fullmatch(term)
        assert found is not None, "fields are checked before"
        step = found["step"]
        if found["first"] in ("*", "?") and found["last"] is None:
            if step is None or int(step) == 1:
                return "*"
            terms.append(f"{first}-{last}/{step}")
        elif step is not None and found["last"] is None:
            terms.append(f"{found['first']}-{last}/{step}")
        else:
            terms.append(term)
    return ",".join(terms)
