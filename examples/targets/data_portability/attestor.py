"""The attestor: looks at what is registered and confirms proofs of contribution, many with one transaction."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import ClientError
from data_portability.chain import Contract, Event, Rpc, RpcError, TransactionFailedError

BATCH = 200
GAS_FIXED, GAS_EACH = 60_000, 60_000
PAUSE_SECONDS = 0.1


class Attestor:
    """Confirms each requested proof.

    Args:
        rpc: The node.
        registry: The contract.
        account: The attestor's, whose key the node holds.
        delay: Seconds that the validation of a proof takes.
    """

    def __init__(self, rpc: Rpc, registry: Contract, account: str, delay: float = 0.0) -> None:
        self._rpc, self._registry, self._account, self._delay = rpc, registry, account, delay
        self._requested: asyncio.Queue[tuple[float, int]] = asyncio.Queue()

    def take(self, event: Event) -> None:
        """Look at an event; a request is confirmed later."""
        if event.name == "ProofRequested":
            due = asyncio.get_running_loop().time() + self._delay
            self._requested.put_nowait((due, event.args["jobId"]))

    async def run(self) -> None:
        """Confirm until cancelled. A transaction that failed is sent again: no request is lost."""
        while True:
            jobs = await self._due()
            while True:
                try:
                    await self._confirm(jobs)
                    break
                except (RpcError, TransactionFailedError, ClientError, TimeoutError) as error:
                    logging.getLogger("attestor").warning("proofs not confirmed: %s", error)
                    await asyncio.sleep(1.0)

    async def _due(self) -> list[int]:
        """The next requests, at least one; those that come shortly after it go with it."""
        due, job = await self._requested.get()
        await asyncio.sleep(max(PAUSE_SECONDS, due - asyncio.get_running_loop().time()))
        jobs = [job]
        while len(jobs) < BATCH and not self._requested.empty():
            jobs.append(self._requested.get_nowait()[1])
        return jobs

    async def _confirm(self, jobs: list[int]) -> None:
        gas = GAS_FIXED + GAS_EACH * len(jobs)
        await self._rpc.receipt(await self._registry.send(self._account, gas, "confirmProofs", jobs))
