"""`evm.pace`: waiting for the turn of the transaction that follows, by gas.

The line is one for all VUs of a runner process, which has the shares of all its shards together: so the fleet keeps the limit exactly,
however shards are packed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from squall.spec.quantities import whole
from squall_runner.evm.sending.pacing import Pacer
from squall_runner.steps.context import Compiled
from squall_runner.steps.evm.common import Turn, chain_of

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.plan.share import Share
    from squall.spec.structs import EvmPace, EvmStep
    from squall_runner.engine.vu import Vu
    from squall_runner.evm.chain import Chain
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler


def compile_pace(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:  # noqa: ARG001 - all kinds alike
    """Compile waiting for a turn."""
    step = spec.pace
    assert step is not None, "the step is of this kind"
    chain = chain_of(compiler.ctx)
    gas = whole(step.gas) if step.gas is not None else None
    pacer: Pacer | None = None

    async def run(vu: Vu) -> None:
        nonlocal pacer
        if pacer is None:
            pacer = _pacer(step, chain, site.ctx.scenario)
        turn, acted = Turn(vu, chain.clock), site.ctx.acted
        vu.root.end_turn()
        try:
            with turn:
                vu.root.turn = await pacer.turn(gas)
        except asyncio.CancelledError:
            acted = None
            raise
        finally:
            if acted is not None and turn.begun:
                acted(site, vu, "pace", vu.ready - turn.begun, "", {})

    return Compiled(run)


def _pacer(step: EvmPace, chain: Chain, scenario: str) -> Pacer:
    """The line of this step; made when the first VU comes to it, as there are no accounts before the chain has been seen."""
    share = cast("Share", chain.shares_of(scenario))  # only its `of` is used
    if step.gas_per_second is not None:
        return Pacer.for_rate(whole(step.gas_per_second), share, chain.accounts)
    return Pacer.for_depth(whole(step.mempool_blocks or 1), share, chain.accounts)
