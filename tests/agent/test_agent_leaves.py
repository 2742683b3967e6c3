"""A runner process ends in bounded time, whatever the user's own code does not let go of."""

from __future__ import annotations

import asyncio

import pytest
from support.agents import KEY, real_runner
from support.fakerunner import manifest

from squall.hub.hub import Hub
from squall.hub.model import RunSpec

CODE = """
import asyncio, pathlib, threading, time

async def stubborn(vu, *, mark):
    pathlib.Path(mark).touch()
    while True:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue

async def threaded(vu, *, mark):
    threading.Thread(target=time.sleep, args=(1000,)).start()
    pathlib.Path(mark).touch()
    await asyncio.sleep(1000)
"""


@pytest.mark.parametrize("place", ["scenario", "setup"])
@pytest.mark.parametrize("function", ["stubborn", "threaded"])
async def test_the_process_ends_when_its_parent_is_gone(tmp_path, place, function):
    code, mark = tmp_path / "steps.py", tmp_path / "mark"
    code.write_text(CODE)
    python = {"file": "steps.py", "function": function, "args": {"mark": str(mark)}, "timeout": "1h"}
    steps = {"scenario": [{"think": {"duration": "10s"}}], "setup": [{"set": {"x": 1}}]}
    steps[place] = [{"python": python}]
    made = manifest(
        scenarios=[
            {"name": "a", "executor": "constant-vus", "vus": 1, "duration": "60s", "steps": steps["scenario"]}
        ],
        setup={"steps": steps["setup"], "timeout": "1h"},
        files=[{"name": "steps.py", "path": "steps.py"}],
    )
    hub = Hub(KEY)
    url = await hub.start("127.0.0.1", 0)
    hub.add_run(RunSpec(run="r1", manifest=made, runners=((0,),)))
    process = await real_runner(hub, url, made, {"steps.py": str(code)})
    try:
        assert process.stdin is not None
        async with asyncio.timeout(30):
            while not mark.exists():
                await asyncio.sleep(0.02)
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 25) == 70
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await hub.close()
