"""What waits to be sent, in order and bounded: a receiver that is away costs memory up to a limit, and then its oldest samples.

Values are cumulative, so what is dropped is resolution: those that come later bring the same totals.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.export.wire import Body


class Buffer:
    """A queue of requests.

    Args:
        most: Bytes that it may hold at the moment, beside the request that is on its way. One request alone may be larger.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._bodies: deque[Body] = deque()
        self.size = 0
        """Bytes."""
        self.samples = 0
        self.dropped = 0
        """Samples that had no room."""
        self._held: Body | None = None

    def __len__(self) -> int:
        return len(self._bodies)

    def put(self, body: Body) -> None:
        """Add a request; the oldest give way to it."""
        self._bodies.append(body)
        self.size += len(body.data)
        self.samples += body.samples
        held, most = len(self._held.data) if self._held else 0, self._most()
        while self.size - held > most and len(self._bodies) > 1 + (self._held is not None):
            self.dropped += self._remove(1 if self._held else 0).samples

    def hold(self) -> Body:
        """The request that is to be sent next; it does not give way until `done`."""
        self._held = self._bodies[0]
        return self._held

    def done(self) -> None:
        """The request that was held is over with."""
        self._held = None
        self._remove(0)

    def oldest_ms(self) -> int | None:
        """Of when the oldest request is; None when nothing waits."""
        return self._bodies[0].at_ms if self._bodies else None

    def _remove(self, index: int) -> Body:
        body = self._bodies[index]
        del self._bodies[index]
        self.size -= len(body.data)
        self.samples -= body.samples
        return body

    def clear(self) -> int:
        """Give up; returns how many samples were not sent."""
        left = self.samples
        self._bodies.clear()
        self._held = None
        self.size = self.samples = 0
        return left
