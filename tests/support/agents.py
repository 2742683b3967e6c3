"""Real runner processes with a pretended load (see `fakeload`), and hubs as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from squall.hub.hub import Hub
from squall.hub.protocol import Assignment
from squall.hub.tokens import run_token

ROOT = Path(__file__).resolve().parents[2]
KEY = b"installation-key"


def environment() -> dict[str, str]:
    paths = os.pathsep.join(str(ROOT / each) for each in ("core", "runner", "tests"))
    return os.environ | {"PYTHONPATH": paths, "SQUALL_HUB_KEY": KEY.decode()}


async def real_runner(
    hub: Hub, url: str, manifest: dict[str, Any], files: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """The real runner process of run `r1`, given its assignment as `squall run` gives it."""
    assignment = Assignment(
        run="r1",
        hub=url,
        token=hub.token("r1"),
        runner=0,
        shards=(0,),
        manifest=manifest,
        variables={},
        secrets={},
        files=files or {},
        exit_with_parent=True,
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "squall_runner",
        stdin=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(assignment) + b"\n")
    return process


class AgentProcess:
    """One runner process; `log` holds what its load has done."""

    def __init__(self, folder: Path, index: int) -> None:
        self.log = folder / f"requests-{index}.txt"
        self.log.touch()
        self.index = index
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, url: str, run: str, manifest: dict[str, Any], shards: tuple[int, ...]) -> None:
        assignment = Assignment(
            run=run,
            hub=url,
            token=run_token(KEY, run),
            runner=self.index,
            shards=shards,
            manifest=manifest,
            variables={},
            secrets={},
            files={},
            exit_with_parent=True,
        )
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests/support/fakeload.py"),
            str(self.log),
            stdin=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(assignment) + b"\n")
        await self._process.stdin.drain()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def close_stdin(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def exit_code(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def requests(self) -> list[int]:
        """When each pretended request was sent."""
        return [int(line) for line in self.lines() if line.isdigit()]

    async def wait_for_requests(self, count: int) -> None:
        while len(self.requests()) < count:
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            await self._process.wait()


class HubProcess:
    """A hub of its own, that can be killed and started again at the same address."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.url = ""
        self.metrics = ""
        """Where it serves its own metrics; empty without `--metrics-listen`."""
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "squall.hub",
            "--listen",
            listen,
            "--state-dir",
            str(self.folder),
            *self.options,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 20)
        listens = json.loads(line)
        self.url, self.metrics = listens["url"], listens.get("metrics", "")

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {KEY.decode()}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(
                method, self.url + path, data=None if body is None else msgspec.json.encode(body)
            ) as answer,
        ):
            return answer.status, await answer.json()

    async def wait_for_phase(self, run: str, *phases: str) -> dict[str, Any]:
        while True:
            status, state = await self.ask("GET", f"/v1/runs/{run}")
            if status == 200 and state["phase"] in phases:
                return state
            await asyncio.sleep(0.05)

    async def end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
