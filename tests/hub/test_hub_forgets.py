"""What is left of a run that a hub has forgotten: nothing, neither in its folder nor in its descriptors nor for the hub after it."""

from __future__ import annotations

import os
from pathlib import Path

from support.fakerunner import manifest

from squall.hub.hub import Hub
from squall.hub.model import RunSpec


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_nothing_is_left_of_a_forgotten_run(tmp_path: Path) -> None:
    hub = Hub(b"key", folder=tmp_path)
    await hub.start("127.0.0.1", 0)
    try:
        before = descriptors()
        for name in ("kept", *(f"run-{number}" for number in range(5))):
            run = hub.add_run(RunSpec(run=name, manifest=manifest(shards=1), runners=((0,),)))
            run.stop()
            await run.finished()
            if name != "kept":
                assert hub.forget(name)
        assert [path.name for path in tmp_path.iterdir()] == ["kept"]
        assert descriptors() <= before + 1
    finally:
        await hub.close()
    after = Hub(b"key", folder=tmp_path)
    await after.start("127.0.0.1", 0)
    assert list(after.runs) == ["kept"]
    await after.close()


async def test_what_has_not_finished_is_not_forgotten(tmp_path: Path) -> None:
    hub = Hub(b"key", folder=tmp_path)
    await hub.start("127.0.0.1", 0)
    try:
        hub.add_run(RunSpec(run="r1", manifest=manifest(shards=1), runners=((0,),)))
        assert not hub.forget("r1")
        assert (tmp_path / "r1" / "journal.jsonl").is_file()
    finally:
        await hub.close()
