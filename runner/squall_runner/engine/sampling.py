"""Which iterations are logged: a share of them, each for itself or not at all.

Whether an iteration is in the sample follows from the run, the VU and the number of the iteration, and from nothing else: all that
happens in it is logged together, on whichever runner it is, and who knows a run's id can tell the sample without the log. Every
hundredth would meet the same row of test data again and again. So each VU begins anywhere between 0 and 1 and goes on by the golden ratio, of
which no multiple comes near a whole number: its iterations fall into any part of that range as evenly as can be, and never in step with anything.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fractions import Fraction

_MASK: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio."""


class Sample:
    """A share of a run's iterations.

    Args:
        run: The run's id.
        share: From 0 to 1.
    """

    __slots__ = ("_begins", "_limit", "_seed")

    def __init__(self, run: str, share: Fraction) -> None:
        self._seed = int.from_bytes(blake2b(run.encode(), digest_size=8).digest())
        self._limit = int(share * 2**64)
        self._begins: dict[int, int] = {}

    def holds(self, vu: int, iteration: int) -> bool:
        """Whether an iteration is in it.

        Args:
            vu: The VU's number, from 1.
            iteration: The iteration's number within this VU, from 0.
        """
        begin = self._begins.get(vu)
        if begin is None:
            begin = self._begins[vu] = _mixed(self._seed + vu)
        return (begin + iteration * _GOLDEN) & _MASK < self._limit


def _mixed(number: int) -> int:
    """64 bits in which each bit depends on all bits of the number.

    The step of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    """
    number = (number + _GOLDEN) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
