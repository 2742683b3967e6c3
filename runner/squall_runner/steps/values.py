"""`set` and `check`: values and conditions that need no response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.expr import EvaluationError, compile_template, name_problem
from squall.expr.errors import ExpressionError
from squall_runner.steps.checking import compile_checks
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import EXPRESSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr import Env, Scope
    from squall.spec.structs import Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler


def compile_set(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a set step. Its names get their values together: the order of keys means nothing, as an API server sorts them."""
    assert step.set is not None, "the step is of this kind"
    makers: list[tuple[str, Callable[[Env], Any]]] = []
    for name, value in step.set.items():
        if problem := name_problem(name):
            raise ExpressionError(f"set: {problem}")
        makers.append((name, compile_value(value, scope)))
    observer = compiler.ctx.observer

    async def run(vu: Vu) -> None:
        env = vu.env
        values: dict[str, Any] = {}
        for name, make in makers:
            try:
                values[name] = make(env)
            except EvaluationError as error:
                site.fail(vu, EXPRESSION, f"set {name}: {error.message}", error.hint)
        env.update(values)
        if observer is not None:
            for name, value in values.items():
                observer.value(site, name, value)

    return Compiled(run, frozenset(step.set))


def compile_value(value: Any, scope: Scope) -> Callable[[Env], Any]:
    """A tree with templates in its texts; a text that is exactly one `${...}` keeps the expression's type."""
    if isinstance(value, str):
        return compile_template(value, scope).value
    if isinstance(value, dict):
        fields = [
            (compile_template(str(key), scope).render, compile_value(v, scope)) for key, v in value.items()
        ]
        return lambda env: {key(env): make(env) for key, make in fields}
    if isinstance(value, list):
        items = [compile_value(item, scope) for item in value]
        return lambda env: [make(env) for make in items]
    return lambda _: value


def compile_check(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:  # noqa: ARG001 - all kinds alike
    """Compile a check step."""
    checks, _ = compile_checks(step.check, site, scope)

    async def run(vu: Vu) -> None:
        stage = vu.scenario.stage
        for check in checks:
            check(vu, None, stage)

    return Compiled(run)
