"""Finds the addresses of a receiver, of which policies may allow some only, and keeps nobody who does not want to know them.

A name server that does not answer holds a lookup for up to a minute, and a thread that looks up cannot be interrupted. From the loop's own
threads, of which there are few, that would take what others look up, such as the load's target; and a process waits for them before it
ends. So a lookup has a thread of its own, which nothing waits for, and there is one at a time: who asks again waits for the same answer.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiohttp.abc import AbstractResolver

from squall.spec.hosts import HostRules, address_of

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

_Question: TypeAlias = tuple[str, int, Any]
_Answer: TypeAlias = "list[tuple[Any, ...]] | OSError"
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class ForbiddenError(OSError):
    """A policy does not let anything go there."""


class Resolver(AbstractResolver):
    """Finds addresses, and gives those that every policy covers.

    Args:
        policies: The patterns of each.
    """

    def __init__(self, policies: tuple[tuple[str, ...], ...]) -> None:
        self._rules = tuple(HostRules.of(patterns) for patterns in policies)
        self._asked: dict[_Question, asyncio.Future[_Answer]] = {}

    def permit(self, host: str) -> None:
        """See to a host that is an address, which no resolver is asked about.

        Raises:
            ForbiddenError: It may not be reached, whatever its addresses are.
        """
        literal = address_of(host) is not None
        if not all(rules.covers(host) if literal else rules.may_cover(host) for rules in self._rules):
            raise ForbiddenError(f"a policy does not let anything go to {host}")

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            OSError: There are none.
            ForbiddenError: None of them may be reached.
        """
        answer = await self._ask((host, port, family))
        if isinstance(answer, OSError):
            raise answer
        found = [_result(host, *each) for each in answer]
        allowed = [each for each in found if all(_within(rules, host, each["host"]) for rules in self._rules)]
        if not allowed:
            raise ForbiddenError(f"a policy does not let anything go to {host}")
        return allowed

    async def close(self) -> None:
        """Nothing waits for a lookup."""

    async def _ask(self, question: _Question) -> _Answer:
        future = self._asked.get(question)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._asked[question] = loop.create_future()
            future.add_done_callback(lambda _: self._asked.pop(question))
            Thread(target=_look_up, args=(question, loop, future), name="squall-lookup", daemon=True).start()
        return await asyncio.shield(future)


def _look_up(question: _Question, loop: asyncio.AbstractEventLoop, future: asyncio.Future[_Answer]) -> None:
    host, port, family = question
    answer: _Answer
    try:
        answer = socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except OSError as error:
        answer = error
    except UnicodeError as error:  # no name of a host
        answer = OSError(str(error))
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(_settle, future, answer)


def _settle(future: asyncio.Future[_Answer], answer: _Answer) -> None:
    if not future.done():
        future.set_result(answer)


def _result(
    host: str, family: int, _kind: int, proto: int, _name: str, address: tuple[Any, ...]
) -> ResolveResult:
    zone = f"%{address[3]}" if family == socket.AF_INET6 and address[3] else ""
    return {
        "hostname": host,
        "host": f"{address[0]}{zone}",
        "port": address[1],
        "family": family,
        "proto": proto,
        "flags": _NUMERIC,
    }


def _within(rules: HostRules, host: str, text: str) -> bool:
    address = address_of(text)
    return rules.covers(host) or (address is not None and rules.covers_address(address))
