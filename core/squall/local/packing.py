"""Which process carries which shards.

Shards are dealt like cards, not cut into blocks: where shards have roles, neighbours mostly do the same, and dealing
gives every process some of each.
"""

from __future__ import annotations

import os


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
    hands = min(shards, processes)
    return tuple(tuple(range(hand, shards, hands)) for hand in range(hands))
