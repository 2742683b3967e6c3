"""One thing that was found in a run's figures."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """Something that was seen, and what to do about it (empty when there is nothing to do)."""

    text: str
    advice: str = ""
