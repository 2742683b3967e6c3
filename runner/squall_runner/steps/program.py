"""From the steps of a manifest to something that runs: each kind knows how to compile itself.

A kind of step is one model in `squall.spec.steps` and one compiler in a module of this package, listed in `KINDS`.
Compiled steps are closures over everything that is known before the run; running one is `await step(vu)`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from squall_runner.steps import (
    branching,
    component,
    extras,
    grouping,
    http,
    parallel,
    poll,
    python,
    think,
    values,
)
from squall_runner.steps.context import Site
from squall_runner.steps.record import with_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.expr import Scope
    from squall.spec.steps import OnError
    from squall.spec.structs import Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Compiled, Context, StepFn

KINDS: Final[dict[str, Callable[[Step, Site, Scope, Compiler], Compiled]]] = {
    "http": http.compile_http,
    "poll": poll.compile_poll,
    "think": think.compile_think,
    "group": grouping.compile_group,
    "if": branching.compile_if,
    "choose": branching.compile_choose,
    "repeat": branching.compile_repeat,
    "parallel": parallel.compile_parallel,
    "set": values.compile_set,
    "check": values.compile_check,
    "python": python.compile_python,
    "evm": extras.compile_evm,
    "encrypt": extras.compile_encrypt,
    "decrypt": extras.compile_decrypt,
    "generate": extras.compile_generate,
}


@dataclass(frozen=True, slots=True)
class Program:
    """Steps that run one after the other.

    Attributes:
        run: Runs them for one VU.
        names: What they extract or set.
        steps: Each of them.
        pauses: For each of them, what makes its pause if it is a think step; empty when no pauses are made.
    """

    run: StepFn
    names: frozenset[str]
    steps: tuple[StepFn, ...]
    pauses: tuple[StepFn | None, ...] = ()

    def after(self, step: StepFn) -> Program:
        """The same steps after another one."""
        steps = (step, *self.steps)
        return Program(sequence(steps), self.names, steps, (None, *self.pauses) if self.pauses else ())

    def pauses_after(self, step: StepFn) -> Program | None:
        """What makes the pauses that are left when a step has failed, if any are.

        Without them a VU whose requests fail would begin the next iteration at once, and hit a target in trouble many
        times harder than one that is well.
        """
        left = tuple(pause for pause in self.pauses[self.steps.index(step) + 1 :] if pause is not None)
        return Program(sequence(left), frozenset(), left) if left else None


class Compiler:
    """Compiles the steps of one scenario.

    Args:
        ctx: What they share.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self._on_error: OnError = "endIteration"
        """What the steps around the one that is being compiled make of a failure that comes out of it."""
        self._timed = False
        """Whether one of them is timed as its component's."""

    def steps(self, steps: Sequence[Step], scope: Scope, place: str = "") -> Program:
        """Compile a list of steps.

        Args:
            steps: As in the manifest.
            scope: The names that are known before the first of them.
            place: The place of the step that holds the list, such as `2.`; part of the names of unnamed steps.

        Raises:
            ExpressionError: An expression is wrong.
            LoadError: A file or a function is not there.
        """
        found: list[StepFn] = []
        names: frozenset[str] = frozenset()
        for number, step in enumerate(steps, 1):
            compiled = self._step(step, scope.with_names(names), f"{place}{number}")
            found.append(compiled.run)
            names |= compiled.names
        return Program(sequence(found), names, tuple(found))

    def _step(self, step: Step, scope: Scope, place: str) -> Compiled:
        kind = _kind(step)
        around = self._on_error
        self._on_error = on_error = around if step.on_error == "endIteration" else step.on_error
        site = Site.of(step, step.name or f"{kind}-{place}", place, on_error, scope, self.ctx)
        compiled = self._in_component(step, kind, site, scope)
        self._on_error = around
        if step.record is not None and kind not in ("http", "poll"):
            compiled = with_record(compiled, step.record, site, scope)
        if step.on_error == "continue":
            compiled = compiled.containing()  # around `record`, which is to see that the step has failed
        return compiled if self.ctx.observer is None else compiled.observed(site, self.ctx.observer)

    def _in_component(self, step: Step, kind: str, site: Site, scope: Scope) -> Compiled:
        """Compile what a step does, and what it holds as parts of the same component."""
        around, ctx = self._timed, self.ctx
        timed = ctx.measured and not around and component.is_timed(step, kind, ctx)
        self._timed, self.ctx = around or timed, component.within(site)
        compiled = KINDS[kind](step, site, scope, self)
        self._timed, self.ctx = around, ctx
        return component.timed(compiled, site) if timed else compiled


def _kind(step: Step) -> str:
    """The one key of a step that says what it does."""
    reserved = {"if": step.if_step}
    return next(kind for kind in KINDS if reserved.get(kind, getattr(step, kind, None)) is not None)


def compile_steps(steps: Sequence[Step], scope: Scope, ctx: Context) -> Program:
    """Compile the steps of a scenario, of setup or of teardown; raises as `Compiler.steps`."""
    program = Compiler(ctx).steps(steps, scope)
    pauses = [think.compile_pause(step.think, ctx) if step.think else None for step in steps]
    if not (ctx.measured and ctx.pauses) or not any(pauses):
        return program
    return replace(program, pauses=tuple(pauses))


def sequence(steps: Sequence[StepFn]) -> StepFn:
    """One step that runs all of these."""
    if len(steps) == 1:
        return steps[0]

    async def run(vu: Vu) -> None:
        for step in steps:
            await step(vu)

    return run
