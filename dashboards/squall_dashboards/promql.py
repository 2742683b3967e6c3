"""The shapes of PromQL that the dashboards are made of. Pure.

Two things are decided here for all panels. A percentile comes from merged buckets, never from averaged percentiles, and from native and
classic histograms alike: the one that is there answers, so nobody has to say how a run was pushed. And what is said of a whole run is read
off its last cumulative values, exactly, where `increase` would extrapolate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW = "$__rate_interval"
RANGE = "$__range"
RUN = 'run="$run"'
"""Runs have ids of their own, whatever LoadTest and namespace they are of."""


def where(*matchers: str) -> str:
    """A selector's braces."""
    return "{" + ",".join(each for each in matchers if each) + "}"


def equal(label: str, value: str) -> str:
    """A matcher of one value."""
    return f'{label}="{value}"'


def summed(expression: str, by: Sequence[str] = ()) -> str:
    """A sum that keeps some labels."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def rate(counter: str, *matchers: str, by: Sequence[str] = (), ago: str = "") -> str:
    """What a counter counts in a second; `ago` earlier, where that is given."""
    offset = f" offset {ago}" if ago else ""
    return summed(f"rate({counter}{where(*matchers)}[{WINDOW}]{offset})", by)


def ratio(hits: str, total: str, *matchers: str, by: Sequence[str] = (), ago: str = "") -> str:
    """The share of what was counted in the last moments, from 0 to 1."""
    return f"{rate(hits, *matchers, by=by, ago=ago)} / {rate(total, *matchers, by=by, ago=ago)}"


def last(series: str, *matchers: str, over: str = RANGE) -> str:
    """What each series was last, also when its run is over for long."""
    return f"last_over_time({series}{where(*matchers)}[{over}])"


def final(counter: str, *matchers: str, by: Sequence[str] = (), over: str = RANGE) -> str:
    """What a counter has counted in all of a run."""
    return summed(last(counter, *matchers, over=over), by)


def final_ratio(hits: str, total: str, *matchers: str, by: Sequence[str] = (), over: str = RANGE) -> str:
    """The share of what was counted in all of a run, from 0 to 1."""
    return f"{final(hits, *matchers, by=by, over=over)} / {final(total, *matchers, by=by, over=over)}"


def or_zero(expression: str) -> str:
    """What is counted from the first time on that it happens: before, and without it, it is none."""
    return f"{expression}\nor\n0 * max(squall_run_elapsed_seconds{where(RUN)})"


def final_or_zero(counter: str, *matchers: str) -> str:
    """What a counter has counted in all of a run that counts only what hardly ever happens."""
    return f"{final(counter, *matchers)}\nor\n0 * max({last('squall_run_elapsed_seconds', RUN)})"


def quantile(q: float, trend: str, *matchers: str, by: Sequence[str] = (), ago: str = "") -> str:
    """A percentile of the last moments, over all runners."""
    native = rate(trend, *matchers, by=by, ago=ago)
    classic = rate(f"{trend}_bucket", *matchers, by=(*by, "le"), ago=ago)
    return _either(q, native, classic)


def final_quantile(q: float, trend: str, *matchers: str, by: Sequence[str] = (), over: str = RANGE) -> str:
    """A percentile of all of a run.

    Of native histograms, which `last_over_time` of Prometheus 2.42 does not know, what they have grown by. That is stretched by a
    second at most, and a percentile does not change when all counts grow by one factor.
    """
    native = summed(f"increase({trend}{where(*matchers)}[{over}])", by)
    classic = summed(f"increase({trend}_bucket{where(*matchers)}[{over}])", (*by, "le"))
    return _either(q, native, classic)


def total_per_second(trend: str, *matchers: str, by: Sequence[str] = ()) -> str:
    """What the values of a trend add up to in a second."""
    return f"histogram_sum({rate(trend, *matchers, by=by)})\nor\n{rate(f'{trend}_sum', *matchers, by=by)}"


def buckets(trend: str, *matchers: str) -> str:
    """The buckets of the last moments, for a heatmap."""
    return f"{rate(trend, *matchers)}\nor\n{rate(f'{trend}_bucket', *matchers, by=['le'])}"


def coded(codes: dict[str, int], series: str, label: str, *matchers: str, over: str | None = None) -> str:
    """One number for a state that has a series for each of its values, 1 where it is the case: the state's code.

    All labels are kept, so that a legend can say more than the code.
    """

    def one(value: str) -> str:
        selected = (*matchers, equal(label, value))
        return f"{series}{where(*selected)}" if over is None else last(series, *selected, over=over)

    return "\nor\n".join(f"({one(value)} == 1) * {code}" for value, code in codes.items())


def _either(q: float, native: str, classic: str) -> str:
    return f"histogram_quantile({q}, {native})\nor\nhistogram_quantile({q}, {classic})"
