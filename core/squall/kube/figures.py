"""The figures in the status of a LoadTest: written by the operator, read by the command line, so both mean the same.

Whatever else stands in a status the two see differently: the operator has to know all of it, a reader passes over what it does not know.
"""

from __future__ import annotations

import msgspec


class Figures(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of figures."""


class Shards(Figures, frozen=True):
    """Shards by what they are doing."""

    desired: int = 0
    ready: int = 0
    running: int = 0
    lost: int = 0


class Live(Figures, frozen=True):
    """Figures of the last seconds."""

    elapsed_seconds: int = 0
    requests_per_second: float = 0.0
    error_rate: float = 0.0
    p95_seconds: float | None = None
    vus: int = 0
    requests: int = 0
