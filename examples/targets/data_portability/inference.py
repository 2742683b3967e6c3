"""The AI job service: jobs wait in a queue for a worker, and each account may submit only so many.

What is inferred does not matter to a load test; what does is that a job takes its time, that more jobs than workers
wait, and that an account which asks too fast is told to come back later (429 with Retry-After). `/metrics` shows the queue to
Prometheus.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from data_portability.limits import Faults, RefusedError, TokenBucket, json_body

KEPT_JOBS = 20_000


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """How the service behaves.

    Args:
        accounts: How many accounts there are.
        rate: Jobs per second that one account may submit; 0 for no limit.
        burst: Jobs at once that one account may submit after a quiet time.
        workers: Jobs that run at once.
        seconds: Mean time that a job runs; single ones vary by half of it.
        longest_queue: Jobs that may wait; more are refused with 503.
        failure_rate: Share of jobs that fail.
        latency: Mean seconds that each answer takes longer.
        seed: Of chance.
    """

    accounts: int = 3
    rate: float = 5.0
    burst: int = 10
    workers: int = 20
    seconds: float = 2.0
    longest_queue: int = 5000
    failure_rate: float = 0.0
    latency: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Job:
    """A job, on its way from queued over running to done or failed."""

    account: str
    prompt: str
    number: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "queued"
    result: dict[str, Any] | None = None


class Inference:
    """The queue, its workers, and the accounts.

    Args:
        options: How it behaves.
        seed: Makes the accounts' keys, the same ones at every start.
        clock: Seconds that only grow.
    """

    def __init__(self, options: InferenceOptions, seed: str, clock: Callable[[], float]) -> None:
        self.options = options
        self.keys = {
            f"ai-{number}": hashlib.sha256(f"{seed}/ai/{number}".encode()).hexdigest()
            for number in range(1, options.accounts + 1)
        }
        self._accounts = {key: name for name, key in self.keys.items()}
        self._buckets = {name: TokenBucket(options.rate, options.burst, clock) for name in self.keys}
        self._random = random.Random(options.seed)
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._jobs: dict[str, Job] = {}
        self._order: deque[str] = deque()
        self.running = 0
        self.counts = {"submitted": 0, "done": 0, "failed": 0, "rate_limited": 0, "queue_full": 0}

    @property
    def depth(self) -> int:
        """How many jobs wait."""
        return self._queue.qsize()

    def account_of(self, key: str) -> str:
        """Whose key it is.

        Raises:
            RefusedError: Nobody's.
        """
        account = self._accounts.get(key)
        if account is None:
            raise RefusedError(401, "the API key is no account's")
        return account

    def submit(self, account: str, prompt: str) -> Job:
        """Queue a job.

        Raises:
            RefusedError: The account asks too fast, or the queue is full.
        """
        wait = self._buckets[account].wait()
        if wait > 0:
            self.counts["rate_limited"] += 1
            raise RefusedError(429, f"{account} submits too many jobs", retry_after=wait)
        if self.depth >= self.options.longest_queue:
            self.counts["queue_full"] += 1
            raise RefusedError(503, "the queue is full", retry_after=1.0)
        job = Job(account, prompt)
        self._jobs[job.number] = job
        self._order.append(job.number)
        if len(self._order) > KEPT_JOBS:
            self._jobs.pop(self._order.popleft(), None)
        self._queue.put_nowait(job)
        self.counts["submitted"] += 1
        return job

    def job(self, number: str) -> Job:
        """A job by its number.

        Raises:
            RefusedError: There is none.
        """
        found = self._jobs.get(number)
        if found is None:
            raise RefusedError(404, "there is no such job")
        return found

    async def work(self) -> None:
        """Do the jobs until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self.options.workers):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            job.status = "running"
            self.running += 1
            try:
                await asyncio.sleep(self.options.seconds * self._random.uniform(0.5, 1.5))
            finally:
                self.running -= 1
            failed = self._random.random() < self.options.failure_rate
            job.status = "failed" if failed else "done"
            self.counts[job.status] += 1
            if not failed:
                words = len(job.prompt.split())
                job.result = {"text": f"An answer to a prompt of {words} words.", "tokens": 20 + words}


SERVICE = web.AppKey("service", Inference)
routes = web.RouteTableDef()


def make_app(service: Inference, faults: Faults) -> web.Application:
    """The service's HTTP interface."""
    app = web.Application(middlewares=[faults.middleware])
    app[SERVICE] = service
    app.add_routes(routes)
    return app


def _shown(job: Job) -> dict[str, Any]:
    return {"jobId": job.number, "status": job.status, "result": job.result}


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Whether it is there, and how long its queue is."""
    service = request.app[SERVICE]
    return web.json_response(
        {"status": "ok", "queue": service.depth, "running": service.running, "counts": service.counts}
    )


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """The queue, in Prometheus' text format."""
    service = request.app[SERVICE]
    lines = [
        "# HELP inference_queue_depth Jobs that wait for a worker.",
        "# TYPE inference_queue_depth gauge",
        f"inference_queue_depth {service.depth}",
        "# HELP inference_running Jobs that run.",
        "# TYPE inference_running gauge",
        f"inference_running {service.running}",
        "# HELP inference_jobs_total What became of jobs.",
        "# TYPE inference_jobs_total counter",
        *(f'inference_jobs_total{{outcome="{name}"}} {value}' for name, value in service.counts.items()),
    ]
    return web.Response(text="\n".join(lines) + "\n", content_type="text/plain", charset="utf-8")


@routes.post("/v1/jobs")
async def submit(request: web.Request) -> web.Response:
    """Queues a job for the account whose key the header X-Api-Key holds."""
    service = request.app[SERVICE]
    account = service.account_of(request.headers.get("X-Api-Key", ""))
    body = await json_body(request, prompt=str)
    return web.json_response(_shown(service.submit(account, str(body["prompt"]))), status=202)


@routes.get("/v1/jobs/{number}")
async def job(request: web.Request) -> web.Response:
    """How far a job is, and its result."""
    service = request.app[SERVICE]
    service.account_of(request.headers.get("X-Api-Key", ""))
    return web.json_response(_shown(service.job(request.match_info["number"])))
