"""Several base URLs within an engine: every kind of step goes by the same balancing and the same fail-over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.driving import Told, drive, manifest, target
from support.processes import free_ports

PYTHON = """
async def ask(vu):
    await vu.http("GET", "/python")
"""
STEPS: list[dict[str, Any]] = [
    {"name": "get", "http": {"url": "/get"}, "onError": "continue"},
    {
        "name": "job",
        "poll": {"http": {"url": "/poll"}, "until": "status == 200", "interval": "10ms"},
        "onError": "continue",
    },
    {"name": "ask", "python": {"file": "steps.py", "function": "ask"}, "onError": "continue"},
]
ITERATIONS = 8


def spec(good: str, urls: list[str], **http: Any) -> dict[str, Any]:
    """Nothing is looked at before the load but the one that is there."""
    return {
        "http": {"baseUrls": urls, "retry": {"maxRetries": 0}, **http},
        "files": [{"name": "steps.py", "path": "steps.py"}],
        "safety": {"connectivity": {"url": f"{good}/well"}},
    }


@pytest.mark.parametrize("balancing", ["round-robin", "random", "per-vu"])
async def test_all_steps_leave_out_what_one_of_them_could_not_reach(balancing: str, tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(PYTHON)
    (nowhere,) = free_ports(1)
    dead, told = f"http://127.0.0.1:{nowhere}", Told()
    async with target() as server:
        failover = {"failures": 2, "retryAfter": "1h"}
        whole = spec(server.url, [server.url, dead], balancing=balancing, failover=failover)
        test = manifest("", STEPS, spec=whole, iterations=ITERATIONS, vus=2)
        measured = await drive(test, told, files={"steps.py": tmp_path / "steps.py"})
        seen = Counter(server.paths())
    failed = measured.count("http_reqs", error="connect_refused")
    failed += measured.count("poll_reqs", error="connect_refused")
    assert 2 <= failed <= 3  # two VUs may have been on their way there
    asked = 2 * ITERATIONS * len(STEPS)
    assert seen["/get"] + seen["/poll"] + seen["/python"] == asked - failed
    downs = [fields["host"] for _, event, fields in told.notes if event == "TargetDown"]
    assert downs == [f"127.0.0.1:{nowhere}"]
    assert measured.gauge("target_up", host=f"127.0.0.1:{nowhere}")[0] == 0
    assert measured.gauge("target_up", host=f"127.0.0.1:{server.port}") == (1, 1, 1)
    assert measured.unknown(set()) == set()


async def test_without_failover_each_has_its_share_whatever_happens(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text(PYTHON)
    (nowhere,) = free_ports(1)
    told = Told()
    async with target() as server:
        whole = spec(server.url, [server.url, f"http://127.0.0.1:{nowhere}"])
        test = manifest("", STEPS[:1], spec=whole, iterations=ITERATIONS, vus=1)
        measured = await drive(test, told, files={"steps.py": tmp_path / "steps.py"})
        assert Counter(server.paths())["/get"] == ITERATIONS / 2
    assert measured.count("http_reqs", error="connect_refused") == ITERATIONS / 2
    assert not [event for _, event, _ in told.notes if event.startswith("Target")]
    assert "target_up" not in {metric for metric, _ in measured.defs.values()}
