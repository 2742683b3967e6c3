"""What a shard's users see of wallets and money: take one, and wait until it has enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from squall_runner.evm.money.funding import Filler
    from squall_runner.evm.money.wallets import WalletPool


class ShardWallets:
    """The wallets of one shard.

    Args:
        pool: Which of them is taken.
        filler: Fills them; None when they use what they have.
    """

    __slots__ = ("_taken", "filler", "pool")

    def __init__(self, pool: WalletPool, filler: Filler | None) -> None:
        self.pool = pool
        self.filler = filler
        self._taken: set[int] = set()

    def take(self, vu: int) -> int:
        """The wallet for an iteration of a VU, by its number in the whole run; at once, whether it is filled or not.

        Raises:
            DataExhausted: As `WalletPool.acquire`.
            DataError: Likewise.
        """
        index = self.pool.acquire(vu)
        if self.filler is not None:
            if index in self._taken:
                self.filler.used(index)
            else:
                self._taken.add(index)
                self.filler.taken()
        return index

    def short(self, index: int) -> None:
        """A wallet had too little to pay for a transaction."""
        if self.filler is not None:
            self.filler.short(index)

    async def ready(self, index: int) -> None:
        """Wait until a wallet that was taken has enough.

        Raises:
            FundingError: It was not filled.
        """
        if self.filler is not None:
            await self.filler.ready(index)
