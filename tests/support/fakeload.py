"""A runner process whose load is a counter: `python fakeload.py LOG` is `python -m squall_runner` but for the engine.

Each pretended request is a line with the monotonic clock in LOG, so that tests see what was sent, and when. Behaviour
is chosen by metadata.annotations of the manifest: `fail-prepare`, `fail-setup`, `crash`, `abort-at-slot`, and `seconds` where
the scenario has no duration.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from squall.hub.protocol import Assignment, Level
from squall.metrics.names import Kind
from squall.metrics.snapshot import SeriesDef, Snapshot
from squall_runner.load import Hooks, LoadError
from squall_runner.main import read_assignment, run

PERIOD = 0.02


class FakeLoad:
    def __init__(self, assignment: Assignment, attempt: str, hooks: Hooks) -> None:
        self.assignment = assignment
        self.attempt = attempt
        self.hooks = hooks
        self.last_request_ns = 0
        self.values: dict[str, Any] = {}
        self._sent = 0
        self._defined = False
        self._stopped = asyncio.Event()
        self._wishes = assignment.manifest["metadata"].get("annotations", {})
        duration = assignment.manifest["spec"]["scenarios"][0].get(
            "duration", self._wishes.get("seconds", "")
        )
        self._seconds = float(duration.removesuffix("s"))
        self._log = open(sys.argv[1], "a", buffering=1)  # noqa: SIM115 - for the life of the process

    async def prepare(self) -> None:
        if "fail-prepare" in self._wishes:
            raise LoadError("TargetUnreachable", "nothing listens there", "start the target")

    async def setup(self) -> dict[str, Any]:
        self._log.write("setup\n")
        if "fail-setup" in self._wishes:
            raise LoadError("SetupFailed", "the login was refused")
        return {"token": "t1"}

    def use_setup(self, values: dict[str, Any]) -> None:
        self._log.write(f"values {values}\n")

    async def drive(self, start_ns: int) -> None:
        if "crash" in self._wishes:
            raise RuntimeError("a defect")
        left = start_ns - time.monotonic_ns()
        await asyncio.sleep(max(0, left) / 1e9)
        end = start_ns + round(self._seconds * 1e9)
        while not self._stopped.is_set() and time.monotonic_ns() < end:
            self.last_request_ns = time.monotonic_ns()
            self._sent += 1
            self._log.write(f"{self.last_request_ns}\n")
            if self._sent == int(self._wishes.get("abort-at-request", -1)):
                self.hooks.abort("StepAborted", "a step asked for it")
            try:
                async with asyncio.timeout(PERIOD):
                    await self._stopped.wait()
            except TimeoutError:
                pass

    def level(self, order: Level) -> None:
        self._log.write(f"level {order.number} {order.target}\n")

    def stop(self, grace_seconds: float) -> None:
        self._stopped.set()

    async def teardown(self) -> None:
        self._log.write("teardown\n")

    def measure(self, slot: int) -> Snapshot:
        defs = [] if self._defined else [SeriesDef(0, "http_reqs", Kind.COUNTER, (("scenario", "s"),))]
        self._defined = True
        return Snapshot(
            self.assignment.runner, self.attempt, slot, defs=defs, counters=[(0, float(self._sent))]
        )

    async def close(self) -> None:
        self._log.close()


if __name__ == "__main__":
    sys.exit(run(read_assignment(None), FakeLoad))
