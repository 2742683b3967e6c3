"""What an account has sent before, by a process that is gone or one elsewhere: waited for, so that it is not paid for twice.

Balances at the newest block do not show what is on its way. Whoever looks at them then and pays what is missing pays it once more. All
that waits behind it could not get into a block before it either, so waiting loses nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from squall_runner.evm.money.balances import Balances

_LOOK_SECONDS: Final = 1.0
_TOLD_AFTER: Final = 10


async def settle_earlier(
    look: Balances,
    addresses: Sequence[bytes],
    next_block: Callable[[], Awaitable[object]],
    told: Callable[[int], None],
) -> None:
    """Wait until what nodes hold of these accounts now is in blocks, or held no longer; what comes after it is not waited for.

    Args:
        look: Who is asked.
        addresses: The accounts.
        next_block: Waits for a block, however long that takes.
        told: Is told once, after a while, how many transactions are still waited for.

    Raises:
        RpcError: The node cannot be asked.
    """
    held = first = await look.nonces(addresses, block="pending")
    landed = await look.nonces(addresses)
    looks = 0
    while waiting := sum(
        max(0, min(begun, now) - done) for begun, now, done in zip(first, held, landed, strict=True)
    ):
        looks += 1
        if looks == _TOLD_AFTER:
            told(waiting)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await next_block()
        except TimeoutError:
            pass
        held = await look.nonces(addresses, block="pending")
        landed = await look.nonces(addresses)
