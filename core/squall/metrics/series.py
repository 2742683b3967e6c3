"""A series is a metric with its tags; an aggregate is what was measured of it.

The same four aggregates serve a runner's second, a runner's whole run, the fleet's second and the fleet's run.
That works because there are two ways only to put aggregates together, and each kind knows both:
`merge` for values of the same time from several runners or series, `then` for what came later.
They differ for gauges alone: 10 VUs on two runners are 20, 10 VUs in two seconds are 10.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from squall.metrics.histogram import Histogram
from squall.metrics.names import Merge

Tags: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """A metric and its tags, sorted by name and without empty values (see `of`)."""

    metric: str
    tags: Tags = ()

    @classmethod
    def of(cls, metric: str, /, **tags: str) -> SeriesKey:
        """The key of a metric with these tags; empty ones are left out."""
        return cls(metric, tuple(sorted((name, value) for name, value in tags.items() if value)))

    def __str__(self) -> str:
        return _format(self.metric, self.tags)


def _format(metric: str, tags: Tags) -> str:
    inside = ",".join(f"{name}:{value}" for name, value in tags)
    return f"{metric}{{{inside}}}" if inside else metric


_SELECTOR: Final = re.compile(r"\s*(?P<metric>[A-Za-z_][A-Za-z0-9_]*)\s*(?:\{(?P<tags>.*)\}\s*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects the series of a metric that have all the given tags: `http_req_duration{scenario:signup,stage:hold}`."""

    metric: str
    tags: Tags = ()

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Read a selector as k6 writes it: `metric`, or `metric{tag:value,tag:value}`.

        Only the first colon of a pair separates, so values may contain colons (URLs do). A value may stand in
        double quotes; then it may contain commas and braces too.

        Raises:
            ValueError: It is not of that form; the message says where.
        """
        found = _SELECTOR.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no metric selector; write metric or metric{{tag:value,tag:value}}")
        inside = found["tags"]
        pairs = [_pair(part, text) for part in _split(inside)] if inside and inside.strip() else []
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(f"{text!r} names a tag twice")
        return cls(found["metric"], tuple(sorted(pairs)))

    def matches(self, key: SeriesKey) -> bool:
        """Whether the series is one of those selected."""
        return key.metric == self.metric and (not self.tags or set(self.tags) <= set(key.tags))

    def __str__(self) -> str:
        return _format(self.metric, self.tags)


def _split(inside: str) -> list[str]:
    """The parts between commas, but for commas within double quotes."""
    return re.findall(r'(?:"[^"]*"|[^,"])+', inside) if '"' in inside else inside.split(",")


def _pair(part: str, text: str) -> tuple[str, str]:
    name, colon, value = part.partition(":")
    name, value = name.strip(), value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not colon or not name or not value:
        raise ValueError(f"{part.strip()!r} in {text!r} is no tag; write tag:value")
    return name, value


@dataclass(slots=True)
class Counter:
    """A sum that only grows; `value` is in the metric's unit."""

    value: float = 0.0

    def merge(self, other: Counter) -> None:
        """Add another runner's or series' value."""
        self.value += other.value

    then = merge

    def minus(self, earlier: Counter) -> Counter:
        """What was added since an earlier state."""
        return Counter(self.value - earlier.value)

    def copy(self) -> Counter:
        """An independent copy."""
        return Counter(self.value)


@dataclass(slots=True)
class Rate:
    """How many of all values were hits; for `http_req_failed` a hit is a failure, for `checks` a check that held."""

    hits: int = 0
    total: int = 0

    @property
    def value(self) -> float:
        """The fraction of hits; NaN without values."""
        return self.hits / self.total if self.total else math.nan

    def merge(self, other: Rate) -> None:
        """Add another runner's or series' values."""
        self.hits += other.hits
        self.total += other.total

    then = merge

    def minus(self, earlier: Rate) -> Rate:
        """What was added since an earlier state."""
        return Rate(self.hits - earlier.hits, self.total - earlier.total)

    def copy(self) -> Rate:
        """An independent copy."""
        return Rate(self.hits, self.total)


@dataclass(slots=True)
class Gauge:
    """A value that goes up and down: the last of a time and its extremes.

    After merging by `sum`, the extremes are sums of the runners' extremes, so bounds of what the fleet had.
    """

    last: float
    min: float
    max: float
    rule: Merge = field(default=Merge.SUM)

    @classmethod
    def at(cls, value: float, rule: Merge = Merge.SUM) -> Gauge:
        """A gauge that has had this value only."""
        return cls(value, value, value, rule)

    def set(self, value: float) -> None:
        """Take a new value."""
        self.last = value
        self.min = min(self.min, value)
        self.max = max(self.max, value)

    def merge(self, other: Gauge) -> None:
        """Take in another runner's or series' values of the same time.

        Nobody can say which of two runners was last; by rule `last` the larger value stands, whatever the order.
        """
        if self.rule is Merge.SUM:
            self.last += other.last
            self.min += other.min
            self.max += other.max
        else:
            self.last = max(self.last, other.last)
            self.min = min(self.min, other.min)
            self.max = max(self.max, other.max)

    def then(self, later: Gauge) -> None:
        """Take in what came later."""
        self.last = later.last
        self.min = min(self.min, later.min)
        self.max = max(self.max, later.max)

    def copy(self) -> Gauge:
        """An independent copy."""
        return Gauge(self.last, self.min, self.max, self.rule)


Trend: TypeAlias = Histogram
"""A distribution of values."""

Aggregate: TypeAlias = Counter | Rate | Gauge | Trend


def merge(into: Aggregate, other: Aggregate) -> None:
    """Add the aggregate of another runner or series, of the same time.

    Raises:
        TypeError: They are of different kinds.
    """
    if type(into) is not type(other):
        raise TypeError(f"cannot merge {type(other).__name__} into {type(into).__name__}")
    into.merge(other)  # type: ignore[arg-type]  # the same type, as was just checked


def then(into: Aggregate, later: Aggregate) -> None:
    """Add the aggregate of a later time.

    Raises:
        TypeError: They are of different kinds.
    """
    if type(into) is not type(later):
        raise TypeError(f"cannot add {type(later).__name__} to {type(into).__name__}")
    into.then(later)  # type: ignore[arg-type]  # the same type, as was just checked


def minus(total: Aggregate, earlier: Aggregate) -> Aggregate:
    """What came since an earlier state; gauges have no differences.

    Raises:
        TypeError: They are of different kinds, or gauges.
    """
    if type(total) is not type(earlier) or isinstance(total, Gauge):
        raise TypeError(f"cannot take {type(earlier).__name__} from {type(total).__name__}")
    return total.minus(earlier)  # type: ignore[arg-type]  # the same type, as was just checked
