"""Steps as parts of a system: what its chain, its storage, its queue took and failed at, whatever kinds of steps that was.

Requests, jobs and transactions have metrics of their own, which cannot be compared; where the time of a flow goes can only
be told by measuring all of them alike. So what the manifest has given the tag `component` is timed as a whole, whatever it
is, and each moment once: within a step that is timed nothing else is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import EndIteration

if TYPE_CHECKING:
    from squall.spec.structs import Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Context, Site

TAG: Final = "component"
_NO_WORK: Final = frozenset({"think", "set", "check", "group", "if", "choose", "repeat", "parallel"})
"""Kinds that do nothing on their own: of these only what has the tag itself is timed, not what has it of its scenario."""


def is_timed(step: Step, kind: str, ctx: Context) -> bool:
    """Whether a step is timed as its component's, where none of the steps around it is."""
    return TAG in (step.tags or {}) or (TAG in dict(ctx.tags) and kind not in _NO_WORK)


def within(site: Site) -> Context:
    """What the steps within this one are compiled with: what they measure is the component's, too."""
    ctx, name = site.ctx, dict(site.tags).get(TAG)
    if name is None or name == dict(ctx.tags).get(TAG):
        return ctx
    return replace(ctx, tags=(*ctx.tags, (TAG, name)))


def timed(compiled: Compiled, site: Site) -> Compiled:
    """The same step, timed as its component's. What was cut short by the generator itself is not counted."""
    inner, clock, recorder = compiled.run, site.ctx.clock, site.ctx.recorder

    def count(vu: Vu, stage: str, begun: float, *, failed: bool) -> None:
        site.trend("component_duration", vu, stage).add(clock() - begun)
        recorder.rate("component_failed", site.tagged(vu.env, stage=stage)).add(hit=failed)

    async def run(vu: Vu) -> None:
        stage, begun = vu.scenario.stage, clock()
        try:
            await inner(vu)
        except EndIteration:
            count(vu, stage, begun, failed=True)
            raise
        count(vu, stage, begun, failed=False)

    return Compiled(run, compiled.names)
