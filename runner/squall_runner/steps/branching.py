"""`if`, `choose` and `repeat`: steps that run or not, or again."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from squall.expr import EvaluationError, compile_expression, compile_template, name_problem
from squall.expr.errors import ExpressionError
from squall.spec.language import MAX_TIMES
from squall.spec.quantities import whole
from squall.spec.secrets import shortened
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import EXPRESSION, LIMIT, Halted

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr import Env, Evaluate, Scope
    from squall.spec.structs import Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Site, StepFn
    from squall_runner.steps.program import Compiler


def compile_if(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile an if step. What either branch extracts may be used afterwards; it is there if that branch ran."""
    spec = step.if_step
    assert spec is not None, "the step is of this kind"
    condition = compile_expression(spec.condition, scope).evaluate
    then = compiler.steps(spec.then, scope, f"{site.place}.")
    otherwise = compiler.steps(spec.else_steps, scope, f"{site.place}.else.") if spec.else_steps else None

    async def run(vu: Vu) -> None:
        try:
            holds = condition(vu.env)
        except EvaluationError as error:
            site.fail(vu, EXPRESSION, error.message, error.hint)
        if holds:
            await then.run(vu)
        elif otherwise is not None:
            await otherwise.run(vu)

    return Compiled(run, then.names | (otherwise.names if otherwise else frozenset()))


def compile_choose(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a weighted choice."""
    choices = step.choose
    assert choices is not None, "the step is of this kind"
    programs = [
        compiler.steps(choice.steps, scope, f"{site.place}.{number}.")
        for number, choice in enumerate(choices, 1)
    ]
    bounds = list(accumulate(whole(choice.weight) for choice in choices))
    total = bounds[-1]

    async def run(vu: Vu) -> None:
        drawn = vu.rng.random() * total
        for bound, program in zip(bounds, programs, strict=True):
            if drawn < bound:
                await program.run(vu)
                return

    return Compiled(run, frozenset().union(*(program.names for program in programs)))


def compile_repeat(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a repetition."""
    spec = step.repeat
    assert spec is not None, "the step is of this kind"
    index = spec.index
    if index is not None and (problem := name_problem(index)):
        raise ExpressionError(f"repeat: {problem}")
    inner_scope = scope.with_names({index} if index else ())
    inner = compiler.steps(spec.steps, inner_scope, f"{site.place}.")
    if spec.while_condition:
        # What the steps set is known to the condition only after the first round: it may ask with `default`.
        condition = compile_expression(spec.while_condition, inner_scope.with_names(inner.names)).evaluate
        run = _while(condition, whole(spec.limit), index, inner.run, site)
    else:
        run = _times(_rounds(spec.times, scope), index, inner.run, site)
    return Compiled(run, inner.names)


def _while(condition: Evaluate, limit: int, index: str | None, inner: StepFn, site: Site) -> StepFn:
    async def run(vu: Vu) -> None:
        env, done = vu.env, 0
        while True:
            if index is not None:
                env[index] = done
            try:
                holds = condition(env)
            except EvaluationError as error:
                site.fail(vu, EXPRESSION, error.message, error.hint)
            if not holds:
                return
            if done >= limit:
                message = f"after {done} rounds it is still not over"
                site.fail(vu, LIMIT, message, "raise repeat.limit, or mend its end")
            if vu.root.halted:
                raise Halted
            await inner(vu)
            done += 1

    return run


def _times(rounds: Callable[[Env], int], index: str | None, inner: StepFn, site: Site) -> StepFn:
    async def run(vu: Vu) -> None:
        env = vu.env
        try:
            count = rounds(env)
        except (EvaluationError, ValueError) as error:
            site.fail(vu, EXPRESSION, str(error))
        for done in range(count):
            if index is not None:
                env[index] = done
            if vu.root.halted:
                raise Halted
            await inner(vu)

    return run


def _rounds(times: int | str | None, scope: Scope) -> Callable[[Env], int]:
    """How many rounds there are; raises EvaluationError or ValueError when that is no possible number."""
    if isinstance(times, int):
        return lambda _: times
    value = compile_template(times or "", scope).value

    def rounds(env: Env) -> int:
        found = value(env)
        try:
            count = int(found)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"repeat.times is {shortened(str(found), 80)!r}, which is no number") from None
        if count > MAX_TIMES:
            raise ValueError(f"repeat.times is {count}, more than the {MAX_TIMES} that are possible")
        return count

    return rounds
