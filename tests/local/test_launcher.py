from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from squall.hub.protocol import Assignment
from squall.local.launcher import Launcher

ECHO = "import sys; print(sys.stdin.readline(), end=''); sys.exit(7)"
WAIT_FOR_END_OF_INPUT = (
    "import sys; sys.stdin.readline(); print('up', flush=True); sys.stdin.read(); print('down')"
)
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.stdin.readline()\n"
    "print('up', flush=True)\nwhile True: time.sleep(1)"
)


def assignment(runner: int = 0) -> Assignment:
    return Assignment(
        run="r", hub="http://127.0.0.1:1", token="secret-token", runner=runner, shards=(runner,), manifest={},
        variables={}, secrets={"password": "hunter2"}, files={},
    )  # fmt: skip


class Exits:
    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.news = asyncio.Event()

    def __call__(self, index: int, code: int) -> None:
        self.codes[index] = code
        self.news.set()


async def until_up(output: Path, count: int) -> None:
    async with asyncio.timeout(30):
        while output.read_text().count("up") < count:
            await asyncio.sleep(0.01)


async def test_a_runner_is_given_its_assignment_and_its_end_is_told(tmp_path: Path) -> None:
    exits = Exits()
    with (tmp_path / "out").open("wb") as out:
        launcher = Launcher(out, (sys.executable, "-c", ECHO))
        await launcher.start([assignment()], exits)
        await asyncio.wait_for(exits.news.wait(), 30)
        await launcher.close()
    assert exits.codes == {0: 7}
    assert msgspec.json.decode((tmp_path / "out").read_bytes(), type=Assignment) == assignment()


async def test_no_secret_stands_in_arguments_or_environment(tmp_path: Path) -> None:
    exits = Exits()
    with (tmp_path / "out").open("wb") as out:
        launcher = Launcher(out, (sys.executable, "-c", WAIT_FOR_END_OF_INPUT))
        await launcher.start([assignment()], exits)
        await until_up(tmp_path / "out", 1)
        process = Path(f"/proc/{launcher.pids[0]}")
        shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        await launcher.close()
    assert b"hunter2" not in shown
    assert b"secret-token" not in shown


async def test_runners_end_when_their_input_ends(tmp_path: Path) -> None:
    exits = Exits()
    with (tmp_path / "out").open("wb") as out:
        launcher = Launcher(out, (sys.executable, "-c", WAIT_FOR_END_OF_INPUT))
        await launcher.start([assignment(0), assignment(1)], exits)
        await until_up(tmp_path / "out", 2)
        await launcher.close()
    assert exits.codes == {0: 0, 1: 0}
    assert (tmp_path / "out").read_text().count("down") == 2


async def test_a_runner_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squall.local.launcher.END_SECONDS", 0.1)
    exits = Exits()
    with (tmp_path / "out").open("wb") as out:
        launcher = Launcher(out, (sys.executable, "-c", STUBBORN))
        await launcher.start([assignment()], exits)
        await until_up(tmp_path / "out", 1)
        await launcher.close()
    assert exits.codes == {0: -signal.SIGKILL}
    with pytest.raises(ProcessLookupError):
        os.kill(launcher.pids[0], 0)


async def test_a_runner_that_cannot_be_started_leaves_the_others_to_be_ended(tmp_path: Path) -> None:
    exits = Exits()
    with (tmp_path / "out").open("wb") as out:
        launcher = Launcher(out, (str(tmp_path / "nothing"),))
        with pytest.raises(OSError, match="nothing"):
            await launcher.start([assignment()], exits)
        await launcher.close()
    assert exits.codes == {}


async def test_processes_that_wait_are_used_first_and_the_rest_is_let_go(tmp_path: Path) -> None:
    exits = Exits()
    with (tmp_path / "out").open("w+b") as out:
        launcher = Launcher(out, (sys.executable, "-c", WAIT_FOR_END_OF_INPUT))
        await launcher.warm(3)
        await launcher.start([assignment(0)], exits)
        await until_up(tmp_path / "out", 3)
        assert list(launcher.pids) == [0]
        assert exits.codes == {}
        await launcher.close()
        assert launcher.printed().count("down") == 3
    assert exits.codes == {0: 0}


async def test_a_runner_that_has_died_while_it_waited_is_told_as_ended(tmp_path: Path) -> None:
    exits = Exits()
    with (tmp_path / "out").open("w+b") as out:
        launcher = Launcher(out, (sys.executable, "-c", "raise SystemExit(7)"))
        await launcher.warm(1)
        await asyncio.wait_for(launcher._waiting[0].wait(), 30)
        await launcher.start([assignment()], exits)
        await asyncio.wait_for(exits.news.wait(), 30)
        await launcher.close()
    assert exits.codes == {0: 7}


async def test_processes_that_were_never_used_are_ended_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squall.local.launcher.END_SECONDS", 3600)
    with (tmp_path / "out").open("wb") as out:
        launcher = Launcher(out, (sys.executable, "-c", "import time; time.sleep(3600)"))
        await launcher.warm(2)
        await asyncio.wait_for(launcher.close(), 30)
