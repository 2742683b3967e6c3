"""`think`: a pause, as a person would make."""

from __future__ import annotations

from math import log1p
from typing import TYPE_CHECKING

from squall.spec.quantities import seconds
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import Halted
from squall_runner.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from squall.expr import Scope
    from squall.spec.structs import Step, Think
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Context, Site, StepFn
    from squall_runner.steps.program import Compiler


def compile_think(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:  # noqa: ARG001 - all kinds alike
    """Compile a think step."""
    assert step.think is not None, "the step is of this kind"
    return Compiled(compile_pause(step.think, site.ctx))


def compile_pause(think: Think, ctx: Context) -> StepFn:
    """What makes the pause of a think step, and nothing else of it."""
    draw = pauses(think)
    pause, clock = ctx.pauses, ctx.clock

    async def run(vu: Vu) -> None:
        root = vu.root
        if root.halted:
            raise Halted
        length = draw(vu.rng)
        # The next request is due when the pause should end, so that a late timer is seen and not hidden.
        vu.ready = clock() + length
        if pause:
            await wait(length, clock)
            root.yields += 1

    return run


def pauses(think: Think) -> Callable[[Random], float]:
    """What draws the length of a pause in seconds.

    An exponential pause is drawn by inversion, -mean * ln(1 - u), and never longer than 20 means: a longer one comes
    once in 5 * 10^8 pauses and would outlast any run.
    """
    if think.duration is not None:
        fixed = seconds(think.duration)
        return lambda _: fixed
    if think.mean is not None:
        mean = seconds(think.mean)
        return lambda rng: mean * min(20.0, -log1p(-rng.random()))
    low, high = seconds(think.min or "0s"), seconds(think.max or "0s")
    width = high - low
    return lambda rng: low + width * rng.random()
