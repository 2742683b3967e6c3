"""An environment and a response for expressions, as a VU has them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from squall.expr import Scope


@dataclass
class View:
    """A response as `squall.expr.ResponseView` describes it."""

    status: int = 200
    text: str = '{"token": "abc", "nfts": [{"id": 1}, {"id": 2}], "nothing": null}'
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    duration: float = 0.25
    error: str = ""
    cookies: dict[str, str] = field(default_factory=lambda: {"session": "s1"})
    size: int = 2048

    def json(self) -> Any:
        return json.loads(self.text)


def environment(**more: Any) -> dict[str, Any]:
    return {
        "vu": 3,
        "iter": 7,
        "shard": 0,
        "scenario": "signup",
        "run": {"id": "r1", "name": "demo"},
        "var": {"baseUrl": "http://x", "password": "s3cret"},
        "data": {"users": {"email": "a@example.com", "name": 'Ann "A"'}},
        "token": "abc",
        "rng": random.Random(1),
        "clock": lambda: 1_700_000_000.5,
    } | more


SCOPE = Scope(
    variables=frozenset({"baseUrl", "password"}),
    data={"users": frozenset({"email", "name"})},
    secrets=frozenset({"password"}),
).with_names(["token"])
"""The scope of that environment, without a response and where secrets may not be used."""

REQUEST = SCOPE.with_secrets()
CHECK = SCOPE.with_response()
