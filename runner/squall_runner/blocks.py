"""Setup and teardown as the hub hears of them: however they end, it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.hub import protocol
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from squall_runner.load import Load


async def set_up(load: Load) -> protocol.SetupDone:
    """Run setup; returns what it extracted, or why it failed."""
    try:
        return protocol.SetupDone(await load.setup())
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, the hub must hear of it
        return protocol.SetupDone({}, _told(error), error.reason if isinstance(error, LoadError) else "")


async def tear_down(load: Load | None) -> protocol.TeardownDone:
    """Run teardown, if there is a load; returns how it went."""
    try:
        if load is not None:
            await load.teardown()
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, the hub must hear of it
        return protocol.TeardownDone(_told(error))
    return protocol.TeardownDone("")


def _told(error: Exception) -> str:
    return error.message if isinstance(error, LoadError) else f"{type(error).__name__}: {error}"
