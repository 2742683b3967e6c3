"""The indexer: follows the chain and answers what the registry's events say, sooner and with less work than the chain does.

It is behind the chain by its own interval and a lag of choice, as indexers are: who has just added a file asks
more than once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from aiohttp import ClientError, web
from data_portability.chain import Contract, Event, Rpc, RpcError
from data_portability.limits import Faults, RefusedError

POLL_SECONDS = 0.25
PAGE = 100


class Feed:
    """The registry's events, in order, to all who listen: the chain is asked once for everybody."""

    def __init__(self, rpc: Rpc, registry: Contract) -> None:
        self._rpc, self._registry = rpc, registry
        self._listeners: list[Callable[[Event], None]] = []
        self.block = -1

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have it called with each event."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Follow the chain until cancelled; a node that does not answer is asked again."""
        while True:
            try:
                await self._advance()
            except (RpcError, ClientError, TimeoutError) as error:
                logging.getLogger("feed").warning("the node did not answer: %s", error)
            await asyncio.sleep(POLL_SECONDS)

    async def _advance(self) -> None:
        head = int(await self._rpc.call("eth_blockNumber"), 16)
        if head <= self.block:
            return
        for event in await self._registry.events(self.block + 1, head):
            for listener in self._listeners:
                listener(event)
        self.block = head


class Index:
    """The files of the registry, as far as they are indexed.

    Args:
        lag: Seconds from an event's arrival until it is indexed.
        clock: Seconds that only grow.
    """

    def __init__(self, lag: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._lag, self._clock = lag, clock
        self._waiting: deque[tuple[float, Event]] = deque()
        self._files: dict[int, dict[str, Any]] = {}
        self._by_owner: defaultdict[str, list[int]] = defaultdict(list)
        self._by_transaction: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, event: Event) -> None:
        """Take an event, to be indexed when its time has come."""
        self._waiting.append((self._clock() + self._lag, event))

    def file(self, number: int) -> dict[str, Any] | None:
        """A file by its id."""
        self._catch_up()
        return self._files.get(number)

    def files(self, *, owner: str = "", transaction: str = "") -> list[dict[str, Any]]:
        """The files of an owner, or of a transaction; or all, the newest first."""
        self._catch_up()
        if owner:
            numbers = self._by_owner[owner.lower()]
        elif transaction:
            numbers = self._by_transaction[transaction.lower()]
        else:
            numbers = list(self._files)
        return [self._files[number] for number in numbers[-PAGE:][::-1]]

    def counts(self) -> dict[str, int]:
        """How many files there are, and how many of them have come how far."""
        self._catch_up()
        held = self._files.values()
        return {
            "files": len(held),
            "permissions": sum(len(each["permissions"]) for each in held),
            "confirmed": sum(each["confirmed"] for each in held),
            "claimed": sum(each["claimed"] for each in held),
        }

    def _catch_up(self) -> None:
        now = self._clock()
        while self._waiting and self._waiting[0][0] <= now:
            self._apply(self._waiting.popleft()[1])

    def _apply(self, event: Event) -> None:
        args = event.args
        if event.name == "FileAdded":
            self._add_file(event)
            return
        file = self._files[args["fileId"]]
        if event.name == "PermissionGranted":
            granted = {name: args[name] for name in ("permissionId", "account", "key")}
            file["permissions"].append(granted)
        elif event.name == "ProofRequested":
            file["jobId"] = args["jobId"]
        elif event.name == "ProofConfirmed":
            file["confirmed"] = True
        elif event.name == "RewardClaimed":
            file["claimed"] = True

    def _add_file(self, event: Event) -> None:
        number, owner = event.args["fileId"], event.args["owner"]
        self._files[number] = {
            "fileId": number,
            "owner": owner,
            "url": event.args["url"],
            "transaction": event.transaction,
            "block": event.block,
            "permissions": [],
            "jobId": None,
            "confirmed": False,
            "claimed": False,
        }
        self._by_owner[owner.lower()].append(number)
        self._by_transaction[event.transaction.lower()].append(number)


INDEX = web.AppKey("index", Index)
FEED = web.AppKey("feed", Feed)
routes = web.RouteTableDef()


def make_app(feed: Feed, index: Index, faults: Faults) -> web.Application:
    """The indexer's HTTP interface."""
    app = web.Application(middlewares=[faults.middleware])
    app[INDEX], app[FEED] = index, feed
    app.add_routes(routes)
    return app


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Whether it is there, the last block it has seen, and what it holds."""
    counts = request.app[INDEX].counts()
    return web.json_response({"status": "ok", "block": request.app[FEED].block, "counts": counts})


@routes.get(r"/files/{number:\d+}")
async def file(request: web.Request) -> web.Response:
    """One file; 404 as long as it is not indexed."""
    found = request.app[INDEX].file(int(request.match_info["number"]))
    if found is None:
        raise RefusedError(404, "there is no such file, or not yet")
    return web.json_response(found)


@routes.get("/files")
async def files(request: web.Request) -> web.Response:
    """The newest files, of `owner` or of `transaction` when asked so."""
    query = request.query
    found = request.app[INDEX].files(owner=query.get("owner", ""), transaction=query.get("transaction", ""))
    return web.json_response({"files": found})
