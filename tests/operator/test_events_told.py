"""Events about objects whatever their names are: the API server takes each."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_operator.events import Events

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""What the API server takes as an object's name."""


class Server:
    """Keeps what is made."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    async def create(self, _path: str, body: dict[str, Any]) -> None:
        self.made.append(body)


async def told(name: str) -> str:
    server = Server()
    body = {"kind": "LoadTest", "metadata": {"name": name, "namespace": "team", "uid": "u"}}
    await Events(server, lambda: 0.0).tell(body, "Normal", "LoadStarted", "x")  # type: ignore[arg-type]
    (event,) = server.made
    assert event["involvedObject"]["name"] == name
    return str(event["metadata"]["name"])


@pytest.mark.parametrize("cut", ["-", ".", "a-", "--", "a--"])
async def test_a_long_name_is_cut_where_a_name_may_end(cut: str) -> None:
    name = "x" * (200 - len(cut)) + cut + "y" * 20
    event = await told(name)
    assert SUBDOMAIN.fullmatch(event), event
    assert len(event) <= 253


@given(st.from_regex(SUBDOMAIN, fullmatch=True).filter(lambda name: len(name) <= 253))
async def test_every_name_gives_an_events_name(name: str) -> None:
    assert SUBDOMAIN.fullmatch(await told(name))
