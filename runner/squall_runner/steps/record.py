"""Metrics of the user's own: what a step's `record` adds to them.

One rule for all kinds of steps: whenever the step ends, failed or not, a trend takes how long it took, a counter 1, a
rate whether it succeeded. A `value` takes their place, and there is one only when the step has succeeded. A step that is
interrupted has not ended.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from squall.expr import EvaluationError, compile_expression
from squall.spec.secrets import shortened
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import EXPRESSION, EndIteration

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.spec.structs import Record
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Response
    from squall_runner.steps.context import Site


class Recording(Protocol):
    """Records what a step says."""

    def __call__(self, vu: Vu, response: Response | None, duration: float, *, ok: bool) -> None:
        """Take the response, if there is one, the step's duration in seconds, and whether it succeeded."""


class _Write(Protocol):
    def __call__(self, vu: Vu, duration: float, value: Any, *, ok: bool) -> None:
        """Record a value."""


def compile_record(record: Record, site: Site, scope: Scope) -> Recording:
    """Compile `record`; `scope` is that of the step's expressions, with a response where there is one."""
    value = compile_expression(record.value, scope).evaluate if record.value is not None else None
    write = _writer(record, site)

    def run(vu: Vu, response: Response | None, duration: float, *, ok: bool) -> None:
        if value is None:
            write(vu, duration, None, ok=ok)
        elif ok:
            try:
                write(vu, duration, value(vu.env, response), ok=ok)
            except (EvaluationError, ValueError) as error:
                site.fail(vu, EXPRESSION, f"record: {error}")

    return run


def _writer(record: Record, site: Site) -> _Write:
    """What records a value; None stands for the kind's default."""
    recorder = site.ctx.recorder

    def trend(vu: Vu, duration: float, value: Any, *, ok: bool) -> None:  # noqa: ARG001 - all kinds alike
        length = duration if value is None else _number(value)
        site.trend(record.trend or "", vu, vu.scenario.stage).add(length)

    def counter(vu: Vu, duration: float, value: Any, *, ok: bool) -> None:  # noqa: ARG001 - all kinds alike
        tags = site.tagged(vu.env, stage=vu.scenario.stage)
        recorder.counter(record.counter or "", tags).value += 1 if value is None else max(0.0, _number(value))

    def rate(vu: Vu, duration: float, value: Any, *, ok: bool) -> None:  # noqa: ARG001 - all kinds alike
        tags = site.tagged(vu.env, stage=vu.scenario.stage)
        recorder.rate(record.rate or "", tags).add(hit=ok if value is None else bool(value))

    def gauge(vu: Vu, duration: float, value: Any, *, ok: bool) -> None:  # noqa: ARG001 - all kinds alike
        recorder.gauge(record.gauge or "", site.tagged(vu.env)).set(_number(value))

    if not site.ctx.measured:
        return lambda *_, **__: None
    if record.trend is not None:
        return trend
    if record.counter is not None:
        return counter
    return rate if record.rate is not None else gauge


def _number(value: Any) -> float:
    """A finite number, for metrics take nothing else.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    raise ValueError(f"{shortened(str(value), 80)!r} is not a finite number")


def with_record(compiled: Compiled, record: Record, site: Site, scope: Scope) -> Compiled:
    """A step without a response, with its `record`."""
    inner, clock = compiled.run, site.ctx.clock
    write = compile_record(record, site, scope.with_names(compiled.names))

    async def run(vu: Vu) -> None:
        begun = clock()
        try:
            await inner(vu)
        except EndIteration:
            write(vu, None, clock() - begun, ok=False)
            raise
        write(vu, None, clock() - begun, ok=True)

    return Compiled(run, compiled.names)
