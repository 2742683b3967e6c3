"""`if`, `choose` and `repeat`: steps that run or not, or again."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from squall.expr import EvaluationError, compile_expression, compile_template, name_problem
from squall.expr.errors import ExpressionError
from squall.spec.base import whole
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import EXPRESSION, LIMIT, Halted

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr import Scope
    from squall.spec.steps import Repeat, Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Site
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
    again = _while(spec, inner_scope.with_names(inner.names)) if spec.while_condition else _times(spec, scope)
    limit = whole(spec.limit)

    async def run(vu: Vu) -> None:
        env, done = vu.env, 0
        while True:
            if index is not None:
                env[index] = done
            try:
                if not again(vu, done):
                    return
            except (EvaluationError, ValueError) as error:
                site.fail(vu, EXPRESSION, str(error))
            if done >= limit:
                site.fail(
                    vu,
                    LIMIT,
                    f"after {done} rounds it is still not over",
                    "raise repeat.limit, or mend its end",
                )
            if vu.root.halted:
                raise Halted
            await inner.run(vu)
            done += 1

    return Compiled(run, inner.names)


def _while(spec: Repeat, scope: Scope) -> Callable[[Vu, int], bool]:
    # What the steps set is known to the condition only after the first round: it may ask with `default`.
    condition = compile_expression(spec.while_condition or "", scope).evaluate
    return lambda vu, _: bool(condition(vu.env))


def _times(spec: Repeat, scope: Scope) -> Callable[[Vu, int], bool]:
    if isinstance(spec.times, int):
        fixed = spec.times
        return lambda _, done: done < fixed
    value = compile_template(str(spec.times), scope).value

    def again(vu: Vu, done: int) -> bool:
        found = value(vu.env)
        try:
            return done < int(found)
        except (TypeError, ValueError):
            raise ValueError(f"repeat.times is {str(found)[:80]!r}, which is no number") from None

    return again
