"""Brackets without end from a target are a failure of the step that reads them, whatever a user's code has done to the process."""

from __future__ import annotations

from typing import Any

from support.hostile import Peer, hostile
from support.squallrun import Squall, manifest

DEPTH = 100_000
RAISES = "import sys\nsys.setrecursionlimit(10_000_000)\n"
STEPS = f"{RAISES}async def work(vu):\n    (await vu.http('GET', '/')).json()\n"


def nested(peer: Peer) -> None:
    body = b"[" * DEPTH + b"]" * DEPTH
    while peer.request():
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


READERS: list[dict[str, Any]] = [
    {"http": {"url": "/"}, "extract": {"x": {"jsonPath": "$"}}},
    {"http": {"url": "/"}, "extract": {"x": {"jsonPath": "$..a"}}},
    {"http": {"url": "/"}, "extract": {"x": {"regex": "(.*)"}}},
    {"set": {"y": "${parseJson(x)}"}},
    {"python": {"file": "steps.py", "function": "work"}},
]


def test_no_answer_ends_a_runner_whose_recursion_limit_was_raised(squall: Squall) -> None:
    steps = [
        {"name": f"reader-{number}", "onError": "continue", **reader} for number, reader in enumerate(READERS)
    ]
    files = [{"name": "steps.py", "inline": STEPS}]
    with hostile(nested) as server:
        tolerant = {"saturation": {"tolerated": "100%"}}
        ended = squall(manifest(server.url, steps=steps, files=files, shards=1, safety=tolerant)).ended()
    assert ended.outcome()[1] == "Passed", ended.out
    failures = {each.step: each.error for each in ended.summary.errors}
    assert failures == {
        "reader-0": "decode",
        "reader-1": "decode",
        "reader-3": "expression",
        "reader-4": "python",
    }
