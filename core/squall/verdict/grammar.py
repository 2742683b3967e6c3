"""The expressions of thresholds: k6's, with units, checked against the metric before anything runs.

    expression  = aggregation comparator limit
    aggregation = "p(" number ")" | "below(" quantity ")" | name
    name        = "med" | "avg" | "min" | "max" | "count" | "rate" | "value"
    comparator  = "<" | "<=" | ">" | ">=" | "==" | "===" | "!="
    limit       = quantity
    quantity    = number [unit] | duration
    unit        = time | "%" | size [per] | per | "x"
    time        = "ns" | "us" | "ms" | "s" | "m" | "h"         several in a row make a duration: 1m30s
    size        = "B" | "KB" | "MB" | "GB" | "KiB" | "MiB" | "GiB"
    per         = "/s" | "/m" | "/h"

    metric   aggregations                              a bare number is
    counter  count, rate (per second)                  the metric's unit; per second for rate
    gauge    value, min, max                           the metric's unit
    rate     rate                                      a share from 0 to 1, as `1%` is
    trend    p(N), med, avg, min, max, count, below(V) milliseconds when it measures time (as in k6), else its unit
    query    value                                     whatever the query gives

A counter's rate is over all seconds judged (the window, or the run from `after` on), as in k6, whatever tags select.
`below(500ms)>=95%` is the share of samples up to a value. With `relativeTo` the limit is a multiple, `p(95)<1.5x`.
"""

from __future__ import annotations

import difflib
import operator
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from squall.metrics.names import Kind, Metric, Unit
from squall.metrics.series import Counter, Gauge, Rate
from squall.verdict.quantity import Dimension, Quantity, ThresholdError, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.metrics.histogram import Histogram
    from squall.metrics.series import Aggregate


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    Attributes:
        text: As written.
        aggregation: Its name: p, below, med, avg, min, max, count, rate or value.
        argument: Of `p`, as a share (0.95), and of `below`, in the metric's unit; else 0.
        comparator: <, <=, >, >=, == or !=.
        limit: In base units; a factor when `relative`.
        relative: The limit is a multiple of the same aggregation over something else.
    """

    text: str
    aggregation: str
    argument: float
    comparator: str
    limit: float
    relative: bool = False

    def holds(self, value: float, limit: float | None = None) -> bool:
        """Whether a value meets the limit, or another limit (for a relative expression)."""
        return _COMPARE[self.comparator](value, self.limit if limit is None else limit)

    @property
    def wants_more(self) -> bool:
        """Whether larger values are better, as with `>` and `>=`."""
        return self.comparator in (">", ">=")

    @property
    def grows(self) -> bool:
        """Whether its value over a whole run only grows, so that nothing but an upper limit can be judged before its end."""
        return self.aggregation == "count"

    def value(self, aggregate: Aggregate, seconds: float) -> float | None:
        """The aggregation over what was measured in so many seconds; None when nothing was."""
        if isinstance(aggregate, Counter):
            return aggregate.value if self.aggregation == "count" else aggregate.value / seconds
        if isinstance(aggregate, Rate):
            return aggregate.value if aggregate.total else None
        if isinstance(aggregate, Gauge):
            return {"min": aggregate.min, "max": aggregate.max}.get(self.aggregation, aggregate.last)
        return _OF_TREND[self.aggregation](aggregate, self.argument) if aggregate.count else None


_OF_TREND: Final[Mapping[str, Callable[[Histogram, float], float]]] = MappingProxyType(
    {
        "p": lambda trend, share: trend.quantile(share),
        "below": lambda trend, value: trend.fraction_below(value),
        "med": lambda trend, _: trend.quantile(0.5),
        "avg": lambda trend, _: trend.mean,
        "min": lambda trend, _: trend.min,
        "max": lambda trend, _: trend.max,
        "count": lambda trend, _: float(trend.count),
    }
)

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }
)

_AGGREGATIONS: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        Kind.COUNTER: ("count", "rate"),
        Kind.GAUGE: ("value", "min", "max"),
        Kind.RATE: ("rate",),
        Kind.TREND: ("p", "med", "avg", "min", "max", "count", "below"),
    }
)
_NAMES: Final = ("p", "below", "med", "avg", "min", "max", "count", "rate", "value")
_SHOWN: Final = {"p": "p(95)", "below": "below(500ms)"}

_EXPRESSION: Final = re.compile(
    r"\s*(?P<name>[A-Za-z_]+)\s*(?:\(\s*(?P<argument>[^)]*?)\s*\))?\s*(?P<comparator>[<>=!]+)\s*(?P<limit>.*?)\s*",
    re.DOTALL,
)
_START: Final = re.compile(r"\s*(?P<name>[A-Za-z_]+)\s*(?P<open>\([^)]*\)?)?")


def compile_expression(text: str, metric: Metric | None, *, relative: bool = False) -> Expression:
    """Read an expression and check that it fits its metric.

    Args:
        text: The expression.
        metric: What it is about; None for a query.
        relative: There is a `relativeTo`, so the limit has to be a multiple.

    Raises:
        ThresholdError: It cannot be read, or means nothing for the metric.
    """
    found = _EXPRESSION.fullmatch(text)
    if not found:
        raise _unreadable(text)
    name, comparator = found["name"], found["comparator"].replace("===", "==")
    _check_aggregation(name, metric, found.start("name"))
    if comparator not in _COMPARE:
        hint = f"comparators are {' '.join(_COMPARE)}"
        raise ThresholdError(f"{comparator!r} is no comparator", hint, found.start("comparator"))
    argument = _argument(name, found["argument"], metric, max(found.start("argument"), found.end("name")))
    limit = quantity(found["limit"], found.start("limit"))
    value = (
        _multiple(limit, name, metric, found.start("limit"))
        if relative
        else _limit(limit, name, metric, found.start("limit"))
    )
    if not relative and metric and (name == "below" or metric.kind is Kind.RATE):
        _check_share(comparator, value, limit, found.start("limit"))
    return Expression(text.strip(), name, argument, comparator, value, relative)


def _unreadable(text: str) -> ThresholdError:
    """The error for a text that has not the form of an expression, at the place where it stops to have it."""
    hint = "write an aggregation, a comparator and a limit, such as p(95)<500ms or rate<1%"
    start = _START.match(text)
    if not start:
        return ThresholdError(f"{text!r} does not begin with an aggregation", hint, 0)
    if start["open"] and not start["open"].endswith(")"):
        return ThresholdError("a ) is missing", hint, start.start("open"))
    return ThresholdError(f"a comparator is missing after {start[0].strip()!r}", hint, start.end())


def _check_aggregation(name: str, metric: Metric | None, offset: int) -> None:
    fitting = _AGGREGATIONS[metric.kind] if metric else ("value",)
    if name in fitting:
        return
    shown = ", ".join(_SHOWN.get(each, each) for each in fitting)
    if name not in _NAMES:
        close = difflib.get_close_matches(name, fitting, 1, 0.5)
        hint = f"did you mean {close[0]}?" if close else f"use one of {shown}"
        raise ThresholdError(f"{name!r} is no aggregation", hint, offset)
    what = f"{metric.name} is a {metric.kind}, which has" if metric else "a query has"
    raise ThresholdError(f"{what} no {name!r}", f"use one of {shown}", offset)


def _argument(name: str, text: str | None, metric: Metric | None, offset: int) -> float:
    if name not in ("p", "below"):
        if text is not None:
            raise ThresholdError(f"{name} takes no argument", f"write {name} without parentheses", offset)
        return 0.0
    if not text:
        raise ThresholdError(f"{name} needs an argument", f"write for example {_SHOWN[name]}", offset)
    given = quantity(text, offset)
    if name == "below":
        return _in_metric_unit(given, metric, offset)
    if given.dimension is not Dimension.PLAIN or not 0 <= given.value <= 100:
        raise ThresholdError(f"p({text}) is no percentile", "percentiles go from p(0) to p(100)", offset)
    return given.value / 100


def _multiple(limit: Quantity, name: str, metric: Metric | None, offset: int) -> float:
    if limit.dimension is not Dimension.MULTIPLE or limit.value <= 0:
        raise ThresholdError(
            "with relativeTo the limit is a multiple", "write for example p(95)<1.5x", offset
        )
    if metric is None or metric.kind is Kind.COUNTER or name == "count":
        hint = "use it with trends, rates and gauges"
        raise ThresholdError("relativeTo compares no counts, which depend on how long each part lasted", hint)
    return limit.value


def _limit(limit: Quantity, name: str, metric: Metric | None, offset: int) -> float:
    """The limit in base units, if its unit fits what the aggregation gives."""
    if limit.dimension is Dimension.MULTIPLE:
        raise ThresholdError("a multiple of what?", "add relativeTo with a metric selector", offset)
    if metric is None:
        return limit.value
    if name == "below" or metric.kind is Kind.RATE:
        return _share(limit, offset)
    if name == "rate":
        fitting = {Dimension.PLAIN, Dimension.PER_TIME}
        if metric.unit is Unit.BYTES:
            fitting |= {Dimension.SIZE, Dimension.SIZE_PER_TIME}
        return _fitting(limit, fitting, f"the rate of {metric.name}", offset)
    if metric.kind is Kind.COUNTER and metric.unit is Unit.SECONDS and limit.dimension is Dimension.PLAIN:
        return limit.value
    if name == "count" and metric.kind is Kind.TREND:
        return _fitting(limit, {Dimension.PLAIN}, "a count", offset)
    return _in_metric_unit(limit, metric, offset)


def _share(limit: Quantity, offset: int) -> float:
    share = _fitting(limit, {Dimension.PLAIN, Dimension.SHARE}, "a share", offset)
    if not 0 <= share <= 1:
        raise ThresholdError(
            f"a share lies between 0 and 1, so it is never compared with {share:g} in earnest",
            f"did you mean {limit.value:g}%?" if limit.dimension is Dimension.PLAIN else "use 0% to 100%",
            offset,
        )
    return share


def _check_share(comparator: str, share: float, written: Quantity, offset: int) -> None:
    """A limit beyond which no share can be is a slip: `rate>1` is written where 1 % was meant."""
    if (comparator, share) in ((">", 1.0), ("<", 0.0)):
        percent = written.dimension is Dimension.PLAIN and share
        hint = f"did you mean {written.value:g}%?" if percent else f"write {comparator}= when that is meant"
        message = f"no share is {'above 1' if share else 'below 0'}, so this can never hold"
        raise ThresholdError(message, hint, offset)


def _in_metric_unit(given: Quantity, metric: Metric | None, offset: int) -> float:
    assert metric is not None, "a query has only `value`"
    if metric.unit is Unit.SECONDS:
        value = _fitting(given, {Dimension.PLAIN, Dimension.TIME}, metric.name, offset)
        return value / 1000 if given.dimension is Dimension.PLAIN else value
    fitting = {Dimension.PLAIN}
    if metric.unit is Unit.BYTES or metric.custom:
        fitting.add(Dimension.SIZE)
    if metric.custom:
        fitting.add(Dimension.TIME)
    if metric.kind is Kind.GAUGE:
        fitting.add(Dimension.SHARE)
    return _fitting(given, fitting, metric.name, offset)


def _fitting(given: Quantity, fitting: set[Dimension], what: str, offset: int) -> float:
    if given.dimension not in fitting:
        names = " or ".join(sorted(fitting))
        raise ThresholdError(f"{what} is not compared with {given.dimension}", f"write {names}", offset)
    return given.value
