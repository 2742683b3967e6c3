"""A module with functions for `python` steps."""

import asyncio
from typing import Any


async def fail(vu: Any) -> None:
    raise RuntimeError("boom")


released = False
"""Lets `stubborn` and `insistent` end, so that the test's own loop can."""


async def stubborn(vu: Any) -> None:
    """Does not take no for an answer."""
    while not released:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue


async def insistent(vu: Any) -> None:
    """Swallows cancellation and tries to send more."""
    while not released:
        try:
            await vu.http("GET", "/insist")
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            continue


async def ask(vu: Any) -> None:
    await vu.http("GET", "/x", headers={"X-Vu": str(vu.id)})


async def call(vu: Any, *, url: str) -> None:
    await vu.http("GET", url)


async def nothing(vu: Any) -> None:
    """Succeeds."""
