"""How long to wait before asking again: pauses that grow and scatter, and what the server itself asks for.

Clients that all come back after the same pause come back together, and hit a target that has just fallen over as one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from squall.spec.quantities import fraction, seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from squall.spec.structs import Backoff

# Beyond this the power overflows, and the longest pause has been reached long before.
_MOST_STEPS: Final = 200


def growing(
    first: float, *, factor: float, most: float, jitter: float, least: float = 0.0
) -> Callable[[int, Random], float]:
    """What draws the n-th pause (from 1): `first * factor^(n-1)`, bounded, then scattered; all in seconds.

    Args:
        first: The first pause.
        factor: Each pause is the one before times this.
        most: The longest pause, before it is scattered.
        jitter: Each pause is longer or shorter by up to this share of it.
        least: No pause is shorter.
    """

    def pause(number: int, rng: Random) -> float:
        length = min(most, first * factor ** min(number - 1, _MOST_STEPS))
        if jitter:
            length *= 1 + jitter * (2 * rng.random() - 1)
        return max(least, length)

    return pause


def backing_off(first: float, spec: Backoff, *, least: float = 0.0) -> Callable[[int, Random], float]:
    """What draws the n-th pause, `first` seconds at first and then as a manifest says; as `growing`."""
    return growing(
        first,
        factor=float(spec.factor),
        most=seconds(spec.max),
        jitter=fraction(spec.jitter),
        least=least,
    )


def asked_pause(text: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float:
    """Seconds that a `Retry-After` asks to wait (RFC 9110, section 10.2.3).

    Args:
        text: The value of the field, seconds or a date; empty without one.
        now: What a date is compared with.

    Returns:
        0 when it asks for nothing, for a moment that has passed, or in words that nobody knows.
    """
    text = text.strip()
    if not text:
        return 0.0
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        due = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if due.tzinfo is None:
        due = due.replace(tzinfo=UTC)
    return max(0.0, (due - now()).total_seconds())
