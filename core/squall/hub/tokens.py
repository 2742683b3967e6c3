"""Who may speak to the hub: a token per run, derived, so that nothing has to be stored or read back.

The installation's key gives access to all runs (the operator's part); a run's token to that run alone. As the token is
HMAC-SHA256(key, run id), whoever has the key can make it again, and a runner that has a token learns nothing of the key.
"""

from __future__ import annotations

import hashlib
import hmac

_SCHEME = "Bearer "


def run_token(key: bytes, run: str) -> str:
    """The token of a run, as 64 hexadecimal digits."""
    return hmac.new(key, run.encode(), hashlib.sha256).hexdigest()


def bears(header: str | None, token: bytes) -> bool:
    """Whether an `Authorization` header bears this token; takes the same time whatever is wrong with it."""
    given = header[len(_SCHEME) :] if header and header.startswith(_SCHEME) else ""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token)
