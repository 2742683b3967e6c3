"""How many retries a host is given: a share of the requests, and a few beside it.

Three tries for each request are three times the load, on a target that could not carry one. With a budget, retries
mend the failures of a target that is well, and die out at one that is not.
"""

from __future__ import annotations

from typing import Final

RESERVE: Final = 10
"""Retries that are there from the beginning, and the most that are ever saved up."""
TOKEN: Final = 1_000_000
"""One retry, in the integers that a budget is kept in: shares are added millions of times."""


class RetryBudget:
    """A token bucket: each request puts its share in, each retry takes a whole token out.

    In any stretch of the run there are at most `share * requests + RESERVE` retries.
    """

    __slots__ = ("_saved",)

    def __init__(self) -> None:
        self._saved = RESERVE * TOKEN

    @property
    def full(self) -> bool:
        """Whether it is as it was in the beginning."""
        return self._saved == RESERVE * TOKEN

    def deposit(self, share: int) -> None:
        """A request is sent, not counting retries; `share` is in parts of `TOKEN`."""
        saved = self._saved + share
        self._saved = min(RESERVE * TOKEN, saved)

    def spend(self) -> bool:
        """Whether another retry may be made; if so, it is paid for."""
        if self._saved < TOKEN:
            return False
        self._saved -= TOKEN
        return True
