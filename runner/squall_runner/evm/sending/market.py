"""What the chain asks for gas just now, for all accounts of a runner: no call per transaction.

The base fee comes with each block that the follower sees. What nodes suggest as the priority fee moves slowly, so it is asked
for once in `KEPT_BLOCKS` blocks, and meanwhile the former suggestion holds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending.asking import ask_number
from squall_runner.evm.sending.fees import Offer, above_limit, offer

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.evm.sending.asking import Asks, Follows
    from squall_runner.evm.sending.fees import FeePolicy

KEPT_BLOCKS: Final = 10


class FeeMarket:
    """Makes offers.

    Args:
        rpc: Who is asked for a suggestion.
        follower: Whose head has the base fee.
        dear: Is told, once until the base fee is below a policy's limit again, that somebody waits for that.
    """

    __slots__ = ("_asked_at", "_asking", "_dear", "_follower", "_is_dear", "_rpc", "_suggested")

    def __init__(self, rpc: Asks, follower: Follows, dear: Callable[[str], None] = lambda _: None) -> None:
        self._dear = dear
        self._is_dear = False
        self._rpc = rpc
        self._follower = follower
        self._suggested: int | None = None
        self._asked_at = 0
        self._asking: asyncio.Task[None] | None = None

    @property
    def base_fee(self) -> int:
        """Of the newest block; 0 on a chain without base fees, and before the first block was seen."""
        head = self._follower.head
        return 0 if head is None else head.base_fee

    def offer(self, policy: FeePolicy) -> Offer | None:
        """What a transaction offers now; None while that is not known, or the base fee is above the policy's limit."""
        head = self._follower.head
        if head is None:
            return None
        suggested = 0
        if policy.needs_suggestion:
            if self._suggested is None:
                return None
            suggested = self._suggested
            if head.number - self._asked_at >= KEPT_BLOCKS:
                self._ask()
        return offer(policy, head.base_fee, suggested)

    async def wait(self, policy: FeePolicy) -> Offer:
        """The same, as soon as there is an offer; waits for blocks as long as the base fee is above the policy's limit.

        Raises:
            RpcError: No node suggests a fee.
        """
        while (made := self.offer(policy)) is None:
            if self._follower.head is not None and policy.needs_suggestion and self._suggested is None:
                await asyncio.shield(self._ask())
            else:
                self._tell(policy)
                await self._follower.next_head()
        self._is_dear = False
        return made

    def _tell(self, policy: FeePolicy) -> None:
        why = above_limit(self.base_fee, policy)
        if why and not self._is_dear:
            self._is_dear = True
            self._dear(f"{why}: what is to be sent waits until it is lower")

    def forget(self) -> None:
        """A node refused what was offered: ask anew before the next offer that needs a suggestion."""
        self._asked_at = -KEPT_BLOCKS

    async def close(self) -> None:
        """End what goes on in the background."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _ask(self) -> asyncio.Task[None]:
        """Ask for a suggestion, unless that is under way. A task, as many wait for it and none of them owns it."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._refresh())
            self._asking.add_done_callback(self._asked)
        return self._asking

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # who waits hears of it; an older suggestion goes on where nobody does

    async def _refresh(self) -> None:
        head = self._follower.head
        number = 0 if head is None else head.number
        # Not again at each transaction when this fails.
        self._asked_at = number
        if head is not None and head.base_fee:
            try:
                self._suggested = await ask_number(self._rpc, "eth_maxPriorityFeePerGas")
            except RpcError as error:
                if error.kind is not Kind.METHOD_UNKNOWN:
                    raise
            else:
                return
        price = await ask_number(self._rpc, "eth_gasPrice")
        self._suggested = max(0, price - self.base_fee)
