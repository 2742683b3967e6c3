"""How much memory one response may take: a server must not be able to spend the generator's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one response may take.

    Attributes:
        max_head_bytes: Header, interim responses included.
        max_body_bytes: Body that is kept, as received and as decompressed.
        max_discarded_bytes: Body that is counted and thrown away; None: no limit but the timeout.
    """

    max_head_bytes: int = 65536
    max_body_bytes: int = 64 * 1024 * 1024
    max_discarded_bytes: int | None = None
