"""Several operators and one Lease, on a real API server: one leads at any time, and another takes over soon."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.controlplane import ControlPlane
from support.kubes import client_of

from squall.kube.api import Kube, KubeError
from squall_operator.leader import Leadership

pytestmark = pytest.mark.control_plane
SECONDS = 3.0


class Candidate:
    """An operator that does nothing but try to lead; it can be cut off from the API server, and killed."""

    def __init__(self, kube: Kube, name: str, number: int) -> None:
        self.away = False
        self._real = kube
        self.leadership = Leadership(
            self,  # type: ignore[arg-type]
            "default",
            name,
            f"operator-{number}",
            time.monotonic,
            seconds=SECONDS,
            every=0.2,
        )
        self.task = asyncio.create_task(self.leadership.run())

    @property
    def leads(self) -> bool:
        return self.leadership.is_leader

    async def get(self, path: str) -> Any:
        return await self.request("GET", path)

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        if self.away:
            raise KubeError(0, "the Kubernetes API does not answer")
        return await self._real.request(method, path, body)

    async def release(self) -> None:
        """End as on SIGTERM."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def kill(self) -> None:
        """End without a farewell."""
        self.away = True
        await self.release()


@asynccontextmanager
async def candidates(plane: ControlPlane, count: int) -> AsyncIterator[list[Candidate]]:
    """So many of them; at no moment may two lead."""
    async with client_of(plane) as kube:
        name = f"lease-{uuid.uuid4().hex[:8]}"
        made = [Candidate(kube, name, number) for number in range(count)]
        together: list[list[int]] = []

        async def watch() -> None:
            while True:
                leading = [number for number, each in enumerate(made) if each.leads]
                if len(leading) > 1:
                    together.append(leading)
                await asyncio.sleep(0.005)

        watcher = asyncio.create_task(watch())
        try:
            yield made
        finally:
            watcher.cancel()
            for each in made:
                await each.release()
    assert together == []


async def until(holds: Callable[[], object]) -> float:
    """Wait; returns how long it took."""
    began = time.monotonic()
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)
    return time.monotonic() - began


def leader(made: list[Candidate]) -> Candidate | None:
    return next((each for each in made if each.leads), None)


@pytest.mark.parametrize("count", [2, 3])
async def test_one_leads_and_a_release_hands_over_at_once(control_plane: ControlPlane, count: int) -> None:
    async with candidates(control_plane, count) as made:
        await until(lambda: leader(made))
        seen: list[Candidate] = []
        while len(made) - len(seen) > 1:
            first = leader(made)
            assert first is not None
            seen.append(first)
            await first.release()
            # The Lease was given back: nobody has to wait until it runs out.
            assert await until(lambda: leader(made)) < SECONDS
        assert leader(made) not in seen


async def test_after_a_kill_another_leads_when_the_lease_has_run_out(control_plane: ControlPlane) -> None:
    async with candidates(control_plane, 3) as made:
        await until(lambda: leader(made))
        first = leader(made)
        assert first is not None
        await first.kill()
        others = [each for each in made if each is not first]
        # Not before: a process that is killed by halves may still be acting. Renewed at most a round before it died.
        assert await until(lambda: leader(others)) > SECONDS / 2


async def test_without_the_api_server_a_leader_stops_before_anybody_else_begins(
    control_plane: ControlPlane,
) -> None:
    async with candidates(control_plane, 2) as made:
        await until(lambda: leader(made))
        first = leader(made)
        assert first is not None
        first.away = True
        await until(lambda: not first.leads)
        assert leader(made) is None, "it stops while the Lease still holds"
        await until(lambda: leader(made))
        assert not first.leads
        first.away = False
        await asyncio.sleep(0.5)
        assert not first.leads, "who comes back finds the Lease taken"
