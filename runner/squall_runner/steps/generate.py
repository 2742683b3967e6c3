"""`generate`: data to upload, as a user of a data network has it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from squall.errors import SquallError
from squall.spec.quantities import size_bytes
from squall_runner.evm.synthetic import generate_user_data
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import INTERNAL

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.spec.structs import Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler


def compile_generate(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:  # noqa: ARG001 - all kinds alike
    """Compile a generate step."""
    spec = step.generate
    assert spec is not None, "the step is of this kind"
    size, result = size_bytes(spec.size), spec.result
    observer = compiler.ctx.observer

    async def run(vu: Vu) -> None:
        env = vu.env
        run = env["run"]["id"]
        chance = Random(f"{run}/{vu.id}/{env['iter']}/{site.place}")  # noqa: S311 - made-up people
        wallet = vu.root.wallet
        user = f"vu-{vu.id}" if wallet is None else wallet.address
        try:
            text = generate_user_data(size, chance, run=run, user=user).decode("ascii")
        except SquallError as error:
            site.fail(vu, INTERNAL, error.message, error.hint)
        env[result] = text
        if observer is not None:
            observer.value(site, result, text)

    return Compiled(run, frozenset({result}))
