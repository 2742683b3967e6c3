"""What all runs that one process pushes may take together: a hub has a hundred of them, and one receiver that may be away.

A run alone is bounded, but a hundred times that is more memory than a hub has, and more time than its loop has, which judges all of them. So
they share: each that is pushed has at most its part of what there is for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHARE: Final = 0.05
"""Of one core, for making the requests of one run."""
SHARE_OF_ALL: Final = 0.25
"""And of all runs of a process."""
BUFFER_OF_ALL: Final = 128 * 1024 * 1024
"""Bytes that wait for a receiver that is away, by default."""


@dataclass(slots=True)
class Together:
    """Shared by the exporters of a process.

    Attributes:
        buffer_bytes: What may wait, of all of them.
        running: How many there are.
    """

    buffer_bytes: int = BUFFER_OF_ALL
    running: int = 0

    def buffer(self, wanted: int) -> int:
        """How many bytes may wait of one that may have so many alone."""
        return min(wanted, self.buffer_bytes // max(1, self.running))

    def pause(self, cost: float) -> float:
        """How long one that has taken so many seconds of the loop leaves it to others, in seconds."""
        return cost * (1 / min(SHARE, SHARE_OF_ALL / max(1, self.running)) - 1)
