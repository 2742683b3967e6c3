"""What comes before the steps of VUs with wallets: waiting until the wallet of this iteration has money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.errors import SquallError
from squall_runner.steps.context import Site
from squall_runner.steps.failure import WALLET, Halted

if TYPE_CHECKING:
    from squall_runner.engine.vu import Vu
    from squall_runner.evm.chain import Chain
    from squall_runner.steps.context import Context, StepFn

NAME: Final = "wallet"
"""What reports call this step."""


def compile_wallet(chain: Chain, ctx: Context) -> StepFn:
    """What waits for a VU's wallet to be filled."""
    site = Site(ctx, NAME, "0", "endIteration", ctx.tags)
    clock, waits = chain.clock, ctx.recorder.trend("evm_wallet_wait", site.tagged({}))

    async def run(vu: Vu) -> None:
        if chain.is_ready(vu):
            return
        if vu.root.halted:
            raise Halted
        begun = clock()
        try:
            await chain.ready(vu)
        except SquallError as error:
            if vu.root.halted:
                raise Halted from None
            site.fail(vu, WALLET, error.message, error.hint)
        finally:
            if ctx.measured:
                waits.add(clock() - begun)
            vu.root.yields += 1
            vu.ready = clock()

    return run
