"""How much memory the measurements of one run may take at the hub, which holds those of all runs.

A few bytes of a snapshot can stand for thousands of buckets, each slot of a window holds every series that changed in it, and a
runner numbers its series as it likes. So whatever is kept of what a runner says is counted here, and where that is more than any honest run
takes, the runner's next word is refused.
"""

from __future__ import annotations

from typing import Final

RUN_BYTES: Final = 256 << 20
"""A run's own share."""
RUNNER_BYTES: Final = 256 << 10
"""More for each of its runners."""

DEFINITION_BYTES: Final = 256
"""A runner's series: its entry, and what was last taken of it."""
ENTRY_BYTES: Final = 128
"""A value in a slot."""
BUCKET_BYTES: Final = 8


class Room:
    """Counts what is kept.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int = RUN_BYTES) -> None:
        self._size = size
        self._left = size

    def take(self, size: int) -> None:
        """Note that so many bytes more are kept; fewer, where it is negative.

        Raises:
            ValueError: There is no room for them. They are counted all the same: they may be kept already.
        """
        self._left -= size
        if size > 0 and self._left < 0:
            raise ValueError(
                f"the measurements of this run take more than {self._size >> 20} MiB; "
                "use fewer tags, or shorter windows (`over`)"
            )
