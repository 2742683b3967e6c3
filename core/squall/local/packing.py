"""Which process carries which shards, and how many processes this machine can use."""

from __future__ import annotations

import os

from squall.hub.assignment import deal


def cores() -> int:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def pack(shards: int, processes: int) -> tuple[tuple[int, ...], ...]:
    """Deal `shards` to at most `processes` hands; none stays empty.

    Args:
        shards: How many shards the run has, from 1.
        processes: How many processes may run, from 1.
    """
    return deal(range(shards), processes)
