"""How far another machine's monotonic clock is from the hub's, so that all runners start at the same moment.

Monotonic clocks of two machines share nothing but their pace. A ping that comes back shows the other clock at some moment
between sending and receiving; taking the middle is wrong by half the round trip at most (NTP's argument,
RFC 5905, section 8). So of several pings the one with the smallest round trip says it best. Clocks also drift apart by up
to some 100 ppm, 0.1 ms in a second: samples older than a few minutes are forgotten.
"""

from __future__ import annotations

from collections import deque
from typing import Final

KEEP: Final = 120
"""Samples kept: with a ping a second, two minutes, in which clocks drift apart by 12 ms at the very most."""


class ClockOffset:
    """The offset of another clock; all times in nanoseconds.

    Args:
        rough_ns: What it is taken to be until the first ping has come back.
    """

    def __init__(self, rough_ns: int = 0) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=KEEP)
        self._best = (0, rough_ns)

    @property
    def samples(self) -> int:
        """How many pings have come back, up to `KEEP`."""
        return len(self._samples)

    @property
    def round_trip_ns(self) -> int:
        """The smallest round trip seen; the offset is wrong by half of it at most."""
        return self._best[0]

    def add(self, sent_ns: int, remote_ns: int, received_ns: int) -> None:
        """Take in a ping: when it was sent, what the other clock said, when the answer was received.

        Raises:
            ValueError: It was received before it was sent, so the answer is not one.
        """
        if received_ns < sent_ns:
            raise ValueError("a ping cannot be answered before it is sent")
        self._samples.append((received_ns - sent_ns, remote_ns - (sent_ns + received_ns) // 2))
        self._best = min(self._samples, key=lambda sample: sample[0])

    def to_remote(self, hub_ns: int) -> int:
        """The other clock's reading at a moment of the hub's clock."""
        return hub_ns + self._best[1]

    def to_hub(self, remote_ns: int) -> int:
        """The hub's clock at a moment of the other clock."""
        return remote_ns - self._best[1]
