"""Which nonce of an account comes next; pure.

A nonce is taken when a transaction is signed. When it is certain that the transaction will never be in a block under it,
the nonce is given back and is the first to be taken again, so that nothing behind it waits for ever.
"""

from __future__ import annotations

from bisect import insort


class Nonces:
    """The nonces of one account.

    Args:
        first: The one that the next transaction takes.
    """

    __slots__ = ("_free", "_next")

    def __init__(self, first: int) -> None:
        self._next = first
        self._free: list[int] = []

    @property
    def end(self) -> int:
        """All that were ever taken are below it."""
        return self._next

    @property
    def free(self) -> list[int]:
        """Those below `end` that were given back, lowest first."""
        return list(self._free)

    def take(self) -> int:
        """The lowest that nobody has."""
        if self._free:
            return self._free.pop(0)
        self._next += 1
        return self._next - 1

    def nth(self, place: int) -> int:
        """The one that `take` would return after being called so many times."""
        return self._free[place] if place < len(self._free) else self._next + place - len(self._free)

    def claim(self, nonce: int) -> bool:
        """Take this one, if it was given back."""
        if nonce not in self._free:
            return False
        self._free.remove(nonce)
        return True

    def give_back(self, nonce: int) -> None:
        """Nothing was or will be included under it."""
        if nonce in self._free or nonce >= self._next:
            return
        insort(self._free, nonce)
        while self._free and self._free[-1] == self._next - 1:
            self._next = self._free.pop()

    def advance(self, count: int) -> None:
        """The chain, or another user of the account, has used all below `count`: none of them is given out."""
        if self._free:
            self._free = [nonce for nonce in self._free if nonce >= count]
        self._next = max(self._next, count)
