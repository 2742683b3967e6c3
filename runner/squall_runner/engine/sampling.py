"""Which iterations are logged: a share of them, each for itself or not at all.

Whether an iteration is in the sample follows from the run, the VU and the number of the iteration, and from nothing else: all that
happens in it is logged together, on whichever runner it is, and who knows a run's id can tell the sample without the log. Drawing every
hundredth instead would pick the same row of test data again and again.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fractions import Fraction

_MASK: Final = 2**64 - 1


class Sample:
    """A share of a run's iterations.

    Args:
        run: The run's id.
        share: From 0 to 1.
    """

    __slots__ = ("_limit", "_seed")

    def __init__(self, run: str, share: Fraction) -> None:
        self._seed = int.from_bytes(blake2b(run.encode(), digest_size=8).digest())
        self._limit = int(share * 2**64)

    def holds(self, vu: int, iteration: int) -> bool:
        """Whether an iteration is in it.

        Args:
            vu: The VU's number, from 1.
            iteration: The iteration's number within this VU, from 0.
        """
        return _mixed(_mixed(self._seed + vu) + iteration) < self._limit


def _mixed(number: int) -> int:
    """64 bits in which each bit depends on all bits of the number.

    The step of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    """
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
