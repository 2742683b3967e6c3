"""The end of a run's money: the sweep, and what the run's log says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.errors import SquallError
from squall.spec.amounts import native_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.evm.funds import Funds


_SETTLING_SECONDS: Final = 15.0
"""How long what teardown has sent is waited for, and a quarter of all the time at most."""


async def give_back(
    funds: Funds, limit: float, note: Callable[..., None], *, clock: Callable[[], float]
) -> None:
    """Give back what all accounts of the run have, and say what came of it.

    The accounts of this process are quiet from then on: who sends again, or fills gaps, would get in the way of what empties wallets.

    Args:
        funds: The money of the run.
        limit: Seconds that it may take.
        note: See `Hooks.note`.
        clock: Seconds, monotonic.
    """
    end = clock() + limit
    await funds.accounts.settle(min(_SETTLING_SECONDS, limit / 4))
    funds.accounts.quiet()
    try:
        await funds.prepare()
        swept = await funds.sweep(end - clock())
    except SquallError as error:
        message = f"what is left was not given back, run `squall evm sweep` later: {error.message}"
        note("warning", "SweepFailed", message=message, hint=error.hint)
        return
    message = f"{native_text(swept.returned)} went back to the funders, {native_text(swept.left)} is left"
    if swept.left:
        message += "; run `squall evm sweep` later"
    note(
        "warning" if swept.left else "info",
        "Swept",
        message=message,
        accounts=swept.accounts,
        returned=native_text(swept.returned),
        spent=native_text(swept.spent),
        left=native_text(swept.left),
    )
