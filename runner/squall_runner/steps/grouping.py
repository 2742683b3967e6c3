"""`group`: steps that are timed as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_runner.steps.context import Compiled

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.spec.structs import Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler


def compile_group(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a group; only passes that reach its end are timed."""
    assert step.group is not None, "the step is of this kind"
    inner = compiler.steps(step.group.steps, scope, f"{site.place}.")
    ctx = compiler.ctx
    run_inner, clock, measured = inner.run, ctx.clock, ctx.measured

    async def run(vu: Vu) -> None:
        stage = vu.scenario.stage
        begun = clock()
        await run_inner(vu)
        if measured:
            site.trend("group_duration", vu, stage).add(clock() - begun)

    return Compiled(run, inner.names)
