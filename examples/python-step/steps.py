"""Steps that are easier said in Python."""

from __future__ import annotations

import hashlib
from typing import Any


async def solve(vu: Any, *, difficulty: int) -> dict[str, Any]:
    """Find a number whose hash begins with some zeros, and ask the target with it.

    Args:
        vu: The virtual user: its `id`, `iteration`, `variables`, and `http` for measured requests.
        difficulty: How many zeros.

    Returns:
        The names listed in the step's `outputs`.
    """
    nonce = 0
    while not hashlib.sha256(f"{vu.id}.{nonce}".encode()).hexdigest().startswith("0" * difficulty):
        nonce += 1
    response = await vu.http("GET", "/health", headers={"X-Nonce": str(nonce)})
    return {"nonce": nonce, "healthy": response.status == 200}
