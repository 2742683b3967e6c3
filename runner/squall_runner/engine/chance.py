"""Chance that costs nothing until it is used.

Every VU has a source of chance of its own, so that what one does never changes what another draws. The state of such a
source takes 2.5 KiB, and most scenarios never draw anything: for ten thousand VUs that would be the largest part of them.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class _Chance:
    """A `Random` that is made on first use.

    Args:
        seed: The same seed gives the same values.
    """

    __slots__ = ("_made", "_seed", "random")

    random: Callable[[], float]

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._made: Random | None = None

    def __getattr__(self, name: str) -> Any:
        """Finds what this object itself does not have, which is everything at first, and later all but `random`."""
        made = self._made
        if made is None:
            made = self._made = Random(self._seed)  # noqa: S311 - chance for load, not for secrets
            self.random = made.random
        return getattr(made, name)


def chance(seed: str) -> Random:
    """Returns a source of chance that takes no memory until it is used."""
    return cast("Random", _Chance(seed))
