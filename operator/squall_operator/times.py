"""Moments as the API writes them: RFC 3339, UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(unix: float) -> str:
    """A moment, for the API."""
    return datetime.fromtimestamp(int(unix), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_of(text: str) -> float:
    """The moment that a text from the API names, Unix time; 0 for an empty one.

    Raises:
        ValueError: It names none.
    """
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def seconds_since(text: str, now: float) -> float:
    """How long ago a moment was, never negative; 0 for one that is not set, or that somebody has made unreadable."""
    try:
        then = unix_of(text)
    except ValueError:
        return 0.0
    return max(0.0, now - then) if then else 0.0
