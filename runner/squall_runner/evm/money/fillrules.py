"""Whom one account fills, and how: what is said beforehand, and what has come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from squall.plan.funding import BATCH_GAS, FILL_GAS

SHARE_OF_BLOCK: Final = 2
"""A batch takes at most a half of a block's gas, so that it fits into one with others."""
MAX_GAS: Final = 1 << 24
"""Of one transaction, since EIP-7825."""


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody who is filled.

    Attributes:
        address: The 20 bytes.
        amount: What it is filled up to, in wei.
    """

    address: bytes
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How one account fills others.

    Attributes:
        batch: The most that are filled by one transaction.
        max_pending: The most transactions on their way.
        refill_below: Who is used again is filled when it has less, in wei; None: never.
        wait: Seconds for which somebody waits to be filled.
        patience: Seconds from the start in which a payer that has nothing at all is waited for: somebody else pays it.
    """

    batch: int = 100
    max_pending: int = 8
    refill_below: int | None = None
    wait: float = 30.0
    patience: float = 0.0


class Totals:
    """What was done so far.

    Attributes:
        filled: How many were filled.
        given: What they were given, in wei.
        spent: What that cost in gas, in wei.
        transactions: In how many transactions.
    """

    __slots__ = ("filled", "given", "spent", "transactions")

    def __init__(self) -> None:
        self.filled = self.given = self.spent = self.transactions = 0


def batch_size(most: int, block_gas: int) -> int:
    """How many are filled by one transaction: at most so many, and fewer where a block has too little gas."""
    room = min(block_gas // SHARE_OF_BLOCK, MAX_GAS) - BATCH_GAS
    return max(1, min(most, room // FILL_GAS))
