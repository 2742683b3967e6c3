"""Values that must never be printed, logged or kept with results.

They are collected apart from the manifest, in which only their references (`${var.password}`) remain, and
travel to the place where requests are made in an object that cannot be printed by accident.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

MASK = "***"
_SHORTEST = 3
"""Shorter values would mask every other character of a log and hide nothing."""


class Secrets(Mapping[str, str]):
    """Secret variables by name. Its `repr` and `str` show names only."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(f'{name}={MASK}' for name in self._values)})"

    def mask(self, text: str) -> str:
        """`text` with every secret value replaced by `***`, longer values first."""
        for value in sorted(set(self._values.values()), key=len, reverse=True):
            if len(value) >= _SHORTEST:
                text = text.replace(value, MASK)
        return text
