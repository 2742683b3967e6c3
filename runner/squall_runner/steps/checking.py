"""Checks: conditions that are counted and never end an iteration by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.expr import CLOCK, RESPONSE_NAMES, RNG, EvaluationError, compile_expression
from squall_runner.recording import RateSeries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.expr import Env, Evaluate, Expression, Scope
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Response
    from squall_runner.steps.context import Site

    Check = Callable[[Vu, Response | None, str], None]
    """Takes the VU, the response if there is one, and the stage."""


def compile_checks(
    checks: Mapping[str, str] | None, site: Site, scope: Scope
) -> tuple[tuple[Check, ...], frozenset[str]]:
    """Compile checks by name; returns them and the names that their expressions use."""
    compiled = {name: compile_expression(text, scope) for name, text in (checks or {}).items()}
    names = frozenset().union(*(expression.names for expression in compiled.values()))
    if not compiled:
        return (), names
    if site.ctx.observer is not None:
        return tuple(_observed(name, expression, site) for name, expression in compiled.items()), names
    return (_check_all(compiled, site),), names


def _check_all(checks: Mapping[str, Expression], site: Site) -> Check:
    """All checks of a step as one: their series are looked up together."""
    evaluations = tuple((name, expression.evaluate) for name, expression in checks.items())
    found: dict[str, tuple[tuple[Evaluate, RateSeries, str], ...]] = {}
    measured, own, examples = site.ctx.measured, bool(site.own), site.ctx.examples
    traffic = site.ctx.traffic

    def find(vu: Vu, stage: str) -> tuple[tuple[Evaluate, RateSeries, str], ...]:
        nowhere = RateSeries("checks", ())
        rows = tuple(
            (evaluate, site.check(name, vu, stage) if measured else nowhere, name)
            for name, evaluate in evaluations
        )
        if not own:
            found[stage] = rows
        return rows

    def check(vu: Vu, response: Response | None, stage: str) -> None:
        env = vu.env
        for evaluate, rate, name in found.get(stage) or find(vu, stage):
            try:
                held = evaluate(env, response)
            except EvaluationError as error:
                held = False
                examples.keep(f"check {name}", site.ctx.scenario, site.name, error.message, error.hint)
            rate.total += 1
            if held:
                rate.hits += 1
            elif traffic is not None:
                traffic.check_failed(vu)

    return check


def _observed(name: str, expression: Expression, site: Site) -> Check:
    observer = site.ctx.observer
    assert observer is not None, "compiled for somebody who watches"

    def check(vu: Vu, response: Response | None, _: str) -> None:
        why = ""
        try:
            held = bool(expression.evaluate(vu.env, response))
        except EvaluationError as error:
            held, why = False, error.message
        observer.check(
            site, name, expression.source, held=held, seen=_seen(expression, vu.env, response), why=why
        )

    return check


def _seen(expression: Expression, env: Env, response: Response | None) -> dict[str, Any]:
    """The values of the names that an expression uses."""
    seen: dict[str, Any] = {}
    for name in sorted(expression.names - {"var", RNG, CLOCK}):
        try:
            if name not in RESPONSE_NAMES:
                seen[name] = env[name]
            elif response is not None:
                seen[name] = response.json() if name == "body" else getattr(response, name)
        except (KeyError, ValueError) as error:
            seen[name] = f"({error})"
    return seen
