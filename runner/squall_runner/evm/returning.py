"""The end of a run's money: the sweep, and what the run's log says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.errors import SquallError
from squall.spec.amounts import native_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.evm.funds import Funds


async def give_back(funds: Funds, limit: float, note: Callable[..., None]) -> None:
    """Give back what all accounts of the run have, and say what came of it.

    Args:
        funds: The money of the run.
        limit: Seconds that it may take.
        note: See `Hooks.note`.
    """
    try:
        await funds.prepare()
        swept = await funds.sweep(limit)
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
