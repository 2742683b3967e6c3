"""Names to addresses: asked once per time to live, used all of them.

A load balancer behind a DNS name shows as several addresses; a generator that keeps to the first one tests a third of
the system. A generator that asks for every connection tests the DNS server. `getaddrinfo` tells no time to live, so
it is a setting.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

_MAX_ENTRIES = 1024

Address = tuple[int, tuple[Any, ...]]
"""Address family and socket address, as `socket.connect` takes them."""
Lookup = Callable[[str, int], Awaitable[Sequence[Address]]]


async def system_lookup(host: str, port: int) -> list[Address]:
    """Asks the system's resolver.

    Raises:
        OSError: The name has no address.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


@dataclass(slots=True)
class _Entry:
    addresses: list[Address]
    expires: float
    turn: int = 0
    failed: set[Address] = field(default_factory=set)


class Resolver:
    """A cache of addresses, shared by all VUs of a process.

    Args:
        clock: Seconds, monotonic.
        ttl: How long an answer is used, in seconds.
        lookup: Who is asked.
    """

    def __init__(
        self, clock: Callable[[], float], *, ttl: float = 60.0, lookup: Lookup = system_lookup
    ) -> None:
        self._clock = clock
        self._ttl = ttl
        self._lookup = lookup
        self._entries: dict[tuple[str, int], _Entry] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[_Entry]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Returns the addresses in the order in which they should be tried.

        The addresses of the preferred family take turns at the first place; those of the other family, and those that
        failed lately, stand behind them.

        Raises:
            OSError: The name has no address.
        """
        key = (host, port)
        entry = self._entries.get(key)
        if entry is None or entry.expires <= self._clock():
            entry = _literal(host, port) or await self._ask(key)
            if len(self._entries) >= _MAX_ENTRIES:  # redirects may lead to any number of hosts
                del self._entries[next(iter(self._entries))]
            self._entries[key] = entry
        return _order(entry)

    def failed(self, host: str, port: int, address: Address) -> None:
        """Notes that no connection to an address was possible: it goes last until the entry expires."""
        entry = self._entries.get((host, port))
        if entry is not None:
            entry.failed.add(address)

    async def close(self) -> None:
        """Gives up questions that are still open."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, key: tuple[str, int]) -> _Entry:
        """Asks once for everybody who wants to know; one who gives up does not disturb the others."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.get_running_loop().create_task(self._answer(key))
            task.add_done_callback(lambda done: self._answered(key, done))
        try:
            return await asyncio.shield(task)
        finally:
            del task  # a failure of it holds this frame, and would until a garbage collection

    async def _answer(self, key: tuple[str, int]) -> _Entry:
        addresses = list(await self._lookup(*key))
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        return _Entry(addresses, self._clock() + self._ttl)

    def _answered(self, key: tuple[str, int], task: asyncio.Task[_Entry]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains when all who asked have gone


def _literal(host: str, port: int) -> _Entry | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return _Entry([(socket.AF_INET, (host, port))], float("inf"))
    if "%" in host:  # a zone has to be looked up
        return None
    return _Entry([(socket.AF_INET6, (host, port, 0, 0))], float("inf"))


def _order(entry: _Entry) -> list[Address]:
    if len(entry.addresses) == 1:
        return entry.addresses
    preferred = entry.addresses[0][0]
    first = [a for a in entry.addresses if a[0] == preferred and a not in entry.failed]
    others = [a for a in entry.addresses if a[0] != preferred and a not in entry.failed]
    entry.turn += 1
    turn = entry.turn % len(first) if first else 0
    return [*first[turn:], *first[:turn], *others, *(a for a in entry.addresses if a in entry.failed)]
