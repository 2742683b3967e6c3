"""`parallel`: branches that run at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import EndIteration

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.spec.structs import Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler


def compile_parallel(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile parallel branches. All of them run to their end; then the gravest failure, if any, takes effect."""
    assert step.parallel is not None, "the step is of this kind"
    programs = [
        compiler.steps(branch.steps, scope, f"{site.place}.{number}.")
        for number, branch in enumerate(step.parallel.branches, 1)
    ]

    async def run(vu: Vu) -> None:
        forks = [vu.fork() for _ in programs]
        tasks = [
            asyncio.ensure_future(program.run(fork)) for program, fork in zip(programs, forks, strict=True)
        ]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        vu.ready = max(fork.ready for fork in forks)
        failures = [outcome for outcome in outcomes if outcome is not None]
        if failures:
            raise max(failures, key=_gravity)

    return Compiled(run, frozenset().union(*(program.names for program in programs)))


def _gravity(outcome: BaseException) -> int:
    """What must not be contained goes first: a halt or a defect, then the end of the run; otherwise the first counts."""
    return 2 if not isinstance(outcome, EndIteration) else int(outcome.aborts)
